/*
 * log.h - a shard's log: numbered records, in groups, durable in order.
 *
 * Records are appended to the open group (log_claim, log_commit); log_poll seals the group and
 * starts its write whenever none is in flight, and reaps the one that ended: the write's latency
 * sets the group's size. A record's index is 1, 2, 3 ... without gaps. log_durable says up to where
 * records are on stable storage.
 *
 * On disk (segment.h): segment files `log-SSSSSSSSSSSSSSSS` of one size, preallocated and zeroed,
 * recycled under a new number once the view holds durably what is in them. Groups form a chain of
 * checksums through all segments. A group that does not fit into what is left of a segment opens
 * the next one. Segments are made ready ahead of need, by jobs of the disk beside the writes, so an
 * acknowledgement never waits for one; once as many exist as the view's lag needs, nothing is
 * zeroed any more.
 *
 * Every start raises the epoch and writes a barrier, a record RECORD_NONE, as its first group. So
 * what an earlier start left behind a cut is never taken for what follows it.
 *
 * Recovery (log_open) walks the chain from the segment that holds the view's index + 1. A bad group
 * is a torn tail only where no later group follows it anywhere, and it lies above what the view
 * holds; then it is cut, which the barrier makes lasting. Anything else is corruption:
 * STATUS_CORRUPT, and log_failure() names file, offset and index. The last group has no later one
 * to vouch for it: log_seal, or a clean close, writes an empty group behind it, so that from then
 * on damage to it can't pass for a torn write.
 *
 * Owner: the shard role, on the thread of its disk. log_cursor is for another thread (the archive)
 * that reads what is durable, through a disk of its own. Memory is reserved at open; nothing
 * blocks but open and close.
 */
#ifndef PENSTOCK_STORE_LOG_H
#define PENSTOCK_STORE_LOG_H

#include "store/disk.h"
#include "store/record.h"

#define LOG_SEGMENT_BYTES_DEFAULT (64ull << 20)
#define LOG_SEGMENTS_MAX_DEFAULT  64u
#define LOG_GROUP_BYTES_DEFAULT   (8ull << 20)
#define LOG_SEGMENTS_LIMIT        4096u

struct log;

struct log_options {
    uint32_t shard;
    uint64_t segment_bytes;    /* multiple of 4096, at least group_bytes_max */
    uint32_t segments_max;     /* the log never holds more than this many; at least 3 */
    uint64_t group_bytes_max;  /* an open group's buffer; at least record_bytes_max + 4096 */
    uint64_t record_bytes_max; /* largest payload */
    uint64_t view_idx;         /* what the view holds durably: recovery starts there */
    uint64_t log_id;           /* of a log that is made now; 0: drawn by chance */
};

enum status log_open(struct log **out, struct disk disk,
                     const struct log_options *options) must_use;
/* What is in flight is waited for and sealed; the open group is dropped. NULL is fine. */
void log_close(struct log *l);
/* One line on what this thread's last failed log_open or log_cursor_next found; static storage. */
const char *log_failure(const struct log *l_or_null);

/* STATUS_OK: a record of that size can be claimed now. STATUS_NO_ROOM: wait (the group's buffer is
 * full, or the archive is behind). STATUS_UNAVAILABLE: no segment could be made (disk full);
 * refuse, and ask again later: asking tries again. */
enum status log_room(struct log *l, size_t payload_bytes) must_use;
/* Room in the open group, after log_room said OK. The record may be committed shorter. */
uint8_t *log_claim(struct log *l, size_t payload_bytes);
uint64_t log_commit(struct log *l, enum record_type type, size_t payload_bytes); /* its index */
void log_abandon(struct log *l);

uint64_t log_last(const struct log *l);    /* index of the last committed (appended) record */
uint64_t log_durable(const struct log *l); /* all up to here are on stable storage */
/* Reaps and starts writes. Returns work done. *s turns STATUS_IO when a write failed: end the
 * process. */
unsigned log_poll(struct log *l, enum status *s);
/* The view holds everything up to `idx` durably: segments below may be recycled. */
void log_release(struct log *l, uint64_t view_idx);
/* For a pause in the traffic (some milliseconds without a record): the next log_poll that has
 * nothing else to write seals the last group. Costs one small write a pause; nothing where it is
 * sealed. */
void log_seal(struct log *l);

/* ---- reading what is durable, on another thread, through its own disk ---- */

#define LOG_TO_END UINT64_MAX

struct log_cursor;
struct log_record {
    uint64_t idx;
    enum record_type type;
    struct bytes payload; /* valid until the next call */
    uint64_t segment;     /* where its group stands */
    uint64_t offset;
    uint64_t epoch;
};

/* Stands before `from_idx`; 0: before the oldest record that is left. Looks for it when the first
 * record is asked for. Of the options, shard and group_bytes_max count. */
enum status log_cursor_open(struct log_cursor **out, struct disk disk,
                            const struct log_options *options, uint64_t from_idx) must_use;
void log_cursor_close(struct log_cursor *c);
/* The next record up to `durable_idx`; STATUS_END when there is none; STATUS_CORRUPT where one must
 * be and is not. LOG_TO_END: up to the end of the chain, where nobody writes; a torn tail is an
 * end. */
enum status log_cursor_next(struct log_cursor *c, uint64_t durable_idx,
                            struct log_record *r) must_use;

#endif
