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
/* The same for an end by a leap, which may go along with the one before it. */
void timer_bind_leap(const struct store *store, sqlite3_stmt *stmt, int index,
                     const struct row *row);
void timer_note_leap(struct store *store, const struct row *row);
/* `row`, as it was, has ended and does not stand there any more, or its result has expired: the one
 * behind it gets a timer of its own. */
MUST_CHECK bool timer_hand_on(struct store *store, const struct row *row, struct err *err);

#endif
