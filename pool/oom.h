/* SPDX-License-Identifier: MIT */
/* Whether a process has died for want of memory. Nobody is told so by wait(2); there are two
 * traces.
 *
 * 1. Its own limit (RLIMIT_AS) only makes allocations fail. Who does not look at that dies by
 * SIGSEGV, SIGBUS or SIGABRT, and has touched nearly all that it could have.
 * 2. The kernel's out-of-memory killer sends SIGKILL, and cgroup v2 counts its victims
 * (memory.events, "oom_kill"). Who dies by a SIGKILL that nobody here has sent, and while whose
 * task that number rose, was one. Without cgroup v2, or its memory controller, nobody can say. */
#ifndef GANGER_POOL_OOM_H
#define GANGER_POOL_OOM_H

#include "pool/task.h"

#include <signal.h>

/* So much resident memory says that a limit was used up, above what was there before; 0: there is
 * no limit. */
static inline uint64_t oom_full_bytes(uint64_t limit, uint64_t before)
{
    return limit == 0 ? 0 : before + limit / 8 * 7;
}

static inline bool oom_is_full(uint64_t full_bytes, uint64_t max_rss_bytes, int signal)
{
    return full_bytes != 0 && max_rss_bytes >= full_bytes &&
           (signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT);
}

/* The same of a child of ours. What wait(2) says of it begins with our own maximum: the kernel
 * folds the memory that a child shared with its parent into its maximum when it calls exec. */
bool oom_child_is_full(uint64_t limit, uint64_t max_rss_bytes, int signal);

/* The number of this process's cgroup, to which workers and tasks belong. Owner: the engine
 * thread. */
struct oom_watch {
    int fd; /* POLLPRI says that it has changed; -1: nobody counts */
    uint64_t kills;
};
/* `path`: another file in its place; NULL: none. */
void oom_watch_open(struct oom_watch *w, const char *path);
void oom_watch_look(struct oom_watch *w);
void oom_watch_close(struct oom_watch *w);
/* How a task ended that began when the number was `before`. */
void oom_judge(struct oom_watch *w, uint64_t before, struct task_outcome *outcome);

#endif
