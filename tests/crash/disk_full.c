/* SPDX-License-Identifier: MIT */
/* disk_full
 *
 * On a real file system that is full: submissions are refused with 503 disk-full and Retry-After,
 * running jobs still finish, nothing acknowledged is lost, and five seconds after space has
 * returned jobs are accepted again. Needs root for a tmpfs of its own; otherwise it says so and
 * ends with 77, which CTest counts as skipped. */
#include "crash/oracle.h"
#include "integration/harness_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKIPPED 77

/* In a mount namespace of its own the file system ends with this process. */
static bool small_disk_make(const char *dir)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("ganger-test", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=0700") != 0) {
        printf("skipped: disk_full: cannot mount a tmpfs: %s\n", strerror(errno));
        return false;
    }
    return true;
}

static void disk_fill(const char *path)
{
    static char block[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(fd >= 0, "cannot write %s: %s", path, strerror(errno));
    memset(block, 'f', sizeof(block));
    for (size_t size = sizeof(block); size > 0;) {
        ssize_t n = write(fd, block, size);
        if (n < 0 && errno == ENOSPC)
            size /= 2;
        else
            CHECK(n > 0, "write: %s", strerror(errno));
    }
    (void)close(fd);
}

static struct response *submit_large(struct server *s, int number)
{
    static char padding[50001];
    memset(padding, 'p', sizeof(padding) - 1);
    AUTO_TEXT body = json_of("{'command':['echo','%d'],'delay':'1h','metadata':'%s'}", number,
                             padding);
    struct call call = {
        .method = "POST", .path = "/v1/jobs", .body = body, .body_len = strlen(body)};
    return http_send(s, &call);
}

/* Makes room for a few submissions, so that the disk becomes full in the middle of the server's own
 * writing. */
static void disk_release(const char *path, off_t bytes)
{
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size > bytes, "no filler");
    CHECK(truncate(path, st.st_size - bytes) == 0, "truncate: %s", strerror(errno));
}

static bool submit_one(struct oracle *o, struct server *s, int number)
{
    AUTO_RESPONSE r = submit_large(s, number);
    if (r->status == 202) {
        (void)oracle_add(o, json_text(r, "id"), 1);
        return true;
    }
    expect_problem(r, 503, "disk-full");
    CHECK(header_of(r, "Retry-After") != NULL, "no Retry-After");
    return false;
}

/* Until the server says that the disk is full; each 2xx before is a promise. What the server frees
 * is taken away at once. */
static void submit_until_full(struct oracle *o, struct server *s, const char *filler)
{
    int taken = 0;
    for (int i = 0; i < 50; i++)
        CHECK(submit_one(o, s, taken++), "the disk is full too early");
    disk_fill(filler);
    disk_release(filler, 2 << 20);
    while (submit_one(o, s, taken)) {
        CHECK(++taken < 3000, "3000 submissions and the disk is not full");
        if (taken % 64 == 0)
            disk_fill(filler);
    }
    disk_fill(filler);
    CHECK(!submit_one(o, s, taken), "a submission was taken on a full disk");
    printf("disk_full: %d submissions were taken before the disk was full\n", taken);
}

static void await_accepting(struct server *s, struct oracle *o, double seconds)
{
    uint64_t start = now_ns(), until = deadline_in(seconds);
    for (;;) {
        AUTO_RESPONSE r = submit_large(s, -1);
        if (r->status == 202) {
            (void)oracle_add(o, json_text(r, "id"), 1);
            printf("disk_full: accepted again %.2f s after space had returned\n",
                   seconds_since(start));
            return;
        }
        expect_problem(r, 503, "disk-full");
        CHECK(!deadline_passed(until), "still refused %.0f s after space has returned", seconds);
        pause_ms(50);
    }
}

static void check_all_known(struct oracle *o, struct server *s)
{
    o->n_checked = 0;
    CHECK(oracle_check_known(o, s), "no answer");
}

static void scenario(struct server *s, struct oracle *o)
{
    struct text hold = fifo_make(s, "hold"), filler = text_of("%s/../filler", s->dir);
    struct job_ref running = job_submit(
        s, "{'command':['sh','-c','cat %s; echo finished on a full disk']}", hold.s);
    AUTO_RESPONSE seen = job_await_state(s, running, "running");
    (void)oracle_add(o, running.id, 1);
    submit_until_full(o, s, filler.s);
    AUTO_RESPONSE alive = http_get(s, "/v1/stats");
    expect_status(alive, 200);
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, running);
    expect_outcome(end, "succeeded", NULL);
    expect_output(s, running, "stdout", "finished on a full disk\n");
    check_all_known(o, s);
    (void)unlink(filler.s);
    await_accepting(s, o, 5);
    server_kill(s);
    server_restart(s, NULL);
    check_all_known(o, s);
    AUTO_RESPONSE again = job_show(s, running);
    expect_outcome(again, "succeeded", NULL);
}

int main(void)
{
    char disk[128], scratch[128];
    struct server s;
    struct oracle oracle;
    temp_dir_make(disk, sizeof(disk));
    temp_dir_make(scratch, sizeof(scratch));
    if (!small_disk_make(disk)) {
        temp_dir_remove(disk);
        temp_dir_remove(scratch);
        return SKIPPED;
    }
    struct text dir = text_of("%s/data", disk);
    struct server_options options = {.dir = dir.s, .unchecked = true};
    CHECK(mkdir(dir.s, 0700) == 0, "mkdir: %s", strerror(errno));
    oracle_open(&oracle, scratch);
    server_start(&s, &options);
    scenario(&s, &oracle);
    (void)kill(s.pid, SIGTERM);
    CHECK(server_wait_exit(&s, 30) == 0, "the last drain failed");
    oracle_check_files(&oracle, s.dir);
    printf("disk_full: %zu jobs acknowledged, %zu violations\n", oracle.n, oracle.n_violations);
    bool passed = oracle.n_violations == 0;
    oracle_close(&oracle);
    server_forget(&s);
    (void)umount2(disk, MNT_DETACH);
    (void)rmdir(disk);
    temp_dir_remove(scratch);
    printf("result: %d passed, %d failed\n", passed, !passed);
    return passed ? 0 : 1;
}
