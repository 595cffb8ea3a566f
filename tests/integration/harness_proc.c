/* SPDX-License-Identifier: MIT */
#include "integration/harness_proc.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

static void find_all(struct pid_list *ret)
{
    DIR *proc = opendir("/proc");
    CHECK(proc != NULL, "no /proc");
    ret->n = 0;
    for (struct dirent *e = readdir(proc); e != NULL; e = readdir(proc)) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && ret->n < MAX_PIDS)
            ret->pids[ret->n++] = pid;
    }
    (void)closedir(proc);
}

bool proc_has_env(pid_t pid, const char *text)
{
    size_t len = 0;
    AUTO_TEXT env = file_read(text_of("/proc/%d/environ", (int)pid).s, &len);
    return env != NULL && memmem(env, len, text, strlen(text)) != NULL;
}

void proc_find_marked(const char *marker, struct pid_list *ret)
{
    size_t kept = 0;
    find_all(ret);
    for (size_t i = 0; i < ret->n; i++)
        if (ret->pids[i] != getpid() && proc_has_env(ret->pids[i], marker))
            ret->pids[kept++] = ret->pids[i];
    ret->n = kept;
}

size_t proc_count_marked(const char *marker)
{
    struct pid_list *list = need_alloc(sizeof(*list));
    proc_find_marked(marker, list);
    size_t n = list->n;
    free(list);
    return n;
}

void no_process_left(const char *marker, double seconds)
{
    uint64_t until = deadline_in(seconds);
    size_t left = proc_count_marked(marker);
    while (left > 0 && !deadline_passed(until)) {
        pause_ms(5);
        left = proc_count_marked(marker);
    }
    CHECK(left == 0, "%zu processes marked %s are left after %.1f s", left, marker, seconds);
}

/* The n-th field of /proc/PID/stat, counted from 1 as in proc(5); from the third on, behind the
 * name in parentheses. */
static struct text stat_field(pid_t pid, int field)
{
    AUTO_TEXT line = file_read(text_of("/proc/%d/stat", (int)pid).s, NULL);
    char *at = line == NULL ? NULL : strrchr(line, ')');
    for (int i = 2; at != NULL && i < field; i++) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    return at == NULL ? text_of("%s", "") : text_of("%.*s", (int)strcspn(at, " \n"), at);
}

pid_t proc_parent(pid_t pid)
{
    return (pid_t)strtol(stat_field(pid, 4).s, NULL, 10);
}

struct text proc_born(pid_t pid)
{
    return stat_field(pid, 22);
}

static bool status_has_signal(const char *status, const char *set, int signo)
{
    const char *at = status == NULL ? NULL : strstr(status, set);
    return at != NULL && (strtoull(at + strlen(set), NULL, 16) >> (signo - 1) & 1) != 0;
}

bool proc_minds_signal(pid_t pid, int signo)
{
    AUTO_TEXT status = file_read(text_of("/proc/%d/status", (int)pid).s, NULL);
    return status_has_signal(status, "\nSigCgt:", signo) ||
           status_has_signal(status, "\nSigBlk:", signo);
}

bool proc_is_alive(pid_t pid)
{
    struct text state = stat_field(pid, 3);
    return state.s[0] != '\0' && state.s[0] != 'Z' && state.s[0] != 'X';
}

void proc_find_descendants(pid_t root, struct pid_list *ret)
{
    struct pid_list *all = need_alloc(sizeof(*all));
    find_all(all);
    ret->n = 0;
    bool found = true;
    while (found) {
        found = false;
        for (size_t i = 0; i < all->n; i++) {
            pid_t parent = all->pids[i] == 0 ? 0 : proc_parent(all->pids[i]);
            bool is_ours = parent != 0 && parent == root;
            for (size_t k = 0; k < ret->n && !is_ours; k++)
                is_ours = parent != 0 && ret->pids[k] == parent;
            if (!is_ours || ret->n == MAX_PIDS)
                continue;
            ret->pids[ret->n++] = all->pids[i];
            all->pids[i] = 0;
            found = true;
        }
    }
    free(all);
}

size_t proc_count_zombies(pid_t root)
{
    struct pid_list *list = need_alloc(sizeof(*list));
    proc_find_descendants(root, list);
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += stat_field(list->pids[i], 3).s[0] == 'Z' ? 1 : 0;
    free(list);
    return n;
}

struct text proc_name(pid_t pid)
{
    AUTO_TEXT name = file_read(text_of("/proc/%d/comm", (int)pid).s, NULL);
    return name == NULL ? text_of("%s", "") : text_of("%.*s", (int)strcspn(name, "\n"), name);
}

long proc_rss_kib(pid_t pid)
{
    AUTO_TEXT status = file_read(text_of("/proc/%d/status", (int)pid).s, NULL);
    const char *at = status == NULL ? NULL : strstr(status, "VmRSS:");
    return at == NULL ? -1 : strtol(at + 6, NULL, 10);
}

size_t proc_count_fds(pid_t pid)
{
    size_t n = 0;
    DIR *dir = opendir(text_of("/proc/%d/fd", (int)pid).s);
    if (dir == NULL)
        return 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += e->d_name[0] != '.' ? 1 : 0;
    (void)closedir(dir);
    return n;
}
