/* SPDX-License-Identifier: MIT */
#include "api/codec_bulk.h"

#include "api/codec_read.h"

#define MAX_GRACE_US (3600 * INT64_C(1000000))

struct bulk_reader {
    struct job_reader r; /* its arena and error */
    struct bulk_request *to;
    bool has_filter, all;
};

static bool wrong(struct bulk_reader *b, const char *pointer, const char *wanted)
{
    return codec_wrong_type(b->r.err, pointer, wanted);
}

static bool read_flag(struct bulk_reader *b, struct slice value, const char *pointer, bool *ret)
{
    enum json_type type = json_type_of(value);
    *ret = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE || wrong(b, pointer, "true or false");
}

static bool read_all(struct bulk_reader *b, struct slice value, const char *pointer)
{
    return read_flag(b, value, pointer, &b->all);
}

static bool read_dry_run(struct bulk_reader *b, struct slice value, const char *pointer)
{
    return read_flag(b, value, pointer, &b->to->dry_run);
}

static bool read_ids(struct bulk_reader *b, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice element;
    struct job_id id;
    uint32_t i = 0;
    if (json_type_of(value) != JSON_ARRAY)
        return wrong(b, pointer, "an array of ids of jobs");
    json_iter_init(&it, value);
    for (; json_next_element(&it, &element); i++) {
        char place[40];
        (void)snprintf(place, sizeof place, "/ids/%u", i);
        if (json_type_of(element) != JSON_STRING || !job_id_parse(codec_inside(element), &id))
            return wrong(b, place, "the id of a job");
    }
    b->to->by_ids = true;
    b->to->ids = value;
    return true;
}

static bool add_state(struct bulk_reader *b, struct slice value, const char *pointer)
{
    enum job_state state;
    if (json_type_of(value) != JSON_STRING || !job_state_parse(codec_inside(value), &state))
        return wrong(b, pointer, "a state, such as \"queued\"");
    b->to->filter.states |= 1u << state;
    return true;
}

static bool read_state(struct bulk_reader *b, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice element;
    uint32_t i = 0;
    b->has_filter = true;
    if (json_type_of(value) != JSON_ARRAY)
        return add_state(b, value, pointer);
    json_iter_init(&it, value);
    for (; json_next_element(&it, &element); i++) {
        char place[40];
        (void)snprintf(place, sizeof place, "/state/%u", i);
        if (!add_state(b, element, place))
            return false;
    }
    return i > 0 || wrong(b, pointer, "a state or a list of at least one");
}

static bool read_text(struct bulk_reader *b, struct slice value, const char *pointer,
                      const char **ret)
{
    struct slice text = {0};
    b->has_filter = true;
    if (!codec_text(&b->r, value, pointer, &text))
        return false;
    *ret = text.ptr;
    return true;
}

static bool read_queue(struct bulk_reader *b, struct slice value, const char *pointer)
{
    return read_text(b, value, pointer, &b->to->filter.queue);
}

static bool read_name(struct bulk_reader *b, struct slice value, const char *pointer)
{
    return read_text(b, value, pointer, &b->to->filter.name);
}

static bool read_label(struct bulk_reader *b, struct slice value, const char *pointer)
{
    struct slice text = {0};
    b->has_filter = true;
    if (!codec_text(&b->r, value, pointer, &text))
        return false;
    const char *colon = memchr(text.ptr, ':', text.len);
    if (colon == NULL || colon == text.ptr)
        return wrong(b, pointer, "text such as \"name:value\"");
    size_t len = (size_t)(colon - text.ptr);
    b->to->filter.label_key = arena_dup(b->r.a, (struct slice){text.ptr, len});
    b->to->filter.label_value = colon + 1;
    return b->to->filter.label_key != NULL || codec_arena_full(b->r.err);
}

static bool read_created_after(struct bulk_reader *b, struct slice value, const char *pointer)
{
    b->has_filter = true;
    return (json_type_of(value) == JSON_STRING &&
            text_to_time_us(codec_inside(value), &b->to->filter.created_after_us)) ||
           wrong(b, pointer, "a time such as \"2026-12-01T00:00:00Z\" (RFC 3339)");
}

static bool read_batch(struct bulk_reader *b, struct slice value, const char *pointer)
{
    b->has_filter = true;
    return (json_type_of(value) == JSON_STRING &&
            job_id_parse(codec_inside(value), &b->to->filter.batch)) ||
           wrong(b, pointer, "the id of a batch");
}

static bool read_reason(struct bulk_reader *b, struct slice value, const char *pointer)
{
    struct cancel_request *cancel = &b->to->cancel;
    struct slice text = {0};
    if (!codec_text(&b->r, value, pointer, &text))
        return false;
    if (text.len >= sizeof cancel->why)
        return err_at(b->r.err, ERR_INVALID, pointer, "must be a string of at most %zu bytes",
                      sizeof cancel->why - 1);
    memcpy(cancel->why, text.ptr, text.len + 1);
    return true;
}

static bool read_signal(struct bulk_reader *b, struct slice value, const char *pointer)
{
    int32_t *signal = &b->to->cancel.signal;
    *signal = json_type_of(value) == JSON_STRING ? text_to_signal(codec_inside(value)) : 0;
    return *signal != 0 || wrong(b, pointer, "the name of a signal, such as \"TERM\"");
}

static bool read_grace(struct bulk_reader *b, struct slice value, const char *pointer)
{
    int64_t *grace_us = &b->to->cancel.grace_us;
    if (!codec_duration(&b->r, value, pointer, grace_us))
        return false;
    return *grace_us <= MAX_GRACE_US ||
           err_at(b->r.err, ERR_INVALID, pointer, "must be at most one hour");
}

static const struct {
    const char *name;
    bool (*read)(struct bulk_reader *b, struct slice value, const char *pointer);
    bool only_cancel;
} members[] = {
    {"ids", read_ids, false},         {"all", read_all, false},
    {"dry_run", read_dry_run, false}, {"state", read_state, false},
    {"queue", read_queue, false},     {"name", read_name, false},
    {"label", read_label, false},     {"created_after", read_created_after, false},
    {"batch", read_batch, false},     {"reason", read_reason, true},
    {"signal", read_signal, true},    {"grace", read_grace, true},
};

static bool read_member(struct bulk_reader *b, enum bulk_verb verb, struct slice key,
                        struct slice value)
{
    char pointer[80];
    codec_pointer("", key, pointer);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (json_string_eq(key, members[i].name) &&
            (verb == BULK_CANCEL || !members[i].only_cancel))
            return members[i].read(b, value, pointer);
    }
    return err_at(b->r.err, ERR_INVALID, pointer, "is not known here");
}

static bool check_together(const struct bulk_reader *b)
{
    if (b->to->by_ids && (b->has_filter || b->all))
        return err_at(b->r.err, ERR_INVALID, "/ids", "cannot come together with a filter");
    if (!b->to->by_ids && !b->has_filter && !b->all)
        return err_set(b->r.err, ERR_INVALID,
                       "Name \"ids\" or a filter; \"all\": true means every job");
    return true;
}

bool codec_read_bulk(struct slice body, enum bulk_verb verb, struct arena *a,
                     struct bulk_request *ret, struct err *err)
{
    struct bulk_reader b = {.r = {.a = a, .err = err}, .to = ret};
    struct json_iter it;
    struct slice key, value;
    *ret = (struct bulk_request){.filter.oldest_first = true, .cancel.grace_us = -1};
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "The jobs are named by an object", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!read_member(&b, verb, key, value))
            return false;
    }
    return check_together(&b);
}
