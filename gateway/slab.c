/* slab.c - shared send buffers and queues of their slices; see slab.h. */
#include "gateway/slab.h"

#include "base/say.h"

#include <stdlib.h>

#define FREE_SLABS_MAX 64u
#define COPY_BYTES_MAX 4096u
#define OWN_SLAB_BYTES (16u << 10)
#define BLOCK_BATCH    32u

struct slab_batch {
    struct slab_batch *next;
    struct slab_block blocks[BLOCK_BATCH];
};

/* ---- slabs ---- */

void slab_pool_init(struct slab_pool *p, uint64_t bytes_max)
{
    *p = (struct slab_pool){.bytes_max = bytes_max};
}

static size_t slab_cost(const struct slab *s)
{
    return sizeof *s + s->bytes;
}

uint64_t slab_pool_used_bytes(const struct slab_pool *p)
{
    return p->held_bytes - (uint64_t)p->n_free * SLAB_BYTES;
}

static void slab_free(struct slab_pool *p, struct slab *s)
{
    p->held_bytes -= slab_cost(s);
    free(s);
}

static struct slab *free_list_pop(struct slab_pool *p)
{
    struct slab *s = p->free;
    p->free = s->next;
    p->n_free--;
    return s;
}

static struct slab *slab_new(struct slab_pool *p, uint32_t room)
{
    struct slab *s = NULL;
    if (room == SLAB_ROOM && p->free) {
        s = free_list_pop(p);
    } else {
        size_t cost = sizeof *s + room;
        while (p->held_bytes + cost > p->bytes_max && p->free)
            slab_free(p, free_list_pop(p));
        if (p->held_bytes + cost > p->bytes_max)
            return NULL;
        s = malloc(cost);
        if (!s)
            return NULL;
        p->held_bytes += cost;
        s->bytes = room;
        s->pad = 0;
    }
    s->refs = 1;
    s->used = 0;
    return s;
}

static void slab_release(struct slab_pool *p, struct slab *s)
{
    if (!s || --s->refs)
        return;
    if (s->bytes != SLAB_ROOM || p->n_free >= FREE_SLABS_MAX) {
        slab_free(p, s);
        return;
    }
    s->next = p->free;
    p->free = s;
    p->n_free++;
}

static void release_retired(struct slab_pool *p)
{
    while (p->retired) {
        struct slab *s = p->retired;
        p->retired = s->next;
        slab_release(p, s);
    }
}

static void retire(struct slab_pool *p, struct slab *s)
{
    s->next = p->retired;
    p->retired = s;
}

void slab_pool_fini(struct slab_pool *p)
{
    release_retired(p);
    slab_release(p, p->current);
    while (p->free)
        slab_free(p, free_list_pop(p));
    check_cmp(p->held_bytes, ==, 0);
    for (struct slab_batch *b = p->batches, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *p = (struct slab_pool){0};
}

uint8_t *slab_pool_reserve(struct slab_pool *p, size_t n, struct slab **slab)
{
    check(!p->reserved);
    if (n > UINT32_MAX / 2)
        return NULL;
    struct slab *s = p->current;
    if (n > SLAB_ROOM) {
        s = slab_new(p, (uint32_t)n);
        if (s)
            retire(p, s);
    } else if (!s || s->bytes - s->used < n) {
        struct slab *fresh = slab_new(p, SLAB_ROOM);
        if (fresh && s)
            retire(p, s);
        if (fresh)
            p->current = fresh;
        s = fresh;
    }
    if (!s)
        return NULL;
    *slab = p->reserved = s;
    return s->data + s->used;
}

void slab_pool_commit(struct slab_pool *p, struct slab *s, size_t n, uint32_t *offset)
{
    check(p->reserved == s);
    check_cmp(n, <=, s->bytes - s->used);
    p->reserved = NULL;
    *offset = s->used;
    s->used += (uint32_t)n;
}

void slab_pool_rest(struct slab_pool *p)
{
    check(!p->reserved);
    if (p->current && p->current->refs == 1)
        p->current->used = 0;
    release_retired(p);
}

/* ---- queues ---- */

static struct slab_block *block_take(struct slab_pool *p)
{
    if (!p->free_blocks) {
        struct slab_batch *batch = malloc(sizeof *batch);
        if (!batch)
            return NULL;
        batch->next = p->batches;
        p->batches = batch;
        for (unsigned i = BLOCK_BATCH; i-- > 0;) {
            batch->blocks[i].next = p->free_blocks;
            p->free_blocks = &batch->blocks[i];
        }
    }
    struct slab_block *b = p->free_blocks;
    p->free_blocks = b->next;
    b->next = NULL;
    b->head = b->tail = 0;
    return b;
}

static void block_give(struct slab_pool *p, struct slab_block *b)
{
    b->next = p->free_blocks;
    p->free_blocks = b;
}

static bool push(struct slab_pool *p, struct slab_queue *q, struct slab *s, uint32_t offset,
                 uint32_t n)
{
    struct slab_block *b = q->last;
    if (b && q->n_slices > q->n_locked) {
        struct slab_slice *last = &b->slices[b->tail - 1];
        if (last->slab == s && last->offset + last->n == offset) {
            last->n += n;
            q->bytes += n;
            return true;
        }
    }
    if (!b || b->tail == SLAB_BLOCK_SLICES) {
        struct slab_block *fresh = block_take(p);
        if (!fresh)
            return false;
        if (b)
            b->next = fresh;
        else
            q->first = fresh;
        q->last = b = fresh;
    }
    b->slices[b->tail++] = (struct slab_slice){s, offset, n};
    s->refs++;
    q->n_slices++;
    q->bytes += n;
    return true;
}

static bool push_copy(struct slab_pool *p, struct slab_queue *q, const uint8_t *from, uint32_t n)
{
    if (!q->own || q->own->bytes - q->own->used < n) {
        struct slab *fresh = slab_new(p, OWN_SLAB_BYTES);
        if (!fresh)
            return false;
        slab_release(p, q->own);
        q->own = fresh;
    }
    uint32_t offset = q->own->used;
    memcpy(q->own->data + offset, from, n);
    if (!push(p, q, q->own, offset, n))
        return false;
    q->own->used += n;
    return true;
}

bool slab_queue_add(struct slab_pool *p, struct slab_queue *q, struct slab *s, uint32_t offset,
                    uint32_t n)
{
    if (n == 0)
        return true;
    if (q->n_slices >= SLAB_SHARED_SLICES_MAX && n <= COPY_BYTES_MAX)
        return push_copy(p, q, s->data + offset, n);
    return push(p, q, s, offset, n);
}

unsigned slab_queue_gather(struct slab_queue *q, struct iovec *iov, unsigned iov_max,
                           size_t bytes_max)
{
    unsigned k = 0;
    q->n_locked = 0;
    for (struct slab_block *b = q->first; b && k < iov_max && bytes_max; b = b->next) {
        for (uint32_t i = b->head; i < b->tail && k < iov_max && bytes_max; i++) {
            struct slab_slice *s = &b->slices[i];
            size_t n = s->n < bytes_max ? s->n : bytes_max;
            iov[k++] = (struct iovec){s->slab->data + s->offset, n};
            bytes_max -= n;
        }
    }
    q->n_locked = k;
    return k;
}

/* Takes the front slice off, which may empty its block. */
static void pop(struct slab_pool *p, struct slab_queue *q)
{
    struct slab_block *b = q->first;
    slab_release(p, b->slices[b->head].slab);
    q->is_begun = false;
    q->n_slices--;
    if (++b->head < b->tail)
        return;
    q->first = b->next;
    if (!q->first)
        q->last = NULL;
    block_give(p, b);
}

static void forget_own(struct slab_pool *p, struct slab_queue *q)
{
    slab_release(p, q->own);
    q->own = NULL;
}

void slab_queue_sent(struct slab_pool *p, struct slab_queue *q, size_t n)
{
    check_cmp(n, <=, q->bytes);
    q->n_locked = 0;
    q->bytes -= n;
    q->sent_bytes += n;
    while (n) {
        struct slab_slice *s = &q->first->slices[q->first->head];
        if (n < s->n) {
            s->offset += (uint32_t)n;
            s->n -= (uint32_t)n;
            q->is_begun = true;
            return;
        }
        n -= s->n;
        pop(p, q);
    }
    if (!q->n_slices && q->own)
        forget_own(p, q);
}

void slab_queue_drop(struct slab_pool *p, struct slab_queue *q)
{
    uint32_t keep = q->n_locked ? q->n_locked : q->is_begun;
    uint32_t n_slices = keep;
    struct slab_block *last = NULL;
    for (struct slab_block *b = q->first, *next; b; b = next) {
        next = b->next;
        uint32_t n = b->tail - b->head, kept = n < keep ? n : keep;
        keep -= kept;
        for (uint32_t i = b->head + kept; i < b->tail; i++) {
            q->bytes -= b->slices[i].n;
            slab_release(p, b->slices[i].slab);
        }
        b->tail = b->head + kept;
        if (kept) {
            last = b;
            continue;
        }
        block_give(p, b);
    }
    q->n_slices = n_slices;
    q->last = last;
    if (last)
        last->next = NULL;
    else
        q->first = NULL;
    forget_own(p, q);
}

void slab_queue_clear(struct slab_pool *p, struct slab_queue *q)
{
    while (q->n_slices)
        pop(p, q);
    forget_own(p, q);
    *q = (struct slab_queue){0};
}
