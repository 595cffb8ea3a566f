/* SPDX-License-Identifier: MIT */
/* Frames of workers in, events out. */
#include "pool/ends.h"
#include "pool/pool_state.h"

#include <sys/epoll.h>

#define MAX_READY 64
#define MAX_FRAMES 16 /* of one socket in one look */

static struct pool_event event_of(const struct pool *pool, const struct seat *seat,
                                  enum pool_event_type type, uint32_t bank)
{
    return (struct pool_event){.type = type,
                               .place = {pool_slot_of(pool, seat), bank},
                               .job_no = seat->banks[bank].job_no,
                               .attempt = seat->banks[bank].attempt};
}

void pool_tell(struct pool *pool, const struct seat *seat, enum pool_event_type type, uint32_t bank)
{
    pool_push(pool, event_of(pool, seat, type, bank));
}

void pool_condemn(struct pool *pool, struct seat *seat, const char *why)
{
    log_event(&pool->log, LOG_ERROR, "worker broke the protocol",
              LOG_INT("slot", pool_slot_of(pool, seat)), LOG_STR("why", why));
    seat->state = SEAT_DEAD;
    pool_kill(pool, seat);
}

void pool_close_seat(struct pool *pool, struct seat *seat)
{
    if (seat->sock < 0)
        return;
    (void)epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, seat->sock, NULL);
    (void)close(steal_fd(&seat->sock));
}

void pool_take_back(struct pool *pool, struct seat *seat, uint32_t bank)
{
    seat->banks[bank].owner = BANK_HELD;
    for (int kind = 0; kind < WAITING_COUNT; kind++)
        if (seat->has_waiting[kind] && seat->waiting[kind].bank == bank)
            pool_set_flag(pool, &seat->has_waiting[kind], false);
    pool_call_forget(pool, seat, bank);
    pool_mates_forget(pool, seat);
    struct bank *shared = slots_bank(&pool->worker.slots, pool_slot_of(pool, seat), bank);
    atomic_store_explicit(&shared->live_job_no, 0, memory_order_release);
    atomic_store_explicit(&seat->facts.job_no, 0, memory_order_relaxed);
}

void pool_close_output(struct seat *seat)
{
    for (int stream = 0; stream < 2; stream++)
        if (seat->output_fd[stream] >= 0)
            (void)close(steal_fd(&seat->output_fd[stream]));
}

void pool_begin(struct pool *pool, struct seat *seat, uint32_t bank)
{
    struct seat_bank *mine = &seat->banks[bank];
    const uint32_t slot = pool_slot_of(pool, seat);
    struct bank *shared = slots_bank(&pool->worker.slots, slot, bank);
    struct slot_offer *offer = slots_offer(&pool->worker.slots, slot, bank);
    int64_t nobody = 0;

    mine->owner = BANK_RUNNING;
    seat->state = SEAT_BUSY;
    atomic_store_explicit(&offer->state, BANK_NOT_OFFERED, memory_order_relaxed);
    /* The worker may be with a mate already, and has said so. */
    (void)atomic_compare_exchange_strong(&shared->live_job_no, &nobody, mine->job_no);
    atomic_store_explicit(&seat->facts.job_no, mine->job_no, memory_order_relaxed);
    pool_mates_begin(pool, seat, bank);
    (void)FAULT("pool-after-start"); /* however it began: by a frame, or as an offer */
}

/* Nobody will take the offer any more. It was taken if the worker said so, to us or only there. */
static void return_offer(struct pool *pool, struct seat *seat, uint32_t bank)
{
    struct slot_offer *offer = slots_offer(&pool->worker.slots, pool_slot_of(pool, seat), bank);

    if (atomic_exchange(&offer->state, BANK_NOT_OFFERED) == BANK_TAKEN) {
        seat->banks[bank].owner = BANK_RUNNING;
        pool_tell(pool, seat, POOL_STARTED, bank);
        return;
    }
    seat->banks[bank].owner = BANK_RETURNED;
    pool_tell(pool, seat, POOL_RETURNED, bank);
}

/* The worker saw no offer when it ended its task, but one is there now: a frame wakes it. */
static void start_waiting(struct pool *pool, struct seat *seat, uint32_t bank)
{
    const struct frame frame = {.type = FRAME_START,
                                .slot = pool_slot_of(pool, seat),
                                .bank = bank,
                                .job_no = seat->banks[bank].job_no,
                                .attempt = seat->banks[bank].attempt};
    struct slot_offer *offer = slots_offer(&pool->worker.slots, frame.slot, bank);

    /* Before the frame leaves: else the worker might run the task by the frame and then take it
     * once more as an offer. */
    atomic_store(&offer->state, BANK_NOT_OFFERED);
    if (frame_send(seat->sock, &frame, -1) != FRAME_OK) {
        seat->state = SEAT_DEAD;
        return_offer(pool, seat, bank); /* at once: it is no offer any more, and has not begun */
        return;
    }
    pool_begin(pool, seat, bank);
    pool_tell(pool, seat, POOL_STARTED, bank);
}

/* The offer that is the worker's next; SLOT_BANKS: none. */
static uint32_t first_offer(const struct seat *seat)
{
    uint32_t first = SLOT_BANKS;
    for (uint32_t bank = 0; bank < SLOT_BANKS; bank++)
        if (seat->banks[bank].owner == BANK_WAITING &&
            (first == SLOT_BANKS || seat->banks[bank].offer_turn < seat->banks[first].offer_turn))
            first = bank;
    return first;
}

/* What the worker does after a DONE: the task that it has taken, the one that waits, or nothing. */
static void go_on(struct pool *pool, struct seat *seat, int32_t taken)
{
    const uint32_t next = taken == 0 ? first_offer(seat) : (uint32_t)taken - 1;

    if (next >= SLOT_BANKS || seat->banks[next].owner != BANK_WAITING) {
        if (taken != 0)
            pool_condemn(pool, seat, "it took what was not offered");
        return;
    }
    if (taken == 0) {
        start_waiting(pool, seat, next);
        return;
    }
    pool_begin(pool, seat, next);
    pool_tell(pool, seat, POOL_STARTED, next);
}

void pool_return_offers(struct pool *pool, struct seat *seat)
{
    for (uint32_t bank = 0; bank < SLOT_BANKS; bank++)
        if (seat->banks[bank].owner == BANK_WAITING)
            return_offer(pool, seat, bank);
}

static void on_done(struct pool *pool, struct seat *seat, const struct slot_end *end)
{
    struct seat_bank *held = end->bank < SLOT_BANKS ? &seat->banks[end->bank] : NULL;
    if (held == NULL || held->owner != BANK_RUNNING || held->job_no != end->job_no ||
        held->attempt != end->attempt) {
        pool_condemn(pool, seat, "the end of a task that does not run");
        return;
    }
    const struct bank *bank = slots_bank(&pool->worker.slots, pool_slot_of(pool, seat), end->bank);
    if (!bank_read_outcome(bank, &held->outcome) || !pool_mates_check(pool, seat, end->bank)) {
        pool_condemn(pool, seat, "the outcome is damaged");
        return;
    }
    oom_judge(&pool->oom, held->oom_kills, &held->outcome);
    pool_take_back(pool, seat, end->bank);
    if (seat->state == SEAT_BUSY)
        seat->state = held->outcome.end == TASK_UNKILLABLE ? SEAT_QUARANTINED : SEAT_IDLE;
    seat->tasks++;
    seat->resident_bytes = bank->resident_bytes;
    atomic_fetch_add_explicit(&seat->facts.tasks_done, 1, memory_order_relaxed);
    pool_tell(pool, seat, POOL_DONE, end->bank);
    if (seat->state != SEAT_IDLE)
        pool_return_offers(pool, seat);
    else if (!pool_leaves(pool, seat, end->taken != 0))
        go_on(pool, seat, end->taken);
}

void pool_read_ends(struct pool *pool, struct seat *seat)
{
    const uint32_t slot = pool_slot_of(pool, seat);
    const struct slot_head *head = slots_head(&pool->worker.slots, slot);
    const uint32_t n = ends_count(&pool->worker.slots, slot);

    if (n - seat->n_ends > POOL_MAX_ENDS) {
        pool_condemn(pool, seat, "more ends than tasks");
        seat->n_ends = n;
    }
    while (seat->n_ends != n) {
        const struct slot_end end = head->ends[seat->n_ends++ % SLOT_BANKS];
        on_done(pool, seat, &end);
    }
}

static void on_ready(struct pool *pool, struct seat *seat, struct frame_fds *fds)
{
    if (seat->state != SEAT_BOOTING && seat->state != SEAT_QUARANTINED) {
        pool_condemn(pool, seat, "READY out of turn");
        return;
    }
    if (seat->state == SEAT_BOOTING)
        seat->ready_ns = clock_mono_ns();
    seat->state = SEAT_IDLE;
    pool_close_output(seat);
    seat->output_fd[0] = steal_fd(&fds->fd[0]);
    seat->output_fd[1] = steal_fd(&fds->fd[1]);
    pool_started(pool, seat);
    if (!pool_leaves(pool, seat, false))
        pool_push(pool,
                  (struct pool_event){.type = POOL_READY, .place = {pool_slot_of(pool, seat), 0}});
}

/* Several in a row are one: it says "look", not how much. */
static bool is_known_output(const struct pool *pool, struct place place)
{
    if (pool->n_pending == 0)
        return false;
    const struct pool_event *last =
        &pool->pending[(pool->pending_head + pool->n_pending - 1) % pool->pending_max];
    return last->type == POOL_OUTPUT && last->place.slot == place.slot &&
           last->place.bank == place.bank;
}

static void on_output(struct pool *pool, struct seat *seat, const struct frame *frame)
{
    for (uint32_t bank = 0; bank < SLOT_BANKS; bank++) {
        const struct seat_bank *mine = &seat->banks[bank];
        if (mine->owner != BANK_RUNNING || (mine->job_no != frame->job_no && mine->n_mates == 0) ||
            mine->attempt != frame->attempt ||
            is_known_output(pool, (struct place){pool_slot_of(pool, seat), bank}))
            continue;
        struct pool_event event = event_of(pool, seat, POOL_OUTPUT, bank);
        event.job_no = frame->job_no; /* or of a task behind it */
        pool_push(pool, event);
    }
}

bool pool_read_worker(struct pool *pool, struct seat *seat)
{
    struct frame frame;
    struct frame_fds fds;

    if (seat->sock < 0)
        return false;
    const enum frame_status status = frame_recv_fds(seat->sock, &frame, &fds);
    if (status == FRAME_AGAIN)
        return false;
    pool_read_ends(pool, seat); /* they were told before the frame left */
    if (status == FRAME_EOF || status == FRAME_ERROR) {
        pool_close_seat(pool, seat);
        if (status == FRAME_ERROR)
            pool_condemn(pool, seat, "a damaged frame");
        seat->state = SEAT_DEAD;
        return false;
    }
    if (frame.type == FRAME_READY)
        on_ready(pool, seat, &fds);
    else if (frame.type == FRAME_OUTPUT)
        on_output(pool, seat, &frame);
    else if (frame.type == FRAME_OVER)
        pool_mates_over(pool, seat, &frame);
    else if (frame.type != FRAME_DONE)
        pool_condemn(pool, seat, "a frame of another kind");
    frame_fds_close(&fds);
    return true;
}

/* So many frames may be read. */
static size_t room_for_frames(const struct pool *pool)
{
    return (pool->pending_max - pool->n_pending) / POOL_EVENTS_PER_FRAME;
}

/* Of short tasks several have ended since the last look; `others` sockets want room as well. Who
 * has nothing to do says nothing either: that need not be asked. */
static void read_some(struct pool *pool, struct seat *seat, size_t others)
{
    for (int n = 0; n < MAX_FRAMES && room_for_frames(pool) > others; n++)
        if (!pool_read_worker(pool, seat) || seat->state == SEAT_IDLE)
            return;
}

/* Ends that were told without a frame. */
static void read_rung(struct pool *pool)
{
    const struct slots *slots = &pool->worker.slots;

    for (uint32_t group = 0; group < BELL_GROUPS; group++)
        for (uint64_t bits = ends_heard(slots, group); bits != 0; bits &= bits - 1) {
            const uint32_t slot = group * 64 + (uint32_t)__builtin_ctzll(bits);
            if (slot >= pool->max_workers)
                continue;
            if (room_for_frames(pool) > 0)
                pool_read_ends(pool, &pool->seats[slot]);
            else
                ends_ring(slots, slot);
        }
}

/* Level-triggered: what is not read now is reported again. */
void pool_read_ready(struct pool *pool)
{
    struct epoll_event ready[MAX_READY];
    size_t room;

    read_rung(pool);
    room = room_for_frames(pool);
    if (room == 0)
        return;
    const int n = epoll_wait(pool->epoll_fd, ready, (int)MIN(room, (size_t)MAX_READY), 0);
    for (int i = 0; i < n; i++) {
        const uint32_t slot = ready[i].data.u32;
        if (slot == POOL_CONTROL)
            pool_read_control(pool);
        else if (slot == POOL_MEMORY)
            oom_watch_look(&pool->oom);
        else
            read_some(pool, &pool->seats[slot], (size_t)(n - 1 - i));
    }
}

void pool_send_frame(struct pool *pool, struct seat *seat, enum waiting_frame kind,
                     const struct frame *frame)
{
    const struct frame copy = *frame; /* it may be the one that waits */
    const bool is_waiting = seat->sock >= 0 && frame_send(seat->sock, &copy, -1) == FRAME_AGAIN;

    pool_set_flag(pool, &seat->has_waiting[kind], is_waiting);
    seat->waiting[kind] = copy;
}

void pool_do_due(struct pool *pool, uint64_t now_ns)
{
    if (pool->has_idle_rule)
        pool_end_idle(pool, now_ns);
    for (uint32_t slot = 0; slot < pool_slots(pool) && pool->n_due > 0; slot++) {
        struct seat *seat = &pool->seats[slot];
        for (int kind = 0; kind < WAITING_COUNT; kind++)
            if (seat->has_waiting[kind])
                pool_send_frame(pool, seat, (enum waiting_frame)kind, &seat->waiting[kind]);
        if (seat->has_waiting_kill)
            pool_kill(pool, seat);
        if (seat->look_at_ns <= now_ns)
            pool_mates_look(pool, seat, now_ns);
        if (seat->kill_at_ns <= now_ns)
            pool_call_kill_due(pool, seat, now_ns);
        if (seat->state == SEAT_EMPTY && seat->restart_at_ns <= now_ns && pool->control >= 0)
            pool_ask_for_worker(pool, seat, now_ns);
        else if (seat->state != SEAT_EMPTY && seat->restart_at_ns <= now_ns)
            pool_start_is_due(pool, seat);
    }
}
