/* shard_document.c - documents in memory: found, loaded, evicted, and their snapshots for the view;
 * see shard_private.h. */
#include "sequencer/shard_private.h"

#define CLIENTS_SWEEP_MIN 64u
#define EVICT_SCAN        64u

/* ---- finding ---- */

static void forget(struct shard *s, struct document *d)
{
    cache_erase(&s->cache, d);
    document_free(d, &s->pool);
}

void shard_unpin(struct shard *s, struct document *d)
{
    check_cmp(d->n_pins, >, 0);
    if (--d->n_pins > 0)
        return;
    if (d->state == DOCUMENT_ABSENT) {
        forget(s, d);
        return;
    }
    /* Only now: a request may have learned that a client is unknown, which dropping would undo. */
    if (d->state == DOCUMENT_OPEN && d->n_clients >= CLIENTS_SWEEP_MIN &&
        d->n_clients >= d->clients_sweep_at) {
        document_drop_clients(d, &s->pool, s->view_idx);
        d->clients_sweep_at = d->n_clients * 2;
    }
}

/* A document that is not in memory: its place, and the question to the loader. */
static enum status start_loading(struct shard *s, struct msg_in *m, struct bytes tenant,
                                 struct bytes doc_id)
{
    if (shard_loader_is_behind(s))
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    struct document *d = document_make(&s->pool, tenant, doc_id);
    if (!d && shard_make_room(s))
        d = document_make(&s->pool, tenant, doc_id);
    if (!d)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    if (!cache_insert(&s->cache, d)) {
        document_free(d, &s->pool);
        shard_make_room(s);
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    }
    struct request *r = shard_park(s, m, d);
    if (!r) {
        forget(s, d);
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    }
    d->waiting = d->waiting_last = r;
    struct loader_ask ask = {.slot = d->slot, .gen = d->gen, .whom = LOADER_FOR_DOCUMENT};
    shard_ask(s, LOADER_DOCUMENT, ask, document_tenant(d), document_id(d));
    counter_bump(s->count.loads, 1);
    return STATUS_END;
}

enum status shard_find_document(struct shard *s, struct msg_in *m, struct bytes tenant,
                                struct bytes doc_id, bool create, struct document **doc)
{
    *doc = NULL;
    struct document *d = cache_find(&s->cache, tenant, doc_id);
    if (!d)
        return start_loading(s, m, tenant, doc_id);
    if (d->state == DOCUMENT_LOADING) {
        struct request *r = shard_park(s, m, d);
        if (!r)
            return shard_refuse(s, m, STATUS_UNAVAILABLE);
        struct request_list waiting = {d->waiting, d->waiting_last};
        shard_push(&waiting, r);
        d->waiting = waiting.first;
        d->waiting_last = waiting.last;
        return STATUS_END;
    }
    if (d->state == DOCUMENT_ABSENT && !(create && d->load_status == STATUS_NOT_FOUND))
        return shard_refuse(s, m, (enum status)d->load_status);
    cache_touch(&s->cache, d);
    *doc = d;
    return STATUS_OK;
}

enum status shard_find_client(struct shard *s, struct msg_in *m, struct document *d,
                              struct bytes id, struct client **client, bool *absent)
{
    *absent = false;
    *client = document_find_client(d, id);
    if (*client)
        return STATUS_OK;
    if (m->request && m->request->client_absent) {
        *absent = true;
        return STATUS_OK;
    }
    return shard_park_and_ask(s, m, d, LOADER_CLIENT, (struct loader_ask){0}, id,
                              (struct bytes){0});
}

enum status shard_check_access(const struct document *d, const struct msg_identity *id,
                               uint8_t role_min)
{
    uint8_t role = access_role(document_roles(d), id);
    if (role == DOC_ROLE_NONE)
        return STATUS_NOT_FOUND;
    if (d->trashed_ms)
        return STATUS_GONE;
    return role < role_min ? STATUS_FORBIDDEN : STATUS_OK;
}

/* ---- the loader's answers ---- */

static enum status fill(struct shard *s, struct document *d, struct reader *r)
{
    struct loader_document in;
    msg_read_struct(r, &in);
    struct bytes owner = read_str(r);
    struct bytes title = read_str(r);
    struct bytes roles = read_str(r);
    struct bytes content = read_str(r);
    check(r->ok);
    d->type = (uint8_t)in.type;
    d->docnum = in.docnum;
    d->version = in.version;
    d->hash = in.hash;
    d->created_ms = in.created_ms;
    d->modified_ms = in.modified_ms;
    d->trashed_ms = in.trashed_ms;
    d->ops_bytes_since_snapshot = in.ops_bytes_since;
    enum status st = document_set_owner(d, &s->pool, owner);
    if (st == STATUS_OK)
        st = document_set_title(d, &s->pool, title);
    if (st == STATUS_OK)
        st = document_set_roles(d, &s->pool, roles, in.n_roles);
    if (st == STATUS_OK)
        st = rope_load(&d->rope, content, &s->rope_limits);
    if (st == STATUS_NO_MEMORY || st == STATUS_OK)
        return st;
    /* A limit that was lowered since: what is stored stays readable. */
    const struct rope_limits wide = {LIMIT_DOCUMENT_UNITS, LIMIT_DOCUMENT_BYTES};
    return rope_load(&d->rope, content, &wide);
}

void shard_document_answer(struct shard *s, const struct loader_answer *a, struct reader *r)
{
    struct document *d = a->slot < s->cache.n_used ? s->cache.slots[a->slot].doc : NULL;
    if (!d || d->gen != a->gen || d->state != DOCUMENT_LOADING)
        return;
    enum status st = (enum status)a->status;
    if (st == STATUS_OK) {
        struct reader again = *r;
        st = fill(s, d, r);
        if (st == STATUS_NO_MEMORY && shard_make_room(s))
            st = fill(s, d, &again);
    }
    if (st == STATUS_OK) {
        d->state = DOCUMENT_OPEN;
        /* Times of one document never go back, also where the clock did between two starts. */
        if (d->modified_ms > s->unix_ms)
            s->unix_ms = d->modified_ms;
    } else {
        d->state = DOCUMENT_ABSENT;
        d->load_status = st == STATUS_END         ? STATUS_NOT_FOUND
                         : st == STATUS_NO_MEMORY ? STATUS_UNAVAILABLE
                                                  : STATUS_INTERNAL;
    }
    shard_wake_all(s, &d->waiting, &d->waiting_last);
}

void shard_client_answer(struct shard *s, struct request *req, const struct loader_answer *a,
                         struct reader *r)
{
    struct document *d = req->doc;
    if (a->status == STATUS_OK) {
        struct loader_client in;
        msg_read_struct(r, &in);
        struct bytes id = read_str(r);
        struct bytes user = read_str(r);
        struct bytes hashes = read_str(r);
        check(r->ok && hashes.n == in.message_n * sizeof(uint64_t));
        struct client *c = document_find_client(d, id);
        if (!c) {
            c = document_add_client(d, &s->pool, id, user);
            if (c && client_reserve(c, &s->pool, in.message_n) != STATUS_OK)
                in.message_n = 0; /* resends are still told, but without their versions */
            if (c) {
                uint64_t *copy = s->hashes;
                uint32_t n = in.message_n < SHARD_MESSAGE_OPS_MAX ? in.message_n : 0;
                memcpy(copy, hashes.p, n * sizeof *copy);
                client_set_message(c, &s->pool, in.message_seq, in.message_version, copy, n);
                c->last_seq = in.last_seq;
                c->last_version = in.last_version;
                c->last_seq_version = in.last_seq_version;
            }
        }
        if (c && !req->client) {
            req->client = c;
            c->n_pins++;
        }
    } else if (a->status == STATUS_END) {
        req->client_absent = true;
    }
    if ((a->status == STATUS_OK && req->client) || a->status == STATUS_END) {
        shard_push(&s->ready, req);
        return;
    }
    struct msg_in m = {.gateway = req->gateway,
                       .type = req->type,
                       .payload = bytes_of(req->payload, req->payload_bytes)};
    shard_refuse(s, &m, a->status == STATUS_OK ? STATUS_UNAVAILABLE : STATUS_INTERNAL);
    shard_request_done(s, req);
}

/* ---- eviction and snapshots ---- */

/* How many bytes of ops make a snapshot worth while: rewriting content costs as much. */
static bool is_snapshot_due(const struct document *d)
{
    uint64_t bytes =
        d->rope.n_bytes > SHARD_SNAPSHOT_BYTES ? d->rope.n_bytes : SHARD_SNAPSHOT_BYTES;
    return d->ops_bytes_since_snapshot > bytes;
}

static bool send_snapshot(struct shard *s, struct document *d)
{
    struct ring_tx *tx = &s->archive.link->tx;
    uint8_t *p = ring_claim(tx, 16 + d->rope.n_bytes);
    if (!p)
        return false;
    memcpy(p, &d->docnum, 8);
    memcpy(p + 8, &d->version, 8);
    struct bytes content = {0};
    enum status st = rope_emit(&d->rope, p + 16, d->rope.n_bytes, &content);
    check(st == STATUS_OK);
    ring_commit(tx, ARCHIVE_CONTENT, 16 + content.n);
    d->ops_bytes_since_snapshot = 0;
    counter_bump(s->count.snapshots, 1);
    return true;
}

void shard_snapshot_if_due(struct shard *s, struct document *d)
{
    if (is_snapshot_due(d))
        send_snapshot(s, d); /* where there is no room: the next op asks again */
}

static bool evict_one(struct shard *s, struct document *d)
{
    if (!cache_is_idle(d) || d->last_idx > s->view_idx)
        return false;
    /* Shortens the next load; not worth waiting for. */
    if (d->ops_bytes_since_snapshot > SHARD_SNAPSHOT_BYTES / 4)
        send_snapshot(s, d);
    forget(s, d);
    counter_bump(s->count.evictions, 1);
    return true;
}

/* Takes up to n_max from the oldest end; those in use are moved to the other end. What only waits
 * for the view hurries it. */
static unsigned evict(struct shard *s, unsigned n_max, uint64_t goal_bytes)
{
    unsigned n = 0;
    uint64_t need_idx = 0;
    for (unsigned i = 0; i < EVICT_SCAN && n < n_max && s->pool.used_bytes > goal_bytes; i++) {
        struct document *d = s->cache.oldest;
        if (!d)
            break;
        if (evict_one(s, d)) {
            n++;
            continue;
        }
        if (cache_is_idle(d) && d->last_idx > need_idx)
            need_idx = d->last_idx;
        cache_touch(&s->cache, d);
    }
    shard_need(s, need_idx);
    return n;
}

unsigned shard_evict(struct shard *s)
{
    uint64_t goal = s->options.memory_bytes - s->options.memory_bytes / 4;
    if (s->cache.n >= s->cache.n_max)
        goal = 0;
    return s->pool.used_bytes > goal ? evict(s, 16, goal) : 0;
}

bool shard_make_room(struct shard *s)
{
    return evict(s, 16, 0) > 0;
}
