/* SPDX-License-Identifier: MIT */
/* The inside of the pool's server side, shared by pool.c, pool_start.c and pool_events.c.
 *
 * 1. Owner: the engine thread; other threads read `facts` and the live fields of banks only.
 * 2. A bank is FREE, WAITING (offered; the worker may have taken it, which its next DONE tells),
 * RETURNED (the offer was not taken; POOL_RETURNED is on its way), RUNNING (the worker's) or HELD
 * (its outcome waits). RETURNED and HELD end with pool_release. At most one bank of a slot
 * is WAITING and at most one is RUNNING.
 * 3. A slot is IDLE when its worker has said READY or DONE and runs nothing; a START leaves only
 * then.
 * 4. A worker is over when the zygote says GONE, not when its socket ends: only GONE proves that
 * its tree is empty. */
#ifndef GANGER_POOL_POOL_STATE_H
#define GANGER_POOL_POOL_STATE_H

#include "pool/frame.h"
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
    bool is_native;
    int64_t stop_grace_us;       /* the task's own */
    struct task_outcome outcome; /* when HELD */
};

/* One slot as the server sees it. */
struct seat {
    enum seat_state state;
    int sock; /* -1: none */
    bool has_pending_stop;
    struct frame pending_stop; /* the worker's socket was full */
    /* When a native call that was asked to stop is killed; UINT64_MAX: none is. */
    uint64_t kill_at_ns;
    uint32_t kill_bank;
    int output_fd[2]; /* what native calls write to, of the living worker; -1: none */
    uint32_t quick_deaths;
    uint32_t tasks; /* since its worker started */
    uint64_t ready_ns;
    uint64_t restart_at_ns; /* UINT64_MAX: not due */
    struct seat_bank banks[SLOT_BANKS];
    struct {
        _Atomic int32_t pid, last_status;
        _Atomic bool is_alive;
        _Atomic int64_t started_us, job_no;
        _Atomic uint64_t tasks_done;
    } facts; /* any thread reads */
};

struct pool {
    struct worker_config worker;
    struct log log;
    uint32_t workers, max_workers;
    int zygote_pid;
    int control; /* -1 after the zygote's death */
    int epoll_fd;
    int data_fd;
    bool is_zygote_gone;
    uint32_t n_due;     /* seats with a restart time, a pending STOP or a kill; each counts once for
                           each */
    struct seat *seats; /* max_workers */
    struct pool_event *pending; /* ring of events that pool_collect has not handed out */
    uint64_t offers;            /* made so far */
    size_t pending_max, pending_head, n_pending;
    char *path;
};

/* The most that one frame can bring. It is a GONE: what was left in the socket (OUTPUT and DONE of
 * a task, STARTED, OUTPUT and DONE of the one that the worker took after it), RETURNED for
 * each offer, STARTED, LOST and WORKER_GONE. */
#define POOL_EVENTS_PER_FRAME (11 + MAX_OFFERS)
#define POOL_CONTROL UINT32_MAX /* epoll data of the control socket */
#define POOL_RETRY_NS UINT64_C(20000000)

static inline struct seat_bank *pool_bank(const struct pool *pool, struct place place)
{
    PRE(place.slot < pool->max_workers && place.bank < SLOT_BANKS);
    return &pool->seats[place.slot].banks[place.bank];
}

/* Reads what is ready; pushes events. */
void pool_read_ready(struct pool *pool);
/* Asks for the workers that are due and repeats STOPs that did not fit. */
void pool_do_due(struct pool *pool, uint64_t now_ns);
/* The bank's task is the worker's now. */
void pool_begin(struct pool *pool, struct seat *seat, uint32_t bank);
void pool_send_stop(struct pool *pool, struct seat *seat, const struct frame *frame);

void pool_close_output(struct seat *seat);
/* Asks the native call of the place to stop, and sees to it that it does. */
void pool_call_stop(struct pool *pool, struct place place, const struct frame *stop);
void pool_call_kill_due(struct pool *pool, struct seat *seat, uint64_t now_ns);
/* The task of the bank is over. */
void pool_call_forget(struct pool *pool, struct seat *seat, uint32_t bank);
/* The worker died with this status. True: inside a native call, and the outcome of the bank says
 * how. */
bool pool_call_lost(struct pool *pool, struct seat *seat, uint32_t number,
                    const struct frame *gone);

#endif
