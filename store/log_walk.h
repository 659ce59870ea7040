/*
 * log_walk.h - private to log*.c: a walk along the chain of groups in a log's files. Recovery and
 * the cursor read through it, so there is one opinion on what a log holds.
 *
 * It trusts nothing that its own two checksums do not cover, and it may run while the log's owner
 * writes: what it finds wrong in its window it reads again before it says so.
 */
#ifndef PENSTOCK_STORE_LOG_WALK_H
#define PENSTOCK_STORE_LOG_WALK_H

#include "store/log.h"
#include "store/segment.h"

/* A log file as the directory has it. `head` is its first group, where it has one of its own. */
struct log_file {
    uint64_t segment;
    uint64_t bytes;
    bool has_head;
    struct segment_group head;
};

struct log_files {
    struct log_file *at; /* in order of their numbers */
    uint32_t n;
};

struct log_walk {
    struct disk disk;
    struct segment_chain chain;
    struct segment_place place; /* of the next group; file_bytes == offset: in the next segment */
    struct segment_place bad;   /* after STATUS_END: where the next group should have been */
    int file;                   /* of place.segment; -1: none */
    uint8_t *buf;
    size_t buf_bytes;
    uint64_t window_offset; /* what of `file` is in buf */
    size_t window_bytes;
    size_t read_bytes; /* grows while the walk goes on without a pause */
    uint64_t group_bytes_max;
    uint32_t shard;
};

/* Names of the files, their sizes and first groups. STATUS_CORRUPT: a file has not the size that it
 * was made with (`segment_bytes`, or what its head says), or one is missing between others.
 * `segment_bytes` 0: for a look beside the log's owner, who may be recycling; neither is checked
 * then. STATUS_FORMAT: another log's file, or a newer format. */
enum status log_files_read(struct log_files *files, struct disk disk, uint32_t shard,
                           uint64_t segment_bytes) must_use;
void log_files_free(struct log_files *files);

enum status log_walk_init(struct log_walk *w, struct disk disk, uint32_t shard,
                          uint64_t group_bytes_max) must_use;
void log_walk_fini(struct log_walk *w);
/* To the first group of the newest segment that begins at or below idx (0: of the oldest one).
 * STATUS_END: no file holds a group; STATUS_CORRUPT: all begin above. */
enum status log_walk_start(struct log_walk *w, const struct log_files *files,
                           uint64_t idx) must_use;
/* The next group of the chain and its payload, valid until the next call. STATUS_END: what follows
 * in the chain is not there, or not whole. */
enum status log_walk_next(struct log_walk *w, struct segment_group *group,
                          struct bytes *payload) must_use;
/* Whether a later group stands anywhere behind the end that log_walk_next found: STATUS_OK and
 * where; STATUS_END: none. */
enum status log_walk_later(struct log_walk *w, const struct log_files *files,
                           struct segment_group *later) must_use;
/* Whether any file holds any group at all, of any log; for a log that seems empty. */
enum status log_walk_any(struct log_walk *w, const struct log_files *files,
                         struct segment_group *any) must_use;

/* What log_failure says. Returns `s`. */
enum status log_fail(enum status s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
