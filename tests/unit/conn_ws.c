/* Connections over real sockets: messages, closes, limits, TLS, and every kind of end. */
#include "tests/support/conn_rig.h"
#include "tests/support/tls_peer.h"

Test(conn_ws, messages_come_back_however_they_are_cut)
{
    uint8_t text[2000];
    serve(NULL);
    int fd = dial();
    size_t n = sizeof UPGRADE - 1;
    memcpy(text, UPGRADE, n);
    n += make_frame(text + n, 0x81, "with the request", 16);
    n += make_frame(text + n, 0x01, "in ", 3);
    n += make_frame(text + n, 0x89, "p", 1);
    n += make_frame(text + n, 0x80, "two", 3);
    say_bytes(fd, text, n); /* all at once */
    hear_head(fd);
    expect_frame(fd, 0x81, "with the request");
    expect_frame(fd, 0x8a, "p");
    expect_frame(fd, 0x81, "in two");
    n = make_frame(text, 0x81, "byte by byte", 12);
    for (size_t i = 0; i < n; i++) {
        say_bytes(fd, text + i, 1);
        turn();
    }
    expect_frame(fd, 0x81, "byte by byte");
    say_frame(fd, 0x88,
              "\x03\xe8"
              "bye");
    expect_close(fd, 1000);
    cr_assert(!hear(fd, 3) && !memcmp(heard, "bye", 3));
    cr_assert(hear(fd, 1));
    until(server.n_gone == 1);
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_ws, breaches_close_with_their_code)
{
    static const struct {
        const char *bytes;
        size_t n;
        unsigned code;
    } rows[] = {
        {"\x81\x01x", 3, 1002},
        {"\x82\x80\x01\x02\x03\x04", 6, 1003},
        {"\x81\x81\x00\x00\x00\x00\xff", 7, 1007},
        {"\x81\xff\x00\x00\x00\x00\x00\x10\x00\x01\x00\x00\x00\x00", 14, 1009},
        {"\x88\x82\x00\x00\x00\x00\x03\xe7", 8, 1002},
    };
    serve(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = dial_ws();
        say_bytes(fd, rows[i].bytes, rows[i].n);
        expect_close(fd, rows[i].code);
        cr_assert(hear(fd, 1));
        close(fd);
    }
    until(conns_n(server.conns) == 0);
    cr_assert_eq(server.n_gone, sizeof rows / sizeof rows[0]);
    cr_assert_eq(server.n_texts, 0);
    stop();
}

Test(conn_ws, a_flood_of_pings_is_ended_with_4429)
{
    uint8_t text[4000];
    size_t n = 0;
    serve(NULL);
    int fd = dial_ws();
    for (unsigned i = 0; i < 150; i++)
        n += make_frame(text + n, 0x89, "", 0);
    say_bytes(fd, text, n);
    for (unsigned i = 0; i < 100; i++)
        expect_frame(fd, 0x8a, "");
    expect_close(fd, CLOSE_LIMIT);
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

static void little_memory(struct conns_options *o)
{
    o->in_bytes_max = 100u << 10;
}

Test(conn_ws, half_messages_that_fill_the_memory_are_ended_with_1013_and_whole_ones_go_on)
{
    static uint8_t payload[60000], text[61000];
    memset(payload, 'x', sizeof payload);
    serve(little_memory);
    int first = dial_ws(), second = dial_ws();
    size_t n = make_frame(text, 0x81, payload, sizeof payload);
    say_bytes(first, text, n - 1);
    for (unsigned i = 0; i < 50; i++)
        turn();
    say_bytes(second, text, n - 1);
    expect_close(second, CLOSE_OVERLOAD);
    say_bytes(first, text + n - 1, 1);
    until(server.n_texts == 1);
    close(first);
    close(second);
    until(conns_n(server.conns) == 0);
    cr_assert_eq(conns_in_bytes(server.conns), 0);
    stop();
}

Test(conn_ws, our_close_waits_for_the_peers_and_not_for_ever)
{
    serve(NULL);
    int polite = dial_ws();
    say_frame(polite, 0x81, "a");
    expect_frame(polite, 0x81, "a");
    conn_ws_close(conn_find(server.conns, server.last_tag), CLOSE_RESTART, "later");
    expect_close(polite, CLOSE_RESTART);
    cr_assert(!hear(polite, 5) && !memcmp(heard, "later", 5));
    say_frame(polite, 0x81, "ignored");
    say_frame(polite, 0x88, "\x03\xf4");
    cr_assert(hear(polite, 1));
    cr_assert_eq(server.n_texts, 1);
    close(polite);
    until(conns_n(server.conns) == 0);

    int mute = dial_ws();
    say_frame(mute, 0x81, "b");
    expect_frame(mute, 0x81, "b");
    uint64_t since = clock_mono_ns();
    struct conn *c = conn_find(server.conns, server.last_tag);
    conn_ws_close(c, CLOSE_REPLACED, "");
    cr_assert(!conn_send_text(c, BYTES_LIT("too late")));
    until(server.n_gone == 2);
    cr_assert(clock_mono_ns() - since >= 90 * NS_PER_MS);
    until(conns_n(server.conns) == 0); /* it never closes its end */
    close(mute);
    stop();
}

static void fill(uint64_t tag, unsigned n_max, unsigned *n)
{
    static char text[10001];
    memset(text, 'x', sizeof text - 1);
    struct conn *c = conn_find(server.conns, tag);
    while (c && *n < n_max && conn_send_text(c, bytes_str(text))) {
        ++*n;
        if (*n % 16 == 0)
            turn();
        c = conn_find(server.conns, tag);
    }
}

Test(conn_ws, a_slow_reader_is_closed_with_4408_and_what_it_gets_is_whole_frames)
{
    serve(NULL);
    int fd = dial_ws();
    say_frame(fd, 0x81, "hi");
    expect_frame(fd, 0x81, "hi");
    unsigned n = 0;
    fill(server.last_tag, 100000, &n);
    cr_assert(n > 100 && n < 100000, "%u", n);
    struct conn *c = conn_find(server.conns, server.last_tag);
    cr_assert(!c || conn_queued_bytes(c) <= (1 << 20));
    for (unsigned i = 0;; i++) {
        cr_assert(!hear(fd, 4), "ended after %u of %u", i, n);
        if ((uint8_t)heard[0] == 0x88) {
            cr_assert_eq((uint8_t)heard[2] << 8 | (uint8_t)heard[3], CLOSE_SLOW);
            cr_assert(i < n);
            break;
        }
        cr_assert_eq(memcmp(heard, "\x81\x7e\x27\x10", 4), 0);
        cr_assert(!hear(fd, 10000));
    }
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_ws, one_that_never_reads_is_gone_in_bounded_time)
{
    serve(NULL);
    int fd = dial_ws();
    say_frame(fd, 0x81, "hi");
    expect_frame(fd, 0x81, "hi");
    unsigned n = 0;
    fill(server.last_tag, 100000, &n);
    cr_assert(n < 100000);
    until(conns_n(server.conns) == 0);
    cr_assert_eq(server.n_gone, 1);
    close(fd);
    stop();
}

Test(conn_ws, unbounded_content_does_not_count_and_the_rest_does)
{
    serve(NULL);
    int fd = dial_ws();
    say_frame(fd, 0x81, "hi");
    expect_frame(fd, 0x81, "hi");
    struct conn *c = conn_find(server.conns, server.last_tag);
    struct slab *slab;
    uint32_t offset, frame_n;
    enum { CONTENT = 8 << 20 };
    uint8_t *p = conn_frame_reserve(server.conns, CONTENT, &slab);
    memset(p, 'c', CONTENT);
    conn_frame_commit(server.conns, slab, CONTENT, &offset, &frame_n);
    cr_assert_eq(frame_n, CONTENT + 10);
    cr_assert(conn_send_frame_unbounded(c, slab, offset, frame_n));
    cr_assert(conn_send_text(c, BYTES_LIT("after it")));
    cr_assert(conn_queued_bytes(c) > CONTENT);
    size_t left = CONTENT + 10;
    while (left) {
        size_t want = left < sizeof heard ? left : sizeof heard;
        cr_assert(!hear(fd, want));
        left -= want;
    }
    expect_frame(fd, 0x81, "after it");
    until(conn_queued_bytes(c) == 0);
    cr_assert(server.n_drained > 0);
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_ws, frames_encoded_once_merge_and_go_to_many)
{
    serve(NULL);
    enum { N = 50 };
    int fds[N];
    uint64_t tags[N];
    for (unsigned i = 0; i < N; i++) {
        fds[i] = dial_ws();
        tags[i] = server.last_tag;
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned k = 0; k < 2; k++) {
            struct slab *slab;
            uint32_t offset, n;
            uint8_t *p = conn_frame_reserve(server.conns, 1000, &slab);
            memcpy(p, k ? "second" : "first!", 6);
            conn_frame_commit(server.conns, slab, 6, &offset, &n);
            cr_assert_eq(n, 8);
            for (unsigned i = 0; i < N; i++)
                cr_assert(conn_send_frame(conn_find(server.conns, tags[i]), slab, offset, n));
        }
        for (unsigned i = 0; i < N; i++) {
            expect_frame(fds[i], 0x81, "first!");
            expect_frame(fds[i], 0x81, "second");
        }
    }
    for (unsigned i = 0; i < N; i++)
        close(fds[i]);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_ws, a_paused_connection_is_not_read_and_goes_on_where_it_stopped)
{
    static uint8_t text[1 << 20];
    serve(NULL);
    server.pause_each = true;
    int fd = dial_ws();
    size_t n = 0;
    unsigned n_frames = 0;
    while (n < sizeof text - 200) {
        char payload[100];
        int len = snprintf(payload, sizeof payload, "message %u", n_frames++);
        n += make_frame(text + n, 0x81, payload, (size_t)len);
    }
    size_t sent = 0;
    for (unsigned k = 1; k <= n_frames; k++) {
        while (sent < n) {
            ssize_t got = send(fd, text + sent, n - sent, MSG_NOSIGNAL);
            if (got <= 0)
                break;
            sent += (size_t)got;
        }
        until(server.n_texts == k);
        if (k < 4)
            for (unsigned i = 0; i < 20; i++)
                turn();
        cr_assert_eq(server.n_texts, k);
        char want[32];
        snprintf(want, sizeof want, "message %u", k - 1);
        cr_assert_str_eq(server.last_text, want);
        char drained[4096];
        while (recv(fd, drained, sizeof drained, 0) > 0)
            ;
        conn_pause(conn_find(server.conns, server.last_tag), false);
    }
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
}

Test(conn_ws, a_thousand_connections_talk_and_leave_nothing_behind)
{
    enum { N = 1000 };
    static int fds[N];
    serve(NULL);
    for (unsigned i = 0; i < N; i++)
        fds[i] = dial_ws();
    cr_assert_eq(conns_n(server.conns), N);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < N; i++)
            say_frame(fds[i], 0x81, "hello");
        for (unsigned i = 0; i < N; i++)
            expect_frame(fds[i], 0x81, "hello");
    }
    cr_assert_eq(conns_in_bytes(server.conns), 0);
    for (unsigned i = 0; i < N; i++) {
        if (i % 2) { /* half of them by a reset */
            struct linger now = {1, 0};
            setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close(fds[i]);
    }
    until(conns_n(server.conns) == 0);
    cr_assert_eq(server.n_gone, N);
    cr_assert(loop_slab_bytes(conns_loop(server.conns)) <= 66ull * SLAB_BYTES);
    int again = dial_ws();
    say_frame(again, 0x81, "again");
    expect_frame(again, 0x81, "again");
    close(again);
    until(conns_n(server.conns) == 0);
    stop();
}

static void take_two(struct conns_options *o)
{
    o->conns_max = 2;
}

Test(conn_ws, more_than_conns_max_are_closed_at_once)
{
    serve(take_two);
    int a = dial_ws(), b = dial_ws(), c = dial();
    cr_assert(hear(c, 1));
    close(a);
    until(conns_n(server.conns) == 1);
    int d = dial_ws();
    say_frame(d, 0x81, "in");
    expect_frame(d, 0x81, "in");
    close(b), close(c), close(d);
    until(conns_n(server.conns) == 0);
    stop();
}

static void hold_little(struct conns_options *o)
{
    o->in_bytes_max = 100000;
}

Test(conn_ws, what_is_received_and_waits_is_bounded_over_all)
{
    static uint8_t text[70000];
    static char payload[60000];
    serve(hold_little);
    memset(payload, 'a', sizeof payload);
    size_t n = make_frame(text, 0x01, payload, sizeof payload);
    int a = dial_ws(), b = dial_ws();
    say_bytes(a, text, n);
    until(conns_in_bytes(server.conns) > 50000);
    say_bytes(b, text, n);
    expect_close(b, CLOSE_OVERLOAD);
    cr_assert(conns_in_bytes(server.conns) <= 100000);
    close(b);
    say_frame(a, 0x80, "!");
    cr_assert(!hear(a, 4 + sizeof payload + 1));
    close(a);
    until(conns_n(server.conns) == 0);
    stop();
}

/* ---- TLS ---- */

static struct tls_files files;

static void with_tls(struct conns_options *o)
{
    char err[256];
    cr_assert(tls_files_make(&files));
    cr_assert_eq(tls_context_open(&o->tls, files.cert, files.key, err, sizeof err), STATUS_OK);
}

static SSL *dial_tls(SSL_CTX *ctx, int fd)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    uint64_t end = clock_mono_ns() + 5 * NS_PER_S;
    while (SSL_connect(ssl) != 1 && clock_mono_ns() < end)
        turn();
    cr_assert(SSL_is_init_finished(ssl));
    return ssl;
}

/* At least n bytes, or false at the end. */
static bool hear_tls(SSL *ssl, size_t n)
{
    uint64_t end = clock_mono_ns() + 5 * NS_PER_S;
    heard_n = 0;
    memset(heard, 0, 4096);
    while (heard_n < n) {
        int k = SSL_read(ssl, heard + heard_n, (int)(n - heard_n));
        if (k > 0) {
            heard_n += (size_t)k;
            continue;
        }
        if (SSL_get_error(ssl, k) != SSL_ERROR_WANT_READ)
            return false;
        cr_assert(clock_mono_ns() < end);
        turn();
    }
    return true;
}

Test(conn_ws, over_tls_a_slow_reader_is_told_4408_inside_the_stream)
{
    uint8_t frame[100];
    serve(with_tls);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int fd = dial();
    SSL *ssl = dial_tls(ctx, fd);
    cr_assert_gt(SSL_write(ssl, UPGRADE, sizeof UPGRADE - 1), 0);
    for (unsigned line_ends = 0; line_ends < 5;) {
        cr_assert(hear_tls(ssl, 1));
        line_ends += heard[0] == '\n';
    }
    cr_assert_gt(SSL_write(ssl, frame, (int)make_frame(frame, 0x81, "hi", 2)), 0);
    cr_assert(hear_tls(ssl, 4) && !memcmp(heard, "\x81\x02hi", 4));
    unsigned n = 0;
    fill(server.last_tag, 100000, &n);
    cr_assert(n > 100 && n < 100000, "%u", n);
    for (unsigned i = 0;; i++) {
        cr_assert(hear_tls(ssl, 4), "ended after %u of %u", i, n);
        if ((uint8_t)heard[0] == 0x88) {
            cr_assert_eq((uint8_t)heard[2] << 8 | (uint8_t)heard[3], CLOSE_SLOW);
            break;
        }
        cr_assert(hear_tls(ssl, 10000));
    }
    SSL_free(ssl);
    close(fd);
    until(conns_n(server.conns) == 0);
    stop();
    tls_context_close(server.options.tls);
    SSL_CTX_free(ctx);
    tls_files_remove(&files);
}
