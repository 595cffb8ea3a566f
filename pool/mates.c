/* SPDX-License-Identifier: MIT */
#include "pool/mates.h"

/* One outcome in the log; then the bytes of its error, of both streams and of the result, as far as
 * they are not in the spool. */
struct record {
    uint32_t size; /* of all of it; a multiple of 8 */
    uint32_t mate;
    int32_t end, exit_code, signal, exec_errno;
    uint32_t processes_killed, survivors, error_bytes;
    int64_t started_us, ended_us, wall_us, user_us, system_us;
    uint64_t max_rss_bytes, out_bytes[2], result_bytes;
    uint8_t truncated[2], spooled[2], stop_sent;
    uint8_t has_result, result_spooled, result_type, has_data, no_retry, runner_died;
    uint16_t runner_starts, runner_failures;
};

/* ------------------------------------------------------------------------------------------------
 * the worker */

static size_t inline_bytes(const struct bank *bank)
{
    size_t n = bank->has_result != 0 && bank->result_spooled == 0 ? bank->result_bytes : 0;
    for (int stream = 0; stream < 2; stream++)
        n += bank->spooled[stream] == 0 ? bank->out_bytes[stream] : 0;
    return n;
}

static size_t record_size(const struct bank *bank)
{
    size_t size = sizeof(struct record) + strlen(bank->error_text) + inline_bytes(bank);
    return (size + 7) / 8 * 8;
}

static bool has_failed(const struct bank *bank)
{
    return bank->end != TASK_EXITED || bank->exit_code != 0;
}

static bool may_go_on(const struct bank *bank, const struct mates_log *log)
{
    const uint32_t failed = log->n_failed + has_failed(bank);
    if (bank->end == TASK_UNKILLABLE || bank->end == TASK_START_FAILED)
        return false;
    if (bank->max_failed > 0 && failed >= bank->max_failed)
        return false;
    return record_size(bank) <= BANK_LOG_SIZE - log->at;
}

uint32_t mates_take(struct bank *bank, const struct mates_log *log)
{
    const uint32_t n = MIN(bank->n_mates, (uint32_t)MAX_MATES);
    if (bank->mate >= n || !may_go_on(bank, log))
        return 0;
    for (uint32_t mate = bank->mate + 1; mate <= n; mate++) {
        uint32_t expected = MATE_WAITS;
        if (atomic_compare_exchange_strong(&bank->turns[mate - 1], &expected, MATE_TAKEN))
            return mate;
    }
    return 0;
}

static char *put(char *to, const char *bytes, size_t len)
{
    memcpy(to, bytes, len);
    return to + len;
}

static void keep(struct bank *bank, struct mates_log *log)
{
    struct record record = {
        .size = (uint32_t)record_size(bank),
        .mate = bank->mate,
        .end = bank->end,
        .exit_code = bank->exit_code,
        .signal = bank->signal,
        .exec_errno = bank->exec_errno,
        .processes_killed = bank->processes_killed,
        .survivors = bank->survivors,
        .error_bytes = (uint32_t)strlen(bank->error_text),
        .started_us = bank->started_us,
        .ended_us = bank->ended_us,
        .wall_us = bank->wall_us,
        .user_us = bank->user_us,
        .system_us = bank->system_us,
        .max_rss_bytes = bank->max_rss_bytes,
        .out_bytes = {bank->out_bytes[0], bank->out_bytes[1]},
        .result_bytes = bank->result_bytes,
        .truncated = {bank->truncated[0], bank->truncated[1]},
        .spooled = {bank->spooled[0], bank->spooled[1]},
        .stop_sent = bank->stop_sent,
        .has_result = bank->has_result,
        .result_spooled = bank->result_spooled,
        .result_type = bank->result_type,
        .has_data = bank->has_data,
        .no_retry = bank->no_retry,
        .runner_died = bank->runner_died,
        .runner_starts = bank->runner_starts,
        .runner_failures = bank->runner_failures,
    };
    char *to = put(&bank->log[log->at], (const char *)&record, sizeof(record));
    to = put(to, bank->error_text, record.error_bytes);
    for (int stream = 0; stream < 2; stream++)
        if (bank->spooled[stream] == 0)
            to = put(to, bank->out[stream], bank->out_bytes[stream]);
    if (bank->has_result != 0 && bank->result_spooled == 0)
        (void)put(to, bank->result, bank->result_bytes);
    log->at += record.size;
    log->n++;
    log->n_failed += has_failed(bank);
    atomic_store_explicit(&bank->n_over, log->n, memory_order_release);
}

void mates_turn(struct bank *bank, struct mates_log *log, uint32_t next)
{
    keep(bank, log);
    bank->mate = next;
    bank->job_no = bank->mates[next - 1].job_no;
    bank_clear_task(bank);
    atomic_store_explicit(&bank->live_job_no, bank->job_no, memory_order_release);
}

/* ------------------------------------------------------------------------------------------------
 * the server */

/* What the task wrote may be anything, so each length is checked against what is left. */
static bool take(struct slice *rest, uint64_t len, uint64_t max, struct slice *ret)
{
    if (len > max || len > rest->len)
        return false;
    *ret = (struct slice){len == 0 ? NULL : rest->ptr, (size_t)len};
    rest->ptr += len;
    rest->len -= (size_t)len;
    return true;
}

static bool read_output(const struct record *record, int stream, struct slice *rest,
                        struct task_output *ret)
{
    if (record->spooled[stream] > 1 || record->truncated[stream] > 1 ||
        record->out_bytes[stream] > INT64_MAX)
        return false;
    *ret = (struct task_output){.bytes = record->out_bytes[stream],
                                .truncated = record->truncated[stream] != 0,
                                .spooled = record->spooled[stream] != 0};
    return ret->spooled || take(rest, ret->bytes, BANK_OUT_SIZE, &ret->inline_bytes);
}

static bool read_result(const struct record *record, struct slice *rest, struct task_result *ret)
{
    *ret = (struct task_result){0};
    if (record->has_result > 1 || record->result_spooled > 1 ||
        record->result_type >= VALUE_TYPE_COUNT || record->result_bytes > INT64_MAX)
        return false;
    if (record->has_result == 0)
        return true;
    *ret = (struct task_result){.is_there = true,
                                .is_spooled = record->result_spooled != 0,
                                .type = (enum value_type)record->result_type,
                                .bytes = record->result_bytes};
    return ret->is_spooled || take(rest, ret->bytes, BANK_RESULT_SIZE, &ret->inline_bytes);
}

static bool is_sound(const struct record *record)
{
    return record->end >= 0 && record->end < TASK_END_COUNT && record->end != TASK_LOST &&
           record->exit_code >= 0 && record->exit_code <= 255 && record->signal >= 0 &&
           record->signal <= 64 && record->exec_errno >= 0 && record->wall_us >= 0 &&
           record->user_us >= 0 && record->system_us >= 0 && record->max_rss_bytes <= INT64_MAX &&
           record->stop_sent <= 1 && record->has_data <= 1;
}

bool mates_read(const struct bank *bank, struct mates_cursor *cursor, struct task_outcome *ret,
                bool *ret_found)
{
    const uint32_t n = atomic_load_explicit(&bank->n_over, memory_order_acquire);
    struct record record; /* a copy: what is checked must not change any more */
    struct slice error;

    *ret_found = cursor->n < n;
    if (!*ret_found)
        return true;
    if (n > MAX_MATES || cursor->at > BANK_LOG_SIZE - sizeof(record))
        return false;
    memcpy(&record, &bank->log[cursor->at], sizeof(record));
    if (record.size < sizeof(record) || record.size > BANK_LOG_SIZE - cursor->at ||
        record.mate + 1 <= cursor->mate_plus1 || record.mate > MAX_MATES || !is_sound(&record))
        return false;
    *ret = (struct task_outcome){
        .end = (enum task_end)record.end,
        .exit_code = record.exit_code,
        .signal = record.signal,
        .exec_errno = record.exec_errno,
        .stop_sent = record.stop_sent != 0,
        .processes_killed = record.processes_killed,
        .survivors = record.survivors,
        .started_us = record.started_us,
        .ended_us = record.ended_us,
        .wall_us = record.wall_us,
        .user_us = record.user_us,
        .system_us = record.system_us,
        .max_rss_bytes = record.max_rss_bytes,
        .mate = record.mate,
        .has_data = record.has_data != 0,
        .no_retry = record.no_retry != 0,
        .has_died = record.runner_died != 0,
        .was_runner = record.runner_died != 0,
        .death = record.signal != 0 ? record.signal : record.exit_code << 8,
        .runner_starts = record.runner_starts,
        .runner_failures = record.runner_failures,
    };
    struct slice rest = {&bank->log[cursor->at + sizeof(record)], record.size - sizeof(record)};
    if (!take(&rest, record.error_bytes, sizeof(ret->error_text) - 1, &error) ||
        !read_output(&record, 0, &rest, &ret->out[0]) ||
        !read_output(&record, 1, &rest, &ret->out[1]) || !read_result(&record, &rest, &ret->result))
        return false;
    if (error.len > 0)
        memcpy(ret->error_text, error.ptr, error.len);
    *cursor = (struct mates_cursor){cursor->at + record.size, cursor->n + 1, record.mate + 1};
    return true;
}
