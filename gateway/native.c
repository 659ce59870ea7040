/* native.c - WebSocket handshakes and the life of sessions; see native.h. */
#include "gateway/native.h"

#include "gateway/base64.h"
#include "gateway/cursor.h"

#include <sys/random.h>

#define PROTOCOL_NAME          "penstock.v1"
#define BEARER_PREFIX          "bearer."
#define CLIENT_ID_RANDOM_BYTES 15u

/* What the request asks for. */
struct wish {
    char doc_buf[LIMIT_DOC_ID_BYTES + 1];
    char client_buf[LIMIT_CLIENT_ID_BYTES + 1];
    struct bytes doc_id;
    struct bytes client_id; /* empty: make one */
    uint64_t version;
    uint64_t hash;
    uint32_t flags;
    bool says_penstock;
    struct bytes jwt;
};

static void refuse(struct gateway *g, struct conn *c, enum status s, int http, const char *detail,
                   const char *headers)
{
    gateway_respond_problem(
        g, c,
        &(struct problem){
            .status = s, .http = http, .detail = bytes_str(detail), .headers = headers});
}

/* One query parameter. NULL: fine (absent: value empty, *given false); else what is wrong. */
static const char *parameter(const struct http_request *req, const char *name, char *buf,
                             size_t buf_bytes, struct bytes *value, bool *given)
{
    struct bytes raw;
    bool twice = false;
    *value = (struct bytes){0};
    *given = http_query(req->query, name, &raw, &twice);
    if (twice)
        return "a parameter is given twice";
    if (*given && !http_decode(raw, buf, buf_bytes, value))
        return "a parameter is malformed";
    return NULL;
}

static const char *read_parameters(const struct http_request *req, struct wish *wish)
{
    char buf[64];
    struct bytes value;
    bool given;
    const char *wrong = parameter(req, "client_id", wish->client_buf, sizeof wish->client_buf,
                                  &wish->client_id, &given);
    if (!wrong && given && !id_is_client(wish->client_id))
        wrong = "client_id is 1 to 64 characters of [A-Za-z0-9_.:-]";
    if (wrong)
        return wrong;
    wrong = parameter(req, "version", buf, sizeof buf, &value, &given);
    if (!wrong && given && !id_whole(value, &wish->version))
        wrong = "version is a whole number";
    if (wrong)
        return wrong;
    wish->flags |= given ? MSG_JOIN_VERSION : 0;
    wrong = parameter(req, "history_hash", buf, sizeof buf, &value, &given);
    if (!wrong && given && !id_hash(value, &wish->hash))
        wrong = "history_hash is 16 hex digits";
    if (!wrong && given && !(wish->flags & MSG_JOIN_VERSION))
        wrong = "history_hash needs version";
    wish->flags |= given ? MSG_JOIN_HASH : 0;
    return wrong;
}

/* Sec-WebSocket-Protocol: penstock.v1, bearer.JWT. */
static void read_protocols(const struct http_request *req, struct wish *wish)
{
    struct bytes line;
    for (unsigned nth = 0; http_find_nth(req, "sec-websocket-protocol", nth, &line); nth++) {
        size_t from = 0;
        for (size_t i = 0; i <= line.n; i++) {
            if (i < line.n && line.p[i] != ',')
                continue;
            size_t a = from, b = i;
            while (a < b && (line.p[a] == ' ' || line.p[a] == '\t'))
                a++;
            while (b > a && (line.p[b - 1] == ' ' || line.p[b - 1] == '\t'))
                b--;
            struct bytes name = bytes_of(line.p + a, b - a);
            struct bytes prefix = BYTES_LIT(BEARER_PREFIX);
            if (bytes_eq(name, BYTES_LIT(PROTOCOL_NAME)))
                wish->says_penstock = true;
            else if (!wish->jwt.n && name.n > prefix.n && !memcmp(name.p, prefix.p, prefix.n))
                wish->jwt = bytes_of(name.p + prefix.n, name.n - prefix.n);
            from = i + 1;
        }
    }
}

static void copy_name(struct bytes *to, uint8_t **at, struct bytes from)
{
    if (from.n)
        memcpy(*at, from.p, from.n);
    *to = bytes_of(*at, from.n);
    *at += from.n;
}

static struct session *session_open(struct gateway *g, struct conn *c, const struct wish *wish,
                                    const struct token_claims *claims)
{
    const struct msg_identity *id = &claims->identity;
    uint8_t random[CLIENT_ID_RANDOM_BYTES];
    char made[32];
    struct bytes client_id = wish->client_id;
    if (client_id.n == 0) {
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
            return NULL;
        struct writer w = writer_of(made, sizeof made);
        base64_write(&w, bytes_of(random, sizeof random));
        client_id = writer_bytes(&w);
    }
    size_t names = id->tenant.n + id->user.n + client_id.n + wish->doc_id.n;
    struct session *s = calloc(1, sizeof *s + names);
    if (!s)
        return NULL;
    uint8_t *at = s->names;
    copy_name(&s->tenant, &at, id->tenant);
    copy_name(&s->user, &at, id->user);
    copy_name(&s->client_id, &at, client_id);
    copy_name(&s->doc_id, &at, wish->doc_id);
    s->peer.kind = PEER_SESSION;
    s->peer.c = c;
    s->peer.shard = msg_shard_of(s->tenant, s->doc_id, g->o.n_shards);
    s->member.c = c;
    s->member.client_id = s->client_id;
    s->expires_ms = claims->expires_unix_ms;
    s->tokens = g->o.messages_per_s;
    s->refilled_ns = g->now_ns;
    s->says_penstock = wish->says_penstock;
    s->state = SESSION_JOINING;
    return s;
}

static void session_free(struct gateway *g, struct session *s)
{
    fanout_erase(&g->fanout, &s->member);
    wheel_erase(&g->wheel, &s->peer.timer);
    if (s->n_unanswered)
        g->n_unanswered--;
    g->n_sessions--;
    counter_set(g->n.sessions, g->n_sessions);
    free(s);
}

static void join(struct gateway *g, struct conn *c, const struct wish *wish,
                 const struct token_claims *claims)
{
    struct session *s = session_open(g, c, wish, claims);
    if (!s) {
        gateway_respond_status(g, c, STATUS_NO_MEMORY);
        return;
    }
    struct writer w = writer_of(g->out, g->out_bytes);
    struct msg_join m = {.head = {conn_tag(c), MSG_NO_SESSION, 0},
                         .version = wish->version,
                         .hash = wish->hash,
                         .flags = wish->flags};
    msg_write_struct(&w, &m);
    msg_write_identity(&w, &claims->identity);
    write_str(&w, s->doc_id);
    write_str(&w, s->client_id);
    g->n_sessions++;
    if (!w.ok || !uplink_try(&g->uplink, s->peer.shard, MSG_JOIN, writer_bytes(&w))) {
        session_free(g, s);
        gateway_refuse(g, REFUSAL_RING_FULL);
        gateway_respond_status(g, c, STATUS_UNAVAILABLE);
        return;
    }
    counter_set(g->n.sessions, g->n_sessions);
    conn_set_user(c, s);
    wheel_insert(&g->wheel, &s->peer.timer, gateway_now_s(g) + GATEWAY_CALL_S_MAX);
}

static bool read_doc_id(const struct http_request *req, struct wish *wish)
{
    struct bytes raw;
    return http_segment(req->path, 2, &raw) &&
           http_decode(raw, wish->doc_buf, sizeof wish->doc_buf, &wish->doc_id) &&
           id_is_doc(wish->doc_id);
}

void native_handshake(struct gateway *g, struct conn *c, const struct http_request *req)
{
    struct wish wish = {0};
    struct token_claims claims;
    char accept[29];
    if (req->method != HTTP_GET) {
        refuse(g, c, STATUS_METHOD, 0, NULL, "Allow: GET\r\n");
        return;
    }
    int http = http_check_upgrade(req, accept);
    if (http == 426) {
        gateway_respond_status(g, c, STATUS_UPGRADE);
        return;
    }
    const char *wrong = http ? "not a proper WebSocket handshake" : read_parameters(req, &wish);
    if (wrong) {
        gateway_refuse(g, REFUSAL_BAD_MESSAGE);
        refuse(g, c, STATUS_BAD_MESSAGE, 400, wrong, NULL);
        return;
    }
    struct bytes header_jwt;
    read_protocols(req, &wish);
    if (gateway_bearer(req, &header_jwt))
        wish.jwt = header_jwt;
    if (!gateway_check_token(g, wish.jwt, &claims)) {
        gateway_respond_status(g, c, STATUS_UNAUTHORIZED);
        return;
    }
    if (!gateway_origin_fits(g, c, req)) {
        gateway_refuse(g, REFUSAL_ORIGIN);
        refuse(g, c, STATUS_FORBIDDEN, 0, "this origin is not allowed", NULL);
        return;
    }
    if (!read_doc_id(req, &wish)) {
        gateway_respond_status(g, c, STATUS_NOT_FOUND);
        return;
    }
    if (g->n_sessions >= g->o.connections_max) {
        gateway_refuse(g, REFUSAL_LIMIT);
        refuse(g, c, STATUS_RATE_LIMITED, 0, "too many connections", NULL);
        return;
    }
    join(g, c, &wish, &claims);
}

void native_join_failed(struct gateway *g, struct session *s, const struct problem *p)
{
    struct conn *c = s->peer.c;
    conn_set_user(c, NULL);
    session_free(g, s);
    gateway_respond_problem(g, c, p);
}

static void leave(struct gateway *g, struct session *s)
{
    if (!s->has_slot)
        return;
    s->has_slot = false;
    struct msg_head head = native_head(s);
    uplink_post(&g->uplink, s->peer.shard, MSG_LEAVE, bytes_of(&head, sizeof head));
}

void native_gone(struct gateway *g, struct session *s)
{
    leave(g, s);
    conn_set_user(s->peer.c, NULL);
    session_free(g, s);
}

void native_close(struct gateway *g, struct session *s, uint16_t code, const char *reason)
{
    if (s->state == SESSION_ENDED)
        return;
    fanout_flush(&g->fanout); /* what was durable before the end is still heard */
    fanout_erase(&g->fanout, &s->member);
    s->state = SESSION_ENDED;
    leave(g, s);
    conn_ws_close(s->peer.c, code, reason);
}

void native_goodbye(struct gateway *g, struct session *s)
{
    struct fan_frame f;
    uint32_t after_ms =
        GATEWAY_GOODBYE_MS_MIN + (uint32_t)(gateway_random(g) % GATEWAY_GOODBYE_MS_SPREAD);
    if (s->state == SESSION_JOINING) {
        native_join_failed(g, s,
                           &(struct problem){.status = STATUS_UNAVAILABLE,
                                             .retry_after_ms = after_ms,
                                             .close = true});
        return;
    }
    if (s->state == SESSION_ENDED || !native_begin(g, s, REPLY_BYTES_MAX, &f))
        return;
    reply_goodbye(&f.w, "restart", after_ms);
    native_end(g, s, &f, false);
    native_close(g, s, CLOSE_RESTART, "restart");
}

void native_timer(struct gateway *g, struct session *s)
{
    if (s->state == SESSION_JOINING) {
        /* The connection ends with the answer, so that a late JOINED meets a dead tag. */
        gateway_refuse(g, REFUSAL_TIMEOUT);
        native_join_failed(g, s, &(struct problem){.status = STATUS_UNAVAILABLE, .close = true});
        return;
    }
    if (s->state == SESSION_ENDED)
        return;
    uint64_t end_ms = s->expires_ms + 1000ull * g->o.token_leeway_s;
    uint64_t unix_ms = clock_unix_ms();
    if (unix_ms >= end_ms) {
        native_close(g, s, CLOSE_TOKEN, "token expired");
        return;
    }
    wheel_insert(&g->wheel, &s->peer.timer, gateway_now_s(g) + (end_ms - unix_ms + 999) / 1000);
}

void native_drained(struct gateway *g, struct session *s)
{
    if (!s->owes_credit || !s->has_slot)
        return;
    s->owes_credit = false;
    struct msg_head head = native_head(s);
    uplink_post(&g->uplink, s->peer.shard, MSG_CREDIT, bytes_of(&head, sizeof head));
}

void native_answered(struct gateway *g, struct session *s, uint32_t n)
{
    if (s->n_unanswered == 0)
        return;
    s->n_unanswered -= n < s->n_unanswered ? n : s->n_unanswered;
    if (s->n_unanswered)
        return;
    g->n_unanswered--;
    if (s->has_refusal) {
        s->has_refusal = false;
        native_error(g, s,
                     &(struct reply_error){.status = (enum status)s->refusal_status,
                                           .has_seq = s->refusal_has_seq,
                                           .seq = s->refusal_seq});
    }
}
