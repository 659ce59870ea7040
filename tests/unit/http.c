/* Request heads, their questions, chunked bodies; each refusal with its status. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* The oracle has names of ours. */
#define http_method  oracle_http_method
#define HTTP_GET     oracle_HTTP_GET
#define HTTP_HEAD    oracle_HTTP_HEAD
#define HTTP_POST    oracle_HTTP_POST
#define HTTP_PUT     oracle_HTTP_PUT
#define HTTP_PATCH   oracle_HTTP_PATCH
#define HTTP_DELETE  oracle_HTTP_DELETE
#define HTTP_OPTIONS oracle_HTTP_OPTIONS
#include <http_parser.h>
#undef http_method
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_PATCH
#undef HTTP_DELETE
#undef HTTP_OPTIONS

#include "gateway/http.h"

#define H "Host: a\r\n"

static struct http_request req;
static size_t used;

/* The status of a refusal; 0 parsed; -1 more. Parsed from memory of the exact size, so that
 * AddressSanitizer sees a read past it. */
static int parse(const char *p, size_t n)
{
    static char *last;
    free(last);
    last = malloc(n + !n);
    memcpy(last, p, n);
    int answer = 0;
    switch (http_parse_head(bytes_of(last, n), &req, &used, &answer)) {
    case HTTP_DONE:
        return 0;
    case HTTP_MORE:
        return -1;
    case HTTP_BAD:
        break;
    }
    cr_assert_neq(answer, 0);
    return answer;
}

static int parse_str(const char *text)
{
    return parse(text, strlen(text));
}

static bool is(struct bytes b, const char *text)
{
    return bytes_eq(b, bytes_str(text));
}

Test(http, a_plain_request_is_taken_apart)
{
    const char *text = "GET /docs/x%20y?limit=5&cursor=a%3D HTTP/1.1\r\nHost: example.org:80\r\n"
                       "X-Thing:\t spaced out \t\r\n\r\nrest";
    cr_assert_eq(parse_str(text), 0);
    cr_assert_eq(used, strlen(text) - 4);
    cr_assert_eq(req.method, HTTP_GET);
    cr_assert_eq(req.minor, 1);
    cr_assert(req.keep_alive && !req.chunked && !req.has_length && !req.expect_continue);
    cr_assert(is(req.path, "/docs/x%20y"));
    cr_assert(is(req.query, "limit=5&cursor=a%3D"));
    struct bytes v;
    cr_assert(http_find(&req, "x-thing", &v) && is(v, "spaced out"));
    cr_assert(!http_find(&req, "x-thin", &v) && !http_find(&req, "x-thing2", &v));
}

struct row {
    const char *text;
    int answer;
};

Test(http, good_requests_pass)
{
    static const struct row rows[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", 0},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", 0},
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {"GET / HTTP/1.9\r\n" H "\r\n", 0},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0},
        {"BREW /pot HTTP/1.1\r\n" H "\r\n", 0},
        {"GET http://a/x?y HTTP/1.1\r\n" H "\r\n", 0},
        {"GET HTTPS://A:8443 HTTP/1.1\r\nHost: a:8443\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nhOsT: [::1]:8080\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\n" H "Content-Length:007\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n" H "Empty:\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n" H "Latin: \xe9\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n" H "Cookie: a\r\nCookie: b\r\n\r\n", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_eq(parse_str(rows[i].text), 0, "%s", rows[i].text);
        for (size_t n = 0; n < strlen(rows[i].text); n++)
            cr_expect_eq(parse(rows[i].text, n), -1, "%s cut at %zu", rows[i].text, n);
    }
}

static const struct row refusals[] = {
    /* line ends, folding, white space */
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"GET / HTTP/1.1\rHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\r\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "\n", 400},
    {"GET / HTTP/1.1\r\n" H "\r\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\r\n folded\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\r\n\tfolded\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A\t: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "nocolon\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A(b): c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\x7f\r\n\r\n", 400},
    {"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
    {" GET / HTTP/1.1\r\n" H "\r\n", 400},
    {"\nGET / HTTP/1.1\r\n" H "\r\n", 400},
    /* the request line */
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"GET /a b HTTP/1.1\r\n" H "\r\n", 400},
    {"GET\t/ HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\r\n\r\n", 400},
    {"GET\r\n\r\n", 400},
    {"G@T / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET docs HTTP/1.1\r\n" H "\r\n", 400},
    {"GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /#x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET ftp://a/ HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http:///x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://b/ HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://x@a/ HTTP/1.1\r\n" H "\r\n", 400},
    {"CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / http/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.10\r\n" H "\r\n", 400},
    {"GET / HTTP/11\r\n" H "\r\n", 400},
    {"GET / HTTP/1,1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.x\r\n" H "\r\n", 400},
    {"GET / HTTP/2.0\r\n" H "\r\n", 505},
    {"GET / HTTP/0.9\r\n" H "\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ / HTTP/1.1\r\n" H "\r\n", 501},
    {"\x16\x03\x01\x02\x05\x01\r\n", 400},
    /* Host */
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "HOST: b\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    /* lengths */
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5.0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n", 400},
    /* transfer codings */
    {"POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked,\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" H "Expect: cake\r\n\r\n", 417},
    /* what must not be said twice */
    {"GET / HTTP/1.1\r\n" H "Authorization: a\r\nAuthorization: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Origin: a\r\nOrigin: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n\r\n", 400},
};

/* However a request is cut, it is refused alike: while it comes, either more is wanted or the
 * status is the one that the whole gets. */
Test(http, malformed_and_smuggling_requests_are_refused_with_their_status)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const char *text = refusals[i].text;
        cr_expect_eq(parse_str(text), refusals[i].answer, "%d for %s", parse_str(text), text);
        for (size_t n = 0; n < strlen(text); n++) {
            int r = parse(text, n);
            cr_expect(r == -1 || r == refusals[i].answer, "%d for %s cut at %zu", r, text, n);
        }
    }
}

Test(http, nul_bytes_are_refused_anywhere)
{
    static const char text[] = "GET /x HTTP/1.1\r\nHost: a\r\nAb: cd\r\n\r\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        copy[i] = '\0';
        int r = parse(copy, sizeof text - 1);
        cr_expect_eq(r, 400, "NUL at %zu: %d", i, r);
    }
}

Test(http, a_target_at_the_limit_passes_and_one_past_it_is_414)
{
    char text[HTTP_TARGET_BYTES_MAX + 100];
    for (unsigned extra = 0; extra < 2; extra++) {
        char target[HTTP_TARGET_BYTES_MAX + 2];
        memset(target, 'a', sizeof target);
        target[0] = '/';
        target[HTTP_TARGET_BYTES_MAX + extra] = '\0';
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" H "\r\n", target);
        cr_assert_eq(parse_str(text), extra ? 414 : 0);
        cr_assert_eq(parse(text, 4 + HTTP_TARGET_BYTES_MAX + extra), extra ? 414 : -1);
    }
}

Test(http, headers_at_the_limits_pass_and_one_past_them_is_431)
{
    static char text[HTTP_HEAD_BYTES_MAX + 100];
    for (unsigned extra = 0; extra < 2; extra++) {
        int n = sprintf(text, "GET / HTTP/1.1\r\n" H);
        for (unsigned i = 1; i < HTTP_HEADERS_MAX + extra; i++)
            n += sprintf(text + n, "a%u: b\r\n", i);
        sprintf(text + n, "\r\n");
        cr_assert_eq(parse_str(text), extra ? 431 : 0);
    }
    for (unsigned extra = 0; extra < 2; extra++) {
        int n = sprintf(text, "GET / HTTP/1.1\r\n" H "a: ");
        while (n < (int)(HTTP_HEAD_BYTES_MAX + extra) - 4)
            text[n++] = 'x';
        memcpy(text + n, "\r\n\r\n", 5);
        cr_assert_eq(parse_str(text), extra ? 431 : 0);
        cr_assert_eq(parse(text, HTTP_HEAD_BYTES_MAX), extra ? 431 : 0);
    }
}

Test(http, keep_alive_follows_version_and_connection)
{
    static const struct {
        const char *text;
        bool keep;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", true},
        {"GET / HTTP/1.1\r\n" H "Connection: upgrade , CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" H "Connection: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(parse_str(rows[i].text), 0);
        cr_assert_eq(req.keep_alive, rows[i].keep, "%s", rows[i].text);
    }
}

/* ---- text ---- */

Test(http, percent_decoding_refuses_what_is_not_clean_text)
{
    char buf[8];
    struct bytes out;
    cr_assert(http_decode(BYTES_LIT("a%20b+c"), buf, sizeof buf, &out) && is(out, "a b+c"));
    cr_assert(http_decode(BYTES_LIT("%e2%82%AC"), buf, sizeof buf, &out) &&
              is(out, "\xe2\x82\xac"));
    cr_assert(http_decode(BYTES_LIT("12345678"), buf, sizeof buf, &out) && out.n == 8);
    static const char *const bad[] = {"%",   "%2",     "a%2", "%g0",       "%0g",
                                      "%00", "%C0%80", "%ff", "123456789", "%ed%a0%80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect(!http_decode(bytes_str(bad[i]), buf, sizeof buf, &out), "%s", bad[i]);
}

Test(http, segments_of_a_path_are_found)
{
    struct bytes s;
    cr_assert(http_segment(BYTES_LIT("/docs/x/ops"), 0, &s) && is(s, "docs"));
    cr_assert(http_segment(BYTES_LIT("/docs/x/ops"), 2, &s) && is(s, "ops"));
    cr_assert(!http_segment(BYTES_LIT("/docs/x/ops"), 3, &s));
    cr_assert(http_segment(BYTES_LIT("/docs/"), 1, &s) && s.n == 0);
    cr_assert(!http_segment(BYTES_LIT("/docs"), 1, &s));
    cr_assert(http_segment(BYTES_LIT("/"), 0, &s) && s.n == 0);
    cr_assert(!http_segment(BYTES_LIT("*"), 0, &s));
}

Test(http, query_parameters_are_found_once_or_told_twice)
{
    struct bytes v;
    bool twice;
    struct bytes q = BYTES_LIT("a=1&bb=2&c&d=&e=x=y&a=3");
    cr_assert(http_query(q, "bb", &v, &twice) && is(v, "2") && !twice);
    cr_assert(http_query(q, "c", &v, &twice) && v.n == 0 && !twice);
    cr_assert(http_query(q, "d", &v, &twice) && v.n == 0 && !twice);
    cr_assert(http_query(q, "e", &v, &twice) && is(v, "x=y"));
    cr_assert(http_query(q, "a", &v, &twice) && twice);
    cr_assert(!http_query(q, "b", &v, &twice) && !twice);
}

/* ---- the upgrade ---- */

#define UP  "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VER "Sec-WebSocket-Version: 13\r\n"

Test(http, the_upgrade_of_the_rfc_is_accepted_with_its_key)
{
    char accept[29];
    cr_assert_eq(parse_str("GET /chat HTTP/1.1\r\n" H UP KEY VER "\r\n"), 0);
    cr_assert_eq(http_check_upgrade(&req, accept), 0);
    cr_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

Test(http, other_upgrades_are_refused_with_400_or_426)
{
    static const struct row rows[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", 426},
        {"GET / HTTP/1.1\r\n" H KEY VER "Connection: Upgrade\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\n" H KEY VER "Upgrade: websocket\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\n" H KEY VER "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 426},
        {"GET / HTTP/1.0\r\n" H UP KEY VER "\r\n", 426},
        {"GET / HTTP/1.1\r\n" H UP KEY "\r\n", 426},
        {"GET / HTTP/1.1\r\n" H UP KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\n" H UP KEY "Sec-WebSocket-Version: 013\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\n" H UP VER "\r\n", 400},
        {"GET / HTTP/1.1\r\n" H UP VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H UP VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H UP VER "Sec-WebSocket-Key:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H UP KEY VER "\r\n", 400},
        {"GET / HTTP/1.1\r\n" H UP KEY VER "Content-Length: 3\r\n\r\n", 400},
    };
    char accept[29];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(parse_str(rows[i].text), 0);
        cr_expect_eq(http_check_upgrade(&req, accept), rows[i].answer, "%s", rows[i].text);
    }
}

/* ---- chunked ---- */

/* Feeds in pieces of `step` bytes; the result, the body, and what was consumed. */
static enum http_result unchunk(const char *text, size_t step, char *body, size_t *body_n,
                                size_t *consumed)
{
    struct http_chunked c = {0};
    size_t n = strlen(text), at = 0;
    enum http_result r = HTTP_MORE;
    *body_n = 0;
    while (at < n && r == HTTP_MORE) {
        size_t take = n - at < step ? n - at : step, eaten, got;
        r = http_chunked_feed(&c, bytes_of(text + at, take), &eaten, (uint8_t *)body + *body_n,
                              1000 - *body_n, &got);
        at += eaten;
        *body_n += got;
    }
    *consumed = at;
    return r;
}

Test(http, chunked_bodies_come_out_the_same_however_they_are_cut)
{
    const char *text = "5\r\nhello\r\n1;ext=\"v\"\r\n \r\n00A\r\n0123456789\r\n0\r\n"
                       "X-Trailer: y\r\n\r\nNEXT";
    for (size_t step = 1; step <= strlen(text); step++) {
        char body[1000];
        size_t n, consumed;
        cr_assert_eq(unchunk(text, step, body, &n, &consumed), HTTP_DONE);
        cr_assert_eq(consumed, strlen(text) - 4);
        cr_assert(bytes_eq(bytes_of(body, n), BYTES_LIT("hello 0123456789")));
    }
}

Test(http, malformed_chunks_are_refused_however_they_are_cut)
{
    static const char *const bad[] = {
        "\r\n",
        "g\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\nA\r\n\r\n",
        "0\r\n folded: x\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\r\n\rX",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t step = 1; step <= strlen(bad[i]); step++) {
            char body[1000];
            size_t n, consumed;
            cr_expect_eq(unchunk(bad[i], step, body, &n, &consumed), HTTP_BAD, "%s by %zu", bad[i],
                         step);
        }
    }
}

Test(http, extensions_and_trailers_are_bounded_together)
{
    struct http_chunked c = {0};
    size_t eaten, n, fed = 0;
    uint8_t out[4];
    enum http_result r = http_chunked_feed(&c, BYTES_LIT("1;"), &eaten, out, sizeof out, &n);
    while (r == HTTP_MORE) {
        r = http_chunked_feed(&c, BYTES_LIT("e"), &eaten, out, sizeof out, &n);
        fed++;
    }
    cr_assert_eq(r, HTTP_BAD);
    cr_assert_eq(fed, HTTP_CHUNK_EXTRA_BYTES_MAX);
}

Test(http, a_full_output_stops_the_decoder_without_loss)
{
    struct http_chunked c = {0};
    struct bytes in = BYTES_LIT("4\r\nabcd\r\n0\r\n\r\n");
    char body[5] = {0};
    size_t at = 0, n = 0;
    for (enum http_result r = HTTP_MORE; r != HTTP_DONE;) {
        size_t eaten, got;
        r = http_chunked_feed(&c, bytes_of(in.p + at, in.n - at), &eaten, (uint8_t *)body + n,
                              n < 4 ? 1 : 0, &got);
        cr_assert(eaten || got);
        at += eaten;
        n += got;
    }
    cr_assert_str_eq(body, "abcd");
}

/* ---- against another parser ---- */

struct oracle {
    bool headers, complete;
    uint64_t body;
};

static int oracle_headers(http_parser *p)
{
    ((struct oracle *)p->data)->headers = true;
    return 0;
}

static int oracle_body(http_parser *p, const char *at, size_t n)
{
    (void)at;
    ((struct oracle *)p->data)->body += n;
    return 0;
}

static int oracle_complete(http_parser *p)
{
    ((struct oracle *)p->data)->complete = true;
    http_parser_pause(p, 1);
    return 0;
}

/* We are the stricter one: whatever we take as a whole request, http-parser takes too, with the
 * same method, length, coding and keep-alive. */
static void compare(const char *text, size_t n)
{
    if (parse(text, n) != 0)
        return;
    http_parser p;
    struct oracle o = {0};
    http_parser_settings s;
    http_parser_settings_init(&s);
    s.on_headers_complete = oracle_headers;
    s.on_body = oracle_body;
    s.on_message_complete = oracle_complete;
    http_parser_init(&p, HTTP_REQUEST);
    p.data = &o;
    size_t eaten = http_parser_execute(&p, &s, text, used);
    if (req.method == HTTP_OTHER || req.minor == 0)
        return; /* it knows a closed list of methods */
    if (HTTP_PARSER_ERRNO(&p) == HPE_INVALID_TRANSFER_ENCODING)
        return; /* it takes a longer name, such as Transfer-Encoding9, for that header */
    if (HTTP_PARSER_ERRNO(&p) == HPE_INVALID_CONTENT_LENGTH && memchr(text, '\t', n))
        return; /* it does not know that a tab after a value is white space */
    cr_assert(o.headers, "we took what http-parser refuses (%s): %.*s",
              http_errno_name(HTTP_PARSER_ERRNO(&p)), (int)n, text);
    bool has_body = req.chunked || req.content_length;
    cr_assert(o.complete || has_body || p.upgrade, "%.*s: %s", (int)n, text,
              http_errno_name(HTTP_PARSER_ERRNO(&p)));
    cr_assert(eaten <= used);
    cr_assert_eq(!!(p.flags & F_CHUNKED), req.chunked);
    if (req.has_length && !o.complete)
        cr_assert_eq(p.content_length, req.content_length);
    if (!p.upgrade && !o.complete)
        cr_assert_eq(!!http_should_keep_alive(&p), req.keep_alive);
}

Test(http, what_we_accept_http_parser_reads_alike)
{
    uint64_t x = 88172645463325252u;
    char text[512];
    unsigned accepted = 0;
    static const char *const seeds[] = {
        "GET /a?b=c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nA: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nX: y\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET http://a/b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    };
    static const char spice[] = "\r\n\t :,;0159aAhHtT/?#%\"\\\x80\x01\xff";
    for (unsigned round = 0; round < 200000; round++) {
        const char *seed = seeds[round % 4];
        size_t n = strlen(seed);
        memcpy(text, seed, n);
        for (unsigned k = 0; k <= round % 3; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            size_t at = (x >> 8) % n;
            char c = spice[(x >> 32) % (sizeof spice - 1)];
            if (x & 1) {
                text[at] = c;
            } else {
                memmove(text + at + 1, text + at, n - at);
                text[at] = c;
                n++;
            }
        }
        compare(text, n);
        accepted += parse(text, n) == 0;
    }
    cr_assert(accepted > 10000 && accepted < 190000, "%u accepted", accepted);
}
