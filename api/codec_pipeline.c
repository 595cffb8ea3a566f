/* SPDX-License-Identifier: MIT */
#include "api/codec_pipeline.h"

#include "api/codec_read.h"

#define WHOLE "belongs to the whole pipeline: put it beside \"stages\""

/* Members of a job that mean something else here, or nothing. `why` completes "/member …". */
struct refused {
    const char *name, *why;
};

static const struct refused refused_of_whole[] = {
    {"command", "belongs to a stage: each element of \"stages\" has its own"},
    {"retry",
     "cannot be done stage by stage, since what went through the pipes is gone; submit the "
     "pipeline again, or use a job that runs it by sh -c"},
    {"unique", "is for single jobs; an Idempotency-Key makes a pipeline at most once"},
    {"function", "belongs to a stage: each element of \"stages\" has its own"},
    {"args", "belongs to a stage, beside its \"function\""},
    {"kwargs", "belongs to a stage, beside its \"function\""},
};

static const struct refused refused_of_stage[] = {
    {"delay", WHOLE},
    {"run_at", WHOLE},
    {"queue", WHOLE},
    {"pool", WHOLE},
    {"priority", WHOLE},
    {"queue_timeout", WHOLE},
    {"deadline", WHOLE},
    {"keep", WHOLE},
    {"callback", WHOLE},
    {"depends_on", WHOLE},
    {"on_parent_failure", WHOLE},
    {"retry", "cannot be done for a single stage, since what went through its pipes is gone"},
    {"unique", "is for single jobs; an Idempotency-Key makes a pipeline at most once"},
};

static bool is_accepted(struct slice raw_key, const struct refused *list, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        char pointer[80];
        if (!json_string_eq(raw_key, list[i].name))
            continue;
        codec_pointer("", raw_key, pointer);
        return err_at(err, ERR_INVALID, pointer, "%s", list[i].why);
    }
    return true;
}

/* What only one end of the pipeline has. */
static bool is_at_the_end(struct slice raw_key, bool is_first, bool is_last, struct err *err)
{
    char pointer[80];
    codec_pointer("", raw_key, pointer);
    if (!is_first && (json_string_eq(raw_key, "stdin") || json_string_eq(raw_key, "stdin_base64") ||
                      json_string_eq(raw_key, "stdin_from")))
        return err_at(err, ERR_INVALID, pointer,
                      "is for the first stage: this one reads what the stage before it writes");
    if (!is_last && json_string_eq(raw_key, "result"))
        return err_at(err, ERR_INVALID, pointer,
                      "is for the last stage: what this one writes, the next one reads");
    return true;
}

/* The stage's defaults: what was said of the whole, without what is done once for all stages. */
static void stage_begin(const struct pipeline_request *req, uint32_t i, struct job_spec *ret)
{
    *ret = req->spec;
    ret->callback_url = (struct slice){0};
    if (i + 1 < req->n)
        ret->result = RESULT_NONE;
    if (i == 0)
        return;
    ret->stdin_bytes = (struct slice){0};
    ret->stdin_open = false;
    ret->n_parents = ret->n_inputs = 0;
    ret->delay_us = ret->run_at_us = 0;
}

static bool read_stage(struct job_reader *whole, const struct pipeline_request *req, uint32_t i,
                       struct slice value)
{
    struct job_reader r = {.cfg = whole->cfg,
                           .a = whole->a,
                           .spec = &req->stages[i].spec,
                           .err = whole->err,
                           .has_stdin = i == 0 && whole->has_stdin,
                           .no_exec = whole->no_exec,
                           .is_stage = true,
                           .named = whole->named,
                           .limits = whole->limits,
                           /* What is added is put into a copy. */
                           .cap_parents = i == 0 ? req->spec.n_parents : 0,
                           .cap_inputs = i == 0 ? req->spec.n_inputs : 0};
    struct json_iter it;
    struct slice key, member;
    stage_begin(req, i, r.spec);
    if (json_type_of(value) != JSON_OBJECT)
        return err_set(r.err, ERR_INVALID, "A stage is a JSON object with a \"command\"");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &member)) {
        if (!is_accepted(key, refused_of_stage, ARRAY_LEN(refused_of_stage), r.err) ||
            !is_at_the_end(key, i == 0, i + 1 == req->n, r.err) ||
            !codec_job_member(&r, key, member))
            return false;
    }
    if (i > 0 && r.spec->n_inputs > 0)
        return err_set(
            r.err, ERR_INVALID,
            "Only the first stage takes results of other jobs, and blobs; the others read "
            "what the stage before them writes");
    return codec_job_end(&r);
}

static bool read_stages(struct job_reader *whole, struct pipeline_request *req, struct slice value)
{
    struct json_iter it;
    struct slice stage;
    if (value.ptr == NULL || json_type_of(value) != JSON_ARRAY)
        return codec_wrong_type(whole->err, "/stages",
                                "an array of jobs, such as [{\"command\": [\"sort\"]}]");
    json_iter_init(&it, value);
    while (json_next_element(&it, &stage))
        req->n++;
    if (req->n == 0)
        return err_at(whole->err, ERR_INVALID, "/stages", "must have one stage at least");
    if (req->n > MAX_STAGES)
        return err_at(whole->err, ERR_PIPELINE_TOO_LONG, "/stages",
                      "has %u stages; no pool has so many workers", (unsigned)req->n);
    req->stages = arena_alloc(whole->a, req->n * sizeof *req->stages);
    if (req->stages == NULL)
        return codec_arena_full(whole->err);
    json_iter_init(&it, value);
    for (uint32_t i = 0; i < req->n && json_next_element(&it, &stage); i++) {
        char pointer[32];
        (void)snprintf(pointer, sizeof pointer, "/stages/%u", (unsigned)i);
        req->stages[i] = (struct submit_item){0};
        if (!read_stage(whole, req, i, stage))
            return codec_inside_of(whole->err, pointer);
    }
    return true;
}

/* What the queue says, but its retries: they are for jobs that stand alone. */
static bool take_defaults(struct job_reader *r)
{
    if (!codec_take_defaults(r))
        return false;
    r->spec->has_retry = false;
    r->spec->max_attempts = 1;
    return true;
}

bool codec_read_pipeline(const struct job_source *source, struct pipeline_request *ret,
                         struct err *err)
{
    struct job_reader r = {.cfg = source->cfg,
                           .defaults = source->defaults,
                           .a = source->a,
                           .spec = &ret->spec,
                           .err = err,
                           .no_exec = source->no_exec};
    struct slice body = source->body;
    struct json_iter it;
    struct slice key, value, stages = {0};
    *ret = (struct pipeline_request){0};
    codec_job_begin(&r);
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT,
                           "A pipeline is a JSON object with \"stages\"", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (json_string_eq(key, "stages"))
            stages = value; /* after what is said of all of them */
        else if (!is_accepted(key, refused_of_whole, ARRAY_LEN(refused_of_whole), err) ||
                 !codec_job_member(&r, key, value))
            return false;
    }
    if (r.has_delay && r.has_run_at)
        return err_at(err, ERR_INVALID, "/run_at",
                      "\"delay\" and \"run_at\" must not come together");
    if (!codec_job_may(&r))
        return false;
    const uint64_t named = r.named; /* what the queue says stands behind what a function does */
    const struct slice limits = r.limits;
    if (!take_defaults(&r))
        return false;
    r.named = named;
    r.limits = limits;
    return read_stages(&r, ret, stages);
}
