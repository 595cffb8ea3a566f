/* SPDX-License-Identifier: MIT */
#include "cli/emit.h"

#include "cli/args.h"
#include "cli/client.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "service/base/base64.h"

#define TURN_MS 100
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

/* One output that is asked for, on its way to a descriptor. */
struct fetch {
    struct cli *cli;
    int fd;
    bool cleans; /* the descriptor is a terminal */
    struct cleaner cleaner;
    uint64_t offset; /* bytes that have come */
    char last;       /* the newest of them */
    bool is_json, is_result;
    struct err err; /* why it cannot go on */
};

static bool on_bytes(void *owner, struct slice bytes)
{
    struct fetch *f = owner;
    f->offset += bytes.len;
    if (bytes.len > 0)
        f->last = bytes.ptr[bytes.len - 1];
    if (!f->cleans)
        return client_write(f->cli->client, f->fd, bytes, &f->err);
    struct buf AUTO_BUF clean;
    buf_init(&clean, VALUE_MAX);
    cleaner_feed(&f->cleaner, bytes, &clean);
    return client_write(f->cli->client, f->fd, buf_slice(&clean), &f->err);
}

/* What the service said, when it was neither the bytes nor a request to ask again. Outputs that
 * were dropped by age are no failure, nor is a range that begins at the end; a result that was
 * dropped is one, but not a job that has none. */
static bool judge(const struct reply *reply, bool is_result, bool *ret_over, struct err *err)
{
    *ret_over = reply->status == 200 || reply->status == 206 || reply->status == 416 ||
                reply->status == (is_result ? 204 : 410);
    return *ret_over || reply->status == 429 || reply->status == 503 || reply_refuse(reply, err);
}

/* One connection; the next one begins where this one ended. */
static bool fetch_pass(struct fetch *f, const char *path, bool *ret_over, struct err *err)
{
    struct transfer *transfer = NULL;
    struct call call = {
        .method = "GET", .path = path, .from = f->offset, .on_bytes = on_bytes, .owner = f};
    bool ok = transfer_start(f->cli->client, &call, &transfer, err);
    while (ok && !transfer_is_over(transfer))
        ok = client_turn(f->cli->client, TURN_MS, err);
    if (ok && f->err.code != ERR_NONE) {
        *err = f->err;
        ok = false;
    }
    *ret_over = false;
    if (ok && transfer_is_whole(transfer)) {
        const struct reply *reply = transfer_reply(transfer);
        f->is_json = strncmp(reply->content_type, "application/json", 16) == 0;
        ok = judge(reply, f->is_result, ret_over, err);
    }
    transfer_free(transfer);
    return ok;
}

bool emit_bytes(struct cli *cli, const char *id, const char *what, int fd, struct err *err)
{
    struct call look = {.method = "GET", .path = "/v1/version", .harmless = true};
    struct fetch f = {.cli = cli,
                      .fd = fd,
                      .cleans = !cli->out->raw && isatty(fd) == 1,
                      .is_result = strcmp(what, "result") == 0};
    char path[96];
    bool over = false;
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s/%s", id, what);
    output_progress_end(cli->out);
    for (;;) {
        struct reply AUTO_REPLY reply = {0};
        if (!fetch_pass(&f, path, &over, err))
            return false;
        if (over)
            break;
        /* A service that is away is waited for. */
        if (!client_ask(cli->client, &look, &reply, err))
            return false;
    }
    return !f.is_json || f.offset == 0 || f.last == '\n' ||
           client_write(cli->client, fd, SLICE_LIT("\n"), err);
}

bool emit_result(struct cli *cli, const struct result *result, struct err *err)
{
    struct slice value = json_at(result->raw, "value");
    if (args_has(cli->args, OPT_JSON))
        return output_json(result->raw) || err_sys(err, ERR_INTERNAL, "cannot write the output");
    if (result->state == JOB_CANCELLED)
        return true;
    if (value.ptr != NULL) {
        if (!write_value(cli, value, err))
            return false;
    } else if (json_i64_at(result->raw, "stdout_bytes", 1) > 0) {
        if (!emit_bytes(cli, result->id, "stdout", STDOUT_FILENO, err))
            return false;
    }
    return json_i64_at(result->raw, "stderr_bytes", 1) == 0 ||
           emit_bytes(cli, result->id, "stderr", STDERR_FILENO, err);
}
