/* SPDX-License-Identifier: MIT */
#include "api/self.h"

#include "api/handlers.h"

#include <nettle/sha2.h>

/* Idempotency keys are scoped by who asks: a later attempt of the same job is the same client. */
static void name_of(const struct job_id *job, uint8_t ret[32])
{
    static const char kind[] = "the job ";
    char id[37];
    struct sha256_ctx ctx;
    job_id_format(job, id);
    sha256_init(&ctx);
    sha256_update(&ctx, sizeof kind, (const uint8_t *)kind);
    sha256_update(&ctx, 36, (const uint8_t *)id);
    sha256_digest(&ctx, 32, ret);
}

/* A worker may be faster than the row that says that the job runs: that one counts the attempt
 * when it is recorded. */
static bool runs(struct request *rq, const struct job_id *job, uint32_t attempt)
{
    struct job_mark mark;
    struct err ignored = {0};
    if (!query_mark(rq->thread->query, job, &mark, &ignored))
        return false;
    if (mark.state == JOB_RUNNING || mark.state == JOB_STOPPING)
        return mark.attempt == attempt;
    return (mark.state == JOB_QUEUED || mark.state == JOB_BLOCKED) && mark.attempt + 1 == attempt;
}

static bool is_job(struct request *rq, struct slice authorization)
{
    const struct slice secret = token_secret(authorization);
    struct principal *who = &rq->who;
    struct job_id job;
    uint32_t attempt;
    if (secret.ptr == NULL ||
        !engine_job_token(rq->thread->shared->engine, secret, &job, &attempt) ||
        !runs(rq, &job, attempt))
        return false;
    *who = (struct principal){.scopes = 1u << SCOPE_READ | 1u << SCOPE_SUBMIT, .job = job};
    name_of(&job, who->id);
    return true;
}

bool self_identify(struct request *rq, struct err *err)
{
    const struct token_store *tokens = &rq->thread->shared->tokens;
    struct slice authorization = rq->head.header[HEADER_AUTHORIZATION];
    bool is_known = token_find(tokens, authorization, &rq->who, err);
    if (is_known && (tokens->required || authorization.ptr == NULL))
        return true;
    if (!is_job(rq, authorization))
        return is_known;
    *err = (struct err){0};
    return true;
}

bool self_may(const struct request *rq, struct err *err)
{
    static const handler_fn handlers[] = {
        job_submit,    job_list,    job_show,      job_result,        job_stdout,      job_stderr,
        job_events,    job_explain, job_processes, batch_create,      batch_add,       batch_show,
        batch_results, batch_close, jobs_wait,     jobs_as_completed, pipeline_create,
    };
    if (rq->who.job.no == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
        if (rq->match.route->handler == handlers[i])
            return true;
    return err_set(
        err, ERR_FORBIDDEN,
        "A job's own token is for submitting jobs, batches and pipelines, and for reading that "
        "job and its children");
}

bool self_sees(struct request *rq, const struct job_id *id, bool *ret, struct err *err)
{
    const struct job_id *me = &rq->who.job;
    struct job_id submitter;
    *ret = me->no == 0 || id->no == me->no;
    if (*ret)
        return true;
    if (!query_submitter(rq->thread->query, id->no, &submitter, err))
        return false;
    *ret = submitter.no == me->no;
    return true;
}

static bool not_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "There is no job with this id");
}

bool self_job_id(struct request *rq, struct slice text, struct job_id *ret, struct err *err)
{
    bool mine;
    if (slice_is(text, "self")) {
        *ret = rq->who.job;
        return ret->no != 0 || err_set(err, ERR_NOT_FOUND,
                                       "\"self\" is the job whose own token (GANGER_TOKEN) asks; "
                                       "this token is no job's");
    }
    if (!job_id_parse(text, ret))
        return not_found(err);
    if (!self_sees(rq, ret, &mine, err))
        return false;
    return mine || not_found(err);
}

bool self_batch_id(struct request *rq, struct slice text, struct job_id *ret, struct err *err)
{
    bool mine = false;
    if (job_id_parse(text, ret) && !self_sees(rq, ret, &mine, err))
        return false;
    return mine || err_set(err, ERR_NOT_FOUND, "There is no batch with this id");
}

bool self_submits(struct request *rq, struct job_spec *spec, struct err *err)
{
    if (rq->who.job.no == 0)
        return true;
    spec->submitter = rq->who.job;
    /* It may be another's key: whose job that is would be told, or even ended. */
    if (spec->has_unique)
        return err_at(err, ERR_FORBIDDEN, "/unique", "a job's own token cannot ask for it");
    if (spec->n_inputs > 0)
        return err_at(err, ERR_FORBIDDEN, "/inputs", "a job's own token has no blobs");
    for (uint32_t i = 0; i < spec->n_parents; i++) {
        const struct job_parent *parent = &spec->parents[i];
        bool mine = parent->is_marked;
        if (!mine && !self_sees(rq, &parent->id, &mine, err))
            return false;
        if (!mine)
            return err_at(err, ERR_INVALID, parent->pointer,
                          "names no child of the job whose token asks");
    }
    return true;
}
