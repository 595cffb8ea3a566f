/* SPDX-License-Identifier: MIT */
/* The zygote: forked first, while the server has one thread; a subreaper that forks workers, reaps,
 * kills. It touches nothing else: never a slot's content, never the database. "Keeping the
 * postmaster away from shared memory operations makes it simpler and more reliable." */
#ifndef GANGER_POOL_ZYGOTE_H
#define GANGER_POOL_ZYGOTE_H

#include "pool/worker.h"

/* Forks the zygote; in the parent returns its pid and the control socket. In the child never
 * returns. The config must stay valid. */
MUST_CHECK bool zygote_start(const struct worker_config *cfg, int *ret_pid, int *ret_control,
                             struct err *err);

#endif
