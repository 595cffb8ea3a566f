/* SPDX-License-Identifier: MIT */
#include "load/job.h"

#include "common.h"

#include <cjson/cJSON.h>
#include <stddef.h>

char *job_line_with(const struct plan *plan, const char *members)
{
    cJSON *job = cJSON_Parse(members);
    cJSON *command = cJSON_AddArrayToObject(job, "command");
    if (plan->argc == 0)
        die("no command");
    for (int i = 0; i < plan->argc; i++)
        cJSON_AddItemToArray(command, cJSON_CreateString(plan->argv[i]));
    cJSON_AddStringToObject(job, "queue", plan->queue);
    if (plan->priority != 0)
        cJSON_AddNumberToObject(job, "priority", plan->priority);
    char *line = cJSON_PrintUnformatted(job);
    cJSON_Delete(job);
    if (line == NULL)
        die("no memory");
    return line;
}

char *job_line(const struct plan *plan)
{
    return job_line_with(plan, "{}");
}
