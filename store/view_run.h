/*
 * view_run.h - private to view*.c: a run, several ops of one document in one value of the view.
 * Pure.
 *
 *     head, then for each op:
 *     u8 flags · author · time · seq · str op
 *
 * An author is { str user, str client, str accepted_by } as in the log's record; a new one is
 * written out once and takes the next of VIEW_RUN_AUTHORS slots, round and round; later ops name
 * the slot, or nothing when it is the author of the op before. Time is a zigzag varint against the
 * op before, left out where it is equal; seq is left out where it is the author's next. So an op of
 * somebody who types on costs two bytes more than itself.
 *
 * History hashes are not stored: they follow from the head's and the ops, and the last one must
 * come out as the head says. Nor are payload hashes: only a client's last message needs them.
 */
#ifndef PENSTOCK_STORE_VIEW_RUN_H
#define PENSTOCK_STORE_VIEW_RUN_H

#include "store/view.h"

#define VIEW_RUN_FORMAT  1u
#define VIEW_RUN_AUTHORS 64u
/* A run takes no further op beyond this (one that is larger stands alone). */
#define VIEW_RUN_BYTES_MAX (64u << 10)
/* A later transaction goes on with the last run while that is smaller: what comes of it still fits
 * half a page of LMDB's and takes no page of its own. */
#define VIEW_RUN_EXTEND_BYTES 1600u

struct view_run_head {
    uint16_t format;
    uint16_t zero;
    uint32_t n_ops;
    uint64_t first_ms;
    uint64_t before_hash; /* history hash before the first op */
    uint64_t last_hash;
};
_Static_assert(sizeof(struct view_run_head) == 32, "layout is law");

/* ---- reading ---- */

struct view_run_author {
    struct bytes user;
    struct bytes client;
    struct bytes accepted_by;
    uint64_t seq; /* of its last op that had one */
};

struct view_run_reader {
    struct reader r;
    struct view_run_head head;
    uint64_t version; /* of the next op */
    uint64_t unix_ms;
    uint64_t hash;
    uint32_t n_left;
    uint32_t n_authors; /* that were written out so far */
    uint32_t author;    /* slot of the op before */
    struct view_run_author authors[VIEW_RUN_AUTHORS];
};

enum status view_run_head_read(struct bytes run, struct view_run_head *head) must_use;
enum status view_run_open(struct view_run_reader *r, struct bytes run,
                          uint64_t first_version) must_use;
/* STATUS_END behind the last one; STATUS_CORRUPT. */
enum status view_run_next(struct view_run_reader *r, struct view_op *op) must_use;

/* ---- writing ---- */

struct view_run_slot {
    uint32_t at; /* of the author in the run */
    uint32_t n;
    uint64_t seq;
};

struct view_run_writer {
    uint8_t *buf;
    size_t bytes;
    size_t cap;
    struct view_run_head head;
    uint64_t first_version;
    uint64_t unix_ms;
    uint32_t n_authors;
    uint32_t author;
    struct view_run_slot slots[VIEW_RUN_AUTHORS]; /* only those below n_authors are set */
};

/* An upper bound of what an op adds. */
static inline size_t view_run_op_bytes(size_t author_bytes, size_t op_bytes)
{
    return 1 + 4 * VARINT_BYTES_MAX + author_bytes + op_bytes;
}

/* Begins an empty run in `buf`. */
void view_run_begin(struct view_run_writer *w, uint8_t *buf, size_t cap, uint64_t first_version,
                    uint64_t before_hash);
/* Goes on with a run that is in `buf` already. */
enum status view_run_resume(struct view_run_writer *w, uint8_t *buf, size_t bytes, size_t cap,
                            uint64_t first_version) must_use;
/* There must be room. `author` is the encoded one, `slot` a guess at where it stands (any number),
 * made better for next time; op->hash becomes the run's last hash. */
void view_run_push(struct view_run_writer *w, struct bytes author, uint32_t *slot, uint64_t unix_ms,
                   const struct record_op *op);
/* The whole run. */
struct bytes view_run_end(struct view_run_writer *w);

#endif
