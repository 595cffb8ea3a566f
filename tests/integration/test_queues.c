/* SPDX-License-Identifier: MIT */
/* Queues: their settings, pause, defaults for jobs, purge. */
#include "integration/harness_queue.h"
#include "integration/harness_test.h"

/* ------------------------------------------------------------------------------------------------
 * settings */

SERVER_TEST(queues, settings_are_made_replaced_changed_and_taken_back)
{
    AUTO_RESPONSE none = http_get(s, "/v1/queues/mail");
    expect_problem(none, 404, "not-found");
    AUTO_RESPONSE made = http(s, "PUT", "/v1/queues/mail",
                              "{'concurrency':3,'rate':'10/1s','weight':5,'max_length':100,"
                              "'defaults':{'priority':7}}",
                              NULL);
    expect_status(made, 201);
    expect_header(made, "Location", "/v1/queues/mail");
    expect_header(made, "ETag", "\"1\"");
    expect_int(made, "concurrency", 3);
    expect_text(made, "rate", "10/1s");
    expect_int(made, "weight", 5);
    expect_int(made, "max_length", 100);
    expect_int(made, "defaults.priority", 7);
    expect_int(made, "depth", 0);
    cr_assert(!json_bool(made, "paused") && json_is_null(made, "oldest_age"));
    AUTO_RESPONSE some = http(s, "PATCH", "/v1/queues/mail", "{'rate':null,'concurrency':4}", NULL);
    expect_status(some, 200);
    expect_header(some, "ETag", "\"2\"");
    expect_int(some, "concurrency", 4);
    expect_int(some, "weight", 5);
    cr_assert(json_is_null(some, "rate"));
    AUTO_RESPONSE all = http(s, "PUT", "/v1/queues/mail", "{'rate':'90/m'}", NULL);
    expect_status(all, 200);
    expect_text(all, "rate", "90/1m");
    cr_assert(json_is_null(all, "concurrency") && json_is_null(all, "weight"));
    cr_assert(json_is_null(all, "max_length") && json_is_null(all, "defaults"));
    AUTO_RESPONSE list = http_get(s, "/v1/queues");
    expect_text(list, "items.0.rate", "90/1m");
    AUTO_RESPONSE gone = http(s, "DELETE", "/v1/queues/mail", NULL, NULL);
    expect_status(gone, 204);
    AUTO_RESPONSE after = http_get(s, "/v1/queues/mail");
    expect_problem(after, 404, "not-found");
    AUTO_RESPONSE empty = http_get(s, "/v1/queues");
    cr_assert_eq(cJSON_GetArraySize(json_find(empty, "items")), 0);
}

SERVER_TEST(queues, a_version_that_is_over_changes_nothing)
{
    AUTO_RESPONSE early = http(s, "PUT", "/v1/queues/q", "{}", "If-Match: *", NULL);
    expect_problem(early, 412, "version-mismatch");
    AUTO_RESPONSE made = http(s, "PUT", "/v1/queues/q", "{}", "If-None-Match: *", NULL);
    expect_status(made, 201);
    AUTO_RESPONSE again = http(s, "PUT", "/v1/queues/q", "{}", "If-None-Match: *", NULL);
    expect_problem(again, 412, "version-mismatch");
    AUTO_RESPONSE mine = http(s, "PATCH", "/v1/queues/q", "{'weight':2}", "If-Match: \"1\"", NULL);
    expect_status(mine, 200);
    static const char *const methods[] = {"PATCH", "PUT", "DELETE"};
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        const char *body = i < 2 ? "{'weight':3}" : NULL;
        AUTO_RESPONSE late = http(s, methods[i], "/v1/queues/q", body, "If-Match: \"1\"", NULL);
        expect_problem(late, 412, "version-mismatch");
    }
    AUTO_RESPONSE pause = http(s, "POST", "/v1/queues/q/pause", NULL, "If-Match: \"1\"", NULL);
    expect_problem(pause, 412, "version-mismatch");
    AUTO_RESPONSE now = http_get(s, "/v1/queues/q");
    expect_header(now, "ETag", "\"2\"");
    expect_int(now, "weight", 2);
    /* The tag of a queue that is made anew is not that of the one before. */
    AUTO_RESPONSE gone = http(s, "DELETE", "/v1/queues/q", NULL, "If-Match: \"2\"", NULL);
    expect_status(gone, 204);
    AUTO_RESPONSE anew = http(s, "PUT", "/v1/queues/q", "{}", NULL);
    expect_status(anew, 201);
    expect_header(anew, "ETag", "\"4\"");
}

static const struct {
    const char *body, *pointer;
} bad_settings[] = {
    {"{'concurency':1}", "/concurency"},
    {"{'depth':1}", "/depth"},
    {"{'paused':1}", "/paused"},
    {"{'paused':null}", "/paused"},
    {"{'concurrency':0}", "/concurrency"},
    {"{'concurrency':1.5}", "/concurrency"},
    {"{'concurrency':1000001}", "/concurrency"},
    {"{'rate':10}", "/rate"},
    {"{'rate':'10'}", "/rate"},
    {"{'rate':'0/1s'}", "/rate"},
    {"{'rate':'-1/1s'}", "/rate"},
    {"{'rate':'10/'}", "/rate"},
    {"{'rate':'10/0s'}", "/rate"},
    {"{'rate':'10/1 s'}", "/rate"},
    {"{'weight':0}", "/weight"},
    {"{'weight':1001}", "/weight"},
    {"{'max_length':-1}", "/max_length"},
    {"{'max_length':'many'}", "/max_length"},
    {"{'defaults':[]}", "/defaults"},
    {"{'defaults':{'command':['true']}}", "/defaults/command"},
    {"{'defaults':{'queue':'x'}}", "/defaults/queue"},
    {"{'defaults':{'nonsense':1}}", "/defaults/nonsense"},
    {"{'defaults':{'priority':101}}", "/defaults/priority"},
    {"{'defaults':{'retry':{'max_attempts':21}}}", "/defaults/retry/max_attempts"},
    {"{'defaults':{'limits':{'outputs':1}}}", "/defaults/limits/outputs"},
};

SERVER_TEST(queues, bad_settings_are_refused_by_place)
{
    static const char *const verbs[] = {"pause", "resume", "purge"};
    for (size_t i = 0; i < COUNT_OF(bad_settings); i++) {
        AUTO_RESPONSE r = http(s, "PUT", "/v1/queues/q", bad_settings[i].body, NULL);
        expect_invalid(r, bad_settings[i].pointer);
    }
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        struct text path = text_of("/v1/queues/q/%s", verbs[i]);
        AUTO_RESPONSE missing = http(s, "POST", path.s, NULL, NULL);
        expect_problem(missing, 404, "not-found");
        AUTO_RESPONSE more = http(s, "POST", path.s, "{'paused':true}", NULL);
        expect_problem(more, 422, "invalid-request");
    }
    AUTO_RESPONSE patch = http(s, "PATCH", "/v1/queues/q", "{'weight':1}", NULL);
    expect_problem(patch, 404, "not-found");
    AUTO_RESPONSE gone = http(s, "DELETE", "/v1/queues/q", NULL, NULL);
    expect_problem(gone, 404, "not-found");
}

SERVER_TEST(queues, a_queue_with_living_jobs_is_not_deleted)
{
    put_queue(s, "q", "{'weight':2}");
    struct job_ref job = job_submit(s, "{'command':['true'],'queue':'q','delay':'1h'}");
    AUTO_RESPONSE r = http(s, "DELETE", "/v1/queues/q", NULL, NULL);
    expect_problem(r, 409, "state-conflict");
    AUTO_RESPONSE still = http_get(s, "/v1/queues/q");
    expect_int(still, "weight", 2);
    response_free(job_cancel(s, job, NULL, 5));
    AUTO_RESPONSE gone = http(s, "DELETE", "/v1/queues/q", NULL, NULL);
    expect_status(gone, 204);
    /* Its ended job is still there, so the queue is; without settings. */
    AUTO_RESPONSE after = http_get(s, "/v1/queues/q");
    expect_int(after, "jobs.cancelled", 1);
    cr_assert(json_is_null(after, "weight"));
}

SERVER_TEST(queues, metrics_tell_each_queue)
{
    AUTO_RESPONSE none = http_get(s, "/metrics");
    cr_assert_null(strstr(none->body, "ganger_queue_depth"));
    put_queue(s, "a", "{'paused':true}");
    response_free(submit_lines(s, 3, "{'command':['true'],'queue':'a'}"));
    for (int i = 0; i < 70; i++) /* more than one page of the store's */
        put_queue(s, text_of("q%d", i).s, "{'weight':1}");
    AUTO_RESPONSE r = http_get(s, "/metrics");
    cr_assert_not_null(strstr(r->body, "ganger_queue_depth{queue=\"a\"} 3\n"), "%s", r->body);
    cr_assert_not_null(strstr(r->body, "ganger_queue_running{queue=\"a\"} 0\n"));
    cr_assert_not_null(strstr(r->body, "ganger_queue_depth{queue=\"q69\"} 0\n"));
    const char *type = strstr(r->body, "# TYPE ganger_queue_depth");
    cr_assert_not_null(type);
    cr_assert_null(strstr(type + 1, "# TYPE ganger_queue_depth"), "one family");
}

/* ------------------------------------------------------------------------------------------------
 * pause */

SERVER_TEST_WITH(queues, a_paused_queue_begins_nothing, .workers = 2)
{
    struct text hold = fifo_make(s, "hold"), hold_other = fifo_make(s, "other");
    struct job_ref first = job_submit(s, "{'command':['cat','%s'],'queue':'p'}", hold.s);
    response_free(job_await_state(s, first, "running"));
    struct job_ref other = job_submit(s, "{'command':['cat','%s'],'queue':'o'}", hold_other.s);
    response_free(job_await_state(s, other, "running"));
    /* Both workers are busy: the next jobs are reserved, and lie in their hands. */
    struct job_ref waiting[6];
    for (size_t i = 0; i < COUNT_OF(waiting); i++)
        waiting[i] = job_submit(s, "{'command':['true'],'queue':'p'}");
    queue_verb(s, "p", "pause");
    AUTO_RESPONSE view = http_get(s, "/v1/queues/p");
    cr_assert(json_bool(view, "paused"));
    expect_int(view, "jobs.running", 1);
    expect_int(view, "depth", (int64_t)COUNT_OF(waiting));
    cr_assert(json_number(view, "oldest_age") >= 0);
    fifo_release(hold.s);
    fifo_release(hold_other.s);
    response_free(job_await(s, first)); /* a running job goes on */
    response_free(job_await(s, other));
    for (int i = 0; i < 20; i++) { /* other queues do, too */
        AUTO_RESPONSE r = job_run(s, "{'command':['true'],'queue':'o'}");
        expect_outcome(r, "succeeded", NULL);
    }
    cr_assert_eq(count_in(s, "p", "queued"), (int64_t)COUNT_OF(waiting), "a job has begun");
    queue_verb(s, "p", "resume");
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        AUTO_RESPONSE r = job_await(s, waiting[i]);
        expect_outcome(r, "succeeded", NULL);
        expect_int(r, "attempt", 1);
    }
}

/* Workers take offers by themselves while the pause is on its way: what has begun when it is
 * answered is known then, and nothing follows. */
SERVER_TEST_WITH(queues, a_pause_under_load_is_exact, .workers = 4)
{
    enum { JOBS = 600 };
    AUTO_RESPONSE made = submit_lines(s, JOBS, "{'command':['true'],'queue':'p'}");
    for (int i = 0; i < 8; i++) {
        int64_t ended = count_in(s, "p", "succeeded");
        if (ended < JOBS)
            AWAIT(count_in(s, "p", "succeeded") > ended, 30);
        queue_verb(s, "p", "pause");
        int64_t waiting = count_in(s, "p", "queued");
        AWAIT(count_in(s, "p", "running") == 0, 30);
        response_free(job_run(s, "{'command':['true'],'queue':'o'}"));
        cr_assert_eq(count_in(s, "p", "queued"), waiting, "a job has begun in a paused queue");
        queue_verb(s, "p", "resume");
    }
    await_succeeded(s, "p", JOBS);
}

/* ------------------------------------------------------------------------------------------------
 * defaults */

SERVER_TEST(queues, jobs_take_what_they_do_not_name_from_their_queue)
{
    put_queue(s, "d",
              "{'defaults':{'priority':7,'timeout':'200ms','retry':{'max_attempts':2,'delay':0},"
              "'env':{'GREETING':'hello'},'keep':'1h'}}");
    AUTO_RESPONSE takes = job_run(s, "{'command':['sh','-c','echo $GREETING'],'queue':'d'}");
    expect_outcome(takes, "succeeded", NULL);
    expect_int(takes, "priority", 7);
    expect_int(takes, "max_attempts", 2);
    expect_output(s, job_of(takes), "stdout", "hello\n");
    AUTO_RESPONSE slow = job_run(s, "{'command':['sleep','60'],'queue':'d'}");
    expect_outcome(slow, "failed", "timeout");
    expect_int(slow, "attempt", 2);
    AUTO_RESPONSE names = job_run(s, "{'priority':-3,'retry':{'max_attempts':1},'queue':'d',"
                                     "'env':{},'command':['sh','-c','echo x$GREETING']}");
    expect_int(names, "priority", -3);
    expect_int(names, "max_attempts", 1);
    expect_output(s, job_of(names), "stdout", "x\n");
    AUTO_RESPONSE other = job_run(s, "{'command':['true']}");
    expect_int(other, "priority", 0);
    AUTO_RESPONSE line = submit_lines(s, 1, "{'command':['true'],'queue':'d'}");
    cr_assert_not_null(strstr(line->body, "\"priority\":7"), "%s", line->body);
    AUTO_RESPONSE batch = http(s, "POST", "/v1/batches",
                               "{'command':['echo','{}'],'items':[1],'queue':'d'}", NULL);
    expect_status(batch, 202);
    AUTO_RESPONSE items = http_get(s, "/v1/jobs?limit=1");
    expect_int(items, "items.0.index", 0);
    expect_int(items, "items.0.priority", 7);
    put_queue(s, "d", "{}");
    AUTO_RESPONSE plain = job_run(s, "{'command':['true'],'queue':'d'}");
    expect_int(plain, "priority", 0);
}

/* ------------------------------------------------------------------------------------------------
 * purge */

SERVER_TEST_WITH(queues, a_purge_cancels_all_that_waits, .workers = 1)
{
    enum { QUEUED = 1300, SCHEDULED = 600 };
    struct text hold = fifo_make(s, "hold");
    struct job_ref running = job_submit(s, "{'command':['cat','%s'],'queue':'p'}", hold.s);
    response_free(job_await_state(s, running, "running"));
    response_free(submit_lines(s, SCHEDULED, "{'command':['true'],'queue':'p','delay':'1h'}"));
    response_free(submit_lines(s, QUEUED, "{'command':['true'],'queue':'p'}"));
    struct job_ref child = job_submit(s, "{'command':['true'],'queue':'p','depends_on':['%s']}",
                                      running.id);
    struct job_ref other = job_submit(s, "{'command':['true'],'queue':'o'}");
    struct job_ref later = job_submit(s, "{'command':['true'],'queue':'o','delay':'1h'}");
    AUTO_RESPONSE r = http(s, "POST", "/v1/queues/p/purge", "{}", NULL);
    expect_status(r, 200);
    expect_text(r, "queue", "p");
    expect_int(r, "purged", QUEUED + SCHEDULED + 1);
    AUTO_RESPONSE view = http_get(s, "/v1/queues/p");
    expect_int(view, "jobs.cancelled", QUEUED + SCHEDULED + 1);
    expect_int(view, "jobs.running", 1);
    AUTO_RESPONSE blocked = job_show(s, child);
    expect_outcome(blocked, "cancelled", NULL);
    AUTO_RESPONSE again = http(s, "POST", "/v1/queues/p/purge", NULL, NULL);
    expect_int(again, "purged", 0);
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, running);
    expect_outcome(end, "succeeded", NULL);
    AUTO_RESPONSE untouched = job_await(s, other);
    expect_outcome(untouched, "succeeded", NULL);
    AUTO_RESPONSE still = job_show(s, later);
    expect_text(still, "state", "scheduled");
}

/* ------------------------------------------------------------------------------------------------
 * kill -9 */

SERVER_TEST_WITH(queues, settings_outlive_kill_9, .workers = 2)
{
    put_queue(s, "q",
              "{'paused':true,'concurrency':1,'max_length':3,'weight':2,'rate':'100/1h',"
              "'defaults':{'priority':9}}");
    put_queue(s, "empty", "{'weight':4}");
    struct job_ref job = job_submit(s, "{'command':['true'],'queue':'q'}");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE q = http_get(s, "/v1/queues/q");
    expect_header(q, "ETag", "\"1\"");
    cr_assert(json_bool(q, "paused"));
    expect_int(q, "concurrency", 1);
    expect_int(q, "max_length", 3);
    expect_int(q, "weight", 2);
    expect_text(q, "rate", "100/1h");
    AUTO_RESPONSE empty = http_get(s, "/v1/queues/empty");
    expect_int(empty, "weight", 4);
    response_free(job_run(s, "{'command':['true']}"));
    AUTO_RESPONSE waits = job_show(s, job);
    expect_text(waits, "state", "queued");
    struct job_ref second = job_submit(s, "{'command':['true'],'queue':'q'}");
    AUTO_RESPONSE born = job_show(s, second);
    expect_int(born, "priority", 9);
    (void)job_submit(s, "{'command':['true'],'queue':'q'}");
    AUTO_RESPONSE full = http(s, "POST", "/v1/jobs", "{'command':['true'],'queue':'q'}", NULL);
    expect_problem(full, 429, "queue-limit");
    queue_verb(s, "q", "resume");
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
}
