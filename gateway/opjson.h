/*
 * opjson.h - operations between JSON (protocol section 2) and the binary form (net/op.h). Pure; no
 * allocation.
 *
 * Reading is strict about values and lax about what it does not know: members come in any order,
 * unknown ones are ignored, of duplicates the last wins. `null` attributes: on a retain (and in
 * `format`) they remove and are kept; on an insert or embed there is nothing to remove, and
 * composing onto a document drops them, so they are dropped here. Object-valued retains (quill's
 * nested deltas) are refused.
 */
#ifndef PENSTOCK_GATEWAY_OPJSON_H
#define PENSTOCK_GATEWAY_OPJSON_H

#include "gateway/json.h"
#include "net/op.h"

/* One op object as it came. */
struct opjson {
    struct bytes op;        /* binary, normal form but for its tail (net/op.h), in the caller's
                               buffer; checked by op_check (not against a document) */
    struct bytes client_id; /* empty: none given */
    uint64_t seq;
    uint64_t version;
    bool has_client_id;
    bool has_seq; /* false also for null, as is has_client_id */
    bool has_version;
    bool is_format; /* even one without attributes is for rich documents alone */
    struct op_shape shape;
};

/* Scratch for attributes and embeds of a message of n bytes. Only JSON whose numbers grow (1e20
 * becomes 21 digits) can need more; that is refused as too large. */
#define OPJSON_SCRATCH(n) (4u * (n) + 1024u)

/*
 * Reads one op object (insert, delete, format, delta) that stands next in `j`, appending its binary
 * form to `w`; out's slices lie in the input, in j's scratch and in w's buffer.
 * STATUS_BAD_MESSAGE: not JSON, not an object, no known `type`. STATUS_OP_INVALID: values that make
 * no sense. STATUS_TOO_LARGE: past parts_max or LIMIT_ATTR_PAIRS, or w or scratch is full. After
 * these two the reader stands behind the object and `out` holds client_id, seq and version where
 * they were sound, so that the error can name them; w is as it was.
 */
enum status opjson_read(struct json *j, uint32_t parts_max, struct writer *w, void *scratch,
                        size_t scratch_bytes, struct opjson *out) must_use;

/*
 * Content as an op of inserts. A string; for `rich` also {"ops":[...]} or [...].
 * STATUS_BAD_MESSAGE: not JSON or another kind of value. STATUS_OP_INVALID: ops that are no content
 * (a retain, a delete, an empty insert ...). STATUS_TOO_LARGE as above.
 */
enum status opjson_read_content(struct json *j, bool rich, uint32_t parts_max, struct writer *w,
                                void *scratch, size_t scratch_bytes,
                                struct bytes *content) must_use;

/* ---- writing (opjson_write.c) ---- */

/* Canonical JSON of an op. `client_id` empty: left out with seq. Sticky failure in w. */
struct opjson_out {
    struct bytes op;
    struct bytes client_id;
    uint64_t seq;
    uint64_t version; /* base: new_version - 1 */
    bool has_seq;     /* false: "seq":null */
};
void opjson_write(struct writer *w, const struct opjson_out *o);
/* Upper bound: 6 bytes a byte and overhead a part. */
size_t opjson_write_bytes_max(const struct opjson_out *o);

/* `content` as protocol section 3 wants it: a string, or {"ops":[...]}. */
void opjson_write_content(struct writer *w, struct bytes content, bool rich);
size_t opjson_content_bytes_max(struct bytes content);

#endif
