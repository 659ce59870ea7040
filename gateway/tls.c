/* tls.c - TLS sessions over memory with OpenSSL 3; see tls.h. */
#include "gateway/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_context {
    SSL_CTX *ctx;
    BIO_METHOD *pipe;
};

/* Bytes in order: appended at the end, taken at the front; no memory while it is empty. */
struct queue {
    uint8_t *p;
    size_t at, n, room;
};

struct tls {
    SSL *ssl;
    struct queue rx; /* ciphertext that was fed and OpenSSL has not read */
    struct queue tx; /* ciphertext to take */
    bool over;
    bool shut;
};

static void queue_drop(struct queue *q, size_t n)
{
    q->at += n;
    if (q->at == q->n) {
        free(q->p);
        *q = (struct queue){0};
    }
}

static bool queue_add(struct queue *q, const void *p, size_t n)
{
    if (n == 0)
        return true;
    if (q->room - q->n < n) {
        size_t held = q->n - q->at, room = q->room ? q->room : 1024;
        while (room < held + n)
            room *= 2;
        uint8_t *fresh = malloc(room);
        if (!fresh)
            return false;
        if (held)
            memcpy(fresh, q->p + q->at, held);
        free(q->p);
        *q = (struct queue){.p = fresh, .n = held, .room = room};
    }
    memcpy(q->p + q->n, p, n);
    q->n += n;
    return true;
}

static size_t queue_take(struct queue *q, void *out, size_t room)
{
    size_t n = q->n - q->at < room ? q->n - q->at : room;
    if (n) {
        memcpy(out, q->p + q->at, n);
        queue_drop(q, n);
    }
    return n;
}

/* ---- the BIO that joins OpenSSL to the two queues ---- */

static int pipe_read(BIO *b, char *out, size_t room, size_t *n)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    *n = queue_take(&t->rx, out, room);
    if (*n == 0)
        BIO_set_retry_read(b);
    return *n != 0;
}

static int pipe_write(BIO *b, const char *p, size_t bytes, size_t *n)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (!queue_add(&t->tx, p, bytes))
        return 0;
    *n = bytes;
    return 1;
}

static long pipe_ctrl(BIO *b, int cmd, long number, void *ptr)
{
    (void)b, (void)number, (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *pipe_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "penstock");
    if (m && BIO_meth_set_read_ex(m, pipe_read) && BIO_meth_set_write_ex(m, pipe_write) &&
        BIO_meth_set_ctrl(m, pipe_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- the context ---- */

/* http/1.1 where it is offered; a client that offers only others could not talk to us. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *arg)
{
    static const char ours[] = "http/1.1";
    (void)ssl, (void)arg;
    for (unsigned at = 0; at < in_n; at += 1u + in[at]) {
        if (in[at] == sizeof ours - 1 && in_n - at > in[at] &&
            memcmp(in + at + 1, ours, sizeof ours - 1) == 0) {
            *out = in + at + 1;
            *out_n = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool configure(SSL_CTX *ctx)
{
    static const unsigned char id[] = "penstock";
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* tickets carry the sessions: a cache here would grow with every client that ever came */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
           SSL_CTX_set_max_early_data(ctx, 0) &&
           SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1) &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
}

static enum status refuse(char *err, size_t err_bytes, const char *what, const char *path)
{
    unsigned long first = ERR_peek_error(); /* the later ones say who met it */
    const char *reason =
        ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first)) : ERR_reason_error_string(first);
    snprintf(err, err_bytes, "%s%s%s: %s", what, path ? " " : "", path ? path : "",
             reason ? reason : "can't be used");
    ERR_clear_error();
    return STATUS_USAGE;
}

enum status tls_context_open(struct tls_context **out, const char *cert_path, const char *key_path,
                             char *err, size_t err_bytes)
{
    enum status st = STATUS_NO_MEMORY;
    struct tls_context *t = calloc(1, sizeof *t);
    if (!t)
        return st;
    ERR_clear_error();
    t->ctx = SSL_CTX_new(TLS_server_method());
    t->pipe = pipe_method();
    if (!t->ctx || !t->pipe || !configure(t->ctx))
        st = refuse(err, err_bytes, "TLS", NULL);
    else if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_path) != 1)
        st = refuse(err, err_bytes, "TLS certificate", cert_path);
    else if (SSL_CTX_use_PrivateKey_file(t->ctx, key_path, SSL_FILETYPE_PEM) != 1)
        st = refuse(err, err_bytes, "TLS key", key_path);
    else if (SSL_CTX_check_private_key(t->ctx) != 1)
        st = refuse(err, err_bytes, "TLS key does not fit the certificate:", key_path);
    else
        st = STATUS_OK;
    if (st) {
        tls_context_close(t);
        return st;
    }
    *out = t;
    return STATUS_OK;
}

void tls_context_close(struct tls_context *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    BIO_meth_free(t->pipe);
    free(t);
}

/* ---- sessions ---- */

enum status tls_open(struct tls **out, struct tls_context *ctx)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t)
        return STATUS_NO_MEMORY;
    BIO *bio = BIO_new(ctx->pipe);
    t->ssl = SSL_new(ctx->ctx);
    if (!bio || !t->ssl) {
        BIO_free(bio);
        tls_close(t);
        ERR_clear_error();
        return STATUS_NO_MEMORY;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_accept_state(t->ssl);
    *out = t;
    return STATUS_OK;
}

void tls_close(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t->rx.p);
    free(t->tx.p);
    free(t);
}

/* What OpenSSL said of the last call: true if it merely wants more input. */
static bool is_waiting(struct tls *t, int result)
{
    int why = SSL_get_error(t->ssl, result);
    ERR_clear_error();
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return true;
    t->over = true;
    return false;
}

enum status tls_feed(struct tls *t, struct bytes cipher)
{
    if (t->over)
        return STATUS_BAD_MESSAGE;
    if (!queue_add(&t->rx, cipher.p, cipher.n))
        return STATUS_NO_MEMORY;
    if (SSL_is_init_finished(t->ssl))
        return STATUS_OK;
    int result = SSL_do_handshake(t->ssl);
    return result == 1 || is_waiting(t, result) ? STATUS_OK : STATUS_BAD_MESSAGE;
}

size_t tls_read(struct tls *t, void *plain, size_t bytes)
{
    size_t n = 0;
    if (t->over || !SSL_is_init_finished(t->ssl))
        return 0;
    int result = SSL_read_ex(t->ssl, plain, bytes, &n);
    if (result == 1)
        return n;
    is_waiting(t, result);
    return 0;
}

enum status tls_write(struct tls *t, struct bytes plain)
{
    for (size_t at = 0; at < plain.n;) {
        size_t n = 0;
        if (t->shut || SSL_write_ex(t->ssl, plain.p + at, plain.n - at, &n) != 1) {
            t->over = true;
            ERR_clear_error();
            return STATUS_BAD_MESSAGE;
        }
        at += n;
    }
    return STATUS_OK;
}

size_t tls_take(struct tls *t, void *cipher, size_t bytes)
{
    return queue_take(&t->tx, cipher, bytes);
}

size_t tls_cipher_bytes(const struct tls *t)
{
    return t->tx.n - t->tx.at;
}

bool tls_is_up(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

bool tls_is_over(const struct tls *t)
{
    return t->over;
}

void tls_shutdown(struct tls *t)
{
    if (!t->shut && SSL_is_init_finished(t->ssl))
        SSL_shutdown(t->ssl);
    t->shut = true;
    ERR_clear_error();
}

void tls_sha1(struct bytes in, uint8_t out[20])
{
    unsigned n = 0;
    EVP_Digest(in.p, in.n, out, &n, EVP_sha1(), NULL);
}
