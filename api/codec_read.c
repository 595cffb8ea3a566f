/* SPDX-License-Identifier: MIT */
#include "api/codec_read.h"

bool codec_open_object(struct slice *body, struct json_limits limits, const char *wanted,
                       struct err *err)
{
    if (!json_validate(*body, limits, err))
        return false;
    *body = json_trim(*body);
    return json_type_of(*body) == JSON_OBJECT || err_set(err, ERR_INVALID, "%s", wanted);
}

bool codec_arena_full(struct err *err)
{
    return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
}

bool codec_wrong_type(struct err *err, const char *pointer, const char *wanted)
{
    return err_at(err, ERR_INVALID, pointer, "must be %s", wanted);
}

struct slice codec_inside(struct slice string_value)
{
    return (struct slice){string_value.ptr + 1, string_value.len - 2};
}

bool codec_text(struct job_reader *r, struct slice value, const char *pointer, struct slice *ret)
{
    if (json_type_of(value) != JSON_STRING)
        return codec_wrong_type(r->err, pointer, "a string");
    ret->ptr = json_string_dup(value, r->a, &ret->len);
    return ret->ptr != NULL || codec_arena_full(r->err);
}

bool codec_duration(struct job_reader *r, struct slice value, const char *pointer, int64_t *ret_us)
{
    enum json_type type = json_type_of(value);
    bool ok = (type == JSON_NUMBER && text_to_duration_us(value, ret_us)) ||
              (type == JSON_STRING && text_to_duration_us(codec_inside(value), ret_us));
    return ok ||
           codec_wrong_type(r->err, pointer,
                            "a number of seconds or text such as \"250ms\", \"30s\", \"5m\" or "
                            "\"2h\", at most ten years");
}

bool codec_timeout(struct job_reader *r, struct slice value, const char *pointer, int64_t *ret_us)
{
    if (json_type_of(value) == JSON_NULL) {
        *ret_us = 0;
        return true;
    }
    if (!codec_duration(r, value, pointer, ret_us))
        return false;
    return *ret_us > 0 ||
           err_at(r->err, ERR_INVALID, pointer, "must be longer than zero; null means none");
}

void codec_pointer(const char *parent, struct slice raw_key, char out[80])
{
    size_t at = strnlen(parent, 38);
    memcpy(out, parent, at);
    out[at++] = '/';
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

bool codec_inside_of(struct err *err, const char *parent)
{
    char inner[sizeof err->pointer];
    memcpy(inner, err->pointer, sizeof inner);
    (void)snprintf(err->pointer, sizeof err->pointer, "%s%.*s", parent,
                   (int)(sizeof inner - strlen(parent) - 1), inner);
    return false;
}
