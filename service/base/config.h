/* SPDX-License-Identifier: MIT */
/* Every option of `ganger serve`, declared once. From a row of the table in config_table.c come:
 * the key `workers` in section `[pool]` of the file, the flag (`--pool-workers` where no short one
 * is named), the variable GANGER_POOL_WORKERS, --help, --print-config (value and source of each),
 * range errors that name the row, docs/configuration.md and docker/ganger.conf. Order: flag >
 * environment > file > default. */
#ifndef GANGER_BASE_CONFIG_H
#define GANGER_BASE_CONFIG_H

#include "service/base/buf.h"
#include "service/base/error.h"
#include "service/base/function.h"
#include "service/base/pool_spec.h"

#define MAX_LIST 16
struct text_list {
    char *items[MAX_LIST];
    uint32_t n;
};

enum sync_mode { SYNC_FULL, SYNC_NORMAL };
enum auth_mode { AUTH_TOKEN, AUTH_NONE };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

struct config {
    /* service */
    char *data;                     /* --data: of database, token, socket, spool; absolute */
    struct text_list listen;        /* ADDR:PORT or unix:PATH; checked, but names not looked up */
    uint32_t auth;                  /* --auth enum auth_mode */
    uint32_t log_level, log_format; /* --log-level error|warn|info|debug; --log-format */
    int64_t drain_us;               /* 8 s */
    /* http */
    struct text_list http_hosts;      /* allowed Host names besides localhost and IP literals */
    struct text_list http_origins;    /* allowed Origin values */
    uint64_t http_max_body;           /* 1 MiB: a JSON body or one NDJSON line */
    uint32_t http_max_connections;    /* 12000 */
    uint64_t http_connection_memory;  /* 8 KiB: MHD's pool per connection */
    uint64_t http_max_inflight_bytes; /* 64 MiB of requests being read or applied */
    uint32_t http_max_parked;         /* 8192 per HTTP thread */
    uint32_t http_threads;            /* auto: 1 up to 4 CPUs, else 2..4 */
    int64_t http_header_timeout_us;   /* 10 s */
    int64_t http_body_timeout_us;     /* 60 s */
    int64_t http_idle_timeout_us;     /* 30 s */
    int64_t http_heartbeat_us;        /* 15 s */
    int64_t http_max_wait_us;         /* 55 s */
    /* pool */
    uint32_t pool_workers;         /* --workers; auto = CPUs (affinity and cgroup aware) */
    uint32_t pool_max_workers;     /* slots mapped at start, 64 */
    int64_t pool_kill_deadline_us; /* 5 s until `unkillable` */
    uint32_t pool_min_workers;     /* auto: all */
    int64_t pool_idle_us;          /* 0: workers above the minimum stay */
    uint32_t pool_max_jobs_per_worker;
    uint64_t pool_max_rss;
    uint32_t pool_start_failures;  /* 3 */
    int64_t pool_start_timeout_us; /* 10 s */
    uint32_t pool_on_worker_death; /* enum worker_death */
    /* job defaults */
    int64_t job_timeout_us;    /* 1 h */
    int64_t job_stop_grace_us; /* 5 s */
    uint64_t job_output;       /* 10 MiB per stream */
    int64_t job_keep_us;       /* 24 h */
    int64_t job_row_keep_us;   /* 7 d */
    uint32_t job_max_attempts; /* cap on attempts: 20 */
    char *job_path;            /* PATH of jobs: /usr/local/bin:/usr/bin:/bin */
    char *job_cwd;             /* "" = a fresh one of the worker (pool/workdir.h) */
    /* queue */
    uint64_t queue_max_jobs;   /* waiting jobs in all; beyond: 503 overloaded. 10 M */
    uint32_t queue_max_queues; /* different queue names: 1024 */
    /* store */
    uint32_t store_sync;                    /* --sync enum sync_mode */
    uint64_t store_cache;                   /* 32 MiB */
    uint64_t store_reserve;                 /* ballast file for a full disk: 16 MiB */
    int64_t idempotency_keep_us;            /* 24 h */
    uint64_t blob_max_size, blob_max_total; /* 16 GiB each, 64 GiB all */
    int64_t blob_keep_us;                   /* 24 h */
    uint64_t blob_memory;                   /* 1 GiB of those that no job uses just now */

    /* callbacks: off while both lists are empty */
    struct text_list callback_hosts;         /* by https, and public */
    struct text_list callback_private_hosts; /* also by http, and of any address */
    char *callback_secret_file;              /* absolute */
    char *callback_ca_file;                  /* absolute; "": the system's */
    int64_t callback_timeout_us;             /* of one try: 5 s */
    uint32_t callback_max_tries;             /* 10, over about a day */
    int64_t callback_first_delay_us;         /* 30 s */
    int64_t callback_max_delay_us;           /* 12 h */
    struct function_list functions;          /* sections [function NAME] of the file */
    struct pool_list pools;                  /* sections [pool NAME] */
};

/* Where a value came from, for --print-config. */
enum config_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENV, SOURCE_FLAG };

struct config_set; /* the values with their sources */

/* Reads defaults, the file (`--config`, else /etc/ganger/ganger.conf or
 * $XDG_CONFIG_HOME/ganger/ganger.conf if it exists), GANGER_* and the flags of argv[0..argc)
 * (without program and subcommand name). ret_action says what else was asked for. On failure
 * `err->detail` names the option, its source (file and line) and what is allowed. The config is
 * owned by the set and lives as long. */
enum config_action {
    CONFIG_RUN,
    CONFIG_HELP,
    CONFIG_HELP_MARKDOWN,
    CONFIG_PRINT,
    CONFIG_SAMPLE /* --help=conf: docker/ganger.conf */
};
MUST_CHECK struct config_set *config_load(int argc, char **argv, enum config_action *ret_action,
                                          struct err *err);
void config_free(struct config_set *set);
const struct config *config_get(const struct config_set *set);
/* Writes the answer to an action; nothing for CONFIG_RUN. No option holds a secret. */
void config_write(const struct config_set *set, enum config_action action, struct buf *out);
/* The default data directory: $XDG_STATE_HOME/ganger, as root /var/lib/ganger. Caller frees. */
char *config_default_data(void);
/* CPUs this process may use: affinity mask and cgroup quota (v2 cpu.max, v1 cfs), at least 1. */
uint32_t config_cpu_count(void);

/* For fuzzing and tests: parses one configuration text; the rest stays default. */
MUST_CHECK struct config_set *config_parse_text(struct slice text, struct err *err);

#endif
