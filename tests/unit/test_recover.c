/* SPDX-License-Identifier: MIT */
/* Acknowledged = on disk: power cuts at random points of a recorded run, the store's own recovery,
 * and the control that must lose something. Failing writes and syncs at every place where one can
 * fail. */
#include "storage_fixture.h"
#include "storage_vfs.h"

#include <fcntl.h>

#define TURNS 60
#define MAX_TASK_BYTES 20000

TestSuite(recover, .timeout = 60);

/* ---- a run and what it had acknowledged ---- */

/* states[k]: a hash of all rows (number, state, version) after the kth acknowledged commit. */
struct run {
    struct fixture f;
    struct io_log log;
    uint64_t states[TURNS + 1];
    uint64_t random;
};

static uint64_t next_random(struct run *run)
{
    run->random = run->random * 6364136223846793005u + 1442695040888963407u;
    return run->random >> 33;
}

static uint64_t state_hash(struct store *store)
{
    uint64_t hash = 14695981039346656037u;
    sqlite3_stmt *rows = NULL;

    cr_assert_eq(
        sqlite3_prepare_v2(
            store->db.handle,
            "SELECT j.no, state, version, length(task) FROM jobs j JOIN specs s ON s.no = j.no", -1,
            &rows, NULL),
        SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        for (int column = 0; column < 4; column++)
            hash = (hash ^ (uint64_t)sqlite3_column_int64(rows, column)) * 1099511628211u;
    }
    (void)sqlite3_finalize(rows);
    return hash;
}

static void turn_submit(struct run *run)
{
    static char task[MAX_TASK_BYTES];
    struct job_spec spec = {
        .max_attempts = 2, .keep_us = 10 * SECOND_US, .priority = (int32_t)(next_random(run) % 3)};
    struct job_new job = {.spec = &spec, .now_us = NOW_US, .salt = (uint32_t)next_random(run)};
    struct idem_entry entry = {.n = 1};

    memset(task, 'a' + (int)(next_random(run) % 26), sizeof(task));
    for (uint64_t n = 3 + next_random(run) % 6; n > 0; n--) {
        job.task = (struct slice){task, 1 + next_random(run) % sizeof(task)};
        job.due_us = n % 3 == 0 ? NOW_US + SECOND_US : 0;
        entry.first_no = job_add_as(&run->f, &job).no;
    }
    memcpy(entry.key, &run->random, sizeof(run->random));
    must(idem_put(run->f.store, &entry, err));
}

static void turn_start(struct run *run)
{
    struct ready_job ready[4];
    struct ready_list list = {.jobs = ready, .max = ARRAY_LEN(ready)};
    struct inflight entries[ARRAY_LEN(ready)];

    must(queue_peek(run->f.store, &list, err));
    for (size_t i = 0; i < list.n; i++)
        entries[i] = (struct inflight){ready[i].no, ready[i].attempt + 1, 1};
    must(inflight_put(run->f.store, 0, entries, list.n, err));
    for (size_t i = 0; i < list.n; i++) {
        must(jobs_start(run->f.store,
                        &(struct job_start){ready[i].no, ready[i].attempt + 1, (uint32_t)i, NOW_US},
                        err));
    }
}

static void turn_finish(struct run *run)
{
    static const char text[3000] = "output";
    struct inflight running[4];
    size_t n;

    must(inflight_all(run->f.store, running, ARRAY_LEN(running), &n, err));
    for (size_t i = 0; i < n; i++) {
        struct job_end end = job_end_ok();
        uint64_t r = next_random(run);

        if (r % 4 == 0 && running[i].attempt < 2) {
            end.state = JOB_SCHEDULED;
            end.reason = REASON_EXIT_CODE;
            end.retry_at_us = NOW_US + SECOND_US;
        }
        end.inline_out[0] = (struct slice){text, r % sizeof(text)};
        must(jobs_finish(run->f.store, running[i].no, running[i].attempt, &end, err));
    }
    must(inflight_clear(run->f.store, err));
}

/* A storm of cancels, timers and retention. */
static void turn_tidy(struct run *run)
{
    struct store *store = run->f.store;
    struct output_ref files[8];
    int64_t nos[4];
    struct due_list due = {nos, ARRAY_LEN(nos), 0};
    struct prune prune = {.limit = 5, .files = files, .max_files = ARRAY_LEN(files)};

    for (int i = 0; i < 3; i++) {
        int64_t no = 1 + (int64_t)(next_random(run) % (uint64_t)store->newest.no);
        enum job_state state;
        struct job_row row;

        if (jobs_get_by_no(store, no, &row, NULL) && row.state <= JOB_QUEUED)
            must(jobs_cancel(store, &(struct job_cancel){no, NOW_US, "storm"}, &state, err));
    }
    must(queue_promote(store, NOW_US + SECOND_US, &due, err));
    prune.now_us = NOW_US + (next_random(run) % 2 == 0 ? 20 : 200) * SECOND_US;
    must(jobs_prune(store, &prune, err));
}

/* Records TURNS commits of mixed work with checkpoints between them. The store stays open at the
 * end, as in a power cut. */
static void run_record(struct run *run, bool sync_full, uint64_t seed)
{
    run->random = seed;
    fixture_make_dir(run->f.dir);
    run->f.cfg = (struct store_config){.data_dir = run->f.dir,
                                       .sync_full = sync_full,
                                       .cache_bytes = 4 << 20,
                                       .row_keep_us = 100 * SECOND_US,
                                       .max_queues = 8};
    vfs_record(&run->log);
    must(store_open(&run->f.cfg, &run->f.store, err));
    run->states[0] = state_hash(run->f.store);
    for (int turn = 1; turn <= TURNS; turn++) {
        tx_begin(&run->f);
        turn_finish(run);
        turn_submit(run);
        turn_start(run);
        turn_tidy(run);
        tx_commit(&run->f);
        io_log_mark(&run->log, turn);
        run->states[turn] = state_hash(run->f.store);
        if (turn % 10 == 0)
            (void)sqlite3_wal_checkpoint_v2(run->f.store->db.handle, NULL,
                                            SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
}

static void run_release(struct run *run)
{
    fixture_close(&run->f);
    vfs_stop();
    io_log_release(&run->log);
}

/* ---- power cuts ---- */

static void image_write_files(const struct fixture *f, const struct image *image)
{
    static const char *const names[] = {[IO_DB] = "jobs.db", [IO_WAL] = "jobs.db-wal"};

    for (int file = 0; file < IO_FILES; file++) {
        char path[128];
        int fd;

        fixture_path(f, names[file], path);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, image->bytes[file], image->len[file]), (ssize_t)image->len[file]);
        (void)close(fd);
    }
}

/* Which commit the recovered store stands after; fails when it is none of them, as each is atomic.
 */
static int recovered_turn(const struct run *run, struct fixture *f)
{
    uint64_t hash = state_hash(f->store);

    for (int turn = TURNS; turn >= 0; turn--) {
        if (run->states[turn] == hash)
            return turn;
    }
    cr_assert_fail("half a transaction came back");
    return -1;
}

/* Opens the disk as it was after `cut` operations; returns how many acknowledged commits are
 * missing. */
static int image_lost(const struct run *run, struct image *image, size_t cut, bool torn)
{
    struct fixture f = {.cfg = run->f.cfg};
    int acked = 0, turn;

    for (size_t i = 0; i < cut; i++) {
        if (run->log.ops[i].kind == IO_MARK)
            acked = (int)run->log.ops[i].offset;
    }
    image_build(image, &run->log, cut, torn, cut * 2 + torn);
    fixture_make_dir(f.dir);
    f.cfg.data_dir = f.dir;
    image_write_files(&f, image);
    must(store_open(&f.cfg, &f.store, err));
    integrity_check(&f);
    counts_check(&f);
    turn = recovered_turn(run, &f);
    cr_assert_leq(turn, acked + 1);
    fixture_close(&f);
    return MAX(0, acked - turn);
}

/* Images at random cuts; returns in how many of them an acknowledged commit was missing. */
static int images_with_loss(struct run *run, int images, bool torn)
{
    struct image image = {0};
    uint64_t random = 7;
    int lossy = 0;

    vfs_stop(); /* the images are opened by the real VFS */
    for (int i = 0; i < images; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        lossy += image_lost(run, &image, (size_t)(random >> 33) % (run->log.n + 1), torn) > 0 ? 1
                                                                                              : 0;
    }
    image_release(&image);
    return lossy;
}

/* A sanitizer is after the ways through the code, and needs fewer of them. */
#ifdef WITH_ASAN
#define IMAGES 200
#else
#define IMAGES 1000
#endif

static struct run the_run;

Test(recover, no_acknowledged_commit_is_lost_when_the_unsynced_is_dropped)
{
    run_record(&the_run, true, 1);
    cr_assert_gt(io_log_count(&the_run.log, IO_SYNC, IO_DB), 3, "the run contains checkpoints");
    cr_assert_eq(images_with_loss(&the_run, IMAGES, false), 0);
    run_release(&the_run);
}

Test(recover, no_acknowledged_commit_is_lost_when_the_unsynced_is_torn)
{
    run_record(&the_run, true, 2);
    cr_assert_eq(images_with_loss(&the_run, IMAGES, true), 0);
    run_release(&the_run);
}

Test(recover, control_sync_normal_loses_commits_in_a_power_cut)
{
    int lossy;

    run_record(&the_run, false, 3);
    lossy = images_with_loss(&the_run, 60, false);
    cr_assert_geq(lossy, 30, "%d of 60: this harness would not see a missing sync", lossy);
    run_release(&the_run);
}

Test(recover, one_sync_per_commit)
{
    struct fixture *f = &the_run.f;
    size_t before;

    run_record(&the_run, true, 4);
    tx_begin(f);
    (void)job_add(f, NULL, 0);
    tx_commit(f); /* the first one after a checkpoint syncs the log's new header, too */
    before = io_log_count(&the_run.log, IO_SYNC, IO_WAL);
    for (int i = 0; i < 20; i++) {
        tx_begin(f);
        (void)job_add(f, NULL, 0);
        tx_commit(f);
    }
    cr_assert_eq(io_log_count(&the_run.log, IO_SYNC, IO_WAL) - before, 20);
    run_release(&the_run);
}

/* ---- calls that fail ---- */

Test(recover, a_full_disk_at_any_write_loses_nothing_and_lies_never)
{
    struct fixture *f = &the_run.f;
    int failures = 0;
    int64_t expected;

    run_record(&the_run, true, 5);
    expected = store_waiting(f->store);
    for (int nth = 1;; nth++) {
        struct err failure = {0};
        enum commit_result result;

        tx_begin(f);
        turn_submit(&the_run);
        vfs_fail(IO_WRITE, nth, SQLITE_FULL);
        result = store_commit(f->store, &failure);
        if (!vfs_failed())
            break;
        failures++;
        cr_assert_eq(result, COMMIT_NOT_STORED, "write %d", nth);
        cr_assert_eq(failure.code, ERR_DISK_FULL);
        cr_assert(store_disk_is_low(f->store));
        cr_assert_eq(store_waiting(f->store), expected);
        tx_begin(f);
        (void)job_add(f, NULL, 0);
        tx_commit(f); /* space has come back */
        cr_assert_eq(store_waiting(f->store), ++expected);
    }
    cr_assert_gt(failures, 20);
    counts_check(f);
    integrity_check(f);
    run_release(&the_run);
}

Test(recover, a_failed_sync_is_reported_as_unknown_and_a_restart_tells)
{
    static const enum io_kind kinds[] = {IO_SYNC, IO_WRITE};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct fixture *f = &the_run.f;
        struct err failure = {0};
        int64_t before, after;

        run_record(&the_run, true, 6 + i);
        before = store_waiting(f->store);
        tx_begin(f);
        (void)job_add(f, NULL, 0);
        vfs_fail(kinds[i], 2, kinds[i] == IO_SYNC ? SQLITE_IOERR_FSYNC : SQLITE_IOERR_WRITE);
        if (kinds[i] == IO_SYNC)
            vfs_fail(IO_SYNC, 1, SQLITE_IOERR_FSYNC);
        cr_assert_eq(store_commit(f->store, &failure), COMMIT_UNKNOWN);
        cr_assert(vfs_failed());
        cr_assert_eq(failure.code, ERR_OUTCOME_UNKNOWN);
        fixture_reopen(f);
        after = store_waiting(f->store);
        cr_assert(after == before || after == before + 1);
        counts_check(f);
        integrity_check(f);
        run_release(&the_run);
    }
}

/* ---- what a new server finds ---- */

Test(recover, in_flight_attempts_are_found_and_settled)
{
    struct fixture f;
    struct job_end lost = job_end_ok();
    struct inflight found[4];
    int64_t running, reserved, waiting;
    size_t n;

    fixture_open(&f);
    tx_begin(&f);
    running = job_add(&f, NULL, 0).no;
    reserved = job_add(&f, NULL, 0).no;
    waiting = job_add(&f, NULL, 0).no;
    const struct inflight flights[] = {{running, 1, 1}, {reserved, 1, 1}};
    must(inflight_put(f.store, 0, flights, ARRAY_LEN(flights), err));
    must(jobs_start(f.store, &(struct job_start){running, 1, 0, NOW_US}, err));
    tx_commit(&f);
    fixture_reopen(&f);

    must(inflight_all(f.store, found, ARRAY_LEN(found), &n, err));
    cr_assert_eq(n, 2);
    lost.state = JOB_FAILED;
    lost.reason = REASON_LOST;
    lost.has_exit_code = false;
    tx_begin(&f);
    must(jobs_finish(f.store, found[0].no, found[0].attempt, &lost, err));
    must(inflight_clear(f.store, err));
    tx_commit(&f);
    cr_assert_eq(job_see(&f, running).state, JOB_FAILED);
    cr_assert_eq(job_see(&f, reserved).state, JOB_QUEUED);
    cr_assert_eq(job_see(&f, reserved).attempt, 0, "it never ran, so nothing is counted");
    cr_assert_eq(job_see(&f, waiting).state, JOB_QUEUED);
    counts_check(&f);
    fixture_close(&f);
}
