/* SPDX-License-Identifier: MIT */
/* The timer of a row in SQL. Neighbours of a chunk that leap in one transaction have one timer
 * together: that of the first one, since an entry in the index of timers costs a third of what a
 * leap costs. Owner: the engine thread's store.
 *
 * An ended element of a chunk whose timer is NULL is woken by the one before it, which has ended as
 * well. So whatever becomes of an ended element of a chunk (its result expires, it is deleted or
 * retried), the one behind it gets a timer of its own at that moment. */
#ifndef GANGER_STORAGE_ROW_TIMER_H
#define GANGER_STORAGE_ROW_TIMER_H

#include "storage/row.h"

/* The neighbours that leapt last in this transaction. */
struct timer_run {
    int64_t no, batch;        /* the last of them; 0: none */
    int64_t from_us, keep_us; /* when the first one ended, whose timer it is */
};

/* Kind and time to the parameters `index` and `index` + 1. */
void timer_bind(sqlite3_stmt *stmt, int index, const struct row *row);
/* The next one that leaps. True: it goes along with the one before it; else it is the first of a
 * run, whose timer runs out at timer_shared_us. */
bool timer_goes_along(struct timer_run *run, const struct row *row);
int64_t timer_shared_us(const struct row *row);
/* Nobody wakes who goes along with `row` any more: it has ended, and stood there or could not leap.
 * The one behind it gets a timer of its own. */
MUST_CHECK bool timer_hand_on(struct store *store, const struct row *row, struct err *err);

#endif
