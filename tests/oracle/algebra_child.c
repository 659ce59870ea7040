/*
 * algebra_child.c - our algebra for a driver in another language: a question a line on standard
 * input, its answer a line on standard output. Ops and attribute blocks go in hex, `-` is the empty
 * one; a refusal is answered with `!` and the name of the status.
 *
 *     T a b priority   op_transform            C a b   op_compose
 *     P a pos priority op_transform_position   N a     a in normal form, by way of the writer
 *     V f a b flag     attribute blocks, f = c(ompose) t(ransform) i(nvert) d(iff)
 *     L content        a rope with that content; A op: applies it. Both answer with the content.
 *
 * Buffers are as small as the bounds in the headers allow, so that a sanitizer sees what passes
 * them.
 */
#include "sequencer/rope.h"
#include "sequencer/transform.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 5

static struct pool pool;
static struct rope rope;
static const struct rope_limits limits = {1u << 30, 1u << 30};

static unsigned digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* A copy of its own in memory of exactly its size. */
static struct bytes from_hex(const char *word)
{
    size_t n = word[0] == '-' ? 0 : strlen(word) / 2;
    uint8_t *p = malloc(n ? n : 1);
    if (!p)
        abort();
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(digit(word[2 * i]) << 4 | digit(word[2 * i + 1]));
    return bytes_of(p, n);
}

static void give(struct bytes b)
{
    free((void *)(uintptr_t)b.p);
}

static void answer(enum status s, struct bytes b)
{
    static const char hex[] = "0123456789abcdef";
    if (s) {
        printf("!%s\n", status_name(s));
        return;
    }
    if (b.n == 0)
        putchar('-');
    for (size_t i = 0; i < b.n; i++) {
        putchar(hex[b.p[i] >> 4]);
        putchar(hex[b.p[i] & 15]);
    }
    putchar('\n');
}

static void *buffer(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        abort();
    return p;
}

static void do_transform(char **w)
{
    struct bytes a = from_hex(w[1]), b = from_hex(w[2]), out = {NULL, 0};
    size_t n = transform_bytes_max(a, b);
    void *buf = buffer(n);
    enum status s = op_transform(a, b, w[3][0] == '1', buf, n, &out);
    /* The tail of `b` is kept until the sequencer has looked (net/op.h); quill-delta chops it. */
    if (s == STATUS_OK && op_chop(b).n < b.n)
        out = op_chop(out);
    answer(s, out);
    free(buf);
    give(a);
    give(b);
}

static void do_compose(char **w)
{
    struct bytes a = from_hex(w[1]), b = from_hex(w[2]), out = {NULL, 0};
    size_t n = compose_bytes_max(a, b);
    void *buf = buffer(n);
    enum status s = op_compose(a, b, buf, n, &out);
    answer(s, out);
    free(buf);
    give(a);
    give(b);
}

static void do_position(char **w)
{
    struct bytes a = from_hex(w[1]);
    uint64_t pos = strtoull(w[2], NULL, 10);
    printf("%" PRIu64 "\n", op_transform_position(a, pos, w[3][0] == '1'));
    give(a);
}

static void do_normal(char **w)
{
    struct bytes a = from_hex(w[1]), out = {NULL, 0};
    void *buf = buffer(a.n);
    struct op_reader r = op_reader_of(a);
    struct op_part part;
    struct op_writer ow;
    op_writer_init(&ow, buf, a.n); /* never longer than what is put in */
    while (op_next(&r, &part))
        op_push(&ow, &part);
    enum status s = op_writer_end(&ow, &out);
    answer(r.r.ok ? s : STATUS_OP_INVALID, out);
    free(buf);
    give(a);
}

static void do_attrs(char **w)
{
    struct bytes a = from_hex(w[2]), b = from_hex(w[3]);
    bool flag = w[4][0] == '1';
    size_t n = 2 * (a.n + b.n) + 64;
    void *buf = buffer(n);
    struct writer out = writer_of(buf, n);
    switch (w[1][0]) {
    case 'c':
        attrs_compose(a, b, flag, &out);
        break;
    case 't':
        attrs_transform(a, b, flag, &out);
        break;
    case 'i':
        attrs_invert(a, b, &out);
        break;
    default:
        attrs_diff(a, b, &out);
        break;
    }
    answer(out.ok ? STATUS_OK : STATUS_NO_ROOM, writer_bytes(&out));
    free(buf);
    give(a);
    give(b);
}

static void answer_content(enum status s)
{
    struct bytes content = {NULL, 0};
    void *buf = buffer(rope.n_bytes);
    rope_check(&rope);
    if (s == STATUS_OK)
        s = rope_emit(&rope, buf, rope.n_bytes, &content);
    answer(s, content);
    free(buf);
}

static void do_rope(char **w)
{
    struct bytes op = from_hex(w[1]);
    enum status s;
    if (w[0][0] == 'L') {
        rope_fini(&rope);
        s = rope_load(&rope, op, &limits);
    } else {
        s = rope_apply(&rope, op, &limits);
    }
    answer_content(s);
    give(op);
}

static void do_line(char *line)
{
    static char empty[] = "-";
    char *words[WORDS_MAX] = {empty, empty, empty, empty, empty};
    char *save = NULL, *word = strtok_r(line, " \n", &save);
    for (int i = 0; word && i < WORDS_MAX; i++, word = strtok_r(NULL, " \n", &save))
        words[i] = word;
    switch (words[0][0]) {
    case 'T':
        do_transform(words);
        break;
    case 'C':
        do_compose(words);
        break;
    case 'P':
        do_position(words);
        break;
    case 'N':
        do_normal(words);
        break;
    case 'V':
        do_attrs(words);
        break;
    case 'L':
    case 'A':
        do_rope(words);
        break;
    default:
        puts("!unknown");
        break;
    }
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    if (pool_init(&pool, 256u << 20))
        return 1;
    rope_init(&rope, &pool);
    while (getline(&line, &room, stdin) > 0)
        do_line(line);
    rope_fini(&rope);
    pool_fini(&pool);
    free(line);
    return 0;
}
