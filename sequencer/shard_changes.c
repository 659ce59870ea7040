/* shard_changes.c - what surrounds the text changes: title, roles, trash; see shard_private.h. Each
 * is a record of the document's log and takes effect at once; what is said of it waits until that
 * is durable, like everything. */
#include "sequencer/shard_private.h"

#define CLOSE_DELETED 4404u

/* The document that a call means, if the caller has at least that role on it; else NULL and the
 * handler's status. */
static struct document *open_for(struct shard *s, struct msg_in *m, const struct call *c,
                                 uint8_t role_min, enum status *st)
{
    struct document *d;
    *st = shard_find_document(s, m, c->id.tenant, c->doc_id, false, &d);
    if (!d)
        return NULL;
    enum status why = shard_check_access(d, &c->id, role_min);
    if (why == STATUS_OK)
        return d;
    *st = shard_refuse(s, m, why);
    return NULL;
}

static void changed(struct shard *s, struct document *d, uint64_t idx)
{
    d->last_idx = idx;
    d->modified_ms = s->unix_ms;
}

/* ---- title ---- */

enum status shard_on_title(struct shard *s, struct msg_in *m)
{
    struct call c;
    if (!shard_read_call(m, &c))
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    struct bytes title = read_str(&c.r);
    if (!c.r.ok || title.n > LIMIT_TITLE_BYTES)
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    enum status st;
    struct document *d = open_for(s, m, &c, DOC_ROLE_EDITOR, &st);
    if (!d)
        return st;
    struct record_title rec = {
        .docnum = d->docnum, .unix_ms = s->unix_ms, .user = c.id.user, .title = title};
    size_t n = record_title_bytes(&rec);
    st = log_room(s->log, n);
    if (st != STATUS_OK)
        return shard_no_log_room(s, m, st);
    if (document_set_title(d, &s->pool, title) != STATUS_OK)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    struct writer w = writer_of(log_claim(s->log, n), n);
    record_write_title(&w, &rec);
    check(w.ok);
    changed(s, d, log_commit(s->log, RECORD_TITLE, writer_n(&w)));
    for (uint32_t mask = d->live_mask; mask; mask &= mask - 1) {
        uint32_t g = (uint32_t)__builtin_ctz(mask);
        struct msg_doc_note h = {.doc = d->slot, .doc_gen = d->gen, .n = 1};
        struct writer out = shard_claim(s, g, sizeof h + VARINT_BYTES_MAX + title.n);
        msg_write_struct(&out, &h);
        write_str(&out, title);
        shard_commit(s, g, MSG_TITLE_OUT, &out);
    }
    return shard_done(s, m);
}

/* ---- roles ---- */

static void review_sessions(struct shard *s, struct document *d)
{
    for (struct session *e = d->sessions, *next; e; e = next) {
        next = e->next;
        shard_review_role(s, e);
    }
}

static enum status change_role(struct shard *s, struct document *d, const struct call *c,
                               struct bytes principal)
{
    struct record_role rec = {.docnum = d->docnum,
                              .unix_ms = s->unix_ms,
                              .role = c->h.arg8,
                              .user = c->id.user,
                              .principal = principal};
    size_t n = record_role_bytes(&rec);
    enum status st = log_room(s->log, n);
    if (st != STATUS_OK)
        return st;
    struct bytes before = document_roles(d);
    size_t list_bytes = before.n + principal.n + 8;
    uint8_t *buf = pool_take(&s->pool, list_bytes);
    if (!buf)
        return STATUS_UNAVAILABLE;
    uint32_t n_roles;
    struct bytes list = access_change(before, principal, c->h.arg8, buf, &n_roles);
    st = document_set_roles(d, &s->pool, list, n_roles);
    pool_give(&s->pool, buf, list_bytes);
    if (st != STATUS_OK)
        return STATUS_UNAVAILABLE;
    struct writer w = writer_of(log_claim(s->log, n), n);
    record_write_role(&w, &rec);
    check(w.ok);
    changed(s, d, log_commit(s->log, RECORD_ROLE, writer_n(&w)));
    return STATUS_OK;
}

enum status shard_on_role(struct shard *s, struct msg_in *m)
{
    struct call c;
    if (!shard_read_call(m, &c))
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    struct bytes principal = read_str(&c.r);
    if (!c.r.ok)
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    enum status st;
    struct document *d = open_for(s, m, &c, DOC_ROLE_VIEWER, &st);
    if (!d)
        return st;
    struct bytes roles = document_roles(d);
    st = access_check_change(roles, d->n_roles, access_role(roles, &c.id), c.id.user, principal,
                             c.h.arg8);
    if (st != STATUS_OK)
        return shard_refuse(s, m, st);
    if (access_role_of(roles, principal) != c.h.arg8) {
        st = change_role(s, d, &c, principal);
        if (st != STATUS_OK)
            return shard_no_log_room(s, m, st);
        review_sessions(s, d);
    }
    return shard_done(s, m);
}

/* ---- trash ---- */

static enum status move(struct shard *s, struct msg_in *m, struct document *d, const struct call *c,
                        bool into_trash)
{
    struct record_trash rec = {
        .docnum = d->docnum, .unix_ms = s->unix_ms, .trashed = into_trash, .user = c->id.user};
    size_t n = record_trash_bytes(&rec);
    enum status st = log_room(s->log, n);
    if (st != STATUS_OK)
        return shard_no_log_room(s, m, st);
    struct writer w = writer_of(log_claim(s->log, n), n);
    record_write_trash(&w, &rec);
    check(w.ok);
    changed(s, d, log_commit(s->log, RECORD_TRASH, writer_n(&w)));
    d->trashed_ms = into_trash ? s->unix_ms : 0;
    if (into_trash) {
        for (struct session *e = d->sessions; e; e = d->sessions) {
            e->cursor_flags = 0; /* everybody goes: nobody is told of the others */
            shard_end_session(s, e, CLOSE_DELETED);
        }
    }
    return shard_done(s, m);
}

enum status shard_on_trash(struct shard *s, struct msg_in *m)
{
    struct call c;
    if (!shard_read_call(m, &c))
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    if (m->type == MSG_DOC_DELETE) {
        enum status st;
        struct document *d = open_for(s, m, &c, DOC_ROLE_OWNER, &st);
        return d ? move(s, m, d, &c, true) : st;
    }
    struct document *d;
    enum status st = shard_find_document(s, m, c.id.tenant, c.doc_id, false, &d);
    if (!d)
        return st;
    uint8_t role = access_role(document_roles(d), &c.id);
    if (role == DOC_ROLE_NONE)
        return shard_refuse(s, m, STATUS_NOT_FOUND);
    if (role != DOC_ROLE_OWNER)
        return shard_refuse(s, m, STATUS_FORBIDDEN);
    if (d->trashed_ms == 0)
        return shard_done(s, m);
    if (s->unix_ms - d->trashed_ms > s->options.trash_ms)
        return shard_refuse(s, m, STATUS_GONE);
    return move(s, m, d, &c, false);
}
