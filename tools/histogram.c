/* histogram.c - see histogram.h. */
#include "tools/histogram.h"

#include <stdio.h>

#define SUB (1u << HISTOGRAM_SUB_BITS)

/* Below SUB each value has its own bucket; above, the leading bit gives the octave and the next
 * HISTOGRAM_SUB_BITS bits the bucket in it. */
static uint32_t bucket_of(uint64_t v)
{
    if (v < SUB)
        return (uint32_t)v;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (uint32_t)((v >> shift) - SUB);
}

/* Largest value of a bucket. */
static uint64_t value_of(uint32_t bucket)
{
    if (bucket < SUB)
        return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t base = (uint64_t)(SUB + (bucket & (SUB - 1))) << shift;
    return base + ((1ull << shift) - 1);
}

void histogram_add(struct histogram *h, uint64_t v)
{
    h->n++;
    h->sum += v;
    h->max = v > h->max ? v : h->max;
    h->counts[bucket_of(v)]++;
}

uint64_t histogram_at(const struct histogram *h, double part)
{
    uint64_t wanted = (uint64_t)(part * (double)h->n + 0.5), seen = 0;
    wanted = wanted ? wanted : 1;
    for (uint32_t i = 0; h->n && i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= wanted) {
            uint64_t v = value_of(i);
            return v < h->max ? v : h->max;
        }
    }
    return 0;
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

void histogram_line(const struct histogram *h, char *text, unsigned n)
{
    snprintf(text, n, "p50 %.3f ms  p90 %.3f ms  p99 %.3f ms  p99.9 %.3f ms  max %.3f ms",
             ms(histogram_at(h, 0.5)), ms(histogram_at(h, 0.9)), ms(histogram_at(h, 0.99)),
             ms(histogram_at(h, 0.999)), ms(h->max));
}
