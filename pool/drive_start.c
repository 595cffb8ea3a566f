/* SPDX-License-Identifier: MIT */
/* How an attempt begins: its pipes, and its first process. */
#include "pool/drive_state.h"
#include "pool/pipe.h"

#include <errno.h>

#define SETTLE_NS (20 * MS_NS) /* from then on adopted orphans are reaped while the task runs */
#define BIG_STDIN ((size_t)64 << 10)

void drive_feed_stdin(struct drive *d)
{
    const struct slice in = d->task->stdin_bytes;

    while (d->stdin_sent < in.len) {
        const ssize_t n = write(d->stdin_fd, in.ptr + d->stdin_sent, in.len - d->stdin_sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break; /* EPIPE: it does not want the rest, which is its right */
        d->stdin_sent += (size_t)n;
    }
    (void)close(steal_fd(&d->stdin_fd));
}

/* What goes to the task alone and is closed after the start: a copy of ours that stayed open would
 * keep the task at the other end from seeing the end. Of what we read ourselves a copy does stay
 * open: the end of a task is not told by its pipes, and each pipe that ended with the process would
 * wake us once more while it is still ending. */
struct ends {
    int child[3]; /* -1: none */
};

static bool open_stdin(struct drive *d, struct ends *ends, struct proc *proc)
{
    int fds[2];

    if (ends->child[0] >= 0)
        return true; /* a pipe of another task's */
    proc->fds[0] = d->io->null_fd;
    if (d->task->stdin_bytes.len == 0)
        return true;
    if (!pipe_make(fds, PIPE_WRITE))
        return false;
    ends->child[0] = proc->fds[0] = fds[0];
    d->stdin_fd = fds[1];
    if (d->task->stdin_bytes.len > BIG_STDIN)
        pipe_enlarge(d->stdin_fd);
    drive_feed_stdin(d); /* as much as fits, often all */
    return true;
}

static bool open_progress(struct drive *d, struct proc *proc)
{
    if (!progress_open(d->io->progress, d->bank))
        return false;
    proc->progress_fd = d->io->progress->task_fd;
    return true;
}

static bool open_streams(struct drive *d, struct ends *ends, struct proc *proc)
{
    for (int stream = 0; stream < 2; stream++) {
        struct capture *c = &d->out[stream];
        struct task_pipe *pipe = &d->io->out[stream];
        c->null_fd = d->io->null_fd;
        c->data_fd = d->io->data_fd;
        capture_init(c, d->bank, stream, -1, d->task->limit_output);
        if (ends->child[stream + 1] >= 0)
            continue; /* what another task reads is not captured: an empty stream */
        if (!task_pipe_open(pipe))
            return false;
        c->pipe_fd = steal_fd(&pipe->fd);
        c->task_fd = steal_fd(&pipe->task_fd);
        proc->fds[stream + 1] = c->task_fd;
    }
    return open_stdin(d, ends, proc) && open_progress(d, proc);
}

static void close_ends(struct ends *ends)
{
    for (int i = 0; i < 3; i++)
        if (ends->child[i] >= 0)
            (void)close(steal_fd(&ends->child[i]));
}

void drive_close_own(struct drive *d)
{
    capture_close(&d->out[0]);
    capture_close(&d->out[1]);
    if (d->stdin_fd >= 0)
        (void)close(steal_fd(&d->stdin_fd));
}

void drive_refuse(struct bank *bank, enum task_end end, int error, const char *text)
{
    const int64_t now_us = clock_wall_us();

    bank->report = (struct task_report){
        .end = (int32_t)end, .exec_errno = error, .started_us = now_us, .ended_us = now_us};
    (void)snprintf(bank->error_text, sizeof(bank->error_text), "%s", text);
}

bool drive_confirm_start(const struct drive *d)
{
    struct proc_started ended;
    const enum proc_result result = d->tree.main_reaped
                                        ? proc_outcome(d->io->launcher, d->proc, &ended)
                                        : PROC_STARTED;
    if (result != PROC_STARTED)
        drive_refuse(d->bank, result == PROC_EXEC_FAILED ? TASK_EXEC_FAILED : TASK_START_FAILED,
                     ended.error, ended.text);
    return result == PROC_STARTED;
}

bool drive_start(struct drive *d, struct proc *proc)
{
    struct ends ends = {{proc->fds[0], proc->fds[1], -1}};
    struct proc_started started;

    if (!open_streams(d, &ends, proc)) {
        const int error = errno;
        close_ends(&ends);
        progress_close(d->io->progress);
        drive_close_own(d);
        drive_refuse(d->bank, TASK_START_FAILED, error, "cannot make a pipe");
        return false;
    }
    proc->no_pidfd = proc->goes_on = true;
    d->started_ns = clock_mono_ns();
    d->bank->report.started_us = clock_wall_us();
    const enum proc_result result = proc_start(d->io->launcher, proc, &started);
    close_ends(&ends);
    if (result != PROC_STARTED) {
        drive_close_own(d);
        drive_refuse(d->bank, TASK_START_FAILED, started.error, started.text);
        return false;
    }
    d->tree.main_pid = started.pid;
    d->timeout_at_ns = task_timeout_at(d->task, d->started_ns);
    d->settle_at_ns = d->started_ns + SETTLE_NS;
    atomic_store_explicit(&d->bank->job_pid, started.pid, memory_order_relaxed);
    return true;
}
