#include "store/log.h"
#include "store/segment.h"
#include "tests/support/memory_disk.h"

#include <criterion/criterion.h>

#define SEGMENT_BYTES (16u << 10)

static const struct log_options small = {.shard = 3,
                                         .segment_bytes = SEGMENT_BYTES,
                                         .segments_max = 8,
                                         .group_bytes_max = 8u << 10,
                                         .record_bytes_max = 4u << 10,
                                         .log_id = 0x1234567};

/* Record `idx` has bytes that anybody can check. */
static size_t make_payload(uint64_t idx, uint8_t *out)
{
    size_t n = (size_t)(idx * 7919 % 301);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(idx * 31 + i);
    return n;
}

static bool is_payload(uint64_t idx, struct bytes b)
{
    uint8_t want[512];
    return bytes_eq(b, bytes_of(want, make_payload(idx, want)));
}

static enum status append(struct log *l, uint64_t *idx)
{
    uint8_t buf[512];
    size_t n = make_payload(log_last(l) + 1, buf);
    enum status s = log_room(l, n);
    if (s != STATUS_OK)
        return s;
    uint8_t *p = log_claim(l, n);
    if (n)
        memcpy(p, buf, n);
    *idx = log_commit(l, RECORD_OPS, n);
    return STATUS_OK;
}

static void poll_until_durable(struct log *l, struct disk disk)
{
    enum status s = STATUS_OK;
    while (log_durable(l) < log_last(l)) {
        (void)log_poll(l, &s);
        cr_assert_eq(s, STATUS_OK);
        disk.ops->wait(disk.self, 1000000);
    }
}

static void append_groups(struct log *l, struct disk disk, unsigned n_groups, unsigned per_group)
{
    for (unsigned g = 0; g < n_groups; g++) {
        for (unsigned i = 0; i < per_group; i++) {
            uint64_t idx;
            enum status s = append(l, &idx), ended = STATUS_OK;
            for (int tries = 0; s == STATUS_NO_ROOM && tries < 100; tries++) {
                (void)log_poll(l, &ended);
                disk.ops->wait(disk.self, 1000000);
                s = append(l, &idx);
            }
            cr_assert_eq(s, STATUS_OK, "%s", status_name(s));
        }
        poll_until_durable(l, disk);
    }
}

/* Reads all from `from`; the highest index, or 0 with *s. */
static uint64_t read_all(struct disk disk, const struct log_options *o, uint64_t from,
                         uint64_t durable, enum status *s)
{
    struct log_cursor *c;
    struct log_record r;
    uint64_t last = from - 1;
    cr_assert_eq(log_cursor_open(&c, disk, o, from), STATUS_OK);
    while ((*s = log_cursor_next(c, durable, &r)) == STATUS_OK) {
        cr_assert_eq(r.idx, last + 1);
        cr_assert(r.type == RECORD_NONE || (r.type == RECORD_OPS && is_payload(r.idx, r.payload)));
        last = r.idx;
    }
    log_cursor_close(c);
    return last;
}

/* Opens what is on a disk; how far it goes, or the status. */
static enum status reopen(struct memory_disk *m, uint64_t view_idx, uint64_t *last)
{
    struct log *l;
    struct log_options o = small;
    o.view_idx = view_idx;
    enum status s = log_open(&l, memory_disk_interface(m), &o);
    if (s != STATUS_OK)
        return s;
    *last = log_durable(l);
    enum status end;
    cr_assert_eq(read_all(memory_disk_interface(m), &o, view_idx + 1, *last, &end), *last);
    cr_assert_eq(end, STATUS_END);
    log_close(l);
    return STATUS_OK;
}

Test(log, what_was_appended_comes_back_after_each_of_many_starts)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    uint64_t last = 0;
    struct log_options o = small;
    o.segments_max = 30;
    for (int round = 0; round < 20; round++) {
        struct log *l;
        cr_assert_eq(log_open(&l, disk, &o), STATUS_OK, "%s", log_failure(NULL));
        cr_assert_eq(log_durable(l), last);
        append_groups(l, disk, 1, (unsigned)round);
        last = log_durable(l);
        log_close(l);
    }
    enum status s;
    cr_assert_eq(read_all(disk, &small, 1, last, &s), last);
    cr_assert_eq(s, STATUS_END);
    cr_assert_eq(read_all(disk, &small, 50, last, &s), last);
    cr_assert_eq(read_all(disk, &small, 1, LOG_TO_END, &s), last);
    cr_assert_eq(s, STATUS_END);
    memory_disk_free(m);
}

Test(log, a_record_that_nobody_was_told_of_is_dropped_by_close)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    uint64_t idx, last = 0;
    cr_assert_eq(log_open(&l, disk, &small), STATUS_OK);
    append_groups(l, disk, 2, 2);
    uint64_t durable = log_durable(l);
    cr_assert_eq(append(l, &idx), STATUS_OK);
    log_close(l);
    cr_assert_eq(reopen(m, 0, &last), STATUS_OK);
    cr_assert_eq(last, durable);
    memory_disk_free(m);
}

/* A crash in the middle of a write leaves any of its sectors: what was durable before is there,
 * what is there beyond it is whole, and the log goes on. */
static void crash_in_write(unsigned n_before, unsigned n_torn, uint64_t mask)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    uint64_t idx, last = 0;
    enum status s = STATUS_OK;
    cr_assert_eq(log_open(&l, disk, &small), STATUS_OK);
    append_groups(l, disk, n_before, 9);
    for (int i = 0; i < 8; i++) /* no file job is left */
        (void)log_poll(l, &s);
    uint64_t durable = log_durable(l);
    m->is_holding = true;
    for (unsigned i = 0; i < n_torn; i++)
        cr_assert_eq(append(l, &idx), STATUS_OK);
    (void)log_poll(l, &s);
    cr_assert_geq(m->n_jobs, 1);
    cr_assert_eq(m->jobs[0].kind, 'w');
    struct memory_disk *after = memory_disk_copy(m);
    (void)memory_carry_out(after, &m->jobs[0], mask, NULL);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(reopen(after, 0, &last), STATUS_OK, "mask %llx: %s", (unsigned long long)mask,
                     log_failure(NULL));
        cr_assert_geq(last, durable);
        cr_assert_leq(last, durable + n_torn);
        if (mask == UINT64_MAX)
            cr_assert_eq(last, durable + n_torn);
        /* And goes on, and is found again. */
        struct log *next;
        cr_assert_eq(log_open(&next, memory_disk_interface(after), &small), STATUS_OK);
        append_groups(next, memory_disk_interface(after), 1, 3);
        durable = log_durable(next);
        n_torn = 0;
        mask = 0;
        log_close(next);
    }
    m->is_holding = false;
    log_close(l);
    memory_disk_free(after);
    memory_disk_free(m);
}

Test(log, a_write_torn_at_any_sectors_is_cut_and_what_was_durable_stays)
{
    for (uint64_t mask = 0; mask < 256; mask++)
        crash_in_write(2, 3, mask);
    for (unsigned before = 0; before < 12; before++) { /* also where it opens a new segment */
        for (unsigned i = 0; i <= 16; i++) {
            crash_in_write(before, 30, (1ull << i) - 1);
            crash_in_write(before, 30, ~(1ull << i));
            crash_in_write(before, 30, ~1ull & (0x5bd1e995ull * (i + 1)));
        }
        crash_in_write(before, 30, UINT64_MAX);
    }
}

static struct memory_disk *disk_with_log(unsigned n_groups, uint64_t *last)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    cr_assert_eq(log_open(&l, disk, &small), STATUS_OK);
    append_groups(l, disk, n_groups, 7);
    *last = log_durable(l);
    log_close(l);
    return m;
}

static void must_be_seen_or_harmless(struct memory_disk *m, uint64_t view_idx, uint64_t want,
                                     const char *what, uint64_t at)
{
    uint64_t last = 0;
    enum status s = reopen(m, view_idx, &last);
    if (s == STATUS_OK)
        cr_assert_eq(last, want, "%s at %llu: %llu of %llu records are left", what,
                     (unsigned long long)at, (unsigned long long)last, (unsigned long long)want);
    else
        cr_assert(s == STATUS_CORRUPT || s == STATUS_FORMAT, "%s", status_name(s));
}

Test(log, every_flipped_bit_of_a_closed_log_is_detected_or_harmless, .timeout = 120)
{
    uint64_t want;
    struct memory_disk *m = disk_with_log(9, &want);
    for (int i = 0; i < MEMORY_DISK_FILES; i++) {
        struct memory_file *f = &m->files[i];
        for (uint64_t bit = 0; f->is_there && bit < f->bytes * 8;
             bit += bit % 32768 < 1100 ? 1 : 61) {
            struct memory_disk *copy = memory_disk_copy(m);
            copy->files[i].at[bit / 8] ^= (uint8_t)(1u << bit % 8);
            must_be_seen_or_harmless(copy, 0, want, f->name, bit);
            memory_disk_free(copy);
        }
    }
    memory_disk_free(m);
}

Test(log, sectors_zeroed_swapped_or_doubled_are_detected_or_harmless)
{
    uint64_t want;
    struct memory_disk *m = disk_with_log(9, &want);
    for (int i = 0; i < MEMORY_DISK_FILES; i++) {
        uint64_t n = m->files[i].is_there ? m->files[i].bytes / DISK_SECTOR : 0;
        for (uint64_t a = 0; a < n; a++) {
            struct memory_disk *copy = memory_disk_copy(m);
            memset(copy->files[i].at + a * DISK_SECTOR, 0, DISK_SECTOR);
            must_be_seen_or_harmless(copy, 0, want, "zeroed", a);
            memory_disk_free(copy);
            for (uint64_t b = 0; b < n; b++) {
                copy = memory_disk_copy(m);
                memcpy(copy->files[i].at + a * DISK_SECTOR, m->files[i].at + b * DISK_SECTOR,
                       DISK_SECTOR);
                must_be_seen_or_harmless(copy, 0, want, "doubled", a);
                memcpy(copy->files[i].at + b * DISK_SECTOR, m->files[i].at + a * DISK_SECTOR,
                       DISK_SECTOR);
                must_be_seen_or_harmless(copy, 0, want, "swapped", a);
                memory_disk_free(copy);
            }
        }
    }
    memory_disk_free(m);
}

Test(log, a_file_cut_short_missing_or_swapped_is_detected)
{
    uint64_t want, last;
    struct memory_disk *m = disk_with_log(9, &want);
    int used[2] = {-1, -1};
    for (int i = 0; i < MEMORY_DISK_FILES; i++) {
        if (!m->files[i].is_there)
            continue;
        for (uint64_t bytes = 0; bytes<m->files[i].bytes; bytes += bytes % 4096> 200 ? 97 : 1) {
            struct memory_disk *copy = memory_disk_copy(m);
            copy->files[i].bytes = bytes;
            cr_assert_eq(reopen(copy, 0, &last), STATUS_CORRUPT);
            memory_disk_free(copy);
        }
        struct segment_group head;
        if (segment_group_read(bytes_of(m->files[i].at, SEGMENT_BLOCK), &head) != STATUS_OK)
            continue;
        used[used[0] >= 0] = i;
        struct memory_disk *copy = memory_disk_copy(m);
        copy->files[i].is_there = false;
        cr_assert_eq(reopen(copy, 0, &last), STATUS_CORRUPT);
        memory_disk_free(copy);
    }
    cr_assert_geq(used[1], 0);
    char name[DISK_NAME_BYTES];
    memcpy(name, m->files[used[0]].name, sizeof name);
    memcpy(m->files[used[0]].name, m->files[used[1]].name, sizeof name);
    memcpy(m->files[used[1]].name, name, sizeof name);
    cr_assert_eq(reopen(m, 0, &last), STATUS_CORRUPT);
    memory_disk_free(m);
}

Test(log, a_damaged_record_is_named_and_one_below_the_view_can_not_be_cut)
{
    uint64_t want, last;
    struct memory_disk *m = disk_with_log(9, &want);
    struct memory_file *f = memory_find(m, "log-0000000000000001");
    cr_assert_not_null(f);
    if (f)
        f->at[2 * SEGMENT_BLOCK + 200] ^= 1;
    cr_assert_eq(reopen(m, 0, &last), STATUS_CORRUPT);
    cr_assert(strstr(log_failure(NULL), "log-0000000000000001 offset 8192: record"), "%s",
              log_failure(NULL));
    memory_disk_free(m);
    m = disk_with_log(1, &want);
    cr_assert_eq(reopen(m, want + 1, &last), STATUS_CORRUPT);
    cr_assert(strstr(log_failure(NULL), "the view"), "%s", log_failure(NULL));
    memory_disk_free(m);
    m = memory_disk_new(1 << 20);
    cr_assert_eq(reopen(m, 5, &last), STATUS_CORRUPT);
    memory_disk_free(m);
}

Test(log, another_shards_file_and_a_newer_format_are_refused)
{
    uint64_t want;
    struct memory_disk *m = disk_with_log(1, &want);
    struct log_options other = small;
    struct log *l;
    other.shard = 4;
    cr_assert_eq(log_open(&l, memory_disk_interface(m), &other), STATUS_FORMAT);
    memory_disk_free(m);
}

Test(log, segments_are_recycled_and_their_earlier_life_is_never_taken_for_records)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    struct log_options o = small;
    cr_assert_eq(log_open(&l, disk, &o), STATUS_OK);
    uint64_t released = 0;
    for (int round = 0; round < 300; round++) {
        append_groups(l, disk, 1, (unsigned)(round % 20) + 1);
        if (round % 7 == 6) {
            released = log_durable(l) - 5;
            log_release(l, released);
        }
        if (round % 50 == 49) {
            uint64_t want = log_durable(l), last = 0;
            struct memory_disk *crashed = memory_disk_copy(m);
            cr_assert_eq(reopen(crashed, released, &last), STATUS_OK, "%s", log_failure(NULL));
            cr_assert_eq(last, want);
            memory_disk_free(crashed);
        }
    }
    cr_assert_leq(m->n_makes, 8);
    cr_assert_geq(m->n_renames, 50);
    enum status s;
    cr_assert_eq(read_all(disk, &o, released + 1, log_durable(l), &s), log_durable(l));
    /* What was given up is missed, not made up. */
    read_all(disk, &o, 1, log_durable(l), &s);
    cr_assert_eq(s, STATUS_CORRUPT);
    log_close(l);
    memory_disk_free(m);
}

Test(log, without_a_release_it_stops_at_segments_max_and_goes_on_after_it)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    uint64_t idx;
    enum status s;
    cr_assert_eq(log_open(&l, disk, &small), STATUS_OK);
    while ((s = append(l, &idx)) == STATUS_OK)
        poll_until_durable(l, disk);
    cr_assert_eq(s, STATUS_NO_ROOM);
    cr_assert_eq(m->n_makes, small.segments_max);
    log_release(l, log_durable(l));
    s = STATUS_OK;
    (void)log_poll(l, &s);
    (void)log_poll(l, &s);
    append_groups(l, disk, 30, 2);
    log_close(l);
    memory_disk_free(m);
}

Test(log, a_full_disk_refuses_and_editing_goes_on_once_there_is_room)
{
    struct memory_disk *m = memory_disk_new(3 * SEGMENT_BYTES);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    uint64_t idx;
    enum status s;
    cr_assert_eq(log_open(&l, disk, &small), STATUS_OK);
    while ((s = append(l, &idx)) == STATUS_OK)
        poll_until_durable(l, disk);
    cr_assert_eq(s, STATUS_UNAVAILABLE);
    unsigned n_makes = m->n_makes;
    for (int i = 0; i < 100; i++) { /* nobody asks, nothing is tried */
        s = STATUS_OK;
        (void)log_poll(l, &s);
    }
    cr_assert_leq(m->n_makes, n_makes + 1);
    m->space_bytes = 10 * SEGMENT_BYTES;
    cr_assert_eq(append(l, &idx), STATUS_UNAVAILABLE);
    for (int i = 0; i < 4; i++)
        (void)log_poll(l, &s);
    append_groups(l, disk, 10, 2);
    uint64_t want = log_durable(l), last = 0;
    log_close(l);
    cr_assert_eq(reopen(m, 0, &last), STATUS_OK);
    cr_assert_eq(last, want);
    memory_disk_free(m);
}

Test(log, a_failed_write_is_reported_and_nothing_after_it_becomes_durable)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    uint64_t idx;
    enum status s = STATUS_OK;
    cr_assert_eq(log_open(&l, disk, &small), STATUS_OK);
    append_groups(l, disk, 2, 2);
    uint64_t durable = log_durable(l);
    cr_assert_eq(append(l, &idx), STATUS_OK);
    m->is_failing = true;
    (void)log_poll(l, &s);
    (void)log_poll(l, &s);
    cr_assert_eq(s, STATUS_IO);
    m->is_failing = false;
    for (int i = 0; i < 5; i++) {
        s = STATUS_OK;
        (void)log_poll(l, &s);
        cr_assert_eq(s, STATUS_IO);
    }
    cr_assert_eq(log_durable(l), durable);
    log_close(l);
    memory_disk_free(m);
}

Test(log, a_cursor_follows_a_log_that_is_written_and_recycled)
{
    struct memory_disk *m = memory_disk_new(1 << 20);
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    struct log_cursor *c;
    struct log_record r;
    uint64_t seen = 0;
    cr_assert_eq(log_cursor_open(&c, disk, &small, 1), STATUS_OK);
    cr_assert_eq(log_cursor_next(c, 0, &r), STATUS_END);
    cr_assert_eq(log_open(&l, disk, &small), STATUS_OK);
    for (int round = 0; round < 400; round++) {
        append_groups(l, disk, 1, (unsigned)(round % 13) + 1);
        enum status s;
        while ((s = log_cursor_next(c, log_durable(l) - round % 3, &r)) == STATUS_OK) {
            cr_assert_eq(r.idx, ++seen);
            cr_assert(r.type == RECORD_NONE || is_payload(r.idx, r.payload));
        }
        cr_assert_eq(s, STATUS_END, "%s", log_failure(NULL));
        log_release(l, seen);
    }
    cr_assert_geq(m->n_renames, 50);
    log_cursor_close(c);
    log_close(l);
    memory_disk_free(m);
}

Test(log, another_segment_size_takes_over_from_the_next_segment_on)
{
    uint64_t want, last;
    struct memory_disk *m = disk_with_log(9, &want);
    struct log_options o = small;
    struct log *l;
    o.segment_bytes = 32u << 10;
    cr_assert_eq(log_open(&l, memory_disk_interface(m), &o), STATUS_OK, "%s", log_failure(NULL));
    cr_assert_eq(log_durable(l), want);
    append_groups(l, memory_disk_interface(m), 12, 9);
    last = log_durable(l);
    log_close(l);
    enum status s;
    cr_assert_eq(read_all(memory_disk_interface(m), &o, 1, last, &s), last);
    memory_disk_free(m);
}

/* One life of a log, ended by a crash: whatever was under way is done, half done or not at all. */
static uint64_t live_and_crash(struct memory_disk **disk_at, uint64_t *released, uint64_t *acked)
{
    struct memory_disk *m = *disk_at;
    struct disk disk = memory_disk_interface(m);
    struct log_options o = small;
    struct log *l;
    uint64_t idx, found;
    o.view_idx = *released;
    enum status s = log_open(&l, disk, &o);
    cr_assert_eq(s, STATUS_OK, "%s", log_failure(NULL));
    found = log_durable(l);
    cr_assert_geq(found, *acked);
    enum status end;
    cr_assert_eq(read_all(disk, &o, *released + 1, found, &end), found);
    for (int step = rand() % 120; step > 0; step--) {
        m->is_holding = rand() % 3 == 0;
        for (int n = rand() % 12; n > 0 && append(l, &idx) == STATUS_OK; n--)
            ;
        (void)log_poll(l, &s);
        cr_assert_eq(s, STATUS_OK);
        cr_assert_geq(log_durable(l), *acked);
        *acked = log_durable(l);
        if (rand() % 4 == 0 && *acked > found + 3) {
            uint64_t upto = *acked - (uint64_t)(rand() % 3);
            *released = upto > *released ? upto : *released;
            log_release(l, *released);
        }
        if (rand() % 8 == 0)
            log_seal(l);
    }
    struct memory_disk *after = memory_disk_copy(m);
    for (unsigned i = 0; i < m->n_jobs; i++) {
        int file;
        uint64_t mask = rand() % 4 == 0 ? UINT64_MAX : (uint64_t)rand() << 33 ^ (uint64_t)rand();
        if (m->jobs[i].kind == 'w' || rand() % 2)
            (void)memory_carry_out(after, &m->jobs[i], mask, &file);
        else if (m->jobs[i].kind == 'm')
            (void)memory_make_now(after, strcat(m->jobs[i].to, "~"), 4096, &file);
    }
    m->is_holding = false;
    m->is_failing = true; /* what this life still writes at its close is not seen again */
    log_close(l);
    memory_disk_free(m);
    *disk_at = after;
    return found;
}

Test(log, through_hundreds_of_crashes_nothing_acknowledged_is_lost, .timeout = 120)
{
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct memory_disk *m = memory_disk_new(1 << 20);
        uint64_t released = 0, acked = 0, before = 0;
        srand(seed);
        for (int life = 0; life < 25; life++) {
            uint64_t found = live_and_crash(&m, &released, &acked);
            cr_assert_geq(found, before);
            before = found;
        }
        memory_disk_free(m);
    }
}
