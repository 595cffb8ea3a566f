/* SPDX-License-Identifier: MIT */
/* One task in its worker: what it takes is made ready, it runs, what it leaves is kept. */
#include "pool/inputs.h"
#include "pool/nursery.h"
#include "pool/outputs.h"
#include "pool/worker_impl.h"

#include <errno.h>
#include <inttypes.h>

static struct slice make_marker(struct worker *w, const struct bank *bank)
{
    const size_t size = MARKER_MAX + 40;
    char *text = arena_alloc(&w->arena, size);
    if (text == NULL || w->cfg->marker[0] == '\0')
        return (struct slice){NULL, 0};
    (void)snprintf(text, size, "%s.%" PRId64 ".%" PRIu32, w->cfg->marker, bank->job_no,
                   bank->attempt);
    return slice_of(text);
}

/* The program of a task: everything it needs is made ready. False: the bank says why not. */
static bool prepare(struct worker *w, struct bank *bank, struct inputs *inputs, struct proc *proc)
{
    const struct task *task = inputs->task;
    struct err err = {0};
    int stdin_fd = -1;

    if (task->n_outputs > 0 && task->cwd.ptr != NULL) {
        drive_refuse(bank, TASK_EXEC_FAILED, EINVAL, "outputs are of the task's own directory");
        return false;
    }
    if (!inputs_put_arguments(inputs, &w->arena) || !inputs_put_env(inputs, &w->arena)) {
        drive_refuse(bank, inputs->end, inputs->error, inputs->text);
        return false;
    }
    const struct proc_source source = {.task = task,
                                       .extra = inputs->extra->env,
                                       .n_extra = inputs->extra->n_env,
                                       .marker = make_marker(w, bank),
                                       .path = w->cfg->path};
    if (!proc_prepare(proc, &source, &w->arena)) {
        drive_refuse(bank, TASK_EXEC_FAILED, E2BIG, "the command has too many parts");
        return false;
    }
    if (task->cwd.ptr == NULL) {
        if (!workdir_prepare(&w->workdir, &err)) {
            drive_refuse(bank, TASK_START_FAILED, err.sys_errno, err.detail);
            return false;
        }
        proc->cwd_fd = w->workdir.fd;
    }
    if (!inputs_make_files(inputs, proc->cwd_fd) || !inputs_open_stdin(inputs, &stdin_fd)) {
        drive_refuse(bank, inputs->end, inputs->error, inputs->text);
        return false;
    }
    proc->fds[0] = stdin_fd;
    for (; proc->n_blobs < inputs->n_blobs; proc->n_blobs++)
        proc->blob_fds[proc->n_blobs] = inputs->blobs[proc->n_blobs].fd;
    return true;
}

/* Those of a task that has ended well. */
static void keep_outputs(const struct worker *w, struct bank *bank, const struct task *task)
{
    const struct outputs outputs = {
        .data_fd = w->io.data_fd, .dir_fd = w->workdir.fd, .max_bytes = w->cfg->blob_max_size};

    if (task->n_outputs > 0)
        outputs_keep(&outputs, task, bank);
}

/* Takes stdin and stdout out of `fds` once it needs them. False: server or zygote died. */
static bool run_command(struct worker *w, struct bank *bank, struct inputs *inputs,
                        struct frame_fds *fds)
{
    struct proc proc = {.cwd_fd = -1, .fds = {-1, -1, -1}};

    if (!prepare(w, bank, inputs, &proc))
        return true;
    if (proc.fds[0] < 0)
        proc.fds[0] = steal_fd(&fds->fd[START_STDIN]);
    proc.fds[1] = steal_fd(&fds->fd[START_STDOUT]);
    if (drive_run(&w->io, bank, inputs->task, &proc) != DRIVE_DONE)
        return false;
    if (bank->report.end == TASK_EXITED && bank->report.exit_code == 0 &&
        bank->report.stop_sent == 0)
        keep_outputs(w, bank, inputs->task);
    return true;
}

/* As run_command. */
static bool run_function(struct worker *w, struct bank *bank, struct inputs *inputs,
                         const struct frame_fds *fds)
{
    bool takes_others = fds->fd[START_STDIN] >= 0 || fds->fd[START_STDOUT] >= 0;

    for (uint32_t i = 0; i < inputs->extra->n_inputs; i++) {
        const struct task_input *input = &inputs->extra->inputs[i];
        takes_others = takes_others || !input->is_blob || input->kind != INPUT_FILE;
    }
    if (takes_others) {
        drive_refuse(bank, TASK_EXEC_FAILED, EINVAL,
                     "a function takes its arguments and blobs alone");
        return true;
    }
    if (inputs->task->kind == TASK_RUNNER)
        return runners_run(&w->runners, bank, inputs) == DRIVE_DONE;
    w->native.nursery = nursery_thread(w->runners.nursery);
    native_run(&w->native, bank, inputs);
    return true;
}

bool worker_run_task(struct worker *w, struct bank *bank, struct slice input, struct frame_fds *fds)
{
    struct err err = {0};
    struct task task;
    struct slice wire = input;
    struct task_extra extra = {0};
    struct inputs inputs = {.task = &task, .extra = &extra, .data_fd = w->io.data_fd};
    bool is_wanted = true;

    if (!task_extra_read(&wire, &w->arena, &extra) || !task_decode(wire, &w->arena, &task, &err)) {
        drive_refuse(bank, TASK_EXEC_FAILED, EINVAL, "the stored task is damaged");
        return true;
    }
    if (task.kind != TASK_NATIVE)
        native_make_way(&w->native);
    if (!inputs_open_blobs(&inputs, fds))
        drive_refuse(bank, inputs.end, inputs.error, inputs.text);
    else if (task.kind == TASK_COMMAND)
        is_wanted = run_command(w, bank, &inputs, fds);
    else
        is_wanted = run_function(w, bank, &inputs, fds);
    inputs_release(&inputs);
    return is_wanted;
}
