/* SPDX-License-Identifier: MIT */
#include "service/base/call.h"

#include "service/base/json.h"
#include "service/base/template.h"
#include "service/base/text.h"

#define MAX_ARG_BYTES 131071u /* MAX_ARG_STRLEN of Linux with the NUL: execve(2) */

/* ---- which parameter is which argument ---- */

struct binder {
    const struct parameter_list *params;
    struct call_values *values;
    uint32_t n; /* by place so far */
    bool has_item;
    struct err *err;
};

static bool add(struct binder *b, uint32_t i, struct slice value, const char *pointer)
{
    struct err why = {0};
    if (b->values->of[i].ptr != NULL)
        return err_at(b->err, ERR_INVALID, pointer, "%s is given twice", b->params->items[i].name);
    b->values->of[i] = value;
    return parameter_check(&b->params->items[i], value, &why) ||
           err_at(b->err, ERR_INVALID, pointer, "%s", why.detail);
}

static bool add_by_place(struct binder *b, struct slice value, const char *pointer)
{
    if (b->n == b->params->n)
        return err_at(b->err, ERR_INVALID, pointer, "is too much: the function takes %u argument%s",
                      b->params->n, b->params->n == 1 ? "" : "s");
    return add(b, b->n++, value, pointer);
}

static bool add_array(struct binder *b, struct slice array, const char *parent)
{
    struct json_iter it;
    struct slice value;
    json_iter_init(&it, array);
    for (uint32_t i = 0; json_next_element(&it, &value); i++) {
        char pointer[32];
        (void)snprintf(pointer, sizeof pointer, "%s/%u", parent, i);
        if (!add_by_place(b, value, pointer))
            return false;
    }
    return true;
}

/* A name that is no part of a JSON Pointer as it is, or a long one, is not repeated. */
static bool is_plain(struct slice key)
{
    return text_is_token(key, MAX_PARAMETER_NAME);
}

static bool add_by_name(struct binder *b, struct slice key, struct slice value, const char *parent)
{
    char pointer[128];
    (void)snprintf(pointer, sizeof pointer, "%s", parent);
    for (uint32_t i = 0; i < b->params->n; i++) {
        const char *name = b->params->items[i].name;
        if (!json_string_eq(key, name))
            continue;
        (void)snprintf(pointer, sizeof pointer, "%s/%s", parent, name);
        return add(b, i, value, pointer);
    }
    if (is_plain(key))
        (void)snprintf(pointer, sizeof pointer, "%s/%.*s", parent, (int)key.len, key.ptr);
    return err_at(b->err, ERR_INVALID, pointer, "is not a parameter of the function");
}

static bool add_object(struct binder *b, struct slice object, const char *parent)
{
    struct json_iter it;
    struct slice key, value;
    json_iter_init(&it, object);
    while (json_next_member(&it, &key, &value)) {
        if (!add_by_name(b, key, value, parent))
            return false;
    }
    return true;
}

static bool add_item(struct binder *b, const struct call *call)
{
    enum json_type type = json_type_of(call->item);
    if (!call->star)
        return add_by_place(b, call->item, "");
    if (type == JSON_ARRAY)
        return add_array(b, call->item, "");
    if (type == JSON_OBJECT)
        return add_object(b, call->item, "");
    return err_set(b->err, ERR_INVALID,
                   "must be an array or an object of arguments, as \"star\" is true");
}

/* What the template of a batch gives to all its elements stands nowhere in the item. */
static bool outside_of_item(const struct binder *b)
{
    if (b->has_item)
        b->err->pointer[0] = '\0';
    return false;
}

static bool add_defaults(struct binder *b)
{
    for (uint32_t i = 0; i < b->params->n; i++) {
        const struct parameter *p = &b->params->items[i];
        struct slice *value = &b->values->of[i];
        if (value->ptr != NULL)
            continue;
        if (p->is_required)
            return err_at(b->err, ERR_INVALID, b->has_item ? "" : "/args",
                          "the argument %s is missing", p->name);
        *value = p->fallback;
    }
    return true;
}

bool call_bind(const struct call *call, const struct parameter_list *params,
               struct call_values *ret, struct err *err)
{
    struct binder b = {
        .params = params, .values = ret, .has_item = call->item.ptr != NULL, .err = err};
    *ret = (struct call_values){0};
    if (b.has_item && !add_item(&b, call))
        return false;
    if (call->args.ptr != NULL && !add_array(&b, call->args, "/args"))
        return outside_of_item(&b);
    if (call->kwargs.ptr != NULL && !add_object(&b, call->kwargs, "/kwargs"))
        return outside_of_item(&b);
    return add_defaults(&b);
}

/* ---- the command ---- */

static bool too_long(struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "makes an argument of more than %u bytes, which no system accepts",
                   MAX_ARG_BYTES);
}

bool call_expand(struct call_command *command, const struct parameter_list *params,
                 const struct call_values *values, struct arena *a, struct err *err)
{
    const struct template_values named = {params, values->of};
    const struct template_item item = {.call = &named};
    AUTO_BUF struct buf text = {0};
    struct slice *argv = arena_alloc(a, (command->n_argv + 1) * sizeof *argv);
    uint32_t n = 0;
    if (argv == NULL)
        return err_set(err, ERR_TOO_LARGE, "The arguments take too much memory");
    buf_init(&text, MAX_ARG_BYTES);
    for (uint32_t i = 0; i < command->n_argv; i++) {
        if (template_is_absent(command->argv[i], &named))
            continue;
        buf_clear(&text);
        template_put(command->argv[i], &item, &text);
        if (!buf_ok(&text))
            return too_long(err);
        argv[n].len = text.len;
        argv[n].ptr = arena_dup(a, (struct slice){text.len == 0 ? "" : text.ptr, text.len});
        if (argv[n++].ptr == NULL)
            return err_set(err, ERR_TOO_LARGE, "The arguments take too much memory");
    }
    if (n == 0 || argv[0].len == 0)
        return err_set(err, ERR_INVALID, "the name of the program comes out empty");
    *command = (struct call_command){argv, n};
    return true;
}
