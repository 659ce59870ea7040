/* Ropes against the model of tests/unit/delta_model.h, with every invariant after every step. */
#include "sequencer/rope.h"
#include "sequencer/transform.h"
#include "tests/unit/delta_model.h"

#include <criterion/criterion.h>

#define BUF_BYTES (4u << 20)

static uint8_t buf_op[BUF_BYTES], buf_want[BUF_BYTES], buf_got[BUF_BYTES];
static struct model doc;
static const struct rope_limits no_limits = {1u << 30, 1u << 30};

static void assert_equal_content(const struct rope *r, const struct model *m)
{
    struct bytes want = model_content(m, buf_want, sizeof buf_want), got;
    cr_assert_leq(want.n, r->n_bytes);
    cr_assert_eq(rope_emit(r, buf_got, r->n_bytes, &got), STATUS_OK);
    cr_assert(bytes_eq(want, got));
    cr_assert_eq(r->n_u16, m->n);
    rope_check(r);
}

struct storm {
    const char *name;
    struct model_taste taste;
    uint32_t steps;
    size_t units_max; /* above, the next ops are made to delete */
};

static const struct storm storms[] = {
    {"typing", {false, 1, 1, 1, 0}, 6000, 4000},
    {"plain", {false, 3, 20, 30, 10}, 4000, 4000},
    {"wild", {false, 6, 40, 300, 60}, 1500, 6000},
    {"pastes", {false, 2, 3000, 3000, 5}, 600, 12000},
    {"rich", {true, 4, 8, 60, 10}, 4000, 3000},
    {"rich many", {true, 40, 4, 20, 30}, 1500, 5000},
    {"rich large", {true, 4, 500, 2000, 5}, 800, 12000},
};

static struct bytes storm_op(const struct storm *s, struct model_rng *rng)
{
    if (doc.n <= s->units_max)
        return model_random_op(&doc, rng, &s->taste, buf_op, sizeof buf_op);
    struct op_writer w;
    struct bytes op = {NULL, 0};
    size_t from = model_random(rng, (uint32_t)doc.n), n = doc.n / 2;
    from += model_is_low(&doc, from);
    n = n > doc.n - from ? doc.n - from : n;
    n += model_is_low(&doc, from + n);
    op_writer_init(&w, buf_op, sizeof buf_op);
    op_push_retain(&w, from, (struct bytes){NULL, 0});
    op_push_delete(&w, n);
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    return op;
}

static void run_storm(const struct storm *s, uint64_t seed)
{
    struct pool pool;
    struct rope r;
    struct model_rng rng = {seed};
    cr_assert_eq(pool_init(&pool, 64u << 20), STATUS_OK);
    rope_init(&r, &pool);
    doc.n = 0;
    for (uint32_t i = 0; i < s->steps; i++) {
        struct bytes op = storm_op(s, &rng);
        cr_assert_eq(rope_apply(&r, op, &no_limits), STATUS_OK, "%s, step %u", s->name, i);
        cr_assert(model_apply(&doc, op));
        assert_equal_content(&r, &doc);
        if (i % 100 == 99) { /* a copy through its content is the same */
            struct rope copy;
            struct bytes content;
            rope_init(&copy, &pool);
            cr_assert_eq(rope_emit(&r, buf_op, sizeof buf_op, &content), STATUS_OK);
            cr_assert_eq(rope_load(&copy, content, &no_limits), STATUS_OK);
            assert_equal_content(&copy, &doc);
            rope_fini(&copy);
        }
    }
    rope_fini(&r);
    cr_assert_eq(r.mem_bytes, 0);
    cr_assert_eq(pool.used_bytes, 0);
    pool_fini(&pool);
}

Test(rope, follows_the_model_through_storms_of_random_ops)
{
    for (size_t i = 0; i < sizeof storms / sizeof storms[0]; i++)
        run_storm(&storms[i], 7 * i + 1);
}
