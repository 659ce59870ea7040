/* shard_request.c - messages that wait for something, and the talk with the loader; see
 * shard_private.h. */
#include "sequencer/shard_private.h"

#include <sys/mman.h>

#define ANSWERS_BUDGET 32u
#define READY_BUDGET   256u

enum status shard_requests_open(struct shard *s)
{
    size_t n = SHARD_REQUESTS_MAX * sizeof *s->requests;
    void *mem =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return STATUS_NO_MEMORY;
    s->requests = mem;
    for (uint32_t i = SHARD_REQUESTS_MAX; i-- > 0;) {
        s->requests[i].slot = i;
        s->requests[i].next = s->requests_free;
        s->requests_free = &s->requests[i];
    }
    s->parked_bytes_max = s->options.memory_bytes / 8;
    return STATUS_OK;
}

void shard_push(struct request_list *l, struct request *r)
{
    r->next = NULL;
    if (l->last)
        l->last->next = r;
    else
        l->first = r;
    l->last = r;
}

struct request *shard_pop(struct request_list *l)
{
    struct request *r = l->first;
    if (!r)
        return NULL;
    l->first = r->next;
    if (!l->first)
        l->last = NULL;
    r->next = NULL;
    return r;
}

void shard_wake_all(struct shard *s, struct request **first, struct request **last)
{
    if (!*first)
        return;
    if (s->ready.last)
        s->ready.last->next = *first;
    else
        s->ready.first = *first;
    s->ready.last = *last;
    *first = NULL;
    *last = NULL;
}

struct request *shard_park(struct shard *s, struct msg_in *m, struct document *d)
{
    struct request *r = m->request;
    if (!r) {
        r = s->requests_free;
        if (!r || s->parked_bytes + m->payload.n > s->parked_bytes_max)
            return NULL;
        uint8_t *copy = pool_take(&s->pool, m->payload.n);
        if (!copy)
            return NULL;
        memcpy(copy, m->payload.p, m->payload.n);
        s->requests_free = r->next;
        *r = (struct request){
            .payload = copy,
            .payload_bytes = (uint32_t)m->payload.n,
            .slot = r->slot,
            .gen = r->gen + 1,
            .gateway = m->gateway,
            .type = m->type,
            .taken = true,
        };
        m->request = r;
        m->payload = bytes_of(copy, m->payload.n);
        s->parked_bytes += r->payload_bytes;
        s->n_requests++;
        counter_bump(s->count.parked, 1);
    }
    if (d && r->doc != d) {
        check(!r->doc);
        r->doc = d;
        d->n_pins++;
    }
    return r;
}

void shard_request_done(struct shard *s, struct request *r)
{
    if (r->client)
        r->client->n_pins--;
    if (r->doc)
        shard_unpin(s, r->doc);
    s->parked_bytes -= r->payload_bytes;
    pool_give(&s->pool, r->payload, r->payload_bytes);
    pool_give(&s->pool, r->merge_ops, r->merge_ops_bytes);
    pool_give(&s->pool, r->chunk, r->chunk_bytes);
    r->payload = r->merge_ops = r->chunk = NULL;
    r->doc = NULL;
    r->client = NULL;
    r->taken = false;
    r->next = s->requests_free;
    s->requests_free = r;
    s->n_requests--;
}

/* ---- questions ---- */

void shard_need(struct shard *s, uint64_t idx)
{
    if (idx <= s->view_idx)
        return;
    struct archive_shared *shared = s->wiring.archive;
    if (idx > atomic_load_explicit(&shared->hurry_idx, memory_order_relaxed))
        atomic_store_explicit(&shared->hurry_idx, idx, memory_order_release); /* <-> archive */
    parker_wake(s->wiring.archive_parker);
}

void shard_ask(struct shard *s, enum loader_type type, struct loader_ask ask, struct bytes a,
               struct bytes b)
{
    struct link_end *link = s->wiring.loader;
    void *p = ring_claim(&link->tx, LOADER_ASK_BYTES_MAX);
    check(p);
    struct writer w = writer_of(p, LOADER_ASK_BYTES_MAX);
    msg_write_struct(&w, &ask);
    if (type == LOADER_LIST)
        write_bytes(&w, a); /* an identity is fields already */
    else if (type == LOADER_DOCUMENT || type == LOADER_CLIENT)
        write_str(&w, a);
    if (type == LOADER_DOCUMENT || type == LOADER_LIST)
        write_str(&w, b);
    check(w.ok);
    ring_commit(&link->tx, (uint16_t)type, writer_n(&w));
    link_flush(link);
    shard_need(s, ask.need_idx);
}

struct loader_ask shard_ask_for(struct request *r)
{
    r->is_asking = true;
    return (struct loader_ask){.slot = r->slot, .gen = r->gen, .whom = LOADER_FOR_REQUEST};
}

bool shard_loader_is_behind(struct shard *s)
{
    struct ring_tx *tx = &s->wiring.loader->tx;
    return !ring_has_room(tx, tx->capacity / 4);
}

enum status shard_park_and_ask(struct shard *s, struct msg_in *m, struct document *d,
                               enum loader_type type, struct loader_ask ask, struct bytes a,
                               struct bytes b)
{
    /* What is asked may be slices of the message: written before anything else happens to it. */
    struct request *r = shard_loader_is_behind(s) ? NULL : shard_park(s, m, d);
    if (!r)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    struct loader_ask whole = shard_ask_for(r);
    whole.need_idx = ask.need_idx;
    whole.docnum = d ? d->docnum : 0;
    whole.a = ask.a;
    whole.b = ask.b;
    whole.tag = ask.tag;
    whole.at = ask.at;
    whole.limit = ask.limit;
    whole.bytes_max = ask.bytes_max;
    shard_ask(s, type, whole, a, b);
    return STATUS_END;
}

/* ---- answers ---- */

static void answer_request(struct shard *s, uint16_t type, const struct loader_answer *a,
                           struct reader *in)
{
    if (a->slot >= SHARD_REQUESTS_MAX)
        return;
    struct request *r = &s->requests[a->slot];
    if (!r->taken || r->gen != a->gen || !r->is_asking)
        return;
    r->is_asking = false;
    if (r->cancelled) {
        shard_request_done(s, r);
        return;
    }
    switch ((enum loader_type)type) {
    case LOADER_CLIENT:
        shard_client_answer(s, r, a, in);
        break;
    case LOADER_HASH:
        r->hash_known = true;
        r->hash = a->a;
        if (a->status == STATUS_OK || a->status == STATUS_END)
            shard_push(&s->ready, r);
        else
            shard_call_answer(s, r, type, a, in);
        break;
    case LOADER_OPS:
        if (r->merge_ops) {
            shard_merge_answer(s, r, a, read_rest(in));
            break;
        }
        shard_call_answer(s, r, type, a, in);
        break;
    case LOADER_DOCUMENT:
    case LOADER_CONTENT:
    case LOADER_LIST:
        shard_call_answer(s, r, type, a, in);
        break;
    }
}

static void take_answer(struct shard *s, const struct ring_record *record)
{
    struct reader in = reader_of(record->payload);
    struct loader_answer a;
    msg_read_struct(&in, &a);
    check(in.ok);
    if (a.whom == LOADER_FOR_DOCUMENT) {
        shard_document_answer(s, &a, &in);
    } else if (a.whom == LOADER_FOR_SESSION) {
        struct session *session = a.slot < s->sessions.n_used ? &s->sessions.slots[a.slot] : NULL;
        if (session && session->state == SESSION_CATCHUP && session->gen == a.gen)
            shard_catchup_answer(s, session, &a, read_rest(&in));
    } else {
        answer_request(s, record->type, &a, &in);
    }
}

unsigned shard_take_answers(struct shard *s)
{
    unsigned n = 0;
    struct ring_record record;
    while (n < ANSWERS_BUDGET && shard_has_room(s) &&
           ring_peek(&s->wiring.loader->rx, &record) == STATUS_OK) {
        take_answer(s, &record);
        ring_advance(&s->wiring.loader->rx);
        n++;
    }
    if (n)
        link_release(s->wiring.loader);
    return n;
}

/* ---- running what waited ---- */

unsigned shard_run_ready(struct shard *s)
{
    unsigned n = 0;
    struct request *r;
    while (n < READY_BUDGET && s->ready.first && shard_has_room(s) &&
           (r = shard_pop(&s->ready)) != NULL) {
        if (r->cancelled) {
            shard_request_done(s, r);
            continue;
        }
        struct msg_in m = {.gateway = r->gateway,
                           .type = r->type,
                           .payload = bytes_of(r->payload, r->payload_bytes),
                           .request = r};
        enum status st = shard_dispatch(s, &m);
        if (st == STATUS_NO_ROOM) { /* back to the front: order is kept */
            r->next = s->ready.first;
            s->ready.first = r;
            if (!s->ready.last)
                s->ready.last = r;
            break;
        }
        if (st == STATUS_OK)
            shard_request_done(s, r);
        n++;
    }
    return n;
}
