/* shard_create.c - a document is made; see shard_private.h. */
#include "sequencer/shard_private.h"

static enum status check_content(const struct shard *s, const struct call *c, struct bytes title,
                                 struct bytes content)
{
    if (c->h.arg8 > DOC_RICH || title.n > LIMIT_TITLE_BYTES)
        return STATUS_BAD_MESSAGE;
    if (content.n > LIMIT_DOCUMENT_BYTES)
        return STATUS_TOO_LARGE;
    struct op_limits limits = {
        .parts_max = UINT32_MAX, .rich = c->h.arg8 == DOC_RICH, .content = true};
    struct op_shape shape;
    enum status st = op_check(content, &limits, &shape);
    if (st == STATUS_OK && shape.insert_u16 > s->rope_limits.units_max)
        st = STATUS_TOO_LARGE;
    return st;
}

/* What the new document is made of; on failure it stays absent. */
static enum status fill(struct shard *s, struct document *d, const struct record_create *rec)
{
    uint8_t roles[2 + VARINT_BYTES_MAX + LIMIT_USER_ID_BYTES];
    uint32_t n_roles;
    struct bytes list =
        access_change((struct bytes){roles, 0}, rec->owner, DOC_ROLE_OWNER, roles, &n_roles);
    enum status st = document_set_owner(d, &s->pool, rec->owner);
    if (st == STATUS_OK)
        st = document_set_title(d, &s->pool, rec->title);
    if (st == STATUS_OK)
        st = document_set_roles(d, &s->pool, list, n_roles);
    if (st == STATUS_OK)
        st = rope_load(&d->rope, rec->content, &s->rope_limits);
    return st;
}

static void record(struct shard *s, struct document *d, const struct record_create *rec, size_t n)
{
    struct writer w = writer_of(log_claim(s->log, n), n);
    record_write_create(&w, rec);
    check(w.ok);
    d->last_idx = log_commit(s->log, RECORD_CREATE, writer_n(&w));
    d->docnum = s->next_docnum++;
    d->type = rec->type;
    d->hash = rec->hash;
    d->created_ms = d->modified_ms = rec->unix_ms;
    d->state = DOCUMENT_OPEN;
}

enum status shard_on_create(struct shard *s, struct msg_in *m)
{
    struct call c;
    if (!shard_read_call(m, &c))
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    struct bytes title = read_str(&c.r);
    struct bytes content = read_str(&c.r);
    enum status st = c.r.ok ? check_content(s, &c, title, content) : STATUS_BAD_MESSAGE;
    if (st != STATUS_OK)
        return shard_refuse(s, m, st);
    struct document *d;
    st = shard_find_document(s, m, c.id.tenant, c.doc_id, true, &d);
    if (!d)
        return st;
    if (d->state == DOCUMENT_OPEN)
        return shard_refuse(s, m, STATUS_EXISTS);
    struct record_create rec = {
        .docnum = s->next_docnum,
        .unix_ms = s->unix_ms,
        .hash = record_hash_create(c.h.arg8, content),
        .type = c.h.arg8,
        .tenant = c.id.tenant,
        .doc_id = c.doc_id,
        .owner = c.id.user,
        .title = title,
        .content = content,
    };
    size_t n = record_create_bytes(&rec);
    if (n > SHARD_RECORD_BYTES_MAX)
        return shard_refuse(s, m, STATUS_TOO_LARGE);
    st = log_room(s->log, n);
    if (st != STATUS_OK)
        return shard_no_log_room(s, m, st);
    st = fill(s, d, &rec);
    if (st == STATUS_NO_MEMORY && shard_make_room(s))
        st = fill(s, d, &rec);
    if (st != STATUS_OK)
        return shard_refuse(s, m, st);
    record(s, d, &rec, n);
    shard_write_document(s, m, d, DOC_ROLE_OWNER);
    return STATUS_OK;
}
