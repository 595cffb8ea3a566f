/* SPDX-License-Identifier: MIT */
/* Several tasks in one bank, which one worker runs back to back: a turn. Each has an outcome of its
 * own. That of the last one is the bank's, told by DONE; those before it lie in the bank's log,
 * which grows only, so that the server may read it while the turn goes on. */
#ifndef GANGER_POOL_MATES_H
#define GANGER_POOL_MATES_H

#include "pool/slot.h"

/* ---- the worker ---- */

/* An end is told at once, unless another one was told so short a time ago. */
#define MATES_TELL_NS UINT64_C(2000000)

struct mates_log {
    uint32_t at; /* used bytes */
    uint32_t n, n_failed;
};
/* The next one after the bank's current task, which has ended; it is ours now. 0: the turn is over,
 * since there is none, or none may begin any more, or the log might not hold what has ended. */
uint32_t mates_take(struct bank *bank, const struct mates_log *log);
/* Keeps the outcome of the current task and makes `next` the current one. */
void mates_turn(struct bank *bank, struct mates_log *log, uint32_t next);

/* ---- the server ---- */

/* How far the log has been read. */
struct mates_cursor {
    uint32_t at, n;
    uint32_t mate_plus1; /* of the last one that was read; 0: none was */
};
/* The next outcome; false in *ret_found: there is none yet. False: the log is damaged. */
MUST_CHECK bool mates_read(const struct bank *bank, struct mates_cursor *cursor,
                           struct task_outcome *ret, bool *ret_found);

#endif
