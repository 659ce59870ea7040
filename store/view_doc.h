/*
 * view_doc.h - private to view*.c: the values of the tables doc and client. Pure.
 *
 * Fixed fields in the order of the struct, then `str` fields, unaligned.
 */
#ifndef PENSTOCK_STORE_VIEW_DOC_H
#define PENSTOCK_STORE_VIEW_DOC_H

#include "store/view.h"

/* What the table doc holds of a document beside what readers see. */
struct view_doc_row {
    struct view_doc doc;
    uint64_t run_version; /* first version of its newest run; 0: none */
    uint32_t run_bytes;   /* size of that */
};

size_t view_doc_row_bytes(const struct view_doc_row *row);
void view_doc_row_write(struct writer *w, const struct view_doc_row *row);
enum status view_doc_row_read(struct bytes value, uint64_t docnum,
                              struct view_doc_row *row) must_use;

size_t view_client_bytes(const struct view_client *c);
void view_client_write(struct writer *w, const struct view_client *c);
enum status view_client_read(struct bytes value, struct view_client *c) must_use;

/* The list of roles with one of them set (DOC_ROLE_NONE: taken away), into `w`. `n_roles` is raised
 * or lowered. STATUS_CORRUPT: the list is broken. */
enum status view_roles_set(struct bytes roles, struct bytes principal, uint8_t role,
                           struct writer *w, uint32_t *n_roles) must_use;

#endif
