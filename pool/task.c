/* SPDX-License-Identifier: MIT */
/* Wire form, version 1: four bytes (version, kind, flags, stop signal), then numbers and strings
 * (wire.h). It is stored with every job, so it is small (about 25 bytes beside the strings) and the
 * same on every machine. */
#include "pool/task.h"

#include "service/base/wire.h"

#include <signal.h>

#define WIRE_VERSION 1
#define WIRE_MAX_SIGNAL 64

enum wire_flag {
    WIRE_HAS_CWD = 1,
    WIRE_OUTPUT_LIMIT_FAILS = 2,
    WIRE_HAS_FILES = 4,
    WIRE_HAS_OUTPUTS = 8,
    WIRE_STDIN_OPEN = 16,
    WIRE_PURE = 32,
    WIRE_ALL_FLAGS = 63
};

bool task_is_native(struct slice wire)
{
    return wire.len >= 4 && wire.ptr[1] == TASK_NATIVE;
}

bool task_is_command(struct slice wire)
{
    return wire.len >= 4 && wire.ptr[1] == TASK_COMMAND;
}

bool task_is_pure(struct slice wire)
{
    return wire.len >= 4 && ((unsigned char)wire.ptr[2] & WIRE_PURE) != 0;
}

bool task_stdin_is_open(struct slice wire)
{
    return wire.len >= 4 && ((unsigned char)wire.ptr[2] & WIRE_STDIN_OPEN) != 0;
}

int64_t task_stop_grace(struct slice wire)
{
    struct wire_reader r = {wire.ptr, wire.ptr + wire.len, wire.len < 4};

    if (!r.bad)
        r.at += 4;
    (void)wire_read_i64(&r); /* timeout */
    (void)wire_read_i64(&r); /* deadline */
    return wire_read_i64(&r);
}

uint64_t task_timeout_at(const struct task *task, uint64_t now_ns)
{
    const uint64_t longest_us = (UINT64_MAX - now_ns) / 1000 - 1;
    if (task->timeout_us <= 0 || (uint64_t)task->timeout_us > longest_us)
        return UINT64_MAX;
    return now_ns + (uint64_t)task->timeout_us * 1000;
}

bool task_is_env(struct slice s)
{
    const char *equals = s.len == 0 ? NULL : memchr(s.ptr, '=', s.len);
    return equals != NULL && equals != s.ptr && !wire_has_nul(s);
}

static bool check_strings(const struct task *task, struct err *err)
{
    for (uint32_t i = 0; i < task->n_argv; i++)
        if (wire_has_nul(task->argv[i]))
            return err_set(err, ERR_INVALID, "argument %u contains a NUL byte", i);
    for (uint32_t i = 0; i < task->n_env; i++)
        if (!task_is_env(task->env[i]))
            return err_set(err, ERR_INVALID, "environment entry %u is not NAME=value", i);
    if (task->argv[0].len == 0)
        return err_set(err, ERR_INVALID, "the name of the program is empty");
    if (wire_has_nul(task->cwd) || (task->cwd.ptr != NULL && task->cwd.len == 0))
        return err_set(err, ERR_INVALID, "the directory is empty or contains a NUL byte");
    return true;
}

static bool check_files(const struct task *task, struct err *err)
{
    if (task->n_files > TASK_MAX_INPUTS)
        return err_set(err, ERR_INVALID, "at most %d files", TASK_MAX_INPUTS);
    for (uint32_t i = 0; i < task->n_files; i++)
        if (!text_is_file_name(task->files[i].name))
            return err_set(err, ERR_INVALID, "file %u has no proper name", i);
    return true;
}

static bool check_outputs(const struct task *task, struct err *err)
{
    if (task->n_outputs > TASK_MAX_OUTPUTS)
        return err_set(err, ERR_INVALID, "at most %d outputs", TASK_MAX_OUTPUTS);
    for (uint32_t i = 0; i < task->n_outputs; i++)
        if (!blob_is_output_name(task->outputs[i]))
            return err_set(err, ERR_INVALID, "output %u has no proper name", i);
    return true;
}

static bool check_task(const struct task *task, struct err *err)
{
    if (task->kind < TASK_COMMAND || task->kind > TASK_RUNNER)
        return err_set(err, ERR_INVALID, "unknown kind of task %d", (int)task->kind);
    if (task->n_argv == 0 || task->n_argv > TASK_MAX_ARGS)
        return err_set(err, ERR_INVALID, "a command has 1 to %d arguments", TASK_MAX_ARGS);
    if (task->n_env > TASK_MAX_ENV)
        return err_set(err, ERR_INVALID, "at most %d environment entries", TASK_MAX_ENV);
    if (task->timeout_us < 0 || task->deadline_us < 0 || task->stop_grace_us < 0 ||
        task->limit_cpu_us < 0)
        return err_set(err, ERR_INVALID, "a duration is negative");
    if (task->limit_output > INT64_MAX || task->limit_memory > INT64_MAX ||
        task->limit_file_size > INT64_MAX)
        return err_set(err, ERR_INVALID, "a size is too large");
    if (task->stdin_open && (task->kind != TASK_COMMAND || task->stdin_bytes.len > 0))
        return err_set(err, ERR_INVALID, "the standard input is of two kinds");
    if (task->is_pure && task->kind == TASK_COMMAND)
        return err_set(err, ERR_INVALID, "a command is not pure");
    if (task->stop_signal < 0 || task->stop_signal > WIRE_MAX_SIGNAL)
        return err_set(err, ERR_INVALID, "unknown signal %d", task->stop_signal);
    return check_strings(task, err) && check_files(task, err) && check_outputs(task, err);
}

static void append_files(const struct task *task, struct buf *out)
{
    if (task->n_files == 0)
        return;
    wire_append_number(out, task->n_files);
    for (uint32_t i = 0; i < task->n_files; i++) {
        const struct task_file *file = &task->files[i];
        wire_append_string(out, file->name);
        wire_append_number(out, file->bytes.len);
        buf_append(out, file->bytes.ptr, file->bytes.len);
    }
}

bool task_encode(const struct task *task, struct buf *out, struct err *err)
{
    if (!check_task(task, err))
        return false;
    const int stop_signal = task->stop_signal == 0 ? SIGTERM : task->stop_signal;
    const int flags = (task->cwd.ptr != NULL ? WIRE_HAS_CWD : 0) |
                      (task->output_limit_fails ? WIRE_OUTPUT_LIMIT_FAILS : 0) |
                      (task->n_files > 0 ? WIRE_HAS_FILES : 0) |
                      (task->n_outputs > 0 ? WIRE_HAS_OUTPUTS : 0) |
                      (task->stdin_open ? WIRE_STDIN_OPEN : 0) | (task->is_pure ? WIRE_PURE : 0);
    const char head[4] = {WIRE_VERSION, (char)task->kind, (char)flags, (char)stop_signal};

    buf_append(out, head, sizeof(head));
    wire_append_number(out, (uint64_t)task->timeout_us);
    wire_append_number(out, (uint64_t)task->deadline_us);
    wire_append_number(out, (uint64_t)task->stop_grace_us);
    wire_append_number(out, task->limit_output);
    wire_append_number(out, task->limit_memory);
    wire_append_number(out, task->limit_file_size);
    wire_append_number(out, (uint64_t)task->limit_cpu_us);
    wire_append_number(out, task->limit_processes);
    wire_append_number(out, task->limit_open_files);
    wire_append_number(out, task->n_argv);
    wire_append_number(out, task->n_env);
    for (uint32_t i = 0; i < task->n_argv; i++)
        wire_append_string(out, task->argv[i]);
    for (uint32_t i = 0; i < task->n_env; i++)
        wire_append_string(out, task->env[i]);
    if (task->cwd.ptr != NULL)
        wire_append_string(out, task->cwd);
    wire_append_number(out, task->stdin_bytes.len);
    buf_append(out, task->stdin_bytes.ptr, task->stdin_bytes.len);
    append_files(task, out);
    if (task->n_outputs > 0)
        wire_append_number(out, task->n_outputs);
    for (uint32_t i = 0; i < task->n_outputs; i++)
        wire_append_string(out, task->outputs[i]);
    if (!buf_ok(out))
        return err_set(err, ERR_TOO_LARGE, "the command with its input passes %zu bytes", out->max);
    return true;
}

bool task_encode_lead(const struct task *task, struct buf *out, struct err *err)
{
    PRE(task->stdin_bytes.len == 0 && task->n_files == 0 && task->n_outputs == 0);

    if (!task_encode(task, out, err))
        return false;
    out->len--; /* the length of the input, which is last */
    return true;
}

size_t task_put_input(char *out, struct slice lead, struct slice input)
{
    size_t len = lead.len;

    _Static_assert(TASK_INPUT_HEAD == WIRE_NUMBER_MAX, "the length of the input");
    memcpy(out, lead.ptr, len);
    len += wire_put_number(out + len, input.len);
    if (input.len > 0)
        memcpy(out + len, input.ptr, input.len);
    return len + input.len;
}

static struct task_file *read_files(struct wire_reader *r, struct arena *a, uint32_t *ret_n)
{
    const uint32_t n = wire_read_u32(r, TASK_MAX_INPUTS);
    struct task_file *files = arena_alloc(a, (n + 1) * sizeof(*files));

    r->bad = r->bad || n == 0 || files == NULL;
    for (uint32_t i = 0; i < n && !r->bad; i++)
        files[i] = (struct task_file){wire_read_string(r), wire_read_bytes(r, 0)};
    *ret_n = r->bad ? 0 : n;
    return files;
}

static struct slice *read_outputs(struct wire_reader *r, struct arena *a, uint32_t *ret_n)
{
    *ret_n = wire_read_u32(r, TASK_MAX_OUTPUTS);
    r->bad = r->bad || *ret_n == 0;
    return wire_read_strings(r, a, *ret_n);
}

bool task_decode(struct slice wire, struct arena *a, struct task *ret, struct err *err)
{
    struct task task = {0};
    struct wire_reader r = {wire.ptr, wire.ptr + wire.len, false};

    if (wire.len < 4 || wire.ptr[0] != WIRE_VERSION)
        return err_set(err, ERR_INVALID, "not a stored task of version %d", WIRE_VERSION);
    const unsigned flags = (unsigned char)wire.ptr[2];
    task.kind = (enum task_kind)(unsigned char)wire.ptr[1];
    task.stop_signal = (unsigned char)wire.ptr[3];
    task.stdin_open = (flags & WIRE_STDIN_OPEN) != 0;
    task.is_pure = (flags & WIRE_PURE) != 0;
    task.output_limit_fails = (flags & WIRE_OUTPUT_LIMIT_FAILS) != 0;
    r.at += 4;
    task.timeout_us = wire_read_i64(&r);
    task.deadline_us = wire_read_i64(&r);
    task.stop_grace_us = wire_read_i64(&r);
    task.limit_output = (uint64_t)wire_read_i64(&r);
    task.limit_memory = (uint64_t)wire_read_i64(&r);
    task.limit_file_size = (uint64_t)wire_read_i64(&r);
    task.limit_cpu_us = wire_read_i64(&r);
    task.limit_processes = wire_read_u32(&r, UINT32_MAX);
    task.limit_open_files = wire_read_u32(&r, UINT32_MAX);
    task.n_argv = wire_read_u32(&r, TASK_MAX_ARGS);
    task.n_env = wire_read_u32(&r, TASK_MAX_ENV);
    task.argv = wire_read_strings(&r, a, task.n_argv);
    task.env = wire_read_strings(&r, a, task.n_env);
    if ((flags & WIRE_HAS_CWD) != 0)
        task.cwd = wire_read_string(&r);
    task.stdin_bytes = wire_read_bytes(&r, 0);
    if ((flags & WIRE_HAS_FILES) != 0)
        task.files = read_files(&r, a, &task.n_files);
    if ((flags & WIRE_HAS_OUTPUTS) != 0)
        task.outputs = read_outputs(&r, a, &task.n_outputs);
    if (r.bad || r.at != r.end || (flags & ~(unsigned)WIRE_ALL_FLAGS) != 0 || task.stop_signal == 0)
        return err_set(err, ERR_INVALID, "the stored task is damaged");
    if (!check_task(&task, err))
        return false;
    *ret = task;
    return true;
}
