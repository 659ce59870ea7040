/*
 * rope_edit.h - a whole op on a rope, all or nothing; and rope_load's work.
 *
 * An op of several components is applied in place, after everything that can fail was done (checks,
 * attribute blocks, embeds, memory laid by); or, where it touches so much of the document that this
 * would cost more, by writing the new content beside the old and then dropping the old.
 *
 * Owner: the rope. Private to sequencer/rope*.c.
 */
#ifndef PENSTOCK_SEQUENCER_ROPE_EDIT_H
#define PENSTOCK_SEQUENCER_ROPE_EDIT_H

#include "sequencer/rope_walk.h"

/* Any checked op. STATUS_OP_INVALID, STATUS_TOO_LARGE, STATUS_NO_MEMORY. */
enum status rope_edit_apply(struct rope *r, struct bytes op,
                            const struct rope_limits *limits) must_use;
/* The same, always by writing the new content; without limits where NULL. */
enum status rope_edit_rebuild(struct rope *r, struct bytes op,
                              const struct rope_limits *limits) must_use;
/* What the counts say; to be called after every change. */
void rope_edit_count(struct rope *r);

#endif
