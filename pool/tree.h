/* SPDX-License-Identifier: MIT */
/* Ending and reaping what a process has forked, down to the last descendant.
 *
 * 1. The caller is a subreaper (prctl(2) PR_SET_CHILD_SUBREAPER): whatever loses its parent becomes
 * our child.
 * 2. A pid of an unreaped child cannot be reused, so direct children are signalled by pid.
 * 3. A deeper process is signalled only through a pidfd whose parent was checked after it was
 * opened.
 * 4. An empty list of children proves nothing; that wait says ECHILD does.
 * 5. The tree is the main thread's, and that of the threads of a native function if it is told so:
 * one that lives on keeps its children. Those of the nursery's thread are left alone (nursery.h);
 * while it is there, 4 holds for the main thread alone. */
#ifndef GANGER_POOL_TREE_H
#define GANGER_POOL_TREE_H

#include "service/base/util.h"

#include <sys/types.h>

#define TREE_MAX_LISTED 1024 /* children looked at per round; the next round sees the rest */

/* What was reaped so far. Owner: the worker, for the length of one task. */
struct tree {
    pid_t main_pid; /* also its process group; 0: no task */
    bool main_reaped;
    bool has_threads; /* children of all threads are its own, */
    pid_t nursery;    /* but for those of this one; 0: there is none */
    uint64_t main_rss_bytes;
    int main_status; /* wait status, once reaped */
    bool ending;     /* we have begun to signal: who dies by a signal now was ended by us */
    uint32_t ended;  /* so many, main process included */
    uint32_t reaped;
    int64_t user_us, system_us;
    uint64_t max_rss_bytes; /* of the largest process */
};

/* Reaps every dead child, main process included. True when there is no child left, dead or alive.
 */
bool tree_reap(struct tree *tree);
/* Reaps dead children except the main process, whose zombie holds the group id. */
void tree_reap_adopted(struct tree *tree);
/* A living member of the main process's group, other than itself, is among our children. */
bool tree_group_is_alive(const struct tree *tree);
/* Signal to the main process's group; only before the main process has been reaped. */
void tree_signal(const struct tree *tree, int signal);
/* KILLs and reaps all children in rounds until ECHILD or the deadline. Returns how many are left.
 * Blocks up to `max_us`; sigchld_fd is a signalfd of SIGCHLD to wait on between rounds (-1: waits
 * by time alone). */
uint32_t tree_end(struct tree *tree, int64_t max_us, int sigchld_fd);

/* Children of this process's main thread, dead ones included; at most max. */
size_t tree_list_children(pid_t *ret_pids, size_t max);
/* STOP, its children likewise, KILL. pid must be an unreaped child of the caller. */
void tree_kill_child(pid_t pid);

#endif
