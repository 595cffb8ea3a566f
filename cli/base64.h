/* SPDX-License-Identifier: MIT */
/* Base 64 of RFC 4648, section 4. */
#ifndef GANGER_CLI_BASE64_H
#define GANGER_CLI_BASE64_H

#include "service/base/buf.h"

void base64_put(struct buf *out, struct slice bytes);
/* Appends the bytes; false when the text is not base 64. */
MUST_CHECK bool base64_read(struct slice text, struct buf *out);

#endif
