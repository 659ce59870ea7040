/*
 * clock.h - the two clocks of the machine, read in one place so that pure code gets time as an
 * input. Any thread; no allocation; never fails.
 */
#ifndef PENSTOCK_BASE_CLOCK_H
#define PENSTOCK_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S         1000000000ull
#define NS_PER_MS        1000000ull
#define NS_PER_US        1000ull
#define CLOCK_TEXT_BYTES 25 /* 2026-01-02T03:04:05.678Z and a NUL */

uint64_t clock_mono_ns(void); /* monotonic: intervals, deadlines */
uint64_t clock_unix_ms(void); /* wall clock: time stamps that people see */

/* RFC 3339 in UTC with milliseconds; later than year 9999 shows as its last moment. Pure. */
void clock_text(uint64_t unix_ms, char out[CLOCK_TEXT_BYTES]);
/* Reads RFC 3339 (any offset, any number of fraction digits, cut to ms; second 60 is the next
 * minute's first; times before 1970 read as 0). Returns 0 if it is none. Pure. */
int clock_parse(const char *p, size_t n, uint64_t *unix_ms);

#endif
