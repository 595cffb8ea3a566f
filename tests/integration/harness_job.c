/* SPDX-License-Identifier: MIT */
#include "integration/harness_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct job_ref job_of(struct response *r)
{
    struct job_ref job;
    const char *id = json_text(r, "id");
    CHECK(strlen(id) == 36, "not a job's id: %s", id);
    (void)snprintf(job.id, sizeof(job.id), "%s", id);
    return job;
}

static struct response *submit_with(struct server *s, const char *body, const char *prefer)
{
    return prefer == NULL ? http(s, "POST", "/v1/jobs", body, NULL)
                          : http(s, "POST", "/v1/jobs", body, prefer, NULL);
}

struct job_ref job_submit(struct server *s, const char *fmt, ...)
{
    char *body = NULL;
    va_list args;
    va_start(args, fmt);
    CHECK(vasprintf(&body, fmt, args) >= 0, "out of memory");
    va_end(args);
    AUTO_RESPONSE r = submit_with(s, body, NULL);
    free(body);
    expect_status(r, 202);
    return job_of(r);
}

void check_was_woken(struct response *r)
{
    struct tm at = {0};
    struct timespec now;
    if (!json_bool(r, "done"))
        return;
    CHECK(strptime(json_text(r, "times.finished"), "%Y-%m-%dT%H:%M:%S", &at) != NULL, "no time: %s",
          r->body);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    CHECK(difftime(now.tv_sec, timegm(&at)) < 10, "the wait has missed the end: %s", r->body);
}

static void check_job_was_awaited(struct server *s, struct job_ref job)
{
    AUTO_RESPONSE r = job_show(s, job);
    check_was_woken(r);
}

struct response *job_run(struct server *s, const char *fmt, ...)
{
    char *body = NULL;
    va_list args;
    va_start(args, fmt);
    CHECK(vasprintf(&body, fmt, args) >= 0, "out of memory");
    va_end(args);
    struct response *r = submit_with(s, body, "Prefer: wait=30");
    free(body);
    if (r->status == 200 && json_bool(r, "done"))
        return r;
    expect_status(r, 202);
    struct job_ref job = job_of(r);
    response_free(r);
    check_job_was_awaited(s, job);
    return job_await(s, job);
}

struct response *job_show(struct server *s, struct job_ref job)
{
    struct response *r = http_get(s, "/v1/jobs/%s", job.id);
    expect_status(r, 200);
    return r;
}

struct response *job_await(struct server *s, struct job_ref job)
{
    uint64_t until = deadline_in(60);
    for (;;) {
        struct response *r = http(s, "GET", text_of("/v1/jobs/%s", job.id).s, NULL,
                                  "Prefer: wait=20", NULL);
        expect_status(r, 200);
        if (json_bool(r, "done"))
            return r;
        CHECK(!deadline_passed(until), "the job has not ended: %s", r->body);
        response_free(r);
        check_job_was_awaited(s, job);
    }
}

struct response *job_await_state(struct server *s, struct job_ref job, const char *state)
{
    uint64_t until = deadline_in(60);
    for (;;) {
        struct response *r = job_show(s, job);
        if (strcmp(json_text(r, "state"), state) == 0)
            return r;
        CHECK(!json_bool(r, "done") && !deadline_passed(until), "the job does not become %s: %s",
              state, r->body);
        response_free(r);
        pause_ms(5);
    }
}

bool job_is_done(struct server *s, struct job_ref job)
{
    AUTO_RESPONSE r = job_show(s, job);
    return json_bool(r, "done");
}

struct response *job_cancel(struct server *s, struct job_ref job, const char *body, int wait_s)
{
    struct text path = text_of("/v1/jobs/%s/cancel", job.id);
    if (wait_s == 0)
        return http(s, "POST", path.s, body, NULL);
    return http(s, "POST", path.s, body, text_of("Prefer: wait=%d", wait_s).s, NULL);
}

char *job_read(struct server *s, struct job_ref job, const char *stream)
{
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/%s", job.id, stream);
    expect_status(r, 200);
    char *text = r->body;
    r->body = NULL;
    return text;
}

bool job_has_said(struct server *s, struct job_ref job, const char *stream, const char *text)
{
    AUTO_TEXT said = job_read(s, job, stream);
    return strstr(said, text) != NULL;
}

void expect_output(struct server *s, struct job_ref job, const char *stream, const char *text)
{
    AUTO_TEXT got = job_read(s, job, stream);
    CHECK(strcmp(got, text) == 0, "%s of %s is \"%.300s\" instead of \"%.300s\"", stream, job.id,
          got, text);
}

void expect_outcome(struct response *r, const char *state, const char *reason)
{
    CHECK(json_bool(r, "done"), "not done: %s", r->body);
    expect_text(r, "state", state);
    if (reason != NULL)
        expect_text(r, "reason", reason);
    else
        CHECK(json_is_null(r, "reason"), "reason is not null: %s", r->body);
}

void file_make(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && close(fd) == 0, "cannot make %s: %s", path, strerror(errno));
}

void await_file(const char *path, double seconds)
{
    uint64_t until = deadline_in(seconds);
    while (access(path, F_OK) != 0) {
        CHECK(!deadline_passed(until), "%s has not been made after %.0f s", path, seconds);
        pause_ms(5);
    }
}

void await_progress(struct server *s, struct job_ref job, const char *message)
{
    for (uint64_t until = deadline_in(20);;) {
        AUTO_RESPONSE shown = job_show(s, job);
        const char *text = cJSON_GetStringValue(json_find(shown, "progress.message"));
        if (text != NULL && (message == NULL || strcmp(text, message) == 0))
            return;
        CHECK(!deadline_passed(until), "no progress: %s", shown->body);
        pause_ms(5);
    }
}

struct text fifo_make(const struct server *s, const char *name)
{
    struct text path = text_of("%s/%s", s->scratch, name);
    CHECK(mkfifo(path.s, 0600) == 0, "mkfifo %s: %s", path.s, strerror(errno));
    return path;
}

/* Opening for writing without blocking succeeds only when somebody has it open for reading, or
 * waits for that: fifo(7). */
void fifo_release(const char *path)
{
    uint64_t until = deadline_in(30);
    for (;;) {
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            (void)close(fd);
            return;
        }
        CHECK(errno == ENXIO, "open %s: %s", path, strerror(errno));
        CHECK(!deadline_passed(until), "no job reads %s", path);
        pause_ms(2);
    }
}

struct text job_ids(const struct job_ref *jobs, size_t n)
{
    struct text ids = {""};
    for (size_t i = 0; i < n; i++)
        (void)snprintf(ids.s + strlen(ids.s), sizeof ids.s - strlen(ids.s), "%s'%s'",
                       i == 0 ? "" : ",", jobs[i].id);
    return ids;
}
