/*
 * conn_tls.c - a connection's TLS layer: ciphertext in, plain bytes up; plain slices down,
 * encrypted only as the socket takes them, so that what waits can still be dropped; see conn.h.
 */
#include "gateway/conn_inside.h"

#include <stdlib.h>

#define CIPHER_QUEUED_MAX (64u << 10) /* encrypted ahead of the socket */
#define PIECES_MAX        64u

bool conn_tls_open(struct conn *c)
{
    struct conn_tls *t = calloc(1, sizeof *t);
    if (!t)
        return false;
    if (tls_open(&t->tls, c->cs->options.tls) != STATUS_OK) {
        free(t);
        return false;
    }
    c->tls = t;
    return true;
}

void conn_tls_close(struct conn *c)
{
    if (!c->tls)
        return;
    for (struct conn **at = &c->cs->pump; c->is_pumped && *at; at = &(*at)->next_pump)
        if (*at == c) {
            *at = c->next_pump;
            c->is_pumped = false;
            break;
        }
    slab_queue_clear(loop_slabs(c->cs->loop), &c->tls->plain);
    tls_close(c->tls->tls);
    free(c->tls);
    c->tls = NULL;
}

void conn_tls_want_pump(struct conn *c)
{
    if (c->is_pumped)
        return;
    c->is_pumped = true;
    c->next_pump = c->cs->pump;
    c->cs->pump = c;
}

/* Whatever OpenSSL has for the peer goes to the socket. */
static bool take_cipher(struct conn *c)
{
    struct loop *l = c->cs->loop;
    struct slab *slab;
    uint32_t offset;
    size_t n = tls_cipher_bytes(c->tls->tls);
    if (n == 0)
        return true;
    uint8_t *p = slab_reserve(l, n, &slab);
    if (!p)
        return false;
    tls_take(c->tls->tls, p, n);
    slab_commit(l, slab, n, &offset);
    return sock_send(l, c->sock, slab, offset, (uint32_t)n);
}

/* Up to a record's worth of what waits, as one piece of plain text. */
static bool write_piece(struct conn *c)
{
    struct conn_tls *t = c->tls;
    struct conns *cs = c->cs;
    struct iovec iov[PIECES_MAX];
    struct bytes piece;
    unsigned k = slab_queue_gather(&t->plain, iov, PIECES_MAX, CONN_TLS_PIECE_BYTES);
    if (k == 1) {
        piece = bytes_of(iov[0].iov_base, iov[0].iov_len);
    } else {
        size_t n = 0;
        for (unsigned i = 0; i < k; i++) {
            memcpy(cs->scratch + n, iov[i].iov_base, iov[i].iov_len);
            n += iov[i].iov_len;
        }
        piece = bytes_of(cs->scratch, n);
    }
    bool ok = tls_write(t->tls, piece) == STATUS_OK;
    slab_queue_sent(loop_slabs(cs->loop), &t->plain, piece.n);
    return ok;
}

static void pump(struct conn *c)
{
    struct conn_tls *t = c->tls;
    bool ok = true;
    while (ok && tls_is_up(t->tls) && t->plain.n_slices &&
           sock_queued_bytes(c->sock) < CIPHER_QUEUED_MAX)
        ok = write_piece(c) && take_cipher(c);
    if (ok && c->state == CONN_ENDING && (!t->plain.n_slices || !tls_is_up(t->tls))) {
        tls_shutdown(t->tls);
        ok = take_cipher(c);
        conn_wait_for(c, WAIT_NONE); /* the loop bounds the rest */
        sock_finish(c->cs->loop, c->sock);
    }
    if (!ok)
        conn_cut(c);
}

void conn_tls_pump_all(struct conns *cs)
{
    while (cs->pump) {
        struct conn *c = cs->pump;
        cs->pump = c->next_pump;
        c->is_pumped = false;
        pump(c);
    }
}

void conn_tls_bytes(struct conn *c, struct bytes cipher)
{
    struct tls *t = c->tls->tls;
    bool was_up = tls_is_up(t);
    bool ok = tls_feed(t, cipher) == STATUS_OK;
    while (ok && c->state != CONN_ENDING) {
        /* a buffer of its own: handlers below may encrypt, which uses the scratch */
        uint8_t plain[CONN_TLS_PIECE_BYTES];
        size_t n = tls_read(t, plain, sizeof plain);
        if (n == 0)
            break;
        conn_take_input(c, plain, n);
    }
    if (!take_cipher(c)) /* the handshake's answers, alerts */
        conn_cut(c);
    if (tls_is_over(t)) {
        c->has_ended = true;
        if (c->state != CONN_WAIT)
            conn_end(c);
    }
    if (!was_up && c->tls->plain.n_slices)
        conn_tls_want_pump(c);
}
