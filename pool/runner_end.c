/* SPDX-License-Identifier: MIT */
/* The outcome of a call. */
#include "pool/oom.h"
#include "pool/runner_call.h"

#include <errno.h>
#include <sys/wait.h>

static void drop_value(struct runner_call *call)
{
    runner_call_drop_result(call);
    call->bank->report.has_result = 0;
    call->bank->report.result_bytes = 0;
}

static enum task_end judge_answer(struct runner_call *call)
{
    switch (call->answer) {
    case ANSWER_RESULT:
        if (call->data_error[0] == '\0')
            return TASK_EXITED;
        memcpy(call->error, call->data_error, sizeof(call->error));
        return TASK_FUNCTION_FAILED;
    case ANSWER_ERROR:
    case ANSWER_CANCELLED: return TASK_FUNCTION_FAILED;
    case ANSWER_NONE: break;
    }
    return TASK_FUNCTION_FAILED;
}

/* The runner's death is the answer. */
static enum task_end judge_death(struct runner_call *call, const struct runner_end *end)
{
    struct bank *bank = call->bank;

    if (call->cause != CAUSE_NONE && !WIFSIGNALED(end->status))
        return TASK_FUNCTION_FAILED;
    if (call->broken[0] != '\0') {
        (void)snprintf(call->error, sizeof(call->error), "ProtocolError: %s", call->broken);
        return TASK_FUNCTION_FAILED;
    }
    bank->report.runner_died = call->cause == CAUSE_NONE && !call->child_has_exited;
    if (WIFSIGNALED(end->status)) {
        bank->report.signal = WTERMSIG(end->status);
        return oom_child_is_full(end->limit_memory, end->max_rss_bytes, bank->report.signal)
                   ? TASK_OUT_OF_MEMORY
                   : TASK_SIGNALED;
    }
    bank->report.exit_code = WEXITSTATUS(end->status);
    if (bank->report.exit_code != 0)
        return TASK_EXITED;
    (void)snprintf(call->error, sizeof(call->error),
                   "Exit: the runner has ended with exit code 0 and without an answer");
    return TASK_FUNCTION_FAILED;
}

/* Also what it wrote in its last moment, which nobody has looked at while it ran. */
static bool is_too_long(const struct runner_call *call)
{
    return call->refused == TASK_EXITED && call->task->output_limit_fails &&
           (call->out[0].truncated || call->out[1].truncated);
}

static enum task_end judge(struct runner_call *call, const struct runner_end *end)
{
    static const enum task_end ends[] = {[CAUSE_TIMEOUT] = TASK_TIMEOUT,
                                         [CAUSE_DEADLINE] = TASK_DEADLINE,
                                         [CAUSE_OUTPUT] = TASK_OUTPUT_LIMIT};
    const struct runner_end child = {.status = call->child_status,
                                     .max_rss_bytes = call->child_rss_bytes,
                                     .limit_memory = end->limit_memory};
    enum task_end said;

    if (call->refused != TASK_EXITED)
        said = call->refused;
    else if (call->answer != ANSWER_NONE)
        said = judge_answer(call);
    else
        said = judge_death(call, call->child_has_exited ? &child : end);
    /* Who was faster than the cancel has done its work. */
    if (call->answer == ANSWER_RESULT && call->cause == CAUSE_STOP)
        call->stop_sent = false;
    if (call->cause == CAUSE_NONE && is_too_long(call))
        call->cause = CAUSE_OUTPUT;
    if (call->cause > CAUSE_STOP) {
        call->error[0] = '\0';
        said = ends[call->cause];
    }
    return end->survivors > 0 ? TASK_UNKILLABLE : said;
}

void runner_call_report(struct runner_call *call, const struct runner_end *end)
{
    struct bank *bank = call->bank;
    runner_call_data_end(call);
    const enum task_end said = judge(call, end);

    bank->report.end = (int32_t)said;
    if (said == TASK_FUNCTION_FAILED || said == TASK_EXEC_FAILED || said == TASK_START_FAILED)
        memcpy(bank->error_text, call->error, sizeof(bank->error_text));
    if (said == TASK_EXEC_FAILED || said == TASK_START_FAILED)
        bank->report.exec_errno = EINVAL;
    bank->report.stop_sent = call->stop_sent ? 1 : 0;
    bank->report.processes_killed = end->ended;
    bank->report.survivors = end->survivors;
    bank->report.ended_us = clock_wall_us();
    bank->report.wall_us = (int64_t)((clock_mono_ns() - call->started_ns) / 1000);
    bank->report.user_us = MAX(end->cpu_us - call->cpu_before_us, INT64_C(0)) + call->child_cpu_us;
    bank->report.max_rss_bytes = MAX(end->max_rss_bytes, call->child_rss_bytes);
    if (said != TASK_EXITED || call->answer != ANSWER_RESULT)
        drop_value(call);
    else
        bank->report.has_result = 1;
    bank->report.result_spooled = call->result_fd >= 0;
    if (call->result_fd >= 0)
        (void)close(steal_fd(&call->result_fd));
}

/* The runner stays; what it or its task has left behind does not. */
void runner_call_keep_runner(struct runner_call *call, struct runner_end *ret)
{
    struct runner *r = call->runner;
    struct tree orphans = {0};

    *ret = (struct runner_end){.cpu_us = runner_cpu_us(r),
                               .max_rss_bytes = runner_rss_bytes(r),
                               .limit_memory = r->limit_memory};
    if (!tree_reap(&orphans)) {
        ret->survivors = tree_end(&orphans, call->all->io->kill_deadline_us,
                                  call->all->io->child_fd);
        ret->ended = orphans.ended;
    }
    runner_rest(r);
}
