/* SPDX-License-Identifier: MIT */
#include "service_dispatch.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>

void bench_open(struct bench *b, uint32_t workers)
{
    memset(b, 0, sizeof *b);
    strncpy(b->dir, "/tmp/ganger-dispatch-XXXXXX", sizeof b->dir - 1);
    cr_assert_not_null(mkdtemp(b->dir));
    log_init(&b->log, STDERR_FILENO, LOG_ERROR, LOG_FORMAT_TEXT);
    arena_init(&b->arena, 32u << 20);
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

void bench_close(struct bench *b)
{
    dispatch_close(&b->d);
    store_close(b->store);
    pool_close(b->pool);
    arena_release(&b->arena);
    cr_assert_eq(nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int64_t submit(struct bench *b, const char *script, int priority)
{
    return submit_to(b, "default", script, priority);
}

static int64_t insert(struct bench *b, const struct job_spec *asked)
{
    struct submit_item item = {
        .spec = {.argv = asked->argv,
                 .n_argv = asked->n_argv,
                 .queue = asked->queue,
                 .priority = asked->priority,
                 .stdin_bytes = asked->stdin_bytes,
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

int64_t submit_to(struct bench *b, const char *queue, const char *script, int priority)
{
    struct slice argv[3] = {SLICE_LIT("sh"), SLICE_LIT("-c"), slice_of(script)};
    return insert(b,
                  &(struct job_spec){
                      .argv = argv, .n_argv = 3, .queue = slice_of(queue), .priority = priority});
}

int64_t submit_large(struct bench *b, struct slice bytes)
{
    struct slice argv[1] = {SLICE_LIT("true")};
    return insert(
        b, &(struct job_spec){
               .argv = argv, .n_argv = 1, .queue = SLICE_LIT("default"), .stdin_bytes = bytes});
}

void turn_open(struct bench *b)
{
    turn_begin(&b->turn);
    MUST(store_begin(b->store, &err));
    MUST(dispatch_record(&b->d, &b->turn, &err));
}

static void apply_end_of(struct bench *b, struct flight *f)
{
    struct task_outcome outcome;
    pool_outcome(b->pool, f->place, &outcome);
    const bool is_again = f->info.row.no == b->tried_again;
    const struct job_end end = {
        .state = is_again                     ? JOB_QUEUED
                 : outcome.end == TASK_EXITED ? JOB_SUCCEEDED
                                              : JOB_CANCELLED,
        .retry_at_us = is_again ? clock_wall_us() : 0,
        .reason = REASON_NONE,
        .started_us = outcome.started_us,
        .finished_us = outcome.ended_us,
        .keep_us = 60000000,
    };
    if (f->unrecorded && !f->recording)
        MUST(flight_record(&b->d, &b->turn, f, &err));
    if (f->stop_requested) {
        enum job_state ignored;
        MUST(jobs_cancel(b->store, &(struct job_cancel){f->info.row.no, clock_wall_us(), NULL},
                         &ignored, &err));
    }
    MUST(jobs_finish(b->store, f->info.row.no, f->attempt, &end, &err));
    f->outcome_applied = true;
}

void turn_close(struct bench *b)
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

void hear(struct bench *b, int wait_ms)
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

enum job_state state_of(struct bench *b, int64_t no)
{
    struct job_row row;
    MUST(jobs_get_by_no(b->store, no, &row, &err));
    return row.state;
}

void wait_ready(struct bench *b)
{
    struct place place;
    for (int i = 0; i < 100 && !pool_find_idle(b->pool, &place); i++)
        hear(b, 100);
    cr_assert(pool_find_idle(b->pool, &place));
}

void run_until(struct bench *b, int64_t no, enum job_state wanted)
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

size_t count_lines(const char *path)
{
    size_t n = 0;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (char c; fd >= 0 && read(fd, &c, 1) == 1;)
        n += c == '\n';
    return n;
}
