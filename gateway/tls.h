/*
 * tls.h - TLS 1.2/1.3 sessions over memory: bytes from the socket in, plain bytes out, and back
 * (OpenSSL). No renegotiation, no early data. Owner: the gateway thread of the connection; the
 * context is shared, read-only. ALPN: http/1.1 where a client asks; one that knows only others is
 * refused.
 *
 * An idle session holds no record buffers: what is fed and what waits to be taken live in buffers
 * that are freed when they are empty. Bound: a peer that is fed faster than it is read is the
 * caller's to stop; what a session holds is at most what was fed and not read, and what it wrote.
 */
#ifndef PENSTOCK_GATEWAY_TLS_H
#define PENSTOCK_GATEWAY_TLS_H

#include "base/bytes.h"
#include "base/status.h"

struct tls_context;
struct tls;

enum status tls_context_open(struct tls_context **out, const char *cert_path, const char *key_path,
                             char *err, size_t err_bytes) must_use;
void tls_context_close(struct tls_context *t);

enum status tls_open(struct tls **out, struct tls_context *ctx) must_use;
void tls_close(struct tls *t);
/* Feeds ciphertext; then call tls_read until it says 0 and tls_take until it says 0.
 * STATUS_BAD_MESSAGE: broken, close after tls_take. */
enum status tls_feed(struct tls *t, struct bytes cipher) must_use;
size_t tls_read(struct tls *t, void *plain, size_t bytes); /* plaintext received */
enum status tls_write(struct tls *t, struct bytes plain) must_use;
size_t tls_take(struct tls *t, void *cipher, size_t bytes); /* ciphertext to send */
size_t tls_cipher_bytes(const struct tls *t);               /* how much of it there is */
bool tls_is_up(const struct tls *t);
/* The peer said goodbye, or the session broke (also inside tls_read): nothing more will come. */
bool tls_is_over(const struct tls *t);
/* Says goodbye; take it with tls_take. */
void tls_shutdown(struct tls *t);

/* What the WebSocket handshake hashes with (RFC 6455 4.2.2); not for secrets. Any thread; pure. */
void tls_sha1(struct bytes in, uint8_t out[20]);

#endif
