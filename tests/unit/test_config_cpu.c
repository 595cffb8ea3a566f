/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <ftw.h>
#include <sched.h>
#include <sys/stat.h>

#include "service/base/config_option.h"

static void put_file(const char *root, const char *path, const char *text)
{
    char full[300];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    cr_assert_not_null(file, "%s", full);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static int remove_entry(const char *path, const struct stat *st UNUSED, int type UNUSED,
                        struct FTW *at UNUSED)
{
    return remove(path);
}

Test(config_cpu, quotas_of_both_cgroup_versions)
{
    char root[] = "/tmp/ganger-test-cpu-XXXXXX";
    cr_assert_not_null(mkdtemp(root));
    cr_assert_eq(config_cpu_quota(root), UINT32_MAX, "no cgroups at all");
    put_file(root, "/proc/self/cgroup", "0::/a/b\n");
    put_file(root, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    cr_assert_eq(config_cpu_quota(root), UINT32_MAX);
    put_file(root, "/sys/fs/cgroup/a/cpu.max", "350000 100000\n");
    cr_assert_eq(config_cpu_quota(root), 4, "a cgroup above binds too; 3.5 CPUs are rounded up");
    put_file(root, "/sys/fs/cgroup/cpu.max", "50000 100000\n");
    cr_assert_eq(config_cpu_quota(root), 1);
    put_file(root, "/sys/fs/cgroup/cpu.max", "max 100000\n");
    put_file(root, "/proc/self/cgroup",
             "5:memory:/x\n4:cpuset:/y\n3:cpu,cpuacct:/docker/id\n0::/\n");
    cr_assert_eq(config_cpu_quota(root), UINT32_MAX);
    put_file(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
    put_file(root, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(config_cpu_quota(root), 2,
                 "in a container the host's path is missing, the root counts");
    put_file(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    cr_assert_eq(config_cpu_quota(root), UINT32_MAX);
    cr_assert_eq(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

Test(config_cpu, affinity_binds)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    cr_assert_eq(sched_getaffinity(0, sizeof(one), &one), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &one))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    cr_assert_eq(config_cpu_count(), 1);
}
