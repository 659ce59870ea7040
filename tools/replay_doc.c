/* replay_doc.c - documents of a replay over HTTP: made, compared, replayed; see replay.h. */
#include "base/clock.h"
#include "base/say.h"
#include "gateway/opjson.h"
#include "net/limits.h"
#include "tools/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE_ITEMS  500u
#define PATH_BYTES  1024u
#define RETRY_US    1000000u
#define TYPE_HEADER "Content-Type: application/json\r\n"

static bool is(struct bytes a, const char *text)
{
    return bytes_eq(a, bytes_str(text));
}

/* Asks, and asks again while the server is away or says 503, up to --retry seconds. */
static enum status ask(struct replay_run *run, const char *method, const char *path,
                       struct bytes body, int wanted, struct client_answer *a)
{
    uint64_t end_ns = clock_mono_ns() + run->options.retry_s * NS_PER_S;
    for (;;) {
        enum status s = client_ask(&run->client, method, path, body.n ? TYPE_HEADER : "", body, a);
        if (s == STATUS_OK && a->status == wanted)
            return STATUS_OK;
        bool again = (s != STATUS_OK || a->status == 503) && clock_mono_ns() < end_ns;
        if (s == STATUS_OK) {
            if (!again)
                client_complain(a);
            client_answer_free(a);
        }
        if (!again)
            return STATUS_IO;
        usleep(RETRY_US);
    }
}

/* A string member of a JSON object, by name; unescaped into `scratch` of the text's length. */
static bool find_string(struct bytes text, const char *name, void *scratch, struct bytes *s)
{
    struct json j;
    struct bytes key;
    bool found = false;
    json_init(&j, text, scratch, text.n);
    if (json_peek(&j) != JSON_OBJECT || !json_enter(&j, JSON_OBJECT))
        return false;
    while (json_member(&j, &key)) {
        bool wanted = is(key, name) && json_peek(&j) == JSON_STRING;
        if (wanted ? !json_string(&j, s) : !json_skip(&j))
            return false;
        found |= wanted;
    }
    return found && json_end(&j);
}

enum status replay_doc_create(struct replay_run *run, struct replay_doc *doc)
{
    struct bytes start = run->trace.start, id;
    size_t room = 6 * start.n + 128;
    uint8_t *body = malloc(room);
    struct client_answer a;
    if (!body)
        return STATUS_NO_MEMORY;
    struct writer w = writer_of(body, room);
    json_write_lit(&w, "{\"title\":\"replay\",\"type\":\"text\"");
    if (start.n) {
        json_write_lit(&w, ",\"content\":");
        json_write_string(&w, start);
    }
    json_write_lit(&w, "}");
    enum status s = ask(run, "POST", "/docs", writer_bytes(&w), 201, &a);
    free(body);
    if (s != STATUS_OK)
        return s;
    uint8_t *scratch = malloc(a.body.n + 1);
    s = STATUS_CORRUPT;
    if (scratch && find_string(a.body, "id", scratch, &id) && id.n < sizeof doc->id) {
        memcpy(doc->id, id.p, id.n);
        doc->id[id.n] = 0;
        s = STATUS_OK;
    } else {
        say(SAY_ERROR, "the server's answer to POST /docs names no id");
    }
    free(scratch);
    client_answer_free(&a);
    return s;
}

static bool find_version(struct bytes text, uint64_t *version)
{
    struct json j;
    struct bytes key;
    bool whole = false;
    json_init(&j, text, NULL, 0);
    if (!json_enter(&j, JSON_OBJECT))
        return false;
    while (json_member(&j, &key)) {
        if (is(key, "version"))
            return json_whole(&j, version, &whole) && whole;
        if (!json_skip(&j))
            return false;
    }
    return false;
}

enum status replay_doc_compare(struct replay_run *run, struct replay_doc *doc, uint64_t *version)
{
    char path[PATH_BYTES];
    struct client_answer a;
    struct bytes content;
    snprintf(path, sizeof path, "/docs/%s", doc->id);
    enum status s = ask(run, "GET", path, BYTES_LIT(""), 200, &a);
    if (s != STATUS_OK)
        return s;
    uint8_t *scratch = malloc(a.body.n + 1);
    s = STATUS_CORRUPT;
    if (!scratch || !find_string(a.body, "content", scratch, &content) ||
        !find_version(a.body, version)) {
        say(SAY_ERROR, "the server's answer to GET %s has no content and version", path);
    } else if (!bytes_eq(content, run->trace.end)) {
        size_t i = 0;
        while (i < content.n && i < run->trace.end.n && content.p[i] == run->trace.end.p[i])
            i++;
        say(SAY_ERROR,
            "document %s is not the trace's end: %zu bytes, not %zu, first differing at %zu",
            doc->id, content.n, run->trace.end.n, i);
    } else {
        s = STATUS_OK;
    }
    free(scratch);
    client_answer_free(&a);
    return s;
}

/* ---- history ---- */

struct pages {
    struct replay_text text;
    uint64_t version; /* of the last op that was applied */
    uint8_t *scratch; /* four times `room` */
    size_t room;
    char cursor[512]; /* empty: the last page was read */
};

static bool apply_item(struct pages *h, struct json *j)
{
    struct bytes key, raw = BYTES_LIT("");
    uint64_t version = 0;
    bool whole = true;
    if (!json_enter(j, JSON_OBJECT))
        return false;
    while (json_member(j, &key)) {
        bool fine = is(key, "version") ? json_whole(j, &version, &whole)
                    : is(key, "op")    ? json_raw(j, &raw)
                                       : json_skip(j);
        if (!fine || !whole)
            return false;
    }
    struct json sub;
    struct opjson o;
    uint8_t *mem = h->scratch + h->room;
    struct writer w = writer_of(mem, h->room);
    json_init(&sub, raw, mem + h->room, raw.n);
    if (version != h->version + 1 ||
        opjson_read(&sub, LIMIT_OP_PARTS, &w, mem + 2 * h->room, h->room, &o) != STATUS_OK ||
        replay_text_apply(&h->text, o.op) != STATUS_OK)
        return false;
    h->version = version;
    return true;
}

static bool apply_page(struct pages *h, struct bytes body)
{
    struct json j;
    struct bytes key, cursor;
    h->cursor[0] = 0;
    json_init(&j, body, h->scratch, h->room);
    if (!json_enter(&j, JSON_OBJECT))
        return false;
    while (json_member(&j, &key)) {
        if (is(key, "items")) {
            if (!json_enter(&j, JSON_ARRAY))
                return false;
            while (json_element(&j))
                if (!apply_item(h, &j))
                    return false;
        } else if (is(key, "cursor") && json_peek(&j) == JSON_STRING) {
            if (!json_string(&j, &cursor) || cursor.n >= sizeof h->cursor)
                return false;
            memcpy(h->cursor, cursor.p, cursor.n);
            h->cursor[cursor.n] = 0;
        } else if (!json_skip(&j)) {
            return false;
        }
    }
    return json_end(&j);
}

static enum status read_pages(struct replay_run *run, struct replay_doc *doc, struct pages *h)
{
    char path[PATH_BYTES];
    do {
        struct client_answer a;
        snprintf(path, sizeof path, "/docs/%s/history?limit=%u%s%s", doc->id, PAGE_ITEMS,
                 h->cursor[0] ? "&cursor=" : "", h->cursor);
        enum status s = ask(run, "GET", path, BYTES_LIT(""), 200, &a);
        if (s != STATUS_OK)
            return s;
        h->room = a.body.n + 64;
        h->scratch = malloc(4 * h->room);
        bool fine = h->scratch && apply_page(h, a.body);
        free(h->scratch);
        client_answer_free(&a);
        if (!fine) {
            say(SAY_ERROR, "the history of %s breaks behind version %lu", doc->id,
                (unsigned long)h->version);
            return STATUS_CORRUPT;
        }
    } while (h->cursor[0]);
    return STATUS_OK;
}

enum status replay_doc_replay_history(struct replay_run *run, struct replay_doc *doc,
                                      uint64_t version)
{
    struct pages h = {.version = 0};
    enum status s = replay_text_open(&h.text, run->trace.start);
    if (s != STATUS_OK)
        return s;
    s = read_pages(run, doc, &h);
    if (s == STATUS_OK && h.version != version) {
        say(SAY_ERROR, "the history of %s ends at version %lu, not %lu", doc->id,
            (unsigned long)h.version, (unsigned long)version);
        s = STATUS_CORRUPT;
    }
    if (s == STATUS_OK) {
        size_t n = 0;
        uint8_t *text = replay_text_utf8(&h.text, &n);
        if (!text || !bytes_eq(bytes_of(text, n), run->trace.end)) {
            say(SAY_ERROR, "the history of %s leads to another text", doc->id);
            s = STATUS_CORRUPT;
        }
        free(text);
    }
    replay_text_close(&h.text);
    return s;
}
