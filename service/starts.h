/* SPDX-License-Identifier: MIT */
/* Which attempts have begun: one note for each bank of each slot in <data>/starts. The worker
 * writes it just before it begins the task, without a sync: the page cache survives any kill -9;
 * after a power cut the boot id differs, and every attempt in flight counts as started. Thus
 * `max_attempts: 1` is exact without waiting for a disk, and a kill -9 loses no job that never ran.
 * Owner: the engine thread. */
#ifndef GANGER_SERVICE_STARTS_H
#define GANGER_SERVICE_STARTS_H

/* Below the data directory. */
#define STARTS_FILE "starts"

#include "pool/pool.h"

struct starts {
    int fd;
    uint8_t boot[16];
};

MUST_CHECK bool starts_open(struct starts *starts, const char *data_dir, struct err *err);
void starts_close(struct starts *starts);
/* The note of an attempt, to be handed to the worker with the task. */
#define STARTS_NOTE_SIZE 64
#define STARTS_NOTE_NO_AT 8 /* where the number stands in it */
void starts_note(const struct starts *starts, int64_t no, uint32_t attempt,
                 uint8_t ret_note[STARTS_NOTE_SIZE]);
/* At recovery: may this attempt have run? True as well when the machine has been restarted since,
 * or the file cannot tell. */
bool starts_may_have_run(const struct starts *starts, int64_t no, uint32_t attempt);
/* The same for attempts that began one after another: the highest number in [no, no + n) that may
 * have begun; no - 1: none. */
int64_t starts_reached(const struct starts *starts, int64_t no, int64_t n, uint32_t attempt);
/* Recovery is over: forget the notes of earlier servers, and make room for `places` notes, so that
 * writing one never needs space. */
MUST_CHECK bool starts_reset(const struct starts *starts, uint32_t places, struct err *err);

#endif
