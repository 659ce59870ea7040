/*
 * http.h - HTTP/1.1 requests: a sans-IO parser. Bytes in, one request out; results are slices of
 * the input.
 *
 * http_parse_head looks for one whole request head at the start of the input. It is strict (RFC
 * 9112): CRLF line ends only, no folding, no white space before colons, no NUL or control bytes,
 * exactly one Host (1.1), at most one Content-Length, never both that and Transfer-Encoding;
 * `Transfer-Encoding: chunked` alone is decoded by http_chunked. A target is origin-form, `*` (of
 * OPTIONS), or absolute-form whose authority equals Host. Headers that must stand once (Host,
 * Content-Length, Transfer-Encoding, Content-Type, Authorization, Origin, Sec-WebSocket-Key and
 * -Version) are refused when they stand twice, so http_find can't be told two things. Anything else
 * is refused with the status to answer, as soon as the bytes that show it are there. Pure; no
 * allocation. Sources: RFC 9110, 9112, 6455 section 4.2.1.
 *
 * http.c: heads. http_text.c: questions about a head. http_chunked.c: bodies.
 */
#ifndef PENSTOCK_GATEWAY_HTTP_H
#define PENSTOCK_GATEWAY_HTTP_H

#include "base/bytes.h"
#include "base/status.h"

#define HTTP_HEAD_BYTES_MAX   (24u << 10)
#define HTTP_HEADERS_MAX      64u
#define HTTP_TARGET_BYTES_MAX 4096u

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

struct http_header {
    struct bytes name;  /* as sent; compare with http_header_is */
    struct bytes value; /* white space around it removed */
};

struct http_request {
    enum http_method method;
    struct bytes method_text;
    struct bytes target;
    struct bytes path;  /* up to '?', still percent-encoded */
    struct bytes query; /* after '?'; empty: none */
    uint8_t minor;      /* HTTP/1.minor */
    bool keep_alive;
    bool chunked;
    bool has_length;
    bool expect_continue;
    uint64_t content_length;
    uint32_t n_headers;
    struct http_header headers[HTTP_HEADERS_MAX];
};

enum http_result { HTTP_MORE, HTTP_DONE, HTTP_BAD };

/* HTTP_DONE: *used bytes were the head. HTTP_BAD: *answer is the status to send before closing. */
enum http_result http_parse_head(struct bytes in, struct http_request *req, size_t *used,
                                 int *answer);

/* The one header of that name (lower case); false if absent. */
bool http_find(const struct http_request *req, const char *name, struct bytes *value);
/* The nth (from 0) header of that name: lists such as Sec-WebSocket-Protocol may stand on several
 * lines. */
bool http_find_nth(const struct http_request *req, const char *name, unsigned nth,
                   struct bytes *value);
bool http_header_is(struct bytes name, const char *lower);
/* Whether a comma-separated header has that token, letter case aside. */
bool http_has_token(struct bytes value, const char *token);
/* The same over all headers of that name (lower case). */
bool http_list_has(const struct http_request *req, const char *name, const char *token);

/* Percent-decodes a path segment or query value ('+' stays) into buf; false: malformed, too long,
 * NUL, or not UTF-8. */
bool http_decode(struct bytes in, char *buf, size_t buf_bytes, struct bytes *out);
/* The n-th segment of a path ("/docs/x/ops": 0 docs, 1 x, 2 ops), raw; false past the end. */
bool http_segment(struct bytes path, unsigned n, struct bytes *segment);
/* A query parameter by name; more than once: *twice. Raw value. */
bool http_query(struct bytes query, const char *name, struct bytes *value, bool *twice);

/* RFC 6455 4.2.1. 0: a fine upgrade, and `accept` holds the 28 characters of Sec-WebSocket-Accept;
 * else the status to answer (400 or 426). */
int http_check_upgrade(const struct http_request *req, char accept[29]);

/* Extensions of all chunks, and trailers, together. */
#define HTTP_CHUNK_EXTRA_BYTES_MAX 4096u

/* Chunked bodies, decoded in place as they come. Start from zeroes. */
struct http_chunked {
    uint64_t left;  /* of the chunk under way */
    uint64_t total; /* decoded so far */
    uint32_t line_bytes;
    uint8_t state;
};
/* Consumes *used of in, writes decoded bytes to out (at most out_bytes; *n written; out may be the
 * input's own memory, at or before its start). HTTP_DONE at the end of the body. HTTP_MORE with
 * *used < in.n: out is full. Trailers are checked and dropped. */
enum http_result http_chunked_feed(struct http_chunked *c, struct bytes in, size_t *used,
                                   uint8_t *out, size_t out_bytes, size_t *n);

const char *http_reason(int status);

#endif
