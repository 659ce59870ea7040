/* doc_print.c - see doc_print.h. */
#include "tools/doc_print.h"
#include "base/say.h"
#include "base/utf.h"
#include "gateway/json.h"

#include <stdio.h>
#include <stdlib.h>

static bool complain(void)
{
    say(SAY_ERROR, "the server's answer is not what the protocol describes");
    return false;
}

/* ---- reading ---- */

static bool take_string(struct json *j, struct bytes *s)
{
    return json_peek(j) == JSON_STRING ? json_string(j, s) : json_skip(j);
}

static bool take_whole(struct json *j, uint64_t *v)
{
    bool whole = false;
    return json_peek(j) == JSON_NUMBER ? json_whole(j, v, &whole) : json_skip(j);
}

static bool take_member(struct json *j, struct bytes key, struct doc_fields *f)
{
    static const struct {
        const char *name;
        size_t offset;
    } strings[] = {
        {"id", offsetof(struct doc_fields, id)},
        {"type", offsetof(struct doc_fields, type)},
        {"title", offsetof(struct doc_fields, title)},
        {"role", offsetof(struct doc_fields, role)},
        {"owner_id", offsetof(struct doc_fields, owner_id)},
        {"created", offsetof(struct doc_fields, created)},
        {"last_modified", offsetof(struct doc_fields, last_modified)},
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (bytes_eq(key, bytes_str(strings[i].name)))
            return take_string(j, (struct bytes *)(void *)((char *)f + strings[i].offset));
    }
    if (bytes_eq(key, BYTES_LIT("version")))
        return take_whole(j, &f->version);
    if (bytes_eq(key, BYTES_LIT("collaborators")))
        return json_raw(j, &f->collaborators_raw);
    if (bytes_eq(key, BYTES_LIT("content"))) {
        struct json again = *j;
        if (!json_raw(j, &f->content_raw))
            return false;
        struct json after = *j;
        if (json_peek(&again) == JSON_STRING && json_string(&again, &f->content)) {
            after.scratch = again.scratch; /* what it decoded must stay */
            *j = after;
        }
        return true;
    }
    return json_skip(j);
}

static bool read_object(struct json *j, struct doc_fields *f)
{
    struct bytes key;
    *f = (struct doc_fields){0};
    if (!json_enter(j, JSON_OBJECT))
        return false;
    while (json_member(j, &key)) {
        if (!take_member(j, key, f))
            return false;
    }
    return j->ok;
}

bool doc_read_fields(struct bytes json, void *scratch, struct doc_fields *f)
{
    struct json j;
    json_init(&j, json, scratch, json.n);
    return (read_object(&j, f) && json_end(&j)) || complain();
}

/* ---- printing ---- */

static void put_plain(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        /* C0, DEL, and C1 in UTF-8 */
        bool c1 = c == 0xc2 && i + 1 < s.n && s.p[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || c1)
            putchar('?');
        else
            putchar(c);
        i += c1;
    }
}

/* Padded by characters, not by bytes. */
static void put_cell(struct bytes s, int width)
{
    put_plain(s);
    int shown = 0;
    for (size_t i = 0; i < s.n; i++)
        shown += (s.p[i] & 0xc0) != 0x80;
    printf("%*s", width > shown ? width - shown : 1, "");
}

static void put_line(const char *name, struct bytes value)
{
    printf("%-14s", name);
    put_plain(value);
    putchar('\n');
}

static bool put_collaborators(struct bytes raw)
{
    char *scratch = malloc(raw.n + 1);
    struct json j;
    struct bytes key;
    bool first = true;
    json_init(&j, raw, scratch, scratch ? raw.n : 0);
    bool ok = json_enter(&j, JSON_ARRAY);
    while (ok && json_element(&j)) {
        struct bytes user = {0}, role = {0};
        ok = json_enter(&j, JSON_OBJECT);
        while (ok && json_member(&j, &key))
            ok = bytes_eq(key, BYTES_LIT("user_id")) ? take_string(&j, &user)
                 : bytes_eq(key, BYTES_LIT("role"))  ? take_string(&j, &role)
                                                     : json_skip(&j);
        printf("%-14s", first ? "shared with" : "");
        put_cell(user, 24);
        put_plain(role);
        putchar('\n');
        first = false;
    }
    free(scratch);
    return ok && j.ok;
}

static void put_content(const struct doc_fields *f)
{
    struct bytes s = f->content.p ? f->content : f->content_raw;
    fwrite(s.p, 1, s.n, stdout);
    if (s.n == 0 || s.p[s.n - 1] != '\n')
        putchar('\n');
}

bool doc_print_document(struct bytes json, bool content_alone)
{
    struct doc_fields f;
    char *scratch = malloc(json.n + 1);
    bool ok = scratch && doc_read_fields(json, scratch, &f);
    if (ok && content_alone) {
        struct bytes s = f.content.p ? f.content : f.content_raw;
        fwrite(s.p, 1, s.n, stdout);
    } else if (ok) {
        char version[24];
        snprintf(version, sizeof version, "%llu", (unsigned long long)f.version);
        put_line("id", f.id);
        put_line("title", f.title);
        put_line("type", f.type);
        put_line("version", bytes_str(version));
        put_line("your role", f.role);
        put_line("owner", f.owner_id);
        put_line("created", f.created);
        put_line("last modified", f.last_modified);
        if (f.collaborators_raw.n)
            ok = put_collaborators(f.collaborators_raw) || complain();
        if (f.content_raw.n) {
            putchar('\n');
            put_content(&f);
        }
    }
    free(scratch);
    return ok;
}

/* Walks {"items":[...],"cursor":...}; `each` reads one item. */
static bool print_items(struct bytes json, const char *command, bool (*each)(struct json *j))
{
    char *scratch = malloc(json.n + 1);
    struct json j;
    struct bytes key, cursor = {0};
    unsigned n = 0;
    json_init(&j, json, scratch, scratch ? json.n : 0);
    bool ok = json_enter(&j, JSON_OBJECT);
    while (ok && json_member(&j, &key)) {
        if (bytes_eq(key, BYTES_LIT("items"))) {
            ok = json_enter(&j, JSON_ARRAY);
            for (; ok && json_element(&j); n++)
                ok = each(&j);
        } else if (bytes_eq(key, BYTES_LIT("cursor"))) {
            ok = take_string(&j, &cursor);
        } else {
            ok = json_skip(&j);
        }
    }
    ok = (ok && json_end(&j)) || complain();
    if (ok && cursor.n) {
        fflush(stdout);
        say(SAY_INFO, "there are more: penstock doc %s --cursor %.*s", command, (int)cursor.n,
            (const char *)cursor.p);
    }
    free(scratch);
    return ok;
}

static bool print_list_item(struct json *j)
{
    struct doc_fields f;
    char version[24];
    if (!read_object(j, &f))
        return false;
    snprintf(version, sizeof version, "%llu", (unsigned long long)f.version);
    put_cell(f.id, 26);
    put_cell(f.type, 6);
    put_cell(bytes_str(version), 9);
    put_cell(f.role, 10);
    put_cell(f.last_modified, 26);
    put_plain(f.title);
    putchar('\n');
    return true;
}

bool doc_print_list(struct bytes json)
{
    printf("%-26s%-6s%-9s%-10s%-26s%s\n", "ID", "TYPE", "VERSION", "ROLE", "LAST MODIFIED",
           "TITLE");
    return print_items(json, "list", print_list_item);
}

/* {"type":"insert","pos":3,"str":"x",...} as: insert 3 "x"; a delta as its ops. */
static bool print_op(struct json *j)
{
    struct bytes key, type = {0}, text = {0}, ops = {0}, attributes = {0};
    uint64_t pos = 0, len = 0;
    if (!json_enter(j, JSON_OBJECT))
        return false;
    while (json_member(j, &key)) {
        if (bytes_eq(key, BYTES_LIT("type")))
            take_string(j, &type);
        else if (bytes_eq(key, BYTES_LIT("str")))
            json_raw(j, &text);
        else if (bytes_eq(key, BYTES_LIT("ops")))
            json_raw(j, &ops);
        else if (bytes_eq(key, BYTES_LIT("attributes")))
            json_raw(j, &attributes);
        else if (bytes_eq(key, BYTES_LIT("pos")))
            take_whole(j, &pos);
        else if (bytes_eq(key, BYTES_LIT("len")))
            take_whole(j, &len);
        else
            json_skip(j);
    }
    put_plain(type);
    if (ops.n) {
        putchar(' ');
        put_plain(ops);
    } else {
        printf(" %llu ", (unsigned long long)pos);
        if (text.n)
            put_plain(text);
        else
            printf("%llu", (unsigned long long)len);
        if (attributes.n) {
            putchar(' ');
            put_plain(attributes);
        }
    }
    return j->ok;
}

static bool print_history_item(struct json *j)
{
    struct bytes key, user = {0}, client = {0}, time = {0};
    uint64_t version = 0;
    struct json op = {0};
    bool has_op = false;
    if (!json_enter(j, JSON_OBJECT))
        return false;
    while (json_member(j, &key)) {
        if (bytes_eq(key, BYTES_LIT("op"))) {
            op = *j; /* read last, behind the columns */
            has_op = json_skip(j);
        } else if (bytes_eq(key, BYTES_LIT("user_id"))) {
            take_string(j, &user);
        } else if (bytes_eq(key, BYTES_LIT("client_id"))) {
            take_string(j, &client);
        } else if (bytes_eq(key, BYTES_LIT("timestamp"))) {
            take_string(j, &time);
        } else if (bytes_eq(key, BYTES_LIT("version"))) {
            take_whole(j, &version);
        } else {
            json_skip(j);
        }
    }
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)version);
    put_cell(bytes_str(text), 9);
    put_cell(time, 26);
    put_cell(user, 16);
    put_cell(client, 16);
    if (has_op) {
        op.scratch =
            j->scratch; /* what the columns decoded is printed: it may be overwritten now */
        print_op(&op);
    }
    putchar('\n');
    return j->ok;
}

bool doc_print_history(struct bytes json)
{
    printf("%-9s%-26s%-16s%-16s%s\n", "VERSION", "TIME", "USER", "CLIENT", "OP");
    return print_items(json, "history ID", print_history_item);
}
