/* SPDX-License-Identifier: MIT */
/* The server's side of native calls. The worker is inside the function and hears nothing: it is
 * asked to stop by a flag in its bank, and killed by way of the zygote when that does not help.
 * What it leaves when it dies is this call's outcome. */
#include "pool/pool_state.h"
#include "pool/spool.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

void pool_call_forget(struct pool *pool, struct seat *seat, uint32_t bank)
{
    if (seat->kill_at_ns != UINT64_MAX && seat->kill_bank == bank)
        pool_set_time(pool, &seat->kill_at_ns, UINT64_MAX);
}

void pool_call_stop(struct pool *pool, struct place place, uint32_t mate, const struct frame *stop)
{
    struct seat *seat = &pool->seats[place.slot];
    struct bank *bank = slots_bank(&pool->worker.slots, place.slot, place.bank);
    const int64_t grace_us = stop->arg64 >= 0 ? stop->arg64 : seat->banks[place.bank].stop_grace_us;
    const uint64_t now_ns = clock_mono_ns();
    uint64_t at_ns = stop->arg == SIGKILL ? now_ns : now_ns + (uint64_t)grace_us * 1000;

    atomic_store(&bank->cancel, mate + 1);
    if (seat->kill_at_ns != UINT64_MAX && seat->kill_bank == place.bank && seat->kill_mate == mate)
        at_ns = MIN(at_ns, seat->kill_at_ns);
    pool_set_time(pool, &seat->kill_at_ns, at_ns);
    seat->kill_bank = place.bank;
    seat->kill_mate = mate;
    pool_call_kill_due(pool, seat, now_ns);
}

void pool_call_kill_due(struct pool *pool, struct seat *seat, uint64_t now_ns)
{
    const uint32_t mate = seat->kill_mate * CALL_MATE;
    struct bank *bank;
    uint32_t call = CALL_RUNNING + mate;

    if (seat->kill_at_ns > now_ns || pool->control < 0)
        return;
    bank = slots_bank(&pool->worker.slots, pool_slot_of(pool, seat), seat->kill_bank);
    const bool was_running = atomic_compare_exchange_strong(&bank->call, &call, CALL_KILLED + mate);
    const bool is_killed = was_running || call == CALL_KILLED + mate;
    if (!is_killed && call < CALL_OVER + mate) { /* taken, but not begun: look again */
        pool_set_time(pool, &seat->kill_at_ns, now_ns + POOL_RETRY_NS);
        return;
    }
    pool_set_time(pool, &seat->kill_at_ns, UINT64_MAX);
    if (is_killed) /* else its end is on its way */
        pool_kill(pool, seat);
}

/* What it had written before it died; more than fits into the slot is cut. */
static void keep_output(struct pool *pool, struct seat *seat, uint32_t number, int stream)
{
    struct bank *bank = slots_bank(&pool->worker.slots, pool_slot_of(pool, seat), number);
    struct task_output *out = &seat->banks[number].outcome.out[stream];
    const int from = seat->output_fd[stream];
    struct stat st;

    if (from < 0 || fstat(from, &st) != 0 || st.st_size <= 0)
        return;
    const ssize_t n = pread(from, bank->out[stream], BANK_OUT_SIZE, 0);
    if (n <= 0)
        return;
    *out = (struct task_output){.bytes = (uint64_t)n,
                                .truncated = st.st_size > n,
                                .inline_bytes = {bank->out[stream], (size_t)n}};
}

static bool was_timer(const struct bank *bank, int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
           clock_mono_ns() >= atomic_load(&bank->call_kill_at_ns);
}

bool pool_call_lost(struct pool *pool, struct seat *seat, uint32_t number, const struct frame *gone)
{
    const struct bank *bank = slots_bank(&pool->worker.slots, pool_slot_of(pool, seat), number);
    struct task_outcome *outcome = &seat->banks[number].outcome;
    const uint32_t mate = outcome->mate;
    const uint32_t call = atomic_load(&bank->call) - mate * CALL_MATE;
    const int status = gone->arg;

    if (!seat->banks[number].is_native || (call != CALL_RUNNING && call != CALL_KILLED))
        return false;
    /* What else a dead worker says about whose file it was is not relied on. */
    if (mate == seat->banks[number].now_mate)
        spool_remove(pool->data_fd, seat->banks[number].now_no, seat->banks[number].attempt,
                     STREAM_VALUE);
    outcome->stop_sent = atomic_load(&bank->cancel) == mate + 1;
    outcome->has_died = !outcome->stop_sent;
    outcome->max_rss_bytes = gone->max_rss;
    if (call == CALL_RUNNING && was_timer(bank, status)) {
        outcome->end = atomic_load(&bank->call_kill_end) == TASK_DEADLINE ? TASK_DEADLINE
                                                                          : TASK_TIMEOUT;
        outcome->signal = SIGKILL;
        outcome->has_died = false;
    } else if (WIFSIGNALED(status)) {
        outcome->signal = WTERMSIG(status);
        outcome->end = oom_is_full(atomic_load(&bank->call_full_rss), gone->max_rss,
                                   outcome->signal)
                           ? TASK_OUT_OF_MEMORY
                           : TASK_SIGNALED;
        if (call == CALL_RUNNING) /* else the SIGKILL was ours */
            oom_judge(&pool->oom, seat->banks[number].oom_kills, outcome);
    } else if (WEXITSTATUS(status) != 0) {
        outcome->end = TASK_EXITED;
        outcome->exit_code = WEXITSTATUS(status);
    } else {
        outcome->end = TASK_FUNCTION_FAILED; /* exit(0) is no result */
        (void)snprintf(outcome->error_text, sizeof(outcome->error_text), "%s",
                       "Exit: the function ended its process with exit code 0");
    }
    for (int stream = 0; stream < 2; stream++)
        keep_output(pool, seat, number, stream);
    return true;
}
