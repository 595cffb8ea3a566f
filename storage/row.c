/* SPDX-License-Identifier: MIT */
#include "storage/row.h"

#include "storage/jobs.h"
#include "storage/row_pack.h"
#include "storage/row_timer.h"
#include "storage/store_impl.h"

struct job_id row_id(const struct row *row)
{
    return (struct job_id){(uint64_t)row->created_us / 1000, row->no, row->salt};
}

bool row_has_id(const struct row *row, const struct job_id *id)
{
    const struct job_id own = row_id(row);

    return job_id_eq(&own, id);
}

void row_cache_clear(struct row_cache *cache)
{
    for (size_t i = 0; i < ROW_CACHE_SIZE; i++)
        cache->rows[i].no = 0;
}

static struct row *cache_slot(struct store *store, int64_t no)
{
    return &store->cache.rows[(uint64_t)no % ROW_CACHE_SIZE];
}

const struct row *row_at_hand(const struct store *store, int64_t no)
{
    const struct row *row = &store->cache.rows[(uint64_t)no % ROW_CACHE_SIZE];

    return row->no == no && no != 0 ? row : NULL;
}

bool row_load(struct store *store, int64_t no, struct row *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = NULL;
    struct row *seen = cache_slot(store, no);
    bool found;

    if (seen->no == no && no != 0) {
        *ret = *seen;
        return true;
    }
    get = store_stmt(store, SQL_ROW_GET);
    bind_i64(get, 1, no);
    if (!db_next(&store->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "There is no such job.");
    if (!row_read(get, ret, err))
        return false;
    if (!counts_has_queue(&store->counts, ret->queue))
        return err_set(err, ERR_STORAGE, "The queue of job %lld is missing.", (long long)no);
    *seen = *ret;
    return true;
}

/* A job under way to its end holds its unique key no more. */
static bool holds_key(enum job_state state)
{
    return state != JOB_BIRTH && state < JOB_STOPPING;
}

/* The rows of key_holders follow each birth and move of those that have a key; what has one and is
 * deleted has ended. */
static bool key_changed(struct store *store, const struct row *row, enum job_state from,
                        enum job_state to, struct err *err)
{
    if ((row->flags & JOB_UNIQUE) == 0 || holds_key(from) == holds_key(to))
        return true;
    return store_run_no(store, holds_key(to) ? SQL_KEY_TAKE : SQL_KEY_FREE, row->no, err);
}

/* Everybody who must hear of a change does so through this list; the batch counts it at once. */
static bool row_changed(struct store *store, const struct row *row, enum job_state from,
                        enum job_state to, struct err *err)
{
    changes_add(store, &(struct job_change){
                           .no = row->no,
                           .batch = row->batch,
                           .idx = row->idx,
                           .from = from,
                           .to = to,
                           .attempt = row->attempt,
                           .queue = row->queue,
                           .flags = row->flags,
                           .salt = row->salt,
                           .version = row->version,
                           .created_us = row->created_us,
                       });
    return key_changed(store, row, from, to, err) &&
           (row->batch == 0 || batch_count_move(store, row, from, to, err));
}

bool row_moved(struct store *store, const struct row *row, enum job_state from, enum job_state to,
               struct err *err)
{
    cache_slot(store, row->no)->no = 0;
    counts_change(&store->counts, row->queue, from, -1);
    counts_change(&store->counts, row->queue, to, +1);
    return row_changed(store, row, from, to, err);
}

static bool is_gated(const struct row *row, enum job_state state)
{
    return row->batch != 0 && state != JOB_BIRTH && !job_state_is_end(state) &&
           (row->flags & JOB_GATED) != 0;
}

static bool gate_changed(struct store *store, const struct row *row, bool before, bool after,
                         struct err *err)
{
    return before == after || batch_count_gated(store, row->batch, after ? +1 : -1, err);
}

bool row_born(struct store *store, const struct row *row, struct err *err)
{
    counts_change(&store->counts, row->queue, row->state, +1);
    *cache_slot(store, row->no) = *row;
    cache_slot(store, row->no)->ukey = (struct slice){0};
    return gate_changed(store, row, false, is_gated(row, row->state), err) &&
           row_changed(store, row, JOB_BIRTH, row->state, err);
}

static void terms_bind(struct store *store, sqlite3_stmt *stmt, int index, const struct row *row)
{
    row_pack_terms(row, &store->terms);
    bind_blob(stmt, index, packed_slice(&store->terms));
}

void row_bind_ran(struct store *store, sqlite3_stmt *stmt, int index, const struct row *row)
{
    row_pack_ran(row, &store->ran);
    bind_blob(stmt, index, packed_slice(&store->ran));
}

void row_bind_born(struct store *store, sqlite3_stmt *insert, const struct row *row)
{
    bind_i64(insert, 1, row->no);
    bind_i64(insert, 2, (int64_t)row->state);
    bind_i64(insert, 3, row->queue);
    bind_i64(insert, 4, row->priority);
    timer_bind(insert, 5, row);
    bind_i64(insert, 7, row->created_us);
    bind_i64(insert, 8, row->keep_us);
    terms_bind(store, insert, 9, row);
    bind_time(insert, 10, row->batch);
    bind_or_null(insert, 11, row->batch != 0, row->idx);
    bind_i64(insert, 12, row->flags);
}

void row_bind_salt(sqlite3_stmt *insert, int index, uint32_t salt)
{
    bind_i64(insert, index, (int32_t)salt); /* signed: four bytes on disk instead of six */
}

bool row_write_born(struct store *store, const struct row *row, struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_ROW_INSERT);

    row_bind_born(store, insert, row);
    row_bind_salt(insert, ROW_BORN_OWN, row->salt);
    bind_blob(insert, ROW_BORN_OWN + 1, row->ukey);
    return store_run(store, insert, err);
}

bool row_insert(struct store *store, const struct row *row, struct err *err)
{
    return (newborn_may_wait(row) ? newborn_keep(store, row, err)
                                  : row_write_born(store, row, err)) &&
           row_born(store, row, err);
}

/* The end of an attempt is known only to ends and retries; a start needs a third of the columns. */
static sqlite3_stmt *move_bind(struct store *store, enum writer_sql how, const struct row *row)
{
    sqlite3_stmt *move = store_stmt(store, how);

    bind_i64(move, 1, row->no);
    bind_i64(move, 2, job_state_sources(row->state));
    bind_i64(move, 3, (int64_t)row->state);
    bind_i64(move, 4, row->version);
    if (row->state == JOB_RUNNING) {
        bind_i64(move, 5, row->attempt);
        row_bind_ran(store, move, 6, row);
        return move;
    }
    timer_bind(move, 5, row);
    bind_i64(move, 7, row->attempt);
    bind_i64(move, 8, row->keep_us);
    terms_bind(store, move, 9, row);
    row_bind_ran(store, move, 10, row);
    bind_i64(move, 11, row_output_flags(row));
    bind_i64(move, 12, row->flags);
    bind_blob(move, 13, row->value);
    return move;
}

/* Jobs are there but not in the count: the file is damaged. Going on would hide queued jobs, as the
 * counts tell where to look for them. */
static bool row_is_counted(const struct store *store, const struct row *row, struct err *err)
{
    if (store->counts.entries[row->queue - 1].now.count[row->state] > 0)
        return true;
    return err_set(err, ERR_STORAGE, "The stored counts of queue %s are damaged.",
                   counts_name(&store->counts, row->queue));
}

/* The row has moved from this state to what `moved` says. */
static void row_has_moved(struct store *store, struct row *row, enum job_state from,
                          const struct row *moved)
{
    counts_change(&store->counts, row->queue, from, -1);
    counts_change(&store->counts, row->queue, moved->state, +1);
    *row = *moved;
    *cache_slot(store, row->no) = *moved;
    cache_slot(store, row->no)->value = (struct slice){0};
}

static bool move_write(struct store *store, enum job_state from, const struct row *moved,
                       struct err *err)
{
    enum writer_sql how = moved->state == JOB_RUNNING ? SQL_ROW_START : SQL_ROW_MOVE;

    if (how == SQL_ROW_START && newborn_is(store, moved->no))
        return newborn_begin(store, moved, err);
    if (!store_run(store, move_bind(store, how, moved), err))
        return false;
    /* Zero rows: the WHERE, which is the table's column of `to`, does not list the stored state. */
    if (sqlite3_changes(store->db.handle) != 1)
        return err_set(err, ERR_STATE_CONFLICT, "The job is %s and cannot become %s.",
                       job_state_name(from), job_state_name(moved->state));
    return true;
}

bool row_move(struct store *store, struct row *row, enum job_state to, struct err *err)
{
    enum job_state from = row->state;
    bool was_gated = is_gated(row, from);
    struct row moved = *row;

    moved.state = to;
    moved.version++;
    if (to == JOB_QUEUED || job_state_is_end(to))
        moved.flags &= ~(uint32_t)JOB_GATED;
    if (!row_is_counted(store, row, err) || !move_write(store, from, &moved, err))
        return false;
    POST(job_state_may_move(from, to));
    if (!timer_hand_on(store, row, err))
        return false;
    row_has_moved(store, row, from, &moved);
    if (!gate_changed(store, row, was_gated, is_gated(row, to), err))
        return false;
    if (!was_gated || !job_state_is_end(to))
        return row_changed(store, row, from, to, err);
    moved.flags |= JOB_GATED; /* it ended behind the gate: nobody has waited for this end */
    return row_changed(store, &moved, from, to, err);
}

bool row_pass(struct store *store, struct row *row, enum job_state to, struct err *err)
{
    struct row begun = *row, moved = *row;

    PRE(row->state == JOB_QUEUED && job_state_is_end(to) && job_state_may_move(JOB_RUNNING, to));

    begun.state = JOB_RUNNING;
    begun.version++;
    moved.state = to;
    moved.version += 2;
    if (!row_is_counted(store, row, err))
        return false;
    if (store->passing.n == ARRAY_LEN(store->passing.rows) && !jobs_passed(store, err))
        return false;
    store->passing.rows[store->passing.n++] = moved;
    row_has_moved(store, row, JOB_QUEUED, &moved);
    return row_changed(store, &begun, JOB_QUEUED, JOB_RUNNING, err) &&
           row_changed(store, row, JOB_RUNNING, to, err);
}

bool row_write_passed(struct store *store, const struct row *row, struct err *err)
{
    sqlite3_stmt *move = move_bind(store, SQL_ROW_MOVE, row);

    bind_i64(move, 2, INT64_C(1) << JOB_QUEUED);
    return store_run(store, move, err);
}

bool row_change(struct store *store, const struct row *was, struct row *row, enum job_state to,
                struct err *err)
{
    sqlite3_stmt *change = store_stmt(store, SQL_ROW_CHANGE);

    PRE(row->no == was->no && row->state == was->state);

    if (!row_is_counted(store, was, err))
        return false;
    row->version = was->version + (to == was->state);
    bind_i64(change, 1, row->no);
    bind_i64(change, 2, row->version);
    timer_bind(change, 3, row);
    bind_i64(change, 5, row->queue);
    bind_i64(change, 6, row->priority);
    bind_i64(change, 7, row->keep_us);
    terms_bind(store, change, 8, row);
    row_bind_ran(store, change, 9, row);
    if (!store_run(store, change, err))
        return false;
    counts_change(&store->counts, was->queue, was->state, -1);
    counts_change(&store->counts, row->queue, was->state, +1);
    *cache_slot(store, row->no) = *row;
    return to == was->state ? row_changed(store, row, to, to, err) : row_move(store, row, to, err);
}

bool row_expire(struct store *store, struct row *row, int64_t wake_us, struct err *err)
{
    sqlite3_stmt *expire = store_stmt(store, SQL_ROW_EXPIRE);

    PRE(job_state_is_end(row->state));

    row->output.expired = true;
    bind_i64(expire, 1, row->no);
    bind_i64(expire, 2, TIMER_ROW);
    bind_i64(expire, 3, wake_us);
    bind_i64(expire, 4, row_output_flags(row));
    cache_slot(store, row->no)->no = 0;
    return store_run(store, expire, err) && timer_hand_on(store, row, err);
}

bool row_set_flags(struct store *store, struct row *row, uint32_t flags, struct err *err)
{
    sqlite3_stmt *set = store_stmt(store, SQL_ROW_FLAGS);
    bool was_gated;

    if (row->flags == flags)
        return true;
    bind_i64(set, 1, row->no);
    bind_i64(set, 2, flags);
    if (!store_run(store, set, err))
        return false;
    was_gated = is_gated(row, row->state);
    row->flags = flags;
    *cache_slot(store, row->no) = *row;
    return gate_changed(store, row, was_gated, is_gated(row, row->state), err);
}

/* The next start reads the newest number from the table; without its row it must be found
 * elsewhere. */
bool newest_keep(struct store *store, int64_t no, struct err *err)
{
    if (no != store->newest.no)
        return true;
    return store_meta_set(store, META_NEWEST,
                          (struct slice){(const char *)&store->newest, sizeof(store->newest)}, err);
}

bool row_delete(struct store *store, const struct row *row, struct err *err)
{
    cache_slot(store, row->no)->no = 0;
    if (!row_is_counted(store, row, err) || !newest_keep(store, row->no, err) ||
        !timer_hand_on(store, row, err) || !store_run_no(store, SQL_ROW_DELETE, row->no, err))
        return false;
    counts_change(&store->counts, row->queue, row->state, -1);
    return row_changed(store, row, row->state, JOB_GONE, err);
}
