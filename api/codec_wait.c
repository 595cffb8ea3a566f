/* SPDX-License-Identifier: MIT */
/* Bodies that name many jobs to wait for. */
#include "api/codec_wait.h"

#include "api/codec_read.h"

static bool read_id(struct slice value, uint32_t i, struct job_id *ret, struct err *err)
{
    char pointer[32];
    (void)snprintf(pointer, sizeof pointer, "/jobs/%u", i);
    if (json_type_of(value) != JSON_STRING)
        return codec_wrong_type(err, pointer, "the id of a job or batch");
    struct slice text = codec_inside(value);
    return job_id_parse(text, ret) ||
           err_set(err, ERR_NOT_FOUND, "There is no job or batch \"%.*s\" (%s)",
                   (int)MIN(text.len, 60u), text.ptr, pointer);
}

static bool read_jobs(struct job_reader *r, struct slice value, struct wait_request *ret)
{
    struct json_iter it;
    struct slice element;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_ARRAY)
        return codec_wrong_type(r->err, "/jobs", "an array of ids of jobs or batches");
    json_iter_init(&it, value);
    while (json_next_element(&it, &element))
        n++;
    if (n > MAX_WAIT_JOBS)
        return err_at(r->err, ERR_INVALID, "/jobs", "must have at most %u elements", MAX_WAIT_JOBS);
    ret->n = n;
    ret->ids = arena_alloc(r->a, MAX(n, 1u) * sizeof *ret->ids);
    if (ret->ids == NULL)
        return codec_arena_full(r->err);
    json_iter_init(&it, value);
    for (uint32_t i = 0; i < n && json_next_element(&it, &element); i++) {
        if (!read_id(element, i, &ret->ids[i], r->err))
            return false;
    }
    return true;
}

static bool read_when(struct slice value, enum return_when *ret, struct err *err)
{
    static const char *const names[] = {
        [ALL_COMPLETED] = "ALL_COMPLETED",
        [FIRST_COMPLETED] = "FIRST_COMPLETED",
        [FIRST_EXCEPTION] = "FIRST_EXCEPTION",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (json_type_of(value) != JSON_STRING || !json_string_eq(value, names[i]))
            continue;
        *ret = (enum return_when)i;
        return true;
    }
    return codec_wrong_type(err, "/return_when",
                            "\"ALL_COMPLETED\", \"FIRST_COMPLETED\" or \"FIRST_EXCEPTION\"");
}

static bool read_member(struct job_reader *r, struct slice key, struct slice value,
                        enum wait_verb verb, struct wait_request *ret)
{
    char pointer[80];
    codec_pointer("", key, pointer);
    if (slice_is(key, "jobs"))
        return read_jobs(r, value, ret);
    if (verb == WAIT_UNTIL && slice_is(key, "return_when"))
        return read_when(value, &ret->when, r->err);
    if (verb == WAIT_EACH && slice_is(key, "timeout"))
        return json_type_of(value) == JSON_NULL ||
               codec_duration(r, value, pointer, &ret->timeout_us);
    return err_at(r->err, ERR_INVALID, pointer, "is not known here");
}

bool codec_read_wait(struct slice body, enum wait_verb verb, struct arena *a,
                     struct wait_request *ret, struct err *err)
{
    struct job_reader r = {.a = a, .err = err};
    struct json_iter it;
    struct slice key, value;
    *ret = (struct wait_request){.when = ALL_COMPLETED, .timeout_us = -1};
    if (!json_validate(body, JSON_LIMITS_DEFAULT, err))
        return false;
    body = json_trim(body);
    if (json_type_of(body) != JSON_OBJECT)
        return codec_wrong_type(err, "", "an object");
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!read_member(&r, key, value, verb, ret))
            return false;
    }
    return ret->ids != NULL || err_at(err, ERR_INVALID, "/jobs", "is required");
}
