/* SPDX-License-Identifier: MIT */
/* The modes that measure how much work is done per second. */
#define _GNU_SOURCE
#include "common.h"
#include "load/check.h"
#include "load/job.h"
#include "load/modes.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILL_LINES 10000 /* per POST: one answer of a few MB */

/* Waits for the end of one job by its result, which is the future. */
static void wait_for(struct client *client, const char *id)
{
    char path[128];
    struct answer answer;
    snprintf(path, sizeof(path), "/v1/jobs/%s/result", id);
    do {
        client_ask(
            client,
            &(struct request){.method = "GET", .path = path, .headers = "Prefer: wait=50\r\n"},
            &answer);
    } while (answer.status == 202);
    check_status(&answer, 200, path);
}

static void post_lines(struct client *client, const char *line, int64_t n, struct answer *ret)
{
    size_t line_len = strlen(line);
    size_t len = (line_len + 1) * (size_t)n;
    char *body = must_alloc(len + 1);
    for (int64_t i = 0; i < n; i++) {
        char *at = body + (line_len + 1) * (size_t)i;
        memcpy(at, line, line_len);
        at[line_len] = '\n';
    }
    struct request request = {.method = "POST",
                              .path = "/v1/jobs",
                              .body = body,
                              .body_len = len,
                              .type = "application/x-ndjson"};
    client_ask(client, &request, ret);
    check_status(ret, 200, "bulk submit");
    free(body);
}

static void last_line_id(const struct answer *answer, char ret_id[JOB_ID_BYTES])
{
    size_t len = answer->body_len;
    if (len > 0 && answer->body[len - 1] == '\n')
        len--;
    const char *line_feed = memrchr(answer->body, '\n', len);
    check_job_id(line_feed != NULL ? line_feed + 1 : answer->body, ret_id);
}

/* A commit may take as long as the disk likes. */
static void wait_until_over(struct client *client, const char *queue)
{
    char path[128];
    struct answer answer;
    snprintf(path, sizeof(path), "/v1/queues/%s", queue);
    for (int tries = 0; tries < 3000; tries++) {
        client_ask(client, &(struct request){.method = "GET", .path = path}, &answer);
        check_status(&answer, 200, path);
        if (strstr(answer.body, "\"scheduled\":0,\"blocked\":0,\"queued\":0,\"running\":0,"
                                "\"stopping\":0,") != NULL)
            return;
        pause_ns(10000000);
    }
    errno = 0;
    die("jobs do not end in half a minute: %s", answer.body);
}

/* Submits and waits until the last job has ended. The answer lines are read only then: parsing them
 * would take the processors from the workers. */
static double submit_and_wait(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    struct answer answer;
    struct client *submitter = client_open(plan->port, plan->token);
    struct client *reader = client_open(plan->port, plan->token);
    char *line = job_line(plan);
    uint64_t start_ns = now_ns();
    post_lines(submitter, line, plan->n, &answer);
    uint64_t answered_ns = now_ns() - start_ns;
    last_line_id(&answer, id);
    wait_for(reader, id);
    wait_until_over(reader, plan->queue); /* the other workers' last jobs */
    int64_t n_lines = check_bulk_lines(answer.body);
    if (n_lines != plan->n)
        die("%lld answer lines", (long long)n_lines);
    free(line);
    client_close(submitter);
    client_close(reader);
    return (double)answered_ns / 1e6;
}

static double verified_rate(const struct plan *plan)
{
    struct client *client = client_open(plan->port, plan->token);
    int64_t took_us = check_queue_took_us(client, plan->queue, plan->n);
    client_close(client);
    return (double)plan->n / (double)took_us * 1e6;
}

void mode_submit(const struct plan *plan)
{
    printf("%s_answered: %.1f ms\n", plan->name, submit_and_wait(plan));
}

void mode_verify(const struct plan *plan)
{
    printf("%s: %.0f jobs/s\n", plan->name, verified_rate(plan));
}

void mode_bulk(const struct plan *plan)
{
    double answered_ms = submit_and_wait(plan);
    printf("%s: %.0f jobs/s  answered after: %.1f ms\n", plan->name, verified_rate(plan),
           answered_ms);
}

static double fill(const struct plan *plan)
{
    struct client *client = client_open(plan->port, plan->token);
    char *line = job_line(plan);
    uint64_t start_ns = now_ns();
    for (int64_t done = 0; done < plan->n;) {
        int64_t left = plan->n - done;
        int64_t n = left < FILL_LINES ? left : FILL_LINES;
        struct answer answer;
        post_lines(client, line, n, &answer);
        if (check_bulk_lines(answer.body) != n)
            die("a bulk answer lacks lines");
        done += n;
    }
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    free(line);
    client_close(client);
    return took_s;
}

void mode_fill(const struct plan *plan)
{
    printf("%s: %.0f jobs/s\n", plan->name, (double)plan->n / fill(plan));
}

static void ask_json(struct client *client, const char *method, const char *path, const char *body,
                     struct answer *ret)
{
    struct request request = {
        .method = method, .path = path, .body = body, .body_len = strlen(body)};
    client_ask(client, &request, ret);
    if (ret->status / 100 != 2)
        die("%s %s: status %d: %s", method, path, ret->status, ret->body);
}

void mode_drop(const struct plan *plan)
{
    char text[256], wanted[64];
    struct answer answer;
    struct client *client = client_open(plan->port, plan->token);
    snprintf(text, sizeof(text), "/v1/queues/%s", plan->queue);
    ask_json(client, "PUT", text, "{\"paused\":true}", &answer);
    fill(plan);
    snprintf(text, sizeof(text), "{\"queue\":\"%s\",\"state\":\"queued\"}", plan->queue);
    snprintf(wanted, sizeof(wanted), "\"changed\":%lld", (long long)plan->n);
    uint64_t start_ns = now_ns();
    ask_json(client, "POST", "/v1/jobs/cancel", text, &answer);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    if (strstr(answer.body, wanted) == NULL)
        die("cancelled otherwise: %s", answer.body);
    client_close(client);
    printf("%s: %.0f jobs/s\n", plan->name, (double)plan->n / took_s);
}

/* One connection of `pairs`: it has either submitted a job or asked for the result of that job. */
struct pair {
    struct client *client;
    bool waits_for_result;
    char path[128];
};

struct pairs {
    struct pair *all;
    const char *line;
    int64_t n_sent, n_done, n;
};

static void send_job(struct pairs *pairs, struct pair *pair)
{
    if (pairs->n_sent == pairs->n)
        return;
    struct request request = {
        .method = "POST", .path = "/v1/jobs", .body = pairs->line, .body_len = strlen(pairs->line)};
    client_send(pair->client, &request);
    pair->waits_for_result = false;
    pairs->n_sent++;
}

static void ask_result(const struct pair *pair)
{
    client_send(
        pair->client,
        &(struct request){.method = "GET", .path = pair->path, .headers = "Prefer: wait=50\r\n"});
}

static void on_answer(struct pairs *pairs, struct pair *pair)
{
    struct answer answer;
    client_read(pair->client, &answer);
    if (!pair->waits_for_result) {
        char id[JOB_ID_BYTES];
        check_status(&answer, 202, "submit");
        check_job_id(answer.body, id);
        snprintf(pair->path, sizeof(pair->path), "/v1/jobs/%s/result", id);
        pair->waits_for_result = true;
        ask_result(pair);
    } else if (answer.status == 202) {
        ask_result(pair);
    } else {
        check_status(&answer, 200, pair->path); /* a failed job is a 409 */
        pairs->n_done++;
        send_job(pairs, pair);
    }
}

void mode_pairs(const struct plan *plan)
{
    char *line = job_line(plan);
    size_t n_all = (size_t)plan->n_connections;
    struct pairs pairs = {
        .all = must_alloc(n_all * sizeof(struct pair)), .line = line, .n = plan->n};
    struct pollfd *polled = must_alloc(n_all * sizeof(*polled));
    for (size_t i = 0; i < n_all; i++) {
        pairs.all[i].client = client_open(plan->port, plan->token);
        polled[i] = (struct pollfd){.fd = client_fd(pairs.all[i].client), .events = POLLIN};
    }
    uint64_t start_ns = now_ns();
    for (size_t i = 0; i < n_all; i++)
        send_job(&pairs, &pairs.all[i]);
    while (pairs.n_done < pairs.n) {
        if (poll(polled, n_all, 60000) <= 0)
            die("no answer for a minute");
        for (size_t i = 0; i < n_all; i++) {
            if (polled[i].revents != 0)
                on_answer(&pairs, &pairs.all[i]);
        }
    }
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    check_queue_took_us(pairs.all[0].client, plan->queue, plan->n);
    printf("%s: %.0f jobs/s\n", plan->name, (double)plan->n / took_s);
    for (size_t i = 0; i < n_all; i++)
        client_close(pairs.all[i].client);
    free(pairs.all);
    free(polled);
    free(line);
}

void mode_big(const struct plan *plan)
{
    struct client *client = client_open(plan->port, plan->token);
    char *line = job_line_with(plan, "{\"limits\":{\"output\":\"8GiB\"}}");
    char path[128];
    struct answer answer;
    uint64_t start_ns = now_ns();
    struct request submit = {.method = "POST",
                             .path = "/v1/jobs",
                             .headers = "Prefer: wait=50\r\n",
                             .body = line,
                             .body_len = strlen(line)};
    client_ask(client, &submit, &answer);
    check_status(&answer, 200, "submit and wait");
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    cJSON *job = check_json(&answer);
    check_succeeded(job);
    snprintf(path, sizeof(path), "%s", check_text(job, "id"));
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(job, "output");
    const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(output, "stdout_bytes");
    errno = 0;
    if (!cJSON_IsNumber(bytes) || bytes->valuedouble != (double)plan->n * 1048576.0)
        die("the job did not write %lld MiB: %.400s", (long long)plan->n, answer.body);
    if (!cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(output, "truncated")))
        die("the output was truncated");
    printf("%s: %.3f GiB/s  id: %s\n", plan->name, (double)plan->n / 1024.0 / took_s, path);
    cJSON_Delete(job);
    free(line);
    client_close(client);
}
