/*
 * token_check.c - verifies one JWT; see token.h.
 *
 * Order: shape, header, signature, and only then the payload: nobody's claims are read before it is
 * known who made them.
 */
#include "gateway/base64.h"
#include "gateway/json.h"
#include "gateway/token_key.h"

#include <math.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>

#define MEMBERS_MAX      128u               /* of a header or a payload */
#define NUMERIC_DATE_MAX 9007199254740991.0 /* 2^53 - 1: later is not representable exactly */
#define DER_BYTES_MAX    80u                /* of a P-256 signature: at most 72 */
#define GROUP_PREFIX     "group:"

/* As JSON a group takes three bytes besides its name, encoded at most two. */
#define GROUPS_BYTES_MAX TOKEN_BYTES_MAX
_Static_assert(LIMIT_GROUP_BYTES < 1u << 14, "two bytes say how long a group's name is");
_Static_assert(TOKEN_BUF_BYTES >= 2 * TOKEN_BYTES_MAX + GROUPS_BYTES_MAX,
               "decoded segments, unescaped strings and groups fit");

struct check {
    const struct token_keys *keys;
    struct bytes signed_text;                /* header '.' payload, as sent */
    struct bytes header, payload, signature; /* decoded */
    struct writer w;                         /* the caller's buffer */
    enum token_alg alg;
    struct bytes kid; /* empty: none */
    const char *why;
};

static bool refuse(struct check *c, const char *why)
{
    c->why = why;
    return false;
}

static bool is_text(struct bytes b, const char *text)
{
    return bytes_eq(b, bytes_str(text));
}

/* ---- shape ---- */

static bool split(struct check *c, struct bytes jwt)
{
    if (jwt.n > TOKEN_BYTES_MAX)
        return refuse(c, "too long");
    const uint8_t *end = jwt.p + jwt.n;
    const uint8_t *dot1 = jwt.n ? memchr(jwt.p, '.', jwt.n) : NULL;
    if (!dot1)
        return refuse(c, "not three segments");
    const uint8_t *dot2 = memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1));
    if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
        return refuse(c, "not three segments");
    c->signed_text = bytes_of(jwt.p, (size_t)(dot2 - jwt.p));
    if (!base64_read(bytes_of(jwt.p, (size_t)(dot1 - jwt.p)), &c->w, &c->header) ||
        !base64_read(bytes_of(dot1 + 1, (size_t)(dot2 - dot1 - 1)), &c->w, &c->payload) ||
        !base64_read(bytes_of(dot2 + 1, (size_t)(end - dot2 - 1)), &c->w, &c->signature))
        return refuse(c, "not base64url");
    return true;
}

/* ---- objects without duplicates ---- */

struct members {
    struct json j;
    uint32_t n;
    bool twice;
    struct bytes keys[MEMBERS_MAX];
};

static bool members_init(struct check *c, struct members *m, struct bytes text)
{
    json_init(&m->j, text, c->w.p, (size_t)(c->w.end - c->w.p));
    m->n = 0;
    m->twice = false;
    return json_enter(&m->j, JSON_OBJECT);
}

/* Next member; false at the end, at a failure, or at a key that was there before. */
static bool members_next(struct members *m, struct bytes *key)
{
    if (!json_member(&m->j, key))
        return false;
    for (uint32_t i = 0; i < m->n; i++)
        m->twice |= bytes_eq(m->keys[i], *key);
    if (m->twice || m->n == MEMBERS_MAX) {
        m->twice = true;
        return false;
    }
    m->keys[m->n++] = *key;
    return true;
}

/* Whether the whole text was read. The strings that came out stay in the buffer. */
static bool members_end(struct check *c, struct members *m)
{
    if (m->twice)
        return refuse(c, "duplicate or too many members");
    if (!json_end(&m->j))
        return refuse(c, "not a JSON object");
    c->w.p = m->j.scratch.p;
    return true;
}

/* ---- header ---- */

static bool read_alg(struct check *c, struct bytes name)
{
    for (unsigned a = 0; a < TOKEN_ALG_N; a++)
        if (is_text(name, token_alg_name((enum token_alg)a))) {
            c->alg = (enum token_alg)a;
            return true;
        }
    return refuse(c, "unknown alg");
}

static bool read_header(struct check *c)
{
    struct members m;
    struct bytes key, text;
    bool has_alg = false;
    if (!members_init(c, &m, c->header))
        return refuse(c, "the header is not a JSON object");
    while (members_next(&m, &key)) {
        bool alg = is_text(key, "alg"), kid = is_text(key, "kid");
        if (is_text(key, "crit") || is_text(key, "b64"))
            return refuse(c, "crit and b64 are not understood");
        if (!alg && !kid) {
            if (!json_skip(&m.j))
                break;
            continue;
        }
        if (json_peek(&m.j) != JSON_STRING || !json_string(&m.j, &text))
            return refuse(c, "alg and kid are strings");
        if (alg && !read_alg(c, text))
            return false;
        has_alg |= alg;
        if (kid)
            c->kid = text;
    }
    if (!members_end(c, &m))
        return false;
    return has_alg || refuse(c, "no alg");
}

/* ---- signature ---- */

static bool verify_hmac(const struct token_key *key, const struct check *c)
{
    uint8_t mac[TOKEN_SHA256_BYTES];
    size_t n = 0;
    if (c->signature.n != sizeof mac)
        return false;
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(key->mac);
    bool fine = ctx && EVP_MAC_update(ctx, c->signed_text.p, c->signed_text.n) == 1 &&
                EVP_MAC_final(ctx, mac, &n, sizeof mac) == 1 && n == sizeof mac &&
                CRYPTO_memcmp(mac, c->signature.p, n) == 0;
    EVP_MAC_CTX_free(ctx);
    return fine;
}

static bool verify_evp(EVP_PKEY *pkey, const EVP_MD *md, const struct check *c, const uint8_t *sig,
                       size_t n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fine = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, pkey) == 1 &&
                EVP_DigestVerify(ctx, sig, n, c->signed_text.p, c->signed_text.n) == 1;
    EVP_MD_CTX_free(ctx);
    return fine;
}

/* JWS has r and s side by side, OpenSSL wants them in DER. */
static bool verify_p256(const struct token_key *key, const struct check *c)
{
    uint8_t der[DER_BYTES_MAX], *p = der;
    if (c->signature.n != 2 * TOKEN_P256_BYTES)
        return false;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(c->signature.p, TOKEN_P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(c->signature.p + TOKEN_P256_BYTES, TOKEN_P256_BYTES, NULL);
    bool fine = sig && r && s && !BN_is_zero(r) && !BN_is_zero(s) && ECDSA_SIG_set0(sig, r, s) == 1;
    if (!fine) {
        BN_free(r);
        BN_free(s);
    }
    int n = fine ? i2d_ECDSA_SIG(sig, NULL) : 0;
    fine = n > 0 && n <= (int)sizeof der && i2d_ECDSA_SIG(sig, &p) == n &&
           verify_evp(key->pkey, EVP_sha256(), c, der, (size_t)n);
    ECDSA_SIG_free(sig);
    return fine;
}

static bool verify_with(const struct token_key *key, const struct check *c)
{
    switch (key->alg) {
    case TOKEN_HS256:
        return verify_hmac(key, c);
    case TOKEN_RS256:
        return c->signature.n == (size_t)EVP_PKEY_get_size(key->pkey) &&
               verify_evp(key->pkey, EVP_sha256(), c, c->signature.p, c->signature.n);
    case TOKEN_ES256:
        return verify_p256(key, c);
    case TOKEN_EDDSA:
        return c->signature.n == 2 * TOKEN_ED25519_BYTES &&
               verify_evp(key->pkey, NULL, c, c->signature.p, c->signature.n);
    case TOKEN_ALG_N:
    default:
        return false;
    }
}

/* Only keys of the named algorithm's kind are asked. A kid leaves out those that bear another. */
static bool verify(struct check *c)
{
    bool asked = false;
    for (unsigned i = 0; i < c->keys->n; i++) {
        const struct token_key *key = &c->keys->keys[i];
        if (key->alg != c->alg)
            continue;
        if (c->kid.n && key->kid && !bytes_eq(c->kid, bytes_of(key->kid, key->kid_bytes)))
            continue;
        asked = true;
        if (verify_with(key, c))
            return true;
    }
    return refuse(c, asked ? "bad signature" : "no key for it");
}

/* ---- claims ---- */

struct found {
    struct token_claims claims;
    bool sub, exp, iss, aud;
    double not_before;
};

static bool read_text(struct json *j, struct bytes *s, size_t bytes_max)
{
    return json_peek(j) == JSON_STRING && json_string(j, s) && s->n <= bytes_max;
}

static bool read_date(struct json *j, double *v)
{
    bool fits;
    return json_peek(j) == JSON_NUMBER && json_double(j, v, &fits) && fits && *v >= 0 &&
           *v <= NUMERIC_DATE_MAX;
}

static bool read_expiry(struct json *j, struct token_claims *claims)
{
    double v;
    if (!read_date(j, &v))
        return false;
    claims->expires_unix_s = (uint64_t)v;
    claims->expires_unix_ms = claims->expires_unix_s * 1000 + (uint64_t)((v - floor(v)) * 1000);
    return true;
}

static bool read_sub(struct json *j, struct bytes *sub)
{
    size_t prefix = sizeof GROUP_PREFIX - 1;
    return read_text(j, sub, LIMIT_USER_ID_BYTES) && sub->n > 0 &&
           !(sub->n >= prefix && memcmp(sub->p, GROUP_PREFIX, prefix) == 0);
}

/* `aud` is a string or a list of strings; *match where one is the configured one. */
static bool read_audience(struct json *j, const char *wanted, bool *match)
{
    struct bytes s;
    if (json_peek(j) == JSON_STRING) {
        *match = json_string(j, &s) && is_text(s, wanted);
        return true;
    }
    if (!json_enter(j, JSON_ARRAY))
        return false;
    while (json_element(j)) {
        if (json_peek(j) != JSON_STRING || !json_string(j, &s))
            return false;
        *match |= is_text(s, wanted);
    }
    return j->ok;
}

/* What people are called is shown, not compared: a long name is cut, between characters. */
static bool read_name(struct json *j, struct bytes *name)
{
    if (json_peek(j) == JSON_NULL)
        return json_null(j);
    if (!read_text(j, name, TOKEN_BYTES_MAX))
        return false;
    if (name->n > LIMIT_NAME_BYTES) {
        name->n = LIMIT_NAME_BYTES;
        while (name->n && (name->p[name->n] & 0xc0) == 0x80)
            name->n--;
    }
    return true;
}

/* Groups go to their own corner at the end of the buffer, since the reader unescapes in front. One
 * that no principal can name has no say here. */
static bool read_groups(struct json *j, struct msg_identity *id, struct writer *w)
{
    struct bytes s;
    if (json_peek(j) == JSON_NULL)
        return json_null(j);
    if (!json_enter(j, JSON_ARRAY))
        return false;
    while (json_element(j)) {
        if (!read_text(j, &s, TOKEN_BYTES_MAX))
            return false;
        if (s.n == 0 || s.n > LIMIT_GROUP_BYTES)
            continue;
        if (id->n_groups == LIMIT_GROUPS)
            return false;
        write_str(w, s);
        id->n_groups++;
    }
    id->groups = writer_bytes(w);
    return j->ok && w->ok;
}

static bool read_claim(struct check *c, struct json *j, struct bytes key, struct found *f,
                       struct writer *groups)
{
    const struct token_policy *policy = &c->keys->policy;
    struct msg_identity *id = &f->claims.identity;
    struct bytes s;
    if (is_text(key, "sub"))
        return (f->sub = read_sub(j, &id->user)) || refuse(c, "sub");
    if (is_text(key, "exp"))
        return (f->exp = read_expiry(j, &f->claims)) || refuse(c, "exp");
    if (is_text(key, "nbf"))
        return read_date(j, &f->not_before) || refuse(c, "nbf");
    if (is_text(key, "name"))
        return read_name(j, &id->name) || refuse(c, "name");
    if (is_text(key, "tenant"))
        return read_text(j, &id->tenant, LIMIT_TENANT_BYTES) || refuse(c, "tenant");
    if (is_text(key, "groups"))
        return read_groups(j, id, groups) || refuse(c, "groups");
    if (is_text(key, "aud") && policy->audience)
        return (read_audience(j, policy->audience, &f->aud) && f->aud) || refuse(c, "aud");
    if (is_text(key, "iss") && policy->issuer) {
        f->iss = json_peek(j) == JSON_STRING && json_string(j, &s) && is_text(s, policy->issuer);
        return f->iss || refuse(c, "iss");
    }
    return json_skip(j) || refuse(c, "the claims are not a JSON object");
}

static bool read_claims(struct check *c, struct found *f)
{
    struct members m;
    struct bytes key;
    size_t corner = GROUPS_BYTES_MAX;
    struct writer groups = writer_of(c->w.end - corner, corner);
    c->w.end -= corner;
    *f = (struct found){.claims = {.identity = {.groups = {groups.start, 0}}}};
    if (!members_init(c, &m, c->payload))
        return refuse(c, "the claims are not a JSON object");
    while (members_next(&m, &key))
        if (!read_claim(c, &m.j, key, f, &groups))
            return false;
    return members_end(c, &m);
}

static bool judge(struct check *c, const struct found *f, uint64_t now_unix_ms)
{
    const struct token_policy *policy = &c->keys->policy;
    uint64_t leeway_ms = (uint64_t)policy->leeway_s * 1000;
    if (!f->sub || !f->exp)
        return refuse(c, "sub and exp are required");
    if ((policy->issuer && !f->iss) || (policy->audience && !f->aud))
        return refuse(c, "iss or aud is missing");
    if (now_unix_ms >= f->claims.expires_unix_ms + leeway_ms)
        return refuse(c, "expired");
    if ((double)(now_unix_ms + leeway_ms) < f->not_before * 1000)
        return refuse(c, "not valid yet");
    return true;
}

enum status token_check(const struct token_keys *k, struct bytes jwt, uint64_t now_unix_ms,
                        void *buf, size_t buf_bytes, struct token_claims *claims, const char **why)
{
    struct check c = {.keys = k, .w = writer_of(buf, buf_bytes), .kid = BYTES_LIT("")};
    struct found f;
    if (buf_bytes < TOKEN_BUF_BYTES) {
        *why = "buffer too small";
        return STATUS_UNAUTHORIZED;
    }
    bool fine = split(&c, jwt) && read_header(&c) && verify(&c) && read_claims(&c, &f) &&
                judge(&c, &f, now_unix_ms);
    ERR_clear_error(); /* this thread's TLS reads the same queue */
    *why = c.why ? c.why : "";
    if (!fine)
        return STATUS_UNAUTHORIZED;
    *claims = f.claims;
    return STATUS_OK;
}
