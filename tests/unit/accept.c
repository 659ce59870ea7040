#include "sequencer/accept.h"

#include <criterion/criterion.h>

static uint8_t op_mem[16][64];
static struct accept_op ops[16];
static uint64_t hashes[4] = {100, 101, 102, 103};

/* A client whose last message was seqs 5, 6, 7, which became versions 10, 11, 12. */
static struct client usual_client(void)
{
    return (struct client){.last_seq = 7,
                           .last_version = 12,
                           .last_seq_version = 12,
                           .message_seq = 5,
                           .message_version = 10,
                           .payload_hashes = hashes,
                           .message_n = 3};
}

static void set_op(uint32_t i, uint64_t seq, uint64_t hash)
{
    struct op_writer w;
    op_writer_init(&w, op_mem[i], sizeof op_mem[i]);
    op_push_insert(&w, BYTES_LIT("x"), 1, (struct bytes){0});
    struct bytes op;
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    ops[i] = (struct accept_op){.seq = seq, .payload_hash = hash, .op = op};
}

static struct accept_plan plan(const struct client *c, uint32_t n, uint64_t base)
{
    struct accept_ask ask = {.role = DOC_ROLE_EDITOR,
                             .doc_type = DOC_TEXT,
                             .op_parts_max = 100,
                             .doc_version = 20,
                             .base_version = base,
                             .client = c,
                             .ops = ops,
                             .n_ops = n};
    return accept_plan(&ask);
}

#define expect(p, resent, fresh, st)                                                               \
    do {                                                                                           \
        struct accept_plan p_ = (p);                                                               \
        cr_assert_eq(p_.n_resent, (uint32_t)(resent));                                             \
        cr_assert_eq(p_.n_new, (uint32_t)(fresh));                                                 \
        cr_assert_eq(p_.status, st, "%s", status_name(p_.status));                                 \
    } while (0)

Test(accept, the_next_seqs_are_new)
{
    struct client c = usual_client();
    set_op(0, 8, 1);
    set_op(1, 9, 2);
    expect(plan(&c, 2, 20), 0, 2, STATUS_OK);
    expect(plan(&c, 2, 12), 0, 2, STATUS_OK);
}

Test(accept, a_gap_is_refused_where_it_is)
{
    struct client c = usual_client();
    set_op(0, 8, 1);
    set_op(1, 10, 2);
    expect(plan(&c, 2, 20), 0, 1, STATUS_SEQ_GAP);
    set_op(0, 9, 1);
    expect(plan(&c, 1, 20), 0, 0, STATUS_SEQ_GAP);
}

Test(accept, resends_are_told_by_seq_and_payload)
{
    struct client c = usual_client();
    set_op(0, 5, 100);
    set_op(1, 6, 101);
    set_op(2, 7, 102);
    expect(plan(&c, 3, 3), 3, 0, STATUS_OK);
    set_op(1, 6, 999);
    expect(plan(&c, 3, 3), 1, 0, STATUS_SEQ_REUSED);
    set_op(0, 4, 999); /* older than the last message: nothing to compare with */
    expect(plan(&c, 1, 3), 1, 0, STATUS_OK);
    uint64_t v = 0;
    cr_assert(accept_resent_version(&c, 6, &v));
    cr_assert_eq(v, 11);
    cr_assert_not(accept_resent_version(&c, 4, &v));
    cr_assert_not(accept_resent_version(&c, 8, &v));
}

Test(accept, new_ones_may_follow_resends_but_not_the_other_way)
{
    struct client c = usual_client();
    set_op(0, 7, 102);
    set_op(1, 8, 1);
    expect(plan(&c, 2, 20), 1, 1, STATUS_OK);
    set_op(0, 8, 1);
    set_op(1, 7, 102);
    expect(plan(&c, 2, 20), 0, 1, STATUS_SEQ_REUSED);
    set_op(1, 8, 1);
    expect(plan(&c, 2, 20), 0, 1, STATUS_SEQ_REUSED);
}

Test(accept, the_base_lies_between_the_clients_own_last_op_and_the_newest_version)
{
    struct client c = usual_client();
    set_op(0, 8, 1);
    expect(plan(&c, 1, 21), 0, 0, STATUS_VERSION_AHEAD);
    expect(plan(&c, 1, 11), 0, 0, STATUS_OP_INVALID);
    set_op(0, 7, 102); /* a resend may name any */
    expect(plan(&c, 1, 21), 1, 0, STATUS_OK);
}

Test(accept, seqs_stand_on_all_ops_or_on_none)
{
    struct client c = usual_client();
    set_op(0, 0, 1);
    set_op(1, 0, 2);
    expect(plan(&c, 2, 20), 0, 2, STATUS_OK);
    set_op(1, 8, 2);
    expect(plan(&c, 2, 20), 0, 1, STATUS_OP_INVALID);
    set_op(0, 8, 1);
    set_op(1, 0, 2);
    expect(plan(&c, 2, 20), 0, 1, STATUS_OP_INVALID);
}

Test(accept, who_may_only_look_is_refused_at_the_first_op)
{
    struct client c = usual_client();
    set_op(0, 8, 1);
    struct accept_ask ask = {
        .role = DOC_ROLE_COMMENTER, .op_parts_max = 9, .client = &c, .ops = ops, .n_ops = 1};
    expect(accept_plan(&ask), 0, 0, STATUS_FORBIDDEN);
}

Test(accept, attributes_are_for_rich_documents)
{
    struct client c = usual_client();
    struct op_writer w;
    uint8_t attrs[32];
    struct writer a = writer_of(attrs, sizeof attrs);
    write_str(&a, BYTES_LIT("b"));
    write_str(&a, BYTES_LIT("true"));
    op_writer_init(&w, op_mem[0], sizeof op_mem[0]);
    op_push_insert(&w, BYTES_LIT("x"), 1, writer_bytes(&a));
    struct bytes op;
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    ops[0] = (struct accept_op){.seq = 8, .payload_hash = 1, .op = op};
    expect(plan(&c, 1, 20), 0, 0, STATUS_OP_INVALID);
    struct accept_ask ask = {.role = DOC_ROLE_EDITOR,
                             .doc_type = DOC_RICH,
                             .op_parts_max = 100,
                             .doc_version = 20,
                             .base_version = 20,
                             .client = &c,
                             .ops = ops,
                             .n_ops = 1};
    expect(accept_plan(&ask), 0, 1, STATUS_OK);
}

Test(accept, what_is_cut_off_is_no_message)
{
    uint8_t buf[256];
    struct writer w = writer_of(buf, sizeof buf);
    for (unsigned i = 0; i < 3; i++) {
        struct msg_op_in in = {.seq = i + 1, .op_bytes = 5};
        msg_write_struct(&w, &in);
        write_bytes(&w, BYTES_LIT("abcde"));
        msg_write_pad8(&w);
    }
    for (size_t n = 0; n <= writer_n(&w); n++) {
        struct reader r = reader_of(bytes_of(buf, n));
        bool whole = n >= writer_n(&w) - 3; /* the last padding may be missing */
        bool ok = accept_read_ops(&r, buf, 3, ops, 16);
        cr_assert(ok == whole || (whole && !ok && n < writer_n(&w)), "%zu", n);
    }
    struct reader r = reader_of(writer_bytes(&w));
    cr_assert_not(accept_read_ops(&r, buf, 3, ops, 2));
    r = reader_of(writer_bytes(&w));
    cr_assert_not(accept_read_ops(&r, buf, 0, ops, 16));
}
