/* main.c - `penstock COMMAND ...`: finds the command and runs it. */
#include "base/say.h"
#include "tools/commands.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
};

static const struct command commands[] = {
    {"serve", serve_main, "serves documents: the whole back end in one process"},
    {"token", token_main, "prints a token (JWT) for a user"},
    {"doc", doc_main, "makes, lists, shows, edits and shares documents over HTTP"},
    {"replay", replay_main, "drives a recorded editing trace through real connections"},
    {"log", log_main, "prints the log of a stopped server's data directory"},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fprintf(out, "usage: penstock COMMAND [options]\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].about);
    fprintf(out, "\n`penstock COMMAND --help` lists its options. `penstock --version`\n");
}

int main(int argc, char **argv)
{
    /* A reader that goes away (a socket, `penstock log | head`) is an error of that write alone. */
    signal(SIGPIPE, SIG_IGN);
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("penstock %s\n", PENSTOCK_VERSION);
        return 0;
    }
    if (strcmp(name, "help") == 0 && argc > 2) {
        static char help[] = "--help";
        char *asks[] = {argv[2], help, NULL};
        for (size_t i = 0; i < N_COMMANDS; i++) {
            if (strcmp(argv[2], commands[i].name) == 0)
                return commands[i].run(2, asks);
        }
        name = argv[2];
    } else if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 ||
               strcmp(name, "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    say(SAY_ERROR, "there is no command \"%.60s\" (see penstock --help)", name);
    return EXIT_USAGE;
}
