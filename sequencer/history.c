/* history.c - see history.h. */
#include "sequencer/history.h"

#include "base/say.h"

#include <sys/mman.h>

struct slot {
    uint64_t prev;
    uint64_t docnum;
    uint64_t version;
    uint64_t unix_ms;
    uint64_t seq;
    uint64_t hash;
    uint32_t op_bytes;
    uint8_t user_bytes;
    uint8_t client_bytes;
    uint8_t accepted_bytes;
    uint8_t pad;
};

enum status history_open(struct history *h, uint64_t capacity)
{
    if (capacity < HISTORY_BYTES_MIN || (capacity & (capacity - 1)))
        return STATUS_USAGE;
    void *buf = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buf == MAP_FAILED)
        return STATUS_NO_MEMORY;
    *h = (struct history){buf, capacity, 0};
    return STATUS_OK;
}

void history_close(struct history *h)
{
    if (h->buf)
        munmap(h->buf, h->capacity);
    h->buf = NULL;
}

static size_t slot_bytes(size_t user, size_t client, size_t accepted, size_t op)
{
    return (sizeof(struct slot) + user + client + accepted + op + 7) & ~(size_t)7;
}

static uint8_t *put(uint8_t *at, struct bytes b)
{
    if (b.n)
        memcpy(at, b.p, b.n);
    return at + b.n;
}

uint64_t history_push(struct history *h, uint64_t prev_pos, const struct history_op *op)
{
    size_t n = slot_bytes(op->user.n, op->client.n, op->accepted_by.n, op->op.n);
    if (n > h->capacity / 4 || op->user.n > UINT8_MAX || op->client.n > UINT8_MAX ||
        op->accepted_by.n > UINT8_MAX)
        return HISTORY_NONE;
    uint64_t at = h->head & (h->capacity - 1);
    if (at + n > h->capacity) { /* records never wrap */
        h->head += h->capacity - at;
        at = 0;
    }
    struct slot slot = {
        .prev = prev_pos,
        .docnum = op->docnum,
        .version = op->version,
        .unix_ms = op->unix_ms,
        .seq = op->seq,
        .hash = op->hash,
        .op_bytes = (uint32_t)op->op.n,
        .user_bytes = (uint8_t)op->user.n,
        .client_bytes = (uint8_t)op->client.n,
        .accepted_bytes = (uint8_t)op->accepted_by.n,
    };
    uint8_t *p = h->buf + at;
    memcpy(p, &slot, sizeof slot);
    p = put(p + sizeof slot, op->user);
    p = put(p, op->client);
    p = put(p, op->accepted_by);
    put(p, op->op);
    uint64_t pos = h->head;
    h->head += n;
    return pos;
}

static bool is_there(const struct history *h, uint64_t pos)
{
    return pos != HISTORY_NONE && h->head - pos <= h->capacity;
}

bool history_read(const struct history *h, uint64_t pos, uint64_t docnum, struct history_op *op)
{
    if (!is_there(h, pos))
        return false;
    const uint8_t *p = h->buf + (pos & (h->capacity - 1));
    struct slot slot;
    memcpy(&slot, p, sizeof slot);
    check_cmp(slot.docnum, ==, docnum);
    p += sizeof slot;
    op->docnum = slot.docnum;
    op->version = slot.version;
    op->unix_ms = slot.unix_ms;
    op->seq = slot.seq;
    op->hash = slot.hash;
    op->user = bytes_of(p, slot.user_bytes);
    p += slot.user_bytes;
    op->client = bytes_of(p, slot.client_bytes);
    p += slot.client_bytes;
    op->accepted_by = bytes_of(p, slot.accepted_bytes);
    p += slot.accepted_bytes;
    op->op = bytes_of(p, slot.op_bytes);
    return true;
}

uint32_t history_walk(const struct history *h, uint64_t newest_pos, uint64_t docnum, uint32_t n,
                      uint64_t *pos)
{
    uint32_t found = 0;
    uint64_t at = newest_pos;
    while (found < n && is_there(h, at)) {
        struct slot slot;
        memcpy(&slot, h->buf + (at & (h->capacity - 1)), sizeof slot);
        check_cmp(slot.docnum, ==, docnum);
        pos[found++] = at;
        at = slot.prev;
    }
    return found;
}
