/* SPDX-License-Identifier: MIT */
/* The fresh directory that a task without its own one gets, `<slot>-<random>` in the
 * subdirectory `work` of the data directory, mode 0700. One that a task left untouched is as good
 * as a fresh one, so it is kept for the next; any other is removed with all it holds. Owner: the
 * worker of the slot. Symbolic links are never followed.
 */
#ifndef GANGER_POOL_WORKDIR_H
#define GANGER_POOL_WORKDIR_H

#include "service/base/error.h"

#include <sys/stat.h>

struct workdir {
    int work_fd; /* <data>/work */
    int fd;      /* the directory; -1: none made yet */
    uint32_t slot;
    char name[32];
    struct stat fresh; /* as it was made */
};

/* Opens <data>/work, making it when needed, and removes what an earlier worker of this slot left.
 */
MUST_CHECK bool workdir_init(struct workdir *w, int data_fd, uint32_t slot, struct err *err);
/* Makes sure that there is a fresh directory; w->fd is it. */
MUST_CHECK bool workdir_prepare(struct workdir *w, struct err *err);
/* After the task's tree is empty. May take long when the task left many files. */
void workdir_recycle(struct workdir *w);
/* Removes everything below <data>/work. Only while no worker lives. */
void workdir_sweep(int data_fd);

#endif
