/* SPDX-License-Identifier: MIT */
/* What every test that drives the real binary needs: failing with a reason, waiting on conditions
 * with a deadline, and a server of its own on a free port with a data directory of its own. HTTP is
 * in harness_http.h, jobs are in harness_job.h, sockets in harness_conn.h, processes in
 * harness_proc.h.
 *
 * GANGER_BIN names the binary. A build with a sanitizer is slower; deadlines are stretched for it.
 */
#ifndef GANGER_TESTS_HARNESS_H
#define GANGER_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define PRINTF_ARGS(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Ends the running test as failed. Each binary links its own: tests/integration/fail.c reports to
 * Criterion, tests/crash/fail.c ends the program. */
_Noreturn void check_failed(const char *file, int line, const char *fmt, ...) PRINTF_ARGS(3, 4);
#define CHECK(cond, ...) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, __VA_ARGS__))
/* Shows the end of the log of the server that was started last; called by check_failed. */
void harness_print_log(void);

/* Formatted text by value: text_of("/v1/jobs/%s", id).s lives until the end of the full expression.
 */
struct text {
    char s[1024];
};
struct text text_of(const char *fmt, ...) PRINTF_ARGS(1, 2);
/* Heap text in which each ' has become ", so that JSON can be written in C without backslashes. */
char *json_of(const char *fmt, ...) PRINTF_ARGS(1, 2);

/* Memory that must be there. */
void *need_alloc(size_t size);
void *need_realloc(void *p, size_t size);

void auto_free_text(char **p);
#define AUTO_TEXT __attribute__((cleanup(auto_free_text), unused)) char *

/* Time. Deadlines are monotonic nanoseconds, stretched for slow binaries. */
uint64_t now_ns(void);
double seconds_since(uint64_t start_ns);
bool binary_has_faults(void); /* compiled with fault points, as all but the release build are */
double slow_factor(void);     /* 1, or more for a binary with a sanitizer */
uint64_t deadline_in(double seconds);
bool deadline_passed(uint64_t deadline_ns);
void pause_ms(int ms); /* between two looks at a condition, never instead of one */

/* Waits until a condition holds. The condition is looked at again every 5 ms; the test fails after
 * `seconds`. */
#define AWAIT(cond, seconds)                                                                \
    do {                                                                                    \
        uint64_t await_until = deadline_in(seconds);                                        \
        while (!(cond)) {                                                                   \
            CHECK(!deadline_passed(await_until), "still not true after " #seconds " s: %s", \
                  #cond);                                                                   \
            pause_ms(5);                                                                    \
        }                                                                                   \
    } while (0)

struct server_options {
    const char *dir; /* use this existing directory; NULL: a fresh one, removed by server_stop */
    int workers;     /* 0: two */
    const char *args[12]; /* more arguments of `serve` */
    const char *env[8];   /* more of its environment, "K=V" */
    bool unchecked;
};

/* A server under test. Plain data: a test may have several. */
struct server {
    pid_t pid; /* 0 when it does not run */
    int port;
    int stdout_fd;
    bool keep_dir; /* the directory belongs to the caller */
    char dir[128]; /* its data directory */
    char log[160];
    char scratch[160]; /* for the test's own files; removed with dir */
    char url[160];
    char token[128];
    void *curl;            /* one handle, so that connections are kept alive */
    struct schema *schema; /* its OpenAPI document; loaded at the first answer */
    bool unchecked; /* answers are not compared with the document, failed exchanges are not shown */
    struct server_options options; /* of its first start; its strings belong to the caller */
};

/* Its environment asks for a fault (service/base/util.h). */
bool options_name_fault(const struct server_options *opt);
/* Starts it and waits for its `ready` line. opt may be NULL. */
void server_start(struct server *s, const struct server_options *opt);
/* As server_start, but the caller expects the start to fail: returns the exit code (128 + N after a
 * signal). */
int server_start_failing(const struct server_options *opt);
/* Starts it again on the same directory after server_kill or an exit. opt NULL: as at its first
 * start. */
void server_restart(struct server *s, const struct server_options *opt);
/* The two halves of server_restart, for tests that interfere with the start: makes the process;
 * waits until it is ready (false: it ended instead, and must be reaped by server_wait_exit). */
void server_begin(struct server *s, const struct server_options *opt);
bool server_await_ready(struct server *s);
/* SIGTERM, once more when a job ran before it and goes on, waits for the end, wants exit code 0,
 * then removes the directory. */
void server_stop(struct server *s);
/* kill -9 and reap. The directory stays. */
void server_kill(struct server *s);
/* Waits for the end; returns the exit code (128 + N after a signal). */
int server_wait_exit(struct server *s, double seconds);
/* Forgets handles and removes the directory of a server that has ended. */
void server_forget(struct server *s);
/* True when the log has this text. */
bool server_log_has(const struct server *s, const char *needle);
/* GANGER_BIN, or the dev build. */
const char *ganger_binary(void);
/* An empty directory under TMPDIR for the test's own files. */
void temp_dir_make(char *ret_dir, size_t size);
void temp_dir_remove(const char *dir);
/* The whole file, terminated; NULL when it cannot be read. Caller frees. */
char *file_read(const char *path, size_t *ret_len);

#endif
