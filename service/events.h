/* SPDX-License-Identifier: MIT */
/* Every change, in one sequence: a ring in memory that the engine thread writes after each commit
 * and that HTTP threads read without a lock. Whoever falls behind by more than the ring, or comes
 * back after a restart, finds a gap. Nothing is written before somebody has listened once. */
#ifndef GANGER_SERVICE_EVENTS_H
#define GANGER_SERVICE_EVENTS_H

#include "service/base/job.h"

/* 4 MiB, touched only when it is used: seven seconds of 3,000 short jobs a second. */
#define EVENTS_MAX 65536u

enum event_kind { EVENT_JOB, EVENT_BATCH, EVENT_CALLBACK };

struct event {
    uint64_t seq;
    enum event_kind kind;
    int64_t no, batch;       /* of the job or batch; batch 0: of none */
    enum job_state from, to; /* JOB_BIRTH, JOB_GONE; CALLBACK: `to` is what is reported */
    uint32_t salt, queue;
    uint32_t attempt; /* CALLBACK: the try, from 1 */
    uint32_t outcome; /* CALLBACK: HTTP status, 0 = no answer */
    int64_t version, created_us, at_us;
};

struct event_ring;
/* first_seq ≥ 1: of the first event. */
struct event_ring *events_new(uint64_t first_seq);
void events_free(struct event_ring *ring);

/* Engine thread. Gives the event its number; does nothing while nobody has ever listened. */
void events_put(struct event_ring *ring, const struct event *event);

/* Any thread. From now on there are events. Returns the number that the next one gets. */
uint64_t events_listen(struct event_ring *ring);

enum events_found {
    EVENTS_FOUND,
    EVENTS_NONE, /* not yet */
    EVENTS_GONE  /* overwritten, of an earlier run, or never given: go on at *ret_next */
};
enum events_found events_get(const struct event_ring *ring, uint64_t seq, struct event *ret,
                             uint64_t *ret_next);

#endif
