/* conn_http.c - requests off a connection's bytes, and answers; see conn.h. */
#include "gateway/conn_inside.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ANSWER_HEAD_BYTES 512u /* besides content type and extra headers */

void conn_request_free(struct conn *c)
{
    free(c->request);
    c->request = NULL;
}

/* ---- answers ---- */

/* IMF-fixdate of this second (RFC 9110 5.6.7), made once a second. */
static const char *date_of(struct conns *cs)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t s = clock_unix_ms() / 1000;
    if (s == cs->date_s && cs->date[0])
        return cs->date;
    time_t t = (time_t)s;
    struct tm tm;
    gmtime_r(&t, &tm);
    cs->date_s = s;
    snprintf(cs->date, sizeof cs->date, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
             tm.tm_mday, months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min,
             tm.tm_sec);
    return cs->date;
}

static void write_text(struct writer *w, const char *text)
{
    write_bytes(w, bytes_str(text));
}

static void write_number(struct writer *w, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    write_text(w, text);
}

struct answer {
    const struct http_response *r;
    bool keep_alive;
    bool old; /* HTTP/1.0, which has to be told that it is kept */
    bool head_only;
};

static void write_head(struct conns *cs, struct writer *w, const struct answer *a)
{
    int status = a->r->status;
    write_text(w, "HTTP/1.1 ");
    write_number(w, (uint64_t)status);
    write_text(w, " ");
    write_text(w, http_reason(status));
    write_text(w, "\r\nDate: ");
    write_text(w, date_of(cs));
    if (status != 304 && status != 204) {
        if (a->r->content_type) {
            write_text(w, "\r\nContent-Type: ");
            write_text(w, a->r->content_type);
        }
        write_text(w, "\r\nContent-Length: ");
        write_number(w, a->r->content_type ? a->r->body.n : 0);
    }
    if (status == 426)
        write_text(w, "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13");
    if (!a->keep_alive)
        write_text(w, status == 426 ? "\r\nConnection: Upgrade, close" : "\r\nConnection: close");
    else if (status == 426)
        write_text(w, "\r\nConnection: Upgrade");
    else if (a->old)
        write_text(w, "\r\nConnection: keep-alive");
    write_text(w, "\r\n");
    write_bytes(w, a->r->extra_headers);
    write_text(w, "\r\n");
}

static void send_answer(struct conn *c, const struct answer *a)
{
    struct loop *l = c->cs->loop;
    int status = a->r->status;
    bool bare = a->head_only || !a->r->content_type || status == 304 || status == 204;
    size_t room = ANSWER_HEAD_BYTES + a->r->extra_headers.n + (bare ? 0 : a->r->body.n) +
                  (a->r->content_type ? strlen(a->r->content_type) : 0);
    struct slab *slab;
    uint32_t offset;
    uint8_t *p = slab_reserve(l, room, &slab);
    if (!p) {
        conn_cut(c);
        return;
    }
    struct writer w = writer_of(p, room);
    write_head(c->cs, &w, a);
    if (!bare)
        write_bytes(&w, a->r->body);
    slab_commit(l, slab, w.ok ? writer_n(&w) : 0, &offset);
    if (!w.ok || !conn_out(c, slab, offset, (uint32_t)writer_n(&w)))
        conn_cut(c);
    else
        c->unbounded_bytes += writer_n(&w);
}

/* The request is done with; the next may come. */
static void next_request(struct conn *c)
{
    conn_request_free(c);
    conn_buffer_free(c, &c->message);
    c->state = CONN_HEAD;
    conn_wait_for(c, WAIT_IDLE);
    conn_set_ready(c); /* what came meanwhile */
}

void conn_respond(struct conn *c, const struct http_response *r)
{
    if (c->state != CONN_WAIT)
        return;
    const struct http_request *req = &c->request->req;
    struct answer a = {.r = r,
                       .keep_alive = req->keep_alive && !r->close,
                       .old = req->minor == 0,
                       .head_only = req->method == HTTP_HEAD};
    send_answer(c, &a);
    if (c->state != CONN_WAIT) /* it was cut off: no memory */
        return;
    if (a.keep_alive)
        next_request(c);
    else
        conn_end(c);
}

void conn_http_fail(struct conn *c, int status, const char *code, const char *detail)
{
    char body[512];
    int n = snprintf(body, sizeof body,
                     "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\","
                     "\"code\":\"%s\"}",
                     http_reason(status), status, detail, code);
    struct http_response r = {.status = status,
                              .content_type = "application/problem+json",
                              .body = bytes_of(body, n > 0 ? (size_t)n : 0)};
    bool head_only = c->request && c->request->req.method == HTTP_HEAD;
    if (c->state == CONN_ENDING)
        return;
    send_answer(c, &(struct answer){.r = &r, .head_only = head_only});
    conn_end(c);
}

void conn_upgrade(struct conn *c, const char *protocol)
{
    char accept[29], text[512];
    if (c->state != CONN_WAIT)
        return;
    int refused = http_check_upgrade(&c->request->req, accept);
    if (refused) {
        conn_http_fail(c, refused, "upgrade_required", "a WebSocket upgrade is needed here");
        return;
    }
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s%s%s\r\n",
                     accept, protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
                     protocol ? "\r\n" : "");
    if (n <= 0 || n >= (int)sizeof text || !conn_out_copy(c, bytes_of(text, (size_t)n))) {
        conn_cut(c);
        return;
    }
    conn_request_free(c);
    conn_buffer_free(c, &c->message);
    conn_wait_for(c, WAIT_NONE);
    ws_init(&c->ws, &c->cs->ws_limits);
    c->state = CONN_WS;
    conn_set_ready(c); /* frames may have come with the request */
}

/* ---- requests ---- */

static void refuse_head(struct conn *c, int status)
{
    switch (status) {
    case 414:
        conn_http_fail(c, status, "too_large", "the target is too long");
        break;
    case 417:
        conn_http_fail(c, status, "bad_message", "only 100-continue can be expected");
        break;
    case 431:
        conn_http_fail(c, status, "too_large", "too many headers, or too long ones");
        break;
    case 501:
        conn_http_fail(c, status, "not_implemented", "no such method or transfer coding here");
        break;
    case 505:
        conn_http_fail(c, status, "not_implemented", "HTTP/1.1 is spoken here");
        break;
    default:
        conn_http_fail(c, status, "bad_message", "not a well-formed HTTP/1.1 request");
        break;
    }
}

static void refuse_body(struct conn *c)
{
    conn_http_fail(c, 413, "too_large", "the body is larger than this call takes");
}

static void hand_over(struct conn *c)
{
    c->state = CONN_WAIT;
    conn_wait_for(c, WAIT_NONE);
    c->cs->handler.on_request(c->cs->handler.self, c, &c->request->req,
                              bytes_of(c->message.p, c->message.n));
}

/* The head gets memory of its own: what comes after it must not move what points into it. */
static bool keep_head(struct conn *c, const uint8_t *p, size_t n)
{
    size_t used;
    int answer;
    struct conn_request *r = malloc(sizeof *r + n);
    if (!r)
        return false;
    memcpy(r->head, p, n);
    r->head_bytes = (uint32_t)n;
    r->chunked = (struct http_chunked){0};
    if (http_parse_head(bytes_of(r->head, n), &r->req, &used, &answer) != HTTP_DONE) {
        free(r);
        return false;
    }
    c->request = r;
    return true;
}

static size_t run_head(struct conn *c, const uint8_t *p, size_t n)
{
    struct conns *cs = c->cs;
    size_t used = 0;
    int answer = 0;
    enum http_result r = http_parse_head(bytes_of(p, n), &cs->scratch_request, &used, &answer);
    if (r == HTTP_MORE) {
        if (c->has_ended)
            conn_end(c);
        return 0;
    }
    if (r == HTTP_BAD) {
        refuse_head(c, answer);
        return n;
    }
    if (!keep_head(c, p, used)) {
        conn_http_fail(c, 503, "unavailable", "no memory for this request");
        return n;
    }
    struct http_request *req = &c->request->req;
    uint64_t max = cs->handler.body_bytes_max(cs->handler.self, req);
    c->request->body_bytes_max = max;
    if (req->content_length > max) {
        refuse_body(c);
        return n;
    }
    if (!req->chunked && req->content_length == 0) {
        hand_over(c);
        return used;
    }
    c->state = CONN_BODY;
    conn_wait_for(c, WAIT_BODY);
    if (req->expect_continue && n == used)
        conn_out_copy(c, BYTES_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
    return used;
}

static size_t run_length(struct conn *c, const uint8_t *p, size_t n)
{
    uint64_t left = c->request->req.content_length - c->message.n;
    size_t take = n < left ? n : (size_t)left;
    if (!conn_buffer_add(c, &c->message, p, take)) {
        conn_http_fail(c, 503, "unavailable", "too much is waiting");
        return n;
    }
    if (take == left)
        hand_over(c);
    return take;
}

static size_t run_chunked(struct conn *c, const uint8_t *p, size_t n)
{
    struct http_chunked *k = &c->request->chunked;
    uint8_t out[4096];
    size_t used, got;
    enum http_result r = http_chunked_feed(k, bytes_of(p, n), &used, out, sizeof out, &got);
    if (r == HTTP_BAD) {
        conn_http_fail(c, 400, "bad_message", "not a well-formed chunked body");
        return n;
    }
    /* what was announced counts, so that a large chunk is refused before it comes */
    if (k->total + k->left > c->request->body_bytes_max) {
        refuse_body(c);
        return n;
    }
    if (!conn_buffer_add(c, &c->message, out, got)) {
        conn_http_fail(c, 503, "unavailable", "too much is waiting");
        return n;
    }
    if (r == HTTP_DONE)
        hand_over(c);
    return used;
}

size_t conn_http_run(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->state == CONN_HEAD)
        return n ? run_head(c, p, n) : 0;
    if (n == 0)
        return 0;
    return c->request->req.chunked ? run_chunked(c, p, n) : run_length(c, p, n);
}
