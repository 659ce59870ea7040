/* load_options.h - the options of perf/load.c, read by the same table as the program's own. */
#ifndef PENSTOCK_PERF_LOAD_OPTIONS_H
#define PENSTOCK_PERF_LOAD_OPTIONS_H

#include "tools/options.h"

#include <stdlib.h>

#define LOAD_ANY_CPU 1024u

struct load_options {
    const char *url;
    const char *token;
    uint64_t docs, writers, readers;
    uint64_t rate; /* edits a second over all; 0: closed loop */
    uint64_t seconds, warmup_s;
    uint64_t cpu;
    uint64_t server_pid; /* 0: not measured */
};

/* STATUS_END: help was printed; STATUS_USAGE: one line was said. */
static inline enum status load_options_parse(int argc, char **argv, struct load_options *o)
{
#define LOAD_FIELD(name) offsetof(struct load_options, name)
    static const struct option_spec specs[] = {
        {"url", OPTION_TEXT, "URL", "the server (required)", LOAD_FIELD(url), 0, 0, NULL},
        {"docs", OPTION_NUMBER, "N", "documents (200)", LOAD_FIELD(docs), 1, 65536, NULL},
        {"writers", OPTION_NUMBER, "N", "writers a document (1)", LOAD_FIELD(writers), 1, 65536,
         NULL},
        {"readers", OPTION_NUMBER, "N", "readers a document (1)", LOAD_FIELD(readers), 0, 65536,
         NULL},
        {"rate", OPTION_NUMBER, "N", "open loop: edits a second over all; 0: closed loop (0)",
         LOAD_FIELD(rate), 0, 10000000, NULL},
        {"seconds", OPTION_NUMBER, "N", "the measured window (5)", LOAD_FIELD(seconds), 1, 86400,
         NULL},
        {"warmup", OPTION_NUMBER, "N", "seconds before it (1)", LOAD_FIELD(warmup_s), 0, 600, NULL},
        {"cpu", OPTION_NUMBER, "N", "pin to this core", LOAD_FIELD(cpu), 0, LOAD_ANY_CPU - 1, NULL},
        {"server-pid", OPTION_NUMBER, "PID", "measure this process's CPU time",
         LOAD_FIELD(server_pid), 0, UINT32_MAX, NULL},
    };
#undef LOAD_FIELD
    static const struct option_command command = {
        .name = "load",
        .synopsis = "--url URL [options]",
        .about = "Loads a server with writers and readers; the token comes from PENSTOCK_TOKEN.",
        .specs = specs,
        .n_specs = sizeof specs / sizeof *specs,
    };
    bool done = false;
    *o = (struct load_options){
        .docs = 200, .writers = 1, .readers = 1, .seconds = 5, .warmup_s = 1, .cpu = LOAD_ANY_CPU};
    enum status s = options_parse(&command, argc, argv, o, NULL, &done);
    if (s != STATUS_OK || done)
        return done ? STATUS_END : s;
    o->token = getenv("PENSTOCK_TOKEN");
    return o->url ? STATUS_OK : options_complain(&command, "--url is needed");
}

#endif
