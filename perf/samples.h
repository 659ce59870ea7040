/*
 * samples.h - latencies as a histogram with at most 1.6 % error a bucket (64 linear steps each
 * power of two), for
 * percentiles of any number of samples in 30 KiB. One thread; header only.
 */
#ifndef PENSTOCK_PERF_SAMPLES_H
#define PENSTOCK_PERF_SAMPLES_H

#include <stdint.h>

#define SAMPLES_STEPS   64u
#define SAMPLES_BUCKETS (60u * SAMPLES_STEPS)

struct samples {
    uint64_t n;
    uint64_t max;
    uint64_t buckets[SAMPLES_BUCKETS];
};

static inline uint32_t samples_bucket(uint64_t v)
{
    if (v < SAMPLES_STEPS)
        return (uint32_t)v;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(v) - 6u;
    return (shift + 1) * SAMPLES_STEPS + (uint32_t)((v >> shift) - SAMPLES_STEPS);
}

static inline void samples_add(struct samples *s, uint64_t v)
{
    s->buckets[samples_bucket(v)]++;
    s->n++;
    if (v > s->max)
        s->max = v;
}

/* The value below which `share` (0 ... 1) of the samples lie: the upper edge of its bucket. */
static inline uint64_t samples_at(const struct samples *s, double share)
{
    uint64_t left = (uint64_t)((double)s->n * share);
    for (uint32_t i = 0; i < SAMPLES_BUCKETS; i++) {
        if (s->buckets[i] > left) {
            if (i < SAMPLES_STEPS)
                return i;
            uint32_t shift = i / SAMPLES_STEPS - 1;
            uint64_t edge = ((uint64_t)(i % SAMPLES_STEPS + SAMPLES_STEPS + 1) << shift) - 1;
            return edge < s->max ? edge : s->max;
        }
        left -= s->buckets[i];
    }
    return s->max;
}

#endif
