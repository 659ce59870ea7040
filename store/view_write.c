/* The write transaction: what it gathers until its end, and how that becomes few large values. */
#include "store/view_private.h"

#include "base/hash.h"
#include "base/say.h"

#include <stdlib.h>

#define ARENA_BLOCK_BYTES (1u << 20)
#define ARENA_SPARE_BYTES (64u << 20)
#define MAP_CAP_MIN       1024u
#define RUN_CAP_MIN       512u

/* ---- memory of a transaction ---- */

struct view_arena_block {
    struct view_arena_block *next;
    size_t used;
    size_t bytes;
    _Alignas(16) uint8_t at[];
};

static struct view_arena_block *block_new(struct view_write *w, size_t n)
{
    struct view_arena_block *b = w->spare;
    if (b && n <= b->bytes) {
        w->spare = b->next;
        w->spare_bytes -= b->bytes;
    } else {
        size_t bytes = n > ARENA_BLOCK_BYTES ? n : ARENA_BLOCK_BYTES;
        b = malloc(sizeof *b + bytes);
        if (!b)
            return NULL;
        b->bytes = bytes;
    }
    b->used = 0;
    b->next = w->blocks;
    w->blocks = b;
    return b;
}

void *view_arena_take(struct view_write *w, size_t n)
{
    struct view_arena_block *b = w->blocks;
    n = (n + 7) & ~(size_t)7;
    if (!b || b->bytes - b->used < n)
        b = block_new(w, n);
    if (!b)
        return NULL;
    void *p = b->at + b->used;
    b->used += n;
    return p;
}

bool view_arena_copy(struct view_write *w, struct bytes *b)
{
    if (b->n == 0) {
        *b = bytes_of(NULL, 0);
        return true;
    }
    void *p = view_arena_take(w, b->n);
    if (!p)
        return false;
    b->p = memcpy(p, b->p, b->n);
    return true;
}

static void arena_reset(struct view_write *w)
{
    while (w->blocks) {
        struct view_arena_block *b = w->blocks;
        w->blocks = b->next;
        if (b->bytes == ARENA_BLOCK_BYTES && w->spare_bytes < ARENA_SPARE_BYTES) {
            b->next = w->spare;
            w->spare = b;
            w->spare_bytes += b->bytes;
        } else {
            free(b);
        }
    }
}

/* ---- maps ---- */

void *view_map_find(const struct view_map *map, uint64_t key)
{
    for (uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32); map->cap; i++) {
        const struct view_slot *slot = &map->slots[i & (map->cap - 1)];
        if (!slot->item || slot->key == key)
            return slot->item;
    }
    return NULL;
}

static void map_place(struct view_map *map, uint64_t key, void *item)
{
    uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32);
    while (map->slots[i & (map->cap - 1)].item)
        i++;
    map->slots[i & (map->cap - 1)] = (struct view_slot){key, item};
    map->n++;
}

bool view_map_add(struct view_map *map, uint64_t key, void *item)
{
    if (map->n * 2 >= map->cap) {
        struct view_map grown = {.cap = map->cap ? map->cap * 2 : MAP_CAP_MIN};
        grown.slots = calloc(grown.cap, sizeof *grown.slots);
        if (!grown.slots)
            return false;
        for (uint32_t i = 0; i < map->cap; i++) {
            if (map->slots[i].item)
                map_place(&grown, map->slots[i].key, map->slots[i].item);
        }
        free(map->slots);
        *map = grown;
    }
    map_place(map, key, item);
    return true;
}

static void map_reset(struct view_map *map)
{
    map->n = 0;
    if (map->cap)
        memset(map->slots, 0, map->cap * sizeof *map->slots);
}

/* ---- what is gathered ---- */

static bool copy_doc(struct view_write *w, struct view_doc *d)
{
    return view_arena_copy(w, &d->tenant) && view_arena_copy(w, &d->doc_id) &&
           view_arena_copy(w, &d->owner) && view_arena_copy(w, &d->title) &&
           view_arena_copy(w, &d->roles);
}

enum status view_pending_doc(struct view_write *w, uint64_t docnum, struct view_pending_doc **out)
{
    struct view_pending_doc *doc = view_map_find(&w->docs, docnum);
    if (doc) {
        *out = doc;
        return STATUS_OK;
    }
    struct view_key key = view_key_num(docnum);
    struct bytes value;
    struct view_doc_row row;
    enum status s = view_get(w->txn, w->view->tables[VIEW_DOC], view_key_bytes(&key), &value);
    if (s == STATUS_OK)
        s = view_doc_row_read(value, docnum, &row);
    if (s != STATUS_OK)
        return s;
    doc = view_arena_take(w, sizeof *doc);
    if (!doc)
        return STATUS_NO_MEMORY;
    *doc = (struct view_pending_doc){.row = row};
    /* LMDB's bytes move with the next put. */
    if (!copy_doc(w, &doc->row.doc) || !view_map_add(&w->docs, docnum, doc))
        return STATUS_NO_MEMORY;
    *out = doc;
    return STATUS_OK;
}

static enum status client_load(struct view_write *w, uint64_t docnum, struct view_pending_client *c)
{
    struct view_key key;
    struct bytes value;
    if (!view_key_client(&key, docnum, c->client_id))
        return STATUS_CORRUPT;
    enum status s = view_get(w->txn, w->view->tables[VIEW_CLIENT], view_key_bytes(&key), &value);
    if (s == STATUS_END)
        return STATUS_OK;
    if (s == STATUS_OK)
        s = view_client_read(value, &c->row);
    if (s != STATUS_OK)
        return s;
    c->hashes_cap = c->row.message_n;
    c->hashes = view_arena_take(w, c->row.payload_hashes.n);
    if (!c->hashes || !view_arena_copy(w, &c->row.user))
        return STATUS_NO_MEMORY;
    if (c->row.message_n)
        memcpy(c->hashes, c->row.payload_hashes.p, c->row.payload_hashes.n);
    return STATUS_OK;
}

enum status view_pending_client(struct view_write *w, struct view_pending_doc *doc,
                                struct bytes client_id, struct view_pending_client **out)
{
    struct view_pending_client *c = doc->last_client;
    if (c && bytes_eq(c->client_id, client_id)) {
        *out = c;
        return STATUS_OK;
    }
    /* The document's number is the seed, but two may still share a hash: such a pair takes the keys
     * one after the other. */
    uint64_t key = hash64_seed(client_id, doc->row.doc.docnum);
    struct {
        struct view_pending_doc *doc;
        struct view_pending_client client;
    } * entry;
    while ((entry = view_map_find(&w->clients, key))) {
        if (entry->doc == doc && bytes_eq(entry->client.client_id, client_id))
            break;
        key++;
    }
    if (!entry) {
        entry = view_arena_take(w, sizeof *entry);
        if (!entry)
            return STATUS_NO_MEMORY;
        entry->doc = doc;
        entry->client = (struct view_pending_client){.client_id = client_id};
        c = &entry->client;
        if (!view_arena_copy(w, &c->client_id))
            return STATUS_NO_MEMORY;
        enum status s = client_load(w, doc->row.doc.docnum, c);
        if (s != STATUS_OK)
            return s;
        if (!view_map_add(&w->clients, key, entry))
            return STATUS_NO_MEMORY;
        c->next_in_doc = doc->clients;
        doc->clients = c;
    }
    doc->last_client = &entry->client;
    *out = &entry->client;
    return STATUS_OK;
}

/* ---- runs ---- */

static enum status run_put(struct view_write *w, struct view_pending_doc *doc)
{
    struct view_key key = view_key_num2(doc->row.doc.docnum, doc->run->first_version);
    struct bytes run = view_run_end(doc->run);
    doc->row.run_version = doc->run->first_version;
    doc->row.run_bytes = (uint32_t)run.n;
    return view_put(w->txn, w->view->tables[VIEW_OP], view_key_bytes(&key), run);
}

/* The document's newest run as stored, into a new writer; or an empty one behind it. */
static enum status run_begin(struct view_write *w, struct view_pending_doc *doc, size_t bytes)
{
    const struct view_doc_row *row = &doc->row;
    bool is_resumed = row->run_version && row->run_bytes < VIEW_RUN_EXTEND_BYTES;
    size_t cap = sizeof(struct view_run_head) + bytes + (is_resumed ? row->run_bytes : 0);
    cap = cap < RUN_CAP_MIN ? RUN_CAP_MIN : 2 * cap;
    if (!doc->run)
        doc->run = view_arena_take(w, sizeof *doc->run);
    uint8_t *buf = view_arena_take(w, cap);
    if (!doc->run || !buf)
        return STATUS_NO_MEMORY;
    if (!is_resumed) {
        view_run_begin(doc->run, buf, cap, row->doc.version + 1, row->doc.hash);
        return STATUS_OK;
    }
    struct view_key key = view_key_num2(row->doc.docnum, row->run_version);
    struct bytes stored;
    enum status s = view_get(w->txn, w->view->tables[VIEW_OP], view_key_bytes(&key), &stored);
    if (s != STATUS_OK || stored.n != row->run_bytes)
        return s == STATUS_OK || s == STATUS_END ? STATUS_CORRUPT : s;
    memcpy(buf, stored.p, stored.n);
    s = view_run_resume(doc->run, buf, stored.n, cap, row->run_version);
    if (s == STATUS_OK && (doc->run->head.last_hash != row->doc.hash ||
                           row->run_version + doc->run->head.n_ops != row->doc.version + 1))
        s = STATUS_CORRUPT;
    return s;
}

enum status view_pending_run(struct view_write *w, struct view_pending_doc *doc, size_t bytes,
                             struct view_run_writer **out)
{
    struct view_run_writer *run = doc->run;
    enum status s = STATUS_OK;
    if (!run) {
        s = run_begin(w, doc, bytes);
    } else if (run->bytes + bytes > VIEW_RUN_BYTES_MAX && run->head.n_ops > 0) {
        s = run_put(w, doc);
        if (s == STATUS_OK)
            s = run_begin(w, doc, bytes);
    }
    if (s != STATUS_OK)
        return s;
    run = doc->run;
    if (run->cap - run->bytes < bytes) {
        size_t cap = 2 * (run->bytes + bytes);
        uint8_t *buf = view_arena_take(w, cap);
        if (!buf)
            return STATUS_NO_MEMORY;
        run->buf = memcpy(buf, run->buf, run->bytes);
        run->cap = cap;
    }
    *out = run;
    return STATUS_OK;
}

/* ---- begin, commit, abort ---- */

static void write_end(struct view_write *w)
{
    w->txn = NULL;
    arena_reset(w);
    map_reset(&w->docs);
    map_reset(&w->clients);
}

enum status view_write_begin(struct view *v, struct view_write **out)
{
    struct view_write *w = v->write;
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w)
            return STATUS_NO_MEMORY;
        w->view = v;
        v->write = w;
    }
    enum status s = view_status(mdb_txn_begin(v->env, NULL, 0, &w->txn));
    if (s != STATUS_OK)
        return s;
    MDB_dbi meta = v->tables[VIEW_META];
    s = view_get_u64(w->txn, meta, BYTES_LIT("index"), &w->index);
    if (s == STATUS_OK)
        s = view_get_u64(w->txn, meta, BYTES_LIT("next_docnum"), &w->next_docnum);
    if (s != STATUS_OK) {
        view_write_abort(w);
        return s == STATUS_END ? STATUS_CORRUPT : s;
    }
    *out = w;
    return STATUS_OK;
}

void view_write_abort(struct view_write *w)
{
    mdb_txn_abort(w->txn);
    write_end(w);
}

void view_write_free(struct view *v)
{
    struct view_write *w = v->write;
    if (!w)
        return;
    if (w->txn)
        mdb_txn_abort(w->txn);
    write_end(w);
    while (w->spare) {
        struct view_arena_block *b = w->spare;
        w->spare = b->next;
        free(b);
    }
    free(w->docs.slots);
    free(w->clients.slots);
    free(w);
    v->write = NULL;
}

static int doc_order(const void *a, const void *b)
{
    const struct view_slot *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static enum status put_client(struct view_write *w, uint64_t docnum, struct view_pending_client *c)
{
    uint8_t small[256];
    struct view_key key;
    c->row.payload_hashes = bytes_of(c->hashes, (size_t)c->row.message_n * 8);
    size_t n = view_client_bytes(&c->row);
    uint8_t *at = n <= sizeof small ? small : view_arena_take(w, n);
    if (!at)
        return STATUS_NO_MEMORY;
    struct writer out = writer_of(at, n);
    view_client_write(&out, &c->row);
    if (!out.ok || !view_key_client(&key, docnum, c->client_id))
        return STATUS_CORRUPT;
    return view_put(w->txn, w->view->tables[VIEW_CLIENT], view_key_bytes(&key), writer_bytes(&out));
}

static enum status put_doc(struct view_write *w, struct view_pending_doc *doc)
{
    enum status s = STATUS_OK;
    uint64_t docnum = doc->row.doc.docnum;
    if (doc->run && doc->run->head.n_ops > 0)
        s = run_put(w, doc);
    for (struct view_pending_client *c = doc->clients; c && s == STATUS_OK; c = c->next_in_doc)
        s = put_client(w, docnum, c);
    size_t n = view_doc_row_bytes(&doc->row);
    uint8_t *at = view_arena_take(w, n);
    if (s != STATUS_OK || !at)
        return s != STATUS_OK ? s : STATUS_NO_MEMORY;
    struct writer out = writer_of(at, n);
    view_doc_row_write(&out, &doc->row);
    struct view_key key = view_key_num(docnum);
    check(out.ok);
    return view_put(w->txn, w->view->tables[VIEW_DOC], view_key_bytes(&key), writer_bytes(&out));
}

/* In the order of their keys: neighbours share pages. */
static enum status put_docs(struct view_write *w)
{
    if (w->docs.n == 0)
        return STATUS_OK;
    struct view_slot *sorted = view_arena_take(w, w->docs.n * sizeof *sorted);
    if (!sorted)
        return STATUS_NO_MEMORY;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->docs.cap; i++) {
        if (w->docs.slots[i].item)
            sorted[n++] = w->docs.slots[i];
    }
    qsort(sorted, n, sizeof *sorted, doc_order);
    enum status s = STATUS_OK;
    for (uint32_t i = 0; i < n && s == STATUS_OK; i++)
        s = put_doc(w, sorted[i].item);
    return s;
}

enum status view_write_commit(struct view_write *w)
{
    MDB_dbi meta = w->view->tables[VIEW_META];
    enum status s = put_docs(w);
    if (s == STATUS_OK)
        s = view_put_u64(w->txn, meta, BYTES_LIT("index"), w->index);
    if (s == STATUS_OK)
        s = view_put_u64(w->txn, meta, BYTES_LIT("next_docnum"), w->next_docnum);
    if (s == STATUS_OK)
        s = view_status(mdb_txn_commit(w->txn));
    else
        mdb_txn_abort(w->txn);
    write_end(w);
    return s == STATUS_OK ? s : view_write_status(w->view, s);
}
