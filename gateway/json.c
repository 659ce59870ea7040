/* json.c - the pulling reader and the writer; see json.h. Canonical form is in json_canonical.c. */
#include "gateway/json.h"

#include "base/clock.h"
#include "base/utf.h"
#include "net/limits.h"

#include <math.h>
#include <stdlib.h>

#define ONES            0x0101010101010101ull
#define HIGHS           0x8080808080808080ull
#define WHOLE_MAX       9007199254740991ull /* 2^53 - 1 */
#define DIGITS_FAST_MAX 15                  /* decimal digits that surely stay below WHOLE_MAX */

_Static_assert(LIMIT_JSON_DEPTH < 64, "one bit a depth");

static bool fail(struct json *j)
{
    j->ok = false;
    reader_fail(&j->r);
    return false;
}

void json_init(struct json *j, struct bytes in, void *scratch, size_t scratch_bytes)
{
    *j = (struct json){.scratch.ok = true, .ok = true};
    j->r = reader_of(in.p ? in : BYTES_LIT("")); /* nothing may be added to a null pointer */
    if (scratch)
        j->scratch = writer_of(scratch, scratch_bytes);
}

/* The next byte that is no white space, without taking it; 0 at the end (a NUL is never valid). */
static inline uint8_t peek_byte(struct json *j)
{
    const uint8_t *p = j->r.p;
    while (p < j->r.end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    j->r.p = p;
    return p < j->r.end ? *p : 0;
}

enum json_kind json_peek(struct json *j)
{
    switch (peek_byte(j)) {
    case '"':
        return JSON_STRING;
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    case '-':
    case '0' ... '9':
        return JSON_NUMBER;
    default:
        return JSON_NONE;
    }
}

bool json_enter(struct json *j, enum json_kind kind)
{
    uint8_t open = kind == JSON_ARRAY ? '[' : '{';
    if (peek_byte(j) != open || j->depth >= LIMIT_JSON_DEPTH)
        return fail(j);
    j->r.p++;
    j->first |= 1ull << j->depth;
    j->depth++;
    return true;
}

/* Steps over the comma before the next item, or out at `close`. True: an item has to come. */
static inline bool next_item(struct json *j, uint8_t close)
{
    if (j->depth == 0)
        return fail(j);
    uint64_t bit = 1ull << (j->depth - 1);
    uint8_t c = peek_byte(j);
    if (c == close) {
        j->r.p++;
        j->depth--;
        j->first &= ~bit;
        return false;
    }
    if (j->first & bit) {
        j->first &= ~bit;
        return c ? true : fail(j);
    }
    if (c != ',')
        return fail(j);
    j->r.p++;
    return true;
}

bool json_member(struct json *j, struct bytes *key)
{
    if (!next_item(j, '}') || !json_string(j, key))
        return false;
    if (peek_byte(j) != ':')
        return fail(j);
    j->r.p++;
    return true;
}

bool json_element(struct json *j)
{
    return next_item(j, ']');
}

/* ---- strings ---- */

/* High bit set in each byte of x that ends a plain run: '"', '\\' or a control. The lowest set bit
 * is exact; those above it may be borrows. */
static inline uint64_t stop_mask(uint64_t x)
{
    uint64_t quote = x ^ (ONES * '"');
    uint64_t slash = x ^ (ONES * '\\');
    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | ((x - ONES * 0x20) & ~x)) &
           HIGHS;
}

/* First byte at or after p that is '"', '\\' or a control; `end` where there is none. Any byte of
 * 0x80 and up that was met shows in *seen's high bits. */
static inline const uint8_t *plain_run(const uint8_t *p, const uint8_t *end, uint64_t *seen)
{
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t stop = stop_mask(x);
        if (stop) {
            unsigned n = (unsigned)__builtin_ctzll(stop) / 8;
            *seen |= n ? x << (64 - 8 * n) : 0;
            return p + n;
        }
        *seen |= x;
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) {
        *seen |= *p;
        p++;
    }
    return p;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX; -1: none. */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 4)
        return -1;
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* The code point of the \u escape whose digits begin at *p; *p moves behind it. 0: refused (NUL, or
 * half of a surrogate pair). */
static uint32_t unescape_u(const uint8_t **p, const uint8_t *end)
{
    int32_t hi = hex4(*p, end);
    if (hi <= 0 || (hi >= 0xdc00 && hi <= 0xdfff))
        return 0;
    *p += 4;
    if (hi < 0xd800 || hi > 0xdbff)
        return (uint32_t)hi;
    if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return 0;
    int32_t lo = hex4(*p + 2, end);
    if (lo < 0xdc00 || lo > 0xdfff)
        return 0;
    *p += 6;
    return 0x10000u + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00);
}

static uint8_t *put_utf8(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (uint8_t)c;
    } else if (c < 0x800) {
        *out++ = (uint8_t)(0xc0 | c >> 6);
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (uint8_t)(0xe0 | c >> 12);
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    } else {
        *out++ = (uint8_t)(0xf0 | c >> 18);
        *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    }
    return out;
}

static uint8_t unescape_one(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* Decodes a string's inside into `out` (never longer than the input); NULL: a bad escape. Where
 * `out` is NULL it only checks, and any other pointer means "fine". */
static const uint8_t *unescape(const uint8_t *p, const uint8_t *end, uint8_t *out)
{
    uint8_t spare[4];
    bool keep = out != NULL;
    while (p < end) {
        if (*p != '\\') {
            const uint8_t *next = memchr(p, '\\', (size_t)(end - p));
            size_t n = (size_t)((next ? next : end) - p);
            if (keep) {
                memcpy(out, p, n);
                out += n;
            }
            p += n;
            continue;
        }
        if (end - p < 2)
            return NULL;
        uint32_t c = p[1];
        p += 2;
        c = c == 'u' ? unescape_u(&p, end) : unescape_one((uint8_t)c);
        if (c == 0)
            return NULL;
        if (keep)
            out = put_utf8(out, c);
        else
            put_utf8(spare, c);
    }
    return keep ? out : end;
}

/* A string's text between its quotes; *escaped: it holds escapes, which are not checked yet. */
static inline bool scan_string(struct json *j, struct bytes *raw, bool *escaped)
{
    if (peek_byte(j) != '"')
        return fail(j);
    const uint8_t *start = j->r.p + 1;
    const uint8_t *end = j->r.end;
    const uint8_t *p = start;
    uint64_t seen = 0;
    *escaped = false;
    for (;;) {
        p = plain_run(p, end, &seen);
        if (p == end || *p < 0x20)
            return fail(j);
        if (*p == '"')
            break;
        *escaped = true;
        if (end - p < 2)
            return fail(j);
        seen |= p[1];
        p += 2;
    }
    *raw = bytes_of(start, (size_t)(p - start));
    if ((seen & HIGHS) && !utf8_check(*raw))
        return fail(j);
    j->r.p = p + 1;
    return true;
}

bool json_string(struct json *j, struct bytes *s)
{
    struct bytes raw;
    bool escaped;
    if (!scan_string(j, &raw, &escaped))
        return false;
    if (!escaped) {
        *s = raw;
        return true;
    }
    struct writer *w = &j->scratch;
    if (!writer_need(w, raw.n))
        return fail(j);
    const uint8_t *end = unescape(raw.p, raw.p + raw.n, w->p);
    if (!end)
        return fail(j);
    *s = bytes_of(w->p, (size_t)(end - w->p));
    w->p += s->n;
    return true;
}

static bool skip_string(struct json *j)
{
    struct bytes raw;
    bool escaped;
    if (!scan_string(j, &raw, &escaped))
        return false;
    return !escaped || unescape(raw.p, raw.p + raw.n, NULL) ? true : fail(j);
}

/* ---- numbers and literals ---- */

static const uint8_t *digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

bool json_raw_number(struct json *j, struct bytes *text)
{
    if (json_peek(j) != JSON_NUMBER)
        return fail(j);
    const uint8_t *start = j->r.p;
    const uint8_t *end = j->r.end;
    const uint8_t *p = start + (*start == '-');
    const uint8_t *q = digits(p, end);
    if (q == p || (*p == '0' && q - p > 1))
        return fail(j);
    p = q;
    if (p < end && *p == '.') {
        q = digits(p + 1, end);
        if (q == p + 1)
            return fail(j);
        p = q;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        q = digits(p, end);
        if (q == p)
            return fail(j);
        p = q;
    }
    *text = bytes_of(start, (size_t)(p - start));
    j->r.p = p;
    return true;
}

/* strtod reads the C locale here: nothing in the product calls setlocale. */
bool json_double(struct json *j, double *v, bool *fits)
{
    struct bytes text;
    char buf[JSON_NUMBER_BYTES_MAX + 1];
    if (!json_raw_number(j, &text))
        return false;
    *fits = false;
    if (text.n > JSON_NUMBER_BYTES_MAX)
        return true;
    memcpy(buf, text.p, text.n);
    buf[text.n] = 0;
    double d = strtod(buf, NULL);
    if (isfinite(d)) {
        *v = d;
        *fits = true;
    }
    return true;
}

bool json_whole(struct json *j, uint64_t *v, bool *whole)
{
    uint8_t c = peek_byte(j);
    const uint8_t *start = j->r.p;
    *whole = false;
    if (c >= '0' && c <= '9') {
        const uint8_t *p = start;
        uint64_t n = 0;
        while (p < j->r.end && *p >= '0' && *p <= '9' && p - start <= DIGITS_FAST_MAX)
            n = n * 10 + (uint64_t)(*p++ - '0');
        bool more = p < j->r.end && ((*p >= '0' && *p <= '9') || *p == '.' || (*p | 0x20) == 'e');
        if (!more && p - start <= DIGITS_FAST_MAX && (c != '0' || p - start == 1)) {
            j->r.p = p;
            *v = n;
            *whole = true;
            return true;
        }
    }
    double d;
    bool fits;
    if (!json_double(j, &d, &fits))
        return false;
    if (fits && d >= 0 && d <= (double)WHOLE_MAX && floor(d) == d) {
        *v = (uint64_t)d;
        *whole = true;
    }
    return true;
}

static bool literal(struct json *j, const char *text, size_t n)
{
    peek_byte(j);
    if (reader_left(&j->r) < n || memcmp(j->r.p, text, n) != 0)
        return fail(j);
    j->r.p += n;
    return true;
}

bool json_bool(struct json *j, bool *b)
{
    bool is_true = peek_byte(j) == 't';
    if (!(is_true ? literal(j, "true", 4) : literal(j, "false", 5)))
        return false;
    *b = is_true;
    return true;
}

bool json_null(struct json *j)
{
    return literal(j, "null", 4);
}

/* ---- any value ---- */

static bool skip_scalar(struct json *j, enum json_kind kind)
{
    struct bytes text;
    bool b;
    switch (kind) {
    case JSON_STRING:
        return skip_string(j);
    case JSON_NUMBER:
        return json_raw_number(j, &text);
    case JSON_TRUE:
    case JSON_FALSE:
        return json_bool(j, &b);
    case JSON_NULL:
        return json_null(j);
    case JSON_NONE:
    case JSON_ARRAY:
    case JSON_OBJECT:
    default:
        return fail(j);
    }
}

/* Walks with one bit a depth instead of recursion, so that depth costs a stranger's bytes and not
 * our stack. */
bool json_skip(struct json *j)
{
    uint64_t is_object = 0;
    uint32_t base = j->depth;
    do {
        if (j->depth > base) {
            bool in_object = is_object >> j->depth & 1;
            if (!next_item(j, in_object ? '}' : ']')) {
                if (!j->ok)
                    return false;
                continue;
            }
            if (in_object) {
                if (!skip_string(j))
                    return false;
                if (peek_byte(j) != ':')
                    return fail(j);
                j->r.p++;
            }
        }
        enum json_kind kind = json_peek(j);
        if (kind == JSON_ARRAY || kind == JSON_OBJECT) {
            if (!json_enter(j, kind))
                return false;
            is_object &= ~(1ull << j->depth);
            is_object |= (uint64_t)(kind == JSON_OBJECT) << j->depth;
        } else if (!skip_scalar(j, kind)) {
            return false;
        }
    } while (j->depth > base);
    return true;
}

bool json_raw(struct json *j, struct bytes *raw)
{
    peek_byte(j);
    const uint8_t *start = j->r.p;
    if (!json_skip(j))
        return false;
    *raw = bytes_of(start, (size_t)(j->r.p - start));
    return true;
}

bool json_end(struct json *j)
{
    if (!j->ok || j->depth != 0)
        return false;
    peek_byte(j);
    return j->r.p == j->r.end ? true : fail(j);
}

/* ---- writer ---- */

static uint8_t *escape(uint8_t *p, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    *p++ = '\\';
    if (c >= 0x20) {
        *p++ = c;
    } else if (shorts[c]) {
        *p++ = (uint8_t)shorts[c];
    } else {
        memcpy(p, "u00", 3);
        p[3] = (uint8_t)hex[c >> 4];
        p[4] = (uint8_t)hex[c & 15];
        p += 5;
    }
    return p;
}

/* Runs of what needs no escape are written at once. */
void json_write_text(struct writer *w, struct bytes utf8)
{
    const uint8_t *p = utf8.p;
    const uint8_t *end = utf8.p + utf8.n;
    uint64_t seen = 0;
    while (p < end) {
        const uint8_t *stop = plain_run(p, end, &seen);
        write_bytes(w, bytes_of(p, (size_t)(stop - p)));
        p = stop;
        if (p == end)
            break;
        uint8_t text[6];
        write_bytes(w, bytes_of(text, (size_t)(escape(text, *p++) - text)));
    }
}

void json_write_string(struct writer *w, struct bytes utf8)
{
    write_u8(w, '"');
    json_write_text(w, utf8);
    write_u8(w, '"');
}

void json_write_u64(struct writer *w, uint64_t v)
{
    uint8_t text[20];
    uint8_t *p = text + sizeof text;
    do {
        *--p = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v);
    write_bytes(w, bytes_of(p, (size_t)(text + sizeof text - p)));
}

void json_write_lit(struct writer *w, const char *text)
{
    write_bytes(w, bytes_str(text));
}

void json_write_time(struct writer *w, uint64_t unix_ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_text(unix_ms, text);
    write_u8(w, '"');
    write_bytes(w, bytes_of(text, CLOCK_TEXT_BYTES - 1));
    write_u8(w, '"');
}

void json_write_hash(struct writer *w, uint64_t hash)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t text[18];
    text[0] = text[17] = '"';
    for (int i = 0; i < 16; i++)
        text[1 + i] = (uint8_t)hex[hash >> (60 - 4 * i) & 15];
    write_bytes(w, bytes_of(text, sizeof text));
}
