/*
 * conn_inside.h - what conn.c, conn_http.c, conn_ws.c and conn_tls.c share: a connection's insides
 * and the steps between its layers. For these four files alone.
 *
 *     loop -> conn.c on_bytes -> (conn_tls.c) -> conn_take_input -> conn_http_run / conn_ws_run
 *     conn_respond, conn_send_* -> conn_out -> (conn_tls.c) -> loop
 */
#ifndef PENSTOCK_GATEWAY_CONN_INSIDE_H
#define PENSTOCK_GATEWAY_CONN_INSIDE_H

#include "gateway/conn.h"
#include "gateway/tls.h"
#include "gateway/ws.h"

#define CONN_PEER_BYTES         46
#define CONN_PIPELINE_BYTES_MAX (64u << 10)
#define CONN_TLS_PIECE_BYTES    (16u << 10) /* a TLS record's most */

/* In this order: a connection only moves down, but for HEAD, BODY, WAIT in turn. */
enum conn_state {
    CONN_FREE,
    CONN_HEAD, /* collecting a request's head; with TLS, its handshake before */
    CONN_BODY,
    CONN_WAIT, /* the handler has the request */
    CONN_WS,
    CONN_WS_CLOSING, /* our close frame is out, the peer's is awaited */
    CONN_ENDING      /* nothing more is sent or told; what is queued goes out */
};

enum conn_wait { WAIT_NONE, WAIT_HEAD, WAIT_IDLE, WAIT_BODY, WAIT_CLOSE, WAIT_END, WAIT_N };

/* Bytes in order; no memory while it is empty; counted against the table's budget. */
struct conn_buffer {
    uint8_t *p;
    uint32_t n, room;
};

struct conn_request {
    struct http_request req;
    struct http_chunked chunked;
    uint64_t body_bytes_max;
    uint32_t head_bytes;
    uint8_t head[]; /* what req's slices point into */
};

struct conn_tls {
    struct tls *tls;
    struct slab_queue plain; /* not encrypted yet, so that it can still be dropped */
};

struct conn {
    struct conns *cs;
    struct sock *sock;
    void *user;
    struct conn_tls *tls; /* NULL: plain */
    struct conn_request *request;
    struct conn_buffer in;      /* received, not looked at yet */
    struct conn_buffer message; /* the body or message under way */
    struct conn *next_ready, *next_pump;
    struct conn *wait_next, *wait_prev;
    uint64_t wait_deadline_ns;
    uint64_t unbounded_bytes; /* queued since the queue was last empty, outside the bound */
    uint64_t sent_mark;       /* sock_sent_bytes when much was queued and memory short (relieve) */
    uint64_t controls_since_ns;
    uint32_t n_controls;
    uint32_t body_mark; /* of the body when the wait for it began */
    uint32_t idx;
    uint32_t generation;
    uint32_t next_free;
    uint8_t state;
    uint8_t wait;
    bool is_ready : 1; /* on the list of what conns_poll looks at again */
    bool is_pumped : 1;
    bool is_paused : 1;
    bool is_announced : 1; /* on_gone was called */
    bool has_ended : 1;    /* the peer sends no more */
    bool is_extra : 1;     /* it came past n_regular */
    struct ws ws;
    char peer[CONN_PEER_BYTES];
};

struct conn_list {
    struct conn *first, *last;
};

struct conns {
    struct loop *loop;
    struct conns_options options;
    struct conn_handler handler;
    struct ws_limits ws_limits;
    struct conn *table;
    uint32_t n_fresh; /* entries below were used before */
    uint32_t free_idx;
    uint32_t n;
    uint32_t n_regular; /* those past it are extra */
    uint64_t in_bytes;
    uint64_t now_ns;
    uint64_t relief_at_ns;
    struct conn *ready;
    struct conn *pump;
    struct conn_list waits[WAIT_N];
    uint64_t wait_ns[WAIT_N];
    uint64_t date_s;
    char date[40];
    struct http_request scratch_request;
    uint8_t scratch[CONN_TLS_PIECE_BYTES];
};

/* ---- conn.c ---- */
bool conn_buffer_add(struct conn *c, struct conn_buffer *b, const void *p, size_t n);
void conn_buffer_drop(struct conn *c, struct conn_buffer *b, size_t n); /* from the front */
void conn_buffer_free(struct conn *c, struct conn_buffer *b);

void conn_wait_for(struct conn *c, enum conn_wait wait);
void conn_set_ready(struct conn *c);
void conn_update_pause(struct conn *c);
/* Queues a slice towards the peer. False: no memory, and the connection is being cut off. */
bool conn_out(struct conn *c, struct slab *slab, uint32_t offset, uint32_t n);
bool conn_out_copy(struct conn *c, struct bytes b);
/* What is queued goes out, then the connection ends; nothing more is read or told. */
void conn_end(struct conn *c);
void conn_cut(struct conn *c); /* at once */
/* Plain bytes of the peer; they may be changed in place. */
void conn_take_input(struct conn *c, uint8_t *p, size_t n);

/* ---- conn_http.c: returns how many bytes it has done with ---- */
size_t conn_http_run(struct conn *c, const uint8_t *p, size_t n);
/* Answers with a problem document and ends the connection. */
void conn_http_fail(struct conn *c, int status, const char *code, const char *detail);
void conn_request_free(struct conn *c);

/* ---- conn_ws.c ---- */
/* It reads too slowly: what no send has begun on is forgotten, and it is told to come back. */
void conn_ws_close_slow(struct conn *c);
size_t conn_ws_run(struct conn *c, uint8_t *p, size_t n);

/* ---- conn_tls.c ---- */
bool conn_tls_open(struct conn *c);
void conn_tls_close(struct conn *c);
void conn_tls_bytes(struct conn *c, struct bytes cipher);
void conn_tls_want_pump(struct conn *c);
void conn_tls_pump_all(struct conns *cs);

#endif
