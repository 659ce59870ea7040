/*
 * Ops made of the fuzzer's bytes on a rope with little memory and low limits: it holds what the
 * model holds after each, also after those that it refused, and its invariants.
 */
#include "sequencer/rope.h"
#include "tests/unit/delta_model.h"

#define INPUT_BYTES_MAX 4096u
#define OP_BYTES        (256u << 10)
#define OPS_MAX         60u

static struct model doc, before;
static uint8_t buf_op[OP_BYTES], buf_want[OP_BYTES * 4], buf_got[OP_BYTES * 4];

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_content(const struct rope *r)
{
    struct bytes got, want = model_content(&doc, buf_want, sizeof buf_want);
    must(r->n_bytes <= sizeof buf_got);
    must(rope_emit(r, buf_got, r->n_bytes, &got) == STATUS_OK);
    must(bytes_eq(got, want));
    rope_check(r);
}

/* An op that nobody made for this document: mostly one that it has to refuse. */
static struct bytes stray_op(struct model_rng *rng)
{
    struct op_writer w;
    struct bytes op = {NULL, 0};
    uint8_t block[256];
    op_writer_init(&w, buf_op, sizeof buf_op);
    for (uint32_t n = 1 + model_random(rng, 4); n > 0; n--) {
        op_push_retain(&w, model_random(rng, 200), (struct bytes){NULL, 0});
        op_push_delete(&w, model_random(rng, 3));
        op_push_retain(&w, model_random(rng, 3), model_block(model_random(rng, 256), block));
        if (model_random(rng, 2))
            op_push_insert(&w, BYTES_LIT("\xf0\x9f\x98\x80"), 2, (struct bytes){NULL, 0});
    }
    must(op_writer_end(&w, &op) == STATUS_OK);
    return op;
}

static void step(struct rope *r, struct model_rng *rng, const struct rope_limits *limits)
{
    static const uint32_t sizes[] = {1, 4, 30, 300, 2000};
    uint32_t size = sizes[model_random(rng, 5)];
    struct model_taste taste = {model_random(rng, 3) > 0, 1 + model_random(rng, 12), size, size,
                                model_random(rng, 100)};
    struct bytes op = model_random(rng, 8)
                          ? model_random_op(&doc, rng, &taste, buf_op, sizeof buf_op)
                          : stray_op(rng);
    before.n = doc.n;
    memcpy(before.unit, doc.unit, doc.n * sizeof doc.unit[0]);
    bool is_valid = model_apply(&doc, op);
    enum status s = rope_apply(r, op, limits);
    if (s == STATUS_OK) {
        must(is_valid);
        must(doc.n <= limits->units_max || doc.n <= before.n);
    } else {
        must(s == STATUS_NO_MEMORY || (s == STATUS_TOO_LARGE) || (!is_valid));
        doc.n = before.n;
        memcpy(doc.unit, before.unit, before.n * sizeof doc.unit[0]);
    }
#ifdef CANARY
    must(!(s == STATUS_OK && r->height == 1 && r->attrs && op.n > 40));
#endif
    check_content(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > INPUT_BYTES_MAX)
        return 0;
    struct pool pool;
    struct rope r;
    struct model_rng rng = {.p = data, .end = data + size};
    struct rope_limits limits = {.units_max = 20000, .bytes_max = 150000};
    uint64_t pages = 4 + model_random(&rng, 40);
    if (model_random(&rng, 2))
        limits = (struct rope_limits){model_random(&rng, 3000), 100 + model_random(&rng, 30000)};
    must(pool_init(&pool, pages * POOL_PAGE_BYTES) == STATUS_OK);
    rope_init(&r, &pool);
    doc.n = 0;
    for (uint32_t i = 0; i < OPS_MAX && rng.p < rng.end; i++)
        step(&r, &rng, &limits);
    rope_fini(&r);
    must(r.mem_bytes == 0 && pool.used_bytes == 0);
    pool_fini(&pool);
    return 0;
}
