/* SPDX-License-Identifier: MIT */
#include "service/base/util.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <time.h>

void assert_failed(const char *what, const char *expr, const char *file, int line)
{
    /* dprintf and not stdio: one write(2), and no lock that a crashed thread may hold. */
    (void)dprintf(STDERR_FILENO, "ganger: %s failed: %s (%s:%d)\n", what, expr, file, line);
    abort();
}

void *must_alloc(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);
    if (p == NULL)
        assert_failed("allocation", "calloc", __FILE__, __LINE__);
    return p;
}

void *must_realloc(void *p, size_t size)
{
    void *q = realloc(p, size > 0 ? size : 1);
    if (q == NULL)
        assert_failed("allocation", "realloc", __FILE__, __LINE__);
    return q;
}

bool fd_write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        const ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = (struct slice){bytes.ptr + n, bytes.len - (size_t)n};
    }
    return true;
}

bool fd_copy(int to_fd, int from_fd, uint64_t bytes)
{
    const uint64_t max_step = UINT64_C(1) << 30;
    bool can_share = true;
    off_t at = 0;

    while ((uint64_t)at < bytes) {
        const size_t step = (size_t)MIN(bytes - (uint64_t)at, max_step);
        ssize_t n = can_share ? copy_file_range(from_fd, &at, to_fd, NULL, step, 0) : -1;
        if (n < 0 && !(can_share && errno == EINTR)) {
            can_share = false; /* another file system, or one that cannot */
            n = sendfile(to_fd, from_fd, &at, step);
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENODATA;
        if (n <= 0)
            return false;
    }
    return true;
}

uint64_t clock_mono_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_BOOTTIME, &ts) != 0)
        assert_failed("system call", "clock_gettime(CLOCK_BOOTTIME)", __FILE__, __LINE__);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int64_t clock_wall_us(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        assert_failed("system call", "clock_gettime(CLOCK_REALTIME)", __FILE__, __LINE__);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void random_bytes(void *out, size_t len)
{
    char *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            assert_failed("system call", "getrandom", __FILE__, __LINE__);
        at += n;
        len -= (size_t)n;
    }
}

#ifdef GANGER_FAILPOINTS

/* The n of GANGER_FP=name:action:n; the default is the first hit. */
static unsigned long fault_nth(struct slice action)
{
    const char *colon = memchr(action.ptr, ':', action.len);
    unsigned long nth = colon == NULL ? 1 : strtoul(colon + 1, NULL, 10);
    return nth == 0 ? 1 : nth;
}

bool fault_hit(const char *name)
{
    /* Test builds only. One fault point can be armed per process, so one counter serves. */
    static _Atomic unsigned long n_hits;
    const char *armed = getenv("GANGER_FP");
    size_t name_len = strlen(name);
    if (armed == NULL || strncmp(armed, name, name_len) != 0 || armed[name_len] != ':')
        return false;
    struct slice action = slice_of(armed + name_len + 1);
    if (atomic_fetch_add(&n_hits, 1) + 1 != fault_nth(action))
        return false;
    if (strncmp(action.ptr, "kill", 4) == 0)
        (void)kill(getpid(), SIGKILL);
    if (strncmp(action.ptr, "exit", 4) == 0)
        _exit(86);
    return strncmp(action.ptr, "error", 5) == 0;
}

bool seeded_bug(const char *name)
{
    const char *asked = getenv("GANGER_BUG");
    return asked != NULL && strcmp(asked, name) == 0;
}

#endif
