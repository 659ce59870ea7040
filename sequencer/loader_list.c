/*
 * loader_list.c - one page of the documents on which somebody has a role; see loader_private.h.
 *
 * The view knows a person's documents in the order of their making; the page is by newest change,
 * then by id. So all are looked at and the best `limit + 1` behind the cursor are kept, sorted: a
 * cursor stays valid whatever is written meanwhile.
 */
#include "sequencer/loader_private.h"

#include "sequencer/access.h"

struct listing {
    struct loader *l;
    struct view_read *view;
    struct loader_candidate cursor;
    uint32_t n;
    uint32_t n_max;
    enum status status;
};

/* Newest change first, then by id: whether a stands before b. */
static bool is_before(const struct loader_candidate *a, const struct loader_candidate *b)
{
    if (a->modified_ms != b->modified_ms)
        return a->modified_ms > b->modified_ms;
    return bytes_cmp(a->doc_id, b->doc_id) < 0;
}

static void insert(struct listing *li, struct loader_candidate c)
{
    struct loader_candidate *page = li->l->page;
    uint32_t at = li->n;
    while (at > 0 && is_before(&c, &page[at - 1]))
        at--;
    if (at == li->n_max || (at > 0 && page[at - 1].docnum == c.docnum))
        return; /* behind the page, or there already through another principal */
    if (li->n < li->n_max)
        li->n++;
    memmove(&page[at + 1], &page[at], (li->n - 1 - at) * sizeof *page);
    page[at] = c;
}

static bool look_at(void *arg, uint64_t docnum, uint8_t role)
{
    struct listing *li = arg;
    struct view_doc doc;
    if (role == DOC_ROLE_NONE)
        return true;
    enum status st = view_doc_get(li->view, docnum, &doc);
    if (st != STATUS_OK) {
        li->status = st;
        return false;
    }
    struct loader_candidate c = {doc.modified_ms, docnum, doc.doc_id};
    if (doc.trashed_ms == 0 && is_before(&li->cursor, &c))
        insert(li, c);
    return true;
}

static enum status gather(struct listing *li, const struct msg_identity *id)
{
    enum status st = view_person_docs(li->view, id->tenant, id->user, look_at, li);
    struct reader groups = reader_of(id->groups);
    for (uint32_t i = 0; i < id->n_groups && st == STATUS_OK && li->status == STATUS_OK; i++) {
        struct bytes name = read_str(&groups);
        uint8_t principal[LIMIT_PRINCIPAL_BYTES];
        struct writer w = writer_of(principal, sizeof principal);
        write_bytes(&w, BYTES_LIT("group:"));
        write_bytes(&w, name);
        if (w.ok)
            st = view_person_docs(li->view, id->tenant, writer_bytes(&w), look_at, li);
    }
    return st == STATUS_OK || st == STATUS_END ? li->status : st;
}

static enum status write_item(struct listing *li, uint64_t docnum, const struct loader_ask *ask,
                              const struct msg_identity *id, struct writer *w)
{
    struct view_doc doc;
    enum status st = view_doc_get(li->view, docnum, &doc);
    if (st != STATUS_OK)
        return st;
    struct msg_doc h = {
        .head = {.tag = ask->tag, .session = MSG_NO_SESSION},
        .version = doc.version,
        .hash = doc.hash,
        .created_ms = doc.created_ms,
        .modified_ms = doc.modified_ms,
        .n_roles = doc.n_roles,
        .doc_type = doc.type,
        .role = access_role(doc.roles, id),
    };
    msg_write_struct(w, &h);
    write_str(w, doc.doc_id);
    write_str(w, doc.title);
    write_str(w, doc.owner);
    return w->ok ? STATUS_OK : STATUS_NO_ROOM;
}

enum status loader_write_list(struct loader *l, struct view_read *view,
                              const struct loader_ask *ask, const struct msg_identity *id,
                              struct bytes cursor, struct writer *w, uint32_t *n, uint32_t *more)
{
    uint32_t limit = ask->limit < LIMIT_PAGE_ITEMS ? ask->limit : LIMIT_PAGE_ITEMS;
    struct listing li = {.l = l, .view = view, .cursor = {ask->a, 0, cursor}, .n_max = limit + 1};
    enum status st = gather(&li, id);
    *n = li.n < limit ? li.n : limit;
    *more = li.n > limit;
    for (uint32_t i = 0; i < *n && st == STATUS_OK; i++)
        st = write_item(&li, l->page[i].docnum, ask, id, w);
    return st;
}
