/* native_in.c - what a client says on its WebSocket; see native.h. */
#include "gateway/batch.h"
#include "gateway/native.h"

#define REFUSALS_PATIENCE 2u /* seconds' worth of refused messages without a pause, then 4429 */

/* The members of a message that we know, as JSON text; type decoded. */
struct said {
    struct bytes type;
    struct bytes op;
    struct bytes ops;
    struct bytes token;
    struct bytes cursor_pos;
    struct bytes selection;
    struct bytes version;
};

static void say_error(struct gateway *g, struct session *s, enum status status, const char *why)
{
    if (status == STATUS_BAD_MESSAGE)
        gateway_refuse(g, REFUSAL_BAD_MESSAGE);
    native_error(g, s, &(struct reply_error){.status = status, .detail = bytes_str(why)});
}

/* ---- limits ---- */

/* One token a message; the bucket holds a second's worth. */
static bool take_token(struct gateway *g, struct session *s)
{
    uint32_t rate = g->o.messages_per_s;
    if (rate == 0)
        return true;
    if (s->tokens < rate) {
        uint64_t passed_ns = g->now_ns - s->refilled_ns;
        uint64_t more = passed_ns >= NS_PER_S ? rate : passed_ns * rate / NS_PER_S;
        if (more) {
            s->refilled_ns = g->now_ns;
            s->tokens = more >= rate - s->tokens ? rate : s->tokens + (uint32_t)more;
        }
    } else {
        s->refilled_ns = g->now_ns;
    }
    if (s->tokens == rate)
        s->n_refused = 0;
    if (s->tokens == 0)
        return false;
    s->tokens--;
    return true;
}

static void refuse_rate(struct gateway *g, struct session *s)
{
    gateway_refuse(g, REFUSAL_RATE);
    if (++s->n_refused > REFUSALS_PATIENCE * g->o.messages_per_s) {
        native_close(g, s, CLOSE_LIMIT, "too many messages");
        return;
    }
    uint32_t after_ms = 1000 / g->o.messages_per_s + 1;
    native_error(g, s,
                 &(struct reply_error){.status = STATUS_RATE_LIMITED, .retry_after_ms = after_ms});
}

/* ---- ops ---- */

static void note_refusal(struct gateway *g, struct session *s, const struct batch *b)
{
    if (b->n_ops == 0 || s->has_refusal) {
        native_error(g, s,
                     &(struct reply_error){.status = b->refused,
                                           .detail = bytes_str(b->why),
                                           .has_seq = b->refused_has_seq,
                                           .seq = b->refused_seq});
        return;
    }
    s->has_refusal = true;
    s->refusal_status = (uint16_t)b->refused;
    s->refusal_has_seq = b->refused_has_seq;
    s->refusal_seq = b->refused_seq;
}

static void refuse_batch(struct gateway *g, struct session *s, const struct batch *b,
                         enum status status)
{
    native_error(
        g, s,
        &(struct reply_error){.status = status,
                              .retry_after_ms = status_retry(status) ? GATEWAY_RETRY_MS : 0,
                              .has_seq = b->first_has_seq,
                              .seq = b->first_seq});
}

/* One message's ops go to the shard of their document. A full ring stops the reading of
 * this socket instead of dropping the edit. */
static void send_ops(struct gateway *g, struct session *s, struct batch *b)
{
    if (atomic_load_explicit(&g->draining, memory_order_relaxed)) {
        refuse_batch(g, s, b, STATUS_UNAVAILABLE);
        return;
    }
    batch_end(b, native_head(s), 0);
    struct bytes payload = writer_bytes(&b->w);
    if (payload.n > uplink_payload_max(&g->uplink, s->peer.shard)) {
        refuse_batch(g, s, b, STATUS_TOO_LARGE);
        return;
    }
    switch (uplink_hold(&g->uplink, s->peer.shard, MSG_OPS, payload, conn_tag(s->peer.c))) {
    case UPLINK_FULL:
        gateway_refuse(g, REFUSAL_RING_FULL);
        refuse_batch(g, s, b, STATUS_UNAVAILABLE);
        return;
    case UPLINK_HELD:
        conn_pause(s->peer.c, true);
        break;
    case UPLINK_SENT:
        break;
    }
    if (s->n_unanswered == 0)
        g->n_unanswered++;
    s->n_unanswered += b->n_ops;
    s->ops_have_seq = b->first_has_seq;
    counter_bump(g->n.ops_in, b->n_ops);
    if (b->refused != STATUS_OK)
        note_refusal(g, s, b);
}

/* PATH 2: JSON becomes the binary op that ring, shard, log and view hold as it is. */
static void on_ops(struct gateway *g, struct session *s, struct bytes text, bool is_list)
{
    struct json j;
    struct batch b = {.parts_max = g->o.op_parts_max,
                      .type_is_known = true,
                      .rich = s->doc_type == DOC_RICH,
                      .scratch = g->op_scratch,
                      .scratch_bytes = g->op_scratch_bytes,
                      .client_id = s->client_id};
    /* The message is of a known type: what is no op in it is op_invalid, not bad_message.
     * The outer reader's scratch is the first half; it is done but for what `text` points into. */
    json_init(&j, text, g->json_scratch + g->scratch_bytes, g->scratch_bytes);
    batch_begin(&b, writer_of(g->out, g->out_bytes));
    if (is_list) {
        if (json_peek(&j) != JSON_ARRAY || !json_enter(&j, JSON_ARRAY)) {
            say_error(g, s, STATUS_OP_INVALID, "ops is a list of operations");
            return;
        }
        while (json_element(&j) && batch_add(&b, &j))
            ;
    } else {
        batch_add(&b, &j);
    }
    if (b.n_ops)
        send_ops(g, s, &b);
    else if (b.refused != STATUS_OK)
        note_refusal(g, s, &b);
    else
        say_error(g, s, STATUS_OP_INVALID, "ops is empty");
}

/* ---- the rest ---- */

static bool whole_of(struct gateway *g, struct bytes text, uint64_t *v)
{
    struct json j;
    bool whole = false;
    json_init(&j, text, g->json_scratch + g->scratch_bytes, g->scratch_bytes);
    return json_peek(&j) == JSON_NUMBER && json_whole(&j, v, &whole) && whole;
}

/* null, or [anchor, head]. */
static bool selection_of(struct gateway *g, struct bytes text, struct msg_presence *p)
{
    struct json j;
    uint64_t ends[2];
    unsigned n = 0;
    bool whole = false;
    json_init(&j, text, g->json_scratch + g->scratch_bytes, g->scratch_bytes);
    if (json_peek(&j) == JSON_NULL)
        return true;
    if (json_peek(&j) != JSON_ARRAY || !json_enter(&j, JSON_ARRAY))
        return false;
    while (json_element(&j)) {
        if (n == 2 || json_peek(&j) != JSON_NUMBER || !json_whole(&j, &ends[n], &whole) || !whole)
            return false;
        n++;
    }
    if (n != 2)
        return false;
    p->anchor_u16 = ends[0];
    p->head_u16 = ends[1];
    p->flags |= MSG_PRESENCE_SELECTION;
    return true;
}

static bool is_null(struct bytes text)
{
    return bytes_eq(text, BYTES_LIT("null"));
}

static void on_presence(struct gateway *g, struct session *s, const struct said *said)
{
    struct msg_presence p = {.head = native_head(s)};
    bool fine = whole_of(g, said->cursor_pos, &p.cursor_u16) &&
                (!said->selection.n || selection_of(g, said->selection, &p));
    if (fine && said->version.n && !is_null(said->version)) {
        fine = whole_of(g, said->version, &p.version);
        p.flags |= MSG_PRESENCE_VERSION;
    }
    if (!fine) {
        say_error(g, s, STATUS_BAD_MESSAGE,
                  "cursor_pos is a position; selection null or two; version a number");
        return;
    }
    /* Presence gives way to edits: with no room it is dropped, the next one counts. */
    if (!uplink_try(&g->uplink, s->peer.shard, MSG_PRESENCE, bytes_of(&p, sizeof p)))
        gateway_refuse(g, REFUSAL_RING_FULL);
}

static void on_auth(struct gateway *g, struct session *s, struct bytes text)
{
    struct json j;
    struct bytes jwt;
    struct token_claims claims;
    struct fan_frame f;
    json_init(&j, text, g->json_scratch + g->scratch_bytes, g->scratch_bytes);
    if (json_peek(&j) != JSON_STRING || !json_string(&j, &jwt)) {
        say_error(g, s, STATUS_BAD_MESSAGE, "token is a string");
        return;
    }
    if (!gateway_check_token(g, jwt, &claims) || !bytes_eq(claims.identity.user, s->user) ||
        !bytes_eq(claims.identity.tenant, s->tenant)) {
        say_error(g, s, STATUS_UNAUTHORIZED, "a valid token of the same user is needed");
        return;
    }
    struct writer w = writer_of(g->out, g->out_bytes);
    struct msg_head head = native_head(s);
    msg_write_struct(&w, &head);
    msg_write_identity(&w, &claims.identity);
    struct bytes payload = writer_bytes(&w);
    switch (uplink_hold(&g->uplink, s->peer.shard, MSG_IDENTITY, payload, conn_tag(s->peer.c))) {
    case UPLINK_FULL:
        say_error(g, s, STATUS_UNAVAILABLE, NULL);
        return;
    case UPLINK_HELD:
        conn_pause(s->peer.c, true);
        break;
    case UPLINK_SENT:
        break;
    }
    s->expires_ms = claims.expires_unix_ms;
    native_timer(g, s);
    if (s->state == SESSION_ENDED || !native_begin(g, s, REPLY_BYTES_MAX, &f))
        return;
    reply_auth_ok(&f.w, s->expires_ms);
    native_end(g, s, &f, false);
}

static void on_ping(struct gateway *g, struct session *s)
{
    struct fan_frame f;
    if (!native_begin(g, s, REPLY_BYTES_MAX, &f))
        return;
    json_write_lit(&f.w, "{\"type\":\"pong\"}");
    native_end(g, s, &f, false);
}

static struct bytes *member_of(struct said *said, struct bytes key)
{
    static const struct {
        struct bytes key;
        size_t at;
    } known[] = {
        {BYTES_LIT("op"), offsetof(struct said, op)},
        {BYTES_LIT("ops"), offsetof(struct said, ops)},
        {BYTES_LIT("token"), offsetof(struct said, token)},
        {BYTES_LIT("cursor_pos"), offsetof(struct said, cursor_pos)},
        {BYTES_LIT("selection"), offsetof(struct said, selection)},
        {BYTES_LIT("version"), offsetof(struct said, version)},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (bytes_eq(key, known[i].key))
            return (struct bytes *)(void *)((uint8_t *)said + known[i].at);
    return NULL;
}

/* Walks the whole message: after it every part is known to be JSON. False: it is not, or no
 * object. */
static bool listen(struct gateway *g, struct bytes text, struct said *said)
{
    struct json j;
    struct bytes key;
    memset(said, 0, sizeof *said);
    json_init(&j, text, g->json_scratch, g->scratch_bytes);
    if (json_peek(&j) != JSON_OBJECT || !json_enter(&j, JSON_OBJECT))
        return false;
    while (json_member(&j, &key)) {
        struct bytes *member = member_of(said, key);
        if (member) {
            json_raw(&j, member);
        } else if (bytes_eq(key, BYTES_LIT("type")) && json_peek(&j) == JSON_STRING) {
            json_string(&j, &said->type);
        } else {
            json_skip(&j);
        }
    }
    return json_end(&j);
}

static bool is(struct bytes type, const char *name)
{
    return bytes_eq(type, bytes_str(name));
}

static void on_op(struct gateway *g, struct session *s, struct bytes op)
{
    if (op.n) {
        on_ops(g, s, op, false);
        return;
    }
    say_error(g, s, STATUS_OP_INVALID, "op is missing");
}

void native_text(struct gateway *g, struct session *s, struct bytes text)
{
    struct said said;
    if (s->state != SESSION_LIVE && s->state != SESSION_CATCHUP)
        return;
    counter_bump(g->n.messages_in, 1);
    counter_bump(g->n.message_bytes_in, text.n);
    if (!take_token(g, s)) {
        refuse_rate(g, s);
        return;
    }
    if (!listen(g, text, &said)) {
        say_error(g, s, STATUS_BAD_MESSAGE, "a message is a JSON object");
        return;
    }
    struct bytes type = said.type;
    if (is(type, "op"))
        on_op(g, s, said.op);
    else if (is(type, "ops"))
        on_ops(g, s, said.ops, true);
    else if (is(type, "insert") || is(type, "delete") || is(type, "delta") || is(type, "format"))
        on_ops(g, s, text, false);
    else if (is(type, "presence_update"))
        on_presence(g, s, &said);
    else if (is(type, "ping"))
        on_ping(g, s);
    else if (is(type, "auth"))
        on_auth(g, s, said.token);
    else
        say_error(g, s, STATUS_BAD_MESSAGE, "no known type");
}
