/*
 * record.h - the payloads of log records: what is true of documents, in one order.
 *
 * The log (log.h) numbers records and keeps them whole; this file says what is in them. The archive
 * applies them to the view, `penstock log` prints them, a standby replays them: nothing but these
 * records and the snapshots derived from them makes a document. A record is a fixed part and `str`
 * fields, unaligned, in the order of the struct.
 *
 * `docnum` numbers the documents of one shard: 1, 2, 3 ... in the order of their creation, never
 * reused. Any thread; pure. Errors: STATUS_CORRUPT from decoders.
 */
#ifndef PENSTOCK_STORE_RECORD_H
#define PENSTOCK_STORE_RECORD_H

#include "base/bytes.h"
#include "base/status.h"
#include "net/message.h"

enum record_type {
    RECORD_NONE =
        0, /* a barrier: written at start, so that every start has a group of its own epoch */
    RECORD_CREATE = 1, /* a document was made */
    RECORD_OPS = 2,    /* one message's ops were accepted */
    RECORD_CLIENT = 3, /* a client id was claimed by a user */
    RECORD_TITLE = 4,
    RECORD_ROLE = 5,  /* a principal got a role, or lost it */
    RECORD_TRASH = 6, /* moved to the trash, or back */
};

struct record_create {
    uint64_t docnum;
    uint64_t unix_ms;
    uint64_t hash; /* history hash at version 0 */
    uint8_t type;  /* enum doc_type */
    struct bytes tenant;
    struct bytes doc_id;
    struct bytes owner;
    struct bytes title;
    struct bytes content; /* an op */
};

struct record_op {
    uint64_t seq;  /* 0: none was given */
    uint64_t hash; /* history hash after this op */
    uint64_t
        payload_hash; /* XXH3-64 of the op as it came in: tells a resend from a reuse of its seq */
    struct bytes op;  /* as accepted: transformed, in normal form */
};

struct record_ops {
    uint64_t docnum;
    uint64_t unix_ms;
    uint64_t first_version; /* of the first op: its new_version */
    uint32_t n_ops;
    struct bytes user;
    struct bytes client;      /* empty is impossible: the gateway makes one */
    struct bytes accepted_by; /* empty: none */
    struct bytes ops;         /* n_ops times: varint seq, u64 hash, u64 payload_hash, str op */
};

struct record_client {
    uint64_t docnum;
    uint64_t unix_ms;
    struct bytes client;
    struct bytes user;
};

struct record_title {
    uint64_t docnum;
    uint64_t unix_ms;
    struct bytes user; /* who did it */
    struct bytes title;
};

struct record_role {
    uint64_t docnum;
    uint64_t unix_ms;
    uint8_t role; /* DOC_ROLE_NONE: taken away */
    struct bytes user;
    struct bytes principal;
};

struct record_trash {
    uint64_t docnum;
    uint64_t unix_ms;
    uint8_t trashed; /* 1 in, 0 back */
    struct bytes user;
};

size_t record_create_bytes(const struct record_create *r);
void record_write_create(struct writer *w, const struct record_create *r);
enum status record_read_create(struct bytes payload, struct record_create *r) must_use;

/* OPS is written in two steps, since ops are produced one after the other: the head, then each op.
 * `n_ops` and `first_version` are patched by record_patch_ops once they are known. */
size_t record_ops_head_bytes(const struct record_ops *r);
void record_write_ops_head(struct writer *w, const struct record_ops *r);
size_t record_op_bytes(const struct record_op *op);
void record_write_op(struct writer *w, const struct record_op *op);
void record_patch_ops(uint8_t *payload, uint64_t first_version, uint32_t n_ops);
enum status record_read_ops(struct bytes payload, struct record_ops *r) must_use;
/* Next op of r->ops; false at the end; a broken list fails the reader. */
bool record_next_op(struct reader *ops, struct record_op *op);

size_t record_client_bytes(const struct record_client *r);
void record_write_client(struct writer *w, const struct record_client *r);
enum status record_read_client(struct bytes payload, struct record_client *r) must_use;
size_t record_title_bytes(const struct record_title *r);
void record_write_title(struct writer *w, const struct record_title *r);
enum status record_read_title(struct bytes payload, struct record_title *r) must_use;
size_t record_role_bytes(const struct record_role *r);
void record_write_role(struct writer *w, const struct record_role *r);
enum status record_read_role(struct bytes payload, struct record_role *r) must_use;
size_t record_trash_bytes(const struct record_trash *r);
void record_write_trash(struct writer *w, const struct record_trash *r);
enum status record_read_trash(struct bytes payload, struct record_trash *r) must_use;

/* History hash: of the content at creation, then chained over every op with who made it. */
uint64_t record_hash_create(uint8_t type, struct bytes content);
uint64_t record_hash_op(uint64_t before, struct bytes op, struct bytes user, struct bytes client,
                        uint64_t seq);

#endif
