/*
 * batch.h - the ops of one message, from JSON to the payload of MSG_OPS (net/message.h).
 *
 * Ops are added one after the other; the first that is refused ends the batch: those before it
 * stand, it and those after it do not (protocol section 2). Pure; no allocation.
 */
#ifndef PENSTOCK_GATEWAY_BATCH_H
#define PENSTOCK_GATEWAY_BATCH_H

#include "gateway/opjson.h"
#include "net/message.h"

struct batch {
    struct writer w; /* the payload so far; MSG_OPS wants it 8-aligned */
    uint32_t parts_max;
    bool type_is_known; /* then attributes and embeds are judged here */
    bool rich;
    uint8_t *scratch;
    size_t scratch_bytes;
    struct bytes client_id; /* whose ops they must be; empty: the first op says it */
    char client_id_buf[LIMIT_CLIENT_ID_BYTES];
    uint32_t n_ops;
    uint64_t base_version;
    uint64_t first_seq;
    bool first_has_seq;
    /* Why the last batch_add failed. */
    enum status refused;
    const char *why; /* static */
    bool refused_has_seq;
    uint64_t refused_seq;
};

/* `w` begins at the payload's start. Set the other public fields first. */
void batch_begin(struct batch *b, struct writer w);
/* The op that stands next in `j`. False: refused. */
bool batch_add(struct batch *b, struct json *j);
/* Fills in the fixed part; further fields may be written to b->w behind it. */
void batch_end(struct batch *b, struct msg_head head, uint32_t flags);

#endif
