/* SPDX-License-Identifier: MIT */
/* The command line in two tables: every command once, every option once. Parsing, --help, "did you
 * mean", the bash completion and docs/cli.md are made from their rows. */
#ifndef GANGER_CLI_TABLE_H
#define GANGER_CLI_TABLE_H

#include "cli/cli.h"
#include "service/base/buf.h"

typedef int command_fn(struct cli *cli);

/* A set of commands, for the column "commands" of the options. */
typedef uint64_t command_set;
#define COMMAND_BIT(n) (UINT64_C(1) << (n))
#define IN_SERVE COMMAND_BIT(0)
#define IN_RUN COMMAND_BIT(1)
#define IN_SUBMIT COMMAND_BIT(2)
#define IN_MAP COMMAND_BIT(3)
#define IN_PIPE COMMAND_BIT(4)
#define IN_WAIT COMMAND_BIT(5)
#define IN_SHOW COMMAND_BIT(6)
#define IN_EXPLAIN COMMAND_BIT(7)
#define IN_LS COMMAND_BIT(8)
#define IN_LOGS COMMAND_BIT(9)
#define IN_EVENTS COMMAND_BIT(10)
#define IN_CANCEL COMMAND_BIT(11)
#define IN_RETRY COMMAND_BIT(12)
#define IN_RM COMMAND_BIT(13)
#define IN_BATCH_SHOW COMMAND_BIT(14)
#define IN_BATCH_RESULTS COMMAND_BIT(15)
#define IN_BATCH_ADD COMMAND_BIT(16)
#define IN_BATCH_CLOSE COMMAND_BIT(17)
#define IN_BATCH_CANCEL COMMAND_BIT(18)
#define IN_BATCH_RETRY COMMAND_BIT(19)
#define IN_QUEUE_LS COMMAND_BIT(20)
#define IN_QUEUE_SHOW COMMAND_BIT(21)
#define IN_QUEUE_SET COMMAND_BIT(22)
#define IN_QUEUE_PAUSE COMMAND_BIT(23)
#define IN_QUEUE_RESUME COMMAND_BIT(24)
#define IN_QUEUE_PURGE COMMAND_BIT(25)
#define IN_QUEUE_RM COMMAND_BIT(26)
#define IN_HEALTH COMMAND_BIT(27)
#define IN_VERSION COMMAND_BIT(28)
#define IN_COMPLETION COMMAND_BIT(29)
#define IN_HELP COMMAND_BIT(30)
#define IN_CALL COMMAND_BIT(31)
#define IN_FUNCTIONS COMMAND_BIT(32)
#define IN_POOL_SHOW COMMAND_BIT(33)
#define IN_POOL_SET COMMAND_BIT(34)
#define IN_POOL_CLOSE COMMAND_BIT(35)
#define IN_POOL_REOPEN COMMAND_BIT(36)
#define IN_POOL_TERMINATE COMMAND_BIT(37)
#define IN_POOL_JOIN COMMAND_BIT(38)
#define IN_WORKERS COMMAND_BIT(39)
#define IN_WORKER_TERMINATE COMMAND_BIT(40)
#define IN_TOP COMMAND_BIT(41)
#define IN_POOL_LS COMMAND_BIT(42)
#define IN_POOL_NEW COMMAND_BIT(43)
#define IN_POOL_RM COMMAND_BIT(44)
#define IN_BLOB_PUT COMMAND_BIT(48)
#define IN_BLOB_GET COMMAND_BIT(49)
#define IN_BLOB_LS COMMAND_BIT(50)
#define IN_BLOB_RM COMMAND_BIT(51)
#define IN_BATCH_LS COMMAND_BIT(52)
#define IN_RESULT COMMAND_BIT(53)
#define IN_CHANGE COMMAND_BIT(54)
#define IN_PS COMMAND_BIT(57)
#define IN_SIGNAL COMMAND_BIT(58)
#define IN_SUSPEND COMMAND_BIT(59)
#define IN_RESUME COMMAND_BIT(60)
#define IN_FEED COMMAND_BIT(61)

enum operand_kind {
    OPERAND_NONE,
    OPERAND_COMMAND, /* the first one ends the options */
    OPERAND_ID,      /* of jobs */
    OPERAND_BLOB,    /* the id of a blob */
    OPERAND_BATCH,   /* the id of a batch, and what more the command says */
    OPERAND_QUEUE,   /* the name of a queue */
    OPERAND_POOL,    /* the name of a pool */
    OPERAND_WORKER,  /* the name of a worker */
    OPERAND_CALL,    /* the name of a function, which ends the options, and its arguments */
    OPERAND_WORD,
    OPERAND_KIND_COUNT
};

/* What words of this kind are. */
struct operand_row {
    const char *noun;    /* the completion's name of it; NULL: it has nothing to offer */
    const char *wanted;  /* by a command that misses one; NULL: as its usage line has it */
    const char *listing; /* the command that prints those there are with -q; or NULL */
    bool (*fits)(const char *word); /* NULL: any text */
};

struct command {
    command_set bit;
    const char *name;     /* one word, or two: "queue pause" */
    command_fn *run;      /* NULL: `serve`, which main dispatches */
    const char *operands; /* as shown in the usage line */
    enum operand_kind kind;
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
    KIND_STATE,
    KIND_ID,     /* of a job or a batch; may be given several times */
    KIND_CHOICE, /* one of the words that `value` lists: "a|b|c" */
    KIND_HALT,   /* "never", "soon,fail=N" or "now,fail=N" */
    KIND_RATE,   /* "10/1s", or "none" */
    KIND_JSON,
    KIND_ARRAY, /* JSON of this type */
    KIND_OBJECT,
    KIND_PROGRAM, /* words with blanks between, or a JSON array */
    KIND_FUNCTION
};

enum option_id {
    OPT_AFTER,
    OPT_ALL,
    OPT_ANY,
    OPT_ARGS,
    OPT_ARG_FILE,
    OPT_AT,
    OPT_BAR,
    OPT_BAR_ALWAYS,
    OPT_BATCH,
    OPT_CALLBACK,
    OPT_CANCEL_QUEUED,
    OPT_CHUNKSIZE,
    OPT_CODEC,
    OPT_COLSEP,
    OPT_CONCURRENCY,
    OPT_CREATED_AFTER,
    OPT_CWD,
    OPT_DATA,
    OPT_DEADLINE,
    OPT_DEFAULTS,
    OPT_DELAY,
    OPT_DEPENDS_ON,
    OPT_DETACH,
    OPT_DRY_RUN,
    OPT_ENV,
    OPT_FIRST_ERROR,
    OPT_FOLLOW,
    OPT_FROM,
    OPT_FUNCTION,
    OPT_GRACE,
    OPT_HALT,
    OPT_HELP,
    OPT_IDEMPOTENCY_KEY,
    OPT_IDLE,
    OPT_IF_QUEUED,
    OPT_INDEXES,
    OPT_INITIALIZER,
    OPT_INPUT,
    OPT_ISOLATION,
    OPT_JOBLOG,
    OPT_JOBS,
    OPT_JSON,
    OPT_JSON_ITEMS,
    OPT_KEEP,
    OPT_KEEP_OPEN,
    OPT_KEEP_ORDER,
    OPT_KWARG,
    OPT_KWARGS,
    OPT_LABEL,
    OPT_LIMIT,
    OPT_LIMIT_MEMORY,
    OPT_LIMIT_OUTPUT,
    OPT_MAX_JOBS,
    OPT_MAX_LENGTH,
    OPT_MAX_RSS,
    OPT_MIN,
    OPT_NAME,
    OPT_NO_STDIN,
    OPT_NULL,
    OPT_ONCE,
    OPT_ON_CONFLICT,
    OPT_ON_PARENT_FAILURE,
    OPT_ON_WORKER_DEATH,
    OPT_OPEN,
    OPT_OUTPUT,
    OPT_PARENT,
    OPT_PLAIN,
    OPT_POOL,
    OPT_PRELOAD,
    OPT_PRIORITY,
    OPT_QUEUE,
    OPT_QUEUE_TIMEOUT,
    OPT_QUIET,
    OPT_RATE,
    OPT_RAW,
    OPT_REASON,
    OPT_RESULTS,
    OPT_RETRIES,
    OPT_RUNNER,
    OPT_SIGNAL,
    OPT_SIZE,
    OPT_STATE,
    OPT_STDERR,
    OPT_STDIN,
    OPT_STDIN_BLOB,
    OPT_STDIN_FROM,
    OPT_STDIN_OPEN,
    OPT_STDOUT,
    OPT_STRINGS,
    OPT_TIMEOUT,
    OPT_TREE,
    OPT_UNIQUE,
    OPT_WAIT,
    OPT_WAIT_TIMEOUT,
    OPT_WEIGHT,
    OPT_YES,
    OPT_COUNT
};

struct option_row {
    enum option_id id;
    const char *name; /* without the dashes; a name may stand in two rows of different commands */
    char letter;      /* or 0 */
    enum option_kind kind;
    const char *value; /* its name in the help, or NULL */
    command_set commands;
    const char *help;
};

extern const struct command commands[];
extern const size_t n_commands;
extern const struct operand_row operand_kinds[OPERAND_KIND_COUNT];
extern const struct option_row option_rows[]; /* by name: this is the order of the help */
extern const size_t n_option_rows;

const struct command *command_find(const char *name); /* NULL when there is none */
/* True for the first word of commands that have two: "queue". */
bool command_is_group(const char *word);
/* The second words of a group: "ls, new, show". */
void command_put_verbs(const char *group, struct buf *out);
const char *option_name(enum option_id id);
/* A name of the list that is near to `word`, or NULL. */
const char *command_near(const char *word);
const char *option_near(const char *word, command_set commands);

/* Names of job states, separated by one space, for the completion. */
void table_put_states(struct buf *out);

#endif
