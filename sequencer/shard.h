/*
 * shard.h - the role that orders a set of documents: unit of order, log, view and (later)
 * replication.
 *
 * accept: who is it -> role -> dedupe by (user, client, seq) -> base version -> transform against
 * B+1 ... N -> apply to the rope -> number -> append to the log group. Everything that a shard says
 * goes straight into the gateway's ring and is made visible up to the mark whose log index is
 * durable: one FIFO, no second queue, nothing leaves early (I1).
 *
 * poll, in order: reap the disk, publish what became durable, answers of the reader, requests of
 * the gateways within a budget (only while every gateway's ring has room for the largest answer:
 * full stops the reading upstream), presence ticks, seal and write the group.
 *
 * Owner: one thread; a thread may run several shards. No malloc on an edit's path: documents,
 * clients and ropes come from a pool under `memory_bytes`, recent ops from one byte window of
 * `window_bytes` for the whole shard.
 */
#ifndef PENSTOCK_SEQUENCER_SHARD_H
#define PENSTOCK_SEQUENCER_SHARD_H

#include "base/role.h"
#include "net/link.h"
#include "sequencer/loader.h"
#include "store/archive.h"
#include "store/log.h"

#define SHARD_GATEWAYS_MAX 16

struct shard;
struct counters;

struct shard_options {
    uint32_t shard;
    uint32_t n_shards;
    uint64_t memory_bytes;       /* documents, clients, sessions; default 256 MiB */
    uint64_t window_bytes;       /* recent ops, power of two; default 32 MiB */
    uint32_t sessions_max;       /* default 65536 */
    uint32_t document_units_max; /* default LIMIT_DOCUMENT_UNITS */
    uint32_t op_parts_max;       /* default LIMIT_OP_PARTS */
    uint64_t presence_tick_ns;   /* default 50 ms */
    uint64_t trash_ms;           /* how long restore is possible; default 30 days */
    uint64_t (*unix_ms)(void);   /* wall clock */
    struct counters *counters;
};

/* What a shard is wired to; all outlive it. gateways[i]: the shard's end of the link to gateway i.
 */
struct shard_wiring {
    struct log *log;
    struct archive_shared *archive;
    struct link_end *archive_link; /* snapshots out */
    struct parker *archive_parker; /* woken when there is something to archive */
    struct link_end *loader;       /* requests to, answers from the loader */
    struct link_end *gateways[SHARD_GATEWAYS_MAX];
    uint32_t n_gateways;
    uint64_t next_docnum;
};

enum status shard_open(struct shard **out, const struct shard_options *options,
                       const struct shard_wiring *wiring) must_use;
void shard_close(struct shard *s);
struct role shard_role(struct shard *s);

/* A failure that must end the process (a write failed); STATUS_OK while all is well. Any thread. */
enum status shard_failed(struct shard *s);
/* Whether nothing waits: no request, no record that is not durable, no answer unpublished. For
 * draining; by the owner or after it stopped. */
bool shard_is_quiet(const struct shard *s);

#endif
