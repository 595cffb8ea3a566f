/* SPDX-License-Identifier: MIT */
#include "pool/runner.h"

#include "pool/runner_call.h"
#include "pool/tree.h"

#include <errno.h>
#include <inttypes.h>

#define PROGRAM_MAX ((size_t)64 << 10) /* of what a text of 4 KiB says */

/* ------------------------------------------------------------------------------------------------
 * a task */

static const struct function *find_function(const struct runners *all, struct slice name)
{
    const struct function *f = all->functions == NULL ? NULL : function_find(all->functions, name);
    return f != NULL && f->kind == FUNCTION_RUNNER ? f : NULL;
}

static uint32_t runner_functions(const struct runners *all)
{
    return all->functions == NULL ? 0 : all->functions->n;
}

static struct runner_past *past_of(const struct runners *all, const struct function *program)
{
    return &all->past[runner_is_of_pool(all, program) ? runner_functions(all)
                                                      : (size_t)(program - all->functions->items)];
}

static void make_places(struct runners *all)
{
    if (all->places != NULL)
        return;
    all->places = must_alloc(RUNNERS_MAX * sizeof(*all->places));
    all->past = must_alloc((runner_functions(all) + 1) * sizeof(*all->past));
}

static bool is_usable(struct runners *all, struct runner *r)
{
    struct runner_end end;
    if (r->says_bye) {
        runner_quit(all, r, &end);
        return false;
    }
    if (runner_look(r))
        return true;
    runner_kill(all, r, &end);
    return false;
}

static struct runner *find_runner(struct runners *all, const struct function *function)
{
    for (uint32_t i = 0; i < RUNNERS_MAX; i++) {
        struct runner *r = &all->places[i];
        if (r->function == function && !r->is_stuck)
            return is_usable(all, r) ? r : NULL;
    }
    return NULL;
}

static struct slice variable(const struct task_extra *extra, const char *name)
{
    const size_t len = strlen(name);
    for (uint32_t i = 0; i < extra->n_env; i++) {
        const struct slice pair = extra->env[i];
        if (pair.len > len && memcmp(pair.ptr, name, len) == 0 && pair.ptr[len] == '=')
            return (struct slice){pair.ptr + len + 1, pair.len - len - 1};
    }
    return (struct slice){NULL, 0};
}

static void init_call(struct runner_call *call, const struct task_extra *extra)
{
    struct runners *all = call->all;
    const struct task *task = call->task;

    call->result_fd = call->data_fd = call->child_fd = -1;
    call->term_at_ns = call->kill_at_ns = call->eof_by_ns = NEVER;
    call->exit_by_ns = NEVER;
    call->timeout_at_ns = task_timeout_at(task, clock_mono_ns());
    teller_init(&call->teller, call->all->io->sock, call->bank);
    (void)snprintf(call->number, sizeof(call->number), "%" PRId64, call->bank->job_no);
    call->id = variable(extra, "GANGER_JOB_ID");
    call->name = variable(extra, "GANGER_JOB_NAME");
    call->url = variable(extra, "GANGER_URL");
    call->token = variable(extra, "GANGER_TOKEN");
    if (call->id.len == 0 || call->id.len > RUNNER_ID_MAX)
        call->id = slice_of(call->number);
    for (int stream = 0; stream < 2; stream++) {
        call->out[stream].null_fd = all->io->null_fd;
        call->out[stream].data_fd = all->io->data_fd;
        capture_init(&call->out[stream], call->bank, stream, -1, task->limit_output);
    }
}

/* Why the task cannot run here; NULL: it can. */
static const char *obstacle(const struct runner_call *call, const struct task *task)
{
    if (call->function == NULL)
        return "there is no such function any more";
    if (call->program->n_argv == 0)
        return "neither the function nor its pool has a runner";
    if (task->n_env > 0 || task->cwd.ptr != NULL || task->n_files > 0)
        return "a call of a runner has no environment, directory or files of its own";
    return NULL;
}

enum drive_result runners_run(struct runners *all, struct bank *bank, const struct inputs *inputs)
{
    const struct task *task = inputs->task;
    struct runner_call call = {.all = all, .bank = bank, .task = task, .inputs = inputs};

    call.function = find_function(all, task->argv[0]);
    call.program = call.function == NULL || call.function->n_argv > 0 ? call.function : &all->own;
    const char *why = obstacle(&call, task);
    drive_refuse(bank, TASK_EXEC_FAILED, why == NULL ? 0 : EINVAL, why == NULL ? "" : why);
    if (why != NULL)
        return DRIVE_DONE;
    make_places(all);
    call.past = past_of(all, call.program);
    call.runner = find_runner(all, call.program);
    init_call(&call, inputs->extra);
    if (call.runner == NULL && call.past->failed >= RUNNER_MAX_FAILED &&
        clock_mono_ns() < call.past->not_before_ns) {
        drive_refuse(bank, TASK_EXEC_FAILED, EINVAL, call.past->text);
        return DRIVE_DONE;
    }
    runner_call_run(&call);
    return call.is_abandoned ? DRIVE_ABANDONED : DRIVE_DONE;
}

/* ------------------------------------------------------------------------------------------------
 * between tasks */

size_t runners_watch(const struct runners *all, struct pollfd fds[RUNNERS_MAX_FDS])
{
    size_t n = 0;
    for (uint32_t i = 0; all->places != NULL && i < RUNNERS_MAX; i++) {
        const struct runner *r = &all->places[i];
        if (r->function == NULL || r->is_stuck)
            continue;
        const int each[] = {r->pidfd, r->from_fd, r->stream_fd[0], r->stream_fd[1]};
        for (size_t k = 0; k < ARRAY_LEN(each); k++)
            fds[n++] = (struct pollfd){.fd = each[k], .events = POLLIN};
    }
    return n;
}

static uint64_t due_ns(const struct runner *r)
{
    if (r->says_bye)
        return 0;
    return MIN(r->is_ready ? r->ping_at_ns : r->boot_by_ns, r->pong_by_ns);
}

int runners_wait_ms(const struct runners *all)
{
    const uint64_t now_ns = clock_mono_ns();
    uint64_t at_ns = UINT64_MAX;
    for (uint32_t i = 0; all->places != NULL && i < RUNNERS_MAX; i++)
        if (all->places[i].function != NULL && !all->places[i].is_stuck)
            at_ns = MIN(at_ns, due_ns(&all->places[i]));
    if (at_ns == UINT64_MAX)
        return -1;
    return at_ns <= now_ns ? 0 : (int)MIN((at_ns - now_ns) / 1000000 + 1, UINT64_C(60000));
}

static const char *look_at(struct runners *all, struct runner *r, uint64_t now_ns,
                           char ret[TASK_ERROR_TEXT])
{
    struct runner_call call = {.all = all,
                               .runner = r,
                               .function = r->function,
                               .program = r->function,
                               .result_fd = -1,
                               .child_fd = -1};

    runner_drain(r);
    runner_flush(r);
    if (!runner_call_hear(&call)) {
        (void)snprintf(ret, TASK_ERROR_TEXT, "%s", call.broken);
        return ret;
    }
    if (runner_is_dead(r) || r->from_fd < 0)
        return runner_death(r, ret);
    if (!r->is_ready && now_ns >= r->boot_by_ns)
        return "no READY in time";
    if (now_ns >= r->pong_by_ns)
        return "no PONG in time";
    if (r->is_ready && now_ns >= r->ping_at_ns)
        runner_ping(r);
    return NULL;
}

static void attend(struct runners *all, struct runner *r)
{
    char text[TASK_ERROR_TEXT];
    struct runner_end end;
    const char *name = r->function->name;
    const char *whose = runner_is_of_pool(all, r->function) ? "pool" : "function";
    const char *why = look_at(all, r, clock_mono_ns(), text);

    if (why == NULL && r->says_bye) {
        runner_quit(all, r, &end);
    } else if (why != NULL) {
        runner_kill(all, r, &end);
        log_event(all->log, LOG_WARN, "idle runner is replaced", LOG_STR(whose, name),
                  LOG_STR("why", why));
    }
}

void runners_attend(struct runners *all)
{
    struct tree orphans = {0};
    for (uint32_t i = 0; all->places != NULL && i < RUNNERS_MAX; i++)
        if (all->places[i].function != NULL && !all->places[i].is_stuck)
            attend(all, &all->places[i]);
    (void)tree_reap(&orphans);
}

/* ------------------------------------------------------------------------------------------------
 * the program of the pool */

/* Until it is ready. NULL, or why it is not. */
static const char *boot(struct runners *all, struct runner *r, char text[TASK_ERROR_TEXT])
{
    struct pollfd fds[RUNNERS_MAX_FDS + 2];
    bool is_asked = false;
    for (;;) {
        const char *why = look_at(all, r, clock_mono_ns(), text);
        if (why != NULL || r->is_ready)
            return why;
        if (r->is_greeted && !is_asked)
            runner_say_init(r);
        is_asked = r->is_greeted;
        const size_t n = runners_watch(all, fds);
        fds[n] = (struct pollfd){.fd = all->io->sock};
        fds[n + 1] = (struct pollfd){.fd = all->io->term_fd, .events = POLLIN};
        if (poll(fds, n + 2, runners_wait_ms(all)) > 0 &&
            (fds[n].revents != 0 || fds[n + 1].revents != 0))
            return "the service has ended";
    }
}

bool runners_open(struct runners *all, const struct slot_program *program, struct err *err)
{
    const struct runner_source source = {all, &all->own, NULL};
    char text[TASK_ERROR_TEXT];
    struct proc_started started = {.pidfd = -1};
    all->isolation = program->isolation;
    if (program->runner[0] == '\0')
        return true;
    arena_init(&all->arena, PROGRAM_MAX);
    if (!pool_runner_program(program->runner, &all->arena, &all->own, err))
        return false;
    all->own.name = arena_dup(&all->arena, slice_of(program->pool));
    all->own.start_timeout_us = program->timeout_us / 10 * 9; /* it speaks before the server does */
    make_places(all);
    if (runner_start(&all->places[0], &source, &started) != PROC_STARTED)
        return err_set(err, ERR_INTERNAL, "%.200s", started.text);
    const char *why = boot(all, &all->places[0], text);
    if (why == NULL) {
        runner_rest(&all->places[0]);
        return true;
    }
    runner_drain(&all->places[0]);
    const struct slice last = runner_last_line(
        (struct slice){all->places[0].tail, all->places[0].n_tail});
    return err_set(err, ERR_INTERNAL, "%.*s%s%.*s", 110, why, last.len > 0 ? ": " : "",
                   (int)MIN(last.len, (size_t)120), last.len > 0 ? last.ptr : "");
}

uint32_t runners_stuck(struct runners *all)
{
    uint32_t n = 0;
    for (uint32_t i = 0; all->places != NULL && i < RUNNERS_MAX; i++) {
        struct runner_end end;
        if (all->places[i].is_stuck && runner_is_dead(&all->places[i]))
            runner_kill(all, &all->places[i], &end);
        n += all->places[i].is_stuck;
    }
    return n;
}

void runners_end(struct runners *all)
{
    struct runner_end end;
    for (uint32_t i = 0; all->places != NULL && i < RUNNERS_MAX; i++)
        if (all->places[i].function != NULL)
            runner_kill(all, &all->places[i], &end);
}
