/* rest.c - HTTP calls: from requests to messages to the shards; see rest.h. */
#include "gateway/rest.h"

#include "gateway/base64.h"
#include "gateway/batch.h"
#include "gateway/cursor.h"
#include "net/op.h"

#include <stdio.h>
#include <sys/random.h>

#define DOC_ID_RANDOM_BYTES 16u /* 128 bits: 22 characters */

/* ---- calls ---- */

static struct bytes keep(uint8_t **at, struct bytes b)
{
    struct bytes kept = bytes_of(*at, b.n);
    if (b.n)
        memcpy(*at, b.p, b.n);
    *at += b.n;
    return kept;
}

struct call *rest_call_open(struct gateway *g, struct conn *c, const struct http_request *req,
                            enum rest_what what, const struct token_claims *claims,
                            struct bytes doc_id, struct bytes principal)
{
    uint8_t identity[GATEWAY_IDENTITY_BYTES];
    struct writer w = writer_of(identity, sizeof identity);
    msg_write_identity(&w, &claims->identity);
    struct bytes user = claims->identity.user;
    size_t n = writer_n(&w) + user.n + doc_id.n + principal.n;
    struct call *call = w.ok ? calloc(1, sizeof *call + n) : NULL;
    if (!call) {
        gateway_respond_status(g, c, STATUS_NO_MEMORY);
        return NULL;
    }
    uint8_t *at = call->data;
    call->identity = keep(&at, writer_bytes(&w));
    call->user = keep(&at, user);
    call->doc_id = keep(&at, doc_id);
    call->principal = keep(&at, principal);
    call->peer.kind = PEER_CALL;
    call->peer.c = c;
    call->peer.shard = msg_shard_of(claims->identity.tenant, doc_id, g->o.n_shards);
    call->what = what;
    call->req = req;
    g->n_calls++;
    conn_set_user(c, call);
    wheel_insert(&g->wheel, &call->peer.timer, gateway_now_s(g) + GATEWAY_CALL_S_MAX);
    return call;
}

void rest_call_close(struct gateway *g, struct call *call)
{
    conn_set_user(call->peer.c, NULL);
    wheel_erase(&g->wheel, &call->peer.timer);
    rest_list_free(call->gather);
    g->n_calls--;
    free(call);
}

void rest_gone(struct gateway *g, struct call *call)
{
    rest_call_close(g, call);
}

void rest_fail(struct gateway *g, struct call *call, const struct problem *p)
{
    struct conn *c = call->peer.c;
    rest_call_close(g, call);
    gateway_respond_problem(g, c, p);
}

void rest_fail_status(struct gateway *g, struct call *call, enum status s, const char *detail)
{
    rest_fail(g, call, &(struct problem){.status = s, .detail = bytes_str(detail)});
}

void rest_timer(struct gateway *g, struct call *call)
{
    gateway_refuse(g, REFUSAL_TIMEOUT);
    rest_fail(g, call, &(struct problem){.status = STATUS_UNAVAILABLE, .close = true});
}

bool rest_send(struct gateway *g, struct call *call, enum msg_type type,
               const struct msg_call *fixed, const struct bytes *extra)
{
    struct writer w = writer_of(g->out, g->out_bytes);
    struct msg_call m = *fixed;
    m.head = (struct msg_head){conn_tag(call->peer.c), MSG_NO_SESSION, 0};
    msg_write_struct(&w, &m);
    write_bytes(&w, call->identity);
    write_str(&w, call->doc_id);
    if (extra)
        write_str(&w, *extra);
    return w.ok && uplink_try(&g->uplink, call->peer.shard, (uint16_t)type, writer_bytes(&w));
}

static void send_or_fail(struct gateway *g, struct call *call, enum msg_type type,
                         const struct msg_call *fixed, const struct bytes *extra)
{
    if (rest_send(g, call, type, fixed, extra))
        return;
    gateway_refuse(g, REFUSAL_RING_FULL);
    rest_fail_status(g, call, STATUS_UNAVAILABLE, NULL);
}

/* ---- what each call asks of the shard ---- */

static bool make_doc_id(char *buf, size_t buf_bytes, struct bytes *id)
{
    uint8_t random[DOC_ID_RANDOM_BYTES];
    do {
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
            return false;
        struct writer w = writer_of(buf, buf_bytes);
        base64_write(&w, bytes_of(random, sizeof random));
        if (!w.ok)
            return false;
        *id = writer_bytes(&w);
    } while (buf[0] == '-'); /* a command line would take it for an option */
    return true;
}

/* Content as an op, behind what rest_send and the message will use of g->out. */
static enum status read_content(struct gateway *g, const struct rest_body *body, bool rich,
                                struct bytes *content)
{
    struct json j;
    struct op_shape shape;
    *content = (struct bytes){0};
    if (!body->has_content)
        return STATUS_OK;
    struct writer w = writer_of(g->out + LIMIT_RECORD_BYTES, LIMIT_DOCUMENT_BYTES);
    json_init(&j, body->content, g->json_scratch + g->scratch_bytes, g->scratch_bytes);
    if (rich && json_peek(&j) == JSON_STRING)
        return STATUS_BAD_MESSAGE; /* what GET would not give back is not taken either */
    enum status s = opjson_read_content(&j, rich, LIMIT_DOCUMENT_UNITS, &w, g->op_scratch,
                                        g->op_scratch_bytes, content);
    if (s != STATUS_OK)
        return s;
    struct op_limits limits = {.parts_max = LIMIT_DOCUMENT_UNITS, .rich = rich, .content = true};
    s = op_check(*content, &limits, &shape);
    if (s == STATUS_OK && shape.insert_u16 > g->o.document_units_max)
        s = STATUS_TOO_LARGE;
    return s;
}

static const char *wrong_with_new(const struct rest_body *body)
{
    if (body->has_type && !bytes_eq(body->type, BYTES_LIT("text")) &&
        !bytes_eq(body->type, BYTES_LIT("rich")))
        return "type is \"text\" or \"rich\"";
    if (body->has_id && !id_is_doc(body->id))
        return "id is 1 to 128 characters of [A-Za-z0-9_.~-]";
    return NULL;
}

static void create(struct gateway *g, struct conn *c, const struct http_request *req,
                   const struct token_claims *claims, struct bytes text)
{
    struct rest_body body;
    char made[32];
    if (!rest_read_body(g, c, text, &body))
        return;
    struct bytes content, id = body.id;
    bool rich = body.has_type && bytes_eq(body.type, BYTES_LIT("rich"));
    const char *wrong = wrong_with_new(&body);
    enum status s = wrong ? STATUS_BAD_MESSAGE : read_content(g, &body, rich, &content);
    if (s == STATUS_OK && body.title.n > LIMIT_TITLE_BYTES)
        s = STATUS_TOO_LARGE;
    if (s == STATUS_OK && !body.has_id && !make_doc_id(made, sizeof made, &id))
        s = STATUS_INTERNAL;
    if (s != STATUS_OK) {
        gateway_respond_problem(g, c, &(struct problem){.status = s, .detail = bytes_str(wrong)});
        return;
    }
    struct call *call = rest_call_open(g, c, req, REST_CREATE, claims, id, (struct bytes){0});
    if (!call)
        return;
    struct writer w = writer_of(g->out, LIMIT_RECORD_BYTES);
    struct msg_call m = {.head = {conn_tag(c), MSG_NO_SESSION, 0},
                         .arg8 = rich ? DOC_RICH : DOC_TEXT};
    msg_write_struct(&w, &m);
    write_bytes(&w, call->identity);
    write_str(&w, id);
    write_str(&w, body.title);
    write_str(&w, content);
    if (w.ok && uplink_try(&g->uplink, call->peer.shard, MSG_DOC_CREATE, writer_bytes(&w)))
        return;
    gateway_refuse(g, REFUSAL_RING_FULL);
    rest_fail_status(g, call, w.ok ? STATUS_UNAVAILABLE : STATUS_TOO_LARGE, NULL);
}

static void get(struct gateway *g, struct call *call)
{
    char buf[64];
    struct bytes version, at;
    struct msg_call m = {0};
    int has_version = rest_query(call->req, "version", buf, sizeof buf, &version);
    if (has_version > 0) {
        m.arg8 = DOC_AT_VERSION;
        has_version = id_whole(version, &m.arg64) ? 1 : -1;
    }
    int has_at = rest_query(call->req, "at", buf, sizeof buf, &at);
    if (has_at > 0) {
        m.arg8 = DOC_AT_TIME;
        has_at = clock_parse((const char *)at.p, at.n, &m.arg64) ? 1 : -1;
    }
    if (has_version < 0 || has_at < 0 || (has_version && has_at)) {
        rest_fail_status(g, call, STATUS_BAD_MESSAGE,
                         "version is a whole number, at an RFC 3339 time; one of them");
        return;
    }
    send_or_fail(g, call, MSG_DOC_GET, &m, NULL);
}

static int read_version(const struct http_request *req, const char *name, uint64_t *v)
{
    char buf[64];
    struct bytes text;
    int there = rest_query(req, name, buf, sizeof buf, &text);
    return there > 0 && !id_whole(text, v) ? -1 : there;
}

static void history(struct gateway *g, struct call *call)
{
    uint8_t buf[CURSOR_TEXT_BYTES_MAX];
    struct cursor cursor = {0};
    bool has_cursor = false;
    struct msg_call m = {.arg64 = 1, .arg64b = UINT64_MAX};
    const char *wrong =
        rest_read_page(call->req, CURSOR_HISTORY, buf, &call->limit, &cursor, &has_cursor);
    if (!wrong && (read_version(call->req, "from", &m.arg64) < 0 ||
                   read_version(call->req, "to", &m.arg64b) < 0))
        wrong = "from and to are versions";
    if (wrong) {
        rest_fail_status(g, call, STATUS_BAD_MESSAGE, wrong);
        return;
    }
    if (has_cursor && cursor.number > m.arg64)
        m.arg64 = cursor.number;
    m.arg32 = call->limit;
    send_or_fail(g, call, MSG_DOC_HISTORY, &m, NULL);
}

static void roles(struct gateway *g, struct call *call)
{
    uint8_t buf[CURSOR_TEXT_BYTES_MAX];
    struct cursor cursor;
    bool has_cursor;
    const char *wrong =
        rest_read_page(call->req, CURSOR_ROLES, buf, &call->limit, &cursor, &has_cursor);
    if (wrong) {
        rest_fail_status(g, call, STATUS_BAD_MESSAGE, wrong);
        return;
    }
    send_or_fail(g, call, MSG_DOC_GET, &(struct msg_call){.arg8 = DOC_AT_NOW}, NULL);
}

static void title(struct gateway *g, struct conn *c, const struct http_request *req,
                  const struct token_claims *claims, struct bytes doc_id, struct bytes text)
{
    struct rest_body body;
    if (!rest_read_body(g, c, text, &body))
        return;
    if (!body.has_title || body.title.n > LIMIT_TITLE_BYTES) {
        gateway_respond_problem(
            g, c,
            &(struct problem){.status = body.has_title ? STATUS_TOO_LARGE : STATUS_BAD_MESSAGE,
                              .detail = BYTES_LIT("title is a string of at most 1024 bytes")});
        return;
    }
    struct call *call = rest_call_open(g, c, req, REST_TITLE, claims, doc_id, (struct bytes){0});
    if (call)
        send_or_fail(g, call, MSG_DOC_TITLE, &(struct msg_call){0}, &body.title);
}

static void role(struct gateway *g, struct conn *c, const struct http_request *req,
                 const struct rest_route *route, const struct token_claims *claims,
                 struct bytes doc_id, struct bytes text)
{
    char buf[LIMIT_PRINCIPAL_BYTES + 1];
    struct bytes principal;
    struct rest_body body;
    struct msg_call m = {.arg8 = DOC_ROLE_NONE};
    const char *wrong = NULL;
    if (route->what == REST_ROLE_SET) {
        if (!rest_read_body(g, c, text, &body))
            return;
        m.arg8 = reply_role_of(body.role);
        if (m.arg8 == DOC_ROLE_NONE)
            wrong = "role is one of owner, editor, commenter, viewer";
    }
    if (!http_decode(route->args[1], buf, sizeof buf, &principal) || !id_is_principal(principal))
        wrong = "a principal is a user id, or group:NAME";
    if (wrong) {
        gateway_respond_problem(
            g, c, &(struct problem){.status = STATUS_BAD_MESSAGE, .detail = bytes_str(wrong)});
        return;
    }
    struct call *call = rest_call_open(g, c, req, route->what, claims, doc_id, principal);
    if (!call)
        return;
    call->role = m.arg8;
    send_or_fail(g, call, MSG_DOC_ROLE, &m, &principal);
}

/* ---- POST .../ops ---- */

static bool read_ops(struct gateway *g, const struct rest_body *body, struct batch *b)
{
    struct json j;
    *b = (struct batch){.parts_max = g->o.op_parts_max,
                        .scratch = g->op_scratch,
                        .scratch_bytes = g->op_scratch_bytes};
    json_init(&j, body->ops, g->json_scratch + g->scratch_bytes, g->scratch_bytes);
    batch_begin(b, writer_of(g->out, g->out_bytes));
    if (!body->has_ops || json_peek(&j) != JSON_ARRAY || !json_enter(&j, JSON_ARRAY))
        return false;
    while (json_element(&j) && batch_add(b, &j))
        ;
    return b->n_ops || b->refused != STATUS_OK;
}

static void refuse_ops(struct gateway *g, struct conn *c, const struct batch *b)
{
    char seq[40] = "";
    if (b->refused_has_seq)
        snprintf(seq, sizeof seq, ",\"acks\":[],\"seq\":%llu", (unsigned long long)b->refused_seq);
    gateway_respond_problem(g, c,
                            &(struct problem){.status = b->refused,
                                              .detail = bytes_str(b->why),
                                              .members = bytes_str(seq)});
}

static void ops(struct gateway *g, struct conn *c, const struct http_request *req,
                const struct token_claims *claims, struct bytes doc_id, struct bytes text)
{
    struct rest_body body;
    struct batch b;
    char made[32];
    if (!rest_read_body(g, c, text, &body))
        return;
    if (!read_ops(g, &body, &b)) {
        gateway_refuse(g, REFUSAL_BAD_MESSAGE);
        gateway_respond_problem(g, c,
                                &(struct problem){.status = STATUS_BAD_MESSAGE,
                                                  .detail = BYTES_LIT("ops is a list of ops")});
        return;
    }
    if (b.n_ops == 0) {
        refuse_ops(g, c, &b);
        return;
    }
    if (b.client_id.n == 0 && !make_doc_id(made, sizeof made, &b.client_id)) {
        gateway_respond_status(g, c, STATUS_INTERNAL);
        return;
    }
    struct call *call = rest_call_open(g, c, req, REST_OPS, claims, doc_id, (struct bytes){0});
    if (!call)
        return;
    call->has_refusal = b.refused != STATUS_OK;
    call->refusal = b.refused;
    call->refusal_has_seq = b.refused_has_seq;
    call->refusal_seq = b.refused_seq;
    batch_end(&b, (struct msg_head){conn_tag(c), MSG_NO_SESSION, 0}, MSG_OPS_CALL);
    write_bytes(&b.w, call->identity);
    write_str(&b.w, doc_id);
    write_str(&b.w, b.client_id);
    struct bytes payload = writer_bytes(&b.w);
    bool fits = b.w.ok && payload.n <= uplink_payload_max(&g->uplink, call->peer.shard);
    if (fits && uplink_try(&g->uplink, call->peer.shard, MSG_OPS, payload)) {
        counter_bump(g->n.ops_in, b.n_ops);
        return;
    }
    gateway_refuse(g, REFUSAL_RING_FULL);
    rest_fail_status(g, call, fits ? STATUS_UNAVAILABLE : STATUS_TOO_LARGE, NULL);
}

/* ---- dispatch ---- */

static void simple(struct gateway *g, struct conn *c, const struct http_request *req,
                   enum rest_what what, const struct token_claims *claims, struct bytes doc_id)
{
    struct call *call = rest_call_open(g, c, req, what, claims, doc_id, (struct bytes){0});
    if (!call)
        return;
    if (what == REST_LIST)
        rest_list_start(g, call);
    else if (what == REST_GET)
        get(g, call);
    else if (what == REST_HISTORY)
        history(g, call);
    else if (what == REST_ROLES)
        roles(g, call);
    else
        send_or_fail(g, call, what == REST_DELETE ? MSG_DOC_DELETE : MSG_DOC_RESTORE,
                     &(struct msg_call){0}, NULL);
}

void rest_request(struct gateway *g, struct conn *c, const struct http_request *req,
                  const struct rest_route *route, struct bytes body)
{
    struct bytes jwt;
    struct token_claims claims;
    char buf[LIMIT_DOC_ID_BYTES + 1];
    struct bytes doc_id = {0};
    if (!gateway_bearer(req, &jwt) || !gateway_check_token(g, jwt, &claims)) {
        gateway_respond_status(g, c, STATUS_UNAUTHORIZED);
        return;
    }
    if (route->what == REST_NOT_BUILT) {
        gateway_respond_status(g, c, STATUS_NOT_BUILT);
        return;
    }
    if (route->args[0].n &&
        (!http_decode(route->args[0], buf, sizeof buf, &doc_id) || !id_is_doc(doc_id))) {
        gateway_respond_status(g, c, STATUS_NOT_FOUND);
        return;
    }
    switch ((int)route->what) {
    case REST_CREATE:
        create(g, c, req, &claims, body);
        return;
    case REST_TITLE:
        title(g, c, req, &claims, doc_id, body);
        return;
    case REST_OPS:
        ops(g, c, req, &claims, doc_id, body);
        return;
    case REST_ROLE_SET:
    case REST_ROLE_ERASE:
        role(g, c, req, route, &claims, doc_id, body);
        return;
    default:
        simple(g, c, req, route->what, &claims, doc_id);
        return;
    }
}
