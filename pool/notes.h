/* SPDX-License-Identifier: MIT */
/* The file in which a worker notes what it begins, for a server that finds it after a crash of the
 * one that gave the task. Owner: the worker. */
#ifndef GANGER_POOL_NOTES_H
#define GANGER_POOL_NOTES_H

#include "pool/slot.h"
#include "pool/zygote.h"

struct notes {
    char *mapped; /* size; NULL: not yet */
    size_t size;
};

/* Writes the bank's note to its place. False: it is not there, so the task must not begin. */
bool notes_write(struct notes *notes, const struct worker_config *cfg, const struct bank *bank,
                 uint32_t place);
/* Another task of the same turn begins: its number goes into the note, without a system call. */
bool notes_change(const struct notes *notes, const struct bank *bank, uint32_t place, int64_t no);

#endif
