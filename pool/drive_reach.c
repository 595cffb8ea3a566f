/* SPDX-License-Identifier: MIT */
/* What may be asked of a running command: signals, to stand still, to go on. */
#include "pool/drive_state.h"
#include "pool/family.h"

#include <signal.h>

#define MAX_FAMILY ((size_t)1 << 16)
#define FIRST_PAUSE_NS MS_NS
#define MAX_PAUSE_NS (50 * MS_NS)
#define MAX_RESUMES 8 /* looks; each finds what the one before could not see */

/* Everything below this worker is the task's. */
static bool look(struct family *f)
{
    family_init(f, MAX_FAMILY);
    return family_look(f, getpid(), 0);
}

static void signal_tree(int signal)
{
    AUTO_FAMILY struct family f = {0};
    if (!look(&f))
        return;
    for (size_t i = 0; i < f.n; i++)
        (void)family_signal(&f.all[i], signal);
}

/* Stops whoever is not yet stopped. True when there was nobody: who waits in the kernel has had its
 * signal, and does not come back from there without it. */
static bool stop_tree(void)
{
    AUTO_FAMILY struct family f = {0};
    bool is_still = look(&f);
    for (size_t i = 0; i < f.n; i++) {
        const struct family_member *m = &f.all[i];
        if (family_is_halted(m))
            continue;
        (void)family_signal(m, SIGSTOP);
        is_still = is_still && m->state == 'D';
    }
    return is_still;
}

/* True when none was found stopped. */
static bool continue_tree(void)
{
    AUTO_FAMILY struct family f = {0};
    bool was_going = look(&f);
    for (size_t i = 0; i < f.n; i++) {
        was_going = was_going && f.all[i].state != 'T';
        (void)family_signal(&f.all[i], SIGCONT);
    }
    return was_going;
}

/* A process that forks while it is being stopped is met at the next look; a list of children can
 * miss one while others end. So it takes two looks in a row that find nobody going. */
void drive_suspend(struct drive *d, uint64_t now_ns)
{
    const uint64_t pause_ns = MIN(FIRST_PAUSE_NS << MIN(d->suspend_looks, 6U), MAX_PAUSE_NS);
    const bool was_still = d->was_still;

    d->suspend_looks++;
    d->was_still = stop_tree();
    if (!was_still || !d->was_still) {
        d->suspend_at_ns = now_ns + pause_ns;
        return;
    }
    d->suspend_at_ns = NEVER;
    atomic_store(&d->bank->suspended, 1);
}

static void begin_suspend(struct drive *d)
{
    d->is_suspending = true;
    d->was_still = false;
    d->suspend_looks = 0;
    drive_suspend(d, clock_mono_ns());
}

void drive_resume(struct drive *d)
{
    if (!d->is_suspending)
        return;
    d->is_suspending = false;
    d->suspend_at_ns = NEVER;
    atomic_store(&d->bank->suspended, 0);
    for (int i = 0; i < MAX_RESUMES && !continue_tree(); i++)
        continue;
}

void drive_reach(struct drive *d, const struct frame *asked)
{
    const uint64_t signals = (uint64_t)asked->arg64;

    if (drive_main_is_over(d))
        return;
    for (int signal = 1; signal < 32; signal++) {
        if ((signals >> signal & 1) != 0)
            tree_signal(&d->tree, signal);
        if ((signals >> (32 + signal) & 1) != 0)
            signal_tree(signal);
    }
    if (d->cause != CAUSE_NONE)
        return; /* it is being ended, and must be able to */
    if (asked->arg > 0 && !d->is_suspending)
        begin_suspend(d);
    else if (asked->arg < 0)
        drive_resume(d);
}
