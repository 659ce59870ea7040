/* role.c - see role.h. */
#include "base/role.h"
#include "base/clock.h"
#include "base/fence.h"
#include "base/say.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ---- parker ---- */

enum status parker_init(struct parker *p)
{
    atomic_init(&p->asleep, 0);
    p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return p->event_fd >= 0 ? STATUS_OK : STATUS_IO;
}

void parker_fini(struct parker *p)
{
    if (p->event_fd >= 0)
        close(p->event_fd);
    p->event_fd = -1;
}

void parker_wake(struct parker *p)
{
    fence_full(); /* what was published <-> parker_arm */
    if (!atomic_load_explicit(&p->asleep, memory_order_relaxed))
        return;
    /* Only now a read-modify-write: of several wakers one makes the system call. */
    if (!atomic_exchange_explicit(&p->asleep, 0, memory_order_acq_rel))
        return;
    uint64_t one = 1;
    ssize_t n;
    do {
        n = write(p->event_fd, &one, sizeof one);
    } while (n < 0 && errno == EINTR);
}

void parker_arm(struct parker *p)
{
    atomic_store_explicit(&p->asleep, 1, memory_order_relaxed);
    fence_full(); /* asleep <-> parker_wake */
}

void parker_disarm(struct parker *p)
{
    if (atomic_exchange_explicit(&p->asleep, 0, memory_order_acq_rel))
        return; /* nobody woke us, so nothing was written */
    /* A waker that has cleared the word but not written yet costs one empty wake-up later. */
    uint64_t count;
    while (read(p->event_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

void parker_sleep(struct parker *p, uint64_t timeout_ns)
{
    struct pollfd fd = {.fd = p->event_fd, .events = POLLIN};
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                          .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    (void)!ppoll(&fd, 1, timeout_ns == UINT64_MAX ? NULL : &ts, NULL);
}

/* ---- thread ---- */

enum status thread_init(struct thread *t, const char *name, int cpu, enum idle_policy idle)
{
    *t = (struct thread){.cpu = cpu, .idle = idle};
    snprintf(t->name, sizeof t->name, "%s", name);
    return parker_init(&t->parker);
}

void thread_add(struct thread *t, struct role role)
{
    check(!t->started);
    check_cmp(t->n_roles, <, THREAD_ROLES_MAX);
    t->roles[t->n_roles++] = role;
}

unsigned thread_round(struct thread *t, uint64_t now_ns)
{
    unsigned n = 0;
    for (unsigned i = 0; i < t->n_roles; i++)
        n += t->roles[i].poll(t->roles[i].self, now_ns);
    return n;
}

/* How long all roles allow to sleep. */
static uint64_t sleep_ns_max(const struct thread *t)
{
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < t->n_roles; i++) {
        const struct role *role = &t->roles[i];
        uint64_t at = role->deadline_ns ? role->deadline_ns(role->self) : UINT64_MAX;
        first = at < first ? at : first;
    }
    if (first == UINT64_MAX)
        return UINT64_MAX;
    uint64_t now_ns = clock_mono_ns();
    return first > now_ns ? first - now_ns : 0;
}

static bool is_stopping(struct thread *t)
{
    return atomic_load_explicit(&t->stopping, memory_order_acquire) != 0;
}

static void park(struct thread *t)
{
    parker_arm(&t->parker);
    if (thread_round(t, clock_mono_ns()) == 0 && !is_stopping(t)) {
        uint64_t timeout_ns = sleep_ns_max(t);
        if (timeout_ns == 0)
            ; /* somebody's time has come meanwhile */
        else if (t->wait)
            t->wait(t->wait_self, timeout_ns);
        else
            parker_sleep(&t->parker, timeout_ns);
    }
    parker_disarm(&t->parker);
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    while (!is_stopping(t)) {
        if (thread_round(t, clock_mono_ns()) != 0)
            continue;
        if (t->idle == IDLE_SPIN)
            pause_cpu();
        else
            park(t);
    }
    return NULL;
}

/* Signals are for the thread that started the process. */
static int create_without_signals(struct thread *t, const pthread_attr_t *attr)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&t->pthread, attr, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

enum status thread_start(struct thread *t)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return STATUS_NO_MEMORY;
    int err = 0;
    if (t->cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        if (t->cpu < CPU_SETSIZE)
            CPU_SET((unsigned)t->cpu, &cpus);
        err = pthread_attr_setaffinity_np(&attr, sizeof cpus, &cpus);
    }
    atomic_store_explicit(&t->stopping, 0, memory_order_relaxed);
    if (err == 0)
        err = create_without_signals(t, &attr);
    pthread_attr_destroy(&attr);
    if (err != 0)
        return err == EINVAL ? STATUS_IO : STATUS_NO_MEMORY;
    t->started = true;
    pthread_setname_np(t->pthread, t->name);
    return STATUS_OK;
}

void thread_stop(struct thread *t)
{
    if (!t->started)
        return;
    atomic_store_explicit(&t->stopping, 1, memory_order_release);
    parker_wake(&t->parker);
    pthread_join(t->pthread, NULL);
    t->started = false;
}

void thread_fini(struct thread *t)
{
    thread_stop(t);
    parker_fini(&t->parker);
}
