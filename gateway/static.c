/* static.c - the editor's pages, from the program's own memory; see gateway_private.h. */
#include "base/hash.h"
#include "gateway/gateway_private.h"

#include <stdio.h>

/* The page talks to its own server alone and holds no script of anybody else's. */
#define PAGE_HEADERS                                                                               \
    "Cache-Control: no-cache\r\n"                                                                  \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:; "                   \
    "img-src 'self' data:; frame-ancestors 'none'; "                                               \
    "base-uri 'none'; form-action 'self'\r\n"

#define PAGE(name)                                                                                 \
    extern const uint8_t web_##name[];                                                             \
    extern const uint8_t web_##name##_end[]
PAGE(index_html);
PAGE(app_js);
PAGE(client_js);
PAGE(text_js);
PAGE(style_css);

struct page {
    const char *path;
    const char *content_type;
    const uint8_t *from;
    const uint8_t *end;
};

#define JS "text/javascript; charset=utf-8"
static const struct page pages[] = {
    {"/", "text/html; charset=utf-8", web_index_html, web_index_html_end},
    {"/index.html", "text/html; charset=utf-8", web_index_html, web_index_html_end},
    {"/app.js", JS, web_app_js, web_app_js_end},
    {"/client.js", JS, web_client_js, web_client_js_end},
    {"/text.js", JS, web_text_js, web_text_js_end},
    {"/style.css", "text/css; charset=utf-8", web_style_css, web_style_css_end},
};

static const struct page *page_of(struct bytes path)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (bytes_eq(path, bytes_str(pages[i].path)))
            return &pages[i];
    return NULL;
}

bool static_respond(struct gateway *g, struct conn *c, const struct http_request *req)
{
    const struct page *page = page_of(req->path);
    char headers[768];
    char tag[32];
    struct bytes wanted;
    if (!page)
        return false;
    if (req->method != HTTP_GET && req->method != HTTP_HEAD) {
        gateway_respond_problem(
            g, c, &(struct problem){.status = STATUS_METHOD, .headers = "Allow: GET, HEAD\r\n"});
        return true;
    }
    struct bytes body = bytes_of(page->from, (size_t)(page->end - page->from));
    snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)hash64(body));
    int n = snprintf(headers, sizeof headers, "ETag: %s\r\n%s", tag, PAGE_HEADERS);
    struct http_response response = {.status = 200,
                                     .content_type = page->content_type,
                                     .extra_headers = bytes_of(headers, (size_t)n),
                                     .body = body};
    if (http_find(req, "if-none-match", &wanted) && bytes_eq(wanted, bytes_str(tag))) {
        response.status = 304;
        response.content_type = NULL;
        response.body = (struct bytes){0};
    }
    gateway_respond(g, c, &response);
    return true;
}
