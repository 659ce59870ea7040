/* cursor.c - opaque cursors; see cursor.h. */
#include "gateway/cursor.h"

#define CURSOR_HEAD_BYTES 9u /* kind, number */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void cursor_write_base64url(struct writer *w, struct bytes b)
{
    for (size_t i = 0; i < b.n; i += 3) {
        size_t n = b.n - i < 3 ? b.n - i : 3;
        uint32_t v = (uint32_t)b.p[i] << 16;
        if (n > 1)
            v |= (uint32_t)b.p[i + 1] << 8;
        if (n > 2)
            v |= b.p[i + 2];
        for (size_t k = 0; k <= n; k++)
            write_u8(w, (uint8_t)digits[(v >> (18 - 6 * k)) & 63]);
    }
}

static int digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

size_t cursor_read_base64url(struct bytes text, uint8_t *out, size_t out_bytes)
{
    if (text.n % 4 == 1 || text.n / 4 * 3 + 2 > out_bytes)
        return SIZE_MAX;
    uint32_t v = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int d = digit_of(text.p[i]);
        if (d < 0)
            return SIZE_MAX;
        v = (v << 6 | (uint32_t)d) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(v >> bits);
        }
    }
    /* Bits that are left over must be zero: one value has one text. */
    return (v & ((1u << bits) - 1)) == 0 ? n : SIZE_MAX;
}

void cursor_write(struct writer *w, enum cursor_kind kind, const struct cursor *c)
{
    uint8_t buf[CURSOR_HEAD_BYTES + CURSOR_NAME_BYTES_MAX];
    struct writer raw = writer_of(buf, sizeof buf);
    write_u8(&raw, (uint8_t)kind);
    write_u64(&raw, c->number);
    write_bytes(&raw, c->name);
    if (!raw.ok)
        w->ok = false;
    cursor_write_base64url(w, writer_bytes(&raw));
}

bool cursor_read(struct bytes text, enum cursor_kind kind, uint8_t buf[CURSOR_TEXT_BYTES_MAX],
                 struct cursor *c)
{
    size_t n = cursor_read_base64url(text, buf, CURSOR_TEXT_BYTES_MAX);
    if (n == SIZE_MAX || n < CURSOR_HEAD_BYTES || n > CURSOR_HEAD_BYTES + CURSOR_NAME_BYTES_MAX)
        return false;
    struct reader r = reader_of(bytes_of(buf, n));
    if (read_u8(&r) != (uint8_t)kind)
        return false;
    c->number = read_u64(&r);
    c->name = read_rest(&r);
    return true;
}
