/* SPDX-License-Identifier: MIT */
/* What one job of a batch has written, printed whole. */
#ifndef GANGER_CLI_EMIT_H
#define GANGER_CLI_EMIT_H

#include "cli/cli.h"
#include "cli/json.h"

/* One element of a stream of results, or of its array. */
struct result {
    struct slice raw; /* checked */
    int64_t index;
    char id[37];
    enum job_state state;
    enum job_reason reason;
    bool has_exit_code;
    int64_t exit_code;
};
MUST_CHECK bool result_read(struct slice text, struct result *ret, struct err *err);

/* "failed: exit code 3" and the like. */
void result_put_words(const struct result *result, struct buf *out);
/* The exit code of its process, or what stands for it when there was none. */
int result_exit_code(const struct result *result);

/* Prints the job's stdout to stdout and its stderr to stderr. What the result does not hold is
 * asked for. */
MUST_CHECK bool emit_result(struct cli *cli, const struct result *result, struct err *err);

/* One of a job's outputs, "stdout" or "stderr", or its "result", to a descriptor; a result that is
 * JSON ends with a line break. */
MUST_CHECK bool emit_bytes(struct cli *cli, const char *id, const char *what, int fd,
                           struct err *err);

#endif
