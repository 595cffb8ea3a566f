/* SPDX-License-Identifier: MIT */
/* What is asked of a running job. */
#include "api/codec_read.h"

#include <signal.h>

static bool read_signal(struct slice value, const char *pointer, int32_t *ret, struct err *err)
{
    *ret = json_type_of(value) == JSON_STRING ? text_to_signal(codec_inside(value)) : 0;
    if (*ret == 0)
        return codec_wrong_type(err, pointer, "the name of a signal, such as \"USR1\"");
    if (*ret == SIGSTOP || *ret == SIGCONT)
        return err_at(err, ERR_INVALID, pointer,
                      "is for /suspend and /resume, which see to it that all processes obey");
    return true;
}

static bool read_member(struct slice key, struct slice value, struct signal_request *ret,
                        struct err *err)
{
    char pointer[80];
    const enum json_type type = json_type_of(value);
    codec_pointer("", key, pointer);
    if (json_string_eq(key, "signal"))
        return read_signal(value, pointer, &ret->signal, err);
    if (!json_string_eq(key, "tree"))
        return err_at(err, ERR_INVALID, pointer, "is not known here");
    ret->is_tree = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE ||
           codec_wrong_type(err, pointer, "true or false");
}

bool codec_read_signal(struct slice body, struct signal_request *ret, struct err *err)
{
    struct json_iter it;
    struct slice key, value;
    *ret = (struct signal_request){0};
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "Send {\"signal\": \"USR1\"}", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!read_member(key, value, ret, err))
            return false;
    }
    return ret->signal != 0 || err_at(err, ERR_INVALID, "/signal", "is missing: which one?");
}

bool codec_read_nothing(struct slice body, struct err *err)
{
    struct json_iter it;
    struct slice key, value;
    if (body.len == 0)
        return true;
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "Send an empty body or {}", err))
        return false;
    char pointer[80];
    json_iter_init(&it, body);
    if (!json_next_member(&it, &key, &value))
        return true;
    codec_pointer("", key, pointer);
    return err_at(err, ERR_INVALID, pointer,
                  "is not known here: this verb has no members; send an empty body or {}");
}
