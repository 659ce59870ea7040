/*
 * transform.h - the algebra of ops: transform, compose, apply-free, on the binary form, buffer to
 * buffer.
 *
 * transform(a, b, a_has_priority) is quill-delta's a.transform(b, priority): b as it reads after a.
 * compose(a, b) is a.compose(b). Both read two runs and write a third in normal form; nothing is
 * parsed into a tree and nothing is allocated. One thing differs: where b ends with a plain retain
 * (its tail, net/op.h), transform keeps what becomes of it, so that an op that reached past the end
 * of its base still reaches past the end; op_chop gives quill-delta's result.
 *
 * Bounds: transform's output has at most parts(a) + parts(b) components; transform_bytes_max /
 * compose_bytes_max give a buffer that always suffices. Linear in the bytes of both.
 *
 * Errors: STATUS_OP_INVALID where an input is malformed or compose would cut a surrogate pair in
 * two; STATUS_NO_ROOM where the buffer is too small. A buffer that always suffices may be far
 * larger than the result where long attributes meet many components: a caller with a buffer of a
 * size of its own takes STATUS_NO_ROOM as "too large".
 *
 * Pure; any thread. Source: quill-delta 5.1 (protocol section 2). Object-valued retains are refused
 * by the gateway and never occur.
 */
#ifndef PENSTOCK_SEQUENCER_TRANSFORM_H
#define PENSTOCK_SEQUENCER_TRANSFORM_H

#include "net/op.h"

size_t transform_bytes_max(struct bytes a, struct bytes b);
size_t compose_bytes_max(struct bytes a, struct bytes b);

enum status op_transform(struct bytes a, struct bytes b, bool a_has_priority, void *buf,
                         size_t buf_bytes, struct bytes *out) must_use;
enum status op_compose(struct bytes a, struct bytes b, void *buf, size_t buf_bytes,
                       struct bytes *out) must_use;

/* quill-delta's a.transformPosition(pos, a_has_priority): where `pos_u16` is after `a`. A malformed
 * op moves nothing. */
uint64_t op_transform_position(struct bytes a, uint64_t pos_u16, bool a_has_priority);

#endif
