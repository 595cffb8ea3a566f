/* SPDX-License-Identifier: MIT */
/* A worker: subreaper, one task at a time by one thread: wait for START, run, report, repeat. */
#ifndef GANGER_POOL_WORKER_H
#define GANGER_POOL_WORKER_H

#include "pool/slot.h"
#include "service/base/function.h"
#include "service/base/log.h"

#define MARKER_MAX 112 /* "GANGER_RUN=" and the data directory's mark, with its NUL */

struct worker_config {
    struct slots slots;
    int data_fd;             /* data directory */
    const char *starts_file; /* below data_fd; NULL: none */
    int64_t kill_deadline_us;
    const char *path;        /* PATH of tasks */
    char marker[MARKER_MAX]; /* "GANGER_RUN=<mark>"; tasks get it with ".<job>.<attempt>" */
    const struct log *log;
    const struct function_list *functions; /* NULL: none */
    uint64_t blob_max_size;                /* of a file that a task leaves; 0: any */
};

/* Never returns. Takes sock. The caller has blocked all signals. */
NORETURN void worker_main(const struct worker_config *cfg, uint32_t slot, int sock);

#endif
