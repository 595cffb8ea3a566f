/* SPDX-License-Identifier: MIT */
/* calls [CALLS]
 *
 * CALLS calls of a native function (600 unless told; ./dev crash uses 10,000), of which one in a
 * hundred ends badly, each way in its turn: a segmentation fault, abort(), exit(3), a stack that
 * overflows, a loop without an end, and memory beyond the limit. Every other result must be right,
 * every bad one must have its reason, and no worker may be missing afterwards.
 * The long form measures as well: three such batches take turns with three of the same calls
 * without the bad ones, and the healthy calls must come at no less than 0.8 of the rate that they
 * have there. */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_proc.h"

#define LONG_CALLS 10000
#define LONG_ROUNDS 3
#define LEAST_RATIO 0.8

static const struct {
    const char *word, *reason;
} bad[] = {{"segfault", "signal"}, {"abort", "signal"}, {"exit3", "exit_code"},
           {"overflow", "signal"}, {"loop", "timeout"}, {"eat", "oom"}};

static bool is_bad(int i)
{
    return i % 100 == 50;
}

static size_t way_of(int i)
{
    return (size_t)(i / 100) % COUNT_OF(bad);
}

struct run {
    bool has_bad;
    int calls;
    double rate; /* of the healthy ones, per second */
};

static struct job_ref submit(struct server *s, const struct run *run)
{
    struct text_builder body = {0};
    text_add(&body,
             "{\"function\":\"misbehave\",\"star\":true,\"limits\":{\"memory\":\"32MiB\"},"
             "\"timeout\":%s,\"items\":[",
             run->calls >= LONG_CALLS ? "0.25" : "2");
    const char *comma = "";
    for (int i = 0; i < run->calls; i++) {
        if (is_bad(i) && !run->has_bad)
            continue;
        if (is_bad(i))
            text_add(&body, "%s[\"%s\"]", comma, bad[way_of(i)].word);
        else
            text_add(&body, "%s[\"work\",%d]", comma, i);
        comma = ",";
    }
    text_add(&body, "]}");
    const struct call call = {
        .method = "POST", .path = "/v1/batches", .body = body.text, .body_len = body.len};
    AUTO_RESPONSE r = http_send(s, &call);
    expect_status(r, 202);
    text_free(&body);
    return job_of(r);
}

static void check_one(const cJSON *item, int i)
{
    const char *state = cJSON_GetStringValue(json_at(item, "state"));
    const char *reason = cJSON_GetStringValue(json_at(item, "reason"));
    if (is_bad(i))
        CHECK(reason != NULL && strcmp(reason, bad[way_of(i)].reason) == 0,
              "call %d, %s, is %s, reason %s", i, bad[way_of(i)].word, state,
              reason == NULL ? "none" : reason);
    else
        CHECK(strcmp(state, "succeeded") == 0 && cJSON_GetNumberValue(json_at(item, "value")) == i,
              "call %d is %s, reason %s", i, state, reason == NULL ? "none" : reason);
}

static void check_results(struct server *s, struct job_ref batch, const struct run *run)
{
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s/results?order=index", batch.id);
    const cJSON *item = json_find(r, "")->child;
    for (int i = 0; i < run->calls; i++) {
        if (is_bad(i) && !run->has_bad)
            continue;
        CHECK(item != NULL, "the results end before call %d", i);
        check_one(item, i);
        item = item->next;
    }
    CHECK(item == NULL, "there are more results than calls");
}

static bool are_workers_there(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/workers");
    return cJSON_IsNumber(json_find(r, "items.0.pid")) &&
           cJSON_IsNumber(json_find(r, "items.1.pid"));
}

/* Sets the rate: of the healthy calls, from the request to the end of the batch. */
static void do_run(struct server *s, struct run *run)
{
    const uint64_t start = now_ns();
    const struct job_ref batch = submit(s, run);
    AUTO_RESPONSE over = batch_await(s, batch);
    run->rate = (run->calls - run->calls / 100) / seconds_since(start);
    check_results(s, batch, run);
    AWAIT(are_workers_there(s), 20);
}

static int by_rate(const void *a, const void *b)
{
    const double x = ((const struct run *)a)->rate, y = ((const struct run *)b)->rate;
    return (x > y) - (x < y);
}

static double median(struct run *runs, int n)
{
    qsort(runs, (size_t)n, sizeof(runs[0]), by_rate);
    return runs[n / 2].rate;
}

int main(int argc, char **argv)
{
    const int calls = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 600;
    const int rounds = calls >= LONG_CALLS ? LONG_ROUNDS : 1;
    struct run with[LONG_ROUNDS], without[LONG_ROUNDS];
    struct server s;
    CHECK(calls >= 600, "usage: calls [CALLS], 600 or more");
    if (slow_factor() > 1) {
        printf("result: 0 passed, 0 failed, 1 skipped\n"); /* it cannot live with limits of memory
                                                            */
        return 77;
    }
    server_start_configured(&s, 2,
                            "[function misbehave]\nkind = native\nmodule = " GANGER_HELPER_DIR
                            "/native_misbehave.so\n");
    s.unchecked = true;
    for (int i = 0; i < rounds; i++) {
        without[i] = (struct run){.calls = calls};
        with[i] = (struct run){.calls = calls, .has_bad = true};
        do_run(&s, &without[i]);
        do_run(&s, &with[i]);
        printf("calls: %.0f healthy calls/s without bad ones, %.0f with one bad in a hundred\n",
               without[i].rate, with[i].rate);
    }
    server_stop(&s);
    const double ratio = median(with, rounds) / median(without, rounds);
    printf("calls: ratio of the medians %.2f; of %d calls at least %.1f\n", ratio, LONG_CALLS,
           LEAST_RATIO);
    CHECK(ratio >= LEAST_RATIO || calls < LONG_CALLS, "healthy calls suffer");
    printf("result: 1 passed, 0 failed\n");
    return 0;
}
