/* SPDX-License-Identifier: MIT */
#include "pool/teller.h"

#include "pool/frame.h"
#include "pool/progress.h"

#include <criterion/criterion.h>
#include <sys/socket.h>

#define MS UINT64_C(1000000)
#define START (1000 * MS)

static struct bank bank;
static int ends[2];
static struct teller teller;

static void setup(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    bank.job_no = 7;
    bank.attempt = 2;
    teller_init(&teller, ends[0], &bank);
}

TestSuite(teller, .init = setup, .timeout = 60);

/* How many times the server has been told since the last look. */
static int heard(void)
{
    struct frame frame;
    int n = 0, fd;
    for (; frame_recv(ends[1], &frame, &fd) == FRAME_OK; n++) {
        cr_assert_eq(frame.type, FRAME_OUTPUT);
        cr_assert(frame.job_no == 7 && frame.attempt == 2);
    }
    return n;
}

Test(teller, says_nothing_to_nobody)
{
    progress_put(&bank, 5, slice_of("half"));
    cr_assert_eq(teller_due_ns(&teller, 100), UINT64_MAX);
    teller_tell(&teller, 100, START);
    cr_assert_eq(heard(), 0);
}

Test(teller, output_once_in_its_period)
{
    teller_watched(&teller, 0);
    cr_assert_eq(heard(), 1, "at once, though there is none");
    const uint64_t at_ns = teller_due_ns(&teller, 1);
    cr_assert_neq(at_ns, UINT64_MAX);
    teller_tell(&teller, 1, at_ns - 1);
    cr_assert_eq(heard(), 0);
    teller_tell(&teller, 1, at_ns);
    cr_assert_eq(heard(), 1);
    cr_assert_eq(teller_due_ns(&teller, 1), UINT64_MAX);
    cr_assert_eq(teller_due_ns(&teller, 2), at_ns + 20 * MS);
}

/* Of any kind of task: ten thousand in a second wake the server four times, and the last one is
 * told. */
Test(teller, progress_once_in_its_period)
{
    int n = 0;
    atomic_store(&bank.listened, 1);
    for (uint64_t ns = START; ns < START + 1000 * MS; ns += MS / 10) {
        progress_put(&bank, 5, slice_of("on"));
        teller_tell(&teller, 0, ns);
        n += heard();
    }
    cr_assert_eq(n, 4);
    cr_assert_eq(teller_due_ns(&teller, 0), START + 1000 * MS);
    teller_tell(&teller, 0, START + 1000 * MS);
    cr_assert_eq(heard(), 1);
    cr_assert_eq(teller_due_ns(&teller, 0), UINT64_MAX);
}

/* Who looks because of the one sees the other. */
Test(teller, one_word_is_for_both)
{
    teller_watched(&teller, 0);
    atomic_store(&bank.listened, 1);
    progress_put(&bank, 5, slice_of("on"));
    teller_tell(&teller, 10, clock_mono_ns() + 1000 * MS);
    cr_assert_eq(heard(), 2);
    cr_assert_eq(teller_due_ns(&teller, 10), UINT64_MAX);
}

Test(teller, says_it_again_when_there_was_no_room)
{
    const struct frame other = {.type = FRAME_READY};
    struct frame frame;
    int fd;
    atomic_store(&bank.listened, 1);
    progress_put(&bank, 5, slice_of("on"));
    while (frame_send(ends[0], &other, -1) == FRAME_OK)
        continue;
    teller_tell(&teller, 0, START);
    while (frame_recv(ends[1], &frame, &fd) == FRAME_OK)
        cr_assert_eq(frame.type, FRAME_READY);
    cr_assert_eq(teller_due_ns(&teller, 0), START + 250 * MS);
    teller_tell(&teller, 0, START + 250 * MS);
    cr_assert_eq(heard(), 1);
}
