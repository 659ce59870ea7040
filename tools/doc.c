/* doc.c - `penstock doc`: documents over HTTP, from a shell. */
#include "base/say.h"
#include "base/utf.h"
#include "gateway/json.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/doc_print.h"
#include "tools/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define PATH_BYTES     1200
#define FILE_BYTES_MAX (8u << 20)

struct doc_options {
    const char *url;
    const char *token;
    const char *ca_file;
    bool json;
    const char *title;
    unsigned type; /* text, rich */
    const char *content;
    const char *file;
    const char *id;
    bool content_alone;
    uint64_t version;
    const char *at;
    const char *insert;
    const char *attributes;
    uint64_t delete_u16;
    uint64_t pos_u16;
    const char *delta;
    uint64_t from, to;
    uint64_t limit;
    const char *cursor;
};

struct doc_call {
    struct doc_options o;
    struct client client;
    const char *operands[3]; /* ID, and what the verb takes behind it */
    char path[PATH_BYTES];
};

#define FIELD(name) offsetof(struct doc_options, name)
#define NONE        UINT64_MAX
#define WHOLE_MAX   9007199254740991ull
#define SERVER_SPECS                                                                               \
    {"url",      OPTION_TEXT, "URL", "the server (or PENSTOCK_URL; http://127.0.0.1:8080)",        \
     FIELD(url), 0,           0,     NULL},                                                        \
        {"token",                                                                                  \
         OPTION_TEXT,                                                                              \
         "JWT",                                                                                    \
         "your token; better in PENSTOCK_TOKEN, where ps can't see it",                            \
         FIELD(token),                                                                             \
         0,                                                                                        \
         0,                                                                                        \
         NULL},                                                                                    \
        {"ca",                                                                                     \
         OPTION_TEXT,                                                                              \
         "FILE",                                                                                   \
         "trust these certificates (PEM) instead of the system's",                                 \
         FIELD(ca_file),                                                                           \
         0,                                                                                        \
         0,                                                                                        \
         NULL},                                                                                    \
    {                                                                                              \
        "json", OPTION_FLAG, NULL, "print the server's answer as it is", FIELD(json), 0, 0, NULL   \
    }
#define CONTENT_SPECS                                                                              \
    {"content", OPTION_TEXT, "TEXT", "the content", FIELD(content), 0, 0, NULL},                   \
    {                                                                                              \
        "file", OPTION_TEXT, "FILE", "the content, from a file; - for standard input",             \
            FIELD(file), 0, 0, NULL                                                                \
    }
#define PAGE_SPECS                                                                                 \
    {"limit", OPTION_NUMBER, "N", "at most that many (50)", FIELD(limit), 1, 500, NULL},           \
    {                                                                                              \
        "cursor", OPTION_TEXT, "C", "go on behind an earlier page", FIELD(cursor), 0, 0, NULL      \
    }

static const struct option_spec plain_specs[] = {SERVER_SPECS};
static const struct option_spec create_specs[] = {
    SERVER_SPECS,
    {"title", OPTION_TEXT, "TEXT", "its title", FIELD(title), 0, 0, NULL},
    {"type", OPTION_CHOICE, "text|rich", "its type (text)", FIELD(type), 0, 0, "text|rich"},
    {"id", OPTION_TEXT, "ID", "its id (made by the server)", FIELD(id), 0, 0, NULL},
    CONTENT_SPECS,
};
static const struct option_spec list_specs[] = {SERVER_SPECS, PAGE_SPECS};
static const struct option_spec show_specs[] = {
    SERVER_SPECS,
    {"content", OPTION_FLAG, NULL, "print the content alone", FIELD(content_alone), 0, 0, NULL},
    {"version", OPTION_NUMBER, "V", "as it was at that version", FIELD(version), 0, WHOLE_MAX,
     NULL},
    {"at", OPTION_TEXT, "TIME", "as it was then (RFC 3339)", FIELD(at), 0, 0, NULL},
};
static const struct option_spec edit_specs[] = {
    SERVER_SPECS,
    {"insert", OPTION_TEXT, "TEXT", "insert at --pos", FIELD(insert), 0, 0, NULL},
    {"attributes", OPTION_TEXT, "JSON", "of the inserted text (rich)", FIELD(attributes), 0, 0,
     NULL},
    {"delete", OPTION_NUMBER, "N", "delete N UTF-16 units at --pos", FIELD(delete_u16), 1,
     WHOLE_MAX, NULL},
    {"pos", OPTION_NUMBER, "P", "where, in UTF-16 units (0)", FIELD(pos_u16), 0, WHOLE_MAX, NULL},
    {"delta", OPTION_TEXT, "JSON", "a list of delta ops: [{\"retain\":5},{\"insert\":\"x\"}]",
     FIELD(delta), 0, 0, NULL},
    CONTENT_SPECS,
    {"version", OPTION_NUMBER, "V", "the version that the edit was made for (the newest)",
     FIELD(version), 0, WHOLE_MAX, NULL},
};
static const struct option_spec history_specs[] = {
    SERVER_SPECS,
    PAGE_SPECS,
    {"from", OPTION_NUMBER, "V", "first version", FIELD(from), 1, WHOLE_MAX, NULL},
    {"to", OPTION_NUMBER, "V", "last version", FIELD(to), 1, WHOLE_MAX, NULL},
};

/* ---- requests ---- */

static bool set_path(struct doc_call *c, const char *below)
{
    char id[400];
    if (!client_escape(c->operands[0], id, sizeof id)) {
        say(SAY_ERROR, "doc: the id is too long");
        return false;
    }
    snprintf(c->path, sizeof c->path, "/docs/%s%s", id, below);
    return true;
}

static void add_query(struct doc_call *c, const char *name, const char *value)
{
    char escaped[600];
    size_t n = strlen(c->path);
    if (value && client_escape(value, escaped, sizeof escaped))
        snprintf(c->path + n, sizeof c->path - n, "%c%s=%s", strchr(c->path, '?') ? '&' : '?', name,
                 escaped);
}

static void add_query_number(struct doc_call *c, const char *name, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    if (v != NONE)
        add_query(c, name, text);
}

/* 0 where the server agreed (then `a` must be freed), else the exit code. */
static int ask(struct doc_call *c, const char *method, struct bytes body, struct client_answer *a)
{
    enum status s = client_ask(&c->client, method, c->path,
                               body.n ? "Content-Type: application/json\r\n" : "", body, a);
    if (s != STATUS_OK)
        return EXIT_FAILED;
    if (a->status >= 200 && a->status < 300)
        return 0;
    client_complain(a);
    client_answer_free(a);
    return EXIT_FAILED;
}

static void put_raw(struct bytes b)
{
    fwrite(b.p, 1, b.n, stdout);
    putchar('\n');
}

/* Asks and prints: with --json what came, else `print`'s view of it, else `done`. */
static int ask_and_print(struct doc_call *c, const char *method, struct bytes body,
                         bool (*print)(struct bytes json), const char *done)
{
    struct client_answer a;
    int rc = ask(c, method, body, &a);
    if (rc != 0)
        return rc;
    if (c->o.json && a.body.n)
        put_raw(a.body);
    else if (print)
        rc = print(a.body) ? 0 : EXIT_FAILED;
    else
        printf("%s %s\n", c->operands[0], done);
    client_answer_free(&a);
    return rc;
}

/* The content that --content or --file gives; NULL: neither or unreadable (said). */
static char *read_content(const struct doc_call *c, size_t *n)
{
    if (c->o.content) {
        *n = strlen(c->o.content);
        return strdup(c->o.content);
    }
    int fd = strcmp(c->o.file, "-") == 0 ? STDIN_FILENO : open(c->o.file, O_RDONLY | O_CLOEXEC);
    char *buf = fd >= 0 ? malloc(FILE_BYTES_MAX + 1) : NULL;
    ssize_t k = fd >= 0 ? 1 : -1;
    for (*n = 0; buf && k > 0 && *n <= FILE_BYTES_MAX; *n += k > 0 ? (size_t)k : 0)
        k = read(fd, buf + *n, FILE_BYTES_MAX + 1 - *n);
    if (k < 0 || !buf || *n > FILE_BYTES_MAX) {
        say(SAY_ERROR, "doc: %s: %s", c->o.file, k < 0 ? strerror(errno) : "too large");
        free(buf);
        buf = NULL;
    }
    if (fd > STDIN_FILENO)
        close(fd);
    return buf;
}

static bool is_text(const char *what, struct bytes b)
{
    if (utf8_check_text(b))
        return true;
    say(SAY_ERROR, "doc: %s is not UTF-8 text", what);
    return false;
}

/* ---- verbs ---- */

static bool print_brief(struct bytes json)
{
    return doc_print_document(json, false);
}

static bool print_content(struct bytes json)
{
    return doc_print_document(json, true);
}

static int run_create(struct doc_call *c)
{
    size_t content_n = 0;
    char *content = NULL;
    if ((c->o.content || c->o.file) && !(content = read_content(c, &content_n)))
        return EXIT_FAILED;
    size_t room = 6 * content_n + 16384;
    char *body = malloc(room);
    struct writer w = writer_of(body, body ? room : 0);
    bool rich = c->o.type == 1;
    json_write_lit(&w, rich ? "{\"type\":\"rich\"" : "{\"type\":\"text\"");
    if (c->o.title) {
        json_write_lit(&w, ",\"title\":");
        json_write_string(&w, bytes_str(c->o.title));
    }
    if (c->o.id) {
        json_write_lit(&w, ",\"id\":");
        json_write_string(&w, bytes_str(c->o.id));
    }
    if (content) {
        /* Rich content is given as JSON; plain text works for both. */
        bool as_json = rich && content_n && (*content == '{' || *content == '[');
        json_write_lit(&w, ",\"content\":");
        if (rich && !as_json)
            json_write_lit(&w, "{\"ops\":[{\"insert\":");
        if (as_json)
            write_bytes(&w, bytes_of(content, content_n));
        else
            json_write_string(&w, bytes_of(content, content_n));
        if (rich && !as_json)
            json_write_lit(&w, "}]}");
    }
    json_write_lit(&w, "}");
    snprintf(c->path, sizeof c->path, "/docs");
    int rc = EXIT_FAILED;
    if (!w.ok)
        say(SAY_ERROR, "doc: this is too long");
    else if (is_text("what was given", writer_bytes(&w)) &&
             is_text("the content", bytes_of(content, content_n)))
        rc = ask_and_print(c, "POST", writer_bytes(&w), print_brief, NULL);
    free(body);
    free(content);
    return rc;
}

static int run_list(struct doc_call *c)
{
    snprintf(c->path, sizeof c->path, "/docs");
    add_query_number(c, "limit", c->o.limit);
    add_query(c, "cursor", c->o.cursor);
    return ask_and_print(c, "GET", bytes_of(NULL, 0), doc_print_list, NULL);
}

static int run_show(struct doc_call *c)
{
    if (!set_path(c, ""))
        return EXIT_FAILED;
    add_query_number(c, "version", c->o.version);
    add_query(c, "at", c->o.at);
    return ask_and_print(c, "GET", bytes_of(NULL, 0),
                         c->o.content_alone ? print_content : print_brief, NULL);
}

static int run_history(struct doc_call *c)
{
    if (!set_path(c, "/history"))
        return EXIT_FAILED;
    add_query_number(c, "limit", c->o.limit);
    add_query(c, "cursor", c->o.cursor);
    add_query_number(c, "from", c->o.from);
    add_query_number(c, "to", c->o.to);
    return ask_and_print(c, "GET", bytes_of(NULL, 0), doc_print_history, NULL);
}

static int run_rename(struct doc_call *c)
{
    char body[8192];
    struct writer w = writer_of(body, sizeof body);
    json_write_lit(&w, "{\"title\":");
    json_write_string(&w, bytes_str(c->operands[1]));
    json_write_lit(&w, "}");
    if (!w.ok) {
        say(SAY_ERROR, "doc: the title is too long");
        return EXIT_FAILED;
    }
    if (!set_path(c, ""))
        return EXIT_FAILED;
    return ask_and_print(c, "PATCH", writer_bytes(&w), NULL, "renamed");
}

static int run_share(struct doc_call *c)
{
    char who[600], below[700], body[128];
    const char *role = c->operands[2];
    if (!client_escape(c->operands[1], who, sizeof who)) {
        say(SAY_ERROR, "doc: the user's id is too long");
        return EXIT_FAILED;
    }
    snprintf(below, sizeof below, "/collaborators/%s", who);
    if (!set_path(c, below))
        return EXIT_FAILED;
    if (strcmp(role, "none") == 0)
        return ask_and_print(c, "DELETE", bytes_of(NULL, 0), NULL, "no longer shared");
    struct writer w = writer_of(body, sizeof body);
    json_write_lit(&w, "{\"role\":");
    json_write_string(&w, bytes_str(role));
    json_write_lit(&w, "}");
    if (!w.ok) {
        say(SAY_ERROR, "doc: there is no role \"%.40s\"", role);
        return EXIT_USAGE;
    }
    return ask_and_print(c, "PUT", writer_bytes(&w), NULL, "shared");
}

static int run_delete(struct doc_call *c)
{
    return set_path(c, "")
               ? ask_and_print(c, "DELETE", bytes_of(NULL, 0), NULL, "moved to the trash")
               : EXIT_FAILED;
}

static int run_restore(struct doc_call *c)
{
    return set_path(c, "/restore")
               ? ask_and_print(c, "POST", bytes_of(NULL, 0), NULL, "brought back")
               : EXIT_FAILED;
}

/* ---- edit ---- */

/* Where two texts differ: common beginning and end, never inside a character. */
static void find_change(struct bytes a, struct bytes b, size_t *head, size_t *tail)
{
    size_t least = a.n < b.n ? a.n : b.n, h = 0, t = 0;
    while (h < least && a.p[h] == b.p[h])
        h++;
    while (h > 0 && ((h < a.n && (a.p[h] & 0xc0) == 0x80) || (h < b.n && (b.p[h] & 0xc0) == 0x80)))
        h--;
    while (t < least - h && a.p[a.n - 1 - t] == b.p[b.n - 1 - t])
        t++;
    while (t > 0 && (a.p[a.n - t] & 0xc0) == 0x80)
        t--;
    *head = h;
    *tail = t;
}

static void write_retain(struct writer *w, uint64_t n_u16, bool *any)
{
    if (n_u16 == 0)
        return;
    json_write_lit(w, "{\"retain\":");
    json_write_u64(w, n_u16);
    json_write_lit(w, "}");
    *any = true;
}

static void write_insert(struct writer *w, struct bytes text, const char *attributes, bool *any)
{
    if (text.n == 0)
        return;
    json_write_lit(w, *any ? ",{\"insert\":" : "{\"insert\":");
    json_write_string(w, text);
    if (attributes) {
        json_write_lit(w, ",\"attributes\":");
        json_write_lit(w, attributes);
    }
    json_write_lit(w, "}");
    *any = true;
}

static void write_delete(struct writer *w, uint64_t n_u16, bool *any)
{
    if (n_u16 == 0)
        return;
    json_write_lit(w, *any ? ",{\"delete\":" : "{\"delete\":");
    json_write_u64(w, n_u16);
    json_write_lit(w, "}");
    *any = true;
}

/* The ops of the edit, from what the options say. */
static bool write_edit(struct doc_call *c, struct writer *w, const struct doc_fields *now,
                       struct bytes content)
{
    bool any = false;
    if (c->o.delta) {
        json_write_lit(w, c->o.delta);
        return true;
    }
    json_write_lit(w, "[");
    if (content.p) {
        size_t head, tail;
        if (!now->content.p) {
            say(SAY_ERROR, "doc: --content and --file edit plain text; this is a rich document");
            return false;
        }
        find_change(now->content, content, &head, &tail);
        write_retain(w, utf16_units(bytes_of(now->content.p, head)), &any);
        write_insert(w, bytes_of(content.p + head, content.n - head - tail), NULL, &any);
        write_delete(w, utf16_units(bytes_of(now->content.p + head, now->content.n - head - tail)),
                     &any);
    } else {
        write_retain(w, c->o.pos_u16, &any);
        write_insert(w, bytes_str(c->o.insert), c->o.attributes, &any);
        write_delete(w, c->o.delete_u16 == NONE ? 0 : c->o.delete_u16, &any);
    }
    json_write_lit(w, "]");
    return true;
}

static int post_edit(struct doc_call *c, const struct doc_fields *now, struct bytes content)
{
    uint64_t chance = 0;
    char client_id[32];
    size_t room = 6 * (content.n + (c->o.insert ? strlen(c->o.insert) : 0)) +
                  (c->o.delta ? strlen(c->o.delta) : 0) +
                  (c->o.attributes ? strlen(c->o.attributes) : 0) + 1024;
    char *body = malloc(room);
    struct writer w = writer_of(body, body ? room : 0);
    if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
        chance = (uint64_t)getpid();
    snprintf(client_id, sizeof client_id, "cli-%016llx", (unsigned long long)chance);
    json_write_lit(&w, "{\"ops\":[{\"type\":\"delta\",\"ops\":");
    bool ok = write_edit(c, &w, now, content);
    json_write_lit(&w, ",\"client_id\":");
    json_write_string(&w, bytes_str(client_id));
    json_write_lit(&w, ",\"seq\":1,\"version\":");
    json_write_u64(&w, c->o.version == NONE ? now->version : c->o.version);
    json_write_lit(&w, "}]}");
    int rc = EXIT_FAILED;
    if (ok && !w.ok)
        say(SAY_ERROR, "doc: this is too long");
    else if (ok && is_text("what was given", writer_bytes(&w)) && set_path(c, "/ops"))
        rc = ask_and_print(c, "POST", writer_bytes(&w), NULL, "edited");
    free(body);
    return rc;
}

static int run_edit(struct doc_call *c)
{
    const struct doc_options *o = &c->o;
    int n = (o->content || o->file) + (o->delta != NULL) + (o->insert || o->delete_u16 != NONE);
    if (n != 1) {
        say(SAY_ERROR, "doc edit: give one of --insert/--delete, --delta, --content, --file");
        return EXIT_USAGE;
    }
    struct client_answer a = {0};
    size_t content_n = 0;
    char *content = NULL;
    if ((o->content || o->file) && !(content = read_content(c, &content_n)))
        return EXIT_FAILED;
    int rc = set_path(c, "") ? 0 : EXIT_FAILED;
    if (rc == 0)
        rc = ask(c, "GET", bytes_of(NULL, 0), &a);
    if (rc == 0) {
        struct doc_fields now;
        void *scratch = malloc(a.body.n + 1);
        rc = EXIT_FAILED;
        if (scratch && doc_read_fields(a.body, scratch, &now))
            rc = post_edit(c, &now, content ? bytes_of(content, content_n) : bytes_of(NULL, 0));
        free(scratch);
        client_answer_free(&a);
    }
    free(content);
    return rc;
}

/* ---- the command ---- */

struct verb {
    const char *name;
    int (*run)(struct doc_call *c);
    unsigned n_operands;
    struct option_command command;
};

#define VERB(verb_name, n, synopsis_text, about_text, spec_list)                                   \
    {                                                                                              \
#verb_name, run_##verb_name, n,                                                            \
        {                                                                                          \
            .name = "doc " #verb_name, .synopsis = synopsis_text, .about = about_text,             \
            .specs = spec_list, .n_specs = sizeof spec_list / sizeof *spec_list, .operands_max = n \
        }                                                                                          \
    }

static const struct verb verbs[] = {
    VERB(create, 0, "[options]", "Makes a document; you become its owner.", create_specs),
    VERB(list, 0, "[options]", "Lists the documents that you have a role on, newest change first.",
         list_specs),
    VERB(show, 1, "ID [options]", "Shows a document, as it is or as it was.", show_specs),
    VERB(edit, 1, "ID [options]", "Makes one edit, merged with what others do.", edit_specs),
    VERB(history, 1, "ID [options]", "Lists the edits of a document.", history_specs),
    VERB(share, 3, "ID USER owner|editor|commenter|viewer|none [options]",
         "Gives somebody a role (a user's id, or group:NAME), or takes it away.", plain_specs),
    VERB(rename, 2, "ID TITLE [options]", "Gives a document another title.", plain_specs),
    VERB(delete, 1, "ID [options]", "Moves a document to the trash.", plain_specs),
    VERB(restore, 1, "ID [options]", "Brings a document back from the trash.", plain_specs),
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

static void print_help(FILE *out)
{
    fprintf(out, "usage: penstock doc VERB [options]\n\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].command.about);
    fprintf(out, "\nThe server and your token come from PENSTOCK_URL and PENSTOCK_TOKEN, or --url "
                 "and --token.\n"
                 "`penstock doc VERB --help` lists a verb's options.\n");
}

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct doc_call c = {
        .o = {.version = NONE, .delete_u16 = NONE, .from = NONE, .to = NONE, .limit = NONE}};
    struct option_operands operands = {0};
    bool done;
    if (options_parse(&v->command, argc, argv, &c.o, &operands, &done) != STATUS_OK)
        return EXIT_USAGE;
    if (done)
        return 0;
    if (operands.n < v->n_operands) {
        options_complain(&v->command, "usage: penstock %s %s", v->command.name,
                         v->command.synopsis);
        return EXIT_USAGE;
    }
    for (unsigned i = 0; i < operands.n; i++)
        c.operands[i] = operands.at[i];
    const char *url = c.o.url ? c.o.url : getenv("PENSTOCK_URL");
    const char *token = c.o.token ? c.o.token : getenv("PENSTOCK_TOKEN");
    if (client_init(&c.client, url && *url ? url : "http://127.0.0.1:8080", token) != STATUS_OK)
        return EXIT_USAGE;
    c.client.ca_file = c.o.ca_file;
    if (token && strpbrk(token, "\r\n \t")) {
        say(SAY_ERROR, "doc: the token holds white space");
        return EXIT_USAGE;
    }
    int rc = v->run(&c);
    if (fflush(stdout) != 0 && rc == 0)
        rc = EXIT_FAILED;
    return rc;
}

int doc_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(name ? stdout : stderr);
        return name ? 0 : EXIT_USAGE;
    }
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(name, verbs[i].name) == 0)
            return run_verb(&verbs[i], argc - 1, argv + 1);
    }
    say(SAY_ERROR, "doc: there is no verb \"%.60s\" (see penstock doc --help)", name);
    return EXIT_USAGE;
}
