/* SPDX-License-Identifier: MIT */
/* sqlq: what SQLite gives a queue of jobs with two indexes and 200 bytes each (WAL). `insert`
 * counts rows; `life` counts jobs that were inserted, claimed and finished with a result row, each
 * of the three in a commit of its own. `pre` jobs wait in it before. usage: sqlq DIR full|normal
 * BATCH SECONDS PRE insert|life */
#define _GNU_SOURCE
#include "common.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_BATCH 100000

static const char tables[] =
    "CREATE TABLE jobs(id INTEGER PRIMARY KEY, queue TEXT NOT NULL, state INTEGER NOT NULL,"
    " priority INTEGER NOT NULL, payload TEXT NOT NULL, created INTEGER NOT NULL,"
    " started INTEGER, finished INTEGER, attempts INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX jobs_ready ON jobs(queue,state,priority,id);"
    "CREATE INDEX jobs_state_created ON jobs(state,created);"
    "CREATE TABLE results(id INTEGER PRIMARY KEY, exit INTEGER, result TEXT)";

struct queue {
    char path[4096];
    char payload[200];
    int64_t batch;
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *insert, *claim, *finish, *result;
    sqlite3_int64 ids[MAX_BATCH];
};

static void run(struct queue *q, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(q->db, sql, NULL, NULL, &message) != SQLITE_OK)
        die("%s: %s", sql, message);
}

static sqlite3_stmt *prepare(struct queue *q, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(q->db, sql, -1, &statement, NULL) != SQLITE_OK)
        die("%s: %s", sql, sqlite3_errmsg(q->db));
    return statement;
}

static void step(struct queue *q, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        die("sqlite: %s", sqlite3_errmsg(q->db));
    sqlite3_reset(statement);
}

static void remove_files(const struct queue *q)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
        char path[sizeof(q->path) + 8];
        snprintf(path, sizeof(path), "%s%s", q->path, suffixes[i]);
        unlink(path);
    }
}

static void open_queue(struct queue *q, const char *dir)
{
    snprintf(q->path, sizeof(q->path), "%s/sqlq.db", dir);
    remove_files(q);
    if (sqlite3_open(q->path, &q->db) != SQLITE_OK)
        die("open %s", q->path);
    run(q, "PRAGMA journal_mode=WAL");
    run(q, "PRAGMA synchronous=OFF");
    run(q, tables);
    memset(q->payload, 'a', sizeof(q->payload));
    q->begin = prepare(q, "BEGIN IMMEDIATE");
    q->commit = prepare(q, "COMMIT");
    q->insert = prepare(q, "INSERT INTO jobs(queue,state,priority,payload,created)"
                           " VALUES('default',0,5,?1,?2)");
    q->claim = prepare(
        q, "UPDATE jobs SET state=1, started=?1, attempts=attempts+1 WHERE id=(SELECT id"
           " FROM jobs WHERE queue='default' AND state=0 ORDER BY priority, id LIMIT 1)"
           " RETURNING id, payload");
    q->finish = prepare(q, "UPDATE jobs SET state=2, finished=?2 WHERE id=?1");
    q->result = prepare(q, "INSERT INTO results VALUES(?1,0,?2)");
    sqlite3_bind_text(q->insert, 1, q->payload, sizeof(q->payload), SQLITE_STATIC);
    sqlite3_bind_text(q->result, 2, q->payload, sizeof(q->payload) / 2, SQLITE_STATIC);
}

static void insert(struct queue *q, int64_t n, int64_t now)
{
    step(q, q->begin);
    for (int64_t i = 0; i < n; i++) {
        sqlite3_bind_int64(q->insert, 2, now + i);
        step(q, q->insert);
    }
    step(q, q->commit);
}

static void claim(struct queue *q, int64_t now)
{
    step(q, q->begin);
    for (int64_t i = 0; i < q->batch; i++) {
        sqlite3_bind_int64(q->claim, 1, now);
        if (sqlite3_step(q->claim) != SQLITE_ROW)
            die("claim: %s", sqlite3_errmsg(q->db));
        q->ids[i] = sqlite3_column_int64(q->claim, 0);
        step(q, q->claim);
    }
    step(q, q->commit);
}

static void finish(struct queue *q, int64_t now)
{
    step(q, q->begin);
    for (int64_t i = 0; i < q->batch; i++) {
        sqlite3_bind_int64(q->finish, 1, q->ids[i]);
        sqlite3_bind_int64(q->finish, 2, now);
        step(q, q->finish);
        sqlite3_bind_int64(q->result, 1, q->ids[i]);
        step(q, q->result);
    }
    step(q, q->commit);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        die("usage: sqlq DIR full|normal BATCH SECONDS PRE insert|life");
    struct queue *q = must_alloc(sizeof(*q));
    const char *sync = argv[2];
    uint64_t span_ns = (uint64_t)(seconds_of(argv[4]) * 1e9);
    int64_t pre = number_of(argv[5], 0, INT64_C(100000000));
    bool is_life = strcmp(argv[6], "life") == 0;
    q->batch = number_of(argv[3], 1, MAX_BATCH);
    open_queue(q, argv[1]);
    insert(q, pre, 0);
    run(q, "PRAGMA wal_checkpoint(TRUNCATE)");
    run(q, strcmp(sync, "full") == 0 ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    int64_t n = 0;
    uint64_t begun = now_ns(), took;
    do {
        insert(q, q->batch, n);
        if (is_life) {
            claim(q, n);
            finish(q, n);
        }
        n += q->batch;
        took = now_ns() - begun;
    } while (took < span_ns);
    printf("sqlite_%s_%s_batch%lld_pre%lld: %.0f %s/s\n", is_life ? "life" : "insert", sync,
           (long long)q->batch, (long long)pre, (double)n / ((double)took / 1e9),
           is_life ? "jobs" : "rows");
    sqlite3_close(q->db);
    remove_files(q);
    free(q);
    return 0;
}
