/*
 * replay_agent.h - one person of a trace as a client of the protocol: makes the trace's edits in
 * the order and with the sight that the trace says, sends them, and merges what others send.
 *
 * Two layers, both of them the protocol's client (docs/protocol.md, section 2):
 *   - towards the server: `version` is what was taken from its stream; `pending` are own edits that
 *     it has not acknowledged, in the context of that version;
 *   - towards the person: `unseen` are the others' ops that were taken but that the next edit was
 *     made without; they follow what the person sees and are given to him when the trace says so.
 * What the server sends waits in `inbox` until an edit needs it or an own ack stands behind it, so
 * that edits go out on old versions and the server has something to transform.
 *
 * Edit i of an agent bears seq i + 1, which makes resuming simple: the server's last_seq says which
 * edit comes next. Owner: one thread.
 */
#ifndef PENSTOCK_TOOLS_REPLAY_AGENT_H
#define PENSTOCK_TOOLS_REPLAY_AGENT_H

#include "tools/histogram.h"
#include "tools/replay_text.h"
#include "tools/trace.h"
#include "tools/wsclient.h"

#define REPLAY_BATCH_MAX 1000u

/* A queue of ops, each in memory of its own. */
struct replay_item {
    uint8_t *op;
    size_t op_bytes;
    uint64_t seq;     /* own: its seq; another's: its version; an ack: the seq */
    uint64_t version; /* in the inbox: that it made */
    bool own;         /* in the inbox: an ack, or an own op that comes back */
};

struct replay_queue {
    struct replay_item *items;
    uint32_t head, n, room;
};

enum replay_state { REPLAY_OFF, REPLAY_CATCHING_UP, REPLAY_LIVE, REPLAY_FAILED };

struct replay_agent {
    const struct trace *trace;
    uint32_t idx;                     /* in the trace */
    const struct replay_agent *other; /* NULL: alone */
    char client_id[32];
    enum replay_state state;
    struct wsclient ws;
    uint64_t version;
    uint32_t n_made;  /* own edits that became ops */
    uint32_t n_acked; /* of these, acknowledged; the rest is pending */
    uint32_t n_sent;  /* of these, sent on this connection */
    uint32_t n_heard; /* of the other's edits, received */
    uint32_t n_taken; /* of the other's edits, taken from the inbox */
    uint32_t n_seen;  /* of these, given to the person */
    struct replay_queue pending, unseen, inbox;
    struct replay_text text;  /* what the person sees */
    uint64_t sent_ns;         /* when the message in flight left */
    uint64_t retry_ns;        /* not before: the next attempt to send or connect */
    uint64_t server_last_seq; /* as its last welcome said */
    uint32_t batch;
    struct histogram *latency;
    uint8_t *work; /* WORK_BYTES for ops, JSON and messages */
    char why[256]; /* why it failed */
};

enum status replay_agent_open(struct replay_agent *a, const struct trace *trace, uint32_t idx,
                              uint32_t batch, struct histogram *latency) must_use;
void replay_agent_close(struct replay_agent *a);

/* A new connection begins (a->ws was opened) or the old one ended. */
void replay_agent_connected(struct replay_agent *a);
void replay_agent_disconnected(struct replay_agent *a);
/* One message of the server. False: the run has failed, and a->why says why. */
bool replay_agent_take(struct replay_agent *a, struct bytes text, uint64_t now_ns) must_use;
/* Makes and sends what can go out now. */
bool replay_agent_go(struct replay_agent *a, uint64_t now_ns) must_use;
/* Every edit acknowledged, and nothing of the other's left to come. */
bool replay_agent_is_done(const struct replay_agent *a);
/* Gives the person all that is left, so that `text` is the end. */
bool replay_agent_finish(struct replay_agent *a) must_use;

#endif
