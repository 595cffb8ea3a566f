/* SPDX-License-Identifier: MIT */
/* The turn: collect → apply → commit → publish. Don't do things directly in reaction to external
 * events; run at your own pace, and batch. */
#include "service/engine_state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_SOURCES 4
#define RETRY_PAUSE_NS UINT64_C(100000000) /* after a transaction that was not stored */

enum { EXIT_ZYGOTE_DIED = 70, EXIT_STORE_FAILED = 74 };

/* ------------------------------------------------------------------------------------------------
 * collect */

/* As PID 1, and as the parent of a dead zygote's orphans, the server reaps what nobody else waits
 * for. */
static void reap_children(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

static void collect_signals(struct engine *e)
{
    struct signalfd_siginfo info;
    while (read(e->parts.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            reap_children();
        } else if (atomic_load(&e->shared.phase) == PHASE_RUNNING) {
            drain_begin(e);
        } else {
            drain_hurry(e);
        }
    }
}

void collect_commands(struct engine *e)
{
    struct command **tail = &e->pending;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = inbox_take(&e->inbox);
    if (e->put_off != NULL &&
        (e->turn.now_ns >= e->retry_ns || atomic_load(&e->shared.phase) == PHASE_STOPPED)) {
        for (tail = &e->put_off; *tail != NULL;)
            tail = &(*tail)->next;
        *tail = e->pending;
        e->pending = e->put_off;
        e->put_off = NULL;
    }

    e->n_batch = 0;
    for (size_t jobs = 0; e->pending != NULL && e->n_batch < MAX_BATCH && jobs < MAX_BATCH_JOBS;
         e->n_batch++) {
        struct command *cmd = e->pending;
        e->pending = cmd->next;
        cmd->next = NULL;
        e->batch[e->n_batch] = cmd;
        jobs += command_jobs(cmd);
    }
}

/* epoll_pwait2(2) knows nanoseconds. Where an old kernel or a container's filter lacks it,
 * milliseconds must do. */
static int wait_for(struct engine *e, int fd, struct epoll_event events[MAX_SOURCES], uint64_t ns)
{
    if (!e->lacks_pwait2) {
        struct timespec ts = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
        int n = epoll_pwait2(fd, events, MAX_SOURCES, &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        e->lacks_pwait2 = true;
    }
    return epoll_wait(fd, events, MAX_SOURCES, (int)((ns + 999999) / 1000000));
}

static void collect(struct engine *e)
{
    struct epoll_event events[MAX_SOURCES];
    uint64_t at = pace_next_ns(e), now = clock_mono_ns();
    bool naps = pace_naps(e, now, &at);
    if (!naps && at > now && !pool_sleeps(e->parts.pool))
        at = now;
    int n = wait_for(e, naps ? e->calm_fd : e->epoll_fd, events,
                     at <= now ? 0 : MIN(at - now, UINT64_C(60000000000)));
    pool_wakes(e->parts.pool);
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == e->parts.signal_fd)
            collect_signals(e);
        else if (events[i].data.fd == e->inbox.event_fd)
            inbox_heard(&e->inbox);
    }
    turn_begin(&e->turn);
    e->dispatch.dirty |= e->turn.now_ns >= gang_deadline_ns(&e->dispatch);
    collect_pool(e);
    dispatch_look(&e->dispatch, e->turn.now_ns);
    blob_cache_tidy(e->dispatch.blobs, e->turn.now_ns);
    collect_commands(e);
}

/* ------------------------------------------------------------------------------------------------
 * commit, publish */

static void publish(struct engine *e)
{
    (void)FAULT("engine-after-commit");
    dispatch_committed(&e->dispatch);
    pools_committed(e);
    (void)FAULT("engine-before-answers");
    publish_stats(e); /* before the answers: who has one finds its job counted */
    publish_metrics(e);
    publish_parks(e);
    publish_changes(e);
    publish_chore(e);
    pools_publish(e);
    publish_commands(e);
    publish_notify(e);
    publish_unlinks(e);
    if (e->turn.owes)
        deliver_wake(e);
}

/* Nothing of this turn was stored: everyone who wrote hears why, outcomes stay in their banks. */
static void refuse(struct engine *e, const struct err *why)
{
    metrics_add(e->parts.metrics, COUNT_COMMIT_FAILURES, 1);
    log_error(e->parts.log, "transaction not stored", why);
    dispatch_rolled_back(&e->dispatch);
    pools_rolled_back(e);
    for (size_t i = 0; i < e->n_batch; i++) {
        struct command *cmd = e->batch[i];
        e->verdicts[i] = command_writes(cmd) ? VERDICT_ANSWER : VERDICT_PARK;
        if (!command_writes(cmd))
            continue;
        cmd->err = *why;
        cmd->key.replayed = false;
    }
    publish_commands(e);
    publish_notify(e);
    e->has_batch_work = e->has_chores = true;
    e->next_due_us = MIN(e->next_due_us, e->turn.now_us); /* the timers of this turn are still due
                                                           */
    e->retry_ns = clock_mono_ns() + RETRY_PAUSE_NS;
    e->refused_as = why->code;
}

/* Whether the transaction is on disk is not known: going on over pages that the kernel may have
 * dropped risks more than a restart. */
static void fail_stop(struct engine *e, const struct err *why)
{
    log_error(e->parts.log, "commit failed with an unknown outcome; stopping", why);
    for (size_t i = 0; i < e->n_batch; i++) {
        struct command *cmd = e->batch[i];
        e->verdicts[i] = cmd->kind == CMD_UNPARK ? VERDICT_PARK : VERDICT_ANSWER;
        (void)err_set(&cmd->err, ERR_OUTCOME_UNKNOWN,
                      "The commit failed; whether the request was stored is not known. Ask again "
                      "with the same "
                      "Idempotency-Key after the restart");
    }
    publish_commands(e);
    e->exit_code = EXIT_STORE_FAILED;
}

static bool apply(struct engine *e, struct err *err)
{
    return dispatch_record(&e->dispatch, &e->turn, err) && apply_ends(e, err) &&
           apply_timers(e, err) && apply_telling(e, err) && apply_chore_work(e, err) &&
           apply_commands(e, err) && apply_batch_work(e, err) && apply_pool_work(e, err) &&
           chunk_part_late(&e->dispatch, &e->turn, err) && apply_changes(e, err) &&
           apply_claims(e, err) && apply_changes(e, err) && apply_early(e, err) &&
           dispatch_sync(&e->dispatch, err);
}

/* Negative control of the crash harness: the answer leaves before the commit (tests/crash). */
static void seeded_early_answer(struct engine *e)
{
    if (!SEEDED_BUG("ack-before-commit"))
        return;
    for (size_t i = 0; i < e->n_batch; i++) {
        struct command *cmd = e->batch[i];
        if (cmd->kind == CMD_SUBMIT && e->verdicts[i] == VERDICT_ANSWER) {
            publish_answer(e, cmd);
            memmove(&e->batch[i], &e->batch[i + 1], (e->n_batch - i - 1) * sizeof e->batch[0]);
            memmove(&e->verdicts[i], &e->verdicts[i + 1],
                    (e->n_batch - i - 1) * sizeof e->verdicts[0]);
            e->n_batch--;
            i--;
        }
    }
    publish_notify(e);
    struct timespec pause = {.tv_nsec = 30000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static void transact(struct engine *e)
{
    struct err err = {0};
    e->lazy_until_ns = 0;
    rest_worked(&e->rest, e->turn.now_ns); /* turns that change nothing are no work */
    bool was_telling = e->is_telling;
    enum commit_result result = COMMIT_NOT_STORED;
    if (store_begin(e->store, &err)) {
        e->turn.newest = pools_newest(e->store);
        if (apply(e, &err)) {
            seeded_early_answer(e);
            uint64_t before_ns = clock_mono_ns();
            result = store_commit(e->store, &err);
            uint64_t took_ns = clock_mono_ns() - before_ns;
            pace_note_commit(e, took_ns);
            metrics_observe_us(e->parts.metrics, HIST_COMMIT_TIME, took_ns / 1000);
        } else {
            store_rollback(e->store);
        }
    }
    switch (result) {
    case COMMIT_STORED:
        publish(e);
        if (store_maintain(e->store))
            metrics_add(e->parts.metrics, COUNT_CHECKPOINTS, 1);
        break;
    case COMMIT_NOT_STORED:
        e->is_telling = was_telling;
        refuse(e, &err);
        break;
    case COMMIT_UNKNOWN: fail_stop(e, &err); break;
    }
}

/* The store refused a moment ago: nobody waits for its next chance but outcomes. */
static void refuse_writes(struct engine *e)
{
    const bool is_full = e->refused_as == ERR_DISK_FULL || store_disk_is_low(e->store);
    for (size_t i = 0; i < e->n_batch; i++) {
        struct command *cmd = e->batch[i];
        e->verdicts[i] = command_writes(cmd) ? VERDICT_ANSWER : VERDICT_PARK;
        if (command_writes(cmd))
            (void)err_set(&cmd->err, is_full ? ERR_DISK_FULL : ERR_STORAGE,
                          "The store does not take writes just now; try again");
    }
    publish_commands(e);
}

/* Parks need no transaction; what writes goes back to the head of the line. */
static void defer_writes(struct engine *e)
{
    struct command *deferred = NULL;
    size_t n_parks = 0;
    for (size_t i = e->n_batch; i-- > 0;)
        if (command_writes(e->batch[i])) {
            e->batch[i]->next = deferred;
            deferred = e->batch[i];
        }
    for (size_t i = 0; i < e->n_batch; i++)
        if (!command_writes(e->batch[i])) {
            e->verdicts[n_parks] = VERDICT_PARK;
            e->batch[n_parks++] = e->batch[i];
        }
    e->n_batch = n_parks;
    struct command **tail = &deferred;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = e->pending;
    e->pending = deferred;
    publish_commands(e);
}

static void engine_turn(struct engine *e)
{
    collect(e);
    apply_stops_early(e);
    uint64_t begin_ns = e->turn.now_ns;
    enum pace pace = pace_of_turn(e);
    e->may_nap = pace == PACE_NAP;
    if (pace == PACE_NOW && begin_ns < e->retry_ns)
        refuse_writes(e);
    else if (pace == PACE_NOW)
        transact(e);
    else
        defer_writes(e);
    publish_answers(e, waiters_expire(e->waiters, clock_mono_ns()));
    publish_notify(e);
    waiters_sweep(e->waiters);
    pace_rest(e);
    atomic_fetch_add_explicit(&e->shared.turns, 1, memory_order_relaxed);
    metrics_observe_us(e->parts.metrics, HIST_TURN_TIME, (clock_mono_ns() - begin_ns) / 1000);
}

/* ------------------------------------------------------------------------------------------------
 * life */

/* Events are numbered by the clock, in microseconds, and upwards from there, so that the numbers of
 * two runs never meet. A clock that was set back is noticed by what the last run had stored. */
#define EVENTS_PER_RUN (INT64_C(1) << 32)

static bool open_events(struct engine *e, struct err *err)
{
    AUTO_BUF struct buf stored = {0};
    char text[24];
    int64_t first = e->started_us, after = 0;
    bool found;
    buf_init(&stored, sizeof text);
    if (!store_meta_get(e->store, "events", &stored, &found, err))
        return false;
    if (found && text_to_i64(buf_slice(&stored), &after))
        first = MAX(first, after);
    e->events = events_new((uint64_t)first);
    int len = snprintf(text, sizeof text, "%lld", (long long)first + EVENTS_PER_RUN);
    return store_meta_set(e->store, "events", (struct slice){text, (size_t)len}, err);
}

static bool recover(struct engine *e, struct err *err)
{
    struct recovery found = {0};
    turn_begin(&e->turn);
    e->careful_until_ns = UINT64_MAX; /* there is no turn after this one to be careful in */
    if (!store_begin(e->store, err))
        return false;
    if (!open_events(e, err) || !pools_open(e, err) ||
        !dispatch_recover(&e->dispatch, &e->turn, &found, err) || !batches_recover(e, err) ||
        !blobs_sweep(e, err) || !apply_changes(e, err) || !apply_telling_left(e, err)) {
        store_rollback(e->store);
        return false;
    }
    if (store_commit(e->store, err) != COMMIT_STORED || !dispatch_recovered(&e->dispatch, err))
        return false;
    if (found.lost + found.requeued > 0)
        log_event(e->parts.log, LOG_WARN, "recovered", LOG_INT("lost", found.lost),
                  LOG_INT("requeued", found.requeued));
    e->careful_until_ns = 0;
    e->has_chores = true;
    return queue_next_due(e->store, &e->next_due_us, err);
}

static bool watch_fd(int epoll_fd, int fd, struct err *err)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
        return err_sys(err, ERR_INTERNAL, "epoll_ctl");
    return true;
}

static bool watch_always(struct engine *e, int fd, struct err *err)
{
    return watch_fd(e->epoll_fd, fd, err) && watch_fd(e->calm_fd, fd, err);
}

static bool open_store(struct engine *e, struct err *err)
{
    const struct config *cfg = e->parts.cfg;
    struct store_config store_cfg = {
        .data_dir = cfg->data,
        .sync_full = cfg->store_sync == SYNC_FULL,
        .cache_bytes = cfg->store_cache,
        .reserve_bytes = cfg->store_reserve,
        .row_keep_us = cfg->job_row_keep_us,
        .max_queues = cfg->queue_max_queues,
        .log = e->parts.log,
    };
    return store_open(&store_cfg, &e->store, err);
}

/* A descriptor may be the last one of a gigabyte. */
static void close_memory(void *arg, int fd)
{
    struct engine *e = arg;
    unlinker_give_fd(e->unlinker, fd);
}

bool engine_open(const struct engine_parts *parts, struct engine **ret_engine, struct err *err)
{
    struct engine *e = must_alloc(sizeof *e);
    e->parts = *parts; /* the rest is zero, and much of it is never touched */
    e->epoll_fd = e->calm_fd = e->spool_fd = e->deliver_fd = e->inbox.event_fd = -1;
    e->exit_code = -1;
    e->started_us = clock_wall_us();
    e->rest.n_awake = &e->shared.n_awake;
    rest_worked(&e->rest, clock_mono_ns());
    e->waiters = waiters_new();
    random_bytes(&e->salt_state, sizeof e->salt_state);
    e->dispatch = (struct dispatch){.pool = parts->pool,
                                    .blobs = blob_cache_new(parts->cfg->blob_memory),
                                    .log = parts->log,
                                    .metrics = parts->metrics,
                                    .url = parts->url,
                                    .starts.fd = -1};
    blob_cache_close_by(e->dispatch.blobs, close_memory, e);
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    e->calm_fd = epoll_create1(EPOLL_CLOEXEC);
    e->spool_fd = open(parts->cfg->data, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (e->epoll_fd < 0 || e->calm_fd < 0 || e->spool_fd < 0) {
        (void)err_sys(err, ERR_INTERNAL, "open the engine");
        engine_close(e);
        return false;
    }
    bool ok = inbox_open(&e->inbox, err) && watch_fd(e->epoll_fd, pool_fd(parts->pool), err) &&
              watch_always(e, e->inbox.event_fd, err) && watch_always(e, parts->signal_fd, err) &&
              deliver_open(e, err) && unlinker_start(e->spool_fd, &e->unlinker, err) &&
              open_store(e, err);
    e->dispatch.store = e->store;
    if (!ok || !dispatch_open(&e->dispatch, parts->cfg->data, err) || !recover(e, err)) {
        engine_close(e);
        return false;
    }
    pools_committed(e);
    publish_stats(e);
    atomic_store(&e->shared.phase, PHASE_RUNNING);
    *ret_engine = e;
    return true;
}

int engine_run(struct engine *e)
{
    while (e->exit_code < 0) {
        engine_turn(e);
        if (e->exit_code < 0 && atomic_load(&e->shared.phase) == PHASE_DRAINING)
            drain_drive(e);
        if (e->zygote_gone && e->exit_code <= 0) {
            log_event(e->parts.log, LOG_ERROR, "the zygote died; stopping",
                      LOG_INT("exit", EXIT_ZYGOTE_DIED));
            e->exit_code = EXIT_ZYGOTE_DIED;
        }
    }
    drain_close_inbox(e);
    return e->exit_code;
}

void engine_close(struct engine *e)
{
    if (e == NULL)
        return;
    dispatch_close(&e->dispatch);
    unlinker_stop(e->unlinker);
    store_close(e->store);
    waiters_free(e->waiters);
    events_free(e->events);
    if (e->inbox.event_fd >= 0)
        inbox_close(&e->inbox);
    auto_close(&e->epoll_fd);
    auto_close(&e->calm_fd);
    auto_close(&e->spool_fd);
    auto_close(&e->deliver_fd);
    free(e);
}
