/* SPDX-License-Identifier: MIT */
#include "api/submit.h"

#include "api/codec.h"
#include "api/ndjson.h"
#include "api/problem.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/view.h"

#include <nettle/sha2.h>

/* Lines are read as they come and stored in chunks, one transaction each; between them the
 * connection is suspended, so the client feels the disk. What must be remembered until the answer
 * begins, after the body, is only which line became which job: runs of consecutive numbers, and
 * what was refused. The answer's lines are made from the store while they are sent. */

#define CHUNK_JOBS 512u
#define CHUNK_BYTES (512u * 1024)
/* The arena of a chunk: its last line may have 1 MiB and take several times that. */
#define CHUNK_MEMORY (24u << 20)
#define CHARGE_BYTES (2u * CHUNK_BYTES)
#define MAX_RUNS (1u << 20) /* of 24 bytes; lines beyond are refused in one run */
#define MAX_REFUSALS \
    4096u /* kept with their own words; beyond, the words of the last one stand for all */
#define LINES_PER_FILL 64u
#define BY_JOB UINT32_MAX
#define BY_EXISTING (UINT32_MAX - 1) /* a job that was there: it holds the line's unique key */

/* Lines [first_line, first_line + n): jobs from first_no on, or all refused for one reason; then
 * first_no is the job that was in the way of all of them, or 0. */
struct run {
    uint32_t first_line, n;
    uint32_t refusal; /* BY_JOB: none */
    int64_t first_no;
};
_Static_assert(sizeof(struct run) == 24, "as MAX_RUNS says");

struct bulk {
    struct arena chunk;
    struct submit_item *items;
    uint32_t *lines; /* of each item */
    uint32_t n_items;
    size_t chunk_bytes;
    struct line_reader lines_read;
    bool has_key;
    struct sha256_ctx sha;

    struct run *runs;
    uint32_t n_runs, cap_runs;
    uint32_t n_settled; /* runs of earlier chunks: in order, never to be sorted again */
    struct err *refusals;
    uint32_t n_refusals;

    uint32_t next_run, next_in_run; /* of the answer */
};

static void release(struct request *rq)
{
    struct bulk *b = rq->state;
    arena_release(&b->chunk);
    free(b->runs);
    free(b->refusals);
    free(b);
}

static void clear_chunk(struct bulk *b)
{
    arena_clear(&b->chunk);
    b->items = arena_alloc(&b->chunk, CHUNK_JOBS * sizeof *b->items);
    b->lines = arena_alloc(&b->chunk, CHUNK_JOBS * sizeof *b->lines);
    PRE(b->items != NULL && b->lines != NULL);
    b->n_items = 0;
    b->chunk_bytes = 0;
}

static struct bulk *begin(struct request *rq)
{
    if (rq->state != NULL)
        return rq->state;
    struct bulk *b = must_alloc(sizeof *b);
    rq->state = b;
    rq->release = release;
    arena_init(&b->chunk, CHUNK_MEMORY);
    clear_chunk(b);
    b->has_key = request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr != NULL;
    sha256_init(&b->sha);
    struct err err = {0};
    if (!request_charge(rq, CHARGE_BYTES, &err))
        rq->refusal = err;
    return b;
}

static void add_run(struct bulk *b, struct run run)
{
    struct run *last = b->n_runs == 0 ? NULL : &b->runs[b->n_runs - 1];
    bool counts_on = run.refusal == BY_JOB || run.refusal == BY_EXISTING;
    bool is_next = last != NULL && last->first_line + last->n == run.first_line &&
                   last->refusal == run.refusal &&
                   last->first_no + (counts_on ? last->n : 0) == run.first_no;
    if (is_next) {
        last->n += run.n;
        return;
    }
    if (b->n_runs == b->cap_runs) {
        b->cap_runs = MAX(b->cap_runs * 2, 16u);
        b->runs = must_realloc(b->runs, b->cap_runs * sizeof *b->runs);
    }
    PRE(b->runs != NULL);
    b->runs[b->n_runs++] = run;
}

/* `holder`: number of the job that was in the way, or 0. */
static void refuse(struct bulk *b, uint32_t line, const struct err *err, int64_t holder)
{
    bool same = b->n_refusals > 0 && memcmp(&b->refusals[b->n_refusals - 1], err, sizeof *err) == 0;
    if (!same && b->n_refusals < MAX_REFUSALS) {
        if ((b->n_refusals & (b->n_refusals - 1)) == 0) /* a power of two: it is full */
            b->refusals = must_realloc(b->refusals,
                                       MAX(b->n_refusals * 2, 1u) * sizeof *b->refusals);
        b->refusals[b->n_refusals++] = *err;
    }
    add_run(b, (struct run){
                   .first_line = line, .n = 1, .refusal = b->n_refusals - 1, .first_no = holder});
}

static bool read_line(struct request *rq, struct bulk *b, struct slice line, struct err *err)
{
    struct submit_item *item = &b->items[b->n_items];
    char *copy = arena_dup(&b->chunk, line);
    *item = (struct submit_item){0};
    if (b->n_runs >= MAX_RUNS)
        return err_set(err, ERR_OVERLOADED,
                       "Too many refused lines; send the rest in another request");
    if (copy == NULL)
        return err_set(err, ERR_TOO_LARGE, "The line takes too much memory");
    const struct job_source source = submit_source(rq, (struct slice){copy, line.len}, &b->chunk);
    if (!codec_read_job_from(&source, &item->spec, err) || !self_submits(rq, &item->spec, err))
        return false;
    if (b->has_key && item->spec.has_unique)
        return err_at(err, ERR_INVALID, "/unique",
                      "With an Idempotency-Key only a request of one job can have a unique key");
    submit_add_trace(rq, &item->spec);
    return command_prepare(item, clock_wall_us(), &b->chunk, err);
}

static void take_line(struct request *rq, uint32_t number, struct slice line)
{
    struct bulk *b = rq->state;
    struct err err = {0};
    if (!read_line(rq, b, line, &err)) {
        refuse(b, number, &err, 0);
        return;
    }
    b->lines[b->n_items++] = number;
    b->chunk_bytes += line.len;
}

static void refuse_line(struct request *rq, uint32_t number, const struct err *err)
{
    refuse(rq->state, number, err, 0);
}

static const struct line_sink sink = {take_line, refuse_line};

/* Without the holder's id: the words of a refusal are kept once for many lines. */
static const struct err duplicate = {
    .code = ERR_DUPLICATE, .detail = "Another job holds this unique key and has not ended"};

static void record_item(struct bulk *b, uint32_t i, const struct command *cmd)
{
    const struct submit_item *item = &b->items[i];
    int64_t no = item->id.no;
    const struct err *err = cmd->err.code != ERR_NONE ? &cmd->err : &item->err;
    if (cmd->err.code == ERR_NONE && cmd->key.replayed) {
        static const struct err gone = {
            .code = ERR_NOT_FOUND,
            .detail = "The first request with this key made no job of this line"};
        no = cmd->key.first_no + i;
        err = i < cmd->key.n ? NULL : &gone;
    }
    if (err != NULL && err->code == ERR_DUPLICATE)
        refuse(b, b->lines[i], &duplicate, no);
    else if (err != NULL && err->code != ERR_NONE)
        refuse(b, b->lines[i], err, 0);
    else
        add_run(b, (struct run){.first_line = b->lines[i],
                                .n = 1,
                                .refusal = item->is_existing ? BY_EXISTING : BY_JOB,
                                .first_no = no});
}

static int by_line(const void *a, const void *b)
{
    uint32_t x = ((const struct run *)a)->first_line, y = ((const struct run *)b)->first_line;
    return (x > y) - (x < y);
}

/* The chunk has come back. Lines refused while it was read stand in `runs` already, so the order is
 * restored. */
static void stored(struct request *rq)
{
    struct bulk *b = rq->state;
    for (uint32_t i = 0; i < b->n_items; i++)
        record_item(b, i, &rq->cmd);
    if (b->n_runs > b->n_settled)
        qsort(b->runs + b->n_settled, b->n_runs - b->n_settled, sizeof *b->runs, by_line);
    b->n_settled = b->n_runs;
    clear_chunk(b);
}

static bool send_chunk(struct request *rq, struct bulk *b, step_fn next)
{
    struct err err = {0};
    rq->cmd.kind = CMD_SUBMIT;
    rq->cmd.wait_until_ns = 0;
    rq->cmd.submit.items = b->items;
    rq->cmd.submit.n = b->n_items;
    if (request_send(rq, next, &err))
        return true;
    rq->cmd.err = err;
    rq->cmd.key.replayed = false;
    stored(rq);
    return false;
}

size_t bulk_take(struct request *rq, struct slice bytes)
{
    struct bulk *b = begin(rq);
    size_t at = 0;
    while (at < bytes.len && rq->refusal.code == ERR_NONE) {
        bool is_full = b->n_items == CHUNK_JOBS || b->chunk_bytes >= CHUNK_BYTES;
        if (is_full && b->has_key)
            (void)err_set(&rq->refusal, ERR_INVALID,
                          "With an Idempotency-Key a body holds at most %u jobs of %u bytes in all",
                          CHUNK_JOBS, CHUNK_BYTES);
        else if (is_full && send_chunk(rq, b, stored))
            break;
        else
            at += ndjson_take(rq, &b->lines_read, &sink,
                              (struct slice){bytes.ptr + at, bytes.len - at});
    }
    if (rq->refusal.code != ERR_NONE)
        at = bytes.len; /* read and forgotten, up to a limit of the caller's */
    if (b->has_key)
        sha256_update(&b->sha, at, (const uint8_t *)bytes.ptr);
    return at;
}

static void write_refusal(struct request *rq, const struct err *err, uint32_t line, int64_t holder)
{
    char extra[32 + SUBMIT_HOLDER_SIZE];
    size_t len = (size_t)snprintf(extra, sizeof extra, ",\"line\":%u", line);
    struct job_view job;
    struct err ignored = {0};
    if (holder != 0 &&
        query_job_by_no(rq->thread->query, holder, request_scratch(rq), &job, &ignored))
        len += submit_name_holder(&job.id, extra + len);
    struct problem problem = {
        .err = err, .instance = rq->head.path, .request_id = rq->id, .extra = {extra, len}};
    problem_write(&problem, &rq->out);
    buf_putc(&rq->out, '\n');
}

/* A job that was there already is shown as it is now, and says so. */
static void write_existing(struct request *rq, const struct job_view *job)
{
    static const char member[] = ",\"existing\":true}";
    view_write_job_line(job, &rq->out);
    if (buf_ok(&rq->out))
        rq->out.len--; /* its closing brace */
    buf_puts(&rq->out, member);
}

static bool write_job(struct request *rq, int64_t no, const struct run *run, uint32_t line)
{
    static const struct err deleted = {
        .code = ERR_NOT_FOUND, .detail = "The job was accepted, and has been deleted since"};
    struct job_view job;
    struct err err = {0};
    if (!query_job_by_no(rq->thread->query, no, request_scratch(rq), &job, &err)) {
        if (err.code != ERR_NOT_FOUND)
            return false;
        write_refusal(rq, &deleted, line, 0);
        return true;
    }
    if (run->refusal == BY_EXISTING) {
        write_existing(rq, &job);
    } else {
        view_make_birth(&job);
        view_write_job_line(&job, &rq->out);
    }
    buf_putc(&rq->out, '\n');
    return true;
}

static enum fill fill_answers(struct request *rq)
{
    struct bulk *b = rq->state;
    for (uint32_t i = 0; i < LINES_PER_FILL && b->next_run < b->n_runs; i++) {
        const struct run *run = &b->runs[b->next_run];
        uint32_t line = run->first_line + b->next_in_run;
        if (run->refusal != BY_JOB && run->refusal != BY_EXISTING)
            write_refusal(rq, &b->refusals[run->refusal], line, run->first_no);
        else if (!write_job(rq, run->first_no + b->next_in_run, run, line))
            return FILL_ABORT;
        if (++b->next_in_run == run->n) {
            b->next_run++;
            b->next_in_run = 0;
        }
    }
    return b->next_run < b->n_runs ? FILL_MORE : FILL_END;
}

static void answer(struct request *rq)
{
    buf_clear(&rq->out);
    reply_stream(rq, "application/x-ndjson", fill_answers);
}

static void last_stored(struct request *rq)
{
    struct bulk *b = rq->state;
    /* The key speaks for the whole request, so what it makes wrong is the whole request. */
    if (b->has_key && rq->cmd.err.code != ERR_NONE) {
        reply_problem(rq, &rq->cmd.err);
        return;
    }
    if (rq->cmd.key.replayed)
        reply_header(rq, ANSWER_REPLAYED, "true");
    stored(rq);
    answer(rq);
}

void bulk_end(struct request *rq)
{
    struct bulk *b = begin(rq);
    uint8_t digest[32];
    struct err err = {0};
    ndjson_end(rq, &b->lines_read, &sink);
    sha256_digest(&b->sha, sizeof digest, digest);
    if (b->has_key && !submit_read_key(rq, digest, &err))
        reply_problem(rq, &err);
    else if (b->n_items == 0)
        answer(rq);
    else if (!send_chunk(rq, b, last_stored))
        answer(rq);
}
