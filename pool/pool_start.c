/* SPDX-License-Identifier: MIT */
/* How tasks leave for their workers: by a frame to an idle one, as an offer to a busy one. */
#include "pool/pipe.h"
#include "pool/pool_state.h"
#include "pool/sealed.h"

#include <errno.h>
#include <fcntl.h>

bool pool_pipe(int ret[2], struct err *err)
{
    if (FAULT("pool-pipe") || pipe2(ret, O_CLOEXEC) != 0)
        return err_sys(err, ERR_OVERLOADED, "cannot make a pipe");
    pipe_enlarge(ret[0]);
    return true;
}

/* Sealed, since the worker maps it: who changes or cuts it would pull the bytes from under the
 * task. */
static bool make_input(const struct pool_task *task, size_t extra_size, int *ret_fd,
                       struct err *err)
{
    AUTO_FREE char *extra = must_alloc(extra_size);
    const size_t extra_len = task_extra_write(extra, &task->extra);
    const struct slice parts[2] = {{extra, extra_len}, task->wire};
    AUTO_CLOSE int fd = sealed_make("ganger-input");

    if (fd < 0 || !fd_write_all(fd, parts[0]) || !fd_write_all(fd, parts[1]) || !sealed_close(fd))
        return err_sys(err, ERR_OVERLOADED, "no memory for the input of a task");
    *ret_fd = steal_fd(&fd);
    return true;
}

/* The lowest free bank is used, so that memory is touched only as far as it is needed. */
static void note_use(struct pool *pool, struct place place)
{
    _Atomic uint32_t *n_banks = &pool->seats[place.slot].facts.n_banks;
    if (atomic_load_explicit(n_banks, memory_order_relaxed) <= place.bank)
        atomic_store_explicit(n_banks, place.bank + 1, memory_order_relaxed);
}

static bool fill_bank(struct pool *pool, const struct pool_task *task, int *ret_fd, struct err *err)
{
    struct bank *bank = slots_bank(&pool->worker.slots, task->place.slot, task->place.bank);
    const size_t extra_size = task_extra_size(&task->extra);

    PRE(task->note.len <= sizeof(bank->note));
    note_use(pool, task->place);
    bank->job_no = task->job_no;
    bank->attempt = task->attempt;
    bank->note_bytes = (uint32_t)task->note.len;
    if (task->note.len > 0)
        memcpy(bank->note, task->note.ptr, task->note.len);
    bank->in_bytes = 0;
    bank->resident_bytes = 0;
    bank->tells_resident = pool_is_size_limited(pool, &pool->seats[task->place.slot]);
    if (extra_size + task->wire.len <= BANK_IN_SIZE) {
        const size_t n = task_extra_write(bank->in, &task->extra);
        memcpy(bank->in + n, task->wire.ptr, task->wire.len);
        bank->in_bytes = (uint32_t)(n + task->wire.len);
    } else if (!make_input(task, extra_size, ret_fd, err)) {
        return false;
    }
    bank_clear_task(bank);
    atomic_store_explicit(&bank->call, CALL_NONE, memory_order_relaxed);
    atomic_store_explicit(&bank->cancel, 0, memory_order_relaxed);
    struct seat_bank *mine = pool_bank(pool, task->place);
    mine->is_native = task_is_native(task->wire);
    mine->is_command = task_is_command(task->wire);
    mine->stop_grace_us = task_stop_grace(task->wire);
    mine->now_no = task->job_no;
    mine->now_mate = 0;
    mine->oom_kills = pool->oom.kills;
    pool_mates_fill(pool, task);
    return true;
}

bool pool_start(struct pool *pool, const struct pool_task *task, struct err *err)
{
    struct seat *seat = &pool->seats[task->place.slot];
    struct seat_bank *bank = pool_bank(pool, task->place);
    AUTO_CLOSE int input_fd = -1;

    PRE(seat->state == SEAT_IDLE && bank->owner == BANK_FREE && task->job_no > 0);
    if (!fill_bank(pool, task, &input_fd, err))
        return false;
    const struct frame frame = {.type = FRAME_START,
                                .slot = task->place.slot,
                                .bank = task->place.bank,
                                .job_no = task->job_no,
                                .attempt = task->attempt};
    const bool is_joined = task->ends != NULL;
    struct frame_fds fds = frame_no_fds();
    fds.fd[START_INPUT] = input_fd;
    fds.fd[START_STDIN] = is_joined ? task->ends->in : -1;
    fds.fd[START_STDOUT] = is_joined ? task->ends->out : -1;
    const uint32_t n_blobs = task_extra_blobs(&task->extra);
    PRE(n_blobs <= TASK_MAX_BLOBS && ERGO(n_blobs > 0, task->blobs != NULL));
    for (uint32_t i = 0; i < n_blobs; i++)
        fds.fd[START_BLOB + (int)i] = task->blobs[i];
    if (frame_send_fds(seat->sock, &frame, &fds) != FRAME_OK) {
        seat->state = SEAT_DEAD;
        return err_set(err, ERR_OVERLOADED, "the worker has just ended");
    }
    bank->job_no = task->job_no;
    bank->attempt = task->attempt;
    pool_begin(pool, seat, task->place.bank);
    return true;
}

#define NO_MORE UINT32_MAX
/* How many offers the seat has; NO_MORE when it takes no more now. */
static uint32_t offers_of(const struct pool *pool, const struct seat *seat, uint32_t *ret_bank)
{
    bool has_free = false;
    uint32_t n_offers = 0;

    if (seat->state != SEAT_BUSY)
        return NO_MORE;
    for (uint32_t bank = SLOT_BANKS; bank-- > 0;) {
        n_offers += seat->banks[bank].owner == BANK_WAITING;
        if (seat->banks[bank].owner != BANK_FREE)
            continue;
        *ret_bank = bank;
        has_free = true;
    }
    return has_free && pool_may_offer(pool, seat, n_offers) ? n_offers : NO_MORE;
}

bool pool_find_offer(const struct pool *pool, uint32_t group, struct place *ret)
{
    uint32_t fewest = pool->max_offers;
    for (uint32_t slot = 0; slot < pool_slots(pool) && fewest > 0; slot++) {
        uint32_t bank = 0;
        if (pool->seats[slot].group != group)
            continue;
        const uint32_t n = offers_of(pool, &pool->seats[slot], &bank);
        if (n >= fewest)
            continue;
        fewest = n;
        *ret = (struct place){slot, bank};
    }
    return fewest < pool->max_offers;
}

bool pool_offer_place(const struct pool *pool, uint32_t slot, struct place *ret)
{
    uint32_t bank = 0;
    PRE(slot < pool->max_workers);
    if (offers_of(pool, &pool->seats[slot], &bank) >= pool->max_offers)
        return false;
    *ret = (struct place){slot, bank};
    return true;
}

void pool_set_offers(struct pool *pool, uint32_t n)
{
    PRE(n > 0 && n <= MAX_OFFERS);
    pool->max_offers = n;
}

uint32_t pool_least_offers(const struct pool *pool)
{
    uint32_t least = MAX_OFFERS;
    for (uint32_t slot = 0; slot < pool_slots(pool) && least > 0; slot++) {
        const struct seat *seat = &pool->seats[slot];
        uint32_t n = 0;
        for (uint32_t bank = 0; bank < SLOT_BANKS; bank++)
            n += seat->banks[bank].owner == BANK_WAITING;
        if (seat->state == SEAT_BUSY)
            least = MIN(least, n);
    }
    return least;
}

bool pool_offer(struct pool *pool, const struct pool_task *task)
{
    struct seat_bank *mine = pool_bank(pool, task->place);
    const struct seat *seat = &pool->seats[task->place.slot];
    struct slot_offer *offer = slots_offer(&pool->worker.slots, task->place.slot, task->place.bank);
    struct err err;
    int input_fd = -1;

    PRE(mine->owner == BANK_FREE && task->job_no > 0 && task->ends == NULL);
    if (seat->state != SEAT_BUSY || task_extra_blobs(&task->extra) > 0 ||
        task_extra_size(&task->extra) + task->wire.len > BANK_IN_SIZE ||
        !fill_bank(pool, task, &input_fd, &err))
        return false;
    mine->owner = BANK_WAITING;
    mine->offer_turn = offer->turn = ++pool->offers;
    mine->job_no = task->job_no;
    mine->attempt = task->attempt;
    /* Release: who takes it sees all of the bank. */
    atomic_store_explicit(&offer->state, BANK_OFFERED, memory_order_release);
    return true;
}

bool pool_recall(struct pool *pool, struct place place)
{
    struct seat_bank *mine = pool_bank(pool, place);
    struct slot_offer *offer = slots_offer(&pool->worker.slots, place.slot, place.bank);
    uint32_t expected = BANK_OFFERED;

    /* Its worker has died, and the event that says so waits to be heard. */
    if (mine->owner == BANK_RETURNED)
        return true;
    if (mine->owner != BANK_WAITING ||
        !atomic_compare_exchange_strong(&offer->state, &expected, BANK_NOT_OFFERED))
        return false;
    mine->owner = BANK_FREE;
    return true;
}
