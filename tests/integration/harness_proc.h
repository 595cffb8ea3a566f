/* SPDX-License-Identifier: MIT */
/* What runs on this machine, read from /proc. */
#ifndef GANGER_TESTS_HARNESS_PROC_H
#define GANGER_TESTS_HARNESS_PROC_H

#include "integration/harness.h"

#define MAX_PIDS 4096
struct pid_list {
    pid_t pids[MAX_PIDS];
    size_t n;
};

/* Processes whose environment has this text. A job gets a marker through its `env`, and so does all
 * that it starts. */
void proc_find_marked(const char *marker, struct pid_list *ret);
size_t proc_count_marked(const char *marker);
/* Fails the test when a marked process still lives after this time. */
void no_process_left(const char *marker, double seconds);
/* All descendants of a process, itself not included. */
void proc_find_descendants(pid_t root, struct pid_list *ret);
size_t proc_count_zombies(pid_t root);
bool proc_is_alive(pid_t pid); /* a zombie is not */
/* Name by PR_SET_NAME; "" when there is no such process. */
struct text proc_name(pid_t pid);
pid_t proc_parent(pid_t pid);
/* When it was born, which tells it apart from a later one with the same number; "": it is gone. */
struct text proc_born(pid_t pid);
bool proc_has_env(pid_t pid, const char *text);
/* It has a handler for the signal, or holds it back to read it from a descriptor. */
bool proc_minds_signal(pid_t pid, int signo);
long proc_rss_kib(pid_t pid);
size_t proc_count_fds(pid_t pid);

#endif
