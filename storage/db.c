/* SPDX-License-Identifier: MIT */
#include "storage/db.h"

/* A reader never blocks the writer in WAL mode; BUSY comes from recovery and from the last close of
 * an older server. */
#define BUSY_TIMEOUT_MS 5000

static enum err_code db_code(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL: return ERR_DISK_FULL;
    case SQLITE_TOOBIG: return ERR_TOO_LARGE;
    case SQLITE_ERROR:
    case SQLITE_INTERNAL:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_MISUSE:
    case SQLITE_RANGE: return ERR_INTERNAL;
    default: /* IOERR, CORRUPT, NOTADB, BUSY, NOMEM, READONLY, CANTOPEN, … */ return ERR_STORAGE;
    }
}

bool db_fail(const struct db *db, int rc, const char *what, struct err *err)
{
    const char *text = db->handle == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(db->handle);

    (void)err_set(err, db_code(rc), "%s: %s (SQLite %d)", what, text, rc);
    if (err != NULL && db->handle != NULL)
        err->sys_errno = sqlite3_system_errno(db->handle);
    return false;
}

bool db_exec(struct db *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? true : db_fail(db, rc, "store", err);
}

bool db_query_i64(struct db *db, const char *sql, int64_t *ret, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? true : db_fail(db, rc, "store", err);
}

bool db_query_word(struct db *db, const char *sql, char ret[16], struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        (void)snprintf(ret, 16, "%s", (const char *)sqlite3_column_text(stmt, 0));
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? true : db_fail(db, rc, "store", err);
}

bool db_next(const struct db *db, sqlite3_stmt *stmt, bool *ret_row, struct err *err)
{
    int rc = sqlite3_step(stmt);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        (void)db_fail(db, rc, "read", err);
        (void)sqlite3_reset(stmt);
        return false;
    }
    *ret_row = rc == SQLITE_ROW;
    return true;
}

void bind_text(sqlite3_stmt *stmt, int index, struct slice text)
{
    if (text.ptr == NULL)
        (void)sqlite3_bind_null(stmt, index);
    else
        (void)sqlite3_bind_text64(stmt, index, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

void bind_blob(sqlite3_stmt *stmt, int index, struct slice bytes)
{
    if (bytes.ptr == NULL)
        (void)sqlite3_bind_null(stmt, index);
    else
        (void)sqlite3_bind_blob64(stmt, index, bytes.ptr, bytes.len, SQLITE_STATIC);
}

struct slice value_slice(sqlite3_value *value)
{
    const void *bytes = sqlite3_value_blob(value);

    return (struct slice){bytes, (size_t)sqlite3_value_bytes(value)};
}

struct slice column_slice(sqlite3_stmt *stmt, int column)
{
    static const char empty[] = "";
    int type = sqlite3_column_type(stmt, column);
    const void *bytes;

    if (type == SQLITE_NULL)
        return (struct slice){NULL, 0};
    bytes = type == SQLITE_BLOB ? sqlite3_column_blob(stmt, column)
                                : (const void *)sqlite3_column_text(stmt, column);
    /* SQLite gives NULL for a blob of no bytes; here that would mean "absent". */
    if (bytes == NULL)
        return (struct slice){empty, 0};
    return (struct slice){bytes, (size_t)sqlite3_column_bytes(stmt, column)};
}

void db_set_texts(struct db *db, const char *const *texts, size_t n)
{
    PRE(db->stmts == NULL);

    db->texts = texts;
    db->stmts = must_alloc(n * sizeof(*db->stmts));
    db->n_stmts = n;
}

sqlite3_stmt *db_prepare(const struct db *db, size_t index)
{
    PRE(index < db->n_stmts);

    /* On failure the place becomes NULL again. */
    (void)sqlite3_prepare_v3(db->handle, db->texts[index], -1, SQLITE_PREPARE_PERSISTENT,
                             &db->stmts[index], NULL);
    return db->stmts[index];
}

#define OPEN_FLAGS (SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE)

static bool db_configure(struct db *db, uint64_t cache_bytes, struct err *err)
{
    char pragma[64];

    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_limit(db->handle, SQLITE_LIMIT_WORKER_THREADS, 0);
    /* Negative: KiB. With mapped memory an I/O error would be a signal instead of a result code. */
    (void)snprintf(pragma, sizeof(pragma), "PRAGMA cache_size=-%llu",
                   (unsigned long long)(cache_bytes / 1024));
    return db_exec(db, pragma, err) && db_exec(db, "PRAGMA mmap_size=0", err) &&
           db_exec(db, "PRAGMA wal_autocheckpoint=0", err) &&
           db_exec(db, "PRAGMA cell_size_check=ON", err) &&
           db_exec(db, "PRAGMA temp_store=MEMORY", err);
}

/* Nobody else finds its VFS: the connection keeps the address. */
static int open_to_write(struct db *db, const char *path, struct gather_vfs *vfs)
{
    int rc;

    gather_vfs_init(vfs);
    rc = sqlite3_vfs_register(&vfs->vfs, 0);
    if (rc == SQLITE_OK)
        rc = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | OPEN_FLAGS,
                             GATHER_VFS_NAME);
    (void)sqlite3_vfs_unregister(&vfs->vfs);
    return rc;
}

bool db_open(struct db *db, const char *path, struct gather_vfs *vfs, uint64_t cache_bytes,
             struct err *err)
{
    int rc;

    *db = (struct db){0};
    rc = vfs != NULL ? open_to_write(db, path, vfs)
                     : sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READONLY | OPEN_FLAGS, NULL);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, path, err);
    return db_configure(db, cache_bytes, err);
}

void db_rest(const struct db *db)
{
    (void)sqlite3_db_release_memory(db->handle);
}

void db_close(struct db *db)
{
    for (size_t i = 0; i < db->n_stmts; i++)
        (void)sqlite3_finalize(db->stmts[i]);
    free(db->stmts);
    (void)sqlite3_close(db->handle);
    *db = (struct db){0};
}
