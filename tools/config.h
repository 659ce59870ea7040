/*
 * config.h - what `penstock serve` was asked to do: options from argv and from a file, checked,
 * with defaults filled in and the memory budget split.
 *
 * argv is stronger than the file; lists (keys, origins) add up. Pure but for reading the file and
 * asking for the number of cores. Used by one thread, at start.
 */
#ifndef PENSTOCK_TOOLS_CONFIG_H
#define PENSTOCK_TOOLS_CONFIG_H

#include "base/role.h"
#include "tools/options.h"

#define CONFIG_CPUS_MAX   256
#define CONFIG_HOST_BYTES 64

struct config_address {
    char host[CONFIG_HOST_BYTES]; /* numeric, without brackets; empty: none was given */
    uint16_t port;
    bool is_v6;
    bool is_loopback;
};

struct config {
    /* as given; 0 or NULL: not */
    const char *data;
    const char *listen;
    const char *metrics_listen;
    const char *tls_cert;
    const char *tls_key;
    struct option_list jwt_keys;
    const char *jwt_issuer;
    const char *jwt_audience;
    uint64_t jwt_leeway_s;
    struct option_list origins;
    uint64_t shards;
    uint64_t gateways;
    uint64_t threads;
    const char *pin;
    unsigned idle; /* enum idle_policy */
    const char *file;
    bool dev;
    uint64_t memory_bytes;
    uint64_t message_bytes;
    uint64_t document_units;
    uint64_t op_components;
    uint64_t connections; /* 0: the default, see config_memory */
    uint64_t messages_per_s;
    uint64_t outbound_bytes;
    uint64_t log_segment_bytes;
    uint64_t log_segments;
    uint64_t trash_days;

    /* made of it */
    struct config_address address;
    struct config_address metrics_address;
    int cpus[CONFIG_CPUS_MAX];
    unsigned n_cpus;
    uint32_t shards_default; /* for a directory that is made now */
};

/* The budget of --memory, split; all of it is reached only under load. */
struct config_memory {
    uint64_t log_group_bytes;     /* a shard: the open group and the one being written */
    uint64_t archive_batch_bytes; /* a shard */
    uint64_t loader_bytes;        /* a shard: building content */
    uint64_t ring_bytes;          /* one way between a gateway and a shard */
    uint64_t window_bytes;        /* a shard: recent ops, a power of two */
    uint64_t documents_bytes;     /* a shard: documents, clients, sessions */
    uint64_t connections;         /* a gateway's */
    uint64_t gateway_bytes;       /* a gateway: connections and what is queued for them */
};

/* STATUS_USAGE has been said. *done: help was printed. */
enum status config_read(struct config *c, int argc, char **argv, bool *done) must_use;
/* STATUS_USAGE (said) where the budget does not suffice for that many shards. */
enum status config_split_memory(const struct config *c, uint32_t n_shards,
                                struct config_memory *m) must_use;
/* "127.0.0.1:80", "[::1]:80"; false: it is none. */
bool config_read_address(const char *text, struct config_address *a);
/* "0,2-5" in order. */
bool config_read_cpus(const char *text, int cpus[CONFIG_CPUS_MAX], unsigned *n);

#endif
