/* uplink.c - links to the shards; see uplink.h. */
#include "gateway/uplink.h"

#include "base/say.h"

#include <stdlib.h>

#define HELD_BYTES_MAX (32u << 20)

struct uplink_held {
    struct uplink_held *next;
    uint64_t tag; /* 0: nobody waits for it */
    size_t n;
    uint16_t type;
    uint8_t payload[];
};

void uplink_init(struct uplink *u, struct link_end *const *ends, uint32_t n_shards,
                 const struct uplink_handler *handler)
{
    check_cmp(n_shards, <=, UPLINK_SHARDS_MAX);
    memset(u, 0, sizeof *u);
    u->n_shards = n_shards;
    u->handler = *handler;
    u->held_bytes_max = HELD_BYTES_MAX;
    for (uint32_t i = 0; i < n_shards; i++) {
        u->lanes[i].end = ends[i];
        u->lanes[i].last = &u->lanes[i].first;
    }
}

void uplink_fini(struct uplink *u)
{
    for (uint32_t i = 0; i < u->n_shards; i++) {
        while (u->lanes[i].first) {
            struct uplink_held *h = u->lanes[i].first;
            u->lanes[i].first = h->next;
            free(h);
        }
    }
}

uint64_t uplink_payload_max(const struct uplink *u, uint32_t shard)
{
    return ring_payload_max(u->lanes[shard].end->tx.capacity);
}

bool uplink_has_room(struct uplink *u, uint32_t shard, size_t payload_bytes)
{
    struct uplink_lane *lane = &u->lanes[shard];
    return !lane->first && ring_has_room(&lane->end->tx, payload_bytes);
}

static bool put(struct uplink_lane *lane, uint16_t type, struct bytes payload)
{
    void *at = ring_claim(&lane->end->tx, payload.n);
    if (!at)
        return false;
    memcpy(at, payload.p, payload.n);
    ring_commit(&lane->end->tx, type, payload.n);
    return true;
}

bool uplink_try(struct uplink *u, uint32_t shard, uint16_t type, struct bytes payload)
{
    struct uplink_lane *lane = &u->lanes[shard];
    return !lane->first && put(lane, type, payload);
}

static bool keep(struct uplink *u, struct uplink_lane *lane, uint16_t type, struct bytes payload,
                 uint64_t tag)
{
    struct uplink_held *h = malloc(sizeof *h + payload.n);
    if (!h)
        return false;
    *h = (struct uplink_held){.tag = tag, .n = payload.n, .type = type};
    memcpy(h->payload, payload.p, payload.n);
    *lane->last = h;
    lane->last = &h->next;
    u->held_bytes += payload.n;
    return true;
}

/* PATH 3: into the ring of the document's shard. What does not fit is kept, and goes first. */
enum uplink_result uplink_hold(struct uplink *u, uint32_t shard, uint16_t type,
                               struct bytes payload, uint64_t tag)
{
    struct uplink_lane *lane = &u->lanes[shard];
    if (uplink_try(u, shard, type, payload))
        return UPLINK_SENT;
    if (payload.n > uplink_payload_max(u, shard) || u->held_bytes + payload.n > u->held_bytes_max ||
        !keep(u, lane, type, payload, tag))
        return UPLINK_FULL;
    return UPLINK_HELD;
}

void uplink_post(struct uplink *u, uint32_t shard, uint16_t type, struct bytes payload)
{
    struct uplink_lane *lane = &u->lanes[shard];
    /* A LEAVE that is lost would leave a ghost in the shard for good: better to end and start
     * anew. */
    if (!uplink_try(u, shard, type, payload))
        check(keep(u, lane, type, payload, 0));
}

static unsigned send_held(struct uplink *u, struct uplink_lane *lane)
{
    unsigned n = 0;
    while (lane->first) {
        struct uplink_held *h = lane->first;
        if (!put(lane, h->type, bytes_of(h->payload, h->n)))
            break;
        lane->first = h->next;
        if (!lane->first)
            lane->last = &lane->first;
        u->held_bytes -= h->n;
        uint64_t tag = h->tag;
        free(h);
        n++;
        if (tag)
            u->handler.on_room(u->handler.self, tag);
    }
    return n;
}

static unsigned take_answers(struct uplink *u, uint32_t shard, unsigned budget)
{
    struct link_end *end = u->lanes[shard].end;
    struct ring_record record;
    unsigned n = 0;
    while (n < budget) {
        enum status s = ring_peek(&end->rx, &record);
        if (s == STATUS_END)
            break;
        /* The ring lies in our own memory: broken means that somebody wrote where he may not. */
        check_cmp(s, ==, STATUS_OK);
        u->handler.on_message(u->handler.self, shard, record.type, record.payload);
        ring_advance(&end->rx);
        n++;
    }
    if (n)
        link_release(end);
    return n;
}

unsigned uplink_poll(struct uplink *u, unsigned budget)
{
    unsigned work = 0;
    for (uint32_t i = 0; i < u->n_shards; i++) {
        if (u->lanes[i].first)
            work += send_held(u, &u->lanes[i]);
        work += take_answers(u, i, budget);
    }
    return work;
}

void uplink_flush(struct uplink *u)
{
    for (uint32_t i = 0; i < u->n_shards; i++)
        link_flush(u->lanes[i].end);
}
