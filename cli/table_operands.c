/* SPDX-License-Identifier: MIT */
#include "cli/table.h"
#include "service/base/job.h"
#include "service/base/text.h"

/* An id becomes a part of a path. */
static bool is_id(const char *word)
{
    return text_is_token(slice_of(word), 64) && strchr(word, '.') == NULL;
}

/* A name, too; those of queues may be the longest. */
static bool is_name(const char *word)
{
    return text_is_token(slice_of(word), MAX_QUEUE_NAME) && word[0] != '.';
}

/* clang-format off */
const struct operand_row operand_kinds[OPERAND_KIND_COUNT] = {
    /* kind                noun        wanted                    listing                 fits */
    [OPERAND_COMMAND]   = {"command",  "a command to run",       NULL,                   NULL},
    [OPERAND_ID]        = {"id",       "the id of a job",        "ls --limit 100",       is_id},
    [OPERAND_BLOB]      = {"blob",     "the id of a blob",       "blob ls --limit 100",  is_id},
    [OPERAND_BATCH]     = {"batch",    "the id of a batch",      "batch ls --limit 100", is_id},
    [OPERAND_QUEUE]     = {"queue",    "the name of a queue",    "queue ls",             is_name},
    [OPERAND_POOL]      = {"pool",     "the name of a pool",     "pool ls",              is_name},
    [OPERAND_WORKER]    = {"worker",   "the name of a worker",   "workers",              is_name},
    [OPERAND_CALL]      = {"function", "the name of a function", "functions",            NULL},
};
/* clang-format on */
