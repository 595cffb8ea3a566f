/* SPDX-License-Identifier: MIT */
/* Workers as the zygote tells of them: asked for, forked, gone. */
#include "pool/pool_state.h"

#include <sys/epoll.h>
#include <sys/wait.h>

#define QUICK_DEATH_NS UINT64_C(10000000000) /* shorter lives without one task done count */
#define FIRST_BACKOFF_NS UINT64_C(1000000000)
#define MAX_BACKOFF_NS UINT64_C(60000000000)

/* At once after a good life; 1 s, 2 s … 60 s when workers die again and again before they did
 * anything. */
static uint64_t backoff_ns(const struct seat *seat)
{
    if (seat->quick_deaths < 2)
        return 0;
    const uint32_t doublings = MIN(seat->quick_deaths - 2, 6U);
    return MIN(FIRST_BACKOFF_NS << doublings, MAX_BACKOFF_NS);
}

/* What it has said itself, or how it ended. */
static void boot_failed(struct pool *pool, struct seat *seat, int status)
{
    char why[SLOT_WHY];

    slot_why(slots_head(&pool->worker.slots, pool_slot_of(pool, seat)), why);
    if (why[0] == '\0' && WIFSIGNALED(status))
        (void)snprintf(why, sizeof(why), "a worker was ended by signal %d before it was ready",
                       WTERMSIG(status));
    else if (why[0] == '\0')
        (void)snprintf(why, sizeof(why), "a worker ended with exit code %d before it was ready",
                       WEXITSTATUS(status));
    pool_start_failed(pool, seat, why);
}

/* True: it died inside a call, which says nothing about the worker. */
static bool lose_task(struct pool *pool, struct seat *seat, uint32_t bank, const struct frame *gone)
{
    struct seat_bank *held = &seat->banks[bank];
    const struct bank *left = slots_bank(&pool->worker.slots, pool_slot_of(pool, seat), bank);
    const uint32_t n_blobs = left->n_blobs; /* what is checked must not change any more */
    const int64_t now_us = clock_wall_us();

    held->outcome = (struct task_outcome){
        .end = gone->arg64 > 0 ? TASK_UNKILLABLE : TASK_LOST,
        .survivors = (uint32_t)gone->arg64,
        .mate = pool_mates_lost(pool, seat, bank),
        .started_us = left->report.started_us,
        .ended_us = now_us,
        /* Half copied, to be removed. */
        .n_blobs = MIN(n_blobs, (uint32_t)TASK_MAX_OUTPUTS),
        .blobs = left->blobs,
        .has_died = true,
        .death = gone->arg,
    };
    /* What a dying process left there may be anything. */
    if (held->outcome.started_us <= 0 || held->outcome.started_us > now_us)
        held->outcome.started_us = now_us;
    held->outcome.wall_us = now_us - held->outcome.started_us;
    const bool in_call = gone->arg64 == 0 && pool_call_lost(pool, seat, bank, gone);
    pool_take_back(pool, seat, bank);
    pool_tell(pool, seat, POOL_LOST, bank);
    return in_call;
}

static void on_gone(struct pool *pool, struct seat *seat, const struct frame *frame)
{
    /* A finished result that is still in the socket or in the slot is not lost: the slot is looked
     * into with each frame, and with the end of them. */
    while (pool_read_worker(pool, seat))
        continue;
    pool_close_seat(pool, seat);
    pool_return_offers(pool, seat);
    bool in_call = false;
    for (uint32_t bank = 0; bank < SLOT_BANKS; bank++)
        if (seat->banks[bank].owner == BANK_RUNNING)
            in_call = lose_task(pool, seat, bank, frame) || in_call;
    pool_close_output(seat);
    pool_set_flag(pool, &seat->has_waiting_kill, false); /* it was for this one, not for the next */
    seat->state = SEAT_EMPTY;
    atomic_store(&seat->facts.is_alive, false);
    atomic_store(&seat->facts.is_ready, false);
    atomic_store(&seat->facts.pid, 0);
    atomic_store(&seat->facts.last_status, frame->arg);
    const bool is_planned = seat->leave != LEAVE_NOT;
    pool_push(pool, (struct pool_event){.type = POOL_WORKER_GONE,
                                        .place = {pool_slot_of(pool, seat), 0},
                                        .wait_status = frame->arg,
                                        .planned = is_planned});
    if (is_planned)
        pool_seat_left(pool, seat);
    else if (!seat->was_ready)
        boot_failed(pool, seat, frame->arg);
    const uint64_t now_ns = clock_mono_ns();
    const bool is_quick = !in_call && !is_planned && seat->tasks == 0 &&
                          now_ns - seat->ready_ns < QUICK_DEATH_NS;
    seat->quick_deaths = is_quick ? seat->quick_deaths + 1 : 0;
    if (seat->group != NO_GROUP)
        pool_set_time(pool, &seat->restart_at_ns, now_ns + backoff_ns(seat));
}

static void on_spawned(struct pool *pool, struct seat *seat, const struct frame *frame, int fd)
{
    struct epoll_event watch = {.events = EPOLLIN, .data.u32 = pool_slot_of(pool, seat)};

    if (epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &watch) != 0) {
        (void)close(fd); /* the worker sees the end of its socket and leaves; GONE follows */
        seat->state = SEAT_DEAD;
        return;
    }
    seat->sock = fd;
    seat->state = SEAT_BOOTING;
    seat->tasks = 0;
    seat->resident_bytes = 0;
    seat->was_ready = false;
    seat->ready_ns = clock_mono_ns();
    atomic_store(&seat->facts.pid, frame->pid);
    atomic_store(&seat->facts.is_alive, true);
    atomic_store(&seat->facts.started_us, clock_wall_us());
    pool_starts(pool, seat);
}

static void spawn_failed(struct pool *pool, struct seat *seat, int error)
{
    char why[SLOT_WHY];

    seat->state = SEAT_EMPTY;
    seat->quick_deaths++;
    if (seat->leave != LEAVE_NOT) {
        pool_seat_left(pool, seat);
    } else {
        (void)snprintf(why, sizeof(why), "cannot fork a worker: %s", strerrordesc_np(error));
        pool_start_failed(pool, seat, why);
    }
    if (seat->group != NO_GROUP)
        pool_set_time(pool, &seat->restart_at_ns,
                      clock_mono_ns() + MAX(backoff_ns(seat), FIRST_BACKOFF_NS));
}

static void on_zygote_gone(struct pool *pool)
{
    if (pool->is_zygote_gone)
        return;
    pool->is_zygote_gone = true;
    (void)epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, pool->control, NULL);
    (void)close(steal_fd(&pool->control));
    pool_push(pool, (struct pool_event){.type = POOL_ZYGOTE_GONE});
}

void pool_read_control(struct pool *pool)
{
    struct frame frame;
    int fd;

    if (pool->control < 0)
        return;
    const enum frame_status status = frame_recv(pool->control, &frame, &fd);
    if (status == FRAME_AGAIN)
        return;
    if (status != FRAME_OK || frame.slot >= pool->max_workers) {
        if (fd >= 0)
            (void)close(fd);
        on_zygote_gone(pool);
        return;
    }
    struct seat *seat = &pool->seats[frame.slot];
    if (frame.type == FRAME_SPAWNED && fd >= 0 && seat->state == SEAT_SPAWNING) {
        on_spawned(pool, seat, &frame, fd);
        return;
    }
    if (fd >= 0)
        (void)close(fd);
    if (frame.type == FRAME_GONE) {
        on_gone(pool, seat, &frame);
    } else if (frame.type == FRAME_SPAWN_FAILED && seat->state == SEAT_SPAWNING) {
        log_event(&pool->log, LOG_WARN, "cannot fork a worker", LOG_INT("slot", frame.slot),
                  LOG_STR("error", strerrordesc_np(frame.arg)));
        spawn_failed(pool, seat, frame.arg);
    }
}

void pool_ask_for_worker(struct pool *pool, struct seat *seat, uint64_t now_ns)
{
    const struct frame frame = {.type = FRAME_SPAWN, .slot = pool_slot_of(pool, seat)};
    pool_prepare_start(pool, seat);
    const enum frame_status status = frame_send(pool->control, &frame, -1);

    if (status == FRAME_AGAIN) {
        pool_set_time(pool, &seat->restart_at_ns, now_ns + POOL_RETRY_NS);
        return;
    }
    pool_set_time(pool, &seat->restart_at_ns, UINT64_MAX);
    if (status == FRAME_OK)
        seat->state = SEAT_SPAWNING;
    else
        on_zygote_gone(pool);
}
