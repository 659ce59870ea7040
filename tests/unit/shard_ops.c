/* Ops through a whole shard: order, exactly once, refusals, durability. */
#include "tests/support/shard_rig.h"

#define TAG_A 11u
#define TAG_B 12u

static struct msg_head ann, bob; /* sessions on gateways 0 and 1 */

static void init(void)
{
    rig_init();
    rig_forget();
    rig_create("ann", "d", DOC_TEXT, rig_insert(0, "hello"));
    rig_send_call(0, &(struct rig_call){.type = MSG_DOC_ROLE,
                                        .tag = 1,
                                        .user = "ann",
                                        .doc = "d",
                                        .arg8 = DOC_ROLE_EDITOR,
                                        .more = {BYTES_LIT("bob")}});
    rig_run();
    rig_expect(0, MSG_DONE);
    ann = rig_joins(
              &(struct rig_join){.g = 0, .tag = TAG_A, .user = "ann", .doc = "d", .client = "ca"})
              ->h.head;
    bob = rig_joins(
              &(struct rig_join){.g = 1, .tag = TAG_B, .user = "bob", .doc = "d", .client = "cb"})
              ->h.head;
}

TestSuite(shard_ops, .init = init, .fini = rig_fini, .timeout = 60);

static void send_ops(unsigned g, struct msg_head head, uint64_t base, const struct rig_op *ops,
                     uint32_t n)
{
    rig_send_ops(&(struct rig_ops){.g = g, .head = head, .base = base, .ops = ops, .n = n});
}

static void send_op(unsigned g, struct msg_head head, uint64_t base, uint64_t seq, struct bytes op)
{
    send_ops(g, head, base, &(struct rig_op){seq, op}, 1);
}

static const char *content(void)
{
    return rig_get("ann", "d", DOC_AT_NOW, 0)->content;
}

Test(shard_ops, an_accepted_op_goes_once_to_each_gateway_and_names_the_sender_on_his_own)
{
    send_op(0, ann, 0, 1, rig_insert(5, " you"));
    rig_run();
    struct rig_released *r = rig_read_released(rig_expect(0, MSG_RELEASED));
    cr_assert_eq(r->h.tag, TAG_A);
    cr_assert(r->h.first_version == 1 && r->h.n_ops == 1 && r->op[0].seq == 1);
    cr_assert_str_eq(r->user, "ann");
    cr_assert_str_eq(r->client, "ca");
    r = rig_read_released(rig_expect(1, MSG_RELEASED));
    cr_assert(r->h.tag == 0 && r->h.first_version == 1);
    rig_expect_silence(0);
    rig_expect_silence(1);
    cr_assert_str_eq(content(), "hello you");
}

Test(shard_ops, nothing_is_heard_of_an_op_before_it_is_durable)
{
    uint64_t before = log_durable(rig.log);
    send_op(0, ann, 0, 1, rig_insert(0, "x"));
    rig.roles[0].poll(rig.roles[0].self, rig.now_ns);
    cr_assert_gt(log_last(rig.log), before);
    while (log_durable(rig.log) == before) {
        rig_hear();
        rig_expect_silence(0);
        rig_expect_silence(1);
        disk_uring_wait(rig.ring, NS_PER_MS);
        rig.roles[0].poll(rig.roles[0].self, rig.now_ns);
    }
    rig_run();
    rig_expect(0, MSG_RELEASED);
    rig_expect(1, MSG_RELEASED);
}

Test(shard_ops, two_who_insert_at_one_place_stand_in_the_order_of_acceptance)
{
    send_op(0, ann, 0, 1, rig_insert(0, "A"));
    rig_run();
    send_op(1, bob, 0, 1, rig_insert(0, "B"));
    rig_run();
    cr_assert_str_eq((rig_forget(), content()), "ABhello");
}

Test(shard_ops, several_ops_of_one_message_are_made_on_top_of_each_other)
{
    send_op(0, ann, 0, 1, rig_insert(0, "12"));
    struct rig_op ops[] = {{1, rig_insert(5, "!")}, {2, rig_delete(0, 1)}, {3, rig_insert(5, "?")}};
    rig_run();
    send_ops(1, bob, 0, ops, 3);
    rig_run();
    rig_expect(0, MSG_RELEASED);
    struct rig_released *r = rig_read_released(rig_expect(0, MSG_RELEASED));
    cr_assert(r->h.first_version == 2 && r->h.n_ops == 3);
    cr_assert(r->op[2].version == 4 && r->op[2].seq == 3);
    cr_assert_str_eq(content(), "12ello!?");
}

Test(shard_ops, where_one_is_refused_those_before_stand_and_those_after_do_not)
{
    struct rig_op ops[] = {
        {1, rig_insert(0, "a")}, {2, rig_delete(50, 1)}, {3, rig_insert(0, "c")}};
    send_ops(0, ann, 0, ops, 3);
    rig_run();
    struct rig_released *r = rig_read_released(rig_expect(0, MSG_RELEASED));
    cr_assert(r->h.n_ops == 1 && r->op[0].seq == 1);
    struct msg_error e = rig_expect_error(0, MSG_ERROR, STATUS_OP_INVALID);
    cr_assert(e.seq == 2 && e.flags == MSG_ERROR_SEQ && e.head.tag == TAG_A);
    cr_assert_str_eq(content(), "ahello");
    send_op(0, ann, 1, 2, rig_insert(0, "b"));
    rig_run();
    cr_assert_eq(rig_read_released(rig_expect(0, MSG_RELEASED))->op[0].seq, 2);
}

Test(shard_ops, a_resend_is_acknowledged_as_then_and_changes_nothing)
{
    struct rig_op ops[] = {{1, rig_insert(0, "a")}, {2, rig_insert(1, "b")}};
    send_ops(0, ann, 0, ops, 2);
    send_ops(0, ann, 0, ops, 2);
    rig_run();
    rig_expect(0, MSG_RELEASED);
    struct rig_acks *a = rig_read_acks(rig_expect(0, MSG_ACKS));
    cr_assert(a->h.n_acks == 2 && a->h.head.tag == TAG_A && a->h.status == STATUS_OK);
    cr_assert(a->ack[0].version == 1 && a->ack[1].version == 2 && a->ack[1].seq == 2);
    send_op(0, ann, 2, 3, rig_insert(0, "c"));
    send_ops(0, ann, 0, ops, 1);
    rig_run();
    rig_expect(0, MSG_RELEASED);
    a = rig_read_acks(rig_expect(0, MSG_ACKS));
    cr_assert_eq(a->ack[0].flags, MSG_ACK_NO_VERSION, "older than the last message");
    cr_assert_str_eq(content(), "cabhello");
}

Test(shard_ops, a_resend_is_known_after_a_restart_too)
{
    struct rig_op ops[] = {{1, rig_insert(0, "a")}, {2, rig_insert(1, "b")}};
    send_ops(0, ann, 0, ops, 2);
    rig_run();
    rig_restart();
    rig_run();
    rig_forget();
    struct rig_joined *j = rig_joins(
        &(struct rig_join){.g = 0, .tag = TAG_A, .user = "ann", .doc = "d", .client = "ca"});
    cr_assert(j->h.last_seq == 2 && j->h.last_seq_version == 2 && j->h.version == 2);
    cr_assert_str_eq(j->content, "abhello");
    struct msg_head head = j->h.head;
    send_ops(0, head, 0, ops, 2);
    send_op(0, head, 0, 2, rig_insert(1, "z"));
    rig_run();
    struct rig_acks *a = rig_read_acks(rig_expect(0, MSG_ACKS));
    cr_assert(a->h.n_acks == 2 && a->ack[0].version == 1 && a->ack[1].version == 2);
    rig_expect_error(0, MSG_ERROR, STATUS_SEQ_REUSED);
    cr_assert_str_eq(content(), "abhello");
}

Test(shard_ops, seqs_and_bases_that_make_no_sense_are_refused)
{
    send_op(0, ann, 0, 2, rig_insert(0, "a"));
    send_op(0, ann, 1, 1, rig_insert(0, "a"));
    send_op(0, ann, 0, 1, rig_insert(0, "a"));
    send_op(0, ann, 0, 1, rig_insert(0, "b"));
    send_op(0, ann, 0, 2, rig_insert(0, "b"));
    rig_run();
    rig_expect_error(0, MSG_ERROR, STATUS_SEQ_GAP);
    rig_expect_error(0, MSG_ERROR, STATUS_VERSION_AHEAD);
    rig_expect(0, MSG_RELEASED);
    rig_expect_error(0, MSG_ERROR, STATUS_SEQ_REUSED);
    cr_assert_eq(rig_expect_error(0, MSG_ERROR, STATUS_OP_INVALID).seq, 2);
    cr_assert_str_eq(content(), "ahello");
}

Test(shard_ops, a_bare_op_has_no_seq_and_is_never_taken_for_a_resend)
{
    send_op(0, ann, 0, 0, rig_insert(0, "a"));
    send_op(0, ann, 1, 0, rig_insert(0, "a"));
    rig_run();
    cr_assert_eq(rig_read_released(rig_expect(0, MSG_RELEASED))->op[0].flags, MSG_OP_NO_SEQ);
    rig_expect(0, MSG_RELEASED);
    cr_assert_str_eq(content(), "aahello");
    send_op(0, ann, 2, 1, rig_insert(0, "b"));
    rig_run();
    cr_assert_eq(rig_read_released(rig_expect(0, MSG_RELEASED))->op[0].seq, 1);
}

Test(shard_ops, what_is_no_op_or_no_message_is_refused)
{
    uint8_t rubbish[] = {0xff, 0xff, 0xff};
    send_op(0, ann, 0, 1, bytes_of(rubbish, sizeof rubbish));
    rig_run();
    rig_expect_error(0, MSG_ERROR, STATUS_OP_INVALID);
    struct writer w = writer_of(rig_buf, 4096);
    struct msg_ops h = {.head = ann, .n_ops = 3};
    msg_write_struct(&w, &h);
    rig_send(0, MSG_OPS, &w);
    rig_run();
    rig_expect_error(0, MSG_ERROR, STATUS_BAD_MESSAGE);
    w = writer_of(rig_buf, 4096);
    write_u32(&w, 1);
    rig_send(0, MSG_OPS, &w);
    rig_send(0, 200, &w);
    rig_run();
    rig_expect_silence(0);
    cr_assert_str_eq(content(), "hello");
}

Test(shard_ops, an_op_that_leaves_nothing_still_makes_a_version)
{
    send_op(0, ann, 0, 1, rig_delete(0, 5));
    send_op(1, bob, 0, 1, rig_delete(0, 5));
    rig_run();
    rig_expect(0, MSG_RELEASED);
    struct rig_released *r = rig_read_released(rig_expect(0, MSG_RELEASED));
    cr_assert(r->h.first_version == 2 && r->bytes[0].n == 0);
    cr_assert_str_eq(content(), "");
}

Test(shard_ops, a_document_does_not_grow_past_its_limit)
{
    rig.options.document_units_max = 20;
    rig_restart();
    rig_run();
    rig_forget();
    ann = rig_joins(
              &(struct rig_join){.g = 0, .tag = TAG_A, .user = "ann", .doc = "d", .client = "ca"})
              ->h.head;
    send_op(0, ann, 0, 1, rig_insert(0, "0123456789abcde"));
    send_op(0, ann, 1, 2, rig_insert(0, "x"));
    rig_run();
    rig_expect(0, MSG_RELEASED);
    rig_expect_error(0, MSG_ERROR, STATUS_TOO_LARGE);
    cr_assert_str_eq(content(), "0123456789abcdehello");
}

Test(shard_ops, only_the_session_of_that_gateway_and_generation_is_heard)
{
    struct msg_head wrong = ann;
    wrong.session_gen++;
    send_op(0, wrong, 0, 1, rig_insert(0, "x"));
    send_op(1, ann, 0, 1, rig_insert(0, "x"));
    wrong.session = MSG_NO_SESSION;
    send_op(0, wrong, 0, 1, rig_insert(0, "x"));
    rig_run();
    rig_expect_silence(0);
    rig_expect_silence(1);
    cr_assert_str_eq(content(), "hello");
}

/* ---- over HTTP ---- */

static void send_call(const char *user, const char *client, uint64_t base, const struct rig_op *ops,
                      uint32_t n)
{
    rig_send_ops(&(struct rig_ops){.g = 1,
                                   .head = {.tag = 55, .session = MSG_NO_SESSION},
                                   .base = base,
                                   .ops = ops,
                                   .n = n,
                                   .user = user,
                                   .doc = "d",
                                   .client = client});
    rig_run();
}

Test(shard_ops, a_call_is_answered_by_acks_and_heard_by_all_also_by_its_own_client)
{
    struct rig_op ops[] = {{1, rig_insert(0, "a")}, {2, rig_delete(90, 1)}};
    send_call("bob", "cb", 0, ops, 2);
    cr_assert_eq(rig_read_released(rig_expect(0, MSG_RELEASED))->h.tag, 0);
    cr_assert_eq(rig_read_released(rig_expect(1, MSG_RELEASED))->h.tag, 0);
    struct rig_acks *a = rig_read_acks(rig_expect(1, MSG_ACKS));
    cr_assert(a->h.head.tag == 55 && a->h.n_acks == 1 && a->ack[0].version == 1);
    cr_assert(a->h.status == STATUS_OP_INVALID && a->h.seq == 2 && a->h.flags == MSG_ERROR_SEQ);
    send_call("bob", "cb", 0, ops, 1);
    a = rig_read_acks(rig_expect(1, MSG_ACKS));
    cr_assert(a->h.n_acks == 1 && a->ack[0].version == 1 && a->h.status == STATUS_OK);
    cr_assert_str_eq(content(), "ahello");
}

Test(shard_ops, a_client_id_belongs_to_who_used_it_first_and_a_refused_op_claims_nothing)
{
    struct rig_op bad = {1, rig_delete(90, 1)}, good = {1, rig_insert(0, "a")};
    send_call("bob", "new", 0, &bad, 1);
    cr_assert_eq(rig_read_acks(rig_expect(1, MSG_ACKS))->h.status, STATUS_OP_INVALID);
    send_call("ann", "new", 0, &good, 1);
    rig_expect(0, MSG_RELEASED);
    rig_expect(1, MSG_RELEASED);
    cr_assert_eq(rig_read_acks(rig_expect(1, MSG_ACKS))->h.status, STATUS_OK);
    send_call("bob", "new", 1, &good, 1);
    rig_expect_error(1, MSG_FAIL, STATUS_FORBIDDEN);
    send_call("eve", "other", 1, &good, 1);
    rig_expect_error(1, MSG_FAIL, STATUS_NOT_FOUND);
}

/* ---- far behind ---- */

static void write_much(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        send_op(0, ann, i, i + 1, rig_insert(i % 5, i % 2 ? "x" : "yz"));
        if (i % 64 == 63)
            rig_run();
    }
    rig_run();
    rig_forget();
}

static void merge_from_far(uint64_t n)
{
    write_much(n);
    struct rig_op ops[] = {{1, rig_insert(5, "<")}, {2, rig_insert(6, ">")}, {3, rig_delete(4, 1)}};
    send_ops(1, bob, 0, ops, 3);
    send_op(1, bob, 0, 4, rig_insert(0, "no")); /* waits behind, and is then refused: its base */
    rig_run();
    struct rig_released *r = rig_read_released(rig_expect(1, MSG_RELEASED));
    cr_assert(r->h.first_version == n + 1 && r->h.n_ops == 3 && r->h.tag == TAG_B);
    rig_expect_error(1, MSG_ERROR, STATUS_OP_INVALID);
    rig_forget();
    const char *text = content();
    size_t len = strlen(text);
    cr_assert_eq(len, 5 + n + (n + 1) / 2 + 2 - 1);
    cr_assert_str_eq(text + len - 2, "<>");
}

Test(shard_ops, ops_from_far_behind_are_merged_from_the_window)
{
    merge_from_far(3000);
}

Test(shard_ops, ops_from_farther_than_the_window_are_merged_from_the_view)
{
    rig.options.window_bytes = 64u << 10;
    rig_restart();
    rig_run();
    rig_forget();
    ann = rig_joins(
              &(struct rig_join){.g = 0, .tag = TAG_A, .user = "ann", .doc = "d", .client = "ca"})
              ->h.head;
    bob = rig_joins(
              &(struct rig_join){.g = 1, .tag = TAG_B, .user = "bob", .doc = "d", .client = "cb"})
              ->h.head;
    merge_from_far(6000);
}

Test(shard_ops, a_merge_whose_client_left_is_dropped)
{
    write_much(5000);
    struct rig_op op = {1, rig_insert(5, "<")};
    send_ops(1, bob, 0, &op, 1);
    struct writer w = writer_of(rig_buf, 4096);
    msg_write_struct(&w, &bob);
    rig_send(1, MSG_LEAVE, &w);
    rig_run();
    rig_expect_silence(1);
    cr_assert_eq(rig_get("ann", "d", DOC_AT_NOW, 0)->h.version, 5000);
}
