/* SPDX-License-Identifier: MIT */
#include "pool/family.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>

#define MAX_LOOKS 4 /* when somebody in the middle ended meanwhile, and what it had moved up */
#define FIRST_CAP 64
#define MAX_CHILDREN 4096 /* a worker has some runners */

void family_init(struct family *f, size_t max)
{
    *f = (struct family){.max = max};
}

void family_release(struct family *f)
{
    free(f->all);
    *f = (struct family){0};
}

static size_t read_file(const char *path, char *out, size_t size)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    while (fd >= 0 && used < size) {
        const ssize_t n = read(fd, out + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    return used;
}

/* The numbers behind the name, from field 4 on: proc(5). */
enum stat_field { STAT_PPID = 4, STAT_UTIME = 14, STAT_STIME = 15, STAT_START = 22, STAT_RSS = 24 };

static void read_fields(const char *at, struct family_member *ret)
{
    for (int field = STAT_PPID; field <= STAT_RSS; field++) {
        char *next;
        const long long value = strtoll(at, &next, 10);
        if (next == at)
            return;
        at = next;
        if (field == STAT_PPID)
            ret->ppid = (pid_t)value;
        else if (field == STAT_UTIME || field == STAT_STIME)
            ret->cpu_ticks += (uint64_t)value;
        else if (field == STAT_START)
            ret->start = (uint64_t)value;
        else if (field == STAT_RSS)
            ret->rss_pages = (uint64_t)MAX(value, 0LL);
    }
}

bool family_look_at(pid_t pid, struct family_member *ret)
{
    char path[64];
    char text[1024];

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    const size_t len = read_file(path, text, sizeof(text) - 1);
    text[len] = '\0';
    /* The name in parentheses may hold anything, so the fields are counted from the last one. */
    const char *name = strchr(text, '(');
    const char *end = strrchr(text, ')');
    if (name == NULL || end == NULL || end < name || strlen(end) < 4)
        return false;
    *ret = (struct family_member){.pid = pid, .state = end[2]};
    memcpy(ret->name, name + 1, MIN((size_t)(end - name - 1), sizeof(ret->name) - 1));
    read_fields(end + 3, ret);
    return ret->start != 0;
}

static bool is_still(const struct family_member *m)
{
    struct family_member now;
    return family_look_at(m->pid, &now) && now.start == m->start;
}

static void add(struct family *f, const struct family_member *member)
{
    if (f->n == f->max) {
        f->is_cut = true;
        return;
    }
    if (f->n == f->cap) {
        f->cap = MIN(MAX(f->cap * 2, (size_t)FIRST_CAP), f->max);
        f->all = must_realloc(f->all, f->cap * sizeof(*f->all));
    }
    f->all[f->n++] = *member;
}

void family_put_first(struct family *f, const struct family_member *root)
{
    add(f, root);
    if (f->n > 1) {
        memmove(f->all + 1, f->all, (f->n - 1) * sizeof(*f->all));
        f->all[0] = *root;
    }
}

/* A child of `parent`, or one that has just moved up to the root. */
static void meet(struct family *f, pid_t pid, const struct family_member *parent, pid_t root)
{
    struct family_member member;
    if (family_look_at(pid, &member) && (member.ppid == parent->pid || member.ppid == root))
        add(f, &member);
}

/* Of one thread: a child belongs to the thread that has forked it. */
static void meet_children(struct family *f, const char *path, const struct family_member *parent,
                          pid_t root)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[4096];
    ssize_t n;
    pid_t pid = 0;

    while (fd >= 0 && ((n = read(fd, text, sizeof(text))) > 0 || (n < 0 && errno == EINTR)))
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            if (pid > 0)
                meet(f, pid, parent, root);
            pid = 0;
        }
}

pid_t family_next_thread(DIR *threads)
{
    for (const struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        const long thread = strtol(entry->d_name, NULL, 10);
        if (thread > 0)
            return (pid_t)thread;
    }
    return 0;
}

static void meet_all_children(struct family *f, const struct family_member *parent, pid_t root)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/task", parent->pid);
    AUTO_DIR DIR *dir = opendir(path);
    for (pid_t thread; (thread = family_next_thread(dir)) > 0;) {
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent->pid, thread);
        meet_children(f, path, parent, root);
    }
}

uint64_t family_resident_bytes(pid_t pid)
{
    struct family_member first;
    AUTO_FAMILY struct family children;

    family_init(&children, MAX_CHILDREN);
    if (!family_look_at(pid, &first))
        return 0;
    meet_all_children(&children, &first, pid);
    uint64_t pages = first.rss_pages;
    for (size_t i = 0; i < children.n; i++)
        pages += children.all[i].rss_pages;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* False: a parent ended while its children were looked at. Then its number may have been another
 * process's by that time, and those children are not to be trusted. */
static bool walk(struct family *f, const struct family_member *root)
{
    char path[64];
    bool is_whole = true;

    f->n = 0;
    f->is_cut = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", root->pid, root->pid);
    meet_children(f, path, root, root->pid);
    for (size_t i = 0; i < f->n; i++) {
        const size_t before = f->n;
        const struct family_member parent = f->all[i]; /* the list may move */
        meet_all_children(f, &parent, root->pid);
        if (is_still(&parent))
            continue;
        f->n = before;
        is_whole = false;
    }
    return is_whole;
}

bool family_look(struct family *f, pid_t root, pid_t parent_of_root)
{
    struct family_member at_first;

    f->n = 0;
    if (!family_look_at(root, &at_first) ||
        (parent_of_root != 0 && at_first.ppid != parent_of_root))
        return false;
    for (int i = 0; i < MAX_LOOKS && !walk(f, &at_first); i++)
        continue;
    return is_still(&at_first);
}

bool family_is_halted(const struct family_member *m)
{
    return strchr("TtZX", m->state) != NULL;
}

bool family_signal(const struct family_member *m, int signal)
{
    /* Opened before the look: if the number is still this process's, it was when we opened it. */
    AUTO_CLOSE int pidfd = pidfd_open(m->pid, 0);
    return pidfd >= 0 && is_still(m) && pidfd_send_signal(pidfd, signal, NULL, 0) == 0;
}

size_t family_argv(const struct family_member *m, char *out, size_t size)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", m->pid);
    const size_t len = read_file(path, out, size);
    return is_still(m) ? len : 0;
}
