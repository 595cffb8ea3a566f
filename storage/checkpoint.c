/* SPDX-License-Identifier: MIT */
/* When the log is written back into the database file. On the writing connection only: SQLite up
 * to 3.51.2 has a race between a checkpoint of one connection and a commit of another one. */
#include "storage/store_impl.h"

#define FRESH_BYTES ((uint64_t)4 << 20) /* of new log since the last one */
#define RESTART_BYTES                                                                            \
    ((uint64_t)32 << 20) /* readers have kept the log from starting over: wait for them, but not \
                            for long */
#define RESTART_WAIT_MS 50
#define BUSY_TIMEOUT_MS 5000

uint64_t store_wal_bytes(const struct store *store)
{
    return store->wal_bytes;
}

static int restart(struct store *store)
{
    (void)sqlite3_busy_timeout(store->db.handle, RESTART_WAIT_MS);
    return sqlite3_wal_checkpoint_v2(store->db.handle, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
}

bool store_maintain(struct store *store)
{
    uint64_t fresh = store->wal_bytes - store->checkpointed_bytes;
    int rc;

    PRE(!store_in_transaction(store));

    if (fresh < FRESH_BYTES)
        return false;
    (void)FAULT("store-in-checkpoint");
    rc = store->wal_bytes >= RESTART_BYTES ? restart(store)
                                           : gather_vfs_checkpoint(store->db.handle);
    (void)sqlite3_busy_timeout(store->db.handle, BUSY_TIMEOUT_MS);
    store->checkpointed_bytes = store->wal_bytes;
    /* A failed checkpoint loses nothing, the log keeps everything; a full disk shows up here first,
     * though. */
    if ((rc & 0xff) == SQLITE_FULL)
        ballast_drop(&store->ballast);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY && store->log != NULL)
        log_event(store->log, LOG_WARN, "checkpoint failed",
                  LOG_STR("error", sqlite3_errmsg(store->db.handle)),
                  LOG_INT("wal_bytes", store->wal_bytes));
    return true;
}
