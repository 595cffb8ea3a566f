/* SPDX-License-Identifier: MIT */
/* Elements of a chunk that go from behind the gate to their end, as many as possible by one
 * statement: most of what an UPDATE costs is not its row. What differs from row to row is asked by
 * the statement, by the SQL function leap(number, which). */
#include "storage/jobs.h"
#include "storage/store_impl.h"

/* ---- what the statement asks ---- */

static void answer(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct leaping *leaping = &((struct store *)sqlite3_user_data(context))->leaping;
    const int64_t at = sqlite3_value_int64(argv[0]) - leaping->first_no;
    const int which = sqlite3_value_int(argv[1]);

    PRE(argc == 2 && at >= 0 && (size_t)at < leaping->n && which >= 0 && which < LEAP_COLUMNS);

    struct leap_row *row = &leaping->rows[at];
    row->done = row->done || which != LEAP_IS_MEANT;
    if (which == LEAP_VALUE && row->value.ptr != NULL)
        sqlite3_result_blob64(context, row->value.ptr, row->value.len, SQLITE_STATIC);
    else if (which == LEAP_VALUE_BYTES && row->has_value)
        sqlite3_result_int64(context, row->value_bytes);
    else if (which < LEAP_INTS && (which >= LEAP_TIMES || row->ints[which] != 0))
        sqlite3_result_int64(context, row->ints[which]);
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
    return row;
}

bool leap_is_alike(const struct row *a, const struct row *b)
{
    return b->version == a->version && b->attempt == a->attempt && b->state == a->state &&
           b->reason == a->reason && b->has_exit_code == a->has_exit_code &&
           b->exit_code == a->exit_code && b->signal == a->signal &&
           b->usage.processes_killed == a->usage.processes_killed &&
           row_output_flags(b) == row_output_flags(a);
}

/* Whether one statement can write both, `b` as the next neighbour of `a`. */
static bool is_alike(const struct row *a, const struct row *b)
{
    return b->no == a->no + 1 && b->batch == a->batch && b->queue == a->queue &&
           b->flags == a->flags && b->slot == a->slot && leap_is_alike(a, b);
}

struct leap_row leap_row_of(const struct row *row)
{
    return (struct leap_row){
        .ints =
            {
                [LEAP_STARTED] = row->started_us,
                [LEAP_FINISHED] = row->finished_us,
                [LEAP_WALL] = row->usage.wall_us,
                [LEAP_USER] = row->usage.user_us,
                [LEAP_SYSTEM] = row->usage.system_us,
                [LEAP_RSS] = (int64_t)row->usage.max_rss_bytes,
                [LEAP_STDOUT] = (int64_t)row->output.bytes[0],
                [LEAP_STDERR] = (int64_t)row->output.bytes[1],
                [LEAP_SLOT] = row->slot,
                [LEAP_IS_MEANT] = 1,
            },
        .has_value = row->output.has_value,
        .value_bytes = (int64_t)row->output.bytes[STREAM_VALUE],
        .value = row->value,
    };
}

_Static_assert(TIMER_KEEP == 3, "TEXT_LEAP names this timer by its number");

/* Neighbours that one statement writes. */
struct leap_run {
    const struct row *rows;
    size_t n;
    int64_t timer_no, wake_us; /* the only one that has a timer; 0: none */
    bool put_out_alike;
};

static bool is_same(struct slice a, struct slice b)
{
    return a.ptr == NULL || b.ptr == NULL ? a.ptr == b.ptr : slice_eq(a, b);
}

static bool put_out_alike(const struct row *a, const struct row *b)
{
    const struct job_output *x = &a->output, *y = &b->output;

    return a->usage.max_rss_bytes == b->usage.max_rss_bytes && x->bytes[0] == y->bytes[0] &&
           x->bytes[1] == y->bytes[1] && x->has_value == y->has_value &&
           x->bytes[STREAM_VALUE] == y->bytes[STREAM_VALUE] && is_same(a->value, b->value);
}

/* Of n neighbours as many as have one timer. */
static struct leap_run run_of(struct timer_run *timers, const struct row *rows, size_t n)
{
    struct leap_run run = {.rows = rows, .put_out_alike = true};

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
        run.put_out_alike = run.put_out_alike && put_out_alike(rows, row);
        *timers = next;
    }
    return run;
}

static sqlite3_stmt *run_bind(struct store *store, const struct leap_run *run)
{
    const struct row *row = run->rows;
    sqlite3_stmt *leap = store_stmt(store,
                                    run->put_out_alike ? SQL_ROWS_LEAP_ALIKE : SQL_ROWS_LEAP);

    bind_i64(leap, 1, row->no);
    bind_i64(leap, 2, row->no + (int64_t)run->n);
    bind_i64(leap, 3, row->version - 1);
    bind_i64(leap, 4, row->flags | JOB_GATED);
    bind_i64(leap, 5, (int64_t)row->state);
    bind_i64(leap, 6, row->attempt);
    bind_i64(leap, 7, row->slot);
    bind_or_null(leap, 8, row->reason != REASON_NONE, (int64_t)row->reason);
    bind_or_null(leap, 9, row->has_exit_code, row->exit_code);
    bind_i64(leap, 10, row->signal);
    bind_i64(leap, 11, row->usage.processes_killed);
    bind_i64(leap, 12, row_output_flags(row));
    bind_i64(leap, 13, run->timer_no);
    bind_i64(leap, 14, run->wake_us);
    if (!run->put_out_alike)
        return leap;
    bind_i64(leap, 15, (int64_t)row->usage.max_rss_bytes);
    bind_i64(leap, 16, (int64_t)row->output.bytes[0]);
    bind_i64(leap, 17, (int64_t)row->output.bytes[1]);
    bind_or_null(leap, 18, row->output.has_value, (int64_t)row->output.bytes[STREAM_VALUE]);
    bind_blob(leap, 19, row->value);
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
    struct leap_row asked[LEAPS_AT_ONCE];
    struct timer_run timers = store->timers;
    const struct leap_run run = run_of(&timers, rows, *ret_n);

    *ret_n = run.n;
    /* Else the counts are damaged, which a move by itself says. */
    if (store->counts.entries[rows->queue - 1].now.count[JOB_BLOCKED] < (int64_t)run.n)
        return true;
    for (size_t i = 0; i < run.n; i++)
        asked[i] = leap_row_of(&rows[i]);
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
