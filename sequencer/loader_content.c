/* loader_content.c - content at a version: the newest snapshot before it and the ops behind that;
 * see loader_private.h. */
#include "sequencer/loader_private.h"

struct replay {
    struct rope *rope;
    struct rope_limits limits;
    uint64_t at;
    enum status status;
};

static bool replay_op(void *arg, const struct view_op *op)
{
    struct replay *r = arg;
    if (op->version != r->at + 1) {
        r->status = STATUS_CORRUPT;
        return false;
    }
    r->status = rope_apply(r->rope, op->op.op, &r->limits);
    if (r->status != STATUS_OK && r->status != STATUS_NO_MEMORY)
        r->status = STATUS_CORRUPT;
    r->at++;
    return r->status == STATUS_OK;
}

/* The content's length stands before it; n_bytes is an upper bound of it. */
static enum status write_rope(const struct rope *rope, struct writer *w)
{
    size_t gap = varint_bytes(rope->n_bytes);
    if (!writer_need(w, gap + rope->n_bytes))
        return STATUS_NO_ROOM;
    struct bytes content;
    enum status st = rope_emit(rope, w->p + gap, rope->n_bytes, &content);
    if (st != STATUS_OK)
        return st;
    size_t n = content.n;
    if (varint_bytes(n) != gap)
        memmove(w->p + varint_bytes(n), content.p, n);
    write_varint(w, n);
    w->p += n;
    return STATUS_OK;
}

enum status loader_write_content(struct loader *l, struct view_read *view, uint64_t docnum,
                                 uint64_t version, struct writer *w)
{
    uint64_t at;
    struct bytes content;
    enum status st = view_content_find(view, docnum, version, &at, &content);
    if (st != STATUS_OK)
        return st;
    if (at == version) {
        write_str(w, content);
        return w->ok ? STATUS_OK : STATUS_NO_ROOM;
    }
    /* What was accepted fits, whatever the limits were then. */
    struct rope rope;
    struct replay r = {.rope = &rope, .limits = {UINT64_MAX, UINT64_MAX}, .at = at};
    rope_init(&rope, &l->pool);
    st = rope_load(&rope, content, &r.limits);
    if (st == STATUS_OK)
        st = view_ops(view, docnum, at + 1, version, replay_op, &r);
    if (st == STATUS_OK)
        st = r.status;
    if (st == STATUS_OK && r.at != version)
        st = STATUS_END;
    if (st == STATUS_OK)
        st = write_rope(&rope, w);
    rope_fini(&rope);
    return st;
}

struct found {
    uint64_t hash;
    uint64_t unix_ms;
    bool any;
};

static bool take_op(void *arg, const struct view_op *op)
{
    struct found *f = arg;
    f->hash = op->op.hash;
    f->unix_ms = op->unix_ms;
    f->any = true;
    return false;
}

enum status loader_version(struct view_read *view, uint64_t docnum, uint64_t version,
                           uint64_t *hash, uint64_t *unix_ms)
{
    struct found f = {0};
    enum status st;
    if (version == 0) {
        struct view_doc doc;
        struct bytes content;
        uint64_t at;
        st = view_doc_get(view, docnum, &doc);
        if (st == STATUS_OK)
            st = view_content_find(view, docnum, 0, &at, &content);
        if (st != STATUS_OK)
            return st;
        f = (struct found){record_hash_create(doc.type, content), doc.created_ms, true};
    } else {
        st = view_ops(view, docnum, version, version, take_op, &f);
        if (st != STATUS_OK)
            return st;
    }
    if (!f.any)
        return STATUS_END;
    *hash = f.hash;
    *unix_ms = f.unix_ms;
    return STATUS_OK;
}
