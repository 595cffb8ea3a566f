/* SPDX-License-Identifier: MIT */
/* What callers may ask of the engine. A command is made by an HTTP thread, belongs to the engine
 * from engine_post until it comes back in the mailbox of its home thread, and carries request and
 * answer. One command is one transaction's unit: it is applied whole or not at all. */
#ifndef GANGER_SERVICE_COMMAND_H
#define GANGER_SERVICE_COMMAND_H

#include "service/base/batch.h"
#include "service/base/blob.h"
#include "service/base/callback.h"
#include "service/base/chore.h"
#include "service/base/pool_spec.h"
#include "service/base/queue.h"
#include "service/told.h"

#include <stdatomic.h>

/* Where a thread gets its commands back. Filled by the engine (one producer), emptied by its owner;
 * the descriptor is written at most once per turn. */
struct mailbox {
    _Atomic(struct command *) head; /* newest first */
    int event_fd;                   /* eventfd, non-blocking */
};
MUST_CHECK bool mailbox_open(struct mailbox *box, struct err *err);
void mailbox_close(struct mailbox *box);
/* All commands that have come back, oldest first, linked by `next`. */
struct command *mailbox_take(struct mailbox *box);
/* Before it, where the descriptor is not watched for edges: resets it. */
void mailbox_heard(struct mailbox *box);

enum command_kind {
    CMD_SUBMIT, /* one or more jobs */
    CMD_CANCEL,
    CMD_FORGET,
    CMD_CHANGE,     /* other members of a job that waits */
    CMD_RETRY,      /* a finished job, once more */
    CMD_REACH,      /* something is asked of a running job */
    CMD_FEED,       /* its standard input is lent to a request, or given back */
    CMD_FEED_BREAK, /* given back by a request that ended before; never answered: the engine frees
                       it */
    CMD_BULK,       /* one verb on many jobs, of which each may refuse it */
    CMD_GRAPH,      /* a batch of jobs that may depend on each other */
    CMD_BATCH,      /* a new batch, with its first items */
    CMD_BATCH_ADD,  /* more items */
    CMD_BATCH_CANCEL,
    CMD_BATCH_RETRY,
    CMD_BATCH_BREAK, /* an upload has broken off; never answered: the engine frees it */
    CMD_DELIVERED,   /* what became of one try of a callback */
    CMD_QUEUE,       /* the settings of a queue */
    CMD_PURGE,       /* what waits in a queue is cancelled */
    CMD_POOL,        /* settings of a pool, and whether it takes jobs */
    CMD_WORKER,      /* a worker is replaced */
    CMD_PIPELINE,    /* jobs that begin together, joined by pipes */
    CMD_BLOB,        /* the row of a file that is there */
    CMD_BLOB_DELETE,
    CMD_BLOB_WRITE, /* a piece of that file: not the engine's, but for blob_writer.h */
    CMD_PARK,       /* come back when the topic changes or the deadline passes */
    CMD_UNPARK /* the client of a parked command is gone; never answered: the engine frees it */
};

enum reach_verb { REACH_SIGNAL, REACH_SUSPEND, REACH_RESUME };

enum bulk_verb { BULK_CANCEL, BULK_RETRY, BULK_DELETE, BULK_VERB_COUNT };
/* A turn's share of a bulk command, in jobs that are cancelled as a range; by itself, one takes
 * twice as long. A command that brings more has to come again. */
#define BULK_SHARE 768u

/* One job of a submission. `spec` is read by the codec; command_prepare fills `task`. */
struct submit_item {
    struct job_spec spec;
    struct slice task; /* encoded; in the request's memory */
    bool is_parent;    /* of a graph: another one waits for it */
    int64_t batch;     /* the engine's, in a graph; 0: none */
    uint32_t index;    /* its place there */
    /* Answer. */
    struct err err; /* err.code == ERR_NONE: stored as `id` */
    struct job_id id;
    int64_t created_us, due_us;
    enum job_state birth; /* QUEUED, BLOCKED or SCHEDULED */
    bool has_ended;       /* at once: a parent had not succeeded */
    /* `id` is not new: it holds the same unique key. So is that of an item refused as DUPLICATE. */
    bool is_existing;
};

/* One place in one topic's list of waiters. */
struct park_link {
    struct park_link *next, **prev; /* prev NULL: it is in no list */
    uint64_t topic;
    uint32_t seen_epoch; /* engine_epoch before the read that found nothing */
    struct command *cmd; /* who waits; NULL: a group does */
    struct park_group *group;
    struct park_link *chain; /* of links to be added, or of woken ones */
};

/* A wait on many topics by one command that comes and goes. The links stay with the engine while
 * the command is away, so each is put in and taken out once, however often the command is woken.
 * Made and filled by the command's thread; from the first park on the engine's, which frees it
 * after engine_leave. A woken link is its maker's again until it is added anew. */
struct park_group {
    struct park_group *next, **prev;       /* all groups of the engine */
    struct command *cmd;                   /* the parked command; NULL: it is away */
    struct park_link *woken, **woken_tail; /* in the order of their changes */
    struct park_group *left;               /* by waiters_leave */
    uint32_t n_woken;
    bool has_failed; /* one of them by a failure, or perhaps by one */
    uint32_t n;
    struct park_link links[];
};
struct park_group *park_group_new(uint32_t n); /* any thread */

/* What a waiter for a batch wants to see; until then its changes do not wake it. The end of the
 * batch always does. All zero: any change. */
struct batch_wish {
    int64_t min_done;     /* elements that have ended */
    int64_t min_ended;    /* places in the order of ends */
    int64_t min_elements; /* elements there are */
    bool on_failure;      /* an element that failed */
};
#define WISH_END_ONLY INT64_MAX /* for min_done */
bool batch_wish_is_fulfilled(const struct batch_wish *wish, const struct batch *b); /* any thread */
/* Idempotency. key: SHA-256 of token, route and key; body: of the body, or zeros while it is still
 * coming. */
struct command_key {
    bool is_given;
    uint8_t key[32], body[32];
    /* Answer when the key was known: what was made then; nothing else was done. */
    bool replayed;
    int64_t first_no, n;
    uint8_t first_body[32];
};

#define KEY_REUSED_TEXT \
    "This Idempotency-Key came with another body before; use a new key for a new request"

/* Jobs that may depend on each other: those name their parents by index (job_parent.index). */
struct graph_ask {
    struct job_id id;            /* answer */
    const struct job_spec *spec; /* the batch's texts and queue */
    int64_t max_failures;
    struct submit_item *items; /* n ≥ 1 */
    uint32_t n;
};

/* Items for a batch. All bytes are the request's. */
struct batch_ask {
    struct job_id id;                              /* BATCH: answer; else: which */
    const struct job_spec *spec;                   /* BATCH: the template's texts and queue */
    struct slice template_bytes;                   /* BATCH: service/element.h */
    int64_t max_parallel, max_failures, chunksize; /* chunksize 0: as the service sees fit */
    const struct slice *items;                     /* n_items, each validated JSON */
    uint32_t n_items;
    bool uploads;  /* ADD: the items are the rest of the request that has made the batch; else: */
    int64_t first; /* … how many of its items the request has sent before */
    bool is_last;  /* … and whether it has no more */
    enum batch_phase phase; /* after it: UPLOADING, OPEN or CLOSED */
};

/* Elements of a batch that are to be cancelled or retried. */
struct batch_pick {
    struct job_id id;
    bool by_index; /* else CANCEL: all; RETRY: those that failed */
    /* In the request's memory. RETRY always goes by them. */
    const struct index_range *ranges;
    uint32_t n_ranges;
    char why[120];
};
/* What a turn bears of a verb on many jobs (chores.c). */
#define MAX_PURGED 500  /* jobs that wait */
#define MAX_PICKED 4096 /* elements that are cancelled */
#define MAX_RETRIED 512 /* elements that are retried, after a look at MAX_LOOKED_AT */
#define MAX_LOOKED_AT 65536

/* A pipeline. All bytes are the request's. */
struct pipeline_ask {
    const struct job_spec *spec; /* of the whole: name, labels, queue, parents … */
    struct submit_item *stages;
    uint32_t n;
    struct job_id id; /* answer: of its batch */
};

struct blob_upload;
/* A blob. Of WRITE the bytes, which stay the request's; the last piece makes the file durable. */
struct blob_ask {
    struct job_id id; /* BLOB: answer */
    uint64_t file, bytes;
    uint8_t sha256[SHA256_BYTES];
    int64_t keep_us;
    struct blob_upload *upload;
    struct slice piece;
    bool is_last;
};

enum pool_verb { POOL_CHANGE, POOL_CLOSE, POOL_REOPEN, POOL_TERMINATE, POOL_MAKE, POOL_DELETE };
struct pool_ask {
    struct slice name;
    enum pool_verb verb;
    unsigned members; /* CHANGE, MAKE: bits of enum pool_member, which are taken from `to` */
    struct pool_settings to;
    struct slice runner; /* MAKE: pool_runner.h; absent: none */
    int64_t if_version;  /* CHANGE; 0: any */
    bool cancel_queued;  /* CLOSE: what has not begun is cancelled */
    int32_t signal;      /* TERMINATE; 0: the job's own */
    int64_t grace_us;    /* < 0: the job's own */
};

/* The standard input of a job (feed.h). */
struct feed_ask {
    struct job_id id;
    bool is_done; /* it is given back; else it is lent */
    bool is_eof;  /* with is_done: nothing follows */
    bool has_offset;
    uint64_t offset; /* so many bytes must have been fed before */
    uint64_t n;      /* with is_done: fed by this request */
    uint64_t holder; /* with is_done; else answer */
    /* Answer. */
    uint64_t total; /* fed so far */
    int fd;         /* the request's to close */
};

struct command {
    struct command *next;
    enum command_kind kind;
    struct mailbox *home;
    void *owner;    /* the HTTP request; the engine never looks */
    struct err err; /* answer: ERR_NONE or why the whole command was refused */
    /* When non-zero (clock_mono_ns): after its commit, SUBMIT of one job or CANCEL does not come
     * back but waits for the job's end until then. */
    uint64_t wait_until_ns;
    bool timed_out; /* answer: came back because the deadline passed */
    /* Unique id of a command that may wait, which UNPARK names. Not a pointer and not the topic:
     * the one may have come back meanwhile, the other is not known before a submission is applied.
     */
    uint64_t waiter;
    struct command_key key; /* of SUBMIT, BATCH, PIPELINE and BLOB */
    /* Answer of BATCH_CANCEL, BATCH_RETRY and PURGE, which come back when all is done. */
    struct chore_tally tally;

    union {
        struct {
            struct submit_item *items;
            uint32_t n;
            /* Answer, of one that has waited: the job has succeeded, and beside what it was born
             * with its view is this (jobs_plain_end). */
            bool has_end;
            struct job_view end;
        } submit;
        struct graph_ask graph;
        struct batch_ask batch;
        struct batch_pick pick;
        struct feed_ask feed;
        struct pipeline_ask pipeline;
        struct blob_ask blob;
        struct pool_ask pool;
        struct {
            uint32_t slot;
            int32_t signal; /* for what it runs; 0: the job's own */
            int64_t grace_us;
        } worker;
        struct {
            struct job_id id;
            bool only_queued; /* "if": "queued" */
            int32_t signal;   /* 0: the job's own */
            int64_t grace_us; /* < 0: the job's own */
            char why[120];
            bool has_left;  /* its signal, ahead of the commit */
            bool cancelled; /* answer: this call (or an earlier one) cancels it */
        } cancel;
        struct {
            struct job_id id;
            int64_t if_version; /* 0 = any */
        } forget;
        struct {
            struct job_id id;
            int64_t if_version;          /* 0 = any */
            uint32_t members;            /* enum job_member: which are taken from `spec` */
            const struct job_spec *spec; /* in the request's memory */
            int64_t due_us;              /* with MEMBER_DUE */
        } change;
        struct {
            struct job_id id;
            int64_t if_version; /* 0 = any */
        } retry;
        struct {
            struct job_id id;
            enum reach_verb verb;
            int32_t signal;
            bool is_tree; /* the signal is for all of its processes */
        } reach;
        struct {
            enum bulk_verb verb;
            const struct job_id *ids; /* in the request's memory */
            uint32_t n;
            int32_t signal; /* these as in `cancel` */
            int64_t grace_us;
            char why[120];
            /* Answer: how many of the ids were looked at (a turn may have no room for all), and
             * how many of these jobs were changed. */
            uint32_t n_done, n_changed;
        } bulk;
        struct {
            int64_t id, no;      /* of the delivery; what it is about */
            struct job_id about; /* the same; no = 0: it is gone */
            bool is_batch;
            enum job_state state; /* that is told */
            uint32_t n;           /* the try, from 1 */
            int64_t at_us, took_us;
            int64_t again_us; /* with TRY_FAILED: when it is due once more */
            int32_t http_status;
            enum try_outcome outcome;
            char error[120];
        } delivered;
        struct {
            struct slice name;
            struct queue_change change;
            bool may_make; /* a queue that is not there */
            bool is_delete;
            bool is_new; /* answer */
        } queue;
        struct {
            struct slice queue;
        } purge;
        struct {
            uint64_t topic;
            uint32_t seen_epoch; /* engine_epoch before the read that found nothing */
            uint64_t deadline_ns;
            uint64_t not_before_ns; /* streams: not earlier than this, to gather more; 0 = at once
                                     */
            bool watch; /* the topic is a job whose running output somebody reads: move it to the
                           spool */
            struct batch_wish wish; /* the topic is a batch */
            struct told_end *told;  /* or NULL; where the engine may put the end that is wished for
                                     */
            /* Instead of the topic: */
            struct park_group *group;
            struct park_link *add; /* by `chain`: links that are to join the group's others */
            uint32_t needed;       /* come back when so many have been woken */
            bool on_failure;       /* or at the first that failed */
            /* Answer: those that were woken, or may have been before they were added, by `chain`.
             */
            struct park_link *woken;
        } park;
    };
    /* Engine's own while it holds the command: waiters.c. */
    struct park_link link;
    struct command *wheel_next, **wheel_prev, *id_next, **id_prev;
    uint64_t parked_deadline_ns;
    bool parked, wake_pending;
};

/* Fills item->task from item->spec (job defaults applied by the codec). Bytes go to `a`. Any
 * thread. */
MUST_CHECK bool command_prepare(struct submit_item *item, int64_t now_us, struct arena *a,
                                struct err *err);

/* The wire form of what `spec` runs. Bytes go to `a`. */
struct command_frame {
    int64_t deadline_us; /* wall clock, absolute; 0 = none */
    struct slice prefix; /* what stands before it, or absent */
};
MUST_CHECK bool command_encode(const struct job_spec *spec, const struct command_frame *frame,
                               struct arena *a, struct slice *ret, struct err *err);

/* What its transaction costs at most, in the time that the insertion of one job takes; a parent
 * takes about half of that. However many clients ask at once, no turn takes more than its share. */
size_t command_jobs(const struct command *cmd);

/* Topics: what one can wait for. The end of a job wakes all three of its topics. Batches take their
 * numbers from the same sequence: the end of a batch is a topic_end too. */
#define TOPIC_ALL UINT64_C(0)
static inline uint64_t topic_job(int64_t no) /* any change of its row */
{
    return UINT64_C(1) << 56 | (uint64_t)no;
}
static inline uint64_t topic_end(int64_t no) /* it has ended */
{
    return UINT64_C(2) << 56 | (uint64_t)no;
}
static inline uint64_t topic_output(int64_t no) /* more output of a watched job, progress
                                                        of one that is listened to, or a new attempt
                                                 */
{
    return UINT64_C(3) << 56 | (uint64_t)no;
}
static inline uint64_t topic_pool(uint32_t pool) /* it has nothing more to run, or its phase has
                                                    changed */
{
    return UINT64_C(5) << 56 | ((uint64_t)pool + 1);
}
static inline uint64_t topic_chore(int64_t id) /* it is over */
{
    return UINT64_C(6) << 56 | (uint64_t)id;
}
static inline uint64_t topic_batch(int64_t no) /* a change of a batch: struct batch_wish */
{
    return UINT64_C(4) << 56 | (uint64_t)no;
}

#endif
