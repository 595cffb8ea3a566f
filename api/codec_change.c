/* SPDX-License-Identifier: MIT */
/* The body of PATCH /v1/jobs/{id}: members of a job, of which only some can be changed. */
#include "api/codec_read.h"

static const struct {
    const char *name;
    uint32_t member;
} changeable[] = {
    {"priority", MEMBER_PRIORITY},
    {"queue", MEMBER_QUEUE},
    {"delay", MEMBER_DUE},
    {"run_at", MEMBER_DUE},
    {"name", MEMBER_NAME},
    {"labels", MEMBER_LABELS},
    {"metadata", MEMBER_METADATA},
    {"retry", MEMBER_RETRY},
    {"keep", MEMBER_KEEP},
    {"queue_timeout", MEMBER_QUEUE_TIMEOUT},
    {"deadline", MEMBER_DEADLINE},
    {"timeout", MEMBER_TIMEOUT},
    {"limits", 0}, /* those that it names */
};

static const struct {
    const char *name;
    uint32_t member;
} limits[] = {
    {"memory", MEMBER_LIMIT_MEMORY},       {"cpu", MEMBER_LIMIT_CPU},
    {"processes", MEMBER_LIMIT_PROCESSES}, {"open_files", MEMBER_LIMIT_OPEN_FILES},
    {"file_size", MEMBER_LIMIT_FILE_SIZE}, {"output", MEMBER_LIMIT_OUTPUT},
    {"on_output", MEMBER_ON_OUTPUT},
};

/* Of an object that has been read: all its names are known. */
static uint32_t limits_named(struct slice object)
{
    struct json_iter it;
    struct slice key, value;
    uint32_t members = 0;
    json_iter_init(&it, object);
    while (json_next_member(&it, &key, &value))
        for (size_t i = 0; i < ARRAY_LEN(limits); i++)
            if (json_string_eq(key, limits[i].name))
                members |= limits[i].member;
    return members;
}

static bool read_member(struct job_reader *r, struct slice key, struct slice value,
                        uint32_t *members)
{
    char pointer[80];
    for (size_t i = 0; i < ARRAY_LEN(changeable); i++) {
        if (!json_string_eq(key, changeable[i].name))
            continue;
        if (!codec_job_member(r, key, value))
            return false;
        *members |= changeable[i].member == 0 ? limits_named(value) : changeable[i].member;
        return true;
    }
    codec_pointer("", key, pointer);
    return err_at(r->err, ERR_INVALID, pointer, "cannot be changed after the submission");
}

bool codec_read_change(struct slice body, const struct config *cfg, struct arena *a,
                       struct change_request *ret, struct err *err)
{
    struct job_reader r = {.cfg = cfg, .a = a, .spec = &ret->spec, .err = err};
    struct json_iter it;
    struct slice key, value;
    ret->members = 0;
    codec_job_begin(&r);
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT,
                           "A change is a JSON object of members of a job", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!read_member(&r, key, value, &ret->members))
            return false;
    }
    if (r.has_delay && r.has_run_at)
        return err_at(err, ERR_INVALID, "/run_at",
                      "\"delay\" and \"run_at\" must not come together");
    return true;
}
