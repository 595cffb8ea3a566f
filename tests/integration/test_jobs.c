/* SPDX-License-Identifier: MIT */
/* Submitting a command and what its outcome says. */
#include "integration/harness_test.h"

#include <signal.h>

SERVER_TEST(jobs, a_submission_answers_202_with_the_job_as_it_was_born)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_status(r, 202);
    struct job_ref job = job_of(r);
    expect_header(r, "Location", text_of("/v1/jobs/%s", job.id).s);
    expect_header(r, "Content-Type", "application/json");
    expect_text(r, "state", "queued");
    cr_assert_not(json_bool(r, "done"));
    expect_int(r, "attempt", 0);
    cr_assert(json_is_null(r, "exit_code"));
    cr_assert(json_is_null(r, "signal"));
    cr_assert(json_is_null(r, "reason"));
    cr_assert(json_is_null(r, "times.started"));
    cr_assert(json_is_null(r, "times.finished"));
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
}

SERVER_TEST(jobs, a_job_has_every_member_of_the_contract)
{
    static const char *const members[] = {
        "id",
        "state",
        "reason",
        "done",
        "attempt",
        "max_attempts",
        "name",
        "queue",
        "priority",
        "labels",
        "metadata",
        "batch",
        "index",
        "parent",
        "progress",
        "worker",
        "exit_code",
        "signal",
        "error",
        "times.created",
        "times.queued",
        "times.started",
        "times.finished",
        "usage.wall",
        "usage.user",
        "usage.system",
        "usage.max_rss",
        "usage.processes_killed",
        "output.stdout_bytes",
        "output.stderr_bytes",
        "output.truncated",
        "attempts",
        "links.self",
        "links.result",
        "links.stdout",
        "links.stderr",
        "links.events",
    };
    AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    for (size_t i = 0; i < COUNT_OF(members); i++)
        CHECK(json_find(r, members[i]) != NULL, "no member %s in %s", members[i], r->body);
}

SERVER_TEST(jobs, defaults_are_those_of_the_contract)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    expect_outcome(r, "succeeded", NULL);
    cr_assert(strncmp(json_text(r, "name"), "job-", 4) == 0, "the default name is %s",
              json_text(r, "name"));
    expect_text(r, "queue", "default");
    expect_int(r, "priority", 0);
    expect_int(r, "max_attempts", 1);
    expect_int(r, "attempt", 1);
    expect_int(r, "exit_code", 0);
    cr_assert(cJSON_IsObject(json_find(r, "labels")) && json_find(r, "labels")->child == NULL);
    cr_assert(cJSON_IsObject(json_find(r, "metadata")) && json_find(r, "metadata")->child == NULL);
    cr_assert(cJSON_IsArray(json_find(r, "attempts")));
    cr_assert(json_is_null(r, "batch") && json_is_null(r, "index") && json_is_null(r, "parent"));
    cr_assert(json_is_null(r, "error"));
    cr_assert_not(json_bool(r, "output.truncated"));
    expect_int(r, "usage.processes_killed", 0);
}

SERVER_TEST(jobs, waiting_for_a_submission_answers_200_with_the_finished_job)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['echo','hi']}", "Prefer: wait=30",
                           NULL);
    expect_status(r, 200);
    expect_header(r, "Preference-Applied", "wait=30");
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "output.stdout_bytes", 3);
    expect_output(s, job_of(r), "stdout", "hi\n");
    expect_output(s, job_of(r), "result", "hi\n");
}

SERVER_TEST(jobs, an_exit_code_other_than_zero_fails_the_job)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','echo out; echo err >&2; exit 3']}");
    expect_outcome(r, "failed", "exit_code");
    expect_int(r, "exit_code", 3);
    cr_assert(json_is_null(r, "signal"));
    expect_output(s, job_of(r), "stdout", "out\n");
    expect_output(s, job_of(r), "stderr", "err\n");
    expect_int(r, "output.stdout_bytes", 4);
    expect_int(r, "output.stderr_bytes", 4);
}

SERVER_TEST(jobs, times_and_usage_tell_what_happened)
{
    AUTO_RESPONSE r = job_run(
        s, "{'command':['sh','-c','i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done']}");
    const char *order[] = {"times.created", "times.queued", "times.started", "times.finished"};
    expect_outcome(r, "succeeded", NULL);
    for (size_t i = 1; i < COUNT_OF(order); i++) {
        cr_assert(strcmp(json_text(r, order[i - 1]), json_text(r, order[i])) <= 0,
                  "%s is after %s in %s", order[i - 1], order[i], r->body);
    }
    cr_assert(json_number(r, "usage.wall") > 0);
    cr_assert(json_number(r, "usage.user") + json_number(r, "usage.system") > 0);
    cr_assert(json_number(r, "usage.max_rss") > 100000, "max_rss is in bytes: %s", r->body);
}

SERVER_TEST(jobs, a_death_by_signal_is_named)
{
    static const struct {
        const char *name;
        int number;
    } rows[] = {{"SEGV", SIGSEGV},
                {"KILL", SIGKILL},
                {"TERM", SIGTERM},
                {"ABRT", SIGABRT},
                {"USR1", SIGUSR1}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','kill -%s $$']}", rows[i].name);
        expect_outcome(r, "failed", "signal");
        expect_int(r, "exit_code", -rows[i].number);
        expect_text(r, "signal", text_of("SIG%s", rows[i].name).s);
    }
}

SERVER_TEST(jobs, a_program_that_does_not_exist_is_an_exec_failure)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['no-such-program-of-ours','x']}");
    expect_outcome(r, "failed", "exec");
    const char *detail = json_text(r, "error.detail");
    cr_assert(strstr(detail, "No such file or directory") != NULL &&
                  strstr(detail, "no-such-program-of-ours") != NULL,
              "error.detail is: %s", detail);
    cr_assert(json_is_null(r, "exit_code"));
    cr_assert(json_is_null(r, "signal"));
}

SERVER_TEST(jobs, every_way_not_to_start_is_an_exec_failure_with_its_cause)
{
    static const struct {
        const char *body, *detail;
    } rows[] = {
        {"{'command':['/no/such/file']}", "No such file or directory"},
        {"{'command':['/etc/passwd']}", "Permission denied"},
        {"{'command':['/tmp']}", "Permission denied"},
        {"{'command':['true'],'cwd':'/no/such/directory'}", "/no/such/directory"},
        {"{'command':['true'],'cwd':'/etc/passwd'}", "/etc/passwd"},
        {"{'command':['ls'],'env':{'PATH':'/nowhere'}}", "ls"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = job_run(s, "%s", rows[i].body);
        expect_outcome(r, "failed", "exec");
        cr_assert(strstr(json_text(r, "error.detail"), rows[i].detail) != NULL, "%s: %s",
                  rows[i].body, json_text(r, "error.detail"));
    }
}

SERVER_TEST(jobs, a_command_is_argv_and_no_shell)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['printf','%%s|','$HOME; ls','*','',' a  b ']}");
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "stdout", "$HOME; ls|*|| a  b |");
}

static bool env_name_is_allowed(const char *line)
{
    static const char *const allowed[] = {
        "PATH=", "GANGER_", "TRACEPARENT=", "LANG=", "HOME=", "GIVEN="};
    for (size_t i = 0; i < COUNT_OF(allowed); i++) {
        if (strncmp(line, allowed[i], strlen(allowed[i])) == 0)
            return true;
    }
    return false;
}

SERVER_TEST(jobs, the_environment_is_clean)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['env'],'env':{'GIVEN':'a=b c'}}");
    expect_outcome(r, "succeeded", NULL);
    AUTO_TEXT out = job_read(s, job_of(r), "stdout");
    cr_assert(strstr(out, "GIVEN=a=b c\n") != NULL, "%s", out);
    cr_assert(strstr(out, "SECRET") == NULL, "%s", out);
    char *rest = out;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        cr_assert(*line == '\0' || env_name_is_allowed(line), "the job sees %s", line);
}

SERVER_TEST(jobs, a_job_knows_who_it_is)
{
    AUTO_RESPONSE r = http(
        s, "POST", "/v1/jobs", "{'command':['env'],'name':'who am I'}", "Prefer: wait=30",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL);
    expect_status(r, 200);
    struct job_ref job = job_of(r);
    AUTO_TEXT out = job_read(s, job, "stdout");
    cr_assert(strstr(out, text_of("GANGER_JOB_ID=%s\n", job.id).s) != NULL, "%s", out);
    cr_assert(strstr(out, "GANGER_JOB_NAME=who am I\n") != NULL, "%s", out);
    cr_assert(strstr(out, "GANGER_ATTEMPT=1\n") != NULL, "%s", out);
    cr_assert(strstr(out, "GANGER_RUN=") != NULL, "%s", out);
    cr_assert(strstr(out, "GANGER_URL=") != NULL, "%s", out);
    cr_assert(strstr(out, "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-") != NULL, "%s", out);
    AUTO_RESPONSE plain = job_run(s, "{'command':['sh','-c','echo $GANGER_JOB_NAME']}");
    expect_output(s, job_of(plain), "stdout", text_of("%s\n", json_text(plain, "name")).s);
}

SERVER_TEST(jobs, cwd_is_obeyed_and_the_default_one_is_fresh)
{
    AUTO_RESPONSE in_usr = job_run(s, "{'command':['pwd'],'cwd':'/usr'}");
    expect_output(s, job_of(in_usr), "stdout", "/usr\n");
    for (int i = 0; i < 4; i++) {
        AUTO_RESPONSE r = job_run(
            s, "{'command':['sh','-c','ls -A; touch left; mkdir -p deep/er; ln -s / deep/root']}");
        expect_outcome(r, "succeeded", NULL);
        expect_output(s, job_of(r), "stdout", "");
    }
}

SERVER_TEST_WITH(jobs, the_default_directory_can_be_configured, .args = {"--job-cwd", "/usr"})
{
    AUTO_RESPONSE plain = job_run(s, "{'command':['pwd']}");
    expect_output(s, job_of(plain), "stdout", "/usr\n");
    AUTO_RESPONSE own = job_run(s, "{'command':['pwd'],'cwd':'/etc'}");
    expect_output(s, job_of(own), "stdout", "/etc\n");
}

SERVER_TEST(jobs, no_descriptor_of_the_server_reaches_a_job)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','ls /proc/self/fd']}");
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "stdout", "0\n1\n2\n3\n4\n"); /* 4 is the directory that ls reads */
}

SERVER_TEST(jobs, stdin_is_given_and_ends)
{
    AUTO_RESPONSE text = job_run(s, "{'command':['cat'],'stdin':'line 1\\nli\\u00e9 2'}");
    expect_output(s, job_of(text), "stdout", "line 1\nli\xc3\xa9 2");
    AUTO_RESPONSE none = job_run(s, "{'command':['wc','-c']}");
    expect_output(s, job_of(none), "stdout", "0\n");
    AUTO_RESPONSE bytes = job_run(s, "{'command':['od','-An','-tx1'],'stdin_base64':'AP8KAA=='}");
    expect_output(s, job_of(bytes), "stdout", " 00 ff 0a 00\n");
    AUTO_RESPONSE unread = job_run(s, "{'command':['true'],'stdin':'nobody reads this'}");
    expect_outcome(unread, "succeeded", NULL);
}

SERVER_TEST(jobs, stdin_as_text_and_as_bytes_exclude_each_other)
{
    AUTO_RESPONSE both = http(s, "POST", "/v1/jobs",
                              "{'command':['cat'],'stdin':'a','stdin_base64':'YQ=='}", NULL);
    expect_problem(both, 422, "invalid-request");
    AUTO_RESPONSE broken = http(s, "POST", "/v1/jobs", "{'command':['cat'],'stdin_base64':'YQ'}",
                                NULL);
    expect_invalid(broken, "/stdin_base64");
}

/* Larger than a slot's input and than a pipe, and read slowly. */
SERVER_TEST(jobs, a_large_stdin_arrives_whole)
{
    const size_t size = 900000;
    char *body = need_alloc(size + 200);
    int head = snprintf(body, 100, "{\"command\":[\"sha256sum\"],\"stdin\":\"");
    memset(body + head, 'x', size);
    (void)snprintf(body + (size_t)head + size, 100, "\"}");
    AUTO_RESPONSE r = job_run(s, "%s", body);
    free(body);
    expect_outcome(r, "succeeded", NULL);
    AUTO_RESPONSE same = job_run(
        s, "{'command':['sh','-c','head -c 900000 /dev/zero | tr \\\\\\\\0 x | sha256sum']}");
    AUTO_TEXT want = job_read(s, job_of(same), "stdout");
    expect_output(s, job_of(r), "stdout", want);
}

SERVER_TEST(jobs, names_labels_and_queues_come_back)
{
    AUTO_RESPONSE r = job_run(
        s, "{'command':['true'],'name':'thumb-7','queue':'media','priority':-100,"
           "'labels':{'tenant':'a','x':'\\u00e4 b'}}");
    expect_text(r, "name", "thumb-7");
    expect_text(r, "queue", "media");
    expect_int(r, "priority", -100);
    expect_text(r, "labels.tenant", "a");
    expect_text(r, "labels.x", "\xc3\xa4 b");
}

SERVER_TEST(jobs, metadata_come_back_byte_for_byte)
{
    static const char *const values[] = {
        "{ \"big\" : 123456789012345678901234567890, \"f\": 1.50E+3 ,\"z\":-0.0}",
        "[9223372036854775807,-9223372036854775808,9007199254740993]",
        "\"\\u00e9\\/ plain\"",
        "3.10",
        "{\"b\":1,\"a\":{\"b\":[[],{}]}}",
        "null",
        "false",
    };
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        AUTO_RESPONSE made = job_run(s, "{\"command\":[\"true\"],\"metadata\":%s}", values[i]);
        AUTO_RESPONSE r = job_show(s, job_of(made));
        cr_assert(strstr(r->body, text_of("\"metadata\":%s,", values[i]).s) != NULL ||
                      strstr(r->body, text_of("\"metadata\": %s,", values[i]).s) != NULL,
                  "%s has become: %s", values[i], r->body);
    }
}

SERVER_TEST(jobs, binary_output_is_not_changed)
{
    AUTO_RESPONSE r = job_run(
        s, "{'command':['sh','-c','head -c 200000 /dev/urandom | tee copy; cat copy >&2']}");
    expect_outcome(r, "succeeded", NULL);
    AUTO_RESPONSE out = http_get(s, "/v1/jobs/%s/stdout", job_of(r).id);
    AUTO_RESPONSE err = http_get(s, "/v1/jobs/%s/stderr", job_of(r).id);
    AUTO_RESPONSE result = http_get(s, "/v1/jobs/%s/result", job_of(r).id);
    cr_assert_eq(out->len, 200000);
    cr_assert_eq(err->len, 200000);
    cr_assert(memcmp(out->body, err->body, 200000) == 0);
    cr_assert(result->len == 200000 && memcmp(out->body, result->body, 200000) == 0);
}

/* Around the sizes at which output moves from a slot to a file. */
SERVER_TEST(jobs, output_of_every_size_is_whole)
{
    static const int sizes[] = {0, 1, 4095, 65535, 65536, 65537, 131072, 1048576, 3000001};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','head -c %d /dev/zero']}", sizes[i]);
        expect_outcome(r, "succeeded", NULL);
        expect_int(r, "output.stdout_bytes", sizes[i]);
        AUTO_RESPONSE out = http_get(s, "/v1/jobs/%s/stdout", job_of(r).id);
        expect_status(out, 200);
        cr_assert_eq(out->len, (size_t)sizes[i], "%zu bytes instead of %d", out->len, sizes[i]);
    }
}
