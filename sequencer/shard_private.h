/*
 * shard_private.h - the inside of a shard, shared by the shard*.c files and nobody else.
 *
 * Messages of gateways are handled by shard_dispatch. A handler returns
 *     STATUS_OK       it is done with (answered, or not worth an answer);
 *     STATUS_NO_ROOM  nothing was changed: the same message comes again once there is room;
 *     STATUS_END      it was parked: a struct request holds it until what it waits for is there.
 * A parked message runs through the same handler again, with what was learned in its request.
 */
#ifndef PENSTOCK_SEQUENCER_SHARD_PRIVATE_H
#define PENSTOCK_SEQUENCER_SHARD_PRIVATE_H

#include "base/counters.h"
#include "base/say.h"
#include "sequencer/accept.h"
#include "sequencer/access.h"
#include "sequencer/cache.h"
#include "sequencer/loader_message.h"
#include "sequencer/merge.h"
#include "sequencer/outbox.h"
#include "sequencer/session.h"
#include "sequencer/shard.h"

/* What one message may make a shard write to one gateway: content, or ops and their acks, and small
 * things around it. No message is begun without that much room in every gateway's ring. */
#define SHARD_ANSWER_BYTES (LIMIT_RECORD_BYTES + (1u << 20))
/* Ops in one message; ops looked at behind one document; both have scratch reserved. */
#define SHARD_MESSAGE_OPS_MAX 32768u
#define SHARD_WALK_MAX        4096u
/* One accepted record: what a chunk of history can carry with its strings. */
#define SHARD_RECORD_BYTES_MAX (LIMIT_RECORD_BYTES - 4096u)
#define SHARD_REQUESTS_MAX     32768u
#define SHARD_WAITING_MAX      4u /* messages of one session behind a merge or catch-up */
#define SHARD_INPUT_BUDGET     256u
#define SHARD_PRESENCE_BYTES   (192u << 10)
#define SHARD_PRESENCE_BUDGET  65536u
/* merge_cost that a message may take at once, and that merges take of one poll. */
#define SHARD_MERGE_COST_NOW   (512u << 10)
#define SHARD_MERGE_COST_SLICE (256u << 10)
/* Steps of a rope (rope.h) that one message's ops may take; the op that passes it is finished. */
#define SHARD_APPLY_STEPS_MAX (256u << 10)
#define SHARD_SNAPSHOT_BYTES  (64u << 10)
#define SHARD_RETRY_MS        1000u

/* A message that waits. Memory: a fixed table, payloads from the shard's pool. */
struct request {
    struct request *next;
    struct document *doc;  /* pinned while it waits for it or works on it; may be NULL */
    struct client *client; /* pinned */
    uint8_t *payload;
    uint32_t payload_bytes;
    uint32_t slot;
    uint32_t gen;
    uint32_t gateway;
    uint16_t type;
    bool taken;
    bool cancelled;     /* nobody waits for it any more: dropped when it turns up */
    bool in_session;    /* counted in its session's n_waiting */
    bool is_asking;     /* the loader has a question for it */
    bool client_absent; /* the view knows no such client */
    bool hash_known;    /* of the version that a join named */
    uint64_t hash;

    uint64_t merge_version; /* version at which merge_ops hold */
    uint8_t *merge_ops;     /* NULL: not a merge */
    uint64_t merge_ops_bytes;
    uint32_t merge_skip; /* resends before them */
    uint32_t merge_n;
    uint32_t merge_at; /* > 0: an accepted op is under way; it is kept behind merge_ops */
    uint8_t *chunk;    /* older ops from the loader that are being merged */
    uint64_t chunk_bytes;
    uint64_t chunk_at;
};

struct request_list {
    struct request *first;
    struct request *last;
};

struct msg_in {
    uint32_t gateway;
    uint16_t type;
    struct bytes payload;
    struct request *request; /* NULL: fresh from the ring */
};

struct shard_gate {
    struct outbox out;
    bool broken; /* its ring is not a ring: not read any more */
};

struct shard_counters {
    struct counter *ops;
    struct counter *op_bytes;
    struct counter *ops_merged;
    struct counter *ops_resent;
    struct counter *messages;
    struct counter *refused[STATUS_N];
    struct counter *joins;
    struct counter *replaced;
    struct counter *calls;
    struct counter *loads;
    struct counter *evictions;
    struct counter *snapshots;
    struct counter *presence;
    struct counter *catchup_chunks;
    struct counter *merge_slices;
    struct counter *sessions;
    struct counter *documents;
    struct counter *memory;
    struct counter *parked;
    struct counter *waits_full;
};

struct shard {
    struct shard_options options;
    struct shard_wiring wiring;
    struct log *log;
    struct pool pool;
    struct history window;
    struct cache cache;
    struct session_table sessions;
    struct merge merge;
    struct rope_limits rope_limits;
    uint64_t now_ns;
    uint64_t unix_ms; /* never goes back */
    uint64_t durable_idx;
    uint64_t view_idx;
    uint64_t next_docnum;
    uint64_t seal_idx; /* the log's last record when it was looked at for a pause */
    uint64_t seal_at_ns;
    bool ready_told;
    uint32_t next_gateway;
    _Atomic uint32_t failed;

    struct request *requests;
    struct request *requests_free;
    uint32_t n_requests;
    uint64_t parked_bytes;
    uint64_t parked_bytes_max;
    struct request_list ready;  /* to be run again */
    struct request_list merges; /* to be carried on */

    struct document *presence_first;
    struct document *presence_last;
    uint64_t presence_at_ns;

    struct accept_op *ops_in; /* scratch, SHARD_MESSAGE_OPS_MAX */
    uint64_t *hashes;         /* scratch, SHARD_MESSAGE_OPS_MAX */
    uint64_t *resent;         /* scratch, SHARD_MESSAGE_OPS_MAX */
    uint64_t walk[SHARD_WALK_MAX];

    struct outbox archive;
    struct shard_counters count;
    struct shard_gate gates[SHARD_GATEWAYS_MAX];
};

/* ---- shard.c ---- */

enum status shard_dispatch(struct shard *s, struct msg_in *m);
/* Whether every ring that a message may write to has room for the worst. */
bool shard_has_room(struct shard *s);

/* ---- shard_out.c: answers, written into the gateways' rings ---- */

struct writer shard_claim(struct shard *s, uint32_t gateway, size_t bytes);
void shard_commit(struct shard *s, uint32_t gateway, uint16_t type, const struct writer *w);
/* The message had no effect: FAIL to a call or join, ERROR to a session. Returns STATUS_OK. */
enum status shard_refuse(struct shard *s, const struct msg_in *m, enum status why);
/* The answer to log_room: NO_ROOM is passed on, anything else refuses. */
enum status shard_no_log_room(struct shard *s, const struct msg_in *m, enum status why);
void shard_error(struct shard *s, const struct session *to, enum status why, uint64_t seq);
void shard_note(struct shard *s, const struct session *to, uint16_t type, uint32_t arg);
enum status shard_done(struct shard *s, const struct msg_in *m);
struct msg_head shard_head(const struct session *to);
struct msg_head shard_head_of(const struct msg_in *m);
/* `str` content of a rope; needs at most shard_content_bytes. */
size_t shard_content_bytes(const struct document *d);
void shard_write_content(struct writer *w, const struct document *d);

/* ---- shard_request.c: messages that wait, and the loader ---- */

enum status shard_requests_open(struct shard *s);
/* Keeps a message; NULL: too many wait. */
struct request *shard_park(struct shard *s, struct msg_in *m, struct document *d);
void shard_request_done(struct shard *s, struct request *r);
void shard_push(struct request_list *l, struct request *r);
struct request *shard_pop(struct request_list *l);
/* Moves a document's or session's waiting ones to the ready list. */
void shard_wake_all(struct shard *s, struct request **first, struct request **last);
/* A question for the loader: there is room (shard_has_room). */
void shard_ask(struct shard *s, enum loader_type type, struct loader_ask ask, struct bytes a,
               struct bytes b);
struct loader_ask shard_ask_for(struct request *r);
/* So many questions wait that new calls and joins are refused: those under way keep a quarter of
 * the ring, and open documents never wait for cold ones. */
bool shard_loader_is_behind(struct shard *s);
/* Parks and asks; STATUS_END, or STATUS_OK after a refusal. */
enum status shard_park_and_ask(struct shard *s, struct msg_in *m, struct document *d,
                               enum loader_type type, struct loader_ask ask, struct bytes a,
                               struct bytes b);
/* Hurries the archive to an index. */
void shard_need(struct shard *s, uint64_t idx);
unsigned shard_take_answers(struct shard *s);
unsigned shard_run_ready(struct shard *s);

/* ---- shard_document.c: documents in memory ---- */

/* The document, open; else STATUS_END / STATUS_OK / STATUS_NO_ROOM as a handler returns it, with
 * *doc NULL. With `create`, one that does not exist is returned too, as DOCUMENT_ABSENT. */
enum status shard_find_document(struct shard *s, struct msg_in *m, struct bytes tenant,
                                struct bytes doc_id, bool create, struct document **doc);
/* The client; *client NULL with STATUS_OK and *absent: nobody has used that id. */
enum status shard_find_client(struct shard *s, struct msg_in *m, struct document *d,
                              struct bytes id, struct client **client, bool *absent);
void shard_document_answer(struct shard *s, const struct loader_answer *a, struct reader *r);
void shard_client_answer(struct shard *s, struct request *req, const struct loader_answer *a,
                         struct reader *r);
void shard_unpin(struct shard *s, struct document *d);
/* NOT_FOUND, GONE or FORBIDDEN unless the identity has at least that role on a live document. */
enum status shard_check_access(const struct document *d, const struct msg_identity *id,
                               uint8_t role_min);
/* Gives back memory of documents that nobody uses, oldest first; how many went. */
unsigned shard_evict(struct shard *s);
/* Frees what it can at once, after the pool had no room. */
bool shard_make_room(struct shard *s);
void shard_snapshot_if_due(struct shard *s, struct document *d);

/* ---- shard_ops.c, shard_merge.c ---- */

enum status shard_on_ops(struct shard *s, struct msg_in *m);
/* Carries a message's ops to the document's version: STATUS_OK with s->merge holding them, or the
 * message was parked as a merge (STATUS_END), or a refusal. */
enum status shard_merge(struct shard *s, struct msg_in *m, struct session *session,
                        struct document *d, uint64_t base, uint32_t skip, uint32_t n);
unsigned shard_run_merges(struct shard *s);
void shard_merge_answer(struct shard *s, struct request *r, const struct loader_answer *a,
                        struct bytes items);

/* ---- shard_join.c, shard_catchup.c, shard_session.c ---- */

enum status shard_on_join(struct shard *s, struct msg_in *m);
void shard_catchup(struct shard *s, struct session *session);
void shard_catchup_answer(struct shard *s, struct session *session, const struct loader_answer *a,
                          struct bytes items);
size_t shard_item_bytes(const struct history_op *op);
void shard_write_item(struct writer *w, const struct history_op *op);

struct session *shard_session_of(struct shard *s, const struct msg_in *m);
void shard_make_live(struct shard *s, struct session *session);
/* Takes a session out of everything; with a close code the gateway is told (0: it knows). */
void shard_end_session(struct shard *s, struct session *session, uint32_t close_code);
enum status shard_on_leave(struct shard *s, struct msg_in *m);
enum status shard_on_credit(struct shard *s, struct msg_in *m);
enum status shard_on_identity(struct shard *s, struct msg_in *m);
/* After a change of a document's roles or of one identity. */
void shard_review_role(struct shard *s, struct session *session);

/* ---- shard_presence.c ---- */

enum status shard_on_presence(struct shard *s, struct msg_in *m);
unsigned shard_presence(struct shard *s);
uint64_t shard_presence_deadline(const struct shard *s);
void shard_presence_leave(struct shard *s, const struct session *session);
/* Entries for a joiner: how many, and their bytes; then written. */
uint32_t shard_presence_list(struct shard *s, const struct session *joiner, size_t *bytes);
void shard_write_presence_list(struct writer *w, const struct session *joiner, uint32_t n);

/* ---- shard_calls.c, shard_create.c ---- */

struct call {
    struct msg_call h;
    struct msg_identity id;
    struct bytes doc_id;
    struct reader r; /* what follows */
};

bool shard_read_call(const struct msg_in *m, struct call *c);
enum status shard_on_create(struct shard *s, struct msg_in *m);
enum status shard_on_get(struct shard *s, struct msg_in *m);
enum status shard_on_list(struct shard *s, struct msg_in *m);
enum status shard_on_history(struct shard *s, struct msg_in *m);
enum status shard_on_title(struct shard *s, struct msg_in *m);
enum status shard_on_trash(struct shard *s, struct msg_in *m);
enum status shard_on_role(struct shard *s, struct msg_in *m);
/* What the loader found for one of them; the request is done after it. */
void shard_call_answer(struct shard *s, struct request *r, uint16_t type,
                       const struct loader_answer *a, struct reader *in);
void shard_write_document(struct shard *s, const struct msg_in *m, const struct document *d,
                          uint8_t role);

#endif
