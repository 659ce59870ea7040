/* gateway.c - the role: poll, dispatch, timers, draining; see gateway.h and gateway_private.h. */
#include "gateway/gateway.h"

#include "base/say.h"
#include "gateway/batch.h"
#include "gateway/native.h"
#include "gateway/rest.h"

#include <stdio.h>
#include <sys/random.h>

#define ANSWERS_A_POLL       512u  /* a shard */
#define CONNS_EXTRA          1024u /* connections beyond connections_max, so that they hear 429 */
#define HEADERS_BYTES_MAX    1024u
#define IDLE_HTTP_MS         60000u
#define ANONYMOUS_BODY_BYTES (64u << 10)
#define DRAIN_FLIGHT_NS      (3 * NS_PER_S)
#define DRAIN_BYE_NS         (2 * NS_PER_S)
#define DEFAULT_OUTBOUND     (4u << 20)
#define LEEWAY_S_MAX         60u

/* ---- answers over HTTP ---- */

void gateway_count_response(struct gateway *g, int http)
{
    if (http >= 100 && http < 600)
        counter_bump(g->n.requests[http / 100], 1);
}

/* What every answer bears: nothing here is to be taken for a page that it is not. */
void gateway_respond(struct gateway *g, struct conn *c, const struct http_response *r)
{
    static const char always[] = "X-Content-Type-Options: nosniff\r\n";
    char headers[HEADERS_BYTES_MAX];
    struct http_response answer = *r;
    struct writer w = writer_of(headers, sizeof headers);
    write_bytes(&w, bytes_str(always));
    write_bytes(&w, r->extra_headers);
    check(w.ok); /* ours, all of them */
    answer.extra_headers = writer_bytes(&w);
    gateway_count_response(g, r->status);
    conn_respond(c, &answer);
}

void gateway_respond_problem(struct gateway *g, struct conn *c, const struct problem *p)
{
    gateway_count_response(g, problem_http(p));
    problem_respond(c, p);
}

void gateway_respond_status(struct gateway *g, struct conn *c, enum status s)
{
    gateway_respond_problem(g, c, &(struct problem){.status = s});
}

/* ---- who is it ---- */

bool gateway_bearer(const struct http_request *req, struct bytes *jwt)
{
    struct bytes value;
    static const char scheme[] = "bearer ";
    size_t n = sizeof scheme - 1;
    if (!http_find(req, "authorization", &value) || value.n <= n ||
        !http_header_is(bytes_of(value.p, n), scheme))
        return false;
    while (n < value.n && value.p[n] == ' ')
        n++;
    *jwt = bytes_of(value.p + n, value.n - n);
    return true;
}

bool gateway_check_token(struct gateway *g, struct bytes jwt, struct token_claims *claims)
{
    const char *why;
    if (jwt.n && g->o.keys &&
        token_check(g->o.keys, jwt, clock_unix_ms(), g->token_buf, TOKEN_BUF_BYTES, claims, &why) ==
            STATUS_OK)
        return true;
    gateway_refuse(g, REFUSAL_TOKEN);
    return false;
}

/* "HOST:PORT" without the port that the scheme implies. */
static struct bytes without_default_port(struct bytes host, bool is_tls)
{
    struct bytes port = is_tls ? BYTES_LIT(":443") : BYTES_LIT(":80");
    if (host.n > port.n && memcmp(host.p + host.n - port.n, port.p, port.n) == 0)
        host.n -= port.n;
    return host;
}

static bool eq_whatever_case(struct bytes a, struct bytes b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        uint8_t x = a.p[i], y = b.p[i];
        x = x >= 'A' && x <= 'Z' ? x | 0x20 : x;
        y = y >= 'A' && y <= 'Z' ? y | 0x20 : y;
        if (x != y)
            return false;
    }
    return true;
}

bool gateway_origin_fits(const struct gateway *g, const struct conn *c,
                         const struct http_request *req)
{
    struct bytes origin, host, second;
    if (!http_find(req, "origin", &origin))
        return true;
    if (http_find_nth(req, "origin", 1, &second))
        return false;
    for (uint32_t i = 0; i < g->o.n_origins; i++)
        if (eq_whatever_case(origin, bytes_str(g->o.origins[i])))
            return true;
    bool is_tls = conn_is_tls(c);
    struct bytes scheme = is_tls ? BYTES_LIT("https://") : BYTES_LIT("http://");
    if (!http_find(req, "host", &host) || host.n == 0 || origin.n <= scheme.n ||
        !eq_whatever_case(bytes_of(origin.p, scheme.n), scheme))
        return false;
    struct bytes from = bytes_of(origin.p + scheme.n, origin.n - scheme.n);
    return eq_whatever_case(without_default_port(from, is_tls), without_default_port(host, is_tls));
}

/* One without shards speaks for all those beside it. */
static bool all_are_ready(const struct counters *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < counters_n(c); i++) {
        const struct counter *one = counters_at(c, i);
        if (strcmp(one->name, GATEWAY_READY_NAME) != 0)
            continue;
        n++;
        if (counter_get(one) == 0)
            return false;
    }
    return n > 0;
}

bool gateway_is_ready(const struct gateway *g)
{
    if (atomic_load_explicit(&g->draining, memory_order_relaxed))
        return false;
    if (g->o.n_shards == 0)
        return all_are_ready(g->o.counters);
    return g->ready_shards == (g->o.n_shards == 64 ? UINT64_MAX : (1ull << g->o.n_shards) - 1);
}

/* xoroshiro128+ (Blackman, Vigna). */
uint64_t gateway_random(struct gateway *g)
{
    uint64_t a = g->random[0], b = g->random[1];
    uint64_t sum = a + b;
    b ^= a;
    g->random[0] = (a << 24 | a >> 40) ^ b ^ (b << 16);
    g->random[1] = b << 37 | b >> 27;
    return sum;
}

/* ---- what connections say ---- */

static void on_request(void *self, struct conn *c, const struct http_request *req,
                       struct bytes body)
{
    struct gateway *g = self;
    struct rest_route route;
    rest_route(req->method, req->path, &route);
    if (rest_open_pages(g, c, req, &route, body))
        return;
    if (g->o.n_shards == 0) { /* it serves the pages for operators alone */
        gateway_respond_status(g, c, STATUS_NOT_FOUND);
        return;
    }
    if (!gateway_is_ready(g)) {
        gateway_refuse(g, REFUSAL_NOT_READY);
        gateway_respond_problem(g, c,
                                &(struct problem){.status = STATUS_UNAVAILABLE,
                                                  .detail = BYTES_LIT("starting or draining"),
                                                  .retry_after_ms = GATEWAY_RETRY_MS});
        return;
    }
    if (conn_is_extra(c)) {
        gateway_refuse(g, REFUSAL_LIMIT);
        gateway_respond_problem(g, c,
                                &(struct problem){.status = STATUS_RATE_LIMITED,
                                                  .detail = BYTES_LIT("too many connections"),
                                                  .retry_after_ms = GATEWAY_RETRY_MS,
                                                  .close = true});
        return;
    }
    if (route.what == REST_NOTHING) {
        if (!static_respond(g, c, req))
            gateway_respond_status(g, c, STATUS_NOT_FOUND);
        return;
    }
    if (route.what == REST_METHOD) {
        char allow[80];
        snprintf(allow, sizeof allow, "Allow: %s\r\n", route.allow);
        gateway_respond_problem(g, c, &(struct problem){.status = STATUS_METHOD, .headers = allow});
        return;
    }
    if (route.what == REST_WEBSOCKET)
        native_handshake(g, c, req);
    else
        rest_request(g, c, req, &route, body);
}

static void on_text(void *self, struct conn *c, struct bytes text)
{
    struct peer *p = conn_user(c);
    if (p && p->kind == PEER_SESSION)
        native_text(self, (struct session *)(void *)p, text);
}

static void on_drained(void *self, struct conn *c)
{
    struct peer *p = conn_user(c);
    if (p && p->kind == PEER_SESSION)
        native_drained(self, (struct session *)(void *)p);
}

static void on_gone(void *self, struct conn *c)
{
    struct peer *p = conn_user(c);
    if (p && p->kind == PEER_SESSION)
        native_gone(self, (struct session *)(void *)p);
    else if (p)
        rest_gone(self, (struct call *)(void *)p);
}

/* Whole content only from those who show some token: a stranger can't make us hold much. */
static uint64_t body_bytes_max(void *self, const struct http_request *req)
{
    struct gateway *g = self;
    struct bytes jwt;
    struct rest_route route;
    rest_route(req->method, req->path, &route);
    if (!gateway_bearer(req, &jwt) || route.what == REST_NOTHING || route.what == REST_METHOD)
        return ANONYMOUS_BODY_BYTES;
    return route.what == REST_CREATE ? g->o.body_bytes_max : g->o.message_bytes_max;
}

/* ---- what shards say ---- */

static void on_ready(struct gateway *g, uint32_t shard, struct bytes payload)
{
    struct reader r = reader_of(payload);
    struct msg_ready m;
    msg_read_struct(&r, &m);
    if (r.ok && m.shard == shard && m.n_shards == g->o.n_shards)
        g->ready_shards |= 1ull << shard;
}

/* Answers of one connection. A dead tag's are dropped; but a session that the shard made for it
 * meanwhile must go again. */
static void on_answer(struct gateway *g, uint32_t shard, uint16_t type, struct bytes payload)
{
    struct reader r = reader_of(payload);
    struct msg_head head;
    msg_read_struct(&r, &head);
    if (!r.ok)
        return;
    struct conn *c = conn_find(g->conns, head.tag);
    struct peer *p = c ? conn_user(c) : NULL;
    struct session *s = p && p->kind == PEER_SESSION ? (struct session *)(void *)p : NULL;
    if (type == MSG_JOINED && !(s && s->state == SESSION_JOINING && p->shard == shard)) {
        uplink_post(&g->uplink, shard, MSG_LEAVE, bytes_of(&head, sizeof head));
        return;
    }
    if (s && p->shard == shard)
        native_message(g, s, type, payload);
    else if (p && p->kind == PEER_CALL)
        rest_message(g, (struct call *)(void *)p, shard, type, payload);
}

static void on_message(void *self, uint32_t shard, uint16_t type, struct bytes payload)
{
    struct gateway *g = self;
    if (type == MSG_RELEASED) {
        native_broadcast(g, shard, type, payload);
        return;
    }
    fanout_flush(&g->fanout);
    if (type == MSG_READY)
        on_ready(g, shard, payload);
    else if (type == MSG_PRESENCE_OUT || type == MSG_TITLE_OUT)
        native_broadcast(g, shard, type, payload);
    else
        on_answer(g, shard, type, payload);
}

static void on_room(void *self, uint64_t tag)
{
    struct gateway *g = self;
    struct conn *c = conn_find(g->conns, tag);
    if (c)
        conn_pause(c, false);
}

/* ---- draining ---- */

static void say_goodbye(void *arg, struct conn *c)
{
    struct peer *p = conn_user(c);
    if (p && p->kind == PEER_SESSION)
        native_goodbye(arg, (struct session *)(void *)p);
}

/* Refuse what is new -> wait for what is under way -> say goodbye -> done. Bounded in each step. */
static unsigned drain_step(struct gateway *g)
{
    bool late = g->now_ns >= g->drain_until_ns;
    switch (g->drain) {
    case DRAIN_NO:
        if (!atomic_load_explicit(&g->draining, memory_order_acquire))
            return 0;
        g->drain = DRAIN_FLIGHT;
        g->drain_until_ns = g->now_ns + DRAIN_FLIGHT_NS;
        return 1;
    case DRAIN_FLIGHT:
        if (!late && (g->n_calls || g->n_unanswered))
            return 0;
        g->drain = DRAIN_BYE;
        g->drain_until_ns = g->now_ns + DRAIN_BYE_NS;
        loop_stop_accepting(conns_loop(g->conns));
        conns_each(g->conns, say_goodbye, g);
        return 1;
    case DRAIN_BYE:
        if (!late && g->n_sessions)
            return 0;
        g->drain = DRAIN_DONE;
        atomic_store_explicit(&g->drained, 1, memory_order_release);
        return 1;
    case DRAIN_DONE:
    default:
        return 0;
    }
}

void gateway_drain(struct gateway *g)
{
    atomic_store_explicit(&g->draining, 1, memory_order_release);
}

bool gateway_is_drained(const struct gateway *g)
{
    return atomic_load_explicit(&g->drained, memory_order_acquire) != 0;
}

/* ---- the role ---- */

static unsigned run_timers(struct gateway *g)
{
    unsigned n = 0;
    struct timer *t;
    while ((t = wheel_expire(&g->wheel, gateway_now_s(g)))) {
        struct peer *p = (struct peer *)(void *)t;
        n++;
        if (p->kind == PEER_SESSION)
            native_timer(g, (struct session *)(void *)p);
        else
            rest_timer(g, (struct call *)(void *)p);
    }
    return n;
}

static unsigned gateway_poll(void *self, uint64_t now_ns)
{
    struct gateway *g = self;
    g->now_ns = now_ns;
    unsigned work = uplink_poll(&g->uplink, ANSWERS_A_POLL);
    fanout_flush(&g->fanout);
    work += run_timers(g);
    work += drain_step(g);
    work += conns_poll(g->conns, now_ns); /* takes what came in, then sends all that is queued */
    uplink_flush(&g->uplink);
    counter_set(g->n.connections, conns_n(g->conns));
    if (g->o.n_shards)
        counter_set(g->n.ready, gateway_is_ready(g));
    if (g->fanout.n_messages) {
        counter_bump(g->n.messages_out, g->fanout.n_messages);
        g->fanout.n_messages = 0;
    }
    return work;
}

static uint64_t gateway_deadline_ns(void *self)
{
    struct gateway *g = self;
    uint64_t first = conns_deadline_ns(g->conns);
    uint64_t timer_s = wheel_next_s(&g->wheel);
    if (timer_s != UINT64_MAX && timer_s * NS_PER_S < first)
        first = timer_s * NS_PER_S;
    bool drains = g->drain == DRAIN_FLIGHT || g->drain == DRAIN_BYE;
    return drains && g->drain_until_ns < first ? g->drain_until_ns : first;
}

struct role gateway_role(struct gateway *g)
{
    return (struct role){
        .name = "gateway", .self = g, .poll = gateway_poll, .deadline_ns = gateway_deadline_ns};
}

void gateway_wait(void *g, uint64_t timeout_ns)
{
    loop_wait(conns_loop(((struct gateway *)g)->conns), timeout_ns);
}

void gateway_watch_event_fd(struct gateway *g, int event_fd)
{
    loop_watch_event_fd(conns_loop(g->conns), event_fd);
}

uint16_t gateway_port(const struct gateway *g)
{
    return loop_port(conns_loop(g->conns));
}

/* ---- open and close ---- */

static uint32_t or_default(uint32_t v, uint32_t otherwise)
{
    return v ? v : otherwise;
}

static void set_defaults(struct gateway_options *o)
{
    o->connections_max = or_default(o->connections_max, 65536);
    o->message_bytes_max = or_default(o->message_bytes_max, LIMIT_MESSAGE_BYTES);
    o->body_bytes_max = or_default(o->body_bytes_max, LIMIT_BODY_BYTES);
    o->op_parts_max = or_default(o->op_parts_max, LIMIT_OP_PARTS);
    o->document_units_max = or_default(o->document_units_max, LIMIT_DOCUMENT_UNITS);
    o->handshake_ms_max = or_default(o->handshake_ms_max, 10000);
    if (o->outbound_bytes_max == 0)
        o->outbound_bytes_max = DEFAULT_OUTBOUND;
    if (o->token_leeway_s > LEEWAY_S_MAX)
        o->token_leeway_s = LEEWAY_S_MAX;
}

/* Buffers as large as the largest message; memory that is not used is not touched. */
static bool take_buffers(struct gateway *g)
{
    g->scratch_bytes =
        g->o.body_bytes_max > g->o.message_bytes_max ? g->o.body_bytes_max : g->o.message_bytes_max;
    g->op_scratch_bytes = OPJSON_SCRATCH((size_t)g->o.message_bytes_max);
    g->out_bytes = LIMIT_RECORD_BYTES + LIMIT_DOCUMENT_BYTES;
    g->json_scratch = malloc(2 * g->scratch_bytes);
    g->op_scratch = malloc(g->op_scratch_bytes);
    g->out = malloc(g->out_bytes);
    g->token_buf = malloc(TOKEN_BUF_BYTES);
    return g->json_scratch && g->op_scratch && g->out && g->token_buf;
}

static void give_buffers(struct gateway *g)
{
    free(g->json_scratch);
    free(g->op_scratch);
    free(g->out);
    free(g->token_buf);
}

static enum status open_conns(struct gateway *g)
{
    struct conns_options o = {
        .listen = {.host = g->o.listen_host,
                   .port = g->o.listen_port,
                   .reuse_port = g->o.reuse_port,
                   .sockets_max = g->o.connections_max + CONNS_EXTRA},
        .tls = g->o.tls,
        .handler = {.self = g,
                    .on_request = on_request,
                    .on_text = on_text,
                    .on_drained = on_drained,
                    .on_gone = on_gone,
                    .body_bytes_max = body_bytes_max},
        .conns_max = g->o.connections_max + CONNS_EXTRA,
        .conns_extra = CONNS_EXTRA,
        .message_bytes_max = g->o.message_bytes_max,
        .handshake_ms_max = g->o.handshake_ms_max,
        .idle_http_ms_max = IDLE_HTTP_MS,
        .outbound_bytes_max = g->o.outbound_bytes_max,
        .in_bytes_max = g->o.memory_bytes / 5,
        .slab_bytes_max = g->o.memory_bytes / 5 * 4,
    };
    return conns_open(&g->conns, &o);
}

enum status gateway_open(struct gateway **out, const struct gateway_options *options)
{
    if (options->n_shards > GATEWAY_SHARDS_MAX)
        return STATUS_USAGE;
    struct gateway *g = calloc(1, sizeof *g);
    if (!g)
        return STATUS_NO_MEMORY;
    g->o = *options;
    set_defaults(&g->o);
    enum status s = STATUS_NO_MEMORY;
    if (!take_buffers(g))
        goto fail_buffers;
    s = STATUS_IO;
    if (getrandom(g->random, sizeof g->random, 0) != (ssize_t)sizeof g->random)
        goto fail_buffers;
    metrics_open(g);
    s = open_conns(g);
    if (s != STATUS_OK)
        goto fail_buffers;
    s = fanout_init(&g->fanout, g->conns);
    if (s != STATUS_OK)
        goto fail_conns;
    struct uplink_handler handler = {.self = g, .on_message = on_message, .on_room = on_room};
    uplink_init(&g->uplink, g->o.shards, g->o.n_shards, &handler);
    g->now_ns = clock_mono_ns();
    wheel_init(&g->wheel, gateway_now_s(g));
    *out = g;
    return STATUS_OK;
fail_conns:
    conns_close(g->conns);
fail_buffers:
    give_buffers(g);
    free(g);
    return s;
}

void gateway_close(struct gateway *g)
{
    if (!g)
        return;
    conns_close(g->conns); /* says on_gone of each */
    fanout_fini(&g->fanout);
    uplink_fini(&g->uplink);
    give_buffers(g);
    free(g);
}
