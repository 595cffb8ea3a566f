/* SPDX-License-Identifier: MIT */
/* What people complain about where many futures are made at once, one test for each complaint.
 * "The whole input is drawn at once": test_uploads.c. */
#include "integration/harness_items.h"
#include "integration/harness_queue.h"

#define SSE "Accept: text/event-stream\r\n"

static struct text results_of(struct job_ref batch, const char *query)
{
    return text_of("/v1/batches/%s/results%s", batch.id, query);
}

/* "Cancelled futures are not announced": as_completed hangs for ever after
 * shutdown(cancel_futures=True). */
SERVER_TEST_WITH(results, complaint_cancelled_elements_are_announced, .workers = 1)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sleep','600'],'items':[0,1,2,3],'max_parallel':1}");
    struct job_ref first = element_of(s, batch, 0);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    AUTO_CONN stream = items_open(s, results_of(batch, "").s, SSE);
    AUTO_CONN each = conn_open(s);
    AUTO_TEXT body = json_of("{'jobs':['%s','%s'],'timeout':'50s'}", first.id,
                             element_of(s, batch, 3).id);
    conn_request(each, s, "POST /v1/as-completed", "Content-Type: application/json\r\n", body);
    AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", NULL);
    cr_assert(conn_await_end(stream, 20), "the stream of results hangs");
    cr_assert(conn_await_end(each, 20), "as-completed hangs: %s", each->body);
    struct seen seen = {0};
    cr_assert_eq(items_take(&seen, stream, 0, 10), 4);
    items_expect_each_once(&seen, 4);
    cr_assert(seen.has_end);
    cr_assert(strstr(stream->body, "\"state\":\"cancelled\"") != NULL, "%s", stream->body);
}

/* "One error in map loses the results of the others", and nothing stops the rest of the work. */
SERVER_TEST(results, complaint_one_error_hides_no_other_result_and_can_stop_the_rest)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','test {} != 1 || exit 3; echo {}'],'items':[0,1,2,3,4]}");
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "failed");
    expect_int(end, "failed_first", 1);
    AUTO_RESPONSE all = http_get(s, "%s", results_of(batch, "?order=index").s);
    expect_text(all, "0.value", "0\n");
    expect_int(all, "1.exit_code", 3);
    expect_text(all, "4.value", "4\n");
    struct job_ref fast = batch_submit(
        s, "{'command':['false','{}'],'items':[0,1,2,3,4,5,6,7],'max_parallel':1,"
           "'max_failures':1}");
    AUTO_RESPONSE stopped = batch_await(s, fast);
    expect_int(stopped, "counts.failed", 1);
    expect_int(stopped, "counts.cancelled", 7);
}

/* "No priorities": what is urgent passes what was submitted before, elements of a batch too. */
SERVER_TEST_WITH(queues, complaint_what_is_urgent_passes_a_batch, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref blocker = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, blocker, "running");
    struct job_ref batch = batch_submit(
        s, "{'command':['true','{}'],'priority':-5,'items':[0,1,2,3,4,5,6,7,8,9]}");
    struct job_ref urgent = job_submit(s, "{'command':['true'],'priority':50}");
    fifo_release(hold.s);
    AUTO_RESPONSE last = batch_await(s, batch);
    AUTO_RESPONSE done = job_show(s, urgent);
    AUTO_RESPONSE first = job_show(s, element_of(s, batch, 0));
    cr_assert_leq(strcmp(json_text(done, "times.started"), json_text(first, "times.started")), 0,
                  "urgent: %s, first element: %s", json_text(done, "times.started"),
                  json_text(first, "times.started"));
}

/* "No progress." */
SERVER_TEST_WITH(batches, complaint_progress_is_told_while_it_goes_on, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','test {index} != 3 || cat %s'],'items':[0,1,2,3]}", hold.s);
    AUTO_RESPONSE last = job_await_state(s, element_of(s, batch, 3), "running");
    AUTO_RESPONSE shown = batch_show(s, batch);
    expect_int(shown, "progress.done", 3);
    expect_int(shown, "progress.total", 4);
    cr_assert_float_eq(json_number(shown, "progress.fraction"), 0.75, 1e-9);
    fifo_release(hold.s);
    AUTO_RESPONSE end = batch_await(s, batch);
    cr_assert_float_eq(json_number(end, "progress.fraction"), 1.0, 1e-9);
}

/* "A timeout does not stop the work": map(timeout=…) blocks until all of it is done. */
SERVER_TEST(batches, complaint_the_timeout_of_an_element_stops_its_tree)
{
    struct text mark = text_of("%s.element", s->dir);
    struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','test {} = 0 || exit 0; sleep 600 & sleep 600'],'items':[0,1,2],"
        "'timeout':'300ms','env':{'MARK':'%s'}}",
        mark.s);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.succeeded", 2);
    AUTO_RESPONSE late = job_show(s, element_of(s, batch, 0));
    expect_outcome(late, "failed", "timeout");
    no_process_left(mark.s, 0);
}

/* "Unpicklable results or errors hang or break the pool": any bytes are a result, and one that is
 * not what was promised is an error of its own job alone. */
SERVER_TEST(results, complaint_no_result_breaks_more_than_its_job)
{
    struct job_ref bytes = batch_submit(
        s, "{'command':['printf','{}'],'items':['\\\\377\\\\000\\\\001','plain']}");
    AUTO_RESPONSE ended = batch_await(s, bytes);
    AUTO_RESPONSE all = http_get(s, "%s", results_of(bytes, "?order=index").s);
    expect_text(all, "0.value.$bytes", "/wAB");
    expect_text(all, "1.value", "plain");
    struct job_ref values = batch_submit(
        s, "{'command':['printf','%%s','{}'],'result':'json','items':['{\\\"a\\\":','[1]']}");
    AUTO_RESPONSE end = batch_await(s, values);
    AUTO_RESPONSE both = http_get(s, "%s", results_of(values, "?order=index").s);
    expect_text(both, "0.error.type", "result");
    expect_int(both, "1.value.0", 1);
}
