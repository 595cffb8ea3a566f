/* SPDX-License-Identifier: MIT */
/* storage/deliveries.c: what is owed to receivers, in the same transaction as the end it tells. */
#include "storage_fixture.h"

#include "storage/deliveries.h"

#define ALL (TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED))

static struct fixture f;
static struct reader *reader;
static struct arena arena;

static void setup(void)
{
    fixture_open(&f);
    must(reader_open(f.dir, 1u << 20, &reader, err));
    arena_init(&arena, 1u << 20);
}

static void teardown(void)
{
    arena_release(&arena);
    reader_close(reader);
    fixture_close(&f);
}

TestSuite(deliveries, .init = setup, .fini = teardown, .timeout = 60);

static struct job_id add_for(const char *receiver, uint32_t states)
{
    struct job_spec spec = {
        .max_attempts = 1,
        .callback_url = SLICE_LIT("https://a.org/path"),
        .callback_receiver = slice_of(receiver),
        .callback_states = states,
    };
    return job_add_as(
        &f, &(struct job_new){.spec = &spec, .task = SLICE_LIT("task"), .now_us = NOW_US});
}

/* Its end, and what the engine makes of it. */
static bool end(int64_t no, int64_t now_us)
{
    enum job_state state;
    size_t n;
    bool made = false;
    must(jobs_cancel(f.store, &(struct job_cancel){no, now_us, NULL}, &state, err));
    const struct job_change *changes = store_changes(f.store, &n);
    must(delivery_insert(f.store, &changes[n - 1], now_us, &made, err));
    return made;
}

static struct delivery first_due(const char *receiver, int64_t now_us)
{
    struct delivery items[4];
    struct delivery_line line = {receiver, now_us, items, 4, 0};
    must(reader_line(reader, &line, err));
    cr_assert_geq(line.n, 1);
    return items[0];
}

static struct callback_view *view_of(int64_t no)
{
    struct callback_view *view;
    must(reader_callback(reader, no, &arena, &view, err));
    return view;
}

Test(deliveries, only_ends_that_are_asked_for_are_told)
{
    tx_begin(&f);
    struct job_id told = add_for("https://a.org:443", TO(CANCELLED));
    struct job_id untold = add_for("https://a.org:443", TO(SUCCEEDED) | TO(FAILED));
    cr_assert(end(told.no, NOW_US + 1));
    cr_assert_not(end(untold.no, NOW_US + 1));
    tx_commit(&f);
    cr_assert_eq(store_deliveries(f.store), 1);
    cr_assert_eq(ask(&f, "SELECT no FROM deliveries"), told.no);
    struct delivery d = first_due("https://a.org:443", NOW_US + 1);
    cr_assert_eq(d.state, JOB_CANCELLED);
    cr_assert_eq(d.version, 2);
    cr_assert_eq(d.created_us, NOW_US + 1);
    cr_assert(view_of(told.no)->is_pending);
    cr_assert_not(view_of(untold.no)->is_pending);
}

Test(deliveries, a_rollback_takes_them_back)
{
    tx_begin(&f);
    (void)end(add_for("https://a.org:443", ALL).no, NOW_US);
    store_rollback(f.store);
    cr_assert_eq(store_deliveries(f.store), 0);
    tx_begin(&f);
    must(store_savepoint(f.store, err));
    (void)end(add_for("https://a.org:443", ALL).no, NOW_US);
    store_savepoint_undo(f.store);
    tx_commit(&f);
    cr_assert_eq(store_deliveries(f.store), 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM deliveries"), 0);
}

Test(deliveries, a_failed_try_waits_and_a_good_one_goes)
{
    tx_begin(&f);
    struct job_id job = add_for("https://a.org:443", ALL);
    cr_assert(end(job.no, NOW_US));
    tx_commit(&f);
    struct delivery d = first_due("https://a.org:443", NOW_US);
    struct delivery_try failed = {.id = d.id,
                                  .no = d.no,
                                  .at_us = NOW_US,
                                  .took_us = 7,
                                  .again_us = NOW_US + SECOND_US,
                                  .http_status = 500,
                                  .outcome = TRY_FAILED};
    tx_begin(&f);
    must(delivery_record(f.store, &failed, err));
    tx_commit(&f);
    struct delivery items[2];
    struct delivery_line line = {"https://a.org:443", NOW_US, items, 2, 0};
    must(reader_line(reader, &line, err));
    cr_assert_eq(line.n, 0);
    int64_t due_us;
    must(reader_next_due(reader, NOW_US, &due_us, err));
    cr_assert_eq(due_us, NOW_US + SECOND_US);
    cr_assert_eq(first_due("https://a.org:443", due_us).tries, 1);
    cr_assert(view_of(job.no)->is_pending);
    cr_assert_eq(view_of(job.no)->http_status, 500);

    struct delivery_try good = failed;
    good.outcome = TRY_DELIVERED;
    good.http_status = 204;
    good.error = "none";
    tx_begin(&f);
    must(delivery_record(f.store, &good, err));
    must(delivery_record(f.store, &good, err)); /* the row is gone: nothing to record */
    tx_commit(&f);
    cr_assert_eq(store_deliveries(f.store), 0);
    cr_assert_eq(view_of(job.no)->tries, 2);
    cr_assert_eq(view_of(job.no)->outcome, TRY_DELIVERED);
    struct callback_try tries[4];
    struct try_page page = {tries, 4, 0, 0};
    must(reader_tries(reader, job.no, &arena, &page, err));
    cr_assert_eq(page.n, 2);
    cr_assert_null(tries[0].error);
    cr_assert_str_eq(tries[1].error, "none");
    page.after = 1;
    must(reader_tries(reader, job.no, &arena, &page, err));
    cr_assert_eq(page.n, 1);
    cr_assert_eq(tries[0].seq, 2);
}

Test(deliveries, each_receiver_has_its_own_line)
{
    tx_begin(&f);
    for (int i = 0; i < 3; i++)
        cr_assert(end(add_for("https://b.org:443", ALL).no, NOW_US + i));
    cr_assert(end(add_for("https://a.org:443", ALL).no, NOW_US + 9));
    tx_commit(&f);
    char name[CALLBACK_MAX_RECEIVER];
    bool found;
    must(reader_receiver(reader, "", name, &found, err));
    cr_assert(found);
    cr_assert_str_eq(name, "https://a.org:443");
    must(reader_receiver(reader, name, name, &found, err));
    cr_assert_str_eq(name, "https://b.org:443");
    struct delivery items[8];
    struct delivery_line line = {name, NOW_US + 1, items, 8, 0};
    must(reader_line(reader, &line, err));
    cr_assert_eq(line.n, 2);
    must(reader_receiver(reader, name, name, &found, err));
    cr_assert_not(found);
}

Test(deliveries, they_are_counted_again_at_the_start_and_go_with_their_job)
{
    tx_begin(&f);
    struct job_id job = add_for("https://a.org:443", ALL);
    cr_assert(end(job.no, NOW_US));
    cr_assert(end(add_for("https://a.org:443", ALL).no, NOW_US));
    tx_commit(&f);
    fixture_reopen(&f);
    cr_assert_eq(store_deliveries(f.store), 2);
    struct output_ref files[OUTPUT_STREAMS];
    size_t n;
    tx_begin(&f);
    must(delivery_record(f.store,
                         &(struct delivery_try){.id = first_due("https://a.org:443", NOW_US).id,
                                                .no = job.no,
                                                .outcome = TRY_FAILED,
                                                .again_us = NOW_US + 5},
                         err));
    must(jobs_forget(f.store, job.no, files, &n, err));
    tx_commit(&f);
    cr_assert_eq(store_deliveries(f.store), 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM deliveries"), 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM callbacks"), 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM delivery_tries"), 0);
}
