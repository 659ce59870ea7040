/* shard.c - a shard opens, runs its loop, and closes; see shard.h for the order of a poll, and
 * shard_private.h for the parts. */
#include "sequencer/shard_private.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define DEFAULT_MEMORY_BYTES (256ull << 20)
#define DEFAULT_WINDOW_BYTES (32ull << 20)
#define DEFAULT_SESSIONS     65536u
#define DEFAULT_PRESENCE_NS  (50 * NS_PER_MS)
#define DEFAULT_TRASH_MS     (30ull * 24 * 3600 * 1000)
#define MEMORY_BYTES_MIN     (16ull << 20)
#define DOCUMENT_BYTES_LEAST 512u /* what one in memory takes at least: bounds their number */
#define MERGE_BUFFER_BYTES   (2ull * LIMIT_RECORD_BYTES)
#define NO_ROOM_RETRY_NS     (20 * NS_PER_MS)
#define SEAL_AFTER_NS        (20 * NS_PER_MS)

/* ---- open ---- */

static struct shard_options with_defaults(const struct shard_options *in)
{
    struct shard_options o = *in;
    if (!o.memory_bytes)
        o.memory_bytes = DEFAULT_MEMORY_BYTES;
    if (o.memory_bytes < MEMORY_BYTES_MIN)
        o.memory_bytes = MEMORY_BYTES_MIN;
    if (!o.window_bytes)
        o.window_bytes = DEFAULT_WINDOW_BYTES;
    if (!o.sessions_max)
        o.sessions_max = DEFAULT_SESSIONS;
    if (!o.document_units_max || o.document_units_max > LIMIT_DOCUMENT_UNITS)
        o.document_units_max = LIMIT_DOCUMENT_UNITS;
    if (!o.op_parts_max || o.op_parts_max > LIMIT_OP_PARTS)
        o.op_parts_max = LIMIT_OP_PARTS;
    if (!o.presence_tick_ns)
        o.presence_tick_ns = DEFAULT_PRESENCE_NS;
    if (!o.trash_ms)
        o.trash_ms = DEFAULT_TRASH_MS;
    if (!o.unix_ms)
        o.unix_ms = clock_unix_ms;
    return o;
}

static struct counter *add(struct shard *s, enum counter_kind kind, const char *name,
                           const char *help)
{
    char label[COUNTER_LABEL_BYTES];
    snprintf(label, sizeof label, "shard=\"%u\"", s->options.shard);
    return counters_add(s->options.counters, kind, name, label, help);
}

static void add_counters(struct shard *s)
{
    struct shard_counters *c = &s->count;
    const enum counter_kind total = COUNTER_TOTAL, gauge = COUNTER_GAUGE;
    c->ops = add(s, total, "penstock_ops_accepted_total", "Ops accepted and numbered");
    c->op_bytes = add(s, total, "penstock_op_bytes_total", "Bytes of their log records");
    c->ops_merged = add(s, total, "penstock_ops_merged_total", "Ops whose base was not the newest");
    c->ops_resent = add(s, total, "penstock_ops_resent_total", "Ops that had been accepted before");
    c->messages = add(s, total, "penstock_shard_messages_total", "Messages taken from gateways");
    c->joins = add(s, total, "penstock_joins_total", "Clients connected to a document");
    c->replaced = add(s, total, "penstock_sessions_replaced_total", "Closed by a newer connection");
    c->calls = add(s, total, "penstock_calls_total", "Calls over HTTP that reached the shard");
    c->loads = add(s, total, "penstock_document_loads_total", "Documents asked of the loader");
    c->evictions =
        add(s, total, "penstock_document_evictions_total", "Documents put out of memory");
    c->snapshots = add(s, total, "penstock_snapshots_total", "Snapshots sent to the archive");
    c->presence = add(s, total, "penstock_presence_total", "Presence updates taken");
    c->catchup_chunks = add(s, total, "penstock_catchup_chunks_total", "Chunks of missed ops sent");
    c->merge_slices = add(s, total, "penstock_merge_slices_total", "Slices of far-behind merges");
    c->parked = add(s, total, "penstock_parked_total", "Messages that had to wait for something");
    c->waits_full = add(s, total, "penstock_log_waits_total", "Times that the log had no room");
    c->sessions = add(s, gauge, "penstock_sessions", "Connected clients");
    c->documents = add(s, gauge, "penstock_documents_in_memory", "Documents in memory");
    c->memory = add(s, gauge, "penstock_shard_memory_bytes", "Memory of documents and clients");
    for (unsigned i = 1; i < STATUS_N; i++) {
        char name[COUNTER_NAME_BYTES];
        snprintf(name, sizeof name, "penstock_refused_%s_total", status_name((enum status)i));
        c->refused[i] = add(s, total, name, "Messages and ops refused for this reason");
    }
}

/* Three arrays in one mapping: the ops of one message, and what is noted beside them. */
static size_t scratch_bytes(void)
{
    return SHARD_MESSAGE_OPS_MAX * (sizeof(struct accept_op) + 2 * sizeof(uint64_t));
}

static enum status open_scratch(struct shard *s)
{
    uint8_t *mem = mmap(NULL, scratch_bytes(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if ((void *)mem == MAP_FAILED)
        return STATUS_NO_MEMORY;
    s->ops_in = (struct accept_op *)(void *)mem;
    s->hashes = (uint64_t *)(void *)(mem + SHARD_MESSAGE_OPS_MAX * sizeof(struct accept_op));
    s->resent = s->hashes + SHARD_MESSAGE_OPS_MAX;
    return STATUS_OK;
}

static bool is_wiring_sane(const struct shard_wiring *w)
{
    if (w->n_gateways > SHARD_GATEWAYS_MAX || !w->log || !w->archive || !w->archive_link ||
        !w->loader || w->next_docnum == 0)
        return false;
    for (uint32_t i = 0; i < w->n_gateways; i++) {
        if (!w->gateways[i] || ring_payload_max(w->gateways[i]->tx.capacity) < SHARD_ANSWER_BYTES)
            return false;
    }
    return ring_payload_max(w->loader->tx.capacity) >= LOADER_ASK_BYTES_MAX &&
           ring_payload_max(w->archive_link->tx.capacity) >= LIMIT_DOCUMENT_BYTES + 16;
}

/* Everything that takes memory; what was opened is closed by shard_close. */
static enum status open_parts(struct shard *s)
{
    const struct shard_options *o = &s->options;
    uint64_t documents_max = o->memory_bytes / DOCUMENT_BYTES_LEAST;
    enum status st = pool_init(&s->pool, o->memory_bytes);
    if (st == STATUS_OK)
        st = history_open(&s->window, o->window_bytes);
    if (st == STATUS_OK)
        st = cache_open(&s->cache, documents_max < 1u << 28 ? (uint32_t)documents_max : 1u << 28);
    if (st == STATUS_OK)
        st = session_table_open(&s->sessions, o->sessions_max);
    if (st == STATUS_OK)
        st = merge_open(&s->merge, SHARD_MESSAGE_OPS_MAX + 1, MERGE_BUFFER_BYTES);
    if (st == STATUS_OK)
        st = open_scratch(s);
    if (st == STATUS_OK)
        st = shard_requests_open(s);
    return st;
}

enum status shard_open(struct shard **out, const struct shard_options *options,
                       const struct shard_wiring *wiring)
{
    if (!is_wiring_sane(wiring) || !options->counters)
        return STATUS_USAGE;
    struct shard *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return STATUS_NO_MEMORY;
    s->options = with_defaults(options);
    s->wiring = *wiring;
    s->log = wiring->log;
    s->next_docnum = wiring->next_docnum;
    s->rope_limits = (struct rope_limits){s->options.document_units_max, LIMIT_DOCUMENT_BYTES};
    s->unix_ms = s->options.unix_ms();
    s->seal_at_ns = UINT64_MAX;
    s->seal_idx = log_last(s->log);
    for (uint32_t i = 0; i < wiring->n_gateways; i++)
        outbox_init(&s->gates[i].out, wiring->gateways[i]);
    outbox_init(&s->archive, wiring->archive_link);
    add_counters(s);
    enum status st = open_parts(s);
    if (st != STATUS_OK) {
        shard_close(s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

void shard_close(struct shard *s)
{
    if (s->cache.buckets)
        cache_close(&s->cache);
    session_table_close(&s->sessions);
    history_close(&s->window);
    merge_close(&s->merge);
    if (s->ops_in)
        munmap(s->ops_in, scratch_bytes());
    if (s->requests)
        munmap(s->requests, SHARD_REQUESTS_MAX * sizeof *s->requests);
    pool_fini(&s->pool);
    munmap(s, sizeof *s);
}

/* ---- the loop ---- */

bool shard_has_room(struct shard *s)
{
    for (uint32_t i = 0; i < s->wiring.n_gateways; i++) {
        if (!ring_has_room(&s->gates[i].out.link->tx, SHARD_ANSWER_BYTES))
            return false;
    }
    return ring_has_room(&s->wiring.loader->tx, LOADER_ASK_BYTES_MAX);
}

enum status shard_dispatch(struct shard *s, struct msg_in *m)
{
    if (m->payload.n < sizeof(struct msg_head))
        return STATUS_OK; /* nothing to answer to */
    switch (m->type) {
    case MSG_OPS:
        return shard_on_ops(s, m);
    case MSG_PRESENCE:
        return shard_on_presence(s, m);
    case MSG_JOIN:
        return shard_on_join(s, m);
    case MSG_LEAVE:
        return shard_on_leave(s, m);
    case MSG_IDENTITY:
        return shard_on_identity(s, m);
    case MSG_CREDIT:
        return shard_on_credit(s, m);
    case MSG_DOC_CREATE:
        return shard_on_create(s, m);
    case MSG_DOC_GET:
        return shard_on_get(s, m);
    case MSG_DOC_LIST:
        return shard_on_list(s, m);
    case MSG_DOC_TITLE:
        return shard_on_title(s, m);
    case MSG_DOC_DELETE:
    case MSG_DOC_RESTORE:
        return shard_on_trash(s, m);
    case MSG_DOC_ROLE:
        return shard_on_role(s, m);
    case MSG_DOC_HISTORY:
        return shard_on_history(s, m);
    default:
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    }
}

/* PATH 4: messages of one gateway, within a budget. They are left in its ring while there is no
 * room for what they may cause: so full travels upstream, to the socket. */
static unsigned take_input(struct shard *s, uint32_t g)
{
    struct shard_gate *gate = &s->gates[g];
    struct ring_rx *rx = &gate->out.link->rx;
    unsigned n = 0;
    while (n < SHARD_INPUT_BUDGET && !gate->broken && shard_has_room(s)) {
        struct ring_record record;
        enum status st = ring_peek(rx, &record);
        if (st == STATUS_END)
            break;
        if (st != STATUS_OK) {
            gate->broken = true;
            say(SAY_ERROR, "shard %u: gateway %u's ring is broken; it is not read any more",
                s->options.shard, g);
            break;
        }
        struct msg_in m = {.gateway = g, .type = record.type, .payload = record.payload};
        st = shard_dispatch(s, &m);
        if (st == STATUS_NO_ROOM)
            break;
        if (st == STATUS_OK && m.request)
            shard_request_done(s, m.request);
        ring_advance(rx);
        n++;
        if (m.type >= MSG_DOC_CREATE)
            counter_bump(s->count.calls, 1);
    }
    if (n) {
        link_release(gate->out.link);
        counter_bump(s->count.messages, n);
    }
    return n;
}

static unsigned take_all_input(struct shard *s)
{
    unsigned n = 0;
    if (s->ready.first)
        return 0; /* what came earlier has no room yet: more of it would only be parked */
    for (uint32_t i = 0; i < s->wiring.n_gateways; i++)
        n += take_input(s, (s->next_gateway + i) % s->wiring.n_gateways);
    if (s->wiring.n_gateways)
        s->next_gateway = (s->next_gateway + 1) % s->wiring.n_gateways;
    return n;
}

/* In a pause of the traffic the last group is sealed, so that damage to it can't pass for a torn
 * write. */
static void seal_in_pause(struct shard *s)
{
    uint64_t last = log_last(s->log);
    if (last != s->seal_idx) {
        s->seal_idx = last;
        s->seal_at_ns = s->now_ns + SEAL_AFTER_NS;
    } else if (s->now_ns >= s->seal_at_ns) {
        log_seal(s->log);
        s->seal_at_ns = UINT64_MAX;
    }
}

static unsigned publish(struct shard *s)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < s->wiring.n_gateways; i++)
        n += outbox_publish(&s->gates[i].out, s->durable_idx);
    n += outbox_publish(&s->archive, s->durable_idx);
    return n;
}

/* PATH 8: the disk says what is durable; what waited for it becomes visible. */
static unsigned reap(struct shard *s)
{
    enum status st = STATUS_OK;
    unsigned n = log_poll(s->log, &st);
    if (st != STATUS_OK)
        atomic_store_explicit(&s->failed, (uint32_t)st, memory_order_release); /* <-> failed() */
    uint64_t durable = log_durable(s->log);
    if (durable != s->durable_idx) {
        s->durable_idx = durable;
        atomic_store_explicit(&s->wiring.archive->durable_idx, durable,
                              memory_order_release); /* <-> archive */
        parker_wake(s->wiring.archive_parker);
        n++;
    }
    uint64_t view_idx =
        atomic_load_explicit(&s->wiring.archive->view_idx, memory_order_acquire); /* <-> archive */
    if (view_idx != s->view_idx) {
        s->view_idx = view_idx;
        log_release(s->log, view_idx);
        n++;
    }
    return n + publish(s);
}

static void tell_ready(struct shard *s)
{
    struct msg_ready h = {.shard = s->options.shard, .n_shards = s->options.n_shards};
    for (uint32_t i = 0; i < s->wiring.n_gateways; i++) {
        struct writer w = shard_claim(s, i, sizeof h);
        msg_write_struct(&w, &h);
        shard_commit(s, i, MSG_READY, &w);
    }
    s->ready_told = true;
}

static unsigned poll(void *self, uint64_t now_ns)
{
    struct shard *s = self;
    if (atomic_load_explicit(&s->failed, memory_order_relaxed) != STATUS_OK)
        return 0; /* nothing is promised any more; the process is about to end */
    s->now_ns = now_ns;
    uint64_t unix_ms = s->options.unix_ms();
    if (unix_ms > s->unix_ms)
        s->unix_ms = unix_ms;
    unsigned n = reap(s);
    if (!s->ready_told)
        tell_ready(s);
    n += shard_take_answers(s);
    n += shard_run_ready(s);
    n += take_all_input(s);
    n += shard_run_merges(s); /* after it: a merge that comes to its end would keep input waiting */
    n += shard_presence(s);
    n += shard_evict(s);
    seal_in_pause(s);
    uint64_t last_idx = log_last(s->log);
    for (uint32_t i = 0; i < s->wiring.n_gateways; i++)
        outbox_mark(&s->gates[i].out, last_idx);
    outbox_mark(&s->archive, last_idx);
    counter_set(s->count.documents, s->cache.n);
    counter_set(s->count.memory, s->pool.used_bytes);
    return n + reap(s);
}

/* What nobody wakes the thread for: presence ticks, a log without room because its disk was full,
 * and the pause after which the log is sealed. */
static uint64_t deadline_ns(void *self)
{
    const struct shard *s = self;
    uint64_t at = shard_presence_deadline(s);
    if (s->ready.first && s->now_ns + NO_ROOM_RETRY_NS < at)
        at = s->now_ns + NO_ROOM_RETRY_NS;
    return at < s->seal_at_ns ? at : s->seal_at_ns;
}

struct role shard_role(struct shard *s)
{
    return (struct role){.name = "shard", .self = s, .poll = poll, .deadline_ns = deadline_ns};
}

enum status shard_failed(struct shard *s)
{
    return (enum status)atomic_load_explicit(&s->failed, memory_order_acquire); /* <-> reap() */
}

bool shard_is_quiet(const struct shard *s)
{
    for (uint32_t i = 0; i < s->wiring.n_gateways; i++) {
        if (!outbox_is_empty(&s->gates[i].out))
            return false;
    }
    return s->n_requests == 0 && log_durable(s->log) == log_last(s->log);
}
