/*
 * token.h - JWTs: keys, verification, signing (RFC 7515, 7519, 8725; protocol section 4).
 *
 * Algorithms are those that the configured keys name: an HS256 secret accepts HS256 alone, an RSA
 * key RS256 alone, a P-256 key ES256, an Ed25519 key EdDSA; JWKS entries say kty/crv (and alg, use,
 * kid, which then must match). `alg` in the token only selects among them. jku, x5u, jwk, x5c are
 * ignored; an unknown `crit` is refused. Claims are judged by type and value; duplicates refuse the
 * token.
 *
 * token_keys: loaded at start by one thread, then read-only. token_check: any thread (one scratch
 * each); no logging of tokens or secrets. This pair, tls and seal are the only files that include
 * OpenSSL.
 */
#ifndef PENSTOCK_GATEWAY_TOKEN_H
#define PENSTOCK_GATEWAY_TOKEN_H

#include "net/message.h"

struct token_keys;

struct token_policy {
    const char *issuer;   /* NULL: not compared */
    const char *audience; /* NULL: not compared */
    uint32_t leeway_s;    /* at most 60 */
};

/*
 * `paths`: NAME.hs256 (raw bytes, at least 32), PEM public keys (also certificates; all blocks of
 * the file), JWKS (JSON: a set or one key; keys of other kinds and uses in it are stepped over).
 * RSA needs 2048 bits. On failure one line for the operator in err (never key material).
 */
enum status token_keys_open(struct token_keys **out, const char *const *paths, unsigned n,
                            const struct token_policy *policy, char *err,
                            size_t err_bytes) must_use;
enum status token_keys_add_secret(struct token_keys *k, struct bytes secret) must_use;
void token_keys_close(struct token_keys *k);

struct token_claims {
    struct msg_identity identity; /* slices of the caller's buffer */
    uint64_t expires_unix_s;      /* exp, fractions cut; the token ends at exp + leeway */
    uint64_t expires_unix_ms;
};

/*
 * Verifies one token at `now`. A `kid` in the token leaves out keys that bear another one; keys
 * without one, and tokens without one, are tried. STATUS_UNAUTHORIZED for every reason, and *why a
 * short text for logs (static, no secrets). `buf` of TOKEN_BUF_BYTES holds the claims' strings.
 */
enum status token_check(const struct token_keys *k, struct bytes jwt, uint64_t now_unix_ms,
                        void *buf, size_t buf_bytes, struct token_claims *claims,
                        const char **why) must_use;
#define TOKEN_BYTES_MAX (16u << 10)
#define TOKEN_BUF_BYTES (4u * TOKEN_BYTES_MAX)

/* A token with these claims (empty ones are left out), for `penstock token` and --dev. */
struct token_new {
    struct bytes sub, name, tenant;
    const struct bytes *groups;
    unsigned n_groups;
    uint64_t issued_unix_s, expires_unix_s;
    struct bytes issuer, audience;
};
/* `key_pem_or_secret`: raw HS256 secret (at least 32 bytes), or a PEM private key (RSA, P-256,
 * Ed25519: alg follows). `out` ends with a NUL. STATUS_USAGE: no such key; STATUS_NO_ROOM. */
enum status token_sign(struct bytes key_pem_or_secret, bool is_pem, const struct token_new *t,
                       char *out, size_t out_bytes) must_use;

#endif
