/* merge.c - see merge.h. */
#include "sequencer/merge.h"

#include "base/say.h"
#include "sequencer/transform.h"

#include <sys/mman.h>

/* What a transform costs besides its bytes, in bytes. */
#define TRANSFORM_COST 64u
/* Steps that are worth keeping the ops for, however large they are. */
#define STEPS_MIN 16u

static void *reserve(size_t n)
{
    void *mem =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

/* One mapping: the ops, the two buffers, the two places of the carried op. */
static size_t ops_room(const struct merge *m)
{
    return (m->n_max * sizeof *m->ops + 4095) & ~(size_t)4095;
}

enum status merge_open(struct merge *m, uint32_t ops_max, size_t buf_bytes)
{
    *m = (struct merge){.n_max = ops_max, .buf_bytes = buf_bytes};
    uint8_t *mem = reserve(ops_room(m) + 4 * buf_bytes);
    if (!mem)
        return STATUS_NO_MEMORY;
    m->ops = (struct bytes *)(void *)mem;
    mem += ops_room(m);
    for (unsigned i = 0; i < 2; i++) {
        m->bufs[i] = mem + i * buf_bytes;
        m->carry[i] = mem + (2 + i) * buf_bytes;
    }
    return STATUS_OK;
}

void merge_close(struct merge *m)
{
    if (m->ops)
        munmap(m->ops, ops_room(m) + 4 * m->buf_bytes);
    m->ops = NULL;
}

void merge_begin(struct merge *m)
{
    m->n = 0;
    m->total_bytes = 0;
    m->at = 0;
}

bool merge_add(struct merge *m, struct bytes op)
{
    if (m->n == m->n_max)
        return false;
    m->ops[m->n++] = op;
    m->total_bytes += op.n;
    return true;
}

uint64_t merge_cost(const struct merge *m, struct bytes accepted)
{
    return m->total_bytes + m->n * (uint64_t)(TRANSFORM_COST + accepted.n);
}

/* A buffer that is too small is the client's fault: its ops have grown past every bound. */
static enum status too_large(enum status s)
{
    return s == STATUS_NO_ROOM ? STATUS_TOO_LARGE : s;
}

enum status merge_past_some(struct merge *m, struct bytes accepted, uint64_t budget)
{
    uint8_t *at = m->bufs[m->which];
    uint8_t *end = at + m->buf_bytes;
    uint64_t spent = 0;
    uint32_t i = m->at;
    uint32_t least = i + STEPS_MIN;
    if (i > 0)
        accepted = m->going;
    for (; i < m->n && (i < least || spent < budget); i++) {
        struct bytes before = m->ops[i];
        struct bytes carried = accepted;
        enum status s = STATUS_OK;
        if (i + 1 < m->n)
            s = op_transform(before, accepted, false, m->carry[i & 1], m->buf_bytes, &carried);
        if (s == STATUS_OK)
            s = op_transform(accepted, before, true, at, (size_t)(end - at), &m->ops[i]);
        if (s != STATUS_OK)
            return too_large(s);
        spent += TRANSFORM_COST + accepted.n + before.n;
        at += m->ops[i].n;
        m->total_bytes += m->ops[i].n - before.n;
        accepted = carried;
    }
    m->which ^= 1;
    m->at = i < m->n ? i : 0;
    m->going = accepted;
    return m->at ? STATUS_END : STATUS_OK;
}

enum status merge_past(struct merge *m, struct bytes accepted)
{
    return merge_past_some(m, accepted, UINT64_MAX);
}

size_t merge_emit_bytes(const struct merge *m)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        n += varint_bytes(m->ops[i].n) + m->ops[i].n;
    return m->at ? n + varint_bytes(m->going.n) + m->going.n : n;
}

void merge_emit(const struct merge *m, void *buf, size_t buf_bytes)
{
    struct writer w = writer_of(buf, buf_bytes);
    for (uint32_t i = 0; i < m->n; i++)
        write_str(&w, m->ops[i]);
    if (m->at)
        write_str(&w, m->going);
    check(w.ok);
}

enum status merge_resume(struct merge *m, struct bytes block, uint32_t at)
{
    merge_begin(m);
    struct reader r = reader_of(block);
    while (r.ok && reader_left(&r) > 0) {
        struct bytes op = read_str(&r);
        if (r.ok && !merge_add(m, op))
            return STATUS_TOO_LARGE;
    }
    if (at > 0) {
        if (at >= m->n)
            return STATUS_CORRUPT;
        m->going = m->ops[--m->n];
        m->total_bytes -= m->going.n;
        m->at = at;
    }
    return r.ok && at <= m->n ? STATUS_OK : STATUS_CORRUPT;
}
