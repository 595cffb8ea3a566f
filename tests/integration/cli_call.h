/* SPDX-License-Identifier: MIT */
/* Calls of the client subcommands, as a person or a script makes them: the real binary, which finds
 * the server by GANGER_DATA. Outputs go to files, so that none of them can fill a pipe and block.
 */
#ifndef GANGER_TESTS_CLI_CALL_H
#define GANGER_TESTS_CLI_CALL_H

#include "integration/harness_test.h"

#define WORDS(...) ((const char *[]){__VA_ARGS__, NULL})

struct cli_call {
    pid_t pid;
    int code; /* 128 + N after a signal, as a shell says it */
    char out_path[80], err_path[80];
    char *out, *err; /* after cli_call_end */
    size_t out_len;
};
void cli_call_release(struct cli_call *c);
#define AUTO_CALL __attribute__((cleanup(cli_call_release), unused)) struct cli_call

/* `input`: a file, or NULL for /dev/null. */
void cli_call_start_in(struct cli_call *c, const char *dir, const char *input, const char **words);
void cli_call_start(struct cli_call *c, struct server *s, const char **words);
/* Waits for the end, up to 60 s. */
void cli_call_end(struct cli_call *c);
void cli_call_run(struct cli_call *c, struct server *s, const char **words);

void expect_code(const struct cli_call *c, int code);
void expect_out(const struct cli_call *c, const char *text);
void expect_err_has(const struct cli_call *c, const char *text);

/* A submission whose one line of stdout is the id. */
struct job_ref cli_submit(struct server *s, const char **words);

/* The service does not start with this text as its configuration, and says so with `needle`. */
void expect_no_start(const char *text, const char *needle);

bool file_has(const char *path, const char *text);
/* A file of the test with these bytes; its path. */
struct text file_with(const struct server *s, const char *name, const void *bytes, size_t len);

/* Runs the client with a terminal as stdin, stdout and stderr, and wants exit code 0; what appeared
 * is returned, and freed by the caller. `extra_env` is one more variable, "K=V". */
char *cli_on_terminal(struct server *s, char *extra_env, const char **words);
/* The same; when `text` has appeared, `keys` are typed, or the job that reads `fifo` may go on. */
struct typed {
    const char *text, *keys, *fifo;
};
char *cli_typing(struct server *s, const struct typed *typed, const char **words);

#endif
