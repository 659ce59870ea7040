/*
 * options.h - the options of a command as a table: one parser, one help text, one way to complain.
 *
 * A command describes its options as an array of struct option_spec that name fields of a struct of
 * its own. options_parse fills the struct from argv, options_set from one name and value (a
 * configuration file has the same names). Whatever is wrong is said in one line on standard error.
 *
 * Used by one thread, at start. Text fields point into argv or into what options_set was given,
 * which must stay.
 */
#ifndef PENSTOCK_TOOLS_OPTIONS_H
#define PENSTOCK_TOOLS_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_MAX      64
#define OPTIONS_LIST_MAX 64

enum option_kind {
    OPTION_TEXT,   /* const char *, not empty */
    OPTION_ANY,    /* const char *, perhaps empty */
    OPTION_FLAG,   /* bool */
    OPTION_NUMBER, /* uint64_t, min ... max */
    OPTION_BYTES,  /* uint64_t, min ... max; K, M, G and T may follow */
    OPTION_CHOICE, /* unsigned: place in `choices`, words with | between */
    OPTION_LIST,   /* struct option_list; may come more than once */
};

struct option_list {
    const char *at[OPTIONS_LIST_MAX];
    unsigned n;
};

struct option_spec {
    const char *name; /* without dashes */
    enum option_kind kind;
    const char *arg;  /* how help names its value; NULL for flags */
    const char *help; /* one line */
    size_t offset;    /* of the field */
    uint64_t min, max;
    const char *choices;
};

struct option_command {
    const char *name;     /* "serve": begins each complaint */
    const char *synopsis; /* behind the name, in help */
    const char *about;    /* some lines for help */
    const struct option_spec *specs;
    unsigned n_specs;
    unsigned operands_max; /* words that are no options */
};

struct option_operands {
    const char *at[8];
    unsigned n;
};

/* argv[0] is the command's name. *done: help was asked for and printed. STATUS_USAGE: one line was
 * said. `operands` may be NULL where operands_max is 0. */
enum status options_parse(const struct option_command *c, int argc, char **argv, void *fields,
                          struct option_operands *operands, bool *done) must_use;
/* One option by name; flags take yes, no, true, false, 1, 0. `why` gets what is wrong with it. */
enum status options_set(const struct option_command *c, const char *name, const char *value,
                        void *fields, char *why, size_t why_bytes) must_use;
void options_help(const struct option_command *c);
/* "penstock COMMAND: text" on standard error, as one line; returns STATUS_USAGE. */
enum status options_complain(const struct option_command *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
