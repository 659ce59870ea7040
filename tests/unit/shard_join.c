/* Connecting through a whole shard: welcome, catch-up, replacement, roles, presence. */
#include "tests/support/shard_rig.h"

static void give_role(const char *who, uint8_t role)
{
    rig_send_call(0, &(struct rig_call){.type = MSG_DOC_ROLE,
                                        .tag = 1,
                                        .user = "ann",
                                        .doc = "d",
                                        .arg8 = role,
                                        .more = {bytes_str(who)}});
    rig_run();
}

static void init(void)
{
    rig_init();
    rig_forget();
    rig_create("ann", "d", DOC_TEXT, rig_insert(0, "hello"));
    give_role("bob", DOC_ROLE_EDITOR);
    rig_forget();
}

TestSuite(shard_join, .init = init, .fini = rig_fini, .timeout = 60);

static struct rig_join ann_joins = {.g = 0, .tag = 11, .user = "ann", .doc = "d", .client = "ca"};
static struct rig_join bob_joins = {.g = 1, .tag = 12, .user = "bob", .doc = "d", .client = "cb"};

static void send_op(unsigned g, struct msg_head head, uint64_t base, uint64_t seq, struct bytes op)
{
    rig_send_ops(&(struct rig_ops){
        .g = g, .head = head, .base = base, .ops = &(struct rig_op){seq, op}, .n = 1});
}

static void send_head(unsigned g, uint16_t type, struct msg_head head)
{
    struct writer w = writer_of(rig_buf, 64);
    msg_write_struct(&w, &head);
    rig_send(g, type, &w);
}

Test(shard_join, a_newcomer_gets_the_content_and_is_live)
{
    struct rig_joined *j = rig_joins(&ann_joins);
    cr_assert_eq(j->h.head.tag, 11);
    cr_assert(j->h.version == 0 && j->h.flags == MSG_JOINED_CONTENT && j->h.last_seq == 0);
    cr_assert(j->h.role == DOC_ROLE_OWNER && j->h.doc_type == DOC_TEXT && j->h.n_presence == 0);
    cr_assert_str_eq(j->content, "hello");
    cr_assert_str_eq(j->client, "ca");
    struct msg_head bob = rig_joins(&bob_joins)->h.head;
    send_op(1, bob, 0, 1, rig_insert(0, "x"));
    rig_run();
    rig_expect(0, MSG_RELEASED);
}

Test(shard_join, who_has_no_role_finds_no_document)
{
    struct rig_join eve = {.g = 0, .tag = 5, .user = "eve", .doc = "d", .client = "ce"};
    rig_send_join(&eve);
    eve.doc = "none";
    rig_send_join(&eve);
    rig_run();
    cr_assert_eq(rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND).head.tag, 5);
    rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND);
}

Test(shard_join, a_client_id_is_claimed_at_the_first_handshake_also_over_a_restart)
{
    rig_joins(&ann_joins);
    struct rig_join thief = bob_joins;
    thief.client = "ca";
    rig_send_join(&thief);
    rig_run();
    rig_expect_error(1, MSG_FAIL, STATUS_FORBIDDEN);
    rig_restart();
    rig_run();
    rig_forget();
    rig_send_join(&thief);
    rig_run();
    rig_expect_error(1, MSG_FAIL, STATUS_FORBIDDEN);
    rig_joins(&ann_joins);
}

Test(shard_join, a_newer_connection_of_a_client_replaces_the_older)
{
    struct msg_head old = rig_joins(&ann_joins)->h.head;
    struct rig_join again = ann_joins;
    again.g = 1;
    again.tag = 99;
    struct msg_head now = rig_joins(&again)->h.head;
    struct reader r = rig_expect(0, MSG_CLOSE);
    struct msg_session_note note;
    msg_read_struct(&r, &note);
    cr_assert(note.arg == 4409 && note.head.tag == 11);
    send_op(0, old, 0, 1, rig_insert(0, "old"));
    send_op(1, now, 0, 1, rig_insert(0, "new "));
    rig_run();
    rig_expect_silence(0);
    rig_expect(1, MSG_RELEASED);
    cr_assert_str_eq(rig_get("ann", "d", DOC_AT_NOW, 0)->content, "new hello");
}

Test(shard_join, messages_of_no_shape_are_refused)
{
    for (size_t n = 0; n < 60; n += 4) {
        struct writer w = writer_of(rig_buf, 64);
        for (size_t i = 0; i < n; i++)
            write_u8(&w, 0xee);
        rig_send(0, MSG_JOIN, &w);
        rig_send(0, MSG_IDENTITY, &w);
        rig_send(0, MSG_PRESENCE, &w);
        rig_send(0, MSG_CREDIT, &w);
        rig_send(0, MSG_DOC_GET, &w);
        rig_send(0, MSG_DOC_LIST, &w);
        rig_send(0, MSG_DOC_CREATE, &w);
        rig_send(0, MSG_DOC_HISTORY, &w);
    }
    rig_run();
    for (const struct rig_msg *m; (m = rig_next(0)) != NULL;)
        cr_assert_eq(m->type, MSG_FAIL);
}

/* ---- catching up ---- */

static uint64_t hash_at(uint64_t version)
{
    uint64_t h = rig_get("ann", "d", DOC_AT_VERSION, version)->h.hash;
    return h;
}

static void write_ops(struct msg_head head, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        send_op(0, head, i, i + 1, rig_insert(0, i % 2 ? "x" : "y"));
        if (i % 64 == 63)
            rig_run();
    }
    rig_run();
    rig_forget();
}

/* Reads catch-up until SYNCED, giving credits; checks that versions are without a gap. */
static void expect_catchup(unsigned g, uint64_t from, uint64_t to, struct msg_head head)
{
    uint64_t next = from;
    for (;;) {
        const struct rig_msg *m = rig_next(g);
        cr_assert(m, "silence at %lu", next);
        struct reader r = reader_of(bytes_of(m->p, m->n));
        if (m->type == MSG_SYNCED) {
            struct msg_synced s;
            msg_read_struct(&r, &s);
            cr_assert_eq(s.version, to);
            break;
        }
        cr_assert_eq(m->type, MSG_CATCHUP);
        cr_assert_lt(m->n, (256u << 10) + 4096);
        struct msg_catchup c;
        msg_read_struct(&r, &c);
        cr_assert_eq(c.first_version, next);
        for (uint32_t i = 0; i < c.n_ops; i++) {
            struct msg_op_out op;
            for (unsigned k = 0; k < 3; k++)
                (void)read_str(&r);
            msg_read_struct(&r, &op);
            (void)read_bytes(&r, op.op_bytes);
            cr_assert_eq(op.version, next++);
        }
        cr_assert(r.ok && reader_left(&r) == 0);
        send_head(g, MSG_CREDIT, head);
        rig_run();
    }
    cr_assert_eq(next, to + 1);
    rig_expect_silence(g);
}

Test(shard_join, who_names_his_version_gets_what_came_since_and_then_is_live)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    write_ops(ann, 100);
    struct rig_join back = bob_joins;
    back.flags = MSG_JOIN_VERSION | MSG_JOIN_HASH;
    back.version = 40;
    back.hash = hash_at(40);
    struct rig_joined *j = rig_joins(&back);
    cr_assert(j->h.flags == 0 && j->h.version == 100);
    struct msg_head bob = j->h.head;
    expect_catchup(1, 41, 100, bob);
    send_op(1, bob, 100, 1, rig_insert(0, "b"));
    rig_run();
    cr_assert_eq(rig_read_released(rig_expect(1, MSG_RELEASED))->h.tag, 12);
}

Test(shard_join, at_the_newest_version_nothing_is_missing)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    write_ops(ann, 3);
    struct rig_join back = bob_joins;
    back.flags = MSG_JOIN_VERSION;
    back.version = 3;
    struct msg_head bob = rig_joins(&back)->h.head;
    expect_catchup(1, 4, 3, bob);
}

Test(shard_join, a_version_ahead_or_another_history_starts_over_from_content)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    write_ops(ann, 10);
    struct rig_join back = bob_joins;
    back.flags = MSG_JOIN_VERSION;
    back.version = 11;
    struct rig_joined *j = rig_joins(&back);
    cr_assert_eq(j->h.flags, MSG_JOINED_CONTENT | MSG_JOINED_RESET);
    rig_forget();
    back.flags |= MSG_JOIN_HASH;
    for (uint64_t v = 0; v <= 10; v += 5) {
        back.version = v;
        back.hash = hash_at(v) ^ 1;
        rig_send_join(&back);
        rig_run();
        rig_expect(1, MSG_CLOSE);
        j = rig_read_joined(rig_expect(1, MSG_JOINED));
        cr_assert_eq(j->h.flags, MSG_JOINED_CONTENT | MSG_JOINED_RESET, "version %lu", v);
    }
}

Test(shard_join, the_hash_is_known_at_every_version_also_of_a_cold_document)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    write_ops(ann, 10);
    rig_restart();
    rig_run();
    rig_forget();
    struct rig_join back = bob_joins;
    back.flags = MSG_JOIN_VERSION | MSG_JOIN_HASH;
    for (uint64_t v = 0; v <= 10; v++) {
        back.version = v;
        back.hash = hash_at(v);
        rig_send_join(&back);
        rig_run();
        if (v > 0)
            rig_expect(1, MSG_CLOSE);
        struct rig_joined *j = rig_read_joined(rig_expect(1, MSG_JOINED));
        cr_assert_eq(j->h.flags, 0, "version %lu", v);
        expect_catchup(1, v + 1, 10, j->h.head);
    }
}

Test(shard_join, a_long_way_back_comes_in_chunks_that_wait_for_credit)
{
    rig.options.window_bytes = 64u << 10;
    rig_restart();
    rig_run();
    rig_forget();
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    write_ops(ann, 12000);
    struct rig_join back = bob_joins;
    back.flags = MSG_JOIN_VERSION;
    struct msg_head bob = rig_joins(&back)->h.head;
    rig_run();
    cr_assert_eq(rig.in[1].n, 1, "one chunk, and no more without a credit: %u", rig.in[1].n);
    send_op(1, bob, 12000, 1, rig_insert(0, "mine")); /* waits until it is live */
    send_op(0, ann, 12000, 12001, rig_insert(0, "z"));
    rig_poll_for(200);
    cr_assert_eq(rig.in[1].n, 1);
    uint64_t next = 1;
    for (;;) {
        const struct rig_msg *m = rig_next(1);
        cr_assert(m);
        if (m->type == MSG_SYNCED)
            break;
        struct reader r = reader_of(bytes_of(m->p, m->n));
        struct msg_catchup c;
        msg_read_struct(&r, &c);
        cr_assert_eq(c.first_version, next);
        next += c.n_ops;
        send_head(1, MSG_CREDIT, bob);
        for (unsigned i = 0; i < 1000 && rig.in[1].n == 0; i++)
            rig_poll_for(1);
    }
    cr_assert_eq(next, 12002);
    rig_run();
    struct rig_released *r = rig_read_released(rig_expect(1, MSG_RELEASED));
    cr_assert(r->h.tag == 12 && r->h.first_version == 12002);
}

/* 160 bytes each on average, with what goes around them. */
static void write_large_ops(struct msg_head head, uint64_t n)
{
    char text[200];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    for (uint64_t i = 0; i < n; i++) {
        send_op(0, head, i, i + 1, i % 2 ? rig_delete(0, 150) : rig_insert(0, text));
        if (i % 64 == 63)
            rig_run();
    }
    rig_run();
    rig_forget();
}

Test(shard_join, what_the_window_holds_is_cut_into_chunks_too)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    write_large_ops(ann, 3000);
    struct rig_join back = bob_joins;
    back.flags = MSG_JOIN_VERSION;
    struct msg_head bob = rig_joins(&back)->h.head;
    cr_assert_eq(rig.in[1].n, 1, "one chunk, and no more without a credit");
    expect_catchup(1, 1, 3000, bob);
}

Test(shard_join, a_credit_too_many_changes_nothing)
{
    rig.options.window_bytes = 64u << 10;
    rig_restart();
    rig_run();
    rig_forget();
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    write_large_ops(ann, 8000);
    struct rig_join back = bob_joins;
    back.flags = MSG_JOIN_VERSION;
    struct msg_head bob = rig_joins(&back)->h.head;
    for (unsigned i = 0; i < 5; i++)
        send_head(1, MSG_CREDIT, bob);
    rig_run();
    uint64_t next = 1;
    for (const struct rig_msg *m; (m = rig_next(1)) && m->type == MSG_CATCHUP;) {
        struct reader r = reader_of(bytes_of(m->p, m->n));
        struct msg_catchup c;
        msg_read_struct(&r, &c);
        cr_assert_eq(c.first_version, next);
        next += c.n_ops;
    }
    cr_assert_gt(next, 1);
}

/* ---- roles ---- */

static uint32_t expect_note(unsigned g, uint16_t type, uint64_t tag)
{
    struct reader r = rig_expect(g, type);
    struct msg_session_note note;
    msg_read_struct(&r, &note);
    cr_assert_eq(note.head.tag, tag);
    return note.arg;
}

Test(shard_join, a_change_of_role_reaches_open_connections_at_once)
{
    rig_joins(&ann_joins);
    struct msg_head bob = rig_joins(&bob_joins)->h.head;
    give_role("bob", DOC_ROLE_VIEWER);
    cr_assert_eq(expect_note(1, MSG_ACCESS_OUT, 12), DOC_ROLE_VIEWER);
    send_op(1, bob, 0, 1, rig_insert(0, "x"));
    rig_run();
    rig_expect_error(1, MSG_ERROR, STATUS_FORBIDDEN);
    give_role("group:staff", DOC_ROLE_EDITOR);
    rig_expect_silence(1);
    struct writer w = writer_of(rig_buf, 4096);
    msg_write_struct(&w, &bob);
    rig_write_identity(&w, "bob", "staff"); /* a renewed token, with a group */
    rig_send(1, MSG_IDENTITY, &w);
    rig_run();
    cr_assert_eq(expect_note(1, MSG_ACCESS_OUT, 12), DOC_ROLE_EDITOR);
    give_role("bob", DOC_ROLE_NONE);
    rig_expect_silence(1);
    give_role("group:staff", DOC_ROLE_NONE);
    cr_assert_eq(expect_note(1, MSG_CLOSE, 12), 4403);
    rig_send_join(&bob_joins);
    rig_run();
    rig_expect_error(1, MSG_FAIL, STATUS_NOT_FOUND);
}

Test(shard_join, a_token_of_another_user_is_refused)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    struct writer w = writer_of(rig_buf, 4096);
    msg_write_struct(&w, &ann);
    rig_write_identity(&w, "bob", NULL);
    rig_send(0, MSG_IDENTITY, &w);
    rig_run();
    rig_expect_error(0, MSG_ERROR, STATUS_FORBIDDEN);
}

Test(shard_join, deleting_closes_all_and_restoring_lets_them_in_again)
{
    rig_joins(&ann_joins);
    rig_joins(&bob_joins);
    struct rig_call call = {.type = MSG_DOC_DELETE, .tag = 3, .user = "bob", .doc = "d"};
    rig_send_call(0, &call);
    rig_run();
    rig_expect_error(0, MSG_FAIL, STATUS_FORBIDDEN);
    call.user = "ann";
    rig_send_call(0, &call);
    rig_run();
    cr_assert_eq(expect_note(0, MSG_CLOSE, 11), 4404);
    rig_expect(0, MSG_DONE);
    cr_assert_eq(expect_note(1, MSG_CLOSE, 12), 4404);
    rig_send_join(&bob_joins);
    call.user = "eve";
    rig_send_call(0, &call);
    rig_run();
    rig_expect_error(1, MSG_FAIL, STATUS_GONE);
    rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND);
    call.type = MSG_DOC_RESTORE;
    call.user = "ann";
    rig_send_call(0, &call);
    rig_run();
    rig_expect(0, MSG_DONE);
    cr_assert_str_eq(rig_joins(&bob_joins)->content, "hello");
}

/* ---- presence ---- */

struct cursor {
    struct msg_doc_note h;
    struct msg_presence_entry e;
    char user[64];
};

static struct cursor expect_cursor(unsigned g)
{
    struct reader r = rig_expect(g, MSG_PRESENCE_OUT);
    struct cursor c;
    msg_read_struct(&r, &c.h);
    msg_read_struct(&r, &c.e);
    struct bytes user = read_str(&r);
    snprintf(c.user, sizeof c.user, "%.*s", (int)user.n, (const char *)user.p);
    cr_assert(r.ok);
    return c;
}

static void show(unsigned g, struct msg_head head, uint64_t at, uint64_t version)
{
    struct msg_presence h = {.head = head,
                             .version = version,
                             .cursor_u16 = at,
                             .anchor_u16 = at,
                             .head_u16 = at + 1,
                             .flags = MSG_PRESENCE_VERSION | MSG_PRESENCE_SELECTION};
    struct writer w = writer_of(rig_buf, 4096);
    msg_write_struct(&w, &h);
    rig_send(g, MSG_PRESENCE, &w);
}

Test(shard_join, cursors_are_told_once_a_tick_at_the_newest_version)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    rig_joins(&bob_joins);
    show(0, ann, 1, 0);
    rig_run();
    struct cursor c = expect_cursor(1);
    cr_assert(c.h.n == 1 && c.e.cursor_u16 == 1 && c.e.version == 0 && c.e.tag == 11);
    cr_assert(c.e.gateway == 0 && c.e.flags == MSG_PRESENCE_SELECTION);
    cr_assert_str_eq(c.user, "ann");
    expect_cursor(0);
    show(0, ann, 2, 0);
    rig_run();
    show(0, ann, 3, 0);
    rig_run();
    send_op(0, ann, 0, 1, rig_insert(0, "ab"));
    rig_run();
    rig_expect(1, MSG_RELEASED);
    rig_expect_silence(1);
    rig_pass_ms(60);
    c = expect_cursor(1);
    cr_assert(c.e.cursor_u16 == 5 && c.e.head_u16 == 6 && c.e.version == 1);
    rig_expect_silence(1);
}

Test(shard_join, a_joiner_learns_who_has_shown_a_cursor_carried_to_its_version)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    show(0, ann, 5, 0);
    send_op(0, ann, 0, 1, rig_insert(2, "--"));
    rig_run();
    struct rig_joined *j = rig_joins(&bob_joins);
    cr_assert_eq(j->h.n_presence, 1);
    cr_assert(j->entry[0].cursor_u16 == 7 && j->entry[0].version == 1 && j->entry[0].tag == 11);
}

Test(shard_join, who_had_shown_a_cursor_leaves_it_behind_when_he_goes)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    struct msg_head bob = rig_joins(&bob_joins)->h.head;
    show(0, ann, 1, 0);
    rig_pass_ms(60);
    rig_forget();
    send_head(1, MSG_LEAVE, bob);
    rig_run();
    rig_expect_silence(0);
    bob = rig_joins(&bob_joins)->h.head;
    send_head(0, MSG_LEAVE, ann);
    rig_run();
    struct cursor c = expect_cursor(1);
    cr_assert(c.e.flags & MSG_PRESENCE_LEAVE);
    cr_assert(c.e.tag == 11 && c.e.gateway == 0);
    rig_expect_silence(0);
}

Test(shard_join, a_cursor_beyond_the_end_is_kept_inside)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    show(0, ann, 1000, 0);
    rig_run();
    cr_assert_eq(expect_cursor(0).e.cursor_u16, 5);
    show(0, ann, 3, 77); /* a version that is not there yet */
    rig_pass_ms(60);
    cr_assert_eq(expect_cursor(0).e.version, 0);
}

Test(shard_join, an_idle_shard_asks_for_no_wakeup)
{
    struct msg_head ann = rig_joins(&ann_joins)->h.head;
    show(0, ann, 1, 0);
    send_op(0, ann, 0, 1, rig_insert(2, "--"));
    rig_run();
    rig_pass_ms(200);
    rig_pass_ms(200);
    cr_assert_eq(rig.roles[0].deadline_ns(rig.roles[0].self), UINT64_MAX);
}
