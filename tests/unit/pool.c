/* pool.c - blocks don't overlap, the budget holds, and memory moves between sizes. */
#include "base/pool.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <string.h>

static uint64_t seed = 42;
static uint64_t chance(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static struct pool pool_of(uint64_t budget_bytes)
{
    struct pool p;
    cr_assert_eq(pool_init(&p, budget_bytes), STATUS_OK);
    return p;
}

#define SLOTS 3000
struct slot {
    uint8_t *p;
    size_t n;
    uint8_t fill;
};

static size_t random_size(void)
{
    switch (chance() % 16) {
    case 0:
        return POOL_BLOCK_MAX + chance() % 200000;
    case 1:
        return chance() % (POOL_BLOCK_MAX + 2);
    default:
        return 1 + chance() % 700;
    }
}

static void fill(struct slot *s)
{
    s->fill = (uint8_t)chance();
    memset(s->p, s->fill, s->n);
}

/* The first, the last and some bytes between: a block that overlaps another shows. */
static void verify(const struct slot *s)
{
    for (size_t i = 0; i < s->n; i += 1 + s->n / 64)
        cr_assert_eq(s->p[i], s->fill);
    if (s->n)
        cr_assert_eq(s->p[s->n - 1], s->fill);
}

Test(pool, random_blocks_never_overlap_and_the_books_balance)
{
    static struct slot slots[SLOTS];
    struct pool p = pool_of(12u << 20);
    unsigned n_refused = 0;
    uint64_t used_bytes = 0;
    for (unsigned round = 0; round < 120000; round++) {
        struct slot *s = &slots[chance() % SLOTS];
        if (s->p) {
            verify(s);
            pool_give(&p, s->p, s->n);
            used_bytes -= pool_cost(s->n);
            s->p = NULL;
        } else {
            s->n = random_size();
            s->p = pool_take(&p, s->n);
            n_refused += !s->p;
            if (s->p) {
                cr_assert_eq((uintptr_t)s->p & 15, 0);
                fill(s);
                used_bytes += pool_cost(s->n);
            }
        }
        cr_assert_eq(p.used_bytes, used_bytes);
        cr_assert_leq(p.held_bytes, p.budget_bytes);
        if (round % 1024 == 0)
            pool_check(&p);
    }
    cr_assert_gt(n_refused, 100, "the budget was met");
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slots[i].p)
            pool_give(&p, slots[i].p, slots[i].n);
    }
    pool_check(&p);
    cr_assert_eq(p.used_bytes, 0);
    pool_fini(&p);
}

static unsigned fill_up(struct pool *p, size_t n, uint8_t **blocks)
{
    unsigned count = 0;
    while ((blocks[count] = pool_take(p, n)))
        count++;
    return count;
}

Test(pool, memory_spent_on_one_size_comes_back_for_every_other)
{
    static uint8_t *blocks[1u << 20];
    struct pool p = pool_of(8u << 20);
    size_t sizes[] = {16, 1000, 48, 8192, 100000, 16, 3 << 20, 200, 20000, 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned count = fill_up(&p, sizes[i], blocks);
        uint64_t bytes = count * (uint64_t)sizes[i];
        cr_assert_gt(bytes, (8u << 20) / 100 * 65, "%zu: only %llu bytes of the budget", sizes[i],
                     (unsigned long long)bytes);
        pool_check(&p);
        for (unsigned k = count; k-- > 0;)
            pool_give(&p, blocks[k], sizes[i]);
        pool_check(&p);
    }
    pool_fini(&p);
}

Test(pool, a_page_can_move_between_classes_though_each_is_idle)
{
    struct pool p = pool_of(POOL_PAGE_BYTES); /* one page in all */
    void *a = pool_take(&p, 16);
    cr_assert_not_null(a);
    cr_assert_null(pool_take(&p, 4096), "the page is in use");
    pool_give(&p, a, 16);
    void *b = pool_take(&p, 4096);
    cr_assert_not_null(b);
    pool_give(&p, b, 4096);
    cr_assert_not_null(pool_take(&p, 16));
    pool_check(&p);
    pool_fini(&p);
}

Test(pool, classes_cost_at_most_a_fifth_more_above_64_bytes)
{
    size_t before = 0;
    for (size_t n = 1; n <= POOL_BLOCK_MAX; n++) {
        size_t cost = pool_cost(n);
        cr_assert_leq(n, cost);
        cr_assert_eq(cost % 16, 0);
        cr_assert_leq(before, cost);
        if (n > 64)
            cr_assert_leq((cost - n) * 5, cost, "%zu costs %zu", n, cost);
        before = cost;
    }
    cr_assert_eq(pool_cost(64), 64);
    cr_assert_eq(pool_cost(65), 80);
    cr_assert_eq(pool_cost(POOL_BLOCK_MAX), POOL_BLOCK_MAX);
}

Test(pool, no_room_is_an_answer_at_every_edge)
{
    struct pool p = pool_of(POOL_PAGE_BYTES - 1);
    cr_assert_null(pool_take(&p, 16));
    pool_fini(&p);
    p = pool_of(256u << 20);
    cr_assert_null(pool_take(&p, POOL_LARGE_MAX + 1));
    void *most = pool_take(&p, POOL_LARGE_MAX);
    cr_assert_not_null(most);
    pool_give(&p, most, POOL_LARGE_MAX);
    pool_give(&p, NULL, 5);
    void *none = pool_take(&p, 0);
    cr_assert_not_null(none);
    pool_give(&p, none, 0);
    pool_check(&p);
    pool_fini(&p);
}
