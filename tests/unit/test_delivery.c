/* SPDX-License-Identifier: MIT */
/* What follows from a try, with a clock that stands where the test wants it. */
#include "service/delivery.h"

#include <criterion/criterion.h>

#define S INT64_C(1000000)
#define NOW (INT64_C(1790000000) * S)

static const struct config config = {
    .callback_max_tries = 10,
    .callback_first_delay_us = 30 * S,
    .callback_max_delay_us = 12 * 3600 * S,
};

static struct delivery_verdict judge(uint32_t tries_before, int32_t status, uint64_t random)
{
    struct delivery_answer answer = {.tries_before = tries_before, .http_status = status};
    return delivery_judge(&config, &answer, NOW, random);
}

Test(delivery, only_2xx_is_delivered_and_410_is_the_end)
{
    static const int32_t again[] = {0, 199, 300, 302, 400, 404, 409, 429, 500, 503, 599};
    for (int32_t status = 200; status <= 299; status++)
        cr_assert_eq(judge(9, status, 0).outcome, TRY_DELIVERED);
    for (size_t i = 0; i < ARRAY_LEN(again); i++)
        cr_assert_eq(judge(0, again[i], 0).outcome, TRY_FAILED, "%d", again[i]);
    cr_assert_eq(judge(0, 410, 0).outcome, TRY_GAVE_UP);
}

/* 30 s, 2 min, 8 min, 32 min, 2.1 h, 8.5 h, then 12 h each: 47 h at most, a day on average. */
Test(delivery, pauses_grow_to_their_bound_and_then_it_is_given_up)
{
    static const int64_t longest_s[] = {30, 120, 480, 1920, 7680, 30720, 43200, 43200, 43200};
    int64_t now_us = 0;
    for (uint32_t k = 0; k < ARRAY_LEN(longest_s); k++) {
        struct delivery_verdict v = judge(k, 500, UINT64_MAX);
        cr_assert_eq(v.outcome, TRY_FAILED);
        cr_assert_eq(v.again_us - NOW, longest_s[k] * S, "after try %u", k + 1);
        cr_assert_eq(judge(k, 500, 0).again_us, NOW, "full jitter begins at nothing");
        now_us += judge(k, 500, UINT64_MAX / 2).again_us - NOW;
    }
    cr_assert_eq(judge(9, 500, UINT64_MAX).outcome, TRY_GAVE_UP);
    cr_assert_gt(now_us, 20 * 3600 * S);
    cr_assert_lt(now_us, 28 * 3600 * S);
}

Test(delivery, a_busy_receiver_says_when)
{
    struct delivery_answer answer = {.http_status = 429, .retry_after_us = 90 * S};
    cr_assert_eq(delivery_judge(&config, &answer, NOW, 0).again_us, NOW + 90 * S);
    answer.http_status = 503;
    cr_assert_eq(delivery_judge(&config, &answer, NOW, 0).again_us, NOW + 90 * S);
    answer.http_status = 500; /* there it means nothing */
    cr_assert_eq(delivery_judge(&config, &answer, NOW, 0).again_us, NOW);
    answer = (struct delivery_answer){.http_status = 503, .retry_after_us = 1 * S};
    cr_assert_eq(delivery_judge(&config, &answer, NOW, UINT64_MAX).again_us, NOW + 30 * S);
    answer.retry_after_us = 365 * 86400 * S;
    cr_assert_eq(delivery_judge(&config, &answer, NOW, 0).again_us, NOW + 86400 * S);
}

Test(delivery, what_cannot_be_tried_is_given_up_at_once)
{
    struct delivery_answer answer = {.is_hopeless = true};
    cr_assert_eq(delivery_judge(&config, &answer, NOW, 0).outcome, TRY_GAVE_UP);
}

Test(delivery, a_message_is_named_by_the_end_it_tells)
{
    struct job_id id = {.ms = 1790000000000, .no = 7, .salt = 0xdeadbeef};
    char first[DELIVERY_ID_BYTES], again[DELIVERY_ID_BYTES], next[DELIVERY_ID_BYTES];
    delivery_message_id(&id, 3, first);
    delivery_message_id(&id, 3, again);
    delivery_message_id(&id, 6, next);
    cr_assert_str_eq(first, again);
    cr_assert_str_neq(first, next);
    cr_assert_eq(strncmp(first, "msg_", 4), 0);
    cr_assert_null(strchr(first, '.'), "a dot would divide what is signed");
    delivery_message_id(&id, INT64_MAX, next); /* fits */
    cr_assert_not_null(strstr(next, "9223372036854775807"));
}
