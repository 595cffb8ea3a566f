/* SPDX-License-Identifier: MIT */
/* A command line, read and checked against the tables. */
#ifndef GANGER_CLI_ARGS_H
#define GANGER_CLI_ARGS_H

#include "cli/table.h"

struct args_words {
    const char **items; /* borrowed words of argv */
    size_t n;
};

struct args {
    const struct command *command;
    const char *value[OPT_COUNT]; /* NULL: not given; a flag that is given is "" */
    struct args_words input, output;
    struct args_words env, label, depends_on, arg_file, kwarg; /* every value of these options */
    char **operands;                                           /* borrowed from argv */
    int n_operands;
};

/* argv[0] is the command's name. On failure the detail says what is wrong and what to do; the exit
 * code is then CLI_USAGE. Reorders argv like getopt_long(3). With --help the number of operands is
 * not checked. */
MUST_CHECK bool args_read(const struct command *command, int argc, char **argv, struct args *ret,
                          struct err *err);
void args_release(struct args *args);

static inline bool args_has(const struct args *args, enum option_id id)
{
    return args->value[id] != NULL;
}

/* Values that args_read has checked already. `fallback` when the option is not given. */
int64_t args_duration_us(const struct args *args, enum option_id id, int64_t fallback);
uint64_t args_deadline_ns(const struct args *args); /* of --timeout of a wait, from now; 0: none */
int64_t args_integer(const struct args *args, enum option_id id, int64_t fallback);

/* The value of --halt. */
enum halt_when { HALT_NEVER, HALT_SOON, HALT_NOW };
struct halt {
    enum halt_when when;
    int64_t failures; /* ≥ 1, unless never */
};
/* False when it is not one. */
MUST_CHECK bool args_halt(const char *value, struct halt *ret);

#endif
