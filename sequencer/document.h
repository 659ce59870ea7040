/*
 * document.h - one open document, and the clients that have written to it.
 *
 * A document holds its content (a rope), its version and history hash, what surrounds it (title,
 * roles), its clients by id, its sessions, and the position of its newest op in the shard's window.
 * All memory comes from the shard's pool.
 *
 * A client is a (document, client_id): who owns it, its last seq and version, and what its last
 * accepted message was, so that a resend is told from a new op. A client that nobody is connected
 * with, and whose last record the view holds, may be dropped from memory: it is read back when it
 * is named again.
 *
 * Owner: the shard role. Errors: NULL / STATUS_NO_MEMORY where the pool has no room.
 */
#ifndef PENSTOCK_SEQUENCER_DOCUMENT_H
#define PENSTOCK_SEQUENCER_DOCUMENT_H

#include "net/message.h"
#include "sequencer/history.h"
#include "sequencer/rope.h"
#include "store/record.h"

#define DOCUMENT_GATEWAYS_MAX 16u

struct session;
struct request;

struct client {
    struct client *next;     /* in its bucket */
    struct session *session; /* connected now; NULL: none */
    uint64_t last_seq;
    uint64_t last_version;     /* of its last accepted op, with or without seq */
    uint64_t last_seq_version; /* of the op with last_seq */
    uint64_t message_seq;      /* of the last message that had seqs: its first seq, */
    uint64_t message_version;  /* the version that this became, */
    uint64_t *payload_hashes;  /* and the hash of each op as it came in: message_n of them */
    uint64_t payload_hash;     /* where that is one */
    uint64_t last_idx;         /* its newest log record; 0: the view has it */
    uint32_t message_n;
    uint32_t payload_hashes_max; /* room behind the pointer; 0: it is &payload_hash */
    uint32_t id_hash;
    uint32_t n_pins; /* requests that rely on it */
    uint8_t id_bytes;
    uint8_t user_bytes;
    uint8_t text[]; /* id, user */
};

enum document_state {
    DOCUMENT_LOADING,
    DOCUMENT_OPEN,
    DOCUMENT_ABSENT, /* there is none, or it could not be loaded: only what waited for it sees it */
};

struct document {
    struct document *table_next; /* cache: chain of equal hash */
    struct document *older;      /* cache: by last use */
    struct document *newer;
    uint64_t key_hash;
    uint32_t slot; /* cache: key of the gateways' fan-out table, with gen */
    uint32_t gen;
    uint32_t n_pins; /* requests that wait for it or work on it */
    uint8_t state;
    uint8_t type;
    bool presence_pending; /* on the shard's presence list */
    bool snapshot_due;     /* no room for it yet */
    uint8_t load_status;   /* ABSENT: STATUS_NOT_FOUND, or why not */

    struct rope rope;
    uint64_t docnum;
    uint64_t version;
    uint64_t hash;
    uint64_t created_ms;
    uint64_t modified_ms;
    uint64_t trashed_ms; /* 0: not in the trash */
    uint64_t newest_pos; /* of op `version` in the window */
    uint64_t last_idx;   /* newest log record about it; 0: the view has all */
    uint64_t ops_bytes_since_snapshot;

    struct client **buckets;
    uint32_t n_buckets;
    uint32_t n_clients;
    uint32_t clients_sweep_at; /* drop idle ones at that many */

    struct session *sessions;
    uint32_t n_sessions;
    uint32_t live_mask; /* gateways with live sessions */
    uint32_t n_live[DOCUMENT_GATEWAYS_MAX];
    struct document *presence_next;

    struct request *waiting; /* while loading: first, last */
    struct request *waiting_last;

    uint8_t *ids; /* tenant, doc_id, owner */
    uint8_t tenant_bytes;
    uint8_t doc_id_bytes;
    uint8_t owner_bytes;
    uint8_t *title;
    uint32_t title_bytes;
    uint8_t *roles;
    uint32_t roles_bytes;
    uint32_t n_roles;
};

/* ---- the document; `pool` is always the shard's ---- */

/* A document of which only the key is known, DOCUMENT_LOADING. */
struct document *document_make(struct pool *pool, struct bytes tenant, struct bytes doc_id);
/* Gives everything back. It has no sessions, requests or place in the cache any more. */
void document_free(struct document *d, struct pool *pool);

struct bytes document_tenant(const struct document *d);
struct bytes document_id(const struct document *d);
struct bytes document_owner(const struct document *d);
struct bytes document_title(const struct document *d);
struct bytes document_roles(const struct document *d);

enum status document_set_owner(struct document *d, struct pool *pool, struct bytes owner) must_use;
enum status document_set_title(struct document *d, struct pool *pool, struct bytes title) must_use;
enum status document_set_roles(struct document *d, struct pool *pool, struct bytes roles,
                               uint32_t n_roles) must_use;

void document_add_live(struct document *d, uint32_t gateway);
void document_drop_live(struct document *d, uint32_t gateway);

/* ---- its clients ---- */

struct bytes client_id(const struct client *c);
struct bytes client_user(const struct client *c);

struct client *document_find_client(const struct document *d, struct bytes id);
/* A client that is not there yet. */
struct client *document_add_client(struct document *d, struct pool *pool, struct bytes id,
                                   struct bytes user);
/* Takes one out again that nothing was recorded of. */
void document_erase_client(struct document *d, struct pool *pool, struct client *c);
/* Drops the clients that the view can give back; how many went. */
uint32_t document_drop_clients(struct document *d, struct pool *pool, uint64_t view_idx);

/* Room for the hashes of a message of n ops, so that client_set_message can't fail. */
enum status client_reserve(struct client *c, struct pool *pool, uint32_t n) must_use;
/* The message whose ops first_seq ... became first_version ...; client_reserve(n) was called. */
void client_set_message(struct client *c, struct pool *pool, uint64_t first_seq,
                        uint64_t first_version, const uint64_t *payload_hashes, uint32_t n);

#endif
