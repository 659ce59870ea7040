/* server.c - see server.h: gateways, threads, start and end. */
#include "base/clock.h"
#include "base/say.h"
#include "tools/server_private.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define START_MS_MAX 10000u
#define DRAIN_MS_MAX 10000u
#define QUIET_MS_MAX 10000u
#define VIEW_MS_MAX  20000u

/* ---- threads ---- */

static bool are_quiet(const struct pulse *p)
{
    const struct server *s = p->server;
    for (uint32_t i = p->thread_idx; i < s->n_shards; i += s->n_sequencers) {
        if (!shard_is_quiet(s->shards[i].shard))
            return false;
    }
    return true;
}

static unsigned poll_pulse(void *self, uint64_t now_ns)
{
    struct pulse *p = self;
    (void)now_ns;
    bool has_shards = p->thread_idx != UINT_MAX;
    uint32_t rounds = atomic_load_explicit(&p->rounds, memory_order_relaxed);
    if (rounds < PULSE_ROUNDS) {
        /* A shard says that it is ready behind its first record on disk: quiet is when it has. */
        if (has_shards && !are_quiet(p))
            return 0;
        atomic_store_explicit(&p->rounds, rounds + 1, memory_order_release);
        return 1;
    }
    if (has_shards && atomic_load_explicit(&p->server->draining, memory_order_relaxed))
        atomic_store_explicit(&p->quiet, are_quiet(p), memory_order_release);
    return 0;
}

/* Threads take the CPUs of --pin in turn. */
static enum status init_thread(struct server *s, struct thread *t, const char *kind, unsigned idx,
                               enum idle_policy idle, unsigned *n_threads)
{
    char name[THREAD_NAME_BYTES];
    snprintf(name, sizeof name, "%s-%u", kind, idx % 1000u);
    int cpu = s->config->n_cpus ? s->config->cpus[*n_threads % s->config->n_cpus] : -1;
    (*n_threads)++;
    enum status st = thread_init(t, name, cpu, idle);
    if (st != STATUS_OK)
        say(SAY_ERROR, "a thread can't be made: %s", status_hint(st));
    return st;
}

static enum status init_sequencer(struct server *s, uint32_t i, unsigned *n_threads)
{
    struct server_sequencer *q = &s->sequencers[i];
    enum status st =
        init_thread(s, &q->thread, "shards", i, (enum idle_policy)s->config->idle, n_threads);
    if (st != STATUS_OK)
        return st;
    q->has_thread = true;
    q->pulse = (struct pulse){.server = s, .thread_idx = i};
    st = disk_uring_open(&q->ring, q->thread.parker.event_fd);
    if (st == STATUS_NO_MEMORY) /* what else there is has been said */
        say(SAY_ERROR, "a thread's io_uring can't be made: %s", status_hint(st));
    if (st != STATUS_OK)
        return st;
    /* A write of a process that was killed must not land in what its successor writes. */
    st = disk_uring_hold(q->ring, s->dir->fd);
    if (st != STATUS_OK) {
        say(SAY_ERROR, "the data directory's lock can't be given to io_uring: %s", status_hint(st));
        return st;
    }
    q->thread.wait = disk_uring_wait;
    q->thread.wait_self = q->ring;
    return STATUS_OK;
}

static enum status init_threads(struct server *s)
{
    unsigned n = 0;
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < s->n_gateways && st == STATUS_OK; i++) {
        struct server_gateway *g = &s->gateways[i];
        st = init_thread(s, &g->thread, "gateway", i, (enum idle_policy)s->config->idle, &n);
        g->has_thread = st == STATUS_OK;
        g->pulse = (struct pulse){.server = s, .thread_idx = UINT_MAX};
    }
    for (uint32_t i = 0; i < s->n_sequencers && st == STATUS_OK; i++)
        st = init_sequencer(s, i, &n);
    if (st == STATUS_OK) {
        st = init_thread(s, &s->archive_thread, "archive", 0, IDLE_PARK, &n);
        s->has_archive_thread = st == STATUS_OK;
    }
    if (st == STATUS_OK) {
        st = init_thread(s, &s->loader_thread, "loader", 0, IDLE_PARK, &n);
        s->has_loader_thread = st == STATUS_OK;
    }
    if (st == STATUS_OK && s->config->metrics_listen) {
        st = init_thread(s, &s->ops.thread, "ops", 0, IDLE_PARK, &n);
        s->ops.has_thread = st == STATUS_OK;
        s->ops.pulse = (struct pulse){.server = s, .thread_idx = UINT_MAX};
    }
    return st;
}

static enum status start_thread(struct thread *t)
{
    enum status st = thread_start(t);
    if (st != STATUS_OK)
        say(SAY_ERROR, "thread %s can't be started%s", t->name,
            t->cpu >= 0 && st == STATUS_IO ? ": is its CPU there? (--pin)" : "");
    return st;
}

/* ---- gateways ---- */

static struct gateway_options gateway_options_of(struct server *s, uint32_t idx)
{
    const struct config *c = s->config;
    struct gateway_options o = {
        .idx = idx,
        .listen_host = c->address.host,
        .listen_port = idx == 0 ? c->address.port : gateway_port(s->gateways[0].gateway),
        .reuse_port = s->n_gateways > 1,
        .keys = s->keys,
        .tls = s->tls,
        .origins = c->origins.at,
        .n_origins = c->origins.n,
        .dev = c->dev,
        .dev_secret = c->dev ? bytes_of(s->dev_secret, sizeof s->dev_secret) : bytes_of(NULL, 0),
        .serve_ops_pages = !c->metrics_listen,
        .connections_max = (uint32_t)s->memory.connections,
        .message_bytes_max = (uint32_t)c->message_bytes,
        .body_bytes_max = LIMIT_BODY_BYTES,
        .op_parts_max = (uint32_t)c->op_components,
        .document_units_max = (uint32_t)c->document_units,
        .outbound_bytes_max = c->outbound_bytes,
        .memory_bytes = s->memory.gateway_bytes,
        .messages_per_s = (uint32_t)c->messages_per_s,
        .handshake_ms_max = 10000,
        .token_leeway_s = (uint32_t)c->jwt_leeway_s,
        .counters = s->counters,
        .n_shards = s->n_shards,
    };
    for (uint32_t i = 0; i < s->n_shards; i++)
        o.shards[i] = &s->shards[i].gateways[idx].a;
    return o;
}

static enum status open_gateway(struct server_gateway *g, const struct gateway_options *o)
{
    enum status st = gateway_open(&g->gateway, o);
    if (st != STATUS_OK) {
        say(SAY_ERROR, "can't serve on %s port %u: %s", o->listen_host, o->listen_port,
            status_hint(st));
        return st;
    }
    gateway_watch_event_fd(g->gateway, g->thread.parker.event_fd);
    g->thread.wait = gateway_wait;
    g->thread.wait_self = g->gateway;
    thread_add(&g->thread, gateway_role(g->gateway));
    thread_add(&g->thread, (struct role){.name = "pulse", .self = &g->pulse, .poll = poll_pulse});
    return STATUS_OK;
}

static enum status open_gateways(struct server *s)
{
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < s->n_gateways && st == STATUS_OK; i++) {
        struct gateway_options o = gateway_options_of(s, i);
        st = open_gateway(&s->gateways[i], &o);
    }
    if (st != STATUS_OK || !s->config->metrics_listen)
        return st;
    struct gateway_options o = gateway_options_of(s, 0);
    o.idx = s->n_gateways;
    o.listen_host = s->config->metrics_address.host;
    o.listen_port = s->config->metrics_address.port;
    o.reuse_port = false;
    o.keys = NULL; /* nobody is known there: nothing but those pages */
    o.tls = NULL;
    o.dev = false;
    o.serve_ops_pages = true;
    o.connections_max = 64;
    o.n_shards = 0;
    return open_gateway(&s->ops, &o);
}

/* ---- keys ---- */

static enum status open_keys(struct server *s)
{
    const struct config *c = s->config;
    char err[256] = "";
    struct token_policy policy = {
        .issuer = c->jwt_issuer,
        .audience = c->jwt_audience,
        .leeway_s = (uint32_t)c->jwt_leeway_s,
    };
    enum status st =
        token_keys_open(&s->keys, c->jwt_keys.at, c->jwt_keys.n, &policy, err, sizeof err);
    if (st != STATUS_OK) {
        say(SAY_ERROR, "--jwt-key: %s", *err ? err : status_hint(st));
        return st;
    }
    if (c->dev) {
        st = datadir_dev_secret(s->dir, s->dev_secret);
        if (st == STATUS_OK)
            st = token_keys_add_secret(s->keys, bytes_of(s->dev_secret, sizeof s->dev_secret));
        if (st != STATUS_OK)
            return st;
        say(SAY_INFO, "--dev: anyone on this machine may sign in; the secret is kept in %s",
            datadir_path(s->dir, "dev.hs256"));
    }
    if (c->tls_cert) {
        st = tls_context_open(&s->tls, c->tls_cert, c->tls_key, err, sizeof err);
        if (st != STATUS_OK)
            say(SAY_ERROR, "--tls-cert, --tls-key: %s", *err ? err : status_hint(st));
    }
    return st;
}

/* ---- open, start ---- */

static enum status open_all(struct server *s)
{
    enum status st = config_split_memory(s->config, s->n_shards, &s->memory);
    if (st == STATUS_OK)
        st = open_keys(s);
    if (st == STATUS_OK) {
        st = counters_open(&s->counters, datadir_path(s->dir, "counters"));
        if (st != STATUS_OK)
            say(SAY_ERROR, "%s can't be made", datadir_path(s->dir, "counters"));
    }
    if (st == STATUS_OK)
        st = init_threads(s);
    for (uint32_t i = 0; i < s->n_shards && st == STATUS_OK; i++) {
        st = server_open_shard(s, i);
        if (st != STATUS_OK)
            break;
        thread_add(&server_sequencer_of(s, i)->thread, shard_role(s->shards[i].shard));
        thread_add(&s->archive_thread, archive_role(s->shards[i].archive));
        thread_add(&s->loader_thread, loader_role(s->shards[i].loader));
    }
    for (uint32_t i = 0; i < s->n_sequencers && st == STATUS_OK; i++) {
        struct server_sequencer *q = &s->sequencers[i];
        thread_add(&q->thread,
                   (struct role){.name = "pulse", .self = &q->pulse, .poll = poll_pulse});
    }
    if (st == STATUS_OK)
        st = open_gateways(s);
    return st;
}

enum status server_open(struct server **out, const struct config *config, const struct datadir *dir)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return STATUS_NO_MEMORY;
    s->config = config;
    s->dir = dir;
    s->n_shards = dir->n_shards;
    s->n_gateways = (uint32_t)config->gateways;
    s->n_sequencers = config->threads < dir->n_shards ? (uint32_t)config->threads : dir->n_shards;
    s->shards = aligned_alloc(64, (s->n_shards * sizeof *s->shards + 63) & ~(size_t)63);
    s->sequencers = calloc(s->n_sequencers, sizeof *s->sequencers);
    s->gateways = calloc(s->n_gateways, sizeof *s->gateways);
    enum status st = STATUS_NO_MEMORY;
    if (s->shards && s->sequencers && s->gateways) {
        memset(s->shards, 0, s->n_shards * sizeof *s->shards);
        st = open_all(s);
    }
    if (st != STATUS_OK) {
        server_close(s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

/* Waits until `ask` is true, at most `ms`; false when the time is up, or at once where `hurry` says
 * so or something failed. */
static bool wait_until(struct server *s, bool (*ask)(struct server *s), unsigned ms,
                       bool (*hurry)(void))
{
    uint64_t end_ns = clock_mono_ns() + ms * NS_PER_MS;
    while (!ask(s)) {
        if (clock_mono_ns() > end_ns || (hurry && hurry()) || server_check(s) != STATUS_OK)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

static bool has_pulse(const struct pulse *p)
{
    return atomic_load_explicit(&p->rounds, memory_order_acquire) == PULSE_ROUNDS;
}

static bool sequencers_run(struct server *s)
{
    for (uint32_t i = 0; i < s->n_sequencers; i++) {
        if (!has_pulse(&s->sequencers[i].pulse))
            return false;
    }
    return true;
}

static bool gateways_run(struct server *s)
{
    for (uint32_t i = 0; i < s->n_gateways; i++) {
        if (!has_pulse(&s->gateways[i].pulse))
            return false;
    }
    return !s->ops.has_thread || has_pulse(&s->ops.pulse);
}

enum status server_start(struct server *s)
{
    enum status st = start_thread(&s->archive_thread);
    if (st == STATUS_OK)
        st = start_thread(&s->loader_thread);
    for (uint32_t i = 0; i < s->n_sequencers && st == STATUS_OK; i++)
        st = start_thread(&s->sequencers[i].thread);
    /* By then the shards have told the gateways that they are ready, and a gateway hears of it in
     * its first round: nobody who connects after the ready line is turned away. */
    if (st == STATUS_OK && !wait_until(s, sequencers_run, START_MS_MAX, NULL))
        st = STATUS_UNAVAILABLE;
    for (uint32_t i = 0; i < s->n_gateways && st == STATUS_OK; i++)
        st = start_thread(&s->gateways[i].thread);
    if (st == STATUS_OK && s->ops.has_thread)
        st = start_thread(&s->ops.thread);
    if (st == STATUS_OK && !wait_until(s, gateways_run, START_MS_MAX, NULL))
        st = STATUS_UNAVAILABLE;
    if (st == STATUS_UNAVAILABLE)
        say(SAY_ERROR, "the threads did not come up in time");
    return st;
}

uint16_t server_port(const struct server *s)
{
    return gateway_port(s->gateways[0].gateway);
}

uint16_t server_metrics_port(const struct server *s)
{
    return s->ops.gateway ? gateway_port(s->ops.gateway) : 0;
}

enum status server_check(struct server *s)
{
    for (uint32_t i = 0; i < s->n_shards; i++) {
        enum status st = shard_failed(s->shards[i].shard);
        if (st != STATUS_OK) {
            say(SAY_ERROR, "shard %u has failed: %s", i, status_hint(st));
            return st;
        }
        st = (enum status)atomic_load_explicit(&s->shards[i].shared.failed, memory_order_acquire);
        if (st != STATUS_OK) {
            say(SAY_ERROR, "shard %u: its view has failed: %s", i, status_hint(st));
            return st;
        }
    }
    return STATUS_OK;
}

/* ---- end ---- */

static bool gateways_are_drained(struct server *s)
{
    for (uint32_t i = 0; i < s->n_gateways; i++) {
        if (!gateway_is_drained(s->gateways[i].gateway))
            return false;
    }
    return true;
}

static bool shards_are_quiet(struct server *s)
{
    for (uint32_t i = 0; i < s->n_sequencers; i++) {
        parker_wake(&s->sequencers[i].thread.parker); /* its pulse looks again */
        if (!atomic_load_explicit(&s->sequencers[i].pulse.quiet, memory_order_acquire))
            return false;
    }
    return true;
}

static bool views_are_even(struct server *s)
{
    for (uint32_t i = 0; i < s->n_shards; i++) {
        struct server_shard *sh = &s->shards[i];
        if (atomic_load_explicit(&sh->shared.view_idx, memory_order_acquire) < log_durable(sh->log))
            return false;
    }
    return true;
}

/* After the shards' threads have ended this thread owns their words. */
static void hurry_archives(struct server *s)
{
    for (uint32_t i = 0; i < s->n_shards; i++) {
        uint64_t idx = log_durable(s->shards[i].log);
        atomic_store_explicit(&s->shards[i].shared.durable_idx, idx, memory_order_release);
        atomic_store_explicit(&s->shards[i].shared.hurry_idx, idx, memory_order_release);
    }
    parker_wake(&s->archive_thread.parker);
}

static void stop_threads(struct server *s)
{
    for (uint32_t i = 0; i < s->n_gateways; i++)
        thread_stop(&s->gateways[i].thread);
    if (s->ops.has_thread)
        thread_stop(&s->ops.thread);
    for (uint32_t i = 0; i < s->n_sequencers; i++)
        thread_stop(&s->sequencers[i].thread);
    thread_stop(&s->archive_thread);
    thread_stop(&s->loader_thread);
}

enum status server_stop(struct server *s, bool (*hurry)(void))
{
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < s->n_gateways; i++) {
        gateway_drain(s->gateways[i].gateway);
        parker_wake(&s->gateways[i].thread.parker);
    }
    if (s->ops.gateway) { /* no longer ready */
        gateway_drain(s->ops.gateway);
        parker_wake(&s->ops.thread.parker);
    }
    if (!wait_until(s, gateways_are_drained, DRAIN_MS_MAX, hurry))
        say(SAY_WARN, "some clients were not told in time; they will come back all the same");
    atomic_store_explicit(&s->draining, 1, memory_order_release);
    if (!wait_until(s, shards_are_quiet, QUIET_MS_MAX, hurry)) {
        say(SAY_WARN,
            "not all that was under way has ended; nothing that was acknowledged is lost");
        st = STATUS_UNAVAILABLE;
    }
    for (uint32_t i = 0; i < s->n_gateways; i++)
        thread_stop(&s->gateways[i].thread);
    for (uint32_t i = 0; i < s->n_sequencers; i++)
        thread_stop(&s->sequencers[i].thread);
    if (server_check(s) != STATUS_OK)
        st = STATUS_IO;
    hurry_archives(s);
    if (!wait_until(s, views_are_even, VIEW_MS_MAX, hurry))
        say(SAY_WARN, "the view is behind the log; the next start brings it up");
    stop_threads(s);
    return st;
}

static void close_gateway(struct server_gateway *g)
{
    if (g->gateway)
        gateway_close(g->gateway);
    if (g->has_thread)
        thread_fini(&g->thread);
}

void server_close(struct server *s)
{
    if (!s)
        return;
    if (s->has_loader_thread)
        stop_threads(s);
    for (uint32_t i = 0; s->gateways && i < s->n_gateways; i++)
        close_gateway(&s->gateways[i]);
    close_gateway(&s->ops);
    for (uint32_t i = 0; s->shards && i < s->n_shards; i++)
        server_close_shard(s, i);
    for (uint32_t i = 0; s->sequencers && i < s->n_sequencers; i++) {
        if (s->sequencers[i].ring)
            disk_uring_close(s->sequencers[i].ring);
        if (s->sequencers[i].has_thread)
            thread_fini(&s->sequencers[i].thread);
    }
    if (s->has_archive_thread)
        thread_fini(&s->archive_thread);
    if (s->has_loader_thread)
        thread_fini(&s->loader_thread);
    if (s->tls)
        tls_context_close(s->tls);
    if (s->keys)
        token_keys_close(s->keys);
    counters_close(s->counters);
    free(s->gateways);
    free(s->sequencers);
    free(s->shards);
    free(s);
}
