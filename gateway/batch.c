/* batch.c - ops of one message; see batch.h. */
#include "gateway/batch.h"

#include "gateway/gateway_private.h"

void batch_begin(struct batch *b, struct writer w)
{
    struct msg_ops head = {0};
    b->w = w;
    b->n_ops = 0;
    b->refused = STATUS_OK;
    msg_write_struct(&b->w, &head);
}

static bool refuse(struct batch *b, uint8_t *from, enum status s, const char *why,
                   const struct opjson *op)
{
    b->w.p = from;
    b->w.ok = true;
    b->refused = s;
    b->why = why;
    b->refused_has_seq = op->has_seq;
    b->refused_seq = op->seq;
    return false;
}

/* What makes no sense whatever the document holds. */
static const char *wrong_with(const struct batch *b, const struct opjson *op)
{
    if (!op->has_version)
        return "version (the base) is missing";
    if (b->n_ops && op->version != b->base_version)
        return "all ops of a message have the same base version";
    if (op->has_seq && op->seq == 0)
        return "seq begins with 1";
    if (op->has_client_id && !id_is_client(op->client_id))
        return "client_id is 1 to 64 characters of [A-Za-z0-9_.:-]";
    if (b->type_is_known && !b->rich &&
        (op->is_format || op->shape.has_attrs || op->shape.has_embeds))
        return "attributes and embeds are for rich documents alone";
    return NULL;
}

static const char *reason_of(enum status s)
{
    return s == STATUS_TOO_LARGE ? "the operation has too many components or bytes"
                                 : "the operation makes no sense";
}

bool batch_add(struct batch *b, struct json *j)
{
    uint8_t *from = b->w.p;
    struct msg_op_in in = {0};
    struct opjson op;
    memset(&op, 0, sizeof op);
    msg_write_struct(&b->w, &in);
    enum status s = opjson_read(j, b->parts_max, &b->w, b->scratch, b->scratch_bytes, &op);
    /* The message is JSON of a known type; what in it is no op makes no sense as one. */
    if (s == STATUS_BAD_MESSAGE)
        return refuse(b, from, STATUS_OP_INVALID, "an operation is an object of a known type", &op);
    if (s == STATUS_OK && !b->w.ok)
        s = STATUS_TOO_LARGE;
    if (s != STATUS_OK)
        return refuse(b, from, s, reason_of(s), &op);
    const char *why = wrong_with(b, &op);
    if (why)
        return refuse(b, from, STATUS_OP_INVALID, why, &op);
    if (op.has_client_id && b->client_id.n && !bytes_eq(op.client_id, b->client_id))
        return refuse(b, from, STATUS_FORBIDDEN, "client_id is another client's", &op);
    msg_write_pad8(&b->w);
    if (!b->w.ok)
        return refuse(b, from, STATUS_TOO_LARGE, reason_of(STATUS_TOO_LARGE), &op);
    in.seq = op.has_seq ? op.seq : 0;
    in.op_bytes = (uint32_t)op.op.n;
    in.flags = op.has_seq ? 0 : MSG_OP_NO_SEQ;
    memcpy(from, &in, sizeof in);
    if (b->n_ops++ == 0) {
        b->base_version = op.version;
        b->first_has_seq = op.has_seq;
        b->first_seq = op.seq;
        if (!b->client_id.n && op.has_client_id) {
            memcpy(b->client_id_buf, op.client_id.p, op.client_id.n);
            b->client_id = bytes_of(b->client_id_buf, op.client_id.n);
        }
    }
    return true;
}

void batch_end(struct batch *b, struct msg_head head, uint32_t flags)
{
    struct msg_ops ops = {
        .head = head, .base_version = b->base_version, .n_ops = b->n_ops, .flags = flags};
    memcpy(b->w.start, &ops, sizeof ops);
}
