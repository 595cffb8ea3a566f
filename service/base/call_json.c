/* SPDX-License-Identifier: MIT */
/* What a function gets that is no command: its arguments as one JSON object. */
#include "service/base/call.h"

#include "service/base/json.h"

#define MAX_KEY 4096u

static void put_comma(struct buf *out)
{
    const char last = out->len == 0 ? '\0' : out->ptr[out->len - 1];
    if (last != '[' && last != '{')
        buf_putc(out, ',');
}

static void put_elements(struct slice array, struct buf *out)
{
    struct json_iter it;
    struct slice value;
    json_iter_init(&it, array);
    while (json_next_element(&it, &value)) {
        put_comma(out);
        buf_append(out, value.ptr, value.len);
    }
}

/* The key is among the members of `object`; one that is too long to compare is not. */
static bool has_member(struct slice object, struct slice raw_key)
{
    char key[MAX_KEY + 1];
    struct slice ignored;
    if (object.ptr == NULL || raw_key.len > MAX_KEY)
        return false;
    key[json_string_unescape(raw_key, key)] = '\0';
    return json_find(object, key, &ignored);
}

static void put_members(struct slice object, struct slice but, struct buf *out)
{
    struct json_iter it;
    struct slice key, value;
    json_iter_init(&it, object);
    while (json_next_member(&it, &key, &value)) {
        if (has_member(but, key))
            continue;
        put_comma(out);
        buf_putc(out, '"');
        buf_append(out, key.ptr, key.len);
        buf_puts(out, "\":");
        buf_append(out, value.ptr, value.len);
    }
}

static void put_defaults(const struct parameter_list *params, const struct call_values *values,
                         struct buf *out)
{
    for (uint32_t i = 0; i < params->n; i++) {
        const struct slice value = params->items[i].fallback;
        if (value.ptr == NULL || values->of[i].ptr != value.ptr)
            continue;
        put_comma(out);
        buf_printf(out, "\"%s\":", params->items[i].name);
        buf_append(out, value.ptr, value.len);
    }
}

bool call_json(const struct call *call, const struct parameter_list *params, struct buf *out,
               struct err *err)
{
    struct call_values values = {0};
    const bool has_item = call->item.ptr != NULL;
    const enum json_type type = has_item ? json_type_of(call->item) : JSON_NULL;
    const bool by_name = has_item && call->star && type == JSON_OBJECT;

    if (params != NULL && !call_bind(call, params, &values, err))
        return false;
    if (has_item && call->star && type != JSON_ARRAY && type != JSON_OBJECT)
        return err_set(err, ERR_INVALID,
                       "must be an array or an object of arguments, as \"star\" is true");
    buf_puts(out, "{\"args\":[");
    if (has_item && !call->star)
        buf_append(out, call->item.ptr, call->item.len);
    else if (has_item && type == JSON_ARRAY)
        put_elements(call->item, out);
    if (call->args.ptr != NULL)
        put_elements(call->args, out);
    buf_puts(out, "],\"kwargs\":{");
    if (by_name)
        put_members(call->item, (struct slice){0}, out);
    if (call->kwargs.ptr != NULL)
        put_members(call->kwargs, by_name ? call->item : (struct slice){0}, out);
    if (params != NULL)
        put_defaults(params, &values, out);
    buf_puts(out, "}}");
    return buf_ok(out) || err_set(err, ERR_TOO_LARGE, "The arguments take too much memory");
}
