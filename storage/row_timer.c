/* SPDX-License-Identifier: MIT */
#include "storage/row_timer.h"

#include "storage/store_impl.h"

/* So much later a timer runs out that serves several rows, which end within that time. */
#define SHARED_US 1000000

/* Sums of wall times and durations that clients chose: they must not overflow. */
static int64_t time_add(int64_t us, int64_t duration_us)
{
    return us > INT64_MAX - duration_us ? INT64_MAX : us + duration_us;
}

int64_t row_expires_us(const struct row *row)
{
    return job_state_is_end(row->state) ? time_add(row->finished_us, row->keep_us) : 0;
}

/* When a waiting row fails unless it started: 0 = never. The queue deadline has been met once an
 * attempt started. */
static int64_t row_give_up_us(const struct row *row)
{
    int64_t queue_us = row->attempt == 0 ? row->queue_deadline_us : 0;

    if (queue_us == 0 || row->deadline_us == 0)
        return MAX(queue_us, row->deadline_us);
    return MIN(queue_us, row->deadline_us);
}

enum row_timer row_timer(const struct row *row, int64_t *ret_wake_us)
{
    int64_t give_up_us = row_give_up_us(row);

    *ret_wake_us = 0;
    switch (row->state) {
    case JOB_SCHEDULED:
        if (give_up_us == 0 || row->due_us < give_up_us) {
            *ret_wake_us = row->due_us;
            return TIMER_PROMOTE;
        }
        *ret_wake_us = give_up_us;
        return TIMER_EXPIRE;
    case JOB_BLOCKED:
    case JOB_QUEUED: *ret_wake_us = give_up_us; return give_up_us == 0 ? TIMER_NONE : TIMER_EXPIRE;
    case JOB_RUNNING:
    case JOB_STOPPING: return TIMER_NONE; /* the worker keeps the time of a running attempt */
    case JOB_SUCCEEDED:
    case JOB_FAILED:
    case JOB_CANCELLED: *ret_wake_us = row_expires_us(row); return TIMER_KEEP;
    case JOB_STATE_COUNT:
    default: break;
    }
    assert_failed("precondition", "a state of the table", __FILE__, __LINE__);
}

void timer_bind(sqlite3_stmt *stmt, int index, const struct row *row)
{
    int64_t wake_us;
    enum row_timer timer = row_timer(row, &wake_us);

    if (timer == TIMER_NONE) {
        (void)sqlite3_bind_null(stmt, index);
        (void)sqlite3_bind_null(stmt, index + 1);
        return;
    }
    bind_i64(stmt, index, (int64_t)timer);
    bind_i64(stmt, index + 1, wake_us);
}

bool timer_goes_along(struct timer_run *run, const struct row *row)
{
    const bool does = row->no == run->no + 1 && row->batch == run->batch &&
                      row->keep_us == run->keep_us && row->finished_us >= run->from_us &&
                      row->finished_us - run->from_us <= SHARED_US;

    if (!does)
        *run = (struct timer_run){
            .batch = row->batch, .from_us = row->finished_us, .keep_us = row->keep_us};
    run->no = row->no;
    return does;
}

int64_t timer_shared_us(const struct row *row)
{
    return time_add(row_expires_us(row), SHARED_US);
}

bool timer_hand_on(struct store *store, const struct row *row, struct err *err)
{
    sqlite3_stmt *set = store_stmt(store, SQL_TIMER_HAND_ON);

    if ((row->flags & JOB_CHUNKED) == 0 || !job_state_is_end(row->state))
        return true;
    if (store->timers.no == row->no)
        store->timers = (struct timer_run){0};
    bind_i64(set, 1, row->no + 1);
    bind_i64(set, 2, row->batch);
    bind_i64(set, 3, TIMER_KEEP);
    return store_run(store, set, err);
}
