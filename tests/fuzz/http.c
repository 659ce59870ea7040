/*
 * Requests from a hostile client: heads are judged alike however much of them is there, what is
 * accepted keeps its promises, bodies unchunk alike in any pieces. CANARY plants a bug: any
 * accepted HTTP/1.0 request is taken for a crash.
 */
#include "gateway/http.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define promise(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "broken: %s\n", #cond);                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static enum http_result parse(struct bytes in, struct http_request *req, size_t *used, int *answer)
{
    uint8_t *exact = malloc(in.n + !in.n);
    promise(exact);
    if (in.n)
        memcpy(exact, in.p, in.n);
    enum http_result r = http_parse_head(bytes_of(exact, in.n), req, used, answer);
    free(exact);
    return r;
}

static bool is_inside(struct bytes part, struct bytes whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void judge_request(const struct http_request *req, struct bytes head)
{
    struct bytes v, decoded;
    char buf[HTTP_TARGET_BYTES_MAX], accept[29];
    bool twice;
    promise(req->n_headers <= HTTP_HEADERS_MAX);
    promise(!(req->chunked && req->has_length));
    promise(!req->minor || (http_find(req, "host", &v) && v.n));
    for (uint32_t i = 0; i < req->n_headers; i++) {
        promise(req->headers[i].name.n && is_inside(req->headers[i].name, head));
        promise(is_inside(req->headers[i].value, head));
        promise(!memchr(req->headers[i].name.p, '\n', req->headers[i].name.n));
        promise(req->headers[i].value.n == 0 ||
                !memchr(req->headers[i].value.p, '\n', req->headers[i].value.n));
    }
    promise(is_inside(req->query, head) && req->path.n > 0);
    for (unsigned n = 0; http_segment(req->path, n, &v); n++)
        promise(!memchr(v.p, '/', v.n) && n < HTTP_TARGET_BYTES_MAX);
    if (http_decode(req->path, buf, sizeof buf, &decoded))
        promise(decoded.n <= req->path.n);
    http_query(req->query, "version", &v, &twice);
    int status = http_check_upgrade(req, accept);
    promise(status == 0 || status == 400 || status == 426);
    promise(status || strlen(accept) == 28);
#ifdef CANARY
    promise(req->minor != 0);
#endif
}

static void judge_chunked(struct bytes in, size_t step)
{
    uint8_t *whole = malloc(in.n + 1), *split = malloc(in.n + 1);
    promise(whole && split);
    struct http_chunked a = {0}, b = {0};
    size_t used, n, at = 0, split_n = 0, piece_n;
    enum http_result r = http_chunked_feed(&a, in, &used, whole, in.n, &n);
    enum http_result s = HTTP_MORE;
    while (at < in.n && s == HTTP_MORE) {
        size_t take = in.n - at < step ? in.n - at : step, eaten;
        s = http_chunked_feed(&b, bytes_of(in.p + at, take), &eaten, split + split_n,
                              in.n - split_n, &piece_n);
        promise(eaten == take || s != HTTP_MORE);
        at += eaten;
        split_n += piece_n;
    }
    promise(r == s && used == at && n == split_n && memcmp(whole, split, n) == 0);
    promise(n <= in.n && a.total == n);
    free(whole);
    free(split);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request req, part;
    if (size < 1 || size > 4096)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    size_t used = 0, part_used;
    int answer = 0, part_answer;
    uint8_t *exact = malloc(in.n + !in.n);
    promise(exact);
    if (in.n)
        memcpy(exact, in.p, in.n);
    enum http_result r = http_parse_head(bytes_of(exact, in.n), &req, &used, &answer);
    promise(r != HTTP_DONE || (used > 0 && used <= in.n));
    promise(r != HTTP_BAD || answer >= 400);
    if (r == HTTP_DONE)
        judge_request(&req, bytes_of(exact, used));
    /* a prefix may want more or fail as the whole does; it is never taken for another request */
    size_t cut = in.n ? data[0] * in.n / 256 : 0;
    enum http_result p = parse(bytes_of(in.p, cut), &part, &part_used, &part_answer);
    promise(p != HTTP_DONE || (r == HTTP_DONE && part_used == used));
    promise(p != HTTP_BAD || r == HTTP_BAD);
    free(exact);
    judge_chunked(in, 1 + data[0] % 16u);
    return 0;
}
