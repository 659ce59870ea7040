/*
 * utf.h - UTF-8 as it comes from strangers, and positions in UTF-16 units over it.
 *
 * Valid means RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF. Runs of ASCII are
 * walked eight bytes a step. The utf16_* functions take text that is known to be valid (checked
 * before); on other bytes their result is meaningless but never out of bounds.
 *
 * Any thread; pure; no allocation.
 */
#ifndef PENSTOCK_BASE_UTF_H
#define PENSTOCK_BASE_UTF_H

#include "base/bytes.h"

bool utf8_check(struct bytes b);
/* Valid, and without NUL: what text, titles, names and JSON strings are. */
bool utf8_check_text(struct bytes b);

/*
 * The same over bytes that come in pieces (fragments of a WebSocket message): a piece may end
 * inside a character. Start from zeroes.
 */
struct utf8_stream {
    uint8_t need; /* continuation bytes that are still to come */
    uint8_t low;  /* bounds of the next one */
    uint8_t high;
    bool bad; /* sticky */
};

/* False as soon as what came so far can't become valid. */
bool utf8_stream_feed(struct utf8_stream *s, struct bytes piece);
/* Whether everything fed so far is whole characters. */
static inline bool utf8_stream_is_whole(const struct utf8_stream *s)
{
    return !s->bad && s->need == 0;
}

/* Length in UTF-16 code units: 2 for what needs four bytes, else 1 a character. */
uint64_t utf16_units(struct bytes utf8);
/* Where the unit `pos_u16` begins, in bytes; the length itself is a fine position. False: past the
 * end, or between the halves of a surrogate pair. */
bool utf16_offset(struct bytes utf8, uint64_t pos_u16, size_t *byte_offset);

#endif
