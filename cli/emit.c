/* SPDX-License-Identifier: MIT */
#include "cli/emit.h"

#include "cli/args.h"
#include "cli/base64.h"
#include "cli/follow.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/watch.h"

#define VALUE_MAX ((size_t)256 << 20)

bool result_read(struct slice text, struct result *ret, struct err *err)
{
    struct arena AUTO_ARENA arena;
    arena_init(&arena, 4096);
    struct result result = {.raw = text};
    const char *id = json_text_at(text, "id", &arena);
    const char *state = json_text_at(text, "state", &arena);
    const char *reason = json_text_at(text, "reason", &arena);
    result.index = json_i64_at(text, "index", -1);
    if (strlen(id) != sizeof(result.id) - 1 || result.index < 0 ||
        !job_state_parse(slice_of(state), &result.state))
        return err_set(err, ERR_INTERNAL, "the server's event is not a result");
    memcpy(result.id, id, sizeof(result.id));
    if (!job_reason_parse(slice_of(reason), &result.reason))
        result.reason = REASON_NONE;
    result.has_exit_code = json_at(text, "exit_code").ptr != NULL;
    result.exit_code = json_i64_at(text, "exit_code", 0);
    *ret = result;
    return true;
}

/* The part of a job that words and codes are made from. */
static struct json_job as_job(const struct result *result, struct arena *a)
{
    bool by_signal = result->has_exit_code && result->exit_code < 0;
    return (struct json_job){
        .state = result->state,
        .reason = result->reason,
        .done = true,
        .has_exit_code = result->has_exit_code,
        .exit_code = result->exit_code,
        .signal = by_signal ? (int)-result->exit_code : 0,
        .detail = json_text_at(result->raw, "error.detail", a),
    };
}

void result_put_words(const struct result *result, struct buf *out)
{
    struct arena AUTO_ARENA arena;
    arena_init(&arena, 65536);
    struct json_job job = as_job(result, &arena);
    outcome_put_words(&job, out);
}

int result_exit_code(const struct result *result)
{
    struct arena AUTO_ARENA arena;
    arena_init(&arena, 65536);
    struct json_job job = as_job(result, &arena);
    return outcome_exit_code(&job);
}

/* Bytes of a job to stdout, cleaned when that is a terminal. */
static bool write_out(struct cli *cli, struct slice bytes, struct err *err)
{
    output_progress_end(cli->out);
    bool clean = !cli->out->raw && isatty(STDOUT_FILENO) == 1;
    bool ok = clean ? output_text(bytes) : output_write(STDOUT_FILENO, bytes);
    return ok || err_sys(err, ERR_INTERNAL, "cannot write the output");
}

/* A string, {"$bytes":"<base64>"}, or any JSON value of a job whose result is one. */
static bool write_value(struct cli *cli, struct slice value, struct err *err)
{
    struct slice bytes = json_type_of(value) == JSON_OBJECT ? json_at(value, "$bytes")
                                                            : (struct slice){0};
    struct buf AUTO_BUF plain;
    struct arena AUTO_ARENA arena;
    buf_init(&plain, VALUE_MAX);
    arena_init(&arena, VALUE_MAX);
    size_t len = 0;
    if (json_type_of(value) == JSON_STRING) {
        const char *text = json_string_dup(value, &arena, &len);
        if (text == NULL)
            return err_set(err, ERR_TOO_LARGE, "a result does not fit into memory");
        return write_out(cli, (struct slice){text, len}, err);
    }
    if (bytes.ptr != NULL && json_type_of(bytes) == JSON_STRING &&
        base64_read((struct slice){bytes.ptr + 1, bytes.len - 2}, &plain))
        return write_out(cli, buf_slice(&plain), err);
    buf_append(&plain, value.ptr, value.len);
    buf_putc(&plain, '\n');
    return write_out(cli, buf_slice(&plain), err);
}

/* Outputs that are asked for; what has been dropped by age is no failure. */
static bool fetch(struct cli *cli, const char *id, struct follow_targets targets, struct err *err)
{
    struct watch AUTO_WATCH watch;
    watch_init(&watch, cli, id);
    output_progress_end(cli->out);
    if (follow_print(&watch, targets, err))
        return true;
    return err->code == ERR_RESULT_EXPIRED && client_interrupted(cli->client) == 0;
}

bool emit_result(struct cli *cli, const struct result *result, struct err *err)
{
    struct follow_targets targets = {{STDOUT_FILENO, STDERR_FILENO}};
    struct slice value = json_at(result->raw, "value");
    if (args_has(cli->args, OPT_JSON))
        return output_json(result->raw) || err_sys(err, ERR_INTERNAL, "cannot write the output");
    if (result->state == JOB_CANCELLED)
        return true;
    if (value.ptr != NULL && !write_value(cli, value, err))
        return false;
    if (value.ptr != NULL)
        targets.fd[0] = -1;
    return fetch(cli, result->id, targets, err);
}
