/*
 * shard_rig.h - a whole shard on one thread, for tests: real log, archive, view and loader in a
 * directory of its own, and the test as its gateways. Nothing runs by itself: rig_run polls the
 * roles in turn until all is quiet. Time is the rig's own.
 */
#ifndef PENSTOCK_TESTS_SUPPORT_SHARD_RIG_H
#define PENSTOCK_TESTS_SUPPORT_SHARD_RIG_H

#include "base/clock.h"
#include "base/counters.h"
#include "net/message.h"
#include "net/op.h"
#include "sequencer/shard.h"
#include "store/archive.h"
#include "store/disk.h"
#include "store/log.h"
#include "store/view.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define RIG_GATEWAYS 2u
#define RIG_QUEUE    65536u

struct rig_msg {
    uint16_t type;
    uint8_t *p;
    size_t n;
};

struct rig_queue {
    struct rig_msg msgs[RIG_QUEUE];
    uint32_t first;
    uint32_t n;
};

struct rig {
    char dir[256];
    struct shard_options options; /* set before rig_open; zero is fine */
    struct counters *counters;
    struct disk_uring *ring;
    struct disk disk;
    struct disk archive_disk;
    struct log_options log_options;
    struct log *log;
    struct view *view;
    struct archive_shared shared;
    struct archive *archive;
    struct loader *loader;
    struct shard *shard;
    struct link gateways[RIG_GATEWAYS]; /* a: the test, b: the shard */
    struct link loader_link;            /* a: the shard */
    struct link archive_link;           /* a: the shard */
    struct parker parker;
    struct role roles[3];
    bool archive_stopped; /* the view falls behind */
    bool deaf;            /* the test does not read its rings */
    uint64_t now_ns;
    struct rig_queue in[RIG_GATEWAYS];
};

static struct rig rig;
static uint64_t rig_unix_ms = 1700000000000ull;

static inline uint64_t rig_clock(void)
{
    return rig_unix_ms;
}

/* ---- start and end ---- */

static inline void rig_ok(enum status s, const char *what)
{
    cr_assert_eq(s, STATUS_OK, "%s: %s", what, status_name(s));
}

static inline void rig_make_dirs(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(rig.dir, sizeof rig.dir, "%s/penstock-rig-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(rig.dir));
    char path[300];
    snprintf(path, sizeof path, "%s/log", rig.dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/view", rig.dir);
    cr_assert_eq(mkdir(path, 0700), 0);
}

static inline void rig_open_store(void)
{
    char log_dir[300], view_dir[300];
    snprintf(log_dir, sizeof log_dir, "%s/log", rig.dir);
    snprintf(view_dir, sizeof view_dir, "%s/view", rig.dir);
    struct view_options vo = {.dir = view_dir, .map_bytes = 1ull << 30, .shard = 0, .n_shards = 1};
    rig_ok(view_open(&rig.view, &vo), "view_open");
    rig_ok(disk_uring_open(&rig.ring, -1), "disk_uring_open");
    rig_ok(disk_uring_dir(rig.ring, log_dir, &rig.disk), "disk_uring_dir");
    rig_ok(disk_uring_dir(NULL, log_dir, &rig.archive_disk), "disk_uring_dir");
    rig.log_options = (struct log_options){
        .shard = 0,
        .segment_bytes = 16u << 20,
        .segments_max = 8,
        .group_bytes_max = 8u << 20,
        .record_bytes_max = LIMIT_LOG_RECORD_BYTES,
        .view_idx = view_index(rig.view),
    };
    rig_ok(log_open(&rig.log, rig.disk, &rig.log_options), "log_open");
    memset(&rig.shared, 0, sizeof rig.shared);
    rig_ok(parker_init(&rig.parker), "parker");
    rig_ok(link_open(&rig.archive_link, LIMIT_RING_BYTES, 65536, &rig.parker, &rig.parker), "link");
    struct archive_options ao = {.log = rig.log_options,
                                 .view = rig.view,
                                 .shared = &rig.shared,
                                 .link = &rig.archive_link.b,
                                 .wake = {&rig.parker}};
    rig_ok(archive_open(&rig.archive, rig.archive_disk, &ao), "archive_open");
    rig_ok(archive_run_to(rig.archive, log_durable(rig.log)), "archive_run_to");
}

static inline void rig_open_shard(void)
{
    rig_ok(counters_open(&rig.counters, NULL), "counters");
    for (unsigned i = 0; i < RIG_GATEWAYS; i++)
        rig_ok(link_open(&rig.gateways[i], LIMIT_RING_BYTES, LIMIT_RING_BYTES, &rig.parker,
                         &rig.parker),
               "link");
    rig_ok(
        link_open(&rig.loader_link, LIMIT_RING_BYTES, LIMIT_RING_BYTES, &rig.parker, &rig.parker),
        "link");
    struct loader_options lo = {
        .view = rig.view, .archive = &rig.shared, .link = &rig.loader_link.b};
    rig_ok(loader_open(&rig.loader, &lo), "loader_open");
    struct shard_options so = rig.options;
    so.n_shards = 1;
    so.unix_ms = rig_clock;
    so.counters = rig.counters;
    struct shard_wiring w = {
        .log = rig.log,
        .archive = &rig.shared,
        .archive_link = &rig.archive_link.a,
        .archive_parker = &rig.parker,
        .loader = &rig.loader_link.a,
        .gateways = {&rig.gateways[0].b, &rig.gateways[1].b},
        .n_gateways = RIG_GATEWAYS,
        .next_docnum = view_next_docnum(rig.view),
    };
    rig_ok(shard_open(&rig.shard, &so, &w), "shard_open");
    rig.roles[0] = shard_role(rig.shard);
    rig.roles[1] = loader_role(rig.loader);
    rig.roles[2] = archive_role(rig.archive);
}

static inline void rig_start(void)
{
    rig_open_store();
    rig_open_shard();
}

/* ---- running ---- */

static inline void rig_hear(void)
{
    for (unsigned g = 0; g < RIG_GATEWAYS; g++) {
        struct ring_rx *rx = &rig.gateways[g].a.rx;
        struct rig_queue *q = &rig.in[g];
        struct ring_record r;
        while (ring_peek(rx, &r) == STATUS_OK) {
            cr_assert_lt(q->n, RIG_QUEUE);
            struct rig_msg *m = &q->msgs[(q->first + q->n++) % RIG_QUEUE];
            m->type = r.type;
            m->n = r.payload.n;
            m->p = malloc(m->n + 1);
            memcpy(m->p, r.payload.p, m->n);
            ring_advance(rx);
        }
        ring_release(rx);
    }
}

static inline unsigned rig_poll(void)
{
    unsigned n = 0;
    rig.now_ns += 20 * NS_PER_US;
    for (unsigned i = 0; i < 3; i++) {
        if (i != 2 || !rig.archive_stopped)
            n += rig.roles[i].poll(rig.roles[i].self, rig.now_ns);
    }
    rig_ok(shard_failed(rig.shard), "shard_failed");
    cr_assert_eq(rig.shared.failed, 0);
    if (!rig.deaf)
        rig_hear();
    return n;
}

static inline void rig_poll_for(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (rig_poll() == 0)
            disk_uring_wait(rig.ring, 100 * NS_PER_US);
    }
}

static inline bool rig_is_quiet(void)
{
    for (unsigned g = 0; g < RIG_GATEWAYS; g++) {
        struct ring_tx *tx = &rig.gateways[g].a.tx;
        if (tx->written != tx->shared->head)
            return false;
    }
    return shard_is_quiet(rig.shard);
}

/* Until nothing waits and nothing was done for a while. */
static inline void rig_run(void)
{
    unsigned idle = 0;
    for (unsigned i = 0; i < 200000 && idle < 4; i++) {
        unsigned n = rig_poll();
        if (n == 0 && rig_is_quiet())
            idle++;
        else if (n == 0)
            disk_uring_wait(rig.ring, 200 * NS_PER_US);
        if (n)
            idle = 0;
    }
    cr_assert_eq(idle, 4, "the shard comes to rest");
}

/* Presence ticks and the archive's delay pass. */
static inline void rig_pass_ms(uint64_t ms)
{
    rig.now_ns += ms * NS_PER_MS;
    rig_unix_ms += ms;
    rig_run();
}

static inline void rig_stop_roles(void)
{
    shard_close(rig.shard);
    loader_close(rig.loader);
    archive_close(rig.archive);
    log_close(rig.log);
    view_close(rig.view);
    disk_uring_dir_close(rig.archive_disk);
    disk_uring_dir_close(rig.disk);
    disk_uring_close(rig.ring);
    for (unsigned i = 0; i < RIG_GATEWAYS; i++)
        link_close(&rig.gateways[i]);
    link_close(&rig.loader_link);
    link_close(&rig.archive_link);
    parker_fini(&rig.parker);
    counters_close(rig.counters);
}

/* Stops where it stands (the open group is lost) and starts again. */
static inline void rig_restart(void)
{
    rig_stop_roles();
    rig_start();
}

static inline int rig_remove(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

static inline void rig_init(void)
{
    rig.now_ns = NS_PER_S;
    rig_make_dirs();
    rig_start();
    rig_run();
}

static inline void rig_fini(void)
{
    rig_stop_roles();
    nftw(rig.dir, rig_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what the gateways heard ---- */

/* The next message, of which the caller looks at before the one after is taken; NULL: none. */
static inline const struct rig_msg *rig_next(unsigned g)
{
    static struct rig_msg last;
    struct rig_queue *q = &rig.in[g];
    free(last.p);
    last.p = NULL;
    if (q->n == 0)
        return NULL;
    last = q->msgs[q->first];
    q->first = (q->first + 1) % RIG_QUEUE;
    q->n--;
    return &last;
}

/* The next message, which must be of that type. */
static inline struct reader rig_expect(unsigned g, uint16_t type)
{
    const struct rig_msg *m = rig_next(g);
    cr_assert(m, "a message of type %u, not silence", type);
    cr_assert_eq(m->type, type, "type %u, not %u", type, m->type);
    return reader_of(bytes_of(m->p, m->n));
}

static inline void rig_expect_silence(unsigned g)
{
    const struct rig_msg *m = rig_next(g);
    cr_assert_null(m, "silence, not a message of type %u", m ? m->type : 0);
}

static inline void rig_forget(void)
{
    for (unsigned g = 0; g < RIG_GATEWAYS; g++) {
        while (rig_next(g))
            ;
    }
}

static inline struct msg_error rig_expect_error(unsigned g, uint16_t type, enum status why)
{
    struct reader r = rig_expect(g, type);
    struct msg_error e;
    msg_read_struct(&r, &e);
    cr_assert_eq(e.status, why, "%s, not %s", status_name(why), status_name(e.status));
    return e;
}

/* ---- what they say ---- */

static uint8_t rig_buf[9u << 20];

static inline void rig_send(unsigned g, uint16_t type, const struct writer *w)
{
    cr_assert(w->ok);
    struct link_end *e = &rig.gateways[g].a;
    void *p = ring_claim(&e->tx, writer_n(w));
    cr_assert(p);
    memcpy(p, w->start, writer_n(w));
    ring_commit(&e->tx, type, writer_n(w));
    ring_publish(&e->tx, ring_mark(&e->tx));
}

static inline void rig_write_identity(struct writer *w, const char *user, const char *group)
{
    uint8_t groups[LIMIT_GROUP_BYTES + 2];
    struct msg_identity id = {.user = bytes_str(user), .name = bytes_str(user)};
    struct writer g = writer_of(groups, sizeof groups);
    if (group) {
        write_str(&g, bytes_str(group));
        id.n_groups = 1;
        id.groups = writer_bytes(&g);
    }
    msg_write_identity(w, &id);
}

struct rig_join {
    unsigned g;
    uint64_t tag;
    const char *user;
    const char *group;
    const char *doc;
    const char *client;
    uint32_t flags;
    uint64_t version;
    uint64_t hash;
};

static inline void rig_send_join(const struct rig_join *j)
{
    struct writer w = writer_of(rig_buf, sizeof rig_buf);
    struct msg_join h = {.head = {.tag = j->tag, .session = MSG_NO_SESSION},
                         .version = j->version,
                         .hash = j->hash,
                         .flags = j->flags};
    msg_write_struct(&w, &h);
    rig_write_identity(&w, j->user, j->group);
    write_str(&w, bytes_str(j->doc));
    write_str(&w, bytes_str(j->client));
    rig_send(j->g, MSG_JOIN, &w);
}

struct rig_op {
    uint64_t seq; /* 0: none */
    struct bytes op;
};

struct rig_ops {
    unsigned g;
    struct msg_head head;
    uint64_t base;
    const struct rig_op *ops;
    uint32_t n;
    const char *user; /* a call, if there is one */
    const char *doc;
    const char *client;
};

static inline void rig_send_ops(const struct rig_ops *o)
{
    struct writer w = writer_of(rig_buf, sizeof rig_buf);
    struct msg_ops h = {.head = o->head,
                        .base_version = o->base,
                        .n_ops = o->n,
                        .flags = o->user ? MSG_OPS_CALL : 0};
    msg_write_struct(&w, &h);
    for (uint32_t i = 0; i < o->n; i++) {
        struct msg_op_in in = {.seq = o->ops[i].seq,
                               .op_bytes = (uint32_t)o->ops[i].op.n,
                               .flags = o->ops[i].seq ? 0 : MSG_OP_NO_SEQ};
        msg_write_struct(&w, &in);
        write_bytes(&w, o->ops[i].op);
        msg_write_pad8(&w);
    }
    if (o->user) {
        rig_write_identity(&w, o->user, NULL);
        write_str(&w, bytes_str(o->doc));
        write_str(&w, bytes_str(o->client));
    }
    rig_send(o->g, MSG_OPS, &w);
}

struct rig_call {
    uint16_t type;
    uint64_t tag;
    const char *user;
    const char *group;
    const char *doc;
    uint64_t arg64;
    uint64_t arg64b;
    uint32_t arg32;
    uint8_t arg8;
    struct bytes more[2]; /* str fields behind; p NULL: none */
};

static inline void rig_send_call(unsigned g, const struct rig_call *c)
{
    struct writer w = writer_of(rig_buf, sizeof rig_buf);
    struct msg_call h = {.head = {.tag = c->tag, .session = MSG_NO_SESSION},
                         .arg64 = c->arg64,
                         .arg64b = c->arg64b,
                         .arg32 = c->arg32,
                         .arg8 = c->arg8};
    msg_write_struct(&w, &h);
    rig_write_identity(&w, c->user, c->group);
    write_str(&w, bytes_str(c->doc));
    for (unsigned i = 0; i < 2 && c->more[i].p; i++)
        write_str(&w, c->more[i]);
    rig_send(g, c->type, &w);
}

/* ---- small ops on plain text ---- */

static uint8_t rig_op_mem[64][256];
static unsigned rig_op_next;

static inline struct bytes rig_insert(uint64_t at, const char *text)
{
    uint8_t *buf = rig_op_mem[rig_op_next++ % 64];
    struct op_writer w;
    struct bytes op;
    op_writer_init(&w, buf, 256);
    if (at)
        op_push_retain(&w, at, (struct bytes){0});
    op_push_insert(&w, bytes_str(text), strlen(text), (struct bytes){0});
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    return op;
}

static inline struct bytes rig_delete(uint64_t at, uint64_t n)
{
    uint8_t *buf = rig_op_mem[rig_op_next++ % 64];
    struct op_writer w;
    struct bytes op;
    op_writer_init(&w, buf, 256);
    if (at)
        op_push_retain(&w, at, (struct bytes){0});
    op_push_delete(&w, n);
    cr_assert_eq(op_writer_end(&w, &op), STATUS_OK);
    return op;
}

/* The text of content without attributes and embeds. */
static inline const char *rig_text(struct bytes content)
{
    static char text[65536];
    struct op_reader r = op_reader_of(content);
    struct op_part part;
    size_t n = 0;
    while (op_next(&r, &part)) {
        memcpy(text + n, part.text.p, part.text.n);
        n += part.text.n;
    }
    text[n] = 0;
    return text;
}

/* ---- whole exchanges ---- */

static inline void rig_create(const char *user, const char *doc, uint8_t type, struct bytes content)
{
    rig_send_call(0, &(struct rig_call){.type = MSG_DOC_CREATE,
                                        .tag = 99,
                                        .user = user,
                                        .doc = doc,
                                        .arg8 = type,
                                        .more = {BYTES_LIT("title"), content}});
    rig_run();
    struct reader r = rig_expect(0, MSG_DOC);
    struct msg_doc h;
    msg_read_struct(&r, &h);
    cr_assert_eq(h.head.tag, 99);
}

struct rig_joined {
    struct msg_joined h;
    char client[65];
    struct msg_presence_entry entry[16];
    char content[65536];
};

static inline struct rig_joined *rig_read_joined(struct reader r)
{
    static struct rig_joined j;
    msg_read_struct(&r, &j.h);
    struct bytes client = read_str(&r);
    snprintf(j.client, sizeof j.client, "%.*s", (int)client.n, (const char *)client.p);
    for (uint32_t i = 0; i < j.h.n_presence; i++) {
        msg_read_struct(&r, &j.entry[i % 16]);
        for (unsigned k = 0; k < 3; k++)
            (void)read_str(&r);
    }
    struct bytes content = read_str(&r);
    cr_assert(r.ok && reader_left(&r) == 0);
    snprintf(j.content, sizeof j.content, "%s", rig_text(content));
    return &j;
}

static inline struct rig_joined *rig_joins(const struct rig_join *j)
{
    rig_send_join(j);
    rig_run();
    return rig_read_joined(rig_expect(j->g, MSG_JOINED));
}

struct rig_released {
    struct msg_released h;
    char user[129];
    char client[65];
    struct msg_op_out op[64];
    struct bytes bytes[64];
};

static inline struct rig_released *rig_read_released(struct reader r)
{
    static struct rig_released o;
    msg_read_struct(&r, &o.h);
    struct bytes user = read_str(&r), client = read_str(&r), accepted_by = read_str(&r);
    cr_assert_eq(accepted_by.n, 0);
    snprintf(o.user, sizeof o.user, "%.*s", (int)user.n, (const char *)user.p);
    snprintf(o.client, sizeof o.client, "%.*s", (int)client.n, (const char *)client.p);
    for (uint32_t i = 0; i < o.h.n_ops; i++) {
        msg_read_struct(&r, &o.op[i % 64]);
        o.bytes[i % 64] = read_bytes(&r, o.op[i % 64].op_bytes);
        cr_assert_eq(o.op[i % 64].version, o.h.first_version + i);
    }
    cr_assert(r.ok && reader_left(&r) == 0);
    return &o;
}

struct rig_acks {
    struct msg_acks h;
    struct msg_ack ack[64];
};

static inline struct rig_acks *rig_read_acks(struct reader r)
{
    static struct rig_acks a;
    msg_read_struct(&r, &a.h);
    for (uint32_t i = 0; i < a.h.n_acks; i++)
        msg_read_struct(&r, &a.ack[i % 64]);
    cr_assert(r.ok && reader_left(&r) == 0);
    return &a;
}

struct rig_doc {
    struct msg_doc h;
    char title[1025];
    char owner[129];
    char content[65536];
};

static inline struct rig_doc *rig_read_doc(struct reader r)
{
    static struct rig_doc d;
    msg_read_struct(&r, &d.h);
    (void)read_str(&r);
    struct bytes title = read_str(&r), owner = read_str(&r);
    snprintf(d.title, sizeof d.title, "%.*s", (int)title.n, (const char *)title.p);
    snprintf(d.owner, sizeof d.owner, "%.*s", (int)owner.n, (const char *)owner.p);
    for (uint32_t i = 0; i < d.h.n_roles; i++) {
        (void)read_u8(&r);
        (void)read_str(&r);
    }
    struct bytes content = read_str(&r);
    cr_assert(r.ok && reader_left(&r) == 0);
    snprintf(d.content, sizeof d.content, "%s", rig_text(content));
    return &d;
}

static inline struct rig_doc *rig_get(const char *user, const char *doc, uint8_t at, uint64_t arg)
{
    rig_send_call(
        0, &(struct rig_call){
               .type = MSG_DOC_GET, .tag = 77, .user = user, .doc = doc, .arg8 = at, .arg64 = arg});
    rig_run();
    return rig_read_doc(rig_expect(0, MSG_DOC));
}

#endif
