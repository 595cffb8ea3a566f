/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "load/check.h"

#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_ROWS 500

void check_status(const struct answer *answer, int status, const char *what)
{
    errno = 0;
    if (answer->status != status)
        die("%s: status %d, not %d: %.400s", what, answer->status, status, answer->body);
}

cJSON *check_json(const struct answer *answer)
{
    cJSON *json = cJSON_ParseWithLength(answer->body, answer->body_len);
    errno = 0;
    if (json == NULL)
        die("not JSON: %.400s", answer->body);
    return json;
}

const char *check_text(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    errno = 0;
    if (text == NULL)
        die("no text in the member %s", name);
    return text;
}

void check_job_id(const char *job_json, char ret_id[JOB_ID_BYTES])
{
    cJSON *job = cJSON_ParseWithOpts(job_json, NULL, false);
    const char *id = check_text(job, "id");
    errno = 0;
    if (strlen(id) >= JOB_ID_BYTES)
        die("the id is too long: %s", id);
    memcpy(ret_id, id, strlen(id) + 1);
    cJSON_Delete(job);
}

void check_succeeded(const cJSON *job)
{
    const cJSON *exit_code = cJSON_GetObjectItemCaseSensitive(job, "exit_code");
    const char *state = check_text(job, "state");
    errno = 0;
    if (strcmp(state, "succeeded") != 0)
        die("job %s is %s", check_text(job, "id"), state);
    if (!cJSON_IsNumber(exit_code) || exit_code->valueint != 0)
        die("job %s has no exit code 0", check_text(job, "id"));
}

int64_t check_bulk_lines(char *body)
{
    int64_t n = 0;
    char id[JOB_ID_BYTES];
    for (char *line = body; *line != '\0'; n++) {
        char *end = strchrnul(line, '\n');
        char *next = *end == '\0' ? end : end + 1;
        *end = '\0';
        errno = 0;
        if (strstr(line, "\"/problems/") != NULL)
            die("a line was refused: %s", line);
        check_job_id(line, id);
        line = next;
    }
    return n;
}

/* RFC 3339 in UTC with microseconds; to microseconds since the epoch. */
static int64_t time_us(const cJSON *job, const char *name)
{
    const char *text = check_text(cJSON_GetObjectItemCaseSensitive(job, "times"), name);
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    char *end = NULL;
    errno = 0;
    if (rest == NULL || *rest != '.')
        die("not a time: %s", text);
    long micros = strtol(rest + 1, &end, 10);
    if (end != rest + 7 || *end != 'Z')
        die("not a time with microseconds: %s", text);
    return (int64_t)timegm(&parts) * 1000000 + micros;
}

struct span {
    int64_t n, first_created_us, last_finished_us;
};

static void add_page(const cJSON *page, struct span *span)
{
    const cJSON *job;
    cJSON_ArrayForEach(job, cJSON_GetObjectItemCaseSensitive(page, "items"))
    {
        check_succeeded(job);
        int64_t created_us = time_us(job, "created");
        int64_t finished_us = time_us(job, "finished");
        if (span->n == 0 || created_us < span->first_created_us)
            span->first_created_us = created_us;
        if (span->n == 0 || finished_us > span->last_finished_us)
            span->last_finished_us = finished_us;
        span->n++;
    }
}

/* The cursor is opaque, but made of characters that a query may hold as they are. */
int64_t check_queue_took_us(struct client *client, const char *queue, int64_t n)
{
    struct span span = {0};
    char cursor[512] = "";
    do {
        char path[1024];
        struct answer answer;
        snprintf(path, sizeof(path), "/v1/jobs?queue=%s&limit=%d%s%s", queue, PAGE_ROWS,
                 cursor[0] != '\0' ? "&cursor=" : "", cursor);
        client_ask(client, &(struct request){.method = "GET", .path = path}, &answer);
        check_status(&answer, 200, path);
        cJSON *page = check_json(&answer);
        add_page(page, &span);
        const cJSON *next = cJSON_GetObjectItemCaseSensitive(page, "next_cursor");
        snprintf(cursor, sizeof(cursor), "%s", cJSON_IsString(next) ? next->valuestring : "");
        cJSON_Delete(page);
    } while (cursor[0] != '\0');
    errno = 0;
    if (span.n != n)
        die("the queue %s has %lld jobs, not %lld", queue, (long long)span.n, (long long)n);
    return span.last_finished_us - span.first_created_us;
}
