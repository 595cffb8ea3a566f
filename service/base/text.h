/* SPDX-License-Identifier: MIT */
/* Readable forms of times, durations, sizes, ids and signals: one parser and one printer each. */
#ifndef GANGER_BASE_TEXT_H
#define GANGER_BASE_TEXT_H

#include "service/base/error.h"

/* "250ms" "30s" "5m" "2h" "7d", or a bare number of seconds ("1.5", "1e-3"); any of them may have a
 * fraction. Range 0 … 3650 days. Microseconds out; what is finer is cut. */
MUST_CHECK bool text_to_duration_us(struct slice s, int64_t *ret_us);
/* "64KiB" "10MiB" "1GiB" "1TiB" "1024", up to INT64_MAX; "KB" and "MB" are ambiguous: refused. */
MUST_CHECK bool text_to_bytes(struct slice s, uint64_t *ret);
/* RFC 3339, any offset, up to nanoseconds (cut to microseconds). A leap second is the next one. */
MUST_CHECK bool text_to_time_us(struct slice s, int64_t *ret_us);
/* out must hold 28 bytes: "2026-12-01T00:00:00.000000Z" and a NUL. Held within years 0 … 9999. */
void text_from_time_us(int64_t us, char out[28]);
MUST_CHECK bool text_to_i64(struct slice s, int64_t *ret); /* decimal, whole slice */
/* Terminated; returns its length. */
size_t text_from_i64(int64_t v, char out[21]);

/* "TERM", "SIGTERM", "term"; real-time signals not accepted. 0 when unknown. */
int text_to_signal(struct slice s);
const char *text_signal_name(int signal); /* "SIGTERM"; "SIG?" for an unknown one */

/* UUIDv7 (RFC 9562) that carries the row number, so that a job is found without an index on its id:
 * 48 bits milliseconds since 1970, then 42 bits row number (12 in rand_a, 30 in rand_b), then 32
 * random bits ("salt"). Ids sort by time, and rows created in one millisecond by row number. */
struct job_id {
    uint64_t ms; /* 48 bits */
    int64_t no;  /* row number, 1 … 2^42-1 */
    uint32_t salt;
};
static inline bool job_id_eq(const struct job_id *a, const struct job_id *b)
{
    return a->no == b->no && a->salt == b->salt && a->ms == b->ms;
}
void job_id_format(const struct job_id *id, char out[37]);
/* Canonical form only: lower case, version 7, variant 10, a row number. */
MUST_CHECK bool job_id_parse(struct slice s, struct job_id *ret);

bool text_is_utf8(struct slice s);
/* Length of the UTF-8 character at p (RFC 3629: shortest form, no surrogates, up to U+10FFFF), or 0
 * when there is none. `left` ≥ 1 bytes may be read. */
size_t text_utf8_step(const char *p, size_t left, uint32_t *ret_code);
/* What anybody wrote, fit for a line of a text: what is no UTF-8 becomes "?", and a control
 * character a blank. Of it so much as fits into `max` bytes without half a character; not
 * terminated. Returns its length. */
size_t text_put_plain(char *out, size_t max, struct slice s);
/* Of a file in a directory: 1 to 255 bytes, no "/", no NUL, not "." or "..". */
bool text_is_file_name(struct slice s);
bool text_is_token(struct slice s, size_t max_len); /* [A-Za-z0-9_.-]{1,max_len} */
/* Constant-time comparison of secrets. */
bool text_equal_secret(const void *a, const void *b, size_t len);

#endif
