/*
 * opjson.h - operations between JSON (protocol section 2) and the binary form (net/op.h). Pure; no allocation.
 */
#ifndef PENSTOCK_GATEWAY_OPJSON_H
#define PENSTOCK_GATEWAY_OPJSON_H

#include "gateway/json.h"
#include "net/op.h"

/* One op object as it came. */
struct opjson {
    struct bytes op;         /* binary, normal form, in the caller's buffer; checked by op_check (not against a document) */
    struct bytes client_id;  /* empty: none given */
    uint64_t seq;
    uint64_t version;
    bool has_client_id;
    bool has_seq;            /* false also for null */
    bool has_version;
    struct op_shape shape;
};

/*
 * Reads one op object (insert, delete, format, delta) that stands next in `j`, writing its binary form to `w`. `first` may hold
 * members already read by the caller (NULL: none).
 * STATUS_BAD_MESSAGE: not JSON, not an object, no known `type`. STATUS_OP_INVALID: values that make no sense. STATUS_TOO_LARGE: past
 * parts_max. After OP_INVALID / TOO_LARGE the reader stands behind the object (seq is filled in if it was there), so that the error can name it.
 */
enum status opjson_read(struct json *j, uint32_t parts_max, struct writer *w, void *scratch, size_t scratch_bytes, struct opjson *out) must_use;

/* Content: a string (text) or {"ops":[...]} / [...] (rich) as an op of inserts. STATUS_OP_INVALID / BAD_MESSAGE / TOO_LARGE. */
enum status opjson_read_content(struct json *j, bool rich, uint32_t parts_max, struct writer *w, void *scratch, size_t scratch_bytes,
                                struct bytes *content) must_use;

/* Canonical JSON of an op. `client_id` empty: left out with seq. Sticky failure in w. */
struct opjson_out {
    struct bytes op;
    struct bytes client_id;
    uint64_t seq;
    uint64_t version;        /* base: new_version - 1 */
    bool has_seq;            /* false: "seq":null */
};
void opjson_write(struct writer *w, const struct opjson_out *o);
size_t opjson_write_bytes_max(const struct opjson_out *o); /* upper bound: 6 bytes a byte and overhead a part */

/* `content` as protocol section 3 wants it: a string, or {"ops":[...]}. */
void opjson_write_content(struct writer *w, struct bytes content, bool rich);
size_t opjson_content_bytes_max(struct bytes content);

#endif
