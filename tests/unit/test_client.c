/* SPDX-License-Identifier: MIT */
/* Where the client looks for the service, what it takes from answers, and what it sends; no server.
 */
#include "cli/client.h"

#include "cli/outcome.h"
#include "cli/spec.h"
#include "cli/target.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>

static void forget_environment(void)
{
    static const char *const names[] = {"GANGER_URL", "GANGER_TOKEN", "GANGER_TOKEN_FILE",
                                        "GANGER_DATA"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unsetenv(names[i]);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    int AUTO_CLOSE fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void remove_file(const char *dir, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    (void)unlink(path);
}

TestSuite(client, .init = forget_environment);

Test(client, the_data_directory_names_socket_and_token)
{
    char dir[] = "/tmp/ganger-unit-XXXXXX";
    struct target target;
    struct err err = {0};
    cr_assert_not_null(mkdtemp(dir));
    write_file(dir, "token", "  abc-123\n");
    cr_assert(target_find(dir, &target, &err), "%s", err.detail);
    char socket_path[128];
    (void)snprintf(socket_path, sizeof(socket_path), "%s/ganger.sock", dir);
    cr_assert_str_eq(target.socket, socket_path);
    cr_assert_str_eq(target.base, "http://localhost");
    cr_assert_str_eq(target.token, "abc-123");
    target_release(&target);

    write_file(dir, "url", "http://127.0.0.1:9\n"); /* a service without a socket */
    cr_assert(target_find(dir, &target, &err), "%s", err.detail);
    cr_assert_null(target.socket);
    cr_assert_str_eq(target.base, "http://127.0.0.1:9");
    cr_assert_str_eq(target.token, "abc-123");
    target_release(&target);
    remove_file(dir, "token");
    remove_file(dir, "url");
    (void)rmdir(dir);
}

Test(client, the_token_of_the_data_directory_stays_on_this_machine)
{
    char dir[] = "/tmp/ganger-unit-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    write_file(dir, "token", "secret");
    static const struct {
        const char *url;
        bool sent;
    } cases[] = {
        {"http://127.0.0.1:7411", true},
        {"http://localhost:7411/", true},
        {"http://[::1]:7411", true},
        {"unix:/nonexistent/ganger.sock", false},
        {"http://example.org:7411", false},
        {"http://localhost.example.org", false},
        {"http://127.0.0.1@example.org", false},
        {"http://127.0.0.1:x@example.org", false},
    };
    (void)setenv("GANGER_DATA", dir, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct target target;
        struct err err = {0};
        (void)setenv("GANGER_URL", cases[i].url, 1);
        cr_assert(target_find(NULL, &target, &err), "%s: %s", cases[i].url, err.detail);
        cr_assert_eq(target.token != NULL, cases[i].sent, "%s", cases[i].url);
        target_release(&target);
    }
    remove_file(dir, "token");
    (void)rmdir(dir);
}

Test(client, the_token_of_a_socket_lies_beside_it)
{
    char dir[] = "/tmp/ganger-unit-XXXXXX", url[64];
    struct target target;
    struct err err = {0};
    cr_assert_not_null(mkdtemp(dir));
    write_file(dir, "token", "beside");
    (void)snprintf(url, sizeof(url), "unix:%s/ganger.sock", dir);
    (void)setenv("GANGER_URL", url, 1);
    cr_assert(target_find(NULL, &target, &err), "%s", err.detail);
    cr_assert_str_eq(target.token, "beside");
    target_release(&target);

    /* --data names another service than the environment; its token is its own. */
    (void)setenv("GANGER_URL", "http://example.org", 1);
    (void)setenv("GANGER_TOKEN", "of-example", 1);
    cr_assert(target_find(dir, &target, &err), "%s", err.detail);
    cr_assert_not_null(target.socket);
    cr_assert_str_eq(target.token, "beside");
    target_release(&target);
    remove_file(dir, "token");
    (void)rmdir(dir);
}

Test(client, the_environment_names_the_token)
{
    struct target target;
    struct err err = {0};
    (void)setenv("GANGER_URL", "http://example.org/ganger/", 1);
    (void)setenv("GANGER_TOKEN", "mine", 1);
    cr_assert(target_find(NULL, &target, &err), "%s", err.detail);
    cr_assert_str_eq(target.base, "http://example.org/ganger");
    cr_assert_str_eq(target.token, "mine");
    target_release(&target);

    (void)setenv("GANGER_TOKEN", "two\r\nlines", 1);
    cr_assert_not(target_find(NULL, &target, &err));
    cr_assert_str_eq(err.detail, "what GANGER_TOKEN holds is not a token");

    (void)unsetenv("GANGER_TOKEN");
    (void)setenv("GANGER_TOKEN_FILE", "/nonexistent/token", 1);
    cr_assert_not(target_find(NULL, &target, &err));
    cr_assert_str_eq(err.detail,
                     "GANGER_TOKEN_FILE: /nonexistent/token: No such file or directory");
}

Test(client, strange_addresses_are_refused)
{
    struct target target;
    struct err err = {0};
    (void)setenv("GANGER_URL", "ftp://example.org", 1);
    cr_assert_not(target_find(NULL, &target, &err));
    (void)setenv(
        "GANGER_URL",
        "unix:/0123456789012345678901234567890123456789012345678901234567890123456789012345"
        "67890123456789012345678901234567890123456789",
        1);
    cr_assert_not(target_find(NULL, &target, &err));
    cr_assert_eq(err.code, ERR_INVALID);
}

static void spec_is(int argc, char **argv, const char *expected)
{
    struct args args;
    struct err err = {0};
    struct buf AUTO_BUF body;
    buf_init(&body, 65536);
    cr_assert(args_read(command_find(argv[0]), argc, argv, &args, &err), "%s", err.detail);
    cr_assert(spec_write(&args, false, &body, &err), "%s", err.detail);
    cr_assert(slice_is(buf_slice(&body), expected), "%.*s", (int)body.len, body.ptr);
    args_release(&args);
}
#define SPEC_IS(expected, ...) \
    spec_is((int)ARRAY_LEN(((char *[]){__VA_ARGS__})), (char *[]){__VA_ARGS__, NULL}, expected)

Test(client, options_become_members)
{
    SPEC_IS("{\"command\":[\"date\"]}", "submit", "date");
    SPEC_IS(
        "{\"command\":[\"x\",\"a \\\"b\\\"\\n\"],\"name\":\"n\",\"queue\":\"q\",\"run_at\":"
        "\"2026-12-01T06:00:00Z\",\"delay\":0.25,\"timeout\":null,\"keep\":86400,\"priority\":-3,"
        "\"retry\":{\"max_attempts\":4},\"limits\":{\"output\":65536}}",
        "submit", "--name", "n", "--queue=q", "--at", "2026-12-01T06:00:00Z", "--delay", "250ms",
        "--timeout", "none", "--keep", "24h", "-p", "-3", "-r", "3", "--limit-output", "64KiB",
        "--", "x", "a \"b\"\n");
}

Test(client, pairs_become_objects_without_duplicates)
{
    (void)setenv("UNIT_SET", "here", 1);
    (void)unsetenv("UNIT_UNSET");
    SPEC_IS("{\"command\":[\"x\"],\"env\":{\"UNIT_SET\":\"here\",\"A\":\"2=3\"},\"labels\":{\"k\":"
            "\"\"}}",
            "submit", "-e", "A=1", "-e", "UNIT_SET", "-e", "UNIT_UNSET", "-e", "A=2=3", "-l",
            "k=", "x");
    SPEC_IS("{\"command\":[\"x\"],\"env\":{}}", "submit", "-e", "UNIT_UNSET", "x");
}

static void stdin_is(const char *bytes, size_t len, const char *member)
{
    char path[] = "/tmp/ganger-unit-XXXXXX";
    int AUTO_CLOSE fd = mkostemp(path, O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    char expected[256];
    (void)snprintf(expected, sizeof(expected), "{\"command\":[\"x\"]%s}", member);
    SPEC_IS(expected, "submit", "--stdin", path, "x");
    (void)unlink(path);
}

Test(client, standard_input_is_text_or_base64)
{
    stdin_is("", 0, "");
    stdin_is("line\n", 5, ",\"stdin\":\"line\\n\"");
    stdin_is("\xFF", 1, ",\"stdin_base64\":\"/w==\"");
    stdin_is("a\0b", 3, ",\"stdin_base64\":\"YQBi\"");
    stdin_is("\xFE\x00\x01\x02", 4, ",\"stdin_base64\":\"/gABAg==\"");
    stdin_is("\xFE\x00\x01\x02\x03", 5, ",\"stdin_base64\":\"/gABAgM=\"");
}

/* A job as the service sends it, with these members. */
static int exit_code_of(const char *members, const char *words)
{
    char text[1024];
    struct arena AUTO_ARENA arena;
    struct json_job job;
    struct err err = {0};
    struct buf AUTO_BUF out;
    arena_init(&arena, 65536);
    buf_init(&out, 4096);
    (void)snprintf(text, sizeof(text),
                   "{\"id\":\"01990b6e-0000-7000-8000-000000000001\",\"done\":true,%s}", members);
    cr_assert(json_read_job(slice_of(text), &arena, &job, &err), "%s", err.detail);
    outcome_put_words(&job, &out);
    cr_assert(slice_is(buf_slice(&out), words), "%.*s", (int)out.len, out.ptr);
    return outcome_exit_code(&job);
}

Test(client, outcomes_have_exit_codes)
{
    cr_assert_eq(exit_code_of("\"state\":\"succeeded\",\"exit_code\":0", "succeeded"), 0);
    cr_assert_eq(exit_code_of("\"state\":\"failed\",\"reason\":\"exit_code\",\"exit_code\":3",
                              "failed: exit code 3"),
                 3);
    cr_assert_eq(exit_code_of("\"state\":\"failed\",\"reason\":\"signal\",\"signal\":\"SIGSEGV\","
                              "\"exit_code\":-11",
                              "failed: ended by SIGSEGV"),
                 139);
    cr_assert_eq(exit_code_of("\"state\":\"failed\",\"reason\":\"timeout\",\"signal\":\"SIGTERM\"",
                              "failed: timeout"),
                 124);
    cr_assert_eq(exit_code_of("\"state\":\"failed\",\"reason\":\"exec\",\"error\":{\"detail\":"
                              "\"No such file or directory: foo\"}",
                              "failed: No such file or directory: foo"),
                 127);
    cr_assert_eq(exit_code_of("\"state\":\"failed\",\"reason\":\"exec\",\"error\":{\"detail\":"
                              "\"Permission denied: ./foo\"}",
                              "failed: Permission denied: ./foo"),
                 126);
    cr_assert_eq(
        exit_code_of("\"state\":\"failed\",\"reason\":\"lost\",\"exit_code\":null", "failed: lost"),
        125);
    cr_assert_eq(exit_code_of("\"state\":\"cancelled\",\"signal\":\"SIGTERM\",\"exit_code\":-15",
                              "cancelled"),
                 143);
    cr_assert_eq(exit_code_of("\"state\":\"cancelled\",\"signal\":null", "cancelled"), 1);
    cr_assert_eq(
        exit_code_of("\"state\":\"failed\",\"reason\":\"from_a_later_version\"", "failed: unknown"),
        1);
}

static void refusal_is(int status, const char *body, enum err_code code, const char *detail)
{
    struct reply AUTO_REPLY reply = {.status = status};
    struct err err = {0};
    buf_init(&reply.body, 4096);
    buf_puts(&reply.body, body);
    cr_assert_not(reply_refuse(&reply, &err));
    cr_assert_eq(err.code, code);
    cr_assert_str_eq(err.detail, detail);
}

Test(client, problems_become_errors)
{
    refusal_is(404,
               "{\"type\":\"/problems/not-found\",\"title\":\"T\",\"status\":404,\"detail\":\"D\"}",
               ERR_NOT_FOUND, "D");
    refusal_is(
        422,
        "{\"type\":\"/problems/invalid-request\",\"title\":\"T\",\"detail\":\"D\",\"errors\":"
        "[{\"pointer\":\"/retry/max_attempts\",\"detail\":\"x\"}]}",
        ERR_INVALID, "D (at /retry/max_attempts)");
    refusal_is(418, "{\"type\":\"/problems/from-later\",\"title\":\"T\"}", ERR_INVALID, "T");
    refusal_is(502, "<html>", ERR_INTERNAL, "the answer is HTTP 502: is that a ganger server?");
}
