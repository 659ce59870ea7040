/*
 * replay.h - what the files of `penstock replay` share: the options, the run and its documents. One
 * thread.
 *
 * replay.c: options, epoll loop, progress · replay_doc.c: documents over HTTP, comparing ·
 * replay_agent.c, replay_message.c: one client · replay_text.c: what a person sees · trace.c.
 */
#ifndef PENSTOCK_TOOLS_REPLAY_H
#define PENSTOCK_TOOLS_REPLAY_H

#include "tools/client.h"
#include "tools/replay_agent.h"

#include <netdb.h>

#define REPLAY_DOCS_MAX     4096u
#define REPLAY_DOC_ID_BYTES 129u

struct replay_options {
    const char *trace;
    const char *url;
    const char *token;
    const char *token_file;
    const char *resume;
    uint64_t clients;
    uint64_t batch;
    uint64_t retry_s;
    bool verify_history;
};

struct replay_doc;

/* One agent's place in the loop. */
struct replay_conn {
    struct replay_agent agent;
    struct replay_doc *doc;
    uint64_t down_since_ns; /* 0: it is live */
    bool watches_write;
};

struct replay_doc {
    char id[REPLAY_DOC_ID_BYTES];
    struct replay_conn conns[TRACE_AGENTS_MAX];
    bool done;
};

struct replay_run {
    struct replay_options options;
    struct client client;
    struct trace trace;
    struct addrinfo *address;
    void *tls_context;
    char host_header[300];
    int epoll_fd;
    uint32_t n_docs, n_done;
    uint32_t n_reconnects;
    struct replay_doc *docs;
    struct histogram latency;
    uint64_t started_ns, ended_ns;
};

/* Each says in one line what went wrong. */
enum status replay_doc_create(struct replay_run *run, struct replay_doc *doc) must_use;
/* Reads the document and holds it against the trace's end. STATUS_CORRUPT: another text. */
enum status replay_doc_compare(struct replay_run *run, struct replay_doc *doc,
                               uint64_t *version) must_use;
/* Reads the whole history and replays it from the start content. STATUS_CORRUPT: another text. */
enum status replay_doc_replay_history(struct replay_run *run, struct replay_doc *doc,
                                      uint64_t version) must_use;

#endif
