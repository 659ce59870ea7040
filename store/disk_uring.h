/*
 * disk_uring.h - private to disk_uring*.c: the ring, its directories and their jobs.
 *
 * disk_uring.c owns the ring: it hands out submissions, reaps completions and sleeps.
 * disk_uring_dir.c owns a directory: what a job is made of, step by step, and the synchronous
 * calls.
 */
#ifndef PENSTOCK_STORE_DISK_URING_H
#define PENSTOCK_STORE_DISK_URING_H

#include "store/disk.h"

#include <liburing.h>

#define DISK_URING_ENTRIES 256u
#define DISK_URING_BUFFERS 64u

enum disk_job_kind { DISK_JOB_WRITE, DISK_JOB_MAKE, DISK_JOB_RENAME, DISK_JOB_REMOVE };

/* What the ring does for a job at the moment; each job is a short path through these. */
enum disk_job_step {
    DISK_STEP_WRITE,
    DISK_STEP_OPEN,
    DISK_STEP_ALLOCATE,
    DISK_STEP_ZERO,
    DISK_STEP_SYNC,
    DISK_STEP_RENAME,
    DISK_STEP_REMOVE,
    DISK_STEP_SYNC_DIR,
};

struct disk_uring_dir;

struct disk_job {
    struct disk_uring_dir *dir;
    struct disk_job *next; /* of the free or the ended ones */
    void *token;
    enum disk_job_kind kind;
    enum disk_job_step step;
    enum status status;
    int file;
    int buf_idx; /* registered buffer; -1: none */
    const uint8_t *buf;
    uint64_t offset; /* write: of what is left; make: zeroed so far */
    uint64_t bytes;  /* write: left; make: the file's size */
    char from[DISK_NAME_BYTES + 2];
    char to[DISK_NAME_BYTES + 2];
};

struct disk_uring_buffer {
    const uint8_t *p;
    size_t bytes;
};

struct disk_uring {
    struct io_uring ring;
    int event_fd;
    bool is_armed;    /* a poll of event_fd is in the ring */
    bool is_woken;    /* event_fd became readable and was not drained yet */
    bool has_buffers; /* the kernel took the table of registered buffers */
    unsigned n_buffers;
    unsigned n_ended; /* jobs of all directories that wait to be reported */
    struct disk_uring_buffer buffers[DISK_URING_BUFFERS];
    const uint8_t *zeros;
};

struct disk_uring_dir {
    struct disk_uring *ring; /* NULL: reads only */
    int fd;
    bool is_direct;
    unsigned n_running;
    struct disk_job *free;
    struct disk_job *ended;
    struct disk_job **ended_tail;
    const char *path;
    struct disk_job jobs[DISK_JOBS_MAX];
};

#define DISK_URING_ZEROS (1u << 20)

/* Never NULL: submits what is queued when the queue is full. */
struct io_uring_sqe *disk_uring_sqe(struct disk_uring *ring);
void disk_uring_submit(struct disk_uring *ring);
/* Takes completions off the ring, without a system call where there are none. */
void disk_uring_reap(struct disk_uring *ring);
/* Sleeps until a completion or the timeout. */
void disk_uring_sleep(struct disk_uring *ring, uint64_t timeout_ns);
/* Registered buffer that holds the range; -1: none. */
int disk_uring_buffer_find(const struct disk_uring *ring, const void *buf, size_t bytes);
void disk_uring_buffer_add(struct disk_uring *ring, void *buf, size_t bytes);
void disk_uring_buffer_remove(struct disk_uring *ring, const void *buf);

/* The ring's answer to the job's step. */
void disk_job_step_done(struct disk_job *job, int res);

#endif
