/* SPDX-License-Identifier: MIT */
/* Ends and beginnings of the server: drain, kill -9, and what the next start finds. */
#include "integration/harness_test.h"

#include <signal.h>
#include <unistd.h>

SERVER_TEST_WITH(restart, queued_jobs_outlive_kill_9, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['sh','-c','echo begun; cat %s']}", hold.s);
    AWAIT(job_has_said(s, first, "stdout", "begun"), 20);
    struct job_ref waiting[5];
    for (size_t i = 0; i < COUNT_OF(waiting); i++)
        waiting[i] = job_submit(s, "{'command':['echo','%zu'],'name':'w%zu'}", i, i);
    struct job_ref later = job_submit(s, "{'command':['echo','later'],'delay':'1s'}");
    server_kill(s);
    server_restart(s, NULL);
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        AUTO_RESPONSE r = job_await(s, waiting[i]);
        expect_outcome(r, "succeeded", NULL);
        expect_int(r, "attempt", 1);
        expect_output(s, waiting[i], "stdout", text_of("%zu\n", i).s);
    }
    AUTO_RESPONSE r = job_await(s, later);
    expect_outcome(r, "succeeded", NULL);
    AUTO_RESPONSE lost = job_await(s, first);
    expect_outcome(lost, "failed", "lost");
    cr_assert(json_is_null(lost, "exit_code"));
}

SERVER_TEST(restart, a_running_job_with_retries_runs_again)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s,
                                    "{'command':['sh','-c','echo $GANGER_ATTEMPT; cat "
                                    "%s'],'retry':{'max_attempts':3,'delay':'10ms'}}",
                                    hold.s);
    AWAIT(job_has_said(s, job, "stdout", "1\n"), 20);
    server_kill(s);
    server_restart(s, NULL);
    fifo_release(hold.s);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 2);
    expect_text(r, "attempts.0.reason", "lost");
    expect_output(s, job, "stdout", "2\n");
}

SERVER_TEST(restart, results_are_readable_after_a_restart)
{
    AUTO_RESPONSE small = job_run(s, "{'command':['echo','small']}");
    AUTO_RESPONSE large = job_run(s, "{'command':['seq','1','100000']}");
    AUTO_RESPONSE failed = job_run(s, "{'command':['sh','-c','echo why >&2; exit 7']}");
    AUTO_TEXT before = job_read(s, job_of(large), "stdout");
    (void)kill(s->pid, SIGTERM);
    cr_assert_eq(server_wait_exit(s, 30), 0);
    server_restart(s, NULL);
    expect_output(s, job_of(small), "result", "small\n");
    expect_output(s, job_of(large), "result", before);
    expect_output(s, job_of(failed), "stderr", "why\n");
    AUTO_RESPONSE again = job_show(s, job_of(failed));
    expect_outcome(again, "failed", "exit_code");
    expect_int(again, "exit_code", 7);
    expect_text(again, "times.created", json_text(failed, "times.created"));
}

SERVER_TEST(restart, kill_9_of_the_server_leaves_no_process)
{
    struct text mark = text_of("%s.orphan", s->dir);
    for (int i = 0; i < 2; i++)
        (void)job_submit(
            s,
            "{'command':['sh','-c','setsid sleep 600 & (setsid sleep 600 &); sleep 600'],"
            "'env':{'MARK':'%s'}}",
            mark.s);
    AWAIT(proc_count_marked(mark.s) >= 6, 20);
    struct pid_list *family = need_alloc(sizeof(*family));
    proc_find_descendants(s->pid, family);
    server_kill(s);
    no_process_left(mark.s, 2);
    for (size_t i = 0; i < family->n; i++)
        AWAIT(!proc_is_alive(family->pids[i]), 2);
    free(family);
    server_restart(s, NULL);
}

/* The zygote is the only child of the server, and the parent of the workers. */
static pid_t zygote_of(const struct server *s)
{
    pid_t found = 0;
    struct pid_list *list = need_alloc(sizeof(*list));
    proc_find_descendants(s->pid, list);
    for (size_t i = 0; i < list->n; i++) {
        if (proc_parent(list->pids[i]) == s->pid)
            found = list->pids[i];
    }
    free(list);
    CHECK(found > 0, "the server has no child");
    return found;
}

SERVER_TEST(restart, the_death_of_the_zygote_ends_the_server_with_70)
{
    struct text mark = text_of("%s.zygote", s->dir);
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','setsid sleep 600 & sleep 600'],'env':{'MARK':'%s'}}", mark.s);
    AWAIT(proc_count_marked(mark.s) >= 3, 20);
    (void)kill(zygote_of(s), SIGKILL);
    cr_assert_eq(server_wait_exit(s, 20), 70);
    no_process_left(mark.s, 2);
    server_restart(s, NULL);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "failed", "lost");
}

SERVER_TEST_WITH(restart, sigterm_lets_running_jobs_finish, .args = {"--drain", "20s"})
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['sh','-c','cat %s; echo finished']}", hold.s);
    struct job_ref other = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    (void)kill(s->pid, SIGTERM);
    long ready = 200;
    uint64_t until = deadline_in(10);
    while (ready == 200) {
        cr_assert_not(deadline_passed(until), "/readyz is still 200");
        AUTO_RESPONSE r = http(s, "GET", "/readyz", NULL, NULL);
        ready = r->status;
    }
    cr_assert_eq(ready, 503);
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_problem(refused, 503, "draining");
    cr_assert_not_null(header_of(refused, "Retry-After"));
    AUTO_RESPONSE still = job_show(s, job); /* reading goes on */
    expect_text(still, "state", "running");
    fifo_release(hold.s);
    cr_assert_eq(server_wait_exit(s, 20), 0);
    server_restart(s, NULL);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job, "stdout", "finished\n");
    AUTO_RESPONSE later = job_show(s, other);
    expect_text(later, "state", "scheduled");
}

SERVER_TEST_WITH(restart, a_drain_ends_what_takes_too_long, .args = {"--drain", "500ms"})
{
    struct text mark = text_of("%s.drain", s->dir);
    struct job_ref once = job_submit(s, "{'command':['sleep','600'],'env':{'MARK':'%s'}}", mark.s);
    struct job_ref again = job_submit(s, "{'command':['sh','-c','test $GANGER_ATTEMPT = 2 || sleep "
                                         "600'],'retry':{'max_attempts':2,'delay':0}}");
    AUTO_RESPONSE a = job_await_state(s, once, "running");
    AUTO_RESPONSE b = job_await_state(s, again, "running");
    (void)kill(s->pid, SIGTERM);
    cr_assert_eq(server_wait_exit(s, 15), 0);
    cr_assert_eq(proc_count_marked(mark.s), 0);
    server_restart(s, NULL);
    AUTO_RESPONSE lost = job_await(s, once);
    expect_outcome(lost, "failed", "lost");
    AUTO_RESPONSE retried = job_await(s, again);
    expect_outcome(retried, "succeeded", NULL);
}

SERVER_TEST_WITH(restart, a_second_sigterm_stops_at_once, .args = {"--drain", "60s"})
{
    struct text mark = text_of("%s.second", s->dir);
    struct job_ref job = job_submit(s, "{'command':['sleep','600'],'env':{'MARK':'%s'}}", mark.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    uint64_t start = now_ns();
    (void)kill(s->pid, SIGTERM);
    AWAIT(server_log_has(s, "drain"), 10);
    (void)kill(s->pid, SIGTERM);
    (void)server_wait_exit(s, 20);
    cr_assert_lt(seconds_since(start), 15 * slow_factor());
    no_process_left(mark.s, 2);
    server_restart(s, NULL);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "failed", "lost");
}

SERVER_TEST(restart, a_drain_answers_everyone_who_waits)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_CONN waiter = conn_open(s);
    conn_request(waiter, s, text_of("GET /v1/jobs/%s", job.id).s, "Prefer: wait=50\r\n", NULL);
    AUTO_CONN events = conn_open(s);
    conn_request(events, s, text_of("GET /v1/jobs/%s/events", job.id).s,
                 "Accept: text/event-stream\r\n", NULL);
    cr_assert(conn_await_head(events, 10));
    (void)kill(s->pid, SIGTERM);
    cr_assert(conn_await_end(waiter, 20), "the waiter got no answer");
    cr_assert(waiter->status == 200 || waiter->status == 503, "%ld", waiter->status);
    cr_assert(conn_await_close(events, 20));
    cr_assert_eq(server_wait_exit(s, 20), 0);
    server_restart(s, NULL);
}

SERVER_TEST(restart, one_data_directory_has_one_server)
{
    struct server_options second = {.dir = s->dir,
                                    .env = {"GANGER_FP=lock-patience:error:40"}}; /* tries */
    cr_assert_neq(server_start_failing(&second), 0);
    AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    expect_outcome(r, "succeeded", NULL);
}

SERVER_TEST(restart, a_stale_socket_is_replaced)
{
    server_kill(s);
    cr_assert_eq(access(text_of("%s/ganger.sock", s->dir).s, F_OK), 0,
                 "kill -9 leaves the socket behind");
    server_restart(s, NULL);
    struct call call = {.method = "GET", .path = "/v1/pool", .over_socket = true};
    AUTO_RESPONSE r = http_send(s, &call);
    expect_status(r, 200);
}
