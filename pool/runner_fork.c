/* SPDX-License-Identifier: MIT */
/* Runners that fork for each task (the capability "fork"): the process of the task is a child of
 * theirs. Who ends the task ends that process, and the runner lives on. */
#include "pool/runner_call.h"

#include "pool/family.h"

#include <signal.h>
#include <sys/pidfd.h>

#define EXIT_NS (1000 * MS_NS) /* after its answer, or its KILL, until it must have ended */

bool runner_fork_begun(struct runner_call *call, const struct runner_frame *frame,
                       struct slice body)
{
    char text[RUNNER_VALUE_MAX];
    struct family_member now;
    int64_t pid = 0;
    (void)body;
    if (!runner_frame_key(frame, "pid", text) || !text_to_i64(slice_of(text), &pid) || pid < 2 ||
        pid > INT32_MAX)
        return runner_call_broken(call, "FORKED without a pid");
    if (call->child_fd >= 0 || call->child_has_exited)
        return runner_call_broken(call, "a FORKED too many");
    AUTO_CLOSE int pidfd = pidfd_open((pid_t)pid, 0);
    /* It is signalled only as long as it is a child of the runner; looked at after the opening, so
     * the descriptor cannot mean a later process of this number. */
    if (pidfd < 0 || !family_look_at((pid_t)pid, &now) || now.ppid != call->runner->pid)
        return true; /* it has ended already: EXITED follows */
    call->child_fd = steal_fd(&pidfd);
    atomic_store_explicit(&call->bank->job_pid, (int32_t)pid, memory_order_relaxed);
    return true;
}

/* -N: by signal N. */
bool runner_fork_exited(struct runner_call *call, const struct runner_frame *frame,
                        struct slice body)
{
    char text[RUNNER_VALUE_MAX];
    int64_t status = 0, n = 0;
    (void)body;
    if (!runner_frame_key(frame, "status", text) || !text_to_i64(slice_of(text), &status) ||
        status < -64 || status > 255)
        return runner_call_broken(call, "EXITED without a status");
    if (call->child_has_exited)
        return runner_call_broken(call, "a second EXITED");
    call->child_has_exited = true;
    call->child_status = status < 0 ? (int)-status : (int)status << 8;
    if (runner_frame_key(frame, "cpu_us", text) && text_to_i64(slice_of(text), &n) && n > 0)
        call->child_cpu_us = n;
    if (runner_frame_key(frame, "rss", text) && text_to_i64(slice_of(text), &n) && n > 0)
        call->child_rss_bytes = (uint64_t)n;
    if (call->child_fd >= 0)
        (void)close(steal_fd(&call->child_fd));
    return true;
}

bool runner_fork_signal(struct runner_call *call, int signal)
{
    if (call->child_fd < 0)
        return false;
    (void)pidfd_send_signal(call->child_fd, signal, NULL, 0);
    (void)pidfd_send_signal(call->child_fd, SIGCONT, NULL, 0);
    return true;
}

void runner_fork_await(struct runner_call *call)
{
    if (call->exit_by_ns == NEVER)
        call->exit_by_ns = clock_mono_ns() + EXIT_NS;
}

bool runner_fork_is_late(struct runner_call *call, uint64_t now_ns)
{
    if (now_ns < call->exit_by_ns)
        return false;
    if (call->is_child_killed || !runner_fork_signal(call, SIGKILL))
        return true;
    call->is_child_killed = true;
    call->exit_by_ns = now_ns + EXIT_NS;
    return false;
}

bool runner_fork_is_over(const struct runner_call *call)
{
    return call->child_has_exited || (call->runner->caps & CAP_FORK) == 0;
}

void runner_fork_forget(struct runner_call *call)
{
    if (call->child_fd >= 0)
        (void)close(steal_fd(&call->child_fd));
}
