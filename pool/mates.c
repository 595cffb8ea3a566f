/* SPDX-License-Identifier: MIT */
#include "pool/mates.h"

/* One outcome in the log; then the bytes of its error, of both streams and of the result, as far as
 * they are not in the spool. */
struct record {
    uint32_t size; /* of all of it; a multiple of 8 */
    uint32_t mate, error_bytes;
    struct task_report report;
};

/* ------------------------------------------------------------------------------------------------
 * the worker */

static size_t inline_bytes(const struct bank *bank)
{
    size_t n = bank->report.has_result != 0 && bank->report.result_spooled == 0
                   ? bank->report.result_bytes
                   : 0;
    for (int stream = 0; stream < 2; stream++)
        n += bank->report.spooled[stream] == 0 ? bank->report.out_bytes[stream] : 0;
    return n;
}

static size_t record_size(const struct bank *bank)
{
    size_t size = sizeof(struct record) + strlen(bank->error_text) + inline_bytes(bank);
    return (size + 7) / 8 * 8;
}

static bool has_failed(const struct bank *bank)
{
    return bank->report.end != TASK_EXITED || bank->report.exit_code != 0;
}

static bool may_go_on(const struct bank *bank, const struct mates_log *log)
{
    const uint32_t failed = log->n_failed + has_failed(bank);
    if (bank->report.end == TASK_UNKILLABLE || bank->report.end == TASK_START_FAILED)
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
    const struct record record = {.size = (uint32_t)record_size(bank),
                                  .mate = bank->mate,
                                  .error_bytes = (uint32_t)strlen(bank->error_text),
                                  .report = bank->report};
    char *to = put(&bank->log[log->at], (const char *)&record, sizeof(record));
    to = put(to, bank->error_text, record.error_bytes);
    for (int stream = 0; stream < 2; stream++)
        if (bank->report.spooled[stream] == 0)
            to = put(to, bank->out[stream], bank->report.out_bytes[stream]);
    if (bank->report.has_result != 0 && bank->report.result_spooled == 0)
        (void)put(to, bank->result, bank->report.result_bytes);
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

/* In the order of keep. */
static bool take_bytes(const struct record *record, struct slice *rest, struct task_outcome *ret)
{
    struct slice error;

    if (!take(rest, record->error_bytes, sizeof(ret->error_text) - 1, &error))
        return false;
    if (error.len > 0)
        memcpy(ret->error_text, error.ptr, error.len);
    for (int stream = 0; stream < 2; stream++) {
        struct task_output *out = &ret->out[stream];
        if (!out->spooled && !take(rest, out->bytes, BANK_OUT_SIZE, &out->inline_bytes))
            return false;
    }
    return !ret->result.is_there || ret->result.is_spooled ||
           take(rest, ret->result.bytes, BANK_RESULT_SIZE, &ret->result.inline_bytes);
}

bool mates_read(const struct bank *bank, struct mates_cursor *cursor, struct task_outcome *ret,
                bool *ret_found)
{
    const uint32_t n = atomic_load_explicit(&bank->n_over, memory_order_acquire);
    struct record record; /* a copy: what is checked must not change any more */

    *ret_found = cursor->n < n;
    if (!*ret_found)
        return true;
    if (n > MAX_MATES || cursor->at > BANK_LOG_SIZE - sizeof(record))
        return false;
    memcpy(&record, &bank->log[cursor->at], sizeof(record));
    if (record.size < sizeof(record) || record.size > BANK_LOG_SIZE - cursor->at ||
        record.mate + 1 <= cursor->mate_plus1 || record.mate > MAX_MATES ||
        !report_read(&record.report, ret))
        return false;
    ret->mate = record.mate;
    struct slice rest = {&bank->log[cursor->at + sizeof(record)], record.size - sizeof(record)};
    if (!take_bytes(&record, &rest, ret))
        return false;
    *cursor = (struct mates_cursor){cursor->at + record.size, cursor->n + 1, record.mate + 1};
    return true;
}
