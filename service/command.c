/* SPDX-License-Identifier: MIT */
#include "service/command.h"

#include "pool/task.h"

/* Room for the largest command line and standard input of one request, with its framing. */
#define MAX_TASK_BYTES (8u << 20)
/* A look at 65,536 rows of a batch takes as long as so many insertions. */
#define LOOK_JOBS 512u

static enum task_kind kind_of(const struct job_spec *spec)
{
    static const enum task_kind kinds[FUNCTION_KIND_COUNT] = {[FUNCTION_COMMAND] = TASK_COMMAND,
                                                              [FUNCTION_NATIVE] = TASK_NATIVE,
                                                              [FUNCTION_RUNNER] = TASK_RUNNER};
    PRE(spec->kind < FUNCTION_KIND_COUNT);
    return kinds[spec->kind];
}

bool command_encode(const struct job_spec *spec, const struct command_frame *frame, struct arena *a,
                    struct slice *ret, struct err *err)
{
    struct task task = {
        .kind = kind_of(spec),
        .argv = spec->argv,
        .n_argv = spec->n_argv,
        .env = spec->env,
        .n_env = spec->n_env,
        .cwd = spec->cwd,
        .stdin_bytes = spec->stdin_bytes,
        .stdin_open = spec->stdin_open,
        .is_pure = spec->is_pure,
        .timeout_us = spec->timeout_us,
        .deadline_us = frame->deadline_us,
        .stop_signal = spec->stop_signal,
        .stop_grace_us = spec->stop_grace_us,
        .limit_output = spec->limit_output,
        .limit_memory = spec->limit_memory,
        .limit_file_size = spec->limit_file_size,
        .limit_cpu_us = spec->limit_cpu_us,
        .limit_processes = spec->limit_processes,
        .limit_open_files = spec->limit_open_files,
        .output_limit_fails = spec->output_limit_fails,
    };
    task.outputs = spec->outputs;
    task.n_outputs = spec->n_outputs;
    task.n_files = spec->n_files;
    task.files = arena_alloc(a, (spec->n_files + 1) * sizeof *task.files);
    for (uint32_t i = 0; i < spec->n_files && task.files != NULL; i++)
        task.files[i] = (struct task_file){spec->files[i].name, spec->files[i].bytes};
    AUTO_BUF struct buf wire = {0};
    buf_init(&wire, task.files == NULL ? 0 : MAX_TASK_BYTES);
    buf_append(&wire, frame->prefix.ptr, frame->prefix.len);
    if (!task_encode(&task, &wire, err))
        return err_wrap(err, "encode task");
    void *copy = arena_alloc(a, wire.len);
    if (copy == NULL)
        return err_set(
            err, ERR_TOO_LARGE,
            "The command with its input takes %zu bytes, which is too much for one request",
            wire.len);
    memcpy(copy, wire.ptr, wire.len);
    *ret = (struct slice){copy, wire.len};
    return true;
}

bool command_prepare(struct submit_item *item, int64_t now_us, struct arena *a, struct err *err)
{
    const struct job_spec *spec = &item->spec;
    struct command_frame frame = {spec->deadline_us == 0 ? 0 : now_us + spec->deadline_us, {0}};
    if (!command_encode(spec, &frame, a, &item->task, err))
        return false;
    item->created_us = now_us;
    /* Without a delay no time at all: this moment may be later than that of the turn which takes
     * the command, and the job would be born `scheduled`. */
    item->due_us = spec->run_at_us != 0  ? spec->run_at_us
                   : spec->delay_us != 0 ? now_us + spec->delay_us
                                         : 0;
    return true;
}

bool batch_wish_is_fulfilled(const struct batch_wish *wish, const struct batch *b)
{
    bool wants_any = wish->min_done == 0 && wish->min_ended == 0 && wish->min_elements == 0 &&
                     !wish->on_failure;
    return wants_any || batch_is_over(b) ||
           (wish->min_done != 0 && batch_done(b) >= wish->min_done) ||
           (wish->min_ended != 0 && b->ended >= wish->min_ended) ||
           (wish->min_elements != 0 && b->n >= wish->min_elements) ||
           (wish->on_failure && b->count[JOB_FAILED] > 0);
}

static size_t jobs_of(const struct submit_item *items, uint32_t n_items)
{
    size_t n = n_items;
    for (uint32_t i = 0; i < n_items; i++)
        n += items[i].spec.n_parents / 2;
    return n;
}

/* One cancel of a whole batch only marks it. */
static size_t picked(const struct batch_pick *pick)
{
    int64_t n = 0;
    for (uint32_t i = 0; pick->by_index && i < pick->n_ranges && n < MAX_PICKED; i++)
        n += pick->ranges[i].n;
    return (size_t)MIN(n, MAX_PICKED);
}

/* Every kind is named, so that a new one is thought of. */
size_t command_jobs(const struct command *cmd)
{
    switch (cmd->kind) {
    case CMD_SUBMIT: return 1 + jobs_of(cmd->submit.items, cmd->submit.n);
    case CMD_GRAPH: return 1 + jobs_of(cmd->graph.items, cmd->graph.n);
    case CMD_PIPELINE: return 1 + cmd->pipeline.n;
    case CMD_BATCH:
    case CMD_BATCH_ADD: return 1 + cmd->batch.n_items;
    case CMD_BATCH_CANCEL: return 1 + picked(&cmd->pick);
    case CMD_BATCH_RETRY: return MAX_RETRIED + LOOK_JOBS;
    case CMD_BULK: return 1 + cmd->bulk.n;
    case CMD_PURGE: return 1 + MAX_PURGED;
    case CMD_CANCEL:
    case CMD_FORGET:
    case CMD_DELIVERED:
    case CMD_CHANGE:
    case CMD_RETRY:
    case CMD_REACH:
    case CMD_FEED:
    case CMD_FEED_BREAK:
    case CMD_BATCH_BREAK:
    case CMD_BLOB:
    case CMD_BLOB_DELETE:
    case CMD_BLOB_WRITE:
    case CMD_QUEUE:
    case CMD_POOL:
    case CMD_WORKER:
    case CMD_PARK:
    case CMD_UNPARK: break;
    }
    return 1;
}
