/* SPDX-License-Identifier: MIT */
/* What submissions cost while others wait for a job. */
#include "common.h"
#include "load/check.h"
#include "load/job.h"
#include "load/modes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void submit(struct client *client, const char *line, char ret_id[JOB_ID_BYTES])
{
    struct answer answer;
    client_ask(client,
               &(struct request){
                   .method = "POST", .path = "/v1/jobs", .body = line, .body_len = strlen(line)},
               &answer);
    check_status(&answer, 202, "submit");
    check_job_id(answer.body, ret_id);
}

static int64_t count_parked(struct client *client)
{
    struct answer answer;
    client_ask(client, &(struct request){.method = "GET", .path = "/v1/stats"}, &answer);
    check_status(&answer, 200, "stats");
    cJSON *stats = check_json(&answer);
    const cJSON *parked = cJSON_GetObjectItemCaseSensitive(stats, "parked");
    int64_t n = cJSON_IsNumber(parked) ? (int64_t)parked->valuedouble : -1;
    cJSON_Delete(stats);
    return n;
}

static void wait_for_waiters(struct client *client, int64_t n)
{
    for (int tries = 0; tries < 10000; tries++) {
        if (count_parked(client) >= n)
            return;
        pause_ns(1000000);
    }
    errno = 0;
    die("%lld requests do not wait after ten seconds", (long long)n);
}

static struct client **open_waiters(const struct plan *plan, struct client *client, int64_t n)
{
    struct client **waiters = must_alloc((size_t)(n + 1) * sizeof(struct client *));
    char *line = job_line_with(plan, "{\"delay\":\"1h\"}");
    char id[JOB_ID_BYTES];
    char path[128];
    submit(client, line, id);
    free(line);
    snprintf(path, sizeof(path), "/v1/jobs/%s", id);
    for (int64_t i = 0; i < n; i++) {
        waiters[i] = client_open(plan->port, plan->token);
        client_send(
            waiters[i],
            &(struct request){.method = "GET", .path = path, .headers = "Prefer: wait=55\r\n"});
    }
    wait_for_waiters(client, n);
    return waiters;
}

void mode_beside(const struct plan *plan)
{
    struct client *client = client_open(plan->port, plan->token);
    uint64_t *samples_ns = must_alloc((size_t)plan->n * sizeof(*samples_ns));
    int64_t n_waiters = plan->argc > 0 ? number_of(plan->argv[0], 0, 100000) : 0;
    struct client **waiters = open_waiters(plan, client, n_waiters);
    char *line = job_line_with(plan, "{\"delay\":\"1h\"}");
    char ignored[JOB_ID_BYTES];
    for (int64_t i = 0; i < plan->n; i++) {
        uint64_t start_ns = now_ns();
        submit(client, line, ignored);
        samples_ns[i] = now_ns() - start_ns;
    }
    errno = 0;
    if (count_parked(client) < n_waiters)
        die("not all have waited until the end");
    samples_sort(samples_ns, (size_t)plan->n);
    printf("%s: p50 %.0f us p99 %.0f us\n", plan->name, samples_us(samples_ns, (size_t)plan->n, 50),
           samples_us(samples_ns, (size_t)plan->n, 99));
    for (int64_t i = 0; i < n_waiters; i++)
        client_close(waiters[i]);
    free(waiters);
    free(line);
    free(samples_ns);
    client_close(client);
}
