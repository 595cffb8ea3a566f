/* SPDX-License-Identifier: MIT */
/* The thread that makes the callbacks: it reads what is due with a connection of its own, calls,
 * and tells the engine what became of it. Nobody waits for it, and a receiver that does not answer
 * holds up nobody else. It is there only when callbacks are configured.
 *
 * A try that was made but not recorded is made again, with the same webhook-id: at least once. */
#ifndef GANGER_SERVICE_CALLBACKS_H
#define GANGER_SERVICE_CALLBACKS_H

#include "service/engine.h"

struct callbacks;

/* How answers are written is not known below api/. */
struct callback_writers {
    void (*job)(const struct job_view *job, struct buf *out);
    void (*batch)(const struct batch_view *batch, struct buf *out);
};
/* Reads the secrets, or makes them. *ret is NULL when callbacks are off. */
MUST_CHECK bool callbacks_open(struct engine *engine, const struct callback_writers *writers,
                               struct callbacks **ret, struct err *err);
MUST_CHECK bool callbacks_start(struct callbacks *callbacks, struct err *err);
/* When engine_run has returned: no command is in the engine any more. Calls that are under way are
 * cut off; the next start makes them again. Accepts NULL, and one that was not started. */
void callbacks_stop(struct callbacks *callbacks);

#endif
