/* op.c - reading, checking and writing the binary op; see op.h. Attribute blocks: op_attrs.c. */
#include "net/op.h"
#include "base/utf.h"
#include "net/limits.h"

#define UNITS_MAX ((1ull << 53) - 1) /* what a JavaScript client can count */

/* ---- reading ---- */

/* read_varint, at once for the lengths that ops mostly have: below 2^21, not at the very end. */
static inline uint64_t next_length(struct reader *r)
{
    uint32_t v;
    if (reader_left(r) < sizeof v)
        return read_varint(r);
    memcpy(&v, r->p, sizeof v);
    if (!(v & 0x80)) {
        r->p += 1;
        return v & 0x7f;
    }
    if (!(v & 0x8000) && (v & 0x7f00)) {
        r->p += 2;
        return (v & 0x7f) | (v >> 1 & 0x3f80);
    }
    if ((v & 0x8000) && !(v & 0x800000) && (v & 0x7f0000)) {
        r->p += 3;
        return (v & 0x7f) | (v >> 1 & 0x3f80) | (v >> 2 & 0x1fc000);
    }
    return read_varint(r);
}

/* A str field that may not be empty. */
static inline bool next_str(struct reader *r, struct bytes *b)
{
    uint64_t n = next_length(r);
    if (n == 0 || n > reader_left(r))
        return reader_fail(r);
    *b = bytes_of(r->p, (size_t)n);
    r->p += n;
    return true;
}

bool op_next(struct op_reader *op, struct op_part *part)
{
    struct reader *r = &op->r;
    if (r->p == r->end)
        return false;
    uint8_t tag = *r->p++;
    part->kind = (enum op_kind)(tag & OP_TAG_KIND);
    part->n_u16 = 1;
    part->text = (struct bytes){NULL, 0};
    part->attrs = (struct bytes){NULL, 0};
    if (tag & ~(OP_TAG_KIND | OP_TAG_ATTRS))
        return reader_fail(r);
    if (part->kind != OP_EMBED) {
        part->n_u16 = next_length(r);
        if (part->n_u16 == 0)
            return reader_fail(r);
    }
    if (op_part_is_insert(part) && !next_str(r, &part->text))
        return false;
    if (!(tag & OP_TAG_ATTRS))
        return true;
    return part->kind != OP_DELETE ? next_str(r, &part->attrs) : reader_fail(r);
}

/* ---- checking ---- */

static enum status check_attrs(struct bytes attrs)
{
    struct reader r = reader_of(attrs);
    struct attr a, last = {{NULL, 0}, {NULL, 0}};
    uint32_t n = 0;
    while (attr_next(&r, &a)) {
        if (n && bytes_cmp(last.key, a.key) >= 0)
            return STATUS_OP_INVALID;
        if (a.value.n == 0 || !utf8_check_text(a.key) || !utf8_check_text(a.value))
            return STATUS_OP_INVALID;
        if (++n > LIMIT_ATTR_PAIRS)
            return STATUS_TOO_LARGE;
        last = a;
    }
    return r.ok ? STATUS_OK : STATUS_OP_INVALID;
}

static bool check_insert(const struct op_part *part)
{
    struct bytes t = part->text;
    if (!utf8_check_text(t))
        return false;
    if (part->kind == OP_EMBED)
        return t.n >= 2 && t.p[0] == '{' && t.p[t.n - 1] == '}';
    return utf16_units(t) == part->n_u16;
}

static enum status check_part(const struct op_part *part, const struct op_limits *limits,
                              struct op_shape *shape)
{
    if (part->n_u16 > UNITS_MAX)
        return STATUS_OP_INVALID;
    if (op_part_is_insert(part)) {
        if (!check_insert(part) || (part->kind == OP_EMBED && !limits->rich))
            return STATUS_OP_INVALID;
        shape->insert_u16 += part->n_u16;
        shape->has_embeds |= part->kind == OP_EMBED;
    } else {
        if (limits->content)
            return STATUS_OP_INVALID;
        shape->base_u16 += part->n_u16;
        if (part->kind == OP_DELETE)
            shape->delete_u16 += part->n_u16;
    }
    if (shape->insert_u16 > UNITS_MAX || shape->base_u16 > UNITS_MAX)
        return STATUS_OP_INVALID;
    if (part->attrs.n == 0)
        return STATUS_OK;
    shape->has_attrs = true;
    return limits->rich ? check_attrs(part->attrs) : STATUS_OP_INVALID;
}

enum status op_check(struct bytes op, const struct op_limits *limits, struct op_shape *shape)
{
    struct op_reader r = op_reader_of(op);
    struct op_shape found = {0};
    struct op_part part;
    while (op_next(&r, &part)) {
        if (found.n_parts == limits->parts_max)
            return STATUS_TOO_LARGE;
        found.n_parts++;
        enum status s = check_part(&part, limits, &found);
        if (s)
            return s;
        found.has_tail = op_part_is_plain_retain(&part);
    }
    if (!r.r.ok)
        return STATUS_OP_INVALID;
    *shape = found;
    return STATUS_OK;
}

/* ---- writing ---- */

void op_writer_init(struct op_writer *ow, void *buf, size_t n)
{
    *ow = (struct op_writer){.w = writer_of(buf, n)};
}

static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static size_t head_bytes(enum op_kind kind, uint64_t n_u16, size_t text_bytes)
{
    size_t n = 1;
    if (kind != OP_EMBED)
        n += varint_bytes(n_u16);
    if (kind == OP_INSERT || kind == OP_EMBED)
        n += varint_bytes(text_bytes);
    return n;
}

/*
 * Writes the held component's header. It may have outgrown the room that was left for it when the
 * first piece came; then what follows moves up, at most once a component.
 */
static void close_held(struct op_writer *ow)
{
    if (ow->held_u16 == 0)
        return;
    size_t need = head_bytes(ow->held_kind, ow->held_u16, ow->held_text_bytes);
    if (need != ow->held_head_bytes) {
        size_t more = need - ow->held_head_bytes;
        if (!writer_need(&ow->w, more))
            return;
        uint8_t *body = ow->held_start + ow->held_head_bytes;
        memmove(body + more, body, (size_t)(ow->w.p - body));
        ow->w.p += more;
    }
    uint8_t *p = ow->held_start;
    *p++ = (uint8_t)(ow->held_kind | (ow->held_attrs_bytes ? OP_TAG_ATTRS : 0));
    if (ow->held_kind != OP_EMBED)
        p = put_varint(p, ow->held_u16);
    if (ow->held_kind == OP_INSERT || ow->held_kind == OP_EMBED)
        put_varint(p, ow->held_text_bytes);
    ow->held_u16 = 0;
}

static void put_delete(struct op_writer *ow)
{
    if (ow->held_delete_u16 == 0)
        return;
    close_held(ow);
    write_u8(&ow->w, OP_DELETE);
    write_varint(&ow->w, ow->held_delete_u16);
    ow->held_delete_u16 = 0;
}

/* The attributes may lie behind w.p in the same buffer (op_writer_scratch), hence memmove. What is
 * put out before them - a header that grew, a delete, this header - is less than OP_WRITER_GAP. */
static void hold(struct op_writer *ow, const struct op_part *part)
{
    close_held(ow);
    size_t head = head_bytes(part->kind, part->n_u16, part->text.n);
    size_t attrs = part->attrs.n ? varint_bytes(part->attrs.n) + part->attrs.n : 0;
    if (!writer_need(&ow->w, head + part->text.n + attrs))
        return;
    uint8_t *p = ow->w.p;
    ow->held_start = p;
    ow->held_u16 = part->n_u16;
    ow->held_kind = part->kind;
    ow->held_head_bytes = head;
    ow->held_text_bytes = part->text.n;
    ow->held_attrs_bytes = part->attrs.n;
    p += head;
    if (part->text.n)
        memcpy(p, part->text.p, part->text.n);
    p += part->text.n;
    if (part->attrs.n) {
        p = put_varint(p, part->attrs.n);
        memmove(p, part->attrs.p, part->attrs.n);
        p += part->attrs.n;
    }
    ow->w.p = p;
}

static bool can_merge(const struct op_writer *ow, enum op_kind kind, struct bytes attrs)
{
    return ow->held_u16 && ow->held_kind == kind && ow->held_attrs_bytes == attrs.n &&
           (attrs.n == 0 || memcmp(ow->w.p - attrs.n, attrs.p, attrs.n) == 0);
}

/* More text for the held insert, in front of its attributes. */
static void merge_text(struct op_writer *ow, struct bytes text)
{
    if (!writer_need(&ow->w, text.n))
        return;
    size_t attrs = ow->held_attrs_bytes;
    size_t tail = attrs ? attrs + varint_bytes(attrs) : 0;
    uint8_t *at = ow->w.p - tail;
    if (tail)
        memmove(at + text.n, at, tail);
    memcpy(at, text.p, text.n);
    ow->w.p += text.n;
    ow->held_text_bytes += text.n;
}

void op_push_retain(struct op_writer *ow, uint64_t n_u16, struct bytes attrs)
{
    if (n_u16 == 0)
        return;
    if (ow->held_delete_u16 == 0 && can_merge(ow, OP_RETAIN, attrs)) {
        ow->held_u16 += n_u16;
        return;
    }
    put_delete(ow);
    hold(ow, &(struct op_part){.kind = OP_RETAIN, .n_u16 = n_u16, .attrs = attrs});
}

void op_push_insert(struct op_writer *ow, struct bytes utf8, uint64_t n_u16, struct bytes attrs)
{
    if (n_u16 == 0)
        return;
    if (can_merge(ow, OP_INSERT, attrs)) {
        merge_text(ow, utf8);
        ow->held_u16 += n_u16;
        return;
    }
    hold(ow, &(struct op_part){.kind = OP_INSERT, .n_u16 = n_u16, .text = utf8, .attrs = attrs});
}

void op_push_embed(struct op_writer *ow, struct bytes json, struct bytes attrs)
{
    hold(ow, &(struct op_part){.kind = OP_EMBED, .n_u16 = 1, .text = json, .attrs = attrs});
}

void op_push_delete(struct op_writer *ow, uint64_t n_u16)
{
    ow->held_delete_u16 += n_u16;
}

void op_push(struct op_writer *ow, const struct op_part *part)
{
    switch (part->kind) {
    case OP_RETAIN:
        op_push_retain(ow, part->n_u16, part->attrs);
        break;
    case OP_INSERT:
        op_push_insert(ow, part->text, part->n_u16, part->attrs);
        break;
    case OP_EMBED:
        op_push_embed(ow, part->text, part->attrs);
        break;
    case OP_DELETE:
        op_push_delete(ow, part->n_u16);
        break;
    }
}

struct bytes op_chop(struct bytes op)
{
    struct op_reader r = op_reader_of(op);
    struct op_part part = {.kind = OP_DELETE};
    const uint8_t *last = op.p;
    for (const uint8_t *at = op.p; op_next(&r, &part); at = r.r.p)
        last = at;
    if (op.n && op_part_is_plain_retain(&part))
        op.n = (size_t)(last - op.p);
    return op;
}

enum status op_writer_end(struct op_writer *ow, struct bytes *op)
{
    bool chop = ow->held_u16 && ow->held_kind == OP_RETAIN && ow->held_attrs_bytes == 0 &&
                ow->held_delete_u16 == 0;
    if (chop) {
        ow->w.p = ow->held_start;
        ow->held_u16 = 0;
    }
    return op_writer_end_whole(ow, op);
}

enum status op_writer_end_whole(struct op_writer *ow, struct bytes *op)
{
    close_held(ow);
    put_delete(ow);
    if (!ow->w.ok)
        return STATUS_NO_ROOM;
    *op = writer_bytes(&ow->w);
    return STATUS_OK;
}

struct writer op_writer_scratch(const struct op_writer *ow, size_t text_bytes)
{
    struct writer w = {ow->w.end, ow->w.end, ow->w.end, false};
    size_t room = (size_t)(ow->w.end - ow->w.p);
    if (ow->w.ok && room >= OP_WRITER_GAP && room - OP_WRITER_GAP >= text_bytes) {
        w.start = w.p = ow->w.p + OP_WRITER_GAP + text_bytes;
        w.ok = true;
    }
    return w;
}
