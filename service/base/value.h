/* SPDX-License-Identifier: MIT */
/* What a function returns: bytes of one of three types. */
#ifndef GANGER_BASE_VALUE_H
#define GANGER_BASE_VALUE_H

#include "service/base/buf.h"

/* Stored by number. */
enum value_type { VALUE_JSON, VALUE_TEXT, VALUE_BYTES, VALUE_TYPE_COUNT };

/* As a Content-Type says it. */
const char *value_type_name(enum value_type type);
/* Any other than the first two is plain bytes; nothing is JSON. Parameters do not matter. */
enum value_type value_type_of(struct slice content_type);

#endif
