/*
 * cache.h - the documents that a shard has in memory, by (tenant, doc_id), and their order of use.
 *
 * Every document here has a slot and a generation, by which gateways key their fan-out tables. The
 * list by last use is what eviction takes from, oldest first; whether a document may go is the
 * shard's decision (cache_is_idle, and whether the view has it).
 *
 * Owner: the shard role. The tables are reserved at open (address space; pages as they are used).
 */
#ifndef PENSTOCK_SEQUENCER_CACHE_H
#define PENSTOCK_SEQUENCER_CACHE_H

#include "sequencer/document.h"

struct cache_slot {
    struct document *doc;
    uint32_t gen;
    uint32_t next_free;
};

struct cache {
    struct document **buckets;
    uint32_t n_buckets; /* a power of two */
    struct cache_slot *slots;
    uint32_t n_max;
    uint32_t n_used;
    uint32_t free;
    uint32_t n; /* documents now */
    struct document *oldest;
    struct document *newest;
};

enum status cache_open(struct cache *c, uint32_t documents_max) must_use;
/* The documents themselves go with the pool. */
void cache_close(struct cache *c);

struct document *cache_find(const struct cache *c, struct bytes tenant, struct bytes doc_id);
/* Puts a document in that is not there yet; false: full. */
bool cache_insert(struct cache *c, struct document *d);
void cache_erase(struct cache *c, struct document *d);
/* It was used now. */
void cache_touch(struct cache *c, struct document *d);

/* Nobody is connected to it and nothing waits for it. */
bool cache_is_idle(const struct document *d);

#endif
