/*
 * role.h - roles (things with poll()) and the threads that run them.
 *
 * A role is a piece of work with one owner thread: `poll` does a bounded amount of it and returns
 * how much it did. A thread runs one or more roles round and round; when a whole round did nothing
 * it goes idle by its policy: spin, or park until somebody wakes it. More roles than cores must
 * work, so the default parks and an idle process uses no CPU.
 *
 * Parking without a lost wake-up (Dekker's pair): the sleeper sets `asleep`, passes a full fence
 * and asks every role once more; a producer publishes its data, passes a full fence and reads
 * `asleep` (parker_wake). Each stores before it loads, so one of the two sees the other. Whoever
 * finds the sleeper asleep clears the word and writes event_fd once: many wakers cost one system
 * call a sleep.
 *
 * A role that waits in a kernel ring of its own (the disk, the socket loop) gives the thread a
 * `wait` function; that function must return when parker.event_fd becomes readable. It may leave
 * the event_fd unread: the thread drains it.
 *
 * Owner: each function says it. Errors: thread_start returns STATUS_IO (no such CPU) or
 * STATUS_NO_MEMORY.
 */
#ifndef PENSTOCK_BASE_ROLE_H
#define PENSTOCK_BASE_ROLE_H

#include "base/status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define THREAD_ROLES_MAX  64
#define THREAD_NAME_BYTES 16

/* Where a sleeping thread can be woken. May live in memory shared by processes (event_fd is then
 * passed over a socket). `asleep` is set by the sleeping thread, and cleared by it or by the one
 * who wakes it. */
struct parker {
    _Atomic uint32_t asleep;
    int32_t event_fd;
};

enum status parker_init(struct parker *p) must_use;
void parker_fini(struct parker *p);

/* Any thread, after it has published something that the sleeper should see. A syscall only when it
 * sleeps. */
void parker_wake(struct parker *p);

/* The sleeper's three steps. parker_arm comes first; then it looks whether there is work after all;
 * then it sleeps (here or elsewhere) or not; parker_disarm ends it either way, and drains event_fd.
 */
void parker_arm(struct parker *p);
void parker_disarm(struct parker *p);
/* Blocks until event_fd is readable or `timeout_ns` passed (UINT64_MAX: no limit). */
void parker_sleep(struct parker *p, uint64_t timeout_ns);

struct role {
    const char *name;
    void *self;
    /* Bounded work; returns how much was done (0: nothing to do). */
    unsigned (*poll)(void *self, uint64_t now_ns);
    /* May be NULL. When the role must next be polled though nobody wakes it: UINT64_MAX for never.
     */
    uint64_t (*deadline_ns)(void *self);
};

enum idle_policy { IDLE_PARK, IDLE_SPIN };

struct thread {
    char name[THREAD_NAME_BYTES];
    struct role roles[THREAD_ROLES_MAX];
    unsigned n_roles;
    int cpu; /* -1: not pinned */
    enum idle_policy idle;
    struct parker parker;
    /* May be NULL (then parker_sleep). Sleeps until parker.event_fd is readable, own work is ready,
     * or timeout. */
    void (*wait)(void *wait_self, uint64_t timeout_ns);
    void *wait_self;
    _Atomic uint32_t stopping;
    pthread_t pthread;
    bool started;
};

/* Before start, by the thread that builds the process. */
enum status thread_init(struct thread *t, const char *name, int cpu,
                        enum idle_policy idle) must_use;
void thread_add(struct thread *t, struct role role);
enum status thread_start(struct thread *t) must_use;

/* The body; thread_start runs it, and a test or a simulator may call thread_round by itself. */
unsigned thread_round(struct thread *t, uint64_t now_ns);

/* Asks it to end after the round under way, wakes it, joins it. */
void thread_stop(struct thread *t);
void thread_fini(struct thread *t);

#endif
