/* SPDX-License-Identifier: MIT */
/* Pipelines: jobs joined by kernel pipes. What goes through, who ends whom, and that they begin
 * together or not at all, also beside other work. */
#include "integration/harness_pipeline.h"
#include "integration/harness_queue.h"

SERVER_TEST(pipelines, squares_of_the_tutorial)
{
    AUTO_RESPONSE r = pipeline_run(s,
                                   "{'name':'squares','stages':["
                                   "{'name':'create_items','command':['seq','0','9']},"
                                   "{'name':'multiply_items','command':['awk','{print $1*$1}']}]}");
    expect_text(r, "state", "succeeded");
    expect_text(r, "name", "squares");
    expect_int(r, "total", 2);
    expect_int(r, "counts.succeeded", 2);
    expect_result(s, r, "0\n1\n4\n9\n16\n25\n36\n49\n64\n81\n");
    AUTO_RESPONSE first = job_show(s, stage_of(r, 0));
    expect_text(first, "name", "create_items");
    expect_text(first, "batch", json_text(r, "id"));
    expect_int(first, "output.stdout_bytes", 0);
    AUTO_RESPONSE nothing = http_get(s, "/v1/jobs/%s/result", json_text(first, "id"));
    expect_status(nothing, 204);
}

SERVER_TEST(pipelines, the_answer_names_the_stages_and_where_the_result_is)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/pipelines",
                           "{'stages':[{'command':['echo','x']},{'command':['cat']}],"
                           "'labels':{'a':'b'},'metadata':[1.0],'priority':3,'queue':'q'}",
                           NULL);
    expect_status(r, 202);
    expect_text(r, "kind", "pipeline");
    expect_text(r, "queue", "q");
    expect_header(r, "Location", text_of("/v1/batches/%s", json_text(r, "id")).s);
    expect_text(r, "links.result", text_of("/v1/jobs/%s/result", stage_of(r, 1).id).s);
    AUTO_RESPONSE over = batch_await(s, job_of(r));
    expect_text(over, "state", "succeeded");
    expect_text(over, "links.result", json_text(r, "links.result"));
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE job = job_show(s, stage_of(over, i));
        expect_int(job, "index", i);
        expect_int(job, "priority", 3);
        expect_text(job, "queue", "q");
        expect_text(job, "labels.a", "b");
    }
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?batch=%s", json_text(r, "id"));
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 2);
}

SERVER_TEST(pipelines, a_writer_whose_reader_has_enough_has_not_failed)
{
    AUTO_RESPONSE r = pipeline_run(
        s, "{'stages':[{'command':['yes']},{'command':['head','-n','1']}]}");
    expect_text(r, "state", "succeeded");
    expect_result(s, r, "y\n");
    AUTO_RESPONSE yes = job_show(s, stage_of(r, 0));
    expect_text(yes, "state", "succeeded");
    expect_text(yes, "signal", "SIGPIPE");
    expect_int(yes, "exit_code", -13);
    cr_assert(json_is_null(yes, "reason"));
}

SERVER_TEST(pipelines, the_last_stage_writes_to_nobody_who_could_have_enough)
{
    AUTO_RESPONSE r = pipeline_run(
        s, "{'stages':[{'command':['true']},{'command':['sh','-c','kill -PIPE $$']}]}");
    expect_text(r, "state", "failed");
    expect_stage(s, r, 1, "failed", "signal");
}

SERVER_TEST_WITH(pipelines, a_stage_that_fails_fails_the_pipeline, .workers = 3)
{
    AUTO_RESPONSE middle = pipeline_run(
        s, "{'stages':[{'command':['yes']},{'command':['false']},{'command':['cat']}]}");
    expect_text(middle, "state", "failed");
    expect_int(middle, "failed_first", 1);
    expect_stage(s, middle, 0, "succeeded", NULL);
    expect_stage(s, middle, 1, "failed", "exit_code");
    expect_stage(s, middle, 2, "succeeded", NULL);
    expect_result(s, middle, "");
    AUTO_RESPONSE first = pipeline_run(
        s, "{'stages':[{'command':['sh','-c','echo a; exit 4']},{'command':['cat']}]}");
    expect_text(first, "state", "failed");
    expect_int(first, "failed_first", 0);
    expect_result(s, first, "a\n");
    AUTO_RESPONSE missing = pipeline_run(
        s, "{'stages':[{'command':['yes']},{'command':['/nowhere/found']}]}");
    expect_text(missing, "state", "failed");
    expect_stage(s, missing, 0, "succeeded", NULL);
    expect_stage(s, missing, 1, "failed", "exec");
}

SERVER_TEST(pipelines, input_and_the_errors_of_each_stage)
{
    AUTO_RESPONSE r = pipeline_run(s, "{'stdin':'b\\na\\n','stages':["
                                      "{'command':['sh','-c','cat; echo one >&2']},"
                                      "{'command':['sh','-c','sort; echo two >&2']}]}");
    expect_text(r, "state", "succeeded");
    expect_result(s, r, "a\nb\n");
    expect_output(s, stage_of(r, 0), "stderr", "one\n");
    expect_output(s, stage_of(r, 1), "stderr", "two\n");
    AUTO_RESPONSE own = pipeline_run(s, "{'stages':[{'command':['cat'],'stdin_base64':'eHl6'},"
                                        "{'command':['rev']}]}");
    expect_result(s, own, "zyx");
    AUTO_RESPONSE none = pipeline_run(s,
                                      "{'stages':[{'command':['cat']},{'command':['wc','-c']}]}");
    expect_result(s, none, "0\n");
}

SERVER_TEST(pipelines, what_is_said_of_the_whole_holds_for_each_stage)
{
    AUTO_RESPONSE r = pipeline_run(
        s, "{'env':{'V':'w'},'cwd':'/usr','limits':{'open_files':77},'stages':["
           "{'command':['sh','-c','echo $V $PWD $(ulimit -n)']},"
           "{'command':['sh','-c','cat; echo $V $PWD'],'env':{'V':'own'},'cwd':'/'}]}");
    expect_result(s, r, "w /usr 77\nown /\n");
    AUTO_RESPONSE json = pipeline_run(
        s, "{'result':'json','stages':[{'command':['echo','[1,2]']},{'command':['cat']}]}");
    AUTO_RESPONSE value = http_get(s, "%s", json_text(json, "links.result"));
    expect_header(value, "Content-Type", "application/json");
}

SERVER_TEST(pipelines, its_queue_may_say_how_it_runs)
{
    put_queue(s, "q", "{'defaults':{'env':{'V':'queue'},'retry':{'max_attempts':3}}}");
    AUTO_RESPONSE r = pipeline_run(
        s, "{'queue':'q','stages':[{'command':['sh','-c','echo $V']},"
           "{'command':['sh','-c','cat; echo $V; exit 1'],'env':{'V':'own'}}]}");
    expect_output(s, stage_of(r, 1), "stdout", "queue\nown\n");
    AUTO_RESPONSE last = job_show(s, stage_of(r, 1));
    expect_int(last, "max_attempts", 1);
}

SERVER_TEST(pipelines, many_bytes_arrive_as_they_are)
{
    AUTO_RESPONSE alone = job_run(
        s, "{'command':['sh','-c','seq 1 9000000 | head -c 40000000 | md5sum']}");
    AUTO_TEXT want = job_read(s, job_of(alone), "stdout");
    AUTO_RESPONSE r = pipeline_run(
        s, "{'stages':[{'command':['sh','-c','seq 1 9000000 | head -c 40000000']},"
           "{'command':['md5sum']}]}");
    expect_text(r, "state", "succeeded");
    expect_result(s, r, want);
}

SERVER_TEST(pipelines, as_long_as_the_pool_and_not_longer)
{
    AUTO_RESPONSE one = pipeline_run(s, "{'stages':[{'command':['echo','alone']}]}");
    expect_result(s, one, "alone\n");
    AUTO_RESPONSE two = pipeline_run(
        s, "{'stages':[{'command':['echo','both']},{'command':['cat']}]}");
    expect_result(s, two, "both\n");
    AUTO_RESPONSE three = http(s, "POST", "/v1/pipelines",
                               "{'stages':[{'command':['true']},{'command':['true']},"
                               "{'command':['true']}]}",
                               NULL);
    expect_problem(three, 422, "pipeline-too-long");
    expect_text(three, "errors.0.pointer", "/stages");
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 3, "nothing of it was stored");
}

static const struct {
    const char *body, *pointer;
} refused[] = {
    {"{}", "/stages"},
    {"{'stages':[]}", "/stages"},
    {"{'stages':{'command':['true']}}", "/stages"},
    {"{'stages':[{'command':['true']},{}]}", "/stages/1/command"},
    {"{'stages':[{'command':[]}]}", "/stages/0/command"},
    {"{'stages':[{'command':['true',3]}]}", "/stages/0/command/1"},
    {"{'stages':[{'command':['true'],'comand':1}]}", "/stages/0/comand"},
    {"{'stages':[{'command':['true']}],'comand':1}", "/comand"},
    {"{'stages':[{'command':['true']}],'command':['true']}", "/command"},
    {"{'stages':[{'command':['true']},{'command':['true'],'stdin':'x'}]}", "/stages/1/stdin"},
    {"{'stages':[{'command':['true']},{'command':['true'],'stdin_base64':'eA=='}]}",
     "/stages/1/stdin_base64"},
    {"{'stages':[{'command':['true']},{'command':['true'],'stdin_from':{'job':'x'}}]}",
     "/stages/1/stdin_from"},
    {"{'stdin':'x','stages':[{'command':['true'],'stdin':'x'}]}", "/stages/0/stdin"},
    {"{'stages':[{'command':['true'],'result':'json'},{'command':['true']}]}", "/stages/0/result"},
    {"{'stages':[{'command':['true'],'delay':1}]}", "/stages/0/delay"},
    {"{'stages':[{'command':['true'],'run_at':'2030-01-01T00:00:00Z'}]}", "/stages/0/run_at"},
    {"{'stages':[{'command':['true'],'queue':'x'}]}", "/stages/0/queue"},
    {"{'stages':[{'command':['true'],'priority':1}]}", "/stages/0/priority"},
    {"{'stages':[{'command':['true'],'deadline':1}]}", "/stages/0/deadline"},
    {"{'stages':[{'command':['true'],'queue_timeout':1}]}", "/stages/0/queue_timeout"},
    {"{'stages':[{'command':['true'],'keep':1}]}", "/stages/0/keep"},
    {"{'stages':[{'command':['true'],'retry':{}}]}", "/stages/0/retry"},
    {"{'stages':[{'command':['true'],'depends_on':[]}]}", "/stages/0/depends_on"},
    {"{'stages':[{'command':['true']}],'retry':{'max_attempts':2}}", "/retry"},
    {"{'stages':[{'command':['true']}],'unique':{'key':'x'}}", "/unique"},
    {"{'stages':[{'command':['true']}],'delay':1,'run_at':'2030-01-01T00:00:00Z'}", "/run_at"},
};

SERVER_TEST(pipelines, what_is_refused_is_named_by_its_place)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/pipelines", refused[i].body, NULL);
        expect_invalid(r, refused[i].pointer);
    }
}

SERVER_TEST(pipelines, the_same_key_makes_one)
{
    static const char body[] = "{'stages':[{'command':['echo','x']},{'command':['cat']}]}";
    AUTO_RESPONSE first = http(s, "POST", "/v1/pipelines", body, "Idempotency-Key: p", NULL);
    expect_status(first, 202);
    AUTO_RESPONSE again = http(s, "POST", "/v1/pipelines", body, "Idempotency-Key: p",
                               "Prefer: wait=50", NULL);
    expect_status(again, 200);
    expect_header(again, "Idempotency-Replayed", "true");
    expect_text(again, "id", json_text(first, "id"));
    AUTO_RESPONSE other = http(s, "POST", "/v1/pipelines", "{'stages':[{'command':['true']}]}",
                               "Idempotency-Key: p", NULL);
    expect_problem(other, 422, "key-reused");
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 2);
}

SERVER_TEST(pipelines, begins_when_it_is_due_and_gives_up_when_it_waits_too_long)
{
    AUTO_RESPONSE late = http(s, "POST", "/v1/pipelines",
                              "{'delay':0.2,'stages':[{'command':['echo','x']},"
                              "{'command':['cat']}]}",
                              NULL);
    expect_int(late, "counts.scheduled", 1);
    expect_int(late, "counts.blocked", 1);
    AUTO_RESPONSE over = batch_await(s, job_of(late));
    expect_result(s, over, "x\n");
    struct text gate = fifo_make(s, "gate");
    struct job_ref held = job_submit(s, "{'command':['cat','%s']}", gate.s);
    AUTO_RESPONSE running = job_await_state(s, held, "running");
    AUTO_RESPONSE r = pipeline_run(
        s, "{'queue_timeout':0.2,'stages':[{'command':['true']},{'command':['true']}]}");
    expect_text(r, "state", "failed");
    expect_stage(s, r, 0, "failed", "queue_timeout");
    expect_stage(s, r, 1, "cancelled", NULL);
    fifo_release(gate.s);
}

SERVER_TEST(pipelines, waits_for_parents)
{
    struct text gate = fifo_make(s, "gate");
    struct job_ref parent = job_submit(s, "{'command':['cat','%s']}", gate.s);
    struct job_ref good = pipeline_submit(s,
                                          "{'depends_on':['%s'],'stages':["
                                          "{'command':['echo','x']},{'command':['cat']}]}",
                                          parent.id);
    AUTO_RESPONSE waiting = batch_show(s, good);
    expect_int(waiting, "counts.blocked", 2);
    fifo_release(gate.s);
    AUTO_RESPONSE over = batch_await(s, good);
    expect_result(s, over, "x\n");
    AUTO_RESPONSE out = job_run(s, "{'command':['printf','b a']}");
    struct job_ref fed = pipeline_submit(s,
                                         "{'stdin_from':{'job':'%s'},'stages':["
                                         "{'command':['sh','-c','cat; echo $0','{result:%s}']},"
                                         "{'command':['rev'],'files':{'x':'y'}}]}",
                                         json_text(out, "id"), json_text(out, "id"));
    AUTO_RESPONSE taken = batch_await(s, fed);
    expect_result(s, taken, "a ba b\n");
    AUTO_RESPONSE bad = job_run(s, "{'command':['false']}");
    struct job_ref lost = pipeline_submit(s,
                                          "{'depends_on':['%s'],'stages':["
                                          "{'command':['echo','x']},{'command':['cat']}]}",
                                          json_text(bad, "id"));
    AUTO_RESPONSE cancelled = batch_await(s, lost);
    expect_text(cancelled, "state", "cancelled");
    expect_int(cancelled, "counts.cancelled", 2);
}

/* ------------------------------------------------------------------------------------------------
 * one ends, all end */

SERVER_TEST(pipelines, a_cancel_of_one_stage_ends_all)
{
    for (int i = 0; i < 2; i++) {
        struct job_ref p = pipeline_submit(
            s, "{'env':{'MARK':'pipe-cancel'},'stages':[{'command':['sleep','1000']},"
               "{'command':['sh','-c','sleep 1000; cat']}]}");
        struct job_ref first = stage(s, p, 0);
        struct job_ref second = stage(s, p, 1);
        AUTO_RESPONSE one = job_await_state(s, first, "running");
        AUTO_RESPONSE two = job_await_state(s, second, "running");
        AUTO_RESPONSE cancel = job_cancel(s, i == 0 ? first : second, NULL, 20);
        expect_status(cancel, 200);
        AUTO_RESPONSE over = batch_await(s, p);
        expect_text(over, "state", "cancelled");
        expect_int(over, "counts.cancelled", 2);
        no_process_left("MARK=pipe-cancel", 5);
    }
}

SERVER_TEST(pipelines, all_stages_get_the_signal_of_a_cancel_of_one)
{
    struct text ready[2] = {text_of("%s/0", s->scratch), text_of("%s/1", s->scratch)};
    const char *script = "trap \\\"\\\" TERM; trap \\\"echo int >&2; exit 0\\\" INT; touch";
    struct job_ref p = pipeline_submit(
        s,
        "{'stages':[{'command':['sh','-c','%s %s; while :; do sleep 1; done']},"
        "{'command':['sh','-c','%s %s; while :; do sleep 1; done']}]}",
        script, ready[0].s, script, ready[1].s);
    await_file(ready[0].s, 20);
    await_file(ready[1].s, 20);
    AUTO_RESPONSE cancel = job_cancel(s, stage(s, p, 0), "{'signal':'INT','grace':'60s'}", 20);
    expect_status(cancel, 200);
    AUTO_RESPONSE over = batch_await(s, p);
    expect_text(over, "state", "cancelled");
    for (int i = 0; i < 2; i++)
        expect_output(s, stage(s, p, i), "stderr", "int\n");
}

SERVER_TEST(pipelines, a_cancel_of_a_waiting_stage_ends_all)
{
    for (int i = 0; i < 2; i++) {
        struct job_ref p = pipeline_submit(
            s, "{'delay':'1h','stages':[{'command':['true']},{'command':['true']}]}");
        AUTO_RESPONSE cancel = job_cancel(s, stage(s, p, i), NULL, 0);
        expect_status(cancel, 200);
        AUTO_RESPONSE over = batch_await(s, p);
        expect_text(over, "state", "cancelled");
        expect_int(over, "counts.cancelled", 2);
    }
    AUTO_RESPONSE next = pipeline_run(s,
                                      "{'stages':[{'command':['echo','x']},{'command':['cat']}]}");
    expect_result(s, next, "x\n");
}

SERVER_TEST(pipelines, a_cancel_of_its_batch_ends_all)
{
    struct job_ref p = pipeline_submit(
        s, "{'env':{'MARK':'pipe-batch'},'stages':[{'command':['sleep','1000']},"
           "{'command':['sh','-c','sleep 1000; cat']}]}");
    struct job_ref waiting = pipeline_submit(
        s, "{'stages':[{'command':['true']},{'command':['true']}]}");
    AUTO_RESPONSE one = job_await_state(s, stage(s, p, 0), "running");
    AUTO_RESPONSE cancel = batch_post(s, waiting, "cancel", "{'reason':'no more'}");
    cr_assert_lt(cancel->status, 300);
    AUTO_RESPONSE stop = batch_post(s, p, "cancel", NULL);
    cr_assert_lt(stop->status, 300);
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE over = batch_await(s, i == 0 ? p : waiting);
        expect_text(over, "state", "cancelled");
        expect_int(over, "counts.queued", 0);
        expect_int(over, "counts.blocked", 0);
    }
    no_process_left("MARK=pipe-batch", 5);
    AUTO_RESPONSE retry = batch_post(s, p, "retry", NULL);
    expect_problem(retry, 409, "state-conflict");
}

SERVER_TEST(pipelines, a_timeout_of_one_stage_fails_it_and_the_others_see_the_end)
{
    AUTO_RESPONSE r = pipeline_run(
        s, "{'stages':[{'command':['sleep','1000'],'timeout':0.2},{'command':['cat']}]}");
    expect_text(r, "state", "failed");
    expect_stage(s, r, 0, "failed", "timeout");
    expect_stage(s, r, 1, "succeeded", NULL);
    AUTO_RESPONSE both = pipeline_run(
        s, "{'timeout':0.2,'stages':[{'command':['sleep','1000']},{'command':['sleep','1000']}]}");
    expect_stage(s, both, 0, "failed", "timeout");
    expect_stage(s, both, 1, "failed", "timeout");
}

/* ------------------------------------------------------------------------------------------------
 * beside other work */

/* A long job elsewhere, a pipeline that needs both workers, a plain job behind it. */
SERVER_TEST(pipelines, nothing_overtakes_one_that_waits_for_its_workers)
{
    struct text gate = fifo_make(s, "gate");
    struct job_ref held = job_submit(s, "{'command':['cat','%s']}", gate.s);
    AUTO_RESPONSE running = job_await_state(s, held, "running");
    struct job_ref p = pipeline_submit(s,
                                       "{'stages':[{'command':['echo','x']},{'command':['cat']}]}");
    struct job_ref behind = job_submit(s, "{'command':['true']}");
    struct job_ref urgent = job_submit(s, "{'command':['true'],'priority':1}");
    AUTO_RESPONSE first = job_await(s, urgent);
    expect_outcome(first, "succeeded", NULL);
    AUTO_RESPONSE waiting = batch_show(s, p);
    expect_int(waiting, "counts.queued", 1);
    expect_int(waiting, "counts.blocked", 1);
    AUTO_RESPONSE second = job_show(s, behind);
    expect_text(second, "state", "queued");
    fifo_release(gate.s);
    AUTO_RESPONSE over = batch_await(s, p);
    expect_result(s, over, "x\n");
    AUTO_RESPONSE last = job_await(s, behind);
    AUTO_RESPONSE stage_one = job_show(s, stage(s, p, 0));
    cr_assert_geq(strcmp(json_text(last, "times.started"), json_text(stage_one, "times.started")),
                  0);
}

SERVER_TEST(pipelines, many_on_a_small_pool_with_plain_jobs_between_them)
{
    enum { N = 20 };
    struct job_ref pipelines[N], plain[N];
    for (int i = 0; i < N; i++) {
        pipelines[i] = pipeline_submit(s,
                                       "{'stages':[{'command':['seq','%d']},"
                                       "{'command':['tail','-n','1']}],'queue':'q%d'}",
                                       i + 1, i % 3);
        plain[i] = job_submit(s, "{'command':['sleep','0.01'],'queue':'q%d'}", i % 2);
    }
    for (int i = 0; i < N; i++) {
        AUTO_RESPONSE job = job_await(s, plain[i]);
        expect_outcome(job, "succeeded", NULL);
        AUTO_RESPONSE r = batch_await(s, pipelines[i]);
        expect_text(r, "state", "succeeded");
        expect_result(s, r, text_of("%d\n", i + 1).s);
    }
}

SERVER_TEST_WITH(pipelines, of_different_lengths_do_not_wait_for_each_other, .workers = 3)
{
    enum { N = 12 };
    struct job_ref p[N];
    for (int i = 0; i < N; i++)
        p[i] = pipeline_submit(s, i % 2 == 0 ? "{'stages':[{'command':['sleep','0.02']},"
                                               "{'command':['cat']}]}"
                                             : "{'stages':[{'command':['sleep','0.01']},"
                                               "{'command':['cat']},{'command':['cat']}]}");
    for (int i = 0; i < N; i++) {
        AUTO_RESPONSE r = batch_await(s, p[i]);
        expect_text(r, "state", "succeeded");
    }
}

/* Its first stages are not left behind: they would run as a pipeline of their own. */
SERVER_TEST(pipelines, one_that_its_queue_has_no_room_for_leaves_nothing)
{
    put_queue(s, "narrow", "{'max_length':1}");
    AUTO_RESPONSE full = http(s, "POST", "/v1/pipelines",
                              "{'queue':'narrow','stages':[{'command':['true']},"
                              "{'command':['true']}]}",
                              NULL);
    expect_problem(full, 429, "queue-limit");
    AUTO_RESPONSE jobs = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(jobs, "items")), 0, "%s", jobs->body);
    AUTO_RESPONSE batches = http_get(s, "/v1/batches");
    cr_assert_eq(cJSON_GetArraySize(json_find(batches, "items")), 0, "%s", batches->body);
}
