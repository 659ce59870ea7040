/*
 * A gateway role over real loopback sockets, with the test at the shards' end of real links: what a
 * client sends is compared with what the shard is asked, what the shard says with what clients get,
 * byte for byte. Time is given to the role, so deadlines pass without waiting.
 */
#ifndef PENSTOCK_TESTS_UNIT_GATEWAY_RIG_H
#define PENSTOCK_TESTS_UNIT_GATEWAY_RIG_H

#include "base/clock.h"
#include "base/counters.h"
#include "gateway/gateway.h"
#include "gateway/opjson.h"
#include "gateway/token.h"
#include "net/message.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#define N_SHARDS   2u
#define RING_BYTES (64u << 10)
#define SECRET     "0123456789abcdef0123456789abcdef"
#define WAIT_MS    3000u
#define BUF_BYTES  (256u << 10)

static struct parker parker;
static struct link links[N_SHARDS];
static struct token_keys *keys;
static struct counters *counters;
static struct gateway *gateway;
static struct role role;
static uint64_t skew_ns;   /* added to the clock that the role sees */
static uint64_t frozen_ns; /* not 0: what that clock says all the time */

/* ---- the gateway ---- */

static inline void step(void)
{
    role.poll(role.self, frozen_ns ? frozen_ns : clock_mono_ns() + skew_ns);
}

static inline void open_gateway(void)
{
    static const char *const origins[] = {"https://editor.example"};
    struct token_policy policy = {0};
    char err[128];
    cr_assert_eq(parker_init(&parker), STATUS_OK);
    for (unsigned i = 0; i < N_SHARDS; i++)
        cr_assert_eq(link_open(&links[i], RING_BYTES, RING_BYTES, &parker, &parker), STATUS_OK);
    cr_assert_eq(counters_open(&counters, NULL), STATUS_OK);
    cr_assert_eq(token_keys_open(&keys, NULL, 0, &policy, err, sizeof err), STATUS_OK);
    cr_assert_eq(token_keys_add_secret(keys, BYTES_LIT(SECRET)), STATUS_OK);
    struct gateway_options o = {.listen_host = "127.0.0.1",
                                .keys = keys,
                                .origins = origins,
                                .n_origins = 1,
                                .serve_ops_pages = true,
                                .connections_max = 32,
                                .messages_per_s = 1000,
                                .counters = counters,
                                .n_shards = N_SHARDS,
                                .shards = {&links[0].a, &links[1].a}};
    cr_assert_eq(gateway_open(&gateway, &o), STATUS_OK);
    role = gateway_role(gateway);
}

static inline void close_gateway(void)
{
    gateway_close(gateway);
    token_keys_close(keys);
    counters_close(counters);
    for (unsigned i = 0; i < N_SHARDS; i++)
        link_close(&links[i]);
    parker_fini(&parker);
#if defined(__SANITIZE_ADDRESS__)
    cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "leaks");
#endif
}

/* ---- the shards' end ---- */

static inline void say(uint32_t shard, enum msg_type type, const struct writer *w)
{
    struct bytes b = writer_bytes(w);
    cr_assert(w->ok);
    void *at = ring_claim(&links[shard].b.tx, b.n);
    cr_assert_not_null(at);
    memcpy(at, b.p, b.n);
    ring_commit(&links[shard].b.tx, (uint16_t)type, b.n);
    link_flush(&links[shard].b);
}

static inline void say_ready(void)
{
    uint8_t buf[64];
    for (uint32_t i = 0; i < N_SHARDS; i++) {
        struct writer w = writer_of(buf, sizeof buf);
        msg_write_struct(&w, (&(struct msg_ready){.shard = i, .n_shards = N_SHARDS}));
        say(i, MSG_READY, &w);
    }
    step();
}

static inline void start(void)
{
    open_gateway();
    say_ready();
}

static inline bool has_asked(uint32_t shard, struct ring_record *r)
{
    return ring_peek(&links[shard].b.rx, r) == STATUS_OK;
}

/* The next message to a shard; its payload is copied. */
static uint8_t asked_buf[BUF_BYTES];
static inline struct bytes asked(uint32_t shard, enum msg_type type)
{
    struct ring_record r;
    for (unsigned ms = 0; !has_asked(shard, &r); ms++) {
        cr_assert_lt(ms, WAIT_MS, "shard %u was not asked for %d", shard, (int)type);
        step();
        usleep(500);
    }
    cr_assert_eq(r.type, (int)type, "shard %u was asked for %d, not %d", shard, r.type, (int)type);
    memcpy(asked_buf, r.payload.p, r.payload.n);
    size_t n = r.payload.n;
    ring_advance(&links[shard].b.rx);
    link_release(&links[shard].b);
    return bytes_of(asked_buf, n);
}

static inline struct msg_head head_of(struct bytes payload)
{
    struct msg_head head;
    cr_assert_geq(payload.n, sizeof head);
    memcpy(&head, payload.p, sizeof head);
    return head;
}

/* ---- clients ---- */

struct client {
    int fd;
    size_t n;
    char in[BUF_BYTES];
};

static inline struct client *client_open(void)
{
    struct client *c = calloc(1, sizeof *c);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(gateway_port(gateway)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_not_null(c);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(c->fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return c;
}

static inline void client_close(struct client *c)
{
    close(c->fd);
    free(c);
}

static inline void send_all(struct client *c, struct bytes b)
{
    while (b.n) {
        ssize_t n = send(c->fd, b.p, b.n, MSG_NOSIGNAL);
        if (n < 0)
            n = 0;
        b.p += n;
        b.n -= (size_t)n;
        step();
    }
}

/* False: the connection ended. */
static inline bool receive(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->n, sizeof c->in - 1 - c->n, 0);
    if (n > 0)
        c->n += (size_t)n;
    c->in[c->n] = 0;
    return n != 0;
}

/* Waits until that text has come, and takes everything up to its end. */
static inline void hears(struct client *c, const char *text)
{
    for (unsigned ms = 0;; ms++) {
        char *at = memmem(c->in, c->n, text, strlen(text));
        if (at) {
            size_t used = (size_t)(at - c->in) + strlen(text);
            memmove(c->in, c->in + used, c->n - used);
            c->n -= used;
            return;
        }
        cr_assert_lt(ms, WAIT_MS, "not heard: %s\ninstead: %s", text, c->in);
        step();
        if (!receive(c) && !memmem(c->in, c->n, text, strlen(text)))
            cr_assert_fail("ended before: %s\ninstead: %s", text, c->in);
        usleep(500);
    }
}

static inline void hears_nothing(struct client *c)
{
    for (unsigned i = 0; i < 20; i++) {
        step();
        receive(c);
        usleep(500);
    }
    cr_assert_eq(c->n, 0, "heard: %s", c->in);
}

static inline void hears_close(struct client *c, uint16_t code)
{
    char frame[3] = {(char)(code >> 8), (char)code, 0};
    for (unsigned ms = 0; !memmem(c->in, c->n, frame, 2); ms++) {
        cr_assert_lt(ms, WAIT_MS, "not closed with %u: %s", code, c->in);
        step();
        receive(c);
        usleep(500);
    }
}

static const char *token_of(const char *user, uint64_t ttl_s)
{
    static char jwt[2048];
    struct token_new t = {.sub = bytes_str(user), .expires_unix_s = clock_unix_ms() / 1000 + ttl_s};
    cr_assert_eq(token_sign(BYTES_LIT(SECRET), false, &t, jwt, sizeof jwt), STATUS_OK);
    return jwt;
}

static inline void requests(struct client *c, const char *line, const char *headers,
                            const char *body)
{
    static char text[BUF_BYTES];
    int n = snprintf(text, sizeof text,
                     "%s HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer %s\r\n%s"
                     "Content-Length: %zu\r\n\r\n%s",
                     line, token_of("ada", 600), headers, strlen(body), body);
    send_all(c, bytes_of(text, (size_t)n));
}

#define UPGRADE                                                                                    \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static inline void sends(struct client *c, const char *text)
{
    static uint8_t frame[BUF_BYTES];
    size_t n = strlen(text);
    struct writer w = writer_of(frame, sizeof frame);
    write_u8(&w, 0x81);
    write_u8(&w, n < 126 ? (uint8_t)(0x80 | n) : 0xfe);
    if (n >= 126) {
        write_u8(&w, (uint8_t)(n >> 8));
        write_u8(&w, (uint8_t)n);
    }
    write_u32(&w, 0); /* a mask of zeroes is one too */
    write_bytes(&w, bytes_of(text, n));
    cr_assert(w.ok);
    send_all(c, writer_bytes(&w));
}

/* ---- a document of two shards: "d0" or others, wherever they are ---- */

static inline uint32_t shard_of(const char *doc)
{
    return msg_shard_of((struct bytes){0}, bytes_str(doc), N_SHARDS);
}

static inline void say_joined(uint32_t shard, struct msg_head head, uint32_t slot, uint32_t flags)
{
    uint8_t buf[512], op[64];
    struct op_writer ow;
    struct bytes content;
    op_writer_init(&ow, op, sizeof op);
    op_push_insert(&ow, BYTES_LIT("abc"), 3, (struct bytes){0});
    cr_assert_eq(op_writer_end(&ow, &content), STATUS_OK);
    struct writer w = writer_of(buf, sizeof buf);
    struct msg_joined j = {.head = {head.tag, slot, 7},
                           .doc = 5,
                           .doc_gen = 1,
                           .version = 4,
                           .hash = 0xabcdef,
                           .last_seq = 2,
                           .last_seq_version = 3,
                           .flags = flags,
                           .doc_type = DOC_TEXT,
                           .role = DOC_ROLE_EDITOR};
    msg_write_struct(&w, &j);
    write_str(&w, BYTES_LIT("c1"));
    write_str(&w, flags & MSG_JOINED_CONTENT ? content : (struct bytes){0});
    say(shard, MSG_JOINED, &w);
}

/* A live session of document d0, as slot `slot`. */
static inline struct client *joins(const char *client_id, uint32_t slot, struct msg_head *head)
{
    struct client *c = client_open();
    char line[128];
    snprintf(line, sizeof line, "GET /ws/docs/d0?client_id=%s", client_id);
    requests(c, line, UPGRADE, "");
    struct msg_head h = head_of(asked(shard_of("d0"), MSG_JOIN));
    say_joined(shard_of("d0"), h, slot, MSG_JOINED_CONTENT);
    hears(c, "\"content\":\"abc\"}");
    if (head)
        *head = (struct msg_head){h.tag, slot, 7};
    return c;
}

static inline void say_released(uint64_t tag, uint64_t version, uint32_t n_ops,
                                const char *client_id)
{
    uint8_t buf[1024], op[64];
    struct op_writer ow;
    struct bytes b;
    op_writer_init(&ow, op, sizeof op);
    op_push_insert(&ow, BYTES_LIT("x"), 1, (struct bytes){0});
    cr_assert_eq(op_writer_end(&ow, &b), STATUS_OK);
    struct writer w = writer_of(buf, sizeof buf);
    struct msg_released m = {
        .doc = 5, .doc_gen = 1, .tag = tag, .first_version = version, .n_ops = n_ops};
    msg_write_struct(&w, &m);
    write_str(&w, BYTES_LIT("ada"));
    write_str(&w, bytes_str(client_id));
    write_str(&w, (struct bytes){0});
    for (uint32_t i = 0; i < n_ops; i++) {
        struct msg_op_out out = {.version = version + i,
                                 .seq = 3 + i,
                                 .unix_ms = 1700000000000ull,
                                 .op_bytes = (uint32_t)b.n};
        msg_write_struct(&w, &out);
        write_bytes(&w, b);
    }
    say(shard_of("d0"), MSG_RELEASED, &w);
}

#endif
