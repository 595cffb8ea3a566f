/* SPDX-License-Identifier: MIT */
/* A chunk is one worker turn: its elements go to one worker back to back, and each of them still
 * ends, fails and is cancelled for itself. */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_pool.h"
#include "integration/harness_queue.h"

#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

static const char registry[] = "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n"
                               "\n"
                               "[function noop]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/../examples/native/noop.so\n"
                               "symbol = ganger_noop\n";

/* The file stays for restarts. */
#define CHUNK_TEST(name, n_workers)                                              \
    static void chunks_##name##_body(struct server *s);                          \
    PLAIN_TEST(chunks, name)                                                     \
    {                                                                            \
        struct server server;                                                    \
        const struct config_file file = config_write(registry);                  \
        const struct server_options options = {.workers = (n_workers),           \
                                               .args = {"--config", file.path}}; \
        server_start(&server, &options);                                         \
        chunks_##name##_body(&server);                                           \
        server_stop(&server);                                                    \
        config_remove(&file);                                                    \
    }                                                                            \
    static void chunks_##name##_body(struct server *s)

/* The states of all elements by their first letters: "ssfc". Reasons are not told. */
static struct text states_of(struct server *s, struct job_ref batch)
{
    struct text states = {""};
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?batch=%s&order=oldest&limit=1000", batch.id);
    const cJSON *items = json_find(list, "items");
    size_t n = 0;
    for (const cJSON *job = items->child; job != NULL && n + 1 < sizeof states.s; job = job->next)
        states.s[n++] = cJSON_GetStringValue(json_at(job, "state"))[0];
    return states;
}

static void expect_states(struct server *s, struct job_ref batch, const char *states)
{
    AUTO_RESPONSE over = batch_await(s, batch);
    const struct text found = states_of(s, batch);
    cr_assert_str_eq(found.s, states, "%s", over->body);
}

static void await_state(struct server *s, struct job_ref batch, int64_t index, const char *state)
{
    AUTO_RESPONSE r = job_await_state(s, element_of(s, batch, index), state);
}

/* ---- one turn ---- */

CHUNK_TEST(many_elements_cost_few_commits, 2)
{
    struct text_builder items = {0};
    enum { ITEMS = 2000 };
    for (int i = 0; i < ITEMS; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    const double before = metric_of(s, "ganger_commits_total");
    const struct job_ref batch = batch_submit(
        s, "{'function':'misbehave','chunksize':100,'items':[%s]}", items.text);
    text_free(&items);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.succeeded", ITEMS);
    const double commits = metric_of(s, "ganger_commits_total") - before;
    cr_assert_leq(commits, 4 * ITEMS / 100, "%.0f commits for %d chunks", commits, ITEMS / 100);
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s/results?order=index", batch.id);
    int i = 0;
    for (const cJSON *item = json_find(r, "")->child; item != NULL; item = item->next, i++)
        cr_assert(cJSON_GetNumberValue(json_at(item, "index")) == i &&
                  cJSON_GetNumberValue(json_at(item, "value")) == i);
    cr_assert_eq(i, ITEMS);
    AUTO_RESPONSE ends = http_get(s, "/v1/batches/%s/results?order=completed", batch.id);
    cr_assert_eq(cJSON_GetArraySize(json_find(ends, "")), ITEMS);
}

/* Each command tells who its parent is: the worker. */
CHUNK_TEST(a_chunk_has_one_worker, 3)
{
    const struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','echo $PPID $GANGER_JOB_ID $GANGER_JOB_NAME','x'],'name':'n{index}',"
        "'chunksize':4,'items':[0,1,2,3,4,5,6,7,8]}");
    expect_states(s, batch, "sssssssss");
    char first[32] = "";
    for (int i = 0; i < 9; i++) {
        const struct job_ref job = element_of(s, batch, i);
        AUTO_TEXT out = job_read(s, job, "stdout");
        char pid[32], id[64], name[32];
        cr_assert_eq(sscanf(out, "%31s %63s %31s", pid, id, name), 3, "%s", out);
        cr_assert_str_eq(id, job.id);
        cr_assert_str_eq(name, text_of("n%d", i).s);
        if (i % 4 == 0)
            (void)snprintf(first, sizeof first, "%s", pid);
        cr_assert_str_eq(pid, first, "element %d", i);
    }
}

/* It is told while the next one runs, however long that takes. */
CHUNK_TEST(ends_are_seen_while_the_turn_goes_on, 1)
{
    struct text hold = fifo_make(s, "hold");
    const struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','{}'],'chunksize':4,'items':['true','true','cat %s','true']}",
        hold.s);
    await_state(s, batch, 2, "running");
    AWAIT(strcmp(states_of(s, batch).s, "ssrb") == 0, 20);
    AUTO_RESPONSE why = http_get(s, "/v1/jobs/%s/explain", element_of(s, batch, 3).id);
    expect_text(why, "blockers.0.detail", "It runs behind the others of its chunk");
    fifo_release(hold.s);
    expect_states(s, batch, "ssss");
}

/* Each beginning counts, so there every element begins by itself. */
CHUNK_TEST(a_rate_counts_elements, 2)
{
    put_queue(s, "slow", "{'rate':'3/1h'}");
    const struct job_ref batch = batch_submit(
        s, "{'function':'noop','queue':'slow','chunksize':5,'items':[0,1,2,3,4]}");
    AWAIT(batch_count(s, batch, "succeeded") == 3, 20);
    cr_assert_str_eq(states_of(s, batch).s, "sssqb");
    AUTO_RESPONSE cut = batch_post(s, batch, "cancel", NULL);
    expect_states(s, batch, "ssscc");
}

/* Items that are too large for one turn are not read for it. */
CHUNK_TEST(large_items_take_several_turns, 1)
{
    enum { ITEMS = 9, PIECES = 100 };
    char piece[1001];
    memset(piece, 'x', sizeof piece - 1);
    piece[sizeof piece - 1] = '\0';
    struct text_builder b = {0};
    text_add(&b, "{\"command\":[\"wc\",\"-c\"],\"stdin\":\"{}\",\"chunksize\":9,\"items\":[");
    for (int i = 0; i < ITEMS * PIECES; i++)
        text_add(&b, "%s%s%s",
                 i % PIECES > 0 ? ""
                 : i == 0       ? "\""
                                : ",\"",
                 piece, i % PIECES == PIECES - 1 ? "\"" : "");
    text_add(&b, "]}");
    const struct call call = {
        .method = "POST", .path = "/v1/batches", .body = b.text, .body_len = b.len};
    AUTO_RESPONSE r = http_send(s, &call);
    expect_status(r, 202);
    text_free(&b);
    const struct job_ref batch = job_of(r);
    expect_states(s, batch, "sssssssss");
    for (int i = 0; i < ITEMS; i++)
        expect_output(s, element_of(s, batch, i), "stdout", "100000\n");
}

/* Outputs of a chunk lie in memory until they are stored; what has no room ends the turn. */
CHUNK_TEST(large_outputs_are_whole, 2)
{
    const struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','head -c {} /dev/zero | tr -c x x'],'chunksize':12,"
           "'items':[60000,60001,60002,60003,60004,60005,60006,200000,0,1,65536,65537]}");
    static const size_t sizes[] = {60000, 60001,  60002, 60003, 60004, 60005,
                                   60006, 200000, 0,     1,     65536, 65537};
    expect_states(s, batch, "ssssssssssss");
    for (int i = 0; i < 12; i++) {
        AUTO_RESPONSE out = http_get(s, "/v1/jobs/%s/stdout", element_of(s, batch, i).id);
        cr_assert_eq(out->len, sizes[i], "element %d has %zu bytes", i, out->len);
        cr_assert_eq(strspn(out->body, "x"), sizes[i]);
    }
}

/* The one that runs is ended, the others of its chunk run elsewhere. */
CHUNK_TEST(a_turn_ends_with_its_worker, 1)
{
    struct text hold = fifo_make(s, "hold");
    const struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','{}'],'chunksize':5,'items':['true','cat %s','echo $PPID',"
        "'echo $PPID','true']}",
        hold.s);
    await_state(s, batch, 1, "running");
    AUTO_RESPONSE worker = http_get(s, "/v1/workers/worker-0");
    const struct text pid = text_of("%" PRId64 "\n", json_int(worker, "pid"));
    response_free(http(s, "POST", "/v1/workers/worker-0/terminate", NULL, NULL));
    expect_states(s, batch, "sfsss");
    for (int i = 2; i < 4; i++) {
        AUTO_TEXT out = job_read(s, element_of(s, batch, i), "stdout");
        cr_assert_str_neq(out, pid.s, "element %d ran in the worker that was sent away", i);
    }
}

/* ---- each for itself ---- */

CHUNK_TEST(a_crash_costs_one_element, 1)
{
    const struct job_ref batch = batch_submit(
        s, "{'function':'misbehave','chunksize':10,'items':['pid',1,'segfault','pid','exit3','pid',"
           "'fail','abort',8,'pid']}");
    expect_states(s, batch, "ssfsfsffss");
    static const char *const reasons[] = {
        [2] = "signal", [4] = "exit_code", [6] = "function_error", [7] = "signal"};
    for (int i = 0; i < 8; i++) {
        AUTO_RESPONSE job = job_show(s, element_of(s, batch, i));
        if (reasons[i] != NULL)
            expect_text(job, "reason", reasons[i]);
        expect_int(job, "attempt", 1);
    }
    AUTO_TEXT first = job_read(s, element_of(s, batch, 0), "result");
    AUTO_TEXT next = job_read(s, element_of(s, batch, 3), "result");
    cr_assert_str_neq(first, next, "a fresh worker goes on");
}

CHUNK_TEST(a_timeout_costs_one_element, 1)
{
    const struct job_ref calls = batch_submit(
        s, "{'function':'misbehave','timeout':0.4,'chunksize':4,'items':[0,'loop',2,3]}");
    const struct job_ref commands = batch_submit(
        s, "{'command':['sleep'],'timeout':0.4,'chunksize':4,'items':['0','30','0','0']}");
    expect_states(s, calls, "sfss");
    expect_states(s, commands, "sfss");
    AUTO_RESPONSE call = job_show(s, element_of(s, calls, 1));
    AUTO_RESPONSE command = job_show(s, element_of(s, commands, 1));
    expect_text(call, "reason", "timeout");
    expect_text(command, "reason", "timeout");
}

/* What the death of a worker means is a setting of the pool that it belongs to. */
CHUNK_TEST(a_lost_element_follows_its_pool, 1)
{
    pool_make(s, "{'name':'side','size':1,'on_worker_death':'retry'}");
    for (int i = 0; i < 2; i++) {
        const struct job_ref batch = batch_submit(
            s,
            "{'command':['sh','-c','test $GANGER_ATTEMPT = 2 || {}'],'pool':'%s','chunksize':3,"
            "'items':['true','exec sleep 600','true'],"
            "'retry':{'max_attempts':2,'delay':0,'on':['timeout']}}",
            i == 0 ? "default" : "side");
        AUTO_RESPONSE running = job_await_state(s, element_of(s, batch, 1), "running");
        cr_assert_eq(kill((pid_t)json_int(running, "worker.pid"), SIGKILL), 0);
        expect_states(s, batch, i == 0 ? "sfs" : "sss");
    }
}

CHUNK_TEST(one_element_is_cancelled_before_it_begins, 1)
{
    struct text hold = fifo_make(s, "hold"), mark = text_of("%s/mark", s->scratch);
    const struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','{}'],'chunksize':6,'items':['true','cat %s','true','echo 3 >> %s',"
        "'true','echo 5 >> %s']}",
        hold.s, mark.s, mark.s);
    await_state(s, batch, 1, "running");
    AUTO_RESPONSE r = job_cancel(s, element_of(s, batch, 3), NULL, 0);
    expect_status(r, 200);
    expect_text(r, "job.state", "cancelled");
    fifo_release(hold.s);
    expect_states(s, batch, "ssscss");
    AUTO_TEXT text = file_read(mark.s, NULL);
    cr_assert_str_eq(text, "5\n", "a cancelled element has run");
}

CHUNK_TEST(one_element_is_cancelled_while_it_runs, 1)
{
    const struct job_ref commands = batch_submit(
        s, "{'command':['sleep'],'chunksize':4,'items':['0','100','0','0']}");
    const struct job_ref calls = batch_submit(
        s, "{'function':'misbehave','chunksize':6,'items':[0,'cancel',2,'loop',4,5]}");
    await_state(s, commands, 1, "running");
    AUTO_RESPONSE command = job_cancel(s, element_of(s, commands, 1), "{'grace':5}", 20);
    expect_text(command, "job.state", "cancelled");
    expect_states(s, commands, "scss");
    await_state(s, calls, 1, "running");
    AUTO_RESPONSE asked = job_cancel(s, element_of(s, calls, 1), "{'grace':5}", 20);
    expect_text(asked, "job.state", "cancelled");
    await_state(s, calls, 3, "running");
    AUTO_RESPONSE killed = job_cancel(s, element_of(s, calls, 3), "{'grace':0}", 20);
    expect_text(killed, "job.state", "cancelled");
    expect_states(s, calls, "scscss");
}

CHUNK_TEST(indexes_are_cancelled_in_the_middle_of_a_turn, 1)
{
    struct text hold = fifo_make(s, "hold");
    const struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','{}'],'chunksize':8,'items':['true','cat %s','true','true','true',"
        "'true','true','true']}",
        hold.s);
    await_state(s, batch, 1, "running");
    AUTO_RESPONSE r = batch_post(s, batch, "cancel", "{'indexes':'2-4,6'}");
    expect_int(r, "cancelled", 4);
    fifo_release(hold.s);
    expect_states(s, batch, "sscccscs");
}

/* Nothing begins after the failure that was one too many. */
CHUNK_TEST(max_failures_stops_the_turn, 1)
{
    struct text mark = text_of("%s/mark", s->scratch);
    const struct job_ref commands = batch_submit(
        s,
        "{'command':['sh','-c','echo {} >> %s; exit {}'],'chunksize':8,'max_failures':2,"
        "'items':[0,1,0,2,0,0,0,0]}",
        mark.s);
    expect_states(s, commands, "sfsfcccc");
    AUTO_TEXT text = file_read(mark.s, NULL);
    cr_assert_str_eq(text, "0\n1\n0\n2\n");
    const struct job_ref calls = batch_submit(
        s, "{'function':'misbehave','chunksize':100,'max_failures':1,'items':[0,1,'fail',3,4]}");
    expect_states(s, calls, "ssfcc");
}

/* The one that failed comes again by itself; the turn does not wait for it. */
CHUNK_TEST(an_element_is_tried_again, 1)
{
    const struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','[ $GANGER_ATTEMPT -ge {} ]'],'chunksize':5,"
           "'retry':{'max_attempts':3,'delay':'10ms'},'items':[1,2,1,3,1]}");
    expect_states(s, batch, "sssss");
    AUTO_RESPONSE third = job_show(s, element_of(s, batch, 3));
    expect_int(third, "attempt", 3);
    AUTO_RESPONSE last = job_show(s, element_of(s, batch, 4));
    expect_int(last, "attempt", 1);
}

/* The worker's turn ends with the failure, and lets the next one in; who is cancelled together with
 * that end leaves the gate to those behind. Each transaction of this server takes 30 ms: what comes
 * meanwhile is in the next one, unless the machine is busy: then the next one begins, and fails as
 * well. Either way the batch ends. */
SERVER_TEST_WITH(chunks, who_is_let_in_and_cancelled_at_once_lets_the_next_in, .workers = 1,
                 .env = {"GANGER_BUG=ack-before-commit"})
{
    for (int i = 0; i < 5; i++) {
        struct text hold = fifo_make(s, text_of("hold-%d", i).s);
        const struct job_ref batch = batch_submit(
            s,
            "{'command':['sh','-c','{}'],'chunksize':4,'max_failures':1,"
            "'retry':{'max_attempts':2,'delay':'1h'},"
            "'items':['cat %s; exit 3','exit 3','true','true']}",
            hold.s);
        await_state(s, batch, 0, "running");
        (void)job_submit(s, "{'command':['true'],'delay':'1h'}");
        fifo_release(hold.s);
        AUTO_RESPONSE r = batch_post(s, batch, "cancel", "{'indexes':'0-1'}");
        cr_assert_lt(r->status, 300, "%s", r->body);
        AUTO_RESPONSE over = batch_await(s, batch);
        cr_assert(cJSON_IsTrue(json_find(over, "done")), "%s", over->body);
    }
}

/* The verb puts it behind the others of its chunk. */
CHUNK_TEST(an_element_retried_in_the_middle_waits_for_the_turn, 2)
{
    struct text hold = fifo_make(s, "hold");
    const struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','{}'],'chunksize':4,'items':['exit 1','cat %s','true','true']}",
        hold.s);
    await_state(s, batch, 1, "running");
    const struct job_ref failed = element_of(s, batch, 0);
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", failed.id).s, NULL, NULL);
    expect_status(again, 202);
    expect_text(again, "state", "blocked");
    fifo_release(hold.s);
    expect_states(s, batch, "fsss");
    AUTO_RESPONSE shown = job_show(s, failed);
    expect_int(shown, "attempt", 2);
}

/* Whoever begins to wait for an element while its turn is under way hears of its end. */
CHUNK_TEST(an_element_in_flight_becomes_a_parent, 1)
{
    const struct job_ref batch = batch_submit(
        s, "{'function':'misbehave','chunksize':6,'items':['cancel',1,2,3,4,5]}");
    await_state(s, batch, 0, "running");
    struct job_ref children[5];
    for (int i = 0; i < 5; i++)
        children[i] = job_submit(s, "{'command':['true'],'depends_on':['%s']}",
                                 element_of(s, batch, i + 1).id);
    AUTO_RESPONSE go = job_cancel(s, element_of(s, batch, 0), "{'grace':5}", 20);
    expect_states(s, batch, "csssss");
    for (int i = 0; i < 5; i++) {
        AUTO_RESPONSE child = job_await(s, children[i]);
        expect_outcome(child, "succeeded", NULL);
    }
}

/* ---- the service ends ---- */

/* A row says `running` a moment before the command has done anything. */
static bool file_is(const char *path, const char *text)
{
    AUTO_TEXT found = file_read(path, NULL);
    return found != NULL && strcmp(found, text) == 0;
}

/* What ended and was stored stays; what had begun is lost; what had not, runs. */
CHUNK_TEST(kill_9_costs_those_that_had_begun, 1)
{
    struct text mark = text_of("%s/mark", s->scratch);
    const struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','echo {index} >> %s; {}'],'chunksize':6,"
        "'items':['true','true','sleep 100','true','true','true']}",
        mark.s);
    await_state(s, batch, 2, "running");
    AWAIT(strcmp(states_of(s, batch).s, "ssrbbb") == 0 && file_is(mark.s, "0\n1\n2\n"), 20);
    server_kill(s);
    server_restart(s, NULL);
    expect_states(s, batch, "ssfsss");
    AUTO_RESPONSE lost = job_show(s, element_of(s, batch, 2));
    expect_text(lost, "reason", "lost");
    AUTO_TEXT text = file_read(mark.s, NULL);
    cr_assert_str_eq(text, "0\n1\n2\n3\n4\n5\n", "each has begun once, in order");
}

/* A head that boards once more, now with mates, is another entry for the next server. */
CHUNK_TEST(kill_9_knows_mates_that_came_after_their_head, 1)
{
    struct text hold = fifo_make(s, "hold"), mark = text_of("%s/mark", s->scratch);
    put_queue(s, "slow", "{'rate':'100/1h'}");
    const struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE busy = job_await_state(s, first, "running");
    const struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','echo {index} >> %s; {}'],'queue':'slow','chunksize':4,"
        "'items':['true','true','sleep 100','true']}",
        mark.s);
    put_queue(s, "slow", "{}");
    fifo_release(hold.s);
    AWAIT(strcmp(states_of(s, batch).s, "ssrb") == 0 && file_is(mark.s, "0\n1\n2\n"), 20);
    server_kill(s);
    server_restart(s, NULL);
    expect_states(s, batch, "ssfs");
    AUTO_RESPONSE lost = job_show(s, element_of(s, batch, 2));
    expect_text(lost, "reason", "lost");
    AUTO_TEXT text = file_read(mark.s, NULL);
    cr_assert_str_eq(text, "0\n1\n2\n3\n", "each has begun once, in order");
}

CHUNK_TEST(a_drain_lets_the_running_one_end_and_begins_no_other, 1)
{
    struct text hold = fifo_make(s, "hold"), mark = text_of("%s/mark", s->scratch);
    const struct job_ref batch = batch_submit(s,
                                              "{'command':['sh','-c','{}'],'chunksize':4,'items':['"
                                              "true','cat %s','echo 2 >> %s','true']}",
                                              hold.s, mark.s);
    await_state(s, batch, 1, "running");
    cr_assert_eq(kill(s->pid, SIGTERM), 0);
    AWAIT(server_log_has(s, "draining"), 20);
    fifo_release(hold.s);
    cr_assert_eq(server_wait_exit(s, 30), 0);
    cr_assert_neq(access(mark.s, F_OK), 0, "it began during the drain");
    server_restart(s, NULL);
    expect_states(s, batch, "ssss");
}
