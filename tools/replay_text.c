/* replay_text.c - see replay_text.h. */
#include "tools/replay_text.h"

#include "base/utf.h"

#include <stdlib.h>

static bool is_high(uint16_t u)
{
    return u >= 0xd800 && u < 0xdc00;
}

size_t replay_text_units(const struct replay_text *t)
{
    return t->room - t->gap_units;
}

static uint16_t unit_at(const struct replay_text *t, size_t i)
{
    return t->units[i < t->gap ? i : i + t->gap_units];
}

static void move_gap(struct replay_text *t, size_t to)
{
    uint16_t *u = t->units;
    if (to < t->gap)
        memmove(u + to + t->gap_units, u + to, (t->gap - to) * sizeof *u);
    else if (to > t->gap)
        memmove(u + t->gap, u + t->gap + t->gap_units, (to - t->gap) * sizeof *u);
    t->gap = to;
}

static bool make_room(struct replay_text *t, size_t units)
{
    if (t->gap_units >= units)
        return true;
    size_t n = replay_text_units(t);
    move_gap(t, n);
    size_t room = 2 * (n + units) + 1024;
    uint16_t *more = realloc(t->units, room * sizeof *more);
    if (!more)
        return false;
    t->units = more;
    t->room = room;
    t->gap_units = room - n;
    return true;
}

static enum status insert(struct replay_text *t, size_t at, struct bytes utf8)
{
    if (!make_room(t, utf8.n))
        return STATUS_NO_MEMORY;
    move_gap(t, at);
    uint16_t *u = t->units + t->gap;
    const uint8_t *p = utf8.p, *end = utf8.p + utf8.n;
    while (p < end) { /* valid: the trace's JSON and the server's ops were checked */
        uint32_t c = *p++;
        unsigned more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        c &= more ? 0x3fu >> more : 0x7fu;
        while (more--)
            c = c << 6 | (*p++ & 0x3fu);
        if (c >= 0x10000) {
            *u++ = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
            t->n_pairs++;
        }
        *u++ = (uint16_t)c;
    }
    size_t n = (size_t)(u - (t->units + t->gap));
    t->gap += n;
    t->gap_units -= n;
    return STATUS_OK;
}

static void erase(struct replay_text *t, size_t at, size_t units)
{
    move_gap(t, at);
    const uint16_t *u = t->units + t->gap + t->gap_units;
    for (size_t i = 0; t->n_pairs && i < units; i++)
        t->n_pairs -= is_high(u[i]);
    t->gap_units += units;
}

enum status replay_text_open(struct replay_text *t, struct bytes utf8)
{
    *t = (struct replay_text){.units = NULL};
    return insert(t, 0, utf8);
}

void replay_text_close(struct replay_text *t)
{
    free(t->units);
    *t = (struct replay_text){.units = NULL};
}

/* The unit at which the `n_cp`-th code point behind unit `from` begins; false: past the end. */
static bool skip_code_points(const struct replay_text *t, size_t from, uint64_t n_cp, size_t *unit)
{
    size_t n = replay_text_units(t);
    if (t->n_pairs == 0) {
        *unit = from + n_cp;
        return n_cp <= n - from;
    }
    for (; n_cp > 0 && from < n; n_cp--)
        from += is_high(unit_at(t, from)) ? 2 : 1;
    *unit = from;
    return n_cp == 0;
}

enum status replay_text_patch(struct replay_text *t, const struct trace_patch *p, void *buf,
                              size_t buf_bytes, struct bytes *op)
{
    size_t at, end;
    struct op_writer ow;
    if (!skip_code_points(t, 0, p->pos_cp, &at) || !skip_code_points(t, at, p->delete_cp, &end))
        return STATUS_OP_INVALID;
    op_writer_init(&ow, buf, buf_bytes);
    op_push_retain(&ow, at, BYTES_LIT(""));
    op_push_insert(&ow, p->insert, utf16_units(p->insert), BYTES_LIT(""));
    op_push_delete(&ow, end - at);
    erase(t, at, end - at);
    enum status s = insert(t, at, p->insert);
    return s == STATUS_OK ? op_writer_end(&ow, op) : s;
}

enum status replay_text_apply(struct replay_text *t, struct bytes op)
{
    struct op_reader r = op_reader_of(op);
    struct op_part part;
    size_t at = 0;
    while (op_next(&r, &part)) {
        if (part.kind == OP_INSERT) {
            enum status s = insert(t, at, part.text);
            if (s != STATUS_OK)
                return s;
            at += part.n_u16;
            continue;
        }
        if (part.kind == OP_EMBED || part.n_u16 > replay_text_units(t) - at)
            return STATUS_OP_INVALID;
        if (part.kind == OP_DELETE)
            erase(t, at, part.n_u16);
        else
            at += part.n_u16;
    }
    return r.r.ok ? STATUS_OK : STATUS_OP_INVALID;
}

uint8_t *replay_text_utf8(const struct replay_text *t, size_t *n)
{
    size_t units = replay_text_units(t);
    uint8_t *out = malloc(3 * units + 1), *p = out;
    for (size_t i = 0; out && i < units; i++) {
        uint32_t c = unit_at(t, i);
        if (is_high((uint16_t)c)) {
            c = 0x10000 + ((c - 0xd800) << 10) + (unit_at(t, ++i) - 0xdc00u);
            *p++ = (uint8_t)(0xf0 | c >> 18);
            *p++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        } else if (c >= 0x800) {
            *p++ = (uint8_t)(0xe0 | c >> 12);
        }
        if (c >= 0x800)
            *p++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        else if (c >= 0x80)
            *p++ = (uint8_t)(0xc0 | c >> 6);
        *p++ = (uint8_t)(c < 0x80 ? c : (0x80 | (c & 0x3f)));
    }
    *n = (size_t)(p - out);
    return out;
}
