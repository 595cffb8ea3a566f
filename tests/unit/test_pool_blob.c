/* SPDX-License-Identifier: MIT */
/* Memory of blobs: how long the server keeps it, and what a worker makes of one that is not sealed.
 */
#include "pool/blob.h"
#include "pool/proc.h"
#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SECOND_NS UINT64_C(1000000000)

/* ---- the server's side; the clock is the test's ---- */

static int take(struct blob_cache *cache, uint64_t file, uint64_t bytes)
{
    struct err err = {0};
    int fd = -1;
    cr_assert(blob_cache_take(cache, file, bytes, &fd, &err), "%s", err.detail);
    cr_assert_geq(fcntl(fd, F_GETFD), 0);
    return fd;
}

Test(pool_blob, what_does_not_fit_goes_oldest_first)
{
    struct blob_cache *cache = blob_cache_new(10);
    const int a = take(cache, 1, 6), b = take(cache, 2, 4), c = take(cache, 3, 5);
    cr_assert_eq(blob_cache_bytes(cache), 15, "what is used has no bound");
    blob_cache_give(cache, 2, 100);
    blob_cache_give(cache, 1, 200);
    cr_assert_eq(blob_cache_bytes(cache), 15, "exactly what fits is kept");
    blob_cache_give(cache, 3, 300);
    cr_assert_eq(blob_cache_bytes(cache), 5, "4 was not enough, so 6 went as well");
    cr_assert_eq(fcntl(a, F_GETFD), -1);
    cr_assert_eq(fcntl(b, F_GETFD), -1);
    cr_assert_eq(take(cache, 3, 5), c, "it is the same memory");
    blob_cache_free(cache);
}

Test(pool_blob, what_is_used_again_is_not_the_oldest)
{
    struct blob_cache *cache = blob_cache_new(8);
    (void)take(cache, 1, 4);
    const int b = take(cache, 2, 4);
    blob_cache_give(cache, 1, 100);
    blob_cache_give(cache, 2, 200);
    const int a = take(cache, 1, 4);
    blob_cache_give(cache, 1, 300);
    (void)take(cache, 3, 4);
    blob_cache_give(cache, 3, 400);
    cr_assert_eq(blob_cache_bytes(cache), 8);
    cr_assert_geq(fcntl(a, F_GETFD), 0);
    cr_assert_eq(fcntl(b, F_GETFD), -1);
    blob_cache_free(cache);
}

Test(pool_blob, idle_memory_goes_after_a_while)
{
    struct blob_cache *cache = blob_cache_new(1000);
    cr_assert_eq(blob_cache_next_ns(cache), UINT64_MAX);
    (void)take(cache, 1, 4);
    (void)take(cache, 1, 4);
    blob_cache_give(cache, 1, 5 * SECOND_NS);
    cr_assert_eq(blob_cache_next_ns(cache), UINT64_MAX, "one still uses it");
    blob_cache_tidy(cache, UINT64_MAX);
    cr_assert_eq(blob_cache_bytes(cache), 4);
    blob_cache_give(cache, 1, 7 * SECOND_NS);
    const uint64_t at = blob_cache_next_ns(cache);
    cr_assert_eq(at, 37 * SECOND_NS);
    blob_cache_tidy(cache, at - 1);
    cr_assert_eq(blob_cache_bytes(cache), 4);
    blob_cache_tidy(cache, at);
    cr_assert_eq(blob_cache_bytes(cache), 0);
    cr_assert_eq(blob_cache_next_ns(cache), UINT64_MAX);
    blob_cache_free(cache);
}

Test(pool_blob, a_blob_that_is_gone_is_not_kept)
{
    struct blob_cache *cache = blob_cache_new(1000);
    (void)take(cache, 1, 4);
    (void)take(cache, 2, 4);
    blob_cache_give(cache, 1, 100);
    blob_cache_forget(cache, 1);
    cr_assert_eq(blob_cache_bytes(cache), 4);
    blob_cache_forget(cache, 2);
    blob_cache_forget(cache, 3);
    cr_assert_eq(blob_cache_bytes(cache), 4, "a task uses it");
    blob_cache_give(cache, 2, 200);
    cr_assert_eq(blob_cache_bytes(cache), 0);
    blob_cache_free(cache);
}

/* ---- a worker's side ---- */

#define FILE_NO 7
static const char whole[] = "all of the blob";
#define WHOLE_LEN (sizeof whole - 1)

static char dir[64];
static int data_fd, memfd;

static void write_blob(const char *bytes, size_t n)
{
    char path[BLOB_PATH_SIZE];
    blob_path(FILE_NO, path);
    AUTO_CLOSE int fd = openat(data_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
}

static void setup(void)
{
    fixture_make_dir(dir);
    data_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(data_fd >= 0 && mkdirat(data_fd, BLOB_DIR, 0700) == 0);
    write_blob(whole, WHOLE_LEN);
    memfd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert_geq(memfd, 0);
}

static void teardown(void)
{
    (void)close(memfd);
    (void)close(data_fd);
    fixture_remove_dir(dir);
}

TestSuite(pool_blob_worker, .init = setup, .fini = teardown, .timeout = 60);

/* A descriptor that reads the blob, and that nobody can write by. */
static void expect_whole(int fd)
{
    char got[WHOLE_LEN + 2];
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    cr_assert_geq(fd, PROC_ABOVE_FDS, "%s", strerror(errno));
    cr_assert_eq(read(fd, got, sizeof got), (ssize_t)WHOLE_LEN);
    cr_assert_eq(memcmp(got, whole, WHOLE_LEN), 0);
    cr_assert_eq(fcntl(memfd, F_GET_SEALS) & seals, seals);
    cr_assert_lt(write(fd, "x", 1), 0);
}

Test(pool_blob_worker, fills_and_seals_it_once)
{
    AUTO_CLOSE int first = blob_open_sealed(memfd, data_fd, FILE_NO, WHOLE_LEN);
    expect_whole(first);
    write_blob("another file...", WHOLE_LEN);
    AUTO_CLOSE int second = blob_open_sealed(memfd, data_fd, FILE_NO, WHOLE_LEN);
    expect_whole(second);
}

/* What one that died has left may be anything, and of any length. */
Test(pool_blob_worker, fills_anew_what_another_one_has_begun)
{
    static const char rubbish[] = "rubbish that is longer than the blob itself";
    cr_assert_eq(write(memfd, rubbish, sizeof rubbish), (ssize_t)sizeof rubbish);
    AUTO_CLOSE int fd = blob_open_sealed(memfd, data_fd, FILE_NO, WHOLE_LEN);
    expect_whole(fd);
}

#ifdef GANGER_FAILPOINTS
/* The lock of the one that dies between the bytes and the seals goes with it. */
Test(pool_blob_worker, the_death_of_one_keeps_nobody_out)
{
    int status = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        (void)setenv("GANGER_FP", "blob-filled:kill:1", 1);
        _exit(blob_open_sealed(memfd, data_fd, FILE_NO, WHOLE_LEN) < 0 ? 1 : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the fault was not met");
    cr_assert_eq(fcntl(memfd, F_GET_SEALS), 0);
    AUTO_CLOSE int fd = blob_open_sealed(memfd, data_fd, FILE_NO, WHOLE_LEN);
    expect_whole(fd);
}
#endif

Test(pool_blob_worker, a_damaged_file_seals_nothing)
{
    cr_assert_eq(blob_open_sealed(memfd, data_fd, FILE_NO, WHOLE_LEN + 1), -1);
    cr_assert_eq(errno, EINVAL);
    cr_assert_eq(fcntl(memfd, F_GET_SEALS), 0);
    AUTO_CLOSE int fd = blob_open_sealed(memfd, data_fd, FILE_NO, WHOLE_LEN);
    expect_whole(fd);
}
