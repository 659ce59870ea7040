#include "store/log_walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_BYTES_MIN (64u << 10)
#define READ_BYTES_MAX (1u << 20)

static _Thread_local char failure[256];

enum status log_fail(enum status s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(failure, sizeof failure, fmt, args);
    va_end(args);
    return s;
}

const char *log_failure(const struct log *l_or_null)
{
    (void)l_or_null;
    return failure;
}

/* ---- the files ---- */

struct name_list {
    uint64_t *at;
    uint32_t n;
    uint32_t cap;
    enum status status;
};

static void name_collect(void *arg, const char *name)
{
    struct name_list *list = arg;
    uint64_t segment;
    if (list->status != STATUS_OK || !segment_number(name, &segment))
        return;
    if (list->n == LOG_SEGMENTS_LIMIT) {
        list->status = log_fail(STATUS_FORMAT, "more than %u log files", LOG_SEGMENTS_LIMIT);
        return;
    }
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 16;
        uint64_t *at = realloc(list->at, cap * sizeof *at);
        if (!at) {
            list->status = STATUS_NO_MEMORY;
            return;
        }
        list->at = at;
        list->cap = cap;
    }
    list->at[list->n++] = segment;
}

static int number_cmp(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Size and first group of one file. */
static enum status file_read(struct log_file *f, struct disk disk, uint32_t shard, uint8_t *block)
{
    char name[SEGMENT_NAME_BYTES + 1];
    int file;
    size_t n;
    segment_name(f->segment, name);
    enum status s = disk.ops->open(disk.self, name, &file, &f->bytes);
    if (s != STATUS_OK)
        return s;
    s = disk.ops->read(disk.self, file, 0, block, SEGMENT_BLOCK, &n);
    disk.ops->close(disk.self, file);
    if (s != STATUS_OK)
        return s;
    s = segment_group_read(bytes_of(block, n), &f->head);
    if (s == STATUS_FORMAT)
        return log_fail(s, "%s was written by a newer version", name);
    if (s == STATUS_OK && f->head.shard != shard)
        return log_fail(STATUS_FORMAT, "%s belongs to shard %u, not %u", name, f->head.shard,
                        shard);
    if (s == STATUS_OK && f->head.segment > f->segment)
        return log_fail(STATUS_CORRUPT, "%s holds segment %llu: it was renamed", name,
                        (unsigned long long)f->head.segment);
    /* A lower number: a recycled file that was not written yet under its new one. */
    f->has_head = s == STATUS_OK && f->head.segment == f->segment && f->head.offset == 0;
    if (f->has_head && f->head.segment_bytes != f->bytes)
        return log_fail(STATUS_CORRUPT, "%s has %llu bytes, it was made with %llu", name,
                        (unsigned long long)f->bytes, (unsigned long long)f->head.segment_bytes);
    return STATUS_OK;
}

static enum status files_check(const struct log_files *files, uint64_t segment_bytes)
{
    uint64_t log_id = 0;
    for (uint32_t i = 0; i < files->n; i++) {
        const struct log_file *f = &files->at[i];
        if (segment_bytes && i > 0 && f->segment != f[-1].segment + 1)
            return log_fail(STATUS_CORRUPT, SEGMENT_NAME " is missing",
                            (unsigned long long)f[-1].segment + 1);
        if (f->has_head && log_id && f->head.log_id != log_id)
            return log_fail(STATUS_FORMAT, SEGMENT_NAME " belongs to another log",
                            (unsigned long long)f->segment);
        if (f->has_head)
            log_id = f->head.log_id;
    }
    /* A file without a head must still have a size that some file of this log was made with: else
     * a live one that was cut short would pass for one that was never used. */
    for (uint32_t i = 0; i < files->n && segment_bytes; i++) {
        const struct log_file *f = &files->at[i];
        bool is_known = f->has_head || f->bytes == segment_bytes;
        for (uint32_t k = 0; k < files->n && !is_known; k++)
            is_known = files->at[k].has_head && files->at[k].bytes == f->bytes;
        if (!is_known)
            return log_fail(STATUS_CORRUPT, SEGMENT_NAME " has %llu bytes, not %llu",
                            (unsigned long long)f->segment, (unsigned long long)f->bytes,
                            (unsigned long long)segment_bytes);
    }
    return STATUS_OK;
}

enum status log_files_read(struct log_files *files, struct disk disk, uint32_t shard,
                           uint64_t segment_bytes)
{
    struct name_list list = {.status = STATUS_OK};
    *files = (struct log_files){0};
    enum status s = disk.ops->list(disk.self, name_collect, &list);
    if (s == STATUS_OK)
        s = list.status;
    uint8_t *block = aligned_alloc(SEGMENT_BLOCK, SEGMENT_BLOCK);
    struct log_file *at = calloc(list.n ? list.n : 1, sizeof *at);
    if (s == STATUS_OK && (!block || !at))
        s = STATUS_NO_MEMORY;
    if (s == STATUS_OK) {
        if (list.n)
            qsort(list.at, list.n, sizeof *list.at, number_cmp);
        uint32_t n = 0;
        for (uint32_t i = 0; i < list.n && s == STATUS_OK; i++) {
            at[n].segment = list.at[i];
            s = file_read(&at[n], disk, shard, block);
            if (s == STATUS_OK)
                n++;
            else if (s == STATUS_END) /* the log's owner has just recycled it */
                s = STATUS_OK;
        }
        *files = (struct log_files){at, n};
        at = NULL;
    }
    if (s == STATUS_OK)
        s = files_check(files, segment_bytes);
    if (s != STATUS_OK)
        log_files_free(files);
    free(list.at);
    free(block);
    free(at);
    return s;
}

void log_files_free(struct log_files *files)
{
    free(files->at);
    *files = (struct log_files){0};
}

/* ---- the walk ---- */

enum status log_walk_init(struct log_walk *w, struct disk disk, uint32_t shard,
                          uint64_t group_bytes_max)
{
    *w = (struct log_walk){.disk = disk, .file = -1, .shard = shard, .read_bytes = READ_BYTES_MIN};
    w->group_bytes_max = group_bytes_max;
    w->buf_bytes = READ_BYTES_MAX;
    w->buf = aligned_alloc(SEGMENT_BLOCK, w->buf_bytes);
    return w->buf ? STATUS_OK : STATUS_NO_MEMORY;
}

void log_walk_fini(struct log_walk *w)
{
    if (w->file >= 0)
        w->disk.ops->close(w->disk.self, w->file);
    free(w->buf);
    *w = (struct log_walk){.file = -1};
}

static enum status walk_open(struct log_walk *w, uint64_t segment, int *file, uint64_t *bytes)
{
    char name[SEGMENT_NAME_BYTES + 1];
    segment_name(segment, name);
    return w->disk.ops->open(w->disk.self, name, file, bytes);
}

enum status log_walk_start(struct log_walk *w, const struct log_files *files, uint64_t idx)
{
    const struct log_file *best = NULL;
    const struct log_file *oldest = NULL;
    for (uint32_t i = 0; i < files->n; i++) {
        const struct log_file *f = &files->at[i];
        if (!f->has_head)
            continue;
        if (!oldest)
            oldest = f;
        if (f->head.first_idx <= idx)
            best = f;
    }
    if (!oldest)
        return STATUS_END;
    if (idx == 0)
        best = oldest;
    if (!best)
        return log_fail(STATUS_CORRUPT, "record %llu is missing: the log begins at %llu",
                        (unsigned long long)idx, (unsigned long long)oldest->head.first_idx);
    if (w->file >= 0)
        w->disk.ops->close(w->disk.self, w->file);
    w->file = -1;
    w->window_bytes = 0;
    w->chain = (struct segment_chain){best->head.log_id, best->head.first_idx, best->head.prev_sum,
                                      best->head.epoch, w->shard};
    w->place = (struct segment_place){best->segment, best->bytes, 0};
    return walk_open(w, best->segment, &w->file, &w->place.segment_bytes);
}

/* Gets [offset, offset + bytes) of `file` into the window. STATUS_END: the file is shorter. */
static enum status window_read(struct log_walk *w, int file, uint64_t offset, uint64_t bytes)
{
    uint64_t want = bytes > w->read_bytes ? bytes : w->read_bytes;
    if (want > w->buf_bytes) {
        uint8_t *buf = aligned_alloc(SEGMENT_BLOCK, want);
        if (!buf)
            return STATUS_NO_MEMORY;
        free(w->buf);
        w->buf = buf;
        w->buf_bytes = want;
    }
    w->window_bytes = 0;
    size_t n;
    enum status s = w->disk.ops->read(w->disk.self, file, offset, w->buf, want, &n);
    if (s != STATUS_OK)
        return s;
    w->window_offset = offset;
    w->window_bytes = n;
    return n >= bytes ? STATUS_OK : STATUS_END;
}

static bool window_has(const struct log_walk *w, uint64_t offset, uint64_t bytes)
{
    return offset >= w->window_offset && bytes <= w->window_bytes &&
           offset - w->window_offset <= w->window_bytes - bytes;
}

/* STATUS_OK: the next group of the chain is whole at that place. STATUS_END: it is not there.
 * STATUS_CORRUPT: its header is, its payload is broken. */
static enum status walk_try(struct log_walk *w, int file, const struct segment_place *place,
                            struct segment_group *group, struct bytes *payload)
{
    if (place->offset >= place->segment_bytes)
        return STATUS_END;
    enum status s = STATUS_OK;
    if (!window_has(w, place->offset, SEGMENT_BLOCK))
        s = window_read(w, file, place->offset, SEGMENT_BLOCK);
    if (s != STATUS_OK)
        return s;
    struct segment_group v;
    s = segment_group_read(bytes_of(w->buf + (place->offset - w->window_offset), SEGMENT_BLOCK),
                           &v);
    if (s == STATUS_FORMAT)
        return log_fail(s, SEGMENT_NAME " offset %llu was written by a newer version",
                        (unsigned long long)place->segment, (unsigned long long)place->offset);
    if (s != STATUS_OK || !segment_is_here(&v, place, w->chain.log_id, w->shard) ||
        segment_judge(&v, &w->chain) != SEGMENT_NEXT)
        return STATUS_END;
    uint64_t bytes = segment_group_bytes(v.payload_bytes);
    if (!window_has(w, place->offset, bytes)) {
        s = window_read(w, file, place->offset, bytes);
        if (s != STATUS_OK)
            return s;
    }
    const uint8_t *at = w->buf + (place->offset - w->window_offset);
    *payload = bytes_of(at + sizeof v, v.payload_bytes);
    if (!segment_payload_check(&v, *payload))
        return STATUS_CORRUPT;
    *group = v;
    return STATUS_OK;
}

static bool is_missing(enum status s)
{
    return s == STATUS_END || s == STATUS_CORRUPT;
}

enum status log_walk_next(struct log_walk *w, struct segment_group *group, struct bytes *payload)
{
    bool is_fresh = !window_has(w, w->place.offset, SEGMENT_BLOCK);
    enum status s = walk_try(w, w->file, &w->place, group, payload);
    if (is_missing(s) && !is_fresh) {
        /* The window may be older than the write. */
        w->window_bytes = 0;
        w->read_bytes = READ_BYTES_MIN;
        s = walk_try(w, w->file, &w->place, group, payload);
    } else if (!is_fresh && w->read_bytes < READ_BYTES_MAX) {
        w->read_bytes *= 2;
    }
    w->bad = w->place;
    if (is_missing(s)) {
        struct segment_place next = {w->place.segment + 1, 0, 0};
        int file;
        enum status opened = walk_open(w, next.segment, &file, &next.segment_bytes);
        if (opened != STATUS_OK)
            return opened;
        w->window_bytes = 0;
        enum status there = walk_try(w, file, &next, group, payload);
        if (there != STATUS_OK) {
            w->disk.ops->close(w->disk.self, file);
            w->window_bytes = 0;
            if (s == STATUS_END &&
                (there == STATUS_CORRUPT || w->place.offset == w->place.segment_bytes))
                w->bad = next;
            return is_missing(there) ? STATUS_END : there;
        }
        w->disk.ops->close(w->disk.self, w->file);
        w->file = file;
        w->place = next;
        s = STATUS_OK;
    }
    if (s != STATUS_OK)
        return s;
    segment_chain_step(&w->chain, group);
    w->place.offset += segment_group_bytes(group->payload_bytes);
    return STATUS_OK;
}

/* ---- what stands behind the end ---- */

/* Looks at every sector of [from, to) of a segment. A whole header of this log that is later than
 * the chain's end counts wherever it stands: one that was moved from its place was written too.
 * `chain` NULL: any group of any log. */
static enum status scan_segment(struct log_walk *w, uint64_t segment, uint64_t from, uint64_t to,
                                const struct segment_chain *chain, struct segment_group *found)
{
    int file;
    uint64_t bytes;
    enum status s = walk_open(w, segment, &file, &bytes);
    if (s != STATUS_OK)
        return s;
    s = STATUS_END;
    w->read_bytes = READ_BYTES_MAX;
    w->window_bytes = 0;
    to = to < bytes ? to : bytes;
    for (uint64_t at = from; at < to && s == STATUS_END; at += DISK_SECTOR) {
        if (!window_has(w, at, DISK_SECTOR)) {
            s = window_read(w, file, at, DISK_SECTOR);
            if (s != STATUS_OK)
                break;
        }
        s = segment_group_read(bytes_of(w->buf + (at - w->window_offset), DISK_SECTOR), found);
        if (s == STATUS_OK && chain &&
            (found->log_id != chain->log_id || found->shard != w->shard ||
             segment_judge(found, chain) != SEGMENT_LATER))
            s = STATUS_END;
    }
    w->disk.ops->close(w->disk.self, file);
    w->window_bytes = 0;
    w->read_bytes = READ_BYTES_MIN;
    return s;
}

enum status log_walk_later(struct log_walk *w, const struct log_files *files,
                           struct segment_group *later)
{
    /* The rest of this segment whole; of the others as much as their first group can take: one that
     * was written to at all has a group that begins there. */
    uint64_t head_bytes = w->group_bytes_max + 2 * SEGMENT_BLOCK;
    enum status s = scan_segment(w, w->place.segment, w->place.offset, w->place.segment_bytes,
                                 &w->chain, later);
    for (uint32_t i = 0; i < files->n && s == STATUS_END; i++) {
        if (files->at[i].segment > w->place.segment)
            s = scan_segment(w, files->at[i].segment, 0, head_bytes, &w->chain, later);
    }
    return s;
}

enum status log_walk_any(struct log_walk *w, const struct log_files *files,
                         struct segment_group *any)
{
    enum status s = STATUS_END;
    for (uint32_t i = 0; i < files->n && s == STATUS_END; i++)
        s = scan_segment(w, files->at[i].segment, 0, files->at[i].bytes, NULL, any);
    return s;
}
