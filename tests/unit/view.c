#include "store/view.h"
#include "store/view_run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a naive model: arrays of everything ---- */

#define DOCS_MAX    12
#define OPS_MAX     4000
#define CLIENTS     5
#define USERS       3
#define CONTENT_MAX 64

struct model_op {
    uint64_t unix_ms, hash, seq;
    unsigned client;
    bool is_accepted;
    uint8_t bytes[64];
    size_t n;
};

struct model_client {
    uint64_t last_seq, last_version, last_seq_version, message_seq, message_version;
    uint32_t message_n;
    uint64_t hashes[8];
};

struct model_doc {
    uint64_t version, hash, created_ms, modified_ms, trashed_ms;
    char id[16], title[16];
    uint8_t roles[USERS];
    struct model_op *ops; /* ops[v] made version v */
    struct model_client clients[CLIENTS];
    uint64_t contents[CONTENT_MAX];
    unsigned n_contents;
};

struct model {
    struct model_doc docs[DOCS_MAX];
    unsigned n_docs;
    uint64_t idx, ms;
};

static char dir[64];
static struct view *view;
static struct model *model;
static const char *const users[USERS] = {"ann", "bob", "group:staff"};
static const char *const clients[CLIENTS] = {"c0", "c1", "tab-2", "c3", "c4"};

static unsigned client_user(unsigned client)
{
    return client % USERS;
}

static unsigned pick(unsigned n)
{
    return (unsigned)rand() % n;
}

static void open_view(void)
{
    struct view_options o = {.dir = dir, .map_bytes = 1u << 28, .shard = 2, .n_shards = 4};
    cr_assert_eq(view_open(&view, &o), STATUS_OK);
}

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/view-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(dir));
    model = calloc(1, sizeof *model);
    model->ms = 1000;
    srand(7);
    open_view();
}

static void teardown(void)
{
    char command[96];
    view_close(view);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    (void)!system(command);
    for (unsigned i = 0; i < DOCS_MAX; i++)
        free(model->docs[i].ops);
    free(model);
}

TestSuite(view, .init = setup, .fini = teardown, .timeout = 120);

/* ---- records, to the view and to the model ---- */

static uint8_t buf[1 << 20];

static void apply(struct view_write *w, enum record_type type, const struct writer *payload)
{
    cr_assert(payload->ok);
    enum status s = view_apply(w, model->idx + 1, type, writer_bytes(payload));
    cr_assert_eq(s, STATUS_OK, "%s", status_name(s));
    model->idx++;
}

static void create_doc(struct view_write *w)
{
    struct model_doc *d = &model->docs[model->n_docs++];
    struct writer out = writer_of(buf, sizeof buf);
    snprintf(d->id, sizeof d->id, "doc-%u", model->n_docs);
    snprintf(d->title, sizeof d->title, "t%u", model->n_docs);
    d->ops = calloc(OPS_MAX + 1, sizeof *d->ops);
    d->created_ms = d->modified_ms = model->ms;
    d->roles[0] = DOC_ROLE_OWNER;
    d->n_contents = 1;
    struct record_create r = {.docnum = model->n_docs,
                              .unix_ms = model->ms,
                              .type = DOC_TEXT,
                              .tenant = BYTES_LIT("acme"),
                              .doc_id = bytes_str(d->id),
                              .owner = bytes_str(users[0]),
                              .title = bytes_str(d->title),
                              .content = bytes_str(d->id)};
    r.hash = d->hash = record_hash_create(r.type, r.content);
    record_write_create(&out, &r);
    apply(w, RECORD_CREATE, &out);
}

static void model_client_op(struct model_client *c, uint64_t version, uint64_t seq,
                            uint64_t payload_hash, bool is_first)
{
    c->last_version = version;
    if (seq == 0)
        return;
    if (is_first) {
        c->message_seq = seq;
        c->message_version = version;
        c->message_n = 0;
    }
    c->hashes[c->message_n++] = payload_hash;
    c->last_seq = seq;
    c->last_seq_version = version;
}

static void append_ops(struct view_write *w, unsigned doc, unsigned client)
{
    struct model_doc *d = &model->docs[doc];
    struct model_client *c = &d->clients[client];
    bool has_seqs = pick(6) > 0, is_accepted = pick(9) == 0;
    unsigned n = 1 + pick(4);
    if (d->version + n > OPS_MAX)
        return;
    struct writer out = writer_of(buf, sizeof buf);
    struct record_ops r = {.docnum = doc + 1,
                           .unix_ms = model->ms,
                           .first_version = d->version + 1,
                           .n_ops = n,
                           .user = bytes_str(users[client_user(client)]),
                           .client = bytes_str(clients[client]),
                           .accepted_by = is_accepted ? BYTES_LIT("eve") : bytes_of(NULL, 0)};
    record_write_ops_head(&out, &r);
    for (unsigned i = 0; i < n; i++) {
        struct model_op *o = &d->ops[d->version + 1];
        o->n = pick(40);
        for (size_t k = 0; k < o->n; k++)
            o->bytes[k] = (uint8_t)rand();
        o->seq = has_seqs ? c->last_seq + 1 : 0;
        o->client = client;
        o->unix_ms = model->ms;
        o->is_accepted = is_accepted;
        o->hash = d->hash =
            record_hash_op(d->hash, bytes_of(o->bytes, o->n), r.user, r.client, o->seq);
        struct record_op op = {o->seq, o->hash, (uint64_t)rand(), bytes_of(o->bytes, o->n)};
        record_write_op(&out, &op);
        d->version++;
        model_client_op(c, d->version, o->seq, op.payload_hash, i == 0);
    }
    d->modified_ms = model->ms;
    apply(w, RECORD_OPS, &out);
}

static void change_meta(struct view_write *w, unsigned doc)
{
    struct model_doc *d = &model->docs[doc];
    struct writer out = writer_of(buf, sizeof buf);
    struct bytes ann = bytes_str(users[0]);
    unsigned user = pick(USERS), what = pick(4);
    if (what == 0) {
        snprintf(d->title, sizeof d->title, "title %u", pick(100));
        struct record_title r = {doc + 1, model->ms, ann, bytes_str(d->title)};
        record_write_title(&out, &r);
        apply(w, RECORD_TITLE, &out);
    } else if (what == 1) {
        d->roles[user] = (uint8_t)pick(5);
        struct record_role r = {doc + 1, model->ms, d->roles[user], ann, bytes_str(users[user])};
        record_write_role(&out, &r);
        apply(w, RECORD_ROLE, &out);
    } else if (what == 2) {
        struct record_trash r = {doc + 1, model->ms, (uint8_t)pick(2), ann};
        d->trashed_ms = r.trashed ? model->ms : 0;
        record_write_trash(&out, &r);
        apply(w, RECORD_TRASH, &out);
    } else {
        unsigned client = pick(CLIENTS);
        struct record_client r = {doc + 1, model->ms, bytes_str(clients[client]),
                                  bytes_str(users[client_user(client)])};
        record_write_client(&out, &r);
        apply(w, RECORD_CLIENT, &out);
        return; /* no change of the document */
    }
    d->modified_ms = model->ms;
}

static void put_content(struct view_write *w, unsigned doc)
{
    struct model_doc *d = &model->docs[doc];
    char text[32];
    cr_assert_eq(view_put_content(w, doc + 1, d->version + 1, BYTES_LIT("too early")), STATUS_OK);
    if (d->n_contents == CONTENT_MAX || d->contents[d->n_contents - 1] == d->version)
        return;
    snprintf(text, sizeof text, "%s@%llu", d->id, (unsigned long long)d->version);
    cr_assert_eq(view_put_content(w, doc + 1, d->version, bytes_str(text)), STATUS_OK);
    d->contents[d->n_contents++] = d->version;
}

/* ---- comparison ---- */

struct ops_seen {
    unsigned doc;
    uint64_t next;
    uint64_t stop;
};

static bool see_op(void *arg, const struct view_op *op)
{
    struct ops_seen *seen = arg;
    const struct model_op *o = &model->docs[seen->doc].ops[seen->next];
    cr_assert_eq(op->version, seen->next);
    cr_assert_eq(op->unix_ms, o->unix_ms);
    cr_assert_eq(op->op.seq, o->seq);
    cr_assert_eq(op->op.hash, o->hash);
    cr_assert(bytes_eq(op->op.op, bytes_of(o->bytes, o->n)));
    cr_assert(bytes_eq(op->client, bytes_str(clients[o->client])));
    cr_assert(bytes_eq(op->user, bytes_str(users[client_user(o->client)])));
    cr_assert_eq(op->accepted_by.n, o->is_accepted ? 3 : 0);
    return seen->next++ != seen->stop;
}

static void compare_ops(struct view_read *r, unsigned doc)
{
    struct model_doc *d = &model->docs[doc];
    for (int i = 0; i < 5; i++) {
        uint64_t from = 1 + pick((unsigned)d->version + 1), to = from + pick(60);
        to = i == 0 ? d->version : to > d->version ? d->version : to;
        from = i == 0 ? 1 : from;
        struct ops_seen seen = {doc, from, i == 1 ? from : UINT64_MAX};
        cr_assert_eq(view_ops(r, doc + 1, from, to, see_op, &seen), STATUS_OK);
        if (from <= to)
            cr_assert_eq(seen.next, i == 1 ? from + 1 : to + 1);
    }
    struct ops_seen seen = {doc, d->version + 1, 0};
    cr_assert_eq(view_ops(r, doc + 1, d->version + 1, d->version + 5, see_op, &seen), STATUS_END);
    for (int i = 0; i < 5; i++) {
        uint64_t ms = 990 + pick((unsigned)model->ms - 980), want = 0, got = 0;
        while (want < d->version && d->ops[want + 1].unix_ms <= ms)
            want++;
        enum status s = view_version_at(r, doc + 1, ms, &got);
        cr_assert_eq(s, ms < d->created_ms ? STATUS_END : STATUS_OK);
        if (s == STATUS_OK)
            cr_assert_eq(got, want);
    }
}

static void compare_clients(struct view_read *r, unsigned doc)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct model_client *m = &model->docs[doc].clients[i];
        struct view_client c;
        enum status s = view_client_find(r, doc + 1, bytes_str(clients[i]), &c);
        if (s == STATUS_END) {
            cr_assert_eq(m->last_version, 0);
            continue;
        }
        cr_assert_eq(s, STATUS_OK);
        cr_assert(bytes_eq(c.user, bytes_str(users[client_user(i)])));
        cr_assert_eq(c.last_seq, m->last_seq);
        cr_assert_eq(c.last_version, m->last_version);
        cr_assert_eq(c.last_seq_version, m->last_seq_version);
        cr_assert_eq(c.message_seq, m->message_seq);
        cr_assert_eq(c.message_version, m->message_version);
        cr_assert_eq(c.message_n, m->message_n);
        cr_assert(bytes_eq(c.payload_hashes, bytes_of(m->hashes, m->message_n * 8)));
    }
}

static void compare_contents(struct view_read *r, unsigned doc)
{
    struct model_doc *d = &model->docs[doc];
    for (int i = 0; i < 4; i++) {
        uint64_t version = pick((unsigned)d->version + 3), want = 0, at;
        struct bytes content;
        char text[32];
        for (unsigned k = 0; k < d->n_contents; k++)
            want = d->contents[k] <= version ? d->contents[k] : want;
        snprintf(text, sizeof text, "%s@%llu", d->id, (unsigned long long)want);
        cr_assert_eq(view_content_find(r, doc + 1, version, &at, &content), STATUS_OK);
        cr_assert_eq(at, want);
        cr_assert(bytes_eq(content, bytes_str(want ? text : d->id)));
    }
}

static void compare_doc(struct view_read *r, unsigned doc)
{
    struct model_doc *d = &model->docs[doc];
    struct view_doc v;
    cr_assert_eq(view_doc_find(r, BYTES_LIT("acme"), bytes_str(d->id), &v), STATUS_OK);
    cr_assert_eq(v.docnum, doc + 1);
    cr_assert_eq(v.version, d->version);
    cr_assert_eq(v.hash, d->hash);
    cr_assert_eq(v.created_ms, d->created_ms);
    cr_assert_eq(v.modified_ms, d->modified_ms);
    cr_assert_eq(v.trashed_ms, d->trashed_ms);
    cr_assert_eq(v.content_version, d->contents[d->n_contents - 1]);
    cr_assert(bytes_eq(v.title, bytes_str(d->title)));
    cr_assert(bytes_eq(v.owner, bytes_str(users[0])));
    uint64_t since = 0;
    for (uint64_t k = v.content_version + 1; k <= d->version; k++)
        since += d->ops[k].n;
    cr_assert_eq(v.ops_bytes_since, since);
    struct reader roles = reader_of(v.roles);
    uint32_t n = 0;
    for (unsigned u = 0; u < USERS; u++) {
        if (d->roles[u] == DOC_ROLE_NONE)
            continue;
        cr_assert_eq(read_u8(&roles), d->roles[u]);
        cr_assert(bytes_eq(read_str(&roles), bytes_str(users[u])));
        n++;
    }
    cr_assert(roles.ok && reader_left(&roles) == 0 && n == v.n_roles);
}

struct person_seen {
    uint8_t roles[DOCS_MAX];
    uint64_t last;
};

static bool see_person(void *arg, uint64_t docnum, uint8_t role)
{
    struct person_seen *seen = arg;
    cr_assert_gt(docnum, seen->last);
    seen->last = docnum;
    seen->roles[docnum - 1] = role;
    return true;
}

static void compare(void)
{
    struct view_read *r;
    struct view_doc none;
    cr_assert_eq(view_read_begin(view, &r), STATUS_OK);
    cr_assert_eq(view_read_index(r), model->idx);
    for (unsigned i = 0; i < model->n_docs; i++) {
        compare_doc(r, i);
        compare_ops(r, i);
        compare_clients(r, i);
        compare_contents(r, i);
    }
    for (unsigned u = 0; u < USERS; u++) {
        struct person_seen seen = {.last = 0};
        cr_assert_eq(view_person_docs(r, BYTES_LIT("acme"), bytes_str(users[u]), see_person, &seen),
                     STATUS_OK);
        for (unsigned i = 0; i < model->n_docs; i++)
            cr_assert_eq(seen.roles[i], model->docs[i].roles[u]);
    }
    cr_assert_eq(view_doc_find(r, BYTES_LIT("other"), BYTES_LIT("doc-1"), &none), STATUS_END);
    cr_assert_eq(view_doc_get(r, model->n_docs + 1, &none), STATUS_END);
    view_read_end(r);
    cr_assert_eq(view_index(view), model->idx);
    cr_assert_eq(view_next_docnum(view), model->n_docs + 1);
}

/* ---- tests ---- */

Test(view, equals_a_naive_model_after_random_records_in_random_transactions)
{
    for (int round = 0; round < 120; round++) {
        struct view_write *w;
        cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
        unsigned n = round % 3 == 0 ? 300 : 1 + pick(20);
        for (unsigned i = 0; i < n; i++) {
            model->ms += pick(3);
            if (model->n_docs == 0 || (model->n_docs < DOCS_MAX && pick(40) == 0))
                create_doc(w);
            else if (pick(10) == 0)
                change_meta(w, pick(model->n_docs));
            else /* one document gets most */
                append_ops(w, pick(3) ? 0 : pick(model->n_docs), pick(2) ? 1 : pick(CLIENTS));
            if (pick(60) == 0)
                put_content(w, pick(model->n_docs));
        }
        cr_assert_eq(view_write_commit(w), STATUS_OK);
        compare();
        if (round % 10 == 9) {
            view_close(view);
            open_view();
            compare();
        }
    }
    cr_assert_gt(model->docs[0].version, OPS_MAX - 5); /* it was a long run */
}

Test(view, an_aborted_transaction_leaves_nothing)
{
    struct view_write *w;
    cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
    create_doc(w);
    append_ops(w, 0, 0);
    cr_assert_eq(view_write_commit(w), STATUS_OK);
    struct model before = *model;
    cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
    append_ops(w, 0, 1);
    put_content(w, 0);
    view_write_abort(w);
    *model = before;
    compare();
}

static enum status apply_one(enum record_type type, const struct writer *payload, uint64_t idx)
{
    struct view_write *w;
    cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
    enum status s = view_apply(w, idx, type, writer_bytes(payload));
    view_write_abort(w);
    return s;
}

Test(view, a_record_that_contradicts_it_is_refused)
{
    struct view_write *w;
    cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
    create_doc(w);
    model->docs[0].clients[0].last_seq = 0;
    append_ops(w, 0, 0);
    cr_assert_eq(view_write_commit(w), STATUS_OK);
    struct model_doc *d = &model->docs[0];
    struct record_op op = {.seq = d->clients[0].last_seq + 1, .op = BYTES_LIT("op")};
    const struct record_ops good = {.docnum = 1,
                                    .unix_ms = 5,
                                    .first_version = d->version + 1,
                                    .n_ops = 1,
                                    .user = bytes_str(users[0]),
                                    .client = bytes_str(clients[0])};
    for (int what = 0; what < 8; what++) {
        struct record_ops r = good;
        struct record_op o = op;
        uint64_t idx = model->idx + 1;
        idx += what == 1;
        r.docnum += what == 2;
        r.first_version += what == 3;
        r.n_ops += what == 4;
        r.user = what == 5 ? BYTES_LIT("mallory") : r.user;
        o.seq -= what == 6;
        o.hash = record_hash_op(d->hash, o.op, r.user, r.client, o.seq) + (what == 7);
        struct writer out = writer_of(buf, sizeof buf);
        record_write_ops_head(&out, &r);
        record_write_op(&out, &o);
        enum status want = what == 0 ? STATUS_OK : STATUS_CORRUPT;
        if (what == 6 && d->clients[0].last_seq == 0)
            continue;
        cr_assert_eq(apply_one(RECORD_OPS, &out, idx), want, "case %d", what);
    }
    struct record_create again = {.docnum = 2,
                                  .tenant = BYTES_LIT("acme"),
                                  .doc_id = BYTES_LIT("doc-1"),
                                  .owner = BYTES_LIT("x")};
    again.hash = record_hash_create(0, again.content);
    struct writer out = writer_of(buf, sizeof buf);
    record_write_create(&out, &again);
    cr_assert_eq(apply_one(RECORD_CREATE, &out, model->idx + 1), STATUS_CORRUPT);
}

Test(view, a_full_map_is_no_room_and_the_view_goes_on_after_it)
{
    struct view_options o = {.dir = dir, .map_bytes = 256u << 10, .shard = 2, .n_shards = 4};
    struct view_write *w;
    view_close(view);
    cr_assert_eq(view_open(&view, &o), STATUS_OK);
    cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
    create_doc(w);
    cr_assert_eq(view_write_commit(w), STATUS_OK);
    uint8_t *big = calloc(1, 1 << 20);
    cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
    cr_assert_eq(view_put_content(w, 1, 0, bytes_of(big, 1 << 20)), STATUS_NO_ROOM);
    view_write_abort(w);
    free(big);
    compare();
    cr_assert_eq(view_write_begin(view, &w), STATUS_OK);
    append_ops(w, 0, 0);
    cr_assert_eq(view_write_commit(w), STATUS_OK);
    compare();
}

Test(view, of_another_shard_it_is_foreign)
{
    struct view_options o = {.dir = dir, .map_bytes = 1u << 28, .shard = 3, .n_shards = 4};
    struct view *other;
    view_close(view);
    cr_assert_eq(view_open(&other, &o), STATUS_FORMAT);
    o.shard = 2;
    o.n_shards = 5;
    cr_assert_eq(view_open(&other, &o), STATUS_FORMAT);
    open_view();
}

Test(view, a_flipped_bit_in_a_run_never_reads_as_other_ops)
{
    static struct view_run_writer w;
    uint8_t *run = malloc(4096);
    view_run_begin(&w, run, 4096, 1, 77);
    uint64_t hash = 77;
    for (uint64_t i = 1; i <= 20; i++) {
        char text[16];
        uint32_t guess = 0;
        snprintf(text, sizeof text, "op %llu", (unsigned long long)i);
        const char *author = i % 3 ? "\1u\1c\0" : "\1u\2c2\0";
        struct bytes b = bytes_of(author, i % 3 ? 5 : 6);
        struct bytes client = i % 3 ? BYTES_LIT("c") : BYTES_LIT("c2");
        hash = record_hash_op(hash, bytes_str(text), BYTES_LIT("u"), client, i);
        struct record_op op = {.seq = i, .hash = hash, .op = bytes_str(text)};
        view_run_push(&w, b, &guess, 1000 + i / 4, &op);
    }
    struct bytes whole = view_run_end(&w);
    for (size_t bit = 0; bit < whole.n * 8; bit++) {
        struct view_run_reader r;
        struct view_op op;
        run[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum status s = view_run_open(&r, whole, 1);
        uint64_t n = 0;
        while (s == STATUS_OK && (s = view_run_next(&r, &op)) == STATUS_OK)
            cr_assert_leq(++n, 20 + 256);
        run[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* Times, and who accepted, are covered by the value's checksum alone. */
        if (s == STATUS_END)
            cr_assert(n == 20 && r.hash == hash);
    }
    free(run);
}
