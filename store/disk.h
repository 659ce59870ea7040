/*
 * disk.h - all that the log asks of a disk: an interface, so that the simulator can put the same code under its own.
 *
 * A disk is owned by one thread. Files are opened, made and removed synchronously (start and segment change only, never
 * on an acknowledging path); writes are asynchronous: disk_write starts one, disk_poll reports those that have ended. A
 * write that is reported without error is durable (O_DIRECT | O_DSYNC, or write and data sync in one chain).
 * Buffers are 4096-aligned, lengths and offsets multiples of 4096, and stay untouched until the write is reported.
 *
 * `disk_uring` is the real one: one io_uring a thread, registered buffers where they were offered. Its
 * disk_wait is what a shard's thread parks in: it returns when a write ends, when event_fd is readable, or at the timeout.
 *
 * Errors: STATUS_IO (the caller ends the process: a failed sync is never retried), STATUS_NO_ROOM (ENOSPC when a file is made).
 * This is the only place, with the gateway's loop, that includes liburing.h.
 */
#ifndef PENSTOCK_STORE_DISK_H
#define PENSTOCK_STORE_DISK_H

#include "base/bytes.h"
#include "base/status.h"

#define DISK_BLOCK 4096u
#define DISK_NAME_BYTES 64u

struct disk_done {
    void *token;          /* as given to write */
    enum status status;
};

struct disk_ops {
    /* Opens `name` (below the disk's directory) for the log; makes it with `make_bytes` of zeros, allocated and durable, name too,
     * when make_bytes > 0. STATUS_END: not there and not to be made. */
    enum status (*open)(void *self, const char *name, uint64_t make_bytes, int *file, uint64_t *file_bytes);
    void (*close)(void *self, int file);
    /* Renames a file and makes that durable: recycling. */
    enum status (*rename)(void *self, const char *from, const char *to);
    enum status (*remove)(void *self, const char *name);
    /* Calls `each` with every name in the directory. */
    enum status (*list)(void *self, void (*each)(void *arg, const char *name), void *arg);
    /* Synchronous; for recovery and the archive's tail. Short at the end of the file: *n says. */
    enum status (*read)(void *self, int file, uint64_t offset, void *buf, size_t bytes, size_t *n);
    /* One buffer region that later writes will come from (registered). May do nothing. */
    enum status (*offer)(void *self, void *buf, size_t bytes);
    /* Starts a write; STATUS_NO_ROOM when too many are under way. */
    enum status (*write)(void *self, int file, uint64_t offset, const void *buf, size_t bytes, void *token);
    /* Ended writes, at most `max`; never blocks. */
    unsigned (*poll)(void *self, struct disk_done *done, unsigned max);
};

struct disk {
    const struct disk_ops *ops;
    void *self;
};

struct disk_uring;

/* `dir` must exist. `event_fd`: what disk_uring_wait also wakes for (-1: nothing). */
enum status disk_uring_open(struct disk_uring **out, const char *dir, int event_fd) must_use;
void disk_uring_close(struct disk_uring *d);
struct disk disk_uring_interface(struct disk_uring *d);
/* Fits struct thread's `wait`. */
void disk_uring_wait(void *d, uint64_t timeout_ns);

#endif
