/*
 * A loop made by one thread, run by another, woken by a third through its event fd, and closed by
 * the first: as the program does it. Serves HTTP to clients meanwhile.
 */
#include "base/clock.h"
#include "base/role.h"
#include "base/say.h"
#include "gateway/conn.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS  4
#define REQUESTS 200

static struct conns *conns;
static struct thread runner;
static _Atomic unsigned n_gone, n_requests, n_wakes;
static _Atomic bool woken;

static void on_request(void *self, struct conn *c, const struct http_request *req,
                       struct bytes body)
{
    (void)self, (void)req, (void)body;
    atomic_fetch_add(&n_requests, 1);
    conn_respond(c, &(struct http_response){
                        .status = 200, .content_type = "text/plain", .body = BYTES_LIT("yes")});
}

static void on_text(void *self, struct conn *c, struct bytes text)
{
    (void)self, (void)c, (void)text;
}

static void on_drained(void *self, struct conn *c)
{
    (void)self, (void)c;
}

static void on_gone(void *self, struct conn *c)
{
    (void)self, (void)c;
    atomic_fetch_add(&n_gone, 1);
}

static uint64_t body_bytes_max(void *self, const struct http_request *req)
{
    (void)self, (void)req;
    return 0;
}

static unsigned poll_role(void *self, uint64_t now_ns)
{
    (void)self;
    unsigned n = conns_poll(conns, now_ns);
    if (atomic_exchange(&woken, false)) {
        atomic_fetch_add(&n_wakes, 1);
        n++;
    }
    return n;
}

static uint64_t deadline_ns(void *self)
{
    (void)self;
    return conns_deadline_ns(conns);
}

static void wait_role(void *self, uint64_t timeout_ns)
{
    (void)self;
    loop_wait(conns_loop(conns), timeout_ns);
}

static void *be_client(void *arg)
{
    static const char request[] = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(loop_port(conns_loop(conns))),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    check(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        char text[1024];
        size_t n = 0;
        check(send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1);
        while (n < 7 || memcmp(text + n - 7, "\r\n\r\nyes", 7) != 0) {
            ssize_t k = recv(fd, text + n, sizeof text - n, 0);
            check(k > 0);
            n += (size_t)k;
        }
    }
    close(fd);
    return NULL;
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void nap(unsigned ms)
{
    usleep(ms * 1000);
}

int main(void)
{
    struct conns_options o = {.listen = {.host = "127.0.0.1"},
                              .handler = {.on_request = on_request,
                                          .on_text = on_text,
                                          .on_drained = on_drained,
                                          .on_gone = on_gone,
                                          .body_bytes_max = body_bytes_max},
                              .conns_max = 100,
                              .message_bytes_max = 1000,
                              .handshake_ms_max = 60000,
                              .idle_http_ms_max = 60000,
                              .outbound_bytes_max = 1000000};
    pthread_t clients[CLIENTS];
    check(conns_open(&conns, &o) == STATUS_OK);
    check(thread_init(&runner, "loop", -1, IDLE_PARK) == STATUS_OK);
    thread_add(&runner, (struct role){"loop", NULL, poll_role, deadline_ns});
    runner.wait = wait_role;
    loop_watch_event_fd(conns_loop(conns), runner.parker.event_fd);
    check(thread_start(&runner) == STATUS_OK);
    for (unsigned i = 0; i < CLIENTS; i++)
        check(pthread_create(&clients[i], NULL, be_client, NULL) == 0);
    for (unsigned i = 0; i < 50; i++) { /* parked or not, a wake is seen at once */
        unsigned before = atomic_load(&n_wakes);
        atomic_store(&woken, true);
        parker_wake(&runner.parker);
        for (unsigned k = 0; k < 2000 && atomic_load(&n_wakes) == before; k++)
            nap(1);
        check(atomic_load(&n_wakes) > before);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    for (unsigned i = 0; i < 5000 && atomic_load(&n_gone) < CLIENTS; i++)
        nap(1);
    check_cmp(atomic_load(&n_gone), ==, CLIENTS);
    check_cmp(atomic_load(&n_requests), ==, CLIENTS * REQUESTS);
    uint64_t before = cpu_ns();
    nap(500);
    check_cmp(cpu_ns() - before, <, 100 * NS_PER_MS); /* nothing to do costs nothing */
    thread_stop(&runner);
    conns_close(conns);
    thread_fini(&runner);
    printf("loop_thread: %u requests, %u wakes\n", atomic_load(&n_requests), atomic_load(&n_wakes));
    return 0;
}
