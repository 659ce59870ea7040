/*
 * log_private.h - private to log*.c: what an open log holds.
 *
 * Two buffers: `open` gathers records, `sealed` belongs to the disk while a write is in flight.
 * Segments stand in the order of their numbers:
 *
 *     segments[0] ... [cur - 1]   full; recycled once the view holds their records
 *     segments[cur]               written to, up to `offset`
 *     segments[cur + 1] ...       ready, unused
 *
 * One job on files is under way at a time, so a crash leaves the numbers without a gap.
 */
#ifndef PENSTOCK_STORE_LOG_PRIVATE_H
#define PENSTOCK_STORE_LOG_PRIVATE_H

#include "store/log.h"
#include "store/log_walk.h"
#include "store/segment.h"

struct log_segment {
    uint64_t number;
    uint64_t bytes;
    uint64_t first_idx; /* unused ones: 0 */
    int file;
};

struct log_group_buffer {
    uint8_t *at;    /* header, then records */
    uint64_t bytes; /* header included */
    uint32_t n_records;
};

enum log_job { LOG_JOB_NONE, LOG_JOB_MAKE, LOG_JOB_RECYCLE, LOG_JOB_REMOVE };

struct log {
    struct log_options options;
    struct disk disk;
    uint64_t log_id;
    uint64_t epoch;

    struct log_group_buffer open;
    uint64_t buf_bytes; /* of each buffer */
    uint64_t claimed_bytes;
    uint64_t next_idx; /* of the next record */

    struct log_group_buffer sealed;
    bool is_writing;
    bool is_head_writing; /* and it is the first of its segment */
    uint64_t written_idx; /* durable once the write in flight has ended */

    uint64_t durable_idx;
    uint64_t view_idx;
    uint64_t prev_sum;   /* header_sum of the last group that was sealed */
    bool is_sealed;      /* nothing but an empty group, or nothing at all, stands behind the last */
    bool is_seal_wanted; /* log_seal was asked */
    bool is_failed;
    bool is_closing; /* no new file jobs */

    struct log_segment *segments; /* options.segments_max, and what was found */
    uint32_t n_segments;
    uint32_t cur;
    uint64_t offset; /* where the next group goes in segments[cur] */

    enum log_job job;
    struct log_segment job_segment;
    bool is_full;  /* the last make found no space on the device */
    bool is_asked; /* somebody wants room: try again */
    uint32_t groups_until_retry;
};

/* log_recover.c: segments, chain, indexes and epoch from what the disk holds. */
enum status log_recover(struct log *l) must_use;
/* log_files.c: runs one file job to its end; at open. */
enum status log_files_finish_job(struct log *l) must_use;
enum status log_files_make(struct log *l) must_use;
/* Starts the next job that is due; returns work done. */
unsigned log_files_prepare(struct log *l);
/* The disk's answer to the job under way. */
enum status log_files_job_done(struct log *l, const struct disk_done *done) must_use;

#endif
