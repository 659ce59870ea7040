#include "store/disk_uring.h"

#include "base/clock.h"
#include "base/say.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0600

/* ---- jobs ---- */

static void job_end(struct disk_job *job, enum status status)
{
    struct disk_uring_dir *d = job->dir;
    job->status = status;
    job->next = NULL;
    *d->ended_tail = job;
    d->ended_tail = &job->next;
    d->n_running--;
    d->ring->n_ended++;
}

static void job_prepare(struct disk_job *job, struct io_uring_sqe *sqe)
{
    struct disk_uring_dir *d = job->dir;
    uint64_t zeros;
    switch (job->step) {
    case DISK_STEP_WRITE:
        if (job->buf_idx >= 0)
            io_uring_prep_write_fixed(sqe, job->file, job->buf, (unsigned)job->bytes, job->offset,
                                      job->buf_idx);
        else
            io_uring_prep_write(sqe, job->file, job->buf, (unsigned)job->bytes, job->offset);
        sqe->rw_flags = RWF_DSYNC;
        break;
    case DISK_STEP_OPEN:
        io_uring_prep_openat(sqe, d->fd, job->from,
                             O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | (d->is_direct ? O_DIRECT : 0),
                             FILE_MODE);
        break;
    case DISK_STEP_ALLOCATE:
        io_uring_prep_fallocate(sqe, job->file, 0, 0, (off_t)job->bytes);
        break;
    case DISK_STEP_ZERO:
        zeros = job->bytes - job->offset;
        zeros = zeros < DISK_URING_ZEROS ? zeros : DISK_URING_ZEROS;
        io_uring_prep_write(sqe, job->file, d->ring->zeros, (unsigned)zeros, job->offset);
        break;
    case DISK_STEP_SYNC:
        io_uring_prep_fsync(sqe, job->file, 0);
        break;
    case DISK_STEP_RENAME:
        io_uring_prep_renameat(sqe, d->fd, job->from, d->fd, job->to, 0);
        break;
    case DISK_STEP_REMOVE:
        io_uring_prep_unlinkat(sqe, d->fd, job->from, 0);
        break;
    case DISK_STEP_SYNC_DIR:
        io_uring_prep_fsync(sqe, d->fd, 0);
        break;
    }
}

static void job_submit(struct disk_job *job, enum disk_job_step step)
{
    struct disk_uring *ring = job->dir->ring;
    job->step = step;
    struct io_uring_sqe *sqe = disk_uring_sqe(ring);
    job_prepare(job, sqe);
    io_uring_sqe_set_data(sqe, job);
    disk_uring_submit(ring);
}

static void job_fail(struct disk_job *job, int err)
{
    static const char *const verbs[] = {"write", "open", "allocate", "zero",
                                        "sync",  "move", "remove",   "sync"};
    struct disk_uring_dir *d = job->dir;
    bool is_full = job->kind == DISK_JOB_MAKE && (err == ENOSPC || err == EDQUOT);
    if (!is_full)
        say(SAY_ERROR, "%s/%s: can't %s: %s", d->path, job->from, verbs[job->step], strerror(err));
    if (job->kind == DISK_JOB_MAKE) {
        if (job->file >= 0)
            close(job->file);
        job->file = -1;
        (void)unlinkat(d->fd, job->from, 0);
    }
    job_end(job, is_full ? STATUS_NO_ROOM : STATUS_IO);
}

/* A write came short: what is left is written too, or it is an error; never taken for the whole. */
static void job_write_more(struct disk_job *job, uint64_t n)
{
    job->offset += n;
    if (job->kind == DISK_JOB_MAKE) {
        if (n == 0)
            job_fail(job, ENOSPC);
        else
            job_submit(job, job->offset == job->bytes ? DISK_STEP_SYNC : DISK_STEP_ZERO);
        return;
    }
    job->buf += n;
    job->bytes -= n;
    if (job->bytes == 0)
        job_end(job, STATUS_OK);
    else if (n == 0 || n % DISK_SECTOR != 0)
        job_fail(job, EIO);
    else
        job_submit(job, DISK_STEP_WRITE);
}

void disk_job_step_done(struct disk_job *job, int res)
{
    struct disk_uring_dir *d = job->dir;
    if (res == -EINTR || res == -EAGAIN) {
        job_submit(job, job->step);
        return;
    }
    if (res < 0 && job->step == DISK_STEP_OPEN && res == -EINVAL && d->is_direct) {
        d->is_direct = false;
        say(SAY_WARN, "%s: no direct I/O on this filesystem, writing through the page cache",
            d->path);
        job_submit(job, DISK_STEP_OPEN);
        return;
    }
    /* Filesystems that can't allocate ahead are filled by the zeros alone. */
    if (res < 0 && !(job->step == DISK_STEP_ALLOCATE && res == -EOPNOTSUPP)) {
        job_fail(job, -res);
        return;
    }
    switch (job->step) {
    case DISK_STEP_OPEN:
        job->file = res;
        job_submit(job, DISK_STEP_ALLOCATE);
        break;
    case DISK_STEP_ALLOCATE:
        job_submit(job, DISK_STEP_ZERO);
        break;
    case DISK_STEP_WRITE:
    case DISK_STEP_ZERO:
        job_write_more(job, (uint64_t)res);
        break;
    case DISK_STEP_SYNC:
        job_submit(job, DISK_STEP_RENAME);
        break;
    case DISK_STEP_RENAME:
    case DISK_STEP_REMOVE:
        job_submit(job, DISK_STEP_SYNC_DIR);
        break;
    case DISK_STEP_SYNC_DIR:
        job_end(job, STATUS_OK);
        break;
    }
}

static struct disk_job *job_new(struct disk_uring_dir *d, enum disk_job_kind kind, void *token)
{
    struct disk_job *job = d->free;
    if (!job)
        return NULL;
    d->free = job->next;
    d->n_running++;
    *job = (struct disk_job){.dir = d, .token = token, .kind = kind, .file = -1, .buf_idx = -1};
    return job;
}

/* ---- the interface: jobs ---- */

static enum status dir_offer(void *self, void *buf, size_t bytes)
{
    struct disk_uring_dir *d = self;
    if (d->ring)
        disk_uring_buffer_add(d->ring, buf, bytes);
    return STATUS_OK;
}

static void dir_withdraw(void *self, void *buf)
{
    struct disk_uring_dir *d = self;
    if (d->ring)
        disk_uring_buffer_remove(d->ring, buf);
}

static enum status dir_write(void *self, int file, uint64_t offset, const void *buf, size_t bytes,
                             void *token)
{
    struct disk_uring_dir *d = self;
    if (!d->ring || bytes == 0 || bytes % DISK_BLOCK || offset % DISK_BLOCK || bytes > INT32_MAX)
        return STATUS_USAGE;
    struct disk_job *job = job_new(d, DISK_JOB_WRITE, token);
    if (!job)
        return STATUS_NO_ROOM;
    job->file = file;
    job->buf = buf;
    job->offset = offset;
    job->bytes = bytes;
    job->buf_idx = disk_uring_buffer_find(d->ring, buf, bytes);
    job_submit(job, DISK_STEP_WRITE);
    return STATUS_OK;
}

static enum status dir_make(void *self, const char *name, uint64_t bytes, void *token)
{
    struct disk_uring_dir *d = self;
    if (!d->ring || bytes == 0 || bytes % DISK_BLOCK || strlen(name) >= DISK_NAME_BYTES)
        return STATUS_USAGE;
    struct disk_job *job = job_new(d, DISK_JOB_MAKE, token);
    if (!job)
        return STATUS_NO_ROOM;
    job->bytes = bytes;
    snprintf(job->from, sizeof job->from, "%s~", name);
    snprintf(job->to, sizeof job->to, "%s", name);
    job_submit(job, DISK_STEP_OPEN);
    return STATUS_OK;
}

static enum status dir_rename(void *self, const char *from, const char *to, void *token)
{
    struct disk_uring_dir *d = self;
    if (!d->ring || strlen(from) >= DISK_NAME_BYTES || strlen(to) >= DISK_NAME_BYTES)
        return STATUS_USAGE;
    struct disk_job *job = job_new(d, DISK_JOB_RENAME, token);
    if (!job)
        return STATUS_NO_ROOM;
    snprintf(job->from, sizeof job->from, "%s", from);
    snprintf(job->to, sizeof job->to, "%s", to);
    job_submit(job, DISK_STEP_RENAME);
    return STATUS_OK;
}

static enum status dir_remove(void *self, const char *name, void *token)
{
    struct disk_uring_dir *d = self;
    if (!d->ring || strlen(name) > DISK_NAME_BYTES)
        return STATUS_USAGE;
    struct disk_job *job = job_new(d, DISK_JOB_REMOVE, token);
    if (!job)
        return STATUS_NO_ROOM;
    snprintf(job->from, sizeof job->from, "%s", name);
    job_submit(job, DISK_STEP_REMOVE);
    return STATUS_OK;
}

static unsigned dir_poll(void *self, struct disk_done *done, unsigned max)
{
    struct disk_uring_dir *d = self;
    if (!d->ring)
        return 0;
    disk_uring_reap(d->ring);
    unsigned n = 0;
    while (n < max && d->ended) {
        struct disk_job *job = d->ended;
        d->ended = job->next;
        if (!d->ended)
            d->ended_tail = &d->ended;
        d->ring->n_ended--;
        int file = job->kind == DISK_JOB_MAKE ? job->file : -1;
        done[n++] = (struct disk_done){job->token, job->status, file};
        job->next = d->free;
        d->free = job;
    }
    return n;
}

static void dir_wait(void *self, uint64_t timeout_ns)
{
    struct disk_uring_dir *d = self;
    if (!d->ring)
        return;
    uint64_t end_ns = timeout_ns == UINT64_MAX ? UINT64_MAX : clock_mono_ns() + timeout_ns;
    disk_uring_reap(d->ring);
    while (!d->ended && d->n_running > 0) {
        uint64_t left_ns = UINT64_MAX;
        if (end_ns != UINT64_MAX) {
            uint64_t now_ns = clock_mono_ns();
            if (now_ns >= end_ns)
                return;
            left_ns = end_ns - now_ns;
        }
        disk_uring_sleep(d->ring, left_ns);
    }
}

/* ---- the interface: synchronous ---- */

static enum status dir_open(void *self, const char *name, int *file, uint64_t *file_bytes)
{
    struct disk_uring_dir *d = self;
    int flags = (d->ring ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    int fd = openat(d->fd, name, flags | (d->is_direct ? O_DIRECT : 0));
    if (fd < 0 && errno == EINVAL && d->is_direct) {
        fd = openat(d->fd, name, flags);
        if (fd >= 0) {
            d->is_direct = false;
            if (d->ring)
                say(SAY_WARN, "%s: no direct I/O here, writing through the page cache", d->path);
        }
    }
    if (fd < 0 && errno == ENOENT)
        return STATUS_END;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        say(SAY_ERROR, "%s/%s: can't open: %s", d->path, name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return STATUS_IO;
    }
    *file = fd;
    *file_bytes = (uint64_t)st.st_size;
    return STATUS_OK;
}

static void dir_close(void *self, int file)
{
    (void)self;
    close(file);
}

static enum status dir_list(void *self, void (*each)(void *arg, const char *name), void *arg)
{
    struct disk_uring_dir *d = self;
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        say(SAY_ERROR, "%s: can't list: %s", d->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return STATUS_IO;
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)); errno = 0)
        each(arg, e->d_name);
    int err = errno;
    closedir(dir);
    return err ? STATUS_IO : STATUS_OK;
}

static enum status dir_read(void *self, int file, uint64_t offset, void *buf, size_t bytes,
                            size_t *n)
{
    struct disk_uring_dir *d = self;
    size_t have = 0;
    while (have < bytes) {
        ssize_t got = pread(file, (uint8_t *)buf + have, bytes - have, (off_t)(offset + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            say(SAY_ERROR, "%s: can't read at %llu: %s", d->path, (unsigned long long)offset,
                strerror(errno));
            return STATUS_IO;
        }
        have += (size_t)got;
        /* A direct read comes short, and off the grid, only at the file's end. */
        if (got == 0 || have % DISK_SECTOR != 0)
            break;
    }
    *n = have;
    return STATUS_OK;
}

static const struct disk_ops dir_ops = {
    .open = dir_open,
    .close = dir_close,
    .list = dir_list,
    .read = dir_read,
    .wait = dir_wait,
    .offer = dir_offer,
    .withdraw = dir_withdraw,
    .write = dir_write,
    .make = dir_make,
    .rename = dir_rename,
    .remove = dir_remove,
    .poll = dir_poll,
};

/* ---- open and close ---- */

enum status disk_uring_dir(struct disk_uring *ring, const char *path, struct disk *out)
{
    size_t path_bytes = strlen(path) + 1;
    struct disk_uring_dir *d = calloc(1, sizeof *d + path_bytes);
    if (!d)
        return STATUS_NO_MEMORY;
    d->path = memcpy(d + 1, path, path_bytes);
    d->ring = ring;
    d->is_direct = true;
    d->ended_tail = &d->ended;
    for (unsigned i = 0; i < DISK_JOBS_MAX; i++) {
        d->jobs[i].next = d->free;
        d->free = &d->jobs[i];
    }
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0) {
        say(SAY_ERROR, "%s: can't open: %s", path, strerror(errno));
        free(d);
        return STATUS_IO;
    }
    *out = (struct disk){&dir_ops, d};
    return STATUS_OK;
}

void disk_uring_dir_close(struct disk disk)
{
    struct disk_uring_dir *d = disk.self;
    struct disk_done done[DISK_JOBS_MAX];
    while (d->n_running > 0 || d->ended) {
        dir_wait(d, UINT64_MAX);
        unsigned n = dir_poll(d, done, DISK_JOBS_MAX);
        for (unsigned i = 0; i < n; i++) {
            if (done[i].file >= 0)
                close(done[i].file);
        }
    }
    close(d->fd);
    free(d);
}
