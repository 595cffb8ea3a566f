/* SPDX-License-Identifier: MIT */
#include "service/base/function.h"

#include "service/base/config_option.h"
#include "service/base/job.h"
#include "service/base/json.h"
#include "service/base/text.h"

#define MAX_FUNCTION_BYTES (4u << 20)
#define MAX_FUNCTION_ARGS 256

static const char *const kind_names[FUNCTION_KIND_COUNT] = {
    [FUNCTION_COMMAND] = "command", [FUNCTION_NATIVE] = "native", [FUNCTION_RUNNER] = "runner"};

void function_list_init(struct function_list *list)
{
    *list = (struct function_list){0};
    arena_init(&list->arena, MAX_FUNCTION_BYTES);
}

void function_list_release(struct function_list *list)
{
    arena_release(&list->arena);
    *list = (struct function_list){0};
}

const struct function *function_find(const struct function_list *list, struct slice name)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (slice_is(name, list->items[i].name))
            return &list->items[i];
    }
    return NULL;
}

const char *function_kind_name(enum function_kind kind)
{
    PRE((unsigned)kind < FUNCTION_KIND_COUNT);
    return kind_names[kind];
}

static bool no_room(struct err *err)
{
    return err_set(err, ERR_INVALID, "the functions take more than %u bytes", MAX_FUNCTION_BYTES);
}

bool function_begin(struct function_list *list, struct slice name, uint32_t line, struct err *err)
{
    if (!text_is_token(name, MAX_FUNCTION_NAME))
        return err_set(err, ERR_INVALID,
                       "a function's name has 1 to %d letters, digits, \"_\", \".\" or \"-\"",
                       MAX_FUNCTION_NAME);
    if (function_find(list, name) != NULL)
        return err_set(err, ERR_INVALID, "the function %.*s was there before", (int)name.len,
                       name.ptr);
    if (list->n == MAX_FUNCTIONS)
        return err_set(err, ERR_INVALID, "there may be at most %d functions", MAX_FUNCTIONS);
    if (list->items == NULL)
        list->items = arena_alloc(&list->arena, MAX_FUNCTIONS * sizeof *list->items);
    char *copy = arena_dup(&list->arena, name);
    if (list->items == NULL || copy == NULL)
        return no_room(err);
    list->items[list->n++] = (struct function){
        .name = copy, .kind = FUNCTION_KIND_COUNT, .line = line};
    return true;
}

/* ---- values ---- */

struct key_reader {
    struct function_list *list;
    struct function *f;
    struct err *err;
};

static bool keep_text(struct key_reader *r, struct slice value, const char **ret)
{
    char *copy = arena_dup(&r->list->arena, value);
    *ret = copy;
    if (value.len == 0)
        return err_set(r->err, ERR_INVALID, "must not be empty");
    return copy != NULL || no_room(r->err);
}

static bool keep_json(struct key_reader *r, struct slice value, struct slice *ret)
{
    struct err why = {0};
    char *copy = arena_dup(&r->list->arena, value);
    if (copy == NULL)
        return no_room(r->err);
    if (!json_validate((struct slice){copy, value.len}, JSON_LIMITS_DEFAULT, &why))
        return err_set(r->err, ERR_INVALID, "is not JSON: %.150s", why.detail);
    *ret = json_trim((struct slice){copy, value.len});
    return true;
}

static bool keep_object(struct key_reader *r, struct slice value, struct slice *ret)
{
    if (!keep_json(r, value, ret))
        return false;
    return json_type_of(*ret) == JSON_OBJECT ||
           err_set(r->err, ERR_INVALID, "must be a JSON object");
}

static bool read_kind(struct key_reader *r, struct slice value)
{
    for (int k = 0; k < FUNCTION_KIND_COUNT; k++) {
        if (slice_is(value, kind_names[k])) {
            r->f->kind = (enum function_kind)k;
            return true;
        }
    }
    return err_set(r->err, ERR_INVALID, "must be command, native or runner");
}

/* ["program", "argument", …] */
static bool read_argv(struct key_reader *r, struct slice value)
{
    struct json_iter it;
    struct slice array, element;
    uint32_t n = 0;
    if (r->f->argv != NULL)
        return err_set(r->err, ERR_INVALID, "stands beside another program");
    if (!keep_json(r, value, &array))
        return false;
    r->f->argv = arena_alloc(&r->list->arena, MAX_FUNCTION_ARGS * sizeof *r->f->argv);
    if (r->f->argv == NULL)
        return no_room(r->err);
    if (json_type_of(array) != JSON_ARRAY)
        return err_set(r->err, ERR_INVALID, "must be a JSON array of strings");
    json_iter_init(&it, array);
    while (json_next_element(&it, &element)) {
        struct slice *arg = &r->f->argv[n++];
        if (n == MAX_FUNCTION_ARGS || json_type_of(element) != JSON_STRING)
            return err_set(r->err, ERR_INVALID, "must be an array of at most %d strings",
                           MAX_FUNCTION_ARGS - 1);
        arg->ptr = json_string_dup(element, &r->list->arena, &arg->len);
        if (arg->ptr == NULL)
            return no_room(r->err);
    }
    r->f->n_argv = n;
    return (n > 0 && r->f->argv[0].len > 0) ||
           err_set(r->err, ERR_INVALID, "must name a program first");
}

static bool add_variable(struct key_reader *r, struct slice raw_key, struct slice value)
{
    size_t key_len = 0, len = 0;
    if (json_type_of(value) != JSON_STRING)
        return err_set(r->err, ERR_INVALID, "must be a JSON object of strings");
    char *key = json_string_dup(raw_key, &r->list->arena, &key_len);
    char *text = json_string_dup(value, &r->list->arena, &len);
    char *pair = arena_alloc(&r->list->arena, key_len + len + 2);
    if (key == NULL || text == NULL || pair == NULL)
        return no_room(r->err);
    (void)snprintf(pair, key_len + len + 2, "%s=%s", key, text);
    r->f->env[r->f->n_env++] = (struct slice){pair, key_len + 1 + len};
    return (key_len > 0 && memchr(key, '=', key_len) == NULL) ||
           err_set(r->err, ERR_INVALID, "has a variable without a proper name");
}

static bool read_env(struct key_reader *r, struct slice value)
{
    struct json_iter it;
    struct slice object, key, text;
    if (!keep_object(r, value, &object))
        return false;
    r->f->env = arena_alloc(&r->list->arena, MAX_FUNCTION_ARGS * sizeof *r->f->env);
    if (r->f->env == NULL)
        return no_room(r->err);
    json_iter_init(&it, object);
    while (json_next_member(&it, &key, &text)) {
        if (r->f->n_env == MAX_FUNCTION_ARGS)
            return err_set(r->err, ERR_INVALID, "has more than %d variables", MAX_FUNCTION_ARGS);
        if (!add_variable(r, key, text))
            return false;
    }
    return true;
}

static bool read_module(struct key_reader *r, struct slice value)
{
    return keep_text(r, value, &r->f->module);
}

static bool read_symbol(struct key_reader *r, struct slice value)
{
    return keep_text(r, value, &r->f->symbol);
}

static bool read_call(struct key_reader *r, struct slice value)
{
    return keep_text(r, value, &r->f->call);
}

static bool read_init(struct key_reader *r, struct slice value)
{
    const char *text = NULL;
    if (!keep_text(r, value, &text))
        return false;
    r->f->init = slice_of(text);
    return true;
}

static bool read_duration(struct key_reader *r, struct slice value, int64_t *ret)
{
    return (text_to_duration_us(value, ret) && *ret > 0) ||
           err_set(r->err, ERR_INVALID, "must be a duration such as 10s");
}

static bool read_start_timeout(struct key_reader *r, struct slice value)
{
    return read_duration(r, value, &r->f->start_timeout_us);
}

static bool read_ping(struct key_reader *r, struct slice value)
{
    return read_duration(r, value, &r->f->ping_us);
}

static bool read_cwd(struct key_reader *r, struct slice value)
{
    return keep_text(r, value, &r->f->cwd) &&
           (value.ptr[0] == '/' || err_set(r->err, ERR_INVALID, "must be an absolute path"));
}

static bool read_pool(struct key_reader *r, struct slice value)
{
    return keep_text(r, value, &r->f->pool);
}

static bool read_queue(struct key_reader *r, struct slice value)
{
    return keep_text(r, value, &r->f->queue) &&
           (text_is_token(value, MAX_QUEUE_NAME) ||
            err_set(r->err, ERR_INVALID, "must be 1 to %d letters, digits, \"_\", \".\" or \"-\"",
                    MAX_QUEUE_NAME));
}

static bool read_doc(struct key_reader *r, struct slice value)
{
    return keep_text(r, value, &r->f->doc);
}

/* A bare word such as 30s is as good as the JSON "30s". */
static bool read_timeout(struct key_reader *r, struct slice value)
{
    int64_t us;
    char quoted[64];
    bool is_bare = value.len > 0 && value.ptr[0] != '"' && !slice_is(value, "null");
    if (is_bare && text_to_duration_us(value, &us) && value.len + 3 <= sizeof quoted) {
        int len = snprintf(quoted, sizeof quoted, "\"%.*s\"", (int)value.len, value.ptr);
        return keep_json(r, (struct slice){quoted, (size_t)len}, &r->f->timeout);
    }
    return keep_json(r, value, &r->f->timeout);
}

static bool read_retry(struct key_reader *r, struct slice value)
{
    return keep_object(r, value, &r->f->retry);
}

static bool read_limits(struct key_reader *r, struct slice value)
{
    return keep_object(r, value, &r->f->limits);
}

static bool read_args(struct key_reader *r, struct slice value)
{
    return keep_json(r, value, &r->f->args);
}

static bool read_pure(struct key_reader *r, struct slice value)
{
    r->f->is_pure = slice_is(value, "true");
    return r->f->is_pure || slice_is(value, "false") ||
           err_set(r->err, ERR_INVALID, "must be true or false");
}

static const struct {
    const char *key;
    bool (*read)(struct key_reader *r, struct slice value);
} keys[] = {
    {"kind", read_kind},     {"command", read_argv},    {"runner", read_argv},
    {"module", read_module}, {"symbol", read_symbol},   {"call", read_call},
    {"env", read_env},       {"cwd", read_cwd},         {"pool", read_pool},
    {"queue", read_queue},   {"timeout", read_timeout}, {"retry", read_retry},
    {"limits", read_limits}, {"args", read_args},       {"doc", read_doc},
    {"init", read_init},     {"ping", read_ping},       {"start_timeout", read_start_timeout},
    {"pure", read_pure},
};

/* The same key again: in its section, or in one of the same name that follows. */
static bool read_key(struct key_reader *r, size_t i, struct slice value)
{
    if ((r->f->keys >> i & 1u) != 0)
        return err_set(r->err, ERR_INVALID, "was given before");
    r->f->keys |= 1u << i;
    return keys[i].read(r, value);
}

bool function_set(struct function_list *list, const char *key, struct slice value, struct err *err)
{
    struct key_reader r = {list, NULL, err};
    PRE(list->n > 0);
    const char *near = NULL;
    r.f = &list->items[list->n - 1];
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(keys[i].key, key) == 0)
            return read_key(&r, i, value) || err_wrap(err, "the function %s: %s", r.f->name, key);
        near = config_nearest(key, near, keys[i].key);
    }
    return err_set(err, ERR_INVALID, "the function %s: unknown key %.60s%s%s%s", r.f->name, key,
                   near == NULL ? "" : "; did you mean ", near == NULL ? "" : near,
                   near == NULL ? "" : "?");
}

static const char *what_is_missing(const struct function *f)
{
    switch (f->kind) {
    case FUNCTION_COMMAND: return f->argv == NULL ? "command = [\"program\", …]" : NULL;
    case FUNCTION_RUNNER: return NULL; /* without a program it is its pool's */
    case FUNCTION_NATIVE: return f->module == NULL ? "module = /path/of/a.so" : NULL;
    case FUNCTION_KIND_COUNT:
    default: return "kind = command, native or runner";
    }
}

/* The program of a pool runs before the first call, for all functions that have none. */
static const char *limit_of_process(const struct function *f)
{
    static const char *const names[] = {"memory", "processes", "open_files", "file_size"};
    struct slice value;
    if (f->kind != FUNCTION_RUNNER || f->argv != NULL || f->limits.ptr == NULL)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_find(f->limits, names[i], &value) && json_type_of(value) != JSON_NULL)
            return names[i];
    return NULL;
}

bool function_list_finish(struct function_list *list, struct err *err)
{
    for (uint32_t i = 0; i < list->n; i++) {
        struct function *f = &list->items[i];
        const char *missing = what_is_missing(f);
        if (missing != NULL)
            return err_set(err, ERR_INVALID, "line %u: the function %s lacks %s", f->line, f->name,
                           missing);
        const char *limit = limit_of_process(f);
        if (limit != NULL)
            return err_set(err, ERR_INVALID,
                           "line %u: the function %s: limits/%s: is of a runner's process, and "
                           "without \"runner\" the function has none of its own",
                           f->line, f->name, limit);
        if (f->is_pure && f->kind == FUNCTION_COMMAND)
            return err_set(err, ERR_INVALID,
                           "line %u: the function %s: pure: is of native functions and runners; a "
                           "command is a process, which nobody can promise to be without effect",
                           f->line, f->name);
        struct err why = {0};
        if (!function_read_params(f, &list->arena, &why))
            return err_set(err, ERR_INVALID, "line %u: the function %s: args%s %s", f->line,
                           f->name, why.pointer, why.detail);
    }
    return true;
}
