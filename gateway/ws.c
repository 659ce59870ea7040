/* ws.c - WebSocket frames; see ws.h. */
#include "gateway/ws.h"

enum { STATE_HEAD, STATE_DATA, STATE_CONTROL, STATE_OVER };

#define FIN         0x80u
#define RSV         0x70u
#define OPCODE      0x0fu
#define CONTROL_BIT 0x08u
#define MASKED      0x80u

void ws_init(struct ws *ws, const struct ws_limits *limits)
{
    memset(ws, 0, sizeof *ws);
    ws->limits = limits;
}

bool ws_unmask(uint8_t *p, size_t n, uint32_t *mask)
{
    uint64_t m = (uint64_t)*mask << 32 | *mask;
    uint64_t seen = 0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        uint64_t v[4];
        memcpy(v, p + i, sizeof v);
        v[0] ^= m;
        v[1] ^= m;
        v[2] ^= m;
        v[3] ^= m;
        seen |= v[0] | v[1] | v[2] | v[3];
        memcpy(p + i, v, sizeof v);
    }
    for (; i + 8 <= n; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, sizeof v);
        v ^= m;
        seen |= v;
        memcpy(p + i, &v, sizeof v);
    }
    for (unsigned shift = 0; i < n; i++, shift += 8) {
        p[i] ^= (uint8_t)(m >> shift);
        seen |= p[i];
    }
    unsigned turn = 8 * (n & 3);
    if (turn)
        *mask = *mask >> turn | *mask << (32 - turn);
    return !(seen & 0x8080808080808080u);
}

bool ws_is_close_code(uint16_t code)
{
    if (code >= 3000 && code <= 4999)
        return true;
    return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

static void fail(struct ws *ws, struct ws_event *event, uint16_t code)
{
    ws->state = STATE_OVER;
    *event = (struct ws_event){.kind = WS_FAIL, .code = code};
}

/* ---- headers ---- */

static size_t head_need(const struct ws *ws)
{
    if (ws->head_n < 2)
        return 2;
    unsigned length = ws->head[1] & 0x7fu;
    return length < 126 ? 6 : length == 126 ? 8 : 14;
}

/* The first two bytes alone: 0 or the code to fail with. */
static uint16_t judge_start(const struct ws *ws)
{
    unsigned opcode = ws->head[0] & OPCODE, length = ws->head[1] & 0x7fu;
    if (ws->head[0] & RSV || !(ws->head[1] & MASKED))
        return 1002;
    if (opcode & CONTROL_BIT)
        return opcode > WS_OP_PONG || !(ws->head[0] & FIN) || length > WS_CONTROL_BYTES_MAX ? 1002
                                                                                            : 0;
    if (opcode > WS_OP_BINARY)
        return 1002;
    if ((opcode == WS_OP_CONTINUATION) != (ws->message != 0))
        return 1002;
    return opcode == WS_OP_BINARY && !ws->limits->binary_ok ? 1003 : 0;
}

/* The length, once it is there; compared with what is left of the limit, never added to first. */
static uint16_t judge_length(struct ws *ws)
{
    unsigned length = ws->head[1] & 0x7fu;
    uint64_t n = length;
    if (length == 126)
        n = (uint64_t)ws->head[2] << 8 | ws->head[3];
    if (length == 127) {
        n = 0;
        for (unsigned i = 2; i < 10; i++)
            n = n << 8 | ws->head[i];
    }
    if (n >> 63 || (length == 126 && n < 126) || (length == 127 && n < 65536))
        return 1002;
    ws->left = n;
    if (ws->head[0] & CONTROL_BIT)
        return 0;
    if (!ws->message) {
        ws->message_bytes = 0;
        ws->fragments = 0;
        ws->utf = (struct utf8_stream){0};
    }
    if (n > ws->limits->message_bytes_max - ws->message_bytes ||
        ws->fragments >= ws->limits->fragments_max)
        return 1009;
    ws->message_bytes += n;
    ws->fragments++;
    return 0;
}

/* Collects the header; false: more input is needed, or it failed (event says so). */
static bool take_head(struct ws *ws, const uint8_t *in, size_t n, size_t *used,
                      struct ws_event *event)
{
    for (;;) {
        size_t need = head_need(ws), had = ws->head_n;
        size_t take = need - had < n - *used ? need - had : n - *used;
        memcpy(ws->head + had, in + *used, take);
        *used += take;
        ws->head_n = (uint8_t)(had + take);
        if (ws->head_n < need)
            return false;
        uint16_t code = had < 2 ? judge_start(ws) : 0;
        if (!code && need > 2)
            code = judge_length(ws);
        if (code) {
            fail(ws, event, code);
            return false;
        }
        if (need > 2)
            break;
    }
    memcpy(&ws->mask, ws->head + ws->head_n - 4, 4);
    ws->first = ws->head[0];
    ws->head_n = 0;
    if (ws->first & CONTROL_BIT) {
        ws->state = STATE_CONTROL;
        ws->control_n = 0;
    } else {
        ws->state = STATE_DATA;
        if (ws->first & OPCODE)
            ws->message = ws->first & OPCODE;
    }
    return true;
}

/* ---- payloads ---- */

/* True: there is an event. */
static bool take_data(struct ws *ws, uint8_t *in, size_t n, size_t *used, struct ws_event *event)
{
    size_t take = ws->left < n - *used ? (size_t)ws->left : n - *used;
    struct bytes piece = bytes_of(in + *used, take);
    bool is_text = ws->message == WS_OP_TEXT;
    bool is_ascii = ws_unmask(in + *used, take, &ws->mask);
    *used += take;
    ws->left -= take;
    bool ends = ws->left == 0 && ws->first & FIN;
    if (is_text) {
        if (!(is_ascii && utf8_stream_is_whole(&ws->utf)) && !utf8_stream_feed(&ws->utf, piece)) {
            fail(ws, event, 1007);
            return true;
        }
        if (ends && !utf8_stream_is_whole(&ws->utf)) {
            fail(ws, event, 1007);
            return true;
        }
    }
    if (ws->left == 0)
        ws->state = STATE_HEAD;
    if (ends)
        ws->message = 0;
    if (!ends && take == 0)
        return false;
    *event = (struct ws_event){.kind = WS_DATA, .payload = piece, .ends = ends, .binary = !is_text};
    return true;
}

static void judge_close(struct ws *ws, struct bytes payload, struct ws_event *event)
{
    *event = (struct ws_event){.kind = WS_CLOSE};
    ws->state = STATE_OVER;
    if (payload.n == 0)
        return;
    unsigned code = payload.n >= 2 ? (unsigned)payload.p[0] << 8 | payload.p[1] : 0;
    struct bytes reason = payload.n >= 2 ? bytes_of(payload.p + 2, payload.n - 2) : payload;
    if (payload.n >= 2 && !utf8_check(reason)) {
        fail(ws, event, 1007);
        return;
    }
    if (!ws_is_close_code((uint16_t)code)) {
        fail(ws, event, 1002);
        return;
    }
    event->code = (uint16_t)code;
    event->payload = reason;
}

static bool take_control(struct ws *ws, uint8_t *in, size_t n, size_t *used, struct ws_event *event)
{
    size_t take = ws->left < n - *used ? (size_t)ws->left : n - *used;
    struct bytes payload = bytes_of(in + *used, take);
    ws_unmask(in + *used, take, &ws->mask);
    *used += take;
    ws->left -= take;
    if (ws->left || ws->control_n) { /* in pieces: collect them */
        memcpy(ws->control + ws->control_n, payload.p, payload.n);
        ws->control_n = (uint8_t)(ws->control_n + payload.n);
        payload = bytes_of(ws->control, ws->control_n);
    }
    if (ws->left)
        return false;
    ws->state = STATE_HEAD;
    switch (ws->first & OPCODE) {
    case WS_OP_PING:
        *event = (struct ws_event){.kind = WS_PING, .payload = payload};
        break;
    case WS_OP_PONG:
        *event = (struct ws_event){.kind = WS_PONG, .payload = payload};
        break;
    default:
        judge_close(ws, payload, event);
        break;
    }
    return true;
}

void ws_feed(struct ws *ws, uint8_t *in, size_t n, size_t *used, struct ws_event *event)
{
    *event = (struct ws_event){.kind = WS_MORE};
    *used = 0;
    if (ws->state == STATE_OVER)
        *used = n;
    while (*used < n || (ws->state != STATE_HEAD && ws->left == 0)) {
        if (ws->state == STATE_OVER)
            return;
        if (ws->state == STATE_HEAD) {
            if (!take_head(ws, in, n, used, event))
                return;
        } else if (ws->state == STATE_DATA) {
            if (take_data(ws, in, n, used, event))
                return;
        } else if (take_control(ws, in, n, used, event)) {
            return;
        }
    }
}

/* ---- what a server sends ---- */

size_t ws_emit_head(uint8_t *out, enum ws_opcode opcode, uint64_t n)
{
    out[0] = (uint8_t)(FIN | opcode);
    if (n < 126) {
        out[1] = (uint8_t)n;
        return 2;
    }
    unsigned length_bytes = n < 65536 ? 2 : 8;
    out[1] = length_bytes == 2 ? 126 : 127;
    for (unsigned i = 0; i < length_bytes; i++)
        out[2 + i] = (uint8_t)(n >> (8 * (length_bytes - 1 - i)));
    return 2 + length_bytes;
}

size_t ws_emit_close(uint8_t out[WS_CLOSE_FRAME_BYTES_MAX], uint16_t code, struct bytes reason)
{
    if (code == 0)
        return ws_emit_head(out, WS_OP_CLOSE, 0);
    if (reason.n > WS_CONTROL_BYTES_MAX - 2) {
        reason.n = WS_CONTROL_BYTES_MAX - 2;
        while (reason.n && (reason.p[reason.n] & 0xc0) == 0x80) /* not inside a character */
            reason.n--;
    }
    size_t at = ws_emit_head(out, WS_OP_CLOSE, 2 + reason.n);
    out[at++] = (uint8_t)(code >> 8);
    out[at++] = (uint8_t)code;
    if (reason.n)
        memcpy(out + at, reason.p, reason.n);
    return at + reason.n;
}
