/* SPDX-License-Identifier: MIT */
/* Whose token this is, and that nobody can make one. */
#include "service/job_token.h"

#include <criterion/criterion.h>

static const struct job_id job = {.ms = 1792000000000, .no = 123456789, .salt = 0x3fffffff};

Test(engine_token, names_its_job_and_its_attempt)
{
    struct job_token_key key;
    struct job_id who = {0};
    uint32_t attempt = 0;
    char token[JOB_TOKEN_SIZE];

    job_token_key_make(&key);
    job_token_write(&key, &job, UINT32_MAX, token);
    cr_assert(text_is_token(slice_of(token), JOB_TOKEN_SIZE), "it goes into a header as it is");
    cr_assert(job_token_read(&key, slice_of(token), &who, &attempt));
    cr_assert(who.no == job.no && who.ms == job.ms && who.salt == job.salt);
    cr_assert_eq(attempt, UINT32_MAX);
}

Test(engine_token, every_character_counts)
{
    struct job_token_key key;
    struct job_id who;
    uint32_t attempt;
    char token[JOB_TOKEN_SIZE];

    job_token_key_make(&key);
    job_token_write(&key, &job, 7, token);
    const size_t len = strlen(token);
    for (size_t i = 0; i < len; i++)
        for (int bit = 0; bit < 8; bit++) {
            token[i] = (char)(token[i] ^ (1 << bit));
            cr_assert(!job_token_read(&key, (struct slice){token, len}, &who, &attempt), "%zu", i);
            token[i] = (char)(token[i] ^ (1 << bit));
        }
    for (size_t cut = 0; cut < len; cut++)
        cr_assert(!job_token_read(&key, (struct slice){token, cut}, &who, &attempt));
    token[len] = '0';
    cr_assert(!job_token_read(&key, (struct slice){token, len + 1}, &who, &attempt));
}

Test(engine_token, is_of_one_key_one_job_one_attempt)
{
    struct job_token_key key, other;
    struct job_id who, next = job;
    uint32_t attempt;
    char a[JOB_TOKEN_SIZE], b[JOB_TOKEN_SIZE], mixed[2 * JOB_TOKEN_SIZE];

    job_token_key_make(&key);
    job_token_key_make(&other);
    cr_assert(memcmp(&key, &other, sizeof(key)) != 0);
    job_token_write(&key, &job, 1, a);
    cr_assert(!job_token_read(&other, slice_of(a), &who, &attempt));
    /* The id of another job, or another attempt, before the same MAC. */
    next.no++;
    job_token_write(&key, &next, 1, b);
    (void)snprintf(mixed, sizeof(mixed), "%.36s%s", b, a + 36);
    cr_assert(!job_token_read(&key, slice_of(mixed), &who, &attempt));
    (void)snprintf(mixed, sizeof(mixed), "%.36s.2%s", a, a + 38);
    cr_assert(!job_token_read(&key, slice_of(mixed), &who, &attempt));
    (void)snprintf(mixed, sizeof(mixed), "%.36s.01%s", a, a + 38);
    cr_assert(!job_token_read(&key, slice_of(mixed), &who, &attempt));
}
