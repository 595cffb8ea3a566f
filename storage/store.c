/* SPDX-License-Identifier: MIT */
#include "storage/store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "storage/migrate.h"
#include "storage/store_impl.h"

#define PATH_BYTES 4096
#define WAL_HEADER_BYTES 32
#define WAL_FRAME_HEADER_BYTES 24
/* The WAL keeps this much of its size when it starts over: overwriting a block that is there syncs
 * faster than growing the file (performance.md 1.3), and a burst should not occupy the disk for
 * ever. */
#define WAL_KEPT_BYTES (32 << 20)

static const char *const writer_texts[] = {
#define X(name, heat, text) [SQL_##name] = (text),
    WRITER_SQL(X)
#undef X
};

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
    return true;
}

void store_rollback(struct store *store)
{
    if (store_in_transaction(store))
        (void)control(store, SQL_ROLLBACK);
    counts_undo(&store->counts);
    row_cache_clear(&store->cache);
    store->newest = store->newest_at_begin;
    store->poisoned = false;
    store->in_savepoint = false;
    POST(!store_in_transaction(store));
}

bool store_savepoint(struct store *store, struct err *err)
{
    int rc;

    PRE(!store->in_savepoint);

    if (!store_in_transaction(store))
        return err_set(err, ERR_STORAGE, "The transaction has ended after an earlier error.");
    rc = control(store, SQL_SAVEPOINT);
    if (rc != SQLITE_DONE)
        return store_fail(store, rc, err);
    counts_savepoint_keep(&store->counts); /* what was touched before belongs to the transaction
                                              alone */
    store->newest_at_savepoint = store->newest;
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
    PRE(store->in_savepoint);

    store->in_savepoint = false;
    counts_savepoint_undo(&store->counts);
    row_cache_clear(&store->cache);
    store->newest = store->newest_at_savepoint;
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
    return counts_write(store, err);
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
        return COMMIT_STORED;
    }
    if (rc == SQLITE_FULL) {
        (void)store_fail(store, rc, err);
        store_rollback(store); /* SQLite has done it already, as a rule */
        if (store_is_usable(store))
            return COMMIT_NOT_STORED;
    }
    /* The log may hold the whole transaction, synced or not: only a restart tells (guarantees.md 0,
     * finding 2). */
    (void)db_fail(&store->db, rc == SQLITE_DONE ? SQLITE_IOERR : rc, "commit", err);
    if (err != NULL)
        err->code = ERR_OUTCOME_UNKNOWN;
    return COMMIT_UNKNOWN;
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

/* ---- opening ---- */

/* The WAL's length after each commit. */
static int wal_note(void *arg, sqlite3 *handle, const char *schema, int pages)
{
    struct store *store = arg;
    uint64_t bytes;

    (void)handle;
    (void)schema;
    bytes = WAL_HEADER_BYTES + (uint64_t)pages * (store->page_bytes + WAL_FRAME_HEADER_BYTES);
    if (bytes < store->wal_bytes)
        store->checkpointed_bytes = 0; /* SQLite has started the log over, as it does after a
                                          complete checkpoint */
    store->wal_bytes = bytes;
    return SQLITE_OK;
}

/* SQLite would make the file readable for everybody; the WAL inherits its mode. Done before SQLite
 * opens it: a later close() of any other descriptor of the file would drop SQLite's locks
 * (guarantees.md 5.3). */
static bool file_create(const char *dir, const char *path, struct err *err)
{
    AUTO_CLOSE int dir_fd = -1;
    AUTO_CLOSE int fd = -1;

    if (access(path, F_OK) == 0)
        return true;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, ERR_STORAGE, "cannot create %s", path);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fsync(dir_fd) != 0)
        return err_sys(err, ERR_STORAGE, "cannot sync %s", dir);
    return true;
}

/* The settings of the writing connection. `synchronous` is a property of the connection, not of the
 * file, and SQLite ignores a pragma that it does not understand: so it is read back. */
static bool writer_configure(struct store *store, bool sync_full, struct err *err)
{
    struct db *db = &store->db;
    int64_t sync = -1, secure = -1, page = 0;
    char mode[16];

    if (!db_exec(db, "PRAGMA page_size=4096", err) ||
        !db_query_word(db, "PRAGMA journal_mode=WAL", mode, err))
        return false;
    if (strcmp(mode, "wal") != 0)
        return err_set(err, ERR_STORAGE,
                       "The file system of the data directory cannot hold a WAL; use a local one.");
    if (!db_exec(db, sync_full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err) ||
        !db_exec(db, "PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0", err) ||
        !db_query_i64(db, "PRAGMA synchronous", &sync, err) ||
        !db_query_i64(db, "PRAGMA secure_delete", &secure, err) ||
        !db_query_i64(db, "PRAGMA page_size", &page, err))
        return false;
    if (sync != (sync_full ? 2 : 1) || secure != 0 || page < 512)
        return err_set(err, ERR_STORAGE, "SQLite did not take its settings (synchronous=%d).",
                       (int)sync);
    store->page_bytes = (uint64_t)page;
    (void)sqlite3_wal_hook(db->handle, wal_note, store);
    return true;
}

static bool journal_limit(struct store *store, struct err *err)
{
    char pragma[64];

    (void)snprintf(pragma, sizeof(pragma), "PRAGMA journal_size_limit=%d", WAL_KEPT_BYTES);
    return db_exec(&store->db, pragma, err);
}

/* A handful of rows, whatever the queue's length. */
static bool queues_load(struct store *store, uint32_t max_queues, struct err *err)
{
    AUTO_STMT sqlite3_stmt *all = store_stmt(store, SQL_QUEUES_ALL);
    int64_t highest = 0;
    bool row;

    /* The option may have been lowered since; the queues that exist keep their numbers. */
    if (!db_query_i64(&store->db, "SELECT max(id) FROM queues", &highest, err))
        return false;
    counts_init(&store->counts, MAX(max_queues, (uint32_t)highest));
    while (db_next(&store->db, all, &row, err)) {
        int64_t count[JOB_STATE_COUNT];

        if (!row)
            return true;
        for (int s = 0; s < JOB_STATE_COUNT; s++)
            count[s] = sqlite3_column_int64(all, 2 + s);
        counts_load(&store->counts, (uint32_t)sqlite3_column_int64(all, 0), column_slice(all, 1),
                    count);
    }
    return false;
}

static bool newest_load(struct store *store, struct err *err)
{
    AUTO_STMT sqlite3_stmt *last = store_stmt(store, SQL_ROW_LAST);
    AUTO_BUF struct buf deleted = {0};
    struct newest meta;
    bool found;

    if (!db_next(&store->db, last, &found, err))
        return false;
    if (found)
        store->newest = (struct newest){sqlite3_column_int64(last, 0),
                                        sqlite3_column_int64(last, 1)};
    buf_init(&deleted, sizeof(meta));
    if (!store_meta_get(store, META_NEWEST, &deleted, &found, err))
        return false;
    if (found && deleted.len == sizeof(meta)) {
        memcpy(&meta, deleted.ptr, sizeof(meta));
        if (meta.no > store->newest.no)
            store->newest = meta;
    }
    return true;
}

static void store_free(struct store *store)
{
    if (store == NULL)
        return;
    db_close(&store->db);
    counts_release(&store->counts);
    ballast_close(&store->ballast);
    free(store);
}

static bool store_load(struct store *store, const struct store_config *cfg, const char *path,
                       struct err *err)
{
    return file_create(cfg->data_dir, path, err) &&
           db_open(&store->db, path, SQLITE_OPEN_READWRITE, cfg->cache_bytes, err) &&
           writer_configure(store, cfg->sync_full, err) && journal_limit(store, err) &&
           migrate_schema(&store->db, err) &&
           db_prepare(&store->db, writer_texts, ARRAY_LEN(writer_texts), err) &&
           queues_load(store, cfg->max_queues, err) && newest_load(store, err);
}

/* After a clean stop the log has been truncated; what is in it now had to be recovered. */
static void recovery_note(const struct log *log, const char *path)
{
    char wal[PATH_BYTES + 8];
    struct stat st;

    (void)snprintf(wal, sizeof(wal), "%s-wal", path);
    if (stat(wal, &st) == 0 && st.st_size > 0)
        log_event(log, LOG_INFO, "the last stop was not clean, the store recovers its log",
                  LOG_INT("wal_bytes", st.st_size));
}

bool store_open(const struct store_config *cfg, struct store **ret_store, struct err *err)
{
    char path[PATH_BYTES];
    struct store *store;

    PRE(cfg->max_queues > 0 && cfg->row_keep_us >= 0);

    if ((size_t)snprintf(path, sizeof(path), "%s/jobs.db", cfg->data_dir) >= sizeof(path))
        return err_set(err, ERR_STORAGE, "The name of the data directory is too long.");
    if (cfg->log != NULL)
        recovery_note(cfg->log, path);
    /* Nobody asks SQLite how much it has allocated, and counting takes a mutex that all connections
     * of the process share. Possible before its first use only; refused later, without harm. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    store = must_alloc(sizeof(*store));
    store->log = cfg->log;
    store->row_keep_us = cfg->row_keep_us;
    if (!store_load(store, cfg, path, err)) {
        store_free(store);
        return err_wrap(err, "open %s", path);
    }
    ballast_open(&store->ballast, cfg->data_dir, cfg->reserve_bytes);
    *ret_store = store;
    return true;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store_in_transaction(store))
        store_rollback(store);
    (void)sqlite3_wal_checkpoint_v2(store->db.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    store_free(store);
}
