/* SPDX-License-Identifier: MIT */
/* service/dispatch.c with a real pool and a real store, one step of a turn at a time: what is
 * offered to a busy worker can be taken back, and what was taken in the middle of a transaction is
 * started and recorded exactly once. */
#include "service/base/config.h"
#include "service/command.h"
#include "service/dispatch.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sys/stat.h>

struct bench {
    char dir[64];
    struct log log;
    struct metrics metrics;
    struct pool *pool;
    struct store *store;
    struct dispatch d;
    struct turn turn;
    struct arena arena;
};

#define MUST(call)                                    \
    do {                                              \
        struct err err = {0};                         \
        cr_assert(call, "%s: %s", #call, err.detail); \
    } while (0)

static void bench_open(struct bench *b, uint32_t workers)
{
    memset(b, 0, sizeof *b);
    strncpy(b->dir, "/tmp/ganger-dispatch-XXXXXX", sizeof b->dir - 1);
    cr_assert_not_null(mkdtemp(b->dir));
    log_init(&b->log, STDERR_FILENO, LOG_ERROR, LOG_FORMAT_TEXT);
    arena_init(&b->arena, 4u << 20);
    const struct pool_config pool_cfg = {
        .workers = workers,
        .max_workers = workers,
        .kill_deadline_us = 5000000,
        .path = "/usr/bin:/bin",
        .data_dir = b->dir,
        .starts_file = STARTS_FILE,
        .log = &b->log,
    };
    const struct store_config store_cfg = {
        .data_dir = b->dir,
        .sync_full = true,
        .cache_bytes = 1u << 20,
        .row_keep_us = 60000000,
        .max_queues = 10,
        .log = &b->log,
    };
    MUST(pool_open(&pool_cfg, &b->pool, &err));
    MUST(store_open(&store_cfg, &b->store, &err));
    b->d = (struct dispatch){
        .pool = b->pool, .store = b->store, .log = &b->log, .metrics = &b->metrics};
    MUST(dispatch_open(&b->d, b->dir, &err));
    MUST(dispatch_recovered(&b->d, &err));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)st;
    (void)type;
    (void)place;
    return remove(path);
}

static void bench_close(struct bench *b)
{
    dispatch_close(&b->d);
    store_close(b->store);
    pool_close(b->pool);
    arena_release(&b->arena);
    cr_assert_eq(nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Inside a transaction: a job that runs `script` by sh. */
static int64_t submit(struct bench *b, const char *script, int priority)
{
    struct slice argv[3] = {SLICE_LIT("sh"), SLICE_LIT("-c"), slice_of(script)};
    struct submit_item item = {
        .spec = {.argv = argv,
                 .n_argv = 3,
                 .priority = priority,
                 .stop_signal = 15,
                 .stop_grace_us = 1000000,
                 .max_attempts = 1,
                 .limit_output = 1u << 20,
                 .keep_us = 60000000},
    };
    struct job_id id = {0};
    MUST(command_prepare(&item, clock_wall_us(), &b->arena, &err));
    const struct job_new job = {.spec = &item.spec,
                                .task = item.task,
                                .now_us = clock_wall_us(),
                                .due_us = item.due_us,
                                .salt = 1};
    MUST(jobs_insert(b->store, &job, &id, &err));
    b->d.dirty = true;
    return id.no;
}

static void turn_open(struct bench *b)
{
    turn_begin(&b->turn);
    MUST(store_begin(b->store, &err));
    MUST(dispatch_record(&b->d, &b->turn, &err));
}

static void apply_end_of(struct bench *b, struct flight *f)
{
    struct task_outcome outcome;
    pool_outcome(b->pool, f->place, &outcome);
    const struct job_end end = {
        .state = outcome.end == TASK_EXITED ? JOB_SUCCEEDED : JOB_CANCELLED,
        .reason = REASON_NONE,
        .started_us = outcome.started_us,
        .finished_us = outcome.ended_us,
        .keep_us = 60000000,
    };
    if (f->stop_requested) {
        enum job_state ignored;
        MUST(jobs_cancel(b->store, &(struct job_cancel){f->info.row.no, clock_wall_us(), NULL},
                         &ignored, &err));
    }
    MUST(jobs_finish(b->store, f->info.row.no, f->attempt, &end, &err));
    f->outcome_applied = true;
}

static void turn_close(struct bench *b)
{
    struct err err = {0};
    for (uint32_t k = 0; k < b->d.n; k++)
        if (b->d.flights[k].state == FLIGHT_ENDED)
            apply_end_of(b, &b->d.flights[k]);
    cr_assert(dispatch_claim(&b->d, &b->turn, &err), "%s", err.detail);
    cr_assert(dispatch_sync(&b->d, &err), "%s", err.detail);
    cr_assert_eq(store_commit(b->store, &err), COMMIT_STORED, "%s", err.detail);
    dispatch_committed(&b->d);
}

static void hear(struct bench *b, int wait_ms)
{
    struct pool_event events[16];
    struct pollfd p = {.fd = pool_fd(b->pool), .events = POLLIN};
    bool idle[2] = {false};
    (void)poll(&p, 1, wait_ms);
    for (size_t i = 0, n = pool_collect(b->pool, events, ARRAY_LEN(events)); i < n; i++) {
        uint32_t slot = events[i].place.slot;
        if (events[i].type == POOL_DONE)
            dispatch_ended(&b->d, events[i].place);
        if (events[i].type == POOL_STARTED)
            dispatch_offer_begun(&b->d, events[i].place);
        idle[slot] = events[i].type == POOL_DONE || events[i].type == POOL_READY ||
                     (idle[slot] && events[i].type != POOL_STARTED);
    }
    for (uint32_t slot = 0; slot < 2; slot++)
        if (idle[slot])
            dispatch_idle(&b->d, slot);
    dispatch_offer(&b->d);
}

static enum job_state state_of(struct bench *b, int64_t no)
{
    struct job_row row;
    MUST(jobs_get_by_no(b->store, no, &row, &err));
    return row.state;
}

static void wait_ready(struct bench *b)
{
    struct place place;
    for (int i = 0; i < 100 && !pool_find_idle(b->pool, &place); i++)
        hear(b, 100);
    cr_assert(pool_find_idle(b->pool, &place));
}

static void run_until(struct bench *b, int64_t no, enum job_state wanted)
{
    for (int i = 0; i < 200; i++) {
        turn_open(b);
        enum job_state state = state_of(b, no);
        turn_close(b);
        if (state == wanted)
            return;
        hear(b, 50);
    }
    cr_assert_fail("job %lld never became %s", (long long)no, job_state_name(wanted));
}

static size_t count_lines(const char *path)
{
    size_t n = 0;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (char c; fd >= 0 && read(fd, &c, 1) == 1;)
        n += c == '\n';
    return n;
}

Test(dispatch, an_offer_is_taken_back_before_its_job_is_cancelled, .timeout = 60)
{
    struct bench b;
    char touch[128], path[96];
    bench_open(&b, 1);
    wait_ready(&b);
    (void)snprintf(path, sizeof path, "%s/ran", b.dir);
    (void)snprintf(touch, sizeof touch, "echo x >> %s", path);
    turn_open(&b);
    int64_t first = submit(&b, "sleep 60", 0), second = submit(&b, touch, 0),
            third = submit(&b, "true", 0), fourth = submit(&b, "true", 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, second)->state, FLIGHT_OFFERED, "the next one is in hand");
    cr_assert_eq(flight_waiting(&b.d, third)->state, FLIGHT_OFFERED, "and one more");
    cr_assert_eq(flight_waiting(&b.d, fourth)->state, FLIGHT_RESERVED, "MAX_OFFERS is 2");
    turn_open(&b);
    enum job_state state = JOB_QUEUED;
    MUST(dispatch_settle(&b.d, &b.turn, second, &err));
    MUST(jobs_cancel(b.store, &(struct job_cancel){second, clock_wall_us(), NULL}, &state, &err));
    b.d.dirty = true;
    turn_close(&b);
    cr_assert_eq(state, JOB_CANCELLED);
    cr_assert_null(flight_waiting(&b.d, second));
    cr_assert_eq(flight_waiting(&b.d, fourth)->state, FLIGHT_OFFERED, "the place is taken at once");
    struct flight *f = dispatch_find(&b.d, first);
    f->stop_requested = true;
    pool_stop(b.pool, f->place, 9, 0);
    run_until(&b, third, JOB_SUCCEEDED);
    cr_assert_eq(count_lines(path), 0, "the cancelled job never ran");
    bench_close(&b);
}

/* The order in which jobs that write their letter have begun. */
static void read_order(const struct bench *b, char *text, size_t size)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/order", b->dir);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    text[MAX(n, (ssize_t)0)] = '\0';
}

static int64_t submit_letter(struct bench *b, char letter, int priority)
{
    char *script = arena_alloc(&b->arena, 160);
    (void)snprintf(script, 160, "printf %c >> %s/order", letter, b->dir);
    return submit(b, script, priority);
}

static void stop(struct bench *b, int64_t no)
{
    struct flight *f = dispatch_find(&b->d, no);
    f->stop_requested = true;
    pool_stop(b->pool, f->place, 9, 0);
}

Test(dispatch, a_more_urgent_job_overtakes_offers, .timeout = 60)
{
    struct bench b;
    char order[16];
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    int64_t first = submit(&b, "sleep 60", 0);
    (void)submit_letter(&b, 'a', 0);
    int64_t last = submit_letter(&b, 'b', 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, last)->state, FLIGHT_OFFERED);
    turn_open(&b);
    int64_t urgent = submit_letter(&b, 'u', 5);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, urgent)->state, FLIGHT_OFFERED);
    cr_assert_eq(flight_waiting(&b.d, last)->state, FLIGHT_RESERVED, "it had to make room");
    stop(&b, first);
    run_until(&b, last, JOB_SUCCEEDED);
    read_order(&b, order, sizeof order);
    cr_assert_str_eq(order, "uab");
    bench_close(&b);
}

Test(dispatch, a_job_in_the_hand_of_a_busy_worker_does_not_starve, .timeout = 60)
{
    enum { SHORT_JOBS = 26 };
    struct bench b;
    char order[SHORT_JOBS + 1];
    int64_t last = 0;
    bench_open(&b, 2);
    wait_ready(&b);
    turn_open(&b);
    int64_t first = submit(&b, "sleep 60", 0);
    for (int i = 0; i < SHORT_JOBS; i++)
        last = submit_letter(&b, (char)('a' + i), 0);
    turn_close(&b);
    for (int64_t no = first + 1; no <= last; no++)
        run_until(&b, no, JOB_SUCCEEDED);
    for (int i = 0; i < SHORT_JOBS; i++) {
        read_order(&b, order, sizeof order);
        const char *at = strchr(order, 'a' + i);
        cr_assert_not_null(at, "%c never ran while the other worker was busy: %s", 'a' + i, order);
        cr_assert_lt(at - order, i + 12, "%c was overtaken too often: %s", 'a' + i, order);
    }
    cr_assert_eq(state_of(&b, first), JOB_RUNNING, "all this happened beside it");
    stop(&b, first);
    run_until(&b, first, JOB_CANCELLED);
    bench_close(&b);
}

Test(dispatch, what_is_taken_in_the_middle_of_a_turn_runs_and_is_recorded_once, .timeout = 60)
{
    struct bench b;
    char first_script[160], script[160], path[96], gate[96];
    bench_open(&b, 1);
    wait_ready(&b);
    (void)snprintf(gate, sizeof gate, "%s/gate", b.dir);
    (void)snprintf(path, sizeof path, "%s/ran", b.dir);
    cr_assert_eq(mkfifo(gate, 0600), 0);
    (void)snprintf(first_script, sizeof first_script, "cat %s", gate);
    (void)snprintf(script, sizeof script, "echo x >> %s", path);
    turn_open(&b);
    (void)submit(&b, first_script, 0);
    int64_t taken = submit(&b, script, 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, taken)->state, FLIGHT_OFFERED);

    /* A turn has recorded what it knew; now the worker ends its task and takes the offer. */
    turn_open(&b);
    int fd = open(gate, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(close(fd), 0);
    for (int i = 0; i < 500 && count_lines(path) == 0; i++)
        (void)poll(NULL, 0, 10);
    cr_assert_eq(count_lines(path), 1, "the worker needed nobody to go on");
    for (uint32_t i = 0; i < b.d.n; i++)
        (void)submit(&b, "true", 9); /* so many are more urgent that the offer must be recalled */
    turn_close(&b);
    struct flight *f = dispatch_find(&b.d, taken);
    cr_assert_not_null(f);
    cr_assert(f->unrecorded, "this commit did not store that it runs");
    run_until(&b, taken, JOB_SUCCEEDED);
    cr_assert_eq(count_lines(path), 1, "it was started once");
    bench_close(&b);
}
