/* base64.c - see base64.h. */
#include "gateway/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

bool base64_read(struct bytes text, struct writer *w, struct bytes *out)
{
    uint8_t *start = w->p;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    if (text.n % 4 == 1 || !writer_need(w, text.n / 4 * 3 + 2))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        int d = digit(text.p[i]);
        if (d < 0) {
            w->p = start;
            return false;
        }
        bits = bits << 6 | (uint32_t)d;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            *w->p++ = (uint8_t)(bits >> n_bits);
        }
    }
    if (bits & ((1u << n_bits) - 1)) { /* a second spelling of the same bytes */
        w->p = start;
        return false;
    }
    *out = bytes_of(start, (size_t)(w->p - start));
    return true;
}

void base64_write(struct writer *w, struct bytes b)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < b.n; i++) {
        bits = bits << 8 | b.p[i];
        n_bits += 8;
        while (n_bits >= 6) {
            n_bits -= 6;
            write_u8(w, (uint8_t)alphabet[bits >> n_bits & 63]);
        }
    }
    if (n_bits)
        write_u8(w, (uint8_t)alphabet[bits << (6 - n_bits) & 63]);
}
