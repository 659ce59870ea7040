/* status.c - names of outcomes; see status.h. */
#include "base/status.h"

struct status_row {
    const char *name;
    const char *hint;
    int http;
    int retry;
};

static const struct status_row rows[STATUS_N] = {
#define X(constant, text, code, again, advice)                                                     \
    [constant] = {.name = (text), .hint = (advice), .http = (code), .retry = (again)},
    STATUS_TABLE(X)
#undef X
};

static const struct status_row *row_of(enum status s)
{
    return &rows[(unsigned)s < STATUS_N ? s : STATUS_INTERNAL];
}

const char *status_name(enum status s)
{
    return row_of(s)->name;
}

const char *status_hint(enum status s)
{
    return row_of(s)->hint;
}

int status_http(enum status s)
{
    return row_of(s)->http;
}

int status_retry(enum status s)
{
    return row_of(s)->retry;
}
