/* SPDX-License-Identifier: MIT */
/* A receiver of callbacks inside the test: it takes a connection when the test says so, and answers
 * what the test says, or nothing. */
#ifndef GANGER_TESTS_HARNESS_RECEIVER_H
#define GANGER_TESTS_HARNESS_RECEIVER_H

#include "integration/harness_job.h"

struct receiver {
    int fd; /* listens on 127.0.0.1 */
    int port;
};
void receiver_open(struct receiver *r);
void receiver_close(struct receiver *r);  /* who calls now is refused */
void receiver_reopen(struct receiver *r); /* on the same port */
/* Whether somebody has connected since. */
bool receiver_has_caller(const struct receiver *r);

/* Whether anybody at all listens on its port. */
bool receiver_answers(const struct receiver *r);

/* One call. */
struct hook {
    int fd;
    char *head; /* terminated */
    char *body; /* terminated */
    size_t len;
    cJSON *json;
};
/* Waits for the next call and reads it whole. */
struct hook *receiver_take(struct receiver *r, double seconds);
/* The next call on the same connection, which then belongs to it. */
struct hook *hook_next(struct hook *before, double seconds);
/* A status line such as "204 No Content", and more header lines that end with \r\n, or "". Ends
 * the connection. */
void hook_answer(struct hook *hook, const char *status, const char *headers);
/* Bytes as they are; false when the caller does not take them any more. */
bool hook_send(struct hook *hook, const void *bytes, size_t len);
/* Waits until the caller has closed the connection. */
bool hook_await_close(struct hook *hook, double seconds);
void hook_free(struct hook *hook);
static inline void auto_hook(struct hook **hook)
{
    hook_free(*hook);
}
#define AUTO_HOOK __attribute__((cleanup(auto_hook), unused)) struct hook *

/* The value of a header; "" when absent. */
struct text hook_header(const struct hook *hook, const char *name);
/* Text at a place of the body, as json_text. */
const char *hook_text(const struct hook *hook, const char *path);

/* Jobs with a callback. A job whose end is told to the receiver, at a path with a query of its own:
 */
struct job_ref submit_for(struct server *s, const struct receiver *r, const char *command);
/* Waits until nothing is pending any more; the job. */
struct response *await_delivered(struct server *s, struct job_ref job, bool wanted);
int64_t tries_of(struct server *s, struct job_ref job);
/* Reads the job's stream of events, which ends with the job. */
bool events_have(struct server *s, struct job_ref job, const char *needle);

#endif
