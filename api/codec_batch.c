/* SPDX-License-Identifier: MIT */
#include "api/codec_batch.h"

#include "api/codec_read.h"

#define MAX_PARALLEL 1000000
#define MAX_CHUNK 10000
#define MAX_INDEX INT64_C(1000000000000)

struct batch_reader {
    struct job_reader job;
    struct batch_request *ret;
    struct slice items; /* raw */
};

static bool read_count(struct batch_reader *r, struct slice value, const char *pointer,
                       int64_t *ret)
{
    return (json_type_of(value) == JSON_NUMBER && json_to_i64(value, ret) && *ret >= 1 &&
            *ret <= MAX_PARALLEL) ||
           codec_wrong_type(r->job.err, pointer, "a whole number from 1 to 1000000");
}

static bool read_bool(struct batch_reader *r, struct slice value, const char *pointer, bool *ret)
{
    enum json_type type = json_type_of(value);
    *ret = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE ||
           codec_wrong_type(r->job.err, pointer, "true or false");
}

static bool read_items(struct batch_reader *r, struct slice value, const char *pointer)
{
    if (json_type_of(value) != JSON_ARRAY)
        return codec_wrong_type(r->job.err, pointer, "an array; each element makes one job");
    r->items = value;
    r->ret->has_items = true;
    return true;
}

static bool read_star(struct batch_reader *r, struct slice value, const char *pointer)
{
    return read_bool(r, value, pointer, &r->ret->star);
}

static bool read_open(struct batch_reader *r, struct slice value, const char *pointer)
{
    return read_bool(r, value, pointer, &r->ret->is_open);
}

static bool read_max_parallel(struct batch_reader *r, struct slice value, const char *pointer)
{
    return read_count(r, value, pointer, &r->ret->max_parallel);
}

static bool read_max_failures(struct batch_reader *r, struct slice value, const char *pointer)
{
    return read_count(r, value, pointer, &r->ret->max_failures);
}

static bool read_chunksize(struct batch_reader *r, struct slice value, const char *pointer)
{
    if (!read_count(r, value, pointer, &r->ret->chunksize))
        return false;
    return r->ret->chunksize <= MAX_CHUNK ||
           err_at(r->job.err, ERR_INVALID, pointer, "must be at most %d", MAX_CHUNK);
}

struct batch_member {
    const char *name;
    bool (*read)(struct batch_reader *r, struct slice value, const char *pointer);
};

static const struct batch_member batch_members[] = {
    {"items", read_items},
    {"star", read_star},
    {"open", read_open},
    {"chunksize", read_chunksize},
    {"max_parallel", read_max_parallel},
    {"max_failures", read_max_failures},
};

static bool read_member(struct batch_reader *r, struct slice key, struct slice value)
{
    char pointer[80];
    for (size_t i = 0; i < ARRAY_LEN(batch_members); i++) {
        if (!json_string_eq(key, batch_members[i].name))
            continue;
        codec_pointer("", key, pointer);
        return batch_members[i].read(r, value, pointer);
    }
    return codec_job_member(&r->job, key, value);
}

/* Each item against the rules of the template. */
static bool take_items(struct slice items, struct arena *a, struct batch_request *ret,
                       struct err *err)
{
    struct json_iter it;
    struct slice item;
    uint32_t n = 0;
    json_iter_init(&it, items);
    while (json_next_element(&it, &item))
        n++;
    ret->items = arena_alloc(a, MAX(n, 1u) * sizeof *ret->items);
    if (ret->items == NULL)
        return codec_arena_full(err);
    json_iter_init(&it, items);
    while (json_next_element(&it, &item)) {
        char pointer[32];
        struct err why = {0};
        (void)snprintf(pointer, sizeof pointer, "/items/%u", ret->n_items);
        if (!element_check(&ret->rules, item, &why)) {
            *err = why;
            return codec_inside_of(err, pointer);
        }
        ret->items[ret->n_items++] = item;
    }
    return true;
}

static bool end_batch(struct batch_reader *r, bool is_upload)
{
    struct batch_request *ret = r->ret;
    struct err *err = r->job.err;
    if (!codec_job_end(&r->job))
        return false;
    for (uint32_t i = 0; i < ret->spec.n_inputs; i++) {
        if (ret->spec.inputs[i].kind == JOB_INPUT_ARGUMENT)
            return err_at(err, ERR_INVALID, "/command",
                          "of a batch takes items only; take the result of a job by \"files\" or "
                          "\"stdin_from\"");
    }
    if (ret->spec.on_parent_failure == PARENT_FAIL)
        return err_at(err, ERR_INVALID, "/on_parent_failure",
                      "of a batch is \"cancel\" or \"run\"");
    if (ret->chunksize > 1 && ret->max_parallel > 0)
        return err_at(err, ERR_INVALID, "/max_parallel",
                      "and \"chunksize\" must not come together; the number of chunks limits what "
                      "runs at once");
    if (ret->spec.has_unique)
        return err_at(err, ERR_INVALID, "/unique",
                      "is of one job; a batch has many. Use an Idempotency-Key for the request");
    if (is_upload && ret->has_items)
        return err_at(err, ERR_INVALID, "/items",
                      "must not be in the first line of NDJSON: the other lines are the items");
    if (!is_upload && !ret->has_items && !ret->is_open)
        return err_at(err, ERR_INVALID, "/items", "is missing: what is it to be done for?");
    if (!element_template(&ret->spec, ret->star, r->job.a, &ret->template_bytes, err) ||
        !element_rules(ret->template_bytes, r->job.a, &ret->rules, err))
        return false;
    return !ret->has_items || take_items(r->items, r->job.a, ret, err);
}

bool codec_read_batch(const struct job_source *source, bool is_upload, struct batch_request *ret,
                      struct err *err)
{
    struct batch_reader r = {.job = {.cfg = source->cfg,
                                     .defaults = source->defaults,
                                     .a = source->a,
                                     .spec = &ret->spec,
                                     .err = err,
                                     .no_exec = source->no_exec,
                                     .is_template = true},
                             .ret = ret};
    struct slice body = source->body;
    struct json_iter it;
    struct slice key, value;
    *ret = (struct batch_request){0};
    codec_job_begin(&r.job);
    if (!codec_open_object(&body, BATCH_JSON_LIMITS, "A batch is a JSON object", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        if (!read_member(&r, key, value))
            return false;
    }
    return end_batch(&r, is_upload);
}

bool codec_read_item(struct slice line, const struct element_rules *rules, struct slice *ret,
                     struct err *err)
{
    if (!json_validate(line, JSON_LIMITS_DEFAULT, err))
        return false;
    *ret = json_trim(line);
    return element_check(rules, *ret, err);
}

bool codec_read_items(struct slice body, struct arena *a, struct batch_request *ret,
                      struct err *err)
{
    struct json_iter it;
    struct slice key, value;
    if (!codec_open_object(&body, BATCH_JSON_LIMITS, "The body is an object with \"items\"", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        char pointer[80];
        codec_pointer("", key, pointer);
        if (!json_string_eq(key, "items"))
            return err_at(err, ERR_INVALID, pointer, "is not a member here; \"items\" is");
        if (json_type_of(value) != JSON_ARRAY)
            return codec_wrong_type(err, pointer, "an array; each element makes one job");
        ret->has_items = true;
        if (!take_items(value, a, ret, err))
            return false;
    }
    return ret->has_items || err_at(err, ERR_INVALID, "/items", "is missing");
}

/* ---- elements by index ---- */

/* "7" or "3-9". */
static bool read_range(struct slice text, struct index_range *ret)
{
    const char *dash = text.len == 0 ? NULL : memchr(text.ptr, '-', text.len);
    size_t len = dash == NULL ? text.len : (size_t)(dash - text.ptr);
    int64_t first = -1, last = -1;
    bool ok = text_to_i64((struct slice){text.ptr, len}, &first);
    last = first;
    if (ok && dash != NULL)
        ok = text_to_i64((struct slice){dash + 1, text.len - len - 1}, &last);
    if (!ok || first < 0 || last < first || last > MAX_INDEX)
        return false;
    *ret = (struct index_range){first, last - first + 1};
    return true;
}

static bool read_indexes(struct slice value, struct arena *a, struct pick_request *ret,
                         struct err *err)
{
    static const char wanted[] = "text such as \"1-3,9\"";
    uint32_t max = 1;
    if (json_type_of(value) != JSON_STRING)
        return codec_wrong_type(err, "/indexes", wanted);
    struct slice list = codec_inside(value);
    for (size_t i = 0; i < list.len; i++)
        max += list.ptr[i] == ',';
    ret->ranges = arena_alloc(a, max * sizeof *ret->ranges);
    if (ret->ranges == NULL)
        return codec_arena_full(err);
    while (ret->n_ranges < max) {
        const char *comma = list.len == 0 ? NULL : memchr(list.ptr, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        struct index_range *range = &ret->ranges[ret->n_ranges++];
        if (!read_range((struct slice){list.ptr, len}, range))
            return codec_wrong_type(err, "/indexes", wanted);
        ret->last = MAX(ret->last, range->first + range->n - 1);
        list = (struct slice){list.ptr + len + 1, list.len - MIN(len + 1, list.len)};
    }
    return true;
}

static bool read_why(struct slice value, struct arena *a, struct pick_request *ret, struct err *err)
{
    size_t len = 0;
    if (json_type_of(value) != JSON_STRING || value.len - 2 >= sizeof ret->why)
        return err_at(err, ERR_INVALID, "/reason", "must be a string of at most %zu bytes",
                      sizeof ret->why - 1);
    const char *text = json_string_dup(value, a, &len);
    if (text == NULL)
        return codec_arena_full(err);
    memcpy(ret->why, text, len);
    return true;
}

bool codec_read_pick(struct slice body, bool is_cancel, struct arena *a, struct pick_request *ret,
                     struct err *err)
{
    struct json_iter it;
    struct slice key, value;
    *ret = (struct pick_request){.last = -1};
    if (body.len == 0)
        return true;
    if (!codec_open_object(&body, JSON_LIMITS_DEFAULT, "The body is an object", err))
        return false;
    json_iter_init(&it, body);
    while (json_next_member(&it, &key, &value)) {
        char pointer[80];
        bool ok;
        codec_pointer("", key, pointer);
        if (json_string_eq(key, "indexes"))
            ok = read_indexes(value, a, ret, err);
        else if (is_cancel && json_string_eq(key, "reason"))
            ok = read_why(value, a, ret, err);
        else
            ok = err_at(err, ERR_INVALID, pointer, "is not a member here");
        if (!ok)
            return false;
    }
    return true;
}
