/* wheel.c - coarse timers; see wheel.h. */
#include "gateway/wheel.h"

#include <stddef.h>
#include <string.h>

void wheel_init(struct wheel *w, uint64_t now_s)
{
    memset(w, 0, sizeof *w);
    w->now_s = now_s;
}

void wheel_insert(struct wheel *w, struct timer *t, uint64_t due_s)
{
    wheel_erase(w, t);
    t->due_s = due_s < w->now_s ? w->now_s : due_s;
    struct timer **bucket = &w->buckets[t->due_s % WHEEL_BUCKETS];
    t->next = *bucket;
    t->link = bucket;
    if (t->next)
        t->next->link = &t->next;
    *bucket = t;
    w->n++;
}

void wheel_erase(struct wheel *w, struct timer *t)
{
    if (!t->link)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->link = NULL;
    t->next = NULL;
    w->n--;
}

struct timer *wheel_expire(struct wheel *w, uint64_t now_s)
{
    if (now_s >= w->now_s + WHEEL_BUCKETS)
        w->now_s = now_s - WHEEL_BUCKETS + 1; /* one turn sees every bucket */
    for (; w->now_s <= now_s; w->now_s++) {
        for (struct timer *t = w->buckets[w->now_s % WHEEL_BUCKETS]; t; t = t->next) {
            if (t->due_s > now_s)
                continue;
            wheel_erase(w, t);
            return t;
        }
        if (w->now_s == now_s)
            break; /* more may be put into this second while it lasts */
    }
    return NULL;
}

uint64_t wheel_next_s(const struct wheel *w)
{
    if (w->n == 0)
        return UINT64_MAX;
    for (uint64_t s = w->now_s; s < w->now_s + WHEEL_BUCKETS; s++)
        if (w->buckets[s % WHEEL_BUCKETS])
            return s;
    return UINT64_MAX;
}
