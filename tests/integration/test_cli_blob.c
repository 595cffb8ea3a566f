/* SPDX-License-Identifier: MIT */
/* ganger blob, and --input, --output and --stdin-blob of what is submitted. */
#include "integration/cli_call.h"

SERVER_TEST(cli, blobs_are_put_got_listed_and_removed)
{
    char *bytes = need_alloc(700000);
    memset(bytes, 'b', 700000);
    struct text path = file_with(s, "file", bytes, 700000);
    AUTO_CALL put;
    cli_call_run(&put, s, WORDS("blob", "put", "--keep", "1h", path.s));
    expect_code(&put, 0);
    CHECK(put.out_len == 37, "not an id: %s", put.out);
    struct text id = text_of("%.36s", put.out);
    AUTO_CALL piped; /* of no known length */
    cli_call_start_in(&piped, s->dir, path.s, WORDS("blob", "put"));
    cli_call_end(&piped);
    expect_code(&piped, 0);
    AUTO_CALL got;
    cli_call_run(&got, s, WORDS("blob", "get", id.s));
    expect_code(&got, 0);
    CHECK(got.out_len == 700000 && memcmp(got.out, bytes, 700000) == 0, "other bytes");
    free(bytes);
    AUTO_CALL list;
    cli_call_run(&list, s, WORDS("blob", "ls"));
    CHECK(strstr(list.out, id.s) != NULL && strstr(list.out, "700000") != NULL, "%s", list.out);
    AUTO_CALL newest;
    cli_call_run(&newest, s, WORDS("blob", "ls", "-q", "-n", "1"));
    expect_out(&newest, piped.out);
    AUTO_CALL gone;
    cli_call_run(&gone, s, WORDS("blob", "rm", id.s));
    expect_code(&gone, 0);
    AUTO_CALL again;
    cli_call_run(&again, s, WORDS("blob", "rm", id.s));
    expect_code(&again, 1);
    AUTO_CALL quiet;
    cli_call_run(&quiet, s, WORDS("blob", "ls", "-q"));
    expect_out(&quiet, piped.out);
    AUTO_CALL missing;
    cli_call_run(&missing, s, WORDS("blob", "put", "/nowhere"));
    expect_code(&missing, 1);
    expect_err_has(&missing, "No such file");
    AUTO_CALL directory;
    cli_call_run(&directory, s, WORDS("blob", "put", s->dir));
    expect_code(&directory, 1);
    expect_err_has(&directory, "is a directory");
}

SERVER_TEST(cli, jobs_take_and_leave_blobs)
{
    struct text path = file_with(s, "file", "in", 2);
    AUTO_CALL put;
    cli_call_run(&put, s, WORDS("blob", "put", path.s));
    struct text input = text_of("data=%.36s", put.out), id = text_of("%.36s", put.out);
    AUTO_CALL run;
    cli_call_run(&run, s,
                 WORDS("run", "--input", input.s, "--output", "out", "--", "sh", "-c",
                       "cat data; cat data data >out"));
    expect_code(&run, 0);
    expect_out(&run, "in");
    AUTO_CALL list;
    cli_call_run(&list, s, WORDS("blob", "ls", "--json"));
    AUTO_CALL table;
    cli_call_run(&table, s, WORDS("blob", "ls"));
    CHECK(strstr(table.out, " out\n") != NULL, "the name is not shown whole: %s", table.out);
    CHECK(strstr(list.out, "\"bytes\":4") != NULL && strstr(list.out, "\"name\":\"out\"") != NULL,
          "%s", list.out);
    struct job_ref job = cli_submit(s, WORDS("submit", "--stdin-blob", id.s, "--", "cat"));
    AUTO_RESPONSE end = job_await(s, job);
    expect_output(s, job, "stdout", "in");
}
