/*
 * rope_leaf.h - one leaf of a rope: a block with text from the front and runs from the back.
 *
 *     | head | text bytes -->      free      <-- run n-1 ... run 1 run 0 |
 *
 * Without runs the whole text is plain: a document without attributes has no run anywhere. With
 * runs, they cover the text in order. An embed is a run of 1 unit whose 8 bytes of "text" are a
 * pointer to its struct rope_embed. Neighbouring text runs differ in attributes. Room for one run
 * is always left, so that plain text can become one styled run without moving.
 *
 * Characters are never cut: a leaf and a run begin and end between characters.
 *
 * Owner: the rope. Private to sequencer/rope*.c. Positions are checked by rope_leaf_find; what else
 * is asked of callers is that there is room.
 */
#ifndef PENSTOCK_SEQUENCER_ROPE_LEAF_H
#define PENSTOCK_SEQUENCER_ROPE_LEAF_H

#include "sequencer/rope_attrs.h"

#define ROPE_LEAF_BLOCK_MAX 1024u
#define ROPE_LEAF_HEAD      8u
#define ROPE_LEAF_ROOM      (ROPE_LEAF_BLOCK_MAX - ROPE_LEAF_HEAD)
#define ROPE_RUN_BYTES      8u
/* A change inside a leaf adds at most this many bytes of runs. */
#define ROPE_LEAF_RUNS_MORE (2 * ROPE_RUN_BYTES)
/* Text goes in in pieces of at most this many bytes: always fits half a leaf. */
#define ROPE_PIECE_BYTES 256u
/* In a run's `attrs`: this run is an embed. */
#define ROPE_EMBED 0x80000000u

struct rope_run {
    uint32_t attrs;
    uint16_t n_u16;
    uint16_t n_bytes;
};
_Static_assert(sizeof(struct rope_run) == ROPE_RUN_BYTES, "runs are counted in bytes");

struct rope_leaf {
    uint16_t block_bytes;
    uint16_t n_bytes;
    uint16_t n_u16;
    uint16_t n_runs;
    uint8_t text[];
};
_Static_assert(sizeof(struct rope_leaf) == ROPE_LEAF_HEAD, "the head is counted in bytes");

struct rope_embed {
    struct rope_embed *next; /* while it waits to be placed */
    uint32_t refs;
    uint32_t n;
    uint8_t json[];
};

/* A place in a leaf: run `run`, so far into it, and `at` bytes into the text. */
struct rope_spot {
    uint32_t run;
    uint32_t run_u16;
    uint32_t run_bytes;
    uint32_t at;
};

static inline struct rope_run *rope_leaf_run(const struct rope_leaf *leaf, uint32_t i)
{
    uintptr_t end = (uintptr_t)leaf + leaf->block_bytes;
    return (struct rope_run *)(end - (i + 1) * sizeof(struct rope_run));
}

static inline uint32_t rope_leaf_used(const struct rope_leaf *leaf)
{
    return leaf->n_bytes + (leaf->n_runs ? leaf->n_runs : 1u) * ROPE_RUN_BYTES;
}

static inline uint32_t rope_leaf_room(const struct rope_leaf *leaf)
{
    return leaf->block_bytes - ROPE_LEAF_HEAD - rope_leaf_used(leaf);
}

static inline struct rope_embed *rope_leaf_embed(const uint8_t *text)
{
    struct rope_embed *e;
    memcpy(&e, text, sizeof e);
    return e;
}

/* `block_bytes` is what a block for `need` bytes of text and runs costs. */
size_t rope_leaf_block_bytes(uint32_t need);
/* utf16_offset for text whose units are known: at once where each takes one byte. */
bool rope_text_offset(const uint8_t *text, uint32_t n_bytes, uint32_t n_u16, uint32_t u16,
                      uint32_t *bytes);
void rope_leaf_init(struct rope_leaf *leaf, size_t block_bytes);
/* The same content in another block that is large enough; the old one is left as it is. */
void rope_leaf_copy(struct rope_leaf *to, size_t block_bytes, const struct rope_leaf *from);
/* Lets go of what its runs hold; the text is gone then. */
void rope_leaf_clear(struct rope *r, struct rope_leaf *leaf);

/* Where unit `u16` (at most n_u16) begins, at the end of a run rather than at the next one's start;
 * false between the halves of a pair. */
bool rope_leaf_find(const struct rope_leaf *leaf, uint32_t u16, struct rope_spot *spot);

/* Text, or with ROPE_EMBED in `attrs` one embed's pointer. Needs room for the bytes and, but for
 * plain text in a plain leaf, ROPE_LEAF_RUNS_MORE. */
void rope_leaf_insert(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *spot,
                      struct bytes text, uint32_t n_u16, uint32_t attrs);
/* Not all of it: rope_leaf_clear does that. */
void rope_leaf_erase(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *from,
                     const struct rope_spot *to, uint32_t n_u16);
/* Each run between becomes what `restyle` says of its attributes. Needs ROPE_LEAF_RUNS_MORE unless
 * the range is the whole leaf. */
typedef uint32_t rope_restyle(void *self, uint32_t attrs);
void rope_leaf_format(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *from,
                      const struct rope_spot *to, rope_restyle *restyle, void *self);

/* The middle of a leaf of at least two characters, and what stands behind a spot there. */
struct rope_spot rope_leaf_middle(const struct rope_leaf *leaf);
uint32_t rope_leaf_tail_used(const struct rope_leaf *leaf, const struct rope_spot *spot);
/* Moves what is behind `spot` into the empty leaf `to`. */
void rope_leaf_split(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *spot,
                     struct rope_leaf *to);
/* Appends `from`, which is then empty; needs room for its used bytes, and a run. */
void rope_leaf_join(struct rope *r, struct rope_leaf *leaf, struct rope_leaf *from);

/* What a run adds to rope.n_bytes, besides its text. */
uint64_t rope_run_cost(const struct rope *r, uint32_t attrs, const struct rope_embed *embed);

struct rope_embed *rope_embed_new(struct rope *r, struct bytes json);
void rope_embed_drop(struct rope *r, struct rope_embed *embed);

#endif
