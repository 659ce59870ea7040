/* shard_session.c - sessions: how they end, go live, and follow their identity and role; see
 * shard_private.h. */
#include "sequencer/shard_private.h"

#define CLOSE_ACCESS_WITHDRAWN 4403u

struct session *shard_session_of(struct shard *s, const struct msg_in *m)
{
    struct msg_head head = shard_head_of(m);
    return session_find(&s->sessions, m->gateway, head.session, head.session_gen);
}

void shard_make_live(struct shard *s, struct session *session)
{
    check(session->state == SESSION_CATCHUP);
    session->state = SESSION_LIVE;
    document_add_live(session->doc, session->gateway);
    shard_wake_all(s, &session->waiting, &session->waiting_last);
}

void shard_end_session(struct shard *s, struct session *session, uint32_t close_code)
{
    struct document *d = session->doc;
    if (close_code)
        shard_note(s, session, MSG_CLOSE, close_code);
    if (session->state == SESSION_LIVE)
        document_drop_live(d, session->gateway);
    if (session->cursor_flags & SESSION_CURSOR_SHOWN)
        shard_presence_leave(s, session);
    /* What this client still had to say was never answered: it says it again when it is back. */
    struct request_list waiting = {session->waiting, session->waiting_last};
    session->waiting = session->waiting_last = NULL;
    for (struct request *r; (r = shard_pop(&waiting)) != NULL;)
        shard_request_done(s, r);
    if (session->merging) {
        session->merging->cancelled = true;
        session->merging = NULL;
    }
    session_detach(session);
    session_give(&s->sessions, &s->pool, session);
    cache_touch(&s->cache, d);
    counter_set(s->count.sessions, s->sessions.n_live);
}

enum status shard_on_leave(struct shard *s, struct msg_in *m)
{
    struct session *session = shard_session_of(s, m);
    if (session)
        shard_end_session(s, session, 0);
    return STATUS_OK;
}

void shard_review_role(struct shard *s, struct session *session)
{
    uint8_t role = access_role(document_roles(session->doc), &session->id);
    if (role == session->role)
        return;
    if (role == DOC_ROLE_NONE) {
        shard_end_session(s, session, CLOSE_ACCESS_WITHDRAWN);
        return;
    }
    session->role = role;
    shard_note(s, session, MSG_ACCESS_OUT, role);
}

enum status shard_on_identity(struct shard *s, struct msg_in *m)
{
    struct session *session = shard_session_of(s, m);
    if (!session)
        return STATUS_OK;
    struct reader r = reader_of(m->payload);
    read_bytes(&r, sizeof(struct msg_head));
    struct msg_identity id = msg_read_identity(&r);
    if (!r.ok)
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    if (!bytes_eq(id.user, session->id.user) || !bytes_eq(id.tenant, session->id.tenant))
        return shard_refuse(s, m, STATUS_FORBIDDEN);
    if (session_set_identity(session, &s->pool, &id) != STATUS_OK)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    shard_review_role(s, session);
    return STATUS_OK;
}
