/* SPDX-License-Identifier: MIT */
/* Wire form, version 1: four bytes (version, kind, flags, stop signal), then unsigned LEB128
 * numbers and strings. It is stored with every job, so it is small (about 25 bytes beside the
 * strings) and the same on every machine. A string is its length, its bytes and a NUL that the
 * length does not count, so that exec can use it where it lies. */
#include "pool/task.h"

#include <signal.h>

#define WIRE_VERSION 1
#define WIRE_MAX_SIGNAL 64
#define VARINT_MAX 10 /* bytes of a 64-bit number, 7 bits in each */

enum wire_flag { WIRE_HAS_CWD = 1, WIRE_OUTPUT_LIMIT_FAILS = 2, WIRE_ALL_FLAGS = 3 };

static size_t put_varint(char out[VARINT_MAX], uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (char)(unsigned char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (char)(unsigned char)v;
    return n;
}

static void append_number(struct buf *out, uint64_t v)
{
    char bytes[VARINT_MAX];
    buf_append(out, bytes, put_varint(bytes, v));
}

static void append_string(struct buf *out, struct slice s)
{
    append_number(out, s.len);
    buf_append(out, s.ptr, s.len);
    buf_putc(out, '\0');
}

static bool has_nul(struct slice s)
{
    return s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL;
}

static bool is_env(struct slice s)
{
    const char *equals = s.len == 0 ? NULL : memchr(s.ptr, '=', s.len);
    return equals != NULL && equals != s.ptr && !has_nul(s);
}

static bool check_strings(const struct task *task, struct err *err)
{
    for (uint32_t i = 0; i < task->n_argv; i++)
        if (has_nul(task->argv[i]))
            return err_set(err, ERR_INVALID, "argument %u contains a NUL byte", i);
    for (uint32_t i = 0; i < task->n_env; i++)
        if (!is_env(task->env[i]))
            return err_set(err, ERR_INVALID, "environment entry %u is not NAME=value", i);
    if (task->argv[0].len == 0)
        return err_set(err, ERR_INVALID, "the name of the program is empty");
    if (has_nul(task->cwd) || (task->cwd.ptr != NULL && task->cwd.len == 0))
        return err_set(err, ERR_INVALID, "the directory is empty or contains a NUL byte");
    return true;
}

static bool check_task(const struct task *task, struct err *err)
{
    if (task->kind != TASK_COMMAND)
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
    if (task->stop_signal < 0 || task->stop_signal > WIRE_MAX_SIGNAL)
        return err_set(err, ERR_INVALID, "unknown signal %d", task->stop_signal);
    return check_strings(task, err);
}

bool task_encode(const struct task *task, struct buf *out, struct err *err)
{
    if (!check_task(task, err))
        return false;
    const int stop_signal = task->stop_signal == 0 ? SIGTERM : task->stop_signal;
    const int flags = (task->cwd.ptr != NULL ? WIRE_HAS_CWD : 0) |
                      (task->output_limit_fails ? WIRE_OUTPUT_LIMIT_FAILS : 0);
    const char head[4] = {WIRE_VERSION, (char)task->kind, (char)flags, (char)stop_signal};

    buf_append(out, head, sizeof(head));
    append_number(out, (uint64_t)task->timeout_us);
    append_number(out, (uint64_t)task->deadline_us);
    append_number(out, (uint64_t)task->stop_grace_us);
    append_number(out, task->limit_output);
    append_number(out, task->limit_memory);
    append_number(out, task->limit_file_size);
    append_number(out, (uint64_t)task->limit_cpu_us);
    append_number(out, task->limit_processes);
    append_number(out, task->limit_open_files);
    append_number(out, task->n_argv);
    append_number(out, task->n_env);
    for (uint32_t i = 0; i < task->n_argv; i++)
        append_string(out, task->argv[i]);
    for (uint32_t i = 0; i < task->n_env; i++)
        append_string(out, task->env[i]);
    if (task->cwd.ptr != NULL)
        append_string(out, task->cwd);
    append_number(out, task->stdin_bytes.len);
    buf_append(out, task->stdin_bytes.ptr, task->stdin_bytes.len);
    if (!buf_ok(out))
        return err_set(err, ERR_TOO_LARGE, "the command with its input passes %zu bytes", out->max);
    return true;
}

/* Reads on from where it is; once something is wrong it stays wrong and gives zeros. */
struct reader {
    const char *at, *end;
    bool bad;
};

static uint64_t read_number(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; !r->bad && shift < 64; shift += 7) {
        if (r->at == r->end)
            break;
        const unsigned char byte = (unsigned char)*r->at++;
        const uint64_t part = byte & 0x7f;
        if (shift == 63 && part > 1)
            break;
        v |= part << shift;
        if ((byte & 0x80) == 0) {
            /* Only the shortest form: equal tasks have equal bytes. */
            if (byte == 0 && shift > 0)
                break;
            return v;
        }
    }
    r->bad = true;
    return 0;
}

static int64_t read_i64(struct reader *r)
{
    const uint64_t v = read_number(r);
    if (v > INT64_MAX) {
        r->bad = true;
        return 0;
    }
    return (int64_t)v;
}

static uint32_t read_u32(struct reader *r, uint32_t max)
{
    const uint64_t v = read_number(r);
    if (v > max) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)v;
}

static struct slice read_bytes(struct reader *r, size_t tail)
{
    const uint64_t len = read_number(r);
    const size_t left = (size_t)(r->end - r->at);
    if (r->bad || left < tail || len > left - tail) {
        r->bad = true;
        return (struct slice){NULL, 0};
    }
    const struct slice s = {r->at, (size_t)len};
    r->at += len + tail;
    return s;
}

static struct slice read_string(struct reader *r)
{
    const struct slice s = read_bytes(r, 1);
    if (!r->bad && (s.ptr[s.len] != '\0' || has_nul(s)))
        r->bad = true;
    return s;
}

static struct slice *read_strings(struct reader *r, struct arena *a, uint32_t n)
{
    /* Each string takes two bytes at least, so a small lie cannot ask for much memory. */
    if (r->bad || (size_t)(r->end - r->at) / 2 < n) {
        r->bad = true;
        return NULL;
    }
    struct slice *all = arena_alloc(a, (n + 1) * sizeof(*all));
    if (all == NULL) {
        r->bad = true;
        return NULL;
    }
    for (uint32_t i = 0; i < n && !r->bad; i++)
        all[i] = read_string(r);
    return all;
}

bool task_decode(struct slice wire, struct arena *a, struct task *ret, struct err *err)
{
    struct task task = {0};
    struct reader r = {wire.ptr, wire.ptr + wire.len, false};

    if (wire.len < 4 || wire.ptr[0] != WIRE_VERSION)
        return err_set(err, ERR_INVALID, "not a stored task of version %d", WIRE_VERSION);
    const unsigned flags = (unsigned char)wire.ptr[2];
    task.kind = (enum task_kind)(unsigned char)wire.ptr[1];
    task.stop_signal = (unsigned char)wire.ptr[3];
    task.output_limit_fails = (flags & WIRE_OUTPUT_LIMIT_FAILS) != 0;
    r.at += 4;
    task.timeout_us = read_i64(&r);
    task.deadline_us = read_i64(&r);
    task.stop_grace_us = read_i64(&r);
    task.limit_output = (uint64_t)read_i64(&r);
    task.limit_memory = (uint64_t)read_i64(&r);
    task.limit_file_size = (uint64_t)read_i64(&r);
    task.limit_cpu_us = read_i64(&r);
    task.limit_processes = read_u32(&r, UINT32_MAX);
    task.limit_open_files = read_u32(&r, UINT32_MAX);
    task.n_argv = read_u32(&r, TASK_MAX_ARGS);
    task.n_env = read_u32(&r, TASK_MAX_ENV);
    task.argv = read_strings(&r, a, task.n_argv);
    task.env = read_strings(&r, a, task.n_env);
    if ((flags & WIRE_HAS_CWD) != 0)
        task.cwd = read_string(&r);
    task.stdin_bytes = read_bytes(&r, 0);
    if (r.bad || r.at != r.end || (flags & ~(unsigned)WIRE_ALL_FLAGS) != 0 || task.stop_signal == 0)
        return err_set(err, ERR_INVALID, "the stored task is damaged");
    if (!check_task(&task, err))
        return false;
    *ret = task;
    return true;
}

size_t task_env_size(const struct slice *env, uint32_t n_env)
{
    size_t size = VARINT_MAX;
    for (uint32_t i = 0; i < n_env; i++)
        size += VARINT_MAX + env[i].len + 1;
    return size;
}

size_t task_env_write(char *out, const struct slice *env, uint32_t n_env)
{
    char *at = out;
    at += put_varint(at, n_env);
    for (uint32_t i = 0; i < n_env; i++) {
        at += put_varint(at, env[i].len);
        memcpy(at, env[i].ptr, env[i].len);
        at += env[i].len;
        *at++ = '\0';
    }
    return (size_t)(at - out);
}

bool task_env_read(struct slice *bytes, struct arena *a, struct slice **ret_env, uint32_t *ret_n)
{
    struct reader r = {bytes->ptr, bytes->ptr + bytes->len, false};
    const uint32_t n = read_u32(&r, TASK_MAX_ENV);
    struct slice *env = read_strings(&r, a, n);

    for (uint32_t i = 0; i < n && !r.bad; i++)
        r.bad = !is_env(env[i]);
    if (r.bad)
        return false;
    *bytes = (struct slice){r.at, (size_t)(r.end - r.at)};
    *ret_env = env;
    *ret_n = n;
    return true;
}
