/* SPDX-License-Identifier: MIT */
#include "pool/worker_impl.h"

#include "pool/ends.h"
#include "pool/family.h"
#include "pool/frame.h"
#include "pool/mates.h"
#include "pool/nursery.h"
#include "pool/title.h"
#include "pool/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ARENA_MAX \
    ((size_t)16 << 20) /* pointers of 4096 arguments and names, and PATH candidates: far below */
#define TASK_OPEN_FILES 1024 /* soft limit; select(2) in old programs breaks beyond it */
#define OOM_SCORE "500"      /* the kernel takes a task before the server */
#define QUARANTINE_LOOK_MS 1000
#define QUARANTINE_KILL_US 1000
#define TURN_LOOK_NS UINT64_C(500000) /* between two looks whether the server is there */

static void warn(const struct worker *w, const char *event)
{
    log_event(w->cfg->log, LOG_WARN, event, LOG_INT("slot", w->slot),
              LOG_STR("error", strerrordesc_np(errno)));
}

/* For the server, which tells those whose jobs wait for this worker. */
static void tell_why(const struct worker *w, const char *why, const char *detail)
{
    struct slot_head *head = slots_head(&w->cfg->slots, w->slot);
    (void)snprintf(head->why, sizeof(head->why), "%s: %s", why, detail);
}

/* Server or zygote died. No task is running, but runners may be there. */
static NORETURN void leave(struct worker *w)
{
    native_turn_over(&w->native);
    runners_end(&w->runners);
    _exit(0);
}

static NORETURN void die(const struct worker *w, const char *event)
{
    tell_why(w, event, strerrordesc_np(errno));
    log_event(w->cfg->log, LOG_ERROR, event, LOG_INT("slot", w->slot),
              LOG_STR("error", strerrordesc_np(errno)));
    _exit(70);
}

static NORETURN void fail_start(const struct worker *w, const struct log *log,
                                const struct err *err)
{
    tell_why(w, "worker cannot start", err->detail);
    log_error(log, "worker cannot start", err);
    _exit(70);
}

static int signal_descriptor(int signal)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* What tasks inherit is set here once instead of in each child. */
static void set_inherited(struct worker *w)
{
    struct rlimit files;
    const struct rlimit none = {0, 0};

    /* Ignored signals would stay ignored across exec. */
    for (int signal = 1; signal < NSIG; signal++)
        (void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    (void)umask(077);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        die(w, "cannot set no_new_privs");
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        warn(w, "core dumps of tasks stay enabled");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > TASK_OPEN_FILES) {
        files.rlim_cur = TASK_OPEN_FILES;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, OOM_SCORE, sizeof(OOM_SCORE) - 1) < 0)
        warn(w, "tasks are not preferred when memory runs out");
}

static void init(struct worker *w, const struct worker_config *cfg, uint32_t slot, int sock)
{
    struct err err;

    *w = (struct worker){.cfg = cfg,
                         .slot = slot,
                         .progress = PROGRESS_PIPE_NONE,
                         .out = {TASK_PIPE_NONE, TASK_PIPE_NONE}};
    set_inherited(w);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        die(w, "cannot become a subreaper");
    w->io = (struct drive_io){
        .sock = sock,
        .term_fd = signal_descriptor(SIGTERM),
        .child_fd = signal_descriptor(SIGCHLD),
        .null_fd = open("/dev/null", O_RDWR | O_CLOEXEC),
        .data_fd = cfg->data_fd,
        .kill_deadline_us = cfg->kill_deadline_us,
        .launcher = &w->launcher,
        .progress = &w->progress,
        .out = w->out,
    };
    if (w->io.term_fd < 0 || w->io.child_fd < 0 || w->io.null_fd < 0)
        die(w, "cannot open descriptors of the worker");
    arena_init(&w->arena, ARENA_MAX);
    w->native = (struct native){.log = *cfg->log,
                                .sock = sock,
                                .data_fd = cfg->data_fd,
                                .child_fd = w->io.child_fd,
                                .kill_deadline_us = cfg->kill_deadline_us};
    if (!native_open(&w->native, cfg->functions, &err))
        fail_start(w, &w->native.log, &err);
    w->own = *cfg;
    w->own.log = &w->native.log;
    w->cfg = cfg = &w->own;
    w->runners = (struct runners){.io = &w->io,
                                  .log = cfg->log,
                                  .functions = cfg->functions,
                                  .path = cfg->path,
                                  .marker = w->own.marker};
    if (!proc_launcher_init(&w->launcher, &err) ||
        !workdir_init(&w->workdir, cfg->data_fd, slot, &err))
        fail_start(w, cfg->log, &err);
    if (!runners_open(&w->runners, &slots_head(&cfg->slots, slot)->program, &err)) {
        runners_end(&w->runners);
        fail_start(w, cfg->log, &err);
    }
}

/* The input of a task: the bank itself, or a mapped descriptor. */
struct input {
    struct slice bytes;
    void *mapped;
    size_t mapped_size;
};

static bool open_input(const struct bank *bank, int fd, struct input *ret)
{
    struct stat st;

    *ret = (struct input){.bytes = {bank->in, bank->in_bytes}};
    if (fd < 0)
        return bank->in_bytes > 0 && bank->in_bytes <= BANK_IN_SIZE;
    if (fstat(fd, &st) != 0 || st.st_size <= 0)
        return false;
    ret->mapped_size = (size_t)st.st_size;
    ret->mapped = mmap(NULL, ret->mapped_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (ret->mapped == MAP_FAILED) {
        ret->mapped = NULL;
        return false;
    }
    ret->bytes = (struct slice){ret->mapped, ret->mapped_size};
    return true;
}

static void close_input(struct input *input)
{
    if (input->mapped != NULL)
        (void)munmap(input->mapped, input->mapped_size);
}

static void send_or_die(struct worker *w, const struct frame *frame, const struct frame_fds *fds)
{
    enum frame_status status;
    while ((status = frame_send_fds(w->io.sock, frame, fds)) == FRAME_AGAIN) {
        struct pollfd room = {.fd = w->io.sock, .events = POLLOUT};
        (void)poll(&room, 1, -1);
    }
    if (status != FRAME_OK)
        leave(w);
}

static void send_ready(struct worker *w)
{
    const struct frame ready = {.type = FRAME_READY, .slot = w->slot, .arg = getpid()};
    /* The server holds what native calls write to as well: it outlives us there. */
    struct frame_fds fds = frame_no_fds();
    fds.fd[0] = w->native.out_fd[0];
    fds.fd[1] = w->native.out_fd[1];
    send_or_die(w, &ready, &fds);
}

static void tell_end(struct worker *w, const struct slot_end *end)
{
    const struct frame done = {.type = FRAME_DONE, .slot = w->slot};
    const struct frame_fds none = frame_no_fds();
    if (ends_tell(&w->cfg->slots, w->slot, end) || end->taken == 0)
        send_or_die(w, &done, &none);
}

/* Something of the last task cannot be killed (uninterruptible sleep). Nothing new starts here
 * until it is gone. */
static void sit_in_quarantine(struct worker *w)
{
    struct tree rest = {.has_threads = true, .nursery = nursery_thread(w->runners.nursery)};
    struct pollfd fds[2] = {{.fd = w->io.sock, .events = POLLIN},
                            {.fd = w->io.term_fd, .events = POLLIN}};
    struct frame frame;
    int fd;

    while (tree_end(&rest, QUARANTINE_KILL_US, w->io.child_fd) != 0 ||
           runners_stuck(&w->runners) != 0) {
        (void)poll(fds, 2, QUARANTINE_LOOK_MS);
        if (fds[1].revents != 0)
            leave(w);
        if (fds[0].revents == 0)
            continue;
        const enum frame_status status = frame_recv(w->io.sock, &frame, &fd);
        if (fd >= 0)
            (void)close(fd);
        if (status == FRAME_EOF || status == FRAME_ERROR)
            leave(w); /* what is left falls to the zygote */
    }
    send_ready(w);
}

/* A function hears nothing, so a turn of many of them looks in between: false when server or zygote
 * has died. */
static bool is_wanted_still(const struct worker *w)
{
    struct pollfd fds[2] = {{.fd = w->io.sock}, {.fd = w->io.term_fd, .events = POLLIN}};
    return poll(fds, 2, 0) <= 0 || (fds[0].revents == 0 && fds[1].revents == 0);
}

/* Ends that come one after another are told together; what is not told is found by the server
 * (pool_mates.c). */
static void tell_over(const struct worker *w, struct bank *bank, const struct frame *over,
                      uint64_t now_ns)
{
    if (now_ns - atomic_load_explicit(&bank->told_ns, memory_order_relaxed) < MATES_TELL_NS)
        return;
    if (frame_send(w->io.sock, over, -1) == FRAME_OK)
        atomic_store(&bank->told_ns, now_ns);
}

/* The tasks behind the bank's own, which has ended. False: server or zygote died. */
static bool run_mates(struct worker *w, struct bank *bank, const struct frame *over)
{
    struct mates_log log = {0};
    struct frame_fds none = frame_no_fds();
    const uint32_t place = w->slot * SLOT_BANKS + over->bank;
    uint64_t looked_ns = clock_mono_ns();
    uint32_t next;

    while ((next = mates_take(bank, &log)) > 0) {
        const struct bank_mate *mate = &bank->mates[next - 1];
        if (!notes_change(&w->notes, bank, place, mate->job_no)) {
            atomic_store(&bank->turns[next - 1], MATE_WAITS);
            return true;
        }
        mates_turn(bank, &log, next);
        const uint64_t now_ns = clock_mono_ns();
        tell_over(w, bank, over, now_ns);
        if (now_ns - looked_ns >= TURN_LOOK_NS && !is_wanted_still(w))
            return false;
        looked_ns = now_ns - looked_ns >= TURN_LOOK_NS ? now_ns : looked_ns;
        if (FAULT("worker-between-mates"))
            _exit(70);
        workdir_recycle(&w->workdir);
        const struct slice input = {bank->in + MIN(mate->at, BANK_IN_SIZE),
                                    MIN(mate->bytes, BANK_IN_SIZE - mate->at)};
        if (!worker_run_task(w, bank, input, &none))
            return false;
        arena_clear(&w->arena);
    }
    return true;
}

/* The oldest offer that is still there; NULL: none. */
static struct slot_offer *oldest_offer(struct slot_head *head)
{
    struct slot_offer *oldest = NULL;
    for (struct slot_offer *offer = head->offers; offer < &head->offers[SLOT_BANKS]; offer++)
        if (atomic_load_explicit(&offer->state, memory_order_acquire) == BANK_OFFERED &&
            (oldest == NULL || offer->turn < oldest->turn))
            oldest = offer;
    return oldest;
}

/* Returns 1 + the bank, 0: nothing is offered. */
static int32_t take_offer(struct worker *w)
{
    struct slot_head *head = slots_head(&w->cfg->slots, w->slot);
    struct slot_offer *offer;
    while ((offer = oldest_offer(head)) != NULL) {
        uint32_t expected = BANK_OFFERED;
        if (atomic_compare_exchange_strong(&offer->state, &expected, BANK_TAKEN))
            return (int32_t)(offer - head->offers) + 1;
    }
    return 0;
}

/* Runs the task of one bank, with what came beside its START. Returns as take_offer does. */
static int32_t serve(struct worker *w, uint32_t number, struct frame_fds *fds)
{
    struct input input = {0};
    struct bank *bank = slots_bank(&w->cfg->slots, w->slot, number);
    const struct frame over = {.type = FRAME_OVER,
                               .slot = w->slot,
                               .bank = number,
                               .job_no = bank->job_no,
                               .attempt = bank->attempt};
    bool is_wanted = true;
    if (bank->n_mates > 0)
        atomic_store(&bank->told_ns, clock_mono_ns());
    if (!notes_write(&w->notes, w->cfg, bank, w->slot * SLOT_BANKS + number))
        drive_refuse(bank, TASK_START_FAILED, EIO, "cannot note the start of the task");
    else if (!open_input(bank, fds->fd[START_INPUT], &input))
        drive_refuse(bank, TASK_START_FAILED, ENOMEM, "cannot read the task's input");
    else
        is_wanted = worker_run_task(w, bank, input.bytes, fds);
    close_input(&input);
    frame_fds_close(fds); /* before DONE: an end of a pipe that stays open keeps others waiting */
    arena_clear(&w->arena);
    if (is_wanted && bank->n_mates > 0)
        is_wanted = run_mates(w, bank, &over);
    if (!is_wanted)
        leave(w);
    if (bank->tells_resident != 0) {
        native_turn_over(&w->native);
        bank->resident_bytes = family_resident_bytes(getpid());
    }
    if (FAULT("worker-before-done"))
        _exit(70);
    const bool is_unkillable = bank->report.end == TASK_UNKILLABLE;
    const bool has_given_up = w->runners.why[0] != '\0';
    if (has_given_up)
        tell_why(w, "worker cannot go on", w->runners.why);
    const struct slot_end end = {.bank = number,
                                 .job_no = over.job_no,
                                 .attempt = bank->attempt,
                                 .taken = is_unkillable || has_given_up ? 0 : take_offer(w)};
    if (end.taken == 0)
        native_turn_over(&w->native);
    tell_end(w, &end);
    /* From here on the bank is the server's. */
    if (is_unkillable)
        sit_in_quarantine(w);
    workdir_recycle(&w->workdir);
    return end.taken;
}

static void start(struct worker *w, const struct frame *order, struct frame_fds *fds)
{
    if (order->bank >= SLOT_BANKS)
        _exit(70);
    int32_t next = serve(w, order->bank, fds);
    while (next > 0)
        next = serve(w, (uint32_t)next - 1, fds); /* all closed: an offer brings none */
}

static void hear(struct worker *w)
{
    struct frame frame;
    struct frame_fds fds;
    const enum frame_status status = frame_recv_fds(w->io.sock, &frame, &fds);

    if (status == FRAME_EOF || status == FRAME_ERROR)
        leave(w);
    /* A STOP or WATCH that came after our DONE is for a task that is over. */
    if (status == FRAME_OK && frame.type == FRAME_START)
        start(w, &frame, &fds);
    frame_fds_close(&fds);
}

void worker_main(const struct worker_config *cfg, uint32_t slot, int sock)
{
    struct worker worker;
    struct worker *w = &worker;
    const pid_t zygote = getppid();
    char title[32];

    /* SIGTERM, not SIGKILL: our own death would leave the tree without its reaper. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != zygote)
        _exit(0);
    (void)snprintf(title, sizeof(title), "ganger: worker %" PRIu32, slot);
    title_set(title, "ganger: worker");
    init(w, cfg, slot, sock);
    send_ready(w);
    for (;;) {
        struct pollfd fds[2 + RUNNERS_MAX_FDS] = {{.fd = w->io.sock, .events = POLLIN},
                                                  {.fd = w->io.term_fd, .events = POLLIN}};
        const size_t n = 2 + runners_watch(&w->runners, fds + 2);
        if (poll(fds, n, runners_wait_ms(&w->runners)) < 0)
            continue;
        if (fds[1].revents != 0)
            leave(w);
        if (fds[0].revents != 0)
            hear(w);
        else
            runners_attend(&w->runners);
    }
}
