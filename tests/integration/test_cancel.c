/* SPDX-License-Identifier: MIT */
/* Cancelling: what it says, and that nothing is left behind. */
#include "integration/harness_test.h"

/* A marker that no other test of this machine has; every process of the job inherits it. */
static struct text marker_of(const struct server *s, const char *name)
{
    return text_of("%s.%s", s->dir, name);
}

#define MARK "'env':{'MARK':'%s'}"

SERVER_TEST_WITH(cancel, a_queued_job_is_cancelled_at_once, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    for (int i = 0; i < 5; i++) { /* the next ones are reserved already; that must not matter */
        struct job_ref job = job_submit(s, "{'command':['touch','%s/ran']}", s->scratch);
        AUTO_RESPONSE r = job_cancel(s, job, NULL, 0);
        expect_status(r, 200);
        cr_assert(json_bool(r, "cancelled"));
        expect_text(r, "job.state", "cancelled");
        cr_assert(json_is_null(r, "job.times.started"));
        expect_int(r, "receipt.processes_killed", 0);
        expect_int(r, "receipt.survivors", 0);
    }
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, first);
    AUTO_RESPONSE last = job_run(s, "{'command':['true']}");
    expect_outcome(last, "succeeded", NULL);
    AUTO_TEXT ran = file_read(text_of("%s/ran", s->scratch).s, NULL);
    cr_assert_null(ran, "a cancelled job ran");
}

SERVER_TEST(cancel, a_scheduled_job_is_cancelled_at_once)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE r = job_cancel(s, job, "{'reason':'not needed'}", 0);
    expect_status(r, 200);
    cr_assert(json_bool(r, "cancelled"));
    AUTO_RESPONSE shown = job_show(s, job);
    expect_text(shown, "state", "cancelled");
    cr_assert(json_bool(shown, "done"));
}

SERVER_TEST(cancel, a_running_job_can_be_cancelled_with_a_receipt)
{
    struct text mark = marker_of(s, "run");
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','sleep 600 & sleep 600; :']," MARK "}", mark.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AWAIT(proc_count_marked(mark.s) >= 3, 10);
    AUTO_RESPONSE r = job_cancel(s, job, NULL, 20);
    expect_status(r, 200);
    expect_header(r, "Preference-Applied", "wait=20");
    cr_assert(json_bool(r, "cancelled"));
    expect_text(r, "job.state", "cancelled");
    expect_int(r, "receipt.survivors", 0);
    cr_assert_geq(json_int(r, "receipt.processes_killed"), 1);
    cr_assert_lt(json_number(r, "receipt.took"), 5 * slow_factor());
    cr_assert(json_text(r, "receipt.guarantee")[0] != '\0');
    no_process_left(mark.s, 0);
    expect_text(r, "job.signal", "SIGTERM");
}

SERVER_TEST(cancel, without_a_wait_the_answer_is_202_while_it_stops)
{
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref job = job_submit(s,
                                    "{'command':['sh','-c','trap : TERM; touch %s; "
                                    "while :; do sleep 1; done'],'stop':{'grace':'300ms'}}",
                                    ready.s);
    await_file(ready.s, 20);
    AUTO_RESPONSE r = job_cancel(s, job, NULL, 0);
    expect_status(r, 202);
    expect_text(r, "job.state", "stopping");
    AUTO_RESPONSE again = job_cancel(s, job, NULL, 20);
    expect_status(again, 200);
    expect_text(again, "job.state", "cancelled");
    cr_assert(json_bool(again, "cancelled"));
}

SERVER_TEST(cancel, a_second_cancel_answers_200)
{
    struct job_ref job = job_submit(s, "{'command':['sleep','600']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AUTO_RESPONSE first = job_cancel(s, job, NULL, 20);
    expect_status(first, 200);
    AUTO_RESPONSE second = job_cancel(s, job, NULL, 0);
    expect_status(second, 200);
    cr_assert(json_bool(second, "cancelled"));
    expect_text(second, "job.state", "cancelled");
}

SERVER_TEST(cancel, a_finished_job_stays_as_it_is)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE r = job_cancel(s, job_of(done), NULL, 0);
    expect_status(r, 200);
    cr_assert_not(json_bool(r, "cancelled"));
    expect_text(r, "job.state", "succeeded");
}

SERVER_TEST_WITH(cancel, if_queued_leaves_a_running_job_alone, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    struct job_ref waits = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE no = job_cancel(s, job, "{'if':'queued'}", 0);
    expect_status(no, 200);
    cr_assert_not(json_bool(no, "cancelled"));
    expect_text(no, "job.state", "running");
    AUTO_RESPONSE yes = job_cancel(s, waits, "{'if':'queued'}", 0);
    expect_status(yes, 200);
    cr_assert(json_bool(yes, "cancelled"));
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
}

SERVER_TEST(cancel, a_job_may_clean_up_within_its_grace)
{
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref job = job_submit(s,
                                    "{'command':['sh','-c','trap \\\"echo cleaned; exit 0\\\" "
                                    "TERM; sleep 600 & until read x </proc/$!/comm && [ $x = "
                                    "sleep ]; do :; done; touch %s; wait']}",
                                    ready.s);
    await_file(ready.s, 20);
    AUTO_RESPONSE r = job_cancel(s, job, NULL, 20);
    expect_status(r, 200);
    expect_text(r, "job.state", "cancelled");
    expect_output(s, job, "stdout", "cleaned\n");
}

SERVER_TEST(cancel, signal_and_grace_of_the_request_win)
{
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref job = job_submit(
        s,
        "{'command':['sh','-c','trap \\\"\\\" TERM; trap \\\"echo int; exit 0\\\" INT; "
        "touch %s; while :; do sleep 0.05; done']}",
        ready.s);
    await_file(ready.s, 20);
    AUTO_RESPONSE r = job_cancel(s, job, "{'signal':'INT','grace':'20s'}", 20);
    expect_status(r, 200);
    expect_output(s, job, "stdout", "int\n");
}

/* Programs take a second one for "at once". It would come with the commit of the cancel, and the
 * signal that says "over" goes the same way behind it. */
SERVER_TEST(cancel, its_signal_is_sent_once)
{
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref job = job_submit(s,
                                    "{'command':['sh','-c','trap \\\"echo term\\\" TERM; trap "
                                    "over=1 USR1; touch %s; until [ $over ]; do sleep 1; done']}",
                                    ready.s);
    await_file(ready.s, 20);
    AUTO_RESPONSE r = job_cancel(s, job, "{'grace':'60s'}", 0);
    expect_status(r, 202);
    AUTO_RESPONSE over = http(s, "POST", text_of("/v1/jobs/%s/signal", job.id).s,
                              "{'signal':'USR1'}", NULL);
    expect_status(over, 202);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "cancelled", NULL);
    expect_output(s, job, "stdout", "term\n");
}

SERVER_TEST(cancel, a_deaf_job_is_killed_after_the_grace)
{
    struct text ready = text_of("%s/ready", s->scratch), mark = marker_of(s, "deaf");
    struct job_ref job = job_submit(s,
                                    "{'command':['sh','-c','trap \\\"\\\" TERM INT HUP; touch %s; "
                                    "while :; do sleep 1; done']," MARK "}",
                                    ready.s, mark.s);
    await_file(ready.s, 20);
    uint64_t start = now_ns();
    AUTO_RESPONSE r = job_cancel(s, job, "{'grace':'500ms'}", 20);
    expect_status(r, 200);
    cr_assert_gt(seconds_since(start), 0.5);
    cr_assert_lt(seconds_since(start), 1.5 * slow_factor(), "more than its grace and a second");
    expect_text(r, "job.signal", "SIGKILL");
    no_process_left(mark.s, 0);
}

static const struct {
    const char *what, *script;
} adversaries[] = {
    {"setsid", "setsid sleep 600 & setsid sleep 600 & setsid sleep 600 & touch $READY; wait"},
    {"double fork",
     "(setsid sh -c \\\"sleep 600 & sleep 600\\\" &) ; (sleep 600 &) ; touch $READY; sleep 600"},
    {"deaf daemon", "setsid sh -c \\\"trap : TERM HUP; trap '' INT; while :; do sleep 1; done\\\" "
                    "& touch $READY; sleep 600"},
    {"stopped", "sleep 600 & touch $READY; kill -STOP $$"},
    {"closed output", "exec >&- 2>&-; setsid sleep 600 & touch $READY; sleep 600"},
    {"fork chain", "perl -e 'use POSIX; open(F,q(>).$ENV{READY}); close F; for(;;){setsid(); my "
                   "$p=fork; exit 0 if $p; "
                   "select(undef,undef,undef,0.002)}' & sleep 600"},
};

/* json_of makes " of every ', so the scripts are written to a file instead. */
static struct text script_make(const struct server *s, size_t row)
{
    struct text path = text_of("%s/adversary-%zu", s->scratch, row);
    FILE *file = fopen(path.s, "we");
    CHECK(file != NULL, "cannot write %s", path.s);
    for (const char *p = adversaries[row].script; *p != '\0'; p++) {
        if (*p != '\\')
            (void)fputc(*p, file);
    }
    (void)fputc('\n', file);
    (void)fclose(file);
    return path;
}

static struct job_ref adversary_submit(struct server *s, size_t row, const char *mark,
                                       const char *more)
{
    struct text script = script_make(s, row), ready = text_of("%s/ready-%zu", s->scratch, row);
    struct job_ref job = job_submit(s, "{'command':['sh','%s'],'env':{'MARK':'%s','READY':'%s'}%s}",
                                    script.s, mark, ready.s, more);
    await_file(ready.s, 20);
    return job;
}

SERVER_TEST(cancel, nothing_of_a_tree_survives_a_cancel)
{
    for (size_t i = 0; i < COUNT_OF(adversaries); i++) {
        struct text mark = marker_of(s, text_of("adversary-%zu", i).s);
        struct job_ref job = adversary_submit(s, i, mark.s, "");
        AUTO_RESPONSE r = job_cancel(s, job, "{'grace':'200ms'}", 30);
        CHECK(r->status == 200 && json_bool(r, "cancelled"), "%s: %ld %s", adversaries[i].what,
              r->status, r->body);
        CHECK(json_int(r, "receipt.survivors") == 0, "%s: %s", adversaries[i].what, r->body);
        size_t left = proc_count_marked(mark.s);
        CHECK(left == 0, "%s: %zu processes left", adversaries[i].what, left);
    }
    cr_assert_eq(proc_count_zombies(s->pid), 0);
}

SERVER_TEST_WITH(cancel, nothing_of_a_tree_survives_a_timeout, .workers = COUNT_OF(adversaries))
{
    struct job_ref jobs[COUNT_OF(adversaries)];
    struct text marks[COUNT_OF(adversaries)];
    for (size_t i = 0; i < COUNT_OF(adversaries); i++) {
        marks[i] = marker_of(s, text_of("timeout-%zu", i).s);
        jobs[i] = adversary_submit(s, i, marks[i].s, ",'timeout':'600ms','stop':{'grace':'100ms'}");
    }
    for (size_t i = 0; i < COUNT_OF(adversaries); i++) {
        AUTO_RESPONSE r = job_await(s, jobs[i]);
        expect_outcome(r, "failed", "timeout");
        size_t left = proc_count_marked(marks[i].s);
        CHECK(left == 0, "%s: %zu processes left", adversaries[i].what, left);
    }
}

SERVER_TEST(cancel, a_cancel_storm_ends_every_job)
{
    enum { JOBS = 60 };
    struct job_ref jobs[JOBS];
    struct text mark = marker_of(s, "storm");
    for (size_t i = 0; i < JOBS; i++)
        jobs[i] = job_submit(s, "{'command':['sh','-c','sleep 600 & sleep 600']," MARK "}", mark.s);
    for (size_t i = 0; i < JOBS; i++) {
        AUTO_RESPONSE r = job_cancel(s, jobs[JOBS - 1 - i], "{'grace':0}", 0);
        CHECK(r->status == 200 || r->status == 202, "%ld: %s", r->status, r->body);
    }
    for (size_t i = 0; i < JOBS; i++) {
        AUTO_RESPONSE r = job_await(s, jobs[i]);
        expect_text(r, "state", "cancelled");
    }
    no_process_left(mark.s, 2);
    AUTO_RESPONSE next = job_run(s, "{'command':['true']}");
    expect_outcome(next, "succeeded", NULL);
}

SERVER_TEST(cancel, a_cancel_that_cannot_be_read_is_refused)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    static const struct {
        const char *body, *pointer;
    } rows[] = {{"{'signal':'NOPE'}", "/signal"}, {"{'grace':-1}", "/grace"},
                {"{'if':'running'}", "/if"},      {"{'reson':'x'}", "/reson"},
                {"{'grace':true}", "/grace"},     {"{'signal':9}", "/signal"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = job_cancel(s, job, rows[i].body, 0);
        expect_invalid(r, rows[i].pointer);
    }
    struct job_ref nobody = {"01990000-0000-7000-8000-000000000000"};
    AUTO_RESPONSE unknown = job_cancel(s, nobody, NULL, 0);
    expect_problem(unknown, 404, "not-found");
    AUTO_RESPONSE still = job_show(s, job);
    expect_text(still, "state", "scheduled");
}
