/* wsclient.c - see wsclient.h. */
#include "tools/wsclient.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define READ_BYTES     (4u << 10)
#define REQUEST_BYTES  (24u << 10)
#define HEAD_BYTES_MAX (16u << 10)
#define FRAME_HEAD_MAX 14u
#define CONTROL_BYTES  125u
#define GUID           "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { OPCODE_MORE = 0, OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

/* ---- buffers ---- */

static size_t buf_n(const struct wsclient_buf *b)
{
    return b->end - b->start;
}

static bool buf_room(struct wsclient_buf *b, size_t n)
{
    if (b->room - b->end >= n)
        return true;
    if (b->start) {
        memmove(b->p, b->p + b->start, buf_n(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->room - b->end >= n)
        return true;
    size_t room = (b->end + n) * 2;
    uint8_t *p = realloc(b->p, room);
    if (!p)
        return false;
    b->p = p;
    b->room = room;
    return true;
}

static void buf_take(struct wsclient_buf *b, size_t n)
{
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

/* ---- opening ---- */

static uint32_t next_mask(struct wsclient *w)
{
    w->mask_state = w->mask_state * 1664525u + 1013904223u;
    return w->mask_state;
}

static enum status queue_request(struct wsclient *w, const struct wsclient_options *o)
{
    uint8_t nonce[16], digest[20];
    char key[32], text[96];
    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)(next_mask(w) >> 24);
    EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce);
    int n = snprintf(text, sizeof text, "%s" GUID, key);
    if (!EVP_Digest(text, (size_t)n, digest, NULL, EVP_sha1(), NULL))
        return STATUS_INTERNAL;
    EVP_EncodeBlock((unsigned char *)w->accept, digest, sizeof digest);
    if (!buf_room(&w->out, REQUEST_BYTES))
        return STATUS_NO_MEMORY;
    n = snprintf((char *)w->out.p, REQUEST_BYTES,
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s%s%s\r\n",
                 o->path, o->host, key, o->token ? "Authorization: Bearer " : "",
                 o->token ? o->token : "", o->token ? "\r\n" : "");
    if (n < 0 || (size_t)n >= REQUEST_BYTES)
        return STATUS_TOO_LARGE;
    w->out.end = (size_t)n;
    w->wants_write = true;
    return STATUS_OK;
}

static bool start_tls(struct wsclient *w, const struct wsclient_options *o)
{
    SSL *ssl = SSL_new(o->tls_context);
    char name[256];
    w->tls = ssl;
    snprintf(name, sizeof name, "%s", o->tls_name);
    if (!ssl || SSL_set_fd(ssl, w->fd) != 1 || SSL_set1_host(ssl, name) != 1 ||
        SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_connect_state(ssl);
    return true;
}

enum status wsclient_open(struct wsclient *w, const struct wsclient_options *o)
{
    int one = 1;
    *w = (struct wsclient){.mask_state = o->mask_seed};
    w->fd = socket(o->address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return STATUS_IO;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    enum status s = STATUS_IO;
    if (o->from && bind(w->fd, o->from, o->from_bytes) != 0)
        goto bad;
    if (connect(w->fd, o->address, o->address_bytes) != 0 && errno != EINPROGRESS)
        goto bad;
    if (o->tls_context && !start_tls(w, o))
        goto bad;
    s = queue_request(w, o);
    if (s == STATUS_OK)
        return STATUS_OK;
bad:
    wsclient_close(w);
    return s;
}

void wsclient_close(struct wsclient *w)
{
    SSL_free(w->tls);
    if (w->fd >= 0)
        close(w->fd);
    free(w->in.p);
    free(w->out.p);
    free(w->message.p);
    *w = (struct wsclient){.fd = -1, .http_status = w->http_status, .close_code = w->close_code};
}

/* ---- bytes ---- */

/* As read() and write(): -1 with EAGAIN where it would block, for TLS too. */
static ssize_t tls_result(struct wsclient *w, int rc)
{
    if (rc > 0)
        return rc;
    int err = SSL_get_error(w->tls, rc);
    ERR_clear_error();
    errno = err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return err == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t receive(struct wsclient *w, void *p, size_t n)
{
    return w->tls ? tls_result(w, SSL_read(w->tls, p, (int)n)) : recv(w->fd, p, n, 0);
}

static ssize_t transmit(struct wsclient *w, const void *p, size_t n)
{
    return w->tls ? tls_result(w, SSL_write(w->tls, p, n < INT32_MAX ? (int)n : INT32_MAX))
                  : send(w->fd, p, n, MSG_NOSIGNAL);
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EINTR || errno == ENOTCONN || errno == EINPROGRESS;
}

static enum status flush(struct wsclient *w)
{
    while (buf_n(&w->out)) {
        ssize_t n = transmit(w, w->out.p + w->out.start, buf_n(&w->out));
        if (n <= 0) {
            w->wants_write = true;
            return would_block() ? STATUS_OK : STATUS_IO;
        }
        buf_take(&w->out, (size_t)n);
    }
    w->wants_write = false;
    return STATUS_OK;
}

/* One read a call but for TLS, whose records wait in its own buffers: epoll is level-triggered. */
static enum status fill(struct wsclient *w)
{
    do {
        if (!buf_room(&w->in, READ_BYTES))
            return STATUS_NO_MEMORY;
        ssize_t n = receive(w, w->in.p + w->in.end, w->in.room - w->in.end);
        if (n < 0)
            return would_block() ? STATUS_OK : STATUS_IO;
        if (n == 0) {
            w->ended = true;
            return STATUS_END;
        }
        w->in.end += (size_t)n;
    } while (w->tls && w->in.end - w->in.start < WSCLIENT_MESSAGE_BYTES_MAX);
    return STATUS_OK;
}

/* ---- the upgrade's answer ---- */

static bool has_accept(const char *head, size_t n, const char *accept)
{
    static const char name[] = "sec-websocket-accept:";
    for (const char *line = head; line;) {
        size_t left = n - (size_t)(line - head);
        if (left > sizeof name + 28 && strncasecmp(line, name, sizeof name - 1) == 0) {
            const char *v = line + sizeof name - 1;
            while (*v == ' ')
                v++;
            return (size_t)(head + n - v) >= 28 && memcmp(v, accept, 28) == 0;
        }
        line = memchr(line, '\n', left);
        line = line ? line + 1 : NULL;
    }
    return false;
}

static enum status read_answer(struct wsclient *w)
{
    const char *head = (const char *)w->in.p + w->in.start;
    const char *end = memmem(head, buf_n(&w->in), "\r\n\r\n", 4);
    if (!end)
        return buf_n(&w->in) > HEAD_BYTES_MAX ? STATUS_BAD_MESSAGE : STATUS_OK;
    size_t n = (size_t)(end - head) + 4;
    if (n < 13 || memcmp(head, "HTTP/1.1 ", 9) != 0)
        return STATUS_BAD_MESSAGE;
    w->http_status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0');
    if (w->http_status != 101)
        return STATUS_FORBIDDEN;
    if (!has_accept(head, n, w->accept))
        return STATUS_BAD_MESSAGE;
    buf_take(&w->in, n);
    w->is_open = true;
    return STATUS_OK;
}

enum status wsclient_work(struct wsclient *w)
{
    enum status s = flush(w);
    if (s != STATUS_OK)
        return s;
    enum status got = fill(w);
    if (!w->is_open && (got == STATUS_OK || got == STATUS_END) && buf_n(&w->in)) {
        s = read_answer(w);
        if (s != STATUS_OK)
            return s;
    }
    return got;
}

/* ---- frames ---- */

struct frame {
    uint8_t opcode;
    bool fin;
    uint64_t n;
    const uint8_t *payload;
};

/* The frame at the start of `in`; STATUS_END: not whole yet. */
static enum status parse(const struct wsclient *w, struct frame *f, size_t *frame_bytes)
{
    const uint8_t *p = w->in.p + w->in.start;
    size_t n = buf_n(&w->in), head = 2;
    if (n < 2)
        return STATUS_END;
    f->fin = p[0] & 0x80;
    f->opcode = p[0] & 0x0f;
    f->n = p[1] & 0x7f;
    if ((p[0] & 0x70) || (p[1] & 0x80))
        return STATUS_BAD_MESSAGE;
    if (f->n >= 126) {
        unsigned more = f->n == 126 ? 2 : 8;
        head += more;
        if (n < head)
            return STATUS_END;
        f->n = 0;
        for (unsigned i = 0; i < more; i++)
            f->n = f->n << 8 | p[2 + i];
    }
    if (f->n > WSCLIENT_MESSAGE_BYTES_MAX)
        return STATUS_TOO_LARGE;
    if (n - head < f->n)
        return STATUS_END;
    f->payload = p + head;
    *frame_bytes = head + (size_t)f->n;
    return STATUS_OK;
}

static enum status queue_frame(struct wsclient *w, uint8_t opcode, struct bytes payload)
{
    if (!buf_room(&w->out, payload.n + FRAME_HEAD_MAX))
        return STATUS_NO_MEMORY;
    uint8_t *p = w->out.p + w->out.end;
    *p++ = (uint8_t)(0x80 | opcode);
    if (payload.n < 126) {
        *p++ = (uint8_t)(0x80 | payload.n);
    } else if (payload.n < 65536) {
        *p++ = 0x80 | 126;
        *p++ = (uint8_t)(payload.n >> 8);
        *p++ = (uint8_t)payload.n;
    } else {
        *p++ = 0x80 | 127;
        for (int i = 56; i >= 0; i -= 8)
            *p++ = (uint8_t)((uint64_t)payload.n >> i);
    }
    uint32_t mask32 = next_mask(w);
    uint64_t mask = (uint64_t)mask32 << 32 | mask32;
    memcpy(p, &mask32, 4);
    p += 4;
    size_t i = 0;
    for (; i + 8 <= payload.n; i += 8) {
        uint64_t v;
        memcpy(&v, payload.p + i, 8);
        v ^= mask;
        memcpy(p + i, &v, 8);
    }
    for (; i < payload.n; i++)
        p[i] = payload.p[i] ^ (uint8_t)(mask32 >> (8 * (i & 3)));
    w->out.end = (size_t)(p + payload.n - w->out.p);
    return STATUS_OK;
}

enum status wsclient_send(struct wsclient *w, struct bytes text)
{
    enum status s = queue_frame(w, OPCODE_TEXT, text);
    return s == STATUS_OK ? flush(w) : s;
}

size_t wsclient_queued(const struct wsclient *w)
{
    return buf_n(&w->out);
}

/* Answers pings and closes. STATUS_END after a close. */
static enum status control(struct wsclient *w, const struct frame *f)
{
    if (!f->fin || f->n > CONTROL_BYTES)
        return STATUS_BAD_MESSAGE;
    if (f->opcode == OPCODE_PONG)
        return STATUS_OK;
    if (f->opcode == OPCODE_CLOSE && f->n >= 2)
        w->close_code = (uint16_t)(f->payload[0] << 8 | f->payload[1]);
    enum status s = queue_frame(w, f->opcode == OPCODE_PING ? OPCODE_PONG : OPCODE_CLOSE,
                                bytes_of(f->payload, f->n));
    if (s == STATUS_OK)
        s = flush(w);
    return s == STATUS_OK && f->opcode == OPCODE_CLOSE ? STATUS_IO : s;
}

static enum status data(struct wsclient *w, const struct frame *f, struct bytes *text, bool *whole)
{
    bool begins = f->opcode == OPCODE_TEXT;
    if (begins == w->fragmented || (!begins && f->opcode != OPCODE_MORE))
        return STATUS_BAD_MESSAGE;
    *whole = f->fin;
    *text = bytes_of(f->payload, f->n);
    if (begins && f->fin)
        return STATUS_OK;
    if (begins)
        w->message.start = w->message.end = 0;
    if (buf_n(&w->message) + f->n > WSCLIENT_MESSAGE_BYTES_MAX)
        return STATUS_TOO_LARGE;
    if (!buf_room(&w->message, f->n))
        return STATUS_NO_MEMORY;
    memcpy(w->message.p + w->message.end, f->payload, f->n);
    w->message.end += f->n;
    w->fragmented = !f->fin;
    *text = bytes_of(w->message.p + w->message.start, buf_n(&w->message));
    return STATUS_OK;
}

enum status wsclient_next(struct wsclient *w, struct bytes *text)
{
    bool whole = false;
    while (w->is_open && !whole) {
        struct frame f;
        size_t n;
        enum status s = parse(w, &f, &n);
        if (s != STATUS_OK)
            return s;
        s = f.opcode >= OPCODE_CLOSE ? control(w, &f) : data(w, &f, text, &whole);
        if (s != STATUS_OK)
            return s;
        buf_take(&w->in, n); /* the payload stays where it is until the next read */
    }
    return whole ? STATUS_OK : STATUS_END;
}
