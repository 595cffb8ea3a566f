/* SPDX-License-Identifier: MIT */
/* What runs, and what it is given: command, standard input, environment, directory. */
#include "api/codec_read.h"
#include "service/base/base64.h"

#define MAX_ARGV 4096 /* as the pool */
#define MAX_ENV 4096
#define MAX_ARG_BYTES 131071u /* MAX_ARG_STRLEN of Linux with the NUL: execve(2) */
#define MAX_PATH_BYTES 4095u

static bool read_argument(struct job_reader *r, struct slice value, uint32_t i, struct slice *ret)
{
    char pointer[32];
    (void)snprintf(pointer, sizeof pointer, "/command/%u", i);
    if (!codec_text(r, value, pointer, ret))
        return false;
    if (ret->len > MAX_ARG_BYTES)
        return err_at(r->err, ERR_INVALID, pointer,
                      "is longer than %u bytes, which no system accepts", MAX_ARG_BYTES);
    return true;
}

bool codec_command(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice element;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_ARRAY)
        return codec_wrong_type(r->err, pointer,
                                "an array of strings, such as [\"/bin/echo\", \"hello\"]");
    json_iter_init(&it, value);
    while (json_next_element(&it, &element))
        n++;
    if (n == 0 || n > MAX_ARGV)
        return err_at(r->err, ERR_INVALID, pointer, "must have 1 to %d elements", MAX_ARGV);
    struct slice *argv = arena_alloc(r->a, n * sizeof *argv);
    if (argv == NULL)
        return codec_arena_full(r->err);
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

bool codec_only_one_stdin(struct job_reader *r, const char *pointer)
{
    if (r->has_stdin)
        return err_at(r->err, ERR_INVALID, pointer,
                      "\"stdin\", \"stdin_base64\" and \"stdin_from\" must not come together");
    r->has_stdin = true;
    return true;
}

/* {"open": true} */
static bool read_open(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, is_open;
    char place[80];
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &is_open)) {
        codec_pointer(pointer, key, place);
        if (!json_string_eq(key, "open"))
            return err_at(r->err, ERR_INVALID, place, "is not known here");
        if (json_type_of(is_open) != JSON_TRUE)
            return codec_wrong_type(r->err, place, "true");
        r->spec->stdin_open = true;
    }
    return r->spec->stdin_open || codec_wrong_type(r->err, pointer, "text, or {\"open\": true}");
}

bool codec_stdin(struct job_reader *r, struct slice value, const char *pointer)
{
    if (json_type_of(value) == JSON_OBJECT)
        return codec_only_one_stdin(r, pointer) && read_open(r, value, pointer);
    return codec_only_one_stdin(r, pointer) && codec_text(r, value, pointer, &r->spec->stdin_bytes);
}

bool codec_stdin_base64(struct job_reader *r, struct slice value, const char *pointer)
{
    struct slice text = {0};
    if (!codec_only_one_stdin(r, pointer) || !codec_text(r, value, pointer, &text))
        return false;
    char *bytes = arena_alloc(r->a, BASE64_MAX_BYTES(text.len));
    size_t len = 0;
    if (bytes == NULL)
        return codec_arena_full(r->err);
    if (!base64_decode(text, bytes, &len))
        return err_at(r->err, ERR_INVALID, pointer, "is not base64 (RFC 4648, section 4)");
    r->spec->stdin_bytes = (struct slice){bytes, len};
    return true;
}

/* POSIX names; the prefix GANGER_ belongs to the service, which finds the processes of an attempt
 * by it. */
bool codec_is_env_name(struct slice s)
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

static bool read_variable(struct job_reader *r, struct slice name, struct slice value,
                          struct slice *ret)
{
    struct slice text = {0};
    char pointer[80];
    codec_pointer("/env", name, pointer);
    if (!codec_is_env_name(name))
        return err_at(
            r->err, ERR_INVALID, pointer,
            "names are letters, digits and \"_\", begin with no digit, and not with GANGER_");
    if (!codec_text(r, value, pointer, &text))
        return false;
    size_t len = name.len + 1 + text.len;
    if (len > MAX_ARG_BYTES)
        return err_at(r->err, ERR_INVALID, pointer, "is longer than %u bytes with its name",
                      MAX_ARG_BYTES);
    char *pair = arena_alloc(r->a, len + 1);
    if (pair == NULL)
        return codec_arena_full(r->err);
    PRE(text.ptr != NULL);
    memcpy(pair, name.ptr, name.len);
    pair[name.len] = '=';
    memcpy(pair + name.len + 1, text.ptr, text.len);
    *ret = (struct slice){pair, len};
    return true;
}

bool codec_env(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, text;
    uint32_t n = 0, i = 0;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer, "an object of strings");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &text))
        n++;
    if (n > MAX_ENV)
        return err_at(r->err, ERR_INVALID, pointer, "has more than %d variables", MAX_ENV);
    if (n == 0)
        return true;
    r->spec->env = arena_alloc(r->a, n * sizeof *r->spec->env);
    if (r->spec->env == NULL)
        return codec_arena_full(r->err);
    json_iter_init(&it, value);
    for (; i < n && json_next_member(&it, &key, &text); i++) {
        if (!read_variable(r, key, text, &r->spec->env[i]))
            return false;
    }
    r->spec->n_env = n;
    return true;
}

bool codec_cwd(struct job_reader *r, struct slice value, const char *pointer)
{
    struct slice *cwd = &r->spec->cwd;
    if (!codec_text(r, value, pointer, cwd))
        return false;
    if (cwd->len == 0 || cwd->ptr[0] != '/' || cwd->len > MAX_PATH_BYTES)
        return err_at(r->err, ERR_INVALID, pointer, "must be an absolute path of at most %u bytes",
                      MAX_PATH_BYTES);
    r->has_cwd = true;
    return true;
}
