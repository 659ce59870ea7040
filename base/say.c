/* say.c - see say.h. */
#include "base/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SAY_BYTES 1024

/* One write a line, so that lines of several threads don't mix. What comes from outside (a path, a
 * peer's text) must not be able to begin a line of its own. */
static void put_line(char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    }
    line[n++] = '\n';
    for (size_t at = 0; at < n;) {
        ssize_t k = write(STDERR_FILENO, line + at, n - at);
        if (k <= 0)
            return; /* nobody listens */
        at += (size_t)k;
    }
}

void say(enum say_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error: ", "warning: ", ""};
    char line[SAY_BYTES];
    size_t n = (size_t)snprintf(line, sizeof line, "penstock: %s", names[level]);
    va_list args;
    va_start(args, fmt);
    int k = vsnprintf(line + n, sizeof line - n - 1, fmt, args);
    va_end(args);
    if (k > 0)
        n += (size_t)k < sizeof line - n - 1 ? (size_t)k : sizeof line - n - 2;
    put_line(line, n);
}

void check_failed(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
    char text[SAY_BYTES];
    int n = snprintf(text, sizeof text - 1,
                     "penstock: broken invariant: %s (%llu, %llu) at %s:%d; please report this",
                     what, (unsigned long long)a, (unsigned long long)b, file, line);
    if (n > 0)
        put_line(text, (size_t)n < sizeof text - 1 ? (size_t)n : sizeof text - 2);
    abort();
}
