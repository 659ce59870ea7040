/*
 * json.h - a small strict JSON reader and writer, made for messages from strangers.
 *
 * Reader: RFC 8259, UTF-8 checked, no lone surrogates, no NUL, no BOM, depth at most LIMIT_JSON_DEPTH, nothing after the value. It pulls: the
 * caller walks members in the order they come, and skips what it does not know. Strings come out decoded: as a slice of the input where
 * nothing is escaped, else in the reader's scratch buffer (which lasts until the reader's end). Failure is sticky.
 * Writer: into a struct writer (base/bytes.h), sticky on overflow.
 * Pure; no allocation.
 */
#ifndef PENSTOCK_GATEWAY_JSON_H
#define PENSTOCK_GATEWAY_JSON_H

#include "base/bytes.h"
#include "base/status.h"

enum json_kind { JSON_NONE, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    struct reader r;
    struct writer scratch;
    uint32_t depth;
    bool ok;
    uint64_t first;   /* bit a depth: nothing was read of that array/object yet */
};

/* `scratch` of in.n bytes always suffices. */
void json_init(struct json *j, struct bytes in, void *scratch, size_t scratch_bytes);
enum json_kind json_peek(struct json *j);               /* kind of the value that comes next; JSON_NONE after a failure */
bool json_enter(struct json *j, enum json_kind kind);   /* into an array or object; false (failure) if it is something else */
bool json_member(struct json *j, struct bytes *key);    /* in an object: the next member's key, value next; false: the object ended */
bool json_element(struct json *j);                      /* in an array: whether a value comes; false: the array ended */
bool json_string(struct json *j, struct bytes *s);
bool json_raw_number(struct json *j, struct bytes *text);
bool json_bool(struct json *j, bool *b);
bool json_null(struct json *j);
bool json_skip(struct json *j);                         /* any value, checked */
bool json_raw(struct json *j, struct bytes *raw);       /* any value, checked: its text */
/* A number that is a whole one in 0 ... 2^53 - 1 ("7", "7.0", "7e0"); *whole false where it is a number but not such a one (not a failure). */
bool json_whole(struct json *j, uint64_t *v, bool *whole);
bool json_end(struct json *j);                          /* all read, nothing failed, only white space left */

/* Rewrites any JSON value in canonical form (net/op.h): no white space, keys sorted by bytes (of duplicates the last wins),
 * numbers as JavaScript prints them, shortest escapes. STATUS_BAD_MESSAGE; STATUS_NO_ROOM; needs scratch of about its own size. */
enum status json_canonical(struct bytes raw, struct writer *out, void *scratch, size_t scratch_bytes) must_use;

void json_write_string(struct writer *w, struct bytes utf8);  /* with quotes; escapes " \ and controls */
void json_write_u64(struct writer *w, uint64_t v);
void json_write_lit(struct writer *w, const char *text);      /* as it stands */
void json_write_time(struct writer *w, uint64_t unix_ms);     /* with quotes */
void json_write_hash(struct writer *w, uint64_t hash);        /* 16 hex digits with quotes */

#endif
