/* SPDX-License-Identifier: MIT */
/* Base 64 of RFC 4648, section 4; nettle's. When it is read, white space between the digits is
 * passed over, as base64(1) writes it. */
#ifndef GANGER_BASE_BASE64_H
#define GANGER_BASE_BASE64_H

#include "service/base/buf.h"

#define BASE64_SIZE(n_bytes) (((n_bytes) + 2) / 3 * 4)
#define BASE64_MAX_BYTES(n_text) ((n_text) / 4 * 3 + 3)

/* BASE64_SIZE(bytes.len) characters to `to`, which is not terminated. */
void base64_encode(struct slice bytes, char *to);
/* At most BASE64_MAX_BYTES(text.len) to `to`; false when the text is not base 64. */
MUST_CHECK bool base64_decode(struct slice text, char *to, size_t *ret_len);

/* With the alphabet of section 5: it goes into an address as it is. */
MUST_CHECK bool base64_decode_url(struct slice text, char *to, size_t *ret_len);
void base64_put_url(struct buf *out, struct slice bytes);

/* Appended: by the alphabet of section 4. */
void base64_put(struct buf *out, struct slice bytes);
MUST_CHECK bool base64_read(struct slice text, struct buf *out);
MUST_CHECK bool base64_read_bare(struct slice text, struct buf *out); /* white space is refused */

#endif
