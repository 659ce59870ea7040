#include "store/disk.h"
#include "store/log.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/disk-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    (void)!system(command);
}

TestSuite(disk, .init = make_dir, .fini = remove_dir, .timeout = 60);

static struct disk_done wait_one(struct disk disk)
{
    struct disk_done done;
    while (disk.ops->poll(disk.self, &done, 1) == 0)
        disk.ops->wait(disk.self, UINT64_MAX);
    return done;
}

Test(disk, a_made_file_is_zeros_and_keeps_what_is_written)
{
    struct disk_uring *ring;
    struct disk disk;
    int token, file;
    uint64_t bytes;
    size_t n;
    uint8_t *buf = aligned_alloc(DISK_BLOCK, 4 * DISK_BLOCK);
    cr_assert_eq(disk_uring_open(&ring, -1), STATUS_OK);
    cr_assert_eq(disk_uring_dir(ring, dir, &disk), STATUS_OK);
    cr_assert_eq(disk.ops->open(disk.self, "a", &file, &bytes), STATUS_END);
    cr_assert_eq(disk.ops->make(disk.self, "a", 3u << 20, &token), STATUS_OK);
    struct disk_done done = wait_one(disk);
    cr_assert_eq(done.status, STATUS_OK);
    cr_assert_eq(done.token, &token);
    cr_assert_eq(disk.ops->offer(disk.self, buf, 4 * DISK_BLOCK), STATUS_OK);
    memset(buf, 'x', 4 * DISK_BLOCK);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(disk.ops->write(disk.self, done.file, (uint64_t)i * 2 * DISK_BLOCK,
                                     buf + (size_t)i * DISK_BLOCK, DISK_BLOCK, buf + i),
                     STATUS_OK);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(wait_one(disk).status, STATUS_OK);
    disk.ops->withdraw(disk.self, buf);
    disk.ops->close(disk.self, done.file);
    cr_assert_eq(disk.ops->rename(disk.self, "a", "b", &token), STATUS_OK);
    cr_assert_eq(wait_one(disk).status, STATUS_OK);
    cr_assert_eq(disk.ops->open(disk.self, "b", &file, &bytes), STATUS_OK);
    cr_assert_eq(bytes, 3u << 20);
    for (uint64_t at = 0; at < bytes; at += DISK_BLOCK) {
        uint8_t want = at < 8 * DISK_BLOCK && at / DISK_BLOCK % 2 == 0 ? 'x' : 0;
        cr_assert_eq(disk.ops->read(disk.self, file, at, buf, DISK_BLOCK, &n), STATUS_OK);
        cr_assert_eq(n, DISK_BLOCK);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(buf[i], want);
    }
    disk.ops->close(disk.self, file);
    cr_assert_eq(disk.ops->remove(disk.self, "b", &token), STATUS_OK);
    cr_assert_eq(wait_one(disk).status, STATUS_OK);
    cr_assert_eq(disk.ops->open(disk.self, "b", &file, &bytes), STATUS_END);
    cr_assert_eq(disk.ops->rename(disk.self, "b", "c", &token), STATUS_OK);
    cr_assert_eq(wait_one(disk).status, STATUS_IO);
    disk_uring_dir_close(disk);
    disk_uring_close(ring);
    free(buf);
}

Test(disk, too_many_jobs_and_a_disk_for_reading_refuse)
{
    struct disk_uring *ring;
    struct disk disk, reads;
    struct disk_done done;
    int token;
    cr_assert_eq(disk_uring_open(&ring, -1), STATUS_OK);
    cr_assert_eq(disk_uring_dir(ring, dir, &disk), STATUS_OK);
    cr_assert_eq(disk_uring_dir(NULL, dir, &reads), STATUS_OK);
    cr_assert_eq(reads.ops->make(reads.self, "a", 4096, &token), STATUS_USAGE);
    cr_assert_eq(reads.ops->poll(reads.self, &done, 1), 0);
    for (unsigned i = 0; i < DISK_JOBS_MAX; i++)
        cr_assert_eq(disk.ops->remove(disk.self, "nothing", &token), STATUS_OK);
    cr_assert_eq(disk.ops->remove(disk.self, "nothing", &token), STATUS_NO_ROOM);
    for (unsigned i = 0; i < DISK_JOBS_MAX; i++)
        (void)wait_one(disk);
    cr_assert_eq(disk.ops->poll(disk.self, &done, 1), 0);
    cr_assert_eq(disk.ops->make(disk.self, "big", 1ull << 50, &token), STATUS_OK);
    cr_assert_neq(wait_one(disk).status, STATUS_OK);
    uint64_t bytes;
    cr_assert_eq(disk.ops->open(disk.self, "big~", &token, &bytes), STATUS_END);
    disk_uring_dir_close(reads);
    disk_uring_dir_close(disk);
    disk_uring_close(ring);
}

static void *wake_later(void *fd)
{
    uint64_t one = 1;
    usleep(20000);
    (void)!write(*(int *)fd, &one, sizeof one);
    return NULL;
}

Test(disk, waiting_ends_by_event_fd_by_a_job_and_by_time)
{
    struct disk_uring *ring;
    struct disk disk;
    struct disk_done done;
    pthread_t thread;
    int token, fd = eventfd(0, EFD_NONBLOCK);
    cr_assert_eq(disk_uring_open(&ring, fd), STATUS_OK);
    cr_assert_eq(disk_uring_dir(ring, dir, &disk), STATUS_OK);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(pthread_create(&thread, NULL, wake_later, &fd), 0);
        uint64_t start_ns = clock_mono_ns();
        disk_uring_wait(ring, 10 * NS_PER_S);
        uint64_t took_ns = clock_mono_ns() - start_ns;
        cr_assert(took_ns >= 10 * NS_PER_MS && took_ns < 5 * NS_PER_S);
        pthread_join(thread, NULL);
        start_ns = clock_mono_ns(); /* it was drained: only time ends this one */
        disk_uring_wait(ring, 30 * NS_PER_MS);
        cr_assert_geq(clock_mono_ns() - start_ns, 29 * NS_PER_MS);
        cr_assert_eq(disk.ops->make(disk.self, "a", 4096, &token), STATUS_OK);
        while (disk.ops->poll(disk.self, &done, 1) == 0)
            disk_uring_wait(ring, UINT64_MAX);
        cr_assert_eq(done.status, STATUS_OK);
        disk.ops->close(disk.self, done.file);
    }
    /* A wake-up that a poll of the disk meets still ends the next sleep. */
    disk_uring_wait(ring, 1000);
    (void)wake_later(&fd);
    cr_assert_eq(disk.ops->poll(disk.self, &done, 1), 0);
    disk_uring_wait(ring, UINT64_MAX);
    disk_uring_dir_close(disk);
    disk_uring_close(ring);
    close(fd);
}

static const struct log_options options = {.segment_bytes = 1u << 20,
                                           .segments_max = 16,
                                           .group_bytes_max = 128u << 10,
                                           .record_bytes_max = 64u << 10};

Test(disk, two_logs_on_one_ring_keep_apart_and_come_back)
{
    struct disk_uring *ring;
    struct disk disks[2];
    struct log *logs[2];
    uint64_t last[2] = {0, 0};
    char path[2][80];
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%d", dir, i);
        cr_assert_eq(mkdir(path[i], 0700), 0);
    }
    for (int round = 0; round < 4; round++) {
        cr_assert_eq(disk_uring_open(&ring, -1), STATUS_OK);
        for (int i = 0; i < 2; i++) {
            struct log_options o = options;
            o.shard = (uint32_t)i;
            o.view_idx = last[i]; /* what was released stays so */
            cr_assert_eq(disk_uring_dir(ring, path[i], &disks[i]), STATUS_OK);
            cr_assert_eq(log_open(&logs[i], disks[i], &o), STATUS_OK, "%s", log_failure(NULL));
            cr_assert_eq(log_durable(logs[i]), last[i]);
        }
        for (unsigned k = 0; k < 20000; k++) {
            int i = (int)(k % 3 == 0);
            enum status s = STATUS_OK;
            while (log_room(logs[i], 100) == STATUS_NO_ROOM) {
                for (int j = 0; j < 2; j++) {
                    (void)log_poll(logs[j], &s);
                    log_release(logs[j], log_durable(logs[j]));
                }
                cr_assert_eq(s, STATUS_OK);
            }
            memset(log_claim(logs[i], 100), i, 100);
            (void)log_commit(logs[i], RECORD_OPS, 100);
            if (k % 50 == 0)
                (void)log_poll(logs[i], &s);
        }
        for (int i = 0; i < 2; i++) {
            enum status s = STATUS_OK;
            while (log_durable(logs[i]) < log_last(logs[i])) {
                disk_uring_wait(ring, NS_PER_MS);
                (void)log_poll(logs[i], &s);
            }
            last[i] = log_durable(logs[i]);
            log_close(logs[i]);
            disk_uring_dir_close(disks[i]);
        }
        disk_uring_close(ring);
    }
}

Test(disk, a_lock_that_a_ring_holds_outlives_its_descriptor_and_ends_with_the_ring)
{
    struct disk_uring *ring;
    int mine = open(dir, O_RDONLY | O_DIRECTORY), other = open(dir, O_RDONLY | O_DIRECTORY);
    cr_assert_eq(flock(mine, LOCK_EX | LOCK_NB), 0);
    cr_assert_eq(disk_uring_open(&ring, -1), STATUS_OK);
    cr_assert_eq(disk_uring_hold(ring, mine), STATUS_OK);
    close(mine);
    cr_assert_eq(flock(other, LOCK_EX | LOCK_NB), -1);
    disk_uring_close(ring);
    cr_assert_eq(flock(other, LOCK_EX), 0, "the kernel gives the ring up in its own time");
    close(other);
}
