/* SPDX-License-Identifier: MIT */
#include "service/outcome.h"

#include "service/base/blob.h"

#include <signal.h>

/* Of an attempt that failed. */
static enum job_reason reason_of(enum task_end end)
{
    static const enum job_reason reasons[TASK_END_COUNT] = {
        [TASK_EXITED] = REASON_EXIT_CODE,
        [TASK_SIGNALED] = REASON_SIGNAL,
        [TASK_TIMEOUT] = REASON_TIMEOUT,
        [TASK_DEADLINE] = REASON_DEADLINE,
        [TASK_OUTPUT_LIMIT] = REASON_OUTPUT_LIMIT,
        [TASK_EXEC_FAILED] = REASON_EXEC,
        [TASK_UNKILLABLE] = REASON_UNKILLABLE,
        [TASK_LOST] = REASON_LOST,
        [TASK_START_FAILED] = REASON_NONE,
        [TASK_INPUT_FAILED] = REASON_DEPENDENCY,
        [TASK_FUNCTION_FAILED] = REASON_FUNCTION_ERROR,
        [TASK_OUT_OF_MEMORY] = REASON_OOM,
    };
    PRE(end < TASK_END_COUNT && reasons[end] != REASON_NONE);
    return reasons[end];
}

/* Whether, and when, the failed attempt is followed by another one. */
static void apply_policy(const struct attempt_facts *facts, struct job_end *end)
{
    if (facts->attempt >= facts->row.max_attempts)
        return;
    bool drained = facts->drain_stop && end->reason == REASON_LOST;
    bool allowed = facts->has_policy &&
                   ((facts->retries_lost && end->reason == REASON_LOST) ||
                    retry_policy_allows(&facts->policy, end->reason, end->exit_code));
    if (!drained && !allowed)
        return;
    uint64_t random;
    random_bytes(&random, sizeof random);
    uint64_t delay_us = drained ? 0 : retry_policy_delay_us(&facts->policy, facts->attempt, random);
    end->retry_at_us = facts->now_us + (int64_t)delay_us;
    end->state = delay_us == 0 ? JOB_QUEUED : JOB_SCHEDULED;
}

static void copy_output(const struct task_outcome *outcome, struct job_end *end)
{
    for (int i = 0; i < 2; i++) {
        end->output.bytes[i] = outcome->out[i].bytes;
        end->output.truncated[i] = outcome->out[i].truncated;
        end->output.spooled[i] = outcome->out[i].spooled;
        if (!outcome->out[i].spooled)
            end->inline_out[i] = outcome->out[i].inline_bytes;
    }
    end->output.has_value = outcome->result.is_there;
    end->output.value_type = outcome->result.type;
    end->output.bytes[STREAM_VALUE] = outcome->result.bytes;
    end->output.spooled[STREAM_VALUE] = outcome->result.is_spooled;
    end->inline_out[STREAM_VALUE] = outcome->result.inline_bytes;
    end->output.spooled[STREAM_DATA] = outcome->has_data;
    end->usage = (struct job_usage){
        .wall_us = outcome->wall_us,
        .user_us = outcome->user_us,
        .system_us = outcome->system_us,
        .max_rss_bytes = outcome->max_rss_bytes,
        .processes_killed = outcome->processes_killed,
    };
}

/* `yes | head -1` is a pipeline that works: the reader has enough, and the writer dies by SIGPIPE.
 * That death says nothing about the writer; whether the reader has failed is told by the reader's
 * own end. So a stage that writes to another one succeeds with it, whichever of the two is heard of
 * first, and the pipeline fails when any stage fails, as with pipefail. The last stage writes to
 * us, who always read on: its SIGPIPE comes from elsewhere and counts. */
static bool is_success(const struct attempt_facts *facts, const struct task_outcome *outcome)
{
    if (outcome->end == TASK_EXITED)
        return outcome->exit_code == 0;
    return outcome->end == TASK_SIGNALED && outcome->signal == SIGPIPE && facts->feeds_another;
}

void outcome_of(const struct attempt_facts *facts, const struct task_outcome *outcome,
                struct job_end *ret)
{
    *ret = (struct job_end){
        .reason = REASON_NONE,
        .started_us = outcome->started_us,
        .finished_us = MAX(outcome->ended_us, outcome->started_us),
        .keep_us = facts->row.keep_us,
    };
    if (ret->finished_us == 0)
        ret->finished_us = facts->now_us;
    copy_output(outcome, ret);
    if (outcome->signal != 0) {
        ret->signal = outcome->signal;
        ret->exit_code = -outcome->signal; /* as Python's Process.exitcode */
        ret->has_exit_code = true;
    } else if (outcome->end != TASK_EXEC_FAILED && outcome->end != TASK_INPUT_FAILED &&
               outcome->end != TASK_LOST && outcome->end != TASK_UNKILLABLE &&
               outcome->end != TASK_FUNCTION_FAILED) {
        ret->exit_code = outcome->exit_code;
        ret->has_exit_code = true;
    }
    if (outcome->error_text[0] != '\0')
        ret->error_detail = outcome->error_text;

    /* A cancel decides the end, unless the main process had ended before the first signal was
     * sent. A tree that could not be ended is told as such in every case. */
    if (facts->stop_requested && outcome->end != TASK_UNKILLABLE &&
        (outcome->stop_sent || outcome->end == TASK_LOST)) {
        ret->state = JOB_CANCELLED;
        return;
    }
    /* The death of another one has ended it (on_worker_death "break"), or its own has. */
    const bool is_broken = facts->broken != NULL;
    if (is_broken && outcome->end != TASK_UNKILLABLE &&
        (outcome->stop_sent || outcome->end == TASK_LOST)) {
        ret->state = JOB_FAILED;
        ret->reason = REASON_LOST;
        ret->error_detail = facts->broken;
        return;
    }
    if (is_success(facts, outcome)) {
        ret->state = JOB_SUCCEEDED;
        return;
    }
    ret->state = JOB_FAILED;
    ret->reason = facts->drain_stop && outcome->stop_sent ? REASON_LOST : reason_of(outcome->end);
    if (is_broken && outcome->has_died && ret->error_detail == NULL)
        ret->error_detail = facts->broken;
    if (!facts->stop_requested && !outcome->no_retry && !is_broken)
        apply_policy(facts, ret);
}

void outcome_lost(const struct attempt_facts *facts, struct job_end *ret)
{
    struct task_outcome unknown = {
        .end = TASK_LOST, .started_us = facts->row.started_us, .ended_us = facts->now_us};
    outcome_of(facts, &unknown, ret);
}

static bool is_sound(const struct task_blob *blob)
{
    return blob->file > 0 && blob->file <= INT64_MAX &&
           blob->bytes <= INT64_MAX / TASK_MAX_OUTPUTS && blob_is_output_name(slice_of(blob->name));
}

static bool is_among(const struct task_blob *blobs, uint32_t n, const struct task_blob *blob)
{
    for (uint32_t i = 0; i < n; i++)
        if (blobs[i].file == blob->file || strcmp(blobs[i].name, blob->name) == 0)
            return true;
    return false;
}

bool outcome_take_blobs(struct task_outcome *outcome, struct task_blob kept[TASK_MAX_OUTPUTS])
{
    const uint32_t n = MIN(outcome->n_blobs, (uint32_t)TASK_MAX_OUTPUTS);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct task_blob *blob = &kept[n_kept];
        *blob = outcome->blobs[i];
        blob->name[sizeof blob->name - 1] = '\0';
        n_kept += is_sound(blob) && !is_among(kept, n_kept, blob);
    }
    const bool ok = n_kept == outcome->n_blobs;
    outcome->blobs = kept;
    outcome->n_blobs = n_kept;
    return ok;
}
