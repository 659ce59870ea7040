/*
 * rope.h - the content of one document: text with attribute runs and embeds, O(log n) at any size.
 *
 * A B+ tree of leaves; every inner entry counts the UTF-16 units and bytes below it. Memory comes
 * from a pool (base/pool.h) that the shard owns, so a rope neither calls malloc nor shares anything
 * with another thread. Plain text costs little more than its bytes: a leaf is as large as its text
 * needs; equal attribute blocks are kept once.
 *
 * rope_apply is all or nothing: an op that reaches past the end, splits a surrogate pair, or would
 * pass the limits leaves the rope as it was (STATUS_OP_INVALID, STATUS_TOO_LARGE,
 * STATUS_NO_MEMORY). A limit refuses what grows the document; one that stands past it already may
 * still shrink. Near bytes_max a rich document may be refused early, by a few bytes a run.
 *
 * Owner: the shard role (or whoever made it). Source: Boehm et al., "Ropes", 1995; B+ tree form.
 */
#ifndef PENSTOCK_SEQUENCER_ROPE_H
#define PENSTOCK_SEQUENCER_ROPE_H

#include "base/pool.h"
#include "net/op.h"

struct rope_attrs;

struct rope {
    struct pool *pool;
    void *root;               /* NULL: empty; height 0: a leaf */
    struct rope_attrs *attrs; /* blocks in use; NULL: none */
    uint64_t n_u16;           /* length of the document */
    uint64_t n_bytes;         /* of its content as an op in normal form, at most this many */
    uint64_t text_bytes;      /* private: bytes in leaves */
    uint64_t run_bytes;       /* private: what runs add to n_bytes */
    uint64_t mem_bytes;       /* what it holds of the pool */
    uint64_t n_steps;         /* runs that formats went over, ever; large attributes count more */
    uint32_t height;
    uint32_t pad;
};

struct rope_limits {
    uint64_t units_max;
    uint64_t bytes_max;
};

void rope_init(struct rope *r, struct pool *pool);
void rope_fini(struct rope *r); /* gives everything back to the pool */

/* Fills an empty rope from content (an op of inserts and embeds, checked). On failure it is empty
 * again. */
enum status rope_load(struct rope *r, struct bytes content,
                      const struct rope_limits *limits) must_use;

/* Applies a checked op. */
enum status rope_apply(struct rope *r, struct bytes op, const struct rope_limits *limits) must_use;

/* Writes the content as an op in normal form; needs at most r->n_bytes. STATUS_NO_ROOM. */
enum status rope_emit(const struct rope *r, void *buf, size_t buf_bytes,
                      struct bytes *content) must_use;

/* Asserts the invariants (counts, heights, fill, UTF-8 at leaf edges); for tests, O(n). */
void rope_check(const struct rope *r);

#endif
