/* http_text.c - questions about a parsed head: headers, paths, queries, the upgrade; see http.h. */
#include "gateway/http.h"

#include "base/utf.h"
#include "gateway/tls.h"

static uint8_t lower_of(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool http_header_is(struct bytes name, const char *lower)
{
    for (size_t i = 0; i < name.n; i++)
        if (lower_of(name.p[i]) != (uint8_t)lower[i] || lower[i] == '\0')
            return false;
    return lower[name.n] == '\0';
}

bool http_find_nth(const struct http_request *req, const char *name, unsigned nth,
                   struct bytes *value)
{
    for (uint32_t i = 0; i < req->n_headers; i++) {
        if (http_header_is(req->headers[i].name, name) && nth-- == 0) {
            *value = req->headers[i].value;
            return true;
        }
    }
    return false;
}

bool http_find(const struct http_request *req, const char *name, struct bytes *value)
{
    return http_find_nth(req, name, 0, value);
}

/* `token` may be in any letter case, unlike the lower-case names of http_header_is. */
static bool is_token(struct bytes b, const char *token)
{
    for (size_t i = 0; i < b.n; i++)
        if (token[i] == '\0' || lower_of(b.p[i]) != lower_of((uint8_t)token[i]))
            return false;
    return token[b.n] == '\0';
}

bool http_has_token(struct bytes value, const char *token)
{
    size_t at = 0;
    while (at < value.n) {
        size_t end = at;
        while (end < value.n && value.p[end] != ',')
            end++;
        size_t from = at, to = end;
        while (from < to && (value.p[from] == ' ' || value.p[from] == '\t'))
            from++;
        while (to > from && (value.p[to - 1] == ' ' || value.p[to - 1] == '\t'))
            to--;
        if (to > from && is_token(bytes_of(value.p + from, to - from), token))
            return true;
        at = end + 1;
    }
    return false;
}

bool http_list_has(const struct http_request *req, const char *name, const char *token)
{
    struct bytes value;
    for (unsigned i = 0; http_find_nth(req, name, i, &value); i++)
        if (http_has_token(value, token))
            return true;
    return false;
}

/* ---- paths and queries ---- */

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower_of(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_decode(struct bytes in, char *buf, size_t buf_bytes, struct bytes *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        int c = in.p[i];
        if (c == '%') {
            int high = i + 2 < in.n ? hex_of(in.p[i + 1]) : -1;
            int low = i + 2 < in.n ? hex_of(in.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = high << 4 | low;
            i += 2;
        }
        if (c == 0 || n == buf_bytes)
            return false;
        buf[n++] = (char)c;
    }
    if (!utf8_check(bytes_of(buf, n)))
        return false;
    *out = bytes_of(buf, n);
    return true;
}

bool http_segment(struct bytes path, unsigned n, struct bytes *segment)
{
    size_t at = 0;
    while (at < path.n) {
        if (path.p[at] != '/')
            return false;
        size_t end = ++at;
        while (end < path.n && path.p[end] != '/')
            end++;
        if (n-- == 0) {
            *segment = bytes_of(path.p + at, end - at);
            return true;
        }
        at = end;
    }
    return false;
}

bool http_query(struct bytes query, const char *name, struct bytes *value, bool *twice)
{
    struct bytes wanted = bytes_str(name);
    bool found = false;
    *twice = false;
    for (size_t at = 0; at < query.n;) {
        size_t end = at, eq = query.n;
        for (; end < query.n && query.p[end] != '&'; end++)
            if (query.p[end] == '=' && eq == query.n)
                eq = end;
        struct bytes key = bytes_of(query.p + at, (eq < end ? eq : end) - at);
        if (bytes_eq(key, wanted)) {
            *twice = found;
            if (found)
                return true;
            *value = eq < end ? bytes_of(query.p + eq + 1, end - eq - 1) : bytes_of(NULL, 0);
            found = true;
        }
        at = end + 1;
    }
    return found;
}

/* ---- the WebSocket upgrade ---- */

static const char base64_marks[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 16 bytes in Base64: 22 characters and "==". */
static bool is_key(struct bytes v)
{
    if (v.n != 24 || v.p[22] != '=' || v.p[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!v.p[i] || !memchr(base64_marks, v.p[i], 64))
            return false;
    return true;
}

static void accept_of(struct bytes key, char accept[29])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[24 + sizeof guid - 1], hash[21] = {0};
    memcpy(text, key.p, 24);
    memcpy(text + 24, guid, sizeof guid - 1);
    tls_sha1(bytes_of(text, sizeof text), hash);
    for (unsigned i = 0; i < 7; i++) {
        uint32_t v = (uint32_t)hash[3 * i] << 16 | (uint32_t)hash[3 * i + 1] << 8 | hash[3 * i + 2];
        for (unsigned k = 0; k < 4; k++)
            accept[4 * i + k] = base64_marks[v >> (18 - 6 * k) & 63];
    }
    accept[27] = '=';
    accept[28] = '\0';
}

int http_check_upgrade(const struct http_request *req, char accept[29])
{
    struct bytes key, version;
    if (req->minor == 0 || !http_list_has(req, "upgrade", "websocket") ||
        !http_list_has(req, "connection", "upgrade"))
        return 426;
    if (req->method != HTTP_GET || req->chunked || req->content_length)
        return 400;
    if (!http_find(req, "sec-websocket-version", &version) || !bytes_eq(version, BYTES_LIT("13")))
        return 426;
    if (!http_find(req, "sec-websocket-key", &key) || !is_key(key))
        return 400;
    accept_of(key, accept);
    return 0;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}
