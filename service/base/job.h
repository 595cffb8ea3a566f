/* SPDX-License-Identifier: MIT */
/* What a job is: its states and their moves (one table), the reasons of failure, what is submitted,
 * what is shown. Pure vocabulary: no storage, no processes, no JSON. */
#ifndef GANGER_BASE_JOB_H
#define GANGER_BASE_JOB_H

#include "service/base/buf.h"
#include "service/base/error.h"
#include "service/base/function.h"
#include "service/base/text.h"
#include "service/base/value.h"

/* clang-format off */
#define TO(state) (1u << JOB_##state)
/*    state       public name   end?    may move to */
#define JOB_STATES(X)                                                                              \
    X(SCHEDULED, "scheduled", false, TO(BLOCKED) | TO(QUEUED) | TO(FAILED) | TO(CANCELLED))        \
    X(BLOCKED,   "blocked",   false, TO(SCHEDULED) | TO(QUEUED) | TO(FAILED) | TO(CANCELLED))      \
    X(QUEUED,    "queued",    false, TO(SCHEDULED) | TO(BLOCKED) | TO(RUNNING) | TO(FAILED) |      \
                                     TO(CANCELLED))                                                \
    X(RUNNING,   "running",   false, TO(SUCCEEDED) | TO(FAILED) | TO(STOPPING) |                   \
                                     TO(SCHEDULED) | TO(QUEUED))                                   \
    X(STOPPING,  "stopping",  false, TO(CANCELLED) | TO(SUCCEEDED) | TO(FAILED))                   \
    X(SUCCEEDED, "succeeded", true,  TO(BLOCKED) | TO(QUEUED)) /* the retry verb only */           \
    X(FAILED,    "failed",    true,  TO(BLOCKED) | TO(QUEUED))                                     \
    X(CANCELLED, "cancelled", true,  TO(BLOCKED) | TO(QUEUED))

/* Why a failed job failed; bit positions are stored (retry policies), so only append. */
/*    reason            public name        retried by default when `retry` is given?  */
#define JOB_REASONS(X)                                                                  \
    X(EXIT_CODE,       "exit_code",       true)                                         \
    X(SIGNAL,          "signal",          true)                                         \
    X(TIMEOUT,         "timeout",         true)                                         \
    X(QUEUE_TIMEOUT,   "queue_timeout",   false)                                        \
    X(DEADLINE,        "deadline",        false)                                        \
    X(OOM,             "oom",             true)                                         \
    X(EXEC,            "exec",            false)                                        \
    X(FUNCTION_ERROR,  "function_error",  true)                                         \
    X(OUTPUT_LIMIT,    "output_limit",    true)                                         \
    X(DEPENDENCY,      "dependency",      false)                                        \
    X(LOST,            "lost",            true)                                         \
    X(UNKILLABLE,      "unkillable",      false)
/* clang-format on */

enum job_state {
#define X(state, name, end, moves) JOB_##state,
    JOB_STATES(X)
#undef X
        JOB_STATE_COUNT
};

/* Before the first and after the last state, in lists of changes. */
#define JOB_BIRTH JOB_STATE_COUNT
#define JOB_GONE JOB_STATE_COUNT

/* What only some jobs (and batches) have: a look into another table is worth it. Stored. */
enum job_flag {
    JOB_ITEM = 1,   /* its task is an item of its batch's template */
    JOB_PARENT = 2, /* others have named it in depends_on */
    JOB_WAITS = 4,  /* for a parent that has not ended */
    JOB_GATED = 8,  /* its batch lets it in later: max_parallel, or the batch itself waits */
    JOB_CALLBACK = 16,
    JOB_GANG = 32,        /* a stage of a pipeline: starts together with the others */
    JOB_UNIQUE = 64,      /* holds a unique key while it lives */
    JOB_INPUTS = 128,     /* takes results of its parents */
    JOB_CHILD = 256,      /* was born waiting for parents */
    JOB_OUTPUTS = 512,    /* leaves files that become blobs */
    JOB_OFFSPRING = 1024, /* submitted by a running job; the elements of a batch are its children */
    JOB_CHUNKED = 2048,   /* of a chunk: what the gate holds back there is found by its number */
    JOB_FREE_CHUNKS = 4096 /* of a batch: the service has chosen their size, and may part them */
};

enum job_reason {
    REASON_NONE = -1,
#define X(reason, name, retried) REASON_##reason,
    JOB_REASONS(X)
#undef X
        REASON_COUNT
};

const char *job_state_name(enum job_state state);
bool job_state_parse(struct slice name, enum job_state *ret);
bool job_state_is_end(enum job_state state);
bool job_state_may_move(enum job_state from, enum job_state to);
uint32_t job_state_moves(enum job_state from); /* bit mask of TO() */
uint32_t job_state_sources(enum job_state to); /* bit mask of the states that may move to `to` */
void job_state_diagram(struct buf *out);       /* Mermaid stateDiagram-v2, from the table */
const char *job_reason_name(enum job_reason reason); /* NULL for REASON_NONE */
bool job_reason_parse(struct slice name, enum job_reason *ret);
uint32_t job_reasons_retried_by_default(void); /* bit mask */

/* The name of a job that was given none. */
#define JOB_OWN_NAME_SIZE 25
void job_own_name(int64_t no, char out[JOB_OWN_NAME_SIZE]);

/* What becomes of a submission whose unique key a living job holds. */
enum unique_policy { UNIQUE_RETURN, UNIQUE_REJECT, UNIQUE_REPLACE, UNIQUE_POLICY_COUNT };
#define UNIQUE_KEY_BYTES 16 /* the first ones of its SHA-256 */

/* VALUE: what the function has returned. */
enum job_result { RESULT_STDOUT, RESULT_JSON, RESULT_NONE, RESULT_VALUE };

#define MAX_EXIT_RULES 16
/* When a failed attempt is tried again. Given to storage as bytes (POD, version byte first). */
struct retry_policy {
    uint8_t version; /* 1 */
    uint8_t jitter;  /* full jitter: uniform in [0, delay] */
    uint8_t n_on_exit, n_never_exit;
    uint32_t on_mask, never_mask;                                /* bits of enum job_reason */
    uint8_t on_exit[MAX_EXIT_RULES], never_exit[MAX_EXIT_RULES]; /* "exit:75" */
    uint64_t delay_us, max_delay_us;
    double factor;
};
/* Whether an attempt that ended so may be repeated (the number of attempts is the caller's
 * business), and after how long. */
bool retry_policy_allows(const struct retry_policy *p, enum job_reason reason, int exit_code);
uint64_t retry_policy_delay_us(const struct retry_policy *p, uint32_t failed_attempts,
                               uint64_t random);

/* What happens to a job when one of its parents ends, but did not succeed. Stored. */
enum parent_policy { PARENT_CANCEL, PARENT_RUN, PARENT_FAIL, PARENT_POLICY_COUNT };

/* One entry of depends_on, or of what implies it. */
struct job_parent {
    struct job_id id;    /* a job or a batch */
    const char *pointer; /* where the client has named it */
    bool only_job;       /* a batch will not do: its output is asked for */
    bool is_marked; /* job `index` of the same graph, born as a parent: the engine knows its id */
    uint32_t index;
    bool is_pending, is_batch; /* the engine's: it has not ended */
};

/* What a job takes when it starts, from a parent's output or from a blob. Stored. */
enum job_input_kind {
    JOB_INPUT_STDIN,
    JOB_INPUT_FILE,    /* in its own directory; of a blob: also a descriptor */
    JOB_INPUT_ARGUMENT /* in place of {result:…} */
};
struct job_input {
    enum job_input_kind kind;
    uint32_t parent;            /* index in spec.parents */
    uint8_t stream;             /* 0 = stdout, 1 = stderr, or */
    struct job_id blob;         /* INPUT_OF_BLOB: this one, */
    const char *pointer;        /* where the client has named it */
    uint32_t argument, at, len; /* ARGUMENT: which, and the bytes of it that are replaced */
    struct slice name;          /* FILE */
};

#define INPUT_OF_BLOB 2
#define MAX_JOB_BLOBS 8 /* of one job */
#define MAX_JOB_OUTPUTS 16

/* A file whose text came with the request. */
struct job_file {
    struct slice name, bytes;
};
#define MAX_JOB_INPUTS 1000 /* files and inputs together */

/* What a client submits, as read by the codec. Slices point into the request's arena or body and
 * are borrowed. */
struct job_spec {
    enum function_kind kind; /* COMMAND unless a function is called that is none */
    bool needs_runner;       /* the function has no program: its pool must have one */
    struct slice *argv;      /* n_argv ≥ 1, each terminated behind its length */
    uint32_t n_argv;
    struct slice call; /* of a batch whose elements call a function: how, as it is stored */
    struct slice *env; /* "K=V", n_env */
    uint32_t n_env;
    struct slice cwd; /* absent: the job's own directory (the service's default) */
    struct slice stdin_bytes;
    bool is_pure;             /* as of the function that it calls */
    bool stdin_open;          /* clients feed it while it runs */
    struct slice name, queue; /* absent name: "job-<no>" */
    struct slice pool;        /* that it has named; absent: the one that has its queue */
    struct slice labels;      /* raw JSON object, or absent */
    struct slice metadata;    /* raw JSON value exactly as sent, or absent */
    struct slice traceparent; /* valid header value, or absent */
    int32_t priority;
    int64_t delay_us;                      /* ≥ 0; or */
    int64_t run_at_us;                     /* wall clock; 0 = not given */
    int64_t timeout_us;                    /* 0 = none */
    int64_t queue_timeout_us, deadline_us; /* relative to creation; 0 = none */
    int32_t stop_signal;
    int64_t stop_grace_us;
    uint32_t max_attempts; /* ≥ 1 */
    bool has_retry;
    struct retry_policy retry;
    /* bytes; 0 = none (output always has one) */
    uint64_t limit_output, limit_memory, limit_file_size;
    int64_t limit_cpu_us;
    uint32_t limit_processes, limit_open_files;
    bool output_limit_fails;
    int64_t keep_us;
    enum job_result result;
    struct job_parent *parents; /* n_parents; each may come more than once */
    uint32_t n_parents;
    enum parent_policy on_parent_failure;
    struct job_input *inputs; /* n_inputs; those of one argument in rising order */
    uint32_t n_inputs;
    struct job_file *files; /* n_files */
    uint32_t n_files;
    struct slice *outputs; /* n_outputs paths, terminated: files that become blobs */
    uint32_t n_outputs;
    struct slice callback_url, callback_receiver; /* absent: none */
    uint32_t callback_states;                     /* bit mask of TO(): the ends that are told */
    struct job_id submitter; /* the running job whose token came with it; no = 0: none */
    bool has_unique;         /* with UNIQUE_REPLACE `parents` has room for one more */
    enum unique_policy on_conflict;
    uint8_t unique_key[UNIQUE_KEY_BYTES];
};

/* Members of a job_spec that a change of a waiting job names. */
enum job_member {
    MEMBER_PRIORITY = 1,
    MEMBER_QUEUE = 2,
    MEMBER_DUE = 4, /* delay or run_at */
    MEMBER_NAME = 8,
    MEMBER_LABELS = 16,
    MEMBER_METADATA = 32,
    MEMBER_RETRY = 64,
    MEMBER_KEEP = 128,
    MEMBER_QUEUE_TIMEOUT = 256,
    MEMBER_DEADLINE = 512,
    MEMBER_TIMEOUT = 1024,
    MEMBER_LIMIT_MEMORY = 2048,
    MEMBER_LIMIT_CPU = 4096,
    MEMBER_LIMIT_PROCESSES = 8192,
    MEMBER_LIMIT_OPEN_FILES = 16384,
    MEMBER_LIMIT_FILE_SIZE = 32768,
    MEMBER_LIMIT_OUTPUT = 65536,
    MEMBER_ON_OUTPUT = 131072
};

/* How one attempt ended, as the pool tells it and the store keeps it. */
struct job_usage {
    int64_t wall_us, user_us, system_us;
    uint64_t max_rss_bytes;
    uint32_t processes_killed;
};

/* Streams 0 and 1 are stdout and stderr; the third is what a function has returned; the fourth are
 * its partial results, a line each, always in a file. */
#define STREAM_VALUE 2
#define STREAM_DATA 3
#define OUTPUT_STREAMS 4

struct job_output {
    uint64_t bytes[OUTPUT_STREAMS]; /* kept; of STREAM_DATA its file says it */
    bool truncated[2];              /* more was written and dropped */
    bool spooled[OUTPUT_STREAMS];   /* in a file of the spool, else in the database */
    bool expired;                   /* `keep` is over */
    bool has_value;                 /* there is a third one, */
    enum value_type value_type;     /* of this type */
};

struct callback_view; /* callback.h */
struct blob;          /* blob.h */

/* One job as shown to clients. Strings are terminated, in the arena given to the reader. Times are
 * wall µs, 0 = not yet. */
struct job_view {
    struct job_id id;
    enum job_state state;
    enum job_reason reason;
    uint32_t attempt, max_attempts;
    int64_t version;
    const char *name, *queue;
    int32_t priority;
    struct slice labels, metadata; /* raw JSON; absent: {} */
    int32_t exit_code, signal;
    bool has_exit_code;
    const char *error_detail; /* exec: "No such file or directory: foo"; NULL */
    int64_t created_us, due_us, queued_us, started_us, finished_us;
    int64_t expires_us; /* when the result goes */
    int32_t slot;       /* worker's number while it runs and of the last attempt; -1 = none */
    int32_t worker_pid, job_pid; /* 0 = unknown; live facts, filled by the service */
    bool is_suspended;
    double progress_fraction; /* < 0: none */
    const char *progress_message;
    int64_t progress_at_us;
    enum job_result result;
    struct job_usage usage;
    struct job_output output;
    bool has_outputs;   /* it was to leave files, */
    struct blob *blobs; /* n_blobs of which are there */
    uint32_t n_blobs;
    struct job_id batch;            /* no = 0: of none */
    int64_t index;                  /* its place there */
    struct job_id submitter;        /* the job that has submitted it; no = 0: none */
    uint32_t flags;                 /* enum job_flag */
    struct callback_view *callback; /* with JOB_CALLBACK, else NULL */
    struct job_attempt *attempts;   /* earlier attempts, oldest first */
    uint32_t n_attempts;
};

struct job_attempt {
    uint32_t attempt;
    enum job_state state; /* how it ended: FAILED as a rule */
    enum job_reason reason;
    int32_t exit_code, signal;
    bool has_exit_code;
    int64_t started_us, finished_us;
    struct job_usage usage;
};

/* A parent that has not ended, as far as a child has heard. */
struct parent_view {
    struct job_id id;
    enum job_state state; /* a batch is RUNNING until it is over */
    bool is_batch;
};

/* Whom a job waits for. */
struct parent_list {
    struct parent_view *parents; /* room for max ≥ 1; the caller's */
    size_t max, n;
    int64_t total; /* of all of them */
};

/* Only what a parked reader compares. */
struct job_mark {
    enum job_state state;
    uint32_t attempt;
    int64_t version;
};

/* Which jobs a list is to hold. */
struct job_filter {
    uint32_t states;          /* bit mask of TO(), 0 = any */
    const char *queue, *name; /* NULL = any */
    const char *label_key, *label_value;
    int64_t created_after_us; /* later than this; 0 = any */
    struct job_id batch;      /* no = 0: any */
    int64_t submitter;        /* only what this job has submitted; 0: any */
    bool oldest_first;
};

/* One page of a list. */
struct job_page {
    struct job_view *jobs; /* room for max ≥ 1; the caller's */
    size_t max, n;
    /* In: the page begins after the job of this number; 0 = at the start. Out: the same for the
     * page that follows; 0 = there is none. */
    int64_t cursor;
    bool only_ids; /* in: the views are to hold nothing but `id` */
};

#define MAX_QUEUE_NAME 64

/* One stream of one attempt: 0 = stdout, 1 = stderr, STREAM_VALUE, STREAM_DATA. */
struct output_ref {
    int64_t no;
    uint32_t attempt;
    uint8_t stream;
};

/* A piece of an output. */
struct chunk {
    void *to; /* room for max bytes; the caller's */
    size_t max, n;
    uint64_t offset; /* of the first byte */
};

#endif
