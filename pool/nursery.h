/* SPDX-License-Identifier: MIT */
/* A thread of the worker whose children are the warm runners, and which does nothing else than to
 * start them.
 *
 * A task is over when wait(2) says ECHILD: no child of any kind is left (tree.h). Runners stay
 * between tasks, so they must be no children of the thread that asks. With __WNOTHREAD it sees its
 * own ones alone, and orphans fall to it, since it leads its process. */
#ifndef GANGER_POOL_NURSERY_H
#define GANGER_POOL_NURSERY_H

#include "pool/proc.h"

struct nursery; /* NULL: no runner was started yet */

/* As proc_start, by the thread, which is made at the first call. */
enum proc_result nursery_start(struct nursery **nursery, const struct proc_launcher *launcher,
                               const struct proc *proc, struct proc_started *ret);

/* The thread; 0: it has not been made. */
pid_t nursery_thread(const struct nursery *nursery);

#endif
