/* options.c - see options.h. getopt_long finds the options; the table says what they mean. */
#include "tools/options.h"
#include "base/say.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_BYTES 200

enum status options_complain(const struct option_command *c, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    say(SAY_ERROR, "%s: %s", c->name, text);
    return STATUS_USAGE;
}

/* ---- values ---- */

static bool read_number(const char *text, bool bytes, uint64_t *v)
{
    static const char suffixes[] = "KMGT";
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno)
        return false;
    unsigned shift = 0;
    if (bytes && *end) {
        const char *at = strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (!at)
            return false;
        shift = 10 * (unsigned)(at - suffixes + 1);
        end++;
    }
    if (*end || n > UINT64_MAX >> shift)
        return false;
    *v = (uint64_t)n << shift;
    return true;
}

/* As people write it: 64K rather than 65536. */
static const char *number_text(uint64_t v, bool bytes, char out[24])
{
    unsigned i = 0;
    for (; bytes && v && v % 1024 == 0 && i < 4; i++)
        v /= 1024;
    snprintf(out, 24, "%llu%.1s", (unsigned long long)v, &"\0KMGT"[i]);
    return out;
}

static enum status set_number(const struct option_spec *spec, const char *value, uint64_t *field,
                              char *why, size_t why_bytes)
{
    uint64_t v;
    if (!read_number(value, spec->kind == OPTION_BYTES, &v)) {
        snprintf(why, why_bytes, "\"%.60s\" is no %s", value,
                 spec->kind == OPTION_BYTES ? "number of bytes (64K, 16M, 2G ...)"
                                            : "whole number");
        return STATUS_USAGE;
    }
    if (v < spec->min || v > spec->max) {
        char min[24], max[24];
        bool bytes = spec->kind == OPTION_BYTES;
        snprintf(why, why_bytes, "%.40s is not in %s ... %s", value,
                 number_text(spec->min, bytes, min), number_text(spec->max, bytes, max));
        return STATUS_USAGE;
    }
    *field = v;
    return STATUS_OK;
}

static enum status set_choice(const struct option_spec *spec, const char *value, unsigned *field,
                              char *why, size_t why_bytes)
{
    unsigned idx = 0;
    size_t n = strlen(value);
    for (const char *at = spec->choices; at; idx++) {
        const char *bar = strchr(at, '|');
        size_t word = bar ? (size_t)(bar - at) : strlen(at);
        if (word == n && memcmp(at, value, n) == 0) {
            *field = idx;
            return STATUS_OK;
        }
        at = bar ? bar + 1 : NULL;
    }
    snprintf(why, why_bytes, "\"%.60s\" is none of %s", value, spec->choices);
    return STATUS_USAGE;
}

static enum status set_flag(const char *value, bool *field, char *why, size_t why_bytes)
{
    static const char *const words[2][4] = {{"no", "false", "0", "off"},
                                            {"yes", "true", "1", "on"}};
    for (unsigned on = 0; on < 2; on++) {
        for (unsigned i = 0; i < 4; i++) {
            if (strcmp(value, words[on][i]) == 0) {
                *field = on;
                return STATUS_OK;
            }
        }
    }
    snprintf(why, why_bytes, "\"%.60s\" is neither yes nor no", value);
    return STATUS_USAGE;
}

static enum status set_field(const struct option_spec *spec, const char *value, void *fields,
                             char *why, size_t why_bytes)
{
    void *field = (char *)fields + spec->offset;
    struct option_list *list = field;
    if (spec->kind == OPTION_FLAG)
        return set_flag(value, field, why, why_bytes);
    if (spec->kind == OPTION_NUMBER || spec->kind == OPTION_BYTES)
        return set_number(spec, value, field, why, why_bytes);
    if (spec->kind == OPTION_CHOICE)
        return set_choice(spec, value, field, why, why_bytes);
    if (!*value && spec->kind != OPTION_ANY) {
        snprintf(why, why_bytes, "it is empty");
        return STATUS_USAGE;
    }
    if (spec->kind == OPTION_TEXT || spec->kind == OPTION_ANY) {
        *(const char **)field = value;
        return STATUS_OK;
    }
    if (list->n == OPTIONS_LIST_MAX) {
        snprintf(why, why_bytes, "more than %d of them", OPTIONS_LIST_MAX);
        return STATUS_USAGE;
    }
    list->at[list->n++] = value;
    return STATUS_OK;
}

enum status options_set(const struct option_command *c, const char *name, const char *value,
                        void *fields, char *why, size_t why_bytes)
{
    for (unsigned i = 0; i < c->n_specs; i++) {
        if (strcmp(c->specs[i].name, name) == 0)
            return set_field(&c->specs[i], value, fields, why, why_bytes);
    }
    snprintf(why, why_bytes, "there is no such option");
    return STATUS_USAGE;
}

/* ---- help ---- */

void options_help(const struct option_command *c)
{
    printf("usage: penstock %s %s\n\n%s\n", c->name, c->synopsis, c->about);
    if (c->n_specs)
        printf("\noptions:\n");
    for (unsigned i = 0; i < c->n_specs; i++) {
        const struct option_spec *spec = &c->specs[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", spec->name, spec->arg ? " " : "",
                 spec->arg ? spec->arg : "");
        printf("  %-30s %s\n", left, spec->help);
    }
}

/* ---- argv ---- */

static enum status take_operands(const struct option_command *c, int argc, char **argv,
                                 struct option_operands *operands)
{
    if ((unsigned)(argc - optind) > c->operands_max)
        return options_complain(c, "what is \"%.60s\"? (see penstock %s --help)",
                                argv[optind + (int)c->operands_max], c->name);
    for (; optind < argc; optind++)
        operands->at[operands->n++] = argv[optind];
    return STATUS_OK;
}

static void fill_long_options(const struct option_command *c, struct option *out)
{
    for (unsigned i = 0; i < c->n_specs; i++) {
        out[i] = (struct option){.name = c->specs[i].name,
                                 .has_arg = c->specs[i].kind == OPTION_FLAG ? no_argument
                                                                            : required_argument,
                                 .val = 256 + (int)i};
    }
    out[c->n_specs] = (struct option){.name = "help", .has_arg = no_argument, .val = 'h'};
}

enum status options_parse(const struct option_command *c, int argc, char **argv, void *fields,
                          struct option_operands *operands, bool *done)
{
    struct option longs[OPTIONS_MAX + 2] = {0};
    check_cmp(c->n_specs, <=, OPTIONS_MAX);
    fill_long_options(c, longs);
    *done = false;
    optind = 0; /* glibc: start anew, this may be the second command line of the process */
    opterr = 0;
    for (;;) {
        int got = getopt_long(argc, argv, ":h", longs, NULL);
        if (got == -1)
            return take_operands(c, argc, argv, operands);
        if (got == 'h') {
            options_help(c);
            *done = true;
            return STATUS_OK;
        }
        if (got == ':')
            return options_complain(c, "%s needs a value", argv[optind - 1]);
        if (got < 256)
            return options_complain(c, "there is no option %.60s (see penstock %s --help)",
                                    argv[optind - 1], c->name);
        const struct option_spec *spec = &c->specs[got - 256];
        char why[WHY_BYTES];
        if (set_field(spec, optarg ? optarg : "yes", fields, why, sizeof why) != STATUS_OK)
            return options_complain(c, "--%s: %s", spec->name, why);
    }
}
