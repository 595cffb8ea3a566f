/* SPDX-License-Identifier: MIT */
#include "cli/args.h"

#include <getopt.h>
#include <limits.h>

#include "service/base/job.h"
#include "service/base/json.h"
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

static bool is_rate(const char *value)
{
    const char *slash = strchr(value, '/');
    int64_t n = 0, us = 0;
    return strcmp(value, "none") == 0 ||
           (slash != NULL && text_to_i64((struct slice){value, (size_t)(slash - value)}, &n) &&
            n > 0 && text_to_duration_us(slice_of(slash + 1), &us) && us > 0);
}

/* `choices` is "a|b|c". */
static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);
    for (const char *word = choices; len > 0; word += strcspn(word, "|") + 1) {
        size_t n = strcspn(word, "|");
        if (n == len && memcmp(word, value, n) == 0)
            return true;
        if (word[n] == '\0')
            return false;
    }
    return false;
}

bool args_halt(const char *value, struct halt *ret)
{
    static const struct {
        const char *prefix;
        enum halt_when when;
    } forms[] = {{"soon,fail=", HALT_SOON}, {"now,fail=", HALT_NOW}};
    int64_t n = 0;
    *ret = (struct halt){0};
    if (strcmp(value, "never") == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        size_t len = strlen(forms[i].prefix);
        if (strncmp(value, forms[i].prefix, len) != 0)
            continue;
        *ret = (struct halt){forms[i].when, 0};
        if (!text_to_i64(slice_of(value + len), &n) || n < 1 || n > INT_MAX)
            return false;
        ret->failures = n;
        return true;
    }
    return false;
}

static bool is_json(struct slice text)
{
    return json_validate(text, JSON_LIMITS_DEFAULT, NULL);
}

static bool is_json_of(struct slice text, enum json_type type)
{
    return is_json(text) && json_type_of(json_trim(text)) == type;
}

/* NULL when the value fits its kind, else what the kind wants. */
static const char *value_wants(const struct option_row *row, const char *value)
{
    struct slice s = slice_of(value);
    struct halt halt;
    const char *equals = strchr(value, '=');
    int64_t number = 0;
    uint64_t bytes = 0;
    switch (row->kind) {
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
    case KIND_ID: return operand_kinds[OPERAND_ID].fits(value) ? NULL : "the id of a job or batch";
    case KIND_CHOICE: return is_choice(row->value, value) ? NULL : row->value;
    case KIND_HALT: return args_halt(value, &halt) ? NULL : "never, soon,fail=N or now,fail=N";
    case KIND_RATE: return is_rate(value) ? NULL : "a rate like 10/1s, or none";
    case KIND_JSON: return is_json(s) ? NULL : "JSON";
    case KIND_ARRAY: return is_json_of(s, JSON_ARRAY) ? NULL : "a JSON array";
    case KIND_OBJECT: return is_json_of(s, JSON_OBJECT) ? NULL : "a JSON object";
    case KIND_PROGRAM:
        return text_is_utf8(s) && (value[0] != '[' || is_json_of(s, JSON_ARRAY))
                   ? NULL
                   : "words, or a JSON array of them";
    case KIND_FUNCTION: return text_is_token(s, 64) ? NULL : "the name of a function";
    }
    return "something else";
}

/* Where the values of an option go that may be given several times. */
static struct args_words *words_of(struct args *args, enum option_id id)
{
    return id == OPT_ENV          ? &args->env
           : id == OPT_LABEL      ? &args->label
           : id == OPT_DEPENDS_ON ? &args->depends_on
           : id == OPT_INPUT      ? &args->input
           : id == OPT_OUTPUT     ? &args->output
           : id == OPT_ARG_FILE   ? &args->arg_file
           : id == OPT_KWARG      ? &args->kwarg
                                  : NULL;
}

static bool option_store(struct args *args, const struct option_row *row, const char *value,
                         struct err *err)
{
    if (value == NULL)
        value = "";
    const char *wants = value_wants(row, value);
    if (wants != NULL)
        return err_set(err, ERR_INVALID, "--%s wants %s, not \"%.60s\"", row->name, wants, value);
    struct args_words *words = words_of(args, row->id);
    if (words != NULL)
        words->items[words->n++] = value;
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
    const char *near = option_near(name, args->command->bit);
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
    if (command->kind == OPERAND_COMMAND || command->kind == OPERAND_CALL)
        t->letters[at++] = '+';
    t->letters[at++] = ':';
    for (size_t i = 0; i < n_option_rows; i++) {
        const struct option_row *row = &option_rows[i];
        if ((row->commands & command->bit) == 0)
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

static const struct option_row *row_of(int code, command_set command)
{
    if (code >= LONG_BASE)
        return &option_rows[code - LONG_BASE];
    for (size_t i = 0; i < n_option_rows; i++) {
        if (option_rows[i].letter == code && (option_rows[i].commands & command) != 0)
            return &option_rows[i];
    }
    return NULL;
}

/* What a command is told to want that misses an operand, or has another. */
static const char *operand_wanted(const struct command *command)
{
    const char *wanted = operand_kinds[command->kind].wanted;
    return wanted != NULL ? wanted : command->operands;
}

static bool operand_check(const struct command *command, int i, const char *word, struct err *err)
{
    const struct operand_row *kind = &operand_kinds[command->kind];
    const bool is_item = command->bit == IN_BATCH_ADD && i > 0; /* they follow the batch's id */
    if (!text_is_utf8(slice_of(word)))
        return err_set(err, ERR_INVALID, "argument %d is not text in UTF-8", i + 1);
    return is_item || kind->fits == NULL || kind->fits(word) ||
           err_set(err, ERR_INVALID, "\"%.60s\" is not %s", word, operand_wanted(command));
}

static bool operands_check(const struct args *args, struct err *err)
{
    const struct command *command = args->command;
    if (args_has(args, OPT_HELP))
        return true;
    if (args->n_operands < command->min_operands)
        return err_set(err, ERR_INVALID, "%s needs %s", command->name, operand_wanted(command));
    if (command->max_operands >= 0 && args->n_operands > command->max_operands)
        return err_set(err, ERR_INVALID, "%s does not take \"%.60s\"", command->name,
                       args->operands[command->max_operands]);
    for (int i = 0; i < args->n_operands; i++) {
        if (!operand_check(command, i, args->operands[i], err))
            return false;
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
    ret->depends_on.items = must_alloc((size_t)argc * sizeof(char *));
    ret->arg_file.items = must_alloc((size_t)argc * sizeof(char *));
    ret->kwarg.items = must_alloc((size_t)argc * sizeof(char *));
    ret->input.items = must_alloc((size_t)argc * sizeof(char *));
    ret->output.items = must_alloc((size_t)argc * sizeof(char *));
    opterr = 0;
    optind = 0; /* glibc: start anew, also when another line was read before */
    for (;;) {
        int code = getopt_long(argc, argv, tables.letters, tables.longs, NULL);
        if (code == -1)
            break;
        const struct option_row *row = code == '?' || code == ':' ? NULL
                                                                  : row_of(code, command->bit);
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
    free(args->depends_on.items);
    free(args->arg_file.items);
    free(args->kwarg.items);
    free(args->input.items);
    free(args->output.items);
    *args = (struct args){0};
}

int64_t args_duration_us(const struct args *args, enum option_id id, int64_t fallback)
{
    int64_t us = fallback;
    if (args_has(args, id) && !text_to_duration_us(slice_of(args->value[id]), &us))
        return fallback;
    return us;
}

uint64_t args_deadline_ns(const struct args *args)
{
    if (!args_has(args, OPT_WAIT_TIMEOUT))
        return 0;
    return clock_mono_ns() + (uint64_t)args_duration_us(args, OPT_WAIT_TIMEOUT, 0) * 1000;
}

int64_t args_integer(const struct args *args, enum option_id id, int64_t fallback)
{
    int64_t number = fallback;
    if (args_has(args, id) && !text_to_i64(slice_of(args->value[id]), &number))
        return fallback;
    return number;
}
