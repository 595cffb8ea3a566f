/* SPDX-License-Identifier: MIT */
#include "api/codec.h"

#include <nettle/base64.h>
#include <signal.h>

#include "service/base/json.h"

#define MAX_ARGV 4096 /* as the pool */
#define MAX_ENV 4096
#define MAX_ARG_BYTES 131071u /* MAX_ARG_STRLEN of Linux with the NUL: execve(2) */
#define MAX_NAME_BYTES 255u
#define MAX_QUEUE_BYTES 64u
#define MAX_LABELS 64u
#define MAX_LABEL_BYTES 256u
#define MAX_PATH_BYTES 4095u

struct reader {
    const struct config *cfg;
    struct arena *a;
    struct job_spec *spec;
    struct err *err;
    bool has_stdin, has_delay, has_run_at, has_command;
};

static bool arena_full(struct err *err)
{
    return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
}

static bool wrong_type(struct err *err, const char *pointer, const char *wanted)
{
    return err_at(err, ERR_INVALID, pointer, "must be %s", wanted);
}

/* Between the quotes. What is compared with ASCII words needs no unescaping: an escape there is
 * simply not the word. */
static struct slice inside(struct slice string_value)
{
    return (struct slice){string_value.ptr + 1, string_value.len - 2};
}

static bool read_text(struct reader *r, struct slice value, const char *pointer, struct slice *ret)
{
    if (json_type_of(value) != JSON_STRING)
        return wrong_type(r->err, pointer, "a string");
    ret->ptr = json_string_dup(value, r->a, &ret->len);
    return ret->ptr != NULL || arena_full(r->err);
}

static bool read_duration(struct reader *r, struct slice value, const char *pointer,
                          int64_t *ret_us)
{
    enum json_type type = json_type_of(value);
    bool ok = (type == JSON_NUMBER && text_to_duration_us(value, ret_us)) ||
              (type == JSON_STRING && text_to_duration_us(inside(value), ret_us));
    return ok || wrong_type(r->err, pointer,
                            "a number of seconds or text such as \"250ms\", \"30s\", \"5m\" or "
                            "\"2h\", at most ten years");
}

/* null means none; zero would end the job before it begins. */
static bool read_timeout(struct reader *r, struct slice value, const char *pointer, int64_t *ret_us)
{
    if (json_type_of(value) == JSON_NULL) {
        *ret_us = 0;
        return true;
    }
    if (!read_duration(r, value, pointer, ret_us))
        return false;
    return *ret_us > 0 ||
           err_at(r->err, ERR_INVALID, pointer, "must be longer than zero; null means none");
}

static bool read_argument(struct reader *r, struct slice value, uint32_t i, struct slice *ret)
{
    char pointer[32];
    (void)snprintf(pointer, sizeof pointer, "/command/%u", i);
    if (!read_text(r, value, pointer, ret))
        return false;
    if (ret->len > MAX_ARG_BYTES)
        return err_at(r->err, ERR_INVALID, pointer,
                      "is longer than %u bytes, which no system accepts", MAX_ARG_BYTES);
    return true;
}

static bool read_command(struct reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice element;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_ARRAY)
        return wrong_type(r->err, pointer,
                          "an array of strings, such as [\"/bin/echo\", \"hello\"]");
    json_iter_init(&it, value);
    while (json_next_element(&it, &element))
        n++;
    if (n == 0 || n > MAX_ARGV)
        return err_at(r->err, ERR_INVALID, pointer, "must have 1 to %d elements", MAX_ARGV);
    struct slice *argv = arena_alloc(r->a, n * sizeof *argv);
    if (argv == NULL)
        return arena_full(r->err);
    json_iter_init(&it, value);
    for (uint32_t i = 0; i < n && json_next_element(&it, &element); i++) {
        if (!read_argument(r, element, i, &argv[i]))
            return false;
    }
    if (argv[0].len == 0)
        return err_at(r->err, ERR_INVALID, "/command/0", "must name a program");
    r->spec->argv = argv;
    r->spec->n_argv = n;
    r->has_command = true;
    return true;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c == 0x7F)
            return true;
    }
    return false;
}

static bool read_name(struct reader *r, struct slice value, const char *pointer)
{
    struct slice *name = &r->spec->name;
    if (!read_text(r, value, pointer, name))
        return false;
    if (name->len == 0 || name->len > MAX_NAME_BYTES || has_control(*name))
        return err_at(r->err, ERR_INVALID, pointer,
                      "must have 1 to %u bytes and no control characters", MAX_NAME_BYTES);
    return true;
}

static bool read_queue(struct reader *r, struct slice value, const char *pointer)
{
    if (!read_text(r, value, pointer, &r->spec->queue))
        return false;
    if (!text_is_token(r->spec->queue, MAX_QUEUE_BYTES))
        return err_at(r->err, ERR_INVALID, pointer,
                      "must be 1 to %u letters, digits, \"_\", \".\" or \"-\"", MAX_QUEUE_BYTES);
    return true;
}

static bool read_priority(struct reader *r, struct slice value, const char *pointer)
{
    int64_t n = 0;
    if (json_type_of(value) != JSON_NUMBER || !json_to_i64(value, &n) || n < -100 || n > 100)
        return wrong_type(r->err, pointer, "a whole number from -100 to 100");
    r->spec->priority = (int32_t)n;
    return true;
}

/* The place of a member as JSON Pointer (RFC 6901), cut to what an error can hold. */
static void write_pointer(const char *parent, struct slice raw_key, char out[80])
{
    size_t at = (size_t)snprintf(out, 40, "%s/", parent);
    for (size_t i = 0; i < raw_key.len && at < 76; i++) {
        char c = raw_key.ptr[i];
        if (c == '~' || c == '/') {
            out[at++] = '~';
            c = c == '~' ? '0' : '1';
        }
        out[at++] = c;
    }
    while (at > 1 && !text_is_utf8((struct slice){out, at}))
        at--; /* the cut went through a character */
    out[at] = '\0';
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

static bool read_labels(struct reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, text;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_OBJECT)
        return wrong_type(r->err, pointer, "an object of strings");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &text)) {
        char place[80];
        write_pointer(pointer, key, place);
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

static bool read_metadata(struct reader *r, struct slice value, const char *pointer)
{
    (void)pointer;
    r->spec->metadata = value;
    return true;
}

static bool only_one_stdin(struct reader *r, const char *pointer)
{
    if (r->has_stdin)
        return err_at(r->err, ERR_INVALID, pointer,
                      "\"stdin\" and \"stdin_base64\" must not come together");
    r->has_stdin = true;
    return true;
}

static bool read_stdin(struct reader *r, struct slice value, const char *pointer)
{
    return only_one_stdin(r, pointer) && read_text(r, value, pointer, &r->spec->stdin_bytes);
}

static bool read_stdin_base64(struct reader *r, struct slice value, const char *pointer)
{
    struct slice text = {0};
    if (!only_one_stdin(r, pointer) || !read_text(r, value, pointer, &text))
        return false;
    uint8_t *bytes = arena_alloc(r->a, BASE64_DECODE_LENGTH(text.len) + 1);
    if (bytes == NULL)
        return arena_full(r->err);
    struct base64_decode_ctx ctx;
    size_t len = 0;
    base64_decode_init(&ctx);
    if (base64_decode_update(&ctx, &len, bytes, text.len, text.ptr) != 1 ||
        base64_decode_final(&ctx) != 1)
        return err_at(r->err, ERR_INVALID, pointer, "is not base64 (RFC 4648, section 4)");
    r->spec->stdin_bytes = (struct slice){(const char *)bytes, len};
    return true;
}

/* POSIX names; the prefix GANGER_ belongs to the service, which finds the processes of an attempt
 * by it. */
static bool is_env_name(struct slice s)
{
    if (s.len == 0 || s.len > MAX_NAME_BYTES || (s.ptr[0] >= '0' && s.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '_'))
            return false;
    }
    return s.len < 7 || memcmp(s.ptr, "GANGER_", 7) != 0;
}

static bool read_variable(struct reader *r, struct slice name, struct slice value,
                          struct slice *ret)
{
    struct slice text = {0};
    char pointer[80];
    write_pointer("/env", name, pointer);
    if (!is_env_name(name))
        return err_at(
            r->err, ERR_INVALID, pointer,
            "names are letters, digits and \"_\", begin with no digit, and not with GANGER_");
    if (!read_text(r, value, pointer, &text))
        return false;
    size_t len = name.len + 1 + text.len;
    if (len > MAX_ARG_BYTES)
        return err_at(r->err, ERR_INVALID, pointer, "is longer than %u bytes with its name",
                      MAX_ARG_BYTES);
    char *pair = arena_alloc(r->a, len + 1);
    if (pair == NULL)
        return arena_full(r->err);
    PRE(text.ptr != NULL);
    memcpy(pair, name.ptr, name.len);
    pair[name.len] = '=';
    memcpy(pair + name.len + 1, text.ptr, text.len);
    *ret = (struct slice){pair, len};
    return true;
}

static bool read_env(struct reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, text;
    uint32_t n = 0, i = 0;
    if (json_type_of(value) != JSON_OBJECT)
        return wrong_type(r->err, pointer, "an object of strings");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &text))
        n++;
    if (n > MAX_ENV)
        return err_at(r->err, ERR_INVALID, pointer, "has more than %d variables", MAX_ENV);
    if (n == 0)
        return true;
    r->spec->env = arena_alloc(r->a, n * sizeof *r->spec->env);
    if (r->spec->env == NULL)
        return arena_full(r->err);
    json_iter_init(&it, value);
    for (; i < n && json_next_member(&it, &key, &text); i++) {
        if (!read_variable(r, key, text, &r->spec->env[i]))
            return false;
    }
    r->spec->n_env = n;
    return true;
}

static bool read_cwd(struct reader *r, struct slice value, const char *pointer)
{
    struct slice *cwd = &r->spec->cwd;
    if (!read_text(r, value, pointer, cwd))
        return false;
    if (cwd->len == 0 || cwd->ptr[0] != '/' || cwd->len > MAX_PATH_BYTES)
        return err_at(r->err, ERR_INVALID, pointer, "must be an absolute path of at most %u bytes",
                      MAX_PATH_BYTES);
    return true;
}

static bool read_delay(struct reader *r, struct slice value, const char *pointer)
{
    r->has_delay = true;
    return read_duration(r, value, pointer, &r->spec->delay_us);
}

static bool read_run_at(struct reader *r, struct slice value, const char *pointer)
{
    r->has_run_at = true;
    if (json_type_of(value) != JSON_STRING ||
        !text_to_time_us(inside(value), &r->spec->run_at_us) || r->spec->run_at_us <= 0)
        return wrong_type(r->err, pointer, "a time such as \"2026-12-01T00:00:00Z\" (RFC 3339)");
    return true;
}

static bool read_run_timeout(struct reader *r, struct slice value, const char *pointer)
{
    return read_timeout(r, value, pointer, &r->spec->timeout_us);
}

static bool read_queue_timeout(struct reader *r, struct slice value, const char *pointer)
{
    return read_timeout(r, value, pointer, &r->spec->queue_timeout_us);
}

static bool read_deadline(struct reader *r, struct slice value, const char *pointer)
{
    return read_timeout(r, value, pointer, &r->spec->deadline_us);
}

static bool read_keep(struct reader *r, struct slice value, const char *pointer)
{
    return read_duration(r, value, pointer, &r->spec->keep_us);
}

static bool read_result(struct reader *r, struct slice value, const char *pointer)
{
    static const char *const names[] = {
        [RESULT_STDOUT] = "stdout", [RESULT_JSON] = "json", [RESULT_NONE] = "none"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (json_type_of(value) == JSON_STRING && json_string_eq(value, names[i])) {
            r->spec->result = (enum job_result)i;
            return true;
        }
    }
    return wrong_type(r->err, pointer, "\"stdout\", \"json\" or \"none\"");
}

static bool read_stop(struct reader *r, struct slice value, const char *pointer)
{
    return codec_read_stop(value, pointer, r->spec, r->err);
}

static bool read_retry(struct reader *r, struct slice value, const char *pointer)
{
    return codec_read_retry(value, pointer, r->cfg->job_max_attempts, r->spec, r->err);
}

static bool read_limits(struct reader *r, struct slice value, const char *pointer)
{
    return codec_read_limits(value, pointer, r->spec, r->err);
}

/* The members of a job, and the names that are kept for later ones: those have no reader. */
struct member {
    const char *name;
    bool (*read)(struct reader *r, struct slice value, const char *pointer);
};

/* clang-format off */
static const struct member members[] = {
    {"command", read_command},              {"metadata", read_metadata},
    {"delay", read_delay},                  {"name", read_name},
    {"queue", read_queue},                  {"priority", read_priority},
    {"labels", read_labels},                {"stdin", read_stdin},
    {"stdin_base64", read_stdin_base64},    {"env", read_env},
    {"cwd", read_cwd},                      {"run_at", read_run_at},
    {"timeout", read_run_timeout},          {"queue_timeout", read_queue_timeout},
    {"deadline", read_deadline},            {"stop", read_stop},
    {"retry", read_retry},                  {"limits", read_limits},
    {"keep", read_keep},                    {"result", read_result},
    {"function", NULL},    {"args", NULL},        {"kwargs", NULL},      {"files", NULL},
    {"depends_on", NULL},  {"unique", NULL},      {"inputs", NULL},      {"outputs", NULL},
    {"callback", NULL},    {"session", NULL},     {"locks", NULL},       {"pool", NULL},
    {"env_secret", NULL},  {"stdin_from", NULL},
};
/* clang-format on */

static bool read_member(struct reader *r, struct slice raw_key, struct slice value)
{
    char pointer[80];
    write_pointer("", raw_key, pointer);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (!json_string_eq(raw_key, members[i].name))
            continue;
        if (members[i].read == NULL)
            return err_at(r->err, ERR_INVALID, pointer,
                          "\"%s\" comes with a later version of ganger", members[i].name);
        return members[i].read(r, value, pointer);
    }
    return err_at(r->err, ERR_INVALID, pointer, "is not a member of a job");
}

static void set_defaults(const struct config *cfg, struct job_spec *spec)
{
    *spec = (struct job_spec){
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

bool codec_read_job(struct slice body, const struct config *cfg, struct arena *a,
                    struct job_spec *ret, struct err *err)
{
    struct reader r = {.cfg = cfg, .a = a, .spec = ret, .err = err};
    struct json_iter it;
    struct slice key, value;
    set_defaults(cfg, ret);
    if (!json_validate(body, JSON_LIMITS_DEFAULT, err))
        return false;
    body = json_trim(body);
    if (json_type_of(body) != JSON_OBJECT)
        return err_set(err, ERR_INVALID, "A job is a JSON object");
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!read_member(&r, key, value))
            return false;
    }
    if (!r.has_command)
        return err_at(err, ERR_INVALID, "/command", "is missing: what shall run?");
    if (r.has_delay && r.has_run_at)
        return err_at(err, ERR_INVALID, "/run_at",
                      "\"delay\" and \"run_at\" must not come together");
    return true;
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
