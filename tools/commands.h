/*
 * commands.h - the commands of the program. Each takes its own argv (argv[0] is its name) and
 * returns the exit code: 0, 1 where it failed, 2 where the options make no sense; and each has said
 * in one line on standard error what was wrong.
 */
#ifndef PENSTOCK_TOOLS_COMMANDS_H
#define PENSTOCK_TOOLS_COMMANDS_H

#define EXIT_FAILED 1
#define EXIT_USAGE  2

#define PENSTOCK_VERSION "0.1.0"

int serve_main(int argc, char **argv);
int token_main(int argc, char **argv);
int doc_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int log_main(int argc, char **argv);

#endif
