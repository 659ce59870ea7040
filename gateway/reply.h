/*
 * reply.h - what the server says on a WebSocket, as JSON (protocol section 3). One function a
 * message, each with an upper bound of what it writes. Pure; no allocation; sticky failure in the
 * writer.
 */
#ifndef PENSTOCK_GATEWAY_REPLY_H
#define PENSTOCK_GATEWAY_REPLY_H

#include "gateway/opjson.h"
#include "net/message.h"

/* No message but op, welcome, presence, title and error takes more. A user id may be
 * all escapes. */
#define REPLY_BYTES_MAX (1024u + 6u * LIMIT_USER_ID_BYTES)
#define REPLY_ACK_BYTES (96u + LIMIT_CLIENT_ID_BYTES)

struct reply_op {
    struct opjson_out op;
    struct bytes user_id;
    struct bytes accepted_by; /* empty: none */
    uint64_t unix_ms;
};
size_t reply_op_bytes_max(const struct reply_op *o);
void reply_op(struct writer *w, const struct reply_op *o);

struct reply_ack {
    struct bytes client_id;
    uint64_t seq;
    uint64_t version;
    uint32_t flags; /* MSG_ACK_NO_SEQ, MSG_ACK_NO_VERSION: null */
};
void reply_ack(struct writer *w, const struct reply_ack *a);

struct reply_presence {
    struct msg_presence_entry entry;
    struct bytes user_id;
    struct bytes client_id;
    struct bytes name;
};
/* Reads one entry of JOINED or PRESENCE_OUT; the reader's failure is sticky. */
void reply_read_presence(struct reader *r, struct reply_presence *p);
size_t reply_presence_bytes_max(const struct reply_presence *p);
/* presence_update, or presence_leave where the entry says so. */
void reply_presence(struct writer *w, const struct reply_presence *p);

struct reply_welcome {
    struct bytes doc_id;
    struct bytes session_id;
    struct bytes client_id;
    const struct msg_joined *joined;
    struct bytes presence; /* n_presence entries, encoded */
    struct bytes content;  /* an op; only where the flags say so */
    uint32_t message_bytes;
    uint32_t op_components;
    uint32_t document_units;
};
size_t reply_welcome_bytes_max(const struct reply_welcome *o);
void reply_welcome(struct writer *w, const struct reply_welcome *o);

void reply_synced(struct writer *w, uint64_t version, uint64_t hash);

struct reply_error {
    enum status status;
    struct bytes detail; /* empty: the status's hint */
    uint32_t retry_after_ms;
    bool has_seq;
    uint64_t seq;
};
size_t reply_error_bytes_max(const struct reply_error *e);
void reply_error(struct writer *w, const struct reply_error *e);

void reply_goodbye(struct writer *w, const char *reason, uint32_t retry_after_ms);
void reply_access(struct writer *w, enum doc_role role);
void reply_title(struct writer *w, struct bytes title); /* 6 bytes a byte and 64 */
void reply_auth_ok(struct writer *w, uint64_t expires_unix_ms);

const char *reply_role(uint8_t role);     /* "owner" ...; "none" */
uint8_t reply_role_of(struct bytes name); /* DOC_ROLE_NONE: no such role */

#endif
