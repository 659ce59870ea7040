/* loader.c - takes a shard's questions and answers them from the view; see loader.h and
 * loader_message.h. */
#include "sequencer/loader_private.h"

#include <sys/mman.h>

#define DEFAULT_MEMORY_BYTES (64ull << 20)
#define QUESTIONS_BUDGET     16u

enum status loader_open(struct loader **out, const struct loader_options *options)
{
    if (!options->view || !options->archive || !options->link ||
        ring_payload_max(options->link->tx.capacity) < LIMIT_RECORD_BYTES)
        return STATUS_USAGE;
    struct loader *l =
        mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (l == MAP_FAILED)
        return STATUS_NO_MEMORY;
    l->options = *options;
    enum status st =
        pool_init(&l->pool, options->memory_bytes ? options->memory_bytes : DEFAULT_MEMORY_BYTES);
    if (st != STATUS_OK) {
        munmap(l, sizeof *l);
        return st;
    }
    *out = l;
    return STATUS_OK;
}

void loader_close(struct loader *l)
{
    pool_fini(&l->pool);
    munmap(l, sizeof *l);
}

/* ---- one question ---- */

struct question {
    struct loader_ask ask;
    struct reader in;
    struct view_read *view;
    struct loader_answer answer;
    struct writer out; /* behind the answer's struct */
};

static enum status answer_document(struct loader *l, struct question *q)
{
    struct bytes tenant = read_str(&q->in);
    struct bytes doc_id = read_str(&q->in);
    struct view_doc doc;
    enum status st = view_doc_find(q->view, tenant, doc_id, &doc);
    if (st != STATUS_OK)
        return st;
    struct loader_document h = {
        .docnum = doc.docnum,
        .version = doc.version,
        .hash = doc.hash,
        .created_ms = doc.created_ms,
        .modified_ms = doc.modified_ms,
        .trashed_ms = doc.trashed_ms,
        .ops_bytes_since = doc.ops_bytes_since,
        .n_roles = doc.n_roles,
        .type = doc.type,
    };
    msg_write_struct(&q->out, &h);
    write_str(&q->out, doc.owner);
    write_str(&q->out, doc.title);
    write_str(&q->out, doc.roles);
    st = loader_write_content(l, q->view, doc.docnum, doc.version, &q->out);
    /* The view names a version that it can't show. */
    return st == STATUS_END ? STATUS_CORRUPT : st;
}

static enum status answer_client(struct question *q)
{
    struct bytes id = read_str(&q->in);
    struct view_client c;
    enum status st = view_client_find(q->view, q->ask.docnum, id, &c);
    if (st != STATUS_OK)
        return st;
    struct loader_client h = {
        .last_seq = c.last_seq,
        .last_version = c.last_version,
        .last_seq_version = c.last_seq_version,
        .message_seq = c.message_seq,
        .message_version = c.message_version,
        .message_n = c.message_n,
    };
    msg_write_struct(&q->out, &h);
    write_str(&q->out, id);
    write_str(&q->out, c.user);
    write_str(&q->out, c.payload_hashes);
    return STATUS_OK;
}

/* Writes the ops as items until the chunk is full; at least one. */
static bool write_op(void *arg, const struct view_op *op)
{
    struct question *q = arg;
    struct msg_op_out h = {
        .version = op->version,
        .seq = op->op.seq,
        .unix_ms = op->unix_ms,
        .op_bytes = (uint32_t)op->op.op.n,
        .flags = op->op.seq ? 0 : MSG_OP_NO_SEQ,
    };
    size_t n = sizeof h + 3 * VARINT_BYTES_MAX + op->user.n + op->client.n + op->accepted_by.n +
               op->op.op.n;
    struct loader_answer *a = &q->answer;
    if (a->n == q->ask.limit || (a->n > 0 && writer_n(&q->out) + n > q->ask.bytes_max)) {
        a->more = 1;
        return false;
    }
    write_str(&q->out, op->user);
    write_str(&q->out, op->client);
    write_str(&q->out, op->accepted_by);
    msg_write_struct(&q->out, &h);
    write_bytes(&q->out, op->op.op);
    if (a->n++ == 0)
        a->a = op->version;
    return q->out.ok;
}

static enum status answer_content(struct loader *l, struct question *q)
{
    uint64_t version = q->ask.a;
    enum status st = STATUS_OK;
    if (q->ask.at == DOC_AT_TIME)
        st = view_version_at(q->view, q->ask.docnum, q->ask.a, &version);
    uint64_t hash = 0;
    uint64_t unix_ms = 0;
    if (st == STATUS_OK)
        st = loader_version(q->view, q->ask.docnum, version, &hash, &unix_ms);
    if (st != STATUS_OK)
        return st;
    q->answer.a = version;
    q->answer.b = hash;
    q->answer.c = unix_ms;
    return loader_write_content(l, q->view, q->ask.docnum, version, &q->out);
}

static enum status answer_list(struct loader *l, struct question *q)
{
    struct msg_identity id = msg_read_identity(&q->in);
    struct bytes cursor = read_str(&q->in);
    check(q->in.ok);
    return loader_write_list(l, q->view, &q->ask, &id, cursor, &q->out, &q->answer.n,
                             &q->answer.more);
}

static enum status answer_by_type(struct loader *l, struct question *q, uint16_t type)
{
    uint64_t unused;
    switch ((enum loader_type)type) {
    case LOADER_DOCUMENT:
        return answer_document(l, q);
    case LOADER_CLIENT:
        return answer_client(q);
    case LOADER_OPS:
        return view_ops(q->view, q->ask.docnum, q->ask.a, q->ask.b, write_op, q);
    case LOADER_HASH:
        return loader_version(q->view, q->ask.docnum, q->ask.a, &q->answer.a, &unused);
    case LOADER_CONTENT:
        return answer_content(l, q);
    case LOADER_LIST:
        return answer_list(l, q);
    }
    return STATUS_INTERNAL;
}

/* There is room for the largest answer. */
static void answer(struct loader *l, uint16_t type, struct bytes payload)
{
    struct ring_tx *tx = &l->options.link->tx;
    uint8_t *p = ring_claim(tx, LIMIT_RECORD_BYTES);
    check(p);
    struct question q = {.in = reader_of(payload)};
    msg_read_struct(&q.in, &q.ask);
    check(q.in.ok);
    size_t head = sizeof q.answer;
    q.out = writer_of(p + head, LIMIT_RECORD_BYTES - head);
    q.answer = (struct loader_answer){.slot = q.ask.slot, .gen = q.ask.gen, .whom = q.ask.whom};
    enum status st = view_read_begin(l->options.view, &q.view);
    if (st == STATUS_OK) {
        check_cmp(view_read_index(q.view), >=, q.ask.need_idx);
        st = answer_by_type(l, &q, type);
        view_read_end(q.view);
    }
    if (st == STATUS_OK && !q.out.ok)
        st = STATUS_INTERNAL;
    q.answer.status = st;
    memcpy(p, &q.answer, head);
    ring_commit(tx, type, head + (st == STATUS_OK ? writer_n(&q.out) : 0));
    if (st == STATUS_CORRUPT)
        say(SAY_ERROR, "the view contradicts itself about document number %llu of its shard",
            (unsigned long long)q.ask.docnum);
}

/* ---- the role ---- */

static uint64_t need_of(struct bytes payload)
{
    struct loader_ask ask;
    struct reader r = reader_of(payload);
    msg_read_struct(&r, &ask);
    return ask.need_idx;
}

static uint64_t view_idx(const struct loader *l)
{
    return atomic_load_explicit(&l->options.archive->view_idx,
                                memory_order_acquire); /* <-> archive */
}

static bool has_room(struct loader *l)
{
    return ring_has_room(&l->options.link->tx, LIMIT_RECORD_BYTES);
}

static unsigned run_parked(struct loader *l)
{
    unsigned n = 0;
    uint32_t kept = 0;
    uint64_t idx = l->n_parked ? view_idx(l) : 0;
    for (uint32_t i = 0; i < l->n_parked; i++) {
        struct loader_parked *p = &l->parked[i];
        if (p->need_idx <= idx && n < QUESTIONS_BUDGET && has_room(l)) {
            answer(l, p->type, bytes_of(p->payload, p->payload_bytes));
            pool_give(&l->pool, p->payload, p->payload_bytes);
            n++;
        } else {
            l->parked[kept++] = *p;
        }
    }
    l->n_parked = kept;
    return n;
}

/* False: no place; the question stays in the ring. */
static bool park(struct loader *l, const struct ring_record *r, uint64_t need_idx)
{
    if (l->n_parked == LOADER_PARKED_MAX)
        return false;
    uint8_t *copy = pool_take(&l->pool, r->payload.n);
    if (!copy)
        return false;
    memcpy(copy, r->payload.p, r->payload.n);
    l->parked[l->n_parked++] =
        (struct loader_parked){need_idx, copy, (uint32_t)r->payload.n, r->type};
    return true;
}

static unsigned poll(void *self, uint64_t now_ns)
{
    struct loader *l = self;
    (void)now_ns;
    unsigned n = run_parked(l);
    unsigned taken = 0;
    struct ring_record r;
    while (taken < QUESTIONS_BUDGET && has_room(l) &&
           ring_peek(&l->options.link->rx, &r) == STATUS_OK) {
        uint64_t need_idx = need_of(r.payload);
        if (need_idx <= view_idx(l))
            answer(l, r.type, r.payload);
        else if (!park(l, &r, need_idx))
            break;
        ring_advance(&l->options.link->rx);
        taken++;
    }
    if (taken)
        link_release(l->options.link);
    link_flush(l->options.link);
    return n + taken;
}

struct role loader_role(struct loader *l)
{
    return (struct role){.name = "loader", .self = l, .poll = poll};
}
