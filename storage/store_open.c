/* SPDX-License-Identifier: MIT */
/* How the store is opened and closed. */
#include "storage/store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "storage/migrate.h"
#include "storage/store_impl.h"

#define PATH_BYTES 4096
#define WAL_HEADER_BYTES 32
#define WAL_FRAME_HEADER_BYTES 24
/* The WAL keeps this much of its size when it starts over: overwriting a block that is there syncs
 * faster than growing the file, and a burst should not occupy the disk for ever. */
#define WAL_KEPT_BYTES (32 << 20)
/* A checkpoint is due at 4 MiB (checkpoint.c); if it fails for want of space, the ends of what runs
 * come after that. */
#define WAL_RESERVED_BYTES (5 << 20)

static const char *const writer_texts[] = {
#define X(name, heat, text) [SQL_##name] = (text),
    WRITER_SQL(X)
#undef X
};

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
 * opens it: a later close() of any other descriptor of the file would drop SQLite's locks. */
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

/* The log has its room on the disk before it is written, so that a disk which becomes full is
 * noticed by what the database file needs, and ends can still be recorded. Where that is not
 * possible the log takes its room as it grows. (SQLite has no locks on this file that a close()
 * would drop.) */
static void log_reserve(const char *path)
{
    char wal[PATH_BYTES + 8];

    (void)snprintf(wal, sizeof(wal), "%s-wal", path);
    AUTO_CLOSE int fd = open(wal, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        (void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, WAL_RESERVED_BYTES);
}

static bool journal_limit(struct store *store, struct err *err)
{
    char pragma[64];

    (void)snprintf(pragma, sizeof(pragma), "PRAGMA journal_size_limit=%d", WAL_KEPT_BYTES);
    return db_exec(&store->db, pragma, err);
}

/* Far beyond any option; a larger number comes from a damaged file. */
#define MAX_QUEUE_NUMBER (1 << 20)

/* One row of `queues`, with its counts. */
static bool queue_load(struct store *store, sqlite3_stmt *row, struct err *err)
{
    int64_t number = sqlite3_column_int64(row, 0);
    struct slice name = column_slice(row, 1);
    int64_t count[JOB_STATE_COUNT];
    bool sound = number >= 1 && name.len >= 1 && name.len <= MAX_QUEUE_NAME;

    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        count[s] = sqlite3_column_int64(row, 2 + s);
        sound = sound && count[s] >= 0;
    }
    if (!sound)
        return err_set(err, ERR_STORAGE, "The stored queue %lld is damaged.", (long long)number);
    counts_load(&store->counts, (uint32_t)number, name, count);
    return true;
}

/* A handful of rows, whatever the number of jobs. */
static bool queues_load(struct store *store, uint32_t max_queues, struct err *err)
{
    AUTO_STMT sqlite3_stmt *all = store_stmt(store, SQL_QUEUES_ALL);
    int64_t highest = 0;
    bool row;

    if (!db_query_i64(&store->db, "SELECT max(id) FROM queues", &highest, err))
        return false;
    if (highest > MAX_QUEUE_NUMBER)
        return err_set(err, ERR_STORAGE, "The stored queue %lld is damaged.", (long long)highest);
    /* The option may have been lowered since; the queues that exist keep their numbers. */
    counts_init(&store->counts, MAX(max_queues, (uint32_t)highest));
    while (db_next(&store->db, all, &row, err)) {
        if (!row)
            return true;
        if (!queue_load(store, all, err))
            return false;
    }
    return false;
}

/* The newest number of one table, if it is newer than what is known. */
static bool newest_of(struct store *store, enum writer_sql which, struct err *err)
{
    AUTO_STMT sqlite3_stmt *last = store_stmt(store, which);
    bool found;

    if (!db_next(&store->db, last, &found, err))
        return false;
    if (found && sqlite3_column_int64(last, 0) > store->newest.no)
        store->newest = (struct newest){sqlite3_column_int64(last, 0),
                                        sqlite3_column_int64(last, 1)};
    return true;
}

static bool newest_load(struct store *store, struct err *err)
{
    AUTO_BUF struct buf deleted = {0};
    struct newest meta;
    bool found;

    if (!newest_of(store, SQL_ROW_LAST, err) || !newest_of(store, SQL_BATCH_LAST, err) ||
        !newest_of(store, SQL_BLOB_LAST, err))
        return false;
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

static bool blobs_count(struct store *store, struct err *err)
{
    int64_t bytes = 0;

    if (!db_query_i64(&store->db, "SELECT count(*) FROM blobs", &store->blobs.n, err) ||
        !db_query_i64(&store->db, "SELECT ifnull(sum(bytes), 0) FROM blobs", &bytes, err))
        return false;
    store->blobs.bytes = (uint64_t)MAX(bytes, 0);
    return true;
}

static void store_free(struct store *store)
{
    if (store == NULL)
        return;
    db_close(&store->db);
    counts_release(&store->counts);
    free(store->changes.items);
    batch_cache_release(&store->batches);
    ballast_close(&store->ballast);
    free(store);
}

static bool store_load(struct store *store, const struct store_config *cfg, const char *path,
                       struct err *err)
{
    if (!file_create(cfg->data_dir, path, err) ||
        !db_open(&store->db, path, &store->vfs, cfg->cache_bytes, err) ||
        !writer_configure(store, cfg->sync_full, err) || !journal_limit(store, err) ||
        !migrate_schema(&store->db, err) || !leap_open(store, err) || !mates_open(store, err) ||
        !row_pack_open(store, err))
        return false;
    db_set_texts(&store->db, writer_texts, ARRAY_LEN(writer_texts));
    return queues_load(store, cfg->max_queues, err) && settings_load(store, err) &&
           newest_load(store, err) &&
           db_query_i64(&store->db, "SELECT count(*) FROM deliveries", &store->deliveries, err) &&
           blobs_count(store, err);
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

#define DAMAGE_ADVICE                                                                              \
    "jobs.db in the data directory is damaged or not a database. Keep a copy of it, then restore " \
    "a backup or try `sqlite3 jobs.db .recover`; without it the service starts empty."

static bool file_is_damaged(const struct store *store)
{
    int rc = store->db.handle == NULL ? SQLITE_OK : sqlite3_errcode(store->db.handle) & 0xff;

    return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;
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
        (void)(file_is_damaged(store) ? err_set(err, ERR_STORAGE, DAMAGE_ADVICE)
                                      : err_wrap(err, "open %s", path));
        store_free(store);
        return false;
    }
    ballast_open(&store->ballast, cfg->data_dir, cfg->reserve_bytes);
    log_reserve(path);
    *ret_store = store;
    return true;
}

/* After a commit of unknown outcome nothing is written any more: what the disk holds is for the
 * recovery of the next start to read. */
static void log_write_back(struct store *store)
{
    int rc;

    if (store->is_broken) {
        (void)sqlite3_db_config(store->db.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return;
    }
    rc = sqlite3_wal_checkpoint_v2(store->db.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc != SQLITE_OK && store->log != NULL)
        log_event(store->log, LOG_WARN, "the last checkpoint failed, the next start repeats it",
                  LOG_STR("error", sqlite3_errmsg(store->db.handle)));
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store_in_transaction(store))
        store_rollback(store);
    log_write_back(store);
    store_free(store);
}
