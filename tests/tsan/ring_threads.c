/*
 * ring_threads.c - rings and parking between threads, also under TSan: no race, no lost record, no
 * lost wake-up, with more threads than cores. A token that nobody forwards would never come home,
 * so a lost wake-up shows as a timeout.
 */
#include "base/clock.h"
#include "net/link.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define STAGES      6
#define RECORDS     60000u
#define SECONDS_MAX 100u

#define must(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "failed: %s (%s:%d)\n", #cond, __FILE__, __LINE__);                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* One of a circle of roles: it takes records from the one before it and hands them on. The first
 * makes them and checks what comes home. */
struct stage {
    struct link_end *in;
    struct link_end *out;
    bool first;
    uint64_t window; /* records under way at most */
    uint64_t n_sent;
    uint64_t n_home;
    uint64_t state;
    _Atomic bool done;
};

static uint64_t mix(uint64_t v)
{
    v *= 0x9e3779b97f4a7c15ull;
    return v ^ v >> 29;
}

static size_t size_of(uint64_t number)
{
    return 8 + mix(number) % 200;
}

static void fill(uint8_t *p, uint64_t number)
{
    size_t n = size_of(number);
    memcpy(p, &number, 8);
    memset(p + 8, (int)(mix(number) >> 40 & 0xff), n - 8);
}

static void verify(struct bytes b, uint64_t number)
{
    uint64_t got;
    must(b.n == size_of(number));
    memcpy(&got, b.p, 8);
    must(got == number);
    for (size_t i = 8; i < b.n; i++)
        must(b.p[i] == (uint8_t)(mix(number) >> 40 & 0xff));
}

static unsigned send_new(struct stage *s)
{
    unsigned n = 0;
    while (s->n_sent < RECORDS && s->n_sent - s->n_home < s->window && n < 32) {
        uint8_t *p = ring_claim(&s->out->tx, size_of(s->n_sent));
        if (!p)
            break;
        fill(p, s->n_sent);
        ring_commit(&s->out->tx, 1, size_of(s->n_sent));
        s->n_sent++;
        n++;
    }
    return n;
}

static unsigned poll_stage(void *self, uint64_t now_ns)
{
    struct stage *s = self;
    struct ring_record record;
    unsigned n = 0;
    (void)now_ns;
    for (; n < 16; n++) {
        enum status status = ring_peek(&s->in->rx, &record);
        if (status == STATUS_END)
            break;
        must(status == STATUS_OK);
        if (s->first) {
            verify(record.payload, s->n_home++);
        } else {
            uint8_t *p = ring_claim(&s->out->tx, record.payload.n);
            if (!p)
                break; /* full: the record stays where it is */
            memcpy(p, record.payload.p, record.payload.n);
            ring_commit(&s->out->tx, record.type, record.payload.n);
        }
        ring_advance(&s->in->rx);
    }
    link_release(s->in);
    if (s->first) {
        n += send_new(s);
        if (s->n_home == RECORDS)
            atomic_store(&s->done, true);
    }
    link_flush(s->out);
    return n;
}

static void run_circle(unsigned n_threads, uint64_t window, uint64_t capacity)
{
    static struct thread threads[STAGES];
    struct link links[STAGES];
    struct stage stages[STAGES];
    memset(stages, 0, sizeof stages);
    for (unsigned i = 0; i < n_threads; i++)
        must(thread_init(&threads[i], "stage", -1, IDLE_PARK) == STATUS_OK);
    for (unsigned i = 0; i < STAGES; i++) {
        struct parker *from = &threads[i % n_threads].parker;
        struct parker *to = &threads[(i + 1) % STAGES % n_threads].parker;
        must(link_open(&links[i], capacity, RING_CAPACITY_MIN, from, to) == STATUS_OK);
        stages[i].out = &links[i].a;
        stages[(i + 1) % STAGES].in = &links[i].b;
    }
    stages[0].first = true;
    stages[0].window = window;
    for (unsigned i = 0; i < STAGES; i++) {
        thread_add(&threads[i % n_threads],
                   (struct role){.name = "stage", .self = &stages[i], .poll = poll_stage});
    }
    uint64_t start_ns = clock_mono_ns();
    for (unsigned i = 0; i < n_threads; i++)
        must(thread_start(&threads[i]) == STATUS_OK);
    while (!atomic_load(&stages[0].done)) {
        poll(NULL, 0, 2);
        must(clock_mono_ns() - start_ns < SECONDS_MAX * NS_PER_S);
    }
    for (unsigned i = 0; i < n_threads; i++)
        thread_fini(&threads[i]);
    for (unsigned i = 0; i < STAGES; i++)
        link_close(&links[i]);
    printf("%u records round %u stages on %u threads, window %llu: %.2f s\n", RECORDS, STAGES,
           n_threads, (unsigned long long)window,
           (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S);
}

int main(void)
{
    run_circle(STAGES, UINT64_MAX, RING_CAPACITY_MIN); /* full rings everywhere */
    run_circle(STAGES, 1, RING_CAPACITY_MIN);          /* everyone sleeps before each record */
    run_circle(3, 7, 4 * RING_CAPACITY_MIN);
    return 0;
}
