/*
 * cursor.h - the opaque cursors of lists: Base64url of a kind, a number and a name.
 *
 * A cursor says where the last page ended by value, not by offset, so it stays valid while others
 * write. It is no secret and grants nothing: whatever it names is checked like any other input.
 * Pure.
 */
#ifndef PENSTOCK_GATEWAY_CURSOR_H
#define PENSTOCK_GATEWAY_CURSOR_H

#include "base/bytes.h"

#define CURSOR_NAME_BYTES_MAX 160u
#define CURSOR_TEXT_BYTES_MAX 256u

enum cursor_kind {
    CURSOR_DOCS = 'd',    /* number: modified ms, name: doc_id */
    CURSOR_HISTORY = 'h', /* number: the version that comes next */
    CURSOR_ROLES = 'r',   /* name: the last principal */
};

struct cursor {
    uint64_t number;
    struct bytes name;
};

void cursor_write(struct writer *w, enum cursor_kind kind, const struct cursor *c);
/* `buf` holds the name; false: not a cursor of that kind. */
bool cursor_read(struct bytes text, enum cursor_kind kind, uint8_t buf[CURSOR_TEXT_BYTES_MAX],
                 struct cursor *c);

#endif
