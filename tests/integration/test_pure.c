/* SPDX-License-Identifier: MIT */
/* Calls of pure functions leave for a worker before their submission is on disk. Nobody may notice
 * but by the time that it takes: not when it is stored, and not when it is not. */
#include "integration/harness_config.h"
#include "integration/harness_test.h"

#include <unistd.h>

#define MANY 300

static const char registry[] = "[function note]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_note.so\n"
                               "pure = true\n" /* a lie, by which the tests see when it runs */
                               "\n"
                               "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n"
                               "pure = true\n"
                               "\n"
                               "[function noop]\n"
                               "kind = native\n"
                               "module = " EXAMPLE_MODULES "/noop.so\n"
                               "symbol = ganger_noop\n"
                               "pure = true\n"
                               "\n"
                               "[function dirty]\n"
                               "kind = native\n"
                               "module = " EXAMPLE_MODULES "/noop.so\n"
                               "symbol = ganger_noop\n"
                               "pure = false\n"
                               "\n"
                               "[function mean]\n"
                               "kind = runner\n"
                               "runner = [\"python3\", \"" GANGER_SOURCE_DIR
                               "/runners/ganger_runner.py\"]\n"
                               "call = statistics:mean\n"
                               "pure = true\n";

#define PURE_TEST(name) CONFIGURED_TEST_OF(pure, name, 1, registry)

static struct response *call_and_wait(struct server *s, const char *body)
{
    return http(s, "POST", "/v1/jobs", body, "Prefer: wait=30", NULL);
}

static void succeed(struct server *s, const char *body)
{
    AUTO_RESPONSE r = NULL;
    for (uint64_t until = deadline_in(30); r == NULL || r->status == 503; pause_ms(10)) {
        cr_assert_not(deadline_passed(until), "the store takes nothing any more");
        response_free(r);
        r = call_and_wait(s, body);
    }
    expect_status(r, 200);
    expect_outcome(r, "succeeded", NULL);
}

static size_t n_jobs_in(struct server *s, const char *states)
{
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?limit=1000&state=%s", states);
    return (size_t)cJSON_GetArraySize(json_find(list, "items"));
}

/* One worker, which is there (job 1 tells), and a server that meets this fault. */
#define FAULTY_TEST(name, fault)                                                 \
    static void pure_##name##_body(struct server *s);                            \
    PLAIN_TEST(pure, name)                                                       \
    {                                                                            \
        SKIP_WITHOUT_FAULTS();                                                   \
        const struct config_file file = config_write(registry);                  \
        struct server server;                                                    \
        const struct server_options options = {.workers = 1,                     \
                                               .unchecked = true,                \
                                               .env = {"GANGER_FP=" fault},      \
                                               .args = {"--config", file.path}}; \
        server_start(&server, &options);                                         \
        succeed(&server, "{'function':'dirty'}");                                \
        pure_##name##_body(&server);                                             \
        server_kill(&server);                                                    \
        server_forget(&server);                                                  \
        config_remove(&file);                                                    \
    }                                                                            \
    static void pure_##name##_body(struct server *s)

static int64_t commits(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, "commits");
}

static int64_t fewest_commits(struct server *s, const char *function, int calls)
{
    int64_t fewest = INT64_MAX;
    struct text body = text_of("{'function':'%s'}", function);
    for (int i = 0; i < calls && fewest > 1; i++) {
        const int64_t before = commits(s);
        AUTO_RESPONSE r = call_and_wait(s, body.s);
        expect_status(r, 200);
        expect_outcome(r, "succeeded", NULL);
        const int64_t more = commits(s) - before;
        fewest = more < fewest ? more : fewest;
    }
    return fewest;
}

/* On a busy machine the end may come after the commit of the birth, but not always. */
PURE_TEST(birth_and_end_share_a_commit)
{
    cr_assert_eq(fewest_commits(s, "noop", MANY), 1);
    cr_assert_eq(fewest_commits(s, "dirty", 30), 2, "what may have an effect began too early");
}

PURE_TEST(the_list_of_functions_says_it)
{
    AUTO_RESPONSE r = http_get(s, "/v1/functions");
    cr_assert(json_bool(r, "items.2.pure"));
    cr_assert_not(json_bool(r, "items.3.pure"));
}

/* Those that wait behind each other are offered early; their results must not be mixed up. */
PURE_TEST(many_at_once_have_their_own_results)
{
    struct job_ref jobs[MANY];
    for (int i = 0; i < MANY; i++)
        jobs[i] = job_submit(s, "{'function':'misbehave','args':['work',%d]}", i);
    for (int i = 0; i < MANY; i++) {
        AUTO_RESPONSE end = job_await(s, jobs[i]);
        expect_outcome(end, "succeeded", NULL);
        AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", jobs[i].id);
        cr_assert_str_eq(r->body, text_of("%d", i).s);
    }
}

/* The first one is started and the others are offered; ends of both kinds join the commit. */
PURE_TEST(those_that_come_together_share_a_commit)
{
    int64_t fewest = INT64_MAX;
    for (int i = 0; i < MANY && fewest > 1; i++) {
        const int64_t before = commits(s);
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                               "{'function':'noop'}\n{'function':'noop'}\n{'function':'noop'}\n",
                               "Content-Type: application/x-ndjson", NULL);
        expect_status(r, 200);
        AWAIT(n_jobs_in(s, "queued,running") == 0, 20);
        const int64_t more = commits(s) - before;
        fewest = more < fewest ? more : fewest;
    }
    cr_assert_eq(fewest, 1);
}

PURE_TEST(how_a_call_fails_is_as_ever)
{
    static const char *const cases[][2] = {
        {"fail", "function_error"}, {"segfault", "signal"}, {"exit3", "exit_code"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text body = text_of("{'function':'misbehave','args':['%s']}", cases[i][0]);
        AUTO_RESPONSE r = call_and_wait(s, body.s);
        expect_outcome(r, "failed", cases[i][1]);
        expect_int(r, "attempt", 1);
    }
    AUTO_RESPONSE again = call_and_wait(
        s, "{'function':'misbehave','args':['fail'],'retry':{'max_attempts':3,'delay':0}}");
    expect_outcome(again, "failed", "function_error");
    expect_int(again, "attempt", 3);
}

PURE_TEST(a_runner_has_pure_functions_too)
{
    AUTO_RESPONSE job = job_run(s, "{'function':'mean','args':[[1,2,6]]}");
    expect_outcome(job, "succeeded", NULL);
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
    cr_assert_str_eq(r->body, "3");
}

/* A limit of the queue, its pause and a delay hold it back as they do with any other. */
PURE_TEST(what_holds_jobs_back_holds_it_back)
{
    AUTO_RESPONSE paused = http(s, "PUT", "/v1/queues/slow", "{'paused':true}", NULL);
    expect_status(paused, 201);
    struct job_ref held = job_submit(s, "{'function':'noop','queue':'slow'}");
    struct job_ref late = job_submit(s, "{'function':'noop','delay':'1h'}");
    AUTO_RESPONSE other = call_and_wait(s, "{'function':'noop'}");
    expect_outcome(other, "succeeded", NULL);
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s", held.id);
    expect_text(r, "state", "queued");
    AUTO_RESPONSE l = http_get(s, "/v1/jobs/%s", late.id);
    expect_text(l, "state", "scheduled");
}

/* ---- what is not stored ---- */

static struct text note(const struct server *s, int i)
{
    return text_of("{'function':'note','args':['%s/notes',%d]}", s->scratch, i);
}

static bool is_noted(const struct server *s, int i)
{
    AUTO_TEXT notes = file_read(text_of("%s/notes", s->scratch).s, NULL);
    return notes != NULL && strstr(notes, text_of("%d\n", i).s) != NULL;
}

static size_t n_jobs(struct server *s)
{
    return n_jobs_in(s, "scheduled,blocked,queued,running,stopping,succeeded,failed,cancelled");
}

FAULTY_TEST(a_refused_one_has_run_in_vain, "engine-early:error:2")
{
    succeed(s, note(s, 101).s);
    AUTO_RESPONSE refused = call_and_wait(s, note(s, 102).s);
    expect_problem(refused, 503, "storage-unavailable");
    for (uint64_t until = deadline_in(30); !is_noted(s, 102); pause_ms(2))
        cr_assert_not(deadline_passed(until), "it has not left before the commit");
    cr_assert_eq(n_jobs(s), 2);
    succeed(s, note(s, 103).s);
    cr_assert_eq(n_jobs(s), 3);
    cr_assert(is_noted(s, 101) && is_noted(s, 103));
}

FAULTY_TEST(a_refused_one_does_not_keep_its_worker, "engine-early:error:1")
{
    AUTO_RESPONSE refused = call_and_wait(s, "{'function':'misbehave','args':['cancel']}");
    expect_problem(refused, 503, "storage-unavailable");
    succeed(s, "{'function':'noop'}");
    cr_assert_eq(n_jobs(s), 2);
}

FAULTY_TEST(one_that_was_stored_is_not_touched_by_the_next_refusal, "engine-early:error:2")
{
    struct job_ref first = job_submit(s, "{'function':'misbehave','args':['cancel']}");
    AUTO_RESPONSE refused = call_and_wait(s, "{'function':'noop'}");
    expect_problem(refused, 503, "storage-unavailable");
    for (uint64_t until = deadline_in(30);; pause_ms(10)) {
        AUTO_RESPONSE cancelled = job_cancel(s, first, NULL, 0);
        cr_assert_not(deadline_passed(until));
        if (cancelled->status < 300)
            break;
        expect_status(cancelled, 503);
    }
    AUTO_RESPONSE end = job_await(s, first);
    expect_outcome(end, "cancelled", NULL);
}

/* What has been accepted before begins when its claim is on disk, as anything else. */
FAULTY_TEST(one_that_waited_does_not_leave_early, "engine-early:error:1")
{
    AUTO_RESPONSE paused = http(s, "PUT", "/v1/queues/slow", "{'paused':true}", NULL);
    expect_status(paused, 201);
    struct text body = text_of("{'function':'note','args':['%s/notes',101],'queue':'slow'}",
                               s->scratch);
    struct job_ref job = job_submit(s, "%s", body.s);
    AUTO_RESPONSE resumed = http(s, "PUT", "/v1/queues/slow", "{'paused':false}", NULL);
    expect_status(resumed, 200);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    AUTO_TEXT notes = file_read(text_of("%s/notes", s->scratch).s, NULL);
    cr_assert_str_eq(notes, "101\n");
}

/* The worker has begun with the first one, and the others lie in its hand. */
FAULTY_TEST(what_was_offered_with_it_comes_back, "engine-early:error:1")
{
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs",
                                 "{'function':'misbehave','args':['cancel']}\n"
                                 "{'function':'misbehave','args':['cancel']}\n"
                                 "{'function':'misbehave','args':['cancel']}\n",
                                 "Content-Type: application/x-ndjson", NULL);
    expect_status(refused, 200);
    cr_assert_not_null(strstr(refused->body, "storage-unavailable"));
    succeed(s, "{'function':'noop'}");
    cr_assert_eq(n_jobs(s), 2);
}

static bool has_result_file(const struct server *s, int no)
{
    return access(text_of("%s/spool/%02x/%d.1.res", s->dir, (unsigned)no, no).s, F_OK) == 0;
}

FAULTY_TEST(a_refused_one_leaves_no_file, "engine-early:error:2")
{
    succeed(s, "{'function':'misbehave','args':['large']}");
    cr_assert(has_result_file(s, 2), "a result of this size is no file");
    AUTO_RESPONSE refused = call_and_wait(s, "{'function':'misbehave','args':['large']}");
    expect_problem(refused, 503, "storage-unavailable");
    succeed(s, "{'function':'noop'}"); /* by the one worker, so behind it */
    for (uint64_t until = deadline_in(30); has_result_file(s, 3); pause_ms(2))
        cr_assert_not(deadline_passed(until), "its result stays");
}

/* The next job must not get the number of one that is under way still: files of both would have one
 * name. */
FAULTY_TEST(a_number_is_not_used_twice, "engine-early:error:1")
{
    AUTO_RESPONSE refused = call_and_wait(s, "{'function':'misbehave','args':['large']}");
    expect_problem(refused, 503, "storage-unavailable");
    succeed(s, "{'function':'misbehave','args':['large']}");
    cr_assert(has_result_file(s, 3));
    cr_assert_not(has_result_file(s, 2));
}

FAULTY_TEST(a_death_before_the_commit_loses_only_what_nobody_knows, "engine-early:kill:2")
{
    succeed(s, note(s, 101).s);
    const char *headers[] = {"Idempotency-Key: k", "Prefer: wait=30", NULL};
    struct text body = text_of("{\"function\":\"note\",\"args\":[\"%s/notes\",102]}", s->scratch);
    const struct call call = {.method = "POST",
                              .path = "/v1/jobs",
                              .body = body.s,
                              .body_len = strlen(body.s),
                              .headers = headers};
    AUTO_RESPONSE none = http_try(s, &call);
    cr_assert_null(none, "it was answered before the commit");
    cr_assert_eq(server_wait_exit(s, 20), 137);
    server_restart_configured(s, 1, registry);
    cr_assert_eq(n_jobs(s), 2);
    AUTO_RESPONSE again = http_send(s, &call);
    expect_status(again, 200);
    expect_outcome(again, "succeeded", NULL);
    cr_assert_eq(n_jobs(s), 3);
}
