/* SPDX-License-Identifier: MIT */
/* Who gets in: tokens, Host, Origin, content types; the tables are data. */
#include "integration/harness_test.h"

#include <sys/stat.h>

static const struct {
    const char *what, *header;
    long status;
} tokens[] = {
    {"none", "Authorization:", 401},
    {"empty", "Authorization: Bearer ", 401},
    {"no scheme", "Authorization: abc", 401},
    {"another scheme", "Authorization: Basic dXNlcjpwYXNz", 401},
    {"wrong",
     "Authorization: Bearer 0000000000000000000000000000000000000000000000000000000000000000", 401},
    {"short", "Authorization: Bearer x", 401},
    {"the word null", "Authorization: Bearer null", 401},
    {"with a blank", "Authorization: Bearer a b", 401},
};

static const struct {
    const char *method, *path;
} guarded[] = {
    {"GET", "/v1/jobs"},
    {"POST", "/v1/jobs"},
    {"GET", "/v1/jobs/01990000-0000-7000-8000-000000000000"},
    {"DELETE", "/v1/jobs/01990000-0000-7000-8000-000000000000"},
    {"POST", "/v1/jobs/01990000-0000-7000-8000-000000000000/cancel"},
    {"GET", "/v1/jobs/01990000-0000-7000-8000-000000000000/result"},
    {"GET", "/v1/jobs/01990000-0000-7000-8000-000000000000/stdout"},
    {"GET", "/v1/jobs/01990000-0000-7000-8000-000000000000/events"},
    {"GET", "/v1/pool"},
    {"GET", "/v1/workers"},
    {"GET", "/v1/stats"},
    {"GET", "/v1/version"},
    {"GET", "/v1/limits"},
    {"GET", "/metrics"},
    {"GET", "/openapi.json"},
};

SERVER_TEST(gate, nothing_but_health_is_answered_without_the_token)
{
    for (size_t i = 0; i < COUNT_OF(tokens) * COUNT_OF(guarded); i++) {
        size_t t = i % COUNT_OF(tokens), g = i / COUNT_OF(tokens);
        const char *body = strcmp(guarded[g].method, "POST") == 0 ? "{'command':['true']}" : NULL;
        AUTO_RESPONSE r = http(s, guarded[g].method, guarded[g].path, body, tokens[t].header, NULL);
        CHECK(r->status == tokens[t].status, "%s %s with token \"%s\": %ld", guarded[g].method,
              guarded[g].path, tokens[t].what, r->status);
        expect_problem(r, 401, "unauthorized");
        const char *challenge = header_of(r, "WWW-Authenticate");
        CHECK(challenge != NULL && strncmp(challenge, "Bearer", 6) == 0, "no challenge for %s",
              guarded[g].path);
    }
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0,
                 "a submission without a token was stored");
}

SERVER_TEST(gate, health_needs_no_token_and_says_only_its_status)
{
    static const char *const paths[] = {"/livez", "/readyz"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        AUTO_RESPONSE bare = http(s, "GET", paths[i], NULL, "Authorization:", NULL);
        expect_status(bare, 200);
        cr_assert_lt(bare->len, 10, "%s says: %s", paths[i], bare->body);
        AUTO_RESPONSE named = http(s, "GET", paths[i], NULL,
                                   "Authorization:", "Host: probe.example", NULL);
        expect_status(named, 200);
    }
}

SERVER_TEST(gate, the_token_is_a_secret_file)
{
    struct stat st;
    cr_assert_eq(stat(text_of("%s/token", s->dir).s, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_geq(strlen(s->token), 43, "256 bits are 43 characters of base64 at least");
    cr_assert_eq(stat(s->dir, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    AUTO_TEXT log = file_read(s->log, NULL);
    cr_assert_null(strstr(log, s->token), "the log shows the token");
    cr_assert_not_null(strstr(log, "token"), "the log does not name the token's file");
    AUTO_TEXT url = file_read(text_of("%s/url", s->dir).s, NULL);
    cr_assert_not_null(url);
    cr_assert(strncmp(url, s->url, strlen(s->url)) == 0, "%s instead of %s", url, s->url);
}

SERVER_TEST(gate, the_token_stays_after_a_restart)
{
    struct text token = text_of("%s", s->token);
    server_kill(s);
    server_restart(s, NULL);
    cr_assert_str_eq(s->token, token.s);
}

SERVER_TEST(gate, scheme_names_ignore_case)
{
    AUTO_RESPONSE r = http(s, "GET", "/v1/pool", NULL,
                           text_of("Authorization: bearer %s", s->token).s, NULL);
    expect_status(r, 200);
}

/* A name that a rebinding attacker controls is never accepted; addresses and localhost are. */
SERVER_TEST_WITH(gate, only_known_hosts_are_served, .args = {"--http-hosts", "ganger.example"})
{
    static const struct {
        const char *host;
        long status;
    } rows[] = {
        {"localhost", 200},
        {"localhost:7411", 200},
        {"LOCALHOST", 200},
        {"127.0.0.1", 200},
        {"127.0.0.1:1", 200},
        {"[::1]:80", 200},
        {"10.1.2.3", 200},
        {"ganger.example", 200},
        {"ganger.example:443", 200},
        {"evil.example", 421},
        {"localhost.evil.example", 421},
        {"127.0.0.1.evil.example", 421},
        {"evil.example:7411", 421},
        {"ganger.example.evil", 421},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = http(s, "GET", "/v1/pool", NULL, text_of("Host: %s", rows[i].host).s,
                               NULL);
        CHECK(r->status == rows[i].status, "Host %s: %ld instead of %ld", rows[i].host, r->status,
              rows[i].status);
        if (r->status == 421)
            expect_problem(r, 421, "unknown-host");
    }
}

SERVER_TEST(gate, the_host_is_checked_before_the_token)
{
    AUTO_RESPONSE r = http(s, "GET", "/v1/pool", NULL, "Host: evil.example",
                           "Authorization:", NULL);
    expect_problem(r, 421, "unknown-host");
}

SERVER_TEST(gate, any_host_on_the_unix_socket)
{
    const char *headers[] = {"Host: whatever.example", NULL};
    struct call call = {
        .method = "GET", .path = "/v1/pool", .headers = headers, .over_socket = true};
    AUTO_RESPONSE r = http_send(s, &call);
    expect_status(r, 200);
    struct call bare = {.method = "GET", .path = "/v1/pool", .over_socket = true};
    const char *no_token[] = {"Authorization:", NULL};
    bare.headers = no_token;
    AUTO_RESPONSE refused = http_send(s, &bare);
    expect_problem(refused, 401, "unauthorized");
    struct stat st;
    cr_assert_eq(stat(text_of("%s/ganger.sock", s->dir).s, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0660);
}

SERVER_TEST_WITH(gate, foreign_pages_are_refused, .args = {"--http-origins", "https://ui.example"})
{
    static const struct {
        const char *header;
        long status;
    } rows[] = {
        {"Origin: https://evil.example", 403}, {"Origin: null", 403},
        {"Origin: http://127.0.0.1:9", 403},   {"Origin: https://ui.example.evil", 403},
        {"Origin: http://ui.example", 403},    {"Origin: https://ui.example", 202},
        {"Sec-Fetch-Site: cross-site", 403},   {"Sec-Fetch-Site: same-site", 403},
        {"Sec-Fetch-Site: same-origin", 202},  {"Sec-Fetch-Site: none", 202},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'1h'}",
                               rows[i].header, NULL);
        CHECK(r->status == rows[i].status, "%s: %ld instead of %ld", rows[i].header, r->status,
              rows[i].status);
        if (r->status == 403)
            expect_problem(r, 403, "foreign-origin");
        const char *cors = header_of(r, "Access-Control-Allow-Origin");
        CHECK(cors == NULL || strcmp(cors, "*") != 0, "a star for everyone");
    }
}

SERVER_TEST(gate, reading_from_a_foreign_page_is_refused_too)
{
    AUTO_RESPONSE r = http(s, "GET", "/v1/jobs", NULL, "Origin: https://evil.example", NULL);
    expect_problem(r, 403, "foreign-origin");
    cr_assert_null(header_of(r, "Access-Control-Allow-Origin"));
}

/* What a browser sends across sites without asking is never accepted. */
SERVER_TEST(gate, only_the_types_of_the_route_are_accepted)
{
    static const struct {
        const char *type;
        long status;
    } rows[] = {
        {"Content-Type: application/json", 202},
        {"Content-Type: Application/JSON", 202},
        {"Content-Type: application/json; charset=utf-8", 202},
        {"Content-Type: text/plain", 415},
        {"Content-Type: text/plain;charset=UTF-8", 415},
        {"Content-Type: application/x-www-form-urlencoded", 415},
        {"Content-Type: multipart/form-data; boundary=x", 415},
        {"Content-Type: text/json", 415},
        {"Content-Type: application/jsonp", 415},
        {"Content-Type: application/xml", 415},
        {"Content-Type: application/octet-stream", 415},
        {"Content-Type:", 415},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'1h'}",
                               rows[i].type, NULL);
        CHECK(r->status == rows[i].status, "%s: %ld instead of %ld", rows[i].type, r->status,
              rows[i].status);
        if (r->status == 415)
            expect_problem(r, 415, "unsupported-media-type");
    }
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE empty = job_cancel(s, job, NULL, 0);
    expect_status(empty, 200); /* no body needs no type */
    AUTO_RESPONSE lines = http(s, "POST", text_of("/v1/jobs/%s/cancel", job.id).s, "{}",
                               "Content-Type: application/x-ndjson", NULL);
    expect_problem(lines, 415, "unsupported-media-type");
}

/* {"command":["true"]} by gzip. Nothing here unpacks bodies, so there are no bombs. */
SERVER_TEST(gate, a_compressed_body_is_not_unpacked)
{
    static const char packed[] =
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xab\x56\x4a\xce\xcf\xcd\x4d\xcc\x4b\x51"
        "\xb2\x8a\x56\x2a\x29\x2a\x4d\x55\x8a\xad\x05\x00\x3b\x5f\xcd\xcb\x14\x00\x00\x00";
    const char *headers[] = {"Content-Encoding: gzip", NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = packed,
                        .body_len = sizeof(packed) - 1,
                        .headers = headers};
    AUTO_RESPONSE r = http_send(s, &call);
    cr_assert(r->status == 400 || r->status == 415, "%ld: %s", r->status, r->body);
}

PLAIN_TEST(gate, auth_none_works_on_loopback_only)
{
    static const struct server_options loopback = {.args = {"--auth", "none"}, .unchecked = true};
    struct server s;
    server_start(&s, &loopback);
    AUTO_RESPONSE r = http(&s, "GET", "/v1/jobs", NULL, "Authorization:", NULL);
    expect_status(r, 200);
    AUTO_RESPONSE foreign = http(&s, "GET", "/v1/jobs", NULL,
                                 "Authorization:", "Host: evil.example", NULL);
    expect_problem(foreign, 421, "unknown-host");
    server_stop(&s);
    static const struct server_options open = {.args = {"--auth", "none", "--listen", "0.0.0.0:0"}};
    cr_assert_eq(server_start_failing(&open), 2);
}

PLAIN_TEST(gate, wrong_options_end_the_start_with_2)
{
    static const struct server_options rows[] = {
        {.args = {"--no-such-option", "1"}}, {.args = {"--workers", "0"}},
        {.args = {"--workers", "x"}},        {.args = {"--listen", "nowhere"}},
        {.args = {"--sync", "off"}},         {.args = {"--auth", "maybe"}},
        {.args = {"--log-level", "loud"}},   {.args = {"--config", "/no/such/file"}},
        {.env = {"GANGER_POOL_WORKERZ=3"}},  {.env = {"GANGER_POOL_MAX_WORKERS=-1"}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int code = server_start_failing(&rows[i]);
        CHECK(code == 2, "%s %s: exit code %d",
              rows[i].args[0] == NULL ? rows[i].env[0] : rows[i].args[0],
              rows[i].args[1] == NULL ? "" : rows[i].args[1], code);
    }
}
