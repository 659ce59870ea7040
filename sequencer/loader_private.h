/* loader_private.h - the inside of a loader, shared by the loader*.c files and nobody else. */
#ifndef PENSTOCK_SEQUENCER_LOADER_PRIVATE_H
#define PENSTOCK_SEQUENCER_LOADER_PRIVATE_H

#include "base/say.h"
#include "sequencer/loader.h"
#include "sequencer/loader_message.h"
#include "sequencer/rope.h"

#define LOADER_PARKED_MAX 1024u

/* A question that the view can't answer yet. */
struct loader_parked {
    uint64_t need_idx;
    uint8_t *payload;
    uint32_t payload_bytes;
    uint16_t type;
};

struct loader_candidate {
    uint64_t modified_ms;
    uint64_t docnum;
    struct bytes doc_id;
};

struct loader {
    struct loader_options options;
    struct pool pool;
    struct loader_parked parked[LOADER_PARKED_MAX]; /* in order of arrival */
    uint32_t n_parked;
    struct loader_candidate page[LIMIT_PAGE_ITEMS + 1];
};

/* ---- loader_content.c ---- */

/* Writes `str` content of the document at a version; STATUS_END: no such version. */
enum status loader_write_content(struct loader *l, struct view_read *view, uint64_t docnum,
                                 uint64_t version, struct writer *w);
/* History hash and time at a version. */
enum status loader_version(struct view_read *view, uint64_t docnum, uint64_t version,
                           uint64_t *hash, uint64_t *unix_ms);

/* ---- loader_list.c ---- */

/* Writes the items of one page; *n of them, *more: there are others behind. */
enum status loader_write_list(struct loader *l, struct view_read *view,
                              const struct loader_ask *ask, const struct msg_identity *id,
                              struct bytes cursor, struct writer *w, uint32_t *n, uint32_t *more);

#endif
