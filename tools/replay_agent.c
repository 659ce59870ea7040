/* replay_agent.c - edits out, others' ops in; see replay_agent.h. Messages: replay_message.c. */
#include "tools/replay_agent.h"

#include "sequencer/transform.h"
#include "tools/replay_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- queues ---- */

static struct replay_item *item_at(const struct replay_queue *q, uint32_t i)
{
    return &q->items[q->head + i];
}

bool replay_push(struct replay_queue *q, const struct replay_item *like, struct bytes op)
{
    if (q->head + q->n == q->room) {
        if (q->head > q->room / 2) { /* half of it is behind us */
            memmove(q->items, q->items + q->head, q->n * sizeof *q->items);
            q->head = 0;
        } else {
            uint32_t room = q->room * 2 + 64;
            struct replay_item *items = realloc(q->items, room * sizeof *items);
            if (!items)
                return false;
            q->items = items;
            q->room = room;
        }
    }
    struct replay_item item = *like;
    item.op = malloc(op.n + 1);
    item.op_bytes = op.n;
    if (!item.op)
        return false;
    memcpy(item.op, op.p, op.n);
    q->items[q->head + q->n++] = item;
    return true;
}

static void pop(struct replay_queue *q)
{
    free(item_at(q, 0)->op);
    q->head++;
    q->n--;
    if (q->n == 0)
        q->head = 0;
}

static void clear(struct replay_queue *q)
{
    while (q->n)
        pop(q);
}

static struct bytes op_of(const struct replay_item *item)
{
    return bytes_of(item->op, item->op_bytes);
}

bool replay_fail(struct replay_agent *a, const char *fmt, ...)
{
    va_list args;
    if (a->state == REPLAY_FAILED)
        return false;
    va_start(args, fmt);
    vsnprintf(a->why, sizeof a->why, fmt, args);
    va_end(args);
    a->state = REPLAY_FAILED;
    return false;
}

/* ---- merging ---- */

/*
 * Carries `first` and `second`, made on the same text, past each other; `first` stands earlier in
 * the server's order and has priority. Both are replaced.
 */
static bool cross(struct replay_agent *a, struct replay_item *first, struct replay_item *second)
{
    struct bytes one = op_of(first), two = op_of(second), two_after, one_after;
    size_t n2 = transform_bytes_max(one, two), n1 = transform_bytes_max(two, one);
    uint8_t *p2 = malloc(n2 + 1), *p1 = malloc(n1 + 1);
    if (!p1 || !p2 || op_transform(one, two, true, p2, n2, &two_after) != STATUS_OK ||
        op_transform(two, one, false, p1, n1, &one_after) != STATUS_OK) {
        free(p1);
        free(p2);
        return replay_fail(a, "two ops could not be transformed");
    }
    memmove(p1, one_after.p, one_after.n);
    memmove(p2, two_after.p, two_after.n);
    free(first->op);
    free(second->op);
    *first = (struct replay_item){.op = p1, .op_bytes = one_after.n, .seq = first->seq};
    *second = (struct replay_item){.op = p2, .op_bytes = two_after.n, .seq = second->seq};
    return true;
}

/* Another's op, next in the server's order: past everything pending, then behind what is unseen. */
static bool take_other(struct replay_agent *a, const struct replay_item *item)
{
    if (!a->other || item->seq != a->n_taken + 1u)
        return replay_fail(a, "somebody else edits this document");
    if (!replay_push(&a->unseen, item, op_of(item)))
        return replay_fail(a, "no memory");
    struct replay_item *moving = item_at(&a->unseen, a->unseen.n - 1);
    for (uint32_t i = 0; i < a->pending.n; i++)
        if (!cross(a, moving, item_at(&a->pending, i)))
            return false;
    a->n_taken++;
    return true;
}

static bool make(struct replay_agent *a);

/* What the person saw when he made his next edit was there before it, so it was taken already. */
static bool can_remake(const struct replay_agent *a)
{
    if (a->n_made == a->trace->n_of[a->idx])
        return false;
    const struct trace_txn *txn = &a->trace->txns[a->trace->of[a->idx][a->n_made]];
    return !a->other || txn->seen[a->other->idx] <= a->n_taken;
}

/* An own op stands next in the server's order. After a restart of this program it may be one that
 * was not made yet. */
static bool take_own(struct replay_agent *a, uint64_t seq)
{
    if (a->pending.n == 0 && (!can_remake(a) || !make(a)))
        return replay_fail(a, "the server has op %lu of %s, which the trace does not make there",
                           (unsigned long)seq, a->client_id);
    if (item_at(&a->pending, 0)->seq != seq)
        return replay_fail(a, "own op %lu came where %lu should", (unsigned long)seq,
                           (unsigned long)item_at(&a->pending, 0)->seq);
    pop(&a->pending);
    a->n_acked++;
    if (a->n_sent < a->n_acked)
        a->n_sent = a->n_acked;
    return true;
}

static bool take_next(struct replay_agent *a)
{
    struct replay_item *item = item_at(&a->inbox, 0);
    if (item->version != a->version + 1)
        return replay_fail(a, "version %lu came after %lu", (unsigned long)item->version,
                           (unsigned long)a->version);
    if (item->own ? !take_own(a, item->seq) : !take_other(a, item))
        return false;
    a->version++;
    pop(&a->inbox);
    return true;
}

/* Everything up to and with the last own entry: acks must not wait for the person. */
bool replay_take_acks(struct replay_agent *a)
{
    uint32_t n = 0;
    for (uint32_t i = a->inbox.n; i > 0 && n == 0; i--)
        if (item_at(&a->inbox, i - 1)->own)
            n = i;
    while (n-- > 0)
        if (!take_next(a))
            return false;
    return true;
}

/* ---- the person ---- */

/* Shows the person the other's edits up to `n_other`. *shown false: they have not come yet. */
static bool show(struct replay_agent *a, uint32_t n_other, bool *shown)
{
    *shown = false;
    while (a->n_taken < n_other) {
        if (a->inbox.n == 0)
            return true;
        if (!take_next(a))
            return false;
    }
    for (; a->n_seen < n_other; a->n_seen++) {
        if (replay_text_apply(&a->text, op_of(item_at(&a->unseen, 0))) != STATUS_OK)
            return replay_fail(a, "an op of the other does not fit what %s sees", a->client_id);
        pop(&a->unseen);
    }
    *shown = true;
    return true;
}

/* The patches of one edit as one op, in a->work. */
static bool edit_op(struct replay_agent *a, const struct trace_txn *txn, struct bytes *op)
{
    uint8_t *p = a->work;
    *op = bytes_of(p, 0);
    for (uint32_t i = 0; i < txn->n_patches; i++) {
        const struct trace_patch *patch = &a->trace->patches[txn->first_patch + i];
        struct bytes next, both;
        uint8_t *q = p + REPLAY_OP_BYTES, *r = q + REPLAY_OP_BYTES;
        if (replay_text_patch(&a->text, patch, q, REPLAY_OP_BYTES, &next) != STATUS_OK)
            return replay_fail(a, "edit %u of %s does not fit the text", a->n_made, a->client_id);
        if (op_compose(*op, next, r, REPLAY_OP_BYTES, &both) != STATUS_OK)
            return replay_fail(a, "edit %u of %s is too large", a->n_made, a->client_id);
        memmove(p, both.p, both.n);
        *op = bytes_of(p, both.n);
    }
    return true;
}

/* Makes the next edit, if the person sees what it was made on. False: it can't be made now. */
static bool make(struct replay_agent *a)
{
    bool shown = true;
    struct bytes op;
    if (a->n_made == a->trace->n_of[a->idx])
        return false;
    const struct trace_txn *txn = &a->trace->txns[a->trace->of[a->idx][a->n_made]];
    if (a->other && (!show(a, txn->seen[a->other->idx], &shown) || !shown))
        return false;
    struct replay_item like = {.seq = a->n_made + 1u};
    if (!edit_op(a, txn, &op) || !replay_push(&a->pending, &like, op))
        return replay_fail(a, "no memory");
    a->n_made++;
    struct replay_item *mine = item_at(&a->pending, a->pending.n - 1);
    for (uint32_t i = 0; i < a->unseen.n; i++)
        if (!cross(a, item_at(&a->unseen, i), mine))
            return false;
    return true;
}

/*
 * Where causality leaves the order open, agent 0 goes first: agent 1 sends an edit only once all of
 * agent 0's that were made without it are acknowledged.
 */
static bool may_go(const struct replay_agent *a)
{
    if (a->idx == 0 || !a->other || a->n_made == a->trace->n_of[a->idx])
        return true;
    const struct replay_agent *o = a->other;
    if (o->n_acked == o->trace->n_of[o->idx])
        return true;
    const struct trace_txn *next = &o->trace->txns[o->trace->of[o->idx][o->n_acked]];
    return next->seen[a->idx] > a->n_made;
}

bool replay_agent_go(struct replay_agent *a, uint64_t now_ns)
{
    if (a->state != REPLAY_LIVE || a->n_sent > a->n_acked || now_ns < a->retry_ns)
        return a->state != REPLAY_FAILED;
    while (a->pending.n < a->batch && may_go(a))
        if (!make(a))
            break;
    if (a->state == REPLAY_FAILED)
        return false;
    return a->pending.n == 0 || replay_send_pending(a, now_ns);
}

bool replay_agent_is_done(const struct replay_agent *a)
{
    uint32_t others = a->other ? a->trace->n_of[a->other->idx] : 0;
    return a->n_acked == a->trace->n_of[a->idx] && a->n_heard == others;
}

bool replay_agent_finish(struct replay_agent *a)
{
    bool shown = true;
    if (a->other && !show(a, a->trace->n_of[a->other->idx], &shown))
        return false;
    return shown || replay_fail(a, "ops of the other are missing");
}

/* ---- life ---- */

enum status replay_agent_open(struct replay_agent *a, const struct trace *trace, uint32_t idx,
                              uint32_t batch, struct histogram *latency)
{
    *a = (struct replay_agent){.trace = trace, .idx = idx, .batch = batch, .latency = latency};
    a->ws.fd = -1;
    snprintf(a->client_id, sizeof a->client_id, "replay-%u", idx);
    a->work = malloc(REPLAY_WORK_BYTES);
    if (!a->work || replay_text_open(&a->text, trace->start) != STATUS_OK) {
        replay_agent_close(a);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void replay_agent_close(struct replay_agent *a)
{
    wsclient_close(&a->ws);
    clear(&a->pending);
    clear(&a->unseen);
    clear(&a->inbox);
    free(a->pending.items);
    free(a->unseen.items);
    free(a->inbox.items);
    replay_text_close(&a->text);
    free(a->work);
    *a = (struct replay_agent){.ws.fd = -1};
}

void replay_agent_connected(struct replay_agent *a)
{
    a->state = REPLAY_CATCHING_UP;
}

/* What was not taken comes again: the next connection asks for what follows `version`. */
void replay_agent_disconnected(struct replay_agent *a)
{
    wsclient_close(&a->ws);
    clear(&a->inbox);
    a->n_heard = a->n_taken;
    a->n_sent = a->n_acked;
    if (a->state != REPLAY_FAILED)
        a->state = REPLAY_OFF;
}
