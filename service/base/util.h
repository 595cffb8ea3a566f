/* SPDX-License-Identifier: MIT */
/* Small tools that every layer uses: cleanup attributes, assertions, slices, clocks. No state. */
#ifndef GANGER_BASE_UTIL_H
#define GANGER_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
/* The compiler clears all variables that are not initialised (cmake/flags.cmake): all but this one.
 */
#if __has_attribute(uninitialized)
#define UNCLEARED __attribute__((uninitialized))
#else
#define UNCLEARED
#endif

/* gcc has macros for its sanitizers, clang has features. */
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN
#elif defined(__SANITIZE_THREAD__)
#define WITH_TSAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#elif __has_feature(thread_sanitizer)
#define WITH_TSAN
#endif
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Preconditions and postconditions: a broken one is a bug of ganger's, so the process ends and is
 * restarted by its supervisor; the store is safe by construction. They stay on in release. */
NORETURN void assert_failed(const char *what, const char *expr, const char *file, int line);
#define PRE(cond) ((cond) ? (void)0 : assert_failed("precondition", #cond, __FILE__, __LINE__))
#define POST(cond) ((cond) ? (void)0 : assert_failed("postcondition", #cond, __FILE__, __LINE__))
#define ERGO(a, b) (!(a) || (b))

/* Cleanup attributes: the variable's scope is the owner. `steal_*` hands the value over and disarms
 * the owner. */
static inline void auto_free(void *p)
{
    free(*(void **)p);
}

static inline void auto_close(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

#define AUTO_FREE __attribute__((cleanup(auto_free)))
#define AUTO_CLOSE __attribute__((cleanup(auto_close)))

static inline void *steal_ptr_impl(void *where)
{
    void **slot = where;
    void *value = *slot;
    *slot = NULL;
    return value;
}
#define steal_ptr(p) ((__typeof__(*(p)))steal_ptr_impl(p))

static inline int steal_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}

/* Small allocations never fail towards the caller: running out for a few bytes is a crash.
 * User-sized ones are bounded first and use malloc directly. */
void *must_alloc(size_t size); /* zeroed; abort when there is none */
void *must_realloc(void *p, size_t size);

/* Bytes that belong to somebody else. Not terminated. A slice of NULL means "absent". */
struct slice {
    const char *ptr;
    size_t len;
};
#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})

static inline struct slice slice_of(const char *s)
{
    return (struct slice){s, s == NULL ? 0 : strlen(s)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_of(s));
}

/* Writes all of it, however often a signal comes between; for descriptors that block. False: errno
 * says why. */
MUST_CHECK bool fd_write_all(int fd, struct slice bytes);
/* Writes the first `bytes` bytes of a file: inside the kernel, and where the file system can share
 * blocks, it does. False: errno says why; ENODATA: the file has less. */
MUST_CHECK bool fd_copy(int to_fd, int from_fd, uint64_t bytes);

/* Clocks. Deadlines inside the process use clock_mono_ns (CLOCK_BOOTTIME: it also counts suspend);
 * what is stored or shown uses wall-clock microseconds since 1970. */
uint64_t clock_mono_ns(void);
int64_t clock_wall_us(void);

/* Fills `out` with random bytes from the kernel; aborts if the kernel has none. */
void random_bytes(void *out, size_t len);

/* Fault points for crash tests, compiled in by GANGER_FAILPOINTS only and driven by the environment
 * variable GANGER_FP=name:action[:nth], action one of kill, exit, error. `FAULT(name)` is true when
 * an `error` must be simulated here. `SEEDED_BUG(name)` is true when GANGER_BUG=name asks for a
 * known bug that a harness must catch (negative control). */
#ifdef GANGER_FAILPOINTS
bool fault_hit(const char *name);
bool seeded_bug(const char *name);
#define FAULT(name) fault_hit(name)
#define SEEDED_BUG(name) seeded_bug(name)
#else
#define FAULT(name) false
#define SEEDED_BUG(name) false
#endif

#endif
