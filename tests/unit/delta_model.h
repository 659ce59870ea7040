/*
 * delta_model.h - what ops mean, done the slow and obvious way: a document is an array of UTF-16
 * units, each with a style of four attributes; ops are made at random and applied unit by unit. The
 * oracle for transform, compose and rope.
 */
#ifndef PENSTOCK_TESTS_UNIT_DELTA_MODEL_H
#define PENSTOCK_TESTS_UNIT_DELTA_MODEL_H

#include "base/utf.h"
#include "net/op.h"

#include <stdio.h>
#include <stdlib.h>

#define MODEL_UNITS_MAX 300000u
#define MODEL_KEYS      4u
/* One insert: 16384 characters of at most 11 bytes (a family is one here). */
#define MODEL_TEXT_BYTES_MAX (16384u * 11)
#define MODEL_EMBED          0x10000u /* `what` of an embed: this and its number */
/* A style: two bits a key. 0: not there, 1 and 2: values, 3: null. */
#define MODEL_STYLES 256u

struct model_unit {
    uint32_t what;
    uint32_t style;
};

struct model {
    size_t n;
    struct model_unit unit[MODEL_UNITS_MAX];
};

/* Numbers from a seed, or from bytes that a fuzzer chose (then 0 when they are used up). */
struct model_rng {
    uint64_t s;
    const uint8_t *p;
    const uint8_t *end;
};

static inline uint32_t model_random(struct model_rng *r, uint32_t below)
{
    if (r->p) {
        uint32_t v = r->p < r->end ? *r->p++ : 0;
        if (below > 256)
            v = v << 8 | (r->p < r->end ? *r->p++ : 0);
        return v % below;
    }
    r->s += 0x9e3779b97f4a7c15ull;
    uint64_t z = r->s;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * below >> 32);
}

/* ---- styles ---- */

static const char *const model_key[MODEL_KEYS] = {"b", "color", "i", "link"};
static const char *const model_value[4] = {NULL, "true", "{\"a\":[1,\"\u00e9\"]}", "null"};

static inline struct bytes model_block(uint32_t style, uint8_t buf[256])
{
    struct writer w = writer_of(buf, 256);
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        uint32_t v = style >> (2 * k) & 3;
        if (v) {
            write_str(&w, bytes_str(model_key[k]));
            write_str(&w, bytes_str(model_value[v]));
        }
    }
    return writer_bytes(&w);
}

static inline uint32_t model_style(struct bytes block)
{
    struct reader r = reader_of(block);
    struct attr a;
    uint32_t style = 0;
    while (attr_next(&r, &a)) {
        for (uint32_t k = 0; k < MODEL_KEYS; k++) {
            for (uint32_t v = 1; v < 4; v++) {
                if (bytes_eq(a.key, bytes_str(model_key[k])) &&
                    bytes_eq(a.value, bytes_str(model_value[v])))
                    style |= v << (2 * k);
            }
        }
    }
    return style;
}

/* A retain's style over a unit's: null removes. */
static inline uint32_t model_restyle(uint32_t style, uint32_t by)
{
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        uint32_t v = by >> (2 * k) & 3;
        if (v)
            style = (style & ~(3u << (2 * k))) | (v == 3 ? 0 : v << (2 * k));
    }
    return style;
}

/* ---- documents ---- */

static inline struct bytes model_json(uint32_t what, char buf[32])
{
    int n = snprintf(buf, 32, "{\"image\":%u}", what - MODEL_EMBED);
    return bytes_of(buf, (size_t)n);
}

static inline bool model_is_low(const struct model *m, size_t i)
{
    return i < m->n && m->unit[i].what >= 0xdc00 && m->unit[i].what < 0xe000;
}

/* The text of the character at `i`; sets how many units it takes. */
static inline size_t model_utf8(const struct model *m, size_t i, uint8_t buf[4], size_t *n_u16)
{
    uint32_t c = m->unit[i].what;
    *n_u16 = 1;
    if (c >= 0xd800 && c < 0xdc00) {
        c = 0x10000 + ((c - 0xd800) << 10) + (m->unit[i + 1].what - 0xdc00);
        *n_u16 = 2;
        buf[0] = (uint8_t)(0xf0 | c >> 18);
        buf[1] = (uint8_t)(0x80 | (c >> 12 & 63));
        buf[2] = (uint8_t)(0x80 | (c >> 6 & 63));
        buf[3] = (uint8_t)(0x80 | (c & 63));
        return 4;
    }
    if (c < 0x80) {
        buf[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        buf[0] = (uint8_t)(0xc0 | c >> 6);
        buf[1] = (uint8_t)(0x80 | (c & 63));
        return 2;
    }
    buf[0] = (uint8_t)(0xe0 | c >> 12);
    buf[1] = (uint8_t)(0x80 | (c >> 6 & 63));
    buf[2] = (uint8_t)(0x80 | (c & 63));
    return 3;
}

/* As content, a character at a time: what merges, the writer merges. */
static inline struct bytes model_content(const struct model *m, void *buf, size_t buf_bytes)
{
    struct op_writer w;
    struct bytes out = {NULL, 0};
    op_writer_init(&w, buf, buf_bytes);
    for (size_t i = 0; i < m->n;) {
        uint8_t block[256], text[4];
        char json[32];
        size_t n_u16 = 1;
        struct bytes attrs = model_block(m->unit[i].style, block);
        if (m->unit[i].what >= MODEL_EMBED) {
            op_push_embed(&w, model_json(m->unit[i].what, json), attrs);
        } else {
            size_t n = model_utf8(m, i, text, &n_u16);
            op_push_insert(&w, bytes_of(text, n), n_u16, attrs);
        }
        i += n_u16;
    }
    if (op_writer_end(&w, &out))
        abort();
    return out;
}

static inline void model_add(struct model *m, uint32_t what, uint32_t style)
{
    if (m->n == MODEL_UNITS_MAX)
        abort();
    m->unit[m->n++] = (struct model_unit){what, style};
}

static inline void model_add_text(struct model *m, struct bytes t, uint32_t style)
{
    for (size_t i = 0; i < t.n;) {
        uint32_t c = t.p[i];
        size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
        c = more ? c & (0x3fu >> more) : c;
        for (size_t k = 1; k <= more; k++)
            c = c << 6 | (t.p[i + k] & 63u);
        i += 1 + more;
        if (c >= 0x10000) {
            model_add(m, 0xd800 + ((c - 0x10000) >> 10), style);
            model_add(m, 0xdc00 + ((c - 0x10000) & 0x3ff), style);
        } else {
            model_add(m, c, style);
        }
    }
}

/* False where the op reaches past the end or cuts a pair; `m` is then untouched. */
static inline bool model_apply(struct model *m, struct bytes op)
{
    static struct model out;
    struct op_reader r = op_reader_of(op);
    struct op_part part;
    size_t at = 0;
    out.n = 0;
    while (op_next(&r, &part)) {
        uint32_t style = model_style(part.attrs);
        if (part.kind == OP_INSERT) {
            model_add_text(&out, part.text, style);
        } else if (part.kind == OP_EMBED) {
            model_add(&out, MODEL_EMBED + (uint32_t)atoi((const char *)part.text.p + 9), style);
        } else {
            if (part.n_u16 > m->n - at || model_is_low(m, at + part.n_u16))
                return false;
            for (size_t i = 0; i < part.n_u16 && part.kind == OP_RETAIN; i++)
                model_add(&out, m->unit[at + i].what, model_restyle(m->unit[at + i].style, style));
            at += part.n_u16;
        }
    }
    for (; at < m->n; at++)
        model_add(&out, m->unit[at].what, m->unit[at].style);
    m->n = out.n;
    memcpy(m->unit, out.unit, out.n * sizeof out.unit[0]);
    return r.r.ok;
}

/* ---- random ops ---- */

struct model_taste {
    bool rich;
    uint32_t parts_max;
    uint32_t text_max;      /* characters an insert */
    uint32_t span_max;      /* units a retain or delete */
    uint32_t per_cent_wild; /* characters that are not ASCII */
};

static inline size_t model_random_text(struct model_rng *rng, const struct model_taste *t,
                                       uint8_t *buf)
{
    static const char *const wild[] = {
        "\u00e9", "e\u0301", "\u20ac", "\U0001f600", "\U0001f468\u200d\U0001f469", "\u0439", "\n"};
    uint32_t n = 1 + model_random(rng, t->text_max);
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (model_random(rng, 100) < t->per_cent_wild) {
            const char *s = wild[model_random(rng, sizeof wild / sizeof wild[0])];
            memcpy(buf + at, s, strlen(s));
            at += strlen(s);
        } else {
            buf[at++] = (uint8_t)('a' + model_random(rng, 26));
        }
    }
    return at;
}

static inline uint32_t model_random_style(struct model_rng *rng, bool with_null)
{
    uint32_t style = 0;
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        if (model_random(rng, 3) == 0)
            style |= (1 + model_random(rng, with_null ? 3 : 2)) << (2 * k);
    }
    return style;
}

static inline void model_push_insert(struct op_writer *w, struct model_rng *rng,
                                     const struct model_taste *t, uint32_t style)
{
    static uint8_t text[MODEL_TEXT_BYTES_MAX];
    uint8_t block[256];
    char json[32];
    struct bytes attrs = model_block(style, block);
    if (t->rich && model_random(rng, 6) == 0) {
        op_push_embed(w, model_json(MODEL_EMBED + model_random(rng, 1000), json), attrs);
        return;
    }
    struct bytes s = bytes_of(text, model_random_text(rng, t, text));
    op_push_insert(w, s, utf16_units(s), attrs);
}

/* A valid op on `m`, in normal form. */
static inline struct bytes model_random_op(const struct model *m, struct model_rng *rng,
                                           const struct model_taste *t, void *buf, size_t buf_bytes)
{
    struct op_writer w;
    struct bytes op = {NULL, 0};
    uint8_t block[256];
    size_t at = 0;
    uint32_t n = 1 + model_random(rng, t->parts_max);
    op_writer_init(&w, buf, buf_bytes);
    if (m->n && model_random(rng, 4)) { /* somewhere */
        at = model_random(rng, (uint32_t)m->n);
        at += model_is_low(m, at);
        op_push_retain(&w, at, (struct bytes){NULL, 0});
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t kind = model_random(rng, 4);
        uint32_t style = t->rich && model_random(rng, 2) ? model_random_style(rng, kind > 1) : 0;
        if (kind == 0 || at == m->n) {
            model_push_insert(&w, rng, t, style & 0x55 ? style & 0x55 : 0);
            continue;
        }
        size_t span = 1 + model_random(rng, t->span_max);
        span = span > m->n - at ? m->n - at : span;
        span += model_is_low(m, at + span);
        if (kind == 1)
            op_push_delete(&w, span);
        else
            op_push_retain(&w, span, model_block(style, block));
        at += span;
    }
    if (op_writer_end(&w, &op))
        abort();
    return op;
}

#endif
