/*
 * status.h - one enumeration of outcomes for the whole product.
 *
 * 0 is OK. Every status has a name (what the protocol calls `code` where the protocol knows it),
 * the HTTP status that a REST answer carries, and a hint for the operator. Functions that can fail
 * return one; it must be used. errno stays in the files that call the OS.
 *
 * Any thread; pure.
 */
#ifndef PENSTOCK_BASE_STATUS_H
#define PENSTOCK_BASE_STATUS_H

/* X(constant, name, http, retry, hint): `retry` is the protocol's "retry" flag in an error message.
 */
#define STATUS_TABLE(X)                                                                            \
    X(STATUS_OK, "ok", 200, 0, "no error")                                                         \
    /* what the protocol names (section 3 and 4) */                                                \
    X(STATUS_BAD_MESSAGE, "bad_message", 400, 0, "the message is not what the protocol describes") \
    X(STATUS_OP_INVALID, "op_invalid", 422, 0, "the operation makes no sense on this document")    \
    X(STATUS_SEQ_GAP, "seq_gap", 409, 0, "seq must rise by one for every new op")                  \
    X(STATUS_SEQ_REUSED, "seq_reused", 409, 0, "this seq was accepted with another payload")       \
    X(STATUS_VERSION_AHEAD, "version_ahead", 409, 0, "the base version is above the document's")   \
    X(STATUS_FORBIDDEN, "forbidden", 403, 0, "the caller's role does not allow this")              \
    X(STATUS_TOO_LARGE, "too_large", 413, 0, "past a configured limit")                            \
    X(STATUS_RATE_LIMITED, "rate_limited", 429, 1, "too many requests; come back later")           \
    X(STATUS_UNAVAILABLE, "unavailable", 503, 1, "not stored; try again")                          \
    X(STATUS_UNAUTHORIZED, "unauthorized", 401, 0, "a valid token is needed")                      \
    X(STATUS_INTERNAL, "internal", 500, 0, "a fault of the server; please report it")              \
    /* HTTP only */                                                                                \
    X(STATUS_NOT_FOUND, "not_found", 404, 0, "no such thing, or none that the caller may see")     \
    X(STATUS_GONE, "gone", 410, 0, "the document is in the trash")                                 \
    X(STATUS_EXISTS, "exists", 409, 0, "this id is taken")                                         \
    X(STATUS_LAST_OWNER, "last_owner", 409, 0, "the last owner can't go")                          \
    X(STATUS_PRECONDITION, "precondition_failed", 412, 0, "the document has changed since")        \
    X(STATUS_METHOD, "method_not_allowed", 405, 0, "this resource does not know that method")      \
    X(STATUS_UPGRADE, "upgrade_required", 426, 0, "a WebSocket upgrade is needed here")            \
    X(STATUS_NOT_BUILT, "not_implemented", 501, 0, "this server does not offer that")              \
    /* the machine and its files */                                                                \
    X(STATUS_NO_ROOM, "no_room", 503, 1, "a buffer, queue or table is full")                       \
    X(STATUS_NO_MEMORY, "no_memory", 503, 1, "memory could not be had")                            \
    X(STATUS_IO, "io_error", 500, 0, "the operating system refused a read, write or sync")         \
    X(STATUS_CORRUPT, "corrupt", 500, 0, "stored bytes are not what was written")                  \
    X(STATUS_FORMAT, "foreign_format", 500, 0, "not a Penstock data directory, or a newer one's")  \
    X(STATUS_LOCKED, "locked", 500, 0, "another process uses it")                                  \
    X(STATUS_USAGE, "usage", 400, 0, "the options make no sense")                                  \
    X(STATUS_END, "end", 200, 0, "nothing more")

#define X(constant, name, http, retry, hint) constant,
enum status { STATUS_TABLE(X) STATUS_N };
#undef X

#define must_use __attribute__((warn_unused_result))

const char *status_name(enum status s);
const char *status_hint(enum status s);
int status_http(enum status s);
int status_retry(enum status s);

#endif
