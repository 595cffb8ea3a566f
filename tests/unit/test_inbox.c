/* SPDX-License-Identifier: MIT */
#include "service/inbox.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

Test(inbox, gives_back_in_order_and_raises_the_event_once)
{
    struct inbox inbox;
    struct err err = {0};
    struct command a = {0}, b = {0}, c = {0};
    cr_assert(inbox_open(&inbox, &err));
    cr_assert_null(inbox_take(&inbox));
    for (int i = 0; i < 3; i++)
        cr_assert(inbox_reserve(&inbox));
    inbox_push(&inbox, &a);
    inbox_push(&inbox, &b);
    inbox_push(&inbox, &c);
    cr_assert_not(is_readable(inbox.event_fd), "a push alone wakes nobody");
    inbox_wake(&inbox);
    inbox_wake(&inbox);
    cr_assert(is_readable(inbox.event_fd));
    inbox_heard(&inbox);
    struct command *list = inbox_take(&inbox);
    cr_assert_eq(list, &a);
    cr_assert_eq(a.next, &b);
    cr_assert_eq(b.next, &c);
    cr_assert_null(c.next);
    cr_assert_not(is_readable(inbox.event_fd));
    inbox_wake(&inbox);
    cr_assert_not(is_readable(inbox.event_fd), "nothing is there to wake for");
    inbox_close(&inbox);
}

Test(inbox, is_bounded_and_can_be_closed)
{
    struct inbox inbox;
    struct err err = {0};
    cr_assert(inbox_open(&inbox, &err));
    for (int i = 0; i < INBOX_MAX; i++)
        cr_assert(inbox_reserve(&inbox));
    cr_assert_not(inbox_reserve(&inbox), "the place after the last one");
    inbox_unreserve(&inbox);
    cr_assert(inbox_reserve(&inbox));
    inbox_unreserve(&inbox);
    atomic_store(&inbox.closed, true);
    cr_assert_not(inbox_reserve(&inbox));
    cr_assert_eq(atomic_load(&inbox.reserved), INBOX_MAX - 1,
                 "a refused reservation is not counted");
    inbox_close(&inbox);
}

#define PRODUCERS 4
#define EACH 20000

struct producer {
    struct inbox *inbox;
    struct command *cmds;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (int i = 0; i < EACH; i++) {
        while (!inbox_reserve(p->inbox)) {
        }
        inbox_push(p->inbox, &p->cmds[i]);
        if (i % 7 == 0 || i == EACH - 1)
            inbox_wake(p->inbox);
    }
    return NULL;
}

Test(inbox, loses_and_doubles_nothing_under_contention)
{
    struct inbox inbox;
    struct err err = {0};
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    cr_assert(inbox_open(&inbox, &err));
    for (int t = 0; t < PRODUCERS; t++) {
        producers[t] = (struct producer){&inbox, calloc(EACH, sizeof(struct command))};
        for (uint64_t i = 0; i < EACH; i++)
            producers[t].cmds[i].waiter = (uint64_t)t << 32 | i;
        cr_assert_eq(pthread_create(&threads[t], NULL, produce, &producers[t]), 0);
    }
    uint64_t next[PRODUCERS] = {0};
    for (int seen = 0; seen < PRODUCERS * EACH;) {
        struct pollfd p = {.fd = inbox.event_fd, .events = POLLIN};
        cr_assert_eq(poll(&p, 1, 10000), 1, "a push is always announced; seen %d", seen);
        inbox_heard(&inbox);
        for (struct command *cmd = inbox_take(&inbox); cmd != NULL; cmd = cmd->next, seen++) {
            uint64_t from = cmd->waiter >> 32, i = cmd->waiter & UINT32_MAX;
            cr_assert_eq(i, next[from], "one producer's commands keep their order");
            next[from]++;
            inbox_unreserve(&inbox);
        }
    }
    for (int t = 0; t < PRODUCERS; t++) {
        cr_assert_eq(pthread_join(threads[t], NULL), 0);
        cr_assert_eq(next[t], EACH);
        free(producers[t].cmds);
    }
    inbox_close(&inbox);
}

Test(mailbox, comes_back_oldest_first)
{
    struct mailbox box;
    struct err err = {0};
    struct command a = {0}, b = {0};
    cr_assert(mailbox_open(&box, &err));
    cr_assert(mailbox_push(&box, &a), "it was empty: its owner wants a notice");
    cr_assert_not(mailbox_push(&box, &b));
    mailbox_notify(&box);
    cr_assert(is_readable(box.event_fd));
    mailbox_heard(&box);
    struct command *list = mailbox_take(&box);
    cr_assert_eq(list, &a);
    cr_assert_eq(a.next, &b);
    cr_assert_not(is_readable(box.event_fd));
    cr_assert_null(mailbox_take(&box));
    mailbox_close(&box);
}
