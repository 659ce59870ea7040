#include "store/record.h"

#include "base/hash.h"

/* Fixed fields are written one by one: records are unaligned, and the order here is the format. */

#define OPS_VERSION_AT 16u /* docnum, unix_ms */
#define OPS_COUNT_AT   24u

static size_t str_bytes(struct bytes b)
{
    return varint_bytes(b.n) + b.n;
}

/* A decoder that did not use up the payload has read something else than what was written. */
static bool is_whole(const struct reader *r)
{
    return r->ok && reader_left(r) == 0;
}

/* ---- CREATE ---- */

size_t record_create_bytes(const struct record_create *r)
{
    return 25 + str_bytes(r->tenant) + str_bytes(r->doc_id) + str_bytes(r->owner) +
           str_bytes(r->title) + str_bytes(r->content);
}

void record_write_create(struct writer *w, const struct record_create *r)
{
    write_u64(w, r->docnum);
    write_u64(w, r->unix_ms);
    write_u64(w, r->hash);
    write_u8(w, r->type);
    write_str(w, r->tenant);
    write_str(w, r->doc_id);
    write_str(w, r->owner);
    write_str(w, r->title);
    write_str(w, r->content);
}

enum status record_read_create(struct bytes payload, struct record_create *r)
{
    struct reader in = reader_of(payload);
    struct record_create v;
    v.docnum = read_u64(&in);
    v.unix_ms = read_u64(&in);
    v.hash = read_u64(&in);
    v.type = read_u8(&in);
    v.tenant = read_str(&in);
    v.doc_id = read_str(&in);
    v.owner = read_str(&in);
    v.title = read_str(&in);
    v.content = read_str(&in);
    if (!is_whole(&in) || v.docnum == 0 || v.type > DOC_RICH || v.doc_id.n == 0)
        return STATUS_CORRUPT;
    *r = v;
    return STATUS_OK;
}

/* ---- OPS ---- */

size_t record_ops_head_bytes(const struct record_ops *r)
{
    return 28 + str_bytes(r->user) + str_bytes(r->client) + str_bytes(r->accepted_by);
}

void record_write_ops_head(struct writer *w, const struct record_ops *r)
{
    write_u64(w, r->docnum);
    write_u64(w, r->unix_ms);
    write_u64(w, r->first_version);
    write_u32(w, r->n_ops);
    write_str(w, r->user);
    write_str(w, r->client);
    write_str(w, r->accepted_by);
}

size_t record_op_bytes(const struct record_op *op)
{
    return varint_bytes(op->seq) + 16 + str_bytes(op->op);
}

void record_write_op(struct writer *w, const struct record_op *op)
{
    write_varint(w, op->seq);
    write_u64(w, op->hash);
    write_u64(w, op->payload_hash);
    write_str(w, op->op);
}

void record_patch_ops(uint8_t *payload, uint64_t first_version, uint32_t n_ops)
{
    memcpy(payload + OPS_VERSION_AT, &first_version, sizeof first_version);
    memcpy(payload + OPS_COUNT_AT, &n_ops, sizeof n_ops);
}

enum status record_read_ops(struct bytes payload, struct record_ops *r)
{
    struct reader in = reader_of(payload);
    struct record_ops v;
    v.docnum = read_u64(&in);
    v.unix_ms = read_u64(&in);
    v.first_version = read_u64(&in);
    v.n_ops = read_u32(&in);
    v.user = read_str(&in);
    v.client = read_str(&in);
    v.accepted_by = read_str(&in);
    v.ops = read_rest(&in);
    if (!in.ok || v.docnum == 0 || v.first_version == 0 || v.n_ops == 0 || v.client.n == 0)
        return STATUS_CORRUPT;
    *r = v;
    return STATUS_OK;
}

bool record_next_op(struct reader *ops, struct record_op *op)
{
    if (!ops->ok || reader_left(ops) == 0)
        return false;
    struct record_op v;
    v.seq = read_varint(ops);
    v.hash = read_u64(ops);
    v.payload_hash = read_u64(ops);
    v.op = read_str(ops);
    if (!ops->ok)
        return false;
    *op = v;
    return true;
}

/* ---- CLIENT, TITLE, ROLE, TRASH ---- */

size_t record_client_bytes(const struct record_client *r)
{
    return 16 + str_bytes(r->client) + str_bytes(r->user);
}

void record_write_client(struct writer *w, const struct record_client *r)
{
    write_u64(w, r->docnum);
    write_u64(w, r->unix_ms);
    write_str(w, r->client);
    write_str(w, r->user);
}

enum status record_read_client(struct bytes payload, struct record_client *r)
{
    struct reader in = reader_of(payload);
    struct record_client v;
    v.docnum = read_u64(&in);
    v.unix_ms = read_u64(&in);
    v.client = read_str(&in);
    v.user = read_str(&in);
    if (!is_whole(&in) || v.docnum == 0 || v.client.n == 0)
        return STATUS_CORRUPT;
    *r = v;
    return STATUS_OK;
}

size_t record_title_bytes(const struct record_title *r)
{
    return 16 + str_bytes(r->user) + str_bytes(r->title);
}

void record_write_title(struct writer *w, const struct record_title *r)
{
    write_u64(w, r->docnum);
    write_u64(w, r->unix_ms);
    write_str(w, r->user);
    write_str(w, r->title);
}

enum status record_read_title(struct bytes payload, struct record_title *r)
{
    struct reader in = reader_of(payload);
    struct record_title v;
    v.docnum = read_u64(&in);
    v.unix_ms = read_u64(&in);
    v.user = read_str(&in);
    v.title = read_str(&in);
    if (!is_whole(&in) || v.docnum == 0)
        return STATUS_CORRUPT;
    *r = v;
    return STATUS_OK;
}

size_t record_role_bytes(const struct record_role *r)
{
    return 17 + str_bytes(r->user) + str_bytes(r->principal);
}

void record_write_role(struct writer *w, const struct record_role *r)
{
    write_u64(w, r->docnum);
    write_u64(w, r->unix_ms);
    write_u8(w, r->role);
    write_str(w, r->user);
    write_str(w, r->principal);
}

enum status record_read_role(struct bytes payload, struct record_role *r)
{
    struct reader in = reader_of(payload);
    struct record_role v;
    v.docnum = read_u64(&in);
    v.unix_ms = read_u64(&in);
    v.role = read_u8(&in);
    v.user = read_str(&in);
    v.principal = read_str(&in);
    if (!is_whole(&in) || v.docnum == 0 || v.role > DOC_ROLE_OWNER || v.principal.n == 0)
        return STATUS_CORRUPT;
    *r = v;
    return STATUS_OK;
}

size_t record_trash_bytes(const struct record_trash *r)
{
    return 17 + str_bytes(r->user);
}

void record_write_trash(struct writer *w, const struct record_trash *r)
{
    write_u64(w, r->docnum);
    write_u64(w, r->unix_ms);
    write_u8(w, r->trashed);
    write_str(w, r->user);
}

enum status record_read_trash(struct bytes payload, struct record_trash *r)
{
    struct reader in = reader_of(payload);
    struct record_trash v;
    v.docnum = read_u64(&in);
    v.unix_ms = read_u64(&in);
    v.trashed = read_u8(&in);
    v.user = read_str(&in);
    if (!is_whole(&in) || v.docnum == 0 || v.trashed > 1)
        return STATUS_CORRUPT;
    *r = v;
    return STATUS_OK;
}

/* ---- history hash ----
 * The parts are hashed apart and then together, so that no two splits of the same bytes into op,
 * user and client look alike. */

uint64_t record_hash_create(uint8_t type, struct bytes content)
{
    return hash64_seed(content, 1u + type);
}

uint64_t record_hash_op(uint64_t before, struct bytes op, struct bytes user, struct bytes client,
                        uint64_t seq)
{
    uint64_t parts[5] = {before, seq, hash64(op), hash64(user), hash64(client)};
    return hash64(bytes_of(parts, sizeof parts));
}
