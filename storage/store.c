/* SPDX-License-Identifier: MIT */
#include "storage/store.h"

#include "storage/jobs.h"
#include "storage/store_impl.h"

/* ---- running statements ---- */

bool store_in_transaction(const struct store *store)
{
    return sqlite3_get_autocommit(store->db.handle) == 0;
}

bool store_fail(struct store *store, int rc, struct err *err)
{
    store->poisoned = true;
    if ((rc & 0xff) == SQLITE_FULL)
        ballast_drop(&store->ballast);
    return db_fail(&store->db, rc, "write", err);
}

bool store_run(struct store *store, sqlite3_stmt *stmt, struct err *err)
{
    int rc;

    if (!store_in_transaction(store))
        return err_set(err, ERR_STORAGE, "The transaction has ended after an earlier error.");
    rc = sqlite3_step(stmt);
    if (rc != SQLITE_DONE)
        (void)store_fail(store, rc, err);
    (void)sqlite3_reset(stmt);
    return rc == SQLITE_DONE;
}

bool store_run_no(struct store *store, enum writer_sql which, int64_t no, struct err *err)
{
    sqlite3_stmt *stmt = store_stmt(store, which);

    bind_i64(stmt, 1, no);
    return store_run(store, stmt, err);
}

/* BEGIN, COMMIT and their like: the result code, with the statement reset. */
static int control(struct store *store, enum writer_sql which)
{
    sqlite3_stmt *stmt = store_stmt(store, which);
    int rc = sqlite3_step(stmt);

    (void)sqlite3_reset(stmt);
    return rc;
}

/* ---- transactions ---- */

bool store_begin(struct store *store, struct err *err)
{
    int rc;

    PRE(!store_in_transaction(store));

    rc = control(store, SQL_BEGIN);
    if (rc != SQLITE_DONE)
        return db_fail(&store->db, rc, "begin", err);
    store->poisoned = false;
    store->in_savepoint = false;
    store->newest_at_begin = store->newest;
    store->deliveries_at_begin = store->deliveries;
    store->blobs_at_begin = store->blobs;
    store->changes.n = 0;
    store->batches.n_changed = 0;
    store->timers = (struct timer_run){0};
    store->passing.n = 0;
    store->newborn.row.no = 0;
    return true;
}

void store_rollback(struct store *store)
{
    if (store_in_transaction(store))
        (void)control(store, SQL_ROLLBACK);
    counts_undo(&store->counts);
    row_cache_clear(&store->cache);
    spec_cache_clear(&store->specs);
    batch_cache_clear(&store->batches);
    store->changes.n = 0;
    store->passing.n = 0;
    store->newborn.row.no = 0;
    store->newest = store->newest_at_begin;
    store->deliveries = store->deliveries_at_begin;
    store->blobs = store->blobs_at_begin;
    store->poisoned = false;
    store->in_savepoint = false;
    POST(!store_in_transaction(store));
}

bool store_can_go_on(const struct store *store)
{
    return store_in_transaction(store) && !store->poisoned;
}

bool store_savepoint(struct store *store, struct err *err)
{
    int rc;

    PRE(!store->in_savepoint);

    if (!store_can_go_on(store))
        return err_set(err, ERR_STORAGE, "The transaction cannot go on after an earlier error.");
    /* So that an undo may forget what is in memory. */
    if (!newborn_write(store, err) || !batches_write(store, err) || !jobs_passed(store, err))
        return false;
    rc = control(store, SQL_SAVEPOINT);
    if (rc != SQLITE_DONE)
        return store_fail(store, rc, err);
    counts_savepoint_keep(&store->counts); /* what was touched before belongs to the transaction
                                              alone */
    store->changes.n_at_savepoint = store->changes.n;
    store->newest_at_savepoint = store->newest;
    store->deliveries_at_savepoint = store->deliveries;
    store->blobs_at_savepoint = store->blobs;
    store->in_savepoint = true;
    return true;
}

void store_savepoint_release(struct store *store)
{
    PRE(store->in_savepoint);

    store->in_savepoint = false;
    counts_savepoint_keep(&store->counts);
    if (control(store, SQL_RELEASE) != SQLITE_DONE)
        store->poisoned = true;
}

void store_savepoint_undo(struct store *store)
{
    size_t n_changed = store->batches.n_changed;

    PRE(store->in_savepoint);

    store->in_savepoint = false;
    counts_savepoint_undo(&store->counts);
    row_cache_clear(&store->cache);
    spec_cache_clear(&store->specs);
    batch_cache_clear(&store->batches);
    store->passing.n = 0;
    store->newborn.row.no = 0;            /* one from before was written by the savepoint */
    store->batches.n_changed = n_changed; /* what was changed before still was */
    store->changes.n = store->changes.n_at_savepoint;
    store->timers = (struct timer_run){0};
    store->newest = store->newest_at_savepoint;
    store->deliveries = store->deliveries_at_savepoint;
    store->blobs = store->blobs_at_savepoint;
    /* A failed statement inside is gone with the savepoint, unless SQLite has ended everything. */
    store->poisoned = control(store, SQL_UNDO) != SQLITE_DONE ||
                      control(store, SQL_RELEASE) != SQLITE_DONE;
}

static bool counts_write(struct store *store, struct err *err)
{
    sqlite3_stmt *update = store_stmt(store, SQL_QUEUE_COUNTS);
    struct counts *c = &store->counts;

    for (uint32_t i = 0; i < c->n_touched; i++) {
        const struct queue_entry *entry = &c->entries[c->touched[i]];

        if (memcmp(entry->now.count, entry->at_begin.count, sizeof(entry->now.count)) == 0)
            continue;
        bind_i64(update, 1, (int64_t)c->touched[i] + 1);
        for (int s = 0; s < JOB_STATE_COUNT; s++)
            bind_i64(update, 2 + s, entry->now.count[s]);
        if (!store_run(store, update, err))
            return false;
    }
    return true;
}

/* Everything before COMMIT itself: a failure here, rolled back, is a definite "not stored". */
static bool commit_prepare(struct store *store, struct err *err)
{
    if (store->poisoned || store->in_savepoint || !store_in_transaction(store))
        return err_set(err, ERR_STORAGE, "An earlier write of this transaction failed.");
    if (FAULT("store-before-commit"))
        return err_set(err, ERR_STORAGE, "Simulated failure before the commit.");
    return newborn_write(store, err) && jobs_passed(store, err) && batches_write(store, err) &&
           counts_write(store, err);
}

static int commit_step(struct store *store)
{
    if (FAULT("store-commit-full"))
        return SQLITE_FULL;
    if (FAULT("store-commit-ioerr"))
        return SQLITE_IOERR_FSYNC;
    return control(store, SQL_COMMIT);
}

/* Whether the connection is as it was before the transaction: it can begin another one. */
static bool store_is_usable(struct store *store)
{
    return control(store, SQL_BEGIN) == SQLITE_DONE && control(store, SQL_ROLLBACK) == SQLITE_DONE;
}

enum commit_result store_commit(struct store *store, struct err *err)
{
    int rc;

    if (!commit_prepare(store, err)) {
        store_rollback(store);
        return COMMIT_NOT_STORED;
    }
    rc = commit_step(store);
    if (rc == SQLITE_DONE && !FAULT("store-after-commit")) {
        counts_keep(&store->counts);
        store->newest_at_begin = store->newest;
        store->deliveries_at_begin = store->deliveries;
        store->blobs_at_begin = store->blobs;
        return COMMIT_STORED;
    }
    if (rc == SQLITE_FULL) {
        (void)store_fail(store, rc, err);
        store_rollback(store); /* SQLite has done it already, as a rule */
        if (store_is_usable(store))
            return COMMIT_NOT_STORED;
    }
    /* The log may hold the whole transaction, synced or not: only a restart tells. */
    (void)db_fail(&store->db, rc == SQLITE_DONE ? SQLITE_IOERR : rc, "commit", err);
    if (err != NULL)
        err->code = ERR_OUTCOME_UNKNOWN;
    store->is_broken = true;
    return COMMIT_UNKNOWN;
}

void store_rest(struct store *store)
{
    PRE(!store_in_transaction(store));

    db_rest(&store->db);
}

/* ---- changes ---- */

void changes_add(struct store *store, const struct job_change *change)
{
    struct change_list *list = &store->changes;

    if (list->n == list->cap) {
        list->cap = MAX(list->cap * 2, (size_t)256);
        list->items = must_realloc(list->items, list->cap * sizeof(*list->items));
    }
    list->items[list->n++] = *change;
}

const struct job_change *store_changes(const struct store *store, size_t *ret_n)
{
    *ret_n = store->changes.n;
    return store->changes.items;
}

/* ---- small values ---- */

bool store_meta_get(struct store *store, const char *key, struct buf *ret_value, bool *ret_found,
                    struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_META_GET);
    struct slice value;

    bind_text(get, 1, slice_of(key));
    if (!db_next(&store->db, get, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    value = column_slice(get, 0);
    buf_append(ret_value, value.ptr, value.len);
    return buf_ok(ret_value)
               ? true
               : err_set(err, ERR_TOO_LARGE, "The stored value of %s is too long.", key);
}

bool store_meta_set(struct store *store, const char *key, struct slice value, struct err *err)
{
    sqlite3_stmt *set = store_stmt(store, SQL_META_SET);

    PRE(value.ptr != NULL);

    bind_text(set, 1, slice_of(key));
    bind_blob(set, 2, value);
    return store_run(store, set, err);
}

/* ---- counts ---- */

int64_t store_count(const struct store *store, enum job_state state)
{
    return store->counts.total[state];
}

int64_t store_waiting(const struct store *store)
{
    const int64_t *total = store->counts.total;

    return total[JOB_SCHEDULED] + total[JOB_BLOCKED] + total[JOB_QUEUED];
}

const char *store_queue_name(const struct store *store, uint32_t number)
{
    return counts_name(&store->counts, number);
}

size_t store_queue_counts(const struct store *store, struct queue_counts *ret, size_t max)
{
    size_t n = 0;

    for (uint32_t i = 0; i < store->counts.n && n < max; i++) {
        const struct queue_state *now = &store->counts.entries[i].now;

        if (now->name[0] == '\0')
            continue;
        ret[n].queue = now->name;
        memcpy(ret[n++].count, now->count, sizeof(now->count));
    }
    return n;
}

bool store_disk_is_low(struct store *store)
{
    return ballast_is_missing(&store->ballast);
}
