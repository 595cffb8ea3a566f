/* SPDX-License-Identifier: MIT */
/* Many jobs and batches that one request waits for. What is known about each is kept here; the
 * engine keeps one place per member that has not ended (struct park_group), and tells which ones to
 * look at again. Lives in the request; members_leave must be its release. */
#ifndef GANGER_API_MEMBERS_H
#define GANGER_API_MEMBERS_H

#include "api/received.h"
#include "api/request.h"

struct member {
    struct job_id id;
    uint32_t index; /* its place in what was asked */
    bool is_batch, is_done, is_gone;
    enum job_state state;
    int64_t finished_us;
};

struct members {
    struct member *all; /* each once, in the order of the request */
    uint32_t n, n_done;
    bool has_failed;  /* one that is done did: cancelled is no failure */
    uint32_t *ended;  /* members by number, in the order in which they ended */
    uint32_t n_ended; /* those of `ended`: the same as n_done */
    struct park_group *group;
    struct park_link *add; /* links that the engine has not got yet */
};

/* Reads all of them once. NOT_FOUND names one that there is not. With `received` a client goes on:
 * those that it has got are the first of `ended`, unread, and what is not there any more was
 * forgotten since the first time. NULL: this is the first time. */
MUST_CHECK bool members_open(struct request *rq, const struct wait_request *asked,
                             const struct received *received, struct members *ret, struct err *err);
/* The command has come back: looks at those that it names. */
MUST_CHECK bool members_heard(struct request *rq, struct members *m, struct err *err);
/* What to park with; members_parked when that was done. */
struct park members_park(const struct members *m, enum return_when when, uint64_t deadline_ns);
void members_parked(struct members *m);
void members_leave(struct request *rq, struct members *m);

#endif
