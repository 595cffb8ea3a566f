/* SPDX-License-Identifier: MIT */
#include "storage/migrate.h"

#include "storage/row_pack.h"
#include "storage/schema.h"

/* steps[i] leads from version i to i + 1. A released step is never edited; a change is a new step.
 */
static const char *const steps[] = {
    storage_schema_sql,
    storage_schema_2_sql,
};
_Static_assert(ARRAY_LEN(steps) == SCHEMA_VERSION, "one step per version");

static bool step_apply(struct db *db, int64_t version, struct err *err)
{
    char pragmas[96];

    (void)snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   APPLICATION_ID, (int)version + 1);
    if (!db_exec(db, "BEGIN IMMEDIATE", err))
        return false;
    if (db_exec(db, steps[version], err) && db_exec(db, pragmas, err) && db_exec(db, "COMMIT", err))
        return true;
    if (sqlite3_get_autocommit(db->handle) == 0)
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return err_wrap(err, "bring jobs.db to schema %d", (int)version + 1);
}

bool migrate_schema(struct db *db, struct err *err)
{
    int64_t version, application, tables;

    if (!db_query_i64(db, "PRAGMA user_version", &version, err) ||
        !db_query_i64(db, "PRAGMA application_id", &application, err) ||
        !db_query_i64(db, "SELECT count(*) FROM sqlite_schema", &tables, err))
        return false;
    if (application != APPLICATION_ID && (tables > 0 || version != 0))
        return err_set(err, ERR_STORAGE,
                       "jobs.db is a database of another program. Choose another data directory.");
    if (version > SCHEMA_VERSION)
        return err_set(err, ERR_STORAGE,
                       "jobs.db has schema %d and this program knows %d: it was used by a newer "
                       "version. Start that"
                       " version, or choose another data directory.",
                       (int)version, SCHEMA_VERSION);
    if (version < SCHEMA_VERSION && !row_pack_migrates(db->handle))
        return db_fail(db, sqlite3_errcode(db->handle), "create a function", err);
    for (; version < SCHEMA_VERSION; version++) {
        if (!step_apply(db, version, err))
            return false;
    }
    return true;
}
