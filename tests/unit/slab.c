/* Shared slabs and queues of slices, against a plain string. */
#include "gateway/slab.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct slab_pool pool;

static void setup(void)
{
    slab_pool_init(&pool, 64u << 20);
}

/* Every test empties its queues: then the pool has to have everything back. */
static void teardown(void)
{
    slab_pool_fini(&pool);
}

TestSuite(slab, .init = setup, .fini = teardown);

static struct slab *put(const char *text, uint32_t *offset)
{
    struct slab *s;
    size_t n = strlen(text);
    uint8_t *p = slab_pool_reserve(&pool, n, &s);
    cr_assert(p);
    memcpy(p, text, n);
    slab_pool_commit(&pool, s, n, offset);
    return s;
}

static void add(struct slab_queue *q, const char *text)
{
    uint32_t offset;
    struct slab *s = put(text, &offset);
    cr_assert(slab_queue_add(&pool, q, s, offset, (uint32_t)strlen(text)));
}

static size_t gather(struct slab_queue *q, char *out, unsigned iov_max, size_t bytes_max)
{
    struct iovec iov[64];
    unsigned k = slab_queue_gather(q, iov, iov_max, bytes_max);
    size_t n = 0;
    for (unsigned i = 0; i < k; i++) {
        memcpy(out + n, iov[i].iov_base, iov[i].iov_len);
        n += iov[i].iov_len;
    }
    return n;
}

Test(slab, neighbours_merge_into_one_slice)
{
    struct slab_queue q = {0};
    char out[100];
    add(&q, "one ");
    add(&q, "two ");
    add(&q, "three");
    cr_assert_eq(q.n_slices, 1);
    cr_assert_eq(gather(&q, out, 64, 100), 13);
    cr_assert_eq(memcmp(out, "one two three", 13), 0);
    add(&q, "four"); /* not into what is being sent */
    cr_assert_eq(q.n_slices, 2);
    slab_queue_sent(&pool, &q, 5);
    cr_assert_eq(q.bytes, 12);
    cr_assert_eq(gather(&q, out, 64, 100), 12);
    cr_assert_eq(memcmp(out, "wo threefour", 12), 0);
    slab_queue_clear(&pool, &q);
}

Test(slab, dropping_keeps_what_is_being_sent)
{
    struct slab_queue q = {0}, other = {0};
    char text[16], out[1000];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "%02u", i);
        add(&q, text);
        add(&other, "x"); /* so that neighbours don't merge */
    }
    cr_assert_eq(gather(&q, out, 10, 1000), 20);
    slab_queue_drop(&pool, &q);
    cr_assert_eq(q.bytes, 20);
    cr_assert_eq(q.n_slices, 10);
    add(&q, "end");
    slab_queue_sent(&pool, &q, 19);
    cr_assert_eq(gather(&q, out, 20, 1000), 4);
    cr_assert_eq(memcmp(out, "9end", 4), 0);
    slab_queue_sent(&pool, &q, 4);
    slab_queue_drop(&pool, &q);
    cr_assert_eq(q.bytes + q.n_slices, 0);
    add(&q, "begun");
    add(&other, "x");
    add(&q, "dropped");
    gather(&q, out, 1, 2);
    slab_queue_sent(&pool, &q, 2);
    slab_queue_drop(&pool, &q); /* the rest of what has begun stays */
    cr_assert_eq(gather(&q, out, 20, 1000), 3);
    cr_assert_eq(memcmp(out, "gun", 3), 0);
    slab_queue_sent(&pool, &q, 3);
    slab_queue_clear(&pool, &other);
}

Test(slab, a_slow_reader_pins_few_slabs)
{
    struct slab_queue slow = {0}, fast = {0};
    static char filler[30001];
    memset(filler, 'f', sizeof filler - 1);
    for (unsigned i = 0; i < 2000; i++) {
        slab_pool_rest(&pool);
        add(&slow, "tick");
        add(&fast, filler);
        slab_queue_sent(&pool, &fast, fast.bytes);
    }
    cr_assert_eq(slow.bytes, 8000);
    cr_assert(pool.held_bytes <= (SLAB_SHARED_SLICES_MAX + 64 + 4) * (uint64_t)SLAB_BYTES,
              "%llu held", (unsigned long long)pool.held_bytes);
    cr_assert(slow.n_slices <= SLAB_SHARED_SLICES_MAX + 2);
    slab_queue_clear(&pool, &slow);
}

Test(slab, the_pool_is_bounded_and_recovers)
{
    struct slab_queue q = {0};
    struct slab *s;
    uint32_t offset;
    slab_pool_fini(&pool);
    slab_pool_init(&pool, 1u << 20);
    unsigned n = 0;
    while (slab_pool_reserve(&pool, 100000, &s)) {
        slab_pool_commit(&pool, s, 100000, &offset);
        cr_assert(slab_queue_add(&pool, &q, s, offset, 100000));
        n++;
    }
    cr_assert_eq(n, 10);
    slab_queue_clear(&pool, &q);
    slab_pool_rest(&pool);
    cr_assert(slab_pool_reserve(&pool, 100000, &s));
    slab_pool_commit(&pool, s, 0, &offset);
}

Test(slab, what_was_committed_stays_until_rest_whatever_is_reserved_in_between)
{
    struct slab_queue q = {0};
    uint32_t offset, other;
    struct slab *s = put("kept", &offset), *big;
    for (unsigned i = 0; i < 10; i++) {
        uint8_t *p = slab_pool_reserve(&pool, 40000, &big);
        memset(p, 'z', 40000);
        slab_pool_commit(&pool, big, 40000, &other);
    }
    cr_assert(slab_queue_add(&pool, &q, s, offset, 4));
    char out[4];
    cr_assert_eq(gather(&q, out, 1, 4), 4);
    cr_assert_eq(memcmp(out, "kept", 4), 0);
    slab_queue_clear(&pool, &q);
    slab_pool_rest(&pool);
}

Test(slab, random_queues_equal_a_string)
{
    enum { QUEUES = 5, ROOM = 1 << 20 };
    struct slab_queue q[QUEUES] = {0};
    static char model[QUEUES][ROOM], out[ROOM];
    size_t n[QUEUES] = {0}, locked[QUEUES] = {0};
    uint64_t x = 88172645463325252u;
    for (unsigned step = 0; step < 200000; step++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        unsigned i = (unsigned)(x >> 8) % QUEUES, what = (unsigned)(x >> 16) % 16;
        if (what < 9) {
            char text[5001];
            size_t len = 1 + (x >> 32) % ((x >> 20) % 8 ? 60 : 5000);
            if (n[i] + len > ROOM / 2)
                what = 15;
            memset(text, 'a' + (int)(step % 26), len);
            text[len] = '\0';
            if (what < 9) {
                add(&q[i], text);
                memcpy(model[i] + n[i], text, len);
                n[i] += len;
            }
        } else if (what < 14) {
            size_t got = gather(&q[i], out, 1 + (unsigned)(x >> 40) % 30, 1 + (x >> 48) % 9000);
            cr_assert(got <= n[i] && memcmp(out, model[i], got) == 0);
            size_t sent = (x >> 30) % 3 ? got : got / 2;
            locked[i] = 0;
            slab_queue_sent(&pool, &q[i], sent);
            memmove(model[i], model[i] + sent, n[i] - sent);
            n[i] -= sent;
        }
        if (what == 14) {
            struct iovec iov[8];
            unsigned k = slab_queue_gather(&q[i], iov, 8, SIZE_MAX);
            locked[i] = 0;
            for (unsigned j = 0; j < k; j++)
                locked[i] += iov[j].iov_len;
            slab_queue_drop(&pool, &q[i]);
            n[i] = locked[i];
        }
        if (what == 15) {
            slab_queue_clear(&pool, &q[i]);
            n[i] = 0;
        }
        cr_assert_eq(q[i].bytes, n[i]);
        if (step % 16 == 0)
            slab_pool_rest(&pool);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        slab_queue_clear(&pool, &q[i]);
}
