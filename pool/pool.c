/* SPDX-License-Identifier: MIT */
#include "pool/ends.h"
#include "pool/native.h"
#include "pool/pool_state.h"
#include "pool/sweep.h"
#include "pool/tree.h"
#include "pool/workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ZYGOTE_ANSWER_MS 5000
#define CLOSE_MS 5000
#define SWEEP_MAX_US INT64_C(5000000)
#define DEFAULT_MARKER "GANGER_RUN"

static bool make_marker(struct pool *pool, const struct pool_config *cfg, struct err *err)
{
    char mark[SWEEP_MARK_SIZE];
    char prefix[MARKER_MAX + 1];
    uint32_t left = 0;
    const char *name = cfg->run_marker_env == NULL ? DEFAULT_MARKER : cfg->run_marker_env;

    if (!sweep_mark(pool->data_fd, mark, err))
        return false;
    const int len = snprintf(pool->worker.marker, MARKER_MAX, "%s=%s", name, mark);
    if (len >= MARKER_MAX)
        return err_set(err, ERR_INVALID, "the name of the marker is too long");
    (void)snprintf(prefix, sizeof(prefix), "%s.", pool->worker.marker);
    const uint32_t killed = sweep_marked(prefix, SWEEP_MAX_US, &left);
    if (killed > 0)
        log_event(&pool->log, LOG_WARN, "ended processes of an earlier run",
                  LOG_INT("processes", killed), LOG_INT("left", left));
    return true;
}

static bool open_data(struct pool *pool, const struct pool_config *cfg, struct err *err)
{
    pool->data_fd = open(cfg->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pool->data_fd < 0)
        return err_sys(err, ERR_STORAGE, "cannot open the data directory %s", cfg->data_dir);
    if ((mkdirat(pool->data_fd, "spool", 0700) != 0 && errno != EEXIST) ||
        (mkdirat(pool->data_fd, "work", 0700) != 0 && errno != EEXIST))
        return err_sys(err, ERR_STORAGE, "cannot make directories in %s", cfg->data_dir);
    if (!make_marker(pool, cfg, err))
        return false;
    workdir_sweep(pool->data_fd);
    return true;
}

/* What cannot be watched is read when a task has been killed, and may tell of an earlier one. */
static void watch_memory(struct pool *pool)
{
    struct epoll_event watch = {.events = EPOLLPRI | EPOLLET, .data.u32 = POOL_MEMORY};
    if (pool->oom.fd >= 0)
        (void)epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, pool->oom.fd, &watch);
}

static bool start_zygote(struct pool *pool, struct err *err)
{
    struct epoll_event watch = {.events = EPOLLIN, .data.u32 = POOL_CONTROL};

    /* What the zygote would leave behind if it were killed falls to us. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return err_sys(err, ERR_INTERNAL, "cannot become a subreaper");
    if (!zygote_start(&pool->worker, &pool->zygote_pid, &pool->control, err))
        return false;
    pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (pool->epoll_fd < 0 || epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, pool->control, &watch) != 0)
        return err_sys(err, ERR_INTERNAL, "cannot watch the zygote");
    watch_memory(pool);
    pool_do_due(pool, clock_mono_ns());
    struct pollfd answer = {.fd = pool->control, .events = POLLIN};
    if (pool->groups[0].n > 0 && poll(&answer, 1, ZYGOTE_ANSWER_MS) <= 0)
        return err_set(err, ERR_INTERNAL, "the zygote does not answer");
    return true;
}

static struct pool *new_pool(const struct pool_config *cfg)
{
    struct pool *pool = must_alloc(sizeof(*pool));

    pool->log = *cfg->log;
    pool->max_workers = MAX(cfg->max_workers, cfg->workers);
    pool->max_offers = FEW_OFFERS;
    pool->control = pool->epoll_fd = pool->data_fd = pool->oom.fd = -1;
    pool->seats = must_alloc(pool->max_workers * sizeof(*pool->seats));
    pool->banks = must_alloc((size_t)pool->max_workers * SLOT_BANKS * sizeof(*pool->banks));
    pool->pending_max = ((size_t)pool->max_workers + 1) * POOL_EVENTS_PER_FRAME;
    pool->pending = must_alloc(pool->pending_max * sizeof(*pool->pending));
    pool->path = must_alloc(strlen(cfg->path) + 1);
    memcpy(pool->path, cfg->path, strlen(cfg->path));
    for (uint32_t slot = 0; slot < pool->max_workers; slot++) {
        struct seat *seat = &pool->seats[slot];
        seat->sock = -1;
        seat->banks = &pool->banks[(size_t)slot * SLOT_BANKS];
        seat->restart_at_ns = UINT64_MAX;
        seat->facts.group = NO_GROUP;
        seat->group = NO_GROUP;
        seat->facts.last_status = -1;
        seat->kill_at_ns = seat->look_at_ns = UINT64_MAX;
        seat->output_fd[0] = seat->output_fd[1] = -1;
    }
    pool_set_rules(pool, 0,
                   &(struct pool_rules){.size = cfg->workers,
                                        .min = cfg->workers - MIN(cfg->on_demand, cfg->workers),
                                        .idle_ns = UINT64_MAX,
                                        .max_start_failures = UINT32_MAX});
    return pool;
}

bool pool_open(const struct pool_config *cfg, struct pool **ret_pool, struct err *err)
{
    PRE(cfg->workers > 0 && cfg->kill_deadline_us > 0);
    struct pool *pool = new_pool(cfg);

    if (!native_probe(cfg->functions, err) || !open_data(pool, cfg, err) ||
        !slots_map(&pool->worker.slots, pool->max_workers, err)) {
        pool_close(pool);
        return false;
    }
    pool->worker.data_fd = pool->data_fd;
    pool->worker.kill_deadline_us = cfg->kill_deadline_us;
    pool->worker.path = pool->path;
    pool->worker.starts_file = cfg->starts_file;
    pool->worker.log = &pool->log;
    pool->worker.functions = cfg->functions;
    pool->worker.blob_max_size = cfg->blob_max_size;
    oom_watch_open(&pool->oom, NULL);
    if (!start_zygote(pool, err)) {
        pool_close(pool);
        return false;
    }
    *ret_pool = pool;
    return true;
}

int pool_fd(const struct pool *pool)
{
    return pool->epoll_fd;
}

uint64_t pool_next_deadline_ns(const struct pool *pool)
{
    uint64_t at_ns = UINT64_MAX;

    if (pool->n_pending > 0)
        return 0;
    if (pool->has_idle_rule)
        at_ns = pool_idle_deadline_ns(pool);
    for (uint32_t slot = 0; slot < pool_slots(pool) && pool->n_due > 0; slot++) {
        const struct seat *seat = &pool->seats[slot];
        if (pool->control >= 0)
            at_ns = MIN(at_ns, MIN(seat->restart_at_ns, seat->kill_at_ns));
        at_ns = MIN(at_ns, seat->look_at_ns);
        if (seat->has_waiting[WAITING_STOP] || seat->has_waiting[WAITING_REACH] ||
            seat->has_waiting_kill)
            at_ns = MIN(at_ns, clock_mono_ns() + POOL_RETRY_NS);
    }
    return at_ns;
}

void pool_push(struct pool *pool, struct pool_event event)
{
    POST(pool->n_pending < pool->pending_max);
    pool->pending[(pool->pending_head + pool->n_pending) % pool->pending_max] = event;
    pool->n_pending++;
}

bool pool_sleeps(struct pool *pool)
{
    return ends_sleep(&pool->worker.slots);
}

void pool_wakes(struct pool *pool)
{
    ends_wake(&pool->worker.slots);
}

size_t pool_collect(struct pool *pool, struct pool_event *events, size_t max)
{
    size_t n = 0;

    pool_read_ready(pool);
    if (pool->n_due > 0 || pool->has_idle_rule)
        pool_do_due(pool, clock_mono_ns());
    for (; n < max && pool->n_pending > 0; n++) {
        events[n] = pool->pending[pool->pending_head];
        if (events[n].type == POOL_PART)
            pool_bank(pool, events[n].place)->has_part = false;
        pool->pending_head = (pool->pending_head + 1) % pool->pending_max;
        pool->n_pending--;
    }
    if (pool->n_pending == 0) /* most of a long ring is never touched */
        pool->pending_head = 0;
    return n;
}

void pool_outcome(const struct pool *pool, struct place place, struct task_outcome *ret)
{
    const struct seat_bank *bank = pool_bank(pool, place);
    PRE(bank->owner == BANK_HELD);
    *ret = bank->outcome;
}

void pool_release(struct pool *pool, struct place place)
{
    struct seat_bank *bank = pool_bank(pool, place);
    PRE(bank->owner == BANK_HELD || bank->owner == BANK_RETURNED);
    bank->owner = BANK_FREE;
}

bool pool_idle_bank(const struct pool *pool, uint32_t slot, struct place *ret)
{
    PRE(slot < pool->max_workers);
    const struct seat *seat = &pool->seats[slot];

    if (seat->state != SEAT_IDLE || seat->leave != LEAVE_NOT)
        return false;
    for (uint32_t bank = 0; bank < SLOT_BANKS; bank++) {
        if (seat->banks[bank].owner != BANK_FREE)
            continue;
        *ret = (struct place){slot, bank};
        return true;
    }
    return false;
}

bool pool_find_idle(const struct pool *pool, struct place *ret)
{
    for (uint32_t slot = 0; slot < pool_slots(pool); slot++)
        if (pool->seats[slot].group == 0 && pool_idle_bank(pool, slot, ret))
            return true;
    return false;
}

bool pool_is_with_worker(const struct pool *pool, struct place place)
{
    const struct slot_offer *offer = slots_offer(&pool->worker.slots, place.slot, place.bank);
    const enum bank_owner owner = pool_bank(pool, place)->owner;

    return owner == BANK_RUNNING ||
           (owner == BANK_WAITING && atomic_load(&offer->state) == BANK_TAKEN);
}

/* The mate, or with 0 the bank's own task; the frame names its job. */
static void stop_mate(struct pool *pool, struct place place, uint32_t mate,
                      const struct frame *stop)
{
    struct frame frame = *stop;
    frame.slot = place.slot;
    frame.bank = place.bank;
    frame.attempt = pool_bank(pool, place)->attempt;
    if (pool_bank(pool, place)->is_native)
        pool_call_stop(pool, place, mate, &frame);
    else
        pool_send_frame(pool, &pool->seats[place.slot], WAITING_STOP, &frame);
}

void pool_stop(struct pool *pool, struct place place, int signal, int64_t grace_us)
{
    const struct seat_bank *bank = pool_bank(pool, place);
    const struct frame stop = {
        .type = FRAME_STOP, .job_no = bank->now_no, .arg = signal, .arg64 = grace_us};
    if (pool_is_with_worker(pool, place))
        stop_mate(pool, place, bank->now_mate, &stop);
}

void pool_stop_turn(struct pool *pool, struct place place, const struct pool_stop_how *how)
{
    const struct seat_bank *mine = pool_bank(pool, place);
    const struct bank *bank = slots_bank(&pool->worker.slots, place.slot, place.bank);
    struct frame stop = {
        .type = FRAME_STOP, .job_no = mine->job_no, .arg = how->signal, .arg64 = how->grace_us};
    if (!pool_is_with_worker(pool, place))
        return;
    /* The worker may be further than we have heard, and takes the next one before it says that the
     * one before has ended. Nothing is taken any more, so the last one that was is meant. */
    uint32_t mate = mine->n_mates;
    while (mate > 0 && atomic_load(&bank->turns[mate - 1]) != MATE_TAKEN)
        mate--;
    if (mate > 0)
        stop.job_no = bank->mates[mate - 1].job_no;
    stop_mate(pool, place, mate, &stop);
}

void pool_watch(struct pool *pool, struct place place)
{
    const struct seat_bank *held = pool_bank(pool, place);
    struct bank *bank = slots_bank(&pool->worker.slots, place.slot, place.bank);
    uint32_t expected = 0;

    if (!pool_is_with_worker(pool, place) ||
        !atomic_compare_exchange_strong(&bank->watched, &expected, 1))
        return;
    /* The worker has gone on to another task, of which we have not heard: it would not take the
     * frame for its own, and nobody could ask again. */
    if (atomic_load(&bank->live_job_no) != held->now_no) {
        atomic_store(&bank->watched, 0);
        return;
    }
    const struct frame frame = {.type = FRAME_WATCH,
                                .slot = place.slot,
                                .bank = place.bank,
                                .job_no = held->now_no,
                                .attempt = held->attempt};
    /* When it does not fit, the next caller asks again. */
    if (frame_send(pool->seats[place.slot].sock, &frame, -1) == FRAME_AGAIN)
        atomic_store(&bank->watched, 0);
}

/* The bank in which the job runs; NULL: none of this slot. */
static struct bank *live_bank(const struct pool *pool, uint32_t slot, int64_t job_no)
{
    if (slot >= pool->max_workers || job_no <= 0)
        return NULL;
    const uint32_t n = atomic_load_explicit(&pool->seats[slot].facts.n_banks, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++) {
        struct bank *bank = slots_bank(&pool->worker.slots, slot, i);
        if (atomic_load_explicit(&bank->live_job_no, memory_order_acquire) == job_no)
            return bank;
    }
    return NULL;
}

bool pool_live(const struct pool *pool, uint32_t slot, int64_t job_no, struct pool_live *ret)
{
    const struct bank *bank = live_bank(pool, slot, job_no);
    if (bank == NULL)
        return false;
    struct pool_live live = {
        .worker_pid = atomic_load(&pool->seats[slot].facts.pid),
        .job_pid = atomic_load(&bank->job_pid),
        .bytes = {atomic_load(&bank->live_bytes[0]), atomic_load(&bank->live_bytes[1]),
                  atomic_load(&bank->live_bytes[2])},
        .watched = atomic_load(&bank->watched) == 2,
        .suspended = atomic_load(&bank->suspended) != 0,
        .is_call = atomic_load(&bank->call) != CALL_NONE,
    };
    progress_get(bank, &live.progress);
    /* Still the same job: then what was read between is its own. */
    if (atomic_load(&bank->live_job_no) != job_no)
        return false;
    *ret = live;
    return true;
}

bool pool_listen(const struct pool *pool, uint32_t slot, int64_t job_no)
{
    struct bank *bank = live_bank(pool, slot, job_no);
    if (bank == NULL)
        return false;
    /* When the bank has gone to another job meanwhile, that one tells of its progress for nothing,
     * until pool_hush. */
    atomic_store(&bank->listened, 1);
    return true;
}

void pool_hush(const struct pool *pool, struct place place)
{
    atomic_store(&slots_bank(&pool->worker.slots, place.slot, place.bank)->listened, 0);
}

uint32_t pool_max(const struct pool *pool)
{
    return pool->max_workers;
}

uint32_t pool_slots(const struct pool *pool)
{
    return atomic_load_explicit(&pool->top, memory_order_relaxed);
}

bool pool_worker_info(const struct pool *pool, uint32_t slot, struct pool_worker *ret)
{
    if (slot >= pool_slots(pool))
        return false;
    const struct seat *seat = &pool->seats[slot];
    const int64_t job_no = atomic_load(&seat->facts.job_no);
    const uint32_t group = atomic_load(&seat->facts.group);
    if (group == NO_GROUP)
        return false;

    *ret = (struct pool_worker){
        .pid = atomic_load(&seat->facts.pid),
        .alive = atomic_load(&seat->facts.is_alive),
        .busy = job_no != 0,
        .last_status = atomic_load(&seat->facts.last_status),
        .started_us = atomic_load(&seat->facts.started_us),
        .tasks_done = atomic_load(&seat->facts.tasks_done),
        .job_no = job_no,
        .group = group,
        .is_ready = atomic_load(&seat->facts.is_ready),
    };
    return true;
}

static void end_zygote(struct pool *pool)
{
    const struct frame quit = {.type = FRAME_QUIT};
    AUTO_CLOSE int pidfd = pidfd_open(pool->zygote_pid, 0);
    struct pollfd over = {.fd = pidfd, .events = POLLIN};
    int status = 0;

    if (pool->control >= 0) {
        (void)frame_send(pool->control, &quit, -1);
        (void)close(steal_fd(&pool->control));
    }
    const bool is_over = pidfd >= 0 && poll(&over, 1, CLOSE_MS) > 0;
    if (!is_over)
        (void)kill(pool->zygote_pid, SIGKILL);
    while (waitpid(pool->zygote_pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (is_over && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return; /* it has seen ECHILD */
    /* It was killed, so its workers and whatever they could not end are our children now. */
    struct tree rest = {0};
    const uint32_t left = tree_end(&rest, SWEEP_MAX_US, -1);
    log_event(&pool->log, LOG_WARN, "reaped what the zygote left",
              LOG_INT("processes", rest.reaped), LOG_INT("left", left));
}

void pool_close(struct pool *pool)
{
    if (pool == NULL)
        return;
    if (pool->zygote_pid > 0)
        end_zygote(pool);
    for (uint32_t slot = 0; slot < pool->max_workers; slot++) {
        struct seat *seat = &pool->seats[slot];
        if (seat->sock >= 0)
            (void)close(seat->sock);
        pool_close_output(seat);
    }
    if (pool->control >= 0)
        (void)close(pool->control);
    if (pool->epoll_fd >= 0)
        (void)close(pool->epoll_fd);
    if (pool->data_fd >= 0)
        (void)close(pool->data_fd);
    oom_watch_close(&pool->oom);
    slots_unmap(&pool->worker.slots);
    free(pool->seats);
    free(pool->banks);
    free(pool->pending);
    free(pool->path);
    free(pool);
}
