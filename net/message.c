/* message.c - see message.h. */
#include "net/message.h"
#include "base/hash.h"

void msg_write_identity(struct writer *w, const struct msg_identity *id)
{
    write_str(w, id->tenant);
    write_str(w, id->user);
    write_str(w, id->name);
    write_varint(w, id->n_groups);
    write_bytes(w, id->groups);
}

static struct bytes read_limited(struct reader *r, size_t bytes_min, size_t bytes_max)
{
    struct bytes b = read_str(r);
    if (b.n < bytes_min || b.n > bytes_max) {
        reader_fail(r);
        b.n = 0;
    }
    return b;
}

struct msg_identity msg_read_identity(struct reader *r)
{
    struct msg_identity id = {0};
    id.tenant = read_limited(r, 0, LIMIT_TENANT_BYTES);
    id.user = read_limited(r, 1, LIMIT_USER_ID_BYTES);
    id.name = read_limited(r, 0, LIMIT_NAME_BYTES);
    uint64_t n = read_varint(r);
    if (n > LIMIT_GROUPS)
        reader_fail(r);
    const uint8_t *start = r->p;
    for (uint64_t i = 0; i < n && r->ok; i++)
        read_limited(r, 1, LIMIT_GROUP_BYTES);
    if (!r->ok)
        return (struct msg_identity){0};
    id.n_groups = (uint32_t)n;
    id.groups = bytes_of(start, (size_t)(r->p - start));
    return id;
}

void msg_write_pad8(struct writer *w)
{
    static const uint8_t zeroes[8];
    write_bytes(w, bytes_of(zeroes, -writer_n(w) & 7));
}

void msg_read_pad8(struct reader *r, const uint8_t *start)
{
    read_bytes(r, -(size_t)(r->p - start) & 7);
}

uint32_t msg_shard_of(struct bytes tenant, struct bytes doc_id, uint32_t n_shards)
{
    struct bytes parts[3] = {tenant, bytes_of("", 1), doc_id};
    return (uint32_t)(hash64_parts(parts, 3) % n_shards);
}
