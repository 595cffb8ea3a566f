/* SPDX-License-Identifier: MIT */
#include "integration/harness_config.h"

#include <fcntl.h>
#include <unistd.h>

struct config_file config_write(const char *text)
{
    struct config_file file;
    temp_dir_make(file.dir, sizeof file.dir);
    (void)snprintf(file.path, sizeof file.path, "%s/ganger.conf", file.dir);
    int fd = open(file.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "cannot write %s",
          file.path);
    (void)close(fd);
    return file;
}

void config_remove(const struct config_file *file)
{
    temp_dir_remove(file->dir);
}

void server_start_configured(struct server *s, int workers, const char *text)
{
    const struct config_file file = config_write(text);
    const struct server_options options = {.workers = workers, .args = {"--config", file.path}};
    server_start(s, &options);
    config_remove(&file);
}

void server_restart_configured(struct server *s, int workers, const char *text)
{
    const struct config_file file = config_write(text);
    const struct server_options options = {.workers = workers, .args = {"--config", file.path}};
    server_restart(s, &options);
    config_remove(&file);
}
