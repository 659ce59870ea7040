/* fanout.c - members of documents and broadcasts to them; see fanout.h. */
#include "gateway/fanout.h"

#include "base/say.h"

#include <stdlib.h>

#define SLOTS_MIN        256u
#define FRAME_HEAD_BYTES 16u /* a WebSocket frame's header, and some */

_Static_assert(FANOUT_DIRECT_BYTES_MAX + FRAME_HEAD_BYTES +
                       (FANOUT_ACKS_MAX + 2) * (REPLY_ACK_BYTES + FRAME_HEAD_BYTES) <
                   SLAB_BYTES - 64,
               "the last op of a full run fits an ordinary slab (I2)");

struct fan_doc {
    uint64_t key;
    uint32_t gen;
    uint32_t n;
    uint32_t n_max;
    uint32_t pad;
    struct fan_member **members;
};

/* ---- the table: open addressing, linear probing, at most half full ---- */

static uint64_t key_of(uint32_t shard, uint32_t doc)
{
    return (uint64_t)shard << 32 | doc;
}

static uint32_t home_of(const struct fanout *f, uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 32) & (f->n_slots - 1);
}

enum status fanout_init(struct fanout *f, struct conns *conns)
{
    memset(f, 0, sizeof *f);
    f->conns = conns;
    f->slots = calloc(SLOTS_MIN, sizeof *f->slots);
    f->scratch = malloc(FANOUT_SCRATCH_BYTES);
    if (!f->slots || !f->scratch) {
        free(f->slots);
        free(f->scratch);
        return STATUS_NO_MEMORY;
    }
    f->n_slots = SLOTS_MIN;
    return STATUS_OK;
}

void fanout_fini(struct fanout *f)
{
    for (uint32_t i = 0; i < f->n_slots; i++) {
        if (f->slots[i].doc) {
            free(f->slots[i].doc->members);
            free(f->slots[i].doc);
        }
    }
    free(f->slots);
    free(f->scratch);
    f->slots = NULL;
    f->scratch = NULL;
    f->n_slots = 0;
}

struct fan_doc *fanout_find(struct fanout *f, uint32_t shard, uint32_t doc, uint32_t doc_gen)
{
    uint64_t key = key_of(shard, doc);
    for (uint32_t i = home_of(f, key); f->slots[i].doc; i = (i + 1) & (f->n_slots - 1))
        if (f->slots[i].key == key && f->slots[i].doc->gen == doc_gen)
            return f->slots[i].doc;
    return NULL;
}

uint32_t fan_doc_n_members(const struct fan_doc *d)
{
    return d->n;
}

static void place(struct fanout *f, struct fan_doc *d)
{
    uint32_t i = home_of(f, d->key);
    while (f->slots[i].doc)
        i = (i + 1) & (f->n_slots - 1);
    f->slots[i] = (struct fan_slot){.key = d->key, .doc = d};
}

static bool grow(struct fanout *f)
{
    struct fan_slot *old = f->slots;
    uint32_t n_old = f->n_slots;
    struct fan_slot *slots = calloc(2ull * n_old, sizeof *slots);
    if (!slots)
        return false;
    f->slots = slots;
    f->n_slots = 2 * n_old;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i].doc)
            place(f, old[i].doc);
    free(old);
    return true;
}

static struct fan_doc *doc_open(struct fanout *f, uint64_t key, uint32_t gen)
{
    if (2 * (f->n_docs + 1) > f->n_slots && !grow(f))
        return NULL;
    struct fan_doc *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->key = key;
    d->gen = gen;
    place(f, d);
    f->n_docs++;
    return d;
}

/* Takes a slot out and moves those behind it up, so that no probe meets a hole (Knuth 6.4 R). */
static void doc_close(struct fanout *f, struct fan_doc *d)
{
    uint32_t mask = f->n_slots - 1;
    uint32_t hole = home_of(f, d->key);
    while (f->slots[hole].doc != d)
        hole = (hole + 1) & mask;
    for (uint32_t i = (hole + 1) & mask; f->slots[i].doc; i = (i + 1) & mask) {
        uint32_t home = home_of(f, f->slots[i].key);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it lies between the hole and its home: it may not move before its home */
        f->slots[hole] = f->slots[i];
        hole = i;
    }
    f->slots[hole] = (struct fan_slot){0};
    f->n_docs--;
    free(d->members);
    free(d);
}

/* ---- members ---- */

static bool members_reserve(struct fan_doc *d)
{
    if (d->n < d->n_max)
        return true;
    uint32_t n_max = d->n_max ? 2 * d->n_max : 4;
    struct fan_member **members = realloc(d->members, n_max * sizeof *members);
    if (!members)
        return false;
    d->members = members;
    d->n_max = n_max;
    return true;
}

enum status fanout_insert(struct fanout *f, uint32_t shard, uint32_t doc, uint32_t doc_gen,
                          struct fan_member *m)
{
    check(m->doc == NULL);
    fanout_flush(f); /* who comes now has the content of the run already */
    struct fan_doc *d = fanout_find(f, shard, doc, doc_gen);
    if (!d)
        d = doc_open(f, key_of(shard, doc), doc_gen);
    if (!d)
        return STATUS_NO_MEMORY;
    if (!members_reserve(d)) {
        if (d->n == 0)
            doc_close(f, d);
        return STATUS_NO_MEMORY;
    }
    m->doc = d;
    m->idx = d->n;
    m->run_from = 0;
    d->members[d->n++] = m;
    return STATUS_OK;
}

void fanout_erase(struct fanout *f, struct fan_member *m)
{
    struct fan_doc *d = m->doc;
    if (!d)
        return;
    for (uint32_t i = 0; i < f->run.n_acks; i++)
        if (f->run.acks[i].member == m)
            f->run.acks[i].member = NULL;
    struct fan_member *last = d->members[--d->n];
    d->members[m->idx] = last;
    last->idx = m->idx;
    m->doc = NULL;
    if (d->n > 0)
        return;
    if (f->run.doc == d) { /* nobody is left to hear it */
        f->run.doc = NULL;
        f->run.n_acks = 0;
    }
    doc_close(f, d);
}

/* ---- runs ---- */

static size_t slab_room(const struct slab *s)
{
    return s->bytes - s->used;
}

static void send_slice(struct fanout *f, struct fan_member *m, uint32_t from, uint32_t end)
{
    if (from < end)
        (void)conn_send_frame(m->c, f->run.slab, from, end - from);
}

static uint32_t run_from(const struct fan_run *run, const struct fan_member *m)
{
    return m->run_from > run->from ? m->run_from : run->from;
}

/* What was there before the op, then the ack in the op's place. */
static void send_ack(struct fanout *f, const struct fan_ack *a)
{
    struct fan_member *m = a->member;
    if (!m)
        return;
    send_slice(f, m, run_from(&f->run, m), a->op_from);
    if (!a->member) /* the connection ended while it was being sent to */
        return;
    m->run_from = a->op_end;
    struct slab *slab;
    uint8_t *at = conn_frame_reserve(f->conns, REPLY_ACK_BYTES, &slab);
    if (!at) {
        conn_ws_close(m->c, CLOSE_OVERLOAD, "out of memory");
        return;
    }
    struct writer w = writer_of(at, REPLY_ACK_BYTES);
    reply_ack(&w, &(struct reply_ack){m->client_id, a->seq, a->version, a->flags});
    check(w.ok);
    uint32_t offset, n;
    conn_frame_commit(f->conns, slab, writer_n(&w), &offset, &n);
    (void)conn_send_frame(m->c, slab, offset, n);
    f->n_messages++;
}

/* The run goes to each member's socket, in one piece but for the acks of its own ops. */
void fanout_flush(struct fanout *f)
{
    struct fan_run *run = &f->run;
    if (!run->doc)
        return;
    /* Held while it is handed out: a slow member's close frame may take the pool on to its next
     * slab before anybody else has taken a slice of this one. */
    struct slab_pool *pool = loop_slabs(conns_loop(f->conns));
    struct slab_queue held = {0};
    (void)slab_queue_add(pool, &held, run->slab, run->from, 1);
    for (uint32_t i = 0; i < run->n_acks; i++)
        send_ack(f, &run->acks[i]);
    run->n_acks = 0;
    /* Backwards: who goes while he is being sent to is replaced by one that was served. */
    for (uint32_t i = run->doc ? run->doc->n : 0; run->doc && i-- > 0;) {
        if (i >= run->doc->n)
            continue;
        struct fan_member *m = run->doc->members[i];
        uint32_t from = run_from(run, m);
        m->run_from = 0;
        f->n_messages += run->n_frames;
        send_slice(f, m, from, run->end);
    }
    run->doc = NULL;
    slab_queue_clear(pool, &held);
}

/* ---- frames ---- */

bool fanout_frame_begin(struct fanout *f, size_t bytes_max, struct fan_frame *frame)
{
    uint8_t *at = f->scratch;
    frame->is_direct = bytes_max <= FANOUT_DIRECT_BYTES_MAX;
    if (frame->is_direct)
        at = conn_frame_reserve(f->conns, bytes_max, &frame->slab);
    else if (bytes_max > FANOUT_SCRATCH_BYTES)
        at = NULL;
    frame->w = writer_of(at, at ? bytes_max : 0);
    return at != NULL;
}

bool fanout_frame_end(struct fanout *f, struct fan_frame *frame)
{
    size_t n = writer_n(&frame->w);
    check(frame->w.ok); /* every reply_* states its bound */
    if (!frame->is_direct) {
        uint8_t *at = conn_frame_reserve(f->conns, n, &frame->slab);
        if (!at)
            return false;
        memcpy(at, f->scratch, n);
    }
    conn_frame_commit(f->conns, frame->slab, n, &frame->offset, &frame->n);
    return true;
}

/* An op of at most `bytes_max` goes behind the open run of its document if it fits there and the
 * acks to come fit too, else into a new run. A large one has a run of its own. */
static bool run_reserve(struct fanout *f, struct fan_doc *d, size_t bytes_max,
                        struct fan_frame *frame)
{
    struct fan_run *run = &f->run;
    size_t acks_bytes = (run->n_acks + 2ull) * (REPLY_ACK_BYTES + FRAME_HEAD_BYTES);
    size_t need = bytes_max + FRAME_HEAD_BYTES + acks_bytes;
    if (run->doc && (run->doc != d || slab_room(run->slab) < need ||
                     bytes_max > FANOUT_DIRECT_BYTES_MAX || run->n_acks == FANOUT_ACKS_MAX))
        fanout_flush(f);
    return fanout_frame_begin(f, bytes_max, frame);
}

/* No memory: who would miss an op has to come back and catch up. */
static void close_all(struct fanout *f, struct fan_doc *d)
{
    fanout_flush(f);
    for (uint32_t i = 0; i < d->n; i++)
        conn_ws_close(d->members[i]->c, CLOSE_OVERLOAD, "out of memory");
}

void fanout_op(struct fanout *f, struct fan_doc *d, const struct reply_op *op,
               struct fan_member *sender)
{
    struct fan_run *run = &f->run;
    size_t bytes_max = reply_op_bytes_max(op);
    struct fan_frame frame;
    if (!run_reserve(f, d, bytes_max, &frame)) {
        close_all(f, d);
        return;
    }
    reply_op(&frame.w, op);
    if (!fanout_frame_end(f, &frame)) {
        close_all(f, d);
        return;
    }
    check(!run->doc || frame.slab == run->slab); /* I2: run_reserve saw to it that there is room */
    if (run->doc && frame.offset != run->end)
        fanout_flush(f);
    if (!run->doc) {
        run->doc = d;
        run->slab = frame.slab;
        run->from = frame.offset;
        run->n_frames = 0;
    }
    run->end = frame.offset + frame.n;
    run->n_frames++;
    if (sender)
        run->acks[run->n_acks++] = (struct fan_ack){
            .member = sender,
            .seq = op->op.seq,
            .version = op->op.version + 1,
            .op_from = frame.offset,
            .op_end = frame.offset + frame.n,
            .flags = op->op.has_seq ? 0 : MSG_ACK_NO_SEQ,
        };
    if (bytes_max > FANOUT_DIRECT_BYTES_MAX)
        fanout_flush(f);
}

void fanout_frame(struct fanout *f, struct fan_doc *d, const struct fan_member *except,
                  const struct fan_frame *frame)
{
    check(f->run.doc == NULL);
    for (uint32_t i = d->n; i-- > 0;) {
        struct fan_member *m = d->members[i];
        if (m == except)
            continue;
        f->n_messages++;
        (void)conn_send_frame(m->c, frame->slab, frame->offset, frame->n);
    }
}

void fanout_check(const struct fanout *f)
{
    uint32_t n_docs = 0;
    for (uint32_t i = 0; i < f->n_slots; i++) {
        const struct fan_doc *d = f->slots[i].doc;
        if (!d)
            continue;
        n_docs++;
        check_cmp(f->slots[i].key, ==, d->key);
        check_cmp(d->n, >, 0);
        check_cmp(d->n, <=, d->n_max);
        for (uint32_t k = home_of(f, d->key); k != i; k = (k + 1) & (f->n_slots - 1))
            check(f->slots[k].doc != NULL); /* a probe would stop too early */
        for (uint32_t k = 0; k < d->n; k++) {
            check_cmp(d->members[k]->idx, ==, k);
            check(d->members[k]->doc == d);
        }
    }
    check_cmp(n_docs, ==, f->n_docs);
}
