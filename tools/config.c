/* config.c - see config.h. */
#include "tools/config.h"
#include "base/say.h"
#include "net/limits.h"
#include "sequencer/shard.h"
#include "tools/datadir.h"

#include <arpa/inet.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB         (1ull << 20)
#define GIB         (1ull << 30)
#define FIELD(name) offsetof(struct config, name)
/* What a gateway takes besides gateway_bytes: buffers for one message's work; a connection's entry
 * and session; with OpenSSL's part (19 KiB while idle, and a record of 16 KiB on the way). */
#define GATEWAY_BUFFER_BYTES (48 * MIB)
#define CONNECTION_BYTES     (2ull << 10)
#define TLS_BYTES            (48ull << 10)
#define CONNECTIONS_DEFAULT  65536u
#define MEMORY_DEFAULT_BYTES (2 * GIB)
#define SHARD_DEFAULT_BYTES  (192 * MIB) /* for documents and windows */
#define SHARDS_CORES_MAX     16u         /* more than this many only where asked for */

static const struct option_spec specs[] = {
    {"data", OPTION_TEXT, "DIR", "data directory; made where there is none (required)", FIELD(data),
     0, 0, NULL},
    {"listen", OPTION_TEXT, "ADDR:PORT", "where to serve; port 0 picks one (127.0.0.1:8080)",
     FIELD(listen), 0, 0, NULL},
    {"metrics-listen", OPTION_TEXT, "ADDR:PORT", "/healthz /readyz /metrics there instead",
     FIELD(metrics_listen), 0, 0, NULL},
    {"tls-cert", OPTION_TEXT, "FILE", "certificate chain (PEM): serve https and wss",
     FIELD(tls_cert), 0, 0, NULL},
    {"tls-key", OPTION_TEXT, "FILE", "its private key (PEM)", FIELD(tls_key), 0, 0, NULL},
    {"jwt-key", OPTION_LIST, "FILE",
     "accepts tokens of this key: NAME.hs256, PEM or JWKS; repeatable", FIELD(jwt_keys), 0, 0,
     NULL},
    {"jwt-issuer", OPTION_TEXT, "S", "tokens must have this iss", FIELD(jwt_issuer), 0, 0, NULL},
    {"jwt-audience", OPTION_TEXT, "S", "tokens must have this aud", FIELD(jwt_audience), 0, 0,
     NULL},
    {"jwt-leeway", OPTION_NUMBER, "SECONDS", "clock difference allowed to token makers (10)",
     FIELD(jwt_leeway_s), 0, 60, NULL},
    {"origin", OPTION_LIST, "URL",
     "pages of this origin may connect; repeatable (the server's own may)", FIELD(origins), 0, 0,
     NULL},
    {"dev", OPTION_FLAG, NULL, "sign in without tokens, on loopback only", FIELD(dev), 0, 0, NULL},
    {"shards", OPTION_NUMBER, "N", "fixed when the directory is made (half the cores)",
     FIELD(shards), 1, DATADIR_SHARDS_MAX, NULL},
    {"threads", OPTION_NUMBER, "N", "that run the shards (half the cores, at most --shards)",
     FIELD(threads), 1, DATADIR_SHARDS_MAX, NULL},
    {"gateways", OPTION_NUMBER, "N", "threads that serve connections (1)", FIELD(gateways), 1,
     SHARD_GATEWAYS_MAX, NULL},
    {"pin", OPTION_TEXT, "CPUS", "\"0,2-3\": pins gateways, shards, archive, loader in this order",
     FIELD(pin), 0, 0, NULL},
    {"idle", OPTION_CHOICE, "park|spin", "what gateways and shards do while idle (park)",
     FIELD(idle), 0, 0, "park|spin"},
    {"memory", OPTION_BYTES, "BYTES", "budget, split over all parts (2G, more for many shards)",
     FIELD(memory_bytes), 128 * MIB, 1024 * GIB, NULL},
    {"message-bytes", OPTION_BYTES, "BYTES", "largest WebSocket message (1M)", FIELD(message_bytes),
     1024, LIMIT_MESSAGE_BYTES, NULL},
    {"document-units", OPTION_NUMBER, "N", "largest document, in UTF-16 units (1048576)",
     FIELD(document_units), 1, LIMIT_DOCUMENT_UNITS, NULL},
    {"op-components", OPTION_NUMBER, "N", "most components of an op (10000)", FIELD(op_components),
     1, LIMIT_OP_PARTS, NULL},
    {"connections", OPTION_NUMBER, "N",
     "most connections of a gateway (65536, or what --memory has room for)", FIELD(connections), 1,
     1000000, NULL},
    {"messages-per-second", OPTION_NUMBER, "N", "of a connection; 0: no limit (50000)",
     FIELD(messages_per_s), 0, 1000000, NULL},
    {"outbound-bytes", OPTION_BYTES, "BYTES", "queued for a slow reader before it is closed (4M)",
     FIELD(outbound_bytes), 64 << 10, GIB, NULL},
    {"log-segment-bytes", OPTION_BYTES, "BYTES", "size of a log segment (64M)",
     FIELD(log_segment_bytes), LOG_GROUP_BYTES_DEFAULT, 4 * GIB, NULL},
    {"log-segments", OPTION_NUMBER, "N", "most segments of a shard's log (64)", FIELD(log_segments),
     3, LOG_SEGMENTS_LIMIT, NULL},
    {"trash-days", OPTION_NUMBER, "N", "how long a deleted document can be restored (30)",
     FIELD(trash_days), 1, 36500, NULL},
    {"config", OPTION_TEXT, "FILE", "the same names in INI form; argv is stronger", FIELD(file), 0,
     0, NULL},
};

static const struct option_command command = {
    .name = "serve",
    .synopsis = "--data DIR (--jwt-key FILE | --dev) [options]",
    .about =
        "Serves documents in DIR over WebSocket and HTTP. Prints one line once it serves; SIGTERM\n"
        "or SIGINT tells the clients, stores everything and exits 0.",
    .specs = specs,
    .n_specs = sizeof specs / sizeof *specs,
};

/* ---- texts ---- */

static bool read_port(const char *text, uint16_t *port)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long v = strtoul(text, &end, 10);
    if (*end || v > 65535)
        return false;
    *port = (uint16_t)v;
    return true;
}

bool config_read_address(const char *text, struct config_address *a)
{
    uint8_t addr[16];
    const char *colon = strrchr(text, ':');
    *a = (struct config_address){0};
    if (!colon || !read_port(colon + 1, &a->port))
        return false;
    const char *start = text, *end = colon;
    a->is_v6 = *text == '[';
    if (a->is_v6) {
        start++;
        if (--end <= start || *end != ']')
            return false;
    }
    size_t n = (size_t)(end - start);
    if (n == 0 || n >= sizeof a->host)
        return false;
    memcpy(a->host, start, n);
    if (inet_pton(a->is_v6 ? AF_INET6 : AF_INET, a->host, addr) != 1) {
        a->host[0] = 0;
        return false;
    }
    static const uint8_t v6_loopback[16] = {[15] = 1};
    a->is_loopback = a->is_v6 ? memcmp(addr, v6_loopback, 16) == 0 : addr[0] == 127;
    return true;
}

bool config_read_cpus(const char *text, int cpus[CONFIG_CPUS_MAX], unsigned *n)
{
    *n = 0;
    for (const char *at = text;; at++) {
        char *end;
        if (*at < '0' || *at > '9')
            return false;
        unsigned long from = strtoul(at, &end, 10), to = from;
        if (*end == '-') {
            at = end + 1;
            if (*at < '0' || *at > '9')
                return false;
            to = strtoul(at, &end, 10);
        }
        if (to < from || to > 4095 || to - from >= CONFIG_CPUS_MAX - *n)
            return false;
        for (; from <= to; from++)
            cpus[(*n)++] = (int)from;
        if (*end == 0)
            return true;
        if (*end != ',')
            return false;
        at = end;
    }
}

/* ---- the file ---- */

/* What the file says, kept to the end of the process: text options point into it. */
struct kept {
    struct kept *next;
    char text[];
};

static struct kept *kept_all;

static const char *keep(const char *value)
{
    size_t n = strlen(value) + 1;
    struct kept *k = malloc(sizeof *k + n);
    if (!k)
        return NULL;
    memcpy(k->text, value, n);
    k->next = kept_all;
    kept_all = k;
    return k->text;
}

struct file_reader {
    struct config *config;
    char why[200];
};

static int on_value(void *self, const char *section, const char *name, const char *value)
{
    struct file_reader *r = self;
    if (r->why[0])
        return 1; /* only the first complaint is told */
    char why[120] = "";
    if (*section && strcmp(section, "serve") != 0)
        snprintf(r->why, sizeof r->why, "there is no section [%.40s]", section);
    else if (strcmp(name, "config") == 0)
        snprintf(r->why, sizeof r->why, "a file can't name another one");
    else {
        const char *kept = keep(value);
        if (!kept || options_set(&command, name, kept, r->config, why, sizeof why) != STATUS_OK)
            snprintf(r->why, sizeof r->why, "%.40s: %s", name, why);
    }
    return r->why[0] ? 0 : 1;
}

static enum status read_file(struct config *c, const char *path)
{
    struct file_reader r = {.config = c};
    int line = ini_parse(path, on_value, &r);
    if (line < 0)
        return options_complain(&command, "the file %s can't be read", path);
    if (line > 0 || r.why[0])
        return options_complain(&command, "%s:%d: %s", path, line,
                                r.why[0] ? r.why : "this is no \"name = value\"");
    return STATUS_OK;
}

/* ---- the whole ---- */

static uint32_t n_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}

static const struct config defaults = {
    .listen = "127.0.0.1:8080",
    .jwt_leeway_s = 10,
    .gateways = 1,
    .idle = IDLE_PARK,
    .message_bytes = LIMIT_MESSAGE_BYTES,
    .document_units = LIMIT_DOCUMENT_UNITS,
    .op_components = LIMIT_OP_PARTS,
    .messages_per_s = 50000,
    .outbound_bytes = 4 * MIB,
    .log_segment_bytes = LOG_SEGMENT_BYTES_DEFAULT,
    .log_segments = LOG_SEGMENTS_MAX_DEFAULT,
    .trash_days = 30,
};

static enum status check_config(struct config *c)
{
    if (!c->data)
        return options_complain(&command, "--data is needed (see penstock serve --help)");
    if (!config_read_address(c->listen, &c->address))
        return options_complain(
            &command, "--listen: \"%.60s\" is no ADDR:PORT with a numeric address", c->listen);
    if (c->metrics_listen && !config_read_address(c->metrics_listen, &c->metrics_address))
        return options_complain(
            &command, "--metrics-listen: \"%.60s\" is no ADDR:PORT with a numeric address",
            c->metrics_listen);
    if (!c->tls_cert != !c->tls_key)
        return options_complain(&command, "--tls-cert and --tls-key belong together");
    if (c->dev && !c->address.is_loopback)
        return options_complain(&command, "--dev serves on loopback addresses only, not on %s",
                                c->address.host);
    if (!c->dev && c->jwt_keys.n == 0)
        return options_complain(&command, "--jwt-key is needed (or --dev, to try it out)");
    if (c->pin && !config_read_cpus(c->pin, c->cpus, &c->n_cpus))
        return options_complain(&command, "--pin: \"%.60s\" is no list of CPUs", c->pin);
    if (c->log_segment_bytes % 4096)
        return options_complain(&command, "--log-segment-bytes must be a multiple of 4096");
    return STATUS_OK;
}

enum status config_read(struct config *c, int argc, char **argv, bool *done)
{
    /* Once for help, mistakes and --config alone; then the file, and argv over it. */
    struct config first = defaults;
    enum status s = options_parse(&command, argc, argv, &first, NULL, done);
    if (s != STATUS_OK || *done)
        return s;
    *c = defaults;
    if (first.file && (s = read_file(c, first.file)) != STATUS_OK)
        return s;
    s = options_parse(&command, argc, argv, c, NULL, done);
    if (s != STATUS_OK)
        return s;
    uint32_t half = n_cores() / 2;
    half = half < 1 ? 1 : half;
    c->shards_default = half < SHARDS_CORES_MAX ? half : SHARDS_CORES_MAX;
    if (!c->threads)
        c->threads = half;
    return check_config(c);
}

/* What a transaction of the view costs is mostly pages that it touches, many of them again and
 * again: the larger the batch, the less is written for each op. */
static uint64_t archive_batch_bytes(uint64_t memory_bytes, uint32_t n_shards)
{
    uint64_t part = memory_bytes / 64 / n_shards;
    return part < 8 * MIB ? 8 * MIB : part > 128 * MIB ? 128 * MIB : part;
}

/* As many connections as are asked for; else as many as take a sixteenth of the budget at most, or
 * a quarter where each of them bears TLS. */
static uint64_t connections_of(const struct config *c, uint64_t memory_bytes)
{
    if (c->connections)
        return c->connections;
    uint64_t share = c->tls_cert ? memory_bytes / 4 : memory_bytes / 16;
    uint64_t n = share / c->gateways / (c->tls_cert ? TLS_BYTES : CONNECTION_BYTES);
    return n < CONNECTIONS_DEFAULT ? n : CONNECTIONS_DEFAULT;
}

/*
 * Fixed parts first, as large as the largest record needs; then an eighth of the rest for the
 * windows of recent ops, a quarter for the gateways, and the remainder for documents.
 */
enum status config_split_memory(const struct config *c, uint32_t n_shards, struct config_memory *m)
{
    uint64_t memory_bytes = c->memory_bytes ? c->memory_bytes : MEMORY_DEFAULT_BYTES;
    *m = (struct config_memory){
        .log_group_bytes = LOG_GROUP_BYTES_DEFAULT,
        .archive_batch_bytes = archive_batch_bytes(memory_bytes, n_shards),
        .loader_bytes = 32 * MIB,
        .ring_bytes = LIMIT_RING_BYTES,
        .connections = connections_of(c, memory_bytes),
    };
    uint64_t shard_fixed = 2 * m->log_group_bytes + 2 * m->archive_batch_bytes + m->loader_bytes +
                           2 * LIMIT_RING_BYTES; /* the loader's and the archive's rings */
    uint64_t gateway_fixed =
        GATEWAY_BUFFER_BYTES + m->connections * (c->tls_cert ? TLS_BYTES : CONNECTION_BYTES);
    uint64_t fixed =
        n_shards * (shard_fixed + c->gateways * 2 * m->ring_bytes) + c->gateways * gateway_fixed;
    uint64_t least = fixed + n_shards * 32 * MIB + c->gateways * 16 * MIB;
    /* Large machines make many shards by default; the default budget must not stop them. */
    if (!c->memory_bytes && memory_bytes < fixed + n_shards * SHARD_DEFAULT_BYTES)
        memory_bytes = fixed + n_shards * SHARD_DEFAULT_BYTES;
    if (memory_bytes < least)
        return options_complain(
            &command, "--memory: %u shard(s) and %u gateway(s) need at least %lluM", n_shards,
            (unsigned)c->gateways, (unsigned long long)(least / MIB + 1));
    uint64_t rest = memory_bytes - fixed;
    m->gateway_bytes = rest / 4 / c->gateways;
    m->window_bytes = 1 * MIB;
    while (m->window_bytes * 2 <= rest / 8 / n_shards && m->window_bytes < 256 * MIB)
        m->window_bytes *= 2;
    m->documents_bytes = (rest - rest / 4) / n_shards - m->window_bytes;
    return STATUS_OK;
}
