/* SPDX-License-Identifier: MIT */
/* Bytes that grow to a stated maximum, and an arena with the same rule.
 * A buffer that would pass its maximum keeps what it has and remembers `failed`; writers need not
 * check each append, the reader of the result checks once with buf_ok. */
#ifndef GANGER_BASE_BUF_H
#define GANGER_BASE_BUF_H

#include "service/base/util.h"

struct buf {
    char *ptr; /* not terminated; NULL while nothing was written */
    size_t len, cap, max;
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); /* accepts a zeroed one; leaves it unusable until buf_init */
void buf_clear(struct buf *b);   /* empty again, memory kept, `failed` reset */
void buf_append(struct buf *b, const void *bytes, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_put_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Room for len more bytes at the end, or NULL (then failed); buf_commit says how many were used. */
char *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len); /* so many of the reserved bytes are used now */
MUST_CHECK bool buf_ok(const struct buf *b);
/* The bytes with a NUL behind them that len did not count; the caller frees. NULL if failed. */
char *buf_steal(struct buf *b);
static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->ptr, b->len};
}
#define AUTO_BUF __attribute__((cleanup(buf_release)))

/* JSON output, RFC 8259. Strings are escaped (also DEL, C1, U+2028/9 and bidirectional controls:
 * what comes from jobs must not operate the terminal or log viewer of who reads it). A byte that is
 * not UTF-8 becomes U+FFFD, so the output always is. */
void buf_json_string(struct buf *b, struct slice s);
void buf_json_time(struct buf *b, int64_t wall_us);  /* "2026-12-01T00:00:00.000000Z"; 0: null */
void buf_json_seconds_us(struct buf *b, int64_t us); /* 1.234567, shortest form */

/* Memory that is freed all at once. Owner: whoever holds it. At most `max` bytes in all, counted in
 * steps of the largest alignment. */
struct arena_chunk;
struct arena {
    struct arena_chunk *first;
    size_t used, max;
    size_t least; /* of the first chunk */
};
void arena_init(struct arena *a, size_t max);
/* For one of many that hold little as a rule. */
void arena_init_small(struct arena *a, size_t max);
void arena_release(struct arena *a);
void arena_clear(struct arena *a); /* keeps one chunk */
/* Zeroed and aligned for any type; NULL beyond the maximum or without memory. */
MUST_CHECK void *arena_alloc(struct arena *a, size_t size);
MUST_CHECK char *arena_dup(struct arena *a, struct slice s); /* terminated copy */
#define AUTO_ARENA __attribute__((cleanup(arena_release)))

#endif
