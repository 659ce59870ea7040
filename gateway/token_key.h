/*
 * token_key.h - what token_keys.c, token_check.c and token_sign.c share: one verification key.
 * Private to these files.
 */
#ifndef PENSTOCK_GATEWAY_TOKEN_KEY_H
#define PENSTOCK_GATEWAY_TOKEN_KEY_H

#include "gateway/token.h"

#include <openssl/evp.h>

enum token_alg { TOKEN_HS256, TOKEN_RS256, TOKEN_ES256, TOKEN_EDDSA, TOKEN_ALG_N };

#define TOKEN_KEYS_MAX      64u
#define TOKEN_KID_BYTES_MAX 256u
#define TOKEN_SECRET_MIN    32u
#define TOKEN_RSA_BITS_MIN  2048
#define TOKEN_P256_BYTES    32u /* of r, s, x and y */
#define TOKEN_ED25519_BYTES 32u
#define TOKEN_SHA256_BYTES  32u

struct token_key {
    enum token_alg alg; /* the only one that this key verifies */
    EVP_PKEY *pkey;     /* not for HS256 */
    EVP_MAC_CTX *mac;   /* HS256: holds the key's inner and outer state; copied for each token */
    uint8_t *kid;       /* NULL: none */
    size_t kid_bytes;
};

struct token_keys {
    struct token_policy policy;
    char *issuer; /* policy's strings, owned */
    char *audience;
    unsigned n;
    struct token_key keys[TOKEN_KEYS_MAX];
};

const char *token_alg_name(enum token_alg alg);
/* The kind of an asymmetric key; false where it is none of ours or too weak, and *why says so. */
bool token_alg_of(EVP_PKEY *pkey, enum token_alg *alg, const char **why);

#endif
