/* opjson_write.c - canonical JSON of ops and of content; see opjson.h. */
#include "gateway/opjson.h"

#define OVERHEAD_BYTES      192 /* names, braces, three numbers of an op object */
#define PART_OVERHEAD_BYTES 48  /* {"retain":9007199254740991,"attributes":{}}, */

static void write_attrs(struct writer *w, struct bytes block)
{
    struct reader r = reader_of(block);
    struct attr a;
    bool first = true;
    if (block.n == 0)
        return;
    write_bytes(w, BYTES_LIT(",\"attributes\":{"));
    while (attr_next(&r, &a)) {
        if (!first)
            write_u8(w, ',');
        first = false;
        json_write_string(w, a.key);
        write_u8(w, ':');
        write_bytes(w, a.value); /* canonical JSON as it stands */
    }
    write_u8(w, '}');
}

/* One entry of a delta. */
static void write_part(struct writer *w, const struct op_part *part)
{
    switch (part->kind) {
    case OP_INSERT:
        write_bytes(w, BYTES_LIT("{\"insert\":"));
        json_write_string(w, part->text);
        break;
    case OP_EMBED:
        write_bytes(w, BYTES_LIT("{\"insert\":"));
        write_bytes(w, part->text);
        break;
    case OP_DELETE:
        write_bytes(w, BYTES_LIT("{\"delete\":"));
        json_write_u64(w, part->n_u16);
        break;
    case OP_RETAIN:
        write_bytes(w, BYTES_LIT("{\"retain\":"));
        json_write_u64(w, part->n_u16);
        break;
    }
    write_attrs(w, part->attrs);
    write_u8(w, '}');
}

static void write_parts(struct writer *w, struct bytes op)
{
    struct op_reader r = op_reader_of(op);
    struct op_part part;
    bool first = true;
    write_bytes(w, BYTES_LIT("\"ops\":["));
    while (op_next(&r, &part)) {
        if (!first)
            write_u8(w, ',');
        first = false;
        write_part(w, &part);
    }
    write_u8(w, ']');
}

/* Whether one component behind an optional plain retain of *pos units is all there is, and insert,
 * delete or format says it. */
static bool is_single(struct bytes op, uint64_t *pos, struct op_part *part)
{
    struct op_reader r = op_reader_of(op);
    struct op_part rest;
    *pos = 0;
    if (!op_next(&r, part))
        return false;
    if (part->kind == OP_RETAIN && part->attrs.n == 0) {
        *pos = part->n_u16;
        if (!op_next(&r, part))
            return false;
    }
    if (part->kind == OP_EMBED || (part->kind == OP_RETAIN && part->attrs.n == 0))
        return false;
    return !op_next(&r, &rest);
}

static void write_single(struct writer *w, uint64_t pos, const struct op_part *part)
{
    if (part->kind == OP_INSERT)
        write_bytes(w, BYTES_LIT("{\"type\":\"insert\",\"pos\":"));
    else if (part->kind == OP_DELETE)
        write_bytes(w, BYTES_LIT("{\"type\":\"delete\",\"pos\":"));
    else
        write_bytes(w, BYTES_LIT("{\"type\":\"format\",\"pos\":"));
    json_write_u64(w, pos);
    if (part->kind == OP_INSERT) {
        write_bytes(w, BYTES_LIT(",\"str\":"));
        json_write_string(w, part->text);
    } else {
        write_bytes(w, BYTES_LIT(",\"len\":"));
        json_write_u64(w, part->n_u16);
    }
    write_attrs(w, part->attrs);
}

void opjson_write(struct writer *w, const struct opjson_out *o)
{
    uint64_t pos;
    struct op_part part;
    if (is_single(o->op, &pos, &part)) {
        write_single(w, pos, &part);
    } else {
        write_bytes(w, BYTES_LIT("{\"type\":\"delta\","));
        write_parts(w, o->op);
    }
    if (o->client_id.n) {
        write_bytes(w, BYTES_LIT(",\"client_id\":"));
        json_write_string(w, o->client_id);
        write_bytes(w, BYTES_LIT(",\"seq\":"));
        if (o->has_seq)
            json_write_u64(w, o->seq);
        else
            write_bytes(w, BYTES_LIT("null"));
    }
    write_bytes(w, BYTES_LIT(",\"version\":"));
    json_write_u64(w, o->version);
    write_u8(w, '}');
}

/* Keys and text can grow sixfold by escapes; values and embeds stand as they are. */
static size_t parts_bytes_max(struct bytes op)
{
    struct op_reader r = op_reader_of(op);
    struct op_part part;
    size_t n = 0;
    while (op_next(&r, &part))
        n += PART_OVERHEAD_BYTES + 6 * (part.text.n + part.attrs.n);
    return n;
}

size_t opjson_write_bytes_max(const struct opjson_out *o)
{
    return OVERHEAD_BYTES + 6 * o->client_id.n + parts_bytes_max(o->op);
}

void opjson_write_content(struct writer *w, struct bytes content, bool rich)
{
    struct op_reader r = op_reader_of(content);
    struct op_part part;
    if (rich) {
        write_u8(w, '{');
        write_parts(w, content);
        write_u8(w, '}');
        return;
    }
    write_u8(w, '"');
    while (op_next(&r, &part))
        if (part.kind == OP_INSERT)
            json_write_text(w, part.text);
    write_u8(w, '"');
}

size_t opjson_content_bytes_max(struct bytes content)
{
    return OVERHEAD_BYTES + parts_bytes_max(content);
}
