/* http.c - the strict parser of request heads; see http.h. */
#include "gateway/http.h"

/* What a byte may stand in. */
enum { IN_TOKEN = 1, IN_TARGET = 2, IN_HOST = 4, IN_DIGITS = 8, IN_FIELD = 16 };

#define FIELD_TARGET            (IN_FIELD | IN_TARGET)
#define FIELD_TARGET_HOST       (IN_FIELD | IN_TARGET | IN_HOST)
#define FIELD_TARGET_TOKEN      (IN_FIELD | IN_TARGET | IN_TOKEN)
#define FIELD_TARGET_TOKEN_HOST (IN_FIELD | IN_TARGET | IN_TOKEN | IN_HOST)

/* A target takes visible ASCII but '#'; a field's value anything but controls (RFC 9110 5.5). */
static const uint8_t classes[256] = {
    ['\t'] = IN_FIELD,
    [' '] = IN_FIELD,
    ['!'] = FIELD_TARGET_TOKEN_HOST,
    ['"'] = FIELD_TARGET,
    ['#'] = IN_FIELD | IN_TOKEN,
    ['$'] = FIELD_TARGET_TOKEN_HOST,
    ['%' ... '\''] = FIELD_TARGET_TOKEN_HOST,
    ['(' ... ')'] = FIELD_TARGET_HOST,
    ['*' ... '+'] = FIELD_TARGET_TOKEN_HOST,
    [','] = FIELD_TARGET_HOST,
    ['-' ... '.'] = FIELD_TARGET_TOKEN_HOST,
    ['/'] = FIELD_TARGET,
    ['0' ... '9'] = FIELD_TARGET_TOKEN_HOST | IN_DIGITS,
    [':' ... ';'] = FIELD_TARGET_HOST,
    ['<'] = FIELD_TARGET,
    ['='] = FIELD_TARGET_HOST,
    ['>' ... '@'] = FIELD_TARGET,
    ['A' ... 'Z'] = FIELD_TARGET_TOKEN_HOST,
    ['['] = FIELD_TARGET_HOST,
    ['\\'] = FIELD_TARGET,
    [']'] = FIELD_TARGET_HOST,
    ['^'] = FIELD_TARGET_TOKEN,
    ['_'] = FIELD_TARGET_TOKEN_HOST,
    ['`'] = FIELD_TARGET_TOKEN,
    ['a' ... 'z'] = FIELD_TARGET_TOKEN_HOST,
    ['{'] = FIELD_TARGET,
    ['|'] = FIELD_TARGET_TOKEN,
    ['}'] = FIELD_TARGET,
    ['~'] = FIELD_TARGET_TOKEN_HOST,
    [0x80 ... 0xff] = IN_FIELD,
};

static bool all_of(struct bytes b, uint8_t class)
{
    uint8_t all = class;
    for (size_t i = 0; i < b.n; i++)
        all &= classes[b.p[i]];
    return all == class;
}

static struct bytes trim(struct bytes b)
{
    while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
        b = bytes_of(b.p + 1, b.n - 1);
    while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
        b.n--;
    return b;
}

static bool eq_nocase(struct bytes a, struct bytes b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        uint8_t x = a.p[i], y = b.p[i];
        if (x >= 'A' && x <= 'Z')
            x |= 0x20;
        if (y >= 'A' && y <= 'Z')
            y |= 0x20;
        if (x != y)
            return false;
    }
    return true;
}

/*
 * One line off `in` at *at. HTTP_DONE: *line is it without CRLF. A CR must be followed by LF and a
 * LF preceded by CR: whoever parses leniently before or behind us must see the same lines.
 */
static enum http_result take_line(struct bytes in, size_t *at, struct bytes *line)
{
    const uint8_t *p = in.p + *at;
    size_t n = in.n - *at;
    const uint8_t *lf = n ? memchr(p, '\n', n) : NULL;
    size_t text_n = lf ? (size_t)(lf - p) : n;
    const uint8_t *cr = text_n ? memchr(p, '\r', text_n) : NULL;
    if (cr && cr != p + text_n - 1)
        return HTTP_BAD;
    if (!lf) {
        *line = bytes_of(p, cr ? text_n - 1 : text_n);
        return HTTP_MORE;
    }
    if (!cr)
        return HTTP_BAD;
    *line = bytes_of(p, text_n - 1);
    *at += text_n + 1;
    return HTTP_DONE;
}

static enum http_method method_of(struct bytes m)
{
    static const struct {
        struct bytes text;
        enum http_method method;
    } known[] = {
        {BYTES_LIT("GET"), HTTP_GET},         {BYTES_LIT("HEAD"), HTTP_HEAD},
        {BYTES_LIT("POST"), HTTP_POST},       {BYTES_LIT("PUT"), HTTP_PUT},
        {BYTES_LIT("PATCH"), HTTP_PATCH},     {BYTES_LIT("DELETE"), HTTP_DELETE},
        {BYTES_LIT("OPTIONS"), HTTP_OPTIONS},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (bytes_eq(m, known[i].text))
            return known[i].method;
    return HTTP_OTHER;
}

#define METHOD_BYTES_MAX 32u

/* "HTTP/1.1": 0, or the status to answer. */
static int parse_version(struct bytes v, uint8_t *minor)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) || v.p[6] != '.' || !(classes[v.p[5]] & IN_DIGITS) ||
        !(classes[v.p[7]] & IN_DIGITS))
        return 400;
    if (v.p[5] != '1')
        return 505;
    *minor = v.p[7] != '0'; /* a higher minor version is spoken to as 1.1 (RFC 9110 2.5) */
    return 0;
}

/* The target of a request line into path and query; `authority` is set for absolute-form. */
static int parse_target(struct http_request *req, struct bytes *authority)
{
    struct bytes t = req->target;
    *authority = bytes_of(NULL, 0);
    if (t.n > HTTP_TARGET_BYTES_MAX)
        return 414;
    if (!all_of(t, IN_TARGET) || t.n == 0)
        return 400;
    if (t.p[0] != '/' && !(t.n == 1 && t.p[0] == '*' && req->method == HTTP_OPTIONS)) {
        size_t scheme = 0;
        if (t.n > 7 && eq_nocase(bytes_of(t.p, 7), BYTES_LIT("http://")))
            scheme = 7;
        else if (t.n > 8 && eq_nocase(bytes_of(t.p, 8), BYTES_LIT("https://")))
            scheme = 8;
        if (!scheme)
            return 400;
        t = bytes_of(t.p + scheme, t.n - scheme);
        size_t n = 0;
        while (n < t.n && t.p[n] != '/' && t.p[n] != '?')
            n++;
        *authority = bytes_of(t.p, n);
        if (n == 0)
            return 400;
        t = bytes_of(t.p + n, t.n - n);
    }
    const uint8_t *mark = t.n ? memchr(t.p, '?', t.n) : NULL;
    req->path = mark ? bytes_of(t.p, (size_t)(mark - t.p)) : t;
    if (req->path.n == 0)
        req->path = BYTES_LIT("/");
    req->query = mark ? bytes_of(mark + 1, t.n - (size_t)(mark - t.p) - 1) : bytes_of(NULL, 0);
    return 0;
}

static int parse_request_line(struct bytes line, struct http_request *req, struct bytes *authority)
{
    const uint8_t *sp = line.n ? memchr(line.p, ' ', line.n) : NULL;
    if (!sp)
        return 400;
    req->method_text = bytes_of(line.p, (size_t)(sp - line.p));
    if (req->method_text.n == 0 || !all_of(req->method_text, IN_TOKEN))
        return 400;
    if (req->method_text.n > METHOD_BYTES_MAX)
        return 501;
    req->method = method_of(req->method_text);
    struct bytes rest = bytes_of(sp + 1, line.n - req->method_text.n - 1);
    const uint8_t *sp2 = rest.n ? memchr(rest.p, ' ', rest.n) : NULL;
    if (!sp2)
        return 400;
    req->target = bytes_of(rest.p, (size_t)(sp2 - rest.p));
    int bad = parse_version(bytes_of(sp2 + 1, rest.n - req->target.n - 1), &req->minor);
    return bad ? bad : parse_target(req, authority);
}

/* What can be said of a request line that has not ended yet. */
static int judge_partial_request_line(struct bytes line)
{
    const uint8_t *sp = line.n ? memchr(line.p, ' ', line.n) : NULL;
    struct bytes method = sp ? bytes_of(line.p, (size_t)(sp - line.p)) : line;
    if (!all_of(method, IN_TOKEN) || (sp && method.n == 0))
        return 400;
    if (method.n > METHOD_BYTES_MAX)
        return 501;
    if (!sp)
        return 0;
    struct bytes rest = bytes_of(sp + 1, line.n - method.n - 1);
    const uint8_t *sp2 = rest.n ? memchr(rest.p, ' ', rest.n) : NULL;
    struct bytes target = sp2 ? bytes_of(rest.p, (size_t)(sp2 - rest.p)) : rest;
    if (target.n > HTTP_TARGET_BYTES_MAX)
        return 414;
    if (!all_of(target, IN_TARGET))
        return 400;
    return sp2 && rest.n - target.n - 1 > 8 ? 400 : 0;
}

static int parse_header(struct bytes line, struct http_request *req)
{
    const uint8_t *colon = memchr(line.p, ':', line.n);
    if (!colon || colon == line.p) /* a folded line has no name either: it begins with a space */
        return 400;
    struct bytes name = bytes_of(line.p, (size_t)(colon - line.p));
    struct bytes value = bytes_of(colon + 1, line.n - name.n - 1);
    if (!all_of(name, IN_TOKEN) || !all_of(value, IN_FIELD))
        return 400;
    if (req->n_headers == HTTP_HEADERS_MAX)
        return 431;
    req->headers[req->n_headers++] = (struct http_header){name, trim(value)};
    return 0;
}

/* ---- what the headers mean for the framing of the message ---- */

static int judge_singles(const struct http_request *req)
{
    static const char *const singles[] = {
        "host",          "content-length", "transfer-encoding", "content-type",
        "authorization", "origin",         "sec-websocket-key", "sec-websocket-version",
    };
    struct bytes value;
    for (size_t i = 0; i < sizeof singles / sizeof singles[0]; i++)
        if (http_find_nth(req, singles[i], 1, &value))
            return 400;
    return 0;
}

static int judge_host(const struct http_request *req, struct bytes authority)
{
    struct bytes host;
    if (!http_find(req, "host", &host))
        return req->minor ? 400 : 0;
    if (host.n == 0 || !all_of(host, IN_HOST))
        return 400;
    return authority.n && !eq_nocase(host, authority) ? 400 : 0;
}

static int judge_length(struct http_request *req)
{
    struct bytes v;
    if (!http_find(req, "content-length", &v))
        return 0;
    if (v.n == 0 || v.n > 18 || !all_of(v, IN_DIGITS)) /* 18 digits never overflow */
        return 400;
    req->has_length = true;
    for (size_t i = 0; i < v.n; i++)
        req->content_length = req->content_length * 10 + (v.p[i] - '0');
    return 0;
}

static int judge_coding(struct http_request *req)
{
    struct bytes v;
    if (!http_find(req, "transfer-encoding", &v))
        return 0;
    if (req->has_length || req->minor == 0)
        return 400;
    unsigned n_chunked = 0;
    bool unknown = false;
    for (size_t at = 0; at <= v.n;) {
        const uint8_t *comma = at < v.n ? memchr(v.p + at, ',', v.n - at) : NULL;
        size_t end = comma ? (size_t)(comma - v.p) : v.n;
        struct bytes coding = trim(bytes_of(v.p + at, end - at));
        if (coding.n == 0 || !all_of(coding, IN_TOKEN))
            return 400;
        if (eq_nocase(coding, BYTES_LIT("chunked")))
            n_chunked++;
        else
            unknown = true;
        at = end + 1;
    }
    if (unknown)
        return 501;
    if (n_chunked != 1)
        return 400;
    req->chunked = true;
    return 0;
}

static int judge_headers(struct http_request *req, struct bytes authority)
{
    struct bytes v;
    int bad = judge_singles(req);
    if (!bad)
        bad = judge_host(req, authority);
    if (!bad)
        bad = judge_length(req);
    if (!bad)
        bad = judge_coding(req);
    if (bad)
        return bad;
    if (req->minor && http_find(req, "expect", &v)) {
        if (!eq_nocase(v, BYTES_LIT("100-continue")))
            return 417;
        req->expect_continue = true;
    }
    req->keep_alive = req->minor ? !http_list_has(req, "connection", "close")
                                 : http_list_has(req, "connection", "keep-alive") &&
                                       !http_list_has(req, "connection", "close");
    return 0;
}

static enum http_result bad(int status, int *answer)
{
    *answer = status;
    return HTTP_BAD;
}

/* The head has not ended within `in`: too long already, or to be continued? */
static enum http_result unfinished(struct bytes in, int *answer)
{
    return in.n >= HTTP_HEAD_BYTES_MAX ? bad(431, answer) : HTTP_MORE;
}

enum http_result http_parse_head(struct bytes in, struct http_request *req, size_t *used,
                                 int *answer)
{
    struct bytes line, authority = {0};
    struct bytes seen = in.n > HTTP_HEAD_BYTES_MAX ? bytes_of(in.p, HTTP_HEAD_BYTES_MAX) : in;
    /* RFC 9112 2.2: one empty line before a request is forgiven */
    size_t at = seen.n >= 2 && seen.p[0] == '\r' && seen.p[1] == '\n' ? 2 : 0;
    memset(req, 0, offsetof(struct http_request, headers));

    enum http_result r = take_line(seen, &at, &line);
    int wrong = 0;
    if (r == HTTP_MORE)
        wrong = judge_partial_request_line(line);
    else if (r == HTTP_DONE)
        wrong = parse_request_line(line, req, &authority);
    if (r == HTTP_BAD || wrong)
        return bad(wrong ? wrong : 400, answer);
    if (r == HTTP_MORE)
        return unfinished(in, answer);
    for (;;) {
        r = take_line(seen, &at, &line);
        if (r == HTTP_BAD)
            return bad(400, answer);
        if (r == HTTP_MORE)
            return all_of(line, IN_FIELD) ? unfinished(in, answer) : bad(400, answer);
        if (line.n == 0)
            break;
        wrong = parse_header(line, req);
        if (wrong)
            return bad(wrong, answer);
    }
    wrong = judge_headers(req, authority);
    if (wrong)
        return bad(wrong, answer);
    *used = at;
    return HTTP_DONE;
}
