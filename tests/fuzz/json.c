/*
 * Any bytes to the JSON reader: it takes or refuses them, whole or pulled apart; what it takes has
 * a canonical form that is its own canonical form.
 */
#include "gateway/json.h"

#include <stdlib.h>

#define INPUT_BYTES_MAX 4096u
#define OUT_BYTES       (6u * INPUT_BYTES_MAX + 64u)

static uint8_t scratch[JSON_CANONICAL_SCRATCH(OUT_BYTES)];

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Pulls a value apart by the calls that fit each kind; recursion is bounded by the reader's. */
static bool walk(struct json *j)
{
    struct bytes s;
    bool b;
    double d;
    switch (json_peek(j)) {
    case JSON_OBJECT:
        if (!json_enter(j, JSON_OBJECT))
            return false;
        while (json_member(j, &s))
            if (!walk(j))
                return false;
        return j->ok;
    case JSON_ARRAY:
        if (!json_enter(j, JSON_ARRAY))
            return false;
        while (json_element(j))
            if (!walk(j))
                return false;
        return j->ok;
    case JSON_STRING:
        return json_string(j, &s);
    case JSON_NUMBER:
        return json_double(j, &d, &b);
    case JSON_TRUE:
    case JSON_FALSE:
        return json_bool(j, &b);
    case JSON_NULL:
        return json_null(j);
    case JSON_NONE:
    default:
        return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t strings[INPUT_BYTES_MAX], first[OUT_BYTES], second[OUT_BYTES];
    struct bytes in = bytes_of(data, n);
    struct json whole, pulled;
    if (n > INPUT_BYTES_MAX)
        return 0;
    json_init(&whole, in, NULL, 0);
    json_init(&pulled, in, strings, n);
    bool is_json = json_skip(&whole) && json_end(&whole);
    must((walk(&pulled) && json_end(&pulled)) == is_json);
    struct writer w = writer_of(first, sizeof first), w2 = writer_of(second, sizeof second);
    enum status s = json_canonical(in, &w, scratch, sizeof scratch);
    must(s == STATUS_OK || s == STATUS_BAD_MESSAGE);
    if (s != STATUS_OK)
        return 0;
    must(is_json && w.ok);
#ifdef CANARY
    must(writer_n(&w) + 4 > n || first[0] != '[');
#endif
    must(json_canonical(writer_bytes(&w), &w2, scratch, sizeof scratch) == STATUS_OK);
    must(bytes_eq(writer_bytes(&w), writer_bytes(&w2)));
    return 0;
}
