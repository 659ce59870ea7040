/* options.c - what the program makes of its command line, its file and its data directory. */
#include "tools/options.h"
#include "sequencer/shard.h"
#include "tools/client.h"
#include "tools/config.h"
#include "tools/datadir.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the table ---- */

struct fields {
    const char *text;
    bool flag;
    uint64_t number;
    uint64_t bytes;
    unsigned choice;
    struct option_list list;
};
#define FIELD(name) offsetof(struct fields, name)
static const struct option_spec specs[] = {
    {"text", OPTION_TEXT, "T", "a text", FIELD(text), 0, 0, NULL},
    {"flag", OPTION_FLAG, NULL, "a flag", FIELD(flag), 0, 0, NULL},
    {"number", OPTION_NUMBER, "N", "a number", FIELD(number), 2, 10, NULL},
    {"bytes", OPTION_BYTES, "B", "bytes", FIELD(bytes), 0, 1ull << 40, NULL},
    {"choice", OPTION_CHOICE, "a|bb", "a choice", FIELD(choice), 0, 0, "a|bb"},
    {"list", OPTION_LIST, "L", "a list", FIELD(list), 0, 0, NULL},
};
static const struct option_command command = {.name = "try",
                                              .synopsis = "",
                                              .about = "",
                                              .specs = specs,
                                              .n_specs = sizeof specs / sizeof *specs,
                                              .operands_max = 2};

static struct option_operands operands;
static struct fields fields;

static bool parse(const char *line)
{
    static char copy[4096];
    static char *argv[64];
    int argc = 0;
    bool done;
    snprintf(copy, sizeof copy, "try %s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    operands.n = 0;
    fields = (struct fields){0};
    return options_parse(&command, argc, argv, &fields, &operands, &done) == STATUS_OK;
}

Test(options, every_kind_is_read_in_both_spellings, .init = cr_redirect_stderr)
{
    cr_assert(
        parse("--text x --flag --number 7 --bytes=64K --choice bb --list a word --list=b two"));
    cr_assert_str_eq(fields.text, "x");
    cr_assert(fields.flag);
    cr_assert_eq(fields.number, 7);
    cr_assert_eq(fields.bytes, 65536);
    cr_assert_eq(fields.choice, 1);
    cr_assert_eq(fields.list.n, 2);
    cr_assert_str_eq(fields.list.at[1], "b");
    cr_assert_eq(operands.n, 2);
    cr_assert_str_eq(operands.at[1], "two");
}

Test(options, what_makes_no_sense_is_refused, .init = cr_redirect_stderr)
{
    const char *bad[] = {
        "--number 1",   "--number 11",
        "--number x",   "--number 3x",
        "--number -3",  "--number",
        "--nothing",    "--bytes 5X",
        "--bytes 2T",   "--bytes 18446744073709551616",
        "--choice c",   "--choice a|bb",
        "--flag=maybe", "one two three",
        "-x",           "--bytes 1KB",
        "--text=",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(parse(bad[i]), "%s", bad[i]);
    cr_assert(parse("--number 2 --number 10"));
    cr_assert(parse("--bytes 1T"));
    cr_assert(parse("-- --number"), "behind -- come operands");
}

/* ---- texts of serve ---- */

Test(options, addresses_are_numeric_and_say_whether_they_are_loopback)
{
    struct config_address a;
    cr_assert(config_read_address("127.0.0.1:80", &a));
    cr_assert(a.is_loopback && !a.is_v6 && a.port == 80);
    cr_assert(config_read_address("127.9.8.7:0", &a) && a.is_loopback);
    cr_assert(config_read_address("0.0.0.0:65535", &a) && !a.is_loopback);
    cr_assert(config_read_address("[::1]:8080", &a) && a.is_loopback && a.is_v6);
    cr_assert_str_eq(a.host, "::1");
    cr_assert(config_read_address("[::]:1", &a) && !a.is_loopback);
    const char *bad[] = {"",        "80",           ":80",           "127.0.0.1",     "127.0.0.1:",
                         "1.2.3:1", "127.0.0.1:-1", "1.2.3.4:65536", "localhost:80",  "[::1:80",
                         "::1:80",  "[]:80",        "1.2.3.4:8x",    "[127.0.0.1]:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(config_read_address(bad[i], &a), "%s", bad[i]);
}

Test(options, cpu_lists_keep_their_order)
{
    int cpus[CONFIG_CPUS_MAX];
    unsigned n;
    cr_assert(config_read_cpus("3,0-2,7", cpus, &n));
    cr_assert_eq(n, 5);
    cr_assert(cpus[0] == 3 && cpus[1] == 0 && cpus[3] == 2 && cpus[4] == 7);
    cr_assert(config_read_cpus("0-255", cpus, &n));
    const char *bad[] = {"", ",", "1,", "a", "2-1", "1-", "-1", "0-256", "1 2", "99999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(config_read_cpus(bad[i], cpus, &n), "%s", bad[i]);
}

static char dir[64], path[128];
static void make_dir(void)
{
    cr_redirect_stderr();
    snprintf(dir, sizeof dir, "/tmp/penstock-options-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}
static void remove_dir(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    cr_assert_eq(system(line), 0);
}

static void put_file(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static bool read_config(struct config *c, const char *const *words)
{
    static char *argv[32];
    static char copies[32][128];
    int argc = 0;
    bool done;
    for (; words[argc]; argc++) {
        snprintf(copies[argc], sizeof copies[argc], "%s", words[argc]);
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    return config_read(c, argc, argv, &done) == STATUS_OK;
}
#define CONFIG(c, ...) read_config((c), (const char *const[]){"serve", __VA_ARGS__, NULL})

Test(options, argv_is_stronger_than_the_file_and_lists_add_up, .init = make_dir, .fini = remove_dir)
{
    struct config c;
    put_file(
        "a.ini",
        "; comment\n[serve]\ndata = /x\nshards = 3\nconnections = 77\njwt-key = a.pem\ndev = no\n");
    cr_assert(CONFIG(&c, "--config", path, "--shards", "5", "--jwt-key", "b.pem"));
    cr_assert_str_eq(c.data, "/x");
    cr_assert_eq(c.shards, 5);
    cr_assert_eq(c.connections, 77);
    cr_assert_eq(c.jwt_keys.n, 2);
    cr_assert_str_eq(c.jwt_keys.at[0], "a.pem");
    cr_assert_str_eq(c.jwt_keys.at[1], "b.pem");
}

Test(options, a_bad_file_is_refused, .init = make_dir, .fini = remove_dir)
{
    struct config c;
    const char *bad[] = {"shards = 0\n",          "nonsense = 1\n",   "no equals sign\n",
                         "[other]\nshards = 1\n", "config = b.ini\n", "dev = perhaps\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_file("a.ini", bad[i]);
        cr_assert_not(CONFIG(&c, "--data", "/x", "--jwt-key", "k", "--config", path), "%s", bad[i]);
    }
    cr_assert_not(CONFIG(&c, "--data", "/x", "--jwt-key", "k", "--config", "/nonexistent.ini"));
}

Test(options, what_does_not_fit_together_is_refused, .init = cr_redirect_stderr)
{
    struct config c;
    cr_assert(CONFIG(&c, "--data", "/x", "--dev"));
    cr_assert(CONFIG(&c, "--data", "/x", "--dev", "--listen", "[::1]:0"));
    cr_assert_not(CONFIG(&c, "--data", "/x", "--dev", "--listen", "0.0.0.0:0"), "dev off loopback");
    cr_assert_not(CONFIG(&c, "--data", "/x", "--dev", "--listen", "10.0.0.1:0"));
    cr_assert_not(CONFIG(&c, "--data", "/x"), "no key");
    cr_assert_not(CONFIG(&c, "--dev"), "no data");
    cr_assert_not(CONFIG(&c, "--data", "/x", "--jwt-key", "k", "--tls-cert", "c"), "half of TLS");
    cr_assert_not(CONFIG(&c, "--data", "/x", "--jwt-key", "k", "--log-segment-bytes", "8388609"));
}

Test(options, the_memory_budget_is_split_without_being_passed, .init = cr_redirect_stderr)
{
    for (uint32_t n_shards = 1; n_shards <= DATADIR_SHARDS_MAX; n_shards *= 2) {
        for (uint64_t gib = 0; gib <= 64; gib++) {
            struct config c = {.memory_bytes = gib ? gib << 30 : 512u << 20,
                               .gateways = 1 + gib % 4};
            struct config_memory m;
            if (config_split_memory(&c, n_shards, &m) != STATUS_OK)
                continue;
            uint64_t shard = 2 * m.log_group_bytes + 2 * m.archive_batch_bytes + m.loader_bytes +
                             m.window_bytes + m.documents_bytes + 2 * LIMIT_RING_BYTES +
                             c.gateways * 2 * m.ring_bytes;
            uint64_t sum = n_shards * shard + c.gateways * m.gateway_bytes;
            cr_assert_leq(sum, c.memory_bytes);
            cr_assert_eq(m.window_bytes & (m.window_bytes - 1), 0);
            cr_assert_geq(m.documents_bytes, 8u << 20);
        }
    }
    struct config c = {.gateways = 16, .connections = 10000, .tls_cert = "c"};
    struct config_memory m;
    cr_assert_eq(config_split_memory(&c, DATADIR_SHARDS_MAX, &m), STATUS_OK,
                 "the default fits all");
    c = (struct config){.gateways = 1};
    c.memory_bytes = 128u << 20;
    cr_assert_eq(config_split_memory(&c, 4, &m), STATUS_USAGE);
}

Test(options, connections_take_no_more_than_their_share_unless_asked_for)
{
    struct config c = {.gateways = 1};
    struct config_memory m;
    cr_assert_eq(config_split_memory(&c, 1, &m), STATUS_OK);
    cr_assert_eq(m.connections, 65536);
    c.tls_cert = "c";
    cr_assert_eq(config_split_memory(&c, 1, &m), STATUS_OK);
    cr_assert(m.connections > 10000 && m.connections < 65536, "%lu", m.connections);
    c = (struct config){.gateways = 2, .memory_bytes = 1u << 30};
    cr_assert_eq(config_split_memory(&c, 1, &m), STATUS_OK);
    cr_assert_eq(m.connections, 16384);
    c.connections = 77;
    cr_assert_eq(config_split_memory(&c, 1, &m), STATUS_OK);
    cr_assert_eq(m.connections, 77);
}

/* ---- data directories ---- */

Test(options, a_data_directory_keeps_what_was_decided_when_it_was_made, .init = make_dir,
     .fini = remove_dir)
{
    struct datadir d, second;
    cr_assert_eq(datadir_open(&d, dir, 3, 1), STATUS_OK);
    cr_assert_eq(d.n_shards, 3);
    char uuid[37];
    memcpy(uuid, d.uuid, sizeof uuid);
    cr_assert_eq(datadir_open(&second, dir, 0, 1), STATUS_LOCKED);
    cr_assert_eq(datadir_open_to_read(&second, dir), STATUS_LOCKED);
    datadir_close(&d);
    cr_assert_eq(datadir_open(&d, dir, 0, 1), STATUS_OK);
    cr_assert_eq(d.n_shards, 3);
    cr_assert_str_eq(d.uuid, uuid);
    datadir_close(&d);
    cr_assert_eq(datadir_open(&d, dir, 4, 1), STATUS_FORMAT);
    cr_assert_eq(datadir_open_to_read(&d, dir), STATUS_OK);
    cr_assert_eq(datadir_open_to_read(&second, dir), STATUS_OK, "readers share");
    cr_assert_eq(datadir_open(&(struct datadir){0}, dir, 0, 1), STATUS_LOCKED);
    datadir_close(&d);
    datadir_close(&second);
}

Test(options, foreign_newer_and_damaged_directories_are_refused_untouched, .init = make_dir,
     .fini = remove_dir)
{
    struct datadir d;
    put_file("thesis.txt", "x");
    cr_assert_eq(datadir_open(&d, dir, 0, 1), STATUS_FORMAT);
    cr_assert_eq(access(path, F_OK), 0);
    put_file("penstock.meta", "");
    cr_assert_eq(datadir_open(&d, dir, 0, 1), STATUS_FORMAT);
    put_file("penstock.meta", "format = 2\nwhatever = 1\n");
    cr_assert_eq(datadir_open(&d, dir, 0, 1), STATUS_FORMAT);
    put_file("penstock.meta",
             "format = 1\nshards = 0\nuuid = 01234567-0123-4123-8123-0123456789ab\n");
    cr_assert_eq(datadir_open(&d, dir, 0, 1), STATUS_FORMAT);
    put_file("penstock.meta",
             "format = 1\nshards = 2\nuuid = 01234567-0123-4123-8123-0123456789ab\n");
    cr_assert_eq(datadir_open(&d, dir, 0, 1), STATUS_OK);
    cr_assert_eq(d.n_shards, 2);
    datadir_close(&d);
    cr_assert_neq(datadir_open(&d, path, 0, 1), STATUS_OK, "a file is no directory");
    cr_assert_neq(datadir_open(&d, "/nonexistent/a/b", 0, 1), STATUS_OK);
    cr_assert_neq(datadir_open_to_read(&d, "/nonexistent"), STATUS_OK);
}

Test(options, an_empty_directory_and_drafts_of_a_crash_are_no_obstacle, .init = make_dir,
     .fini = remove_dir)
{
    struct datadir d;
    put_file("penstock.meta~", "form");
    cr_assert_eq(datadir_open(&d, dir, 0, 2), STATUS_OK);
    cr_assert_eq(d.n_shards, 2);
    cr_assert_eq(datadir_make_shard(&d, 1), STATUS_OK);
    cr_assert_eq(datadir_make_shard(&d, 1), STATUS_OK);
    cr_assert_eq(access(datadir_shard_path(&d, 1, "view"), F_OK), 0);
    datadir_close(&d);
}

Test(options, the_dev_secret_is_made_once_and_is_private, .init = make_dir, .fini = remove_dir)
{
    struct datadir d;
    uint8_t first[DATADIR_SECRET_BYTES], second[DATADIR_SECRET_BYTES],
        none[DATADIR_SECRET_BYTES] = {0};
    cr_assert_eq(datadir_open(&d, dir, 0, 1), STATUS_OK);
    cr_assert_eq(datadir_dev_secret(&d, first), STATUS_OK);
    cr_assert_eq(datadir_dev_secret(&d, second), STATUS_OK);
    cr_assert_arr_eq(first, second, sizeof first);
    cr_assert_neq(memcmp(first, none, sizeof none), 0);
    struct stat st;
    cr_assert_eq(stat(datadir_path(&d, "dev.hs256"), &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(truncate(datadir_path(&d, "dev.hs256"), 31), 0);
    cr_assert_neq(datadir_dev_secret(&d, first), STATUS_OK);
    datadir_close(&d);
}

/* ---- the client's addresses ---- */

Test(options, addresses_of_servers_are_read, .init = cr_redirect_stderr)
{
    struct client c;
    cr_assert_eq(client_init(&c, "http://127.0.0.1:8080/", NULL), STATUS_OK);
    cr_assert_str_eq(c.host, "127.0.0.1");
    cr_assert_str_eq(c.port, "8080");
    cr_assert_str_eq(c.base, "");
    cr_assert_eq(client_init(&c, "https://docs.example/a/b", NULL), STATUS_OK);
    cr_assert(c.tls);
    cr_assert_str_eq(c.port, "443");
    cr_assert_str_eq(c.base, "/a/b");
    cr_assert_eq(client_init(&c, "http://[::1]:9", NULL), STATUS_OK);
    cr_assert_str_eq(c.host, "::1");
    cr_assert_str_eq(c.port, "9");
    const char *bad[] = {"",
                         "ftp://x",
                         "127.0.0.1:80",
                         "http://",
                         "http://:80",
                         "http://x:",
                         "http://x:1a",
                         "http://x:123456",
                         "http://[::1",
                         "http://[::1]x",
                         "http://x/?q=1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(client_init(&c, bad[i], NULL), STATUS_USAGE, "%s", bad[i]);
}

Test(options, path_segments_are_escaped)
{
    char out[16];
    cr_assert(client_escape("a-Z_0.~", out, sizeof out));
    cr_assert_str_eq(out, "a-Z_0.~");
    cr_assert(client_escape("a/\xc3\xa4?", out, sizeof out));
    cr_assert_str_eq(out, "a%2F%C3%A4%3F");
    cr_assert_not(client_escape("//////", out, sizeof out));
}
