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
