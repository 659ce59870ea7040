#include "store/segment.h"

#include "base/hash.h"

#include <stdio.h>

void segment_name(uint64_t segment, char name[SEGMENT_NAME_BYTES + 1])
{
    snprintf(name, SEGMENT_NAME_BYTES + 1, SEGMENT_NAME, (unsigned long long)segment);
}

bool segment_number(const char *name, uint64_t *segment)
{
    if (strlen(name) != SEGMENT_NAME_BYTES || strncmp(name, "log-", 4) != 0)
        return false;
    uint64_t v = 0;
    for (const char *p = name + 4; *p; p++) {
        unsigned digit;
        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (*p >= 'a' && *p <= 'f')
            digit = (unsigned)(*p - 'a') + 10;
        else
            return false;
        v = v << 4 | digit;
    }
    *segment = v;
    return true;
}

/* ---- writing ---- */

void segment_record_seal(uint8_t *at, enum record_type type, uint64_t idx, uint32_t payload_bytes)
{
    struct segment_record head = {payload_bytes, (uint16_t)type, 0, idx};
    memcpy(at, &head, sizeof head);
    uint8_t *end = at + sizeof head + payload_bytes;
    uint8_t *padded = at + segment_record_bytes(payload_bytes);
    while (end < padded)
        *end++ = 0;
}

uint64_t segment_group_seal(uint8_t *at, struct segment_group *group)
{
    uint64_t used = sizeof *group + group->payload_bytes;
    uint64_t disk_bytes = segment_group_bytes(group->payload_bytes);
    memset(at + used, 0, disk_bytes - used);
    group->magic = SEGMENT_MAGIC;
    group->format = SEGMENT_FORMAT;
    group->header_bytes = sizeof *group;
    memset(group->pad, 0, sizeof group->pad);
    group->payload_sum =
        hash64_seed(bytes_of(at + sizeof *group, group->payload_bytes), group->log_id);
    group->header_sum =
        hash64_seed(bytes_of(group, offsetof(struct segment_group, header_sum)), group->log_id);
    memcpy(at, group, sizeof *group);
    return disk_bytes;
}

/* ---- reading ---- */

/* A header of a later format, whole by the two promises that every format keeps. */
static bool is_later_format(struct bytes at, const struct segment_group *v)
{
    uint64_t sum;
    if (v->format <= SEGMENT_FORMAT || v->header_bytes < 32 || v->header_bytes > at.n)
        return false;
    memcpy(&sum, at.p + v->header_bytes - sizeof sum, sizeof sum);
    return sum == hash64_seed(bytes_of(at.p, v->header_bytes - sizeof sum), v->log_id);
}

enum status segment_group_read(struct bytes at, struct segment_group *group)
{
    struct segment_group v;
    if (at.n < sizeof v)
        return STATUS_END;
    memcpy(&v, at.p, sizeof v);
    if (v.magic != SEGMENT_MAGIC)
        return STATUS_END;
    if (v.format != SEGMENT_FORMAT || v.header_bytes != sizeof v)
        return is_later_format(at, &v) ? STATUS_FORMAT : STATUS_END;
    uint64_t sum = hash64_seed(bytes_of(&v, offsetof(struct segment_group, header_sum)), v.log_id);
    if (sum != v.header_sum)
        return STATUS_END;
    /* What no writer of ours makes, though the checksum holds, is not followed either. */
    if (v.segment_bytes % SEGMENT_BLOCK != 0 || v.offset % SEGMENT_BLOCK != 0 ||
        v.offset >= v.segment_bytes || v.payload_bytes > v.segment_bytes ||
        segment_group_bytes(v.payload_bytes) > v.segment_bytes - v.offset || v.first_idx == 0 ||
        v.first_idx > UINT64_MAX - v.n_records ||
        v.n_records > v.payload_bytes / SEGMENT_RECORD_BYTES)
        return STATUS_END;
    *group = v;
    return STATUS_OK;
}

bool segment_is_here(const struct segment_group *group, const struct segment_place *place,
                     uint64_t log_id, uint32_t shard)
{
    return group->log_id == log_id && group->shard == shard && group->segment == place->segment &&
           group->segment_bytes == place->segment_bytes && group->offset == place->offset;
}

enum segment_verdict segment_judge(const struct segment_group *group,
                                   const struct segment_chain *chain)
{
    if (group->prev_sum == chain->prev_sum && group->first_idx == chain->next_idx &&
        group->epoch >= chain->epoch)
        return SEGMENT_NEXT;
    /* An older epoch was cut off by a recovery: what it left behind proves nothing. */
    if (group->epoch >= chain->epoch && group->first_idx >= chain->next_idx)
        return SEGMENT_LATER;
    return SEGMENT_NONE;
}

bool segment_payload_check(const struct segment_group *group, struct bytes payload)
{
    if (payload.n != group->payload_bytes ||
        hash64_seed(payload, group->log_id) != group->payload_sum)
        return false;
    struct reader r = reader_of(payload);
    struct segment_record record;
    struct bytes bytes;
    uint32_t n = 0;
    while (segment_next_record(&r, &record, &bytes)) {
        if (record.idx != group->first_idx + n)
            return false;
        n++;
    }
    return r.ok && n == group->n_records;
}

void segment_chain_step(struct segment_chain *chain, const struct segment_group *group)
{
    chain->next_idx = group->first_idx + group->n_records;
    chain->prev_sum = group->header_sum;
    chain->epoch = group->epoch;
}

bool segment_next_record(struct reader *payload, struct segment_record *record, struct bytes *bytes)
{
    if (!payload->ok || reader_left(payload) == 0)
        return false;
    struct segment_record v;
    struct bytes head = read_bytes(payload, sizeof v);
    if (!payload->ok)
        return false;
    memcpy(&v, head.p, sizeof v);
    if (v.zero != 0 || segment_record_bytes(v.payload_bytes) - sizeof v > reader_left(payload))
        return reader_fail(payload);
    *record = v;
    *bytes = read_bytes(payload, v.payload_bytes);
    (void)read_bytes(payload, segment_record_bytes(v.payload_bytes) - sizeof v - v.payload_bytes);
    return true;
}
