/* SPDX-License-Identifier: MIT */
/* The text inside JSON strings: its escapes undone, compared and hashed without a copy. Used by the
 * JSON module only. "Raw" is what stands between the quotes of a string that the scanner accepted.
 */
#ifndef GANGER_BASE_JSON_TEXT_H
#define GANGER_BASE_JSON_TEXT_H

#include "service/base/util.h"

/* Writes the unescaped bytes to out, which must hold raw.len bytes; returns how many there are. */
size_t json_unescape(struct slice raw, char *out);
/* Whether raw, unescaped, is exactly `plain`. */
bool json_raw_is(struct slice raw, struct slice plain);
/* Whether both mean the same string. */
bool json_raw_eq(struct slice a, struct slice b);
/* The same for strings that mean the same. Collisions cannot be planned by somebody who does not
 * know the seed. */
uint64_t json_raw_hash(struct slice raw, uint64_t seed);

#endif
