/*
 * shard_presence.c - cursors: kept with their sessions, carried to the document's version, told
 * once a tick; see shard_private.h.
 *
 * A cursor is stored at the version that the client named and carried when somebody is told: what
 * nobody looks at costs nothing. Entries go through the same rings and marks as ops, behind the op
 * whose version they name. Never logged; they wait while a ring is short of room.
 */
#include "sequencer/shard_private.h"

#include "sequencer/transform.h"

#define DOCS_A_POLL   64u
#define ENTRIES_A_DOC 128u /* of one document in one poll; the rest waits for the next */

static void clamp(struct session *e)
{
    uint64_t end = e->doc->rope.n_u16;
    e->cursor_u16 = e->cursor_u16 < end ? e->cursor_u16 : end;
    e->anchor_u16 = e->anchor_u16 < end ? e->anchor_u16 : end;
    e->head_u16 = e->head_u16 < end ? e->head_u16 : end;
    e->cursor_version = e->doc->version;
}

/* Carries a cursor to the document's version; where the ops are gone, or the budget is, it is only
 * kept inside the document. */
static void carry(struct shard *s, struct session *e, uint32_t *budget)
{
    const struct document *d = e->doc;
    uint64_t n = d->version - e->cursor_version;
    if (n > 0 && n <= *budget && n <= SHARD_WALK_MAX &&
        history_walk(&s->window, d->newest_pos, d->docnum, (uint32_t)n, s->walk) == n) {
        *budget -= (uint32_t)n;
        while (n-- > 0) {
            struct history_op op;
            bool there = history_read(&s->window, s->walk[n], d->docnum, &op);
            check(there);
            e->cursor_u16 = op_transform_position(op.op, e->cursor_u16, false);
            if (!(e->cursor_flags & SESSION_CURSOR_SELECTION))
                continue;
            e->anchor_u16 = op_transform_position(op.op, e->anchor_u16, false);
            e->head_u16 = op_transform_position(op.op, e->head_u16, false);
        }
    }
    clamp(e);
}

static size_t entry_bytes(const struct session *e)
{
    return sizeof(struct msg_presence_entry) + 3 * VARINT_BYTES_MAX + e->id.user.n +
           client_id(e->client).n + e->id.name.n;
}

static void write_entry(struct writer *w, const struct session *e, uint32_t flags)
{
    struct msg_presence_entry entry = {
        .tag = e->tag,
        .version = e->doc->version,
        .cursor_u16 = e->cursor_u16,
        .anchor_u16 = e->anchor_u16,
        .head_u16 = e->head_u16,
        .flags = flags,
        .gateway = e->gateway,
    };
    if (e->cursor_flags & SESSION_CURSOR_SELECTION)
        entry.flags |= MSG_PRESENCE_SELECTION;
    msg_write_struct(w, &entry);
    write_str(w, e->id.user);
    write_str(w, client_id(e->client));
    write_str(w, e->id.name);
}

/* ---- in ---- */

static void put_on_list(struct shard *s, struct document *d)
{
    if (d->presence_pending)
        return;
    d->presence_pending = true;
    d->presence_next = NULL;
    if (s->presence_last)
        s->presence_last->presence_next = d;
    else
        s->presence_first = d;
    s->presence_last = d;
}

enum status shard_on_presence(struct shard *s, struct msg_in *m)
{
    struct session *e = shard_session_of(s, m);
    if (!e || e->state != SESSION_LIVE)
        return STATUS_OK;
    struct reader r = reader_of(m->payload);
    struct msg_presence h;
    msg_read_struct(&r, &h);
    if (!r.ok)
        return shard_refuse(s, m, STATUS_BAD_MESSAGE);
    /* A version that is not there yet reads as the newest: the cursor is told, the error is not. */
    bool has_version = (h.flags & MSG_PRESENCE_VERSION) && h.version < e->doc->version;
    e->cursor_version = has_version ? h.version : e->doc->version;
    e->cursor_u16 = h.cursor_u16;
    e->anchor_u16 = h.anchor_u16;
    e->head_u16 = h.head_u16;
    e->cursor_flags = SESSION_CURSOR_SHOWN | SESSION_CURSOR_DIRTY;
    if (h.flags & MSG_PRESENCE_SELECTION)
        e->cursor_flags |= SESSION_CURSOR_SELECTION;
    put_on_list(s, e->doc);
    counter_bump(s->count.presence, 1);
    return STATUS_OK;
}

/* ---- out ---- */

/* Tells one document's moved cursors, at most ENTRIES_A_DOC; true: there are more. */
static bool tell(struct shard *s, struct document *d)
{
    struct session *moved[ENTRIES_A_DOC];
    struct msg_doc_note h = {.doc = d->slot, .doc_gen = d->gen};
    size_t bytes = sizeof h;
    uint32_t budget = SHARD_PRESENCE_BUDGET;
    bool more = false;
    for (struct session *e = d->sessions; e; e = e->next) {
        if (!(e->cursor_flags & SESSION_CURSOR_DIRTY))
            continue;
        if (h.n == ENTRIES_A_DOC) {
            more = true;
            break;
        }
        e->cursor_flags &= (uint8_t)~SESSION_CURSOR_DIRTY;
        carry(s, e, &budget);
        bytes += entry_bytes(e);
        moved[h.n++] = e;
    }
    for (uint32_t mask = h.n ? d->live_mask : 0; mask; mask &= mask - 1) {
        uint32_t g = (uint32_t)__builtin_ctz(mask);
        struct writer w = shard_claim(s, g, bytes);
        msg_write_struct(&w, &h);
        for (uint32_t i = 0; i < h.n; i++)
            write_entry(&w, moved[i], 0);
        shard_commit(s, g, MSG_PRESENCE_OUT, &w);
    }
    return more;
}

unsigned shard_presence(struct shard *s)
{
    unsigned n = 0;
    if (!s->presence_first || s->now_ns < s->presence_at_ns)
        return 0;
    /* Documents that come back onto the list during this round wait for the next tick. */
    struct document *end = s->presence_last;
    while (s->presence_first && n < DOCS_A_POLL && shard_has_room(s)) {
        struct document *d = s->presence_first;
        s->presence_first = d->presence_next;
        if (!s->presence_first)
            s->presence_last = NULL;
        d->presence_pending = false;
        n++;
        if (tell(s, d))
            put_on_list(s, d);
        if (d == end)
            break;
    }
    if (n > 0 && n < DOCS_A_POLL)
        s->presence_at_ns = s->now_ns + s->options.presence_tick_ns;
    return n;
}

uint64_t shard_presence_deadline(const struct shard *s)
{
    return s->presence_first ? s->presence_at_ns : UINT64_MAX;
}

void shard_presence_leave(struct shard *s, const struct session *session)
{
    const struct document *d = session->doc;
    struct msg_doc_note h = {.doc = d->slot, .doc_gen = d->gen, .n = 1};
    for (uint32_t mask = d->live_mask; mask; mask &= mask - 1) {
        uint32_t g = (uint32_t)__builtin_ctz(mask);
        struct writer w = shard_claim(s, g, sizeof h + entry_bytes(session));
        msg_write_struct(&w, &h);
        write_entry(&w, session, MSG_PRESENCE_LEAVE);
        shard_commit(s, g, MSG_PRESENCE_OUT, &w);
    }
}

/* ---- for a joiner ---- */

static bool is_listed(const struct session *e, const struct session *joiner)
{
    return e != joiner && (e->cursor_flags & SESSION_CURSOR_SHOWN);
}

uint32_t shard_presence_list(struct shard *s, const struct session *joiner, size_t *bytes)
{
    uint32_t n = 0;
    uint32_t budget = SHARD_PRESENCE_BUDGET;
    *bytes = 0;
    for (struct session *e = joiner->doc->sessions; e; e = e->next) {
        if (!is_listed(e, joiner))
            continue;
        if (*bytes + entry_bytes(e) > SHARD_PRESENCE_BYTES)
            break;
        *bytes += entry_bytes(e);
        carry(s, e, &budget);
        n++;
    }
    return n;
}

void shard_write_presence_list(struct writer *w, const struct session *joiner, uint32_t n)
{
    for (struct session *e = joiner->doc->sessions; e && n > 0; e = e->next) {
        if (is_listed(e, joiner)) {
            write_entry(w, e, 0);
            n--;
        }
    }
}
