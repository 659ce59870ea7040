/* The log's files: made ready ahead of need, recycled, removed; one job at a time. */
#include "store/log_private.h"

#include "base/say.h"

#define READY_WANTED 2u /* one being filled, one at hand while the other is made */
#define READY_MAX    4u
#define GROUPS_A_TRY 64u
#define WAIT_NS      1000000000ull

static uint64_t next_number(const struct log *l)
{
    return l->n_segments ? l->segments[l->n_segments - 1].number + 1 : 1;
}

enum status log_files_make(struct log *l)
{
    char name[SEGMENT_NAME_BYTES + 1];
    l->job_segment = (struct log_segment){
        .number = next_number(l), .bytes = l->options.segment_bytes, .file = -1};
    segment_name(l->job_segment.number, name);
    enum status s = l->disk.ops->make(l->disk.self, name, l->job_segment.bytes, &l->job);
    if (s == STATUS_OK)
        l->job = LOG_JOB_MAKE;
    return s;
}

/* Takes the oldest segment off the front; its file goes on as the newest one or goes away. */
static enum status retire_oldest(struct log *l, bool is_reused)
{
    char from[SEGMENT_NAME_BYTES + 1];
    char to[SEGMENT_NAME_BYTES + 1];
    struct log_segment oldest = l->segments[0];
    segment_name(oldest.number, from);
    segment_name(next_number(l), to);
    enum status s = is_reused ? l->disk.ops->rename(l->disk.self, from, to, &l->job)
                              : l->disk.ops->remove(l->disk.self, from, &l->job);
    if (s != STATUS_OK)
        return s;
    l->job = is_reused ? LOG_JOB_RECYCLE : LOG_JOB_REMOVE;
    l->job_segment = (struct log_segment){.number = is_reused ? next_number(l) : oldest.number,
                                          .bytes = oldest.bytes};
    l->job_segment.file = oldest.file;
    l->n_segments--;
    l->cur--;
    memmove(l->segments, l->segments + 1, l->n_segments * sizeof *l->segments);
    return STATUS_OK;
}

static bool is_make_due(struct log *l)
{
    if (l->n_segments >= l->options.segments_max)
        return false;
    /* On a full device a try now and then while there is room left, and one for each refusal. */
    if (l->is_full && !l->is_asked && l->groups_until_retry > 0)
        return false;
    return true;
}

unsigned log_files_prepare(struct log *l)
{
    if (l->job != LOG_JOB_NONE || l->is_failed || l->is_closing)
        return 0;
    uint32_t n_ready = l->n_segments - l->cur - 1;
    /* Not before the segment behind it has a first group that is durable: until then this one alone
     * says where the chain stands. */
    bool is_released = l->cur > 0 && l->segments[1].first_idx <= l->view_idx + 1 &&
                       (l->cur > 1 || !l->is_head_writing);
    bool is_same_size = l->segments[0].bytes == l->options.segment_bytes;
    enum status s = STATUS_NO_ROOM;
    if (is_released)
        s = retire_oldest(l, is_same_size && n_ready < READY_MAX);
    else if (n_ready < READY_WANTED && is_make_due(l))
        s = log_files_make(l);
    return s == STATUS_OK;
}

enum status log_files_job_done(struct log *l, const struct disk_done *done)
{
    enum log_job job = l->job;
    l->job = LOG_JOB_NONE;
    if (job == LOG_JOB_REMOVE && l->job_segment.file >= 0) {
        l->disk.ops->close(l->disk.self, l->job_segment.file);
        return done->status;
    }
    if (job == LOG_JOB_MAKE && done->status == STATUS_NO_ROOM) {
        if (!l->is_full)
            say(SAY_WARN,
                "shard %u: no space for a log segment; edits are refused once the last one is used "
                "up",
                l->options.shard);
        l->is_full = true;
        l->is_asked = false;
        l->groups_until_retry = GROUPS_A_TRY;
        return STATUS_OK;
    }
    if (job == LOG_JOB_MAKE)
        l->job_segment.file = done->file;
    if (done->status != STATUS_OK) {
        if (l->job_segment.file >= 0)
            l->disk.ops->close(l->disk.self, l->job_segment.file);
        return done->status;
    }
    if (l->is_full)
        say(SAY_INFO, "shard %u: there is space for the log again", l->options.shard);
    l->is_full = false;
    l->segments[l->n_segments++] = l->job_segment;
    return STATUS_OK;
}

enum status log_files_finish_job(struct log *l)
{
    struct disk_done done;
    while (l->disk.ops->poll(l->disk.self, &done, 1) == 0)
        l->disk.ops->wait(l->disk.self, WAIT_NS);
    return log_files_job_done(l, &done);
}
