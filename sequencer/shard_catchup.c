/*
 * shard_catchup.c - ops that a client missed, in order, until it is live; see shard_private.h.
 *
 * Where the window reaches back far enough the ops are sent from it; older ones come from the
 * loader in chunks of LOADER_CHUNK_BYTES. The gateway gives a credit for each chunk once the socket
 * has taken it, so a slow reader costs the shard nothing. The last chunk comes from the window, and
 * with it SYNCED: between the two no op can slip through, since both happen in one step.
 */
#include "sequencer/shard_private.h"

#define CLOSE_INTERNAL 1011u
#define CLOSE_OVERLOAD 1013u

size_t shard_item_bytes(const struct history_op *op)
{
    return varint_bytes(op->user.n) + op->user.n + varint_bytes(op->client.n) + op->client.n +
           varint_bytes(op->accepted_by.n) + op->accepted_by.n + sizeof(struct msg_op_out) +
           op->op.n;
}

void shard_write_item(struct writer *w, const struct history_op *op)
{
    struct msg_op_out out = {
        .version = op->version,
        .seq = op->seq,
        .unix_ms = op->unix_ms,
        .op_bytes = (uint32_t)op->op.n,
        .flags = op->seq ? 0 : MSG_OP_NO_SEQ,
    };
    write_str(w, op->user);
    write_str(w, op->client);
    write_str(w, op->accepted_by);
    msg_write_struct(w, &out);
    write_bytes(w, op->op);
}

static void sync(struct shard *s, struct session *session)
{
    struct msg_synced h = {
        .head = shard_head(session), .version = session->doc->version, .hash = session->doc->hash};
    struct writer w = shard_claim(s, session->gateway, sizeof h);
    msg_write_struct(&w, &h);
    shard_commit(s, session->gateway, MSG_SYNCED, &w);
    shard_make_live(s, session);
}

/* How many of the n oldest of s->walk fit a chunk; at least one. */
static uint32_t fit(const struct shard *s, const struct document *d, uint32_t n, size_t *bytes)
{
    uint32_t fits = 0;
    *bytes = 0;
    while (fits < n) {
        struct history_op op;
        bool there = history_read(&s->window, s->walk[n - 1 - fits], d->docnum, &op);
        check(there);
        size_t item = shard_item_bytes(&op);
        if (fits > 0 && *bytes + item > LOADER_CHUNK_BYTES)
            break;
        *bytes += item;
        fits++;
    }
    return fits;
}

static void send_from_window(struct shard *s, struct session *session, uint32_t n)
{
    const struct document *d = session->doc;
    size_t bytes;
    uint32_t fits = fit(s, d, n, &bytes);
    struct msg_catchup h = {
        .head = shard_head(session), .first_version = session->next_version, .n_ops = fits};
    struct writer w = shard_claim(s, session->gateway, sizeof h + bytes);
    msg_write_struct(&w, &h);
    for (uint32_t i = 0; i < fits; i++) {
        struct history_op op;
        bool there = history_read(&s->window, s->walk[n - 1 - i], d->docnum, &op);
        check(there);
        check_cmp(op.version, ==, session->next_version + i);
        shard_write_item(&w, &op);
    }
    shard_commit(s, session->gateway, MSG_CATCHUP, &w);
    counter_bump(s->count.catchup_chunks, 1);
    session->next_version += fits;
}

static void ask_for_older(struct shard *s, struct session *session)
{
    struct loader_ask ask = {
        .slot = session->slot,
        .gen = session->gen,
        .whom = LOADER_FOR_SESSION,
        .limit = UINT32_MAX,
        .need_idx = session->doc->last_idx,
        .docnum = session->doc->docnum,
        .a = session->next_version,
        .b = session->doc->version,
        .bytes_max = LOADER_CHUNK_BYTES,
    };
    session->asked = true;
    shard_ask(s, LOADER_OPS, ask, (struct bytes){0}, (struct bytes){0});
}

void shard_catchup(struct shard *s, struct session *session)
{
    struct document *d = session->doc;
    if (session->next_version > d->version) {
        sync(s, session);
        return;
    }
    uint64_t n = d->version - session->next_version + 1;
    if (n > SHARD_WALK_MAX ||
        history_walk(&s->window, d->newest_pos, d->docnum, (uint32_t)n, s->walk) < n) {
        ask_for_older(s, session);
        return;
    }
    send_from_window(s, session, (uint32_t)n);
    if (session->next_version > d->version)
        sync(s, session);
}

void shard_catchup_answer(struct shard *s, struct session *session, const struct loader_answer *a,
                          struct bytes items)
{
    session->asked = false;
    if (a->status != STATUS_OK || a->n == 0) {
        shard_end_session(s, session,
                          a->status == STATUS_NO_MEMORY ? CLOSE_OVERLOAD : CLOSE_INTERNAL);
        return;
    }
    check_cmp(a->a, ==, session->next_version);
    struct msg_catchup h = {
        .head = shard_head(session), .first_version = session->next_version, .n_ops = a->n};
    struct writer w = shard_claim(s, session->gateway, sizeof h + items.n);
    msg_write_struct(&w, &h);
    write_bytes(&w, items);
    shard_commit(s, session->gateway, MSG_CATCHUP, &w);
    counter_bump(s->count.catchup_chunks, 1);
    session->next_version += a->n;
    if (session->next_version > session->doc->version)
        sync(s, session);
}

enum status shard_on_credit(struct shard *s, struct msg_in *m)
{
    struct session *session = shard_session_of(s, m);
    if (session && session->state == SESSION_CATCHUP && !session->asked)
        shard_catchup(s, session);
    return STATUS_OK;
}
