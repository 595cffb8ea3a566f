/* SPDX-License-Identifier: MIT */
#include "pool/slot.h"

#include "pool/progress.h"

#include <sys/mman.h>

static size_t banks_size(uint32_t n)
{
    return (size_t)n * SLOT_BANKS * sizeof(struct bank);
}

static size_t mapped_size(uint32_t n)
{
    return banks_size(n) + n * sizeof(struct slot_head);
}

bool slots_map(struct slots *slots, uint32_t n, struct err *err)
{
    PRE(n > 0);
    const size_t size = mapped_size(n);
    AUTO_CLOSE int fd = memfd_create("ganger-slots", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return err_sys(err, ERR_INTERNAL, "cannot make the shared memory of %u slots", n);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (at == MAP_FAILED)
        return err_sys(err, ERR_INTERNAL, "cannot map the shared memory of %u slots", n);
    /* A slot is resident only where it was touched; a core dump of it would be all output and no
     * help. */
    (void)madvise(at, size, MADV_DONTDUMP);
    *slots = (struct slots){
        .banks = at, .heads = (struct slot_head *)((char *)at + banks_size(n)), .n = n};
    return true;
}

void slots_unmap(struct slots *slots)
{
    if (slots == NULL || slots->banks == NULL)
        return;
    (void)munmap(slots->banks, mapped_size(slots->n));
    *slots = (struct slots){0};
}

struct bank *slots_bank(const struct slots *slots, uint32_t slot, uint32_t bank)
{
    PRE(slot < slots->n && bank < SLOT_BANKS);
    return &slots->banks[(size_t)slot * SLOT_BANKS + bank];
}

void bank_clear_task(struct bank *bank)
{
    /* First, so that who reads the live fields for a number and finds the same number behind them
     * has read the fields of that task. */
    atomic_store(&bank->live_job_no, 0);
    atomic_store_explicit(&bank->job_pid, 0, memory_order_release);
    for (int stream = 0; stream < LIVE_STREAMS; stream++)
        atomic_store_explicit(&bank->live_bytes[stream], 0, memory_order_release);
    atomic_store_explicit(&bank->suspended, 0, memory_order_release);
    /* Who sets one of these two and then finds another number knows that it was too late. */
    atomic_store(&bank->watched, 0);
    atomic_store(&bank->listened, 0);
    progress_clear(bank);
    bank->started_us = 0;
    bank->has_result = bank->result_spooled = bank->result_type = bank->has_data = 0;
    bank->result_bytes = 0;
    bank->n_blobs = 0;
    bank->no_retry = bank->runner_died = 0;
    bank->runner_starts = bank->runner_failures = 0;
}

struct slot_head *slots_head(const struct slots *slots, uint32_t slot)
{
    PRE(slot < slots->n);
    return &slots->heads[slot];
}

struct slot_offer *slots_offer(const struct slots *slots, uint32_t slot, uint32_t bank)
{
    PRE(bank < SLOT_BANKS);
    return &slots_head(slots, slot)->offers[bank];
}

static bool read_output(const struct bank *bank, int stream, struct task_output *ret)
{
    const uint64_t bytes = bank->out_bytes[stream];
    const bool spooled = bank->spooled[stream] != 0;

    if (bank->spooled[stream] > 1 || bank->truncated[stream] > 1)
        return false;
    if (bytes > (spooled ? (uint64_t)INT64_MAX : BANK_OUT_SIZE))
        return false;
    ret->bytes = bytes;
    ret->truncated = bank->truncated[stream] != 0;
    ret->spooled = spooled;
    ret->inline_bytes = (struct slice){NULL, 0};
    if (!spooled && bytes > 0)
        ret->inline_bytes = (struct slice){bank->out[stream], (size_t)bytes};
    return true;
}

static bool read_result(const struct bank *bank, struct task_result *ret)
{
    const uint64_t bytes = bank->result_bytes;
    const bool spooled = bank->result_spooled != 0;

    if (bank->has_result > 1 || bank->result_spooled > 1 || bank->result_type >= VALUE_TYPE_COUNT)
        return false;
    *ret = (struct task_result){0};
    if (bank->has_result == 0)
        return true;
    if (bytes > (spooled ? (uint64_t)INT64_MAX : BANK_RESULT_SIZE))
        return false;
    *ret = (struct task_result){.is_there = true,
                                .is_spooled = spooled,
                                .type = (enum value_type)bank->result_type,
                                .bytes = bytes};
    if (!spooled)
        ret->inline_bytes = (struct slice){bank->result, (size_t)bytes};
    return true;
}

bool bank_read_outcome(const struct bank *bank, struct task_outcome *ret)
{
    struct task_outcome outcome = {
        .end = (enum task_end)bank->end,
        .exit_code = bank->exit_code,
        .signal = bank->signal,
        .exec_errno = bank->exec_errno,
        .stop_sent = bank->stop_sent != 0,
        .processes_killed = bank->processes_killed,
        .survivors = bank->survivors,
        .started_us = bank->started_us,
        .ended_us = bank->ended_us,
        .wall_us = bank->wall_us,
        .user_us = bank->user_us,
        .system_us = bank->system_us,
        .max_rss_bytes = bank->max_rss_bytes,
        .mate = bank->mate,
    };

    if (bank->end < 0 || bank->end >= TASK_END_COUNT || bank->stop_sent > 1)
        return false;
    if (outcome.mate > MAX_MATES)
        return false;
    if (bank->exit_code < 0 || bank->exit_code > 255 || bank->signal < 0 || bank->signal > 64)
        return false;
    if (bank->exec_errno < 0 || bank->wall_us < 0 || bank->user_us < 0 || bank->system_us < 0 ||
        bank->max_rss_bytes > INT64_MAX)
        return false;
    if (memchr(bank->error_text, '\0', sizeof(bank->error_text)) == NULL)
        return false;
    memcpy(outcome.error_text, bank->error_text, sizeof(outcome.error_text));
    for (int stream = 0; stream < 2; stream++)
        if (!read_output(bank, stream, &outcome.out[stream]))
            return false;
    outcome.has_data = bank->has_data != 0;
    outcome.no_retry = bank->no_retry != 0;
    outcome.runner_starts = bank->runner_starts;
    outcome.runner_failures = bank->runner_failures;
    outcome.has_died = outcome.was_runner = bank->runner_died != 0;
    outcome.death = bank->signal != 0 ? bank->signal : bank->exit_code << 8;
    if (bank->has_data > 1 || !read_result(bank, &outcome.result) ||
        bank->n_blobs > TASK_MAX_OUTPUTS)
        return false;
    outcome.n_blobs = bank->n_blobs;
    outcome.blobs = bank->blobs;
    *ret = outcome;
    return true;
}
