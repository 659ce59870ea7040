/* Ropes against the model of tests/unit/delta_model.h, with every invariant after every step. */
#include "sequencer/rope.h"
#include "net/limits.h"
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
    {"tall", {false, 3, 16000, 20000, 2}, 150, 200000},
    {"tall and rich", {true, 6, 4000, 30000, 2}, 250, 150000},
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
    struct model_rng rng = {.s = seed};
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

/* ---- all or nothing ---- */

static struct bytes random_content(struct model_rng *rng, uint32_t n, const struct model_taste *t)
{
    doc.n = 0;
    for (uint32_t i = 0; i < n; i++)
        model_apply(&doc, model_random_op(&doc, rng, t, buf_op, sizeof buf_op));
    return model_content(&doc, buf_op, sizeof buf_op);
}

/* As storms do, but with so little memory that many ops fail; each leaves the content as it was. */
Test(rope, is_unchanged_by_an_op_for_which_memory_runs_out)
{
    static const struct model_taste taste = {true, 30, 300, 4000, 10};
    uint32_t n_failed = 0, n_done = 0;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct pool pool;
        struct rope r;
        struct model_rng rng = {.s = seed};
        cr_assert_eq(pool_init(&pool, (5 + seed % 12) * POOL_PAGE_BYTES), STATUS_OK);
        rope_init(&r, &pool);
        doc.n = 0;
        for (uint32_t i = 0; i < 200; i++) {
            struct bytes op = model_random_op(&doc, &rng, &taste, buf_op, sizeof buf_op);
            enum status s = rope_apply(&r, op, &no_limits);
            cr_assert(s == STATUS_OK || s == STATUS_NO_MEMORY);
            if (s == STATUS_OK)
                cr_assert(model_apply(&doc, op));
            n_failed += s == STATUS_NO_MEMORY;
            n_done += s == STATUS_OK;
            assert_equal_content(&r, &doc);
        }
        rope_fini(&r);
        cr_assert_eq(pool.used_bytes, 0);
        pool_fini(&pool);
    }
    cr_assert_gt(n_failed, 500);
    cr_assert_gt(n_done, 500);
}

Test(rope, refuses_what_reaches_past_the_end_or_cuts_a_pair)
{
    static const struct model_taste taste = {true, 8, 20, 60, 50};
    struct pool pool;
    struct rope r;
    uint32_t n_refused = 0;
    cr_assert_eq(pool_init(&pool, 64u << 20), STATUS_OK);
    for (uint64_t seed = 1; seed < 400; seed++) {
        struct model_rng rng = {.s = seed};
        rope_init(&r, &pool);
        struct bytes content = random_content(&rng, 1 + (uint32_t)seed % 90, &taste);
        cr_assert_eq(rope_load(&r, content, &no_limits), STATUS_OK);
        for (uint32_t i = 0; i < 30; i++) { /* made for no document in particular */
            struct op_writer w;
            struct bytes op = {NULL, 0};
            uint8_t block[256];
            op_writer_init(&w, buf_op, sizeof buf_op);
            op_push_retain(&w, model_random(&rng, (uint32_t)doc.n + 2), (struct bytes){NULL, 0});
            uint32_t n = 1 + model_random(&rng, 6);
            if (i % 3 == 0)
                op_push_insert(&w, BYTES_LIT("x"), 1, (struct bytes){NULL, 0});
            if (i % 3 == 1)
                op_push_retain(&w, n, model_block(1, block));
            else
                op_push_delete(&w, n * (i % 3));
            cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
            enum status want = model_apply(&doc, op) ? STATUS_OK : STATUS_OP_INVALID;
            cr_assert_eq(rope_apply(&r, op, &no_limits), want);
            n_refused += want != STATUS_OK;
            assert_equal_content(&r, &doc);
        }
        rope_fini(&r);
    }
    cr_assert_gt(n_refused, 1000);
    pool_fini(&pool);
}

Test(rope, grows_to_its_limits_and_not_past_them)
{
    struct pool pool;
    struct rope r;
    struct rope_limits limits = {.units_max = 100, .bytes_max = 1000};
    struct bytes got;
    cr_assert_eq(pool_init(&pool, 64u << 20), STATUS_OK);
    rope_init(&r, &pool);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(rope_apply(&r, BYTES_LIT("\x01\x01\x01x"), &limits), STATUS_OK);
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x01\x01\x01x"), &limits), STATUS_TOO_LARGE);
    /* one for one is no growth */
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x01\x01\x01y\x03\x01"), &limits), STATUS_OK);
    limits.units_max = 10; /* what stands past a limit may shrink */
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x03\x05"), &limits), STATUS_OK);
    limits = (struct rope_limits){1000, r.n_bytes + 1};
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x01\x02\x02xy"), &limits), STATUS_TOO_LARGE);
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x01\x01\x01x"), &limits), STATUS_OK);
    cr_assert_eq(rope_emit(&r, buf_got, sizeof buf_got, &got), STATUS_OK);
    cr_assert_eq(got.n, 3 + 96);
    rope_fini(&r);
    cr_assert_eq(rope_load(&r, got, &(struct rope_limits){96, got.n}), STATUS_OK);
    rope_fini(&r);
    cr_assert_eq(rope_load(&r, got, &(struct rope_limits){95, got.n}), STATUS_TOO_LARGE);
    cr_assert_eq(rope_load(&r, got, &(struct rope_limits){96, got.n - 1}), STATUS_TOO_LARGE);
    cr_assert_eq(pool.used_bytes, 0);
    pool_fini(&pool);
}

/* A retain of one unit with attributes first .. first + n - 1, each with a value of some length. */
static struct bytes long_style(uint32_t first, uint32_t n, size_t value_bytes)
{
    static uint8_t block[1u << 18], value[2048];
    struct writer b = writer_of(block, sizeof block);
    struct op_writer w;
    struct bytes op = {NULL, 0};
    memset(value, '1', sizeof value);
    for (uint32_t i = first; i < first + n; i++) {
        uint8_t key[2] = {(uint8_t)('a' + i / 26), (uint8_t)('a' + i % 26)};
        write_str(&b, bytes_of(key, 2));
        write_str(&b, bytes_of(value, value_bytes));
    }
    op_writer_init(&w, buf_op, sizeof buf_op);
    op_push_retain(&w, 1, writer_bytes(&b));
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    return op;
}

Test(rope, holds_long_attributes_up_to_the_limits)
{
    struct pool pool;
    struct rope r;
    struct rope_limits limits = {1000, 200000};
    cr_assert_eq(pool_init(&pool, 64u << 20), STATUS_OK);
    rope_init(&r, &pool);
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x01\x03\x03xyz"), &limits), STATUS_OK);
    for (uint32_t i = 0; i < LIMIT_ATTR_PAIRS; i++)
        cr_assert_eq(rope_apply(&r, long_style(i, 1, 1000), &limits), STATUS_OK);
    cr_assert_geq(r.n_bytes, LIMIT_ATTR_PAIRS * 1000u);
    cr_assert_eq(rope_apply(&r, long_style(LIMIT_ATTR_PAIRS, 1, 1), &limits), STATUS_TOO_LARGE);
    /* one pair more, but one for another: */
    cr_assert_eq(rope_apply(&r, long_style(5, 1, 900), &limits), STATUS_OK);
    cr_assert_eq(rope_apply(&r, long_style(0, 120, 1800), &limits), STATUS_TOO_LARGE);
    /* text inside a run with long attributes cuts it: what that repeats counts too */
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x00\x01\x01\x01\x01i"), &limits), STATUS_OK);
    rope_check(&r);
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x03\x04"), &limits), STATUS_OK);
    cr_assert_eq(pool.used_bytes, 0);
    pool_fini(&pool);
}

/* ---- cost ---- */

static void type_text(struct rope *r, struct model_rng *rng, uint32_t n_words)
{
    for (uint32_t i = 0; i < n_words; i++) {
        uint64_t pos = model_random(rng, (uint32_t)r->n_u16 + 1);
        for (uint32_t k = 0; k < 5; k++) {
            struct op_writer w;
            struct bytes op = {NULL, 0};
            op_writer_init(&w, buf_op, sizeof buf_op);
            op_push_retain(&w, pos + k, (struct bytes){NULL, 0});
            op_push_insert(&w, BYTES_LIT("w"), 1, (struct bytes){NULL, 0});
            cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
            cr_assert_eq(rope_apply(r, op, &no_limits), STATUS_OK);
        }
    }
}

Test(rope, costs_at_most_twice_its_plain_text_and_1_KB)
{
    struct pool pool;
    struct rope r, copy;
    struct bytes content;
    struct model_rng rng = {.s = 3};
    cr_assert_eq(pool_init(&pool, 64u << 20), STATUS_OK);
    rope_init(&r, &pool);
    rope_init(&copy, &pool);
    for (uint32_t words = 1; words <= 16384; words *= 2) {
        type_text(&r, &rng, words);
        cr_assert_leq(r.mem_bytes, 2 * r.text_bytes + 1024);
        cr_assert_eq(rope_emit(&r, buf_got, sizeof buf_got, &content), STATUS_OK);
        cr_assert_eq(rope_load(&copy, content, &no_limits), STATUS_OK);
        cr_assert_leq(copy.mem_bytes, copy.text_bytes + copy.text_bytes / 8 + 1024);
        rope_fini(&copy);
    }
    rope_check(&r);
    while (r.n_u16 > 10) { /* and on the way down, from anywhere */
        struct op_writer w;
        struct bytes op = {NULL, 0};
        op_writer_init(&w, buf_op, sizeof buf_op);
        op_push_retain(&w, model_random(&rng, (uint32_t)r.n_u16 - 9), (struct bytes){NULL, 0});
        op_push_delete(&w, 9);
        cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
        cr_assert_eq(rope_apply(&r, op, &no_limits), STATUS_OK);
        cr_assert_leq(r.mem_bytes, 3 * r.text_bytes + 1024);
    }
    rope_check(&r);
    rope_fini(&r);
    pool_fini(&pool);
}

Test(rope, holds_64_MB)
{
    struct pool pool;
    struct rope r;
    uint8_t retain[16];
    cr_assert_eq(pool_init(&pool, 256u << 20), STATUS_OK);
    rope_init(&r, &pool);
    memset(buf_op, 'a', sizeof buf_op);
    struct op_writer w;
    struct bytes op = {NULL, 0};
    static uint8_t text[1u << 20];
    memset(text, 'a', sizeof text);
    op_writer_init(&w, buf_op, sizeof buf_op);
    op_push_insert(&w, bytes_of(text, sizeof text), sizeof text, (struct bytes){NULL, 0});
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    for (int i = 0; i < 64; i++)
        cr_assert_eq(rope_apply(&r, op, &no_limits), STATUS_OK);
    cr_assert_eq(r.n_u16, 64u << 20);
    cr_assert_leq(r.mem_bytes, 2 * r.text_bytes);
    struct model_rng rng = {.s = 9};
    for (int i = 0; i < 2000; i++) {
        struct writer o = writer_of(retain, sizeof retain);
        write_u8(&o, OP_RETAIN);
        write_varint(&o, 1 + model_random(&rng, 60u << 20));
        write_bytes(&o, i % 2 ? BYTES_LIT("\x01\x01\x01y") : BYTES_LIT("\x03\x20"));
        cr_assert_eq(rope_apply(&r, writer_bytes(&o), &no_limits), STATUS_OK);
    }
    rope_check(&r);
    rope_fini(&r);
    cr_assert_eq(pool.used_bytes, 0);
    pool_fini(&pool);
}

static struct bytes block_of(const char *key, struct bytes value, uint8_t *buf, size_t buf_bytes)
{
    struct writer w = writer_of(buf, buf_bytes);
    write_str(&w, bytes_str(key));
    write_str(&w, value);
    cr_assert(w.ok);
    return writer_bytes(&w);
}

/* n units, each with attributes of its own. */
static void load_motley(struct rope *r, uint32_t n)
{
    struct op_writer w;
    struct bytes content;
    op_writer_init(&w, buf_op, sizeof buf_op);
    for (uint32_t i = 0; i < n; i++) {
        char value[16];
        uint8_t block[64];
        snprintf(value, sizeof value, "%u", i);
        struct bytes attrs = block_of("b", bytes_str(value), block, sizeof block);
        op_push_insert(&w, BYTES_LIT("a"), 1, attrs);
    }
    cr_assert_eq(op_writer_end(&w, &content), STATUS_OK);
    cr_assert_eq(rope_load(r, content, &no_limits), STATUS_OK);
}

/* One wide format with a large value would make a large block for each run before it is refused. */
Test(rope, refuses_a_format_that_outgrows_it_before_memory_runs_out)
{
    static const struct rope_limits limits = {1u << 20, 200u << 10};
    static uint8_t value[50000], block[sizeof value + 16];
    struct pool pool;
    struct rope r;
    struct op_writer w;
    struct bytes op;
    memset(value, '7', sizeof value);
    struct bytes attrs = block_of("q", bytes_of(value, sizeof value), block, sizeof block);
    cr_assert_eq(pool_init(&pool, 4u << 20), STATUS_OK); /* a thousand such blocks are 50 MB */
    rope_init(&r, &pool);
    load_motley(&r, 1000);
    for (uint32_t n_cuts = 0; n_cuts <= 400; n_cuts += 400) { /* in place, and beside the old */
        op_writer_init(&w, buf_op, sizeof buf_op);
        op_push_retain(&w, 1000 - n_cuts, attrs);
        for (uint32_t i = 0; i < n_cuts; i++) {
            op_push_insert(&w, BYTES_LIT("x"), 1, (struct bytes){NULL, 0});
            op_push_retain(&w, 1, (struct bytes){NULL, 0});
        }
        op_push_insert(&w, BYTES_LIT("x"), 1, (struct bytes){NULL, 0});
        cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
        cr_assert_eq(rope_apply(&r, op, &limits), STATUS_TOO_LARGE);
        cr_assert_eq(r.n_u16, 1000);
        rope_check(&r);
    }
    rope_fini(&r);
    cr_assert_eq(pool.used_bytes, 0);
    pool_fini(&pool);
}

Test(rope, counts_the_runs_that_a_format_goes_over)
{
    uint8_t block[64];
    struct pool pool;
    struct rope r;
    struct op_writer w;
    struct bytes op;
    cr_assert_eq(pool_init(&pool, 16u << 20), STATUS_OK);
    rope_init(&r, &pool);
    load_motley(&r, 5000);
    uint64_t before = r.n_steps;
    cr_assert_eq(rope_apply(&r, BYTES_LIT("\x01\x01\x01x"), &no_limits), STATUS_OK);
    cr_assert_leq(r.n_steps, before + 4);
    op_writer_init(&w, buf_op, sizeof buf_op);
    op_push_retain(&w, 5000, block_of("c", BYTES_LIT("1"), block, sizeof block));
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    cr_assert_eq(rope_apply(&r, op, &no_limits), STATUS_OK);
    cr_assert_geq(r.n_steps, before + 5000);
    cr_assert_leq(r.n_steps, before + 20000);
    rope_fini(&r);
    pool_fini(&pool);
}
