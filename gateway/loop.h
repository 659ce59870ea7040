/*
 * loop.h - io_uring sockets: accept, receive, send, timers for many connections, owned by one thread.
 *
 * The loop moves bytes; what they mean is conn.h's business (TLS, HTTP, WebSocket). Multishot accept and receive with a provided
 * buffer ring: an idle connection holds no buffer. Sends are queued on the connection as slices of shared, reference-counted
 * slabs (`struct slab`), so a broadcast that is encoded once is sent from one buffer to all; what is ready for a connection
 * goes out in one send, submitted in one batch at the end of a poll.
 *
 * Only this file pair and store/disk_uring.c include liburing.h.
 */
#ifndef PENSTOCK_GATEWAY_LOOP_H
#define PENSTOCK_GATEWAY_LOOP_H

#include "base/bytes.h"
#include "base/status.h"

struct loop;

/* ---- slabs: append-only buffers that many connections send from ---- */

#define SLAB_BYTES (64u << 10)

struct slab {
    uint32_t refs;   /* writer: the loop's thread */
    uint32_t used;   /* bytes written; what is written never changes */
    uint32_t bytes;  /* SLAB_BYTES, or more for one large message */
    uint32_t pad;
    uint8_t data[];
};

/* A place to encode `n` bytes into: the current slab or a new one. NULL: no memory. Write, then slab_commit. */
uint8_t *slab_reserve(struct loop *l, size_t n, struct slab **slab);
/* Commits `n` of them; *offset is where they begin. */
void slab_commit(struct loop *l, struct slab *s, size_t n, uint32_t *offset);

/* ---- sockets ---- */

struct sock;

struct loop_handler {
    void *self;
    /* A new connection; returns what socket_data() gives later, or NULL to refuse (closed at once). */
    void *(*on_open)(void *self, struct sock *s, const char *peer_text);
    void (*on_bytes)(void *self, struct sock *s, struct bytes in); /* valid during the call */
    void (*on_end)(void *self, struct sock *s, bool was_error);    /* the peer ended it; no more on_bytes */
    void (*on_sent)(void *self, struct sock *s);                   /* all queued bytes are out */
    void (*on_gone)(void *self, struct sock *s);                   /* closed; the last call for it */
};

struct loop_options {
    const char *host;
    uint16_t port;
    bool reuse_port;
    uint32_t sockets_max;
    struct loop_handler handler;
};

enum status loop_open(struct loop **out, const struct loop_options *options) must_use;
void loop_close(struct loop *l);
uint16_t loop_port(const struct loop *l);
void loop_watch_event_fd(struct loop *l, int event_fd);
unsigned loop_poll(struct loop *l);                    /* completions handled; then submits all that is queued */
void loop_wait(struct loop *l, uint64_t timeout_ns);   /* until a completion, the event fd, or the timeout */
void loop_stop_accepting(struct loop *l);

void *sock_data(const struct sock *s);
/* Queues a slice of a slab (takes a reference); adjacent slices of one slab merge. False: no room (memory). */
bool sock_send(struct loop *l, struct sock *s, struct slab *slab, uint32_t offset, uint32_t n);
/* Queues a copy. */
bool sock_send_copy(struct loop *l, struct sock *s, struct bytes b);
uint64_t sock_queued_bytes(const struct sock *s);      /* not yet taken by the kernel */
void sock_drop_unsent(struct loop *l, struct sock *s); /* forgets what no send has begun on (for 4408) */
void sock_pause(struct loop *l, struct sock *s, bool paused); /* stop / go on receiving: back-pressure */
void sock_finish(struct loop *l, struct sock *s);      /* send what is queued, shut down, close */
void sock_abort(struct loop *l, struct sock *s);       /* close now */

#endif
