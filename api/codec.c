/* SPDX-License-Identifier: MIT */
#include "api/codec_read.h"

#include <cjson/cJSON.h>
#include <math.h>

/* cJSON sees only objects that the strict scanner has accepted. Its parser keeps the place of the
 * last error in a global that nobody reads here; its numbers are doubles, which hold every number
 * that these members allow exactly. Its keys are compared with strcmp: cJSON's own lookup ignores
 * case. */

#define MAX_GRACE_US (3600 * INT64_C(1000000))
#define MAX_DURATION_S 315360000.0    /* ten years, as text_to_duration_us */
#define MAX_BYTES (UINT64_C(1) << 50) /* a double holds it exactly */
#define MAX_COUNT 1000000

/* One table per object; `read` gets the member's own pointer. */
struct nested_member {
    const char *name;
    bool (*read)(void *target, const cJSON *item, const char *pointer, struct err *err);
};

static bool walk_nested(const cJSON *object, const struct nested_member *members, void *target,
                        const char *base, struct err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        char pointer[128];
        const struct nested_member *m = members;
        (void)snprintf(pointer, sizeof pointer, "%s/%.100s", base, item->string);
        while (m->name != NULL && strcmp(m->name, item->string) != 0)
            m++;
        if (m->name == NULL)
            return err_at(err, ERR_INVALID, pointer, "is not known here");
        if (!m->read(target, item, pointer, err))
            return false;
    }
    return true;
}

static bool read_nested(struct slice value, const struct nested_member *members, void *target,
                        const char *base, struct err *err)
{
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(err, base, "an object");
    cJSON *object = cJSON_ParseWithLengthOpts(value.ptr, value.len, NULL, false);
    if (object == NULL)
        return err_set(err, ERR_TOO_LARGE, "Out of memory while reading the request");
    bool ok = walk_nested(object, members, target, base, err);
    cJSON_Delete(object);
    return ok;
}

static bool nested_duration(const cJSON *item, const char *pointer, int64_t *ret_us,
                            struct err *err)
{
    if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= MAX_DURATION_S) {
        *ret_us = (int64_t)(item->valuedouble * 1e6 + 0.5);
        return true;
    }
    if (cJSON_IsString(item) && text_to_duration_us(slice_of(item->valuestring), ret_us))
        return true;
    return codec_wrong_type(
        err, pointer, "a number of seconds or text such as \"250ms\", \"30s\", \"5m\" or \"2h\"");
}

struct bounds {
    int64_t min, max;
};

static bool nested_count(const cJSON *item, const char *pointer, struct bounds allowed,
                         int64_t *ret, struct err *err)
{
    if (!cJSON_IsNumber(item) || item->valuedouble < (double)allowed.min ||
        item->valuedouble > (double)allowed.max || floor(item->valuedouble) < item->valuedouble)
        return err_at(err, ERR_INVALID, pointer, "must be a whole number from %lld to %lld",
                      (long long)allowed.min, (long long)allowed.max);
    *ret = (int64_t)item->valuedouble;
    return true;
}

static bool nested_bytes(const cJSON *item, const char *pointer, uint64_t min, uint64_t *ret,
                         struct err *err)
{
    int64_t n = 0;
    bool ok = cJSON_IsString(item) && text_to_bytes(slice_of(item->valuestring), ret);
    if (!ok && cJSON_IsNumber(item)) {
        if (!nested_count(item, pointer, (struct bounds){0, (int64_t)MAX_BYTES}, &n, err))
            return false;
        *ret = (uint64_t)n;
        ok = true;
    }
    if (!ok || *ret < min || *ret > MAX_BYTES)
        return err_at(err, ERR_INVALID, pointer,
                      "must be a size of at least %llu bytes: a number, or text such as \"64KiB\"",
                      (unsigned long long)min);
    return true;
}

static bool nested_signal(const cJSON *item, const char *pointer, int32_t *ret, struct err *err)
{
    int signal = cJSON_IsString(item) ? text_to_signal(slice_of(item->valuestring)) : 0;
    if (signal == 0)
        return codec_wrong_type(err, pointer,
                                "the name of a signal, such as \"TERM\" or \"SIGINT\"");
    *ret = signal;
    return true;
}

static bool nested_grace(const cJSON *item, const char *pointer, int64_t *ret_us, struct err *err)
{
    if (!nested_duration(item, pointer, ret_us, err))
        return false;
    return *ret_us <= MAX_GRACE_US || err_at(err, ERR_INVALID, pointer, "must be at most one hour");
}

static bool stop_signal(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct job_spec *spec = target;
    return nested_signal(item, pointer, &spec->stop_signal, err);
}

static bool stop_grace(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct job_spec *spec = target;
    return nested_grace(item, pointer, &spec->stop_grace_us, err);
}

bool codec_read_stop(struct slice value, const char *pointer, struct job_spec *spec,
                     struct err *err)
{
    static const struct nested_member members[] = {
        {"signal", stop_signal}, {"grace", stop_grace}, {NULL, NULL}};
    return read_nested(value, members, spec, pointer, err);
}

/* Of a job with `retry`; one without is started once. */
#define DEFAULT_RETRY_ATTEMPTS 4u

struct retry_target {
    struct job_spec *spec;
    uint32_t max_attempts;
};

static bool retry_max_attempts(void *target, const cJSON *item, const char *pointer,
                               struct err *err)
{
    struct retry_target *t = target;
    int64_t n = 0;
    if (!nested_count(item, pointer, (struct bounds){1, t->max_attempts}, &n, err))
        return false;
    t->spec->max_attempts = (uint32_t)n;
    return true;
}

static bool retry_delay(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct retry_target *t = target;
    int64_t us = 0;
    if (!nested_duration(item, pointer, &us, err))
        return false;
    t->spec->retry.delay_us = (uint64_t)us;
    return true;
}

static bool retry_max_delay(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct retry_target *t = target;
    int64_t us = 0;
    if (!nested_duration(item, pointer, &us, err))
        return false;
    t->spec->retry.max_delay_us = (uint64_t)us;
    return true;
}

static bool retry_factor(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct retry_target *t = target;
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 1 && item->valuedouble <= 1000))
        return codec_wrong_type(err, pointer, "a number from 1 to 1000");
    t->spec->retry.factor = item->valuedouble;
    return true;
}

static bool retry_jitter(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct retry_target *t = target;
    if (!cJSON_IsBool(item))
        return codec_wrong_type(err, pointer, "true or false");
    t->spec->retry.jitter = cJSON_IsTrue(item) ? 1 : 0;
    return true;
}

struct rules {
    uint32_t *mask;
    uint8_t *exits, *n_exits;
};

/* "exit:75" or the name of a reason. */
static bool read_rule(const cJSON *item, const char *pointer, const struct rules *rules,
                      struct err *err)
{
    static const char prefix[] = "exit:";
    enum job_reason reason;
    int64_t code;
    struct slice text = cJSON_IsString(item) ? slice_of(item->valuestring) : (struct slice){0};
    if (text.ptr == NULL)
        return codec_wrong_type(err, pointer, "the name of a reason or \"exit:<code>\"");
    if (text.len > 5 && memcmp(text.ptr, prefix, 5) == 0) {
        if (!text_to_i64((struct slice){text.ptr + 5, text.len - 5}, &code) || code < 1 ||
            code > 255)
            return codec_wrong_type(err, pointer, "\"exit:<code>\" with a code from 1 to 255");
        if (*rules->n_exits == MAX_EXIT_RULES)
            return err_at(err, ERR_INVALID, pointer, "there may be at most %d exit codes",
                          MAX_EXIT_RULES);
        rules->exits[(*rules->n_exits)++] = (uint8_t)code;
        return true;
    }
    if (!job_reason_parse(text, &reason))
        return err_at(err, ERR_INVALID, pointer, "\"%.40s\" is not a reason of failure",
                      item->valuestring);
    *rules->mask |= 1u << reason;
    return true;
}

static bool read_rules(const cJSON *list, const char *pointer, const struct rules *rules,
                       struct err *err)
{
    const cJSON *item;
    int i = 0;
    if (!cJSON_IsArray(list))
        return codec_wrong_type(err, pointer, "an array of reasons");
    cJSON_ArrayForEach(item, list)
    {
        char element[128];
        (void)snprintf(element, sizeof element, "%.100s/%d", pointer, i++);
        if (!read_rule(item, element, rules, err))
            return false;
    }
    return true;
}

static bool retry_on(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct retry_policy *p = &((struct retry_target *)target)->spec->retry;
    p->on_mask = 0; /* what is listed replaces the default */
    return read_rules(item, pointer, &(struct rules){&p->on_mask, p->on_exit, &p->n_on_exit}, err);
}

static bool retry_never_on(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct retry_policy *p = &((struct retry_target *)target)->spec->retry;
    return read_rules(item, pointer,
                      &(struct rules){&p->never_mask, p->never_exit, &p->n_never_exit}, err);
}

bool codec_read_retry(struct slice value, const char *pointer, uint32_t max_attempts,
                      struct job_spec *spec, struct err *err)
{
    static const struct nested_member members[] = {
        {"max_attempts", retry_max_attempts},
        {"delay", retry_delay},
        {"max_delay", retry_max_delay},
        {"factor", retry_factor},
        {"jitter", retry_jitter},
        {"on", retry_on},
        {"never_on", retry_never_on},
        {NULL, NULL},
    };
    struct retry_target target = {spec, max_attempts};
    spec->has_retry = true;
    spec->max_attempts = MIN(DEFAULT_RETRY_ATTEMPTS, max_attempts);
    spec->retry = (struct retry_policy){
        .version = 1,
        .jitter = 1,
        .on_mask = job_reasons_retried_by_default(),
        .delay_us = 1000000,
        .max_delay_us = 300 * UINT64_C(1000000),
        .factor = 2,
    };
    return read_nested(value, members, &target, pointer, err);
}

/* null takes a limit away. */
static bool limit_bytes(const cJSON *item, const char *pointer, uint64_t min, uint64_t *ret,
                        struct err *err)
{
    if (cJSON_IsNull(item)) {
        *ret = 0;
        return true;
    }
    return nested_bytes(item, pointer, min, ret, err);
}

static bool limit_count(const cJSON *item, const char *pointer, int64_t min, uint32_t *ret,
                        struct err *err)
{
    int64_t n = 0;
    if (!cJSON_IsNull(item) &&
        !nested_count(item, pointer, (struct bounds){min, MAX_COUNT}, &n, err))
        return false;
    *ret = (uint32_t)n;
    return true;
}

static bool limit_memory(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    return limit_bytes(item, pointer, 1u << 20, &((struct job_spec *)target)->limit_memory, err);
}

static bool limit_file_size(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    return limit_bytes(item, pointer, 1, &((struct job_spec *)target)->limit_file_size, err);
}

static bool limit_output(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    return nested_bytes(item, pointer, 1, &((struct job_spec *)target)->limit_output, err);
}

static bool limit_cpu(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct job_spec *spec = target;
    spec->limit_cpu_us = 0;
    if (cJSON_IsNull(item))
        return true;
    if (!nested_duration(item, pointer, &spec->limit_cpu_us, err))
        return false;
    return spec->limit_cpu_us > 0 ||
           err_at(err, ERR_INVALID, pointer, "must be longer than zero; null means none");
}

static bool limit_processes(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    return limit_count(item, pointer, 1, &((struct job_spec *)target)->limit_processes, err);
}

static bool limit_open_files(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    return limit_count(item, pointer, 8, &((struct job_spec *)target)->limit_open_files, err);
}

static bool limit_on_output(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    bool fails = cJSON_IsString(item) && strcmp(item->valuestring, "fail") == 0;
    if (!fails && !(cJSON_IsString(item) && strcmp(item->valuestring, "truncate") == 0))
        return codec_wrong_type(err, pointer, "\"truncate\" or \"fail\"");
    ((struct job_spec *)target)->output_limit_fails = fails;
    return true;
}

bool codec_read_limits(struct slice value, const char *pointer, struct job_spec *spec,
                       struct err *err)
{
    static const struct nested_member members[] = {
        {"memory", limit_memory},       {"cpu", limit_cpu},
        {"processes", limit_processes}, {"open_files", limit_open_files},
        {"file_size", limit_file_size}, {"output", limit_output},
        {"on_output", limit_on_output}, {NULL, NULL},
    };
    return read_nested(value, members, spec, pointer, err);
}

static bool cancel_reason(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    struct cancel_request *c = target;
    if (!cJSON_IsString(item) || strlen(item->valuestring) >= sizeof c->why)
        return err_at(err, ERR_INVALID, pointer, "must be a string of at most %zu bytes",
                      sizeof c->why - 1);
    memcpy(c->why, item->valuestring, strlen(item->valuestring) + 1);
    return true;
}

static bool cancel_signal(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    return nested_signal(item, pointer, &((struct cancel_request *)target)->signal, err);
}

static bool cancel_grace(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    return nested_grace(item, pointer, &((struct cancel_request *)target)->grace_us, err);
}

static bool cancel_if(void *target, const cJSON *item, const char *pointer, struct err *err)
{
    if (!cJSON_IsString(item) || strcmp(item->valuestring, "queued") != 0)
        return codec_wrong_type(err, pointer, "\"queued\"");
    ((struct cancel_request *)target)->only_queued = true;
    return true;
}

bool codec_read_cancel(struct slice body, struct cancel_request *ret, struct err *err)
{
    static const struct nested_member members[] = {
        {"reason", cancel_reason},
        {"signal", cancel_signal},
        {"grace", cancel_grace},
        {"if", cancel_if},
        {NULL, NULL},
    };
    *ret = (struct cancel_request){.grace_us = -1};
    if (body.len == 0)
        return true;
    if (!json_validate(body, JSON_LIMITS_DEFAULT, err))
        return false;
    return read_nested(json_trim(body), members, ret, "", err);
}
