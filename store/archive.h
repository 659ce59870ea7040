/*
 * archive.h - the role that carries the log into the view: log cursor -> view, in large
 * transactions.
 *
 * It reads durable records from the log's files (the same code at start and while serving), applies
 * them, and commits when enough has gathered, when the oldest waits too long, or when somebody
 * hurries it. One poll is at most one transaction; nothing is held open between polls. Snapshots
 * come from the shard over a link; one of a version that the view has not reached waits in the
 * link.
 *
 * What the shard and the archive share is struct archive_shared: single words, one writer each.
 *     durable_idx  writer: shard    (release)  <->  archive's acquire: records up to here may be
 *                                                   read
 *     hurry_idx    writer: shard    (release)  <->  archive's acquire: commit as soon as this index
 *                                                   is durable
 *     view_idx     writer: archive  (release)  <->  shard's and reader's acquire: the view holds
 *                                                   this durably
 *
 * Owner: the archive thread. A failure of the view ends the process (STATUS_IO / STATUS_CORRUPT
 * through `failed`), except a full disk: then it waits ARCHIVE_RETRY_NS and tries again, and the
 * log fills up behind it.
 */
#ifndef PENSTOCK_STORE_ARCHIVE_H
#define PENSTOCK_STORE_ARCHIVE_H

#include "net/link.h"
#include "store/log.h"
#include "store/view.h"

#define ARCHIVE_WAKES               4
#define ARCHIVE_DELAY_NS_DEFAULT    (1000ull * 1000 * 1000)
#define ARCHIVE_BATCH_BYTES_DEFAULT (8ull << 20)
#define ARCHIVE_RETRY_NS            (1000ull * 1000 * 1000)

struct archive_shared {
    _Atomic uint64_t durable_idx;
    _Atomic uint64_t hurry_idx;
    uint8_t pad0[48];
    _Atomic uint64_t view_idx;
    _Atomic uint32_t failed; /* enum status; writer: archive */
    uint8_t pad1[52];
};

/* Ring record from the shard. */
enum archive_message { ARCHIVE_CONTENT = 1 }; /* u64 docnum, u64 version, content bytes */

struct archive;
struct counters;

struct archive_options {
    struct log_options log;
    struct view *view;
    struct archive_shared *shared;
    struct link_end *link;              /* NULL while recovering: no snapshots */
    struct parker *wake[ARCHIVE_WAKES]; /* told after each commit: shard, reader; NULL: none */
    uint64_t delay_ns_max;              /* oldest record waits at most this long; 0: the default */
    uint64_t batch_bytes_max;  /* a transaction takes at most this much log; 0: the default */
    struct counters *counters; /* NULL: none */
};

/* `disk`: for reading, its own; goes on where the view ends. */
enum status archive_open(struct archive **out, struct disk disk,
                         const struct archive_options *options) must_use;
void archive_close(struct archive *a);
struct role archive_role(struct archive *a);
/* Recovery: applies everything up to `idx`, before any role runs. STATUS_NO_ROOM: the disk is full;
 * STATUS_CORRUPT: log_failure() says more where the log is damaged. */
enum status archive_run_to(struct archive *a, uint64_t idx) must_use;

#endif
