/*
 * merge.h - carries the ops of one message past accepted ops, one accepted op after the other.
 *
 * The ops p1 ... pn were made on top of each other at version B. One accepted op s, next after
 * their version, changes them to p1' = s.transform(p1, true) and goes on as s1 =
 * p1.transform(s, false) to p2, and so forth: after it the ops stand at version B + 1, still on top
 * of each other. This is what protocol section 2 asks clients to do, so both sides agree.
 *
 * Feeding accepted ops one at a time needs only the ops themselves as state, so a long way can be
 * cut into slices: merge_emit puts the ops into a flat block and merge_resume takes them up again.
 *
 * Owner: one thread at a time. Memory: two buffers for the ops, two for the carried op, reserved at
 * open, pages as they are used. Cost of merge_past: n transforms of p and n - 1 of s.
 */
#ifndef PENSTOCK_SEQUENCER_MERGE_H
#define PENSTOCK_SEQUENCER_MERGE_H

#include "base/bytes.h"
#include "base/status.h"

struct merge {
    struct bytes *ops; /* the ops as they are now: slices of a buffer or of what was given */
    uint32_t n;
    uint32_t n_max;
    uint32_t which; /* the buffer that the next round writes */
    uint8_t *bufs[2];
    uint8_t *carry[2];
    size_t buf_bytes;
    uint64_t total_bytes; /* of the ops */
    uint32_t at;          /* > 0: one accepted op is under way, and stands before ops[at] ... */
    struct bytes going;   /* ... as this */
};

enum status merge_open(struct merge *m, uint32_t ops_max, size_t buf_bytes) must_use;
void merge_close(struct merge *m);

/* Starts with no ops; then merge_add for each (the slices are kept). False: more than ops_max. */
void merge_begin(struct merge *m);
bool merge_add(struct merge *m, struct bytes op);

/* Carries all past one accepted op. STATUS_OP_INVALID: malformed. STATUS_TOO_LARGE: they outgrew
 * the buffer. After a failure the ops are undefined. */
enum status merge_past(struct merge *m, struct bytes accepted) must_use;

/* The same for about that cost at most, a few steps at least: STATUS_END when the accepted op has
 * not come past all of them. Then it goes on, after merge_emit and merge_resume, from m->at with
 * m->going, whatever `accepted` is. */
enum status merge_past_some(struct merge *m, struct bytes accepted, uint64_t budget) must_use;

/* What merge_past costs about, in bytes read. */
uint64_t merge_cost(const struct merge *m, struct bytes accepted);

/* The ops as one block of `str` fields, and back; where an accepted op is under way, `going` is the
 * last field, and the caller keeps `at`. The block stays referenced. */
size_t merge_emit_bytes(const struct merge *m);
void merge_emit(const struct merge *m, void *buf, size_t buf_bytes);
enum status merge_resume(struct merge *m, struct bytes block, uint32_t at) must_use;

#endif
