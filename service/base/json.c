/* SPDX-License-Identifier: MIT */
#include "service/base/json.h"

#include <math.h>

#include "service/base/json_text.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r'; /* RFC 8259, section 2: no others */
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && is_space(*p))
        p++;
    return p;
}

enum json_type json_type_of(struct slice value)
{
    PRE(value.len > 0);
    switch (value.ptr[0]) {
    case 'n': return JSON_NULL;
    case 'f': return JSON_FALSE;
    case 't': return JSON_TRUE;
    case '"': return JSON_STRING;
    case '[': return JSON_ARRAY;
    case '{': return JSON_OBJECT;
    default: return JSON_NUMBER;
    }
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",     [JSON_FALSE] = "boolean", [JSON_TRUE] = "boolean",
        [JSON_NUMBER] = "number", [JSON_STRING] = "string", [JSON_ARRAY] = "array",
        [JSON_OBJECT] = "object",
    };
    PRE((unsigned)type < ARRAY_LEN(names));
    return names[type];
}

struct slice json_trim(struct slice text)
{
    const char *p = skip_space(text.ptr, text.ptr + text.len), *end = text.ptr + text.len;
    while (end > p && is_space(end[-1]))
        end--;
    return (struct slice){p, (size_t)(end - p)};
}

/* Behind the closing quote of the string whose opening quote is at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        p = memchr(p, '"', (size_t)(end - p));
        PRE(p != NULL);
        size_t n_backslashes = 0;
        while (p[-1 - (ptrdiff_t)n_backslashes] == '\\')
            n_backslashes++;
        if (n_backslashes % 2 == 0)
            return p + 1;
    }
    return end;
}

static const char *skip_container(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        char c = *p;
        if (c == '"') {
            p = skip_string(p, end);
            continue;
        }
        p++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return p;
    }
    return end;
}

static const char *skip_value(const char *p, const char *end)
{
    PRE(p < end);
    if (*p == '"')
        return skip_string(p, end);
    if (*p == '{' || *p == '[')
        return skip_container(p, end);
    while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_space(*p))
        p++;
    return p;
}

void json_iter_init(struct json_iter *it, struct slice array_or_object)
{
    PRE(array_or_object.len >= 2 &&
        (array_or_object.ptr[0] == '[' || array_or_object.ptr[0] == '{'));
    it->at = array_or_object.ptr + 1;
    it->end = array_or_object.ptr + array_or_object.len - 1;
}

bool json_next_element(struct json_iter *it, struct slice *ret_value)
{
    const char *p = skip_space(it->at, it->end);
    if (p < it->end && *p == ',')
        p = skip_space(p + 1, it->end);
    if (p >= it->end)
        return false;
    const char *after = skip_value(p, it->end);
    *ret_value = (struct slice){p, (size_t)(after - p)};
    it->at = after;
    return true;
}

bool json_next_member(struct json_iter *it, struct slice *ret_raw_key, struct slice *ret_value)
{
    struct slice key;
    if (!json_next_element(it, &key))
        return false;
    PRE(key.ptr[0] == '"' && key.len >= 2);
    const char *p = skip_space(it->at, it->end);
    PRE(p < it->end && *p == ':');
    p = skip_space(p + 1, it->end);
    const char *after = skip_value(p, it->end);
    *ret_raw_key = (struct slice){key.ptr + 1, key.len - 2};
    *ret_value = (struct slice){p, (size_t)(after - p)};
    it->at = after;
    return true;
}

/* What stands between the quotes. A raw key cannot begin with a bare quote, so both forms are told
 * apart. */
static struct slice inside_quotes(struct slice s)
{
    if (s.len >= 2 && s.ptr[0] == '"')
        return (struct slice){s.ptr + 1, s.len - 2};
    return s;
}

bool json_string_eq(struct slice string_value, const char *s)
{
    return json_raw_is(inside_quotes(string_value), slice_of(s));
}

bool json_find(struct slice object, const char *key, struct slice *ret_value)
{
    struct slice wanted = slice_of(key), raw_key, value;
    struct json_iter it;
    json_iter_init(&it, object);
    while (json_next_member(&it, &raw_key, &value)) {
        if (json_raw_is(raw_key, wanted)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

char *json_string_dup(struct slice string_value, struct arena *a, size_t *ret_len)
{
    struct slice raw = inside_quotes(string_value);
    char *out = arena_alloc(a, raw.len + 1); /* an escape is never shorter than what it stands for
                                              */
    if (out == NULL)
        return NULL;
    size_t len = json_unescape(raw, out);
    POST(len <= raw.len);
    if (ret_len != NULL)
        *ret_len = len;
    return out;
}

size_t json_string_unescape(struct slice string_value, char *out)
{
    return json_unescape(inside_quotes(string_value), out);
}

/* Sign, digits and power of ten of a JSON number, in place. */
struct number {
    bool negative;
    struct slice whole, fraction; /* digits */
    int64_t exponent;             /* held within ±MAX_EXPONENT */
};

#define MAX_EXPONENT 1000000000000 /* beyond any length of digits, far from overflow */

static struct slice take_digits(const char **p, const char *end)
{
    const char *first = *p;
    while (*p < end && is_digit(**p))
        (*p)++;
    return (struct slice){first, (size_t)(*p - first)};
}

static struct number split_number(struct slice text)
{
    struct number n = {0};
    const char *p = text.ptr, *end = text.ptr + text.len;
    if (p < end && *p == '-') {
        n.negative = true;
        p++;
    }
    n.whole = take_digits(&p, end);
    if (p < end && *p == '.') {
        p++;
        n.fraction = take_digits(&p, end);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        bool down = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        for (; p < end && is_digit(*p); p++)
            n.exponent = MIN(n.exponent * 10 + (*p - '0'), MAX_EXPONENT);
        n.exponent = down ? -n.exponent : n.exponent;
    }
    return n;
}

/* Appends one digit; the value is kept negative because INT64_MIN has no positive twin. */
static bool push_digit(int64_t *value, int digit)
{
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_sub_overflow(*value, digit, value);
}

bool json_to_i64(struct slice number, int64_t *ret)
{
    PRE(number.len > 0);
    if (json_type_of(number) != JSON_NUMBER)
        return false;
    struct number n = split_number(number);
    int64_t n_digits = (int64_t)(n.whole.len + n.fraction.len);
    int64_t n_integer = (int64_t)n.whole.len + n.exponent; /* so many digits stand before the point
                                                            */
    int64_t value = 0;
    for (int64_t i = 0; i < n_digits; i++) {
        size_t at = (size_t)i;
        char c = at < n.whole.len ? n.whole.ptr[at] : n.fraction.ptr[at - n.whole.len];
        if (i >= n_integer && c != '0')
            return false; /* a fraction */
        if (i < n_integer && !push_digit(&value, c - '0'))
            return false;
    }
    for (int64_t i = n_digits; i < n_integer && value != 0; i++) {
        if (!push_digit(&value, 0))
            return false;
    }
    if (!n.negative && value == INT64_MIN)
        return false;
    *ret = n.negative ? value : -value;
    return true;
}

bool json_to_double(struct slice number, double *ret)
{
    PRE(number.len > 0);
    if (json_type_of(number) != JSON_NUMBER)
        return false;
    char small[64]; /* strtod wants a NUL; nearly every number fits here */
    AUTO_FREE char *large = NULL;
    char *text = small;
    if (number.len >= sizeof(small)) {
        large = must_alloc(number.len + 1);
        text = large;
    }
    memcpy(text, number.ptr, number.len);
    text[number.len] = '\0';
    char *end = NULL;
    double value = strtod(text, &end);
    if (end != text + number.len || !isfinite(value))
        return false;
    *ret = value;
    return true;
}
