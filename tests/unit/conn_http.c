/* Connections over real sockets: requests, answers, refusals, deadlines. */
#include "tests/support/conn_rig.h"

Test(conn_http, requests_are_answered_one_after_the_other_on_one_connection)
{
    serve(NULL);
    int fd = dial();
    for (unsigned i = 0; i < 3; i++) {
        say_text(fd, GET("/one"));
        hear_head(fd);
        cr_assert(strstr(heard, "HTTP/1.1 200 OK\r\n") && strstr(heard, "Content-Length: 6\r\n"));
        cr_assert(strstr(heard, "X-Test: y\r\n") && strstr(heard, "Date: "));
        cr_assert(!hear(fd, 6) && !memcmp(heard, "/one 0", 6));
    }
    say_text(fd, GET("/a") GET("/b") GET("/c"));
    for (unsigned i = 0; i < 3; i++) {
        hear_head(fd);
        hear(fd, 4);
        cr_assert_eq(heard[1], (char)('a' + i));
    }
    close(fd);
    until(server.n_gone == 1);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, a_request_may_come_byte_by_byte_with_either_kind_of_body)
{
    static const char text[] = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                               "POST /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                               "chunked\r\n\r\n3\r\nabc\r\n4;x\r\ndefg\r\n"
                               "0\r\n\r\n" GET("/r");
    serve(NULL);
    int fd = dial();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        say_bytes(fd, text + i, 1);
        turn();
    }
    static const char *const want[] = {"/p 5", "/q 7", "/r 0"};
    for (unsigned i = 0; i < 3; i++) {
        hear_head(fd);
        hear(fd, 4);
        cr_assert_eq(memcmp(heard, want[i], 4), 0, "%.4s", heard);
    }
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, head_gets_the_length_but_no_body)
{
    serve(NULL);
    int fd = dial();
    say_text(fd, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" GET("/y"));
    hear_head(fd);
    cr_assert(strstr(heard, "Content-Length: 4\r\n"));
    hear_head(fd);
    cr_assert(strstr(heard, "HTTP/1.1 200"));
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, keep_alive_ends_where_it_is_not_asked_for)
{
    serve(NULL);
    int fd = dial();
    say_text(fd, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    cr_assert(hear(fd, sizeof heard) && strstr(heard, "Connection: close\r\n"));
    close(fd);
    fd = dial();
    say_text(fd, "GET /x HTTP/1.0\r\n\r\n");
    cr_assert(hear(fd, sizeof heard) && strstr(heard, "/x 0"));
    close(fd);
    fd = dial();
    say_text(fd, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    hear_head(fd);
    cr_assert(strstr(heard, "Connection: keep-alive\r\n"));
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, refusals_carry_a_problem_and_end_the_connection)
{
    static const struct {
        const char *text, *status, *code;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "bad_message"},
        {"GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 ", "bad_message"},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ", "not_implemented"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", "HTTP/1.1 413 ",
         "too_large"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n",
         "HTTP/1.1 413 ", "too_large"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 ",
         "bad_message"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 ",
         "not_implemented"},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: a\r\n\r\n", "HTTP/1.1 417 ", "bad_message"},
    };
    serve(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = dial();
        say_text(fd, rows[i].text);
        cr_assert(hear(fd, sizeof heard), "row %zu", i);
        cr_assert_eq(strncmp(heard, rows[i].status, 13), 0, "%s", heard);
        cr_assert(strstr(heard, "Content-Type: application/problem+json\r\n"));
        cr_assert(strstr(heard, "Connection: close\r\n") && strstr(heard, rows[i].code));
        close(fd);
    }
    cr_assert_eq(server.n_requests, 0);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, a_refusal_is_read_although_the_client_goes_on_sending)
{
    static char junk[300000];
    serve(NULL);
    int fd = dial();
    say_text(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    say_bytes(fd, junk, sizeof junk);
    cr_assert(hear(fd, sizeof heard) && strstr(heard, "413 Content Too Large"));
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, continue_is_said_to_who_waits_for_it)
{
    serve(NULL);
    int fd = dial();
    say_text(fd,
             "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    hear_head(fd);
    cr_assert_str_eq(heard, "HTTP/1.1 100 Continue\r\n\r\n");
    say_text(fd, "hello");
    hear_head(fd);
    cr_assert(strstr(heard, "HTTP/1.1 200"));
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

static void be_impatient(struct conns_options *o)
{
    o->handshake_ms_max = 50;
    o->idle_http_ms_max = 50;
    o->body_ms_max = 50;
}

Test(conn_http, who_takes_too_long_is_told_408_or_dropped)
{
    serve(be_impatient);
    int silent = dial(), slow = dial(), idle = dial(), body = dial();
    say_text(slow, "GET / HTT");
    say_text(idle, GET("/x"));
    say_text(body, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell");
    cr_assert(hear(silent, sizeof heard) && heard_n == 0);
    cr_assert(hear(slow, sizeof heard) && strstr(heard, "HTTP/1.1 408"));
    cr_assert(hear(body, sizeof heard) && strstr(heard, "HTTP/1.1 408"));
    cr_assert(hear(idle, sizeof heard) && strstr(heard, "/x 0") && !strstr(heard, "408"));
    close(silent), close(slow), close(idle), close(body);
    until(conns_n(server.conns) == 0);
    cr_assert_eq(server.n_gone, 4);
    stop();
}

Test(conn_http, an_answer_may_come_later_and_what_is_pipelined_waits_within_bounds)
{
    static char flood[4 << 20];
    serve(NULL);
    server.hold = true;
    int fd = dial();
    say_text(fd, GET("/late"));
    until(server.n_requests == 1);
    size_t sent = 0;
    memset(flood, 'x', sizeof flood);
    for (unsigned i = 0; i < 400; i++) {
        ssize_t k = send(fd, flood, sizeof flood - sent, MSG_NOSIGNAL);
        sent += k > 0 ? (size_t)k : 0;
        turn();
    }
    cr_assert(conns_in_bytes(server.conns) < (8u << 20), "%llu held",
              (unsigned long long)conns_in_bytes(server.conns));
    struct conn *c = conn_find(server.conns, server.last_tag);
    cr_assert(c);
    conn_respond(c, &(struct http_response){.status = 204});
    hear_head(fd);
    cr_assert(strstr(heard, "HTTP/1.1 204 No Content\r\n") && !strstr(heard, "Content-Length"));
    cr_assert(hear(fd, sizeof heard)); /* the flood was no request */
    close(fd);
    until(conns_n(server.conns) == 0);
    cr_assert_eq(conn_find(server.conns, server.last_tag), NULL);
    stop();
}

Test(conn_http, a_client_that_shuts_its_half_still_gets_its_answer)
{
    serve(NULL);
    server.hold = true;
    int fd = dial();
    say_text(fd, GET("/x"));
    shutdown(fd, SHUT_WR);
    until(server.n_requests == 1);
    for (unsigned i = 0; i < 20; i++)
        turn();
    cr_assert_eq(server.n_gone, 0);
    conn_respond(conn_find(server.conns, server.last_tag),
                 &(struct http_response){
                     .status = 200, .content_type = "text/plain", .body = BYTES_LIT("fine")});
    cr_assert(hear(fd, sizeof heard) && strstr(heard, "fine"));
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, other_upgrades_get_426_with_the_version_that_is_spoken)
{
    serve(NULL);
    int fd = dial();
    say_text(fd, GET("/ws"));
    hear_head(fd);
    cr_assert(strstr(heard, "HTTP/1.1 426") && strstr(heard, "Sec-WebSocket-Version: 13\r\n") &&
              strstr(heard, "Upgrade: websocket\r\n"));
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_http, a_port_in_use_and_no_address_are_told_apart)
{
    struct conns *other;
    serve(NULL);
    struct conns_options o = server.options;
    o.listen.port = loop_port(conns_loop(server.conns));
    cr_assert_eq(conns_open(&other, &o), STATUS_LOCKED);
    o.listen.host = "not an address";
    cr_assert_eq(conns_open(&other, &o), STATUS_USAGE);
    uint16_t port = o.listen.port;
    turn();
    stop();
    o.listen.host = "127.0.0.1";
    o.listen.port = port; /* free again at once */
    cr_assert_eq(conns_open(&other, &o), STATUS_OK);
    conns_close(other);
}
