/* wheel.h against a list that is searched each second. */
#include "gateway/wheel.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define N_TIMERS 300

static struct timer timers[N_TIMERS];
static uint64_t due[N_TIMERS]; /* UINT64_MAX: not in the wheel */

Test(wheel, a_timer_comes_up_in_its_second_and_only_once)
{
    struct wheel w;
    struct timer t = {0};
    wheel_init(&w, 100);
    wheel_insert(&w, &t, 105);
    cr_assert_null(wheel_expire(&w, 104));
    cr_assert_eq(wheel_next_s(&w), 105);
    cr_assert_eq(wheel_expire(&w, 105), &t);
    cr_assert_null(wheel_expire(&w, 105));
    cr_assert_eq(wheel_next_s(&w), UINT64_MAX);
}

Test(wheel, a_timer_that_is_late_already_comes_up_at_the_next_look)
{
    struct wheel w;
    struct timer t = {0};
    wheel_init(&w, 100);
    wheel_insert(&w, &t, 3);
    cr_assert_eq(wheel_expire(&w, 100), &t);
}

Test(wheel, a_timer_several_turns_away_waits_for_its_turn)
{
    struct wheel w;
    struct timer t = {0};
    uint64_t at = 7 + 3ull * WHEEL_BUCKETS;
    wheel_init(&w, 0);
    wheel_insert(&w, &t, at);
    for (uint64_t s = 0; s < at; s++)
        cr_assert_null(wheel_expire(&w, s), "second %lu", s);
    cr_assert_eq(wheel_expire(&w, at), &t);
}

Test(wheel, a_jump_of_time_finds_everything_that_is_due)
{
    struct wheel w;
    struct timer a = {0}, b = {0}, c = {0};
    wheel_init(&w, 0);
    wheel_insert(&w, &a, 1);
    wheel_insert(&w, &b, WHEEL_BUCKETS + 1);
    wheel_insert(&w, &c, 100000);
    unsigned n = 0;
    while (wheel_expire(&w, 50000))
        n++;
    cr_assert_eq(n, 2);
    cr_assert_eq(wheel_expire(&w, 100000), &c);
}

static void expire_like_the_model(struct wheel *w, uint64_t now_s)
{
    struct timer *t;
    while ((t = wheel_expire(w, now_s))) {
        size_t i = (size_t)(t - timers);
        cr_assert_leq(due[i], now_s, "timer %zu came up early", i);
        due[i] = UINT64_MAX;
    }
    for (size_t i = 0; i < N_TIMERS; i++)
        cr_assert(due[i] == UINT64_MAX || due[i] > now_s, "timer %zu was missed", i);
}

Test(wheel, random_use_agrees_with_a_list)
{
    struct wheel w;
    uint64_t now_s = 1000;
    srand(7);
    wheel_init(&w, now_s);
    for (size_t i = 0; i < N_TIMERS; i++)
        due[i] = UINT64_MAX;
    for (unsigned step = 0; step < 20000; step++) {
        size_t i = (size_t)rand() % N_TIMERS;
        if (rand() % 3) {
            due[i] = now_s + 1 + (uint64_t)rand() % (rand() % 8 ? 50 : 4000);
            wheel_insert(&w, &timers[i], due[i]);
        } else {
            wheel_erase(&w, &timers[i]);
            due[i] = UINT64_MAX;
        }
        uint64_t first = UINT64_MAX;
        uint32_t n = 0;
        for (size_t k = 0; k < N_TIMERS; k++) {
            n += due[k] != UINT64_MAX;
            first = due[k] < first ? due[k] : first;
        }
        cr_assert_eq(w.n, n);
        cr_assert_leq(wheel_next_s(&w), first);
        if (rand() % 4 == 0) {
            now_s += (uint64_t)rand() % 5;
            expire_like_the_model(&w, now_s);
        }
    }
}
