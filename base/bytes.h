/*
 * bytes.h - slices, and bounded cursors over them.
 *
 * `struct bytes` is a slice that owns nothing. `struct reader` takes fields off a slice; `struct
 * writer` puts fields into a fixed buffer. Both are bounds-checked and their failure is sticky:
 * after the first step past the end everything reads as 0 / writes nothing, and `ok` stays false.
 * So code can read a whole record and ask once. Bytes from outside can't crash a reader.
 *
 * Fixed-width fields are little-endian. Varints are LEB128 of at most 10 bytes, 64 bits; an
 * overlong or overflowing one fails. A `str` field is a varint length and that many bytes.
 *
 * Any thread; no allocation; header only (the hot path inlines it).
 */
#ifndef PENSTOCK_BASE_BYTES_H
#define PENSTOCK_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little-endian");

struct bytes {
    const uint8_t *p;
    size_t n;
};

#define BYTES_LIT(s)     ((struct bytes){(const uint8_t *)(s), sizeof(s) - 1})
#define VARINT_BYTES_MAX 10

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){(const uint8_t *)p, n};
}

static inline struct bytes bytes_str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Order as memcmp over the common prefix, then the shorter first. */
static inline int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* ---- reader ---- */

struct reader {
    const uint8_t *p;
    const uint8_t *end;
    bool ok;
};

static inline struct reader reader_of(struct bytes b)
{
    return (struct reader){b.p, b.n ? b.p + b.n : b.p, true}; /* NULL + 0 is undefined in C */
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

static inline bool reader_fail(struct reader *r)
{
    r->ok = false;
    r->p = r->end;
    return false;
}

static inline bool reader_need(struct reader *r, size_t n)
{
    return reader_left(r) >= n ? true : reader_fail(r);
}

#define READER_FIXED(name, type)                                                                   \
    static inline type name(struct reader *r)                                                      \
    {                                                                                              \
        type v = 0;                                                                                \
        if (reader_need(r, sizeof v)) {                                                            \
            memcpy(&v, r->p, sizeof v);                                                            \
            r->p += sizeof v;                                                                      \
        }                                                                                          \
        return v;                                                                                  \
    }
READER_FIXED(read_u8, uint8_t)
READER_FIXED(read_u16, uint16_t)
READER_FIXED(read_u32, uint32_t)
READER_FIXED(read_u64, uint64_t)
#undef READER_FIXED

static inline uint64_t read_varint(struct reader *r)
{
    if (r->p < r->end && *r->p < 0x80)
        return *r->p++;
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->p == r->end)
            break;
        uint8_t b = *r->p++;
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            if (b == 0 &&
                shift) /* overlong: one value has one encoding, since records are hashed */
                break;
            return v;
        }
    }
    reader_fail(r);
    return 0;
}

/* A slice of the input; empty after a failure. */
static inline struct bytes read_bytes(struct reader *r, size_t n)
{
    struct bytes b = {r->p, 0};
    if (reader_need(r, n)) {
        b.n = n;
        r->p += n;
    }
    return b;
}

static inline struct bytes read_str(struct reader *r)
{
    uint64_t n = read_varint(r);
    if (n > reader_left(r)) {
        reader_fail(r);
        return (struct bytes){r->p, 0};
    }
    return read_bytes(r, (size_t)n);
}

static inline struct bytes read_rest(struct reader *r)
{
    return read_bytes(r, reader_left(r));
}

/* ---- writer ---- */

struct writer {
    uint8_t *p;
    uint8_t *start;
    uint8_t *end;
    bool ok;
};

static inline struct writer writer_of(void *buf, size_t n)
{
    return (struct writer){(uint8_t *)buf, (uint8_t *)buf, (uint8_t *)buf + n, true};
}

static inline size_t writer_n(const struct writer *w)
{
    return (size_t)(w->p - w->start);
}

static inline struct bytes writer_bytes(const struct writer *w)
{
    return (struct bytes){w->start, writer_n(w)};
}

static inline bool writer_need(struct writer *w, size_t n)
{
    if ((size_t)(w->end - w->p) >= n && w->ok)
        return true;
    w->ok = false;
    return false;
}

#define WRITER_FIXED(name, type)                                                                   \
    static inline void name(struct writer *w, type v)                                              \
    {                                                                                              \
        if (writer_need(w, sizeof v)) {                                                            \
            memcpy(w->p, &v, sizeof v);                                                            \
            w->p += sizeof v;                                                                      \
        }                                                                                          \
    }
WRITER_FIXED(write_u8, uint8_t)
WRITER_FIXED(write_u16, uint16_t)
WRITER_FIXED(write_u32, uint32_t)
WRITER_FIXED(write_u64, uint64_t)
#undef WRITER_FIXED

static inline size_t varint_bytes(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

static inline void write_varint(struct writer *w, uint64_t v)
{
    if (!writer_need(w, v < 0x80 ? 1 : varint_bytes(v)))
        return;
    while (v >= 0x80) {
        *w->p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *w->p++ = (uint8_t)v;
}

static inline void write_bytes(struct writer *w, struct bytes b)
{
    if (b.n && writer_need(w, b.n)) {
        memcpy(w->p, b.p, b.n);
        w->p += b.n;
    }
}

static inline void write_str(struct writer *w, struct bytes b)
{
    write_varint(w, b.n);
    write_bytes(w, b);
}

#endif
