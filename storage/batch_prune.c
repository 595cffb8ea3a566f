/* SPDX-License-Identifier: MIT */
/* How a batch ends its life: when its time has come and no row of its elements is left, all that is
 * kept for it goes, in small steps. Its own row goes last, so that what a step has left is found
 * again. */
#include "storage/batches.h"
#include "storage/deliveries.h"
#include "storage/inputs.h"

#include "storage/store_impl.h"

/* A table with many rows for one batch. */
struct side {
    enum writer_sql nth, delete_up_to;
};

/* Deletes the first `limit` rows of the table; *ret_left when there are more. */
static bool side_delete(struct store *store, const struct side *side,
                        const struct batch_range *rows, bool *ret_left, struct err *err)
{
    AUTO_STMT sqlite3_stmt *nth = store_stmt(store, side->nth);
    sqlite3_stmt *delete = store_stmt(store, side->delete_up_to);
    bool found;

    bind_i64(nth, 1, rows->batch);
    bind_i64(nth, 2, rows->n - 1);
    if (!db_next(&store->db, nth, &found, err))
        return false;
    *ret_left = found;
    bind_i64(delete, 1, rows->batch);
    bind_i64(delete, 2, found ? sqlite3_column_int64(nth, 0) : INT64_MAX);
    return store_run(store, delete, err);
}

static bool sides_delete(struct store *store, const struct batch_range *rows, bool *ret_left,
                         struct err *err)
{
    static const struct side sides[] = {{SQL_END_NTH, SQL_ENDS_DELETE},
                                        {SQL_PART_NTH, SQL_PARTS_DELETE}};

    *ret_left = false;
    for (size_t i = 0; i < ARRAY_LEN(sides) && !*ret_left; i++) {
        if (!side_delete(store, &sides[i], rows, ret_left, err))
            return false;
    }
    return true;
}

static bool batch_delete(struct store *store, int64_t no, struct err *err)
{
    const struct batch *b;
    bool calls, takes, is_child;

    if (!batch_get_by_no(store, no, &b, err))
        return false;
    calls = (b->flags & JOB_CALLBACK) != 0;
    takes = (b->flags & JOB_INPUTS) != 0;
    is_child = (b->flags & JOB_OFFSPRING) != 0;
    batch_drop(store, no);
    return newest_keep(store, no, err) && store_run_no(store, SQL_BATCH_SPEC_DELETE, no, err) &&
           store_run_no(store, SQL_ERROR_DELETE, no, err) &&
           (!calls || callback_forget(store, no, err)) &&
           (!takes || inputs_forget(store, no, err)) &&
           (!is_child || store_run_no(store, SQL_OFFSPRING_DELETE, no, err)) &&
           store_run_no(store, SQL_BATCH_DELETE, no, err);
}

/* The batch whose time came first; 0: none. */
static bool gone_first(struct store *store, int64_t now_us, int64_t *ret_no, struct err *err)
{
    AUTO_STMT sqlite3_stmt *gone = store_stmt(store, SQL_BATCH_GONE);
    bool found;

    if (!batches_write(store, err)) /* the index must know what memory knows */
        return false;
    bind_i64(gone, 1, now_us);
    if (!db_next(&store->db, gone, &found, err))
        return false;
    *ret_no = found ? sqlite3_column_int64(gone, 0) : 0;
    return true;
}

bool batches_prune(struct store *store, int64_t now_us, uint32_t limit, struct err *err)
{
    struct batch_range rows = {.n = limit};

    for (uint32_t i = 0; i < limit; i++) {
        bool waits, left;

        if (!gone_first(store, now_us, &rows.batch, err))
            return false;
        if (rows.batch == 0)
            return true;
        if (!batch_wait_for_rows(store, rows.batch, &waits, err))
            return false;
        if (waits)
            continue;
        if (!sides_delete(store, &rows, &left, err))
            return false;
        if (left)
            return true; /* the rest in the next step */
        if (!batch_delete(store, rows.batch, err))
            return false;
    }
    return true;
}

bool batches_next_gone(struct store *store, int64_t *ret_us, struct err *err)
{
    AUTO_STMT sqlite3_stmt *next = store_stmt(store, SQL_BATCH_NEXT_GONE);
    bool found;

    if (!batches_write(store, err) || !db_next(&store->db, next, &found, err))
        return false;
    if (found)
        *ret_us = MIN(*ret_us, sqlite3_column_int64(next, 0));
    return true;
}
