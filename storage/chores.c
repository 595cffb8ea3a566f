/* SPDX-License-Identifier: MIT */
#include "storage/chores.h"

#include "storage/store_impl.h"

#define BY_INDEX 1
#define STOPPING 2
#define REFUSED 4
_Static_assert(sizeof(struct index_range) == 16, "CHORE_NEXT cuts the ranges by their size");
#define MAX_WALKED 4000 /* rows that one step of a purge looks at */

static void bind_progress(sqlite3_stmt *stmt, const struct chore *c)
{
    bind_i64(stmt, 2, c->range);
    bind_i64(stmt, 3, c->place);
    bind_i64(stmt, 4, c->up_to);
    bind_i64(stmt, 5, c->tally.changed);
    bind_i64(stmt, 6, c->tally.expired);
    bind_i64(stmt, 7, (c->by_index ? BY_INDEX : 0) | (c->tally.is_stopping ? STOPPING : 0));
}

bool chore_insert(struct store *store, struct chore *c, const struct index_range *ranges,
                  struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_CHORE_INSERT);
    const size_t n = c->kind == CHORE_PURGE ? 0 : (size_t)c->all_ranges;

    bind_progress(insert, c);
    bind_i64(insert, 8, (int64_t)c->kind);
    bind_i64(insert, 9, c->target);
    bind_text(insert, 10, slice_of(c->why));
    bind_blob(insert, 11,
              n == 0 ? SLICE_LIT("") : (struct slice){(const char *)ranges, n * sizeof(*ranges)});
    if (!store_run(store, insert, err))
        return false;
    c->tally.id = sqlite3_last_insert_rowid(store->db.handle);
    return true;
}

bool chore_put(struct store *store, const struct chore *c, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_CHORE_PUT);

    bind_i64(put, 1, c->tally.id);
    bind_progress(put, c);
    return store_run(store, put, err);
}

bool chore_refuse_retries(struct store *store, int64_t batch, struct err *err)
{
    sqlite3_stmt *refuse = store_stmt(store, SQL_CHORE_REFUSE);

    bind_i64(refuse, 1, REFUSED);
    bind_i64(refuse, 2, CHORE_RETRY);
    bind_i64(refuse, 3, batch);
    return store_run(store, refuse, err);
}

bool chore_delete(struct store *store, int64_t id, struct err *err)
{
    return store_run_no(store, SQL_CHORE_DELETE, id, err);
}

static bool take_ranges(sqlite3_stmt *row, struct chore *c, struct err *err)
{
    struct slice bytes = column_slice(row, 11);

    c->all_ranges = c->kind == CHORE_PURGE ? 2 : sqlite3_column_int64(row, 10);
    if (bytes.len > sizeof(c->window) || bytes.len % sizeof(c->window[0]) != 0 ||
        (bytes.len == 0 && c->kind != CHORE_PURGE))
        return err_set(err, ERR_STORAGE, "A stored verb on many jobs is damaged.");
    if (bytes.len > 0)
        memcpy(c->window, bytes.ptr, bytes.len);
    c->ranges = c->window;
    c->n_ranges = (uint32_t)(bytes.len / sizeof(c->window[0]));
    return true;
}

bool chore_next(struct store *store, int64_t after, struct chore *ret, bool *ret_found,
                struct err *err)
{
    AUTO_STMT sqlite3_stmt *next = store_stmt(store, SQL_CHORE_NEXT);
    struct slice why;
    int64_t flags;

    bind_i64(next, 1, after);
    bind_i64(next, 2, CHORE_WINDOW * (int64_t)sizeof(ret->window[0]));
    if (!db_next(&store->db, next, ret_found, err) || !*ret_found)
        return !*ret_found && err->code == ERR_NONE;
    *ret = (struct chore){
        .tally.id = sqlite3_column_int64(next, 0),
        .range = sqlite3_column_int64(next, 1),
        .place = sqlite3_column_int64(next, 2),
        .up_to = sqlite3_column_int64(next, 3),
        .tally.changed = sqlite3_column_int64(next, 4),
        .tally.expired = sqlite3_column_int64(next, 5),
        .kind = (enum chore_kind)sqlite3_column_int(next, 7),
        .target = sqlite3_column_int64(next, 8),
    };
    flags = sqlite3_column_int64(next, 6);
    ret->by_index = (flags & BY_INDEX) != 0;
    ret->is_refused = (flags & REFUSED) != 0;
    ret->tally.is_stopping = (flags & STOPPING) != 0;
    why = column_slice(next, 9);
    if (why.len > 0)
        memcpy(ret->why, why.ptr, MIN(why.len, sizeof(ret->why) - 1));
    return take_ranges(next, ret, err);
}

/* In their order: those that have been cancelled since the last look are not among them. */
static bool take_queued(struct store *store, const struct chore *c, struct purge_list *ret,
                        struct err *err)
{
    AUTO_STMT sqlite3_stmt *ready = store_stmt(store, SQL_CHORE_READY);
    bool found;

    bind_i64(ready, 1, c->target);
    bind_i64(ready, 2, c->up_to);
    bind_i64(ready, 3, (int64_t)ret->max);
    while (db_next(&store->db, ready, &found, err)) {
        if (!found)
            return true;
        ret->nos[ret->n++] = sqlite3_column_int64(ready, 0);
    }
    return false;
}

static bool take_others(struct store *store, struct chore *c, struct purge_list *ret,
                        struct err *err)
{
    AUTO_STMT sqlite3_stmt *walk = store_stmt(store, SQL_JOBS_WALK);
    int64_t n_rows = 0;
    bool found = true;

    bind_i64(walk, 1, c->place);
    bind_i64(walk, 2, c->up_to);
    bind_i64(walk, 3, MAX_WALKED);
    for (; ret->n < ret->max; n_rows++) {
        if (!db_next(&store->db, walk, &found, err))
            return false;
        if (!found)
            break;
        c->place = sqlite3_column_int64(walk, 0);
        if (sqlite3_column_int64(walk, 2) == c->target && sqlite3_column_int(walk, 1) <= JOB_QUEUED)
            ret->nos[ret->n++] = c->place;
    }
    if (!found && n_rows < MAX_WALKED)
        c->range = c->all_ranges;
    return true;
}

bool chore_purged(struct store *store, struct chore *c, struct purge_list *ret, struct err *err)
{
    const struct queue_state *state = counts_state(&store->counts, (uint32_t)c->target);

    ret->n = 0;
    if (c->range == 0 && !take_queued(store, c, ret, err))
        return false;
    if (ret->n > 0)
        return true;
    c->range = 1;
    if (state->count[JOB_SCHEDULED] + state->count[JOB_BLOCKED] + state->count[JOB_QUEUED] == 0) {
        c->range = c->all_ranges;
        return true;
    }
    return take_others(store, c, ret, err);
}
