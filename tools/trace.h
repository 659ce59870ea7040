/*
 * trace.h - editing traces of josephg/editing-traces in memory: gzipped JSON, positions in code
 * points, sequential or concurrent (two people).
 *
 * A transaction is one edit: one or more patches, each applied to what the one before left. Loaded
 * by one thread, then read-only.
 */
#ifndef PENSTOCK_TOOLS_TRACE_H
#define PENSTOCK_TOOLS_TRACE_H

#include "base/bytes.h"
#include "base/status.h"

#define TRACE_AGENTS_MAX 2u
#define TRACE_BYTES_MAX  (1u << 30)

struct trace_patch {
    uint64_t pos_cp;
    uint64_t delete_cp;
    struct bytes insert; /* UTF-8 */
};

struct trace_txn {
    uint32_t agent;
    uint32_t first_patch;
    uint32_t n_patches;
    uint32_t seen[TRACE_AGENTS_MAX]; /* how many of each agent's edits it was made after; of its own
                                        all before it */
};

struct trace {
    struct bytes start, end;
    uint32_t n_agents;
    uint32_t n_txns;
    struct trace_txn *txns;
    uint32_t n_patches;
    struct trace_patch *patches;
    /* Each agent's transactions in order. */
    uint32_t n_of[TRACE_AGENTS_MAX];
    uint32_t *of[TRACE_AGENTS_MAX];
    void *text;    /* the file's JSON: strings point into it */
    void *scratch; /* and into what was unescaped */
};

/* On failure one line has been said. */
enum status trace_open(struct trace *t, const char *path) must_use;
void trace_close(struct trace *t);

#endif
