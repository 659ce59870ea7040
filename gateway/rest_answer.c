/* rest_answer.c - HTTP calls: from messages of shards to answers; see rest.h. */
#include "gateway/rest.h"

#include <stdio.h>

void rest_answer_json(struct gateway *g, struct call *call, int http, struct bytes headers,
                      struct bytes body)
{
    struct conn *c = call->peer.c;
    rest_call_close(g, call);
    gateway_respond(g, c,
                    &(struct http_response){.status = http,
                                            .content_type = "application/json",
                                            .extra_headers = headers,
                                            .body = body});
}

void rest_answer_empty(struct gateway *g, struct call *call, int http, struct bytes headers)
{
    struct conn *c = call->peer.c;
    rest_call_close(g, call);
    gateway_respond(g, c, &(struct http_response){.status = http, .extra_headers = headers});
}

/* ---- a document ---- */

struct doc_view {
    struct msg_doc m;
    struct bytes doc_id;
    struct bytes title;
    struct bytes owner;
    struct bytes roles; /* n_roles x { u8 role, str principal } */
    struct bytes content;
};

static bool read_doc(struct bytes payload, struct doc_view *d)
{
    struct reader r = reader_of(payload);
    msg_read_struct(&r, &d->m);
    d->doc_id = read_str(&r);
    d->title = read_str(&r);
    d->owner = read_str(&r);
    const uint8_t *from = r.p;
    for (uint32_t i = 0; i < d->m.n_roles && r.ok; i++) {
        (void)read_u8(&r);
        (void)read_str(&r);
    }
    d->roles = bytes_of(from, r.ok ? (size_t)(r.p - from) : 0);
    d->content = d->m.has_content ? read_str(&r) : (struct bytes){0};
    return r.ok;
}

static size_t doc_bytes_max(const struct doc_view *d)
{
    return 1024 + 6 * (d->doc_id.n + d->title.n + d->owner.n + d->roles.n) + 64ull * d->m.n_roles +
           opjson_content_bytes_max(d->content);
}

static void write_doc(struct writer *w, const struct doc_view *d)
{
    json_write_lit(w, "{\"id\":");
    json_write_string(w, d->doc_id);
    json_write_lit(w, ",\"title\":");
    json_write_string(w, d->title);
    json_write_lit(w, d->m.doc_type == DOC_RICH ? ",\"type\":\"rich\"" : ",\"type\":\"text\"");
    if (d->m.has_content) {
        json_write_lit(w, ",\"content\":");
        opjson_write_content(w, d->content, d->m.doc_type == DOC_RICH);
    }
    json_write_lit(w, ",\"version\":");
    json_write_u64(w, d->m.version);
    json_write_lit(w, ",\"history_hash\":");
    json_write_hash(w, d->m.hash);
    json_write_lit(w, ",\"owner_id\":");
    json_write_string(w, d->owner);
    json_write_lit(w, ",\"role\":");
    json_write_string(w, bytes_str(reply_role(d->m.role)));
    json_write_lit(w, ",\"collaborators\":[");
    struct reader r = reader_of(d->roles);
    for (uint32_t i = 0; i < d->m.n_roles; i++) {
        uint8_t role = read_u8(&r);
        json_write_lit(w, i ? ",{\"user_id\":" : "{\"user_id\":");
        json_write_string(w, read_str(&r));
        json_write_lit(w, ",\"role\":");
        json_write_string(w, bytes_str(reply_role(role)));
        json_write_lit(w, "}");
    }
    json_write_lit(w, "],\"created\":");
    json_write_time(w, d->m.created_ms);
    json_write_lit(w, ",\"last_modified\":");
    json_write_time(w, d->m.modified_ms);
    json_write_lit(w, "}\n");
}

/* If-None-Match (RFC 9110 13.1.2): a list of tags, or a star; weak comparison. */
static bool tag_matches(const struct http_request *req, struct bytes tag)
{
    struct bytes line;
    for (unsigned nth = 0; http_find_nth(req, "if-none-match", nth, &line); nth++) {
        if (bytes_eq(line, BYTES_LIT("*")))
            return true;
        for (size_t i = 0; i + tag.n <= line.n; i++)
            if (memcmp(line.p + i, tag.p, tag.n) == 0)
                return true; /* the quotes are part of the tag, so it is a whole one */
    }
    return false;
}

static void on_doc(struct gateway *g, struct call *call, struct bytes payload)
{
    struct doc_view d;
    char tag[32];
    char headers[256];
    if (!read_doc(payload, &d)) {
        rest_fail_status(g, call, STATUS_INTERNAL, NULL);
        return;
    }
    if (call->what == REST_ROLES) {
        rest_answer_roles(g, call, &d.m, d.roles);
        return;
    }
    snprintf(tag, sizeof tag, "\"%llu\"", (unsigned long long)d.m.version);
    int n =
        snprintf(headers, sizeof headers, "ETag: %s\r\nCache-Control: private, no-cache\r\n", tag);
    if (call->what == REST_GET && tag_matches(call->req, bytes_str(tag))) {
        rest_answer_empty(g, call, 304, bytes_of(headers, (size_t)n));
        return;
    }
    if (call->what == REST_CREATE)
        n += snprintf(headers + n, sizeof headers - (size_t)n, "Location: /docs/%.*s\r\n",
                      (int)(d.doc_id.n < 128 ? d.doc_id.n : 128), (const char *)d.doc_id.p);
    size_t bytes_max = doc_bytes_max(&d);
    uint8_t *buf = malloc(bytes_max);
    struct writer w = writer_of(buf, buf ? bytes_max : 0);
    write_doc(&w, &d);
    if (w.ok)
        rest_answer_json(g, call, call->what == REST_CREATE ? 201 : 200,
                         bytes_of(headers, (size_t)n), writer_bytes(&w));
    else
        rest_fail_status(g, call, STATUS_NO_MEMORY, NULL);
    free(buf);
}

/* ---- acks ---- */

static bool write_acks(struct writer *w, struct reader *r, uint32_t n_acks)
{
    struct msg_ack a;
    for (uint32_t i = 0; i < n_acks; i++) {
        msg_read_struct(r, &a);
        if (!r->ok)
            return false;
        json_write_lit(w, i ? ",{\"seq\":" : "{\"seq\":");
        if (a.flags & MSG_ACK_NO_SEQ)
            json_write_lit(w, "null");
        else
            json_write_u64(w, a.seq);
        json_write_lit(w, ",\"new_version\":");
        if (a.flags & MSG_ACK_NO_VERSION)
            json_write_lit(w, "null");
        else
            json_write_u64(w, a.version);
        json_write_lit(w, "}");
    }
    return w->ok;
}

static void on_acks(struct gateway *g, struct call *call, struct bytes payload)
{
    struct reader r = reader_of(payload);
    struct msg_acks m;
    msg_read_struct(&r, &m);
    enum status refusal = (enum status)m.status;
    bool has_seq = m.flags & MSG_ERROR_SEQ;
    uint64_t seq = m.seq;
    if (refusal == STATUS_OK && call->has_refusal) {
        refusal = call->refusal;
        has_seq = call->refusal_has_seq;
        seq = call->refusal_seq;
    }
    size_t bytes_max = 128 + 80 * (payload.n / sizeof(struct msg_ack) + 1);
    uint8_t *buf = malloc(bytes_max);
    struct writer w = writer_of(buf, buf ? bytes_max : 0);
    json_write_lit(&w, refusal == STATUS_OK ? "{\"acks\":[" : ",\"acks\":[");
    bool fine = write_acks(&w, &r, m.n_acks);
    json_write_lit(&w, "]");
    if (refusal == STATUS_OK) {
        json_write_lit(&w, "}\n");
    } else {
        json_write_lit(&w, has_seq ? ",\"seq\":" : ",\"seq\":null");
        if (has_seq)
            json_write_u64(&w, seq);
    }
    if (!fine || !w.ok)
        rest_fail_status(g, call, buf ? STATUS_INTERNAL : STATUS_NO_MEMORY, NULL);
    else if (refusal == STATUS_OK)
        rest_answer_json(g, call, 200, (struct bytes){0}, writer_bytes(&w));
    else
        rest_fail(g, call, &(struct problem){.status = refusal, .members = writer_bytes(&w)});
    free(buf);
}

/* ---- the rest ---- */

/* A change that is done: what is shown of it. */
static void on_done(struct gateway *g, struct call *call)
{
    uint8_t buf[64 + 6 * LIMIT_PRINCIPAL_BYTES];
    struct writer w = writer_of(buf, sizeof buf);
    switch ((int)call->what) {
    case REST_TITLE:
    case REST_RESTORE:
    case REST_CREATE:
        if (!call->is_second) {
            call->is_second = true;
            if (rest_send(g, call, MSG_DOC_GET, &(struct msg_call){.arg8 = DOC_AT_NOW}, NULL))
                return;
        }
        rest_answer_empty(g, call, 204, (struct bytes){0});
        return;
    case REST_ROLE_SET:
        json_write_lit(&w, "{\"user_id\":");
        json_write_string(&w, call->principal);
        json_write_lit(&w, ",\"role\":");
        json_write_string(&w, bytes_str(reply_role(call->role)));
        json_write_lit(&w, "}\n");
        rest_answer_json(g, call, 200, (struct bytes){0}, writer_bytes(&w));
        return;
    default:
        rest_answer_empty(g, call, 204, (struct bytes){0});
        return;
    }
}

static void on_fail(struct gateway *g, struct call *call, struct bytes payload)
{
    struct reader r = reader_of(payload);
    struct msg_error m;
    char seq[48] = "";
    msg_read_struct(&r, &m);
    struct bytes detail = read_str(&r);
    if (call->is_second) { /* the change stands, whatever came between it and our reading */
        rest_answer_empty(g, call, 204, (struct bytes){0});
        return;
    }
    if (call->what == REST_OPS && (m.flags & MSG_ERROR_SEQ))
        snprintf(seq, sizeof seq, ",\"acks\":[],\"seq\":%llu", (unsigned long long)m.seq);
    rest_fail(
        g, call,
        &(struct problem){.status = r.ok && m.status ? (enum status)m.status : STATUS_INTERNAL,
                          .detail = detail,
                          .retry_after_ms = m.retry_after_ms,
                          .members = bytes_str(seq),
                          /* the other shards' pages must meet a dead tag */
                          .close = call->what == REST_LIST});
}

static bool expects(const struct call *call, uint16_t type)
{
    switch (type) {
    case MSG_FAIL:
        return true;
    case MSG_DOC:
        return call->what == REST_GET || call->what == REST_CREATE || call->what == REST_ROLES ||
               call->what == REST_TITLE || call->what == REST_RESTORE;
    case MSG_DONE:
        return call->what == REST_TITLE || call->what == REST_RESTORE ||
               call->what == REST_CREATE || call->what == REST_DELETE ||
               call->what == REST_ROLE_SET || call->what == REST_ROLE_ERASE;
    case MSG_ACKS:
        return call->what == REST_OPS;
    case MSG_DOC_ITEMS:
        return call->what == REST_LIST;
    case MSG_HISTORY_ITEMS:
        return call->what == REST_HISTORY;
    default:
        return false;
    }
}

void rest_message(struct gateway *g, struct call *call, uint32_t shard, uint16_t type,
                  struct bytes payload)
{
    if (!expects(call, type) || (call->what != REST_LIST && shard != call->peer.shard))
        return;
    if (type == MSG_FAIL)
        on_fail(g, call, payload);
    else if (type == MSG_DOC)
        on_doc(g, call, payload);
    else if (type == MSG_DONE)
        on_done(g, call);
    else if (type == MSG_ACKS)
        on_acks(g, call, payload);
    else if (type == MSG_DOC_ITEMS)
        rest_list_page(g, call, shard, payload);
    else
        rest_answer_history(g, call, payload);
}
