/* SPDX-License-Identifier: MIT */
#include "cli/args.h"

#include <getopt.h>
#include <limits.h>

#include "service/base/job.h"
#include "service/base/text.h"

#define LONG_BASE 256 /* getopt's value of long option i is LONG_BASE + row; letters are below */

static bool states_are_known(const char *list)
{
    for (;;) {
        size_t len = strcspn(list, ",");
        enum job_state state;
        if (!job_state_parse((struct slice){list, len}, &state))
            return false;
        if (list[len] == '\0')
            return true;
        list += len + 1;
    }
}

/* NULL when the value fits its kind, else what the kind wants. */
static const char *value_wants(enum option_kind kind, const char *value)
{
    struct slice s = slice_of(value);
    const char *equals = strchr(value, '=');
    int64_t number = 0;
    uint64_t bytes = 0;
    switch (kind) {
    case KIND_FLAG:
    case KIND_TEXT: return text_is_utf8(s) ? NULL : "text in UTF-8";
    case KIND_FILE: return s.len > 0 ? NULL : "a path";
    case KIND_COUNT:
        return text_to_i64(s, &number) && number >= 0 && number <= INT_MAX ? NULL
                                                                           : "a number from 0";
    case KIND_INTEGER: return text_to_i64(s, &number) ? NULL : "an integer";
    case KIND_LIMIT:
        if (strcmp(value, "none") == 0)
            return NULL;
        return text_to_duration_us(s, &number) ? NULL : "a time like 90s, 5m or 2h, or none";
    case KIND_DURATION:
        return text_to_duration_us(s, &number) ? NULL : "a time like 250ms, 90s, 5m or 2h";
    case KIND_BYTES: return text_to_bytes(s, &bytes) ? NULL : "a size like 4096, 64KiB or 10MiB";
    case KIND_TIME: return text_to_time_us(s, &number) ? NULL : "a time like 2026-12-01T06:00:00Z";
    case KIND_PAIR:
        return equals != NULL && equals != value && text_is_utf8(s) ? NULL : "KEY=VALUE";
    case KIND_ENV:
        return s.len > 0 && equals != value && text_is_utf8(s) ? NULL : "NAME=VALUE or NAME";
    case KIND_SIGNAL: return text_to_signal(s) != 0 ? NULL : "the name of a signal, like TERM";
    case KIND_STATE: return states_are_known(value) ? NULL : "states like queued,running";
    }
    return "something else";
}

static bool option_store(struct args *args, const struct option_row *row, const char *value,
                         struct err *err)
{
    if (value == NULL)
        value = "";
    const char *wants = value_wants(row->kind, value);
    if (wants != NULL)
        return err_set(err, ERR_INVALID, "--%s wants %s, not \"%.60s\"", row->name, wants, value);
    if (row->id == OPT_ENV)
        args->env.items[args->env.n++] = value;
    if (row->id == OPT_LABEL)
        args->label.items[args->label.n++] = value;
    args->value[row->id] = value;
    return true;
}

/* What getopt_long could not use: the word before optind, or a letter of it. */
static bool option_refuse(const struct args *args, int code, char **argv, struct err *err)
{
    const char *word = argv[optind - 1];
    bool is_long = strncmp(word, "--", 2) == 0;
    if (code == ':')
        return err_set(err, ERR_INVALID, "%.60s needs a value", word);
    if (!is_long)
        return err_set(err, ERR_INVALID, "%s has no option -%c", args->command->name, optopt);
    char name[64];
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    if (optopt >= LONG_BASE)
        return err_set(err, ERR_INVALID, "--%s takes no value", name);
    const char *near = option_near(name, (uint32_t)args->command->bit);
    if (near == NULL)
        return err_set(err, ERR_INVALID, "%s has no option --%s", args->command->name, name);
    return err_set(err, ERR_INVALID, "%s has no option --%s; did you mean --%s?",
                   args->command->name, name, near);
}

/* The rows of one command in the two forms that getopt_long wants. */
struct getopt_tables {
    struct option longs[OPT_COUNT + 1];
    char letters[2 * OPT_COUNT + 3];
};

static void getopt_tables_fill(struct getopt_tables *t, const struct command *command)
{
    size_t n = 0, at = 0;
    *t = (struct getopt_tables){0};
    /* "+": the first operand ends the options, so that those of the job's command stay with it.
     * ":": a missing value is told apart from an unknown option. */
    if (command->kind == OPERAND_COMMAND)
        t->letters[at++] = '+';
    t->letters[at++] = ':';
    for (size_t i = 0; i < n_option_rows; i++) {
        const struct option_row *row = &option_rows[i];
        if ((row->commands & (uint32_t)command->bit) == 0)
            continue;
        int has_value = row->kind == KIND_FLAG ? no_argument : required_argument;
        t->longs[n++] = (struct option){row->name, has_value, NULL, LONG_BASE + (int)i};
        if (row->letter == 0)
            continue;
        t->letters[at++] = row->letter;
        if (has_value == required_argument)
            t->letters[at++] = ':';
    }
}

static const struct option_row *row_of(int code, uint32_t command)
{
    if (code >= LONG_BASE)
        return &option_rows[code - LONG_BASE];
    for (size_t i = 0; i < n_option_rows; i++) {
        if (option_rows[i].letter == code && (option_rows[i].commands & command) != 0)
            return &option_rows[i];
    }
    return NULL;
}

static bool operands_check(const struct args *args, struct err *err)
{
    const struct command *command = args->command;
    if (args_has(args, OPT_HELP))
        return true;
    if (args->n_operands < command->min_operands)
        return err_set(err, ERR_INVALID, "%s needs %s", command->name,
                       command->kind == OPERAND_ID        ? "the id of a job"
                       : command->kind == OPERAND_COMMAND ? "a command to run"
                                                          : command->operands);
    if (command->max_operands >= 0 && args->n_operands > command->max_operands)
        return err_set(err, ERR_INVALID, "%s does not take \"%.60s\"", command->name,
                       args->operands[command->max_operands]);
    for (int i = 0; i < args->n_operands; i++) {
        const char *word = args->operands[i];
        if (!text_is_utf8(slice_of(word)))
            return err_set(err, ERR_INVALID, "argument %d is not text in UTF-8", i + 1);
        /* It becomes a part of a path. */
        if (command->kind == OPERAND_ID &&
            (!text_is_token(slice_of(word), 64) || strchr(word, '.') != NULL))
            return err_set(err, ERR_INVALID, "\"%.60s\" is not the id of a job", word);
    }
    return true;
}

bool args_read(const struct command *command, int argc, char **argv, struct args *ret,
               struct err *err)
{
    PRE(argc >= 1);
    struct getopt_tables tables;
    getopt_tables_fill(&tables, command);
    *ret = (struct args){.command = command};
    ret->env.items = must_alloc((size_t)argc * sizeof(char *));
    ret->label.items = must_alloc((size_t)argc * sizeof(char *));
    opterr = 0;
    optind = 0; /* glibc: start anew, also when another line was read before */
    for (;;) {
        int code = getopt_long(argc, argv, tables.letters, tables.longs, NULL);
        if (code == -1)
            break;
        const struct option_row *row = code == '?' || code == ':'
                                           ? NULL
                                           : row_of(code, (uint32_t)command->bit);
        if (row == NULL ? !option_refuse(ret, code, argv, err)
                        : !option_store(ret, row, optarg, err)) {
            args_release(ret);
            return false;
        }
    }
    ret->operands = argv + optind;
    ret->n_operands = argc - optind;
    if (operands_check(ret, err))
        return true;
    args_release(ret);
    return false;
}

void args_release(struct args *args)
{
    free(args->env.items);
    free(args->label.items);
    *args = (struct args){0};
}

int64_t args_duration_us(const struct args *args, enum option_id id, int64_t fallback)
{
    int64_t us = fallback;
    if (args_has(args, id) && !text_to_duration_us(slice_of(args->value[id]), &us))
        return fallback;
    return us;
}

int64_t args_integer(const struct args *args, enum option_id id, int64_t fallback)
{
    int64_t number = fallback;
    if (args_has(args, id) && !text_to_i64(slice_of(args->value[id]), &number))
        return fallback;
    return number;
}
