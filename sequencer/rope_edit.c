/* rope_edit.c - see rope_edit.h. */
#include "sequencer/rope_edit.h"
#include "base/say.h"
#include "base/utf.h"
#include "net/limits.h"

/* What one component of content costs beside text and attributes, and what one change may add to
 * rope.n_bytes by cutting runs (their attributes apart). */
#define CHANGE_BYTES 48u
/* In place only while what is laid by is at most so much, or twice the text. */
#define LAID_BY_BYTES_MIN (16u << 10)
/* So many bytes of attributes are composed and compared in the time of one step. */
#define STEP_BYTES 128u

struct edit {
    struct rope *r;
    struct rope_spares spares;
    struct rope_embed *embeds; /* made, not yet placed, in the order of the op */
    struct rope_embed **embeds_end;
    struct bytes style; /* of the retain under way */
    const uint8_t *memo_style;
    uint32_t memo_from;
    uint32_t memo_to;
    enum status failed; /* why restyle could not */
    uint64_t bytes_max; /* content that grows past it is refused while it grows */
    uint8_t *scratch;   /* `small`, or from the pool */
    size_t scratch_bytes;
    uint8_t small[256];
};

static void edit_init(struct edit *e, struct rope *r, uint64_t bytes_max)
{
    e->r = r;
    e->bytes_max = bytes_max;
    e->spares = (struct rope_spares){NULL, NULL};
    e->embeds = NULL;
    e->embeds_end = &e->embeds;
    e->memo_style = NULL;
    e->failed = STATUS_OK;
    e->scratch = e->small;
    e->scratch_bytes = sizeof e->small;
}

static void give_scratch(struct edit *e)
{
    if (e->scratch != e->small)
        rope_give(e->r, e->scratch, e->scratch_bytes);
    e->scratch = e->small;
    e->scratch_bytes = sizeof e->small;
}

static void edit_fini(struct edit *e)
{
    while (e->embeds) {
        struct rope_embed *embed = e->embeds;
        e->embeds = embed->next;
        rope_embed_drop(e->r, embed);
    }
    rope_spares_give(e->r, &e->spares);
    give_scratch(e);
    rope_attrs_sweep(e->r);
    rope_edit_count(e->r);
}

void rope_edit_count(struct rope *r)
{
    /* One component for plain text; those of runs are counted with them. */
    r->n_bytes = r->root ? r->text_bytes + r->run_bytes + 11 : 0;
}

/* ---- attributes ---- */

static bool reserve_scratch(struct edit *e, size_t n)
{
    if (n <= e->scratch_bytes)
        return true;
    uint8_t *block = rope_take(e->r, n);
    if (!block)
        return false;
    give_scratch(e);
    e->scratch = block;
    e->scratch_bytes = n;
    return true;
}

/* The number of e->style over those attributes; e->failed says why not. */
static uint32_t restyle(void *self, uint32_t from)
{
    struct edit *e = self;
    e->r->n_steps++;
    if (e->memo_style == e->style.p && e->memo_from == from)
        return e->memo_to;
    struct bytes base = rope_attrs_get(e->r, from);
    e->r->n_steps += (base.n + e->style.n) / STEP_BYTES;
    if (!reserve_scratch(e, base.n + e->style.n)) {
        e->failed = STATUS_NO_MEMORY;
        return from;
    }
    struct writer w = writer_of(e->scratch, e->scratch_bytes);
    attrs_compose(base, e->style, false, &w);
    check(w.ok);
    uint32_t to;
    if (attrs_n(writer_bytes(&w)) > LIMIT_ATTR_PAIRS) {
        e->failed = STATUS_TOO_LARGE;
        return from;
    }
    if (!rope_attrs_intern(e->r, writer_bytes(&w), &to)) {
        e->failed = STATUS_NO_MEMORY;
        return from;
    }
    e->memo_style = e->style.p;
    e->memo_from = from;
    e->memo_to = to;
    return to;
}

/* ---- in place: what can fail ---- */

struct survey {
    uint64_t base_u16;
    uint64_t insert_u16;
    uint64_t delete_u16;
    uint64_t n_leaves; /* blocks that the changes may ask for */
    uint64_t n_inners;
    bool is_rich;
};

static enum status survey_of(const struct rope *r, struct bytes op, struct survey *s)
{
    struct op_reader reader = op_reader_of(op);
    struct op_part part;
    uint64_t n_sites = 0;
    *s = (struct survey){.is_rich = r->run_bytes > 0};
    while (op_next(&reader, &part)) {
        s->is_rich |= part.attrs.n || part.kind == OP_EMBED;
        if (op_part_is_insert(&part)) {
            s->insert_u16 += part.n_u16;
            /* Each piece may split a leaf, and move one to a larger block. */
            uint64_t n_pieces = part.text.n / (ROPE_PIECE_BYTES - 3) + 1;
            s->n_leaves += part.kind == OP_EMBED ? 2 : 2 * n_pieces;
            n_sites++;
            continue;
        }
        s->base_u16 += part.n_u16;
        if (part.kind == OP_DELETE)
            s->delete_u16 += part.n_u16;
        else if (part.attrs.n)
            s->n_leaves += 6; /* both ends split a leaf, and three blocks grow */
        n_sites += part.kind == OP_RETAIN && part.attrs.n ? 2 : 0;
    }
    /* New leaves side by side share new parents: one for FANOUT / 2 at least, and one a place. */
    s->n_inners = (n_sites + s->n_leaves / 8 + 1) * (r->height + 1);
    return reader.r.ok && s->base_u16 <= r->n_u16 ? STATUS_OK : STATUS_OP_INVALID;
}

static bool passes(uint64_t before, uint64_t more, uint64_t less, uint64_t max)
{
    return more > less && before + more - less > max;
}

/* What cutting the run at `pos` would add. */
static uint64_t cut_cost(const struct rope *r, uint64_t pos)
{
    struct rope_path path;
    struct rope_spot spot;
    if (pos == 0 || pos >= r->n_u16 || r->run_bytes == 0)
        return 0;
    rope_tree_find(r, pos, true, &path);
    check(rope_leaf_find(path.leaf, path.at_u16, &spot));
    if (path.leaf->n_runs == 0)
        return 0;
    const struct rope_run *run = rope_leaf_run(path.leaf, spot.run);
    bool is_inside = spot.run_u16 && spot.run_u16 < run->n_u16;
    return is_inside ? rope_run_cost(r, run->attrs, NULL) : 0;
}

static enum status prepare_insert(struct edit *e, const struct op_part *part, uint64_t pos,
                                  uint64_t *more)
{
    uint32_t id;
    if (!rope_attrs_intern(e->r, part->attrs, &id))
        return STATUS_NO_MEMORY;
    *more += part->text.n + rope_run_cost(e->r, id, NULL) + cut_cost(e->r, pos);
    if (part->kind != OP_EMBED)
        return STATUS_OK;
    struct rope_embed *embed = rope_embed_new(e->r, part->text);
    if (!embed)
        return STATUS_NO_MEMORY;
    *e->embeds_end = embed;
    e->embeds_end = &embed->next;
    return STATUS_OK;
}

static enum status prepare_format(struct edit *e, const struct op_part *part, uint64_t pos,
                                  uint64_t *more)
{
    struct rope_walk walk = rope_walk_from(e->r, pos);
    struct rope_piece piece;
    uint64_t left = part->n_u16;
    *more += cut_cost(e->r, pos) + cut_cost(e->r, pos + left);
    e->style = part->attrs;
    while (left && rope_walk_next(&walk, left, &piece)) {
        uint32_t from = piece.attrs & ~ROPE_EMBED;
        uint32_t to = restyle(e, from);
        if (e->failed)
            return e->failed;
        uint64_t before = rope_run_cost(e->r, from, NULL), after = rope_run_cost(e->r, to, NULL);
        *more += after > before ? after - before : 0;
        left -= piece.n_u16;
        /* No delete makes up for it; going on would make a large block for each run. */
        if (*more > e->bytes_max)
            return STATUS_TOO_LARGE;
    }
    return left ? STATUS_OP_INVALID : STATUS_OK;
}

static enum status prepare(struct edit *e, struct bytes op, const struct survey *s,
                           const struct rope_limits *limits)
{
    struct op_reader reader = op_reader_of(op);
    struct op_part part;
    const struct rope *r = e->r;
    uint64_t pos = 0, more = 0, less = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && op_next(&reader, &part)) {
        more += s->is_rich ? CHANGE_BYTES : 0;
        if (op_part_is_insert(&part)) {
            status = prepare_insert(e, &part, pos, &more);
            continue;
        }
        if (!rope_tree_is_boundary(r, pos + part.n_u16))
            return STATUS_OP_INVALID;
        if (part.kind == OP_DELETE)
            less += rope_tree_bytes_before(r, pos + part.n_u16) - rope_tree_bytes_before(r, pos);
        else if (part.attrs.n)
            status = prepare_format(e, &part, pos, &more);
        pos += part.n_u16;
    }
    if (status == STATUS_OK && passes(r->n_bytes, more, less, limits->bytes_max))
        return STATUS_TOO_LARGE;
    return status;
}

/* ---- in place: what can't ---- */

static uint32_t piece_bytes(struct bytes text, uint32_t max)
{
    if (text.n <= max)
        return (uint32_t)text.n;
    while ((text.p[max] & 0xc0) == 0x80)
        max--;
    return max;
}

static uint32_t piece_units(const uint8_t *text, uint32_t n_bytes, bool is_ascii)
{
    return is_ascii ? n_bytes : (uint32_t)utf16_units(bytes_of(text, n_bytes));
}

static void place_text(struct edit *e, const struct op_part *part, uint64_t pos, uint32_t attrs)
{
    struct bytes text = part->text;
    bool is_ascii = text.n == part->n_u16;
    while (text.n) {
        uint32_t n = piece_bytes(text, ROPE_PIECE_BYTES);
        uint32_t n_u16 = piece_units(text.p, n, is_ascii);
        enum status s = rope_tree_insert(e->r, &e->spares, pos, bytes_of(text.p, n), n_u16, attrs);
        check_cmp(s, ==, STATUS_OK);
        pos += n_u16;
        text = bytes_of(text.p + n, text.n - n);
    }
}

static void place_embed(struct edit *e, uint64_t pos, uint32_t attrs)
{
    struct rope_embed *embed = e->embeds;
    e->embeds = embed->next;
    struct bytes pointer = bytes_of(&embed, sizeof embed);
    enum status s = rope_tree_insert(e->r, &e->spares, pos, pointer, 1, attrs | ROPE_EMBED);
    check_cmp(s, ==, STATUS_OK);
}

static void perform(struct edit *e, struct bytes op)
{
    struct op_reader reader = op_reader_of(op);
    struct op_part part;
    uint64_t pos = 0;
    while (op_next(&reader, &part)) {
        uint32_t id = 0;
        if (op_part_is_insert(&part))
            check(rope_attrs_intern(e->r, part.attrs, &id));
        if (part.kind == OP_DELETE) {
            rope_tree_erase(e->r, pos, part.n_u16);
            continue;
        }
        if (part.kind == OP_INSERT) {
            place_text(e, &part, pos, id);
        } else if (part.kind == OP_EMBED) {
            place_embed(e, pos, id);
        } else if (part.attrs.n) {
            e->style = part.attrs;
            enum status s = rope_tree_format(e->r, &e->spares, pos, part.n_u16, restyle, e);
            check_cmp(s, ==, STATUS_OK);
            check_cmp(e->failed, ==, STATUS_OK);
        }
        pos += part.n_u16;
    }
}

/* ---- beside the old ---- */

/* Text at the end, in pieces that fill leaves. */
static enum status append_text(struct rope *r, struct bytes text, uint64_t n_u16, uint32_t attrs)
{
    bool is_ascii = text.n == n_u16;
    while (text.n) {
        uint32_t max = ROPE_LEAF_ROOM - ROPE_RUN_BYTES - ROPE_LEAF_RUNS_MORE;
        if (r->root) {
            struct rope_path path;
            rope_tree_find(r, r->n_u16, false, &path);
            bool is_plain = attrs == 0 && path.leaf->n_runs == 0;
            uint32_t used = rope_leaf_used(path.leaf) + (is_plain ? 0 : ROPE_LEAF_RUNS_MORE);
            if (used + 32 < ROPE_LEAF_ROOM)
                max = ROPE_LEAF_ROOM - used;
        }
        uint32_t n = piece_bytes(text, max);
        uint32_t units = piece_units(text.p, n, is_ascii);
        enum status s = rope_tree_insert(r, NULL, r->n_u16, bytes_of(text.p, n), units, attrs);
        if (s)
            return s;
        text = bytes_of(text.p + n, text.n - n);
    }
    return STATUS_OK;
}

static enum status append_embed(struct rope *r, struct rope_embed *embed, uint32_t attrs)
{
    struct bytes pointer = bytes_of(&embed, sizeof embed);
    return rope_tree_insert(r, NULL, r->n_u16, pointer, 1, attrs | ROPE_EMBED);
}

static enum status append_part(struct edit *e, const struct op_part *part)
{
    uint32_t id;
    if (!rope_attrs_intern(e->r, part->attrs, &id))
        return STATUS_NO_MEMORY;
    if (part->kind == OP_INSERT) {
        uint64_t before = e->r->n_u16;
        enum status s = append_text(e->r, part->text, part->n_u16, id);
        return s ? s : e->r->n_u16 - before == part->n_u16 ? STATUS_OK : STATUS_OP_INVALID;
    }
    struct rope_embed *embed = rope_embed_new(e->r, part->text);
    if (!embed)
        return STATUS_NO_MEMORY;
    enum status s = append_embed(e->r, embed, id);
    if (s)
        rope_embed_drop(e->r, embed);
    return s;
}

static enum status append_piece(struct edit *e, const struct rope_piece *piece, bool is_styled)
{
    uint32_t attrs = piece->attrs & ~ROPE_EMBED;
    if (is_styled) {
        attrs = restyle(e, attrs);
        if (e->failed)
            return e->failed;
    }
    if (!(piece->attrs & ROPE_EMBED))
        return append_text(e->r, bytes_of(piece->text, piece->n_bytes), piece->n_u16, attrs);
    struct rope_embed *embed = rope_leaf_embed(piece->text);
    enum status s = append_embed(e->r, embed, attrs);
    if (s == STATUS_OK)
        embed->refs++;
    return s;
}

/* Retains, formats or deletes so much of the old content. */
static enum status append_old(struct edit *e, struct rope_walk *old, const struct op_part *part)
{
    struct rope_piece piece;
    uint64_t left = part->n_u16;
    e->style = part->attrs;
    while (left && rope_walk_next(old, left, &piece)) {
        left -= piece.n_u16;
        if (part->kind == OP_DELETE)
            continue;
        enum status s = append_piece(e, &piece, part->attrs.n > 0);
        if (s)
            return s;
        rope_edit_count(e->r);
        if (e->r->n_bytes > e->bytes_max)
            return STATUS_TOO_LARGE;
    }
    return left ? STATUS_OP_INVALID : STATUS_OK;
}

static enum status append_all(struct edit *e, struct rope_walk *old, struct bytes op)
{
    struct op_reader reader = op_reader_of(op);
    struct op_part part;
    while (op_next(&reader, &part)) {
        enum status s =
            op_part_is_insert(&part) ? append_part(e, &part) : append_old(e, old, &part);
        if (s)
            return s;
    }
    if (!reader.r.ok)
        return STATUS_OP_INVALID;
    struct rope_piece piece;
    while (rope_walk_next(old, UINT64_MAX, &piece)) {
        enum status s = append_piece(e, &piece, false);
        if (s)
            return s;
    }
    return STATUS_OK;
}

/* Both share the table of attributes and the sum of memory: those follow the one in use. */
static void hand_over(struct rope *to, const struct rope *from)
{
    to->attrs = from->attrs;
    to->mem_bytes = from->mem_bytes;
    to->n_steps = from->n_steps;
}

/* What the content may not pass on the way: one that is past its limit may still shrink. */
static uint64_t growth_max(const struct rope *r, const struct rope_limits *limits)
{
    return r->n_bytes > limits->bytes_max ? r->n_bytes : limits->bytes_max;
}

enum status rope_edit_rebuild(struct rope *r, struct bytes op, const struct rope_limits *limits)
{
    struct rope fresh = {.pool = r->pool};
    struct rope_walk old = rope_walk_from(r, 0);
    struct edit e;
    hand_over(&fresh, r);
    edit_init(&e, &fresh, limits ? growth_max(r, limits) : UINT64_MAX);
    enum status s = append_all(&e, &old, op);
    rope_edit_count(&fresh);
    if (s == STATUS_OK && limits &&
        ((fresh.n_u16 > limits->units_max && fresh.n_u16 > r->n_u16) ||
         (fresh.n_bytes > limits->bytes_max && fresh.n_bytes > r->n_bytes)))
        s = STATUS_TOO_LARGE;
    give_scratch(&e);
    hand_over(r, &fresh);
    if (s == STATUS_OK) {
        rope_tree_clear(r);
        hand_over(&fresh, r);
        *r = fresh;
    } else {
        rope_tree_clear(&fresh);
        hand_over(r, &fresh);
    }
    rope_attrs_sweep(r);
    rope_edit_count(r);
    return s;
}

/* ---- the choice ---- */

static enum status apply_in_place(struct rope *r, struct bytes op, const struct survey *survey,
                                  const struct rope_limits *limits)
{
    struct edit e;
    edit_init(&e, r, growth_max(r, limits));
    enum status s = prepare(&e, op, survey, limits);
    if (s == STATUS_OK && !rope_spares_take(r, &e.spares, survey->n_leaves, survey->n_inners))
        s = STATUS_NO_MEMORY;
    if (s == STATUS_OK)
        perform(&e, op);
    edit_fini(&e);
    return s;
}

enum status rope_edit_apply(struct rope *r, struct bytes op, const struct rope_limits *limits)
{
    struct survey survey;
    enum status s = survey_of(r, op, &survey);
    if (s)
        return s;
    if (passes(r->n_u16, survey.insert_u16, survey.delete_u16, limits->units_max))
        return STATUS_TOO_LARGE;
    uint64_t laid_by =
        survey.n_leaves * ROPE_LEAF_BLOCK_MAX + survey.n_inners * sizeof(struct rope_inner);
    if (laid_by > LAID_BY_BYTES_MIN && laid_by > 2 * r->text_bytes)
        return rope_edit_rebuild(r, op, limits);
    return apply_in_place(r, op, &survey, limits);
}
