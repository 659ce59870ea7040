/*
 * conn_rig.h - a table of connections on loopback and blocking clients of it, in one thread:
 * whoever waits turns the server.
 */
#ifndef PENSTOCK_TESTS_CONN_RIG_H
#define PENSTOCK_TESTS_CONN_RIG_H

#include "gateway/conn.h"

#include "base/clock.h"
#include "gateway/tls.h"
#include "gateway/ws.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server {
    struct conns *conns;
    struct conns_options options;
    unsigned n_requests, n_texts, n_gone, n_drained;
    bool hold;       /* requests wait for the test to answer */
    bool pause_each; /* every text pauses its connection */
    uint64_t last_tag;
    size_t last_body_n;
    char last_text[256];
} server;

/* ---- the handler: /ws upgrades, all else says its target and the length of its body ---- */

static inline void rig_on_request(void *self, struct conn *c, const struct http_request *req,
                                  struct bytes body)
{
    struct server *s = self;
    char text[300];
    char accept[29];
    s->n_requests++;
    s->last_tag = conn_tag(c);
    s->last_body_n = body.n;
    cr_assert_eq(conn_find(s->conns, s->last_tag), c);
    if (bytes_eq(req->path, BYTES_LIT("/ws"))) {
        int refused = http_check_upgrade(req, accept);
        if (refused)
            conn_respond(c, &(struct http_response){.status = refused});
        else
            conn_upgrade(c, NULL);
        return;
    }
    if (s->hold)
        return;
    int n =
        snprintf(text, sizeof text, "%.*s %zu", (int)(req->target.n < 200 ? req->target.n : 200),
                 (const char *)req->target.p, body.n);
    conn_respond(c, &(struct http_response){.status = 200,
                                            .content_type = "text/plain",
                                            .extra_headers = BYTES_LIT("X-Test: y\r\n"),
                                            .body = bytes_of(text, (size_t)n)});
}

static inline void on_text(void *self, struct conn *c, struct bytes text)
{
    struct server *s = self;
    s->n_texts++;
    s->last_tag = conn_tag(c);
    snprintf(s->last_text, sizeof s->last_text, "%.*s", (int)(text.n < 200 ? text.n : 200),
             (const char *)text.p);
    if (s->pause_each)
        conn_pause(c, true);
    conn_send_text(c, text);
}

static inline void on_drained(void *self, struct conn *c)
{
    struct server *s = self;
    (void)c;
    s->n_drained++;
}

static inline void on_gone(void *self, struct conn *c)
{
    struct server *s = self;
    (void)c;
    s->n_gone++;
}

static inline uint64_t body_bytes_max(void *self, const struct http_request *req)
{
    (void)self, (void)req;
    return 100000;
}

static inline void serve(void (*tweak)(struct conns_options *o))
{
    server.options = (struct conns_options){
        .listen = {.host = "127.0.0.1"},
        .handler = {.self = &server,
                    .on_request = rig_on_request,
                    .on_text = on_text,
                    .on_drained = on_drained,
                    .on_gone = on_gone,
                    .body_bytes_max = body_bytes_max},
        .conns_max = 2000,
        .message_bytes_max = 1 << 20,
        .handshake_ms_max = 5000,
        .idle_http_ms_max = 5000,
        .outbound_bytes_max = 1 << 20,
        .close_ms_max = 100,
    };
    if (tweak)
        tweak(&server.options);
    cr_assert_eq(conns_open(&server.conns, &server.options), STATUS_OK);
}

/* Everything that was received and queued has been let go. */
static inline void stop(void)
{
    cr_expect_eq(conns_in_bytes(server.conns), 0);
    conns_close(server.conns);
}

static inline void turn(void)
{
    uint64_t now = clock_mono_ns();
    if (conns_poll(server.conns, now))
        return;
    uint64_t at = conns_deadline_ns(server.conns);
    uint64_t most = at > now ? at - now : 0;
    loop_wait(conns_loop(server.conns), most < NS_PER_MS ? most : NS_PER_MS);
}

/* Turns the server until `cond`, for five seconds at most. */
#define until(cond)                                                                                \
    do {                                                                                           \
        uint64_t end_ = clock_mono_ns() + 5 * NS_PER_S;                                            \
        while (!(cond) && clock_mono_ns() < end_)                                                  \
            turn();                                                                                \
        cr_assert(cond);                                                                           \
    } while (0)

/* ---- the client ---- */

static inline int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(loop_port(conns_loop(server.conns))),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline void say_bytes(int fd, const void *p, size_t n)
{
    uint64_t end = clock_mono_ns() + 5 * NS_PER_S;
    while (n && clock_mono_ns() < end) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k > 0) {
            p = (const char *)p + k;
            n -= (size_t)k;
        } else {
            cr_assert_eq(errno, EAGAIN);
            turn();
        }
    }
    cr_assert_eq(n, 0);
}

static inline void say_text(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

static char heard[3 << 20];
static size_t heard_n;

/* Reads until `want` bytes came or the peer ended; true: it ended (*error: by a reset). */
static inline bool hear(int fd, size_t want)
{
    uint64_t end = clock_mono_ns() + 8 * NS_PER_S;
    heard_n = 0;
    memset(heard, 0, 4096);
    while (heard_n < want) {
        ssize_t k = recv(fd, heard + heard_n, want - heard_n, 0);
        if (k > 0) {
            heard_n += (size_t)k;
            continue;
        }
        if (k == 0 || errno == ECONNRESET)
            return true;
        cr_assert(clock_mono_ns() < end, "waited too long after %zu bytes: %s", heard_n, heard);
        turn();
    }
    return false;
}

static inline void hear_head(int fd)
{
    size_t n = 0;
    static char all[8192];
    memset(all, 0, sizeof all);
    while (!strstr(all, "\r\n\r\n")) {
        cr_assert(!hear(fd, 1), "ended after: %s", all);
        all[n++] = heard[0];
        cr_assert(n < sizeof all - 1);
    }
    memcpy(heard, all, n + 1);
    heard_n = n;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define UPGRADE                                                                                    \
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                 \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static inline int dial_ws(void)
{
    int fd = dial();
    say_text(fd, UPGRADE);
    hear_head(fd);
    cr_assert(strstr(heard, "101 Switching") && strstr(heard, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    return fd;
}

/* A masked frame into buf; its size. */
static inline size_t make_frame(uint8_t *buf, uint8_t first, const void *payload, size_t n)
{
    size_t at = ws_emit_head(buf, WS_OP_TEXT, n);
    buf[0] = first;
    buf[1] |= 0x80;
    memcpy(buf + at, "\x01\x02\x03\x04", 4);
    at += 4;
    for (size_t i = 0; i < n; i++)
        buf[at + i] = ((const uint8_t *)payload)[i] ^ (uint8_t)(1 + (i & 3));
    return at + n;
}

static inline void say_frame(int fd, uint8_t first, const char *payload)
{
    static uint8_t buf[1 << 17];
    say_bytes(fd, buf, make_frame(buf, first, payload, strlen(payload)));
}

static inline void expect_frame(int fd, uint8_t first, const char *payload)
{
    cr_assert(!hear(fd, 2 + strlen(payload)));
    cr_assert_eq((uint8_t)heard[0], first, "%02x", (uint8_t)heard[0]);
    cr_assert_eq((size_t)(uint8_t)heard[1], strlen(payload));
    cr_assert_eq(memcmp(heard + 2, payload, strlen(payload)), 0);
}

static inline void expect_close(int fd, unsigned code)
{
    cr_assert(!hear(fd, 4));
    cr_assert_eq((uint8_t)heard[0], 0x88);
    cr_assert_eq((unsigned)(uint8_t)heard[2] << 8 | (uint8_t)heard[3], code);
}

#endif
