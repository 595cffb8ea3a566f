/* SPDX-License-Identifier: MIT */
/* Partial results: a line each, in a file of the spool that readers may follow.
 *
 *     {"index":0,"value":…} */
#include "pool/runner_call.h"

#include "pool/spool.h"
#include "service/base/base64.h"
#include "service/base/json.h"

#define LINE_MAX_BYTES (8 * RUNNER_BODY_MAX)

static void put_value(const char *codec, struct slice body, struct buf *line)
{
    const bool is_raw = strcmp(codec, "raw") == 0;
    if (strcmp(codec, "json") == 0) {
        runner_put_one_line(line, json_trim(body));
    } else if (is_raw && text_is_utf8(body) && memchr(body.ptr, '\0', body.len) == NULL) {
        buf_json_string(line, body);
    } else {
        buf_puts(line, is_raw ? "{\"$bytes\":\"" : "{\"$py\":\"");
        base64_put(line, body);
        buf_puts(line, "\"}");
    }
}

static bool failed(struct runner_call *call, const char *type, const char *message)
{
    if (call->data_error[0] == '\0')
        (void)snprintf(call->data_error, sizeof(call->data_error), "%s: %s", type, message);
    return true;
}

static bool open_file(struct runner_call *call)
{
    struct err err;
    if (call->data_fd < 0)
        call->data_fd = spool_open(call->all->io->data_fd, call->bank->job_no, call->bank->attempt,
                                   STREAM_DATA, &err);
    return call->data_fd >= 0;
}

bool runner_call_data(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    const uint64_t limit = call->task->limit_output;
    char codec[RUNNER_VALUE_MAX];
    AUTO_BUF struct buf line = {0};
    struct err err = {0};

    if (!runner_frame_key(frame, "codec", codec))
        (void)snprintf(codec, sizeof(codec), "json");
    if (strcmp(codec, "json") == 0 && !json_validate(body, JSON_LIMITS_DEFAULT, &err))
        return failed(call, "ResultNotJSON", err.detail);
    if (call->data_error[0] != '\0')
        return true; /* what follows would not be the next one */
    buf_init(&line, LINE_MAX_BYTES);
    buf_printf(&line, "{\"index\":%llu,\"value\":", (unsigned long long)call->n_data);
    put_value(codec, body, &line);
    buf_puts(&line, "}\n");
    if (!buf_ok(&line) || (limit != 0 && call->data_bytes + line.len > limit))
        return failed(call, "ResultTooLarge", "the partial results pass limits.output");
    if (!open_file(call) || !fd_write_all(call->data_fd, buf_slice(&line)))
        return failed(call, "ResultLost", "a partial result cannot be written to the disk");
    call->n_data++;
    call->data_bytes += line.len;
    atomic_store_explicit(&call->bank->live_bytes[2], call->data_bytes, memory_order_release);
    return true;
}

void runner_call_data_end(struct runner_call *call)
{
    struct err err;
    if (call->data_fd < 0)
        return;
    if (!spool_sync(call->all->io->data_fd, call->bank->job_no, call->data_fd, &err))
        (void)failed(call, "ResultLost", "a partial result cannot be written to the disk");
    (void)close(steal_fd(&call->data_fd));
    call->bank->report.has_data = 1;
}
