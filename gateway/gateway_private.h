/*
 * gateway_private.h - what the files of the gateway role share: its state, and the two things that
 * a connection can be busy with.
 *
 * A connection's user pointer is NULL (idle HTTP), a `struct call` (rest.h) while a request waits
 * for a shard, or a `struct session` (native.h) from the handshake on. Both begin with `struct
 * peer`. Tags of messages are connection tags: a connection waits for one thing at a time, and an
 * answer for a tag that is dead is dropped.
 *
 * Everything here belongs to the gateway's thread but `draining` and `drained`.
 */
#ifndef PENSTOCK_GATEWAY_GATEWAY_PRIVATE_H
#define PENSTOCK_GATEWAY_GATEWAY_PRIVATE_H

#include "base/clock.h"
#include "base/counters.h"
#include "gateway/conn.h"
#include "gateway/fanout.h"
#include "gateway/gateway.h"
#include "gateway/problem.h"
#include "gateway/token.h"
#include "gateway/uplink.h"
#include "gateway/wheel.h"

#include <stdatomic.h>
#include <stdlib.h>

#define GATEWAY_READY_NAME        "penstock_gateway_ready"
#define GATEWAY_CALL_S_MAX        15u /* a call or a join that no shard answered: 503 */
#define GATEWAY_IDENTITY_BYTES    (16u << 10)
#define GATEWAY_RETRY_MS          1000u
#define GATEWAY_GOODBYE_MS_MIN    100u
#define GATEWAY_GOODBYE_MS_SPREAD 4900u

enum peer_kind { PEER_CALL = 1, PEER_SESSION = 2 };

struct peer {
    struct timer timer; /* first, so that the wheel's timer is the peer */
    struct conn *c;
    uint32_t shard;
    uint8_t kind;
};

/* By reason, for the counters. */
enum refusal {
    REFUSAL_NOT_READY,
    REFUSAL_TOKEN,
    REFUSAL_ORIGIN,
    REFUSAL_LIMIT,
    REFUSAL_RATE,
    REFUSAL_RING_FULL,
    REFUSAL_BAD_MESSAGE,
    REFUSAL_TIMEOUT,
    REFUSAL_N
};

struct gateway_counters {
    struct counter *ready; /* NULL without shards */
    struct counter *connections;
    struct counter *sessions;
    struct counter *messages_in;
    struct counter *message_bytes_in;
    struct counter *messages_out;
    struct counter *ops_in;
    struct counter *requests[6]; /* [1] 1xx ... [5] 5xx */
    struct counter *refusals[REFUSAL_N];
};

enum drain_state { DRAIN_NO, DRAIN_FLIGHT, DRAIN_BYE, DRAIN_DONE };

struct gateway {
    struct gateway_options o;
    struct conns *conns;
    struct uplink uplink;
    struct fanout fanout;
    struct wheel wheel;
    uint64_t ready_shards; /* bit a shard that said MSG_READY */
    uint64_t now_ns;       /* of the poll under way */
    uint32_t n_sessions;   /* handshakes under way included */
    uint32_t n_calls;
    uint32_t n_unanswered; /* sessions that wait for acks */
    _Atomic uint32_t draining;
    _Atomic uint32_t drained;
    enum drain_state drain;
    uint64_t drain_until_ns;
    uint64_t random[2]; /* state of gateway_random */
    struct gateway_counters n;
    /* Buffers of one message's or request's work; nothing in them outlives it. */
    uint8_t *json_scratch; /* scratch_bytes each */
    uint8_t *op_scratch;
    size_t scratch_bytes;
    size_t op_scratch_bytes;
    uint8_t *out; /* one message to a shard */
    size_t out_bytes;
    uint8_t *token_buf;
};

/* ---- gateway.c ---- */

/* Seconds of the wheel at the present poll. */
static inline uint64_t gateway_now_s(const struct gateway *g)
{
    return g->now_ns / NS_PER_S;
}
static inline void gateway_refuse(struct gateway *g, enum refusal why)
{
    counter_bump(g->n.refusals[why], 1);
}
void gateway_count_response(struct gateway *g, int http);
/* Answers and forgets: the user pointer must be NULL (the next request may be parsed at once). */
void gateway_respond(struct gateway *g, struct conn *c, const struct http_response *r);
void gateway_respond_problem(struct gateway *g, struct conn *c, const struct problem *p);
void gateway_respond_status(struct gateway *g, struct conn *c, enum status s);
/* Verifies a token; `claims` are valid until the next one is. */
bool gateway_check_token(struct gateway *g, struct bytes jwt, struct token_claims *claims);
/* The token of `Authorization: Bearer`; false: there is none. */
bool gateway_bearer(const struct http_request *req, struct bytes *jwt);
/* Whether a browser's Origin (if there is one) is on the list or the server's own. */
bool gateway_origin_fits(const struct gateway *g, const struct conn *c,
                         const struct http_request *req);
bool gateway_is_ready(const struct gateway *g);
/* Not for secrets: jitter, session ids. */
uint64_t gateway_random(struct gateway *g);

/* ---- ids.c ---- */

bool id_is_doc(struct bytes id);
bool id_is_client(struct bytes id);
bool id_is_principal(struct bytes id);
/* Digits alone, at most 2^53 - 1. */
bool id_whole(struct bytes text, uint64_t *v);
/* 16 hex digits. */
bool id_hash(struct bytes text, uint64_t *hash);

/* ---- metrics.c ---- */

void metrics_open(struct gateway *g);
void metrics_respond(struct gateway *g, struct conn *c);

/* ---- static.c ---- */

/* False: no such page. */
bool static_respond(struct gateway *g, struct conn *c, const struct http_request *req);

#endif
