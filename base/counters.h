/*
 * counters.h - named 64-bit counters and gauges in one page that other threads and processes can
 * read.
 *
 * A page is a file in the data directory (so `penstock top` can map it) or anonymous memory. Each
 * counter has one writer thread; readers see it relaxed, at any time. Registering is for start-up
 * (one thread); adding is a plain load and store. Names are Prometheus':
 * penstock_ops_accepted_total, with one optional label pair such as shard="0".
 */
#ifndef PENSTOCK_BASE_COUNTERS_H
#define PENSTOCK_BASE_COUNTERS_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS_MAX        4096u
#define COUNTER_NAME_BYTES  56u
#define COUNTER_LABEL_BYTES 32u

enum counter_kind { COUNTER_TOTAL = 1, COUNTER_GAUGE = 2 };

struct counter {
    _Atomic uint64_t value; /* writer: whoever registered it */
    uint32_t kind;
    uint32_t pad;
    char name[COUNTER_NAME_BYTES];
    char label[COUNTER_LABEL_BYTES]; /* shard="0"; empty: none */
    char help[88];
};
_Static_assert(sizeof(struct counter) == 192,
               "layout is law: three cache lines, so neighbours never share one");

struct counters;

/* `path` NULL: anonymous. */
enum status counters_open(struct counters **out, const char *path) must_use;
void counters_close(struct counters *c);
/* Never NULL: when the page is full, a spare that nobody reads. Registering an equal name and label
 * again gives the same one. */
struct counter *counters_add(struct counters *c, enum counter_kind kind, const char *name,
                             const char *label, const char *help);
uint32_t counters_n(const struct counters *c);
const struct counter *counters_at(const struct counters *c, uint32_t idx);

static inline void counter_bump(struct counter *c, uint64_t by)
{
    uint64_t v = atomic_load_explicit(&c->value, memory_order_relaxed);
    atomic_store_explicit(&c->value, v + by, memory_order_relaxed);
}

static inline void counter_set(struct counter *c, uint64_t v)
{
    atomic_store_explicit(&c->value, v, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counter *c)
{
    return atomic_load_explicit(&c->value, memory_order_relaxed);
}

#endif
