/* doc_edit.c - `penstock doc edit`: one edit, as ops or as the smallest change to the content. */
#include "base/say.h"
#include "base/utf.h"
#include "gateway/json.h"
#include "tools/commands.h"
#include "tools/doc_print.h"
#include "tools/doc_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

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
        write_delete(w, c->o.delete_u16 == DOC_NONE ? 0 : c->o.delete_u16, &any);
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
    json_write_u64(&w, c->o.version == DOC_NONE ? now->version : c->o.version);
    json_write_lit(&w, "}]}");
    int rc = EXIT_FAILED;
    if (ok && !w.ok)
        say(SAY_ERROR, "doc: this is too long");
    else if (ok && doc_is_text("what was given", writer_bytes(&w)) && doc_set_path(c, "/ops"))
        rc = doc_ask_and_print(c, "POST", writer_bytes(&w), NULL, "edited");
    free(body);
    return rc;
}

int doc_run_edit(struct doc_call *c)
{
    const struct doc_options *o = &c->o;
    int n = (o->content || o->file) + (o->delta != NULL) + (o->insert || o->delete_u16 != DOC_NONE);
    if (n != 1) {
        say(SAY_ERROR, "doc edit: give one of --insert/--delete, --delta, --content, --file");
        return EXIT_USAGE;
    }
    struct client_answer a = {0};
    size_t content_n = 0;
    char *content = NULL;
    if ((o->content || o->file) && !(content = doc_read_content(c, &content_n)))
        return EXIT_FAILED;
    int rc = doc_set_path(c, "") ? 0 : EXIT_FAILED;
    if (rc == 0)
        rc = doc_ask(c, "GET", bytes_of(NULL, 0), &a);
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
