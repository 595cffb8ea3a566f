/* SPDX-License-Identifier: MIT */
/* The order in which jobs run, against a model, and the timers. */
#include "storage_fixture.h"

#include "storage/change.h"

STORE_TESTS(queue);

/* ---- order ---- */

static size_t peek(struct ready_job *ret, size_t max)
{
    struct ready_list list = {.jobs = ret, .max = max};

    must(queue_peek(f.store, &list, err));
    return list.n;
}

Test(queue, nothing_is_ready_in_an_empty_store)
{
    struct ready_job ready[4];

    cr_assert_eq(peek(ready, 4), 0);
    (void)job_add_in(&f, JOB_SCHEDULED);
    (void)job_add_in(&f, JOB_RUNNING);
    cr_assert_eq(peek(ready, 4), 0);
}

Test(queue, higher_priority_first_then_oldest_over_all_queues)
{
    struct ready_job ready[8];
    int64_t low = job_add(&f, "a", -1).no, first = job_add(&f, "b", 0).no;
    int64_t second = job_add(&f, "a", 0).no, high = job_add(&f, "c", 100).no;

    cr_assert_eq(peek(ready, 8), 4);
    cr_assert(ready[0].no == high && ready[1].no == first && ready[2].no == second &&
              ready[3].no == low);
    cr_assert(ready[0].priority == 100 && ready[3].priority == -1);
    cr_assert_eq(peek(ready, 2), 2);
    cr_assert(ready[0].no == high && ready[1].no == first);
    cr_assert_eq(peek(ready, 0), 0);
}

Test(queue, peek_tells_the_attempt_before)
{
    struct ready_job ready[1];
    struct job_end end = job_end_ok();
    int64_t no = job_add(&f, NULL, 0).no;

    cr_assert(peek(ready, 1) == 1 && ready[0].attempt == 0);
    must(jobs_start(f.store, &(struct job_start){no, 1, 0, NOW_US}, err));
    end.state = JOB_QUEUED;
    must(jobs_finish(f.store, no, 1, &end, err));
    cr_assert(peek(ready, 1) == 1 && ready[0].attempt == 1);
}

/* A deterministic generator (splitmix64), so that a failure comes again with the same seed. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#define MODEL_MAX 600
struct model_job {
    int64_t no;
    int32_t priority;
    bool ready;
};

/* The model: all jobs in a plain array, the best one found by looking at each. */
static size_t model_peek(const struct model_job *jobs, size_t n, struct ready_job *ret, size_t max)
{
    bool taken[MODEL_MAX] = {false};
    size_t found = 0;

    while (found < max) {
        size_t best = n;

        for (size_t i = 0; i < n; i++) {
            if (jobs[i].ready && !taken[i] && (best == n || jobs[i].priority > jobs[best].priority))
                best = i;
        }
        if (best == n)
            break;
        taken[best] = true;
        ret[found++] = (struct ready_job){.no = jobs[best].no, .priority = jobs[best].priority};
    }
    return found;
}

static void model_run(uint64_t seed)
{
    static const char *const queues[] = {"a", "b", "c", "d", "e"};
    struct model_job jobs[MODEL_MAX];
    struct ready_job ready[16], expected[16];
    uint64_t state = seed;
    size_t n = 0;

    for (int step = 0; step < MODEL_MAX; step++) {
        uint64_t r = next_random(&state);
        size_t max = 1 + r % 16, got;
        enum job_state now;

        if (n < MODEL_MAX && r >> 60 < 10) {
            int32_t priority = (int32_t)(r >> 20 & 3) - 1;

            jobs[n] = (struct model_job){job_add(&f, queues[(r >> 30) % 5], priority).no, priority,
                                         true};
            n++;
        } else if (n > 0 && jobs[(r >> 8) % n].ready) {
            struct model_job *job = &jobs[(r >> 8) % n];

            if ((r >> 50 & 1) != 0)
                must(jobs_start(f.store, &(struct job_start){job->no, 1, 0, NOW_US}, err));
            else
                must(jobs_cancel(f.store, &(struct job_cancel){job->no, NOW_US, NULL}, &now, err));
            job->ready = false;
        }
        got = peek(ready, max);
        cr_assert_eq(got, model_peek(jobs, n, expected, max), "seed %llu step %d",
                     (unsigned long long)seed, step);
        for (size_t i = 0; i < got; i++)
            cr_assert_eq(ready[i].no, expected[i].no, "seed %llu step %d place %zu",
                         (unsigned long long)seed, step, i);
    }
}

Test(queue, the_order_equals_a_model)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        model_run(seed);
        store_rollback(f.store);
        tx_begin(&f);
    }
}

/* ---- starting ---- */

Test(queue, start_info_gives_the_bytes_and_the_names)
{
    static const char task[] = "bytes\0with\0zeros";
    struct job_spec spec = {.max_attempts = 2,
                            .name = SLICE_LIT("thumb"),
                            .queue = SLICE_LIT("media"),
                            .traceparent = SLICE_LIT("00-1-2-01"),
                            .deadline_us = 5};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT(task), .now_us = NOW_US, .deadline_us = NOW_US + 5};
    struct start_info info;
    AUTO_ARENA struct arena a;
    struct job_id id = job_add_as(&f, &job);
    char plain[32];

    arena_init(&a, 1 << 16);
    must(queue_start_info(f.store, id.no, &a, &info, err));
    cr_assert_eq(info.task.len, sizeof(task) - 1);
    cr_assert_eq(memcmp(info.task.ptr, task, sizeof(task) - 1), 0);
    cr_assert_str_eq(info.name, "thumb");
    cr_assert_str_eq(info.queue, "media");
    cr_assert(slice_is(info.traceparent, "00-1-2-01"));
    cr_assert_eq(info.row.no, id.no);
    cr_assert_eq(info.row.deadline_us, NOW_US + 5);
    id = job_add(&f, NULL, 0);
    (void)snprintf(plain, sizeof(plain), "job-%lld", (long long)id.no);
    must(queue_start_info(f.store, id.no, &a, &info, err));
    cr_assert_str_eq(info.name, plain);
    cr_assert_str_eq(info.queue, "default");
    cr_assert_null(info.traceparent.ptr);
    must_fail(NOT_FOUND, queue_start_info(f.store, id.no + 1, &a, &info, err));
}

static void check_start(int64_t no, const char *name, struct slice traceparent, struct slice task)
{
    struct start_info info;
    AUTO_ARENA struct arena a;

    arena_init(&a, 1 << 16);
    must(queue_start_info(f.store, no, &a, &info, err));
    cr_assert_str_eq(info.name, name);
    cr_assert(slice_eq(info.traceparent, traceparent));
    cr_assert_eq(info.traceparent.ptr == NULL, traceparent.ptr == NULL);
    cr_assert(slice_eq(info.task, task));
}

/* What is kept of a specification from its insertion on is what the table has. */
Test(queue, start_info_is_the_same_from_memory)
{
    const struct slice none = {NULL, 0}, task = SLICE_LIT("a\0b");
    char large[SPEC_KEPT_BYTES];
    struct job_spec changed = {.name = SLICE_LIT("other")};
    struct job_spec spec = {.max_attempts = 1, .traceparent = SLICE_LIT("00-1-2-01")};
    struct job_new job = {.spec = &spec, .task = task, .now_us = NOW_US};
    struct spec_texts kept;

    memset(large, 'x', sizeof(large));
    const int64_t nameless = job_add_as(&f, &job).no;
    spec = (struct job_spec){.max_attempts = 1, .name = SLICE_LIT("named")};
    const int64_t named = job_add_as(&f, &job).no;
    job.task = (struct slice){large, sizeof(large)};
    const int64_t full = job_add_as(&f, &job).no;
    cr_assert_not(spec_at_hand(&f.store->specs, full, &kept), "too large with its name");
    cr_assert(spec_at_hand(&f.store->specs, named, &kept));
    for (int i = 0; i < 2; i++) {
        check_start(nameless, "job-1", SLICE_LIT("00-1-2-01"), task);
        check_start(named, "named", none, task);
        check_start(full, "named", none, job.task);
        spec_cache_clear(&f.store->specs);
    }
    job.task = task;
    const int64_t other = job_add_as(&f, &job).no;
    must(jobs_change(f.store,
                     &(struct job_patch){
                         .no = other, .members = MEMBER_NAME, .spec = &changed, .now_us = NOW_US},
                     err));
    check_start(other, "other", none, task);
    job_add(&f, NULL, 0);
    cr_assert(spec_at_hand(&f.store->specs, other + 1, &kept));
    store_rollback(f.store);
    cr_assert_not(spec_at_hand(&f.store->specs, other + 1, &kept));
}

Test(queue, start_info_beyond_the_arena_is_refused)
{
    struct start_info info;
    AUTO_ARENA struct arena a;

    arena_init(&a, 8);
    must_fail(OVERLOADED, queue_start_info(f.store, job_add(&f, NULL, 0).no, &a, &info, err));
}

/* ---- timers ---- */

/* A job that is due after `due` seconds, gives up waiting after `queue` and altogether after
 * `deadline`; 0 = never. */
static int64_t timed_job(int64_t due, int64_t queue, int64_t deadline)
{
    struct job_spec spec = {.max_attempts = 2, .keep_us = 10 * SECOND_US};
    struct job_new job = {
        .spec = &spec,
        .task = SLICE_LIT("t"),
        .now_us = NOW_US,
        .due_us = due == 0 ? 0 : NOW_US + due * SECOND_US,
        .queue_deadline_us = queue == 0 ? 0 : NOW_US + queue * SECOND_US,
        .deadline_us = deadline == 0 ? 0 : NOW_US + deadline * SECOND_US,
    };

    return job_add_as(&f, &job).no;
}

static int64_t next_due_s(void)
{
    int64_t us;

    must(queue_next_due(f.store, &us, err));
    return us == INT64_MAX ? -1 : (us - NOW_US) / SECOND_US;
}

Test(queue, the_next_timer_is_the_earliest_of_all_kinds)
{
    cr_assert_eq(next_due_s(), -1);
    (void)timed_job(0, 0, 0);
    cr_assert_eq(next_due_s(), -1, "a plain job waits for no clock");
    (void)timed_job(30, 0, 0);
    cr_assert_eq(next_due_s(), 30);
    (void)timed_job(0, 20, 0);
    cr_assert_eq(next_due_s(), 20);
    (void)timed_job(0, 0, 15);
    cr_assert_eq(next_due_s(), 15);
    (void)timed_job(90, 0, 13);
    cr_assert_eq(next_due_s(), 13, "due after its deadline");
    (void)job_add_in(&f, JOB_SUCCEEDED);
    cr_assert_eq(next_due_s(), 11);
}

Test(queue, promote_takes_what_is_due_and_no_more)
{
    int64_t nos[8], late = timed_job(3, 0, 0), early = timed_job(1, 0, 0),
                    middle = timed_job(2, 0, 0);
    struct due_list due = {nos, 8, 0};

    must(queue_promote(f.store, NOW_US + SECOND_US - 1, &due, err));
    cr_assert_eq(due.n, 0);
    due.max = 1;
    must(queue_promote(f.store, NOW_US + 2 * SECOND_US, &due, err));
    cr_assert(due.n == 1 && nos[0] == early, "limit");
    due.max = 8;
    must(queue_promote(f.store, NOW_US + 2 * SECOND_US, &due, err));
    cr_assert(due.n == 1 && nos[0] == middle);
    cr_assert_eq(job_see(&f, middle).state, JOB_QUEUED);
    cr_assert_eq(job_see(&f, late).state, JOB_SCHEDULED);
    tx_commit(&f);
    counts_check(&f);
}

Test(queue, expired_jobs_are_named_with_their_reason)
{
    int64_t queue_first = timed_job(0, 5, 9), deadline_first = timed_job(0, 9, 6),
            scheduled = timed_job(60, 0, 7);
    struct expired_job out[8];
    struct expired_list list = {out, 8, 0};

    (void)timed_job(60, 70, 80);
    must(queue_expired(f.store, NOW_US + 5 * SECOND_US - 1, &list, err));
    cr_assert_eq(list.n, 0);
    list.max = 2;
    must(queue_expired(f.store, NOW_US + 7 * SECOND_US, &list, err));
    cr_assert_eq(list.n, 2, "limit");
    list.max = 8;
    must(queue_expired(f.store, NOW_US + 7 * SECOND_US, &list, err));
    cr_assert_eq(list.n, 3);
    cr_assert(out[0].no == queue_first && out[0].reason == REASON_QUEUE_TIMEOUT);
    cr_assert(out[1].no == deadline_first && out[1].reason == REASON_DEADLINE);
    cr_assert(out[2].no == scheduled && out[2].reason == REASON_DEADLINE);
    for (size_t i = 0; i < list.n; i++)
        must(jobs_expire(f.store, out[i].no, out[i].reason, NOW_US + 7 * SECOND_US, err));
    must(queue_expired(f.store, NOW_US + 7 * SECOND_US, &list, err));
    cr_assert_eq(list.n, 0);
}

Test(queue, a_queue_timeout_is_met_by_the_first_start)
{
    int64_t no = timed_job(0, 5, 0);
    struct expired_job out[2];
    struct expired_list list = {out, 2, 0};
    struct job_end end = job_end_ok();

    must(jobs_start(f.store, &(struct job_start){no, 1, 0, NOW_US}, err));
    must(queue_expired(f.store, NOW_US + 9 * SECOND_US, &list, err));
    cr_assert_eq(list.n, 0, "a running job does not wait");
    must(jobs_unstart(f.store, no, 1, err));
    must(queue_expired(f.store, NOW_US + 9 * SECOND_US, &list, err));
    cr_assert_eq(list.n, 1, "it never started, so it waits as before");
    must(jobs_start(f.store, &(struct job_start){no, 1, 0, NOW_US}, err));
    end.state = JOB_QUEUED;
    must(jobs_finish(f.store, no, 1, &end, err));
    must(queue_expired(f.store, NOW_US + 9 * SECOND_US, &list, err));
    cr_assert_eq(list.n, 0, "the second attempt has no queue timeout");
}

/* ---- in flight ---- */

Test(queue, in_flight_entries_are_replaced_by_groups)
{
    const struct inflight first[] = {{10, 1, 1}, {0}, {20, 1, 1}}, behind = {21, 3, 100};
    struct inflight out[4];
    size_t n;

    must(inflight_put(f.store, 0, first, ARRAY_LEN(first), err));
    must(inflight_put(f.store, 3, first, 1, err));
    must(inflight_put(f.store, 3, &behind, 1, err));
    tx_commit(&f);
    fixture_reopen(&f);
    must(inflight_all(f.store, out, 4, &n, err));
    cr_assert_eq(n, 3);
    cr_assert(out[0].no == 10 && out[0].attempt == 1 && out[0].n == 1);
    cr_assert(out[1].no == 20);
    cr_assert(out[2].no == 21 && out[2].attempt == 3 && out[2].n == 100);
    must_fail(INTERNAL, inflight_all(f.store, out, 2, &n, err));
    tx_begin(&f);
    must(inflight_put(f.store, 0, first, 0, err));
    must(inflight_all(f.store, out, 4, &n, err));
    cr_assert(n == 1 && out[0].no == 21);
    must(inflight_clear(f.store, err));
    must(inflight_all(f.store, out, 4, &n, err));
    cr_assert_eq(n, 0);
}

Test(queue, what_version_1_had_in_flight_is_found)
{
    struct inflight out[2];
    size_t n;

    tx_commit(&f);
    must(db_exec(&f.store->db, "INSERT INTO inflight (k, no, attempt) VALUES (5, 10, 2)", err));
    tx_begin(&f);
    must(inflight_all(f.store, out, 2, &n, err));
    cr_assert(n == 1 && out[0].no == 10 && out[0].attempt == 2 && out[0].n == 1);
    must(inflight_clear(f.store, err));
    must(inflight_all(f.store, out, 2, &n, err));
    cr_assert_eq(n, 0);
}

Test(queue, a_damaged_list_of_what_is_in_flight_is_an_error)
{
    struct inflight out[2];
    size_t n;

    tx_commit(&f);
    must(db_exec(&f.store->db, "INSERT INTO ledger (k, entries) VALUES (-1, x'0102')", err));
    must_fail(STORAGE, inflight_all(f.store, out, 2, &n, err));
}

/* ---- what the elements of a batch have in common ---- */

/* A batch of one element with a template of so many bytes; the element. */
static int64_t element_of(size_t template_len)
{
    static const char bytes[64] = {0};
    struct job_spec spec = {.max_attempts = 1};
    const struct batch_new batch = {.phase = BATCH_UPLOADING,
                                    .spec = &spec,
                                    .task = {bytes, template_len},
                                    .now_us = NOW_US,
                                    .chunksize = 1};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("1"), .now_us = NOW_US, .flags = JOB_ITEM};
    struct job_id id;

    must(batch_insert(f.store, &batch, &id, err));
    job.batch = id.no;
    return job_add_as(&f, &job).no;
}

static size_t template_len(int64_t element)
{
    AUTO_ARENA struct arena a = {0};
    struct start_info info;

    arena_init(&a, 4096);
    must(queue_start_info(f.store, element, &a, &info, err));
    cr_assert_eq(info.item.len, 1);
    return info.task.len;
}

Test(queue, an_element_gets_the_template_of_its_own_batch)
{
    int64_t one = element_of(10), two = element_of(20), gone;

    tx_commit(&f);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(template_len(one), 10);
        cr_assert_eq(template_len(one), 10);
        cr_assert_eq(template_len(two), 20);
    }
    tx_begin(&f);
    gone = element_of(30);
    cr_assert_eq(template_len(gone), 30);
    store_rollback(f.store);
    tx_begin(&f);
    cr_assert_eq(element_of(40), gone, "the numbers are used again");
    cr_assert_eq(template_len(gone), 40);
    store_rollback(f.store);
}
