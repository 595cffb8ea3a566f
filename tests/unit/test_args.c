/* SPDX-License-Identifier: MIT */
#include "cli/args.h"

#include <criterion/criterion.h>

/* The words live as long as the block of the test: not inside of an assertion, which is a block
 * too. */
#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
#define READ(args, err, ...) \
    read_line(args, err, WORDS(__VA_ARGS__), (int)ARRAY_LEN(WORDS(__VA_ARGS__)) - 1)

static bool read_line(struct args *args, struct err *err, char **words, int n)
{
    const struct command *command = command_find(words[0]);
    cr_assert_not_null(command);
    *err = (struct err){0};
    return args_read(command, n, words, args, err);
}

/* Reads a line that must be refused, and compares the reason. */
static void refused(const char *reason, char **words, int n)
{
    struct args args;
    struct err err;
    cr_assert_not(read_line(&args, &err, words, n), "%s was not refused", words[1]);
    cr_assert_str_eq(err.detail, reason);
}
#define REFUSED(reason, ...) \
    refused(reason, WORDS(__VA_ARGS__), (int)ARRAY_LEN(WORDS(__VA_ARGS__)) - 1)

Test(args, options_of_the_jobs_command_stay_with_it)
{
    struct args args;
    struct err err;
    bool is_read = READ(&args, &err, "run", "--queue", "media", "ls", "--queue", "-l");
    cr_assert(is_read, "%s", err.detail);
    cr_assert_str_eq(args.value[OPT_QUEUE], "media");
    cr_assert_eq(args.n_operands, 3);
    cr_assert_str_eq(args.operands[0], "ls");
    cr_assert_str_eq(args.operands[2], "-l");
    args_release(&args);
}

Test(args, double_dash_ends_the_options)
{
    struct args args;
    struct err err;
    bool is_read = READ(&args, &err, "submit", "-p", "-5", "--", "--wait");
    cr_assert(is_read, "%s", err.detail);
    cr_assert_eq(args_integer(&args, OPT_PRIORITY, 0), -5);
    cr_assert_not(args_has(&args, OPT_WAIT));
    cr_assert_eq(args.n_operands, 1);
    cr_assert_str_eq(args.operands[0], "--wait");
    args_release(&args);
}

Test(args, other_commands_take_options_anywhere)
{
    struct args args;
    struct err err;
    bool is_read = READ(&args, &err, "wait", "01", "--timeout", "1.5s", "02");
    cr_assert(is_read, "%s", err.detail);
    cr_assert_eq(args.n_operands, 2);
    cr_assert_eq(args_duration_us(&args, OPT_WAIT_TIMEOUT, 0), 1500000);
    cr_assert_not(args_has(&args, OPT_TIMEOUT));
    args_release(&args);
}

Test(args, repeated_options_are_kept_in_order)
{
    struct args args;
    struct err err;
    bool is_read = READ(&args, &err, "run", "-e", "A=1", "--env=HOME", "-l", "k=v", "-e",
                        "B=", "true");
    cr_assert(is_read);
    cr_assert_eq(args.env.n, 3);
    cr_assert_str_eq(args.env.items[0], "A=1");
    cr_assert_str_eq(args.env.items[1], "HOME");
    cr_assert_str_eq(args.env.items[2], "B=");
    cr_assert_eq(args.label.n, 1);
    args_release(&args);
}

Test(args, help_needs_no_operand)
{
    struct args args;
    struct err err;
    bool is_read = READ(&args, &err, "run", "--help");
    cr_assert(is_read, "%s", err.detail);
    cr_assert(args_has(&args, OPT_HELP));
    args_release(&args);
}

Test(args, mistakes_are_named)
{
    REFUSED("run needs a command to run", "run", "--quiet");
    REFUSED("show needs the id of a job", "show");
    REFUSED("\"a/b\" is not the id of a job", "show", "a/b");
    REFUSED("\"..\" is not the id of a job", "rm", "..");
    REFUSED("logs does not take \"02\"", "logs", "01", "02");
    REFUSED("ls has no option --sttae; did you mean --state?", "ls", "--sttae", "x");
}

Test(args, wrong_values_are_refused_before_anything_is_sent)
{
    REFUSED("--timeout wants a time like 90s, 5m or 2h, or none, not \"5x\"", "run", "--timeout",
            "5x", "true");
    REFUSED("--timeout wants a time like 250ms, 90s, 5m or 2h, not \"none\"", "wait", "--timeout",
            "none", "01");
    REFUSED("--limit-output wants a size like 4096, 64KiB or 10MiB, not \"10MB\"", "submit",
            "--limit-output", "10MB", "true");
    REFUSED("--retries wants a number from 0, not \"-1\"", "submit", "--retries", "-1", "true");
    REFUSED("--label wants KEY=VALUE, not \"=v\"", "submit", "--label", "=v", "true");
    REFUSED("--at wants a time like 2026-12-01T06:00:00Z, not \"noon\"", "run", "--at", "noon",
            "true");
    REFUSED("--state wants states like queued,running, not \"queued,done\"", "ls", "--state",
            "queued,done");
    REFUSED("--signal wants the name of a signal, like TERM, not \"STOPP\"", "cancel", "--signal",
            "STOPP", "01");
    REFUSED("--data needs a value", "ls", "--data");
    REFUSED("--json takes no value", "ls", "--json=1");
    REFUSED("ls has no option -Z", "ls", "-Z");
}

Test(args, words_of_the_new_kinds_are_checked)
{
    REFUSED("--halt wants never, soon,fail=N or now,fail=N, not \"now\"", "map", "--halt", "now",
            "echo");
    REFUSED("--halt wants never, soon,fail=N or now,fail=N, not \"soon,fail=0\"", "map", "--halt",
            "soon,fail=0", "echo");
    REFUSED("--on-conflict wants return|reject|replace, not \"repl\"", "submit", "--on-conflict",
            "repl", "true");
    REFUSED("--rate wants a rate like 10/1s, or none, not \"10\"", "queue set", "--rate", "10",
            "q");
    REFUSED("--depends-on wants the id of a job or batch, not \"a/b\"", "submit", "--depends-on",
            "a/b", "true");
    REFUSED("--defaults wants JSON, not \"{\"", "queue set", "--defaults", "{", "q");
    REFUSED("queue pause needs the name of a queue", "queue pause");
    REFUSED("\"a/b\" is not the name of a queue", "queue pause", "a/b");
    REFUSED("\"a#b\" is not the name of a pool", "pool rm", "a#b");
    REFUSED("\"../jobs/1\" is not the name of a pool", "pool rm", "../jobs/1");
    REFUSED("\"..\" is not the name of a pool", "pool show", "..");
    REFUSED("\"a?b\" is not the name of a worker", "worker terminate", "w", "a?b");
    REFUSED("\"../jobs/1\" is not the id of a blob", "blob rm", "../jobs/1");
    REFUSED("batch show needs the id of a batch", "batch show");
    REFUSED("\"x.y\" is not the id of a batch", "batch add", "x.y", "a/b");
}

Test(args, halt_has_three_forms)
{
    struct halt halt;
    bool ok = args_halt("never", &halt);
    cr_assert(ok && halt.when == HALT_NEVER);
    ok = args_halt("soon,fail=3", &halt);
    cr_assert(ok && halt.when == HALT_SOON && halt.failures == 3);
    ok = args_halt("now,fail=1", &halt);
    cr_assert(ok && halt.when == HALT_NOW && halt.failures == 1);
    static const char *const bad[] = {"", "now,fail=", "now,fail=x", "now,fail=1x", "later,fail=1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ok = args_halt(bad[i], &halt);
        cr_assert_not(ok, "%s was taken", bad[i]);
    }
}

Test(args, commands_of_two_words_are_found)
{
    cr_assert_not_null(command_find("queue pause"));
    cr_assert_null(command_find("queue"));
    cr_assert(command_is_group("queue"));
    cr_assert_not(command_is_group("que"));
    cr_assert_not(command_is_group("run"));
    cr_assert_str_eq(command_near("queue puase"), "queue pause");
}

Test(args, items_of_map_stay_with_it)
{
    struct args args;
    struct err err;
    bool is_read = READ(&args, &err, "map", "-k", "-j", "4", "--depends-on", "01", "--depends-on",
                        "02", "echo", "-n", ":::", "-x");
    cr_assert(is_read, "%s", err.detail);
    cr_assert(args_has(&args, OPT_KEEP_ORDER));
    cr_assert_eq(args.depends_on.n, 2);
    cr_assert_eq(args.n_operands, 4);
    cr_assert_str_eq(args.operands[3], "-x");
    args_release(&args);
}

Test(args, near_names_are_offered)
{
    cr_assert_str_eq(command_near("sumbit"), "submit");
    cr_assert_str_eq(command_near("log"), "logs");
    cr_assert_str_eq(command_near("cancle"), "cancel");
    cr_assert_null(command_near("frobnicate"));
    cr_assert_null(command_near("xy"));
    cr_assert_str_eq(option_near("qeue", IN_RUN), "queue");
    cr_assert_null(option_near("qeue", IN_HEALTH));
}

Test(args, tables_are_sound)
{
    for (size_t i = 0; i < n_option_rows; i++) {
        const struct option_row *row = &option_rows[i];
        cr_assert_eq(row->value == NULL, row->kind == KIND_FLAG, "--%s", row->name);
        cr_assert(i == 0 || strcmp(option_rows[i - 1].name, row->name) <= 0, "--%s is out of order",
                  row->name);
        for (size_t j = 0; j < i; j++) {
            const struct option_row *other = &option_rows[j];
            if ((row->commands & other->commands) == 0)
                continue;
            cr_assert_str_neq(row->name, other->name);
            cr_assert(row->letter == 0 || row->letter != other->letter, "-%c is in use twice",
                      row->letter);
        }
    }
    for (size_t i = 0; i < n_commands; i++) {
        cr_assert_eq(command_find(commands[i].name), &commands[i]);
        cr_assert_gt(strlen(commands[i].examples), 0, "%s has no example", commands[i].name);
    }
}
