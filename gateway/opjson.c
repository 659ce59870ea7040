/* opjson.c - reads ops and content from JSON; see opjson.h. */
#include "gateway/opjson.h"

#include "base/utf.h"
#include "net/limits.h"

#define LENGTH_MAX         9007199254740991ull /* 2^53 - 1 */
#define VARINT32_BYTES_MAX 5

/* Empty, but not a null pointer: cursors add to it. */
#define NONE BYTES_LIT("")

/* ---- the members of an op object, as they came ---- */

enum form { FORM_NONE, FORM_INSERT, FORM_DELETE, FORM_FORMAT, FORM_DELTA };

/* A member's state; it is judged only if its form uses it. */
enum have { HAVE_NONE, HAVE_GOOD, HAVE_BAD };

struct members {
    enum form form;
    enum have pos, len, str, client_id, seq, version;
    uint64_t pos_u16, len_u16;
    struct bytes text;
    struct bytes attributes; /* raw; empty: none */
    struct bytes ops;        /* raw; empty: none */
};

static bool is(struct bytes key, const char *name, size_t n)
{
    return key.n == n && memcmp(key.p, name, n) == 0;
}

#define IS(key, name) is((key), (name), sizeof(name) - 1)

static enum form form_of(struct bytes name)
{
    if (IS(name, "insert"))
        return FORM_INSERT;
    if (IS(name, "delete"))
        return FORM_DELETE;
    if (IS(name, "format"))
        return FORM_FORMAT;
    return IS(name, "delta") ? FORM_DELTA : FORM_NONE;
}

/* The readers of values below fail only where the input is not JSON. */

static bool take_whole(struct json *j, enum have *have, uint64_t *v)
{
    bool whole;
    *have = HAVE_BAD;
    if (json_peek(j) != JSON_NUMBER)
        return json_skip(j);
    if (!json_whole(j, v, &whole))
        return false;
    if (whole)
        *have = HAVE_GOOD;
    return true;
}

static bool take_string(struct json *j, enum have *have, struct bytes *s)
{
    *have = HAVE_BAD;
    if (json_peek(j) != JSON_STRING)
        return json_skip(j);
    *have = HAVE_GOOD;
    return json_string(j, s);
}

static bool take_seq(struct json *j, struct members *m, struct opjson *out)
{
    if (json_peek(j) == JSON_NULL) {
        m->seq = HAVE_NONE;
        return json_null(j);
    }
    if (!take_whole(j, &m->seq, &out->seq))
        return false;
    if (m->seq == HAVE_GOOD && out->seq == 0)
        m->seq = HAVE_BAD;
    return true;
}

static bool take_client_id(struct json *j, struct members *m, struct opjson *out)
{
    if (json_peek(j) != JSON_NULL)
        return take_string(j, &m->client_id, &out->client_id);
    m->client_id = HAVE_NONE;
    return json_null(j);
}

static bool take_form(struct json *j, struct members *m)
{
    struct bytes name;
    m->form = FORM_NONE;
    if (json_peek(j) != JSON_STRING)
        return json_skip(j);
    if (!json_string(j, &name))
        return false;
    m->form = form_of(name);
    return true;
}

static bool take_member(struct json *j, struct bytes key, struct members *m, struct opjson *out)
{
    if (IS(key, "pos"))
        return take_whole(j, &m->pos, &m->pos_u16);
    if (IS(key, "str"))
        return take_string(j, &m->str, &m->text);
    if (IS(key, "len"))
        return take_whole(j, &m->len, &m->len_u16);
    if (IS(key, "seq"))
        return take_seq(j, m, out);
    if (IS(key, "ops"))
        return json_raw(j, &m->ops);
    if (IS(key, "type"))
        return take_form(j, m);
    if (IS(key, "version"))
        return take_whole(j, &m->version, &out->version);
    if (IS(key, "client_id"))
        return take_client_id(j, m, out);
    if (IS(key, "attributes"))
        return json_raw(j, &m->attributes);
    return json_skip(j);
}

static bool take_members(struct json *j, struct members *m, struct opjson *out)
{
    struct bytes key;
    *m = (struct members){.form = FORM_NONE, .attributes = NONE, .ops = NONE};
    *out = (struct opjson){.op = NONE, .client_id = NONE};
    if (!json_enter(j, JSON_OBJECT))
        return false;
    while (json_member(j, &key))
        if (!take_member(j, key, m, out))
            return false;
    out->has_client_id = m->client_id == HAVE_GOOD;
    out->has_seq = m->seq == HAVE_GOOD;
    out->has_version = m->version == HAVE_GOOD;
    out->is_format = m->form == FORM_FORMAT;
    if (!out->has_client_id)
        out->client_id = NONE;
    if (!out->has_seq)
        out->seq = 0;
    if (!out->has_version)
        out->version = 0;
    return j->ok;
}

/* ---- building the op ---- */

struct build {
    struct writer strings; /* the reader's scratch, handed on to readers of raw members */
    struct writer values;  /* attribute blocks and embeds: they last until the op is ended */
    struct op_writer ow;
    uint32_t parts_max;
    uint32_t n_parts;
    uint64_t base_u16; /* sum of retains and deletes: the op writer adds them up unchecked */
    bool content;      /* inserts alone */
};

static struct json json_of_raw(const struct build *b, struct bytes raw)
{
    struct json j;
    json_init(&j, raw, NULL, 0);
    j.scratch = b->strings;
    return j;
}

/* Canonical form of `raw` (checked JSON) at the end of b->values. Half of what is left serves as
 * scratch for sorting. */
static enum status put_canonical(struct build *b, struct bytes raw, struct bytes *out)
{
    struct writer *v = &b->values;
    size_t half = (size_t)(v->end - v->p) / 2;
    struct writer w = writer_of(v->p, half);
    enum status s = json_canonical(raw, &w, v->p + half, (size_t)(v->end - v->p) - half);
    if (s != STATUS_OK) /* it is JSON, so what is bad is a number past all range */
        return s == STATUS_NO_ROOM ? STATUS_TOO_LARGE : STATUS_OP_INVALID;
    *out = writer_bytes(&w);
    v->p = w.p;
    return STATUS_OK;
}

/* Appends `str value`: the canonical text comes behind the longest length, and moves down. */
static enum status put_attr_value(struct build *b, struct bytes raw)
{
    struct writer *v = &b->values;
    uint8_t *start = v->p;
    struct bytes text;
    if (raw.n <= 5 && raw.p[0] > '9') { /* true, false, null: canonical as they stand */
        write_str(v, raw);
        return v->ok ? STATUS_OK : STATUS_TOO_LARGE;
    }
    if (!writer_need(v, VARINT32_BYTES_MAX))
        return STATUS_TOO_LARGE;
    v->p += VARINT32_BYTES_MAX;
    enum status s = put_canonical(b, raw, &text);
    if (s != STATUS_OK)
        return s;
    v->p = start;
    write_varint(v, text.n);
    memmove(v->p, text.p, text.n);
    v->p += text.n;
    return STATUS_OK;
}

struct pair {
    struct bytes key;
    struct bytes raw;
};

/* Puts a pair at its place among `pairs`, which are sorted by key; the last of equal keys wins. */
static bool pair_insert(struct pair *pairs, uint32_t *n, struct pair p)
{
    uint32_t at = *n;
    while (at > 0 && bytes_cmp(pairs[at - 1].key, p.key) > 0)
        at--;
    if (at > 0 && bytes_eq(pairs[at - 1].key, p.key)) {
        pairs[at - 1] = p;
        return true;
    }
    if (*n == LIMIT_ATTR_PAIRS)
        return false;
    memmove(pairs + at + 1, pairs + at, (*n - at) * sizeof *pairs);
    pairs[at] = p;
    ++*n;
    return true;
}

/* Members of Object.prototype: quill-delta looks attributes up on plain objects, where these are
 * never undefined, so that clients would come to different contents. */
static bool is_inherited(struct bytes key)
{
    static const struct bytes names[] = {
        BYTES_LIT("constructor"),          BYTES_LIT("toString"),
        BYTES_LIT("toLocaleString"),       BYTES_LIT("valueOf"),
        BYTES_LIT("hasOwnProperty"),       BYTES_LIT("isPrototypeOf"),
        BYTES_LIT("propertyIsEnumerable"), BYTES_LIT("__proto__"),
        BYTES_LIT("__defineGetter__"),     BYTES_LIT("__defineSetter__"),
        BYTES_LIT("__lookupGetter__"),     BYTES_LIT("__lookupSetter__"),
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (bytes_eq(key, names[i]))
            return true;
    return false;
}

/* An `attributes` member as a block (empty: none). `raw` empty: the member is absent. */
static enum status read_attrs(struct build *b, struct bytes raw, bool keep_null,
                              struct bytes *block)
{
    struct pair pairs[LIMIT_ATTR_PAIRS];
    uint32_t n = 0;
    *block = NONE;
    if (raw.n == 0 || raw.p[0] == 'n')
        return STATUS_OK;
    if (raw.p[0] != '{')
        return STATUS_OP_INVALID;
    struct json j = json_of_raw(b, raw);
    struct pair p;
    json_enter(&j, JSON_OBJECT);
    while (json_member(&j, &p.key) && json_raw(&j, &p.raw)) {
        if (is_inherited(p.key))
            return STATUS_OP_INVALID;
        if (!pair_insert(pairs, &n, p))
            return STATUS_TOO_LARGE;
    }
    b->strings = j.scratch;
    if (!j.ok)
        return STATUS_TOO_LARGE; /* checked before: only the scratch can have ended */
    uint8_t *start = b->values.p;
    for (uint32_t i = 0; i < n; i++) {
        if (!keep_null && pairs[i].raw.p[0] == 'n')
            continue;
        write_str(&b->values, pairs[i].key);
        enum status s = put_attr_value(b, pairs[i].raw);
        if (s != STATUS_OK)
            return s;
    }
    *block = bytes_of(start, (size_t)(b->values.p - start));
    return STATUS_OK;
}

static enum status push_text(struct build *b, struct bytes text, struct bytes attrs_raw)
{
    struct bytes attrs;
    if (text.n == 0)
        return STATUS_OP_INVALID;
    enum status s = read_attrs(b, attrs_raw, false, &attrs);
    if (s == STATUS_OK)
        op_push_insert(&b->ow, text, utf16_units(text), attrs);
    return s;
}

/* ---- delta ---- */

/* One entry of a delta: exactly one of insert, retain and delete. */
struct entry {
    struct bytes insert, retain, erase, attributes; /* raw; empty: absent */
};

static bool read_entry(struct json *j, struct entry *e)
{
    struct bytes key;
    *e = (struct entry){NONE, NONE, NONE, NONE};
    if (json_peek(j) != JSON_OBJECT)
        return false;
    json_enter(j, JSON_OBJECT);
    while (json_member(j, &key)) {
        struct bytes raw;
        if (!json_raw(j, &raw))
            return false;
        if (IS(key, "insert"))
            e->insert = raw;
        else if (IS(key, "retain"))
            e->retain = raw;
        else if (IS(key, "delete"))
            e->erase = raw;
        else if (IS(key, "attributes"))
            e->attributes = raw;
    }
    return j->ok && (e->insert.n != 0) + (e->retain.n != 0) + (e->erase.n != 0) == 1;
}

/* A retain's or delete's length. */
static bool take_length(struct build *b, struct bytes raw, uint64_t *n)
{
    struct json j = json_of_raw(b, raw);
    bool whole;
    if (json_peek(&j) != JSON_NUMBER || !json_whole(&j, n, &whole) || !whole || *n == 0)
        return false;
    b->base_u16 += *n;
    return b->base_u16 <= LENGTH_MAX;
}

static enum status push_insert(struct build *b, const struct entry *e)
{
    struct json j = json_of_raw(b, e->insert);
    struct bytes text, attrs;
    enum json_kind kind = json_peek(&j);
    if (kind == JSON_STRING) {
        if (!json_string(&j, &text))
            return STATUS_TOO_LARGE;
        b->strings = j.scratch;
        return push_text(b, text, e->attributes);
    }
    if (kind != JSON_OBJECT)
        return STATUS_OP_INVALID;
    enum status s = put_canonical(b, e->insert, &text);
    if (s == STATUS_OK)
        s = read_attrs(b, e->attributes, false, &attrs);
    if (s == STATUS_OK)
        op_push_embed(&b->ow, text, attrs);
    return s;
}

static enum status push_entry(struct build *b, const struct entry *e)
{
    uint64_t n;
    struct bytes attrs;
    if (e->insert.n)
        return push_insert(b, e);
    if (b->content)
        return STATUS_OP_INVALID;
    if (e->erase.n) {
        bool bare = e->attributes.n == 0 || e->attributes.p[0] == 'n';
        if (!bare || !take_length(b, e->erase, &n))
            return STATUS_OP_INVALID;
        op_push_delete(&b->ow, n);
        return STATUS_OK;
    }
    if (!take_length(b, e->retain, &n))
        return STATUS_OP_INVALID;
    enum status s = read_attrs(b, e->attributes, true, &attrs);
    if (s == STATUS_OK)
        op_push_retain(&b->ow, n, attrs);
    return s;
}

/* `raw`: the text of a checked value. */
static enum status push_delta(struct build *b, struct bytes raw)
{
    if (raw.n == 0 || raw.p[0] != '[')
        return STATUS_OP_INVALID;
    struct json j = json_of_raw(b, raw);
    json_enter(&j, JSON_ARRAY);
    while (json_element(&j)) {
        struct entry e;
        if (++b->n_parts > b->parts_max)
            return STATUS_TOO_LARGE;
        j.scratch = b->strings;
        if (!read_entry(&j, &e))
            return j.scratch.ok ? STATUS_OP_INVALID : STATUS_TOO_LARGE;
        b->strings = j.scratch;
        enum status s = push_entry(b, &e);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

/* ---- whole ops ---- */

static enum status push_form(struct build *b, const struct members *m)
{
    struct bytes attrs;
    enum status s;
    if (m->form == FORM_DELTA)
        return push_delta(b, m->ops);
    if (m->pos != HAVE_GOOD)
        return STATUS_OP_INVALID;
    op_push_retain(&b->ow, m->pos_u16, NONE);
    if (m->form == FORM_INSERT)
        return m->str == HAVE_GOOD ? push_text(b, m->text, m->attributes) : STATUS_OP_INVALID;
    if (m->len != HAVE_GOOD || m->len_u16 == 0)
        return STATUS_OP_INVALID;
    if (m->form == FORM_DELETE) {
        op_push_delete(&b->ow, m->len_u16);
        return STATUS_OK;
    }
    if (m->attributes.n == 0)
        return STATUS_OP_INVALID;
    s = read_attrs(b, m->attributes, true, &attrs);
    if (s == STATUS_OK)
        op_push_retain(&b->ow, m->len_u16, attrs);
    return s;
}

static void build_init(struct build *b, const struct json *j, uint32_t parts_max, struct writer *w,
                       void *scratch, size_t scratch_bytes)
{
    b->strings = j->scratch;
    b->values = writer_of(scratch, scratch_bytes);
    b->parts_max = parts_max;
    b->n_parts = 0;
    b->base_u16 = 0;
    b->content = false;
    op_writer_init(&b->ow, w->p, (size_t)(w->end - w->p));
}

/* Ends the op, checks it as a stranger's and appends it to `w`. */
static enum status build_end(struct build *b, struct json *j, struct writer *w, struct bytes *op,
                             struct op_shape *shape)
{
    struct op_limits limits = {.parts_max = b->parts_max, .rich = true, .content = b->content};
    struct bytes done;
    j->scratch = b->strings;
    /* With its tail: whether that reaches past the end of the document, the sequencer knows. */
    if (!b->values.ok || op_writer_end_whole(&b->ow, &done) != STATUS_OK)
        return STATUS_TOO_LARGE;
    enum status s = op_check(done, &limits, shape);
    if (s != STATUS_OK)
        return s;
    *op = done;
    w->p += done.n;
    return STATUS_OK;
}

enum status opjson_read(struct json *j, uint32_t parts_max, struct writer *w, void *scratch,
                        size_t scratch_bytes, struct opjson *out)
{
    struct members m;
    struct build b;
    if (!take_members(j, &m, out) || m.form == FORM_NONE)
        return STATUS_BAD_MESSAGE;
    if (m.client_id == HAVE_BAD || m.seq == HAVE_BAD || m.version == HAVE_BAD)
        return STATUS_OP_INVALID;
    build_init(&b, j, parts_max, w, scratch, scratch_bytes);
    enum status s = push_form(&b, &m);
    if (s != STATUS_OK)
        return s;
    return build_end(&b, j, w, &out->op, &out->shape);
}

/* The raw text of the last `ops` member of an object. */
static bool find_ops(struct json *j, struct bytes *ops)
{
    struct bytes key, raw;
    *ops = NONE;
    json_enter(j, JSON_OBJECT);
    while (json_member(j, &key) && json_raw(j, &raw))
        if (IS(key, "ops"))
            *ops = raw;
    return j->ok;
}

enum status opjson_read_content(struct json *j, bool rich, uint32_t parts_max, struct writer *w,
                                void *scratch, size_t scratch_bytes, struct bytes *content)
{
    enum json_kind kind = json_peek(j);
    struct bytes raw;
    struct op_shape shape;
    struct build b;
    enum status s = STATUS_OK;
    if (kind == JSON_STRING) {
        if (!json_string(j, &raw))
            return STATUS_BAD_MESSAGE;
    } else if (rich && kind == JSON_OBJECT) {
        if (!find_ops(j, &raw))
            return STATUS_BAD_MESSAGE;
    } else if (!rich || kind != JSON_ARRAY || !json_raw(j, &raw)) {
        return STATUS_BAD_MESSAGE;
    }
    build_init(&b, j, parts_max, w, scratch, scratch_bytes);
    b.content = true;
    if (kind != JSON_STRING)
        s = push_delta(&b, raw);
    else if (raw.n)
        s = push_text(&b, raw, NONE);
    if (s != STATUS_OK)
        return s;
    return build_end(&b, j, w, content, &shape);
}
