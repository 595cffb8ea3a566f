/* SPDX-License-Identifier: MIT */
/* Jobs that take blobs: what they see, that nobody can change it, and that nothing goes that is
 * needed. */
#include "integration/harness_blob.h"
#include "integration/harness_config.h"
#include "integration/harness_test.h"

#include <dirent.h>
#include <unistd.h>

SERVER_TEST(blobs, a_job_has_its_input_as_a_file_and_as_a_variable)
{
    AUTO_TEXT bytes = blob_bytes(400000, 5);
    struct job_ref blob = blob_put(s, bytes, 400000, "");
    AUTO_RESPONSE r = job_run(s,
                              "{'command':['bash','-c','sha256sum <data.bin; sha256sum "
                              "$GANGER_INPUT_data_bin; wc -c <&10; echo $GANGER_INPUT_data_bin'],"
                              "'inputs':{'data.bin':{'blob':'%s'}}}",
                              blob.id);
    expect_outcome(r, "succeeded", NULL);
    struct text sha = sha256_of(bytes, 400000);
    expect_output(
        s, job_of(r), "stdout",
        text_of("%s  -\n%s  /proc/self/fd/10\n400000\n/proc/self/fd/10\n", sha.s, sha.s).s);
}

SERVER_TEST(blobs, all_jobs_share_one_memory_that_nobody_can_change)
{
    static const char script[] =
        "stat -Lc %%i $GANGER_INPUT_a; (echo x >$GANGER_INPUT_a) 2>/dev/null && echo written; "
        "(echo x >>a) 2>/dev/null && echo appended; truncate -s 1 -c a 2>/dev/null && echo cut; "
        "cat a";
    struct job_ref blob = blob_put(s, "same", 4, "");
    AUTO_TEXT first = NULL;
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','%s'],'inputs':{'a':{'blob':'%s'}}}",
                                  text_of(script).s, blob.id);
        expect_outcome(r, "succeeded", NULL);
        AUTO_TEXT out = job_read(s, job_of(r), "stdout");
        cr_assert_not_null(strstr(out, "\nsame"), "%s", out);
        cr_assert_null(strstr(out, "written"));
        cr_assert_null(strstr(out, "appended"));
        cr_assert_null(strstr(out, "cut"));
        if (first == NULL)
            first = strdup(out);
        cr_assert_str_eq(out, first, "another memory");
    }
    AUTO_RESPONSE back = http_get(s, "/v1/blobs/%s", blob.id);
    cr_assert_str_eq(back->body, "same");
}

/* Their positions are their own: each reads all of it by the descriptor. */
SERVER_TEST_WITH(blobs, jobs_that_begin_at_once_share_it_too, .workers = 4)
{
    AUTO_TEXT bytes = blob_bytes(3000000, 9);
    struct job_ref blob = blob_put(s, bytes, 3000000, "");
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches",
                           text_of("{'command':['bash','-c','stat -Lc %%i data; sha256sum <&10'],"
                                   "'items':[1,2,3,4,5,6,7,8],'inputs':{'data':{'blob':'%s'}}}",
                                   blob.id)
                               .s,
                           NULL);
    expect_status(r, 202);
    AUTO_RESPONSE end = http(s, "GET", text_of("/v1/batches/%s?until=all", job_of(r).id).s, NULL,
                             "Prefer: wait=30", NULL);
    expect_text(end, "state", "succeeded");
    AUTO_RESPONSE results = http_get(s, "/v1/batches/%s/results?order=index", job_of(r).id);
    for (int i = 0; i < 8; i++) {
        const char *value = json_text(results, text_of("%d.value", i).s);
        cr_assert_str_eq(value, json_text(results, "0.value"));
        cr_assert_not_null(strstr(value, sha256_of(bytes, 3000000).s));
    }
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/blobs/%s", blob.id).s, NULL, NULL);
    expect_status(gone, 204);
}

SERVER_TEST(blobs, standard_input_is_a_blob)
{
    AUTO_TEXT bytes = blob_bytes(2000000, 11);
    struct job_ref blob = blob_put(s, bytes, 2000000, "");
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['sha256sum'],'stdin_from':{'blob':'%s'}}",
                                  blob.id);
        expect_output(s, job_of(r), "stdout", text_of("%s  -\n", sha256_of(bytes, 2000000).s).s);
    }
}

SERVER_TEST(blobs, children_that_close_descriptors_find_the_file)
{
    struct job_ref blob = blob_put(s, "here", 4, "");
    AUTO_RESPONSE r = job_run(
        s, "{'command':['bash','-c','exec 10<&-; cat data'],'inputs':{'data':{'blob':'%s'}}}",
        blob.id);
    expect_output(s, job_of(r), "stdout", "here");
    AUTO_RESPONSE other = job_run(s,
                                  "{'command':['sh','-c','ls; cat $GANGER_INPUT_data'],"
                                  "'cwd':'%s','inputs':{'data':{'blob':'%s'}}}",
                                  s->scratch, blob.id);
    expect_output(s, job_of(other), "stdout", "here");
}

SERVER_TEST(blobs, what_is_no_input_is_refused)
{
    struct job_ref blob = blob_put(s, "x", 1, "");
    struct job_ref job = job_submit(s, "{'command':['true']}");
    const struct {
        const char *inputs, *pointer;
    } wrong[] = {
        {"[]", "/inputs"},
        {"{'a':1}", "/inputs/a"},
        {"{'a':{}}", "/inputs/a"},
        {"{'a':{'blob':'x'}}", "/inputs/a"},
        {"{'a b':{'blob':'$'}}", "/inputs/a b"},
        {"{'..':{'blob':'$'}}", "/inputs/.."},
        {"{'a':{'blob':'$','job':1}}", "/inputs/a"},
        {"{'a.b':{'blob':'$'},'a_b':{'blob':'$'}}", "/inputs/a_b"},
        {"{'a':{'blob':'01990b6e-0000-7000-8000-000000000000'}}", "/inputs/a"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char inputs[512] = "";
        for (const char *at = wrong[i].inputs; *at != '\0'; at++) {
            const size_t len = strlen(inputs);
            (void)snprintf(inputs + len, sizeof inputs - len, "%.*s", *at == '$' ? 36 : 1,
                           *at == '$' ? blob.id : at);
        }
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                               text_of("{'command':['true'],'inputs':%s}", inputs).s, NULL);
        expect_invalid(r, wrong[i].pointer);
    }
    AUTO_RESPONSE a_job = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['true'],'inputs':{'a':{'blob':'%s'}}}", job.id).s, NULL);
    expect_invalid(a_job, "/inputs/a");
    AUTO_RESPONSE file = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['true'],'files':{'a':{'blob':'%s'}}}", blob.id).s, NULL);
    expect_invalid(file, "/files/a");
    AUTO_RESPONSE both = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['true'],'stdin':'x','stdin_from':{'blob':'%s'}}", blob.id).s, NULL);
    expect_invalid(both, "/stdin_from");
}

SERVER_TEST(blobs, seven_inputs_and_a_standard_input)
{
    struct job_ref blob = blob_put(s, "x", 1, "");
    char inputs[1024] = "";
    for (int i = 0; i < 8; i++) {
        AUTO_RESPONSE r = http(
            s, "POST", "/v1/jobs",
            text_of("{'command':['sh','-c','cat i* -'],'stdin_from':{'blob':'%s'},"
                    "'inputs':{%s}}",
                    blob.id, inputs)
                .s,
            "Prefer: wait=20", NULL);
        if (i == 7)
            expect_output(s, job_of(r), "stdout", "xxxxxxxx");
        const size_t at = strlen(inputs);
        (void)snprintf(inputs + at, sizeof inputs - at, "%s'i%d':{'blob':'%s'}", i == 0 ? "" : ",",
                       i, blob.id);
    }
    AUTO_RESPONSE many = http(s, "POST", "/v1/jobs",
                              text_of("{'command':['true'],'inputs':{%s}}", inputs).s, NULL);
    expect_invalid(many, "/inputs/i7");
}

SERVER_TEST(blobs, a_blob_in_use_stays)
{
    struct job_ref blob = blob_put(s, "kept", 4, "?keep=50ms");
    struct text path = text_of("/v1/blobs/%s", blob.id);
    struct job_ref job = job_submit(
        s, "{'command':['cat','data'],'delay':'1h','inputs':{'data':{'blob':'%s'}}}", blob.id);
    struct job_ref other = blob_put(s, "other", 5, "?keep=60ms");
    AWAIT(blob_files(s) == 1, 10); /* its time is over, and so was the other's */
    AUTO_RESPONSE busy = http(s, "DELETE", path.s, NULL, NULL);
    expect_problem(busy, 409, "state-conflict");
    AUTO_RESPONSE gone = http_get(s, "/v1/blobs/%s", other.id);
    expect_problem(gone, 404, "not-found");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE now = http(s, "PATCH", text_of("/v1/jobs/%s", job.id).s, "{'delay':0}", NULL);
    expect_status(now, 200);
    AUTO_RESPONSE end = job_await(s, job);
    expect_output(s, job, "stdout", "kept");
    AWAIT(blob_files(s) == 0, 10);
    /* Once more, and what it takes is gone. */
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
    expect_status(again, 202);
    AUTO_RESPONSE failed = job_await(s, job);
    expect_outcome(failed, "failed", "dependency");
}

SERVER_TEST(blobs, a_retried_job_needs_its_blob_again)
{
    struct job_ref blob = blob_put(s, "x", 1, "");
    struct text path = text_of("/v1/blobs/%s", blob.id);
    struct text gate = fifo_make(s, "gate");
    AUTO_RESPONSE first = job_run(s,
                                  "{'command':['sh','-c','[ $GANGER_ATTEMPT = 1 ] && exit 1; "
                                  "cat %s a'],'inputs':{'a':{'blob':'%s'}}}",
                                  gate.s, blob.id);
    expect_outcome(first, "failed", "exit_code");
    struct job_ref job = job_of(first);
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
    expect_status(again, 202);
    AUTO_RESPONSE runs = job_await_state(s, job, "running");
    AUTO_RESPONSE busy = http(s, "DELETE", path.s, NULL, NULL);
    expect_problem(busy, 409, "state-conflict");
    fifo_release(gate.s);
    AUTO_RESPONSE second = job_await(s, job);
    expect_outcome(second, "succeeded", NULL);
    expect_int(second, "attempt", 2);
    expect_output(s, job, "stdout", "x");
    AUTO_RESPONSE gone = http(s, "DELETE", path.s, NULL, NULL);
    expect_status(gone, 204);
}

SERVER_TEST(blobs, a_batch_needs_its_blob_until_it_is_over)
{
    struct job_ref blob = blob_put(s, "x", 1, "");
    struct text path = text_of("/v1/blobs/%s", blob.id);
    struct text gate = fifo_make(s, "gate");
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches",
                           text_of("{'command':['cat','%s'],'items':[1],"
                                   "'inputs':{'a':{'blob':'%s'}}}",
                                   gate.s, blob.id)
                               .s,
                           NULL);
    expect_status(r, 202);
    AUTO_RESPONSE busy = http(s, "DELETE", path.s, NULL, NULL);
    expect_problem(busy, 409, "state-conflict");
    fifo_release(gate.s);
    AUTO_RESPONSE end = http(s, "GET", text_of("/v1/batches/%s?until=all", job_of(r).id).s, NULL,
                             "Prefer: wait=30", NULL);
    expect_text(end, "phase", "closed");
    AUTO_RESPONSE gone = http(s, "DELETE", path.s, NULL, NULL);
    expect_status(gone, 204);
}

/* The worker that fills the memory dies before it is sealed: its job is lost, and nothing else.
 * That the next worker fills the same memory anew is in tests/unit/test_pool_blob.c. */
SERVER_TEST_WITH(blobs, a_worker_that_dies_while_it_fills_the_memory_costs_its_job_only,
                 .env = {"GANGER_FP=blob-filled:kill:1"}, .workers = 1)
{
    struct job_ref blob = blob_put(s, "whole", 5, "");
    AUTO_RESPONSE first = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}",
                                  blob.id);
    expect_outcome(first, "failed", "lost");
    static const struct server_options healthy = {.workers = 1};
    server_kill(s);
    server_restart(s, &healthy);
    AUTO_RESPONSE next = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}",
                                 blob.id);
    expect_output(s, job_of(next), "stdout", "whole");
}

SERVER_TEST_WITH(blobs, no_memory_for_it_is_no_fault_of_the_job,
                 .env = {"GANGER_FP=blob-memfd:error:1"})
{
    struct job_ref blob = blob_put(s, "x", 1, "");
    AUTO_RESPONSE r = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 1);
    cr_assert(server_log_has(s, "no memory for a blob"), "the fault was not met");
}

/* The gauge of the last commit. */
static double blob_memory(struct server *s)
{
    AUTO_RESPONSE later = job_run(s, "{'command':['true']}");
    return metric_of(s, "ganger_blob_memory_bytes");
}

SERVER_TEST(blobs, memory_stays_for_the_next_job)
{
    struct job_ref blob = blob_put(s, "four", 4, "");
    AUTO_RESPONSE r = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "succeeded", NULL);
    cr_assert_eq(blob_memory(s), 4);
}

SERVER_TEST_WITH(blobs, memory_goes_when_nobody_uses_it, .args = {"--blobs-memory", "0"})
{
    struct job_ref blob = blob_put(s, "x", 1, "");
    AUTO_RESPONSE r = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "succeeded", NULL);
    cr_assert_eq(blob_memory(s), 0);
}

SERVER_TEST(blobs, a_damaged_file_is_found_where_it_is_read)
{
    struct job_ref blob = blob_put(s, "whole", 5, "");
    DIR *dir = opendir(text_of("%s/blobs", s->dir).s);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            cr_assert_eq(truncate(text_of("%s/blobs/%s", s->dir, e->d_name).s, 2), 0);
    (void)closedir(dir);
    AUTO_RESPONSE r = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "failed", "dependency");
    AUTO_RESPONSE get = http_get(s, "/v1/blobs/%s", blob.id);
    expect_problem(get, 503, "storage-unavailable");
}

CONFIGURED_TEST(blobs, a_native_function_reads_it_where_it_lies, blob_functions)
{
    char bytes[100000];
    memset(bytes, 2, sizeof bytes);
    struct job_ref blob = blob_put(s, bytes, sizeof bytes, "");
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE r = job_run(s, "{'function':'sum','inputs':{'data':{'blob':'%s'}}}", blob.id);
        expect_output(s, job_of(r), "result", "200000");
    }
    AUTO_RESPONSE none = job_run(s, "{'function':'copy'}");
    expect_outcome(none, "failed", "function_error");
    struct job_ref empty = blob_put(s, "", 0, "");
    AUTO_RESPONSE r = job_run(s, "{'function':'copy','inputs':{'data':{'blob':'%s'}}}", empty.id);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "result", "");
}

CONFIGURED_TEST(blobs, a_function_that_writes_to_it_ends_by_a_signal, blob_functions)
{
    struct job_ref blob = blob_put(s, "same", 4, "");
    AUTO_RESPONSE r = job_run(s, "{'function':'spoil','inputs':{'data':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "failed", "signal");
    expect_text(r, "signal", "SIGSEGV");
    AUTO_RESPONSE next = job_run(s, "{'function':'copy','inputs':{'data':{'blob':'%s'}}}", blob.id);
    expect_output(s, job_of(next), "result", "same");
}

/* 8 MiB each way, by a function and by a command, and the server's memory grows by 2 MiB at most; a
 * gigabyte: tests/crash/large.c. */
CONFIGURED_TEST(blobs, large_arguments_and_results_pass_by_the_server, blob_functions)
{
    const size_t n = 8u << 20;
    AUTO_TEXT bytes = blob_bytes(n, 13);
    struct text sha = sha256_of(bytes, n);
    (void)blob_put(s, "warm", 4, "");
    const long before_kib = proc_rss_kib(s->pid);
    struct job_ref blob = blob_put(s, bytes, n, "");
    static const char *const tasks[] = {"'function':'copy','inputs':{'data':{'blob':'%s'}}",
                                        "'command':['cat'],'stdin_from':{'blob':'%s'}"};
    for (size_t i = 0; i < COUNT_OF(tasks); i++) {
        char *task = json_of("%s", tasks[i]);
        char *place = strstr(task, "%s");
        *place = '\0';
        AUTO_RESPONSE r = job_run(s, "{%s%s%s,'limits':{'output':'100MiB'}}", task, blob.id,
                                  place + 2);
        free(task);
        expect_outcome(r, "succeeded", NULL);
        AUTO_RESPONSE result = http_get(s, "/v1/jobs/%s/result", job_of(r).id);
        cr_assert_eq(result->len, n);
        cr_assert_str_eq(sha256_of(result->body, n).s, sha.s);
    }
    const long grown_kib = proc_rss_kib(s->pid) - before_kib;
    if (slow_factor() == 1) /* sanitizers have memory of their own */
        cr_assert_lt(grown_kib, 2048, "grown by %ld KiB", grown_kib);
}

static const char runner[] =
    "[function behave]\nkind = runner\nrunner = [\"python3\", \"" GANGER_SOURCE_DIR
    "/runners/ganger_runner.py\"]\ncall = behave:behave\n"
    "env = {\"PYTHONPATH\": \"" GANGER_SOURCE_DIR
    "/tests/runners\", \"PYTHONDONTWRITEBYTECODE\": \"1\"}\n";

/* The runner stays, and each task has blobs of its own. */
CONFIGURED_TEST(blobs, a_runner_gets_the_paths_of_its_task, runner)
{
    for (int i = 0; i < 3; i++) {
        struct text bytes = text_of("blob %d", i);
        struct job_ref blob = blob_put(s, bytes.s, strlen(bytes.s), "");
        AUTO_RESPONSE r = job_run(s,
                                  "{'function':'behave','args':['input','data.bin'],"
                                  "'inputs':{'data.bin':{'blob':'%s'}}}",
                                  blob.id);
        expect_outcome(r, "succeeded", NULL);
        expect_output(s, job_of(r), "result", bytes.s);
    }
    AUTO_RESPONSE none = job_run(s, "{'function':'behave','args':['input','data.bin']}");
    expect_outcome(none, "failed", "function_error");
}
