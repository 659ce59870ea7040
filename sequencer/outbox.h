/*
 * outbox.h - deferred publishing: what was written into a ring becomes visible once the log records
 * that it depends on are durable.
 *
 * After each poll the shard marks the ring's end with the index of the last log record
 * (outbox_mark); outbox_publish makes everything visible up to the newest mark whose index is
 * durable. One FIFO a ring, so nothing overtakes (I1: marks rise in position and in index). When
 * the FIFO is full the newest mark is moved: later is always safe.
 *
 * Owner: the shard role. No allocation.
 */
#ifndef PENSTOCK_SEQUENCER_OUTBOX_H
#define PENSTOCK_SEQUENCER_OUTBOX_H

#include "net/link.h"

#define OUTBOX_MARKS 256u

struct outbox_entry {
    uint64_t mark;
    uint64_t need_idx;
};

struct outbox {
    struct link_end *link;
    uint64_t last_mark;
    uint32_t first;
    uint32_t n;
    struct outbox_entry entries[OUTBOX_MARKS];
};

void outbox_init(struct outbox *o, struct link_end *link);
/* Everything committed to the ring so far waits for log index `need_idx`. */
void outbox_mark(struct outbox *o, uint64_t need_idx);
/* Publishes and wakes the peer; true if there was anything. */
bool outbox_publish(struct outbox *o, uint64_t durable_idx);
/* Nothing waits to be published. */
bool outbox_is_empty(const struct outbox *o);

#endif
