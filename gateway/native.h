/*
 * native.h - the WebSocket protocol /ws/docs/{doc_id} (protocol section 3): handshakes, messages of
 * clients, messages of shards. Inside the gateway role.
 *
 *     native.c      the handshake up to JOIN; the session's life
 *     native_in.c   what a client says -> messages to the shard
 *     native_out.c  what a shard says -> messages to clients
 *
 * Life of a session: JOINING (HTTP still, waiting for the shard) -> CATCHUP (welcome sent, ops
 * follow) -> LIVE (in the fan-out) -> ENDED (close sent; nothing more is said).
 */
#ifndef PENSTOCK_GATEWAY_NATIVE_H
#define PENSTOCK_GATEWAY_NATIVE_H

#include "gateway/gateway_private.h"

enum session_state { SESSION_JOINING, SESSION_CATCHUP, SESSION_LIVE, SESSION_ENDED };

struct session {
    struct peer peer;
    struct fan_member member;
    uint64_t expires_ms; /* unix: the token's exp */
    uint64_t refilled_ns;
    uint32_t slot; /* the shard's, with its generation */
    uint32_t gen;
    uint32_t doc;
    uint32_t doc_gen;
    uint32_t tokens;       /* of the rate limit */
    uint32_t n_refused;    /* refusals of the rate limit without a pause between */
    uint32_t n_unanswered; /* ops sent to the shard */
    uint8_t state;
    uint8_t doc_type;
    bool ops_have_seq;  /* the unanswered ones */
    bool has_slot;      /* the shard knows it: LEAVE when it ends */
    bool owes_credit;   /* CATCHUP taken, CREDIT not yet given */
    bool says_penstock; /* offered the subprotocol penstock.v1 */
    /* A refusal found here behind ops of the same message that the shard still works on: it is told
     * once they are answered. */
    bool has_refusal;
    bool refusal_has_seq;
    uint16_t refusal_status;
    uint64_t refusal_seq;
    struct bytes tenant; /* all in names[] */
    struct bytes user;
    struct bytes client_id;
    struct bytes doc_id;
    uint8_t names[];
};

static inline struct msg_head native_head(const struct session *s)
{
    return (struct msg_head){conn_tag(s->peer.c), s->slot, s->gen};
}

/* A request whose path is /ws/docs/...; not draining, ready. */
void native_handshake(struct gateway *g, struct conn *c, const struct http_request *req);
void native_text(struct gateway *g, struct session *s, struct bytes text);
void native_drained(struct gateway *g, struct session *s);
/* The connection is gone. */
void native_gone(struct gateway *g, struct session *s);
void native_timer(struct gateway *g, struct session *s);
void native_goodbye(struct gateway *g, struct session *s);

/* A refused or late join: answers over HTTP and forgets the session. */
void native_join_failed(struct gateway *g, struct session *s, const struct problem *p);
/* Sends CLOSE; the session says nothing any more. */
void native_close(struct gateway *g, struct session *s, uint16_t code, const char *reason);
/* The ops of a session are answered, all or some. */
void native_answered(struct gateway *g, struct session *s, uint32_t n);

/* Messages of a shard for one session; `r` stands behind the head. */
void native_message(struct gateway *g, struct session *s, uint16_t type, struct bytes payload);
/* RELEASED, PRESENCE_OUT, TITLE_OUT: for a document. */
void native_broadcast(struct gateway *g, uint32_t shard, uint16_t type, struct bytes payload);

/* One message to one session: begin, write, end. False: no memory (it is closed). */
bool native_begin(struct gateway *g, struct session *s, size_t bytes_max, struct fan_frame *f);
void native_end(struct gateway *g, struct session *s, struct fan_frame *f, bool unbounded);
void native_error(struct gateway *g, struct session *s, const struct reply_error *e);

#endif
