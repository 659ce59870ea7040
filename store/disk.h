/*
 * disk.h - all that the log asks of a disk: an interface, so that the simulator can put the same
 * code under its own.
 *
 * A `struct disk` is one directory, seen by one thread. Opening, listing and reading are
 * synchronous: for the start, and for the archive, which reads on a thread of its own. All that
 * changes the disk is asynchronous and carries a token: write, make, rename and remove start a job,
 * poll reports those that have ended, and a job that is reported without error is durable (for a
 * write: O_DIRECT | O_DSYNC; for a name: a sync of the directory). A crash before that leaves any
 * part of a write's 512-byte sectors, and the old or the new name. poll reports only this disk's
 * own jobs, also where several disks share one ring: so several logs on one thread can't swallow
 * each other's.
 *
 * Buffers of writes are 4096-aligned, lengths and offsets multiples of 4096; they stay untouched
 * until the job is reported. At most DISK_JOBS_MAX jobs of a disk are under way at once.
 *
 * The real one is `disk_uring`: one io_uring a thread, opened before the thread starts, with a
 * directory for each of the thread's shards:
 *
 *     disk_uring_open(&ring, thread.parker.event_fd);
 *     for each shard: disk_uring_dir(ring, "data/shard-000", &disk); log_open(&log, disk, ...);
 *     thread.wait = disk_uring_wait; thread.wait_self = ring;
 *     ... thread_stop; log_close; disk_uring_dir_close(disk); disk_uring_close(ring);
 *
 * Used by one thread at a time: the opener's until the thread starts, the opener's again once it
 * has been joined. The archive, `penstock log` and others that only read take a disk without a
 * ring: disk_uring_dir(NULL, dir, &disk), which refuses jobs with STATUS_USAGE. Locking the data
 * directory against a second process is not the disk's: serve does it, once.
 *
 * Errors: STATUS_IO (the caller ends the process: a failed sync is never retried), STATUS_NO_ROOM
 * (no space on the device when a file is made; or too many jobs). One line about an error of the OS
 * goes to say(). disk_uring*.c is the only place, with the gateway's loop, that includes
 * liburing.h.
 */
#ifndef PENSTOCK_STORE_DISK_H
#define PENSTOCK_STORE_DISK_H

#include "base/bytes.h"
#include "base/status.h"

#define DISK_BLOCK      4096u
#define DISK_SECTOR     512u
#define DISK_NAME_BYTES 64u
#define DISK_JOBS_MAX   16u

struct disk_done {
    void *token; /* as given to the job */
    enum status status;
    int file; /* after make: the new file, open; else -1 */
};

struct disk_ops {
    /* ---- synchronous ---- */
    /* STATUS_END: there is no such file. */
    enum status (*open)(void *self, const char *name, int *file, uint64_t *file_bytes);
    void (*close)(void *self, int file);
    /* Calls `each` with every name in the directory, in no order. */
    enum status (*list)(void *self, void (*each)(void *arg, const char *name), void *arg);
    /* `buf`, `offset` and `bytes` as for writes. Short at the end of the file: *n says. */
    enum status (*read)(void *self, int file, uint64_t offset, void *buf, size_t bytes, size_t *n);
    /* Sleeps until a job of this disk has ended (at once if one has) or the timeout passed. */
    void (*wait)(void *self, uint64_t timeout_ns);

    /* ---- jobs ---- */
    /* One buffer region that later writes will come from (registered). May do nothing. */
    enum status (*offer)(void *self, void *buf, size_t bytes);
    /* Before an offered region is freed: the kernel holds on to its pages until then. */
    void (*withdraw)(void *self, void *buf);
    enum status (*write)(void *self, int file, uint64_t offset, const void *buf, size_t bytes,
                         void *token);
    /* A new file of `bytes` zeros, allocated, under that name once it is whole; reported with
     * STATUS_NO_ROOM when the device is full. A crash before leaves at most "name~". */
    enum status (*make)(void *self, const char *name, uint64_t bytes, void *token);
    /* Open files stay open under their new name. */
    enum status (*rename)(void *self, const char *from, const char *to, void *token);
    enum status (*remove)(void *self, const char *name, void *token);
    /* Ended jobs, at most `max`; never blocks. */
    unsigned (*poll)(void *self, struct disk_done *done, unsigned max);
};

struct disk {
    const struct disk_ops *ops;
    void *self;
};

struct disk_uring;

/* `event_fd`: what disk_uring_wait also wakes for, and drains (-1: nothing). STATUS_IO where the
 * kernel refuses io_uring. */
enum status disk_uring_open(struct disk_uring **out, int event_fd) must_use;
/* Keeps what `fd` is open on until the kernel is done with all of the ring's jobs, even when the
 * process is killed: a lock on it holds until the last write has ended. Once a ring; `fd` stays the
 * caller's. STATUS_IO where the kernel refuses. */
enum status disk_uring_hold(struct disk_uring *ring, int fd) must_use;
/* After its directories were closed. */
void disk_uring_close(struct disk_uring *ring);
/* Fits struct thread's `wait`: sleeps until any directory's job has ended, event_fd is readable, or
 * the timeout passed. */
void disk_uring_wait(void *ring, uint64_t timeout_ns);

/* `dir` must exist. */
enum status disk_uring_dir(struct disk_uring *ring_or_null, const char *dir,
                           struct disk *out) must_use;
/* Waits for its jobs. */
void disk_uring_dir_close(struct disk disk);

#endif
