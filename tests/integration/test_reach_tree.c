/* SPDX-License-Identifier: MIT */
/* A running job within reach: its processes, signals to them, and that they stand still and go on.
 */
#include "integration/cli_call.h"

#include <signal.h>
#include <unistd.h>

static struct response *processes(struct server *s, struct job_ref job)
{
    return http_get(s, "/v1/jobs/%s/processes", job.id);
}

static int n_processes(struct response *r)
{
    expect_status(r, 200);
    return cJSON_GetArraySize(json_find(r, "processes"));
}

/* Waits until the job has so many processes, and returns them. */
static struct response *await_processes(struct server *s, struct job_ref job, int n)
{
    for (uint64_t until = deadline_in(20);; pause_ms(5)) {
        struct response *r = processes(s, job);
        if (r->status == 200 && n_processes(r) == n)
            return r;
        CHECK(!deadline_passed(until), "not %d processes: %s", n, r->body);
        response_free(r);
    }
}

/* Index of the process whose last argument is this; -1: none. */
static int find_process(struct response *r, const char *last)
{
    const cJSON *process;
    int i = 0;
    cJSON_ArrayForEach(process, json_find(r, "processes"))
    {
        const cJSON *argv = json_at(process, "argv");
        const int n = cJSON_GetArraySize(argv);
        if (n > 0 && strcmp(cJSON_GetArrayItem(argv, n - 1)->valuestring, last) == 0)
            return i;
        i++;
    }
    return -1;
}

static int64_t number_at(struct response *r, int process, const char *member)
{
    return json_int(r, text_of("processes.%d.%s", process, member).s);
}

static struct response *post(struct server *s, struct job_ref job, const char *verb,
                             const char *body)
{
    return http(s, "POST", text_of("/v1/jobs/%s/%s", job.id, verb).s, body, NULL);
}

static void post_ok(struct server *s, struct job_ref job, const char *verb, const char *body)
{
    AUTO_RESPONSE r = post(s, job, verb, body);
    expect_status(r, 202);
    expect_text(r, "id", job.id);
}

/* A script of the test's; its path. */
static struct text script(struct server *s, const char *name, struct text text)
{
    return file_with(s, name, text.s, strlen(text.s));
}

#define FOR_EVER "while :; do sleep 0.02; done\n"

/* ------------------------------------------------------------------------------------------------
 * processes */

/* The name is read before the arguments: an exec may lie between the two. */
static bool has_become_sleep(struct response *r, int at)
{
    return at >= 0 && strcmp(json_text(r, text_of("processes.%d.name", at).s), "sleep") == 0;
}

SERVER_TEST(processes, the_whole_tree_with_what_was_left_behind)
{
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','sleep 901 & sh -c \\'sleep 902 & wait\\' & (setsid sleep 903 &);"
           " exec sleep 904']}");
    struct job_ref other = job_submit(s, "{'command':['sleep','905']}");
    AUTO_RESPONSE others = await_processes(s, other, 1);
    struct response *r = await_processes(s, job, 5);
    static const char *const all[] = {"901", "902", "903", "904"};
    for (size_t i = 0; i < COUNT_OF(all);) { /* until each exec has happened */
        if (has_become_sleep(r, find_process(r, all[i])) && n_processes(r) == 5) {
            i++;
            continue;
        }
        response_free(r);
        r = await_processes(s, job, 5);
        i = 0;
    }
    AUTO_RESPONSE shown = job_show(s, job);
    const int64_t worker = json_int(shown, "worker.pid");
    const int64_t main_pid = json_int(shown, "worker.job_pid");
    expect_text(r, "id", job.id);
    cr_assert_eq(json_int(r, "worker.pid"), worker);
    cr_assert(!json_bool(r, "truncated"));
    cr_assert_eq(find_process(r, "905"), -1, "it is another job's");
    cr_assert_eq(find_process(others, "904"), -1);
    const int first = find_process(r, "904");
    cr_assert_eq(number_at(r, first, "pid"), main_pid);
    cr_assert_eq(number_at(r, first, "ppid"), worker);
    cr_assert_eq(number_at(r, find_process(r, "901"), "ppid"), main_pid);
    cr_assert_eq(number_at(r, find_process(r, "903"), "ppid"), worker, "it has lost its parent");
    const int shell = find_process(r, "sleep 902 & wait");
    cr_assert_eq(number_at(r, shell, "ppid"), main_pid);
    cr_assert_eq(number_at(r, find_process(r, "902"), "ppid"), number_at(r, shell, "pid"));
    cr_assert_gt(number_at(r, first, "rss"), 0);
    cr_assert_geq(json_number(r, text_of("processes.%d.cpu", first).s), 0.0);
    expect_text(r, text_of("processes.%d.name", first).s, "sleep");
    AUTO_RESPONSE one = job_cancel(s, job, "{'grace':0}", 20);
    AUTO_RESPONSE two = job_cancel(s, other, "{'grace':0}", 20);
    response_free(r);
}

SERVER_TEST(processes, only_of_a_job_that_runs)
{
    struct job_ref waiting = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE early = processes(s, waiting);
    expect_problem(early, 409, "state-conflict");
    expect_text(early, "state", "scheduled");
    AUTO_RESPONSE over = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE late = processes(s, job_of(over));
    expect_problem(late, 409, "state-conflict");
    AUTO_RESPONSE none = http_get(s, "/v1/jobs/01990b6e-0000-7000-8000-000000000000/processes");
    expect_problem(none, 404, "not-found");
}

SERVER_TEST(processes, arguments_may_be_long_and_no_text)
{
    struct job_ref strange = job_submit(
        s, "{'command':['perl','-e','exec {q(perl)} q(perl), q(-e), q(sleep 1000), chr(255).q(b),"
           " q(c) x 9000']}");
    struct response *r = await_processes(s, strange, 1);
    for (uint64_t until = deadline_in(20);
         json_find(r, "processes.0.argv.4") == NULL ||
         strcmp(json_text(r, "processes.0.argv.0"), "perl") != 0;) {
        CHECK(!deadline_passed(until), "%s", r->body);
        response_free(r);
        r = processes(s, strange);
    }
    expect_text(r, "processes.0.argv.3", "?b");
    const size_t len = strlen(json_text(r, "processes.0.argv.4"));
    cr_assert(len > 3000 && len < 4096, "%zu", len);
    response_free(r);
    AUTO_RESPONSE over = job_cancel(s, strange, "{'grace':0}", 20);
}

SERVER_TEST(processes, by_the_command_line)
{
    struct job_ref job = job_submit(s, "{'command':['sh','-c','sleep 911 & wait']}");
    AUTO_RESPONSE r = await_processes(s, job, 2);
    AUTO_CALL shown = {0};
    cli_call_run(&shown, s, WORDS("ps", job.id));
    expect_code(&shown, 0);
    cr_assert_not_null(strstr(shown.out, "COMMAND"), "%s", shown.out);
    cr_assert_not_null(strstr(shown.out, " sh -c sleep 911 & wait\n"), "%s", shown.out);
    cr_assert_not_null(strstr(shown.out, "   sleep 911\n"), "it is below its parent: %s",
                       shown.out);
    AUTO_CALL json = {0};
    cli_call_run(&json, s, WORDS("ps", "--json", job.id));
    expect_code(&json, 0);
    cr_assert_not_null(strstr(json.out, "\"processes\":["));
    AUTO_RESPONSE over = job_cancel(s, job, "{'grace':0}", 20);
    AUTO_CALL late = {0};
    cli_call_run(&late, s, WORDS("ps", job.id));
    expect_code(&late, 1);
    expect_err_has(&late, "only a running one has processes");
}

/* ------------------------------------------------------------------------------------------------
 * signals */

SERVER_TEST(signals, reach_the_main_group_or_the_whole_tree)
{
    struct text main_file = text_of("%s/main", s->scratch);
    struct text far_file = text_of("%s/far", s->scratch);
    struct text ready = text_of("%s/ready", s->scratch);
    struct text far = script(
        s, "far.sh",
        text_of("got() { echo x >>%s; }\ntrap got USR1\ntouch %s\n" FOR_EVER, far_file.s, ready.s));
    struct text near = script(
        s, "near.sh",
        text_of("got() { echo x >>%s; }\ntrap got USR1\nsetsid sh %s &\n" FOR_EVER, main_file.s,
                far.s));
    struct job_ref job = job_submit(s, "{'command':['sh','%s']}", near.s);
    await_file(ready.s, 20);
    post_ok(s, job, "signal", "{'signal':'USR1'}");
    await_file(main_file.s, 20);
    post_ok(s, job, "signal", "{'signal':'SIGUSR1','tree':true}");
    await_file(far_file.s, 20);
    AWAIT(file_has(main_file.s, "x\nx"), 20);
    AUTO_TEXT lines = file_read(far_file.s, NULL);
    cr_assert_str_eq(lines, "x\n", "the first one was not for it");
    AUTO_RESPONSE over = job_cancel(s, job, "{'grace':0}", 20);
    expect_text(over, "job.state", "cancelled");
}

SERVER_TEST(signals, that_kill_fail_the_job)
{
    struct job_ref job = job_submit(s, "{'command':['sleep','1000']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    post_ok(s, job, "signal", "{'signal':'KILL'}");
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "failed", "signal");
    expect_int(end, "exit_code", -9);
    expect_text(end, "signal", "SIGKILL");
}

SERVER_TEST(signals, that_cannot_be_sent_are_refused)
{
    struct job_ref job = job_submit(s, "{'command':['sleep','1000']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    static const char *const bad[] = {"{'signal':'STOP'}", "{'signal':'CONT'}", "{'signal':'NOPE'}",
                                      "{'signal':9}", "{}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        AUTO_RESPONSE r = post(s, job, "signal", bad[i]);
        expect_invalid(r, "/signal");
    }
    AUTO_RESPONSE unknown = post(s, job, "signal", "{'signal':'USR1','to':1}");
    expect_invalid(unknown, "/to");
    AUTO_RESPONSE strange = post(s, job, "suspend", "{'x':1}");
    expect_problem(strange, 422, "invalid-request");
    AUTO_RESPONSE over = job_cancel(s, job, "{'grace':0}", 20);
    static const char *const verbs[] = {"signal", "suspend", "resume"};
    struct job_ref waiting = job_submit(s, "{'command':['true'],'delay':'1h'}");
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        const char *body = i == 0 ? "{'signal':'USR1'}" : NULL;
        AUTO_RESPONSE late = post(s, job, verbs[i], body);
        expect_problem(late, 409, "state-conflict");
        expect_text(late, "state", "cancelled");
        AUTO_RESPONSE early = post(s, waiting, verbs[i], body);
        expect_problem(early, 409, "state-conflict");
    }
}

/* ------------------------------------------------------------------------------------------------
 * suspend, resume */

static void await_suspended(struct server *s, struct job_ref job, bool wanted)
{
    for (uint64_t until = deadline_in(20);; pause_ms(5)) {
        AUTO_RESPONSE r = job_show(s, job);
        expect_text(r, "state", "running");
        if (json_bool(r, "suspended") == wanted)
            return;
        CHECK(!deadline_passed(until), "suspended is not %d: %s", wanted, r->body);
    }
}

static void suspend(struct server *s, struct job_ref job)
{
    post_ok(s, job, "suspend", NULL);
    await_suspended(s, job, true);
}

static void expect_all_stopped(struct server *s, struct job_ref job)
{
    AUTO_RESPONSE r = processes(s, job);
    const int n = n_processes(r);
    cr_assert_gt(n, 0);
    for (int i = 0; i < n; i++) {
        const char *state = json_text(r, text_of("processes.%d.state", i).s);
        CHECK(strcmp(state, "stopped") == 0 || strcmp(state, "zombie") == 0 ||
                  strcmp(state, "uninterruptible") == 0,
              "%s", r->body);
    }
}

static long size_of(const char *path)
{
    size_t len = 0;
    AUTO_TEXT bytes = file_read(path, &len);
    return bytes == NULL ? 0 : (long)len;
}

SERVER_TEST(suspend, all_processes_stand_still_and_go_on)
{
    struct text near = text_of("%s/near", s->scratch), far = text_of("%s/far", s->scratch);
    struct text beat = script(s, "beat.sh", text_of("while :; do echo >>$1; sleep 0.01; done\n"));
    struct job_ref job = job_submit(s, "{'command':['sh','-c','setsid sh %s %s & sh %s %s']}",
                                    beat.s, far.s, beat.s, near.s);
    await_file(near.s, 20);
    await_file(far.s, 20);
    AUTO_RESPONSE before = job_await_state(s, job, "running");
    cr_assert(!json_bool(before, "suspended"));
    suspend(s, job);
    expect_all_stopped(s, job);
    const long sizes[2] = {size_of(near.s), size_of(far.s)};
    post_ok(s, job, "suspend", "{}"); /* a second time is nothing */
    expect_all_stopped(s, job);
    cr_assert_eq(size_of(near.s), sizes[0]);
    cr_assert_eq(size_of(far.s), sizes[1]);
    post_ok(s, job, "resume", NULL);
    await_suspended(s, job, false);
    AWAIT(size_of(near.s) > sizes[0] && size_of(far.s) > sizes[1], 20);
    AUTO_RESPONSE over = job_cancel(s, job, "{'grace':0}", 20);
    expect_int(over, "receipt.survivors", 0);
    cr_assert(json_find(over, "job.suspended") == NULL, "it is of running jobs");
}

/* Who forks all the time is outrun. */
SERVER_TEST(suspend, a_tree_that_forks_without_end)
{
    struct job_ref job = job_submit(
        s,
        "{'command':['perl','-e','for (1..6) { last unless fork } setpgrp if $$ %% 2;"
        " while (1) { my $p = fork; if (!$p) { exit 0 if rand() < 0.9; next } waitpid $p, 0 }']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    for (int i = 0; i < 3; i++) {
        suspend(s, job);
        expect_all_stopped(s, job);
        AUTO_RESPONSE first = processes(s, job);
        AUTO_RESPONSE second = processes(s, job);
        cr_assert_eq(n_processes(first), n_processes(second));
        post_ok(s, job, "resume", NULL);
        await_suspended(s, job, false);
    }
    suspend(s, job);
    AUTO_RESPONSE over = job_cancel(s, job, "{'signal':'KILL'}", 20);
    expect_text(over, "job.state", "cancelled");
    expect_int(over, "receipt.survivors", 0);
}

/* The first process waits for one in a session of its own: both must go on to end in peace. */
SERVER_TEST(suspend, a_cancel_lets_the_whole_tree_end_in_peace)
{
    struct text bye = text_of("%s/bye", s->scratch), ready = text_of("%s/ready", s->scratch);
    struct text far = script(s, "far.sh",
                             text_of("trap \"exit 0\" TERM\ntouch %s\n" FOR_EVER, ready.s));
    struct text near = script(
        s, "near.sh",
        text_of("end() { kill $far; wait $far; echo bye >%s; exit 0; }\ntrap end TERM\n"
                "setsid sh %s &\nfar=$!\n" FOR_EVER,
                bye.s, far.s));
    struct job_ref job = job_submit(s, "{'command':['sh','%s'],'stop':{'grace':'60s'}}", near.s);
    await_file(ready.s, 20);
    suspend(s, job);
    AUTO_RESPONSE over = job_cancel(s, job, NULL, 50);
    expect_status(over, 200);
    expect_text(over, "job.state", "cancelled");
    expect_int(over, "job.exit_code", 0);
    cr_assert(file_has(bye.s, "bye"));
}

SERVER_TEST(suspend, a_timeout_runs_on)
{
    struct text bye = text_of("%s/bye", s->scratch), ready = text_of("%s/ready", s->scratch);
    struct text near = script(
        s, "near.sh",
        text_of("end() { echo bye >%s; exit 0; }\ntrap end TERM\ntouch %s\n" FOR_EVER, bye.s,
                ready.s));
    struct job_ref job = job_submit(
        s, "{'command':['sh','%s'],'timeout':'700ms','stop':{'grace':'60s'}}", near.s);
    await_file(ready.s, 20);
    post_ok(s, job, "suspend", NULL);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "failed", "timeout");
    cr_assert(file_has(bye.s, "bye"), "it could handle the signal");
}

SERVER_TEST(suspend, a_signal_waits_until_it_goes_on)
{
    struct text got = text_of("%s/got", s->scratch), ready = text_of("%s/ready", s->scratch);
    struct text near = script(
        s, "near.sh",
        text_of("end() { echo got >%s; exit 3; }\ntrap end USR1\ntouch %s\n" FOR_EVER, got.s,
                ready.s));
    struct job_ref job = job_submit(s, "{'command':['sh','%s']}", near.s);
    await_file(ready.s, 20);
    suspend(s, job);
    post_ok(s, job, "signal", "{'signal':'USR1'}");
    expect_all_stopped(s, job);
    cr_assert(access(got.s, F_OK) != 0);
    post_ok(s, job, "resume", NULL);
    AUTO_RESPONSE end = job_await(s, job);
    expect_int(end, "exit_code", 3);
}

PLAIN_TEST(suspend, neither_a_drain_nor_a_kill_leaves_a_suspended_tree)
{
    static const struct server_options options = {.workers = 2};
    struct server s;
    char marker[64];
    (void)snprintf(marker, sizeof marker, "suspended-%d", (int)getpid());
    server_start(&s, &options);
    for (int i = 0; i < 2; i++) {
        struct job_ref job = job_submit(
            &s, "{'command':['sh','-c','setsid sleep 1000 & sleep 1000'],'env':{'MARK':'%s'}}",
            marker);
        AUTO_RESPONSE three = await_processes(&s, job, 3);
        suspend(&s, job);
        if (i > 0)
            continue;
        server_kill(&s);
        no_process_left(marker, 20);
        server_restart(&s, NULL);
    }
    server_stop(&s);
    no_process_left(marker, 20);
}

SERVER_TEST(suspend, by_the_command_line)
{
    struct job_ref job = job_submit(s, "{'command':['sleep','1000']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AUTO_CALL stop = {0}, go = {0}, none = {0}, end = {0}, late = {0};
    cli_call_run(&stop, s, WORDS("suspend", job.id));
    expect_code(&stop, 0);
    expect_out(&stop, "");
    await_suspended(s, job, true);
    cli_call_run(&go, s, WORDS("resume", "--json", job.id));
    expect_code(&go, 0);
    cr_assert_not_null(strstr(go.out, "\"state\":\"running\""), "%s", go.out);
    await_suspended(s, job, false);
    cli_call_run(&none, s, WORDS("signal", job.id));
    expect_code(&none, 2);
    cli_call_run(&end, s, WORDS("signal", "--tree", "--signal", "INT", job.id));
    expect_code(&end, 0);
    AUTO_RESPONSE over = job_await(s, job);
    expect_text(over, "signal", "SIGINT");
    cli_call_run(&late, s, WORDS("resume", job.id));
    expect_code(&late, 1);
    expect_err_has(&late, "only a running one can be resumed");
}
