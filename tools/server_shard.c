/* server_shard.c - one shard of a server: from its directory to its role. */
#include "base/clock.h"
#include "base/say.h"
#include "tools/server_private.h"

#define VIEW_MAP_BYTES     (256ull << 30) /* address space: what one shard's view can grow to */
#define REQUEST_RING_BYTES (16u << 20)    /* small records: as many cold loads can wait */
#define SESSIONS_MAX       65536u

static enum status complain(uint32_t shard, const char *what, enum status s)
{
    if (s != STATUS_OK)
        say(SAY_ERROR, "shard %u: %s: %s", shard, what, status_hint(s));
    return s;
}

static enum status open_view(struct server *s, uint32_t i)
{
    struct view_options options = {
        .dir = datadir_shard_path(s->dir, i, "view"),
        .map_bytes = VIEW_MAP_BYTES,
        .shard = i,
        .n_shards = s->n_shards,
    };
    return complain(i, "the view can't be opened", view_open(&s->shards[i].view, &options));
}

static struct log_options log_options_of(struct server *s, uint32_t i)
{
    return (struct log_options){
        .shard = i,
        .segment_bytes = s->config->log_segment_bytes,
        .segments_max = (uint32_t)s->config->log_segments,
        .group_bytes_max = s->memory.log_group_bytes,
        .record_bytes_max = LIMIT_LOG_RECORD_BYTES,
        .view_idx = view_index(s->shards[i].view),
    };
}

static enum status open_log(struct server *s, uint32_t i)
{
    struct server_shard *sh = &s->shards[i];
    struct log_options options = log_options_of(s, i);
    enum status st = disk_uring_dir(server_sequencer_of(s, i)->ring,
                                    datadir_shard_path(s->dir, i, ""), &sh->disk);
    if (st != STATUS_OK)
        return complain(i, "the log's disk can't be opened", st);
    sh->has_disk = true;
    st = log_open(&sh->log, sh->disk, &options);
    if (st != STATUS_OK)
        say(SAY_ERROR, "shard %u: the log can't be opened: %s (%s)", i, log_failure(NULL),
            status_hint(st));
    return st;
}

/* Brings the view up to the end of the log, so that the shard starts from the view alone. */
static enum status open_archive(struct server *s, uint32_t i)
{
    struct server_shard *sh = &s->shards[i];
    struct archive_options options = {
        .log = log_options_of(s, i),
        .view = sh->view,
        .shared = &sh->shared,
        .link = &sh->archive_link.b,
        .wake = {&server_sequencer_of(s, i)->thread.parker, &s->loader_thread.parker},
        .batch_bytes_max = s->memory.archive_batch_bytes,
        .counters = s->counters,
    };
    enum status st = disk_uring_dir(NULL, datadir_shard_path(s->dir, i, ""), &sh->archive_disk);
    if (st != STATUS_OK)
        return complain(i, "the log's directory can't be opened", st);
    sh->has_archive_disk = true;
    st = archive_open(&sh->archive, sh->archive_disk, &options);
    if (st == STATUS_OK)
        st = archive_run_to(sh->archive, log_durable(sh->log));
    return complain(i, "the log can't be carried into the view", st);
}

static enum status open_links(struct server *s, uint32_t i)
{
    struct server_shard *sh = &s->shards[i];
    struct parker *own = &server_sequencer_of(s, i)->thread.parker;
    enum status st = link_open(&sh->archive_link, LIMIT_RING_BYTES, RING_CAPACITY_MIN, own,
                               &s->archive_thread.parker);
    if (st == STATUS_OK)
        st = link_open(&sh->loader_link, REQUEST_RING_BYTES, LIMIT_RING_BYTES, own,
                       &s->loader_thread.parker);
    for (uint32_t g = 0; g < s->n_gateways && st == STATUS_OK; g++)
        st = link_open(&sh->gateways[g], s->memory.ring_bytes, s->memory.ring_bytes,
                       &s->gateways[g].thread.parker, own);
    return complain(i, "links can't be made", st);
}

static enum status open_roles(struct server *s, uint32_t i)
{
    struct server_shard *sh = &s->shards[i];
    const struct config *c = s->config;
    struct loader_options loader_options = {
        .view = sh->view,
        .archive = &sh->shared,
        .link = &sh->loader_link.b,
        .memory_bytes = s->memory.loader_bytes,
    };
    enum status st = loader_open(&sh->loader, &loader_options);
    if (st != STATUS_OK)
        return complain(i, "the loader can't be made", st);
    struct shard_options options = {
        .shard = i,
        .n_shards = s->n_shards,
        .memory_bytes = s->memory.documents_bytes,
        .window_bytes = s->memory.window_bytes,
        .sessions_max = SESSIONS_MAX,
        .document_units_max = (uint32_t)c->document_units,
        .op_parts_max = (uint32_t)c->op_components,
        .presence_tick_ns = 50 * NS_PER_MS,
        .trash_ms = c->trash_days * 86400000u,
        .unix_ms = clock_unix_ms,
        .counters = s->counters,
    };
    struct shard_wiring wiring = {
        .log = sh->log,
        .archive = &sh->shared,
        .archive_link = &sh->archive_link.a,
        .archive_parker = &s->archive_thread.parker,
        .loader = &sh->loader_link.a,
        .n_gateways = s->n_gateways,
        .next_docnum = view_next_docnum(sh->view),
    };
    for (uint32_t g = 0; g < s->n_gateways; g++)
        wiring.gateways[g] = &sh->gateways[g].b;
    return complain(i, "the shard can't be made", shard_open(&sh->shard, &options, &wiring));
}

enum status server_open_shard(struct server *s, uint32_t shard)
{
    enum status st = datadir_make_shard(s->dir, shard);
    if (st == STATUS_OK)
        st = open_view(s, shard);
    if (st == STATUS_OK)
        st = open_log(s, shard);
    if (st == STATUS_OK)
        st = open_links(s, shard);
    if (st == STATUS_OK)
        st = open_archive(s, shard);
    if (st == STATUS_OK)
        st = open_roles(s, shard);
    return st;
}

void server_close_shard(struct server *s, uint32_t shard)
{
    struct server_shard *sh = &s->shards[shard];
    if (sh->shard)
        shard_close(sh->shard);
    if (sh->loader)
        loader_close(sh->loader);
    if (sh->archive)
        archive_close(sh->archive);
    log_close(sh->log);
    if (sh->has_archive_disk)
        disk_uring_dir_close(sh->archive_disk);
    if (sh->has_disk)
        disk_uring_dir_close(sh->disk);
    if (sh->view)
        view_close(sh->view);
    link_close(&sh->archive_link);
    link_close(&sh->loader_link);
    for (uint32_t g = 0; g < s->n_gateways; g++)
        link_close(&sh->gateways[g]);
}
