/* doc.c - `penstock doc`: documents over HTTP, from a shell. */
#include "base/say.h"
#include "base/utf.h"
#include "gateway/json.h"
#include "tools/commands.h"
#include "tools/doc_print.h"
#include "tools/doc_private.h"
#include "tools/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX (8u << 20)

#define FIELD(name) offsetof(struct doc_options, name)
#define WHOLE_MAX   9007199254740991ull
/* It would lay these out one value a line. */
/* clang-format off */
#define SERVER_SPECS                                                                               \
    {"url", OPTION_TEXT, "URL", "the server (or PENSTOCK_URL; http://127.0.0.1:8080)",             \
     FIELD(url), 0, 0, NULL},                                                                      \
    {"token", OPTION_TEXT, "JWT", "your token; better in PENSTOCK_TOKEN, where ps can't see it",   \
     FIELD(token), 0, 0, NULL},                                                                    \
    {"ca", OPTION_TEXT, "FILE", "trust these certificates (PEM) instead of the system's",          \
     FIELD(ca_file), 0, 0, NULL},                                                                  \
    {"json", OPTION_FLAG, NULL, "print the server's answer as it is", FIELD(json), 0, 0, NULL}
#define CONTENT_SPECS                                                                              \
    {"content", OPTION_ANY, "TEXT", "the content", FIELD(content), 0, 0, NULL},                   \
    {"file", OPTION_TEXT, "FILE", "the content, from a file; - for standard input",                \
     FIELD(file), 0, 0, NULL}
#define PAGE_SPECS                                                                                 \
    {"limit", OPTION_NUMBER, "N", "at most that many (50)", FIELD(limit), 1, 500, NULL},           \
    {"cursor", OPTION_TEXT, "C", "go on behind an earlier page", FIELD(cursor), 0, 0, NULL}
/* clang-format on */

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

bool doc_set_path(struct doc_call *c, const char *below)
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
    if (v != DOC_NONE)
        add_query(c, name, text);
}

/* 0 where the server agreed (then `a` must be freed), else the exit code. */
int doc_ask(struct doc_call *c, const char *method, struct bytes body, struct client_answer *a)
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
int doc_ask_and_print(struct doc_call *c, const char *method, struct bytes body,
                      bool (*print)(struct bytes json), const char *done)
{
    struct client_answer a;
    int rc = doc_ask(c, method, body, &a);
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
char *doc_read_content(const struct doc_call *c, size_t *n)
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

bool doc_is_text(const char *what, struct bytes b)
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
    if ((c->o.content || c->o.file) && !(content = doc_read_content(c, &content_n)))
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
    if (content && (content_n || !rich)) {
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
    else if (doc_is_text("what was given", writer_bytes(&w)) &&
             doc_is_text("the content", bytes_of(content, content_n)))
        rc = doc_ask_and_print(c, "POST", writer_bytes(&w), print_brief, NULL);
    free(body);
    free(content);
    return rc;
}

static int run_list(struct doc_call *c)
{
    snprintf(c->path, sizeof c->path, "/docs");
    add_query_number(c, "limit", c->o.limit);
    add_query(c, "cursor", c->o.cursor);
    return doc_ask_and_print(c, "GET", bytes_of(NULL, 0), doc_print_list, NULL);
}

static int run_show(struct doc_call *c)
{
    if (!doc_set_path(c, ""))
        return EXIT_FAILED;
    add_query_number(c, "version", c->o.version);
    add_query(c, "at", c->o.at);
    return doc_ask_and_print(c, "GET", bytes_of(NULL, 0),
                             c->o.content_alone ? print_content : print_brief, NULL);
}

static int run_history(struct doc_call *c)
{
    if (!doc_set_path(c, "/history"))
        return EXIT_FAILED;
    add_query_number(c, "limit", c->o.limit);
    add_query(c, "cursor", c->o.cursor);
    add_query_number(c, "from", c->o.from);
    add_query_number(c, "to", c->o.to);
    return doc_ask_and_print(c, "GET", bytes_of(NULL, 0), doc_print_history, NULL);
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
    if (!doc_set_path(c, ""))
        return EXIT_FAILED;
    return doc_ask_and_print(c, "PATCH", writer_bytes(&w), NULL, "renamed");
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
    if (!doc_set_path(c, below))
        return EXIT_FAILED;
    if (strcmp(role, "none") == 0)
        return doc_ask_and_print(c, "DELETE", bytes_of(NULL, 0), NULL, "no longer shared");
    struct writer w = writer_of(body, sizeof body);
    json_write_lit(&w, "{\"role\":");
    json_write_string(&w, bytes_str(role));
    json_write_lit(&w, "}");
    if (!w.ok) {
        say(SAY_ERROR, "doc: there is no role \"%.40s\"", role);
        return EXIT_USAGE;
    }
    return doc_ask_and_print(c, "PUT", writer_bytes(&w), NULL, "shared");
}

static int run_delete(struct doc_call *c)
{
    return doc_set_path(c, "")
               ? doc_ask_and_print(c, "DELETE", bytes_of(NULL, 0), NULL, "moved to the trash")
               : EXIT_FAILED;
}

static int run_restore(struct doc_call *c)
{
    return doc_set_path(c, "/restore")
               ? doc_ask_and_print(c, "POST", bytes_of(NULL, 0), NULL, "brought back")
               : EXIT_FAILED;
}

/* ---- the command ---- */

struct verb {
    const char *name;
    int (*run)(struct doc_call *c);
    unsigned n_operands;
    struct option_command command;
};

#define VERB(verb_name, run_it, n, synopsis_text, about_text, spec_list)                           \
    {                                                                                              \
#verb_name, run_it, n,                                                                     \
        {                                                                                          \
            .name = "doc " #verb_name, .synopsis = synopsis_text, .about = about_text,             \
            .specs = spec_list, .n_specs = sizeof spec_list / sizeof *spec_list, .operands_max = n \
        }                                                                                          \
    }

static const struct verb verbs[] = {
    VERB(create, run_create, 0, "[options]", "Makes a document; you become its owner.",
         create_specs),
    VERB(list, run_list, 0, "[options]",
         "Lists the documents that you have a role on, newest change first.", list_specs),
    VERB(show, run_show, 1, "ID [options]", "Shows a document, as it is or as it was.", show_specs),
    VERB(edit, doc_run_edit, 1, "ID [options]", "Makes one edit, merged with what others do.",
         edit_specs),
    VERB(history, run_history, 1, "ID [options]", "Lists the edits of a document.", history_specs),
    VERB(share, run_share, 3, "ID USER owner|editor|commenter|viewer|none [options]",
         "Gives somebody a role (a user's id, or group:NAME), or takes it away.", plain_specs),
    VERB(rename, run_rename, 2, "ID TITLE [options]", "Gives a document another title.",
         plain_specs),
    VERB(delete, run_delete, 1, "ID [options]", "Moves a document to the trash.", plain_specs),
    VERB(restore, run_restore, 1, "ID [options]", "Brings a document back from the trash.",
         plain_specs),
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

/* A token that came in argv: taken out of what ps shows, as soon as can be. The copy that stands
 * for it from then on is the caller's to free; NULL: it came from elsewhere. */
static char *hide_token(struct doc_options *o, int argc, char **argv)
{
    for (int i = 1; o->token && i < argc; i++) {
        char *at = strstr(argv[i], o->token);
        char *kept = at ? strdup(o->token) : NULL;
        if (!kept)
            continue;
        memset(at, 'x', strlen(at));
        o->token = kept;
        return kept;
    }
    return NULL;
}

static int run_call(const struct verb *v, struct doc_call *c)
{
    const char *url = c->o.url ? c->o.url : getenv("PENSTOCK_URL");
    const char *token = c->o.token ? c->o.token : getenv("PENSTOCK_TOKEN");
    if (client_init(&c->client, url && *url ? url : "http://127.0.0.1:8080", token) != STATUS_OK)
        return EXIT_USAGE;
    c->client.ca_file = c->o.ca_file;
    if (token && strpbrk(token, "\r\n \t")) {
        say(SAY_ERROR, "doc: the token holds white space");
        return EXIT_USAGE;
    }
    int rc = v->run(c);
    if (fflush(stdout) != 0 && rc == 0)
        rc = EXIT_FAILED;
    return rc;
}

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct doc_call c = {.o = {.version = DOC_NONE,
                               .delete_u16 = DOC_NONE,
                               .from = DOC_NONE,
                               .to = DOC_NONE,
                               .limit = DOC_NONE}};
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
    char *token = hide_token(&c.o, argc, argv);
    int rc = run_call(v, &c);
    free(token);
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
