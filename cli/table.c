/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include "cli/commands.h"
#include "service/base/job.h"

#define IN_ALL (~(uint32_t)IN_SERVE)
#define IN_CLIENTS (IN_ALL & ~(uint32_t)(IN_COMPLETION | IN_HELP))
#define IN_BUT_LS (IN_CLIENTS & ~(uint32_t)IN_LS)
#define IN_NEW (IN_RUN | IN_SUBMIT)
#define ANY_NUMBER (-1)

#define JOB_CODE                                                                           \
    "The exit code is the job's: its own when it ended by itself, 128+N after signal N,\n" \
    "124 when a time limit ended it, 126 or 127 when its command could not be started,\n"  \
    "125 when ganger failed.\n"

/* clang-format off */
const struct command commands[] = {
    {IN_SERVE, "serve", NULL, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Start the service.",
     "Options and configuration: ganger serve --help, or docs/configuration.md.\n",
     "  ganger serve\n"
     "  ganger serve --data /srv/ganger --listen 127.0.0.1:0 --workers 4\n"},

    {IN_RUN, "run", command_run, "[OPTION…] [--] COMMAND [ARGUMENT…]", OPERAND_COMMAND, 1, ANY_NUMBER,
     true,
     "Submit a command, show its output live, end with its exit code.",
     "The command is a job like any other: durable once accepted, run by a worker of the\n"
     "service in a directory of its own and with a clean environment (--cwd, --env).\n"
     "Its stdout and stderr arrive on the same descriptors here. Standard input is sent\n"
     "along when it is not a terminal (up to 1 MiB; --no-stdin to keep it).\n"
     "Ctrl-C ends only this client, at once: the job goes on, and a line says how to\n"
     "follow or cancel it. A restart of the server is waited out for a minute.\n" JOB_CODE,
     "  ganger run -- date\n"
     "  echo hello | ganger run -- tr a-z A-Z\n"
     "  ganger run --timeout 5m --env LANG -- make -C /srv/project\n"},

    {IN_SUBMIT, "submit", command_submit, "[OPTION…] [--] COMMAND [ARGUMENT…]", OPERAND_COMMAND,
     0, ANY_NUMBER, false,
     "Submit a command and print the id of its job.",
     "When the id is printed the job is on disk. With --wait it then waits for the end and\n"
     "takes the job's exit code (see: ganger help wait). Every submission carries an\n"
     "Idempotency-Key, so that trying again never makes a second job.\n"
     "--from reads one job per line, each a JSON object as POST /v1/jobs takes it, and\n"
     "prints one id per line; lines that are refused are named on stderr, and the exit\n"
     "code is then 1.\n",
     "  ganger submit --queue media --retries 3 -- convert in.png out.webp\n"
     "  id=$(ganger submit -- sleep 60)\n"
     "  ganger submit --from jobs.ndjson\n"},

    {IN_WAIT, "wait", command_wait, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, true,
     "Wait until jobs have ended.",
     JOB_CODE
     "With several ids it waits for all; the code is that of the first one, in the order\n"
     "given, that did not succeed. Time running out (--timeout) is 124, and the jobs go on.\n",
     "  ganger wait 01990b6e-…\n"
     "  ganger wait --timeout 30s $(ganger ls -q --label batch=7)\n"},

    {IN_SHOW, "show", command_show, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Show all facts about jobs.",
     "With --json each job is one line, as the service sent it.\n",
     "  ganger show 01990b6e-…\n"
     "  ganger show --json 01990b6e-… | jq .usage\n"},

    {IN_LS, "ls", command_ls, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "List jobs, newest first.",
     "With --json each job is one line. -q and --plain print ids only.\n",
     "  ganger ls --state running\n"
     "  ganger ls --queue media --label tenant=a --limit 100\n"},

    {IN_LOGS, "logs", command_logs, "[OPTION…] ID", OPERAND_ID, 1, 1, false,
     "Print what a job has written.",
     "The job's stdout goes to stdout and its stderr to stderr. --stdout or --stderr picks\n"
     "one of them, which then goes to stdout. Terminal escape sequences are removed when\n"
     "the target is a terminal, unless --raw is given.\n",
     "  ganger logs -f 01990b6e-…\n"
     "  ganger logs --stderr 01990b6e-… > errors.txt\n"},

    {IN_CANCEL, "cancel", command_cancel, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "End jobs, with every process they have started.",
     "Returns when they are over. The exit code is 1 when one of them was not cancelled,\n"
     "because it had ended before or because of --if-queued.\n",
     "  ganger cancel 01990b6e-…\n"
     "  ganger cancel --signal INT --grace 30s 01990b6e-…\n"},

    {IN_RM, "rm", command_rm, "[OPTION…] ID…", OPERAND_ID, 1, ANY_NUMBER, false,
     "Forget finished jobs and their output.",
     "A job that has not ended is refused: cancel it first.\n",
     "  ganger rm $(ganger ls -q --state succeeded)\n"},

    {IN_HEALTH, "health", command_health, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Ask whether the service takes work; exit code 0 or 1.",
     "Needs no token. Made for HEALTHCHECK of a container and for scripts.\n",
     "  ganger health && echo ready\n"},

    {IN_VERSION, "version", command_version, "[OPTION…]", OPERAND_NONE, 0, 0, false,
     "Print the version of this program and of the service.",
     "A service that does not answer is no failure here.\n",
     "  ganger version --json\n"},

    {IN_COMPLETION, "completion", command_completion, "bash", OPERAND_WORD, 1, 1, false,
     "Print a completion script for a shell.",
     "Put the line below into ~/.bashrc, or the script into\n"
     "/usr/share/bash-completion/completions/ganger.\n",
     "  eval \"$(ganger completion bash)\"\n"},

    {IN_HELP, "help", command_help, "[COMMAND]", OPERAND_WORD, 0, 1, false,
     "Explain ganger, or one command.",
     "",
     "  ganger help run\n"},
};

/*   id                   name               letter kind    value     commands; help */
const struct option_row option_rows[] = {
    {OPT_AT,              "at",               0,  KIND_TIME,     "TIME",     IN_NEW,
     "Not before this time: RFC 3339, as 2026-12-01T06:00:00Z."},
    {OPT_CWD,             "cwd",              0,  KIND_FILE,     "DIR",      IN_NEW,
     "Directory of the job, on the service's machine; default: a fresh one, removed afterwards."},
    {OPT_DATA,            "data",             0,  KIND_FILE,     "DIR",      IN_CLIENTS,
     "Data directory of the service, where its socket and token are."},
    {OPT_DELAY,           "delay",            0,  KIND_DURATION, "TIME",     IN_NEW,
     "Not before so much time has passed."},
    {OPT_ENV,             "env",              'e', KIND_ENV,     "NAME[=VALUE]", IN_NEW,
     "Give the job a variable; without =VALUE, the one of this environment. Repeatable."},
    {OPT_FOLLOW,          "follow",           'f', KIND_FLAG,    NULL,       IN_LOGS,
     "Go on until the job has ended."},
    {OPT_FROM,            "from",             0,  KIND_FILE,     "FILE",     IN_SUBMIT,
     "Submit one job per line of this NDJSON file; - is stdin."},
    {OPT_GRACE,           "grace",            0,  KIND_DURATION, "TIME",     IN_CANCEL,
     "Time between the signal and SIGKILL; default: the job's own (5 s)."},
    {OPT_HELP,            "help",             'h', KIND_FLAG,    NULL,       IN_ALL,
     "Explain this command."},
    {OPT_IDEMPOTENCY_KEY, "idempotency-key",  0,  KIND_TEXT,     "KEY",      IN_NEW,
     "The same submission with the same key within 24 h is the same job; default: a random key."},
    {OPT_IF_QUEUED,       "if-queued",        0,  KIND_FLAG,     NULL,       IN_CANCEL,
     "Leave jobs alone that run already."},
    {OPT_JSON,            "json",             0,  KIND_FLAG,     NULL,
     IN_SUBMIT | IN_WAIT | IN_SHOW | IN_LS | IN_CANCEL | IN_VERSION,
     "Print JSON, one value per line."},
    {OPT_KEEP,            "keep",             0,  KIND_DURATION, "TIME",     IN_NEW,
     "How long result and output are kept after the end; default 24h."},
    {OPT_LABEL,           "label",            'l', KIND_PAIR,    "KEY=VALUE", IN_NEW,
     "A label of the job. Repeatable."},
    {OPT_LABEL,           "label",            'l', KIND_PAIR,    "KEY=VALUE", IN_LS,
     "Only jobs with this label."},
    {OPT_LIMIT,           "limit",            'n', KIND_COUNT,   "N",        IN_LS,
     "At most so many jobs; default 20."},
    {OPT_LIMIT_OUTPUT,    "limit-output",     0,  KIND_BYTES,    "SIZE",     IN_NEW,
     "Keep so much of stdout and of stderr, drop the rest; default 10MiB."},
    {OPT_NAME,            "name",             0,  KIND_TEXT,     "NAME",     IN_NEW,
     "Name of the job."},
    {OPT_NAME,            "name",             0,  KIND_TEXT,     "NAME",     IN_LS,
     "Only jobs of this name."},
    {OPT_NO_STDIN,        "no-stdin",         0,  KIND_FLAG,     NULL,       IN_RUN,
     "Leave standard input alone: the job gets none."},
    {OPT_PLAIN,           "plain",            0,  KIND_FLAG,     NULL,       IN_LS,
     "Print ids only, like -q."},
    {OPT_PRIORITY,        "priority",         'p', KIND_INTEGER, "N",        IN_NEW,
     "-100 to 100; higher runs first; default 0."},
    {OPT_QUEUE,           "queue",            0,  KIND_TEXT,     "NAME",     IN_NEW,
     "Queue of the job; default \"default\"."},
    {OPT_QUEUE,           "queue",            0,  KIND_TEXT,     "NAME",     IN_LS,
     "Only jobs of this queue."},
    {OPT_QUIET,           "quiet",            'q', KIND_FLAG,    NULL,       IN_BUT_LS,
     "No progress and no remarks."},
    {OPT_QUIET,           "quiet",            'q', KIND_FLAG,    NULL,       IN_LS,
     "Print ids only."},
    {OPT_RAW,             "raw",              0,  KIND_FLAG,     NULL,       IN_RUN | IN_LOGS,
     "Pass terminal escape sequences of the job on to the terminal."},
    {OPT_RETRIES,         "retries",          'r', KIND_COUNT,   "N",        IN_NEW,
     "Try again up to N times when it fails; default 0."},
    {OPT_SIGNAL,          "signal",           0,  KIND_SIGNAL,   "NAME",     IN_CANCEL,
     "The first signal; default: the job's own (TERM)."},
    {OPT_STATE,           "state",            0,  KIND_STATE,    "STATE",    IN_LS,
     "Only jobs in this state; several are separated by commas."},
    {OPT_STDERR,          "stderr",           0,  KIND_FLAG,     NULL,       IN_LOGS,
     "Only what it wrote to stderr."},
    {OPT_STDIN,           "stdin",            0,  KIND_FILE,     "FILE",     IN_NEW,
     "Standard input of the job, up to 1 MiB; - is stdin."},
    {OPT_STDOUT,          "stdout",           0,  KIND_FLAG,     NULL,       IN_LOGS,
     "Only what it wrote to stdout."},
    {OPT_TIMEOUT,         "timeout",          't', KIND_LIMIT,   "TIME",     IN_NEW,
     "End the job after so much running time, or \"none\"; default 1h."},
    {OPT_WAIT_TIMEOUT,    "timeout",          't', KIND_DURATION, "TIME",    IN_WAIT,
     "Wait no longer than this; exit code 124 when it runs out."},
    {OPT_WAIT,            "wait",             'w', KIND_FLAG,    NULL,       IN_SUBMIT,
     "Wait for the job's end and take its exit code."},
};
/* clang-format on */

const size_t n_commands = ARRAY_LEN(commands);
const size_t n_option_rows = ARRAY_LEN(option_rows);

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < n_commands; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

#define NEAR_MAX 24u

/* Edit distance with insertions, deletions, replacements and swaps of neighbours (Damerau's four
 * slips of the hand, "optimal string alignment"). Words beyond NEAR_MAX are far from everything. */
static size_t word_distance(const char *a, const char *b)
{
    size_t d[NEAR_MAX + 1][NEAR_MAX + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > NEAR_MAX || nb > NEAR_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= na; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            size_t replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = MIN(replaced, MIN(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[na][nb];
}

/* A slip changes up to two letters, and in a short word no more than half of them. */
static bool word_is_near(const char *word, const char *name, size_t *best)
{
    size_t distance = word_distance(word, name);
    if (distance > 2 || distance * 2 > strlen(name) || distance >= *best)
        return false;
    *best = distance;
    return true;
}

const char *command_near(const char *word)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n_commands; i++) {
        if (word_is_near(word, commands[i].name, &best))
            near = commands[i].name;
    }
    return near;
}

const char *option_near(const char *word, uint32_t command)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n_option_rows; i++) {
        if ((option_rows[i].commands & command) != 0 &&
            word_is_near(word, option_rows[i].name, &best))
            near = option_rows[i].name;
    }
    return near;
}

void table_put_states(struct buf *out)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        if (i > 0)
            buf_putc(out, ' ');
        buf_puts(out, job_state_name((enum job_state)i));
    }
}
