/* SPDX-License-Identifier: MIT */
/* Asking for one job, and waiting for its end by long polls (ETag and Prefer: wait). */
#ifndef GANGER_CLI_WATCH_H
#define GANGER_CLI_WATCH_H

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/json.h"

/* The newest look at a job. Owner: who initialised it. */
struct watch {
    struct cli *cli;
    const char *id; /* borrowed; a path component, checked by args_read */
    struct reply reply;
    struct arena arena;
    struct json_job job;
    uint64_t since_ns; /* begin of the watch, for the progress line */
};
#define AUTO_WATCH __attribute__((cleanup(watch_release)))
void watch_init(struct watch *w, struct cli *cli, const char *id);
void watch_release(struct watch *w);

/* Asks now. */
MUST_CHECK bool watch_look(struct watch *w, struct err *err);
/* Waits up to wait_s for a change since the last look; what is then true is in `job`. */
MUST_CHECK bool watch_change(struct watch *w, uint32_t wait_s, struct err *err);
/* Looks until the job is done or `deadline_ns` (clock_mono_ns; 0 = none) has passed: then
 * *ret_timed_out. Shows the progress line. */
MUST_CHECK bool watch_end(struct watch *w, uint64_t deadline_ns, bool *ret_timed_out,
                          struct err *err);

/* For commands that wait without a watch: remarks of the client become notes. `owner` is the
 * struct output. */
void watch_tick_remarks(void *owner, const char *remark);

#endif
