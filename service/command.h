/* SPDX-License-Identifier: MIT */
/* What callers may ask of the engine. A command is made by an HTTP thread, belongs to the engine
 * from engine_post until it comes back in the mailbox of its home thread, and carries request and
 * answer. One command is one transaction's unit: it is applied whole or not at all. */
#ifndef GANGER_SERVICE_COMMAND_H
#define GANGER_SERVICE_COMMAND_H

#include "service/base/job.h"

#include <stdatomic.h>

/* Where a thread gets its commands back. Filled by the engine (one producer), emptied by its owner;
 * the descriptor is written at most once per turn. */
struct mailbox {
    _Atomic(struct command *) head; /* newest first */
    int event_fd;                   /* eventfd, non-blocking */
};
MUST_CHECK bool mailbox_open(struct mailbox *box, struct err *err);
void mailbox_close(struct mailbox *box);
/* All commands that have come back, oldest first, linked by `next`. Resets the eventfd. */
struct command *mailbox_take(struct mailbox *box);

enum command_kind {
    CMD_SUBMIT, /* one or more jobs */
    CMD_CANCEL,
    CMD_FORGET,
    CMD_PARK,  /* come back when the topic changes or the deadline passes */
    CMD_UNPARK /* the client of a parked command is gone; never answered: the engine frees it */
};

/* One job of a submission. `spec` is read by the codec; command_prepare fills `task`. */
struct submit_item {
    struct job_spec spec;
    struct slice task; /* encoded; in the request's memory */
    /* Answer. */
    struct err err; /* err.code == ERR_NONE: stored as `id` */
    struct job_id id;
    int64_t created_us, due_us;
    enum job_state birth; /* QUEUED or SCHEDULED */
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

    union {
        struct {
            struct submit_item *items;
            uint32_t n;
            bool has_key;
            uint8_t key[32], body[32]; /* idempotency: SHA-256 of token, route and key; of the body
                                        */
            /* Answer when the key was known: the jobs made then, items are untouched. */
            bool replayed;
            int64_t first_no, n_replayed;
        } submit;
        struct {
            struct job_id id;
            bool only_queued; /* "if": "queued" */
            int32_t signal;   /* 0: the job's own */
            int64_t grace_us; /* < 0: the job's own */
            char why[120];
            bool cancelled; /* answer: this call (or an earlier one) cancels it */
        } cancel;
        struct {
            struct job_id id;
            int64_t if_version; /* 0 = any */
        } forget;
        struct {
            uint64_t topic;
            uint32_t seen_epoch; /* engine_epoch before the read that found nothing */
            uint64_t deadline_ns;
            uint64_t not_before_ns; /* streams: not earlier than this, to gather more; 0 = at once
                                     */
            bool watch; /* the topic is a job whose running output somebody reads: move it to the
                           spool */
        } park;
    };
    /* Engine's own while it holds the command: links of waiters.c. */
    struct command *bucket_next, **bucket_prev, *wheel_next, **wheel_prev, *id_next, **id_prev;
    uint64_t parked_topic, parked_deadline_ns;
    bool parked, wake_pending;
};

/* Fills item->task from item->spec (job defaults applied by the codec). Bytes go to `a`. Any
 * thread. */
MUST_CHECK bool command_prepare(struct submit_item *item, int64_t now_us, struct arena *a,
                                struct err *err);

/* Topics: what one can wait for. The end of a job wakes all three of its topics. */
#define TOPIC_ALL UINT64_C(0)
static inline uint64_t topic_job(int64_t no) /* any change of its row */
{
    return UINT64_C(1) << 56 | (uint64_t)no;
}
static inline uint64_t topic_end(int64_t no) /* it has ended */
{
    return UINT64_C(2) << 56 | (uint64_t)no;
}
static inline uint64_t topic_output(int64_t no) /* more output of a watched job, or a new attempt */
{
    return UINT64_C(3) << 56 | (uint64_t)no;
}
static inline uint64_t topic_batch(int64_t no) /* any change of a batch: an element moved */
{
    return UINT64_C(4) << 56 | (uint64_t)no;
}

#endif
