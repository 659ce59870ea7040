/*
 * json.h held against jansson (accepts and refuses the same, means the same) and node's numbers.
 * jansson is opened by name and not linked: both it and json.c define json_string and json_null.
 */
#include "gateway/json.h"
#include "net/limits.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>

#define BUF_BYTES  4096
#define N_RANDOM   60000
#define TEXT_BYTES 600

/* ---- helpers ---- */

static uint8_t scratch[BUF_BYTES];

static struct json reader(const char *text)
{
    struct json j;
    json_init(&j, bytes_str(text), scratch, sizeof scratch);
    return j;
}

static bool is_json(struct bytes text)
{
    struct json j;
    json_init(&j, text, scratch, 0);
    return json_skip(&j) && json_end(&j);
}

static const char *canonical(const char *text)
{
    static char out[BUF_BYTES];
    struct writer w = writer_of(out, sizeof out - 1);
    enum status s = json_canonical(bytes_str(text), &w, scratch, sizeof scratch);
    if (s != STATUS_OK)
        return status_name(s);
    out[writer_n(&w)] = 0;
    return out;
}

static const char *quoted(struct bytes text)
{
    static char out[BUF_BYTES];
    struct writer w = writer_of(out, sizeof out - 1);
    json_write_string(&w, text);
    out[writer_n(&w)] = 0;
    return w.ok ? out : NULL;
}

/* What a JSON string decodes to; NULL: refused. */
static const char *decoded(const char *text)
{
    static char out[BUF_BYTES];
    struct json j = reader(text);
    struct bytes s;
    if (!json_string(&j, &s) || !json_end(&j))
        return NULL;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return out;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(next_random(state) >> 33) % n;
}

/* ---- reading ---- */

Test(json, members_and_elements_come_in_their_order)
{
    struct json j = reader(" { \"a\" : [1 , \"x\"] , \"b\":{} , \"c\":null } ");
    struct bytes k, s;
    uint64_t v;
    bool whole;
    cr_assert(json_enter(&j, JSON_OBJECT) && json_member(&j, &k));
    cr_assert(bytes_eq(k, BYTES_LIT("a")));
    cr_assert(json_peek(&j) == JSON_ARRAY && json_enter(&j, JSON_ARRAY));
    cr_assert(json_element(&j) && json_whole(&j, &v, &whole) && whole && v == 1);
    cr_assert(json_element(&j) && json_string(&j, &s) && bytes_eq(s, BYTES_LIT("x")));
    cr_assert(!json_element(&j) && j.ok);
    cr_assert(json_member(&j, &k) && bytes_eq(k, BYTES_LIT("b")));
    cr_assert(json_enter(&j, JSON_OBJECT) && !json_member(&j, &k) && j.ok);
    cr_assert(json_member(&j, &k) && bytes_eq(k, BYTES_LIT("c")));
    cr_assert(json_null(&j) && !json_member(&j, &k) && json_end(&j));
}

Test(json, a_copy_of_the_reader_is_a_bookmark)
{
    struct json j = reader("[[1,2],3]");
    uint64_t v;
    bool whole;
    cr_assert(json_enter(&j, JSON_ARRAY) && json_element(&j));
    struct json mark = j;
    cr_assert(json_skip(&j) && json_element(&j) && json_whole(&j, &v, &whole) && v == 3);
    j = mark;
    cr_assert(json_enter(&j, JSON_ARRAY) && json_element(&j) && json_whole(&j, &v, &whole));
    cr_assert(v == 1);
}

Test(json, a_string_without_escapes_is_a_slice_of_the_input)
{
    const char *text = "\"h\xc3\xa9llo, long enough for a word\"";
    struct json j;
    struct bytes s;
    json_init(&j, bytes_str(text), NULL, 0);
    cr_assert(json_string(&j, &s) && json_end(&j));
    cr_assert(s.p == (const uint8_t *)text + 1 && s.n == strlen(text) - 2);
}

Test(json, escapes_decode_into_scratch)
{
    cr_assert_str_eq(decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\/\b\f\n\r\t");
    cr_assert_str_eq(decoded("\"a\\u00e9\\u20ac\\ud83d\\ude00z\""),
                     "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    cr_assert_str_eq(decoded("\"\\uD83D\\uDE00\""), "\xf0\x9f\x98\x80");
}

Test(json, lone_surrogates_nul_and_bad_utf8_are_refused)
{
    static const char *const bad[] = {"\"\\ud83d\"",
                                      "\"\\ude00\"",
                                      "\"\\ud83dx\"",
                                      "\"\\ud83d\\ud83d\"",
                                      "\"\\u0000\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\x41\"",
                                      "\"\\",
                                      "\"\\\"",
                                      "\"a",
                                      "\"\x01\"",
                                      "\"\n\"",
                                      "\"\xff\"",
                                      "\"\xc0\x80\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\"\xe2\x82\"",
                                      "\"12345678\xe2\x82\"",
                                      "'a'"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(decoded(bad[i]) == NULL, "%s was accepted", bad[i]);
        cr_assert(!is_json(bytes_str(bad[i])), "%s was accepted by skip", bad[i]);
    }
    cr_assert(!is_json(bytes_of("\"a\0b\"", 5)));
}

Test(json, what_is_almost_json_is_refused)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{\"a\":1,}",
                                      "{\"a\"}",
                                      "{\"a\",1}",
                                      "{a:1}",
                                      "{1:2}",
                                      "[1}",
                                      "{\"a\":1]",
                                      "]",
                                      "[",
                                      "{",
                                      "{\"a\":",
                                      "01",
                                      "-",
                                      "-01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "+1",
                                      "0x10",
                                      "NaN",
                                      "tru",
                                      "True",
                                      "nul",
                                      "nulll",
                                      "[] []",
                                      "1 2",
                                      "\xef\xbb\xbf{}",
                                      "// c\n1",
                                      "[1/*c*/]",
                                      "Infinity",
                                      "{\"a\":1 \"b\":2}",
                                      "\v1",
                                      "[\"a\":1]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!is_json(bytes_str(bad[i])), "%s was accepted", bad[i]);
}

Test(json, depth_ends_at_its_limit)
{
    char text[2 * LIMIT_JSON_DEPTH + 3];
    memset(text, '[', LIMIT_JSON_DEPTH);
    memset(text + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
    cr_assert(is_json(bytes_of(text, 2 * LIMIT_JSON_DEPTH)));
    memset(text, '[', LIMIT_JSON_DEPTH + 1);
    memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
    cr_assert(!is_json(bytes_of(text, 2 * LIMIT_JSON_DEPTH + 2)));
}

Test(json, failure_is_sticky)
{
    struct json j = reader("[x, 1]");
    struct bytes s;
    cr_assert(json_enter(&j, JSON_ARRAY) && json_element(&j));
    cr_assert(!json_string(&j, &s) && !j.ok);
    cr_assert(json_peek(&j) == JSON_NONE && !json_element(&j) && !json_skip(&j) && !json_end(&j));
}

Test(json, whole_numbers_are_what_javascript_calls_so)
{
    static const struct {
        const char *text;
        bool whole;
        uint64_t v;
    } rows[] = {{"0", true, 0},
                {"7", true, 7},
                {"7.0", true, 7},
                {"7e0", true, 7},
                {"70e-1", true, 7},
                {"0.07E+2", true, 7},
                {"-0", true, 0},
                {"123456789012345", true, 123456789012345},
                {"1234567890123456", true, 1234567890123456},
                {"9007199254740991", true, 9007199254740991},
                {"9007199254740992", false, 0},
                {"18446744073709551616", false, 0},
                {"7.5", false, 0},
                {"-1", false, 0},
                {"1e308", false, 0},
                {"1e400", false, 0},
                {"1e-400", true, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json j = reader(rows[i].text);
        uint64_t v = 0;
        bool whole;
        cr_assert(json_whole(&j, &v, &whole) && json_end(&j), "%s failed", rows[i].text);
        cr_assert(whole == rows[i].whole && v == rows[i].v, "%s is %lu", rows[i].text, v);
    }
    struct json j = reader("00");
    uint64_t v;
    bool whole;
    cr_assert(!json_whole(&j, &v, &whole) || !json_end(&j));
}

/* ---- canonical form ---- */

struct number {
    const char *text;
    const char *printed; /* by node: JSON.stringify(JSON.parse(text)) */
};

static const struct number numbers[] = {
    {"0", "0"},
    {"-0", "0"},
    {"1", "1"},
    {"-1", "-1"},
    {"1e21", "1e+21"},
    {"1e20", "100000000000000000000"},
    {"123456789012345680000", "123456789012345680000"},
    {"1.5", "1.5"},
    {"0.1", "0.1"},
    {"0.000001", "0.000001"},
    {"0.0000001", "1e-7"},
    {"1e-7", "1e-7"},
    {"5e-324", "5e-324"},
    {"1.7976931348623157e308", "1.7976931348623157e+308"},
    {"2.2250738585072014e-308", "2.2250738585072014e-308"},
    {"4.9406564584124654e-324", "5e-324"},
    {"1E300", "1e+300"},
    {"9007199254740991", "9007199254740991"},
    {"9007199254740992", "9007199254740992"},
    {"9007199254740993", "9007199254740992"},
    {"-9007199254740993", "-9007199254740992"},
    {"100", "100"},
    {"1e2", "100"},
    {"1.0", "1"},
    {"1.10", "1.1"},
    {"0.30000000000000004", "0.30000000000000004"},
    {"123.456e-10", "1.23456e-8"},
    {"5.684341886080801e-14", "5.684341886080801e-14"},
    {"5.6843418860808015e-14", "5.684341886080802e-14"},
    {"6.0221409e+23", "6.0221409e+23"},
    {"2.2204460492503130808e-16", "2.220446049250313e-16"},
    {"4294967295", "4294967295"},
    {"1e22", "1e+22"},
    {"999999999999999999999", "1e+21"},
    {"1000000000000000000000", "1e+21"},
    {"0.1e1", "1"},
    {"12345678.9e-3", "12345.6789"},
    {"-1.25e-9", "-1.25e-9"},
    {"9.5e-322", "9.5e-322"},
    {"3.5844466002796428e+298", "3.5844466002796428e+298"},
    {"2.98023223876953125e-8", "2.9802322387695312e-8"},
    {"9.109e-31", "9.109e-31"},
    {"1.0e-5", "0.00001"},
    {"1.0e-6", "0.000001"},
    {"123e-20", "1.23e-18"},
    {"4.35", "4.35"},
    {"0.000001234", "0.000001234"},
    {"1e-323", "1e-323"},
    {"2e-323", "2e-323"},
    {"1.2e-322", "1.2e-322"},
    {"4.4501477170144023e-308", "4.4501477170144023e-308"},
    {"72057594037927945", "72057594037927950"},
    {"1.152921504606847e18", "1152921504606847000"},
    {"1.48301228289200163142e-173", "1.4830122828920016e-173"},
    {"1.87819597653166776320e+19", "18781959765316678000"},
    {"-3.57553212743664376236e+167", "-3.575532127436644e+167"},
    {"-1.08292587289281712884e+106", "-1.0829258728928171e+106"},
    {"3.72301872916686129811e+93", "3.7230187291668613e+93"},
    {"-4.26287400298035792409e-234", "-4.262874002980358e-234"},
    {"-2.58242420720525626868e+54", "-2.5824242072052563e+54"},
    {"6.16906236825660502859e+174", "6.169062368256605e+174"},
    {"-4.68271751891728692989e+80", "-4.682717518917287e+80"},
    {"1.20099573332718207969e-76", "1.2009957333271821e-76"},
    {"-1.66779678425787161054e+296", "-1.6677967842578716e+296"},
    {"-4.87844665733535787468e+287", "-4.878446657335358e+287"},
    {"2.31858928501565704944e-109", "2.318589285015657e-109"},
    {"-1.45772970533624019385e+94", "-1.4577297053362402e+94"},
    {"2.46033687637378949942e+281", "2.4603368763737895e+281"},
    {"2.11783165443287921649e+102", "2.1178316544328792e+102"},
    {"-2.54125030512312467019e-110", "-2.5412503051231247e-110"},
    {"8.60880578948586928301e+153", "8.60880578948587e+153"},
    {"8.22269110623704140369e+161", "8.222691106237041e+161"},
    {"1.29107691235243997019e+139", "1.29107691235244e+139"},
    {"8.54570675525937069335e-273", "8.54570675525937e-273"},
    {"2.32130886960701158235e-198", "2.3213088696070116e-198"},
    {"3.11044709214598833377e-35", "3.1104470921459883e-35"},
    {"-2.54309448654446342591e-256", "-2.5430944865444634e-256"},
    {"4.940656458412465441765687928682e-324", "5e-324"},
    {"9.881312916824930883531375857364e-324", "1e-323"},
    {"8.094771541462983379788903102353e-320", "8.095e-320"},
    {"2.225073858507201383090232717332e-308", "2.2250738585072014e-308"},
    {"3.054936363499604682051979393214e-151", "3.054936363499605e-151"},
    {"5.684341886080801486968994140625e-14", "5.684341886080802e-14"},
    {"5.960464477539062500000000000000e-8", "5.960464477539063e-8"},
    {"5.000000000000000000000000000000e-1", "0.5"},
    {"1.801439850948198400000000000000e+16", "18014398509481984"},
    {"1.152921504606846976000000000000e+18", "1152921504606847000"},
    {"1.844674407370955161600000000000e+19", "18446744073709552000"},
    {"1.180591620717411303424000000000e+21", "1.1805916207174113e+21"},
    {"1.267650600228229401496703205376e+30", "1.2676506002282294e+30"},
    {"3.273390607896141870013189696828e+150", "3.273390607896142e+150"},
    {"8.988465674311579538646525953945e+307", "8.98846567431158e+307"},
};

Test(json, numbers_are_printed_as_javascript_prints_them)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cr_assert_str_eq(canonical(numbers[i].text), numbers[i].printed, "of %s", numbers[i].text);
}

Test(json, a_number_past_a_double_has_no_canonical_form)
{
    cr_assert_str_eq(canonical("1e400"), "bad_message");
    cr_assert_str_eq(canonical("[-1e309]"), "bad_message");
}

Test(json, canonical_form_sorts_keys_and_drops_what_is_overwritten)
{
    cr_assert_str_eq(canonical(" { \"b\" : 1 , \"a\" : [ 1.0 , true , null ] } "),
                     "{\"a\":[1,true,null],\"b\":1}");
    cr_assert_str_eq(canonical("{\"a\":1,\"b\":2,\"a\":3}"), "{\"a\":3,\"b\":2}");
    cr_assert_str_eq(canonical("{\"b\":{\"y\":1,\"x\":{\"d\":1,\"c\":2}},\"a\":[]}"),
                     "{\"a\":[],\"b\":{\"x\":{\"c\":2,\"d\":1},\"y\":1}}");
    cr_assert_str_eq(canonical("{\"ab\":1,\"a\":2,\"\":3}"), "{\"\":3,\"a\":2,\"ab\":1}");
    cr_assert_str_eq(canonical("{\"\\u0061\":1,\"a\":2}"), "{\"a\":2}");
}

Test(json, keys_are_sorted_by_what_they_mean_not_by_their_escapes)
{
    /* '\n' is below '!' although its escape begins with '\\', which is above. */
    cr_assert_str_eq(canonical("{\"!\":1,\"\\n\":2}"), "{\"\\n\":2,\"!\":1}");
    cr_assert_str_eq(canonical("{\"\\u001f\":1,\"\\u0001\":2}"), "{\"\\u0001\":2,\"\\u001f\":1}");
    cr_assert_str_eq(canonical("{\"\\\\\":1,\"Z\":2,\"a\":3}"), "{\"Z\":2,\"\\\\\":1,\"a\":3}");
}

Test(json, canonical_form_says_when_room_is_short)
{
    char out[64];
    struct writer w = writer_of(out, 4);
    cr_assert(json_canonical(BYTES_LIT("[1,2]"), &w, scratch, sizeof scratch) == STATUS_NO_ROOM);
    w = writer_of(out, sizeof out);
    cr_assert(json_canonical(BYTES_LIT("{\"a\":1}"), &w, scratch, 4) == STATUS_NO_ROOM);
    w = writer_of(out, sizeof out);
    cr_assert(json_canonical(BYTES_LIT("\"\\n\""), &w, scratch, 0) == STATUS_NO_ROOM);
}

/* ---- writing ---- */

Test(json, strings_are_written_with_the_shortest_escapes)
{
    cr_assert_str_eq(quoted(BYTES_LIT("plain")), "\"plain\"");
    cr_assert_str_eq(quoted(BYTES_LIT("")), "\"\"");
    cr_assert_str_eq(quoted(BYTES_LIT("\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9")),
                     "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\"");
}

Test(json, escapes_are_found_at_every_offset_of_a_word)
{
    static const uint8_t special[] = {'"', '\\', 1, '\n', 0x1f};
    for (size_t at = 0; at < 20; at++)
        for (size_t k = 0; k < sizeof special; k++) {
            char text[24];
            memset(text, 'a', 20);
            text[at] = (char)special[k];
            text[20] = 0;
            const char *json = quoted(bytes_of(text, 20));
            cr_assert(is_json(bytes_str(json)));
            cr_assert_str_eq(decoded(json), text);
        }
}

Test(json, numbers_times_and_hashes_are_written)
{
    char out[64];
    struct writer w = writer_of(out, sizeof out);
    json_write_u64(&w, 0);
    json_write_lit(&w, ",");
    json_write_u64(&w, UINT64_MAX);
    cr_assert(bytes_eq(writer_bytes(&w), BYTES_LIT("0,18446744073709551615")));
    w = writer_of(out, sizeof out);
    json_write_time(&w, 1767323045678);
    cr_assert(bytes_eq(writer_bytes(&w), BYTES_LIT("\"2026-01-02T03:04:05.678Z\"")));
    w = writer_of(out, sizeof out);
    json_write_hash(&w, 0x0123456789abcdefull);
    cr_assert(bytes_eq(writer_bytes(&w), BYTES_LIT("\"0123456789abcdef\"")));
    w = writer_of(out, 17);
    json_write_hash(&w, 1);
    cr_assert(!w.ok);
}

/* ---- against jansson ---- */

static const char *const pieces[] = {"\"\"",
                                     "\"a\"",
                                     "\"\\u00e9\"",
                                     "\"\\ud83d\\ude00\"",
                                     "\"\\n\\\"\"",
                                     "\"h\xc3\xa9\"",
                                     "0",
                                     "-1",
                                     "12.5",
                                     "1e3",
                                     "1E-2",
                                     "true",
                                     "false",
                                     "null",
                                     "\"long enough to fill words\"",
                                     "\"\xf0\x9f\x98\x80\"",
                                     "123456789012"};
#define N_PIECES (sizeof pieces / sizeof *pieces)

static void random_value(uint64_t *rng, struct writer *w, int depth)
{
    static const char *const keys[] = {"\"a\":", "\"b\" :", "\"\\u0062\":", "\"\": ", "\"\\n\":"};
    uint32_t kind = below(rng, depth > 0 ? 4 : 2);
    if (kind < 2) {
        json_write_lit(w, pieces[below(rng, N_PIECES)]);
        return;
    }
    uint32_t n = below(rng, 5);
    json_write_lit(w, kind == 2 ? "[" : "{");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            json_write_lit(w, below(rng, 2) ? "," : " , ");
        if (kind == 3)
            json_write_lit(w, keys[below(rng, 5)]);
        random_value(rng, w, depth - 1);
    }
    json_write_lit(w, kind == 2 ? "]" : "}");
}

/* Changes up to two bytes, so that most texts are nearly JSON. */
static void mutate(uint64_t *rng, struct writer *w)
{
    static const char alphabet[] = "\"\\[]{},:0e1u.-tn\xc3\xa9 \x01";
    for (uint32_t n = below(rng, 3); n > 0 && writer_n(w) > 0; n--) {
        uint32_t at = below(rng, (uint32_t)writer_n(w));
        uint8_t c = (uint8_t)alphabet[below(rng, sizeof alphabet - 1)];
        if (below(rng, 3)) {
            w->start[at] = c;
        } else {
            memmove(w->start + at, w->start + at + 1, writer_n(w) - at - 1);
            w->p--;
        }
    }
}

/* jansson's ABI 4, as far as it is used. */
struct jansson_error {
    int line, column, position;
    char source[80];
    char text[160];
};
#define JANSSON_DECODE_ANY         0x4
#define JANSSON_DECODE_INT_AS_REAL 0x8

struct jansson {
    void *(*loadb)(const char *text, size_t n, size_t flags, struct jansson_error *err);
    int (*equal)(const void *a, const void *b);
    void (*destroy)(void *value);
};

static void *symbol(void *lib, const char *name)
{
    void *p = dlsym(lib, name);
    cr_assert(p != NULL, "libjansson has no %s", name);
    return p;
}

static struct jansson jansson_open(void)
{
    struct jansson js;
    void *lib = dlopen("libjansson.so.4", RTLD_NOW | RTLD_LOCAL);
    cr_assert(lib != NULL, "install libjansson4");
    void *found[] = {symbol(lib, "json_loadb"), symbol(lib, "json_equal"),
                     symbol(lib, "json_delete")};
    memcpy(&js.loadb, &found[0], sizeof found[0]);
    memcpy(&js.equal, &found[1], sizeof found[1]);
    memcpy(&js.destroy, &found[2], sizeof found[2]);
    return js;
}

static void *jansson_load(const struct jansson *js, struct bytes text, struct jansson_error *err)
{
    size_t flags = JANSSON_DECODE_ANY | JANSSON_DECODE_INT_AS_REAL;
    return js->loadb((const char *)text.p, text.n, flags, err);
}

/* Compares what is read with jansson's value; the canonical text has to mean the same. */
static void compare(const struct jansson *js, struct bytes text, unsigned *n_good)
{
    struct jansson_error err = {0};
    void *theirs = jansson_load(js, text, &err);
    if (!theirs && strstr(err.text, "overflow"))
        return; /* past a double: syntax to us, an error to them */
    cr_assert(is_json(text) == (theirs != NULL), "we say %d of %.*s", is_json(text), (int)text.n,
              text.p);
    if (!theirs)
        return;
    char out[BUF_BYTES], again[BUF_BYTES];
    struct writer w = writer_of(out, sizeof out), w2 = writer_of(again, sizeof again);
    cr_assert(json_canonical(text, &w, scratch, JSON_CANONICAL_SCRATCH(text.n)) == STATUS_OK);
    void *ours = jansson_load(js, writer_bytes(&w), &err);
    cr_assert(ours && js->equal(ours, theirs), "%.*s became %.*s", (int)text.n, text.p,
              (int)writer_n(&w), out);
    cr_assert(json_canonical(writer_bytes(&w), &w2, scratch, sizeof scratch) == STATUS_OK);
    cr_assert(bytes_eq(writer_bytes(&w), writer_bytes(&w2)), "canonical form is its own");
    js->destroy(ours);
    js->destroy(theirs);
    ++*n_good;
}

Test(json, random_texts_are_accepted_and_refused_as_by_jansson)
{
    uint64_t rng = 0x9e3779b97f4a7c15ull;
    unsigned n_good = 0;
    struct jansson js = jansson_open();
    for (int i = 0; i < N_RANDOM; i++) {
        char text[TEXT_BYTES];
        struct writer w = writer_of(text, sizeof text);
        random_value(&rng, &w, 4);
        if (!w.ok)
            continue;
        mutate(&rng, &w);
        compare(&js, writer_bytes(&w), &n_good);
    }
    cr_assert(n_good > N_RANDOM / 4 && n_good < N_RANDOM * 9 / 10, "%u were good", n_good);
}
