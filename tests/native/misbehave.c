/* SPDX-License-Identifier: MIT */
/* Functions for tests: each of the ways in which a call can go, by the word that is its first
 * argument. */
#include "include/ganger/plugin.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

GANGER_PLUGIN

#define LARGE (300u << 10)

static int say(struct ganger_call *call, long number)
{
    char text[32];
    const int len = snprintf(text, sizeof text, "%ld", number);
    return ganger_result(call, text, (size_t)len, GANGER_JSON);
}

static int give_pid(struct ganger_call *call)
{
    return say(call, getpid());
}

static int give_args(struct ganger_call *call)
{
    char text[4096];
    size_t n_args, n_kwargs;
    const char *args = ganger_args(call, &n_args), *kwargs = ganger_kwargs(call, &n_kwargs);
    const int len = snprintf(text, sizeof text, "[%.*s,%.*s]", (int)n_args, args, (int)n_kwargs,
                             kwargs);
    return ganger_result(call, text, (size_t)len, GANGER_JSON);
}

static int give_text(struct ganger_call *call)
{
    return ganger_result(call, "h\xc3\xa4", 3, GANGER_TEXT);
}

static int give_bytes(struct ganger_call *call)
{
    return ganger_result(call, "\x00\xff\x01", 3, GANGER_BYTES);
}

static int give_large(struct ganger_call *call)
{
    char *bytes = malloc(LARGE);
    if (bytes == NULL)
        return 1;
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)('a' + i % 26);
    const int said = ganger_result(call, bytes, LARGE, GANGER_TEXT);
    free(bytes);
    return said;
}

static int give_no_json(struct ganger_call *call)
{
    return ganger_result(call, "{no", 3, GANGER_JSON);
}

static int fail(struct ganger_call *call)
{
    return ganger_error(call, "ValueError", "this is not right");
}

static int fail_silently(struct ganger_call *call)
{
    (void)call;
    return 7;
}

static int print(struct ganger_call *call)
{
    (void)printf("to stdout\n");
    (void)fprintf(stderr, "to stderr\n");
    return say(call, 1);
}

static int print_much(struct ganger_call *call)
{
    for (int i = 0; i < 10000; i++)
        (void)printf("line %d of many\n", i);
    return say(call, 1);
}

static int segfault(struct ganger_call *call)
{
    /* A null pointer would be caught by the sanitizer of the tests. */
    volatile int *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)call;
    (void)fprintf(stderr, "last words\n");
    *nowhere = 1;
    return 0;
}

static int abort_it(struct ganger_call *call)
{
    (void)call;
    abort();
}

static int exit_3(struct ganger_call *call)
{
    (void)call;
    _exit(3);
}

static int exit_0(struct ganger_call *call)
{
    (void)call;
    _exit(0);
}

/* What follows each call keeps the compiler from making a loop of it. */
static long dive(volatile long *depth) /* NOLINT(misc-no-recursion) */
{
    volatile char room[4096];
    volatile long here = *depth + 1;
    room[0] = (char)here;
    const long below = here < 0 ? 0 : dive(&here);
    return below + room[0];
}

static int overflow(struct ganger_call *call)
{
    volatile long depth = 0;
    return say(call, dive(&depth));
}

static int loop(struct ganger_call *call)
{
    volatile long n = 0;
    (void)call;
    ganger_progress(call, 0.25, "round and round");
    while (n < 2)
        n = n ^ 1;
    return 0;
}

static int until_cancelled(struct ganger_call *call)
{
    ganger_progress(call, 0.5, "until cancelled");
    while (!ganger_is_cancelled(call))
        (void)poll(NULL, 0, 1);
    return say(call, 42);
}

/* The last word comes right behind another one. */
static int burst(struct ganger_call *call)
{
    ganger_progress(call, 0.25, "first");
    (void)poll(NULL, 0, 300);
    ganger_progress(call, 0.5, "second");
    (void)poll(NULL, 0, 20);
    ganger_progress(call, 0.75, "last");
    while (!ganger_is_cancelled(call))
        (void)poll(NULL, 0, 1);
    return say(call, 42);
}

static int hog(struct ganger_call *call)
{
    const size_t size = (size_t)1 << 30;
    char *bytes = malloc(size);
    if (bytes == NULL)
        return ganger_error(call, "MemoryError", "malloc says no");
    volatile char *used = bytes; /* clang leaves out a malloc that nothing uses */
    used[size / 2] = 1;
    const int said = say(call, used[size / 2]);
    free(bytes);
    return said;
}

/* As code that does not look at what malloc says. */
static int eat(struct ganger_call *call)
{
    const size_t size = (size_t)1 << 20;
    ganger_progress(call, 0, "eats");
    for (;;) {
        volatile char *bytes = malloc(size);
        if (bytes == NULL)
            abort();
        for (size_t i = 0; i < size; i += 4096)
            bytes[i] = 1;
    }
}

/* Some milliseconds of work; the second argument is the result. */
static int work(struct ganger_call *call)
{
    size_t len;
    const char *value = ganger_arg(call, 1, &len);
    volatile uint32_t x = 1;
    for (int i = 0; i < 2000000; i++)
        x = x * 1664525u + 1013904223u;
    return value == NULL ? 1 : ganger_result(call, value, len, GANGER_JSON);
}

/* A worker that holds more memory after each call. */
static int keep(struct ganger_call *call)
{
    const size_t size = (size_t)256 << 20;
    char *bytes = malloc(size);
    if (bytes == NULL)
        return ganger_error(call, "MemoryError", "malloc says no");
    memset(bytes, 1, size);
    volatile char *kept = bytes; /* for ever */
    return say(call, kept[size / 2]);
}

static int leave_child(struct ganger_call *call)
{
    const pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)pause();
    return say(call, pid);
}

static void *fork_and_stay(void *arg)
{
    int *to = arg;
    const pid_t pid = fork();
    if (pid != 0)
        (void)!write(*to, &pid, sizeof pid);
    for (;;)
        (void)pause();
    return NULL;
}

/* By a thread that lives on, as those of a library's own pool do. */
static int leave_child_of_thread(struct ganger_call *call)
{
    static int ends[2];
    pthread_t thread;
    pid_t pid;
    if (pipe(ends) != 0 || pthread_create(&thread, NULL, fork_and_stay, &ends[1]) != 0 ||
        read(ends[0], &pid, sizeof pid) != sizeof pid)
        return 1;
    return say(call, pid);
}

static const struct {
    const char *word;
    ganger_function function;
} ways[] = {
    {"pid", give_pid},
    {"args", give_args},
    {"text", give_text},
    {"bytes", give_bytes},
    {"large", give_large},
    {"no_json", give_no_json},
    {"fail", fail},
    {"silent", fail_silently},
    {"print", print},
    {"much", print_much},
    {"segfault", segfault},
    {"abort", abort_it},
    {"exit3", exit_3},
    {"exit0", exit_0},
    {"overflow", overflow},
    {"loop", loop},
    {"cancel", until_cancelled},
    {"hog", hog},
    {"keep", keep},
    {"child", leave_child},
    {"eat", eat},
    {"thread", leave_child_of_thread},
    {"work", work},
    {"burst", burst},
};

GANGER_FUNCTION(misbehave)
{
    size_t len;
    const char *word = ganger_arg(call, 0, &len);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (word != NULL && len == strlen(ways[i].word) + 2 &&
            memcmp(word + 1, ways[i].word, len - 2) == 0)
            return ways[i].function(call);
    }
    if (word != NULL && word[0] != '"')
        return ganger_result(call, word, len, GANGER_JSON); /* gives it back */
    return ganger_error(call, "LookupError", "no such way");
}
