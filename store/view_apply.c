/* What each kind of record does to the view. */
#include "store/view_private.h"

/* A record speaks of a document that is there, else it contradicts the view. */
static enum status doc_of(struct view_write *w, uint64_t docnum, struct view_pending_doc **doc)
{
    enum status s = view_pending_doc(w, docnum, doc);
    return s == STATUS_END ? STATUS_CORRUPT : s;
}

static enum status put_person(struct view_write *w, struct bytes tenant, struct bytes principal,
                              uint64_t docnum, uint8_t role)
{
    struct view_key key;
    MDB_dbi table = w->view->tables[VIEW_PERSON];
    if (!view_key_person(&key, tenant, principal, docnum))
        return STATUS_CORRUPT;
    if (role != DOC_ROLE_NONE)
        return view_put(w->txn, table, view_key_bytes(&key), bytes_of(&role, 1));
    MDB_val k = {.mv_size = key.n, .mv_data = key.at};
    enum status s = view_status(mdb_del(w->txn, table, &k, NULL));
    return s == STATUS_END ? STATUS_OK : s;
}

/* ---- CREATE ---- */

static enum status put_name(struct view_write *w, const struct record_create *r)
{
    struct view_key key;
    uint64_t other;
    MDB_dbi table = w->view->tables[VIEW_NAME];
    if (!view_key_name(&key, r->tenant, r->doc_id))
        return STATUS_CORRUPT;
    enum status s = view_get_u64(w->txn, table, view_key_bytes(&key), &other);
    if (s != STATUS_END)
        return s == STATUS_OK ? STATUS_CORRUPT : s;
    return view_put_u64(w->txn, table, view_key_bytes(&key), r->docnum);
}

static enum status pending_doc_new(struct view_write *w, const struct record_create *r)
{
    struct view_pending_doc *doc = view_arena_take(w, sizeof *doc);
    if (!doc)
        return STATUS_NO_MEMORY;
    *doc = (struct view_pending_doc){.row.doc = {.docnum = r->docnum,
                                                 .hash = r->hash,
                                                 .created_ms = r->unix_ms,
                                                 .modified_ms = r->unix_ms,
                                                 .n_roles = 1,
                                                 .type = r->type,
                                                 .tenant = r->tenant,
                                                 .doc_id = r->doc_id,
                                                 .owner = r->owner,
                                                 .title = r->title}};
    struct view_doc *d = &doc->row.doc;
    size_t roles_bytes = 1 + varint_bytes(r->owner.n) + r->owner.n;
    uint8_t *roles = view_arena_take(w, roles_bytes);
    if (!roles || !view_arena_copy(w, &d->tenant) || !view_arena_copy(w, &d->doc_id) ||
        !view_arena_copy(w, &d->owner) || !view_arena_copy(w, &d->title))
        return STATUS_NO_MEMORY;
    struct writer out = writer_of(roles, roles_bytes);
    write_u8(&out, DOC_ROLE_OWNER);
    write_str(&out, r->owner);
    d->roles = writer_bytes(&out);
    return view_map_add(&w->docs, r->docnum, doc) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status apply_create(struct view_write *w, struct bytes payload)
{
    struct record_create r;
    enum status s = record_read_create(payload, &r);
    if (s != STATUS_OK)
        return s;
    if (r.docnum != w->next_docnum || r.hash != record_hash_create(r.type, r.content))
        return STATUS_CORRUPT;
    s = put_name(w, &r);
    if (s == STATUS_OK)
        s = put_person(w, r.tenant, r.owner, r.docnum, DOC_ROLE_OWNER);
    if (s == STATUS_OK) {
        struct view_key key = view_key_num2(r.docnum, 0);
        s = view_put(w->txn, w->view->tables[VIEW_CONTENT], view_key_bytes(&key), r.content);
    }
    if (s == STATUS_OK)
        s = pending_doc_new(w, &r);
    if (s == STATUS_OK)
        w->next_docnum++;
    return s;
}

/* ---- OPS ---- */

static bool hashes_grow(struct view_write *w, struct view_pending_client *c, uint32_t n_more)
{
    uint32_t cap = c->row.message_n + n_more;
    uint64_t *hashes = view_arena_take(w, (size_t)cap * 8);
    if (!hashes)
        return false;
    if (c->row.message_n)
        memcpy(hashes, c->hashes, (size_t)c->row.message_n * 8);
    c->hashes = hashes;
    c->hashes_cap = cap;
    return true;
}

/* A client's record after one op with a seq. Payload hashes are kept for the stretch of ops of its
 * last message whose seqs and versions both rise by one. */
static enum status client_seq(struct view_write *w, struct view_pending_client *c, uint64_t version,
                              const struct record_op *op, bool is_first, uint32_t n_left)
{
    struct view_client *row = &c->row;
    if (op->seq <= row->last_seq)
        return STATUS_CORRUPT;
    if (is_first || op->seq != row->message_seq + row->message_n ||
        version != row->message_version + row->message_n) {
        row->message_seq = op->seq;
        row->message_version = version;
        row->message_n = 0;
    }
    if (row->message_n == c->hashes_cap && !hashes_grow(w, c, n_left))
        return STATUS_NO_MEMORY;
    c->hashes[row->message_n++] = op->payload_hash;
    row->last_seq = op->seq;
    row->last_seq_version = version;
    return STATUS_OK;
}

static enum status client_of(struct view_write *w, struct view_pending_doc *doc,
                             const struct record_ops *r, struct view_pending_client **out)
{
    struct view_pending_client *c;
    enum status s = view_pending_client(w, doc, r->client, &c);
    if (s != STATUS_OK)
        return s;
    if (c->row.last_version == 0 && c->row.user.n == 0) {
        c->row.user = r->user;
        if (!view_arena_copy(w, &c->row.user))
            return STATUS_NO_MEMORY;
    }
    if (!bytes_eq(c->row.user, r->user))
        return STATUS_CORRUPT; /* a client belongs to one user */
    *out = c;
    return STATUS_OK;
}

static enum status apply_ops(struct view_write *w, struct bytes payload)
{
    struct record_ops r;
    struct view_pending_doc *doc;
    struct view_pending_client *client;
    enum status s = record_read_ops(payload, &r);
    if (s == STATUS_OK)
        s = doc_of(w, r.docnum, &doc);
    if (s == STATUS_OK)
        s = client_of(w, doc, &r, &client);
    if (s != STATUS_OK)
        return s;
    struct view_doc *d = &doc->row.doc;
    if (r.first_version != d->version + 1)
        return STATUS_CORRUPT;
    /* user, client and accepted_by as they stand in the record are the run's author */
    const uint8_t *names = r.user.p - varint_bytes(r.user.n);
    struct bytes author = bytes_of(names, (size_t)(r.ops.p - names));
    bool has_seqs = false;
    struct reader ops = reader_of(r.ops);
    struct record_op op;
    uint32_t n = 0;
    while (record_next_op(&ops, &op)) {
        if (n == r.n_ops || op.hash != record_hash_op(d->hash, op.op, r.user, r.client, op.seq))
            return STATUS_CORRUPT;
        struct view_run_writer *run;
        s = view_pending_run(w, doc, view_run_op_bytes(author.n, op.op.n), &run);
        if (s == STATUS_OK && op.seq) {
            s = client_seq(w, client, d->version + 1, &op, !has_seqs, r.n_ops - n);
            has_seqs = true;
        }
        if (s != STATUS_OK)
            return s;
        view_run_push(run, author, &client->run_slot, r.unix_ms, &op);
        d->version++;
        d->hash = op.hash;
        d->ops_bytes_since += op.op.n;
        n++;
    }
    client->row.last_version = d->version;
    d->modified_ms = r.unix_ms;
    return ops.ok && n == r.n_ops ? STATUS_OK : STATUS_CORRUPT;
}

/* ---- CLIENT, TITLE, ROLE, TRASH ---- */

static enum status apply_client(struct view_write *w, struct bytes payload)
{
    struct record_client r;
    struct view_pending_doc *doc;
    struct view_pending_client *c;
    enum status s = record_read_client(payload, &r);
    if (s == STATUS_OK)
        s = doc_of(w, r.docnum, &doc);
    if (s == STATUS_OK)
        s = view_pending_client(w, doc, r.client, &c);
    if (s != STATUS_OK)
        return s;
    if (c->row.user.n > 0)
        return bytes_eq(c->row.user, r.user) ? STATUS_OK : STATUS_CORRUPT;
    c->row.user = r.user;
    return view_arena_copy(w, &c->row.user) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status apply_title(struct view_write *w, struct bytes payload)
{
    struct record_title r;
    struct view_pending_doc *doc;
    enum status s = record_read_title(payload, &r);
    if (s == STATUS_OK)
        s = doc_of(w, r.docnum, &doc);
    if (s != STATUS_OK)
        return s;
    doc->row.doc.title = r.title;
    doc->row.doc.modified_ms = r.unix_ms;
    return view_arena_copy(w, &doc->row.doc.title) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status apply_role(struct view_write *w, struct bytes payload)
{
    struct record_role r;
    struct view_pending_doc *doc;
    enum status s = record_read_role(payload, &r);
    if (s == STATUS_OK)
        s = doc_of(w, r.docnum, &doc);
    if (s != STATUS_OK)
        return s;
    struct view_doc *d = &doc->row.doc;
    size_t room = d->roles.n + 1 + VARINT_BYTES_MAX + r.principal.n;
    uint8_t *at = view_arena_take(w, room);
    if (!at)
        return STATUS_NO_MEMORY;
    struct writer out = writer_of(at, room);
    s = view_roles_set(d->roles, r.principal, r.role, &out, &d->n_roles);
    if (s != STATUS_OK)
        return s;
    d->roles = writer_bytes(&out);
    d->modified_ms = r.unix_ms;
    return put_person(w, d->tenant, r.principal, r.docnum, r.role);
}

static enum status apply_trash(struct view_write *w, struct bytes payload)
{
    struct record_trash r;
    struct view_pending_doc *doc;
    enum status s = record_read_trash(payload, &r);
    if (s == STATUS_OK)
        s = doc_of(w, r.docnum, &doc);
    if (s != STATUS_OK)
        return s;
    doc->row.doc.trashed_ms = r.trashed ? r.unix_ms : 0;
    doc->row.doc.modified_ms = r.unix_ms;
    return STATUS_OK;
}

/* ---- all ---- */

enum status view_apply(struct view_write *w, uint64_t idx, enum record_type type,
                       struct bytes payload)
{
    enum status s = STATUS_CORRUPT;
    if (idx != w->index + 1)
        return s;
    switch (type) {
    case RECORD_NONE:
        s = STATUS_OK;
        break;
    case RECORD_CREATE:
        s = apply_create(w, payload);
        break;
    case RECORD_OPS:
        s = apply_ops(w, payload);
        break;
    case RECORD_CLIENT:
        s = apply_client(w, payload);
        break;
    case RECORD_TITLE:
        s = apply_title(w, payload);
        break;
    case RECORD_ROLE:
        s = apply_role(w, payload);
        break;
    case RECORD_TRASH:
        s = apply_trash(w, payload);
        break;
    }
    if (s == STATUS_OK)
        w->index = idx;
    return s == STATUS_OK ? s : view_write_status(w->view, s);
}

enum status view_write_version(struct view_write *w, uint64_t docnum, uint64_t *version)
{
    struct view_pending_doc *doc;
    enum status s = view_pending_doc(w, docnum, &doc);
    if (s == STATUS_OK)
        *version = doc->row.doc.version;
    return s;
}

enum status view_put_content(struct view_write *w, uint64_t docnum, uint64_t version,
                             struct bytes content)
{
    struct view_pending_doc *doc;
    enum status s = view_pending_doc(w, docnum, &doc);
    if (s != STATUS_OK)
        return s == STATUS_END ? STATUS_OK : s;
    struct view_doc *d = &doc->row.doc;
    if (version > d->version)
        return STATUS_OK;
    struct view_key key = view_key_num2(docnum, version);
    s = view_put(w->txn, w->view->tables[VIEW_CONTENT], view_key_bytes(&key), content);
    if (s != STATUS_OK || version <= d->content_version)
        return view_write_status(w->view, s);
    /* Of the ops' bytes since the last snapshot those behind this one remain: in proportion, since
     * this only tells when the next snapshot pays. */
    uint64_t n_since = d->version - d->content_version;
    d->ops_bytes_since = d->ops_bytes_since / n_since * (d->version - version);
    d->content_version = version;
    return STATUS_OK;
}
