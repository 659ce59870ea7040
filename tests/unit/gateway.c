/* The gateway role: handshakes, messages, the end; see gateway_rig.h. */
#include "tests/unit/gateway_rig.h"

TestSuite(gateway, .init = start, .fini = close_gateway, .timeout = 60);
TestSuite(gateway_start, .init = open_gateway, .fini = close_gateway, .timeout = 60);

Test(gateway_start, answers_503_until_every_shard_is_ready_but_says_that_it_is_alive)
{
    struct client *c = client_open();
    requests(c, "GET /docs/d0", "", "");
    hears(c, "HTTP/1.1 503 ");
    hears(c, "Retry-After: 1\r\n");
    hears(c, "\"code\":\"unavailable\"}");
    requests(c, "GET /healthz", "", "");
    hears(c, "HTTP/1.1 200 ");
    requests(c, "GET /readyz", "", "");
    hears(c, "HTTP/1.1 503 ");
    say_ready();
    requests(c, "GET /readyz", "", "");
    hears(c, "HTTP/1.1 200 ");
    client_close(c);
}

Test(gateway, checks_a_handshake_in_the_protocols_order)
{
    static const struct {
        const char *target, *headers, *status;
    } rows[] = {
        {"/ws/docs/d0?version=x", "", "426"}, /* before the parameters */
        {"/ws/docs/d0?version=x", UPGRADE "Authorization: Bearer no\r\n", "400"},
        {"/ws/docs/d0?client_id=", UPGRADE, "400"},
        {"/ws/docs/d0?client_id=a&client_id=b", UPGRADE, "400"},
        {"/ws/docs/d0?history_hash=0123456789abcdef", UPGRADE, "400"},
        {"/ws/docs/d0?version=1&history_hash=0123456789abcdeg", UPGRADE, "400"},
        {"/ws/docs/d0", UPGRADE "Origin: http://foreign\r\n", "403"},
        {"/ws/docs/d0", UPGRADE "Origin: null\r\n", "403"},
        {"/ws/docs/d0", UPGRADE "Origin: https://here\r\n", "403"}, /* another scheme */
        {"/ws/docs/d%2F0", UPGRADE, "404"},
        {"/ws/docs/", UPGRADE, "404"},
        {"/ws/notifications", UPGRADE, "501"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client *c = client_open();
        char line[128], status[32];
        snprintf(line, sizeof line, "GET %s", rows[i].target);
        snprintf(status, sizeof status, "HTTP/1.1 %s ", rows[i].status);
        requests(c, line, rows[i].headers, "");
        hears(c, status);
        client_close(c);
    }
    struct client *c = client_open();
    send_all(
        c, BYTES_LIT("GET /ws/docs/d0 HTTP/1.1\r\nHost: here\r\nOrigin: http://foreign\r\n" UPGRADE
                     "\r\n"));
    hears(c, "HTTP/1.1 401 ");
    hears(c, "WWW-Authenticate: Bearer\r\n");
    client_close(c);
}

Test(gateway, takes_origins_that_are_its_own_or_on_the_list)
{
    static const char *const origins[] = {"http://here", "http://HERE:80",
                                          "https://editor.example"};
    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        struct client *c = client_open();
        char headers[512];
        snprintf(headers, sizeof headers, UPGRADE "Origin: %s\r\n", origins[i]);
        requests(c, "GET /ws/docs/d0", headers, "");
        (void)asked(shard_of("d0"), MSG_JOIN);
        client_close(c);
    }
}

Test(gateway, welcomes_with_every_field_after_the_shard_let_it_in)
{
    struct client *c = client_open();
    requests(c, "GET /ws/docs/d0?client_id=c1&version=2&history_hash=00000000000000fF",
             UPGRADE "Sec-WebSocket-Protocol: penstock.v1\r\n", "");
    struct bytes payload = asked(shard_of("d0"), MSG_JOIN);
    struct reader r = reader_of(payload);
    struct msg_join m;
    msg_read_struct(&r, &m);
    struct msg_identity id = msg_read_identity(&r);
    cr_assert_eq(m.version, 2);
    cr_assert_eq(m.hash, 0xff);
    cr_assert_eq(m.flags, MSG_JOIN_VERSION | MSG_JOIN_HASH);
    cr_assert(bytes_eq(id.user, BYTES_LIT("ada")));
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("d0")));
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("c1")));
    cr_assert(r.ok);
    say_joined(shard_of("d0"), m.head, 3, MSG_JOINED_CONTENT | MSG_JOINED_RESET);
    hears(c, "HTTP/1.1 101 ");
    hears(c, "Sec-WebSocket-Protocol: penstock.v1\r\n");
    hears(c, "{\"type\":\"welcome\",\"doc_id\":\"d0\",\"session_id\":\"");
    hears(c, "\",\"client_id\":\"c1\",\"doc_type\":\"text\",\"version\":4,"
             "\"history_hash\":\"0000000000abcdef\",\"role\":\"editor\",\"last_seq\":2,"
             "\"last_seq_version\":3,\"presence\":[],\"limits\":{\"message_bytes\":1048576,"
             "\"op_components\":10000,\"document_units\":1048576},\"content\":\"abc\","
             "\"reset\":true}");
    client_close(c);
}

Test(gateway, a_refused_join_is_answered_over_http)
{
    static const struct {
        enum status status;
        const char *line;
    } rows[] = {{STATUS_NOT_FOUND, "HTTP/1.1 404 "},
                {STATUS_FORBIDDEN, "HTTP/1.1 403 "},
                {STATUS_GONE, "HTTP/1.1 410 "},
                {STATUS_INTERNAL, "HTTP/1.1 500 "},
                {STATUS_UNAVAILABLE, "HTTP/1.1 503 "}};
    struct client *c = client_open();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) { /* all on one connection */
        uint8_t buf[128];
        requests(c, "GET /ws/docs/d0", UPGRADE, "");
        struct msg_error e = {.head = head_of(asked(shard_of("d0"), MSG_JOIN)),
                              .status = (uint16_t)rows[i].status};
        struct writer w = writer_of(buf, sizeof buf);
        msg_write_struct(&w, &e);
        write_str(&w, BYTES_LIT("so it is"));
        say(shard_of("d0"), MSG_FAIL, &w);
        hears(c, rows[i].line);
        hears(c, "\"detail\":\"so it is\"");
    }
    client_close(c);
}

Test(gateway, a_session_made_for_a_connection_that_is_gone_is_given_back)
{
    struct client *c = client_open();
    requests(c, "GET /ws/docs/d0", UPGRADE, "");
    struct msg_head head = head_of(asked(shard_of("d0"), MSG_JOIN));
    client_close(c);
    for (unsigned i = 0; i < 50; i++) {
        step();
        usleep(500);
    }
    say_joined(shard_of("d0"), head, 9, MSG_JOINED_CONTENT);
    struct msg_head left = head_of(asked(shard_of("d0"), MSG_LEAVE));
    cr_assert_eq(left.session, 9);
    cr_assert_eq(left.session_gen, 7);
}

Test(gateway, a_session_that_ends_leaves)
{
    struct client *c = joins("c1", 4, NULL);
    client_close(c);
    cr_assert_eq(head_of(asked(shard_of("d0"), MSG_LEAVE)).session, 4);
}

Test(gateway, carries_an_op_to_the_shard_and_what_came_of_it_back)
{
    struct msg_head a_head;
    struct client *a = joins("c1", 1, &a_head);
    struct client *b = joins("c2", 2, NULL);
    sends(
        a,
        "{\"type\":\"op\",\"op\":{\"type\":\"insert\",\"pos\":1,\"str\":\"x\",\"client_id\":\"c1\","
        "\"seq\":3,\"version\":4}}");
    struct bytes payload = asked(shard_of("d0"), MSG_OPS);
    struct reader r = reader_of(payload);
    struct msg_ops m;
    struct msg_op_in in;
    msg_read_struct(&r, &m);
    msg_read_struct(&r, &in);
    cr_assert_eq(m.head.session, 1);
    cr_assert_eq(m.head.session_gen, 7);
    cr_assert_eq(m.base_version, 4);
    cr_assert_eq(m.n_ops, 1);
    cr_assert_eq(m.flags, 0);
    cr_assert_eq(in.seq, 3);
    struct op_reader or = op_reader_of(read_bytes(&r, in.op_bytes));
    struct op_part part;
    cr_assert(op_next(& or, &part) && part.kind == OP_RETAIN && part.n_u16 == 1);
    cr_assert(op_next(& or, &part) && bytes_eq(part.text, BYTES_LIT("x")));
    msg_read_pad8(&r, payload.p);
    cr_assert(r.ok && reader_left(&r) == 0);

    say_released(a_head.tag, 5, 1, "c1");
    hears(a, "{\"type\":\"ack\",\"client_id\":\"c1\",\"seq\":3,\"new_version\":5}");
    hears(
        b,
        "{\"type\":\"op\",\"op\":{\"type\":\"insert\",\"pos\":0,\"str\":\"x\",\"client_id\":\"c1\","
        "\"seq\":3,\"version\":4},\"new_version\":5,\"user_id\":\"ada\","
        "\"timestamp\":\"2023-11-14T22:13:20.000Z\"}");
    hears_nothing(a);
    hears_nothing(b);
    client_close(a);
    client_close(b);
}

Test(gateway, takes_bare_ops_without_client_and_seq)
{
    struct client *c = joins("c1", 1, NULL);
    sends(c, "{\"type\":\"delete\",\"pos\":0,\"len\":2,\"version\":4}");
    struct bytes payload = asked(shard_of("d0"), MSG_OPS);
    struct msg_op_in in;
    memcpy(&in, payload.p + sizeof(struct msg_ops), sizeof in);
    cr_assert_eq(in.flags, MSG_OP_NO_SEQ);
    client_close(c);
}

Test(gateway, refuses_what_makes_no_sense_and_goes_on)
{
    static const struct {
        const char *text, *code;
    } rows[] = {
        {"x", "bad_message"},
        {"[]", "bad_message"},
        {"{}", "bad_message"},
        {"{\"type\":\"dance\"}", "bad_message"},
        {"{\"type\":\"op\"}", "op_invalid"},
        {"{\"type\":\"ops\",\"ops\":[]}", "op_invalid"},
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"x\"}", "op_invalid"},
        {"{\"type\":\"insert\",\"pos\":-1,\"str\":\"x\",\"version\":4,\"seq\":3}", "op_invalid"},
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"x\",\"version\":4,\"seq\":3,\"attributes\":{"
         "\"b\":1}}",
         "op_invalid"},
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"x\",\"version\":4,\"client_id\":\"c9\"}",
         "forbidden"},
        {"{\"type\":\"presence_update\"}", "bad_message"},
        {"{\"type\":\"presence_update\",\"cursor_pos\":1,\"selection\":[1]}", "bad_message"},
        {"{\"type\":\"auth\",\"token\":\"x\"}", "unauthorized"},
    };
    struct client *c = joins("c1", 1, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char want[64];
        sends(c, rows[i].text);
        snprintf(want, sizeof want, "{\"type\":\"error\",\"code\":\"%s\"", rows[i].code);
        hears(c, want);
        hears(c, "\"retry\":false");
        hears(c, strstr(rows[i].text, "seq") ? ",\"seq\":3}" : "}");
    }
    sends(c, "{\"type\":\"ping\"}");
    hears(c, "{\"type\":\"pong\"}");
    hears_nothing(c);
    struct ring_record r;
    cr_assert_not(has_asked(shard_of("d0"), &r), "the shard heard of none of it");
    client_close(c);
}

Test(gateway, of_several_ops_those_before_a_bad_one_stand_and_the_error_comes_last)
{
    struct msg_head head;
    struct client *c = joins("c1", 1, &head);
    sends(c, "{\"type\":\"ops\",\"ops\":["
             "{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"seq\":3,\"version\":4},"
             "{\"type\":\"insert\",\"pos\":0,\"str\":\"b\",\"seq\":4,\"version\":4},"
             "{\"type\":\"insert\",\"pos\":0,\"str\":\"c\",\"seq\":5,\"version\":5},"
             "{\"type\":\"insert\",\"pos\":0,\"str\":\"d\",\"seq\":6,\"version\":4}]}");
    struct bytes payload = asked(shard_of("d0"), MSG_OPS);
    struct msg_ops m;
    memcpy(&m, payload.p, sizeof m);
    cr_assert_eq(m.n_ops, 2);
    hears_nothing(c);
    say_released(head.tag, 5, 2, "c1");
    hears(c, "\"seq\":3,\"new_version\":5}");
    hears(c, "\"seq\":4,\"new_version\":6}");
    hears(c, "\"code\":\"op_invalid\"");
    hears(c, "\"seq\":5}");
    hears_nothing(c);
    client_close(c);
}

Test(gateway, a_full_ring_stops_the_reading_and_loses_nothing)
{
    struct client *c = joins("c1", 1, NULL);
    char text[512];
    unsigned sent = 0, taken = 0;
    for (; sent < 900; sent++) { /* more than the ring holds, and within the rate limit */
        snprintf(text, sizeof text,
                 "{\"type\":\"insert\",\"pos\":0,\"str\":\"%0200d\",\"seq\":%u,\"version\":4}", 0,
                 sent + 1);
        sends(c, text);
    }
    for (; taken < sent; taken++) {
        struct bytes payload = asked(shard_of("d0"), MSG_OPS);
        struct msg_op_in in;
        memcpy(&in, payload.p + sizeof(struct msg_ops), sizeof in);
        cr_assert_eq(in.seq, taken + 1);
    }
    hears_nothing(c);
    client_close(c);
}

Test(gateway, catches_up_in_pieces_and_gives_credit_for_each)
{
    uint8_t buf[1024];
    struct client *c = client_open();
    requests(c, "GET /ws/docs/d0?version=2&client_id=c1", UPGRADE, "");
    struct msg_head head = head_of(asked(shard_of("d0"), MSG_JOIN));
    say_joined(shard_of("d0"), head, 6, 0);
    hears(c, "\"document_units\":1048576}}");
    head.session = 6;
    head.session_gen = 7;
    struct writer w = writer_of(buf, sizeof buf);
    msg_write_struct(&w, (&(struct msg_catchup){.head = head, .first_version = 3, .n_ops = 2}));
    for (uint64_t v = 3; v <= 4; v++) {
        write_str(&w, BYTES_LIT("bob"));
        write_str(&w, BYTES_LIT("c7"));
        write_str(&w, v == 4 ? BYTES_LIT("eve") : (struct bytes){0});
        msg_write_struct(&w, (&(struct msg_op_out){.version = v, .flags = MSG_OP_NO_SEQ}));
    }
    say(shard_of("d0"), MSG_CATCHUP, &w);
    hears(c, "{\"type\":\"op\",\"op\":{\"type\":\"delta\",\"ops\":[],\"client_id\":\"c7\","
             "\"seq\":null,\"version\":2},\"new_version\":3,\"user_id\":\"bob\",");
    hears(c, "\"new_version\":4,\"user_id\":\"bob\",\"accepted_by\":\"eve\",");
    cr_assert_eq(head_of(asked(shard_of("d0"), MSG_CREDIT)).session, 6);
    say_released(0, 5, 1, "c7"); /* not live yet: it is told through the catch-up */
    hears(c, "}");
    hears_nothing(c);
    w = writer_of(buf, sizeof buf);
    msg_write_struct(&w, (&(struct msg_synced){.head = head, .version = 5, .hash = 1}));
    say(shard_of("d0"), MSG_SYNCED, &w);
    hears(c, "{\"type\":\"synced\",\"version\":5,\"history_hash\":\"0000000000000001\"}");
    say_released(0, 6, 1, "c7");
    hears(c, "\"new_version\":6");
    client_close(c);
}

Test(gateway, draining_says_goodbye_with_a_spread_and_closes_with_1012)
{
    struct client *a = joins("c1", 1, NULL);
    struct client *b = joins("c2", 2, NULL);
    gateway_drain(gateway);
    hears(a, "{\"type\":\"goodbye\",\"reason\":\"restart\",\"retry_after_ms\":");
    hears(b, "{\"type\":\"goodbye\",\"reason\":\"restart\",\"retry_after_ms\":");
    cr_assert_neq(atoi(a->in), atoi(b->in));
    cr_assert(atoi(a->in) >= 100 && atoi(a->in) <= 5000);
    hears_close(a, 1012);
    hears_close(b, 1012);
    client_close(a);
    client_close(b);
    for (unsigned ms = 0; !gateway_is_drained(gateway); ms++) {
        cr_assert_lt(ms, WAIT_MS);
        step();
        usleep(500);
    }
}

Test(gateway, draining_waits_for_acks_that_are_under_way)
{
    struct msg_head head;
    struct client *c = joins("c1", 1, &head);
    sends(c, "{\"type\":\"delete\",\"pos\":0,\"len\":2,\"version\":4,\"seq\":3}");
    (void)asked(shard_of("d0"), MSG_OPS);
    gateway_drain(gateway);
    hears_nothing(c);
    sends(c, "{\"type\":\"delete\",\"pos\":0,\"len\":2,\"version\":4,\"seq\":4}");
    hears(c, "\"code\":\"unavailable\"");
    hears(c, "\"retry\":true");
    say_released(head.tag, 5, 1, "c1");
    hears(c, "\"seq\":3,\"new_version\":5}");
    hears(c, "goodbye");
    client_close(c);
}

Test(gateway, every_refusal_of_a_shard_is_an_error_by_its_name)
{
    static const struct {
        enum status status;
        uint32_t retry_after_ms;
        const char *code, *rest;
    } rows[] = {
        {STATUS_OP_INVALID, 0, "\"code\":\"op_invalid\"", "\"retry\":false"},
        {STATUS_SEQ_GAP, 0, "\"code\":\"seq_gap\"", "\"retry\":false"},
        {STATUS_SEQ_REUSED, 0, "\"code\":\"seq_reused\"", "\"retry\":false"},
        {STATUS_VERSION_AHEAD, 0, "\"code\":\"version_ahead\"", "\"retry\":false"},
        {STATUS_FORBIDDEN, 0, "\"code\":\"forbidden\"", "\"retry\":false"},
        {STATUS_TOO_LARGE, 0, "\"code\":\"too_large\"", "\"retry\":false"},
        {STATUS_INTERNAL, 0, "\"code\":\"internal\"", "\"retry\":false"},
        {STATUS_UNAVAILABLE, 250, "\"code\":\"unavailable\"",
         "\"retry\":true,\"retry_after_ms\":250"},
    };
    struct msg_head h;
    struct client *c = joins("c1", 1, &h);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t buf[128];
        struct msg_error e = {.head = h,
                              .seq = 7 + i,
                              .retry_after_ms = rows[i].retry_after_ms,
                              .status = (uint16_t)rows[i].status,
                              .flags = MSG_ERROR_SEQ};
        struct writer w = writer_of(buf, sizeof buf);
        msg_write_struct(&w, &e);
        write_str(&w, BYTES_LIT("so it is"));
        say(shard_of("d0"), MSG_ERROR, &w);
        hears(c, rows[i].code);
        hears(c, rows[i].rest);
    }
    sends(c, "{\"type\":\"ping\"}"); /* and the connection stays open */
    hears(c, "pong");
    client_close(c);
}

Test(gateway, too_many_messages_are_refused_and_in_the_end_cut_off)
{
    struct client *c = joins("c1", 1, NULL);
    frozen_ns = clock_mono_ns(); /* all of it within one moment */
    for (unsigned i = 0; i < 1001; i++)
        sends(c, "{\"type\":\"ping\"}");
    hears(c, "\"code\":\"rate_limited\"");
    hears(c, "\"retry\":true,\"retry_after_ms\":");
    for (unsigned i = 0; i < 4000; i++) {
        sends(c, "{\"type\":\"ping\"}");
        receive(c);
        if (c->n > BUF_BYTES / 2)
            c->n = 0;
    }
    hears_close(c, 4429);
    client_close(c);
}

Test(gateway, a_token_that_ends_closes_its_connection_with_4401)
{
    struct client *c = client_open();
    char text[4096];
    int n = snprintf(text, sizeof text,
                     "GET /ws/docs/d0 HTTP/1.1\r\nHost: here\r\n" UPGRADE
                     "Sec-WebSocket-Protocol: penstock.v1, bearer.%s\r\n\r\n",
                     token_of("ada", 1));
    send_all(c, bytes_of(text, (size_t)n));
    say_joined(shard_of("d0"), head_of(asked(shard_of("d0"), MSG_JOIN)), 1, MSG_JOINED_CONTENT);
    hears(c, "\"content\":\"abc\"}");
    hears_close(c, 4401);
    cr_assert_eq(head_of(asked(shard_of("d0"), MSG_LEAVE)).session, 1);
    client_close(c);
}

Test(gateway, messages_of_a_shard_that_are_cut_short_harm_nobody)
{
    struct client *c = joins("c1", 1, NULL);
    static const enum msg_type types[] = {
        MSG_JOINED, MSG_CATCHUP,      MSG_SYNCED,    MSG_RELEASED,  MSG_ACKS, MSG_ERROR,
        MSG_CLOSE,  MSG_PRESENCE_OUT, MSG_TITLE_OUT, MSG_DOC_ITEMS, MSG_FAIL, MSG_READY};
    uint8_t buf[64] = {0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (size_t n = 8; n <= 24; n += 8) {
            struct writer w = writer_of(buf, sizeof buf);
            w.p += n;
            say(shard_of("d0"), types[i], &w);
            step();
        }
    }
    sends(c, "{\"type\":\"ping\"}");
    hears(c, "{\"type\":\"pong\"}");
    client_close(c);
}
