/* SPDX-License-Identifier: MIT */
/* The end of a job is told to a receiver: signed, repeated until it is heard, and to nobody else.
 */
#include "integration/callback_signature.h"
#include "integration/harness_schema.h"
#include "integration/harness_test.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define TO_LOOPBACK "--callbacks-private-hosts", "127.0.0.1"
#define SOON "--callbacks-first-delay", "20ms", "--callbacks-max-delay", "50ms"

/* What is sent is what the document promises. */
static void check_message(struct server *s, const struct hook *hook)
{
    const cJSON *document = schema_document(s);
    const cJSON *rule = json_at(document, "components.schemas.CallbackMessage");
    char why[512] = "no such schema";
    CHECK(rule != NULL && schema_matches(document, rule, hook->json, why, sizeof why), "%s: %s",
          why, hook->body);
}

SERVER_TEST_WITH(callbacks, a_success_is_told_and_signed, .args = {TO_LOOPBACK},
                 .env = {"http_proxy=http://127.0.0.1:9", "ALL_PROXY=http://127.0.0.1:9"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "echo out");
    AUTO_HOOK hook = receiver_take(&r, 20);
    hook_answer(hook, "204 No Content", "");
    cr_assert_eq(strncmp(hook->head, "POST /hook?k=hidden HTTP/1.1\r\n", 30), 0, "%s", hook->head);
    cr_assert_str_eq(hook_header(hook, "content-type").s, "application/json");
    cr_assert_eq(strncmp(hook_header(hook, "user-agent").s, "ganger/", 7), 0);
    check_message(s, hook);
    cr_assert_str_eq(hook_text(hook, "type"), "job.succeeded");
    cr_assert_str_eq(hook_text(hook, "data.id"), job.id);
    cr_assert_str_eq(hook_text(hook, "data.state"), "succeeded");
    cr_assert_eq(strlen(hook_text(hook, "timestamp")), 27);
    cr_assert_null(strstr(hook->body, "hidden"), "the body shows the whole URL");

    AUTO_TEXT secret = file_read(text_of("%s/callback-secret", s->dir).s, NULL);
    struct stat st;
    cr_assert_eq(stat(text_of("%s/callback-secret", s->dir).s, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_str_eq(hook_header(hook, "webhook-signature").s, signature_of(hook, secret).s);

    AUTO_RESPONSE told = await_delivered(s, job, true);
    expect_int(told, "callback.tries", 1);
    expect_int(told, "callback.last_status", 204);
    expect_text(told, "callback.url", text_of("http://127.0.0.1:%d", r.port).s);
    cr_assert(events_have(s, job, "event: callback\ndata: {\"at\":"));
    AWAIT(metric_of(s, "ganger_callback_tries_total{outcome=\"delivered\"}") == 1, 20);
    AWAIT(metric_of(s, "ganger_callbacks_pending") == 0, 20);
    secret[strcspn(secret, "\n")] = '\0';
    cr_assert(server_log_has(s, "callback-secret"));
    cr_assert_not(server_log_has(s, secret + 6));
    cr_assert_not(server_log_has(s, "hidden"));
}

SERVER_TEST_WITH(callbacks, only_the_ends_that_are_asked_for, .args = {TO_LOOPBACK})
{
    struct receiver r;
    receiver_open(&r);
    struct text callback = text_of("{'url':'http://127.0.0.1:%d/','on':['failed','cancelled']}",
                                   r.port);
    AUTO_RESPONSE untold = job_run(s, "{'command':['true'],'callback':%s}", callback.s);
    cr_assert(json_is_null(untold, "callback.delivered"));
    struct job_ref job = job_submit(s, "{'command':['false'],'callback':%s}", callback.s);
    AUTO_HOOK failed = receiver_take(&r, 20);
    hook_answer(failed, "200 OK", "");
    cr_assert_str_eq(hook_text(failed, "type"), "job.failed");
    cr_assert_str_eq(hook_text(failed, "data.id"), job.id);
    cr_assert_str_eq(hook_text(failed, "data.reason"), "exit_code");
    struct job_ref later = job_submit(s, "{'command':['true'],'delay':'1h','callback':%s}",
                                      callback.s);
    AUTO_RESPONSE over = job_cancel(s, later, NULL, 5);
    AUTO_HOOK cancelled = receiver_take(&r, 20);
    hook_answer(cancelled, "200 OK", "");
    cr_assert_str_eq(hook_text(cancelled, "type"), "job.cancelled");
    cr_assert_str_eq(hook_text(cancelled, "data.id"), later.id);
    AUTO_RESPONSE first = job_show(s, job_of(untold));
    expect_int(first, "callback.tries", 0);
}

SERVER_TEST_WITH(callbacks, it_is_repeated_until_it_is_heard,
                 .args = {TO_LOOPBACK, SOON, "--callbacks-timeout", "300ms",
                          "--callbacks-max-tries", "100"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK error = receiver_take(&r, 20);
    hook_answer(error, "500 Oops", "");
    AUTO_HOOK silent = receiver_take(&r, 20);
    cr_assert(hook_await_close(silent, 10), "a receiver that says nothing is waited for");
    AUTO_HOOK gone = receiver_take(&r, 20);
    receiver_close(&r);
    hook_answer(gone, "500 Oops", "");
    AWAIT(events_have(s, job, "connect to 127.0.0.1"), 20);
    receiver_reopen(&r);
    AUTO_HOOK heard = receiver_take(&r, 20);
    hook_answer(heard, "202 Accepted", "");
    AUTO_RESPONSE told = await_delivered(s, job, true);
    cr_assert_geq(json_int(told, "callback.tries"), 5);
    struct text id = hook_header(error, "webhook-id");
    cr_assert_eq(strncmp(id.s, "msg_", 4), 0, "%s", id.s);
    cr_assert_str_eq(hook_header(silent, "webhook-id").s, id.s);
    cr_assert_str_eq(hook_header(heard, "webhook-id").s, id.s);
    cr_assert_str_eq(hook_text(heard, "timestamp"), hook_text(error, "timestamp"));
    cr_assert(events_have(s, job, "\"outcome\":\"failed\",\"status\":500,"));
    cr_assert(events_have(s, job, "\"status\":null,\"error\":\""));
}

SERVER_TEST_WITH(callbacks, a_job_that_is_retried_tells_its_new_end, .args = {TO_LOOPBACK, SOON})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "exit 3");
    AUTO_HOOK first = receiver_take(&r, 20);
    hook_answer(first, "200 OK", "");
    AUTO_RESPONSE told = await_delivered(s, job, true);
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
    expect_status(again, 202);
    AUTO_HOOK second = receiver_take(&r, 20);
    hook_answer(second, "200 OK", "");
    cr_assert_str_eq(hook_text(second, "data.id"), job.id);
    cr_assert_str_neq(hook_header(second, "webhook-id").s, hook_header(first, "webhook-id").s);
}

SERVER_TEST_WITH(callbacks, each_try_is_an_event, .args = {TO_LOOPBACK, SOON})
{
    struct receiver r;
    receiver_open(&r);
    AUTO_CONN events = conn_open(s);
    conn_request(events, s, "GET /v1/events", "Accept: text/event-stream\r\n", NULL);
    cr_assert(conn_await_head(events, 10));
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK first = receiver_take(&r, 20);
    hook_answer(first, "500 Oops", "");
    AUTO_HOOK second = receiver_take(&r, 20);
    hook_answer(second, "200 OK", "");
    struct text about = text_of("\"type\":\"callback\",\"id\":\"%s\",\"state\":\"succeeded\",",
                                job.id);
    cr_assert(conn_await_text(events, text_of("%s\"try\":1,\"http_status\":500,", about.s).s, 20));
    cr_assert(conn_await_text(events, text_of("%s\"try\":2,\"http_status\":200,", about.s).s, 20));
}

SERVER_TEST_WITH(callbacks, a_410_is_the_last_word, .args = {TO_LOOPBACK, SOON})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK hook = receiver_take(&r, 20);
    hook_answer(hook, "410 Gone", "");
    AUTO_RESPONSE told = await_delivered(s, job, false);
    expect_int(told, "callback.tries", 1);
    expect_int(told, "callback.last_status", 410);
    AWAIT(metric_of(s, "ganger_callback_tries_total{outcome=\"gave_up\"}") == 1, 20);
    AWAIT(metric_of(s, "ganger_callbacks_pending") == 0, 20);
}

SERVER_TEST_WITH(callbacks, after_max_tries_it_is_given_up,
                 .args = {TO_LOOPBACK, SOON, "--callbacks-max-tries", "3"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    for (int i = 0; i < 3; i++) {
        AUTO_HOOK hook = receiver_take(&r, 20);
        hook_answer(hook, "503 Busy", "");
    }
    AUTO_RESPONSE told = await_delivered(s, job, false);
    expect_int(told, "callback.tries", 3);
    expect_int(told, "callback.last_status", 503);
    cr_assert(events_have(s, job, "\"outcome\":\"gave_up\",\"status\":503,"));
    cr_assert_not(receiver_has_caller(&r));
}

SERVER_TEST_WITH(callbacks, a_busy_receiver_says_when, .args = {TO_LOOPBACK, SOON})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK busy = receiver_take(&r, 20);
    uint64_t start = now_ns();
    hook_answer(busy, "429 Slow down", "Retry-After: 1\r\n");
    AUTO_HOOK hook = receiver_take(&r, 20);
    cr_assert_geq(seconds_since(start), 1.0);
    hook_answer(hook, "200 OK", "");
    AUTO_RESPONSE told = await_delivered(s, job, true);
    expect_int(told, "callback.tries", 2);
}

SERVER_TEST_WITH(callbacks, one_that_hangs_holds_up_nobody,
                 .args = {TO_LOOPBACK, "--callbacks-timeout", "60s", "--drain", "300ms"})
{
    struct receiver hanging, good;
    struct job_ref stuck[12];
    receiver_open(&hanging);
    receiver_open(&good);
    for (size_t i = 0; i < COUNT_OF(stuck); i++)
        stuck[i] = submit_for(s, &hanging, "true");
    for (size_t i = 0; i < COUNT_OF(stuck); i++) {
        AUTO_RESPONSE over = job_await(s, stuck[i]);
        expect_outcome(over, "succeeded", NULL);
    }
    struct hook *held[4];
    for (size_t i = 0; i < COUNT_OF(held); i++)
        held[i] = receiver_take(&hanging, 20);
    struct job_ref job = submit_for(s, &good, "true");
    AUTO_HOOK hook = receiver_take(&good, 20);
    hook_answer(hook, "200 OK", "");
    AUTO_RESPONSE told = await_delivered(s, job, true);
    for (size_t i = 0; i < COUNT_OF(stuck); i++)
        cr_assert_eq(tries_of(s, stuck[i]), 0);
    cr_assert_not(receiver_has_caller(&hanging), "more than four at once");
    for (int i = 0; i < 50; i++) {
        AUTO_RESPONSE over = job_run(s, "{'command':['true']}");
        expect_outcome(over, "succeeded", NULL);
    }
    AWAIT(metric_of(s, "ganger_callbacks_pending") == 12, 20);
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        hook_answer(held[i], "200 OK", "");
        hook_free(held[i]);
    }
    for (size_t i = COUNT_OF(held); i < COUNT_OF(stuck); i++) {
        AUTO_HOOK next = receiver_take(&hanging, 20);
        hook_answer(next, "200 OK", "");
    }
    AWAIT(metric_of(s, "ganger_callbacks_pending") == 0, 20);
}

/* The call was made, but the server died before it could write that down. */
SERVER_TEST_WITH(callbacks, kill_9_repeats_a_call_with_the_same_id, .args = {TO_LOOPBACK, SOON},
                 .env = {"GANGER_FP=callback-before-record:kill"})
{
    static const struct server_options plain = {.args = {TO_LOOPBACK, SOON}};
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK first = receiver_take(&r, 20);
    hook_answer(first, "200 OK", "");
    cr_assert_eq(server_wait_exit(s, 20), 128 + SIGKILL);
    server_restart(s, &plain);
    AUTO_HOOK second = receiver_take(&r, 20);
    hook_answer(second, "200 OK", "");
    cr_assert_str_eq(hook_header(second, "webhook-id").s, hook_header(first, "webhook-id").s);
    cr_assert_str_eq(hook_text(second, "data.id"), job.id);
    AUTO_RESPONSE told = await_delivered(s, job, true);
    expect_int(told, "callback.tries", 1);
}

SERVER_TEST_WITH(callbacks, what_is_pending_outlives_kill_9_and_a_drain,
                 .args = {TO_LOOPBACK, SOON, "--callbacks-timeout", "60s", "--drain", "300ms"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK first = receiver_take(&r, 20);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_HOOK second = receiver_take(&r, 20);
    (void)kill(s->pid, SIGTERM);
    cr_assert_eq(server_wait_exit(s, 10), 0, "a receiver that hangs holds up the stop");
    server_restart(s, NULL);
    AUTO_HOOK third = receiver_take(&r, 20);
    hook_answer(third, "200 OK", "");
    cr_assert_str_eq(hook_header(second, "webhook-id").s, hook_header(first, "webhook-id").s);
    cr_assert_str_eq(hook_header(third, "webhook-id").s, hook_header(first, "webhook-id").s);
    AUTO_RESPONSE told = await_delivered(s, job, true);
    expect_int(told, "callback.tries", 1);
}

/* A drain waits for the answer that is under way, so that it is not asked for twice. */
SERVER_TEST_WITH(callbacks, a_drain_records_what_is_answered,
                 .args = {TO_LOOPBACK, "--drain", "20s"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK hook = receiver_take(&r, 20);
    (void)kill(s->pid, SIGTERM);
    AWAIT(server_log_has(s, "draining"), 10);
    hook_answer(hook, "200 OK", "");
    cr_assert_eq(server_wait_exit(s, 15), 0);
    server_restart(s, NULL);
    AUTO_RESPONSE told = await_delivered(s, job, true);
    expect_int(told, "callback.tries", 1);
    cr_assert_not(receiver_has_caller(&r));
}

SERVER_TEST_WITH(callbacks, a_deleted_job_is_not_told_any_more,
                 .args = {TO_LOOPBACK, "--callbacks-first-delay", "1h"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK hook = receiver_take(&r, 20);
    hook_answer(hook, "500 Oops", "");
    AWAIT(tries_of(s, job) == 1, 20);
    AWAIT(metric_of(s, "ganger_callbacks_pending") == 1, 20);
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/jobs/%s", job.id).s, NULL, NULL);
    expect_status(gone, 204);
    AWAIT(metric_of(s, "ganger_callbacks_pending") == 0, 20);
}

SERVER_TEST_WITH(callbacks, many_are_each_told_once, .args = {TO_LOOPBACK})
{
    enum { MANY = 100 };
    struct receiver r;
    receiver_open(&r);
    char *lines = need_alloc((size_t)MANY * 100), *end = lines;
    for (int i = 0; i < MANY; i++)
        end += snprintf(
            end, 100,
            "{'command':['true'],'name':'%d','callback':{'url':'http://127.0.0.1:%d/'}}\n", i,
            r.port);
    AUTO_RESPONSE sent = http(s, "POST", "/v1/jobs", lines, "Content-Type: application/x-ndjson",
                              NULL);
    free(lines);
    expect_status(sent, 200);
    bool seen[MANY] = {false};
    for (int i = 0; i < MANY; i++) {
        AUTO_HOOK hook = receiver_take(&r, 20);
        hook_answer(hook, "200 OK", "");
        long k = strtol(hook_text(hook, "data.name"), NULL, 10);
        cr_assert(k >= 0 && k < MANY && !seen[k], "%s", hook->body);
        seen[k] = true;
    }
    AWAIT(metric_of(s, "ganger_callbacks_pending") == 0, 20);
    cr_assert_not(receiver_has_caller(&r));
    AWAIT(metric_of(s, "ganger_callback_tries_total{outcome=\"delivered\"}") == 100, 20);
}

/* Processor time that the server has used, in clock ticks (proc(5), stat). */
static long cpu_ticks(const struct server *s)
{
    AUTO_TEXT stat = file_read(text_of("/proc/%d/stat", (int)s->pid).s, NULL);
    long user = 0, system = 0;
    const char *after = stat == NULL ? NULL : strrchr(stat, ')');
    CHECK(after != NULL && sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
                                  &user, &system) == 2,
          "cannot read the time of process %d", (int)s->pid);
    return user + system;
}

/* More receivers than are looked at in one go; each has its first try, then none is due. */
SERVER_TEST_WITH(callbacks, many_receivers_take_turns_and_then_there_is_peace,
                 .args = {TO_LOOPBACK, "--callbacks-first-delay", "1h"})
{
    enum { MANY = 600, FIRST_PORT = 1 };
    char *lines = need_alloc((size_t)MANY * 100), *end = lines;
    for (int i = 0; i < MANY; i++) /* nobody listens on the lowest ports */
        end += snprintf(end, 100,
                        "{'command':['true'],'callback':{'url':'http://127.0.0.1:%d/'}}\n",
                        FIRST_PORT + i);
    AUTO_RESPONSE sent = http(s, "POST", "/v1/jobs", lines, "Content-Type: application/x-ndjson",
                              NULL);
    free(lines);
    expect_status(sent, 200);
    /* A pause may be short by chance. */
    AWAIT(metric_of(s, "ganger_callback_tries_total{outcome=\"failed\"}") >= MANY, 60);
    cr_assert_eq(metric_of(s, "ganger_callbacks_pending"), MANY);
    long before = cpu_ticks(s);
    pause_ms(500);
    cr_assert_lt(cpu_ticks(s) - before, 25, "the thread of callbacks does not rest");
}

SERVER_TEST_WITH(callbacks, a_connection_serves_more_than_one_call, .args = {TO_LOOPBACK})
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK first = receiver_take(&r, 20);
    cr_assert(hook_send(first, answer, sizeof answer - 1));
    AUTO_RESPONSE told = await_delivered(s, job, true);
    struct job_ref other = submit_for(s, &r, "true");
    AUTO_HOOK second = hook_next(first, 20);
    cr_assert_str_eq(hook_text(second, "data.id"), other.id);
    hook_answer(second, "200 OK", "");
    AUTO_RESPONSE told_too = await_delivered(s, other, true);
    cr_assert_not(receiver_has_caller(&r));
}

SERVER_TEST_WITH(callbacks, a_batch_tells_its_own_end, .args = {TO_LOOPBACK})
{
    struct receiver r;
    receiver_open(&r);
    struct text body = text_of("{'command':['sh','-c','exit {}'],'items':[0,0,1],'callback':{"
                               "'url':'http://127.0.0.1:%d/'}}",
                               r.port);
    AUTO_RESPONSE made = http(s, "POST", "/v1/batches", body.s, NULL);
    expect_status(made, 202);
    AUTO_HOOK hook = receiver_take(&r, 20);
    hook_answer(hook, "200 OK", "");
    check_message(s, hook);
    cr_assert_str_eq(hook_text(hook, "type"), "batch.failed");
    cr_assert_str_eq(hook_text(hook, "data.id"), json_text(made, "id"));
    cr_assert_str_eq(hook_text(hook, "data.state"), "failed");
    struct text path = text_of("/v1/batches/%s", json_text(made, "id"));
    uint64_t until = deadline_in(20);
    for (bool told = false; !told;) {
        AUTO_RESPONSE now = http_get(s, "%s", path.s);
        told = cJSON_IsTrue(json_find(now, "callback.delivered"));
        cr_assert_not(deadline_passed(until), "%s", now->body);
    }
    cr_assert_not(receiver_has_caller(&r), "an element has told its end");
}
