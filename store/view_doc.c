#include "store/view_doc.h"

#define ROW_FORMAT 1u

static size_t str_bytes(struct bytes b)
{
    return varint_bytes(b.n) + b.n;
}

/* ---- documents ---- */

size_t view_doc_row_bytes(const struct view_doc_row *row)
{
    const struct view_doc *d = &row->doc;
    return 2 + 8 * 8 + 4 + 4 + str_bytes(d->tenant) + str_bytes(d->doc_id) + str_bytes(d->owner) +
           str_bytes(d->title) + str_bytes(d->roles);
}

void view_doc_row_write(struct writer *w, const struct view_doc_row *row)
{
    const struct view_doc *d = &row->doc;
    write_u8(w, ROW_FORMAT);
    write_u8(w, d->type);
    write_u64(w, d->version);
    write_u64(w, d->hash);
    write_u64(w, d->created_ms);
    write_u64(w, d->modified_ms);
    write_u64(w, d->trashed_ms);
    write_u64(w, d->content_version);
    write_u64(w, d->ops_bytes_since);
    write_u64(w, row->run_version);
    write_u32(w, row->run_bytes);
    write_u32(w, d->n_roles);
    write_str(w, d->tenant);
    write_str(w, d->doc_id);
    write_str(w, d->owner);
    write_str(w, d->title);
    write_str(w, d->roles);
}

enum status view_doc_row_read(struct bytes value, uint64_t docnum, struct view_doc_row *row)
{
    struct reader in = reader_of(value);
    struct view_doc_row v;
    uint8_t format = read_u8(&in);
    v.doc.docnum = docnum;
    v.doc.type = read_u8(&in);
    v.doc.version = read_u64(&in);
    v.doc.hash = read_u64(&in);
    v.doc.created_ms = read_u64(&in);
    v.doc.modified_ms = read_u64(&in);
    v.doc.trashed_ms = read_u64(&in);
    v.doc.content_version = read_u64(&in);
    v.doc.ops_bytes_since = read_u64(&in);
    v.run_version = read_u64(&in);
    v.run_bytes = read_u32(&in);
    v.doc.n_roles = read_u32(&in);
    v.doc.tenant = read_str(&in);
    v.doc.doc_id = read_str(&in);
    v.doc.owner = read_str(&in);
    v.doc.title = read_str(&in);
    v.doc.roles = read_str(&in);
    if (!in.ok || reader_left(&in) || format != ROW_FORMAT || v.doc.type > DOC_RICH ||
        v.doc.content_version > v.doc.version || v.run_version > v.doc.version)
        return STATUS_CORRUPT;
    *row = v;
    return STATUS_OK;
}

/* ---- roles ---- */

enum status view_roles_set(struct bytes roles, struct bytes principal, uint8_t role,
                           struct writer *w, uint32_t *n_roles)
{
    struct reader in = reader_of(roles);
    uint32_t n = 0;
    bool is_placed = role == DOC_ROLE_NONE;
    while (in.ok && reader_left(&in)) {
        uint8_t its_role = read_u8(&in);
        struct bytes its_name = read_str(&in);
        int order = bytes_cmp(its_name, principal);
        if (!is_placed && order >= 0) {
            write_u8(w, role);
            write_str(w, principal);
            is_placed = true;
            n++;
        }
        if (order != 0) {
            write_u8(w, its_role);
            write_str(w, its_name);
            n++;
        }
    }
    if (!is_placed) {
        write_u8(w, role);
        write_str(w, principal);
        n++;
    }
    if (!in.ok || !w->ok)
        return STATUS_CORRUPT;
    *n_roles = n;
    return STATUS_OK;
}

/* ---- clients ---- */

size_t view_client_bytes(const struct view_client *c)
{
    return 1 + 5 * 8 + 4 + str_bytes(c->user) + c->payload_hashes.n;
}

void view_client_write(struct writer *w, const struct view_client *c)
{
    write_u8(w, ROW_FORMAT);
    write_u64(w, c->last_seq);
    write_u64(w, c->last_version);
    write_u64(w, c->last_seq_version);
    write_u64(w, c->message_seq);
    write_u64(w, c->message_version);
    write_u32(w, c->message_n);
    write_str(w, c->user);
    write_bytes(w, c->payload_hashes);
}

enum status view_client_read(struct bytes value, struct view_client *c)
{
    struct reader in = reader_of(value);
    struct view_client v;
    uint8_t format = read_u8(&in);
    v.last_seq = read_u64(&in);
    v.last_version = read_u64(&in);
    v.last_seq_version = read_u64(&in);
    v.message_seq = read_u64(&in);
    v.message_version = read_u64(&in);
    v.message_n = read_u32(&in);
    v.user = read_str(&in);
    v.payload_hashes = read_rest(&in);
    if (!in.ok || format != ROW_FORMAT || v.payload_hashes.n != (size_t)v.message_n * 8)
        return STATUS_CORRUPT;
    *c = v;
    return STATUS_OK;
}
