/* SPDX-License-Identifier: MIT */
/* The inside of the pool's server side, shared by pool.c and the files pool_*.c.
 *
 * 1. Owner: the engine thread; other threads read `facts` and the live fields of banks only.
 * 2. A bank is FREE, WAITING (offered; the worker may have taken it, which its next DONE tells),
 * RETURNED (the offer was not taken; POOL_RETURNED is on its way), RUNNING (the worker's) or HELD
 * (its outcome waits). RETURNED and HELD end with pool_release. At most MAX_OFFERS banks of a slot
 * are WAITING and at most one is RUNNING.
 * 3. A slot is IDLE when its worker has said READY or DONE and runs nothing; a START leaves only
 * then.
 * 4. A worker is over when the zygote says GONE, not when its socket ends: only GONE proves that
 * its tree is empty. */
#ifndef GANGER_POOL_POOL_STATE_H
#define GANGER_POOL_POOL_STATE_H

#include "pool/frame.h"
#include "pool/oom.h"
#include "pool/pool.h"
#include "pool/zygote.h"

enum seat_state {
    SEAT_EMPTY,    /* no worker; one is asked for at restart_at_ns */
    SEAT_SPAWNING, /* SPAWN has been sent */
    SEAT_BOOTING,  /* its socket is here, READY is not */
    SEAT_IDLE,
    SEAT_BUSY,
    SEAT_QUARANTINED, /* reported TASK_UNKILLABLE; READY will free it */
    SEAT_DEAD         /* its socket has ended, GONE has not come */
};

enum bank_owner { BANK_FREE, BANK_WAITING, BANK_RETURNED, BANK_RUNNING, BANK_HELD };

struct seat_bank {
    enum bank_owner owner;
    int64_t job_no;
    uint32_t attempt;
    uint64_t offer_turn; /* when WAITING */
    bool is_native, is_command;
    int64_t stop_grace_us;       /* the task's own */
    uint32_t n_mates;            /* tasks that run behind it */
    uint32_t now_mate;           /* the one that is known to have begun last; 0: the bank's own */
    int64_t now_no;              /* its number */
    bool has_part;               /* a POOL_PART is on its way */
    uint64_t oom_kills;          /* how often the kernel had run out of memory before */
    struct task_outcome outcome; /* when HELD */
};

/* Whether the worker goes when it has nothing to run. */
enum seat_leave {
    LEAVE_NOT,
    LEAVE_REPLACED, /* another one takes the seat */
    LEAVE_FOR_GOOD  /* the seat is given back */
};

#define NO_GROUP POOL_NO_GROUP

/* Frames that did not fit into the worker's socket, at most one of each kind: a later one takes the
 * place of the one before. They must not take each other's. */
enum waiting_frame { WAITING_STOP, WAITING_REACH, WAITING_COUNT };

/* One slot as the server sees it. */
struct seat {
    enum seat_state state;
    uint32_t group; /* NO_GROUP: nobody's */
    enum seat_leave leave;
    bool was_ready;         /* its worker, since it was started */
    uint64_t idle_since_ns; /* when IDLE, in a group whose idle workers end */
    int sock;               /* -1: none */
    bool has_waiting[WAITING_COUNT];
    struct frame waiting[WAITING_COUNT];
    bool has_waiting_kill; /* the zygote has to be told to KILL the worker */
    /* When a native call that was asked to stop is killed; UINT64_MAX: none is. */
    uint64_t kill_at_ns;
    uint32_t kill_bank, kill_mate;
    uint64_t look_at_ns; /* whether something of a turn is over; UINT64_MAX: no need to */
    int output_fd[2];    /* what native calls write to, of the living worker; -1: none */
    uint32_t quick_deaths;
    uint32_t tasks;          /* since its worker started */
    uint32_t n_ends;         /* that it has told and we have heard */
    uint64_t resident_bytes; /* of it and its children after the last of them; 0: not asked for */
    uint64_t ready_ns;
    uint64_t restart_at_ns;  /* UINT64_MAX: not due */
    struct seat_bank *banks; /* SLOT_BANKS of pool->banks */
    struct {
        _Atomic int32_t pid, last_status;
        _Atomic bool is_alive, is_ready;
        _Atomic uint32_t group, n_banks; /* the banks from there on were never used */
        _Atomic int64_t started_us, job_no;
        _Atomic uint64_t tasks_done;
    } facts; /* any thread reads */
};

/* The last failed start, in words. */
struct why_record {
    char text[POOL_WHY];
};
struct pool_group {
    struct pool_rules rules;     /* without name and runner */
    struct slot_program program; /* which has both */
    uint32_t n;                  /* seats that it has and keeps */
    uint32_t failures;           /* starts that have failed since one succeeded */
    bool is_broken;
    struct {
        _Atomic uint32_t size, failures;
        _Atomic bool is_broken;
        _Atomic uint32_t why_turn;
        _Atomic uint64_t why[LIVE_WORDS(struct why_record)];
    } facts; /* any thread reads */
};

struct pool {
    struct worker_config worker;
    struct log log;
    _Atomic uint32_t top; /* seats in use are below it */
    uint32_t max_workers;
    struct pool_group groups[POOL_GROUPS];
    bool has_idle_rule; /* of some group */
    int zygote_pid;
    int control; /* -1 after the zygote's death */
    int epoll_fd;
    int data_fd;
    bool is_zygote_gone;
    uint32_t n_due; /* seats with a restart time, a frame that waits, a kill or a look; each counts
                       once for each */
    struct seat *seats; /* max_workers */
    /* Of all seats; apart from them, so that what no worker has used is never touched. */
    struct seat_bank *banks;
    struct pool_event *pending; /* ring of events that pool_collect has not handed out */
    uint64_t offers;            /* made so far */
    uint32_t max_offers;        /* of one worker at a time */
    size_t pending_max, pending_head, n_pending;
    char *path;
    struct oom_watch oom;
};

/* Of a worker at a time: the task that runs, and all that it may have taken behind it. */
#define POOL_MAX_ENDS (1 + MAX_OFFERS)
/* The most that one frame can bring. It is a GONE: DONE of each end that had not been heard and
 * STARTED of what was taken with it, OUTPUT that was left in the socket, RETURNED for each offer,
 * LOST, WORKER_GONE and BROKEN; and one PART for each of two banks, with an OUTPUT that is not told
 * together with the one before it. */
#define POOL_EVENTS_PER_FRAME (16 + MAX_OFFERS + 2 * POOL_MAX_ENDS)
#define POOL_CONTROL UINT32_MAX      /* epoll data of the control socket, */
#define POOL_MEMORY (UINT32_MAX - 1) /* and of the file that counts who ran out of memory */
#define POOL_RETRY_NS UINT64_C(20000000)

static inline struct seat_bank *pool_bank(const struct pool *pool, struct place place)
{
    PRE(place.slot < pool->max_workers && place.bank < SLOT_BANKS);
    return &pool->seats[place.slot].banks[place.bank];
}

/* Every time and flag of a seat that `n_due` counts is changed by these. */
static inline void pool_set_time(struct pool *pool, uint64_t *at_ns, uint64_t value)
{
    pool->n_due += (uint32_t)(value != UINT64_MAX) - (uint32_t)(*at_ns != UINT64_MAX);
    *at_ns = value;
}

static inline void pool_set_flag(struct pool *pool, bool *flag, bool value)
{
    pool->n_due += (uint32_t)value - (uint32_t)*flag;
    *flag = value;
}

static inline uint32_t pool_slot_of(const struct pool *pool, const struct seat *seat)
{
    return (uint32_t)(seat - pool->seats);
}

/* ---- pool.c ---- */

void pool_push(struct pool *pool, struct pool_event event);
/* In the worker's hand, also when it has taken the offer and we have not heard so yet. */
bool pool_is_with_worker(const struct pool *pool, struct place place);
/* As pool_stop, of whatever the turn has come to. None of its mates may begin any more. */
void pool_stop_turn(struct pool *pool, struct place place, const struct pool_stop_how *how);

/* ---- pool_events.c ---- */

/* An event of the bank's task. */
void pool_tell(struct pool *pool, const struct seat *seat, enum pool_event_type type,
               uint32_t bank);
/* Reads what is ready; pushes events. */
void pool_read_ready(struct pool *pool);
/* What the worker has told of ends. */
void pool_read_ends(struct pool *pool, struct seat *seat);
/* One frame of a worker. False: there is none now, or the socket has ended. */
bool pool_read_worker(struct pool *pool, struct seat *seat);
/* Asks for the workers that are due and repeats frames that did not fit. */
void pool_do_due(struct pool *pool, uint64_t now_ns);
/* Now, or as soon as it fits. */
void pool_send_frame(struct pool *pool, struct seat *seat, enum waiting_frame kind,
                     const struct frame *frame);
/* The bank's task is the worker's now; and it is ours again, with its outcome. */
void pool_begin(struct pool *pool, struct seat *seat, uint32_t bank);
void pool_take_back(struct pool *pool, struct seat *seat, uint32_t bank);
/* Its worker takes no offer any more. */
void pool_return_offers(struct pool *pool, struct seat *seat);
/* Protocol broken or memory corrupt: the worker cannot be trusted with another task. GONE will
 * follow. */
void pool_condemn(struct pool *pool, struct seat *seat, const char *why);
void pool_close_seat(struct pool *pool, struct seat *seat);
void pool_close_output(struct seat *seat);

/* ---- pool_workers.c ---- */

void pool_ask_for_worker(struct pool *pool, struct seat *seat, uint64_t now_ns);
/* One frame of the zygote. */
void pool_read_control(struct pool *pool);

/* ---- pool_group.c ---- */

/* Ends the worker by way of the zygote, now or as soon as its socket has room. */
void pool_kill(struct pool *pool, struct seat *seat);
/* Its worker has ended a task (`goes_on`: and begun the next one), or has become ready. True: it
 * leaves, and takes nothing more. */
bool pool_leaves(struct pool *pool, struct seat *seat, bool goes_on);
/* A worker that we have sent away is gone. Afterwards the seat has no group, or wants another one.
 */
void pool_seat_left(struct pool *pool, struct seat *seat);
void pool_start_failed(struct pool *pool, struct seat *seat, const char *why);
void pool_started(struct pool *pool, struct seat *seat);
/* Before its worker is forked: what it finds in its slot. */
void pool_prepare_start(struct pool *pool, struct seat *seat);
/* Its worker has been forked; and the time is up that was set then. */
void pool_starts(struct pool *pool, struct seat *seat);
void pool_start_is_due(struct pool *pool, struct seat *seat);
/* Whether it is replaced when it has grown too large. */
bool pool_is_size_limited(const struct pool *pool, const struct seat *seat);
/* Whether one more offer may lie with its worker, which has n. */
bool pool_may_offer(const struct pool *pool, const struct seat *seat, uint32_t n);
uint64_t pool_idle_deadline_ns(const struct pool *pool);
void pool_end_idle(struct pool *pool, uint64_t now_ns);

/* ---- pool_mates.c: tasks behind a bank's own ---- */

/* The bank takes as many as fit. */
void pool_mates_fill(struct pool *pool, const struct pool_task *task);
void pool_mates_begin(struct pool *pool, struct seat *seat, uint32_t bank);
void pool_mates_forget(struct pool *pool, struct seat *seat); /* the turn is over */
void pool_mates_look(struct pool *pool, struct seat *seat, uint64_t now_ns);
void pool_mates_over(struct pool *pool, struct seat *seat, const struct frame *frame); /* OVER */
/* None of the bank begins any more: the turn ends with the one that runs. */
void pool_mates_withdraw(struct pool *pool, const struct seat *seat, uint32_t bank);
/* The turn has ended: every outcome is sound, and the bank's own is the last one. */
bool pool_mates_check(const struct pool *pool, const struct seat *seat, uint32_t bank);
/* Whom the death of the worker costs: the first one that has begun and no outcome. */
uint32_t pool_mates_lost(const struct pool *pool, const struct seat *seat, uint32_t bank);

/* ---- pool_calls.c ---- */

/* Asks the native call of the place, or of the mate there, to stop, and sees to it that it does. */
void pool_call_stop(struct pool *pool, struct place place, uint32_t mate, const struct frame *stop);
void pool_call_kill_due(struct pool *pool, struct seat *seat, uint64_t now_ns);
/* The task of the bank is over. */
void pool_call_forget(struct pool *pool, struct seat *seat, uint32_t bank);
/* The worker died with this status. True: inside a native call, and the outcome of the bank says
 * how. */
bool pool_call_lost(struct pool *pool, struct seat *seat, uint32_t number,
                    const struct frame *gone);

#endif
