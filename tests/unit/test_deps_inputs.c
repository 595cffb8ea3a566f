/* SPDX-License-Identifier: MIT */
/* What a job takes from its parents, as the store remembers it, and where their outputs are. */
#include "storage_fixture.h"

#include "storage/inputs.h"

static struct fixture f;
static struct arena arena;

static void setup(void)
{
    fixture_open(&f);
    arena_init(&arena, 4 << 20);
}

static void teardown(void)
{
    arena_release(&arena);
    fixture_close(&f);
}

TestSuite(deps_inputs, .init = setup, .fini = teardown, .timeout = 60);

static struct input_source source_of(int64_t no, uint8_t stream)
{
    struct input_row row = {.parent = no, .stream = stream};
    struct input_source source;

    must(inputs_source(f.store, &row, &arena, &source, err));
    return source;
}

static int64_t ended(struct job_end end)
{
    int64_t no = job_add(&f, NULL, 0).no;

    must(jobs_start(f.store, &(struct job_start){no, 1, 0, NOW_US}, err));
    must(jobs_finish(f.store, no, 1, &end, err));
    return no;
}

Test(deps_inputs, rows_come_back_in_order_and_go_with_their_job)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = SECOND_US};
    struct job_new job = {.spec = &spec, .now_us = NOW_US, .flags = JOB_INPUTS};
    struct input_row rows[] = {
        {.kind = JOB_INPUT_STDIN, .parent = 5, .stream = 1},
        {.kind = JOB_INPUT_FILE, .parent = 6, .name = SLICE_LIT("a b")},
        {.kind = JOB_INPUT_ARGUMENT, .parent = 7, .argument = 3, .at = 9, .len = 45},
    };
    struct output_ref files[OUTPUT_STREAMS];
    struct input_list list;
    enum job_state state;
    struct job_id id;
    size_t n;

    tx_begin(&f);
    id = job_add_as(&f, &job);
    for (uint32_t i = 0; i < 3; i++)
        must(inputs_put(f.store, id.no, i, &rows[i], err));
    tx_commit(&f);
    fixture_reopen(&f);
    must(inputs_get(f.store, id.no, &arena, &list, err));
    cr_assert_eq(list.n, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(list.rows[i].kind == rows[i].kind && list.rows[i].parent == rows[i].parent);
        cr_assert(list.rows[i].stream == rows[i].stream && list.rows[i].at == rows[i].at);
        cr_assert(list.rows[i].argument == rows[i].argument && list.rows[i].len == rows[i].len);
        cr_assert(slice_eq(list.rows[i].name, rows[i].name));
    }
    must(inputs_get(f.store, id.no + 1, &arena, &list, err));
    cr_assert_eq(list.n, 0);
    tx_begin(&f);
    must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US, NULL}, &state, err));
    must(jobs_forget(f.store, id.no, files, &n, err));
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM inputs"), 0);
}

Test(deps_inputs, an_output_is_here_or_in_a_file_or_it_is_said_why_not)
{
    struct job_end inline_end = job_end_ok(), file_end = job_end_ok(), cut_end = job_end_ok();
    struct input_source source;
    int64_t here, file, cut, silent, running;

    inline_end.inline_out[1] = SLICE_LIT("err");
    inline_end.output.bytes[1] = 3;
    file_end.output.spooled[0] = true;
    file_end.output.bytes[0] = 100000;
    cut_end.output.truncated[0] = true;
    tx_begin(&f);
    here = ended(inline_end);
    file = ended(file_end);
    cut = ended(cut_end);
    silent = job_add_in(&f, JOB_CANCELLED).no;
    running = job_add_in(&f, JOB_RUNNING).no;
    source = source_of(here, 1);
    cr_assert_eq(source.state, SOURCE_HERE);
    cr_assert(slice_is(source.bytes, "err"));
    cr_assert_eq(source.id.no, here);
    cr_assert_eq(source_of(here, 0).bytes.len, 0);
    source = source_of(file, 0);
    cr_assert_eq(source.state, SOURCE_SPOOLED);
    cr_assert(source.size == 100000 && source.attempt == 1);
    cr_assert_eq(source_of(cut, 0).state, SOURCE_CUT);
    cr_assert_eq(source_of(cut, 1).state, SOURCE_HERE);
    cr_assert_eq(source_of(silent, 0).state, SOURCE_HERE, "what has never run wrote nothing");
    cr_assert_eq(source_of(running, 0).state, SOURCE_AGAIN);
    cr_assert_eq(source_of(running + 1, 0).state, SOURCE_GONE);
    must(db_exec(&f.store->db, "DELETE FROM outputs", err));
    cr_assert_eq(source_of(here, 1).state, SOURCE_DAMAGED);
    tx_commit(&f);
}

Test(deps_inputs, an_output_that_has_expired_is_told)
{
    struct output_ref files[8];
    struct prune prune = {
        .now_us = NOW_US + 20 * SECOND_US, .limit = 10, .files = files, .max_files = 8};
    int64_t no;

    tx_begin(&f);
    no = ended(job_end_ok());
    must(jobs_prune(f.store, &prune, err));
    cr_assert_eq(source_of(no, 0).state, SOURCE_EXPIRED);
    tx_commit(&f);
}
