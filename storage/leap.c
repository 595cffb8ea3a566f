/* SPDX-License-Identifier: MIT */
/* Elements of a chunk that go from behind the gate to their end, as many as possible by one
 * statement: most of what an UPDATE costs is not its row. What differs from row to row is asked by
 * the statement, by the SQL function leap(number, which). */
#include "storage/jobs.h"
#include "storage/store_impl.h"

/* ---- what the statement asks ---- */

/* They stay until the statement is over. */
static void answer_bytes(sqlite3_context *context, struct slice bytes)
{
    if (bytes.ptr == NULL)
        sqlite3_result_null(context);
    else
        sqlite3_result_blob64(context, bytes.ptr, bytes.len, SQLITE_STATIC);
}

static void answer(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct leaping *leaping = &((struct store *)sqlite3_user_data(context))->leaping;
    const int64_t at = sqlite3_value_int64(argv[0]) - leaping->first_no;
    const int which = sqlite3_value_int(argv[1]);

    PRE(argc == 2 && at >= 0 && (size_t)at < leaping->n && which >= 0 && which < LEAP_COLUMNS);

    struct leap_row *row = &leaping->rows[at];
    row->done = row->done || which != LEAP_IS_MEANT;
    if (which == LEAP_RAN)
        answer_bytes(context, packed_slice(&row->ran));
    else if (which == LEAP_VALUE)
        answer_bytes(context, row->value);
    else if (which == LEAP_IS_MEANT)
        sqlite3_result_int(context, row->is_meant);
    else if (row->timer != TIMER_NONE)
        sqlite3_result_int64(context, which == LEAP_TIMER ? (int64_t)row->timer : row->wake_us);
    else
        sqlite3_result_null(context);
}

bool leap_open(struct store *store, struct err *err)
{
    const int rc = sqlite3_create_function_v2(store->db.handle, "leap", 2,
                                              SQLITE_UTF8 | SQLITE_DIRECTONLY, store, answer, NULL,
                                              NULL, NULL);

    return rc == SQLITE_OK || db_fail(&store->db, rc, "create a function", err);
}

/* ---- runs of neighbours ---- */

/* As it is afterwards. */
static struct row row_after(const struct job_leap *leap)
{
    const struct job_row *from = leap->row;
    struct row row = {
        .no = from->no,
        .state = leap->end.state,
        .queue = from->queue,
        .salt = from->id.salt,
        .priority = from->priority,
        .attempt = leap->attempt,
        .version = from->version + 1,
        .created_us = from->created_us,
        .slot = (int32_t)leap->slot,
        .batch = from->batch,
        .idx = from->idx,
        .flags = from->flags & ~(uint32_t)JOB_GATED,
    };

    PRE(from->state == JOB_BLOCKED && (from->flags & JOB_GATED) != 0 &&
        job_state_is_end(leap->end.state) && leap->end.keep_us == from->keep_us);

    row_take_end(&row, &leap->end);
    row.queued_us = row.started_us; /* nobody saw it queued before */
    return row;
}

bool leap_is_alike(const struct row *a, const struct row *b)
{
    return b->version == a->version && b->attempt == a->attempt && b->state == a->state &&
           row_output_flags(b) == row_output_flags(a);
}

/* Whether one statement can write both, `b` as the next neighbour of `a`. */
static bool is_alike(const struct row *a, const struct row *b)
{
    return b->no == a->no + 1 && b->batch == a->batch && b->queue == a->queue &&
           b->flags == a->flags && leap_is_alike(a, b);
}

void leap_row_of(const struct row *row, struct leap_row *ret)
{
    row_pack_ran(row, &ret->ran);
    ret->value = row->value;
    ret->is_meant = true;
}

_Static_assert(TIMER_KEEP == 3, "TEXT_LEAP names this timer by its number");

/* Neighbours that one statement writes. */
struct leap_run {
    const struct row *rows;
    size_t n;
    int64_t timer_no, wake_us; /* the only one that has a timer; 0: none */
    bool value_is_same;        /* all have returned this */
};

static bool is_same(struct slice a, struct slice b)
{
    return a.ptr == NULL || b.ptr == NULL ? a.ptr == b.ptr : slice_eq(a, b);
}

/* Of n neighbours as many as have one timer. */
static struct leap_run run_of(struct timer_run *timers, const struct row *rows, size_t n)
{
    struct leap_run run = {.rows = rows, .value_is_same = true};

    for (; run.n < n; run.n++) {
        const struct row *row = &rows[run.n];
        struct timer_run next = *timers;
        const bool has_timer = !timer_goes_along(&next, row);

        if (has_timer && run.timer_no != 0)
            break;
        if (has_timer) {
            run.timer_no = row->no;
            run.wake_us = timer_shared_us(row);
        }
        run.value_is_same = run.value_is_same && is_same(rows->value, row->value);
        *timers = next;
    }
    return run;
}

static sqlite3_stmt *run_bind(struct store *store, const struct leap_run *run)
{
    const struct row *row = run->rows;
    sqlite3_stmt *leap = store_stmt(store,
                                    run->value_is_same ? SQL_ROWS_LEAP_ALIKE : SQL_ROWS_LEAP);

    bind_i64(leap, 1, row->no);
    bind_i64(leap, 2, row->no + (int64_t)run->n);
    bind_i64(leap, 3, row->version - 1);
    bind_i64(leap, 4, row->flags | JOB_GATED);
    bind_i64(leap, 5, (int64_t)row->state);
    bind_i64(leap, 6, row->attempt);
    bind_i64(leap, 7, row_output_flags(row));
    bind_i64(leap, 8, run->timer_no);
    bind_i64(leap, 9, run->wake_us);
    if (run->value_is_same)
        bind_blob(leap, 10, row->value);
    return leap;
}

/* All that follows from the write of one row, as row_move does it. */
static bool row_has_leapt(struct store *store, const struct row *row, const struct job_end *end,
                          struct err *err)
{
    struct row moved = *row;

    moved.flags |= JOB_GATED; /* as by row_move: nobody has waited for this end */
    return batch_count_gated(store, row->batch, -1, err) &&
           row_moved(store, &moved, JOB_BLOCKED, row->state, err) &&
           outputs_put(store, row, end, err) &&
           jobs_put_words(store, row->no, end->error_detail, err);
}

/* *ret_n of them, from the first one on. */
static bool run_leap(struct store *store, struct job_leap *leaps, const struct row *rows,
                     size_t *ret_n, struct err *err)
{
    struct leap_row asked[LEAPS_AT_ONCE] = {0};
    struct timer_run timers = store->timers;
    const struct leap_run run = run_of(&timers, rows, *ret_n);

    *ret_n = run.n;
    /* Else the counts are damaged, which a move by itself says. */
    if (store->counts.entries[rows->queue - 1].now.count[JOB_BLOCKED] < (int64_t)run.n)
        return true;
    for (size_t i = 0; i < run.n; i++)
        leap_row_of(&rows[i], &asked[i]);
    store->leaping = (struct leaping){rows->no, run.n, asked};
    const bool ok = store_run(store, run_bind(store, &run), err);
    store->leaping = (struct leaping){0};
    if (!ok)
        return false;
    store->timers = timers;
    for (size_t i = 0; i < run.n; i++) {
        leaps[i].has_leapt = asked[i].done;
        if (asked[i].done ? !row_has_leapt(store, &rows[i], &leaps[i].end, err)
                          : !timer_hand_on(store, &rows[i], err))
            return false;
    }
    return true;
}

bool jobs_leap(struct store *store, struct job_leap *leaps, size_t n, struct err *err)
{
    struct row rows[LEAPS_AT_ONCE];

    PRE(n <= LEAPS_AT_ONCE);

    for (size_t i = 0; i < n; i++) {
        rows[i] = row_after(&leaps[i]);
        leaps[i].has_leapt = false;
    }
    for (size_t first = 0, together; first < n; first += together) {
        for (together = 1; first + together < n; together++)
            if (!is_alike(&rows[first + together - 1], &rows[first + together]))
                break;
        if (!run_leap(store, &leaps[first], &rows[first], &together, err))
            return false;
    }
    return true;
}
