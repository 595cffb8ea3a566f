/* SPDX-License-Identifier: MIT */
#include "cli/json.h"

/* A page of a hundred jobs with large metadata stays far below. */
#define ANSWER_LIMITS ((struct json_limits){128, 16u << 20})

bool json_check(struct slice text, struct err *err)
{
    struct err why = {0};
    if (json_validate(text, ANSWER_LIMITS, &why))
        return true;
    return err_set(err, ERR_INTERNAL, "the server's answer is not JSON: %s", why.detail);
}

struct slice json_at(struct slice object, const char *path)
{
    struct slice value = json_trim(object);
    while (*path != '\0') {
        char name[64];
        size_t len = strcspn(path, ".");
        PRE(len > 0 && len < sizeof(name));
        memcpy(name, path, len);
        name[len] = '\0';
        struct slice inner;
        if (json_type_of(value) != JSON_OBJECT || !json_find(value, name, &inner))
            return (struct slice){0};
        value = inner;
        path += len + (path[len] == '.');
    }
    return json_type_of(value) == JSON_NULL ? (struct slice){0} : value;
}

const char *json_text_at(struct slice object, const char *path, struct arena *a)
{
    struct slice value = json_at(object, path);
    if (value.ptr == NULL || json_type_of(value) != JSON_STRING)
        return "";
    const char *text = json_string_dup(value, a, NULL);
    return text == NULL ? "" : text;
}

int64_t json_i64_at(struct slice object, const char *path, int64_t fallback)
{
    struct slice value = json_at(object, path);
    int64_t number = 0;
    if (value.ptr == NULL || json_type_of(value) != JSON_NUMBER || !json_to_i64(value, &number))
        return fallback;
    return number;
}

double json_double_at(struct slice object, const char *path, double fallback)
{
    struct slice value = json_at(object, path);
    double number = 0;
    if (value.ptr == NULL || json_type_of(value) != JSON_NUMBER || !json_to_double(value, &number))
        return fallback;
    return number;
}

bool json_is_true(struct slice value)
{
    return value.ptr != NULL && json_type_of(value) == JSON_TRUE;
}

bool json_read_problem(struct slice text, struct arena *a, struct json_problem *ret)
{
    struct slice object = json_trim(text);
    if (object.len == 0 || !json_validate(object, ANSWER_LIMITS, NULL) ||
        json_type_of(object) != JSON_OBJECT)
        return false;
    const char *type = json_text_at(object, "type", a);
    const char *slash = strrchr(type, '/');
    struct json_problem problem = {
        .slug = slash == NULL ? type : slash + 1,
        .title = json_text_at(object, "title", a),
        .detail = json_text_at(object, "detail", a),
        .pointer = "",
    };
    if (problem.title[0] == '\0')
        return false;
    if (problem.detail[0] == '\0')
        problem.detail = problem.title;
    struct slice errors = json_at(object, "errors"), first;
    if (errors.ptr != NULL && json_type_of(errors) == JSON_ARRAY) {
        struct json_iter it;
        json_iter_init(&it, errors);
        if (json_next_element(&it, &first) && json_type_of(first) == JSON_OBJECT)
            problem.pointer = json_text_at(first, "pointer", a);
    }
    *ret = problem;
    return true;
}

bool json_take_job(struct slice object, struct arena *a, struct json_job *ret, struct err *err)
{
    struct json_job job = {.raw = object, .reason = REASON_NONE};
    if (object.len == 0 || json_type_of(object) != JSON_OBJECT)
        return err_set(err, ERR_INTERNAL, "the server's answer is not a job");
    const char *id = json_text_at(object, "id", a);
    const char *state = json_text_at(object, "state", a);
    const char *reason = json_text_at(object, "reason", a);
    if (strlen(id) != sizeof(job.id) - 1 || !job_state_parse(slice_of(state), &job.state))
        return err_set(err, ERR_INTERNAL,
                       "the server's answer is not a job that this client knows");
    memcpy(job.id, id, sizeof(job.id));
    if (!job_reason_parse(slice_of(reason), &job.reason))
        job.reason = REASON_NONE; /* none, or one that came later */
    job.done = json_is_true(json_at(object, "done"));
    job.attempt = json_i64_at(object, "attempt", 0);
    job.has_exit_code = json_at(object, "exit_code").ptr != NULL;
    job.exit_code = json_i64_at(object, "exit_code", 0);
    job.signal = text_to_signal(slice_of(json_text_at(object, "signal", a)));
    job.name = json_text_at(object, "name", a);
    job.queue = json_text_at(object, "queue", a);
    job.detail = json_text_at(object, "error.detail", a);
    job.output_bytes[0] = (uint64_t)MAX(json_i64_at(object, "output.stdout_bytes", 0), 0);
    job.output_bytes[1] = (uint64_t)MAX(json_i64_at(object, "output.stderr_bytes", 0), 0);
    job.truncated = json_is_true(json_at(object, "output.truncated"));
    *ret = job;
    return true;
}

bool json_read_job(struct slice text, struct arena *a, struct json_job *ret, struct err *err)
{
    return json_check(text, err) && json_take_job(json_trim(text), a, ret, err);
}
