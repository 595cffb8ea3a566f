/* SPDX-License-Identifier: MIT */
/* The mark of a data directory and what bears it: tasks get it in their environment, so that those
 * which outlived a kill -9 of server, zygote and worker together are found at the next start. */
#ifndef GANGER_POOL_SWEEP_H
#define GANGER_POOL_SWEEP_H

#include "service/base/error.h"

#define SWEEP_MARK_SIZE 33 /* 128 random bits in hexadecimal, and a NUL */

/* Reads the mark of the data directory from `<data>/mark`; makes it on first use. */
MUST_CHECK bool sweep_mark(int data_fd, char ret_mark[SWEEP_MARK_SIZE], struct err *err);
/* KILLs, in rounds until none is left or max_us have passed, each process but this one whose
 * initial environment has an entry that begins with `prefix`. Returns how many were killed;
 * ret_left: how many are still there. Blocks. */
uint32_t sweep_marked(const char *prefix, int64_t max_us, uint32_t *ret_left);

#endif
