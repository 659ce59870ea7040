/*
 * http_chunked.c - chunked bodies, decoded as they come; see http.h.
 *
 * As strict as heads: CRLF alone ends a line, hex digits alone are a size, nothing else may hide in
 * between. What a lenient neighbour reads as the end of the body must be what we read.
 */
#include "gateway/http.h"

enum {
    CHUNK_SIZE_FIRST, /* zero: where a body starts */
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_FIRST,
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE,
    CHUNK_BAD
};

#define CHUNK_BYTES_MAX (1ull << 40)

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_field_byte(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool is_name_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Counts a byte of what is read only to be dropped. */
static uint8_t extra(struct http_chunked *c, uint8_t next)
{
    return ++c->line_bytes > HTTP_CHUNK_EXTRA_BYTES_MAX ? CHUNK_BAD : next;
}

static uint8_t step_size(struct http_chunked *c, uint8_t byte)
{
    int digit = hex_of(byte);
    if (digit >= 0) {
        c->left = c->left << 4 | (unsigned)digit;
        /* leading zeros count too, so that a size line has an end */
        return c->left > CHUNK_BYTES_MAX ? CHUNK_BAD : digit ? CHUNK_SIZE : extra(c, CHUNK_SIZE);
    }
    if (c->state == CHUNK_SIZE_FIRST)
        return CHUNK_BAD;
    if (byte == '\r')
        return CHUNK_SIZE_LF;
    return byte == ';' ? extra(c, CHUNK_EXTENSION) : CHUNK_BAD;
}

/* The states that are not data: one byte, one step. */
static uint8_t step(struct http_chunked *c, uint8_t byte)
{
    switch (c->state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        return step_size(c, byte);
    case CHUNK_EXTENSION:
        if (byte == '\r')
            return CHUNK_SIZE_LF;
        return is_field_byte(byte) ? extra(c, CHUNK_EXTENSION) : CHUNK_BAD;
    case CHUNK_SIZE_LF:
        if (byte != '\n')
            return CHUNK_BAD;
        return c->left ? CHUNK_DATA : CHUNK_TRAILER_FIRST;
    case CHUNK_DATA_CR:
        return byte == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
    case CHUNK_DATA_LF:
        return byte == '\n' ? CHUNK_SIZE_FIRST : CHUNK_BAD;
    case CHUNK_TRAILER_FIRST:
        if (byte == '\r')
            return CHUNK_END_LF;
        return is_name_byte(byte) ? extra(c, CHUNK_TRAILER_NAME) : CHUNK_BAD;
    case CHUNK_TRAILER_NAME:
        if (byte == ':')
            return extra(c, CHUNK_TRAILER_VALUE);
        return is_name_byte(byte) ? extra(c, CHUNK_TRAILER_NAME) : CHUNK_BAD;
    case CHUNK_TRAILER_VALUE:
        if (byte == '\r')
            return CHUNK_TRAILER_LF;
        return is_field_byte(byte) ? extra(c, CHUNK_TRAILER_VALUE) : CHUNK_BAD;
    case CHUNK_TRAILER_LF:
        return byte == '\n' ? CHUNK_TRAILER_FIRST : CHUNK_BAD;
    case CHUNK_END_LF:
        return byte == '\n' ? CHUNK_DONE : CHUNK_BAD;
    default:
        return CHUNK_BAD;
    }
}

enum http_result http_chunked_feed(struct http_chunked *c, struct bytes in, size_t *used,
                                   uint8_t *out, size_t out_bytes, size_t *n)
{
    size_t at = 0, written = 0;
    while (at < in.n && c->state != CHUNK_DONE && c->state != CHUNK_BAD) {
        if (c->state != CHUNK_DATA) {
            c->state = step(c, in.p[at++]);
            continue;
        }
        size_t take = in.n - at;
        if (take > c->left)
            take = (size_t)c->left;
        if (take > out_bytes - written)
            take = out_bytes - written;
        if (take == 0)
            break;
        memmove(out + written, in.p + at, take);
        at += take;
        written += take;
        c->left -= take;
        c->total += take;
        if (c->left == 0)
            c->state = CHUNK_DATA_CR;
    }
    *used = at;
    *n = written;
    if (c->state == CHUNK_BAD)
        return HTTP_BAD;
    return c->state == CHUNK_DONE ? HTTP_DONE : HTTP_MORE;
}
