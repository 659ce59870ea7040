/* TLS sessions over memory, against OpenSSL's client. */
#include "gateway/tls.h"
#include "tests/support/tls_peer.h"

#include <criterion/criterion.h>

struct pair {
    struct tls_files files;
    struct tls_context *ctx;
    struct tls *server;
    SSL_CTX *client_ctx;
    SSL *client;
    BIO *to_server, *to_client;
    uint8_t got[100000]; /* plain bytes that the server read */
    size_t got_n;
    enum status fed;
};

static struct pair p;

static void start_client(int version_max, SSL_SESSION *session)
{
    p.client = SSL_new(p.client_ctx);
    if (version_max)
        SSL_set_max_proto_version(p.client, version_max);
    p.to_server = BIO_new(BIO_s_mem());
    p.to_client = BIO_new(BIO_s_mem());
    SSL_set_bio(p.client, p.to_client, p.to_server);
    SSL_set_connect_state(p.client);
    if (session)
        SSL_set_session(p.client, session);
    cr_assert_eq(tls_open(&p.server, p.ctx), STATUS_OK);
    p.got_n = 0;
    p.fed = STATUS_OK;
}

static void stop_client(void)
{
    SSL_shutdown(p.client); /* else its session would not be one to resume */
    SSL_free(p.client);
    tls_close(p.server);
}

static void setup(void)
{
    char err[256] = "";
    cr_assert(tls_files_make(&p.files));
    cr_assert_eq(tls_context_open(&p.ctx, p.files.cert, p.files.key, err, sizeof err), STATUS_OK,
                 "%s", err);
    p.client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(p.client_ctx, 0);
}

static void teardown(void)
{
    tls_context_close(p.ctx);
    SSL_CTX_free(p.client_ctx);
    tls_files_remove(&p.files);
}

/* Carries bytes both ways, in pieces of `step`, until nothing moves. */
static void carry(size_t step)
{
    uint8_t buf[20000];
    bool moved = true;
    while (moved) {
        moved = false;
        int n;
        while ((n = BIO_read(p.to_server, buf, (int)step)) > 0) {
            p.fed = tls_feed(p.server, bytes_of(buf, (size_t)n));
            size_t got;
            while ((got = tls_read(p.server, p.got + p.got_n, sizeof p.got - p.got_n)) > 0)
                p.got_n += got;
            moved = true;
        }
        size_t taken;
        while ((taken = tls_take(p.server, buf, step)) > 0) {
            BIO_write(p.to_client, buf, (int)taken);
            moved = true;
        }
        if (!SSL_is_init_finished(p.client))
            SSL_do_handshake(p.client);
    }
}

static void shake(size_t step)
{
    SSL_do_handshake(p.client);
    carry(step);
    cr_assert(tls_is_up(p.server) && SSL_is_init_finished(p.client));
}

TestSuite(tls, .init = setup, .fini = teardown);

Test(tls, text_goes_both_ways_in_either_version_however_it_is_cut)
{
    static const size_t steps[] = {1, 7, 16384};
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (size_t i = 0; i < 3; i++) {
            start_client(version, NULL);
            shake(steps[i]);
            static uint8_t big[60000], back[60000];
            for (size_t k = 0; k < sizeof big; k++)
                big[k] = (uint8_t)(k * 31);
            for (size_t at = 0; at < sizeof big;) {
                int n = SSL_write(p.client, big + at, 16000);
                cr_assert_gt(n, 0);
                at += (size_t)n;
                if (sizeof big - at < 16000) {
                    cr_assert_eq(SSL_write(p.client, big + at, (int)(sizeof big - at)),
                                 (int)(sizeof big - at));
                    break;
                }
            }
            carry(steps[i]);
            cr_assert_eq(p.got_n, sizeof big);
            cr_assert_eq(memcmp(p.got, big, sizeof big), 0);
            cr_assert_eq(tls_write(p.server, bytes_of(big, sizeof big)), STATUS_OK);
            cr_assert(tls_cipher_bytes(p.server) > sizeof big);
            carry(steps[i]);
            size_t back_n = 0;
            for (int n; (n = SSL_read(p.client, back + back_n, (int)(sizeof back - back_n))) > 0;)
                back_n += (size_t)n;
            cr_assert_eq(back_n, sizeof big);
            cr_assert_eq(memcmp(back, big, sizeof big), 0);
            cr_assert_eq(tls_cipher_bytes(p.server), 0);
            stop_client();
        }
    }
}

Test(tls, old_versions_are_refused)
{
    start_client(TLS1_1_VERSION, NULL);
    SSL_set_cipher_list(p.client, "ALL:@SECLEVEL=0");
    SSL_do_handshake(p.client);
    carry(1000);
    cr_assert(!tls_is_up(p.server) && tls_is_over(p.server));
    cr_assert_eq(p.fed, STATUS_BAD_MESSAGE);
    stop_client();
}

Test(tls, garbage_is_refused_and_answered_with_an_alert)
{
    uint8_t alert[64];
    start_client(0, NULL);
    cr_assert_eq(tls_feed(p.server, BYTES_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
                 STATUS_BAD_MESSAGE);
    cr_assert(tls_is_over(p.server));
    cr_assert_eq(tls_read(p.server, alert, sizeof alert), 0);
    cr_assert_eq(tls_feed(p.server, BYTES_LIT("more")), STATUS_BAD_MESSAGE);
    stop_client();
}

Test(tls, a_record_that_was_tampered_with_ends_the_session)
{
    uint8_t buf[1000];
    start_client(0, NULL);
    shake(1000);
    SSL_write(p.client, "hello", 5);
    int n = BIO_read(p.to_server, buf, sizeof buf);
    buf[n - 1] ^= 1;
    cr_assert_eq(tls_feed(p.server, bytes_of(buf, (size_t)n)), STATUS_OK);
    cr_assert_eq(tls_read(p.server, p.got, sizeof p.got), 0);
    cr_assert(tls_is_over(p.server));
    cr_assert(tls_take(p.server, buf, sizeof buf) > 0); /* the alert */
    stop_client();
}

Test(tls, a_goodbye_is_heard_and_said)
{
    start_client(0, NULL);
    shake(1000);
    tls_shutdown(p.server);
    carry(1000);
    char c;
    cr_assert_eq(SSL_read(p.client, &c, 1), 0);
    cr_assert_eq(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
    stop_client();
    start_client(0, NULL);
    shake(1000);
    SSL_shutdown(p.client);
    carry(1000);
    cr_assert(tls_is_over(p.server));
    stop_client();
}

Test(tls, renegotiation_is_refused)
{
    start_client(TLS1_2_VERSION, NULL);
    shake(1000);
    SSL_renegotiate(p.client);
    SSL_do_handshake(p.client);
    carry(1000);
    cr_assert_eq(SSL_num_renegotiations(p.client) && SSL_is_init_finished(p.client), 0);
    stop_client();
}

Test(tls, alpn_is_http_1_1_or_nothing)
{
    static const struct {
        struct bytes offer;
        bool up;
    } rows[] = {
        {BYTES_LIT("\x08http/1.1"), true},
        {BYTES_LIT("\x02h2\x08http/1.1"), true},
        {BYTES_LIT("\x02h2"), false},
        {BYTES_LIT("\x08http/1.0"), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        start_client(0, NULL);
        SSL_set_alpn_protos(p.client, rows[i].offer.p, (unsigned)rows[i].offer.n);
        SSL_do_handshake(p.client);
        carry(1000);
        cr_assert_eq(tls_is_up(p.server), rows[i].up, "row %zu", i);
        const unsigned char *chosen;
        unsigned n;
        SSL_get0_alpn_selected(p.client, &chosen, &n);
        cr_assert_eq(n, rows[i].up ? 8 : 0);
        stop_client();
    }
}

Test(tls, a_ticket_resumes_a_session)
{
    start_client(TLS1_2_VERSION, NULL);
    shake(1000);
    SSL_SESSION *session = SSL_get1_session(p.client);
    stop_client();
    start_client(TLS1_2_VERSION, session);
    shake(1000);
    cr_assert(SSL_session_reused(p.client));
    stop_client();
    SSL_SESSION_free(session);
}

Test(tls, wrong_files_are_named)
{
    struct tls_context *ctx;
    char err[256] = "";
    cr_assert_eq(tls_context_open(&ctx, "/nonexistent", p.files.key, err, sizeof err),
                 STATUS_USAGE);
    cr_assert(strstr(err, "/nonexistent"), "%s", err);
    cr_assert_eq(tls_context_open(&ctx, p.files.cert, p.files.cert, err, sizeof err), STATUS_USAGE);
    cr_assert(strstr(err, "key"), "%s", err);
}
