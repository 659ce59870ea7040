/* shard_out.c - the small answers of a shard; see shard_private.h. Room was made sure of before the
 * message was begun (shard_has_room), so a claim that fails is our mistake. */
#include "sequencer/shard_private.h"

struct writer shard_claim(struct shard *s, uint32_t gateway, size_t bytes)
{
    void *p = ring_claim(&s->gates[gateway].out.link->tx, bytes);
    check(p);
    return writer_of(p, bytes);
}

void shard_commit(struct shard *s, uint32_t gateway, uint16_t type, const struct writer *w)
{
    check(w->ok);
    ring_commit(&s->gates[gateway].out.link->tx, type, writer_n(w));
}

struct msg_head shard_head(const struct session *to)
{
    return (struct msg_head){.tag = to->tag, .session = to->slot, .session_gen = to->gen};
}

/* Every message of a gateway begins with a head; what is shorter has none worth echoing. */
struct msg_head shard_head_of(const struct msg_in *m)
{
    struct msg_head head;
    struct reader r = reader_of(m->payload);
    msg_read_struct(&r, &head);
    return head;
}

static void write_error(struct shard *s, uint32_t gateway, uint16_t type, struct msg_head head,
                        enum status why, uint64_t seq)
{
    struct bytes detail = bytes_str(status_hint(why));
    struct msg_error e = {.head = head, .seq = seq, .status = (uint16_t)why};
    if (seq)
        e.flags = MSG_ERROR_SEQ;
    if (status_retry(why))
        e.retry_after_ms = SHARD_RETRY_MS;
    struct writer w = shard_claim(s, gateway, sizeof e + VARINT_BYTES_MAX + detail.n);
    msg_write_struct(&w, &e);
    write_str(&w, detail);
    shard_commit(s, gateway, type, &w);
    counter_bump(s->count.refused[why], 1);
}

void shard_error(struct shard *s, const struct session *to, enum status why, uint64_t seq)
{
    write_error(s, to->gateway, MSG_ERROR, shard_head(to), why, seq);
}

static bool is_of_session(const struct msg_in *m)
{
    if (m->type == MSG_OPS) {
        struct msg_ops h;
        struct reader r = reader_of(m->payload);
        msg_read_struct(&r, &h);
        return !(h.flags & MSG_OPS_CALL);
    }
    return m->type == MSG_LEAVE || m->type == MSG_PRESENCE || m->type == MSG_IDENTITY ||
           m->type == MSG_CREDIT;
}

/* The seq of an ops message's first op: what its error names. */
static uint64_t seq_of(const struct msg_in *m)
{
    if (m->type != MSG_OPS)
        return 0;
    struct reader r = reader_of(m->payload);
    read_bytes(&r, sizeof(struct msg_ops));
    struct msg_op_in op;
    msg_read_struct(&r, &op);
    return op.flags & MSG_OP_NO_SEQ ? 0 : op.seq;
}

enum status shard_refuse(struct shard *s, const struct msg_in *m, enum status why)
{
    if (why == STATUS_NO_MEMORY || why == STATUS_NO_ROOM)
        why = STATUS_UNAVAILABLE;
    uint16_t type = is_of_session(m) ? MSG_ERROR : MSG_FAIL;
    write_error(s, m->gateway, type, shard_head_of(m), why, seq_of(m));
    return STATUS_OK;
}

enum status shard_no_log_room(struct shard *s, const struct msg_in *m, enum status why)
{
    if (why != STATUS_NO_ROOM)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    counter_bump(s->count.waits_full, 1);
    return STATUS_NO_ROOM;
}

void shard_note(struct shard *s, const struct session *to, uint16_t type, uint32_t arg)
{
    struct msg_session_note note = {.head = shard_head(to), .arg = arg};
    struct writer w = shard_claim(s, to->gateway, sizeof note);
    msg_write_struct(&w, &note);
    shard_commit(s, to->gateway, type, &w);
}

enum status shard_done(struct shard *s, const struct msg_in *m)
{
    struct msg_head head = shard_head_of(m);
    struct writer w = shard_claim(s, m->gateway, sizeof head);
    msg_write_struct(&w, &head);
    shard_commit(s, m->gateway, MSG_DONE, &w);
    return STATUS_OK;
}

size_t shard_content_bytes(const struct document *d)
{
    return VARINT_BYTES_MAX + d->rope.n_bytes;
}

void shard_write_content(struct writer *w, const struct document *d)
{
    /* n_bytes is an upper bound: the length in front may turn out a byte shorter than was left for
     * it. */
    size_t gap = varint_bytes(d->rope.n_bytes);
    check(writer_need(w, gap + d->rope.n_bytes));
    struct bytes content;
    enum status st = rope_emit(&d->rope, w->p + gap, d->rope.n_bytes, &content);
    check(st == STATUS_OK);
    size_t n = content.n;
    if (varint_bytes(n) != gap)
        memmove(w->p + varint_bytes(n), content.p, n);
    write_varint(w, n);
    w->p += n;
}
