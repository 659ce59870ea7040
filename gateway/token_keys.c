/* token_keys.c - loads verification keys: secrets, PEM, JWKS; see token.h. */
#include "gateway/base64.h"
#include "gateway/json.h"
#include "gateway/token_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_BYTES_MAX (1u << 20)
#define RSA_BITS_MAX       16384

const char *token_alg_name(enum token_alg alg)
{
    static const char *const names[TOKEN_ALG_N] = {[TOKEN_HS256] = "HS256",
                                                   [TOKEN_RS256] = "RS256",
                                                   [TOKEN_ES256] = "ES256",
                                                   [TOKEN_EDDSA] = "EdDSA"};
    return names[alg];
}

bool token_alg_of(EVP_PKEY *pkey, enum token_alg *alg, const char **why)
{
    char group[32];
    size_t n;
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        *alg = TOKEN_RS256;
        *why = "an RSA key needs 2048 to 16384 bits";
        return EVP_PKEY_get_bits(pkey) >= TOKEN_RSA_BITS_MIN &&
               EVP_PKEY_get_bits(pkey) <= RSA_BITS_MAX;
    case EVP_PKEY_EC:
        *alg = TOKEN_ES256;
        *why = "of elliptic curves only P-256 is known";
        return EVP_PKEY_get_group_name(pkey, group, sizeof group, &n) &&
               strcmp(group, "prime256v1") == 0;
    case EVP_PKEY_ED25519:
        *alg = TOKEN_EDDSA;
        return true;
    default:
        *why = "keys are RSA, P-256 or Ed25519";
        return false;
    }
}

/* ---- one key ---- */

static void key_free(struct token_key *key)
{
    EVP_PKEY_free(key->pkey);
    EVP_MAC_CTX_free(key->mac);
    free(key->kid);
    *key = (struct token_key){.pkey = NULL};
}

/* Takes over `key`, whatever becomes of it. */
static enum status add_key(struct token_keys *k, struct token_key *key, struct bytes kid,
                           const char **why)
{
    if (k->n == TOKEN_KEYS_MAX) {
        *why = "too many keys";
        key_free(key);
        return STATUS_USAGE;
    }
    if (kid.n) {
        key->kid = malloc(kid.n);
        if (!key->kid) {
            key_free(key);
            *why = "no memory";
            return STATUS_NO_MEMORY;
        }
        memcpy(key->kid, kid.p, kid.n);
        key->kid_bytes = kid.n;
    }
    k->keys[k->n++] = *key;
    return STATUS_OK;
}

static enum status add_secret(struct token_keys *k, struct bytes secret, struct bytes kid,
                              const char **why)
{
    struct token_key key = {.alg = TOKEN_HS256};
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    if (secret.n < TOKEN_SECRET_MIN) {
        *why = "an HS256 secret needs at least 32 bytes";
        return STATUS_USAGE;
    }
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    key.mac = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (!key.mac || EVP_MAC_init(key.mac, secret.p, secret.n, params) != 1) {
        key_free(&key);
        *why = "OpenSSL offers no HMAC";
        return STATUS_NO_MEMORY;
    }
    return add_key(k, &key, kid, why);
}

/* Takes over `pkey`. */
static enum status add_public(struct token_keys *k, EVP_PKEY *pkey, struct bytes kid,
                              const char **why)
{
    struct token_key key = {.pkey = pkey};
    *why = "no such key";
    if (!pkey)
        return STATUS_USAGE;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool sound = token_alg_of(pkey, &key.alg, why);
    if (sound && (!ctx || EVP_PKEY_public_check(ctx) != 1)) {
        *why = "the key is not a valid one";
        sound = false;
    }
    EVP_PKEY_CTX_free(ctx);
    if (!sound) {
        EVP_PKEY_free(pkey);
        return STATUS_USAGE;
    }
    return add_key(k, &key, kid, why);
}

/* ---- PEM ---- */

static EVP_PKEY *pkey_of_cert(const uint8_t *der, long n)
{
    X509 *cert = d2i_X509(NULL, &der, n);
    EVP_PKEY *pkey = cert ? X509_get_pubkey(cert) : NULL;
    X509_free(cert);
    return pkey;
}

static enum status add_pem_block(struct token_keys *k, const char *name, const uint8_t *der, long n,
                                 const char **why)
{
    if (strstr(name, "PRIVATE KEY")) {
        *why = "it holds a private key; verifying takes the public one";
        return STATUS_USAGE;
    }
    EVP_PKEY *pkey = NULL;
    if (strcmp(name, "PUBLIC KEY") == 0)
        pkey = d2i_PUBKEY(NULL, &der, n);
    else if (strcmp(name, "RSA PUBLIC KEY") == 0)
        pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, n);
    else if (strcmp(name, "CERTIFICATE") == 0)
        pkey = pkey_of_cert(der, n);
    else
        return STATUS_OK; /* EC PARAMETERS and the like */
    return add_public(k, pkey, BYTES_LIT(""), why);
}

static enum status add_pem(struct token_keys *k, struct bytes text, const char **why)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    unsigned before = k->n;
    enum status s = STATUS_OK;
    char *name, *header;
    unsigned char *der;
    long n;
    while (s == STATUS_OK && bio && PEM_read_bio(bio, &name, &header, &der, &n)) {
        s = add_pem_block(k, name, der, n, why);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    BIO_free(bio);
    if (s == STATUS_OK && k->n == before) {
        *why = "it is no public key in PEM form and no JWKS";
        s = STATUS_USAGE;
    }
    return s;
}

/* ---- JWKS (RFC 7517, 7518 section 6, 8037) ---- */

#define JWK_KTY 0
#define JWK_CRV 1
#define JWK_ALG 2
#define JWK_USE 3
#define JWK_KID 4
#define JWK_N   5
#define JWK_E   6
#define JWK_X   7
#define JWK_Y   8
#define JWK_K   9
#define JWK_ALL 10

struct jwk {
    struct bytes fields[JWK_ALL]; /* n == 0: absent */
    bool ops;                     /* key_ops is there, and has no "verify" */
};

static bool is_text(struct bytes b, const char *text)
{
    return bytes_eq(b, bytes_str(text));
}

static bool read_key_ops(struct json *j, bool *barred)
{
    struct bytes op;
    *barred = true;
    if (!json_enter(j, JSON_ARRAY))
        return false;
    while (json_element(j)) {
        if (!json_string(j, &op))
            return false;
        if (is_text(op, "verify"))
            *barred = false;
    }
    return j->ok;
}

static bool read_jwk(struct json *j, struct jwk *jwk)
{
    static const char *const names[JWK_ALL] = {"kty", "crv", "alg", "use", "kid",
                                               "n",   "e",   "x",   "y",   "k"};
    struct bytes key;
    *jwk = (struct jwk){.ops = false};
    if (!json_enter(j, JSON_OBJECT))
        return false;
    while (json_member(j, &key)) {
        unsigned i = 0;
        while (i < JWK_ALL && !is_text(key, names[i]))
            i++;
        bool fine = i < JWK_ALL               ? json_string(j, &jwk->fields[i])
                    : is_text(key, "key_ops") ? read_key_ops(j, &jwk->ops)
                                              : json_skip(j);
        if (!fine)
            return false;
    }
    return j->ok;
}

static EVP_PKEY *pkey_of_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *pkey_of_rsa(struct bytes n_bytes, struct bytes e_bytes)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *n = BN_bin2bn(n_bytes.p, (int)n_bytes.n, NULL);
    BIGNUM *e = BN_bin2bn(e_bytes.p, (int)e_bytes.n, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (n && e && bld && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
        pkey = pkey_of_params("RSA", bld);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static EVP_PKEY *pkey_of_p256(struct bytes x, struct bytes y)
{
    uint8_t point[1 + 2 * TOKEN_P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    EVP_PKEY *pkey = NULL;
    if (x.n != TOKEN_P256_BYTES || y.n != TOKEN_P256_BYTES)
        return NULL;
    memcpy(point + 1, x.p, TOKEN_P256_BYTES);
    memcpy(point + 1 + TOKEN_P256_BYTES, y.p, TOKEN_P256_BYTES);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
        pkey = pkey_of_params("EC", bld);
    OSSL_PARAM_BLD_free(bld);
    return pkey;
}

/* The alg that a JWK's kty and crv name; TOKEN_ALG_N: a kind that we have no use for. */
static enum token_alg jwk_alg(const struct jwk *jwk)
{
    struct bytes kty = jwk->fields[JWK_KTY], crv = jwk->fields[JWK_CRV];
    if (is_text(kty, "oct"))
        return TOKEN_HS256;
    if (is_text(kty, "RSA"))
        return TOKEN_RS256;
    if (is_text(kty, "EC") && is_text(crv, "P-256"))
        return TOKEN_ES256;
    return is_text(kty, "OKP") && is_text(crv, "Ed25519") ? TOKEN_EDDSA : TOKEN_ALG_N;
}

/* A set may hold keys for other uses: those are stepped over. A key of ours that is broken or weak
 * refuses the file. */
static enum status add_jwk(struct token_keys *k, const struct jwk *jwk, struct writer *w,
                           const char **why)
{
    const struct bytes *f = jwk->fields;
    enum token_alg alg = jwk_alg(jwk);
    bool other_use = f[JWK_USE].n && !is_text(f[JWK_USE], "sig");
    if (alg == TOKEN_ALG_N || other_use || jwk->ops ||
        (f[JWK_ALG].n && !is_text(f[JWK_ALG], token_alg_name(alg))))
        return STATUS_OK;
    struct bytes n, e;
    unsigned first = alg == TOKEN_HS256 ? JWK_K : alg == TOKEN_RS256 ? JWK_N : JWK_X;
    unsigned second = alg == TOKEN_RS256 ? JWK_E : JWK_Y;
    bool pair = alg == TOKEN_RS256 || alg == TOKEN_ES256;
    *why = "a JWK's numbers are not base64url";
    if (!base64_read(f[first], w, &n) || (pair && !base64_read(f[second], w, &e)))
        return STATUS_USAGE;
    if (f[JWK_KID].n > TOKEN_KID_BYTES_MAX) {
        *why = "a JWK's kid is longer than 256 bytes";
        return STATUS_USAGE;
    }
    if (alg == TOKEN_HS256)
        return add_secret(k, n, f[JWK_KID], why);
    EVP_PKEY *pkey = alg == TOKEN_RS256 ? pkey_of_rsa(n, e)
                     : alg == TOKEN_ES256
                         ? pkey_of_p256(n, e)
                         : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, n.p, n.n);
    if (!pkey)
        *why = "a JWK's numbers are no key of its kind";
    return pkey ? add_public(k, pkey, f[JWK_KID], why) : STATUS_USAGE;
}

static enum status add_jwk_list(struct token_keys *k, struct json *j, struct writer *w,
                                const char **why)
{
    struct jwk jwk;
    if (!json_enter(j, JSON_ARRAY))
        return STATUS_USAGE;
    while (json_element(j)) {
        *why = "it is no JWKS";
        if (!read_jwk(j, &jwk))
            return STATUS_USAGE;
        enum status s = add_jwk(k, &jwk, w, why);
        if (s != STATUS_OK)
            return s;
    }
    *why = "it is no JWKS";
    return j->ok ? STATUS_OK : STATUS_USAGE;
}

/* {"keys":[...]}, or one key by itself. `mem`: three times the text's length. */
static enum status add_jwks(struct token_keys *k, struct bytes text, uint8_t *mem, const char **why)
{
    struct json j;
    struct jwk jwk;
    struct bytes key;
    struct writer w = writer_of(mem + text.n, 2 * text.n);
    unsigned before = k->n;
    bool has_list = false;
    enum status s = STATUS_OK;
    *why = "it is no JWKS";
    json_init(&j, text, mem, text.n);
    struct json mark = j;
    if (!json_enter(&j, JSON_OBJECT))
        return STATUS_USAGE;
    while (s == STATUS_OK && json_member(&j, &key)) {
        if (is_text(key, "keys") && !has_list) {
            has_list = true;
            s = add_jwk_list(k, &j, &w, why);
        } else if (!json_skip(&j)) {
            s = STATUS_USAGE;
        }
    }
    if (s == STATUS_OK && !has_list)
        s = read_jwk(&mark, &jwk) ? add_jwk(k, &jwk, &w, why) : STATUS_USAGE;
    if (s == STATUS_OK && !json_end(&j))
        s = STATUS_USAGE;
    if (s == STATUS_OK && k->n == before) {
        *why = "the JWKS has no key for HS256, RS256, ES256 or EdDSA";
        s = STATUS_USAGE;
    }
    return s;
}

/* ---- files ---- */

static enum status read_file(const char *path, uint8_t **text, size_t *n, const char **why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *why = "it can't be read";
    if (fd < 0 || fstat(fd, &st) != 0)
        goto bad;
    *why = "a key file is 1 byte to 1 MiB long";
    if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > (off_t)KEY_FILE_BYTES_MAX)
        goto bad;
    /* Room behind it: a JWKS is taken apart there. */
    uint8_t *mem = malloc(4 * (size_t)st.st_size);
    *why = "no memory";
    if (!mem)
        goto bad;
    *why = "it can't be read";
    if (read(fd, mem, (size_t)st.st_size) != (ssize_t)st.st_size) {
        free(mem);
        goto bad;
    }
    close(fd);
    *text = mem;
    *n = (size_t)st.st_size;
    return STATUS_OK;
bad:
    if (fd >= 0)
        close(fd);
    return STATUS_USAGE;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

static enum status add_file(struct token_keys *k, const char *path, const char **why)
{
    uint8_t *text;
    size_t n, i = 0;
    enum status s = read_file(path, &text, &n, why);
    if (s != STATUS_OK)
        return s;
    while (i < n && (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t'))
        i++;
    if (has_suffix(path, ".hs256"))
        s = add_secret(k, bytes_of(text, n), BYTES_LIT(""), why);
    else if (i < n && text[i] == '{')
        s = add_jwks(k, bytes_of(text, n), text + n, why);
    else
        s = add_pem(k, bytes_of(text, n), why);
    OPENSSL_cleanse(text, 4 * n);
    free(text);
    ERR_clear_error(); /* this thread's TLS reads the same queue */
    return s;
}

enum status token_keys_open(struct token_keys **out, const char *const *paths, unsigned n,
                            const struct token_policy *policy, char *err, size_t err_bytes)
{
    struct token_keys *k = calloc(1, sizeof *k);
    enum status s = STATUS_OK;
    if (err_bytes)
        err[0] = 0;
    if (!k)
        return STATUS_NO_MEMORY;
    k->policy.leeway_s = policy->leeway_s > 60 ? 60 : policy->leeway_s;
    k->issuer = policy->issuer ? strdup(policy->issuer) : NULL;
    k->audience = policy->audience ? strdup(policy->audience) : NULL;
    k->policy.issuer = k->issuer;
    k->policy.audience = k->audience;
    if ((policy->issuer && !k->issuer) || (policy->audience && !k->audience))
        s = STATUS_NO_MEMORY;
    for (unsigned i = 0; s == STATUS_OK && i < n; i++) {
        const char *why = "no memory";
        s = add_file(k, paths[i], &why);
        if (s != STATUS_OK)
            snprintf(err, err_bytes, "key file %s: %s", paths[i], why);
    }
    if (s != STATUS_OK) {
        token_keys_close(k);
        return s;
    }
    *out = k;
    return STATUS_OK;
}

enum status token_keys_add_secret(struct token_keys *k, struct bytes secret)
{
    const char *why;
    return add_secret(k, secret, BYTES_LIT(""), &why);
}

void token_keys_close(struct token_keys *k)
{
    if (!k)
        return;
    for (unsigned i = 0; i < k->n; i++)
        key_free(&k->keys[i]);
    free(k->issuer);
    free(k->audience);
    free(k);
}
