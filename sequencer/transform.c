/* transform.c - transform and compose on binary ops; see transform.h. */
#include "sequencer/transform.h"
#include "base/utf.h"

/* Headers and lengths around one component's text and attributes are less than this. */
#define PART_BYTES_MAX 32u

/* An op that is consumed a piece at a time. Behind its end it retains, more than any op holds. */
struct feed {
    struct op_reader r;
    struct op_part part; /* what is left of the component under way; behind the end a retain */
    bool has;
    bool has_tail; /* the last component read is a plain retain */
};

static void feed_next(struct feed *f)
{
    f->has = op_next(&f->r, &f->part);
    if (f->has)
        f->has_tail = op_part_is_plain_retain(&f->part);
    else
        f->part = (struct op_part){.kind = OP_RETAIN, .n_u16 = UINT64_MAX};
}

static void feed_init(struct feed *f, struct bytes op)
{
    f->r = op_reader_of(op);
    f->has_tail = false;
    feed_next(f);
}

static bool feed_is_insert(const struct feed *f)
{
    return op_part_is_insert(&f->part);
}

/* Goes on by n_u16 units (at most what is left), where those need not be looked at any more. */
static void feed_skip(struct feed *f, uint64_t n_u16)
{
    if (!f->has)
        return;
    f->part.n_u16 -= n_u16;
    if (f->part.n_u16 == 0)
        feed_next(f);
}

/* Takes n_u16 units off the insert under way, as `piece`; false where that splits a pair. */
static bool feed_take(struct feed *f, uint64_t n_u16, struct op_part *piece)
{
    *piece = f->part;
    if (n_u16 == f->part.n_u16) {
        feed_next(f);
        return true;
    }
    size_t at = n_u16;
    bool is_ascii = f->part.n_u16 == f->part.text.n;
    if (!is_ascii && !utf16_offset(f->part.text, n_u16, &at))
        return false;
    piece->text.n = at;
    f->part.text = bytes_of(f->part.text.p + at, f->part.text.n - at);
    piece->n_u16 = n_u16;
    f->part.n_u16 -= n_u16;
    return true;
}

static void push_rest(struct op_writer *ow, struct feed *f)
{
    for (; f->has; feed_next(f))
        op_push(ow, &f->part);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- bounds ---- */

struct extent {
    size_t n_parts;
    size_t attrs_max;
};

static struct extent extent_of(struct bytes op)
{
    struct op_reader r = op_reader_of(op);
    struct op_part part;
    struct extent e = {0, 0};
    while (op_next(&r, &part)) {
        e.n_parts++;
        if (part.attrs.n > e.attrs_max)
            e.attrs_max = part.attrs.n;
    }
    return e;
}

/* Every component may carry the largest attributes: a piece repeats those of what it is cut off. */
static size_t bytes_max(size_t text_bytes, size_t n_parts, size_t attrs_max)
{
    return text_bytes + (n_parts + 1) * (attrs_max + PART_BYTES_MAX) + OP_WRITER_GAP;
}

size_t transform_bytes_max(struct bytes a, struct bytes b)
{
    struct extent ea = extent_of(a), eb = extent_of(b);
    return bytes_max(b.n, ea.n_parts + eb.n_parts, eb.attrs_max);
}

size_t compose_bytes_max(struct bytes a, struct bytes b)
{
    struct extent ea = extent_of(a), eb = extent_of(b);
    return bytes_max(a.n + b.n, ea.n_parts + eb.n_parts, ea.attrs_max + eb.attrs_max);
}

/* ---- transform ---- */

static void push_transformed_retain(struct op_writer *ow, uint64_t n_u16, struct bytes a,
                                    struct bytes b, bool a_has_priority)
{
    if (a.n && b.n && a_has_priority) {
        struct writer w = op_writer_scratch(ow, 0);
        attrs_transform(a, b, true, &w);
        ow->w.ok &= w.ok;
        b = writer_bytes(&w);
    }
    op_push_retain(ow, n_u16, b);
}

/* One step over the document that both read: a retains or deletes, b retains or deletes. */
static void transform_base(struct op_writer *ow, struct feed *a, struct feed *b,
                           bool a_has_priority)
{
    uint64_t n = min_u64(a->part.n_u16, b->part.n_u16);
    if (a->part.kind == OP_RETAIN && b->part.kind == OP_RETAIN)
        push_transformed_retain(ow, n, a->part.attrs, b->part.attrs, a_has_priority);
    else if (a->part.kind == OP_RETAIN)
        op_push_delete(ow, n);
    feed_skip(a, n);
    feed_skip(b, n);
}

enum status op_transform(struct bytes a, struct bytes b, bool a_has_priority, void *buf,
                         size_t buf_bytes, struct bytes *out)
{
    struct feed fa, fb;
    struct op_writer ow;
    feed_init(&fa, a);
    feed_init(&fb, b);
    op_writer_init(&ow, buf, buf_bytes);
    /* Once b is through, what a still does would only be retained over, and that is chopped. */
    while (fa.has && fb.has) {
        if (feed_is_insert(&fa) && (a_has_priority || !feed_is_insert(&fb))) {
            op_push_retain(&ow, fa.part.n_u16, (struct bytes){NULL, 0});
            feed_next(&fa);
        } else if (feed_is_insert(&fb)) {
            op_push(&ow, &fb.part);
            feed_next(&fb);
        } else {
            transform_base(&ow, &fa, &fb, a_has_priority);
        }
    }
    push_rest(&ow, &fb);
    if (!fa.r.r.ok || !fb.r.r.ok)
        return STATUS_OP_INVALID;
    return fb.has_tail ? op_writer_end_whole(&ow, out) : op_writer_end(&ow, out);
}

uint64_t op_transform_position(struct bytes a, uint64_t pos_u16, bool a_has_priority)
{
    struct op_reader r = op_reader_of(a);
    struct op_part part;
    uint64_t pos = pos_u16, offset = 0;
    while (offset <= pos && op_next(&r, &part)) {
        if (part.kind == OP_DELETE) {
            pos -= min_u64(part.n_u16, pos - offset);
            continue;
        }
        if (op_part_is_insert(&part) && (offset < pos || !a_has_priority))
            pos += part.n_u16;
        offset += part.n_u16;
    }
    return r.r.ok ? pos : pos_u16;
}

/* ---- compose ---- */

static void push_composed(struct op_writer *ow, struct op_part *piece, struct bytes b)
{
    bool keep_null = piece->kind == OP_RETAIN;
    if (piece->attrs.n == 0 && keep_null) {
        piece->attrs = b;
    } else if (b.n) {
        struct writer w = op_writer_scratch(ow, piece->text.n);
        attrs_compose(piece->attrs, b, keep_null, &w);
        ow->w.ok &= w.ok;
        piece->attrs = writer_bytes(&w);
    }
    op_push(ow, piece);
}

/* One step over the text between both: a made or retained it, b retains or deletes it. */
static bool compose_middle(struct op_writer *ow, struct feed *a, struct feed *b)
{
    uint64_t n = min_u64(a->part.n_u16, b->part.n_u16);
    struct op_part piece = {.kind = OP_RETAIN, .n_u16 = n, .attrs = a->part.attrs};
    bool is_made = feed_is_insert(a);
    if (!is_made)
        feed_skip(a, n);
    else if (!feed_take(a, n, &piece))
        return false;
    if (b->part.kind == OP_RETAIN)
        push_composed(ow, &piece, b->part.attrs);
    else if (!is_made)
        op_push_delete(ow, n);
    feed_skip(b, n);
    return true;
}

enum status op_compose(struct bytes a, struct bytes b, void *buf, size_t buf_bytes,
                       struct bytes *out)
{
    struct feed fa, fb;
    struct op_writer ow;
    feed_init(&fa, a);
    feed_init(&fb, b);
    op_writer_init(&ow, buf, buf_bytes);
    while (fb.has) {
        if (feed_is_insert(&fb)) {
            op_push(&ow, &fb.part);
            feed_next(&fb);
        } else if (fa.part.kind == OP_DELETE) {
            op_push_delete(&ow, fa.part.n_u16);
            feed_next(&fa);
        } else if (!compose_middle(&ow, &fa, &fb)) {
            return STATUS_OP_INVALID;
        }
    }
    push_rest(&ow, &fa);
    if (!fa.r.r.ok || !fb.r.r.ok)
        return STATUS_OP_INVALID;
    return op_writer_end(&ow, out);
}
