/* doc_private.h - private to doc*.c: one call of `penstock doc`, and what its verbs share. */
#ifndef PENSTOCK_TOOLS_DOC_PRIVATE_H
#define PENSTOCK_TOOLS_DOC_PRIVATE_H

#include "tools/client.h"

#define DOC_PATH_BYTES 1200
#define DOC_NONE       UINT64_MAX /* a number that was not given */

struct doc_options {
    const char *url;
    const char *token;
    const char *ca_file;
    bool json;
    const char *title;
    unsigned type; /* text, rich */
    const char *content;
    const char *file;
    const char *id;
    bool content_alone;
    uint64_t version;
    const char *at;
    const char *insert;
    const char *attributes;
    uint64_t delete_u16;
    uint64_t pos_u16;
    const char *delta;
    uint64_t from, to;
    uint64_t limit;
    const char *cursor;
};

struct doc_call {
    struct doc_options o;
    struct client client;
    const char *operands[3]; /* ID, and what the verb takes behind it */
    char path[DOC_PATH_BYTES];
};

/* The path of the document that the first operand names, and what is below it. */
bool doc_set_path(struct doc_call *c, const char *below);
/* 0 where the server agreed (then `a` must be freed), else the exit code. */
int doc_ask(struct doc_call *c, const char *method, struct bytes body, struct client_answer *a);
/* Asks and prints: with --json what came, else `print`'s view of it, else `done`. */
int doc_ask_and_print(struct doc_call *c, const char *method, struct bytes body,
                      bool (*print)(struct bytes json), const char *done);
/* The content that --content or --file gives, to be freed; NULL: it can't be read (said). */
char *doc_read_content(const struct doc_call *c, size_t *n);
/* Whether it is UTF-8 without NUL; says so if not. */
bool doc_is_text(const char *what, struct bytes b);

/* doc_edit.c */
int doc_run_edit(struct doc_call *c);

#endif
