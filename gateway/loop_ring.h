/*
 * loop_ring.h - what loop.c and loop_open.c share: the loop's and a socket's insides. For these two
 * files alone.
 */
#ifndef PENSTOCK_GATEWAY_LOOP_RING_H
#define PENSTOCK_GATEWAY_LOOP_RING_H

#include "gateway/loop.h"

#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define LOOP_SQ_ENTRIES   1024u
#define LOOP_CQ_ENTRIES   8192u
#define LOOP_BUFFERS      512u
#define LOOP_BUFFER_BYTES (8u << 10)
#define LOOP_BUFFER_GROUP 0
#define LOOP_ACCEPTS      32u
#define LOOP_MESSAGES     256u /* sends of several pieces in one submission */
#define LOOP_IOVECS       24u

_Static_assert((LOOP_BUFFERS & (LOOP_BUFFERS - 1)) == 0, "a buffer ring is a power of two");

enum loop_op { OP_OTHER, OP_ACCEPT, OP_RECV, OP_SEND, OP_CANCEL, OP_SHUTDOWN, OP_CLOSE, OP_EVENT };

/* In this order: a socket only moves down. */
enum sock_state {
    SOCK_FREE, /* or being accepted */
    SOCK_OPEN,
    SOCK_FINISHING,
    SOCK_LINGERING,
    SOCK_CLOSING,
    SOCK_CLOSED /* the close is in flight */
};

struct sock {
    void *data;
    struct slab_queue out;
    struct sock *next_dirty;
    struct sock *linger_next, *linger_prev;
    uint64_t linger_deadline_ns;
    uint64_t linger_bytes; /* queued when the wait began */
    uint32_t idx;
    uint32_t fd; /* direct: equal to idx */
    uint32_t next_free;
    uint8_t state;
    uint8_t n_inflight;
    uint8_t linger_rounds;
    bool is_dirty : 1;
    bool is_sending : 1;
    bool is_receiving : 1;
    bool is_cancelling : 1;
    bool is_paused : 1;
    bool is_shut : 1; /* both halves, to make what is in flight come back */
    bool is_lingering : 1;
    bool has_ended : 1; /* the peer's half */
    bool was_refused : 1;
};

struct loop_accept {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    socklen_t peer_bytes;
    uint32_t sock_idx;
    bool is_armed;
};

struct loop_message {
    struct msghdr head;
    struct iovec iov[LOOP_IOVECS];
};

struct loop {
    struct io_uring ring;
    struct loop_options options;
    struct slab_pool slabs;
    struct sock *socks;
    struct sock *dirty, *dirty_last;
    struct sock *linger_first, *linger_last;
    uint32_t sockets_max;
    uint32_t n_fresh; /* slots below were used before */
    uint32_t free_idx;
    uint32_t n_open;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    unsigned n_given; /* buffers handed back, not yet published */
    unsigned n_messages;
    unsigned n_accepts;
    uint64_t accept_after_ns; /* 0: at once */
    int listen_fd;
    int event_fd;
    uint16_t port;
    bool direct;
    bool is_enabled;
    bool is_accepting;
    bool event_armed;
    struct loop_accept accepts[LOOP_ACCEPTS];
    struct loop_message messages[LOOP_MESSAGES];
};

#endif
