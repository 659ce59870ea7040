/*
 * conn.h - one connection: TLS (if any) -> HTTP/1.1 requests -> perhaps WebSocket messages; and
 * back.
 *
 * Turns bytes of loop.h into whole requests and whole messages, and answers into bytes. Knows
 * framing, limits and closing handshakes; knows nothing of documents or tokens: those are in the
 * handler (gateway.c's native and rest).
 *
 * Life: HTTP (one request at a time; the next is parsed after conn_respond; pipelined bytes wait,
 * bounded) -> conn_upgrade -> WebSocket -> closing (close frame sent, waiting for the peer's or a
 * timeout) -> ending (what is queued goes out, bounded) -> gone. Errors of framing are answered
 * here: HTTP 400/408/413/414/417/431/501/503/505 and WebSocket 1002/1003/1007/1009/1013/4429,
 * before the handler hears of them.
 *
 * on_gone comes once for every connection, when nothing can be sent any more, always from
 * conns_poll or conns_close, never from inside another call of conn_* or conns_*. on_request and
 * on_text come from conns_poll alone.
 *
 * Memory: a connection holds buffers only for a request or message under way. All that is received
 * and not handed on yet is bounded by in_bytes_max (503, 1013), what is queued to be sent by
 * outbound_bytes_max a connection and the loop's slab bound over all.
 *
 * conn.c: table and life. conn_http.c, conn_ws.c, conn_tls.c: the three layers.
 */
#ifndef PENSTOCK_GATEWAY_CONN_H
#define PENSTOCK_GATEWAY_CONN_H

#include "gateway/http.h"
#include "gateway/loop.h"

struct conns; /* the table of a gateway's connections */
struct conn;

#define CLOSE_NORMAL      1000
#define CLOSE_PROTOCOL    1002
#define CLOSE_UNSUPPORTED 1003
#define CLOSE_BAD_TEXT    1007
#define CLOSE_TOO_LARGE   1009
#define CLOSE_RESTART     1012
#define CLOSE_OVERLOAD    1013
#define CLOSE_TOKEN       4401
#define CLOSE_ACCESS      4403
#define CLOSE_DELETED     4404
#define CLOSE_SLOW        4408
#define CLOSE_REPLACED    4409
#define CLOSE_LIMIT       4429

struct conn_handler {
    void *self;
    /* A whole request; `req` and `body` are valid until conn_respond/conn_upgrade (the answer may
     * come much later). */
    void (*on_request)(void *self, struct conn *c, const struct http_request *req,
                       struct bytes body);
    /* A whole text message, valid UTF-8; valid during the call. */
    void (*on_text)(void *self, struct conn *c, struct bytes text);
    /* Outbound queue became empty. */
    void (*on_drained)(void *self, struct conn *c);
    /* It is over (either side); conn_user() is still there; the tag is dead afterwards. */
    void (*on_gone)(void *self, struct conn *c);
    /* May this request have a body of up to this many bytes? Asked once the head is parsed. */
    uint64_t (*body_bytes_max)(void *self, const struct http_request *req);
    /* A whole binary message; NULL: binary frames close with 1003. */
    void (*on_binary)(void *self, struct conn *c, struct bytes data);
};

struct conns_options {
    struct loop_options listen; /* its handler is set by conns_open */
    struct tls_context *tls;
    struct conn_handler handler;
    uint32_t conns_max;
    uint32_t conns_extra; /* of conns_max: for those that only hear that there is no room */
    uint32_t message_bytes_max;
    uint32_t handshake_ms_max;
    uint32_t idle_http_ms_max; /* keep-alive */
    uint64_t outbound_bytes_max;
    /* 0: the default */
    uint64_t in_bytes_max;   /* received and not handed on, over all; 256 MiB */
    uint32_t fragments_max;  /* frames a message; 16384 */
    uint32_t controls_per_s; /* pings and pongs a connection; 100; past it 4429 */
    uint32_t body_ms_max;    /* without progress of a request's body; 30000 */
    uint32_t close_ms_max;   /* waiting for the peer's close frame; 2000 */
    uint64_t slab_bytes_max; /* the loop's; 1 GiB */
};

enum status conns_open(struct conns **out, const struct conns_options *options) must_use;
void conns_close(struct conns *cs);
struct loop *conns_loop(struct conns *cs);
unsigned conns_poll(struct conns *cs, uint64_t now_ns);
uint64_t conns_deadline_ns(struct conns *cs);
uint32_t conns_n(const struct conns *cs); /* not gone from the loop yet */
/* Little is left for what waits to be sent: content and catch-up are not begun, broadcasts go on.
 */
bool conns_is_short(const struct conns *cs);
uint64_t conns_in_bytes(const struct conns *cs);
/* All whose on_gone has not come yet. */
void conns_each(struct conns *cs, void (*each)(void *arg, struct conn *c), void *arg);

/* Never 0; slot and generation: a tag of a connection that is gone finds nothing. */
uint64_t conn_tag(const struct conn *c);
struct conn *conn_find(struct conns *cs, uint64_t tag);
void *conn_user(const struct conn *c);
void conn_set_user(struct conn *c, void *user);
bool conn_is_ws(const struct conn *c);
const char *conn_peer(const struct conn *c);
bool conn_is_tls(const struct conn *c);
/* It came when all but conns_extra were taken, and that is still so. */
bool conn_is_extra(const struct conn *c);

/* Extra headers are whole lines, each with CRLF. Content-Length, Date and Connection are added (to
 * 426 Upgrade and Sec-WebSocket-Version too); keep-alive by the request unless `close`. HEAD sends
 * no body. Without a request under way nothing happens. */
struct http_response {
    int status;
    const char *content_type; /* NULL: no body */
    struct bytes extra_headers;
    struct bytes body;
    bool close;
};
void conn_respond(struct conn *c, const struct http_response *r);
/* 101; `protocol` NULL: no subprotocol. The request must have passed http_check_upgrade. */
void conn_upgrade(struct conn *c, const char *protocol);

/* WebSocket text messages. A frame that will go to many: conn_frame_* builds header and payload
 * once in a slab. */
uint8_t *conn_frame_reserve(struct conns *cs, size_t payload_bytes_max,
                            struct slab **slab); /* where the payload goes */
/* Finishes it as one unmasked text frame of `payload_bytes`; offset and n: the slice to give to
 * conn_send_frame. */
void conn_frame_commit(struct conns *cs, struct slab *slab, size_t payload_bytes, uint32_t *offset,
                       uint32_t *n);
/* False: the connection is past outbound_bytes_max and has been told 4408, or is closing. */
bool conn_send_frame(struct conn *c, struct slab *slab, uint32_t offset, uint32_t n);
bool conn_send_text(struct conn *c, struct bytes text);
bool conn_send_binary(struct conn *c, struct bytes data);
/* For large content that the bound does not count (welcome). */
bool conn_send_frame_unbounded(struct conn *c, struct slab *slab, uint32_t offset, uint32_t n);
uint64_t conn_queued_bytes(const struct conn *c);
void conn_ws_close(struct conn *c, uint16_t code, const char *reason);
void conn_pause(struct conn *c, bool paused);

#endif
