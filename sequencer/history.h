/*
 * history.h - the window: the newest ops of all documents of a shard, in one ring of bytes.
 *
 * Every accepted op is pushed as one record with the position of its document's op before it; the
 * document keeps the position of its newest. Positions are free-running, so whether a record is
 * still there is one subtraction (I1: a record at `pos` is whole while head - pos <= capacity).
 * Walking back from the newest gives the ops of one document, newest first; where the walk ends
 * early the rest is older than the window and comes from the view.
 *
 * Owner: the shard role. Memory is taken at open; pushing never fails: the oldest are overwritten.
 * A record larger than a quarter of the window is not kept, and ends its document's chain.
 */
#ifndef PENSTOCK_SEQUENCER_HISTORY_H
#define PENSTOCK_SEQUENCER_HISTORY_H

#include "base/bytes.h"
#include "base/status.h"

#define HISTORY_NONE      UINT64_MAX
#define HISTORY_BYTES_MIN (64u << 10)

struct history {
    uint8_t *buf;
    uint64_t capacity;
    uint64_t head; /* where the next record goes */
};

struct history_op {
    uint64_t docnum;
    uint64_t version; /* that it made */
    uint64_t unix_ms;
    uint64_t seq; /* 0: none */
    uint64_t hash;
    struct bytes user;
    struct bytes client;
    struct bytes accepted_by;
    struct bytes op;
};

/* `capacity` is a power of two, at least HISTORY_BYTES_MIN. */
enum status history_open(struct history *h, uint64_t capacity) must_use;
void history_close(struct history *h);

/* Keeps an op; returns its position, or HISTORY_NONE where it is too large to be kept. */
uint64_t history_push(struct history *h, uint64_t prev_pos, const struct history_op *op);

/* Slices into the window, valid until the next push. False where it is no longer there. */
bool history_read(const struct history *h, uint64_t pos, uint64_t docnum, struct history_op *op);

/* The positions of up to n ops of a document, newest first; how many were found. */
uint32_t history_walk(const struct history *h, uint64_t newest_pos, uint64_t docnum, uint32_t n,
                      uint64_t *pos);

#endif
