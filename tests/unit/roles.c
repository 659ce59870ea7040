/* roles.c - threads of roles: they end, they sleep, they share cores. */
#include "base/clock.h"
#include "base/role.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct countdown {
    _Atomic uint64_t left;
    _Atomic uint64_t polls;
    uint64_t deadline_ns;
};

static unsigned poll_countdown(void *self, uint64_t now_ns)
{
    struct countdown *c = self;
    (void)now_ns;
    atomic_fetch_add(&c->polls, 1);
    uint64_t left = atomic_load(&c->left);
    if (left == 0)
        return 0;
    atomic_store(&c->left, left - 1);
    return 1;
}

static uint64_t countdown_deadline(void *self)
{
    return ((struct countdown *)self)->deadline_ns;
}

static struct role role_of(struct countdown *c)
{
    return (struct role){.name = "countdown", .self = c, .poll = poll_countdown};
}

static void wait_until_done(struct countdown *c)
{
    for (unsigned i = 0; i < 5000 && atomic_load(&c->left); i++)
        poll(NULL, 0, 1);
    cr_assert_eq(atomic_load(&c->left), 0);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

Test(roles, a_thread_runs_all_its_roles_and_ends)
{
    struct countdown a = {.left = 1000}, b = {.left = 3};
    struct thread t;
    cr_assert_eq(thread_init(&t, "a name longer than sixteen", -1, IDLE_PARK), STATUS_OK);
    thread_add(&t, role_of(&a));
    thread_add(&t, role_of(&b));
    cr_assert_eq(thread_round(&t, 0), 2);
    cr_assert_eq(thread_start(&t), STATUS_OK);
    wait_until_done(&a);
    wait_until_done(&b);
    thread_stop(&t);
    thread_stop(&t);
    thread_fini(&t);
}

Test(roles, parked_threads_use_no_cpu_and_spinning_ones_do)
{
    struct countdown c[8];
    struct thread t[8];
    memset(c, 0, sizeof c);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(thread_init(&t[i], "idle", -1, IDLE_PARK), STATUS_OK);
        thread_add(&t[i], role_of(&c[i]));
        cr_assert_eq(thread_start(&t[i]), STATUS_OK);
    }
    poll(NULL, 0, 50);
    double before = cpu_seconds();
    poll(NULL, 0, 400);
    cr_assert_lt(cpu_seconds() - before, 0.004, "eight parked threads over 0.4 s");
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_lt(atomic_load(&c[i].polls), 10);
        thread_fini(&t[i]);
    }
    cr_assert_eq(thread_init(&t[0], "spin", -1, IDLE_SPIN), STATUS_OK);
    thread_add(&t[0], role_of(&c[0]));
    cr_assert_eq(thread_start(&t[0]), STATUS_OK);
    poll(NULL, 0, 100);
    thread_fini(&t[0]);
    cr_assert_gt(atomic_load(&c[0].polls), 1000);
}

Test(roles, a_wake_up_starts_the_work_that_was_published_before_it)
{
    struct countdown c = {0};
    struct thread t;
    cr_assert_eq(thread_init(&t, "woken", -1, IDLE_PARK), STATUS_OK);
    thread_add(&t, role_of(&c));
    cr_assert_eq(thread_start(&t), STATUS_OK);
    for (unsigned i = 0; i < 200; i++) {
        if (i % 4 == 0)
            poll(NULL, 0, 1);
        atomic_store(&c.left, 1 + i % 3);
        parker_wake(&t.parker);
        wait_until_done(&c);
    }
    thread_fini(&t);
}

Test(roles, a_deadline_ends_the_sleep)
{
    struct countdown c = {.deadline_ns = clock_mono_ns() + 30 * NS_PER_MS};
    struct thread t;
    cr_assert_eq(thread_init(&t, "deadline", -1, IDLE_PARK), STATUS_OK);
    struct role role = role_of(&c);
    role.deadline_ns = countdown_deadline;
    thread_add(&t, role);
    uint64_t start_ns = clock_mono_ns();
    cr_assert_eq(thread_start(&t), STATUS_OK);
    poll(NULL, 0, 15);
    uint64_t polls = atomic_load(&c.polls);
    cr_assert_lt(polls, 6, "it sleeps before its time");
    poll(NULL, 0, 40); /* its time stays past: a role that does nothing about it is polled again */
    thread_stop(&t);
    cr_assert_gt(atomic_load(&c.polls), polls);
    cr_assert_geq(clock_mono_ns() - start_ns, 30 * NS_PER_MS);
    thread_fini(&t);
}

Test(roles, a_cpu_that_is_not_there_is_an_error)
{
    struct thread t;
    cr_assert_eq(thread_init(&t, "nowhere", 1000, IDLE_PARK), STATUS_OK);
    cr_assert_eq(thread_start(&t), STATUS_IO);
    thread_fini(&t);
    cr_assert_eq(thread_init(&t, "nowhere", 1 << 20, IDLE_PARK), STATUS_OK);
    cr_assert_eq(thread_start(&t), STATUS_IO);
    thread_fini(&t);
}

Test(roles, one_wake_up_costs_one_write_however_many_ask)
{
    struct parker p;
    uint64_t count = 0;
    cr_assert_eq(parker_init(&p), STATUS_OK);
    for (unsigned i = 0; i < 5; i++)
        parker_wake(&p);
    cr_assert_lt(read(p.event_fd, &count, sizeof count), 0, "nobody slept: no system call");
    parker_arm(&p);
    for (unsigned i = 0; i < 5; i++)
        parker_wake(&p);
    cr_assert_eq(read(p.event_fd, &count, sizeof count), (ssize_t)sizeof count);
    cr_assert_eq(count, 1);
    parker_disarm(&p);
    uint64_t start_ns = clock_mono_ns();
    parker_arm(&p);
    parker_sleep(&p, 5 * NS_PER_MS);
    cr_assert_geq(clock_mono_ns() - start_ns, 5 * NS_PER_MS, "an old wake-up does not linger");
    parker_wake(&p);
    parker_sleep(&p, 10 * NS_PER_S);
    parker_disarm(&p);
    cr_assert_lt(clock_mono_ns() - start_ns, 5 * NS_PER_S);
    cr_assert_lt(read(p.event_fd, &count, sizeof count), 0, "disarm drains");
    parker_fini(&p);
}
