/* SPDX-License-Identifier: MIT */
#include "pool/oom.h"

#include <fcntl.h>
#include <sys/resource.h>

#define SLACK_BYTES (1u << 20) /* the kernel adds up what each processor counts now and then */
#define CGROUPS "/sys/fs/cgroup"
#define PATH_SIZE 4096

bool oom_child_is_full(uint64_t limit, uint64_t max_rss_bytes, int signal)
{
    struct rusage own;

    return oom_is_full(oom_full_bytes(limit, 0), max_rss_bytes, signal) &&
           getrusage(RUSAGE_SELF, &own) == 0 &&
           max_rss_bytes > (uint64_t)own.ru_maxrss * 1024 + SLACK_BYTES;
}

/* cgroups(7): of cgroup v2 /proc/self/cgroup has the line "0::/path". */
static bool find_own(char ret[PATH_SIZE])
{
    char text[PATH_SIZE];
    AUTO_CLOSE int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line == NULL)
        return false;
    const char *path = strchr(line, '/');
    if (path == NULL)
        return false;
    const int len = (int)strcspn(path, "\n");
    return snprintf(ret, PATH_SIZE, CGROUPS "%.*s/memory.events", len, path) < PATH_SIZE;
}

void oom_watch_open(struct oom_watch *w, const char *path)
{
    char own[PATH_SIZE];

    *w = (struct oom_watch){.fd = -1};
    if (path == NULL && find_own(own))
        path = own;
    if (path != NULL)
        w->fd = open(path, O_RDONLY | O_CLOEXEC);
    oom_watch_look(w);
}

void oom_watch_look(struct oom_watch *w)
{
    static const char name[] = "\noom_kill ";
    char text[512] = "\n";
    const ssize_t n = w->fd < 0 ? -1 : pread(w->fd, text + 1, sizeof(text) - 2, 0);
    if (n <= 0)
        return;
    text[n + 1] = '\0';
    const char *at = strstr(text, name);
    if (at != NULL)
        w->kills = strtoull(at + sizeof(name) - 1, NULL, 10);
}

void oom_watch_close(struct oom_watch *w)
{
    auto_close(&w->fd);
    w->fd = -1;
}

void oom_judge(struct oom_watch *w, uint64_t before, struct task_outcome *outcome)
{
    if (outcome->end != TASK_SIGNALED || outcome->signal != SIGKILL || outcome->stop_sent)
        return;
    oom_watch_look(w);
    if (w->kills > before)
        outcome->end = TASK_OUT_OF_MEMORY;
}
