/*
 * datadir.h - a server's data directory: who may use it, and what is fixed when it is made.
 *
 *     DIR/penstock.meta     format, number of shards, id; written once, whole
 *     DIR/dev.hs256         the secret of --dev, if it was ever used (only its owner may read it)
 *     DIR/counters          live counters of the process that serves
 *     DIR/shard-000/        one shard's log segments
 *     DIR/shard-000/view/   and its view
 *
 * An open directory is locked (flock on the directory itself) until datadir_close or the end of the
 * process: shared for those who only read, so a server and `penstock log` exclude each other.
 * Opening waits up to 1.5 s for it: a server that was just killed may still be on its way out.
 * A directory that is not empty and not ours, or of a newer format, is refused untouched.
 *
 * Used by one thread. Errors have been said in one line when a function returns one.
 */
#ifndef PENSTOCK_TOOLS_DATADIR_H
#define PENSTOCK_TOOLS_DATADIR_H

#include "base/bytes.h"
#include "base/status.h"

#define DATADIR_FORMAT       1u
#define DATADIR_SECRET_BYTES 32u
#define DATADIR_SHARDS_MAX   64u

struct datadir {
    char *path;
    int fd; /* holds the lock */
    uint32_t n_shards;
    char uuid[37];
};

/* Opens a directory to serve; makes it where there is none or an empty one, with `n_shards_wanted`
 * shards (0: `n_shards_default`). One that exists keeps its number, and must not be asked for
 * another. */
enum status datadir_open(struct datadir *d, const char *path, uint32_t n_shards_wanted,
                         uint32_t n_shards_default) must_use;
/* Opens an existing one to look into it. */
enum status datadir_open_to_read(struct datadir *d, const char *path) must_use;
void datadir_close(struct datadir *d);

/* The path of something in it, in static storage of the thread; valid until the next call. */
const char *datadir_path(const struct datadir *d, const char *name);
/* DIR/shard-NNN and DIR/shard-NNN/view; the first two make them durably. */
enum status datadir_make_shard(const struct datadir *d, uint32_t shard) must_use;
const char *datadir_shard_path(const struct datadir *d, uint32_t shard, const char *name);

/* The secret of --dev: made at its first use. */
enum status datadir_dev_secret(const struct datadir *d,
                               uint8_t secret[DATADIR_SECRET_BYTES]) must_use;

#endif
