/*
 * The log and the archive on threads of their own, on real files that are recycled all the time:
 * the archive reads what the log has just written, the log gives up what the archive has stored.
 * Prints one line; exits 1 where the view's end is not the log's.
 */
#include "base/clock.h"
#include "base/say.h"
#include "store/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_DOCS 20
#define N_OPS  200000

static char dir[64];
static char view_dir[80];
static struct archive_shared shared;
static uint64_t versions[N_DOCS + 1];
static uint64_t hashes[N_DOCS + 1];

static const struct log_options log_options = {.segment_bytes = 1u << 20,
                                               .segments_max = 6,
                                               .group_bytes_max = 128u << 10,
                                               .record_bytes_max = 64u << 10};

static void step(struct log *l, struct disk_uring *ring, struct parker *archive)
{
    enum status s = STATUS_OK;
    if (log_poll(l, &s) == 0)
        disk_uring_wait(ring, NS_PER_MS);
    check_cmp(s, ==, STATUS_OK);
    atomic_store_explicit(&shared.durable_idx, log_durable(l), memory_order_release);
    parker_wake(archive);
    log_release(l, atomic_load_explicit(&shared.view_idx, memory_order_acquire));
}

static uint8_t *claim(struct log *l, struct disk_uring *ring, struct parker *archive, size_t n)
{
    while (log_room(l, n) != STATUS_OK)
        step(l, ring, archive);
    return log_claim(l, n);
}

static void log_create(struct log *l, struct disk_uring *ring, struct parker *archive,
                       uint64_t docnum)
{
    char id[16];
    snprintf(id, sizeof id, "doc-%u", (unsigned)docnum);
    struct record_create r = {
        .docnum = docnum, .doc_id = bytes_str(id), .owner = BYTES_LIT("ann"), .unix_ms = 1};
    r.hash = hashes[docnum] = record_hash_create(r.type, r.content);
    size_t n = record_create_bytes(&r);
    struct writer w = writer_of(claim(l, ring, archive, n), n);
    record_write_create(&w, &r);
    check(w.ok);
    (void)log_commit(l, RECORD_CREATE, n);
}

static void log_op(struct log *l, struct disk_uring *ring, struct parker *archive, uint64_t docnum)
{
    struct record_ops r = {.docnum = docnum,
                           .first_version = ++versions[docnum],
                           .n_ops = 1,
                           .user = BYTES_LIT("ann"),
                           .client = BYTES_LIT("c")};
    struct record_op op = {.seq = versions[docnum], .op = BYTES_LIT("some bytes of an op")};
    op.hash = hashes[docnum] = record_hash_op(hashes[docnum], op.op, r.user, r.client, op.seq);
    size_t n = record_ops_head_bytes(&r) + record_op_bytes(&op);
    struct writer w = writer_of(claim(l, ring, archive, n), n);
    record_write_ops_head(&w, &r);
    record_write_op(&w, &op);
    check(w.ok);
    (void)log_commit(l, RECORD_OPS, n);
}

static int compare(struct view *view)
{
    struct view_read *r;
    int rc = 0;
    check(view_read_begin(view, &r) == STATUS_OK);
    for (uint64_t d = 1; d <= N_DOCS; d++) {
        struct view_doc doc;
        if (view_doc_get(r, d, &doc) != STATUS_OK || doc.version != versions[d] ||
            doc.hash != hashes[d])
            rc = 1;
    }
    view_read_end(r);
    return rc;
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/log_archive-XXXXXX", tmp ? tmp : "/tmp");
    check(mkdtemp(dir) != NULL);
    snprintf(view_dir, sizeof view_dir, "%s/view", dir);
    check(mkdir(view_dir, 0700) == 0);

    static struct thread thread;
    struct parker own;
    struct disk_uring *ring;
    struct disk disk, reads;
    struct view *view;
    struct log *l;
    struct archive *archive;
    struct view_options vo = {.dir = view_dir, .map_bytes = 1u << 28, .n_shards = 1};
    check(parker_init(&own) == STATUS_OK);
    check(disk_uring_open(&ring, own.event_fd) == STATUS_OK);
    check(disk_uring_dir(ring, dir, &disk) == STATUS_OK);
    check(disk_uring_dir(NULL, dir, &reads) == STATUS_OK);
    check(view_open(&view, &vo) == STATUS_OK);
    check(log_open(&l, disk, &log_options) == STATUS_OK);
    check(thread_init(&thread, "archive", -1, IDLE_PARK) == STATUS_OK);
    struct archive_options ao = {.log = log_options,
                                 .view = view,
                                 .shared = &shared,
                                 .wake = {&own},
                                 .delay_ns_max = NS_PER_MS,
                                 .batch_bytes_max = 256u << 10};
    check(archive_open(&archive, reads, &ao) == STATUS_OK);
    thread_add(&thread, archive_role(archive));
    check(thread_start(&thread) == STATUS_OK);

    for (uint64_t d = 1; d <= N_DOCS; d++)
        log_create(l, ring, &thread.parker, d);
    for (unsigned i = 0; i < N_OPS; i++) {
        log_op(l, ring, &thread.parker, 1 + i * 7 % N_DOCS);
        if (i % 100 == 0)
            step(l, ring, &thread.parker);
    }
    while (atomic_load(&shared.view_idx) < log_last(l) && atomic_load(&shared.failed) == 0)
        step(l, ring, &thread.parker);
    thread_stop(&thread);
    int rc = atomic_load(&shared.failed) || compare(view);
    printf("log_archive: %llu records, %s\n", (unsigned long long)log_last(l),
           rc ? "the view is not the log" : "the view is the log");
    archive_close(archive);
    log_close(l);
    view_close(view);
    disk_uring_dir_close(reads);
    disk_uring_dir_close(disk);
    disk_uring_close(ring);
    thread_fini(&thread);
    parker_fini(&own);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    (void)!system(command);
    return rc;
}
