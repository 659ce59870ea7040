/*
 * histogram.h - counts of durations with a relative error below 1 %, in fixed memory: 128 buckets
 * an octave, as HdrHistogram does it. One thread writes and reads it.
 */
#ifndef PENSTOCK_TOOLS_HISTOGRAM_H
#define PENSTOCK_TOOLS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t n;
    uint64_t max;
    uint64_t sum;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t v);
/* The value that `part` (0 ... 1) of all lie at or below; 0 where there are none. */
uint64_t histogram_at(const struct histogram *h, double part);
/* "p50 1.23 ms  p90 ...  p99 ...  p99.9 ...  max ..." of nanoseconds, into text. */
void histogram_line(const struct histogram *h, char *text, unsigned n);

#endif
