/*
 * shard_merge.c - messages from far behind: their ops are carried past what was accepted since, in
 * slices, so that other documents go on; see shard_private.h and merge.h.
 *
 * What is near is done at once from the window. What is far becomes a merge: the message is parked
 * with its ops as they stand at some version, older accepted ops come from the loader in chunks,
 * and each poll carries one merge on by a bounded cost. Near the document's version the message
 * runs again and is finished from the window. All decisions (role, resends, seqs) are made then.
 */
#include "sequencer/shard_private.h"

/* A merge this near to the document's version is finished by the message itself. */
#define NEAR_OPS 256u

/* Carries s->merge past ops *v + 1 ... from the window, as far as the budget lasts; the first one
 * is always taken. Without the window's help nothing happens. */
static enum status carry_from_window(struct shard *s, const struct document *d, uint64_t *v,
                                     uint64_t budget)
{
    uint64_t n = d->version - *v;
    if (n > SHARD_WALK_MAX ||
        history_walk(&s->window, d->newest_pos, d->docnum, (uint32_t)n, s->walk) < n)
        return STATUS_OK;
    uint64_t spent = 0;
    while (n-- > 0 && spent < budget) {
        struct history_op op;
        bool there = history_read(&s->window, s->walk[n], d->docnum, &op);
        check(there);
        check_cmp(op.version, ==, *v + 1);
        uint64_t left = budget - spent;
        spent += merge_cost(&s->merge, op.op);
        enum status st = merge_past_some(&s->merge, op.op, left);
        if (st != STATUS_OK)
            return st == STATUS_END ? STATUS_OK : st;
        ++*v;
    }
    return STATUS_OK;
}

/* The same from the chunk that the loader sent. */
static enum status carry_from_chunk(struct shard *s, struct request *r, uint64_t *v,
                                    uint64_t budget)
{
    struct reader in = reader_of(bytes_of(r->chunk + r->chunk_at, r->chunk_bytes - r->chunk_at));
    uint64_t spent = 0;
    enum status st = STATUS_OK;
    while (st == STATUS_OK && reader_left(&in) > 0 && spent < budget) {
        struct reader item = in;
        for (unsigned i = 0; i < 3; i++)
            (void)read_str(&in); /* who made it */
        struct msg_op_out h;
        msg_read_struct(&in, &h);
        struct bytes op = read_bytes(&in, h.op_bytes);
        check(in.ok);
        check_cmp(h.version, ==, *v + 1);
        uint64_t left = budget - spent;
        spent += merge_cost(&s->merge, op);
        st = merge_past_some(&s->merge, op, left);
        if (st == STATUS_END) /* read again when it goes on */
            in = item;
        else
            ++*v;
    }
    r->chunk_at = r->chunk_bytes - reader_left(&in);
    if (r->chunk_at == r->chunk_bytes) {
        pool_give(&s->pool, r->chunk, r->chunk_bytes);
        r->chunk = NULL;
        r->chunk_bytes = 0;
    }
    return st == STATUS_END ? STATUS_OK : st;
}

/* Keeps the ops as they are now with the parked message. */
static bool keep(struct shard *s, struct request *r, uint64_t version)
{
    /* At least a byte, so that the pointer says that this is a merge. */
    size_t n = merge_emit_bytes(&s->merge) + 1;
    uint8_t *block = pool_take(&s->pool, n);
    if (!block)
        return false;
    merge_emit(&s->merge, block, n);
    pool_give(&s->pool, r->merge_ops, r->merge_ops_bytes);
    r->merge_ops = block;
    r->merge_ops_bytes = n;
    r->merge_at = s->merge.at;
    r->merge_version = version;
    return true;
}

static enum status resume(struct shard *s, const struct request *r)
{
    size_t n = 0;
    struct reader in = reader_of(bytes_of(r->merge_ops, r->merge_ops_bytes));
    for (uint32_t i = 0; i < r->merge_n + (r->merge_at > 0); i++)
        (void)read_str(&in);
    check(in.ok);
    n = r->merge_ops_bytes - reader_left(&in);
    return merge_resume(&s->merge, bytes_of(r->merge_ops, n), r->merge_at);
}

/* PATH 5: the new ops of a message are transformed past what was accepted since their base. */
enum status shard_merge(struct shard *s, struct msg_in *m, struct session *session,
                        struct document *d, uint64_t base, uint32_t skip, uint32_t n)
{
    struct request *r = m->request;
    uint64_t v = base;
    enum status st = STATUS_OK;
    if (r && r->merge_ops) {
        /* Another message of this client came between, over HTTP: what was carried is not what is
         * new any more. */
        if (r->merge_skip != skip || r->merge_n != n)
            return STATUS_UNAVAILABLE;
        v = r->merge_version;
        st = resume(s, r);
    } else {
        merge_begin(&s->merge);
        for (uint32_t i = 0; i < n; i++)
            check(merge_add(&s->merge, s->ops_in[skip + i].op));
    }
    if (st != STATUS_OK || v == d->version)
        return st;
    if (!r || !r->merge_ops)
        counter_bump(s->count.ops_merged, n);
    st = carry_from_window(s, d, &v, SHARD_MERGE_COST_NOW);
    if (st != STATUS_OK || v == d->version)
        return st;
    r = shard_park(s, m, d);
    if (!r || !keep(s, r, v))
        return STATUS_UNAVAILABLE;
    r->merge_skip = skip;
    r->merge_n = n;
    if (session)
        session->merging = r;
    shard_push(&s->merges, r);
    return STATUS_END;
}

/* ---- in slices ---- */

static struct msg_in message_of(struct request *r)
{
    return (struct msg_in){.gateway = r->gateway,
                           .type = r->type,
                           .payload = bytes_of(r->payload, r->payload_bytes),
                           .request = r};
}

static void give_up(struct shard *s, struct request *r, enum status why)
{
    struct msg_in m = message_of(r);
    shard_refuse(s, &m, why);
    struct session *session = shard_session_of(s, &m);
    if (session && session->merging == r) {
        session->merging = NULL;
        shard_wake_all(s, &session->waiting, &session->waiting_last);
    }
    shard_request_done(s, r);
}

static void ask_for_older(struct shard *s, struct request *r)
{
    struct loader_ask ask = shard_ask_for(r);
    ask.docnum = r->doc->docnum;
    ask.need_idx = r->doc->last_idx;
    ask.a = r->merge_version + 1;
    ask.b = r->doc->version;
    ask.limit = UINT32_MAX;
    ask.bytes_max = LOADER_CHUNK_BYTES;
    shard_ask(s, LOADER_OPS, ask, (struct bytes){0}, (struct bytes){0});
}

static void run_slice(struct shard *s, struct request *r)
{
    const struct document *d = r->doc;
    uint64_t v = r->merge_version;
    enum status st = resume(s, r);
    if (st == STATUS_OK && r->chunk)
        st = carry_from_chunk(s, r, &v, SHARD_MERGE_COST_SLICE);
    else if (st == STATUS_OK)
        st = carry_from_window(s, d, &v, SHARD_MERGE_COST_SLICE);
    if (st != STATUS_OK) {
        give_up(s, r, st);
        return;
    }
    bool moved = v != r->merge_version || s->merge.at != r->merge_at;
    if (moved && !keep(s, r, v)) {
        give_up(s, r, STATUS_UNAVAILABLE);
        return;
    }
    if (v == d->version || (moved && !r->chunk && d->version - v <= NEAR_OPS))
        shard_push(&s->ready, r);
    else if (moved)
        shard_push(&s->merges, r);
    else
        ask_for_older(s, r);
}

unsigned shard_run_merges(struct shard *s)
{
    struct request *r = s->merges.first && shard_has_room(s) ? shard_pop(&s->merges) : NULL;
    if (!r)
        return 0;
    if (r->cancelled)
        shard_request_done(s, r);
    else
        run_slice(s, r);
    counter_bump(s->count.merge_slices, 1);
    return 1;
}

void shard_merge_answer(struct shard *s, struct request *r, const struct loader_answer *a,
                        struct bytes items)
{
    if (a->status != STATUS_OK || a->n == 0) {
        give_up(s, r, a->status == STATUS_NO_MEMORY ? STATUS_UNAVAILABLE : STATUS_INTERNAL);
        return;
    }
    r->chunk = pool_take(&s->pool, items.n);
    if (!r->chunk) {
        give_up(s, r, STATUS_UNAVAILABLE);
        return;
    }
    memcpy(r->chunk, items.p, items.n);
    r->chunk_bytes = items.n;
    r->chunk_at = 0;
    shard_push(&s->merges, r);
}
