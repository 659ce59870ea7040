/*
 * limits.h - every public bound of the wire format and of the messages between roles, in one place,
 * with the relations between them checked by the compiler. Configuration may lower some; none may
 * be passed.
 */
#ifndef PENSTOCK_NET_LIMITS_H
#define PENSTOCK_NET_LIMITS_H

#define LIMIT_DOC_ID_BYTES       128u
#define LIMIT_CLIENT_ID_BYTES    64u
#define LIMIT_USER_ID_BYTES      128u
#define LIMIT_TENANT_BYTES       128u
#define LIMIT_NAME_BYTES         256u
#define LIMIT_GROUP_BYTES        128u
#define LIMIT_GROUPS             512u
#define LIMIT_PRINCIPAL_BYTES    (6u + LIMIT_USER_ID_BYTES) /* "group:" and a name */
#define LIMIT_TITLE_BYTES        1024u
#define LIMIT_COLLABORATORS      1000u
#define LIMIT_PAGE_ITEMS         500u
#define LIMIT_PAGE_ITEMS_DEFAULT 50u

/* A WebSocket message or an ops body, as JSON. */
#define LIMIT_MESSAGE_BYTES (1u << 20)
#define LIMIT_OP_PARTS      10000u
#define LIMIT_ATTR_PAIRS    128u
#define LIMIT_JSON_DEPTH    32u
/* A document: UTF-16 units, and bytes of its content as an op. */
#define LIMIT_DOCUMENT_UNITS (1u << 20)
#define LIMIT_DOCUMENT_BYTES (4u << 20)
/* A request body that carries whole content. */
#define LIMIT_BODY_BYTES (8u << 20)

/* The largest record in any ring: content, and what goes around it. */
#define LIMIT_RECORD_BYTES (LIMIT_DOCUMENT_BYTES + (256u << 10))
#define LIMIT_RING_BYTES   (16u << 20)
/* One log record: an ops message as binary ops, or a document's content. */
#define LIMIT_LOG_RECORD_BYTES LIMIT_RECORD_BYTES

_Static_assert(LIMIT_RECORD_BYTES <= LIMIT_RING_BYTES / 2 - 16, "every record fits an empty ring");
_Static_assert(LIMIT_MESSAGE_BYTES <= LIMIT_BODY_BYTES, "a message fits a body");
_Static_assert(LIMIT_DOCUMENT_UNITS <= LIMIT_DOCUMENT_BYTES, "a unit takes a byte at least");

#endif
