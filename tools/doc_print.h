/*
 * doc_print.h - what a server says about documents, for people: tables and plain text out of JSON.
 *
 * Text from documents is printed as it is only where it is the document's content; in tables
 * control characters are replaced, so that a title can't move the cursor. false: the answer is not
 * what the protocol describes (said).
 */
#ifndef PENSTOCK_TOOLS_DOC_PRINT_H
#define PENSTOCK_TOOLS_DOC_PRINT_H

#include "base/bytes.h"

#include <stdbool.h>

bool doc_print_document(struct bytes json, bool content_alone);
bool doc_print_list(struct bytes json);
bool doc_print_history(struct bytes json);

/* Fields that commands need of a document: content only where it is a string. */
struct doc_fields {
    struct bytes id;
    struct bytes type;
    struct bytes title;
    struct bytes role;
    struct bytes owner_id;
    struct bytes created;
    struct bytes last_modified;
    struct bytes content;     /* decoded, if it is a string */
    struct bytes content_raw; /* its JSON */
    struct bytes collaborators_raw;
    uint64_t version;
};
/* Slices of `json` and of scratch (json.n bytes). */
bool doc_read_fields(struct bytes json, void *scratch, struct doc_fields *f);

#endif
