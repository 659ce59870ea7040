/*
 * ws.h - WebSocket frames (RFC 6455): a sans-IO parser of what clients send, and an emitter of what
 * servers send.
 *
 * ws_feed unmasks in place and returns one event at a time; payloads are slices of the input (of
 * the struct, for a control frame that came in pieces), so a message that is whole in one receive
 * buffer is never copied. A data frame that is not whole yields its bytes as they come: text is
 * checked as it streams, so what can't become UTF-8 fails at the byte that shows it. The same bytes
 * give the same messages, codes and order however they are split.
 *
 * Refused: 1002 unmasked frames, RSV bits, unknown opcodes, control frames that are fragmented or
 * above 125 bytes, lengths not in their shortest form or with the top bit set, a continuation of
 * nothing, a new message inside another, close frames of 1 byte or with a code nobody may send;
 * 1003 binary where it is not allowed; 1007 text or a close reason that is not UTF-8; 1009 a
 * message or a number of fragments past the limit, judged by the frame's header before any
 * arithmetic on it.
 *
 * Pure: no allocation, no clock. Owner: the connection's.
 */
#ifndef PENSTOCK_GATEWAY_WS_H
#define PENSTOCK_GATEWAY_WS_H

#include "base/bytes.h"
#include "base/utf.h"

#define WS_CONTROL_BYTES_MAX 125u
#define WS_HEAD_BYTES_MAX    14u /* from a client; a server's has no mask: 10 */
#define WS_EMIT_HEAD_BYTES   10u

enum ws_opcode {
    WS_OP_CONTINUATION = 0,
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10
};

/* Shared by all connections. */
struct ws_limits {
    uint64_t message_bytes_max;
    uint32_t fragments_max; /* frames of one message, empty ones too */
    bool binary_ok;
};

enum ws_kind {
    WS_MORE, /* all input consumed, nothing to tell */
    WS_DATA, /* a piece of a message */
    WS_PING, /* answer with the same payload */
    WS_PONG,
    WS_CLOSE, /* the peer closes; `code` 0: it gave none. What follows is swallowed. */
    WS_FAIL   /* fail the connection with `code`. What follows is swallowed. */
};

struct ws_event {
    enum ws_kind kind;
    struct bytes payload; /* of a close: the reason */
    bool ends;            /* WS_DATA: the message is whole */
    bool binary;
    uint16_t code;
};

struct ws {
    const struct ws_limits *limits;
    uint64_t left;          /* of the frame's payload */
    uint64_t message_bytes; /* of the message, with this frame */
    uint32_t fragments;
    uint32_t mask; /* rotated: its low byte is the next */
    struct utf8_stream utf;
    uint8_t state;
    uint8_t first;   /* FIN, RSV, opcode of the frame under way */
    uint8_t message; /* opcode of the message under way; 0: none */
    uint8_t head_n;
    uint8_t head[WS_HEAD_BYTES_MAX];
    uint8_t control_n;
    uint8_t control[WS_CONTROL_BYTES_MAX];
};

void ws_init(struct ws *ws, const struct ws_limits *limits);

/* Consumes *used bytes of `in` (unmasking them where they are) and tells what they were; call again
 * with the rest until WS_MORE. */
void ws_feed(struct ws *ws, uint8_t *in, size_t n, size_t *used, struct ws_event *event);

/* Bytes of a server's frame header for a payload of n. */
static inline size_t ws_head_bytes(uint64_t n)
{
    return n < 126 ? 2 : n < 65536 ? 4 : 10;
}

/* Writes it (FIN set, no mask); returns ws_head_bytes(n). */
size_t ws_emit_head(uint8_t *out, enum ws_opcode opcode, uint64_t n);

#define WS_CLOSE_FRAME_BYTES_MAX (2u + WS_CONTROL_BYTES_MAX)
/* A whole close frame; code 0: without one. The reason is cut to fit. Returns its size. */
size_t ws_emit_close(uint8_t out[WS_CLOSE_FRAME_BYTES_MAX], uint16_t code, struct bytes reason);

/* Whether a peer may send that code in a close frame. */
bool ws_is_close_code(uint16_t code);

/* Unmasks n bytes in place; true if all of them turned out to be ASCII. *mask is rotated. */
bool ws_unmask(uint8_t *p, size_t n, uint32_t *mask);

#endif
