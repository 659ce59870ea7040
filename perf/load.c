/*
 * load.c - load generator for the protocol: one thread, epoll, thousands of connections.
 *
 * Scenario b: D documents, each with one writer and R readers; c: the same with W writers a
 * document who each also receive (--docs, --writers, --readers make both). Every writer waits for
 * its ack before its next edit. Closed loop: the next edit is due when the ack came. Open loop
 * (--rate): edits are due at a constant rate, round-robin over the writers, and latencies count
 * from when an edit was due, not from when it could be sent.
 *
 * Each edit inserts one character, so a document at version V is V units long: a lone writer types
 * at the end, several insert at places that their version surely has.
 *
 * Prints edits a second, latencies of acks (at the writer) and broadcasts (at all others), and with
 * --server-pid the CPU time of that process in the measured window. The last line is for scripts.
 */
#include "base/clock.h"
#include "base/say.h"
#include "gateway/json.h"
#include "perf/load_options.h"
#include "tools/client.h"
#include "tools/histogram.h"
#include "tools/wsclient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS_MAX     256
#define HANDSHAKES_MAX 128u /* at once: listen queues are finite */
#define SETUP_S_MAX    120u
#define DUE_SLOTS      16u    /* of a writer's last edits; a power of two */
#define SOURCE_CONNS   20000u /* connections from one loopback address */
#define RETRY_NS       (10 * NS_PER_MS)
#define DOC_ID_BYTES   129

struct peer {
    struct wsclient ws;
    uint32_t idx;
    uint32_t doc;
    bool writes;
    bool welcome;
    bool in_flight;
    bool retry;
    bool watches_write;
    uint64_t version; /* newest that was heard of */
    uint64_t seq;     /* of the last edit that was sent */
    uint64_t n_due;   /* open loop: edits that are due and not sent */
    uint64_t oldest_due_ns;
    uint64_t due_ns[DUE_SLOTS]; /* by seq */
};

struct load {
    struct load_options o;
    struct client client;
    struct addrinfo *address;
    char host[300];
    int epoll_fd;
    char (*docs)[DOC_ID_BYTES];
    struct peer *peers;
    uint32_t n_peers, n_opened, n_welcome;
    uint64_t begin_ns, end_ns;               /* the measured window */
    uint64_t start_ns;                       /* when edits begin */
    uint64_t n_scheduled;                    /* open loop: edits that were due so far */
    uint64_t n_acks, n_broadcasts, n_errors; /* in the window */
    struct histogram acks, broadcasts;
    uint64_t random;
    bool failed;
};

/* ---- messages ---- */

/* Numbers and strings are found by their keys: what is sent here holds none of them in its text,
 * and a whole parser would cost the machine that is being measured. */
static const uint8_t *value_of(struct bytes text, const char *key)
{
    size_t n = strlen(key);
    const uint8_t *at = memmem(text.p, text.n, key, n);
    return at ? at + n : NULL;
}

static bool number_of(struct bytes text, const char *key, uint64_t *v)
{
    const uint8_t *at = value_of(text, key), *end = text.p + text.n;
    if (!at || at == end || *at < '0' || *at > '9')
        return false;
    for (*v = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *v = *v * 10 + (uint64_t)(*at - '0');
    return true;
}

static bool is_type(struct bytes text, const char *type)
{
    const uint8_t *at = value_of(text, "\"type\":\"");
    size_t n = strlen(type);
    return at && (size_t)(text.p + text.n - at) > n && memcmp(at, type, n) == 0 && at[n] == '"';
}

static uint64_t next_random(struct load *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

static void watch(struct load *l, struct peer *p)
{
    bool wants = p->ws.wants_write;
    if (wants == p->watches_write)
        return;
    struct epoll_event ev = {.events = EPOLLIN | (wants ? EPOLLOUT : 0u), .data.ptr = p};
    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, p->ws.fd, &ev);
    p->watches_write = wants;
}

static void send_edit(struct load *l, struct peer *p, uint64_t due_ns, bool again)
{
    char text[256];
    if (!again)
        p->seq++;
    uint64_t pos = p->version;
    if (l->o.writers > 1)
        pos = next_random(l) % (p->version + 1);
    int n = snprintf(text, sizeof text,
                     "{\"type\":\"op\",\"op\":{\"type\":\"insert\",\"pos\":%lu,\"str\":\"%c\","
                     "\"client_id\":\"w%u\",\"seq\":%lu,\"version\":%lu}}",
                     (unsigned long)pos, (char)('a' + p->seq % 26), p->idx, (unsigned long)p->seq,
                     (unsigned long)p->version);
    p->due_ns[p->seq % DUE_SLOTS] = due_ns;
    p->in_flight = true;
    p->retry = false;
    if (wsclient_send(&p->ws, bytes_of(text, (size_t)n)) != STATUS_OK)
        l->failed = true;
    watch(l, p);
}

/* The interval between two edits of one writer. */
static uint64_t interval_ns(const struct load *l)
{
    uint64_t n_writers = l->o.docs * l->o.writers;
    return (uint64_t)(1e9 * (double)n_writers / (double)l->o.rate);
}

/* Open loop: sends what is due and has waited longest. */
static void send_due(struct load *l, struct peer *p)
{
    if (p->in_flight || p->n_due == 0)
        return;
    send_edit(l, p, p->oldest_due_ns, false);
    p->n_due--;
    p->oldest_due_ns += interval_ns(l);
}

static bool in_window(const struct load *l, uint64_t now_ns)
{
    return l->begin_ns && now_ns >= l->begin_ns && now_ns < l->end_ns;
}

static void on_ack(struct load *l, struct peer *p, struct bytes text, uint64_t now_ns)
{
    uint64_t seq = 0, version = 0;
    if (!number_of(text, "\"seq\":", &seq) || seq != p->seq || !p->in_flight)
        return;
    if (number_of(text, "\"new_version\":", &version) && version > p->version)
        p->version = version;
    p->in_flight = false;
    if (in_window(l, now_ns)) {
        l->n_acks++;
        histogram_add(&l->acks, now_ns - p->due_ns[seq % DUE_SLOTS]);
    }
    if (l->o.rate)
        send_due(l, p);
    else if (now_ns < l->end_ns || !l->end_ns)
        send_edit(l, p, now_ns, false);
}

static void on_op(struct load *l, struct peer *p, struct bytes text, uint64_t now_ns)
{
    uint64_t seq = 0, version = 0, writer = 0;
    if (number_of(text, "\"new_version\":", &version) && version > p->version)
        p->version = version;
    if (!in_window(l, now_ns))
        return;
    l->n_broadcasts++;
    if (number_of(text, "\"client_id\":\"w", &writer) && writer < l->n_peers &&
        number_of(text, "\"seq\":", &seq) && seq + DUE_SLOTS > l->peers[writer].seq)
        histogram_add(&l->broadcasts, now_ns - l->peers[writer].due_ns[seq % DUE_SLOTS]);
}

static void on_message(struct load *l, struct peer *p, struct bytes text, uint64_t now_ns)
{
    if (is_type(text, "ack")) {
        on_ack(l, p, text, now_ns);
    } else if (value_of(text, "\"op\":{")) {
        on_op(l, p, text, now_ns);
    } else if (is_type(text, "welcome") && !p->welcome) {
        p->welcome = true;
        l->n_welcome++;
        (void)number_of(text, "\"version\":", &p->version);
    } else if (is_type(text, "error")) {
        if (l->n_errors++ == 0)
            say(SAY_WARN, "load: the server says %.*s", (int)(text.n < 300 ? text.n : 300),
                (const char *)text.p);
        p->retry = p->in_flight;
    }
}

static void on_event(struct load *l, struct peer *p)
{
    enum status s = wsclient_work(&p->ws), next;
    struct bytes text;
    uint64_t now_ns = clock_mono_ns();
    while ((next = wsclient_next(&p->ws, &text)) == STATUS_OK)
        on_message(l, p, text, now_ns);
    if (s != STATUS_OK || next != STATUS_END) {
        say(SAY_ERROR, "load: connection %u ended: %s (HTTP %d, close code %u)", p->idx,
            status_name(s != STATUS_OK ? s : next), p->ws.http_status, p->ws.close_code);
        l->failed = true;
        return;
    }
    watch(l, p);
}

/* ---- connecting ---- */

static bool create_doc(struct load *l, char id[DOC_ID_BYTES])
{
    struct client_answer a;
    const char *type = "Content-Type: application/json\r\n";
    if (client_ask(&l->client, "POST", "/docs", type, BYTES_LIT("{\"type\":\"text\"}"), &a) !=
        STATUS_OK)
        return false;
    const uint8_t *at = value_of(a.body, "\"id\":\"");
    const uint8_t *end = at ? memchr(at, '"', (size_t)(a.body.p + a.body.n - at)) : NULL;
    bool fine = a.status == 201 && end && end - at < DOC_ID_BYTES;
    if (fine) {
        memcpy(id, at, (size_t)(end - at));
        id[end - at] = 0;
    } else {
        client_complain(&a);
    }
    client_answer_free(&a);
    return fine;
}

/* Peer i of a document: the first are its writers. */
static bool open_peer(struct load *l, struct peer *p)
{
    uint32_t each = (uint32_t)(l->o.writers + l->o.readers);
    char path[1024];
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + p->idx / SOURCE_CONNS);
    bool spread = l->n_peers > SOURCE_CONNS && l->address->ai_family == AF_INET;
    p->doc = p->idx / each;
    p->writes = p->idx % each < l->o.writers;
    snprintf(path, sizeof path, "%s/ws/docs/%s?client_id=%c%u", l->client.base, l->docs[p->doc],
             p->writes ? 'w' : 'r', p->idx);
    struct wsclient_options o = {.address = l->address->ai_addr,
                                 .address_bytes = l->address->ai_addrlen,
                                 .from = spread ? (struct sockaddr *)&from : NULL,
                                 .from_bytes = sizeof from,
                                 .host = l->host,
                                 .path = path,
                                 .token = l->client.token,
                                 .mask_seed = p->idx * 2654435761u};
    if (wsclient_open(&p->ws, &o) != STATUS_OK) {
        say(SAY_ERROR, "load: connection %u: %s", p->idx, strerror(errno));
        return false;
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = p};
    p->watches_write = true;
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, p->ws.fd, &ev) == 0;
}

static void work(struct load *l, uint64_t timeout_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                          .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    int n = epoll_pwait2(l->epoll_fd, events, EVENTS_MAX, &ts, NULL);
    for (int i = 0; i < n; i++)
        on_event(l, events[i].data.ptr);
}

static bool connect_all(struct load *l)
{
    uint64_t deadline_ns = clock_mono_ns() + SETUP_S_MAX * NS_PER_S;
    for (uint64_t d = 0; d < l->o.docs; d++)
        if (!create_doc(l, l->docs[d]))
            return false;
    while (l->n_welcome < l->n_peers && !l->failed) {
        while (l->n_opened < l->n_peers && l->n_opened - l->n_welcome < HANDSHAKES_MAX)
            if (!open_peer(l, &l->peers[l->n_opened++]))
                return false;
        work(l, 50 * NS_PER_MS);
        if (clock_mono_ns() > deadline_ns) {
            say(SAY_ERROR, "load: only %u of %u connections were welcomed", l->n_welcome,
                l->n_peers);
            return false;
        }
    }
    return !l->failed;
}

/* ---- the run ---- */

/* Writer i of all, in document order. */
static struct peer *writer_at(struct load *l, uint64_t i)
{
    uint64_t doc = i / l->o.writers, each = l->o.writers + l->o.readers;
    return &l->peers[doc * each + i % l->o.writers];
}

/* Open loop: hands out what has become due; returns the time until the next. */
static uint64_t schedule(struct load *l, uint64_t now_ns)
{
    uint64_t n_writers = l->o.docs * l->o.writers;
    for (;;) {
        uint64_t due_ns =
            l->start_ns + (uint64_t)(1e9 * (double)l->n_scheduled / (double)l->o.rate);
        if (due_ns > now_ns || due_ns >= l->end_ns)
            return due_ns > now_ns ? due_ns - now_ns : NS_PER_MS;
        struct peer *p = writer_at(l, l->n_scheduled++ % n_writers);
        if (p->n_due++ == 0)
            p->oldest_due_ns = due_ns;
        send_due(l, p);
    }
}

static void resend(struct load *l)
{
    for (uint32_t i = 0; i < l->n_peers; i++) {
        struct peer *p = &l->peers[i];
        if (p->retry)
            send_edit(l, p, p->due_ns[p->seq % DUE_SLOTS], true);
    }
}

static void run(struct load *l, uint64_t until_ns)
{
    uint64_t now_ns = clock_mono_ns(), resent_ns = now_ns;
    while (now_ns < until_ns && !l->failed) {
        uint64_t wait_ns = until_ns - now_ns;
        if (l->o.rate) {
            uint64_t next_ns = schedule(l, now_ns);
            wait_ns = next_ns < wait_ns ? next_ns : wait_ns;
        }
        work(l, wait_ns < RETRY_NS ? wait_ns : RETRY_NS);
        now_ns = clock_mono_ns();
        if (l->n_errors && now_ns - resent_ns > RETRY_NS) {
            resent_ns = now_ns;
            resend(l);
        }
    }
}

/* User and system time of a process with all its threads, in seconds; 0: it can't be read. */
static double cpu_of(uint64_t pid)
{
    char path[64], text[1024];
    unsigned long user, kernel;
    snprintf(path, sizeof path, "/proc/%lu/stat", (unsigned long)pid);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    if (!at ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        return 0;
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_figures(struct load *l, double seconds, double server_s, double own_s)
{
    char line[256];
    double edits = (double)l->n_acks;
    printf("%lu documents, %lu writers and %lu readers each, %s", (unsigned long)l->o.docs,
           (unsigned long)l->o.writers, (unsigned long)l->o.readers,
           l->o.rate ? "open loop" : "closed loop");
    if (l->o.rate)
        printf(" at %lu edits/s", (unsigned long)l->o.rate);
    printf(", %.1f s\n", seconds);
    printf("edits       %.0f/s acknowledged, %.0f/s broadcast, %lu errors\n", edits / seconds,
           (double)l->n_broadcasts / seconds, (unsigned long)l->n_errors);
    histogram_line(&l->acks, line, sizeof line);
    printf("ack         %s\n", line);
    if (l->broadcasts.n) {
        histogram_line(&l->broadcasts, line, sizeof line);
        printf("broadcast   %s\n", line);
    }
    printf("cpu         load %.2f s", own_s);
    if (l->o.server_pid && server_s > 0 && edits > 0)
        printf(", server %.2f s: %.2f us an edit, %.0f edits a CPU second", server_s,
               server_s * 1e6 / edits, edits / server_s);
    printf("\nresult edits_per_s=%.0f broadcasts_per_s=%.0f edits_per_cpu_s=%.0f "
           "cpu_us_per_edit=%.3f server_cpu_share=%.3f load_cpu_share=%.3f ack_p50_us=%.1f "
           "ack_p99_us=%.1f ack_p999_us=%.1f broadcast_p50_us=%.1f broadcast_p99_us=%.1f "
           "errors=%lu\n",
           edits / seconds, (double)l->n_broadcasts / seconds, server_s > 0 ? edits / server_s : 0,
           edits > 0 ? server_s * 1e6 / edits : 0, server_s / seconds, own_s / seconds,
           (double)histogram_at(&l->acks, 0.5) / 1e3, (double)histogram_at(&l->acks, 0.99) / 1e3,
           (double)histogram_at(&l->acks, 0.999) / 1e3,
           (double)histogram_at(&l->broadcasts, 0.5) / 1e3,
           (double)histogram_at(&l->broadcasts, 0.99) / 1e3, (unsigned long)l->n_errors);
}

static int measure(struct load *l)
{
    l->start_ns = clock_mono_ns();
    l->begin_ns = l->start_ns + (uint64_t)l->o.warmup_s * NS_PER_S;
    l->end_ns = l->begin_ns + (uint64_t)l->o.seconds * NS_PER_S;
    for (uint64_t i = 0; !l->o.rate && i < l->o.docs * l->o.writers; i++)
        send_edit(l, writer_at(l, i), clock_mono_ns(), false);
    run(l, l->begin_ns);
    double server_s = cpu_of(l->o.server_pid), own_s = own_cpu();
    l->begin_ns = clock_mono_ns();
    l->end_ns = l->begin_ns + (uint64_t)l->o.seconds * NS_PER_S;
    run(l, l->end_ns);
    uint64_t ended_ns = clock_mono_ns();
    server_s = cpu_of(l->o.server_pid) - server_s;
    own_s = own_cpu() - own_s;
    if (l->failed)
        return 1;
    print_figures(l, (double)(ended_ns - l->begin_ns) / 1e9, server_s, own_s);
    return l->n_acks ? 0 : 1;
}

static bool set_up(struct load *l)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (client_init(&l->client, l->o.url, l->o.token) != STATUS_OK)
        return false;
    snprintf(l->host, sizeof l->host, "%s:%s", l->client.host, l->client.port);
    l->n_peers = (uint32_t)(l->o.docs * (l->o.writers + l->o.readers));
    l->docs = calloc(l->o.docs, sizeof *l->docs);
    l->peers = calloc(l->n_peers, sizeof *l->peers);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->client.tls || getaddrinfo(l->client.host, l->client.port, &hints, &l->address) != 0 ||
        !l->docs || !l->peers || l->epoll_fd < 0) {
        say(SAY_ERROR, "load: can't begin with %s (plain http only)", l->o.url);
        return false;
    }
    for (uint32_t i = 0; i < l->n_peers; i++)
        l->peers[i] = (struct peer){.idx = i, .ws.fd = -1};
    return true;
}

int main(int argc, char **argv)
{
    static struct load l;
    l.random = 88172645463325252ull;
    enum status s = load_options_parse(argc, argv, &l.o);
    if (s != STATUS_OK)
        return s == STATUS_END ? 0 : 2;
    if (l.o.cpu != LOAD_ANY_CPU) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(l.o.cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0)
            say(SAY_WARN, "load: --cpu: %s", strerror(errno));
    }
    int rc = set_up(&l) && connect_all(&l) ? measure(&l) : 1;
    for (uint32_t i = 0; l.peers && i < l.n_peers; i++)
        wsclient_close(&l.peers[i].ws);
    if (l.address)
        freeaddrinfo(l.address);
    free(l.peers);
    free(l.docs);
    return rc;
}
