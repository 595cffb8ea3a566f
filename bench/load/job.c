/* SPDX-License-Identifier: MIT */
#include "load/job.h"

#include "common.h"

#include <cjson/cJSON.h>
#include <stddef.h>

static void add_call(const struct plan *plan, cJSON *job)
{
    cJSON_AddStringToObject(job, "function", plan->function);
    cJSON *args = cJSON_AddArrayToObject(job, "args");
    for (int i = 0; i < plan->argc; i++)
        cJSON_AddItemToArray(args, cJSON_CreateRaw(plan->argv[i]));
    if (plan->argc == 0)
        cJSON_AddItemToArray(args, cJSON_CreateRaw(JOB_ARGUMENT));
}

static void add_command(const struct plan *plan, cJSON *job)
{
    cJSON *command = cJSON_AddArrayToObject(job, "command");
    if (plan->argc == 0)
        die("no command");
    for (int i = 0; i < plan->argc; i++)
        cJSON_AddItemToArray(command, cJSON_CreateString(plan->argv[i]));
}

char *job_line_with(const struct plan *plan, const char *members)
{
    cJSON *job = cJSON_Parse(members);
    if (plan->function != NULL)
        add_call(plan, job);
    else
        add_command(plan, job);
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
