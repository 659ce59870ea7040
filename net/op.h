/*
 * op.h - the binary operation: one flat run of bytes from the gateway to the disk (design section
 * 4).
 *
 * An op is a run of components, each a tag byte and its fields:
 *
 *     tag      bits 0-1 kind (OP_RETAIN, OP_INSERT, OP_EMBED, OP_DELETE), bit 2 "has attributes",
 *              others 0
 *     retain   varint n_u16 (>= 1)                      [attrs]
 *     insert   varint n_u16 (>= 1), str utf8            [attrs]
 *     embed    str json (an object, canonical JSON)     [attrs]      length 1
 *     delete   varint n_u16 (>= 1)
 *     attrs    str block: pairs { str key, str value }, keys strictly ascending by bytes, each
 *              value canonical JSON; `null` (the 4 bytes) removes the attribute. The block is not
 *              empty.
 *
 * Lengths are UTF-16 code units. Text is valid UTF-8 without NUL and surrogates. Canonical JSON
 * (the gateway makes it): no white space, object keys sorted by bytes and unique, numbers as
 * JavaScript prints them, strings with the shortest escapes. So equal values are equal bytes, and
 * equality is memcmp.
 *
 * Normal form (what the writer emits): no component of length 0, neighbours of one kind and equal
 * attributes merged, an insert or embed before the delete that it stands next to, no plain retain
 * at the end. An op of which nothing is left is 0 bytes long. This is what quill-delta's push() and
 * chop() do.
 *
 * An op on its way in may end with a plain retain (its tail): that says how far its sender reached,
 * and one that reaches past the end of the document is refused. So the gateway keeps it,
 * op_transform keeps that of `b`, and the sequencer chops it once it has looked.
 *
 * Content of a document is an op of inserts and embeds alone.
 *
 * Any thread; no allocation. Source: protocol section 2; quill-delta 5.1's semantics.
 */
#ifndef PENSTOCK_NET_OP_H
#define PENSTOCK_NET_OP_H

#include "base/bytes.h"
#include "base/status.h"

enum op_kind { OP_RETAIN = 0, OP_INSERT = 1, OP_EMBED = 2, OP_DELETE = 3 };

#define OP_TAG_KIND  0x03
#define OP_TAG_ATTRS 0x04

/* One component, as slices of the op. */
struct op_part {
    enum op_kind kind;
    uint64_t n_u16;     /* 1 for an embed */
    struct bytes text;  /* insert: UTF-8; embed: JSON; else empty */
    struct bytes attrs; /* the block; empty: none */
};

static inline bool op_part_is_insert(const struct op_part *c)
{
    return c->kind == OP_INSERT || c->kind == OP_EMBED;
}

static inline bool op_part_is_plain_retain(const struct op_part *c)
{
    return c->kind == OP_RETAIN && c->attrs.n == 0;
}

/* ---- reading ---- */

struct op_reader {
    struct reader r;
};

static inline struct op_reader op_reader_of(struct bytes op)
{
    return (struct op_reader){reader_of(op)};
}

/* The next component; false at the end or after a failure (then r.ok is false). Checks the
 * structure of the component itself, not what op_check checks. */
bool op_next(struct op_reader *r, struct op_part *part);

/* What an op is, found by op_check in one pass. */
struct op_shape {
    uint64_t base_u16;   /* what it reads of the document: retains and deletes */
    uint64_t insert_u16; /* inserted text and embeds */
    uint64_t delete_u16;
    uint32_t n_parts;
    bool has_attrs;
    bool has_embeds;
    bool has_tail; /* ends with a plain retain: not normal form */
};

struct op_limits {
    uint32_t parts_max;
    bool rich;    /* attributes and embeds allowed */
    bool content; /* only inserts and embeds allowed */
};

/*
 * Everything that a stranger could have got wrong: structure, UTF-8, n_u16 against the text,
 * attribute order, limits, sums that overflow 2^53 - 1. STATUS_OP_INVALID, or STATUS_TOO_LARGE past
 * parts_max or LIMIT_ATTR_PAIRS. Does not demand normal form. That JSON is canonical is the
 * gateway's promise: here it only has to be UTF-8, and an embed an object. `shape` is untouched on
 * failure.
 */
enum status op_check(struct bytes op, const struct op_limits *limits,
                     struct op_shape *shape) must_use;

/* ---- writing ---- */

/*
 * Writes components in normal form into a fixed buffer, straight to their place. The last component
 * that is no delete stays open (held), so that the next can merge with it: its text and attributes
 * lie in the buffer already, its header is written when it closes. Deletes wait behind inserts.
 * Sticky failure when the buffer is full. Nothing that is pushed has to stay valid after the call.
 */
struct op_writer {
    struct writer w; /* w.p: behind the held component */
    uint8_t *held_start;
    uint64_t held_u16;      /* 0: none is held */
    size_t held_head_bytes; /* room left for its header */
    size_t held_text_bytes;
    size_t held_attrs_bytes; /* its block ends at w.p */
    enum op_kind held_kind;
    uint64_t held_delete_u16;
};

void op_writer_init(struct op_writer *ow, void *buf, size_t n);
void op_push_retain(struct op_writer *ow, uint64_t n_u16, struct bytes attrs);
void op_push_insert(struct op_writer *ow, struct bytes utf8, uint64_t n_u16, struct bytes attrs);
void op_push_embed(struct op_writer *ow, struct bytes json, struct bytes attrs);
void op_push_delete(struct op_writer *ow, uint64_t n_u16);
void op_push(struct op_writer *ow, const struct op_part *part);
/* The finished op, in the buffer; STATUS_NO_ROOM when it did not fit. */
enum status op_writer_end(struct op_writer *ow, struct bytes *op) must_use;
/* The same, with the plain retain at the end. */
enum status op_writer_end_whole(struct op_writer *ow, struct bytes *op) must_use;
/*
 * Attributes that have to be computed first may be written to the free end of the same buffer,
 * behind where the next component with `text_bytes` of text will stand; the block is then given to
 * the very next push. Needs OP_WRITER_GAP bytes more than the component; no room: a failed writer.
 */
#define OP_WRITER_GAP 64u
struct writer op_writer_scratch(const struct op_writer *ow, size_t text_bytes);

/* An op without its tail. */
struct bytes op_chop(struct bytes op);

/* ---- attribute blocks ---- */

struct attr {
    struct bytes key;
    struct bytes value; /* canonical JSON */
};

/* Next pair of a block; false at the end. */
bool attr_next(struct reader *block, struct attr *a);
bool attr_is_null(const struct attr *a);
/* Pairs in a well-formed block. */
uint32_t attrs_n(struct bytes attrs);

/*
 * quill-delta's AttributeMap; the result goes to `w` without the length before it (0 bytes: none).
 * compose: b over a; without keep_null b's nulls only remove. invert: what undoes `attrs` on `base`
 * (objects and lists never count as equal there, as in JavaScript). The blocks are well-formed.
 */
void attrs_compose(struct bytes a, struct bytes b, bool keep_null, struct writer *w);
void attrs_transform(struct bytes a, struct bytes b, bool a_has_priority, struct writer *w);
void attrs_invert(struct bytes attrs, struct bytes base, struct writer *w);
void attrs_diff(struct bytes a, struct bytes b, struct writer *w);

#endif
