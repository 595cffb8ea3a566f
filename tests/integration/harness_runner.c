/* SPDX-License-Identifier: MIT */
#include "integration/harness_runner.h"

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
