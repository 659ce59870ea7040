/*
 * fence.h - the one full barrier of the product, for "I have told you / are you asleep" pairs,
 * where each side stores one word and then loads the other's (Dekker). Release and acquire do not
 * order a store before a later load; this does.
 *
 * Its users name their partner beside each call; they are parker_wake <-> thread_main (role.c) and
 * ring_claim <-> ring_is_awaited (ring.c). Header only.
 */
#ifndef PENSTOCK_BASE_FENCE_H
#define PENSTOCK_BASE_FENCE_H

#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define FENCE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FENCE_TSAN 1
#endif
#endif

static inline void fence_full(void)
{
#ifdef FENCE_TSAN
    /* TSan knows no fences (gcc refuses them); a read-modify-write is one too. */
    static _Atomic unsigned word;
    atomic_fetch_add_explicit(&word, 1, memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

#endif
