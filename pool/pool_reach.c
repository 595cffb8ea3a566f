/* SPDX-License-Identifier: MIT */
/* What the server can see of a running task, and do to it. */
#include "pool/family.h"
#include "pool/pool_state.h"

static bool has(const struct family *f, pid_t pid)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->all[i].pid == pid)
            return true;
    return false;
}

/* A runner is a child of another thread of the worker, and the process of what it runs. */
static void look_at_runner(struct family *f, pid_t runner, pid_t worker)
{
    struct family_member first;
    if (!family_look(f, runner, worker) || !family_look_at(runner, &first))
        f->n = 0;
    else
        family_put_first(f, &first);
}

bool pool_family(const struct pool *pool, uint32_t slot, int64_t job_no, struct family *ret)
{
    struct pool_live live, after;
    struct family_member worker;

    /* The number of a worker that has died is another process's before we hear of it; but hardly
     * one of the zygote's, and the job is over then. */
    if (!pool_live(pool, slot, job_no, &live) || live.worker_pid <= 0 ||
        !family_look(ret, live.worker_pid, pool->zygote_pid) ||
        !pool_live(pool, slot, job_no, &after) || after.worker_pid != live.worker_pid)
        return false;
    if (after.job_pid > 0 && !has(ret, after.job_pid))
        look_at_runner(ret, after.job_pid, after.worker_pid);
    if (after.is_call && family_look_at(live.worker_pid, &worker))
        family_put_first(ret, &worker);
    return true;
}

bool pool_can_reach(const struct pool *pool, struct place place)
{
    return pool_bank(pool, place)->is_command && pool_is_with_worker(pool, place);
}

void pool_reach(struct pool *pool, struct place place, const struct pool_reach *reach)
{
    const struct seat_bank *held = pool_bank(pool, place);
    struct seat *seat = &pool->seats[place.slot];
    const struct frame *before = &seat->waiting[WAITING_REACH];
    struct frame frame = {.type = FRAME_REACH,
                          .slot = place.slot,
                          .bank = place.bank,
                          .job_no = held->now_no,
                          .attempt = held->attempt,
                          .arg = reach->suspend,
                          .arg64 = (int64_t)((uint64_t)reach->tree_signals << 32 | reach->signals)};

    if (!pool_can_reach(pool, place))
        return;
    /* One that still waits goes with it. */
    if (seat->has_waiting[WAITING_REACH] && before->job_no == frame.job_no &&
        before->attempt == frame.attempt) {
        frame.arg64 |= before->arg64;
        frame.arg = frame.arg == 0 ? before->arg : frame.arg;
    }
    pool_send_frame(pool, seat, WAITING_REACH, &frame);
}
