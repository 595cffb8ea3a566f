/* SPDX-License-Identifier: MIT */
/* Files that go. They are unlinked by a thread of their own: the end of a file of a gigabyte takes
 * a tenth of a second, in which nobody's commit would be made. Nothing depends on when it happens:
 * what is still there when the server dies has no row any more, and the next start sweeps it.
 * Given by the engine thread. */
#ifndef GANGER_SERVICE_UNLINKER_H
#define GANGER_SERVICE_UNLINKER_H

#include "service/turn.h"

struct unlinker;

/* data_dir: the descriptor of the data directory, borrowed. */
MUST_CHECK bool unlinker_start(int data_dir, struct unlinker **ret, struct err *err);
void unlinker_stop(struct unlinker *u); /* what was given is gone then; NULL is allowed */
/* What the turn has dropped. When too many are on their way the caller unlinks them itself. */
void unlinker_give(struct unlinker *u, const struct turn *turn);
/* A descriptor to be closed, which may be the last one of much memory. */
void unlinker_give_fd(struct unlinker *u, int fd);

#endif
