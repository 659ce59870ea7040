/* serve.c - `penstock serve`: options in, one line once it serves, and an orderly end. */
#include "base/clock.h"
#include "base/say.h"
#include "tools/commands.h"
#include "tools/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How often the main thread looks whether a part has failed. */
#define CHECK_MS 200
/* io_uring gives the sockets of a process that has just ended back a moment after its end. */
#define BIND_MS_MAX 1500u

static sigset_t end_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

/* A second SIGTERM or SIGINT: the operator does not want to wait. */
static bool is_hurried(void)
{
    sigset_t set = end_signals();
    struct timespec none = {0};
    return sigtimedwait(&set, NULL, &none) > 0;
}

/* ---- the port ---- */

static int try_bind(const struct config_address *a)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    inet_pton(a->is_v6 ? AF_INET6 : AF_INET, a->host,
              a->is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr);
    int fd = socket(a->is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int err = bind(fd, a->is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                   a->is_v6 ? sizeof v6 : sizeof v4) == 0 &&
                      listen(fd, 1) == 0
                  ? 0
                  : errno;
    close(fd);
    return err;
}

/* Before anything is opened: gateways share their port with SO_REUSEPORT, with which a second
 * server would quietly take half of the connections of the first. */
static enum status check_port(const struct config_address *a)
{
    uint64_t end_ns = clock_mono_ns() + BIND_MS_MAX * NS_PER_MS;
    int err;
    while ((err = try_bind(a)) == EADDRINUSE && clock_mono_ns() < end_ns)
        poll(NULL, 0, 20);
    if (err == 0)
        return STATUS_OK;
    say(SAY_ERROR, "can't listen on %s%s%s:%u: %s", a->is_v6 ? "[" : "", a->host,
        a->is_v6 ? "]" : "", a->port, strerror(err));
    return STATUS_IO;
}

/* ---- serving ---- */

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void print_url(const char *before, bool tls, const struct config_address *a, uint16_t port,
                      const char *after)
{
    printf("penstock: %s %s://%s%s%s:%u%s\n", before, tls ? "https" : "http", a->is_v6 ? "[" : "",
           a->host, a->is_v6 ? "]" : "", port, after);
}

static void say_ready(const struct config *c, const struct server *s)
{
    print_url("ready on", c->tls_cert != NULL, &c->address, server_port(s), "");
    if (c->metrics_listen)
        print_url("metrics on", false, &c->metrics_address, server_metrics_port(s), "");
    if (c->dev)
        print_url("open", c->tls_cert != NULL, &c->address, server_port(s),
                  "/ in two browser windows; Ctrl-C ends it");
    fflush(stdout);
}

/* Until a signal (STATUS_OK) or a failure. */
static enum status serve_until_signal(struct server *s)
{
    sigset_t set = end_signals();
    struct timespec each = {.tv_nsec = CHECK_MS * (long)NS_PER_MS};
    for (;;) {
        int got = sigtimedwait(&set, NULL, &each);
        enum status st = server_check(s);
        if (st != STATUS_OK)
            return st;
        if (got > 0)
            return STATUS_OK;
    }
}

static enum status run(const struct config *c, const struct datadir *dir)
{
    struct server *s;
    enum status st = server_open(&s, c, dir);
    if (st != STATUS_OK)
        return st;
    st = server_start(s);
    if (st == STATUS_OK) {
        say_ready(c, s);
        st = serve_until_signal(s);
        /* A failed write or a corrupt view: other parts may hang on it, so nothing is wound up. All
         * that was acknowledged is on disk. */
        if (st != STATUS_OK)
            _exit(EXIT_FAILED);
        st = server_stop(s, is_hurried);
    }
    server_close(s);
    return st;
}

int serve_main(int argc, char **argv)
{
    static struct config config;
    struct datadir dir;
    bool done;
    if (config_read(&config, argc, argv, &done) != STATUS_OK)
        return EXIT_USAGE;
    if (done)
        return 0;
    sigset_t set = end_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    raise_file_limit();
    enum status st =
        datadir_open(&dir, config.data, (uint32_t)config.shards, config.shards_default);
    if (st != STATUS_OK)
        return EXIT_FAILED;
    st = check_port(&config.address);
    if (st == STATUS_OK && config.metrics_listen)
        st = check_port(&config.metrics_address);
    if (st == STATUS_OK)
        st = run(&config, &dir);
    datadir_close(&dir);
    return st == STATUS_OK ? 0 : st == STATUS_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
