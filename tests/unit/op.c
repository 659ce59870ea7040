/* The binary op: what the reader refuses, what op_check finds, and the writer's normal form. */
#include "net/op.h"
#include "net/limits.h"

#include <criterion/criterion.h>

#define NONE ((struct bytes){NULL, 0})
#define BOLD                                                                                       \
    BYTES_LIT("\x04"                                                                               \
              "bold"                                                                               \
              "\x04"                                                                               \
              "true")
#define RED                                                                                        \
    BYTES_LIT("\x05"                                                                               \
              "color"                                                                              \
              "\x05"                                                                               \
              "\"red\"")

static const struct op_limits rich = {.parts_max = 100, .rich = true};
static const struct op_limits plain = {.parts_max = 100};
static const struct op_limits content = {.parts_max = 100, .rich = true, .content = true};

static enum status checked(struct bytes op, const struct op_limits *limits)
{
    struct op_shape shape;
    return op_check(op, limits, &shape);
}

/* ---- the writer ---- */

static uint8_t buf[1u << 20];
static struct op_writer w;

static void start(void)
{
    op_writer_init(&w, buf, sizeof buf);
}

static struct bytes end(void)
{
    struct bytes op;
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    return op;
}

#define assert_op(want) cr_assert(bytes_eq(end(), BYTES_LIT(want)))

Test(op_writer, merges_equal_neighbours)
{
    start();
    op_push_retain(&w, 2, NONE);
    op_push_retain(&w, 3, NONE);
    op_push_insert(&w, BYTES_LIT("ab"), 2, BOLD);
    op_push_insert(&w, BYTES_LIT("c"), 1, BOLD);
    op_push_delete(&w, 1);
    op_push_delete(&w, 2);
    assert_op("\x00\x05"
              "\x05\x03\x03"
              "abc"
              "\x0a\x04"
              "bold\x04true"
              "\x03\x03");
}

Test(op_writer, keeps_neighbours_apart_whose_attributes_differ)
{
    start();
    op_push_insert(&w, BYTES_LIT("a"), 1, BOLD);
    op_push_insert(&w, BYTES_LIT("b"), 1, NONE);
    op_push_insert(&w, BYTES_LIT("c"), 1, RED);
    assert_op("\x05\x01\x01"
              "a\x0a\x04"
              "bold\x04true"
              "\x01\x01\x01"
              "b"
              "\x05\x01\x01"
              "c\x0c\x05"
              "color\x05\"red\"");
}

Test(op_writer, puts_inserts_before_the_delete_and_merges_them_across_it)
{
    start();
    op_push_insert(&w, BYTES_LIT("a"), 1, NONE);
    op_push_delete(&w, 1);
    op_push_insert(&w, BYTES_LIT("b"), 1, NONE);
    op_push_delete(&w, 1);
    op_push_embed(&w, BYTES_LIT("{}"), NONE);
    op_push_retain(&w, 1, NONE);
    op_push_insert(&w, BYTES_LIT("c"), 1, NONE);
    assert_op("\x01\x02\x02"
              "ab"
              "\x02\x02{}"
              "\x03\x02"
              "\x00\x01"
              "\x01\x01\x01"
              "c");
}

Test(op_writer, never_merges_embeds)
{
    start();
    op_push_embed(&w, BYTES_LIT("{}"), NONE);
    op_push_embed(&w, BYTES_LIT("{}"), NONE);
    assert_op("\x02\x02{}\x02\x02{}");
}

Test(op_writer, chops_a_plain_retain_at_the_end_and_nothing_else)
{
    start();
    op_push_delete(&w, 1);
    op_push_retain(&w, 9, NONE);
    assert_op("\x03\x01");
    start();
    op_push_retain(&w, 9, NONE);
    assert_op("");
    start();
    op_push_retain(&w, 9, BOLD);
    assert_op("\x04\x09\x0a\x04"
              "bold\x04true");
}

Test(op_writer, ignores_what_is_empty)
{
    start();
    op_push_retain(&w, 0, BOLD);
    op_push_insert(&w, NONE, 0, BOLD);
    op_push_delete(&w, 0);
    assert_op("");
}

/* Headers grow a byte at 128 and at 16384: pieces that cross those give what one push gives. */
Test(op_writer, gives_the_same_bytes_for_pieces_as_for_the_whole)
{
    static uint8_t text[40000], whole[50000];
    memset(text, 'x', sizeof text);
    for (size_t n = 1; n < sizeof text; n += n < 300 || (n > 16300 && n < 16500) ? 1 : 997) {
        for (int styled = 0; styled < 2; styled++) {
            struct bytes attrs = styled ? BOLD : NONE, want;
            op_writer_init(&w, whole, sizeof whole);
            op_push_insert(&w, bytes_of(text, n), n, attrs);
            cr_assert_eq(op_writer_end(&w, &want), STATUS_OK);
            op_writer_init(&w, buf, want.n); /* exactly as much room as it takes */
            for (size_t at = 0, piece = 1; at < n; at += piece, piece = 1 + at % 700) {
                piece = piece < n - at ? piece : n - at;
                op_push_insert(&w, bytes_of(text + at, piece), piece, attrs);
            }
            cr_assert(bytes_eq(end(), want));
        }
    }
}

Test(op_writer, says_no_room_and_stays_inside)
{
    for (size_t room = 0; room < 40; room++) {
        struct bytes op;
        memset(buf, 0x5a, sizeof buf);
        op_writer_init(&w, buf, room);
        op_push_retain(&w, 200, RED);
        op_push_delete(&w, 300);
        op_push_insert(&w, BYTES_LIT("abcd"), 4, BOLD);
        op_push_retain(&w, 1, BOLD);
        enum status s = op_writer_end(&w, &op);
        cr_assert_eq(s, STATUS_NO_ROOM);
        for (size_t i = room; i < 64; i++)
            cr_assert_eq(buf[i], 0x5a);
    }
}

/* ---- op_check ---- */

struct wrong {
    const char *what;
    struct bytes op;
};
#define WRONG(what, bytes)                                                                         \
    {                                                                                              \
        what,                                                                                      \
        {                                                                                          \
            (const uint8_t *)(bytes), sizeof(bytes) - 1                                            \
        }                                                                                          \
    }

static const struct wrong wrongs[] = {
    WRONG("a tag with unknown bits", "\x08\x01"),
    WRONG("a retain of nothing", "\x00\x00"),
    WRONG("a retain without its length", "\x00"),
    WRONG("an overlong length", "\x00\x81\x00"),
    WRONG("a length of 2^53", "\x00\x80\x80\x80\x80\x80\x80\x80\x10"),
    WRONG("a delete of nothing", "\x03\x00"),
    WRONG("a delete with attributes", "\x07\x01\x0a\x04"
                                      "bold\x04true"),
    WRONG("an insert of nothing", "\x01\x00\x00"),
    WRONG("an insert of units without text", "\x01\x01\x00"),
    WRONG("an insert whose text is cut off", "\x01\x02\x02"
                                             "a"),
    WRONG("too many units for the text", "\x01\x02\x01"
                                         "a"),
    WRONG("too few units for a pair", "\x01\x01\x04\xf0\x9f\x98\x80"),
    WRONG("text that is no UTF-8", "\x01\x01\x01\xff"),
    WRONG("text with a surrogate", "\x01\x01\x03\xed\xa0\x80"),
    WRONG("text with an overlong form", "\x01\x01\x02\xc0\x80"),
    WRONG("text with NUL", "\x01\x01\x01\x00"),
    WRONG("empty attributes", "\x04\x01\x00"),
    WRONG("a key without a value", "\x04\x01\x02\x01"
                                   "a"),
    WRONG("an empty value", "\x04\x01\x03\x01"
                            "a\x00"),
    WRONG("keys out of order", "\x04\x01\x08\x01"
                               "b\x01"
                               "1\x01"
                               "a\x01"
                               "1"),
    WRONG("a key twice", "\x04\x01\x08\x01"
                         "a\x01"
                         "1\x01"
                         "a\x01"
                         "2"),
    WRONG("a key that is no UTF-8", "\x04\x01\x04\x01\xff\x01"
                                    "1"),
    WRONG("an embed that is no object", "\x02\x02[]"),
    WRONG("an embed that is cut off", "\x02\x05{}"),
    WRONG("an embed with NUL", "\x02\x03{\x00}"),
};

Test(op_check, refuses_what_a_stranger_gets_wrong)
{
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++)
        cr_assert_eq(checked(wrongs[i].op, &rich), STATUS_OP_INVALID, "%s", wrongs[i].what);
}

Test(op_check, takes_the_largest_length_and_refuses_sums_past_it)
{
#define MAX_LENGTH "\xff\xff\xff\xff\xff\xff\xff\x0f"
    cr_assert_eq(checked(BYTES_LIT("\x03" MAX_LENGTH), &plain), STATUS_OK);
    cr_assert_eq(checked(BYTES_LIT("\x03" MAX_LENGTH "\x00\x01"), &plain), STATUS_OP_INVALID);
}

Test(op_check, keeps_attributes_and_embeds_out_of_plain_text)
{
    struct bytes styled = BYTES_LIT("\x04\x01\x0a\x04"
                                    "bold\x04true");
    struct bytes embed = BYTES_LIT("\x02\x02{}");
    cr_assert_eq(checked(styled, &plain), STATUS_OP_INVALID);
    cr_assert_eq(checked(styled, &rich), STATUS_OK);
    cr_assert_eq(checked(embed, &plain), STATUS_OP_INVALID);
    cr_assert_eq(checked(embed, &rich), STATUS_OK);
}

Test(op_check, takes_only_inserts_as_content)
{
    cr_assert_eq(checked(BYTES_LIT("\x01\x01\x01"
                                   "a\x02\x02{}"),
                         &content),
                 STATUS_OK);
    cr_assert_eq(checked(BYTES_LIT("\x00\x01"), &content), STATUS_OP_INVALID);
    cr_assert_eq(checked(BYTES_LIT("\x03\x01"), &content), STATUS_OP_INVALID);
}

Test(op_check, counts_components_up_to_the_limit)
{
    struct op_limits two = {.parts_max = 2};
    cr_assert_eq(checked(BYTES_LIT("\x00\x01\x03\x01"), &two), STATUS_OK);
    cr_assert_eq(checked(BYTES_LIT("\x00\x01\x03\x01\x00\x01"), &two), STATUS_TOO_LARGE);
}

Test(op_check, counts_attributes_up_to_the_limit)
{
    for (uint32_t n = LIMIT_ATTR_PAIRS; n <= LIMIT_ATTR_PAIRS + 1; n++) {
        uint8_t block[2048];
        struct writer b = writer_of(block, sizeof block);
        for (uint32_t i = 0; i < n; i++) {
            uint8_t key[2] = {(uint8_t)('a' + i / 26), (uint8_t)('a' + i % 26)};
            write_str(&b, bytes_of(key, 2));
            write_str(&b, BYTES_LIT("1"));
        }
        start();
        op_push_retain(&w, 1, writer_bytes(&b));
        cr_assert_eq(checked(end(), &rich), n > LIMIT_ATTR_PAIRS ? STATUS_TOO_LARGE : STATUS_OK);
    }
}

Test(op_check, says_what_the_op_is)
{
    struct op_shape s;
    start();
    op_push_retain(&w, 5, NONE);
    op_push_insert(&w, BYTES_LIT("a\xf0\x9f\x98\x80"), 3, BOLD);
    op_push_delete(&w, 7);
    op_push_retain(&w, 1, NONE);
    op_push_embed(&w, BYTES_LIT("{\"a\":1}"), NONE);
    cr_assert_eq(op_check(end(), &rich, &s), STATUS_OK);
    cr_assert_eq(s.base_u16, 13);
    cr_assert_eq(s.insert_u16, 4);
    cr_assert_eq(s.delete_u16, 7);
    cr_assert_eq(s.n_parts, 5);
    cr_assert(s.has_attrs && s.has_embeds);
}
