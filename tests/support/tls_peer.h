/* tls_peer.h - a certificate for localhost made on the spot, for tests that speak TLS to us. */
#ifndef PENSTOCK_TESTS_TLS_PEER_H
#define PENSTOCK_TESTS_TLS_PEER_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tls_files {
    char dir[64];
    char cert[96];
    char key[96];
};

static inline bool tls_files_make(struct tls_files *f)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%.40s/tls-XXXXXX", tmp && strlen(tmp) <= 40 ? tmp : "/tmp");
    if (!mkdtemp(f->dir))
        return false;
    snprintf(f->cert, sizeof f->cert, "%s/cert.pem", f->dir);
    snprintf(f->key, sizeof f->key, "%s/key.pem", f->dir);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    bool ok = X509_sign(x, key, EVP_sha256()) > 0;
    FILE *cert = fopen(f->cert, "w"), *pem = fopen(f->key, "w");
    ok = ok && cert && pem && PEM_write_X509(cert, x) == 1 &&
         PEM_write_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (cert)
        fclose(cert);
    if (pem)
        fclose(pem);
    X509_free(x);
    EVP_PKEY_free(key);
    return ok;
}

static inline void tls_files_remove(const struct tls_files *f)
{
    unlink(f->cert);
    unlink(f->key);
    rmdir(f->dir);
}

#endif
