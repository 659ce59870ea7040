/* The tables of a shard: clients of a document, sessions, the cache, deferred publishing. */
#include "sequencer/cache.h"
#include "sequencer/outbox.h"
#include "sequencer/session.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct pool pool;

static void setup(void)
{
    cr_assert_eq(pool_init(&pool, 64u << 20), STATUS_OK);
}

static void teardown(void)
{
    cr_assert_eq(pool.used_bytes, 0, "%lu bytes were not given back", pool.used_bytes);
    pool_fini(&pool);
}

TestSuite(documents, .init = setup, .fini = teardown);

static struct bytes name_of(char *buf, const char *prefix, unsigned i)
{
    return bytes_of(buf, (size_t)sprintf(buf, "%s%u", prefix, i));
}

Test(documents, clients_are_found_by_id_among_many)
{
    struct document *d = document_make(&pool, BYTES_LIT("t"), BYTES_LIT("doc"));
    char id[32], user[32];
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_null(document_find_client(d, name_of(id, "c", i)));
        struct client *c =
            document_add_client(d, &pool, name_of(id, "c", i), name_of(user, "u", i % 10));
        c->last_idx = i;
    }
    for (unsigned i = 0; i < 1000; i++) {
        struct client *c = document_find_client(d, name_of(id, "c", i));
        cr_assert_eq(c->last_idx, i);
        cr_assert(bytes_eq(client_user(c), name_of(user, "u", i % 10)));
    }
    document_erase_client(d, &pool, document_find_client(d, name_of(id, "c", 5)));
    cr_assert_null(document_find_client(d, name_of(id, "c", 5)));
    cr_assert_eq(d->n_clients, 999);
    document_free(d, &pool);
}

Test(documents, only_clients_that_the_view_has_and_nobody_needs_are_dropped)
{
    struct document *d = document_make(&pool, BYTES_LIT(""), BYTES_LIT("doc"));
    struct session session;
    char id[32];
    for (unsigned i = 0; i < 100; i++)
        document_add_client(d, &pool, name_of(id, "c", i), BYTES_LIT("u"))->last_idx = i;
    document_find_client(d, BYTES_LIT("c3"))->session = &session;
    document_find_client(d, BYTES_LIT("c4"))->n_pins = 1;
    cr_assert_eq(document_drop_clients(d, &pool, 49), 48);
    cr_assert(document_find_client(d, BYTES_LIT("c3")));
    cr_assert(document_find_client(d, BYTES_LIT("c4")));
    cr_assert(document_find_client(d, BYTES_LIT("c50")));
    cr_assert_null(document_find_client(d, BYTES_LIT("c49")));
    document_free(d, &pool);
}

Test(documents, a_client_keeps_the_hashes_of_its_last_message)
{
    struct document *d = document_make(&pool, BYTES_LIT(""), BYTES_LIT("doc"));
    struct client *c = document_add_client(d, &pool, BYTES_LIT("c"), BYTES_LIT("u"));
    uint64_t hashes[100];
    uint64_t seq = 1;
    srand(2);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t n = 1 + (uint32_t)rand() % (i % 3 ? 3 : 100);
        for (uint32_t k = 0; k < n; k++)
            hashes[k] = seq * 31 + k;
        cr_assert_eq(client_reserve(c, &pool, n), STATUS_OK);
        client_set_message(c, &pool, seq, seq + 7, hashes, n);
        cr_assert_eq(c->message_n, n);
        cr_assert_eq(memcmp(c->payload_hashes, hashes, n * sizeof *hashes), 0);
        seq += n;
    }
    document_free(d, &pool);
}

Test(documents, titles_roles_and_owners_are_replaced)
{
    struct document *d = document_make(&pool, BYTES_LIT("tenant"), BYTES_LIT("doc"));
    cr_assert_eq(document_set_owner(d, &pool, BYTES_LIT("ann")), STATUS_OK);
    cr_assert_eq(document_set_title(d, &pool, BYTES_LIT("first")), STATUS_OK);
    cr_assert_eq(document_set_title(d, &pool, BYTES_LIT("")), STATUS_OK);
    cr_assert_eq(document_title(d).n, 0);
    cr_assert_eq(document_set_title(d, &pool, BYTES_LIT("a longer one")), STATUS_OK);
    cr_assert_eq(document_set_roles(d, &pool, BYTES_LIT("\4\3ann"), 1), STATUS_OK);
    cr_assert(bytes_eq(document_title(d), BYTES_LIT("a longer one")));
    cr_assert(bytes_eq(document_owner(d), BYTES_LIT("ann")));
    cr_assert(bytes_eq(document_tenant(d), BYTES_LIT("tenant")));
    cr_assert(bytes_eq(document_id(d), BYTES_LIT("doc")));
    document_free(d, &pool);
}

/* ---- sessions ---- */

static const struct msg_identity ann = {
    .user = {(const uint8_t *)"ann", 3}, .n_groups = 1, .groups = {(const uint8_t *)"\5staff", 6}};

Test(documents, a_session_is_found_by_slot_generation_and_gateway_alone)
{
    struct session_table t;
    cr_assert_eq(session_table_open(&t, 4), STATUS_OK);
    struct session *s = session_take(&t, &pool, &ann);
    s->gateway = 1;
    cr_assert_eq(session_find(&t, 1, s->slot, s->gen), s);
    cr_assert_null(session_find(&t, 0, s->slot, s->gen));
    cr_assert_null(session_find(&t, 1, s->slot, s->gen + 1));
    cr_assert_null(session_find(&t, 1, s->slot + 1, s->gen));
    cr_assert_null(session_find(&t, 1, MSG_NO_SESSION, s->gen));
    uint32_t slot = s->slot, gen = s->gen;
    session_give(&t, &pool, s);
    cr_assert_null(session_find(&t, 1, slot, gen));
    s = session_take(&t, &pool, &ann);
    cr_assert_eq(s->slot, slot);
    cr_assert_neq(s->gen, gen);
    cr_assert(bytes_eq(s->id.user, BYTES_LIT("ann")) && s->id.n_groups == 1);
    session_give(&t, &pool, s);
    session_table_close(&t);
}

Test(documents, a_full_table_takes_no_session_until_one_goes)
{
    struct session_table t;
    struct session *s[4];
    cr_assert_eq(session_table_open(&t, 4), STATUS_OK);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(s[i] = session_take(&t, &pool, &ann));
    cr_assert_null(session_take(&t, &pool, &ann));
    session_give(&t, &pool, s[2]);
    cr_assert_eq(session_take(&t, &pool, &ann), s[2]);
    for (unsigned i = 0; i < 4; i++)
        session_give(&t, &pool, s[i]);
    session_table_close(&t);
}

Test(documents, sessions_hang_on_their_document_until_they_are_taken_off)
{
    struct session_table t;
    struct session *s[3];
    cr_assert_eq(session_table_open(&t, 4), STATUS_OK);
    struct document *d = document_make(&pool, BYTES_LIT(""), BYTES_LIT("doc"));
    struct client *c = document_add_client(d, &pool, BYTES_LIT("c"), BYTES_LIT("u"));
    for (unsigned i = 0; i < 3; i++) {
        s[i] = session_take(&t, &pool, &ann);
        session_attach(s[i], d, c);
    }
    cr_assert_eq(d->n_sessions, 3);
    session_detach(s[1]);
    cr_assert_eq(d->sessions, s[2]);
    cr_assert_eq(s[2]->next, s[0]);
    cr_assert_eq(c->session, s[2], "an older session of the client does not take its place");
    session_detach(s[2]);
    session_detach(s[0]);
    cr_assert_null(c->session);
    cr_assert_null(d->sessions);
    for (unsigned i = 0; i < 3; i++)
        session_give(&t, &pool, s[i]);
    document_free(d, &pool);
    session_table_close(&t);
}

/* ---- the cache ---- */

Test(documents, the_cache_finds_documents_by_tenant_and_id_and_knows_the_oldest)
{
    struct cache c;
    struct document *docs[100];
    char id[32];
    cr_assert_eq(cache_open(&c, 100), STATUS_OK);
    for (unsigned i = 0; i < 100; i++) {
        docs[i] =
            document_make(&pool, i % 2 ? BYTES_LIT("t") : BYTES_LIT(""), name_of(id, "d", i / 2));
        cr_assert(cache_insert(&c, docs[i]));
    }
    struct document *one_more = document_make(&pool, BYTES_LIT(""), BYTES_LIT("x"));
    cr_assert_not(cache_insert(&c, one_more), "full is full");
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(
            cache_find(&c, i % 2 ? BYTES_LIT("t") : BYTES_LIT(""), name_of(id, "d", i / 2)),
            docs[i]);
    cr_assert_null(cache_find(&c, BYTES_LIT("other"), BYTES_LIT("d1")));
    cr_assert_eq(c.oldest, docs[0]);
    cache_touch(&c, docs[0]);
    cr_assert_eq(c.oldest, docs[1]);
    cr_assert_eq(c.newest, docs[0]);
    uint32_t slot = docs[50]->slot, gen = docs[50]->gen;
    cache_erase(&c, docs[50]);
    cr_assert_null(cache_find(&c, BYTES_LIT(""), BYTES_LIT("d25")));
    cr_assert(cache_insert(&c, one_more));
    cr_assert(one_more->slot == slot && one_more->gen != gen, "a slot's next use is told apart");
    for (unsigned i = 0; i < 100; i++) {
        if (i != 50)
            cache_erase(&c, docs[i]);
        document_free(docs[i], &pool);
    }
    cache_erase(&c, one_more);
    document_free(one_more, &pool);
    cr_assert(c.n == 0 && !c.oldest && !c.newest);
    cache_close(&c);
}

/* ---- deferred publishing ---- */

static void put(struct link_end *e, uint64_t value)
{
    memcpy(ring_claim(&e->tx, 8), &value, 8);
    ring_commit(&e->tx, 1, 8);
}

static unsigned visible(struct link_end *e)
{
    struct ring_record r;
    unsigned n = 0;
    while (ring_peek(&e->rx, &r) == STATUS_OK) {
        ring_advance(&e->rx);
        n++;
    }
    ring_release(&e->rx);
    return n;
}

Test(documents, what_is_marked_is_visible_once_its_index_is_durable_and_not_before)
{
    struct link l;
    static struct outbox o;
    cr_assert_eq(link_open(&l, 65536, 65536, NULL, NULL), STATUS_OK);
    outbox_init(&o, &l.a);
    put(&l.a, 1);
    outbox_mark(&o, 5);
    put(&l.a, 2);
    put(&l.a, 3);
    outbox_mark(&o, 7);
    cr_assert_not(outbox_publish(&o, 4));
    cr_assert_eq(visible(&l.b), 0);
    cr_assert(outbox_publish(&o, 6));
    cr_assert_eq(visible(&l.b), 1);
    cr_assert_not(outbox_is_empty(&o));
    cr_assert(outbox_publish(&o, 7));
    cr_assert_eq(visible(&l.b), 2);
    cr_assert(outbox_is_empty(&o));
    put(&l.a, 4);
    cr_assert_not(outbox_is_empty(&o));
    link_close(&l);
}

Test(documents, more_marks_than_the_fifo_holds_come_late_but_never_early)
{
    struct link l;
    static struct outbox o;
    cr_assert_eq(link_open(&l, 65536, 65536, NULL, NULL), STATUS_OK);
    outbox_init(&o, &l.a);
    for (uint64_t i = 1; i <= 2 * OUTBOX_MARKS; i++) {
        put(&l.a, i);
        outbox_mark(&o, i);
    }
    outbox_publish(&o, OUTBOX_MARKS - 1);
    cr_assert_eq(visible(&l.b), OUTBOX_MARKS - 1);
    cr_assert_not(outbox_publish(&o, 2 * OUTBOX_MARKS - 1));
    cr_assert(outbox_publish(&o, 2 * OUTBOX_MARKS));
    cr_assert_eq(visible(&l.b), OUTBOX_MARKS + 1);
    link_close(&l);
}
