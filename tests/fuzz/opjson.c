/*
 * Any bytes as an op or as content: refused, or an op that op_check takes and that comes back byte
 * for byte through its own JSON.
 */
#include "gateway/opjson.h"

#include <stdlib.h>

#define INPUT_BYTES_MAX 4096u
#define PARTS_MAX       1000u
#define BUF_BYTES       (64u << 10)

static uint8_t scratch[BUF_BYTES], strings[BUF_BYTES], again[BUF_BYTES];
static uint8_t text[16u * BUF_BYTES];

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_op(struct bytes in)
{
    static uint8_t buf[BUF_BYTES];
    struct json j;
    struct opjson o, back;
    struct writer w = writer_of(buf, sizeof buf), w2 = writer_of(again, sizeof again);
    json_init(&j, in, strings, in.n);
    if (opjson_read(&j, PARTS_MAX, &w, scratch, OPJSON_SCRATCH(in.n), &o) != STATUS_OK)
        return;
#ifdef CANARY
    must(!(o.has_version && o.version == 3));
#endif
    struct opjson_out out = {o.op, o.client_id, o.seq, o.version, o.has_seq};
    struct writer t = writer_of(text, sizeof text);
    opjson_write(&t, &out);
    must(t.ok && writer_n(&t) <= opjson_write_bytes_max(&out));
    json_init(&j, writer_bytes(&t), strings, sizeof strings);
    must(opjson_read(&j, PARTS_MAX, &w2, scratch, sizeof scratch, &back) == STATUS_OK);
    must(json_end(&j) && bytes_eq(back.op, o.op) && back.version == o.version);
    must(bytes_eq(back.client_id, o.client_id));
}

static void check_content(struct bytes in, bool rich)
{
    static uint8_t buf[BUF_BYTES];
    struct json j;
    struct bytes content, back;
    struct op_shape shape;
    struct op_limits limits = {.parts_max = PARTS_MAX, .rich = rich, .content = true};
    struct writer w = writer_of(buf, sizeof buf), w2 = writer_of(again, sizeof again);
    json_init(&j, in, strings, in.n);
    if (opjson_read_content(&j, rich, PARTS_MAX, &w, scratch, OPJSON_SCRATCH(in.n), &content) !=
        STATUS_OK)
        return;
    must(op_check(content, &limits, &shape) == STATUS_OK);
    struct writer t = writer_of(text, sizeof text);
    opjson_write_content(&t, content, rich);
    must(t.ok && writer_n(&t) <= opjson_content_bytes_max(content));
    json_init(&j, writer_bytes(&t), strings, sizeof strings);
    must(opjson_read_content(&j, rich, PARTS_MAX, &w2, scratch, sizeof scratch, &back) ==
         STATUS_OK);
    must(json_end(&j) && bytes_eq(back, content));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes in = bytes_of(data, n);
    if (n > INPUT_BYTES_MAX)
        return 0;
    check_op(in);
    check_content(in, true);
    check_content(in, false);
    return 0;
}
