/* What HTTP asks, through a whole shard; cold documents; memory. */
#include "tests/support/shard_rig.h"

static void init(void)
{
    rig_init();
    rig_forget();
    rig_create("ann", "d", DOC_TEXT, rig_insert(0, "hello"));
}

TestSuite(shard_calls, .init = init, .fini = rig_fini, .timeout = 60);

static void call(const struct rig_call *c)
{
    rig_send_call(0, c);
    rig_run();
}

static void give_role(const char *by, const char *who, uint8_t role)
{
    call(&(struct rig_call){.type = MSG_DOC_ROLE,
                            .tag = 1,
                            .user = by,
                            .doc = "d",
                            .arg8 = role,
                            .more = {bytes_str(who)}});
}

static void write_op(uint64_t base, uint64_t seq, struct bytes op)
{
    rig_send_ops(&(struct rig_ops){.g = 0,
                                   .head = {.tag = 9, .session = MSG_NO_SESSION},
                                   .base = base,
                                   .ops = &(struct rig_op){seq, op},
                                   .n = 1,
                                   .user = "ann",
                                   .doc = "d",
                                   .client = "http"});
    rig_run();
    cr_assert_eq(rig_read_acks(rig_expect(0, MSG_ACKS))->h.status, STATUS_OK);
}

Test(shard_calls, an_id_is_taken_once_also_after_a_restart_and_for_strangers)
{
    struct rig_call again = {.type = MSG_DOC_CREATE,
                             .tag = 4,
                             .user = "eve",
                             .doc = "d",
                             .more = {BYTES_LIT("t"), BYTES_LIT("")}};
    call(&again);
    rig_expect_error(0, MSG_FAIL, STATUS_EXISTS);
    rig_restart();
    rig_run();
    rig_forget();
    call(&again);
    rig_expect_error(0, MSG_FAIL, STATUS_EXISTS);
    again.doc = "other";
    call(&again);
    rig_expect(0, MSG_DOC);
    again.doc = "d";
    call(&again);
    rig_expect_error(0, MSG_FAIL, STATUS_EXISTS);
}

Test(shard_calls, two_creations_of_one_id_at_once_make_one)
{
    struct rig_call one = {.type = MSG_DOC_CREATE,
                           .tag = 4,
                           .user = "eve",
                           .doc = "twice",
                           .more = {BYTES_LIT("t"), BYTES_LIT("")}};
    rig_send_call(0, &one);
    rig_send_call(0, &one);
    call(&(struct rig_call){.type = MSG_DOC_GET, .tag = 6, .user = "eve", .doc = "twice"});
    rig_expect(0, MSG_DOC);
    rig_expect_error(0, MSG_FAIL, STATUS_EXISTS);
    rig_expect(0, MSG_DOC);
}

Test(shard_calls, content_that_is_none_or_too_much_makes_no_document)
{
    struct rig_call bad = {.type = MSG_DOC_CREATE,
                           .tag = 4,
                           .user = "eve",
                           .doc = "x",
                           .more = {BYTES_LIT("t"), rig_delete(0, 3)}};
    call(&bad);
    rig_expect_error(0, MSG_FAIL, STATUS_OP_INVALID);
    rig.options.document_units_max = 4;
    rig_restart();
    rig_run();
    rig_forget();
    bad.more[1] = rig_insert(0, "01234");
    call(&bad);
    rig_expect_error(0, MSG_FAIL, STATUS_TOO_LARGE);
    call(&(struct rig_call){.type = MSG_DOC_GET, .tag = 6, .user = "eve", .doc = "x"});
    rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND);
    cr_assert_str_eq(rig_get("ann", "d", DOC_AT_NOW, 0)->content, "hello",
                     "what is stored stays readable under a lower limit");
}

Test(shard_calls, a_document_shows_who_it_is)
{
    give_role("ann", "group:staff", DOC_ROLE_VIEWER);
    rig_expect(0, MSG_DONE);
    struct rig_doc *d = rig_get("ann", "d", DOC_AT_NOW, 0);
    cr_assert(d->h.version == 0 && d->h.role == DOC_ROLE_OWNER && d->h.n_roles == 2);
    cr_assert(d->h.has_content && d->h.doc_type == DOC_TEXT);
    cr_assert_str_eq(d->title, "title");
    cr_assert_str_eq(d->owner, "ann");
    cr_assert_eq(d->h.hash, record_hash_create(DOC_TEXT, rig_insert(0, "hello")));
    call(&(struct rig_call){
        .type = MSG_DOC_GET, .tag = 6, .user = "eve", .group = "staff", .doc = "d"});
    cr_assert_eq(rig_read_doc(rig_expect(0, MSG_DOC))->h.role, DOC_ROLE_VIEWER);
    call(&(struct rig_call){.type = MSG_DOC_GET, .tag = 6, .user = "eve", .doc = "d"});
    rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND);
}

Test(shard_calls, a_document_is_shown_as_it_was_at_a_version_or_a_time)
{
    uint64_t made = rig_unix_ms, hash[4];
    const char *text[] = {"hello", "1hello", "21hello", "321hello"};
    hash[0] = rig_get("ann", "d", DOC_AT_NOW, 0)->h.hash;
    for (uint64_t i = 0; i < 3; i++) {
        rig_unix_ms += 1000;
        char c[2] = {(char)('1' + i), 0};
        write_op(i, i + 1, rig_insert(0, c));
        hash[i + 1] = rig_get("ann", "d", DOC_AT_NOW, 0)->h.hash;
    }
    for (uint64_t v = 0; v <= 3; v++) {
        struct rig_doc *d = rig_get("ann", "d", DOC_AT_VERSION, v);
        cr_assert(d->h.version == v && d->h.hash == hash[v]);
        cr_assert_str_eq(d->content, text[v]);
        d = rig_get("ann", "d", DOC_AT_TIME, made + v * 1000 + 500);
        cr_assert_eq(d->h.version, v);
        cr_assert_str_eq(d->content, text[v]);
    }
    struct rig_call bad = {.type = MSG_DOC_GET,
                           .tag = 6,
                           .user = "ann",
                           .doc = "d",
                           .arg8 = DOC_AT_VERSION,
                           .arg64 = 4};
    call(&bad);
    rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND);
    bad.arg8 = DOC_AT_TIME;
    bad.arg64 = made - 1;
    call(&bad);
    rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND);
}

Test(shard_calls, the_last_owner_stays)
{
    give_role("ann", "ann", DOC_ROLE_NONE);
    rig_expect_error(0, MSG_FAIL, STATUS_LAST_OWNER);
    give_role("ann", "bob", DOC_ROLE_OWNER);
    rig_expect(0, MSG_DONE);
    give_role("ann", "ann", DOC_ROLE_NONE);
    rig_expect(0, MSG_DONE);
    give_role("ann", "bob", DOC_ROLE_VIEWER);
    rig_expect_error(0, MSG_FAIL, STATUS_NOT_FOUND);
    rig_restart();
    rig_run();
    rig_forget();
    give_role("bob", "bob", DOC_ROLE_EDITOR);
    rig_expect_error(0, MSG_FAIL, STATUS_LAST_OWNER);
    cr_assert_eq(rig_get("bob", "d", DOC_AT_NOW, 0)->h.n_roles, 1);
}

Test(shard_calls, a_title_is_changed_by_editors_and_told_to_all)
{
    rig_joins(&(struct rig_join){.g = 1, .tag = 12, .user = "ann", .doc = "d", .client = "c"});
    give_role("ann", "bob", DOC_ROLE_COMMENTER);
    rig_expect(0, MSG_DONE);
    struct rig_call title = {
        .type = MSG_DOC_TITLE, .tag = 2, .user = "bob", .doc = "d", .more = {BYTES_LIT("new")}};
    call(&title);
    rig_expect_error(0, MSG_FAIL, STATUS_FORBIDDEN);
    title.user = "ann";
    call(&title);
    rig_expect(0, MSG_DONE);
    struct reader r = rig_expect(1, MSG_TITLE_OUT);
    struct msg_doc_note note;
    msg_read_struct(&r, &note);
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("new")));
    rig_restart();
    rig_run();
    rig_forget();
    cr_assert_str_eq(rig_get("ann", "d", DOC_AT_NOW, 0)->title, "new");
}

Test(shard_calls, the_trash_gives_back_for_a_time_only)
{
    struct rig_call c = {.type = MSG_DOC_DELETE, .tag = 2, .user = "ann", .doc = "d"};
    call(&c);
    rig_expect(0, MSG_DONE);
    call(&c);
    rig_expect_error(0, MSG_FAIL, STATUS_GONE);
    rig_restart();
    rig_run();
    rig_forget();
    c.type = MSG_DOC_GET;
    call(&c);
    rig_expect_error(0, MSG_FAIL, STATUS_GONE);
    c.type = MSG_DOC_RESTORE;
    call(&c);
    rig_expect(0, MSG_DONE);
    c.type = MSG_DOC_DELETE;
    call(&c);
    rig_expect(0, MSG_DONE);
    rig_unix_ms += 31ull * 24 * 3600 * 1000;
    c.type = MSG_DOC_RESTORE;
    call(&c);
    rig_expect_error(0, MSG_FAIL, STATUS_GONE);
}

/* ---- lists ---- */

struct page {
    struct msg_items h;
    char id[16][LIMIT_DOC_ID_BYTES + 1];
    uint64_t modified[16];
};

static struct page *list(const char *user, const char *group, uint32_t limit, uint64_t before,
                         const char *id)
{
    static struct page p;
    call(&(struct rig_call){.type = MSG_DOC_LIST,
                            .tag = 8,
                            .user = user,
                            .group = group,
                            .doc = id,
                            .arg32 = limit,
                            .arg64 = before});
    struct reader r = rig_expect(0, MSG_DOC_ITEMS);
    msg_read_struct(&r, &p.h);
    cr_assert(p.h.n <= 16 && p.h.head.tag == 8);
    for (uint32_t i = 0; i < p.h.n; i++) {
        struct msg_doc d;
        msg_read_struct(&r, &d);
        struct bytes doc_id = read_str(&r);
        (void)read_str(&r);
        (void)read_str(&r);
        snprintf(p.id[i], sizeof p.id[i], "%.*s", (int)doc_id.n, (const char *)doc_id.p);
        p.modified[i] = d.modified_ms;
    }
    cr_assert(r.ok && reader_left(&r) == 0);
    return &p;
}

Test(shard_calls, lists_show_ones_documents_newest_change_first_page_by_page)
{
    char id[16];
    for (unsigned i = 0; i < 8; i++) {
        rig_unix_ms += i % 2;
        snprintf(id, sizeof id, "m%u", i);
        rig_create("ann", id, DOC_TEXT, BYTES_LIT(""));
        snprintf(id, sizeof id, "e%u", i);
        rig_create("eve", id, DOC_TEXT, BYTES_LIT(""));
    }
    give_role("ann", "group:staff", DOC_ROLE_VIEWER);
    rig_expect(0, MSG_DONE);
    rig_unix_ms += 10;
    write_op(0, 1, rig_insert(0, "x"));
    struct page *p = list("ann", NULL, 16, UINT64_MAX, "");
    cr_assert(p->h.n == 9 && p->h.more == 0);
    cr_assert_str_eq(p->id[0], "d");
    char seen[16][LIMIT_DOC_ID_BYTES + 1];
    memcpy(seen, p->id, sizeof seen);
    uint64_t before = UINT64_MAX;
    char cursor[LIMIT_DOC_ID_BYTES + 1] = "";
    for (unsigned i = 0; i < 9; i += p->h.n) {
        p = list("ann", "staff", 4, before, cursor);
        cr_assert_eq(p->h.n, i < 8 ? 4 : 1);
        cr_assert_eq(p->h.more, i < 5 ? 1 : 0);
        for (unsigned k = 0; k < p->h.n; k++)
            cr_assert_str_eq(p->id[k], seen[i + k]);
        before = p->modified[p->h.n - 1];
        snprintf(cursor, sizeof cursor, "%s", p->id[p->h.n - 1]);
    }
    p = list("zoe", "staff", 16, UINT64_MAX, "");
    cr_assert(p->h.n == 1 && strcmp(p->id[0], "d") == 0);
    cr_assert_eq(list("zoe", NULL, 16, UINT64_MAX, "")->h.n, 0);
    call(&(struct rig_call){.type = MSG_DOC_DELETE, .tag = 2, .user = "ann", .doc = "m3"});
    rig_expect(0, MSG_DONE);
    cr_assert_eq(list("ann", NULL, 16, UINT64_MAX, "")->h.n, 8);
}

Test(shard_calls, history_gives_versions_in_order_within_its_bounds)
{
    for (uint64_t i = 0; i < 20; i++)
        write_op(i, i + 1, rig_insert(0, "x"));
    struct {
        uint64_t from, to, first;
        uint32_t limit, n, more;
    } cases[] = {{1, 20, 1, 50, 20, 0}, {0, UINT64_MAX, 1, 50, 20, 0}, {5, 9, 5, 50, 5, 0},
                 {5, 20, 5, 4, 4, 1},   {17, 20, 17, 4, 4, 0},         {21, 30, 0, 4, 0, 0}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        call(&(struct rig_call){.type = MSG_DOC_HISTORY,
                                .tag = 8,
                                .user = "ann",
                                .doc = "d",
                                .arg32 = cases[i].limit,
                                .arg64 = cases[i].from,
                                .arg64b = cases[i].to});
        struct reader r = rig_expect(0, MSG_HISTORY_ITEMS);
        struct msg_items h;
        msg_read_struct(&r, &h);
        cr_assert(h.n == cases[i].n && h.more == cases[i].more, "case %u: %u, %u", i, h.n, h.more);
        for (uint32_t k = 0; k < h.n; k++) {
            struct msg_op_out op;
            cr_assert(bytes_eq(read_str(&r), BYTES_LIT("ann")));
            cr_assert(bytes_eq(read_str(&r), BYTES_LIT("http")));
            (void)read_str(&r);
            msg_read_struct(&r, &op);
            (void)read_bytes(&r, op.op_bytes);
            cr_assert(op.version == cases[i].first + k && op.seq == op.version);
        }
        cr_assert(r.ok && reader_left(&r) == 0);
    }
}

/* ---- memory and cold documents ---- */

static char *long_text(char c, size_t n)
{
    static char text[70000];
    memset(text, c, n);
    text[n] = 0;
    return text;
}

static struct bytes long_content(char c, size_t n)
{
    static uint8_t buf[80000];
    struct op_writer w;
    struct bytes op;
    op_writer_init(&w, buf, sizeof buf);
    op_push_insert(&w, bytes_of(long_text(c, n), n), n, (struct bytes){0});
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    return op;
}

Test(shard_calls, more_documents_than_memory_holds_are_all_there)
{
    char id[16];
    rig.options.memory_bytes = 16u << 20;
    rig_restart();
    rig_run();
    rig_forget();
    for (unsigned i = 0; i < 600; i++) { /* 36 MB of text */
        snprintf(id, sizeof id, "big%u", i);
        rig_create("ann", id, DOC_TEXT, long_content((char)('a' + i % 26), 60000));
    }
    for (unsigned i = 0; i < 600; i += 7) {
        snprintf(id, sizeof id, "big%u", i);
        struct rig_doc *d = rig_get("ann", id, DOC_AT_NOW, 0);
        cr_assert_eq(strlen(d->content), 60000);
        cr_assert_eq(d->content[59999], (char)('a' + i % 26));
    }
}

Test(shard_calls, no_document_leaves_memory_before_the_view_has_it)
{
    char id[32];
    static bool made[600];
    unsigned n_made = 0;
    rig.options.memory_bytes = 16u << 20;
    rig_restart();
    rig_run();
    rig_forget();
    rig.archive_stopped = true;
    for (unsigned i = 0; i < 600; i++) {
        snprintf(id, sizeof id, "big%u", i);
        rig_send_call(0, &(struct rig_call){.type = MSG_DOC_CREATE,
                                            .tag = i + 1,
                                            .user = "ann",
                                            .doc = id,
                                            .more = {BYTES_LIT("t"), long_content('a', 60000)}});
        rig_run();
        const struct rig_msg *m = rig_next(0);
        made[i] = m && m->type == MSG_DOC;
        n_made += made[i];
    }
    cr_assert(n_made > 100 && n_made < 400, "%u", n_made);
    rig.archive_stopped = false;
    rig_pass_ms(200);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(id, sizeof id, "big%u", i);
        if (made[i])
            cr_assert_eq(strlen(rig_get("ann", id, DOC_AT_NOW, 0)->content), 60000);
    }
}

static void write_as(const char *client, uint64_t base, uint64_t seq, struct bytes op)
{
    rig_send_ops(&(struct rig_ops){.g = 0,
                                   .head = {.tag = 9, .session = MSG_NO_SESSION},
                                   .base = base,
                                   .ops = &(struct rig_op){seq, op},
                                   .n = 1,
                                   .user = "ann",
                                   .doc = "d",
                                   .client = client});
    rig_run();
}

Test(shard_calls, clients_that_left_memory_are_still_known)
{
    char client[32];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(client, sizeof client, "c%u", i);
        write_as(client, i, 1, rig_insert(0, "x"));
        cr_assert_eq(rig_read_acks(rig_expect(0, MSG_ACKS))->ack[0].version, i + 1);
        if (i % 50 == 0)
            rig_pass_ms(150); /* the archive takes them over */
    }
    for (unsigned i = 0; i < 300; i++) {
        snprintf(client, sizeof client, "c%u", i);
        write_as(client, 300, 1, rig_insert(0, "x"));
        cr_assert_eq(rig_read_acks(rig_expect(0, MSG_ACKS))->ack[0].version, i + 1, "resent");
        write_as(client, 300, 1, rig_insert(0, "y"));
        cr_assert_eq(rig_read_acks(rig_expect(0, MSG_ACKS))->h.status, STATUS_SEQ_REUSED);
    }
    cr_assert_eq(rig_get("ann", "d", DOC_AT_NOW, 0)->h.version, 300);
}

Test(shard_calls, a_document_is_loaded_from_its_snapshot_and_the_ops_behind_it)
{
    struct msg_head ann =
        rig_joins(&(struct rig_join){.g = 1, .tag = 12, .user = "ann", .doc = "d", .client = "c"})
            ->h.head;
    for (uint64_t i = 0; i < 1500; i++) {
        struct bytes op = rig_insert(0, i % 2 ? long_text('x', 150) : long_text('y', 150));
        if (i % 3 == 2)
            op = rig_delete(10, 250);
        rig_send_ops(&(struct rig_ops){
            .g = 1, .head = ann, .base = i, .ops = &(struct rig_op){i + 1, op}, .n = 1});
        if (i % 50 == 49)
            rig_pass_ms(150);
    }
    rig_run();
    rig_forget();
    struct rig_doc *d = rig_get("ann", "d", DOC_AT_NOW, 0);
    char *before = strdup(d->content);
    uint64_t hash = d->h.hash;
    uint32_t snapshots = 0;
    for (uint32_t i = 0; i < counters_n(rig.counters); i++) {
        const struct counter *c = counters_at(rig.counters, i);
        if (strcmp(c->name, "penstock_snapshots_total") == 0)
            snapshots = (uint32_t)counter_get(c);
    }
    cr_assert_gt(snapshots, 0);
    rig_restart();
    rig_run();
    rig_forget();
    d = rig_get("ann", "d", DOC_AT_NOW, 0);
    cr_assert(d->h.version == 1500 && d->h.hash == hash);
    cr_assert_str_eq(d->content, before);
    free(before);
}

/* ---- full ---- */

Test(shard_calls, a_gateway_that_does_not_read_stops_the_reading_and_loses_nothing)
{
    rig_create("ann", "big", DOC_TEXT, long_content('a', 60000));
    rig.deaf = true;
    struct rig_call get = {.type = MSG_DOC_GET, .user = "ann", .doc = "big"};
    for (uint64_t i = 0; i < 1000; i++) {
        get.tag = i + 1;
        rig_send_call(0, &get);
    }
    for (unsigned i = 0; i < 1000; i++)
        rig_poll();
    cr_assert_not(rig_is_quiet(), "60 MB do not fit a ring");
    rig.deaf = false;
    rig_run();
    for (uint64_t i = 0; i < 1000; i++)
        cr_assert_eq(rig_read_doc(rig_expect(0, MSG_DOC))->h.head.tag, i + 1);
    rig_expect_silence(0);
}

Test(shard_calls, a_log_that_waits_for_the_view_stops_the_reading_and_loses_nothing)
{
    char id[32];
    rig.archive_stopped = true;
    uint64_t sent = 0;
    for (unsigned idle = 0; idle < 300;) { /* until the log, and then the ring, is full */
        snprintf(id, sizeof id, "big%lu", sent);
        if (!ring_has_room(&rig.gateways[0].a.tx, 70000)) {
            rig_poll_for(1);
            idle++;
            continue;
        }
        idle = 0;
        sent++;
        rig_poll();
        rig_send_call(0, &(struct rig_call){.type = MSG_DOC_CREATE,
                                            .tag = sent,
                                            .user = "ann",
                                            .doc = id,
                                            .more = {BYTES_LIT("t"), long_content('a', 60000)}});
    }
    cr_assert_not(rig_is_quiet());
    rig.archive_stopped = false;
    rig_run();
    uint64_t n = 0;
    for (const struct rig_msg *m; (m = rig_next(0)) != NULL; n++) {
        struct msg_head h;
        memcpy(&h, m->p, sizeof h);
        cr_assert(m->type == MSG_DOC && h.tag == n + 1, "%u, tag %lu, not %lu of %lu", m->type,
                  h.tag, n + 1, sent);
    }
    cr_assert_eq(n, sent);
    cr_assert_gt(n * 60000, 100u << 20, "%lu", n);
}
