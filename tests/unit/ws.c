/* WebSocket frames: every rule, split everywhere, and against wslay. */
#include "tests/support/ws_oracle.h"

#include <criterion/criterion.h>
#include <stdio.h>

static uint8_t stream[200000];
static size_t stream_n;

static void reset(void)
{
    stream_n = 0;
}

/* A client's frame: first byte, payload, masked with an uneven key. */
static void frame(uint8_t first, struct bytes payload)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t *p = stream + stream_n;
    size_t n = ws_emit_head(p, WS_OP_TEXT, payload.n);
    p[0] = first;
    p[1] |= 0x80;
    memcpy(p + n, key, 4);
    n += 4;
    for (size_t i = 0; i < payload.n; i++)
        p[n + i] = payload.p[i] ^ key[i & 3];
    stream_n += n + payload.n;
}

static void raw(const char *p, size_t n)
{
    memcpy(stream + stream_n, p, n);
    stream_n += n;
}
#define RAW(s) raw(s, sizeof(s) - 1)

static struct bytes all(void)
{
    return bytes_of(stream, stream_n);
}

/* The trace of the stream, the same for every split of it. */
static struct trace trace_any_split(void)
{
    struct trace whole = trace_ours(all(), 0);
    for (size_t step = 1; step < stream_n && step < 300; step++) {
        struct trace t = trace_ours(all(), step);
        cr_assert(trace_eq(&whole, &t), "in steps of %zu: failed %u, whole %u", step, t.failed,
                  whole.failed);
        free(t.p);
    }
    return whole;
}

static void expect_fail(uint16_t code, const char *what)
{
    struct trace t = trace_any_split();
    cr_expect_eq(t.failed, code, "%s: %u", what, t.failed);
    free(t.p);
}

/* Exactly these events, and no failure. */
static void expect_events(const struct trace *want, const char *what)
{
    struct trace t = trace_any_split();
    cr_expect(trace_eq(&t, want), "%s: failed %u, %zu bytes of trace", what, t.failed, t.n);
    free(t.p);
}

Test(ws, messages_of_every_length_form_come_whole)
{
    static uint8_t text[66000];
    memset(text, 'x', sizeof text);
    static const size_t lengths[] = {0, 1, 7, 8, 9, 31, 32, 33, 125, 126, 127, 65535, 65536};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct trace want = {0};
        reset();
        frame(0x81, bytes_of(text, lengths[i]));
        frame(0x82, bytes_of(text, lengths[i]));
        trace_event(&want, WS_OP_TEXT, 0, bytes_of(text, lengths[i]));
        trace_event(&want, WS_OP_BINARY, 0, bytes_of(text, lengths[i]));
        expect_events(&want, "two messages");
        free(want.p);
    }
}

Test(ws, a_whole_message_is_a_slice_of_the_input)
{
    static const struct ws_limits limits = {.message_bytes_max = 100, .fragments_max = 4};
    struct ws ws;
    struct ws_event e;
    size_t used;
    reset();
    frame(0x81, BYTES_LIT("hello"));
    ws_init(&ws, &limits);
    ws_feed(&ws, stream, stream_n, &used, &e);
    cr_assert(e.kind == WS_DATA && e.ends && e.payload.p == stream + 6 && used == stream_n);
    cr_assert(bytes_eq(e.payload, BYTES_LIT("hello")));
}

Test(ws, fragments_make_one_message_and_control_frames_may_come_between)
{
    struct trace want = {0};
    reset();
    frame(0x01, BYTES_LIT("\xe2\x82")); /* a character over two fragments */
    frame(0x89, BYTES_LIT("ping"));
    frame(0x00, BYTES_LIT(""));
    frame(0x8a, BYTES_LIT(""));
    frame(0x00, BYTES_LIT("\xac!"));
    frame(0x80, BYTES_LIT(""));
    frame(0x88, BYTES_LIT("\x03\xe8"
                          "bye"));
    frame(0x81, BYTES_LIT("after the close"));
    trace_event(&want, WS_OP_PING, 0, BYTES_LIT("ping"));
    trace_event(&want, WS_OP_PONG, 0, BYTES_LIT(""));
    trace_event(&want, WS_OP_TEXT, 0, BYTES_LIT("\xe2\x82\xac!"));
    trace_event(&want, WS_OP_CLOSE, 1000, BYTES_LIT("bye"));
    expect_events(&want, "fragments");
    free(want.p);
}

Test(ws, every_first_byte_is_judged)
{
    for (unsigned first = 0; first < 256; first++) {
        unsigned opcode = first & 15;
        bool fine = !(first & 0x70) &&
                    (opcode == 1 || opcode == 2 || (first & 0x80 && opcode >= 8 && opcode <= 10));
        reset();
        frame((uint8_t)first, BYTES_LIT(""));
        char what[16];
        snprintf(what, sizeof what, "%02x", first);
        expect_fail(fine ? 0 : 1002, what);
    }
}

Test(ws, breaches_of_the_protocol_fail_with_1002)
{
    static uint8_t big[126];
    reset();
    RAW("\x81\x05hello");
    expect_fail(1002, "no mask");
    reset();
    frame(0x89, bytes_of(big, 126));
    expect_fail(1002, "a control frame of 126 bytes");
    reset();
    frame(0x01, BYTES_LIT("a"));
    frame(0x81, BYTES_LIT("b"));
    expect_fail(1002, "a message inside another");
    reset();
    frame(0x80, BYTES_LIT("b"));
    expect_fail(1002, "a continuation of nothing");
    reset();
    frame(0x81, BYTES_LIT("a"));
    frame(0x80, BYTES_LIT("b"));
    expect_fail(1002, "a continuation after the end");
    reset();
    RAW("\x81\xfe\x00\x7d\x00\x00\x00\x00");
    expect_fail(1002, "a 16-bit length of 125");
    reset();
    RAW("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x00\x00");
    expect_fail(1002, "a 64-bit length of 65535");
    reset();
    RAW("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
    expect_fail(1002, "a length with the top bit");
    reset();
    frame(0x88, BYTES_LIT("\x03"));
    expect_fail(1002, "a close of one byte");
}

Test(ws, every_close_code_is_judged)
{
    for (unsigned code = 0; code < 65536; code++) {
        bool fine = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                    (code >= 3000 && code <= 4999);
        uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
        cr_assert_eq(ws_is_close_code((uint16_t)code), fine, "%u", code);
        if (code > 5100)
            continue;
        reset();
        frame(0x88, bytes_of(payload, 2));
        struct trace t = trace_ours(all(), 0);
        cr_assert_eq(t.failed, fine ? 0 : 1002, "%u", code);
        free(t.p);
    }
}

Test(ws, an_empty_close_has_no_code)
{
    struct trace want = {0};
    reset();
    frame(0x88, BYTES_LIT(""));
    trace_event(&want, WS_OP_CLOSE, 0, BYTES_LIT(""));
    expect_events(&want, "empty close");
    free(want.p);
}

Test(ws, text_that_is_not_utf8_fails_with_1007_at_the_byte_that_shows_it)
{
    static const struct {
        struct bytes text;
        size_t bad_at;
    } rows[] = {
        {BYTES_LIT("ab\xff"
                   "cdefgh"),
         2},
        {BYTES_LIT("\xce\xba\xe1\xbd\xb9\xed\xa0\x80"
                   "edited"),
         6},
        {BYTES_LIT("\xf4\x90\x80\x80"), 1},
        {BYTES_LIT("\xc0\xaf"), 0},
        {BYTES_LIT("\xe0\x80\x80"), 1},
    };
    static const struct ws_limits limits = {.message_bytes_max = 100, .fragments_max = 9};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        reset();
        frame(0x81, rows[i].text);
        expect_fail(1007, "text");
        struct ws ws;
        struct ws_event e;
        size_t used, n = 6 + rows[i].bad_at;
        reset();
        frame(0x81, rows[i].text);
        ws_init(&ws, &limits);
        ws_feed(&ws, stream, n, &used, &e);
        cr_assert(e.kind == (rows[i].bad_at ? WS_DATA : WS_MORE) && !e.ends);
        ws_feed(&ws, stream + n, 1, &used, &e);
        cr_assert(e.kind == WS_FAIL && e.code == 1007, "row %zu", i);
    }
    reset();
    frame(0x81, BYTES_LIT("a\xe2\x82"));
    expect_fail(1007, "cut inside a character");
    reset();
    frame(0x01, BYTES_LIT("a\xe2"));
    frame(0x80, BYTES_LIT(""));
    expect_fail(1007, "cut inside a character, then an empty fragment");
    reset();
    frame(0x88, BYTES_LIT("\x03\xe8\xff"));
    expect_fail(1007, "the reason of a close");
}

static uint16_t code_of(const struct ws_limits *limits)
{
    struct ws ws;
    struct ws_event e;
    size_t used;
    ws_init(&ws, limits);
    for (size_t at = 0;; at += used) {
        ws_feed(&ws, stream + at, stream_n - at, &used, &e);
        if (e.kind == WS_MORE || e.kind == WS_FAIL)
            return e.code;
    }
}

Test(ws, limits_hold_to_the_byte_and_to_the_fragment)
{
    static const struct ws_limits limits = {.message_bytes_max = 10, .fragments_max = 3};
    reset();
    frame(0x01, BYTES_LIT("12345"));
    frame(0x80, BYTES_LIT("67890"));
    cr_assert_eq(code_of(&limits), 0);
    reset();
    frame(0x01, BYTES_LIT("12345"));
    frame(0x80, BYTES_LIT("678901"));
    cr_assert_eq(code_of(&limits), 1009);
    reset();
    RAW("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff....");
    cr_assert_eq(code_of(&limits), 1009);
    reset();
    frame(0x01, BYTES_LIT("a"));
    RAW("\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff....");
    cr_assert_eq(code_of(&limits), 1009);
    for (unsigned extra = 0; extra < 2; extra++) {
        reset();
        frame(0x01, BYTES_LIT(""));
        for (unsigned i = 2; i < limits.fragments_max + extra; i++)
            frame(0x00, BYTES_LIT(""));
        frame(0x80, BYTES_LIT("x"));
        cr_assert_eq(code_of(&limits), extra ? 1009 : 0);
    }
    reset();
    frame(0x82, BYTES_LIT("x"));
    cr_assert_eq(code_of(&limits), 1003);
    reset();
    frame(0x02, BYTES_LIT(""));
    cr_assert_eq(code_of(&limits), 1003);
}

Test(ws, unmasking_by_words_equals_unmasking_by_bytes)
{
    uint8_t a[100], b[100];
    for (size_t from = 0; from < 8; from++) {
        for (size_t n = 0; n + from < sizeof a; n++) {
            uint32_t mask = 0x8badf00d;
            bool ascii = true;
            for (size_t i = 0; i < sizeof a; i++)
                a[i] = b[i] = (uint8_t)(i * 37 + n);
            for (size_t i = 0; i < n; i++) {
                b[from + i] ^= (uint8_t)(mask >> 8 * (i & 3));
                ascii &= b[from + i] < 0x80;
            }
            uint32_t turned = mask;
            cr_assert_eq(ws_unmask(a + from, n, &turned), ascii);
            cr_assert_eq(memcmp(a, b, sizeof a), 0);
            for (unsigned i = 0; i < 4; i++)
                cr_assert_eq((uint8_t)(turned >> 8 * i), (uint8_t)(mask >> 8 * ((n + i) & 3)));
        }
    }
}

Test(ws, close_frames_are_cut_to_fit_between_characters)
{
    uint8_t out[WS_CLOSE_FRAME_BYTES_MAX];
    cr_assert_eq(ws_emit_close(out, 0, BYTES_LIT("x")), 2);
    cr_assert(out[0] == 0x88 && out[1] == 0);
    cr_assert_eq(ws_emit_close(out, 1009, BYTES_LIT("big")), 7);
    cr_assert_eq(memcmp(out,
                        "\x88\x05\x03\xf1"
                        "big",
                        7),
                 0);
    uint8_t reason[130];
    for (size_t i = 0; i < sizeof reason; i++)
        reason[i] = i % 2 ? 0xa9 : 0xc3;
    size_t n = ws_emit_close(out, 1000, bytes_of(reason, sizeof reason));
    cr_assert(utf8_check(bytes_of(out + 4, n - 4)));
    cr_assert(n <= sizeof out && n >= sizeof out - 1);
}

/* ---- against wslay ---- */

static uint64_t chance = 0x9e3779b97f4a7c15;

static unsigned roll(unsigned n)
{
    chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
    return (unsigned)(chance >> 33) % n;
}

/* Mostly sound frames; some wrong in one way. */
static void random_frame(void)
{
    static const char *const texts[] = {"",
                                        "a",
                                        "hello, world",
                                        "\xe2\x82\xac",
                                        "\xe2\x82",
                                        "\xac",
                                        "\xf0\x9f\x98",
                                        "\x80",
                                        "\xed\xa0",
                                        "\xc3\xa9",
                                        "0123456789012345678901234567"};
    static const uint8_t firsts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x80,
                                     0x89, 0x8a, 0x88, 0x09, 0xc1, 0x83};
    uint8_t first = firsts[roll(100) < 97 ? roll(9) : roll(sizeof firsts)];
    struct bytes payload = bytes_str(texts[roll(100) < 80 ? roll(4) : roll(11)]);
    static const uint8_t closes[][4] = {{3, 232, 'o', 'k'}, {3, 236, 'n', 'o'}, {15, 160, 0xff, 0}};
    if (roll(40) == 0) {
        first = 0x88;
        payload = bytes_of(closes[roll(3)], roll(5));
    }
    frame(first, payload);
    if (roll(100) == 0)
        stream[stream_n - 1 - roll(4)] ^= (uint8_t)(1u << roll(8));
}

Test(ws, wslay_reads_the_same_messages_and_fails_with_the_same_codes)
{
    unsigned n_failed = 0, n_messages = 0;
    for (unsigned round = 0; round < 30000; round++) {
        reset();
        for (unsigned k = 1 + roll(8); k > 0; k--)
            random_frame();
        memset(stream + stream_n, 0, ORACLE_PAD);
        stream_n += ORACLE_PAD;
        struct trace theirs = trace_wslay(all());
        struct trace ours = trace_ours(all(), roll(12));
        char hex[2 * 400 + 1] = "";
        for (size_t i = 0; i < stream_n && i < 400; i++)
            snprintf(hex + 2 * i, 3, "%02x", stream[i]);
        cr_assert(trace_eq(&ours, &theirs), "%s: round %u: we %u, wslay %u; %zu and %zu bytes", hex,
                  round, ours.failed, theirs.failed, ours.n, theirs.n);
        n_failed += ours.failed != 0;
        n_messages += ours.n != 0;
        free(ours.p);
        free(theirs.p);
    }
    cr_assert(n_failed > 1000 && n_messages > 10000, "%u failed, %u with messages", n_failed,
              n_messages);
}
