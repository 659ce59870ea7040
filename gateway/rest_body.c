/* rest_body.c - bodies and query parameters of HTTP calls; see rest.h. */
#include "gateway/rest.h"

struct field {
    const char *key;
    size_t value_at;
    size_t has_at;
    bool is_text; /* a decoded string; else JSON text */
};

#define FIELD(name, text)                                                                          \
    {                                                                                              \
#name, offsetof(struct rest_body, name), offsetof(struct rest_body, has_##name), text      \
    }
static const struct field fields[] = {
    FIELD(title, true), FIELD(type, true), FIELD(id, true),       FIELD(role, true),
    FIELD(name, true),  FIELD(sub, true),  FIELD(content, false), FIELD(ops, false),
};

/* The value of one member; false: it has another kind of value. null says no more than absence. */
static bool read_field(struct json *j, const struct field *f, struct rest_body *out)
{
    struct bytes *value = (struct bytes *)(void *)((uint8_t *)out + f->value_at);
    bool *has = (bool *)(void *)((uint8_t *)out + f->has_at);
    *has = json_peek(j) != JSON_NULL;
    if (!*has)
        return json_null(j);
    if (!f->is_text)
        return json_raw(j, value);
    return json_peek(j) == JSON_STRING && json_string(j, value);
}

static bool read_object(struct gateway *g, struct bytes body, struct rest_body *out)
{
    struct json j;
    struct bytes key;
    json_init(&j, body, g->json_scratch, g->scratch_bytes);
    if (json_peek(&j) != JSON_OBJECT || !json_enter(&j, JSON_OBJECT))
        return false;
    while (json_member(&j, &key)) {
        const struct field *f = NULL;
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
            if (bytes_eq(key, bytes_str(fields[i].key)))
                f = &fields[i];
        if (f ? !read_field(&j, f, out) : !json_skip(&j))
            return false;
    }
    return json_end(&j);
}

/* No body is a body that says nothing: what a call needs is found missing where it is read. */
static bool is_blank(struct bytes body)
{
    for (size_t i = 0; i < body.n; i++)
        if (!memchr(" \t\r\n", body.p[i], 4))
            return false;
    return true;
}

bool rest_read_body(struct gateway *g, struct conn *c, struct bytes body, struct rest_body *out)
{
    memset(out, 0, sizeof *out);
    if (is_blank(body) || (body.n <= g->scratch_bytes && read_object(g, body, out)))
        return true;
    gateway_refuse(g, REFUSAL_BAD_MESSAGE);
    gateway_respond_problem(
        g, c,
        &(struct problem){.status = STATUS_BAD_MESSAGE,
                          .detail = BYTES_LIT("the body is a JSON object of the described shape")});
    return false;
}

int rest_query(const struct http_request *req, const char *name, char *buf, size_t buf_bytes,
               struct bytes *value)
{
    struct bytes raw;
    bool twice = false;
    *value = (struct bytes){0};
    bool there = http_query(req->query, name, &raw, &twice);
    if (twice)
        return -1;
    if (!there)
        return 0;
    return http_decode(raw, buf, buf_bytes, value) ? 1 : -1;
}

const char *rest_read_page(const struct http_request *req, enum cursor_kind kind,
                           uint8_t buf[CURSOR_TEXT_BYTES_MAX], uint32_t *limit,
                           struct cursor *cursor, bool *has_cursor)
{
    char text[CURSOR_TEXT_BYTES_MAX];
    struct bytes value;
    uint64_t n = LIMIT_PAGE_ITEMS_DEFAULT;
    int there = rest_query(req, "limit", text, sizeof text, &value);
    if (there < 0 || (there && (!id_whole(value, &n) || n == 0 || n > LIMIT_PAGE_ITEMS)))
        return "limit is a whole number from 1 to 500";
    *limit = (uint32_t)n;
    there = rest_query(req, "cursor", text, sizeof text, &value);
    if (there > 0 && value.n == 0) /* "cursor=" asks for the first page */
        there = 0;
    if (there < 0 || (there && !cursor_read(value, kind, buf, cursor)))
        return "cursor is not one of this list";
    *has_cursor = there != 0;
    return NULL;
}
