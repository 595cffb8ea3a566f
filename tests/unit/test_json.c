/* SPDX-License-Identifier: MIT */
#include "service/base/json.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <time.h>

#define CASES GANGER_SOURCE_DIR "/tests/data/json/cases.txt"

/* A copy that ends with its last byte, so that AddressSanitizer sees every read behind it. */
static char *exact_copy(struct slice s)
{
    char *copy = malloc(s.len > 0 ? s.len : 1);
    cr_assert_not_null(copy);
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

static bool accepts(struct slice text, struct err *err)
{
    AUTO_FREE char *copy = exact_copy(text);
    return json_validate((struct slice){copy, text.len}, JSON_LIMITS_DEFAULT, err);
}

/* One line of the table: class, offset or -, name, text with %XX. */
struct json_case {
    char class[8], offset[16], name[80];
    char text[8192];
    size_t len;
};

static bool read_case(FILE *file, struct json_case *c)
{
    char line[8300];
    do {
        if (fgets(line, sizeof(line), file) == NULL)
            return false;
    } while (line[0] == '#');
    int at = 0;
    cr_assert_eq(sscanf(line, "%7s %15s %79s%n", c->class, c->offset, c->name, &at), 3, "%s", line);
    c->len = 0;
    for (const char *p = line + at + (line[at] == ' '); *p != '\n'; p++) {
        cr_assert_neq(*p, '\0', "%s: the line is too long", c->name);
        unsigned byte = (unsigned char)*p;
        if (*p == '%') {
            cr_assert_eq(sscanf(p, "%%%2X", &byte), 1, "%s", c->name);
            p += 2;
        }
        c->text[c->len++] = (char)byte;
    }
    return true;
}

Test(json_suite, every_case_is_decided_as_written)
{
    FILE *file = fopen(CASES, "re");
    cr_assert_not_null(file, CASES);
    static struct json_case c;
    int n_accepted = 0, n_refused = 0;
    while (read_case(file, &c)) {
        struct err err = {0};
        bool ok = accepts((struct slice){c.text, c.len}, &err);
        cr_assert_eq(ok, strcmp(c.offset, "-") == 0, "%s %s: %s", c.class, c.name, err.detail);
        cr_assert_eq(ok, c.class[0] == 'y' || c.class[1] == '+', "%s %s", c.class, c.name);
        n_accepted += ok;
        n_refused += !ok;
        if (ok)
            continue;
        char where[32];
        (void)snprintf(where, sizeof(where), "byte %s:", c.offset);
        cr_assert_eq(err.code, ERR_INVALID_JSON, "%s", c.name);
        cr_assert_not_null(strstr(err.detail, where), "%s: '%s' lacks '%s'", c.name, err.detail,
                           where);
    }
    (void)fclose(file);
    cr_assert_gt(n_accepted, 130);
    cr_assert_gt(n_refused, 250);
}

/* A prefix of a valid text is not a valid text, unless it is a shorter number or ends in dropped
 * white space. */
Test(json_suite, truncation_at_every_byte_is_seen)
{
    FILE *file = fopen(CASES, "re");
    cr_assert_not_null(file, CASES);
    static struct json_case c;
    while (read_case(file, &c)) {
        struct slice value = json_trim((struct slice){c.text, c.len});
        if (c.class[0] != 'y' || value.len == 0 || json_type_of(value) == JSON_NUMBER)
            continue;
        for (size_t len = 0; len < value.len; len++)
            cr_assert_not(accepts((struct slice){value.ptr, len}, NULL), "%s cut to %zu bytes",
                          c.name, len);
    }
    (void)fclose(file);
}

/* No input may crash the scanner or make it read too far: each case with each byte changed in turn.
 */
Test(json_suite, single_byte_changes_are_survived)
{
    static const char replacements[] = {'\0', '"', '\\', '{',    '}',   '[',
                                        ',',  '0', 'u',  '\x80', '\xFF'};
    FILE *file = fopen(CASES, "re");
    cr_assert_not_null(file, CASES);
    static struct json_case c;
    unsigned long n_accepted = 0, n_tried = 0;
    while (read_case(file, &c)) {
        for (size_t at = 0; at < MIN(c.len, 60u); at++) {
            char kept = c.text[at];
            for (size_t i = 0; i < sizeof(replacements); i++) {
                c.text[at] = replacements[i];
                n_accepted += accepts((struct slice){c.text, c.len}, NULL);
                n_tried++;
            }
            c.text[at] = kept;
        }
    }
    (void)fclose(file);
    cr_assert(n_accepted > 100 && n_accepted < n_tried / 2, "%lu of %lu", n_accepted, n_tried);
}

Test(json, limits_are_exact)
{
    struct json_limits limits = {3, 5};
    cr_assert(json_validate(SLICE_LIT("[[[]]]"), limits, NULL));
    cr_assert_not(json_validate(SLICE_LIT("[[[[]]]]"), limits, NULL));
    cr_assert(json_validate(SLICE_LIT("[1,2,3,4]"), limits, NULL));
    cr_assert_not(json_validate(SLICE_LIT("[1,2,3,4,5]"), limits, NULL));
    cr_assert(json_validate(SLICE_LIT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"), limits, NULL),
              "names are not values");
    cr_assert_not(json_validate(SLICE_LIT("[]"), (struct json_limits){0, 5}, NULL));
    cr_assert(json_validate(SLICE_LIT("1"), (struct json_limits){0, 1}, NULL));
}

static char *object_of(size_t n_members, const char *fmt, size_t *ret_len)
{
    struct buf b;
    buf_init(&b, 8 << 20);
    buf_putc(&b, '{');
    for (size_t i = 0; i < n_members; i++) {
        buf_puts(&b, i > 0 ? ",\"" : "\"");
        char key[32];
        (void)snprintf(key, sizeof(key), "%zx", i);
        buf_puts(&b, fmt);
        buf_puts(&b, key);
        buf_puts(&b, "\":1");
    }
    buf_putc(&b, '}');
    *ret_len = b.len;
    char *text = buf_steal(&b);
    cr_assert_not_null(text);
    buf_release(&b);
    return text;
}

Test(json, duplicates_are_found_in_objects_of_any_size)
{
    static const size_t sizes[] = {1, 2, 31, 63, 64, 65, 127, 128, 129, 1000, 60000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t len = 0;
        AUTO_FREE char *text = object_of(sizes[i], "k", &len);
        cr_assert(json_validate((struct slice){text, len}, JSON_LIMITS_DEFAULT, NULL),
                  "%zu members", sizes[i]);
        for (size_t again = 0; again < sizes[i]; again += sizes[i] / 7 + 1) {
            AUTO_BUF struct buf b;
            buf_init(&b, 8 << 20);
            buf_append(&b, text, len - 1);
            buf_printf(&b, ",\"\\u006b%zx\":2}", again);
            struct err err = {0};
            cr_assert_not(json_validate(buf_slice(&b), JSON_LIMITS_DEFAULT, &err), "%zu of %zu",
                          again, sizes[i]);
            cr_assert_not_null(strstr(err.detail, "used before"));
        }
    }
}

static double validate_ns(const char *text, size_t len)
{
    struct timespec start, stop;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    cr_assert(json_validate((struct slice){text, len}, JSON_LIMITS_DEFAULT, NULL));
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &stop);
    return (double)(stop.tv_sec - start.tv_sec) * 1e9 + (double)(stop.tv_nsec - start.tv_nsec);
}

/* Sixteen times as many members may take about sixteen times as long; comparing all pairs would
 * take 256 times. */
Test(json, duplicates_are_found_in_linear_time)
{
    size_t small_len = 0, large_len = 0;
    AUTO_FREE char *small = object_of(3750, "a_common_prefix_", &small_len);
    AUTO_FREE char *large = object_of(60000, "a_common_prefix_", &large_len);
    double small_ns = INFINITY, large_ns = INFINITY;
    for (int i = 0; i < 5; i++) {
        small_ns = MIN(small_ns, validate_ns(small, small_len));
        large_ns = MIN(large_ns, validate_ns(large, large_len));
    }
    cr_assert_lt(large_ns, small_ns * 80, "%.0f against %.0f ns", large_ns, small_ns);
}

Test(json, types)
{
    static const struct {
        const char *text;
        enum json_type type;
        const char *name;
    } rows[] = {{"null", JSON_NULL, "null"},     {"false", JSON_FALSE, "boolean"},
                {"true", JSON_TRUE, "boolean"},  {"-1", JSON_NUMBER, "number"},
                {"\"\"", JSON_STRING, "string"}, {"[]", JSON_ARRAY, "array"},
                {"{}", JSON_OBJECT, "object"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_assert_eq(json_type_of(slice_of(rows[i].text)), rows[i].type);
        cr_assert_str_eq(json_type_name(rows[i].type), rows[i].name);
    }
}

Test(json, members_are_walked_in_order)
{
    struct slice text = SLICE_LIT(" { \"a\" : [1, {\"x\":\"]}\"}] ,\"b\\n\":\"q\\\"\\\\\" , "
                                  "\"c\":{}, \"\":-1.5e3 , \"d\" :null } ");
    static const char *const expected[][2] = {{"a", "[1, {\"x\":\"]}\"}]"},
                                              {"b\\n", "\"q\\\"\\\\\""},
                                              {"c", "{}"},
                                              {"", "-1.5e3"},
                                              {"d", "null"}};
    cr_assert(json_validate(text, JSON_LIMITS_DEFAULT, NULL));
    struct json_iter it;
    struct slice key, value;
    json_iter_init(&it, json_trim(text));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        cr_assert(json_next_member(&it, &key, &value));
        cr_assert(slice_is(key, expected[i][0]), "%.*s", (int)key.len, key.ptr);
        cr_assert(slice_is(value, expected[i][1]), "%.*s", (int)value.len, value.ptr);
    }
    cr_assert_not(json_next_member(&it, &key, &value));
    cr_assert_not(json_next_member(&it, &key, &value), "the end stays the end");
}

Test(json, elements_are_walked_in_order)
{
    struct slice text = SLICE_LIT("[ 1 ,\"a,b\", [ ] , {\"k\":[2]},true\n]");
    static const char *const expected[] = {"1", "\"a,b\"", "[ ]", "{\"k\":[2]}", "true"};
    struct json_iter it;
    struct slice value;
    json_iter_init(&it, text);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        cr_assert(json_next_element(&it, &value));
        cr_assert(slice_is(value, expected[i]), "%.*s", (int)value.len, value.ptr);
    }
    cr_assert_not(json_next_element(&it, &value));
    json_iter_init(&it, SLICE_LIT("[ ]"));
    cr_assert_not(json_next_element(&it, &value));
    json_iter_init(&it, SLICE_LIT("{}"));
    cr_assert_not(json_next_member(&it, &value, &value));
}

/* The walkers must survive all that the scanner accepts: walk every accepted case to the bottom. */
static size_t count_values(struct slice value)
{
    size_t n = 1;
    struct json_iter it;
    struct slice key, inner;
    if (json_type_of(value) == JSON_OBJECT) {
        json_iter_init(&it, value);
        while (json_next_member(&it, &key, &inner))
            n += count_values(inner);
    } else if (json_type_of(value) == JSON_ARRAY) {
        json_iter_init(&it, value);
        while (json_next_element(&it, &inner))
            n += count_values(inner);
    }
    return n;
}

Test(json_suite, walkers_see_every_value)
{
    FILE *file = fopen(CASES, "re");
    cr_assert_not_null(file, CASES);
    static struct json_case c;
    while (read_case(file, &c)) {
        struct slice text = {c.text, c.len};
        if (!accepts(text, NULL))
            continue;
        size_t n = count_values(json_trim(text));
        struct json_limits exact = {64, (uint32_t)n}, less = {64, (uint32_t)n - 1};
        cr_assert(json_validate(text, exact, NULL), "%s has %zu values", c.name, n);
        cr_assert_not(json_validate(text, less, NULL), "%s has %zu values", c.name, n);
    }
    (void)fclose(file);
}

Test(json, find_compares_unescaped_names)
{
    struct slice
        object = SLICE_LIT(
            "{\"plain\":1,\"\\u0065sc\\t\":2,\"x\":{\"deep\":3},\"😀\":4,\"\\ud83d\\ude01\":5}"),
        value;
    cr_assert(json_find(object, "plain", &value) && slice_is(value, "1"));
    cr_assert(json_find(object, "esc\t", &value) && slice_is(value, "2"));
    cr_assert(json_find(object, "😀", &value) && slice_is(value, "4"));
    cr_assert(json_find(object, "😁", &value) && slice_is(value, "5"));
    cr_assert_not(json_find(object, "deep", &value));
    cr_assert_not(json_find(object, "Plain", &value));
    cr_assert_not(json_find(object, "plai", &value));
    cr_assert_not(json_find(object, "\\u0065sc\\t", &value));
}

Test(json, strings_are_unescaped)
{
    const struct {
        const char *json;
        struct slice text;
    } rows[] = {
        {"\"\"", SLICE_LIT("")},
        {"\"abc\"", SLICE_LIT("abc")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", SLICE_LIT("\"\\/\b\f\n\r\t")},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"", SLICE_LIT("Aé€😀")},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
         SLICE_LIT("\x7f\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF")},
        {"\"\\ud800\\udc00\\udbff\\udfff\"", SLICE_LIT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF")},
        {"\"a\\\\u0041\"", SLICE_LIT("a\\u0041")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena a;
        arena_init(&a, 4096);
        struct slice json = slice_of(rows[i].json);
        cr_assert(accepts(json, NULL));
        size_t len = 0;
        char *text = json_string_dup(json, &a, &len);
        cr_assert(slice_eq((struct slice){text, len}, rows[i].text), "row %zu: %s", i, text);
        cr_assert_eq(text[len], '\0');
        cr_assert(json_string_eq(json, text));
        struct slice raw_key = {json.ptr + 1, json.len - 2};
        cr_assert(json_string_eq(raw_key, text), "raw keys too");
        cr_assert_str_eq(json_string_dup(raw_key, &a, NULL), text);
        cr_assert_not(json_string_eq(json, "another"));
    }
    AUTO_ARENA struct arena tiny;
    arena_init(&tiny, 16);
    cr_assert_null(json_string_dup(SLICE_LIT("\"0123456789abcdef\""), &tiny, NULL));
}

Test(json, integers_are_exact)
{
    static const struct {
        const char *text;
        int64_t value;
        bool ok;
    } rows[] = {
        {"0", 0, true},
        {"-0", 0, true},
        {"0.000", 0, true},
        {"0e999999999999999999999", 0, true},
        {"42", 42, true},
        {"9223372036854775807", INT64_MAX, true},
        {"-9223372036854775808", INT64_MIN, true},
        {"9223372036854775808", 0, false},
        {"-9223372036854775809", 0, false},
        {"9007199254740993", 9007199254740993, true},
        {"1.0", 1, true},
        {"1e3", 1000, true},
        {"1E+3", 1000, true},
        {"1.5e1", 15, true},
        {"-12.50e2", -1250, true},
        {"100e-2", 1, true},
        {"9223372036854775807.000", INT64_MAX, true},
        {"9223372036854775807000e-3", INT64_MAX, true},
        {"0.9223372036854775807e19", INT64_MAX, true},
        {"1e18", 1000000000000000000, true},
        {"1e19", 0, false},
        {"1.5", 0, false},
        {"1e-1", 0, false},
        {"0.1e0", 0, false},
        {"1e999", 0, false},
        {"-1e999", 0, false},
        {"1e-999", 0, false},
        {"\"1\"", 0, false},
        {"true", 0, false},
        {"null", 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 0;
        cr_assert_eq(json_to_i64(slice_of(rows[i].text), &value), rows[i].ok, "%s", rows[i].text);
        cr_assert_eq(value, rows[i].value, "%s gives %" PRId64, rows[i].text, value);
    }
    char digits[401];
    memset(digits, '1', 400);
    digits[400] = '\0';
    int64_t value = 7;
    cr_assert_not(json_to_i64(slice_of(digits), &value));
    cr_assert_eq(value, 7, "not written on failure");
}

Test(json, doubles)
{
    static const struct {
        const char *text;
        double value;
        bool ok;
    } rows[] = {
        {"0", 0, true},
        {"1.5", 1.5, true},
        {"-2.5e-3", -0.0025, true},
        {"1e308", 1e308, true},
        {"1e-999", 0, true},
        {"0.1000000000000000055511151231257827021181583404541015625000000000000000000000000000001",
         0.1, true},
        {"1e309", 0, false},
        {"-1e999", 0, false},
        {"true", 0, false},
        {"\"1\"", 0, false},
        {"null", 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double value = 0;
        AUTO_FREE char *copy = exact_copy(slice_of(rows[i].text));
        cr_assert_eq(json_to_double((struct slice){copy, strlen(rows[i].text)}, &value), rows[i].ok,
                     "%s", rows[i].text);
        cr_assert(fabs(value - rows[i].value) <= 0, "%s", rows[i].text);
    }
}
