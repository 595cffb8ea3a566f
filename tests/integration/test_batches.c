/* SPDX-License-Identifier: MIT */
/* Batches: one template, many items; what is put where, in which order, and what is refused. */
#include "integration/harness_batch.h"

SERVER_TEST(batches, each_item_makes_one_job_and_its_index_is_its_place)
{
    struct job_ref batch = batch_submit(s, "{'command':['echo','{}'],'items':['a','b','c']}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_text(r, "state", "succeeded");
    expect_text(r, "phase", "closed");
    expect_int(r, "total", 3);
    expect_int(r, "counts.succeeded", 3);
    expect_int(r, "progress.done", 3);
    expect_output(s, element_of(s, batch, 0), "stdout", "a\n");
    expect_output(s, element_of(s, batch, 1), "stdout", "b\n");
    expect_output(s, element_of(s, batch, 2), "stdout", "c\n");
}

SERVER_TEST(batches, a_string_is_put_in_as_it_is_and_anything_else_as_its_json)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['printf','%%s','<{}>'],'items':['a \\\\ \\u00e9','',3,1.50,null,true,"
           "{'k': [1, 2]}]}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_int(r, "counts.succeeded", 7);
    static const char *const want[] = {
        "<a \\ \xc3\xa9>", "<>", "<3>", "<1.50>", "<null>", "<true>", "<{\"k\": [1, 2]}>"};
    for (int i = 0; i < 7; i++)
        expect_output(s, element_of(s, batch, i), "stdout", want[i]);
}

SERVER_TEST(batches, a_command_without_a_place_for_it_gets_the_item_as_last_argument)
{
    struct job_ref batch = batch_submit(s, "{'command':['echo','x'],'items':['one two',2]}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_output(s, element_of(s, batch, 0), "stdout", "x one two\n");
    expect_output(s, element_of(s, batch, 1), "stdout", "x 2\n");
}

SERVER_TEST(batches, star_spreads_an_item_over_arguments)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['echo','{2}-{1}','{index}','{3}{}'],'star':true,"
           "'items':[['a','b',null],[1,2,{'x':1}]]}");
    struct job_ref appended = batch_submit(
        s, "{'command':['printf','%%s,'],'star':true,'items':[['a','b'],[],[1,2,3]]}");
    AUTO_RESPONSE r = batch_await(s, batch);
    AUTO_RESPONSE q = batch_await(s, appended);
    expect_output(s, element_of(s, batch, 0), "stdout", "b-a 0 null[\"a\",\"b\",null]\n");
    expect_output(s, element_of(s, batch, 1), "stdout", "2-1 1 {\"x\":1}[1,2,{\"x\":1}]\n");
    expect_output(s, element_of(s, appended, 0), "stdout", "a,b,");
    expect_output(s, element_of(s, appended, 1), "stdout", ",");
    expect_output(s, element_of(s, appended, 2), "stdout", "1,2,3,");
}

SERVER_TEST(batches, environment_input_and_name_hold_the_item_too)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','printf \\'$V $GANGER_JOB_NAME \\'; cat'],'env':{'V':'v{index}'},"
           "'stdin':'in:{}','name':'job {} of {index}','labels':{'k':'{}'},'items':['p','q']}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_int(r, "counts.succeeded", 2);
    expect_text(r, "name", "job {} of {index}");
    struct job_ref second = element_of(s, batch, 1);
    expect_output(s, second, "stdout", "v1 job q of 1 in:q");
    AUTO_RESPONSE job = job_show(s, second);
    expect_text(job, "name", "job q of 1");
    expect_text(job, "labels.k", "{}");
    expect_text(job, "batch", batch.id);
    expect_int(job, "index", 1);
    AUTO_RESPONSE found = http_get(s, "/v1/jobs?name=job%%20p%%20of%%200");
    expect_int(found, "items.0.index", 0);
    cr_assert_null(json_find(found, "items.1"));
}

SERVER_TEST(batches, other_braces_are_left_alone)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['echo','{','}','{x}','{1}','{{}}','${A}'],'items':['i']}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_output(s, element_of(s, batch, 0), "stdout", "{ } {x} {1} {i} ${A}\n");
}

SERVER_TEST(batches, an_empty_batch_is_over_at_once)
{
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[]}");
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s", batch.id);
    expect_text(r, "state", "succeeded");
    expect_int(r, "total", 0);
    cr_assert_not(json_is_null(r, "times.finished"));
}

SERVER_TEST(batches, the_first_failure_is_named_by_its_index)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','exit {}'],'items':[0,0,3,0,4],'max_parallel':1}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_text(r, "state", "failed");
    expect_int(r, "failed_first", 2);
    expect_int(r, "counts.failed", 2);
    expect_int(r, "counts.succeeded", 3);
    AUTO_RESPONSE job = job_show(s, element_of(s, batch, 4));
    expect_int(job, "exit_code", 4);
}

SERVER_TEST(batches, the_list_of_jobs_by_batch_holds_exactly_its_elements)
{
    struct job_ref first = batch_submit(s, "{'command':['true'],'items':[1,2,3],'delay':'1h'}");
    (void)job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct job_ref second = batch_submit(s, "{'command':['true'],'items':[1,2],'delay':'1h'}");
    AUTO_RESPONSE newest = http_get(s, "/v1/jobs?batch=%s", first.id);
    cr_assert_eq(cJSON_GetArraySize(json_find(newest, "items")), 3);
    expect_int(newest, "items.0.index", 2);
    expect_int(newest, "items.2.index", 0);
    cr_assert(json_is_null(newest, "next_cursor"));
    AUTO_RESPONSE page = http_get(s, "/v1/jobs?batch=%s&order=oldest&limit=2", first.id);
    expect_int(page, "items.1.index", 1);
    AUTO_RESPONSE rest = http_get(s, "/v1/jobs?batch=%s&order=oldest&limit=2&cursor=%s", first.id,
                                  json_text(page, "next_cursor"));
    cr_assert_eq(cJSON_GetArraySize(json_find(rest, "items")), 1);
    expect_int(rest, "items.0.index", 2);
    AUTO_RESPONSE other = http_get(s, "/v1/jobs?batch=%s&state=scheduled", second.id);
    cr_assert_eq(cJSON_GetArraySize(json_find(other, "items")), 2);
    AUTO_RESPONSE none = http_get(s, "/v1/jobs?batch=%s", element_of(s, first, 0).id);
    cr_assert_eq(cJSON_GetArraySize(json_find(none, "items")), 0);
}

SERVER_TEST(batches, a_batch_can_be_waited_for_and_watched_by_its_tag)
{
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[1],'delay':'300ms'}");
    AUTO_RESPONSE now = http_get(s, "/v1/batches/%s", batch.id);
    cr_assert_not(json_bool(now, "done"));
    AUTO_RESPONSE later = http(s, "GET", text_of("/v1/batches/%s", batch.id).s, NULL,
                               text_of("If-None-Match: %s", header_of(now, "ETag")).s,
                               "Prefer: wait=20", NULL);
    expect_status(later, 200);
    cr_assert_str_neq(header_of(later, "ETag"), header_of(now, "ETag"));
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "succeeded");
    AUTO_RESPONSE same = http(s, "GET", text_of("/v1/batches/%s", batch.id).s, NULL,
                              text_of("If-None-Match: %s", header_of(end, "ETag")).s, NULL);
    expect_status(same, 304);
}

SERVER_TEST(batches, a_replayed_request_is_the_same_batch)
{
    static const char body[] = "{'command':['true'],'items':[1,2]}";
    AUTO_RESPONSE first = http(s, "POST", "/v1/batches", body, "Idempotency-Key: k", NULL);
    AUTO_RESPONSE again = http(s, "POST", "/v1/batches", body, "Idempotency-Key: k", NULL);
    AUTO_RESPONSE other = http(s, "POST", "/v1/batches", "{'command':['true'],'items':[1]}",
                               "Idempotency-Key: k", NULL);
    expect_status(first, 202);
    expect_status(again, 202);
    expect_header(again, "Idempotency-Replayed", "true");
    cr_assert_str_eq(json_text(first, "id"), json_text(again, "id"));
    expect_header(again, "Location", header_of(first, "Location"));
    expect_problem(other, 422, "key-reused");
    AUTO_RESPONSE jobs = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(jobs, "items")), 2);
}

SERVER_TEST(batches, what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *body, *pointer;
    } wrong[] = {
        {"{'items':[1]}", "/command"},
        {"{'command':['true']}", "/items"},
        {"{'command':['true'],'items':{}}", "/items"},
        {"{'command':['true'],'items':[1],'star':1}", "/star"},
        {"{'command':['true'],'items':[[1],2],'star':true}", "/items/1"},
        {"{'command':['echo','{3}'],'items':[[1,2,3],[1,2]],'star':true}", "/items/1"},
        {"{'command':['true'],'items':[1],'max_parallel':0}", "/max_parallel"},
        {"{'command':['true'],'items':[1],'max_failures':'1'}", "/max_failures"},
        {"{'command':['true'],'items':[1],'chunksize':1.5}", "/chunksize"},
        {"{'command':['true'],'items':[1],'itmes':[2]}", "/itmes"},
        {"{'command':['true'],'items':[1],'priority':1000}", "/priority"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/batches", wrong[i].body, NULL);
        expect_invalid(r, wrong[i].pointer);
    }
    AUTO_RESPONSE missing = http_get(s, "/v1/batches/nothing");
    expect_problem(missing, 404, "not-found");
    struct job_ref job = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE no_batch = http_get(s, "/v1/batches/%s", job.id);
    expect_problem(no_batch, 404, "not-found");
    AUTO_RESPONSE jobs = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(jobs, "items")), 1, "nothing of it was stored");
}

SERVER_TEST(batches, ten_thousand_items_arrive_whole_and_in_order)
{
    enum { N = 10000 };
    struct text_builder b = {0};
    text_add(&b, "{\"command\":[\"true\",\"{}\"],\"delay\":\"1h\",\"items\":[0");
    for (int i = 1; i < N; i++)
        text_add(&b, ",%d", i);
    text_add(&b, "]}");
    struct call call = {.method = "POST", .path = "/v1/batches", .body = b.text, .body_len = b.len};
    AUTO_RESPONSE r = http_send(s, &call);
    text_free(&b);
    expect_status(r, 202);
    expect_int(r, "total", N);
    expect_text(r, "phase", "closed");
    struct job_ref batch = job_of(r);
    AUTO_RESPONSE page = http_get(s, "/v1/jobs?batch=%s&limit=1000&order=oldest&cursor=8000",
                                  batch.id);
    expect_int(page, "items.0.index", 8000);
    expect_int(page, "items.999.index", 8999);
}

SERVER_TEST(batches, elements_go_on_after_kill_9)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','sleep 0.01; echo {}'],'items':[1,2,3,4,5,6,7,8,9,10,11,12],"
           "'retry':{'max_attempts':5,'delay':0,'on':['lost']}}");
    AWAIT(batch_count(s, batch, "succeeded") >= 2, 20);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_text(r, "state", "succeeded");
    for (int i = 0; i < 12; i++)
        expect_output(s, element_of(s, batch, i), "stdout", text_of("%d\n", i + 1).s);
}

SERVER_TEST(batches, an_item_that_makes_no_command_fails_alone)
{
    struct job_ref batch = batch_submit(s, "{'command':['{}'],'items':['true','','/nowhere']}");
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.succeeded", 1);
    expect_int(end, "counts.failed", 2);
    AUTO_RESPONSE job = job_show(s, element_of(s, batch, 1));
    expect_outcome(job, "failed", "exec");
    expect_text(job, "error.detail", "the name of the program is empty");
}

SERVER_TEST(batches, are_listed_newest_first_by_pages)
{
    struct job_ref made[3];
    for (int i = 0; i < 3; i++)
        made[i] = batch_submit(s, "{'command':['true'],'items':[%d],'name':'n%d'}", i, i);
    AUTO_RESPONSE first = http_get(s, "/v1/batches?limit=2");
    expect_status(first, 200);
    expect_text(first, "items.0.id", made[2].id);
    expect_text(first, "items.1.id", made[1].id);
    expect_text(first, "items.1.name", "n1");
    CHECK(header_of(first, "Link") != NULL, "no Link");
    AUTO_RESPONSE second = http_get(s, "/v1/batches?limit=2&cursor=%s",
                                    json_text(first, "next_cursor"));
    expect_text(second, "items.0.id", made[0].id);
    cr_assert(json_is_null(second, "next_cursor"));
    cr_assert_null(json_find(second, "items.1"));
    AUTO_RESPONSE wrong = http_get(s, "/v1/batches?cursor=x");
    expect_problem(wrong, 422, "invalid-request");
}
