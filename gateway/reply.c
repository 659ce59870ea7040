/* reply.c - the server's WebSocket messages as JSON; see reply.h. */
#include "gateway/reply.h"

#include "gateway/problem.h"

static const char *const role_names[] = {
    [DOC_ROLE_NONE] = "none",     [DOC_ROLE_VIEWER] = "viewer", [DOC_ROLE_COMMENTER] = "commenter",
    [DOC_ROLE_EDITOR] = "editor", [DOC_ROLE_OWNER] = "owner",
};

const char *reply_role(uint8_t role)
{
    return role_names[role <= DOC_ROLE_OWNER ? role : DOC_ROLE_NONE];
}

uint8_t reply_role_of(struct bytes name)
{
    for (uint8_t role = DOC_ROLE_VIEWER; role <= DOC_ROLE_OWNER; role++)
        if (bytes_eq(name, bytes_str(role_names[role])))
            return role;
    return DOC_ROLE_NONE;
}

size_t reply_op_bytes_max(const struct reply_op *o)
{
    return opjson_write_bytes_max(&o->op) + 6 * (o->user_id.n + o->accepted_by.n) + 192;
}

void reply_op(struct writer *w, const struct reply_op *o)
{
    json_write_lit(w, "{\"type\":\"op\",\"op\":");
    opjson_write(w, &o->op);
    json_write_lit(w, ",\"new_version\":");
    json_write_u64(w, o->op.version + 1);
    json_write_lit(w, ",\"user_id\":");
    json_write_string(w, o->user_id);
    if (o->accepted_by.n) {
        json_write_lit(w, ",\"accepted_by\":");
        json_write_string(w, o->accepted_by);
    }
    json_write_lit(w, ",\"timestamp\":");
    json_write_time(w, o->unix_ms);
    json_write_lit(w, "}");
}

void reply_ack(struct writer *w, const struct reply_ack *a)
{
    json_write_lit(w, "{\"type\":\"ack\",\"client_id\":");
    json_write_string(w, a->client_id);
    json_write_lit(w, ",\"seq\":");
    if (a->flags & MSG_ACK_NO_SEQ)
        json_write_lit(w, "null");
    else
        json_write_u64(w, a->seq);
    json_write_lit(w, ",\"new_version\":");
    if (a->flags & MSG_ACK_NO_VERSION)
        json_write_lit(w, "null");
    else
        json_write_u64(w, a->version);
    json_write_lit(w, "}");
}

void reply_read_presence(struct reader *r, struct reply_presence *p)
{
    msg_read_struct(r, &p->entry);
    p->user_id = read_str(r);
    p->client_id = read_str(r);
    p->name = read_str(r);
}

size_t reply_presence_bytes_max(const struct reply_presence *p)
{
    return 6 * (p->user_id.n + p->client_id.n + p->name.n) + 256;
}

void reply_presence(struct writer *w, const struct reply_presence *p)
{
    const struct msg_presence_entry *e = &p->entry;
    bool leave = e->flags & MSG_PRESENCE_LEAVE;
    json_write_lit(w, leave ? "{\"type\":\"presence_leave\",\"user_id\":"
                            : "{\"type\":\"presence_update\",\"user_id\":");
    json_write_string(w, p->user_id);
    json_write_lit(w, ",\"client_id\":");
    json_write_string(w, p->client_id);
    if (!leave) {
        json_write_lit(w, ",\"name\":");
        json_write_string(w, p->name);
        json_write_lit(w, ",\"cursor_pos\":");
        json_write_u64(w, e->cursor_u16);
        json_write_lit(w, ",\"selection\":");
        if (e->flags & MSG_PRESENCE_SELECTION) {
            json_write_lit(w, "[");
            json_write_u64(w, e->anchor_u16);
            json_write_lit(w, ",");
            json_write_u64(w, e->head_u16);
            json_write_lit(w, "]");
        } else {
            json_write_lit(w, "null");
        }
        json_write_lit(w, ",\"version\":");
        json_write_u64(w, e->version);
    }
    json_write_lit(w, "}");
}

size_t reply_welcome_bytes_max(const struct reply_welcome *o)
{
    size_t n = 1024 + 6 * (o->doc_id.n + o->session_id.n + o->client_id.n);
    n += 6 * o->presence.n + 256ull * o->joined->n_presence;
    return n + (o->joined->flags & MSG_JOINED_CONTENT ? opjson_content_bytes_max(o->content) : 0);
}

static void welcome_presence(struct writer *w, const struct reply_welcome *o)
{
    struct reader r = reader_of(o->presence);
    json_write_lit(w, ",\"presence\":[");
    for (unsigned i = 0; i < o->joined->n_presence; i++) {
        struct reply_presence p;
        reply_read_presence(&r, &p);
        if (!r.ok)
            break;
        if (i)
            json_write_lit(w, ",");
        reply_presence(w, &p);
    }
    json_write_lit(w, "]");
}

void reply_welcome(struct writer *w, const struct reply_welcome *o)
{
    const struct msg_joined *j = o->joined;
    json_write_lit(w, "{\"type\":\"welcome\",\"doc_id\":");
    json_write_string(w, o->doc_id);
    json_write_lit(w, ",\"session_id\":");
    json_write_string(w, o->session_id);
    json_write_lit(w, ",\"client_id\":");
    json_write_string(w, o->client_id);
    json_write_lit(w,
                   j->doc_type == DOC_RICH ? ",\"doc_type\":\"rich\"" : ",\"doc_type\":\"text\"");
    json_write_lit(w, ",\"version\":");
    json_write_u64(w, j->version);
    json_write_lit(w, ",\"history_hash\":");
    json_write_hash(w, j->hash);
    json_write_lit(w, ",\"role\":");
    json_write_string(w, bytes_str(reply_role(j->role)));
    json_write_lit(w, ",\"last_seq\":");
    json_write_u64(w, j->last_seq);
    json_write_lit(w, ",\"last_seq_version\":");
    json_write_u64(w, j->last_seq_version);
    welcome_presence(w, o);
    json_write_lit(w, ",\"limits\":{\"message_bytes\":");
    json_write_u64(w, o->message_bytes);
    json_write_lit(w, ",\"op_components\":");
    json_write_u64(w, o->op_components);
    json_write_lit(w, ",\"document_units\":");
    json_write_u64(w, o->document_units);
    json_write_lit(w, "}");
    if (j->flags & MSG_JOINED_CONTENT) {
        json_write_lit(w, ",\"content\":");
        opjson_write_content(w, o->content, j->doc_type == DOC_RICH);
        if (j->flags & MSG_JOINED_RESET)
            json_write_lit(w, ",\"reset\":true");
    }
    json_write_lit(w, "}");
}

void reply_synced(struct writer *w, uint64_t version, uint64_t hash)
{
    json_write_lit(w, "{\"type\":\"synced\",\"version\":");
    json_write_u64(w, version);
    json_write_lit(w, ",\"history_hash\":");
    json_write_hash(w, hash);
    json_write_lit(w, "}");
}

size_t reply_error_bytes_max(const struct reply_error *e)
{
    return 256 + 6 * problem_detail(problem_code_of(e->status), e->detail).n;
}

void reply_error(struct writer *w, const struct reply_error *e)
{
    enum status code = problem_code_of(e->status);
    json_write_lit(w, "{\"type\":\"error\",\"code\":");
    json_write_string(w, bytes_str(status_name(code)));
    json_write_lit(w, ",\"message\":");
    json_write_string(w, problem_detail(code, e->detail));
    json_write_lit(w, status_retry(code) ? ",\"retry\":true" : ",\"retry\":false");
    if (e->retry_after_ms) {
        json_write_lit(w, ",\"retry_after_ms\":");
        json_write_u64(w, e->retry_after_ms);
    }
    if (e->has_seq) {
        json_write_lit(w, ",\"seq\":");
        json_write_u64(w, e->seq);
    }
    json_write_lit(w, "}");
}

void reply_goodbye(struct writer *w, const char *reason, uint32_t retry_after_ms)
{
    json_write_lit(w, "{\"type\":\"goodbye\",\"reason\":");
    json_write_string(w, bytes_str(reason));
    json_write_lit(w, ",\"retry_after_ms\":");
    json_write_u64(w, retry_after_ms);
    json_write_lit(w, "}");
}

void reply_access(struct writer *w, enum doc_role role)
{
    json_write_lit(w, "{\"type\":\"access\",\"role\":");
    json_write_string(w, bytes_str(reply_role((uint8_t)role)));
    json_write_lit(w, "}");
}

void reply_title(struct writer *w, struct bytes title)
{
    json_write_lit(w, "{\"type\":\"title\",\"title\":");
    json_write_string(w, title);
    json_write_lit(w, "}");
}

void reply_auth_ok(struct writer *w, uint64_t expires_unix_ms)
{
    json_write_lit(w, "{\"type\":\"auth_ok\",\"expires_at\":");
    json_write_time(w, expires_unix_ms);
    json_write_lit(w, "}");
}
