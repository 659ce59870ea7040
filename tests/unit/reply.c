/* reply.h and problem.h: nothing that a message may hold takes more room than is stated for it,
 * since the role trusts those bounds; and each is JSON. */
#include "gateway/reply.h"
#include "gateway/problem.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define BUF_BYTES (1u << 20)

static uint8_t buf[BUF_BYTES];
static uint8_t wild_bytes[4096];

/* n bytes that each become a \u00XX in JSON. */
static struct bytes wild(size_t n)
{
    memset(wild_bytes, 1, sizeof wild_bytes);
    return bytes_of(wild_bytes, n);
}

static struct bytes client_id(void)
{
    static char id[LIMIT_CLIENT_ID_BYTES];
    memset(id, 'c', sizeof id);
    return bytes_of(id, sizeof id);
}

static void is_json_within(const struct writer *w)
{
    struct json j;
    cr_assert(w->ok, "its bound is too small");
    json_init(&j, writer_bytes(w), NULL, 0);
    cr_assert(json_skip(&j) && json_end(&j), "%.*s", (int)writer_n(w), (const char *)w->start);
}

Test(reply, an_op_with_the_wildest_names_fits_its_bound)
{
    uint8_t op[4096];
    struct op_writer ow;
    struct bytes b;
    op_writer_init(&ow, op, sizeof op);
    op_push_insert(&ow, wild(1000), 1000, (struct bytes){0});
    cr_assert_eq(op_writer_end(&ow, &b), STATUS_OK);
    struct reply_op o = {.op = {.op = b,
                                .client_id = client_id(),
                                .seq = UINT64_MAX,
                                .version = UINT64_MAX - 1,
                                .has_seq = true},
                         .user_id = wild(128),
                         .accepted_by = wild(128),
                         .unix_ms = 253402300799999ull};
    struct writer w = writer_of(buf, reply_op_bytes_max(&o));
    reply_op(&w, &o);
    is_json_within(&w);
}

Test(reply, acks_fit_theirs_with_the_largest_numbers_and_with_none)
{
    for (uint32_t flags = 0; flags < 4; flags++) {
        struct writer w = writer_of(buf, REPLY_ACK_BYTES);
        reply_ack(&w, &(struct reply_ack){client_id(), UINT64_MAX, UINT64_MAX, flags});
        is_json_within(&w);
        bool has_null = memmem(w.start, writer_n(&w), "null", 4) != NULL;
        cr_assert_eq(has_null, flags != 0);
    }
}

Test(reply, a_welcome_full_of_people_fits_its_bound)
{
    static uint8_t people[64 << 10];
    uint8_t op[64];
    struct op_writer ow;
    struct bytes content;
    op_writer_init(&ow, op, sizeof op);
    op_push_insert(&ow, wild(20), 20, (struct bytes){0});
    cr_assert_eq(op_writer_end(&ow, &content), STATUS_OK);
    struct writer p = writer_of(people, sizeof people);
    for (unsigned i = 0; i < 50; i++) {
        struct msg_presence_entry e = {.version = UINT64_MAX,
                                       .cursor_u16 = UINT64_MAX,
                                       .anchor_u16 = UINT64_MAX,
                                       .head_u16 = UINT64_MAX,
                                       .flags = i % 2 ? MSG_PRESENCE_SELECTION : 0};
        msg_write_struct(&p, &e);
        write_str(&p, wild(128));
        write_str(&p, client_id());
        write_str(&p, wild(256));
    }
    cr_assert(p.ok);
    struct msg_joined joined = {.version = UINT64_MAX,
                                .hash = UINT64_MAX,
                                .last_seq = UINT64_MAX,
                                .last_seq_version = UINT64_MAX,
                                .flags = MSG_JOINED_CONTENT | MSG_JOINED_RESET,
                                .n_presence = 50,
                                .doc_type = DOC_RICH,
                                .role = DOC_ROLE_COMMENTER};
    struct reply_welcome o = {.doc_id = wild(128),
                              .session_id = client_id(),
                              .client_id = client_id(),
                              .joined = &joined,
                              .presence = writer_bytes(&p),
                              .content = content,
                              .message_bytes = UINT32_MAX,
                              .op_components = UINT32_MAX,
                              .document_units = UINT32_MAX};
    cr_assert_lt(reply_welcome_bytes_max(&o), BUF_BYTES);
    struct writer w = writer_of(buf, reply_welcome_bytes_max(&o));
    reply_welcome(&w, &o);
    is_json_within(&w);
}

Test(reply, errors_of_every_status_fit_and_have_a_code_that_the_protocol_knows)
{
    for (int s = STATUS_BAD_MESSAGE; s < STATUS_N; s++) {
        struct reply_error e = {.status = (enum status)s,
                                .detail = wild(4096),
                                .retry_after_ms = UINT32_MAX,
                                .has_seq = true,
                                .seq = UINT64_MAX};
        struct writer w = writer_of(buf, reply_error_bytes_max(&e));
        reply_error(&w, &e);
        is_json_within(&w);
        cr_assert_null(memmem(w.start, writer_n(&w), "\"corrupt\"", 9));
        cr_assert_null(memmem(w.start, writer_n(&w), "\"no_room\"", 9));
    }
}

Test(reply, small_messages_fit_the_common_bound)
{
    struct writer w = writer_of(buf, REPLY_BYTES_MAX);
    reply_synced(&w, UINT64_MAX, UINT64_MAX);
    is_json_within(&w);
    w = writer_of(buf, REPLY_BYTES_MAX);
    reply_goodbye(&w, "restart", UINT32_MAX);
    is_json_within(&w);
    w = writer_of(buf, REPLY_BYTES_MAX);
    reply_access(&w, (enum doc_role)77); /* a role of a newer shard */
    is_json_within(&w);
    w = writer_of(buf, REPLY_BYTES_MAX);
    reply_auth_ok(&w, 253402300799999ull);
    is_json_within(&w);
    w = writer_of(buf, 6 * LIMIT_TITLE_BYTES + 64);
    reply_title(&w, wild(LIMIT_TITLE_BYTES));
    is_json_within(&w);
}

Test(reply, roles_have_names_both_ways)
{
    for (uint8_t role = DOC_ROLE_VIEWER; role <= DOC_ROLE_OWNER; role++)
        cr_assert_eq(reply_role_of(bytes_str(reply_role(role))), role);
    cr_assert_eq(reply_role_of(BYTES_LIT("none")), DOC_ROLE_NONE);
    cr_assert_eq(reply_role_of(BYTES_LIT("Owner")), DOC_ROLE_NONE);
}

Test(reply, problems_of_every_status_fit_and_bear_their_http_status)
{
    for (int s = STATUS_BAD_MESSAGE; s < STATUS_N; s++) {
        char want[32];
        struct problem p = {.status = (enum status)s, .detail = wild(4096)};
        struct writer w = writer_of(buf, PROBLEM_BYTES_MAX);
        problem_write(&w, &p);
        is_json_within(&w);
        snprintf(want, sizeof want, "\"status\":%d,", problem_http(&p));
        cr_assert_not_null(memmem(w.start, writer_n(&w), want, strlen(want)));
    }
}

Test(reply, a_long_detail_is_cut_between_characters)
{
    char text[PROBLEM_DETAIL_BYTES_MAX + 3];
    memset(text, 'x', sizeof text);
    memcpy(text + PROBLEM_DETAIL_BYTES_MAX - 2, "\xf0\x9f\x98\x80", 4);
    struct bytes cut = problem_detail(STATUS_INTERNAL, bytes_of(text, sizeof text));
    cr_assert_eq(cut.n, PROBLEM_DETAIL_BYTES_MAX - 2);
}
