/*
 * client.h - a small blocking HTTP/1.1 client for the commands that talk to a server: one request a
 * connection, http or https (certificates are verified), whole answers in memory.
 *
 * Used by one thread. Errors of the network are said in one line; what the server answers is the
 * caller's to judge (client_complain tells a problem+json).
 */
#ifndef PENSTOCK_TOOLS_CLIENT_H
#define PENSTOCK_TOOLS_CLIENT_H

#include "base/bytes.h"
#include "base/status.h"

#define CLIENT_ANSWER_BYTES_MAX (64u << 20)

struct client {
    bool tls;
    char host[256];
    char port[8];
    char base[512];      /* path before each request's; no slash at its end */
    const char *token;   /* NULL: none */
    const char *ca_file; /* NULL: the system's */
};

struct client_answer {
    int status;
    uint8_t *memory; /* the whole answer; headers and body point into it */
    struct bytes headers;
    struct bytes body;
};

/* From "http://HOST[:PORT][/BASE]". STATUS_USAGE: it is none (said). */
enum status client_init(struct client *c, const char *url, const char *token) must_use;
/* `headers`: extra lines, each with CRLF; "" for none. STATUS_IO: no answer (said). */
enum status client_ask(const struct client *c, const char *method, const char *path,
                       const char *headers, struct bytes body, struct client_answer *a) must_use;
void client_answer_free(struct client_answer *a);

/* A header's value by name; empty: there is none. */
struct bytes client_header(const struct client_answer *a, const char *name);
/* Says what a refusal says: code, title and detail. */
void client_complain(const struct client_answer *a);
/* Percent-encodes one path segment or query value; false: no room. */
bool client_escape(const char *text, char *out, size_t out_bytes);

#endif
