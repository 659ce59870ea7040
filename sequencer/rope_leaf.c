/* rope_leaf.c - see rope_leaf.h. Every run added or removed is counted in rope.run_bytes here. */
#include "sequencer/rope_leaf.h"
#include "base/say.h"
#include "base/utf.h"

/* Tag and lengths of one component of content: 1 and two varints of 32 bits. */
#define COMPONENT_BYTES 11u

/* ---- embeds and costs ---- */

static size_t embed_bytes(uint32_t n)
{
    return sizeof(struct rope_embed) + n;
}

struct rope_embed *rope_embed_new(struct rope *r, struct bytes json)
{
    struct rope_embed *e = rope_take(r, embed_bytes((uint32_t)json.n));
    if (!e)
        return NULL;
    *e = (struct rope_embed){.refs = 1, .n = (uint32_t)json.n};
    memcpy(e->json, json.p, json.n);
    return e;
}

void rope_embed_drop(struct rope *r, struct rope_embed *embed)
{
    if (--embed->refs == 0)
        rope_give(r, embed, embed_bytes(embed->n));
}

uint64_t rope_run_cost(const struct rope *r, uint32_t attrs, const struct rope_embed *embed)
{
    struct bytes block = rope_attrs_get(r, attrs & ~ROPE_EMBED);
    uint64_t n = COMPONENT_BYTES;
    if (block.n)
        n += block.n + varint_bytes(block.n);
    if (embed)
        n += embed->n; /* beside the 8 bytes of its pointer, which count as text */
    return n;
}

/* Text runs; an embed's cost differs. */
static void hold_run(struct rope *r, uint32_t attrs, const struct rope_embed *embed)
{
    rope_attrs_hold(r, attrs & ~ROPE_EMBED);
    r->run_bytes += rope_run_cost(r, attrs, embed);
}

static void drop_run(struct rope *r, uint32_t attrs, const struct rope_embed *embed)
{
    r->run_bytes -= rope_run_cost(r, attrs, embed);
    rope_attrs_drop(r, attrs & ~ROPE_EMBED);
}

static const struct rope_embed *embed_of(const struct rope_run *run, const uint8_t *text)
{
    return run->attrs & ROPE_EMBED ? rope_leaf_embed(text) : NULL;
}

/* ---- the array of runs ---- */

static void open_run(struct rope_leaf *leaf, uint32_t i, struct rope_run run)
{
    uint32_t behind = leaf->n_runs - i;
    leaf->n_runs++;
    if (behind) /* runs i.. move one place further from the block's end */
        memmove(rope_leaf_run(leaf, leaf->n_runs - 1u), rope_leaf_run(leaf, leaf->n_runs - 2u),
                behind * sizeof run);
    *rope_leaf_run(leaf, i) = run;
}

static void close_run(struct rope_leaf *leaf, uint32_t i)
{
    uint32_t behind = leaf->n_runs - i - 1u;
    if (behind)
        memmove(rope_leaf_run(leaf, leaf->n_runs - 2u), rope_leaf_run(leaf, leaf->n_runs - 1u),
                behind * sizeof(struct rope_run));
    leaf->n_runs--;
}

/* A leaf with runs may stand between plain ones in the document: it counts one component more. */
static void become_rich(struct rope *r, struct rope_leaf *leaf)
{
    if (leaf->n_runs || leaf->n_bytes == 0)
        return;
    open_run(leaf, 0, (struct rope_run){0, leaf->n_u16, leaf->n_bytes});
    hold_run(r, 0, NULL);
    r->run_bytes += COMPONENT_BYTES;
}

static void become_plain(struct rope *r, struct rope_leaf *leaf)
{
    if (leaf->n_runs == 1 && rope_leaf_run(leaf, 0)->attrs == 0) {
        drop_run(r, 0, NULL);
        r->run_bytes -= COMPONENT_BYTES;
        leaf->n_runs = 0;
    }
}

static void add_run(struct rope *r, struct rope_leaf *leaf, uint32_t i, struct rope_run run,
                    const struct rope_embed *embed)
{
    if (leaf->n_runs == 0)
        r->run_bytes += COMPONENT_BYTES;
    open_run(leaf, i, run);
    hold_run(r, run.attrs, embed);
}

/* Text run i becomes two, the first of them with so many units and bytes. */
static void cut_run(struct rope *r, struct rope_leaf *leaf, uint32_t i, uint32_t n_u16,
                    uint32_t n_bytes)
{
    struct rope_run rest = *rope_leaf_run(leaf, i);
    rest.n_u16 = (uint16_t)(rest.n_u16 - n_u16);
    rest.n_bytes = (uint16_t)(rest.n_bytes - n_bytes);
    add_run(r, leaf, i + 1, rest, NULL);
    struct rope_run *run = rope_leaf_run(leaf, i);
    run->n_u16 = (uint16_t)n_u16;
    run->n_bytes = (uint16_t)n_bytes;
}

/* Joins equal neighbours among runs first .. last. */
static void merge_runs(struct rope *r, struct rope_leaf *leaf, uint32_t first, uint32_t last)
{
    uint32_t i = first;
    while (i < last && i + 1u < leaf->n_runs) {
        struct rope_run *run = rope_leaf_run(leaf, i);
        const struct rope_run *next = rope_leaf_run(leaf, i + 1);
        if (run->attrs != next->attrs || (run->attrs & ROPE_EMBED)) {
            i++;
            continue;
        }
        run->n_u16 = (uint16_t)(run->n_u16 + next->n_u16);
        run->n_bytes = (uint16_t)(run->n_bytes + next->n_bytes);
        drop_run(r, run->attrs, NULL);
        close_run(leaf, i + 1);
        last--;
    }
    become_plain(r, leaf);
}

/* ---- the block ---- */

size_t rope_leaf_block_bytes(uint32_t need)
{
    size_t n = pool_cost(ROPE_LEAF_HEAD + need);
    return n < ROPE_LEAF_BLOCK_MAX ? n : ROPE_LEAF_BLOCK_MAX;
}

void rope_leaf_init(struct rope_leaf *leaf, size_t block_bytes)
{
    *leaf = (struct rope_leaf){.block_bytes = (uint16_t)block_bytes};
}

void rope_leaf_copy(struct rope_leaf *to, size_t block_bytes, const struct rope_leaf *from)
{
    *to = *from;
    to->block_bytes = (uint16_t)block_bytes;
    memcpy(to->text, from->text, from->n_bytes);
    if (from->n_runs)
        memcpy(rope_leaf_run(to, to->n_runs - 1u), rope_leaf_run(from, from->n_runs - 1u),
               from->n_runs * sizeof(struct rope_run));
}

void rope_leaf_clear(struct rope *r, struct rope_leaf *leaf)
{
    const uint8_t *text = leaf->text;
    for (uint32_t i = 0; i < leaf->n_runs; i++) {
        const struct rope_run *run = rope_leaf_run(leaf, i);
        drop_run(r, run->attrs, embed_of(run, text));
        if (run->attrs & ROPE_EMBED)
            rope_embed_drop(r, rope_leaf_embed(text));
        text += run->n_bytes;
    }
    if (leaf->n_runs)
        r->run_bytes -= COMPONENT_BYTES;
    leaf->n_runs = leaf->n_bytes = leaf->n_u16 = 0;
}

/* ---- places ---- */

bool rope_text_offset(const uint8_t *text, uint32_t n_bytes, uint32_t n_u16, uint32_t u16,
                      uint32_t *bytes)
{
    if (n_bytes == n_u16) {
        *bytes = u16;
        return true;
    }
    size_t at;
    if (!utf16_offset(bytes_of(text, n_bytes), u16, &at))
        return false;
    *bytes = (uint32_t)at;
    return true;
}

bool rope_leaf_find(const struct rope_leaf *leaf, uint32_t u16, struct rope_spot *spot)
{
    if (leaf->n_runs == 0) {
        uint32_t at;
        if (!rope_text_offset(leaf->text, leaf->n_bytes, leaf->n_u16, u16, &at))
            return false;
        *spot = (struct rope_spot){0, u16, at, at};
        return true;
    }
    uint32_t at = 0, i = 0;
    const struct rope_run *run = rope_leaf_run(leaf, 0);
    while (u16 > run->n_u16) {
        u16 -= run->n_u16;
        at += run->n_bytes;
        check_cmp(++i, <, leaf->n_runs);
        run = rope_leaf_run(leaf, i);
    }
    uint32_t in = u16 ? run->n_bytes : 0;
    if (u16 && u16 < run->n_u16 &&
        !rope_text_offset(leaf->text + at, run->n_bytes, run->n_u16, u16, &in))
        return false;
    *spot = (struct rope_spot){i, u16, in, at + in};
    return true;
}

/* ---- insert, erase, format ---- */

static void grow_run(struct rope_run *run, uint32_t n_u16, size_t n_bytes)
{
    run->n_u16 = (uint16_t)(run->n_u16 + n_u16);
    run->n_bytes = (uint16_t)(run->n_bytes + n_bytes);
}

static void insert_run(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *spot,
                       struct rope_run fresh, const struct rope_embed *embed)
{
    become_rich(r, leaf);
    if (leaf->n_runs == 0) {
        add_run(r, leaf, 0, fresh, embed);
        return;
    }
    uint32_t i = spot->run;
    struct rope_run *run = rope_leaf_run(leaf, i);
    bool at_end = spot->run_u16 == run->n_u16;
    if (!embed && run->attrs == fresh.attrs) {
        grow_run(run, fresh.n_u16, fresh.n_bytes);
    } else if (spot->run_u16 == 0) {
        add_run(r, leaf, i, fresh, embed);
    } else if (!at_end) {
        cut_run(r, leaf, i, spot->run_u16, spot->run_bytes);
        add_run(r, leaf, i + 1, fresh, embed);
    } else if (!embed && i + 1u < leaf->n_runs &&
               rope_leaf_run(leaf, i + 1)->attrs == fresh.attrs) {
        grow_run(rope_leaf_run(leaf, i + 1), fresh.n_u16, fresh.n_bytes);
    } else {
        add_run(r, leaf, i + 1, fresh, embed);
    }
}

void rope_leaf_insert(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *spot,
                      struct bytes text, uint32_t n_u16, uint32_t attrs)
{
    if (attrs || leaf->n_runs) {
        struct rope_run fresh = {attrs, (uint16_t)n_u16, (uint16_t)text.n};
        insert_run(r, leaf, spot, fresh, embed_of(&fresh, text.p));
    }
    uint8_t *at = leaf->text + spot->at;
    memmove(at + text.n, at, leaf->n_bytes - spot->at);
    memcpy(at, text.p, text.n);
    leaf->n_bytes = (uint16_t)(leaf->n_bytes + text.n);
    leaf->n_u16 = (uint16_t)(leaf->n_u16 + n_u16);
}

static void erase_runs(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *from,
                       uint32_t n_bytes, uint32_t n_u16)
{
    uint32_t i = from->run, in_u16 = from->run_u16, in_bytes = from->run_bytes;
    const uint8_t *text = leaf->text + from->at;
    while (n_bytes) {
        struct rope_run *run = rope_leaf_run(leaf, i);
        uint32_t bytes = run->n_bytes - in_bytes, u16 = run->n_u16 - in_u16;
        if (bytes > n_bytes) {
            bytes = n_bytes;
            u16 = n_u16;
        }
        if (bytes == run->n_bytes) {
            drop_run(r, run->attrs, embed_of(run, text));
            if (run->attrs & ROPE_EMBED)
                rope_embed_drop(r, rope_leaf_embed(text));
            close_run(leaf, i);
        } else {
            grow_run(run, -u16, -(size_t)bytes);
            i++;
        }
        text += bytes;
        n_bytes -= bytes;
        n_u16 -= u16;
        in_u16 = in_bytes = 0;
    }
    uint32_t first = from->run ? from->run - 1 : 0;
    merge_runs(r, leaf, first, i + 1);
}

void rope_leaf_erase(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *from,
                     const struct rope_spot *to, uint32_t n_u16)
{
    uint32_t n_bytes = to->at - from->at;
    if (leaf->n_runs)
        erase_runs(r, leaf, from, n_bytes, n_u16);
    memmove(leaf->text + from->at, leaf->text + to->at, leaf->n_bytes - to->at);
    leaf->n_bytes = (uint16_t)(leaf->n_bytes - n_bytes);
    leaf->n_u16 = (uint16_t)(leaf->n_u16 - n_u16);
}

static void set_run(struct rope *r, struct rope_run *run, uint32_t attrs,
                    const struct rope_embed *embed)
{
    hold_run(r, attrs, embed);
    drop_run(r, run->attrs, embed);
    run->attrs = attrs;
}

void rope_leaf_format(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *from,
                      const struct rope_spot *to, rope_restyle *restyle, void *self)
{
    become_rich(r, leaf);
    uint32_t i = from->run, left = to->at - from->at;
    const uint8_t *text = leaf->text + from->at;
    if (from->run_bytes == rope_leaf_run(leaf, i)->n_bytes) {
        i++;
    } else if (from->run_bytes) {
        cut_run(r, leaf, i, from->run_u16, from->run_bytes);
        i++;
    }
    while (left) {
        struct rope_run *run = rope_leaf_run(leaf, i);
        if (run->n_bytes > left) { /* the last one, which `to` cuts: it began here or at `from` */
            uint32_t began = to->run_bytes - left;
            cut_run(r, leaf, i, to->run_u16 - (began ? from->run_u16 : 0), left);
            run = rope_leaf_run(leaf, i);
        }
        uint32_t embed = run->attrs & ROPE_EMBED;
        uint32_t attrs = restyle(self, run->attrs & ~ROPE_EMBED) | embed;
        if (attrs != run->attrs)
            set_run(r, run, attrs, embed_of(run, text));
        text += run->n_bytes;
        left -= run->n_bytes;
        i++;
    }
    uint32_t first = from->run ? from->run - 1 : 0;
    merge_runs(r, leaf, first, i);
}

/* ---- split and join ---- */

static uint32_t char_start(const uint8_t *text, uint32_t at)
{
    while (at && (text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static uint32_t units(const uint8_t *text, uint32_t n_bytes, bool is_ascii)
{
    return is_ascii ? n_bytes : (uint32_t)utf16_units(bytes_of(text, n_bytes));
}

struct rope_spot rope_leaf_middle(const struct rope_leaf *leaf)
{
    if (leaf->n_runs == 0) {
        uint32_t at = char_start(leaf->text, leaf->n_bytes / 2u);
        uint32_t u16 = units(leaf->text, at, leaf->n_bytes == leaf->n_u16);
        return (struct rope_spot){0, u16, at, at};
    }
    uint32_t half = rope_leaf_used(leaf) / 2, before = 0, at = 0, i = 0;
    const struct rope_run *run = rope_leaf_run(leaf, 0);
    while (before + run->n_bytes + ROPE_RUN_BYTES <= half) {
        before += run->n_bytes + ROPE_RUN_BYTES;
        at += run->n_bytes;
        run = rope_leaf_run(leaf, ++i);
    }
    const uint8_t *text = leaf->text + at;
    uint32_t in = run->attrs & ROPE_EMBED ? 0 : half - before;
    if (in > run->n_bytes)
        in = run->n_bytes;
    if (in < run->n_bytes)
        in = char_start(text, in);
    if (in == 0 && i == 0) /* never nothing: then the whole first run */
        in = run->n_bytes;
    uint32_t u16 = in == run->n_bytes ? run->n_u16 : units(text, in, run->n_bytes == run->n_u16);
    return (struct rope_spot){i, u16, in, at + in};
}

uint32_t rope_leaf_tail_used(const struct rope_leaf *leaf, const struct rope_spot *spot)
{
    uint32_t n_runs = leaf->n_runs ? leaf->n_runs - spot->run : 1;
    return leaf->n_bytes - spot->at + n_runs * ROPE_RUN_BYTES;
}

static uint32_t split_runs(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *spot,
                           struct rope_leaf *to)
{
    struct rope_run *run = rope_leaf_run(leaf, spot->run);
    uint32_t keep = spot->run + 1u, n_u16 = 0;
    if (spot->run_bytes == 0) {
        keep = spot->run;
    } else if (spot->run_bytes < run->n_bytes) {
        struct rope_run rest = {run->attrs, (uint16_t)(run->n_u16 - spot->run_u16),
                                (uint16_t)(run->n_bytes - spot->run_bytes)};
        open_run(to, 0, rest);
        hold_run(r, rest.attrs, NULL);
        run->n_u16 = (uint16_t)spot->run_u16;
        run->n_bytes = (uint16_t)spot->run_bytes;
        n_u16 = rest.n_u16;
    }
    for (uint32_t i = keep; i < leaf->n_runs; i++) {
        open_run(to, to->n_runs, *rope_leaf_run(leaf, i));
        n_u16 += rope_leaf_run(leaf, i)->n_u16;
    }
    leaf->n_runs = (uint16_t)keep;
    r->run_bytes += COMPONENT_BYTES;
    return n_u16;
}

void rope_leaf_split(struct rope *r, struct rope_leaf *leaf, const struct rope_spot *spot,
                     struct rope_leaf *to)
{
    bool is_rich = leaf->n_runs > 0;
    uint32_t n_bytes = leaf->n_bytes - spot->at;
    uint32_t n_u16 = is_rich ? split_runs(r, leaf, spot, to) : leaf->n_u16 - spot->run_u16;
    memcpy(to->text, leaf->text + spot->at, n_bytes);
    to->n_bytes = (uint16_t)n_bytes;
    to->n_u16 = (uint16_t)n_u16;
    leaf->n_bytes = (uint16_t)spot->at;
    leaf->n_u16 = (uint16_t)(leaf->n_u16 - n_u16);
    become_plain(r, leaf);
    become_plain(r, to);
}

void rope_leaf_join(struct rope *r, struct rope_leaf *leaf, struct rope_leaf *from)
{
    if (leaf->n_runs || from->n_runs) {
        become_rich(r, leaf);
        become_rich(r, from);
        uint32_t seam = leaf->n_runs;
        for (uint32_t i = 0; i < from->n_runs; i++)
            open_run(leaf, leaf->n_runs, *rope_leaf_run(from, i));
        r->run_bytes -= COMPONENT_BYTES; /* one leaf with runs less */
        merge_runs(r, leaf, seam - 1, seam);
    }
    memcpy(leaf->text + leaf->n_bytes, from->text, from->n_bytes);
    leaf->n_bytes = (uint16_t)(leaf->n_bytes + from->n_bytes);
    leaf->n_u16 = (uint16_t)(leaf->n_u16 + from->n_u16);
    from->n_runs = from->n_bytes = from->n_u16 = 0;
}
