/*
 * ws_echo.c - a server that says back what it is told, through the production HTTP and WebSocket
 * code: for conformance suites and for measuring. Text and binary messages come back as they are;
 * an HTTP request that is no upgrade gets its method, target and body back.
 *
 *     build/ws-echo --listen ADDR:PORT [--tls-cert FILE --tls-key FILE] [--no-binary]
 *                   [--message-bytes N] [--outbound-bytes N] [--connections N]
 */
#include "base/clock.h"
#include "gateway/conn.h"
#include "gateway/tls.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct echo {
    struct conns *conns;
    uint64_t n_requests;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void on_request(void *self, struct conn *c, const struct http_request *req,
                       struct bytes body)
{
    struct echo *e = self;
    char accept[29];
    struct bytes upgrade;
    e->n_requests++;
    if (http_find(req, "upgrade", &upgrade)) {
        int refused = http_check_upgrade(req, accept);
        if (!refused)
            conn_upgrade(c, NULL);
        else
            conn_respond(c, &(struct http_response){.status = refused});
        return;
    }
    size_t room = req->method_text.n + req->target.n + body.n + 3;
    char *text = malloc(room);
    if (!text) {
        conn_respond(c, &(struct http_response){.status = 503});
        return;
    }
    struct writer w = writer_of(text, room);
    write_bytes(&w, req->method_text);
    write_u8(&w, ' ');
    write_bytes(&w, req->target);
    write_u8(&w, '\n');
    write_bytes(&w, body);
    conn_respond(c, &(struct http_response){
                        .status = 200, .content_type = "text/plain", .body = writer_bytes(&w)});
    free(text);
}

static void on_text(void *self, struct conn *c, struct bytes text)
{
    (void)self;
    conn_send_text(c, text);
}

static void on_binary(void *self, struct conn *c, struct bytes data)
{
    (void)self;
    conn_send_binary(c, data);
}

static void on_nothing(void *self, struct conn *c)
{
    (void)self, (void)c;
}

static uint64_t body_bytes_max(void *self, const struct http_request *req)
{
    (void)self, (void)req;
    return 1u << 20;
}

static int usage(void)
{
    fprintf(stderr, "usage: ws-echo --listen ADDR:PORT [--tls-cert FILE --tls-key FILE]\n"
                    "               [--no-binary] [--message-bytes N] [--outbound-bytes N]\n"
                    "               [--connections N]\n");
    return 2;
}

/* ADDR:PORT or [ADDR]:PORT */
static bool parse_listen(char *text, struct loop_options *o)
{
    char *colon = strrchr(text, ':'), *end;
    if (!colon)
        return false;
    *colon = '\0';
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end || end == colon + 1 || port > 65535)
        return false;
    size_t n = strlen(text);
    if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
        text[n - 1] = '\0';
        text++;
    }
    o->host = text;
    o->port = (uint16_t)port;
    return true;
}

static int serve(struct conns_options *o, struct echo *e)
{
    enum status st = conns_open(&e->conns, o);
    if (st != STATUS_OK) {
        fprintf(stderr, "ws-echo: %s: %s\n", status_name(st), status_hint(st));
        return 1;
    }
    printf("ws-echo: ready on ws%s://%s:%u\n", o->tls ? "s" : "", o->listen.host,
           loop_port(conns_loop(e->conns)));
    fflush(stdout);
    while (!stopping) {
        uint64_t now = clock_mono_ns();
        if (conns_poll(e->conns, now))
            continue;
        uint64_t at = conns_deadline_ns(e->conns);
        uint64_t most = at > now ? at - now : 0;
        loop_wait(conns_loop(e->conns), most < NS_PER_S ? most : NS_PER_S);
    }
    conns_close(e->conns);
    return 0;
}

int main(int argc, char **argv)
{
    struct echo e = {0};
    const char *cert = NULL, *key = NULL;
    struct conns_options o = {
        .handler = {.self = &e,
                    .on_request = on_request,
                    .on_text = on_text,
                    .on_drained = on_nothing,
                    .on_gone = on_nothing,
                    .body_bytes_max = body_bytes_max,
                    .on_binary = on_binary},
        .conns_max = 10000,
        .message_bytes_max = 32u << 20,
        .handshake_ms_max = 10000,
        .idle_http_ms_max = 60000,
        .outbound_bytes_max = 64u << 20,
        .fragments_max = 1u << 20,
        .controls_per_s = 10000,
    };
    for (int i = 1; i < argc; i++) {
        char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--no-binary")) {
            o.handler.on_binary = NULL;
            continue;
        }
        if (!value)
            return usage();
        i++;
        if (!strcmp(argv[i - 1], "--tls-cert"))
            cert = value;
        else if (!strcmp(argv[i - 1], "--tls-key"))
            key = value;
        else if (!strcmp(argv[i - 1], "--message-bytes"))
            o.message_bytes_max = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(argv[i - 1], "--outbound-bytes"))
            o.outbound_bytes_max = strtoull(value, NULL, 10);
        else if (!strcmp(argv[i - 1], "--connections"))
            o.conns_max = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--listen") || !parse_listen(value, &o.listen))
            return usage();
    }
    if (!o.listen.host || !cert != !key)
        return usage();
    char err[256];
    if (cert && tls_context_open(&o.tls, cert, key, err, sizeof err) != STATUS_OK) {
        fprintf(stderr, "ws-echo: %s\n", err);
        return 1;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int code = serve(&o, &e);
    tls_context_close(o.tls);
    return code;
}
