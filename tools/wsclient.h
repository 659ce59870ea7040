/*
 * wsclient.h - a WebSocket client connection for tools and load: non-blocking, for somebody's epoll
 * loop; plain or TLS.
 *
 * Life: wsclient_open starts to connect and queues the upgrade; call wsclient_work whenever epoll
 * says anything; once `is_open`, wsclient_next gives whole text messages and wsclient_send sends
 * them. Pings are answered, fragments are put together. Memory grows with what is read at once and
 * with what the peer does not take; a message is at most WSCLIENT_MESSAGE_BYTES_MAX.
 *
 * Owner: one thread. After STATUS_END or an error it is over: wsclient_close, then open again.
 * Source: RFC 6455.
 */
#ifndef PENSTOCK_TOOLS_WSCLIENT_H
#define PENSTOCK_TOOLS_WSCLIENT_H

#include "base/bytes.h"
#include "base/status.h"

#include <sys/socket.h>

#define WSCLIENT_MESSAGE_BYTES_MAX (64u << 20)

struct wsclient_buf {
    uint8_t *p;
    size_t start, end, room; /* [start, end) is what is there */
};

struct wsclient {
    int fd; /* -1: none */
    bool is_open;
    bool wants_write;    /* something waits for EPOLLOUT */
    bool fragmented;     /* `message` holds a begun one */
    bool ended;          /* the peer sends no more; what has come can still be read */
    int http_status;     /* of a refused upgrade; 0: none yet */
    uint16_t close_code; /* from the peer; 0: none */
    uint32_t mask_state;
    char accept[29]; /* what the upgrade has to answer */
    void *tls;       /* SSL *; NULL: plain */
    struct wsclient_buf in, out, message;
};

struct wsclient_options {
    const struct sockaddr *address;
    socklen_t address_bytes;
    const struct sockaddr *from; /* bind to it first; NULL: any */
    socklen_t from_bytes;
    void *tls_context;    /* SSL_CTX *; NULL: plain */
    const char *tls_name; /* that the certificate has to bear */
    const char *host;     /* Host header: with the port */
    const char *path;     /* with query */
    const char *token;    /* NULL: none */
    uint32_t mask_seed;
};

enum status wsclient_open(struct wsclient *w, const struct wsclient_options *o) must_use;
void wsclient_close(struct wsclient *w);

/* Reads and writes what can be. STATUS_OK; STATUS_END: the peer closed (first read what
 * wsclient_next still gives); STATUS_IO: a broken connection; STATUS_FORBIDDEN: the upgrade was
 * refused with http_status; STATUS_BAD_MESSAGE: not what RFC 6455 says. */
enum status wsclient_work(struct wsclient *w) must_use;
/* The next whole text message, valid until the next call of any of these. STATUS_END: none now. */
enum status wsclient_next(struct wsclient *w, struct bytes *text) must_use;
/* Queues one text message and writes what the socket takes. STATUS_NO_MEMORY or STATUS_IO. */
enum status wsclient_send(struct wsclient *w, struct bytes text) must_use;
/* Bytes that wait for the socket. */
size_t wsclient_queued(const struct wsclient *w);

#endif
