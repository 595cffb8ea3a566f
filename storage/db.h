/* SPDX-License-Identifier: MIT */
/* One SQLite connection and its statements: what the store and the readers have in common.
 * Owner: whoever opened it; used by one thread. */
#ifndef GANGER_STORAGE_DB_H
#define GANGER_STORAGE_DB_H

#include "service/base/buf.h"
#include "service/base/error.h"
#include "storage/gather_vfs.h"

#include <sqlite3.h>

struct db {
    sqlite3 *handle;
    const char *const *texts; /* of the statements; as many as there are */
    sqlite3_stmt **stmts;     /* NULL: not used yet */
    size_t n_stmts;
};

/* `vfs`: of a connection that writes, which it has to outlive; NULL: this one reads. Sets what both
 * kinds of connection want: a busy timeout, no mapped memory, no checkpoint but on demand, cell
 * checks, a schema that is not trusted. */
MUST_CHECK bool db_open(struct db *db, const char *path, struct gather_vfs *vfs,
                        uint64_t cache_bytes, struct err *err);
/* Gives the pages in memory back. Statements stay: together they are 75 KB. */
void db_rest(const struct db *db);
void db_close(struct db *db); /* accepts a zeroed or half-opened one */
/* The statements of this connection, which db_stmt gives by index. Each is prepared at its first
 * use: it takes 3 to 10 KB, and most of them belong to something that a service may never be asked
 * for. That every text can be prepared is shown by test_sql.c. */
void db_set_texts(struct db *db, const char *const *texts, size_t n);
/* NULL when there is no memory, or the schema cannot be read again: then binding does nothing and
 * the step fails. */
sqlite3_stmt *db_prepare(const struct db *db, size_t index);
static inline sqlite3_stmt *db_stmt(const struct db *db, size_t index)
{
    return db->stmts[index] != NULL ? db->stmts[index] : db_prepare(db, index);
}

/* For the few statements of the opening. */
MUST_CHECK bool db_exec(struct db *db, const char *sql, struct err *err);
MUST_CHECK bool db_query_i64(struct db *db, const char *sql, int64_t *ret, struct err *err);
/* One short word, cut to 15 characters. */
MUST_CHECK bool db_query_word(struct db *db, const char *sql, char ret[16], struct err *err);

/* An SQLite result code as an error; false. */
bool db_fail(const struct db *db, int rc, const char *what, struct err *err);
/* One step of a query: *ret_row tells whether there is a row. On failure the statement has been
 * reset. */
MUST_CHECK bool db_next(const struct db *db, sqlite3_stmt *stmt, bool *ret_row, struct err *err);

/* A statement that is left open pins the WAL, so every borrowed one goes back by itself at the end
 * of its scope. */
static inline void auto_stmt(sqlite3_stmt **stmt)
{
    if (*stmt != NULL)
        (void)sqlite3_reset(*stmt);
}
#define AUTO_STMT __attribute__((cleanup(auto_stmt)))

/* Binding: absent slices and zero times become NULL. Bytes are borrowed until the statement is
 * bound again, and read only while it is stepped. The return codes are not looked at: an index out
 * of range is found by test_sql.c, and a text that is too long or no memory leaves the parameter
 * unbound (NULL) only beyond SQLite's limit of 1 GB, which no body reaches. */
static inline void bind_i64(sqlite3_stmt *stmt, int index, int64_t value)
{
    (void)sqlite3_bind_int64(stmt, index, value);
}

static inline void bind_time(sqlite3_stmt *stmt, int index, int64_t us)
{
    if (us == 0)
        (void)sqlite3_bind_null(stmt, index);
    else
        (void)sqlite3_bind_int64(stmt, index, us);
}
static inline void bind_or_null(sqlite3_stmt *stmt, int index, bool is_there, int64_t value)
{
    if (is_there)
        bind_i64(stmt, index, value);
    else
        (void)sqlite3_bind_null(stmt, index);
}

void bind_text(sqlite3_stmt *stmt, int index, struct slice text);
void bind_blob(sqlite3_stmt *stmt, int index, struct slice bytes);

/* A column's bytes, valid until the statement is stepped or reset; ptr NULL for NULL. */
struct slice column_slice(sqlite3_stmt *stmt, int column);
struct slice value_slice(sqlite3_value *value); /* of an argument of an SQL function */

#endif
