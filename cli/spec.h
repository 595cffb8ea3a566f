/* SPDX-License-Identifier: MIT */
/* The body of POST /v1/jobs, from the options and operands of `run` and `submit`. */
#ifndef GANGER_CLI_SPEC_H
#define GANGER_CLI_SPEC_H

#include "cli/args.h"
#include "service/base/buf.h"

/* What the service takes as one body by default (http.max_body). */
#define SPEC_MAX ((size_t)1 << 20)
#define SPEC_LARGE_INPUT                                                               \
    "put large input into a file and let the command read that, as in: ganger run -- " \
    "sh -c 'sort < /srv/big.txt'"

/* Appends the JSON object to `out`. Reads the standard input of the job: the file of --stdin, or
 * this process's own when `sends_stdin`; blocks until that ends. */
MUST_CHECK bool spec_write(const struct args *args, bool sends_stdin, struct buf *out,
                           struct err *err);

/* What runs: a command, or a registered function with its arguments. */
struct spec_task {
    const char *function; /* NULL: the words are a command */
    char *const *words;
    int n;
};
/* From the operands up to `n`, and --function or the first operand of `call`. */
struct spec_task spec_task_of(const struct args *args, int n);
/* `command`; or `function`, `args` and `kwargs`. */
MUST_CHECK bool spec_put_task(const struct spec_task *task, const struct args *args,
                              struct buf *out, struct err *err);

/* Its parts, for bodies that hold a job's members among others. Each goes into an object that has
 * begun, after what is there. */
void spec_put_command(struct buf *out, char *const *words, int n);
/* All options but the command and its input. */
MUST_CHECK bool spec_put_members(const struct args *args, struct buf *out, struct err *err);
/* `stdin`, from the file of --stdin or this process's own. */
MUST_CHECK bool spec_put_stdin(const struct args *args, struct buf *out, struct err *err);

/* A word as JSON: what it is when it is JSON and `is_string` is false, else a string. */
void spec_put_value(struct buf *out, struct slice word, bool is_string);

#endif
