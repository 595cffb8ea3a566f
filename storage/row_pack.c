/* SPDX-License-Identifier: MIT */
#include "storage/row_pack.h"

#include "storage/store_impl.h"

/* ---- numbers ---- */

struct slice packed_slice(const struct packed *packed)
{
    return packed->len == 0 ? (struct slice){NULL, 0} : (struct slice){packed->bytes, packed->len};
}

static void pack(const uint64_t *numbers, size_t n, struct packed *ret)
{
    size_t len = 2;
    unsigned which = 0;

    _Static_assert(sizeof ret->bytes <= UINT8_MAX, "len holds every length");

    for (size_t i = 0; i < n; i++) {
        if (numbers[i] == 0)
            continue;
        which |= 1u << i;
        len += wire_put_number(ret->bytes + len, numbers[i]);
    }
    ret->bytes[0] = (char)which;
    ret->bytes[1] = (char)(which >> 8);
    ret->len = which == 0 ? 0 : (uint8_t)len;
}

static bool unpack(struct slice bytes, uint64_t *ret, size_t n)
{
    struct wire_reader r;
    unsigned which;

    for (size_t i = 0; i < n; i++)
        ret[i] = 0;
    if (bytes.ptr == NULL)
        return true;
    if (bytes.len < 2)
        return false;
    which = (unsigned char)bytes.ptr[0] | (unsigned)(unsigned char)bytes.ptr[1] << 8;
    r = (struct wire_reader){bytes.ptr + 2, bytes.ptr + bytes.len, false};
    for (size_t i = 0; i < n; i++)
        if ((which >> i & 1) != 0)
            ret[i] = wire_read_number(&r);
    return !r.bad && r.at == r.end;
}

/* Small whether above or below 0. */
static uint64_t folded(int64_t number)
{
    return (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
}

static int64_t unfolded(uint64_t folded_number)
{
    return (int64_t)(folded_number >> 1 ^ ((folded_number & 1) != 0 ? UINT64_MAX : 0));
}

/* 0 = none, before and after. */
static uint64_t time_pack(int64_t us, int64_t since_us)
{
    return us == 0 ? 0 : folded((int64_t)((uint64_t)us - (uint64_t)since_us)) + 1;
}

static int64_t time_unpack(uint64_t number, int64_t since_us)
{
    return number == 0 ? 0 : (int64_t)((uint64_t)since_us + (uint64_t)unfolded(number - 1));
}

/* ---- columns ---- */

/* The numbers of each are stored by their places here. */
enum term { T_ATTEMPTS, T_RESULT, T_RETRY, T_DUE, T_QUEUE_DEADLINE, T_DEADLINE, N_TERMS };
enum fact {
    F_QUEUED,
    F_STARTED,
    F_FINISHED,
    F_SLOT,
    F_WALL,
    F_USER,
    F_SYSTEM,
    F_RSS,
    F_STDOUT,
    F_STDERR,
    F_VALUE,
    F_EXIT_CODE,
    F_REASON,
    F_SIGNAL,
    F_KILLED,
    N_FACTS
};
_Static_assert(N_FACTS <= MAX_PACKED && N_TERMS <= MAX_PACKED, "each has a bit");

void row_pack_terms(const struct row *row, struct packed *ret)
{
    const uint64_t numbers[N_TERMS] = {
        [T_ATTEMPTS] = (uint64_t)row->max_attempts - 1,
        [T_RESULT] = (uint64_t)row->result,
        [T_RETRY] = row->retry,
        [T_DUE] = time_pack(row->due_us, row->created_us),
        [T_QUEUE_DEADLINE] = time_pack(row->queue_deadline_us, row->created_us),
        [T_DEADLINE] = time_pack(row->deadline_us, row->created_us),
    };

    PRE(row->max_attempts >= 1);

    pack(numbers, N_TERMS, ret);
}

bool row_unpack_terms(struct slice bytes, struct row *row)
{
    uint64_t numbers[N_TERMS];

    if (!unpack(bytes, numbers, N_TERMS) || numbers[T_ATTEMPTS] >= UINT32_MAX ||
        numbers[T_RESULT] > RESULT_VALUE)
        return false;
    row->max_attempts = (uint32_t)numbers[T_ATTEMPTS] + 1;
    row->result = (enum job_result)numbers[T_RESULT];
    row->retry = numbers[T_RETRY] != 0;
    row->due_us = time_unpack(numbers[T_DUE], row->created_us);
    row->queue_deadline_us = time_unpack(numbers[T_QUEUE_DEADLINE], row->created_us);
    row->deadline_us = time_unpack(numbers[T_DEADLINE], row->created_us);
    return true;
}

static int64_t or_since(int64_t us, int64_t since_us)
{
    return us == 0 ? since_us : us;
}

void row_pack_ran(const struct row *row, struct packed *ret)
{
    const struct job_output *output = &row->output;
    const int64_t queued_us = or_since(row->queued_us, row->created_us);
    const uint64_t numbers[N_FACTS] = {
        [F_QUEUED] = time_pack(row->queued_us, row->created_us),
        [F_STARTED] = time_pack(row->started_us, queued_us),
        [F_FINISHED] = time_pack(row->finished_us, or_since(row->started_us, queued_us)),
        [F_SLOT] = row->slot < 0 ? 0 : (uint64_t)row->slot + 1,
        [F_WALL] = folded(row->usage.wall_us),
        [F_USER] = folded(row->usage.user_us),
        [F_SYSTEM] = folded(row->usage.system_us),
        [F_RSS] = row->usage.max_rss_bytes,
        [F_STDOUT] = output->bytes[0],
        [F_STDERR] = output->bytes[1],
        [F_VALUE] = output->has_value ? output->bytes[STREAM_VALUE] + 1 : 0,
        [F_EXIT_CODE] = row->has_exit_code ? folded(row->exit_code) + 1 : 0,
        [F_REASON] = (uint64_t)(row->reason - REASON_NONE),
        [F_SIGNAL] = folded(row->signal),
        [F_KILLED] = row->usage.processes_killed,
    };

    pack(numbers, N_FACTS, ret);
}

/* Numbers that are used as indexes or shown by name, or that become narrower. */
static bool facts_are_sound(const uint64_t *facts)
{
    return facts[F_SLOT] <= INT32_MAX && facts[F_REASON] < (uint64_t)(REASON_COUNT - REASON_NONE) &&
           facts[F_EXIT_CODE] <= UINT64_C(1) + UINT32_MAX && facts[F_SIGNAL] <= UINT32_MAX &&
           facts[F_KILLED] <= UINT32_MAX;
}

bool row_unpack_ran(struct slice bytes, struct row *row)
{
    struct job_output *output = &row->output;
    uint64_t facts[N_FACTS];

    if (!unpack(bytes, facts, N_FACTS) || !facts_are_sound(facts))
        return false;
    row->queued_us = time_unpack(facts[F_QUEUED], row->created_us);
    const int64_t queued_us = or_since(row->queued_us, row->created_us);
    row->started_us = time_unpack(facts[F_STARTED], queued_us);
    row->finished_us = time_unpack(facts[F_FINISHED], or_since(row->started_us, queued_us));
    row->slot = (int32_t)facts[F_SLOT] - 1;
    row->usage.wall_us = unfolded(facts[F_WALL]);
    row->usage.user_us = unfolded(facts[F_USER]);
    row->usage.system_us = unfolded(facts[F_SYSTEM]);
    row->usage.max_rss_bytes = facts[F_RSS];
    output->bytes[0] = facts[F_STDOUT];
    output->bytes[1] = facts[F_STDERR];
    output->has_value = facts[F_VALUE] != 0;
    output->bytes[STREAM_VALUE] = output->has_value ? facts[F_VALUE] - 1 : 0;
    row->has_exit_code = facts[F_EXIT_CODE] != 0;
    row->exit_code = row->has_exit_code ? (int32_t)unfolded(facts[F_EXIT_CODE] - 1) : 0;
    row->reason = (enum job_reason)((int)facts[F_REASON] + REASON_NONE);
    row->signal = (int32_t)unfolded(facts[F_SIGNAL]);
    row->usage.processes_killed = (uint32_t)facts[F_KILLED];
    return true;
}

/* ---- SQL ---- */

static void answer(sqlite3_context *context, const struct packed *packed)
{
    if (packed->len == 0)
        sqlite3_result_null(context);
    else
        sqlite3_result_blob(context, packed->bytes, packed->len, SQLITE_TRANSIENT);
}

/* The row of ran and created_us; false: the statement fails. */
static bool row_asked(sqlite3_context *context, sqlite3_value **argv, struct row *ret)
{
    *ret = (struct row){.created_us = sqlite3_value_int64(argv[1])};
    if (row_unpack_ran(value_slice(argv[0]), ret))
        return true;
    sqlite3_result_error_code(context, SQLITE_CORRUPT);
    return false;
}

static void ended(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct packed packed;
    struct row row;

    PRE(argc == 3);

    if (!row_asked(context, argv, &row))
        return;
    row.finished_us = sqlite3_value_int64(argv[2]);
    row_pack_ran(&row, &packed);
    answer(context, &packed);
}

static void expiry(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct row row;

    PRE(argc == 3);

    if (!row_asked(context, argv, &row))
        return;
    row.state = JOB_SUCCEEDED; /* or another end */
    row.keep_us = sqlite3_value_int64(argv[2]);
    sqlite3_result_int64(context, row_expires_us(&row));
}

static bool function_add(sqlite3 *handle, const char *name, int n_arguments,
                         void (*function)(sqlite3_context *, int, sqlite3_value **))
{
    return sqlite3_create_function_v2(handle, name, n_arguments, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                      NULL, function, NULL, NULL, NULL) == SQLITE_OK;
}

bool row_pack_open(struct store *store, struct err *err)
{
    sqlite3 *handle = store->db.handle;

    return (function_add(handle, "ended", 3, ended) && function_add(handle, "expiry", 3, expiry)) ||
           db_fail(&store->db, sqlite3_errcode(handle), "create a function", err);
}

/* ---- version 1 ---- */

static void terms_of(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct row row = {
        .created_us = sqlite3_value_int64(argv[0]),
        .max_attempts = MAX((uint32_t)sqlite3_value_int64(argv[1]), 1u),
        .result = (enum job_result)sqlite3_value_int(argv[2]),
        .retry = sqlite3_value_int(argv[3]) != 0,
        .due_us = sqlite3_value_int64(argv[4]),
        .queue_deadline_us = sqlite3_value_int64(argv[5]),
        .deadline_us = sqlite3_value_int64(argv[6]),
    };
    struct packed packed;

    PRE(argc == 7);

    row_pack_terms(&row, &packed);
    answer(context, &packed);
}

static int value_or(sqlite3_value *value, int if_null)
{
    return sqlite3_value_type(value) == SQLITE_NULL ? if_null : sqlite3_value_int(value);
}

static void ran_of(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct row row = {
        .created_us = sqlite3_value_int64(argv[0]),
        .queued_us = sqlite3_value_int64(argv[1]),
        .started_us = sqlite3_value_int64(argv[2]),
        .finished_us = sqlite3_value_int64(argv[3]),
        .slot = value_or(argv[4], -1),
        .reason = (enum job_reason)value_or(argv[5], REASON_NONE),
        .has_exit_code = sqlite3_value_type(argv[6]) != SQLITE_NULL,
        .exit_code = sqlite3_value_int(argv[6]),
        .signal = sqlite3_value_int(argv[7]),
        .usage = {.wall_us = sqlite3_value_int64(argv[8]),
                  .user_us = sqlite3_value_int64(argv[9]),
                  .system_us = sqlite3_value_int64(argv[10]),
                  .max_rss_bytes = (uint64_t)sqlite3_value_int64(argv[11]),
                  .processes_killed = (uint32_t)sqlite3_value_int64(argv[12])},
        .output = {.bytes = {(uint64_t)sqlite3_value_int64(argv[13]),
                             (uint64_t)sqlite3_value_int64(argv[14])}},
    };
    struct packed packed;

    PRE(argc == 15);

    row_pack_ran(&row, &packed);
    answer(context, &packed);
}

bool row_pack_migrates(sqlite3 *handle)
{
    return function_add(handle, "terms_of", 7, terms_of) &&
           function_add(handle, "ran_of", 15, ran_of);
}
