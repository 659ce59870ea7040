/* clock.c - times as text, against the C library. */
#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void model_text(uint64_t unix_ms, char out[64])
{
    time_t t = (time_t)(unix_ms / 1000);
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(out, 64, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(unix_ms % 1000));
}

static uint64_t parse(const char *text)
{
    uint64_t ms = 12345;
    return clock_parse(text, strlen(text), &ms) ? ms : UINT64_MAX;
}

Test(clock, every_day_of_eight_thousand_years_prints_as_the_c_library_does_and_reads_back)
{
    for (uint64_t day = 0; day < 2932897; day += 1 + day / 200000) {
        uint64_t ms = day * 86400000 + day * 7919 % 86400000;
        char got[CLOCK_TEXT_BYTES], want[64];
        clock_text(ms, got);
        model_text(ms, want);
        cr_assert_str_eq(got, want);
        cr_assert_eq(parse(got), ms);
    }
}

Test(clock, the_last_printable_moment_stays)
{
    char got[CLOCK_TEXT_BYTES];
    clock_text(UINT64_MAX, got);
    cr_assert_str_eq(got, "9999-12-31T23:59:59.999Z");
}

Test(clock, rfc3339_examples_read)
{
    cr_assert_eq(parse("1985-04-12T23:20:50.52Z"), 482196050520);
    cr_assert_eq(parse("1996-12-19T16:39:57-08:00"), 851042397000);
    cr_assert_eq(parse("1996-12-20T00:39:57z"), 851042397000);
    cr_assert_eq(parse("1990-12-31T23:59:60Z"), 662688000000);
    cr_assert_eq(parse("1937-01-01T12:00:27.87+00:20"), 0, "before 1970");
    cr_assert_eq(parse("2024-02-29T00:00:00.123999999Z"), 1709164800123);
    cr_assert_eq(parse("1970-01-01T00:30:00+00:30"), 0);
}

Test(clock, what_is_no_time_is_refused)
{
    const char *bad[] = {
        "",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:61Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00Zx",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+01",
        "2024-1-01T00:00:00Z",
        "-024-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(parse(bad[i]), UINT64_MAX, "%s", bad[i]);
    uint64_t ms;
    const char *whole = "2024-01-01T00:00:00.5+01:00";
    for (size_t n = 0; n < strlen(whole); n++)
        cr_assert_not(clock_parse(whole, n, &ms), "cut at %zu", n);
    cr_assert(clock_parse(whole, strlen(whole), &ms));
}

Test(clock, monotonic_time_does_not_go_back)
{
    uint64_t before = clock_mono_ns();
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_ns();
        cr_assert_leq(before, now);
        before = now;
    }
    uint64_t diff = clock_unix_ms() / 1000 - (uint64_t)time(NULL) + 1;
    cr_assert_leq(diff, 2);
}
