/* SPDX-License-Identifier: MIT */
/* The rules of the runner protocol (docs/runner-protocol.md), each by its number, with a runner
 * that keeps or breaks it (tests/runners/odd.py). */
#include "integration/runner_registry.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

RUNNER_TESTS(runners, registry)

/* ---- what it is ---- */

RUNNER_TEST(a_runner_stays_warm)
{
    const int64_t pid = runner_int(s, "odd", "'pid'");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(runner_int(s, "odd", "'pid'"), pid);
    AUTO_RESPONSE command = job_run(s, "{'command':['true']}");
    expect_outcome(command, "succeeded", NULL);
    cr_assert_eq(runner_int(s, "odd", "'pid'"), pid, "the end of a command ended it");
    cr_assert_neq(runner_int(s, "soft", "'pid'"), pid, "each function has its own");
}

RUNNER_TEST(a_runner_has_its_descriptors_and_no_others)
{
    runner_value(s, "odd", "'fds'", "[0, 1, 2, 3, 4, 5, 6]");
    runner_value(s, "odd", "'session'", "[true, true]");
    runner_value(s, "odd", "'cwd'", "\"/\"");
    AUTO_RESPONSE r = runner_call(s, "odd", "'links'");
    AUTO_TEXT links = job_read(s, job_of(r), "result");
    cr_assert(strncmp(links, "[\"/dev/null\", \"pipe:", 19) == 0, "%s", links);
    cr_assert_not_null(strstr(links, "ganger-inbox"));
    cr_assert_not_null(strstr(links, "ganger-outbox"));
}

RUNNER_TEST(a_task_says_what_is_asked)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'odd','args':['echo', [1,\n 2.50]],"
                                 "'kwargs':{'x':'y'}}");
    AUTO_TEXT value = job_read(s, job_of(r), "result");
    cr_assert_str_eq(value, "{\"fn\": \"some:thing\", \"args\": [\"echo\", [1, 2.5]], "
                            "\"kwargs\": {\"x\": \"y\"}}");
    AUTO_RESPONSE named = job_run(s,
                                  "{'function':'odd','args':['header'],'name':'a b','timeout':20}");
    AUTO_TEXT header = job_read(s, job_of(named), "result");
    const struct text begin = text_of("\"TASK %s ", job_of(named).id);
    cr_assert(strncmp(header, begin.s, strlen(begin.s)) == 0, "%s", header);
    static const char *const keys[] = {" codec=json", " attempt=1",     " deadline_ms=19",
                                       " name=a%20b", " fn=some:thing", " url=unix:/",
                                       " token="};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        cr_assert_not_null(strstr(header, keys[i]), "%s is not in %s", keys[i], header);
}

RUNNER_TEST(a_result_has_its_type)
{
    static const struct {
        const char *args, *type;
        size_t len;
    } cases[] = {
        {"'echo'", "application/json", 49},
        {"'pickle'", "application/octet-stream", 5},
        {"'bytes',[104,105]", "text/plain; charset=utf-8", 2},
        {"'bytes',[255,0]", "application/octet-stream", 2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE job = runner_call(s, "odd", cases[i].args);
        AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
        expect_status(r, 200);
        expect_header(r, "Content-Type", cases[i].type);
        if (i > 0)
            cr_assert_eq(r->len, cases[i].len, "%s: %zu", cases[i].args, r->len);
    }
}

RUNNER_TEST(a_raw_runner_gets_its_argument_as_it_is)
{
    runner_value(s, "raw", "'two\\nlines'", "two\nlines");
    runner_value(s, "raw", "{'a':[1]}", "{\"a\":[1]}");
    AUTO_RESPONSE two = runner_call(s, "raw", "1,2");
    expect_outcome(two, "failed", "function_error");
}

RUNNER_TEST(an_error_is_told)
{
    AUTO_RESPONSE r = runner_call(s, "odd", "'error'");
    expect_outcome(r, "failed", "function_error");
    expect_text(r, "error.detail", "OddError: it is odd");
    expect_output(s, job_of(r), "stderr", "line 1\nline 2\n");
    AUTO_RESPONSE raw = runner_call(s, "odd", "'raw_error'");
    expect_text(raw, "error.detail", "Odd Error: just text");
    AUTO_RESPONSE cancelled = runner_call(s, "odd", "'cancelled'");
    expect_outcome(cancelled, "failed", "function_error");
}

/* Also what comes with the answer, after the last look at the output. */
RUNNER_TEST(output_beyond_the_limit_fails_the_call)
{
    static const char *const args[] = {"'long_error',1025", "'print',1025"};
    for (size_t i = 0; i < COUNT_OF(args); i++) {
        AUTO_RESPONSE r = job_run(s,
                                  "{'function':'odd','args':[%s],'stop':{'grace':'0s'},"
                                  "'limits':{'output':'1KiB','on_output':'fail'}}",
                                  args[i]);
        expect_outcome(r, "failed", "output_limit");
    }
}

RUNNER_TEST(a_log_line_is_in_the_log)
{
    runner_value(s, "odd", "'log'", "1");
    cr_assert(server_log_has(s, "a line for the log"));
}

RUNNER_TEST(what_follows_a_large_result_is_not_part_of_it)
{
    struct stat st;
    AUTO_RESPONSE r = runner_call(s, "odd", "'large_and_more',100000");
    expect_outcome(r, "succeeded", NULL);
    cr_assert_eq(stat(text_of("%s/spool/01/1.1.res", s->dir).s, &st), 0); /* the first job */
    cr_assert_eq(st.st_size, 100002, "%lld bytes", (long long)st.st_size);
    (void)runner_int(s, "odd", "'pid'");
}

RUNNER_TEST(a_call_is_answered_with_501)
{
    runner_value(s, "odd", "'call'", "[\"REPLY\", \"77\", \"status=501\", 501]");
}

/* ---- the rules ---- */

RUNNER_TEST(rule_1_each_task_has_one_answer)
{
    AUTO_RESPONSE twice = runner_call(s, "odd", "'twice'");
    expect_outcome(twice, "succeeded", NULL);
    AUTO_TEXT first = job_read(s, job_of(twice), "result");
    cr_assert_str_eq(first, "1", "the first one counts");
    runner_value(s, "odd", "'answer_and_exit'", "7");
    AUTO_RESPONSE three = runner_call(s, "odd", "'exit',3");
    expect_outcome(three, "failed", "exit_code");
    expect_int(three, "exit_code", 3);
    AUTO_RESPONSE zero = runner_call(s, "odd", "'exit',0");
    expect_outcome(zero, "failed", "function_error");
    AUTO_RESPONSE crash = runner_call(s, "odd", "'die',11");
    expect_outcome(crash, "failed", "signal");
    expect_text(crash, "signal", "SIGSEGV");
    AUTO_RESPONSE again = job_run(
        s, "{'function':'odd','args':['die',9],'retry':{'max_attempts':2,'delay':0}}");
    expect_int(again, "attempt", 2);
    runner_value(s, "odd", "'bytes',[104]", "h");
}

RUNNER_TEST(rule_2_unknown_keys_are_skipped_and_unknown_verbs_are_errors)
{
    runner_value(s, "odd", "'keys'", "1");
    static const char *const ways[] = {"'verb'", "'id'", "'noise'", "'pong'", "'break'"};
    int64_t pid = runner_int(s, "odd", "'pid'");
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        AUTO_RESPONSE r = runner_call(s, "odd", ways[i]);
        if (i < COUNT_OF(ways) - 1)
            expect_outcome(r, "failed", "function_error");
        if (i == 0)
            expect_text(r, "error.detail", "ProtocolError: the verb MARVEL is unknown");
        const int64_t next = runner_int(s, "odd", "'pid'");
        cr_assert_neq(next, pid, "%s did not cost the runner", ways[i]);
        AWAIT(!proc_is_alive((pid_t)pid), 20);
        pid = next;
    }
}

RUNNER_TEST(rule_3_what_was_printed_before_the_answer_is_there)
{
    for (int i = 0; i < 5; i++) {
        const int bytes = i < 4 ? 1000 * i : 300000;
        AUTO_RESPONSE r = runner_call(s, "odd", text_of("'print',%d", bytes).s);
        expect_int(r, "output.stdout_bytes", bytes);
        expect_output(s, job_of(r), "stderr", "to stderr\n");
    }
}

RUNNER_TEST(rule_3_what_is_printed_between_tasks_is_nobodys)
{
    const struct text file = text_of("%s/pinged", s->scratch);
    (void)runner_int(s, "pinged", text_of("'tell','%s'", file.s).s);
    await_file(file.s, 20);
    AUTO_RESPONSE r = runner_call(s, "pinged", "'print',3");
    expect_output(s, job_of(r), "stdout", "xxx");
    expect_output(s, job_of(r), "stderr", "to stderr\n");
}

RUNNER_TEST(rule_4_the_end_of_a_pipe_is_the_end)
{
    AUTO_RESPONSE r = runner_call(s, "odd", "'close'");
    expect_outcome(r, "failed", "function_error");
    expect_text(r, "error.detail", "ProtocolError: it has closed its descriptor 4");
    const pid_t pid = (pid_t)runner_int(s, "odd", "'pid'");
    server_kill(s);
    AWAIT(!proc_is_alive(pid), 20);
    server_restart_configured(s, 1, registry);
}

RUNNER_TEST(rule_5_a_cancel_asks_waits_and_kills)
{
    const int64_t pid = runner_int(s, "soft", "'pid'");
    static const struct {
        const char *function, *word, *state;
        bool stays;
    } cases[] = {{"soft", "await_cancel", "cancelled", true},
                 {"soft", "win", "succeeded", true},
                 {"soft", "ignore", "cancelled", false},
                 {"odd", "ignore", "cancelled", false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct job_ref job = job_submit(s, "{'function':'%s','args':['%s']}",
                                              cases[i].function, cases[i].word);
        await_progress(s, job, "waits");
        AUTO_RESPONSE r = job_cancel(s, job, cases[i].stays ? "{'grace':20}" : "{'grace':0.05}",
                                     20);
        expect_status(r, 200);
        AUTO_RESPONSE end = job_await(s, job);
        expect_outcome(end, cases[i].state, NULL);
        if (i < 3)
            cr_assert_eq(runner_int(s, "soft", "'pid'") == pid, cases[i].stays, "%s",
                         cases[i].word);
    }
    AUTO_RESPONSE late = job_run(
        s, "{'function':'soft','args':['ignore'],'timeout':0.1,'stop':{'grace':0.05}}");
    expect_outcome(late, "failed", "timeout");
}

RUNNER_TEST(rule_5_what_a_task_leaves_behind_is_ended)
{
    AUTO_RESPONSE r = runner_call(s, "odd", "'child'");
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "usage.processes_killed", 1);
}

RUNNER_TEST(rule_6_a_failed_init_is_tried_three_times_and_told)
{
    runner_value(s, "init", "'bytes',[104]", "h");
    AUTO_RESPONSE r = runner_call(s, "init_fails", "'pid'");
    expect_outcome(r, "failed", "exec");
    expect_int(r, "attempt", 1);
    expect_text(r, "error.detail", "the runner of init_fails cannot start: InitError: not today");
    AUTO_RESPONSE lacks = runner_call(s, "no_init", "'pid'");
    expect_outcome(lacks, "failed", "exec");
    AUTO_RESPONSE mute = runner_call(s, "init_unanswered", "'pid'");
    expect_outcome(mute, "failed", "exec");
    expect_text(mute, "error.detail",
                "the runner of init_unanswered cannot start: RESULT before READY");
}

/* The one runner of this server; 0: there is none just now. */
static pid_t only_runner(struct server *s)
{
    static struct pid_list list;
    proc_find_descendants(s->pid, &list);
    for (size_t i = 0; i < list.n; i++)
        if (strncmp(proc_name(list.pids[i]).s, "python", 6) == 0)
            return list.pids[i];
    return 0;
}

RUNNER_TEST(rule_7_a_task_behind_an_init_can_be_cancelled)
{
    const struct job_ref job = job_submit(s, "{'function':'init_hangs','args':['pid']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AWAIT(job_has_said(s, job, "stderr", "never ready"), 20);
    const pid_t pid = only_runner(s);
    AUTO_RESPONSE r = job_cancel(s, job, "{'grace':20}", 20);
    expect_status(r, 200);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "cancelled", NULL);
    AWAIT(!proc_is_alive(pid), 20);
    runner_value(s, "odd", "'bytes',[104]", "h");
}

RUNNER_TEST(rule_7_a_task_is_sent_behind_an_init)
{
    runner_value(s, "init_behind", "'bytes',[104]", "h");
}

RUNNER_TEST(rule_8_a_runner_that_talks_before_it_listens_blocks_nobody)
{
    struct text_builder body = {0};
    text_add(&body, "'length','");
    for (int i = 0; i < 20000; i++)
        text_add(&body, "0123456789");
    text_add(&body, "'");
    runner_value(s, "late_body", body.text, "200000");
    text_free(&body);
}

/* The header of a task with a word of so many bytes. The caller frees it. */
static char *header_with(struct server *s, const char *function, size_t bytes)
{
    struct text_builder args = {0};
    text_add(&args, "'header','");
    for (size_t i = 0; i < bytes; i += 10)
        text_add(&args, "0123456789");
    text_add(&args, "'");
    AUTO_RESPONSE r = runner_call(s, function, args.text);
    text_free(&args);
    return job_read(s, job_of(r), "result");
}

RUNNER_TEST(rule_9_large_bodies_go_through_shared_memory)
{
    static const struct {
        const char *function;
        size_t bytes;
        bool by_shm;
    } bodies[] = {{"shm", 200000, false}, {"shm", 400000, true}, {"odd", 400000, false}};
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        AUTO_TEXT header = header_with(s, bodies[i].function, bodies[i].bytes);
        cr_assert_eq(strstr(header, " 0 codec=json") != NULL, bodies[i].by_shm, "%s", header);
        cr_assert_eq(strstr(header, " shm=/proc/self/fd/5:400") != NULL, bodies[i].by_shm, "%s",
                     header);
    }
    static const int sizes[] = {10, 1000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        AUTO_RESPONSE r = runner_call(s, "shm", text_of("'shm',%d", sizes[i]).s);
        expect_outcome(r, "succeeded", NULL);
        AUTO_RESPONSE value = http_get(s, "/v1/jobs/%s/result", job_of(r).id);
        cr_assert_eq(value->len, (size_t)sizes[i] + 2);
    }
    runner_value(s, "shm", "'outbox'", "0");
    AUTO_RESPONSE lie = runner_call(s, "shm", "'short_shm'");
    expect_outcome(lie, "failed", "function_error");
}

RUNNER_TEST(rule_10_an_idle_runner_that_does_not_answer_is_replaced)
{
    const pid_t pid = (pid_t)runner_int(s, "pinged", "'busy',0.25");
    cr_assert_eq(runner_int(s, "pinged", "'pid'"), pid, "a busy one is not pinged");
    cr_assert_eq(runner_int(s, "pinged", "'deaf'"), pid);
    AWAIT(!proc_is_alive(pid), 20);
    AWAIT(server_log_has(s, "no PONG in time"), 20);
    cr_assert_neq(runner_int(s, "pinged", "'pid'"), pid);
}

RUNNER_TEST(rule_10_a_busy_runner_is_pinged_if_it_says_that_it_answers)
{
    const pid_t pid = (pid_t)runner_int(s, "busy", "'pongs',2");
    cr_assert_eq(runner_int(s, "busy", "'pid'"), pid);
    AUTO_RESPONSE r = runner_call(s, "busy", "'busy',60");
    expect_outcome(r, "failed", "function_error");
    expect_text(r, "error.detail", "ProtocolError: no PONG in time");
    AWAIT(!proc_is_alive(pid), 20);
    cr_assert_neq(runner_int(s, "busy", "'pid'"), pid);
}

RUNNER_TEST(rule_11_a_runner_that_says_bye_is_replaced)
{
    const pid_t pid = (pid_t)runner_int(s, "odd", "'bye'");
    AWAIT(!proc_is_alive(pid), 20);
    cr_assert_neq(runner_int(s, "odd", "'pid'"), pid);
}

RUNNER_TEST(rule_12_lengths_are_bounded_before_anything_is_allocated)
{
    static const struct {
        const char *args, *detail;
    } cases[] = {
        {"'large',20000000", "ResultTooLarge: the result passes limits.output"},
        {"'huge_log'", "ProtocolError: LOG with 9999999999 bytes"},
        {"'line'", "ProtocolError: these are no frames"},
        {"'not_json'", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = runner_call(s, "odd", cases[i].args);
        expect_outcome(r, "failed", "function_error");
        if (cases[i].detail != NULL)
            expect_text(r, "error.detail", cases[i].detail);
    }
    AUTO_RESPONSE huge = job_run(s, "{'function':'odd','args':['huge'],'timeout':0.3,"
                                    "'stop':{'grace':0}}");
    expect_outcome(huge, "failed", "timeout");
}

RUNNER_TEST(rule_11_the_runner_that_was_not_used_for_the_longest_time_goes)
{
    const pid_t first = (pid_t)runner_int(s, "odd", "'pid'");
    const int64_t second = runner_int(s, "soft", "'pid'");
    for (int i = 0; i < 7; i++)
        (void)runner_int(s, text_of("more%d", i).s, "'pid'");
    AWAIT(!proc_is_alive(first), 20);
    cr_assert_eq(runner_int(s, "soft", "'pid'"), second);
    cr_assert_neq(runner_int(s, "odd", "'pid'"), first);
}

/* Being asked whether it lives is no use. */
RUNNER_TEST(rule_11_a_ping_does_not_keep_a_runner)
{
    const struct text file = text_of("%s/pinged", s->scratch);
    const pid_t pid = (pid_t)runner_int(s, "pinged", text_of("'tell','%s'", file.s).s);
    const int64_t second = runner_int(s, "odd", "'pid'");
    await_file(file.s, 20);
    runner_value(s, "raw", "'once the PONG was heard'", "once the PONG was heard");
    for (int i = 0; i < 6; i++)
        (void)runner_int(s, text_of("more%d", i).s, "'pid'");
    AWAIT(!proc_is_alive(pid), 20);
    cr_assert_eq(runner_int(s, "odd", "'pid'"), second);
}

RUNNER_TEST(rule_13_a_json_body_is_one_line)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'odd','args':['breaks',\n[1,\r\n2]\n]}");
    AUTO_TEXT breaks = job_read(s, job_of(r), "result");
    cr_assert_str_eq(breaks, "0");
}
