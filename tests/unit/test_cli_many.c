/* SPDX-License-Identifier: MIT */
/* What the client says and shows of many jobs: filters, ties, commands of a log, results. */
#include "cli/batch.h"
#include "cli/emit.h"
#include "cli/joblog.h"
#include "cli/query.h"
#include "cli/spec.h"

#include <criterion/criterion.h>

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

static void read_args(struct args *args, char **words)
{
    struct err err = {0};
    int n = 0;
    while (words[n] != NULL)
        n++;
    bool is_read = args_read(command_find(words[0]), n, words, args, &err);
    cr_assert(is_read, "%s", err.detail);
}

static void expect_text(struct buf *buf, const char *expected)
{
    buf_putc(buf, '\0');
    cr_assert(buf_ok(buf));
    cr_assert_str_eq(buf->ptr, expected);
}

Test(cli_many, filters_become_a_query_and_members)
{
    struct args args;
    struct buf AUTO_BUF path, body;
    buf_init(&path, 4096);
    buf_init(&body, 4096);
    read_args(&args,
              WORDS("cancel", "--state", "queued,running", "--queue", "a b", "--name", "n", "-l",
                    "k=v=w", "--batch", "01", "--created-after", "2026-01-01T00:00:00Z"));
    cr_assert(query_has_filter(&args));
    buf_puts(&path, "/v1/jobs");
    query_put_filter(&path, &args);
    expect_text(&path, "/v1/jobs?state=queued%2Crunning&queue=a%20b&name=n&label=k%3Av%3Dw&batch=01"
                       "&created_after=2026-01-01T00%3A00%3A00Z");
    query_put_members(&body, &args);
    expect_text(&body, "\"state\":[\"queued\",\"running\"],\"queue\":\"a b\",\"name\":\"n\","
                       "\"label\":\"k:v=w\",\"batch\":\"01\","
                       "\"created_after\":\"2026-01-01T00:00:00Z\",");
    args_release(&args);
    read_args(&args, WORDS("cancel", "--all"));
    cr_assert_not(query_has_filter(&args));
    args_release(&args);
}

Test(cli_many, ties_become_members)
{
    struct args args;
    struct err err = {0};
    struct buf AUTO_BUF out;
    buf_init(&out, 4096);
    read_args(&args, WORDS("submit", "--depends-on", "01", "--depends-on", "02",
                           "--on-parent-failure", "run", "--unique", "k", "--on-conflict",
                           "replace", "--stdin-from", "03", "--callback", "https://x/", "true"));
    bool ok = spec_write(&args, false, &out, &err);
    cr_assert(ok, "%s", err.detail);
    expect_text(&out, "{\"command\":[\"true\"],\"depends_on\":[\"01\",\"02\"],"
                      "\"on_parent_failure\":\"run\","
                      "\"stdin_from\":{\"job\":\"03\",\"stream\":\"stdout\"},"
                      "\"unique\":{\"key\":\"k\",\"on_conflict\":\"replace\"},"
                      "\"callback\":{\"url\":\"https://x/\"}}");
    args_release(&args);
}

Test(cli_many, standard_input_is_said_once)
{
    struct args args;
    struct err err = {0};
    struct buf AUTO_BUF out;
    buf_init(&out, 4096);
    read_args(&args, WORDS("submit", "--stdin-open", "--stdin-blob", "01", "true"));
    bool ok = spec_write(&args, false, &out, &err);
    args_release(&args);
    cr_assert_not(ok);
    cr_assert_str_eq(err.detail, "--stdin-blob and --stdin-open do not go together");
}

static void expect_command(const char *expected, struct joblog_wish wish, const char *item)
{
    struct buf AUTO_BUF out;
    buf_init(&out, 4096);
    joblog_put_command(&out, &wish, slice_of(item), 4);
    expect_text(&out, expected);
}

Test(cli_many, commands_of_items_are_lines_for_a_shell)
{
    char *const plain[] = {"echo", "-n"}, *const holes[] = {"cp", "{}", "x{index}", "{1}"},
                *const columns[] = {"mv", "{2}", "{1}"};
    expect_command("echo -n a", (struct joblog_wish){.words = plain, .n = 2}, "\"a\"");
    expect_command("echo -n 'it'\\''s $x'", (struct joblog_wish){.words = plain, .n = 2},
                   "\"it's $x\"");
    expect_command("echo -n ''", (struct joblog_wish){.words = plain, .n = 2}, "\"\"");
    expect_command("echo -n a 'b c'", (struct joblog_wish){.words = plain, .n = 2, .star = true},
                   "[\"a\",\"b c\"]");
    expect_command("cp a x4 '{1}'", (struct joblog_wish){.words = holes, .n = 4}, "\"a\"");
    expect_command("mv b a", (struct joblog_wish){.words = columns, .n = 3, .star = true},
                   "[\"a\",\"b\"]");
    /* A call: the item stands before the words, which have no placeholders. */
    expect_command("cp 5 '{}' 'x{index}' '{1}'",
                   (struct joblog_wish){.words = holes, .n = 4, .is_call = true}, "5");
    expect_command("mv 5 '{\"a\":1}' '{2}' '{1}'",
                   (struct joblog_wish){.words = columns, .n = 3, .star = true, .is_call = true},
                   "[5,{\"a\":1}]");
}

#define ID "01990b6e-0000-7000-8000-000000000001"

Test(cli_many, results_are_read)
{
    static const struct {
        const char *text, *words;
        int code;
    } cases[] = {
        {"{\"index\":0,\"id\":\"" ID "\",\"state\":\"succeeded\",\"value\":\"\"}", "succeeded", 0},
        {"{\"index\":0,\"id\":\"" ID
         "\",\"state\":\"failed\",\"reason\":\"exit_code\",\"exit_code\":3}",
         "failed: exit code 3", 3},
        {"{\"index\":0,\"id\":\"" ID
         "\",\"state\":\"failed\",\"reason\":\"signal\",\"exit_code\":-9}",
         "failed: ended by SIGKILL", 137},
        {"{\"index\":0,\"id\":\"" ID
         "\",\"state\":\"failed\",\"reason\":\"exec\",\"exit_code\":null,\"error\":{\"detail\":"
         "\"No such file or directory: x\"}}",
         "failed: No such file or directory: x", 127},
        {"{\"index\":0,\"id\":\"" ID "\",\"state\":\"cancelled\"}", "cancelled", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct result result;
        struct err err = {0};
        struct buf AUTO_BUF words;
        buf_init(&words, 256);
        bool ok = result_read(slice_of(cases[i].text), &result, &err);
        cr_assert(ok, "%s", err.detail);
        result_put_words(&result, &words);
        expect_text(&words, cases[i].words);
        cr_assert_eq(result_exit_code(&result), cases[i].code, "%s", cases[i].words);
    }
    struct result none;
    bool ok = result_read(SLICE_LIT("{\"index\":0,\"id\":\"x\",\"state\":\"failed\"}"), &none,
                          NULL);
    cr_assert_not(ok);
    ok = result_read(SLICE_LIT("{\"id\":\"" ID "\",\"state\":\"failed\"}"), &none, NULL);
    cr_assert_not(ok);
}

Test(cli_many, batches_are_read)
{
    struct json_batch batch;
    struct err err = {0};
    struct buf AUTO_BUF words;
    buf_init(&words, 256);
    bool ok = json_read_batch(
        SLICE_LIT("{\"id\":\"" ID "\",\"state\":\"failed\",\"done\":true,\"total\":5,\"counts\":"
                  "{\"succeeded\":2,\"failed\":1,\"cancelled\":2},\"newer\":1}"),
        &batch, &err);
    cr_assert(ok, "%s", err.detail);
    cr_assert(batch.done && batch.total == 5 && batch.n_done == 5);
    outcome_put_batch(&batch, &words);
    expect_text(&words, "failed, 5 of 5, 1 failed, 2 cancelled");
    ok = json_read_batch(SLICE_LIT("{\"id\":\"" ID "\",\"state\":\"failed\"}"), &batch, &err);
    cr_assert_not(ok);
}
