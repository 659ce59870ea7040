#include "sequencer/merge.h"
#include "sequencer/transform.h"
#include "tests/unit/delta_model.h"

#include <criterion/criterion.h>

#define MINE   40u /* past what one slice takes at least */
#define THEIRS 12u

static struct merge m;
static uint8_t mem[2 * (MINE + THEIRS) + 4][65536];
static struct model base, left, right;

/* MINE ops and THEIRS ops, each on top of the one before, from one content. */
static struct bytes mine[MINE], theirs[THEIRS];

static void make_ops(struct model_rng *rng, bool rich)
{
    const struct model_taste taste = {
        .rich = rich, .parts_max = 4, .text_max = 5, .span_max = 6, .per_cent_wild = 30};
    uint8_t *buf = mem[0];
    base.n = 0;
    for (unsigned i = 0; i < 4; i++)
        cr_assert(model_apply(&base, model_random_op(&base, rng, &taste, buf, sizeof mem[0])));
    left = base;
    for (unsigned i = 0; i < MINE; i++) {
        mine[i] = model_random_op(&left, rng, &taste, mem[1 + i], sizeof mem[0]);
        cr_assert(model_apply(&left, mine[i]));
    }
    right = base;
    for (unsigned i = 0; i < THEIRS; i++) {
        theirs[i] = model_random_op(&right, rng, &taste, mem[1 + MINE + i], sizeof mem[0]);
        cr_assert(model_apply(&right, theirs[i]));
    }
}

/* What a client does that got `theirs` while `mine` waited: each of theirs past each of mine. */
static void client_side(void)
{
    static uint8_t store[MINE + 1][2][65536];
    static uint8_t s_store[2][65536];
    struct bytes p[MINE];
    memcpy(p, mine, sizeof p);
    for (unsigned i = 0; i < THEIRS; i++) {
        struct bytes s = theirs[i];
        for (unsigned k = 0; k < MINE; k++) {
            struct bytes s2, p2;
            cr_assert_eq(op_transform(p[k], s, false, s_store[k & 1], 65536, &s2), STATUS_OK);
            cr_assert_eq(op_transform(s, p[k], true, store[k][i & 1], 65536, &p2), STATUS_OK);
            p[k] = p2;
            s = s2;
        }
        cr_assert(model_apply(&left, s), "theirs fits what the client shows");
    }
}

static void check_same(const struct model *a, const struct model *b)
{
    cr_assert_eq(a->n, b->n);
    cr_assert_eq(memcmp(a->unit, b->unit, a->n * sizeof a->unit[0]), 0);
}

static unsigned n_cut;

static void run(uint64_t seed, bool rich, bool in_slices)
{
    struct model_rng rng = {.s = seed};
    uint8_t *block = NULL;
    make_ops(&rng, rich);
    merge_begin(&m);
    for (unsigned i = 0; i < MINE; i++)
        cr_assert(merge_add(&m, mine[i]));
    for (unsigned i = 0; i < THEIRS;) {
        /* also in the middle of one accepted op, a step or a few at a time */
        enum status st = in_slices ? merge_past_some(&m, theirs[i], 1 + seed % 5 * 40)
                                   : merge_past(&m, theirs[i]);
        cr_assert(st == STATUS_OK || (in_slices && st == STATUS_END));
        i += st == STATUS_OK;
        n_cut += st == STATUS_END;
        if (in_slices) {
            uint32_t at = m.at;
            size_t n = merge_emit_bytes(&m);
            uint8_t *next = malloc(n);
            merge_emit(&m, next, n);
            free(block);
            block = next;
            cr_assert_eq(merge_resume(&m, bytes_of(block, n), at), STATUS_OK);
            cr_assert_eq(m.n, MINE);
        }
    }
    for (unsigned i = 0; i < MINE; i++)
        cr_assert(model_apply(&right, m.ops[i]), "mine fits what the server has");
    client_side();
    check_same(&left, &right);
    free(block);
}

Test(merge, the_server_and_a_client_end_with_equal_content)
{
    cr_assert_eq(merge_open(&m, 64, 1u << 20), STATUS_OK);
    for (uint64_t seed = 1; seed <= 1500; seed++)
        run(seed, seed % 2, seed % 3 == 0);
    cr_assert_gt(n_cut, 500);
    merge_close(&m);
}

Test(merge, what_outgrows_the_buffer_is_too_large)
{
    cr_assert_eq(merge_open(&m, 64, 4096), STATUS_OK);
    struct op_writer w;
    struct bytes big, small;
    op_writer_init(&w, mem[0], sizeof mem[0]);
    static uint8_t text[5000];
    memset(text, 'x', sizeof text);
    op_push_insert(&w, bytes_of(text, sizeof text), sizeof text, (struct bytes){0});
    cr_assert_eq(op_writer_end(&w, &big), STATUS_OK);
    op_writer_init(&w, mem[1], sizeof mem[1]);
    op_push_insert(&w, BYTES_LIT("a"), 1, (struct bytes){0});
    cr_assert_eq(op_writer_end(&w, &small), STATUS_OK);
    merge_begin(&m);
    cr_assert(merge_add(&m, big));
    cr_assert_eq(merge_past(&m, small), STATUS_TOO_LARGE);
    merge_close(&m);
}

Test(merge, more_ops_than_it_holds_are_not_added)
{
    cr_assert_eq(merge_open(&m, 2, 4096), STATUS_OK);
    merge_begin(&m);
    cr_assert(merge_add(&m, BYTES_LIT("")));
    cr_assert(merge_add(&m, BYTES_LIT("")));
    cr_assert_not(merge_add(&m, BYTES_LIT("")));
    merge_close(&m);
}
