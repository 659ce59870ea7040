#include "store/log_private.h"

#include "base/say.h"

#include <stdlib.h>

#define HEADER_BYTES sizeof(struct segment_group)
#define WAIT_NS      1000000000ull

/* ---- open and close ---- */

static bool options_are_good(const struct log_options *o)
{
    return o->segment_bytes % SEGMENT_BLOCK == 0 && o->group_bytes_max % SEGMENT_BLOCK == 0 &&
           o->group_bytes_max >= o->record_bytes_max + SEGMENT_BLOCK &&
           o->group_bytes_max <= o->segment_bytes && o->group_bytes_max <= (1u << 30) &&
           o->segments_max >= 3 && o->segments_max <= LOG_SEGMENTS_LIMIT / 2;
}

static void buffer_reset(struct log_group_buffer *b)
{
    b->bytes = HEADER_BYTES;
    b->n_records = 0;
}

static enum status buffer_open(struct log *l, struct log_group_buffer *b)
{
    b->at = aligned_alloc(SEGMENT_BLOCK, l->buf_bytes);
    if (!b->at)
        return STATUS_NO_MEMORY;
    memset(b->at, 0, l->buf_bytes); /* touched now, not on an edit's path */
    buffer_reset(b);
    return l->disk.ops->offer(l->disk.self, b->at, l->buf_bytes);
}

static void buffer_close(struct log *l, struct log_group_buffer *b)
{
    if (b->at)
        l->disk.ops->withdraw(l->disk.self, b->at);
    free(b->at);
}

static void log_free(struct log *l)
{
    for (uint32_t i = 0; i < l->n_segments; i++)
        l->disk.ops->close(l->disk.self, l->segments[i].file);
    buffer_close(l, &l->open);
    buffer_close(l, &l->sealed);
    free(l->segments);
    free(l);
}

enum status log_open(struct log **out, struct disk disk, const struct log_options *options)
{
    log_fail(STATUS_OK, "no detail");
    if (!options_are_good(options))
        return log_fail(STATUS_USAGE, "sizes of segments, groups and records do not fit");
    struct log *l = calloc(1, sizeof *l);
    if (!l)
        return STATUS_NO_MEMORY;
    l->options = *options;
    l->disk = disk;
    l->log_id = options->log_id;
    l->view_idx = options->view_idx;
    l->buf_bytes = options->group_bytes_max;
    l->next_idx = 1;
    enum status s = log_recover(l);
    if (s == STATUS_OK)
        s = buffer_open(l, &l->open);
    if (s == STATUS_OK)
        s = buffer_open(l, &l->sealed);
    if (s != STATUS_OK) {
        log_free(l);
        return s;
    }
    /* The barrier: the first group of this epoch. */
    (void)log_claim(l, 0);
    (void)log_commit(l, RECORD_NONE, 0);
    *out = l;
    return STATUS_OK;
}

static void drain(struct log *l, enum status *s)
{
    while ((l->is_writing || l->job != LOG_JOB_NONE) && *s == STATUS_OK) {
        l->disk.ops->wait(l->disk.self, WAIT_NS);
        (void)log_poll(l, s);
    }
}

void log_close(struct log *l)
{
    if (!l)
        return;
    enum status s = l->is_failed ? STATUS_IO : STATUS_OK;
    /* What nobody was told is durable is not made so; then no new jobs but the seal. */
    l->next_idx -= l->open.n_records;
    buffer_reset(&l->open);
    l->is_closing = true;
    drain(l, &s);
    log_seal(l);
    if (s == STATUS_OK)
        (void)log_poll(l, &s);
    drain(l, &s);
    if (l->job != LOG_JOB_NONE && l->job_segment.file >= 0)
        l->disk.ops->close(l->disk.self, l->job_segment.file);
    log_free(l);
}

/* ---- appending ---- */

/* Whether the open group, grown to `bytes`, has a place on disk. */
static bool has_place(const struct log *l, uint64_t bytes)
{
    uint64_t disk_bytes = (bytes + SEGMENT_BLOCK - 1) & ~(uint64_t)(SEGMENT_BLOCK - 1);
    return disk_bytes <= l->segments[l->cur].bytes - l->offset || l->cur + 1 < l->n_segments;
}

enum status log_room(struct log *l, size_t payload_bytes)
{
    check_cmp(payload_bytes, <=, l->options.record_bytes_max);
    uint64_t bytes = l->open.bytes + segment_record_bytes(payload_bytes);
    if (bytes > l->buf_bytes)
        return STATUS_NO_ROOM;
    if (has_place(l, bytes))
        return STATUS_OK;
    if (!l->is_full)
        return STATUS_NO_ROOM;
    l->is_asked = true;
    return STATUS_UNAVAILABLE;
}

uint8_t *log_claim(struct log *l, size_t payload_bytes)
{
    check_cmp(l->open.bytes + segment_record_bytes(payload_bytes), <=, l->buf_bytes);
    l->claimed_bytes = payload_bytes;
    return l->open.at + l->open.bytes + SEGMENT_RECORD_BYTES;
}

uint64_t log_commit(struct log *l, enum record_type type, size_t payload_bytes)
{
    check_cmp(payload_bytes, <=, l->claimed_bytes);
    segment_record_seal(l->open.at + l->open.bytes, type, l->next_idx, (uint32_t)payload_bytes);
    l->open.bytes += segment_record_bytes(payload_bytes);
    l->open.n_records++;
    return l->next_idx++;
}

void log_abandon(struct log *l)
{
    l->claimed_bytes = 0;
}

uint64_t log_last(const struct log *l)
{
    return l->next_idx - 1;
}

uint64_t log_durable(const struct log *l)
{
    return l->durable_idx;
}

/* ---- writing ---- */

static void seal_and_write(struct log *l, enum status *s)
{
    struct log_group_buffer group = l->open;
    struct segment_group header = {
        .log_id = l->log_id,
        .shard = l->options.shard,
        .n_records = group.n_records,
        .epoch = l->epoch,
        .first_idx = l->next_idx - group.n_records,
        .payload_bytes = group.bytes - HEADER_BYTES,
        .committed_idx = l->durable_idx,
        .prev_sum = l->prev_sum,
    };
    uint64_t disk_bytes = segment_group_bytes(header.payload_bytes);
    if (disk_bytes > l->segments[l->cur].bytes - l->offset) {
        if (l->cur + 1 == l->n_segments)
            return; /* a seal, or a barrier on a full disk: it waits for a segment */
        l->cur++;
        l->offset = 0;
        l->segments[l->cur].first_idx = header.first_idx;
    }
    const struct log_segment *seg = &l->segments[l->cur];
    header.segment = seg->number;
    header.segment_bytes = seg->bytes;
    header.offset = l->offset;
    (void)segment_group_seal(group.at, &header);
    enum status started = l->disk.ops->write(l->disk.self, seg->file, l->offset, group.at,
                                             disk_bytes, &l->is_writing);
    if (started != STATUS_OK) {
        *s = STATUS_IO;
        return;
    }
    l->open = l->sealed;
    buffer_reset(&l->open);
    l->sealed = group;
    l->is_writing = true;
    l->is_head_writing = header.offset == 0;
    l->written_idx = l->next_idx - 1;
    l->prev_sum = header.header_sum;
    l->offset += disk_bytes;
    l->is_sealed = group.n_records == 0;
    l->is_seal_wanted = false;
    if (l->groups_until_retry > 0)
        l->groups_until_retry--;
}

unsigned log_poll(struct log *l, enum status *s)
{
    struct disk_done done;
    unsigned work = 0;
    while (l->disk.ops->poll(l->disk.self, &done, 1) == 1) {
        enum status ended = done.status;
        if (done.token == &l->is_writing) {
            l->is_writing = l->is_head_writing = false;
            if (ended == STATUS_OK)
                l->durable_idx = l->written_idx;
        } else {
            ended = log_files_job_done(l, &done);
        }
        if (ended != STATUS_OK) {
            l->is_failed = true;
            *s = STATUS_IO;
        }
        work++;
    }
    if (l->is_failed) {
        *s = STATUS_IO;
        return work;
    }
    if (!l->is_writing && (l->open.n_records > 0 || (l->is_seal_wanted && !l->is_sealed))) {
        seal_and_write(l, s);
        work += l->is_writing;
    }
    return work + log_files_prepare(l);
}

void log_release(struct log *l, uint64_t view_idx)
{
    check_cmp(view_idx, <=, l->durable_idx);
    if (view_idx > l->view_idx)
        l->view_idx = view_idx;
}

void log_seal(struct log *l)
{
    l->is_seal_wanted = true;
}
