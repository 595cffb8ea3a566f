/* SPDX-License-Identifier: MIT */
/* Neighbours whose calls are brief share a turn of a worker, unless somebody has said otherwise;
 * and nobody waits behind one that is not brief after all. */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_pool.h"
#include "integration/harness_queue.h"

static const char registry[] = "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n";

#define FREE_CHUNK_TEST(name, n_workers) CONFIGURED_TEST_OF(free_chunks, name, n_workers, registry)

enum { ITEMS = 64 };

/* A batch of calls that return their item. `first` is an item that comes before them, or "". */
static struct job_ref calls(struct server *s, const char *more, const char *first)
{
    struct text_builder items = {0};
    text_add(&items, "%s", first);
    for (int i = 0; i < ITEMS; i++)
        text_add(&items, "%s%d", items.len == 0 ? "" : ",", i);
    const struct job_ref batch = batch_submit(s, "{'function':'misbehave'%s,'items':[%s]}", more,
                                              items.text);
    text_free(&items);
    return batch;
}

static int64_t chunksize_of(struct server *s, struct job_ref batch)
{
    AUTO_RESPONSE r = batch_show(s, batch);
    return json_int(r, "chunksize");
}

/* Until the server knows that these calls are brief. Returns a batch of them that is over. */
static struct job_ref learn(struct server *s, const char *more)
{
    struct job_ref batch;
    int64_t size = 1;
    for (int i = 0; i < 200 && size == 1; i++) {
        batch = calls(s, more, "");
        AUTO_RESPONSE over = batch_await(s, batch);
        expect_int(over, "counts.succeeded", ITEMS);
        size = json_int(over, "chunksize");
    }
    cr_assert_gt(size, 1, "calls of a few microseconds never share a turn");
    return batch;
}

FREE_CHUNK_TEST(brief_calls_share_a_turn, 2)
{
    const struct job_ref first = calls(s, "", "");
    cr_assert_eq(chunksize_of(s, first), 1, "nothing is known of them");
    const struct job_ref batch = learn(s, "");
    cr_assert_leq(chunksize_of(s, batch), ITEMS / 4, "each worker has two turns");
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s/results?order=index", batch.id);
    int i = 0;
    for (const cJSON *item = json_find(r, "")->child; item != NULL; item = item->next, i++)
        cr_assert(cJSON_GetNumberValue(json_at(item, "index")) == i &&
                  cJSON_GetNumberValue(json_at(item, "value")) == i);
    cr_assert_eq(i, ITEMS);
}

/* What asks for each of them alone, or could not be kept by a turn. */
FREE_CHUNK_TEST(who_wants_to_run_alone_does, 2)
{
    static const char *const more[] = {
        ",'chunksize':1", ",'max_parallel':2", ",'max_failures':5",     ",'open':true",
        ",'delay':'1ms'", ",'queue':'rated'",  ",'queue_timeout':'1m'", ",'pool':'one_by_one'",
    };
    (void)learn(s, "");
    put_queue(s, "rated", "{'rate':'100000/1s'}");
    pool_make(s, "{'name':'one_by_one','size':1,'max_jobs_per_worker':5}");
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        cr_assert_eq(chunksize_of(s, calls(s, more[i], "")), 1, "%s", more[i]);
    const struct job_ref parent = job_submit(s, "{'command':['true'],'delay':'1h'}");
    cr_assert_eq(chunksize_of(s, calls(s, text_of(",'depends_on':['%s']", parent.id).s, "")), 1);
    AUTO_RESPONSE few = batch_await(s, batch_submit(s, "{'function':'misbehave','items':[1,2,3]}"));
    expect_int(few, "chunksize", 1);
}

/* With both workers idle but for the slow call, its neighbours run although it goes on. */
FREE_CHUNK_TEST(nobody_waits_behind_a_slow_one, 2)
{
    (void)learn(s, "");
    const struct job_ref batch = calls(s, "", "\"loop\"");
    cr_assert_gt(chunksize_of(s, batch), 1);
    AWAIT(batch_count(s, batch, "succeeded") == ITEMS, 20);
    const struct job_ref slow = element_of(s, batch, 0);
    AUTO_RESPONSE running = job_show(s, slow);
    expect_text(running, "state", "running");
    AUTO_RESPONSE cancelled = job_cancel(s, slow, "{'grace':0}", 20);
    expect_text(cancelled, "job.state", "cancelled");
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.cancelled", 1);
}

/* Nor does who is tried again. */
FREE_CHUNK_TEST(a_retry_does_not_wait_for_a_slow_one, 2)
{
    (void)learn(s, "");
    const struct job_ref batch = calls(s, "", "\"loop\",\"fail\"");
    cr_assert_gt(chunksize_of(s, batch), 1);
    AWAIT(batch_count(s, batch, "failed") == 1, 20);
    for (int i = 0; i < 2; i++) {
        const int attempt = 2 + i;
        AUTO_RESPONSE again = i == 0
                                  ? batch_post(s, batch, "retry", NULL)
                                  : http(s, "POST",
                                         text_of("/v1/jobs/%s/retry", element_of(s, batch, 1).id).s,
                                         NULL, NULL);
        cr_assert_lt(again->status, 300, "%s", again->body);
        AUTO_RESPONSE failed = job_await_state(s, element_of(s, batch, 1), "failed");
        expect_int(failed, "attempt", attempt);
    }
    AUTO_RESPONSE running = job_show(s, element_of(s, batch, 0));
    expect_text(running, "state", "running");
    AUTO_RESPONSE cancelled = job_cancel(s, element_of(s, batch, 0), "{'grace':0}", 20);
    expect_text(cancelled, "job.state", "cancelled");
}

/* Its place in the turn does not matter, nor that the only worker is the one with the slow call. */
FREE_CHUNK_TEST(one_worker_goes_on_behind_a_slow_one, 1)
{
    static const char limit[] = ",'timeout':1";
    (void)learn(s, limit);
    const struct job_ref batch = calls(s, limit, "7,\"loop\"");
    cr_assert_gt(chunksize_of(s, batch), 1);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.succeeded", ITEMS + 1);
    expect_int(over, "counts.failed", 1);
}

/* A size that was asked for stays together. */
FREE_CHUNK_TEST(a_chosen_size_is_not_parted, 2)
{
    const struct job_ref batch = calls(s, ",'chunksize':8", "\"loop\"");
    AWAIT(batch_count(s, batch, "succeeded") == ITEMS - 7, 20);
    const struct job_ref later = job_submit(s, "{'command':['sleep','0.1']}");
    AUTO_RESPONSE passed = job_await_state(s, later, "succeeded");
    AUTO_RESPONSE r = batch_show(s, batch);
    expect_int(r, "counts.blocked", 7);
    AUTO_RESPONSE cancelled = job_cancel(s, element_of(s, batch, 0), "{'grace':0}", 20);
    expect_status(cancelled, 200);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.succeeded", ITEMS);
}

/* One slow call among the last few dozen is enough. */
FREE_CHUNK_TEST(slow_calls_are_noticed, 2)
{
    static const char limit[] = ",'timeout':0.3";
    (void)learn(s, limit);
    AUTO_RESPONSE slow = batch_await(s, calls(s, limit, "\"loop\""));
    expect_int(slow, "counts.failed", 1);
    cr_assert_eq(chunksize_of(s, calls(s, limit, "")), 1);
}
