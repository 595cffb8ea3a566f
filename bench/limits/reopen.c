/* SPDX-License-Identifier: MIT */
/* reopen: the floor of crash recovery. A child loads ROWS, checkpoints, adds WAL_ROWS
 * (synchronous=FULL, no checkpoint) and is killed; the parent times open and first claim. usage:
 * reopen DIR ROWS WAL_ROWS */
#include "common.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS_PER_COMMIT 1000

static void run(sqlite3 *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        die("%s: %s", sql, message);
}

static void insert_rows(sqlite3 *db, sqlite3_stmt *insert, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++) {
        if (i % ROWS_PER_COMMIT == 0)
            run(db, "BEGIN");
        if (sqlite3_step(insert) != SQLITE_DONE)
            die("insert: %s", sqlite3_errmsg(db));
        sqlite3_reset(insert);
        if (i % ROWS_PER_COMMIT == ROWS_PER_COMMIT - 1 || i == rows - 1)
            run(db, "COMMIT");
    }
}

NORETURN static void load_and_die(const char *path, int64_t rows, int64_t wal_rows)
{
    sqlite3 *db;
    sqlite3_stmt *insert;
    char payload[200];
    memset(payload, 'a', sizeof(payload));
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die("open %s", path);
    run(db, "PRAGMA journal_mode=WAL");
    run(db, "PRAGMA synchronous=OFF");
    run(db, "CREATE TABLE jobs(id INTEGER PRIMARY KEY, queue TEXT, state INTEGER, priority "
            "INTEGER, payload TEXT,"
            " created INTEGER)");
    run(db, "CREATE INDEX r ON jobs(queue,state,priority,id)");
    if (sqlite3_prepare_v2(db,
                           "INSERT INTO jobs(queue,state,priority,payload,created)"
                           " VALUES('default',0,5,?1,1)",
                           -1, &insert, NULL) != SQLITE_OK)
        die("prepare: %s", sqlite3_errmsg(db));
    sqlite3_bind_text(insert, 1, payload, sizeof(payload), SQLITE_STATIC);
    insert_rows(db, insert, rows);
    run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    run(db, "PRAGMA wal_autocheckpoint=0");
    run(db, "PRAGMA synchronous=FULL");
    insert_rows(db, insert, wal_rows);
    kill(getpid(), SIGKILL);
    _exit(1);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage: reopen DIR ROWS WAL_ROWS");
    int64_t rows = number_of(argv[2], 1, INT32_MAX);
    int64_t wal_rows = number_of(argv[3], 0, INT32_MAX);
    char path[4096];
    char wal[4104];
    char shm[4104];
    snprintf(path, sizeof(path), "%s/re.db", argv[1]);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    snprintf(shm, sizeof(shm), "%s-shm", path);
    unlink(path);
    unlink(wal);
    unlink(shm);

    pid_t child = fork();
    if (child == 0)
        load_and_die(path, rows, wal_rows);
    waitpid(child, NULL, 0);
    struct stat wal_stat;
    if (stat(wal, &wal_stat) != 0)
        die("%s", wal);

    sqlite3 *db;
    uint64_t start_ns = now_ns();
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die("open %s", path);
    run(db, "PRAGMA synchronous=FULL");
    run(db, "UPDATE jobs SET state=1 WHERE id="
            "(SELECT id FROM jobs WHERE queue='default' AND state=0 ORDER BY priority,id LIMIT 1)");
    uint64_t took_ns = now_ns() - start_ns;
    printf("reopen_rows%lld_walrows%lld: %.1f ms to first claim  wal: %lld bytes\n",
           (long long)rows, (long long)wal_rows, (double)took_ns / 1e6,
           (long long)wal_stat.st_size);
    sqlite3_close(db);
    unlink(path);
    unlink(wal);
    unlink(shm);
    return 0;
}
