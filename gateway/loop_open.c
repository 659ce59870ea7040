/* loop_open.c - the loop's ring, tables and listening socket, made and unmade; see loop.h. */
#include "gateway/loop_ring.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define LISTEN_BACKLOG   4096
#define SLAB_BYTES_MAX   (1ull << 30)
#define UNSENT_BYTES_MAX (256 << 10)

/* ---- the listening socket ---- */

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/*
 * Accepted sockets inherit these, so that a direct descriptor, which has no setsockopt, has them:
 * no delay; dead peers found by the kernel, without timers of ours; and a bound on what the kernel
 * takes from us and has not sent, so that a slow reader's bytes wait where they are counted.
 */
static bool set_options(int fd, bool reuse_port)
{
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
           (!reuse_port || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
           set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX) &&
           set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 20) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

static enum status bind_to(struct loop *l, const struct addrinfo *ai)
{
    l->listen_fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->listen_fd < 0)
        return STATUS_IO;
    if (!set_options(l->listen_fd, l->options.reuse_port) ||
        bind(l->listen_fd, ai->ai_addr, ai->ai_addrlen) || listen(l->listen_fd, LISTEN_BACKLOG))
        return errno == EADDRINUSE      ? STATUS_LOCKED
               : errno == EADDRNOTAVAIL ? STATUS_USAGE
                                        : STATUS_IO;
    struct sockaddr_in6 bound;
    socklen_t n = sizeof bound;
    if (getsockname(l->listen_fd, (struct sockaddr *)&bound, &n))
        return STATUS_IO;
    l->port = ntohs(bound.sin6_port); /* at the same place in both families */
    return STATUS_OK;
}

static enum status open_listener(struct loop *l)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *ai;
    char port[8];
    snprintf(port, sizeof port, "%u", l->options.port);
    if (getaddrinfo(l->options.host, port, &hints, &ai))
        return STATUS_USAGE;
    enum status st = bind_to(l, ai);
    freeaddrinfo(ai);
    return st;
}

/* ---- the ring ---- */

/* The best that the kernel has. The ring starts disabled: who enables it owns it. */
static enum status open_ring(struct loop *l)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
        0,
    };
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct io_uring_params p = {.flags = flags[i] | IORING_SETUP_R_DISABLED |
                                             IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                    .cq_entries = LOOP_CQ_ENTRIES};
        int r = io_uring_queue_init_params(LOOP_SQ_ENTRIES, &l->ring, &p);
        if (r == 0)
            return STATUS_OK;
        if (r != -EINVAL)
            return r == -ENOMEM ? STATUS_NO_MEMORY : STATUS_IO;
    }
    return STATUS_IO;
}

/* A table of direct descriptors, as large as is allowed; else plain descriptors. */
static void open_files(struct loop *l)
{
    struct rlimit limit;
    uint32_t n = l->sockets_max;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < n)
        n = (uint32_t)limit.rlim_cur;
    l->direct = io_uring_register_files_sparse(&l->ring, n) == 0;
    if (l->direct)
        l->sockets_max = n;
}

static size_t buffer_ring_bytes(void)
{
    return LOOP_BUFFERS * sizeof(struct io_uring_buf);
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static enum status open_buffers(struct loop *l)
{
    l->buffer_ring = map(buffer_ring_bytes());
    l->buffers = map((size_t)LOOP_BUFFERS * LOOP_BUFFER_BYTES);
    if (!l->buffer_ring || !l->buffers)
        return STATUS_NO_MEMORY;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)l->buffer_ring,
                                   .ring_entries = LOOP_BUFFERS,
                                   .bgid = LOOP_BUFFER_GROUP};
    if (io_uring_register_buf_ring(&l->ring, &reg, 0))
        return STATUS_IO;
    io_uring_buf_ring_init(l->buffer_ring);
    for (unsigned i = 0; i < LOOP_BUFFERS; i++)
        io_uring_buf_ring_add(l->buffer_ring, l->buffers + (size_t)i * LOOP_BUFFER_BYTES,
                              LOOP_BUFFER_BYTES, (unsigned short)i,
                              io_uring_buf_ring_mask(LOOP_BUFFERS), (int)i);
    io_uring_buf_ring_advance(l->buffer_ring, LOOP_BUFFERS);
    return STATUS_OK;
}

static void unmap(void *p, size_t bytes)
{
    if (p)
        munmap(p, bytes);
}

static void close_listener(struct loop *l)
{
    if (l->listen_fd < 0)
        return;
    /* the accepts under way hold the socket: shut, it gives up its port now */
    shutdown(l->listen_fd, SHUT_RDWR);
    close(l->listen_fd);
    l->listen_fd = -1;
}

enum status loop_open(struct loop **out, const struct loop_options *options)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return STATUS_NO_MEMORY;
    l->options = *options;
    l->listen_fd = l->event_fd = -1;
    l->free_idx = UINT32_MAX;
    l->sockets_max = options->sockets_max ? options->sockets_max : 1;
    slab_pool_init(&l->slabs, options->slab_bytes_max ? options->slab_bytes_max : SLAB_BYTES_MAX);
    enum status st = open_listener(l);
    if (st)
        goto no_ring;
    st = open_ring(l);
    if (st)
        goto no_ring;
    open_files(l);
    st = open_buffers(l);
    l->socks = map(l->sockets_max * sizeof *l->socks);
    if (!st && !l->socks)
        st = STATUS_NO_MEMORY;
    if (st) {
        loop_close(l);
        return st;
    }
    l->is_accepting = true;
    *out = l;
    return STATUS_OK;
no_ring:
    close_listener(l);
    free(l);
    return st;
}

void loop_close(struct loop *l)
{
    if (!l)
        return;
    close_listener(l);
    io_uring_queue_exit(&l->ring); /* takes the sockets with it */
    for (uint32_t i = 0; l->socks && i < l->n_fresh; i++)
        slab_queue_clear(&l->slabs, &l->socks[i].out);
    slab_pool_fini(&l->slabs);
    unmap(l->socks, l->sockets_max * sizeof *l->socks);
    unmap(l->buffers, (size_t)LOOP_BUFFERS * LOOP_BUFFER_BYTES);
    unmap(l->buffer_ring, buffer_ring_bytes());
    free(l);
}

uint16_t loop_port(const struct loop *l)
{
    return l->port;
}

uint32_t loop_sockets_max(const struct loop *l)
{
    return l->sockets_max;
}

void loop_stop_accepting(struct loop *l)
{
    l->is_accepting = false;
    close_listener(l);
}
