/* ring.c - see ring.h for the idea, the invariants I1 and I2 and the ordering pairs. */
#include "net/ring.h"
#include "base/fence.h"
#include "base/say.h"

#define RING_MAGIC 0x474e5250u /* "PRNG" */

struct ring_header {
    uint32_t payload_bytes;
    uint16_t type;
    uint16_t zero;
};
_Static_assert(sizeof(struct ring_header) == RING_HEADER_BYTES, "layout is law");

static inline uint64_t align8(uint64_t n)
{
    return (n + 7) & ~7ull;
}

static inline uint64_t record_bytes(uint64_t payload_bytes)
{
    return RING_HEADER_BYTES + align8(payload_bytes);
}

static bool is_capacity(uint64_t n)
{
    return n >= RING_CAPACITY_MIN && n <= RING_CAPACITY_MAX && (n & (n - 1)) == 0;
}

size_t ring_bytes(uint64_t capacity)
{
    return sizeof(struct ring_shared) + capacity;
}

uint64_t ring_payload_max(uint64_t capacity)
{
    return capacity / 2 - 16;
}

enum status ring_format(void *mem, uint64_t capacity)
{
    if (!is_capacity(capacity) || ((uintptr_t)mem & 63))
        return STATUS_USAGE;
    struct ring_shared *shared = mem;
    shared->capacity = capacity;
    shared->version = RING_VERSION;
    shared->magic = RING_MAGIC;
    return STATUS_OK;
}

static bool is_ring(const struct ring_shared *shared)
{
    return shared->magic == RING_MAGIC && shared->version == RING_VERSION &&
           is_capacity(shared->capacity);
}

static uint8_t *buffer_of(struct ring_shared *shared)
{
    return (uint8_t *)shared + sizeof *shared;
}

/* ---- producer ---- */

enum status ring_tx_open(struct ring_tx *tx, void *mem)
{
    struct ring_shared *shared = mem;
    if (!is_ring(shared))
        return STATUS_FORMAT;
    uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);
    if (tail & 7)
        return STATUS_FORMAT;
    *tx = (struct ring_tx){
        .shared = shared,
        .buf = buffer_of(shared),
        .capacity = shared->capacity,
        .written = tail,
        .published = tail,
        .head_seen = atomic_load_explicit(&shared->head, memory_order_acquire),
        .awaiting = atomic_load_explicit(&shared->awaited, memory_order_relaxed) != 0,
    };
    return STATUS_OK;
}

/* Bytes that a record of that size takes from `written` on: with the padding before it, if it would
 * wrap. */
static inline uint64_t span_bytes(const struct ring_tx *tx, uint64_t bytes)
{
    uint64_t to_end = tx->capacity - (tx->written & (tx->capacity - 1));
    return bytes <= to_end ? bytes : to_end + bytes;
}

/* A head that no consumer can have (I1) gives no room: a broken one can't make us overwrite. */
static inline bool fits(const struct ring_tx *tx, uint64_t span)
{
    uint64_t used = tx->written - tx->head_seen;
    return used <= tx->capacity && span <= tx->capacity - used;
}

static inline void load_head(struct ring_tx *tx)
{
    tx->head_seen = atomic_load_explicit(&tx->shared->head, memory_order_acquire);
}

static void set_awaited(struct ring_tx *tx, bool awaited)
{
    tx->awaiting = awaited;
    atomic_store_explicit(&tx->shared->awaited, awaited, memory_order_relaxed);
}

/* The slow half of asking for room: the private copy of `head` is used up. */
static bool find_room(struct ring_tx *tx, uint64_t span)
{
    load_head(tx);
    if (!fits(tx, span)) {
        set_awaited(tx, true);
        fence_full(); /* awaited, then head <-> ring_is_awaited */
        load_head(tx);
        if (!fits(tx, span))
            return false;
    }
    if (tx->awaiting)
        set_awaited(tx, false);
    return true;
}

bool ring_has_room(struct ring_tx *tx, size_t payload_bytes)
{
    if (payload_bytes > tx->capacity)
        return false;
    uint64_t span = span_bytes(tx, record_bytes(payload_bytes));
    return fits(tx, span) || find_room(tx, span);
}

static inline void put_header(struct ring_tx *tx, uint64_t at, uint64_t payload_bytes,
                              uint16_t type)
{
    struct ring_header header = {.payload_bytes = (uint32_t)payload_bytes, .type = type};
    memcpy(tx->buf + (at & (tx->capacity - 1)), &header, sizeof header);
}

void *ring_claim(struct ring_tx *tx, size_t payload_bytes)
{
    check(tx->claimed_bytes == 0);
    if (payload_bytes > tx->capacity)
        return NULL;
    uint64_t bytes = record_bytes(payload_bytes);
    uint64_t span = span_bytes(tx, bytes);
    if (!fits(tx, span) && !find_room(tx, span))
        return NULL;
    if (span !=
        bytes) /* not visible before ring_publish, and rewritten if the claim is abandoned */
        put_header(tx, tx->written, span - bytes - RING_HEADER_BYTES, RING_PAD);
    tx->claimed = tx->written + span - bytes;
    tx->claimed_bytes = bytes;
    return tx->buf + (tx->claimed & (tx->capacity - 1)) + RING_HEADER_BYTES;
}

void ring_commit(struct ring_tx *tx, uint16_t type, size_t payload_bytes)
{
    check_cmp(type, !=, RING_PAD);
    check_cmp(record_bytes(payload_bytes), <=, tx->claimed_bytes);
    put_header(tx, tx->claimed, payload_bytes, type);
    tx->written = tx->claimed + record_bytes(payload_bytes);
    tx->claimed_bytes = 0;
}

void ring_abandon(struct ring_tx *tx)
{
    tx->claimed_bytes = 0;
}

uint64_t ring_mark(const struct ring_tx *tx)
{
    return tx->written;
}

bool ring_publish(struct ring_tx *tx, uint64_t mark)
{
    if (mark - tx->published == 0 || mark - tx->published > tx->written - tx->published)
        return false;
    tx->published = mark;
    atomic_store_explicit(&tx->shared->tail, mark, memory_order_release); /* <-> ring_peek */
    return true;
}

/* ---- consumer ---- */

enum status ring_rx_open(struct ring_rx *rx, void *mem)
{
    struct ring_shared *shared = mem;
    if (!is_ring(shared))
        return STATUS_FORMAT;
    uint64_t head = atomic_load_explicit(&shared->head, memory_order_relaxed);
    if (head & 7)
        return STATUS_FORMAT;
    *rx = (struct ring_rx){
        .shared = shared,
        .buf = buffer_of(shared),
        .capacity = shared->capacity,
        .consumed = head,
        .released = head,
        .tail_seen = head,
    };
    return STATUS_OK;
}

static enum status break_ring(struct ring_rx *rx)
{
    rx->broken = true;
    rx->peeked_bytes = 0;
    return STATUS_CORRUPT;
}

enum status ring_peek(struct ring_rx *rx, struct ring_record *record)
{
    for (;;) {
        if (rx->broken)
            return STATUS_CORRUPT;
        if (rx->consumed == rx->tail_seen) {
            rx->tail_seen = atomic_load_explicit(&rx->shared->tail, memory_order_acquire);
            if (rx->consumed == rx->tail_seen)
                return STATUS_END;
            if (rx->tail_seen - rx->released > rx->capacity || (rx->tail_seen & 7))
                return break_ring(rx);
        }
        /* One load of the header: a stranger must not change it between check and use. */
        uint64_t at = rx->consumed & (rx->capacity - 1);
        struct ring_header header;
        memcpy(&header, rx->buf + at, sizeof header);
        uint64_t bytes = record_bytes(header.payload_bytes);
        if (header.zero || bytes > rx->tail_seen - rx->consumed || bytes > rx->capacity - at)
            return break_ring(rx);
        if (header.type != RING_PAD) {
            rx->peeked_bytes = bytes;
            record->type = header.type;
            record->payload =
                (struct bytes){rx->buf + at + RING_HEADER_BYTES, header.payload_bytes};
            return STATUS_OK;
        }
        /* Padding fills the buffer up to its end and is never first in it, so this comes round
         * once. */
        if (bytes != rx->capacity - at || at == 0)
            return break_ring(rx);
        rx->consumed += bytes;
    }
}

void ring_advance(struct ring_rx *rx)
{
    rx->consumed += rx->peeked_bytes;
    rx->peeked_bytes = 0;
}

bool ring_release(struct ring_rx *rx)
{
    if (rx->consumed == rx->released)
        return false;
    rx->released = rx->consumed;
    atomic_store_explicit(&rx->shared->head, rx->consumed,
                          memory_order_release); /* <-> ring_claim */
    return true;
}

bool ring_is_awaited(const struct ring_rx *rx)
{
    fence_full(); /* head, then awaited <-> find_room */
    return atomic_load_explicit(&rx->shared->awaited, memory_order_relaxed) != 0;
}
