/* outbox.c - see outbox.h. */
#include "sequencer/outbox.h"

void outbox_init(struct outbox *o, struct link_end *link)
{
    o->link = link;
    o->last_mark = ring_mark(&link->tx);
    o->first = 0;
    o->n = 0;
}

void outbox_mark(struct outbox *o, uint64_t need_idx)
{
    uint64_t mark = ring_mark(&o->link->tx);
    if (mark == o->last_mark)
        return;
    o->last_mark = mark;
    if (o->n > 0) {
        struct outbox_entry *newest = &o->entries[(o->first + o->n - 1) % OUTBOX_MARKS];
        if (newest->need_idx == need_idx || o->n == OUTBOX_MARKS) {
            *newest = (struct outbox_entry){mark, need_idx};
            return;
        }
    }
    o->entries[(o->first + o->n++) % OUTBOX_MARKS] = (struct outbox_entry){mark, need_idx};
}

bool outbox_publish(struct outbox *o, uint64_t durable_idx)
{
    uint64_t mark = 0;
    bool any = false;
    while (o->n > 0 && o->entries[o->first].need_idx <= durable_idx) {
        mark = o->entries[o->first].mark;
        any = true;
        o->first = (o->first + 1) % OUTBOX_MARKS;
        o->n--;
    }
    if (!any || !ring_publish(&o->link->tx, mark))
        return false;
    link_wake(o->link);
    return true;
}

bool outbox_is_empty(const struct outbox *o)
{
    return o->n == 0 && o->last_mark == ring_mark(&o->link->tx);
}
