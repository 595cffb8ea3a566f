/* SPDX-License-Identifier: MIT */
/* The bounded way into the engine: many producers, one consumer, no lock. A push is one
 * compare-and-swap on the head of a list; the consumer takes the whole list by one exchange and
 * turns it around. Pushing and waking are two steps: a thread pushes what a whole round of its loop
 * has brought and wakes the engine once, so that one commit serves the round: waking a
 * sleeping thread on another processor costs more than all the rest. */
#ifndef GANGER_SERVICE_INBOX_H
#define GANGER_SERVICE_INBOX_H

#include "service/command.h"

/* Commands reserved and not yet answered. Parked ones are not counted: http.max_parked bounds them.
 */
#define INBOX_MAX 16384

struct inbox {
    _Atomic(struct command *) head;
    _Atomic uint32_t reserved;
    _Atomic bool closed, raised; /* raised: the event is on its way to the engine */
    int event_fd;
};
MUST_CHECK bool inbox_open(struct inbox *inbox, struct err *err);
void inbox_close(struct inbox *inbox);
MUST_CHECK bool inbox_reserve(struct inbox *inbox);        /* false: full or closed. Any thread */
void inbox_push(struct inbox *inbox, struct command *cmd); /* any thread; needs a reservation, and
                                                              inbox_wake after it */
void inbox_wake(struct inbox *inbox);            /* any thread; cheap when nothing was pushed */
void inbox_heard(struct inbox *inbox);           /* engine: event_fd was readable */
struct command *inbox_take(struct inbox *inbox); /* engine: all, oldest first */
bool inbox_has(const struct inbox *inbox);       /* engine: whether it would give any */
void inbox_unreserve(struct inbox *inbox); /* engine: the command has been answered or parked */

/* The engine's half of a mailbox. push: true when it was empty, so its owner may sleep and wants
 * one notify. */
bool mailbox_push(struct mailbox *box, struct command *cmd);
void mailbox_notify(struct mailbox *box);

#endif
