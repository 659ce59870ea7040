/* server_private.h - private to server*.c: what a running server consists of. */
#ifndef PENSTOCK_TOOLS_SERVER_PRIVATE_H
#define PENSTOCK_TOOLS_SERVER_PRIVATE_H

#include "base/counters.h"
#include "gateway/gateway.h"
#include "gateway/tls.h"
#include "gateway/token.h"
#include "sequencer/shard.h"
#include "tools/server.h"

/*
 * A role that only looks: each sequencer and gateway thread runs one behind its others, so that the
 * main thread learns that a whole round was done, and (while draining) whether its shards are
 * quiet: shard_is_quiet is for their owner alone.
 */
struct pulse {
    struct server *server;
    unsigned thread_idx;     /* of the sequencer threads; gateways: UINT_MAX */
    _Atomic uint32_t rounds; /* writer: that thread; stops at PULSE_ROUNDS */
    _Atomic uint32_t quiet;  /* writer: that thread */
};
#define PULSE_ROUNDS 3u

struct server_shard {
    struct view *view;
    struct disk disk;         /* the shard's, on its thread's ring */
    struct disk archive_disk; /* reads only */
    bool has_disk, has_archive_disk;
    struct log *log;
    struct archive *archive;
    struct archive_shared shared;
    struct loader *loader;
    struct shard *shard;
    struct link archive_link;                 /* a: the shard */
    struct link loader_link;                  /* a: the shard */
    struct link gateways[SHARD_GATEWAYS_MAX]; /* a: the gateway */
};

struct server_sequencer {
    struct thread thread;
    struct disk_uring *ring;
    struct pulse pulse;
    bool has_thread;
};

struct server_gateway {
    struct thread thread;
    struct gateway *gateway;
    struct pulse pulse;
    bool has_thread;
};

struct server {
    const struct config *config;
    const struct datadir *dir;
    struct config_memory memory;
    struct counters *counters;
    struct token_keys *keys;
    struct tls_context *tls;
    uint8_t dev_secret[DATADIR_SECRET_BYTES];
    uint32_t n_shards, n_sequencers, n_gateways;
    _Atomic uint32_t draining; /* writer: main thread; read by pulses */
    struct server_shard *shards;
    struct server_sequencer *sequencers;
    struct server_gateway *gateways;
    struct server_gateway ops; /* --metrics-listen */
    struct thread archive_thread, loader_thread;
    bool has_archive_thread, has_loader_thread;
};

/* server_shard.c: one shard's directory, view, log, archive, loader, links and role. Its threads
 * have been initialised. */
enum status server_open_shard(struct server *s, uint32_t shard) must_use;
void server_close_shard(struct server *s, uint32_t shard);

static inline struct server_sequencer *server_sequencer_of(struct server *s, uint32_t shard)
{
    return &s->sequencers[shard % s->n_sequencers];
}

#endif
