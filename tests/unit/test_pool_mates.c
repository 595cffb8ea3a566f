/* SPDX-License-Identifier: MIT */
/* Several tasks in one bank: each has its outcome, none begins that was taken back, and what a
 * broken worker leaves in the log is not believed. */
#include "pool/mates.h"
#include "pool/pool_state.h"
#include "pool/progress.h"
#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/stat.h>

#define MAX_TASKS 8

static struct fixture f;

static void open_one(void)
{
    fixture_open(&f, 1);
}

static void close_it(void)
{
    fixture_close(&f);
}

TestSuite(pool_mates, .init = open_one, .fini = close_it, .timeout = 60);

/* A turn of shell commands. */
struct turn {
    struct buf wire[MAX_TASKS];
    struct pool_mate mates[MAX_TASKS];
    struct place place;
    int64_t no; /* of the first one */
    uint32_t n;
};

static void encode(const char *script, const struct task_extra *extra, struct buf *out)
{
    TASK_OF(task, "sh", "-c", script);
    struct err err = {0};
    buf_init(out, 1u << 20);
    if (extra != NULL) {
        char bytes[256];
        cr_assert_leq(task_extra_size(extra), sizeof bytes);
        buf_append(out, bytes, task_extra_write(bytes, extra));
    }
    cr_assert(task_encode(&task, out, &err), "%s", err.detail);
}

static void turn_start(struct turn *t, const char *const *scripts, uint32_t n, uint32_t max_failed)
{
    const struct task_extra none = {0};
    struct err err = {0};
    *t = (struct turn){.no = f.next_no + 1, .n = n};
    f.next_no += n;
    for (uint32_t i = 0; i < n; i++) {
        encode(scripts[i], i == 0 ? NULL : &none, &t->wire[i]);
        if (i > 0)
            t->mates[i - 1] = (struct pool_mate){t->no + i, buf_slice(&t->wire[i])};
    }
    while (!pool_find_idle(f.pool, &t->place))
        (void)fixture_await(&f, POOL_READY, NULL);
    const struct pool_task task = {.place = t->place,
                                   .job_no = t->no,
                                   .attempt = 1,
                                   .wire = buf_slice(&t->wire[0]),
                                   .mates = t->mates,
                                   .n_mates = n - 1,
                                   .max_failed = max_failed};
    cr_assert(pool_start(f.pool, &task, &err), "%s", err.detail);
    cr_assert_eq(pool_mates(f.pool, t->place), n - 1);
}

/* The exit codes of those that ended before the last, and of the last; -1 for one that never began.
 */
static void turn_end(struct turn *t, enum pool_event_type type, int *codes)
{
    struct mates_cursor cursor = {0};
    struct task_outcome outcome;
    for (uint32_t i = 0; i < t->n; i++)
        codes[i] = -1;
    (void)fixture_await(&f, type, &t->place);
    while (pool_mates_next(f.pool, t->place, &cursor, &outcome))
        codes[outcome.mate] = outcome.exit_code;
    pool_outcome(f.pool, t->place, &outcome);
    cr_assert_lt(outcome.mate, t->n);
    codes[outcome.mate] = outcome.end == TASK_LOST ? 1000 : outcome.exit_code;
    pool_release(f.pool, t->place);
    for (uint32_t i = 0; i < t->n; i++)
        buf_release(&t->wire[i]);
}

#define EXPECT_CODES(codes, ...)                                         \
    do {                                                                 \
        const int want[] = {__VA_ARGS__};                                \
        for (size_t i = 0; i < ARRAY_LEN(want); i++)                     \
            cr_assert_eq((codes)[i], want[i], "%zu: %d", i, (codes)[i]); \
    } while (0)

typedef bool (*is_seen_fn)(const struct pool_live *live);

static bool has_begun(const struct pool_live *live)
{
    (void)live;
    return true;
}

static bool has_process(const struct pool_live *live)
{
    return live->job_pid != 0;
}

static bool is_watched(const struct pool_live *live)
{
    return live->watched;
}

static void await_live(int64_t no, is_seen_fn is_seen)
{
    struct pool_live live = {0};
    const uint64_t until_ns = clock_mono_ns() + UINT64_C(20000000000);
    while (!pool_live(f.pool, 0, no, &live) || !is_seen(&live))
        cr_assert_lt(clock_mono_ns(), until_ns);
}

Test(pool_mates, each_has_its_outcome)
{
    static const char *const scripts[] = {"exit 1", "exit 0", "exit 3", "exit 4"};
    struct turn t;
    int codes[MAX_TASKS];
    turn_start(&t, scripts, 4, 0);
    turn_end(&t, POOL_DONE, codes);
    EXPECT_CODES(codes, 1, 0, 3, 4);
}

Test(pool_mates, what_was_taken_back_never_begins)
{
    char script[128];
    const char *scripts[] = {script, "exit 0", "exit 2", "exit 3"};
    struct turn t;
    int codes[MAX_TASKS];
    (void)snprintf(script, sizeof script, "cat %s/hold", f.dir);
    cr_assert_eq(mkfifo(&script[4], 0600), 0);
    turn_start(&t, scripts, 4, 0);
    cr_assert(pool_mate_recall(f.pool, t.place, 3));
    cr_assert(pool_mate_recall(f.pool, t.place, 2));
    cr_assert_not(pool_mate_recall(f.pool, t.place, 2), "it is not there any more");
    FILE *hold = fopen(&script[4], "we");
    cr_assert_not_null(hold);
    (void)fclose(hold);
    turn_end(&t, POOL_DONE, codes);
    EXPECT_CODES(codes, 0, 0, -1, -1);
}

Test(pool_mates, too_many_failures_end_the_turn)
{
    static const char *const scripts[] = {"exit 0", "exit 1", "exit 0", "exit 1", "exit 0"};
    struct turn t;
    int codes[MAX_TASKS];
    turn_start(&t, scripts, 5, 2);
    turn_end(&t, POOL_DONE, codes);
    EXPECT_CODES(codes, 0, 1, 0, 1, -1);
}

Test(pool_mates, the_death_of_the_worker_costs_the_one_that_runs)
{
    static const char *const scripts[] = {"exit 5", "kill -9 $PPID; sleep 100", "exit 0"};
    struct turn t;
    int codes[MAX_TASKS];
    turn_start(&t, scripts, 3, 0);
    turn_end(&t, POOL_LOST, codes);
    EXPECT_CODES(codes, 5, 1000, -1);
    cr_assert_eq(pool_mate_now(f.pool, t.place), 1);
}

/* Nobody has told the pool that the second one runs. */
Test(pool_mates, a_worker_that_is_replaced_begins_no_other_one)
{
    static const char *const scripts[] = {"exit 7", "sleep 100", "exit 0", "exit 0"};
    struct turn t;
    int codes[MAX_TASKS];
    turn_start(&t, scripts, 4, 0);
    await_live(t.no + 1, has_process);
    cr_assert(pool_mate_recall(f.pool, t.place, 3));
    cr_assert(pool_replace(f.pool, t.place.slot, &(struct pool_stop_how){SIGKILL, 0}));
    cr_assert(pool_mate_recall(f.pool, t.place, 2), "its owner may take it back as well");
    turn_end(&t, POOL_DONE, codes);
    EXPECT_CODES(codes, 7, 0, -1, -1);
    cr_assert_eq(pool_mate_now(f.pool, t.place), 1);
}

/* It has taken the second one, and not said yet that the first one is over: it is the second one
 * that is ended. */
Test(pool_mates, a_worker_that_is_replaced_ends_what_it_took_last)
{
    static const char *const scripts[] = {"exit 7", "sleep 100", "exit 0"};
    struct turn t;
    int codes[MAX_TASKS];
    turn_start(&t, scripts, 3, 0);
    await_live(t.no + 1, has_process);
    struct bank *bank = slots_bank(&f.pool->worker.slots, t.place.slot, t.place.bank);
    atomic_store(&bank->n_over, 0);
    cr_assert(pool_replace(f.pool, t.place.slot, &(struct pool_stop_how){SIGKILL, 0}));
    atomic_store(&bank->n_over, 1);
    cr_assert(pool_mate_recall(f.pool, t.place, 2));
    turn_end(&t, POOL_DONE, codes);
    EXPECT_CODES(codes, 7, 0, -1);
}

/* The server has not heard yet that the second one runs. */
Test(pool_mates, who_asked_for_the_one_before_can_ask_again)
{
    char script[128];
    const char *scripts[] = {"exit 0", script};
    struct turn t;
    int codes[MAX_TASKS];
    (void)snprintf(script, sizeof script, "cat %s/hold", f.dir);
    cr_assert_eq(mkfifo(&script[4], 0600), 0);
    turn_start(&t, scripts, 2, 0);
    await_live(t.no + 1, has_begun);
    pool_watch(f.pool, t.place);
    pool_mate_is_current(f.pool, t.place, 1, t.no + 1);
    pool_watch(f.pool, t.place);
    await_live(t.no + 1, is_watched);
    FILE *hold = fopen(&script[4], "we");
    cr_assert_not_null(hold);
    (void)fclose(hold);
    turn_end(&t, POOL_DONE, codes);
    EXPECT_CODES(codes, 0, 0);
}

/* ---- the log alone ---- */

static struct bank *new_bank(uint32_t n_mates)
{
    struct bank *bank = must_alloc(sizeof *bank);
    bank->n_mates = n_mates;
    bank->report.end = TASK_EXITED;
    return bank;
}

Test(mates_log, ends_the_turn_before_it_is_full)
{
    AUTO_FREE struct bank *bank = new_bank(MAX_MATES);
    struct mates_log log = {0};
    uint32_t n = 0, next;
    bank->report.out_bytes[0] = BANK_OUT_SIZE;
    for (; (next = mates_take(bank, &log)) != 0; n++) {
        mates_turn(bank, &log, next);
        bank->report.out_bytes[0] = BANK_OUT_SIZE;
    }
    cr_assert_eq(n, BANK_LOG_SIZE / BANK_OUT_SIZE - 1);
    cr_assert_leq(log.at, BANK_LOG_SIZE);
    struct mates_cursor cursor = {0};
    struct task_outcome outcome;
    bool found = true;
    for (uint32_t i = 0; i < n; i++) {
        cr_assert(mates_read(bank, &cursor, &outcome, &found) && found);
        cr_assert_eq(outcome.mate, i);
        cr_assert_eq(outcome.out[0].inline_bytes.len, BANK_OUT_SIZE);
    }
    cr_assert(mates_read(bank, &cursor, &outcome, &found) && !found);
}

Test(mates_log, nothing_of_a_task_is_left_for_the_next)
{
    AUTO_FREE struct bank *bank = new_bank(1);
    struct mates_log log = {0};
    struct progress progress;
    bank->mates[0].job_no = 7;
    bank->n_blobs = 1;
    bank->report.has_result = bank->report.has_data = bank->report.no_retry = 1;
    atomic_store(&bank->suspended, 1);
    atomic_store(&bank->listened, 1);
    atomic_store(&bank->watched, 2);
    progress_put(bank, 500000, SLICE_LIT("half of it"));
    mates_turn(bank, &log, mates_take(bank, &log));
    cr_assert_eq(atomic_load(&bank->live_job_no), 7);
    cr_assert_eq(bank->n_blobs, 0);
    cr_assert(bank->report.has_result == 0 && bank->report.has_data == 0 &&
              bank->report.no_retry == 0);
    cr_assert(atomic_load(&bank->suspended) == 0 && atomic_load(&bank->listened) == 0 &&
              atomic_load(&bank->watched) == 0);
    progress_get(bank, &progress);
    cr_assert_not(progress.is_known);
}

/* Any byte of a record may be anything: it is refused or read, and never leads out of the log. */
Test(mates_log, is_not_believed)
{
    AUTO_FREE struct bank *bank = new_bank(3);
    struct mates_log log = {0};
    struct task_outcome outcome;
    bool found;
    (void)snprintf(bank->error_text, sizeof bank->error_text, "why");
    bank->report.out_bytes[1] = 10;
    mates_turn(bank, &log, mates_take(bank, &log));
    const uint32_t size = log.at;
    uint32_t refused = 0;
    for (uint32_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            struct mates_cursor cursor = {0};
            bank->log[at] ^= (char)(1 << bit);
            if (!mates_read(bank, &cursor, &outcome, &found))
                refused++;
            else
                cr_assert_leq(cursor.at, BANK_LOG_SIZE);
            bank->log[at] ^= (char)(1 << bit);
        }
    cr_assert_gt(refused, 100);
    struct mates_cursor cursor = {0};
    cr_assert(mates_read(bank, &cursor, &outcome, &found) && found);
    cr_assert_str_eq(outcome.error_text, "why");
    atomic_store(&bank->n_over, MAX_MATES + 1);
    cr_assert_not(mates_read(bank, &cursor, &outcome, &found));
}
