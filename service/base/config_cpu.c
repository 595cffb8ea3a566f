/* SPDX-License-Identifier: MIT */
/* How many CPUs this process may use. A container sees all CPUs of its host, but has a quota:
 * cgroup v2's cpu.max or v1's cpu.cfs_quota_us, on its own cgroup or on any above. */
#include "service/base/config.h"

#include <sched.h>

#include "service/base/config_option.h"

static uint32_t affinity_count(void)
{
    /* The mask must be as large as the kernel's; sched_getaffinity(2) says EINVAL until it is. */
    for (size_t n_cpus = 1024; n_cpus <= 1u << 18; n_cpus *= 2) {
        cpu_set_t *mask = CPU_ALLOC(n_cpus);
        size_t size = CPU_ALLOC_SIZE(n_cpus);
        int found = mask != NULL && sched_getaffinity(0, size, mask) == 0 ? CPU_COUNT_S(size, mask)
                                                                          : 0;
        CPU_FREE(mask);
        if (found > 0)
            return (uint32_t)found;
    }
    return 1;
}

static bool read_line_of(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool ok = fgets(out, (int)size, file) != NULL;
    (void)fclose(file);
    return ok;
}

/* The number that a line begins with, and where it ends; 0 when there is none ("max": no limit). */
static long long number_at(const char *text, const char **ret_end)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    *ret_end = end;
    return n;
}

/* CPUs of a quota, rounded up; UINT32_MAX when there is none. */
static uint32_t cpus_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return UINT32_MAX;
    long long n = (quota - 1) / period + 1;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t quota_v2(const char *dir)
{
    char path[4200], line[80];
    const char *rest;
    (void)snprintf(path, sizeof(path), "%s/cpu.max", dir);
    if (!read_line_of(path, line, sizeof(line)))
        return UINT32_MAX;
    long long quota = number_at(line, &rest);
    return cpus_of(quota, number_at(rest, &rest));
}

static uint32_t quota_v1(const char *dir)
{
    char path[4200], line[80];
    const char *rest;
    (void)snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
    if (!read_line_of(path, line, sizeof(line)))
        return UINT32_MAX;
    long long quota = number_at(line, &rest); /* -1: no limit */
    (void)snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
    if (!read_line_of(path, line, sizeof(line)))
        return UINT32_MAX;
    return cpus_of(quota, number_at(line, &rest));
}

/* The smallest quota of a cgroup and all above it, up to the mount point. */
static uint32_t smallest_quota(const char *mount, const char *cgroup,
                               uint32_t (*quota)(const char *dir))
{
    char dir[4096];
    uint32_t smallest = UINT32_MAX;
    size_t mount_len = strlen(mount);
    if ((size_t)snprintf(dir, sizeof(dir), "%s%s", mount, cgroup) >= sizeof(dir))
        return UINT32_MAX;
    while (true) {
        uint32_t here = quota(dir);
        smallest = MIN(smallest, here);
        char *slash = strrchr(dir, '/');
        if (slash == NULL || (size_t)(slash - dir) < mount_len)
            return smallest;
        *slash = '\0';
    }
}

/* One line of /proc/self/cgroup, cgroups(7): "0::/path" for v2, "4:cpu,cpuacct:/path" for v1. */
static uint32_t quota_of_line(const char *root, char *line)
{
    char mount[512];
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL)
        return UINT32_MAX;
    *path++ = '\0';
    controllers++;
    path[strcspn(path, "\n")] = '\0';
    if (controllers[0] == '\0') {
        (void)snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
        return smallest_quota(mount, path, quota_v2);
    }
    if (strcmp(controllers, "cpu") != 0 && strncmp(controllers, "cpu,", 4) != 0 &&
        strstr(controllers, ",cpu,") == NULL)
        return UINT32_MAX;
    (void)snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/cpu", root); /* a link to cpu,cpuacct
                                                                           where they are one */
    return smallest_quota(mount, path, quota_v1);
}

uint32_t config_cpu_quota(const char *root)
{
    char path[512], line[4096];
    uint32_t smallest = UINT32_MAX;
    (void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return UINT32_MAX;
    while (fgets(line, sizeof(line), file) != NULL) {
        uint32_t here = quota_of_line(root, line);
        smallest = MIN(smallest, here);
    }
    (void)fclose(file);
    return smallest;
}

uint32_t config_cpu_count(void)
{
    uint32_t allowed = affinity_count(), quota = config_cpu_quota("");
    uint32_t n = MIN(allowed, quota);
    POST(n >= 1);
    return n;
}
