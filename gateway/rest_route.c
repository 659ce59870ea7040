/* rest_route.c - which path and method asks for what; see rest.h. Pure. */
#include "gateway/rest.h"

struct row {
    const char *pattern; /* '*' stands for one segment, which is not empty */
    enum http_method method;
    enum rest_what what;
};

/* What the protocol names and this server does not offer yet stands here as well, so that it
 * answers 501 instead of 404. */
static const struct row rows[] = {
    {"/docs", HTTP_GET, REST_LIST},
    {"/docs", HTTP_POST, REST_CREATE},
    {"/docs/*", HTTP_GET, REST_GET},
    {"/docs/*", HTTP_PATCH, REST_TITLE},
    {"/docs/*", HTTP_DELETE, REST_DELETE},
    {"/docs/*/ops", HTTP_POST, REST_OPS},
    {"/docs/*/restore", HTTP_POST, REST_RESTORE},
    {"/docs/*/history", HTTP_GET, REST_HISTORY},
    {"/docs/*/collaborators", HTTP_GET, REST_ROLES},
    {"/docs/*/collaborators/*", HTTP_PUT, REST_ROLE_SET},
    {"/docs/*/collaborators/*", HTTP_DELETE, REST_ROLE_ERASE},
    {"/ws/docs/*", HTTP_GET, REST_WEBSOCKET},
    {"/healthz", HTTP_GET, REST_HEALTH},
    {"/readyz", HTTP_GET, REST_READY},
    {"/metrics", HTTP_GET, REST_METRICS},
    {"/dev/token", HTTP_POST, REST_DEV_TOKEN},
    {"/docs/*/content", HTTP_PUT, REST_NOT_BUILT},
    {"/docs/*/revert", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/versions", HTTP_GET, REST_NOT_BUILT},
    {"/docs/*/versions", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/diff", HTTP_GET, REST_NOT_BUILT},
    {"/docs/*/links", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/links/*", HTTP_DELETE, REST_NOT_BUILT},
    {"/links/*", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/comments", HTTP_GET, REST_NOT_BUILT},
    {"/docs/*/comments", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/comments/*", HTTP_PATCH, REST_NOT_BUILT},
    {"/docs/*/comments/*", HTTP_DELETE, REST_NOT_BUILT},
    {"/docs/*/comments/*/replies", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/suggestions", HTTP_GET, REST_NOT_BUILT},
    {"/docs/*/suggestions", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/suggestions/*/accept", HTTP_POST, REST_NOT_BUILT},
    {"/docs/*/suggestions/*/reject", HTTP_POST, REST_NOT_BUILT},
    {"/notifications", HTTP_GET, REST_NOT_BUILT},
    {"/notifications/read", HTTP_POST, REST_NOT_BUILT},
    {"/ws/notifications", HTTP_GET, REST_NOT_BUILT},
};

static bool matches(const char *pattern, struct bytes path, struct bytes args[2])
{
    size_t at = 0;
    unsigned n_args = 0;
    for (; *pattern; pattern++) {
        if (*pattern != '*') {
            if (at == path.n || path.p[at] != (uint8_t)*pattern)
                return false;
            at++;
            continue;
        }
        size_t from = at;
        while (at < path.n && path.p[at] != '/')
            at++;
        if (at == from)
            return false;
        args[n_args++] = bytes_of(path.p + from, at - from);
    }
    return at == path.n;
}

static void allow(struct rest_route *route, enum http_method method)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET, HEAD", [HTTP_POST] = "POST",     [HTTP_PUT] = "PUT",
        [HTTP_PATCH] = "PATCH",   [HTTP_DELETE] = "DELETE",
    };
    size_t n = strlen(route->allow);
    struct writer w = writer_of(route->allow + n, sizeof route->allow - n - 1);
    if (n)
        write_bytes(&w, BYTES_LIT(", "));
    write_bytes(&w, bytes_str(names[method]));
}

void rest_route(enum http_method method, struct bytes path, struct rest_route *route)
{
    memset(route, 0, sizeof *route);
    if (method == HTTP_HEAD)
        method = HTTP_GET;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes args[2] = {{0}};
        if (!matches(rows[i].pattern, path, args))
            continue;
        if (rows[i].method == method) {
            route->what = rows[i].what;
            memcpy(route->args, args, sizeof args);
            return;
        }
        route->what = REST_METHOD;
        allow(route, rows[i].method);
    }
}
