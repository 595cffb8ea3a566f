/* SPDX-License-Identifier: MIT */
/* ganger map: the real binary against a real server. */
#include "integration/cli_call.h"

#include <signal.h>

static int line_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a call's stdout in order of the alphabet, joined by spaces. */
static struct text sorted_lines(const struct cli_call *c)
{
    char *lines[256];
    size_t n = 0;
    struct text joined = {""};
    AUTO_TEXT copy = strdup(c->out);
    char *rest = NULL;
    for (char *line = strtok_r(copy, "\n", &rest); line != NULL && n < COUNT_OF(lines);
         line = strtok_r(NULL, "\n", &rest))
        lines[n++] = line;
    qsort(lines, n, sizeof(lines[0]), line_order);
    for (size_t i = 0; i < n; i++)
        joined = text_of("%s%s%s", joined.s, i > 0 ? " " : "", lines[i]);
    return joined;
}

static void expect_lines(const struct cli_call *c, const char *sorted)
{
    struct text got = sorted_lines(c);
    CHECK(strcmp(got.s, sorted) == 0, "the lines are \"%s\", not \"%s\"; stderr: %s", got.s, sorted,
          c->err);
}

/* ---- items and placeholders */

SERVER_TEST(cli_map, each_item_is_a_job)
{
    AUTO_CALL words;
    cli_call_run(&words, s, WORDS("map", "echo", "x{}", "{index}", ":::", "a", "b c", ""));
    expect_code(&words, 0);
    expect_lines(&words, "x 2 xa 0 xb c 1");
    AUTO_CALL appended;
    cli_call_run(&appended, s, WORDS("map", "--", "echo", "-n", "q", ":::", "a"));
    expect_code(&appended, 0);
    expect_out(&appended, "q a");
    AUTO_CALL none;
    cli_call_run(&none, s, WORDS("map", "echo", ":::"));
    expect_code(&none, 0);
    expect_out(&none, "");
}

SERVER_TEST(cli_map, items_are_lines_of_stdin_and_of_files)
{
    struct text path = file_with(s, "items", "one\ntwo words\nthree", 19);
    AUTO_CALL input;
    cli_call_start_in(&input, s->dir, path.s, WORDS("map", "echo"));
    cli_call_end(&input);
    expect_code(&input, 0);
    expect_lines(&input, "one three two words");
    AUTO_CALL file;
    cli_call_run(&file, s, WORDS("map", "echo", "{1}-{2}", "::::", path.s, ":::", "x", "y"));
    expect_code(&file, 0);
    expect_lines(&file, "one-x one-y three-x three-y two words-x two words-y");
    AUTO_CALL missing;
    cli_call_run(&missing, s, WORDS("map", "-a", "/nonexistent/file", "echo"));
    expect_code(&missing, 2);
    expect_err_has(&missing, "No such file");
}

SERVER_TEST(cli_map, numbers_and_columns_as_parallel_has_them)
{
    AUTO_CALL numbers;
    cli_call_run(&numbers, s, WORDS("map", "-k", "echo", "{#}:{}", ":::", "a", "b"));
    expect_code(&numbers, 0);
    expect_out(&numbers, "1:a\n2:b\n");
    AUTO_CALL columns;
    cli_call_run(&columns, s,
                 WORDS("map", "-k", "--colsep", ",", "echo", "{2}{1}", "{}", ":::", "a,b", "c,d"));
    expect_code(&columns, 0);
    expect_out(&columns, "ba a,b\ndc c,d\n");
}

SERVER_TEST(cli_map, dry_run_prints_commands_and_runs_none)
{
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("map", "--dry-run", "touch", "{#}", "{}", ":::", "a", "it's b"));
    expect_code(&c, 0);
    expect_out(&c, "touch 1 a\ntouch 2 'it'\\''s b'\n");
    AUTO_CALL ls;
    cli_call_run(&ls, s, WORDS("ls", "-q"));
    expect_out(&ls, "");
}

SERVER_TEST(cli_map, a_full_queue_is_waited_for)
{
    AUTO_CALL set, c;
    cli_call_run(&set, s, WORDS("queue", "set", "--max-length", "3", "narrow"));
    expect_code(&set, 0);
    cli_call_run(&c, s,
                 WORDS("map", "-k", "--queue", "narrow", "echo", "{1}{2}", ":::", "a", "b", "c",
                       "d", "e", ":::", "1", "2", "3", "4"));
    expect_code(&c, 0);
    expect_lines(&c, "a1 a2 a3 a4 b1 b2 b3 b4 c1 c2 c3 c4 d1 d2 d3 d4 e1 e2 e3 e4");
    expect_err_has(&c, "the items wait until it has room");
}

/* ---- outputs */

SERVER_TEST(cli_map, outputs_of_each_job_come_whole)
{
    AUTO_CALL c;
    cli_call_run(&c, s,
                 WORDS("map", "-k", "--", "sh", "-c",
                       "echo o$0; printf '\\377\\0'; echo e$0 >&2; exit $0", "{}", ":::", "0",
                       "1"));
    expect_code(&c, 1);
    static const char out[] = "o0\n\377\0o1\n\377\0";
    CHECK(c.out_len == sizeof(out) - 1 && memcmp(c.out, out, c.out_len) == 0,
          "%zu other bytes came", c.out_len);
    CHECK(strcmp(c.err, "e0\ne1\n") == 0, "stderr is \"%s\"", c.err);
}

SERVER_TEST(cli_map, large_outputs_come_whole)
{
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("map", "--", "sh", "-c", "yes | head -c 3000000", ":::", "a", "b"));
    expect_code(&c, 0);
    CHECK(c.out_len == 6000000, "%zu bytes came", c.out_len);
}

SERVER_TEST(cli_map, results_come_as_jobs_end_or_in_order)
{
    struct text first = fifo_make(s, "first"), second = fifo_make(s, "second");
    AUTO_CALL ordered, completed;
    cli_call_start(&completed, s,
                   WORDS("map", "--", "sh", "-c",
                         text_of("test $0 = b || cat %s; echo $0", first.s).s, "{}", ":::", "a",
                         "b"));
    AWAIT(file_has(completed.out_path, "b\n"), 20);
    fifo_release(first.s);
    cli_call_end(&completed);
    expect_code(&completed, 0);
    expect_out(&completed, "b\na\n");
    cli_call_start(&ordered, s,
                   WORDS("map", "--keep-order", "--name", "kept-{}", "--", "sh", "-c",
                         text_of("test $0 = b || cat %s; echo $0", second.s).s, "{}", ":::", "a",
                         "b"));
    fifo_release(second.s);
    cli_call_end(&ordered);
    expect_code(&ordered, 0);
    expect_out(&ordered, "a\nb\n");
}

SERVER_TEST(cli_map, json_is_a_line_per_job)
{
    AUTO_CALL c;
    cli_call_run(
        &c, s, WORDS("map", "-k", "--json", "sh", "-c", "echo v; exit $0", "{}", ":::", "0", "3"));
    expect_code(&c, 1);
    CHECK(strstr(c.out, "\"value\":\"v\\n\"") != NULL, "no value: %s", c.out);
    CHECK(strstr(c.out, "\"exit_code\":3") != NULL, "no exit code: %s", c.out);
    CHECK(strchr(strchr(c.out, '\n') + 1, '\n') == c.out + c.out_len - 1, "not two lines: %s",
          c.out);
}

/* ---- exit codes, halt, log */

SERVER_TEST(cli_map, exit_code_is_the_number_of_failures)
{
    AUTO_CALL some, many;
    cli_call_run(&some, s,
                 WORDS("map", "--", "sh", "-c", "exit $0", "{}", ":::", "0", "5", "1", "0"));
    expect_code(&some, 2);
    cli_call_run(&many, s,
                 WORDS("map", "false", "{1}{2}", ":::", "1", "2", "3", "4", "5", "6", "7", "8", "9",
                       "10", "11", ":::", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"));
    expect_code(&many, 101);
}

/* A worker may have been given the next jobs already, so a few more than those that ran may
 * begin. */
SERVER_TEST_WITH(cli_map, halt_soon_lets_running_jobs_end, .workers = 2)
{
    struct text fifo = fifo_make(s, "hold");
    struct text script = text_of(
        "case $0 in 0) cat %s; echo ended;; 1) exit 9;; *) echo more;; esac", fifo.s);
    AUTO_CALL c;
    cli_call_start(&c, s,
                   WORDS("map", "--halt", "soon,fail=1", "--", "sh", "-c", script.s, "{index}",
                         ":::", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ":::", "a", "b",
                         "c"));
    AWAIT(file_has(c.err_path, "nothing more begins"), 20);
    fifo_release(fifo.s);
    cli_call_end(&c);
    expect_code(&c, 9);
    CHECK(strstr(c.out, "ended\n") != NULL, "what ran did not end: %s", c.out);
    CHECK(c.out_len < strlen("ended\n") + 14 * strlen("more\n"), "it went on: %s", c.out);
}

SERVER_TEST_WITH(cli_map, halt_now_ends_what_runs, .workers = 2)
{
    AUTO_CALL c;
    cli_call_run(&c, s,
                 WORDS("map", "--halt", "now,fail=1", "--env", "HALT_MARK=halt-now", "--", "sh",
                       "-c", "test $0 = 1 && exit 7; exec sleep 600", "{index}", ":::", "a", "b",
                       "c"));
    expect_code(&c, 7);
    expect_out(&c, "");
    no_process_left("HALT_MARK=halt-now", 20);
}

SERVER_TEST(cli_map, joblog_has_the_columns_of_parallel)
{
    struct text path = text_of("%s/joblog", s->scratch);
    AUTO_CALL c;
    cli_call_run(&c, s,
                 WORDS("map", "-k", "--joblog", path.s, "--", "sh", "-c",
                       "test \"$0\" != b || kill -9 $$; echo 12345; exit 3", "{}", ":::", "a a",
                       "b"));
    expect_code(&c, 2);
    AUTO_TEXT log = file_read(path.s, NULL);
    char *line = strchr(log, '\n');
    CHECK(line != NULL &&
              strncmp(log,
                      "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\t"
                      "Command\n",
                      (size_t)(line - log) + 1) == 0,
          "the head is %s", log);
    int seq = 0, receive = 0, code = 0, killed = 0, end = 0;
    double started = 0, ran = 0;
    CHECK(sscanf(line + 1, "%d\t:\t%lf\t%lf\t0\t%d\t%d\t%d\t%n", &seq, &started, &ran, &receive,
                 &code, &killed, &end) == 6,
          "the line is %s", line);
    CHECK(seq == 1 && started > 1e9 && ran >= 0 && receive == 6 && code == 3 && killed == 0,
          "the line is %s", line);
    static const char command[] =
        "sh -c 'test \"$0\" != b || kill -9 $$; echo 12345; exit 3' 'a a'\n";
    CHECK(strncmp(line + 1 + end, command, strlen(command)) == 0, "the command is %s",
          line + 1 + end);
    line = strchr(line + 1, '\n');
    CHECK(sscanf(line + 1, "%d\t:\t%lf\t%lf\t0\t%d\t%d\t%d\t", &seq, &started, &ran, &receive,
                 &code, &killed) == 6 &&
              seq == 2 && code == 0 && killed == SIGKILL,
          "the line is %s", line);
}

static void expect_file(const char *dir, const char *name, const char *content)
{
    AUTO_TEXT text = file_read(text_of("%s/%s", dir, name).s, NULL);
    CHECK(text != NULL, "there is no %s", name);
    CHECK(strcmp(text, content) == 0, "%s is \"%s\"", name, text);
}

SERVER_TEST(cli_map, results_are_kept_as_files)
{
    struct text dir = text_of("%s/results", s->scratch);
    for (int round = 0; round < 2; round++) { /* the directory may be there */
        AUTO_CALL c;
        cli_call_run(&c, s,
                     WORDS("map", "-k", "--results", dir.s, "--", "sh", "-c",
                           "echo out $0; echo err $0 >&2; test $0 != b", "{}", ":::", "a", "b"));
        expect_code(&c, 1);
        expect_out(&c, "out a\nout b\n");
        expect_file(dir.s, "1/stdout", "out a\n");
        expect_file(dir.s, "1/stderr", "err a\n");
        expect_file(dir.s, "2/stdout", "out b\n");
        expect_file(dir.s, "2/stderr", "err b\n");
    }
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("map", "--results", "/proc/nowhere", "--", "echo", ":::", "a"));
    expect_code(&c, 2);
}

SERVER_TEST(cli_map, the_bar_is_shown_where_it_is_wanted)
{
    AUTO_CALL off, on;
    cli_call_run(&off, s, WORDS("map", "--bar", "true", ":::", "a"));
    expect_code(&off, 0);
    CHECK(off.err[0] == '\0', "off a terminal there is \"%s\"", off.err);
    cli_call_run(&on, s, WORDS("map", "--bar-always", "true", ":::", "a", "b"));
    expect_code(&on, 0);
    expect_err_has(&on, "100% 2/2");
    AUTO_TEXT shown = cli_on_terminal(s, "TERM=xterm", WORDS("map", "--bar", "true", ":::", "a"));
    CHECK(strstr(shown, "100% 1/1") != NULL, "no bar: %s", shown);
}

/* ---- leaving and coming back */

/* The id after these words in a text. */
static struct job_ref id_after(const char *text, const char *words)
{
    struct job_ref ref = {0};
    const char *at = strstr(text, words);
    CHECK(at != NULL && strlen(at) >= strlen(words) + 36, "no \"%s\" in %s", words, text);
    memcpy(ref.id, at + strlen(words), 36);
    return ref;
}

SERVER_TEST(cli_map, ctrl_c_says_how_to_go_on)
{
    struct text fifo = fifo_make(s, "hold");
    AUTO_CALL c, results;
    cli_call_start(&c, s,
                   WORDS("map", "--", "sh", "-c",
                         text_of("test $0 = b || cat %s; echo $0", fifo.s).s, "{}", ":::", "a",
                         "b"));
    AWAIT(file_has(c.out_path, "b\n"), 20);
    (void)kill(c.pid, SIGINT);
    cli_call_end(&c);
    expect_code(&c, 130);
    struct job_ref batch = id_after(c.err, "ganger batch results -f ");
    cli_call_start(&results, s, WORDS("batch", "results", "-f", "-k", batch.id));
    fifo_release(fifo.s);
    cli_call_end(&results);
    expect_code(&results, 0);
    expect_out(&results, "a\nb\n");
}

SERVER_TEST(cli_map, ctrl_c_cancels_where_failures_halt)
{
    AUTO_CALL c;
    cli_call_start(&c, s,
                   WORDS("map", "--halt", "soon,fail=1", "--env", "HALT_MARK=ctrl-c", "--", "sh",
                         "-c", "test $0 = b || exec sleep 600; echo $0", "{}", ":::", "a", "b"));
    AWAIT(file_has(c.out_path, "b\n"), 20);
    (void)kill(c.pid, SIGINT);
    cli_call_end(&c);
    expect_code(&c, 130);
    expect_err_has(&c, "is cancelled");
    no_process_left("HALT_MARK=ctrl-c", 20);
}

PLAIN_TEST(cli_map, a_restart_of_the_server_loses_and_doubles_nothing)
{
    struct server s;
    struct server_options options = {.workers = 2};
    server_start(&s, &options);
    struct text done = text_of("%s/done", s.scratch), fifo = fifo_make(&s, "items");
    /* Each job leaves a mark; a job that a crash has ended is tried again and leaves it then. */
    AUTO_CALL c;
    cli_call_start_in(&c, s.dir, NULL,
                      WORDS("map", "-a", fifo.s, "--retries", "3", "--", "sh", "-c",
                            text_of("echo $0 >>%s; echo $0", done.s).s, "{}"));
    FILE *items = fopen(fifo.s, "w");
    CHECK(items != NULL, "cannot open the items");
    for (int i = 0; i < 300; i++)
        (void)fprintf(items, "i%03d\n", i);
    (void)fflush(items);
    AWAIT(file_has(c.out_path, "i050\n"), 60);
    server_kill(&s);
    for (int i = 300; i < 600; i++)
        (void)fprintf(items, "i%03d\n", i);
    (void)fclose(items);
    server_restart(&s, NULL);
    cli_call_end(&c);
    expect_code(&c, 0);
    size_t n = 0;
    for (const char *p = c.out; *p != '\0'; p++)
        n += *p == '\n';
    CHECK(n == 600, "%zu lines came instead of 600; stderr: %s", n, c.err);
    for (int i = 0; i < 600; i++) {
        const char *at = strstr(c.out, text_of("i%03d\n", i).s);
        CHECK(at != NULL, "item %d is lost; stderr: %s", i, c.err);
        CHECK(strstr(at + 1, text_of("i%03d\n", i).s) == NULL, "item %d came twice", i);
    }
    server_stop(&s);
}
