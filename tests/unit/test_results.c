/* SPDX-License-Identifier: MIT */
/* Results by a cursor: what a stream reads. */
#include "storage_fixture.h"

#include "storage/batches.h"
#include "storage/change.h"
#include "storage/results.h"

static struct fixture f;
static struct reader *reader;
static int64_t batch_no;
static int64_t n_elements;

/* What a reader was given. */
static struct {
    size_t n, max; /* says stop at `max` */
    struct result_row rows[64];
    char text[64][64];
} got;

static void setup(void)
{
    fixture_open(&f);
    must(reader_open(f.dir, 1 << 20, &reader, err));
    tx_begin(&f);
    struct job_spec spec = {.keep_us = SECOND_US, .max_attempts = 1};
    struct batch_new batch = {
        .spec = &spec, .phase = BATCH_CLOSED, .chunksize = 1, .now_us = NOW_US};
    struct job_id id;
    must(batch_insert(f.store, &batch, &id, err));
    batch_no = id.no;
    n_elements = 0;
}

static void teardown(void)
{
    reader_close(reader);
    fixture_close(&f);
}

TestSuite(results, .init = setup, .fini = teardown, .timeout = 60);

static int64_t add(void)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = 10 * SECOND_US};
    struct job_new job = {.spec = &spec,
                          .task = SLICE_LIT("task"),
                          .now_us = NOW_US,
                          .batch = batch_no,
                          .idx = n_elements++};
    return job_add_as(&f, &job).no;
}

static void begin_at(int64_t no, uint32_t attempt)
{
    must(jobs_start(f.store, &(struct job_start){no, attempt, 0, NOW_US}, err));
}

static void finish(int64_t no, uint32_t attempt, enum job_state state)
{
    char text[32];
    struct job_end end = job_end_ok();
    int len = snprintf(text, sizeof text, "output of %lld", (long long)no);
    end.state = state;
    end.reason = state == JOB_FAILED ? REASON_EXIT_CODE : REASON_NONE;
    end.output.bytes[0] = (uint64_t)len;
    end.inline_out[0] = (struct slice){text, (size_t)len};
    must(jobs_finish(f.store, no, attempt, &end, err));
}

static void run(int64_t no)
{
    begin_at(no, 1);
    finish(no, 1, JOB_SUCCEEDED);
}

static bool take(void *target, const struct result_row *row)
{
    (void)target;
    cr_assert_lt(got.n, ARRAY_LEN(got.rows));
    got.rows[got.n] = *row;
    (void)snprintf(got.text[got.n], sizeof got.text[0], "%.*s", (int)row->stdout_inline.len,
                   row->stdout_inline.ptr == NULL ? "" : row->stdout_inline.ptr);
    got.n++;
    return got.n < got.max;
}

static struct result_ask read_from(enum result_order order, int64_t after, int64_t max)
{
    struct result_ask ask = {
        .batch = batch_no, .order = order, .after = after, .max = max, .sink = {take, NULL}};
    got.n = 0;
    got.max = ARRAY_LEN(got.rows);
    must(reader_results(reader, &ask, err));
    return ask;
}

Test(results, in_the_order_of_their_ends)
{
    int64_t a = add(), b = add(), c = add();
    run(b);
    run(a);
    tx_commit(&f);
    struct result_ask ask = read_from(RESULTS_BY_END, 0, 10);
    cr_assert_eq(got.n, 2);
    cr_assert_eq(got.rows[0].id.no, b);
    cr_assert_eq(got.rows[0].seq, 1);
    cr_assert_eq(got.rows[0].index, 1);
    cr_assert_eq(got.rows[1].id.no, a);
    cr_assert_str_eq(got.text[1], "output of 2");
    cr_assert(ask.is_at_end);
    cr_assert_eq(ask.after, 2);
    tx_begin(&f);
    run(c);
    tx_commit(&f);
    ask = read_from(RESULTS_BY_END, ask.after, 10);
    cr_assert_eq(got.n, 1);
    cr_assert_eq(got.rows[0].id.no, c);
}

/* ---- what a function has returned ---- */

Test(results, neighbours_that_end_one_after_another_share_a_row)
{
    enum { N = 6 };
    static const int order[] = {1, 2, 3, 5, 4, 0};
    int64_t no[N];
    for (int i = 0; i < N; i++)
        no[i] = add();
    for (int i = 0; i < N; i++)
        run(no[order[i]]);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM ends"), 4);
    cr_assert_eq(ask(&f, "SELECT no FROM ends WHERE seq = 3 AND n = 3"), no[1]);
    for (int64_t after = 0; after < N; after++) { /* also from the middle of a row */
        struct result_ask ask_for = read_from(RESULTS_BY_END, after, N);
        cr_assert_eq(got.n, (size_t)(N - after));
        cr_assert_eq(ask_for.after, N);
        cr_assert(got.rows[0].seq == after + 1 && got.rows[0].id.no == no[order[after]]);
    }
}

static struct result_row value_row;
static char seen_value[16];

static bool take_value(void *target, const struct result_row *row)
{
    (void)target;
    value_row = *row;
    (void)snprintf(seen_value, sizeof seen_value, "%.*s", (int)row->value_inline.len,
                   row->value_inline.ptr == NULL ? "" : row->value_inline.ptr);
    return true;
}

Test(results, a_value_has_its_type_and_place)
{
    static const bool spooled[] = {false, true};
    for (size_t i = 0; i < ARRAY_LEN(spooled); i++) {
        struct job_spec spec = {
            .max_attempts = 1, .keep_us = 10 * SECOND_US, .result = RESULT_VALUE};
        struct job_end end = job_end_ok();
        struct output_ref files[OUTPUT_STREAMS];
        size_t n = 0;
        const int64_t no = job_add_as(&f, &(struct job_new){.spec = &spec,
                                                            .task = SLICE_LIT("task"),
                                                            .now_us = NOW_US})
                               .no;
        begin_at(no, 1);
        end.output.has_value = true;
        end.output.value_type = VALUE_TEXT;
        end.output.bytes[STREAM_VALUE] = 5;
        end.output.spooled[STREAM_VALUE] = spooled[i];
        if (!spooled[i])
            end.inline_out[STREAM_VALUE] = SLICE_LIT("hello");
        must(jobs_finish(f.store, no, 1, &end, err));
        tx_commit(&f);
        must(reader_result(reader, no, &(struct result_sink){take_value, NULL}, err));
        cr_assert(value_row.result == RESULT_VALUE && value_row.value_type == VALUE_TEXT);
        cr_assert_eq(value_row.value_bytes, 5);
        cr_assert_eq(value_row.is_spooled, spooled[i]);
        cr_assert_str_eq(seen_value, spooled[i] ? "" : "hello");
        tx_begin(&f);
        must(jobs_forget(f.store, no, files, &n, err));
        cr_assert_eq(n, spooled[i] ? 1 : 0, "its file goes with it");
        cr_assert(n == 0 || files[0].stream == STREAM_VALUE);
    }
}

#define LONG_VALUE 100 /* too long for the row itself */

/* What each has to say: what it has returned, or else its words. */
static bool take_beside(void *target, const struct result_row *row)
{
    char(*said)[LONG_VALUE + 1] = target;
    const struct slice text = row->state == JOB_SUCCEEDED ? row->value_inline : row->error_detail;

    (void)snprintf(said[row->index], sizeof *said, "%.*s", (int)text.len,
                   text.ptr == NULL ? "" : text.ptr);
    return true;
}

Test(results, what_lies_beside_the_row_is_found)
{
    char value[LONG_VALUE + 1], said[4][LONG_VALUE + 1] = {"", "", "", ""};
    struct job_spec spec = {.max_attempts = 1, .result = RESULT_VALUE};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("task"), .now_us = NOW_US, .batch = batch_no};
    struct job_end end = job_end_ok();
    struct result_ask ask = {
        .batch = batch_no, .order = RESULTS_BY_INDEX, .max = 9, .sink = {take_beside, said}};
    enum job_state now;
    int64_t no[4];

    for (job.idx = 0; job.idx < 4; job.idx++)
        no[job.idx] = job_add_as(&f, &job).no;
    (void)snprintf(value, sizeof value, "%0*d", LONG_VALUE, 7);
    end.output.has_value = true;
    end.output.bytes[STREAM_VALUE] = LONG_VALUE;
    end.inline_out[STREAM_VALUE] = slice_of(value);
    begin_at(no[0], 1);
    must(jobs_finish(f.store, no[0], 1, &end, err));
    must(jobs_refuse(f.store, &(struct job_refusal){no[1], REASON_DEPENDENCY, NOW_US, "a parent"},
                     err));
    must(jobs_cancel(f.store, &(struct job_cancel){no[2], NOW_US, "its own"}, &now, err));
    must(jobs_cancel(f.store, &(struct job_cancel){no[3], NOW_US, NULL}, &now, err));
    must(jobs_put_words(f.store, batch_no, "its batch's", err));
    tx_commit(&f);
    must(reader_results(reader, &ask, err));
    cr_assert_str_eq(said[0], value);
    cr_assert_str_eq(said[1], "a parent");
    cr_assert_str_eq(said[2], "its own");
    cr_assert_str_eq(said[3], "its batch's");
}

Test(results, by_index_they_are_held_back)
{
    int64_t a = add(), b = add(), c = add();
    run(c);
    run(a);
    tx_commit(&f);
    struct result_ask ask = read_from(RESULTS_BY_INDEX, 0, 10);
    cr_assert_eq(got.n, 1);
    cr_assert_eq(got.rows[0].seq, 1, "index + 1");
    cr_assert(ask.is_at_end);
    cr_assert_eq(ask.next_no, b, "what is waited for");
    tx_begin(&f);
    run(b);
    tx_commit(&f);
    ask = read_from(RESULTS_BY_INDEX, ask.after, 10);
    cr_assert_eq(got.n, 2);
    cr_assert_eq(got.rows[1].id.no, c);
    cr_assert_eq(ask.next_no, 0, "there is no later element");
}

Test(results, pieces_join_without_a_seam)
{
    enum { N = 40 };
    for (int i = 0; i < N; i++) {
        if (i % 7 == 3)
            (void)job_add(&f, NULL, 0); /* others come in between: the batch has many parts */
        (void)add();
    }
    for (int64_t no = batch_no + 1; no <= batch_no + N + 6; no++) {
        if (job_see(&f, no).batch == batch_no)
            run(no);
    }
    tx_commit(&f);
    for (int order = RESULTS_BY_END; order <= RESULTS_BY_INDEX; order++) {
        int64_t after = 0, seen = 0;
        for (struct result_ask ask = {0}; !ask.is_at_end; after = ask.after) {
            ask = read_from((enum result_order)order, after, 3);
            for (size_t i = 0; i < got.n; i++)
                cr_assert_eq(got.rows[i].index, seen++);
        }
        cr_assert_eq(seen, N);
    }
    /* A sink may stop earlier than `max`: what it took is behind the cursor. */
    struct result_ask ask = {
        .batch = batch_no, .order = RESULTS_BY_INDEX, .max = 10, .sink = {take, NULL}};
    got.n = 0;
    got.max = 2;
    must(reader_results(reader, &ask, err));
    cr_assert_eq(got.n, 2);
    cr_assert_eq(ask.after, 2);
    cr_assert_not(ask.is_at_end);
}

Test(results, an_end_that_was_followed_by_another_is_no_result)
{
    int64_t a = add(), b = add();
    begin_at(a, 1);
    finish(a, 1, JOB_FAILED);
    run(b);
    must(jobs_retry_again(f.store, &(struct job_again){.no = a, .now_us = NOW_US}, err));
    tx_commit(&f);
    (void)read_from(RESULTS_BY_END, 0, 10);
    cr_assert_eq(got.n, 1, "it runs again");
    cr_assert_eq(got.rows[0].id.no, b);
    struct result_ask ask = read_from(RESULTS_BY_INDEX, 0, 10);
    cr_assert_eq(got.n, 0);
    cr_assert_eq(ask.next_no, a);
    tx_begin(&f);
    begin_at(a, 2);
    finish(a, 2, JOB_SUCCEEDED);
    tx_commit(&f);
    (void)read_from(RESULTS_BY_END, 0, 10);
    cr_assert_eq(got.n, 2, "each once");
    cr_assert_eq(got.rows[1].id.no, a);
    cr_assert_eq(got.rows[1].seq, 3);
    cr_assert_eq(got.rows[1].state, JOB_SUCCEEDED);
    (void)read_from(RESULTS_BY_END, 2, 10);
    cr_assert_eq(got.n, 1, "who has seen the first end sees the second");
}

Test(results, forgotten_elements_are_passed_over)
{
    int64_t a = add(), b = add(), c = add();
    struct output_ref files[OUTPUT_STREAMS];
    size_t n = 0;
    run(a);
    run(b);
    run(c);
    must(jobs_forget(f.store, a, files, &n, err));
    must(jobs_forget(f.store, c, files, &n, err));
    tx_commit(&f);
    for (int order = RESULTS_BY_END; order <= RESULTS_BY_INDEX; order++) {
        struct result_ask ask = read_from((enum result_order)order, 0, 10);
        cr_assert_eq(got.n, 1);
        cr_assert_eq(got.rows[0].id.no, b);
        cr_assert(ask.is_at_end);
        cr_assert_eq(ask.next_no, 0);
    }
}

Test(results, one_member_of_many)
{
    int64_t a = add();
    struct job_id plain = job_add_in(&f, JOB_FAILED);
    struct member_mark mark;
    struct result_sink sink = {take, NULL};
    run(a);
    tx_commit(&f);
    must(reader_member(reader, &plain, &mark, err));
    cr_assert(mark.is_done && !mark.is_batch && mark.state == JOB_FAILED);
    cr_assert_eq(mark.finished_us, NOW_US + SECOND_US);
    plain.salt++;
    must_fail(NOT_FOUND, reader_member(reader, &plain, &mark, err));
    struct job_id batch;
    bool found;
    must(reader_batch_id(reader, batch_no, &batch, &found, err));
    must(reader_member(reader, &batch, &mark, err));
    cr_assert(found && mark.is_done && mark.is_batch && mark.state == JOB_SUCCEEDED);
    got.n = 0;
    got.max = 2;
    must(reader_result(reader, a, &sink, err));
    cr_assert_eq(got.rows[0].id.no, a);
    must_fail(NOT_FOUND, reader_result(reader, a + 100, &sink, err));
}
