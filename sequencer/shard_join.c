/*
 * shard_join.c - a client connects to a document; see shard_private.h and protocol section 3.
 *
 * The message runs again each time that something it needed has come from the loader: the document,
 * the client, the history hash at the version that it names. Nothing is changed before all is known
 * and there is room for the record that claims a new client id.
 */
#include "sequencer/shard_private.h"

#define CLOSE_REPLACED 4409u

struct join {
    struct msg_join h;
    struct msg_identity id;
    struct bytes doc_id;
    struct bytes client_name;
    struct document *doc;
    struct client *client;
    bool client_absent;
    bool with_content;
    bool reset;
    bool compared; /* false: the message was parked or refused */
};

static bool read_join(const struct msg_in *m, struct join *j)
{
    struct reader r = reader_of(m->payload);
    msg_read_struct(&r, &j->h);
    j->id = msg_read_identity(&r);
    j->doc_id = read_str(&r);
    j->client_name = read_str(&r);
    return r.ok && j->doc_id.n > 0 && j->doc_id.n <= LIMIT_DOC_ID_BYTES && j->client_name.n > 0 &&
           j->client_name.n <= LIMIT_CLIENT_ID_BYTES;
}

/* The history hash at version v, if it is in memory. */
static bool hash_in_memory(struct shard *s, const struct document *d, uint64_t v, uint64_t *hash)
{
    if (v == d->version) {
        *hash = d->hash;
        return true;
    }
    uint64_t n = d->version - v;
    struct history_op op;
    if (v == 0 || n >= SHARD_WALK_MAX ||
        history_walk(&s->window, d->newest_pos, d->docnum, (uint32_t)n + 1, s->walk) <= n ||
        !history_read(&s->window, s->walk[n], d->docnum, &op))
        return false;
    *hash = op.hash;
    return true;
}

/* Whether the client goes on from its version, or starts over. STATUS_END: the view is asked. */
static enum status compare_history(struct shard *s, struct msg_in *m, struct join *j)
{
    j->with_content = true;
    j->compared = true;
    if (!(j->h.flags & MSG_JOIN_VERSION))
        return STATUS_OK;
    struct document *d = j->doc;
    j->reset = j->h.version > d->version;
    if (!j->reset && (j->h.flags & MSG_JOIN_HASH)) {
        uint64_t hash;
        if (m->request && m->request->hash_known)
            hash = m->request->hash;
        else if (!hash_in_memory(s, d, j->h.version, &hash)) {
            j->compared = false;
            struct loader_ask ask = {.need_idx = d->last_idx, .a = j->h.version};
            return shard_park_and_ask(s, m, d, LOADER_HASH, ask, (struct bytes){0},
                                      (struct bytes){0});
        }
        j->reset = hash != j->h.hash;
    }
    j->with_content = j->reset;
    return STATUS_OK;
}

/* A client id that nobody used yet belongs to this user from now on; durable. */
static enum status claim(struct shard *s, struct join *j)
{
    struct record_client rec = {.docnum = j->doc->docnum,
                                .unix_ms = s->unix_ms,
                                .client = j->client_name,
                                .user = j->id.user};
    size_t n = record_client_bytes(&rec);
    enum status st = log_room(s->log, n);
    if (st != STATUS_OK)
        return st;
    j->client = document_add_client(j->doc, &s->pool, j->client_name, j->id.user);
    if (!j->client)
        return STATUS_UNAVAILABLE;
    struct writer w = writer_of(log_claim(s->log, n), n);
    record_write_client(&w, &rec);
    check(w.ok);
    j->client->last_idx = log_commit(s->log, RECORD_CLIENT, writer_n(&w));
    j->doc->last_idx = j->client->last_idx;
    return STATUS_OK;
}

static void write_joined(struct shard *s, const struct join *j, struct session *session)
{
    const struct document *d = j->doc;
    size_t presence_bytes;
    uint32_t n_presence = shard_presence_list(s, session, &presence_bytes);
    struct msg_joined h = {
        .head = shard_head(session),
        .doc = d->slot,
        .doc_gen = d->gen,
        .version = d->version,
        .hash = d->hash,
        .last_seq = j->client->last_seq,
        .last_seq_version = j->client->last_seq_version,
        .flags = (j->with_content ? MSG_JOINED_CONTENT : 0) | (j->reset ? MSG_JOINED_RESET : 0),
        .n_presence = (uint16_t)n_presence,
        .doc_type = d->type,
        .role = session->role,
    };
    size_t n = sizeof h + VARINT_BYTES_MAX + j->client_name.n + presence_bytes + VARINT_BYTES_MAX;
    if (j->with_content)
        n += shard_content_bytes(d);
    struct writer w = shard_claim(s, session->gateway, n);
    msg_write_struct(&w, &h);
    write_str(&w, j->client_name);
    shard_write_presence_list(&w, session, n_presence);
    if (j->with_content)
        shard_write_content(&w, d);
    else
        write_str(&w, (struct bytes){0});
    shard_commit(s, session->gateway, MSG_JOINED, &w);
}

static enum status connect(struct shard *s, struct msg_in *m, struct join *j)
{
    enum status st = STATUS_OK;
    if (j->client_absent)
        st = claim(s, j);
    if (st == STATUS_NO_ROOM)
        return shard_no_log_room(s, m, st);
    struct session *session = st == STATUS_OK ? session_take(&s->sessions, &s->pool, &j->id) : NULL;
    if (!session)
        return shard_refuse(s, m, STATUS_UNAVAILABLE);
    session->gateway = (uint8_t)m->gateway;
    session->tag = j->h.head.tag;
    session->role = access_role(document_roles(j->doc), &j->id);
    if (j->client->session) {
        shard_end_session(s, j->client->session, CLOSE_REPLACED);
        counter_bump(s->count.replaced, 1);
    }
    session_attach(session, j->doc, j->client);
    write_joined(s, j, session);
    counter_bump(s->count.joins, 1);
    counter_set(s->count.sessions, s->sessions.n_live);
    if (j->with_content) {
        shard_make_live(s, session);
    } else {
        session->next_version = j->h.version + 1;
        shard_catchup(s, session);
    }
    return STATUS_OK;
}

enum status shard_on_join(struct shard *s, struct msg_in *m)
{
    struct join j = {0};
    if (!read_join(m, &j))
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    enum status st = shard_find_document(s, m, j.id.tenant, j.doc_id, false, &j.doc);
    if (!j.doc)
        return st;
    st = shard_check_access(j.doc, &j.id, DOC_ROLE_VIEWER);
    if (st != STATUS_OK)
        return shard_refuse(s, m, st);
    st = shard_find_client(s, m, j.doc, j.client_name, &j.client, &j.client_absent);
    if (!j.client && !j.client_absent)
        return st;
    if (j.client && !bytes_eq(client_user(j.client), j.id.user))
        return shard_refuse(s, m, STATUS_FORBIDDEN);
    st = compare_history(s, m, &j);
    if (!j.compared)
        return st;
    return connect(s, m, &j);
}
