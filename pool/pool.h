/* SPDX-License-Identifier: MIT */
/* The server's side of the pool: start tasks on workers, stop them, hear how they ended.
 * Owner: the engine thread, except pool_live, pool_listen, pool_family, pool_slots, pool_max,
 * pool_worker_info, pool_size, pool_group_info and pool_is_broken, which any thread may call.
 * Nothing here blocks, except pool_open (until the zygote answers) and pool_close. */
#ifndef GANGER_POOL_POOL_H
#define GANGER_POOL_POOL_H

#include "pool/extra.h"
#include "pool/progress.h"
#include "service/base/function.h"
#include "service/base/log.h"

struct pool_config {
    uint32_t workers, max_workers;
    uint32_t on_demand;       /* of these workers: started when they are wanted (pool_want) */
    int64_t kill_deadline_us; /* TASK_UNKILLABLE after so long */
    const char *path;         /* PATH of tasks */
    /* spool/, work/ and mark below it are made here; the caller holds the data lock. */
    const char *data_dir;
    /* Below data_dir, made by the caller: where workers write the notes of tasks. NULL: nowhere. */
    const char *starts_file;
    /* Name of the variable that marks the processes of this data directory; NULL: GANGER_RUN. Each
     * task gets it with a value of the pool's, whatever else names it: what is left of an earlier
     * run is found by it. */
    const char *run_marker_env;
    const struct log *log;
    uint64_t blob_max_size; /* of a file that a task leaves; 0: any */
    /* Those of kind NATIVE are loaded by each worker; NULL: none. Borrowed until pool_close. */
    const struct function_list *functions;
};

struct pool;

/* Maps the slots and forks the zygote. A native function that cannot be loaded is an error that
 * names it. Must be called while the process has one thread and no
 * database open. Descriptors that the children shall inherit on purpose (the data lock) are the
 * caller's: they are kept open in zygote and workers, and lost by tasks at exec. */
MUST_CHECK bool pool_open(const struct pool_config *cfg, struct pool **ret_pool, struct err *err);

/* An epoll descriptor that is readable when pool_collect has something. */
int pool_fd(const struct pool *pool);
/* Before waiting for it. False: pool_collect has something already. */
MUST_CHECK bool pool_sleeps(struct pool *pool);
/* From now on, until the next pool_sleeps, ends may come that do not make it readable. */
void pool_wakes(struct pool *pool);
/* When pool_collect wants to be called at the latest (clock_mono_ns; restarts with back-off);
 * UINT64_MAX = never. */
uint64_t pool_next_deadline_ns(const struct pool *pool);

enum pool_event_type {
    POOL_READY, /* slot: its worker waits for a task */
    POOL_DONE,  /* place: pool_outcome tells; the bank stays ours until pool_release */
    /* place: the worker died with the task, and its tree is proved empty: outcome.end is TASK_LOST,
     * or how it died when the task was a native call;
     * or something of it outlived the kill deadline: TASK_UNKILLABLE. Released like DONE. */
    POOL_LOST,
    POOL_PART,    /* place: of several tasks in the bank some are over (pool_mates_next) */
    POOL_OUTPUT,  /* place: live bytes or progress have changed */
    POOL_STARTED, /* place: an offered task has begun; follows the DONE of the one before it */
    /* place: the worker died or cannot go on before it took the offer. It never began. Released
     * like DONE: until then the bank takes nothing else, so the event names this offer alone. */
    POOL_RETURNED,
    POOL_WORKER_GONE, /* slot: for counters and logs; a new one is being started if one is wanted */
    POOL_BROKEN, /* slot: in its group so many starts in a row have failed, and no worker is left */
    POOL_MENDED, /* slot: a worker of its group that was broken has started */
    POOL_ZYGOTE_GONE /* the service must stop: exit 70 */
};

/* One bank of one slot. */
struct place {
    uint32_t slot, bank;
};

struct pool_event {
    enum pool_event_type type;
    struct place place;
    int64_t job_no; /* DONE, LOST, OUTPUT, STARTED, RETURNED */
    uint32_t attempt;
    int32_t wait_status; /* WORKER_GONE */
    bool planned;        /* WORKER_GONE: it was sent away, it did not die */
};

/* Takes up to max events, without blocking. Also performs due restarts. */
size_t pool_collect(struct pool *pool, struct pool_event *events, size_t max);
/* How the task of a DONE or LOST place ended. Valid until pool_release. */
void pool_outcome(const struct pool *pool, struct place place, struct task_outcome *ret);
/* The outcome is stored, or the return was heard: the bank may be used again. */
void pool_release(struct pool *pool, struct place place);

/* A slot of group 0 whose worker is READY and that has a free bank; false when there is none.
 * Lowest numbers first (warm caches). */
bool pool_find_idle(const struct pool *pool, struct place *ret);
/* A free bank of exactly this slot, whose worker has just become idle. */
bool pool_idle_bank(const struct pool *pool, uint32_t slot, struct place *ret);

/* Ends of kernel pipes that join a task to others; -1: that stream is as any task's. */
struct pool_ends {
    int in, out; /* its stdin, its stdout (which is not captured then) */
};
/* A pipe between two tasks: [0] is the `in` of one, [1] the `out` of the other. The caller closes
 * its ends as soon as both tasks have started: an end that stays open here would be a writer, and
 * the reader would wait for ever. */
MUST_CHECK bool pool_pipe(int ret[2], struct err *err);

/* A task behind another one. */
struct pool_mate {
    int64_t no;
    struct slice bytes; /* task_extra_write, then task_encode */
};
struct pool_task {
    struct place place;
    int64_t job_no;
    uint32_t attempt;
    struct slice wire;       /* task_encode */
    struct task_extra extra; /* of the attempt (GANGER_JOB_ID …); what it points to is borrowed */
    /* At most 64 bytes that the worker writes to `<data>/<starts_file>`, at 64 bytes times (slot *
     * SLOT_BANKS + bank), before the task begins; when that fails the task does not begin
     * (TASK_START_FAILED). Empty: none. */
    struct slice note;
    /* Tasks of the same kind that the worker runs behind this one, in this order, without a word of
     * the server in between; each has its own outcome. The bank takes as many as it has room for
     * (pool_mates). When the worker dies, that costs the one that ran, and those behind it do not
     * begin. */
    const struct pool_mate *mates;
    uint32_t n_mates;             /* at most MAX_MATES */
    uint32_t note_no_at;          /* where in the note the number of a mate stands */
    uint32_t max_failed;          /* when so many have failed, no other one begins; 0 = all may */
    const struct pool_ends *ends; /* NULL: joined to nothing; borrowed. Not for offers. */
    const int *blobs;             /* the memfds of those inputs that are blobs (blob.h); borrowed */
};
/* Hands the task to the idle worker. False: the worker has just died (POOL_WORKER_GONE follows) or
 * no memfd could be made: nothing started. */
MUST_CHECK bool pool_start(struct pool *pool, const struct pool_task *task, struct err *err);

/* An offer saves the two wake-ups between the end of a task and the start of the next: the worker
 * takes it by itself when it is done with what it runs. Until then it can be recalled, so a waiting
 * task stays as changeable as if it had not left. It must be durably claimed before, since nobody
 * is asked when it starts. */

/* A free bank of the busy worker of the group that has the fewest offers, fewer than
 * pool_set_offers has said (FEW_OFFERS); false when there is none. A worker takes its oldest offer
 * first. */
bool pool_find_offer(const struct pool *pool, uint32_t group, struct place *ret);
/* The same for one slot. */
bool pool_offer_place(const struct pool *pool, uint32_t slot, struct place *ret);
/* How many offers a worker takes from now on, at most MAX_OFFERS. */
void pool_set_offers(struct pool *pool, uint32_t n);
/* The fewest that a busy worker has; MAX_OFFERS when none is busy. */
uint32_t pool_least_offers(const struct pool *pool);
/* False: it does not fit into a bank, or needs blobs (pool_start can take it), or the worker is not
 * busy: nothing
 * was offered. POOL_STARTED or POOL_RETURNED follows, unless it is recalled. */
MUST_CHECK bool pool_offer(struct pool *pool, const struct pool_task *task);
/* True: it has not begun and never will; the bank is free, or will be when the POOL_RETURNED that
 * is on its way has been released. False: it has been taken, and POOL_STARTED follows. */
MUST_CHECK bool pool_recall(struct pool *pool, struct place place);

/* Several tasks in one bank. How many the bank has taken beside its own. */
uint32_t pool_mates(const struct pool *pool, struct place place);
/* True: this one (1 …) never begins. False: it has begun. */
MUST_CHECK bool pool_mate_recall(struct pool *pool, struct place place, uint32_t mate);
/* The next outcome of one that has ended before the last; its slices are valid until pool_release.
 * False: there is none now. What the last one that ran left is told by DONE or LOST. */
struct mates_cursor;
bool pool_mates_next(struct pool *pool, struct place place, struct mates_cursor *cursor,
                     struct task_outcome *ret);
/* The one that runs now, as far as it can be seen: the first that has begun and no outcome. */
uint32_t pool_mate_now(const struct pool *pool, struct place place);
/* What pool_stop and pool_watch mean from now on. */
void pool_mate_is_current(struct pool *pool, struct place place, uint32_t mate, int64_t no);

/* Ends the tree of the running task: signal, grace, KILL. signal 0 and grace_us < 0 mean the task's
 * own (task.h). Idempotent; a shorter grace or KILL may follow. A native call is asked to stop, and
 * its worker killed after the grace. */
void pool_stop(struct pool *pool, struct place place, int signal, int64_t grace_us);
/* What may be asked of a running command beside its end. */
struct pool_reach {
    uint32_t signals;      /* bit N: signal N to its main process's group */
    uint32_t tree_signals; /* to all of its processes */
    int suspend;           /* 1: all of them are to stand still; -1: to go on; 0: as it is */
};
/* Whether the task of this place is one that can be reached: a command in its worker's hand. */
bool pool_can_reach(const struct pool *pool, struct place place);
/* The worker does it as soon as it hears; equal signals that it has not heard of yet may be one, as
 * for any process. A task that is being ended stands still no more. */
void pool_reach(struct pool *pool, struct place place, const struct pool_reach *reach);

/* Asks the worker to move the output of the running task to its spool files and to report. One
 * POOL_OUTPUT follows at once, even when there is no output yet (or DONE); further ones as it
 * grows. */
void pool_watch(struct pool *pool, struct place place);

/* Live facts of a running task; false when `job_no` does not run in `slot` (any more).
 * Any thread. */
struct pool_live {
    int32_t worker_pid, job_pid;
    uint64_t bytes[3]; /* of stdout, stderr and partial results */
    struct progress progress;
    bool watched; /* the worker has moved the output to the spool (bank.watched == 2) */
    bool suspended;
    bool is_call; /* of a native function: the worker itself runs it */
};
bool pool_live(const struct pool *pool, uint32_t slot, int64_t job_no, struct pool_live *ret);

/* All processes of a running task; those of a native function begin with its worker. False as
 * pool_live. Any thread. */
struct family;
bool pool_family(const struct pool *pool, uint32_t slot, int64_t job_no, struct family *ret);

/* From now on POOL_OUTPUT tells also of progress, a few times in a second at most, until pool_hush.
 * What was there before is to be read afterwards (pool_live). False as pool_live. Any thread. */
bool pool_listen(const struct pool *pool, uint32_t slot, int64_t job_no);
/* Nobody listens any more. */
void pool_hush(const struct pool *pool, struct place place);

struct pool_worker {
    int32_t pid; /* 0: none now */
    bool alive, busy;
    int32_t last_status; /* wait status of the last one that ended; -1: none did */
    int64_t started_us;
    uint64_t tasks_done;
    int64_t job_no; /* 0: idle */
    uint32_t group;
    bool is_ready; /* alive, and past its start */
};
uint32_t pool_max(const struct pool *pool);   /* slots that there can be */
uint32_t pool_slots(const struct pool *pool); /* whatever has a worker, or wants one, is below */
/* False: no worker belongs there. */
bool pool_worker_info(const struct pool *pool, uint32_t slot, struct pool_worker *ret);

/* Workers belong to groups: one for each pool that clients see. Group 0 is there from the start,
 * with as many workers as pool_config says. The numbers of all slots together are bounded by
 * max_workers, so a group may have to wait for the workers that another one is giving up. */
#define POOL_GROUPS 16
struct pool_rules {
    uint32_t size;      /* workers at most; those above it end after their task */
    uint32_t min;       /* that are there whether there is work or not */
    uint64_t idle_ns;   /* those above min end after so long without a task; UINT64_MAX: never */
    uint32_t max_tasks; /* of one worker, which is then replaced; 0: no limit */
    uint64_t max_rss_bytes;      /* of one worker after a task, the same; 0: no limit */
    uint64_t start_timeout_ns;   /* a worker that is not ready by then is killed; 0: never */
    uint32_t max_start_failures; /* in a row: then the group is broken, and tries on with pauses */
    /* Copied. The program of its workers (pool_runner.h), which each has started before it is
     * ready; NULL or "": none. When it changes, all workers are replaced. */
    const char *name, *runner;
    uint32_t isolation; /* enum pool_isolation: how calls of runners run; the same then */
};
/* From now on. Running tasks end as they would have. */
void pool_set_rules(struct pool *pool, uint32_t group, const struct pool_rules *rules);
uint32_t pool_size(const struct pool *pool); /* rules.size of group 0 */
uint32_t pool_group_size(const struct pool *pool, uint32_t group);
#define POOL_NO_GROUP UINT32_MAX
uint32_t pool_group_of(const struct pool *pool, uint32_t slot); /* or POOL_NO_GROUP */
/* So many tasks wait and find no idle worker: more are started, as far as the rules allow. */
void pool_want(struct pool *pool, uint32_t group, uint32_t n);
bool pool_can_grow(const struct pool *pool, uint32_t group); /* pool_want might do something */
/* The worker is replaced. What it runs is stopped as by pool_stop, what it was offered returns.
 * False: there is none. */
struct pool_stop_how {
    int signal; /* 0: the task's own */
    int64_t grace_us;
};
bool pool_replace(struct pool *pool, uint32_t slot, const struct pool_stop_how *how);
/* A broken group tries again at once. */
void pool_mend(struct pool *pool, uint32_t group);

#define POOL_WHY 512
struct pool_group_view {
    uint32_t size, failures;
    uint32_t alive, ready, busy;
    bool is_broken;
    char why[POOL_WHY]; /* the last failed start, in words */
};
void pool_group_info(const struct pool *pool, uint32_t group, struct pool_group_view *ret);
bool pool_is_broken(const struct pool *pool, uint32_t group); /* any thread */

/* Spool files of an attempt: `<data>/spool/<xx>/<no>.<attempt>.out|err|res|dat`. The path is
 * relative to the data directory. */
void spool_path(int64_t job_no, uint32_t attempt, int stream, char out[64]);

/* QUIT to the zygote: KILL all trees, reap, end. Blocks up to 5 s. After the zygote's death it
 * reaps what fell to this process. */
void pool_close(struct pool *pool);

#endif
