/* opjson.h: every form of protocol section 2, what is refused and how, and ops that come back. */
#include "gateway/opjson.h"

#include "base/utf.h"
#include "net/limits.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define BUF_BYTES 65536
#define N_RANDOM  20000
#define PARTS_MAX 100

static uint8_t strings[BUF_BYTES], scratch[BUF_BYTES], buf[BUF_BYTES];
static char text_out[BUF_BYTES];

static enum status read_op(const char *text, struct opjson *out, bool *at_end)
{
    struct json j;
    struct writer w = writer_of(buf, sizeof buf);
    json_init(&j, bytes_str(text), strings, strlen(text));
    enum status s = opjson_read(&j, PARTS_MAX, &w, scratch, sizeof scratch, out);
    *at_end = json_end(&j);
    if (s == STATUS_OK)
        cr_assert(writer_n(&w) == out->op.n && out->op.p == buf);
    else
        cr_assert(writer_n(&w) == 0 && w.ok);
    return s;
}

static const char *write_op(const struct opjson *o)
{
    struct opjson_out out = {.op = op_chop(o->op), /* the tail is for the sequencer alone */
                             .client_id = o->client_id,
                             .seq = o->seq,
                             .version = o->version,
                             .has_seq = o->has_seq};
    struct writer w = writer_of(text_out, sizeof text_out - 1);
    opjson_write(&w, &out);
    cr_assert(w.ok && writer_n(&w) <= opjson_write_bytes_max(&out));
    text_out[writer_n(&w)] = 0;
    return text_out;
}

/* The canonical form of an op, or the name of the status that refuses it. */
static const char *through(const char *text)
{
    struct opjson o;
    bool at_end;
    enum status s = read_op(text, &o, &at_end);
    if (s != STATUS_OK) {
        cr_assert(s == STATUS_BAD_MESSAGE || at_end, "%s: the reader stands inside", text);
        return status_name(s);
    }
    cr_assert(at_end);
    return write_op(&o);
}

struct row {
    const char *in;
    const char *out;
};

#define CHECK_ROWS(rows)                                                                           \
    for (size_t i = 0; i < sizeof(rows) / sizeof *(rows); i++)                                     \
    cr_assert_str_eq(through((rows)[i].in), (rows)[i].out, "%s became %s", (rows)[i].in,           \
                     through((rows)[i].in))

/* ---- reading and writing ---- */

Test(opjson, every_form_comes_back_in_canonical_form)
{
    static const struct row rows[] = {
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"hello\",\"attributes\":{\"bold\":true},"
         "\"client_id\":\"c1\",\"seq\":1,\"version\":7}",
         "{\"type\":\"insert\",\"pos\":0,\"str\":\"hello\",\"attributes\":{\"bold\":true},"
         "\"client_id\":\"c1\",\"seq\":1,\"version\":7}"},
        {"{\"type\":\"delete\",\"pos\":3,\"len\":2,\"client_id\":\"c1\",\"seq\":2,\"version\":8}",
         "{\"type\":\"delete\",\"pos\":3,\"len\":2,\"client_id\":\"c1\",\"seq\":2,\"version\":8}"},
        {"{\"type\":\"format\",\"pos\":3,\"len\":9,\"attributes\":{\"italic\":true,\"bold\":null},"
         "\"version\":9}",
         "{\"type\":\"format\",\"pos\":3,\"len\":9,\"attributes\":{\"bold\":null,\"italic\":true},"
         "\"version\":9}"},
        {"{\"type\":\"delta\",\"ops\":[{\"retain\":5},{\"insert\":\"abc\"},{\"delete\":2}],"
         "\"version\":10}",
         "{\"type\":\"delta\",\"ops\":[{\"retain\":5},{\"insert\":\"abc\"},{\"delete\":2}],"
         "\"version\":10}"},
        {"{\"type\":\"delta\",\"ops\":[],\"version\":1}",
         "{\"type\":\"delta\",\"ops\":[],\"version\":1}"},
        {"{\"type\":\"delta\",\"ops\":[{\"retain\":5}],\"version\":1}",
         "{\"type\":\"delta\",\"ops\":[],\"version\":1}"},
        {"{\"type\":\"delta\",\"ops\":[{\"retain\":5},{\"insert\":\"x\"}],\"version\":1}",
         "{\"type\":\"insert\",\"pos\":5,\"str\":\"x\",\"version\":1}"},
        {"{\"type\":\"delta\",\"ops\":[{\"delete\":1},{\"insert\":\"x\"}],\"version\":1}",
         "{\"type\":\"delta\",\"ops\":[{\"insert\":\"x\"},{\"delete\":1}],\"version\":1}"},
        {"{\"type\":\"delta\",\"ops\":[{\"insert\":{\"b\":[1.0,{}],\"a\":\"\\u0041\"},"
         "\"attributes\":{\"w\":\"1\"}}],\"version\":1}",
         "{\"type\":\"delta\",\"ops\":[{\"insert\":{\"a\":\"A\",\"b\":[1,{}]},"
         "\"attributes\":{\"w\":\"1\"}}],\"version\":1}"},
        {"{\"type\":\"delta\",\"ops\":[{\"retain\":2,\"attributes\":{\"b\":null}}],\"version\":1}",
         "{\"type\":\"format\",\"pos\":0,\"len\":2,\"attributes\":{\"b\":null},\"version\":1}"},
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"\\ud83d\\ude00\\\"\\n\",\"version\":1}",
         "{\"type\":\"insert\",\"pos\":0,\"str\":\"\xf0\x9f\x98\x80\\\"\\n\",\"version\":1}"}};
    CHECK_ROWS(rows);
}

Test(opjson, members_come_in_any_order_and_the_last_of_equal_ones_wins)
{
    static const struct row rows[] = {
        {"{\"version\":1,\"str\":\"a\",\"x\":{\"y\":[]},\"pos\":2,\"type\":\"insert\"}",
         "{\"type\":\"insert\",\"pos\":2,\"str\":\"a\",\"version\":1}"},
        {"{\"type\":\"delete\",\"pos\":\"no\",\"type\":\"insert\",\"str\":7,\"pos\":1,\"str\":"
         "\"b\","
         "\"version\":-1,\"version\":3,\"len\":[]}",
         "{\"type\":\"insert\",\"pos\":1,\"str\":\"b\",\"version\":3}"},
        {"{\"type\":\"delete\",\"pos\":1,\"len\":1,\"attributes\":7,\"str\":null,\"version\":0}",
         "{\"type\":\"delete\",\"pos\":1,\"len\":1,\"version\":0}"},
        {"{\"type\":\"delta\",\"ops\":[{\"foo\":1,\"insert\":\"a\",\"insert\":\"b\"}],"
         "\"version\":0}",
         "{\"type\":\"insert\",\"pos\":0,\"str\":\"b\",\"version\":0}"}};
    CHECK_ROWS(rows);
}

Test(opjson, null_attributes_stay_on_retains_and_go_from_inserts)
{
    static const struct row rows[] = {
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":{\"b\":null,\"i\":1},"
         "\"version\":0}",
         "{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":{\"i\":1},\"version\":0}"},
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":{\"b\":null},\"version\":0}",
         "{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"version\":0}"},
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":null,\"version\":0}",
         "{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"version\":0}"},
        {"{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":{},\"version\":0}",
         "{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"version\":0}"},
        {"{\"type\":\"format\",\"pos\":0,\"len\":1,\"attributes\":{},\"version\":0}",
         "{\"type\":\"delta\",\"ops\":[],\"version\":0}"},
        {"{\"type\":\"delta\",\"ops\":[{\"delete\":1,\"attributes\":null}],\"version\":0}",
         "{\"type\":\"delete\",\"pos\":0,\"len\":1,\"version\":0}"}};
    CHECK_ROWS(rows);
}

Test(opjson, what_is_no_op_is_a_bad_message)
{
    static const char *const bad[] = {
        "",
        "7",
        "[]",
        "null",
        "{}",
        "{\"type\":\"undo\"}",
        "{\"type\":7,\"pos\":0}",
        "{\"type\":\"insert\",\"pos\":0,\"str\":\"a\",\"version\":1",
        "{\"type\":\"insert\",\"pos\":0,\"str\":\"\\ud800\",\"version\":1}",
        "{\"type\":\"insert\",\"pos\":0,\"str\":\"\\u0000\",\"version\":1}",
        "{\"type\":\"delta\",\"ops\":[{\"insert\":\"a\"},],\"version\":1}",
        "{\"type\":\"insert\",\"pos\":00,\"str\":\"a\",\"version\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_str_eq(through(bad[i]), "bad_message", "%s", bad[i]);
}

Test(opjson, values_that_make_no_sense_are_invalid_ops)
{
    static const char *const bad[] = {
        "\"insert\",\"str\":\"a\"",
        "\"insert\",\"pos\":0",
        "\"insert\",\"pos\":0,\"str\":\"\"",
        "\"insert\",\"pos\":-1,\"str\":\"a\"",
        "\"insert\",\"pos\":0.5,\"str\":\"a\"",
        "\"insert\",\"pos\":\"0\",\"str\":\"a\"",
        "\"insert\",\"pos\":0,\"str\":7",
        "\"insert\",\"pos\":0,\"str\":{\"image\":\"x\"}",
        "\"insert\",\"pos\":9007199254740992,\"str\":\"a\"",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":[]",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":\"x\"",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"attributes\":{\"a\":1e999}",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"version\":-1",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"version\":null",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"seq\":0",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"seq\":\"1\"",
        "\"insert\",\"pos\":0,\"str\":\"a\",\"client_id\":7",
        "\"delete\",\"pos\":0",
        "\"delete\",\"pos\":0,\"len\":0",
        "\"delete\",\"len\":1",
        "\"delete\",\"pos\":0,\"len\":1.5",
        "\"delete\",\"pos\":9007199254740991,\"len\":1",
        "\"format\",\"pos\":0,\"len\":1",
        "\"format\",\"pos\":0,\"len\":0,\"attributes\":{\"b\":1}",
        "\"delta\"",
        "\"delta\",\"ops\":{}",
        "\"delta\",\"ops\":[7]",
        "\"delta\",\"ops\":[{}]",
        "\"delta\",\"ops\":[{\"insert\":\"\"}]",
        "\"delta\",\"ops\":[{\"insert\":7}]",
        "\"delta\",\"ops\":[{\"insert\":null}]",
        "\"delta\",\"ops\":[{\"insert\":[\"a\"]}]",
        "\"delta\",\"ops\":[{\"retain\":0}]",
        "\"delta\",\"ops\":[{\"delete\":0}]",
        "\"delta\",\"ops\":[{\"delete\":-1}]",
        "\"delta\",\"ops\":[{\"retain\":{\"a\":1}}]",
        "\"delta\",\"ops\":[{\"retain\":\"1\"}]",
        "\"delta\",\"ops\":[{\"delete\":1,\"attributes\":{\"b\":1}}]",
        "\"delta\",\"ops\":[{\"delete\":1,\"attributes\":{}}]",
        "\"delta\",\"ops\":[{\"insert\":\"a\",\"retain\":1}]",
        "\"delta\",\"ops\":[{\"insert\":\"a\",\"delete\":1}]",
        "\"delta\",\"ops\":[{\"retain\":1,\"attributes\":7}]",
        "\"insert\",\"pos\":0,\"str\":\"x\",\"attributes\":{\"constructor\":null}",
        "\"format\",\"pos\":0,\"len\":1,\"attributes\":{\"a\":1,\"__proto__\":1}",
        "\"delta\",\"ops\":[{\"insert\":{\"i\":1},\"attributes\":{\"__lookupSetter__\":{}}}]",
        "\"delta\",\"ops\":[{\"retain\":1,\"attributes\":{\"v\\u0061lueOf\":true}}]",
        "\"delta\",\"ops\":[{\"retain\":9007199254740991},{\"delete\":1}]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"seq\":5,\"version\":1,\"type\":%s}", bad[i]);
        cr_assert_str_eq(through(text), "op_invalid", "%s", text);
    }
}

Test(opjson, a_refused_op_still_says_its_seq)
{
    struct opjson o;
    bool at_end;
    cr_assert(read_op("{\"type\":\"delete\",\"pos\":0,\"len\":0,\"seq\":9,\"client_id\":\"c\"}", &o,
                      &at_end) == STATUS_OP_INVALID);
    cr_assert(at_end && o.has_seq && o.seq == 9 && !o.has_version);
    cr_assert(bytes_eq(o.client_id, BYTES_LIT("c")));
}

Test(opjson, seq_null_and_no_client_id_are_absent)
{
    struct opjson o;
    bool at_end;
    cr_assert(read_op("{\"type\":\"delta\",\"ops\":[],\"seq\":null,\"version\":4}", &o, &at_end) ==
              STATUS_OK);
    cr_assert(!o.has_seq && !o.has_client_id && o.has_version && o.version == 4 && o.op.n == 0);
    o.client_id = BYTES_LIT("c");
    cr_assert_str_eq(write_op(&o),
                     "{\"type\":\"delta\",\"ops\":[],\"client_id\":\"c\",\"seq\":null,"
                     "\"version\":4}");
}

Test(opjson, parts_and_attributes_end_at_their_limits)
{
    static char text[BUF_BYTES];
    for (int extra = 0; extra < 2; extra++) {
        struct writer w = writer_of(text, sizeof text - 1);
        json_write_lit(&w, "{\"type\":\"delta\",\"version\":1,\"ops\":[");
        for (int i = 0; i < PARTS_MAX + extra; i++) {
            json_write_lit(&w, i ? "," : "");
            json_write_lit(&w, i % 2 ? "{\"insert\":\"a\"}" : "{\"retain\":1}");
        }
        json_write_lit(&w, "]}");
        text[writer_n(&w)] = 0;
        cr_assert((strcmp(through(text), "too_large") == 0) == (extra == 1));

        w = writer_of(text, sizeof text - 1);
        json_write_lit(&w,
                       "{\"type\":\"format\",\"pos\":0,\"len\":1,\"version\":1,\"attributes\":{");
        for (unsigned i = 0; i < LIMIT_ATTR_PAIRS + (unsigned)extra; i++) {
            json_write_lit(&w, i ? ",\"" : "\"");
            json_write_u64(&w, 1000 - i);
            json_write_lit(&w, "\":1");
        }
        json_write_lit(&w, "}}");
        text[writer_n(&w)] = 0;
        cr_assert((strcmp(through(text), "too_large") == 0) == (extra == 1));
    }
}

Test(opjson, lengths_that_would_wrap_around_are_refused)
{
    static char text[BUF_BYTES];
    struct json j;
    struct opjson o;
    struct writer w = writer_of(text, sizeof text), ow = writer_of(buf, sizeof buf);
    json_write_lit(&w, "{\"type\":\"delta\",\"version\":1,\"ops\":[");
    for (int i = 0; i < 2049; i++) {
        json_write_lit(&w, i ? "," : "");
        json_write_lit(&w, "{\"delete\":9007199254740991}");
    }
    json_write_lit(&w, "]}");
    cr_assert(w.ok);
    json_init(&j, writer_bytes(&w), strings, sizeof strings);
    cr_assert(opjson_read(&j, 10000, &ow, scratch, sizeof scratch, &o) == STATUS_OP_INVALID);
}

Test(opjson, a_full_buffer_is_too_large_and_changes_nothing)
{
    const char *text = "{\"type\":\"insert\",\"pos\":0,\"str\":\"0123456789\",\"version\":1}";
    struct json j;
    struct opjson o;
    struct writer w = writer_of(buf, 8);
    json_init(&j, bytes_str(text), strings, sizeof strings);
    cr_assert(opjson_read(&j, 10, &w, scratch, sizeof scratch, &o) == STATUS_TOO_LARGE);
    cr_assert(json_end(&j) && w.ok && writer_n(&w) == 0);
}

/* ---- content ---- */

static const char *content_through(const char *text, bool rich)
{
    struct json j;
    struct bytes content;
    struct writer w = writer_of(buf, sizeof buf), out = writer_of(text_out, sizeof text_out - 1);
    json_init(&j, bytes_str(text), strings, sizeof strings);
    enum status s = opjson_read_content(&j, rich, PARTS_MAX, &w, scratch, sizeof scratch, &content);
    if (s != STATUS_OK)
        return status_name(s);
    cr_assert(json_end(&j));
    opjson_write_content(&out, content, rich);
    cr_assert(out.ok && writer_n(&out) <= opjson_content_bytes_max(content));
    text_out[writer_n(&out)] = 0;
    return text_out;
}

Test(opjson, content_is_a_string_or_a_list_of_inserts)
{
    cr_assert_str_eq(content_through("\"a\\n\\u00e9\"", false), "\"a\\n\xc3\xa9\"");
    cr_assert_str_eq(content_through("\"\"", false), "\"\"");
    cr_assert_str_eq(content_through("\"a\"", true), "{\"ops\":[{\"insert\":\"a\"}]}");
    cr_assert_str_eq(content_through("\"\"", true), "{\"ops\":[]}");
    cr_assert_str_eq(content_through("{\"ops\":[]}", true), "{\"ops\":[]}");
    cr_assert_str_eq(
        content_through("{\"x\":1,\"ops\":[{\"insert\":\"a\"},{\"insert\":\"b\"},{"
                        "\"insert\":{\"i\":1},\"attributes\":{\"a\":1,\"b\":null}}]}",
                        true),
        "{\"ops\":[{\"insert\":\"ab\"},{\"insert\":{\"i\":1},\"attributes\":{\"a\":1}}]}");
    cr_assert_str_eq(content_through("[{\"insert\":\"a\"}]", true),
                     "{\"ops\":[{\"insert\":\"a\"}]}");
}

Test(opjson, what_is_no_content_is_refused)
{
    cr_assert_str_eq(content_through("{\"ops\":[]}", false), "bad_message");
    cr_assert_str_eq(content_through("7", false), "bad_message");
    cr_assert_str_eq(content_through("null", true), "bad_message");
    cr_assert_str_eq(content_through("{}", true), "op_invalid");
    cr_assert_str_eq(content_through("{\"ops\":[{\"retain\":1}]}", true), "op_invalid");
    cr_assert_str_eq(content_through("[{\"delete\":1}]", true), "op_invalid");
    cr_assert_str_eq(content_through("[{\"insert\":\"\"}]", true), "op_invalid");
}

/* ---- ops that come back ---- */

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

static struct bytes random_attrs(uint64_t *rng, bool null_too, uint8_t *mem, size_t n)
{
    static const char *const values[] = {"true", "1.5", "\"x\\n\"", "{\"a\":[1,2]}", "null"};
    static const char *const keys[] = {"a", "b\"\n", "\xc3\xa9"};
    struct writer w = writer_of(mem, n);
    for (size_t i = 0; i < 3; i++)
        if (below(rng, 3) == 0) {
            write_str(&w, bytes_str(keys[i]));
            write_str(&w, bytes_str(values[below(rng, null_too ? 5 : 4)]));
        }
    return writer_bytes(&w);
}

static struct bytes random_op(uint64_t *rng, void *mem, size_t n)
{
    static const char *const texts[] = {"a", "\"\\/\x01\t", "\xf0\x9f\x98\x80", "plain words here",
                                        "\xe2\x82\xac"};
    static uint8_t attrs[12][128];
    struct op_writer ow;
    struct bytes op;
    op_writer_init(&ow, mem, n);
    for (uint32_t i = below(rng, 6); i > 0; i--) {
        uint32_t kind = below(rng, 4);
        struct bytes a = random_attrs(rng, kind == 0, attrs[i], sizeof attrs[i]);
        struct bytes t = bytes_str(texts[below(rng, 5)]);
        if (kind == 0)
            op_push_retain(&ow, 1 + below(rng, 1000), a);
        else if (kind == 1)
            op_push_insert(&ow, t, utf16_units(t), a);
        else if (kind == 2)
            op_push_embed(&ow, BYTES_LIT("{\"image\":\"\\\"x\"}"), a);
        else
            op_push_delete(&ow, 1 + below(rng, 1000));
    }
    cr_assert(op_writer_end(&ow, &op) == STATUS_OK);
    return op;
}

Test(opjson, random_ops_come_back_byte_for_byte)
{
    uint64_t rng = 88172645463325252ull;
    static uint8_t mem[4096];
    for (int i = 0; i < N_RANDOM; i++) {
        struct opjson in = {.client_id = BYTES_LIT("c.1"), .seq = 1 + below(&rng, 1000)};
        struct opjson back;
        bool at_end;
        in.has_seq = true;
        in.version = next_random(&rng) >> 11;
        in.op = random_op(&rng, mem, sizeof mem);
        const char *text = write_op(&in);
        cr_assert(read_op(text, &back, &at_end) == STATUS_OK && at_end, "%s", text);
        cr_assert(bytes_eq(back.op, in.op), "%s", text);
        cr_assert(back.seq == in.seq && back.version == in.version);
        cr_assert(bytes_eq(back.client_id, in.client_id));
    }
}
