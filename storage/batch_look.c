/* SPDX-License-Identifier: MIT */
/* What the engine asks of batches: which have work, whom a gate lets in next, what elements are
 * made from. */
#include "storage/batches.h"

#include "storage/store_impl.h"

bool batch_gated(struct store *store, int64_t batch, int64_t from, struct due_list *ret,
                 struct err *err)
{
    AUTO_STMT sqlite3_stmt *gated = store_stmt(store, SQL_BATCH_GATED);
    bool found;

    bind_i64(gated, 1, batch);
    bind_i64(gated, 2, from);
    bind_i64(gated, 3, (int64_t)ret->max);
    ret->n = 0;
    while (db_next(&store->db, gated, &found, err)) {
        if (!found)
            return true;
        ret->nos[ret->n++] = sqlite3_column_int64(gated, 0);
    }
    return false;
}

bool batch_release(struct store *store, int64_t no, int64_t now_us, struct err *err)
{
    struct row row;

    if (!row_load(store, no, &row, err))
        return false;
    if (row.state != JOB_BLOCKED || (row.flags & JOB_WAITS) != 0)
        return row_set_flags(store, &row, row.flags & ~(uint32_t)JOB_GATED, err);
    row.queued_us = now_us;
    return row_move(store, &row, JOB_QUEUED, err);
}

bool batch_with_work(struct store *store, int64_t after, int64_t *ret_no, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_BATCH_WORK);
    bool found;

    if (!batches_write(store, err)) /* the index must know what memory knows */
        return false;
    bind_i64(get, 1, after);
    if (!db_next(&store->db, get, &found, err))
        return false;
    *ret_no = found ? sqlite3_column_int64(get, 0) : 0;
    return true;
}

bool batch_head(struct store *store, int64_t batch, struct template_head *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_BATCH_SPEC);
    bool found;

    bind_i64(get, 1, batch);
    if (!db_next(&store->db, get, &found, err))
        return false;
    return template_open(found ? column_slice(get, 3) : (struct slice){NULL, 0}, ret, NULL, err);
}

bool batch_retry_policy(struct store *store, int64_t batch, struct retry_policy *ret,
                        struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_BATCH_SPEC);
    bool found;

    bind_i64(get, 1, batch);
    if (!db_next(&store->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "There is no such batch.");
    return retry_policy_read(column_slice(get, 2), batch, ret, err);
}
