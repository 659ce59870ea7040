#include "store/archive.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/say.h"

#include <stdio.h>
#include <stdlib.h>

struct archive {
    struct archive_options options;
    struct disk disk;
    struct log_cursor *cursor;
    uint64_t applied_idx;  /* what the view holds */
    uint64_t since_ns;     /* when the oldest record that waits was seen; 0: none waits */
    uint64_t retry_ns;     /* after a full disk: not before; 0: no trouble */
    uint64_t record_bytes; /* of an average record lately */
    uint64_t content_idx;  /* the snapshot at the link's head was too early at this index */
    bool is_content_blocked;
    struct counter *n_commits;
    struct counter *n_records;
    struct counter *n_retries;
};

static void open_counters(struct archive *a)
{
    struct counters *c = a->options.counters;
    char label[COUNTER_LABEL_BYTES];
    if (!c)
        return;
    snprintf(label, sizeof label, "shard=\"%u\"", a->options.log.shard);
    a->n_commits = counters_add(c, COUNTER_TOTAL, "penstock_archive_commits_total", label,
                                "transactions that carried log records into the view");
    a->n_records = counters_add(c, COUNTER_TOTAL, "penstock_archive_records_total", label,
                                "log records applied to the view");
    a->n_retries = counters_add(c, COUNTER_TOTAL, "penstock_archive_full_total", label,
                                "transactions given up for a full disk, to be tried again");
}

static void count(struct counter *c, uint64_t n)
{
    if (c)
        counter_bump(c, n);
}

/* The cursor stands behind what the view holds. */
static enum status reset_cursor(struct archive *a)
{
    log_cursor_close(a->cursor);
    a->cursor = NULL;
    a->applied_idx = view_index(a->options.view);
    return log_cursor_open(&a->cursor, a->disk, &a->options.log, a->applied_idx + 1);
}

enum status archive_open(struct archive **out, struct disk disk,
                         const struct archive_options *options)
{
    struct archive *a = calloc(1, sizeof *a);
    if (!a)
        return STATUS_NO_MEMORY;
    a->options = *options;
    a->disk = disk;
    a->record_bytes = 128;
    if (a->options.delay_ns_max == 0)
        a->options.delay_ns_max = ARCHIVE_DELAY_NS_DEFAULT;
    if (a->options.batch_bytes_max == 0)
        a->options.batch_bytes_max = ARCHIVE_BATCH_BYTES_DEFAULT;
    enum status s = reset_cursor(a);
    if (s != STATUS_OK) {
        archive_close(a);
        return s;
    }
    open_counters(a);
    atomic_store_explicit(&options->shared->view_idx, a->applied_idx, memory_order_release);
    *out = a;
    return STATUS_OK;
}

void archive_close(struct archive *a)
{
    if (!a)
        return;
    log_cursor_close(a->cursor);
    free(a);
}

/* ---- one transaction ---- */

static enum status apply_records(struct archive *a, struct view_write *w, uint64_t durable_idx,
                                 uint64_t *applied_idx)
{
    uint64_t bytes = 0, first_idx = *applied_idx;
    while (bytes < a->options.batch_bytes_max) {
        struct log_record r;
        enum status s = log_cursor_next(a->cursor, durable_idx, &r);
        if (s == STATUS_END)
            break;
        if (s != STATUS_OK) {
            say(SAY_ERROR, "shard %u: the log can't be read: %s", a->options.log.shard,
                log_failure(NULL));
            return s;
        }
        s = view_apply(w, r.idx, r.type, r.payload);
        if (s == STATUS_CORRUPT)
            say(SAY_ERROR, "shard %u: log record %llu contradicts the view", a->options.log.shard,
                (unsigned long long)r.idx);
        if (s != STATUS_OK)
            return s;
        bytes += r.payload.n + 16;
        *applied_idx = r.idx;
    }
    if (*applied_idx > first_idx)
        a->record_bytes = bytes / (*applied_idx - first_idx);
    return STATUS_OK;
}

/* Snapshots whose version the view has now. They are advanced past here and given back to the link
 * once the transaction is over: if that fails they are lost, which costs a longer replay when the
 * document is opened, nothing else. */
static enum status apply_contents(struct archive *a, struct view_write *w)
{
    struct link_end *link = a->options.link;
    struct ring_record m;
    enum status s;
    a->is_content_blocked = false;
    while (link && (s = ring_peek(&link->rx, &m)) != STATUS_END) {
        if (s != STATUS_OK)
            return s;
        struct reader r = reader_of(m.payload);
        uint64_t docnum = read_u64(&r), version = read_u64(&r), reached;
        struct bytes content = read_rest(&r);
        if (m.type != ARCHIVE_CONTENT || !r.ok)
            return STATUS_CORRUPT;
        s = view_write_version(w, docnum, &reached);
        if (s == STATUS_END || (s == STATUS_OK && reached < version)) {
            a->is_content_blocked = true;
            return STATUS_OK;
        }
        if (s == STATUS_OK)
            s = view_put_content(w, docnum, version, content);
        if (s != STATUS_OK)
            return s;
        ring_advance(&link->rx);
    }
    return STATUS_OK;
}

/* Everything up to durable_idx that fits one transaction. */
static enum status run_batch(struct archive *a, uint64_t durable_idx)
{
    struct view_write *w;
    uint64_t applied_idx = a->applied_idx;
    enum status s = view_write_begin(a->options.view, &w);
    if (s != STATUS_OK)
        return s;
    s = apply_records(a, w, durable_idx, &applied_idx);
    if (s == STATUS_OK)
        s = apply_contents(a, w);
    if (s == STATUS_OK)
        s = view_write_commit(w);
    else
        view_write_abort(w);
    if (a->options.link) {
        ring_release(&a->options.link->rx);
        link_release(a->options.link);
    }
    if (s != STATUS_OK)
        return s;
    count(a->n_commits, 1);
    count(a->n_records, applied_idx - a->applied_idx);
    a->applied_idx = applied_idx;
    a->content_idx = applied_idx;
    atomic_store_explicit(&a->options.shared->view_idx, applied_idx, memory_order_release);
    for (int i = 0; i < ARCHIVE_WAKES; i++) {
        if (a->options.wake[i])
            parker_wake(a->options.wake[i]);
    }
    return STATUS_OK;
}

/* ---- the role ---- */

static bool has_content(struct archive *a)
{
    struct ring_record m;
    if (!a->options.link || (a->is_content_blocked && a->content_idx == a->applied_idx))
        return false;
    return ring_peek(&a->options.link->rx, &m) != STATUS_END;
}

static void fail(struct archive *a, enum status s)
{
    say(SAY_ERROR, "shard %u: the log can't be carried into the view: %s (%s)",
        a->options.log.shard, status_name(s), status_hint(s));
    atomic_store_explicit(&a->options.shared->failed, (uint32_t)s, memory_order_release);
    for (int i = 0; i < ARCHIVE_WAKES; i++) {
        if (a->options.wake[i])
            parker_wake(a->options.wake[i]);
    }
}

/* A full disk: nothing of the transaction stands; from the view's end on, later. */
static void wait_for_room(struct archive *a, uint64_t now_ns)
{
    if (a->retry_ns == 0)
        say(SAY_WARN, "shard %u: no space for the view; the log keeps what it lacks",
            a->options.log.shard);
    count(a->n_retries, 1);
    a->retry_ns = now_ns + ARCHIVE_RETRY_NS;
    enum status s = reset_cursor(a);
    if (s != STATUS_OK)
        fail(a, s);
}

static unsigned archive_poll(void *self, uint64_t now_ns)
{
    struct archive *a = self;
    struct archive_shared *shared = a->options.shared;
    if (atomic_load_explicit(&shared->failed, memory_order_relaxed) || now_ns < a->retry_ns)
        return 0;
    uint64_t durable_idx = atomic_load_explicit(&shared->durable_idx, memory_order_acquire);
    uint64_t hurry_idx = atomic_load_explicit(&shared->hurry_idx, memory_order_acquire);
    uint64_t n_waiting = durable_idx - a->applied_idx;
    if (n_waiting == 0 && !has_content(a)) {
        a->since_ns = 0;
        return 0;
    }
    if (a->since_ns == 0)
        a->since_ns = now_ns ? now_ns : 1;
    bool is_hurried = hurry_idx > a->applied_idx && n_waiting > 0;
    bool is_enough = n_waiting * a->record_bytes >= a->options.batch_bytes_max;
    if (!is_hurried && !is_enough && now_ns - a->since_ns < a->options.delay_ns_max)
        return 0;
    enum status s = run_batch(a, durable_idx);
    a->since_ns = 0;
    if (s == STATUS_NO_ROOM) {
        wait_for_room(a, now_ns);
        return 1;
    }
    if (s != STATUS_OK) {
        fail(a, s);
        return 1;
    }
    if (a->retry_ns)
        say(SAY_INFO, "shard %u: there is space for the view again", a->options.log.shard);
    a->retry_ns = 0;
    return 1;
}

static uint64_t archive_deadline(void *self)
{
    struct archive *a = self;
    if (a->retry_ns)
        return a->retry_ns;
    return a->since_ns ? a->since_ns + a->options.delay_ns_max : UINT64_MAX;
}

struct role archive_role(struct archive *a)
{
    return (struct role){
        .name = "archive", .self = a, .poll = archive_poll, .deadline_ns = archive_deadline};
}

enum status archive_run_to(struct archive *a, uint64_t idx)
{
    enum status s = STATUS_OK;
    while (a->applied_idx < idx && s == STATUS_OK) {
        uint64_t before_idx = a->applied_idx;
        s = run_batch(a, idx);
        if (s == STATUS_OK && a->applied_idx == before_idx)
            s = STATUS_CORRUPT;
    }
    return s;
}
