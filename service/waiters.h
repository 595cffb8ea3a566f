/* SPDX-License-Identifier: MIT */
/* Who waits for which topic: shaped like a futex. Owner: the engine thread; only waiters_epoch may
 * be called by others. Sound because the engine bumps an epoch after the commit is visible: who saw
 * the new epoch sees the new row, who saw the old one is refused. A collision of two topics in one
 * bucket costs a read, never a wake-up. */
#ifndef GANGER_SERVICE_WAITERS_H
#define GANGER_SERVICE_WAITERS_H

#include "service/command.h"

#define WAITER_BUCKETS 4096
#define WHEEL_BUCKETS 64

struct waiters;
struct waiters *waiters_new(void);
void waiters_free(struct waiters *w);                            /* nobody may be parked */
uint32_t waiters_epoch(const struct waiters *w, uint64_t topic); /* any thread */
uint64_t waiters_count(const struct waiters *w);
bool waiters_any(const struct waiters *w, uint64_t topic); /* somebody is parked there */

/* False: the epoch has moved on, or what a group wants has happened already: answer at once. */
MUST_CHECK bool waiters_park(struct waiters *w, struct command *cmd, uint64_t topic,
                             uint64_t deadline_ns);
bool waiters_is_current(const struct waiters *w, uint64_t topic, uint32_t seen_epoch);
/* The topic has changed (after the commit): bumps the epoch and unlinks its waiters; those that
 * come back by that are returned linked by `next`. */
struct wake {
    uint64_t topic, now_ns;
    bool failed;               /* the change is a failure */
    const struct batch *batch; /* the topic is this batch: only those wake whose wish is fulfilled;
                                  NULL: all do */
};
struct command *waiters_wake(struct waiters *w, const struct wake *wake);
/* Those whose deadline (or not_before after a wake) has come; `timed_out` is set on the former. */
struct command *waiters_expire(struct waiters *w, uint64_t now_ns);
struct command *waiters_all(struct waiters *w);
/* Nobody will use the group any more. Any thread; it is freed by waiters_sweep, or at the end. */
void waiters_leave(struct waiters *w, struct park_group *group);
void waiters_sweep(struct waiters *w);
/* The parked command with this `waiter`; NULL: it is not parked any more. */
struct command *waiters_remove(struct waiters *w, uint64_t waiter);
uint64_t waiters_next_deadline_ns(const struct waiters *w); /* a lower bound; UINT64_MAX = none */

#endif
