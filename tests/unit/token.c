/* token.h: good tokens of all four algorithms, and a table of attacks, signed here with OpenSSL. */
#include "gateway/token.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW_S      1700000000ull
#define NOW_MS     (NOW_S * 1000)
#define SECRET     "0123456789abcdef0123456789abcdef"
#define GOOD_BODY  "{\"sub\":\"ann\",\"exp\":1700000100}"
#define TEXT_BYTES 20000

/* ---- making tokens by hand ---- */

static char *base64(const void *data, size_t n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = data;
    char *out = malloc(n * 2 + 4), *o = out;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0);
        for (size_t k = 0; k < (n - i >= 3 ? 4 : n - i + 1); k++)
            *o++ = set[v >> (18 - 6 * k) & 63];
    }
    *o = 0;
    return out;
}

enum kind { HS, RS, ES, ED, RS_SMALL, ES_384, N_KINDS };
static EVP_PKEY *keys[N_KINDS];
static char dir[64];
static uint8_t buf[TOKEN_BUF_BYTES];

static size_t sign_bytes(enum kind kind, const char *text, uint8_t *sig)
{
    size_t n = 1024;
    if (kind == HS) {
        unsigned m;
        HMAC(EVP_sha256(), SECRET, 32, (const uint8_t *)text, strlen(text), sig, &m);
        return m;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cr_assert(EVP_DigestSignInit(ctx, NULL, kind == ED ? NULL : EVP_sha256(), NULL, keys[kind]) ==
              1);
    cr_assert(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(ctx);
    if (kind == ES) {
        const uint8_t *p = sig;
        ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
        BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + 32, 32);
        ECDSA_SIG_free(s);
        n = 64;
    }
    return n;
}

/* header.payload signed by `kind`'s key; the caller frees nothing: one static buffer each call. */
static const char *token(enum kind kind, const char *header, const char *body)
{
    static char out[TEXT_BYTES];
    uint8_t sig[1024];
    char *h = base64(header, strlen(header)), *b = base64(body, strlen(body));
    snprintf(out, sizeof out, "%s.%s", h, b);
    size_t n = sign_bytes(kind, out, sig);
    char *s = base64(sig, n);
    size_t at = strlen(out);
    snprintf(out + at, sizeof out - at, ".%s", s);
    free(h);
    free(b);
    free(s);
    return out;
}

static const char *const headers[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}",
                                      "{\"alg\":\"ES256\"}", "{\"alg\":\"EdDSA\"}"};

/* ---- key files ---- */

static const char *path_of(const char *name)
{
    static char path[4][128];
    static unsigned i;
    char *p = path[i++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put_file(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(path_of(name), "wb");
    cr_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static void put_pem(const char *name, EVP_PKEY *key)
{
    FILE *f = fopen(path_of(name), "wb");
    cr_assert(f && PEM_write_PUBKEY(f, key) && fclose(f) == 0);
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/penstock-token.XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    keys[RS] = EVP_RSA_gen(2048);
    keys[RS_SMALL] = EVP_RSA_gen(1024);
    keys[ES] = EVP_EC_gen("P-256");
    keys[ES_384] = EVP_EC_gen("P-384");
    keys[ED] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    put_file("a.hs256", SECRET, 32);
    put_pem("rs.pem", keys[RS]);
    put_pem("es.pem", keys[ES]);
    put_pem("ed.pem", keys[ED]);
    put_pem("small.pem", keys[RS_SMALL]);
    put_pem("p384.pem", keys[ES_384]);
}

static void teardown(void)
{
    char command[128];
    for (int i = 0; i < N_KINDS; i++)
        EVP_PKEY_free(keys[i]);
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert(system(command) == 0);
}

TestSuite(token, .init = setup, .fini = teardown);

static const struct token_policy lax = {NULL, NULL, 0};

static struct token_keys *open_keys(const char *const *names, unsigned n,
                                    const struct token_policy *policy)
{
    struct token_keys *k = NULL;
    char err[256];
    const char *paths[8];
    char full[8][128];
    for (unsigned i = 0; i < n; i++) {
        snprintf(full[i], sizeof full[i], "%s/%s", dir, names[i]);
        paths[i] = full[i];
    }
    enum status s = token_keys_open(&k, paths, n, policy, err, sizeof err);
    cr_assert(s == STATUS_OK, "%s", err);
    return k;
}

static struct token_keys *all_keys(void)
{
    const char *const names[] = {"a.hs256", "rs.pem", "es.pem", "ed.pem"};
    return open_keys(names, 4, &lax);
}

static const char *why;
static struct token_claims claims;

static bool accepts_at(const struct token_keys *k, const char *jwt, uint64_t now_ms)
{
    return token_check(k, bytes_str(jwt), now_ms, buf, sizeof buf, &claims, &why) == STATUS_OK;
}

static bool accepts(const struct token_keys *k, const char *jwt)
{
    return accepts_at(k, jwt, NOW_MS);
}

static bool accepts_body(const struct token_keys *k, const char *body)
{
    return accepts(k, token(HS, headers[HS], body));
}

/* ---- good tokens ---- */

Test(token, good_tokens_of_all_four_algorithms_pass)
{
    struct token_keys *k = all_keys();
    for (int kind = HS; kind <= ED; kind++)
        cr_assert(accepts(k, token((enum kind)kind, headers[kind], GOOD_BODY)), "%d: %s", kind,
                  why);
    cr_assert(bytes_eq(claims.identity.user, BYTES_LIT("ann")));
    cr_assert(claims.expires_unix_s == NOW_S + 100 && claims.expires_unix_ms == NOW_MS + 100000);
    token_keys_close(k);
}

Test(token, claims_come_out)
{
    struct token_keys *k = all_keys();
    cr_assert(accepts_body(k, "{\"iat\":1,\"name\":\"\\u00c4nn\",\"groups\":[\"a\",\"b c\"],"
                              "\"tenant\":\"t1\",\"exp\":1700000000.75,\"sub\":\"u/1\",\"x\":{}}"),
              "%s", why);
    cr_assert(bytes_eq(claims.identity.name, BYTES_LIT("\xc3\x84nn")));
    cr_assert(bytes_eq(claims.identity.tenant, BYTES_LIT("t1")));
    cr_assert(bytes_eq(claims.identity.user, BYTES_LIT("u/1")));
    cr_assert(claims.identity.n_groups == 2);
    struct reader r = reader_of(claims.identity.groups);
    cr_assert(bytes_eq(read_str(&r), BYTES_LIT("a")) && bytes_eq(read_str(&r), BYTES_LIT("b c")));
    cr_assert(r.ok && reader_left(&r) == 0);
    cr_assert(claims.expires_unix_s == NOW_S && claims.expires_unix_ms == NOW_MS + 750);
    cr_assert(accepts_body(k, "{\"sub\":\"a\",\"exp\":1.8e9}") &&
              claims.expires_unix_s == 1800000000);
    cr_assert(claims.identity.n_groups == 0 && claims.identity.tenant.n == 0);
    token_keys_close(k);
}

Test(token, what_token_sign_makes_is_accepted)
{
    struct token_keys *k = all_keys();
    struct bytes groups[] = {BYTES_LIT("g\"1"), BYTES_LIT("g2")};
    struct token_new t = {.sub = BYTES_LIT("bob"),
                          .name = BYTES_LIT("Bob"),
                          .tenant = BYTES_LIT("t"),
                          .groups = groups,
                          .n_groups = 2,
                          .issued_unix_s = NOW_S,
                          .expires_unix_s = NOW_S + 60};
    char out[TEXT_BYTES];
    for (int kind = HS; kind <= ED; kind++) {
        struct bytes key = BYTES_LIT(SECRET);
        BIO *bio = BIO_new(BIO_s_mem());
        if (kind != HS) {
            char *pem;
            cr_assert(PEM_write_bio_PrivateKey(bio, keys[kind], NULL, NULL, 0, NULL, NULL));
            long n = BIO_get_mem_data(bio, &pem);
            key = bytes_of(pem, (size_t)n);
        }
        cr_assert(token_sign(key, kind != HS, &t, out, sizeof out) == STATUS_OK);
        cr_assert(accepts(k, out), "%d: %s", kind, why);
        cr_assert(claims.identity.n_groups == 2 &&
                  bytes_eq(claims.identity.name, BYTES_LIT("Bob")));
        BIO_free(bio);
    }
    cr_assert(token_sign(BYTES_LIT("short"), false, &t, out, sizeof out) == STATUS_USAGE);
    cr_assert(token_sign(BYTES_LIT("no pem"), true, &t, out, sizeof out) == STATUS_USAGE);
    cr_assert(token_sign(BYTES_LIT(SECRET), false, &t, out, 20) == STATUS_NO_ROOM);
    token_keys_close(k);
}

/* ---- algorithms and keys ---- */

Test(token, none_is_refused_in_every_spelling)
{
    struct token_keys *k = all_keys();
    static const char *const names[] = {"none",  "None",   "NONE",   "nOnE",    "",
                                        "hs256", "HS256 ", "HS384",  "HS512",   "RS512",
                                        "PS256", "ES384",  "ES256K", "Ed25519", "EDDSA"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char header[64], jwt[TEXT_BYTES];
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", names[i]);
        cr_assert(!accepts(k, token(HS, header, GOOD_BODY)), "%s", header);
        char *h = base64(header, strlen(header)), *b = base64(GOOD_BODY, strlen(GOOD_BODY));
        snprintf(jwt, sizeof jwt, "%s.%s.", h, b);
        cr_assert(!accepts(k, jwt), "%s without a signature", header);
        free(h);
        free(b);
    }
    token_keys_close(k);
}

/* Every public key as an HMAC secret, and every alg name on every other kind's signature. */
Test(token, no_algorithm_works_with_another_kinds_key)
{
    static const char *const files[] = {"a.hs256", "rs.pem", "es.pem", "ed.pem"};
    for (int has = HS; has <= ED; has++) {
        struct token_keys *k = open_keys(&files[has], 1, &lax);
        for (int named = HS; named <= ED; named++)
            for (int signer = HS; signer <= ED; signer++) {
                bool good = has == named && named == signer;
                cr_assert(accepts(k, token((enum kind)signer, headers[named], GOOD_BODY)) == good,
                          "key %d alg %d signer %d", has, named, signer);
            }
        if (has != HS) {
            char pem[4096], text[TEXT_BYTES];
            FILE *f = fopen(path_of(files[has]), "rb");
            size_t n = fread(pem, 1, sizeof pem, f);
            fclose(f);
            struct token_new t = {.sub = BYTES_LIT("a"), .expires_unix_s = NOW_S + 9};
            cr_assert(token_sign(bytes_of(pem, n), false, &t, text, sizeof text) == STATUS_OK);
            cr_assert(!accepts(k, text), "the public key served as an HMAC secret");
        }
        token_keys_close(k);
    }
}

Test(token, weak_and_foreign_keys_are_refused_at_start)
{
    static const struct {
        const char *name;
        const char *text;
        const char *says;
    } files[] = {
        {"short.hs256", "0123456789abcdef0123456789abcde", "32 bytes"},
        {"empty.hs256", "", "1 byte"},
        {"text.pem", "hello", "no public key"},
        {"bad.jwks", "{\"keys\":[{\"kty\":\"RSA\"]}", "no JWKS"},
        {"none.jwks", "{\"keys\":[]}", "no key"},
        {"octet.jwks", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "32 bytes"},
        {"octet2.jwks", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"\"}]}", "32 bytes"},
        {"point.jwks",
         "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
         "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         "key"}};
    struct token_keys *k = NULL;
    char err[256];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        put_file(files[i].name, files[i].text, strlen(files[i].text));
        const char *path = path_of(files[i].name);
        cr_assert(token_keys_open(&k, &path, 1, &lax, err, sizeof err) != STATUS_OK);
        cr_assert(k == NULL && strstr(err, files[i].says), "%s says %s", files[i].name, err);
    }
    static const char *const more[] = {"small.pem", "p384.pem", "missing.pem"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        const char *path = path_of(more[i]);
        cr_assert(token_keys_open(&k, &path, 1, &lax, err, sizeof err) != STATUS_OK, "%s", more[i]);
        cr_assert(strstr(err, more[i]) && strlen(err) > strlen(path) + 10);
    }
    FILE *f = fopen(path_of("private.pem"), "wb");
    cr_assert(f && PEM_write_PrivateKey(f, keys[ES], NULL, NULL, 0, NULL, NULL));
    fclose(f);
    const char *path = path_of("private.pem");
    cr_assert(token_keys_open(&k, &path, 1, &lax, err, sizeof err) != STATUS_OK);
    cr_assert(strstr(err, "private"));
}

Test(token, a_certificate_gives_its_key)
{
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 1000);
    X509_set_pubkey(cert, keys[ES]);
    cr_assert(X509_sign(cert, keys[ES], EVP_sha256()) > 0);
    FILE *f = fopen(path_of("cert.pem"), "wb");
    cr_assert(f && PEM_write_X509(f, cert) && PEM_write_PUBKEY(f, keys[ED]));
    fclose(f);
    X509_free(cert);
    const char *name = "cert.pem";
    struct token_keys *k = open_keys(&name, 1, &lax);
    cr_assert(accepts(k, token(ES, headers[ES], GOOD_BODY)), "%s", why);
    cr_assert(accepts(k, token(ED, headers[ED], GOOD_BODY)), "the second block counts too");
    token_keys_close(k);
}

/* ---- JWKS ---- */

static char *number64(EVP_PKEY *key, const char *param, size_t n)
{
    BIGNUM *bn = NULL;
    uint8_t bytes[512];
    cr_assert(EVP_PKEY_get_bn_param(key, param, &bn));
    n = n ? n : (size_t)BN_num_bytes(bn);
    BN_bn2binpad(bn, bytes, (int)n);
    BN_free(bn);
    return base64(bytes, n);
}

static void put_jwks(const char *name)
{
    static char text[TEXT_BYTES];
    uint8_t raw[32];
    size_t n = sizeof raw;
    cr_assert(EVP_PKEY_get_raw_public_key(keys[ED], raw, &n));
    char *t[] = {base64(SECRET, 32),           number64(keys[RS], "n", 0),
                 number64(keys[RS], "e", 0),   number64(keys[ES], "qx", 32),
                 number64(keys[ES], "qy", 32), base64(raw, 32)};
    snprintf(
        text, sizeof text,
        "{\"note\":1,\"keys\":[{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"%s\"},"
        "{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\"alg\":\"RS256\",\"n\":\"%s\",\"e\":\"%"
        "s\"},"
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"key_ops\":[\"verify\"],\"x\":\"%s\",\"y\":\"%s\"},"
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\",\"x\":\"%s\"},"
        "{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AA\",\"e\":\"AA\"},"
        "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"\",\"y\":\"\"}]}",
        t[0], t[1], t[2], t[3], t[4], t[5]);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        free(t[i]);
    put_file(name, text, strlen(text));
}

Test(token, a_key_set_serves_all_kinds_and_kid_chooses_among_them)
{
    put_jwks("set.json");
    const char *name = "set.json";
    struct token_keys *k = open_keys(&name, 1, &lax);
    for (int kind = HS; kind <= ED; kind++)
        cr_assert(accepts(k, token((enum kind)kind, headers[kind], GOOD_BODY)), "%d: %s", kind,
                  why);
    cr_assert(accepts(k, token(RS, "{\"alg\":\"RS256\",\"kid\":\"r\"}", GOOD_BODY)));
    cr_assert(!accepts(k, token(RS, "{\"alg\":\"RS256\",\"kid\":\"x\"}", GOOD_BODY)));
    cr_assert(!accepts(k, token(RS, "{\"alg\":\"RS256\",\"kid\":\"h\"}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\",\"kid\":\"r\"}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\",\"kid\":7}", GOOD_BODY)));
    cr_assert(accepts(k, token(ES, "{\"alg\":\"ES256\",\"kid\":\"any\"}", GOOD_BODY)),
              "a key without kid is tried");
    token_keys_close(k);
}

/* ---- form ---- */

Test(token, crit_b64_and_foreign_key_hints_gain_nothing)
{
    struct token_keys *k = all_keys();
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\",\"crit\":[]}", GOOD_BODY)));
    cr_assert(
        !accepts(k, token(HS, "{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\",\"b64\":true}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":[\"HS256\"]}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":null}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "[\"HS256\"]", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\"} x", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD_BODY)));
    cr_assert(!accepts(k, token(HS, "{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\"}", GOOD_BODY)));
    cr_assert(accepts(k, token(HS, "{\"alg\":\"HS256\",\"typ\":7,\"cty\":\"x\"}", GOOD_BODY)));
    const char *hints = "{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1/\",\"x5u\":\"x\","
                        "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"},\"x5c\":[\"AAAA\"]}";
    cr_assert(accepts(k, token(HS, hints, GOOD_BODY)), "ignored, and the signature is ours");
    cr_assert(!accepts(k, token(ES, hints, GOOD_BODY)));
    token_keys_close(k);
}

Test(token, segments_and_base64_are_strict)
{
    struct token_keys *k = all_keys();
    char good[TEXT_BYTES], bad[TEXT_BYTES + 16];
    snprintf(good, sizeof good, "%s", token(HS, headers[HS], GOOD_BODY));
    cr_assert(accepts(k, good));
    static const char *const shapes[] = {
        "%s.", ".%s",  "%s.AA", "%s.AA.AA", "%s=",    "%s==", "%s ",
        " %s", "%s\n", "%s\t",  "%sA",      "%sAAAA", "%s%%"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(bad, sizeof bad, shapes[i], good);
#pragma GCC diagnostic pop
        cr_assert(!accepts(k, bad), "shape %zu", i);
    }
    static const char *const texts[] = {"", ".", "..", "...", "a.b.c", "e30.e30.", "e30.e30.e30"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_assert(!accepts(k, texts[i]), "%s", texts[i]);
    /* The last digit of 32 bytes has two unused bits: three other spellings of the same bytes. */
    size_t last = strlen(good) - 1;
    char c = good[last];
    unsigned passed = 0;
    for (const char *p = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="; *p;
         p++) {
        good[last] = *p;
        passed += accepts(k, good);
    }
    cr_assert(passed == 1, "%u spellings of one signature", passed);
    good[last] = c;
    *strchr(good, '.') = ' ';
    cr_assert(!accepts(k, good));
    token_keys_close(k);
}

Test(token, a_token_ends_at_its_bytes_max)
{
    struct token_keys *k = all_keys();
    static char body[TEXT_BYTES], huge[1 << 20];
    memset(body, ' ', sizeof body);
    memcpy(body, GOOD_BODY, strlen(GOOD_BODY));
    body[12000] = 0;
    cr_assert(accepts_body(k, body), "%s", why);
    cr_assert(strlen(token(HS, headers[HS], body)) < TOKEN_BYTES_MAX);
    body[12000] = ' ';
    body[12300] = 0;
    cr_assert(strlen(token(HS, headers[HS], body)) > TOKEN_BYTES_MAX && !accepts_body(k, body));
    memset(huge, 'A', sizeof huge - 1);
    huge[1000] = huge[2000] = '.';
    cr_assert(!accepts(k, huge));
    token_keys_close(k);
}

Test(token, altered_and_malformed_signatures_are_refused)
{
    struct token_keys *k = all_keys();
    for (int kind = HS; kind <= ED; kind++) {
        char jwt[TEXT_BYTES];
        snprintf(jwt, sizeof jwt, "%s", token((enum kind)kind, headers[kind], GOOD_BODY));
        char *sig = strrchr(jwt, '.') + 1;
        size_t n = strlen(sig);
        sig[n / 2] = sig[n / 2] == 'A' ? 'B' : 'A';
        cr_assert(!accepts(k, jwt), "%d altered", kind);
        memset(sig, 'A', n);
        cr_assert(!accepts(k, jwt), "%d of zeroes", kind);
        sig[n - 4] = 0;
        cr_assert(!accepts(k, jwt), "%d cut", kind);
        *sig = 0;
        cr_assert(!accepts(k, jwt), "%d without", kind);
    }
    token_keys_close(k);
}

Test(token, der_does_not_stand_in_for_r_and_s)
{
    struct token_keys *k = all_keys();
    char jwt[TEXT_BYTES];
    uint8_t der[128];
    size_t n = sizeof der;
    char *h = base64(headers[ES], strlen(headers[ES])), *b = base64(GOOD_BODY, strlen(GOOD_BODY));
    snprintf(jwt, sizeof jwt, "%s.%s", h, b);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cr_assert(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, keys[ES]) == 1);
    cr_assert(EVP_DigestSign(ctx, der, &n, (const uint8_t *)jwt, strlen(jwt)) == 1);
    EVP_MD_CTX_free(ctx);
    char *s = base64(der, n);
    size_t at = strlen(jwt);
    snprintf(jwt + at, sizeof jwt - at, ".%s", s);
    cr_assert(!accepts(k, jwt));
    free(h);
    free(b);
    free(s);
    token_keys_close(k);
}

/* ---- claims ---- */

Test(token, claims_are_judged_by_type_and_value)
{
    struct token_keys *k = all_keys();
    static const char *const bad[] = {"",
                                      "[]",
                                      "7",
                                      "{",
                                      "{}",
                                      "{\"sub\":\"a\"}",
                                      "{\"exp\":1700000100}",
                                      "{\"sub\":\"a\",\"exp\":1700000100} ,",
                                      "{\"sub\":\"\",\"exp\":1700000100}",
                                      "{\"sub\":7,\"exp\":1700000100}",
                                      "{\"sub\":null,\"exp\":1700000100}",
                                      "{\"sub\":[\"a\"],\"exp\":1700000100}",
                                      "{\"sub\":\"group:x\",\"exp\":1700000100}",
                                      "{\"sub\":\"\\u0067roup:x\",\"exp\":1700000100}",
                                      "{\"sub\":\"a\\u0000b\",\"exp\":1700000100}",
                                      "{\"sub\":\"a\\ud800\",\"exp\":1700000100}",
                                      "{\"sub\":\"a\xff\",\"exp\":1700000100}",
                                      "{\"sub\":\"a\",\"exp\":\"1700000100\"}",
                                      "{\"sub\":\"a\",\"exp\":null}",
                                      "{\"sub\":\"a\",\"exp\":true}",
                                      "{\"sub\":\"a\",\"exp\":-1}",
                                      "{\"sub\":\"a\",\"exp\":-1e300}",
                                      "{\"sub\":\"a\",\"exp\":1e308}",
                                      "{\"sub\":\"a\",\"exp\":1e309}",
                                      "{\"sub\":\"a\",\"exp\":1e16}",
                                      "{\"sub\":\"a\",\"exp\":NaN}",
                                      "{\"sub\":\"a\",\"exp\":Infinity}",
                                      "{\"sub\":\"a\",\"exp\":0}",
                                      "{\"sub\":\"a\",\"exp\":[1700000100]}",
                                      "{\"sub\":\"a\",\"sub\":\"b\",\"exp\":1700000100}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"exp\":1700000100}",
                                      "{\"sub\":\"a\",\"s\\u0075b\":\"a\",\"exp\":1700000100}",
                                      "{\"sub\":\"a\",\"x\":1,\"exp\":1700000100,\"x\":1}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"nbf\":\"1\"}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"nbf\":1700000050}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"nbf\":-1}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"name\":7}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"tenant\":null}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"groups\":\"g\"}",
                                      "{\"sub\":\"a\",\"exp\":1700000100,\"groups\":[\"g\",7]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!accepts_body(k, bad[i]), "%s", bad[i]);
    cr_assert(
        accepts_body(k, "{\"sub\":\"group\",\"exp\":1700000100,\"aud\":7,\"iss\":[],\"jti\":{}}"),
        "aud and iss are not looked at unless configured");
    token_keys_close(k);
}

static const char *body_with(const char *name, char fill, size_t n)
{
    static char body[4096];
    char text[2048];
    memset(text, fill, n);
    text[n] = 0;
    if (strcmp(name, "sub") == 0)
        snprintf(body, sizeof body, "{\"sub\":\"%s\",\"exp\":1700000100}", text);
    else
        snprintf(body, sizeof body, "{\"sub\":\"a\",\"exp\":1700000100,\"%s\":\"%s\"}", name, text);
    return body;
}

Test(token, strings_and_lists_end_at_their_limits)
{
    struct token_keys *k = all_keys();
    static const struct {
        const char *name;
        size_t max;
    } rows[] = {{"sub", 128}, {"tenant", LIMIT_TENANT_BYTES}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(accepts_body(k, body_with(rows[i].name, 'a', rows[i].max)), "%s", rows[i].name);
        cr_assert(!accepts_body(k, body_with(rows[i].name, 'a', rows[i].max + 1)));
    }
    for (unsigned n = LIMIT_GROUPS; n <= LIMIT_GROUPS + 1; n++) {
        static char body[LIMIT_GROUPS * 16 + 256];
        int at = snprintf(body, sizeof body, "{\"sub\":\"a\",\"exp\":1700000100,\"groups\":[");
        for (unsigned i = 0; i < n; i++)
            at += snprintf(body + at, sizeof body - (size_t)at, "%s\"%08u\"", i ? "," : "", i);
        snprintf(body + at, sizeof body - (size_t)at, "]}");
        cr_assert(accepts_body(k, body) == (n == LIMIT_GROUPS), "%u groups: %s", n, why);
    }
    token_keys_close(k);
}

Test(token, names_are_cut_and_groups_that_nobody_can_name_are_left_out)
{
    struct token_keys *k = all_keys();
    cr_assert(accepts_body(k, body_with("name", 'a', LIMIT_NAME_BYTES + 1)));
    cr_assert(claims.identity.name.n == LIMIT_NAME_BYTES);
    char text[2 * LIMIT_NAME_BYTES + 64];
    int n = snprintf(text, sizeof text, "{\"sub\":\"a\",\"exp\":1700000100,\"name\":\"x");
    for (unsigned i = 0; i < LIMIT_NAME_BYTES / 2; i++, n += 2)
        memcpy(text + n, "\xc3\x84", 2);
    memcpy(text + n, "\"}", 3);
    cr_assert(accepts_body(k, text), "%s", why);
    cr_assert(claims.identity.name.n == LIMIT_NAME_BYTES - 1, "cut between characters");
    snprintf(text, sizeof text,
             "{\"sub\":\"a\",\"exp\":1700000100,\"groups\":[\"\",\"%0129u\",\"%0128u\"]}", 1u, 2u);
    cr_assert(accepts_body(k, text), "%s", why);
    cr_assert(claims.identity.n_groups == 1);
    cr_assert(accepts_body(k, "{\"sub\":\"a\",\"exp\":1700000100,\"name\":null,\"groups\":null}"));
    cr_assert(claims.identity.n_groups == 0 && claims.identity.name.n == 0);
    token_keys_close(k);
}

Test(token, leeway_moves_both_ends_and_no_further)
{
    const char *name = "a.hs256";
    struct token_policy policy = {NULL, NULL, 10};
    struct token_keys *k = open_keys(&name, 1, &policy);
    char jwt[TEXT_BYTES];
    snprintf(jwt, sizeof jwt, "%s",
             token(HS, headers[HS], "{\"sub\":\"a\",\"nbf\":1700000000,\"exp\":1700000100}"));
    cr_assert(!accepts_at(k, jwt, NOW_MS - 10001) && accepts_at(k, jwt, NOW_MS - 10000));
    cr_assert(accepts_at(k, jwt, NOW_MS + 109999) && !accepts_at(k, jwt, NOW_MS + 110000));
    token_keys_close(k);
    policy.leeway_s = 3600;
    k = open_keys(&name, 1, &policy);
    cr_assert(accepts_at(k, jwt, NOW_MS + 159999) && !accepts_at(k, jwt, NOW_MS + 160000));
    token_keys_close(k);
}

Test(token, issuer_and_audience_are_required_where_configured)
{
    const char *name = "a.hs256";
    struct token_policy policy = {"https://i", "pen", 0};
    struct token_keys *k = open_keys(&name, 1, &policy);
    static const struct {
        const char *claims;
        bool good;
    } rows[] = {{"\"iss\":\"https://i\",\"aud\":\"pen\"", true},
                {"\"iss\":\"https://i\",\"aud\":[\"x\",\"pen\"]", true},
                {"\"iss\":\"https://i\"", false},
                {"\"aud\":\"pen\"", false},
                {"\"iss\":\"https://i/\",\"aud\":\"pen\"", false},
                {"\"iss\":[\"https://i\"],\"aud\":\"pen\"", false},
                {"\"iss\":\"https://i\",\"aud\":\"pencil\"", false},
                {"\"iss\":\"https://i\",\"aud\":[]", false},
                {"\"iss\":\"https://i\",\"aud\":[\"pen\",7]", false},
                {"\"iss\":\"https://i\",\"aud\":{\"pen\":1}", false},
                {"\"iss\":null,\"aud\":\"pen\"", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"sub\":\"a\",\"exp\":1700000100,%s}", rows[i].claims);
        cr_assert(accepts_body(k, body) == rows[i].good, "%s: %s", body, why);
    }
    token_keys_close(k);
}

Test(token, secrets_can_be_added_and_short_ones_not)
{
    struct token_keys *k = open_keys(NULL, 0, &lax);
    cr_assert(!accepts(k, token(HS, headers[HS], GOOD_BODY)));
    cr_assert(token_keys_add_secret(k, BYTES_LIT("")) == STATUS_USAGE);
    cr_assert(token_keys_add_secret(k, BYTES_LIT("0123456789abcdef0123456789abcde")) ==
              STATUS_USAGE);
    cr_assert(token_keys_add_secret(k, BYTES_LIT(SECRET)) == STATUS_OK);
    cr_assert(accepts(k, token(HS, headers[HS], GOOD_BODY)));
    token_keys_close(k);
}
