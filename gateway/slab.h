/*
 * slab.h - what waits to be sent: append-only buffers shared by many connections, and queues of
 * slices of them.
 *
 * A slab is written once and sent from by all who hold a slice of it; the last one to let go gives
 * it back to its pool. A queue holds its slices in blocks from the pool and no memory while it is
 * empty.
 *
 * Bounds: a pool holds at most bytes_max of slabs. A slow reader pins whole slabs for a few bytes
 * each; so a queue that is SLAB_SHARED_SLICES_MAX slices long copies what is small into memory of
 * its own, and holds at most that many slabs besides what its bytes need.
 *
 * Owner: one thread, the loop's. Allocation-free after warm-up.
 */
#ifndef PENSTOCK_GATEWAY_SLAB_H
#define PENSTOCK_GATEWAY_SLAB_H

#include "base/bytes.h"

#include <sys/uio.h>

#define SLAB_BYTES             (64u << 10)
#define SLAB_SHARED_SLICES_MAX 16u
#define SLAB_BLOCK_SLICES      15u

struct slab {
    uint32_t refs;  /* writer: the loop's thread */
    uint32_t used;  /* bytes written; what is written never changes */
    uint32_t bytes; /* room in data: an ordinary slab's, or more for one large message */
    uint32_t pad;
    struct slab *next; /* in the pool's lists */
    uint8_t data[];
};

#define SLAB_ROOM (SLAB_BYTES - (uint32_t)sizeof(struct slab))

struct slab_slice {
    struct slab *slab;
    uint32_t offset;
    uint32_t n;
};

struct slab_block {
    struct slab_block *next;
    uint32_t head, tail;
    struct slab_slice slices[SLAB_BLOCK_SLICES];
};
_Static_assert(sizeof(struct slab_block) == 256, "four cache lines");

struct slab_batch;

struct slab_pool {
    uint64_t bytes_max;
    uint64_t held_bytes; /* of all slabs, free ones too */
    struct slab *current;
    struct slab *reserved;
    struct slab *retired; /* full or large: held until slab_pool_rest, so that what was committed
                             can be queued though something else was reserved in between */
    struct slab *free;
    uint32_t n_free;
    struct slab_block *free_blocks;
    struct slab_batch *batches; /* what blocks are allocated by */
};

struct slab_queue {
    struct slab_block *first, *last;
    struct slab *own; /* where small slices of a long queue are copied to */
    uint64_t bytes;
    uint64_t sent_bytes; /* ever */
    uint32_t n_slices;
    uint32_t n_locked; /* in the send under way: neither merged into nor dropped */
    bool is_begun;     /* a part of the first slice is out: what it ends must not be dropped */
};

void slab_pool_init(struct slab_pool *p, uint64_t bytes_max);
void slab_pool_fini(struct slab_pool *p); /* queues must be empty */
/* Bytes of slabs that somebody holds. */
uint64_t slab_pool_used_bytes(const struct slab_pool *p);

/* Room for n bytes; NULL: no memory, or the pool is full. One at a time, until its commit. */
uint8_t *slab_pool_reserve(struct slab_pool *p, size_t n, struct slab **slab);
void slab_pool_commit(struct slab_pool *p, struct slab *s, size_t n, uint32_t *offset);
/* Once a poll, before anything is reserved: what was committed since the last time and put on no
 * queue is forgotten. */
void slab_pool_rest(struct slab_pool *p);

/* False: no memory; nothing was added. */
bool slab_queue_add(struct slab_pool *p, struct slab_queue *q, struct slab *s, uint32_t offset,
                    uint32_t n);
/* The front of the queue as at most iov_max pieces and bytes_max bytes, locked; how many. */
unsigned slab_queue_gather(struct slab_queue *q, struct iovec *iov, unsigned iov_max,
                           size_t bytes_max);
/* The first n bytes are done with; unlocks. */
void slab_queue_sent(struct slab_pool *p, struct slab_queue *q, size_t n);
/* Forgets what no send has begun on. */
void slab_queue_drop(struct slab_pool *p, struct slab_queue *q);
void slab_queue_clear(struct slab_pool *p, struct slab_queue *q);

#endif
