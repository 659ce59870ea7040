/* cache.c - see cache.h. */
#include "sequencer/cache.h"

#include "base/hash.h"
#include "base/say.h"

#include <sys/mman.h>

#define NO_SLOT UINT32_MAX

static void *reserve(size_t n)
{
    void *mem =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

enum status cache_open(struct cache *c, uint32_t documents_max)
{
    uint32_t n_buckets = 1024;
    while (n_buckets < documents_max && n_buckets < 1u << 30)
        n_buckets *= 2;
    *c = (struct cache){.n_buckets = n_buckets, .n_max = documents_max, .free = NO_SLOT};
    c->buckets = reserve(n_buckets * sizeof *c->buckets);
    c->slots = reserve(documents_max * sizeof *c->slots);
    if (c->buckets && c->slots)
        return STATUS_OK;
    if (c->buckets)
        munmap(c->buckets, n_buckets * sizeof *c->buckets);
    if (c->slots)
        munmap(c->slots, documents_max * sizeof *c->slots);
    c->buckets = NULL;
    c->slots = NULL;
    return STATUS_NO_MEMORY;
}

void cache_close(struct cache *c)
{
    if (c->buckets)
        munmap(c->buckets, c->n_buckets * sizeof *c->buckets);
    if (c->slots)
        munmap(c->slots, c->n_max * sizeof *c->slots);
    c->buckets = NULL;
    c->slots = NULL;
}

static uint64_t key_hash(struct bytes tenant, struct bytes doc_id)
{
    return hash64_seed(doc_id, tenant.n ? hash64(tenant) : 0);
}

struct document *cache_find(const struct cache *c, struct bytes tenant, struct bytes doc_id)
{
    uint64_t h = key_hash(tenant, doc_id);
    struct document *d = c->buckets[h & (c->n_buckets - 1)];
    while (d && !(d->key_hash == h && bytes_eq(document_id(d), doc_id) &&
                  bytes_eq(document_tenant(d), tenant)))
        d = d->table_next;
    return d;
}

static void unlink_use(struct cache *c, struct document *d)
{
    if (d->older)
        d->older->newer = d->newer;
    else
        c->oldest = d->newer;
    if (d->newer)
        d->newer->older = d->older;
    else
        c->newest = d->older;
}

static void link_newest(struct cache *c, struct document *d)
{
    d->newer = NULL;
    d->older = c->newest;
    if (c->newest)
        c->newest->newer = d;
    else
        c->oldest = d;
    c->newest = d;
}

bool cache_insert(struct cache *c, struct document *d)
{
    uint32_t slot = c->free;
    if (slot != NO_SLOT)
        c->free = c->slots[slot].next_free;
    else if (c->n_used < c->n_max)
        slot = c->n_used++;
    else
        return false;
    c->slots[slot].doc = d;
    d->slot = slot;
    d->gen = ++c->slots[slot].gen;
    d->key_hash = key_hash(document_tenant(d), document_id(d));
    struct document **bucket = &c->buckets[d->key_hash & (c->n_buckets - 1)];
    d->table_next = *bucket;
    *bucket = d;
    link_newest(c, d);
    c->n++;
    return true;
}

void cache_erase(struct cache *c, struct document *d)
{
    struct document **at = &c->buckets[d->key_hash & (c->n_buckets - 1)];
    while (*at != d) {
        check(*at);
        at = &(*at)->table_next;
    }
    *at = d->table_next;
    unlink_use(c, d);
    c->slots[d->slot].doc = NULL;
    c->slots[d->slot].next_free = c->free;
    c->free = d->slot;
    c->n--;
}

void cache_touch(struct cache *c, struct document *d)
{
    if (c->newest == d)
        return;
    unlink_use(c, d);
    link_newest(c, d);
}

bool cache_is_idle(const struct document *d)
{
    return d->state == DOCUMENT_OPEN && d->n_sessions == 0 && d->n_pins == 0 &&
           !d->presence_pending;
}
