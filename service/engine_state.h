/* SPDX-License-Identifier: MIT */
/* The engine's members, for engine.c (the turn) and apply.c (what happens inside the transaction).
 * Nobody else includes this. */
#ifndef GANGER_SERVICE_ENGINE_STATE_H
#define GANGER_SERVICE_ENGINE_STATE_H

#include "service/base/footprint.h"
#include "service/dispatch.h"
#include "service/engine.h"
#include "service/events.h"
#include "service/inbox.h"
#include "service/pools.h"
#include "service/unlinker.h"
#include "service/waiters.h"
#include "storage/batches.h"
#include "storage/blobs.h"
#include "storage/deps.h"
#include "storage/inputs.h"
#include "storage/pools.h"

#define MAX_BATCH 512 /* commands of one turn */
#define MAX_BATCH_JOBS \
    4096 /* jobs that they may hold together; the command that passes it is the turn's last */
_Static_assert(TURN_BLOBS_OF_ENDS + TURN_BLOBS_OF_TIME + MAX_BATCH <= TURN_MAX_BLOBS,
               "each command may drop a blob");
#define MAX_TIMERS 500     /* rows that due times may change in one turn */
#define MAX_PRUNED 100     /* rows that retention may change in one turn */
#define MAX_POOL_EVENTS 64 /* at a time */
#define MAX_BOXES 65       /* HTTP threads, and the one of the callbacks */

/* What happens to a command after the commit. */
enum verdict { VERDICT_ANSWER, VERDICT_PARK };

/* The part that other threads read, all atomics. */
struct engine_shared {
    _Atomic int phase; /* enum engine_phase */
    _Atomic int64_t count[JOB_STATE_COUNT];
    _Atomic uint64_t wal_bytes, turns, commits;
    _Atomic bool disk_low;
    _Atomic int64_t deliveries; /* callbacks that are pending */
    _Atomic int64_t blobs;
    _Atomic uint64_t blob_bytes, blob_memory;
    _Atomic uint32_t delivering; /* tries that have begun and are not recorded yet */
    _Atomic bool has_defaults;   /* of some queue */
    _Atomic uint32_t n_awake;    /* threads that do not rest */
};

struct engine {
    struct engine_parts parts;
    int64_t started_us;
    int epoll_fd;
    int calm_fd; /* the same without the workers (pace.c) */
    struct inbox inbox;
    struct waiters *waiters;
    struct event_ring *events;
    struct store *store;
    struct dispatch dispatch;
    struct turn turn;
    struct engine_shared shared;
    struct pools pools;

    struct command *pending; /* taken from the inbox, not yet in a batch; oldest first */
    struct command *put_off; /* refused by the store, answered to nobody: for when it takes writes
                                again; by next */
    struct command *batch[MAX_BATCH];
    enum verdict verdicts[MAX_BATCH];
    size_t n_batch;
    struct mailbox *touched[MAX_BOXES]; /* mailboxes to notify at the end of the turn */
    size_t n_touched;

    /* What the pool has told during a transaction that was no matter of that one. */
    struct pool_event held[MAX_POOL_EVENTS];
    size_t n_held;

    uint64_t settings_epoch; /* of the settings that publish_queues has seen last */
    uint64_t n_feeds;        /* how often a standard input was lent */
    uint64_t salt_state;     /* of the generator for the random part of ids */
    int64_t next_due_us;     /* lower bound of the store's next timer; INT64_MAX = none */
    uint64_t lazy_until_ns;  /* outcomes that nobody waits for may gather until then; 0 = none wait
                              */
    uint64_t last_end_ns, end_before_ns; /* when attempts ended last */
    uint64_t typical_ns; /* how long attempts take now, rather too short than too long */
    uint64_t commit_ns;  /* and commits */
    bool may_nap;        /* PACE_NAP was said */
    struct rest rest;
    uint64_t nap_from_ns; /* when the nap before this turn began; 0 = there was none */
    bool lacks_pwait2;
    uint64_t careful_until_ns; /* steps have savepoints of their own until then (guard.c) */
    enum err_code refused_as;  /* the last transaction that was not stored */
    uint64_t retry_ns;         /* after a transaction that was not stored: not before this time */
    uint64_t drain_deadline_ns, drain_kill_ns;
    bool drain_hurried;
    bool is_telling;     /* the store may hold ends that not all children have heard of */
    bool has_batch_work; /* perhaps: a turn that finds none resets it */
    bool has_chores;     /* the same of verbs on many jobs */
    int64_t chore_at;    /* the one that had the last step */
    struct {
        struct chore_tally tally; /* id 0: none was over in this turn */
        struct err err;           /* why it ended before all was done */
    } chore_over;
    int deliver_fd; /* eventfd: a callback is due, or the phase has changed; -1: nobody listens */
    int spool_fd;   /* the data directory */
    struct unlinker *unlinker;
    int exit_code; /* ≥ 0: the service ends with it */
    bool zygote_gone;
};

/* apply.c: everything below runs inside the turn's transaction. False: the transaction must be
 * undone. */
MUST_CHECK bool apply_ends(struct engine *e, struct err *err);
MUST_CHECK bool apply_early_ends(struct engine *e, struct err *err); /* of what has left early */
MUST_CHECK bool apply_timers(struct engine *e, struct err *err);
MUST_CHECK bool apply_commands(struct engine *e, struct err *err); /* verbs.c */
/* guard.c: a step that follows from what is stored, about the job or batch `id` (or none).
 * *ret_dropped: it has failed by its logic and was undone; the rest of the transaction goes on. */
struct guarded {
    const char *name; /* for the operator: "tell the children of an end" */
    struct job_id id;
    bool (*run)(struct engine *e, const void *arg, struct err *err);
    const void *arg;
};
MUST_CHECK bool guard(struct engine *e, const struct guarded *step, bool *ret_dropped,
                      struct err *err);

/* early.c: calls of pure functions leave ahead of the commit. */
MUST_CHECK bool apply_early(struct engine *e, struct err *err);

/* claims.c: what may begin next is claimed or reserved. A job that cannot be read fails for it. */
MUST_CHECK bool apply_claims(struct engine *e, struct err *err);

/* reactions.c: reacts to what this transaction has changed so far (store_changes): whoever adds a
 * reaction adds it there, and no road to a state can miss it. A reaction may change more, which is
 * seen too. */
MUST_CHECK bool apply_changes(struct engine *e, struct err *err);
/* Before the transaction: the signal of a cancel leaves at once, so that one commit can tell both
 * the cancel and the end. It is the one effect that does not wait for a commit. Nothing is promised
 * by it: a server that dies now ends the tree anyway, and when the store refuses, the job still
 * ends as cancelled. */
void apply_stops_early(struct engine *e);
/* Whether a command needs the transaction at all. */
bool command_writes(const struct command *cmd);

/* deps.c: how the parents of a job or batch about to be born stand. INVALID, with nothing changed,
 * when one does not exist. Then, when the job is there, what it waits for; it may end by that. */
struct family {
    bool waits;     /* it is born blocked */
    bool is_doomed; /* a parent did not succeed, and it is not to run then */
    struct dep_end end;
};
MUST_CHECK bool apply_parents_look(struct engine *e, const struct job_spec *spec,
                                   struct family *ret, struct err *err);
MUST_CHECK bool apply_parents_enter(struct engine *e, const struct job_spec *spec, int64_t child,
                                    const struct family *family, struct err *err);
/* The reaction to a change: its children hear of an end. */
MUST_CHECK bool apply_family_change(struct engine *e, const struct job_change *change,
                                    struct err *err);
/* The same, but in the turns to come. */
MUST_CHECK bool apply_family_later(struct engine *e, const struct job_change *change,
                                   struct err *err);
/* What earlier turns have left to tell; whether there is any, in the store's words. */
MUST_CHECK bool apply_telling_left(struct engine *e, struct err *err);
MUST_CHECK bool apply_telling(struct engine *e, struct err *err);

/* unique.c: one job is submitted; a living one that holds its unique key may stand in its way.
 * verbs.c: it is born, whoever else has its key: only for unique.c. */
MUST_CHECK bool apply_insert(struct engine *e, struct submit_item *item, struct err *err);
MUST_CHECK bool apply_birth(struct engine *e, struct submit_item *item, struct err *err);
/* change.c: verbs on one job. */
MUST_CHECK bool apply_job_change(struct engine *e, struct command *cmd, struct err *err);
MUST_CHECK bool apply_job_retry(struct engine *e, const struct job_id *id, int64_t if_version,
                                struct err *err);
/* reach.c: what is asked of a running job leaves after the commit. */
MUST_CHECK bool apply_reach(struct engine *e, struct command *cmd, struct err *err);
/* feed.c: whether it runs; lending and giving back follow the commit. */
MUST_CHECK bool apply_feed(struct engine *e, struct command *cmd, struct err *err);
void publish_feed(struct engine *e, struct command *cmd); /* it is about to go back */
/* bulk.c: the same and others on many. */
MUST_CHECK bool apply_bulk(struct engine *e, struct command *cmd, struct err *err);
/* pools.c, pool_verbs.c */
MUST_CHECK bool pools_open(struct engine *e, struct err *err); /* before anything begins */
/* Whether the pool of a job, or of a queue, takes more: POOL_CLOSED, POOL_BROKEN; INVALID: there is
 * none of that name, or it takes none of that kind. */
MUST_CHECK bool pools_admit(const struct engine *e, const struct job_spec *spec, struct err *err);
MUST_CHECK bool pools_admit_queue(const struct engine *e, uint32_t queue, struct err *err);
MUST_CHECK bool apply_pool(struct engine *e, struct command *cmd, struct err *err);
MUST_CHECK bool apply_worker(struct engine *e, const struct command *cmd, struct err *err);
/* pool_walk.c: the jobs of a pool end, as its phase says. What is reserved goes back, and what runs
 * is stopped; all others follow step by step. */
MUST_CHECK bool pools_stop_flights(struct engine *e, uint32_t pool, const struct pool_stop_how *how,
                                   struct err *err);
void pools_walk_begin(struct engine *e, struct pool_entry *pool);
bool pools_is_ending(const struct engine *e, const struct pool_entry *pool);
/* A worker or a warm runner may have died under this job of the flight: that breaks a pool with
 * on_worker_death "break". Before the outcome is applied, and after that what it leaves waiting. */
MUST_CHECK bool apply_death(struct engine *e, const struct flight *f, const struct job_id *id,
                            const struct task_outcome *outcome, struct err *err);
void pools_landed(struct engine *e, const struct flight *f);
/* Jobs above this number were born into a queue: the rest of an upload that is under way. */
void pools_came_late(struct engine *e, uint32_t queue, int64_t above);
/* One step of the walks under way, and whether there are any. */
MUST_CHECK bool apply_pool_work(struct engine *e, struct err *err);
bool pools_have_work(const struct engine *e);
void pools_committed(struct engine *e); /* the workers follow */
void pools_publish(struct engine *e);   /* after the numbers of the commit */
void pools_rolled_back(struct engine *e);
void pools_drain(struct engine *e); /* nothing begins any more */
void pools_worker_gone(struct engine *e, const struct pool_event *ev);
void pools_health_changed(struct engine *e, const struct pool_event *ev);
/* queues.c */
MUST_CHECK bool apply_queue(struct engine *e, struct command *cmd, struct err *err);
MUST_CHECK bool apply_purge(struct engine *e, struct command *cmd, enum verdict *ret,
                            struct err *err);
MUST_CHECK bool queue_purge_step(struct engine *e, struct chore *c, struct err *err);
void publish_queues(struct engine *e); /* what HTTP threads must know, before they hear of it */
/* blobs.c */
MUST_CHECK bool apply_blob(struct engine *e, struct command *cmd, struct err *err);
MUST_CHECK bool apply_blob_delete(struct engine *e, struct command *cmd, struct err *err);
MUST_CHECK bool apply_blobs_prune(struct engine *e, struct err *err);
/* Files that an attempt has left, out of memory that is not ours alone: damaged ones, and those
 * that would pass a limit, make it fail. Then, its end is in the store: they become blobs, or go.
 */
MUST_CHECK bool apply_outputs_take(struct engine *e, struct task_outcome *outcome,
                                   struct task_blob kept[TASK_MAX_OUTPUTS], struct err *err);
MUST_CHECK bool apply_outputs(struct engine *e, int64_t no, const struct task_outcome *outcome,
                              const struct job_end *end, struct err *err);
void drop_outputs(struct engine *e, const struct task_outcome *outcome);
/* A job or batch that takes blobs has ended and needs them no more, or runs once more. */
MUST_CHECK bool apply_blob_change(struct engine *e, const struct job_change *change,
                                  struct err *err);
/* At the start: files without a row are of uploads that broke off with the server. */
MUST_CHECK bool blobs_sweep(struct engine *e, struct err *err);
/* verbs.c: VERSION_MISMATCH when the client has seen another version; 0 = any. */
MUST_CHECK bool apply_if_version(const struct job_row *row, int64_t wanted, struct err *err);
/* verbs.c: whether more jobs are taken just now, and the random part of an id. */
MUST_CHECK bool apply_admits(struct engine *e, struct err *err);
uint32_t apply_salt(struct engine *e);

/* key.c. Find: whether the key is known, with what was made then. Check: the same, and a known one
 * must have come with the same body; the command is then answered with what was made. Keep: what
 * was made under a new one. All do nothing without a key. */
MUST_CHECK bool key_find(struct engine *e, struct command_key *key, bool *ret_found,
                         struct err *err);
MUST_CHECK bool key_check(struct engine *e, struct command *cmd, bool *ret_new, struct err *err);
MUST_CHECK bool key_keep(struct engine *e, const struct command_key *key, int64_t first_no,
                         int64_t n, struct err *err);
/* The same of a batch whose items may still be coming, this time or then: until they are all there,
 * the key says only that they are under way. */
MUST_CHECK bool key_check_batch(struct engine *e, struct command_key *key, bool *ret_new,
                                struct err *err);
MUST_CHECK bool key_keep_batch(struct engine *e, const struct command *cmd, int64_t no,
                               struct err *err);
/* The same of more items for a batch, piece by piece: key.body is a digest of the items up to the
 * end of the piece. A piece that is in already is replayed, the next one is new. */
MUST_CHECK bool key_check_items(struct engine *e, struct command *cmd, bool *ret_new,
                                struct err *err);
MUST_CHECK bool key_keep_items(struct engine *e, const struct command *cmd, struct err *err);

/* graphs.c */
MUST_CHECK bool apply_graph(struct engine *e, struct command *cmd, struct err *err);
/* verbs.c: the row of a job whose parents have been looked at; apply_parents_enter follows. */
MUST_CHECK bool apply_row(struct engine *e, struct submit_item *item, const struct family *family,
                          struct err *err);

/* batches.c */
MUST_CHECK bool apply_batch(struct engine *e, struct command *cmd, struct err *err);
MUST_CHECK bool apply_batch_add(struct engine *e, struct command *cmd, struct err *err);
MUST_CHECK bool apply_batch_break(struct engine *e, const struct command *cmd, struct err *err);
/* An element has ended: another one may begin, or nothing any more. Or it waits again. */
MUST_CHECK bool apply_batch_change(struct engine *e, const struct job_change *change,
                                   struct err *err);
/* One step of what is left to do for one batch. */
MUST_CHECK bool apply_batch_work(struct engine *e, struct err *err);
/* The batch's parents have ended: its elements may begin. */
MUST_CHECK bool batch_release_begin(struct engine *e, int64_t no, struct err *err);
/* batches.c, for batch_verbs.c. Halt: nothing begins any more, and what waits is cancelled, a step
 * in each turn, with these words (NULL: none). Fill: lets in as many as max_parallel allows, in one
 * step. Both invalidate `b`. */
MUST_CHECK bool batch_halt(struct engine *e, const struct batch *b, const char *why,
                           struct err *err);
MUST_CHECK bool batch_fill(struct engine *e, const struct batch *b, struct err *err);
/* batch_items.c: its next elements, one for each item of `ask`. */
MUST_CHECK bool batch_add_items(struct engine *e, int64_t no, const struct batch_ask *ask,
                                struct err *err);
/* apply.c: how an attempt ended, and its two halves: what the outcome means, and what is stored. */
struct attempt_facts;
MUST_CHECK bool apply_outcome(struct engine *e, struct attempt_facts *facts,
                              const struct task_outcome *outcome, struct err *err);
MUST_CHECK bool apply_end_of(struct engine *e, struct attempt_facts *facts,
                             const struct task_outcome *outcome, struct job_end *ret,
                             struct err *err);
MUST_CHECK bool apply_store_end(struct engine *e, const struct attempt_facts *facts,
                                const struct task_outcome *outcome, const struct job_end *end,
                                struct err *err);
/* What an end that is stored otherwise means for metrics and timers. */
void apply_ended(struct engine *e, const struct job_row *row, const struct job_end *end);
/* Whether the pool of this queue has jobs whose worker died tried again (on_worker_death). */
bool apply_retries_lost(const struct engine *e, uint32_t queue);
/* chunks.c: all ends of a chunk in flight that are there by now; when the flight has ended, the
 * next of its chunk is let in. */
MUST_CHECK bool chunk_apply(struct engine *e, struct flight *f, struct err *err);
/* chunks.c. Whether an element of the same chunk has not ended; and its next one, after the end of
 * the one with this index, whose row may be gone. */
MUST_CHECK bool chunk_is_busy(struct engine *e, const struct batch *b, int64_t idx, bool *ret,
                              struct err *err);
MUST_CHECK bool chunk_next(struct engine *e, const struct batch *b, int64_t ended, struct err *err);
/* Whether this element, retried, waits behind the gate: max_parallel or its chunk opens that. Who
 * has not asked for chunks need not wait for his neighbours. */
MUST_CHECK bool chunk_holds_back(struct engine *e, const struct batch *b, int64_t idx, bool *ret,
                                 struct err *err);
/* Lets in the first element that is held back of the chunk at `place`, and moves `place` behind it;
 * without one, the work of releasing is over. `b` is the caller's copy. */
MUST_CHECK bool chunk_begin(struct engine *e, struct batch *b, struct err *err);
/* batch_verbs.c */
MUST_CHECK bool apply_batch_cancel(struct engine *e, struct command *cmd, enum verdict *ret,
                                   struct err *err);
MUST_CHECK bool apply_batch_retry(struct engine *e, struct command *cmd, enum verdict *ret,
                                  struct err *err);
MUST_CHECK bool batch_cancel_step(struct engine *e, struct chore *c, struct err *err);
MUST_CHECK bool batch_retry_step(struct engine *e, struct chore *c, struct err *err);
/* chores.c. Begin: the first step of a verb on many jobs; what it leaves is stored, and a step is
 * done in each turn, whatever becomes of the client, which hears when all is done (*ret). Work: the
 * step of this turn, of what earlier ones have begun. */
MUST_CHECK bool chore_begin(struct engine *e, struct command *cmd, struct chore *c,
                            enum verdict *ret, struct err *err);
MUST_CHECK bool apply_chore_work(struct engine *e, struct err *err);
/* A batch is stopped: what is being retried of it must not bring it back. */
MUST_CHECK bool chores_stop_retries(struct engine *e, int64_t batch, struct err *err);
/* At the start: uploads that a dead server was taking are cancelled. */
MUST_CHECK bool batches_recover(struct engine *e, struct err *err);

/* deliver.c: the ends that are to be told, and what became of the tries. */
MUST_CHECK bool deliver_open(struct engine *e, struct err *err);
MUST_CHECK bool apply_callback_change(struct engine *e, const struct job_change *change,
                                      struct err *err);
MUST_CHECK bool apply_delivered(struct engine *e, const struct command *cmd, struct err *err);
void publish_delivered(struct engine *e, const struct command *cmd); /* it is about to go back */
void deliver_wake(const struct engine *e);
bool deliver_is_busy(const struct engine *e);

/* apply.c: a timer of the store, or of the engine, is due at this wall time; 0 = none. */
void apply_due_at(struct engine *e, int64_t us);
/* Whether an error means that the transaction cannot go on. */
bool apply_is_store_failure(const struct err *err);
/* Ends the savepoint of a command that writes several things: one that was refused in its middle
 * (its queue is full) leaves nothing. Returns `ok`. */
MUST_CHECK bool apply_savepoint_leave(struct engine *e, bool ok, const struct err *err);

/* pipelines.c */
MUST_CHECK bool apply_pipeline(struct engine *e, struct command *cmd, struct err *err);
/* A stage of a pipeline has changed: all end when one is cancelled, or ends before they have
 * begun. */
MUST_CHECK bool apply_stage_change(struct engine *e, const struct job_change *change,
                                   struct err *err);

/* hear.c: what workers have told, what they do next with it, and what is offered to them. */
void collect_pool(struct engine *e);

/* engine.c: moves commands from the inbox to the batch, as many as a turn takes. */
void collect_commands(struct engine *e);

/* pace.c: whether this turn commits. LATER: nothing to store, or it may wait until lazy_until_ns.
 * NAP: until then nothing that a worker may tell changes what is to be done. */
enum pace { PACE_NOW, PACE_LATER, PACE_NAP };
enum pace pace_of_turn(struct engine *e);
/* When the next turn comes at the latest (clock_mono_ns). */
uint64_t pace_next_ns(struct engine *e);
/* Gives memory back when nothing has changed for a while. */
void pace_rest(struct engine *e);
void pace_note_commit(struct engine *e, uint64_t took_ns);
/* An attempt has ended there. */
void pace_note_end(struct engine *e, struct place place);
/* After a turn that was put off: true when workers need not be heard until *at_ns, which comes
 * earlier by this. */
bool pace_naps(struct engine *e, uint64_t now_ns, uint64_t *at_ns);

/* publish.c */
void publish_answer(struct engine *e, struct command *cmd);   /* a command that holds a place in the
                                                                 inbox */
void publish_answers(struct engine *e, struct command *list); /* parked ones, linked by next */
void publish_parks(struct engine *e);                         /* of the batch: those that wait */
void publish_commands(struct engine *e);                      /* the batch, by its verdicts */
void publish_notify(struct engine *e);  /* one write per mailbox that was empty */
void publish_changes(struct engine *e); /* wakes whoever waits for what has changed */
void publish_output(struct engine *e, const struct pool_event *event); /* and progress */
void publish_chore(struct engine *e); /* the one that was over in this turn */
void publish_stats(struct engine *e);
void publish_metrics(struct engine *e);
void publish_unlinks(struct engine *e);

/* drain.c */
void drain_begin(struct engine *e);
void drain_hurry(struct engine *e);       /* a second request to stop: at once */
void drain_drive(struct engine *e);       /* each turn of a drain; sets exit_code when it is over */
void drain_close_inbox(struct engine *e); /* answers everybody and lets nobody in any more */

#endif
