/* SPDX-License-Identifier: MIT */
/* batch [--items N] [--kills N] [--seed N]
 *
 * A batch outlives kill -9 of its server at any moment: while its elements run, with max_parallel
 * holding others back, in chunks, and while it is cancelled. Afterwards every element has ended
 * exactly once: the order of ends names each of them one time, and the counts say the same. */
#include "crash/random.h"
#include "integration/harness_batch.h"

#include <sqlite3.h>

struct plan {
    int items, kills;
    struct dice dice;
    int n_wrong;
};

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    CHECK(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql,
          sqlite3_errmsg(db));
    CHECK(sqlite3_step(stmt) == SQLITE_ROW, "%s: no row", sql);
    int64_t n = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return n;
}

static void want(struct plan *p, sqlite3 *db, int64_t number, const char *sql)
{
    int64_t n = ask(db, sql);
    if (n == number)
        return;
    printf("violation: %lld instead of %lld: %s\n", (long long)n, (long long)number, sql);
    p->n_wrong++;
}

/* The server is dead; its file tells. */
static void check_file(struct plan *p, const struct server *s, int64_t n_batches)
{
    sqlite3 *db = NULL;
    struct text path = text_of("%s/jobs.db", s->dir);
    int64_t n = n_batches * p->items;
    CHECK(sqlite3_open_v2(path.s, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, "open %s",
          path.s);
    want(p, db, n, "SELECT sum(n) FROM ends");
    want(p, db, n,
         "SELECT count(DISTINCT j.no) FROM ends e JOIN jobs j ON j.no >= e.no AND j.no < e.no + "
         "e.n");
    want(p, db, n,
         "SELECT count(*) FROM ends e JOIN jobs j ON j.no >= e.no AND j.no < e.no + e.n"
         " WHERE j.state > 4 AND j.version = e.version AND j.batch = e.batch");
    want(p, db, n, "SELECT count(DISTINCT batch * 1000000 + idx) FROM jobs");
    want(p, db, 0,
         "SELECT count(*) FROM (SELECT max(seq) - sum(n) AS gap FROM ends GROUP BY batch)"
         " WHERE gap <> 0");
    want(p, db, n, "SELECT sum(succeeded + failed + cancelled) FROM batches");
    want(p, db, 0,
         "SELECT count(*) FROM batches b WHERE finished_us IS NULL OR gated <> 0 OR work <> 0 OR"
         " succeeded <> (SELECT count(*) FROM jobs WHERE batch = b.no AND state = 5)");
    want(p, db, 0, "SELECT count(*) FROM jobs WHERE attempt > 1");
    (void)sqlite3_close(db);
}

static struct job_ref submit(struct server *s, const struct plan *p, const char *limits)
{
    struct text_builder b = {0};
    text_add(&b, "{\"command\":[\"true\",\"{}\"]%s,\"items\":[0", limits);
    for (int i = 1; i < p->items; i++)
        text_add(&b, ",%d", i);
    text_add(&b, "]}");
    struct call call = {.method = "POST", .path = "/v1/batches", .body = b.text, .body_len = b.len};
    AUTO_RESPONSE r = http_send(s, &call);
    expect_status(r, 202);
    text_free(&b);
    return job_of(r);
}

static void kill_after(struct server *s, struct plan *p, int max_ms)
{
    pause_ms((int)dice_below(&p->dice, (uint32_t)max_ms));
    server_kill(s);
    server_restart(s, NULL);
}

static void await_end(struct server *s, struct job_ref batch)
{
    AUTO_RESPONSE r = batch_await(s, batch);
    printf("batch: %s, %lld succeeded, %lld failed, %lld cancelled\n", json_text(r, "state"),
           (long long)json_int(r, "counts.succeeded"), (long long)json_int(r, "counts.failed"),
           (long long)json_int(r, "counts.cancelled"));
}

static void scenario(struct server *s, struct plan *p)
{
    struct job_ref first = submit(s, p, ""), second = submit(s, p, ",\"max_parallel\":3");
    struct job_ref chunks = submit(s, p, ",\"chunksize\":25");
    for (int i = 0; i < p->kills; i++)
        kill_after(s, p, 300);
    await_end(s, first);
    await_end(s, second);
    await_end(s, chunks);
    struct job_ref third = submit(s, p, ",\"delay\":\"1h\"");
    AUTO_RESPONSE r = batch_post(s, third, "cancel", NULL);
    expect_int(r, "cancelled", p->items);
    kill_after(s, p, 20);
    await_end(s, third);
}

static void read_args(struct plan *p, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        int n = (int)strtol(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--items") == 0)
            p->items = n;
        else if (strcmp(argv[i], "--kills") == 0)
            p->kills = n;
        else if (strcmp(argv[i], "--seed") == 0)
            p->dice.state = (uint64_t)n;
    }
}

int main(int argc, char **argv)
{
    struct plan p = {.items = 2000, .kills = 6, .dice = {now_ns()}};
    struct server s;
    read_args(&p, argc, argv);
    printf("batch: seed %llu\n", (unsigned long long)p.dice.state);
    server_start(&s, NULL);
    scenario(&s, &p);
    server_kill(&s);
    check_file(&p, &s, 4);
    server_forget(&s);
    printf("result: %d passed, %d failed\n", p.n_wrong == 0, p.n_wrong != 0);
    return p.n_wrong == 0 ? 0 : 1;
}
