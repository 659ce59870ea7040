/* replay.c - `penstock replay`: drives editing traces through real connections; see replay.h. */
#include "tools/replay.h"

#include "base/clock.h"
#include "base/say.h"
#include "tools/commands.h"
#include "tools/options.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX       64
#define TICK_MS          20
#define PROGRESS_TTY_NS  (NS_PER_S / 5)
#define PROGRESS_LINE_NS (5 * NS_PER_S)
#define RECONNECT_NS     (100 * NS_PER_MS)
#define TOKEN_FILE_BYTES (20u << 10)

#define FIELD(name) offsetof(struct replay_options, name)
static const struct option_spec specs[] = {
    {"trace", OPTION_TEXT, "FILE", "editing trace, JSON or gzipped JSON (required)", FIELD(trace),
     0, 0, NULL},
    {"url", OPTION_TEXT, "URL", "the server (or PENSTOCK_URL)", FIELD(url), 0, 0, NULL},
    {"token", OPTION_TEXT, "T", "your token; better in PENSTOCK_TOKEN, where ps can't see it",
     FIELD(token), 0, 0, NULL},
    {"token-file", OPTION_TEXT, "FILE", "a file that holds your token", FIELD(token_file), 0, 0,
     NULL},
    {"clients", OPTION_NUMBER, "N", "replay into so many documents at once (1)", FIELD(clients), 1,
     REPLAY_DOCS_MAX, NULL},
    {"batch", OPTION_NUMBER, "N", "edits that are collected while a message is in flight (64)",
     FIELD(batch), 1, REPLAY_BATCH_MAX, NULL},
    {"resume", OPTION_TEXT, "DOC", "go on with the document of a replay that was broken off",
     FIELD(resume), 0, 0, NULL},
    {"retry", OPTION_NUMBER, "SECONDS", "how long to wait for a server that went away (30)",
     FIELD(retry_s), 0, 86400, NULL},
    {"verify-history", OPTION_FLAG, NULL, "also replay GET .../history and compare",
     FIELD(verify_history), 0, 0, NULL},
};

static const struct option_command command = {
    .name = "replay",
    .synopsis = "--trace FILE.json.gz --url URL [options]",
    .about =
        "Types a recorded editing trace into new documents over WebSocket, waits until every\n"
        "edit is acknowledged, and compares the documents with the trace's end. A trace of two\n"
        "people is typed by two clients at once.",
    .specs = specs,
    .n_specs = sizeof specs / sizeof *specs,
};

/* ---- connections ---- */

static bool is_fatal_close(uint16_t code)
{
    return code == 4401 || code == 4403 || code == 4404 || code == 4409 || code == 1003 ||
           code == 1007 || code == 1009;
}

static bool connect_agent(struct replay_run *run, struct replay_conn *c)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/ws/docs/%s?client_id=%s&version=%lu", run->client.base,
             c->doc->id, c->agent.client_id, (unsigned long)c->agent.version);
    struct wsclient_options o = {.address = run->address->ai_addr,
                                 .address_bytes = run->address->ai_addrlen,
                                 .tls_context = run->tls_context,
                                 .tls_name = run->client.host,
                                 .host = run->host_header,
                                 .path = path,
                                 .token = run->client.token,
                                 .mask_seed = (uint32_t)clock_mono_ns()};
    c->agent.ws.http_status = 0;
    if (wsclient_open(&c->agent.ws, &o) != STATUS_OK)
        return false;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    c->watches_write = true;
    if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, c->agent.ws.fd, &ev) != 0)
        return false;
    replay_agent_connected(&c->agent);
    return true;
}

/* A connection ended, or could not be made. False: it must not be tried again. */
static bool disconnected(struct replay_run *run, struct replay_conn *c, uint64_t now_ns)
{
    struct replay_agent *a = &c->agent;
    replay_agent_disconnected(a);
    if (a->state == REPLAY_FAILED)
        return false;
    int status = a->ws.http_status;
    if (status && status != 101 && status != 503 && status != 429) {
        say(SAY_ERROR, "the server refuses the WebSocket of %s with %d", c->doc->id, status);
        return false;
    }
    if (is_fatal_close(a->ws.close_code)) {
        say(SAY_ERROR, "the server closed the WebSocket of %s with %u", c->doc->id,
            a->ws.close_code);
        return false;
    }
    if (!c->down_since_ns)
        c->down_since_ns = now_ns;
    if (now_ns - c->down_since_ns > run->options.retry_s * NS_PER_S) {
        say(SAY_ERROR, "the server has been away for %lu s", (unsigned long)run->options.retry_s);
        return false;
    }
    if (a->retry_ns < now_ns + RECONNECT_NS)
        a->retry_ns = now_ns + RECONNECT_NS;
    return true;
}

static void watch(struct replay_run *run, struct replay_conn *c)
{
    bool wants = c->agent.ws.wants_write;
    if (c->agent.ws.fd < 0 || wants == c->watches_write)
        return;
    struct epoll_event ev = {.events = EPOLLIN | (wants ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(run->epoll_fd, EPOLL_CTL_MOD, c->agent.ws.fd, &ev);
    c->watches_write = wants;
}

/* Both agents of a document go as far as they can: an ack of one may let the other go. */
static bool go(struct replay_run *run, struct replay_doc *doc, uint64_t now_ns)
{
    bool done = true;
    for (uint32_t i = 0; i < run->trace.n_agents; i++) {
        struct replay_conn *c = &doc->conns[i];
        if (!replay_agent_go(&c->agent, now_ns))
            return false;
        watch(run, c);
        done &= replay_agent_is_done(&c->agent);
    }
    if (done && !doc->done) {
        doc->done = true;
        run->n_done++;
    }
    return true;
}

static bool on_event(struct replay_run *run, struct replay_conn *c)
{
    struct replay_agent *a = &c->agent;
    enum status s = wsclient_work(&a->ws), next = STATUS_OK;
    uint64_t now_ns = clock_mono_ns();
    struct bytes text;
    while (a->ws.fd >= 0 && (next = wsclient_next(&a->ws, &text)) == STATUS_OK)
        if (!replay_agent_take(a, text, now_ns))
            return false;
    if (a->state == REPLAY_LIVE && c->down_since_ns) {
        c->down_since_ns = 0;
        run->n_reconnects++;
    }
    if (a->ws.fd < 0 || s != STATUS_OK || next != STATUS_END)
        return disconnected(run, c, now_ns);
    watch(run, c);
    return go(run, c->doc, now_ns);
}

/* Opens what is due to be opened, and sends what waited for its time. */
static bool on_tick(struct replay_run *run, uint64_t now_ns)
{
    for (uint32_t i = 0; i < run->n_docs; i++) {
        struct replay_doc *doc = &run->docs[i];
        for (uint32_t k = 0; k < run->trace.n_agents && !doc->done; k++) {
            struct replay_conn *c = &doc->conns[k];
            if (c->agent.state != REPLAY_OFF || now_ns < c->agent.retry_ns)
                continue;
            if (!connect_agent(run, c) && !disconnected(run, c, now_ns))
                return false;
        }
        if (!doc->done && !go(run, doc, now_ns))
            return false;
    }
    return true;
}

/* ---- progress ---- */

static uint64_t n_acked(const struct replay_run *run)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < run->n_docs; i++)
        for (uint32_t k = 0; k < run->trace.n_agents; k++)
            n += run->docs[i].conns[k].agent.n_acked;
    return n;
}

static void show_progress(const struct replay_run *run, uint64_t now_ns, bool tty)
{
    uint64_t all = (uint64_t)run->trace.n_txns * run->n_docs, n = n_acked(run);
    double seconds = (double)(now_ns - run->started_ns) / 1e9;
    fprintf(stderr, "%sreplay: %lu of %lu edits acknowledged (%.0f %%), %.0f edits/s%s",
            tty ? "\r" : "", (unsigned long)n, (unsigned long)all,
            all ? 100.0 * (double)n / (double)all : 100.0, (double)run->latency.n / seconds,
            tty ? "\033[K" : "\n");
}

static bool run_loop(struct replay_run *run)
{
    bool tty = isatty(STDERR_FILENO);
    uint64_t shown_ns = clock_mono_ns(), ticked_ns = 0;
    struct epoll_event events[EVENTS_MAX];
    run->started_ns = shown_ns;
    while (run->n_done < run->n_docs) {
        uint64_t now_ns = clock_mono_ns();
        if (now_ns - ticked_ns > TICK_MS * NS_PER_MS) {
            ticked_ns = now_ns;
            if (!on_tick(run, now_ns))
                return false;
        }
        int n = epoll_wait(run->epoll_fd, events, EVENTS_MAX, TICK_MS);
        for (int i = 0; i < n; i++)
            if (!on_event(run, events[i].data.ptr))
                return false;
        if (now_ns - shown_ns > (tty ? PROGRESS_TTY_NS : PROGRESS_LINE_NS)) {
            shown_ns = now_ns;
            show_progress(run, now_ns, tty);
        }
    }
    run->ended_ns = clock_mono_ns();
    if (tty)
        fprintf(stderr, "\r\033[K");
    return true;
}

/* ---- the end ---- */

static void print_figures(const struct replay_run *run)
{
    double seconds = (double)(run->ended_ns - run->started_ns) / 1e9;
    uint64_t all = n_acked(run), here = run->latency.n;
    uint32_t n_clients = run->trace.n_agents * run->n_docs;
    char line[256];
    histogram_line(&run->latency, line, sizeof line);
    printf("%lu edits acknowledged in %.2f s by %u %s in %u %s: %.0f ops/s\n", (unsigned long)all,
           seconds, n_clients, n_clients == 1 ? "client" : "clients", run->n_docs,
           run->n_docs == 1 ? "document" : "documents", (double)here / seconds);
    if (all != here)
        printf("%lu of them over earlier connections, as the server knew\n",
               (unsigned long)(all - here));
    if (run->n_reconnects)
        printf("reconnected %u times\n", run->n_reconnects);
    printf("ack latency, from sending: %s\n", line);
}

/* What each person sees at last. */
static bool compare_views(struct replay_run *run, struct replay_doc *doc)
{
    for (uint32_t k = 0; k < run->trace.n_agents; k++) {
        struct replay_agent *a = &doc->conns[k].agent;
        size_t n = 0;
        if (!replay_agent_finish(a)) {
            say(SAY_ERROR, "%s", a->why);
            return false;
        }
        uint8_t *text = replay_text_utf8(&a->text, &n);
        bool same = text && bytes_eq(bytes_of(text, n), run->trace.end);
        free(text);
        if (!same) {
            say(SAY_ERROR, "client %s of document %s ends with another text than the trace",
                a->client_id, doc->id);
            return false;
        }
    }
    return true;
}

static bool compare_all(struct replay_run *run)
{
    bool same = true;
    for (uint32_t i = 0; i < run->n_docs; i++) {
        struct replay_doc *doc = &run->docs[i];
        uint64_t version = 0;
        if (!compare_views(run, doc) || replay_doc_compare(run, doc, &version) != STATUS_OK) {
            same = false;
            continue;
        }
        printf("document %s equals the trace's end, byte for byte (%zu bytes, version %lu)\n",
               doc->id, run->trace.end.n, (unsigned long)version);
        if (!run->options.verify_history)
            continue;
        if (replay_doc_replay_history(run, doc, version) != STATUS_OK)
            same = false;
        else
            printf("its history, replayed from the start, leads to the same text\n");
    }
    return same;
}

/* ---- setting up ---- */

static bool read_token(struct replay_options *o)
{
    static char text[TOKEN_FILE_BYTES];
    if (!o->token_file) {
        o->token = o->token ? o->token : getenv("PENSTOCK_TOKEN");
        return true;
    }
    FILE *f = fopen(o->token_file, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        n--;
    text[n] = 0;
    o->token = text;
    if (n == 0)
        say(SAY_ERROR, "there is no token in %s", o->token_file);
    return n > 0;
}

static enum status check_options(struct replay_options *o)
{
    if (!o->trace)
        return options_complain(&command, "--trace is needed");
    if (!o->url)
        o->url = getenv("PENSTOCK_URL");
    if (!o->url)
        return options_complain(&command, "--url is needed");
    if (o->resume && o->clients > 1)
        return options_complain(&command, "--resume goes on with one document");
    if (o->resume && strlen(o->resume) >= REPLAY_DOC_ID_BYTES)
        return options_complain(&command, "--resume: no document's id is so long");
    return read_token(o) ? STATUS_OK : STATUS_USAGE;
}

static bool open_network(struct replay_run *run)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct client *c = &run->client;
    bool v6 = strchr(c->host, ':') != NULL;
    snprintf(run->host_header, sizeof run->host_header, "%s%s%s:%s", v6 ? "[" : "", c->host,
             v6 ? "]" : "", c->port);
    int err = getaddrinfo(c->host, c->port, &hints, &run->address);
    if (err != 0) {
        say(SAY_ERROR, "%s: %s", c->host, gai_strerror(err));
        return false;
    }
    if (c->tls) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        run->tls_context = ctx;
        if (!ctx || SSL_CTX_set_default_verify_paths(ctx) != 1)
            return false;
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return run->epoll_fd >= 0;
}

static bool open_doc(struct replay_run *run, struct replay_doc *doc)
{
    if (run->options.resume)
        snprintf(doc->id, sizeof doc->id, "%s", run->options.resume);
    else if (replay_doc_create(run, doc) != STATUS_OK)
        return false;
    for (uint32_t k = 0; k < run->trace.n_agents; k++) {
        struct replay_conn *c = &doc->conns[k];
        c->doc = doc;
        if (replay_agent_open(&c->agent, &run->trace, k, (uint32_t)run->options.batch,
                              &run->latency) != STATUS_OK)
            return false;
        if (run->trace.n_agents > 1)
            c->agent.other = &doc->conns[1 - k].agent;
    }
    return true;
}

static bool open_docs(struct replay_run *run)
{
    run->n_docs = (uint32_t)run->options.clients;
    run->docs = calloc(run->n_docs, sizeof *run->docs);
    if (!run->docs)
        return false;
    for (uint32_t i = 0; i < run->n_docs; i++)
        for (uint32_t k = 0; k < TRACE_AGENTS_MAX; k++)
            run->docs[i].conns[k].agent.ws.fd = -1;
    for (uint32_t i = 0; i < run->n_docs; i++)
        if (!open_doc(run, &run->docs[i]))
            return false;
    return true;
}

static void say_failure(const struct replay_run *run)
{
    for (uint32_t i = 0; i < run->n_docs; i++)
        for (uint32_t k = 0; k < run->trace.n_agents; k++)
            if (run->docs[i].conns[k].agent.state == REPLAY_FAILED)
                say(SAY_ERROR, "document %s: %s", run->docs[i].id, run->docs[i].conns[k].agent.why);
}

static void close_run(struct replay_run *run)
{
    for (uint32_t i = 0; run->docs && i < run->n_docs; i++)
        for (uint32_t k = 0; k < TRACE_AGENTS_MAX; k++)
            replay_agent_close(&run->docs[i].conns[k].agent);
    free(run->docs);
    SSL_CTX_free(run->tls_context);
    if (run->address)
        freeaddrinfo(run->address);
    if (run->epoll_fd >= 0)
        close(run->epoll_fd);
    trace_close(&run->trace);
    free(run);
}

static int replay(struct replay_run *run)
{
    if (client_init(&run->client, run->options.url, run->options.token) != STATUS_OK)
        return EXIT_USAGE;
    if (trace_open(&run->trace, run->options.trace) != STATUS_OK || !open_network(run) ||
        !open_docs(run))
        return EXIT_FAILED;
    for (uint32_t i = 0; i < run->n_docs && i < 4; i++)
        printf("document %s\n", run->docs[i].id);
    fflush(stdout);
    if (!run_loop(run)) {
        say_failure(run);
        return EXIT_FAILED;
    }
    print_figures(run);
    return compare_all(run) ? 0 : EXIT_FAILED;
}

int replay_main(int argc, char **argv)
{
    struct replay_run *run = calloc(1, sizeof *run);
    bool done = false;
    if (!run)
        return EXIT_FAILED;
    run->epoll_fd = -1;
    run->options = (struct replay_options){.clients = 1, .batch = 64, .retry_s = 30};
    int rc = EXIT_USAGE;
    if (options_parse(&command, argc, argv, &run->options, NULL, &done) == STATUS_OK)
        rc = done ? 0 : check_options(&run->options) == STATUS_OK ? replay(run) : EXIT_USAGE;
    close_run(run);
    return rc;
}
