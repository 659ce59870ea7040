/* log.c - `penstock log`: what a stopped server's log holds, one record a line. Reads only. */
#include "store/log.h"
#include "base/clock.h"
#include "base/say.h"
#include "gateway/opjson.h"
#include "tools/commands.h"
#include "tools/datadir.h"
#include "tools/options.h"

#include <stdio.h>
#include <stdlib.h>

#define OP_JSON_BYTES (32u << 20)
#define NONE          UINT64_MAX

struct log_fields {
    const char *data;
    uint64_t shard;
    uint64_t from;
    uint64_t n;
    bool content;
};

#define FIELD(name) offsetof(struct log_fields, name)
static const struct option_spec specs[] = {
    {"data", OPTION_TEXT, "DIR", "data directory of a stopped server (required)", FIELD(data), 0, 0,
     NULL},
    {"shard", OPTION_NUMBER, "N", "this shard alone (all)", FIELD(shard), 0, DATADIR_SHARDS_MAX - 1,
     NULL},
    {"from", OPTION_NUMBER, "INDEX", "begin at this record (the oldest that is left)", FIELD(from),
     1, UINT64_MAX - 1, NULL},
    {"limit", OPTION_NUMBER, "N", "at most that many records of a shard", FIELD(n), 1,
     UINT64_MAX - 1, NULL},
    {"content", OPTION_FLAG, NULL, "print ops and content too", FIELD(content), 0, 0, NULL},
};

static const struct option_command command = {
    .name = "log",
    .synopsis = "--data DIR [options]",
    .about = "Prints the records that the logs of a data directory still hold, oldest first:\n"
             "shard, index, segment and offset, then what the record says. Changes nothing.",
    .specs = specs,
    .n_specs = sizeof specs / sizeof *specs,
};

/* Ids, names and titles come from strangers: no control characters. */
static void put_text(struct bytes s)
{
    putchar('"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void put_field(const char *name, struct bytes s)
{
    printf(" %s=", name);
    put_text(s);
}

static void put_time(uint64_t unix_ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_text(unix_ms, text);
    printf(" %s", text);
}

static void put_op(struct bytes op, char *buf)
{
    struct writer w = writer_of(buf, OP_JSON_BYTES);
    opjson_write(&w, &(struct opjson_out){.op = op});
    if (w.ok)
        printf(" %.*s", (int)writer_n(&w), buf);
    else
        printf(" (an op of %zu bytes)", op.n);
}

static bool put_create(struct bytes payload, char *buf)
{
    struct record_create r;
    if (record_read_create(payload, &r) != STATUS_OK)
        return false;
    printf("create doc=%llu", (unsigned long long)r.docnum);
    put_time(r.unix_ms);
    put_field("tenant", r.tenant);
    put_field("id", r.doc_id);
    put_field("owner", r.owner);
    put_field("title", r.title);
    printf(" type=%s hash=%016llx content=%zu bytes", r.type == DOC_RICH ? "rich" : "text",
           (unsigned long long)r.hash, r.content.n);
    if (buf)
        put_op(r.content, buf);
    return true;
}

static bool put_ops(struct bytes payload, char *buf)
{
    struct record_ops r;
    struct record_op op;
    if (record_read_ops(payload, &r) != STATUS_OK)
        return false;
    printf("ops doc=%llu", (unsigned long long)r.docnum);
    put_time(r.unix_ms);
    printf(" versions=%llu-%llu", (unsigned long long)r.first_version,
           (unsigned long long)(r.first_version + r.n_ops - 1));
    put_field("user", r.user);
    put_field("client", r.client);
    if (r.accepted_by.n)
        put_field("accepted_by", r.accepted_by);
    struct reader ops = reader_of(r.ops);
    for (uint64_t v = r.first_version; record_next_op(&ops, &op); v++) {
        printf(" [%llu seq=%llu hash=%016llx %zu bytes", (unsigned long long)v,
               (unsigned long long)op.seq, (unsigned long long)op.hash, op.op.n);
        if (buf)
            put_op(op.op, buf);
        printf("]");
    }
    return ops.ok;
}

static bool put_client(struct bytes payload)
{
    struct record_client r;
    if (record_read_client(payload, &r) != STATUS_OK)
        return false;
    printf("client doc=%llu", (unsigned long long)r.docnum);
    put_time(r.unix_ms);
    put_field("client", r.client);
    put_field("user", r.user);
    return true;
}

static bool put_title(struct bytes payload)
{
    struct record_title r;
    if (record_read_title(payload, &r) != STATUS_OK)
        return false;
    printf("title doc=%llu", (unsigned long long)r.docnum);
    put_time(r.unix_ms);
    put_field("user", r.user);
    put_field("title", r.title);
    return true;
}

static bool put_role(struct bytes payload)
{
    static const char *const names[] = {"none", "viewer", "commenter", "editor", "owner"};
    struct record_role r;
    if (record_read_role(payload, &r) != STATUS_OK || r.role > DOC_ROLE_OWNER)
        return false;
    printf("role doc=%llu", (unsigned long long)r.docnum);
    put_time(r.unix_ms);
    put_field("user", r.user);
    put_field("principal", r.principal);
    printf(" role=%s", names[r.role]);
    return true;
}

static bool put_trash(struct bytes payload)
{
    struct record_trash r;
    if (record_read_trash(payload, &r) != STATUS_OK)
        return false;
    printf("%s doc=%llu", r.trashed ? "delete" : "restore", (unsigned long long)r.docnum);
    put_time(r.unix_ms);
    put_field("user", r.user);
    return true;
}

static bool put_record(const struct log_record *r, char *buf)
{
    switch (r->type) {
    case RECORD_NONE:
        printf("start epoch=%llu", (unsigned long long)r->epoch);
        return true;
    case RECORD_CREATE:
        return put_create(r->payload, buf);
    case RECORD_OPS:
        return put_ops(r->payload, buf);
    case RECORD_CLIENT:
        return put_client(r->payload);
    case RECORD_TITLE:
        return put_title(r->payload);
    case RECORD_ROLE:
        return put_role(r->payload);
    case RECORD_TRASH:
        return put_trash(r->payload);
    }
    return false;
}

static enum status print_records(struct log_cursor *cursor, uint32_t shard, uint64_t n, char *buf)
{
    struct log_record r;
    enum status s = STATUS_OK;
    for (; n > 0; n--) {
        s = log_cursor_next(cursor, LOG_TO_END, &r);
        if (s != STATUS_OK)
            break;
        printf("%03u %llu %llu+%llu ", shard, (unsigned long long)r.idx,
               (unsigned long long)r.segment, (unsigned long long)r.offset);
        if (!put_record(&r, buf)) {
            printf("(unreadable: type %u, %zu bytes)", (unsigned)r.type, r.payload.n);
            s = STATUS_CORRUPT;
        }
        putchar('\n');
        if (ferror(stdout))
            return STATUS_IO;
        if (s != STATUS_OK)
            break;
    }
    return s == STATUS_END ? STATUS_OK : s;
}

static enum status print_shard(const struct datadir *d, uint32_t shard, const struct log_fields *f,
                               char *buf)
{
    struct disk disk;
    struct log_cursor *cursor;
    struct log_options options = {
        .shard = shard,
        .segment_bytes = LOG_SEGMENT_BYTES_DEFAULT,
        .segments_max = LOG_SEGMENTS_MAX_DEFAULT,
        .group_bytes_max = LOG_GROUP_BYTES_DEFAULT,
        .record_bytes_max = LIMIT_LOG_RECORD_BYTES,
    };
    enum status s = disk_uring_dir(NULL, datadir_shard_path(d, shard, ""), &disk);
    if (s != STATUS_OK) {
        say(SAY_ERROR, "log: shard %u: %s", shard, status_hint(s));
        return s;
    }
    s = log_cursor_open(&cursor, disk, &options, f->from == NONE ? 0 : f->from);
    if (s == STATUS_OK) {
        s = print_records(cursor, shard, f->n, buf);
        log_cursor_close(cursor);
    }
    fflush(stdout);
    if (s != STATUS_OK)
        say(SAY_ERROR, "log: shard %u: %s (%s)", shard, log_failure(NULL), status_hint(s));
    disk_uring_dir_close(disk);
    return s;
}

int log_main(int argc, char **argv)
{
    struct log_fields f = {.shard = NONE, .from = NONE, .n = NONE};
    struct datadir d;
    bool done;
    if (options_parse(&command, argc, argv, &f, NULL, &done) != STATUS_OK)
        return EXIT_USAGE;
    if (done)
        return 0;
    if (!f.data) {
        options_complain(&command, "--data is needed");
        return EXIT_USAGE;
    }
    if (datadir_open_to_read(&d, f.data) != STATUS_OK)
        return EXIT_FAILED;
    enum status s = STATUS_OK;
    if (f.shard != NONE && f.shard >= d.n_shards) {
        say(SAY_ERROR, "log: %s has %u shard(s)", f.data, d.n_shards);
        s = STATUS_USAGE;
    }
    char *buf = f.content ? malloc(OP_JSON_BYTES) : NULL;
    for (uint32_t i = 0; i < d.n_shards && s == STATUS_OK; i++) {
        if (f.shard == NONE || f.shard == i)
            s = print_shard(&d, i, &f, buf);
    }
    free(buf);
    datadir_close(&d);
    return s == STATUS_OK ? 0 : s == STATUS_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
