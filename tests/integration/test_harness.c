/* SPDX-License-Identifier: MIT */
/* The judge is judged: the checks that all other tests rely on must be able to fail. */
#include "integration/harness_schema.h"
#include "integration/harness_test.h"

static const char document_text[] =
    "{\"components\":{\"schemas\":{\"Id\":{\"type\":\"string\",\"format\":\"uuid\"}}}}";

static const struct {
    const char *rule, *value;
    bool matches;
} rows[] = {
    {"{\"type\":\"string\"}", "\"a\"", true},
    {"{\"type\":\"string\"}", "1", false},
    {"{\"type\":[\"string\",\"null\"]}", "null", true},
    {"{\"type\":[\"string\",\"null\"]}", "false", false},
    {"{\"type\":\"integer\"}", "3", true},
    {"{\"type\":\"integer\"}", "3.5", false},
    {"{\"type\":\"integer\",\"minimum\":1}", "0", false},
    {"{\"type\":\"integer\",\"maximum\":1}", "2", false},
    {"{\"exclusiveMinimum\":1}", "1", false},
    {"{\"exclusiveMaximum\":1}", "0.5", true},
    {"{\"enum\":[\"a\",\"b\"]}", "\"b\"", true},
    {"{\"enum\":[\"a\",\"b\"]}", "\"c\"", false},
    {"{\"const\":true}", "false", false},
    {"{\"required\":[\"a\"]}", "{\"b\":1}", false},
    {"{\"required\":[\"a\"]}", "{\"a\":null}", true},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":1}", false},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"b\":2}", false},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1}", true},
    {"{\"additionalProperties\":{\"type\":\"string\"}}", "{\"x\":1}", false},
    {"{\"items\":{\"type\":\"number\"}}", "[1,\"2\"]", false},
    {"{\"minItems\":2}", "[1]", false},
    {"{\"minLength\":1}", "\"\"", false},
    {"{\"maxLength\":2}", "\"abc\"", false},
    {"{\"pattern\":\"^a+$\"}", "\"aab\"", false},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "null", true},
    {"{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}", "1", false},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "1", false},
    {"{\"allOf\":[{\"type\":\"string\"},{\"minLength\":2}]}", "\"a\"", false},
    {"{\"not\":{\"type\":\"string\"}}", "\"a\"", false},
    {"{\"format\":\"date-time\"}", "\"2026-11-21T03:00:00.000001Z\"", true},
    {"{\"format\":\"date-time\"}", "\"2026-11-21T03:00:00Z\"", false},
    {"{\"$ref\":\"#/components/schemas/Id\"}", "\"01990000-0000-7000-8000-000000000000\"", true},
    {"{\"$ref\":\"#/components/schemas/Id\"}", "\"01990000-0000-4000-8000-000000000000\"", false},
    {"false", "1", false},
};

PLAIN_TEST(harness, every_rule_of_the_schema_can_fail)
{
    cJSON *document = cJSON_Parse(document_text);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char why[300];
        cJSON *rule = cJSON_Parse(rows[i].rule), *value = cJSON_Parse(rows[i].value);
        cr_assert(rule != NULL && value != NULL, "row %zu is not JSON", i);
        bool got = schema_matches(document, rule, value, why, sizeof(why));
        cr_assert_eq(got, rows[i].matches, "%s and %s: %s", rows[i].rule, rows[i].value, why);
        cr_assert(got || why[0] != '\0');
        cJSON_Delete(rule);
        cJSON_Delete(value);
    }
    cJSON_Delete(document);
}

PLAIN_TEST(harness, places_in_json_are_found)
{
    cJSON *json = cJSON_Parse("{\"a\":{\"b\":[{\"c\":7}]},\"n\":null}");
    cr_assert_eq(json_at(json, "a.b.0.c")->valueint, 7);
    cr_assert_null(json_at(json, "a.b.1.c"));
    cr_assert_null(json_at(json, "A"));
    cr_assert(cJSON_IsNull(json_at(json, "n")));
    cr_assert_eq(json_at(json, ""), json);
    cJSON_Delete(json);
}

PLAIN_TEST(harness, marked_processes_are_seen)
{
    char dir[128];
    temp_dir_make(dir, sizeof(dir));
    cr_assert_eq(proc_count_marked(dir), 0);
    struct server s;
    server_start(&s, NULL);
    AUTO_RESPONSE shown = job_run(&s, "{'command':['true']}");
    struct job_ref job = job_submit(&s, "{'command':['sleep','600'],'env':{'MARK':'%s'}}", dir);
    AWAIT(proc_count_marked(dir) == 1, 20);
    AUTO_RESPONSE end = job_cancel(&s, job, NULL, 20);
    expect_status(end, 200);
    cr_assert_eq(proc_count_marked(dir), 0);
    server_stop(&s);
    temp_dir_remove(dir);
}
