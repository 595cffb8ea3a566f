/* SPDX-License-Identifier: MIT */
/* What a function's arguments must be, before anybody gives any. */
#include "service/base/function.h"

#include "service/base/template.h"
#include "service/base/text.h"

#define MAX_ARGS_JSON 16384u

/* ---- a command that says nothing: its placeholders do ---- */

static bool is_number(struct slice name)
{
    return name.ptr[0] >= '0' && name.ptr[0] <= '9';
}

/* The names in the order in which they come, or as many as the highest number. */
struct asked {
    struct parameter names[MAX_PARAMETERS];
    struct parameter_list list;
    int64_t highest;
};

static bool ask_for(struct asked *asked, struct slice name, struct arena *a, struct err *err)
{
    int64_t number;
    if (is_number(name)) {
        if (!text_to_i64(name, &number) || name.ptr[0] == '0' || number > MAX_PARAMETERS)
            return err_set(err, ERR_INVALID, "must say what {%.*s} in the command is",
                           (int)name.len, name.ptr);
        asked->highest = MAX(asked->highest, number);
        return true;
    }
    if (parameter_find(&asked->list, name) != NULL)
        return true;
    if (asked->list.n == MAX_PARAMETERS)
        return err_set(err, ERR_INVALID, "a function has at most %d parameters", MAX_PARAMETERS);
    asked->names[asked->list.n] = (struct parameter){.name = arena_dup(a, name)};
    return asked->names[asked->list.n++].name != NULL ||
           err_set(err, ERR_INVALID, "take too much memory");
}

static bool ask(const struct function *f, struct asked *ret, struct arena *a, struct err *err)
{
    *ret = (struct asked){0};
    ret->list.items = ret->names;
    for (uint32_t i = 0; i < f->n_argv; i++) {
        struct slice text = f->argv[i], name;
        while (template_next_name(&text, &name)) {
            if (!ask_for(ret, name, a, err))
                return false;
        }
    }
    return ret->highest == 0 || ret->list.n == 0 ||
           err_set(err, ERR_INVALID,
                   "must be given, as the command has names and numbers in braces");
}

static bool describe(struct function *f, const struct asked *asked, struct arena *a,
                     struct err *err)
{
    AUTO_BUF struct buf json = {0};
    buf_init(&json, MAX_ARGS_JSON);
    buf_putc(&json, '[');
    for (uint32_t i = 0; i < asked->list.n; i++)
        buf_printf(&json, "%s{\"name\":\"%s\"}", i == 0 ? "" : ",", asked->names[i].name);
    for (int64_t i = 0; i < asked->highest; i++)
        buf_puts(&json, i == 0 ? "{}" : ",{}");
    buf_putc(&json, ']');
    f->args = (struct slice){buf_ok(&json) ? arena_dup(a, buf_slice(&json)) : NULL, json.len};
    return f->args.ptr != NULL || err_set(err, ERR_INVALID, "take too much memory");
}

/* ---- a command that says it: the two must fit ---- */

static bool check_command(const struct function *f, struct err *err)
{
    bool is_used[MAX_PARAMETERS] = {false};
    for (uint32_t i = 0; i < f->n_argv; i++) {
        struct slice text = f->argv[i], name;
        while (template_next_name(&text, &name)) {
            uint32_t k = template_parameter(&f->params, name);
            if (k == f->params.n)
                return err_set(err, ERR_INVALID, "do not say what {%.*s} in the command is",
                               (int)name.len, name.ptr);
            is_used[k] = true;
        }
    }
    for (uint32_t k = 0; k < f->params.n; k++) {
        if (!is_used[k])
            return err_set(err, ERR_INVALID, "name %s, but {%s} is nowhere in the command",
                           f->params.items[k].name, f->params.items[k].name);
    }
    return true;
}

bool function_read_params(struct function *f, struct arena *a, struct err *err)
{
    struct asked asked;
    bool is_command = f->kind == FUNCTION_COMMAND;
    if (f->args.ptr == NULL && !is_command)
        return true; /* whatever it takes */
    if (f->args.ptr == NULL && (!ask(f, &asked, a, err) || !describe(f, &asked, a, err)))
        return false;
    return parameters_read(f->args, a, &f->params, err) && (!is_command || check_command(f, err));
}
