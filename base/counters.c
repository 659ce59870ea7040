/* counters.c - see counters.h. */
#include "base/counters.h"
#include "base/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_MAGIC   0x544e434bu /* "KCNT" */
#define PAGE_VERSION 1u

/* The page as other processes see it. */
struct counters_page {
    uint32_t magic;
    uint32_t version;
    _Atomic uint32_t n; /* release, once the counter's names stand <-> readers' acquire */
    uint8_t pad[52];
    struct counter at[COUNTERS_MAX];
};
_Static_assert(offsetof(struct counters_page, at) == 64, "layout is law");

struct counters {
    struct counters_page *page;
    struct counter spare;
};

/* A new file under the name: a reader may still have the old one mapped. */
static int page_file(const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd >= 0 && ftruncate(fd, sizeof(struct counters_page)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

enum status counters_open(struct counters **out, const char *path)
{
    struct counters *c = calloc(1, sizeof *c);
    int fd = -1;
    if (!c)
        return STATUS_NO_MEMORY;
    if (path && (fd = page_file(path)) < 0) {
        free(c);
        return STATUS_IO;
    }
    void *mem = mmap(NULL, sizeof(struct counters_page), PROT_READ | PROT_WRITE,
                     path ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS, fd, 0);
    if (fd >= 0)
        close(fd);
    if (mem == MAP_FAILED) {
        free(c);
        return STATUS_NO_MEMORY;
    }
    c->page = mem;
    c->page->magic = PAGE_MAGIC;
    c->page->version = PAGE_VERSION;
    *out = c;
    return STATUS_OK;
}

void counters_close(struct counters *c)
{
    if (!c)
        return;
    munmap(c->page, sizeof *c->page);
    free(c);
}

struct counter *counters_add(struct counters *c, enum counter_kind kind, const char *name,
                             const char *label, const char *help)
{
    if (!label)
        label = "";
    check_cmp(strlen(name), <, COUNTER_NAME_BYTES);
    check_cmp(strlen(label), <, COUNTER_LABEL_BYTES);
    uint32_t n = counters_n(c);
    for (uint32_t i = 0; i < n; i++) {
        struct counter *have = &c->page->at[i];
        if (strcmp(have->name, name) == 0 && strcmp(have->label, label) == 0)
            return have;
    }
    if (n == COUNTERS_MAX)
        return &c->spare;
    struct counter *new = &c->page->at[n];
    new->kind = kind;
    snprintf(new->name, sizeof new->name, "%s", name);
    snprintf(new->label, sizeof new->label, "%s", label);
    snprintf(new->help, sizeof new->help, "%s", help ? help : "");
    atomic_store_explicit(&c->page->n, n + 1, memory_order_release);
    return new;
}

uint32_t counters_n(const struct counters *c)
{
    return atomic_load_explicit(&c->page->n, memory_order_acquire);
}

const struct counter *counters_at(const struct counters *c, uint32_t idx)
{
    return idx < counters_n(c) ? &c->page->at[idx] : NULL;
}
