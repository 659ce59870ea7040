/* rope_attrs.c - see rope_attrs.h. A chained hash table in one block that doubles. */
#include "sequencer/rope_attrs.h"
#include "base/hash.h"
#include "base/say.h"

#define SLOTS_MIN 4u
#define NO_SLOT   UINT32_MAX

struct slot {
    uint8_t *block;
    uint32_t n;    /* 0: the slot is free */
    uint32_t refs; /* runs that hold it */
    uint32_t hash;
    uint32_t next; /* in its chain, or in the free list */
    uint32_t next_idle;
    uint32_t is_idle; /* in the list that the next sweep looks through */
};

struct rope_attrs {
    uint64_t seed;
    uint32_t cap; /* slots, and chains */
    uint32_t n_used;
    uint32_t free;
    uint32_t idle;
    struct slot slot[]; /* cap of them, then cap chain heads */
};

void *rope_take(struct rope *r, size_t n)
{
    uint64_t before = r->pool->used_bytes;
    void *block = pool_take(r->pool, n);
    r->mem_bytes += r->pool->used_bytes - before;
    return block;
}

void rope_give(struct rope *r, void *block, size_t n)
{
    uint64_t before = r->pool->used_bytes;
    pool_give(r->pool, block, n);
    r->mem_bytes -= before - r->pool->used_bytes;
}

static size_t table_bytes(uint32_t cap)
{
    return sizeof(struct rope_attrs) + cap * (sizeof(struct slot) + sizeof(uint32_t));
}

static uint32_t *chain_of(struct rope_attrs *t, uint32_t hash)
{
    uint32_t *heads = (uint32_t *)(void *)&t->slot[t->cap];
    return &heads[hash & (t->cap - 1)];
}

static struct rope_attrs *table_new(struct rope *r, uint32_t cap)
{
    struct rope_attrs *t = rope_take(r, table_bytes(cap));
    if (!t)
        return NULL;
    memset(t, 0, table_bytes(cap));
    /* An address keeps strangers from choosing blocks that all fall into one chain; it never shows
     * in what the rope holds or emits. */
    t->seed = (uint64_t)(uintptr_t)t * 0x9e3779b97f4a7c15ull;
    t->cap = cap;
    t->free = t->idle = NO_SLOT;
    for (uint32_t i = 0; i < cap; i++)
        *chain_of(t, i) = NO_SLOT;
    for (uint32_t i = cap; i-- > 0;) {
        t->slot[i].next = t->free;
        t->free = i;
    }
    return t;
}

static bool table_grow(struct rope *r)
{
    struct rope_attrs *old = r->attrs;
    uint32_t n = old ? old->cap : 0;
    if (n > UINT32_MAX / 4)
        return false;
    struct rope_attrs *t = table_new(r, n ? 2 * n : SLOTS_MIN);
    if (!t)
        return false;
    r->attrs = t;
    if (!old)
        return true;
    /* Full, so all its slots are in use; numbers are places, so each keeps its own. */
    t->seed = old->seed;
    t->n_used = n;
    t->idle = old->idle;
    t->free = n;
    memcpy(t->slot, old->slot, n * sizeof(struct slot));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *head = chain_of(t, t->slot[i].hash);
        t->slot[i].next = *head;
        *head = i;
    }
    rope_give(r, old, table_bytes(n));
    return true;
}

static void make_idle(struct rope_attrs *t, uint32_t i)
{
    struct slot *s = &t->slot[i];
    if (s->is_idle)
        return;
    s->is_idle = 1;
    s->next_idle = t->idle;
    t->idle = i;
}

static uint32_t find(struct rope_attrs *t, struct bytes block, uint32_t hash)
{
    for (uint32_t i = *chain_of(t, hash); i != NO_SLOT; i = t->slot[i].next) {
        const struct slot *s = &t->slot[i];
        if (s->hash == hash && bytes_eq(bytes_of(s->block, s->n), block))
            return i;
    }
    return NO_SLOT;
}

bool rope_attrs_intern(struct rope *r, struct bytes block, uint32_t *id)
{
    if (block.n == 0) {
        *id = 0;
        return true;
    }
    if (!r->attrs && !table_grow(r))
        return false;
    uint32_t hash = (uint32_t)hash64_seed(block, r->attrs->seed);
    uint32_t i = find(r->attrs, block, hash);
    if (i == NO_SLOT) {
        if (r->attrs->free == NO_SLOT && !table_grow(r))
            return false;
        struct rope_attrs *t = r->attrs;
        uint8_t *copy = rope_take(r, block.n);
        if (!copy)
            return false;
        memcpy(copy, block.p, block.n);
        i = t->free;
        t->free = t->slot[i].next;
        uint32_t *head = chain_of(t, hash);
        t->slot[i] = (struct slot){copy, (uint32_t)block.n, 0, hash, *head, NO_SLOT, 0};
        *head = i;
        t->n_used++;
        make_idle(t, i);
    }
    *id = i + 1;
    return true;
}

struct bytes rope_attrs_get(const struct rope *r, uint32_t id)
{
    if (id == 0)
        return (struct bytes){NULL, 0};
    const struct slot *s = &r->attrs->slot[id - 1];
    return bytes_of(s->block, s->n);
}

void rope_attrs_hold(struct rope *r, uint32_t id)
{
    if (id)
        r->attrs->slot[id - 1].refs++;
}

void rope_attrs_drop(struct rope *r, uint32_t id)
{
    if (id == 0)
        return;
    struct slot *s = &r->attrs->slot[id - 1];
    check_cmp(s->refs, >, 0);
    if (--s->refs == 0)
        make_idle(r->attrs, id - 1);
}

static void erase(struct rope *r, uint32_t i)
{
    struct rope_attrs *t = r->attrs;
    struct slot *s = &t->slot[i];
    uint32_t *link = chain_of(t, s->hash);
    while (*link != i)
        link = &t->slot[*link].next;
    *link = s->next;
    rope_give(r, s->block, s->n);
    *s = (struct slot){.next = t->free};
    t->free = i;
    t->n_used--;
}

void rope_attrs_sweep(struct rope *r)
{
    struct rope_attrs *t = r->attrs;
    if (!t)
        return;
    while (t->idle != NO_SLOT) {
        uint32_t i = t->idle;
        t->idle = t->slot[i].next_idle;
        t->slot[i].is_idle = 0;
        if (t->slot[i].refs == 0)
            erase(r, i);
    }
    if (t->n_used == 0) {
        rope_give(r, t, table_bytes(t->cap));
        r->attrs = NULL;
    }
}

struct rope_attrs_sum rope_attrs_sum(const struct rope *r)
{
    struct rope_attrs_sum sum = {0, 0};
    const struct rope_attrs *t = r->attrs;
    for (uint32_t i = 0; t && i < t->cap; i++) {
        const struct slot *s = &t->slot[i];
        check(s->n || s->refs == 0);
        check(s->refs || s->n == 0); /* swept */
        sum.n_holds += s->refs;
        sum.mem_bytes += s->n ? pool_cost(s->n) : 0;
    }
    sum.mem_bytes += t ? pool_cost(table_bytes(t->cap)) : 0;
    return sum;
}
