/* SPDX-License-Identifier: MIT */
/* depth [JOBS]
 *
 * A deep queue must cost disk, not memory nor time: with JOBS waiting jobs (100,000 unless told;
 * ./dev crash uses 1,000,000) the server's resident memory has grown by at most 64 MiB, the median
 * of a submission is at most 1.5 times that of an empty server (measured in turns on two servers),
 * and after kill -9 a new server is ready within 2 seconds. */
#include "integration/harness_job.h"
#include "integration/harness_proc.h"

#include <signal.h>

#define LINES_PER_REQUEST 20000
#define ROUNDS 12
#define BATCH 60

struct numbers {
    size_t n_jobs;
    double fill_s, empty_p50_ms, deep_p50_ms, restart_s;
    long empty_rss_kib, deep_rss_kib;
};

/* One worker, held for ever, so that what follows stays queued. */
static void hold_worker(struct server *s)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s'],'priority':100,'timeout':null}",
                                    hold.s);
    AUTO_RESPONSE r = job_await_state(s, job, "running");
}

static void fill(struct server *s, size_t n_jobs)
{
    static const char line[] =
        "{\"command\":[\"true\"],\"labels\":{\"depth\":\"x\"},\"metadata\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678\"}\n";
    const size_t len = sizeof(line) - 1;
    char *lines = need_alloc(LINES_PER_REQUEST * len);
    for (size_t i = 0; i < LINES_PER_REQUEST; i++)
        memcpy(lines + i * len, line, len);
    for (size_t sent = 0; sent < n_jobs;) {
        size_t n = n_jobs - sent < LINES_PER_REQUEST ? n_jobs - sent : LINES_PER_REQUEST;
        const char *headers[] = {"Content-Type: application/x-ndjson", NULL};
        struct call call = {.method = "POST",
                            .path = "/v1/jobs",
                            .body = lines,
                            .body_len = n * len,
                            .headers = headers};
        AUTO_RESPONSE r = http_send(s, &call);
        expect_status(r, 200);
        CHECK(strstr(r->body, "/problems/") == NULL, "a line was refused");
        sent += n;
    }
    free(lines);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure_batch(struct server *s, double *ret_ms)
{
    static const char body[] = "{\"command\":[\"true\"],\"delay\":\"1h\"}";
    struct call call = {
        .method = "POST", .path = "/v1/jobs", .body = body, .body_len = sizeof(body) - 1};
    for (size_t i = 0; i < BATCH; i++) {
        uint64_t start = now_ns();
        AUTO_RESPONSE r = http_send(s, &call);
        ret_ms[i] = seconds_since(start) * 1e3;
        expect_status(r, 202);
    }
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare_doubles);
    return values[n / 2];
}

/* In turns, so that both servers meet the same disturbances of the machine. */
static void measure_submissions(struct server *empty, struct server *deep, struct numbers *n)
{
    static double empty_ms[ROUNDS * BATCH], deep_ms[ROUNDS * BATCH];
    for (size_t i = 0; i < ROUNDS; i++) {
        measure_batch(empty, empty_ms + i * BATCH);
        measure_batch(deep, deep_ms + i * BATCH);
    }
    n->empty_p50_ms = median(empty_ms, ROUNDS * BATCH);
    n->deep_p50_ms = median(deep_ms, ROUNDS * BATCH);
}

/* Jobs in any state, by the counters that are kept with the rows. */
static size_t count_jobs(struct server *s)
{
    double sum = 0;
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    expect_status(r, 200);
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, json_find(r, "jobs")) sum += each->valuedouble;
    return (size_t)sum;
}

static void measure_restart(struct server *s, struct numbers *n)
{
    size_t before = count_jobs(s);
    CHECK(before > n->n_jobs, "%zu jobs are known, %zu were taken", before, n->n_jobs);
    server_kill(s);
    uint64_t start = now_ns();
    server_restart(s, NULL);
    n->restart_s = seconds_since(start);
    AUTO_RESPONSE r = http_get(s, "/readyz");
    expect_status(r, 200);
    CHECK(count_jobs(s) == before, "%zu jobs after the restart, %zu before", count_jobs(s), before);
}

static int report(const struct numbers *n)
{
    double grown_mib = (double)(n->deep_rss_kib - n->empty_rss_kib) / 1024;
    double ratio = n->deep_p50_ms / n->empty_p50_ms;
    bool rss_ok = grown_mib <= 64, ratio_ok = ratio <= 1.5,
         restart_ok = n->restart_s < 2 * slow_factor();
    printf("depth: %zu queued jobs in %.1f s (%.0f jobs/s)\n", n->n_jobs, n->fill_s,
           (double)n->n_jobs / n->fill_s);
    printf("depth: resident memory %.1f -> %.1f MiB, +%.1f MiB (goal <= 64): %s\n",
           (double)n->empty_rss_kib / 1024, (double)n->deep_rss_kib / 1024, grown_mib,
           rss_ok ? "reached" : "MISSED");
    printf("depth: submission p50 empty %.3f ms, deep %.3f ms, ratio %.2f (goal <= 1.5): %s\n",
           n->empty_p50_ms, n->deep_p50_ms, ratio, ratio_ok ? "reached" : "MISSED");
    printf("depth: kill -9 to ready %.2f s (goal < 2): %s\n", n->restart_s,
           restart_ok ? "reached" : "MISSED");
    int failed = !rss_ok + !ratio_ok + !restart_ok;
    printf("result: %d passed, %d failed\n", 3 - failed, failed);
    return failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct numbers n = {.n_jobs = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000};
    struct server_options options = {.workers = 1, .unchecked = true};
    struct server empty, deep;
    double warm_ms[BATCH];
    CHECK(n.n_jobs > 0, "usage: depth [JOBS]");
    server_start(&empty, &options);
    server_start(&deep, &options);
    hold_worker(&deep);
    measure_batch(&empty, warm_ms);
    measure_batch(&deep, warm_ms);
    n.empty_rss_kib = proc_rss_kib(deep.pid);
    uint64_t start = now_ns();
    fill(&deep, n.n_jobs);
    n.fill_s = seconds_since(start);
    measure_submissions(&empty, &deep, &n);
    n.deep_rss_kib = proc_rss_kib(deep.pid);
    measure_restart(&deep, &n);
    server_kill(&deep);
    server_forget(&deep);
    server_stop(&empty);
    return report(&n);
}
