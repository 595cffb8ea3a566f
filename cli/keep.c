/* SPDX-License-Identifier: MIT */
#include "cli/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

bool keep_open(const char *path, int *ret_fd, struct err *err)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return err_sys(err, ERR_INVALID, "cannot make %s", path);
    *ret_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd >= 0 || err_sys(err, ERR_INVALID, "cannot open %s", path);
}

static bool keep_stream(struct cli *cli, int dir_fd, const struct result *result,
                        const char *stream, struct err *err)
{
    char name[48];
    (void)snprintf(name, sizeof(name), "%" PRId64 "/%s", result->index + 1, stream);
    AUTO_CLOSE int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, "cannot write %s of --results", name);
    return emit_bytes(cli, result->id, stream, fd, err);
}

bool keep_result(struct cli *cli, int dir_fd, const struct result *result, struct err *err)
{
    char name[24];
    if (result->state == JOB_CANCELLED)
        return true;
    (void)snprintf(name, sizeof(name), "%" PRId64, result->index + 1);
    if (mkdirat(dir_fd, name, 0777) != 0 && errno != EEXIST)
        return err_sys(err, ERR_INTERNAL, "cannot make %s of --results", name);
    return keep_stream(cli, dir_fd, result, "stdout", err) &&
           keep_stream(cli, dir_fd, result, "stderr", err);
}
