/* uplink.h over real rings: what happens when they are full. */
#include "gateway/uplink.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define RING_BYTES 4096u
#define TYPE       7u

struct heard {
    unsigned n_messages;
    uint64_t last;
    unsigned n_rooms;
    uint64_t last_tag;
};

static struct heard heard;
static struct parker parkers[2];
static struct link links[2];
static struct uplink up;

static void on_message(void *self, uint32_t shard, uint16_t type, struct bytes payload)
{
    struct heard *h = self;
    (void)shard;
    cr_assert_eq(type, TYPE);
    memcpy(&h->last, payload.p, sizeof h->last);
    h->n_messages++;
}

static void on_room(void *self, uint64_t tag)
{
    struct heard *h = self;
    h->n_rooms++;
    h->last_tag = tag;
}

static void open_all(void)
{
    struct link_end *ends[2];
    cr_assert_eq(parker_init(&parkers[0]), STATUS_OK);
    cr_assert_eq(parker_init(&parkers[1]), STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(link_open(&links[i], RING_BYTES, RING_BYTES, &parkers[0], &parkers[1]),
                     STATUS_OK);
        ends[i] = &links[i].a;
    }
    struct uplink_handler h = {.self = &heard, .on_message = on_message, .on_room = on_room};
    uplink_init(&up, ends, 2, &h);
}

static void close_all(void)
{
    uplink_fini(&up);
    for (unsigned i = 0; i < 2; i++) {
        link_close(&links[i]);
        parker_fini(&parkers[i]);
    }
}

TestSuite(uplink, .init = open_all, .fini = close_all);

static struct bytes numbered(uint64_t *buf, uint64_t v)
{
    buf[0] = v;
    return bytes_of(buf, 256);
}

/* Takes up to n messages as the shard does; checks that they are numbered from `first`. */
static unsigned shard_takes(unsigned shard, uint64_t first, unsigned n)
{
    struct link_end *end = &links[shard].b;
    struct ring_record r;
    unsigned taken = 0;
    uplink_flush(&up);
    while (taken < n && ring_peek(&end->rx, &r) == STATUS_OK) {
        uint64_t v;
        memcpy(&v, r.payload.p, sizeof v);
        cr_assert_eq(v, first + taken);
        ring_advance(&end->rx);
        taken++;
    }
    link_release(end);
    return taken;
}

Test(uplink, a_full_ring_refuses_a_try_and_keeps_a_hold)
{
    uint64_t buf[32] = {0};
    uint64_t n = 0;
    while (uplink_try(&up, 0, TYPE, numbered(buf, n)))
        n++;
    cr_assert_gt(n, 4);
    cr_assert_eq(uplink_hold(&up, 0, TYPE, numbered(buf, n), 99), UPLINK_HELD);
    cr_assert(uplink_has_room(&up, 1, 256));
    cr_assert_eq(shard_takes(0, 0, 1000), n);
    cr_assert_not(uplink_try(&up, 0, TYPE, numbered(buf, 5)), "it would overtake what is kept");
    cr_assert_not(uplink_has_room(&up, 0, 8));
    cr_assert_geq(uplink_poll(&up, 10), 1);
    cr_assert_eq(heard.n_rooms, 1);
    cr_assert_eq(heard.last_tag, 99);
    cr_assert_eq(shard_takes(0, n, 1000), 1);
    cr_assert(uplink_try(&up, 0, TYPE, numbered(buf, n + 1)));
}

Test(uplink, what_is_kept_has_a_bound_but_what_must_arrive_does_not)
{
    uint64_t buf[32] = {0};
    uint64_t n = 0;
    up.held_bytes_max = 1024;
    while (uplink_try(&up, 0, TYPE, numbered(buf, n)))
        n++;
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(uplink_hold(&up, 0, TYPE, numbered(buf, n++), 1), UPLINK_HELD);
    cr_assert_eq(uplink_hold(&up, 0, TYPE, numbered(buf, n), 1), UPLINK_FULL);
    uplink_post(&up, 0, TYPE, numbered(buf, n++));
    uint64_t taken = 0;
    for (unsigned round = 0; round < 10 && taken < n; round++) {
        taken += shard_takes(0, taken, 1000);
        uplink_poll(&up, 10);
    }
    cr_assert_eq(taken, n);
    cr_assert_eq(up.held_bytes, 0);
}

Test(uplink, a_message_no_ring_ever_takes_is_not_kept)
{
    static uint8_t large[RING_BYTES];
    cr_assert_lt(uplink_payload_max(&up, 0), sizeof large);
    cr_assert_eq(uplink_hold(&up, 0, TYPE, bytes_of(large, sizeof large), 1), UPLINK_FULL);
}

Test(uplink, answers_are_handed_out_within_the_budget_and_in_order)
{
    for (uint64_t i = 0; i < 8; i++) {
        void *at = ring_claim(&links[1].b.tx, 16);
        cr_assert_not_null(at);
        memset(at, 0, 16);
        memcpy(at, &i, sizeof i);
        ring_commit(&links[1].b.tx, TYPE, 16);
    }
    link_flush(&links[1].b);
    cr_assert_eq(uplink_poll(&up, 5), 5);
    cr_assert_eq(heard.last, 4);
    cr_assert_eq(uplink_poll(&up, 5), 3);
    cr_assert_eq(heard.last, 7);
    cr_assert_eq(uplink_poll(&up, 5), 0);
    cr_assert_eq(heard.n_messages, 8);
}

/* A shard that found no room sleeps until it is told: a release without a word leaves it asleep for
 * ever, with requests before it. */
Test(uplink, a_shard_that_waits_for_room_is_woken_once_its_answers_are_taken)
{
    uint64_t buf[32] = {0};
    struct link_end *end = &links[0].b;
    while (ring_has_room(&end->tx, 256)) {
        memcpy(ring_claim(&end->tx, 256), numbered(buf, 1).p, 256);
        ring_commit(&end->tx, TYPE, 256);
    }
    link_flush(end);
    parker_arm(&parkers[1]);
    cr_assert_geq(uplink_poll(&up, 1000), 4);
    cr_assert_eq(atomic_load(&parkers[1].asleep), 0);
    parker_disarm(&parkers[1]);
    cr_assert(ring_has_room(&end->tx, 256));
}

Test(uplink, random_use_loses_nothing_and_keeps_the_order)
{
    uint64_t buf[32] = {0};
    uint64_t sent = 0, taken = 0;
    srand(11);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned what = (unsigned)rand() % 8;
        if (what < 3)
            sent += uplink_try(&up, 0, TYPE, numbered(buf, sent));
        else if (what < 5 && up.held_bytes < 4096)
            sent += uplink_hold(&up, 0, TYPE, numbered(buf, sent), 1) != UPLINK_FULL;
        else if (what == 5)
            uplink_poll(&up, 3);
        else
            taken += shard_takes(0, taken, (unsigned)rand() % 4);
    }
    while (taken < sent) {
        taken += shard_takes(0, taken, 1000);
        uplink_poll(&up, 3);
    }
    cr_assert_eq(taken, sent);
    cr_assert_gt(sent, 5000);
}
