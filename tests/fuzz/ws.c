/*
 * Frames from a hostile client: the same bytes give the same events however they are split, and the
 * same as wslay's. The first byte of the input is the step of the split. CANARY plants a bug: it
 * takes any finished message of two bytes for a crash.
 */
#include "tests/support/ws_oracle.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* wslay refuses 1012 ... 1014, which have been registered since. */
static bool has_newer_close_code(const struct trace *t)
{
    for (size_t i = 0; i + 3 <= t->n; i++)
        if (t->p[i] == WS_OP_CLOSE) {
            unsigned code = t->p[i + 1] | (unsigned)t->p[i + 2] << 8;
            if (code >= 1012 && code <= 1014)
                return true;
        }
    return false;
}

static void canary(const struct trace *t)
{
#ifdef CANARY
    if (t->n >= 7 && t->p[0] == WS_OP_TEXT && t->p[3] == 2)
        abort();
#else
    (void)t;
#endif
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    static uint8_t padded[4096 + ORACLE_PAD];
    memcpy(padded, data + 1, size - 1);
    memset(padded + size - 1, 0, ORACLE_PAD);
    struct bytes in = bytes_of(padded, size - 1 + ORACLE_PAD);
    struct trace whole = trace_ours(in, 0);
    struct trace split = trace_ours(in, 1u + data[0] % 32u);
    struct trace theirs = trace_wslay(in);
    canary(&whole);
    if (!trace_eq(&whole, &split)) {
        fprintf(stderr, "split: %u and %u\n", whole.failed, split.failed);
        abort();
    }
    if (!trace_eq(&whole, &theirs) && !has_newer_close_code(&whole)) {
        fprintf(stderr, "wslay: we %u, it %u\n", whole.failed, theirs.failed);
        abort();
    }
    free(whole.p);
    free(split.p);
    free(theirs.p);
    return 0;
}
