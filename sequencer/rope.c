/*
 * rope.c - see rope.h. What people do most, one insert or one delete, goes straight to its leaf;
 * all else is rope_edit.c's.
 */
#include "sequencer/rope.h"
#include "sequencer/rope_edit.h"

void rope_init(struct rope *r, struct pool *pool)
{
    *r = (struct rope){.pool = pool};
}

void rope_fini(struct rope *r)
{
    rope_tree_clear(r);
    rope_attrs_sweep(r);
    rope_edit_count(r);
}

enum status rope_load(struct rope *r, struct bytes content, const struct rope_limits *limits)
{
    struct op_reader reader = op_reader_of(content);
    struct op_part part;
    uint64_t n_u16 = 0;
    while (op_next(&reader, &part)) {
        if (!op_part_is_insert(&part) || part.n_u16 > UINT64_MAX - n_u16)
            return STATUS_OP_INVALID;
        n_u16 += part.n_u16;
    }
    if (!reader.r.ok)
        return STATUS_OP_INVALID;
    if (n_u16 > limits->units_max || content.n > limits->bytes_max)
        return STATUS_TOO_LARGE;
    return rope_edit_rebuild(r, content, NULL);
}

/* ---- one insert or one delete ---- */

static enum status insert_one(struct rope *r, uint64_t pos, const struct op_part *part,
                              const struct rope_limits *limits)
{
    if (pos > r->n_u16)
        return STATUS_OP_INVALID;
    if (r->n_u16 + part->n_u16 > limits->units_max || r->n_bytes + part->text.n > limits->bytes_max)
        return STATUS_TOO_LARGE;
    enum status s = rope_tree_insert(r, NULL, pos, part->text, (uint32_t)part->n_u16, 0);
    rope_edit_count(r);
    return s;
}

static enum status delete_one(struct rope *r, uint64_t pos, uint64_t n_u16)
{
    if (pos > r->n_u16 || n_u16 > r->n_u16 - pos)
        return STATUS_OP_INVALID;
    if (!rope_tree_is_boundary(r, pos) || !rope_tree_is_boundary(r, pos + n_u16))
        return STATUS_OP_INVALID;
    rope_tree_erase(r, pos, n_u16);
    rope_attrs_sweep(r);
    rope_edit_count(r);
    return STATUS_OK;
}

/* Plain text into plain text: what it adds is known, and nothing has to be prepared. */
static bool is_simple_insert(const struct rope *r, const struct op_part *part)
{
    return part->kind == OP_INSERT && part->attrs.n == 0 && part->text.n <= ROPE_PIECE_BYTES &&
           r->run_bytes == 0;
}

enum status rope_apply(struct rope *r, struct bytes op, const struct rope_limits *limits)
{
    struct op_reader reader = op_reader_of(op);
    struct op_part part;
    uint64_t pos = 0;
    if (!op_next(&reader, &part))
        return reader.r.ok ? STATUS_OK : STATUS_OP_INVALID;
    if (part.kind == OP_RETAIN && part.attrs.n == 0 && op.n > (size_t)(reader.r.p - op.p)) {
        pos = part.n_u16;
        if (!op_next(&reader, &part))
            return STATUS_OP_INVALID;
    }
    if (reader_left(&reader.r) == 0) {
        if (is_simple_insert(r, &part))
            return insert_one(r, pos, &part, limits);
        if (part.kind == OP_DELETE)
            return delete_one(r, pos, part.n_u16);
    }
    return rope_edit_apply(r, op, limits);
}
