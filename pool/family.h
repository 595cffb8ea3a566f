/* SPDX-License-Identifier: MIT */
/* All living descendants of the main thread of a process, as proc(5) tells it: a worker's other
 * thread has the warm runners, which are no part of a command. Of descendants all threads count.
 * Numbers of processes are used again, so a process is named by its number and the time of its
 * start, and each member was a child of the root or of another member when it was looked at. Any
 * process and thread may look; nothing is locked, and what is forked meanwhile is seen at the next
 * look. */
#ifndef GANGER_POOL_FAMILY_H
#define GANGER_POOL_FAMILY_H

#include "service/base/util.h"

#include <dirent.h>
#include <sys/types.h>

struct family_member {
    pid_t pid, ppid;
    uint64_t start;     /* clock ticks since boot */
    uint64_t cpu_ticks; /* of all its threads */
    uint64_t rss_pages;
    char state;    /* 'R', 'S', 'D', 'T', 't', 'Z' … */
    char name[16]; /* terminated; any bytes */
};

struct family {
    struct family_member *all; /* parents before their children */
    size_t n, cap, max;
    bool is_cut; /* there are more than max */
};
void family_init(struct family *f, size_t max);
void family_release(struct family *f);
#define AUTO_FAMILY __attribute__((cleanup(family_release)))

/* What was there before is forgotten. False: the root is gone, or has another parent than this one
 * (0: any). */
MUST_CHECK bool family_look(struct family *f, pid_t root, pid_t parent_of_root);
/* The root itself becomes the first member. */
void family_put_first(struct family *f, const struct family_member *root);
/* One process, as members are described; false: there is none. */
MUST_CHECK bool family_look_at(pid_t pid, struct family_member *ret);
/* Of /proc/PID/task, opened; NULL: it could not be. The number of the next thread; 0: no more. */
pid_t family_next_thread(DIR *threads);
static inline void auto_closedir(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}
#define AUTO_DIR __attribute__((cleanup(auto_closedir)))
/* Of the process and of its children, whichever of its threads has forked them; 0: there is none.
 */
uint64_t family_resident_bytes(pid_t pid);
/* Neither running nor able to go on by itself. */
bool family_is_halted(const struct family_member *m);
/* To this process and to no later one of the same number; false: it is gone. */
bool family_signal(const struct family_member *m, int signal);
/* Its arguments, each with a NUL behind it, cut at `size`; 0: it has none (any more). */
size_t family_argv(const struct family_member *m, char *out, size_t size);

#endif
