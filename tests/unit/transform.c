/*
 * Transform, compose and positions: their laws, on random and on all small cases. That they mean
 * what quill-delta means is tests/oracle/algebra.mjs's to show.
 */
#include "sequencer/transform.h"
#include "tests/unit/delta_model.h"

#include <criterion/criterion.h>

#define OP_BYTES 65536u

struct slot {
    uint8_t buf[OP_BYTES];
    struct bytes op;
};

static const struct model_taste tastes[] = {
    {false, 3, 4, 6, 20},
    {true, 5, 4, 6, 30},
    {true, 20, 3, 9, 10},
    {false, 8, 40, 60, 60},
};
#define N_TASTES (sizeof tastes / sizeof tastes[0])

static void random_op(struct slot *s, const struct model *m, struct model_rng *rng, size_t taste)
{
    s->op = model_random_op(m, rng, &tastes[taste], s->buf, sizeof s->buf);
}

/* Into memory of exactly the promised size. */
static struct bytes transformed(struct bytes a, struct bytes b, bool priority, struct slot *out)
{
    size_t n = transform_bytes_max(a, b);
    cr_assert_leq(n, sizeof out->buf);
    cr_assert_eq(op_transform(a, b, priority, out->buf, n, &out->op), STATUS_OK);
    return out->op;
}

static struct bytes composed(struct bytes a, struct bytes b, struct slot *out)
{
    size_t n = compose_bytes_max(a, b);
    cr_assert_leq(n, sizeof out->buf);
    cr_assert_eq(op_compose(a, b, out->buf, n, &out->op), STATUS_OK);
    return out->op;
}

static void copy_model(struct model *to, const struct model *from)
{
    to->n = from->n;
    memcpy(to->unit, from->unit, from->n * sizeof from->unit[0]);
}

static void assert_same(const struct model *x, const struct model *y)
{
    cr_assert_eq(x->n, y->n);
    cr_assert_eq(memcmp(x->unit, y->unit, x->n * sizeof x->unit[0]), 0);
}

static struct model doc, one, two;
static struct slot a, b, c, ab, ba, composition, other, content;

/* Both orders of a and b end in one document: a first, which has priority. */
static void assert_converges(void)
{
    transformed(a.op, b.op, true, &ab);
    transformed(b.op, a.op, false, &ba);
    copy_model(&one, &doc);
    copy_model(&two, &doc);
    cr_assert(model_apply(&one, a.op) && model_apply(&one, ab.op));
    cr_assert(model_apply(&two, b.op) && model_apply(&two, ba.op));
    assert_same(&one, &two);
}

static void random_document(struct model_rng *rng, size_t taste)
{
    doc.n = 0;
    for (int i = 0; i < 3; i++) {
        random_op(&c, &doc, rng, taste);
        cr_assert(model_apply(&doc, c.op));
    }
}

Test(transform, converges_on_random_pairs)
{
    for (uint32_t i = 0; i < 40000; i++) {
        struct model_rng rng = {.s = i};
        random_document(&rng, i % N_TASTES);
        random_op(&a, &doc, &rng, i % N_TASTES);
        random_op(&b, &doc, &rng, i % N_TASTES);
        assert_converges();
    }
}

/* ---- all small cases ---- */

enum { SMALL_STEPS = 10, SMALL_OPS_MAX = 200 };

static void push_small(struct op_writer *w, uint32_t step)
{
    uint8_t block[256];
    struct bytes none = {NULL, 0};
    static const char *const text[] = {"x", "\U0001f600"};
    if (step < 3)
        op_push_retain(w, step + 1, none);
    else if (step < 6)
        op_push_delete(w, step - 2);
    else if (step < 8)
        op_push_insert(w, bytes_str(text[step - 6]), step - 5, none);
    else
        op_push_retain(w, 1, model_block(step == 8 ? 1 : 3, block));
}

/* Every valid op on `doc` of up to two components. */
static uint32_t small_ops(struct slot *ops)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < (SMALL_STEPS + 1) * (SMALL_STEPS + 1); i++) {
        struct op_writer w;
        struct slot *s = &ops[n];
        op_writer_init(&w, s->buf, sizeof s->buf);
        for (uint32_t k = i; k; k /= SMALL_STEPS + 1) {
            if (k % (SMALL_STEPS + 1))
                push_small(&w, k % (SMALL_STEPS + 1) - 1);
        }
        cr_assert_eq(op_writer_end(&w, &s->op), STATUS_OK);
        copy_model(&one, &doc);
        n += model_apply(&one, s->op);
        cr_assert_lt(n, (uint32_t)SMALL_OPS_MAX);
    }
    return n;
}

Test(transform, converges_on_every_pair_of_small_ops_on_every_small_document)
{
    static struct slot ops[SMALL_OPS_MAX];
    static const char *const letter[] = {"a", "\u00e9", "\U0001f600"};
    uint64_t n_pairs = 0;
    for (uint32_t d = 0; d < 64; d++) { /* three places, each a letter or nothing */
        doc.n = 0;
        for (uint32_t k = d; k; k /= 4) {
            if (k % 4)
                model_add_text(&doc, bytes_str(letter[k % 4 - 1]), 0);
        }
        uint32_t n = small_ops(ops);
        for (uint32_t i = 0; i < n * n; i++) {
            a.op = ops[i / n].op;
            b.op = ops[i % n].op;
            assert_converges();
            n_pairs++;
        }
    }
    cr_assert_gt(n_pairs, 50000);
}

/* ---- compose ---- */

Test(compose, is_one_op_after_the_other_and_is_associative)
{
    for (uint32_t i = 0; i < 40000; i++) {
        struct model_rng rng = {.s = i + 1000000};
        random_document(&rng, i % N_TASTES);
        content.op = model_content(&doc, content.buf, sizeof content.buf);
        random_op(&a, &doc, &rng, i % N_TASTES);
        cr_assert(model_apply(&doc, a.op));
        random_op(&b, &doc, &rng, i % N_TASTES);
        cr_assert(model_apply(&doc, b.op));
        random_op(&c, &doc, &rng, i % N_TASTES);
        cr_assert(model_apply(&doc, c.op));
        composed(a.op, b.op, &ab);
        composed(ab.op, c.op, &composition);
        composed(b.op, c.op, &ba);
        composed(a.op, ba.op, &other);
        cr_assert(bytes_eq(composition.op, other.op));
        struct bytes got = composed(content.op, composition.op, &other);
        cr_assert(bytes_eq(got, model_content(&doc, content.buf, sizeof content.buf)));
    }
}

static struct bytes insert_of(struct slot *s, const char *text)
{
    struct op_writer w;
    op_writer_init(&w, s->buf, sizeof s->buf);
    op_push_insert(&w, bytes_str(text), utf16_units(bytes_str(text)), (struct bytes){NULL, 0});
    cr_assert_eq(op_writer_end(&w, &s->op), STATUS_OK);
    return s->op;
}

static struct bytes delete_at(struct slot *s, uint64_t at, uint64_t n)
{
    struct op_writer w;
    op_writer_init(&w, s->buf, sizeof s->buf);
    op_push_retain(&w, at, (struct bytes){NULL, 0});
    op_push_delete(&w, n);
    cr_assert_eq(op_writer_end(&w, &s->op), STATUS_OK);
    return s->op;
}

Test(compose, refuses_to_cut_a_pair_of_surrogates)
{
    insert_of(&a, "a\U0001f600b");
    for (uint64_t at = 0; at < 4; at++) {
        for (uint64_t n = 1; at + n <= 4; n++) {
            delete_at(&b, at, n);
            bool cuts = at == 2 || at + n == 2;
            enum status s = op_compose(a.op, b.op, ab.buf, sizeof ab.buf, &ab.op);
            cr_assert_eq(s, cuts ? STATUS_OP_INVALID : STATUS_OK);
        }
    }
}

Test(transform, says_no_room_for_every_buffer_that_is_too_small)
{
    struct model_rng rng = {.s = 5};
    for (int i = 0; i < 200; i++) {
        random_document(&rng, 1);
        random_op(&a, &doc, &rng, 1);
        random_op(&b, &doc, &rng, 1);
        size_t n = transformed(a.op, b.op, true, &ab).n;
        for (size_t room = 0; room < n; room++)
            cr_assert_eq(op_transform(a.op, b.op, true, ba.buf, room, &ba.op), STATUS_NO_ROOM);
    }
}

/* With priority the position stays left of what is inserted at it, as if its insert came first. */
Test(transform, carries_a_position_as_it_would_carry_an_insert_there)
{
    for (uint32_t i = 0; i < 20000; i++) {
        struct model_rng rng = {.s = i + 77};
        random_document(&rng, i % N_TASTES);
        random_op(&a, &doc, &rng, i % N_TASTES);
        for (uint64_t pos = 0; pos <= doc.n && pos < 20; pos++) {
            for (int priority = 0; priority < 2; priority++) {
                struct op_writer w;
                struct op_part part = {.kind = OP_INSERT};
                op_writer_init(&w, b.buf, sizeof b.buf);
                op_push_retain(&w, pos, (struct bytes){NULL, 0});
                op_push_insert(&w, BYTES_LIT("x"), 1, (struct bytes){NULL, 0});
                cr_assert_eq(op_writer_end(&w, &b.op), STATUS_OK);
                transformed(a.op, b.op, !priority, &ab);
                struct op_reader r = op_reader_of(ab.op);
                cr_assert(op_next(&r, &part));
                uint64_t want = part.kind == OP_RETAIN ? part.n_u16 : 0;
                cr_assert_eq(op_transform_position(a.op, pos, priority), want);
            }
        }
    }
}
