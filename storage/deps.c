/* SPDX-License-Identifier: MIT */
#include "storage/deps.h"

#include "storage/batches.h"
#include "storage/store_impl.h"

/* ---- parents ---- */

static bool batch_parent(struct store *store, const struct job_id *id, struct dep_parent *ret,
                         struct err *err)
{
    const struct batch *batch;

    if (!batch_get(store, id, &batch, err))
        return false;
    *ret = (struct dep_parent){*id, batch_is_over(batch) ? batch_end_state(batch) : JOB_RUNNING,
                               true};
    return true;
}

bool deps_parent(struct store *store, const struct job_id *id, struct dep_parent *ret,
                 struct err *err)
{
    struct err missing = {0};
    struct job_row row;

    if (jobs_get(store, id, &row, &missing)) {
        *ret = (struct dep_parent){*id, row.state, false};
        return true;
    }
    if (missing.code != ERR_NOT_FOUND)
        return err_set(err, missing.code, "%s", missing.detail);
    return batch_parent(store, id, ret, err);
}

bool deps_add(struct store *store, int64_t parent, int64_t child, bool *ret_new, struct err *err)
{
    sqlite3_stmt *add = store_stmt(store, SQL_DEP_ADD);

    bind_i64(add, 1, parent);
    bind_i64(add, 2, child);
    if (!store_run(store, add, err))
        return false;
    *ret_new = sqlite3_changes(store->db.handle) == 1;
    return true;
}

static bool mark_batch(struct store *store, int64_t no, int64_t now_us, struct err *err)
{
    const struct batch *batch;
    struct batch marked;

    if (!batch_get_by_no(store, no, &batch, err))
        return false;
    if ((batch->flags & JOB_PARENT) != 0)
        return true;
    marked = *batch;
    marked.flags |= JOB_PARENT;
    return batch_put(store, &marked, now_us, err);
}

bool deps_mark_parent(struct store *store, int64_t no, bool is_batch, int64_t now_us,
                      struct err *err)
{
    struct row row;

    if (is_batch)
        return mark_batch(store, no, now_us, err);
    return row_load(store, no, &row, err) &&
           row_set_flags(store, &row, row.flags | JOB_PARENT, err);
}

/* ---- children ---- */

bool deps_wait(struct store *store, int64_t child, const struct dep_wait *wait, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_WAIT_PUT);

    PRE(wait->n > 0);

    bind_i64(put, 1, child);
    bind_i64(put, 2, wait->n);
    bind_i64(put, 3, (int64_t)wait->policy);
    return store_run(store, put, err);
}

bool deps_stop_waiting(struct store *store, int64_t child, struct err *err)
{
    return store_run_no(store, SQL_WAIT_DELETE, child, err);
}

bool deps_release(struct store *store, int64_t child, int64_t now_us, enum job_state *ret_state,
                  struct err *err)
{
    struct row row;

    if (!deps_stop_waiting(store, child, err) || !row_load(store, child, &row, err))
        return false;
    *ret_state = row.state;
    if (row.state != JOB_BLOCKED || (row.flags & JOB_GATED) != 0)
        return row_set_flags(store, &row, row.flags & ~(uint32_t)JOB_WAITS, err);
    row.flags &= ~(uint32_t)JOB_WAITS;
    row.queued_us = now_us;
    *ret_state = JOB_QUEUED;
    return row_move(store, &row, JOB_QUEUED, err);
}

/* ---- telling ---- */

bool deps_children(struct store *store, int64_t parent, struct due_list *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_DEP_CHILDREN);
    bool found;

    bind_i64(get, 1, parent);
    bind_i64(get, 2, (int64_t)ret->max);
    ret->n = 0;
    while (db_next(&store->db, get, &found, err)) {
        if (!found)
            return true;
        ret->nos[ret->n++] = sqlite3_column_int64(get, 0);
    }
    return false;
}

static bool wait_get(struct store *store, int64_t child, struct dep_wait *ret, bool *ret_found,
                     struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_WAIT_GET);

    bind_i64(get, 1, child);
    if (!db_next(&store->db, get, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    *ret = (struct dep_wait){sqlite3_column_int64(get, 0),
                             (enum parent_policy)sqlite3_column_int(get, 1)};
    return (ret->n > 0 && ret->policy >= 0 && ret->policy < PARENT_POLICY_COUNT) ||
           err_set(err, ERR_STORAGE, "What job %lld waits for is damaged.", (long long)child);
}

bool deps_tell(struct store *store, int64_t parent, int64_t child, struct dep_wait *ret,
               struct err *err)
{
    sqlite3_stmt *forget = store_stmt(store, SQL_DEP_DELETE);
    bool waits;

    bind_i64(forget, 1, parent);
    bind_i64(forget, 2, child);
    if (!store_run(store, forget, err) || !wait_get(store, child, ret, &waits, err))
        return false;
    if (!waits) {
        ret->n = -1;
        return true;
    }
    ret->n--;
    return store_run_no(store, SQL_WAIT_LESS, child, err);
}

bool telling_put(struct store *store, const struct dep_end *end, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_TELLING_PUT);

    PRE(job_state_is_end(end->state));

    bind_i64(put, 1, end->id.no);
    bind_i64(put, 2, (int64_t)end->state);
    bind_i64(put, 3, end->is_batch);
    bind_i64(put, 4, (int64_t)end->id.ms * 1000);
    bind_i64(put, 5, (int32_t)end->id.salt);
    return store_run(store, put, err);
}

bool telling_first(struct store *store, struct dep_end *ret, bool *ret_found, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_TELLING_FIRST);

    if (!db_next(&store->db, get, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    *ret = (struct dep_end){
        .id = {(uint64_t)sqlite3_column_int64(get, 3) / 1000, sqlite3_column_int64(get, 0),
               (uint32_t)sqlite3_column_int(get, 4)},
        .state = (enum job_state)sqlite3_column_int(get, 1),
        .is_batch = sqlite3_column_int(get, 2) != 0,
    };
    return (ret->state >= 0 && ret->state < JOB_STATE_COUNT && job_state_is_end(ret->state)) ||
           err_set(err, ERR_STORAGE, "The end of job %lld that is to be told is damaged.",
                   (long long)ret->id.no);
}

bool telling_done(struct store *store, int64_t parent, struct err *err)
{
    return store_run_no(store, SQL_TELLING_DELETE, parent, err);
}
