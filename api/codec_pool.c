/* SPDX-License-Identifier: MIT */
#include "api/codec_pool.h"

#include "api/codec_read.h"
#include "service/base/text.h"

/* ------------------------------------------------------------------------------------------------
 * settings */

typedef bool (*setting_reader)(struct slice value, const char *pointer, struct pool_settings *to,
                               struct err *err);

static bool is_null(struct slice value)
{
    return json_type_of(value) == JSON_NULL;
}

static bool is_within(int64_t n, int64_t least, int64_t most)
{
    return n >= least && n <= most;
}

static bool read_number(struct slice value, int64_t *ret, int64_t least, int64_t most)
{
    return json_type_of(value) == JSON_NUMBER && json_to_i64(value, ret) &&
           is_within(*ret, least, most);
}

struct bounded {
    const char *pointer;
    int64_t least, most;
};

static bool read_count(struct slice value, const struct bounded *what, uint32_t *ret,
                       struct err *err)
{
    int64_t n = 0;
    if (!read_number(value, &n, what->least, what->most))
        return err_at(err, ERR_INVALID, what->pointer, "must be a whole number from %lld to %lld",
                      (long long)what->least, (long long)what->most);
    *ret = (uint32_t)n;
    return true;
}

static bool read_size(struct slice value, const char *pointer, struct pool_settings *to,
                      struct err *err)
{
    return read_count(value, &(struct bounded){pointer, POOL_SIZES}, &to->size, err);
}

static bool read_min(struct slice value, const char *pointer, struct pool_settings *to,
                     struct err *err)
{
    int64_t n = 0;
    to->min = POOL_MIN_ALL;
    if (is_null(value))
        return true;
    if (!read_number(value, &n, POOL_MINS))
        return err_at(err, ERR_INVALID, pointer,
                      "must be a whole number from 0 to the size, or null: as many as the size");
    to->min = (uint32_t)n;
    return true;
}

static bool read_idle(struct slice value, const char *pointer, struct pool_settings *to,
                      struct err *err)
{
    struct job_reader r = {.err = err};
    return codec_timeout(&r, value, pointer, &to->idle_us);
}

static bool read_max_jobs(struct slice value, const char *pointer, struct pool_settings *to,
                          struct err *err)
{
    to->max_jobs = 0;
    return is_null(value) ||
           read_count(value, &(struct bounded){pointer, POOL_JOBS_PER_WORKER}, &to->max_jobs, err);
}

static bool read_max_rss(struct slice value, const char *pointer, struct pool_settings *to,
                         struct err *err)
{
    const enum json_type type = json_type_of(value);
    to->max_rss = 0;
    if (type == JSON_NULL)
        return true;
    const bool ok = (type == JSON_NUMBER && text_to_bytes(value, &to->max_rss)) ||
                    (type == JSON_STRING && text_to_bytes(codec_inside(value), &to->max_rss));
    return (ok && to->max_rss != 0 && pool_rss_is_allowed(to->max_rss)) ||
           err_at(err, ERR_INVALID, pointer,
                  "must be a size from 1 MiB to 1 TiB: a number of bytes, or text such as "
                  "\"512MiB\"; or null");
}

static bool read_start_timeout(struct slice value, const char *pointer, struct pool_settings *to,
                               struct err *err)
{
    struct job_reader r = {.err = err};
    return codec_duration(&r, value, pointer, &to->start_timeout_us) &&
           (is_within(to->start_timeout_us, POOL_START_TIMES) ||
            err_at(err, ERR_INVALID, pointer, "must be from 10 ms to one hour"));
}

static bool read_start_failures(struct slice value, const char *pointer, struct pool_settings *to,
                                struct err *err)
{
    return read_count(value, &(struct bounded){pointer, POOL_FAILURES}, &to->start_failures, err);
}

static bool read_on_death(struct slice value, const char *pointer, struct pool_settings *to,
                          struct err *err)
{
    for (uint32_t i = 0; i < DEATH_KINDS && json_type_of(value) == JSON_STRING; i++) {
        to->on_death = i;
        if (slice_is(codec_inside(value), worker_death_name(i)))
            return true;
    }
    return codec_wrong_type(err, pointer, "\"fail_job\", \"retry\" or \"break\"");
}

static bool read_isolation(struct slice value, const char *pointer, struct pool_settings *to,
                           struct err *err)
{
    to->isolation = POOL_ANY;
    if (is_null(value))
        return true;
    for (uint32_t i = 1; i < POOL_ISOLATIONS && json_type_of(value) == JSON_STRING; i++) {
        to->isolation = i;
        if (slice_is(codec_inside(value), pool_isolation_name(i)))
            return true;
    }
    return codec_wrong_type(err, pointer, "\"exec\", \"fork\", \"reuse\" or null");
}

static const struct {
    const char *name;
    enum pool_member member;
    setting_reader read;
} settings[] = {
    {"size", POOL_SIZE, read_size},
    {"min", POOL_MIN, read_min},
    {"idle", POOL_IDLE, read_idle},
    {"max_jobs_per_worker", POOL_MAX_JOBS, read_max_jobs},
    {"max_rss", POOL_MAX_RSS, read_max_rss},
    {"start_timeout", POOL_START_TIMEOUT, read_start_timeout},
    {"start_failures", POOL_START_FAILURES, read_start_failures},
    {"on_worker_death", POOL_ON_DEATH, read_on_death},
    {"isolation", POOL_ISOLATION, read_isolation},
};

#define OF_RUNNER "is a member of \"runner\""

static const struct {
    const char *name, *why;
} not_here[] = {
    {"session", "comes with a later version of ganger"},
    {"runner", "is said when the pool is made, and stays; make another pool"},
    {"preload", OF_RUNNER},
    {"initializer", OF_RUNNER},
    {"init_base64", OF_RUNNER},
    {"codec", OF_RUNNER},
};

static bool read_setting(struct slice key, struct slice value, struct pool_change *ret,
                         struct err *err)
{
    char pointer[80];
    codec_pointer("", key, pointer);
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        if (!json_string_eq(key, settings[i].name))
            continue;
        ret->members |= settings[i].member;
        return settings[i].read(value, pointer, &ret->to, err);
    }
    for (size_t i = 0; i < ARRAY_LEN(not_here); i++)
        if (json_string_eq(key, not_here[i].name))
            return err_at(err, ERR_INVALID, pointer, "%s", not_here[i].why);
    return err_at(err, ERR_INVALID, pointer, "is not a setting of a pool");
}

static bool read_name(struct slice value, struct pool_change *ret, struct err *err)
{
    ret->name = codec_inside(value);
    return (json_type_of(value) == JSON_STRING && pool_name_is_valid(ret->name)) ||
           err_at(err, ERR_INVALID, "/name",
                  "must be text of 1 to %d letters, digits, \"_\", \".\" or \"-\"", MAX_POOL_NAME);
}

static bool read_pool(struct slice body, bool is_new, struct pool_change *ret, struct err *err)
{
    struct json_iter it;
    struct slice key, value;
    *ret = (struct pool_change){0};
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "The settings of a pool are a JSON object",
                           err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        bool ok;
        if (is_new && json_string_eq(key, "name"))
            ok = read_name(value, ret, err);
        else if (is_new && json_string_eq(key, "runner"))
            ok = is_null(value) || pool_runner_read(value, "/runner", ret->runner, err);
        else
            ok = read_setting(key, value, ret, err);
        if (!ok)
            return false;
    }
    return true;
}

bool codec_read_pool(struct slice body, struct pool_change *ret, struct err *err)
{
    return read_pool(body, false, ret, err);
}

bool codec_read_new_pool(struct slice body, struct pool_change *ret, struct err *err)
{
    if (!read_pool(body, true, ret, err))
        return false;
    if (ret->name.ptr == NULL)
        return err_at(err, ERR_INVALID, "/name", "is missing");
    return (ret->members & POOL_SIZE) != 0 || err_at(err, ERR_INVALID, "/size", "is missing");
}

/* ------------------------------------------------------------------------------------------------
 * verbs */

static bool read_cancel_queued(struct slice value, struct pool_stop *ret, struct err *err)
{
    const enum json_type type = json_type_of(value);
    ret->cancel_queued = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE ||
           codec_wrong_type(err, "/cancel_queued", "true or false");
}

bool codec_read_pool_close(struct slice body, struct pool_stop *ret, struct err *err)
{
    struct json_iter it;
    struct slice key, value;
    char pointer[80];
    *ret = (struct pool_stop){.grace_us = -1};
    if (body.len == 0)
        return true;
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "The body of a verb is a JSON object", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        codec_pointer("", key, pointer);
        if (!json_string_eq(key, "cancel_queued"))
            return err_at(err, ERR_INVALID, pointer, "is not a member of this verb");
        if (!read_cancel_queued(value, ret, err))
            return false;
    }
    return true;
}

bool codec_read_pool_stop(struct slice body, struct pool_stop *ret, struct err *err)
{
    struct cancel_request cancel;
    *ret = (struct pool_stop){.grace_us = -1};
    if (!codec_read_cancel(body, &cancel, err))
        return false;
    if (cancel.only_queued || cancel.why[0] != '\0')
        return err_at(err, ERR_INVALID, cancel.only_queued ? "/if" : "/reason",
                      "is not a member of this verb");
    ret->signal = cancel.signal;
    ret->grace_us = cancel.grace_us;
    return true;
}
