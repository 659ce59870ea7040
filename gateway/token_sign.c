/* token_sign.c - makes JWTs for `penstock token` and the development sign-in; see token.h. */
#include "gateway/base64.h"
#include "gateway/json.h"
#include "gateway/token_key.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#define PAYLOAD_BYTES_MAX   (TOKEN_BYTES_MAX / 2)
#define SIGNATURE_BYTES_MAX 2048u /* RSA of 16384 bits */

static void write_claim(struct writer *w, const char *name, struct bytes value)
{
    if (value.n == 0)
        return;
    write_u8(w, ',');
    json_write_string(w, bytes_str(name));
    write_u8(w, ':');
    json_write_string(w, value);
}

static void write_payload(struct writer *w, const struct token_new *t)
{
    json_write_lit(w, "{\"sub\":");
    json_write_string(w, t->sub);
    write_claim(w, "name", t->name);
    write_claim(w, "tenant", t->tenant);
    write_claim(w, "iss", t->issuer);
    write_claim(w, "aud", t->audience);
    if (t->n_groups) {
        json_write_lit(w, ",\"groups\":[");
        for (unsigned i = 0; i < t->n_groups; i++) {
            json_write_lit(w, i ? "," : "");
            json_write_string(w, t->groups[i]);
        }
        json_write_lit(w, "]");
    }
    json_write_lit(w, ",\"iat\":");
    json_write_u64(w, t->issued_unix_s);
    json_write_lit(w, ",\"exp\":");
    json_write_u64(w, t->expires_unix_s);
    json_write_lit(w, "}");
}

/* DER to r and s side by side. */
static bool raw_p256(uint8_t *sig, size_t *n)
{
    const uint8_t *p = sig;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)*n);
    bool fine = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, TOKEN_P256_BYTES) > 0 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + TOKEN_P256_BYTES, TOKEN_P256_BYTES) > 0;
    ECDSA_SIG_free(s);
    *n = 2 * TOKEN_P256_BYTES;
    return fine;
}

static bool sign(EVP_PKEY *pkey, enum token_alg alg, struct bytes secret, struct bytes text,
                 uint8_t *sig, size_t *n)
{
    if (alg == TOKEN_HS256) {
        unsigned mac_bytes;
        if (!HMAC(EVP_sha256(), secret.p, (int)secret.n, text.p, text.n, sig, &mac_bytes))
            return false;
        *n = mac_bytes;
        return true;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = alg == TOKEN_EDDSA ? NULL : EVP_sha256();
    *n = SIGNATURE_BYTES_MAX;
    bool fine = ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, pkey) == 1 &&
                EVP_DigestSign(ctx, sig, n, text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    return fine && (alg != TOKEN_ES256 || raw_p256(sig, n));
}

/* STATUS_USAGE: not a private key of ours, or a secret that is too short. */
static enum status load(struct bytes key, bool is_pem, EVP_PKEY **pkey, enum token_alg *alg)
{
    const char *why;
    *alg = TOKEN_HS256;
    *pkey = NULL;
    if (!is_pem)
        return key.n >= TOKEN_SECRET_MIN ? STATUS_OK : STATUS_USAGE;
    BIO *bio = BIO_new_mem_buf(key.p, (int)key.n);
    *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return *pkey && token_alg_of(*pkey, alg, &why) ? STATUS_OK : STATUS_USAGE;
}

static enum status write_token(EVP_PKEY *pkey, enum token_alg alg, struct bytes secret,
                               const struct token_new *t, struct writer *w)
{
    uint8_t payload[PAYLOAD_BYTES_MAX], sig[SIGNATURE_BYTES_MAX], header[64];
    struct writer p = writer_of(payload, sizeof payload), h = writer_of(header, sizeof header);
    size_t n;
    json_write_lit(&h, "{\"alg\":");
    json_write_string(&h, bytes_str(token_alg_name(alg)));
    json_write_lit(&h, ",\"typ\":\"JWT\"}");
    write_payload(&p, t);
    base64_write(w, writer_bytes(&h));
    write_u8(w, '.');
    base64_write(w, writer_bytes(&p));
    if (!w->ok || !p.ok)
        return STATUS_NO_ROOM;
    if (!sign(pkey, alg, secret, writer_bytes(w), sig, &n))
        return STATUS_USAGE;
    write_u8(w, '.');
    base64_write(w, bytes_of(sig, n));
    write_u8(w, 0);
    return w->ok ? STATUS_OK : STATUS_NO_ROOM;
}

enum status token_sign(struct bytes key_pem_or_secret, bool is_pem, const struct token_new *t,
                       char *out, size_t out_bytes)
{
    EVP_PKEY *pkey;
    enum token_alg alg;
    struct writer w = writer_of(out, out_bytes);
    enum status s = load(key_pem_or_secret, is_pem, &pkey, &alg);
    if (s == STATUS_OK)
        s = write_token(pkey, alg, key_pem_or_secret, t, &w);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return s;
}
