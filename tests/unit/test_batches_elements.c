/* SPDX-License-Identifier: MIT */
/* Elements that are born by one statement for many are what they are when each is born alone. */
#include "storage/settings.h"
#include "storage_fixture.h"

#define N (2 * ELEMENTS_AT_ONCE + 5)
#define COLUMNS                                                                              \
    "state, queue, priority, attempt, max_attempts, version, timer, wake_us, created_us,"    \
    " salt, due_us, queued_us, queue_deadline_us, deadline_us, keep_us, result, retry, idx," \
    " flags, ukey, task, name, policy"

static struct fixture f;
static struct element_new elements[N];
static char items[N][8];

static void setup(void)
{
    fixture_open(&f);
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(items[i], sizeof items[i], "%u", i);
        elements[i] = (struct element_new){slice_of(items[i]), i * 2654435761u};
    }
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(batches_elements, .init = setup, .fini = teardown, .timeout = 60);

static int64_t batch_add(const struct job_spec *spec)
{
    return batch_add_as(&f, &(struct batch_new){.phase = BATCH_OPEN, .spec = spec, .chunksize = 1});
}

/* How many elements of one of the two batches are not the same in the other one. */
static int64_t differences(int64_t a, int64_t b)
{
    char sql[1024];

    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM (SELECT " COLUMNS " FROM jobs JOIN specs USING (no)"
                   " WHERE batch = %lld EXCEPT SELECT " COLUMNS " FROM jobs JOIN specs USING (no)"
                   " WHERE batch = %lld)",
                   (long long)a, (long long)b);
    return ask(&f, sql);
}

static void each_alone(const struct job_new *like, int64_t batch)
{
    for (uint32_t i = 0; i < N; i++) {
        struct job_new job = *like;
        struct job_id id;

        job.batch = batch;
        job.idx += i;
        job.task = elements[i].item;
        job.salt = elements[i].salt;
        must(jobs_insert(f.store, &job, &id, err));
    }
}

static void expect_same(const struct job_new *like)
{
    size_t n_alone, n_together;
    int64_t alone, together;
    struct job_new job = *like;

    tx_begin(&f);
    alone = batch_add(like->spec);
    each_alone(like, alone);
    (void)store_changes(f.store, &n_alone);
    tx_commit(&f);
    tx_begin(&f);
    together = batch_add(like->spec);
    job.batch = together;
    must(batch_insert_elements(f.store, &job, elements, N, err));
    const struct job_change *changes = store_changes(f.store, &n_together);
    cr_assert_eq(n_alone, n_together);
    cr_assert(changes[N - 1].no == together + N && changes[N - 1].idx == N - 1 &&
              changes[N - 1].salt == elements[N - 1].salt);
    tx_commit(&f);
    cr_assert_eq(f.store->newest.no, together + N);
    cr_assert_eq(differences(alone, together) + differences(together, alone), 0);
    const struct batch a = batch_see(&f, alone), b = batch_see(&f, together);
    cr_assert(b.n == N && b.gated == a.gated && b.remaining == N);
    cr_assert_arr_eq(a.count, b.count, sizeof a.count);
    counts_check(&f);
}

Test(batches_elements, many_at_once_are_as_each_alone)
{
    const struct job_spec plain = {.max_attempts = 1};
    const struct job_spec rich = {.max_attempts = 3,
                                  .has_retry = true,
                                  .priority = -5,
                                  .keep_us = 7,
                                  .result = RESULT_JSON,
                                  .queue = SLICE_LIT("other")};
    expect_same(&(struct job_new){.spec = &plain, .now_us = NOW_US, .flags = JOB_ITEM});
    expect_same(&(struct job_new){
        .spec = &rich, .now_us = NOW_US, .flags = JOB_ITEM | JOB_GATED | JOB_CHUNKED});
    expect_same(&(struct job_new){.spec = &rich,
                                  .now_us = NOW_US,
                                  .due_us = NOW_US + SECOND_US,
                                  .queue_deadline_us = NOW_US + 2 * SECOND_US,
                                  .deadline_us = NOW_US + 3 * SECOND_US,
                                  .flags = JOB_ITEM});
}

Test(batches_elements, a_queue_takes_no_more_than_its_limit)
{
    const struct queue_change change = {.members = QUEUE_MAX_LENGTH,
                                        .to = {.max_length = ELEMENTS_AT_ONCE - 1},
                                        .if_version = QUEUE_ANY_VERSION};
    struct settings_change apply = {
        .name = SLICE_LIT("default"), .change = &change, .may_make = true};
    const struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {.spec = &spec, .now_us = NOW_US, .flags = JOB_ITEM};

    tx_begin(&f);
    must(settings_apply(f.store, &apply, err));
    job.batch = batch_add(&spec);
    must(store_savepoint(f.store, err));
    must_fail(QUEUE_LIMIT, batch_insert_elements(f.store, &job, elements, ELEMENTS_AT_ONCE, err));
    store_savepoint_undo(f.store);
    must(batch_insert_elements(f.store, &job, elements, ELEMENTS_AT_ONCE - 1, err));
    tx_commit(&f);
    cr_assert_eq(batch_see(&f, job.batch).n, ELEMENTS_AT_ONCE - 1);
    counts_check(&f);
}
