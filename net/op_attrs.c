/*
 * op_attrs.c - quill-delta's AttributeMap on sorted blocks; see op.h. Each walks both blocks once,
 * as a merge of two sorted lists.
 */
#include "net/op.h"

bool attr_next(struct reader *block, struct attr *a)
{
    if (block->p == block->end)
        return false;
    a->key = read_str(block);
    a->value = read_str(block);
    return block->ok;
}

bool attr_is_null(const struct attr *a)
{
    return a->value.n == 4 && memcmp(a->value.p, "null", 4) == 0;
}

uint32_t attrs_n(struct bytes attrs)
{
    struct reader r = reader_of(attrs);
    struct attr a;
    uint32_t n = 0;
    while (attr_next(&r, &a))
        n++;
    return n;
}

static void write_attr(struct writer *w, struct bytes key, struct bytes value)
{
    write_str(w, key);
    write_str(w, value);
}

/* Two blocks side by side: each step yields the smallest key left, with its pair in each. */
struct side {
    struct reader r;
    struct attr attr;
    bool has;
};

struct walk {
    struct side a;
    struct side b;
};

struct step {
    struct bytes key;
    const struct attr *a; /* NULL: not there */
    const struct attr *b;
    struct attr pair_a;
    struct attr pair_b;
};

static void side_next(struct side *s)
{
    s->has = attr_next(&s->r, &s->attr);
}

static struct walk walk_of(struct bytes a, struct bytes b)
{
    struct walk w = {.a.r = reader_of(a), .b.r = reader_of(b)};
    side_next(&w.a);
    side_next(&w.b);
    return w;
}

static bool walk_next(struct walk *w, struct step *s)
{
    if (!w->a.has && !w->b.has)
        return false;
    int order = !w->a.has ? 1 : !w->b.has ? -1 : bytes_cmp(w->a.attr.key, w->b.attr.key);
    s->a = s->b = NULL;
    if (order <= 0) {
        s->pair_a = w->a.attr;
        s->a = &s->pair_a;
        s->key = s->pair_a.key;
        side_next(&w->a);
    }
    if (order >= 0) {
        s->pair_b = w->b.attr;
        s->b = &s->pair_b;
        s->key = s->pair_b.key;
        side_next(&w->b);
    }
    return true;
}

void attrs_compose(struct bytes a, struct bytes b, bool keep_null, struct writer *w)
{
    struct walk walk = walk_of(a, b);
    struct step s;
    while (walk_next(&walk, &s)) {
        if (!s.b)
            write_attr(w, s.key, s.a->value);
        else if (keep_null || !attr_is_null(s.b))
            write_attr(w, s.key, s.b->value);
    }
}

void attrs_transform(struct bytes a, struct bytes b, bool a_has_priority, struct writer *w)
{
    if (a.n == 0 || !a_has_priority) {
        write_bytes(w, b);
        return;
    }
    struct walk walk = walk_of(a, b);
    struct step s;
    while (walk_next(&walk, &s)) {
        if (!s.a)
            write_attr(w, s.key, s.b->value);
    }
}

/* JavaScript's === on two values that were parsed apart: objects and lists are never the same. */
static bool is_same(const struct attr *a, const struct attr *b)
{
    bool is_object = a->value.n && (a->value.p[0] == '{' || a->value.p[0] == '[');
    return !is_object && bytes_eq(a->value, b->value);
}

void attrs_invert(struct bytes attrs, struct bytes base, struct writer *w)
{
    struct walk walk = walk_of(attrs, base);
    struct step s;
    while (walk_next(&walk, &s)) {
        if (s.a && !s.b)
            write_attr(w, s.key, BYTES_LIT("null"));
        else if (s.a && !is_same(s.a, s.b))
            write_attr(w, s.key, s.b->value);
    }
}

void attrs_diff(struct bytes a, struct bytes b, struct writer *w)
{
    struct walk walk = walk_of(a, b);
    struct step s;
    while (walk_next(&walk, &s)) {
        if (s.b && !(s.a && bytes_eq(s.a->value, s.b->value)))
            write_attr(w, s.key, s.b->value);
        else if (!s.b)
            write_attr(w, s.key, BYTES_LIT("null"));
    }
}
