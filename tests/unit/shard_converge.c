/*
 * Random clients against a whole shard: edits, offline batches, lost connections, resends,
 * restarts, small windows. Each client keeps its text the naive way (delta_model.h) and carries its
 * pending ops as the protocol says. In the end all have equal content, equal to what the server
 * shows and to a replay of the history.
 */
#include "sequencer/transform.h"
#include "tests/support/shard_rig.h"
#include "tests/unit/delta_model.h"

#define CLIENTS     6u
#define PENDING_MAX 48u
#define OP_BYTES    (64u << 10)

struct pending {
    uint64_t seq;
    uint8_t *op;
    size_t n;
};

struct client {
    unsigned g;
    uint64_t tag;
    char id[16];
    bool connected;
    bool joining;
    bool live;
    struct msg_head head;
    uint64_t version;
    uint64_t next_seq;
    struct pending pending[PENDING_MAX];
    unsigned n_pending;
    unsigned n_in_flight; /* of them, sent and not answered */
    struct model *doc;
};

static struct client clients[CLIENTS];
static struct model_rng rng;
static struct model_taste taste;
static uint64_t n_resets, n_resent, n_accepted;
static uint8_t buf_op[OP_BYTES], buf_a[2 * OP_BYTES];

static bool chance(uint32_t one_in)
{
    return model_random(&rng, one_in) == 0;
}

static void set_pending(struct pending *p, struct bytes op)
{
    uint8_t *copy = malloc(op.n + 1);
    if (op.n)
        memcpy(copy, op.p, op.n);
    free(p->op);
    p->op = copy;
    p->n = op.n;
}

static void drop_first(struct client *c)
{
    free(c->pending[0].op);
    memmove(&c->pending[0], &c->pending[1], (c->n_pending - 1) * sizeof c->pending[0]);
    memset(&c->pending[--c->n_pending], 0, sizeof c->pending[0]);
    if (c->n_in_flight > 0)
        c->n_in_flight--;
}

/* ---- what a client hears ---- */

static void hear_op(struct client *c, struct bytes op, bool own, uint64_t seq, uint64_t version)
{
    cr_assert_eq(version, c->version + 1, "%s: version %lu after %lu", c->id, version, c->version);
    c->version = version;
    if (own) {
        cr_assert(c->n_pending > 0 && c->pending[0].seq == seq, "%s: seq %lu", c->id, seq);
        cr_assert(bytes_eq(op, bytes_of(c->pending[0].op, c->pending[0].n)),
                  "%s: the server made of an op what the client made of it", c->id);
        drop_first(c);
        n_accepted++;
        return;
    }
    static uint8_t mem[2][2 * OP_BYTES];
    struct bytes s = op;
    for (unsigned i = 0; i < c->n_pending; i++) {
        struct bytes p = bytes_of(c->pending[i].op, c->pending[i].n), p2, s2;
        cr_assert_eq(op_transform(s, p, true, buf_a, sizeof buf_a, &p2), STATUS_OK);
        cr_assert_eq(op_transform(p, s, false, mem[i & 1], sizeof mem[0], &s2), STATUS_OK);
        set_pending(&c->pending[i], p2);
        s = s2;
    }
    cr_assert(model_apply(c->doc, s), "%s: version %lu does not fit", c->id, version);
}

static void hear_joined(struct client *c, struct reader r)
{
    struct msg_joined h;
    msg_read_struct(&r, &h);
    c->joining = false;
    c->head = h.head;
    (void)read_str(&r);
    for (uint32_t i = 0; i < h.n_presence; i++) {
        struct msg_presence_entry e;
        msg_read_struct(&r, &e);
        for (unsigned k = 0; k < 3; k++)
            (void)read_str(&r);
    }
    struct bytes content = read_str(&r);
    cr_assert(r.ok);
    c->n_in_flight = 0;
    if (!(h.flags & MSG_JOINED_CONTENT))
        return;
    cr_assert_eq(h.flags & MSG_JOINED_RESET, 0);
    /* It had forgotten its version: what was not accepted is lost. */
    n_resets++;
    while (c->n_pending > 0)
        drop_first(c);
    c->doc->n = 0;
    cr_assert(model_apply(c->doc, content));
    c->version = h.version;
    c->next_seq = h.last_seq + 1;
    c->live = true;
}

static void hear_items(struct client *c, struct reader r)
{
    struct msg_catchup h;
    msg_read_struct(&r, &h);
    for (uint32_t i = 0; i < h.n_ops; i++) {
        struct msg_op_out op;
        (void)read_str(&r);
        struct bytes client = read_str(&r);
        (void)read_str(&r);
        msg_read_struct(&r, &op);
        struct bytes bytes = read_bytes(&r, op.op_bytes);
        cr_assert(r.ok);
        hear_op(c, bytes, bytes_eq(client, bytes_str(c->id)), op.seq, op.version);
    }
    struct writer w = writer_of(rig_buf, 64);
    msg_write_struct(&w, &c->head);
    rig_send(c->g, MSG_CREDIT, &w);
}

static struct client *by_tag(unsigned g, uint64_t tag)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].g == g && clients[i].tag == tag &&
            (clients[i].connected || clients[i].joining))
            return &clients[i];
    }
    return NULL;
}

static void hear_released(unsigned g, struct reader r)
{
    static struct rig_released o;
    o = *rig_read_released(r);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        if (c->g != g || !c->connected || !c->live)
            continue;
        for (uint32_t k = 0; k < o.h.n_ops; k++) {
            bool own = o.h.tag == c->tag;
            hear_op(c, o.bytes[k], own, o.op[k].seq, o.op[k].version);
        }
    }
}

static void hear(unsigned g, const struct rig_msg *m)
{
    struct reader r = reader_of(bytes_of(m->p, m->n));
    struct msg_head head;
    cr_assert_geq(m->n, sizeof(struct msg_ready));
    if (m->type == MSG_READY)
        return;
    memcpy(&head, m->p, sizeof head);
    if (m->type == MSG_RELEASED) {
        hear_released(g, r);
        return;
    }
    struct client *c = by_tag(g, head.tag);
    if (!c)
        return; /* its connection is gone */
    switch (m->type) {
    case MSG_JOINED:
        c->connected = true;
        hear_joined(c, r);
        break;
    case MSG_CATCHUP:
        hear_items(c, r);
        break;
    case MSG_SYNCED:
        c->live = true;
        break;
    case MSG_ACKS: /* of a resend: heard before */
        n_resent += rig_read_acks(r)->h.n_acks;
        break;
    default:
        cr_assert_fail("%s: a message of type %u, status %u", c->id, m->type,
                       m->type == MSG_ERROR ? ((const struct msg_error *)(void *)m->p)->status : 0);
    }
}

static void hear_all(void)
{
    for (unsigned g = 0; g < RIG_GATEWAYS; g++) {
        for (const struct rig_msg *m; (m = rig_next(g)) != NULL;)
            hear(g, m);
    }
}

/* ---- what a client does ---- */

static void edit(struct client *c)
{
    if (c->n_pending == PENDING_MAX || (!c->live && c->n_pending == 0 && c->next_seq == 0))
        return;
    struct bytes op = model_random_op(c->doc, &rng, &taste, buf_op, sizeof buf_op);
    if (c->doc->n > 1500) {
        struct op_writer w;
        op_writer_init(&w, buf_op, sizeof buf_op);
        op_push_retain(&w, 2, (struct bytes){0});
        op_push_delete(&w, c->doc->n - 2 - 700 + model_is_low(c->doc, c->doc->n - 700));
        op = (struct bytes){0};
        if (!model_is_low(c->doc, 2))
            cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    }
    cr_assert(model_apply(c->doc, op));
    struct pending *p = &c->pending[c->n_pending++];
    p->op = NULL;
    set_pending(p, op);
    p->seq = c->next_seq++;
}

static void send_pending(struct client *c)
{
    struct rig_op ops[PENDING_MAX];
    if (!c->live || c->n_in_flight > 0 || c->n_pending == 0)
        return;
    unsigned n = 1 + model_random(&rng, c->n_pending);
    for (unsigned i = 0; i < n; i++)
        ops[i] = (struct rig_op){c->pending[i].seq, bytes_of(c->pending[i].op, c->pending[i].n)};
    struct rig_ops message = {.g = c->g, .head = c->head, .base = c->version, .ops = ops, .n = n};
    rig_send_ops(&message);
    if (chance(4))
        rig_send_ops(&message); /* twice: takes effect once */
    c->n_in_flight = n;
}

static void lose(struct client *c)
{
    if (!c->connected)
        return;
    struct writer w = writer_of(rig_buf, 64);
    msg_write_struct(&w, &c->head);
    rig_send(c->g, MSG_LEAVE, &w);
    c->connected = c->live = false;
    c->n_in_flight = 0;
}

static void join(struct client *c)
{
    if (c->connected || c->joining)
        return;
    static uint64_t tag = 1000;
    c->g = model_random(&rng, RIG_GATEWAYS);
    c->tag = tag++;
    c->joining = true;
    bool forgot = c->next_seq == 0 || chance(15);
    if (c->next_seq == 0)
        c->next_seq = 1;
    rig_send_join(&(struct rig_join){.g = c->g,
                                     .tag = c->tag,
                                     .user = "ann",
                                     .doc = "d",
                                     .client = c->id,
                                     .flags = forgot ? 0 : MSG_JOIN_VERSION,
                                     .version = c->version});
}

static void restart(void)
{
    rig_run();
    hear_all();
    rig_restart();
    for (unsigned g = 0; g < RIG_GATEWAYS; g++) {
        while (rig_next(g))
            ;
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].connected = clients[i].live = clients[i].joining = false;
        clients[i].n_in_flight = 0;
    }
}

static void step(void)
{
    struct client *c = &clients[model_random(&rng, CLIENTS)];
    uint32_t what = model_random(&rng, 100);
    if (what < 55 && (c->live || c->next_seq > 0))
        edit(c);
    else if (what < 80)
        send_pending(c);
    else if (what < 82)
        lose(c);
    else if (what < 86)
        join(c);
    else
        rig_poll_for(1 + model_random(&rng, 4));
    hear_all();
}

/* ---- the end ---- */

static void finish(void)
{
    for (unsigned round = 0; round < 200; round++) {
        unsigned n = 0;
        for (unsigned i = 0; i < CLIENTS; i++) {
            join(&clients[i]);
            send_pending(&clients[i]);
            n += clients[i].n_pending + !clients[i].live;
        }
        rig_run();
        hear_all();
        if (n == 0)
            break;
    }
    rig_run();
    hear_all();
}

static void check_same(const struct model *a, const struct model *b, const char *who)
{
    cr_assert_eq(a->n, b->n, "%s: %zu units, not %zu", who, a->n, b->n);
    for (size_t i = 0; i < a->n; i++)
        cr_assert(a->unit[i].what == b->unit[i].what && a->unit[i].style == b->unit[i].style,
                  "%s: unit %zu of %zu", who, i, a->n);
}

static struct bytes get_content(uint64_t *version)
{
    rig_send_call(0, &(struct rig_call){.type = MSG_DOC_GET, .tag = 7, .user = "ann", .doc = "d"});
    rig_run();
    struct reader r = rig_expect(0, MSG_DOC);
    struct msg_doc h;
    msg_read_struct(&r, &h);
    for (unsigned i = 0; i < 3; i++)
        (void)read_str(&r);
    for (uint32_t i = 0; i < h.n_roles; i++) {
        (void)read_u8(&r);
        (void)read_str(&r);
    }
    *version = h.version;
    return read_str(&r);
}

static void replay_history(struct model *m, uint64_t n)
{
    m->n = 0;
    for (uint64_t next = 1; next <= n;) {
        rig_send_call(0, &(struct rig_call){.type = MSG_DOC_HISTORY,
                                            .tag = 8,
                                            .user = "ann",
                                            .doc = "d",
                                            .arg32 = 100,
                                            .arg64 = next,
                                            .arg64b = n});
        rig_run();
        struct reader r = rig_expect(0, MSG_HISTORY_ITEMS);
        struct msg_items h;
        msg_read_struct(&r, &h);
        cr_assert_gt(h.n, 0);
        for (uint32_t i = 0; i < h.n; i++) {
            struct msg_op_out op;
            for (unsigned k = 0; k < 3; k++)
                (void)read_str(&r);
            msg_read_struct(&r, &op);
            cr_assert_eq(op.version, next++);
            cr_assert(model_apply(m, read_bytes(&r, op.op_bytes)));
        }
    }
}

static void run(uint64_t seed, bool rich, unsigned steps)
{
    static struct model server, replay;
    rng.s = seed;
    taste = (struct model_taste){
        .rich = rich, .parts_max = 4, .text_max = 6, .span_max = 9, .per_cent_wild = 25};
    n_resets = n_resent = n_accepted = 0;
    rig.options.window_bytes = 64u << 10;
    rig_init();
    rig_forget();
    rig_create("ann", "d", rich ? DOC_RICH : DOC_TEXT, BYTES_LIT(""));
    for (unsigned i = 0; i < CLIENTS; i++) {
        memset(&clients[i], 0, sizeof clients[i]);
        snprintf(clients[i].id, sizeof clients[i].id, "c%u", i);
        clients[i].doc = calloc(1, sizeof *clients[i].doc);
    }
    for (unsigned i = 0; i < steps; i++) {
        if (i % 4000 == 3999)
            restart();
        step();
    }
    finish();
    uint64_t version;
    struct bytes content = get_content(&version);
    server.n = 0;
    cr_assert(model_apply(&server, content));
    replay_history(&replay, version);
    check_same(&replay, &server, "the history");
    for (unsigned i = 0; i < CLIENTS; i++) {
        cr_assert(clients[i].live && clients[i].n_pending == 0 && clients[i].version == version);
        check_same(clients[i].doc, &server, clients[i].id);
        free(clients[i].doc);
    }
    cr_assert_gt(n_accepted, steps / 8);
    cr_assert(n_resets > CLIENTS && n_resent > 20, "%lu, %lu", n_resets, n_resent);
    rig_fini();
}

Test(shard_converge, random_clients_of_a_text_end_with_one_content, .timeout = 100)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        run(seed, false, 10000);
}

Test(shard_converge, random_clients_of_a_rich_document_end_with_one_content, .timeout = 100)
{
    for (uint64_t seed = 11; seed <= 13; seed++)
        run(seed, true, 10000);
}
