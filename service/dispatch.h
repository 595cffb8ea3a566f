/* SPDX-License-Identifier: MIT */
/* Which job goes to which worker, and what is in flight. Owner: the engine thread.
 *
 * Invariants
 * 1. An attempt begins only after its claim or reservation is committed (a place in `ledger`); its
 * worker notes the beginning (starts.h). The exception are pure calls that are born in the open
 * transaction (early.c): when that is not stored, nobody has heard of them, and they are disowned.
 * 2. A reservation changes nothing that a client can see: the job stays `queued`, and every turn
 * compares the reservations with the head of the queue anew, so a more urgent job, a cancel or a
 * pause takes them back by itself.
 * 3. A reservation may be offered to a busy worker, which takes it by itself when it is done: no
 * wake-up lies between two jobs. An offer is recalled before anything is decided about its job;
 * when it has been taken, the job runs, and `dispatch_settle` says so in the same transaction.
 * 4. A flight that has ended keeps its bank until its outcome is committed.
 * 5. `stored` is what the table ledger holds once the open transaction commits, `committed` what
 * it holds now. */
#ifndef GANGER_SERVICE_DISPATCH_H
#define GANGER_SERVICE_DISPATCH_H

#include "pool/blob.h"
#include "pool/pool.h"
#include "service/admission.h"
#include "service/base/metrics.h"
#include "service/brief.h"
#include "service/chunk_run.h"
#include "service/element.h"
#include "service/feed.h"
#include "service/job_token.h"
#include "service/starts.h"
#include "service/turn.h"
#include "storage/queue.h"

enum flight_state {
    FLIGHT_FREE,
    FLIGHT_RESERVED, /* next in line; nothing has left */
    FLIGHT_OFFERED,  /* a committed reservation in a bank of a busy worker */
    FLIGHT_CLAIMED,  /* row RUNNING in the open transaction; START leaves in publish */
    FLIGHT_RUNNING,
    FLIGHT_ENDED /* its outcome waits for a commit */
};

struct flight {
    enum flight_state state;
    struct place place; /* OFFERED and later */
    struct arena arena; /* holds what `info` points to, until the attempt begins */
    struct start_info info;
    struct task_input *inputs; /* n_inputs: what it takes from its parents */
    uint32_t n_inputs;
    /* Blobs that it holds in memory, from its start on until it is over; in the order of inputs. */
    struct blob_cache *cache;
    uint64_t blobs[MAX_JOB_BLOBS];
    uint32_t n_blobs;
    struct feed *feed; /* its standard input, if clients feed it; from its START on */
    uint32_t attempt;
    uint64_t brief_key; /* of its template (brief.h); 0: its calls are not counted */
    uint64_t begun_ns;  /* of a chunk: when it began, or was seen to */
    bool unrecorded;  /* begun from a reservation: the row says `queued` until an apply has recorded
                         it */
    bool recording;   /* the open transaction does */
    bool is_early;    /* it has left for a worker, or was offered, before the commit of its birth */
    int64_t disowned; /* … which was not stored: the number that its job had; 0: it was */
    bool never_started;  /* the START could not leave: ENDED without an outcome in the bank */
    bool unstarted;      /* its end was that it had not run: the attempt is not counted */
    bool stop_requested; /* by cancel: committed or in the open transaction */
    bool drain_stop;     /* by the end of a drain, or since its pipeline did not begin as a whole */
    uint64_t early_stop_ns; /* when a cancel's signal was sent ahead of its commit; 0 = it was not
                             */
    bool stop_due;          /* a STOP frame leaves in publish */
    int32_t stop_signal;
    int64_t stop_grace_us;
    bool reach_due; /* a REACH frame leaves in publish */
    struct pool_reach reach;
    size_t rank;             /* RESERVED, OFFERED: its place in the ready order at the last claim */
    bool is_ready;           /* … had one there */
    bool contested;          /* its queue was chosen by weight */
    bool start_seen;         /* its beginning is in the window of its queue */
    uint32_t overtaken;      /* OFFERED: how many later jobs have begun elsewhere since */
    bool outcome_applied;    /* in the open transaction */
    uint32_t stages;         /* of its pipeline; 0: of none */
    uint32_t group;          /* of workers: its pool */
    bool gang_never_began;   /* never_started, and so are all stages of its pipeline */
    struct chunk_run *chunk; /* neighbours that run behind it in the same turn; NULL: it is alone */
    struct {
        bool recording, stop_requested, stop_due, reach_due;
        struct pool_reach reach;
        uint32_t current; /* of the chunk */
    } marked;             /* by dispatch_mark */
};

/* A place of `ledger` as the database has it. One whose attempt has ended is left until its group
 * is written again: recovery sees from the job's own row that this attempt is over. That saves a
 * write when nothing follows. */
struct flight_row {
    struct inflight entry;
    bool is_over;
};

/* Reservations per worker: as many as outcomes may wait for their commit, so that a worker need not
 * idle while one lazy commit gathers. */
#define RESERVED_PER_WORKER (SLOT_BANKS - 1)
/* What all workers together turn over between two commits, when there are many. */
#define RESERVED_ENOUGH 48
#define START_BACKOFF_NS UINT64_C(100000000) /* after a task that could not be started */
static inline uint32_t dispatch_reserves(uint32_t workers)
{
    return MIN(RESERVED_PER_WORKER * workers, MAX(FEW_OFFERS * workers, RESERVED_ENOUGH));
}
/* So many flights can be under way or reserved. */
static inline uint32_t dispatch_room(uint32_t workers)
{
    return SLOT_BANKS * workers + dispatch_reserves(workers);
}

/* The pipeline for which idle workers are kept free, one at a time (gang.c). */
struct gang_hold {
    int64_t no;        /* its first stage; 0 = none */
    uint64_t until_ns; /* then they are given back; 0 = none is idle yet */
    uint64_t pause_ns; /* until then nobody's */
    int64_t gave_up;   /* the first stage of whose hold ended last without a start */
    uint64_t look_ns;  /* while held: look again then */
    bool is_wanted;    /* a pipeline waits for the end of the pause */
    uint64_t max_ns;   /* how long a hold lasts, and the pause after it */
};

struct dispatch {
    struct pool *pool;
    struct store *store;
    struct starts starts;
    struct job_token_key token_key; /* any thread may read it */
    const struct log *log;
    struct metrics *metrics;
    const char *url;
    struct flight *flights;
    struct flight_row *stored, *committed;
    struct ready_job *ready;
    struct flight **pairs;      /* of the ready jobs, in the same order; NULL: none has been made */
    uint32_t *buckets;          /* the ready jobs by number, while they are being paired */
    struct admission admission; /* what the settings of queues allow */
    struct blob_cache *blobs;
    struct element_memo memo;
    struct brief brief;
    uint32_t n;        /* flights in use lie below it: at rest, a turn looks at them alone */
    uint32_t wanted_n; /* as many as the pools need now: banks and reservations of every worker; one
                          above is not used again */
    uint32_t made_n;   /* have had an arena so far */
    bool dirty;        /* queue or workers have changed: dispatch_claim has work */
    bool closed;       /* draining: nothing new starts */
    bool starved;      /* a worker idles for want of a commit: a free bank, or a reservation */
    int64_t suspect;   /* the job that a claim is about to read: whose fault an error is; 0: of none
                        */
    uint64_t backoff_until_ns; /* after a failed start */
    struct gang_hold hold;
    /* Pools that have a queue of their own, whose jobs their workers run and no others; 0: entry i
     * is none. Entry 0, the default pool, has all other queues. */
    uint32_t pool_queue[POOL_GROUPS];
    bool has_pools;                  /* any but the default one */
    bool is_shut[POOL_GROUPS];       /* nothing begins in this pool */
    const char *broken[POOL_GROUPS]; /* what died that has broken it; NULL: it is not */
};

/* The pool whose workers run the jobs of a queue. */
static inline uint32_t dispatch_pool_of(const struct dispatch *d, uint32_t queue)
{
    for (uint32_t i = 1; i < POOL_GROUPS && d->has_pools; i++)
        if (d->pool_queue[i] == queue)
            return i;
    return 0;
}

/* Whether a death has broken the pool of a queue: what died, or NULL. */
static inline const char *dispatch_broken(const struct dispatch *d, uint32_t queue)
{
    return d->broken[dispatch_pool_of(d, queue)];
}

/* The caller has set the borrowed members. */
MUST_CHECK bool dispatch_open(struct dispatch *d, const char *data_dir, struct err *err);
void dispatch_close(struct dispatch *d);
/* So many flights are needed from now on: the rooms of all pools. */
void dispatch_fit(struct dispatch *d, uint32_t flights);

/* collect: what the pool tells */
void dispatch_ended(struct dispatch *d, struct place place);
void dispatch_part(struct dispatch *d, struct place place); /* of a chunk some have ended */
void dispatch_idle(struct dispatch *d, uint32_t slot); /* its worker is free: a reserved job leaves
                                                          at once */
void dispatch_offer_begun(struct dispatch *d, struct place place);
void dispatch_offer_returned(struct dispatch *d, struct place place);
void dispatch_offer(struct dispatch *d); /* reservations to busy workers that have no offer */

/* early.c, before the commit: pure calls that were born in the open transaction leave for workers.
 * How many have. */
uint32_t dispatch_start_early(struct dispatch *d, const struct turn *turn);
/* Takes an event of one of them; false: it is of something else, or has to wait for the commit. */
bool dispatch_hear_early(struct dispatch *d, const struct pool_event *ev);

/* apply */
/* QUEUED → RUNNING of what has begun. What has ended as well is left to its end, which makes both
 * moves (flight_ends_unrecorded). */
MUST_CHECK bool dispatch_record(struct dispatch *d, struct turn *turn, struct err *err);
MUST_CHECK bool flight_record(struct dispatch *d, struct turn *turn, struct flight *f,
                              struct err *err);
static inline bool flight_ends_unrecorded(const struct flight *f)
{
    return f->state == FLIGHT_ENDED && f->unrecorded && !f->recording && f->chunk == NULL &&
           f->stages == 0 && !f->never_started && !f->stop_requested;
}
/* Before anything is decided about a waiting job: its reservation is taken back, or, when a worker
 * has taken it, its row becomes RUNNING. */
MUST_CHECK bool dispatch_settle(struct dispatch *d, struct turn *turn, int64_t no, struct err *err);
/* The same for the waiting jobs [first_no, first_no + n), but for elements of batches. */
MUST_CHECK bool dispatch_settle_range(struct dispatch *d, struct turn *turn, int64_t first_no,
                                      int64_t n, struct err *err);
/* The same for all waiting jobs of a queue, before its settings change. */
MUST_CHECK bool dispatch_settle_queue(struct dispatch *d, struct turn *turn, uint32_t queue,
                                      struct err *err);
MUST_CHECK bool dispatch_claim(struct dispatch *d, struct turn *turn, struct err *err);
void dispatch_claim_undone(struct dispatch *d);                     /* nothing of it was stored */
MUST_CHECK bool dispatch_sync(struct dispatch *d, struct err *err); /* the rows of flights */
struct flight *dispatch_find(struct dispatch *d, int64_t no); /* claimed, running or ended and not
                                                                 stored; NULL */
void dispatch_stop(struct flight *flight, int32_t signal, int64_t grace_us); /* STOP leaves in
                                                                                publish */

/* Around a step that may be undone alone (guard.c): what it has decided about flights goes back.
 * What it took back of offers and reservations stays so, and is made anew. */
void dispatch_mark(struct dispatch *d);
void dispatch_back_to_mark(struct dispatch *d);

/* after the transaction */
void dispatch_committed(struct dispatch *d); /* starts and stops leave, banks are released */
void dispatch_rolled_back(struct dispatch *d);

bool dispatch_has_news(const struct dispatch *d);    /* ends or beginnings that are not stored */
size_t dispatch_news(const struct dispatch *d);      /* how many, as far as they are counted: not
                                                        the ends within a chunk that goes on */
bool dispatch_has_ready(struct dispatch *d);         /* a claim could find something that is neither
                                                        running nor reserved */
uint32_t dispatch_ahead(const struct dispatch *d);   /* reserved jobs, offered or not */
bool dispatch_is_urgent(struct dispatch *d);         /* workers wait, or are about to wait, for the
                                                        next commit */
uint32_t dispatch_running(const struct dispatch *d); /* claimed, running, or ended and not stored */
void dispatch_drop_reservations(struct dispatch *d);

/* admission.c: when a rate may let a job begin; UINT64_MAX = none waits for it. */
uint64_t dispatch_next_look_ns(const struct dispatch *d);
void dispatch_look(struct dispatch *d, uint64_t now_ns); /* collect: it may be time */

/* At start (recover.c): what a dead server had in flight becomes `lost` or is queued again. Inside
 * a transaction. */
struct recovery {
    uint32_t lost, requeued;
};
MUST_CHECK bool dispatch_recover(struct dispatch *d, struct turn *turn, struct recovery *ret,
                                 struct err *err);
/* The recovery is committed: earlier servers' notes of starts may go. */
MUST_CHECK bool dispatch_recovered(struct dispatch *d, struct err *err);

/* inputs.c: what the job takes from its parents, to f->inputs. When that cannot be had any more the
 * job fails by it, and *ret_ok is false. */
MUST_CHECK bool flight_take_inputs(struct dispatch *d, const struct turn *turn, struct flight *f,
                                   bool *ret_ok, struct err *err);

/* flight.c, launch.c: for the files of this module. */
void flight_free(struct flight *f);
/* An element of a batch gets its own task and name, made from template and item. *ret_ok: false
 * when they make no command; the job has failed then, as if exec had. */
MUST_CHECK bool flight_make_own(struct dispatch *d, const struct turn *turn, struct flight *f,
                                bool *ret_ok, struct err *err);
void flight_trim(struct dispatch *d); /* after a commit: what is not in use is not looked at */
struct flight *flight_new(struct dispatch *d); /* NULL: all are in use */
/* What a start needs to know of the job. */
MUST_CHECK bool flight_read(struct dispatch *d, struct flight *f, int64_t no, struct err *err);
struct flight *flight_waiting(struct dispatch *d, int64_t no); /* reserved, offered, or begun and
                                                                  not recorded */
/* Finds the flights of all ready jobs at once, and gives these their rank: looking through all
 * flights for each job took a twentieth of a turn. */
void dispatch_pair(struct dispatch *d, size_t n_ready);
struct flight *flight_at(struct dispatch *d, struct place place); /* offered or running there */
uint32_t flight_count(const struct dispatch *d, enum flight_state state);
uint32_t flight_spare(const struct dispatch *d); /* so many flight_new would give */
/* The START frame leaves, with ends of pipes or NULL. False: nothing has started. */
MUST_CHECK bool flight_launch(struct dispatch *d, struct flight *f, const struct pool_ends *ends);
/* START could not leave: its end is that it did not begin. */
void flight_start_failed(struct dispatch *d, struct flight *f);
/* The row becomes RUNNING; START leaves in publish. */
MUST_CHECK bool flight_claim(struct dispatch *d, struct turn *turn, struct flight *f,
                             struct place place, struct err *err);
/* The next slot of the pool from *slot on that can take a job now. */
bool dispatch_next_idle(const struct dispatch *d, uint32_t group, uint32_t *slot,
                        struct place *ret);
/* Takes an offer back. False: it has been taken, and the flight runs now, unrecorded. */
bool flight_recall(struct dispatch *d, struct flight *f);
/* The offer is known to have been taken: its row becomes RUNNING. */
MUST_CHECK bool flight_take_offer(struct dispatch *d, struct turn *turn, struct flight *f,
                                  struct err *err);
/* launch.c: what the environment of a task says about its job. `env` owns the texts: release its
 * arena. */
#define MAX_START_ENV 6 /* the pool adds GANGER_RUN */
struct start_env {
    struct arena arena;
    struct slice items[MAX_START_ENV];
    uint32_t n;
    uint8_t note[STARTS_NOTE_SIZE];
};
struct start_names {
    const struct job_id *id;
    const char *name;
    uint32_t attempt;
    struct slice traceparent;
};
void flight_env(const struct dispatch *d, const struct start_names *names, struct start_env *env);
/* A committed reservation leaves for the worker, if it is idle. */
bool flight_start_reserved(struct dispatch *d, uint32_t slot);

/* gang.c: pipelines. Their stages begin together: either all are claimed in one transaction, or the
 * first one, which stands for all of them in the ready order, stays queued. */

/* Decides for each pipeline of the list: it begins now (`stages` is set), or it does not (it is
 * taken out). What comes behind one for which workers are held is cut off. */
MUST_CHECK bool gang_screen(struct dispatch *d, const struct turn *turn, struct ready_list *list,
                            size_t n_idle, struct err *err);
/* *slot as in dispatch_next_idle. */
MUST_CHECK bool gang_claim(struct dispatch *d, struct turn *turn, const struct ready_job *ready,
                           uint32_t *slot, struct err *err);
/* After the commit: all stages of the claimed one leave, joined by pipes. */
void gang_launch(struct dispatch *d, const struct flight *claimed);
/* In the transaction: the end of a stage that did not begin. Its pipeline waits again when no stage
 * has begun; else the stage has failed, and the others are stopped. `why` may be empty. */
MUST_CHECK bool gang_end_unstarted(struct dispatch *d, struct turn *turn, struct flight *f,
                                   const char *why, struct err *err);
/* At start: a claimed stage that has not begun. */
MUST_CHECK bool gang_recover(struct dispatch *d, struct turn *turn, const struct job_row *stage,
                             struct err *err);
/* When the claim must look again without any event: wall of clock_mono_ns; UINT64_MAX = never. */
uint64_t gang_deadline_ns(const struct dispatch *d);

#endif
