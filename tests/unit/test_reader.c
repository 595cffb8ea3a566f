/* SPDX-License-Identifier: MIT */
/* What the HTTP threads see. */
#include "storage_fixture.h"

#include "storage/reader_impl.h"

static struct fixture f;
static struct reader *reader;
static struct arena arena;

static void setup(void)
{
    fixture_open(&f);
    must(reader_open(f.dir, 1 << 20, &reader, err));
    arena_init(&arena, 1 << 20);
    tx_begin(&f);
}

static void teardown(void)
{
    arena_release(&arena);
    reader_close(reader);
    fixture_close(&f);
}

TestSuite(reader, .init = setup, .fini = teardown, .timeout = 60);

static struct job_view see(const struct job_id *id)
{
    struct job_view view;

    must(reader_job(reader, id, &arena, &view, err));
    return view;
}

/* ---- one job ---- */

Test(reader, sees_what_is_committed_and_only_that)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_view view;

    must_fail(NOT_FOUND, reader_job(reader, &id, &arena, &view, err));
    tx_commit(&f);
    must(reader_job(reader, &id, &arena, &view, err));
    cr_assert_eq(view.state, JOB_QUEUED);
    id.salt++;
    must_fail(NOT_FOUND, reader_job(reader, &id, &arena, &view, err));
}

Test(reader, a_new_job_is_shown_as_it_was_given)
{
    struct job_spec spec = {.max_attempts = 3,
                            .name = SLICE_LIT("thumb-7"),
                            .queue = SLICE_LIT("media"),
                            .priority = -5,
                            .labels = SLICE_LIT("{\"tenant\": \"a\"}"),
                            .metadata = SLICE_LIT("[1,  2e0]"),
                            .result = RESULT_JSON};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US, .due_us = NOW_US + 5};
    struct job_id id = job_add_as(&f, &job);
    struct job_view view;

    tx_commit(&f);
    view = see(&id);
    cr_assert_str_eq(view.name, "thumb-7");
    cr_assert_str_eq(view.queue, "media");
    cr_assert(slice_is(view.labels, "{\"tenant\": \"a\"}") && slice_is(view.metadata, "[1,  2e0]"),
              "byte for byte");
    cr_assert(view.state == JOB_SCHEDULED && view.reason == REASON_NONE && view.priority == -5);
    cr_assert(view.attempt == 0 && view.max_attempts == 3 && view.version == 1 && view.slot == -1);
    cr_assert(view.created_us == NOW_US && view.due_us == NOW_US + 5 && view.queued_us == 0);
    cr_assert(view.started_us == 0 && view.finished_us == 0 && view.expires_us == 0);
    cr_assert(!view.has_exit_code && view.result == RESULT_JSON && view.progress_fraction < 0);
    cr_assert(view.error_detail == NULL && view.n_attempts == 0);
    cr_assert(view.id.no == id.no && view.id.ms == id.ms && view.id.salt == id.salt);
}

Test(reader, a_plain_job_has_a_name_of_its_own_and_waits_from_birth)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_view view;
    char name[32];

    tx_commit(&f);
    (void)snprintf(name, sizeof(name), "job-%lld", (long long)id.no);
    view = see(&id);
    cr_assert_str_eq(view.name, name);
    cr_assert_str_eq(view.queue, "default");
    cr_assert_eq(view.queued_us, NOW_US);
    cr_assert_null(view.labels.ptr);
    cr_assert_null(view.metadata.ptr);
}

Test(reader, an_end_is_shown_with_everything)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();
    struct job_view view;

    end.state = JOB_FAILED;
    end.reason = REASON_EXEC;
    end.has_exit_code = false;
    end.error_detail = "No such file or directory: foo";
    end.usage = (struct job_usage){5, 6, 7, 8, 9};
    end.output = (struct job_output){
        .bytes = {10, 11}, .truncated = {false, true}, .spooled = {true, false}};
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 2, NOW_US + 1}, err));
    must(jobs_finish(f.store, id.no, 1, &end, err));
    tx_commit(&f);
    view = see(&id);
    cr_assert(view.state == JOB_FAILED && view.reason == REASON_EXEC && view.slot == 2 &&
              view.version == 3);
    cr_assert_str_eq(view.error_detail, "No such file or directory: foo");
    cr_assert(!view.has_exit_code);
    cr_assert(view.finished_us == NOW_US + SECOND_US && view.expires_us == NOW_US + 11 * SECOND_US);
    cr_assert(view.usage.wall_us == 5 && view.usage.user_us == 6 && view.usage.system_us == 7);
    cr_assert(view.usage.max_rss_bytes == 8 && view.usage.processes_killed == 9);
    cr_assert(view.output.bytes[0] == 10 && view.output.bytes[1] == 11);
    cr_assert(!view.output.truncated[0] && view.output.truncated[1]);
    cr_assert(view.output.spooled[0] && !view.output.spooled[1] && !view.output.expired);
}

Test(reader, earlier_attempts_are_listed_oldest_first)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();
    struct job_view view;

    end.state = JOB_QUEUED;
    end.reason = REASON_EXIT_CODE;
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        end.exit_code = (int32_t)attempt * 10;
        must(jobs_start(f.store, &(struct job_start){id.no, attempt, 0, NOW_US}, err));
        must(jobs_finish(f.store, id.no, attempt, &end, err));
    }
    tx_commit(&f);
    view = see(&id);
    cr_assert_eq(view.n_attempts, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(view.attempts[i].attempt, i + 1);
        cr_assert_eq(view.attempts[i].exit_code, (int32_t)(i + 1) * 10);
        cr_assert_eq(view.attempts[i].reason, REASON_EXIT_CODE);
        cr_assert_eq(view.attempts[i].usage.user_us, 400);
    }
    must(reader_job_by_no(reader, id.no, &arena, &view, err));
    cr_assert_eq(view.n_attempts, 0);
}

Test(reader, an_expired_result_says_so)
{
    struct job_id id = job_add_in(&f, JOB_SUCCEEDED);
    struct output_ref files[OUTPUT_STREAMS];
    struct prune prune = {NOW_US + 20 * SECOND_US, 5, files, ARRAY_LEN(files), 0, false};

    must(jobs_prune(f.store, &prune, err));
    tx_commit(&f);
    cr_assert(see(&id).output.expired);
    cr_assert_eq(see(&id).state, JOB_SUCCEEDED);
}

Test(reader, an_answer_beyond_the_arena_is_refused)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_view view;
    AUTO_ARENA struct arena small;

    tx_commit(&f);
    arena_init(&small, 8);
    must_fail(OVERLOADED, reader_job(reader, &id, &small, &view, err));
    (void)see(&id); /* the statements are fit for use */
}

Test(reader, by_number)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_view view;

    tx_commit(&f);
    must(reader_job_by_no(reader, id.no, &arena, &view, err));
    cr_assert_eq(view.id.salt, id.salt);
    must_fail(NOT_FOUND, reader_job_by_no(reader, id.no + 1, &arena, &view, err));
}

Test(reader, a_mark_changes_with_each_move)
{
    struct job_id id = job_add(&f, NULL, 0), wrong;
    struct job_mark mark;

    tx_commit(&f);
    must(reader_mark(reader, &id, &mark, err));
    cr_assert(mark.state == JOB_QUEUED && mark.attempt == 0 && mark.version == 1);
    tx_begin(&f);
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    tx_commit(&f);
    must(reader_mark(reader, &id, &mark, err));
    cr_assert(mark.state == JOB_RUNNING && mark.attempt == 1 && mark.version == 2);
    wrong = id;
    wrong.ms--;
    must_fail(NOT_FOUND, reader_mark(reader, &wrong, &mark, err));
    wrong = id;
    wrong.salt--;
    must_fail(NOT_FOUND, reader_mark(reader, &wrong, &mark, err));
}

/* Reads one piece into `out`; gives its length. */
static size_t read_piece(struct output_ref which, uint64_t offset, char *out, size_t max)
{
    struct chunk chunk = {.to = out, .max = max, .offset = offset};

    must(reader_output(reader, &which, &chunk, err));
    return chunk.n;
}

Test(reader, output_in_pieces)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct output_ref which = {id.no, 1, 0};
    struct job_end end = job_end_ok();
    char out[16];
    size_t n;

    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    end.inline_out[0] = SLICE_LIT("0123456789");
    must(jobs_finish(f.store, id.no, 1, &end, err));
    tx_commit(&f);
    n = read_piece(which, 0, out, sizeof(out));
    cr_assert(n == 10 && memcmp(out, "0123456789", 10) == 0);
    n = read_piece(which, 8, out, sizeof(out));
    cr_assert(n == 2 && memcmp(out, "89", 2) == 0);
    n = read_piece(which, 3, out, 4);
    cr_assert(n == 4 && memcmp(out, "3456", 4) == 0);
    n = read_piece(which, 10, out, sizeof(out));
    cr_assert_eq(n, 0);
    n = read_piece(which, UINT64_MAX, out, sizeof(out));
    cr_assert_eq(n, 0);
    which.stream = 1;
    n = read_piece(which, 0, out, sizeof(out));
    cr_assert_eq(n, 0, "stderr is empty");
    which = (struct output_ref){id.no, 2, 0};
    n = read_piece(which, 0, out, sizeof(out));
    cr_assert_eq(n, 0, "another attempt's");
}

Test(reader, opens_beside_a_store_that_has_written_nothing_yet)
{
    struct job_id id = job_add(&f, NULL, 0);

    tx_commit(&f);
    reader_close(reader);
    fixture_reopen(&f);
    must(reader_open(f.dir, 1 << 20, &reader, err));
    cr_assert_eq(see(&id).state, JOB_QUEUED);
}

Test(reader, the_reader_cannot_write)
{
    cr_assert_eq(sqlite3_exec(reader->db.handle, "DELETE FROM jobs", NULL, NULL, NULL),
                 SQLITE_READONLY);
}

/* ---- lists ---- */

static struct job_view page[64];

static size_t list(const struct job_filter *filter, int64_t cursor, size_t limit, int64_t *next)
{
    struct job_page asked = {.jobs = page, .max = limit, .cursor = cursor};

    must(reader_list(reader, filter, &arena, &asked, err));
    *next = asked.cursor;
    return asked.n;
}

/* A job with a name, labels and a creation time of its own. */
static int64_t list_job(const char *queue, const char *name, const char *labels, int64_t second)
{
    struct job_spec spec = {.queue = slice_of(queue),
                            .name = slice_of(name),
                            .labels = slice_of(labels),
                            .max_attempts = 1};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US + second * SECOND_US};

    return job_add_as(&f, &job).no;
}

Test(reader, pages_newest_first_and_oldest_first)
{
    struct job_filter filter = {0};
    int64_t cursor = 0, seen = 0;

    for (int i = 0; i < 25; i++)
        (void)job_add(&f, NULL, 0);
    tx_commit(&f);
    for (int64_t expect = 25; expect > 0;) {
        size_t n = list(&filter, cursor, 10, &cursor);

        for (size_t i = 0; i < n; i++)
            cr_assert_eq(page[i].id.no, expect--);
        cr_assert_eq(cursor == 0, n < 10);
    }
    filter.oldest_first = true;
    cursor = 0;
    do {
        size_t n = list(&filter, cursor, 10, &cursor);

        for (size_t i = 0; i < n; i++)
            cr_assert_eq(page[i].id.no, ++seen);
    } while (cursor != 0);
    cr_assert_eq(seen, 25);
}

Test(reader, filters)
{
    struct job_filter filter = {0};
    int64_t next;

    (void)list_job("a", "x", "{\"k\":\"v\",\"other\":\"w\"}", 0);
    (void)list_job("b", "y", "{\"k\":\"w\"}", 1);
    (void)list_job("a", NULL, NULL, 2);
    must(jobs_start(f.store, &(struct job_start){2, 1, 0, NOW_US}, err));
    tx_commit(&f);
    cr_assert_eq(list(&filter, 0, 10, &next), 3);
    filter.queue = "a";
    cr_assert(list(&filter, 0, 10, &next) == 2 && page[0].id.no == 3 && page[1].id.no == 1);
    filter.queue = "nobody";
    cr_assert(list(&filter, 0, 10, &next) == 0 && next == 0);
    filter = (struct job_filter){.states = TO(RUNNING) | TO(FAILED)};
    cr_assert(list(&filter, 0, 10, &next) == 1 && page[0].id.no == 2);
    filter = (struct job_filter){.name = "x"};
    cr_assert(list(&filter, 0, 10, &next) == 1 && page[0].id.no == 1);
    filter.name = "job-3";
    cr_assert(list(&filter, 0, 10, &next) == 1 && page[0].id.no == 3);
    filter = (struct job_filter){.label_key = "k", .label_value = "w"};
    cr_assert(list(&filter, 0, 10, &next) == 1 && page[0].id.no == 2);
    filter.label_key = "absent";
    cr_assert_eq(list(&filter, 0, 10, &next), 0);
}

Test(reader, created_after_in_both_directions)
{
    struct job_filter filter = {.created_after_us = NOW_US + 7 * SECOND_US - 1};
    struct output_ref files[OUTPUT_STREAMS];
    enum job_state state;
    int64_t next;
    size_t n;

    for (int i = 0; i < 12; i++)
        (void)list_job(NULL, NULL, NULL, i);
    /* A gap where the search may land. */
    must(jobs_cancel(f.store, &(struct job_cancel){8, NOW_US, NULL}, &state, err));
    must(jobs_forget(f.store, 8, files, &n, err));
    tx_commit(&f);
    cr_assert(list(&filter, 0, 20, &next) == 4 && page[0].id.no == 12 && page[3].id.no == 9 &&
              next == 0);
    filter.oldest_first = true;
    cr_assert(list(&filter, 0, 3, &next) == 3 && page[0].id.no == 9 && page[2].id.no == 11 &&
              next == 11);
    cr_assert(list(&filter, next, 3, &next) == 1 && page[0].id.no == 12 && next == 0);
    filter.created_after_us = NOW_US + 8 * SECOND_US; /* that of job 9: later, not from then on */
    cr_assert(list(&filter, 0, 3, &next) == 3 && page[0].id.no == 10);
    filter.oldest_first = false;
    cr_assert(list(&filter, 0, 20, &next) == 3 && page[2].id.no == 10);
    filter.oldest_first = true;
    filter.created_after_us = NOW_US + 99 * SECOND_US;
    cr_assert(list(&filter, 0, 3, &next) == 0 && next == 0);
    filter.created_after_us = 1;
    cr_assert(list(&filter, 0, 3, &next) == 3 && page[0].id.no == 1);
}

Test(reader, queues_by_name_with_their_numbers)
{
    static const char *const names[] = {"b", "a", "c", "b"};
    struct queue_view seen[2];
    struct queue_page queues = {.queues = seen, .max = ARRAY_LEN(seen)};

    for (int i = 0; i < 4; i++)
        (void)list_job(names[i], NULL, NULL, i);
    tx_commit(&f);
    must(reader_queues(reader, "", &arena, &queues, err));
    cr_assert(queues.n == 2 && strcmp(seen[0].name, "a") == 0 && strcmp(seen[1].name, "b") == 0);
    cr_assert_eq(seen[1].count[JOB_QUEUED], 2);
    cr_assert_eq(seen[1].count[JOB_RUNNING], 0);
    must(reader_queues(reader, "b", &arena, &queues, err));
    cr_assert(queues.n == 1 && strcmp(seen[0].name, "c") == 0);
    must(reader_queues(reader, "c", &arena, &queues, err));
    cr_assert_eq(queues.n, 0);
    must(reader_queue(reader, "b", &arena, &seen[0], err));
    cr_assert_eq(seen[0].count[JOB_QUEUED], 2);
    must_fail(NOT_FOUND, reader_queue(reader, "nobody", &arena, &seen[0], err));
}

Test(reader, a_page_reads_a_bounded_number_of_rows)
{
    struct job_filter filter = {.name = "needle"};
    int64_t next;

    (void)list_job(NULL, "needle", NULL, 0);
    for (int i = 0; i < 10500; i++)
        (void)job_add(&f, NULL, 0);
    tx_commit(&f);
    cr_assert_eq(list(&filter, 0, 5, &next), 0);
    cr_assert_eq(next, 502, "ten thousand rows were read, the cursor goes on from there");
    cr_assert(list(&filter, next, 5, &next) == 1 && next == 0);
}

Test(reader, a_list_in_an_empty_store_is_empty)
{
    struct job_filter filter = {.created_after_us = 5, .oldest_first = true};
    int64_t next = 7;

    cr_assert_eq(list(&filter, 0, 5, &next), 0);
    cr_assert_eq(next, 0);
}

Test(reader, no_statement_stays_open)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_filter filter = {0};
    struct job_view view;
    struct job_mark mark;
    int64_t next;
    char out[8];

    tx_commit(&f);
    (void)see(&id);
    (void)list(&filter, 0, 1, &next);
    must(reader_mark(reader, &id, &mark, err));
    (void)read_piece((struct output_ref){id.no, 1, 0}, 0, out, sizeof(out));
    id.salt++;
    must_fail(NOT_FOUND, reader_job(reader, &id, &arena, &view, err));
    for (size_t i = 0; i < READER_SQL_COUNT; i++)
        cr_assert(!sqlite3_stmt_busy(db_stmt(&reader->db, i)), "statement %zu", i);
}

Test(reader, a_page_of_ids_has_nothing_else)
{
    struct job_id first, second;
    struct job_view views[4];
    struct job_filter filter = {.states = TO(QUEUED), .oldest_first = true};
    struct job_page ids = {.jobs = views, .max = ARRAY_LEN(views), .only_ids = true};
    struct arena none = {0};

    first = job_add(&f, "q", 0);
    (void)job_add_in(&f, JOB_CANCELLED);
    second = job_add(&f, "q", 0);
    tx_commit(&f);
    must(reader_list(reader, &filter, &none, &ids, err));
    cr_assert_eq(ids.n, 2);
    cr_assert(views[0].id.no == first.no && views[0].id.ms == first.ms);
    cr_assert(views[1].id.no == second.no && views[1].id.salt == second.salt);
    cr_assert_eq(ids.cursor, 0);
}
