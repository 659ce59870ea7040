/*
 * pipeline.c - the sequencer's journey in one process, without sockets: ring -> transform -> apply
 * -> log on disk -> release.
 *
 * One shard on one thread, as `penstock serve` wires it, with its archive and loader on a thread of
 * their own, and a stand-in for a
 * gateway on the main thread: it makes documents, joins WRITERS sessions to each, and keeps one
 * message of OPS ops under way for
 * every session, always based on the last version it has seen. So the writers of a document are
 * concurrent and their ops are transformed.
 * Every op counted was released, which means durable. Latencies run from the moment a message is
 * put into the ring.
 *
 * Usage: pipeline [--dir DIR] [--docs N] [--writers N] [--ops N] [--seconds S] [--cpu SHARD,OTHERS]
 */
#include "base/clock.h"
#include "base/say.h"
#include "net/op.h"
#include "tools/histogram.h"
#include "tools/server_private.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTENT_UNITS 1000u
#define OPS_MAX       64u

struct writer_state {
    uint32_t doc;
    uint32_t session;
    uint32_t session_gen;
    bool inserting; /* inserts and deletes in turn: the document keeps its size */
    uint64_t seq;
    uint64_t sent_ns;
};

struct bench {
    struct link_end *link;
    uint32_t n_docs;
    uint32_t n_writers;
    uint32_t n_ops;
    uint64_t *versions; /* a document: the newest version seen */
    struct writer_state *writers;
    uint32_t *ready; /* stack of writers with nothing under way */
    uint32_t n_ready;
    uint32_t n_made;
    uint32_t n_joined;
    uint64_t n_released;
    uint64_t n_refused;
    uint64_t random;
    struct histogram latency;
};

static uint64_t next_random(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

static void write_who(struct writer *w)
{
    struct msg_identity id = {.user = BYTES_LIT("bench"), .name = BYTES_LIT("Bench")};
    msg_write_identity(w, &id);
}

static struct bytes doc_id_of(uint32_t doc, char buf[32])
{
    int n = snprintf(buf, 32, "doc-%u", doc);
    return bytes_of(buf, (size_t)n);
}

static bool send_create(struct bench *b, uint32_t doc)
{
    uint8_t *to = ring_claim(&b->link->tx, 4096);
    if (!to)
        return false;
    static uint8_t text[CONTENT_UNITS];
    memset(text, 'x', sizeof text);
    uint8_t op[CONTENT_UNITS + 32];
    struct op_writer ow;
    struct bytes content;
    char id[32];
    op_writer_init(&ow, op, sizeof op);
    op_push_insert(&ow, bytes_of(text, sizeof text), sizeof text, (struct bytes){0});
    check(op_writer_end(&ow, &content) == STATUS_OK);
    struct msg_call call = {.head = {.tag = doc + 1, .session = MSG_NO_SESSION}, .arg8 = DOC_TEXT};
    struct writer w = writer_of(to, 4096);
    msg_write_struct(&w, &call);
    write_who(&w);
    write_str(&w, doc_id_of(doc, id));
    write_str(&w, BYTES_LIT("bench"));
    write_str(&w, content);
    check(w.ok);
    ring_commit(&b->link->tx, MSG_DOC_CREATE, writer_n(&w));
    return true;
}

static bool send_join(struct bench *b, uint32_t writer)
{
    uint8_t *to = ring_claim(&b->link->tx, 512);
    if (!to)
        return false;
    struct msg_join join = {.head = {.tag = writer + 1, .session = MSG_NO_SESSION}};
    char id[32], client[32];
    struct writer w = writer_of(to, 512);
    msg_write_struct(&w, &join);
    write_who(&w);
    write_str(&w, doc_id_of(b->writers[writer].doc, id));
    int n = snprintf(client, sizeof client, "client-%u", writer);
    write_str(&w, bytes_of(client, (size_t)n));
    check(w.ok);
    ring_commit(&b->link->tx, MSG_JOIN, writer_n(&w));
    return true;
}

static bool send_ops(struct bench *b, uint32_t writer, uint64_t now_ns)
{
    struct writer_state *s = &b->writers[writer];
    size_t bytes_max = sizeof(struct msg_ops) + (size_t)b->n_ops * 64;
    uint8_t *to = ring_claim(&b->link->tx, bytes_max);
    if (!to)
        return false;
    struct msg_ops ops = {
        .head = {.tag = writer + 1, .session = s->session, .session_gen = s->session_gen},
        .base_version = b->versions[s->doc],
        .n_ops = b->n_ops};
    struct writer w = writer_of(to, bytes_max);
    msg_write_struct(&w, &ops);
    for (uint32_t i = 0; i < b->n_ops; i++) {
        uint8_t buf[32];
        struct op_writer ow;
        struct bytes op;
        op_writer_init(&ow, buf, sizeof buf);
        op_push_retain(&ow, next_random(b) % (CONTENT_UNITS / 2), (struct bytes){0});
        if (s->inserting)
            op_push_insert(&ow, BYTES_LIT("e"), 1, (struct bytes){0});
        else
            op_push_delete(&ow, 1);
        s->inserting = !s->inserting;
        check(op_writer_end(&ow, &op) == STATUS_OK);
        struct msg_op_in in = {.seq = ++s->seq, .op_bytes = (uint32_t)op.n};
        msg_write_struct(&w, &in);
        write_bytes(&w, op);
        msg_write_pad8(&w);
    }
    check(w.ok);
    ring_commit(&b->link->tx, MSG_OPS, writer_n(&w));
    s->sent_ns = now_ns;
    return true;
}

static void on_joined(struct bench *b, struct bytes payload)
{
    struct msg_joined joined;
    struct reader r = reader_of(payload);
    msg_read_struct(&r, &joined);
    struct writer_state *s = &b->writers[joined.head.tag - 1];
    s->session = joined.head.session;
    s->session_gen = joined.head.session_gen;
    s->seq = joined.last_seq;
    b->versions[s->doc] = joined.version;
    b->ready[b->n_ready++] = (uint32_t)joined.head.tag - 1;
    b->n_joined++;
}

static void on_released(struct bench *b, struct bytes payload, uint64_t now_ns)
{
    struct msg_released rel;
    struct reader r = reader_of(payload);
    msg_read_struct(&r, &rel);
    uint32_t writer = (uint32_t)rel.tag - 1;
    struct writer_state *s = &b->writers[writer];
    b->versions[s->doc] = rel.first_version + rel.n_ops - 1;
    b->n_released += rel.n_ops;
    b->ready[b->n_ready++] = writer;
    histogram_add(&b->latency, now_ns - s->sent_ns);
}

static void on_refused(struct bench *b, uint16_t type, struct bytes payload)
{
    struct msg_error error;
    struct reader r = reader_of(payload);
    msg_read_struct(&r, &error);
    if (!b->n_refused++)
        fprintf(stderr, "pipeline: message type %u: %s\n", type, status_name(error.status));
    if (type == MSG_ERROR) {
        b->writers[error.head.tag - 1].seq -= b->n_ops;
        b->ready[b->n_ready++] = (uint32_t)error.head.tag - 1;
    }
}

/* Takes what the shard says; returns how many messages that were. */
static unsigned take_answers(struct bench *b)
{
    unsigned n = 0;
    uint64_t now_ns = clock_mono_ns();
    struct ring_record rec;
    while (n < 4096 && ring_peek(&b->link->rx, &rec) == STATUS_OK) {
        if (rec.type == MSG_RELEASED)
            on_released(b, rec.payload, now_ns);
        else if (rec.type == MSG_JOINED)
            on_joined(b, rec.payload);
        else if (rec.type == MSG_DOC)
            b->n_made++;
        else if (rec.type == MSG_ERROR || rec.type == MSG_FAIL)
            on_refused(b, rec.type, rec.payload);
        ring_advance(&b->link->rx);
        n++;
    }
    if (n) {
        ring_release(&b->link->rx);
        link_release(b->link);
    }
    return n;
}

static void rest(struct parker *parker, struct bench *b)
{
    parker_arm(parker);
    if (!take_answers(b))
        parker_sleep(parker, 10 * NS_PER_MS);
    parker_disarm(parker);
}

static void set_up(struct bench *b, struct parker *parker)
{
    for (uint32_t doc = 0; doc < b->n_docs;) {
        if (send_create(b, doc)) {
            doc++;
            continue;
        }
        link_flush(b->link);
        rest(parker, b);
    }
    link_flush(b->link);
    while (b->n_made + b->n_refused < b->n_docs)
        rest(parker, b);
    uint32_t n = b->n_docs * b->n_writers;
    for (uint32_t i = 0; i < n;) {
        if (send_join(b, i)) {
            i++;
            continue;
        }
        link_flush(b->link);
        rest(parker, b);
    }
    link_flush(b->link);
    while (b->n_joined + b->n_refused < n)
        rest(parker, b);
}

static void run_until(struct bench *b, struct parker *parker, uint64_t end_ns)
{
    uint64_t now_ns;
    while ((now_ns = clock_mono_ns()) < end_ns) {
        unsigned n = 0;
        while (b->n_ready && n < 4096 && send_ops(b, b->ready[b->n_ready - 1], now_ns)) {
            b->n_ready--;
            n++;
        }
        if (n)
            link_flush(b->link);
        if (!take_answers(b) && !n)
            rest(parker, b);
    }
}

/* ---- the process around it: one shard as `penstock serve` wires it, without a gateway ---- */

struct options {
    const char *dir;
    uint32_t docs;
    uint32_t writers;
    uint32_t ops;
    double seconds;
    int cpu_shard;
    int cpu_others;
};

static struct server server;

static void open_server(const struct options *o, struct config *config, struct datadir *dir,
                        const char *path)
{
    char data[] = "--data", shards[] = "--shards", one[] = "1", name[] = "serve";
    char memory[] = "--memory", bytes[] = "4G", dev[] = "--dev";
    char *where = strdup(path);
    char *argv[] = {name, data, where, shards, one, memory, bytes, dev, NULL};
    bool done;
    check(where && config_read(config, 8, argv, &done) == STATUS_OK);
    check(datadir_open(dir, path, 1, 1) == STATUS_OK);
    static struct server_shard shard;
    static struct server_sequencer sequencer;
    static struct server_gateway gateway;
    server = (struct server){.config = config,
                             .dir = dir,
                             .n_shards = 1,
                             .n_sequencers = 1,
                             .n_gateways = 1,
                             .shards = &shard,
                             .sequencers = &sequencer,
                             .gateways = &gateway};
    check(config_split_memory(config, 1, &server.memory) == STATUS_OK);
    check(counters_open(&server.counters, NULL) == STATUS_OK);
    check(thread_init(&sequencer.thread, "shard", o->cpu_shard, IDLE_PARK) == STATUS_OK);
    check(thread_init(&server.archive_thread, "archive", o->cpu_others, IDLE_PARK) == STATUS_OK);
    check(thread_init(&server.loader_thread, "loader", o->cpu_others, IDLE_PARK) == STATUS_OK);
    check(thread_init(&gateway.thread, "bench", -1, IDLE_PARK) == STATUS_OK);
    check(disk_uring_open(&sequencer.ring, sequencer.thread.parker.event_fd) == STATUS_OK);
    sequencer.thread.wait = disk_uring_wait;
    sequencer.thread.wait_self = sequencer.ring;
    check(server_open_shard(&server, 0) == STATUS_OK);
    thread_add(&sequencer.thread, shard_role(shard.shard));
    thread_add(&server.archive_thread, archive_role(shard.archive));
    thread_add(&server.loader_thread, loader_role(shard.loader));
    check(thread_start(&sequencer.thread) == STATUS_OK);
    check(thread_start(&server.archive_thread) == STATUS_OK);
    check(thread_start(&server.loader_thread) == STATUS_OK);
    free(where);
}

static void close_server(void)
{
    thread_fini(&server.sequencers[0].thread);
    thread_fini(&server.archive_thread);
    thread_fini(&server.loader_thread);
    server_close_shard(&server, 0);
    disk_uring_close(server.sequencers[0].ring);
    thread_fini(&server.gateways[0].thread);
    counters_close(server.counters);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static double thread_cpu_s(pthread_t thread)
{
    clockid_t id;
    struct timespec ts = {0};
    if (pthread_getcpuclockid(thread, &id) == 0)
        clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const struct bench *b, const struct options *o, double seconds, double cpu_s,
                   uint64_t log_records, uint64_t archived)
{
    printf("pipeline: %u documents, %u writers each, %u op(s) a message; ack = on disk\n", o->docs,
           o->writers, o->ops);
    printf("  durable ops/s       %10.0f\n", (double)b->n_released / seconds);
    printf("  ops / shard CPU s   %10.0f   (the shard thread was busy %.0f %% of the time)\n",
           (double)b->n_released / cpu_s, 100 * cpu_s / seconds);
    printf("  archived meanwhile  %10.0f   %% of the log's %llu records\n",
           log_records ? 100.0 * (double)archived / (double)log_records : 100.0,
           (unsigned long long)log_records);
    char line[160];
    histogram_line(&b->latency, line, sizeof line);
    printf("  latency             %s\n", line);
    if (b->n_refused)
        printf("  refused             %10llu\n", (unsigned long long)b->n_refused);
}

static void measure(struct bench *b, const struct options *o)
{
    struct parker *parker = &server.gateways[0].thread.parker;
    pthread_t shard_thread = server.sequencers[0].thread.pthread;
    struct archive_shared *shared = &server.shards[0].shared;
    set_up(b, parker);
    run_until(b, parker, clock_mono_ns() + (uint64_t)(o->seconds * 0.2e9)); /* warm up */
    b->n_released = 0;
    memset(&b->latency, 0, sizeof b->latency);
    double cpu_s = thread_cpu_s(shard_thread);
    uint64_t durable = atomic_load(&shared->durable_idx), view = atomic_load(&shared->view_idx);
    uint64_t start_ns = clock_mono_ns();
    run_until(b, parker, start_ns + (uint64_t)(o->seconds * 1e9));
    double seconds = (double)(clock_mono_ns() - start_ns) / 1e9;
    report(b, o, seconds, thread_cpu_s(shard_thread) - cpu_s,
           atomic_load(&shared->durable_idx) - durable, atomic_load(&shared->view_idx) - view);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return false;
        const char *v = argv[i + 1];
        if (!strcmp(argv[i], "--dir"))
            o->dir = v;
        else if (!strcmp(argv[i], "--docs"))
            o->docs = (uint32_t)strtoul(v, NULL, 10);
        else if (!strcmp(argv[i], "--writers"))
            o->writers = (uint32_t)strtoul(v, NULL, 10);
        else if (!strcmp(argv[i], "--ops"))
            o->ops = (uint32_t)strtoul(v, NULL, 10);
        else if (!strcmp(argv[i], "--seconds"))
            o->seconds = strtod(v, NULL);
        else if (!strcmp(argv[i], "--cpu"))
            return sscanf(v, "%d,%d", &o->cpu_shard, &o->cpu_others) == 2;
        else
            return false;
    }
    return o->docs && o->writers && o->ops && o->ops <= OPS_MAX && o->seconds > 0;
}

int main(int argc, char **argv)
{
    struct options o = {.dir = ".",
                        .docs = 1000,
                        .writers = 2,
                        .ops = 1,
                        .seconds = 5,
                        .cpu_shard = -1,
                        .cpu_others = -1};
    if (!read_options(argc, argv, &o)) {
        fprintf(stderr,
                "usage: pipeline [--dir DIR] [--docs N] [--writers N] [--ops 1..%u] "
                "[--seconds S] [--cpu SHARD,OTHERS]\n",
                OPS_MAX);
        return 2;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/penstock-pipeline.XXXXXX", o.dir);
    if (!mkdtemp(path)) {
        perror(path);
        return 1;
    }
    static struct config config;
    struct datadir dir;
    open_server(&o, &config, &dir, path);
    static struct bench b;
    b = (struct bench){.link = &server.shards[0].gateways[0].a,
                       .n_docs = o.docs,
                       .n_writers = o.writers,
                       .n_ops = o.ops,
                       .random = 0x9e3779b97f4a7c15ull};
    uint32_t n = o.docs * o.writers;
    b.versions = calloc(o.docs, sizeof *b.versions);
    b.writers = calloc(n, sizeof *b.writers);
    b.ready = calloc(n, sizeof *b.ready);
    check(b.versions && b.writers && b.ready);
    for (uint32_t i = 0; i < n; i++)
        b.writers[i] = (struct writer_state){.doc = i / o.writers, .inserting = true};
    measure(&b, &o);
    close_server();
    datadir_close(&dir);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(b.versions);
    free(b.writers);
    free(b.ready);
    return b.n_released ? 0 : 1;
}
