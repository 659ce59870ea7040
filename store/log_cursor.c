#include "store/log_walk.h"

#include <stdlib.h>

struct log_cursor {
    struct log_walk walk;
    uint64_t from_idx; /* records below are passed over */
    bool is_started;   /* the walk stands in the chain */
    bool is_at_end;    /* LOG_TO_END was reached and looked behind */
    struct segment_group group;
    struct reader records; /* what is left of the group */
};

enum status log_cursor_open(struct log_cursor **out, struct disk disk,
                            const struct log_options *options, uint64_t from_idx)
{
    struct log_cursor *c = calloc(1, sizeof *c);
    if (!c)
        return STATUS_NO_MEMORY;
    enum status s = log_walk_init(&c->walk, disk, options->shard, options->group_bytes_max);
    if (s != STATUS_OK) {
        free(c);
        return s;
    }
    c->from_idx = from_idx;
    c->records = reader_of(bytes_of(NULL, 0));
    *out = c;
    return STATUS_OK;
}

void log_cursor_close(struct log_cursor *c)
{
    if (!c)
        return;
    log_walk_fini(&c->walk);
    free(c);
}

static enum status cursor_start(struct log_cursor *c)
{
    struct log_files files;
    enum status s = log_files_read(&files, c->walk.disk, c->walk.shard, 0);
    if (s != STATUS_OK)
        return s;
    s = log_walk_start(&c->walk, &files, c->from_idx);
    log_files_free(&files);
    c->is_started = s == STATUS_OK;
    return s;
}

/* The chain ends before an index that is durable, or before something that was written later. */
static enum status cursor_end(struct log_cursor *c, uint64_t durable_idx)
{
    unsigned long long segment = c->walk.bad.segment, offset = c->walk.bad.offset;
    if (durable_idx == LOG_TO_END) {
        struct log_files files;
        struct segment_group later;
        enum status s = log_files_read(&files, c->walk.disk, c->walk.shard, 0);
        if (s != STATUS_OK)
            return s;
        s = log_walk_later(&c->walk, &files, &later);
        log_files_free(&files);
        c->is_at_end = s == STATUS_END;
        if (s != STATUS_OK)
            return s;
    }
    return log_fail(STATUS_CORRUPT, SEGMENT_NAME " offset %llu: record %llu is damaged or missing",
                    segment, offset, (unsigned long long)c->walk.chain.next_idx);
}

enum status log_cursor_next(struct log_cursor *c, uint64_t durable_idx, struct log_record *r)
{
    for (;;) {
        struct reader before = c->records;
        struct segment_record record;
        struct bytes payload;
        if (segment_next_record(&c->records, &record, &payload)) {
            if (record.idx < c->from_idx)
                continue;
            if (record.idx > durable_idx) {
                c->records = before;
                return STATUS_END;
            }
            *r = (struct log_record){.idx = record.idx,
                                     .type = (enum record_type)record.type,
                                     .payload = payload,
                                     .segment = c->group.segment,
                                     .offset = c->group.offset,
                                     .epoch = c->group.epoch};
            return STATUS_OK;
        }
        uint64_t next_idx = c->is_started ? c->walk.chain.next_idx : c->from_idx + !c->from_idx;
        if (next_idx > durable_idx || c->is_at_end)
            return STATUS_END;
        enum status s = c->is_started ? STATUS_OK : cursor_start(c);
        if (s == STATUS_END && durable_idx != LOG_TO_END)
            return log_fail(STATUS_CORRUPT, "record %llu is missing: the log is empty",
                            (unsigned long long)next_idx);
        if (s != STATUS_OK)
            return s;
        struct bytes group;
        s = log_walk_next(&c->walk, &c->group, &group);
        if (s == STATUS_END)
            return cursor_end(c, durable_idx);
        if (s != STATUS_OK)
            return s;
        c->records = reader_of(group);
    }
}
