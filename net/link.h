/*
 * link.h - two rings and two parkers: a two-way connection between two roles.
 *
 * A link joins a gateway with a shard, or a shard with its helpers (the archive, the view's
 * reader). Each side holds a `struct link_end`: it writes to `tx` and reads from `rx`, and wakes
 * the other's thread after it has published.
 *
 * link_flush publishes everything written and wakes; a shard that has to wait for its disk
 * publishes up to a mark instead (ring_publish, then link_wake).
 *
 * Owner: each end by one role. Memory: one anonymous shared mapping, made by link_open; never on an
 * edit's path.
 */
#ifndef PENSTOCK_NET_LINK_H
#define PENSTOCK_NET_LINK_H

#include "base/role.h"
#include "net/ring.h"

struct link_end {
    struct ring_tx tx;
    struct ring_rx rx;
    struct parker *peer; /* who reads our tx, and is told when its rx has room again */
};

struct link {
    void *mem;
    size_t mem_bytes;
    struct link_end a;
    struct link_end b;
};

/* Capacities are powers of two; a writes to b through a ring of `a_to_b` bytes. a's thread sleeps
 * on `a_parker`. */
enum status link_open(struct link *l, uint64_t a_to_b, uint64_t b_to_a, struct parker *a_parker,
                      struct parker *b_parker) must_use;
void link_close(struct link *l);

/* Publishes all that was committed and wakes the peer if there was any. */
void link_flush(struct link_end *e);
/* Gives the room of everything consumed back (ring_release), and wakes a peer that waits for it. */
void link_release(struct link_end *e);
void link_wake(struct link_end *e);

#endif
