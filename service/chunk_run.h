/* SPDX-License-Identifier: MIT */
/* A chunk in one worker turn: neighbours of a batch that one flight carries, so that their worker
 * runs them back to back. The first one, the head, stands for all of them in the ready order; the
 * others, its mates, wait behind the gate of their batch until they begin. Owner: the engine
 * thread.
 *
 * 1. `info.row` of the flight is the element that is known to have begun last, so who looks for the
 * flight of a running job finds it.
 * 2. A mate that has not begun is an ordinary blocked job: before anything is decided about it, it
 * is taken back with all that come behind it (chunk_settle), by an atomic for each that either its
 * worker or the engine wins. So what has begun of a chunk is always its first elements, one by one.
 * 3. An element whose end has not been applied keeps its place: ends are applied in the order of
 * the mates, all that are there in each transaction.
 * 4. What the turn did not begin stays behind the gate; the end of the flight lets the next one in.
 */
#ifndef GANGER_SERVICE_CHUNK_RUN_H
#define GANGER_SERVICE_CHUNK_RUN_H

#include "pool/mates.h"
#include "pool/pool.h"
#include "service/turn.h"
#include "storage/batches.h"

struct dispatch;
struct flight;

struct chunk_mate {
    struct job_row row;  /* as it was behind the gate */
    bool recorded;       /* its row may say `running` */
    bool stop_requested; /* as the flight's, of one that is not the current one any more */
};

struct chunk_run {
    struct job_row head;
    bool head_stop_requested;
    struct chunk_mate *mates; /* mate i + 1 of the bank */
    struct pool_mate *tasks;  /* their bytes are the flight's until it begins */
    uint32_t n;               /* that have not been taken back */
    int64_t span;             /* the numbers of all elements are less than head.no + span */
    uint32_t max_failed;
    bool is_free;                        /* JOB_FREE_CHUNKS */
    uint32_t current, current_stored;    /* whom info.row is; 0: the head */
    struct mates_cursor applied, stored; /* ends, with the open transaction and without it */
    bool has_part;                       /* some have ended that no transaction has seen */
};

/* What an element's task and name are made from. */
struct chunk_source {
    struct slice template_bytes; /* absent: it is no element */
    const char *name;
};
/* Gives the flight of a reserved element the mates that may run behind it. */
MUST_CHECK bool chunk_board(struct dispatch *d, struct flight *f, const struct chunk_source *source,
                            struct err *err);
void chunk_free(struct flight *f);
void chunk_put(const struct flight *f, struct pool_task *ret); /* into the task that leaves */
/* It has left: the bank may have taken less. */
void chunk_left(struct dispatch *d, struct flight *f);

/* The flight in which this job waits as a mate that has no end yet; NULL: none. */
struct flight *chunk_find(struct dispatch *d, int64_t no, uint32_t *ret_mate);
/* Before anything is decided about a mate (1 …): it is taken back, or its row becomes RUNNING. */
MUST_CHECK bool chunk_settle(struct dispatch *d, struct turn *turn, struct flight *f, uint32_t mate,
                             struct err *err);
/* The same for all of a range of indexes. */
MUST_CHECK bool chunk_settle_range(struct dispatch *d, struct turn *turn, struct flight *f,
                                   const struct batch_range *range, struct err *err);
/* Every element there is. */
#define CHUNK_WHOLE ((struct batch_range){.n = INT64_MAX})
/* Without a transaction: nothing more of it begins. */
void chunk_cut(struct dispatch *d, struct flight *f);
/* A turn whose size the service has chosen takes longer than it thought, since one of its elements
 * does: those behind it come back, and go into the queue. From when on that is so: UINT64_MAX = of
 * none. */
uint64_t chunk_late_ns(const struct dispatch *d);
MUST_CHECK bool chunk_part_late(struct dispatch *d, const struct turn *turn, struct err *err);
/* The element that runs now is recorded as such. */
MUST_CHECK bool chunk_record_now(struct dispatch *d, struct turn *turn, struct flight *f,
                                 struct err *err);
/* Whether one of these elements is in one of the states (bits of TO). */
MUST_CHECK bool chunk_has(struct store *store, struct batch_range range, uint32_t states, bool *ret,
                          struct err *err);
/* The first of these elements that the gate holds back; no = 0: none. */
MUST_CHECK bool chunk_first_gated(struct store *store, struct batch_range range,
                                  struct job_row *ret, struct err *err);
/* Lets in the next element of a chunk, whoever has ended. */
struct chunk_place {
    const struct batch *batch;
    int64_t idx; /* one of its elements: those behind it come first */
    bool checks; /* not when one is under way, which the caller does not know */
};
MUST_CHECK bool chunk_go_on(struct dispatch *d, const struct turn *turn,
                            const struct chunk_place *place, struct err *err);
/* That with several elements of the chunk of this index, whose end lets the next one in; or NULL.
 */
const struct flight *chunk_flight(const struct dispatch *d, const struct batch *b, int64_t idx);

void chunk_committed(struct flight *f);
void chunk_rolled_back(struct dispatch *d, struct flight *f);
/* What was decided since this element was the current one is undone. */
void chunk_back_to(struct dispatch *d, struct flight *f, uint32_t element);

#endif
