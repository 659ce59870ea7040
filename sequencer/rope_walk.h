/*
 * rope_walk.h - the content of a rope from a position on, a piece at a time.
 *
 * A piece lies in one leaf and one run. It stays valid as long as the rope is not changed.
 *
 * Owner: the rope. Private to sequencer/rope*.c.
 */
#ifndef PENSTOCK_SEQUENCER_ROPE_WALK_H
#define PENSTOCK_SEQUENCER_ROPE_WALK_H

#include "sequencer/rope_tree.h"

struct rope_walk {
    const struct rope *r;
    struct rope_path path;
    struct rope_spot spot; /* where the next piece begins */
    bool is_end;
    bool is_cut; /* sticky: a pair would have been split */
};

struct rope_piece {
    const uint8_t *text; /* of an embed: its pointer */
    uint32_t n_bytes;
    uint32_t n_u16;
    uint32_t attrs; /* with ROPE_EMBED for an embed */
};

/* `pos` is a boundary in the document. */
struct rope_walk rope_walk_from(const struct rope *r, uint64_t pos);
/* At most max_u16 (> 0) units; false at the end, or where that would split a pair (is_cut). */
bool rope_walk_next(struct rope_walk *w, uint64_t max_u16, struct rope_piece *piece);

#endif
