/* shard_calls.c - what HTTP asks of documents: read, list, history; see shard_private.h.
 * shard_changes.c has those that write. */
#include "sequencer/shard_private.h"

bool shard_read_call(const struct msg_in *m, struct call *c)
{
    c->r = reader_of(m->payload);
    msg_read_struct(&c->r, &c->h);
    c->id = msg_read_identity(&c->r);
    c->doc_id = read_str(&c->r);
    return c->r.ok && c->doc_id.n > 0 && c->doc_id.n <= LIMIT_DOC_ID_BYTES;
}

/* ---- one document ---- */

/* DOC up to its content, which may be another version's than the document's. */
static struct writer begin_document(struct shard *s, const struct msg_in *m,
                                    const struct document *d, struct msg_doc *h,
                                    size_t content_bytes)
{
    h->head = shard_head_of(m);
    h->created_ms = d->created_ms;
    h->n_roles = d->n_roles;
    h->doc_type = d->type;
    h->has_content = 1;
    size_t n = sizeof *h + 4 * VARINT_BYTES_MAX + d->doc_id_bytes + d->title_bytes +
               d->owner_bytes + d->roles_bytes + content_bytes;
    struct writer w = shard_claim(s, m->gateway, n);
    msg_write_struct(&w, h);
    write_str(&w, document_id(d));
    write_str(&w, document_title(d));
    write_str(&w, document_owner(d));
    write_bytes(&w, document_roles(d));
    return w;
}

void shard_write_document(struct shard *s, const struct msg_in *m, const struct document *d,
                          uint8_t role)
{
    struct msg_doc h = {
        .version = d->version, .hash = d->hash, .modified_ms = d->modified_ms, .role = role};
    struct writer w = begin_document(s, m, d, &h, shard_content_bytes(d));
    shard_write_content(&w, d);
    shard_commit(s, m->gateway, MSG_DOC, &w);
}

enum status shard_on_get(struct shard *s, struct msg_in *m)
{
    struct call c;
    if (!shard_read_call(m, &c) || c.h.arg8 > DOC_AT_TIME)
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    struct document *d;
    enum status st = shard_find_document(s, m, c.id.tenant, c.doc_id, false, &d);
    if (!d)
        return st;
    st = shard_check_access(d, &c.id, DOC_ROLE_VIEWER);
    bool is_version = c.h.arg8 == DOC_AT_VERSION;
    if (st == STATUS_OK && is_version && c.h.arg64 > d->version)
        st = STATUS_NOT_FOUND;
    if (st == STATUS_OK && c.h.arg8 == DOC_AT_TIME && c.h.arg64 < d->created_ms)
        st = STATUS_NOT_FOUND;
    if (st != STATUS_OK)
        return shard_refuse(s, m, st);
    if (c.h.arg8 == DOC_AT_NOW || (is_version && c.h.arg64 == d->version)) {
        shard_write_document(s, m, d, access_role(document_roles(d), &c.id));
        return STATUS_OK;
    }
    struct loader_ask ask = {.need_idx = d->last_idx, .a = c.h.arg64, .at = c.h.arg8};
    return shard_park_and_ask(s, m, d, LOADER_CONTENT, ask, (struct bytes){0}, (struct bytes){0});
}

/* As it was then; who may see it is asked as of now. */
static void answer_content(struct shard *s, const struct msg_in *m, struct document *d,
                           const struct loader_answer *a, struct reader *in)
{
    struct call c;
    bool ok = shard_read_call(m, &c);
    check(ok);
    enum status st = shard_check_access(d, &c.id, DOC_ROLE_VIEWER);
    if (st != STATUS_OK) {
        shard_refuse(s, m, st);
        return;
    }
    struct bytes content = read_str(in);
    check(in->ok);
    struct msg_doc h = {.version = a->a,
                        .hash = a->b,
                        .modified_ms = a->c,
                        .role = access_role(document_roles(d), &c.id)};
    struct writer w = begin_document(s, m, d, &h, content.n + VARINT_BYTES_MAX);
    write_str(&w, content);
    shard_commit(s, m->gateway, MSG_DOC, &w);
}

/* ---- lists ---- */

enum status shard_on_list(struct shard *s, struct msg_in *m)
{
    struct reader r = reader_of(m->payload);
    struct msg_call h;
    msg_read_struct(&r, &h);
    const uint8_t *identity = r.p;
    struct msg_identity id = msg_read_identity(&r);
    struct bytes id_bytes = bytes_of(identity, (size_t)(r.p - identity));
    struct bytes cursor = read_str(&r);
    if (!r.ok || id.user.n == 0 || cursor.n > LIMIT_DOC_ID_BYTES || h.arg32 == 0 ||
        h.arg32 > LIMIT_PAGE_ITEMS)
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    struct loader_ask ask = {
        .need_idx = log_last(s->log), .a = h.arg64, .limit = h.arg32, .tag = h.head.tag};
    return shard_park_and_ask(s, m, NULL, LOADER_LIST, ask, id_bytes, cursor);
}

static void write_items(struct shard *s, const struct msg_in *m, uint16_t type, uint32_t n,
                        uint32_t more, struct bytes items)
{
    struct msg_items h = {.head = shard_head_of(m), .n = n, .more = more};
    struct writer w = shard_claim(s, m->gateway, sizeof h + items.n);
    msg_write_struct(&w, &h);
    write_bytes(&w, items);
    shard_commit(s, m->gateway, type, &w);
}

enum status shard_on_history(struct shard *s, struct msg_in *m)
{
    struct call c;
    if (!shard_read_call(m, &c) || c.h.arg32 == 0 || c.h.arg32 > LIMIT_PAGE_ITEMS)
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    struct document *d;
    enum status st = shard_find_document(s, m, c.id.tenant, c.doc_id, false, &d);
    if (!d)
        return st;
    st = shard_check_access(d, &c.id, DOC_ROLE_VIEWER);
    if (st != STATUS_OK)
        return shard_refuse(s, m, st);
    uint64_t from = c.h.arg64 ? c.h.arg64 : 1;
    uint64_t to = c.h.arg64b < d->version ? c.h.arg64b : d->version;
    if (from > to) {
        write_items(s, m, MSG_HISTORY_ITEMS, 0, 0, (struct bytes){0});
        return STATUS_OK;
    }
    struct loader_ask ask = {.need_idx = d->last_idx,
                             .a = from,
                             .b = to,
                             .limit = c.h.arg32,
                             .bytes_max = LIMIT_RECORD_BYTES / 2};
    return shard_park_and_ask(s, m, d, LOADER_OPS, ask, (struct bytes){0}, (struct bytes){0});
}

void shard_call_answer(struct shard *s, struct request *r, uint16_t type,
                       const struct loader_answer *a, struct reader *in)
{
    struct msg_in m = {.gateway = r->gateway,
                       .type = r->type,
                       .payload = bytes_of(r->payload, r->payload_bytes),
                       .request = r};
    if (a->status == STATUS_END)
        shard_refuse(s, &m, STATUS_NOT_FOUND);
    else if (a->status == STATUS_NO_MEMORY || a->status == STATUS_UNAVAILABLE)
        shard_refuse(s, &m, STATUS_UNAVAILABLE);
    else if (a->status != STATUS_OK)
        shard_refuse(s, &m, STATUS_INTERNAL);
    else if (type == LOADER_CONTENT)
        answer_content(s, &m, r->doc, a, in);
    else
        write_items(s, &m, type == LOADER_LIST ? MSG_DOC_ITEMS : MSG_HISTORY_ITEMS, a->n, a->more,
                    read_rest(in));
    shard_request_done(s, r);
}
