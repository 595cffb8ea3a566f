/* SPDX-License-Identifier: MIT */
/* Whom a job waits for, for a client that asks why it does not run. */
#include "storage/batches_impl.h"
#include "storage/reader_impl.h"

static bool job_parent(struct reader *reader, int64_t no, struct parent_view *ret, bool *ret_found,
                       struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_ROW);
    struct row row;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    if (!row_read(get, &row, err))
        return false;
    *ret = (struct parent_view){row_id(&row), row.state, false};
    return true;
}

static bool batch_parent(struct reader *reader, int64_t no, struct parent_view *ret,
                         bool *ret_found, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BATCH);
    struct batch batch;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    if (!batch_read(get, &batch, err))
        return false;
    *ret = (struct parent_view){
        batch.id, batch_is_over(&batch) ? batch_end_state(&batch) : JOB_RUNNING, true};
    return true;
}

/* A parent that has been forgotten since it ended is left out: it is told in this moment. */
static bool parent_add(struct reader *reader, int64_t no, struct parent_list *list, struct err *err)
{
    struct parent_view *parent = &list->parents[list->n];
    bool found;

    if (!job_parent(reader, no, parent, &found, err) ||
        (!found && !batch_parent(reader, no, parent, &found, err)))
        return false;
    list->n += found;
    return true;
}

bool reader_parents(struct reader *reader, int64_t child, struct parent_list *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *wait = reader_stmt(reader, SQL_READ_WAIT);
    AUTO_STMT sqlite3_stmt *parents = reader_stmt(reader, SQL_READ_PARENTS);
    bool found;

    ret->n = 0;
    ret->total = 0;
    bind_i64(wait, 1, child);
    if (!db_next(&reader->db, wait, &found, err))
        return false;
    if (!found)
        return true;
    ret->total = sqlite3_column_int64(wait, 0);
    bind_i64(parents, 1, child);
    bind_i64(parents, 2, (int64_t)ret->max);
    while (ret->n < ret->max && db_next(&reader->db, parents, &found, err)) {
        if (!found)
            return true;
        if (!parent_add(reader, sqlite3_column_int64(parents, 0), ret, err))
            return false;
    }
    return ret->n == ret->max;
}
