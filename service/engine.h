/* SPDX-License-Identifier: MIT */
/* The engine: one thread owns the truth. Each turn is collect → apply → commit → publish; no effect
 * leaves before the commit that authorises it. Owner of everything behind this header: the engine
 * thread (main), except the functions marked "any thread". */
#ifndef GANGER_SERVICE_ENGINE_H
#define GANGER_SERVICE_ENGINE_H

#include "service/base/config.h"
#include "service/base/log.h"
#include "service/base/metrics.h"
#include "service/command.h"

struct engine;
struct pool;

struct engine_parts {
    const struct config *cfg;
    const struct log *log;
    struct metrics *metrics;
    struct pool *pool; /* open; borrowed */
    int signal_fd;     /* signalfd with SIGTERM, SIGINT, SIGCHLD; borrowed */
    const char *url;   /* of the unix socket, for GANGER_URL of jobs */
};

/* Opens the store, recovers what a dead server left. */
MUST_CHECK bool engine_open(const struct engine_parts *parts, struct engine **ret_engine,
                            struct err *err);
/* Turns until a drain ends or a failure stops the service. Returns the exit code of `ganger serve`.
 * When it returns, every command has come back, and engine_reserve refuses. */
int engine_run(struct engine *engine);
/* After the HTTP threads have ended. */
void engine_close(struct engine *engine);

/* Any thread. Takes one place in the inbox; must be followed by engine_post. Fails with OVERLOADED
 * or DRAINING (submissions only: `submits`). */
MUST_CHECK bool engine_reserve(struct engine *engine, bool submits, struct err *err);
/* Any thread: whose token this is (job_token.h), or was; false: nobody's ever. */
MUST_CHECK bool engine_job_token(const struct engine *engine, struct slice secret,
                                 struct job_id *ret, uint32_t *ret_attempt);
/* Any thread, without blocking. The command belongs to the engine now; engine_wake must follow
 * before the caller sleeps. */
void engine_post(struct engine *engine, struct command *cmd);
/* Any thread: once per round of its loop, however many commands it has posted. */
void engine_wake(struct engine *engine);
/* Any thread: load *before* beginning the read whose outcome decides whether to park. */
uint32_t engine_epoch(const struct engine *engine, uint64_t topic);

/* Any thread: the group (command.h) is not used any more; the engine frees it. Its command must
 * have come back. */
void engine_leave(struct engine *engine, struct park_group *group);

enum engine_phase { PHASE_STARTING, PHASE_RUNNING, PHASE_DRAINING, PHASE_STOPPED };
enum engine_phase engine_phase(const struct engine *engine); /* any thread */

/* For the thread that makes the callbacks (callbacks.h). The descriptor becomes readable when one
 * has become due, or the phase has changed; -1 when none are configured. `began` counts a try until
 * its CMD_DELIVERED has been stored: a drain waits for it. */
int engine_delivery_fd(const struct engine *engine);
void engine_delivery_began(struct engine *engine);

/* Numbers for /v1/stats, /v1/pool, /metrics: a snapshot that the engine refreshes after each commit
 * that changed it. Any thread. */
struct engine_stats {
    int64_t count[JOB_STATE_COUNT];
    uint64_t wal_bytes;
    uint64_t parked;
    uint64_t turns, commits;
    int64_t started_us; /* of the service */
    int64_t deliveries; /* pending callbacks */
    int64_t blobs;
    uint64_t blob_bytes, blob_memory; /* on disk; of those that are in memory as well */
    bool disk_low;
};
void engine_stats(const struct engine *engine, struct engine_stats *ret);

/* Whether any queue has defaults for its jobs: as of the last commit. Any thread. */
bool engine_has_defaults(const struct engine *engine);

const struct config *engine_config(const struct engine *engine);
_Atomic uint32_t *engine_awake(struct engine *engine); /* any thread: for its struct rest */
struct metrics *engine_metrics(struct engine *engine);
const struct log *engine_log(const struct engine *engine);
/* A pool as of the last commit; name "": there is none. Any thread. */
void engine_pool_view(const struct engine *engine, uint32_t pool, struct pool_view *ret);
/* Its number; false: there is none. Any thread. */
MUST_CHECK bool engine_find_pool(const struct engine *engine, struct slice name, uint32_t *ret);
struct event_ring;
struct event_ring *engine_events(struct engine *engine);
const struct pool *engine_pool(const struct engine *engine);

#endif
