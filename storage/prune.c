/* SPDX-License-Identifier: MIT */
/* How a row ends its life: forgotten by request, or by retention in small steps that never stall
 * the queue. Files are named to the caller, who unlinks them after the commit: a row without its
 * file would be a lie, a file without its row is swept at the next start. */
#include "storage/jobs.h"

#include "storage/deliveries.h"
#include "storage/inputs.h"
#include "storage/items.h"
#include "storage/store_impl.h"

struct spool_list {
    struct output_ref *files;
    size_t n, max;
};

static void spool_note(struct spool_list *list, const struct row *row)
{
    struct output_ref files[OUTPUT_STREAMS];
    size_t n = row_spool_files(row, files);

    PRE(list->n + n <= list->max);
    memcpy(&list->files[list->n], files, n * sizeof(*files));
    list->n += n;
}

static bool row_forget(struct store *store, const struct row *row, struct err *err)
{
    return store_run_no(store, SQL_SPEC_DELETE, row->no, err) &&
           store_run_no(store, SQL_OUTPUT_DELETE, row->no, err) &&
           store_run_no(store, SQL_ERROR_DELETE, row->no, err) &&
           store_run_no(store, SQL_ATTEMPTS_DELETE, row->no, err) &&
           ((row->flags & (JOB_INPUTS | JOB_ITEM)) != JOB_INPUTS ||
            inputs_forget(store, row->no, err)) &&
           ((row->flags & JOB_CALLBACK) == 0 || callback_forget(store, row->no, err)) &&
           ((row->flags & JOB_OFFSPRING) == 0 ||
            store_run_no(store, SQL_OFFSPRING_DELETE, row->no, err)) &&
           row_delete(store, row, err) &&
           ((row->flags & JOB_ITEM) == 0 || row->output.expired ||
            item_expire(store, row->no, err));
}

bool jobs_forget(struct store *store, int64_t no, struct output_ref ret_files[OUTPUT_STREAMS],
                 size_t *ret_n, struct err *err)
{
    struct spool_list list = {ret_files, 0, OUTPUT_STREAMS};
    struct row row;

    if (!row_load(store, no, &row, err))
        return false;
    if (!job_state_is_end(row.state))
        return err_set(err, ERR_STATE_CONFLICT,
                       "The job is %s; only a finished job can be deleted. Cancel it first.",
                       job_state_name(row.state));
    if (!row.output.expired)
        spool_note(&list, &row);
    if (!row_forget(store, &row, err))
        return false;
    *ret_n = list.n;
    return true;
}

/* What `keep` is over for: the result and the payload go, the row stays a while to say so (410
 * instead of 404). */
static bool result_expire(struct store *store, struct row *row, struct spool_list *list,
                          struct err *err)
{
    int64_t expires_us = row_expires_us(row);
    int64_t wake_us = expires_us > INT64_MAX - store->row_keep_us ? INT64_MAX
                                                                  : expires_us + store->row_keep_us;

    spool_note(list, row);
    spec_forget(&store->specs, row->no);
    return store_run_no(store, SQL_SPEC_EXPIRE, row->no, err) &&
           store_run_no(store, SQL_OUTPUT_DELETE, row->no, err) &&
           row_expire(store, row, wake_us, err) &&
           ((row->flags & JOB_ITEM) == 0 || item_expire(store, row->no, err));
}

/* The earliest row of this timer; no = 0: none is due. One at a time, as its treatment removes it
 * from the index. */
static bool timer_first(struct store *store, enum row_timer timer, int64_t now_us, int64_t *ret_no,
                        struct err *err)
{
    AUTO_STMT sqlite3_stmt *due = store_stmt(store, SQL_TIMERS);
    bool found;

    bind_i64(due, 1, (int64_t)timer);
    bind_i64(due, 2, now_us);
    bind_i64(due, 3, 1);
    if (!db_next(&store->db, due, &found, err))
        return false;
    *ret_no = found ? sqlite3_column_int64(due, 0) : 0;
    return true;
}

static bool prune_one(struct store *store, enum row_timer timer, int64_t no,
                      struct spool_list *list, struct err *err)
{
    struct row row;

    if (!row_load(store, no, &row, err))
        return false;
    if (!job_state_is_end(row.state))
        return err_set(err, ERR_STORAGE, "The stored timer of job %lld is damaged.", (long long)no);
    return timer == TIMER_ROW ? row_forget(store, &row, err)
                              : result_expire(store, &row, list, err);
}

bool jobs_prune(struct store *store, struct prune *prune, struct err *err)
{
    static const enum row_timer timers[] = {TIMER_ROW, TIMER_KEEP};
    struct spool_list list = {prune->files, 0, prune->max_files};
    uint32_t done = 0;
    int64_t no = 0;

    PRE(prune->max_files >= OUTPUT_STREAMS);

    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        for (;;) {
            if (!timer_first(store, timers[i], prune->now_us, &no, err))
                return false;
            if (no == 0 || done == prune->limit || list.n + OUTPUT_STREAMS > list.max)
                break;
            if (!prune_one(store, timers[i], no, &list, err))
                return false;
            done++;
        }
        if (no != 0)
            break;
    }
    prune->n_files = list.n;
    prune->more = no != 0;
    return true;
}
