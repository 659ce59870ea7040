/*
 * pool.h - memory for one owner, by size class, under a budget.
 *
 * Blocks of up to POOL_BLOCK_MAX come in size classes, four steps a doubling (above 64 bytes at
 * most 20 % of a block is lost), out of pages of 64 KiB, which come out of extents of 1 MiB. A page
 * whose blocks have all come back can serve any other class, and an extent without a used page goes
 * back to the OS when the budget is needed elsewhere: memory that was once spent on one size is not
 * lost to the others. Larger blocks, up to POOL_LARGE_MAX, are mappings of their own; freed ones of
 * moderate size are kept for the next. Blocks are 16-aligned and not zeroed.
 *
 * pool_take returns NULL when the budget is used up: "no room", never an abort; the caller has a
 * written answer. The caller says the size again at pool_give (no header a block); a wrong one
 * aborts where it can be told.
 *
 *     used_bytes <= held_bytes <= budget_bytes        (I1)
 *
 * Owner: one thread. No system call once the working set has been reached.
 */
#ifndef PENSTOCK_BASE_POOL_H
#define PENSTOCK_BASE_POOL_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define POOL_CLASSES      32
#define POOL_BLOCK_MAX    (8u << 10)
#define POOL_KEPT_CLASSES 16
#define POOL_LARGE_MAX    (64u << 20)
/* The budget is taken in pieces of this size for small blocks; less than one is no budget. */
#define POOL_PAGE_BYTES (64u << 10)

struct pool_page;
struct pool_extent;
struct pool_large;

struct pool {
    uint64_t budget_bytes;
    uint64_t held_bytes;                  /* taken from the OS */
    uint64_t used_bytes;                  /* handed out, rounded up to what they cost */
    struct pool_page *open[POOL_CLASSES]; /* pages of that class with a free block */
    struct pool_page *empty;              /* pages of no class */
    struct pool_extent *extents;
    struct pool_large *large;                   /* handed out */
    struct pool_large *kept[POOL_KEPT_CLASSES]; /* given back, by pages of 4 KiB */
};

enum status pool_init(struct pool *p, uint64_t budget_bytes) must_use;
void pool_fini(struct pool *p); /* everything back to the OS; blocks become invalid */

void *pool_take(struct pool *p, size_t n);
void pool_give(struct pool *p, void *block, size_t n); /* NULL is fine */
/* What a block of n bytes really costs. */
size_t pool_cost(size_t n);
/* Walks everything and aborts where the invariants do not hold: for tests. */
void pool_check(const struct pool *p);

#endif
