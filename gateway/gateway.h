/*
 * gateway.h - the role that serves sockets: a loop of connections on one side, links to all shards
 * on the other.
 *
 * One thread a gateway; it owns its listening socket (SO_REUSEPORT where there are several), its
 * connections, its tables. It knows nothing of logs or documents: messages (net/message.h) over
 * links are all that it shares with the sequencer.
 *
 * Draining: gateway_drain() (any thread) makes it refuse new work (503), finish what is under way,
 * send `goodbye` and close 1012; gateway_is_drained() then turns true.
 */
#ifndef PENSTOCK_GATEWAY_GATEWAY_H
#define PENSTOCK_GATEWAY_GATEWAY_H

#include "base/role.h"
#include "net/link.h"

#define GATEWAY_SHARDS_MAX 64

struct gateway;
struct counters;
struct token_keys;  /* gateway/token.h: loaded once at start, read-only, shared by all gateway
                       threads */
struct tls_context; /* gateway/tls.h */

struct gateway_options {
    uint32_t idx;            /* 0 ... n_gateways - 1 */
    const char *listen_host; /* numeric address */
    uint16_t listen_port;
    bool reuse_port;
    const struct token_keys *keys;
    struct tls_context *tls; /* NULL: plain */
    const char *const
        *origins; /* allowed Origin values, besides the same origin; n_origins of them */
    uint32_t n_origins;
    bool dev; /* POST /dev/token signs tokens; `dev_secret` signs them */
    struct bytes dev_secret;
    bool serve_ops_pages; /* /healthz /readyz /metrics here (false: only on the metrics listener) */
    uint32_t connections_max;   /* default 65536; past it 429 */
    uint32_t message_bytes_max; /* default LIMIT_MESSAGE_BYTES */
    uint32_t body_bytes_max;    /* default LIMIT_BODY_BYTES */
    uint32_t op_parts_max;
    uint32_t document_units_max; /* both: only told to clients in `limits` and used for op_check */
    uint64_t outbound_bytes_max; /* a connection; default 4 MiB (content being sent not counted) */
    uint64_t memory_bytes;     /* of what is received and what is queued to be sent; 0: 1280 MiB */
    uint32_t messages_per_s;   /* a connection's token bucket; 0: no limit */
    uint32_t handshake_ms_max; /* to the end of the request head; default 10000 */
    uint32_t token_leeway_s;   /* default 10, at most 60 */
    struct counters *counters; /* printed by /metrics; the gateway adds its own */
    uint32_t n_shards;
    struct link_end *shards[GATEWAY_SHARDS_MAX];
};

enum status gateway_open(struct gateway **out, const struct gateway_options *options) must_use;
void gateway_close(struct gateway *g);
struct role gateway_role(struct gateway *g);
/* Fits struct thread's `wait`: sleeps in the loop's io_uring; event_fd given before start. */
void gateway_wait(void *g, uint64_t timeout_ns);
void gateway_watch_event_fd(struct gateway *g, int event_fd);
uint16_t
gateway_port(const struct gateway *g); /* the port really bound (listen_port 0 picks one) */

void gateway_drain(struct gateway *g);            /* any thread; wake it after */
bool gateway_is_drained(const struct gateway *g); /* any thread */

#endif
