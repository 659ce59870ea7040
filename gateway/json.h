/*
 * json.h - a small strict JSON reader and writer, made for messages from strangers.
 *
 * Reader: RFC 8259, UTF-8 checked, no lone surrogates, no NUL, no BOM, depth at most
 * LIMIT_JSON_DEPTH, nothing after the value. It pulls: the caller walks members in the order they
 * come, and skips what it does not know. Strings come out decoded: as a slice of the input where
 * nothing is escaped, else in the reader's scratch buffer (which lasts until the reader's end).
 * Failure is sticky. Writer: into a struct writer (base/bytes.h), sticky on overflow. Pure; no
 * allocation.
 */
#ifndef PENSTOCK_GATEWAY_JSON_H
#define PENSTOCK_GATEWAY_JSON_H

#include "base/bytes.h"
#include "base/status.h"

enum json_kind {
    JSON_NONE,
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json {
    struct reader r;
    struct writer scratch;
    uint32_t depth;
    bool ok;
    uint64_t first; /* bit a depth: nothing was read of that array/object yet */
};

/* ---- reading ---- */

/* `scratch` of in.n bytes always suffices. A copy of the struct is a bookmark: assigning it back
 * reads again from there. */
void json_init(struct json *j, struct bytes in, void *scratch, size_t scratch_bytes);
/* Kind of the value that comes next; JSON_NONE after a failure. */
enum json_kind json_peek(struct json *j);
/* Into an array or object; false (failure) if it is something else. */
bool json_enter(struct json *j, enum json_kind kind);
/* In an object: the next member's key, its value stands next; false: the object ended, or a
 * failure. */
bool json_member(struct json *j, struct bytes *key);
/* In an array: whether a value comes; false: the array ended, or a failure. */
bool json_element(struct json *j);
bool json_string(struct json *j, struct bytes *s);
bool json_raw_number(struct json *j, struct bytes *text);
bool json_bool(struct json *j, bool *b);
bool json_null(struct json *j);
bool json_skip(struct json *j);                   /* any value, checked */
bool json_raw(struct json *j, struct bytes *raw); /* any value, checked: its text */
/* A number that is a whole one in 0 ... 2^53 - 1 as JavaScript reads it ("7", "7.0", "70e-1",
 * "-0"); *whole false where it is a number but not such a one (not a failure). */
bool json_whole(struct json *j, uint64_t *v, bool *whole);
/* Any number as a double; *fits false where it is past a double's range (not a failure). */
bool json_double(struct json *j, double *v, bool *fits);
/* All read, nothing failed, only white space left. */
bool json_end(struct json *j);

/* ---- canonical form (json_canonical.c) ---- */

/*
 * Rewrites any JSON value in canonical form (net/op.h): no white space, keys sorted by bytes (of
 * duplicates the last wins), numbers as JavaScript prints them, shortest escapes. It can grow: 1e20
 * becomes 21 digits. STATUS_BAD_MESSAGE: not JSON, or a number past a double's range or of more
 * than JSON_NUMBER_BYTES_MAX characters. STATUS_NO_ROOM: out or scratch too small. Scratch of
 * JSON_CANONICAL_SCRATCH(raw.n) always suffices; raw.n and 64 do unless numbers grow or there are
 * very many tiny members. What was written to `out` before a failure means nothing.
 */
#define JSON_NUMBER_BYTES_MAX     512u
#define JSON_CANONICAL_SCRATCH(n) (8u * (n) + 64u)
enum status json_canonical(struct bytes raw, struct writer *out, void *scratch,
                           size_t scratch_bytes) must_use;
/* A finite number as JavaScript prints it (ECMA-262, Number::toString): the shortest digits that
 * read back as the same double. */
void json_write_double(struct writer *w, double v);

/* ---- writing ---- */

/* With quotes; escapes " \ and controls. */
void json_write_string(struct writer *w, struct bytes utf8);
void json_write_text(struct writer *w, struct bytes utf8); /* the same without quotes */
void json_write_u64(struct writer *w, uint64_t v);
void json_write_lit(struct writer *w, const char *text);  /* as it stands */
void json_write_time(struct writer *w, uint64_t unix_ms); /* with quotes */
void json_write_hash(struct writer *w, uint64_t hash);    /* 16 hex digits with quotes */

#endif
