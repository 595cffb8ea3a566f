/* SPDX-License-Identifier: MIT */
/* The command line in two tables: every command once, every option once. Parsing, --help, "did you
 * mean", the bash completion and docs/cli.md are made from their rows. */
#ifndef GANGER_CLI_TABLE_H
#define GANGER_CLI_TABLE_H

#include "cli/cli.h"
#include "service/base/buf.h"

typedef int command_fn(struct cli *cli);

/* Bit of each command, for the column "commands" of the options. */
enum command_bit {
    IN_SERVE = 1 << 0,
    IN_RUN = 1 << 1,
    IN_SUBMIT = 1 << 2,
    IN_WAIT = 1 << 3,
    IN_SHOW = 1 << 4,
    IN_LS = 1 << 5,
    IN_LOGS = 1 << 6,
    IN_CANCEL = 1 << 7,
    IN_RM = 1 << 8,
    IN_HEALTH = 1 << 9,
    IN_VERSION = 1 << 10,
    IN_COMPLETION = 1 << 11,
    IN_HELP = 1 << 12
};

enum operand_kind { OPERAND_NONE, OPERAND_COMMAND, OPERAND_ID, OPERAND_WORD };

struct command {
    enum command_bit bit;
    const char *name;
    command_fn *run;                /* NULL: `serve`, which main dispatches */
    const char *operands;           /* as shown in the usage line */
    enum operand_kind kind;         /* OPERAND_COMMAND: the first one ends the options */
    int min_operands, max_operands; /* max < 0: any number */
    bool code_is_job;     /* its exit code is the job's, so its own failures are CLI_GANGER */
    const char *summary;  /* one line */
    const char *about;    /* paragraphs for --help and docs/cli.md */
    const char *examples; /* lines, shown first in --help */
};

/* What the value of an option must be; checked before anything is sent. */
enum option_kind {
    KIND_FLAG, /* has none */
    KIND_TEXT,
    KIND_FILE,
    KIND_COUNT, /* 0 … 2^31-1 */
    KIND_INTEGER,
    KIND_DURATION, /* "250ms" "30s" "5m" or seconds */
    KIND_LIMIT,    /* a duration, or "none" */
    KIND_BYTES,
    KIND_TIME,
    KIND_PAIR, /* KEY=VALUE; may be given several times */
    KIND_ENV,  /* NAME=VALUE, or NAME to copy it from here; may be given several times */
    KIND_SIGNAL,
    KIND_STATE
};

enum option_id {
    OPT_AT,
    OPT_CWD,
    OPT_DATA,
    OPT_DELAY,
    OPT_ENV,
    OPT_FOLLOW,
    OPT_FROM,
    OPT_GRACE,
    OPT_HELP,
    OPT_IDEMPOTENCY_KEY,
    OPT_IF_QUEUED,
    OPT_JSON,
    OPT_KEEP,
    OPT_LABEL,
    OPT_LIMIT,
    OPT_LIMIT_OUTPUT,
    OPT_NAME,
    OPT_NO_STDIN,
    OPT_PLAIN,
    OPT_PRIORITY,
    OPT_QUEUE,
    OPT_QUIET,
    OPT_RAW,
    OPT_RETRIES,
    OPT_SIGNAL,
    OPT_STATE,
    OPT_STDERR,
    OPT_STDIN,
    OPT_STDOUT,
    OPT_TIMEOUT,
    OPT_WAIT,
    OPT_WAIT_TIMEOUT,
    OPT_COUNT
};

struct option_row {
    enum option_id id;
    const char *name; /* without the dashes; a name may stand in two rows of different commands */
    char letter;      /* or 0 */
    enum option_kind kind;
    const char *value; /* its name in the help, or NULL */
    uint32_t commands; /* enum command_bit */
    const char *help;
};

extern const struct command commands[];
extern const size_t n_commands;
extern const struct option_row option_rows[]; /* by name: this is the order of the help */
extern const size_t n_option_rows;

const struct command *command_find(const char *name); /* NULL when there is none */
/* A name of the list that is near to `word`, or NULL. */
const char *command_near(const char *word);
const char *option_near(const char *word, uint32_t command);

/* Names of job states, separated by one space, for the completion. */
void table_put_states(struct buf *out);

#endif
