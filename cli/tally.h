/* SPDX-License-Identifier: MIT */
/* Results of a batch printed and counted, for `map` and `batch results`: the bar, the log, --halt
 * and the exit code. */
#ifndef GANGER_CLI_TALLY_H
#define GANGER_CLI_TALLY_H

#include "cli/args.h"
#include "cli/joblog.h"
#include "cli/results.h"

struct tally {
    struct cli *cli;
    char batch[37];
    struct results *results; /* NULL until it has begun */
    struct joblog *log;      /* borrowed, or NULL */
    int keep_fd;             /* the directory of --results; -1: none */
    struct halt halt;
    struct buf states; /* of each index, one byte: enum job_state + 1, or 0 */
    int64_t total;     /* items that are known; -1: unknown */
    bool all_sent;     /* total is final */
    int64_t n_done, n_failed, n_cancelled;
    bool halted;
    int halt_code; /* of the job that caused it */
    uint64_t since_ns, bar_ns;
};
void tally_init(struct tally *tally, struct cli *cli);
void tally_release(struct tally *tally);

/* Follows this batch, if it does not yet. */
MUST_CHECK bool tally_begin(struct tally *tally, const char *batch, struct err *err);
/* Prints one result, if one is here: *ret_any. */
MUST_CHECK bool tally_step(struct tally *tally, bool *ret_any, struct err *err);
/* Waits, as results_turn; shows the bar. */
MUST_CHECK bool tally_turn(struct tally *tally, int timeout_ms, struct err *err);
bool tally_is_over(const struct tally *tally);
bool tally_is_halted(const struct tally *tally);
/* One result, printed, logged and counted. */
MUST_CHECK bool tally_result(struct tally *tally, struct slice text, struct err *err);
/* What GNU parallel would end with. */
int tally_exit_code(const struct tally *tally);

#endif
