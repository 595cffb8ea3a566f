/* SPDX-License-Identifier: MIT */
#include "pool/drive_state.h"
#include "pool/frame.h"
#include "pool/oom.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define MAX_WAIT_NS \
    (60000 * MS_NS) /* ppoll's clock stands still in suspend, our deadlines do not */
#define MAX_WALL_WAIT_NS (5000 * MS_NS) /* the wall clock may be set */
#define PUMP_BUDGET \
    ((size_t)8 << 20) /* bytes of one stream before the other and the server are heard again */

/* In the order in which poll(2) looks: a stream that is empty in a look which has found the main
 * process ended was empty at its end. */
enum watch { ON_SOCK, ON_TERM, ON_CHILD, ON_OUT, ON_ERR, ON_PROGRESS, ON_STDIN, WATCH_COUNT };

static void signal_group(struct drive *d, int signal)
{
    d->tree.ending = true;
    d->main_signalled = d->main_signalled || !d->main_ended;
    tree_signal(&d->tree, signal);
}

bool drive_main_is_over(const struct drive *d)
{
    siginfo_t info = {0};
    return d->main_ended ||
           (waitid(P_PID, (id_t)d->tree.main_pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == d->tree.main_pid);
}

static void begin_stop(struct drive *d, enum cause cause, int signal, int64_t grace_us)
{
    const bool is_over = drive_main_is_over(d);
    const uint64_t at_ns = clock_mono_ns() + (uint64_t)grace_us * 1000;

    /* It has ended by itself: nothing to stop but what it left, and that is KILLed anyway. */
    if (is_over && d->cause == CAUSE_NONE)
        return;
    if (cause == CAUSE_STOP && !is_over)
        d->stop_sent = true;
    if (d->cause == CAUSE_NONE)
        d->cause = cause;
    if (signal == SIGKILL || grace_us <= 0) {
        signal_group(d, SIGKILL);
        d->kill_at_ns = 0;
        return;
    }
    signal_group(d, signal);
    /* A stopped process handles the signal only once it runs again. */
    signal_group(d, SIGCONT);
    drive_resume(d);
    d->kill_at_ns = MIN(d->kill_at_ns, at_ns);
}

static uint64_t kept(const struct drive *d)
{
    return d->out[0].kept + d->out[1].kept;
}

/* Both files, also of a stream that is silent so far: a reader opens them now. Without room for
 * them readers wait for the end. */
static void watch_output(struct drive *d)
{
    if (capture_spool(&d->out[0]) && capture_spool(&d->out[1]))
        teller_watched(&d->teller, kept(d));
}

static bool is_for_us(const struct drive *d, const struct frame *frame)
{
    return frame->job_no == d->bank->job_no && frame->attempt == d->bank->attempt;
}

static void hear_server(struct drive *d)
{
    struct frame frame;
    int fd;
    const enum frame_status status = frame_recv(d->io->sock, &frame, &fd);

    if (fd >= 0)
        (void)close(fd);
    if (status == FRAME_EOF || status == FRAME_ERROR)
        d->abandoned = true;
    if (status != FRAME_OK || !is_for_us(d, &frame))
        return;
    if (frame.type == FRAME_STOP)
        begin_stop(d, CAUSE_STOP, frame.arg > 0 ? frame.arg : d->task->stop_signal,
                   frame.arg64 >= 0 ? frame.arg64 : d->task->stop_grace_us);
    else if (frame.type == FRAME_WATCH)
        watch_output(d);
    else if (frame.type == FRAME_REACH)
        drive_reach(d, &frame);
}

static void pump_outputs(struct drive *d, const struct pollfd *fds)
{
    for (int stream = 0; stream < 2; stream++) {
        const short seen = fds[ON_OUT + stream].revents;
        struct capture *c = &d->out[stream];
        if ((seen & POLLIN) != 0)
            (void)capture_pump(c, PUMP_BUDGET);
        else if ((seen & (POLLHUP | POLLERR)) != 0)
            capture_close(c);
        if (c->truncated && d->task->output_limit_fails && d->cause == CAUSE_NONE)
            begin_stop(d, CAUSE_OUTPUT, d->task->stop_signal, d->task->stop_grace_us);
    }
}

static void check_clocks(struct drive *d, uint64_t now_ns)
{
    const struct task *task = d->task;
    if (d->main_ended || d->cause != CAUSE_NONE)
        return;
    if (now_ns >= d->timeout_at_ns)
        begin_stop(d, CAUSE_TIMEOUT, task->stop_signal, task->stop_grace_us);
    else if (task->deadline_us > 0 && clock_wall_us() >= task->deadline_us)
        begin_stop(d, CAUSE_DEADLINE, task->stop_signal, task->stop_grace_us);
}

static uint64_t wait_ns(const struct drive *d, uint64_t now_ns)
{
    uint64_t at_ns = MIN(d->kill_at_ns, now_ns + MAX_WAIT_NS);
    if (d->cause == CAUSE_NONE)
        at_ns = MIN(at_ns, d->timeout_at_ns);
    if (d->settle_at_ns != 0)
        at_ns = MIN(at_ns, d->settle_at_ns);
    at_ns = MIN(at_ns, d->suspend_at_ns);
    at_ns = MIN(at_ns, teller_due_ns(&d->teller, kept(d)));
    if (d->task->deadline_us > 0 && d->cause == CAUSE_NONE) {
        const int64_t left_us = d->task->deadline_us - clock_wall_us();
        at_ns = MIN(at_ns, now_ns + MIN(MAX_WALL_WAIT_NS, (uint64_t)MAX(left_us, 0) * 1000));
    }
    return at_ns > now_ns ? at_ns - now_ns : 0;
}

static void wait_events(struct drive *d, struct pollfd fds[WATCH_COUNT])
{
    const uint64_t now_ns = clock_mono_ns();
    const uint64_t left_ns = wait_ns(d, now_ns);
    const struct timespec wait = {.tv_sec = (time_t)(left_ns / 1000000000),
                                  .tv_nsec = (long)(left_ns % 1000000000)};

    fds[ON_SOCK] = (struct pollfd){.fd = d->io->sock, .events = POLLIN};
    fds[ON_TERM] = (struct pollfd){.fd = d->io->term_fd, .events = POLLIN};
    fds[ON_OUT] = (struct pollfd){.fd = d->out[0].pipe_fd, .events = POLLIN};
    fds[ON_ERR] = (struct pollfd){.fd = d->out[1].pipe_fd, .events = POLLIN};
    fds[ON_PROGRESS] = (struct pollfd){.fd = d->io->progress->fd, .events = POLLIN};
    fds[ON_STDIN] = (struct pollfd){.fd = d->stdin_fd, .events = POLLOUT};
    fds[ON_CHILD] = (struct pollfd){.fd = d->io->child_fd, .events = POLLIN};
    if (ppoll(fds, WATCH_COUNT, &wait, NULL) <= 0)
        for (int i = 0; i < WATCH_COUNT; i++)
            fds[i].revents = 0;
}

static void note_end(struct drive *d)
{
    d->main_ended = true;
    d->ended_ns = clock_mono_ns();
    d->ended_us = clock_wall_us();
}

/* The kernel alone can say so: what others send has another code. */
static bool tells_end_of_main(const struct drive *d, const struct signalfd_siginfo *heard)
{
    return heard->ssi_pid == (uint32_t)d->tree.main_pid &&
           (heard->ssi_code == CLD_EXITED || heard->ssi_code == CLD_KILLED ||
            heard->ssi_code == CLD_DUMPED);
}

/* One of our children has ended, or stopped, as a rule the main process. SIGCHLD does not queue, so
 * it may have ended although another one is named. */
static void hear_children(struct drive *d, const struct pollfd *fds)
{
    struct signalfd_siginfo heard = {0};

    (void)!read(d->io->child_fd, &heard, sizeof(heard));
    if (!d->main_ended && tells_end_of_main(d, &heard)) {
        d->was_empty = fds[ON_OUT].revents == 0 && fds[ON_ERR].revents == 0 &&
                       fds[ON_PROGRESS].revents == 0;
        note_end(d);
    } else if (!d->main_ended && drive_main_is_over(d)) {
        note_end(d);
    } else {
        d->has_adopted = true;
    }
}

/* What is adopted is looked for in /proc, which a short task is spared: its end does the same. */
static void reap_adopted(struct drive *d, uint64_t now_ns)
{
    if (d->settle_at_ns != 0 && now_ns >= d->settle_at_ns)
        d->settle_at_ns = 0;
    if (d->settle_at_ns != 0 || !d->has_adopted)
        return;
    d->has_adopted = false;
    tree_reap_adopted(&d->tree);
}

/* Until the main process has ended, and, when it was asked to stop, its group too or the grace. */
static void watch_task(struct drive *d)
{
    struct pollfd fds[WATCH_COUNT];

    for (;;) {
        wait_events(d, fds);
        if (fds[ON_SOCK].revents != 0)
            hear_server(d);
        if (fds[ON_TERM].revents != 0)
            d->abandoned = true;
        if (d->abandoned)
            return;
        pump_outputs(d, fds);
        if (fds[ON_PROGRESS].revents != 0)
            progress_pump(d->io->progress);
        if (fds[ON_STDIN].revents != 0)
            drive_feed_stdin(d);
        if (fds[ON_CHILD].revents != 0)
            hear_children(d, fds);
        const uint64_t now_ns = clock_mono_ns();
        reap_adopted(d, now_ns);
        check_clocks(d, now_ns);
        if (now_ns >= d->suspend_at_ns)
            drive_suspend(d, now_ns);
        teller_tell(&d->teller, kept(d), now_ns);
        if (now_ns >= d->kill_at_ns)
            return;
        if (d->main_ended && (d->cause == CAUSE_NONE || !tree_group_is_alive(&d->tree)))
            return;
    }
}

static enum task_end judge(const struct drive *d, uint32_t survivors)
{
    if (survivors > 0)
        return TASK_UNKILLABLE;
    switch (d->cause) {
    case CAUSE_TIMEOUT: return TASK_TIMEOUT;
    case CAUSE_DEADLINE: return TASK_DEADLINE;
    case CAUSE_OUTPUT: return TASK_OUTPUT_LIMIT;
    case CAUSE_STOP: break;
    case CAUSE_NONE:
        /* It was faster than our look at the pipe. */
        if (d->task->output_limit_fails && (d->out[0].truncated || d->out[1].truncated))
            return TASK_OUTPUT_LIMIT;
        break;
    }
    const int status = d->tree.main_status;
    if (!WIFSIGNALED(status))
        return TASK_EXITED;
    return oom_child_is_full(d->task->limit_memory, d->tree.main_rss_bytes, WTERMSIG(status))
               ? TASK_OUT_OF_MEMORY
               : TASK_SIGNALED;
}

static void report(struct drive *d, uint32_t survivors)
{
    struct bank *bank = d->bank;
    const struct tree *tree = &d->tree;
    const int status = tree->main_status;

    bank->report.end = (int32_t)judge(d, survivors);
    bank->report.exit_code = tree->main_reaped && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    bank->report.signal = tree->main_reaped && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    bank->report.exec_errno = 0;
    bank->error_text[0] = '\0';
    bank->report.stop_sent = d->stop_sent ? 1 : 0;
    bank->report.processes_killed = tree->ended + (tree->main_reaped && d->main_signalled ? 1 : 0);
    bank->report.survivors = survivors;
    bank->report.ended_us = d->ended_us;
    bank->report.wall_us = (int64_t)((d->ended_ns - d->started_ns) / 1000);
    bank->report.user_us = tree->user_us;
    bank->report.system_us = tree->system_us;
    bank->report.max_rss_bytes = tree->max_rss_bytes;
}

/* Nothing that a task has opened outlives its processes, so its pipes can go on to the next one.
 * But it may have sent a copy out of its tree, and who has that would write into the next one's
 * output: only a task that has succeeded, without a word and without a process that had to be
 * reaped for it, is believed not to have. */
static void keep_silent_pipes(struct drive *d)
{
    const struct tree *tree = &d->tree;

    if (d->cause != CAUSE_NONE || d->abandoned || tree->main_status != 0 || tree->reaped != 1)
        return;
    for (int stream = 0; stream < 2; stream++) {
        struct capture *c = &d->out[stream];
        if (!d->was_empty)
            (void)capture_pump(c, PUMP_BUDGET);
        if (c->kept > 0 || c->truncated || c->pipe_fd < 0)
            continue;
        d->io->out[stream].fd = steal_fd(&c->pipe_fd);
        d->io->out[stream].task_fd = steal_fd(&c->task_fd);
    }
}

static void end_task(struct drive *d)
{
    if (!d->main_ended)
        signal_group(d, SIGKILL);
    const uint32_t survivors = tree_end(&d->tree, d->io->kill_deadline_us, d->io->child_fd);
    if (!d->main_ended)
        note_end(d);
    if (survivors == 0)
        keep_silent_pipes(d);
    capture_finish(&d->out[0]);
    capture_finish(&d->out[1]);
    drive_close_own(d);
    if (!d->was_empty || d->tree.reaped != 1)
        progress_pump(d->io->progress);
    progress_end(d->io->progress, survivors == 0);
    if (drive_confirm_start(d))
        report(d, survivors);
    atomic_store_explicit(&d->bank->job_pid, 0, memory_order_relaxed);
}

enum drive_result drive_run(const struct drive_io *io, struct bank *bank, const struct task *task,
                            struct proc *proc)
{
    struct drive d = {
        .io = io,
        .bank = bank,
        .task = task,
        .proc = proc,
        .stdin_fd = -1,
        .out = {{.pipe_fd = -1, .task_fd = -1, .file_fd = -1},
                {.pipe_fd = -1, .task_fd = -1, .file_fd = -1}},
        .timeout_at_ns = NEVER,
        .kill_at_ns = NEVER,
        .suspend_at_ns = NEVER,
    };

    atomic_store_explicit(&bank->suspended, 0, memory_order_relaxed);
    teller_init(&d.teller, io->sock, bank);
    if (!drive_start(&d, proc))
        return DRIVE_DONE;
    if (FAULT("worker-after-exec"))
        d.abandoned = true;
    else
        watch_task(&d);
    end_task(&d);
    return d.abandoned ? DRIVE_ABANDONED : DRIVE_DONE;
}
