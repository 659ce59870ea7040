/* cursor.c - opaque cursors; see cursor.h. */
#include "gateway/cursor.h"
#include "gateway/base64.h"

#define CURSOR_HEAD_BYTES 9u /* kind, number */

void cursor_write(struct writer *w, enum cursor_kind kind, const struct cursor *c)
{
    uint8_t buf[CURSOR_HEAD_BYTES + CURSOR_NAME_BYTES_MAX];
    struct writer raw = writer_of(buf, sizeof buf);
    write_u8(&raw, (uint8_t)kind);
    write_u64(&raw, c->number);
    write_bytes(&raw, c->name);
    if (!raw.ok)
        w->ok = false;
    base64_write(w, writer_bytes(&raw));
}

bool cursor_read(struct bytes text, enum cursor_kind kind, uint8_t buf[CURSOR_TEXT_BYTES_MAX],
                 struct cursor *c)
{
    struct writer w = writer_of(buf, CURSOR_TEXT_BYTES_MAX);
    struct bytes raw;
    if (!base64_read(text, &w, &raw) || raw.n < CURSOR_HEAD_BYTES ||
        raw.n > CURSOR_HEAD_BYTES + CURSOR_NAME_BYTES_MAX)
        return false;
    struct reader r = reader_of(raw);
    if (read_u8(&r) != (uint8_t)kind)
        return false;
    c->number = read_u64(&r);
    c->name = read_rest(&r);
    return true;
}
