/* metrics.c - the gateway's counters, and the counters' page as Prometheus text (version 0.0.4);
 * see gateway_private.h and metrics.h. */
#include "gateway/metrics.h"

#include "gateway/gateway_private.h"
#include "gateway/json.h"

#include <stdio.h>

static const char *const refusal_names[REFUSAL_N] = {
    [REFUSAL_NOT_READY] = "not_ready",
    [REFUSAL_TOKEN] = "token",
    [REFUSAL_ORIGIN] = "origin",
    [REFUSAL_LIMIT] = "limit",
    [REFUSAL_RATE] = "rate",
    [REFUSAL_RING_FULL] = "ring_full",
    [REFUSAL_BAD_MESSAGE] = "malformed",
    [REFUSAL_TIMEOUT] = "timeout",
};

void metrics_open(struct gateway *g)
{
    struct counters *c = g->o.counters;
    char own[COUNTER_LABEL_BYTES], label[64];
    snprintf(own, sizeof own, "gateway=\"%u\"", g->o.idx);
    if (g->o.n_shards)
        g->n.ready = counters_add(c, COUNTER_GAUGE, GATEWAY_READY_NAME, own,
                                  "1 while it serves: started and not draining");
    g->n.connections = counters_add(c, COUNTER_GAUGE, "penstock_connections", own,
                                    "Open connections, HTTP and WebSocket");
    g->n.sessions = counters_add(c, COUNTER_GAUGE, "penstock_gateway_sessions", own,
                                 "WebSocket sessions, handshakes under way included");
    g->n.messages_in = counters_add(c, COUNTER_TOTAL, "penstock_messages_received_total", own,
                                    "WebSocket messages from clients");
    g->n.message_bytes_in = counters_add(c, COUNTER_TOTAL, "penstock_message_bytes_received_total",
                                         own, "Their payload in bytes");
    g->n.messages_out = counters_add(c, COUNTER_TOTAL, "penstock_messages_sent_total", own,
                                     "WebSocket messages to clients");
    g->n.ops_in = counters_add(c, COUNTER_TOTAL, "penstock_ops_received_total", own,
                               "Operations handed to the shards");
    /* A label field holds 31 characters: a reason may have 9. */
    for (unsigned i = 1; i <= 5; i++) {
        snprintf(label, sizeof label, "class=\"%uxx\",gateway=\"%u\"", i, g->o.idx);
        g->n.requests[i] = counters_add(c, COUNTER_TOTAL, "penstock_http_responses_total", label,
                                        "HTTP answers by class of status");
    }
    for (unsigned i = 0; i < REFUSAL_N; i++) {
        snprintf(label, sizeof label, "reason=\"%s\",gateway=\"%u\"", refusal_names[i], g->o.idx);
        g->n.refusals[i] = counters_add(c, COUNTER_TOTAL, "penstock_refusals_total", label,
                                        "Refused requests and messages by reason");
    }
}

/* All samples of one name stand together, behind its HELP and TYPE. */
static void write_family(struct writer *w, const struct counters *c, uint32_t first)
{
    const struct counter *family = counters_at(c, first);
    json_write_lit(w, "# HELP ");
    json_write_lit(w, family->name);
    json_write_lit(w, " ");
    json_write_lit(w, family->help);
    json_write_lit(w, "\n# TYPE ");
    json_write_lit(w, family->name);
    json_write_lit(w, family->kind == COUNTER_GAUGE ? " gauge\n" : " counter\n");
    for (uint32_t i = first; i < counters_n(c); i++) {
        const struct counter *one = counters_at(c, i);
        if (strcmp(one->name, family->name) != 0)
            continue;
        json_write_lit(w, one->name);
        if (one->label[0]) {
            json_write_lit(w, "{");
            json_write_lit(w, one->label);
            json_write_lit(w, "}");
        }
        json_write_lit(w, " ");
        json_write_u64(w, counter_get(one));
        json_write_lit(w, "\n");
    }
}

void metrics_write(struct writer *w, const struct counters *c)
{
    for (uint32_t i = 0; i < counters_n(c); i++) {
        bool seen = false;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = strcmp(counters_at(c, k)->name, counters_at(c, i)->name) == 0;
        if (!seen)
            write_family(w, c, i);
    }
}

void metrics_respond(struct gateway *g, struct conn *c)
{
    size_t bytes_max = METRICS_BYTES_MAX(counters_n(g->o.counters));
    uint8_t *buf = malloc(bytes_max);
    struct writer w = writer_of(buf, buf ? bytes_max : 0);
    metrics_write(&w, g->o.counters);
    if (w.ok)
        gateway_respond(
            g, c,
            &(struct http_response){.status = 200,
                                    .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                    .body = writer_bytes(&w)});
    else
        gateway_respond_status(g, c, STATUS_NO_MEMORY);
    free(buf);
}
