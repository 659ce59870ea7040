/*
 * Any bytes as an op: op_check refuses them, or the cursor walks all of it, the writer brings it to
 * a normal form that fits where the op was, and that form is its own.
 */
#include "net/op.h"

#include <stdlib.h>

#define INPUT_BYTES_MAX 4096u

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Of exactly that size, so that a step past it is seen. */
static void *exactly(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        abort();
    return p;
}

static struct bytes normalised(struct bytes op, void *buf)
{
    struct op_reader r = op_reader_of(op);
    struct op_part part;
    struct op_writer w;
    struct bytes out = {NULL, 0};
    op_writer_init(&w, buf, op.n);
    while (op_next(&r, &part))
        op_push(&w, &part);
    must(r.r.ok);
    must(op_writer_end(&w, &out) == STATUS_OK);
    return out;
}

/* Whatever is made of well-formed blocks is one; `b` laid over `a`, both ways, agrees with diff. */
static void check_attrs(struct bytes a, struct bytes b)
{
    size_t n = 2 * (a.n + b.n) + 1024;
    uint8_t *buf = exactly(n);
    struct writer w = writer_of(buf, n);
    attrs_diff(a, b, &w);
    struct bytes diff = writer_bytes(&w);
    struct writer composed = writer_of(w.p, n - diff.n);
    attrs_compose(a, diff, true, &composed);
    must(w.ok && composed.ok);
    must(attrs_n(writer_bytes(&composed)) >= attrs_n(b));
    attrs_invert(a, b, &composed);
    attrs_transform(a, b, true, &composed);
    free(buf);
}

static void check_parts(struct bytes op)
{
    struct op_reader r = op_reader_of(op);
    struct op_part part, last = {.kind = OP_RETAIN};
    while (op_next(&r, &part)) {
        must(part.n_u16 > 0);
        must(part.text.n == 0 || (part.text.p >= op.p && part.text.p + part.text.n <= op.p + op.n));
        check_attrs(last.attrs, part.attrs);
        last = part;
    }
}

/* Retains at the end are chopped; all else that is read and written stays the same in sum. */
static void check_shapes(const struct op_shape *before, const struct op_shape *after)
{
    must(after->base_u16 <= before->base_u16);
    must(after->insert_u16 == before->insert_u16);
    must(after->delete_u16 == before->delete_u16);
    must(after->n_parts <= before->n_parts);
#ifdef CANARY
    must(!(before->n_parts > after->n_parts && before->delete_u16 == 7));
#endif
}

static void check_op(struct bytes op, const struct op_limits *limits)
{
    struct op_shape shape, again;
    if (op_check(op, limits, &shape) != STATUS_OK)
        return;
    check_parts(op);
    uint8_t *one = exactly(op.n);
    struct bytes normal = normalised(op, one);
    must(op_check(normal, limits, &again) == STATUS_OK);
    check_shapes(&shape, &again);
    uint8_t *two = exactly(normal.n);
    must(bytes_eq(normal, normalised(normal, two)));
    free(one);
    free(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_BYTES_MAX)
        return 0;
    struct op_limits limits = {.parts_max = 50, .rich = data[0] & 1, .content = data[0] & 2};
    uint8_t *copy = exactly(size - 1);
    memcpy(copy, data + 1, size - 1);
    struct bytes op = bytes_of(copy, size - 1);
    check_op(op, &limits);
    struct op_reader r = op_reader_of(op);
    struct op_part part;
    while (op_next(&r, &part)) /* unchecked bytes too end in an answer */
        ;
    must(!r.r.ok || r.r.p == op.p + op.n);
    free(copy);
    return 0;
}
