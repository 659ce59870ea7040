/* ring.c - the ring against a naive queue, at its edges, and with a broken other end. */
#include "net/link.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static uint64_t seed = 7;
static uint64_t chance(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

struct fixture {
    void *mem;
    struct ring_tx tx;
    struct ring_rx rx;
};

static struct fixture open_ring(uint64_t capacity)
{
    struct fixture f;
    f.mem = aligned_alloc(64, (ring_bytes(capacity) + 63) / 64 * 64);
    memset(f.mem, 0, ring_bytes(capacity));
    cr_assert_eq(ring_format(f.mem, capacity), STATUS_OK);
    cr_assert_eq(ring_tx_open(&f.tx, f.mem), STATUS_OK);
    cr_assert_eq(ring_rx_open(&f.rx, f.mem), STATUS_OK);
    return f;
}

static bool put(struct ring_tx *tx, uint16_t type, size_t n, uint8_t fill)
{
    void *p = ring_claim(tx, n);
    if (!p)
        return false;
    cr_assert_eq((uintptr_t)p & 7, 0);
    memset(p, fill, n);
    ring_commit(tx, type, n);
    return true;
}

/* ---- against a model ---- */

#define MODEL_MAX 4096
struct model_record {
    uint16_t type;
    uint8_t fill;
    size_t n;
    uint64_t mark; /* behind it */
};
struct model {
    struct model_record at[MODEL_MAX];
    uint64_t n_written, n_published, n_read;
};

static void model_check(struct model *m, const struct ring_record *got)
{
    struct model_record *want = &m->at[m->n_read % MODEL_MAX];
    cr_assert_lt(m->n_read, m->n_published, "a record was visible before it was published");
    cr_assert_eq(got->type, want->type);
    cr_assert_eq(got->payload.n, want->n);
    for (size_t i = 0; i < want->n; i++)
        cr_assert_eq(got->payload.p[i], want->fill);
    m->n_read++;
}

static void model_write(struct model *m, struct fixture *f, uint64_t capacity, unsigned *n_full)
{
    size_t n = chance() % 4 ? chance() % 64 : chance() % (ring_payload_max(capacity) + 1);
    uint8_t fill = (uint8_t)chance();
    uint16_t type = (uint16_t)(chance() % RING_PAD);
    bool room = ring_has_room(&f->tx, n);
    if (m->n_written - m->n_read == MODEL_MAX)
        return;
    uint8_t *p = ring_claim(&f->tx, n);
    cr_assert_eq(p != NULL, room);
    if (!p) {
        (*n_full)++;
        return;
    }
    memset(p, 0xee, n);
    if (chance() % 8 == 0) {
        ring_abandon(&f->tx);
        return;
    }
    if (chance() % 4 == 0)
        n = chance() % (n + 1); /* a smaller commit */
    memset(p, fill, n);
    ring_commit(&f->tx, type, n);
    m->at[m->n_written++ % MODEL_MAX] = (struct model_record){type, fill, n, ring_mark(&f->tx)};
}

static void run_model(uint64_t capacity, unsigned rounds)
{
    static struct model m;
    m = (struct model){0};
    struct fixture f = open_ring(capacity);
    unsigned n_full = 0;
    for (unsigned round = 0; round < rounds; round++) {
        struct ring_record record;
        switch (chance() % 4) {
        case 0:
        case 1:
            model_write(&m, &f, capacity, &n_full);
            break;
        case 2: /* publish up to some record, as a disk would allow */
            if (m.n_published < m.n_written) {
                m.n_published += 1 + chance() % (m.n_written - m.n_published);
                uint64_t mark = m.at[(m.n_published - 1) % MODEL_MAX].mark;
                cr_assert(ring_publish(&f.tx, mark));
                cr_assert_not(ring_publish(&f.tx, mark), "no news");
            }
            break;
        default:
            for (uint64_t k = chance() % 8; k > 0; k--) {
                enum status s = ring_peek(&f.rx, &record);
                if (s == STATUS_END) {
                    cr_assert_eq(m.n_read, m.n_published);
                    break;
                }
                cr_assert_eq(s, STATUS_OK);
                model_check(&m, &record);
                ring_advance(&f.rx);
            }
            if (chance() % 2)
                ring_release(&f.rx);
        }
    }
    cr_assert_gt(n_full, rounds / 100, "the ring was full at times");
    cr_assert_gt(m.n_read, rounds / 20);
    free(f.mem);
}

Test(ring, behaves_as_a_queue_with_deferred_publishing)
{
    run_model(RING_CAPACITY_MIN, 300000);
    run_model(4 * RING_CAPACITY_MIN, 200000);
}

/* ---- edges ---- */

Test(ring, the_largest_payload_fits_an_empty_ring_wherever_it_stands)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    size_t most = ring_payload_max(RING_CAPACITY_MIN);
    struct ring_record record;
    for (unsigned step = 0; step < 2000; step++) {
        cr_assert(put(&f.tx, 1, (step * 24) % 1000, 1));
        ring_publish(&f.tx, ring_mark(&f.tx));
        cr_assert_eq(ring_peek(&f.rx, &record), STATUS_OK);
        ring_advance(&f.rx);
        ring_release(&f.rx);
        cr_assert(ring_has_room(&f.tx, most), "step %u", step);
        cr_assert(put(&f.tx, 2, most, 3), "step %u", step);
        ring_publish(&f.tx, ring_mark(&f.tx));
        cr_assert_eq(ring_peek(&f.rx, &record), STATUS_OK);
        cr_assert_eq(record.payload.n, most);
        ring_advance(&f.rx);
        ring_release(&f.rx);
    }
    free(f.mem);
}

Test(ring, what_can_never_fit_is_refused_without_overflow)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    cr_assert_null(ring_claim(&f.tx, RING_CAPACITY_MIN));
    cr_assert_null(ring_claim(&f.tx, SIZE_MAX));
    cr_assert_null(ring_claim(&f.tx, SIZE_MAX - 7));
    cr_assert_not(ring_has_room(&f.tx, SIZE_MAX));
    cr_assert_not_null(ring_claim(&f.tx, RING_CAPACITY_MIN - RING_HEADER_BYTES), "all of it fits");
    free(f.mem);
}

Test(ring, records_stay_readable_until_they_are_released)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    struct ring_record record;
    unsigned n = 0;
    while (put(&f.tx, 1, 100, (uint8_t)n))
        n++;
    cr_assert_eq(n, RING_CAPACITY_MIN / 112);
    ring_publish(&f.tx, ring_mark(&f.tx));
    cr_assert_eq(ring_peek(&f.rx, &record), STATUS_OK);
    ring_advance(&f.rx);
    cr_assert_not(ring_has_room(&f.tx, 100), "advanced past, not released");
    cr_assert_eq(record.payload.p[99], 0);
    cr_assert(ring_release(&f.rx));
    cr_assert_not(ring_release(&f.rx), "no news");
    free(f.mem);
}

Test(ring, a_full_ring_says_that_it_awaits_room_until_it_has_some)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    struct ring_record record;
    cr_assert_not(ring_is_awaited(&f.rx));
    while (put(&f.tx, 1, 1000, 1))
        ;
    cr_assert(ring_is_awaited(&f.rx));
    ring_publish(&f.tx, ring_mark(&f.tx));
    cr_assert_eq(ring_peek(&f.rx, &record), STATUS_OK);
    ring_advance(&f.rx);
    ring_release(&f.rx);
    cr_assert(put(&f.tx, 1, 1000, 1));
    cr_assert_not(ring_is_awaited(&f.rx));
    free(f.mem);
}

Test(ring, an_end_that_opens_again_goes_on_where_the_last_one_was)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    struct ring_record record;
    for (unsigned i = 0; i < 500; i++) {
        cr_assert(put(&f.tx, 1, i % 300, (uint8_t)i));
        ring_publish(&f.tx, ring_mark(&f.tx));
        cr_assert_eq(ring_tx_open(&f.tx, f.mem), STATUS_OK);
        cr_assert_eq(ring_peek(&f.rx, &record), STATUS_OK);
        cr_assert_eq(record.payload.n, i % 300);
        ring_advance(&f.rx);
        ring_release(&f.rx);
        cr_assert_eq(ring_rx_open(&f.rx, f.mem), STATUS_OK);
    }
    free(f.mem);
}

/* ---- a stranger at the other end ---- */

Test(ring, memory_that_is_no_ring_is_refused)
{
    static _Alignas(64) uint8_t mem[8192];
    struct ring_tx tx;
    struct ring_rx rx;
    cr_assert_eq(ring_tx_open(&tx, mem), STATUS_FORMAT);
    cr_assert_eq(ring_rx_open(&rx, mem), STATUS_FORMAT);
    cr_assert_eq(ring_format(mem, 4095), STATUS_USAGE);
    cr_assert_eq(ring_format(mem, 6144), STATUS_USAGE);
    cr_assert_eq(ring_format(mem, 2048), STATUS_USAGE);
    cr_assert_eq(ring_format(mem + 8, 4096), STATUS_USAGE);
    cr_assert_eq(ring_format(mem, 4096), STATUS_OK);
    ((struct ring_shared *)mem)->capacity = 4097;
    cr_assert_eq(ring_rx_open(&rx, mem), STATUS_FORMAT);
    ((struct ring_shared *)mem)->capacity = 4096;
    ((struct ring_shared *)mem)->version++;
    cr_assert_eq(ring_tx_open(&tx, mem), STATUS_FORMAT);
}

static enum status peek_header(uint32_t payload_bytes, uint16_t type, uint16_t zero, uint64_t tail)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    struct ring_shared *shared = f.mem;
    uint8_t *buf = (uint8_t *)f.mem + sizeof *shared;
    memcpy(buf, &payload_bytes, 4);
    memcpy(buf + 4, &type, 2);
    memcpy(buf + 6, &zero, 2);
    atomic_store(&shared->tail, tail);
    struct ring_record record;
    enum status s = ring_peek(&f.rx, &record);
    if (s == STATUS_CORRUPT) {
        atomic_store(&shared->tail, 0);
        cr_assert_eq(ring_peek(&f.rx, &record), STATUS_CORRUPT, "sticky");
    }
    free(f.mem);
    return s;
}

Test(ring, impossible_records_read_as_corrupt)
{
    cr_assert_eq(peek_header(8, 1, 0, 16), STATUS_OK);
    cr_assert_eq(peek_header(8, 1, 1, 16), STATUS_CORRUPT);
    cr_assert_eq(peek_header(9, 1, 0, 16), STATUS_CORRUPT);
    cr_assert_eq(peek_header(UINT32_MAX, 1, 0, 16), STATUS_CORRUPT);
    cr_assert_eq(peek_header(8, 1, 0, 20), STATUS_CORRUPT);
    cr_assert_eq(peek_header(8, 1, 0, RING_CAPACITY_MIN + 8), STATUS_CORRUPT);
    cr_assert_eq(peek_header(8, 1, 0, UINT64_MAX - 7), STATUS_CORRUPT);
    cr_assert_eq(peek_header(RING_CAPACITY_MIN, 1, 0, RING_CAPACITY_MIN), STATUS_CORRUPT);
    cr_assert_eq(peek_header(8, RING_PAD, 0, 16), STATUS_CORRUPT);
    cr_assert_eq(peek_header(RING_CAPACITY_MIN - 8, RING_PAD, 0, RING_CAPACITY_MIN),
                 STATUS_CORRUPT);
}

Test(ring, random_damage_never_leads_outside_the_buffer)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    struct ring_shared *shared = f.mem;
    uint8_t *buf = (uint8_t *)f.mem + sizeof *shared;
    unsigned n_corrupt = 0;
    for (unsigned round = 0; round < 30000; round++) {
        for (unsigned i = 0; i < 4; i++)
            put(&f.tx, 1, chance() % 200, 1);
        ring_publish(&f.tx, ring_mark(&f.tx));
        if (chance() % 4 == 0)
            buf[chance() % RING_CAPACITY_MIN] = (uint8_t)chance();
        if (chance() % 64 == 0)
            atomic_store(&shared->tail, chance());
        struct ring_record record;
        enum status s;
        for (unsigned i = 0; i < 8 && (s = ring_peek(&f.rx, &record)) == STATUS_OK; i++) {
            cr_assert(record.payload.p >= buf + RING_HEADER_BYTES);
            cr_assert(record.payload.p + record.payload.n <= buf + RING_CAPACITY_MIN);
            ring_advance(&f.rx);
        }
        ring_release(&f.rx);
        if (f.rx.broken) {
            n_corrupt++;
            free(f.mem);
            f = open_ring(RING_CAPACITY_MIN);
            shared = f.mem;
            buf = (uint8_t *)f.mem + sizeof *shared;
        }
    }
    cr_assert_gt(n_corrupt, 500);
    free(f.mem);
}

Test(ring, a_head_that_no_consumer_can_have_gives_no_room)
{
    struct fixture f = open_ring(RING_CAPACITY_MIN);
    struct ring_shared *shared = f.mem;
    while (put(&f.tx, 1, 100, 1))
        ;
    atomic_store(&shared->head, 1u << 20);
    cr_assert_not(ring_has_room(&f.tx, 100));
    cr_assert_null(ring_claim(&f.tx, 100));
    free(f.mem);
}

/* ---- links ---- */

Test(ring, a_link_carries_both_ways_and_wakes_only_who_sleeps_or_waits_for_room)
{
    struct parker pa, pb;
    struct link l;
    struct ring_record record;
    cr_assert_eq(parker_init(&pa), STATUS_OK);
    cr_assert_eq(parker_init(&pb), STATUS_OK);
    cr_assert_eq(link_open(&l, 4096, 8192, &pa, &pb), STATUS_OK);
    parker_arm(&pa);
    parker_arm(&pb);
    cr_assert(put(&l.a.tx, 1, 10, 1));
    link_flush(&l.a);
    cr_assert_eq(atomic_load(&pb.asleep), 0, "woken");
    cr_assert_eq(atomic_load(&pa.asleep), 1);
    link_flush(&l.a);
    cr_assert_eq(ring_peek(&l.b.rx, &record), STATUS_OK);
    ring_advance(&l.b.rx);
    link_release(&l.b);
    cr_assert_eq(atomic_load(&pa.asleep), 1, "it did not wait for room");
    while (put(&l.a.tx, 1, 100, 1))
        ;
    link_flush(&l.a);
    cr_assert_eq(ring_peek(&l.b.rx, &record), STATUS_OK);
    ring_advance(&l.b.rx);
    link_release(&l.b);
    cr_assert_eq(atomic_load(&pa.asleep), 0, "now it did");
    cr_assert(put(&l.b.tx, 9, 5000 - 4096, 2));
    link_flush(&l.b);
    cr_assert_eq(ring_peek(&l.a.rx, &record), STATUS_OK);
    cr_assert_eq(record.type, 9);
    cr_assert_neq(link_open(&(struct link){0}, 4095, 4096, &pa, &pb), STATUS_OK);
    link_close(&l);
    link_close(&l);
    parker_fini(&pa);
    parker_fini(&pb);
}
