/* access.c - see access.h. */
#include "sequencer/access.h"

#define GROUP_PREFIX "group:"

struct entry {
    uint8_t role;
    struct bytes principal;
};

static bool next_entry(struct reader *r, struct entry *e)
{
    if (!r->ok || reader_left(r) == 0)
        return false;
    e->role = read_u8(r);
    e->principal = read_str(r);
    return r->ok;
}

static bool is_group(struct bytes principal)
{
    size_t n = sizeof GROUP_PREFIX - 1;
    return principal.n >= n && memcmp(principal.p, GROUP_PREFIX, n) == 0;
}

static bool names(struct bytes principal, const struct msg_identity *id)
{
    if (!is_group(principal))
        return bytes_eq(principal, id->user);
    size_t n = sizeof GROUP_PREFIX - 1;
    struct bytes name = {principal.p + n, principal.n - n};
    struct reader groups = reader_of(id->groups);
    for (uint32_t i = 0; i < id->n_groups && groups.ok; i++) {
        if (bytes_eq(read_str(&groups), name) && groups.ok)
            return true;
    }
    return false;
}

uint8_t access_role(struct bytes roles, const struct msg_identity *id)
{
    struct reader r = reader_of(roles);
    struct entry e;
    uint8_t best = DOC_ROLE_NONE;
    while (best < DOC_ROLE_OWNER && next_entry(&r, &e)) {
        if (e.role > best && names(e.principal, id))
            best = e.role;
    }
    return best;
}

uint8_t access_role_of(struct bytes roles, struct bytes principal)
{
    struct reader r = reader_of(roles);
    struct entry e;
    while (next_entry(&r, &e)) {
        if (bytes_eq(e.principal, principal))
            return e.role;
    }
    return DOC_ROLE_NONE;
}

bool access_is_principal(struct bytes principal)
{
    size_t prefix = sizeof GROUP_PREFIX - 1;
    if (memchr(principal.p, 0, principal.n))
        return false;
    if (is_group(principal))
        return principal.n > prefix && principal.n <= prefix + LIMIT_GROUP_BYTES;
    return principal.n > 0 && principal.n <= LIMIT_USER_ID_BYTES;
}

static bool has_other_owner(struct bytes roles, struct bytes principal)
{
    struct reader r = reader_of(roles);
    struct entry e;
    while (next_entry(&r, &e)) {
        if (e.role == DOC_ROLE_OWNER && !is_group(e.principal) && !bytes_eq(e.principal, principal))
            return true;
    }
    return false;
}

enum status access_check_change(struct bytes roles, uint32_t n_roles, uint8_t caller_role,
                                struct bytes caller, struct bytes principal, uint8_t role)
{
    if (role > DOC_ROLE_OWNER || !access_is_principal(principal))
        return STATUS_BAD_MESSAGE;
    bool leaves = role == DOC_ROLE_NONE && bytes_eq(caller, principal);
    if (caller_role != DOC_ROLE_OWNER && !leaves)
        return STATUS_FORBIDDEN;
    uint8_t before = access_role_of(roles, principal);
    if (role == DOC_ROLE_NONE && before == DOC_ROLE_NONE)
        return STATUS_NOT_FOUND;
    if (before == DOC_ROLE_OWNER && role != DOC_ROLE_OWNER && !is_group(principal) &&
        !has_other_owner(roles, principal))
        return STATUS_LAST_OWNER;
    if (before == DOC_ROLE_NONE && n_roles >= LIMIT_COLLABORATORS)
        return STATUS_TOO_LARGE;
    return STATUS_OK;
}

struct bytes access_change(struct bytes roles, struct bytes principal, uint8_t role, void *buf,
                           uint32_t *n_roles)
{
    struct writer w = writer_of(buf, roles.n + principal.n + 8);
    struct reader r = reader_of(roles);
    struct entry e;
    uint32_t n = 0;
    bool written = role == DOC_ROLE_NONE;
    while (next_entry(&r, &e)) {
        bool it = bytes_eq(e.principal, principal);
        if (it && (written || role == DOC_ROLE_NONE))
            continue;
        write_u8(&w, it ? role : e.role);
        write_str(&w, e.principal);
        written |= it;
        n++;
    }
    if (!written) {
        write_u8(&w, role);
        write_str(&w, principal);
        n++;
    }
    *n_roles = n;
    return writer_bytes(&w);
}
