#include "store/archive.h"
#include "tests/support/memory_disk.h"

#include <criterion/criterion.h>
#include <unistd.h>

#define MS 1000000ull

static const struct log_options log_options = {.segment_bytes = 128u << 10,
                                               .segments_max = 16,
                                               .group_bytes_max = 64u << 10,
                                               .record_bytes_max = 32u << 10,
                                               .log_id = 99};

static char dir[64];
static struct memory_disk *memory;
static struct disk disk;
static struct view *view;
static struct log *logs;
static struct archive *archive;
static struct archive_shared shared;
static struct link content_link;
static struct parker parkers[2];
static struct role role;
static uint64_t version, hash;

static void open_all(uint64_t map_bytes)
{
    struct view_options vo = {.dir = dir, .map_bytes = map_bytes, .n_shards = 1};
    cr_assert_eq(view_open(&view, &vo), STATUS_OK);
    struct log_options lo = log_options;
    lo.view_idx = view_index(view);
    cr_assert_eq(log_open(&logs, disk, &lo), STATUS_OK, "%s", log_failure(NULL));
    atomic_store(&shared.durable_idx, log_durable(logs));
    struct archive_options ao = {.log = lo,
                                 .view = view,
                                 .shared = &shared,
                                 .link = &content_link.b,
                                 .wake = {&parkers[0]},
                                 .delay_ns_max = 100 * MS,
                                 .batch_bytes_max = 64u << 10};
    cr_assert_eq(archive_open(&archive, disk, &ao), STATUS_OK);
    role = archive_role(archive);
}

static void close_all(void)
{
    archive_close(archive);
    log_close(logs);
    view_close(view);
}

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/archive-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(dir));
    memory = memory_disk_new(16u << 20);
    disk = memory_disk_interface(memory);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(parker_init(&parkers[i]), STATUS_OK);
    cr_assert_eq(link_open(&content_link, 1u << 16, 1u << 16, &parkers[0], &parkers[1]), STATUS_OK);
    open_all(1u << 28);
}

static void teardown(void)
{
    char command[96];
    close_all();
    link_close(&content_link);
    for (int i = 0; i < 2; i++)
        parker_fini(&parkers[i]);
    memory_disk_free(memory);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    (void)!system(command);
}

TestSuite(archive, .init = setup, .fini = teardown, .timeout = 60);

static uint8_t *claim(size_t n)
{
    enum status s;
    while ((s = log_room(logs, n)) == STATUS_NO_ROOM) {
        enum status ended = STATUS_OK;
        (void)log_poll(logs, &ended);
        cr_assert_eq(ended, STATUS_OK);
    }
    cr_assert_eq(s, STATUS_OK);
    return log_claim(logs, n);
}

static void log_create(void)
{
    struct record_create r = {
        .docnum = 1, .doc_id = BYTES_LIT("d"), .owner = BYTES_LIT("ann"), .unix_ms = 5};
    r.hash = hash = record_hash_create(r.type, r.content);
    version = 0;
    size_t n = record_create_bytes(&r);
    struct writer w = writer_of(claim(n), n);
    record_write_create(&w, &r);
    cr_assert(w.ok && writer_n(&w) == n);
    (void)log_commit(logs, RECORD_CREATE, n);
}

static void log_op(void)
{
    struct record_ops r = {.docnum = 1,
                           .first_version = version + 1,
                           .n_ops = 1,
                           .user = BYTES_LIT("ann"),
                           .client = BYTES_LIT("c")};
    struct record_op op = {.seq = version + 1,
                           .op = BYTES_LIT("an op of forty bytes, so it takes room!!")};
    op.hash = hash = record_hash_op(hash, op.op, r.user, r.client, op.seq);
    size_t n = record_ops_head_bytes(&r) + record_op_bytes(&op);
    struct writer w = writer_of(claim(n), n);
    record_write_ops_head(&w, &r);
    record_write_op(&w, &op);
    cr_assert(w.ok && writer_n(&w) == n);
    (void)log_commit(logs, RECORD_OPS, n);
    version++;
}

static void make_durable(void)
{
    enum status s = STATUS_OK;
    while (log_durable(logs) < log_last(logs))
        (void)log_poll(logs, &s);
    cr_assert_eq(s, STATUS_OK);
    atomic_store(&shared.durable_idx, log_durable(logs));
}

static uint64_t view_version(uint64_t *content_version)
{
    struct view_read *r;
    struct view_doc d;
    cr_assert_eq(view_read_begin(view, &r), STATUS_OK);
    cr_assert_eq(view_doc_get(r, 1, &d), STATUS_OK);
    cr_assert_eq(d.hash, hash);
    if (content_version)
        *content_version = d.content_version;
    view_read_end(r);
    return d.version;
}

Test(archive, commits_after_the_delay_or_at_once_when_hurried)
{
    uint64_t now = 1000 * MS;
    log_create();
    make_durable();
    cr_assert_eq(role.poll(role.self, now), 0);
    cr_assert_eq(role.deadline_ns(role.self), now + 100 * MS);
    cr_assert_eq(role.poll(role.self, now + 99 * MS), 0);
    cr_assert_eq(role.poll(role.self, now + 100 * MS), 1);
    cr_assert_eq(atomic_load(&shared.view_idx), log_durable(logs));
    cr_assert_eq(role.deadline_ns(role.self), UINT64_MAX);
    cr_assert_eq(role.poll(role.self, now + 900 * MS), 0);
    log_op();
    atomic_store(&shared.hurry_idx, log_last(logs)); /* hurried before it is durable: not yet */
    cr_assert_eq(role.poll(role.self, now + 901 * MS), 0);
    make_durable();
    cr_assert_eq(role.poll(role.self, now + 901 * MS), 1);
    cr_assert_eq(atomic_load(&shared.view_idx), log_last(logs));
    cr_assert_eq(view_version(NULL), 1);
}

Test(archive, a_large_backlog_goes_in_batches_without_waiting)
{
    log_create();
    for (int i = 0; i < 5000; i++)
        log_op();
    make_durable();
    unsigned n = 0;
    while (atomic_load(&shared.view_idx) < log_last(logs)) {
        uint64_t before = atomic_load(&shared.view_idx);
        uint64_t now = n < 4 ? MS : n * 1000 * MS; /* the last part of it is no full batch */
        if (role.poll(role.self, now))
            cr_assert_gt(atomic_load(&shared.view_idx), before);
        n++;
    }
    cr_assert(n > 4 && n < 50);
    cr_assert_eq(view_version(NULL), 5000);
}

Test(archive, goes_on_where_the_view_ended_after_a_restart_and_segments_are_given_up)
{
    log_create();
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 300; i++)
            log_op();
        make_durable();
        if (round % 3) {
            while (role.poll(role.self, (uint64_t)round * 10000 * MS + 1) ||
                   role.poll(role.self, (uint64_t)round * 10000 * MS + 5000 * MS))
                ;
            log_release(logs, atomic_load(&shared.view_idx));
        }
        if (round % 5 == 4) {
            close_all();
            open_all(1u << 28);
            cr_assert_eq(archive_run_to(archive, log_durable(logs)), STATUS_OK);
            cr_assert_eq(view_index(view), log_durable(logs));
            cr_assert_eq(view_version(NULL), version);
        }
    }
    cr_assert_gt(memory->n_renames, 3);
}

static void send_content(uint64_t at, const char *text)
{
    struct ring_tx *tx = &content_link.a.tx;
    uint8_t *p = ring_claim(tx, 16 + strlen(text));
    cr_assert_not_null(p);
    uint64_t head[2] = {1, at};
    memcpy(p, head, sizeof head);
    memcpy(p + sizeof head, text, strlen(text));
    ring_commit(tx, ARCHIVE_CONTENT, 16 + strlen(text));
    link_flush(&content_link.a);
}

Test(archive, a_snapshot_waits_for_its_version)
{
    uint64_t at;
    log_create();
    log_op();
    make_durable();
    send_content(2, "two");
    (void)role.poll(role.self, MS);
    cr_assert_eq(role.poll(role.self, 200 * MS), 1);
    cr_assert_eq(view_version(&at), 1);
    cr_assert_eq(at, 0);
    for (uint64_t i = 0; i < 5; i++) /* nothing to do but wait: no empty transactions */
        cr_assert_eq(role.poll(role.self, (300 + 200 * i) * MS), 0);
    log_op();
    make_durable();
    (void)role.poll(role.self, 2000 * MS);
    cr_assert_eq(role.poll(role.self, 2200 * MS), 1);
    cr_assert_eq(view_version(&at), 2);
    cr_assert_eq(at, 2);
    send_content(2, "two again, with nothing in the log to carry it");
    (void)role.poll(role.self, 3000 * MS);
    cr_assert_eq(role.poll(role.self, 3200 * MS), 1);
    cr_assert_eq(role.poll(role.self, 4000 * MS), 0);
}

Test(archive, a_record_that_contradicts_the_view_stops_it)
{
    log_create();
    hash++;
    log_op();
    make_durable();
    (void)role.poll(role.self, MS);
    (void)role.poll(role.self, 200 * MS);
    cr_assert_eq(atomic_load(&shared.failed), STATUS_CORRUPT);
    cr_assert_eq(atomic_load(&shared.view_idx), 0);
    cr_assert_eq(role.poll(role.self, 400 * MS), 0);
}

Test(archive, a_damaged_group_stops_it)
{
    log_create();
    make_durable();
    struct memory_file *f = memory_find(memory, "log-0000000000000001");
    cr_assert_not_null(f);
    if (f)
        f->at[130] ^= 4;
    (void)role.poll(role.self, MS);
    (void)role.poll(role.self, 200 * MS);
    cr_assert_eq(atomic_load(&shared.failed), STATUS_CORRUPT);
}

Test(archive, without_space_it_waits_and_goes_on_once_there_is_some)
{
    close_all();
    open_all(192u << 10);
    log_create();
    make_durable();
    cr_assert_eq(archive_run_to(archive, log_durable(logs)), STATUS_OK);
    for (int i = 0; i < 9000; i++)
        log_op();
    make_durable();
    uint64_t now = MS;
    for (int i = 0; i < 40; i++)
        (void)role.poll(role.self, now += 150 * MS);
    uint64_t stuck = atomic_load(&shared.view_idx);
    cr_assert_lt(stuck, log_last(logs));
    cr_assert_eq(atomic_load(&shared.failed), STATUS_OK);
    cr_assert_gt(role.deadline_ns(role.self), now);
    close_all();
    open_all(1u << 28);
    cr_assert_eq(archive_run_to(archive, log_durable(logs)), STATUS_OK);
    cr_assert_eq(view_version(NULL), 9000);
}
