/* SPDX-License-Identifier: MIT */
#include "storage/gang.h"

#include "storage_fixture.h"

STORE_TESTS(gang);

/* A pipeline of three, as the service stores it. */
static struct gang make(void)
{
    const struct job_spec spec = {.max_attempts = 1, .keep_us = SECOND_US};
    const struct batch_new batch = {.kind = BATCH_PIPELINE,
                                    .phase = BATCH_CLOSED,
                                    .spec = &spec,
                                    .now_us = NOW_US,
                                    .chunksize = 1};
    struct job_id id, ignored;
    struct gang gang;
    must(batch_insert(f.store, &batch, &id, err));
    for (int64_t i = 0; i < 3; i++) {
        const struct job_new job = {.spec = &spec,
                                    .task = SLICE_LIT("task"),
                                    .now_us = NOW_US,
                                    .due_us = NOW_US,
                                    .batch = id.no,
                                    .idx = i,
                                    .flags = JOB_GANG | (i > 0 ? (unsigned)JOB_GATED : 0)};
        must(jobs_insert(f.store, &job, &ignored, err));
    }
    must(gang_get(f.store, id.no, &gang, err));
    return gang;
}

static bool is_ready(const struct gang *gang)
{
    bool ret;
    must(gang_is_ready(f.store, gang, &ret, err));
    return ret;
}

static int64_t gated(const struct gang *gang)
{
    const struct batch *b;
    must(batch_get_by_no(f.store, gang->batch, &b, err));
    return b->gated;
}

Test(gang, the_first_stage_stands_for_all_in_the_ready_order)
{
    struct gang gang = make();
    struct ready_job ready[4];
    struct ready_list list = {.jobs = ready, .max = 4};
    cr_assert_eq(gang.n, 3);
    must(queue_peek(f.store, &list, err));
    cr_assert_eq(list.n, 1);
    cr_assert_eq(ready[0].no, gang.first_no);
    cr_assert_eq(ready[0].batch, gang.batch);
    cr_assert_neq(ready[0].flags & JOB_GANG, 0);
    list.without = JOB_GANG;
    must(queue_peek(f.store, &list, err));
    cr_assert_eq(list.n, 0);
    cr_assert(is_ready(&gang));
}

Test(gang, stages_come_in_and_go_back)
{
    struct gang gang = make();
    cr_assert_eq(gated(&gang), 2);
    for (int64_t i = 1; i < 3; i++)
        must(gang_let_in(f.store, gang.first_no + i, NOW_US + 1, err));
    cr_assert_eq(gated(&gang), 0);
    cr_assert_not(is_ready(&gang), "they do not wait for the first any more");
    for (int64_t i = 1; i < 3; i++)
        must(gang_put_back(f.store, gang.first_no + i, err));
    cr_assert_eq(gated(&gang), 2);
    cr_assert(is_ready(&gang));
    tx_commit(&f);
    counts_check(&f);
    fixture_reopen(&f);
    counts_check(&f);
    tx_begin(&f);
    cr_assert(is_ready(&gang));
    cr_assert_eq(gated(&gang), 2);
}

Test(gang, is_not_ready_when_a_stage_waits_for_something_else)
{
    struct gang gang = make();
    enum job_state state;
    const struct job_cancel cancel = {gang.first_no + 2, NOW_US, NULL};
    must(jobs_cancel(f.store, &cancel, &state, err));
    cr_assert_not(is_ready(&gang));
}
