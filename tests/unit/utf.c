/* utf.c - validation and positions, against a decoder that goes one code point at a time. */
#include "base/utf.h"

#include <criterion/criterion.h>

static uint64_t seed = 88172645463325252ull;
static uint64_t chance(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* The naive model: the next code point by the book, or -1. */
static int64_t next_point(struct bytes b, size_t *at)
{
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    uint8_t lead = b.p[*at];
    unsigned more = lead < 0x80           ? 0
                    : (lead >> 5) == 0x06 ? 1
                    : (lead >> 4) == 0x0e ? 2
                    : (lead >> 3) == 0x1e ? 3
                                          : 9;
    if (more == 9 || *at + more >= b.n)
        return -1;
    uint32_t v = more ? lead & (0x3fu >> more) : lead;
    for (unsigned i = 1; i <= more; i++) {
        if ((b.p[*at + i] & 0xc0) != 0x80)
            return -1;
        v = v << 6 | (b.p[*at + i] & 0x3f);
    }
    if (v < least[more] || (v >= 0xd800 && v < 0xe000) || v > 0x10ffff)
        return -1;
    *at += more + 1;
    return v;
}

static bool model_check(struct bytes b)
{
    for (size_t at = 0; at < b.n;) {
        if (next_point(b, &at) < 0)
            return false;
    }
    return true;
}

static size_t put_point(uint8_t *p, uint32_t v)
{
    if (v < 0x80)
        return p[0] = (uint8_t)v, 1;
    if (v < 0x800)
        return p[0] = (uint8_t)(0xc0 | v >> 6), p[1] = (uint8_t)(0x80 | (v & 0x3f)), 2;
    if (v < 0x10000)
        return p[0] = (uint8_t)(0xe0 | v >> 12), p[1] = (uint8_t)(0x80 | (v >> 6 & 0x3f)),
               p[2] = (uint8_t)(0x80 | (v & 0x3f)), 3;
    return p[0] = (uint8_t)(0xf0 | v >> 18), p[1] = (uint8_t)(0x80 | (v >> 12 & 0x3f)),
           p[2] = (uint8_t)(0x80 | (v >> 6 & 0x3f)), p[3] = (uint8_t)(0x80 | (v & 0x3f)), 4;
}

static uint32_t random_point(void)
{
    static const uint32_t edges[] = {0x7f,   0x80,   0x7ff,   0x800,    0xd7ff,
                                     0xe000, 0xffff, 0x10000, 0x10ffff, 'a'};
    switch (chance() % 4) {
    case 0:
        return edges[chance() % 10];
    case 1:
        return (uint32_t)(chance() % 0xd800);
    case 2:
        return 0x10000 + (uint32_t)(chance() % 0x100000);
    default:
        return 32 + (uint32_t)(chance() % 90);
    }
}

static size_t random_text(uint8_t *buf, unsigned points)
{
    size_t n = 0;
    for (unsigned i = 0; i < points; i++) {
        if (chance() % 3 == 0) /* a run of ASCII, so that steps of eight bytes happen */
            for (unsigned k = 0; k < 11 && i < points; k++, i++)
                n += put_point(buf + n, 'x');
        n += put_point(buf + n, random_point());
    }
    return n;
}

static bool feed_in_pieces(struct bytes b)
{
    struct utf8_stream s = {0};
    for (size_t at = 0; at < b.n;) {
        size_t n = chance() % 5;
        n = n > b.n - at ? b.n - at : n;
        if (!utf8_stream_feed(&s, bytes_of(b.p + at, n))) {
            cr_assert_not(utf8_stream_feed(&s, BYTES_LIT("a")), "sticky");
            return false;
        }
        at += n;
    }
    return utf8_stream_is_whole(&s);
}

Test(utf, every_sequence_of_one_to_three_bytes_is_judged_as_by_the_model)
{
    for (uint32_t v = 0; v < 1u << 24; v++) {
        uint8_t b[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        struct bytes s = bytes_of(b, 3);
        if (utf8_check(s) != model_check(s))
            cr_assert_fail("%06x", v);
    }
}

Test(utf, every_code_point_is_valid_and_surrogates_are_not)
{
    for (uint32_t v = 0; v <= 0x10ffff + 16; v++) {
        uint8_t b[4];
        struct bytes s = bytes_of(b, put_point(b, v));
        bool want = v <= 0x10ffff && !(v >= 0xd800 && v < 0xe000);
        if (utf8_check(s) != want)
            cr_assert_fail("U+%04X", v);
        if (want && utf16_units(s) != (v >= 0x10000 ? 2 : 1))
            cr_assert_fail("units of U+%04X", v);
    }
}

Test(utf, damaged_text_is_judged_as_by_the_model_whole_and_in_pieces)
{
    static uint8_t buf[1024];
    unsigned n_bad = 0;
    for (unsigned round = 0; round < 40000; round++) {
        size_t n = random_text(buf, 1 + (unsigned)(chance() % 24));
        if (chance() % 2)
            buf[chance() % n] = (uint8_t)chance();
        if (chance() % 4 == 0)
            n -= chance() % 3 < n ? chance() % 3 % n : 0;
        struct bytes b = bytes_of(buf, n);
        bool want = model_check(b);
        n_bad += !want;
        cr_assert_eq(utf8_check(b), want);
        cr_assert_eq(feed_in_pieces(b), want);
    }
    cr_assert_gt(n_bad, 5000, "the damage took effect");
}

Test(utf, nul_is_valid_but_no_text)
{
    cr_assert(utf8_check(BYTES_LIT("a\0b")));
    cr_assert_not(utf8_check_text(BYTES_LIT("a\0b")));
    cr_assert(utf8_check_text(BYTES_LIT("a\xf0\x9f\x98\x80")));
    cr_assert(utf8_check_text((struct bytes){NULL, 0}));
}

Test(utf, a_stream_that_ends_inside_a_character_is_not_whole)
{
    struct utf8_stream s = {0};
    cr_assert(utf8_stream_feed(&s, BYTES_LIT("abc\xe2\x82")));
    cr_assert_not(utf8_stream_is_whole(&s));
    cr_assert(utf8_stream_feed(&s, BYTES_LIT("\xac")));
    cr_assert(utf8_stream_is_whole(&s));
    cr_assert_not(utf8_stream_feed(&s, BYTES_LIT("\xed\xa0")),
                  "a surrogate shows at its second byte");
}

Test(utf, positions_are_those_of_the_model_and_pairs_are_not_split)
{
    static uint8_t buf[1024];
    for (unsigned round = 0; round < 3000; round++) {
        size_t n = random_text(buf, (unsigned)(chance() % 32));
        struct bytes b = bytes_of(buf, n);
        uint64_t pos = 0;
        for (size_t at = 0; at < n;) {
            size_t here = at, got = SIZE_MAX;
            uint32_t v = (uint32_t)next_point(b, &at);
            cr_assert(utf16_offset(b, pos, &got));
            cr_assert_eq(got, here);
            if (v >= 0x10000) {
                cr_assert_not(utf16_offset(b, pos + 1, &got));
                cr_assert_eq(got, here, "untouched on failure");
            }
            pos += v >= 0x10000 ? 2 : 1;
        }
        size_t end = SIZE_MAX;
        cr_assert_eq(utf16_units(b), pos);
        cr_assert(utf16_offset(b, pos, &end));
        cr_assert_eq(end, n, "the end is a position");
        cr_assert_not(utf16_offset(b, pos + 1, &end));
    }
}
