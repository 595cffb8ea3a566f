/* SPDX-License-Identifier: MIT */
#include "api/codec_read.h"

#include <signal.h>

#define MAX_LABELS 64u
#define MAX_LABEL_BYTES 256u

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c == 0x7F)
            return true;
    }
    return false;
}

static bool read_name(struct job_reader *r, struct slice value, const char *pointer)
{
    struct slice *name = &r->spec->name;
    if (!codec_text(r, value, pointer, name))
        return false;
    if (name->len == 0 || name->len > MAX_NAME_BYTES || has_control(*name))
        return err_at(r->err, ERR_INVALID, pointer,
                      "must have 1 to %u bytes and no control characters", MAX_NAME_BYTES);
    return true;
}

static bool read_queue(struct job_reader *r, struct slice value, const char *pointer)
{
    if (!codec_text(r, value, pointer, &r->spec->queue))
        return false;
    if (!text_is_token(r->spec->queue, MAX_QUEUE_NAME))
        return err_at(r->err, ERR_INVALID, pointer,
                      "must be 1 to %d letters, digits, \"_\", \".\" or \"-\"", MAX_QUEUE_NAME);
    return true;
}

static bool read_priority(struct job_reader *r, struct slice value, const char *pointer)
{
    int64_t n = 0;
    if (json_type_of(value) != JSON_NUMBER || !json_to_i64(value, &n) || n < -100 || n > 100)
        return codec_wrong_type(r->err, pointer, "a whole number from -100 to 100");
    r->spec->priority = (int32_t)n;
    return true;
}

static bool is_label_key(struct slice raw_key)
{
    for (size_t i = 0; i < raw_key.len; i++) {
        char c = raw_key.ptr[i];
        if (!text_is_token((struct slice){&c, 1}, 1) && c != '/')
            return false;
    }
    return raw_key.len > 0 && raw_key.len <= 64;
}

static bool read_labels(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, text;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer, "an object of strings");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &text)) {
        char place[80];
        codec_pointer(pointer, key, place);
        if (!is_label_key(key))
            return err_at(r->err, ERR_INVALID, place,
                          "label names are 1 to 64 letters, digits, \"_\", \".\", \"-\" or \"/\"");
        if (json_type_of(text) != JSON_STRING || text.len > MAX_LABEL_BYTES + 2)
            return err_at(r->err, ERR_INVALID, place, "must be a string of at most %u bytes",
                          MAX_LABEL_BYTES);
        if (++n > MAX_LABELS)
            return err_at(r->err, ERR_INVALID, pointer, "a job has at most %u labels", MAX_LABELS);
    }
    r->spec->labels = value;
    return true;
}

static bool read_pool(struct job_reader *r, struct slice value, const char *pointer)
{
    r->spec->pool = codec_inside(value);
    return (json_type_of(value) == JSON_STRING && pool_name_is_valid(r->spec->pool)) ||
           codec_wrong_type(r->err, pointer, "the name of a pool");
}

/* A pool beside the default one has a queue of its own, which has its name: so whoever names one of
 * the two names both. */
static bool take_pool(struct job_reader *r)
{
    struct job_spec *spec = r->spec;
    if (spec->pool.ptr == NULL || slice_is(spec->pool, DEFAULT_POOL))
        return true;
    if (codec_job_names(r, SLICE_LIT("queue")) && !slice_eq(spec->queue, spec->pool))
        return err_at(r->err, ERR_INVALID, "/queue",
                      "must be left out, or be the pool's name: a pool has its own queue");
    spec->queue = spec->pool;
    return true;
}

static bool read_metadata(struct job_reader *r, struct slice value, const char *pointer)
{
    (void)pointer;
    r->spec->metadata = value;
    return true;
}

static bool read_delay(struct job_reader *r, struct slice value, const char *pointer)
{
    r->has_delay = true;
    return codec_duration(r, value, pointer, &r->spec->delay_us);
}

static bool read_run_at(struct job_reader *r, struct slice value, const char *pointer)
{
    r->has_run_at = true;
    if (json_type_of(value) != JSON_STRING ||
        !text_to_time_us(codec_inside(value), &r->spec->run_at_us) || r->spec->run_at_us <= 0)
        return codec_wrong_type(r->err, pointer,
                                "a time such as \"2026-12-01T00:00:00Z\" (RFC 3339)");
    return true;
}

static bool read_run_timeout(struct job_reader *r, struct slice value, const char *pointer)
{
    return codec_timeout(r, value, pointer, &r->spec->timeout_us);
}

static bool read_queue_timeout(struct job_reader *r, struct slice value, const char *pointer)
{
    return codec_timeout(r, value, pointer, &r->spec->queue_timeout_us);
}

static bool read_deadline(struct job_reader *r, struct slice value, const char *pointer)
{
    return codec_timeout(r, value, pointer, &r->spec->deadline_us);
}

static bool read_keep(struct job_reader *r, struct slice value, const char *pointer)
{
    return codec_duration(r, value, pointer, &r->spec->keep_us);
}

static bool read_result(struct job_reader *r, struct slice value, const char *pointer)
{
    static const char *const names[] = {
        [RESULT_STDOUT] = "stdout", [RESULT_JSON] = "json", [RESULT_NONE] = "none"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (json_type_of(value) == JSON_STRING && json_string_eq(value, names[i])) {
            r->spec->result = (enum job_result)i;
            return true;
        }
    }
    return codec_wrong_type(r->err, pointer, "\"stdout\", \"json\" or \"none\"");
}

static bool read_stop(struct job_reader *r, struct slice value, const char *pointer)
{
    return codec_read_stop(value, pointer, r->spec, r->err);
}

static bool read_retry(struct job_reader *r, struct slice value, const char *pointer)
{
    return codec_read_retry(value, pointer, r->cfg->job_max_attempts, r->spec, r->err);
}

static bool read_limits(struct job_reader *r, struct slice value, const char *pointer)
{
    r->limits = value;
    return codec_read_limits(value, pointer, r->spec, r->err);
}

/* The members of a job, and the names that are kept for later ones: those have no reader. */
struct member {
    const char *name;
    bool (*read)(struct job_reader *r, struct slice value, const char *pointer);
};

/* clang-format off */
static const struct member members[] = {
    {"command", codec_command},              {"metadata", read_metadata},
    {"delay", read_delay},                  {"name", read_name},
    {"queue", read_queue},                  {"priority", read_priority},
    {"labels", read_labels},                {"stdin", codec_stdin},
    {"stdin_base64", codec_stdin_base64},    {"env", codec_env},
    {"cwd", codec_cwd},                      {"run_at", read_run_at},
    {"timeout", read_run_timeout},          {"queue_timeout", read_queue_timeout},
    {"deadline", read_deadline},            {"stop", read_stop},
    {"retry", read_retry},                  {"limits", read_limits},
    {"keep", read_keep},                    {"result", read_result},
    {"callback", codec_callback},
    {"depends_on", codec_depends_on},       {"on_parent_failure", codec_on_parent_failure},
    {"function", codec_function},
    {"args", codec_args},                   {"kwargs", codec_kwargs},
    {"unique", codec_unique},
    {"inputs", codec_inputs},               {"outputs", codec_outputs},
    {"session", NULL},     {"locks", NULL},       {"pool", read_pool},
    {"env_secret", NULL},
    {"files", codec_files},                 {"stdin_from", codec_stdin_from},
};
/* clang-format on */

_Static_assert(ARRAY_LEN(members) <= 64, "one bit of job_reader.named each");

bool codec_job_member_at(struct job_reader *r, const char *parent, struct slice raw_key,
                         struct slice value)
{
    char pointer[80];
    codec_pointer(parent, raw_key, pointer);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (!json_string_eq(raw_key, members[i].name))
            continue;
        if (members[i].read == NULL)
            return err_at(r->err, ERR_INVALID, pointer,
                          "\"%s\" comes with a later version of ganger", members[i].name);
        r->named |= UINT64_C(1) << i;
        return members[i].read(r, value, pointer);
    }
    return err_at(r->err, ERR_INVALID, pointer, "is not a member of a job");
}

bool codec_job_member(struct job_reader *r, struct slice raw_key, struct slice value)
{
    return codec_job_member_at(r, "", raw_key, value);
}

void codec_job_has(struct job_reader *r, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (strcmp(members[i].name, name) == 0)
            r->named |= UINT64_C(1) << i;
}

bool codec_job_names(const struct job_reader *r, struct slice raw_key)
{
    for (uint64_t left = r->named; left != 0; left &= left - 1)
        if (json_string_eq(raw_key, members[__builtin_ctzll(left)].name))
            return true;
    return false;
}

/* What makes a process do something of the client's own. */
static const char *const exec_members[] = {
    "command", "stdin", "stdin_base64", "stdin_from", "env", "cwd", "files", "inputs",
};

/* Its inputs lie in memory and are read by their names; a program of its own finds them as files
 * where it runs, whatever they are called. */
static bool stays_loaded(const struct job_reader *r)
{
    return r->function != NULL && r->function->kind != FUNCTION_COMMAND;
}

bool codec_job_may(const struct job_reader *r)
{
    for (size_t i = 0; r->no_exec && i < ARRAY_LEN(exec_members); i++) {
        const char *name = exec_members[i];
        char pointer[80];
        if (!codec_job_names(r, slice_of(name)) || (strcmp(name, "inputs") == 0 && stays_loaded(r)))
            continue;
        (void)snprintf(pointer, sizeof pointer, "/%s", name);
        return err_at(r->err, ERR_FORBIDDEN, pointer,
                      "\"%s\" needs a token with the scope \"exec\"; this one may call what GET "
                      "/v1/functions lists, by \"function\"",
                      name);
    }
    return true;
}

void codec_job_begin(struct job_reader *r)
{
    const struct config *cfg = r->cfg;
    *r->spec = (struct job_spec){
        .queue = SLICE_LIT("default"),
        .cwd = cfg->job_cwd[0] == '\0' ? (struct slice){0} : slice_of(cfg->job_cwd),
        .timeout_us = cfg->job_timeout_us,
        .stop_signal = SIGTERM,
        .stop_grace_us = cfg->job_stop_grace_us,
        .max_attempts = 1,
        .limit_output = cfg->job_output,
        .keep_us = cfg->job_keep_us,
        .result = RESULT_STDOUT,
    };
}

bool codec_job_end(struct job_reader *r)
{
    if (!codec_job_may(r) || !codec_take_function(r) || !take_pool(r) || !codec_take_defaults(r) ||
        !codec_function_end(r))
        return false;
    if (!r->has_command)
        return err_at(r->err, ERR_INVALID, "/command", "is missing: what shall run?");
    if (r->spec->stdin_open && r->spec->max_attempts > 1)
        return err_at(r->err, ERR_INVALID, "/stdin",
                      "that is open does not go with more than one attempt: what was fed to the "
                      "first is not there for the next");
    if (r->has_delay && r->has_run_at)
        return err_at(r->err, ERR_INVALID, "/run_at",
                      "\"delay\" and \"run_at\" must not come together");
    return codec_inputs_end(r) && codec_outputs_end(r) && codec_unique_end(r);
}

bool codec_read_job_from(const struct job_source *source, struct job_spec *ret, struct err *err)
{
    struct job_reader r = {.cfg = source->cfg,
                           .defaults = source->defaults,
                           .a = source->a,
                           .spec = ret,
                           .err = err,
                           .no_exec = source->no_exec};
    struct slice body = source->body;
    struct json_iter it;
    struct slice key, value;
    codec_job_begin(&r);
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "A job is a JSON object", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!codec_job_member(&r, key, value))
            return false;
    }
    return codec_job_end(&r);
}

bool codec_is_traceparent(struct slice value)
{
    static const char form[] = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    if (value.ptr == NULL || value.len != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (form[i] == 'h' ? !is_hex : c != form[i])
            return false;
    }
    return true;
}

bool codec_read_job(struct slice body, const struct config *cfg, struct arena *a,
                    struct job_spec *ret, struct err *err)
{
    const struct job_source source = {.body = body, .cfg = cfg, .a = a};
    return codec_read_job_from(&source, ret, err);
}
