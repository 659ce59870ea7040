#include "store/disk_uring.h"

#include "base/clock.h"
#include "base/say.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Completions carry their job; this one stands for the poll of event_fd. */
#define UDATA_EVENT_FD 1u

/* ---- the ring ---- */

static int ring_init(struct io_uring *ring)
{
    /* Completions wait for the thread's next system call instead of interrupting it. Not
     * SINGLE_ISSUER: the ring is opened, and after the thread's end closed, by another thread. */
    int rc = io_uring_queue_init(DISK_URING_ENTRIES, ring,
                                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
    return rc == -EINVAL ? io_uring_queue_init(DISK_URING_ENTRIES, ring, 0) : rc;
}

enum status disk_uring_open(struct disk_uring **out, int event_fd)
{
    struct disk_uring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return STATUS_NO_MEMORY;
    ring->event_fd = event_fd;
    /* Never written, so it costs no memory: every page is the kernel's zero page. */
    void *zeros = mmap(NULL, DISK_URING_ZEROS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros == MAP_FAILED) {
        free(ring);
        return STATUS_NO_MEMORY;
    }
    ring->zeros = zeros;
    int rc = ring_init(&ring->ring);
    if (rc < 0) {
        say(SAY_ERROR, "io_uring is not available: %s%s", strerror(-rc),
            rc == -ENOMEM ? "; raise the limit of locked memory (ulimit -l)" : "");
        munmap(zeros, DISK_URING_ZEROS);
        free(ring);
        return STATUS_IO;
    }
    /* Locked memory may be short for a plain user; then writes take unregistered buffers. */
    ring->has_buffers = io_uring_register_buffers_sparse(&ring->ring, DISK_URING_BUFFERS) == 0;
    *out = ring;
    return STATUS_OK;
}

enum status disk_uring_hold(struct disk_uring *ring, int fd)
{
    /* The table of registered files is given up after the last request, which may be long after
     * the process has gone where the disk hangs. */
    return io_uring_register_files(&ring->ring, &fd, 1) == 0 ? STATUS_OK : STATUS_IO;
}

void disk_uring_close(struct disk_uring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->ring);
    munmap((void *)(uintptr_t)ring->zeros, DISK_URING_ZEROS);
    free(ring);
}

struct io_uring_sqe *disk_uring_sqe(struct disk_uring *ring)
{
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&ring->ring)))
        disk_uring_submit(ring);
    return sqe;
}

void disk_uring_submit(struct disk_uring *ring)
{
    int rc;
    do {
        rc = io_uring_submit(&ring->ring);
        if (rc == -EAGAIN || rc == -EBUSY)
            disk_uring_reap(ring);
    } while (rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    if (rc < 0) {
        say(SAY_ERROR, "io_uring refuses submissions: %s", strerror(-rc));
        check(rc >= 0);
    }
}

void disk_uring_reap(struct disk_uring *ring)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&ring->ring, &cqe) == 0) {
        uint64_t udata = cqe->user_data;
        int res = cqe->res;
        io_uring_cqe_seen(&ring->ring, cqe);
        if (udata == UDATA_EVENT_FD) {
            ring->is_armed = false;
            ring->is_woken = res > 0;
        } else if (udata != LIBURING_UDATA_TIMEOUT) {
            disk_job_step_done((struct disk_job *)(uintptr_t)udata, res);
        }
    }
}

void disk_uring_sleep(struct disk_uring *ring, uint64_t timeout_ns)
{
    struct io_uring_cqe *cqe;
    if (timeout_ns == UINT64_MAX) {
        (void)io_uring_submit_and_wait(&ring->ring, 1);
    } else {
        struct __kernel_timespec ts = {.tv_sec = (long long)(timeout_ns / NS_PER_S),
                                       .tv_nsec = (long long)(timeout_ns % NS_PER_S)};
        (void)io_uring_submit_and_wait_timeout(&ring->ring, &cqe, 1, &ts, NULL);
    }
    disk_uring_reap(ring);
}

void disk_uring_wait(void *self, uint64_t timeout_ns)
{
    struct disk_uring *ring = self;
    disk_uring_reap(ring);
    if (ring->n_ended == 0 && !ring->is_woken) {
        if (ring->event_fd >= 0 && !ring->is_armed) {
            struct io_uring_sqe *sqe = disk_uring_sqe(ring);
            io_uring_prep_poll_add(sqe, ring->event_fd, POLLIN);
            io_uring_sqe_set_data64(sqe, UDATA_EVENT_FD);
            ring->is_armed = true;
        }
        disk_uring_sleep(ring, timeout_ns);
    }
    if (ring->is_woken) {
        /* Drained only here: a wake-up that a poll of the disk came across must still end the sleep
         * that follows it. */
        struct pollfd fd = {.fd = ring->event_fd, .events = POLLIN};
        uint64_t count;
        if (poll(&fd, 1, 0) == 1)
            (void)!read(ring->event_fd, &count, sizeof count);
        ring->is_woken = false;
    }
}

/* ---- registered buffers ---- */

int disk_uring_buffer_find(const struct disk_uring *ring, const void *buf, size_t bytes)
{
    const uint8_t *p = buf;
    for (unsigned i = 0; i < ring->n_buffers; i++) {
        const struct disk_uring_buffer *b = &ring->buffers[i];
        if (b->p && p >= b->p && bytes <= b->bytes && (size_t)(p - b->p) <= b->bytes - bytes)
            return (int)i;
    }
    return -1;
}

static bool buffer_set(struct disk_uring *ring, unsigned idx, void *buf, size_t bytes)
{
    struct iovec iov = {.iov_base = buf, .iov_len = bytes};
    __u64 tag = 0;
    return io_uring_register_buffers_update_tag(&ring->ring, idx, &iov, &tag, 1) == 1;
}

void disk_uring_buffer_add(struct disk_uring *ring, void *buf, size_t bytes)
{
    unsigned idx = 0;
    while (idx < ring->n_buffers && ring->buffers[idx].p)
        idx++;
    if (!ring->has_buffers || idx == DISK_URING_BUFFERS || !buffer_set(ring, idx, buf, bytes))
        return;
    ring->buffers[idx] = (struct disk_uring_buffer){buf, bytes};
    if (idx == ring->n_buffers)
        ring->n_buffers++;
}

void disk_uring_buffer_remove(struct disk_uring *ring, const void *buf)
{
    for (unsigned i = 0; i < ring->n_buffers; i++) {
        if (ring->buffers[i].p != buf)
            continue;
        ring->buffers[i] = (struct disk_uring_buffer){NULL, 0};
        (void)buffer_set(ring, i, NULL, 0);
    }
}
