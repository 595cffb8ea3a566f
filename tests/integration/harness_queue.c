/* SPDX-License-Identifier: MIT */
#include "integration/harness_queue.h"

#include "integration/harness_job.h"

#include <stdarg.h>

/* One NDJSON body of `n` times the same line; returns the answer. */
struct response *submit_lines(struct server *s, size_t n, const char *fmt, ...)
{
    struct text line;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line.s, sizeof(line.s), fmt, args);
    va_end(args);
    AUTO_TEXT one = json_of("%s\n", line.s);
    size_t len = strlen(one);
    AUTO_TEXT lines = need_alloc(n * len + 1);
    for (size_t i = 0; i < n; i++)
        memcpy(lines + i * len, one, len);
    static const char *const headers[] = {"Content-Type: application/x-ndjson", NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = lines,
                        .body_len = n * len,
                        .headers = headers};
    struct response *r = http_send(s, &call);
    expect_status(r, 200);
    return r;
}

void put_queue(struct server *s, const char *name, const char *settings)
{
    AUTO_RESPONSE r = http(s, "PUT", text_of("/v1/queues/%s", name).s, settings, NULL);
    CHECK(r->status == 200 || r->status == 201, "%ld %s", r->status, r->body);
}

void queue_verb(struct server *s, const char *name, const char *what)
{
    AUTO_RESPONSE r = http(s, "POST", text_of("/v1/queues/%s/%s", name, what).s, NULL, NULL);
    expect_status(r, 200);
}

int64_t count_in(struct server *s, const char *name, const char *state)
{
    AUTO_RESPONSE r = http_get(s, "/v1/queues/%s", name);
    expect_status(r, 200);
    return json_int(r, text_of("jobs.%s", state).s);
}

void await_succeeded(struct server *s, const char *name, int64_t n)
{
    uint64_t until = deadline_in(60);
    while (count_in(s, name, "succeeded") != n) {
        AUTO_RESPONSE r = http_get(s, "/v1/queues/%s", name);
        AUTO_RESPONSE stats = http_get(s, "/v1/stats");
        CHECK(!deadline_passed(until), "not all have succeeded: %s%s", r->body, stats->body);
        pause_ms(5);
    }
}

/* RFC 3339 with microseconds, as seconds of the hour and day: the tests do not last until
 * midnight's second day. */
static double time_of(const cJSON *job, const char *path)
{
    const cJSON *at = json_at(job, path);
    int day, hour, minute;
    double second;
    CHECK(cJSON_IsString(at), "no time at %s", path);
    CHECK(sscanf(at->valuestring, "%*d-%*d-%dT%d:%d:%lfZ", &day, &hour, &minute, &second) == 4,
          "not a time: %s", at->valuestring);
    return ((day * 24.0 + hour) * 60 + minute) * 60 + second;
}

static int by_start(const void *a, const void *b)
{
    double x = ((const struct span *)a)->start, y = ((const struct span *)b)->start;
    return (x > y) - (x < y);
}

/* When the succeeded jobs (of a queue, or of all) began and ended, by beginning. */
size_t spans_of(struct server *s, const char *queue, struct span *ret, size_t max)
{
    struct text query = text_of("/v1/jobs?limit=1000&state=succeeded%s%s",
                                queue == NULL ? "" : "&queue=", queue == NULL ? "" : queue);
    AUTO_RESPONSE r = http_get(s, "%s", query.s);
    const cJSON *item;
    size_t n = 0;
    expect_status(r, 200);
    cJSON_ArrayForEach(item, json_find(r, "items"))
    {
        CHECK(n < max, "more jobs than expected");
        ret[n++] = (struct span){time_of(item, "times.started"), time_of(item, "times.finished"),
                                 json_at(item, "queue")->valuestring[0]};
    }
    qsort(ret, n, sizeof(*ret), by_start);
    return n;
}

/* The most that ran at the same moment. */
int most_at_once(const struct span *spans, size_t n)
{
    int most = 0;
    for (size_t i = 0; i < n; i++) {
        int here = 0;
        for (size_t k = 0; k <= i; k++)
            here += spans[k].end > spans[i].start;
        most = here > most ? here : most;
    }
    return most;
}

/* Jobs that run until the file is there. */
void submit_held(struct server *s, size_t n, const char *queue, const char *gate)
{
    response_free(submit_lines(s, n,
                               "{'command':['sh','-c','until test -e %s; do sleep 0.02; done'],"
                               "'queue':'%s'}",
                               gate, queue));
}
