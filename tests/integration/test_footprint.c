/* SPDX-License-Identifier: MIT */
/* What the processes of a service do not hold in memory. */
#include "integration/cli_call.h"
#include "integration/harness_proc.h"

#include <dirent.h>

#define TO_LOOPBACK "--callbacks-private-hosts", "127.0.0.1"

/* The server hides its memory from all but root. */
static bool maps_can_be_read(pid_t pid)
{
    AUTO_TEXT maps = file_read(text_of("/proc/%d/maps", (int)pid).s, NULL);
    return maps != NULL && maps[0] != '\0';
}

static bool has_mapped(pid_t pid, const char *library)
{
    AUTO_TEXT maps = file_read(text_of("/proc/%d/maps", (int)pid).s, NULL);
    return maps != NULL && strstr(maps, library) != NULL;
}

static bool child_has_mapped(const struct server *s, const char *library)
{
    static struct pid_list children;
    proc_find_descendants(s->pid, &children);
    CHECK(children.n >= 3, "a zygote and two workers, not %zu processes", children.n);
    for (size_t i = 0; i < children.n; i++)
        if (has_mapped(children.pids[i], library))
            return true;
    return false;
}

SERVER_TEST(footprint, a_server_without_callbacks_has_no_libcurl)
{
    if (!maps_can_be_read(s->pid))
        cr_skip_test("only root may read /proc/PID/maps of the server");
    AUTO_RESPONSE done = job_run(s, "{'command':['true']}");
    expect_text(done, "state", "succeeded");
    CHECK(has_mapped(s->pid, "/libmicrohttpd.so"), "this test does not see libraries");
    CHECK(!has_mapped(s->pid, "/libcurl"), "the server has loaded libcurl");
    CHECK(!child_has_mapped(s, "/libcurl"), "zygote or worker has loaded libcurl");
}

SERVER_TEST_WITH(footprint, callbacks_load_libcurl_into_the_server_alone, .args = {TO_LOOPBACK})
{
    if (!maps_can_be_read(s->pid))
        cr_skip_test("only root may read /proc/PID/maps of the server");
    CHECK(has_mapped(s->pid, "/libcurl"), "callbacks are made without libcurl");
    CHECK(!child_has_mapped(s, "/libcurl"), "zygote or worker has loaded libcurl");
}

/* How much of the library's code and constants is in the process. */
static long resident_kib(pid_t pid, const char *library)
{
    AUTO_TEXT smaps = file_read(text_of("/proc/%d/smaps", (int)pid).s, NULL);
    bool counts = false;
    long sum = 0, kib;
    char *next, name[256], rights[8];
    for (char *line = smaps; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        if (sscanf(line, "%*x-%*x %7s %*x %*s %*s %255s", rights, name) == 2)
            counts = rights[1] == '-' && strstr(name, library) != NULL;
        else if (counts && sscanf(line, "Rss: %ld", &kib) == 1)
            sum += kib;
    }
    return sum;
}

/* Debian's libmicrohttpd brings GnuTLS and initialises it; here nothing is ever encrypted. */
SERVER_TEST(footprint, what_only_the_start_has_touched_is_given_back)
{
    if (!maps_can_be_read(s->pid))
        cr_skip_test("only root may read /proc/PID/smaps of the server");
    if (!has_mapped(s->pid, "/libgnutls.so"))
        cr_skip_test("this libmicrohttpd has no TLS");
    AUTO_RESPONSE done = job_run(s, "{'command':['true']}");
    expect_text(done, "state", "succeeded");
    CHECK(resident_kib(s->pid, "/libmicrohttpd.so") > 0, "this test sees no library");
    AWAIT(resident_kib(s->pid, "/libgnutls.so") < 512, 10);
}

/* How often threads of the server have gone to sleep. */
static long sleeps_of(pid_t pid)
{
    char path[300];
    long sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    CHECK(tasks != NULL, "%s", path);
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        if (task->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.200s/status", pid, task->d_name);
        AUTO_TEXT status = file_read(path, NULL);
        const char *line = status == NULL ? NULL : strstr(status, "\nvoluntary_ctxt_switches:");
        CHECK(line != NULL, "%s", path);
        sum += strtol(strchr(line, ':') + 1, NULL, 10);
    }
    (void)closedir(tasks);
    return sum;
}

/* Pages of SQLite and the code that answers come back with the next request. */
SERVER_TEST(footprint, a_service_without_work_rests)
{
    if (!maps_can_be_read(s->pid))
        cr_skip_test("only root may read /proc/PID/smaps of the server");
    AUTO_RESPONSE done = job_run(s, "{'command':['true']}");
    expect_text(done, "state", "succeeded");
    CHECK(resident_kib(s->pid, "/libsqlite3.so") > 256, "this test sees no library");
    AWAIT(resident_kib(s->pid, "/libsqlite3.so") < 64, 30);
    AUTO_RESPONSE again = http(s, "POST", "/v1/jobs", "{'command':['true']}", "Prefer: wait=20",
                               "Connection: close", NULL);
    expect_text(again, "state", "succeeded");
    AWAIT(resident_kib(s->pid, "/libsqlite3.so") < 64, 30); /* not only after the start */
    const long before = sleeps_of(s->pid);
    pause_ms(1000); /* in which nothing is to happen, but for a look at the clock once a minute */
    if (slow_factor() == 1) /* sanitizers have threads of their own */
        cr_assert_leq(sleeps_of(s->pid) - before, 1, "something wakes up without work");
}

/* A file of its name that is no library stands for one that is missing. */
PLAIN_TEST(footprint, who_needs_libcurl_says_that_it_is_missing)
{
    char dir[128];
    temp_dir_make(dir, sizeof dir);
    FILE *file = fopen(text_of("%s/libcurl.so.4", dir).s, "w");
    CHECK(file != NULL &&
              fputs("no library, but long enough for a head of one: "
                    "................................................\n",
                    file) >= 0 &&
              fclose(file) == 0,
          "cannot write");
    CHECK(setenv("LD_LIBRARY_PATH", dir, 1) == 0, "setenv");
    AUTO_CALL ls;
    cli_call_start_in(&ls, dir, NULL, WORDS("ls"));
    cli_call_end(&ls);
    expect_err_has(&ls, "cannot load libcurl: ");
    expect_code(&ls, 125);
    AUTO_CALL help;
    cli_call_start_in(&help, dir, NULL, WORDS("help"));
    cli_call_end(&help);
    expect_code(&help, 0);
    struct server_options options = {.args = {TO_LOOPBACK}};
    cr_assert_eq(server_start_failing(&options), 2);
    temp_dir_remove(dir);
}
