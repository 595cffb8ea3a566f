/* SPDX-License-Identifier: MIT */
/* Jobs by the public API. JSON is written with ' for ". */
#ifndef GANGER_TESTS_HARNESS_JOB_H
#define GANGER_TESTS_HARNESS_JOB_H

#include "integration/harness_http.h"

struct job_ref {
    char id[40];
};

/* Submits one job; wants 202. */
struct job_ref job_submit(struct server *s, const char *fmt, ...) PRINTF_ARGS(2, 3);
/* Submits one and waits for its end. The answer is the finished job. */
struct response *job_run(struct server *s, const char *fmt, ...) PRINTF_ARGS(2, 3);
/* The id in an answer that holds a job. */
struct job_ref job_of(struct response *r);
struct response *job_show(struct server *s, struct job_ref job);
/* Waits until it is done (60 s), by `Prefer: wait`. */
struct response *job_await(struct server *s, struct job_ref job);
/* After a wait of many seconds that was not answered by the end of a job or batch: as it is now, it
 * must not have ended long ago. A wait that misses an end would look like nothing but a slow test.
 */
void check_was_woken(struct response *r);
/* Waits until its state is this one, or it is done. Fails when it ends in another state. */
struct response *job_await_state(struct server *s, struct job_ref job, const char *state);
bool job_is_done(struct server *s, struct job_ref job);
/* POST …/cancel; body NULL: none. */
struct response *job_cancel(struct server *s, struct job_ref job, const char *body, int wait_s);
/* "stdout", "stderr" or "result", which must be there. Caller frees. */
char *job_read(struct server *s, struct job_ref job, const char *stream);
/* A job that has is one that has begun; one that is running may only have been assigned, and begins
 * again after a kill -9. */
bool job_has_said(struct server *s, struct job_ref job, const char *stream, const char *text);
void expect_output(struct server *s, struct job_ref job, const char *stream, const char *text);
/* The ids of a few, for an array in a body: 'a','b'. */
struct text job_ids(const struct job_ref *jobs, size_t n);
/* The finished job's state, and its reason unless NULL. */
void expect_outcome(struct response *r, const char *state, const char *reason);
/* Waits until the running job has said so; NULL: anything. */
void await_progress(struct server *s, struct job_ref job, const char *message);
/* An empty file, for jobs that wait for it. */
void file_make(const char *path);
/* A file that a job's command makes, for instance to show that it runs. */
void await_file(const char *path, double seconds);

/* A named pipe holds a job back: the command `cat PATH` runs until the pipe is opened and closed
 * from here. */
struct text fifo_make(const struct server *s, const char *name);
/* Waits until a job reads it, then lets that job go on. */
void fifo_release(const char *path);

#endif
