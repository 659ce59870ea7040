/* clock.c - see clock.h. */
#include "base/clock.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define MS_PER_DAY 86400000ull
#define UNIX_MS_9999                                                                               \
    253402300799999ull /* 9999-12-31T23:59:59.999Z: the last that has four digits */

uint64_t clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_unix_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / NS_PER_MS;
}

static bool is_leap(uint64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(uint64_t year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of January of `year` (may be negative). */
static int64_t days_to_year(uint64_t year)
{
    int64_t y = (int64_t)year - 1; /* whole years since year 1 */
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

static void put_digits(char *out, unsigned n, uint64_t v)
{
    while (n--) {
        out[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void clock_text(uint64_t unix_ms, char out[CLOCK_TEXT_BYTES])
{
    if (unix_ms > UNIX_MS_9999)
        unix_ms = UNIX_MS_9999;
    int64_t days = (int64_t)(unix_ms / MS_PER_DAY);
    uint64_t ms = unix_ms % MS_PER_DAY;
    uint64_t year = 1970 + (uint64_t)days / 366; /* at or before the right one */
    while (days_to_year(year + 1) <= days)
        year++;
    uint64_t day = (uint64_t)(days - days_to_year(year));
    unsigned month = 1;
    while (day >= days_in_month(year, month))
        day -= days_in_month(year, month++);
    memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_BYTES);
    put_digits(out, 4, year);
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day + 1);
    put_digits(out + 11, 2, ms / 3600000);
    put_digits(out + 14, 2, ms / 60000 % 60);
    put_digits(out + 17, 2, ms / 1000 % 60);
    put_digits(out + 20, 3, ms % 1000);
}

struct scan {
    const char *p;
    const char *end;
    bool ok;
};

static unsigned take_digits(struct scan *s, unsigned n)
{
    unsigned v = 0;
    for (; n; n--, s->p++) {
        if (s->p == s->end || *s->p < '0' || *s->p > '9') {
            s->ok = false;
            return 0;
        }
        v = v * 10 + (unsigned)(*s->p - '0');
    }
    return v;
}

/* One of two characters (for T and Z, which may be lower case). */
static void take_char(struct scan *s, char a, char b)
{
    if (s->p < s->end && (*s->p == a || *s->p == b))
        s->p++;
    else
        s->ok = false;
}

/* The fraction of a second, cut to milliseconds; it may be absent. */
static unsigned take_fraction(struct scan *s)
{
    if (s->p == s->end || *s->p != '.')
        return 0;
    s->p++;
    unsigned ms = 0, n = 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, n++) {
        if (n < 3)
            ms = ms * 10 + (unsigned)(*s->p - '0');
    }
    if (n == 0)
        s->ok = false;
    for (; n < 3; n++)
        ms *= 10;
    return ms;
}

/* Minutes east of UTC. */
static int take_offset(struct scan *s)
{
    if (s->p < s->end && (*s->p == '+' || *s->p == '-')) {
        int sign = *s->p++ == '-' ? -1 : 1;
        unsigned hours = take_digits(s, 2);
        take_char(s, ':', ':');
        unsigned minutes = take_digits(s, 2);
        if (hours > 23 || minutes > 59)
            s->ok = false;
        return sign * (int)(hours * 60 + minutes);
    }
    take_char(s, 'Z', 'z');
    return 0;
}

int clock_parse(const char *p, size_t n, uint64_t *unix_ms)
{
    struct scan s = {p, p + n, true};
    unsigned year = take_digits(&s, 4);
    take_char(&s, '-', '-');
    unsigned month = take_digits(&s, 2);
    take_char(&s, '-', '-');
    unsigned day = take_digits(&s, 2);
    take_char(&s, 'T', 't');
    unsigned hour = take_digits(&s, 2);
    take_char(&s, ':', ':');
    unsigned minute = take_digits(&s, 2);
    take_char(&s, ':', ':');
    unsigned second = take_digits(&s, 2);
    unsigned ms = take_fraction(&s);
    int offset = take_offset(&s);
    if (!s.ok || s.p != s.end || year < 1 || month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60)
        return 0;
    int64_t days = days_to_year(year) + (int64_t)day - 1;
    for (unsigned m = 1; m < month; m++)
        days += days_in_month(year, m);
    int64_t minutes = days * 1440 + (int64_t)hour * 60 + (int64_t)minute - offset;
    int64_t t = (minutes * 60 + (int64_t)second) * 1000 + (int64_t)ms;
    *unix_ms = t < 0 ? 0 : (uint64_t)t;
    return 1;
}
