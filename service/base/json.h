/* SPDX-License-Identifier: MIT */
/* A strict RFC 8259 scanner: refuses, walks, keeps slices. Every JSON byte from outside passes it
 * before anything else (cJSON accepts 33 of the 188 must-reject files of JSONTestSuite). Time is
 * linear, the stack explicit and bounded; memory is allocated only while more than 64 member names
 * are open, and is bounded by max_nodes.
 * Refused besides what the grammar refuses: invalid UTF-8 (also surrogates in UTF-8), lone \u
 * surrogates, \u0000, a byte order mark, duplicate member names in one object (after unescaping),
 * nesting beyond max_depth, more than max_nodes values, trailing bytes. */
#ifndef GANGER_BASE_JSON_H
#define GANGER_BASE_JSON_H

#include "service/base/buf.h"
#include "service/base/error.h"

struct json_limits {
    uint32_t max_depth; /* up to 128 */
    uint32_t max_nodes; /* values of any kind */
};
#define JSON_LIMITS_DEFAULT ((struct json_limits){64, 65536})
#define JSON_LIMITS_RESULT ((struct json_limits){64, 1u << 22}) /* what a function has returned */

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* Whole text = exactly one value with white space around it. On failure INVALID_JSON, and detail
 * says why and at which byte offset; OVERLOADED when memory ran out. */
MUST_CHECK bool json_validate(struct slice text, struct json_limits limits, struct err *err);

/* The walkers below require text that json_validate accepted. A value's slice has no white space
 * around it. */
enum json_type json_type_of(struct slice value);
const char *json_type_name(enum json_type type); /* "null", "boolean", "number", … */
struct slice json_trim(struct slice text);       /* the value without white space around it */

struct json_iter {
    const char *at, *end;
};
void json_iter_init(struct json_iter *it, struct slice array_or_object);
/* raw_key: without quotes, still escaped. */
bool json_next_member(struct json_iter *it, struct slice *ret_raw_key, struct slice *ret_value);
bool json_next_element(struct json_iter *it, struct slice *ret_value);
/* Case-sensitive, on unescaped names. Linear: to read many members, walk. */
bool json_find(struct slice object, const char *key, struct slice *ret_value);

/* Unescaped copy of a JSON string value (with its quotes) or of a raw key, terminated, from the
 * arena; NULL when the arena is full. ret_len may be NULL. */
MUST_CHECK char *json_string_dup(struct slice string_value, struct arena *a, size_t *ret_len);
bool json_string_eq(struct slice string_value, const char *s);
/* The same to memory of the caller's, which must hold string_value.len bytes; returns how many were
 * used. */
size_t json_string_unescape(struct slice string_value, char *out);

/* Exact: "1.0", "1e3" are integers too; false when out of int64, a fraction or no number. */
MUST_CHECK bool json_to_i64(struct slice number, int64_t *ret);
/* Nearest double; false when it would be infinite or the value is not a number. */
MUST_CHECK bool json_to_double(struct slice number, double *ret);

#endif
