/* SPDX-License-Identifier: MIT */
#include "pool/native.h"

#include "pool/drive.h"
#include "pool/native_call.h"
#include "pool/oom.h"
#include "pool/spool.h"
#include "pool/tree.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NEVER UINT64_MAX
/* When calls follow each other, the timer of a long timeout is set for so much later than it is
 * due, and serves all calls that are due until then: setting it costs more than a short call, and
 * no timeout may come early. It is never left to a call that it might hit for another one's time.
 */
#define ARMED_LATE_NS UINT64_C(10000000)
#define ARMED_LEFT_NS UINT64_C(1000000000)

struct native_symbol {
    const char *name;
    ganger_function function;
};

/* ------------------------------------------------------------------------------------------------
 * loading */

bool native_has_any(const struct function_list *functions)
{
    for (uint32_t i = 0; functions != NULL && i < functions->n; i++)
        if (functions->items[i].kind == FUNCTION_NATIVE)
            return true;
    return false;
}

static bool refuse(const struct function *f, const char *what, struct err *err)
{
    const char *why = dlerror();
    return err_set(err, ERR_INVALID, "line %u: the function %s: %s: %.150s", f->line, f->name, what,
                   why == NULL ? f->module : why);
}

static bool load_one(const struct function *f, struct native_symbol *ret, struct err *err)
{
    void *module = dlopen(f->module, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL)
        return refuse(f, "module: cannot be loaded", err);
    (void)dlerror();
    const uint32_t *abi = dlsym(module, "ganger_plugin_abi");
    if (abi == NULL)
        return refuse(f, "module: does not say GANGER_PLUGIN", err);
    if (*abi != GANGER_PLUGIN_ABI)
        return err_set(err, ERR_INVALID,
                       "line %u: the function %s: module: was built for version %u of the plug-in "
                       "interface, this service has %d",
                       f->line, f->name, *abi, GANGER_PLUGIN_ABI);
    void *symbol = dlsym(module, f->symbol == NULL ? f->name : f->symbol);
    if (symbol == NULL)
        return refuse(f, "symbol: is not in its module", err);
    ret->name = f->name;
    memcpy(&ret->function, &symbol, sizeof(symbol)); /* POSIX allows it, ISO C has no cast for it */
    return true;
}

static bool load_next(const struct function *f, struct native *n, struct err *err)
{
    if (f->kind != FUNCTION_NATIVE)
        return true;
    if (!load_one(f, &n->symbols[n->n], err))
        return false;
    n->n++;
    return true;
}

static bool load_all(const struct function_list *functions, struct native *n, struct err *err)
{
    n->symbols = must_alloc(functions->n * sizeof(*n->symbols));
    for (uint32_t i = 0; i < functions->n; i++)
        if (!load_next(&functions->items[i], n, err))
            return false;
    return true;
}

/* The constructors of a module run here first: what they do to a process, they do to this one. Says
 * a byte before each function, so that one that ends the process is known, and at last what is
 * wrong, or a full stop. */
static NORETURN void probe_child(const struct function_list *functions, int to)
{
    struct native n = {0};
    struct err err = {0};
    bool is_fine = true, is_told = true;
    n.symbols = must_alloc(functions->n * sizeof(*n.symbols));
    for (uint32_t i = 0; is_fine && is_told && i < functions->n; i++) {
        is_told = write(to, "\n", 1) == 1;
        is_fine = load_next(&functions->items[i], &n, &err);
    }
    const char *last = is_fine ? "." : err.detail;
    is_told = is_told && write(to, last, strlen(last)) > 0;
    _exit(is_told ? 0 : 70);
}

/* What the child has said, terminated. */
static void hear_probe(int from, char *text, size_t size)
{
    size_t len = 0;
    for (;;) {
        const ssize_t n = read(from, text + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
}

bool native_probe(const struct function_list *functions, struct err *err)
{
    int ends[2];
    char text[MAX_FUNCTIONS + sizeof(err->detail)] = "";

    if (!native_has_any(functions))
        return true;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(err, ERR_INTERNAL, "cannot make a pipe");
    AUTO_CLOSE int from = ends[0];
    AUTO_CLOSE int to = ends[1];
    const pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, ERR_INTERNAL, "cannot fork");
    if (pid == 0)
        probe_child(functions, to);
    (void)close(steal_fd(&to));
    hear_probe(from, text, sizeof(text));
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    const size_t tried = strspn(text, "\n");
    if (text[tried] == '\0' && tried > 0) {
        const struct function *f = &functions->items[tried - 1];
        return err_set(err, ERR_INVALID,
                       "line %u: the function %s: module: ends the process that loads it: %.120s",
                       f->line, f->name, f->module);
    }
    return text[tried] == '.' || err_set(err, ERR_INVALID, "%s", text + tried);
}

/* Descriptors 1 and 2 belong to the functions from here on; the log goes on elsewhere. */
static bool take_streams(struct native *n, struct err *err)
{
    if (n->log.fd == STDERR_FILENO)
        n->log.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    for (int stream = 0; stream < 2; stream++) {
        n->out_fd[stream] = memfd_create("ganger-function-output", MFD_CLOEXEC);
        if (n->out_fd[stream] < 0 || dup2(n->out_fd[stream], stream + 1) < 0)
            return err_sys(err, ERR_INTERNAL, "cannot make the output of functions");
    }
    return true;
}

bool native_open(struct native *n, const struct function_list *functions, struct err *err)
{
    struct sigevent kills = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};

    n->out_fd[0] = n->out_fd[1] = -1;
    if (!native_has_any(functions))
        return true;
    if (!load_all(functions, n, err) || !take_streams(n, err))
        return false;
    if (timer_create(CLOCK_MONOTONIC, &kills, &n->timer) != 0)
        return err_sys(err, ERR_INTERNAL, "cannot make the timer of functions");
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * one call */

static ganger_function find(const struct native *n, struct slice name)
{
    for (uint32_t i = 0; i < n->n; i++)
        if (slice_is(name, n->symbols[i].name))
            return n->symbols[i].function;
    return NULL;
}

/* What a call cannot have, since it is no process of its own. */
static bool asks_too_much(const struct task *task)
{
    return task->n_env > 0 || task->cwd.ptr != NULL || task->n_files > 0 ||
           task->limit_cpu_us != 0 || task->limit_file_size != 0 || task->limit_processes != 0 ||
           task->limit_open_files != 0;
}

static void disarm_now(struct native *n)
{
    const struct itimerspec never = {0};
    if (n->armed_at_ns != 0)
        (void)timer_settime(n->timer, 0, &never, NULL);
    n->armed_at_ns = 0;
}

static void die_with_zygote(struct native *n, bool does)
{
    if (n->dies_with_zygote != does)
        (void)prctl(PR_SET_PDEATHSIG, does ? SIGKILL : SIGTERM);
    n->dies_with_zygote = does;
}

void native_turn_over(struct native *n)
{
    disarm_now(n);
    n->goes_on = false;
}

void native_make_way(struct native *n)
{
    native_turn_over(n);
    die_with_zygote(n, false);
}

/* False: the deadline has passed. */
static bool arm(struct native *n, struct bank *bank, const struct task *task)
{
    const uint64_t now_ns = clock_mono_ns();
    uint64_t at_ns = task_timeout_at(task, now_ns);
    int32_t end = TASK_TIMEOUT;

    if (task->deadline_us > 0) {
        const int64_t left_us = task->deadline_us - clock_wall_us();
        if (left_us <= 0)
            return false;
        if ((uint64_t)left_us < (at_ns - now_ns) / 1000) {
            at_ns = now_ns + (uint64_t)left_us * 1000;
            end = TASK_DEADLINE;
        }
    }
    const bool is_set = n->armed_at_ns >= at_ns && n->armed_at_ns - at_ns <= ARMED_LATE_NS;
    if ((bank->n_mates > 0 || n->goes_on) && at_ns - now_ns > ARMED_LEFT_NS &&
        at_ns < NEVER - ARMED_LATE_NS)
        at_ns += ARMED_LATE_NS;
    atomic_store(&bank->call_kill_at_ns, is_set ? n->armed_at_ns : at_ns);
    atomic_store(&bank->call_kill_end, end);
    if (is_set)
        return true;
    if (at_ns == NEVER) {
        disarm_now(n);
        return true;
    }
    n->armed_at_ns = at_ns;
    const uint64_t left_ns = at_ns - now_ns;
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(left_ns / 1000000000),
                                               .tv_nsec = (long)(left_ns % 1000000000)}};
    return timer_settime(n->timer, 0, &at, NULL) == 0;
}

/* The call has returned. What takes longer than a moment after it calls disarm_now first. */
static void disarm(struct native *n)
{
    if (n->armed_at_ns < clock_mono_ns() + ARMED_LEFT_NS)
        disarm_now(n);
}

/* limits.memory of a call: so much more than the worker has now. The highest mark of the resident
 * memory is forgotten, so that the one at a death is of this call. */
static void limit_memory(struct bank *bank, const struct task *task, struct rlimit *ret_before)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char text[64] = "", *end;
    struct rlimit limit;

    atomic_store(&bank->call_full_rss, 0);
    if (task->limit_memory == 0 || getrlimit(RLIMIT_AS, ret_before) != 0)
        return;
    AUTO_CLOSE int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return;
    const rlim_t size = strtoul(text, &end, 10) * page;
    const uint64_t resident = strtoul(end, NULL, 10) * page;
    limit = *ret_before;
    limit.rlim_cur = size + task->limit_memory;
    (void)setrlimit(RLIMIT_AS, &limit);
    AUTO_CLOSE int marks = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (marks >= 0 && write(marks, "5", 1) == 1)
        atomic_store(&bank->call_full_rss, oom_full_bytes(task->limit_memory, resident));
}

static int64_t time_us(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

/* What the call has written: into the slot, and beyond it to the spool. */
static void keep_output(struct native *n, struct bank *bank, int stream, uint64_t limit)
{
    const int from = n->out_fd[stream];
    const off_t end = lseek(from, 0, SEEK_CUR);
    uint64_t kept = 0;
    struct err err;

    if (end <= 0)
        return;
    const uint64_t wanted = limit == 0 ? (uint64_t)end : MIN((uint64_t)end, limit);
    bank->report.truncated[stream] = wanted < (uint64_t)end;
    AUTO_CLOSE int to = -1;
    if (wanted > BANK_OUT_SIZE) {
        disarm_now(n);
        to = spool_open(n->data_fd, bank->job_no, bank->attempt, stream, &err);
    }
    char *bytes = bank->out[stream];
    while (kept < wanted) {
        const size_t room = (size_t)MIN(wanted - kept, (uint64_t)BANK_OUT_SIZE);
        const ssize_t got = pread(from, bytes, room, (off_t)kept);
        if (got <= 0 || (to >= 0 && !fd_write_all(to, (struct slice){bytes, (size_t)got})))
            break;
        kept += (uint64_t)got;
        if (to < 0)
            break;
    }
    if (to >= 0 && !spool_sync(n->data_fd, bank->job_no, to, &err))
        bank->report.truncated[stream] = 1;
    if (kept < wanted)
        bank->report.truncated[stream] = 1;
    bank->report.out_bytes[stream] = kept;
    bank->report.spooled[stream] = to >= 0;
    (void)!ftruncate(from, 0);
    (void)lseek(from, 0, SEEK_SET);
}

/* The bank's outcome after a call that has returned. */
static void report(struct native_call *call, int said)
{
    struct bank *bank = call->bank;
    struct err err;

    bank->report.end = TASK_EXITED;
    if (said == 0 && call->error[0] == '\0' && call->result_fd >= 0 &&
        !spool_sync(call->native->data_fd, bank->job_no, call->result_fd, &err))
        (void)snprintf(call->error, sizeof(call->error), "ResultLost: %s", "the disk is full");
    if (said != 0 || call->error[0] != '\0') {
        bank->report.end = TASK_FUNCTION_FAILED;
        (void)snprintf(bank->error_text, sizeof(bank->error_text), "%s",
                       call->error[0] == '\0' ? "Error: the function failed" : call->error);
        native_call_drop_result(call);
    }
    bank->report.has_result = bank->report.end == TASK_EXITED;
    if (bank->report.has_result && !call->has_result) { /* it has nothing to say */
        bank->report.result_type = VALUE_JSON;
        bank->report.result_bytes = 4;
        memcpy(bank->result, "null", 4);
    }
    bank->report.result_spooled = call->result_fd >= 0;
    if (call->result_fd >= 0)
        (void)close(steal_fd(&call->result_fd));
}

/* limits.on_output = fail: it has no value, and no other error. */
static void end_by_output(const struct native *n, struct bank *bank)
{
    if (bank->report.result_spooled != 0)
        spool_remove(n->data_fd, bank->job_no, bank->attempt, STREAM_VALUE);
    bank->report.end = TASK_OUTPUT_LIMIT;
    bank->error_text[0] = '\0';
    bank->report.has_result = bank->report.result_spooled = 0;
    bank->report.result_bytes = 0;
}

/* Whatever it has forked is ended as the tree of a command is, also by a thread of its own that
 * lives on. */
static void end_children(struct native *n, struct bank *bank)
{
    struct tree tree = {.has_threads = true, .nursery = n->nursery};

    if (tree_reap(&tree))
        return;
    disarm_now(n);
    bank->report.survivors = tree_end(&tree, n->kill_deadline_us, n->child_fd);
    bank->report.processes_killed = tree.ended;
    if (bank->report.survivors > 0)
        bank->report.end = TASK_UNKILLABLE;
}

static int call_guarded(struct native *n, struct native_call *call, ganger_function function)
{
    struct bank *bank = call->bank;
    struct rlimit before = {0};
    const uint32_t mate = bank->mate * CALL_MATE;
    uint32_t running = CALL_RUNNING + mate;

    limit_memory(bank, call->task, &before);
    /* When the zygote dies nobody is left to end a call that does not end. */
    die_with_zygote(n, true);
    const int said = function(&call->seen);
    if (call->task->limit_memory != 0)
        (void)setrlimit(RLIMIT_AS, &before);
    disarm(n);
    if (!atomic_compare_exchange_strong(&bank->call, &running, CALL_OVER + mate))
        for (;;)
            (void)pause(); /* the signal that kills us is on its way */
    return said;
}

/* Why the task cannot be called; NULL: it can. */
static const char *obstacle(const struct native_call *call, ganger_function function)
{
    if (function == NULL)
        return "the function is not registered any more: its section [function] of the "
               "configuration is gone";
    if (asks_too_much(call->task))
        return "a native function has no environment, directory or files of its own, and of the "
               "limits memory and output alone";
    return NULL;
}

static void note_usage(struct native *n, struct bank *bank, uint64_t started_ns)
{
    const struct rusage *before = &n->used;
    struct rusage after;

    (void)getrusage(RUSAGE_SELF, &after);
    bank->report.ended_us = clock_wall_us();
    bank->report.wall_us = (int64_t)((clock_mono_ns() - started_ns) / 1000);
    bank->report.user_us = time_us(after.ru_utime) - time_us(before->ru_utime);
    bank->report.system_us = time_us(after.ru_stime) - time_us(before->ru_stime);
    bank->report.max_rss_bytes = (uint64_t)after.ru_maxrss * 1024;
    n->used = after;
    n->goes_on = true;
}

void native_run(struct native *n, struct bank *bank, const struct inputs *inputs)
{
    const struct task *task = inputs->task;
    const ganger_function function = find(n, task->argv[0]);
    struct native_call call = {
        .native = n, .bank = bank, .task = task, .inputs = inputs, .result_fd = -1};
    const char *why = obstacle(&call, function);

    if (!n->goes_on)
        (void)getrusage(RUSAGE_SELF, &n->used);
    if (why == NULL && !native_call_init(&call))
        why = "the stored arguments are damaged";
    if (why == NULL && !native_call_map(&call))
        why = "its blobs do not fit into the address space";
    drive_refuse(bank, TASK_EXEC_FAILED, why == NULL ? 0 : EINVAL, why == NULL ? "" : why);
    if (why != NULL) {
        native_call_unmap(&call);
        return;
    }
    const uint64_t started_ns = clock_mono_ns();
    atomic_store(&bank->call, CALL_RUNNING + bank->mate * CALL_MATE);
    if (!arm(n, bank, task)) {
        atomic_store(&bank->call, CALL_OVER + bank->mate * CALL_MATE);
        bank->report.end = TASK_DEADLINE;
        native_call_unmap(&call);
        return;
    }
    const int said = call_guarded(n, &call, function);
    native_call_unmap(&call);
    (void)fflush(stdout);
    note_usage(n, bank, started_ns);
    bank->report.stop_sent = atomic_load(&bank->cancel) == bank->mate + 1;
    if (call.result_fd >= 0)
        disarm_now(n);
    report(&call, said);
    end_children(n, bank);
    for (int stream = 0; stream < 2; stream++)
        keep_output(n, bank, stream, task->limit_output);
    if (task->output_limit_fails && bank->report.end != TASK_UNKILLABLE &&
        (bank->report.truncated[0] != 0 || bank->report.truncated[1] != 0))
        end_by_output(n, bank);
}
