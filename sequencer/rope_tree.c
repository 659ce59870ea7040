/*
 * rope_tree.c - see rope_tree.h. A node is never empty, and all leaves are equally deep. Small
 * neighbours are joined when something was erased, as far as that costs no memory: how full a node
 * is has no lower bound that anything relies on.
 */
#include "sequencer/rope_tree.h"
#include "base/say.h"

/* Leaves that could be joined to less than this are. */
#define JOINED_LEAF_BYTES  (ROPE_LEAF_ROOM * 3 / 4)
#define JOINED_INNER_ITEMS (ROPE_FANOUT * 3 / 4)

struct rope_spare {
    struct rope_spare *next;
};

/* ---- memory ---- */

static bool lay_by(struct rope *r, struct rope_spare **list, size_t bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        struct rope_spare *spare = rope_take(r, bytes);
        if (!spare)
            return false;
        spare->next = *list;
        *list = spare;
    }
    return true;
}

bool rope_spares_take(struct rope *r, struct rope_spares *s, uint64_t n_leaves, uint64_t n_inners)
{
    *s = (struct rope_spares){NULL, NULL};
    if (lay_by(r, &s->leaves, ROPE_LEAF_BLOCK_MAX, n_leaves) &&
        lay_by(r, &s->inners, sizeof(struct rope_inner), n_inners))
        return true;
    rope_spares_give(r, s);
    return false;
}

static void *take_spare(struct rope_spare **list)
{
    struct rope_spare *spare = *list;
    if (spare)
        *list = spare->next;
    return spare;
}

void rope_spares_give(struct rope *r, struct rope_spares *s)
{
    void *block;
    while ((block = take_spare(&s->leaves)))
        rope_give(r, block, ROPE_LEAF_BLOCK_MAX);
    while ((block = take_spare(&s->inners)))
        rope_give(r, block, sizeof(struct rope_inner));
}

/* An empty leaf with room for `need` bytes of text and runs. */
static struct rope_leaf *new_leaf(struct rope *r, struct rope_spares *s, uint32_t need)
{
    size_t bytes = rope_leaf_block_bytes(need);
    struct rope_leaf *leaf = rope_take(r, bytes);
    if (!leaf && s) {
        leaf = take_spare(&s->leaves);
        bytes = ROPE_LEAF_BLOCK_MAX;
    }
    if (leaf)
        rope_leaf_init(leaf, bytes);
    return leaf;
}

static void give_leaf(struct rope *r, struct rope_leaf *leaf)
{
    rope_give(r, leaf, leaf->block_bytes);
}

static struct rope_inner *new_inner(struct rope *r, struct rope_spares *s)
{
    struct rope_inner *node = rope_take(r, sizeof *node);
    if (!node && s)
        node = take_spare(&s->inners);
    if (node)
        node->n = node->pad = 0;
    return node;
}

/* ---- finding ---- */

void rope_tree_find(const struct rope *r, uint64_t pos, bool right, struct rope_path *path)
{
    void *at = r->root;
    /* Left: the first entry that reaches `pos`; right: that reaches one unit more. */
    uint64_t want = pos + (right && pos < r->n_u16);
    for (uint32_t level = 0; level < r->height; level++) {
        struct rope_inner *node = at;
        uint32_t i = 0;
        while (want > node->u16[i]) {
            want -= node->u16[i];
            pos -= node->u16[i];
            i++;
        }
        path->node[level] = node;
        path->idx[level] = i;
        at = node->child[i];
    }
    path->leaf = at;
    path->at_u16 = (uint32_t)pos;
}

bool rope_tree_is_boundary(const struct rope *r, uint64_t pos)
{
    if (pos == 0 || pos >= r->n_u16)
        return pos <= r->n_u16;
    struct rope_path path;
    struct rope_spot spot;
    rope_tree_find(r, pos, false, &path);
    return rope_leaf_find(path.leaf, path.at_u16, &spot);
}

uint64_t rope_tree_bytes_before(const struct rope *r, uint64_t pos)
{
    if (pos == 0 || pos >= r->n_u16)
        return pos ? r->text_bytes : 0;
    struct rope_path path;
    struct rope_spot spot;
    rope_tree_find(r, pos, false, &path);
    check(rope_leaf_find(path.leaf, path.at_u16, &spot));
    uint64_t n = spot.at;
    for (uint32_t level = 0; level < r->height; level++) {
        for (uint32_t i = 0; i < path.idx[level]; i++)
            n += path.node[level]->bytes[i];
    }
    return n;
}

/* ---- counts and entries ---- */

/* Adds (or, as wrapped numbers, takes away) below `n_levels` from the root down. */
static void add_counts(const struct rope_path *path, uint32_t n_levels, uint32_t u16,
                       uint32_t bytes)
{
    for (uint32_t level = 0; level < n_levels; level++) {
        path->node[level]->u16[path->idx[level]] += u16;
        path->node[level]->bytes[path->idx[level]] += bytes;
    }
}

struct entry {
    void *child;
    uint32_t u16;
    uint32_t bytes;
};

static void open_entry(struct rope_inner *node, uint32_t i, struct entry e)
{
    uint32_t behind = node->n - i;
    memmove(&node->u16[i + 1], &node->u16[i], behind * sizeof node->u16[0]);
    memmove(&node->bytes[i + 1], &node->bytes[i], behind * sizeof node->bytes[0]);
    memmove(&node->child[i + 1], &node->child[i], behind * sizeof node->child[0]);
    node->u16[i] = e.u16;
    node->bytes[i] = e.bytes;
    node->child[i] = e.child;
    node->n++;
}

static void close_entry(struct rope_inner *node, uint32_t i)
{
    uint32_t behind = node->n - i - 1;
    memmove(&node->u16[i], &node->u16[i + 1], behind * sizeof node->u16[0]);
    memmove(&node->bytes[i], &node->bytes[i + 1], behind * sizeof node->bytes[0]);
    memmove(&node->child[i], &node->child[i + 1], behind * sizeof node->child[0]);
    node->n--;
}

/* Appends entries first.. of `from`, which loses them. */
static void move_entries(struct rope_inner *to, struct rope_inner *from, uint32_t first)
{
    uint32_t n = from->n - first;
    memcpy(&to->u16[to->n], &from->u16[first], n * sizeof to->u16[0]);
    memcpy(&to->bytes[to->n], &from->bytes[first], n * sizeof to->bytes[0]);
    memcpy(&to->child[to->n], &from->child[first], n * sizeof to->child[0]);
    to->n += n;
    from->n = first;
}

static struct entry entry_of(struct rope_inner *node)
{
    struct entry e = {node, 0, 0};
    for (uint32_t i = 0; i < node->n; i++) {
        e.u16 += node->u16[i];
        e.bytes += node->bytes[i];
    }
    return e;
}

/* ---- splitting ---- */

/* Takes the inner nodes that one more leaf beside path->leaf asks for, into `fresh`. */
static bool take_inners(struct rope *r, struct rope_spares *s, const struct rope_path *path,
                        struct rope_inner **fresh, uint32_t *n_fresh)
{
    uint32_t n = 0, level = r->height;
    while (level && path->node[level - 1]->n == ROPE_FANOUT) {
        level--;
        n++;
    }
    n += level == 0; /* up to the root: a new one above it */
    for (uint32_t i = 0; i < n; i++) {
        fresh[i] = new_inner(r, s);
        if (!fresh[i]) {
            while (i-- > 0)
                rope_give(r, fresh[i], sizeof *fresh[i]);
            return false;
        }
    }
    *n_fresh = n;
    return true;
}

/* Splits a full node for an entry at `i`; the right part goes to `fresh`. An entry at the very end
 * leaves the node full: that is how text grows that is written from front to back. */
static void split_inner(struct rope_inner *node, uint32_t i, struct entry e,
                        struct rope_inner *fresh)
{
    uint32_t keep = i == ROPE_FANOUT ? ROPE_FANOUT : (ROPE_FANOUT + 1) / 2;
    move_entries(fresh, node, keep);
    if (i <= keep && keep < ROPE_FANOUT)
        open_entry(node, i, e);
    else
        open_entry(fresh, i - keep, e);
}

/* Puts a leaf right behind path->leaf and counts it in. `fresh` is what take_inners took. */
static void add_leaf(struct rope *r, const struct rope_path *path, struct rope_leaf *leaf,
                     struct rope_inner **fresh)
{
    struct entry e = {leaf, leaf->n_u16, leaf->n_bytes};
    struct entry left = {path->leaf, path->leaf->n_u16, path->leaf->n_bytes};
    uint32_t level = r->height;
    while (level) {
        struct rope_inner *node = path->node[--level];
        uint32_t i = path->idx[level];
        node->u16[i] = left.u16;
        node->bytes[i] = left.bytes;
        if (node->n < ROPE_FANOUT) {
            open_entry(node, i + 1, e);
            add_counts(path, level, leaf->n_u16, leaf->n_bytes);
            return;
        }
        split_inner(node, i + 1, e, *fresh);
        left = entry_of(node);
        e = entry_of(*fresh++);
    }
    struct rope_inner *root = *fresh;
    open_entry(root, 0, left);
    open_entry(root, 1, e);
    r->root = root;
    r->height++;
    check_cmp(r->height, <, ROPE_HEIGHT_MAX);
}

static void replace_leaf(struct rope *r, const struct rope_path *path, struct rope_leaf *leaf)
{
    give_leaf(r, path->leaf);
    if (r->height)
        path->node[r->height - 1]->child[path->idx[r->height - 1]] = leaf;
    else
        r->root = leaf;
}

/* Moves a leaf to a block for `need` bytes; false: no memory, and it stays where it is. */
static bool refit(struct rope *r, struct rope_spares *s, struct rope_path *path, uint32_t need)
{
    struct rope_leaf *leaf = new_leaf(r, s, need);
    if (!leaf)
        return false;
    rope_leaf_copy(leaf, leaf->block_bytes, path->leaf);
    replace_leaf(r, path, leaf);
    path->leaf = leaf;
    return true;
}

/* What a leaf asks for that will grow: some more than it needs now. */
static uint32_t with_slack(uint32_t need)
{
    need += need / 8;
    return need < ROPE_LEAF_ROOM ? need : ROPE_LEAF_ROOM;
}

/*
 * Two leaves out of one: cut at `spot` if that leaves the left one half full at least, since who
 * writes there writes on, and fills it; else (or without a spot) in the middle. Where no memory was
 * laid by, the left block is cut to what it needs and `more`.
 */
static bool split_leaf(struct rope *r, struct rope_spares *s, struct rope_path *path,
                       const struct rope_spot *spot, uint32_t more)
{
    struct rope_inner *fresh[ROPE_HEIGHT_MAX + 1];
    uint32_t n_fresh;
    struct rope_leaf *leaf = path->leaf;
    struct rope_spot cut = spot && spot->at >= leaf->n_bytes / 2u ? *spot : rope_leaf_middle(leaf);
    struct rope_leaf *right = new_leaf(r, s, rope_leaf_tail_used(leaf, &cut));
    if (!right)
        return false;
    if (!take_inners(r, s, path, fresh, &n_fresh)) {
        give_leaf(r, right);
        return false;
    }
    rope_leaf_split(r, leaf, &cut, right);
    add_counts(path, r->height, -(uint32_t)right->n_u16, -(uint32_t)right->n_bytes);
    if (!s)
        (void)refit(r, NULL, path, with_slack(rope_leaf_used(leaf) + more));
    add_leaf(r, path, right, fresh);
    return true;
}

/* ---- insert ---- */

static void count_in(struct rope *r, const struct rope_path *path, uint32_t n_u16, uint32_t n_bytes)
{
    add_counts(path, r->height, n_u16, n_bytes);
    r->n_u16 += n_u16;
    r->text_bytes += n_bytes;
}

/* A leaf of its own for this text: behind path->leaf, or as the root of an empty rope. */
static enum status insert_leaf(struct rope *r, struct rope_spares *s, const struct rope_path *path,
                               struct bytes text, uint32_t n_u16, uint32_t attrs)
{
    struct rope_inner *fresh[ROPE_HEIGHT_MAX + 1];
    uint32_t n_fresh;
    uint32_t need = (uint32_t)text.n + ROPE_RUN_BYTES + ROPE_LEAF_RUNS_MORE;
    struct rope_leaf *leaf = new_leaf(r, s, need);
    if (!leaf)
        return STATUS_NO_MEMORY;
    if (path && !take_inners(r, s, path, fresh, &n_fresh)) {
        give_leaf(r, leaf);
        return STATUS_NO_MEMORY;
    }
    struct rope_spot start = {0, 0, 0, 0};
    rope_leaf_insert(r, leaf, &start, text, n_u16, attrs);
    r->n_u16 += n_u16;
    r->text_bytes += text.n;
    if (path)
        add_leaf(r, path, leaf, fresh);
    else
        r->root = leaf;
    return STATUS_OK;
}

enum status rope_tree_insert(struct rope *r, struct rope_spares *s, uint64_t pos, struct bytes text,
                             uint32_t n_u16, uint32_t attrs)
{
    if (!r->root)
        return pos ? STATUS_OP_INVALID : insert_leaf(r, s, NULL, text, n_u16, attrs);
    if (pos > r->n_u16)
        return STATUS_OP_INVALID;
    for (;;) {
        struct rope_path path;
        struct rope_spot spot;
        rope_tree_find(r, pos, false, &path);
        if (!rope_leaf_find(path.leaf, path.at_u16, &spot))
            return STATUS_OP_INVALID;
        bool is_plain = attrs == 0 && path.leaf->n_runs == 0;
        uint32_t more = (uint32_t)text.n + (is_plain ? 0 : ROPE_LEAF_RUNS_MORE);
        uint32_t need = rope_leaf_used(path.leaf) + more;
        if (rope_leaf_room(path.leaf) >= more || need <= ROPE_LEAF_ROOM) {
            if (rope_leaf_room(path.leaf) < more && !refit(r, s, &path, with_slack(need)))
                return STATUS_NO_MEMORY;
            rope_leaf_insert(r, path.leaf, &spot, text, n_u16, attrs);
            count_in(r, &path, n_u16, (uint32_t)text.n);
            return STATUS_OK;
        }
        if (spot.at == path.leaf->n_bytes)
            return insert_leaf(r, s, &path, text, n_u16, attrs);
        if (!split_leaf(r, s, &path, &spot, more))
            return STATUS_NO_MEMORY;
    }
}

/* ---- erase ---- */

/* Takes entry idx out at `level` and what that leaves empty above; its counts are 0 already. */
static void remove_entry(struct rope *r, const struct rope_path *path, uint32_t level)
{
    for (;;) {
        struct rope_inner *node = path->node[level];
        close_entry(node, path->idx[level]);
        if (node->n)
            break;
        rope_give(r, node, sizeof *node);
        if (level == 0) {
            r->root = NULL;
            r->height = 0;
            return;
        }
        level--;
    }
    while (r->height && ((struct rope_inner *)r->root)->n == 1) {
        struct rope_inner *root = r->root;
        r->root = root->child[0];
        r->height--;
        rope_give(r, root, sizeof *root);
    }
}

/* Joins node[level] with its right or left neighbour if both are small. */
static void join_inner(struct rope *r, const struct rope_path *path, uint32_t level)
{
    struct rope_inner *parent = path->node[level - 1];
    uint32_t i = path->idx[level - 1];
    if (parent->n < 2)
        return;
    i -= i + 1 == parent->n;
    struct rope_inner *a = parent->child[i], *b = parent->child[i + 1];
    if (a->n + b->n > JOINED_INNER_ITEMS)
        return;
    move_entries(a, b, 0);
    parent->u16[i] += parent->u16[i + 1];
    parent->bytes[i] += parent->bytes[i + 1];
    rope_give(r, b, sizeof *b);
    struct rope_path up = *path;
    up.idx[level - 1] = i + 1;
    remove_entry(r, &up, level - 1);
}

/* Takes entry idx out at the lowest level, and joins what gets small. */
static void remove_child(struct rope *r, const struct rope_path *path)
{
    uint32_t level = r->height - 1, height = r->height, n = path->node[level]->n;
    remove_entry(r, path, level);
    if (level && n > 1 && n <= ROPE_FANOUT / 4 && r->height == height)
        join_inner(r, path, level);
}

static void remove_leaf(struct rope *r, const struct rope_path *path)
{
    give_leaf(r, path->leaf);
    if (r->height)
        remove_child(r, path);
    else
        r->root = NULL;
}

/* After something was erased: gives memory back and joins small neighbours, if it can be done. */
static void tidy(struct rope *r, struct rope_path *path)
{
    struct rope_leaf *leaf = path->leaf;
    uint32_t used = rope_leaf_used(leaf);
    if (used + used / 2 + 64 < leaf->block_bytes)
        (void)refit(r, NULL, path, with_slack(used));
    if (r->height == 0 || used > JOINED_LEAF_BYTES / 3)
        return;
    uint32_t level = r->height - 1, i = path->idx[level];
    struct rope_inner *parent = path->node[level];
    if (parent->n < 2)
        return;
    i -= i + 1 == parent->n;
    struct rope_leaf *b = parent->child[i + 1];
    path->idx[level] = i;
    path->leaf = parent->child[i];
    uint32_t need = rope_leaf_used(path->leaf) + rope_leaf_used(b);
    if (need > JOINED_LEAF_BYTES)
        return;
    if (need + ROPE_LEAF_HEAD > path->leaf->block_bytes && !refit(r, NULL, path, with_slack(need)))
        return;
    rope_leaf_join(r, path->leaf, b);
    give_leaf(r, b);
    parent->u16[i] += parent->u16[i + 1];
    parent->bytes[i] += parent->bytes[i + 1];
    path->idx[level] = i + 1;
    remove_child(r, path);
}

/* The part of [pos, pos + n_u16) that lies in the first leaf with some of it. */
static uint32_t range_in_leaf(const struct rope *r, uint64_t pos, uint64_t n_u16,
                              struct rope_path *path, struct rope_spot *from, struct rope_spot *to)
{
    rope_tree_find(r, pos, true, path);
    uint64_t left = path->leaf->n_u16 - path->at_u16;
    uint32_t n = (uint32_t)(n_u16 < left ? n_u16 : left);
    check(rope_leaf_find(path->leaf, path->at_u16, from));
    check(rope_leaf_find(path->leaf, path->at_u16 + n, to));
    return n;
}

void rope_tree_erase(struct rope *r, uint64_t pos, uint64_t n_u16)
{
    while (n_u16) {
        struct rope_path path;
        struct rope_spot from, to;
        uint32_t n = range_in_leaf(r, pos, n_u16, &path, &from, &to);
        add_counts(&path, r->height, -n, -(to.at - from.at));
        r->n_u16 -= n;
        r->text_bytes -= to.at - from.at;
        if (n == path.leaf->n_u16) {
            rope_leaf_clear(r, path.leaf);
            remove_leaf(r, &path);
        } else {
            rope_leaf_erase(r, path.leaf, &from, &to, n);
            tidy(r, &path);
        }
        n_u16 -= n;
    }
}

/* ---- format ---- */

enum status rope_tree_format(struct rope *r, struct rope_spares *s, uint64_t pos, uint64_t n_u16,
                             rope_restyle *restyle, void *self)
{
    while (n_u16) {
        struct rope_path path;
        struct rope_spot from, to;
        uint32_t n = range_in_leaf(r, pos, n_u16, &path, &from, &to);
        uint32_t more = n == path.leaf->n_u16 ? 0 : ROPE_LEAF_RUNS_MORE;
        if (rope_leaf_room(path.leaf) < more) {
            uint32_t need = rope_leaf_used(path.leaf) + more;
            bool ok = need <= ROPE_LEAF_ROOM ? refit(r, s, &path, with_slack(need))
                                             : split_leaf(r, s, &path, NULL, more);
            if (!ok)
                return STATUS_NO_MEMORY;
            continue;
        }
        rope_leaf_format(r, path.leaf, &from, &to, restyle, self);
        pos += n;
        n_u16 -= n;
    }
    return STATUS_OK;
}

/* ---- all of it ---- */

static void clear_node(struct rope *r, void *at, uint32_t height)
{
    if (height == 0) {
        rope_leaf_clear(r, at);
        give_leaf(r, at);
        return;
    }
    struct rope_inner *node = at;
    for (uint32_t i = 0; i < node->n; i++)
        clear_node(r, node->child[i], height - 1);
    rope_give(r, node, sizeof *node);
}

void rope_tree_clear(struct rope *r)
{
    if (r->root)
        clear_node(r, r->root, r->height);
    r->root = NULL;
    r->height = 0;
    r->n_u16 = r->text_bytes = 0;
}
