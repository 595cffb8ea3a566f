/* SPDX-License-Identifier: MIT */
#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#define GIVE_UP_NS ((uint64_t)FIXTURE_WAIT_MS * 1000000)

void fixture_make_dir(char dir[64])
{
    (void)snprintf(dir, 64, "/tmp/ganger-unit-XXXXXX");
    cr_assert_not_null(mkdtemp(dir), "mkdtemp: %s", strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    (void)remove(path);
    return 0;
}

void fixture_remove_dir(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fixture_open(struct fixture *f, uint32_t workers)
{
    fixture_open_deadline(f, workers, 5000000);
}

void fixture_open_with(struct fixture *f, uint32_t workers, int64_t kill_deadline_us,
                       const struct function_list *functions)
{
    struct err err = {0};

    *f = (struct fixture){.log = {.fd = 2, .level = LOG_ERROR}};
    fixture_make_dir(f->dir);
    const struct pool_config cfg = {.workers = workers,
                                    .max_workers = workers,
                                    .kill_deadline_us = kill_deadline_us,
                                    .path = "/usr/local/bin:/usr/bin:/bin",
                                    .data_dir = f->dir,
                                    .log = &f->log,
                                    .functions = functions};
    cr_assert(pool_open(&cfg, &f->pool, &err), "pool_open: %s", err.detail);
}

void fixture_open_deadline(struct fixture *f, uint32_t workers, int64_t kill_deadline_us)
{
    fixture_open_with(f, workers, kill_deadline_us, NULL);
}

void fixture_close(struct fixture *f)
{
    char mark[64];

    fixture_mark(f, mark);
    pool_close(f->pool);
    const int left = fixture_count_marked(mark);
    fixture_remove_dir(f->dir);
    cr_assert_eq(left, 0, "%d processes outlived the pool", left);
}

struct task fixture_task(const char *const *words, struct slice argv[FIXTURE_MAX_ARGS])
{
    struct task task = {.kind = TASK_COMMAND,
                        .argv = argv,
                        .timeout_us = INT64_C(3600) * 1000000,
                        .stop_signal = SIGTERM,
                        .stop_grace_us = 5000000,
                        .limit_output = 10 << 20};
    for (; words[task.n_argv] != NULL; task.n_argv++) {
        cr_assert_lt(task.n_argv, FIXTURE_MAX_ARGS, "too many words");
        argv[task.n_argv] = slice_of(words[task.n_argv]);
    }
    return task;
}

static void collect(struct fixture *f, uint64_t until_ns)
{
    const uint64_t now_ns = clock_mono_ns();
    const uint64_t next_ns = MIN(until_ns, pool_next_deadline_ns(f->pool));
    const int wait_ms = next_ns > now_ns ? (int)((next_ns - now_ns) / 1000000) + 1 : 0;
    struct pollfd ready = {.fd = pool_fd(f->pool), .events = POLLIN};

    (void)poll(&ready, 1, wait_ms);
    f->n_kept += pool_collect(f->pool, f->kept + f->n_kept, ARRAY_LEN(f->kept) - f->n_kept);
}

/* Keeps what others may wait for; drops the chatter when it gets much. */
static bool take(struct fixture *f, enum pool_event_type type, const struct place *place,
                 struct pool_event *ret)
{
    for (size_t i = 0; i < f->n_kept; i++) {
        const struct pool_event event = f->kept[i];
        if (event.type != type ||
            (place != NULL && (event.place.slot != place->slot || event.place.bank != place->bank)))
            continue;
        f->n_kept--;
        memmove(&f->kept[i], &f->kept[i + 1], (f->n_kept - i) * sizeof(event));
        *ret = event;
        return true;
    }
    if (f->n_kept > ARRAY_LEN(f->kept) / 2)
        f->n_kept = 0;
    return false;
}

struct pool_event fixture_await(struct fixture *f, enum pool_event_type type,
                                const struct place *place)
{
    const uint64_t until_ns = clock_mono_ns() + GIVE_UP_NS;
    struct pool_event event = {0};

    while (!take(f, type, place, &event)) {
        cr_assert_lt(clock_mono_ns(), until_ns, "event %d did not come", (int)type);
        collect(f, until_ns);
    }
    return event;
}

struct place fixture_start(struct fixture *f, const struct task *task, int64_t *ret_no)
{
    return fixture_start_joined(f, task, NULL, ret_no);
}

struct place fixture_start_joined(struct fixture *f, const struct task *task,
                                  const struct pool_ends *ends, int64_t *ret_no)
{
    const uint64_t until_ns = clock_mono_ns() + GIVE_UP_NS;
    struct err err = {0};
    struct buf wire;
    struct place place = {0};
    struct slice env[] = {SLICE_LIT("GANGER_ATTEMPT=1"), SLICE_LIT("WHO=attempt")};

    buf_init(&wire, 64u << 20);
    cr_assert(task_encode(task, &wire, &err), "task_encode: %s", err.detail);
    while (!pool_find_idle(f->pool, &place)) {
        cr_assert_lt(clock_mono_ns(), until_ns, "no worker became idle");
        collect(f, until_ns);
    }
    const struct pool_task start = {
        .place = place,
        .job_no = ++f->next_no,
        .attempt = 1,
        .wire = buf_slice(&wire),
        .extra = {.env = env, .n_env = 2, .inputs = f->inputs, .n_inputs = f->n_inputs},
        .ends = ends};
    cr_assert(pool_start(f->pool, &start, &err), "pool_start: %s", err.detail);
    buf_release(&wire);
    if (ret_no != NULL)
        *ret_no = f->next_no;
    return place;
}

struct place fixture_hold(struct fixture *f, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    cr_assert_eq(mkfifo(path, 0600), 0, "%s: %s", path, strerror(errno));
    TASK_OF(task, "cat", path);
    return fixture_start(f, &task, NULL);
}

void fixture_let_go(const struct fixture *f, const char *name)
{
    const uint64_t until_ns = clock_mono_ns() + GIVE_UP_NS;
    char path[128];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
        cr_assert_eq(errno, ENXIO, "%s: %s", path, strerror(errno));
        cr_assert_lt(clock_mono_ns(), until_ns, "nobody reads %s", path);
        (void)poll(NULL, 0, 1);
    }
    (void)close(fd);
}

bool fixture_offer(struct fixture *f, const struct task *task, struct offered *ret)
{
    struct err err = {0};

    buf_init(&ret->wire, 4096);
    cr_assert(task_encode(task, &ret->wire, &err), "task_encode: %s", err.detail);
    ret->task = (struct pool_task){
        .job_no = f->next_no + 1, .attempt = 1, .wire = buf_slice(&ret->wire)};
    if (!pool_find_offer(f->pool, 0, &ret->task.place))
        return false;
    f->next_no++;
    cr_assert(pool_offer(f->pool, &ret->task));
    return true;
}

struct place fixture_run(struct fixture *f, const struct task *task, struct task_outcome *ret)
{
    const struct place place = fixture_start(f, task, NULL);
    const struct pool_event done = fixture_await(f, POOL_DONE, &place);

    cr_assert_eq(done.job_no, f->next_no);
    cr_assert_eq(done.attempt, 1);
    pool_outcome(f->pool, place, ret);
    return place;
}

struct task_outcome fixture_run_text(struct fixture *f, const struct task *task, char *out,
                                     size_t size)
{
    struct task_outcome outcome;
    const struct place place = fixture_run(f, task, &outcome);
    const struct slice text = outcome.out[0].inline_bytes;
    const size_t len = MIN(text.len, size - 1);

    if (len > 0)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
    pool_release(f->pool, place);
    return outcome;
}

void fixture_await_output(struct fixture *f, struct place place, int64_t no, uint64_t bytes)
{
    struct pool_live live = {0};

    pool_watch(f->pool, place);
    while (!pool_live(f->pool, place.slot, no, &live) || !live.watched || live.bytes[0] < bytes)
        (void)fixture_await(f, POOL_OUTPUT, &place);
}

static bool holds(const char *path, const char *text)
{
    static char bytes[256 << 10];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
    if (fd >= 0)
        (void)close(fd);
    return n > 0 && memmem(bytes, (size_t)n, text, strlen(text)) != NULL;
}

int fixture_count_marked(const char *text)
{
    DIR *proc = opendir("/proc");
    int n = 0;

    cr_assert_not_null(proc);
    for (const struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char path[300];
        if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%s/environ", entry->d_name);
        if (holds(path, text))
            n++;
    }
    (void)closedir(proc);
    return n;
}

int fixture_await_none_marked(const char *text)
{
    const uint64_t until_ns = clock_mono_ns() + UINT64_C(2000000000);
    int n;

    while ((n = fixture_count_marked(text)) > 0 && clock_mono_ns() < until_ns)
        (void)poll(NULL, 0, 5);
    return n;
}

void fixture_mark(const struct fixture *f, char out[64])
{
    size_t len;
    char *mark = fixture_read_file(f, "mark", &len);

    cr_assert_eq(len, 32);
    (void)snprintf(out, 64, "GANGER_RUN=%s", mark);
    free(mark);
}

char *fixture_read_file(const struct fixture *f, const char *path, size_t *ret_len)
{
    char full[256];
    struct stat st;

    (void)snprintf(full, sizeof(full), "%s/%s", f->dir, path);
    const int fd = open(full, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s: %s", full, strerror(errno));
    cr_assert_eq(fstat(fd, &st), 0);
    char *bytes = calloc(1, (size_t)st.st_size + 1);
    size_t used = 0;
    for (ssize_t n; (n = read(fd, bytes + used, (size_t)st.st_size - used)) > 0;)
        used += (size_t)n;
    (void)close(fd);
    cr_assert_eq(used, (size_t)st.st_size);
    *ret_len = used;
    return bytes;
}
