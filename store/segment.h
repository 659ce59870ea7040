/*
 * segment.h - the log's format on disk, and what a block of it proves. Pure: bytes in, verdicts
 * out.
 *
 * A segment is a file of a fixed size that holds groups one after the other from offset 0, each at
 * a multiple of 4096 and padded to one. A group is a header of 128 bytes, then its records: each a
 * header of 16 bytes and its payload, padded to 8 with zeros. The first group of a segment is its
 * head: every group says which log, shard, segment and offset it belongs to, so a block that a disk
 * put elsewhere, a recycled file's earlier life and another shard's file are all recognised.
 *
 * Groups form a chain: each holds the header checksum of the one before it. Header and payload have
 * a checksum of their own, XXH3-64 seeded with the log's id (drawn by chance when the log is made),
 * so that no client can write text that passes for a group.
 *
 * Whoever walks the chain keeps a struct segment_chain and asks at every place:
 *     SEGMENT_NEXT    the group that follows in the chain; its payload is then checked too
 *     SEGMENT_LATER   a group that was written after the one that should be here: proof that the
 *                     missing one had been durable, since one write is in flight at a time
 *     SEGMENT_NONE    nothing: zeros, an earlier life of a recycled file, the rest of a torn write
 *
 * A later format keeps magic, format, header_bytes and log_id where they are, and its checksum in
 * the header's last 8 bytes, so that a newer directory is told from a damaged one.
 */
#ifndef PENSTOCK_STORE_SEGMENT_H
#define PENSTOCK_STORE_SEGMENT_H

#include "store/record.h"

#define SEGMENT_FORMAT       1u
#define SEGMENT_MAGIC        0x47a5fdffu /* on disk: ff fd a5 'G', never part of UTF-8 text */
#define SEGMENT_BLOCK        4096u
#define SEGMENT_NAME         "log-%016llx"
#define SEGMENT_NAME_BYTES   20u
#define SEGMENT_RECORD_BYTES 16u

struct segment_group {
    uint32_t magic;
    uint16_t format;
    uint16_t header_bytes;
    uint64_t log_id;
    uint32_t shard;
    uint32_t n_records;
    uint64_t segment;       /* number of the file */
    uint64_t segment_bytes; /* size of the file */
    uint64_t offset;        /* in the file */
    uint64_t epoch;         /* raised at every start */
    uint64_t term;          /* of the leader that wrote it; 0 without replication */
    uint64_t first_idx;     /* of the first record; of the next one where there is none */
    uint64_t payload_bytes; /* records and their headers, without the padding of the group */
    uint64_t committed_idx; /* as known when it was written */
    uint64_t prev_sum;      /* header_sum of the group before; 0: the log's first */
    uint64_t payload_sum;
    uint8_t pad[16];
    uint64_t header_sum; /* of all above */
};
_Static_assert(sizeof(struct segment_group) == 128, "layout is law");
_Static_assert(offsetof(struct segment_group, log_id) == 8, "layout is law");
_Static_assert(offsetof(struct segment_group, segment) == 24, "layout is law");
_Static_assert(offsetof(struct segment_group, payload_sum) == 96, "layout is law");
_Static_assert(offsetof(struct segment_group, header_sum) == 120, "layout is law");

struct segment_record {
    uint32_t payload_bytes;
    uint16_t type;
    uint16_t zero;
    uint64_t idx;
};
_Static_assert(sizeof(struct segment_record) == SEGMENT_RECORD_BYTES, "layout is law");

/* Where a walk along the chain stands. */
struct segment_chain {
    uint64_t log_id;
    uint64_t next_idx;
    uint64_t prev_sum; /* header_sum of the last group; 0 before the log's first */
    uint64_t epoch;    /* of the last group */
    uint32_t shard;
};

/* Where a block was read. */
struct segment_place {
    uint64_t segment;
    uint64_t segment_bytes;
    uint64_t offset;
};

enum segment_verdict { SEGMENT_NONE, SEGMENT_NEXT, SEGMENT_LATER };

/* The name of a segment's file. */
void segment_name(uint64_t segment, char name[SEGMENT_NAME_BYTES + 1]);
/* False where it is no such name. */
bool segment_number(const char *name, uint64_t *segment);

/* Bytes that a group takes on disk. */
static inline uint64_t segment_group_bytes(uint64_t payload_bytes)
{
    return (sizeof(struct segment_group) + payload_bytes + SEGMENT_BLOCK - 1) &
           ~(uint64_t)(SEGMENT_BLOCK - 1);
}

/* Bytes that a record takes in a group. */
static inline uint64_t segment_record_bytes(uint64_t payload_bytes)
{
    return SEGMENT_RECORD_BYTES + ((payload_bytes + 7) & ~(uint64_t)7);
}

/* ---- writing ---- */

/* Puts a record's header in front of its payload, and zeros behind it. */
void segment_record_seal(uint8_t *at, enum record_type type, uint64_t idx, uint32_t payload_bytes);
/* `at`: room for the header, then the payload. Sets magic, format and checksums, writes the header,
 * zeroes the padding of the last block, and returns the bytes on disk. */
uint64_t segment_group_seal(uint8_t *at, struct segment_group *group);

/* ---- reading ---- */

/* A header that is whole by its own checksum. STATUS_END: there is none; STATUS_FORMAT: a whole one
 * of a later format. `at` may be any bytes. */
enum status segment_group_read(struct bytes at, struct segment_group *group) must_use;
/* Whether the header belongs to this file and offset of this log. */
bool segment_is_here(const struct segment_group *group, const struct segment_place *place,
                     uint64_t log_id, uint32_t shard);
/* What a header that is whole and in its place says about the chain. */
enum segment_verdict segment_judge(const struct segment_group *group,
                                   const struct segment_chain *chain);
/* Everything behind the header: checksum, and records one after the other to the last byte. */
bool segment_payload_check(const struct segment_group *group, struct bytes payload);
/* Steps the chain past a group. */
void segment_chain_step(struct segment_chain *chain, const struct segment_group *group);
/* The next record of a payload; false at the end, or (reader not ok) where it is broken. */
bool segment_next_record(struct reader *payload, struct segment_record *record,
                         struct bytes *bytes);

#endif
