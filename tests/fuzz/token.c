/*
 * Any bytes as a token, and any bytes as the header and the claims of a token that is rightly
 * signed: whatever is accepted keeps every promise about claims.
 */
#include "gateway/token.h"

#include <openssl/hmac.h>
#include <stdlib.h>

#define INPUT_BYTES_MAX 3000u
#define NOW_MS          1700000000000ull
#define SECRET          "0123456789abcdef0123456789abcdef"
#define GOOD_HEADER     "{\"alg\":\"HS256\"}"

static struct token_keys *keys;
static uint8_t buf[TOKEN_BUF_BYTES];

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void encode(struct bytes in, struct writer *w)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < in.n; i += 3) {
        size_t n = in.n - i < 3 ? in.n - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? in.p[i + k] : 0u);
        for (size_t k = 0; k <= n; k++)
            write_u8(w, (uint8_t)set[v >> (18 - 6 * k) & 63]);
    }
}

static void check_claims(const struct token_claims *c)
{
    const struct msg_identity *id = &c->identity;
    must(id->user.n >= 1 && id->user.n <= LIMIT_USER_ID_BYTES);
    must(id->user.n < 6 || memcmp(id->user.p, "group:", 6) != 0);
    must(id->name.n <= LIMIT_NAME_BYTES && id->tenant.n <= LIMIT_TENANT_BYTES);
    must(c->expires_unix_ms > NOW_MS && c->expires_unix_ms / 1000 == c->expires_unix_s);
    struct reader r = reader_of(id->groups);
    must(id->n_groups <= LIMIT_GROUPS);
    for (uint32_t i = 0; i < id->n_groups; i++) {
        struct bytes g = read_str(&r);
        must(r.ok && g.n >= 1 && g.n <= LIMIT_GROUP_BYTES);
    }
    must(reader_left(&r) == 0);
#ifdef CANARY
    must(id->user.n != 2);
#endif
}

static bool check_token(struct bytes jwt)
{
    struct token_claims claims;
    const char *why;
    if (token_check(keys, jwt, NOW_MS, buf, sizeof buf, &claims, &why) != STATUS_OK)
        return false;
    check_claims(&claims);
    return true;
}

static void check_signed(struct bytes header, struct bytes body)
{
    static uint8_t text[2 * INPUT_BYTES_MAX];
    uint8_t mac[32];
    unsigned n;
    struct writer w = writer_of(text, sizeof text);
    encode(header, &w);
    write_u8(&w, '.');
    encode(body, &w);
    HMAC(EVP_sha256(), SECRET, 32, text, writer_n(&w), mac, &n);
    write_u8(&w, '.');
    encode(bytes_of(mac, n), &w);
    must(w.ok);
    if (!check_token(writer_bytes(&w)))
        return;
    /* The same token with any other last digit of its signature is none. */
    w.p[-1] = w.p[-1] == 'A' ? 'E' : 'A';
    must(!check_token(writer_bytes(&w)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct token_policy policy = {NULL, NULL, 0};
    char err[256];
    if (!keys) {
        must(token_keys_open(&keys, NULL, 0, &policy, err, sizeof err) == STATUS_OK);
        must(token_keys_add_secret(keys, BYTES_LIT(SECRET)) == STATUS_OK);
    }
    if (n < 1 || n > INPUT_BYTES_MAX)
        return 0;
    struct bytes in = bytes_of(data + 1, n - 1);
    if (data[0] == '0')
        must(!check_token(in)); /* nobody guesses a signature */
    else if (data[0] == '1')
        check_signed(in, BYTES_LIT("{\"sub\":\"a\",\"exp\":1700000100}"));
    else
        check_signed(BYTES_LIT(GOOD_HEADER), in);
    return 0;
}
