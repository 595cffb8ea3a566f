/* SPDX-License-Identifier: MIT */
/* Waiting for many jobs: POST /v1/wait with the meaning of concurrent.futures.wait, and how many
 * can wait. */
#include "integration/harness_test.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct response *wait_for(struct server *s, const char *ids, const char *when, int seconds)
{
    return http(s, "POST", "/v1/wait", text_of("{'jobs':[%s],'return_when':'%s'}", ids, when).s,
                text_of("Prefer: wait=%d", seconds).s, NULL);
}

static int size_of(struct response *r, const char *path)
{
    return cJSON_GetArraySize(json_find(r, path));
}

static bool has_id(struct response *r, const char *path, struct job_ref job)
{
    const cJSON *list = json_find(r, path), *item;
    cJSON_ArrayForEach(item, list)
    {
        if (strcmp(cJSON_GetStringValue(item), job.id) == 0)
            return true;
    }
    return false;
}

SERVER_TEST(wait, a_time_out_is_an_answer_like_any_other)
{
    AUTO_RESPONSE ended = job_run(s, "{'command':['true']}");
    struct job_ref jobs[] = {job_of(ended), job_submit(s, "{'command':['true'],'delay':'1h'}")};
    uint64_t start = now_ns();
    AUTO_RESPONSE r = wait_for(s, job_ids(jobs, 2).s, "ALL_COMPLETED", 1);
    expect_status(r, 200);
    cr_assert(seconds_since(start) >= 0.9, "it did not wait");
    expect_header(r, "Preference-Applied", "wait=1");
    cr_assert(has_id(r, "done", jobs[0]) && has_id(r, "not_done", jobs[1]));
    cr_assert_eq(size_of(r, "done"), 1);
    cr_assert_eq(size_of(r, "not_done"), 1);
    AUTO_RESPONSE at_once = wait_for(s, job_ids(jobs, 2).s, "FIRST_COMPLETED", 50);
    cr_assert_eq(size_of(at_once, "done"), 1);
    AUTO_RESPONSE no_wait = http(s, "POST", "/v1/wait",
                                 text_of("{'jobs':[%s]}", job_ids(jobs, 2).s).s, NULL);
    cr_assert_eq(size_of(no_wait, "not_done"), 1);
}

SERVER_TEST(wait, all_first_and_first_exception)
{
    struct text hold[3] = {fifo_make(s, "0"), fifo_make(s, "1"), fifo_make(s, "2")};
    static const char *const codes[] = {"0", "3", "0"};
    static const struct {
        const char *when;
        int release; /* how many are let go before it comes back */
    } rows[] = {{"FIRST_COMPLETED", 1}, {"FIRST_EXCEPTION", 2}, {"ALL_COMPLETED", 3}};
    struct job_ref jobs[3];
    struct conn *c[3];
    for (int i = 0; i < 3; i++)
        jobs[i] = job_submit(s, "{'command':['sh','-c','cat %s; exit %s'],'queue':'q%d'}",
                             hold[i].s, codes[i], i);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_TEXT body = json_of("{'jobs':[%s],'return_when':'%s'}", job_ids(jobs, 3).s,
                                 rows[i].when);
        c[i] = conn_open(s);
        conn_request(c[i], s, "POST /v1/wait", "Prefer: wait=50\r\n", body);
    }
    for (int released = 0; released < 3; released++) {
        fifo_release(hold[released].s);
        AUTO_RESPONSE end = job_await(s, jobs[released]);
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            if (rows[i].release == released + 1)
                cr_assert(conn_await_end(c[i], 20), "%s does not come back", rows[i].when);
            else if (rows[i].release > released + 1)
                cr_assert_not(conn_await_bytes(c[i], 1, 0.2), "%s comes back early", rows[i].when);
        }
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_assert_eq(c[i]->status, 200);
        int done = 0;
        for (int k = 0; k < 3; k++)
            done += strstr(c[i]->body, jobs[k].id) < strstr(c[i]->body, "not_done") ? 1 : 0;
        cr_assert_eq(done, rows[i].release, "%s: %s", rows[i].when, c[i]->body);
        conn_close(c[i]);
    }
}

SERVER_TEST(wait, cancelled_is_completed_but_no_exception)
{
    struct job_ref jobs[] = {job_submit(s, "{'command':['true'],'delay':'1h'}"),
                             job_submit(s, "{'command':['true'],'delay':'1h'}")};
    AUTO_RESPONSE cancelled = job_cancel(s, jobs[0], NULL, 5);
    expect_status(cancelled, 200);
    AUTO_RESPONSE exception = wait_for(s, job_ids(jobs, 2).s, "FIRST_EXCEPTION", 1);
    cr_assert_eq(size_of(exception, "not_done"), 1);
    AUTO_RESPONSE completed = wait_for(s, job_ids(jobs, 2).s, "FIRST_COMPLETED", 50);
    cr_assert(has_id(completed, "done", jobs[0]));
    AUTO_RESPONSE also = job_cancel(s, jobs[1], NULL, 5);
    AUTO_RESPONSE all = wait_for(s, job_ids(jobs, 2).s, "FIRST_EXCEPTION", 50);
    cr_assert_eq(size_of(all, "done"), 2, "without an exception it is ALL_COMPLETED");
}

SERVER_TEST(wait, duplicates_are_folded_and_nothing_is_fine)
{
    AUTO_RESPONSE ended = job_run(s, "{'command':['true']}");
    struct job_ref jobs[] = {job_of(ended), job_of(ended), job_of(ended)};
    AUTO_RESPONSE r = wait_for(s, job_ids(jobs, 3).s, "ALL_COMPLETED", 50);
    cr_assert_eq(size_of(r, "done"), 1);
    AUTO_RESPONSE none = wait_for(s, "", "FIRST_COMPLETED", 50);
    expect_status(none, 200);
    cr_assert_eq(size_of(none, "done") + size_of(none, "not_done"), 0);
}

SERVER_TEST(wait, what_cannot_be_waited_for_is_named)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    static const char *const unknown[] = {"01890000-0000-7000-8000-000000000000", "nonsense", ""};
    static const char *const routes[] = {"/v1/wait", "/v1/as-completed"};
    for (size_t i = 0; i < COUNT_OF(unknown) * COUNT_OF(routes); i++) {
        const char *id = unknown[i / 2];
        AUTO_RESPONSE r = http(s, "POST", routes[i % 2],
                               text_of("{'jobs':['%s','%s']}", job.id, id).s, NULL);
        expect_problem(r, 404, "not-found");
        cr_assert(strstr(json_text(r, "detail"), id) != NULL, "%s", json_text(r, "detail"));
        cr_assert(strstr(json_text(r, "detail"), "/jobs/1") != NULL);
    }
    AUTO_RESPONSE type = http(s, "POST", "/v1/wait", "{'jobs':[7]}", NULL);
    expect_invalid(type, "/jobs/0");
    AUTO_RESPONSE when = http(s, "POST", "/v1/wait", "{'jobs':[],'return_when':'SOON'}", NULL);
    expect_invalid(when, "/return_when");
    AUTO_RESPONSE missing = http(s, "POST", "/v1/wait", "{}", NULL);
    expect_invalid(missing, "/jobs");
    AUTO_RESPONSE typo = http(s, "POST", "/v1/as-completed", "{'jobs':[],'time-out':1}", NULL);
    expect_invalid(typo, "/time-out");
}

/* Text that grows; the tests below name thousands of jobs. */
struct long_text {
    char *s;
    size_t len, cap;
};

static void append(struct long_text *t, const char *text)
{
    size_t len = strlen(text);
    if (t->len + len >= t->cap)
        t->s = need_realloc(t->s, t->cap = 2 * (t->len + len) + 64);
    memcpy(t->s + t->len, text, len + 1);
    t->len += len;
}

/* {"jobs":[ids of all lines],…} */
static void append_ids(struct long_text *t, const char *lines)
{
    const char *comma = "{\"jobs\":[";
    for (const char *id; (id = strstr(lines, "\"id\":\"")) != NULL; comma = ",") {
        append(t, text_of("%s\"%.36s\"", comma, id + 6).s);
        lines = strchr(id, '\n');
    }
    append(t, "]");
}

static int succeeded_in(const char *body)
{
    int n = 0;
    for (const char *p = body; (p = strstr(p, "\"state\":\"succeeded\"")) != NULL; p++)
        n++;
    return n;
}

/* Ten thousand in one request; each is told once, whether it ends before that or meanwhile. */
SERVER_TEST(wait, ten_thousand_at_once)
{
    enum { JOBS = 10000 };
    struct long_text lines = {0}, body = {0}, with_timeout = {0}, without = {0};
    for (int i = 0; i < JOBS; i++)
        append(&lines, i % 100 == 0 ? "{\"command\":[\"true\"]}\n"
                                    : "{\"command\":[\"true\"],\"delay\":\"1h\"}\n");
    AUTO_RESPONSE submitted = http(s, "POST", "/v1/jobs", lines.s,
                                   "Content-Type: application/x-ndjson", NULL);
    expect_status(submitted, 200);
    append_ids(&body, submitted->body);
    append(&with_timeout, body.s);
    append(&with_timeout, ",\"timeout\":0.05}");
    append(&without, body.s);
    append(&without, "}");
    AUTO_CONN live = conn_open(s);
    cr_assert(conn_request(live, s, "POST /v1/as-completed", "", without.s));
    cr_assert(conn_await_text(live, "{\"seq\":100,", 20), "%s", live->body);
    cr_assert_eq(succeeded_in(live->body), JOBS / 100);
    AUTO_RESPONSE stream = http(s, "POST", "/v1/as-completed", with_timeout.s, NULL);
    expect_status(stream, 200);
    cr_assert_eq(succeeded_in(stream->body), JOBS / 100);
    cr_assert_not_null(strstr(stream->body, "{\"timeout\":true,\"unfinished\":9900,\"of\":10000}"));
    AUTO_RESPONSE waited = http(s, "POST", "/v1/wait", without.s, "Prefer: wait=1", NULL);
    expect_status(waited, 200);
    cr_assert_eq(size_of(waited, "done"), JOBS / 100);
    body.len--;
    append(&body, ",\"x\"]}");
    AUTO_RESPONSE too_many = http(s, "POST", "/v1/wait", body.s, NULL);
    expect_invalid(too_many, "/jobs");
    free(lines.s);
    free(body.s);
    free(with_timeout.s);
    free(without.s);
}

/* Room for that many connections, here and in the server, which inherits it. */
static bool raise_files(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur >= wanted)
        return true;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted;
}

/* What the machine has given to the server, in seconds; unlike the time that has passed it says
 * something on a busy machine as well. */
static double cpu_of(const struct server *s)
{
    clockid_t clock;
    struct timespec used;
    CHECK(clock_getcpuclockid(s->pid, &clock) == 0 && clock_gettime(clock, &used) == 0,
          "the server has no clock");
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* And what it has not given: how long the threads of a process had to wait for a processor. */
static double starved_of(pid_t pid)
{
    double sum = 0;
    DIR *tasks = opendir(text_of("/proc/%d/task", (int)pid).s);
    for (const struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        AUTO_TEXT stat = file_read(text_of("/proc/%d/task/%s/schedstat", (int)pid, task->d_name).s,
                                   NULL);
        const char *second = stat == NULL ? NULL : strchr(stat, ' ');
        sum += second == NULL ? 0 : strtod(second, NULL) / 1e9;
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    return sum;
}

/* What single submissions cost the server. None of them is news for anybody who waits. */
static double submissions_cost(struct server *s)
{
    const double woken = metric_of(s, "ganger_waiter_wakeups_total");
    const double before = cpu_of(s);
    for (int i = 0; i < 100; i++)
        (void)job_submit(s, "{'command':['true'],'delay':'1h'}");
    const double cost = cpu_of(s) - before;
    cr_assert_eq(metric_of(s, "ganger_waiter_wakeups_total"), woken);
    return cost;
}

/* A coarse bound, for what walks through all waiters at each commit; ./dev bench P9 measures it.
 * The machine may be busy with other things: one quiet moment is enough. */
static void expect_no_burden(struct server *s, double alone)
{
    double beside = submissions_cost(s);
    for (int again = 0; again < 5 && beside >= 3 * alone; again++)
        beside = submissions_cost(s);
    cr_assert(beside < 3 * alone, "%.0f ms instead of %.0f ms", beside * 1e3, alone * 1e3);
}

/* Each waits in one of the three ways; one commit answers them all, and until then nobody else
 * notices them. */
PLAIN_TEST(wait, five_thousand_waiters_on_one_job_are_answered_within_a_second)
{
    enum { WAITERS = 5000 };
    /* However long it takes until all of them wait, none is woken by a time. */
    static const struct server_options options = {
        .args = {"--http-heartbeat", "1h", "--http-max-wait", "1h"}};
    struct server server, *s = &server;
    if (!raise_files(WAITERS + 512))
        cr_skip_test("too few file descriptors: 5,000 waiters are NOT tested");
    server_start(s, &options);
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct text body = text_of("{'jobs':['%s']}", job.id);
    struct conn **c = need_alloc(WAITERS * sizeof(struct conn *));
    const double alone = submissions_cost(s);
    for (int i = 0; i < WAITERS; i++) {
        c[i] = conn_open(s);
        if (i % 3 == 0)
            conn_request(c[i], s, text_of("GET /v1/jobs/%s", job.id).s, "Prefer: wait=600\r\n",
                         NULL);
        else
            conn_request(c[i], s, i % 3 == 1 ? "POST /v1/wait" : "POST /v1/as-completed",
                         "Prefer: wait=600\r\n", body.s);
    }
    uint64_t until = deadline_in(40);
    for (int64_t parked = 0; parked < WAITERS;) {
        AUTO_RESPONSE stats = http_get(s, "/v1/stats");
        parked = json_int(stats, "parked");
        cr_assert_not(deadline_passed(until), "only %d are parked", (int)parked);
    }
    expect_no_burden(s, alone);
    const double starved = starved_of(s->pid) + starved_of(getpid());
    fifo_release(hold.s);
    uint64_t start = now_ns();
    int answered = 0;
    for (int i = 0; i < WAITERS; i++)
        answered += conn_await_end(c[i], 10) && c[i]->status == 200 ? 1 : 0;
    const double took = seconds_since(start) -
                        (starved_of(s->pid) + starved_of(getpid()) - starved);
    for (int i = 0; i < WAITERS; i++)
        conn_close(c[i]);
    free(c);
    cr_assert_eq(answered, WAITERS);
    cr_assert(took < 1 * slow_factor(), "it took %.2f s", took);
    server_stop(s);
}
