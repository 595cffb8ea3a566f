/* SPDX-License-Identifier: MIT */
#include "pool/slot.h"

#include "pool/progress.h"

#include <sys/mman.h>

static size_t banks_size(uint32_t n)
{
    return (size_t)n * SLOT_BANKS * sizeof(struct bank);
}

static size_t heads_size(uint32_t n)
{
    return n * sizeof(struct slot_head);
}

static size_t mapped_size(uint32_t n)
{
    return banks_size(n) + heads_size(n) + sizeof(struct slots_bell);
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
    char *const behind_banks = (char *)at + banks_size(n);
    *slots = (struct slots){.banks = at,
                            .heads = (struct slot_head *)behind_banks,
                            .bell = (struct slots_bell *)(behind_banks + heads_size(n)),
                            .n = n};
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
    bank->report = (struct task_report){0};
    bank->n_blobs = 0;
}

struct slot_head *slots_head(const struct slots *slots, uint32_t slot)
{
    PRE(slot < slots->n);
    return &slots->heads[slot];
}

void slot_why(const struct slot_head *head, char ret[SLOT_WHY])
{
    memcpy(ret, head->why, SLOT_WHY);
    ret[SLOT_WHY - 1] = '\0';
}

struct slot_offer *slots_offer(const struct slots *slots, uint32_t slot, uint32_t bank)
{
    PRE(bank < SLOT_BANKS);
    return &slots_head(slots, slot)->offers[bank];
}

static bool read_output(const struct task_report *report, int stream, struct task_output *ret)
{
    const bool is_spooled = report->spooled[stream] != 0;

    *ret = (struct task_output){.bytes = report->out_bytes[stream],
                                .truncated = report->truncated[stream] != 0,
                                .spooled = is_spooled};
    return report->spooled[stream] <= 1 && report->truncated[stream] <= 1 &&
           ret->bytes <= (is_spooled ? (uint64_t)INT64_MAX : BANK_OUT_SIZE);
}

static bool read_result(const struct task_report *report, struct task_result *ret)
{
    const bool is_spooled = report->result_spooled != 0;

    *ret = (struct task_result){0};
    if (report->has_result > 1 || report->result_spooled > 1 ||
        report->result_type >= VALUE_TYPE_COUNT)
        return false;
    if (report->has_result == 0)
        return true;
    *ret = (struct task_result){.is_there = true,
                                .is_spooled = is_spooled,
                                .type = (enum value_type)report->result_type,
                                .bytes = report->result_bytes};
    return ret->bytes <= (is_spooled ? (uint64_t)INT64_MAX : BANK_RESULT_SIZE);
}

static bool is_sound(const struct task_report *report)
{
    return report->end >= 0 && report->end < TASK_END_COUNT && report->end != TASK_LOST &&
           report->exit_code >= 0 && report->exit_code <= 255 && report->signal >= 0 &&
           report->signal <= 64 && report->exec_errno >= 0 && report->wall_us >= 0 &&
           report->user_us >= 0 && report->system_us >= 0 && report->max_rss_bytes <= INT64_MAX &&
           report->stop_sent <= 1 && report->has_data <= 1 && report->runner_died <= 1;
}

bool report_read(const struct task_report *report, struct task_outcome *ret)
{
    const bool has_died = report->runner_died != 0;

    if (!is_sound(report))
        return false;
    *ret = (struct task_outcome){
        .end = (enum task_end)report->end,
        .exit_code = report->exit_code,
        .signal = report->signal,
        .exec_errno = report->exec_errno,
        .stop_sent = report->stop_sent != 0,
        .processes_killed = report->processes_killed,
        .survivors = report->survivors,
        .started_us = report->started_us,
        .ended_us = report->ended_us,
        .wall_us = report->wall_us,
        .user_us = report->user_us,
        .system_us = report->system_us,
        .max_rss_bytes = report->max_rss_bytes,
        .has_data = report->has_data != 0,
        .no_retry = report->no_retry != 0,
        .has_died = has_died,
        .was_runner = has_died,
        .death = report->signal != 0 ? report->signal : report->exit_code << 8,
        .runner_starts = report->runner_starts,
        .runner_failures = report->runner_failures,
    };
    return read_output(report, 0, &ret->out[0]) && read_output(report, 1, &ret->out[1]) &&
           read_result(report, &ret->result);
}

bool bank_read_outcome(const struct bank *bank, struct task_outcome *ret)
{
    /* What is checked must not change any more. */
    const struct task_report report = bank->report;
    const uint32_t mate = bank->mate, n_blobs = bank->n_blobs;
    struct task_outcome outcome;

    if (!report_read(&report, &outcome) || mate > MAX_MATES || n_blobs > TASK_MAX_OUTPUTS)
        return false;
    outcome.mate = mate;
    memcpy(outcome.error_text, bank->error_text, sizeof(outcome.error_text));
    if (memchr(outcome.error_text, '\0', sizeof(outcome.error_text)) == NULL)
        return false;
    for (int stream = 0; stream < 2; stream++) {
        struct task_output *out = &outcome.out[stream];
        if (!out->spooled && out->bytes > 0)
            out->inline_bytes = (struct slice){bank->out[stream], (size_t)out->bytes};
    }
    if (outcome.result.is_there && !outcome.result.is_spooled)
        outcome.result.inline_bytes = (struct slice){bank->result, (size_t)outcome.result.bytes};
    outcome.n_blobs = n_blobs;
    outcome.blobs = bank->blobs;
    *ret = outcome;
    return true;
}
