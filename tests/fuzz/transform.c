/*
 * Two ops, made of the fuzzer's bytes: as choices on a document (then both orders converge, and
 * composition is one after the other), or as they are (then nothing breaks, and results are ops).
 */
#include "sequencer/transform.h"
#include "tests/unit/delta_model.h"

#define INPUT_BYTES_MAX 2048u
#define OP_BYTES        (64u << 10)

static const struct op_limits limits = {.parts_max = 10000, .rich = true};

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* In memory of exactly the promised size, given back by the caller. */
static struct bytes result(struct bytes a, struct bytes b, int what, void **mem, bool *is_invalid)
{
    size_t n = what == 2 ? compose_bytes_max(a, b) : transform_bytes_max(a, b);
    struct bytes out = {NULL, 0};
    *mem = malloc(n);
    must(*mem != NULL);
    enum status s =
        what == 2 ? op_compose(a, b, *mem, n, &out) : op_transform(a, b, what == 1, *mem, n, &out);
    *is_invalid = s == STATUS_OP_INVALID;
    must(s == STATUS_OK || *is_invalid);
    return out;
}

static void check_result(struct bytes op)
{
    struct op_shape shape;
    must(op_check(op, &limits, &shape) == STATUS_OK);
}

/* ---- bytes as they are ---- */

static void check_raw(struct bytes a, struct bytes b)
{
    struct op_shape shape;
    bool is_op =
        op_check(a, &limits, &shape) == STATUS_OK && op_check(b, &limits, &shape) == STATUS_OK;
    for (int what = 0; what < 3; what++) {
        void *mem;
        bool is_invalid;
        struct bytes out = result(a, b, what, &mem, &is_invalid);
        must(!is_op || what == 2 || !is_invalid);
        if (is_op && !is_invalid)
            check_result(out);
        free(mem);
    }
    (void)op_transform_position(a, b.n, true);
}

/* ---- choices on a document ---- */

static struct model doc, one, two;
static uint8_t buf_a[OP_BYTES], buf_b[OP_BYTES], buf_c[OP_BYTES];

static void copy_model(struct model *to, const struct model *from)
{
    to->n = from->n;
    memcpy(to->unit, from->unit, from->n * sizeof from->unit[0]);
}

static void must_be_same(const struct model *x, const struct model *y)
{
    must(x->n == y->n);
    must(memcmp(x->unit, y->unit, x->n * sizeof x->unit[0]) == 0);
}

static void check_convergence(struct bytes a, struct bytes b)
{
    void *mem_ab, *mem_ba;
    bool bad_ab, bad_ba;
    struct bytes ab = result(a, b, 1, &mem_ab, &bad_ab), ba = result(b, a, 0, &mem_ba, &bad_ba);
    must(!bad_ab && !bad_ba);
    check_result(ab);
    check_result(ba);
    copy_model(&one, &doc);
    copy_model(&two, &doc);
    must(model_apply(&one, a) && model_apply(&one, ab));
    must(model_apply(&two, b) && model_apply(&two, ba));
    must_be_same(&one, &two);
#ifdef CANARY
    must(!(ab.n == 0 && b.n > 8 && ba.n > 4));
#endif
    free(mem_ab);
    free(mem_ba);
}

static void check_composition(struct bytes a, struct bytes b)
{
    void *mem;
    bool is_invalid;
    struct bytes ab = result(a, b, 2, &mem, &is_invalid);
    must(!is_invalid);
    check_result(ab);
    copy_model(&one, &doc);
    copy_model(&two, &doc);
    must(model_apply(&one, a) && model_apply(&one, b) && model_apply(&two, ab));
    must_be_same(&one, &two);
    free(mem);
}

static void check_choices(struct model_rng *rng)
{
    struct model_taste taste = {true, 1 + model_random(rng, 8), 1 + model_random(rng, 20),
                                1 + model_random(rng, 20), 30};
    doc.n = 0;
    for (int i = 0; i < 2; i++)
        must(model_apply(&doc, model_random_op(&doc, rng, &taste, buf_c, sizeof buf_c)));
    struct bytes a = model_random_op(&doc, rng, &taste, buf_a, sizeof buf_a);
    struct bytes b = model_random_op(&doc, rng, &taste, buf_b, sizeof buf_b);
    check_convergence(a, b);
    copy_model(&two, &doc);
    must(model_apply(&two, a));
    check_composition(a, model_random_op(&two, rng, &taste, buf_c, sizeof buf_c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_BYTES_MAX)
        return 0;
    if (data[0] & 1) {
        size_t n = (size - 2) * data[1] / 255;
        check_raw(bytes_of(data + 2, n), bytes_of(data + 2 + n, size - 2 - n));
        return 0;
    }
    struct model_rng rng = {.p = data + 1, .end = data + size};
    check_choices(&rng);
    return 0;
}
