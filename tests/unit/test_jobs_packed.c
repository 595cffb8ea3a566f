/* SPDX-License-Identifier: MIT */
/* Numbers that lie together in one column come out as they went in. */
#include "storage_fixture.h"

static struct row through(const struct row *row)
{
    struct row ret = {.created_us = row->created_us};
    struct packed terms, ran;

    row_pack_terms(row, &terms);
    row_pack_ran(row, &ran);
    cr_assert_leq(terms.len, sizeof terms.bytes);
    cr_assert_leq(ran.len, sizeof ran.bytes);
    cr_assert(row_unpack_terms(packed_slice(&terms), &ret));
    cr_assert(row_unpack_ran(packed_slice(&ran), &ret));
    return ret;
}

static size_t length(const struct row *row)
{
    struct packed ran;

    row_pack_ran(row, &ran);
    return ran.len;
}

static const struct row born = {
    .created_us = NOW_US, .max_attempts = 1, .slot = -1, .reason = REASON_NONE};

Test(jobs_packed, a_plain_birth_takes_no_byte)
{
    struct packed packed;
    const struct row back = through(&born);

    row_pack_terms(&born, &packed);
    cr_assert_null(packed_slice(&packed).ptr);
    cr_assert_eq(length(&born), 0);
    cr_assert_eq(memcmp(&back, &born, sizeof back), 0);
}

Test(jobs_packed, a_brief_call_takes_few_bytes)
{
    struct row row = born;

    row.queued_us = row.started_us = NOW_US + 300000;
    row.finished_us = NOW_US + 300001;
    row.slot = 1;
    row.usage = (struct job_usage){.wall_us = 1, .max_rss_bytes = 3 << 20};
    row.output.has_value = true;
    row.output.bytes[STREAM_VALUE] = 2;
    cr_assert_leq(length(&row), 16);
}

static const int64_t times[] = {0, 1, NOW_US - 1, NOW_US, NOW_US + 1, INT64_MAX - 1, INT64_MAX};

Test(jobs_packed, times_come_back_in_whatever_order_they_are)
{
    const size_t n = ARRAY_LEN(times);

    for (size_t i = 0; i < n * n * n; i++) {
        struct row row = born;
        row.queued_us = row.due_us = times[i % n];
        row.started_us = row.queue_deadline_us = times[i / n % n];
        row.finished_us = row.deadline_us = times[i / n / n];
        const struct row back = through(&row);
        cr_assert_eq(memcmp(&back, &row, sizeof back), 0, "%zu", i);
    }
}

static const int64_t numbers[] = {INT64_MIN + 1, INT32_MIN, -128,      -1,       0, 1,
                                  127,           128,       INT32_MAX, INT64_MAX};

Test(jobs_packed, numbers_of_each_size_come_back)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const int64_t number = numbers[i];
        struct row row = born;
        row.max_attempts = (uint32_t)number == 0 ? 1 : (uint32_t)number;
        row.result = (enum job_result)(i % (RESULT_VALUE + 1));
        row.retry = i % 2 == 0;
        row.slot = (int32_t)MAX(number, -1) == INT32_MAX ? INT32_MAX - 1 : (int32_t)MAX(number, -1);
        row.reason = (enum job_reason)((int)i - 1);
        row.has_exit_code = true;
        row.exit_code = (int32_t)number;
        row.signal = (int32_t)number;
        row.usage.wall_us = number;
        row.usage.user_us = -number;
        row.usage.system_us = number / 2;
        row.usage.max_rss_bytes = (uint64_t)number;
        row.usage.processes_killed = (uint32_t)number;
        row.output.bytes[0] = (uint64_t)number;
        row.output.bytes[1] = (uint64_t)-number;
        row.output.has_value = true;
        row.output.bytes[STREAM_VALUE] = (uint64_t)number & INT64_MAX;
        const struct row back = through(&row);
        cr_assert_eq(memcmp(&back, &row, sizeof back), 0, "%lld", (long long)number);
    }
}
