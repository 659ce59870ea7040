/* replay_private.h - between replay_agent.c and replay_message.c. */
#ifndef PENSTOCK_TOOLS_REPLAY_PRIVATE_H
#define PENSTOCK_TOOLS_REPLAY_PRIVATE_H

#include "tools/replay_agent.h"

#define REPLAY_OP_BYTES      (1u << 20) /* one edit as an op */
#define REPLAY_MESSAGE_BYTES (1u << 20)
#define REPLAY_WORK_BYTES    (8u << 20)

bool replay_push(struct replay_queue *q, const struct replay_item *like, struct bytes op);
bool replay_fail(struct replay_agent *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
bool replay_take_acks(struct replay_agent *a);
/* Sends everything pending as one message. */
bool replay_send_pending(struct replay_agent *a, uint64_t now_ns);

#endif
