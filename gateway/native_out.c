/* native_out.c - what shards say, as messages to clients; see native.h. */
#include "gateway/native.h"

#include "base/say.h"

#include <stdio.h>

/* Catch-up goes on when less than this waits for the socket. */
#define CATCHUP_QUEUE_BYTES (256u << 10)

static void close_for_memory(struct gateway *g, struct session *s)
{
    native_close(g, s, CLOSE_OVERLOAD, "out of memory");
}

bool native_begin(struct gateway *g, struct session *s, size_t bytes_max, struct fan_frame *f)
{
    fanout_flush(&g->fanout); /* nothing overtakes an op */
    if (fanout_frame_begin(&g->fanout, bytes_max, f))
        return true;
    close_for_memory(g, s);
    return false;
}

/* Content and catch-up, which no bound of one connection counts. */
static bool begin_large(struct gateway *g, struct session *s, size_t bytes_max, struct fan_frame *f)
{
    if (!conns_is_short(g->conns))
        return native_begin(g, s, bytes_max, f);
    close_for_memory(g, s);
    return false;
}

void native_end(struct gateway *g, struct session *s, struct fan_frame *f, bool unbounded)
{
    if (!fanout_frame_end(&g->fanout, f)) {
        close_for_memory(g, s);
        return;
    }
    counter_bump(g->n.messages_out, 1);
    if (unbounded)
        (void)conn_send_frame_unbounded(s->peer.c, f->slab, f->offset, f->n);
    else
        (void)conn_send_frame(s->peer.c, f->slab, f->offset, f->n);
}

void native_error(struct gateway *g, struct session *s, const struct reply_error *e)
{
    struct fan_frame f;
    if (s->state == SESSION_ENDED || !native_begin(g, s, reply_error_bytes_max(e), &f))
        return;
    reply_error(&f.w, e);
    native_end(g, s, &f, false);
}

/* ---- one session ---- */

static void welcome(struct gateway *g, struct session *s, const struct msg_joined *j,
                    struct bytes presence, struct bytes content)
{
    struct fan_frame f;
    char session_id[33];
    snprintf(session_id, sizeof session_id, "%016llx%016llx", (unsigned long long)gateway_random(g),
             (unsigned long long)gateway_random(g));
    struct reply_welcome o = {
        .doc_id = s->doc_id,
        .session_id = bytes_of(session_id, 32),
        .client_id = s->client_id,
        .joined = j,
        .presence = presence,
        .content = content,
        .message_bytes = g->o.message_bytes_max,
        .op_components = g->o.op_parts_max,
        .document_units = g->o.document_units_max,
    };
    if (!begin_large(g, s, reply_welcome_bytes_max(&o), &f))
        return;
    reply_welcome(&f.w, &o);
    native_end(g, s, &f, true);
}

static void go_live(struct gateway *g, struct session *s)
{
    s->state = SESSION_LIVE;
    if (fanout_insert(&g->fanout, s->peer.shard, s->doc, s->doc_gen, &s->member) != STATUS_OK)
        native_close(g, s, CLOSE_OVERLOAD, "out of memory");
}

static void on_joined(struct gateway *g, struct session *s, struct bytes payload)
{
    struct reader r = reader_of(payload);
    struct msg_joined j;
    struct reply_presence p;
    msg_read_struct(&r, &j);
    (void)read_str(&r); /* client_id: ours */
    const uint8_t *from = r.p;
    for (unsigned i = 0; i < j.n_presence && r.ok; i++)
        reply_read_presence(&r, &p);
    struct bytes presence = bytes_of(from, r.ok ? (size_t)(r.p - from) : 0);
    struct bytes content = read_str(&r);
    s->slot = j.head.session;
    s->gen = j.head.session_gen;
    s->has_slot = true;
    if (!r.ok) {
        struct msg_head head = native_head(s);
        uplink_post(&g->uplink, s->peer.shard, MSG_LEAVE, bytes_of(&head, sizeof head));
        native_join_failed(g, s, &(struct problem){.status = STATUS_INTERNAL});
        return;
    }
    s->doc = j.doc;
    s->doc_gen = j.doc_gen;
    s->doc_type = j.doc_type;
    s->state = SESSION_CATCHUP;
    gateway_count_response(g, 101);
    conn_upgrade(s->peer.c, s->says_penstock ? "penstock.v1" : NULL);
    welcome(g, s, &j, presence, content);
    if (s->state == SESSION_CATCHUP && (j.flags & MSG_JOINED_CONTENT))
        go_live(g, s);
    native_timer(g, s); /* from the deadline of the join to the end of the token */
}

/* One op of a list: str user, str client, str accepted_by, op_out, op. */
static bool read_op(struct reader *r, bool with_names, struct reply_op *o)
{
    struct msg_op_out out;
    if (with_names) {
        o->user_id = read_str(r);
        o->op.client_id = read_str(r);
        o->accepted_by = read_str(r);
    }
    msg_read_struct(r, &out);
    o->op.op = read_bytes(r, out.op_bytes);
    o->op.seq = out.seq;
    o->op.has_seq = !(out.flags & MSG_OP_NO_SEQ);
    o->op.version = out.version - 1;
    o->unix_ms = out.unix_ms;
    return r->ok && out.version > 0;
}

static void on_catchup(struct gateway *g, struct session *s, struct reader *r)
{
    struct msg_catchup m;
    msg_read_struct(r, &m);
    for (uint32_t i = 0; i < m.n_ops; i++) {
        struct reply_op o = {0};
        struct fan_frame f;
        if (!read_op(r, true, &o)) {
            native_close(g, s, 1011, "internal error");
            return;
        }
        if (!begin_large(g, s, reply_op_bytes_max(&o), &f))
            return;
        reply_op(&f.w, &o);
        native_end(g, s, &f, true);
    }
    s->owes_credit = true;
    if (conn_queued_bytes(s->peer.c) <= CATCHUP_QUEUE_BYTES)
        native_drained(g, s);
}

static void on_synced(struct gateway *g, struct session *s, struct reader *r)
{
    struct msg_synced m;
    struct fan_frame f;
    msg_read_struct(r, &m);
    if (!r->ok || s->state != SESSION_CATCHUP || !native_begin(g, s, REPLY_BYTES_MAX, &f))
        return;
    reply_synced(&f.w, m.version, m.hash);
    native_end(g, s, &f, true);
    go_live(g, s);
}

static void on_acks(struct gateway *g, struct session *s, struct reader *r)
{
    struct msg_acks m;
    struct msg_ack ack;
    struct fan_frame f;
    msg_read_struct(r, &m);
    for (uint32_t i = 0; i < m.n_acks && s->state != SESSION_ENDED; i++) {
        msg_read_struct(r, &ack);
        if (!r->ok || !native_begin(g, s, REPLY_BYTES_MAX, &f))
            return;
        reply_ack(&f.w, &(struct reply_ack){s->client_id, ack.seq, ack.version, ack.flags});
        native_end(g, s, &f, false);
    }
    native_answered(g, s, m.n_acks);
}

static void on_error(struct gateway *g, struct session *s, struct reader *r)
{
    struct msg_error m;
    msg_read_struct(r, &m);
    struct bytes detail = read_str(r);
    if (!r->ok)
        return;
    bool has_seq = m.flags & MSG_ERROR_SEQ;
    native_error(g, s,
                 &(struct reply_error){.status = (enum status)m.status,
                                       .detail = detail,
                                       .retry_after_ms = m.retry_after_ms,
                                       .has_seq = has_seq,
                                       .seq = m.seq});
    if (s->ops_have_seq && !has_seq)
        return; /* it is about something else */
    /* One message is in flight: its error answers all that was left of it, also what was found
     * wrong here behind the op that the shard refused. */
    s->has_refusal = false;
    native_answered(g, s, UINT32_MAX);
}

static void on_note(struct gateway *g, struct session *s, uint16_t type, struct reader *r)
{
    struct msg_session_note m;
    struct fan_frame f;
    msg_read_struct(r, &m);
    if (!r->ok)
        return;
    if (type == MSG_CLOSE) {
        s->has_slot = false; /* the shard has forgotten it */
        native_close(g, s, m.arg >= 1000 && m.arg < 5000 ? (uint16_t)m.arg : 1011, "");
        return;
    }
    if (!native_begin(g, s, REPLY_BYTES_MAX, &f))
        return;
    reply_access(&f.w, (enum doc_role)m.arg);
    native_end(g, s, &f, false);
}

static void on_fail(struct gateway *g, struct session *s, struct reader *r)
{
    struct msg_error m;
    msg_read_struct(r, &m);
    struct bytes detail = read_str(r);
    native_join_failed(g, s,
                       &(struct problem){.status = r->ok ? (enum status)m.status : STATUS_INTERNAL,
                                         .detail = detail,
                                         .retry_after_ms = m.retry_after_ms});
}

void native_message(struct gateway *g, struct session *s, uint16_t type, struct bytes payload)
{
    struct reader r = reader_of(payload);
    if (s->state == SESSION_JOINING) {
        if (type == MSG_JOINED)
            on_joined(g, s, payload);
        else if (type == MSG_FAIL)
            on_fail(g, s, &r);
        return;
    }
    if (s->state == SESSION_ENDED)
        return;
    switch (type) {
    case MSG_CATCHUP:
        on_catchup(g, s, &r);
        break;
    case MSG_SYNCED:
        on_synced(g, s, &r);
        break;
    case MSG_ACKS:
        on_acks(g, s, &r);
        break;
    case MSG_ERROR:
        on_error(g, s, &r);
        break;
    case MSG_ACCESS_OUT:
    case MSG_CLOSE:
        on_note(g, s, type, &r);
        break;
    default:
        break;
    }
}

/* ---- a document ---- */

static struct session *session_of(struct gateway *g, uint64_t tag)
{
    struct conn *c = tag ? conn_find(g->conns, tag) : NULL;
    struct peer *p = c ? conn_user(c) : NULL;
    return p && p->kind == PEER_SESSION ? (struct session *)(void *)p : NULL;
}

/* PATH 9: each op is encoded once for all members; its sender gets an ack in its place.
 * fanout_flush hands the run to their sockets. */
static void on_released(struct gateway *g, uint32_t shard, struct reader *r)
{
    struct msg_released m;
    struct reply_op o = {0};
    msg_read_struct(r, &m);
    o.user_id = read_str(r);
    o.op.client_id = read_str(r);
    o.accepted_by = read_str(r);
    struct session *sender = session_of(g, m.tag);
    struct fan_doc *d = fanout_find(&g->fanout, shard, m.doc, m.doc_gen);
    if (d) {
        struct fan_member *member = sender && sender->member.doc == d ? &sender->member : NULL;
        for (uint32_t i = 0; i < m.n_ops && read_op(r, false, &o); i++)
            fanout_op(&g->fanout, d, &o, member);
    }
    if (sender)
        native_answered(g, sender, m.n_ops);
}

static void on_presence_out(struct gateway *g, struct fan_doc *d, uint32_t n_entries,
                            struct reader *r)
{
    for (uint32_t i = 0; i < n_entries; i++) {
        struct reply_presence p;
        struct fan_frame f;
        reply_read_presence(r, &p);
        if (!r->ok || !fanout_frame_begin(&g->fanout, reply_presence_bytes_max(&p), &f))
            return; /* presence may be lost */
        reply_presence(&f.w, &p);
        struct session *own = p.entry.gateway == g->o.idx ? session_of(g, p.entry.tag) : NULL;
        if (fanout_frame_end(&g->fanout, &f))
            fanout_frame(&g->fanout, d, own ? &own->member : NULL, &f);
    }
}

void native_broadcast(struct gateway *g, uint32_t shard, uint16_t type, struct bytes payload)
{
    struct reader r = reader_of(payload);
    struct msg_doc_note m;
    struct fan_frame f;
    if (type == MSG_RELEASED) {
        on_released(g, shard, &r);
        return;
    }
    msg_read_struct(&r, &m);
    struct fan_doc *d = fanout_find(&g->fanout, shard, m.doc, m.doc_gen);
    if (!r.ok || !d)
        return;
    fanout_flush(&g->fanout);
    if (type == MSG_PRESENCE_OUT) {
        on_presence_out(g, d, m.n, &r);
        return;
    }
    struct bytes title = read_str(&r);
    if (!r.ok || !fanout_frame_begin(&g->fanout, 6 * title.n + 64, &f))
        return;
    reply_title(&f.w, title);
    if (fanout_frame_end(&g->fanout, &f))
        fanout_frame(&g->fanout, d, NULL, &f);
}
