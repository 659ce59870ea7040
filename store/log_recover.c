/* What the disk holds at start: the chain to its end, and whether that end is a torn write. */
#include "store/log_private.h"

#include "base/say.h"

#include <stdlib.h>
#include <sys/random.h>

/* ---- files ---- */

struct leftover {
    char name[DISK_NAME_BYTES];
    bool is_found;
};

/* "log-...~": a crash met it while it was made. */
static void leftover_find(void *arg, const char *name)
{
    struct leftover *left = arg;
    size_t n = strlen(name);
    if (n == SEGMENT_NAME_BYTES + 1 && name[n - 1] == '~' && strncmp(name, "log-", 4) == 0) {
        memcpy(left->name, name, n + 1);
        left->is_found = true;
    }
}

static enum status remove_file(struct log *l, const char *name)
{
    l->job_segment = (struct log_segment){.file = -1};
    enum status s = l->disk.ops->remove(l->disk.self, name, &l->job);
    if (s != STATUS_OK)
        return s;
    l->job = LOG_JOB_MAKE; /* nothing follows from its end but its status */
    struct disk_done done;
    while (l->disk.ops->poll(l->disk.self, &done, 1) == 0)
        l->disk.ops->wait(l->disk.self, UINT64_MAX);
    l->job = LOG_JOB_NONE;
    return done.status;
}

static enum status remove_leftovers(struct log *l)
{
    for (;;) {
        struct leftover left = {.is_found = false};
        enum status s = l->disk.ops->list(l->disk.self, leftover_find, &left);
        if (s != STATUS_OK || !left.is_found)
            return s;
        s = remove_file(l, left.name);
        if (s != STATUS_OK)
            return s;
    }
}

static enum status open_segments(struct log *l, const struct log_files *files)
{
    uint32_t room = files->n + l->options.segments_max + 1;
    l->segments = calloc(room, sizeof *l->segments);
    if (!l->segments)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < files->n; i++) {
        char name[SEGMENT_NAME_BYTES + 1];
        struct log_segment *seg = &l->segments[i];
        *seg = (struct log_segment){.number = files->at[i].segment};
        segment_name(seg->number, name);
        enum status s = l->disk.ops->open(l->disk.self, name, &seg->file, &seg->bytes);
        if (s != STATUS_OK)
            return s == STATUS_END ? STATUS_IO : s;
        seg->first_idx = files->at[i].has_head ? files->at[i].head.first_idx : 0;
        l->n_segments++;
    }
    return STATUS_OK;
}

/* Unused segments of another size than is asked for now (the configuration changed). From the top,
 * so that no number is left out in between. */
static enum status drop_odd_sizes(struct log *l)
{
    uint32_t keep = l->cur + 1;
    while (keep < l->n_segments && l->segments[keep].bytes == l->options.segment_bytes)
        keep++;
    while (l->n_segments > keep) {
        char name[SEGMENT_NAME_BYTES + 1];
        struct log_segment *seg = &l->segments[--l->n_segments];
        segment_name(seg->number, name);
        l->disk.ops->close(l->disk.self, seg->file);
        enum status s = remove_file(l, name);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

/* ---- an empty log ---- */

static enum status draw_id(uint64_t *id)
{
    while (*id == 0) {
        if (getrandom(id, sizeof *id, 0) != (ssize_t)sizeof *id)
            return STATUS_IO;
    }
    return STATUS_OK;
}

static enum status begin_empty(struct log *l, struct log_walk *w, const struct log_files *files)
{
    struct segment_group any;
    enum status s = log_walk_any(w, files, &any);
    if (s == STATUS_OK)
        return log_fail(STATUS_CORRUPT,
                        SEGMENT_NAME " offset 0: the first group is damaged; record %llu at offset "
                                     "%llu is whole",
                        (unsigned long long)any.segment, (unsigned long long)any.first_idx,
                        (unsigned long long)any.offset);
    if (s != STATUS_END)
        return s;
    if (l->options.view_idx > 0)
        return log_fail(STATUS_CORRUPT, "the log is empty, but the view holds records up to %llu",
                        (unsigned long long)l->options.view_idx);
    s = draw_id(&l->log_id);
    if (s == STATUS_OK && l->n_segments == 0) {
        s = log_files_make(l);
        if (s == STATUS_OK)
            s = log_files_finish_job(l);
        if (s == STATUS_OK && l->n_segments == 0)
            s = log_fail(STATUS_NO_ROOM, "no space for the first log segment");
    }
    l->cur = 0;
    l->offset = 0;
    l->next_idx = 1;
    l->epoch = 1;
    return s;
}

/* ---- the chain ---- */

/* The chain ended: fine if that is where writing stopped, else the damage is named. */
static enum status judge_end(struct log *l, struct log_walk *w, const struct log_files *files)
{
    struct segment_group later;
    unsigned long long segment = w->bad.segment, offset = w->bad.offset;
    unsigned long long idx = w->chain.next_idx;
    enum status s = log_walk_later(w, files, &later);
    if (s == STATUS_OK)
        return log_fail(STATUS_CORRUPT,
                        SEGMENT_NAME " offset %llu: record %llu is damaged; " SEGMENT_NAME
                                     " offset %llu was written after it",
                        segment, offset, idx, (unsigned long long)later.segment,
                        (unsigned long long)later.offset);
    if (s != STATUS_END)
        return s;
    if (idx - 1 < l->options.view_idx)
        return log_fail(STATUS_CORRUPT,
                        SEGMENT_NAME " offset %llu: record %llu is damaged or missing; the view "
                                     "holds records up to %llu",
                        segment, offset, idx, (unsigned long long)l->options.view_idx);
    return STATUS_OK;
}

static enum status walk_chain(struct log *l, struct log_walk *w, const struct log_files *files)
{
    enum status s = log_walk_start(w, files, l->options.view_idx + 1);
    if (s == STATUS_END)
        return begin_empty(l, w, files);
    if (s != STATUS_OK)
        return s;
    struct segment_group group;
    struct bytes payload;
    do {
        s = log_walk_next(w, &group, &payload);
    } while (s == STATUS_OK);
    if (s == STATUS_END)
        s = judge_end(l, w, files);
    if (s != STATUS_OK)
        return s;
    l->log_id = w->chain.log_id;
    l->next_idx = w->chain.next_idx;
    l->prev_sum = w->chain.prev_sum;
    l->epoch = w->chain.epoch + 1;
    while (l->segments[l->cur].number != w->place.segment)
        l->cur++;
    l->offset = w->place.offset;
    for (uint32_t i = l->cur + 1; i < l->n_segments; i++)
        l->segments[i].first_idx = 0;
    return STATUS_OK;
}

enum status log_recover(struct log *l)
{
    struct log_files files = {0};
    struct log_walk walk = {.file = -1};
    enum status s = remove_leftovers(l);
    if (s == STATUS_OK)
        s = log_files_read(&files, l->disk, l->options.shard, l->options.segment_bytes);
    if (s == STATUS_OK)
        s = open_segments(l, &files);
    if (s == STATUS_OK)
        s = log_walk_init(&walk, l->disk, l->options.shard, l->options.group_bytes_max);
    if (s == STATUS_OK)
        s = walk_chain(l, &walk, &files);
    if (s == STATUS_OK)
        s = drop_odd_sizes(l);
    l->durable_idx = l->next_idx - 1;
    log_walk_fini(&walk);
    log_files_free(&files);
    return s;
}
