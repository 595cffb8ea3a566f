/* SPDX-License-Identifier: MIT */
/* Elements that are born by one statement for many are what they are when each is born alone. */
#include "storage/settings.h"
#include "storage_fixture.h"

#define N (ELEMENTS_AT_ONCE + ELEMENTS_AT_LEAST + 5)
#define COLUMNS                                                                            \
    "state, queue, priority, attempt, version, timer, wake_us, created_us, salt, keep_us," \
    " terms, ran, idx, flags, ukey, name, policy"

static struct fixture f;
static struct element_new elements[N];
static char items[N][1500];

/* Short ones, then so many that several rows hold them, then long ones between short ones. */
static int width(uint32_t i)
{
    return i < ELEMENTS_AT_LEAST ? 1 : i < ELEMENTS_AT_ONCE ? 400 : i % 3 == 0 ? 1400 : 9;
}

static void setup(void)
{
    fixture_open(&f);
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(items[i], sizeof items[i], "%0*u", width(i), i);
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
                   "SELECT count(*) FROM (SELECT " COLUMNS " FROM jobs LEFT JOIN specs USING (no)"
                   " WHERE batch = %lld EXCEPT SELECT " COLUMNS
                   " FROM jobs LEFT JOIN specs USING (no)"
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

static void expect_items(const struct job_id *ids)
{
    AUTO_ARENA struct arena a = {0};
    struct start_info info;

    spec_cache_clear(&f.store->specs);
    arena_init(&a, 1u << 20);
    for (uint32_t i = 0; i < N; i++) {
        must(queue_start_info(f.store, ids[i].no, &a, &info, err));
        cr_assert(slice_eq(info.item, elements[i].item), "item %u", i);
    }
}

/* The batch; its first element is in the queue, as if it was let in. */
static int64_t gated_batch(struct job_id *ret_ids, int64_t keep_us)
{
    const struct job_spec spec = {.max_attempts = 1, .keep_us = keep_us};
    struct job_new job = {.spec = &spec, .now_us = NOW_US, .flags = JOB_ITEM | JOB_GATED};

    job.batch = batch_add(&spec);
    must(batch_insert_elements(f.store, &job, elements, N, err));
    for (uint32_t i = 0; i < N; i++)
        ret_ids[i] = job_see(&f, job.batch + 1 + i).id;
    return job.batch;
}

Test(batches_elements, an_item_is_found_where_it_lies)
{
    struct mate mates[N];
    AUTO_ARENA struct arena a = {0};
    struct mate_list list = {.mates = mates, .max = N, .max_bytes = 1u << 20, .arena = &a};
    struct job_id ids[N];

    tx_begin(&f);
    (void)gated_batch(ids, SECOND_US);
    cr_assert_gt(ask(&f, "SELECT count(*) FROM items"), 3);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM specs"), N / 3 - ELEMENTS_AT_ONCE / 3);
    expect_items(ids);
    arena_init(&a, 1u << 20);
    const struct job_row head = job_see(&f, ids[0].no);
    must(batch_mates(f.store, &head, N, &list, err));
    cr_assert_eq(list.n, N - 1);
    for (uint32_t i = 0; i + 1 < N; i++)
        cr_assert(slice_eq(mates[i].item, elements[i + 1].item), "mate %u", i);
    list.max_bytes = 1000;
    must(batch_mates(f.store, &head, N, &list, err));
    cr_assert_eq(list.n, ELEMENTS_AT_LEAST + 1, "as many as have room");
    must(db_exec(&f.store->db, "UPDATE items SET bytes = x'00'", err));
    must(batch_mates(f.store, &head, N, &list, err));
    cr_assert_eq(list.n, 0, "a damaged row is none");
    tx_commit(&f);
}

Test(batches_elements, items_go_with_the_last_that_has_one)
{
    struct output_ref files[OUTPUT_STREAMS];
    struct prune prune = {NOW_US + 5 * SECOND_US, N, files, ARRAY_LEN(files), 0, false};
    struct job_id ids[N];
    size_t n_files;

    tx_begin(&f);
    const int64_t batch = gated_batch(ids, SECOND_US);
    const int64_t rows = ask(&f, "SELECT count(*) FROM items");
    must(batch_cancel(f.store, &(struct batch_range){batch, 0, N - 1}, NOW_US, NULL, err));
    must(jobs_forget(f.store, ids[0].no, files, &n_files, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM items"), rows, "others have theirs");
    must(jobs_prune(f.store, &prune, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM items"), 1, "the last one has not ended");
    cr_assert_eq(ask(&f, "SELECT count(task) FROM specs"), 0);
    must(batch_cancel(f.store, &(struct batch_range){batch, N - 1, 1}, NOW_US, NULL, err));
    must(jobs_forget(f.store, ids[N - 1].no, files, &n_files, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM items"), 0);
    tx_commit(&f);
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
