/* shard_ops.c - one ops message: from its bytes to a log record and what is released of it; see
 * shard_private.h and accept.h. */
#include "sequencer/shard_private.h"

/* One message under way. */
struct work {
    struct msg_in *m;
    struct msg_ops h;
    struct session *session; /* NULL: a call */
    struct document *doc;
    struct client *client;
    bool client_is_new; /* a call's: nothing is recorded of it yet */
    struct bytes user;
    uint8_t role;
    struct accept_plan plan;
    uint32_t n_accepted;
    uint64_t first_version;
};

/* ---- whose it is ---- */

/* Behind a merge or a catch-up of the same session: in order, one after the other. */
static enum status wait_in_session(struct shard *s, struct msg_in *m, struct session *session)
{
    bool is_mine = m->request && m->request->in_session;
    if (!is_mine && session->n_waiting >= SHARD_WAITING_MAX)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    struct request *r = shard_park(s, m, NULL);
    if (!r)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    if (!is_mine) {
        r->in_session = true;
        session->n_waiting++;
    }
    struct request_list l = {session->waiting, session->waiting_last};
    shard_push(&l, r);
    session->waiting = l.first;
    session->waiting_last = l.last;
    return STATUS_END;
}

static bool is_behind(const struct session *session, const struct msg_in *m)
{
    if (session->merging)
        return session->merging != m->request;
    if (session->state != SESSION_LIVE)
        return true;
    return session->n_waiting > 0 && !(m->request && m->request->in_session);
}

static enum status from_session(struct shard *s, struct work *w)
{
    w->session = shard_session_of(s, w->m);
    if (!w->session)
        return STATUS_OK; /* it was closed while this was under way */
    if (is_behind(w->session, w->m))
        return wait_in_session(s, w->m, w->session);
    w->doc = w->session->doc;
    w->client = w->session->client;
    w->user = client_user(w->client);
    w->role = w->session->role;
    return STATUS_OK;
}

static enum status from_call(struct shard *s, struct work *w, struct reader *r)
{
    struct msg_identity id = msg_read_identity(r);
    struct bytes doc_id = read_str(r);
    struct bytes client_name = read_str(r);
    if (!r->ok || doc_id.n == 0 || doc_id.n > LIMIT_DOC_ID_BYTES || client_name.n == 0 ||
        client_name.n > LIMIT_CLIENT_ID_BYTES)
        return shard_refuse(s, w->m, STATUS_BAD_MESSAGE);
    struct document *d;
    enum status st = shard_find_document(s, w->m, id.tenant, doc_id, false, &d);
    if (!d)
        return st;
    st = shard_check_access(d, &id, DOC_ROLE_EDITOR);
    if (st != STATUS_OK)
        return shard_refuse(s, w->m, st);
    bool absent;
    struct client *c;
    st = shard_find_client(s, w->m, d, client_name, &c, &absent);
    if (!c && !absent)
        return st;
    if (c && !bytes_eq(client_user(c), id.user))
        return shard_refuse(s, w->m, STATUS_FORBIDDEN);
    if (!c) {
        c = document_add_client(d, &s->pool, client_name, id.user);
        if (!c)
            return shard_refuse(s, w->m, STATUS_UNAVAILABLE);
        w->client_is_new = true;
    }
    w->doc = d;
    w->client = c;
    w->user = id.user;
    w->role = access_role(document_roles(d), &id);
    return STATUS_OK;
}

/* ---- the record ---- */

static size_t record_bytes(const struct shard *s, const struct record_ops *head,
                           const struct work *w)
{
    size_t n = record_ops_head_bytes(head);
    for (uint32_t i = 0; i < w->plan.n_new; i++) {
        struct record_op op = {.seq = s->ops_in[w->plan.n_resent + i].seq, .op = s->merge.ops[i]};
        n += record_op_bytes(&op);
    }
    return n;
}

static enum status apply(struct shard *s, struct document *d, struct bytes op)
{
    enum status st = rope_apply(&d->rope, op, &s->rope_limits);
    if (st == STATUS_NO_MEMORY && shard_make_room(s))
        st = rope_apply(&d->rope, op, &s->rope_limits);
    return st == STATUS_NO_MEMORY ? STATUS_UNAVAILABLE : st;
}

static void keep_in_window(struct shard *s, struct work *w, const struct record_op *op)
{
    struct document *d = w->doc;
    struct history_op h = {
        .docnum = d->docnum,
        .version = d->version,
        .unix_ms = s->unix_ms,
        .seq = op->seq,
        .hash = op->hash,
        .user = w->user,
        .client = client_id(w->client),
        .op = op->op,
    };
    d->newest_pos = history_push(&s->window, d->newest_pos, &h);
}

/* PATH 6: apply and number. Stops at the first op that the content refuses. */
static void apply_all(struct shard *s, struct work *w, struct writer *out)
{
    struct document *d = w->doc;
    /* Formats over very many runs would hold up other documents: what is left comes again. */
    uint64_t steps_max = d->rope.n_steps + SHARD_APPLY_STEPS_MAX;
    for (uint32_t i = 0; i < w->plan.n_new; i++) {
        if (d->rope.n_steps > steps_max) {
            w->plan.status = STATUS_RATE_LIMITED;
            return;
        }
        const struct accept_op *in = &s->ops_in[w->plan.n_resent + i];
        struct record_op op = {
            .seq = in->seq, .payload_hash = in->payload_hash, .op = s->merge.ops[i]};
        enum status st = apply(s, d, op.op);
        if (st != STATUS_OK) {
            w->plan.status = st;
            return;
        }
        if (in->has_tail)
            op.op = s->merge.ops[i] = op_chop(op.op);
        op.hash = record_hash_op(d->hash, op.op, w->user, client_id(w->client), op.seq);
        record_write_op(out, &op);
        d->version++;
        d->hash = op.hash;
        d->ops_bytes_since_snapshot += op.op.n;
        s->hashes[i] = op.payload_hash;
        keep_in_window(s, w, &op);
        w->n_accepted++;
    }
}

static void remember(struct shard *s, struct work *w, uint64_t idx)
{
    struct document *d = w->doc;
    struct client *c = w->client;
    uint64_t first_seq = s->ops_in[w->plan.n_resent].seq;
    d->last_idx = idx;
    d->modified_ms = s->unix_ms;
    c->last_idx = idx;
    c->last_version = d->version;
    if (first_seq) {
        c->last_seq = first_seq + w->n_accepted - 1;
        c->last_seq_version = d->version;
        client_set_message(c, &s->pool, first_seq, w->first_version, s->hashes, w->n_accepted);
    }
    counter_bump(s->count.ops, w->n_accepted);
}

/* PATH 7: into the log's open group.
 * NO_ROOM: nothing was changed, come again. Otherwise plan.status says what was refused, if
 * anything. */
static enum status record(struct shard *s, struct work *w)
{
    struct record_ops head = {
        .docnum = w->doc->docnum,
        .unix_ms = s->unix_ms,
        .first_version = w->doc->version + 1,
        .n_ops = w->plan.n_new,
        .user = w->user,
        .client = client_id(w->client),
    };
    size_t n = record_bytes(s, &head, w);
    enum status st = STATUS_TOO_LARGE;
    if (n + w->plan.n_new * sizeof(struct msg_op_out) <= SHARD_RECORD_BYTES_MAX)
        st = client_reserve(w->client, &s->pool, w->plan.n_new);
    if (st == STATUS_OK) {
        st = log_room(s->log, n);
        if (st == STATUS_NO_ROOM)
            return shard_no_log_room(s, w->m, st);
    }
    if (st != STATUS_OK) {
        w->plan.n_new = 0;
        w->plan.status = st == STATUS_TOO_LARGE ? st : STATUS_UNAVAILABLE;
        return STATUS_OK;
    }
    uint8_t *p = log_claim(s->log, n);
    struct writer out = writer_of(p, n);
    record_write_ops_head(&out, &head);
    w->first_version = head.first_version;
    apply_all(s, w, &out);
    check(out.ok);
    if (w->n_accepted == 0) {
        log_abandon(s->log);
        return STATUS_OK;
    }
    record_patch_ops(p, head.first_version, w->n_accepted);
    remember(s, w, log_commit(s->log, RECORD_OPS, writer_n(&out)));
    counter_bump(s->count.op_bytes, writer_n(&out));
    return STATUS_OK;
}

/* ---- what is said of it ---- */

static void write_released(struct shard *s, const struct work *w, struct writer *out)
{
    struct msg_released h = {
        .doc = w->doc->slot,
        .doc_gen = w->doc->gen,
        .first_version = w->first_version,
        .n_ops = w->n_accepted,
    };
    msg_write_struct(out, &h);
    write_str(out, w->user);
    write_str(out, client_id(w->client));
    write_str(out, (struct bytes){0});
    for (uint32_t i = 0; i < w->n_accepted; i++) {
        uint64_t seq = s->ops_in[w->plan.n_resent + i].seq;
        struct msg_op_out op = {
            .version = w->first_version + i,
            .seq = seq,
            .unix_ms = s->unix_ms,
            .op_bytes = (uint32_t)s->merge.ops[i].n,
            .flags = seq ? 0 : MSG_OP_NO_SEQ,
        };
        msg_write_struct(out, &op);
        write_bytes(out, s->merge.ops[i]);
    }
}

/* The broadcast waits in the gateways' rings until its record is durable (outbox.h). Once a
 * gateway: encoded into the first one's ring, copied into the others'. */
static void release(struct shard *s, const struct work *w)
{
    size_t n =
        sizeof(struct msg_released) + 3 * VARINT_BYTES_MAX + w->user.n + client_id(w->client).n;
    for (uint32_t i = 0; i < w->n_accepted; i++)
        n += sizeof(struct msg_op_out) + s->merge.ops[i].n;
    struct bytes written = {0};
    for (uint32_t mask = w->doc->live_mask; mask; mask &= mask - 1) {
        uint32_t g = (uint32_t)__builtin_ctz(mask);
        struct writer out = shard_claim(s, g, n);
        if (written.p)
            write_bytes(&out, written);
        else
            write_released(s, w, &out);
        check(out.ok);
        uint64_t tag = w->session && w->session->gateway == g ? w->session->tag : 0;
        memcpy(out.start + offsetof(struct msg_released, tag), &tag, sizeof tag);
        written = writer_bytes(&out);
        shard_commit(s, g, MSG_RELEASED, &out);
    }
}

/* Acks of resends, and for a call of the new ones too, with the refusal behind them. */
static void write_acks(struct shard *s, const struct work *w, const struct msg_acks *h)
{
    struct writer out =
        shard_claim(s, w->m->gateway, sizeof *h + h->n_acks * sizeof(struct msg_ack));
    msg_write_struct(&out, h);
    for (uint32_t i = 0; i < h->n_acks; i++) {
        struct msg_ack ack = {.seq = s->ops_in[i].seq};
        if (i >= w->plan.n_resent)
            ack.version = w->first_version + (i - w->plan.n_resent);
        else if (s->resent[i])
            ack.version = s->resent[i];
        else
            ack.flags |= MSG_ACK_NO_VERSION;
        if (!ack.seq)
            ack.flags |= MSG_ACK_NO_SEQ;
        msg_write_struct(&out, &ack);
    }
    shard_commit(s, w->m->gateway, MSG_ACKS, &out);
    counter_bump(s->count.ops_resent, w->plan.n_resent);
}

static uint64_t refused_seq(const struct shard *s, const struct work *w)
{
    return s->ops_in[w->plan.n_resent + w->n_accepted].seq;
}

static void answer_call(struct shard *s, const struct work *w)
{
    struct msg_acks h = {
        .head = shard_head_of(w->m),
        .n_acks = w->plan.n_resent + w->n_accepted,
        .status = (uint16_t)w->plan.status,
    };
    if (w->plan.status != STATUS_OK) {
        h.seq = refused_seq(s, w);
        h.flags = h.seq ? MSG_ERROR_SEQ : 0;
        counter_bump(s->count.refused[w->plan.status], 1);
    }
    write_acks(s, w, &h);
}

/* ---- all together ---- */

static enum status plan(struct shard *s, struct work *w)
{
    struct accept_ask ask = {
        .role = w->role,
        .doc_type = w->doc->type,
        .op_parts_max = s->options.op_parts_max,
        .doc_version = w->doc->version,
        .base_version = w->h.base_version,
        .client = w->client,
        .ops = s->ops_in,
        .n_ops = w->h.n_ops,
    };
    w->plan = accept_plan(&ask);
    if (w->plan.n_new == 0)
        return STATUS_OK;
    enum status st = shard_merge(s, w->m, w->session, w->doc, w->h.base_version, w->plan.n_resent,
                                 w->plan.n_new);
    if (st == STATUS_OK || st == STATUS_END)
        return st;
    w->plan.n_new = 0;
    w->plan.status = st;
    return STATUS_OK;
}

/* Looked up before new ops take the place of the client's last message. */
static void find_resent(struct shard *s, const struct work *w)
{
    for (uint32_t i = 0; i < w->plan.n_resent; i++) {
        s->resent[i] = 0;
        (void)accept_resent_version(w->client, s->ops_in[i].seq, &s->resent[i]);
    }
}

static void answer_session(struct shard *s, const struct work *w)
{
    if (w->plan.n_resent > 0) {
        struct msg_acks h = {.head = shard_head(w->session), .n_acks = w->plan.n_resent};
        write_acks(s, w, &h);
    }
    if (w->n_accepted > 0)
        release(s, w);
    if (w->plan.status != STATUS_OK)
        shard_error(s, w->session, w->plan.status, refused_seq(s, w));
}

static enum status accept(struct shard *s, struct work *w)
{
    enum status st = plan(s, w);
    if (st != STATUS_OK)
        return st;
    find_resent(s, w);
    if (w->plan.n_new > 0) {
        st = record(s, w);
        if (st != STATUS_OK)
            return st;
    }
    if (w->session) {
        answer_session(s, w);
    } else {
        if (w->n_accepted > 0)
            release(s, w);
        answer_call(s, w);
    }
    if (w->n_accepted > 0)
        shard_snapshot_if_due(s, w->doc);
    return STATUS_OK;
}

/* A message that was behind others in its session, or was a merge, gives way to the next. */
static void leave_session_queue(struct shard *s, const struct work *w, enum status st)
{
    struct request *r = w->m->request;
    struct session *session = w->session;
    if (!r || !session || st == STATUS_NO_ROOM)
        return;
    bool is_merging = session->merging == r;
    if (r->in_session && (st == STATUS_OK || is_merging)) {
        r->in_session = false;
        session->n_waiting--;
    }
    if (is_merging && st == STATUS_OK) {
        session->merging = NULL;
        shard_wake_all(s, &session->waiting, &session->waiting_last);
    }
}

/* An ops message is decided. */
enum status shard_on_ops(struct shard *s, struct msg_in *m)
{
    struct work w = {.m = m};
    struct reader r = reader_of(m->payload);
    msg_read_struct(&r, &w.h);
    if (!accept_read_ops(&r, m->payload.p, w.h.n_ops, s->ops_in, SHARD_MESSAGE_OPS_MAX))
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    enum status st = w.h.flags & MSG_OPS_CALL ? from_call(s, &w, &r) : from_session(s, &w);
    if (w.doc) {
        st = accept(s, &w);
        if (w.client_is_new && w.n_accepted == 0)
            document_erase_client(w.doc, &s->pool, w.client);
    }
    leave_session_queue(s, &w, st);
    return st;
}
