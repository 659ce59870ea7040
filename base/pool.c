/* pool.c - see pool.h. Pages serve one class at a time; mappings serve what is larger. */
#include "base/pool.h"
#include "base/say.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define OS_PAGE_BYTES    4096u
#define EXTENT_PAGES_MAX 16u
#define HEADER_BYTES     64u
/* Large blocks of up to this many bytes, header included, are kept when they come back. */
#define KEPT_BYTES_MAX (POOL_KEPT_CLASSES * OS_PAGE_BYTES)

struct pool_extent { /* at the start of its first page */
    struct pool_extent *next;
    uint32_t n_pages;
    uint32_t n_empty;
    uint8_t pad[48];
};

struct pool_page { /* behind that place in each page */
    struct pool_page *next;
    struct pool_page *prev;
    struct pool_extent *extent;
    void *free;       /* blocks that came back, linked through their first word */
    uint32_t n_taken; /* handed out now */
    uint32_t n_fresh; /* blocks that were handed out at least once */
    uint32_t n_blocks;
    uint32_t class; /* POOL_CLASSES: none */
    uint8_t pad[16];
};

struct pool_large { /* in front of the block */
    struct pool_large *next;
    struct pool_large *prev;
    uint64_t bytes; /* of the mapping */
    uint8_t pad[40];
};
_Static_assert(sizeof(struct pool_extent) == HEADER_BYTES, "blocks stay 16-aligned");
_Static_assert(sizeof(struct pool_page) == HEADER_BYTES, "blocks stay 16-aligned");
_Static_assert(sizeof(struct pool_large) == HEADER_BYTES, "blocks stay 16-aligned");

/* ---- sizes ---- */

/* 16, 32, 48, 64, then four steps a doubling: 80, 96, 112, 128, 160 ... */
static unsigned class_of(size_t n)
{
    if (n <= 64)
        return n ? (unsigned)((n - 1) / 16) : 0;
    unsigned top = 63u - (unsigned)__builtin_clzll(n - 1);
    return 4 * (top - 6) + (unsigned)((n - 1) >> (top - 2));
}

static size_t class_bytes(unsigned class)
{
    if (class < 4)
        return 16u * (class + 1);
    unsigned top = class / 4 + 5;
    return (size_t)(class % 4 + 5) << (top - 2);
}

static size_t large_bytes(size_t n)
{
    return (n + HEADER_BYTES + OS_PAGE_BYTES - 1) & ~(size_t)(OS_PAGE_BYTES - 1);
}

size_t pool_cost(size_t n)
{
    return n <= POOL_BLOCK_MAX ? class_bytes(class_of(n)) : large_bytes(n);
}

/* ---- pages ---- */

static struct pool_page *page_of(void *block)
{
    uintptr_t at = (uintptr_t)block & ~(uintptr_t)(POOL_PAGE_BYTES - 1);
    return (struct pool_page *)(at + HEADER_BYTES);
}

static uint8_t *page_blocks(struct pool_page *page)
{
    return (uint8_t *)page + HEADER_BYTES;
}

static void page_link(struct pool_page **list, struct pool_page *page)
{
    page->prev = NULL;
    page->next = *list;
    if (*list)
        (*list)->prev = page;
    *list = page;
}

static void page_unlink(struct pool_page **list, struct pool_page *page)
{
    if (page->prev)
        page->prev->next = page->next;
    else
        *list = page->next;
    if (page->next)
        page->next->prev = page->prev;
}

/* Address space is mapped a page larger than needed and trimmed, so that pages are aligned to their
 * size and a block finds its page by a mask. */
static void *map_aligned(size_t bytes)
{
    size_t more = bytes + POOL_PAGE_BYTES;
    uint8_t *raw = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    size_t skip = -(uintptr_t)raw & (POOL_PAGE_BYTES - 1);
    if (skip)
        munmap(raw, skip);
    munmap(raw + skip + bytes, more - skip - bytes);
    return raw + skip;
}

static void drop_kept(struct pool *p)
{
    for (unsigned i = 0; i < POOL_KEPT_CLASSES; i++) {
        while (p->kept[i]) {
            struct pool_large *large = p->kept[i];
            p->kept[i] = large->next;
            p->held_bytes -= large->bytes;
            ASAN_UNPOISON_MEMORY_REGION(large, large->bytes);
            munmap(large, large->bytes);
        }
    }
}

static bool add_extent(struct pool *p)
{
    if (p->budget_bytes - p->held_bytes < POOL_PAGE_BYTES)
        drop_kept(p);
    uint64_t left = (p->budget_bytes - p->held_bytes) / POOL_PAGE_BYTES;
    unsigned n = left < EXTENT_PAGES_MAX ? (unsigned)left : EXTENT_PAGES_MAX;
    struct pool_extent *extent = n ? map_aligned((size_t)n * POOL_PAGE_BYTES) : NULL;
    if (!extent)
        return false;
    p->held_bytes += (uint64_t)n * POOL_PAGE_BYTES;
    extent->next = p->extents;
    extent->n_pages = extent->n_empty = n;
    p->extents = extent;
    for (unsigned i = n; i-- > 0;) {
        struct pool_page *page = page_of((uint8_t *)extent + (size_t)i * POOL_PAGE_BYTES);
        page->extent = extent;
        page->class = POOL_CLASSES;
        page_link(&p->empty, page);
    }
    return true;
}

/* Gives extents without a used page back to the OS: somebody needs their share of the budget. */
static void drop_extents(struct pool *p)
{
    for (struct pool_extent **at = &p->extents; *at;) {
        struct pool_extent *extent = *at;
        if (extent->n_empty < extent->n_pages) {
            at = &extent->next;
            continue;
        }
        *at = extent->next;
        size_t bytes = (size_t)extent->n_pages * POOL_PAGE_BYTES;
        for (unsigned i = 0; i < extent->n_pages; i++)
            page_unlink(&p->empty, page_of((uint8_t *)extent + (size_t)i * POOL_PAGE_BYTES));
        p->held_bytes -= bytes;
        ASAN_UNPOISON_MEMORY_REGION(extent, bytes);
        munmap(extent, bytes);
    }
}

static struct pool_page *open_page(struct pool *p, unsigned class)
{
    if (!p->empty && !add_extent(p))
        return NULL;
    struct pool_page *page = p->empty;
    page_unlink(&p->empty, page);
    page->extent->n_empty--;
    page->free = NULL;
    page->n_taken = page->n_fresh = 0;
    page->n_blocks = (uint32_t)((POOL_PAGE_BYTES - 2 * HEADER_BYTES) / class_bytes(class));
    page->class = class;
    page_link(&p->open[class], page);
    ASAN_POISON_MEMORY_REGION(page_blocks(page), POOL_PAGE_BYTES - 2 * HEADER_BYTES);
    return page;
}

static void *take_small(struct pool *p, size_t n)
{
    unsigned class = class_of(n);
    struct pool_page *page = p->open[class];
    if (!page && !(page = open_page(p, class)))
        return NULL;
    size_t bytes = class_bytes(class);
    void *block = page->free;
    if (block) {
        ASAN_UNPOISON_MEMORY_REGION(block, bytes);
        memcpy(&page->free, block, sizeof page->free);
    } else {
        block = page_blocks(page) + page->n_fresh++ * bytes;
        ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    }
    if (++page->n_taken == page->n_blocks)
        page_unlink(&p->open[class], page);
    p->used_bytes += bytes;
    return block;
}

static void give_small(struct pool *p, void *block, size_t n)
{
    struct pool_page *page = page_of(block);
    unsigned class = class_of(n);
    check_cmp(page->class, ==, class);
    check_cmp(page->n_taken, >, 0);
    size_t bytes = class_bytes(class);
    memcpy(block, &page->free, sizeof page->free);
    page->free = block;
    ASAN_POISON_MEMORY_REGION(block, bytes);
    p->used_bytes -= bytes;
    if (page->n_taken-- == page->n_blocks)
        page_link(&p->open[class], page);
    /* The last open page of a class stays, else a block taken and given in turn would open and
     * empty a page each time. */
    if (page->n_taken == 0 && (page->next || page->prev)) {
        page_unlink(&p->open[class], page);
        page->class = POOL_CLASSES;
        page->extent->n_empty++;
        page_link(&p->empty, page);
    }
}

/* ---- large blocks ---- */

/* Pages that only wait for blocks of their class, in a class that has none out, are empty too. */
static void empty_idle_pages(struct pool *p)
{
    for (unsigned class = 0; class < POOL_CLASSES; class ++) {
        struct pool_page *page = p->open[class];
        if (page && !page->next && page->n_taken == 0) {
            page_unlink(&p->open[class], page);
            page->class = POOL_CLASSES;
            page->extent->n_empty++;
            page_link(&p->empty, page);
        }
    }
}

static bool fits_budget(struct pool *p, size_t bytes)
{
    if (p->budget_bytes - p->held_bytes >= bytes)
        return true;
    drop_kept(p);
    if (p->budget_bytes - p->held_bytes >= bytes)
        return true;
    empty_idle_pages(p);
    drop_extents(p);
    return p->budget_bytes - p->held_bytes >= bytes;
}

static void large_link(struct pool *p, struct pool_large *large)
{
    large->prev = NULL;
    large->next = p->large;
    if (p->large)
        p->large->prev = large;
    p->large = large;
}

static void *take_large(struct pool *p, size_t n)
{
    if (n > POOL_LARGE_MAX)
        return NULL;
    size_t bytes = large_bytes(n);
    struct pool_large **kept = bytes <= KEPT_BYTES_MAX ? &p->kept[bytes / OS_PAGE_BYTES - 1] : NULL;
    struct pool_large *large = kept ? *kept : NULL;
    if (large) {
        *kept = large->next;
        ASAN_UNPOISON_MEMORY_REGION(large, bytes);
    } else {
        if (!fits_budget(p, bytes))
            return NULL;
        large = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (large == MAP_FAILED)
            return NULL;
        large->bytes = bytes;
        p->held_bytes += bytes;
    }
    large_link(p, large);
    p->used_bytes += bytes;
    return (uint8_t *)large + HEADER_BYTES;
}

static void give_large(struct pool *p, void *block, size_t n)
{
    struct pool_large *large = (struct pool_large *)((uint8_t *)block - HEADER_BYTES);
    size_t bytes = large_bytes(n);
    check_cmp(large->bytes, ==, bytes);
    if (large->prev)
        large->prev->next = large->next;
    else
        p->large = large->next;
    if (large->next)
        large->next->prev = large->prev;
    p->used_bytes -= bytes;
    if (bytes <= KEPT_BYTES_MAX) {
        struct pool_large **kept = &p->kept[bytes / OS_PAGE_BYTES - 1];
        large->next = *kept;
        *kept = large;
        ASAN_POISON_MEMORY_REGION(block, bytes - HEADER_BYTES);
    } else {
        p->held_bytes -= bytes;
        munmap(large, bytes);
    }
}

/* ---- the pool ---- */

enum status pool_init(struct pool *p, uint64_t budget_bytes)
{
    *p = (struct pool){.budget_bytes = budget_bytes};
    return STATUS_OK;
}

void pool_fini(struct pool *p)
{
    drop_kept(p);
    while (p->large) {
        struct pool_large *large = p->large;
        p->large = large->next;
        munmap(large, large->bytes);
    }
    while (p->extents) {
        struct pool_extent *extent = p->extents;
        size_t bytes = (size_t)extent->n_pages * POOL_PAGE_BYTES;
        p->extents = extent->next;
        ASAN_UNPOISON_MEMORY_REGION(extent, bytes);
        munmap(extent, bytes);
    }
    *p = (struct pool){0};
}

void *pool_take(struct pool *p, size_t n)
{
    if (n > POOL_BLOCK_MAX)
        return take_large(p, n);
    void *block = take_small(p, n);
    if (!block) {
        /* A class without blocks out may sit on the page that this one needs. */
        empty_idle_pages(p);
        block = take_small(p, n);
    }
    return block;
}

void pool_give(struct pool *p, void *block, size_t n)
{
    if (!block)
        return;
    if (n <= POOL_BLOCK_MAX)
        give_small(p, block, n);
    else
        give_large(p, block, n);
}

static void check_extent(const struct pool_extent *extent, uint64_t *used_bytes)
{
    uint32_t n_empty = 0;
    for (unsigned i = 0; i < extent->n_pages; i++) {
        const struct pool_page *page =
            (const struct pool_page *)((const uint8_t *)extent + (size_t)i * POOL_PAGE_BYTES +
                                       HEADER_BYTES);
        check(page->extent == extent);
        if (page->class == POOL_CLASSES) {
            n_empty++;
            continue;
        }
        check_cmp(page->class, <, POOL_CLASSES);
        check_cmp(page->n_taken, <=, page->n_fresh);
        check_cmp(page->n_fresh, <=, page->n_blocks);
        *used_bytes += page->n_taken * class_bytes(page->class);
    }
    check_cmp(n_empty, ==, extent->n_empty);
}

void pool_check(const struct pool *p)
{
    uint64_t held_bytes = 0, used_bytes = 0;
    for (const struct pool_extent *extent = p->extents; extent; extent = extent->next) {
        held_bytes += (uint64_t)extent->n_pages * POOL_PAGE_BYTES;
        check_extent(extent, &used_bytes);
    }
    for (const struct pool_large *large = p->large; large; large = large->next) {
        held_bytes += large->bytes;
        used_bytes += large->bytes;
    }
    for (unsigned i = 0; i < POOL_KEPT_CLASSES; i++) {
        for (const struct pool_large *large = p->kept[i]; large; large = large->next)
            held_bytes += large->bytes;
    }
    check_cmp(held_bytes, ==, p->held_bytes);
    check_cmp(used_bytes, ==, p->used_bytes);
    check_cmp(used_bytes, <=, held_bytes);
    check_cmp(held_bytes, <=, p->budget_bytes);
}
