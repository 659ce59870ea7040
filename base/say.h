/*
 * say.h - the few lines that a program says to its operator, on standard error, one clear line
 * each; and the end of the process when an invariant of ours is broken. Never called on an edit's
 * path. Never given a secret.
 */
#ifndef PENSTOCK_BASE_SAY_H
#define PENSTOCK_BASE_SAY_H

#include <stdint.h>

enum say_level { SAY_ERROR, SAY_WARN, SAY_INFO };

/* "penstock: <level>: text"; a line is written whole. Any thread. */
void say(enum say_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Our bug: prints what was compared, where, and aborts - in release too. */
#define check(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond, 0, 0))
#define check_cmp(a, op, b)                                                                        \
    do {                                                                                           \
        uint64_t check_a_ = (uint64_t)(a), check_b_ = (uint64_t)(b);                               \
        if (!(check_a_ op check_b_))                                                               \
            check_failed(__FILE__, __LINE__, #a " " #op " " #b, check_a_, check_b_);               \
    } while (0)
_Noreturn void check_failed(const char *file, int line, const char *what, uint64_t a, uint64_t b);

#endif
