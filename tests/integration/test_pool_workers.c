/* SPDX-License-Identifier: MIT */
/* Workers that come and go: growth on demand, idle ones that end, recycling, and workers that
 * cannot start. */
#include "integration/harness_batch.h"
#include "integration/harness_pool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------
 * growth and idle ends */

static int64_t pool_number(struct server *s, const char *place)
{
    AUTO_RESPONSE r = http_get(s, "/v1/pool");
    return json_int(r, place);
}

/* What a job has printed. */
static int64_t printed_number(struct server *s, struct job_ref job)
{
    AUTO_TEXT text = job_read(s, job, "stdout");
    return strtoll(text, NULL, 10);
}

/* As in CPython: three calls in sequence use one process. */
SERVER_TEST_WITH(pools, workers_start_only_when_no_idle_one_is_left, .workers = 4,
                 .args = {"--pool-min-workers", "0"})
{
    cr_assert_eq(workers_alive(s), 0);
    expect_pool_state(s, "open");
    int64_t pids[3];
    for (size_t i = 0; i < COUNT_OF(pids); i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','echo $PPID']}");
        pids[i] = printed_number(s, job_of(r));
    }
    cr_assert(pids[0] == pids[1] && pids[1] == pids[2]);
    cr_assert_eq(workers_alive(s), 1);
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    response_free(job_await_state(s, first, "running"));
    AUTO_RESPONSE beside = job_run(s, "{'command':['true']}"); /* not behind the long one */
    expect_outcome(beside, "succeeded", NULL);
    cr_assert_eq(workers_alive(s), 2);
    fifo_release(hold.s);
    response_free(job_await(s, first));
    AUTO_RESPONSE gang = http(s, "POST", "/v1/pipelines?wait=20",
                              "{'stages':[{'command':['echo','x']},{'command':['cat']},"
                              "{'command':['cat']},{'command':['cat']}]}",
                              NULL);
    expect_status(gang, 200); /* four stages want four workers at once */
    expect_text(gang, "state", "succeeded");
    cr_assert_eq(workers_alive(s), 4);
    cr_assert_eq(metric_of(s, "ganger_worker_starts_total"), 4);
}

SERVER_TEST_WITH(pools, idle_workers_end_down_to_the_minimum, .workers = 3,
                 .args = {"--pool-min-workers", "1", "--pool-idle", "100ms"})
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','sleep 0.05'],'items':[1,2,3,4,5,6]}");
    response_free(batch_await(s, batch));
    AWAIT(workers_alive(s) == 1, 10);
    AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    expect_outcome(r, "succeeded", NULL);
    pool_set(s, "{'min':0}");
    AWAIT(workers_alive(s) == 0, 10);
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
    AUTO_RESPONSE again = job_run(s, "{'command':['true']}");
    expect_outcome(again, "succeeded", NULL);
    pool_set(s, "{'min':2,'idle':null}");
    AWAIT(workers_alive(s) == 2, 10);
}

/* ------------------------------------------------------------------------------------------------
 * recycling */

/* gh-115634: with max_tasks_per_child, CPython's executor stops after the first worker's end. Here
 * the end of a worker is never an input to what runs next. */
SERVER_TEST_WITH(pools, complaint_recycling_does_not_stop_the_pool, .workers = 1,
                 .args = {"--pool-max-jobs-per-worker", "2"})
{
    enum { JOBS = 10 };
    struct job_ref jobs[JOBS];
    int64_t pids[JOBS];
    for (size_t i = 0; i < JOBS; i++)
        jobs[i] = job_submit(s, "{'command':['sh','-c','echo $PPID']}");
    for (size_t i = 0; i < JOBS; i++) {
        AUTO_RESPONSE r = job_await(s, jobs[i]);
        expect_outcome(r, "succeeded", NULL);
        expect_int(r, "attempt", 1);
        pids[i] = printed_number(s, jobs[i]);
    }
    for (size_t i = 0; i + 2 < JOBS; i++)
        cr_assert(pids[i] != pids[i + 2], "jobs %zu to %zu ran in one worker", i, i + 2);
    AWAIT(metric_of(s, "ganger_workers_replaced_total") == 5, 10);
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
    AWAIT(workers_alive(s) == 1, 10);
}

static const char registry[] = "[function misbehave]\n"
                               "kind = native\n"
                               "module = %s\n";

struct place {
    char dir[128], config[200], module[200];
};

static void write_file(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "cannot write %s", path);
    (void)close(fd);
}

/* A copy of the module, which may be taken away. */
static void put_module(const struct place *place)
{
    size_t len = 0;
    AUTO_TEXT bytes = file_read(GANGER_HELPER_DIR "/native_misbehave.so", &len);
    CHECK(bytes != NULL, "the module is not there");
    write_file(place->module, bytes, len);
}

static void place_make(struct place *place)
{
    temp_dir_make(place->dir, sizeof place->dir);
    (void)snprintf(place->config, sizeof place->config, "%s/ganger.conf", place->dir);
    (void)snprintf(place->module, sizeof place->module, "%s/module.so", place->dir);
    put_module(place);
    struct text text = text_of(registry, place->module);
    write_file(place->config, text.s, strlen(text.s));
}

#define MODULE_TEST(name, n)                                                        \
    static void pools_##name##_body(struct server *s, const struct place *place);   \
    PLAIN_TEST(pools, name)                                                         \
    {                                                                               \
        struct server server;                                                       \
        struct place place;                                                         \
        place_make(&place);                                                         \
        const struct server_options options = {.workers = (n),                      \
                                               .args = {"--config", place.config}}; \
        server_start(&server, &options);                                            \
        pools_##name##_body(&server, &place);                                       \
        server_stop(&server);                                                       \
        temp_dir_remove(place.dir);                                                 \
    }                                                                               \
    static void pools_##name##_body(struct server *s, const struct place *place)

static int64_t pid_of_call(struct server *s)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'misbehave','args':['pid']}");
    expect_outcome(r, "succeeded", NULL);
    AUTO_TEXT pid = job_read(s, job_of(r), "result");
    return strtoll(pid, NULL, 10);
}

/* "Workers grow until the machine swaps": one that has grown is replaced between two jobs. */
MODULE_TEST(complaint_a_worker_that_has_grown_is_replaced, 1)
{
    (void)place;
    int64_t small = pid_of_call(s), same = pid_of_call(s);
    cr_assert_eq(small, same);
    pool_set(s, "{'max_rss':'200MiB'}");
    AUTO_RESPONSE grown = job_run(s, "{'function':'misbehave','args':['keep']}");
    expect_outcome(grown, "succeeded", NULL);
    cr_assert(pid_of_call(s) != small);
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
}

/* ------------------------------------------------------------------------------------------------
 * workers that cannot start */

/* "A failing initializer respawns workers for ever, and the caller hangs": after three failures the
 * pool is broken and says why; what was accepted waits, and runs when it is mended. */
MODULE_TEST(complaint_workers_that_cannot_start_break_the_pool, 1)
{
    AWAIT(worker_pid(s, 0) > 0, 10);
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    response_free(job_await_state(s, first, "running"));
    struct job_ref waiting = job_submit(s, "{'function':'misbehave','args':['text']}");
    cr_assert_eq(unlink(place->module), 0);
    response_free(http(s, "POST", "/v1/workers/worker-0/terminate", NULL, NULL));
    AUTO_RESPONSE killed = job_await(s, first);
    expect_outcome(killed, "failed", "signal");
    AWAIT(pool_number(s, "start_failures") >= 3, 20);
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    expect_text(pool, "state", "broken");
    cr_assert_not_null(strstr(json_text(pool, "reason"), "cannot open shared object file"), "%s",
                       pool->body);
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_problem(refused, 409, "pool-broken");
    cr_assert_not_null(strstr(json_text(refused, "detail"), "misbehave"), "%s", refused->body);
    AUTO_RESPONSE told = http_get(s, "/v1/jobs/%s/explain", waiting.id);
    cr_assert_not_null(strstr(told->body, "cannot open shared object file"), "%s", told->body);
    cr_assert(metric_of(s, "ganger_worker_deaths_total") < 10, "it does not try without a pause");
    put_module(place);
    pool_verb(s, "reopen", NULL);
    AUTO_RESPONSE ran = job_await(s, waiting);
    expect_outcome(ran, "succeeded", NULL);
    expect_int(ran, "attempt", 1);
    AUTO_RESPONSE mended = http_get(s, "/v1/pool");
    expect_text(mended, "state", "open");
    expect_int(mended, "start_failures", 0);
    cr_assert(json_is_null(mended, "reason"));
    cr_assert(server_log_has(s, "pool broken") && server_log_has(s, "pool mended"));
}

/* A module that never returns from loading: here its file is a pipe that nobody writes to. */
MODULE_TEST(a_worker_that_does_not_become_ready_is_killed, 1)
{
    AWAIT(worker_pid(s, 0) > 0, 10);
    cr_assert_eq(unlink(place->module), 0);
    cr_assert_eq(mkfifo(place->module, 0600), 0);
    pool_set(s, "{'start_timeout':'50ms','start_failures':2}");
    response_free(http(s, "POST", "/v1/workers/worker-0/terminate", NULL, NULL));
    AWAIT(pool_number(s, "start_failures") >= 2, 20);
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    expect_text(pool, "state", "broken");
    cr_assert_not_null(strstr(json_text(pool, "reason"), "not ready within 0.05 s"), "%s",
                       pool->body);
    cr_assert_eq(unlink(place->module), 0);
    put_module(place);
    pool_set(s, "{'start_timeout':'20s'}");
    pool_verb(s, "reopen", NULL);
    AWAIT(worker_pid(s, 0) > 0 && pool_number(s, "idle") == 1, 10);
    AUTO_RESPONSE r = job_run(s, "{'function':'misbehave','args':['text']}");
    expect_outcome(r, "succeeded", NULL);
}

/* A worker that lives keeps the pool going, whatever becomes of the others. */
MODULE_TEST(a_pool_with_a_living_worker_is_not_broken, 2)
{
    AWAIT(pool_number(s, "idle") == 2, 10); /* both have loaded it */
    cr_assert_eq(unlink(place->module), 0);
    response_free(http(s, "POST", "/v1/workers/worker-1/terminate", NULL, NULL));
    AWAIT(pool_number(s, "start_failures") >= 3, 20);
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    expect_text(pool, "state", "open");
    cr_assert(!json_is_null(pool, "reason"));
    AUTO_RESPONSE r = job_run(s, "{'function':'misbehave','args':['text']}");
    expect_outcome(r, "succeeded", NULL);
    put_module(place);
}
