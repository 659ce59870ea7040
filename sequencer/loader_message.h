/*
 * loader_message.h - what a shard asks its loader, and what comes back; private to the sequencer.
 *
 * A question is a ring record of type enum loader_type: struct loader_ask and the fields named
 * there. Its answer has the same type: struct loader_answer, then, where its status is STATUS_OK,
 * what is named there. `slot`, `gen` and `whom` are echoed: they say what of the shard's waits for
 * it.
 */
#ifndef PENSTOCK_SEQUENCER_LOADER_MESSAGE_H
#define PENSTOCK_SEQUENCER_LOADER_MESSAGE_H

#include "net/message.h"

/* The largest question: an identity with all its groups, and a doc_id. */
#define LOADER_ASK_BYTES_MAX                                                                       \
    (LIMIT_GROUPS * (LIMIT_GROUP_BYTES + 2) + LIMIT_TENANT_BYTES + LIMIT_USER_ID_BYTES +           \
     LIMIT_NAME_BYTES + LIMIT_DOC_ID_BYTES + 256)
/* Ops come in chunks of about this size, at least one op each. */
#define LOADER_CHUNK_BYTES (256u << 10)

enum loader_type {
    LOADER_DOCUMENT = 1, /* str tenant, str doc_id -> struct loader_document, str owner, str title,
                            str roles, str content. STATUS_END: none */
    LOADER_CLIENT =
        2, /* docnum, str client_id -> struct loader_client, str client_id, str user, str hashes
                            (n x u64). STATUS_END: none */
    LOADER_OPS = 3,     /* docnum, a = first, b = last version, limit -> n items as in CATCHUP */
    LOADER_HASH = 4,    /* docnum, a = version -> a = history hash there. STATUS_END: none */
    LOADER_CONTENT = 5, /* docnum, a = version or unix ms, at -> a = version, b = hash, c = its
                            time, str content. STATUS_END: none */
    LOADER_LIST = 6,    /* a = the cursor's modified ms, limit, tag; identity, str cursor_doc_id ->
                            the payload of DOC_ITEMS */
};

enum loader_whom { LOADER_FOR_DOCUMENT = 1, LOADER_FOR_SESSION = 2, LOADER_FOR_REQUEST = 3 };

struct loader_ask {
    uint32_t slot;
    uint32_t gen;
    uint32_t whom;
    uint32_t limit;
    uint64_t need_idx; /* the view must hold this */
    uint64_t docnum;
    uint64_t a;
    uint64_t b;
    uint64_t tag;
    uint32_t at;        /* enum doc_at */
    uint32_t bytes_max; /* of OPS */
};

struct loader_answer {
    uint32_t slot;
    uint32_t gen;
    uint32_t whom;
    uint32_t status; /* enum status */
    uint64_t a;
    uint64_t b;
    uint64_t c;
    uint32_t n;
    uint32_t more; /* OPS: there are more up to the last one asked for */
};

struct loader_document {
    uint64_t docnum;
    uint64_t version;
    uint64_t hash;
    uint64_t created_ms;
    uint64_t modified_ms;
    uint64_t trashed_ms;
    uint64_t ops_bytes_since;
    uint32_t n_roles;
    uint32_t type;
};

struct loader_client {
    uint64_t last_seq;
    uint64_t last_version;
    uint64_t last_seq_version;
    uint64_t message_seq;
    uint64_t message_version;
    uint32_t message_n;
    uint32_t pad;
};

_Static_assert(sizeof(struct loader_ask) == 64 && sizeof(struct loader_answer) == 48,
               "layout is law");
_Static_assert(sizeof(struct loader_document) == 64 && sizeof(struct loader_client) == 48,
               "layout is law");

#endif
