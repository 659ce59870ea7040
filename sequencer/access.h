/*
 * access.h - who may do what on a document: roles of principals, and the rule of the last owner.
 *
 * A document's role list is a run of { u8 role, str principal }, as the log and the view hold it. A
 * principal is a user id, or "group:NAME". An identity's role is the highest that the user or one
 * of his groups has. A document always has an owner that is a user: a group may be empty.
 *
 * Pure; any thread; no allocation.
 */
#ifndef PENSTOCK_SEQUENCER_ACCESS_H
#define PENSTOCK_SEQUENCER_ACCESS_H

#include "net/message.h"

/* The role of an identity on a role list; DOC_ROLE_NONE where it has none. */
uint8_t access_role(struct bytes roles, const struct msg_identity *id);

/* The role that a list gives to exactly this principal. */
uint8_t access_role_of(struct bytes roles, struct bytes principal);

/* Whether it is a user id or "group:NAME" of sane length. */
bool access_is_principal(struct bytes principal);

/*
 * Whether `caller` (whose role is `caller_role`) may give `principal` the role `role`.
 * STATUS_BAD_MESSAGE: no principal or role. STATUS_FORBIDDEN: not an owner (anyone may remove
 * himself). STATUS_NOT_FOUND: removing who is not there. STATUS_LAST_OWNER. STATUS_TOO_LARGE: the
 * list is full.
 */
enum status access_check_change(struct bytes roles, uint32_t n_roles, uint8_t caller_role,
                                struct bytes caller, struct bytes principal, uint8_t role) must_use;

/* The list after the change: written to `buf`, which holds roles.n + principal.n + 8 bytes. */
struct bytes access_change(struct bytes roles, struct bytes principal, uint8_t role, void *buf,
                           uint32_t *n_roles);

#endif
