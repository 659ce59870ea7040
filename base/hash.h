/*
 * hash.h - the one hash of the product: XXH3-64 (xxHash). Not for secrets. Its values are stored
 * and decide placement, so neither the algorithm nor the seed rules may change.
 *
 * Any thread; pure; header only.
 */
#ifndef PENSTOCK_BASE_HASH_H
#define PENSTOCK_BASE_HASH_H

#include "base/bytes.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t hash64(struct bytes b)
{
    return XXH3_64bits(b.p, b.n);
}

static inline uint64_t hash64_seed(struct bytes b, uint64_t seed)
{
    return XXH3_64bits_withSeed(b.p, b.n, seed);
}

/* Of the parts one after the other, as if they were one slice. */
static inline uint64_t hash64_parts(const struct bytes *parts, size_t n)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n)
            XXH3_64bits_update(&state, parts[i].p, parts[i].n);
    }
    return XXH3_64bits_digest(&state);
}

#endif
