/*
 * rest.h - the HTTP calls (protocol section 4). Inside the gateway role.
 *
 *     rest_route.c   paths and methods -> what is asked (pure)
 *     rest.c         requests -> messages to shards
 *     rest_body.c    bodies: JSON -> fields
 *     rest_answer.c  messages of shards -> answers
 *     rest_list.c    lists: gathering the shards' pages, cursors
 *
 * A request waits as a `struct call` on its connection; the request's head and body stay valid
 * until the answer. A call that no shard answers in time gets 503 and its connection ends, so that
 * a late answer meets a dead tag.
 */
#ifndef PENSTOCK_GATEWAY_REST_H
#define PENSTOCK_GATEWAY_REST_H

#include "gateway/cursor.h"
#include "gateway/gateway_private.h"

enum rest_what {
    REST_NOTHING, /* no such path */
    REST_METHOD,  /* the path knows other methods */
    REST_NOT_BUILT,
    REST_HEALTH,
    REST_READY,
    REST_METRICS,
    REST_DEV_TOKEN,
    REST_WEBSOCKET,
    REST_LIST,
    REST_CREATE,
    REST_GET,
    REST_TITLE,
    REST_DELETE,
    REST_RESTORE,
    REST_OPS,
    REST_HISTORY,
    REST_ROLES,
    REST_ROLE_SET,
    REST_ROLE_ERASE,
};

struct rest_route {
    enum rest_what what;
    struct bytes args[2]; /* what stood in place of the path's variables, percent-encoded */
    char allow[48];       /* REST_METHOD: "GET, HEAD, PATCH" */
};
void rest_route(enum http_method method, struct bytes path, struct rest_route *route);

/* A page of one shard's documents. */
struct gather {
    uint32_t n_left; /* shards that have not answered */
    uint8_t *pages[GATEWAY_SHARDS_MAX];
    size_t page_bytes[GATEWAY_SHARDS_MAX];
};

struct call {
    struct peer peer;
    enum rest_what what;
    uint32_t limit;
    uint8_t role;
    bool is_second;   /* the change is made; the document that it led to is being read */
    bool has_refusal; /* ops: found wrong here behind those that were sent */
    bool refusal_has_seq;
    enum status refusal;
    uint64_t refusal_seq;
    const struct http_request *req;
    struct gather *gather; /* REST_LIST */
    struct bytes identity; /* encoded; all of these in data[] */
    struct bytes user;
    struct bytes doc_id;
    struct bytes principal;
    uint8_t data[];
};

/* Whether the path is one that needs neither token nor shards; answers it. */
bool rest_open_pages(struct gateway *g, struct conn *c, const struct http_request *req,
                     const struct rest_route *route, struct bytes body);
void rest_request(struct gateway *g, struct conn *c, const struct http_request *req,
                  const struct rest_route *route, struct bytes body);
void rest_gone(struct gateway *g, struct call *call);
void rest_timer(struct gateway *g, struct call *call);
void rest_message(struct gateway *g, struct call *call, uint32_t shard, uint16_t type,
                  struct bytes payload);

/* ---- between the files ---- */

/* NULL: no memory (answered). */
struct call *rest_call_open(struct gateway *g, struct conn *c, const struct http_request *req,
                            enum rest_what what, const struct token_claims *claims,
                            struct bytes doc_id, struct bytes principal);
void rest_call_close(struct gateway *g, struct call *call);
/* Ends the call and answers. */
void rest_fail(struct gateway *g, struct call *call, const struct problem *p);
void rest_fail_status(struct gateway *g, struct call *call, enum status s, const char *detail);
/* 200 with JSON, or as `http` and `headers` say. */
void rest_answer_json(struct gateway *g, struct call *call, int http, struct bytes headers,
                      struct bytes body);
void rest_answer_empty(struct gateway *g, struct call *call, int http, struct bytes headers);
/* A message of fixed part, identity, doc_id, and one more string (NULL: none). False: no room. */
bool rest_send(struct gateway *g, struct call *call, enum msg_type type,
               const struct msg_call *fixed, const struct bytes *extra);

/* One query parameter. 1: there; 0: not; -1: malformed or given twice. */
int rest_query(const struct http_request *req, const char *name, char *buf, size_t buf_bytes,
               struct bytes *value);
/* `limit` and `cursor` of a list; a text that says what is wrong, or NULL. */
const char *rest_read_page(const struct http_request *req, enum cursor_kind kind,
                           uint8_t buf[CURSOR_TEXT_BYTES_MAX], uint32_t *limit,
                           struct cursor *cursor, bool *has_cursor);

/* What a body may say; absent: `has_` false, or an empty slice. Strings are decoded. */
struct rest_body {
    bool has_title, has_type, has_content, has_id, has_role, has_ops, has_name, has_sub;
    struct bytes title, type, id, role, name, sub;
    struct bytes content, ops; /* JSON text */
};
/* False: answered. A JSON object, or nothing at all; whatever Content-Type says: clients that don't
 * set one send what their library does by default. A member that is null is absent. */
bool rest_read_body(struct gateway *g, struct conn *c, struct bytes body, struct rest_body *out);

void rest_list_start(struct gateway *g, struct call *call);
void rest_list_page(struct gateway *g, struct call *call, uint32_t shard, struct bytes payload);
void rest_list_free(struct gather *gather);
void rest_answer_history(struct gateway *g, struct call *call, struct bytes payload);
void rest_answer_roles(struct gateway *g, struct call *call, const struct msg_doc *doc,
                       struct bytes roles);

#endif
