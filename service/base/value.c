/* SPDX-License-Identifier: MIT */
#include "service/base/value.h"

#include <strings.h>

static const char *const names[VALUE_TYPE_COUNT] = {[VALUE_JSON] = "application/json",
                                                    [VALUE_TEXT] = "text/plain; charset=utf-8",
                                                    [VALUE_BYTES] = "application/octet-stream"};

const char *value_type_name(enum value_type type)
{
    PRE((unsigned)type < VALUE_TYPE_COUNT);
    return names[type];
}

static bool is_type(struct slice text, const char *type)
{
    const size_t len = strlen(type);
    return text.len >= len && strncasecmp(text.ptr, type, len) == 0 &&
           (text.len == len || text.ptr[len] == ';' || text.ptr[len] == ' ');
}

enum value_type value_type_of(struct slice content_type)
{
    if (content_type.len == 0 || is_type(content_type, "application/json"))
        return VALUE_JSON;
    return is_type(content_type, "text/plain") ? VALUE_TEXT : VALUE_BYTES;
}
