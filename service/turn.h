/* SPDX-License-Identifier: MIT */
/* What one turn of the engine has decided inside its transaction. It leaves in `publish`, after the
 * commit, or is forgotten with a rollback. */
#ifndef GANGER_SERVICE_TURN_H
#define GANGER_SERVICE_TURN_H

#include "service/command.h"
#include "storage/jobs.h"

/* Spool files that a turn may free: 2 for each of the rows that retention or FORGET touch. */
#define TURN_MAX_FILES 2048

struct turn_wake {
    int64_t no;
    bool ended;
};

struct turn {
    int64_t now_us;
    uint64_t now_ns;
    struct turn_wake *wakes; /* jobs whose row has changed */
    size_t n_wakes, cap_wakes;
    struct output_ref files[TURN_MAX_FILES];
    size_t n_files;
    uint64_t submitted, retried;
    uint64_t finished[JOB_STATE_COUNT];
};

void turn_begin(struct turn *turn);
void turn_wake(struct turn *turn, int64_t no, bool ended);
void turn_release(struct turn *turn);

#endif
