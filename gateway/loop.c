/* loop.c - sockets over io_uring: what each completion means and what is submitted; see loop.h. */
#include "gateway/loop_ring.h"

#include "base/clock.h"
#include "base/say.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>

#define POLL_CQES_MAX     2048u
#define FLUSH_SOCKS_MAX   (LOOP_CQ_ENTRIES / 2)
#define SEND_BYTES_MAX    (256u << 10) /* of one send */
#define ACCEPT_BACKOFF_NS (100 * NS_PER_MS)

/* ---- small things ---- */

static struct io_uring_sqe *sqe_take(struct loop *l)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);
    if (!sqe) {
        io_uring_submit(&l->ring);
        l->n_messages = 0;
        sqe = io_uring_get_sqe(&l->ring);
        check(sqe != NULL);
    }
    return sqe;
}

static void sqe_tag(struct io_uring_sqe *sqe, enum loop_op op, uint32_t idx)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)idx << 8 | op);
}

/* Points an operation at the socket, by either kind of descriptor. */
static void sqe_aim(const struct loop *l, struct io_uring_sqe *sqe, enum loop_op op, struct sock *s)
{
    if (l->direct)
        sqe->flags |= IOSQE_FIXED_FILE;
    sqe_tag(sqe, op, s->idx);
    s->n_inflight++;
}

static void touch(struct loop *l, struct sock *s)
{
    if (s->is_dirty)
        return;
    s->is_dirty = true;
    s->next_dirty = NULL;
    *(l->dirty ? &l->dirty_last->next_dirty : &l->dirty) = s;
    l->dirty_last = s;
}

static void linger_remove(struct loop *l, struct sock *s)
{
    if (!s->is_lingering)
        return;
    s->is_lingering = false;
    *(s->linger_prev ? &s->linger_prev->linger_next : &l->linger_first) = s->linger_next;
    *(s->linger_next ? &s->linger_next->linger_prev : &l->linger_last) = s->linger_prev;
}

/* All wait equally long, so the list is in the order of deadlines. */
static void linger_append(struct loop *l, struct sock *s)
{
    linger_remove(l, s);
    s->is_lingering = true;
    s->linger_deadline_ns = clock_mono_ns() + LOOP_LINGER_NS;
    s->linger_bytes = s->out.bytes;
    s->linger_next = NULL;
    s->linger_prev = l->linger_last;
    *(l->linger_last ? &l->linger_last->linger_next : &l->linger_first) = s;
    l->linger_last = s;
}

static void start_closing(struct loop *l, struct sock *s)
{
    if (s->state >= SOCK_CLOSING)
        return;
    s->state = SOCK_CLOSING;
    linger_remove(l, s);
    touch(l, s);
}

/* ---- submitting ---- */

static void submit_send(struct loop *l, struct sock *s)
{
    if (l->n_messages == LOOP_MESSAGES) { /* all are in use until the kernel has read them */
        io_uring_submit(&l->ring);
        l->n_messages = 0;
    }
    struct io_uring_sqe *sqe = sqe_take(l);
    struct loop_message *m = &l->messages[l->n_messages];
    unsigned n = slab_queue_gather(&s->out, m->iov, LOOP_IOVECS, SEND_BYTES_MAX);
    int flags = MSG_NOSIGNAL; /* a short send completes: it shows that the peer reads */
    if (n == 1) {
        io_uring_prep_send(sqe, (int)s->fd, m->iov[0].iov_base, m->iov[0].iov_len, flags);
    } else {
        l->n_messages++;
        memset(&m->head, 0, sizeof m->head);
        m->head.msg_iov = m->iov;
        m->head.msg_iovlen = n;
        io_uring_prep_sendmsg(sqe, (int)s->fd, &m->head, (unsigned)flags);
    }
    sqe_aim(l, sqe, OP_SEND, s);
    s->is_sending = true;
}

static void submit_recv(struct loop *l, struct sock *s)
{
    struct io_uring_sqe *sqe = sqe_take(l);
    io_uring_prep_recv_multishot(sqe, (int)s->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = LOOP_BUFFER_GROUP;
    sqe_aim(l, sqe, OP_RECV, s);
    s->is_receiving = true;
}

static void submit_cancel_recv(struct loop *l, struct sock *s)
{
    struct io_uring_sqe *sqe = sqe_take(l);
    io_uring_prep_cancel64(sqe, (uint64_t)s->idx << 8 | OP_RECV, 0);
    sqe_tag(sqe, OP_CANCEL, s->idx);
    s->n_inflight++;
    s->is_cancelling = true;
}

static void submit_shutdown(struct loop *l, struct sock *s, int how)
{
    struct io_uring_sqe *sqe = sqe_take(l);
    io_uring_prep_shutdown(sqe, (int)s->fd, how);
    sqe_aim(l, sqe, OP_SHUTDOWN, s);
    if (how == SHUT_RDWR)
        s->is_shut = true;
}

static void submit_close(struct loop *l, struct sock *s)
{
    struct io_uring_sqe *sqe = sqe_take(l);
    if (l->direct)
        io_uring_prep_close_direct(sqe, s->fd);
    else
        io_uring_prep_close(sqe, (int)s->fd);
    sqe_tag(sqe, OP_CLOSE, s->idx);
    s->n_inflight++;
    s->state = SOCK_CLOSED;
}

/* Whatever the socket's state asks of the kernel next. */
static void advance(struct loop *l, struct sock *s)
{
    if (s->state == SOCK_OPEN || s->state == SOCK_FINISHING) {
        if (s->out.n_slices && !s->is_sending)
            submit_send(l, s);
        if (s->state == SOCK_FINISHING && !s->out.n_slices) {
            if (s->has_ended) {
                start_closing(l, s);
            } else {
                s->state = SOCK_LINGERING;
                submit_shutdown(l, s, SHUT_WR);
                linger_append(l, s);
            }
        }
    }
    if (s->state <= SOCK_LINGERING && !s->has_ended) {
        bool wanted = !s->is_paused || s->state != SOCK_OPEN;
        if (wanted && !s->is_receiving)
            submit_recv(l, s);
        else if (!wanted && s->is_receiving && !s->is_cancelling)
            submit_cancel_recv(l, s);
    }
    if (s->state == SOCK_CLOSING) {
        if (s->n_inflight == 0)
            submit_close(l, s);
        else if (!s->is_shut)
            submit_shutdown(l, s, SHUT_RDWR);
    }
}

static struct sock *slot_take(struct loop *l)
{
    if (l->free_idx != UINT32_MAX) {
        struct sock *s = &l->socks[l->free_idx];
        l->free_idx = s->next_free;
        return s;
    }
    if (l->n_fresh == l->sockets_max)
        return NULL;
    struct sock *s = &l->socks[l->n_fresh];
    s->idx = l->n_fresh++;
    return s;
}

static void slot_give(struct loop *l, struct sock *s)
{
    uint32_t idx = s->idx;
    memset(s, 0, sizeof *s);
    s->idx = idx;
    s->next_free = l->free_idx;
    l->free_idx = idx;
}

static void submit_accepts(struct loop *l)
{
    for (unsigned i = 0; i < LOOP_ACCEPTS && l->n_accepts < LOOP_ACCEPTS; i++) {
        struct loop_accept *a = &l->accepts[i];
        if (a->is_armed)
            continue;
        struct sock *s = slot_take(l);
        if (!s)
            return;
        struct io_uring_sqe *sqe = sqe_take(l);
        a->sock_idx = s->idx;
        a->peer_bytes = sizeof a->peer;
        if (l->direct)
            io_uring_prep_accept_direct(sqe, l->listen_fd, &a->peer.any, &a->peer_bytes, 0, s->idx);
        else
            io_uring_prep_accept(sqe, l->listen_fd, &a->peer.any, &a->peer_bytes, SOCK_CLOEXEC);
        sqe_tag(sqe, OP_ACCEPT, i);
        a->is_armed = true;
        l->n_accepts++;
    }
}

static void submit_event_poll(struct loop *l)
{
    struct io_uring_sqe *sqe = sqe_take(l);
    io_uring_prep_poll_multishot(sqe, l->event_fd, POLLIN);
    sqe_tag(sqe, OP_EVENT, 0);
    l->event_armed = true;
}

/* What is queued becomes submissions: of so many sockets that their completions have room. */
static void flush(struct loop *l)
{
    if (l->options.handler.on_flush)
        l->options.handler.on_flush(l->options.handler.self);
    for (unsigned n = 0; l->dirty && n < FLUSH_SOCKS_MAX; n++) {
        struct sock *s = l->dirty;
        l->dirty = s->next_dirty;
        s->is_dirty = false;
        advance(l, s);
    }
    if (l->is_accepting && !l->accept_after_ns && l->n_accepts < LOOP_ACCEPTS)
        submit_accepts(l);
    if (l->event_fd >= 0 && !l->event_armed)
        submit_event_poll(l);
}

/* ---- completing ---- */

static void on_accept(struct loop *l, uint32_t idx, int result)
{
    struct loop_accept *a = &l->accepts[idx];
    struct sock *s = &l->socks[a->sock_idx];
    char text[INET6_ADDRSTRLEN] = "";
    a->is_armed = false;
    l->n_accepts--;
    if (result < 0) {
        /* out of descriptors or memory: trying again at once would spin */
        if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS)
            l->accept_after_ns = clock_mono_ns() + ACCEPT_BACKOFF_NS;
        slot_give(l, s);
        return;
    }
    s->fd = l->direct ? s->idx : (uint32_t)result;
    s->state = SOCK_OPEN;
    l->n_open++;
    const struct in6_addr *v6 = &a->peer.v6.sin6_addr;
    if (a->peer.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &a->peer.v4.sin_addr, text, sizeof text);
    else if (IN6_IS_ADDR_V4MAPPED(v6))
        inet_ntop(AF_INET, &v6->s6_addr[12], text, sizeof text);
    else
        inet_ntop(AF_INET6, v6, text, sizeof text);
    s->data = l->options.handler.on_open(l->options.handler.self, s, text);
    if (!s->data) {
        s->was_refused = true;
        start_closing(l, s);
    }
    touch(l, s);
}

static void fail(struct loop *l, struct sock *s)
{
    bool tell = s->state == SOCK_OPEN && !s->was_refused;
    start_closing(l, s);
    if (tell)
        l->options.handler.on_end(l->options.handler.self, s, true);
}

static void give_buffer(struct loop *l, unsigned id)
{
    io_uring_buf_ring_add(l->buffer_ring, l->buffers + (size_t)id * LOOP_BUFFER_BYTES,
                          LOOP_BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(LOOP_BUFFERS), (int)l->n_given++);
}

static void on_recv(struct loop *l, struct sock *s, const struct io_uring_cqe *cqe)
{
    struct loop_handler *h = &l->options.handler;
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        s->is_receiving = false;
        s->n_inflight--;
        touch(l, s);
    }
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (s->state == SOCK_OPEN)
            h->on_bytes(h->self, s,
                        bytes_of(l->buffers + (size_t)id * LOOP_BUFFER_BYTES, (size_t)cqe->res));
        give_buffer(l, id);
    } else if (cqe->res == 0) {
        s->has_ended = true;
        if (s->state == SOCK_OPEN)
            h->on_end(h->self, s, false);
        else if (s->state == SOCK_LINGERING)
            start_closing(l, s);
    } else if (cqe->res != -ENOBUFS && cqe->res != -ECANCELED && cqe->res != -EINTR) {
        fail(l, s);
    }
}

static void on_send(struct loop *l, struct sock *s, int result)
{
    s->is_sending = false;
    s->n_inflight--;
    touch(l, s);
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        fail(l, s);
        return;
    }
    slab_queue_sent(&l->slabs, &s->out, result > 0 ? (size_t)result : 0);
    if (!s->out.n_slices && s->state == SOCK_OPEN)
        l->options.handler.on_sent(l->options.handler.self, s);
}

static void on_close(struct loop *l, struct sock *s)
{
    slab_queue_clear(&l->slabs, &s->out);
    if (!s->was_refused)
        l->options.handler.on_gone(l->options.handler.self, s);
    l->n_open--;
    slot_give(l, s);
}

/* Its coming is all that it says; the thread that owns the fd drains it. */
static void on_event(struct loop *l, const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        l->event_armed = false;
}

static void complete(struct loop *l, const struct io_uring_cqe *cqe)
{
    uint64_t tag = io_uring_cqe_get_data64(cqe);
    uint32_t idx = (uint32_t)(tag >> 8);
    struct sock *s = &l->socks[idx < l->sockets_max ? idx : 0];
    switch ((enum loop_op)(tag & 0xff)) {
    case OP_ACCEPT:
        on_accept(l, idx, cqe->res);
        break;
    case OP_RECV:
        on_recv(l, s, cqe);
        break;
    case OP_SEND:
        on_send(l, s, cqe->res);
        break;
    case OP_CANCEL:
        s->is_cancelling = false;
        s->n_inflight--;
        touch(l, s);
        break;
    case OP_SHUTDOWN:
        s->n_inflight--;
        touch(l, s);
        break;
    case OP_CLOSE:
        on_close(l, s);
        break;
    case OP_EVENT:
        on_event(l, cqe);
        break;
    case OP_OTHER:
        break;
    }
}

static void check_lingering(struct loop *l)
{
    uint64_t now = clock_mono_ns();
    while (l->linger_first && l->linger_first->linger_deadline_ns <= now) {
        struct sock *s = l->linger_first;
        bool moved = s->out.bytes < s->linger_bytes;
        if (s->state == SOCK_FINISHING && moved && ++s->linger_rounds < LOOP_LINGER_ROUNDS)
            linger_append(l, s);
        else
            start_closing(l, s);
    }
    if (l->accept_after_ns && l->accept_after_ns <= now)
        l->accept_after_ns = 0;
}

/* The ring belongs to the first thread that comes here. */
static void enable(struct loop *l)
{
    if (l->is_enabled)
        return;
    l->is_enabled = true;
    /* io_uring_enable_rings() is declared by liburing 2.3 but not exported */
    int r = io_uring_register((unsigned)l->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    check_cmp(r, ==, 0);
}

unsigned loop_poll(struct loop *l)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    enable(l);
    slab_pool_rest(&l->slabs);
    if (!io_uring_cq_ready(&l->ring) && __atomic_load_n(l->ring.sq.kflags, __ATOMIC_RELAXED) &
                                            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
        io_uring_get_events(&l->ring);
    io_uring_for_each_cqe(&l->ring, head, cqe)
    {
        complete(l, cqe);
        if (++n == POLL_CQES_MAX)
            break;
    }
    io_uring_cq_advance(&l->ring, n);
    if (l->n_given) {
        io_uring_buf_ring_advance(l->buffer_ring, (int)l->n_given);
        l->n_given = 0;
    }
    if (l->linger_first || l->accept_after_ns)
        check_lingering(l);
    flush(l);
    int submitted = io_uring_submit(&l->ring);
    l->n_messages = 0;
    return n + (submitted > 0) + (l->dirty != NULL);
}

void loop_wait(struct loop *l, uint64_t timeout_ns)
{
    struct io_uring_cqe *cqe;
    enable(l);
    flush(l);
    if (l->dirty || io_uring_cq_ready(&l->ring))
        timeout_ns = 0;
    /* an hour is for ever to a caller that looks again */
    uint64_t ns = timeout_ns < 3600 * NS_PER_S ? timeout_ns : 3600 * NS_PER_S;
    struct __kernel_timespec ts = {.tv_sec = (int64_t)(ns / NS_PER_S),
                                   .tv_nsec = (int64_t)(ns % NS_PER_S)};
    if (ns == 0)
        io_uring_submit(&l->ring);
    else
        io_uring_submit_and_wait_timeout(&l->ring, &cqe, 1, &ts, NULL);
    l->n_messages = 0;
}

uint64_t loop_deadline_ns(const struct loop *l)
{
    uint64_t at = l->linger_first ? l->linger_first->linger_deadline_ns : UINT64_MAX;
    return l->accept_after_ns && l->accept_after_ns < at ? l->accept_after_ns : at;
}

void loop_watch_event_fd(struct loop *l, int event_fd)
{
    l->event_fd = event_fd;
}

/* ---- what the owner asks ---- */

uint8_t *slab_reserve(struct loop *l, size_t n, struct slab **slab)
{
    return slab_pool_reserve(&l->slabs, n, slab);
}

void slab_commit(struct loop *l, struct slab *s, size_t n, uint32_t *offset)
{
    slab_pool_commit(&l->slabs, s, n, offset);
}

uint64_t loop_slab_bytes(const struct loop *l)
{
    return l->slabs.held_bytes;
}

struct slab_pool *loop_slabs(struct loop *l)
{
    return &l->slabs;
}

void *sock_data(const struct sock *s)
{
    return s->data;
}

bool sock_send(struct loop *l, struct sock *s, struct slab *slab, uint32_t offset, uint32_t n)
{
    if (s->state != SOCK_OPEN || !slab_queue_add(&l->slabs, &s->out, slab, offset, n))
        return false;
    if (!s->is_sending)
        touch(l, s);
    return true;
}

bool sock_send_copy(struct loop *l, struct sock *s, struct bytes b)
{
    struct slab *slab;
    uint32_t offset;
    if (b.n == 0)
        return s->state == SOCK_OPEN;
    uint8_t *p = slab_reserve(l, b.n, &slab);
    if (!p)
        return false;
    memcpy(p, b.p, b.n);
    slab_commit(l, slab, b.n, &offset);
    return sock_send(l, s, slab, offset, (uint32_t)b.n);
}

uint64_t sock_queued_bytes(const struct sock *s)
{
    return s->out.bytes;
}

uint64_t sock_sent_bytes(const struct sock *s)
{
    return s->out.sent_bytes;
}

void sock_drop_unsent(struct loop *l, struct sock *s)
{
    slab_queue_drop(&l->slabs, &s->out);
}

void sock_pause(struct loop *l, struct sock *s, bool paused)
{
    if (s->is_paused == paused)
        return;
    s->is_paused = paused;
    touch(l, s);
}

void sock_finish(struct loop *l, struct sock *s)
{
    if (s->state != SOCK_OPEN)
        return;
    s->state = SOCK_FINISHING;
    linger_append(l, s);
    touch(l, s);
}

void sock_abort(struct loop *l, struct sock *s)
{
    start_closing(l, s);
}
