/*
 * memory_disk.h - a disk (store/disk.h) in memory, for tests: it can hold jobs back, leave any
 * sectors of a write behind at a crash, run full, fail, and be copied.
 */
#ifndef PENSTOCK_TESTS_MEMORY_DISK_H
#define PENSTOCK_TESTS_MEMORY_DISK_H

#include "store/disk.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMORY_DISK_FILES 32

struct memory_file {
    char name[DISK_NAME_BYTES];
    uint8_t *at;
    uint64_t bytes;
    bool is_there; /* has its name; open files outlive it */
};

struct memory_job {
    char kind; /* 'w'rite 'm'ake 'r'ename 'd'elete */
    int file;
    uint64_t offset;
    uint64_t bytes;
    const uint8_t *buf;
    char from[DISK_NAME_BYTES];
    char to[DISK_NAME_BYTES];
    void *token;
};

struct memory_disk {
    struct memory_file files[MEMORY_DISK_FILES];
    struct memory_job jobs[DISK_JOBS_MAX];
    unsigned n_jobs;
    uint64_t space_bytes; /* files may take this much */
    bool is_holding;      /* jobs wait */
    bool is_failing;      /* writes end with STATUS_IO */
    unsigned n_makes, n_renames, n_removes, n_writes;
};

static inline struct memory_file *memory_find(struct memory_disk *m, const char *name)
{
    for (int i = 0; i < MEMORY_DISK_FILES; i++) {
        if (m->files[i].is_there && strcmp(m->files[i].name, name) == 0)
            return &m->files[i];
    }
    return NULL;
}

static inline enum status memory_open(void *self, const char *name, int *file, uint64_t *bytes)
{
    struct memory_disk *m = self;
    struct memory_file *f = memory_find(m, name);
    if (!f)
        return STATUS_END;
    *file = (int)(f - m->files);
    *bytes = f->bytes;
    return STATUS_OK;
}

static inline void memory_close(void *self, int file)
{
    (void)self;
    (void)file;
}

static inline enum status memory_list(void *self, void (*each)(void *, const char *), void *arg)
{
    struct memory_disk *m = self;
    for (int i = 0; i < MEMORY_DISK_FILES; i++) {
        if (m->files[i].is_there)
            each(arg, m->files[i].name);
    }
    return STATUS_OK;
}

static inline enum status memory_read(void *self, int file, uint64_t offset, void *buf,
                                      size_t bytes, size_t *n)
{
    struct memory_file *f = &((struct memory_disk *)self)->files[file];
    uint64_t have = offset < f->bytes ? f->bytes - offset : 0;
    *n = have < bytes ? (size_t)have : bytes;
    if (*n)
        memcpy(buf, f->at + offset, *n);
    return STATUS_OK;
}

static inline void memory_wait(void *self, uint64_t timeout_ns)
{
    (void)self;
    (void)timeout_ns;
}

static inline enum status memory_offer(void *self, void *buf, size_t bytes)
{
    (void)self;
    (void)buf;
    (void)bytes;
    return STATUS_OK;
}

static inline void memory_withdraw(void *self, void *buf)
{
    (void)self;
    (void)buf;
}

static inline struct memory_job *memory_job(struct memory_disk *m, char kind, void *token)
{
    if (m->n_jobs == DISK_JOBS_MAX)
        return NULL;
    struct memory_job *job = &m->jobs[m->n_jobs++];
    *job = (struct memory_job){.kind = kind, .token = token, .file = -1};
    return job;
}

static inline enum status memory_write(void *self, int file, uint64_t offset, const void *buf,
                                       size_t bytes, void *token)
{
    struct memory_job *job = memory_job(self, 'w', token);
    if (!job)
        return STATUS_NO_ROOM;
    job->file = file;
    job->offset = offset;
    job->buf = buf;
    job->bytes = bytes;
    return STATUS_OK;
}

static inline enum status memory_make(void *self, const char *name, uint64_t bytes, void *token)
{
    struct memory_job *job = memory_job(self, 'm', token);
    if (!job)
        return STATUS_NO_ROOM;
    job->bytes = bytes;
    snprintf(job->to, sizeof job->to, "%s", name);
    return STATUS_OK;
}

static inline enum status memory_rename(void *self, const char *from, const char *to, void *token)
{
    struct memory_job *job = memory_job(self, 'r', token);
    if (!job)
        return STATUS_NO_ROOM;
    snprintf(job->from, sizeof job->from, "%s", from);
    snprintf(job->to, sizeof job->to, "%s", to);
    return STATUS_OK;
}

static inline enum status memory_remove(void *self, const char *name, void *token)
{
    struct memory_job *job = memory_job(self, 'd', token);
    if (!job)
        return STATUS_NO_ROOM;
    snprintf(job->from, sizeof job->from, "%s", name);
    return STATUS_OK;
}

static inline uint64_t memory_used(const struct memory_disk *m)
{
    uint64_t n = 0;
    for (int i = 0; i < MEMORY_DISK_FILES; i++)
        n += m->files[i].is_there ? m->files[i].bytes : 0;
    return n;
}

static inline enum status memory_make_now(struct memory_disk *m, const char *name, uint64_t bytes,
                                          int *file)
{
    if (memory_used(m) + bytes > m->space_bytes)
        return STATUS_NO_ROOM;
    for (int i = 0; i < MEMORY_DISK_FILES; i++) {
        struct memory_file *f = &m->files[i];
        if (f->is_there)
            continue;
        free(f->at);
        *f = (struct memory_file){.at = calloc(1, bytes), .bytes = bytes, .is_there = true};
        snprintf(f->name, sizeof f->name, "%s", name);
        *file = i;
        return STATUS_OK;
    }
    abort();
}

/* Carries a job out; of a write the sectors in `mask` (bit i: sector i; beyond 63 as bit 63). */
static inline enum status memory_carry_out(struct memory_disk *m, const struct memory_job *job,
                                           uint64_t mask, int *file)
{
    struct memory_file *f;
    switch (job->kind) {
    case 'w':
        m->n_writes++;
        if (m->is_failing)
            return STATUS_IO;
        f = &m->files[job->file];
        for (uint64_t at = 0; at < job->bytes; at += DISK_SECTOR) {
            uint64_t i = at / DISK_SECTOR;
            if (mask >> (i < 63 ? i : 63) & 1)
                memcpy(f->at + job->offset + at, job->buf + at, DISK_SECTOR);
        }
        return STATUS_OK;
    case 'm':
        m->n_makes++;
        return memory_make_now(m, job->to, job->bytes, file);
    case 'r':
        m->n_renames++;
        f = memory_find(m, job->from);
        snprintf(f->name, sizeof f->name, "%s", job->to);
        return STATUS_OK;
    default:
        m->n_removes++;
        f = memory_find(m, job->from);
        if (f)
            f->is_there = false;
        return STATUS_OK;
    }
}

static inline unsigned memory_poll(void *self, struct disk_done *done, unsigned max)
{
    struct memory_disk *m = self;
    unsigned n = 0;
    while (n < max && m->n_jobs > 0 && !m->is_holding) {
        struct memory_job job = m->jobs[0];
        m->n_jobs--;
        memmove(m->jobs, m->jobs + 1, m->n_jobs * sizeof *m->jobs);
        done[n] = (struct disk_done){.token = job.token, .file = -1};
        done[n].status = memory_carry_out(m, &job, UINT64_MAX, &done[n].file);
        n++;
    }
    return n;
}

static const struct disk_ops memory_disk_ops = {
    .open = memory_open,
    .close = memory_close,
    .list = memory_list,
    .read = memory_read,
    .wait = memory_wait,
    .offer = memory_offer,
    .withdraw = memory_withdraw,
    .write = memory_write,
    .make = memory_make,
    .rename = memory_rename,
    .remove = memory_remove,
    .poll = memory_poll,
};

static inline struct disk memory_disk_interface(struct memory_disk *m)
{
    return (struct disk){&memory_disk_ops, m};
}

static inline struct memory_disk *memory_disk_new(uint64_t space_bytes)
{
    struct memory_disk *m = calloc(1, sizeof *m);
    m->space_bytes = space_bytes;
    return m;
}

/* What a machine that starts again finds: the files, no jobs. */
static inline struct memory_disk *memory_disk_copy(const struct memory_disk *from)
{
    struct memory_disk *m = memory_disk_new(from->space_bytes);
    for (int i = 0; i < MEMORY_DISK_FILES; i++) {
        if (!from->files[i].is_there)
            continue;
        m->files[i] = from->files[i];
        m->files[i].at = malloc(from->files[i].bytes + 1);
        memcpy(m->files[i].at, from->files[i].at, from->files[i].bytes);
    }
    return m;
}

static inline void memory_disk_free(struct memory_disk *m)
{
    for (int i = 0; i < MEMORY_DISK_FILES; i++)
        free(m->files[i].at);
    free(m);
}

#endif
