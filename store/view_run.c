#include "store/view_run.h"

#include "base/say.h"

/* flags */
#define AUTHOR_MASK 0x03u
#define AUTHOR_SAME 0x00u
#define AUTHOR_SLOT 0x01u
#define AUTHOR_NEW  0x02u
#define SEQ_MASK    0x0cu
#define SEQ_NEXT    0x00u
#define SEQ_NONE    0x04u
#define SEQ_GIVEN   0x08u
#define TIME_GIVEN  0x10u
#define FLAGS_KNOWN 0x1fu

static uint64_t zigzag(uint64_t delta)
{
    return (delta << 1) ^ (uint64_t)((int64_t)delta >> 63);
}

static uint64_t unzigzag(uint64_t v)
{
    return (v >> 1) ^ (0 - (v & 1));
}

/* ---- reading ---- */

enum status view_run_head_read(struct bytes run, struct view_run_head *head)
{
    struct view_run_head v;
    if (run.n < sizeof v)
        return STATUS_CORRUPT;
    memcpy(&v, run.p, sizeof v);
    if (v.format != VIEW_RUN_FORMAT || v.zero != 0 || v.n_ops == 0)
        return STATUS_CORRUPT;
    *head = v;
    return STATUS_OK;
}

enum status view_run_open(struct view_run_reader *r, struct bytes run, uint64_t first_version)
{
    enum status s = view_run_head_read(run, &r->head);
    if (s != STATUS_OK)
        return s;
    r->r = reader_of(bytes_of(run.p + sizeof r->head, run.n - sizeof r->head));
    r->version = first_version;
    r->unix_ms = r->head.first_ms;
    r->hash = r->head.before_hash;
    r->n_left = r->head.n_ops;
    r->n_authors = 0;
    r->author = 0;
    return STATUS_OK;
}

static struct view_run_author *read_author(struct view_run_reader *r, uint8_t flags)
{
    struct reader *in = &r->r;
    uint64_t slot = r->author;
    if ((flags & AUTHOR_MASK) == AUTHOR_NEW) {
        slot = r->n_authors++ % VIEW_RUN_AUTHORS;
        struct view_run_author *a = &r->authors[slot];
        a->user = read_str(in);
        a->client = read_str(in);
        a->accepted_by = read_str(in);
        a->seq = 0;
    } else if ((flags & AUTHOR_MASK) == AUTHOR_SLOT) {
        slot = read_varint(in);
    }
    if (slot >= VIEW_RUN_AUTHORS || slot >= r->n_authors)
        return NULL;
    r->author = (uint32_t)slot;
    return &r->authors[slot];
}

enum status view_run_next(struct view_run_reader *r, struct view_op *op)
{
    struct reader *in = &r->r;
    if (r->n_left == 0) {
        bool is_whole = reader_left(in) == 0 && r->hash == r->head.last_hash;
        return is_whole ? STATUS_END : STATUS_CORRUPT;
    }
    uint8_t flags = read_u8(in);
    struct view_run_author *a = read_author(r, flags);
    if (!a || flags & ~FLAGS_KNOWN)
        return STATUS_CORRUPT;
    if (flags & TIME_GIVEN)
        r->unix_ms += unzigzag(read_varint(in));
    uint64_t seq = 0;
    if ((flags & SEQ_MASK) == SEQ_NEXT)
        seq = a->seq + 1;
    else if ((flags & SEQ_MASK) == SEQ_GIVEN)
        seq = read_varint(in);
    if (seq)
        a->seq = seq;
    struct bytes bytes = read_str(in);
    if (!in->ok)
        return STATUS_CORRUPT;
    r->hash = record_hash_op(r->hash, bytes, a->user, a->client, seq);
    *op = (struct view_op){.version = r->version++,
                           .unix_ms = r->unix_ms,
                           .op = {.seq = seq, .hash = r->hash, .op = bytes},
                           .user = a->user,
                           .client = a->client,
                           .accepted_by = a->accepted_by};
    r->n_left--;
    return STATUS_OK;
}

/* ---- writing ---- */

void view_run_begin(struct view_run_writer *w, uint8_t *buf, size_t cap, uint64_t first_version,
                    uint64_t before_hash)
{
    w->buf = buf;
    w->bytes = sizeof w->head;
    w->cap = cap;
    w->head = (struct view_run_head){
        .format = VIEW_RUN_FORMAT, .before_hash = before_hash, .last_hash = before_hash};
    w->first_version = first_version;
    w->unix_ms = 0;
    w->n_authors = 0;
    w->author = 0;
}

static size_t author_bytes(const struct view_run_author *a)
{
    return varint_bytes(a->user.n) + a->user.n + varint_bytes(a->client.n) + a->client.n +
           varint_bytes(a->accepted_by.n) + a->accepted_by.n;
}

enum status view_run_resume(struct view_run_writer *w, uint8_t *buf, size_t bytes, size_t cap,
                            uint64_t first_version)
{
    struct view_run_reader r;
    struct view_op op;
    enum status s = view_run_open(&r, bytes_of(buf, bytes), first_version);
    if (s != STATUS_OK)
        return s;
    while ((s = view_run_next(&r, &op)) == STATUS_OK)
        ;
    if (s != STATUS_END)
        return s;
    view_run_begin(w, buf, cap, first_version, r.head.before_hash);
    w->bytes = bytes;
    w->head = r.head;
    w->unix_ms = r.unix_ms;
    w->n_authors = r.n_authors;
    w->author = r.author;
    for (uint32_t i = 0; i < r.n_authors && i < VIEW_RUN_AUTHORS; i++) {
        const struct view_run_author *a = &r.authors[i];
        const uint8_t *at = a->user.p - varint_bytes(a->user.n);
        w->slots[i] =
            (struct view_run_slot){(uint32_t)(at - buf), (uint32_t)author_bytes(a), a->seq};
    }
    return STATUS_OK;
}

static bool is_slot(const struct view_run_writer *w, uint32_t slot, struct bytes author)
{
    const struct view_run_slot *s = &w->slots[slot];
    return s->n == author.n && memcmp(w->buf + s->at, author.p, author.n) == 0;
}

/* The author's slot; VIEW_RUN_AUTHORS: it has none. */
static uint32_t find_slot(const struct view_run_writer *w, struct bytes author, uint32_t guess)
{
    uint32_t n = w->n_authors < VIEW_RUN_AUTHORS ? w->n_authors : VIEW_RUN_AUTHORS;
    if (guess < n && is_slot(w, guess, author))
        return guess;
    uint32_t slot = 0;
    while (slot < n && !is_slot(w, slot, author))
        slot++;
    return slot < n ? slot : VIEW_RUN_AUTHORS;
}

void view_run_push(struct view_run_writer *w, struct bytes author, uint32_t *guess,
                   uint64_t unix_ms, const struct record_op *op)
{
    struct writer out = writer_of(w->buf + w->bytes, w->cap - w->bytes);
    uint8_t *flags = out.p;
    uint32_t slot = find_slot(w, author, *guess);
    bool is_new = slot == VIEW_RUN_AUTHORS;
    bool is_same = !is_new && slot == w->author;
    write_u8(&out, (uint8_t)(is_new ? AUTHOR_NEW : is_same ? AUTHOR_SAME : AUTHOR_SLOT));
    if (is_new) {
        slot = w->n_authors++ % VIEW_RUN_AUTHORS;
        w->slots[slot] = (struct view_run_slot){(uint32_t)(out.p - w->buf), (uint32_t)author.n, 0};
        write_bytes(&out, author);
    } else if (!is_same) {
        write_varint(&out, slot);
    }
    w->author = *guess = slot;
    if (w->head.n_ops == 0) {
        w->head.first_ms = unix_ms;
    } else if (unix_ms != w->unix_ms) {
        *flags |= TIME_GIVEN;
        write_varint(&out, zigzag(unix_ms - w->unix_ms));
    }
    w->unix_ms = unix_ms;
    if (op->seq == 0) {
        *flags |= SEQ_NONE;
    } else if (op->seq != w->slots[slot].seq + 1) {
        *flags |= SEQ_GIVEN;
        write_varint(&out, op->seq);
    }
    if (op->seq)
        w->slots[slot].seq = op->seq;
    write_str(&out, op->op);
    check(out.ok);
    w->bytes += writer_n(&out);
    w->head.n_ops++;
    w->head.last_hash = op->hash;
}

struct bytes view_run_end(struct view_run_writer *w)
{
    memcpy(w->buf, &w->head, sizeof w->head);
    return bytes_of(w->buf, w->bytes);
}
