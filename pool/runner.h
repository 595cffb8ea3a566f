/* SPDX-License-Identifier: MIT */
/* Warm runners of a worker: programs that it has started once and feeds with one task after another
 * (docs/runner-protocol.md). Owner: the worker; one runner for each function, the least recently
 * used goes when there are too many.
 *
 * 1. A runner is a child of the nursery's thread, so no end of a task waits for it (nursery.h).
 * 2. Each task gets one answer: a final frame, or the runner's death.
 * 3. Nothing that a runner does can block the worker: all pipes are non-blocking on this side. */
#ifndef GANGER_POOL_RUNNER_H
#define GANGER_POOL_RUNNER_H

#include "pool/drive.h"
#include "pool/inputs.h"
#include "service/base/function.h"
#include "service/base/log.h"

#include <poll.h>

struct runner;
struct runner_past;
struct nursery;

#define RUNNERS_MAX 8 /* of one worker */
#define RUNNERS_MAX_FDS (RUNNERS_MAX * 4)

struct runners {
    const struct drive_io *io; /* borrowed, as all that follows */
    const struct log *log;
    const struct function_list *functions;
    const char *path;
    const char *marker; /* "GANGER_RUN=<mark>", or "" */
    struct nursery *nursery;
    uint32_t isolation;  /* of the pool: enum pool_isolation */
    struct arena arena;  /* holds `own` */
    struct function own; /* the program of the pool, with the pool's name; no argv: it has none */
    char why[TASK_ERROR_TEXT]; /* why that does not start any more; "": it does */
    struct runner *places;     /* RUNNERS_MAX; NULL: none was ever started */
    struct runner_past *past;  /* one for each function, and one for the pool's own program */
};

/* Starts the program of the worker's pool, if it has one, and waits until it is ready. INTERNAL
 * says why it does not come up, with its last line of stderr; it may be there then. */
MUST_CHECK bool runners_open(struct runners *all, const struct slot_program *program,
                             struct err *err);
/* Runs a task of kind RUNNER; the bank holds the outcome unless it is DRIVE_ABANDONED. */
enum drive_result runners_run(struct runners *all, struct bank *bank, const struct inputs *inputs);

/* While no task runs: what runners say then, whether they live. Fills `fds`, returns how many. */
size_t runners_watch(const struct runners *all, struct pollfd fds[RUNNERS_MAX_FDS]);
void runners_attend(struct runners *all);
int runners_wait_ms(const struct runners *all); /* until attend has something to do; -1: never */
/* Those that could not be killed in time, and still are there. */
uint32_t runners_stuck(struct runners *all);
/* Ends all with all that they have forked. */
void runners_end(struct runners *all);

#endif
