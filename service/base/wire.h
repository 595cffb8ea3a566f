/* SPDX-License-Identifier: MIT */
/* The pieces of the wire form: unsigned LEB128 numbers and strings. A string is its length, its
 * bytes and a NUL that the length does not count, so that exec can use it where it lies. */
#ifndef GANGER_BASE_WIRE_H
#define GANGER_BASE_WIRE_H

#include "service/base/buf.h"

#define WIRE_NUMBER_MAX 10 /* bytes of a 64-bit number, 7 bits in each */

/* Both return how many bytes they have written. */
size_t wire_put_number(char out[WIRE_NUMBER_MAX], uint64_t v);
size_t wire_put_string(char *out, struct slice s);
static inline size_t wire_string_size(struct slice s) /* an upper bound */
{
    return WIRE_NUMBER_MAX + s.len + 1;
}
void wire_append_number(struct buf *out, uint64_t v);
void wire_append_string(struct buf *out, struct slice s);
bool wire_has_nul(struct slice s);

/* Reads on from where it is; once something is wrong it stays wrong and gives zeros. */
struct wire_reader {
    const char *at, *end;
    bool bad;
};
uint64_t wire_read_number(struct wire_reader *r);
int64_t wire_read_i64(struct wire_reader *r);
uint32_t wire_read_u32(struct wire_reader *r, uint32_t max);
/* Bytes that are followed by `tail` more, which are passed over. */
struct slice wire_read_bytes(struct wire_reader *r, size_t tail);
struct slice wire_read_string(struct wire_reader *r);
struct slice *wire_read_strings(struct wire_reader *r, struct arena *a, uint32_t n);

#endif
