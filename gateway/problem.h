/*
 * problem.h - refusals as people outside see them: application/problem+json over HTTP (RFC 9457).
 *
 * problem_write and problem_code_of are pure; problem_respond answers a connection's request.
 */
#ifndef PENSTOCK_GATEWAY_PROBLEM_H
#define PENSTOCK_GATEWAY_PROBLEM_H

#include "gateway/conn.h"

#define PROBLEM_BYTES_MAX 4096u
/* Longer details are cut (between characters). */
#define PROBLEM_DETAIL_BYTES_MAX 512u

struct problem {
    enum status status;      /* gives `code`, and `status` where `http` is 0 */
    int http;                /* an HTTP status of its own; 0: the status's */
    struct bytes detail;     /* empty: the status's hint */
    uint32_t retry_after_ms; /* rounded up to whole seconds; 0: 1 s with 503 and 429, else none */
    const char *headers;     /* further header lines, each with CRLF; NULL: none */
    bool close;              /* the connection ends with this answer */
    struct bytes members;    /* further JSON members, beginning with a comma: ,"acks":[...] */
};

int problem_http(const struct problem *p);
void problem_write(struct writer *w, const struct problem *p);
void problem_respond(struct conn *c, const struct problem *p);

/* What a client of the protocol is told: statuses that it does not name become `unavailable` or
 * `internal`. */
enum status problem_code_of(enum status s);
struct bytes problem_detail(enum status s, struct bytes detail);

#endif
