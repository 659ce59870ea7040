/*
 * pool.h - memory for one owner, by size class, under a budget.
 *
 * A pool takes large extents from the OS (counted against `budget_bytes`) and hands out blocks of
 * 16 bytes ... POOL_BLOCK_MAX in size classes (powers of two and their three quarter steps, so at
 * most 25 % is lost); freed blocks go to the class's list. Larger blocks up to POOL_LARGE_MAX come
 * from the same budget as mappings of their own. Blocks are 16-aligned and not zeroed.
 *
 * pool_take returns NULL when the budget is used up: "no room", never an abort; the caller has a
 * written answer. The caller says the size again at pool_give (no header a block).
 *
 * Owner: one thread. Allocation-free after warm-up: extents are kept.
 */
#ifndef PENSTOCK_BASE_POOL_H
#define PENSTOCK_BASE_POOL_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define POOL_CLASSES   64
#define POOL_BLOCK_MAX (64u << 10)
#define POOL_LARGE_MAX (64u << 20)

struct pool_free;
struct pool_extent;

struct pool {
    uint64_t budget_bytes;
    uint64_t held_bytes; /* taken from the OS */
    uint64_t used_bytes; /* handed out, rounded up to classes */
    struct pool_free *free[POOL_CLASSES];
    struct pool_extent *extents;
    uint8_t *bump;
    uint8_t *bump_end;
};

enum status pool_init(struct pool *p, uint64_t budget_bytes) must_use;
void pool_fini(struct pool *p); /* every extent back to the OS; blocks become invalid */

void *pool_take(struct pool *p, size_t n);
void pool_give(struct pool *p, void *block, size_t n); /* NULL is fine */
/* What a block of n bytes really costs. */
size_t pool_cost(size_t n);

#endif
