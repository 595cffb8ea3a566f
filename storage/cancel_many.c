/* SPDX-License-Identifier: MIT */
/* Cancelling many neighbours by one statement for each state they may be in: what is done row by
 * row beside it (counts, ends, changes) is a tenth of the work. */
#include "storage/batches.h"
#include "storage/jobs.h"

#include "storage/store_impl.h"

/* Which rows one statement takes. */
struct sweep {
    int64_t first_no, n;
    int64_t batch; /* 0: those that are in none */
    enum job_state from;
    uint32_t gate; /* JOB_GATED or 0 */
    int64_t now_us;
    const char *why;
};

static sqlite3_stmt *sweep_bind(struct store *store, const struct sweep *sweep)
{
    sqlite3_stmt *update = store_stmt(store,
                                      sweep->batch == 0 ? SQL_JOBS_CANCEL : SQL_BATCH_CANCEL);

    bind_i64(update, 1, sweep->first_no);
    bind_i64(update, 2, sweep->first_no + sweep->n);
    bind_i64(update, 3, (int64_t)sweep->from);
    bind_i64(update, 4, sweep->gate);
    bind_i64(update, 5, JOB_CANCELLED);
    bind_i64(update, 6, TIMER_KEEP);
    bind_i64(update, 7, sweep->now_us);
    bind_i64(update, 8, INT64_MAX - sweep->now_us);
    return update;
}

static bool row_swept(struct store *store, const struct sweep *sweep, sqlite3_stmt *update,
                      struct err *err)
{
    struct row row = {
        .no = sqlite3_column_int64(update, 0),
        .queue = (uint32_t)sqlite3_column_int64(update, 1),
        .salt = (uint32_t)sqlite3_column_int(update, 2),
        .version = sqlite3_column_int64(update, 3),
        .created_us = sqlite3_column_int64(update, 4),
        .idx = sqlite3_column_int64(update, 5),
        .attempt = (uint32_t)sqlite3_column_int64(update, 6),
        .flags = (uint32_t)sqlite3_column_int64(update, 7) | sweep->gate,
        .batch = sweep->batch,
        .finished_us = sweep->now_us,
    };

    if (!counts_has_queue(&store->counts, row.queue))
        return err_set(err, ERR_STORAGE, "The queue of job %lld is missing.", (long long)row.no);
    return (sweep->gate == 0 || batch_count_gated(store, sweep->batch, -1, err)) &&
           row_moved(store, &row, sweep->from, JOB_CANCELLED, err) &&
           jobs_put_words(store, row.no, sweep->why, err);
}

/* All rows are changed before the first is returned (SQLite's RETURNING), so other statements may
 * write in between. */
static bool sweep_run(struct store *store, const struct sweep *sweep, struct err *err)
{
    AUTO_STMT sqlite3_stmt *update = sweep_bind(store, sweep);
    int rc;

    if (!store_in_transaction(store))
        return err_set(err, ERR_STORAGE, "The transaction has ended after an earlier error.");
    while ((rc = sqlite3_step(update)) == SQLITE_ROW) {
        if (!row_swept(store, sweep, update, err)) {
            store->poisoned = true;
            return false;
        }
    }
    return rc == SQLITE_DONE || store_fail(store, rc, err);
}

/* Whether the batch has elements in that state at all. */
static bool is_worth(const struct batch *b, enum job_state state, uint32_t gate)
{
    if (b->count[state] == 0)
        return false;
    return gate != 0 ? b->gated > 0 : state != JOB_BLOCKED || b->count[state] > b->gated;
}

/* Cuts the range to the part in which it begins. False in *ret when it begins behind the last
 * element. */
static bool range_cut(struct store *store, struct batch_range *range, int64_t *ret_first_no,
                      bool *ret, struct err *err)
{
    const struct batch *b;
    struct batch_part part;

    if (!batch_get_by_no(store, range->batch, &b, err))
        return false;
    *ret = range->first < b->n;
    if (!*ret)
        return true;
    if (!batch_part_at(store, range->batch, range->first, &part, err))
        return false;
    range->n = MIN(range->n, part.first_index + part.n - range->first);
    *ret_first_no = part.first_no + range->first - part.first_index;
    return true;
}

bool batch_find(struct store *store, struct batch_range *range, uint32_t states,
                struct due_list *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *find = store_stmt(store, SQL_BATCH_FIND);
    int64_t first_no = 0;
    bool found;

    ret->n = 0;
    if (!range_cut(store, range, &first_no, &found, err))
        return false;
    if (!found)
        return true;
    bind_i64(find, 1, first_no);
    bind_i64(find, 2, first_no + range->n);
    bind_i64(find, 3, states);
    bind_i64(find, 4, (int64_t)ret->max);
    while (db_next(&store->db, find, &found, err)) {
        if (!found)
            return true;
        ret->nos[ret->n++] = sqlite3_column_int64(find, 0);
        if (ret->n < ret->max)
            continue;
        range->n = ret->nos[ret->n - 1] - first_no + 1;
        return true;
    }
    return false;
}

bool batch_gated_in(struct store *store, struct batch_range *range, int64_t *ret_no,
                    struct err *err)
{
    AUTO_STMT sqlite3_stmt *find = store_stmt(store, SQL_BATCH_GATED_IN);
    int64_t first_no = 0;
    bool found;

    *ret_no = 0;
    if (!range_cut(store, range, &first_no, &found, err))
        return false;
    if (!found)
        return true;
    bind_i64(find, 1, first_no);
    bind_i64(find, 2, first_no + range->n);
    if (!db_next(&store->db, find, &found, err))
        return false;
    if (found)
        *ret_no = sqlite3_column_int64(find, 0);
    return true;
}

bool batch_cancel(struct store *store, struct batch_range *range, int64_t now_us, const char *why,
                  struct err *err)
{
    static const struct {
        enum job_state from;
        uint32_t gate;
    } kinds[] = {{JOB_SCHEDULED, 0},
                 {JOB_SCHEDULED, JOB_GATED},
                 {JOB_BLOCKED, 0},
                 {JOB_BLOCKED, JOB_GATED},
                 {JOB_QUEUED, 0}};
    const struct batch *b;
    struct sweep sweep = {.batch = range->batch, .now_us = now_us, .why = why};
    bool found;

    if (!range_cut(store, range, &sweep.first_no, &found, err))
        return false;
    if (!found)
        return true;
    sweep.n = range->n;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!batch_get_by_no(store, range->batch, &b, err))
            return false;
        sweep.from = kinds[i].from;
        sweep.gate = kinds[i].gate;
        if (is_worth(b, kinds[i].from, kinds[i].gate) && !sweep_run(store, &sweep, err))
            return false;
    }
    return true;
}

bool jobs_cancel_range(struct store *store, const struct job_range *range, int64_t *ret_n,
                       struct err *err)
{
    static const enum job_state waiting[] = {JOB_SCHEDULED, JOB_BLOCKED, JOB_QUEUED};
    struct sweep sweep = {
        .first_no = range->first_no, .n = range->n, .now_us = range->now_us, .why = range->why};
    const size_t n_before = store->changes.n;

    for (size_t i = 0; i < ARRAY_LEN(waiting); i++) {
        sweep.from = waiting[i];
        if (store_count(store, sweep.from) > 0 && !sweep_run(store, &sweep, err))
            return false;
    }
    *ret_n = (int64_t)(store->changes.n - n_before);
    return true;
}
