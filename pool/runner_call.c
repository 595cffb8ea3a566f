/* SPDX-License-Identifier: MIT */
/* One task of a runner: the loop, the clocks, the end. */
#include "pool/runner_call.h"

#include "pool/frame.h"

#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

#define PUMP_BUDGET ((size_t)8 << 20)
#define MAX_WAIT_NS (60000 * MS_NS)
#define MAX_WALL_WAIT_NS (5000 * MS_NS)
#define TERM_NS (1000 * MS_NS) /* between TERM and KILL, unless the grace is shorter */
#define EOF_NS (500 * MS_NS)   /* who closes descriptor 4 ends within that */

enum watch { ON_SOCK, ON_TERM, ON_PID, ON_FROM, ON_TO, ON_OUT, ON_ERR, ON_CHILD, WATCH_COUNT };

/* ------------------------------------------------------------------------------------------------
 * stop */

static void kill_it(struct runner_call *call)
{
    if (runner_fork_signal(call, SIGKILL)) {
        call->is_child_killed = true;
        call->term_at_ns = call->kill_at_ns = NEVER;
        runner_fork_await(call);
        return;
    }
    call->must_end = true;
    call->phase = CALL_END;
}

static void ask_to_end(struct runner_call *call, uint64_t now_ns, uint64_t grace_ns)
{
    if (!runner_fork_signal(call, SIGTERM)) {
        runner_signal(call->runner, SIGTERM);
        runner_signal(call->runner, SIGCONT);
        call->must_end = true;
    }
    call->term_at_ns = NEVER;
    call->kill_at_ns = MIN(call->kill_at_ns, now_ns + grace_ns);
}

/* By the way that the runner knows; without one it is asked to end. */
static void ask_to_stop(struct runner_call *call, uint64_t now_ns, uint64_t grace_ns)
{
    struct runner *r = call->runner;

    if ((r->caps & CAP_CANCEL) != 0)
        runner_say(r, "CANCEL", call->id, "", (struct slice){0});
    else if ((r->caps & CAP_SIGINT) != 0)
        (void)pidfd_send_signal(r->pidfd, SIGINT, NULL, 0);
    if ((r->caps & (CAP_CANCEL | CAP_SIGINT)) == 0)
        ask_to_end(call, now_ns, grace_ns);
    else
        call->term_at_ns = now_ns + grace_ns;
}

static void begin_stop(struct runner_call *call, enum cause cause, int signal, int64_t grace_us)
{
    const uint64_t now_ns = clock_mono_ns();
    const uint64_t grace_ns = grace_us <= 0 ? 0 : (uint64_t)grace_us * 1000;
    const bool is_first = call->cause == CAUSE_NONE;
    const bool can_stop = call->phase == CALL_RUN && call->runner != NULL && call->runner->is_ready;

    if (call->answer != ANSWER_NONE)
        return;
    call->stop_sent = call->stop_sent || cause == CAUSE_STOP;
    if (is_first)
        call->cause = cause;
    if (signal == SIGKILL || grace_ns == 0 || !can_stop)
        kill_it(call);
    else if (is_first)
        ask_to_stop(call, now_ns, grace_ns);
    else if (call->term_at_ns != NEVER)
        call->term_at_ns = MIN(call->term_at_ns, now_ns + grace_ns);
    else
        call->kill_at_ns = MIN(call->kill_at_ns, now_ns + grace_ns);
}

/* ------------------------------------------------------------------------------------------------
 * the server */

static uint64_t kept(const struct runner_call *call)
{
    return call->out[0].kept + call->out[1].kept + call->data_bytes;
}

static void watch_output(struct runner_call *call)
{
    if (capture_spool(&call->out[0]) && capture_spool(&call->out[1]))
        teller_watched(&call->teller, kept(call));
}

static void hear_server(struct runner_call *call)
{
    struct frame frame;
    int fd;
    const enum frame_status status = frame_recv(call->all->io->sock, &frame, &fd);

    if (fd >= 0)
        (void)close(fd);
    if (status == FRAME_EOF || status == FRAME_ERROR)
        call->is_abandoned = true;
    if (status != FRAME_OK || frame.job_no != call->bank->job_no ||
        frame.attempt != call->bank->attempt)
        return;
    if (frame.type == FRAME_STOP)
        begin_stop(call, CAUSE_STOP, frame.arg,
                   frame.arg64 >= 0 ? frame.arg64 : call->task->stop_grace_us);
    else if (frame.type == FRAME_WATCH)
        watch_output(call);
}

/* ------------------------------------------------------------------------------------------------
 * the runner */

static void begin_task(struct runner_call *call)
{
    struct runner *r = call->runner;

    if (r->used_ns == 0) /* else it has been looked at just now */
        runner_drain(r);
    r->n_tail = 0;
    call->phase = CALL_RUN;
    call->out[0].pipe_fd = r->stream_fd[0];
    call->out[1].pipe_fd = r->stream_fd[1];
    call->has_streams = true;
    call->cpu_before_us = runner_cpu_us(r);
    runner_await_ping(r);
    atomic_store_explicit(&call->bank->job_pid, r->pid, memory_order_relaxed);
    if (!r->is_ready)
        runner_say_init(r);
    if (runner_call_send(call))
        return;
    call->answer = ANSWER_ERROR; /* the runner knows nothing of it */
    call->phase = CALL_END;
}

/* The runner cannot go on with this task, or with any. */
static void give_up(struct runner_call *call, const char *why)
{
    if (!call->runner->is_ready && call->answer == ANSWER_NONE) {
        runner_call_start_failed(call, why);
        return;
    }
    call->must_end = true;
    call->phase = CALL_END;
}

static void hear_runner(struct runner_call *call, bool is_dead)
{
    struct runner *r = call->runner;
    char death[RUNNER_DEATH];

    if (!runner_call_hear(call)) {
        give_up(call, call->broken);
        return;
    }
    if (r->is_ready)
        call->past->failed = 0;
    if (call->answer != ANSWER_NONE && !runner_fork_is_over(call) && !is_dead) {
        runner_fork_await(call);
    } else if (call->answer != ANSWER_NONE || call->child_has_exited) {
        call->must_end = call->must_end || is_dead;
        call->phase = CALL_END;
    } else if (is_dead) {
        give_up(call, runner_death(r, death));
    } else if (call->phase == CALL_BOOT && r->is_greeted) {
        begin_task(call);
    } else if (r->from_fd < 0 && call->eof_by_ns == NEVER) {
        call->eof_by_ns = clock_mono_ns() + EOF_NS;
    }
}

static void pump(struct runner_call *call, const struct pollfd *fds)
{
    for (int stream = 0; stream < 2; stream++) {
        struct capture *c = &call->out[stream];
        if (fds[ON_OUT + stream].revents == 0)
            continue;
        (void)capture_pump(c, PUMP_BUDGET);
        call->runner->stream_fd[stream] = c->pipe_fd; /* -1 once it has ended */
        if (c->truncated && call->task->output_limit_fails && call->cause == CAUSE_NONE)
            begin_stop(call, CAUSE_OUTPUT, call->task->stop_signal, call->task->stop_grace_us);
    }
}

/* ------------------------------------------------------------------------------------------------
 * the loop */

/* A runner that reads its descriptor 3 while it works is asked whether it lives. */
static bool is_pinged(const struct runner_call *call)
{
    return call->phase == CALL_RUN && call->runner->is_ready &&
           (call->runner->caps & CAP_BUSYPING) != 0;
}

static void check_runner(struct runner_call *call, uint64_t now_ns)
{
    struct runner *r = call->runner;

    if (r == NULL || call->phase == CALL_END)
        return;
    if (runner_fork_is_late(call, now_ns)) {
        call->must_end = true;
        call->phase = CALL_END;
    } else if (!r->is_ready && now_ns >= r->boot_by_ns) {
        give_up(call, r->is_greeted ? "no READY in time" : "no HELLO in time");
    } else if (now_ns >= call->eof_by_ns) {
        (void)runner_call_broken(call, "it has closed its descriptor 4");
        give_up(call, call->broken);
    } else if (is_pinged(call) && now_ns >= r->pong_by_ns) {
        (void)runner_call_broken(call, "no PONG in time");
        give_up(call, call->broken);
    } else if (is_pinged(call) && now_ns >= r->ping_at_ns) {
        runner_ping(r);
    }
}

static void check_clocks(struct runner_call *call)
{
    const struct task *task = call->task;
    const uint64_t now_ns = clock_mono_ns();

    check_runner(call, now_ns);
    if (call->phase == CALL_END)
        return;
    if (now_ns >= call->kill_at_ns)
        kill_it(call);
    else if (now_ns >= call->term_at_ns)
        ask_to_end(call, now_ns, MIN((uint64_t)task->stop_grace_us * 1000, TERM_NS));
    else if (call->cause == CAUSE_NONE && now_ns >= call->timeout_at_ns)
        begin_stop(call, CAUSE_TIMEOUT, task->stop_signal, task->stop_grace_us);
    else if (call->cause == CAUSE_NONE && task->deadline_us > 0 &&
             clock_wall_us() >= task->deadline_us)
        begin_stop(call, CAUSE_DEADLINE, task->stop_signal, task->stop_grace_us);
    if (call->phase == CALL_PAUSE && now_ns >= call->start_at_ns)
        runner_call_start(call);
    teller_tell(&call->teller, kept(call), now_ns);
}

static uint64_t wait_ns(const struct runner_call *call, uint64_t now_ns)
{
    uint64_t at_ns = MIN(MIN(call->kill_at_ns, call->term_at_ns), now_ns + MAX_WAIT_NS);
    at_ns = MIN(at_ns, MIN(call->eof_by_ns, call->exit_by_ns));
    if (call->cause == CAUSE_NONE)
        at_ns = MIN(at_ns, call->timeout_at_ns);
    if (call->phase == CALL_PAUSE)
        at_ns = MIN(at_ns, call->start_at_ns);
    else if (call->runner != NULL && !call->runner->is_ready)
        at_ns = MIN(at_ns, call->runner->boot_by_ns);
    else if (call->runner != NULL && is_pinged(call))
        at_ns = MIN(at_ns, MIN(call->runner->ping_at_ns, call->runner->pong_by_ns));
    at_ns = MIN(at_ns, teller_due_ns(&call->teller, kept(call)));
    if (call->task->deadline_us > 0 && call->cause == CAUSE_NONE) {
        const int64_t left_us = call->task->deadline_us - clock_wall_us();
        at_ns = MIN(at_ns, now_ns + MIN(MAX_WALL_WAIT_NS, (uint64_t)MAX(left_us, 0) * 1000));
    }
    return at_ns > now_ns ? at_ns - now_ns : 0;
}

static void wait_events(const struct runner_call *call, struct pollfd fds[WATCH_COUNT])
{
    const struct drive_io *io = call->all->io;
    const struct runner *r = call->runner;
    const uint64_t left_ns = wait_ns(call, clock_mono_ns());
    const struct timespec wait = {.tv_sec = (time_t)(left_ns / 1000000000),
                                  .tv_nsec = (long)(left_ns % 1000000000)};
    const bool has_queue = r != NULL && runner_has_queue(r);

    fds[ON_SOCK] = (struct pollfd){.fd = io->sock, .events = POLLIN};
    fds[ON_TERM] = (struct pollfd){.fd = io->term_fd, .events = POLLIN};
    fds[ON_CHILD] = (struct pollfd){.fd = io->child_fd, .events = POLLIN};
    fds[ON_PID] = (struct pollfd){.fd = r == NULL ? -1 : r->pidfd, .events = POLLIN};
    fds[ON_FROM] = (struct pollfd){.fd = r == NULL ? -1 : r->from_fd, .events = POLLIN};
    fds[ON_TO] = (struct pollfd){.fd = has_queue ? r->to_fd : -1, .events = POLLOUT};
    for (int stream = 0; stream < 2; stream++)
        fds[ON_OUT + stream] = (struct pollfd){.fd = r == NULL ? -1 : r->stream_fd[stream],
                                               .events = POLLIN};
    if (ppoll(fds, WATCH_COUNT, &wait, NULL) <= 0)
        for (int i = 0; i < WATCH_COUNT; i++)
            fds[i].revents = 0;
}

static void attend_runner(struct runner_call *call, const struct pollfd *fds)
{
    if (call->runner == NULL || call->phase == CALL_END)
        return;
    if (fds[ON_TO].revents != 0)
        runner_flush(call->runner);
    if (call->phase == CALL_BOOT && (fds[ON_OUT].revents != 0 || fds[ON_ERR].revents != 0))
        runner_drain(call->runner);
    else if (call->phase == CALL_RUN)
        pump(call, fds);
    if (call->phase != CALL_END && (fds[ON_FROM].revents != 0 || fds[ON_PID].revents != 0))
        hear_runner(call, fds[ON_PID].revents != 0);
}

static void reap_adopted(const struct runner_call *call)
{
    struct tree orphans = {0};
    char drop[128];
    (void)!read(call->all->io->child_fd, drop, sizeof(drop));
    tree_reap_adopted(&orphans);
}

static void watch_call(struct runner_call *call)
{
    struct pollfd fds[WATCH_COUNT];

    if (call->runner != NULL)
        call->phase = CALL_BOOT;
    if (call->runner != NULL && call->runner->is_greeted)
        begin_task(call);
    check_clocks(call);
    while (call->phase != CALL_END && !call->is_abandoned) {
        wait_events(call, fds);
        if (fds[ON_TERM].revents != 0)
            call->is_abandoned = true;
        attend_runner(call, fds);
        if (fds[ON_SOCK].revents != 0 && call->phase != CALL_END)
            hear_server(call);
        if (fds[ON_CHILD].revents != 0)
            reap_adopted(call);
        if (call->phase != CALL_END)
            check_clocks(call);
    }
}

void runner_call_run(struct runner_call *call)
{
    struct runner_end end = {0};

    call->started_ns = clock_mono_ns();
    watch_call(call);
    runner_call_finish_output(call);
    if (call->must_end || call->is_abandoned)
        runner_call_end_runner(call, &end);
    else if (call->runner != NULL && call->all->isolation == POOL_EXEC)
        runner_quit(call->all, call->runner, &end);
    else if (call->runner != NULL)
        runner_call_keep_runner(call, &end);
    capture_finish(&call->out[0]);
    capture_finish(&call->out[1]);
    runner_fork_forget(call);
    runner_call_report(call, &end);
    atomic_store_explicit(&call->bank->job_pid, 0, memory_order_relaxed);
}
