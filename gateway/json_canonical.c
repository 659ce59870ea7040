/*
 * json_canonical.c - one text for equal values: sorted keys, JavaScript's numbers, shortest
 * escapes.
 *
 * Members are written to `out` in the order they come and remembered by offset and length on a
 * stack in scratch. At an object's end they are sorted, unless they came so, and moved once by way
 * of free room.
 */
#include "gateway/json.h"

#include "net/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define INT_EXACT_MAX 9007199254740992.0 /* 2^53: up to here every whole double is exact */
#define DIGITS_MAX    17 /* significant digits that always read back as the same double */
#define DIGITS_SURE   15 /* decimals of so many digits survive a normal double */

/* ---- numbers ---- */

struct decimal {
    char digits[DIGITS_MAX + 1];
    int n;
    int exp10; /* value = 0.d1d2... x 10^exp10 */
};

static double decimal_value(const char *digits, int n, int exp10)
{
    char text[48];
    snprintf(text, sizeof text, "0.%.*se%d", n, digits, exp10);
    return strtod(text, NULL);
}

/* The n digits next to v that read back as v. Next to a power of two the nearest n digits may lie
 * outside the narrower half of v's interval and their successor inside. */
static bool digits_that_fit(double v, int n, struct decimal *d)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", n - 1, v);
    char *e = strchr(text, 'e');
    if (!e)
        return false;
    d->exp10 = atoi(e + 1) + 1;
    d->digits[0] = text[0];
    memcpy(d->digits + 1, text + 2, (size_t)(n - 1));
    d->digits[n] = 0;
    d->n = n;
    if (decimal_value(d->digits, n, d->exp10) == v)
        return true;
    int i = n - 1;
    while (i > 0 && d->digits[i] == '9')
        d->digits[i--] = '0';
    if (d->digits[i] == '9')
        return false;
    d->digits[i]++;
    return decimal_value(d->digits, n, d->exp10) == v;
}

/* Fewest digits that read back as v > 0. For a normal v: 15 digits less their zeroes, where those
 * do. Below, decimals are denser than doubles, so the count is searched; "n digits fit" is monotone
 * in n, since n digits are also n + 1. */
static void shortest(double v, struct decimal *d)
{
    int low = 1, high = DIGITS_MAX;
    if (isnormal(v))
        low = DIGITS_SURE;
    while (low < high) {
        int mid = (low + high) / 2;
        if (digits_that_fit(v, mid, d))
            high = mid;
        else
            low = mid + 1;
    }
    digits_that_fit(v, low, d);
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
}

/* ECMA-262, 6.1.6.1.20 Number::toString, radix 10. */
static void write_decimal(struct writer *w, const struct decimal *d)
{
    static const char zeroes[] = "000000000000000000000";
    struct bytes digits = bytes_of(d->digits, (size_t)d->n);
    int e = d->exp10;
    if (d->n <= e && e <= 21) {
        write_bytes(w, digits);
        write_bytes(w, bytes_of(zeroes, (size_t)(e - d->n)));
    } else if (0 < e && e <= 21) {
        write_bytes(w, bytes_of(d->digits, (size_t)e));
        write_u8(w, '.');
        write_bytes(w, bytes_of(d->digits + e, (size_t)(d->n - e)));
    } else if (-6 < e && e <= 0) {
        write_bytes(w, BYTES_LIT("0."));
        write_bytes(w, bytes_of(zeroes, (size_t)-e));
        write_bytes(w, digits);
    } else {
        write_u8(w, (uint8_t)d->digits[0]);
        if (d->n > 1) {
            write_u8(w, '.');
            write_bytes(w, bytes_of(d->digits + 1, (size_t)(d->n - 1)));
        }
        write_bytes(w, e - 1 < 0 ? BYTES_LIT("e-") : BYTES_LIT("e+"));
        json_write_u64(w, (uint64_t)abs(e - 1));
    }
}

void json_write_double(struct writer *w, double v)
{
    if (v < 0) {
        write_u8(w, '-');
        v = -v;
    }
    if (v <= INT_EXACT_MAX && floor(v) == v) {
        json_write_u64(w, (uint64_t)v); /* also -0, which JSON.stringify prints as 0 */
        return;
    }
    struct decimal d;
    shortest(v, &d);
    write_decimal(w, &d);
}

/* ---- objects ---- */

struct member {
    uint32_t offset; /* in `out` */
    uint32_t bytes;  /* key, colon, value and a comma */
};

struct canon {
    struct json j;
    struct writer *out;
    uint8_t *scratch; /* members, a stack over all open objects; then free */
    size_t scratch_bytes;
    size_t n_members;
    enum status status;
};

static bool give_up(struct canon *c, enum status s)
{
    if (c->status == STATUS_OK)
        c->status = s;
    return false;
}

static struct member member_at(const struct canon *c, size_t idx)
{
    struct member m;
    memcpy(&m, c->scratch + sizeof m * idx, sizeof m);
    return m;
}

static void member_set(struct canon *c, size_t idx, struct member m)
{
    memcpy(c->scratch + sizeof m * idx, &m, sizeof m);
}

static struct writer free_scratch(const struct canon *c)
{
    size_t used = sizeof(struct member) * c->n_members;
    return writer_of(c->scratch + used, c->scratch_bytes - used);
}

/* Next byte of a canonical string's decoded text; -1 at its closing quote. Canonical escapes stand
 * for '"', '\\' and controls alone. */
static int key_byte(const uint8_t **p)
{
    uint8_t c = *(*p)++;
    if (c == '"')
        return -1;
    if (c != '\\')
        return c;
    c = *(*p)++;
    switch (c) {
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
    case 'u': {
        uint8_t high = (*p)[2], low = (*p)[3];
        *p += 4;
        return (high - '0') * 16 + (low <= '9' ? low - '0' : low - 'a' + 10);
    }
    default:
        return c;
    }
}

/* Order of the keys of two members, by their decoded bytes. */
static int key_cmp(const struct canon *c, struct member a, struct member b)
{
    const uint8_t *p = c->out->start + a.offset + 1;
    const uint8_t *q = c->out->start + b.offset + 1;
    for (;;) {
        int x = key_byte(&p);
        int y = key_byte(&q);
        if (x != y)
            return x < y ? -1 : 1;
        if (x < 0)
            return 0;
    }
}

/* Of equal keys the later is greater, so that the order is total and the last one wins. */
static bool member_less(const struct canon *c, struct member a, struct member b)
{
    int order = key_cmp(c, a, b);
    return order ? order < 0 : a.offset < b.offset;
}

static void sift_down(struct canon *c, size_t base, size_t root, size_t n)
{
    struct member m = member_at(c, base + root);
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n)
            break;
        if (child + 1 < n &&
            member_less(c, member_at(c, base + child), member_at(c, base + child + 1)))
            child++;
        if (!member_less(c, m, member_at(c, base + child)))
            break;
        member_set(c, base + root, member_at(c, base + child));
        root = child;
    }
    member_set(c, base + root, m);
}

/* Heapsort: in place, and no order of keys makes it slow. */
static void sort_members(struct canon *c, size_t base, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(c, base, i, n);
    for (size_t i = n; i-- > 1;) {
        struct member top = member_at(c, base);
        member_set(c, base, member_at(c, base + i));
        member_set(c, base + i, top);
        sift_down(c, base, 0, i);
    }
}

/* Puts the members that lie behind `start` in `out` in order, the last of equal keys alone, by way
 * of whatever room is free: scratch, or `out` behind them. */
static bool reorder(struct canon *c, size_t base, size_t start)
{
    size_t n = c->n_members - base;
    size_t text_bytes = writer_n(c->out) - start;
    struct writer spare = free_scratch(c);
    if ((size_t)(spare.end - spare.p) < text_bytes)
        spare = writer_of(c->out->p, (size_t)(c->out->end - c->out->p));
    if ((size_t)(spare.end - spare.p) < text_bytes)
        return give_up(c, STATUS_NO_ROOM);
    sort_members(c, base, n);
    for (size_t i = 0; i < n; i++) {
        struct member m = member_at(c, base + i);
        if (i + 1 < n && key_cmp(c, m, member_at(c, base + i + 1)) == 0)
            continue;
        write_bytes(&spare, bytes_of(c->out->start + m.offset, m.bytes));
    }
    memcpy(c->out->start + start, spare.start, writer_n(&spare));
    c->out->p = c->out->start + start + writer_n(&spare);
    return true;
}

/* ---- values ---- */

static bool put_value(struct canon *c);

static bool put_string(struct canon *c, struct bytes text)
{
    json_write_string(c->out, text);
    return c->out->ok || give_up(c, STATUS_NO_ROOM);
}

/* A string needs free scratch only until it is written. */
static bool put_read_string(struct canon *c)
{
    struct bytes s;
    c->j.scratch = free_scratch(c);
    if (!json_string(&c->j, &s))
        return give_up(c, c->j.scratch.ok ? STATUS_BAD_MESSAGE : STATUS_NO_ROOM);
    return put_string(c, s);
}

static bool put_member(struct canon *c, size_t base, bool *sorted)
{
    struct bytes key;
    c->j.scratch = free_scratch(c);
    if (!json_member(&c->j, &key)) {
        if (!c->j.ok)
            give_up(c, c->j.scratch.ok ? STATUS_BAD_MESSAGE : STATUS_NO_ROOM);
        return false;
    }
    struct member m = {.offset = (uint32_t)writer_n(c->out)};
    if (!put_string(c, key))
        return false;
    if (c->n_members > base && key_cmp(c, member_at(c, c->n_members - 1), m) >= 0)
        *sorted = false;
    if (sizeof m * (c->n_members + 1) > c->scratch_bytes)
        return give_up(c, STATUS_NO_ROOM);
    size_t idx = c->n_members++;
    write_u8(c->out, ':');
    if (!put_value(c))
        return false;
    write_u8(c->out, ',');
    if (!c->out->ok)
        return give_up(c, STATUS_NO_ROOM);
    m.bytes = (uint32_t)writer_n(c->out) - m.offset;
    member_set(c, idx, m);
    return true;
}

/* Each item was written with a comma behind it: the last one becomes the bracket. */
static bool put_close(struct canon *c, size_t start, uint8_t bracket)
{
    if (writer_n(c->out) > start)
        c->out->p--;
    write_u8(c->out, bracket);
    return c->out->ok || give_up(c, STATUS_NO_ROOM);
}

static bool put_object(struct canon *c)
{
    size_t base = c->n_members;
    bool sorted = true;
    if (!json_enter(&c->j, JSON_OBJECT))
        return give_up(c, STATUS_BAD_MESSAGE);
    write_u8(c->out, '{');
    size_t start = writer_n(c->out);
    while (put_member(c, base, &sorted))
        ;
    if (c->status != STATUS_OK || (!sorted && !reorder(c, base, start)))
        return false;
    c->n_members = base;
    return put_close(c, start, '}');
}

static bool put_array(struct canon *c)
{
    if (!json_enter(&c->j, JSON_ARRAY))
        return give_up(c, STATUS_BAD_MESSAGE);
    write_u8(c->out, '[');
    size_t start = writer_n(c->out);
    while (json_element(&c->j)) {
        if (!put_value(c))
            return false;
        write_u8(c->out, ',');
    }
    if (!c->j.ok)
        return give_up(c, STATUS_BAD_MESSAGE);
    return put_close(c, start, ']');
}

static bool put_number(struct canon *c)
{
    double v;
    bool fits;
    if (!json_double(&c->j, &v, &fits) || !fits)
        return give_up(c, STATUS_BAD_MESSAGE);
    json_write_double(c->out, v);
    return true;
}

static bool put_literal(struct canon *c)
{
    struct bytes raw;
    if (!json_raw(&c->j, &raw))
        return give_up(c, STATUS_BAD_MESSAGE);
    write_bytes(c->out, raw);
    return true;
}

/* Recursion is bounded by LIMIT_JSON_DEPTH: json_enter refuses what is deeper. */
static bool put_value(struct canon *c)
{
    switch (json_peek(&c->j)) {
    case JSON_OBJECT:
        return put_object(c);
    case JSON_ARRAY:
        return put_array(c);
    case JSON_STRING:
        return put_read_string(c);
    case JSON_NUMBER:
        return put_number(c);
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        return put_literal(c);
    case JSON_NONE:
    default:
        return give_up(c, STATUS_BAD_MESSAGE);
    }
}

enum status json_canonical(struct bytes raw, struct writer *out, void *scratch,
                           size_t scratch_bytes)
{
    struct canon c = {.out = out, .scratch = scratch, .scratch_bytes = scratch_bytes};
    if (raw.n > UINT32_MAX / 8 || writer_n(out) > UINT32_MAX / 2)
        return STATUS_NO_ROOM; /* offsets are 32 bits */
    json_init(&c.j, raw, NULL, 0);
    if (put_value(&c) && !json_end(&c.j))
        give_up(&c, STATUS_BAD_MESSAGE);
    if (c.status == STATUS_OK && !out->ok)
        c.status = STATUS_NO_ROOM;
    return c.status;
}
