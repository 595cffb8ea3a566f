/* SPDX-License-Identifier: MIT */
#include "service/inbox.h"

#include <errno.h>
#include <sys/eventfd.h>

/* Both lists below work alike: producers push in front with compare-and-swap, the one consumer
 * takes everything with an exchange. There is no pop, hence no ABA problem. */
static bool push(_Atomic(struct command *) *head, struct command *cmd)
{
    struct command *old = atomic_load_explicit(head, memory_order_relaxed);
    do
        cmd->next = old;
    while (!atomic_compare_exchange_weak_explicit(head, &old, cmd, memory_order_release,
                                                  memory_order_relaxed));
    return old == NULL;
}

static struct command *take_oldest_first(_Atomic(struct command *) *head)
{
    struct command *newest = atomic_exchange(head, NULL);
    struct command *oldest = NULL;
    while (newest != NULL) {
        struct command *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void event_raise(int fd)
{
    /* EAGAIN means the counter is full, so the reader will wake anyway. */
    (void)!write(fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void event_reset(int fd)
{
    uint64_t ignored;
    (void)!read(fd, &ignored, sizeof ignored);
}

static bool event_open(int *ret_fd, struct err *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, "eventfd");
    *ret_fd = fd;
    return true;
}

bool inbox_open(struct inbox *inbox, struct err *err)
{
    *inbox = (struct inbox){.event_fd = -1};
    return event_open(&inbox->event_fd, err);
}

void inbox_close(struct inbox *inbox)
{
    PRE(atomic_load(&inbox->head) == NULL);
    auto_close(&inbox->event_fd);
    inbox->event_fd = -1;
}

bool inbox_reserve(struct inbox *inbox)
{
    /* Count first, look second: whoever closes the inbox afterwards sees the count and waits for
     * it. */
    uint32_t before = atomic_fetch_add(&inbox->reserved, 1);
    if (before < INBOX_MAX && !atomic_load(&inbox->closed))
        return true;
    atomic_fetch_sub(&inbox->reserved, 1);
    return false;
}

void inbox_push(struct inbox *inbox, struct command *cmd)
{
    (void)push(&inbox->head, cmd);
}

void inbox_wake(struct inbox *inbox)
{
    if (atomic_load(&inbox->head) != NULL && !atomic_exchange(&inbox->raised, true))
        event_raise(inbox->event_fd);
}

void inbox_heard(struct inbox *inbox)
{
    event_reset(inbox->event_fd);
}

bool inbox_has(const struct inbox *inbox)
{
    return atomic_load_explicit(&inbox->head, memory_order_relaxed) != NULL;
}

struct command *inbox_take(struct inbox *inbox)
{
    /* Before the exchange: who has pushed and found `raised` set is in the list that is taken now;
     * who pushes later raises again. */
    atomic_store(&inbox->raised, false);
    return take_oldest_first(&inbox->head);
}

void inbox_unreserve(struct inbox *inbox)
{
    uint32_t before = atomic_fetch_sub(&inbox->reserved, 1);
    PRE(before > 0);
}

bool mailbox_open(struct mailbox *box, struct err *err)
{
    *box = (struct mailbox){.event_fd = -1};
    return event_open(&box->event_fd, err);
}

void mailbox_close(struct mailbox *box)
{
    auto_close(&box->event_fd);
    box->event_fd = -1;
}

void mailbox_heard(struct mailbox *box)
{
    event_reset(box->event_fd);
}

struct command *mailbox_take(struct mailbox *box)
{
    return take_oldest_first(&box->head);
}

bool mailbox_push(struct mailbox *box, struct command *cmd)
{
    return push(&box->head, cmd);
}

void mailbox_notify(struct mailbox *box)
{
    event_raise(box->event_fd);
}
