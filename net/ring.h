/*
 * ring.h - a single-producer single-consumer ring of variable-size records, in memory that threads
 * or processes share.
 *
 * Idea: one power-of-two byte buffer and two free-running 64-bit indexes. A record is an 8-byte
 * header { u32 payload_bytes, u16 type, u16 zero } and its payload, padded to 8 bytes; it never
 * wraps: where it would, a padding record (type RING_PAD) fills the rest of the buffer. The
 * producer writes records ahead of `tail` and publishes them all at once; so "written" and
 * "visible" are two steps, and records can wait for a disk.
 *
 *     head <= tail <= written, written - head <= capacity        (I1)
 *     bytes [head, tail) hold whole records                        (I2)
 *
 * Ordering pairs: ring_publish's release store of `tail`  <->  ring_peek's acquire load of it;
 *                 ring_release's release store of `head` <->  ring_claim's acquire load of it.
 * Each side keeps the other's index in a private copy and reads the shared line only when the copy
 * is used up.
 *
 * Full is normal: ring_claim returns NULL and the caller has a written answer. It has then left
 * `awaited` set, and looked at `head` once more behind a full fence; the consumer looks at
 * `awaited` behind a full fence after ring_release. So a producer that goes to sleep because the
 * ring is full is woken (ring_is_awaited), and one that sleeps for other reasons is left alone.
 *
 * The shared part (struct ring_shared, offsets only, versioned) holds no pointers. The consumer may
 * be a stranger: a record is checked against I1/I2 before it is handed out; a broken ring reads as
 * STATUS_CORRUPT. Sources: Lamport 1983; the cached-index form as in FastForward / MCRingBuffer.
 */
#ifndef PENSTOCK_NET_RING_H
#define PENSTOCK_NET_RING_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdatomic.h>

#define RING_VERSION      1u
#define RING_PAD          0xffffu
#define RING_HEADER_BYTES 8u
#define RING_CAPACITY_MIN 4096u
#define RING_CAPACITY_MAX (1u << 30)

struct ring_shared {
    uint32_t magic;
    uint32_t version;
    uint64_t capacity; /* bytes of buffer, a power of two */
    uint8_t pad0[48];
    _Atomic uint64_t tail;    /* writer: producer. First byte that is not visible yet. */
    _Atomic uint32_t awaited; /* writer: producer. 1: it wants to hear of room. */
    uint8_t pad1[52];
    _Atomic uint64_t head; /* writer: consumer. First byte that is not consumed yet. */
    uint8_t pad2[56];
    /* the buffer follows */
};
_Static_assert(sizeof(struct ring_shared) == 192, "layout is law");
_Static_assert(offsetof(struct ring_shared, tail) == 64, "layout is law");
_Static_assert(offsetof(struct ring_shared, head) == 128, "layout is law");

/* Producer's private end. */
struct ring_tx {
    struct ring_shared *shared;
    uint8_t *buf;
    uint64_t capacity;
    uint64_t written;       /* end of the last committed record */
    uint64_t published;     /* what `tail` says */
    uint64_t head_seen;     /* last value read of `head` */
    uint64_t claimed;       /* start of the open claim's record */
    uint64_t claimed_bytes; /* of that record, header included; 0: no open claim */
    bool awaiting;          /* what `awaited` says */
};

/* Consumer's private end. */
struct ring_rx {
    struct ring_shared *shared;
    uint8_t *buf;
    uint64_t capacity;
    uint64_t consumed; /* local head; published by ring_release */
    uint64_t released; /* what `head` says */
    uint64_t tail_seen;
    uint64_t peeked_bytes; /* of the record that ring_peek gave; 0: none */
    bool broken;
};

struct ring_record {
    uint16_t type;
    struct bytes payload; /* in the ring: valid until ring_release */
};

size_t ring_bytes(uint64_t capacity); /* memory for one ring, shared part included */

/* Lays a ring out in zeroed memory of ring_bytes(capacity), aligned to 64. */
enum status ring_format(void *mem, uint64_t capacity) must_use;
/* Opens an end; STATUS_FORMAT where the memory holds no such ring. The other end may be another
 * process. */
enum status ring_tx_open(struct ring_tx *tx, void *mem) must_use;
enum status ring_rx_open(struct ring_rx *rx, void *mem) must_use;

/* ---- producer ---- */

/* Largest payload that a ring of this capacity surely takes once it is empty: capacity / 2 - 16. */
uint64_t ring_payload_max(uint64_t capacity);
/* Room for `payload_bytes`, 8-aligned, or NULL when full. One claim at a time; a smaller commit is
 * fine. */
void *ring_claim(struct ring_tx *tx, size_t payload_bytes);
void ring_commit(struct ring_tx *tx, uint16_t type, size_t payload_bytes);
void ring_abandon(struct ring_tx *tx); /* takes the open claim back */
/* Whether a claim of that size would succeed now. */
bool ring_has_room(struct ring_tx *tx, size_t payload_bytes);
/* A position for ring_publish: the end of what was committed so far. */
uint64_t ring_mark(const struct ring_tx *tx);
/* Makes everything up to `mark` visible. True if that was news (then the consumer should be woken).
 */
bool ring_publish(struct ring_tx *tx, uint64_t mark);

/* ---- consumer ---- */

/* The next record without consuming it. STATUS_OK, STATUS_END (empty), STATUS_CORRUPT (sticky). */
enum status ring_peek(struct ring_rx *rx, struct ring_record *record) must_use;
/* Steps past the record that ring_peek gave. Its bytes stay valid until ring_release. */
void ring_advance(struct ring_rx *rx);
/* Gives the room of everything advanced past back to the producer. True if that was news. */
bool ring_release(struct ring_rx *rx);
/* After ring_release: whether the producer waits for room and should be woken. */
bool ring_is_awaited(const struct ring_rx *rx);

#endif
