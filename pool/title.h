/* SPDX-License-Identifier: MIT */
/* What ps(1) and /proc/PID/comm show of zygote and workers. */
#ifndef GANGER_POOL_TITLE_H
#define GANGER_POOL_TITLE_H

/* Overwrites the command line that this process inherited with `title` (cut to its room) and sets
 * `comm` (at most 15 bytes). Only in a forked child that never reads its arguments again. */
void title_set(const char *title, const char *comm);

#endif
