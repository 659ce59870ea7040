/*
 * wheel.h - coarse timers, one a second: token ends and deadlines of calls, cheap for very many
 * idle connections.
 *
 * A timer is embedded in what it speaks of. Time is seconds of the monotonic clock, given by the
 * caller. A timer whose second is further away than the wheel is round stays in its bucket and is
 * looked at once a turn. Insert and erase are O(1); nothing allocates.
 *
 * Owner: one thread. Pure but for its own memory.
 */
#ifndef PENSTOCK_GATEWAY_WHEEL_H
#define PENSTOCK_GATEWAY_WHEEL_H

#include <stdint.h>

#define WHEEL_BUCKETS 1024u

struct timer {
    struct timer *next;
    struct timer **link; /* what points at us; NULL: not in a wheel */
    uint64_t due_s;
};

struct wheel {
    struct timer *buckets[WHEEL_BUCKETS];
    uint64_t now_s; /* every bucket before this second was looked at */
    uint32_t n;
};

void wheel_init(struct wheel *w, uint64_t now_s);
/* Takes it out first where it is in. A second that has passed already comes up at the next look. */
void wheel_insert(struct wheel *w, struct timer *t, uint64_t due_s);
void wheel_erase(struct wheel *w, struct timer *t);
/* Takes out one timer that is due; NULL: no more. */
struct timer *wheel_expire(struct wheel *w, uint64_t now_s);
/* The first second at which wheel_expire could find something (it may be early); UINT64_MAX:
 * never. */
uint64_t wheel_next_s(const struct wheel *w);

#endif
