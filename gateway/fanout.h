/*
 * fanout.h - who of this gateway's connections is in which document, and broadcasts to them.
 *
 * Each document (shard, slot, generation) has a list of its live members. An op is encoded once,
 * into a slab, as a WebSocket frame; all members send from that one buffer. The ops of one document
 * that come one after the other lie side by side in the slab and are collected as one run; when the
 * run ends, each member gets all of it in one slice. The sender of an op gets its `ack` in the op's
 * place. So a poll with k ops to m members queues m slices, not k * m, and a socket gets them in
 * one send.
 *
 *     run:     [op 5][op 6][op 7][op 8]        member b made 6:
 *     to a:    [---------------------]         to b:  [op 5] ack [op 7][op 8]
 *
 * Runs are open only while answers of shards are handed out: whoever sends anything else to a
 * member calls fanout_flush first (I1: op and ack leave in the order of their versions, and nothing
 * overtakes them). A run never leaves the slab that it began in (I2).
 *
 * Owner: the gateway's thread. Allocates when members come, not when messages do.
 */
#ifndef PENSTOCK_GATEWAY_FANOUT_H
#define PENSTOCK_GATEWAY_FANOUT_H

#include "gateway/conn.h"
#include "gateway/reply.h"

#define FANOUT_ACKS_MAX 256u
/* What may take more is encoded in `scratch` first: bounds are six times what text really takes,
 * and a slab of that size would stay as long as the slowest reader. */
#define FANOUT_DIRECT_BYTES_MAX (16u << 10)
/* Whatever a message of a shard becomes as JSON. */
#define FANOUT_SCRATCH_BYTES (8u * LIMIT_RECORD_BYTES)

struct fan_doc;

/* Embedded in a session; zero: in no document. */
struct fan_member {
    struct conn *c;
    struct fan_doc *doc;
    struct bytes client_id; /* for acks; outlives the membership */
    uint32_t idx;           /* in the document's list */
    uint32_t run_from;      /* how far into the open run it has got; 0: nothing */
};

struct fan_slot {
    uint64_t key; /* shard and slot */
    struct fan_doc *doc;
};

struct fan_ack {
    struct fan_member *member; /* NULL: gone meanwhile */
    uint64_t seq;
    uint64_t version;
    uint32_t op_from; /* its op's frame in the run */
    uint32_t op_end;
    uint32_t flags;
    uint32_t pad;
};

struct fan_run {
    struct fan_doc *doc; /* NULL: no open run */
    struct slab *slab;
    uint32_t from;
    uint32_t end;
    uint32_t n_frames;
    uint32_t n_acks;
    struct fan_ack acks[FANOUT_ACKS_MAX];
};

struct fanout {
    struct conns *conns;
    struct fan_slot *slots;
    uint32_t n_slots; /* a power of two */
    uint32_t n_docs;
    uint64_t n_messages; /* frames given to connections, for the counters */
    uint8_t *scratch;    /* memory that is not used is not touched */
    struct fan_run run;
};

enum status fanout_init(struct fanout *f, struct conns *conns) must_use;
void fanout_fini(struct fanout *f);

/* `m` must be in no document. STATUS_NO_MEMORY. */
enum status fanout_insert(struct fanout *f, uint32_t shard, uint32_t doc, uint32_t doc_gen,
                          struct fan_member *m) must_use;
void fanout_erase(struct fanout *f, struct fan_member *m);
/* NULL: nobody here is in it. */
struct fan_doc *fanout_find(struct fanout *f, uint32_t shard, uint32_t doc, uint32_t doc_gen);
uint32_t fan_doc_n_members(const struct fan_doc *d);

/* Adds one op to the document's run. `sender`: the member that gets an ack instead; NULL: none. */
void fanout_op(struct fanout *f, struct fan_doc *d, const struct reply_op *op,
               struct fan_member *sender);
/* Ends the open run: queues it on all members. */
void fanout_flush(struct fanout *f);
/* A frame under way: begin, write to `w`, end. */
struct fan_frame {
    struct slab *slab;
    struct writer w;
    bool is_direct; /* `w` is in the slab already */
    uint32_t offset;
    uint32_t n;
};
/* False: no memory. */
bool fanout_frame_begin(struct fanout *f, size_t bytes_max, struct fan_frame *frame);
bool fanout_frame_end(struct fanout *f, struct fan_frame *frame);
/* One finished frame to all members but `except`. The run must be flushed. */
void fanout_frame(struct fanout *f, struct fan_doc *d, const struct fan_member *except,
                  const struct fan_frame *frame);

/* Panics where the table contradicts itself; for tests. */
void fanout_check(const struct fanout *f);

#endif
