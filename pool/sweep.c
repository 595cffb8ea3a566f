/* SPDX-License-Identifier: MIT */
#include "pool/sweep.h"

#include "service/base/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

#define MARK_FILE "mark"
#define MARK_LEN (SWEEP_MARK_SIZE - 1)
#define ROUND_PAUSE_MS 2

static bool is_mark(const char *text, size_t len)
{
    return len == MARK_LEN && strspn(text, HEX_DIGITS) >= MARK_LEN;
}

static bool read_mark(int data_fd, char mark[SWEEP_MARK_SIZE])
{
    char text[SWEEP_MARK_SIZE] = {0};
    AUTO_CLOSE int fd = openat(data_fd, MARK_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, MARK_LEN);
    if (n < 0 || !is_mark(text, (size_t)n))
        return false;
    memcpy(mark, text, SWEEP_MARK_SIZE);
    return true;
}

bool sweep_mark(int data_fd, char ret_mark[SWEEP_MARK_SIZE], struct err *err)
{
    uint64_t random[2];
    char mark[SWEEP_MARK_SIZE];

    if (read_mark(data_fd, ret_mark))
        return true;
    random_bytes(random, sizeof(random));
    (void)snprintf(mark, sizeof(mark), "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    AUTO_CLOSE int fd = openat(data_fd, MARK_FILE ".new",
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, mark, MARK_LEN) != (ssize_t)MARK_LEN || fsync(fd) != 0 ||
        renameat(data_fd, MARK_FILE ".new", data_fd, MARK_FILE) != 0)
        return err_sys(err, ERR_STORAGE, "cannot write the mark of the data directory");
    memcpy(ret_mark, mark, SWEEP_MARK_SIZE);
    return true;
}

/* A match of the prefix at the start of an entry, fed byte by byte: the environment may be long. */
struct matcher {
    const char *prefix;
    size_t matched;
    bool is_off; /* the entry so far differs */
};

static bool feed(struct matcher *m, char byte)
{
    if (byte == '\0') {
        m->matched = 0;
        m->is_off = false;
        return false;
    }
    if (m->is_off || byte != m->prefix[m->matched]) {
        m->is_off = true;
        return false;
    }
    m->matched++;
    return m->prefix[m->matched] == '\0';
}

static bool has_entry(int environ_fd, const char *prefix)
{
    struct matcher matcher = {.prefix = prefix};
    char piece[4096];
    ssize_t n;

    while ((n = read(environ_fd, piece, sizeof(piece))) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (feed(&matcher, piece[i]))
                return true;
    return false;
}

static bool is_marked(pid_t pid, const char *prefix)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && has_entry(fd, prefix);
}

/* The pidfd is opened before the look that decides, so the signal cannot reach a later process of
 * that number. */
static bool kill_marked(pid_t pid, const char *prefix)
{
    if (!is_marked(pid, prefix))
        return false;
    AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0 || !is_marked(pid, prefix))
        return false;
    return pidfd_send_signal(pidfd, SIGKILL, NULL, 0) == 0;
}

static uint32_t kill_round(const char *prefix)
{
    DIR *proc = opendir("/proc");
    uint32_t n = 0;
    if (proc == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char *end;
        const long pid = strtol(entry->d_name, &end, 10);
        if (*end != '\0' || pid <= 1 || pid == getpid())
            continue;
        if (kill_marked((pid_t)pid, prefix))
            n++;
    }
    (void)closedir(proc);
    return n;
}

uint32_t sweep_marked(const char *prefix, int64_t max_us, uint32_t *ret_left)
{
    const uint64_t end_ns = clock_mono_ns() + (uint64_t)max_us * 1000;
    uint32_t killed = 0;

    PRE(strlen(prefix) > MARK_LEN);
    for (;;) {
        /* A zombie has no environment, so it is not seen again. */
        const uint32_t n = kill_round(prefix);
        killed = MAX(killed, n);
        *ret_left = n;
        if (n == 0 || clock_mono_ns() >= end_ns)
            return killed;
        (void)poll(NULL, 0, ROUND_PAUSE_MS);
    }
}
