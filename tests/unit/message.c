/* message.c - helpers of the messages between gateways and shards. */
#include "net/message.h"
#include "base/hash.h"

#include <criterion/criterion.h>

static size_t put_identity(uint8_t *buf, size_t n, size_t tenant, size_t user, size_t name,
                           unsigned n_groups, size_t group)
{
    static const uint8_t text[512] = {'x'};
    struct writer w = writer_of(buf, n), groups_w;
    uint8_t groups[(LIMIT_GROUPS + 1) * (LIMIT_GROUP_BYTES + 4)];
    groups_w = writer_of(groups, sizeof groups);
    for (unsigned i = 0; i < n_groups; i++)
        write_str(&groups_w, bytes_of(text, group));
    struct msg_identity id = {.tenant = bytes_of(text, tenant),
                              .user = bytes_of(text, user),
                              .name = bytes_of(text, name),
                              .n_groups = n_groups,
                              .groups = writer_bytes(&groups_w)};
    msg_write_identity(&w, &id);
    return w.ok ? writer_n(&w) : 0;
}

static bool reads(size_t tenant, size_t user, size_t name, unsigned n_groups, size_t group)
{
    uint8_t buf[128 << 10];
    size_t n = put_identity(buf, sizeof buf, tenant, user, name, n_groups, group);
    cr_assert_neq(n, 0);
    struct reader r = reader_of(bytes_of(buf, n));
    struct msg_identity id = msg_read_identity(&r);
    if (!r.ok) {
        cr_assert_eq(id.user.n, 0);
        return false;
    }
    cr_assert_eq(reader_left(&r), 0);
    cr_assert(id.tenant.n == tenant && id.user.n == user && id.name.n == name &&
              id.n_groups == n_groups);
    return true;
}

Test(message, an_identity_is_read_up_to_every_limit_and_refused_one_step_past_it)
{
    cr_assert(reads(0, 1, 0, 0, 1));
    cr_assert(reads(LIMIT_TENANT_BYTES, LIMIT_USER_ID_BYTES, LIMIT_NAME_BYTES, LIMIT_GROUPS,
                    LIMIT_GROUP_BYTES));
    cr_assert_not(reads(LIMIT_TENANT_BYTES + 1, 1, 0, 0, 1));
    cr_assert_not(reads(0, LIMIT_USER_ID_BYTES + 1, 0, 0, 1));
    cr_assert_not(reads(0, 0, 0, 0, 1));
    cr_assert_not(reads(0, 1, LIMIT_NAME_BYTES + 1, 0, 1));
    cr_assert_not(reads(0, 1, 0, LIMIT_GROUPS + 1, 1));
    cr_assert_not(reads(0, 1, 0, 1, LIMIT_GROUP_BYTES + 1));
    cr_assert_not(reads(0, 1, 0, 1, 0));
}

Test(message, a_cut_identity_fails_everywhere)
{
    uint8_t buf[256];
    size_t n = put_identity(buf, sizeof buf, 3, 4, 5, 2, 6);
    for (size_t cut = 0; cut < n; cut++) {
        struct reader r = reader_of(bytes_of(buf, cut));
        msg_read_identity(&r);
        cr_assert_not(r.ok, "cut at %zu", cut);
    }
}

Test(message, padding_ends_at_multiples_of_eight_on_both_sides)
{
    for (size_t n = 0; n <= 16; n++) {
        uint8_t buf[64];
        memset(buf, 0xff, sizeof buf);
        struct writer w = writer_of(buf, sizeof buf);
        for (size_t i = 0; i < n; i++)
            write_u8(&w, 1);
        msg_write_pad8(&w);
        cr_assert_eq(writer_n(&w), (n + 7) / 8 * 8);
        for (size_t i = n; i < writer_n(&w); i++)
            cr_assert_eq(buf[i], 0);
        struct reader r = reader_of(writer_bytes(&w));
        read_bytes(&r, n);
        msg_read_pad8(&r, buf);
        cr_assert(r.ok);
        cr_assert_eq(reader_left(&r), 0);
    }
}

Test(message, a_document_s_shard_is_the_hash_of_tenant_nul_and_id)
{
    static uint8_t tenant[300], id[300];
    memset(tenant, 't', sizeof tenant);
    memset(id, 'd', sizeof id);
    unsigned hits[7] = {0};
    for (size_t a = 0; a < 140; a += 3) {
        for (size_t b = 1; b < 140; b += 5) {
            uint8_t whole[640];
            memcpy(whole, tenant, a);
            whole[a] = 0;
            memcpy(whole + a + 1, id, b);
            uint32_t shard = msg_shard_of(bytes_of(tenant, a), bytes_of(id, b), 7);
            cr_assert_eq(shard, hash64(bytes_of(whole, a + 1 + b)) % 7);
            hits[shard]++;
        }
    }
    for (unsigned i = 0; i < 7; i++)
        cr_assert_gt(hits[i], 100);
    /* A stored directory depends on this value: it may never change. */
    cr_assert_eq(msg_shard_of(BYTES_LIT(""), BYTES_LIT("welcome"), 1u << 30), 672436579u);
}
