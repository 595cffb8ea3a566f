/* SPDX-License-Identifier: MIT */
/* What a pool of workers is to clients: what an administrator has said about it, and whether it
 * takes jobs. */
#ifndef GANGER_BASE_POOL_SPEC_H
#define GANGER_BASE_POOL_SPEC_H

#include "service/base/pool_runner.h"

#define MAX_POOLS 16
#define MAX_POOL_NAME 40
#define MAX_WORKERS 1024       /* of all pools together */
#define DEFAULT_POOL "default" /* pool 0: it is always there */

enum pool_phase {
    POOL_IS_OPEN,
    POOL_IS_CLOSED,     /* takes no more jobs; those that it has taken run */
    POOL_IS_TERMINATED, /* nothing runs; what it had taken is cancelled */
    POOL_IS_BROKEN,     /* nothing runs; what it had taken fails: a death, with DEATH_BREAKS_POOL */
    POOL_PHASE_COUNT
};

/* What becomes of a job whose worker dies under it (`lost`, or how a native function died). */
enum worker_death {
    DEATH_FAILS_JOB,   /* its retry policy decides, as about any failure */
    DEATH_RETRIES_JOB, /* the same, with `lost` among the reasons of every policy */
    DEATH_BREAKS_POOL, /* all jobs of the pool fail, and it takes no more */
    DEATH_KINDS
};

/* What a pool takes, and in which process a call runs. */
enum pool_isolation {
    POOL_ANY,   /* everything; runners stay warm */
    POOL_EXEC,  /* "exec": a new program for each job, a command or a runner */
    POOL_REUSE, /* "reuse": functions that stay loaded between two calls */
    POOL_FORK,  /* "fork": calls of runners, each in a process that its runner forks */
    POOL_ISOLATIONS
};
const char *pool_isolation_name(uint32_t isolation); /* NULL: takes all */
const char *worker_death_name(uint32_t on_death);

#define POOL_MIN_ALL UINT32_MAX

struct pool_settings {
    uint32_t size;            /* workers at most */
    uint32_t min;             /* kept when there is nothing to do; POOL_MIN_ALL: as many as size */
    int64_t idle_us;          /* those above min end after so long without a job; 0: they stay */
    uint32_t max_jobs;        /* of one worker, which is then replaced; 0: no limit */
    uint32_t start_failures;  /* in a row, until the pool is broken */
    int64_t start_timeout_us; /* until a worker must be ready */
    uint64_t max_rss;         /* bytes of one worker after a job, the same; 0: no limit */
    uint32_t on_death;        /* enum worker_death */
    uint32_t isolation;       /* enum pool_isolation */
};
/* What they may be, least and most, wherever they are said: an option, a section [pool NAME], a
 * request. Where 0 (in JSON null) means none, these are for all other values. */
/* clang-format off */
#define POOL_SIZES           1, MAX_WORKERS
#define POOL_MINS            0, MAX_WORKERS
#define POOL_JOBS_PER_WORKER 1, 1000000000
#define POOL_RSS_BYTES       INT64_C(1) << 20, INT64_C(1) << 40
#define POOL_IDLE_TIMES      1, INT64_C(3650) * 86400 * 1000000
#define POOL_START_TIMES     10000, INT64_C(3600) * 1000000
#define POOL_FAILURES        1, 1000
/* clang-format on */

/* Of a pool that says nothing; the size must be said. */
extern const struct pool_settings pool_settings_default;

enum pool_member {
    POOL_SIZE = 1,
    POOL_MIN = 2,
    POOL_IDLE = 4,
    POOL_MAX_JOBS = 8,
    POOL_START_FAILURES = 16,
    POOL_MAX_RSS = 32,
    POOL_ON_DEATH = 64,
    POOL_ISOLATION = 128,
    POOL_START_TIMEOUT = 256
};

#define POOL_CAUSE 160

/* A pool as it is remembered. */
struct pool_entry {
    char name[MAX_POOL_NAME + 8]; /* "": there is none */
    struct pool_settings settings;
    /* What the configuration said when `settings` were changed: they last until it says something
     * else. */
    struct pool_settings base;
    uint32_t phase;   /* enum pool_phase */
    uint32_t is_made; /* by a client: the configuration does not know it */
    int64_t version;
    /* A walk under way: jobs above `place`, up to `up_to`, are still to be ended. */
    int64_t place, up_to;
    char why[POOL_CAUSE];         /* of a broken one: what died */
    char runner[POOL_RUNNER_MAX]; /* its program; never changed */
    uint32_t queue;               /* of a pool but the default one: its own; not remembered */
};

/* [pool NAME] of the configuration. */
struct pool_list {
    struct {
        char name[MAX_POOL_NAME + 1];
        struct pool_settings settings;
        char runner[POOL_RUNNER_MAX];
        uint32_t line;
    } items[MAX_POOLS - 1];
    uint32_t n;
};
/* While the configuration is read. A new section: INVALID when its name is not
 * [A-Za-z0-9_.-]{1,40}, is "default", or there are too many. */
MUST_CHECK bool pool_list_begin(struct pool_list *list, struct slice name, uint32_t line,
                                struct err *err);
MUST_CHECK bool pool_list_set(struct pool_list *list, const char *key, struct slice value,
                              struct err *err);
/* All sections are read. `max`: workers that all pools together may have, `taken` those of the
 * default one. */
MUST_CHECK bool pool_list_finish(struct pool_list *list, uint32_t taken, uint32_t max,
                                 struct err *err);
bool pool_name_is_valid(struct slice name);
bool pool_rss_is_allowed(uint64_t bytes); /* 0: there is no limit */

/* The same with its numbers. */
struct pool_view {
    struct pool_entry entry;
    uint32_t busy, idle, booting; /* workers */
    uint32_t max_size;            /* that it could be given while the service runs */
    uint32_t failures;            /* starts that have failed since one succeeded */
    bool is_broken;
    int64_t queued, unfinished; /* jobs */
    char why[512];              /* why the last start has failed */
};

#endif
