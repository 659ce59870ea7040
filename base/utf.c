/* utf.c - UTF-8 validation and UTF-16 positions; see utf.h. */
#include "base/utf.h"

#define HIGH_BITS 0x8080808080808080ull
#define LOW_BITS  0x0101010101010101ull

static inline uint64_t load8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* What the first byte of a longer character asks of those behind it (RFC 3629, section 4). False:
 * no character begins so. */
static inline bool lead_of(uint8_t lead, struct utf8_stream *s)
{
    s->low = 0x80;
    s->high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        s->need = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        s->need = 2;
        if (lead == 0xe0)
            s->low = 0xa0; /* below: overlong */
        else if (lead == 0xed)
            s->high = 0x9f; /* above: surrogates */
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        s->need = 3;
        if (lead == 0xf0)
            s->low = 0x90;
        else if (lead == 0xf4)
            s->high = 0x8f; /* above: past U+10FFFF */
    } else {
        return false;
    }
    return true;
}

bool utf8_stream_feed(struct utf8_stream *s, struct bytes piece)
{
    const uint8_t *p = piece.p;
    const uint8_t *end = p + piece.n;
    if (s->bad)
        return false;
    while (p < end) {
        if (s->need) {
            if (*p < s->low || *p > s->high) {
                s->bad = true;
                return false;
            }
            s->low = 0x80;
            s->high = 0xbf;
            s->need--;
            p++;
        } else if (end - p >= 8 && !(load8(p) & HIGH_BITS)) {
            p += 8;
        } else if (*p < 0x80) {
            p++;
        } else if (!lead_of(*p++, s)) {
            s->bad = true;
            return false;
        }
    }
    return true;
}

bool utf8_check(struct bytes b)
{
    struct utf8_stream s = {0};
    return utf8_stream_feed(&s, b) && s.need == 0;
}

bool utf8_check_text(struct bytes b)
{
    return b.n == 0 || (!memchr(b.p, 0, b.n) && utf8_check(b));
}

/* Units whose first byte is among these eight: one a byte that is no continuation (not 10xxxxxx),
 * and one more a byte of 1111xxxx. */
static inline unsigned units_of8(uint64_t v)
{
    uint64_t continues = (v >> 7) & ~(v >> 6) & LOW_BITS;
    uint64_t long_lead = (v >> 7) & (v >> 6) & (v >> 5) & (v >> 4) & LOW_BITS;
    /* Each byte holds 0, 1 or 2; the product sums them in its highest byte, at most 16. */
    return (unsigned)(((LOW_BITS - continues + long_lead) * LOW_BITS) >> 56);
}

/* The same of 64 bytes at once: positions in long text that is not ASCII are found this way. */
#define BLOCK_BYTES 64u
typedef int8_t signed16 __attribute__((vector_size(16)));
typedef uint8_t unsigned16 __attribute__((vector_size(16)));

static inline unsigned units_of_block(const uint8_t *p)
{
    signed16 sum = {0};
    for (unsigned i = 0; i < BLOCK_BYTES; i += 16) {
        unsigned16 v;
        memcpy(&v, p + i, sizeof v);
        /* A comparison gives -1 where it holds; read as signed, continuations are below -64. */
        sum -= ((signed16)v >= -64) + (signed16)(v >= 0xf0);
    }
    uint64_t half[2];
    memcpy(half, &sum, sizeof half);
    return (unsigned)(((half[0] + half[1]) * LOW_BITS) >> 56); /* each byte at most 16 */
}

static inline unsigned units_of(uint8_t byte)
{
    return ((byte & 0xc0) != 0x80) + (byte >= 0xf0);
}

uint64_t utf16_units(struct bytes utf8)
{
    const uint8_t *p = utf8.p;
    const uint8_t *end = p + utf8.n;
    uint64_t n = 0;
    for (; end - p >= (ptrdiff_t)BLOCK_BYTES; p += BLOCK_BYTES)
        n += units_of_block(p);
    for (; end - p >= 8; p += 8)
        n += units_of8(load8(p));
    for (; p < end; p++)
        n += units_of(*p);
    return n;
}

bool utf16_offset(struct bytes utf8, uint64_t pos_u16, size_t *byte_offset)
{
    const uint8_t *p = utf8.p;
    const uint8_t *end = p + utf8.n;
    uint64_t left = pos_u16;
    /* Skip while all units that begin in these bytes lie before the position. */
    while (end - p >= (ptrdiff_t)BLOCK_BYTES) {
        unsigned n = units_of_block(p);
        if (n > left)
            break;
        left -= n;
        p += BLOCK_BYTES;
    }
    while (end - p >= 8) {
        unsigned n = units_of8(load8(p));
        if (n > left)
            break;
        left -= n;
        p += 8;
    }
    for (; p < end; p++) {
        unsigned n = units_of(*p);
        if (left == 0 && n > 0)
            break;
        if (n > left)
            return false; /* a pair, and the position between its halves */
        left -= n;
    }
    if (left > 0)
        return false;
    *byte_offset = (size_t)(p - utf8.p);
    return true;
}
