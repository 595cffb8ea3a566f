/* SPDX-License-Identifier: MIT */
#include "storage/pools.h"
#include "storage_fixture.h"

STORE_TESTS(pools);

static const struct pool_entry entry = {.name = "p",
                                        .settings = {.size = 2,
                                                     .min = POOL_MIN_ALL,
                                                     .idle_us = 4,
                                                     .max_jobs = 5,
                                                     .start_failures = 6,
                                                     .start_timeout_us = 7,
                                                     .max_rss = UINT64_C(1) << 40,
                                                     .on_death = DEATH_RETRIES_JOB,
                                                     .isolation = POOL_REUSE},
                                        .base = {.size = 12,
                                                 .min = 13,
                                                 .idle_us = 14,
                                                 .max_jobs = 15,
                                                 .start_failures = 16,
                                                 .start_timeout_us = 17,
                                                 .max_rss = 18,
                                                 .isolation = POOL_EXEC},
                                        .phase = POOL_IS_BROKEN,
                                        .why = "worker-3 died",
                                        .is_made = 1,
                                        .version = 9,
                                        .place = 10,
                                        .up_to = 11};

Test(pools, what_was_put_is_loaded)
{
    struct pool_entry found[2];
    size_t n = 0;

    must(pools_put(f.store, &entry, err));
    tx_commit(&f);
    fixture_reopen(&f);
    must(pools_load(f.store, found, 2, &n, err));
    cr_assert_eq(n, 1);
    cr_assert_eq(memcmp(found, &entry, offsetof(struct pool_entry, queue)), 0);
}

Test(pools, a_row_that_cannot_be_is_refused)
{
    static const char *const damage[] = {"size = 0",     "size = -1",    "min = 4294967296",
                                         "idle_us = -1", "on_death = 3", "base_isolation = 4"};
    struct pool_entry found[2];
    size_t n;

    for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
        char sql[80];
        must(pools_put(f.store, &entry, err));
        (void)snprintf(sql, sizeof(sql), "UPDATE pools SET %s", damage[i]);
        must(db_exec(&f.store->db, sql, err));
        must_fail(STORAGE, pools_load(f.store, found, 2, &n, err));
    }
}
