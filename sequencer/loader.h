/*
 * loader.h - the role that reads the view for a shard, so that the shard never blocks on disk.
 *
 * Requests come over a link from the shard and are answered over it, in any order. A request names
 * the log index that its answer must include (`need_idx`): the loader parks it until the view has
 * it (the shard hurries the archive). Content at a version is the newest snapshot and the ops after
 * it, applied in a rope of the loader's own.
 *
 * Owner: the loader thread. Answers larger than the ring are never made: everything is cut to
 * LIMIT_RECORD_BYTES.
 */
#ifndef PENSTOCK_SEQUENCER_LOADER_H
#define PENSTOCK_SEQUENCER_LOADER_H

#include "base/role.h"
#include "net/link.h"
#include "store/archive.h"
#include "store/view.h"

/* Types of ring records are private to the sequencer (loader_message.h). */

struct loader;

struct loader_options {
    struct view *view;
    struct archive_shared *archive;
    struct link_end *link;
    uint64_t memory_bytes; /* for building content; default 64 MiB */
};

enum status loader_open(struct loader **out, const struct loader_options *options) must_use;
void loader_close(struct loader *l);
struct role loader_role(struct loader *l);

#endif
