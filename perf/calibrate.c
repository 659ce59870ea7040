/*
 * calibrate.c - what this machine can do right now, to hold figures against: a cache line's round
 * trip between two cores,
 * and one bare durable write at a time (4 KiB, O_DIRECT | O_DSYNC, into a preallocated file).
 *
 * Usage: calibrate [--dir DIR] [--seconds N]. Prints one line each.
 */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 4096u
#define FILE_BLOCKS 4096u
#define ROUND_TRIPS 200000u
#define SAMPLES_MAX 1000000u

struct ball {
    _Alignas(64) _Atomic uint32_t ping; /* writer: the main thread */
    _Alignas(64) _Atomic uint32_t pong; /* writer: the echo thread */
};

static void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static void *echo_main(void *arg)
{
    struct ball *b = arg;
    pin_to(1);
    for (uint32_t i = 1; i <= ROUND_TRIPS; i++) {
        while (atomic_load_explicit(&b->ping, memory_order_acquire) != i)
            ;
        atomic_store_explicit(&b->pong, i, memory_order_release);
    }
    return NULL;
}

static int measure_cores(void)
{
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        printf("core to core: one core only\n");
        return 0;
    }
    static struct ball ball;
    pthread_t echo;
    pin_to(0);
    if (pthread_create(&echo, NULL, echo_main, &ball))
        return -1;
    uint64_t start = clock_mono_ns();
    for (uint32_t i = 1; i <= ROUND_TRIPS; i++) {
        atomic_store_explicit(&ball.ping, i, memory_order_release);
        while (atomic_load_explicit(&ball.pong, memory_order_acquire) != i)
            ;
    }
    uint64_t ns = clock_mono_ns() - start;
    pthread_join(echo, NULL);
    printf("core to core: %.0f ns a round trip\n", (double)ns / ROUND_TRIPS);
    return 0;
}

static int cmp_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int measure_writes(const char *dir, double seconds)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/penstock-calibrate.%d", dir, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint8_t *block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
    uint64_t *ns = malloc(SAMPLES_MAX * sizeof *ns);
    int rc = -1;
    if (fd < 0 || !block || !ns)
        goto out;
    memset(block, 0x5a, BLOCK_BYTES);
    for (uint32_t i = 0; i < FILE_BLOCKS; i++)
        if (pwrite(fd, block, BLOCK_BYTES, (off_t)i * BLOCK_BYTES) != BLOCK_BYTES)
            goto out;
    if (fsync(fd))
        goto out;
    int direct = open(path, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
    if (direct < 0) {
        printf("durable write: O_DIRECT is refused here (%s)\n", strerror(errno));
        rc = 0;
        goto out;
    }
    size_t n = 0;
    uint64_t start = clock_mono_ns();
    uint64_t end = start + (uint64_t)(seconds * 1e9);
    uint64_t now = start;
    while (now < end && n < SAMPLES_MAX) {
        if (pwrite(direct, block, BLOCK_BYTES, (off_t)(n % FILE_BLOCKS) * BLOCK_BYTES) !=
            BLOCK_BYTES)
            break;
        uint64_t after = clock_mono_ns();
        ns[n++] = after - now;
        now = after;
    }
    close(direct);
    if (!n)
        goto out;
    qsort(ns, n, sizeof *ns, cmp_u64);
    printf("durable write, 4 KiB, one at a time: %.0f/s, p50 %.0f us, p90 %.0f us, p99 %.0f us, "
           "p99.9 %.0f us\n",
           (double)n * 1e9 / (double)(now - start), (double)ns[n / 2] / 1e3,
           (double)ns[n * 9 / 10] / 1e3, (double)ns[n * 99 / 100] / 1e3,
           (double)ns[n * 999 / 1000] / 1e3);
    rc = 0;
out:
    if (rc)
        fprintf(stderr, "calibrate: %s: %s\n", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    free(block);
    free(ns);
    return rc;
}

int main(int argc, char **argv)
{
    const char *dir = ".";
    double seconds = 2;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--dir"))
            dir = argv[i + 1];
        else if (!strcmp(argv[i], "--seconds"))
            seconds = atof(argv[i + 1]);
    }
    if (measure_cores())
        return 1;
    return measure_writes(dir, seconds) ? 1 : 0;
}
