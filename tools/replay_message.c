/* replay_message.c - the protocol's messages of a replaying client; see replay_agent.h. */
#include "base/clock.h"
#include "gateway/opjson.h"
#include "net/limits.h"
#include "tools/replay_private.h"

#define RETRY_MS 100u

_Static_assert(REPLAY_WORK_BYTES >= 3 * REPLAY_OP_BYTES, "edits are composed there");
_Static_assert(REPLAY_WORK_BYTES >= 4 * REPLAY_MESSAGE_BYTES, "messages are taken apart there");

/* ---- out ---- */

/* Sends pending edits as one message, as many as fit; the first always does or is refused. */
bool replay_send_pending(struct replay_agent *a, uint64_t now_ns)
{
    struct writer w = writer_of(a->work, REPLAY_MESSAGE_BYTES - 2);
    uint32_t n = 0;
    json_write_lit(&w, "{\"type\":\"ops\",\"ops\":[");
    for (uint32_t i = 0; i < a->pending.n && i < a->batch; i++) {
        const struct replay_item *item = &a->pending.items[a->pending.head + i];
        struct opjson_out out = {.op = bytes_of(item->op, item->op_bytes),
                                 .client_id = bytes_str(a->client_id),
                                 .seq = item->seq,
                                 .version = a->version,
                                 .has_seq = true};
        struct writer before = w;
        json_write_lit(&w, i ? "," : "");
        opjson_write(&w, &out);
        if (!w.ok) {
            w = before;
            break;
        }
        n++;
    }
    if (n == 0)
        return replay_fail(a, "an edit does not fit a message");
    w.end += 2;
    json_write_lit(&w, "]}");
    enum status s = wsclient_send(&a->ws, writer_bytes(&w));
    if (s == STATUS_NO_MEMORY)
        return replay_fail(a, "no memory");
    a->n_sent = a->n_acked + n; /* a broken connection shows at the next read */
    a->sent_ns = now_ns;
    return true;
}

/* ---- in ---- */

/* The members of a server's message that matter here. */
struct heard {
    struct bytes type, client_id, code, text, hash;
    struct bytes op; /* raw */
    uint64_t seq, new_version, version, last_seq, retry_after_ms;
    bool has_seq, has_new_version, has_content, reset, retry;
};

static bool is(struct bytes a, const char *text)
{
    return bytes_eq(a, bytes_str(text));
}

static bool whole_or_null(struct json *j, uint64_t *v, bool *has)
{
    if (json_peek(j) == JSON_NULL) {
        *has = false;
        return json_null(j);
    }
    return json_whole(j, v, has);
}

static bool hear_member(struct json *j, struct bytes key, struct heard *h)
{
    bool whole;
    if (is(key, "type"))
        return json_string(j, &h->type);
    if (is(key, "client_id"))
        return json_string(j, &h->client_id);
    if (is(key, "seq"))
        return whole_or_null(j, &h->seq, &h->has_seq);
    if (is(key, "new_version"))
        return whole_or_null(j, &h->new_version, &h->has_new_version);
    if (is(key, "op"))
        return json_raw(j, &h->op);
    if (is(key, "version"))
        return json_whole(j, &h->version, &whole);
    if (is(key, "last_seq"))
        return json_whole(j, &h->last_seq, &whole);
    if (is(key, "reset"))
        return json_bool(j, &h->reset);
    if (is(key, "retry"))
        return json_bool(j, &h->retry);
    if (is(key, "retry_after_ms"))
        return json_whole(j, &h->retry_after_ms, &whole);
    if (is(key, "code"))
        return json_string(j, &h->code);
    if (is(key, "message"))
        return json_string(j, &h->text);
    if (is(key, "content"))
        h->has_content = true;
    return json_skip(j);
}

static bool hear(struct replay_agent *a, struct bytes text, struct heard *h)
{
    struct json j;
    struct bytes key;
    *h = (struct heard){.type = BYTES_LIT("")};
    json_init(&j, text, a->work, REPLAY_WORK_BYTES / 2);
    if (!json_enter(&j, JSON_OBJECT))
        return false;
    while (json_member(&j, &key))
        if (!hear_member(&j, key, h))
            return false;
    return json_end(&j);
}

static bool take_welcome(struct replay_agent *a, const struct heard *h)
{
    if (h->has_content || h->reset)
        return replay_fail(a, "the server does not know version %lu of this document's history",
                           (unsigned long)a->version);
    a->server_last_seq = h->last_seq;
    if (h->last_seq < a->n_acked)
        return replay_fail(a, "the server lost acknowledged edits: it has %lu of %u",
                           (unsigned long)h->last_seq, a->n_acked);
    return true;
}

static bool take_op(struct replay_agent *a, const struct heard *h)
{
    uint8_t *mem = a->work + REPLAY_WORK_BYTES / 2;
    struct writer w = writer_of(mem, REPLAY_OP_BYTES);
    struct json j;
    struct opjson o;
    size_t scratch = REPLAY_WORK_BYTES / 2 - REPLAY_OP_BYTES - h->op.n;
    if (h->op.n > REPLAY_MESSAGE_BYTES)
        return replay_fail(a, "an op of the server is too large");
    json_init(&j, h->op, mem + REPLAY_OP_BYTES, h->op.n);
    if (opjson_read(&j, LIMIT_OP_PARTS, &w, mem + REPLAY_OP_BYTES + h->op.n, scratch, &o) !=
            STATUS_OK ||
        !json_end(&j) || !h->has_new_version || !o.has_version || o.version + 1 != h->new_version)
        return replay_fail(a, "an op of the server is not one: %.*s", (int)(h->op.n % 200),
                           (const char *)h->op.p);
    struct replay_item item = {.seq = o.seq, .version = h->new_version};
    item.own = is(o.client_id, a->client_id);
    if (!replay_push(&a->inbox, &item, o.op))
        return replay_fail(a, "no memory");
    a->n_heard += !item.own;
    return !item.own || replay_take_acks(a);
}

static bool take_ack(struct replay_agent *a, const struct heard *h, uint64_t now_ns)
{
    struct replay_item item = {.seq = h->seq, .version = h->new_version, .own = true};
    if (!h->has_seq || !is(h->client_id, a->client_id))
        return replay_fail(a, "an ack is not for this client");
    if (h->seq <= a->n_acked)
        return true; /* of a resent one that had come through */
    if (!h->has_new_version)
        return replay_fail(a, "an ack of a new edit names no version");
    if (!replay_push(&a->inbox, &item, BYTES_LIT("")))
        return replay_fail(a, "no memory");
    histogram_add(a->latency, now_ns - a->sent_ns);
    return replay_take_acks(a);
}

/* What was refused for now is sent again; where the server's idea of our seq is another one, a new
 * connection sorts it out. */
static bool take_error(struct replay_agent *a, const struct heard *h, uint64_t now_ns)
{
    uint64_t wait_ms = h->retry_after_ms ? h->retry_after_ms : RETRY_MS;
    if (h->retry) {
        a->n_sent = a->n_acked;
        a->retry_ns = now_ns + wait_ms * NS_PER_MS;
        return true;
    }
    if (is(h->code, "seq_gap") || is(h->code, "seq_reused")) {
        replay_agent_disconnected(a);
        a->retry_ns = now_ns + RETRY_MS * NS_PER_MS;
        return true;
    }
    return replay_fail(a, "the server refused edit %lu: %.*s: %.*s", (unsigned long)h->seq,
                       (int)h->code.n, (const char *)h->code.p, (int)h->text.n,
                       (const char *)h->text.p);
}

bool replay_agent_take(struct replay_agent *a, struct bytes text, uint64_t now_ns)
{
    struct heard h;
    if (!hear(a, text, &h))
        return replay_fail(a, "a message of the server is not what the protocol describes");
    if (is(h.type, "op"))
        return take_op(a, &h);
    if (is(h.type, "ack"))
        return take_ack(a, &h, now_ns);
    if (is(h.type, "welcome"))
        return take_welcome(a, &h);
    if (is(h.type, "error"))
        return take_error(a, &h, now_ns);
    if (is(h.type, "synced")) {
        if (a->n_acked != a->server_last_seq)
            return replay_fail(a, "the server has %lu edits of %s, and sent %u",
                               (unsigned long)a->server_last_seq, a->client_id, a->n_acked);
        a->state = REPLAY_LIVE;
        a->n_sent = a->n_acked;
    }
    if (is(h.type, "goodbye"))
        a->retry_ns = now_ns + h.retry_after_ms * NS_PER_MS;
    return true;
}
