/*
 * rope_attrs.h - the attribute blocks that a rope's runs name by number, each kept once.
 *
 * Number 0 is "no attributes". A block lives while runs hold it; one that nobody holds (a new one,
 * or one just dropped) stays until rope_attrs_sweep, so that within one edit numbers stay good and
 * what was prepared can't fail later.
 *
 * Owner: the rope. Private to sequencer/rope*.c.
 */
#ifndef PENSTOCK_SEQUENCER_ROPE_ATTRS_H
#define PENSTOCK_SEQUENCER_ROPE_ATTRS_H

#include "sequencer/rope.h"

/* The number of an equal block, kept from now on until a sweep finds it not held. False: no
 * memory. */
bool rope_attrs_intern(struct rope *r, struct bytes block, uint32_t *id) must_use;
struct bytes rope_attrs_get(const struct rope *r, uint32_t id);
void rope_attrs_hold(struct rope *r, uint32_t id);
void rope_attrs_drop(struct rope *r, uint32_t id);
/* Gives back what nobody holds; the table too when that leaves it empty. */
void rope_attrs_sweep(struct rope *r);

/* For rope_check: what is held, summed over all blocks, and the memory of it all. */
struct rope_attrs_sum {
    uint64_t n_holds;
    uint64_t mem_bytes;
};
struct rope_attrs_sum rope_attrs_sum(const struct rope *r);

/* The rope's memory, counted. */
void *rope_take(struct rope *r, size_t n);
void rope_give(struct rope *r, void *block, size_t n);

#endif
