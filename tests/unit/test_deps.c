/* SPDX-License-Identifier: MIT */
/* Who waits for whom, as the store remembers it: each end counts once, in steps of any size, over
 * rollbacks and restarts. */
#include "storage_fixture.h"

#include "storage/batches.h"
#include "storage/deps.h"

static struct fixture f;

static void setup(void)
{
    fixture_open(&f);
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(deps, .init = setup, .fini = teardown, .timeout = 60);

static struct job_id child_add(uint32_t flags, int64_t due_us)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = 10 * SECOND_US};
    struct job_new job = {.spec = &spec,
                          .task = SLICE_LIT("task"),
                          .now_us = NOW_US,
                          .due_us = due_us,
                          .flags = JOB_WAITS | flags};

    return job_add_as(&f, &job);
}

static void link_to(int64_t parent, int64_t child, bool is_new)
{
    bool added;

    must(deps_add(f.store, parent, child, &added, err));
    cr_assert_eq(added, is_new);
}

static struct dep_wait told(int64_t parent, int64_t child)
{
    struct dep_wait wait;

    must(deps_tell(f.store, parent, child, &wait, err));
    return wait;
}

Test(deps, a_parent_is_a_job_or_a_batch)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = SECOND_US};
    struct batch_new batch = {
        .kind = BATCH_GRAPH, .phase = BATCH_OPEN, .spec = &spec, .now_us = NOW_US, .chunksize = 1};
    struct job_id job, failed, id, other;
    struct dep_parent parent;

    tx_begin(&f);
    job = job_add(&f, NULL, 0);
    failed = job_add_in(&f, JOB_FAILED);
    must(batch_insert(f.store, &batch, &id, err));
    must(deps_parent(f.store, &job, &parent, err));
    cr_assert_eq(parent.state, JOB_QUEUED);
    cr_assert_not(parent.is_batch);
    must(deps_parent(f.store, &failed, &parent, err));
    cr_assert_eq(parent.state, JOB_FAILED);
    must(deps_parent(f.store, &id, &parent, err));
    cr_assert_eq(parent.state, JOB_RUNNING, "an empty batch that is open has not ended");
    cr_assert(parent.is_batch);
    other = job;
    other.salt++;
    must_fail(NOT_FOUND, deps_parent(f.store, &other, &parent, err));
    other = (struct job_id){1, 77, 1};
    must_fail(NOT_FOUND, deps_parent(f.store, &other, &parent, err));
    must(deps_mark_parent(f.store, job.no, false, NOW_US, err));
    must(deps_mark_parent(f.store, id.no, true, NOW_US, err));
    cr_assert(job_see(&f, job.no).flags & JOB_PARENT);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT flags FROM batches"), JOB_PARENT);
}

Test(deps, a_child_counts_its_parents_once_each)
{
    struct job_id a, b, child;
    struct dep_wait wait;

    tx_begin(&f);
    a = job_add(&f, NULL, 0);
    b = job_add(&f, NULL, 0);
    child = child_add(0, 0);
    cr_assert_eq(job_see(&f, child.no).state, JOB_BLOCKED);
    link_to(a.no, child.no, true);
    link_to(b.no, child.no, true);
    link_to(a.no, child.no, false);
    must(deps_wait(f.store, child.no, &(struct dep_wait){2, PARENT_FAIL}, err));
    tx_commit(&f);
    tx_begin(&f);
    wait = told(a.no, child.no);
    cr_assert_eq(wait.n, 1);
    cr_assert_eq(wait.policy, PARENT_FAIL);
    tx_commit(&f);
    fixture_reopen(&f);
    tx_begin(&f);
    cr_assert_eq(told(b.no, child.no).n, 0);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM deps"), 0);
    counts_check(&f);
}

Test(deps, a_released_child_is_queued_unless_something_else_holds_it)
{
    struct job_id plain, gated, later;
    enum job_state state;
    int64_t promoted[2];
    struct due_list due = {promoted, 2, 0};

    tx_begin(&f);
    plain = child_add(0, 0);
    gated = child_add(JOB_GATED, 0);
    later = child_add(0, NOW_US + SECOND_US);
    must(deps_release(f.store, plain.no, NOW_US + 5, &state, err));
    cr_assert_eq(state, JOB_QUEUED);
    must(deps_release(f.store, gated.no, NOW_US, &state, err));
    cr_assert_eq(state, JOB_BLOCKED);
    cr_assert_eq(job_see(&f, gated.no).flags, JOB_GATED);
    must(deps_release(f.store, later.no, NOW_US, &state, err));
    cr_assert_eq(state, JOB_SCHEDULED);
    must(queue_promote(f.store, NOW_US + 2 * SECOND_US, &due, err));
    cr_assert_eq(job_see(&f, later.no).state, JOB_QUEUED);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT queued_us FROM facts ORDER BY no LIMIT 1"), NOW_US + 5);
    counts_check(&f);
}

Test(deps, a_due_child_that_waits_is_blocked)
{
    struct job_id child;
    int64_t promoted[2];
    struct due_list due = {promoted, 2, 0};

    tx_begin(&f);
    child = child_add(0, NOW_US + SECOND_US);
    cr_assert_eq(job_see(&f, child.no).state, JOB_SCHEDULED);
    must(queue_promote(f.store, NOW_US + 2 * SECOND_US, &due, err));
    cr_assert_eq(job_see(&f, child.no).state, JOB_BLOCKED);
    tx_commit(&f);
    counts_check(&f);
}

Test(deps, a_child_that_has_ended_is_told_in_vain)
{
    struct job_id parent, child;
    enum job_state state;

    tx_begin(&f);
    parent = job_add(&f, NULL, 0);
    child = child_add(0, 0);
    link_to(parent.no, child.no, true);
    must(deps_wait(f.store, child.no, &(struct dep_wait){1, PARENT_CANCEL}, err));
    must(jobs_cancel(f.store, &(struct job_cancel){child.no, NOW_US, NULL}, &state, err));
    must(deps_stop_waiting(f.store, child.no, err));
    cr_assert_lt(told(parent.no, child.no).n, 0);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM deps"), 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM waits"), 0);
}

Test(deps, a_refused_child_says_why)
{
    struct job_id child;

    tx_begin(&f);
    child = child_add(0, 0);
    must(jobs_refuse(f.store, &(struct job_refusal){child.no, REASON_DEPENDENCY, NOW_US, "because"},
                     err));
    tx_commit(&f);
    cr_assert_eq(job_see(&f, child.no).state, JOB_FAILED);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM errors WHERE detail = 'because'"), 1);
}

Test(deps, a_reader_sees_whom_a_job_waits_for)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = SECOND_US};
    struct batch_new batch = {
        .kind = BATCH_GRAPH, .phase = BATCH_OPEN, .spec = &spec, .now_us = NOW_US, .chunksize = 1};
    struct parent_view parents[2];
    struct parent_list list = {parents, 2, 0, 0};
    struct reader *reader = NULL;
    struct job_id a, b, c, child;

    tx_begin(&f);
    a = job_add(&f, NULL, 0);
    must(batch_insert(f.store, &batch, &b, err));
    c = job_add(&f, NULL, 0);
    child = child_add(0, 0);
    link_to(a.no, child.no, true);
    link_to(b.no, child.no, true);
    link_to(c.no, child.no, true);
    must(deps_wait(f.store, child.no, &(struct dep_wait){3, PARENT_CANCEL}, err));
    tx_commit(&f);
    must(reader_open(f.dir, 1 << 20, &reader, err));
    must(reader_parents(reader, child.no, &list, err));
    cr_assert_eq(list.total, 3);
    cr_assert_eq(list.n, 2, "no more than there is room for");
    cr_assert_eq(parents[0].id.no, a.no);
    cr_assert_eq(parents[0].state, JOB_QUEUED);
    cr_assert_eq(parents[1].id.salt, b.salt);
    cr_assert(parents[1].is_batch);
    cr_assert_eq(parents[1].state, JOB_RUNNING);
    must(reader_parents(reader, a.no, &list, err));
    cr_assert_eq(list.total, 0);
    cr_assert_eq(list.n, 0);
    reader_close(reader);
}

/* ---- large families ---- */

#define CHILDREN 1000

/* Tells at most max children; true when there are none left. */
static bool tell_some(int64_t parent, size_t max)
{
    int64_t children[64];
    struct due_list list = {children, max, 0};

    must(deps_children(f.store, parent, &list, err));
    for (size_t i = 0; i < list.n; i++) {
        enum job_state state;

        cr_assert_eq(told(parent, children[i]).n, 0);
        must(deps_release(f.store, children[i], NOW_US, &state, err));
    }
    return list.n < max;
}

static void await_end(const struct dep_end *end, size_t max)
{
    struct dep_end next;
    bool found, done = false;

    for (int turn = 0; !done; turn++) {
        tx_begin(&f);
        must(telling_first(f.store, &next, &found, err));
        cr_assert(found);
        cr_assert_eq(next.id.no, end->id.no);
        cr_assert_eq(next.id.ms, end->id.ms);
        cr_assert_eq(next.id.salt, end->id.salt);
        cr_assert_eq(next.state, end->state);
        done = tell_some(end->id.no, max);
        if (done)
            must(telling_done(f.store, end->id.no, err));
        if (turn % 3 == 1) { /* a commit that was refused */
            store_rollback(f.store);
            done = false;
            continue;
        }
        tx_commit(&f);
        if (turn % 5 == 0)
            fixture_reopen(&f);
    }
}

Test(deps, a_large_family_is_told_in_steps_over_rollbacks_and_restarts)
{
    struct dep_end end = {.state = JOB_SUCCEEDED};
    struct dep_end next;
    bool found;

    tx_begin(&f);
    end.id = job_add(&f, NULL, 0);
    for (int i = 0; i < CHILDREN; i++) {
        struct job_id child = child_add(0, 0);

        link_to(end.id.no, child.no, true);
        must(deps_wait(f.store, child.no, &(struct dep_wait){1, PARENT_CANCEL}, err));
    }
    must(telling_put(f.store, &end, err));
    tx_commit(&f);
    await_end(&end, 64);
    tx_begin(&f);
    must(telling_first(f.store, &next, &found, err));
    cr_assert_not(found);
    tx_commit(&f);
    cr_assert_eq(store_count(f.store, JOB_QUEUED), CHILDREN + 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM deps"), 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM waits"), 0);
    counts_check(&f);
    integrity_check(&f);
}

Test(deps, a_second_end_replaces_the_first)
{
    struct dep_end end = {.id = {NOW_US / 1000, 5, 0xfffffff0}, .state = JOB_FAILED};
    struct dep_end next;
    bool found;

    tx_begin(&f);
    must(telling_put(f.store, &end, err));
    end.state = JOB_CANCELLED;
    end.is_batch = true;
    must(telling_put(f.store, &end, err));
    must(telling_first(f.store, &next, &found, err));
    cr_assert(found);
    cr_assert_eq(next.state, JOB_CANCELLED);
    cr_assert(next.is_batch);
    cr_assert_eq(next.id.salt, end.id.salt);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM telling"), 1);
}

Test(deps, damage_is_found)
{
    struct dep_wait wait;
    struct dep_end next;
    bool found;

    tx_begin(&f);
    must(db_exec(&f.store->db, "INSERT INTO waits VALUES (1, 0, 0), (2, 1, 9)", err));
    must(db_exec(&f.store->db, "INSERT INTO telling VALUES (1, 2, 0, 1, 1)", err));
    must_fail(STORAGE, deps_tell(f.store, 3, 1, &wait, err));
    must_fail(STORAGE, deps_tell(f.store, 3, 2, &wait, err));
    must_fail(STORAGE, telling_first(f.store, &next, &found, err));
    store_rollback(f.store);
}
