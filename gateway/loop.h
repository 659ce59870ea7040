/*
 * loop.h - io_uring sockets: accept, receive, send, timers for many connections, owned by one
 * thread.
 *
 * The loop moves bytes; what they mean is conn.h's business (TLS, HTTP, WebSocket). Multishot
 * receive with a provided buffer ring: an idle connection holds no buffer. Sockets are direct
 * descriptors of the ring where the kernel has them, so that the process's file limit bounds none
 * but the ring's table. Accepts are single shots, ACCEPTS of them armed at a time: a multishot
 * accept can't tell the peer's address of a direct descriptor. Sends are queued on the connection
 * as slices of shared, reference-counted slabs (slab.h), so a broadcast that is encoded once is
 * sent from one buffer to all; what is ready for a connection goes out in one send, submitted in
 * one batch at the end of a poll. At most one send a socket is in flight.
 *
 * The ring is made by loop_open and belongs to the thread that first polls or waits; from then on
 * all calls but loop_close are that thread's.
 *
 * Life of a socket: open -> (sock_finish: what is queued goes out, then our half is shut, then the
 * peer's end or LOOP_LINGER_NS is awaited, so that its kernel does not throw the last answer away)
 * -> closing (what is in flight comes back) -> gone. A socket that finishes and makes no progress
 * for LOOP_LINGER_NS, or not enough in LOOP_LINGER_ROUNDS of them, is aborted: a peer that never
 * reads holds nothing for long. When all slots are taken, nothing is accepted and the kernel's
 * backlog waits.
 *
 * loop*.c and store/disk_uring*.c are the only files that include liburing.h.
 */
#ifndef PENSTOCK_GATEWAY_LOOP_H
#define PENSTOCK_GATEWAY_LOOP_H

#include "base/status.h"
#include "gateway/slab.h"

struct loop;

#define LOOP_LINGER_NS     (2ull * 1000 * 1000 * 1000)
#define LOOP_LINGER_ROUNDS 60u

/* ---- slabs: append-only buffers that many connections send from ---- */

/* A place to encode `n` bytes into: the current slab or a new one. NULL: no memory. Write, then
 * slab_commit; one reservation at a time. What is committed has to be queued somewhere before the
 * next loop_poll. */
uint8_t *slab_reserve(struct loop *l, size_t n, struct slab **slab);
/* Commits `n` of them; *offset is where they begin. */
void slab_commit(struct loop *l, struct slab *s, size_t n, uint32_t *offset);

/* ---- sockets ---- */

struct sock;

struct loop_handler {
    void *self;
    /* A new connection; returns what socket_data() gives later, or NULL to refuse (closed at once).
     */
    void *(*on_open)(void *self, struct sock *s, const char *peer_text);
    void (*on_bytes)(void *self, struct sock *s, struct bytes in); /* valid during the call */
    void (*on_end)(void *self, struct sock *s,
                   bool was_error);              /* the peer ended it; no more on_bytes */
    void (*on_sent)(void *self, struct sock *s); /* all queued bytes are out */
    void (*on_gone)(void *self, struct sock *s); /* closed; the last call for it */
    void (*on_flush)(void *self); /* may be NULL: sends are about to be submitted, queue the rest */
};

struct loop_options {
    const char *host;
    uint16_t port;
    bool reuse_port;
    uint32_t sockets_max;    /* lowered to the file limit where that bounds the ring's table */
    uint64_t slab_bytes_max; /* 0: 1 GiB */
    struct loop_handler handler;
};

/* STATUS_USAGE: no such address; STATUS_LOCKED: the port is in use; STATUS_IO, STATUS_NO_MEMORY. */
enum status loop_open(struct loop **out, const struct loop_options *options) must_use;
void loop_close(struct loop *l);
uint16_t loop_port(const struct loop *l);
uint32_t loop_sockets_max(const struct loop *l); /* what is left of the option's */
/* Before the first poll. The loop only watches it; its owner drains it. */
void loop_watch_event_fd(struct loop *l, int event_fd);
unsigned loop_poll(struct loop *l); /* completions handled; then submits all that is queued */
void loop_wait(struct loop *l,
               uint64_t timeout_ns); /* until a completion, the event fd, or the timeout */
void loop_stop_accepting(struct loop *l);
/* When loop_poll must be called though nothing completes; UINT64_MAX: never. */
uint64_t loop_deadline_ns(const struct loop *l);
uint64_t loop_slab_bytes(const struct loop *l); /* held by slabs, free ones too */
/* For queues of slices that wait elsewhere than on a socket. */
struct slab_pool *loop_slabs(struct loop *l);

void *sock_data(const struct sock *s);
/* Queues a slice of a slab (takes a reference); adjacent slices of one slab merge. False: no room
 * (memory), or the socket is not open any more. */
bool sock_send(struct loop *l, struct sock *s, struct slab *slab, uint32_t offset, uint32_t n);
/* Queues a copy. */
bool sock_send_copy(struct loop *l, struct sock *s, struct bytes b);
uint64_t sock_queued_bytes(const struct sock *s); /* not yet taken by the kernel */
uint64_t sock_sent_bytes(const struct sock *s);   /* taken by it, ever */
void sock_drop_unsent(struct loop *l,
                      struct sock *s); /* forgets what no send has begun on (for 4408) */
void sock_pause(struct loop *l, struct sock *s,
                bool paused); /* stop / go on receiving; what was under way may still come */
void sock_finish(struct loop *l, struct sock *s); /* send what is queued, shut down, close */
void sock_abort(struct loop *l, struct sock *s);  /* close now */

#endif
