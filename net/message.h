/*
 * message.h - what gateways and shards say to each other, over rings or the fabric.
 *
 * A message is a ring record: its type (enum msg_type) and a payload of a fixed struct, 8-aligned,
 * followed by variable fields (base/bytes.h `str` fields), in the order named beside the struct. A
 * gateway sends requests, a shard answers; the answer echoes `tag`, which the gateway chose and the
 * shard never interprets. Nobody trusts the other's numbers: decoders check bounds, and a shard
 * checks session slots against generation and owner.
 *
 * From one shard to one gateway the messages of a document come in the order of its versions:
 * JOINED (version N), then RELEASED with N+1, N+2, ... Nothing that depends on an op leaves before
 * that op is durable.
 *
 * Shapes are fixed; adding a field means a new MSG_VERSION. Any thread; pure.
 */
#ifndef PENSTOCK_NET_MESSAGE_H
#define PENSTOCK_NET_MESSAGE_H

#include "base/bytes.h"
#include "base/status.h"
#include "net/limits.h"

#define MSG_VERSION    1u
#define MSG_NO_SESSION 0xffffffffu

enum msg_type {
    /* ---- gateway -> shard ---- */
    /* struct msg_join, identity, str doc_id, str client_id (not empty: the gateway makes one up) */
    MSG_JOIN = 1,
    /* struct msg_head */
    MSG_LEAVE = 2,
    /* struct msg_ops; n_ops x struct msg_op_in + op bytes padded to 8; with MSG_OPS_CALL then:
     * identity, str doc_id, str client_id */
    MSG_OPS = 3,
    /* struct msg_presence */
    MSG_PRESENCE = 4,
    /* struct msg_head, identity: a renewed token of the same user (name, groups may differ) */
    MSG_IDENTITY = 5,
    /* struct msg_head: this session's socket has room for the next CATCHUP */
    MSG_CREDIT = 6,
    /* struct msg_call (arg8 = enum doc_type), identity, str doc_id, str title, str content (an
     * op) */
    MSG_DOC_CREATE = 16,
    /* struct msg_call (arg8 = enum doc_at, arg64 = version or unix ms), identity, str doc_id */
    MSG_DOC_GET = 17,
    /* struct msg_call (arg32 = limit, arg64 = cursor's modified ms or UINT64_MAX), identity, str
     * cursor_doc_id: documents before that point, newest first, of this shard */
    MSG_DOC_LIST = 18,
    /* struct msg_call, identity, str doc_id, str title */
    MSG_DOC_TITLE = 19,
    /* struct msg_call, identity, str doc_id */
    MSG_DOC_DELETE = 20,
    /* struct msg_call, identity, str doc_id */
    MSG_DOC_RESTORE = 21,
    /* struct msg_call (arg8 = enum doc_role, DOC_ROLE_NONE removes), identity, str doc_id, str
     * principal */
    MSG_DOC_ROLE = 22,
    /* struct msg_call (arg32 = limit, arg64 = from, arg64b = to; both included), identity, str
     * doc_id */
    MSG_DOC_HISTORY = 23,

    /* ---- shard -> gateway ---- */
    /* struct msg_ready: the shard serves from now on */
    MSG_READY = 64,
    /* struct msg_joined, str client_id, n_presence x presence entry, str content */
    MSG_JOINED = 65,
    /* struct msg_catchup, then n_ops x { str user_id, str client_id, str accepted_by, struct
     * msg_op_out + op bytes, all unpadded } for one session; the gateway answers with CREDIT */
    MSG_CATCHUP = 66,
    /* struct msg_synced: the session is live from `version` on */
    MSG_SYNCED = 67,
    /* struct msg_released, str user_id, str client_id, str accepted_by, then n_ops x { struct
     * msg_op_out + op bytes, unpadded }: to every live session of the document on this gateway;
     * the one with `tag` gets acks instead */
    MSG_RELEASED = 68,
    /* struct msg_acks, n_acks x struct msg_ack: own ops that were there already; for a call: the
     * answer */
    MSG_ACKS = 69,
    /* struct msg_error, str detail: one message of that session had no effect */
    MSG_ERROR = 70,
    /* struct msg_doc_note, n x presence entry: to every live session but the entry's own */
    MSG_PRESENCE_OUT = 71,
    /* struct msg_doc_note, str title */
    MSG_TITLE_OUT = 72,
    /* struct msg_session_note: that session's role is now `arg` */
    MSG_ACCESS_OUT = 73,
    /* struct msg_session_note: close it with code `arg`; the shard has forgotten it */
    MSG_CLOSE = 74,
    /* struct msg_error, str detail: a call or a join was refused */
    MSG_FAIL = 75,
    /* struct msg_head: a call with nothing to show succeeded */
    MSG_DONE = 76,
    /* struct msg_doc, str doc_id, str title, str owner_id, n_roles x { u8 role, str principal },
     * str content */
    MSG_DOC = 77,
    /* struct msg_items, n x { struct msg_doc, str doc_id, str title, str owner_id } */
    MSG_DOC_ITEMS = 78,
    /* struct msg_items, n x { str user_id, str client_id, str accepted_by, struct msg_op_out +
     * op bytes } */
    MSG_HISTORY_ITEMS = 79,
};

enum doc_type { DOC_TEXT = 0, DOC_RICH = 1 };
enum doc_role {
    DOC_ROLE_NONE = 0,
    DOC_ROLE_VIEWER = 1,
    DOC_ROLE_COMMENTER = 2,
    DOC_ROLE_EDITOR = 3,
    DOC_ROLE_OWNER = 4
};
enum doc_at { DOC_AT_NOW = 0, DOC_AT_VERSION = 1, DOC_AT_TIME = 2 };

/* Who calls: `str tenant, str user, str name, varint n_groups, n x str group`. Slices of the
 * message. */
struct msg_identity {
    struct bytes tenant;
    struct bytes user;
    struct bytes name; /* empty: none */
    uint32_t n_groups;
    struct bytes groups; /* n_groups `str` fields */
};

struct msg_head {
    uint64_t tag;     /* the gateway's: echoed */
    uint32_t session; /* the shard's slot, from JOINED; MSG_NO_SESSION in calls */
    uint32_t session_gen;
};

#define MSG_JOIN_VERSION 1u
#define MSG_JOIN_HASH    2u
struct msg_join {
    struct msg_head head;
    uint64_t version;
    uint64_t hash;
    uint32_t flags;
    uint32_t pad;
};

#define MSG_OPS_CALL                                                                               \
    1u /* over HTTP: no session; identity and ids follow the ops; answered by ACKS */
struct msg_ops {
    struct msg_head head;
    uint64_t base_version;
    uint32_t n_ops;
    uint32_t flags;
};

#define MSG_OP_NO_SEQ 1u
struct msg_op_in {
    uint64_t seq;
    uint32_t op_bytes;
    uint32_t flags;
};

#define MSG_PRESENCE_VERSION   1u /* `version` was given; else the newest */
#define MSG_PRESENCE_SELECTION 2u
#define MSG_PRESENCE_LEAVE     4u /* in entries: the cursor is gone */
struct msg_presence {
    struct msg_head head;
    uint64_t version;
    uint64_t cursor_u16;
    uint64_t anchor_u16;
    uint64_t head_u16;
    uint32_t flags;
    uint32_t pad;
};

/* Presence entry: this struct, str user_id, str client_id, str name. */
struct msg_presence_entry {
    uint64_t tag; /* of the connection that it speaks of, on gateway `gateway` */
    uint64_t version;
    uint64_t cursor_u16;
    uint64_t anchor_u16;
    uint64_t head_u16;
    uint32_t flags;
    uint32_t gateway;
};

struct msg_call {
    struct msg_head head;
    uint64_t arg64;
    uint64_t arg64b;
    uint32_t arg32;
    uint8_t arg8;
    uint8_t pad[3];
};

struct msg_ready {
    uint32_t shard;
    uint32_t n_shards;
};

#define MSG_JOINED_CONTENT 1u /* content follows; the session is live from `version` on */
#define MSG_JOINED_RESET   2u /* with content: the client's history is not ours */
struct msg_joined {
    struct msg_head head;
    uint32_t doc; /* the document's slot in the shard: key of the fan-out table */
    uint32_t doc_gen;
    uint64_t version;
    uint64_t hash;
    uint64_t last_seq;
    uint64_t last_seq_version;
    uint32_t flags;
    uint16_t n_presence;
    uint8_t doc_type;
    uint8_t role;
};

struct msg_catchup {
    struct msg_head head;
    uint64_t first_version;
    uint32_t n_ops;
    uint32_t pad;
};

struct msg_synced {
    struct msg_head head;
    uint64_t version;
    uint64_t hash;
};

struct msg_op_out {
    uint64_t version; /* that this op made: new_version */
    uint64_t seq;
    uint64_t unix_ms;
    uint32_t op_bytes;
    uint32_t flags; /* MSG_OP_NO_SEQ */
};

struct msg_released {
    uint32_t doc;
    uint32_t doc_gen;
    uint64_t tag; /* the sender's connection if it is on this gateway, else 0 (0 is never a tag) */
    uint64_t first_version;
    uint32_t n_ops;
    uint32_t pad;
};

#define MSG_ACK_NO_SEQ     1u
#define MSG_ACK_NO_VERSION 2u
struct msg_ack {
    uint64_t seq;
    uint64_t version;
    uint32_t flags;
    uint32_t pad;
};

#define MSG_ERROR_SEQ 1u
/* In ACKS of a call `status` may be a refusal behind the acks before it (then `seq` names the op,
 * with MSG_ERROR_SEQ). */
struct msg_acks {
    struct msg_head head;
    uint64_t seq;
    uint32_t n_acks;
    uint16_t status; /* enum status */
    uint16_t flags;
};

struct msg_error {
    struct msg_head head;
    uint64_t seq;
    uint32_t retry_after_ms; /* 0: none */
    uint16_t status;         /* enum status */
    uint16_t flags;          /* MSG_ERROR_SEQ */
};

struct msg_doc_note {
    uint32_t doc;
    uint32_t doc_gen;
    uint32_t n;
    uint32_t pad;
};

struct msg_session_note {
    struct msg_head head;
    uint32_t arg;
    uint32_t pad;
};

struct msg_doc {
    struct msg_head head;
    uint64_t version;
    uint64_t hash;
    uint64_t created_ms;
    uint64_t modified_ms;
    uint32_t n_roles;
    uint8_t doc_type;
    uint8_t role; /* the caller's */
    uint8_t has_content;
    uint8_t pad;
};

struct msg_items {
    struct msg_head head;
    uint32_t n;
    uint32_t more; /* 1: there are more behind the last one */
};

_Static_assert(sizeof(struct msg_head) == 16 && sizeof(struct msg_join) == 40, "layout is law");
_Static_assert(sizeof(struct msg_ops) == 32 && sizeof(struct msg_op_in) == 16, "layout is law");
_Static_assert(sizeof(struct msg_presence) == 56 && sizeof(struct msg_presence_entry) == 48,
               "layout is law");
_Static_assert(sizeof(struct msg_call) == 40 && sizeof(struct msg_joined) == 64, "layout is law");
_Static_assert(sizeof(struct msg_op_out) == 32 && sizeof(struct msg_released) == 32,
               "layout is law");
_Static_assert(sizeof(struct msg_ack) == 24 && sizeof(struct msg_acks) == 32, "layout is law");
_Static_assert(sizeof(struct msg_error) == 32 && sizeof(struct msg_doc) == 56, "layout is law");

void msg_write_identity(struct writer *w, const struct msg_identity *id);
/* Checks every limit of an identity; the reader's failure is sticky. */
struct msg_identity msg_read_identity(struct reader *r);

/* Fixed structs by value, through the bounds-checked cursors (records are unaligned inside lists).
 */
#define msg_write_struct(w, ptr) write_bytes((w), bytes_of((ptr), sizeof *(ptr)))
#define msg_read_struct(r, ptr)                                                                    \
    do {                                                                                           \
        struct bytes msg_b_ = read_bytes((r), sizeof *(ptr));                                      \
        if (msg_b_.n == sizeof *(ptr))                                                             \
            memcpy((ptr), msg_b_.p, sizeof *(ptr));                                                \
        else                                                                                       \
            memset((ptr), 0, sizeof *(ptr));                                                       \
    } while (0)
/* Zeroes up to the next multiple of 8 from the start of the buffer (writer) / skips them (reader,
 * `start` = payload). */
void msg_write_pad8(struct writer *w);
void msg_read_pad8(struct reader *r, const uint8_t *start);

/* Which shard holds a document: XXH3-64 of tenant, a zero byte and doc_id, modulo n_shards. Never
 * changes. */
uint32_t msg_shard_of(struct bytes tenant, struct bytes doc_id, uint32_t n_shards);

#endif
