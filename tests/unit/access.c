#include "sequencer/access.h"

#include <criterion/criterion.h>

static uint8_t list_buf[4096];

/* { role, principal } pairs, ended by NULL. */
static struct bytes list_of(const char *const *principals, const uint8_t *roles)
{
    struct writer w = writer_of(list_buf, sizeof list_buf);
    for (size_t i = 0; principals[i]; i++) {
        write_u8(&w, roles[i]);
        write_str(&w, bytes_str(principals[i]));
    }
    return writer_bytes(&w);
}

static struct bytes usual(void)
{
    static const char *const who[] = {"ann", "bob", "group:staff", "group:ann", NULL};
    static const uint8_t roles[] = {DOC_ROLE_OWNER, DOC_ROLE_VIEWER, DOC_ROLE_EDITOR,
                                    DOC_ROLE_COMMENTER};
    return list_of(who, roles);
}

static uint8_t group_buf[256];

static struct msg_identity person(const char *user, const char *group)
{
    struct msg_identity id = {.user = bytes_str(user)};
    if (group) {
        struct writer w = writer_of(group_buf, sizeof group_buf);
        write_str(&w, BYTES_LIT("others"));
        write_str(&w, bytes_str(group));
        id.n_groups = 2;
        id.groups = writer_bytes(&w);
    }
    return id;
}

Test(access, a_role_is_the_highest_of_the_user_and_his_groups)
{
    struct msg_identity ann = person("ann", NULL), bob = person("bob", NULL);
    struct msg_identity staff_bob = person("bob", "staff"), eve = person("eve", NULL);
    struct msg_identity staff_eve = person("eve", "staff");
    cr_assert_eq(access_role(usual(), &ann), DOC_ROLE_OWNER);
    cr_assert_eq(access_role(usual(), &bob), DOC_ROLE_VIEWER);
    cr_assert_eq(access_role(usual(), &staff_bob), DOC_ROLE_EDITOR);
    cr_assert_eq(access_role(usual(), &staff_eve), DOC_ROLE_EDITOR);
    cr_assert_eq(access_role(usual(), &eve), DOC_ROLE_NONE);
}

Test(access, a_user_is_not_a_group_of_the_same_name)
{
    struct msg_identity staff = person("staff", NULL), in_bob = person("eve", "bob");
    cr_assert_eq(access_role(usual(), &staff), DOC_ROLE_NONE);
    cr_assert_eq(access_role(usual(), &in_bob), DOC_ROLE_NONE);
    struct msg_identity in_ann = person("eve", "ann");
    cr_assert_eq(access_role(usual(), &in_ann), DOC_ROLE_COMMENTER);
}

static enum status change(const char *caller, uint8_t caller_role, const char *who, uint8_t role)
{
    return access_check_change(usual(), 4, caller_role, bytes_str(caller), bytes_str(who), role);
}

Test(access, only_an_owner_changes_roles_but_anyone_may_leave)
{
    cr_assert_eq(change("ann", DOC_ROLE_OWNER, "bob", DOC_ROLE_EDITOR), STATUS_OK);
    cr_assert_eq(change("bob", DOC_ROLE_VIEWER, "bob", DOC_ROLE_EDITOR), STATUS_FORBIDDEN);
    cr_assert_eq(change("eve", DOC_ROLE_EDITOR, "bob", DOC_ROLE_NONE), STATUS_FORBIDDEN);
    cr_assert_eq(change("bob", DOC_ROLE_VIEWER, "bob", DOC_ROLE_NONE), STATUS_OK);
    cr_assert_eq(change("ann", DOC_ROLE_OWNER, "eve", DOC_ROLE_NONE), STATUS_NOT_FOUND);
}

Test(access, the_last_owner_neither_goes_nor_steps_down)
{
    cr_assert_eq(change("ann", DOC_ROLE_OWNER, "ann", DOC_ROLE_NONE), STATUS_LAST_OWNER);
    cr_assert_eq(change("ann", DOC_ROLE_OWNER, "ann", DOC_ROLE_EDITOR), STATUS_LAST_OWNER);
    cr_assert_eq(change("ann", DOC_ROLE_OWNER, "ann", DOC_ROLE_OWNER), STATUS_OK);
    static const char *const two[] = {"ann", "bob", NULL};
    static const uint8_t owners[] = {DOC_ROLE_OWNER, DOC_ROLE_OWNER};
    cr_assert_eq(access_check_change(list_of(two, owners), 2, DOC_ROLE_OWNER, bytes_str("ann"),
                                     bytes_str("ann"), DOC_ROLE_NONE),
                 STATUS_OK);
}

Test(access, a_group_that_owns_does_not_make_up_for_a_person)
{
    static const char *const who[] = {"ann", "group:staff", NULL};
    static const uint8_t owners[] = {DOC_ROLE_OWNER, DOC_ROLE_OWNER};
    cr_assert_eq(access_check_change(list_of(who, owners), 2, DOC_ROLE_OWNER, bytes_str("ann"),
                                     bytes_str("ann"), DOC_ROLE_VIEWER),
                 STATUS_LAST_OWNER);
    cr_assert_eq(access_check_change(list_of(who, owners), 2, DOC_ROLE_OWNER, bytes_str("ann"),
                                     bytes_str("group:staff"), DOC_ROLE_NONE),
                 STATUS_OK);
}

Test(access, a_principal_is_a_user_or_a_named_group)
{
    char longest[LIMIT_USER_ID_BYTES + 2];
    memset(longest, 'u', sizeof longest);
    cr_assert(access_is_principal(bytes_of(longest, LIMIT_USER_ID_BYTES)));
    cr_assert_not(access_is_principal(bytes_of(longest, LIMIT_USER_ID_BYTES + 1)));
    cr_assert(access_is_principal(bytes_str("group:x")));
    cr_assert_not(access_is_principal(bytes_str("group:")));
    cr_assert_not(access_is_principal(bytes_str("")));
    cr_assert_not(access_is_principal(bytes_of("a\0b", 3)));
    cr_assert_eq(change("ann", DOC_ROLE_OWNER, "group:", DOC_ROLE_EDITOR), STATUS_BAD_MESSAGE);
    cr_assert_eq(change("ann", DOC_ROLE_OWNER, "bob", DOC_ROLE_OWNER + 1), STATUS_BAD_MESSAGE);
}

Test(access, a_full_list_takes_no_new_principal_but_changes_old_ones)
{
    cr_assert_eq(access_check_change(usual(), LIMIT_COLLABORATORS, DOC_ROLE_OWNER, bytes_str("ann"),
                                     bytes_str("eve"), DOC_ROLE_VIEWER),
                 STATUS_TOO_LARGE);
    cr_assert_eq(access_check_change(usual(), LIMIT_COLLABORATORS, DOC_ROLE_OWNER, bytes_str("ann"),
                                     bytes_str("bob"), DOC_ROLE_EDITOR),
                 STATUS_OK);
}

Test(access, changing_keeps_the_others)
{
    uint8_t buf[4096];
    uint32_t n;
    struct bytes l = access_change(usual(), bytes_str("bob"), DOC_ROLE_EDITOR, buf, &n);
    cr_assert_eq(n, 4);
    cr_assert_eq(access_role_of(l, bytes_str("bob")), DOC_ROLE_EDITOR);
    cr_assert_eq(access_role_of(l, bytes_str("ann")), DOC_ROLE_OWNER);
    l = access_change(usual(), bytes_str("eve"), DOC_ROLE_VIEWER, buf, &n);
    cr_assert_eq(n, 5);
    cr_assert_eq(access_role_of(l, bytes_str("eve")), DOC_ROLE_VIEWER);
    l = access_change(usual(), bytes_str("bob"), DOC_ROLE_NONE, buf, &n);
    cr_assert_eq(n, 3);
    cr_assert_eq(access_role_of(l, bytes_str("bob")), DOC_ROLE_NONE);
    cr_assert_eq(access_role_of(l, bytes_str("group:staff")), DOC_ROLE_EDITOR);
}
