/* problem.c - refusals over HTTP; see problem.h. */
#include "gateway/problem.h"

#include "gateway/json.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_BYTES_MAX 512u

enum status problem_code_of(enum status s)
{
    if (s <= STATUS_NOT_BUILT)
        return s;
    return status_retry(s) ? STATUS_UNAVAILABLE : STATUS_INTERNAL;
}

struct bytes problem_detail(enum status s, struct bytes detail)
{
    if (detail.n == 0)
        return bytes_str(status_hint(s));
    if (detail.n > PROBLEM_DETAIL_BYTES_MAX) {
        detail.n = PROBLEM_DETAIL_BYTES_MAX;
        while (detail.n && (detail.p[detail.n] & 0xc0) == 0x80)
            detail.n--;
    }
    return detail;
}

int problem_http(const struct problem *p)
{
    return p->http ? p->http : status_http(problem_code_of(p->status));
}

void problem_write(struct writer *w, const struct problem *p)
{
    enum status code = problem_code_of(p->status);
    int http = problem_http(p);
    json_write_lit(w, "{\"type\":\"about:blank\",\"title\":");
    json_write_string(w, bytes_str(http_reason(http)));
    json_write_lit(w, ",\"status\":");
    json_write_u64(w, (uint64_t)http);
    json_write_lit(w, ",\"detail\":");
    json_write_string(w, problem_detail(code, p->detail));
    json_write_lit(w, ",\"code\":");
    json_write_string(w, bytes_str(status_name(code)));
    write_bytes(w, p->members);
    json_write_lit(w, "}\n");
}

static struct bytes headers_of(const struct problem *p, char buf[HEADERS_BYTES_MAX])
{
    int http = problem_http(p);
    uint64_t retry_s = (p->retry_after_ms + 999ull) / 1000;
    if (retry_s == 0 && (http == 503 || http == 429))
        retry_s = 1;
    struct writer w = writer_of(buf, HEADERS_BYTES_MAX);
    if (retry_s) {
        json_write_lit(&w, "Retry-After: ");
        json_write_u64(&w, retry_s);
        json_write_lit(&w, "\r\n");
    }
    json_write_lit(&w, "X-Content-Type-Options: nosniff\r\n");
    if (http == 401)
        json_write_lit(&w, "WWW-Authenticate: Bearer\r\n");
    if (p->headers)
        json_write_lit(&w, p->headers);
    return w.ok ? writer_bytes(&w) : (struct bytes){0};
}

void problem_respond(struct conn *c, const struct problem *p)
{
    char headers[HEADERS_BYTES_MAX];
    uint8_t fixed[PROBLEM_BYTES_MAX];
    size_t room = PROBLEM_BYTES_MAX + p->members.n;
    uint8_t *buf = p->members.n ? malloc(room) : fixed;
    struct writer w = writer_of(buf ? buf : fixed, buf ? room : sizeof fixed);
    problem_write(&w, p);
    struct http_response response = {
        .status = problem_http(p),
        .content_type = "application/problem+json",
        .extra_headers = headers_of(p, headers),
        .body = w.ok ? writer_bytes(&w) : (struct bytes){0},
        .close = p->close,
    };
    conn_respond(c, &response);
    if (buf != fixed)
        free(buf);
}
