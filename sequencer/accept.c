/* accept.c - see accept.h. */
#include "sequencer/accept.h"

#include "base/hash.h"

bool accept_read_ops(struct reader *r, const uint8_t *payload, uint32_t n_ops,
                     struct accept_op *ops, uint32_t ops_max)
{
    if (n_ops == 0 || n_ops > ops_max)
        return false;
    for (uint32_t i = 0; i < n_ops && r->ok; i++) {
        struct msg_op_in in;
        msg_read_struct(r, &in);
        ops[i].op = read_bytes(r, in.op_bytes);
        ops[i].seq = in.flags & MSG_OP_NO_SEQ ? 0 : in.seq;
        if (ops[i].seq == 0 && !(in.flags & MSG_OP_NO_SEQ))
            return false;
        ops[i].payload_hash = hash64(ops[i].op);
        msg_read_pad8(r, payload);
    }
    return r->ok;
}

bool accept_resent_version(const struct client *c, uint64_t seq, uint64_t *version)
{
    uint64_t i = seq - c->message_seq;
    if (seq < c->message_seq || i >= c->message_n)
        return false;
    *version = c->message_version + i;
    return true;
}

static enum status check_resent(const struct client *c, const struct accept_op *op)
{
    uint64_t i = op->seq - c->message_seq;
    bool known = op->seq >= c->message_seq && i < c->message_n;
    return known && c->payload_hashes[i] != op->payload_hash ? STATUS_SEQ_REUSED : STATUS_OK;
}

static enum status check_new(const struct accept_ask *ask, struct accept_op *op,
                             uint64_t seq_before)
{
    if (op->seq != 0 && op->seq != seq_before + 1)
        return op->seq <= seq_before ? STATUS_SEQ_REUSED : STATUS_SEQ_GAP;
    if (ask->base_version > ask->doc_version)
        return STATUS_VERSION_AHEAD;
    if (ask->base_version < ask->client->last_version)
        return STATUS_OP_INVALID;
    if ((op->seq == 0) != (ask->ops[0].seq == 0))
        return STATUS_OP_INVALID;
    struct op_limits limits = {
        .parts_max = ask->op_parts_max, .rich = ask->doc_type == DOC_RICH, .content = false};
    struct op_shape shape;
    enum status s = op_check(op->op, &limits, &shape);
    op->has_tail = s == STATUS_OK && shape.has_tail;
    return s;
}

struct accept_plan accept_plan(const struct accept_ask *ask)
{
    struct accept_plan plan = {.status = STATUS_OK};
    if (ask->role < DOC_ROLE_EDITOR) {
        plan.status = STATUS_FORBIDDEN;
        return plan;
    }
    uint64_t last_seq = ask->client->last_seq;
    while (plan.n_resent < ask->n_ops) {
        const struct accept_op *op = &ask->ops[plan.n_resent];
        if (op->seq == 0 || op->seq > last_seq)
            break;
        plan.status = check_resent(ask->client, op);
        if (plan.status != STATUS_OK)
            return plan;
        plan.n_resent++;
    }
    uint64_t seq_before = last_seq;
    for (uint32_t i = plan.n_resent; i < ask->n_ops; i++) {
        plan.status = check_new(ask, &ask->ops[i], seq_before);
        if (plan.status != STATUS_OK)
            break;
        if (ask->ops[i].seq)
            seq_before = ask->ops[i].seq;
        plan.n_new++;
    }
    return plan;
}
