/*
 * log.h - a shard's log: numbered records, in groups, durable in order.
 *
 * Records are appended to the open group (log_claim, log_commit); log_poll seals the group and starts its write whenever
 * none is in flight, and reaps the one that ended: the write's latency sets the group's size. A record's index is
 * 1, 2, 3 ... without gaps. log_durable says up to where records are on stable storage.
 *
 * On disk: segment files `log-SSSSSSSSSSSSSSSS` of one size, preallocated and zeroed, recycled once the view holds
 * durably what is in them. A group starts at a multiple of 4096 and is padded to one:
 *
 *     group header (64 or 128 bytes, segment.h): magic, version, shard, epoch, term, segment number, first index, n_records, payload
 *     bytes, committed index as known when it was written, checksum of the previous group, checksum of the payload,
 *     checksum of the header; then records, each { u32 payload_bytes, u16 type, u16 zero, u64 index }, payload, padded to 8.
 *
 * Recovery (log_open): finds the newest chain that begins at or below the view's index + 1. A bad group is a torn
 * tail only where nothing valid with a higher index follows it and it lies above what any later header or the view
 * says was committed; then it is cut. Anything else is corruption: STATUS_CORRUPT, and log_failure() names the file, offset and index.
 *
 * Owner: the shard role; log_cursor is for another thread (the archive) that reads what is durable. Memory is reserved at open.
 */
#ifndef PENSTOCK_STORE_LOG_H
#define PENSTOCK_STORE_LOG_H

#include "store/disk.h"
#include "store/record.h"

struct log;

struct log_options {
    uint32_t shard;
    uint64_t segment_bytes;   /* multiple of 4096, at least 4 x LIMIT_LOG_RECORD_BYTES (tests: smaller with smaller record_bytes_max) */
    uint32_t segments_max;    /* the log never holds more than this many; at least 3 */
    uint64_t group_bytes_max; /* an open group's buffer; at least record_bytes_max + 4096 */
    uint64_t record_bytes_max;
    uint64_t view_idx;        /* what the view holds durably: recovery starts there */
};

enum status log_open(struct log **out, struct disk disk, const struct log_options *options) must_use;
void log_close(struct log *l);           /* what is in flight is waited for; the open group is dropped */
const char *log_failure(const struct log *l_or_null); /* one line on what the last failed log_open found; static storage */

/* STATUS_OK: a record of that size can be claimed now. STATUS_NO_ROOM: wait (the group's buffer is full, or the archive is behind).
 * STATUS_UNAVAILABLE: no segment could be made (disk full); refuse, and ask again later. */
enum status log_room(struct log *l, size_t payload_bytes) must_use;
/* Room in the open group, after log_room said OK. The record may be committed shorter. */
uint8_t *log_claim(struct log *l, size_t payload_bytes);
uint64_t log_commit(struct log *l, enum record_type type, size_t payload_bytes); /* its index */
void log_abandon(struct log *l);

uint64_t log_last(const struct log *l);    /* index of the last committed (appended) record */
uint64_t log_durable(const struct log *l); /* all up to here are on stable storage */
/* Reaps and starts writes. Returns work done. *s turns STATUS_IO when a write failed: end the process. */
unsigned log_poll(struct log *l, enum status *s);
/* The view holds everything up to `idx` durably: segments below may be recycled. */
void log_release(struct log *l, uint64_t view_idx);

/* ---- reading what is durable, on another thread, through its own disk ---- */

struct log_cursor;
struct log_record {
    uint64_t idx;
    enum record_type type;
    struct bytes payload; /* valid until the next call */
};

/* Stands before `from_idx`. */
enum status log_cursor_open(struct log_cursor **out, struct disk disk, const struct log_options *options,
                            uint64_t from_idx) must_use;
void log_cursor_close(struct log_cursor *c);
/* The next record up to `durable_idx`; STATUS_END when there is none; STATUS_CORRUPT. */
enum status log_cursor_next(struct log_cursor *c, uint64_t durable_idx, struct log_record *r) must_use;

#endif
