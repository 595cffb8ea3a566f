/* SPDX-License-Identifier: MIT */
/* Jobs that leave blobs: which files are kept, and which are not. */
#include "integration/harness_blob.h"
#include "integration/harness_config.h"
#include "integration/harness_test.h"

#include <signal.h>
#include <sys/stat.h>

SERVER_TEST(blobs, files_that_a_job_leaves_become_blobs)
{
    AUTO_RESPONSE birth = http(s, "POST", "/v1/jobs",
                               "{'command':['sh','-c','mkdir d; printf one >a.txt; printf two "
                               ">d/b.txt; printf three >c'],"
                               "'outputs':['a.txt','d/b.txt']}",
                               NULL);
    expect_status(birth, 202);
    cr_assert_eq(cJSON_GetArraySize(json_find(birth, "outputs")), 0);
    struct job_ref job = job_of(birth);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    cr_assert_eq(cJSON_GetArraySize(json_find(r, "outputs")), 2);
    expect_text(r, "outputs.0.name", "a.txt");
    expect_text(r, "outputs.1.name", "d/b.txt");
    expect_int(r, "outputs.0.bytes", 3);
    expect_text(r, "outputs.0.sha256", sha256_of("one", 3).s);
    expect_text(r, "outputs.1.job", job.id);
    AUTO_RESPONSE two = http_get(s, "/v1/blobs/%s", json_text(r, "outputs.1.id"));
    cr_assert_str_eq(two->body, "two");
    cr_assert_eq(blob_files(s), 2);
    /* They are as long as the job's result, and outlive a restart and the job. */
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE forget = http(s, "DELETE", text_of("/v1/jobs/%s", job.id).s, NULL, NULL);
    expect_status(forget, 204);
    AUTO_RESPONSE one = http_get(s, "/v1/blobs/%s", json_text(r, "outputs.0.id"));
    cr_assert_str_eq(one->body, "one");
    AUTO_RESPONSE list = http_get(s, "/v1/blobs");
    cr_assert(json_is_null(list, "items.0.job"));
    AUTO_RESPONSE next = job_run(s, "{'command':['cat','x'],'inputs':{'x':{'blob':'%s'}}}",
                                 json_text(r, "outputs.0.id"));
    expect_output(s, job_of(next), "stdout", "one");
}

SERVER_TEST(blobs, only_files_of_the_jobs_directory_are_kept)
{
    static const struct {
        const char *script, *output, *words;
    } rows[] = {
        {"true", "a", "No such file"},
        {"ln -s /etc/passwd a", "a", "symbolic link"},
        {"ln -s /etc d", "d/passwd", "Not a directory"},
        {"mkdir d; ln -s ../../../etc d/e", "d/e/passwd", "Not a directory"},
        {"mkfifo a", "a", "not a regular file"},
        {"mkdir a", "a", "not a regular file"},
        {"echo x >a; chmod 0 a; test -r a && ln -sf b a; true", "a", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = job_run(
            s, "{'command':['sh','-c','printf x >first; %s'],'outputs':['first','%s']}",
            rows[i].script, rows[i].output);
        expect_outcome(r, "failed", "function_error");
        const char *detail = json_text(r, "error.detail");
        cr_assert_not_null(strstr(detail, rows[i].words), "%s", detail);
        cr_assert_not_null(strstr(detail, rows[i].output), "%s", detail);
        cr_assert_eq(cJSON_GetArraySize(json_find(r, "outputs")), 0);
    }
    AWAIT(blob_files(s) == 0, 10);
    AUTO_RESPONSE list = http_get(s, "/v1/blobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
}

SERVER_TEST(blobs, paths_that_lead_elsewhere_are_refused)
{
    static const struct {
        const char *outputs, *pointer;
    } wrong[] = {
        {"'a'", "/outputs"},        {"[1]", "/outputs/0"},
        {"['']", "/outputs/0"},     {"['/etc/x']", "/outputs/0"},
        {"['../x']", "/outputs/0"}, {"['a','b/../../x']", "/outputs/1"},
        {"['a/']", "/outputs/0"},   {"['a//b']", "/outputs/0"},
        {"['./a']", "/outputs/0"},  {"['a','a']", "/outputs/1"},
        {"['a\\n']", "/outputs/0"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                               text_of("{'command':['true'],'outputs':%s}", wrong[i].outputs).s,
                               NULL);
        expect_invalid(r, wrong[i].pointer);
    }
    AUTO_RESPONSE cwd = http(s, "POST", "/v1/jobs",
                             "{'command':['true'],'cwd':'/tmp','outputs':['a']}", NULL);
    expect_invalid(cwd, "/outputs");
    AUTO_RESPONSE many = http(s, "POST", "/v1/jobs",
                              "{'command':['true'],'outputs':['1','2','3','4','5','6','7','8','9',"
                              "'10','11','12','13','14','15','16','17']}",
                              NULL);
    expect_invalid(many, "/outputs");
}

SERVER_TEST(blobs, a_job_that_fails_leaves_no_files)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','echo x >a; exit 3'],'outputs':['a']}");
    expect_outcome(r, "failed", "exit_code");
    cr_assert_eq(blob_files(s), 0);
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", job_of(r).id).s, NULL, NULL);
    expect_status(again, 202);
    AUTO_RESPONSE good = job_run(s, "{'command':['sh','-c','date +%%N >a'],'outputs':['a']}");
    expect_outcome(good, "succeeded", NULL);
    const char *first = json_text(good, "outputs.0.id");
    AUTO_RESPONSE more = http(s, "POST", text_of("/v1/jobs/%s/retry", job_of(good).id).s, NULL,
                              NULL);
    expect_status(more, 202);
    cr_assert_eq(cJSON_GetArraySize(json_find(more, "outputs")), 0);
    AUTO_RESPONSE second = job_await(s, job_of(good));
    cr_assert_eq(cJSON_GetArraySize(json_find(second, "outputs")), 1);
    cr_assert_str_neq(json_text(second, "outputs.0.id"), first);
    AUTO_RESPONSE old = http_get(s, "/v1/blobs/%s", first);
    expect_status(old, 200);
}

/* What many jobs have left goes, also when they are all heard of in one turn. */
SERVER_TEST_WITH(blobs, files_of_many_ends_at_once_go, .workers = 32,
                 .args = {"--blobs-max-total", "1"})
{
    enum { JOBS = 32, FILES = 16 };
    struct text go = text_of("%s/go", s->dir);
    struct job_ref jobs[JOBS];
    for (int i = 0; i < JOBS; i++)
        jobs[i] = job_submit(s,
                             "{'command':['sh','-c','until [ -e %s ]; do sleep 0.05; done; for f "
                             "in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do echo x >$f; done'],"
                             "'outputs':['1','2','3','4','5','6','7','8','9','10','11','12','13',"
                             "'14','15','16']}",
                             go.s);
    for (int i = 0; i < JOBS; i++) {
        AUTO_RESPONSE runs = job_await_state(s, jobs[i], "running");
    }
    CHECK(kill(s->pid, SIGSTOP) == 0, "cannot stop the server");
    CHECK(mkdir(go.s, 0700) == 0, "cannot let the jobs go on");
    AWAIT(blob_files(s) == (size_t)JOBS * FILES, 60);
    CHECK(kill(s->pid, SIGCONT) == 0, "cannot continue the server");
    for (int i = 0; i < JOBS; i++) {
        AUTO_RESPONSE end = job_await(s, jobs[i]);
        expect_outcome(end, "failed", "function_error");
    }
    AWAIT(blob_files(s) == 0, 10);
}

/* Also in chunks: each element has files of its own. */
SERVER_TEST(blobs, elements_of_a_batch_leave_files_of_their_own)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches",
                           "{'command':['sh','-c','printf %s {} >out'],'items':[1,2,3,4],"
                           "'chunksize':2,'outputs':['out']}",
                           NULL);
    expect_status(r, 202);
    AUTO_RESPONSE end = http(s, "GET", text_of("/v1/batches/%s?until=all", job_of(r).id).s, NULL,
                             "Prefer: wait=30", NULL);
    expect_text(end, "state", "succeeded");
    AUTO_RESPONSE jobs = http_get(s, "/v1/jobs?batch=%s", job_of(r).id);
    for (int i = 0; i < 4; i++) {
        AUTO_RESPONSE file = http_get(s, "/v1/blobs/%s",
                                      json_text(jobs, text_of("items.%d.outputs.0.id", i).s));
        cr_assert_eq(file->body[0] - '0', 1 + json_int(jobs, text_of("items.%d.index", i).s));
    }
}

SERVER_TEST_WITH(blobs, a_full_disk_fails_the_job_that_leaves_files,
                 .env = {"GANGER_FP=blob-write:error:1"}, .workers = 1)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','echo x >a'],'outputs':['a']}");
    expect_outcome(r, "failed", "function_error");
    cr_assert_not_null(strstr(json_text(r, "error.detail"), "No space"));
    AWAIT(blob_files(s) == 0, 10);
}

SERVER_TEST_WITH(blobs, files_beyond_the_limits_are_not_kept,
                 .args = {"--blobs-max-size", "10", "--blobs-max-total", "15"})
{
    AUTO_RESPONSE large = job_run(s,
                                  "{'command':['sh','-c','echo 01234567890 >a'],'outputs':['a']}");
    expect_outcome(large, "failed", "function_error");
    AUTO_RESPONSE first = job_run(s, "{'command':['sh','-c','echo 01234567 >a'],'outputs':['a']}");
    expect_outcome(first, "succeeded", NULL);
    AUTO_RESPONSE second = job_run(s, "{'command':['sh','-c','echo 01234567 >a'],'outputs':['a']}");
    expect_outcome(second, "failed", "function_error");
    AWAIT(blob_files(s) == 1, 10);
}

CONFIGURED_TEST(blobs, a_function_without_a_directory_leaves_no_files, blob_functions)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'function':'copy','outputs':['a']}", NULL);
    expect_invalid(r, "/outputs");
}

/* Which files it had begun it has noted before. */
SERVER_TEST_WITH(blobs, a_worker_that_dies_while_it_copies_leaves_nothing, .workers = 1,
                 .env = {"GANGER_FP=blob-write:kill:2"})
{
    AUTO_RESPONSE end = job_run(
        s, "{'command':['sh','-c','echo x >a; echo y >b'],'outputs':['a','b']}");
    expect_outcome(end, "failed", "lost");
    AWAIT(blob_files(s) == 0, 10);
}
