/* SPDX-License-Identifier: MIT */
#include "service/base/parameter.h"

#include "service/base/json.h"
#include "service/base/template.h"
#include "service/base/text.h"

#define MAX_LENGTH (INT64_C(1) << 40)

static const struct {
    const char *name, *wanted;
} types[PARAMETER_TYPE_COUNT] = {
    [PARAMETER_ANY] = {"any", "any value"},
    [PARAMETER_STRING] = {"string", "a string"},
    [PARAMETER_INTEGER] = {"integer", "a whole number"},
    [PARAMETER_NUMBER] = {"number", "a number"},
    [PARAMETER_BOOLEAN] = {"boolean", "true or false"},
    [PARAMETER_ARRAY] = {"array", "an array"},
    [PARAMETER_OBJECT] = {"object", "an object"},
};

/* ---- values ---- */

static bool has_type(enum parameter_type type, struct slice value)
{
    int64_t ignored;
    enum json_type have = json_type_of(value);
    switch (type) {
    case PARAMETER_STRING: return have == JSON_STRING;
    case PARAMETER_INTEGER: return have == JSON_NUMBER && json_to_i64(value, &ignored);
    case PARAMETER_NUMBER: return have == JSON_NUMBER;
    case PARAMETER_BOOLEAN: return have == JSON_TRUE || have == JSON_FALSE;
    case PARAMETER_ARRAY: return have == JSON_ARRAY;
    case PARAMETER_OBJECT: return have == JSON_OBJECT;
    case PARAMETER_ANY:
    case PARAMETER_TYPE_COUNT:
    default: return true;
    }
}

/* As clients see them: 1 and 1.0 are one number, and a string may be escaped or not. Arrays and
 * objects are compared as they are written. */
static bool is_same(struct slice a, struct slice b)
{
    double x, y;
    enum json_type type = json_type_of(a);
    if (slice_eq(a, b) || type != json_type_of(b))
        return slice_eq(a, b);
    if (type == JSON_NUMBER)
        return json_to_double(a, &x) && json_to_double(b, &y) && !(x < y) && !(x > y);
    if (type != JSON_STRING)
        return false;
    AUTO_BUF struct buf one = {0};
    AUTO_BUF struct buf other = {0};
    buf_init(&one, a.len);
    buf_init(&other, b.len);
    template_put_value(a, &one);
    template_put_value(b, &other);
    return buf_ok(&one) && buf_ok(&other) && slice_eq(buf_slice(&one), buf_slice(&other));
}

static bool is_choice(const struct parameter *p, struct slice value)
{
    struct json_iter it;
    struct slice choice;
    json_iter_init(&it, p->choices);
    while (json_next_element(&it, &choice)) {
        if (is_same(choice, value))
            return true;
    }
    return false;
}

static bool check_range(const struct parameter *p, struct slice value, struct err *err)
{
    double x;
    if (!json_to_double(value, &x))
        return err_set(err, ERR_INVALID, "%s is too large a number", p->name);
    if (p->has_minimum && x < p->minimum)
        return err_set(err, ERR_INVALID, "%s must be at least %.17g", p->name, p->minimum);
    if (p->has_maximum && x > p->maximum)
        return err_set(err, ERR_INVALID, "%s must be at most %.17g", p->name, p->maximum);
    return true;
}

static int64_t characters_of(struct slice string_value)
{
    AUTO_BUF struct buf text = {0};
    int64_t n = 0;
    buf_init(&text, string_value.len);
    template_put_value(string_value, &text);
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return n;
}

static bool check_length(const struct parameter *p, struct slice value, struct err *err)
{
    if (p->min_length == 0 && p->max_length < 0)
        return true;
    int64_t n = characters_of(value);
    if (n < p->min_length)
        return err_set(err, ERR_INVALID, "%s must have at least %lld characters", p->name,
                       (long long)p->min_length);
    if (p->max_length >= 0 && n > p->max_length)
        return err_set(err, ERR_INVALID, "%s must have at most %lld characters", p->name,
                       (long long)p->max_length);
    return true;
}

bool parameter_check(const struct parameter *p, struct slice value, struct err *err)
{
    if (!has_type(p->type, value))
        return err_set(err, ERR_INVALID, "%s must be %s", p->name, types[p->type].wanted);
    if (p->choices.ptr != NULL && !is_choice(p, value))
        return err_set(err, ERR_INVALID, "%s must be one of %.*s", p->name,
                       (int)MIN(p->choices.len, 120u), p->choices.ptr);
    if (p->type == PARAMETER_INTEGER || p->type == PARAMETER_NUMBER)
        return check_range(p, value, err);
    return p->type != PARAMETER_STRING || check_length(p, value, err);
}

const struct parameter *parameter_find(const struct parameter_list *list, struct slice name)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (slice_is(name, list->items[i].name))
            return &list->items[i];
    }
    return NULL;
}

/* ---- descriptions ---- */

struct description {
    struct parameter *p;
    struct arena *a;
    bool has_name, has_required;
    bool ranges, measures; /* has bounds of numbers, of strings */
    struct err *err;
};

static bool is_identifier(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0 && s.len <= MAX_PARAMETER_NAME;
}

static bool read_name(struct description *d, struct slice value)
{
    size_t len = 0;
    const char *name = json_type_of(value) == JSON_STRING ? json_string_dup(value, d->a, &len)
                                                          : NULL;
    d->has_name = true;
    d->p->name = name;
    return (name != NULL && is_identifier((struct slice){name, len})) ||
           err_set(d->err, ERR_INVALID,
                   "must be 1 to %d letters, digits or \"_\", and begin with no digit",
                   MAX_PARAMETER_NAME);
}

static bool read_type(struct description *d, struct slice value)
{
    for (int t = 0; t < PARAMETER_TYPE_COUNT; t++) {
        if (json_type_of(value) == JSON_STRING && json_string_eq(value, types[t].name)) {
            d->p->type = (enum parameter_type)t;
            return true;
        }
    }
    return err_set(d->err, ERR_INVALID,
                   "must be string, integer, number, boolean, array, object or any");
}

static bool read_bound(struct description *d, struct slice value, double *ret, bool *ret_has)
{
    *ret_has = d->ranges = true;
    return (json_type_of(value) == JSON_NUMBER && json_to_double(value, ret)) ||
           err_set(d->err, ERR_INVALID, "must be a number");
}

static bool read_minimum(struct description *d, struct slice value)
{
    return read_bound(d, value, &d->p->minimum, &d->p->has_minimum);
}

static bool read_maximum(struct description *d, struct slice value)
{
    return read_bound(d, value, &d->p->maximum, &d->p->has_maximum);
}

static bool read_length(struct description *d, struct slice value, int64_t *ret)
{
    d->measures = true;
    return (json_type_of(value) == JSON_NUMBER && json_to_i64(value, ret) && *ret >= 0 &&
            *ret <= MAX_LENGTH) ||
           err_set(d->err, ERR_INVALID, "must be a whole number that is not negative");
}

static bool read_min_length(struct description *d, struct slice value)
{
    return read_length(d, value, &d->p->min_length);
}

static bool read_max_length(struct description *d, struct slice value)
{
    return read_length(d, value, &d->p->max_length);
}

static bool read_enum(struct description *d, struct slice value)
{
    struct json_iter it;
    struct slice first;
    d->p->choices = value;
    if (json_type_of(value) != JSON_ARRAY)
        return err_set(d->err, ERR_INVALID, "must be an array of values");
    json_iter_init(&it, value);
    return json_next_element(&it, &first) ||
           err_set(d->err, ERR_INVALID, "must have one value at least");
}

static bool read_default(struct description *d, struct slice value)
{
    d->p->fallback = value;
    return true;
}

static bool read_required(struct description *d, struct slice value)
{
    enum json_type type = json_type_of(value);
    d->has_required = true;
    d->p->is_required = type == JSON_TRUE;
    return type == JSON_TRUE || type == JSON_FALSE ||
           err_set(d->err, ERR_INVALID, "must be true or false");
}

static bool read_doc(struct description *d, struct slice value)
{
    return json_type_of(value) == JSON_STRING || err_set(d->err, ERR_INVALID, "must be a string");
}

static const struct {
    const char *name;
    bool (*read)(struct description *d, struct slice value);
} members[] = {
    {"name", read_name},
    {"type", read_type},
    {"minimum", read_minimum},
    {"maximum", read_maximum},
    {"minLength", read_min_length},
    {"maxLength", read_max_length},
    {"enum", read_enum},
    {"default", read_default},
    {"required", read_required},
    {"doc", read_doc},
};

static bool read_member(struct description *d, struct slice key, struct slice value)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (!json_string_eq(key, members[i].name))
            continue;
        if (!members[i].read(d, value))
            (void)snprintf(d->err->pointer, sizeof d->err->pointer, "/%s", members[i].name);
        return d->err->code == ERR_NONE;
    }
    return err_set(d->err, ERR_INVALID, "\"%.*s\" is not known in the description of a parameter",
                   (int)MIN(key.len, 60u), key.ptr);
}

/* What the members must not be together. */
static bool check_whole(const struct description *d)
{
    const struct parameter *p = d->p;
    struct err why = {0};
    if (d->ranges && p->type != PARAMETER_INTEGER && p->type != PARAMETER_NUMBER)
        return err_set(d->err, ERR_INVALID,
                       "\"minimum\" and \"maximum\" are for the types integer and number");
    if (d->measures && p->type != PARAMETER_STRING)
        return err_set(d->err, ERR_INVALID,
                       "\"minLength\" and \"maxLength\" are for the type string");
    if (p->is_required && d->has_required && p->fallback.ptr != NULL)
        return err_set(d->err, ERR_INVALID, "what has a \"default\" is not required");
    return p->fallback.ptr == NULL || parameter_check(p, p->fallback, &why) ||
           err_at(d->err, ERR_INVALID, "/default", "%s", why.detail);
}

static bool read_one(struct description *d, struct slice value, uint32_t place)
{
    struct json_iter it;
    struct slice key, member;
    char number[16];
    *d->p = (struct parameter){.is_required = true, .max_length = -1};
    if (json_type_of(value) != JSON_OBJECT)
        return err_set(d->err, ERR_INVALID, "must be an object such as {\"name\": \"n\"}");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &member)) {
        if (!read_member(d, key, member))
            return false;
    }
    if (d->p->fallback.ptr != NULL && !d->has_required)
        d->p->is_required = false;
    (void)snprintf(number, sizeof number, "%u", place + 1);
    if (!d->has_name)
        d->p->name = arena_dup(d->a, slice_of(number));
    if (d->p->name == NULL)
        return err_set(d->err, ERR_TOO_LARGE, "the parameters take too much memory");
    return check_whole(d);
}

/* Where it is: the failed reader has left the pointer of the member. */
static bool refuse(struct err *err, uint32_t place)
{
    char pointer[64];
    (void)snprintf(pointer, sizeof pointer, "/%u%.40s", place, err->pointer);
    memcpy(err->pointer, pointer, sizeof pointer);
    return false;
}

bool parameters_read(struct slice json, struct arena *a, struct parameter_list *ret,
                     struct err *err)
{
    struct json_iter it;
    struct slice value;
    bool was_required = true;
    *ret = (struct parameter_list){0};
    if (json_type_of(json) != JSON_ARRAY)
        return err_set(err, ERR_INVALID, "must be an array: one object for each parameter");
    ret->items = arena_alloc(a, MAX_PARAMETERS * sizeof *ret->items);
    if (ret->items == NULL)
        return err_set(err, ERR_TOO_LARGE, "the parameters take too much memory");
    json_iter_init(&it, json);
    while (json_next_element(&it, &value)) {
        struct parameter *p = &ret->items[ret->n];
        struct description d = {.p = p, .a = a, .err = err};
        if (ret->n == MAX_PARAMETERS)
            return err_set(err, ERR_INVALID, "a function has at most %d parameters",
                           MAX_PARAMETERS);
        if (!read_one(&d, value, ret->n))
            return refuse(err, ret->n);
        if (parameter_find(ret, slice_of(p->name)) != NULL)
            return !err_set(err, ERR_INVALID, "another parameter has this name") &&
                   refuse(err, ret->n);
        if (p->is_required && !was_required)
            return !err_set(err, ERR_INVALID, "is required, but follows one that is not") &&
                   refuse(err, ret->n);
        was_required = p->is_required;
        ret->n++;
    }
    return true;
}
