/* SPDX-License-Identifier: MIT */
/* The keywords of JSON Schema 2020-12 that /openapi.json may use. One function each; a table names
 * them all. */
#include "integration/harness_schema.h"

#include <math.h>
#include <regex.h>
#include <stdarg.h>

struct check {
    const cJSON *document;
    char place[200]; /* JSON pointer into the value */
    char *why;
    size_t why_size;
    int depth;
};

static bool matches(struct check *c, const cJSON *rule, const cJSON *value);

static bool __attribute__((format(printf, 2, 3))) fails(struct check *c, const char *fmt, ...)
{
    char reason[300];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    (void)snprintf(c->why, c->why_size, "%s: %s", c->place[0] == '\0' ? "/" : c->place, reason);
    return false;
}

static bool matches_at(struct check *c, const cJSON *rule, const cJSON *value, const char *step)
{
    size_t len = strlen(c->place);
    (void)snprintf(c->place + len, sizeof(c->place) - len, "/%s", step);
    bool ok = matches(c, rule, value);
    c->place[len] = '\0';
    return ok;
}

static bool type_is(const char *type, const cJSON *value)
{
    if (strcmp(type, "integer") == 0)
        return cJSON_IsNumber(value) && floor(value->valuedouble) == value->valuedouble;
    return (strcmp(type, "string") == 0 && cJSON_IsString(value)) ||
           (strcmp(type, "number") == 0 && cJSON_IsNumber(value)) ||
           (strcmp(type, "boolean") == 0 && cJSON_IsBool(value)) ||
           (strcmp(type, "null") == 0 && cJSON_IsNull(value)) ||
           (strcmp(type, "object") == 0 && cJSON_IsObject(value)) ||
           (strcmp(type, "array") == 0 && cJSON_IsArray(value));
}

static bool rule_type(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    if (cJSON_IsString(arg))
        return type_is(arg->valuestring, value) || fails(c, "is not of type %s", arg->valuestring);
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, arg)
    {
        if (type_is(each->valuestring, value))
            return true;
    }
    return fails(c, "is of none of the types allowed");
}

static bool rule_enum(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, arg)
    {
        if (cJSON_Compare(each, value, true))
            return true;
    }
    return fails(c, "is not one of the values listed");
}

static bool rule_const(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    return cJSON_Compare(arg, value, true) || fails(c, "is not the constant");
}

static bool rule_required(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, arg)
    {
        if (cJSON_IsObject(value) &&
            cJSON_GetObjectItemCaseSensitive(value, each->valuestring) == NULL)
            return fails(c, "the member %s is missing", each->valuestring);
    }
    return true;
}

static bool rule_properties(struct check *c, const cJSON *rule, const cJSON *arg,
                            const cJSON *value)
{
    (void)rule;
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, arg)
    {
        const cJSON *member = cJSON_IsObject(value)
                                  ? cJSON_GetObjectItemCaseSensitive(value, each->string)
                                  : NULL;
        if (member != NULL && !matches_at(c, each, member, each->string))
            return false;
    }
    return true;
}

static bool rule_additional(struct check *c, const cJSON *rule, const cJSON *arg,
                            const cJSON *value)
{
    const cJSON *known = cJSON_GetObjectItemCaseSensitive(rule, "properties");
    const cJSON *each = NULL;
    if (!cJSON_IsObject(value))
        return true;
    cJSON_ArrayForEach(each, value)
    {
        if (cJSON_GetObjectItemCaseSensitive(known, each->string) != NULL)
            continue;
        if (cJSON_IsFalse(arg))
            return fails(c, "the member %s is not described", each->string);
        if (!matches_at(c, arg, each, each->string))
            return false;
    }
    return true;
}

static bool rule_items(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    int i = 0;
    const cJSON *each = NULL;
    if (!cJSON_IsArray(value))
        return true;
    cJSON_ArrayForEach(each, value)
    {
        if (!matches_at(c, arg, each, text_of("%d", i++).s))
            return false;
    }
    return true;
}

static bool rule_bound(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    if (!cJSON_IsNumber(value))
        return true;
    double v = value->valuedouble, bound = arg->valuedouble;
    bool ok = strcmp(arg->string, "minimum") == 0            ? v >= bound
              : strcmp(arg->string, "maximum") == 0          ? v <= bound
              : strcmp(arg->string, "exclusiveMinimum") == 0 ? v > bound
                                                             : v < bound;
    return ok || fails(c, "%g breaks %s %g", v, arg->string, bound);
}

/* Lengths are counted in bytes here; the document bounds ASCII only. */
static bool rule_length(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    bool of_array = strstr(arg->string, "Items") != NULL;
    if (of_array ? !cJSON_IsArray(value) : !cJSON_IsString(value))
        return true;
    double n = of_array ? cJSON_GetArraySize(value) : (double)strlen(value->valuestring);
    bool ok = strncmp(arg->string, "min", 3) == 0 ? n >= arg->valuedouble : n <= arg->valuedouble;
    return ok || fails(c, "%.0f breaks %s %g", n, arg->string, arg->valuedouble);
}

static bool rule_pattern(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    if (!cJSON_IsString(value))
        return true;
    regex_t regex;
    CHECK(regcomp(&regex, arg->valuestring, REG_EXTENDED | REG_NOSUB) == 0,
          "not a regular expression: %s", arg->valuestring);
    bool ok = regexec(&regex, value->valuestring, 0, NULL, 0) == 0;
    regfree(&regex);
    return ok || fails(c, "\"%s\" does not match %s", value->valuestring, arg->valuestring);
}

static bool text_matches(const char *text, const char *pattern)
{
    regex_t regex;
    CHECK(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0, "not a regular expression: %s",
          pattern);
    bool ok = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return ok;
}

/* Times carry microseconds and Z; ids are UUIDv7 in lower case. Other formats are notes.
 */
static bool rule_format(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    if (!cJSON_IsString(value))
        return true;
    const char *text = value->valuestring;
    if (strcmp(arg->valuestring, "date-time") == 0)
        return text_matches(
                   text, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$") ||
               fails(c, "%s is not a time with microseconds", text);
    if (strcmp(arg->valuestring, "uuid") == 0)
        return text_matches(
                   text, "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$") ||
               fails(c, "%s is not a UUIDv7", text);
    return true;
}

static int count_matching(struct check *c, const cJSON *arg, const cJSON *value)
{
    int n = 0;
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, arg) n += matches(c, each, value) ? 1 : 0;
    return n;
}

static bool rule_one_of(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    int n = count_matching(c, arg, value);
    if (n == 1)
        return true;
    char inner[200];
    (void)snprintf(inner, sizeof(inner), "%.150s", c->why);
    return fails(c, "matches %d of oneOf (%s)", n, n == 0 ? inner : "ambiguous");
}

static bool rule_any_of(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    if (count_matching(c, arg, value) > 0)
        return true;
    char inner[200];
    (void)snprintf(inner, sizeof(inner), "%.150s", c->why);
    return fails(c, "matches none of anyOf (%s)", inner);
}

static bool rule_all_of(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, arg)
    {
        if (!matches(c, each, value))
            return false;
    }
    return true;
}

static bool rule_not(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    return !matches(c, arg, value) || fails(c, "matches what it must not");
}

static bool rule_ref(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)rule;
    const char *prefix = "#/components/schemas/";
    size_t len = strlen(prefix);
    CHECK(strncmp(arg->valuestring, prefix, len) == 0, "a $ref elsewhere: %s", arg->valuestring);
    const cJSON *schemas = json_at(c->document, "components.schemas");
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(schemas, arg->valuestring + len);
    CHECK(target != NULL, "a $ref to nothing: %s", arg->valuestring);
    return matches(c, target, value);
}

static bool rule_note(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value)
{
    (void)c;
    (void)rule;
    (void)arg;
    (void)value;
    return true;
}

static const struct {
    const char *keyword;
    bool (*check)(struct check *c, const cJSON *rule, const cJSON *arg, const cJSON *value);
} rules[] = {
    {"$ref", rule_ref},
    {"type", rule_type},
    {"enum", rule_enum},
    {"const", rule_const},
    {"required", rule_required},
    {"properties", rule_properties},
    {"additionalProperties", rule_additional},
    {"items", rule_items},
    {"minimum", rule_bound},
    {"maximum", rule_bound},
    {"exclusiveMinimum", rule_bound},
    {"exclusiveMaximum", rule_bound},
    {"minLength", rule_length},
    {"maxLength", rule_length},
    {"minItems", rule_length},
    {"maxItems", rule_length},
    {"pattern", rule_pattern},
    {"format", rule_format},
    {"oneOf", rule_one_of},
    {"anyOf", rule_any_of},
    {"allOf", rule_all_of},
    {"not", rule_not},
    {"title", rule_note},
    {"description", rule_note},
    {"default", rule_note},
    {"example", rule_note},
    {"examples", rule_note},
    {"readOnly", rule_note},
    {"writeOnly", rule_note},
    {"deprecated", rule_note},
    {"contentMediaType", rule_note},
    {"contentEncoding", rule_note},
    {"$comment", rule_note},
};

static bool keyword_matches(struct check *c, const cJSON *rule, const cJSON *arg,
                            const cJSON *value)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (strcmp(rules[i].keyword, arg->string) == 0)
            return rules[i].check(c, rule, arg, value);
    }
    CHECK(false, "/openapi.json uses the keyword %s, which this test does not check", arg->string);
    return false;
}

static bool matches(struct check *c, const cJSON *rule, const cJSON *value)
{
    if (cJSON_IsBool(rule))
        return cJSON_IsTrue(rule) || fails(c, "nothing is allowed here");
    CHECK(c->depth++ < 64, "/openapi.json nests too deep");
    bool ok = true;
    const cJSON *arg = NULL;
    cJSON_ArrayForEach(arg, rule)
    {
        if (!keyword_matches(c, rule, arg, value)) {
            ok = false;
            break;
        }
    }
    c->depth--;
    return ok;
}

bool schema_matches(const cJSON *document, const cJSON *rule, const cJSON *value, char *ret_why,
                    size_t size)
{
    struct check c = {.document = document, .why = ret_why, .why_size = size};
    ret_why[0] = '\0';
    return matches(&c, rule, value);
}
