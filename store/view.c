/* The environment: opening, keys, values with their checksum, read transactions. */
#include "store/view_private.h"

#include "base/hash.h"
#include "base/say.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/statvfs.h>

#define READERS_MAX 256u
#define FULL_BYTES  (4u << 20) /* a disk with less free is full */

static const char *const table_names[VIEW_TABLES] = {
    [VIEW_META] = "meta",       [VIEW_NAME] = "name",     [VIEW_DOC] = "doc",      [VIEW_OP] = "op",
    [VIEW_CONTENT] = "content", [VIEW_CLIENT] = "client", [VIEW_PERSON] = "person"};

/* ---- errors ---- */

enum status view_status(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return STATUS_OK;
    case MDB_NOTFOUND:
        return STATUS_END;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_ROOM;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    case EIO:
        return STATUS_IO;
    case MDB_VERSION_MISMATCH:
        return STATUS_FORMAT;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
        break;
    default:
        say(SAY_ERROR, "view: %s", mdb_strerror(rc));
        return STATUS_IO;
    }
    say(SAY_ERROR, "view: %s", mdb_strerror(rc));
    return STATUS_CORRUPT;
}

/* LMDB says EIO where a write came short, as the last one before a full disk does. Trying again is
 * safe: what the transaction wrote is not referred to by what is committed, and the next attempt
 * writes all of it anew. */
enum status view_write_status(struct view *v, enum status s)
{
    struct statvfs fs;
    if (s == STATUS_IO && fstatvfs(view_fd(v), &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize < FULL_BYTES)
        return STATUS_NO_ROOM;
    return s;
}

/* ---- keys ---- */

static void put_be64(uint8_t *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof v);
}

struct view_key view_key_num(uint64_t docnum)
{
    struct view_key key = {.n = 8};
    put_be64(key.at, docnum);
    return key;
}

struct view_key view_key_num2(uint64_t docnum, uint64_t version)
{
    struct view_key key = {.n = 16};
    put_be64(key.at, docnum);
    put_be64(key.at + 8, version);
    return key;
}

bool view_key_client(struct view_key *key, uint64_t docnum, struct bytes client_id)
{
    struct writer w = writer_of(key->at, sizeof key->at);
    write_u64(&w, __builtin_bswap64(docnum));
    write_bytes(&w, client_id);
    key->n = writer_n(&w);
    return w.ok;
}

bool view_key_name(struct view_key *key, struct bytes tenant, struct bytes doc_id)
{
    struct writer w = writer_of(key->at, sizeof key->at);
    write_bytes(&w, tenant);
    write_u8(&w, 0);
    write_bytes(&w, doc_id);
    key->n = writer_n(&w);
    return w.ok;
}

bool view_key_person(struct view_key *key, struct bytes tenant, struct bytes principal,
                     uint64_t docnum)
{
    struct writer w = writer_of(key->at, sizeof key->at);
    write_bytes(&w, tenant);
    write_u8(&w, 0);
    write_bytes(&w, principal);
    write_u8(&w, 0);
    if (docnum)
        write_u64(&w, __builtin_bswap64(docnum));
    key->n = writer_n(&w);
    return w.ok;
}

uint64_t view_key_tail(struct bytes key)
{
    uint64_t v = 0;
    if (key.n >= 8)
        memcpy(&v, key.p + key.n - 8, 8);
    return __builtin_bswap64(v);
}

/* ---- values ---- */

static uint64_t value_sum(struct bytes key, struct bytes value)
{
    return hash64_seed(value, hash64(key));
}

enum status view_value_check(struct bytes key, MDB_val stored, struct bytes *value)
{
    uint64_t sum;
    if (stored.mv_size < VIEW_SUM_BYTES)
        return STATUS_CORRUPT;
    struct bytes v = bytes_of(stored.mv_data, stored.mv_size - VIEW_SUM_BYTES);
    memcpy(&sum, v.p + v.n, sizeof sum);
    if (sum != value_sum(key, v))
        return STATUS_CORRUPT;
    *value = v;
    return STATUS_OK;
}

static MDB_val val_of(struct bytes b)
{
    return (MDB_val){.mv_size = b.n, .mv_data = (void *)(uintptr_t)b.p};
}

enum status view_get(MDB_txn *txn, MDB_dbi table, struct bytes key, struct bytes *value)
{
    MDB_val k = val_of(key), stored;
    int rc = mdb_get(txn, table, &k, &stored);
    return rc ? view_status(rc) : view_value_check(key, stored, value);
}

enum status view_put(MDB_txn *txn, MDB_dbi table, struct bytes key, struct bytes value)
{
    MDB_val k = val_of(key), stored = {.mv_size = value.n + VIEW_SUM_BYTES};
    uint64_t sum = value_sum(key, value);
    int rc = mdb_put(txn, table, &k, &stored, MDB_RESERVE);
    if (rc)
        return view_status(rc);
    if (value.n)
        memcpy(stored.mv_data, value.p, value.n);
    memcpy((uint8_t *)stored.mv_data + value.n, &sum, sizeof sum);
    return STATUS_OK;
}

enum status view_get_u64(MDB_txn *txn, MDB_dbi table, struct bytes key, uint64_t *value)
{
    struct bytes v;
    enum status s = view_get(txn, table, key, &v);
    if (s != STATUS_OK)
        return s;
    if (v.n != sizeof *value)
        return STATUS_CORRUPT;
    memcpy(value, v.p, sizeof *value);
    return STATUS_OK;
}

enum status view_put_u64(MDB_txn *txn, MDB_dbi table, struct bytes key, uint64_t value)
{
    return view_put(txn, table, key, bytes_of(&value, sizeof value));
}

/* ---- open and close ---- */

static enum status meta_make(struct view *v, MDB_txn *txn, const struct view_options *o)
{
    MDB_dbi meta = v->tables[VIEW_META];
    uint64_t uuid[2];
    if (getrandom(uuid, sizeof uuid, 0) != (ssize_t)sizeof uuid)
        return STATUS_IO;
    enum status s = view_put(txn, meta, BYTES_LIT("uuid"), bytes_of(uuid, sizeof uuid));
    if (s == STATUS_OK)
        s = view_put_u64(txn, meta, BYTES_LIT("shard"), o->shard);
    if (s == STATUS_OK)
        s = view_put_u64(txn, meta, BYTES_LIT("n_shards"), o->n_shards);
    if (s == STATUS_OK)
        s = view_put_u64(txn, meta, BYTES_LIT("index"), 0);
    if (s == STATUS_OK)
        s = view_put_u64(txn, meta, BYTES_LIT("next_docnum"), 1);
    if (s == STATUS_OK)
        s = view_put_u64(txn, meta, BYTES_LIT("format"), VIEW_FORMAT);
    return s;
}

static enum status meta_check(struct view *v, MDB_txn *txn, const struct view_options *o)
{
    MDB_dbi meta = v->tables[VIEW_META];
    uint64_t format, shard, n_shards;
    enum status s = view_get_u64(txn, meta, BYTES_LIT("format"), &format);
    if (s == STATUS_END && !v->read_only)
        return meta_make(v, txn, o);
    if (s == STATUS_OK && format != VIEW_FORMAT) {
        say(SAY_ERROR, "%s: format %llu, this program knows %u", o->dir, (unsigned long long)format,
            VIEW_FORMAT);
        return STATUS_FORMAT;
    }
    if (s == STATUS_OK)
        s = view_get_u64(txn, meta, BYTES_LIT("shard"), &shard);
    if (s == STATUS_OK)
        s = view_get_u64(txn, meta, BYTES_LIT("n_shards"), &n_shards);
    if (s == STATUS_OK && (shard != o->shard || n_shards != o->n_shards)) {
        say(SAY_ERROR, "%s: shard %llu of %llu, not %u of %u", o->dir, (unsigned long long)shard,
            (unsigned long long)n_shards, o->shard, o->n_shards);
        return STATUS_FORMAT;
    }
    return s == STATUS_END ? STATUS_FORMAT : s;
}

static enum status tables_open(struct view *v, const struct view_options *o)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(v->env, NULL, v->read_only ? MDB_RDONLY : 0, &txn);
    if (rc)
        return view_status(rc);
    enum status s = STATUS_OK;
    for (int i = 0; i < VIEW_TABLES && s == STATUS_OK; i++)
        s = view_status(
            mdb_dbi_open(txn, table_names[i], v->read_only ? 0 : MDB_CREATE, &v->tables[i]));
    if (s == STATUS_OK)
        s = meta_check(v, txn, o);
    if (s != STATUS_OK) {
        mdb_txn_abort(txn);
        return s == STATUS_END ? STATUS_FORMAT : s;
    }
    return view_status(mdb_txn_commit(txn));
}

enum status view_open(struct view **out, const struct view_options *options)
{
    struct view *v = calloc(1, sizeof *v);
    if (!v)
        return STATUS_NO_MEMORY;
    v->read_only = options->read_only;
    int rc = mdb_env_create(&v->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(v->env, VIEW_TABLES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(v->env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(v->env, options->map_bytes);
    /* NOTLS: a read transaction belongs to whoever holds it, not to a thread. */
    if (rc == 0)
        rc = mdb_env_open(v->env, options->dir,
                          MDB_NOTLS | MDB_NORDAHEAD | (v->read_only ? MDB_RDONLY : 0), 0600);
    enum status s = view_status(rc);
    if (s == STATUS_OK)
        s = tables_open(v, options);
    if (s == STATUS_END) /* LMDB found no file where it should be */
        s = STATUS_FORMAT;
    if (s != STATUS_OK) {
        view_close(v);
        return s;
    }
    *out = v;
    return STATUS_OK;
}

void view_close(struct view *v)
{
    if (!v)
        return;
    view_write_free(v);
    if (v->env)
        mdb_env_close(v->env);
    free(v);
}

static uint64_t meta_u64(struct view *v, struct bytes key)
{
    MDB_txn *txn;
    uint64_t value = 0;
    int rc = mdb_txn_begin(v->env, NULL, MDB_RDONLY, &txn);
    check(rc == 0);
    enum status s = view_get_u64(txn, v->tables[VIEW_META], key, &value);
    mdb_txn_abort(txn);
    check_cmp(s, ==, STATUS_OK); /* it was checked at open */
    return value;
}

uint64_t view_index(struct view *v)
{
    return meta_u64(v, BYTES_LIT("index"));
}

uint64_t view_next_docnum(struct view *v)
{
    return meta_u64(v, BYTES_LIT("next_docnum"));
}

int view_fd(struct view *v)
{
    mdb_filehandle_t fd = -1;
    (void)mdb_env_get_fd(v->env, &fd);
    return fd;
}

/* ---- read transactions ---- */

enum status view_read_begin(struct view *v, struct view_read **out)
{
    struct view_read *r = calloc(1, sizeof *r);
    if (!r)
        return STATUS_NO_MEMORY;
    r->view = v;
    enum status s = view_status(mdb_txn_begin(v->env, NULL, MDB_RDONLY, &r->txn));
    if (s == STATUS_OK) {
        s = view_get_u64(r->txn, v->tables[VIEW_META], BYTES_LIT("index"), &r->index);
        if (s != STATUS_OK)
            mdb_txn_abort(r->txn);
    }
    if (s != STATUS_OK) {
        free(r);
        return s == STATUS_END ? STATUS_CORRUPT : s;
    }
    *out = r;
    return STATUS_OK;
}

void view_read_end(struct view_read *r)
{
    if (!r)
        return;
    mdb_txn_abort(r->txn);
    free(r);
}

uint64_t view_read_index(struct view_read *r)
{
    return r->index;
}
