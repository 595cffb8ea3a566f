/* SPDX-License-Identifier: MIT */
/* Changing a job that waits, and running a finished one once more. Time limits of an attempt lie in
 * the encoded task, which is made anew for them. */
#include "storage/change.h"
#include "pool/task.h"
#include "service/engine_state.h"

#define MAX_TASK_MEMORY (24u << 20) /* a task of 8 MiB, decoded and encoded */

#define IN_TASK                                                                  \
    (MEMBER_TIMEOUT | MEMBER_DEADLINE | MEMBER_LIMIT_MEMORY | MEMBER_LIMIT_CPU | \
     MEMBER_LIMIT_PROCESSES | MEMBER_LIMIT_OPEN_FILES | MEMBER_LIMIT_FILE_SIZE | \
     MEMBER_LIMIT_OUTPUT | MEMBER_ON_OUTPUT)
#define ALL_LIMITS (IN_TASK & ~(unsigned)(MEMBER_TIMEOUT | MEMBER_DEADLINE))
/* What decides when and in which company a job starts. */
#define WHEN_IT_STARTS (MEMBER_PRIORITY | MEMBER_QUEUE | MEMBER_DUE)

/* ------------------------------------------------------------------------------------------------
 * the task */

static void task_take_limits(struct task *task, uint32_t members, const struct job_spec *spec)
{
    if ((members & MEMBER_LIMIT_MEMORY) != 0)
        task->limit_memory = spec->limit_memory;
    if ((members & MEMBER_LIMIT_CPU) != 0)
        task->limit_cpu_us = spec->limit_cpu_us;
    if ((members & MEMBER_LIMIT_PROCESSES) != 0)
        task->limit_processes = spec->limit_processes;
    if ((members & MEMBER_LIMIT_OPEN_FILES) != 0)
        task->limit_open_files = spec->limit_open_files;
    if ((members & MEMBER_LIMIT_FILE_SIZE) != 0)
        task->limit_file_size = spec->limit_file_size;
    if ((members & MEMBER_LIMIT_OUTPUT) != 0)
        task->limit_output = spec->limit_output;
    if ((members & MEMBER_ON_OUTPUT) != 0)
        task->output_limit_fails = spec->output_limit_fails;
}

static bool task_read(struct engine *e, int64_t no, struct arena *a, struct task *ret,
                      struct err *err)
{
    struct slice wire;
    if (!jobs_task(e->store, no, a, &wire, err))
        return false;
    if (wire.ptr == NULL)
        return err_set(err, ERR_RESULT_EXPIRED, "What the job has to run is gone");
    struct err damaged = {0};
    if (!task_decode(wire, a, ret, &damaged))
        return err_set(err, ERR_STORAGE, "the stored task of job %lld is damaged: %s",
                       (long long)no, damaged.detail);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * change */

/* What an element of a batch has from its template, or has to do together with the others, cannot
 * be changed for it alone. */
static bool check_element(const struct job_row *row, uint32_t members, struct err *err)
{
    static const struct {
        uint32_t members;
        const char *pointer;
    } shared[] = {
        {MEMBER_NAME, "/name"},   {MEMBER_LABELS, "/labels"},   {MEMBER_METADATA, "/metadata"},
        {MEMBER_RETRY, "/retry"}, {MEMBER_TIMEOUT, "/timeout"}, {MEMBER_DEADLINE, "/deadline"},
        {ALL_LIMITS, "/limits"},
    };
    for (size_t i = 0; i < ARRAY_LEN(shared); i++)
        if ((row->flags & JOB_ITEM) != 0 && (members & shared[i].members) != 0)
            return err_at(err, ERR_INVALID, shared[i].pointer,
                          "is the same for all elements of a batch and cannot be changed for one");
    if ((row->flags & JOB_GANG) != 0 && (members & WHEN_IT_STARTS) != 0)
        return err_set(err, ERR_INVALID,
                       "The stages of a pipeline start together: priority, queue and time of one "
                       "of them cannot be changed");
    return true;
}

static bool change_task(struct engine *e, const struct command *cmd, const struct job_row *row,
                        struct buf *wire, struct err *err)
{
    AUTO_ARENA struct arena a = {0};
    uint32_t members = cmd->change.members;
    const struct job_spec *spec = cmd->change.spec;
    struct task task;
    arena_init(&a, MAX_TASK_MEMORY);
    if (!task_read(e, row->no, &a, &task, err))
        return false;
    task_take_limits(&task, members, spec);
    if ((members & MEMBER_TIMEOUT) != 0)
        task.timeout_us = spec->timeout_us;
    if ((members & MEMBER_DEADLINE) != 0)
        task.deadline_us = spec->deadline_us == 0 ? 0 : row->created_us + spec->deadline_us;
    return task_encode(&task, wire, err);
}

bool apply_job_change(struct engine *e, struct command *cmd, struct err *err)
{
    AUTO_BUF struct buf wire = {0};
    struct job_row row;
    uint32_t members = cmd->change.members;
    if (!jobs_get(e->store, &cmd->change.id, &row, err) || !check_element(&row, members, err) ||
        !dispatch_settle(&e->dispatch, &e->turn, row.no, err) ||
        !jobs_get_by_no(e->store, row.no, &row, err) ||
        !apply_if_version(&row, cmd->change.if_version, err))
        return false;
    e->dispatch.dirty = true; /* the order may be another one */
    buf_init(&wire, MAX_TASK_MEMORY);
    bool waits = row.state == JOB_SCHEDULED || row.state == JOB_BLOCKED || row.state == JOB_QUEUED;
    if (waits && (members & IN_TASK) != 0 && !change_task(e, cmd, &row, &wire, err))
        return false;
    struct job_patch patch = {
        .no = row.no,
        .members = members,
        .spec = cmd->change.spec,
        .task = buf_slice(&wire),
        .now_us = e->turn.now_us,
        .due_us = cmd->change.due_us,
    };
    if (!jobs_change(e->store, &patch, err))
        return false;
    apply_due_at(e, patch.wake_us);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * retry */

/* A deadline counts from the retry. An element's one is in its batch's template. */
static bool renew_deadline(struct engine *e, const struct job_row *row, struct buf *wire,
                           struct err *err)
{
    AUTO_ARENA struct arena a = {0};
    struct task task;
    if (row->deadline_us == 0 || (row->flags & JOB_ITEM) != 0)
        return true;
    arena_init(&a, MAX_TASK_MEMORY);
    if (!task_read(e, row->no, &a, &task, err))
        return false;
    task.deadline_us = e->turn.now_us + (row->deadline_us - row->created_us);
    return task_encode(&task, wire, err);
}

/* An element is let in by its batch, which may just be cancelling all that waits. */
static bool ask_batch(struct engine *e, const struct job_row *row, bool *ret_gated, struct err *err)
{
    struct err missing = {0};
    const struct batch *b;
    *ret_gated = false;
    if (row->batch == 0)
        return true;
    if (!batch_get_by_no(e->store, row->batch, &b, &missing))
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    if ((b->work & BATCH_WORK_CANCEL) != 0)
        return err_set(err, ERR_STATE_CONFLICT,
                       "Its batch is being cancelled; retry it when that is over");
    if ((row->flags & JOB_ITEM) == 0)
        return true;
    return chunk_holds_back(e, b, row->idx, ret_gated, err);
}

static bool let_in(struct engine *e, int64_t batch, struct err *err)
{
    const struct batch *b;
    return batch_get_by_no(e->store, batch, &b, err) && batch_fill(e, b, err);
}

bool apply_job_retry(struct engine *e, const struct job_id *id, int64_t if_version, struct err *err)
{
    AUTO_BUF struct buf wire = {0};
    struct job_row row;
    if (!jobs_get(e->store, id, &row, err) || !apply_if_version(&row, if_version, err) ||
        !pools_admit_queue(e, row.queue, err))
        return false;
    if ((row.flags & JOB_GANG) != 0)
        return err_set(err, ERR_INVALID,
                       "The stages of a pipeline run together: submit the pipeline once more");
    buf_init(&wire, MAX_TASK_MEMORY);
    if (job_state_is_end(row.state) && !renew_deadline(e, &row, &wire, err))
        return false;
    struct job_again again = {.no = row.no, .now_us = e->turn.now_us, .task = buf_slice(&wire)};
    if (!ask_batch(e, &row, &again.gated, err) || !jobs_retry_again(e->store, &again, err))
        return false;
    turn_drop_files(&e->turn, again.files, again.n_files);
    apply_due_at(e, again.wake_us);
    e->dispatch.dirty = true;
    return !again.gated || let_in(e, row.batch, err);
}
