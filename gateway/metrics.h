/*
 * metrics.h - a page of counters (base/counters.h) as Prometheus text, version 0.0.4. Pure reading;
 * any thread.
 */
#ifndef PENSTOCK_GATEWAY_METRICS_H
#define PENSTOCK_GATEWAY_METRICS_H

#include "base/bytes.h"
#include "base/counters.h"

/* Enough for n counters with a family each. */
#define METRICS_BYTES_MAX(n) (1024u + 512u * (size_t)(n))

void metrics_write(struct writer *w, const struct counters *c);

#endif
