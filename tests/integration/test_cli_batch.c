/* SPDX-License-Identifier: MIT */
/* ganger batch, and the ways to a batch without following it. */
#include "integration/cli_call.h"
#include "integration/harness_batch.h"

static struct job_ref detached(struct server *s, const char **words)
{
    AUTO_CALL c;
    cli_call_run(&c, s, words);
    expect_code(&c, 0);
    struct job_ref ref = {0};
    CHECK(c.out_len == 37, "not an id: \"%s\"; stderr: %s", c.out, c.err);
    memcpy(ref.id, c.out, 36);
    return ref;
}

static bool batch_is_done(struct server *s, struct job_ref batch)
{
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s", batch.id);
    return json_bool(r, "done");
}

static void expect_counts(struct server *s, struct job_ref batch, int total, int succeeded)
{
    AWAIT(batch_is_done(s, batch), 60);
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s", batch.id);
    expect_int(r, "total", total);
    expect_int(r, "counts.succeeded", succeeded);
}

SERVER_TEST(cli_batch, a_detached_map_is_a_batch)
{
    struct job_ref batch = detached(s, WORDS("map", "--detach", "--name", "n{}", "--queue", "media",
                                             "-l", "k=v", "-j", "1", "--", "sh", "-c", "exit $0",
                                             "{}", ":::", "0", "0", "3"));
    expect_counts(s, batch, 3, 2);
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s", batch.id);
    expect_text(r, "queue", "media");
    expect_text(r, "labels.k", "v");
    expect_int(r, "max_parallel", 1);
    struct job_ref chunks = detached(
        s, WORDS("map", "--detach", "--chunksize", "2", "true", ":::", "a", "b", "c"));
    expect_counts(s, chunks, 3, 3);
    AUTO_RESPONSE of_chunks = http_get(s, "/v1/batches/%s", chunks.id);
    expect_int(of_chunks, "chunksize", 2);
    AUTO_CALL show;
    cli_call_run(&show, s, WORDS("batch", "show", batch.id));
    expect_code(&show, 0);
    CHECK(strstr(show.out, "2 succeeded, 1 failed") != NULL, "show says: %s", show.out);
    AUTO_CALL json;
    cli_call_run(&json, s, WORDS("batch", "show", "--json", batch.id));
    CHECK(strstr(json.out, "\"failed_first\":2") != NULL, "show says: %s", json.out);
    AUTO_CALL ls;
    cli_call_run(&ls, s, WORDS("ls", "--batch", batch.id, "--state", "failed", "-q"));
    expect_code(&ls, 0);
    CHECK(ls.out_len == 37, "one id was expected: %s", ls.out);
}

SERVER_TEST(cli_batch, an_open_one_takes_more_until_it_is_closed)
{
    struct job_ref batch = detached(s, WORDS("map", "--detach", "--open", "true", ":::", "a", "b"));
    AUTO_CALL add, input, close, late;
    cli_call_run(&add, s, WORDS("batch", "add", batch.id, "c", "d/e"));
    expect_code(&add, 0);
    struct text path = file_with(s, "items", "f\ng\n", 4);
    cli_call_start_in(&input, s->dir, path.s, WORDS("batch", "add", batch.id));
    cli_call_end(&input);
    expect_code(&input, 0);
    expect_err_has(&input, "2 items were taken");
    cli_call_run(&close, s, WORDS("batch", "close", batch.id));
    expect_code(&close, 0);
    expect_counts(s, batch, 6, 6);
    cli_call_run(&late, s, WORDS("batch", "add", batch.id, "h"));
    expect_code(&late, 1);
    expect_err_has(&late, "takes no more items");
}

SERVER_TEST(cli_batch, many_items_go_up_in_chunks)
{
    size_t len = 0;
    char *text = need_alloc(3000 * 8);
    for (int i = 0; i < 3000; i++)
        len += (size_t)snprintf(text + len, 8, "%06d\n", i);
    struct text path = file_with(s, "items", text, len);
    free(text);
    struct job_ref batch = detached(
        s, WORDS("map", "--detach", "-a", path.s, "--delay", "1h", "true"));
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s", batch.id);
    expect_int(r, "total", 3000);
    expect_text(r, "phase", "closed");
    AUTO_CALL cancel;
    cli_call_run(&cancel, s, WORDS("batch", "cancel", "--indexes", "0-1,2999", batch.id));
    expect_code(&cancel, 0);
    CHECK(strstr(cancel.out, ": 3 cancelled") != NULL, "cancel says: %s", cancel.out);
    AUTO_CALL rest;
    cli_call_run(&rest, s, WORDS("batch", "cancel", "--json", batch.id));
    expect_code(&rest, 0);
    AWAIT(batch_is_done(s, batch), 60);
}

SERVER_TEST(cli_batch, failed_jobs_are_retried)
{
    struct text mark = text_of("%s/mark", s->scratch);
    struct job_ref batch = detached(s, WORDS("map", "--detach", "--", "sh", "-c",
                                             text_of("test $0 = a || test -e %s", mark.s).s, "{}",
                                             ":::", "a", "b"));
    expect_counts(s, batch, 2, 1);
    (void)file_with(s, "mark", "", 0);
    AUTO_CALL retry;
    cli_call_run(&retry, s, WORDS("batch", "retry", batch.id));
    expect_code(&retry, 0);
    CHECK(strstr(retry.out, ": 1 retried") != NULL, "retry says: %s", retry.out);
    expect_counts(s, batch, 2, 2);
}

SERVER_TEST(cli_batch, batches_are_listed_newest_first)
{
    struct job_ref older = batch_submit(s, "{'command':['false'],'items':[1],'name':'older'}");
    response_free(batch_await(s, older));
    struct job_ref newer = batch_submit(s, "{'command':['true'],'delay':'1h','items':[1,2]}");
    AUTO_CALL ids, one, no, table;
    cli_call_run(&ids, s, WORDS("batch", "ls", "-q"));
    expect_out(&ids, text_of("%s\n%s\n", newer.id, older.id).s);
    cli_call_run(&one, s, WORDS("batch", "ls", "-q", "-n", "1"));
    expect_out(&one, text_of("%s\n", newer.id).s);
    cli_call_run(&no, s, WORDS("batch", "ls", "-q", "-n", "0"));
    expect_code(&no, 0);
    expect_out(&no, "");
    cli_call_run(&table, s, WORDS("batch", "ls"));
    CHECK(strstr(table.out, "  running   0 of 2 ") != NULL &&
              strstr(table.out, "  failed    1 of 1          1 ") != NULL &&
              strstr(table.out, " older\n") != NULL,
          "%s", table.out);
}

SERVER_TEST(cli_batch, mistakes_are_named)
{
    AUTO_CALL none, wrong, verb, near, unknown;
    cli_call_run(&none, s, WORDS("batch"));
    expect_code(&none, 2);
    expect_err_has(&none, "batch wants one of: ls, show, results, add, close, cancel, retry;");
    cli_call_run(&wrong, s, WORDS("batch", "frobnicate"));
    expect_code(&wrong, 2);
    expect_err_has(&wrong, "batch wants one of: ls, show,");
    cli_call_run(&verb, s, WORDS("batch", "shwo", "01"));
    expect_code(&verb, 2);
    expect_err_has(&verb, "did you mean batch show?");
    cli_call_run(&near, s, WORDS("queue", "set", "--concurency", "3", "q"));
    expect_code(&near, 2);
    expect_err_has(&near, "did you mean --concurrency?");
    cli_call_run(&unknown, s, WORDS("batch", "show", "01990b6e-0000-7000-8000-000000000001"));
    expect_code(&unknown, 1);
}
