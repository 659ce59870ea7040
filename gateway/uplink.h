/*
 * uplink.h - a gateway's ends of the links to all shards: requests out, answers in, and what
 * happens when a ring is full.
 *
 * Full is normal, and has three written answers:
 *   uplink_try   the caller says so itself (HTTP: 503 with Retry-After; presence: dropped, the
 *                newest counts);
 *   uplink_hold  the message is kept, the caller stops reading that connection until on_room(tag)
 *                says that it went out. So no edit is dropped and no socket is read ahead of its
 *                ring. Bounded by `held_bytes_max`; past it the answer is UPLINK_FULL;
 *   uplink_post  small messages that must arrive (LEAVE, CREDIT): kept without that bound; there
 *                is at most one of a kind a session.
 * What is kept goes out first and in order (I1), so a shard sees one session's messages in the
 * order they were made.
 *
 * Owner: the gateway's thread. Allocates only for what is kept.
 */
#ifndef PENSTOCK_GATEWAY_UPLINK_H
#define PENSTOCK_GATEWAY_UPLINK_H

#include "net/link.h"

#define UPLINK_SHARDS_MAX 64u

struct uplink_held;

struct uplink_lane {
    struct link_end *end;
    struct uplink_held *first;
    struct uplink_held **last;
};

struct uplink_handler {
    void *self;
    void (*on_message)(void *self, uint32_t shard, uint16_t type, struct bytes payload);
    /* The held message of that connection is out. */
    void (*on_room)(void *self, uint64_t tag);
};

struct uplink {
    struct uplink_lane lanes[UPLINK_SHARDS_MAX];
    uint32_t n_shards;
    uint64_t held_bytes;
    uint64_t held_bytes_max;
    struct uplink_handler handler;
};

enum uplink_result { UPLINK_SENT, UPLINK_HELD, UPLINK_FULL };

void uplink_init(struct uplink *u, struct link_end *const *ends, uint32_t n_shards,
                 const struct uplink_handler *handler);
void uplink_fini(struct uplink *u);

/* The largest message that the ring to that shard ever takes. */
uint64_t uplink_payload_max(const struct uplink *u, uint32_t shard);
bool uplink_has_room(struct uplink *u, uint32_t shard, size_t payload_bytes);
bool uplink_try(struct uplink *u, uint32_t shard, uint16_t type, struct bytes payload) must_use;
enum uplink_result uplink_hold(struct uplink *u, uint32_t shard, uint16_t type,
                               struct bytes payload, uint64_t tag) must_use;
void uplink_post(struct uplink *u, uint32_t shard, uint16_t type, struct bytes payload);

/* Sends what is kept and hands out at most `budget` answers a shard; returns the work done. */
unsigned uplink_poll(struct uplink *u, unsigned budget);
/* Makes all that was sent visible and wakes the shards. */
void uplink_flush(struct uplink *u);

#endif
