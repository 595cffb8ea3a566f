/* SPDX-License-Identifier: MIT */
/* The server, a worker or a commit fails at a named point: nothing acknowledged is lost, no job is
 * doubled, and what is not known is called unknown. Needs a build with fault points, as all but the
 * release build are. */
#include "integration/harness_schema.h"
#include "integration/harness_test.h"

enum { JOBS = 24 };

static const struct {
    const char *fault;
    bool of_server; /* the server dies of it; else a worker does, again and again */
    int padding;    /* bytes of metadata, to make the log of the store grow */
} deaths[] = {
    {"store-before-commit:kill:5", true, 0}, {"store-after-commit:kill:5", true, 0},
    {"engine-after-commit:kill:5", true, 0}, {"engine-before-answers:kill:5", true, 0},
    {"pool-after-start:kill:4", true, 0},    {"store-in-checkpoint:kill:1", true, 400000},
    {"worker-after-exec:kill:4", false, 0},  {"worker-before-done:kill:4", false, 0},
};

struct faulty {
    struct server server;
    struct job_ref acked[JOBS];
    size_t n_acked;
    int padding;
    bool died;
};

static struct response *submit_numbered(struct faulty *f, size_t i)
{
    AUTO_TEXT padding = need_alloc((size_t)f->padding + 1);
    memset(padding, 'p', (size_t)f->padding);
    AUTO_TEXT body = json_of("{'command':['echo','%zu'],'name':'n%zu','metadata':'%s'}", i, i,
                             padding);
    struct text key = text_of("Idempotency-Key: %zu", i);
    const char *headers[] = {key.s, NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = body,
                        .body_len = strlen(body),
                        .headers = headers};
    return http_try(&f->server, &call);
}

/* Submits until all are in or the server is gone; returns the number of the next one. */
static size_t submit_from(struct faulty *f, size_t first)
{
    for (size_t i = first; i < JOBS; i++) {
        AUTO_RESPONSE r = submit_numbered(f, i);
        if (r == NULL)
            return i;
        expect_status(r, 202);
        f->acked[f->n_acked++] = job_of(r);
    }
    return JOBS;
}

/* Lost are those that ran while nobody could record it; all others succeeded, with the right
 * output. */
static void await_all(struct faulty *f, size_t *ret_lost)
{
    *ret_lost = 0;
    for (size_t i = 0; i < f->n_acked; i++) {
        AUTO_RESPONSE r = job_await(&f->server, f->acked[i]);
        if (strcmp(json_text(r, "state"), "succeeded") == 0) {
            expect_output(&f->server, f->acked[i], "stdout",
                          text_of("%s\n", json_text(r, "name") + 1).s);
            continue;
        }
        expect_outcome(r, "failed", "lost");
        expect_int(r, "attempt", 1);
        (*ret_lost)++;
    }
}

static void check_each_once(struct faulty *f)
{
    for (size_t i = 0; i < JOBS; i++) {
        AUTO_RESPONSE r = http_get(&f->server, "/v1/jobs?name=n%zu", i);
        CHECK(cJSON_GetArraySize(json_find(r, "items")) == 1, "job %zu exists %d times", i,
              cJSON_GetArraySize(json_find(r, "items")));
    }
}

static void die_and_recover(size_t row)
{
    struct faulty f = {.padding = deaths[row].padding};
    size_t lost = 0;
    char fault[80];
    (void)snprintf(fault, sizeof(fault), "GANGER_FP=%s", deaths[row].fault);
    struct server_options options = {.workers = 2, .unchecked = true, .env = {fault}},
                          healthy = {.workers = 2};
    server_start(&f.server, &options);
    size_t next = submit_from(&f, 0);
    if (deaths[row].of_server) {
        int code = server_wait_exit(&f.server, 20);
        CHECK(code == 137, "%s: the server ended with code %d after %zu jobs", deaths[row].fault,
              code, next);
        server_restart(&f.server, &healthy);
        cr_assert_eq(submit_from(&f, next), JOBS, "%s: the server ended again", deaths[row].fault);
    }
    await_all(&f, &lost);
    CHECK(deaths[row].of_server || lost > 0, "%s: no worker died", deaths[row].fault);
    CHECK(lost <= JOBS / 2, "%s: %zu jobs are lost", deaths[row].fault, lost);
    check_each_once(&f);
    server_kill(&f.server);
    server_forget(&f.server);
}

PLAIN_TEST(restart, a_death_at_any_named_point_loses_nothing)
{
    SKIP_WITHOUT_FAULTS();
    for (size_t i = 0; i < COUNT_OF(deaths); i++)
        die_and_recover(i);
}

/* A commit that finds the disk full stores nothing and says so; the next one goes through. */
SERVER_TEST_WITH(restart, a_commit_that_finds_the_disk_full_is_refused,
                 .env = {"GANGER_FP=store-commit-full:error:4"})
{
    (void)schema_document(s); /* as long as it answers */
    size_t accepted = 0, refused = 0;
    uint64_t until = deadline_in(20);
    while (refused == 0 || accepted < 10) {
        cr_assert_not(deadline_passed(until), "%zu accepted, %zu refused", accepted, refused);
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'1h'}", NULL);
        if (r->status != 202) { /* after the first refusal the store is left alone for a moment */
            expect_problem(
                r, 503, refused == 0 ? "disk-full" : json_text(r, "type") + strlen("/problems/"));
            cr_assert_not_null(header_of(r, "Retry-After"));
            pause_ms(20);
        }
        accepted += r->status == 202 ? 1 : 0;
        refused += r->status == 503 ? 1 : 0;
    }
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?limit=1000");
    cr_assert_eq((size_t)cJSON_GetArraySize(json_find(list, "items")), accepted);
}

/* What is refused while the disk is low costs nobody else the turn: ends of jobs are stored then,
 * and cancels. */
SERVER_TEST_WITH(restart, a_disk_that_is_low_refuses_the_submission_alone,
                 .env = {"GANGER_FP=disk-low:error:2"})
{
    struct job_ref first = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_problem(refused, 503, "disk-full");
    AUTO_RESPONSE next = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_status(next, 202);
    AUTO_RESPONSE end = job_await(s, first);
    expect_outcome(end, "succeeded", NULL);
    cr_assert_eq(metric_of(s, "ganger_commit_failures_total"), 0);
}

/* After an I/O error of the commit nobody knows. The server says so, stops with 74, and the
 * same key tells after a restart. */
SERVER_TEST_WITH(restart, a_commit_that_fails_is_called_unknown,
                 .env = {"GANGER_FP=store-commit-ioerr:error:12"})
{
    static const struct server_options healthy;
    (void)schema_document(s); /* as long as it answers */
    int i = 0;
    long status = 202;
    for (; status == 202; i++) {
        cr_assert_lt(i, 50, "the fault was not met");
        struct text key = text_of("Idempotency-Key: unknown-%d", i);
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'1h'}", key.s,
                               NULL);
        status = r->status;
        if (status == 202)
            continue;
        expect_problem(r, 503, "outcome-unknown");
        cr_assert_not_null(header_of(r, "Retry-After"));
    }
    cr_assert_eq(server_wait_exit(s, 10), 74);
    server_restart(s, &healthy);
    AUTO_RESPONSE again = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'1h'}",
                               text_of("Idempotency-Key: unknown-%d", i - 1).s, NULL);
    expect_status(again, 202);
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?limit=1000");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), i);
}
