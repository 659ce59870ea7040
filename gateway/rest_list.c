/* rest_list.c - lists over HTTP: documents of all shards, history, collaborators; see rest.h. */
#include "gateway/rest.h"

/* ---- documents: every shard gives its newest, and they are merged ---- */

struct item {
    struct msg_doc m;
    struct bytes doc_id;
    struct bytes title;
    struct bytes owner;
};

/* One shard's page while it is merged. */
struct lane {
    struct reader r;
    uint32_t n_left;
    bool more; /* the shard has further ones behind its page */
    bool has_item;
    struct item item;
};

void rest_list_free(struct gather *gather)
{
    if (!gather)
        return;
    for (uint32_t i = 0; i < GATEWAY_SHARDS_MAX; i++)
        free(gather->pages[i]);
    free(gather);
}

static struct bytes list_request(struct gateway *g, const struct call *call,
                                 const struct cursor *cursor, bool has_cursor)
{
    struct writer w = writer_of(g->out, g->out_bytes);
    struct msg_call m = {.head = {conn_tag(call->peer.c), MSG_NO_SESSION, 0},
                         .arg32 = call->limit,
                         .arg64 = has_cursor ? cursor->number : UINT64_MAX};
    msg_write_struct(&w, &m);
    write_bytes(&w, call->identity);
    write_str(&w, has_cursor ? cursor->name : (struct bytes){0});
    return writer_bytes(&w);
}

void rest_list_start(struct gateway *g, struct call *call)
{
    uint8_t buf[CURSOR_TEXT_BYTES_MAX];
    struct cursor cursor = {0};
    bool has_cursor = false;
    const char *wrong =
        rest_read_page(call->req, CURSOR_DOCS, buf, &call->limit, &cursor, &has_cursor);
    if (wrong) {
        rest_fail_status(g, call, STATUS_BAD_MESSAGE, wrong);
        return;
    }
    call->gather = calloc(1, sizeof *call->gather);
    if (!call->gather) {
        rest_fail_status(g, call, STATUS_NO_MEMORY, NULL);
        return;
    }
    struct bytes request = list_request(g, call, &cursor, has_cursor);
    bool room = true;
    for (uint32_t i = 0; i < g->o.n_shards; i++)
        room &= uplink_has_room(&g->uplink, i, request.n);
    for (uint32_t i = 0; i < g->o.n_shards && room; i++)
        room = uplink_try(&g->uplink, i, MSG_DOC_LIST, request);
    if (!room) { /* the connection ends: shards that were asked already meet a dead tag */
        gateway_refuse(g, REFUSAL_RING_FULL);
        rest_fail(g, call, &(struct problem){.status = STATUS_UNAVAILABLE, .close = true});
        return;
    }
    call->gather->n_left = g->o.n_shards;
}

static void lane_next(struct lane *l)
{
    l->has_item = false;
    if (l->n_left == 0)
        return;
    l->n_left--;
    msg_read_struct(&l->r, &l->item.m);
    l->item.doc_id = read_str(&l->r);
    l->item.title = read_str(&l->r);
    l->item.owner = read_str(&l->r);
    l->has_item = l->r.ok;
}

/* Newest first; of two of one millisecond the lesser id. */
static bool is_before(const struct item *a, const struct item *b)
{
    if (a->m.modified_ms != b->m.modified_ms)
        return a->m.modified_ms > b->m.modified_ms;
    return bytes_cmp(a->doc_id, b->doc_id) < 0;
}

/* The lane with the next item. NULL: no more can be said: all are at their end, or one that has
 * more behind its page is (then what follows in the others may not be next). */
static struct lane *next_lane(struct lane *lanes, uint32_t n, bool *more)
{
    struct lane *best = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (!lanes[i].has_item && lanes[i].more) {
            *more = true;
            return NULL;
        }
        if (lanes[i].has_item && (!best || is_before(&lanes[i].item, &best->item)))
            best = &lanes[i];
    }
    return best;
}

static void write_item(struct writer *w, const struct item *o)
{
    json_write_lit(w, "{\"id\":");
    json_write_string(w, o->doc_id);
    json_write_lit(w, ",\"title\":");
    json_write_string(w, o->title);
    json_write_lit(w, o->m.doc_type == DOC_RICH ? ",\"type\":\"rich\"" : ",\"type\":\"text\"");
    json_write_lit(w, ",\"version\":");
    json_write_u64(w, o->m.version);
    json_write_lit(w, ",\"role\":");
    json_write_string(w, bytes_str(reply_role(o->m.role)));
    json_write_lit(w, ",\"owner_id\":");
    json_write_string(w, o->owner);
    json_write_lit(w, ",\"created\":");
    json_write_time(w, o->m.created_ms);
    json_write_lit(w, ",\"last_modified\":");
    json_write_time(w, o->m.modified_ms);
    json_write_lit(w, "}");
}

static void write_end(struct writer *w, enum cursor_kind kind, const struct cursor *cursor)
{
    json_write_lit(w, "],\"cursor\":");
    if (cursor) {
        json_write_lit(w, "\"");
        cursor_write(w, kind, cursor);
        json_write_lit(w, "\"");
    } else {
        json_write_lit(w, "null");
    }
    json_write_lit(w, "}\n");
}

static void write_merged(struct writer *w, struct lane *lanes, uint32_t n_lanes, uint32_t limit)
{
    struct cursor cursor = {0};
    char name[LIMIT_DOC_ID_BYTES];
    bool more = false;
    uint32_t n = 0;
    struct lane *l;
    json_write_lit(w, "{\"items\":[");
    for (; (l = next_lane(lanes, n_lanes, &more)) && n < limit; n++) {
        if (n)
            json_write_lit(w, ",");
        write_item(w, &l->item);
        cursor.number = l->item.m.modified_ms;
        cursor.name.n = l->item.doc_id.n <= sizeof name ? l->item.doc_id.n : 0;
        memcpy(name, l->item.doc_id.p, cursor.name.n);
        cursor.name.p = (const uint8_t *)name;
        lane_next(l);
    }
    write_end(w, CURSOR_DOCS, n && (l || more) ? &cursor : NULL);
}

static void merge(struct gateway *g, struct call *call)
{
    struct lane lanes[GATEWAY_SHARDS_MAX];
    size_t bytes_max = 1024;
    for (uint32_t i = 0; i < g->o.n_shards; i++) {
        struct msg_items m;
        lanes[i].r = reader_of(bytes_of(call->gather->pages[i], call->gather->page_bytes[i]));
        msg_read_struct(&lanes[i].r, &m);
        lanes[i].n_left = m.n;
        lanes[i].more = m.more != 0;
        lane_next(&lanes[i]);
        /* An item is at least its fixed part: this bounds their number whatever `n` says. */
        bytes_max += 6 * call->gather->page_bytes[i];
    }
    uint8_t *buf = malloc(bytes_max);
    struct writer w = writer_of(buf, buf ? bytes_max : 0);
    write_merged(&w, lanes, g->o.n_shards, call->limit);
    if (w.ok)
        rest_answer_json(g, call, 200, (struct bytes){0}, writer_bytes(&w));
    else
        rest_fail_status(g, call, STATUS_NO_MEMORY, NULL);
    free(buf);
}

void rest_list_page(struct gateway *g, struct call *call, uint32_t shard, struct bytes payload)
{
    struct gather *gather = call->gather;
    if (gather->pages[shard])
        return;
    gather->pages[shard] = malloc(payload.n + 1);
    if (!gather->pages[shard]) {
        rest_fail(g, call, &(struct problem){.status = STATUS_NO_MEMORY, .close = true});
        return;
    }
    memcpy(gather->pages[shard], payload.p, payload.n);
    gather->page_bytes[shard] = payload.n;
    if (--gather->n_left == 0)
        merge(g, call);
}

/* ---- history ---- */

struct event {
    struct bytes user;
    struct bytes client;
    struct bytes accepted_by;
    struct msg_op_out out;
    struct opjson_out op;
};

static bool read_event(struct reader *r, struct event *e)
{
    e->user = read_str(r);
    e->client = read_str(r);
    e->accepted_by = read_str(r);
    msg_read_struct(r, &e->out);
    e->op = (struct opjson_out){.op = read_bytes(r, e->out.op_bytes),
                                .client_id = e->client,
                                .seq = e->out.seq,
                                .version = e->out.version - 1,
                                .has_seq = !(e->out.flags & MSG_OP_NO_SEQ)};
    return r->ok;
}

static size_t event_bytes_max(const struct event *e)
{
    return opjson_write_bytes_max(&e->op) + 6 * (e->user.n + 2 * e->client.n + e->accepted_by.n) +
           320;
}

static void write_event(struct writer *w, const struct event *e)
{
    json_write_lit(w, "{\"version\":");
    json_write_u64(w, e->out.version);
    json_write_lit(w, ",\"op\":");
    opjson_write(w, &e->op);
    /* Unique in the document: a client's seq is, and so is the version where there is no seq. The
     * characters of a client_id need no escapes. */
    json_write_lit(w, ",\"op_id\":\"");
    write_bytes(w, e->client);
    json_write_lit(w, e->op.has_seq ? ":" : "@");
    json_write_u64(w, e->op.has_seq ? e->out.seq : e->out.version);
    json_write_lit(w, "\",\"client_id\":");
    json_write_string(w, e->client);
    json_write_lit(w, ",\"user_id\":");
    json_write_string(w, e->user);
    if (e->accepted_by.n) {
        json_write_lit(w, ",\"accepted_by\":");
        json_write_string(w, e->accepted_by);
    }
    json_write_lit(w, ",\"timestamp\":");
    json_write_time(w, e->out.unix_ms);
    json_write_lit(w, "}");
}

void rest_answer_history(struct gateway *g, struct call *call, struct bytes payload)
{
    struct reader r = reader_of(payload);
    struct msg_items m;
    struct event e;
    size_t bytes_max = 1024;
    msg_read_struct(&r, &m);
    struct reader again = r;
    for (uint32_t i = 0; i < m.n && read_event(&r, &e); i++)
        bytes_max += event_bytes_max(&e);
    if (!r.ok) {
        rest_fail_status(g, call, STATUS_INTERNAL, NULL);
        return;
    }
    uint8_t *buf = malloc(bytes_max);
    struct writer w = writer_of(buf, buf ? bytes_max : 0);
    struct cursor cursor = {0};
    json_write_lit(&w, "{\"items\":[");
    for (uint32_t i = 0; i < m.n; i++) {
        read_event(&again, &e);
        if (i)
            json_write_lit(&w, ",");
        write_event(&w, &e);
        cursor.number = e.out.version + 1;
    }
    write_end(&w, CURSOR_HISTORY, m.n && m.more ? &cursor : NULL);
    if (w.ok)
        rest_answer_json(g, call, 200, (struct bytes){0}, writer_bytes(&w));
    else
        rest_fail_status(g, call, STATUS_NO_MEMORY, NULL);
    free(buf);
}

/* ---- collaborators ---- */

struct grant {
    struct bytes principal;
    uint8_t role;
};

static int grant_cmp(const void *a, const void *b)
{
    const struct grant *x = a, *y = b;
    return bytes_cmp(x->principal, y->principal);
}

static void write_roles(struct writer *w, const struct grant *grants, uint32_t n,
                        const struct cursor *after, uint32_t limit)
{
    uint32_t from = 0;
    while (after && from < n && bytes_cmp(grants[from].principal, after->name) <= 0)
        from++;
    uint32_t end = n - from > limit ? from + limit : n;
    json_write_lit(w, "{\"items\":[");
    for (uint32_t i = from; i < end; i++) {
        json_write_lit(w, i > from ? ",{\"user_id\":" : "{\"user_id\":");
        json_write_string(w, grants[i].principal);
        json_write_lit(w, ",\"role\":");
        json_write_string(w, bytes_str(reply_role(grants[i].role)));
        json_write_lit(w, "}");
    }
    struct cursor last = {.name = end > from ? grants[end - 1].principal : (struct bytes){0}};
    write_end(w, CURSOR_ROLES, end < n ? &last : NULL);
}

void rest_answer_roles(struct gateway *g, struct call *call, const struct msg_doc *doc,
                       struct bytes roles)
{
    uint8_t buf[CURSOR_TEXT_BYTES_MAX];
    struct cursor cursor = {0};
    bool has_cursor = false;
    if (doc->role != DOC_ROLE_OWNER) {
        rest_fail_status(g, call, STATUS_FORBIDDEN, NULL);
        return;
    }
    (void)rest_read_page(call->req, CURSOR_ROLES, buf, &call->limit, &cursor, &has_cursor);
    size_t bytes_max = 1024 + 6 * roles.n + 64ull * doc->n_roles;
    struct grant *grants = calloc(doc->n_roles + 1ull, sizeof *grants);
    uint8_t *out = malloc(bytes_max);
    struct writer w = writer_of(out, out ? bytes_max : 0);
    struct reader r = reader_of(roles);
    for (uint32_t i = 0; grants && i < doc->n_roles; i++) {
        grants[i].role = read_u8(&r);
        grants[i].principal = read_str(&r);
    }
    if (grants && out) {
        qsort(grants, doc->n_roles, sizeof *grants, grant_cmp);
        write_roles(&w, grants, doc->n_roles, has_cursor ? &cursor : NULL, call->limit);
    }
    if (grants && out && w.ok)
        rest_answer_json(g, call, 200, (struct bytes){0}, writer_bytes(&w));
    else
        rest_fail_status(g, call, STATUS_NO_MEMORY, NULL);
    free(out);
    free(grants);
}
