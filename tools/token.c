/* token.c - `penstock token`: prints a JWT for a user, signed with a key of the operator's. */
#include "gateway/token.h"
#include "base/clock.h"
#include "base/say.h"
#include "tools/commands.h"
#include "tools/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY_BYTES_MAX    (64u << 10)
#define SECRET_BYTES_MIN 32u

struct token_fields {
    const char *key;
    const char *sub;
    const char *name;
    struct option_list groups;
    const char *tenant;
    const char *issuer;
    const char *audience;
    uint64_t ttl_s;
};

#define FIELD(name) offsetof(struct token_fields, name)
static const struct option_spec specs[] = {
    {"jwt-key", OPTION_TEXT, "FILE",
     "secret (NAME.hs256, raw bytes) or private key (PEM) (required)", FIELD(key), 0, 0, NULL},
    {"sub", OPTION_TEXT, "USER", "the user's id (required)", FIELD(sub), 0, 0, NULL},
    {"name", OPTION_TEXT, "N", "the name that others see", FIELD(name), 0, 0, NULL},
    {"group", OPTION_LIST, "G", "a group that the user is in; repeatable", FIELD(groups), 0, 0,
     NULL},
    {"tenant", OPTION_TEXT, "T", "the user's tenant", FIELD(tenant), 0, 0, NULL},
    {"issuer", OPTION_TEXT, "S", "iss", FIELD(issuer), 0, 0, NULL},
    {"audience", OPTION_TEXT, "S", "aud", FIELD(audience), 0, 0, NULL},
    {"ttl", OPTION_NUMBER, "SECONDS", "how long it is valid (3600)", FIELD(ttl_s), 1,
     10ull * 366 * 86400, NULL},
};

static const struct option_command command = {
    .name = "token",
    .synopsis = "--jwt-key FILE --sub USER [options]",
    .about = "Prints a token (JWT) that a server with this key accepts.",
    .specs = specs,
    .n_specs = sizeof specs / sizeof *specs,
};

static enum status check_fields(const struct token_fields *f)
{
    if (!f->key)
        return options_complain(&command, "--jwt-key is needed");
    if (!f->sub)
        return options_complain(&command, "--sub is needed");
    if (strlen(f->sub) > LIMIT_USER_ID_BYTES)
        return options_complain(&command, "--sub: at most %u bytes", LIMIT_USER_ID_BYTES);
    if (strncmp(f->sub, "group:", 6) == 0)
        return options_complain(&command, "--sub: no user's id begins with \"group:\"");
    if (f->tenant && strlen(f->tenant) > LIMIT_TENANT_BYTES)
        return options_complain(&command, "--tenant: at most %u bytes", LIMIT_TENANT_BYTES);
    if (f->name && strlen(f->name) > LIMIT_NAME_BYTES)
        return options_complain(&command, "--name: at most %u bytes", LIMIT_NAME_BYTES);
    for (unsigned i = 0; i < f->groups.n; i++) {
        if (strlen(f->groups.at[i]) > LIMIT_GROUP_BYTES)
            return options_complain(&command, "--group: at most %u bytes", LIMIT_GROUP_BYTES);
    }
    return STATUS_OK;
}

static enum status read_key(const char *path, uint8_t key[KEY_BYTES_MAX], size_t *n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, key, KEY_BYTES_MAX) : -1;
    int err = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        say(SAY_ERROR, "token: %s: %s", path, strerror(err));
        return STATUS_IO;
    }
    if (got == (ssize_t)KEY_BYTES_MAX) {
        say(SAY_ERROR, "token: %s is too large for a key", path);
        return STATUS_TOO_LARGE;
    }
    *n = (size_t)got;
    return STATUS_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

static enum status print_token(const struct token_fields *f)
{
    static uint8_t key[KEY_BYTES_MAX];
    static char jwt[TOKEN_BYTES_MAX];
    struct bytes groups[OPTIONS_LIST_MAX];
    size_t n = 0;
    enum status s = read_key(f->key, key, &n);
    if (s != STATUS_OK)
        return s;
    bool is_pem = !ends_with(f->key, ".hs256");
    if (!is_pem && n < SECRET_BYTES_MIN) {
        say(SAY_ERROR, "token: %s holds %zu bytes; an HS256 secret has at least %u", f->key, n,
            SECRET_BYTES_MIN);
        return STATUS_USAGE;
    }
    for (unsigned i = 0; i < f->groups.n; i++)
        groups[i] = bytes_str(f->groups.at[i]);
    uint64_t now_s = clock_unix_ms() / 1000;
    struct token_new t = {
        .sub = bytes_str(f->sub),
        .name = bytes_str(f->name),
        .tenant = bytes_str(f->tenant),
        .groups = groups,
        .n_groups = f->groups.n,
        .issued_unix_s = now_s,
        .expires_unix_s = now_s + f->ttl_s,
        .issuer = bytes_str(f->issuer),
        .audience = bytes_str(f->audience),
    };
    s = token_sign(bytes_of(key, n), is_pem, &t, jwt, sizeof jwt);
    explicit_bzero(key, sizeof key);
    if (s != STATUS_OK) {
        say(SAY_ERROR, "token: %s: %s", f->key,
            is_pem ? "no private key (PEM: RSA, P-256 or Ed25519) that can sign this"
                   : "this can't be signed");
        return s;
    }
    if (printf("%s\n", jwt) < 0 || fflush(stdout) != 0)
        return STATUS_IO;
    return STATUS_OK;
}

int token_main(int argc, char **argv)
{
    struct token_fields f = {.ttl_s = 3600};
    bool done;
    if (options_parse(&command, argc, argv, &f, NULL, &done) != STATUS_OK)
        return EXIT_USAGE;
    if (done)
        return 0;
    if (check_fields(&f) != STATUS_OK)
        return EXIT_USAGE;
    enum status s = print_token(&f);
    return s == STATUS_OK ? 0 : EXIT_FAILED;
}
