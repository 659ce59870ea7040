/* document.c - see document.h. */
#include "sequencer/document.h"

#include "base/hash.h"
#include "base/say.h"

#define BUCKETS_MIN 4u

/* ---- the document ---- */

struct document *document_make(struct pool *pool, struct bytes tenant, struct bytes doc_id)
{
    check_cmp(tenant.n, <=, UINT8_MAX);
    check_cmp(doc_id.n, <=, UINT8_MAX);
    struct document *d = pool_take(pool, sizeof *d);
    uint8_t *ids = d ? pool_take(pool, tenant.n + doc_id.n) : NULL;
    if (!ids) {
        pool_give(pool, d, sizeof *d);
        return NULL;
    }
    memset(d, 0, sizeof *d);
    rope_init(&d->rope, pool);
    d->ids = ids;
    d->tenant_bytes = (uint8_t)tenant.n;
    d->doc_id_bytes = (uint8_t)doc_id.n;
    if (tenant.n)
        memcpy(ids, tenant.p, tenant.n);
    memcpy(ids + tenant.n, doc_id.p, doc_id.n);
    d->newest_pos = HISTORY_NONE;
    d->state = DOCUMENT_LOADING;
    return d;
}

static size_t ids_bytes(const struct document *d)
{
    return (size_t)d->tenant_bytes + d->doc_id_bytes + d->owner_bytes;
}

static size_t client_bytes(const struct client *c)
{
    return sizeof *c + c->id_bytes + c->user_bytes;
}

static void free_client(struct client *c, struct pool *pool)
{
    if (c->payload_hashes_max)
        pool_give(pool, c->payload_hashes, c->payload_hashes_max * sizeof(uint64_t));
    pool_give(pool, c, client_bytes(c));
}

void document_free(struct document *d, struct pool *pool)
{
    check_cmp(d->n_sessions, ==, 0);
    check_cmp(d->n_pins, ==, 0);
    for (uint32_t i = 0; i < d->n_buckets; i++) {
        for (struct client *c = d->buckets[i], *next; c; c = next) {
            next = c->next;
            free_client(c, pool);
        }
    }
    pool_give(pool, d->buckets, d->n_buckets * sizeof *d->buckets);
    rope_fini(&d->rope);
    pool_give(pool, d->ids, ids_bytes(d));
    pool_give(pool, d->title, d->title_bytes);
    pool_give(pool, d->roles, d->roles_bytes);
    pool_give(pool, d, sizeof *d);
}

struct bytes document_tenant(const struct document *d)
{
    return bytes_of(d->ids, d->tenant_bytes);
}

struct bytes document_id(const struct document *d)
{
    return bytes_of(d->ids + d->tenant_bytes, d->doc_id_bytes);
}

struct bytes document_owner(const struct document *d)
{
    return bytes_of(d->ids + d->tenant_bytes + d->doc_id_bytes, d->owner_bytes);
}

struct bytes document_title(const struct document *d)
{
    return bytes_of(d->title, d->title_bytes);
}

struct bytes document_roles(const struct document *d)
{
    return bytes_of(d->roles, d->roles_bytes);
}

enum status document_set_owner(struct document *d, struct pool *pool, struct bytes owner)
{
    check_cmp(owner.n, <=, UINT8_MAX);
    size_t key = (size_t)d->tenant_bytes + d->doc_id_bytes;
    uint8_t *ids = pool_take(pool, key + owner.n);
    if (!ids)
        return STATUS_NO_MEMORY;
    memcpy(ids, d->ids, key);
    if (owner.n)
        memcpy(ids + key, owner.p, owner.n);
    pool_give(pool, d->ids, ids_bytes(d));
    d->ids = ids;
    d->owner_bytes = (uint8_t)owner.n;
    return STATUS_OK;
}

/* Replaces a block by a copy of `b`. */
static enum status replace(struct pool *pool, uint8_t **block, uint32_t *block_bytes,
                           struct bytes b)
{
    uint8_t *copy = NULL;
    if (b.n) {
        copy = pool_take(pool, b.n);
        if (!copy)
            return STATUS_NO_MEMORY;
        memcpy(copy, b.p, b.n);
    }
    pool_give(pool, *block, *block_bytes);
    *block = copy;
    *block_bytes = (uint32_t)b.n;
    return STATUS_OK;
}

enum status document_set_title(struct document *d, struct pool *pool, struct bytes title)
{
    return replace(pool, &d->title, &d->title_bytes, title);
}

enum status document_set_roles(struct document *d, struct pool *pool, struct bytes roles,
                               uint32_t n_roles)
{
    enum status s = replace(pool, &d->roles, &d->roles_bytes, roles);
    if (s == STATUS_OK)
        d->n_roles = n_roles;
    return s;
}

void document_add_live(struct document *d, uint32_t gateway)
{
    d->n_live[gateway]++;
    d->live_mask |= 1u << gateway;
}

void document_drop_live(struct document *d, uint32_t gateway)
{
    check_cmp(d->n_live[gateway], >, 0);
    if (--d->n_live[gateway] == 0)
        d->live_mask &= ~(1u << gateway);
}

/* ---- its clients ---- */

struct bytes client_id(const struct client *c)
{
    return bytes_of(c->text, c->id_bytes);
}

struct bytes client_user(const struct client *c)
{
    return bytes_of(c->text + c->id_bytes, c->user_bytes);
}

struct client *document_find_client(const struct document *d, struct bytes id)
{
    if (d->n_buckets == 0)
        return NULL;
    uint32_t h = (uint32_t)hash64(id);
    struct client *c = d->buckets[h & (d->n_buckets - 1)];
    while (c && !(c->id_hash == h && bytes_eq(client_id(c), id)))
        c = c->next;
    return c;
}

/* Doubles the table; a table that can't grow still works. */
static bool grow_buckets(struct document *d, struct pool *pool)
{
    uint32_t n = d->n_buckets ? d->n_buckets * 2 : BUCKETS_MIN;
    struct client **buckets = pool_take(pool, n * sizeof(struct client *));
    if (!buckets)
        return d->n_buckets > 0;
    memset(buckets, 0, n * sizeof(struct client *));
    for (uint32_t i = 0; i < d->n_buckets; i++) {
        for (struct client *c = d->buckets[i], *next; c; c = next) {
            next = c->next;
            c->next = buckets[c->id_hash & (n - 1)];
            buckets[c->id_hash & (n - 1)] = c;
        }
    }
    pool_give(pool, d->buckets, d->n_buckets * sizeof(struct client *));
    d->buckets = buckets;
    d->n_buckets = n;
    return true;
}

struct client *document_add_client(struct document *d, struct pool *pool, struct bytes id,
                                   struct bytes user)
{
    check_cmp(id.n, <=, UINT8_MAX);
    check_cmp(user.n, <=, UINT8_MAX);
    if (d->n_clients >= d->n_buckets && !grow_buckets(d, pool))
        return NULL;
    struct client *c = pool_take(pool, sizeof *c + id.n + user.n);
    if (!c)
        return NULL;
    memset(c, 0, sizeof *c);
    c->payload_hashes = &c->payload_hash;
    c->id_bytes = (uint8_t)id.n;
    c->user_bytes = (uint8_t)user.n;
    memcpy(c->text, id.p, id.n);
    memcpy(c->text + id.n, user.p, user.n);
    c->id_hash = (uint32_t)hash64(id);
    struct client **bucket = &d->buckets[c->id_hash & (d->n_buckets - 1)];
    c->next = *bucket;
    *bucket = c;
    d->n_clients++;
    return c;
}

void document_erase_client(struct document *d, struct pool *pool, struct client *c)
{
    struct client **at = &d->buckets[c->id_hash & (d->n_buckets - 1)];
    while (*at != c) {
        check(*at);
        at = &(*at)->next;
    }
    *at = c->next;
    d->n_clients--;
    free_client(c, pool);
}

uint32_t document_drop_clients(struct document *d, struct pool *pool, uint64_t view_idx)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_buckets; i++) {
        for (struct client **at = &d->buckets[i]; *at;) {
            struct client *c = *at;
            if (c->session || c->n_pins || c->last_idx > view_idx) {
                at = &c->next;
                continue;
            }
            *at = c->next;
            free_client(c, pool);
            n++;
        }
    }
    d->n_clients -= n;
    return n;
}

enum status client_reserve(struct client *c, struct pool *pool, uint32_t n)
{
    if (n <= 1 || n <= c->payload_hashes_max)
        return STATUS_OK;
    uint64_t *hashes = pool_take(pool, n * sizeof(uint64_t));
    if (!hashes)
        return STATUS_NO_MEMORY;
    memcpy(hashes, c->payload_hashes, c->message_n * sizeof(uint64_t));
    if (c->payload_hashes_max)
        pool_give(pool, c->payload_hashes, c->payload_hashes_max * sizeof(uint64_t));
    c->payload_hashes = hashes;
    c->payload_hashes_max = n;
    return STATUS_OK;
}

void client_set_message(struct client *c, struct pool *pool, uint64_t first_seq,
                        uint64_t first_version, const uint64_t *payload_hashes, uint32_t n)
{
    if (n == 1 && c->payload_hashes_max) {
        pool_give(pool, c->payload_hashes, c->payload_hashes_max * sizeof(uint64_t));
        c->payload_hashes = &c->payload_hash;
        c->payload_hashes_max = 0;
    }
    check(n <= 1 || n <= c->payload_hashes_max);
    memcpy(c->payload_hashes, payload_hashes, n * sizeof(uint64_t));
    c->message_seq = first_seq;
    c->message_version = first_version;
    c->message_n = n;
}
