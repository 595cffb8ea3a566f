/* SPDX-License-Identifier: MIT */
#include "service/element_call.h"

#include "service/base/json.h"

#define MAX_CALL_JSON (4u << 20)
#define MAX_CALL_SCRATCH (8u << 20)

static void put_member(struct buf *out, const char *name, struct slice value)
{
    if (value.ptr == NULL)
        return;
    buf_printf(out, "%s\"%s\":", out->len == 1 ? "" : ",", name);
    buf_append(out, value.ptr, value.len);
}

bool element_call_write(const struct element_call *call, struct slice params, struct arena *a,
                        struct slice *ret, struct err *err)
{
    AUTO_BUF struct buf json = {0};
    buf_init(&json, MAX_CALL_JSON);
    buf_putc(&json, '{');
    put_member(&json, "params", params);
    put_member(&json, "args", call->args);
    put_member(&json, "kwargs", call->kwargs);
    buf_putc(&json, '}');
    *ret = (struct slice){buf_ok(&json) ? arena_dup(a, buf_slice(&json)) : NULL, json.len};
    return ret->ptr != NULL || err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
}

bool element_call_read(struct slice json, const struct task *task, struct arena *a,
                       struct element_call *ret, struct err *err)
{
    struct slice params = {0};
    ret->command = (struct call_command){task->argv, task->n_argv};
    if (!json_find(json, "args", &ret->args))
        ret->args = (struct slice){0};
    if (!json_find(json, "kwargs", &ret->kwargs))
        ret->kwargs = (struct slice){0};
    ret->takes_json = task->kind != TASK_COMMAND;
    ret->has_params = json_find(json, "params", &params);
    if (ret->takes_json && !ret->has_params)
        return true; /* it takes whatever it gets */
    return (ret->has_params && parameters_read(params, a, &ret->params, err)) ||
           err_set(err, ERR_STORAGE, "The stored template of a batch is damaged");
}

static bool expand(const struct element_call *call, struct slice item, struct arena *a,
                   struct call_command *ret, struct err *err)
{
    const struct call asked = {
        .args = call->args, .kwargs = call->kwargs, .item = item, .star = call->star};
    struct call_values values;
    *ret = call->command;
    return call_bind(&asked, &call->params, &values, err) &&
           call_expand(ret, &call->params, &values, a, err);
}

bool element_call_json(const struct element_call *call, struct slice item, struct buf *out,
                       struct err *err)
{
    const struct call asked = {
        .args = call->args, .kwargs = call->kwargs, .item = item, .star = call->star};
    buf_init(out, MAX_CALL_JSON);
    return call_json(&asked, call->has_params ? &call->params : NULL, out, err);
}

bool element_call_check(const struct element_call *call, struct slice item, struct err *err)
{
    AUTO_ARENA struct arena scratch = {0};
    struct call_command command;
    AUTO_BUF struct buf json = {0};
    if (call->takes_json)
        return element_call_json(call, item, &json, err);
    arena_init(&scratch, MAX_CALL_SCRATCH);
    return expand(call, item, &scratch, &command, err);
}

bool element_call_fill(const struct element_call *call, struct slice item, struct arena *a,
                       struct task *task, struct err *err)
{
    struct call_command command;
    AUTO_BUF struct buf json = {0};
    if (call->takes_json) {
        if (!element_call_json(call, item, &json, err))
            return false;
        task->stdin_bytes = (struct slice){arena_dup(a, buf_slice(&json)), json.len};
        return task->stdin_bytes.ptr != NULL ||
               err_set(err, ERR_TOO_LARGE, "The arguments take too much memory");
    }
    if (!expand(call, item, a, &command, err))
        return false;
    task->argv = command.argv;
    task->n_argv = command.n_argv;
    return true;
}
