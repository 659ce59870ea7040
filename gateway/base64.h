/*
 * base64.h - Base64url (RFC 4648 section 5) as tokens and cursors want it: no padding, no white
 * space, unused bits zero, so that one value has one text. Pure; any thread; no allocation.
 */
#ifndef PENSTOCK_GATEWAY_BASE64_H
#define PENSTOCK_GATEWAY_BASE64_H

#include "base/bytes.h"

void base64_write(struct writer *w, struct bytes b);
/* Appends what the text stands for to `w`; *out is that. False, and nothing written: it is not
 * Base64url, or `w` lacks the room. */
bool base64_read(struct bytes text, struct writer *w, struct bytes *out);

#endif
