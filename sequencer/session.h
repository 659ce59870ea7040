/*
 * session.h - the table of connected clients of a shard.
 *
 * A session is one connection of one client to one document, through one gateway. Its slot and
 * generation go to the gateway with JOINED and come back with every message: a slot that was used
 * again since, or that belongs to another gateway, finds nothing.
 *
 * A session is CATCHUP while older ops are being sent to it in chunks, and LIVE from then on: ops
 * reach it as RELEASED.
 *
 * Owner: the shard role. The table is reserved at open; identities come from the shard's pool.
 */
#ifndef PENSTOCK_SEQUENCER_SESSION_H
#define PENSTOCK_SEQUENCER_SESSION_H

#include "sequencer/document.h"

enum session_state { SESSION_FREE, SESSION_CATCHUP, SESSION_LIVE };

#define SESSION_CURSOR_SHOWN     1u /* has shown a cursor */
#define SESSION_CURSOR_DIRTY     2u /* and it moved since it was last told */
#define SESSION_CURSOR_SELECTION 4u

struct session {
    uint32_t slot;
    uint32_t gen;
    uint32_t next_free;
    uint8_t state;
    uint8_t gateway;
    uint8_t role;
    uint8_t cursor_flags;
    uint64_t tag; /* the gateway's */
    struct document *doc;
    struct client *client;
    struct session *next; /* of the same document */
    struct session *prev;
    uint8_t *identity; /* copy that `id` slices */
    uint32_t identity_bytes;
    struct msg_identity id;

    uint64_t cursor_version; /* the version at which the positions hold */
    uint64_t cursor_u16;
    uint64_t anchor_u16;
    uint64_t head_u16;

    uint64_t next_version; /* CATCHUP: the first one that was not sent yet */
    bool asked;            /* CATCHUP: the loader has been asked for it */

    struct request *waiting; /* messages behind a merge or a catch-up: first, last */
    struct request *waiting_last;
    uint32_t n_waiting;      /* those, and those woken but not run yet */
    struct request *merging; /* the message that is being carried over a long way */
};

struct session_table {
    struct session *slots;
    uint32_t n_max;
    uint32_t n_used; /* slots ever used */
    uint32_t n_live; /* taken now */
    uint32_t free;   /* first free slot below n_used; UINT32_MAX: none */
};

enum status session_table_open(struct session_table *t, uint32_t n_max) must_use;
void session_table_close(struct session_table *t);

/* A free session with its identity copied; NULL: the table or the pool is full. */
struct session *session_take(struct session_table *t, struct pool *pool,
                             const struct msg_identity *id);
void session_give(struct session_table *t, struct pool *pool, struct session *s);

/* The session that a gateway means; NULL where there is none (any more). */
struct session *session_find(const struct session_table *t, uint32_t gateway, uint32_t slot,
                             uint32_t gen);

/* Replaces the identity. */
enum status session_set_identity(struct session *s, struct pool *pool,
                                 const struct msg_identity *id) must_use;

/* Puts a session on its document's list, and takes it off. */
void session_attach(struct session *s, struct document *d, struct client *c);
void session_detach(struct session *s);

#endif
