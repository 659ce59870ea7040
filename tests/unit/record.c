#include "store/record.h"

#include <criterion/criterion.h>

static uint8_t buf[4096];

Test(record, create_comes_back_and_every_shorter_one_is_corrupt)
{
    struct record_create r = {.docnum = 9,
                              .unix_ms = 123,
                              .hash = 456,
                              .type = DOC_RICH,
                              .tenant = BYTES_LIT("acme"),
                              .doc_id = BYTES_LIT("doc"),
                              .owner = BYTES_LIT("ann"),
                              .title = BYTES_LIT("a title"),
                              .content = BYTES_LIT("content")};
    struct record_create got;
    struct writer w = writer_of(buf, sizeof buf);
    record_write_create(&w, &r);
    cr_assert_eq(writer_n(&w), record_create_bytes(&r));
    cr_assert_eq(record_read_create(writer_bytes(&w), &got), STATUS_OK);
    cr_assert(got.docnum == 9 && got.unix_ms == 123 && got.hash == 456 && got.type == DOC_RICH);
    cr_assert(bytes_eq(got.tenant, r.tenant) && bytes_eq(got.doc_id, r.doc_id));
    cr_assert(bytes_eq(got.owner, r.owner) && bytes_eq(got.title, r.title));
    cr_assert(bytes_eq(got.content, r.content));
    for (size_t n = 0; n < writer_n(&w); n++)
        cr_assert_eq(record_read_create(bytes_of(buf, n), &got), STATUS_CORRUPT);
    cr_assert_eq(record_read_create(bytes_of(buf, writer_n(&w) + 1), &got), STATUS_CORRUPT);
}

Test(record, ops_are_patched_once_their_number_is_known)
{
    struct record_ops r = {
        .docnum = 1, .unix_ms = 2, .user = BYTES_LIT("u"), .client = BYTES_LIT("c")};
    struct record_op op;
    struct writer w = writer_of(buf, sizeof buf);
    record_write_ops_head(&w, &r);
    cr_assert_eq(writer_n(&w), record_ops_head_bytes(&r));
    for (uint64_t i = 1; i <= 3; i++) {
        size_t before = writer_n(&w);
        op = (struct record_op){i * 100, i * 1000, i * 10000, bytes_of("abc", i)};
        record_write_op(&w, &op);
        cr_assert_eq(writer_n(&w) - before, record_op_bytes(&op));
    }
    cr_assert_eq(record_read_ops(writer_bytes(&w), &r), STATUS_CORRUPT); /* no ops yet */
    record_patch_ops(buf, 77, 3);
    cr_assert_eq(record_read_ops(writer_bytes(&w), &r), STATUS_OK);
    cr_assert(r.first_version == 77 && r.n_ops == 3 && r.accepted_by.n == 0);
    struct reader ops = reader_of(r.ops);
    uint64_t n = 0;
    while (record_next_op(&ops, &op)) {
        n++;
        cr_assert(op.seq == n * 100 && op.hash == n * 1000 && op.payload_hash == n * 10000);
        cr_assert(bytes_eq(op.op, bytes_of("abc", n)));
    }
    cr_assert(n == 3 && ops.ok);
    ops = reader_of(bytes_of(r.ops.p, r.ops.n - 1));
    while (record_next_op(&ops, &op))
        n--;
    cr_assert(n == 1 && !ops.ok);
}

Test(record, small_ones_come_back)
{
    struct record_client c = {1, 2, BYTES_LIT("c"), BYTES_LIT("u")};
    struct record_title t = {1, 2, BYTES_LIT("u"), BYTES_LIT("title")};
    struct record_role o = {1, 2, DOC_ROLE_EDITOR, BYTES_LIT("u"), BYTES_LIT("group:x")};
    struct record_trash x = {1, 2, 1, BYTES_LIT("u")};
    struct writer w = writer_of(buf, sizeof buf);
    record_write_client(&w, &c);
    cr_assert_eq(writer_n(&w), record_client_bytes(&c));
    cr_assert_eq(record_read_client(writer_bytes(&w), &c), STATUS_OK);
    cr_assert(bytes_eq(c.client, BYTES_LIT("c")) && bytes_eq(c.user, BYTES_LIT("u")));
    w = writer_of(buf, sizeof buf);
    record_write_title(&w, &t);
    cr_assert_eq(writer_n(&w), record_title_bytes(&t));
    cr_assert_eq(record_read_title(writer_bytes(&w), &t), STATUS_OK);
    cr_assert(bytes_eq(t.title, BYTES_LIT("title")));
    w = writer_of(buf, sizeof buf);
    record_write_role(&w, &o);
    cr_assert_eq(writer_n(&w), record_role_bytes(&o));
    cr_assert_eq(record_read_role(writer_bytes(&w), &o), STATUS_OK);
    cr_assert(o.role == DOC_ROLE_EDITOR && bytes_eq(o.principal, BYTES_LIT("group:x")));
    buf[16] = 5; /* no such role */
    cr_assert_eq(record_read_role(writer_bytes(&w), &o), STATUS_CORRUPT);
    w = writer_of(buf, sizeof buf);
    record_write_trash(&w, &x);
    cr_assert_eq(writer_n(&w), record_trash_bytes(&x));
    cr_assert_eq(record_read_trash(writer_bytes(&w), &x), STATUS_OK);
    cr_assert_eq(x.trashed, 1);
}

Test(record, the_history_hash_tells_every_part_and_every_split_apart)
{
    struct bytes a = BYTES_LIT("a"), ab = BYTES_LIT("ab"), b = BYTES_LIT("b"), none = {NULL, 0};
    uint64_t h[] = {
        record_hash_op(1, ab, a, b, 1),     record_hash_op(2, ab, a, b, 1),
        record_hash_op(1, a, ab, b, 1),     record_hash_op(1, a, a, ab, 1),
        record_hash_op(1, ab, b, a, 1),     record_hash_op(1, ab, a, b, 2),
        record_hash_op(1, none, ab, ab, 1), record_hash_create(DOC_TEXT, none),
        record_hash_create(DOC_RICH, none), record_hash_create(DOC_TEXT, a),
    };
    for (size_t i = 0; i < sizeof h / sizeof *h; i++) {
        for (size_t k = 0; k < i; k++)
            cr_assert_neq(h[i], h[k], "%zu and %zu", i, k);
    }
    /* Stored everywhere: it may never change. */
    cr_assert_eq(record_hash_create(DOC_TEXT, BYTES_LIT("hello")), 0x74b07ed397a89e92ull, "%llx",
                 (unsigned long long)record_hash_create(DOC_TEXT, BYTES_LIT("hello")));
    cr_assert_eq(
        record_hash_op(7, BYTES_LIT("op"), BYTES_LIT("u"), BYTES_LIT("c"), 3),
        0x41dfa6e42cbcb442ull, "%llx",
        (unsigned long long)record_hash_op(7, BYTES_LIT("op"), BYTES_LIT("u"), BYTES_LIT("c"), 3));
}
