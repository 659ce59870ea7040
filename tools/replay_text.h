/*
 * replay_text.h - a person's view of a document: UTF-16 units in a gap buffer, edited by patches in
 * code points and by ops. One thread.
 */
#ifndef PENSTOCK_TOOLS_REPLAY_TEXT_H
#define PENSTOCK_TOOLS_REPLAY_TEXT_H

#include "net/op.h"
#include "tools/trace.h"

struct replay_text {
    uint16_t *units;
    size_t room;
    size_t gap;       /* where the gap begins */
    size_t gap_units; /* its length */
    size_t n_pairs;   /* surrogate pairs: with none, code points are units */
};

enum status replay_text_open(struct replay_text *t, struct bytes utf8) must_use;
void replay_text_close(struct replay_text *t);
size_t replay_text_units(const struct replay_text *t);

/* Does one patch, and says it as an op. STATUS_OP_INVALID: past the end. */
enum status replay_text_patch(struct replay_text *t, const struct trace_patch *p, void *buf,
                              size_t buf_bytes, struct bytes *op) must_use;
/* Applies an op of plain text. */
enum status replay_text_apply(struct replay_text *t, struct bytes op) must_use;
/* The text as UTF-8, in memory that the caller frees; NULL: no memory. */
uint8_t *replay_text_utf8(const struct replay_text *t, size_t *n);

#endif
