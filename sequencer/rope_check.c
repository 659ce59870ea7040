/* rope_check.c - what holds of a rope at any moment, asked of every node; see rope.h. */
#include "base/say.h"
#include "base/utf.h"
#include "sequencer/rope_walk.h"

struct sum {
    uint64_t n_u16;
    uint64_t n_bytes;
    uint64_t n_holds;
    uint64_t run_bytes;
    uint64_t mem_bytes;
};

static void check_text(const uint8_t *text, const struct rope_run *run)
{
    check_cmp(run->n_u16, >, 0);
    check(utf8_check_text(bytes_of(text, run->n_bytes)));
    check_cmp(utf16_units(bytes_of(text, run->n_bytes)), ==, run->n_u16);
}

static void check_run(const struct rope *r, const uint8_t *text, const struct rope_run *run,
                      struct sum *sum)
{
    const struct rope_embed *embed = NULL;
    if (run->attrs & ROPE_EMBED) {
        embed = rope_leaf_embed(text);
        check_cmp(run->n_u16, ==, 1);
        check_cmp(run->n_bytes, ==, sizeof embed);
        check_cmp(embed->refs, ==, 1);
        sum->mem_bytes += pool_cost(sizeof *embed + embed->n);
    } else {
        check_text(text, run);
    }
    sum->n_holds += (run->attrs & ~ROPE_EMBED) != 0;
    sum->run_bytes += rope_run_cost(r, run->attrs, embed);
}

static void check_leaf(const struct rope *r, const struct rope_leaf *leaf, struct sum *sum)
{
    struct rope_run all = {0, leaf->n_u16, leaf->n_bytes};
    check_cmp(leaf->n_u16, >, 0);
    check_cmp(leaf->block_bytes, <=, ROPE_LEAF_BLOCK_MAX);
    check_cmp(rope_leaf_used(leaf) + ROPE_LEAF_HEAD, <=, leaf->block_bytes);
    sum->n_u16 += leaf->n_u16;
    sum->n_bytes += leaf->n_bytes;
    sum->mem_bytes += pool_cost(leaf->block_bytes);
    if (leaf->n_runs == 0) {
        check_text(leaf->text, &all);
        return;
    }
    check(leaf->n_runs > 1 || rope_leaf_run(leaf, 0)->attrs != 0);
    sum->run_bytes += 11; /* a leaf with runs may part plain ones */
    uint32_t n_bytes = 0, n_u16 = 0;
    for (uint32_t i = 0; i < leaf->n_runs; i++) {
        const struct rope_run *run = rope_leaf_run(leaf, i);
        check(i == 0 || (run->attrs & ROPE_EMBED) ||
              run->attrs != rope_leaf_run(leaf, i - 1)->attrs);
        check_run(r, leaf->text + n_bytes, run, sum);
        n_bytes += run->n_bytes;
        n_u16 += run->n_u16;
    }
    check_cmp(n_bytes, ==, leaf->n_bytes);
    check_cmp(n_u16, ==, leaf->n_u16);
}

static void check_node(const struct rope *r, const void *at, uint32_t height, struct sum *sum)
{
    if (height == 0) {
        check_leaf(r, at, sum);
        return;
    }
    const struct rope_inner *node = at;
    check_cmp(node->n, >, 0);
    check_cmp(node->n, <=, ROPE_FANOUT);
    sum->mem_bytes += pool_cost(sizeof *node);
    for (uint32_t i = 0; i < node->n; i++) {
        struct sum before = *sum;
        check_node(r, node->child[i], height - 1, sum);
        check_cmp(node->u16[i], ==, sum->n_u16 - before.n_u16);
        check_cmp(node->bytes[i], ==, sum->n_bytes - before.n_bytes);
    }
}

void rope_check(const struct rope *r)
{
    struct sum sum = {0};
    if (r->root)
        check_node(r, r->root, r->height, &sum);
    check(r->root || r->height == 0);
    check(r->height == 0 || ((const struct rope_inner *)r->root)->n > 1);
    check_cmp(r->n_u16, ==, sum.n_u16);
    check_cmp(r->text_bytes, ==, sum.n_bytes);
    check_cmp(r->run_bytes, ==, sum.run_bytes);
    check_cmp(r->n_bytes, ==, r->root ? sum.n_bytes + sum.run_bytes + 11 : 0);
    struct rope_attrs_sum attrs = rope_attrs_sum(r);
    check_cmp(attrs.n_holds, ==, sum.n_holds);
    check_cmp(r->mem_bytes, ==, sum.mem_bytes + attrs.mem_bytes);
}
