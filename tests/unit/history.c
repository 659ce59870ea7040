#include "sequencer/history.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define DOCS   7u
#define ROUNDS 20000u

struct kept {
    uint64_t pos;
    uint32_t n_op;
};

static struct kept kept[DOCS][ROUNDS];
static uint64_t versions[DOCS];
static uint64_t newest[DOCS];

static struct history_op make(uint64_t doc, uint64_t version, uint32_t n_op, uint8_t *buf)
{
    for (uint32_t i = 0; i < n_op; i++)
        buf[i] = (uint8_t)(doc * 41 + version * 7 + i);
    return (struct history_op){.docnum = doc + 1,
                               .version = version,
                               .unix_ms = version * 3,
                               .seq = version % 5,
                               .hash = version * 11,
                               .user = BYTES_LIT("user"),
                               .client = BYTES_LIT("client"),
                               .accepted_by = version % 2 ? BYTES_LIT("boss") : (struct bytes){0},
                               .op = bytes_of(buf, n_op)};
}

static void check_equal(const struct history_op *a, const struct history_op *b)
{
    cr_assert_eq(a->version, b->version);
    cr_assert_eq(a->unix_ms, b->unix_ms);
    cr_assert_eq(a->seq, b->seq);
    cr_assert_eq(a->hash, b->hash);
    cr_assert(bytes_eq(a->user, b->user) && bytes_eq(a->client, b->client));
    cr_assert(bytes_eq(a->accepted_by, b->accepted_by) && bytes_eq(a->op, b->op));
}

Test(history, a_walk_gives_the_newest_ops_of_one_document_as_they_were_pushed)
{
    struct history h;
    static uint8_t buf[4096];
    static uint64_t pos[ROUNDS];
    cr_assert_eq(history_open(&h, HISTORY_BYTES_MIN), STATUS_OK);
    srand(1);
    for (unsigned d = 0; d < DOCS; d++)
        newest[d] = HISTORY_NONE;
    uint64_t fewest = UINT64_MAX;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned d = (unsigned)rand() % DOCS;
        uint32_t n_op = (uint32_t)rand() % (i % 100 == 0 ? 4000 : 60);
        struct history_op op = make(d, ++versions[d], n_op, buf);
        newest[d] = history_push(&h, newest[d], &op);
        kept[d][versions[d]] = (struct kept){newest[d], n_op};
        if (i % 50)
            continue;
        uint32_t n = history_walk(&h, newest[d], d + 1, ROUNDS, pos);
        cr_assert_gt(n, 0);
        if (versions[d] > 400 && n < fewest)
            fewest = n;
        for (uint32_t k = 0; k < n; k++) {
            uint64_t v = versions[d] - k;
            struct history_op got, want = make(d, v, kept[d][v].n_op, buf);
            cr_assert(history_read(&h, pos[k], d + 1, &got));
            check_equal(&got, &want);
        }
        if (n < versions[d])
            cr_assert_not(
                history_read(&h, kept[d][versions[d] - n].pos, d + 1, &(struct history_op){0}));
    }
    cr_assert_gt(fewest, 20, "the window holds about its bytes: %lu", fewest);
    history_close(&h);
}

Test(history, what_is_too_large_ends_the_chain)
{
    struct history h;
    static uint8_t buf[HISTORY_BYTES_MIN];
    uint64_t pos[4];
    cr_assert_eq(history_open(&h, HISTORY_BYTES_MIN), STATUS_OK);
    struct history_op op = make(0, 1, 10, buf);
    uint64_t at = history_push(&h, HISTORY_NONE, &op);
    op = make(0, 2, HISTORY_BYTES_MIN / 4, buf);
    at = history_push(&h, at, &op);
    cr_assert_eq(at, HISTORY_NONE);
    op = make(0, 3, 10, buf);
    at = history_push(&h, at, &op);
    cr_assert_eq(history_walk(&h, at, 1, 4, pos), 1);
    history_close(&h);
}

Test(history, a_window_is_a_power_of_two_and_not_too_small)
{
    struct history h;
    cr_assert_eq(history_open(&h, HISTORY_BYTES_MIN / 2), STATUS_USAGE);
    cr_assert_eq(history_open(&h, HISTORY_BYTES_MIN + 8), STATUS_USAGE);
}
