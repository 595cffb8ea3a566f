/* SPDX-License-Identifier: MIT */
#include "integration/harness_runner.h"

#include <fcntl.h>
#include <unistd.h>

void runner_server(struct server *s, const char *registry)
{
    /* It outlives this call: the server may be started again with it. */
    static char dir[128];
    static char path[200];
    temp_dir_make(dir, sizeof dir);
    (void)snprintf(path, sizeof path, "%s/ganger.conf", dir);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, registry, strlen(registry)) == (ssize_t)strlen(registry),
          "cannot write %s", path);
    (void)close(fd);
    const struct server_options options = {.workers = 1, .args = {"--config", path}};
    server_start(s, &options);
}

struct response *runner_call(struct server *s, const char *function, const char *args)
{
    return job_run(s, "{'function':'%s','args':[%s]}", function, args);
}

void runner_value(struct server *s, const char *function, const char *args, const char *value)
{
    AUTO_RESPONSE r = runner_call(s, function, args);
    expect_outcome(r, "succeeded", NULL);
    AUTO_TEXT got = job_read(s, job_of(r), "result");
    CHECK(strcmp(got, value) == 0, "%s(%.100s): %.300s", function, args, got);
}

int64_t runner_int(struct server *s, const char *function, const char *args)
{
    AUTO_RESPONSE r = runner_call(s, function, args);
    expect_outcome(r, "succeeded", NULL);
    AUTO_TEXT got = job_read(s, job_of(r), "result");
    return strtoll(got, NULL, 10);
}

void await_progress(struct server *s, struct job_ref job, const char *message)
{
    for (uint64_t until = deadline_in(20);;) {
        AUTO_RESPONSE shown = job_show(s, job);
        const char *text = cJSON_GetStringValue(json_find(shown, "progress.message"));
        if (text != NULL && strcmp(text, message) == 0)
            return;
        CHECK(!deadline_passed(until), "no progress: %s", shown->body);
        pause_ms(5);
    }
}
