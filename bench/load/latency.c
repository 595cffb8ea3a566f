/* SPDX-License-Identifier: MIT */
/* The modes that measure how long one thing takes. */
#include "common.h"
#include "load/check.h"
#include "load/job.h"
#include "load/modes.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP 20

static void print_quantiles(const struct plan *plan, uint64_t *samples_ns)
{
    size_t n = (size_t)plan->n;
    samples_sort(samples_ns, n);
    printf("%s: p50 %.0f us p99 %.0f us\n", plan->name, samples_us(samples_ns, n, 50),
           samples_us(samples_ns, n, 99));
}

static uint64_t run_and_wait(struct client *client, const char *line)
{
    struct answer answer;
    struct request request = {.method = "POST",
                              .path = "/v1/jobs",
                              .headers = "Prefer: wait=50\r\n",
                              .body = line,
                              .body_len = strlen(line)};
    uint64_t start_ns = now_ns();
    client_ask(client, &request, &answer);
    uint64_t took_ns = now_ns() - start_ns;
    check_status(&answer, 200, "submit and wait");
    cJSON *job = check_json(&answer);
    check_succeeded(job);
    cJSON_Delete(job);
    return took_ns;
}

void mode_wait(const struct plan *plan)
{
    struct client *client = client_open(plan->port, plan->token);
    uint64_t *samples_ns = must_alloc((size_t)plan->n * sizeof(*samples_ns));
    char *line = job_line(plan);
    for (int i = 0; i < WARM_UP; i++)
        (void)run_and_wait(client, line);
    for (int64_t i = 0; i < plan->n; i++)
        samples_ns[i] = run_and_wait(client, line);
    print_quantiles(plan, samples_ns);
    free(line);
    free(samples_ns);
    client_close(client);
}

/* One connection of `calls`. */
struct caller {
    struct client *client;
    uint64_t sent_ns;
};

static void send_call(struct caller *caller, const char *line)
{
    caller->sent_ns = now_ns();
    client_send(caller->client, &(struct request){.method = "POST",
                                                  .path = "/v1/jobs",
                                                  .headers = "Prefer: wait=50\r\n",
                                                  .body = line,
                                                  .body_len = strlen(line)});
}

static void read_call(const struct caller *caller)
{
    struct answer answer;
    client_read(caller->client, &answer);
    check_status(&answer, 200, "call and wait");
    if (strstr(answer.body, "\"state\":\"succeeded\"") == NULL)
        die("a call has not succeeded: %.400s", answer.body);
}

void mode_calls(const struct plan *plan)
{
    struct caller callers[MAX_CONNECTIONS];
    struct pollfd polled[MAX_CONNECTIONS];
    uint64_t *samples_ns = must_alloc((size_t)plan->n * sizeof(*samples_ns));
    char *line = job_line(plan);
    nfds_t n_callers = (nfds_t)plan->n_connections;
    int64_t n_sent = 0, n_done = 0;
    uint64_t start_ns = now_ns();
    for (nfds_t i = 0; i < n_callers; i++) {
        callers[i].client = client_open(plan->port, plan->token);
        polled[i] = (struct pollfd){.fd = client_fd(callers[i].client), .events = POLLIN};
        if (n_sent++ < plan->n)
            send_call(&callers[i], line);
    }
    while (n_done < plan->n) {
        if (poll(polled, n_callers, 60000) <= 0)
            die("no answer for a minute");
        for (nfds_t i = 0; i < n_callers; i++) {
            if (polled[i].revents == 0)
                continue;
            read_call(&callers[i]);
            samples_ns[n_done++] = now_ns() - callers[i].sent_ns;
            if (n_sent++ < plan->n)
                send_call(&callers[i], line);
        }
    }
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    samples_sort(samples_ns, (size_t)plan->n);
    printf("%s: %.0f jobs/s p50 %.0f us p99 %.0f us\n", plan->name, (double)plan->n / took_s,
           samples_us(samples_ns, (size_t)plan->n, 50),
           samples_us(samples_ns, (size_t)plan->n, 99));
    for (nfds_t i = 0; i < n_callers; i++)
        client_close(callers[i].client);
    free(line);
    free(samples_ns);
}

/* Returns when the job's own process has been started. */
static void wait_until_runs(struct client *client, const char *path)
{
    for (int tries = 0; tries < 5000; tries++) {
        struct answer answer;
        client_ask(client, &(struct request){.method = "GET", .path = path}, &answer);
        check_status(&answer, 200, path);
        cJSON *job = check_json(&answer);
        const cJSON *worker = cJSON_GetObjectItemCaseSensitive(job, "worker");
        bool runs = strcmp(check_text(job, "state"), "running") == 0 &&
                    cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(worker, "job_pid"));
        cJSON_Delete(job);
        if (runs)
            return;
        pause_ns(1000000);
    }
    errno = 0;
    die("%s does not run", path);
}

static uint64_t cancel_once(struct client *client, const char *line)
{
    static const char body[] = "{\"grace\":0}";
    char id[JOB_ID_BYTES];
    char path[128];
    struct answer answer;
    struct request submit = {
        .method = "POST", .path = "/v1/jobs", .body = line, .body_len = strlen(line)};
    client_ask(client, &submit, &answer);
    check_status(&answer, 202, "submit");
    check_job_id(answer.body, id);
    snprintf(path, sizeof(path), "/v1/jobs/%s", id);
    wait_until_runs(client, path);
    pause_ns(3000000); /* it shall sleep, not start, when the signal comes: as killlat does */

    snprintf(path, sizeof(path), "/v1/jobs/%s/cancel", id);
    struct request cancel = {.method = "POST",
                             .path = path,
                             .headers = "Prefer: wait=50\r\n",
                             .body = body,
                             .body_len = sizeof(body) - 1};
    uint64_t start_ns = now_ns();
    client_ask(client, &cancel, &answer);
    uint64_t took_ns = now_ns() - start_ns;
    check_status(&answer, 200, path);
    cJSON *receipt = check_json(&answer);
    errno = 0;
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(receipt, "cancelled")) ||
        strcmp(check_text(cJSON_GetObjectItemCaseSensitive(receipt, "job"), "state"),
               "cancelled") != 0)
        die("not cancelled: %.400s", answer.body);
    cJSON_Delete(receipt);
    return took_ns;
}

void mode_cancel(const struct plan *plan)
{
    struct client *client = client_open(plan->port, plan->token);
    uint64_t *samples_ns = must_alloc((size_t)plan->n * sizeof(*samples_ns));
    char *line = job_line(plan);
    for (int64_t i = 0; i < plan->n; i++)
        samples_ns[i] = cancel_once(client, line);
    print_quantiles(plan, samples_ns);
    free(line);
    free(samples_ns);
    client_close(client);
}

struct getter {
    struct client *client;
    uint64_t sent_ns;
};

static void send_get(struct getter *getter, const char *path)
{
    getter->sent_ns = now_ns();
    client_send(getter->client, &(struct request){.method = "GET", .path = path});
}

void mode_get(const struct plan *plan)
{
    struct getter getters[MAX_CONNECTIONS] = {{0}};
    struct pollfd polled[MAX_CONNECTIONS];
    uint64_t *samples_ns = must_alloc((size_t)plan->n * sizeof(*samples_ns));
    nfds_t n_getters = (nfds_t)plan->n_connections;
    int64_t n_sent = 0;
    int64_t n_done = 0;
    if (plan->argc == 0)
        die("no path");
    uint64_t start_ns = now_ns();
    for (nfds_t i = 0; i < n_getters; i++) {
        getters[i].client = client_open(plan->port, plan->token);
        polled[i] = (struct pollfd){.fd = client_fd(getters[i].client), .events = POLLIN};
        if (n_sent++ < plan->n)
            send_get(&getters[i], plan->argv[0]);
    }
    while (n_done < plan->n) {
        if (poll(polled, n_getters, 60000) <= 0)
            die("no answer for a minute");
        for (nfds_t i = 0; i < n_getters; i++) {
            struct answer answer;
            if (polled[i].revents == 0)
                continue;
            client_read(getters[i].client, &answer);
            check_status(&answer, 200, plan->argv[0]);
            samples_ns[n_done++] = now_ns() - getters[i].sent_ns;
            if (n_sent++ < plan->n)
                send_get(&getters[i], plan->argv[0]);
        }
    }
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    samples_sort(samples_ns, (size_t)plan->n);
    printf("%s: %.0f jobs/s p50 %.0f us p99 %.0f us\n", plan->name, (double)plan->n / took_s,
           samples_us(samples_ns, (size_t)plan->n, 50),
           samples_us(samples_ns, (size_t)plan->n, 99));
    for (nfds_t i = 0; i < n_getters; i++)
        client_close(getters[i].client);
    free(samples_ns);
}

void mode_call(const struct plan *plan)
{
    struct answer answer;
    if (plan->argc < 2)
        die("usage: load call -p PORT METHOD PATH [BODY]");
    struct client *client = client_open(plan->port, plan->token);
    struct request request = {.method = plan->argv[0], .path = plan->argv[1]};
    if (plan->argc > 2) {
        request.body = plan->argv[2];
        request.body_len = strlen(plan->argv[2]);
    }
    client_ask(client, &request, &answer);
    fwrite(answer.body, 1, answer.body_len, stdout);
    fflush(stdout);
    errno = 0;
    if (answer.status < 200 || answer.status > 299)
        die("%s %s: status %d", plan->argv[0], plan->argv[1], answer.status);
    client_close(client);
}
