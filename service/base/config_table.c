/* SPDX-License-Identifier: MIT */
/* Every option of `ganger serve`: the table that config.h speaks of. */
#include "service/base/config_option.h"

/* A row cannot name a field of another type: the _Generic has no other case. */
#define CHECKED(type, field) (0 * sizeof(char[_Generic(((struct config *)0)->field, type : 1)]))
#define OPTION(kind, type, field) kind, offsetof(struct config, field) + CHECKED(type, field)
#define TEXT(field) OPTION(OPT_TEXT, char *, field)
#define LIST(field) OPTION(OPT_LIST, struct text_list, field)
#define LISTEN(field) OPTION(OPT_LISTEN, struct text_list, field)
#define ENUM(field) OPTION(OPT_ENUM, uint32_t, field)
#define UINT(field) OPTION(OPT_UINT, uint32_t, field)
#define COUNT(field) OPTION(OPT_COUNT, uint64_t, field)
#define BYTES(field) OPTION(OPT_BYTES, uint64_t, field)
#define DURATION(field) OPTION(OPT_DURATION, int64_t, field)

#define KIB (1LL << 10)
#define MIB (1LL << 20)
#define GIB (1LL << 30)
#define MS 1000LL
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)
#define YEARS10 (3650 * 24 * HOUR)
#define SECOND_OF(first, second) (second)
#define MOST(...) SECOND_OF(__VA_ARGS__) /* of a setting that 0 puts out of force */

/* clang-format off */
const struct option_row config_options[] = {
    /* name, type and field, default, least, most,
     *     choices, flag, help */
    {"service.data",            TEXT(data),                       "",         0,        0,
         NULL, NULL, "Directory of the database, the token, the socket and large outputs. "
                     "Default: $XDG_STATE_HOME/ganger, as root /var/lib/ganger."},
    {"service.listen",          LISTEN(listen),                   "",         0,        0,
         NULL, NULL, "Where to listen; port 0 is any free one. Default: 127.0.0.1:7411 and "
                     "unix:DATA/ganger.sock, both replaced by what is given."},
    {"service.auth",            ENUM(auth),                       "token",    0,        0,
         "token|none", NULL, "Whether requests need a token; none is possible on loopback and "
                             "unix sockets only."},
    {"service.log_level",       ENUM(log_level),                  "info",     0,        0,
         "error|warn|info|debug", NULL, "What is logged to stderr."},
    {"service.log_format",      ENUM(log_format),                 "auto",     0,        0,
         "auto|json|text", NULL, "One JSON object per line, or text for people; auto is text on "
                                 "a terminal."},
    {"service.drain",           DURATION(drain_us),               "8s",       0,        HOUR,
         NULL, NULL, "How long running jobs may go on after SIGTERM."},
    {"http.hosts",              LIST(http_hosts),                 "",         0,        0,
         NULL, NULL, "Names besides localhost and addresses that the header Host may carry."},
    {"http.origins",            LIST(http_origins),               "",         0,        0,
         NULL, NULL, "Web origins whose pages may use the API."},
    {"http.max_body",           BYTES(http_max_body),             "1MiB",     KIB,      64 * MIB,
         NULL, NULL, "Largest JSON body or NDJSON line."},
    {"http.max_connections",    UINT(http_max_connections),       "12000",    16,       1000000,
         NULL, NULL, "Open connections; more wait in the kernel's queue."},
    {"http.connection_memory",  BYTES(http_connection_memory),    "8KiB",     2 * KIB,  MIB,
         NULL, NULL, "Memory of one connection; it bounds the request's header."},
    {"http.max_inflight_bytes", BYTES(http_max_inflight_bytes),   "64MiB",    MIB,      16 * GIB,
         NULL, NULL, "Bodies being read or applied, in all; beyond that 503."},
    {"http.max_parked",         UINT(http_max_parked),            "8192",     1,        1000000,
         NULL, NULL, "Waiting requests per HTTP thread; beyond that 429."},
    {"http.threads",            UINT(http_threads),               "auto",     1,        64,
         NULL, NULL, "HTTP threads; auto is 1 up to 4 CPUs, then 2 to 4."},
    {"http.header_timeout",     DURATION(http_header_timeout_us), "10s",      100 * MS, HOUR,
         NULL, NULL, "How long a request's header may take."},
    {"http.body_timeout",       DURATION(http_body_timeout_us),   "60s",      100 * MS, HOUR,
         NULL, NULL, "How long a request's body may stand still."},
    {"http.idle_timeout",       DURATION(http_idle_timeout_us),   "30s",      100 * MS, HOUR,
         NULL, NULL, "How long a connection may idle between requests."},
    {"http.heartbeat",          DURATION(http_heartbeat_us),      "15s",      100 * MS, HOUR,
         NULL, NULL, "Interval of the signs of life on a quiet stream."},
    {"http.max_wait",           DURATION(http_max_wait_us),       "55s",      100 * MS, HOUR,
         NULL, NULL, "Longest wait of one request; proxies cut at 60 s."},
    {"pool.workers",            UINT(pool_workers),               "auto",     POOL_SIZES,
         NULL, "--workers", "Worker processes; auto = CPUs."},
    {"pool.max_workers",        UINT(pool_max_workers),           "64",       POOL_SIZES,
         NULL, NULL, "Up to how many workers the pool can grow while it runs."},
    {"pool.min_workers",        UINT(pool_min_workers),           "auto",     POOL_MINS,
         NULL, NULL, "Workers that are there even if there is nothing to do; the others are started "
                     "when no idle one is left. auto, and more than there are = all."},
    {"pool.idle",               DURATION(pool_idle_us),           "0",        0,        MOST(POOL_IDLE_TIMES),
         NULL, NULL, "After so long without a job, workers above pool.min_workers end; 0 = they "
                     "stay."},
    {"pool.max_jobs_per_worker", UINT(pool_max_jobs_per_worker),  "0",        0,        MOST(POOL_JOBS_PER_WORKER),
         NULL, NULL, "After so many jobs a worker is replaced; 0 = never."},
    {"pool.max_rss",            BYTES(pool_max_rss),              "0",        0,        MOST(POOL_RSS_BYTES),
         NULL, NULL, "A worker that holds more memory than this after a job is replaced; 0 = no "
                     "limit."},
    {"pool.start_timeout",      DURATION(pool_start_timeout_us),  "10s",      POOL_START_TIMES,
         NULL, NULL, "How long a worker may take to become ready."},
    {"pool.start_failures",     UINT(pool_start_failures),        "3",        POOL_FAILURES,
         NULL, NULL, "After so many starts of workers in a row that fail the pool is broken."},
    {"pool.on_worker_death",    ENUM(pool_on_worker_death),       "fail_job", 0,        0,
         "fail_job|retry|break", NULL, "fail_job: the job's retry policy decides; retry: the same, with "
                                       "lost among the reasons of every policy; break: all jobs "
                                       "of the pool fail."},
    {"pool.kill_deadline",      DURATION(pool_kill_deadline_us),  "5s",       100 * MS, HOUR,
         NULL, NULL, "After SIGKILL, how long until a job counts as unkillable."},
    {"job.timeout",             DURATION(job_timeout_us),         "1h",       0,        YEARS10,
         NULL, NULL, "Timeout of jobs that name none; 0 = none."},
    {"job.stop_grace",          DURATION(job_stop_grace_us),      "5s",       0,        HOUR,
         NULL, NULL, "Time between the stop signal and SIGKILL, unless the job names one."},
    {"job.output",              BYTES(job_output),                "10MiB",    1,        16 * GIB,
         NULL, NULL, "Kept bytes of stdout and of stderr, unless the job names a limit."},
    {"job.keep",                DURATION(job_keep_us),            "24h",      SECOND,   YEARS10,
         NULL, NULL, "How long results are kept, unless the job says."},
    {"job.row_keep",            DURATION(job_row_keep_us),        "7d",       SECOND,   YEARS10,
         NULL, NULL, "How long finished jobs can be looked up."},
    {"job.max_attempts",        UINT(job_max_attempts),           "20",       1,        1000,
         NULL, NULL, "Most attempts a job may ask for."},
    {"job.path", TEXT(job_path), "/usr/local/bin:/usr/bin:/bin", 0, 0,
         NULL, NULL, "PATH of jobs."},
    {"job.cwd",                 TEXT(job_cwd),                    "",         0,        0,
         NULL, NULL, "Working directory of jobs that name none; empty = a fresh one each, "
                     "removed afterwards."},
    {"queue.max_jobs", COUNT(queue_max_jobs), "10000000", 1, 1000000000000,
         NULL, NULL, "Waiting jobs in all; beyond that 503."},
    {"queue.max_queues",        UINT(queue_max_queues),           "1024",     1,        1000000,
         NULL, NULL, "Different queue names."},
    {"store.sync",              ENUM(store_sync),                 "full",     0,        0,
         "full|normal", "--sync", "full: what was acknowledged survives a power cut; normal: it "
                                  "survives kill -9."},
    {"store.cache",             BYTES(store_cache),               "32MiB",    MIB,      64 * GIB,
         NULL, NULL, "Page cache of the database."},
    {"store.reserve",           BYTES(store_reserve),             "16MiB",    0,        GIB,
         NULL, NULL, "File that is given up when the disk is full, so that running jobs can "
                     "still be recorded."},
    {"store.idempotency_keep",  DURATION(idempotency_keep_us),    "24h",      SECOND,   YEARS10,
         NULL, NULL, "How long Idempotency-Keys are remembered."},
    {"blobs.max_size",          BYTES(blob_max_size),             "16GiB",    1,        1024 * GIB,
         NULL, NULL, "Largest blob."},
    {"blobs.max_total",         BYTES(blob_max_total),            "64GiB",    1,        1024 * GIB,
         NULL, NULL, "Bytes of all blobs; beyond that 503."},
    {"blobs.keep",              DURATION(blob_keep_us),           "24h",      SECOND,   YEARS10,
         NULL, NULL, "How long an uploaded blob is kept, unless the upload says. One that a job "
                     "still needs stays as long."},
    {"blobs.memory",            BYTES(blob_memory),               "1GiB",     0,        1024 * GIB,
         NULL, NULL, "Bytes of blobs that stay in memory for half a minute for jobs to come; those "
                     "that running jobs use are there beside them."},
    {"callbacks.hosts",         LIST(callback_hosts),             "",         0,        0,
         NULL, NULL, "Who may be called when a job ends, by https: names, *.suffixes, public "
                     "addresses. Empty: nobody, callbacks are off."},
    {"callbacks.private_hosts", LIST(callback_private_hosts),     "",         0,        0,
         NULL, NULL, "The same for receivers in one's own network: http and addresses that are "
                     "not public are allowed for these."},
    {"callbacks.secret_file",   TEXT(callback_secret_file),       "",         0,        0,
         NULL, NULL, "File (mode 0600) with the secrets that sign callbacks, one whsec_ line "
                     "each; made when there is none. Default: DATA/callback-secret."},
    {"callbacks.ca_file",       TEXT(callback_ca_file),           "",         0,        0,
         NULL, NULL, "File with the certificates (PEM) that vouch for receivers, instead of the "
                     "system's; read at each call, so it may be replaced."},
    {"callbacks.timeout",       DURATION(callback_timeout_us),    "5s",       100 * MS, 60 * SECOND,
         NULL, NULL, "How long one try may take."},
    {"callbacks.max_tries",     UINT(callback_max_tries),         "10",       1,        100,
         NULL, NULL, "Tries before a callback is given up."},
    {"callbacks.first_delay",   DURATION(callback_first_delay_us), "30s",     MS,       24 * HOUR,
         NULL, NULL, "Longest pause after the first try; each further one may be four times as "
                     "long."},
    {"callbacks.max_delay",     DURATION(callback_max_delay_us),  "12h",      MS,       168 * HOUR,
         NULL, NULL, "Longest pause between two tries."},
};
/* clang-format on */

const size_t config_n_options = ARRAY_LEN(config_options);
_Static_assert(ARRAY_LEN(config_options) <= MAX_OPTIONS,
               "struct config_set has a state per option");
