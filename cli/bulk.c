/* SPDX-License-Identifier: MIT */
/* `submit --from FILE`: the file goes out in chunks, each with a key of its own. A chunk is small
 * enough to be one transaction of the service, so it can be repeated after a lost answer without
 * making a job twice; a whole file could not. */
#include "cli/bulk.h"

#include <errno.h>
#include <fcntl.h>

#include "cli/args.h"
#include "cli/lines.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/submit.h"

#define CHUNK_LINES 500u
#define CHUNK_BYTES ((size_t)480 << 10)
#define LINE_MAX_BYTES ((size_t)32 << 20) /* memory only; the service has its own limit */

struct bulk {
    struct cli *cli;
    struct lines lines;
    struct buf chunk;              /* lines to send, each with its newline */
    uint64_t line_no[CHUNK_LINES]; /* in the file, from 1, of each line of the chunk */
    uint32_t n_lines;
    uint64_t accepted, refused;
};

/* One line of the answer: a job, or a problem whose `line` counts within the chunk. */
static bool bulk_take_answer(struct bulk *b, struct slice answer, uint32_t index, struct err *err)
{
    struct arena AUTO_ARENA arena;
    struct json_job job;
    struct json_problem problem;
    bool json = args_has(b->cli->args, OPT_JSON);
    arena_init(&arena, (size_t)4 << 20);
    if (!json_check(answer, err))
        return false;
    if (json_take_job(json_trim(answer), &arena, &job, NULL)) {
        b->accepted++;
        struct buf AUTO_BUF line;
        buf_init(&line, sizeof(job.id) + 1);
        buf_printf(&line, "%s\n", job.id);
        bool written = json ? output_json(answer) : output_write(STDOUT_FILENO, buf_slice(&line));
        return written || err_sys(err, ERR_INTERNAL, "cannot write the output");
    }
    if (!json_read_problem(answer, &arena, &problem))
        return err_set(err, ERR_INTERNAL, "the server's answer is neither a job nor a problem");
    b->refused++;
    uint64_t line_no = b->line_no[index];
    if (problem.pointer[0] != '\0')
        output_error(b->cli->out, "line %llu: %s (at %s)", (unsigned long long)line_no,
                     problem.detail, problem.pointer);
    else
        output_error(b->cli->out, "line %llu: %s", (unsigned long long)line_no, problem.detail);
    return true;
}

static bool bulk_take_answers(struct bulk *b, struct slice body, struct err *err)
{
    uint32_t index = 0;
    output_progress_end(b->cli->out);
    while (body.len > 0) {
        const char *end = memchr(body.ptr, '\n', body.len);
        size_t len = end == NULL ? body.len : (size_t)(end - body.ptr);
        struct slice line = {body.ptr, len};
        body = (struct slice){body.ptr + len + (end != NULL), body.len - len - (end != NULL)};
        if (len == 0)
            continue;
        if (index >= b->n_lines)
            return err_set(err, ERR_INTERNAL, "the server answered to more lines than were sent");
        if (!bulk_take_answer(b, line, index++, err))
            return false;
    }
    return index == b->n_lines ||
           err_set(err, ERR_INTERNAL, "the server answered to %u of %u lines", index, b->n_lines);
}

static bool bulk_send(struct bulk *b, struct err *err)
{
    if (b->n_lines == 0)
        return true;
    char key[KEY_SIZE];
    submit_make_key(key);
    struct call call = {
        .method = "POST",
        .path = "/v1/jobs",
        .body = buf_slice(&b->chunk),
        .type = "application/x-ndjson",
        .key = key,
        .harmless = true,
    };
    struct reply AUTO_REPLY reply = {0};
    if (!client_ask(b->cli->client, &call, &reply, err) ||
        !bulk_take_answers(b, buf_slice(&reply.body), err))
        return false;
    output_progress(b->cli->out, "%llu submitted", (unsigned long long)b->accepted);
    buf_clear(&b->chunk);
    b->n_lines = 0;
    return true;
}

static bool line_is_empty(struct slice line)
{
    return json_trim(line).len == 0;
}

static bool bulk_run(struct bulk *b, struct err *err)
{
    for (;;) {
        struct slice line;
        if (!lines_next(&b->lines, &line, err))
            return false;
        if (line.ptr == NULL)
            return bulk_send(b, err);
        if (line_is_empty(line)) /* the service ignores them too */
            continue;
        bool full = b->n_lines == CHUNK_LINES ||
                    (b->n_lines > 0 && b->chunk.len + line.len >= CHUNK_BYTES);
        if (full && !bulk_send(b, err))
            return false;
        b->line_no[b->n_lines++] = b->lines.count;
        buf_append(&b->chunk, line.ptr, line.len);
        buf_putc(&b->chunk, '\n');
        PRE(buf_ok(&b->chunk));
    }
}

int bulk_submit(struct cli *cli, const char *path)
{
    struct err err = {0};
    bool is_own = strcmp(path, "-") == 0;
    int AUTO_CLOSE file = is_own ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!is_own && file < 0) {
        (void)err_sys(&err, ERR_BAD_REQUEST, "%.160s", path);
        output_error(cli->out, "%s", err.detail);
        return CLI_FAILED;
    }
    struct bulk *b = must_alloc(sizeof(*b));
    *b = (struct bulk){.cli = cli};
    lines_init(&b->lines, is_own ? STDIN_FILENO : file, '\n');
    buf_init(&b->chunk, LINE_MAX_BYTES + CHUNK_BYTES);
    int code = CLI_OK;
    if (!bulk_run(b, &err)) {
        output_error(cli->out, "%s", err.detail);
        code = outcome_of_error(cli, &err);
    }
    output_progress_end(cli->out);
    if (b->refused > 0 || code != CLI_OK)
        output_note(cli->out, "%llu submitted, %llu refused", (unsigned long long)b->accepted,
                    (unsigned long long)b->refused);
    if (code == CLI_OK && b->refused > 0)
        code = CLI_FAILED;
    lines_release(&b->lines);
    buf_release(&b->chunk);
    free(b);
    return code;
}
