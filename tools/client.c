/* client.c - see client.h. */
#include "tools/client.h"
#include "base/say.h"
#include "gateway/json.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMEOUT_S  60
#define HEAD_BYTES (32u << 10)

/* ---- the address ---- */

static bool split_host(struct client *c, const char *at, size_t n)
{
    const char *end = at + n, *colon = NULL;
    if (n && *at == '[') {
        const char *close_at = memchr(at, ']', n);
        if (!close_at)
            return false;
        colon = close_at + 1 < end && close_at[1] == ':' ? close_at + 1 : NULL;
        if (!colon && close_at + 1 != end)
            return false;
        at++;
        n = (size_t)(close_at - at);
    } else {
        colon = memchr(at, ':', n);
        n = colon ? (size_t)(colon - at) : n;
    }
    if (n == 0 || n >= sizeof c->host)
        return false;
    memcpy(c->host, at, n);
    c->host[n] = 0;
    if (!colon) {
        snprintf(c->port, sizeof c->port, "%s", c->tls ? "443" : "80");
        return true;
    }
    size_t digits = (size_t)(end - colon - 1);
    if (digits == 0 || digits > 5 || strspn(colon + 1, "0123456789") < digits)
        return false;
    memcpy(c->port, colon + 1, digits);
    c->port[digits] = 0;
    return true;
}

enum status client_init(struct client *c, const char *url, const char *token)
{
    *c = (struct client){.token = token};
    const char *at = url;
    if (strncasecmp(at, "https://", 8) == 0) {
        c->tls = true;
        at += 8;
    } else if (strncasecmp(at, "http://", 7) == 0) {
        at += 7;
    } else {
        say(SAY_ERROR, "\"%.100s\" is no http:// or https:// address", url);
        return STATUS_USAGE;
    }
    size_t host = strcspn(at, "/?#");
    const char *path = at + host;
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    if (!split_host(c, at, host) || n >= sizeof c->base || memchr(path, '?', n)) {
        say(SAY_ERROR, "\"%.100s\" is no address of a server", url);
        return STATUS_USAGE;
    }
    memcpy(c->base, path, n);
    c->base[n] = 0;
    return STATUS_OK;
}

bool client_escape(const char *text, char *out, size_t out_bytes)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t n = 0;
    for (; *text; text++) {
        if (n + 4 > out_bytes)
            return false;
        if (strchr(plain, *text)) {
            out[n++] = *text;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[(uint8_t)*text >> 4];
        out[n++] = hex[(uint8_t)*text & 15];
    }
    if (n >= out_bytes)
        return false;
    out[n] = 0;
    return true;
}

/* ---- the connection ---- */

struct wire {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static void wire_close(struct wire *w)
{
    SSL_free(w->ssl);
    SSL_CTX_free(w->ctx);
    if (w->fd >= 0)
        close(w->fd);
}

static int connect_any(const struct client *c)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int err = getaddrinfo(c->host, c->port, &hints, &list);
    if (err != 0) {
        say(SAY_ERROR, "%s: %s", c->host, gai_strerror(err));
        return -1;
    }
    int fd = -1, why = 0;
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            why = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        say(SAY_ERROR, "can't connect to %s port %s: %s", c->host, c->port, strerror(why));
    return fd;
}

static enum status start_tls(const struct client *c, struct wire *w)
{
    w->ctx = SSL_CTX_new(TLS_client_method());
    w->ssl = NULL;
    char host[sizeof c->host];
    memcpy(host, c->host, sizeof host);
    bool ok = w->ctx && SSL_CTX_set_min_proto_version(w->ctx, TLS1_2_VERSION);
    if (ok) {
        SSL_CTX_set_verify(w->ctx, SSL_VERIFY_PEER, NULL);
        ok = c->ca_file ? SSL_CTX_load_verify_file(w->ctx, c->ca_file)
                        : SSL_CTX_set_default_verify_paths(w->ctx);
        if (!ok && c->ca_file)
            say(SAY_ERROR, "%s holds no certificate", c->ca_file);
    }
    ok = ok && (w->ssl = SSL_new(w->ctx));
    if (ok) {
        /* A certificate names hosts or addresses; the right one of the two must fit. */
        X509_VERIFY_PARAM *param = SSL_get0_param(w->ssl);
        ok = X509_VERIFY_PARAM_set1_ip_asc(param, host) ||
             (SSL_set1_host(w->ssl, host) && SSL_set_tlsext_host_name(w->ssl, host));
    }
    if (!ok || !SSL_set_fd(w->ssl, w->fd))
        return STATUS_IO;
    if (SSL_connect(w->ssl) == 1)
        return STATUS_OK;
    long verdict = SSL_get_verify_result(w->ssl);
    say(SAY_ERROR, "TLS with %s failed: %s", c->host,
        verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                             : "the handshake was refused");
    return STATUS_IO;
}

static bool wire_put(struct wire *w, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n) {
        ssize_t k = w->ssl ? SSL_write(w->ssl, p, n < (1u << 20) ? (int)n : 1 << 20)
                           : send(w->fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && !w->ssl && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static ssize_t wire_get(struct wire *w, void *buf, size_t n)
{
    for (;;) {
        ssize_t k = w->ssl ? SSL_read(w->ssl, buf, n < (1u << 20) ? (int)n : 1 << 20)
                           : recv(w->fd, buf, n, 0);
        if (k < 0 && !w->ssl && errno == EINTR)
            continue;
        return k;
    }
}

/* Everything until the server ends the connection. */
static enum status read_all(struct wire *w, uint8_t **out, size_t *n)
{
    size_t room = 16u << 10, have = 0;
    uint8_t *buf = malloc(room);
    for (ssize_t k = 1; buf && k > 0; have += k > 0 ? (size_t)k : 0) {
        if (room - have < 4096) {
            uint8_t *more = room < CLIENT_ANSWER_BYTES_MAX ? realloc(buf, room * 2) : NULL;
            if (!more) {
                free(buf);
                return STATUS_TOO_LARGE;
            }
            buf = more;
            room *= 2;
        }
        k = wire_get(w, buf + have, room - have - 1);
    }
    if (buf)
        buf[have] = 0; /* numbers are read from it as C strings */
    *out = buf;
    *n = have;
    return buf ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ---- the answer ---- */

struct bytes client_header(const struct client_answer *a, const char *name)
{
    const char *at = (const char *)a->headers.p, *end = at + a->headers.n;
    size_t n = strlen(name);
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        if (!line_end)
            break;
        if ((size_t)(line_end - at) > n && strncasecmp(at, name, n) == 0 && at[n] == ':') {
            at += n + 1;
            while (at < line_end && (*at == ' ' || *at == '\t'))
                at++;
            return bytes_of(at, (size_t)(line_end - at));
        }
        at = line_end + 2;
    }
    return bytes_of(NULL, 0);
}

/* Takes chunk headers out of a chunked body, in place. */
static bool join_chunks(uint8_t *p, size_t *n)
{
    size_t in = 0, out = 0;
    for (;;) {
        char *end;
        uint8_t *line = memchr(p + in, '\n', *n - in);
        if (!line)
            return false;
        unsigned long bytes = strtoul((char *)p + in, &end, 16);
        if (end == (char *)p + in)
            return false;
        in = (size_t)(line - p) + 1;
        if (bytes == 0) {
            *n = out;
            return true;
        }
        if (bytes > *n - in || *n - in - bytes < 2)
            return false;
        memmove(p + out, p + in, bytes);
        out += bytes;
        in += bytes + 2;
    }
}

static bool parse_answer(struct client_answer *a, size_t n)
{
    const uint8_t *head_end = memmem(a->memory, n, "\r\n\r\n", 4);
    const uint8_t *line_end = memchr(a->memory, '\n', n);
    if (!head_end || n < 12 || memcmp(a->memory, "HTTP/1.", 7) != 0)
        return false;
    a->status = atoi((const char *)a->memory + 9);
    a->headers = bytes_of(line_end + 1, (size_t)(head_end + 2 - (line_end + 1)));
    uint8_t *body = a->memory + (head_end - a->memory) + 4;
    size_t body_n = n - (size_t)(body - a->memory);
    struct bytes length = client_header(a, "content-length");
    struct bytes encoding = client_header(a, "transfer-encoding");
    if (encoding.n) {
        if (!join_chunks(body, &body_n))
            return false;
    } else if (length.n) {
        size_t want = strtoul((const char *)length.p, NULL, 10);
        if (body_n < want)
            return false; /* cut short */
        body_n = want;
    }
    a->body = bytes_of(body, body_n);
    return a->status >= 100 && a->status <= 599;
}

enum status client_ask(const struct client *c, const char *method, const char *path,
                       const char *headers, struct bytes body, struct client_answer *a)
{
    *a = (struct client_answer){0};
    char *head = malloc(HEAD_BYTES);
    struct wire w = {.fd = -1};
    enum status s = STATUS_NO_MEMORY;
    if (!head)
        return s;
    bool v6 = strchr(c->host, ':') != NULL;
    int n = snprintf(head, HEAD_BYTES,
                     "%s %s%s HTTP/1.1\r\nHost: %s%s%s:%s\r\nConnection: close\r\n"
                     "Content-Length: %zu\r\n%s%s%s%s\r\n",
                     method, c->base, path, v6 ? "[" : "", c->host, v6 ? "]" : "", c->port, body.n,
                     c->token ? "Authorization: Bearer " : "", c->token ? c->token : "",
                     c->token ? "\r\n" : "", headers);
    if (n < 0 || (size_t)n >= HEAD_BYTES) {
        say(SAY_ERROR, "the request is too long");
        s = STATUS_TOO_LARGE;
        goto out;
    }
    s = STATUS_IO;
    w.fd = connect_any(c);
    if (w.fd < 0 || (c->tls && start_tls(c, &w) != STATUS_OK))
        goto out;
    size_t got = 0;
    /* A server that refuses early may stop reading: what it answered still counts. */
    bool sent = wire_put(&w, head, (size_t)n) && wire_put(&w, body.p, body.n);
    s = read_all(&w, &a->memory, &got);
    if (s != STATUS_OK || !parse_answer(a, got)) {
        say(SAY_ERROR, "%s port %s: %s", c->host, c->port,
            s != STATUS_OK ? status_hint(s)
            : sent         ? "the answer is no whole HTTP answer"
                           : "the connection broke");
        client_answer_free(a);
        s = s == STATUS_OK ? STATUS_IO : s;
    }
out:
    wire_close(&w);
    if (c->token)
        explicit_bzero(head, HEAD_BYTES);
    free(head);
    return s;
}

void client_answer_free(struct client_answer *a)
{
    free(a->memory);
    *a = (struct client_answer){0};
}

void client_complain(const struct client_answer *a)
{
    char *scratch = malloc(a->body.n + 1);
    struct bytes title = {0}, detail = {0}, code = {0}, key;
    struct json j;
    json_init(&j, a->body, scratch, scratch ? a->body.n : 0);
    if (json_peek(&j) == JSON_OBJECT && json_enter(&j, JSON_OBJECT)) {
        while (json_member(&j, &key)) {
            struct bytes *into = bytes_eq(key, BYTES_LIT("title"))    ? &title
                                 : bytes_eq(key, BYTES_LIT("detail")) ? &detail
                                 : bytes_eq(key, BYTES_LIT("code"))   ? &code
                                                                      : NULL;
            if (!into || json_peek(&j) != JSON_STRING || !json_string(&j, into))
                json_skip(&j);
        }
    }
    say(SAY_ERROR, "%d%s%.*s%s%.*s%s%.*s", a->status, code.n ? " " : "", (int)code.n,
        code.n ? (const char *)code.p : "", title.n ? ": " : "", (int)title.n,
        title.n ? (const char *)title.p : "", detail.n ? ": " : "", (int)detail.n,
        detail.n ? (const char *)detail.p : "");
    free(scratch);
}
