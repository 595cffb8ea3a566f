/* SPDX-License-Identifier: MIT */
/* What a runner returns: into the slot, or by way of the spool. */
#include "pool/runner_call.h"

#include "pool/spool.h"
#include "service/base/json.h"
#include "service/base/value.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

bool runner_call_broken(struct runner_call *call, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(call->broken, sizeof(call->broken), fmt, args);
    va_end(args);
    return false;
}

/* "type: message", not cut within a character. */
void runner_call_error(struct runner_call *call, struct slice type, struct slice message)
{
    size_t len;
    (void)snprintf(call->error, sizeof(call->error), "%.*s: %.*s", (int)MIN(type.len, (size_t)80),
                   type.ptr, (int)MIN(message.len, sizeof(call->error)), message.ptr);
    len = strlen(call->error);
    while (len > 0 && !text_is_utf8((struct slice){call->error, len}))
        len--;
    call->error[len] = '\0';
}

void runner_call_drop_result(struct runner_call *call)
{
    if (call->result_fd < 0)
        return;
    (void)close(steal_fd(&call->result_fd));
    spool_remove(call->all->io->data_fd, call->bank->job_no, call->bank->attempt, STREAM_VALUE);
}

static bool result_failed(struct runner_call *call, const char *type, const char *message)
{
    call->answer = ANSWER_ERROR;
    runner_call_error(call, slice_of(type), slice_of(message));
    runner_call_drop_result(call);
    return true;
}

static bool passes_limit(const struct runner_call *call, uint64_t bytes)
{
    return call->task->limit_output != 0 && bytes > call->task->limit_output;
}

static bool open_result(struct runner_call *call)
{
    struct err err;
    runner_call_drop_result(call);
    call->result_fd = spool_open(call->all->io->data_fd, call->bank->job_no, call->bank->attempt,
                                 STREAM_VALUE, &err);
    return call->result_fd >= 0;
}

/* A result in the outbox is copied out, never mapped: the runner may make the outbox smaller. */
static const char *take_outbox(struct runner_call *call, uint64_t bytes)
{
    const int from = call->runner->outbox_fd;
    struct bank *bank = call->bank;

    call->runner->has_outbox = true;
    if (bytes <= BANK_RESULT_SIZE)
        return pread(from, bank->result, (size_t)bytes, 0) == (ssize_t)bytes
                   ? NULL
                   : "the outbox holds less than RESULT says";
    if (!open_result(call))
        return "the result cannot be written to the disk";
    if (fd_copy(call->result_fd, from, bytes))
        return NULL;
    return errno == ENODATA ? "the outbox holds less than RESULT says"
                            : "the result cannot be written to the disk";
}

/* "/proc/self/fd/6:bytes". */
static bool read_shm(const char *text, uint64_t *ret)
{
    const char *colon = strrchr(text, ':');
    int64_t bytes;
    if (colon == NULL || !text_to_i64(slice_of(colon + 1), &bytes) || bytes < 0)
        return false;
    *ret = (uint64_t)bytes;
    return true;
}

/* The text of a stored result, for a look at it. */
struct look {
    struct slice text;
    void *mapped;
};

static bool look_at(const struct runner_call *call, struct look *ret)
{
    const size_t bytes = (size_t)call->bank->report.result_bytes;
    *ret = (struct look){.text = {call->bank->result, bytes}};
    if (call->result_fd < 0)
        return true;
    void *at = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, call->result_fd, 0);
    if (at == MAP_FAILED)
        return false;
    *ret = (struct look){.text = {at, bytes}, .mapped = at};
    return true;
}

static bool judge_result(struct runner_call *call, const char *codec)
{
    struct look look;
    struct err why = {0};
    bool is_json = true;

    if (!look_at(call, &look))
        return result_failed(call, "ResultLost", "there is no memory to look at the result");
    if (strcmp(codec, "json") == 0) {
        call->bank->report.result_type = VALUE_JSON;
        is_json = json_validate(look.text, JSON_LIMITS_RESULT, &why);
    } else if (strcmp(codec, "raw") == 0) {
        call->bank->report.result_type = text_is_utf8(look.text) ? VALUE_TEXT : VALUE_BYTES;
    } else {
        call->bank->report.result_type = VALUE_BYTES; /* pickle, and whatever a codec is called */
    }
    if (look.mapped != NULL)
        (void)munmap(look.mapped, look.text.len);
    return is_json || result_failed(call, "ResultNotJSON", why.detail);
}

bool runner_call_result(struct runner_call *call, const struct runner_frame *frame,
                        struct slice body)
{
    char text[RUNNER_VALUE_MAX];
    uint64_t bytes = frame->length;
    struct err err;

    if (runner_frame_key(frame, "shm", text)) {
        if (bytes != 0 || !read_shm(text, &bytes))
            return runner_call_broken(call, "RESULT with a damaged key shm");
        if (passes_limit(call, bytes))
            return result_failed(call, "ResultTooLarge", "the result passes limits.output");
        const char *why = take_outbox(call, bytes);
        if (why != NULL)
            return result_failed(call, "ResultLost", why);
    } else if (passes_limit(call, bytes)) {
        return result_failed(call, "ResultTooLarge", "the result passes limits.output");
    } else if (call->is_dropped) {
        return result_failed(call, "ResultLost", "the result cannot be written to the disk");
    } else if (bytes > 0 && bytes <= BANK_RESULT_SIZE) {
        memcpy(call->bank->result, body.ptr, body.len);
    }
    if (!runner_frame_key(frame, "codec", text))
        (void)snprintf(text, sizeof(text), "json");
    call->bank->report.result_bytes = bytes;
    call->answer = ANSWER_RESULT;
    if (!judge_result(call, text) || call->answer != ANSWER_RESULT)
        return true;
    if (call->result_fd >= 0 &&
        !spool_sync(call->all->io->data_fd, call->bank->job_no, call->result_fd, &err))
        return result_failed(call, "ResultLost", "the result cannot be written to the disk");
    return true;
}

void runner_call_result_begin(struct runner_call *call, uint64_t bytes)
{
    if (bytes > BANK_RESULT_SIZE)
        call->is_dropped = passes_limit(call, bytes) || !open_result(call);
}

void runner_call_result_body(struct runner_call *call, struct slice body)
{
    if (call->result_fd < 0)
        buf_append(&call->runner->body, body.ptr, body.len);
    else
        call->is_dropped = !fd_write_all(call->result_fd, body);
}
