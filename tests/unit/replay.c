/* The parts of `penstock replay` that can be held against something simple: the text in code
 * points, the traces, the percentiles. */
#include "base/utf.h"
#include "tools/histogram.h"
#include "tools/replay_text.h"
#include "tools/trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define N_EDITS    4000
#define POINTS_MAX 20000

/* ---- the text ---- */

/* The model: an array of characters, each as UTF-8. */
struct model {
    size_t n;
    char points[POINTS_MAX][5];
};

static struct model model;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

static void model_patch(uint64_t pos, uint64_t gone, const char *const *points, size_t n)
{
    size_t tail = model.n - pos - gone;
    memmove(model.points[pos + n], model.points[pos + gone], tail * sizeof model.points[0]);
    for (size_t i = 0; i < n; i++)
        snprintf(model.points[pos + i], sizeof model.points[0], "%s", points[i]);
    model.n = pos + n + tail;
}

static bool model_is(const struct replay_text *t)
{
    size_t n = 0, at = 0;
    uint8_t *text = replay_text_utf8(t, &n);
    bool same = utf16_units(bytes_of(text, n)) == replay_text_units(t);
    for (size_t i = 0; i < model.n && same; i++) {
        size_t m = strlen(model.points[i]);
        same = at + m <= n && memcmp(text + at, model.points[i], m) == 0;
        at += m;
    }
    free(text);
    return same && at == n;
}

Test(replay, patches_in_code_points_are_ops_in_units)
{
    static const char *const points[] = {
        "a", "\n", "\xc3\xa9", "\xe6\xbc\xa2", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    struct replay_text by_patch, by_op;
    uint64_t rng = 88172645463325252ull;
    uint8_t buf[256];
    cr_assert(replay_text_open(&by_patch, BYTES_LIT("")) == STATUS_OK);
    cr_assert(replay_text_open(&by_op, BYTES_LIT("")) == STATUS_OK);
    for (int i = 0; i < N_EDITS; i++) {
        const char *insert[4];
        char text[32] = "";
        size_t n = next_random(&rng) % 4;
        uint64_t pos = next_random(&rng) % (model.n + 1);
        uint64_t gone = next_random(&rng) % 3 ? 0 : next_random(&rng) % 4;
        gone = gone > model.n - pos ? model.n - pos : gone;
        for (size_t k = 0; k < n; k++) {
            insert[k] = points[next_random(&rng) % 6];
            strncat(text, insert[k], sizeof text - strlen(text) - 1);
        }
        struct trace_patch p = {.pos_cp = pos, .delete_cp = gone, .insert = bytes_str(text)};
        struct bytes op;
        cr_assert(replay_text_patch(&by_patch, &p, buf, sizeof buf, &op) == STATUS_OK);
        cr_assert(replay_text_apply(&by_op, op) == STATUS_OK);
        model_patch(pos, gone, insert, n);
        if (i % 50 == 0)
            cr_assert(model_is(&by_patch) && model_is(&by_op), "after edit %d", i);
    }
    cr_assert(model.n > 100 && model_is(&by_patch) && model_is(&by_op));
    replay_text_close(&by_patch);
    replay_text_close(&by_op);
}

Test(replay, what_reaches_past_the_end_is_refused)
{
    struct replay_text t;
    uint8_t buf[64];
    struct bytes op;
    cr_assert(replay_text_open(&t, BYTES_LIT("a\xf0\x9f\x98\x80")) == STATUS_OK);
    struct trace_patch p = {.pos_cp = 3, .insert = BYTES_LIT("x")};
    cr_assert(replay_text_patch(&t, &p, buf, sizeof buf, &op) == STATUS_OP_INVALID);
    p = (struct trace_patch){.pos_cp = 1, .delete_cp = 2, .insert = BYTES_LIT("")};
    cr_assert(replay_text_patch(&t, &p, buf, sizeof buf, &op) == STATUS_OP_INVALID);
    p.delete_cp = 1;
    cr_assert(replay_text_patch(&t, &p, buf, sizeof buf, &op) == STATUS_OK);
    cr_assert(replay_text_units(&t) == 1);
    struct op_writer ow;
    op_writer_init(&ow, buf, sizeof buf);
    op_push_delete(&ow, 2);
    cr_assert(op_writer_end(&ow, &op) == STATUS_OK);
    cr_assert(replay_text_apply(&t, op) == STATUS_OP_INVALID);
    replay_text_close(&t);
}

/* ---- traces ---- */

static enum status load(struct trace *t, const char *text)
{
    char path[] = "/tmp/penstock-trace.XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    enum status s = trace_open(t, path);
    unlink(path);
    return s;
}

Test(replay, a_concurrent_trace_knows_who_saw_what)
{
    struct trace t;
    cr_assert(load(&t, "{\"kind\":\"concurrent\",\"endContent\":\"e\",\"numAgents\":2,\"txns\":["
                       "{\"parents\":[],\"agent\":0,\"patches\":[[0,0,\"a\"]]},"
                       "{\"parents\":[0],\"agent\":1,\"patches\":[[1,0,\"b\"],[0,1,\"\"]]},"
                       "{\"parents\":[0],\"agent\":0,\"patches\":[[1,0,\"c\"]]},"
                       "{\"parents\":[1,2],\"agent\":1,\"patches\":[]}]}") == STATUS_OK);
    cr_assert(t.n_agents == 2 && t.n_txns == 4 && t.n_patches == 4 && t.n_of[0] == 2);
    cr_assert(t.of[1][1] == 3 && t.txns[3].seen[0] == 2 && t.txns[3].seen[1] == 1);
    cr_assert(t.txns[2].seen[0] == 1 && t.txns[2].seen[1] == 0 && t.txns[1].seen[0] == 1);
    cr_assert(t.patches[2].delete_cp == 1 && t.txns[1].n_patches == 2);
    trace_close(&t);
}

Test(replay, what_is_no_trace_is_refused)
{
    static const char *const bad[] = {
        "", "{}", "[]", "{\"endContent\":\"\",\"txns\":[{\"patches\":[[0,0]]}]}",
        "{\"endContent\":\"\",\"txns\":[{\"patches\":[[-1,0,\"a\"]]}]}",
        "{\"endContent\":\"\",\"numAgents\":2,\"txns\":[]}",
        "{\"kind\":\"concurrent\",\"endContent\":\"\",\"numAgents\":3,\"txns\":[]}",
        /* an agent that has not seen its own last edit */
        "{\"kind\":\"concurrent\",\"endContent\":\"\",\"numAgents\":2,\"txns\":["
        "{\"parents\":[],\"agent\":0,\"patches\":[]},{\"parents\":[],\"agent\":0,\"patches\":[]}]}",
        /* a parent that comes later */
        "{\"kind\":\"concurrent\",\"endContent\":\"\",\"numAgents\":1,\"txns\":["
        "{\"parents\":[1],\"agent\":0,\"patches\":[]}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct trace t;
        cr_assert(load(&t, bad[i]) != STATUS_OK, "%s", bad[i]);
    }
}

/* ---- percentiles ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

Test(replay, percentiles_are_within_one_in_a_hundred)
{
    static struct histogram h;
    static uint64_t all[20000];
    uint64_t rng = 42;
    cr_assert(histogram_at(&h, 0.5) == 0);
    for (size_t i = 0; i < 20000; i++) {
        all[i] = next_random(&rng) >> (next_random(&rng) % 53);
        histogram_add(&h, all[i]);
    }
    qsort(all, 20000, sizeof *all, compare);
    static const double parts[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        double exact = (double)all[(size_t)(parts[i] * 20000) - 1];
        double got = (double)histogram_at(&h, parts[i]);
        cr_assert(got >= exact && got <= exact * 1.01 + 1, "at %g: %g, not %g", parts[i], got,
                  exact);
    }
    cr_assert(h.max == all[19999] && histogram_at(&h, 1) == h.max);
}

Test(replay, the_largest_values_have_a_bucket)
{
    static struct histogram h;
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, 0);
    cr_assert(histogram_at(&h, 0.5) == 0 && histogram_at(&h, 1) == UINT64_MAX);
}
