/* datadir.c - see datadir.h. */
#include "tools/datadir.h"
#include "base/clock.h"
#include "base/say.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_NAME   "penstock.meta"
#define SECRET_NAME "dev.hs256"
/* A process that was just killed keeps its locks until its memory is given back and its last write
 * has ended (disk_uring_hold). */
#define LOCK_MS_MAX 1500u

/* ---- files ---- */

const char *datadir_path(const struct datadir *d, const char *name)
{
    static _Thread_local char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", d->path, name);
    return path;
}

const char *datadir_shard_path(const struct datadir *d, uint32_t shard, const char *name)
{
    char below[64];
    snprintf(below, sizeof below, "shard-%03u%s%s", shard, *name ? "/" : "", name);
    return datadir_path(d, below);
}

/* A new file that is there whole or not at all, whenever the power goes. */
static bool put_file(const struct datadir *d, const char *name, const void *bytes, size_t n)
{
    char draft[64];
    snprintf(draft, sizeof draft, "%s~", name);
    int fd = openat(d->fd, draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, bytes, n) == (ssize_t)n && fsync(fd) == 0;
    close(fd);
    return ok && renameat(d->fd, draft, d->fd, name) == 0 && fsync(d->fd) == 0;
}

/* ---- penstock.meta ---- */

struct meta {
    uint64_t format;
    uint64_t n_shards;
    char uuid[37];
};

static int on_meta(void *self, const char *section, const char *name, const char *value)
{
    struct meta *m = self;
    if (*section)
        return 1; /* a newer format's; `format` says so */
    if (strcmp(name, "format") == 0)
        m->format = strtoull(value, NULL, 10);
    else if (strcmp(name, "shards") == 0)
        m->n_shards = strtoull(value, NULL, 10);
    else if (strcmp(name, "uuid") == 0)
        snprintf(m->uuid, sizeof m->uuid, "%s", value);
    return 1;
}

static enum status read_meta(struct datadir *d)
{
    struct meta m = {0};
    if (ini_parse(datadir_path(d, META_NAME), on_meta, &m) != 0 || m.format == 0) {
        say(SAY_ERROR, "%s/%s can't be read: this is no data directory of Penstock's", d->path,
            META_NAME);
        return STATUS_FORMAT;
    }
    if (m.format > DATADIR_FORMAT) {
        say(SAY_ERROR, "%s was made by a newer Penstock (format %llu; this one knows up to %u)",
            d->path, (unsigned long long)m.format, DATADIR_FORMAT);
        return STATUS_FORMAT;
    }
    if (m.n_shards < 1 || m.n_shards > DATADIR_SHARDS_MAX || strlen(m.uuid) != 36) {
        say(SAY_ERROR, "%s/%s is damaged", d->path, META_NAME);
        return STATUS_FORMAT;
    }
    d->n_shards = (uint32_t)m.n_shards;
    memcpy(d->uuid, m.uuid, sizeof d->uuid);
    return STATUS_OK;
}

static bool make_uuid(char out[37])
{
    uint8_t r[16];
    if (getrandom(r, sizeof r, 0) != sizeof r)
        return false;
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* version 4 */
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0],
             r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13],
             r[14], r[15]);
    return true;
}

static enum status write_meta(struct datadir *d, uint32_t n_shards)
{
    char text[512];
    d->n_shards = n_shards;
    if (!make_uuid(d->uuid))
        return STATUS_IO;
    int n = snprintf(text, sizeof text,
                     "; A Penstock data directory. Written once; nothing here may be changed.\n"
                     "format = %u\nshards = %u\nuuid = %s\n",
                     DATADIR_FORMAT, n_shards, d->uuid);
    if (!put_file(d, META_NAME, text, (size_t)n)) {
        say(SAY_ERROR, "%s can't be written: %s", datadir_path(d, META_NAME), strerror(errno));
        return STATUS_IO;
    }
    return STATUS_OK;
}

/* Whether somebody else's files are in it. Our own drafts, left by a crash, and what file systems
 * put there do not count. */
static bool is_foreign(const struct datadir *d)
{
    static const char *const fine[] = {".", "..", "lost+found", META_NAME "~", SECRET_NAME "~"};
    DIR *dir = opendir(d->path);
    bool foreign = false;
    for (struct dirent *e; dir && !foreign && (e = readdir(dir));) {
        foreign = true;
        for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
            foreign = foreign && strcmp(e->d_name, fine[i]) != 0;
    }
    if (dir)
        closedir(dir);
    return foreign;
}

/* ---- opening ---- */

/* 0, or why not. */
static int take_lock(int fd, int lock)
{
    uint64_t end_ns = clock_mono_ns() + LOCK_MS_MAX * NS_PER_MS;
    int err = 0;
    while ((err = flock(fd, lock | LOCK_NB) == 0 ? 0 : errno) == EWOULDBLOCK &&
           clock_mono_ns() < end_ns)
        poll(NULL, 0, 20);
    return err;
}

static enum status open_locked(struct datadir *d, const char *path, int lock)
{
    *d = (struct datadir){.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (d->fd < 0) {
        say(SAY_ERROR, "data directory %s: %s", path, strerror(errno));
        return STATUS_IO;
    }
    int err = take_lock(d->fd, lock);
    if (err != 0) {
        if (err == EWOULDBLOCK)
            say(SAY_ERROR, "another process uses the data directory %s", path);
        else
            say(SAY_ERROR, "data directory %s can't be locked: %s", path, strerror(err));
        close(d->fd);
        return STATUS_LOCKED;
    }
    d->path = strdup(path);
    return STATUS_OK;
}

static bool has_meta(const struct datadir *d)
{
    return faccessat(d->fd, META_NAME, F_OK, 0) == 0;
}

enum status datadir_open_to_read(struct datadir *d, const char *path)
{
    enum status s = open_locked(d, path, LOCK_SH);
    if (s != STATUS_OK)
        return s;
    if (!has_meta(d)) {
        say(SAY_ERROR, "%s is no data directory of Penstock's (it has no %s)", path, META_NAME);
        s = STATUS_FORMAT;
    } else {
        s = read_meta(d);
    }
    if (s != STATUS_OK)
        datadir_close(d);
    return s;
}

static enum status open_or_make(struct datadir *d, uint32_t n_shards_wanted,
                                uint32_t n_shards_default)
{
    if (!has_meta(d)) {
        if (is_foreign(d)) {
            say(SAY_ERROR,
                "%s holds other files and no %s: this is no data directory of Penstock's", d->path,
                META_NAME);
            return STATUS_FORMAT;
        }
        return write_meta(d, n_shards_wanted ? n_shards_wanted : n_shards_default);
    }
    enum status s = read_meta(d);
    if (s == STATUS_OK && n_shards_wanted && n_shards_wanted != d->n_shards) {
        say(SAY_ERROR, "%s was made with --shards %u, which can't be changed to %u", d->path,
            d->n_shards, n_shards_wanted);
        s = STATUS_FORMAT;
    }
    return s;
}

enum status datadir_open(struct datadir *d, const char *path, uint32_t n_shards_wanted,
                         uint32_t n_shards_default)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        say(SAY_ERROR, "data directory %s can't be made: %s", path, strerror(errno));
        return STATUS_IO;
    }
    enum status s = open_locked(d, path, LOCK_EX);
    if (s != STATUS_OK)
        return s;
    s = open_or_make(d, n_shards_wanted, n_shards_default);
    if (s != STATUS_OK)
        datadir_close(d);
    return s;
}

void datadir_close(struct datadir *d)
{
    if (!d->path)
        return;
    (void)flock(d->fd, LOCK_UN); /* the kernel may let go of the rings' hold a little later */
    close(d->fd);
    free(d->path);
    *d = (struct datadir){.fd = -1};
}

static bool make_durable_dir(const char *path, const char *parent)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return false;
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

enum status datadir_make_shard(const struct datadir *d, uint32_t shard)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", datadir_shard_path(d, shard, ""));
    const char *view = datadir_shard_path(d, shard, "view");
    if (make_durable_dir(dir, d->path) && make_durable_dir(view, dir))
        return STATUS_OK;
    say(SAY_ERROR, "%s can't be made: %s", view, strerror(errno));
    return STATUS_IO;
}

/* ---- the secret of --dev ---- */

enum status datadir_dev_secret(const struct datadir *d, uint8_t secret[DATADIR_SECRET_BYTES])
{
    int fd = openat(d->fd, SECRET_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (getrandom(secret, DATADIR_SECRET_BYTES, 0) == (ssize_t)DATADIR_SECRET_BYTES &&
            put_file(d, SECRET_NAME, secret, DATADIR_SECRET_BYTES))
            return STATUS_OK;
    }
    ssize_t n = fd >= 0 ? read(fd, secret, DATADIR_SECRET_BYTES) : -1;
    if (fd >= 0)
        close(fd);
    if (n == (ssize_t)DATADIR_SECRET_BYTES)
        return STATUS_OK;
    say(SAY_ERROR, "%s: %s", datadir_path(d, SECRET_NAME),
        n < 0 ? strerror(errno) : "it does not hold 32 bytes");
    return STATUS_IO;
}
