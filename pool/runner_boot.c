/* SPDX-License-Identifier: MIT */
/* How the runner of a call is started, and what becomes of one that does not start or is not kept.
 */
#include "pool/runner_call.h"

#include <poll.h>

#define PUMP_BUDGET ((size_t)8 << 20)
#define DRAIN_MAX_NS (200 * MS_NS) /* a thread of the runner may write on */
#define FIRST_PAUSE_NS (20 * MS_NS)
#define FIRST_BACKOFF_NS (1000 * MS_NS)
#define MAX_BACKOFF_NS (60000 * MS_NS)
#define MAX_DOUBLINGS 6

void runner_call_end_runner(struct runner_call *call, struct runner_end *ret)
{
    *ret = (struct runner_end){0};
    for (int stream = 0; stream < 2; stream++)
        call->out[stream].pipe_fd = -1; /* it is the runner's */
    call->has_streams = false;
    if (call->runner != NULL)
        runner_kill(call->all, call->runner, ret);
    call->runner = NULL;
}

static void never_began(struct runner_call *call, enum task_end end, const char *text)
{
    call->refused = end;
    call->phase = CALL_END;
    if (text != call->error)
        (void)snprintf(call->error, sizeof(call->error), "%s", text);
}

static void note_failure(struct runner_call *call, const char *why, struct slice words)
{
    struct runner_past *past = call->past;
    const uint32_t beyond = past->failed < RUNNER_MAX_FAILED ? 0 : past->failed - RUNNER_MAX_FAILED;

    const bool has_words = words.len > 0;
    const bool is_own = runner_is_of_pool(call->all, call->program);
    (void)snprintf(past->text, sizeof(past->text), "the runner of %s%s cannot start: %s%s%.*s",
                   is_own ? "the pool " : "", call->program->name, why, has_words ? ": " : "",
                   (int)MIN(words.len, sizeof(past->text)), has_words ? words.ptr : "");
    past->failed++;
    call->bank->report.runner_failures++;
    past->not_before_ns = clock_mono_ns() +
                          MIN(FIRST_BACKOFF_NS << MIN(beyond, MAX_DOUBLINGS), MAX_BACKOFF_NS);
    log_event(call->all->log, LOG_WARN, "runner cannot start",
              LOG_STR(is_own ? "pool" : "function", call->program->name),
              LOG_STR("error", past->text));
}

/* After enough tries. Of the pool's program this worker has had one: the next worker finds out
 * whether there will be others, and the task goes there. */
static void give_up(struct runner_call *call)
{
    const bool is_own = runner_is_of_pool(call->all, call->program);
    if (is_own)
        memcpy(call->all->why, call->past->text, sizeof(call->all->why));
    never_began(call, is_own ? TASK_START_FAILED : TASK_EXEC_FAILED, call->past->text);
}

/* What it has written before its final frame is there now. The pipes stay the runner's. */
void runner_call_finish_output(struct runner_call *call)
{
    const uint64_t end_ns = clock_mono_ns() + DRAIN_MAX_NS;
    struct pollfd fds[2] = {{.fd = call->out[0].pipe_fd, .events = POLLIN},
                            {.fd = call->out[1].pipe_fd, .events = POLLIN}};

    if (!call->has_streams)
        return;
    const bool is_known = poll(fds, 2, 0) >= 0;
    for (int stream = 0; stream < 2; stream++) {
        struct capture *c = &call->out[stream];
        while ((!is_known || fds[stream].revents != 0) && capture_pump(c, PUMP_BUDGET) &&
               clock_mono_ns() < end_ns)
            continue;
        call->runner->stream_fd[stream] = c->pipe_fd;
        c->pipe_fd = -1;
    }
    call->has_streams = false;
}

/* The task, if it was sent, has not begun: it waits for the next runner. What this one has written
 * to stderr is the job's. */
void runner_call_start_failed(struct runner_call *call, const char *why)
{
    const struct capture *c = &call->out[1];
    struct runner_end end;

    if (call->has_streams) {
        runner_call_finish_output(call);
    } else {
        runner_drain(call->runner);
        capture_put(&call->out[1], (struct slice){call->runner->tail, call->runner->n_tail});
    }
    note_failure(call, why,
                 runner_last_line(c->file_fd < 0
                                      ? (struct slice){call->bank->out[1], (size_t)c->kept}
                                      : (struct slice){NULL, 0}));
    runner_call_end_runner(call, &end);
    call->broken[0] = '\0';
    call->error[0] = '\0';
    call->eof_by_ns = NEVER;
    if (runner_is_of_pool(call->all, call->program) || call->past->failed >= RUNNER_MAX_FAILED) {
        give_up(call);
        return;
    }
    call->phase = CALL_PAUSE;
    call->start_at_ns = clock_mono_ns() + (FIRST_PAUSE_NS << call->past->failed);
}

static struct runner *free_place(struct runners *all)
{
    struct runner *oldest = NULL;
    struct runner_end end;
    for (uint32_t i = 0; i < RUNNERS_MAX; i++) {
        struct runner *r = &all->places[i];
        if (r->function == NULL)
            return r;
        if (!r->is_stuck && (oldest == NULL || r->used_ns < oldest->used_ns))
            oldest = r;
    }
    if (oldest != NULL)
        runner_quit(all, oldest, &end);
    return oldest;
}

void runner_call_start(struct runner_call *call)
{
    struct runner *r = free_place(call->all);
    struct proc_started started = {.pidfd = -1};
    /* All functions of a pool share its program, so it has the limits of none of them. */
    const bool is_own = runner_is_of_pool(call->all, call->program);
    const struct runner_source source = {call->all, call->program, is_own ? NULL : call->task};

    if (r == NULL || r->function != NULL) {
        never_began(call, TASK_START_FAILED, "there is no place for another runner");
        return;
    }
    switch (runner_start(r, &source, &started)) {
    case PROC_STARTED:
        call->bank->report.runner_starts++;
        call->runner = r;
        call->phase = CALL_BOOT;
        break;
    case PROC_EXEC_FAILED: /* another try would fail likewise */
        call->past->failed = MAX(call->past->failed, RUNNER_MAX_FAILED - 1u);
        note_failure(call, started.text, (struct slice){NULL, 0});
        give_up(call);
        break;
    case PROC_NOT_STARTED: never_began(call, TASK_START_FAILED, started.text); break;
    }
}
