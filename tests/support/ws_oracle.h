/*
 * ws_oracle.h - what a byte stream of a client means, told by our parser and by wslay, as traces
 * that can be compared. For the unit test and the fuzz target.
 */
#ifndef PENSTOCK_TESTS_WS_ORACLE_H
#define PENSTOCK_TESTS_WS_ORACLE_H

#include "gateway/ws.h"

#include <stdlib.h>
#include <wslay/wslay.h>

#define ORACLE_MESSAGE_MAX 70000u

struct trace {
    uint8_t *p;
    size_t n, room;
    uint16_t failed; /* the code; 0: did not fail */
};

static void trace_add(struct trace *t, const void *p, size_t n)
{
    if (t->room - t->n < n) {
        t->room = 2 * (t->n + n) + 256;
        t->p = realloc(t->p, t->room);
        if (!t->p)
            abort();
    }
    if (n)
        memcpy(t->p + t->n, p, n);
    t->n += n;
}

static void trace_event(struct trace *t, uint8_t opcode, uint16_t code, struct bytes payload)
{
    uint32_t n = (uint32_t)payload.n;
    trace_add(t, &opcode, 1);
    trace_add(t, &code, 2);
    trace_add(t, &n, 4);
    trace_add(t, payload.p, n);
}

/* `step` bytes at a time (0: all at once), each in memory of its own, so that a read past its end
 * shows. */
static struct trace trace_ours(struct bytes in, size_t step)
{
    static const struct ws_limits limits = {
        .message_bytes_max = ORACLE_MESSAGE_MAX, .fragments_max = UINT32_MAX, .binary_ok = true};
    struct trace t = {0}, message = {0};
    struct ws ws;
    ws_init(&ws, &limits);
    for (size_t at = 0; at < in.n;) {
        size_t take = step && in.n - at > step ? step : in.n - at, used = 0;
        uint8_t *piece = malloc(take);
        if (!piece)
            abort();
        memcpy(piece, in.p + at, take);
        at += take;
        for (size_t from = 0;; from += used) {
            struct ws_event e;
            ws_feed(&ws, piece + from, take - from, &used, &e);
            if (e.kind == WS_MORE)
                break;
            if (e.kind == WS_FAIL)
                t.failed = e.code;
            if (e.kind == WS_DATA)
                trace_add(&message, e.payload.p, e.payload.n);
            if (e.kind == WS_DATA && e.ends) {
                trace_event(&t, e.binary ? WS_OP_BINARY : WS_OP_TEXT, 0,
                            bytes_of(message.p, message.n));
                message.n = 0;
            }
            if (e.kind == WS_PING || e.kind == WS_PONG || e.kind == WS_CLOSE)
                trace_event(&t,
                            e.kind == WS_PING   ? WS_OP_PING
                            : e.kind == WS_PONG ? WS_OP_PONG
                                                : WS_OP_CLOSE,
                            e.code, e.payload);
        }
        free(piece);
    }
    free(message.p);
    return t;
}

struct wslay_run {
    struct bytes in;
    struct trace t;
    bool closed;
};

static ssize_t wslay_on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t n, int flags,
                             void *arg)
{
    struct wslay_run *r = arg;
    (void)flags;
    if (r->in.n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (n > r->in.n)
        n = r->in.n;
    memcpy(buf, r->in.p, n);
    r->in.p += n;
    r->in.n -= n;
    return (ssize_t)n;
}

static ssize_t wslay_on_send(wslay_event_context_ptr ctx, const uint8_t *p, size_t n, int flags,
                             void *arg)
{
    (void)ctx, (void)p, (void)flags, (void)arg;
    return (ssize_t)n;
}

static void wslay_on_msg(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *msg,
                         void *arg)
{
    struct wslay_run *r = arg;
    struct bytes payload = bytes_of(msg->msg, msg->msg_length);
    (void)ctx;
    if (msg->opcode == WS_OP_CLOSE) {
        r->closed = true;
        if (payload.n == 1) { /* which wslay lets pass */
            r->t.failed = 1002;
            return;
        }
        if (payload.n >= 2)
            payload = bytes_of(payload.p + 2, payload.n - 2);
        trace_event(&r->t, WS_OP_CLOSE, msg->status_code, payload);
        return;
    }
    trace_event(&r->t, msg->opcode, 0, payload);
}

/*
 * wslay judges a header only once it has the whole of it and a byte of the payload, and the reason
 * of a close as it comes; we judge each part of a header as it comes, and a control frame whole. So
 * streams are compared with enough zeroes behind them to end what is under way.
 */
#define ORACLE_PAD 160u

static struct trace trace_wslay(struct bytes in)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = wslay_on_recv,
                                                           .send_callback = wslay_on_send,
                                                           .on_msg_recv_callback = wslay_on_msg};
    struct wslay_run r = {.in = in};
    wslay_event_context_ptr ctx;
    if (wslay_event_context_server_init(&ctx, &callbacks, &r) != 0)
        abort();
    wslay_event_config_set_max_recv_msg_length(ctx, ORACLE_MESSAGE_MAX);
    while (wslay_event_want_read(ctx) && r.in.n && wslay_event_recv(ctx) == 0)
        ;
    if (!r.closed && !wslay_event_want_read(ctx)) {
        while (wslay_event_want_write(ctx) && wslay_event_send(ctx) == 0)
            ;
        r.t.failed = wslay_event_get_status_code_sent(ctx);
        if (r.t.failed == 1005) /* how it closes after errors of a frame's header */
            r.t.failed = 1002;
    }
    wslay_event_context_free(ctx);
    return r.t;
}

static inline bool trace_eq(const struct trace *a, const struct trace *b)
{
    return a->failed == b->failed && bytes_eq(bytes_of(a->p, a->n), bytes_of(b->p, b->n));
}

#endif
