#include "store/view_private.h"

enum status view_doc_get(struct view_read *r, uint64_t docnum, struct view_doc *doc)
{
    struct view_key key = view_key_num(docnum);
    struct bytes value;
    struct view_doc_row row;
    enum status s = view_get(r->txn, r->view->tables[VIEW_DOC], view_key_bytes(&key), &value);
    if (s == STATUS_OK)
        s = view_doc_row_read(value, docnum, &row);
    if (s == STATUS_OK)
        *doc = row.doc;
    return s;
}

enum status view_doc_find(struct view_read *r, struct bytes tenant, struct bytes doc_id,
                          struct view_doc *doc)
{
    struct view_key key;
    uint64_t docnum;
    struct view_doc v;
    if (!view_key_name(&key, tenant, doc_id))
        return STATUS_END;
    enum status s = view_get_u64(r->txn, r->view->tables[VIEW_NAME], view_key_bytes(&key), &docnum);
    if (s != STATUS_OK)
        return s;
    s = view_doc_get(r, docnum, &v);
    if (s == STATUS_END ||
        (s == STATUS_OK && (!bytes_eq(v.tenant, tenant) || !bytes_eq(v.doc_id, doc_id))))
        return STATUS_CORRUPT; /* a name leads to a document, and to that one */
    if (s == STATUS_OK)
        *doc = v;
    return s;
}

enum status view_client_find(struct view_read *r, uint64_t docnum, struct bytes client_id,
                             struct view_client *c)
{
    struct view_key key;
    struct bytes value;
    if (!view_key_client(&key, docnum, client_id))
        return STATUS_END;
    enum status s = view_get(r->txn, r->view->tables[VIEW_CLIENT], view_key_bytes(&key), &value);
    return s == STATUS_OK ? view_client_read(value, c) : s;
}

/* ---- by version ---- */

/* The entry of (docnum, the greatest version at or below `version`). */
static enum status find_at_or_below(MDB_cursor *cursor, uint64_t docnum, uint64_t version,
                                    uint64_t *at, struct bytes *value)
{
    struct view_key want = view_key_num2(docnum, version);
    MDB_val key = {.mv_size = want.n, .mv_data = want.at}, stored;
    int rc = mdb_cursor_get(cursor, &key, &stored, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, &key, &stored, MDB_LAST);
    else if (rc == 0 && !bytes_eq(bytes_of(key.mv_data, key.mv_size), view_key_bytes(&want)))
        rc = mdb_cursor_get(cursor, &key, &stored, MDB_PREV);
    if (rc)
        return view_status(rc);
    struct bytes found = bytes_of(key.mv_data, key.mv_size);
    if (found.n != want.n || memcmp(found.p, want.at, 8) != 0)
        return STATUS_END;
    *at = view_key_tail(found);
    return view_value_check(found, stored, value);
}

enum status view_content_find(struct view_read *r, uint64_t docnum, uint64_t version, uint64_t *at,
                              struct bytes *content)
{
    MDB_cursor *cursor;
    enum status s = view_status(mdb_cursor_open(r->txn, r->view->tables[VIEW_CONTENT], &cursor));
    if (s != STATUS_OK)
        return s;
    s = find_at_or_below(cursor, docnum, version, at, content);
    mdb_cursor_close(cursor);
    return s;
}

/* ---- ops ---- */

/* The next run, which must go on where the last one ended. */
static enum status next_run(MDB_cursor *cursor, uint64_t docnum, uint64_t version,
                            struct bytes *run)
{
    MDB_val key, stored;
    struct view_key want = view_key_num2(docnum, version);
    int rc = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
    if (rc)
        return view_status(rc);
    struct bytes found = bytes_of(key.mv_data, key.mv_size);
    if (found.n != want.n || memcmp(found.p, want.at, 8) != 0)
        return STATUS_END;
    return bytes_eq(found, view_key_bytes(&want)) ? view_value_check(found, stored, run)
                                                  : STATUS_CORRUPT;
}

struct ops_walk {
    uint64_t from;
    uint64_t to;
    bool (*each)(void *arg, const struct view_op *op);
    void *arg;
    bool is_done;
};

/* The wanted ops of one run. */
static enum status walk_run(struct ops_walk *walk, struct bytes run, uint64_t first,
                            uint64_t *next_version)
{
    struct view_run_reader ops;
    struct view_op op;
    enum status s = view_run_open(&ops, run, first);
    if (s != STATUS_OK)
        return s;
    while (!walk->is_done && (s = view_run_next(&ops, &op)) == STATUS_OK) {
        if (op.version < walk->from)
            continue;
        if (op.version > walk->to || !walk->each(walk->arg, &op) || op.version == walk->to)
            walk->is_done = true;
    }
    *next_version = ops.version;
    return s == STATUS_END ? STATUS_OK : s;
}

enum status view_ops(struct view_read *r, uint64_t docnum, uint64_t from, uint64_t to,
                     bool (*each)(void *arg, const struct view_op *op), void *arg)
{
    struct ops_walk walk = {from ? from : 1, to, each, arg, false};
    MDB_cursor *cursor;
    struct bytes run;
    uint64_t first = 0;
    if (to < walk.from)
        return STATUS_OK;
    enum status s = view_status(mdb_cursor_open(r->txn, r->view->tables[VIEW_OP], &cursor));
    if (s != STATUS_OK)
        return s;
    s = find_at_or_below(cursor, docnum, walk.from, &first, &run);
    while (s == STATUS_OK) {
        s = walk_run(&walk, run, first, &first);
        if (s != STATUS_OK || walk.is_done)
            break;
        s = next_run(cursor, docnum, first, &run);
    }
    mdb_cursor_close(cursor);
    return s;
}

/* ---- by time ---- */

struct time_walk {
    uint64_t unix_ms;
    uint64_t version;
};

static bool time_each(void *arg, const struct view_op *op)
{
    struct time_walk *walk = arg;
    if (op->unix_ms > walk->unix_ms)
        return false;
    walk->version = op->version;
    return true;
}

/* The first version of the last run that begins at or before that time; 0: none. */
static enum status find_run_by_time(struct view_read *r, uint64_t docnum, uint64_t version,
                                    uint64_t unix_ms, uint64_t *first)
{
    MDB_cursor *cursor;
    enum status s = view_status(mdb_cursor_open(r->txn, r->view->tables[VIEW_OP], &cursor));
    if (s != STATUS_OK)
        return s;
    uint64_t low = 1, high = version;
    *first = 0;
    while (low <= high && s == STATUS_OK) {
        struct bytes run;
        struct view_run_head head;
        uint64_t at = 0;
        s = find_at_or_below(cursor, docnum, low + (high - low) / 2, &at, &run);
        if (s == STATUS_OK)
            s = at ? view_run_head_read(run, &head) : STATUS_CORRUPT;
        if (s != STATUS_OK)
            break;
        if (head.first_ms <= unix_ms) {
            *first = at;
            low = at + head.n_ops;
        } else {
            high = at - 1;
        }
    }
    mdb_cursor_close(cursor);
    return s == STATUS_END ? STATUS_CORRUPT : s; /* every version has its run */
}

enum status view_version_at(struct view_read *r, uint64_t docnum, uint64_t unix_ms,
                            uint64_t *version)
{
    struct view_doc doc;
    enum status s = view_doc_get(r, docnum, &doc);
    if (s != STATUS_OK)
        return s;
    if (unix_ms < doc.created_ms)
        return STATUS_END;
    uint64_t first;
    s = find_run_by_time(r, docnum, doc.version, unix_ms, &first);
    if (s != STATUS_OK)
        return s;
    struct time_walk walk = {unix_ms, 0};
    if (first)
        s = view_ops(r, docnum, first, doc.version, time_each, &walk);
    if (s == STATUS_OK)
        *version = walk.version;
    return s;
}

/* ---- people ---- */

enum status view_person_docs(struct view_read *r, struct bytes tenant, struct bytes principal,
                             bool (*each)(void *arg, uint64_t docnum, uint8_t role), void *arg)
{
    struct view_key prefix;
    MDB_cursor *cursor;
    if (!view_key_person(&prefix, tenant, principal, 0))
        return STATUS_OK;
    enum status s = view_status(mdb_cursor_open(r->txn, r->view->tables[VIEW_PERSON], &cursor));
    if (s != STATUS_OK)
        return s;
    MDB_val key = {.mv_size = prefix.n, .mv_data = prefix.at}, stored;
    int rc = mdb_cursor_get(cursor, &key, &stored, MDB_SET_RANGE);
    while (rc == 0) {
        struct bytes found = bytes_of(key.mv_data, key.mv_size), value;
        if (found.n != prefix.n + 8 || memcmp(found.p, prefix.at, prefix.n) != 0)
            break;
        s = view_value_check(found, stored, &value);
        if (s == STATUS_OK && (value.n != 1 || value.p[0] > DOC_ROLE_OWNER))
            s = STATUS_CORRUPT;
        if (s != STATUS_OK || !each(arg, view_key_tail(found), value.p[0]))
            break;
        rc = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (s == STATUS_OK && rc && rc != MDB_NOTFOUND)
        s = view_status(rc);
    return s;
}
