/* SPDX-License-Identifier: MIT */
/* Strict JSON through the API: every case of tests/data/json/cases.txt, as a body and as a payload.
 */
#include "integration/harness_test.h"

#include <ctype.h>

struct json_case {
    char class[8], offset[16], name[80];
    char *text;
    size_t len;
};

/* One line: class, offset or -, name, text with %XX. False for comments. */
static bool case_read(const char *line, struct json_case *c)
{
    int at = 0;
    if (line[0] == '#' || sscanf(line, "%7s %15s %79s%n", c->class, c->offset, c->name, &at) != 3)
        return false;
    c->text = need_alloc(strlen(line) + 1);
    c->len = 0;
    for (const char *p = line + at + (line[at] == ' '); *p != '\0'; p++) {
        unsigned long byte = (unsigned char)*p;
        if (*p == '%') {
            char digits[3] = {p[1], p[1] == '\0' ? '\0' : p[2], '\0'};
            char *end = NULL;
            byte = strtoul(digits, &end, 16);
            CHECK(end == digits + 2, "%s: a broken %%", c->name);
            p += 2;
        }
        c->text[c->len++] = (char)byte;
    }
    return true;
}

/* Calls the function for each case of a class; returns how many there were. */
static int for_each_case(struct server *s, const char *class,
                         void (*check)(struct server *, const struct json_case *))
{
    int n = 0;
    AUTO_TEXT cases = file_read(GANGER_SOURCE_DIR "/tests/data/json/cases.txt", NULL);
    cr_assert_not_null(cases, "tests/data/json/cases.txt is missing");
    char *rest = cases;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        struct json_case c;
        if (!case_read(line, &c))
            continue;
        if (strcmp(c.class, class) == 0 && c.len > 0) {
            check(s, &c);
            n++;
        }
        free(c.text);
    }
    return n;
}

static struct response *body_send(struct server *s, const char *body, size_t len)
{
    struct call call = {.method = "POST", .path = "/v1/jobs", .body = body, .body_len = len};
    return http_send(s, &call);
}

static void check_refused(struct server *s, const struct json_case *c)
{
    AUTO_RESPONSE r = body_send(s, c->text, c->len);
    CHECK(r->status == 400, "%s: %ld instead of 400: %s", c->name, r->status, r->body);
    expect_problem(r, 400, "invalid-json");
}

SERVER_TEST(json, what_is_not_json_is_400)
{
    cr_assert_gt(for_each_case(s, "n", check_refused), 180);
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
}

/* The value with the white space around it cut off. */
static const char *trimmed(const struct json_case *c, size_t *ret_len)
{
    const char *from = c->text, *to = c->text + c->len;
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    *ret_len = (size_t)(to - from);
    return from;
}

static void check_accepted(struct server *s, const struct json_case *c)
{
    static const char head[] = "{\"command\":[\"true\"],\"delay\":\"1h\",\"metadata\":";
    if (strstr(c->name, "dep") != NULL || strstr(c->name, "deep") != NULL)
        return; /* one level deeper, as a member, it may be too deep */
    char *body = need_alloc(sizeof(head) + c->len + 2);
    memcpy(body, head, sizeof(head) - 1);
    memcpy(body + sizeof(head) - 1, c->text, c->len);
    body[sizeof(head) - 1 + c->len] = '}';
    AUTO_RESPONSE r = body_send(s, body, sizeof(head) + c->len);
    free(body);
    CHECK(r->status == 202, "%s: %ld instead of 202: %s", c->name, r->status, r->body);
    AUTO_RESPONSE shown = job_show(s, job_of(r));
    size_t len = 0;
    const char *value = trimmed(c, &len);
    char *at = strstr(shown->body, "\"metadata\":");
    CHECK(at != NULL, "%s: no metadata in %s", c->name, shown->body);
    at += 11 + strspn(at + 11, " ");
    CHECK(memcmp(at, value, len) == 0, "%s came back as %.200s", c->name, at);
}

SERVER_TEST(json, what_is_json_is_kept_byte_for_byte)
{
    cr_assert_gt(for_each_case(s, "y", check_accepted), 90);
}

SERVER_TEST(json, a_body_cut_anywhere_is_400)
{
    static const char body[] = "{\"command\":[\"echo\",\"\\u00e9\\n\"],\"priority\":-10,\"labels\":"
                               "{\"a\":\"b\"},\"metadata\":[1.5e3,true,null]}";
    for (size_t len = 1; len + 1 < sizeof(body); len++) {
        AUTO_RESPONSE r = body_send(s, body, len);
        CHECK(r->status == 400, "cut after %zu bytes: %ld", len, r->status);
    }
}

SERVER_TEST(json, a_member_given_twice_is_400)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'command':['false']}", NULL);
    expect_problem(r, 400, "invalid-json");
    AUTO_RESPONSE escaped = http(s, "POST", "/v1/jobs",
                                 "{'command':['true'],'comm\\u0061nd':['false']}", NULL);
    expect_problem(escaped, 400, "invalid-json");
}

SERVER_TEST(json, an_empty_body_is_no_job)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "", NULL);
    cr_assert(r->status == 400 || r->status == 422 || r->status == 415, "%ld", r->status);
}
