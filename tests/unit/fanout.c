/*
 * fanout.h against a model that sends every op to everybody one by one. Connections and slabs are
 * this test's own: slabs are overwritten once nobody holds them, so that a slice into one that was
 * given up shows.
 */
#include "gateway/fanout.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define N_CONNS    12u
#define N_DOCS     5u
#define HEARD_MAX  16384u
#define SLAB_ROOM_ (SLAB_BYTES - 16u)

/* What a member heard or should hear: op versions, acks as negative ones; or a frame's number. */
struct conn {
    struct fan_member member;
    int64_t heard[HEARD_MAX];
    int64_t should[HEARD_MAX];
    unsigned n_heard;
    unsigned n_should;
    int doc; /* -1: in none */
    bool ends_at_next_send;
    bool is_closed;
};

static struct conn conns[N_CONNS];
static struct fanout f;
static struct slab *current;
static struct slab *large;
static struct slab_pool pool;
static unsigned n_slabs;
static unsigned n_sends;

/* ---- the connections' side ---- */

/* Nobody but us held it: gone. Else some socket holds it, it lives on (and is leaked here). */
static void slab_drop(struct slab *s)
{
    if (s && s->refs == 1) {
        memset(s->data, 0xee, s->bytes);
        free(s);
    }
}

static struct slab *slab_new(size_t room)
{
    struct slab *s = malloc(sizeof *s + room);
    cr_assert_not_null(s);
    *s = (struct slab){.refs = 1, .bytes = (uint32_t)room};
    n_slabs++;
    return s;
}

/* As the loop's pool does it: large ones apart, the last of them kept until the next. */
uint8_t *conn_frame_reserve(struct conns *cs, size_t payload_bytes_max, struct slab **slab)
{
    (void)cs;
    size_t need = payload_bytes_max + 10;
    if (need > SLAB_ROOM_) {
        slab_drop(large);
        *slab = large = slab_new(need);
    } else {
        if (!current || current->bytes - current->used < need) {
            slab_drop(current);
            current = slab_new(SLAB_ROOM_);
        }
        *slab = current;
    }
    return (*slab)->data + (*slab)->used + 10;
}

/* A frame here: a length and the payload. */
void conn_frame_commit(struct conns *cs, struct slab *slab, size_t payload_bytes, uint32_t *offset,
                       uint32_t *n)
{
    (void)cs;
    uint16_t length = (uint16_t)payload_bytes;
    uint8_t *at = slab->data + slab->used;
    memmove(at + 2, at + 10, payload_bytes);
    memcpy(at, &length, 2);
    *offset = slab->used;
    *n = (uint32_t)payload_bytes + 2;
    slab->used += *n;
}

static int64_t number_behind(struct bytes text, const char *key)
{
    const char *at = memmem(text.p, text.n, key, strlen(key));
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

static void hear(struct conn *c, struct bytes frames)
{
    struct reader r = reader_of(frames);
    while (reader_left(&r)) {
        struct bytes text = read_bytes(&r, read_u16(&r));
        cr_assert(r.ok && text.n > 2 && text.p[0] == '{' && text.p[text.n - 1] == '}',
                  "not whole frames");
        int64_t version = number_behind(text, "\"new_version\":");
        bool is_ack = memmem(text.p, text.n, "\"ack\"", 5) != NULL;
        cr_assert_lt(c->n_heard, HEARD_MAX);
        c->heard[c->n_heard++] = is_ack ? -version : version;
    }
}

static void end_conn(struct conn *c)
{
    c->is_closed = true;
    c->doc = -1;
    fanout_erase(&f, &c->member);
}

struct loop *conns_loop(struct conns *cs)
{
    (void)cs;
    return NULL;
}

struct slab_pool *loop_slabs(struct loop *l)
{
    (void)l;
    return &pool;
}

bool conn_send_frame(struct conn *c, struct slab *slab, uint32_t offset, uint32_t n)
{
    n_sends++;
    slab->refs = 2;
    if (c->is_closed)
        return false;
    if (c->ends_at_next_send) { /* the worst moment to go */
        end_conn(c);
        return false;
    }
    hear(c, bytes_of(slab->data + offset, n));
    return true;
}

void conn_ws_close(struct conn *c, uint16_t code, const char *reason)
{
    (void)code;
    (void)reason;
    c->is_closed = true;
}

void conn_respond(struct conn *c, const struct http_response *r)
{
    (void)c;
    (void)r;
    cr_assert_fail("nothing here answers over HTTP");
}

/* ---- helpers ---- */

static void start(void)
{
    memset(conns, 0, sizeof conns);
    for (unsigned i = 0; i < N_CONNS; i++) {
        conns[i].member.c = &conns[i];
        conns[i].member.client_id = BYTES_LIT("client-1");
        conns[i].doc = -1;
    }
    slab_pool_init(&pool, 1 << 20);
    cr_assert_eq(fanout_init(&f, NULL), STATUS_OK);
}

static void stop(void)
{
    fanout_fini(&f);
    slab_drop(current);
    slab_drop(large);
}

TestSuite(fanout, .init = start, .fini = stop);

static void join(struct conn *c, uint32_t doc)
{
    cr_assert_eq(fanout_insert(&f, 1, doc, 10 + doc, &c->member), STATUS_OK);
    c->doc = (int)doc;
}

static uint8_t op_bytes[4096];

static void broadcast(uint32_t doc, uint64_t version, struct conn *sender, size_t text_bytes)
{
    struct op_writer ow;
    struct bytes op;
    static char text[4000];
    memset(text, 'x', sizeof text);
    op_writer_init(&ow, op_bytes, sizeof op_bytes);
    op_push_insert(&ow, bytes_of(text, text_bytes), text_bytes, (struct bytes){0});
    cr_assert_eq(op_writer_end(&ow, &op), STATUS_OK);
    struct fan_doc *d = fanout_find(&f, 1, doc, 10 + doc);
    if (!d)
        return;
    struct reply_op o = {.op = {.op = op,
                                .client_id = BYTES_LIT("client-1"),
                                .seq = version,
                                .version = version - 1,
                                .has_seq = true},
                         .user_id = BYTES_LIT("ada")};
    for (unsigned i = 0; i < N_CONNS; i++)
        if (conns[i].doc == (int)doc && !conns[i].is_closed)
            conns[i].should[conns[i].n_should++] =
                &conns[i] == sender ? -(int64_t)version : (int64_t)version;
    fanout_op(&f, d, &o, sender ? &sender->member : NULL);
}

static void compare(const struct conn *c)
{
    if (!c->is_closed)
        cr_assert_eq(c->n_heard, c->n_should);
    for (unsigned i = 0; i < c->n_heard; i++)
        cr_assert_eq(c->heard[i], c->should[i], "conn %zu, message %u: %ld instead of %ld",
                     (size_t)(c - conns), i, (long)c->heard[i], (long)c->should[i]);
}

/* ---- tests ---- */

Test(fanout, everybody_hears_an_op_but_its_sender_who_gets_the_ack)
{
    join(&conns[0], 0);
    join(&conns[1], 0);
    join(&conns[2], 1);
    broadcast(0, 1, &conns[1], 5);
    cr_assert_eq(conns[0].n_heard, 0, "a run waits for its end");
    fanout_flush(&f);
    cr_assert_eq(conns[0].heard[0], 1);
    cr_assert_eq(conns[1].heard[0], -1);
    cr_assert_eq(conns[2].n_heard, 0);
}

Test(fanout, many_ops_of_one_document_are_one_slice_a_member)
{
    join(&conns[0], 0);
    join(&conns[1], 0);
    for (uint64_t v = 1; v <= 4; v++)
        broadcast(0, v, NULL, 5);
    fanout_flush(&f);
    cr_assert_eq(conns[0].n_heard, 4);
    cr_assert_eq(n_sends, 2, "%u", n_sends);
}

Test(fanout, an_op_larger_than_a_slab_goes_out)
{
    join(&conns[0], 0);
    join(&conns[1], 0);
    broadcast(0, 1, &conns[1], 5);
    broadcast(0, 2, &conns[1], 3900);
    broadcast(0, 3, &conns[0], 5);
    fanout_flush(&f);
    compare(&conns[0]);
    compare(&conns[1]);
    cr_assert_eq(conns[0].n_heard, 3);
}

Test(fanout, who_joins_during_a_run_hears_only_what_comes_after)
{
    join(&conns[0], 0);
    broadcast(0, 1, NULL, 5);
    join(&conns[1], 0);
    broadcast(0, 2, NULL, 5);
    fanout_flush(&f);
    cr_assert_eq(conns[1].n_heard, 1);
    cr_assert_eq(conns[1].heard[0], 2);
    compare(&conns[0]);
}

Test(fanout, a_document_of_another_generation_is_another_document)
{
    join(&conns[0], 0);
    cr_assert_not_null(fanout_find(&f, 1, 0, 10));
    cr_assert_null(fanout_find(&f, 1, 0, 11));
    cr_assert_null(fanout_find(&f, 2, 0, 10));
    fanout_erase(&f, &conns[0].member);
    cr_assert_null(fanout_find(&f, 1, 0, 10));
    fanout_check(&f);
}

Test(fanout, a_connection_that_ends_while_it_is_sent_to_harms_nobody)
{
    for (unsigned i = 0; i < 6; i++)
        join(&conns[i], 0);
    for (uint64_t v = 1; v <= 6; v++)
        broadcast(0, v, &conns[v - 1], 5);
    conns[2].ends_at_next_send = true;
    conns[5].ends_at_next_send = true;
    fanout_flush(&f);
    fanout_check(&f);
    for (unsigned i = 0; i < 6; i++)
        compare(&conns[i]);
    cr_assert(conns[2].is_closed && conns[5].is_closed);
    cr_assert_eq(conns[0].n_heard, 6);
}

Test(fanout, random_use_agrees_with_sending_one_by_one)
{
    uint64_t versions[N_DOCS] = {0};
    unsigned n_ops = 0;
    srand(5);
    for (unsigned step = 0; step < 30000; step++) {
        struct conn *c = &conns[rand() % N_CONNS];
        uint32_t doc = (uint32_t)rand() % N_DOCS;
        unsigned what = (unsigned)rand() % 20;
        if (what == 0 && c->doc < 0) {
            join(c, doc);
        } else if (what == 1 && c->doc >= 0) {
            fanout_flush(&f);
            fanout_erase(&f, &c->member);
            c->doc = -1;
        } else if (what == 2) {
            fanout_flush(&f);
        } else if (what > 2) {
            struct conn *sender = c->doc == (int)doc && rand() % 2 ? c : NULL;
            size_t text = rand() % 50 ? 1 + (size_t)rand() % 60 : 1 + (size_t)rand() % 3000;
            broadcast(doc, ++versions[doc], sender, text);
            n_ops++;
        }
        fanout_check(&f);
    }
    fanout_flush(&f);
    for (unsigned i = 0; i < N_CONNS; i++)
        compare(&conns[i]);
    cr_assert_gt(n_ops, 20000);
    cr_assert_gt(n_slabs, 20, "slabs must have changed");
}

Test(fanout, the_table_survives_many_documents_coming_and_going)
{
    static struct fan_member members[3000];
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 3000; i++) {
            members[i] = (struct fan_member){.c = &conns[0]};
            cr_assert_eq(fanout_insert(&f, i % 7, i * 8, round, &members[i]), STATUS_OK);
        }
        fanout_check(&f);
        for (uint32_t i = 0; i < 3000; i += 2)
            fanout_erase(&f, &members[i]);
        fanout_check(&f);
        for (uint32_t i = 0; i < 3000; i++)
            cr_assert_eq(fanout_find(&f, i % 7, i * 8, round) != NULL, i % 2 == 1);
        for (uint32_t i = 1; i < 3000; i += 2)
            fanout_erase(&f, &members[i]);
    }
    fanout_check(&f);
    cr_assert_eq(f.n_docs, 0);
}
