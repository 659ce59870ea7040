/* session.c - see session.h. */
#include "sequencer/session.h"

#include "base/say.h"

#include <sys/mman.h>

#define NO_SLOT UINT32_MAX

enum status session_table_open(struct session_table *t, uint32_t n_max)
{
    void *mem = mmap(NULL, n_max * sizeof(struct session), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return STATUS_NO_MEMORY;
    *t = (struct session_table){.slots = mem, .n_max = n_max, .free = NO_SLOT};
    return STATUS_OK;
}

void session_table_close(struct session_table *t)
{
    if (t->slots)
        munmap(t->slots, t->n_max * sizeof(struct session));
    t->slots = NULL;
}

enum status session_set_identity(struct session *s, struct pool *pool,
                                 const struct msg_identity *id)
{
    size_t n = id->tenant.n + id->user.n + id->name.n + id->groups.n;
    uint8_t *copy = pool_take(pool, n);
    if (!copy)
        return STATUS_NO_MEMORY;
    struct writer w = writer_of(copy, n);
    struct bytes *from[] = {&s->id.tenant, &s->id.user, &s->id.name, &s->id.groups};
    const struct bytes parts[] = {id->tenant, id->user, id->name, id->groups};
    for (unsigned i = 0; i < 4; i++) {
        *from[i] = bytes_of(w.p, parts[i].n);
        write_bytes(&w, parts[i]);
    }
    s->id.n_groups = id->n_groups;
    pool_give(pool, s->identity, s->identity_bytes);
    s->identity = copy;
    s->identity_bytes = (uint32_t)n;
    return STATUS_OK;
}

struct session *session_take(struct session_table *t, struct pool *pool,
                             const struct msg_identity *id)
{
    uint32_t slot = t->free;
    if (slot == NO_SLOT && t->n_used == t->n_max)
        return NULL;
    struct session *s = &t->slots[slot == NO_SLOT ? t->n_used : slot];
    uint32_t gen = s->gen;
    uint32_t next_free = s->next_free;
    memset(s, 0, sizeof *s);
    s->gen = gen;
    s->next_free = next_free;
    if (session_set_identity(s, pool, id) != STATUS_OK)
        return NULL;
    if (slot == NO_SLOT)
        s->slot = t->n_used++;
    else {
        s->slot = slot;
        t->free = next_free;
    }
    s->gen = gen + 1;
    s->state = SESSION_CATCHUP;
    t->n_live++;
    return s;
}

void session_give(struct session_table *t, struct pool *pool, struct session *s)
{
    check(s->state != SESSION_FREE && !s->doc && !s->waiting && !s->merging);
    pool_give(pool, s->identity, s->identity_bytes);
    s->identity = NULL;
    s->state = SESSION_FREE;
    s->next_free = t->free;
    t->free = s->slot;
    t->n_live--;
}

struct session *session_find(const struct session_table *t, uint32_t gateway, uint32_t slot,
                             uint32_t gen)
{
    if (slot >= t->n_used)
        return NULL;
    struct session *s = &t->slots[slot];
    return s->state != SESSION_FREE && s->gen == gen && s->gateway == gateway ? s : NULL;
}

void session_attach(struct session *s, struct document *d, struct client *c)
{
    s->doc = d;
    s->client = c;
    c->session = s;
    s->prev = NULL;
    s->next = d->sessions;
    if (s->next)
        s->next->prev = s;
    d->sessions = s;
    d->n_sessions++;
}

void session_detach(struct session *s)
{
    struct document *d = s->doc;
    if (s->prev)
        s->prev->next = s->next;
    else
        d->sessions = s->next;
    if (s->next)
        s->next->prev = s->prev;
    d->n_sessions--;
    if (s->client->session == s)
        s->client->session = NULL;
    s->doc = NULL;
    s->client = NULL;
}
