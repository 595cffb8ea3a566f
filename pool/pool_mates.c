/* SPDX-License-Identifier: MIT */
/* The server's side of tasks that one worker runs back to back in one bank. Their ends are in the
 * bank's log. The worker tells of them, but not more often than every MATES_TELL_NS, and it cannot
 * catch up later while it is inside a long task: so the server looks once that time is over. */
#include "pool/mates.h"
#include "pool/pool_state.h"

#define LOOK_NS (MATES_TELL_NS + UINT64_C(1000000))

static struct bank *shared_bank(const struct pool *pool, const struct seat *seat, uint32_t bank)
{
    return slots_bank(&pool->worker.slots, pool_slot_of(pool, seat), bank);
}

void pool_mates_fill(struct pool *pool, const struct pool_task *task)
{
    struct bank *bank = slots_bank(&pool->worker.slots, task->place.slot, task->place.bank);
    struct seat_bank *mine = pool_bank(pool, task->place);
    uint32_t at = bank->in_bytes, n = 0;

    PRE(task->n_mates <= MAX_MATES);
    /* A task that came as a descriptor has nothing in the bank, and comes alone. */
    while (at > 0 && n < task->n_mates && task->mates[n].bytes.len <= BANK_IN_SIZE - at) {
        const struct pool_mate *mate = &task->mates[n];
        const uint32_t len = (uint32_t)mate->bytes.len;
        memcpy(bank->in + at, mate->bytes.ptr, len);
        bank->mates[n] = (struct bank_mate){mate->no, at, len};
        atomic_store_explicit(&bank->turns[n], MATE_WAITS, memory_order_relaxed);
        at += len;
        n++;
    }
    bank->mate = 0;
    bank->n_mates = mine->n_mates = n;
    bank->note_no_at = task->note_no_at;
    bank->max_failed = task->max_failed;
    mine->has_part = false;
    atomic_store_explicit(&bank->n_over, 0, memory_order_relaxed);
    atomic_store_explicit(&bank->told_ns, 0, memory_order_relaxed);
}

void pool_mates_begin(struct pool *pool, struct seat *seat, uint32_t bank)
{
    if (seat->banks[bank].n_mates > 0)
        pool_set_time(pool, &seat->look_at_ns, clock_mono_ns() + LOOK_NS);
}

void pool_mates_forget(struct pool *pool, struct seat *seat)
{
    pool_set_time(pool, &seat->look_at_ns, UINT64_MAX);
}

static void tell_part(struct pool *pool, struct seat *seat, uint32_t bank)
{
    if (seat->banks[bank].has_part)
        return;
    seat->banks[bank].has_part = true;
    pool_tell(pool, seat, POOL_PART, bank);
}

void pool_mates_over(struct pool *pool, struct seat *seat, const struct frame *frame)
{
    const struct seat_bank *mine = frame->bank < SLOT_BANKS ? &seat->banks[frame->bank] : NULL;

    if (mine == NULL || mine->owner != BANK_RUNNING || mine->job_no != frame->job_no ||
        mine->attempt != frame->attempt || mine->n_mates == 0)
        return;
    tell_part(pool, seat, frame->bank);
    if (seat->state != SEAT_DEAD)
        pool_set_time(pool, &seat->look_at_ns, clock_mono_ns() + LOOK_NS);
}

void pool_mates_look(struct pool *pool, struct seat *seat, uint64_t now_ns)
{
    for (uint32_t bank = 0; bank < SLOT_BANKS; bank++) {
        if (seat->banks[bank].owner != BANK_RUNNING || seat->banks[bank].n_mates == 0)
            continue;
        const struct bank *shared = shared_bank(pool, seat, bank);
        const uint64_t told_ns = atomic_load(&shared->told_ns);
        if (told_ns == 0 || now_ns < told_ns + LOOK_NS) { /* it has begun later than we thought */
            pool_set_time(pool, &seat->look_at_ns, now_ns + LOOK_NS);
            return;
        }
        if (atomic_load(&shared->n_over) > 0)
            tell_part(pool, seat, bank);
    }
    pool_set_time(pool, &seat->look_at_ns, UINT64_MAX);
}

/* Reads the log to its end. False: it is damaged. */
static bool walk(const struct pool *pool, const struct seat *seat, uint32_t number,
                 struct mates_cursor *cursor)
{
    const struct bank *bank = shared_bank(pool, seat, number);
    const uint32_t n = seat->banks[number].n_mates;
    struct task_outcome outcome;
    bool found = n > 0;

    *cursor = (struct mates_cursor){0};
    while (found) {
        struct mates_cursor next = *cursor;
        if (!mates_read(bank, &next, &outcome, &found))
            return false;
        if (!found)
            break;
        if (outcome.mate > n ||
            (outcome.mate > 0 && atomic_load(&bank->turns[outcome.mate - 1]) != MATE_TAKEN))
            return false;
        *cursor = next;
    }
    return true;
}

/* The first that has begun behind `mate_plus1 - 1`; MAX_MATES + 1: none has. */
static uint32_t first_taken(const struct bank *bank, uint32_t n, uint32_t mate_plus1)
{
    if (mate_plus1 == 0)
        return 0;
    for (uint32_t mate = mate_plus1; mate <= n; mate++)
        if (atomic_load(&bank->turns[mate - 1]) == MATE_TAKEN)
            return mate;
    return MAX_MATES + 1;
}

void pool_mates_withdraw(struct pool *pool, const struct seat *seat, uint32_t bank)
{
    struct bank *shared = shared_bank(pool, seat, bank);
    for (uint32_t mate = seat->banks[bank].n_mates; mate > 0; mate--) {
        uint32_t expected = MATE_WAITS;
        (void)atomic_compare_exchange_strong(&shared->turns[mate - 1], &expected, MATE_WITHDRAWN);
    }
}

bool pool_mates_check(const struct pool *pool, const struct seat *seat, uint32_t bank)
{
    const uint32_t last = seat->banks[bank].outcome.mate, n = seat->banks[bank].n_mates;
    struct mates_cursor cursor;

    return last <= n && walk(pool, seat, bank, &cursor) &&
           last == first_taken(shared_bank(pool, seat, bank), n, cursor.mate_plus1);
}

uint32_t pool_mates_lost(const struct pool *pool, const struct seat *seat, uint32_t bank)
{
    struct mates_cursor cursor;
    (void)walk(pool, seat, bank, &cursor); /* as far as it can be believed */
    return first_taken(shared_bank(pool, seat, bank), seat->banks[bank].n_mates, cursor.mate_plus1);
}

/* ------------------------------------------------------------------------------------------------
 * what the engine asks */

uint32_t pool_mates(const struct pool *pool, struct place place)
{
    return pool_bank(pool, place)->n_mates;
}

bool pool_mate_recall(struct pool *pool, struct place place, uint32_t mate)
{
    struct bank *bank = slots_bank(&pool->worker.slots, place.slot, place.bank);
    uint32_t expected = MATE_WAITS;

    PRE(mate >= 1 && mate <= pool_bank(pool, place)->n_mates);
    if (atomic_compare_exchange_strong(&bank->turns[mate - 1], &expected, MATE_RECALLED))
        return true;
    expected = MATE_WITHDRAWN;
    return atomic_compare_exchange_strong(&bank->turns[mate - 1], &expected, MATE_RECALLED);
}

bool pool_mates_next(struct pool *pool, struct place place, struct mates_cursor *cursor,
                     struct task_outcome *ret)
{
    struct seat *seat = &pool->seats[place.slot];
    const struct bank *bank = slots_bank(&pool->worker.slots, place.slot, place.bank);
    struct mates_cursor next = *cursor;
    bool found;

    if (!mates_read(bank, &next, ret, &found) ||
        (found && ret->mate > pool_bank(pool, place)->n_mates)) {
        if (pool_bank(pool, place)->owner == BANK_RUNNING)
            pool_condemn(pool, seat, "the log of a turn is damaged");
        return false;
    }
    if (found)
        oom_judge(&pool->oom, pool_bank(pool, place)->oom_kills, ret);
    *cursor = next;
    return found;
}

uint32_t pool_mate_now(const struct pool *pool, struct place place)
{
    return pool_mates_lost(pool, &pool->seats[place.slot], place.bank);
}

void pool_mate_is_current(struct pool *pool, struct place place, uint32_t mate, int64_t no)
{
    struct seat_bank *mine = pool_bank(pool, place);
    mine->now_mate = mate;
    mine->now_no = no;
    if (mine->owner == BANK_RUNNING)
        atomic_store_explicit(&pool->seats[place.slot].facts.job_no, no, memory_order_relaxed);
}
