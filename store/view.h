/*
 * view.h - the view: what the log says, in LMDB, by document. Behind the log; rebuilt from it.
 *
 * One environment a shard. Tables:
 *     meta     "format", "shard", "n_shards", "index" (log index applied), "next_docnum", "uuid"
 *     name     tenant \0 doc_id                     -> docnum
 *     doc      docnum (u64 big-endian)              -> version, hash, times, type, title, roles ...
 *     op       docnum, first version (both BE)      -> a run: several ops of the document
 *     content  docnum, version (both BE)            -> content as an op: snapshots; version 0 is
 *                                                      always there
 *     client   docnum, client_id                    -> user, last seq, what the last message got
 *     person   tenant \0 principal \0 docnum (BE)   -> role
 * Every value ends with a checksum over key and value; a run also proves its history hashes.
 *
 * LMDB's default sync (never MDB_NOSYNC, no MDB_WRITEMAP). The archive is the only writer, and
 * applies committed records in large transactions that end with "index": so the view is always the
 * exact state at one log index. A crash leaves the last committed one.
 *
 * Applying checks each record against the view: its number, that versions follow each other, and
 * that the history hash is what record_hash_op makes of the one before. STATUS_CORRUPT then ends
 * the process: what contradicts itself is not stored.
 *
 * Functions with a `struct view_read` may be called by any thread that holds one; slices are valid
 * until its end. Errors of all: STATUS_CORRUPT (stored bytes contradict themselves), STATUS_IO,
 * STATUS_NO_MEMORY. lmdb.h is included by view*.c alone.
 */
#ifndef PENSTOCK_STORE_VIEW_H
#define PENSTOCK_STORE_VIEW_H

#include "store/record.h"

#define VIEW_FORMAT            1u
#define VIEW_MAP_BYTES_DEFAULT (1ull << 40)

struct view;
struct view_read;  /* a read transaction */
struct view_write; /* the write transaction; archive only */

struct view_options {
    const char *dir;    /* must exist */
    uint64_t map_bytes; /* address space, not memory: what the view can grow to */
    uint32_t shard;
    uint32_t n_shards;
    bool read_only;
};

/* STATUS_FORMAT: of another shard or number of shards, or of a newer version. */
enum status view_open(struct view **out, const struct view_options *options) must_use;
void view_close(struct view *v);
uint64_t view_index(struct view *v); /* log index applied and durable; a short read of its own */
uint64_t view_next_docnum(struct view *v);
int view_fd(struct view *v); /* for a sync through io_uring */

/* ---- reading ---- */

struct view_doc {
    uint64_t docnum;
    uint64_t version;
    uint64_t hash;
    uint64_t created_ms;
    uint64_t modified_ms;     /* of the newest record: an op, title, role, trash or creation */
    uint64_t trashed_ms;      /* 0: not in the trash */
    uint64_t content_version; /* newest snapshot */
    uint64_t ops_bytes_since; /* bytes of ops after it */
    uint32_t n_roles;
    uint8_t type;
    struct bytes tenant;
    struct bytes doc_id;
    struct bytes owner; /* who made it */
    struct bytes title;
    struct bytes roles; /* n_roles x { u8 role, str principal }, in order of principals */
};

struct view_client {
    struct bytes user;
    uint64_t last_seq;         /* 0: none */
    uint64_t last_version;     /* of its last accepted op, with or without seq; 0: none */
    uint64_t last_seq_version; /* of the op with last_seq */
    uint64_t message_seq;      /* first seq of the last accepted message that had seqs */
    uint64_t message_version;  /* its new_version; the following ones have the following versions */
    uint32_t message_n;
    struct bytes payload_hashes; /* message_n x u64, unaligned */
};

struct view_op {
    uint64_t version; /* new_version */
    uint64_t unix_ms;
    struct record_op op; /* payload_hash 0: the client's record has those that matter */
    struct bytes user;
    struct bytes client;
    struct bytes accepted_by;
};

enum status view_read_begin(struct view *v, struct view_read **out) must_use;
void view_read_end(struct view_read *r);
uint64_t view_read_index(struct view_read *r);

/* STATUS_END where there is none. */
enum status view_doc_find(struct view_read *r, struct bytes tenant, struct bytes doc_id,
                          struct view_doc *doc) must_use;
enum status view_doc_get(struct view_read *r, uint64_t docnum, struct view_doc *doc) must_use;
enum status view_client_find(struct view_read *r, uint64_t docnum, struct bytes client_id,
                             struct view_client *c) must_use;
/* The newest snapshot at or below `version`. */
enum status view_content_find(struct view_read *r, uint64_t docnum, uint64_t version, uint64_t *at,
                              struct bytes *content) must_use;
/* Ops `from` ... `to` in order, until `each` returns false. O(log n) to the first one, then what is
 * read. STATUS_END: the document has not all of them (those it has were given). */
enum status view_ops(struct view_read *r, uint64_t docnum, uint64_t from, uint64_t to,
                     bool (*each)(void *arg, const struct view_op *op), void *arg) must_use;
/* The newest version made at or before that time (0 where only creation was), for clocks that do
 * not go back. STATUS_END: the document is younger. */
enum status view_version_at(struct view_read *r, uint64_t docnum, uint64_t unix_ms,
                            uint64_t *version) must_use;
/* Every document on which that principal has a role, trashed ones too, until `each` returns false.
 */
enum status view_person_docs(struct view_read *r, struct bytes tenant, struct bytes principal,
                             bool (*each)(void *arg, uint64_t docnum, uint8_t role),
                             void *arg) must_use;

/* ---- writing: the archive ---- */

enum status view_write_begin(struct view *v, struct view_write **out) must_use;
/* Applies one record; idx must be the next one. Ops are gathered and become runs at the end.
 * STATUS_CORRUPT: the record contradicts the view. STATUS_NO_ROOM: the disk or the map is full;
 * abort. */
enum status view_apply(struct view_write *w, uint64_t idx, enum record_type type,
                       struct bytes payload) must_use;
/* Version of a document as this transaction has it; STATUS_END: there is none. */
enum status view_write_version(struct view_write *w, uint64_t docnum, uint64_t *version) must_use;
/* A snapshot the shard made; ignored where the view has not reached that version. */
enum status view_put_content(struct view_write *w, uint64_t docnum, uint64_t version,
                             struct bytes content) must_use;
/* Durable when it returns OK; `w` is gone either way. */
enum status view_write_commit(struct view_write *w) must_use;
void view_write_abort(struct view_write *w);

#endif
