/* SPDX-License-Identifier: MIT */
/* The shared memory of the pool: one slot per worker, SLOT_BANKS banks per slot, mapped from one
 * unnamed memfd before the zygote is forked.
 *
 * Ownership travels with messages: START hands a bank to the worker, an end hands it back. In
 * between the server may look only at the live fields, and only through atomics. Nothing is ever
 * locked. A crashed worker can corrupt only its own slot, and the server validates what it reads
 * there as it would any input. Several banks, so that the next START goes out before the last
 * outcomes are committed: a bank is free again when its outcome is stored (pool_release). */
#ifndef GANGER_POOL_SLOT_H
#define GANGER_POOL_SLOT_H

#include "pool/live.h"
#include "pool/task.h"
#include "service/base/pool_spec.h"

#include <stdalign.h>
#include <stdatomic.h>

/* One bank runs, some are offered, the rest hold outcomes that wait for their commit while the
 * worker goes on. More of them gather more ends into one commit, which costs about 100 µs of CPU;
 * they cost address space only. */
#define SLOT_BANKS 32
/* Extra environment + task wire bytes; more travels as a sealed memfd with the START frame. */
#define BANK_IN_SIZE (256u << 10)
#define BANK_OUT_SIZE (64u << 10)    /* per stream; beyond it the stream goes to a spool file */
#define BANK_RESULT_SIZE (64u << 10) /* of a function; beyond it the same */

/* A task in a bank that its worker may take by itself when it is done with another one, without a
 * frame and so without a wake-up. Whoever moves it away from OFFERED first owns the bank. */
enum bank_offer { BANK_NOT_OFFERED, BANK_OFFERED, BANK_TAKEN };
/* A call of a native function runs in the worker itself, so the worker is killed to end it. Whoever
 * moves it away from RUNNING first decides: a worker that finds KILLED waits for the signal instead
 * of beginning another task. */
enum bank_call { CALL_NONE, CALL_RUNNING, CALL_OVER, CALL_KILLED };
#define CALL_MATE 4u
/* Tasks that the worker runs behind the bank's own, one after another, without a word of the server
 * in between. Whoever moves one away from WAITS first decides: the worker begins it, or it never
 * begins. WITHDRAWN is the pool's own word, which the engine may still make a RECALLED. What the
 * worker has begun and ended before the last one lies in log[], as mates.h says.
 */
#define MAX_MATES 255
enum mate_turn { MATE_WAITS, MATE_TAKEN, MATE_RECALLED, MATE_WITHDRAWN };
struct bank_mate {
    int64_t job_no;
    uint32_t at, bytes; /* of in[] */
};
#define BANK_LOG_SIZE (256u << 10) /* a turn ends when the next outcome might not fit */

/* Of one worker at a time: the second covers the time in which the server sits in a commit. The
 * shorter tasks are, the more of them it needs. */
#define FEW_OFFERS 2
#define MAX_OFFERS 16

/* How far the task says that it is; only through progress.h. */
#define PROGRESS_TEXT 120
struct progress_record {
    uint64_t ppm_plus1; /* millionths; 0 = none */
    int64_t at_us;      /* wall clock */
    char text[PROGRESS_TEXT];
};
struct bank_progress {
    _Atomic uint32_t turn;
    _Atomic uint64_t words[LIVE_WORDS(struct progress_record)];
};

#define LIVE_STREAMS 3

/* How a task has ended, as its worker says it and the server does not believe it. What it has in
 * bytes lies beside it, as far as it is not in the spool: in the bank, or behind it in log[]. */
struct task_report {
    int32_t end, exit_code, signal, exec_errno;
    uint32_t processes_killed, survivors;
    int64_t started_us, ended_us, wall_us, user_us, system_us;
    uint64_t max_rss_bytes, out_bytes[2], result_bytes;
    uint8_t truncated[2], spooled[2], stop_sent;
    uint8_t has_result, result_spooled, result_type, has_data, no_retry, runner_died;
    uint16_t runner_starts, runner_failures; /* starts of runners for it, those that failed */
};

struct bank {
    /* Server writes before START or offer. */
    alignas(64) int64_t job_no;
    uint32_t attempt;
    uint32_t in_bytes;   /* used bytes of in[], 0 when the input came as a descriptor */
    uint32_t note_bytes; /* the worker writes note[] to the file of starts before it begins */
    char note[64];
    uint32_t n_mates;        /* they run after it with the same attempt number; 0 as a rule */
    uint32_t note_no_at;     /* where in note[] the number of a mate goes */
    uint32_t tells_resident; /* 1: resident_bytes is asked for */
    uint32_t max_failed;     /* so many of them fail, and no other one begins; 0 = any number */
    /* Live: atomics, any thread of the server may read while the task runs. */
    alignas(64) _Atomic int64_t live_job_no; /* ties the other live fields to their job; 0 idle */
    _Atomic int32_t job_pid;
    /* 0 no; 1 server: somebody looks at the output; 2 worker: it is in the spool now (then OUTPUT
     * is sent). */
    _Atomic uint32_t watched;
    /* Of stdout, stderr and partial results, what a reader of the spool file may read. */
    _Atomic uint64_t live_bytes[LIVE_STREAMS];
    /* enum bank_call, and times CALL_MATE the mate that is meant (0: the bank's own task); server
     * and worker. */
    _Atomic uint32_t call;
    _Atomic uint32_t cancel;  /* server: the function of this mate, plus 1, is asked to stop */
    _Atomic uint32_t n_over;  /* worker: outcomes in log[] */
    _Atomic uint64_t told_ns; /* worker: when it said so last, or began (clock_mono_ns) */
    /* Worker writes before a call: when its timer will kill it (clock_mono_ns; UINT64_MAX never),
     * and what that would be. */
    _Atomic uint64_t call_kill_at_ns;
    _Atomic int32_t call_kill_end; /* TASK_TIMEOUT or TASK_DEADLINE */
    /* … and how much resident memory says that it had used up its limit when it died; 0: no limit.
     */
    _Atomic uint64_t call_full_rss;
    _Atomic uint32_t suspended; /* 1 worker: all processes of the task stand still */
    /* 1: somebody wants to hear of progress (then OUTPUT is sent). Server, also while the task
     * runs; the worker clears it when it goes on to a mate. */
    _Atomic uint32_t listened;
    struct bank_progress progress;
    /* Worker writes before DONE, server reads after it. */
    alignas(64) struct task_report report;
    uint32_t mate;           /* whose it is: 0 the bank's own task, i mates[i - 1] */
    uint64_t resident_bytes; /* of the worker and its children at the end of a turn */
    char error_text[TASK_ERROR_TEXT];
    uint32_t n_blobs;
    struct task_blob blobs[TASK_MAX_OUTPUTS];
    alignas(64) char in[BANK_IN_SIZE];
    char out[2][BANK_OUT_SIZE];
    char result[BANK_RESULT_SIZE];
    struct bank_mate mates[MAX_MATES]; /* server writes before START or offer */
    _Atomic uint32_t turns[MAX_MATES]; /* enum mate_turn; server and worker */
    alignas(64) char log[BANK_LOG_SIZE];
};

/* Side by side, since a worker looks at all of them after each task: in the banks they would be as
 * many pages. */
struct slot_offer {
    _Atomic uint32_t state; /* enum bank_offer */
    uint64_t turn;          /* they are taken in this order; server, before it offers */
};

/* A task that its worker says is over; its bank is the server's again. */
struct slot_end {
    int64_t job_no;
    uint32_t bank, attempt;
    int32_t taken; /* 1 + the bank whose offer the worker has taken, 0 none */
};

/* Why a worker could not start, in words, as a text; "": it has not said. */
#define SLOT_WHY 512
/* What the workers of a pool start before they are ready. The server writes it before the worker is
 * forked. */
struct slot_program {
    int64_t timeout_us; /* until it must be ready */
    uint32_t isolation; /* enum pool_isolation: how calls of runners run */
    /* Last, so that of a pool without a program little of them is touched. */
    char pool[64], runner[POOL_RUNNER_MAX]; /* pool_runner.h; "": nothing */
};
struct slot_head {
    alignas(64) struct slot_offer offers[SLOT_BANKS];
    struct slot_end ends[SLOT_BANKS]; /* a ring, of which the worker has written n_ends (ends.h) */
    _Atomic uint32_t n_ends;
    char why[SLOT_WHY];
    struct slot_program program;
};

#define BELL_GROUPS (MAX_WORKERS / 64)
struct slots_bell {
    alignas(64) _Atomic uint32_t is_awake; /* server: it will look by itself */
    _Atomic uint64_t slots[BELL_GROUPS];   /* bits: these have told an end */
};

struct slots {
    struct bank *banks; /* SLOT_BANKS * n */
    struct slot_head *heads;
    struct slots_bell *bell;
    uint32_t n;
};

/* Maps n slots (MAP_SHARED | MAP_NORESERVE); resident only as touched. The memfd is closed after
 * mapping. */
MUST_CHECK bool slots_map(struct slots *slots, uint32_t n, struct err *err);
void slots_unmap(struct slots *slots);
struct bank *slots_bank(const struct slots *slots, uint32_t slot, uint32_t bank);
struct slot_offer *slots_offer(const struct slots *slots, uint32_t slot, uint32_t bank);
/* For the next task of the bank: nothing of the one before is left, and the live fields are
 * nobody's until live_job_no says whose. Who owns the bank calls it; `call` and `cancel` name their
 * mate and are left alone. */
void bank_clear_task(struct bank *bank);
struct slot_head *slots_head(const struct slots *slots, uint32_t slot);
/* What the worker has said, whatever lies there. */
void slot_why(const struct slot_head *head, char ret[SLOT_WHY]);
/* Every enum is known, every length fits into its array. Sets what the report says; the bytes
 * themselves are the caller's. False: it is damaged. */
MUST_CHECK bool report_read(const struct task_report *report, struct task_outcome *ret);
/* The same with the bytes, of what lies in the bank. */
MUST_CHECK bool bank_read_outcome(const struct bank *bank, struct task_outcome *ret);

#endif
