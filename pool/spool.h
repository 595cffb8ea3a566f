/* SPDX-License-Identifier: MIT */
/* Spool files: output beyond the slot, one file per stream of an attempt, below the data directory.
 * spool_path is in pool.h. */
#ifndef GANGER_POOL_SPOOL_H
#define GANGER_POOL_SPOOL_H

#include "service/base/error.h"

/* A new empty file, 0600; a file of that name is replaced, a symbolic link refused. Makes the
 * directories on demand. The caller owns the descriptor; -1 is failure. */
MUST_CHECK int spool_open(int data_fd, int64_t job_no, uint32_t attempt, int stream,
                          struct err *err);
void spool_remove(int data_fd, int64_t job_no, uint32_t attempt, int stream);
/* Makes the file and its name durable: fdatasync of the file, fsync of its directory. Blocks on the
 * disk. */
MUST_CHECK bool spool_sync(int data_fd, int64_t job_no, int file_fd, struct err *err);

#endif
