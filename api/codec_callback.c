/* SPDX-License-Identifier: MIT */
/* `callback`: who is told of which ends. */
#include "api/codec_read.h"

#include "service/base/callback.h"

#define ALL_ENDS (TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED))

static bool read_url(struct job_reader *r, struct slice value, const char *pointer)
{
    struct job_spec *spec = r->spec;
    struct callback_target target;
    struct err why = {0};
    if (!codec_text(r, value, pointer, &spec->callback_url))
        return false;
    if (!callback_check(r->cfg, spec->callback_url, &target, &why))
        return err_at(r->err, ERR_INVALID, pointer, "%s", why.detail);
    spec->callback_receiver = slice_of(arena_dup(r->a, slice_of(target.receiver)));
    return spec->callback_receiver.ptr != NULL || codec_arena_full(r->err);
}

static bool read_on(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice element;
    uint32_t states = 0;
    if (json_type_of(value) != JSON_ARRAY)
        return codec_wrong_type(r->err, pointer, "an array of states");
    json_iter_init(&it, value);
    while (json_next_element(&it, &element)) {
        enum job_state state;
        if (json_type_of(element) != JSON_STRING ||
            !job_state_parse(codec_inside(element), &state) || !job_state_is_end(state))
            return err_at(r->err, ERR_INVALID, pointer,
                          "may hold \"succeeded\", \"failed\" and \"cancelled\"");
        states |= 1u << state;
    }
    if (states == 0)
        return err_at(r->err, ERR_INVALID, pointer, "must name at least one end");
    r->spec->callback_states = states;
    return true;
}

bool codec_callback(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, item;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer, "an object with \"url\" and perhaps \"on\"");
    r->spec->callback_states = ALL_ENDS;
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &item)) {
        char place[80];
        codec_pointer(pointer, key, place);
        bool is_url = json_string_eq(key, "url");
        if (!is_url && !json_string_eq(key, "on"))
            return err_at(r->err, ERR_INVALID, place, "is not known here");
        if (!(is_url ? read_url(r, item, place) : read_on(r, item, place)))
            return false;
    }
    return r->spec->callback_url.ptr != NULL ||
           err_at(r->err, ERR_INVALID, "/callback/url", "is missing: who shall be called?");
}
