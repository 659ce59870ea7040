/* conn_ws.c - messages off a connection's frames, frames for its peer, the close; see conn.h. */
#include "gateway/conn_inside.h"

#include "base/clock.h"

#define MOVE_BYTES_MAX 4096u /* of a payload that is moved to stand right behind its neighbour */

/* ---- sending ---- */

uint8_t *conn_frame_reserve(struct conns *cs, size_t payload_bytes_max, struct slab **slab)
{
    uint8_t *p = slab_reserve(cs->loop, payload_bytes_max + WS_EMIT_HEAD_BYTES, slab);
    return p ? p + WS_EMIT_HEAD_BYTES : NULL;
}

void conn_frame_commit(struct conns *cs, struct slab *slab, size_t payload_bytes, uint32_t *offset,
                       uint32_t *n)
{
    uint8_t head[WS_EMIT_HEAD_BYTES];
    uint8_t *p = slab->data + slab->used;
    size_t head_n = ws_emit_head(head, WS_OP_TEXT, payload_bytes);
    /* frames that lie side by side merge into one slice; a large one is not worth the move */
    size_t gap = WS_EMIT_HEAD_BYTES - head_n;
    if (gap && payload_bytes <= MOVE_BYTES_MAX) {
        memmove(p + head_n, p + WS_EMIT_HEAD_BYTES, payload_bytes);
        gap = 0;
    }
    memcpy(p + gap, head, head_n);
    slab_commit(cs->loop, slab, gap + head_n + payload_bytes, offset);
    *offset += (uint32_t)gap;
    *n = (uint32_t)(head_n + payload_bytes);
}

void conn_ws_close_slow(struct conn *c)
{
    struct loop *l = c->cs->loop;
    if (c->tls) /* what is encrypted has to go out: the stream would not survive a gap */
        slab_queue_drop(loop_slabs(l), &c->tls->plain);
    else
        sock_drop_unsent(l, c->sock);
    conn_ws_close(c, CLOSE_SLOW, "the client reads too slowly");
}

/* Whether n bytes more are within the bound; what was queued outside it does not count. */
static bool has_room(struct conn *c, uint32_t n)
{
    uint64_t queued = conn_queued_bytes(c);
    uint64_t outside = c->unbounded_bytes < queued ? c->unbounded_bytes : queued;
    return queued - outside + n <= c->cs->options.outbound_bytes_max;
}

bool conn_send_frame(struct conn *c, struct slab *slab, uint32_t offset, uint32_t n)
{
    if (c->state != CONN_WS)
        return false;
    if (!has_room(c, n)) {
        conn_ws_close_slow(c);
        return false;
    }
    return conn_out(c, slab, offset, n);
}

bool conn_send_frame_unbounded(struct conn *c, struct slab *slab, uint32_t offset, uint32_t n)
{
    if (c->state != CONN_WS || !conn_out(c, slab, offset, n))
        return false;
    c->unbounded_bytes += n;
    return true;
}

static bool send_whole(struct conn *c, enum ws_opcode opcode, struct bytes payload)
{
    struct slab *slab;
    uint32_t offset;
    uint8_t *p = slab_reserve(c->cs->loop, WS_EMIT_HEAD_BYTES + payload.n, &slab);
    if (!p) {
        conn_cut(c);
        return false;
    }
    size_t n = ws_emit_head(p, opcode, payload.n);
    if (payload.n)
        memcpy(p + n, payload.p, payload.n);
    n += payload.n;
    slab_commit(c->cs->loop, slab, n, &offset);
    return conn_send_frame(c, slab, offset, (uint32_t)n);
}

bool conn_send_text(struct conn *c, struct bytes text)
{
    return c->state == CONN_WS && send_whole(c, WS_OP_TEXT, text);
}

bool conn_send_binary(struct conn *c, struct bytes data)
{
    return c->state == CONN_WS && send_whole(c, WS_OP_BINARY, data);
}

static void send_close(struct conn *c, uint16_t code, struct bytes reason)
{
    uint8_t frame[WS_CLOSE_FRAME_BYTES_MAX];
    size_t n = ws_emit_close(frame, code, reason);
    conn_out_copy(c, bytes_of(frame, n));
}

void conn_ws_close(struct conn *c, uint16_t code, const char *reason)
{
    if (c->state != CONN_WS)
        return;
    send_close(c, code, bytes_str(reason));
    if (c->state != CONN_WS)
        return;
    c->state = CONN_WS_CLOSING;
    c->is_paused = false; /* the peer's close frame has to be seen */
    conn_wait_for(c, WAIT_CLOSE);
    conn_update_pause(c);
    conn_set_ready(c);
}

/* ---- receiving ---- */

static void deliver(struct conn *c, bool binary, struct bytes message)
{
    struct conn_handler *h = &c->cs->handler;
    if (binary)
        h->on_binary(h->self, c, message);
    else
        h->on_text(h->self, c, message);
}

static void on_data(struct conn *c, const struct ws_event *e)
{
    if (c->state != CONN_WS) /* after our close frame nothing counts but the peer's */
        return;
    if (e->ends && c->message.n == 0) {
        deliver(c, e->binary, e->payload);
        return;
    }
    if (!conn_buffer_add(c, &c->message, e->payload.p, e->payload.n)) {
        conn_ws_close(c, CLOSE_OVERLOAD, "too much is waiting");
        return;
    }
    if (!e->ends)
        return;
    deliver(c, e->binary, bytes_of(c->message.p, c->message.n));
    conn_buffer_free(c, &c->message);
}

/* Pings and pongs cost us and say nothing: so many a second are enough for anybody. */
static bool is_control_fine(struct conn *c)
{
    if (c->cs->now_ns - c->controls_since_ns >= NS_PER_S) {
        c->controls_since_ns = c->cs->now_ns;
        c->n_controls = 0;
    }
    if (++c->n_controls <= c->cs->options.controls_per_s)
        return true;
    conn_ws_close(c, CLOSE_LIMIT, "too many control frames");
    return false;
}

static void on_event(struct conn *c, const struct ws_event *e)
{
    switch (e->kind) {
    case WS_DATA:
        on_data(c, e);
        break;
    case WS_PING:
        if (c->state == CONN_WS && is_control_fine(c))
            send_whole(c, WS_OP_PONG, e->payload);
        break;
    case WS_PONG:
        if (c->state == CONN_WS)
            is_control_fine(c);
        break;
    case WS_CLOSE:
        if (c->state == CONN_WS)
            send_close(c, e->code, e->payload);
        conn_end(c);
        break;
    case WS_FAIL:
        if (c->state == CONN_WS)
            send_close(c, e->code, bytes_of(NULL, 0));
        conn_end(c);
        break;
    case WS_MORE:
        break;
    }
}

size_t conn_ws_run(struct conn *c, uint8_t *p, size_t n)
{
    size_t done = 0;
    while (done < n && !c->is_paused && c->state != CONN_ENDING) {
        struct ws_event e;
        size_t used;
        ws_feed(&c->ws, p + done, n - done, &used, &e);
        done += used;
        on_event(c, &e);
    }
    return done;
}
