/* SPDX-License-Identifier: MIT */
#include "integration/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct text text_of(const char *fmt, ...)
{
    struct text text;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text.s, sizeof(text.s), fmt, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof(text.s), "a text of %d bytes does not fit", n);
    return text;
}

char *json_of(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    CHECK(n >= 0, "out of memory");
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\'')
            *p = '"';
    }
    return text;
}

void *need_alloc(size_t size)
{
    void *p = calloc(1, size == 0 ? 1 : size);
    CHECK(p != NULL, "out of memory");
    return p;
}

void *need_realloc(void *p, size_t size)
{
    void *bigger = realloc(p, size);
    CHECK(bigger != NULL, "out of memory");
    return bigger;
}

void auto_free_text(char **p)
{
    free(*p);
}

uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

double seconds_since(uint64_t start_ns)
{
    return (double)(now_ns() - start_ns) / 1e9;
}

char *file_read(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t len = 0, room = 65536;
    char *text = need_alloc(room);
    for (;;) {
        if (len + 1 >= room)
            text = need_realloc(text, room *= 2);
        ssize_t n = read(fd, text + len, room - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    (void)close(fd);
    text[len] = '\0';
    if (ret_len != NULL)
        *ret_len = len;
    return text;
}

const char *ganger_binary(void)
{
    const char *binary = getenv("GANGER_BIN");
    return binary == NULL ? "build/dev/ganger" : binary;
}

/* A sanitizer leaves its runtime's name in the binary. TSan costs most. */
static double slow_factor_read(void)
{
    size_t len = 0;
    AUTO_TEXT image = file_read(ganger_binary(), &len);
    if (image == NULL)
        return 1;
    if (memmem(image, len, "__tsan_init", 11) != NULL)
        return 6;
    return memmem(image, len, "__asan_init", 11) != NULL ? 4 : 1;
}

double slow_factor(void)
{
    static double factor;
    if (factor == 0)
        factor = slow_factor_read();
    return factor;
}

bool binary_has_faults(void)
{
    size_t len = 0;
    AUTO_TEXT image = file_read(ganger_binary(), &len);
    return image != NULL && memmem(image, len, "store-before-commit", 19) != NULL;
}

uint64_t deadline_in(double seconds)
{
    return now_ns() + (uint64_t)(seconds * slow_factor() * 1e9);
}

bool deadline_passed(uint64_t deadline_ns)
{
    return now_ns() >= deadline_ns;
}

void pause_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

void temp_dir_make(char *ret_dir, size_t size)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(ret_dir, size, "%s/ganger-test.XXXXXX", base == NULL ? "/tmp" : base);
    CHECK(n > 0 && (size_t)n < size, "TMPDIR is too long");
    CHECK(mkdtemp(ret_dir) != NULL, "cannot make %s: %s", ret_dir, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *place)
{
    (void)st;
    (void)flag;
    (void)place;
    return remove(path);
}

void temp_dir_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
