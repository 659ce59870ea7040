/*
 * accept.h - what is to become of one ops message: which of its ops are resends, which are new, and
 * why the rest is refused. Protocol section 2, "one message in flight" and "exactly once".
 *
 * The checks, in order, for each op on top of those before it: role; a seq that is not above the
 * last accepted one is a resend (acknowledged as then, or seq_reused where its payload differs from
 * the last message's); a gap; base above the document's version; base below the version of the
 * client's own last accepted op; the op itself (structure, type of document, limits). Whether it
 * fits the content shows when it is applied.
 *
 * A message has seqs on all of its ops or on none; resends stand before new ops. Anything else is
 * op_invalid.
 *
 * Pure; any thread; no allocation.
 */
#ifndef PENSTOCK_SEQUENCER_ACCEPT_H
#define PENSTOCK_SEQUENCER_ACCEPT_H

#include "net/op.h"
#include "sequencer/document.h"

struct accept_op {
    uint64_t seq; /* 0: none was given */
    uint64_t payload_hash;
    struct bytes op;
    bool has_tail; /* set by accept_plan: op_chop once it was applied */
};

struct accept_ask {
    uint8_t role;
    uint8_t doc_type;
    uint32_t op_parts_max;
    uint64_t doc_version;
    uint64_t base_version;       /* as the client named it */
    const struct client *client; /* what it has sent before */
    struct accept_op *ops;
    uint32_t n_ops;
};

/* ops[0 .. n_resent) were there already, the next n_new are new; where that is not all, the one
 * behind them is refused with `status`, and those behind it are not looked at. */
struct accept_plan {
    uint32_t n_resent;
    uint32_t n_new;
    enum status status;
};

struct accept_plan accept_plan(const struct accept_ask *ask);

/* What a resent seq was acknowledged with; false: older than the last message, not known. */
bool accept_resent_version(const struct client *c, uint64_t seq, uint64_t *version);

/*
 * Reads the ops of an ops message behind its struct: n_ops x { struct msg_op_in, op, padding }.
 * False: the bytes are not that, or more than `ops_max`.
 */
bool accept_read_ops(struct reader *r, const uint8_t *payload, uint32_t n_ops,
                     struct accept_op *ops, uint32_t ops_max);

#endif
