/* The gateway role: HTTP calls; see gateway_rig.h. */
#include "tests/unit/gateway_rig.h"

TestSuite(rest, .init = start, .fini = close_gateway, .timeout = 60);

Test(rest, a_call_that_nobody_answers_ends_and_a_late_answer_reaches_nobody)
{
    struct client *c = client_open();
    requests(c, "GET /docs/d0", "", "");
    struct msg_head head = head_of(asked(shard_of("d0"), MSG_DOC_GET));
    skew_ns = 30 * NS_PER_S;
    hears(c, "HTTP/1.1 503 ");
    hears(c, "Connection: close\r\n");
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof buf);
    msg_write_struct(&w, &head);
    say(shard_of("d0"), MSG_DONE, &w);
    step();
    client_close(c);
}

static void say_page(uint32_t shard, struct msg_head head, const uint64_t *times, uint32_t n,
                     uint32_t more)
{
    uint8_t buf[4096];
    struct writer w = writer_of(buf, sizeof buf);
    msg_write_struct(&w, (&(struct msg_items){.head = head, .n = n, .more = more}));
    for (uint32_t i = 0; i < n; i++) {
        char id[32];
        snprintf(id, sizeof id, "t%llu", (unsigned long long)times[i]);
        msg_write_struct(&w, (&(struct msg_doc){
                                 .modified_ms = times[i], .role = DOC_ROLE_VIEWER, .version = i}));
        write_str(&w, bytes_str(id));
        write_str(&w, BYTES_LIT("a \"title\""));
        write_str(&w, BYTES_LIT("bob"));
    }
    say(shard, MSG_DOC_ITEMS, &w);
}

Test(rest, lists_are_gathered_from_all_shards_newest_first)
{
    static const uint64_t zero[] = {90, 70, 60}, one[] = {80, 50};
    struct client *c = client_open();
    requests(c, "GET /docs?limit=4", "", "");
    struct bytes payload = asked(0, MSG_DOC_LIST);
    struct msg_call m;
    memcpy(&m, payload.p, sizeof m);
    cr_assert_eq(m.arg32, 4);
    cr_assert_eq(m.arg64, UINT64_MAX);
    (void)asked(1, MSG_DOC_LIST);
    say_page(1, m.head, one, 2, 0);
    hears_nothing(c);
    say_page(0, m.head, zero, 3, 0);
    hears(
        c,
        "{\"items\":[{\"id\":\"t90\",\"title\":\"a \\\"title\\\"\",\"type\":\"text\",\"version\":0,"
        "\"role\":\"viewer\",\"owner_id\":\"bob\",\"created\":\"1970-01-01T00:00:00.000Z\","
        "\"last_modified\":\"1970-01-01T00:00:00.090Z\"}");
    hears(c, "\"t80\"");
    hears(c, "\"t70\"");
    hears(c, "\"t60\"");
    hears(c, "],\"cursor\":\"");
    char line[256];
    size_t n = strcspn(c->in, "\"");
    snprintf(line, sizeof line, "GET /docs?cursor=%.*s", (int)n, c->in);
    c->n = 0;
    requests(c, line, "", "");
    payload = asked(0, MSG_DOC_LIST);
    struct reader r = reader_of(payload);
    msg_read_struct(&r, &m);
    (void)msg_read_identity(&r);
    cr_assert_eq(m.arg64, 60);
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("t60")));
    (void)asked(1, MSG_DOC_LIST);
    say_page(0, m.head, NULL, 0, 0);
    say_page(1, m.head, one + 1, 1, 0);
    hears(c, "\"t50\"");
    hears(c, "],\"cursor\":null}");
    client_close(c);
}

Test(rest, a_list_stops_where_a_shard_has_more_that_is_not_known_yet)
{
    static const uint64_t zero[] = {90}, one[] = {80, 50};
    struct client *c = client_open();
    requests(c, "GET /docs", "", "");
    struct msg_head head = head_of(asked(0, MSG_DOC_LIST));
    (void)asked(1, MSG_DOC_LIST);
    say_page(0, head, zero, 1, 1);
    say_page(1, head, one, 2, 0);
    hears(c, "\"t90\"");
    hears(c, "}],\"cursor\":\""); /* 80 may not be next: shard 0 may have 85 */
    client_close(c);
}

/* ---- one document ---- */

static void say_doc(struct msg_head head, uint8_t of_caller)
{
    uint8_t buf[1024], op[64];
    struct op_writer ow;
    struct bytes content;
    op_writer_init(&ow, op, sizeof op);
    op_push_insert(&ow, BYTES_LIT("abc"), 3, (struct bytes){0});
    cr_assert_eq(op_writer_end(&ow, &content), STATUS_OK);
    struct writer w = writer_of(buf, sizeof buf);
    msg_write_struct(&w, (&(struct msg_doc){.head = head,
                                            .version = 4,
                                            .hash = 15,
                                            .created_ms = 1000,
                                            .modified_ms = 2000,
                                            .n_roles = 2,
                                            .role = of_caller,
                                            .has_content = 1}));
    write_str(&w, BYTES_LIT("d0"));
    write_str(&w, BYTES_LIT("Plan"));
    write_str(&w, BYTES_LIT("ada"));
    write_u8(&w, DOC_ROLE_OWNER);
    write_str(&w, BYTES_LIT("ada"));
    write_u8(&w, DOC_ROLE_VIEWER);
    write_str(&w, BYTES_LIT("group:team"));
    write_str(&w, content);
    say(shard_of("d0"), MSG_DOC, &w);
}

#define DOC_JSON                                                                                   \
    "{\"id\":\"d0\",\"title\":\"Plan\",\"type\":\"text\",\"content\":\"abc\",\"version\":4,"       \
    "\"history_hash\":\"000000000000000f\",\"owner_id\":\"ada\",\"role\":\"viewer\","              \
    "\"collaborators\":[{\"user_id\":\"ada\",\"role\":\"owner\"},"                                 \
    "{\"user_id\":\"group:team\",\"role\":\"viewer\"}],"                                           \
    "\"created\":\"1970-01-01T00:00:01.000Z\",\"last_modified\":\"1970-01-01T00:00:02.000Z\"}"

Test(rest, a_document_has_every_field_and_its_version_as_tag)
{
    struct client *c = client_open();
    requests(c, "GET /docs/d0?version=4", "", "");
    struct bytes payload = asked(shard_of("d0"), MSG_DOC_GET);
    struct msg_call m;
    memcpy(&m, payload.p, sizeof m);
    cr_assert_eq(m.arg8, DOC_AT_VERSION);
    cr_assert_eq(m.arg64, 4);
    say_doc(m.head, DOC_ROLE_VIEWER);
    hears(c, "HTTP/1.1 200 ");
    hears(c, "ETag: \"4\"\r\n");
    hears(c, "\r\n\r\n" DOC_JSON);
    client_close(c);
}

Test(rest, what_the_caller_has_already_is_not_sent_again)
{
    static const char *const tags[] = {"\"4\"", "W/\"4\"", "\"1\", \"4\"", "*"};
    struct client *c = client_open();
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        char header[64];
        snprintf(header, sizeof header, "If-None-Match: %s\r\n", tags[i]);
        requests(c, "GET /docs/d0", header, "");
        say_doc(head_of(asked(shard_of("d0"), MSG_DOC_GET)), DOC_ROLE_VIEWER);
        hears(c, "HTTP/1.1 304 ");
        hears(c, "ETag: \"4\"\r\n");
        hears(c, "\r\n\r\n");
        hears_nothing(c);
    }
    requests(c, "GET /docs/d0", "If-None-Match: \"44\", \"14\"\r\n", "");
    say_doc(head_of(asked(shard_of("d0"), MSG_DOC_GET)), DOC_ROLE_VIEWER);
    hears(c, "HTTP/1.1 200 ");
    client_close(c);
}

Test(rest, making_a_document_asks_for_all_of_it_and_says_where_it_is)
{
    struct client *c = client_open();
    requests(c, "POST /docs", "Content-Type: application/json; charset=utf-8\r\n",
             "{\"content\":{\"ops\":[{\"insert\":\"hi\"}]},\"id\":\"d0\",\"title\":\"T\",\"type\":"
             "\"rich\"}");
    struct bytes payload = asked(shard_of("d0"), MSG_DOC_CREATE);
    struct reader r = reader_of(payload);
    struct msg_call m;
    msg_read_struct(&r, &m);
    (void)msg_read_identity(&r);
    cr_assert_eq(m.arg8, DOC_RICH);
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("d0")));
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("T")));
    struct op_reader or = op_reader_of(read_str(&r));
    struct op_part part;
    cr_assert(op_next(& or, &part) && bytes_eq(part.text, BYTES_LIT("hi")));
    cr_assert(r.ok && reader_left(&r) == 0);
    say_doc(m.head, DOC_ROLE_OWNER);
    hears(c, "HTTP/1.1 201 ");
    hears(c, "Location: /docs/d0\r\n");
    client_close(c);
}

Test(rest, a_changed_title_is_answered_with_the_document)
{
    struct client *c = client_open();
    requests(c, "PATCH /docs/d0", "", "{\"title\":\"Plan\"}");
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof buf);
    struct msg_head head = head_of(asked(shard_of("d0"), MSG_DOC_TITLE));
    msg_write_struct(&w, &head);
    say(shard_of("d0"), MSG_DONE, &w);
    say_doc(head_of(asked(shard_of("d0"), MSG_DOC_GET)), DOC_ROLE_VIEWER);
    hears(c, DOC_JSON);
    client_close(c);
}

Test(rest, collaborators_are_shown_to_owners_alone)
{
    struct client *c = client_open();
    requests(c, "GET /docs/d0/collaborators?limit=1", "", "");
    say_doc(head_of(asked(shard_of("d0"), MSG_DOC_GET)), DOC_ROLE_OWNER);
    hears(c, "{\"items\":[{\"user_id\":\"ada\",\"role\":\"owner\"}],\"cursor\":\"");
    char line[256];
    snprintf(line, sizeof line, "GET /docs/d0/collaborators?cursor=%.*s", (int)strcspn(c->in, "\""),
             c->in);
    c->n = 0;
    requests(c, line, "", "");
    say_doc(head_of(asked(shard_of("d0"), MSG_DOC_GET)), DOC_ROLE_OWNER);
    hears(c, "{\"items\":[{\"user_id\":\"group:team\",\"role\":\"viewer\"}],\"cursor\":null}");
    requests(c, "GET /docs/d0/collaborators", "", "");
    say_doc(head_of(asked(shard_of("d0"), MSG_DOC_GET)), DOC_ROLE_VIEWER);
    hears(c, "HTTP/1.1 403 ");
    client_close(c);
}

/* ---- ops and history ---- */

static void say_acks(struct msg_head head, uint32_t n, enum status status)
{
    uint8_t buf[256];
    struct writer w = writer_of(buf, sizeof buf);
    msg_write_struct(&w, (&(struct msg_acks){.head = head,
                                             .seq = n + 1,
                                             .n_acks = n,
                                             .status = (uint16_t)status,
                                             .flags = status ? MSG_ERROR_SEQ : 0}));
    for (uint32_t i = 0; i < n; i++)
        msg_write_struct(&w, (&(struct msg_ack){.seq = i + 1, .version = 7 + i}));
    say(shard_of("d0"), MSG_ACKS, &w);
}

#define OP(seq)                                                                                    \
    "{\"type\":\"delete\",\"pos\":0,\"len\":1,\"version\":6,\"client_id\":\"c\",\"seq\":" #seq "}"

Test(rest, ops_are_answered_with_their_acks_and_with_what_was_refused)
{
    struct client *c = client_open();
    requests(c, "POST /docs/d0/ops", "", "{\"ops\":[" OP(1) "," OP(2) "]}");
    struct bytes payload = asked(shard_of("d0"), MSG_OPS);
    struct msg_ops m;
    memcpy(&m, payload.p, sizeof m);
    cr_assert_eq(m.flags, MSG_OPS_CALL);
    cr_assert_eq(m.n_ops, 2);
    say_acks(m.head, 2, STATUS_OK);
    hears(c, "\r\n\r\n{\"acks\":[{\"seq\":1,\"new_version\":7},{\"seq\":2,\"new_version\":8}]}");

    requests(c, "POST /docs/d0/ops", "", "{\"ops\":[" OP(1) "," OP(2) "]}");
    say_acks(head_of(asked(shard_of("d0"), MSG_OPS)), 1, STATUS_SEQ_GAP);
    hears(c, "HTTP/1.1 409 ");
    hears(c, "\"code\":\"seq_gap\",\"acks\":[{\"seq\":1,\"new_version\":7}],\"seq\":2}");

    requests(
        c, "POST /docs/d0/ops", "",
        "{\"ops\":[" OP(1) ",{\"type\":\"delete\",\"pos\":0,\"len\":0,\"version\":6,\"seq\":2}]}");
    payload = asked(shard_of("d0"), MSG_OPS);
    memcpy(&m, payload.p, sizeof m);
    cr_assert_eq(m.n_ops, 1);
    say_acks(m.head, 1, STATUS_OK);
    hears(c, "HTTP/1.1 422 ");
    hears(c, "\"code\":\"op_invalid\",\"acks\":[{\"seq\":1,\"new_version\":7}],\"seq\":2}");
    client_close(c);
}

Test(rest, history_goes_on_behind_its_cursor)
{
    uint8_t buf[512];
    struct client *c = client_open();
    requests(c, "GET /docs/d0/history?from=3&to=9&limit=1", "", "");
    struct bytes payload = asked(shard_of("d0"), MSG_DOC_HISTORY);
    struct msg_call m;
    memcpy(&m, payload.p, sizeof m);
    cr_assert(m.arg64 == 3 && m.arg64b == 9 && m.arg32 == 1);
    struct writer w = writer_of(buf, sizeof buf);
    msg_write_struct(&w, (&(struct msg_items){.head = m.head, .n = 1, .more = 1}));
    write_str(&w, BYTES_LIT("ada"));
    write_str(&w, BYTES_LIT("c1"));
    write_str(&w, (struct bytes){0});
    msg_write_struct(&w, (&(struct msg_op_out){.version = 3, .seq = 2, .unix_ms = 1000}));
    say(shard_of("d0"), MSG_HISTORY_ITEMS, &w);
    hears(c,
          "{\"items\":[{\"version\":3,\"op\":{\"type\":\"delta\",\"ops\":[],\"client_id\":\"c1\","
          "\"seq\":2,\"version\":2},\"op_id\":\"c1:2\",\"client_id\":\"c1\",\"user_id\":\"ada\","
          "\"timestamp\":\"1970-01-01T00:00:01.000Z\"}],\"cursor\":\"");
    char line[256];
    snprintf(line, sizeof line, "GET /docs/d0/history?from=3&to=9&cursor=%.*s",
             (int)strcspn(c->in, "\""), c->in);
    requests(c, line, "", "");
    payload = asked(shard_of("d0"), MSG_DOC_HISTORY);
    memcpy(&m, payload.p, sizeof m);
    cr_assert(m.arg64 == 4 && m.arg64b == 9 && m.arg32 == 50);
    client_close(c);
}

/* ---- what never reaches a shard ---- */

Test(rest, requests_that_make_no_sense_are_refused_with_their_status)
{
    static const struct {
        const char *line, *headers, *body, *status, *also;
    } rows[] = {
        {"GET /nothing", "", "", "404", "\"code\":\"not_found\""},
        {"GET /docs/", "", "", "404", ""},
        {"PUT /docs", "", "{}", "405", "Allow: GET, HEAD, POST\r\n"},
        {"POST /docs/d0", "", "{}", "405", "Allow: GET, HEAD, PATCH, DELETE\r\n"},
        {"GET /docs/d0/diff?from=1&to=2", "", "", "501", "\"code\":\"not_implemented\""},
        {"GET /docs/d0?version=1&at=2024-01-01T00:00:00Z", "", "", "400", ""},
        {"GET /docs?limit=501", "", "", "400", ""},
        {"GET /docs?cursor=AAAA", "", "", "400", ""},
        {"POST /docs", "Content-Type: text/plain\r\n", "7", "400", "\"status\":400"},
        {"POST /docs", "", "[]", "400", "\"code\":\"bad_message\""},
        {"POST /docs", "", "{\"id\":\"a/b\"}", "400", ""},
        {"POST /docs", "", "{\"type\":\"sheet\"}", "400", ""},
        {"POST /docs", "", "{\"content\":7}", "400", ""},
        {"POST /docs", "", "{\"type\":\"rich\",\"content\":{\"ops\":[{\"retain\":1}]}}", "422", ""},
        {"PUT /docs/d0/collaborators/bob", "", "{\"role\":\"king\"}", "400", ""},
        {"PUT /docs/d0/collaborators/group:", "", "{\"role\":\"viewer\"}", "400", ""},
        {"POST /docs/d0/ops", "", "{\"ops\":[{}]}", "422", ""},
        {"POST /docs/d0/ops", "", "{\"ops\":[{\"type\":\"delete\",\"pos\":0,\"len\":1}]}", "422",
         "\"code\":\"op_invalid\""},
        {"POST /dev/token", "", "{\"name\":\"x\"}", "404", ""},
    };
    struct client *c = client_open();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char status[32];
        snprintf(status, sizeof status, "HTTP/1.1 %s ", rows[i].status);
        requests(c, rows[i].line, rows[i].headers, rows[i].body);
        hears(c, status);
        hears(c, rows[i].also);
        hears(c, "}\n");
    }
    struct ring_record r;
    cr_assert_not(has_asked(0, &r) || has_asked(1, &r));
    client_close(c);
}

Test(rest, a_call_without_a_token_is_401_and_says_how_to_come_back)
{
    struct client *c = client_open();
    send_all(c, BYTES_LIT("GET /docs/d0 HTTP/1.1\r\nHost: here\r\n\r\n"));
    hears(c, "HTTP/1.1 401 ");
    hears(c, "WWW-Authenticate: Bearer\r\n");
    hears(c, "\"code\":\"unauthorized\"}\n");
    client_close(c);
}
