/* rest_open.c - what is asked without a token: health, readiness, metrics, tokens of --dev; see
 * rest.h. */
#include "gateway/rest.h"

#define DEV_TOKEN_S (12u * 3600u)

static void respond_text(struct gateway *g, struct conn *c, const char *json)
{
    gateway_respond(
        g, c,
        &(struct http_response){.status = 200,
                                .content_type = "application/json",
                                .extra_headers = BYTES_LIT("Cache-Control: no-store\r\n"),
                                .body = bytes_str(json)});
}

/* ---- POST /dev/token ---- */

static bool starts_with(struct bytes b, const char *prefix)
{
    size_t n = strlen(prefix);
    return b.n >= n && memcmp(b.p, prefix, n) == 0;
}

static bool is_loopback_name(struct bytes host)
{
    return starts_with(host, "127.") || starts_with(host, "localhost:") ||
           starts_with(host, "[::1]") || bytes_eq(host, BYTES_LIT("localhost"));
}

/* A token for whoever asks: only from this machine, and not from a page of somebody else's that a
 * browser here shows (foreign Origin, or a name that was pointed at this machine: foreign Host). */
static bool may_have_dev_token(const struct gateway *g, const struct conn *c,
                               const struct http_request *req)
{
    struct bytes host;
    struct bytes peer = bytes_str(conn_peer(c));
    bool is_local = starts_with(peer, "127.") || starts_with(peer, "[::1]") ||
                    starts_with(peer, "::1") || starts_with(peer, "[::ffff:127.");
    return is_local && http_find(req, "host", &host) && is_loopback_name(host) &&
           gateway_origin_fits(g, c, req);
}

static void answer_dev_token(struct gateway *g, struct conn *c, struct bytes sub, struct bytes name)
{
    char jwt[TOKEN_BYTES_MAX];
    uint8_t buf[TOKEN_BYTES_MAX + 6 * LIMIT_USER_ID_BYTES + 256];
    uint64_t now_s = clock_unix_ms() / 1000;
    struct token_new t = {
        .sub = sub, .name = name, .issued_unix_s = now_s, .expires_unix_s = now_s + DEV_TOKEN_S};
    if (token_sign(g->o.dev_secret, false, &t, jwt, sizeof jwt) != STATUS_OK) {
        gateway_respond_status(g, c, STATUS_INTERNAL);
        return;
    }
    struct writer w = writer_of(buf, sizeof buf);
    json_write_lit(&w, "{\"token\":");
    json_write_string(&w, bytes_str(jwt));
    json_write_lit(&w, ",\"user_id\":");
    json_write_string(&w, sub);
    json_write_lit(&w, ",\"expires_at\":");
    json_write_time(&w, t.expires_unix_s * 1000);
    json_write_lit(&w, "}\n");
    gateway_respond(
        g, c,
        &(struct http_response){.status = 200,
                                .content_type = "application/json",
                                .extra_headers = BYTES_LIT("Cache-Control: no-store\r\n"),
                                .body = writer_bytes(&w)});
}

static void dev_token(struct gateway *g, struct conn *c, const struct http_request *req,
                      struct bytes text)
{
    struct rest_body body;
    if (!may_have_dev_token(g, c, req)) {
        gateway_respond_problem(g, c,
                                &(struct problem){.status = STATUS_FORBIDDEN,
                                                  .detail = BYTES_LIT("only from this machine")});
        return;
    }
    if (!rest_read_body(g, c, text, &body))
        return;
    struct bytes sub = body.has_sub ? body.sub : body.name;
    if (!id_is_principal(sub) || starts_with(sub, "group:") || body.name.n > LIMIT_NAME_BYTES) {
        gateway_respond_problem(
            g, c,
            &(struct problem){.status = STATUS_BAD_MESSAGE,
                              .detail = BYTES_LIT("name (or sub) is a string of 1 to 128 bytes")});
        return;
    }
    answer_dev_token(g, c, sub, body.has_name ? body.name : sub);
}

bool rest_open_pages(struct gateway *g, struct conn *c, const struct http_request *req,
                     const struct rest_route *route, struct bytes body)
{
    bool is_ops_page =
        route->what == REST_HEALTH || route->what == REST_READY || route->what == REST_METRICS;
    if (is_ops_page && !g->o.serve_ops_pages) {
        gateway_respond_status(g, c, STATUS_NOT_FOUND);
        return true;
    }
    switch ((int)route->what) {
    case REST_HEALTH:
        respond_text(g, c, "{\"status\":\"alive\"}\n");
        return true;
    case REST_READY:
        if (gateway_is_ready(g)) {
            respond_text(g, c, "{\"status\":\"ready\"}\n");
        } else {
            gateway_respond_problem(g, c,
                                    &(struct problem){.status = STATUS_UNAVAILABLE,
                                                      .detail = BYTES_LIT("starting or draining")});
        }
        return true;
    case REST_METRICS:
        metrics_respond(g, c);
        return true;
    case REST_DEV_TOKEN:
        if (!g->o.dev) {
            gateway_respond_status(g, c, STATUS_NOT_FOUND);
            return true;
        }
        if (!gateway_is_ready(g))
            return false;
        dev_token(g, c, req, body);
        return true;
    default:
        return false;
    }
}
