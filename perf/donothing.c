/*
 * donothing.c - the limit to measure a co-editing server against: one thread, epoll, no library. It
 * takes the WebSocket frames that perf/load sends, acknowledges each op to its sender and forwards
 * the frame to the others in the document. No order but arrival, no merging, no disk.
 *
 * One recv a readiness, one send a message and connection, as a plain good epoll server does it.
 * What a socket does not take at once waits in the connection's buffer.
 *
 * Usage: donothing [--listen 127.0.0.1:0] [--cpu N]. Prints "donothing: ready on http://ADDR:PORT".
 */
#include "gateway/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX    256
#define IN_BYTES      (16u << 10)
#define OUT_BYTES_MAX (4u << 20)
#define DOCS_MAX      65536u
#define ID_BYTES      65
#define HEAD_BYTES    10u /* of an unmasked frame at most */
#define MESSAGE_BYTES (8u << 10)

struct conn {
    int fd;
    bool is_ws;
    bool watches_write;
    struct doc *doc;
    uint32_t place; /* in doc->conns */
    char client_id[ID_BYTES];
    size_t in_n;
    uint8_t *out; /* what the socket did not take; NULL: nothing ever waited */
    size_t out_n, out_room;
    uint8_t in[IN_BYTES];
};

struct doc {
    uint64_t version;
    uint32_t n, room;
    struct conn **conns;
};

static int epoll_fd;
static struct doc docs[DOCS_MAX];
static uint32_t n_docs;

/* ---- writing ---- */

static void watch(struct conn *c, bool write)
{
    struct epoll_event ev = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};
    if (write != c->watches_write)
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
    c->watches_write = write;
}

static void keep(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->out_n + n > c->out_room) {
        size_t room = 2 * (c->out_n + n);
        uint8_t *out = room <= OUT_BYTES_MAX ? realloc(c->out, room) : NULL;
        if (!out) { /* reads too slowly: it is closed at its next event */
            shutdown(c->fd, SHUT_RDWR);
            return;
        }
        c->out = out;
        c->out_room = room;
    }
    memcpy(c->out + c->out_n, p, n);
    c->out_n += n;
    watch(c, true);
}

static void put(struct conn *c, const uint8_t *p, size_t n)
{
    ssize_t sent = 0;
    if (c->out_n == 0) {
        sent = send(c->fd, p, n, MSG_NOSIGNAL);
        sent = sent < 0 ? 0 : sent; /* a broken one shows at its next read */
    }
    if ((size_t)sent < n)
        keep(c, p + sent, n - (size_t)sent);
}

static void flush(struct conn *c)
{
    ssize_t n = send(c->fd, c->out, c->out_n, MSG_NOSIGNAL);
    if (n <= 0)
        return;
    c->out_n -= (size_t)n;
    memmove(c->out, c->out + n, c->out_n);
    if (c->out_n == 0)
        watch(c, false);
}

/* Writes a frame's header so that it ends where the payload begins; returns where it starts. */
static uint8_t *frame_head(uint8_t *payload, size_t n)
{
    if (n < 126) {
        payload[-2] = 0x81;
        payload[-1] = (uint8_t)n;
        return payload - 2;
    }
    payload[-4] = 0x81;
    payload[-3] = 126;
    payload[-2] = (uint8_t)(n >> 8);
    payload[-1] = (uint8_t)n;
    return payload - 4;
}

/* ---- messages ---- */

static uint64_t number_after(const uint8_t *p, size_t n, const char *key)
{
    size_t m = strlen(key);
    const uint8_t *at = memmem(p, n, key, m), *end = p + n;
    uint64_t v = 0;
    for (at = at ? at + m : end; at < end && *at >= '0' && *at <= '9'; at++)
        v = v * 10 + (uint64_t)(*at - '0');
    return v;
}

static void on_text(struct conn *c, uint8_t *payload, size_t n)
{
    uint8_t text[HEAD_BYTES + 256];
    struct doc *d = c->doc;
    int m = snprintf((char *)text + HEAD_BYTES, 256,
                     "{\"type\":\"ack\",\"client_id\":\"%s\",\"seq\":%lu,\"new_version\":%lu}",
                     c->client_id, (unsigned long)number_after(payload, n, "\"seq\":"),
                     (unsigned long)++d->version);
    uint8_t *ack = frame_head(text + HEAD_BYTES, (size_t)m);
    put(c, ack, (size_t)(text + HEAD_BYTES + m - ack));
    /* A masked header is longer than an unmasked one, so this fits where that stood. */
    uint8_t *frame = frame_head(payload, n);
    for (uint32_t i = 0; i < d->n; i++)
        if (d->conns[i] != c)
            put(d->conns[i], frame, (size_t)(payload + n - frame));
}

/* Takes whole frames off the input. False: close. */
static bool on_frames(struct conn *c)
{
    uint8_t *p = c->in, *end = c->in + c->in_n;
    while (end - p >= 6) {
        size_t n = p[1] & 0x7f, head = 6;
        if (n == 126) {
            if (end - p < 8)
                break;
            n = (size_t)p[2] << 8 | p[3];
            head = 8;
        }
        if ((p[0] & 0x0f) == 8 || (p[1] & 0x7f) == 127 || !(p[1] & 0x80) || n > MESSAGE_BYTES)
            return false;
        if ((size_t)(end - p) < head + n)
            break;
        uint8_t *payload = p + head;
        uint32_t mask32;
        memcpy(&mask32, payload - 4, 4);
        uint64_t mask = (uint64_t)mask32 << 32 | mask32, v;
        size_t i = 0;
        for (; i + 8 <= n; i += 8) {
            memcpy(&v, payload + i, 8);
            v ^= mask;
            memcpy(payload + i, &v, 8);
        }
        for (; i < n; i++)
            payload[i] ^= (uint8_t)(mask32 >> (8 * (i & 3)));
        if ((p[0] & 0x0f) == 1)
            on_text(c, payload, n);
        p = payload + n;
    }
    c->in_n = (size_t)(end - p);
    memmove(c->in, p, c->in_n);
    return true;
}

/* ---- HTTP ---- */

static void answer(struct conn *c, const char *status, const char *body)
{
    char text[1024];
    int n =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 status, strlen(body), body);
    put(c, (uint8_t *)text, (size_t)n);
}

static void create(struct conn *c)
{
    char body[512];
    if (n_docs == DOCS_MAX) {
        answer(c, "429 Too Many Requests", "{}");
        return;
    }
    snprintf(body, sizeof body,
             "{\"id\":\"%u\",\"title\":\"\",\"type\":\"text\",\"content\":\"\",\"version\":0,"
             "\"history_hash\":\"0000000000000000\",\"owner_id\":\"load\",\"role\":\"owner\"}",
             n_docs++);
    answer(c, "201 Created", body);
}

static bool join(struct conn *c, uint32_t idx)
{
    struct doc *d = &docs[idx];
    if (d->n == d->room) {
        uint32_t room = 2 * d->room + 2;
        struct conn **conns = realloc(d->conns, room * sizeof *conns);
        if (!conns)
            return false;
        d->conns = conns;
        d->room = room;
    }
    c->doc = d;
    c->place = d->n;
    d->conns[d->n++] = c;
    return true;
}

static bool upgrade(struct conn *c, const struct http_request *req, uint32_t idx)
{
    char accept[29], text[512];
    uint8_t welcome[HEAD_BYTES + 512];
    struct bytes id = {NULL, 0};
    bool twice;
    if (http_check_upgrade(req, accept) != 0 || !join(c, idx))
        return false;
    if (http_query(req->query, "client_id", &id, &twice) && id.n < sizeof c->client_id)
        memcpy(c->client_id, id.p, id.n);
    c->is_ws = true;
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept);
    put(c, (uint8_t *)text, (size_t)n);
    n = snprintf(
        (char *)welcome + HEAD_BYTES, 512,
        "{\"type\":\"welcome\",\"doc_id\":\"%u\",\"session_id\":\"s\",\"client_id\":\"%s\","
        "\"doc_type\":\"text\",\"version\":%lu,\"history_hash\":\"0000000000000000\","
        "\"role\":\"owner\",\"last_seq\":0,\"last_seq_version\":0,\"presence\":[],"
        "\"limits\":{\"message_bytes\":8192,\"op_components\":100,"
        "\"document_units\":1048576},\"content\":\"\"}",
        idx, c->client_id, (unsigned long)c->doc->version);
    uint8_t *frame = frame_head(welcome + HEAD_BYTES, (size_t)n);
    put(c, frame, (size_t)(welcome + HEAD_BYTES + n - frame));
    return true;
}

/* One request, once it is here whole. False: close. */
static bool on_http(struct conn *c)
{
    struct http_request req;
    struct bytes segment;
    size_t used;
    int status;
    enum http_result r = http_parse_head(bytes_of(c->in, c->in_n), &req, &used, &status);
    if (r != HTTP_DONE)
        return r == HTTP_MORE && c->in_n < sizeof c->in;
    if (c->in_n - used < req.content_length)
        return c->in_n < sizeof c->in;
    used += req.content_length;
    if (http_segment(req.path, 2, &segment) && http_segment(req.path, 1, &segment) &&
        bytes_eq(segment, BYTES_LIT("docs")) && http_segment(req.path, 2, &segment)) {
        uint32_t idx = 0;
        for (size_t i = 0; i < segment.n && idx < DOCS_MAX; i++)
            idx = idx * 10 + (uint32_t)(segment.p[i] - '0');
        if (idx >= n_docs || !upgrade(c, &req, idx))
            return false;
    } else if (req.method == HTTP_POST) {
        create(c);
    } else {
        answer(c, "200 OK", "{}");
    }
    c->in_n -= used;
    memmove(c->in, c->in + used, c->in_n);
    return c->is_ws || req.keep_alive;
}

/* ---- the loop ---- */

static void drop(struct conn *c)
{
    if (c->doc) {
        struct conn *last = c->doc->conns[--c->doc->n];
        c->doc->conns[c->place] = last;
        last->place = c->place;
    }
    close(c->fd);
    free(c->out);
    free(c);
}

static void on_event(struct conn *c, uint32_t events)
{
    if ((events & EPOLLOUT) && c->out_n)
        flush(c);
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        return;
    ssize_t n = recv(c->fd, c->in + c->in_n, sizeof c->in - c->in_n, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->in_n += (size_t)n;
    if (!(c->is_ws ? on_frames(c) : on_http(c)))
        drop(c);
}

static void on_accept(int listen_fd)
{
    int one = 1, fd;
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = malloc(sizeof *c);
        if (!c) {
            close(fd);
            return;
        }
        memset(c, 0, offsetof(struct conn, in));
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
            drop(c);
    }
}

static int listen_on(const char *where, struct sockaddr_in *at)
{
    char host[64];
    unsigned port;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t n = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET};
    if (fd < 0 || sscanf(where, "%63[0-9.]:%u", host, &port) != 2 || port > 65535)
        return -1;
    at->sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (inet_pton(AF_INET, host, &at->sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)at, sizeof *at) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)at, &n) != 0)
        return -1;
    return fd;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        perror("donothing: --cpu");
}

int main(int argc, char **argv)
{
    const char *where = "127.0.0.1:0";
    struct sockaddr_in at;
    struct epoll_event events[EVENTS_MAX];
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--listen") == 0)
            where = argv[i + 1];
        else if (strcmp(argv[i], "--cpu") == 0)
            pin(atoi(argv[i + 1]));
    }
    int listen_fd = listen_on(where, &at);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (listen_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) != 0) {
        fprintf(stderr, "donothing: can't listen on %s\n", where);
        return 1;
    }
    printf("donothing: ready on http://%s:%u\n", inet_ntoa(at.sin_addr), ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                on_accept(listen_fd);
        }
    }
}
