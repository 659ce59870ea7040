/*
 * What a disk may give back: a log file of any bytes (also with checksums that hold), record
 * payloads, and values of the view. Nothing may crash, what is accepted must come out the same when
 * it is written again, and a log that opens must be readable up to where it says. The first byte
 * chooses. CANARY plants a bug: an OPS record whose second op has seq 7 is taken for a crash.
 */
#include "base/say.h"
#include "store/log.h"
#include "store/segment.h"
#include "store/view_doc.h"
#include "store/view_run.h"
#include "tests/support/memory_disk.h"

#define FILE_BYTES (16u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct log_options options = {.segment_bytes = FILE_BYTES,
                                           .segments_max = 3,
                                           .group_bytes_max = FILE_BYTES,
                                           .record_bytes_max = 4096,
                                           .log_id = 1};

/* ---- files ---- */

static void open_log(struct memory_disk *m)
{
    struct disk disk = memory_disk_interface(m);
    struct log *l;
    enum status s = log_open(&l, disk, &options);
    if (s != STATUS_OK) {
        check(s == STATUS_CORRUPT || s == STATUS_FORMAT);
        return;
    }
    struct log_cursor *c;
    struct log_record r;
    uint64_t durable_idx = log_durable(l), last = 0;
    check(log_cursor_open(&c, disk, &options, 0) == STATUS_OK);
    while (durable_idx && (s = log_cursor_next(c, durable_idx, &r)) == STATUS_OK)
        last = r.idx;
    if (durable_idx && last)
        check_cmp(last, ==, durable_idx);
    log_cursor_close(c);
    log_close(l);
}

/* Groups whose payloads are the input, their checksums right; then some bytes are changed. */
static void file_of_groups(struct reader *in, struct memory_file *f)
{
    struct segment_chain chain = {.log_id = 5, .next_idx = 1};
    uint64_t offset = 0;
    for (unsigned n = read_u8(in) % 5; n > 0; n--) {
        struct bytes payload = read_bytes(in, read_u8(in) % (reader_left(in) + 1));
        struct segment_group g = {.log_id = chain.log_id,
                                  .n_records = read_u8(in) % 4,
                                  .segment = 1,
                                  .segment_bytes = FILE_BYTES,
                                  .offset = offset,
                                  .epoch = 1 + read_u8(in) % 2,
                                  .first_idx = chain.next_idx + (read_u8(in) == 1),
                                  .payload_bytes = payload.n,
                                  .prev_sum = chain.prev_sum + (read_u8(in) == 1)};
        if (offset + segment_group_bytes(payload.n) > FILE_BYTES)
            break;
        if (payload.n)
            memcpy(f->at + offset + sizeof g, payload.p, payload.n);
        if (read_u8(in) & 1 && payload.n < 200) { /* one good record */
            segment_record_seal(f->at + offset + sizeof g, RECORD_OPS, g.first_idx,
                                (uint32_t)payload.n);
            g.payload_bytes = segment_record_bytes(payload.n);
            g.n_records = 1;
        }
        offset += segment_group_seal(f->at + offset, &g);
        segment_chain_step(&chain, &g);
    }
    while (reader_left(in) >= 3) {
        uint16_t at = read_u16(in) % FILE_BYTES;
        f->at[at] ^= read_u8(in);
    }
}

static void try_file(struct reader *in, bool is_raw)
{
    struct memory_disk *m = memory_disk_new(8 * FILE_BYTES);
    int file;
    check(memory_make_now(m, "log-0000000000000001", FILE_BYTES, &file) == STATUS_OK);
    struct memory_file *f = &m->files[file];
    if (is_raw) {
        struct bytes rest = read_rest(in);
        if (rest.n)
            memcpy(f->at, rest.p, rest.n < FILE_BYTES ? rest.n : FILE_BYTES);
    } else {
        file_of_groups(in, f);
    }
    open_log(m);
    memory_disk_free(m);
}

/* ---- records ---- */

#define TRY(name)                                                                                  \
    static void try_##name(struct bytes b)                                                         \
    {                                                                                              \
        static uint8_t out[1 << 16];                                                               \
        struct record_##name r;                                                                    \
        if (record_read_##name(b, &r) != STATUS_OK)                                                \
            return;                                                                                \
        struct writer w = writer_of(out, sizeof out);                                              \
        record_write_##name(&w, &r);                                                               \
        check(!w.ok || (bytes_eq(writer_bytes(&w), b) && record_##name##_bytes(&r) == b.n));       \
    }
TRY(create)
TRY(client)
TRY(title)
TRY(role)
TRY(trash)

static void try_ops(struct bytes b)
{
    static uint8_t out[1 << 16];
    struct record_ops r;
    struct record_op op;
    if (record_read_ops(b, &r) != STATUS_OK)
        return;
    struct writer w = writer_of(out, sizeof out);
    record_write_ops_head(&w, &r);
    check(!w.ok || record_ops_head_bytes(&r) == writer_n(&w));
    struct reader ops = reader_of(r.ops);
    for (unsigned n = 1; record_next_op(&ops, &op); n++) {
#ifdef CANARY
        if (n == 2 && op.seq == 7)
            abort();
#endif
        record_write_op(&w, &op);
    }
    check(!w.ok || !ops.ok || bytes_eq(writer_bytes(&w), b));
}

/* ---- values of the view ---- */

static void try_values(struct bytes b)
{
    static struct view_run_reader run;
    static uint8_t out[1 << 16];
    struct view_op op;
    struct view_doc_row row;
    struct view_client client;
    enum status s = view_run_open(&run, b, 1);
    for (size_t n = 0; s == STATUS_OK; n++) {
        s = view_run_next(&run, &op);
        check_cmp(n, <=, b.n);
    }
    struct writer w = writer_of(out, sizeof out);
    if (view_doc_row_read(b, 1, &row) == STATUS_OK) {
        view_doc_row_write(&w, &row);
        check(!w.ok || (bytes_eq(writer_bytes(&w), b) && view_doc_row_bytes(&row) == b.n));
        uint32_t n_roles;
        w = writer_of(out, sizeof out);
        (void)!view_roles_set(row.doc.roles, BYTES_LIT("bob"), DOC_ROLE_EDITOR, &w, &n_roles);
    }
    w = writer_of(out, sizeof out);
    if (view_client_read(b, &client) == STATUS_OK) {
        view_client_write(&w, &client);
        check(!w.ok || (bytes_eq(writer_bytes(&w), b) && view_client_bytes(&client) == b.n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(struct bytes) = {try_create, try_client, try_title, try_role,
                                                  try_trash,  try_ops,    try_values};
    struct reader in = reader_of(bytes_of(data, size));
    unsigned what = read_u8(&in) % 9;
    if (what < 2)
        try_file(&in, what == 0);
    else
        tries[what - 2](read_rest(&in));
    return 0;
}
