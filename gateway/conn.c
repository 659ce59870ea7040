/* conn.c - the table of connections, their lives, their deadlines; see conn.h. */
#include "gateway/conn_inside.h"

#include "base/clock.h"
#include "base/say.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SPARE_SOCKETS  64u /* being accepted, or closing */
#define IN_BYTES_MAX   (256ull << 20)
#define FRAGMENTS_MAX  16384u
#define CONTROLS_PER_S 100u
#define BODY_MS_MAX    30000u
#define CLOSE_MS_MAX   2000u
/* What a connection that takes nothing may hold of memory that is short, and how often that is
 * looked at. */
#define RELIEF_BYTES_MIN   (64u << 10)
#define RELIEF_EVERY_NS    NS_PER_S
#define END_MS_MAX         10000u
#define BODY_PROGRESS      (16u << 10)
#define BUFFER_BYTES_MIN   512u
#define BUFFER_BYTES_LIMIT (1u << 30)

/* ---- buffers ---- */

bool conn_buffer_add(struct conn *c, struct conn_buffer *b, const void *p, size_t n)
{
    struct conns *cs = c->cs;
    if (n == 0)
        return true;
    if (n > b->room - b->n) {
        if (n > BUFFER_BYTES_LIMIT - b->n)
            return false;
        uint32_t room = b->room ? b->room : BUFFER_BYTES_MIN;
        while (room < b->n + n)
            room *= 2;
        if (cs->in_bytes + room - b->room > cs->options.in_bytes_max)
            return false;
        uint8_t *grown = realloc(b->p, room);
        if (!grown)
            return false;
        cs->in_bytes += room - b->room;
        b->p = grown;
        b->room = room;
    }
    memcpy(b->p + b->n, p, n);
    b->n += (uint32_t)n;
    return true;
}

void conn_buffer_free(struct conn *c, struct conn_buffer *b)
{
    c->cs->in_bytes -= b->room;
    free(b->p);
    *b = (struct conn_buffer){0};
}

void conn_buffer_drop(struct conn *c, struct conn_buffer *b, size_t n)
{
    check_cmp(n, <=, b->n);
    if (n == b->n) {
        conn_buffer_free(c, b);
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= (uint32_t)n;
}

/* ---- deadlines: a list a kind of wait; all in it wait equally long, so it is in order ---- */

static void wait_remove(struct conn *c)
{
    struct conn_list *list = &c->cs->waits[c->wait];
    if (c->wait == WAIT_NONE)
        return;
    *(c->wait_prev ? &c->wait_prev->wait_next : &list->first) = c->wait_next;
    *(c->wait_next ? &c->wait_next->wait_prev : &list->last) = c->wait_prev;
    c->wait = WAIT_NONE;
}

void conn_wait_for(struct conn *c, enum conn_wait wait)
{
    struct conn_list *list = &c->cs->waits[wait];
    wait_remove(c);
    if (wait == WAIT_NONE)
        return;
    c->wait = (uint8_t)wait;
    c->wait_deadline_ns = c->cs->now_ns + c->cs->wait_ns[wait];
    c->body_mark = c->message.n;
    c->wait_next = NULL;
    c->wait_prev = list->last;
    *(list->last ? &list->last->wait_next : &list->first) = c;
    list->last = c;
}

static void on_deadline(struct conn *c)
{
    enum conn_wait wait = c->wait;
    if (wait == WAIT_BODY && c->message.n - c->body_mark >= BODY_PROGRESS) {
        conn_wait_for(c, WAIT_BODY);
        return;
    }
    wait_remove(c);
    if (wait == WAIT_BODY || (wait == WAIT_HEAD && c->in.n))
        conn_http_fail(c, 408, "timeout", "the request took too long to arrive");
    else if (wait == WAIT_END)
        conn_cut(c);
    else
        conn_end(c);
}

static unsigned check_deadlines(struct conns *cs)
{
    unsigned n = 0;
    for (unsigned w = WAIT_NONE + 1; w < WAIT_N; w++) {
        while (cs->waits[w].first && cs->waits[w].first->wait_deadline_ns <= cs->now_ns) {
            on_deadline(cs->waits[w].first);
            n++;
        }
    }
    return n;
}

/* ---- short of memory ---- */

static bool is_used(const struct conns *cs, unsigned quarters)
{
    const struct slab_pool *p = loop_slabs(cs->loop);
    return slab_pool_used_bytes(p) / quarters >= p->bytes_max / 4;
}

bool conns_is_short(const struct conns *cs)
{
    return is_used(cs, 3);
}

/* With half of the memory in use, those who hold much of it and read nothing let go of it, so that
 * there is always room for those who read. */
static unsigned relieve(struct conns *cs)
{
    unsigned n = 0;
    if (cs->now_ns < cs->relief_at_ns || !is_used(cs, 2))
        return 0;
    cs->relief_at_ns = cs->now_ns + RELIEF_EVERY_NS;
    for (uint32_t i = 0; i < cs->n_fresh; i++) {
        struct conn *c = &cs->table[i];
        if (c->state == CONN_FREE)
            continue;
        uint64_t sent = sock_sent_bytes(c->sock) + 1; /* 0: no mark */
        bool is_much = conn_queued_bytes(c) >= RELIEF_BYTES_MIN;
        bool is_stuck = is_much && c->sent_mark == sent;
        c->sent_mark = is_much ? sent : 0;
        if (!is_stuck)
            continue;
        n++;
        if (c->state == CONN_WS)
            conn_ws_close_slow(c);
        else
            conn_cut(c);
    }
    return n;
}

uint64_t conns_deadline_ns(struct conns *cs)
{
    uint64_t at = cs->ready ? cs->now_ns : loop_deadline_ns(cs->loop);
    if (is_used(cs, 2) && cs->relief_at_ns < at)
        at = cs->relief_at_ns;
    for (unsigned w = WAIT_NONE + 1; w < WAIT_N; w++)
        if (cs->waits[w].first && cs->waits[w].first->wait_deadline_ns < at)
            at = cs->waits[w].first->wait_deadline_ns;
    return at;
}

/* ---- the end ---- */

void conn_set_ready(struct conn *c)
{
    if (c->is_ready)
        return;
    c->is_ready = true;
    c->next_ready = c->cs->ready;
    c->cs->ready = c;
}

void conn_end(struct conn *c)
{
    if (c->state == CONN_ENDING)
        return;
    c->state = CONN_ENDING;
    conn_wait_for(c, WAIT_NONE);
    conn_set_ready(c);
    if (c->tls) {
        conn_wait_for(c, WAIT_END);
        conn_tls_want_pump(c);
    } else {
        sock_finish(c->cs->loop, c->sock);
    }
}

void conn_cut(struct conn *c)
{
    if (c->state != CONN_ENDING) {
        c->state = CONN_ENDING;
        conn_set_ready(c);
    }
    conn_wait_for(c, WAIT_NONE);
    sock_abort(c->cs->loop, c->sock);
}

static void free_input(struct conn *c)
{
    conn_request_free(c);
    conn_buffer_free(c, &c->in);
    conn_buffer_free(c, &c->message);
}

/* Only now is what the handler may look at let go. */
static void announce_gone(struct conn *c)
{
    if (c->is_announced)
        return;
    c->cs->handler.on_gone(c->cs->handler.self, c);
    c->is_announced = true;
    c->generation++; /* its tag finds nothing from here on */
    free_input(c);
}

/* ---- input ---- */

void conn_update_pause(struct conn *c)
{
    bool full = c->state == CONN_WAIT && c->in.n > CONN_PIPELINE_BYTES_MAX;
    sock_pause(c->cs->loop, c->sock, c->is_paused || full);
}

/* One layer at a time, until it wants no more of what is there. */
static size_t run(struct conn *c, uint8_t *p, size_t n)
{
    size_t used = 0;
    for (;;) {
        size_t step = 0;
        uint8_t state = c->state;
        if (state == CONN_HEAD || state == CONN_BODY)
            step = conn_http_run(c, p + used, n - used);
        else if (state == CONN_WS || state == CONN_WS_CLOSING)
            step = conn_ws_run(c, p + used, n - used);
        else if (state == CONN_ENDING)
            step = n - used;
        used += step;
        if (step == 0 && c->state == state)
            break;
    }
    return used;
}

static void overflow(struct conn *c)
{
    if (c->state == CONN_WS)
        conn_ws_close(c, CLOSE_OVERLOAD, "too much is waiting");
    else if (c->state < CONN_WS)
        conn_http_fail(c, 503, "unavailable", "too much is waiting");
    conn_end(c);
}

/* What is in `in`, from its start. */
static void run_held(struct conn *c)
{
    size_t used = run(c, c->in.p, c->in.n);
    if (c->state != CONN_ENDING)
        conn_buffer_drop(c, &c->in, used);
}

void conn_take_input(struct conn *c, uint8_t *p, size_t n)
{
    if (c->state == CONN_ENDING)
        return;
    if (c->wait == WAIT_IDLE)
        conn_wait_for(c, WAIT_HEAD);
    if (c->in.n) {
        if (!conn_buffer_add(c, &c->in, p, n)) {
            overflow(c);
            return;
        }
        /* a head that goes on without a line end says nothing new: it is not read again, so that
         * one that comes byte by byte costs no more than its lines */
        if (c->state != CONN_HEAD || c->in.n >= HTTP_HEAD_BYTES_MAX || memchr(p, '\n', n))
            run_held(c);
    } else {
        size_t used = run(c, p, n);
        if (c->state != CONN_ENDING && used < n && !conn_buffer_add(c, &c->in, p + used, n - used))
            overflow(c);
    }
    if (c->state == CONN_WAIT)
        conn_update_pause(c);
}

/* What was held back may go on. */
static void resume(struct conn *c)
{
    if (c->state == CONN_ENDING) {
        announce_gone(c);
        return;
    }
    if (c->in.n) {
        run_held(c);
    } else if (c->has_ended && (c->state == CONN_HEAD || c->state == CONN_WS)) {
        conn_end(c); /* nobody is there to say more: also after an upgrade that took its time */
    }
    if (c->state != CONN_ENDING)
        conn_update_pause(c);
}

static unsigned run_ready(struct conns *cs)
{
    unsigned n = 0;
    struct conn *list = cs->ready;
    cs->ready = NULL;
    while (list) {
        struct conn *c = list;
        list = c->next_ready;
        c->is_ready = false;
        resume(c);
        n++;
    }
    return n;
}

/* ---- what the loop tells ---- */

static struct conn *entry_take(struct conns *cs)
{
    if (cs->free_idx != UINT32_MAX) {
        struct conn *c = &cs->table[cs->free_idx];
        cs->free_idx = c->next_free;
        return c;
    }
    if (cs->n_fresh == cs->options.conns_max)
        return NULL;
    struct conn *c = &cs->table[cs->n_fresh];
    c->idx = cs->n_fresh++;
    return c;
}

static void entry_give(struct conn *c)
{
    struct conns *cs = c->cs;
    uint32_t idx = c->idx, generation = c->generation;
    memset(c, 0, sizeof *c);
    c->idx = idx;
    c->generation = generation;
    c->next_free = cs->free_idx;
    cs->free_idx = idx;
    cs->n--;
}

static void *on_open(void *self, struct sock *s, const char *peer_text)
{
    struct conns *cs = self;
    struct conn *c = entry_take(cs);
    if (!c)
        return NULL;
    uint32_t idx = c->idx, generation = c->generation;
    memset(c, 0, sizeof *c);
    c->idx = idx;
    c->generation = generation;
    c->cs = cs;
    c->sock = s;
    c->state = CONN_HEAD;
    cs->n++;
    c->is_extra = cs->n > cs->n_regular;
    strncpy(c->peer, peer_text, sizeof c->peer - 1);
    if (cs->options.tls && !conn_tls_open(c)) {
        entry_give(c);
        return NULL;
    }
    conn_wait_for(c, WAIT_HEAD);
    return c;
}

/* PATH 1: bytes arrive from a socket; what is whole of them is handled before this returns. */
static void on_bytes(void *self, struct sock *s, struct bytes in)
{
    struct conn *c = sock_data(s);
    (void)self;
    if (c->tls)
        conn_tls_bytes(c, in);
    else /* the loop's buffer is ours until we return */
        conn_take_input(c, (uint8_t *)(uintptr_t)in.p, in.n);
}

static void on_end(void *self, struct sock *s, bool was_error)
{
    struct conn *c = sock_data(s);
    (void)self;
    c->has_ended = true;
    if (was_error)
        conn_cut(c);
    else if (c->state !=
             CONN_WAIT) /* whoever shuts his half after a request still wants the answer */
        conn_end(c);
}

static void on_sent(void *self, struct sock *s)
{
    struct conns *cs = self;
    struct conn *c = sock_data(s);
    if (c->tls && c->tls->plain.n_slices) {
        conn_tls_want_pump(c);
        return;
    }
    c->unbounded_bytes = 0;
    if (c->state != CONN_ENDING)
        cs->handler.on_drained(cs->handler.self, c);
}

static void conn_free(struct conn *c)
{
    struct conns *cs = c->cs;
    for (struct conn **at = &cs->ready; c->is_ready && *at; at = &(*at)->next_ready)
        if (*at == c) {
            *at = c->next_ready;
            break;
        }
    conn_wait_for(c, WAIT_NONE);
    free_input(c);
    conn_tls_close(c);
    entry_give(c);
}

static void on_gone(void *self, struct sock *s)
{
    struct conn *c = sock_data(s);
    (void)self;
    c->state = CONN_ENDING;
    announce_gone(c);
    conn_free(c);
}

static void on_flush(void *self)
{
    conn_tls_pump_all(self);
}

/* ---- the table ---- */

static uint32_t or_default(uint32_t v, uint32_t standard)
{
    return v ? v : standard;
}

static void set_defaults(struct conns *cs)
{
    struct conns_options *o = &cs->options;
    if (!o->in_bytes_max)
        o->in_bytes_max = IN_BYTES_MAX;
    o->controls_per_s = or_default(o->controls_per_s, CONTROLS_PER_S);
    cs->wait_ns[WAIT_HEAD] = o->handshake_ms_max * NS_PER_MS;
    cs->wait_ns[WAIT_IDLE] = o->idle_http_ms_max * NS_PER_MS;
    cs->wait_ns[WAIT_BODY] = or_default(o->body_ms_max, BODY_MS_MAX) * NS_PER_MS;
    cs->wait_ns[WAIT_CLOSE] = or_default(o->close_ms_max, CLOSE_MS_MAX) * NS_PER_MS;
    cs->wait_ns[WAIT_END] = END_MS_MAX * NS_PER_MS;
    cs->ws_limits = (struct ws_limits){
        .message_bytes_max = o->message_bytes_max,
        .fragments_max = or_default(o->fragments_max, FRAGMENTS_MAX),
        .binary_ok = o->handler.on_binary != NULL,
    };
}

static size_t table_bytes(const struct conns *cs)
{
    return cs->options.conns_max * sizeof *cs->table;
}

/* The file limit may leave fewer sockets than were asked for; the reserve is kept out of them. */
static void divide_room(struct conns *cs)
{
    uint32_t room = loop_sockets_max(cs->loop);
    room = room > 2 * SPARE_SOCKETS ? room - SPARE_SOCKETS : room;
    uint32_t extra = cs->options.conns_extra;
    cs->n_regular = cs->options.conns_max - extra;
    if (room < cs->options.conns_max)
        room -= extra < room / 8 ? extra : room / 8;
    if (cs->n_regular > room)
        cs->n_regular = room;
}

enum status conns_open(struct conns **out, const struct conns_options *options)
{
    struct conns *cs = calloc(1, sizeof *cs);
    if (!cs)
        return STATUS_NO_MEMORY;
    cs->options = *options;
    cs->handler = options->handler;
    cs->free_idx = UINT32_MAX;
    cs->now_ns = clock_mono_ns();
    set_defaults(cs);
    /* untouched entries cost nothing */
    void *table =
        mmap(NULL, table_bytes(cs), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        free(cs);
        return STATUS_NO_MEMORY;
    }
    cs->table = table;
    struct loop_options listen = options->listen;
    listen.sockets_max = options->conns_max + SPARE_SOCKETS;
    listen.slab_bytes_max = options->slab_bytes_max;
    listen.handler = (struct loop_handler){.self = cs,
                                           .on_open = on_open,
                                           .on_bytes = on_bytes,
                                           .on_end = on_end,
                                           .on_sent = on_sent,
                                           .on_gone = on_gone,
                                           .on_flush = on_flush};
    enum status st = loop_open(&cs->loop, &listen);
    if (st) {
        munmap(cs->table, table_bytes(cs));
        free(cs);
        return st;
    }
    divide_room(cs);
    *out = cs;
    return STATUS_OK;
}

void conns_close(struct conns *cs)
{
    if (!cs)
        return;
    for (uint32_t i = 0; i < cs->n_fresh; i++) {
        if (cs->table[i].state == CONN_FREE)
            continue;
        announce_gone(&cs->table[i]);
        conn_free(&cs->table[i]);
    }
    loop_close(cs->loop);
    munmap(cs->table, table_bytes(cs));
    free(cs);
}

unsigned conns_poll(struct conns *cs, uint64_t now_ns)
{
    cs->now_ns = now_ns;
    unsigned n = run_ready(cs);
    n += check_deadlines(cs);
    n += relieve(cs);
    n += loop_poll(cs->loop);
    return n + run_ready(cs);
}

struct loop *conns_loop(struct conns *cs)
{
    return cs->loop;
}

uint32_t conns_n(const struct conns *cs)
{
    return cs->n;
}

uint64_t conns_in_bytes(const struct conns *cs)
{
    return cs->in_bytes;
}

void conns_each(struct conns *cs, void (*each)(void *arg, struct conn *c), void *arg)
{
    for (uint32_t i = 0; i < cs->n_fresh; i++)
        if (cs->table[i].state != CONN_FREE && !cs->table[i].is_announced)
            each(arg, &cs->table[i]);
}

/* ---- one connection ---- */

uint64_t conn_tag(const struct conn *c)
{
    return (uint64_t)c->generation << 32 | (c->idx + 1);
}

struct conn *conn_find(struct conns *cs, uint64_t tag)
{
    uint32_t idx = (uint32_t)tag - 1;
    if (idx >= cs->n_fresh)
        return NULL;
    struct conn *c = &cs->table[idx];
    return c->state != CONN_FREE && c->generation == tag >> 32 ? c : NULL;
}

void *conn_user(const struct conn *c)
{
    return c->user;
}

void conn_set_user(struct conn *c, void *user)
{
    c->user = user;
}

bool conn_is_ws(const struct conn *c)
{
    return c->state == CONN_WS || c->state == CONN_WS_CLOSING;
}

const char *conn_peer(const struct conn *c)
{
    return c->peer;
}

bool conn_is_tls(const struct conn *c)
{
    return c->tls != NULL;
}

bool conn_is_extra(const struct conn *c)
{
    return c->is_extra && c->cs->n > c->cs->n_regular;
}

void conn_pause(struct conn *c, bool paused)
{
    if (c->is_paused == paused || c->state == CONN_ENDING)
        return;
    c->is_paused = paused;
    conn_update_pause(c);
    if (!paused)
        conn_set_ready(c);
}

uint64_t conn_queued_bytes(const struct conn *c)
{
    return sock_queued_bytes(c->sock) + (c->tls ? c->tls->plain.bytes : 0);
}

bool conn_out(struct conn *c, struct slab *slab, uint32_t offset, uint32_t n)
{
    bool ok;
    if (c->tls) {
        ok = slab_queue_add(loop_slabs(c->cs->loop), &c->tls->plain, slab, offset, n);
        conn_tls_want_pump(c);
    } else {
        ok = sock_send(c->cs->loop, c->sock, slab, offset, n);
    }
    if (!ok)
        conn_cut(c); /* a stream with a hole in it is worse than none */
    return ok;
}

bool conn_out_copy(struct conn *c, struct bytes b)
{
    struct slab *slab;
    uint32_t offset;
    uint8_t *p = slab_reserve(c->cs->loop, b.n, &slab);
    if (!p) {
        conn_cut(c);
        return false;
    }
    memcpy(p, b.p, b.n);
    slab_commit(c->cs->loop, slab, b.n, &offset);
    return conn_out(c, slab, offset, (uint32_t)b.n);
}
