/* SPDX-License-Identifier: MIT */
/* A file that occupies space for bad days: when the disk is full it is deleted, so that running
 * jobs can still be finished; new work is refused until it could be made again. Owner: the store.
 */
#ifndef GANGER_STORAGE_BALLAST_H
#define GANGER_STORAGE_BALLAST_H

#include "service/base/error.h"

struct ballast {
    char *path;
    uint64_t bytes; /* 0: none is kept */
    bool missing;
    uint64_t next_try_ns; /* clock_mono_ns */
};

/* Makes the file if it is not there yet. A disk without room for it is no error: ballast_is_missing
 * tells. */
void ballast_open(struct ballast *b, const char *dir, uint64_t bytes);
void ballast_close(struct ballast *b); /* the file stays */
void ballast_drop(struct ballast *b);
/* Tries to make it again, at most once a second. */
bool ballast_is_missing(struct ballast *b);

#endif
