/* SPDX-License-Identifier: MIT */
/* The settings of a queue, and what they add to its jobs. */
#include "api/codec_read.h"

/* ------------------------------------------------------------------------------------------------
 * defaults */

/* What a job may have from its queue: how it is to run, never what. */
static const char *const default_names[] = {
    "priority", "timeout", "queue_timeout", "deadline", "stop", "retry",
    "limits",   "keep",    "result",        "cwd",      "env",
};

static bool is_default_name(struct slice raw_key)
{
    for (size_t i = 0; i < ARRAY_LEN(default_names); i++)
        if (json_string_eq(raw_key, default_names[i]))
            return true;
    return false;
}

bool codec_take_defaults(struct job_reader *r)
{
    struct slice defaults = {0};
    struct json_iter it;
    struct slice key, value;
    if (r->defaults.of_queue == NULL)
        return true;
    if (!r->defaults.of_queue(r->defaults.arg, r->spec->queue, r->a, &defaults, r->err))
        return false;
    if (defaults.ptr == NULL)
        return true;
    json_iter_init(&it, defaults);
    while (json_next_member(&it, &key, &value)) {
        if (!codec_job_names(r, key) && !codec_job_member(r, key, value))
            return err_wrap(r->err, "default of queue %.*s", (int)r->spec->queue.len,
                            r->spec->queue.ptr);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * settings */

struct queue_reader {
    const struct config *cfg;
    struct arena *a;
    struct queue_change *change;
    struct err *err;
};

static bool read_paused(struct queue_reader *r, struct slice value)
{
    enum json_type type = json_type_of(value);
    r->change->to.paused = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE ||
           codec_wrong_type(r->err, "/paused", "true or false");
}

/* null: no limit, which is 0 inside. */
static bool read_count(struct queue_reader *r, struct slice value, const char *pointer, int64_t max,
                       int64_t *ret)
{
    *ret = 0;
    if (json_type_of(value) == JSON_NULL)
        return true;
    if (json_type_of(value) == JSON_NUMBER && json_to_i64(value, ret) && *ret >= 1 && *ret <= max)
        return true;
    return err_at(r->err, ERR_INVALID, pointer, "must be a whole number from 1 to %lld, or null",
                  (long long)max);
}

static bool read_concurrency(struct queue_reader *r, struct slice value)
{
    int64_t n;
    bool ok = read_count(r, value, "/concurrency", MAX_CONCURRENCY, &n);
    r->change->to.concurrency = (uint32_t)n;
    return ok;
}

static bool read_weight(struct queue_reader *r, struct slice value)
{
    int64_t n;
    bool ok = read_count(r, value, "/weight", MAX_WEIGHT, &n);
    r->change->to.weight = (uint32_t)n;
    return ok;
}

static bool read_max_length(struct queue_reader *r, struct slice value)
{
    return read_count(r, value, "/max_length", MAX_LENGTH, &r->change->to.max_length);
}

/* "10/1s"; "10/s" is the same. */
static bool rate_of(struct slice text, struct queue_settings *to)
{
    const char *slash = memchr(text.ptr, '/', text.len);
    char span[32];
    int64_t n;
    if (slash == NULL)
        return false;
    struct slice count = {text.ptr, (size_t)(slash - text.ptr)};
    struct slice rest = {slash + 1, text.len - count.len - 1};
    bool is_bare = rest.len > 0 && (rest.ptr[0] < '0' || rest.ptr[0] > '9');
    if (rest.len == 0 || rest.len > sizeof span - 2)
        return false;
    (void)snprintf(span, sizeof span, "%s%.*s", is_bare ? "1" : "", (int)rest.len, rest.ptr);
    if (!text_to_i64(count, &n) || n < 1 || n > MAX_RATE ||
        !text_to_duration_us(slice_of(span), &to->rate_us) || to->rate_us < 1000)
        return false;
    to->rate_n = (uint32_t)n;
    return true;
}

static bool read_rate(struct queue_reader *r, struct slice value)
{
    if (json_type_of(value) == JSON_NULL)
        return true;
    if (json_type_of(value) == JSON_STRING && rate_of(codec_inside(value), &r->change->to))
        return true;
    return err_at(r->err, ERR_INVALID, "/rate",
                  "must be text such as \"10/1s\" (so many starts in each such time, up to %d, of "
                  "at least 1ms), or null",
                  MAX_RATE);
}

/* They are read as a job's members are, so that no job fails because of them later. */
static bool check_defaults(struct queue_reader *r, struct slice object)
{
    struct job_spec spec;
    struct job_reader job = {.cfg = r->cfg, .a = r->a, .spec = &spec, .err = r->err};
    struct json_iter it;
    struct slice key, value;
    codec_job_begin(&job);
    json_iter_init(&it, object);
    while (json_next_member(&it, &key, &value)) {
        char pointer[80];
        codec_pointer("/defaults", key, pointer);
        if (!is_default_name(key))
            return err_at(
                r->err, ERR_INVALID, pointer,
                "cannot be a default; \"priority\", \"timeout\", \"retry\", \"limits\" and "
                "others of their kind can");
        if (!codec_job_member_at(&job, "/defaults", key, value))
            return false;
    }
    return true;
}

static bool read_defaults(struct queue_reader *r, struct slice value)
{
    if (json_type_of(value) == JSON_NULL)
        return true;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, "/defaults", "an object of members of a job, or null");
    if (value.len > MAX_DEFAULTS_BYTES)
        return err_at(r->err, ERR_INVALID, "/defaults", "may have at most %u bytes",
                      MAX_DEFAULTS_BYTES);
    r->change->defaults = value;
    return check_defaults(r, value);
}

static const struct {
    const char *name;
    enum queue_member member;
    bool (*read)(struct queue_reader *r, struct slice value);
} settings[] = {
    {"paused", QUEUE_PAUSED, read_paused},
    {"concurrency", QUEUE_CONCURRENCY, read_concurrency},
    {"rate", QUEUE_RATE, read_rate},
    {"weight", QUEUE_WEIGHT, read_weight},
    {"max_length", QUEUE_MAX_LENGTH, read_max_length},
    {"defaults", QUEUE_DEFAULTS, read_defaults},
};

static bool read_setting(struct queue_reader *r, struct slice key, struct slice value)
{
    char pointer[80];
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        if (!json_string_eq(key, settings[i].name))
            continue;
        r->change->members |= settings[i].member;
        return settings[i].read(r, value);
    }
    codec_pointer("", key, pointer);
    return err_at(r->err, ERR_INVALID, pointer, "is not a setting of a queue");
}

bool codec_read_queue(struct slice body, const struct config *cfg, struct arena *a,
                      struct queue_change *ret, struct err *err)
{
    struct queue_reader r = {.cfg = cfg, .a = a, .change = ret, .err = err};
    struct json_iter it;
    struct slice key, value;
    *ret = (struct queue_change){.if_version = QUEUE_ANY_VERSION};
    if (body.len == 0)
        return true;
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "The settings of a queue are a JSON object",
                           err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!read_setting(&r, key, value))
            return false;
    }
    return true;
}
