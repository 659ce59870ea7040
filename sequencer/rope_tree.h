/*
 * rope_tree.h - the inner nodes of a rope, and single edits on it: one place, or one range.
 *
 * Every edit is atomic: it happens whole, or fails before anything was changed (a split that
 * preceded a failure does not show in the content). What takes several of them prepares with
 * rope_spares_take, and then none can fail for want of memory.
 *
 * Owner: the rope. Private to sequencer/rope*.c.
 */
#ifndef PENSTOCK_SEQUENCER_ROPE_TREE_H
#define PENSTOCK_SEQUENCER_ROPE_TREE_H

#include "sequencer/rope_leaf.h"

#define ROPE_FANOUT     31u
#define ROPE_HEIGHT_MAX 16u

struct rope_inner {
    uint32_t n;
    uint32_t pad;
    uint32_t u16[ROPE_FANOUT];
    uint32_t bytes[ROPE_FANOUT];
    void *child[ROPE_FANOUT];
};
_Static_assert(sizeof(struct rope_inner) == 512 - 8, "fits a size class");

/* From the root to a leaf: at level i, entry idx[i] of node[i]. */
struct rope_path {
    struct rope_inner *node[ROPE_HEIGHT_MAX];
    uint32_t idx[ROPE_HEIGHT_MAX];
    struct rope_leaf *leaf;
    uint32_t at_u16; /* the position within the leaf */
};

/* Blocks laid by, for edits that must not fail. */
struct rope_spare;
struct rope_spares {
    struct rope_spare *leaves;
    struct rope_spare *inners;
};

/* False: no memory, and nothing is held. */
bool rope_spares_take(struct rope *r, struct rope_spares *s, uint64_t n_leaves,
                      uint64_t n_inners) must_use;
void rope_spares_give(struct rope *r, struct rope_spares *s);

/* The leaf with unit `pos` (at most n_u16, the rope not empty); between two leaves the left one, or
 * with `right` the right one. */
void rope_tree_find(const struct rope *r, uint64_t pos, bool right, struct rope_path *path);
/* Whether `pos` is in the document and not between the halves of a pair. */
bool rope_tree_is_boundary(const struct rope *r, uint64_t pos);
/* How many bytes of leaves lie before that boundary. */
uint64_t rope_tree_bytes_before(const struct rope *r, uint64_t pos);

/* At most ROPE_PIECE_BYTES, or an embed's pointer. STATUS_OP_INVALID, STATUS_NO_MEMORY. */
enum status rope_tree_insert(struct rope *r, struct rope_spares *s, uint64_t pos, struct bytes text,
                             uint32_t n_u16, uint32_t attrs) must_use;
/* Both ends are boundaries. Never fails. */
void rope_tree_erase(struct rope *r, uint64_t pos, uint64_t n_u16);
/* Both ends are boundaries; `restyle` does not fail. STATUS_NO_MEMORY: a part may be done. */
enum status rope_tree_format(struct rope *r, struct rope_spares *s, uint64_t pos, uint64_t n_u16,
                             rope_restyle *restyle, void *self) must_use;

/* Frees all nodes and what runs hold; the rope is empty then (attribute blocks wait for a
 * sweep). */
void rope_tree_clear(struct rope *r);

#endif
