/*
 * view_private.h - private to view*.c: the environment, its tables, and a write transaction's
 * gathered state.
 */
#ifndef PENSTOCK_STORE_VIEW_PRIVATE_H
#define PENSTOCK_STORE_VIEW_PRIVATE_H

#include "store/view.h"
#include "store/view_doc.h"
#include "store/view_run.h"

#include <lmdb.h>

enum view_table {
    VIEW_META,
    VIEW_NAME,
    VIEW_DOC,
    VIEW_OP,
    VIEW_CONTENT,
    VIEW_CLIENT,
    VIEW_PERSON,
    VIEW_TABLES
};

#define VIEW_KEY_BYTES_MAX 511u
#define VIEW_SUM_BYTES     8u

struct view {
    MDB_env *env;
    MDB_dbi tables[VIEW_TABLES];
    bool read_only;
    struct view_write *write; /* kept between transactions with its memory */
};

struct view_read {
    MDB_txn *txn;
    struct view *view;
    uint64_t index;
};

/* ---- view.c: keys, values with their checksum ---- */

struct view_key {
    uint8_t at[VIEW_KEY_BYTES_MAX];
    size_t n;
};

enum status view_status(int rc);
enum status view_write_status(struct view *v, enum status s);
struct view_key view_key_num(uint64_t docnum);
struct view_key view_key_num2(uint64_t docnum, uint64_t version);
/* False: longer than any key. */
bool view_key_client(struct view_key *key, uint64_t docnum, struct bytes client_id);
bool view_key_name(struct view_key *key, struct bytes tenant, struct bytes doc_id);
/* docnum 0: the prefix of all of that principal's. */
bool view_key_person(struct view_key *key, struct bytes tenant, struct bytes principal,
                     uint64_t docnum);
uint64_t view_key_tail(struct bytes key); /* the u64 at its end */
static inline struct bytes view_key_bytes(const struct view_key *key)
{
    return bytes_of(key->at, key->n);
}

/* A stored value without its checksum; STATUS_CORRUPT where that is wrong. */
enum status view_value_check(struct bytes key, MDB_val stored, struct bytes *value) must_use;
enum status view_get(MDB_txn *txn, MDB_dbi table, struct bytes key, struct bytes *value) must_use;
enum status view_put(MDB_txn *txn, MDB_dbi table, struct bytes key, struct bytes value) must_use;
enum status view_get_u64(MDB_txn *txn, MDB_dbi table, struct bytes key, uint64_t *value) must_use;
enum status view_put_u64(MDB_txn *txn, MDB_dbi table, struct bytes key, uint64_t value) must_use;

/* ---- view_write.c: what a write transaction gathers ---- */

struct view_pending_client {
    struct view_pending_client *next_in_doc;
    struct bytes client_id;
    struct view_client row;
    uint64_t *hashes; /* of the last message: row.payload_hashes */
    uint32_t hashes_cap;
    uint32_t run_slot; /* where it stood as an author in the document's run */
};

struct view_pending_doc {
    struct view_doc_row row; /* slices are in the arena */
    struct view_run_writer *run;
    struct view_pending_client *clients;
    struct view_pending_client *last_client; /* of the last ops record: most often the next one's */
};

struct view_arena_block;

/* Slots by a 64-bit key; the table doubles when it is half full. */
struct view_slot {
    uint64_t key;
    void *item;
};

struct view_map {
    struct view_slot *slots;
    uint32_t n;
    uint32_t cap; /* power of two */
};

struct view_write {
    struct view *view;
    MDB_txn *txn;
    uint64_t index;
    uint64_t next_docnum;
    struct view_map docs;            /* by docnum */
    struct view_map clients;         /* by hash of docnum and client id */
    struct view_arena_block *blocks; /* in use, newest first */
    struct view_arena_block *spare;
    uint64_t spare_bytes;
};

/* 8-aligned; NULL: no memory. */
void *view_arena_take(struct view_write *w, size_t n);
/* Copies a slice; false: no memory. */
bool view_arena_copy(struct view_write *w, struct bytes *b);
void *view_map_find(const struct view_map *map, uint64_t key);
bool view_map_add(struct view_map *map, uint64_t key, void *item) must_use;
/* Loads it at its first use in the transaction. STATUS_END: there is none. */
enum status view_pending_doc(struct view_write *w, uint64_t docnum,
                             struct view_pending_doc **out) must_use;
/* With an empty record (user empty) where there is none. */
enum status view_pending_client(struct view_write *w, struct view_pending_doc *doc,
                                struct bytes client_id, struct view_pending_client **out) must_use;
/* Room for one more op in the document's run; begins, resumes or grows it. */
enum status view_pending_run(struct view_write *w, struct view_pending_doc *doc, size_t bytes,
                             struct view_run_writer **out) must_use;
void view_write_free(struct view *v);

#endif
