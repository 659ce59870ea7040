/* trace.c - loads editing traces; see trace.h. */
#include "tools/trace.h"

#include "base/say.h"
#include "gateway/json.h"

#include <stdlib.h>
#include <zlib.h>

#define READ_BYTES (1u << 20)

/* A plain file reads as well: gzread passes through what is not compressed. */
static enum status read_gzip(const char *path, uint8_t **text, size_t *n)
{
    gzFile f = gzopen(path, "rb");
    uint8_t *p = NULL;
    size_t used = 0, room = 0;
    int got = 0;
    if (!f) {
        say(SAY_ERROR, "can't open the trace %s", path);
        return STATUS_IO;
    }
    do {
        used += (size_t)got;
        if (room - used < READ_BYTES) {
            room = room * 2 + 2 * READ_BYTES;
            uint8_t *more = room <= TRACE_BYTES_MAX ? realloc(p, room) : NULL;
            if (!more) {
                got = -1;
                break;
            }
            p = more;
        }
        got = gzread(f, p + used, READ_BYTES);
    } while (got > 0);
    gzclose(f);
    if (got < 0 || used == 0) {
        say(SAY_ERROR, "the trace %s can't be read (broken, empty or too large)", path);
        free(p);
        return STATUS_IO;
    }
    *text = p;
    *n = used;
    return STATUS_OK;
}

/* ---- JSON ---- */

struct loader {
    struct json j;
    struct trace *t;
    uint32_t room_txns, room_patches;
    bool concurrent;
    bool has_end;
};

static bool is(struct bytes key, const char *name)
{
    return bytes_eq(key, bytes_str(name));
}

static bool grow(void **p, uint32_t n, uint32_t *room, size_t item_bytes)
{
    if (n < *room)
        return true;
    uint32_t more = *room * 2 + 1024;
    void *q = realloc(*p, more * item_bytes);
    if (!q)
        return false;
    *p = q;
    *room = more;
    return true;
}

static bool number(struct json *j, uint64_t *v)
{
    bool whole;
    return json_whole(j, v, &whole) && whole;
}

static bool load_patch(struct loader *l)
{
    struct trace *t = l->t;
    if (!grow((void **)&t->patches, t->n_patches, &l->room_patches, sizeof *t->patches))
        return false;
    struct trace_patch *p = &t->patches[t->n_patches++];
    struct json *j = &l->j;
    return json_enter(j, JSON_ARRAY) && json_element(j) && number(j, &p->pos_cp) &&
           json_element(j) && number(j, &p->delete_cp) && json_element(j) &&
           json_string(j, &p->insert) && !json_element(j) && j->ok;
}

static bool load_patches(struct loader *l, struct trace_txn *txn)
{
    if (!json_enter(&l->j, JSON_ARRAY))
        return false;
    while (json_element(&l->j)) {
        if (!load_patch(l))
            return false;
        txn->n_patches++;
    }
    return l->j.ok;
}

/* Takes over into `txn` what each parent had seen, and the parent itself. */
static bool load_parents(struct loader *l, struct trace_txn *txn)
{
    const struct trace *t = l->t;
    uint64_t v;
    if (!json_enter(&l->j, JSON_ARRAY))
        return false;
    while (json_element(&l->j)) {
        if (!number(&l->j, &v) || v >= t->n_txns)
            return false;
        const struct trace_txn *parent = &t->txns[v];
        for (unsigned a = 0; a < TRACE_AGENTS_MAX; a++) {
            uint32_t seen = parent->seen[a] + (a == parent->agent);
            txn->seen[a] = seen > txn->seen[a] ? seen : txn->seen[a];
        }
    }
    return l->j.ok;
}

static bool load_txn(struct loader *l)
{
    struct trace *t = l->t;
    struct bytes key;
    uint64_t agent = 0;
    if (!grow((void **)&t->txns, t->n_txns, &l->room_txns, sizeof *t->txns))
        return false;
    struct trace_txn txn = {.first_patch = t->n_patches};
    if (!json_enter(&l->j, JSON_OBJECT))
        return false;
    while (json_member(&l->j, &key)) {
        bool fine = is(key, "patches")   ? load_patches(l, &txn)
                    : is(key, "parents") ? load_parents(l, &txn)
                    : is(key, "agent")   ? number(&l->j, &agent)
                                         : json_skip(&l->j);
        if (!fine)
            return false;
    }
    if (!l->j.ok || agent >= TRACE_AGENTS_MAX)
        return false;
    txn.agent = (uint32_t)agent;
    /* What an agent made, it has seen: so its own count is its place in its own order. */
    if (l->concurrent && txn.seen[agent] != t->n_of[agent])
        return false;
    txn.seen[agent] = t->n_of[agent]++;
    t->txns[t->n_txns++] = txn;
    return true;
}

static bool load_txns(struct loader *l)
{
    if (!json_enter(&l->j, JSON_ARRAY))
        return false;
    while (json_element(&l->j))
        if (!load_txn(l))
            return false;
    return l->j.ok;
}

static bool load(struct loader *l)
{
    struct bytes key, kind;
    uint64_t n_agents = 1;
    if (!json_enter(&l->j, JSON_OBJECT))
        return false;
    while (json_member(&l->j, &key)) {
        bool fine = true;
        if (is(key, "startContent"))
            fine = json_string(&l->j, &l->t->start);
        else if (is(key, "endContent"))
            fine = l->has_end = json_string(&l->j, &l->t->end);
        else if (is(key, "kind"))
            fine = json_string(&l->j, &kind) && (l->concurrent = is(kind, "concurrent"), true);
        else if (is(key, "numAgents"))
            fine = number(&l->j, &n_agents);
        else if (is(key, "txns"))
            fine = load_txns(l);
        else
            fine = json_skip(&l->j);
        if (!fine)
            return false;
    }
    l->t->n_agents = (uint32_t)n_agents;
    return json_end(&l->j) && l->has_end && n_agents >= 1 && n_agents <= TRACE_AGENTS_MAX &&
           (l->concurrent || n_agents == 1);
}

/* Lists each agent's transactions. */
static bool list_agents(struct trace *t)
{
    for (unsigned a = 0; a < TRACE_AGENTS_MAX; a++) {
        t->of[a] = malloc((t->n_of[a] + 1) * sizeof *t->of[a]);
        if (!t->of[a])
            return false;
        t->n_of[a] = 0;
    }
    for (uint32_t i = 0; i < t->n_txns; i++) {
        unsigned a = t->txns[i].agent;
        t->of[a][t->n_of[a]++] = i;
    }
    return true;
}

enum status trace_open(struct trace *t, const char *path)
{
    uint8_t *text;
    size_t n;
    *t = (struct trace){.start = BYTES_LIT(""), .end = BYTES_LIT("")};
    enum status s = read_gzip(path, &text, &n);
    if (s != STATUS_OK)
        return s;
    struct loader l = {.t = t};
    t->text = text;
    t->scratch = malloc(n);
    if (t->scratch)
        json_init(&l.j, bytes_of(text, n), t->scratch, n);
    if (t->scratch && load(&l) && list_agents(t))
        return STATUS_OK;
    say(SAY_ERROR, "%s is no editing trace, or one of more than %u people", path, TRACE_AGENTS_MAX);
    trace_close(t);
    return STATUS_CORRUPT;
}

void trace_close(struct trace *t)
{
    for (unsigned a = 0; a < TRACE_AGENTS_MAX; a++)
        free(t->of[a]);
    free(t->txns);
    free(t->patches);
    free(t->text);
    free(t->scratch);
    *t = (struct trace){.n_agents = 0};
}
