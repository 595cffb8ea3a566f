/* SPDX-License-Identifier: MIT */
/* A small record in memory that others read while one writes it, also from another process. Nobody
 * waits for anybody, and nobody sees half of one and half of another.
 *
 * 1. One writer at a time; it may die at any instruction, and then the record cannot be read.
 * 2. `turn` is odd while the words are being written, and another number after each time. */
#ifndef GANGER_POOL_LIVE_H
#define GANGER_POOL_LIVE_H

#include "service/base/util.h"

#include <stdatomic.h>

#define LIVE_WORDS(type) (sizeof(type) / sizeof(uint64_t))

/* `words` holds LIVE_WORDS of a record of `bytes` bytes, which are a multiple of 8. */
void live_write(_Atomic uint32_t *turn, _Atomic uint64_t *words, const void *record, size_t bytes);
/* False: it is always being written. */
MUST_CHECK bool live_read(const _Atomic uint32_t *turn, const _Atomic uint64_t *words, void *ret,
                          size_t bytes);

#endif
