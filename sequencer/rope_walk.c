/* rope_walk.c - see rope_walk.h; and rope_emit, which is one such walk. */
#include "sequencer/rope_walk.h"
#include "base/say.h"

struct rope_walk rope_walk_from(const struct rope *r, uint64_t pos)
{
    struct rope_walk w = {.r = r, .is_end = pos >= r->n_u16};
    if (!w.is_end) {
        rope_tree_find(r, pos, true, &w.path);
        check(rope_leaf_find(w.path.leaf, w.path.at_u16, &w.spot));
    }
    return w;
}

static bool next_leaf(struct rope_walk *w)
{
    uint32_t level = w->r->height;
    while (level && w->path.idx[level - 1] + 1 == w->path.node[level - 1]->n)
        level--;
    if (level == 0) {
        w->is_end = true;
        return false;
    }
    void *at = w->path.node[level - 1]->child[++w->path.idx[level - 1]];
    for (; level < w->r->height; level++) {
        w->path.node[level] = at;
        w->path.idx[level] = 0;
        at = w->path.node[level]->child[0];
    }
    w->path.leaf = at;
    w->spot = (struct rope_spot){0, 0, 0, 0};
    return true;
}

bool rope_walk_next(struct rope_walk *w, uint64_t max_u16, struct rope_piece *piece)
{
    if (w->is_end || w->is_cut)
        return false;
    if (w->spot.at == w->path.leaf->n_bytes && !next_leaf(w))
        return false;
    const struct rope_leaf *leaf = w->path.leaf;
    struct rope_spot *spot = &w->spot;
    struct rope_run run = {0, leaf->n_u16, leaf->n_bytes};
    if (leaf->n_runs) {
        if (spot->run_bytes == rope_leaf_run(leaf, spot->run)->n_bytes)
            *spot = (struct rope_spot){spot->run + 1, 0, 0, spot->at};
        run = *rope_leaf_run(leaf, spot->run);
    }
    uint32_t n_bytes = run.n_bytes - spot->run_bytes, n_u16 = run.n_u16 - spot->run_u16;
    const uint8_t *text = leaf->text + spot->at;
    if (max_u16 < n_u16) {
        if (!rope_text_offset(text, n_bytes, n_u16, (uint32_t)max_u16, &n_bytes)) {
            w->is_cut = true;
            return false;
        }
        n_u16 = (uint32_t)max_u16;
    }
    *piece = (struct rope_piece){text, n_bytes, n_u16, run.attrs};
    spot->run_u16 += n_u16;
    spot->run_bytes += n_bytes;
    spot->at += n_bytes;
    return true;
}

/* Plain text is one component, whose lengths are known. */
static enum status emit_plain(const struct rope *r, struct writer *w)
{
    struct rope_walk walk = rope_walk_from(r, 0);
    struct rope_piece piece;
    write_u8(w, OP_INSERT);
    write_varint(w, r->n_u16);
    write_varint(w, r->text_bytes);
    while (rope_walk_next(&walk, UINT64_MAX, &piece))
        write_bytes(w, bytes_of(piece.text, piece.n_bytes));
    return w->ok ? STATUS_OK : STATUS_NO_ROOM;
}

static enum status emit_rich(const struct rope *r, void *buf, size_t buf_bytes,
                             struct bytes *content)
{
    struct rope_walk walk = rope_walk_from(r, 0);
    struct rope_piece piece;
    struct op_writer ow;
    op_writer_init(&ow, buf, buf_bytes);
    while (rope_walk_next(&walk, UINT64_MAX, &piece)) {
        struct bytes attrs = rope_attrs_get(r, piece.attrs & ~ROPE_EMBED);
        if (piece.attrs & ROPE_EMBED) {
            const struct rope_embed *e = rope_leaf_embed(piece.text);
            op_push_embed(&ow, bytes_of(e->json, e->n), attrs);
        } else {
            op_push_insert(&ow, bytes_of(piece.text, piece.n_bytes), piece.n_u16, attrs);
        }
    }
    return op_writer_end(&ow, content);
}

enum status rope_emit(const struct rope *r, void *buf, size_t buf_bytes, struct bytes *content)
{
    if (!r->root) {
        *content = bytes_of(buf, 0);
        return STATUS_OK;
    }
    if (r->run_bytes)
        return emit_rich(r, buf, buf_bytes, content);
    struct writer w = writer_of(buf, buf_bytes);
    enum status s = emit_plain(r, &w);
    if (s == STATUS_OK)
        *content = writer_bytes(&w);
    return s;
}
