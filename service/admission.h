/* SPDX-License-Identifier: MIT */
/* Which queues let their jobs begin: pause, concurrency, rate and weight. Part of the dispatcher.
 *
 * What is counted are flights, so a limit holds for jobs that are reserved, in a worker's hand,
 * running, or ended and not stored: whatever a worker takes by itself has been counted before.
 * Without settings nothing of this costs anything: `n_ruled` is 0. */
#ifndef GANGER_SERVICE_ADMISSION_H
#define GANGER_SERVICE_ADMISSION_H

#include "service/window.h"
#include "storage/queue.h"
#include "storage/settings.h"

struct dispatch;
struct flight;

/* One queue, as far as its jobs are in flight. */
struct lane {
    struct window *window; /* NULL: no rate */
    /* Flights, counted by admission_count. */
    uint32_t waiting;    /* reserved or offered */
    uint32_t begun;      /* claimed, running, or ended while that is not stored */
    uint32_t unrecorded; /* of those: the row still says `queued` */
    uint32_t unseen;     /* claimed or begun, and not yet in `window`: each holds a token */
    /* Weights. */
    int64_t pass;
    bool competes; /* had jobs that could begin at the last look */
    /* What the database has of `window`. */
    uint64_t changes, written, committed;
    uint32_t held, held_committed;
};

struct admission {
    uint64_t epoch;     /* of the settings that the rest was made from */
    struct lane *lanes; /* by queue number - 1; NULL until a queue has a rule */
    struct queue_lane *peek;
    uint32_t *ruled; /* the queues with rules, by number */
    uint32_t n_ruled, max;
    bool by_weight;
    int64_t virtual_pass; /* the pass of a queue that has just begun to compete */
    /* The moment that rooms are judged by, from one look to the next: a token that comes back while
     * the engine looks at the queue is as good as one that comes back afterwards. */
    uint64_t now_ns;
    uint64_t look_ns; /* when a rate may let the next job begin; UINT64_MAX: none waits for it */
};

/* After the store has been opened. */
MUST_CHECK bool admission_open(struct dispatch *d, struct err *err);
void admission_close(struct dispatch *d);
/* Settings may have changed, or a change was taken back. */
void admission_refresh(struct dispatch *d);
/* Queued jobs that may not begin now, whatever is idle. */
int64_t admission_held_back(struct dispatch *d);
/* What queue_peek may find; `list` stays as it is without rules. */
void admission_plan(struct dispatch *d, struct ready_list *list);
/* Before new flights board: an offer that could not be recalled has taken a place. */
void admission_count(struct dispatch *d);
/* Whether one more job of this queue may board; it is counted then. */
bool admission_board(struct dispatch *d, uint32_t queue);
bool admission_has_rate(const struct dispatch *d, uint32_t queue);
/* The same for the stages of a pipeline: all or none. */
bool admission_board_all(struct dispatch *d, uint32_t queue, uint32_t n);
/* So many jobs of this queue may begin now; `ever`: if none of it were in flight. */
uint32_t admission_room(struct dispatch *d, uint32_t queue, bool ever);
/* When rates want to look again; sets look_ns. */
void admission_look_later(struct dispatch *d);
/* The attempt begins. */
void admission_begun(struct dispatch *d, const struct flight *f);
/* The flight is over. */
void admission_land(struct dispatch *d, struct flight *f);
/* Inside the transaction: what the next server must know. */
MUST_CHECK bool admission_sync(struct dispatch *d, struct err *err);
void admission_committed(struct dispatch *d);

#endif
