/* bytes.c - cursors: what is written is read back, and nothing gets past an end. */
#include "base/bytes.h"

#include <criterion/criterion.h>

static uint64_t seed = 1;
static uint64_t chance(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

Test(bytes, every_field_reads_back_as_it_was_written)
{
    uint8_t buf[128];
    struct writer w = writer_of(buf, sizeof buf);
    write_u8(&w, 0xab);
    write_u16(&w, 0xabcd);
    write_u32(&w, 0xabcdef01);
    write_u64(&w, 0x0123456789abcdefull);
    write_varint(&w, 300);
    write_str(&w, BYTES_LIT("hello"));
    write_str(&w, BYTES_LIT(""));
    write_bytes(&w, BYTES_LIT("rest"));
    cr_assert(w.ok);
    cr_assert_eq(buf[1], 0xcd, "little-endian");
    struct reader r = reader_of(writer_bytes(&w));
    cr_assert_eq(read_u8(&r), 0xab);
    cr_assert_eq(read_u16(&r), 0xabcd);
    cr_assert_eq(read_u32(&r), 0xabcdef01);
    cr_assert_eq(read_u64(&r), 0x0123456789abcdefull);
    cr_assert_eq(read_varint(&r), 300);
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("hello")));
    cr_assert_eq(read_str(&r).n, 0);
    cr_assert(bytes_eq(read_rest(&r), BYTES_LIT("rest")));
    cr_assert(r.ok);
    cr_assert_eq(reader_left(&r), 0);
}

Test(bytes, varints_round_trip_at_every_width_and_tell_their_size)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t v = (1ull << bit) + (uint64_t)(int64_t)off;
            uint8_t buf[VARINT_BYTES_MAX];
            struct writer w = writer_of(buf, sizeof buf);
            write_varint(&w, v);
            cr_assert(w.ok);
            cr_assert_eq(writer_n(&w), varint_bytes(v));
            struct reader r = reader_of(writer_bytes(&w));
            cr_assert_eq(read_varint(&r), v);
            cr_assert(r.ok);
        }
    }
}

Test(bytes, overlong_overflowing_and_cut_varints_fail)
{
    struct bytes bad[] = {
        BYTES_LIT(""),
        BYTES_LIT("\x80"),
        BYTES_LIT("\x80\x00"),                                     /* overlong 0 */
        BYTES_LIT("\xff\x00"),                                     /* overlong 127 */
        BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),     /* 65 bits */
        BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* eleven bytes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct reader r = reader_of(bad[i]);
        cr_assert_eq(read_varint(&r), 0, "case %zu", i);
        cr_assert_not(r.ok, "case %zu", i);
    }
}

Test(bytes, a_failure_is_sticky_and_reads_as_zero)
{
    struct reader r = reader_of(BYTES_LIT("abc"));
    cr_assert_eq(read_u32(&r), 0);
    cr_assert_not(r.ok);
    cr_assert_eq(read_u8(&r), 0, "also what would have fitted");
    cr_assert_eq(read_str(&r).n, 0);
    cr_assert_eq(read_rest(&r).n, 0);
    cr_assert_not(r.ok);
}

Test(bytes, a_string_longer_than_what_is_left_fails)
{
    struct reader r = reader_of(BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                          "abc"));
    cr_assert_eq(read_str(&r).n, 0);
    cr_assert_not(r.ok);
}

Test(bytes, a_full_writer_stays_inside_its_buffer_and_stays_failed)
{
    uint8_t buf[9];
    memset(buf, 0x55, sizeof buf);
    struct writer w = writer_of(buf, 8);
    write_u32(&w, 1);
    write_u64(&w, 2);
    cr_assert_not(w.ok);
    write_u8(&w, 3);
    cr_assert_eq(writer_n(&w), 4, "nothing more goes in, not even what would fit");
    cr_assert_eq(buf[8], 0x55);
}

Test(bytes, random_bytes_never_lead_a_reader_past_its_end)
{
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t buf[24];
        size_t n = chance() % sizeof buf;
        for (size_t i = 0; i < n; i++)
            buf[i] = (uint8_t)chance();
        struct reader r = reader_of(bytes_of(buf, n));
        for (unsigned k = 0; k < 6; k++) {
            switch (chance() % 5) {
            case 0:
                read_varint(&r);
                break;
            case 1:
                read_str(&r);
                break;
            case 2:
                read_u64(&r);
                break;
            case 3:
                read_u16(&r);
                break;
            default:
                read_bytes(&r, chance() % 32);
            }
            cr_assert(r.p >= buf && r.p <= buf + n);
        }
    }
}

Test(bytes, order_is_that_of_memcmp_then_length)
{
    cr_assert_lt(bytes_cmp(BYTES_LIT("a"), BYTES_LIT("b")), 0);
    cr_assert_lt(bytes_cmp(BYTES_LIT("a"), BYTES_LIT("ab")), 0);
    cr_assert_lt(bytes_cmp(BYTES_LIT("ab"), BYTES_LIT("b")), 0);
    cr_assert_eq(bytes_cmp(BYTES_LIT(""), BYTES_LIT("")), 0);
    cr_assert_lt(bytes_cmp(BYTES_LIT("\x7f"), BYTES_LIT("\x80")), 0, "as unsigned bytes");
}
