/* SPDX-License-Identifier: MIT */
#include "pool/teller.h"

#include "pool/frame.h"
#include "pool/progress.h"

#define OUTPUT_PERIOD_NS UINT64_C(20000000) /* a reader of the file loses nothing by it */
#define PROGRESS_PERIOD_NS UINT64_C(250000000)

void teller_init(struct teller *t, int sock, struct bank *bank)
{
    *t = (struct teller){.sock = sock, .bank = bank, .progress_told = progress_turn(bank)};
}

static void tell(struct teller *t, uint64_t bytes, uint64_t now_ns)
{
    const struct frame frame = {
        .type = FRAME_OUTPUT, .job_no = t->bank->job_no, .attempt = t->bank->attempt};
    const uint32_t turn = progress_turn(t->bank);

    if (frame_send(t->sock, &frame, -1) == FRAME_OK) { /* else again a period later */
        t->output_told = bytes;
        t->progress_told = turn;
    }
    t->output_at_ns = now_ns + OUTPUT_PERIOD_NS;
    t->progress_at_ns = now_ns + PROGRESS_PERIOD_NS;
}

uint64_t teller_due_ns(const struct teller *t, uint64_t bytes)
{
    const bool is_watched = atomic_load_explicit(&t->bank->watched, memory_order_relaxed) == 2;
    uint64_t at_ns = UINT64_MAX;

    if (is_watched && bytes != t->output_told)
        at_ns = t->output_at_ns;
    if (atomic_load(&t->bank->listened) != 0 && progress_turn(t->bank) != t->progress_told)
        at_ns = MIN(at_ns, t->progress_at_ns);
    return at_ns;
}

void teller_tell(struct teller *t, uint64_t bytes, uint64_t now_ns)
{
    if (teller_due_ns(t, bytes) <= now_ns)
        tell(t, bytes, now_ns);
}

void teller_watched(struct teller *t, uint64_t bytes)
{
    atomic_store_explicit(&t->bank->watched, 2, memory_order_release);
    tell(t, bytes, clock_mono_ns());
}
