/* counters.c - one page of named numbers. */
#include "base/counters.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(counters, an_equal_name_and_label_is_the_same_counter)
{
    struct counters *c;
    cr_assert_eq(counters_open(&c, NULL), STATUS_OK);
    struct counter *a = counters_add(c, COUNTER_TOTAL, "penstock_x_total", NULL, "x");
    struct counter *b = counters_add(c, COUNTER_TOTAL, "penstock_x_total", "shard=\"0\"", "x");
    cr_assert_neq(a, b);
    cr_assert_eq(a, counters_add(c, COUNTER_TOTAL, "penstock_x_total", "", "x"));
    counter_bump(a, 5);
    counter_bump(a, 2);
    counter_set(b, 9);
    cr_assert_eq(counters_n(c), 2);
    cr_assert_eq(counter_get(counters_at(c, 0)), 7);
    cr_assert_eq(counter_get(counters_at(c, 1)), 9);
    cr_assert_null(counters_at(c, 2));
    counters_close(c);
}

Test(counters, a_full_page_gives_a_spare_that_nobody_reads)
{
    struct counters *c;
    cr_assert_eq(counters_open(&c, NULL), STATUS_OK);
    char name[32];
    for (unsigned i = 0; i < COUNTERS_MAX; i++) {
        snprintf(name, sizeof name, "c%u", i);
        counters_add(c, COUNTER_GAUGE, name, NULL, NULL);
    }
    struct counter *spare = counters_add(c, COUNTER_GAUGE, "one_more", NULL, NULL);
    cr_assert_not_null(spare);
    counter_bump(spare, 1);
    cr_assert_eq(counters_n(c), COUNTERS_MAX);
    cr_assert_eq(counter_get(counters_at(c, COUNTERS_MAX - 1)), 0);
    counters_close(c);
}

Test(counters, a_file_page_replaces_an_older_one_without_touching_it)
{
    char dir[] = "/tmp/penstock-counters-XXXXXX", path[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/counters", dir);
    struct counters *first, *second;
    cr_assert_eq(counters_open(&first, path), STATUS_OK);
    struct counter *a = counters_add(first, COUNTER_TOTAL, "a", NULL, NULL);
    cr_assert_eq(counters_open(&second, path), STATUS_OK);
    cr_assert_eq(counters_n(second), 0);
    counter_bump(a, 1);
    cr_assert_eq(counter_get(counters_at(first, 0)), 1);
    counters_close(first);
    counters_close(second);
    cr_assert_neq(counters_open(&first, "/nonexistent/x"), STATUS_OK);
    unlink(path);
    rmdir(dir);
}
