/* SPDX-License-Identifier: MIT */
/* Jobs that wait for others: order, policies, large families, restarts. */
#include "integration/harness_queue.h"
#include "integration/harness_test.h"

SERVER_TEST(deps, a_child_waits_for_its_parents)
{
    struct text hold = fifo_make(s, "hold"), order = text_of("%s/order", s->scratch);
    struct job_ref a = job_submit(s, "{'command':['sh','-c','cat %s; echo a >> %s']}", hold.s,
                                  order.s);
    struct job_ref b = job_submit(s, "{'command':['sh','-c','echo b >> %s'],'depends_on':['%s']}",
                                  order.s, a.id);
    AUTO_RESPONSE c = http(s, "POST", "/v1/jobs",
                           text_of("{'command':['sh','-c','echo c >> %s'],"
                                   "'depends_on':['%s','%s','%s']}",
                                   order.s, a.id, b.id, a.id)
                               .s,
                           NULL);
    expect_status(c, 202);
    expect_text(c, "state", "blocked");
    cr_assert(json_is_null(c, "times.queued"));
    AUTO_RESPONSE running = job_await_state(s, a, "running");
    AUTO_RESPONSE waits = job_show(s, b);
    expect_text(waits, "state", "blocked");
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job_of(c));
    expect_outcome(end, "succeeded", NULL);
    cr_assert_not(json_is_null(end, "times.queued"));
    AUTO_TEXT seen = file_read(order.s, NULL);
    cr_assert_str_eq(seen, "a\nb\nc\n");
}

SERVER_TEST(deps, a_parent_that_has_ended_counts_at_once)
{
    AUTO_RESPONSE ok = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE bad = job_run(s, "{'command':['false']}");
    AUTO_RESPONSE first = http(s, "POST", "/v1/jobs",
                               text_of("{'command':['true'],'depends_on':['%s']}", job_of(ok).id).s,
                               NULL);
    expect_text(first, "state", "queued");
    AUTO_RESPONSE end = job_await(s, job_of(first));
    expect_outcome(end, "succeeded", NULL);
    AUTO_RESPONSE none = job_run(s, "{'command':['true'],'depends_on':[]}");
    expect_outcome(none, "succeeded", NULL);
    AUTO_RESPONSE cancelled = job_run(s, "{'command':['true'],'depends_on':['%s','%s']}",
                                      job_of(ok).id, job_of(bad).id);
    expect_outcome(cancelled, "cancelled", NULL);
    expect_text(cancelled, "error.detail",
                text_of("It depends on job %s, which failed", job_of(bad).id).s);
    AUTO_RESPONSE failed = job_run(
        s, "{'command':['true'],'depends_on':['%s'],'on_parent_failure':'fail','delay':'1h'}",
        job_of(bad).id);
    expect_outcome(failed, "failed", "dependency");
    AUTO_RESPONSE ran = job_run(
        s, "{'command':['true'],'depends_on':['%s'],'on_parent_failure':'run'}", job_of(bad).id);
    expect_outcome(ran, "succeeded", NULL);
}

SERVER_TEST(deps, a_failure_reaches_all_descendants_by_their_policies)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref bad = job_submit(s, "{'command':['sh','-c','cat %s; exit 3']}", hold.s);
    struct job_ref child = job_submit(s, "{'command':['true'],'depends_on':['%s']}", bad.id);
    struct job_ref grandchild = job_submit(
        s, "{'command':['true'],'depends_on':['%s'],'on_parent_failure':'fail'}", child.id);
    struct job_ref witness = job_submit(
        s, "{'command':['echo','ran'],'depends_on':['%s','%s'],'on_parent_failure':'run'}",
        grandchild.id, bad.id);
    fifo_release(hold.s);
    AUTO_RESPONSE a = job_await(s, child);
    expect_outcome(a, "cancelled", NULL);
    AUTO_RESPONSE b = job_await(s, grandchild);
    expect_outcome(b, "failed", "dependency");
    expect_text(b, "error.detail",
                text_of("It depends on job %s, which was cancelled", child.id).s);
    AUTO_RESPONSE c = job_await(s, witness);
    expect_outcome(c, "succeeded", NULL);
    expect_output(s, witness, "stdout", "ran\n");
}

SERVER_TEST(deps, a_cancel_of_a_waiting_parent_ends_its_children)
{
    struct job_ref parent = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct job_ref child = job_submit(s, "{'command':['true'],'depends_on':['%s']}", parent.id);
    AUTO_RESPONSE cancel = job_cancel(s, parent, NULL, 5);
    expect_status(cancel, 200);
    AUTO_RESPONSE end = job_await(s, child);
    expect_outcome(end, "cancelled", NULL);
    cr_assert(json_is_null(end, "times.started"));
}

SERVER_TEST(deps, a_waiting_child_can_be_cancelled_and_its_parent_goes_on)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref parent = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref child = job_submit(s, "{'command':['true'],'depends_on':['%s']}", parent.id);
    AUTO_RESPONSE cancel = job_cancel(s, child, NULL, 5);
    expect_status(cancel, 200);
    expect_text(cancel, "job.state", "cancelled");
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/jobs/%s", child.id).s, NULL, NULL);
    expect_status(gone, 204);
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, parent);
    expect_outcome(end, "succeeded", NULL);
}

SERVER_TEST(deps, a_child_waits_for_its_time_first_and_its_clocks_run)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref parent = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref later = job_submit(s, "{'command':['true'],'depends_on':['%s'],'delay':'300ms'}",
                                      parent.id);
    AUTO_RESPONSE scheduled = job_show(s, later);
    expect_text(scheduled, "state", "scheduled");
    AUTO_RESPONSE blocked = job_await_state(s, later, "blocked");
    struct job_ref impatient = job_submit(
        s, "{'command':['true'],'depends_on':['%s'],'queue_timeout':'200ms'}", parent.id);
    AUTO_RESPONSE expired = job_await(s, impatient);
    expect_outcome(expired, "failed", "queue_timeout");
    struct job_ref dated = job_submit(
        s, "{'command':['true'],'depends_on':['%s'],'deadline':'200ms'}", parent.id);
    AUTO_RESPONSE over = job_await(s, dated);
    expect_outcome(over, "failed", "deadline");
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, later);
    expect_outcome(end, "succeeded", NULL);
}

static const struct {
    const char *members, *pointer;
} refused[] = {
    {"'depends_on':'x'", "/depends_on"},
    {"'depends_on':[1]", "/depends_on/0"},
    {"'depends_on':['x']", "/depends_on/0"},
    {"'depends_on':['01990000-0000-7000-8000-000000000000']", "/depends_on/0"},
    {"'depends_on':['01990000-0000-7001-8000-000100000000']", "/depends_on/0"},
    {"'on_parent_failure':'ignore'", "/on_parent_failure"},
    {"'on_parent_failure':true", "/on_parent_failure"},
};

SERVER_TEST(deps, what_is_no_parent_is_refused_by_its_place)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                               text_of("{'command':['true'],%s}", refused[i].members).s, NULL);
        expect_invalid(r, refused[i].pointer);
    }
    struct job_ref ok = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE r = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['true'],'depends_on':['%s','01990000-0000-7001-8000-000100000000']}",
                ok.id)
            .s,
        NULL);
    expect_invalid(r, "/depends_on/1");
    cr_assert_not_null(strstr(json_text(r, "detail"), "01990000-0000-7001-8000-000100000000"));
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 1);
}

SERVER_TEST(deps, lines_of_ndjson_have_parents_of_their_own)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref parent = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_TEXT body = json_of("{'command':['true'],'depends_on':['%s']}\n"
                             "{'command':['true'],'depends_on':['x']}\n"
                             "{'command':['true'],'depends_on':['01990000-0000-7001-8000-"
                             "000100000000']}\n{'command':['true']}\n",
                             parent.id);
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body, "Content-Type: application/x-ndjson", NULL);
    expect_status(r, 200);
    AUTO_TEXT lines = strdup(r->body);
    static const char *const wanted[] = {"\"state\":\"blocked\"", "\"line\":1", "\"line\":2",
                                         "\"state\":\"queued\""};
    char *rest = lines;
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        const char *line = strsep(&rest, "\n");
        cr_assert(line != NULL && strstr(line, wanted[i]) != NULL, "line %zu: %s", i, line);
    }
    fifo_release(hold.s);
}

/* ---- batches ---- */

SERVER_TEST(deps, a_batch_is_a_parent)
{
    struct text hold = fifo_make(s, "hold");
    AUTO_RESPONSE batch = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['sh','-c','cat {}; true'],'items':['%s','/dev/null']}", hold.s).s,
        NULL);
    expect_status(batch, 202);
    struct job_ref child = job_submit(s, "{'command':['echo','after'],'depends_on':['%s']}",
                                      job_of(batch).id);
    AUTO_RESPONSE waits = job_show(s, child);
    expect_text(waits, "state", "blocked");
    AUTO_RESPONSE no_output = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['cat'],'stdin_from':{'job':'%s'}}", job_of(batch).id).s, NULL);
    expect_invalid(no_output, "/stdin_from/job");
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, child);
    expect_outcome(end, "succeeded", NULL);
    AUTO_RESPONSE bad = http(s, "POST", "/v1/batches",
                             "{'command':['sh','-c','exit {}'],'items':[0,1,0]}", NULL);
    struct job_ref never = job_submit(
        s, "{'command':['true'],'depends_on':['%s'],'on_parent_failure':'fail'}", job_of(bad).id);
    AUTO_RESPONSE failed = job_await(s, never);
    expect_outcome(failed, "failed", "dependency");
    cr_assert_not_null(strstr(json_text(failed, "error.detail"), "It depends on batch"));
}

static struct response *batch_await(struct server *s, const char *id)
{
    return http(s, "GET", text_of("/v1/batches/%s", id).s, NULL, "Prefer: wait=50", NULL);
}

SERVER_TEST(deps, a_whole_batch_waits)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref parent = job_submit(s, "{'command':['sh','-c','cat %s; echo in']}", hold.s);
    AUTO_RESPONSE batch = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['sh','-c','cat - {}; cat f'],'items':['/dev/null','/dev/null',"
                "'/dev/null'],'stdin_from':{'job':'%s'},'files':{'f':{'job':'%s'}}}",
                parent.id, parent.id)
            .s,
        NULL);
    expect_status(batch, 202);
    expect_int(batch, "counts.blocked", 3);
    fifo_release(hold.s);
    AUTO_RESPONSE end = batch_await(s, job_of(batch).id);
    expect_text(end, "state", "succeeded");
    AUTO_RESPONSE results = http_get(s, "/v1/batches/%s/results", job_of(batch).id);
    for (int i = 0; i < 3; i++)
        expect_text(results, text_of("%d.value", i).s, "in\nin\n");
    AUTO_RESPONSE after = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['true'],'items':[1],'depends_on':['%s']}", parent.id).s, NULL);
    AUTO_RESPONSE done = batch_await(s, job_of(after).id);
    expect_text(done, "state", "succeeded");
}

SERVER_TEST(deps, a_failure_cancels_a_waiting_batch_and_who_waits_for_it)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref parent = job_submit(s, "{'command':['sh','-c','cat %s; exit 1']}", hold.s);
    AUTO_RESPONSE batch = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['true'],'items':[1,2],'depends_on':['%s']}", parent.id).s, NULL);
    struct job_ref child = job_submit(s, "{'command':['true'],'depends_on':['%s']}",
                                      job_of(batch).id);
    fifo_release(hold.s);
    AUTO_RESPONSE end = batch_await(s, job_of(batch).id);
    expect_text(end, "state", "cancelled");
    expect_int(end, "counts.cancelled", 2);
    AUTO_RESPONSE r = job_await(s, child);
    expect_outcome(r, "cancelled", NULL);
    AUTO_RESPONSE late = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['true'],'items':[1,2],'depends_on':['%s']}", parent.id).s, NULL);
    AUTO_RESPONSE late_end = batch_await(s, job_of(late).id);
    expect_text(late_end, "state", "cancelled");
    AUTO_RESPONSE refused_policy = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['true'],'items':[1],'depends_on':['%s'],'on_parent_failure':'fail'}",
                parent.id)
            .s,
        NULL);
    expect_invalid(refused_policy, "/on_parent_failure");
    AUTO_RESPONSE refused_argument = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['echo','{result:%s}'],'items':[1]}", parent.id).s, NULL);
    expect_invalid(refused_argument, "/command");
}

/* ---- large families ---- */

enum { FAMILY = 10000 };

/* Submits FAMILY jobs of this line (' for "); their ids, comma-separated in quotes when ret_ids is
 * given. */
static void submit_family(struct server *s, const char *line, char **ret_ids)
{
    AUTO_TEXT one = json_of("%s\n", line);
    size_t len = strlen(one);
    AUTO_TEXT body = need_alloc(len * FAMILY + 1);
    for (size_t i = 0; i < FAMILY; i++)
        memcpy(body + i * len, one, len);
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body, "Content-Type: application/x-ndjson", NULL);
    expect_status(r, 200);
    char *ids = need_alloc((size_t)FAMILY * 39 + 1), *at = ids;
    const char *found = r->body;
    size_t n = 0;
    for (; (found = strstr(found, "{\"id\":\"")) != NULL; found += 7, n++)
        at += snprintf(at, 40, "%s\"%.36s\"", n == 0 ? "" : ",", found + 7);
    cr_assert_eq(n, FAMILY);
    if (ret_ids != NULL)
        *ret_ids = ids;
    else
        free(ids);
}

static int64_t count_of(struct server *s, const char *state)
{
    AUTO_RESPONSE r = http_get(s, "/v1/queues/default");
    return json_int(r, text_of("jobs.%s", state).s);
}

/* A chord: all parents first, whatever becomes of them. */
SERVER_TEST(deps, ten_thousand_parents_of_one_job)
{
    char *ids = NULL;
    submit_family(s, "{'command':['true'],'delay':'1h'}", &ids);
    AUTO_TEXT body = json_of("{'command':['echo','all'],'on_parent_failure':'run',"
                             "'depends_on':[%s]}",
                             ids);
    free(ids);
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body, NULL);
    expect_status(r, 202);
    struct job_ref child = job_of(r);
    AUTO_RESPONSE cancel = http(s, "POST", "/v1/jobs/cancel", "{'state':'scheduled'}", NULL);
    expect_status(cancel, 200);
    AUTO_RESPONSE end = job_await(s, child);
    expect_outcome(end, "succeeded", NULL);
    expect_output(s, child, "stdout", "all\n");
    cr_assert_eq(count_of(s, "cancelled"), FAMILY, "it ran before its parents had ended");
}

SERVER_TEST(deps, ten_thousand_children_of_one_job)
{
    struct job_ref parent = job_submit(s, "{'command':['true'],'delay':'1h'}");
    submit_family(s, text_of("{'command':['true'],'depends_on':['%s']}", parent.id).s, NULL);
    cr_assert_eq(count_of(s, "blocked"), FAMILY);
    AUTO_RESPONSE cancel = job_cancel(s, parent, NULL, 5);
    expect_status(cancel, 200);
    AWAIT(count_of(s, "cancelled") == FAMILY + 1, 60);
    cr_assert_eq(count_of(s, "blocked"), 0);
}

/* The server dies while it tells a large family; the next one tells the rest, each child once. */
SERVER_TEST(deps, telling_goes_on_after_kill_9)
{
    SKIP_WITHOUT_FAULTS();
    struct server_options dying = {.env = {"GANGER_FP=engine-after-commit:kill:7"}};
    struct job_ref parent = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct job_ref other = job_submit(s, "{'command':['true'],'delay':'1h'}");
    submit_family(s,
                  text_of("{'command':['true'],'depends_on':['%s','%s'],'on_parent_failure':'run'}",
                          parent.id, other.id)
                      .s,
                  NULL);
    server_kill(s);
    server_restart(s, &dying);
    struct text path = text_of("/v1/jobs/%s/cancel", parent.id);
    struct call call = {.method = "POST", .path = path.s};
    s->unchecked = true;
    response_free(http_try(s, &call));
    cr_assert_eq(server_wait_exit(s, 30), 128 + 9);
    s->unchecked = false;
    server_restart(s, NULL);
    cr_assert_eq(count_of(s, "blocked"), FAMILY, "nobody was told twice");
    AUTO_RESPONSE cancel = job_cancel(s, other, NULL, 5);
    AWAIT(count_of(s, "blocked") == 0, 60);
    cr_assert_eq(count_of(s, "cancelled"), 2, "the parents alone");
    cr_assert_eq(count_of(s, "failed"), 0, "on_parent_failure was forgotten");
}

/* A turn may see the end of a child before it tells that of the parent: the child waits no more. */
SERVER_TEST(deps, a_child_that_ends_with_its_parent_hears_of_nothing)
{
    static const char *const policies[] = {"fail", "cancel", "run"};
    struct job_ref children[COUNT_OF(policies)];
    put_queue(s, "paused", "{'paused':true}");
    struct job_ref parent = job_submit(
        s, "{'command':['true'],'queue':'paused','queue_timeout':'200ms'}");
    for (size_t i = 0; i < COUNT_OF(policies); i++)
        children[i] = job_submit(s,
                                 "{'command':['true'],'queue_timeout':'200ms','depends_on':['%s'],"
                                 "'on_parent_failure':'%s'}",
                                 parent.id, policies[i]);
    server_kill(s);
    uint64_t over = now_ns() + 300000000;
    AWAIT(now_ns() > over, 5); /* all four deadlines pass while nobody looks */
    server_restart(s, NULL);
    AUTO_RESPONSE end = job_await(s, parent);
    expect_outcome(end, "failed", "queue_timeout");
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        AUTO_RESPONSE child = job_await(s, children[i]);
        expect_outcome(child, "failed", "queue_timeout");
    }
    AUTO_RESPONSE next = job_run(s, "{'command':['true']}");
    expect_outcome(next, "succeeded", NULL);
}
