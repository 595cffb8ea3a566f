/* SPDX-License-Identifier: MIT */
#include "service/command.h"

#include <criterion/criterion.h>

/* A turn takes commands until their costs are MAX_BATCH_JOBS: one that touches many rows and costs
 * one would let hundreds of such into the same turn. */
Test(command, whoever_touches_many_rows_costs_as_much)
{
    struct submit_item items[3] = {{.spec.n_parents = 100}};
    const struct {
        struct command cmd;
        size_t least;
    } rows[] = {
        {{.kind = CMD_SUBMIT, .submit = {items, 3}}, 53},
        {{.kind = CMD_GRAPH, .graph = {.items = items, .n = 3}}, 53},
        {{.kind = CMD_PIPELINE, .pipeline.n = 5}, 5},
        {{.kind = CMD_BATCH, .batch.n_items = 4096}, 4096},
        {{.kind = CMD_BATCH_ADD, .batch.n_items = 4096}, 4096},
        {{.kind = CMD_BULK, .bulk.n = 500}, 500},
        {{.kind = CMD_EMPTY, .empty.n = MAX_EMPTIED}, MAX_EMPTIED},
        {{.kind = CMD_BATCH_CANCEL, .pick = {.by_index = true, .n = MAX_PICKED}}, MAX_PICKED},
        {{.kind = CMD_BATCH_RETRY, .pick.n = 65536}, MAX_RETRIED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_geq(command_jobs(&rows[i].cmd), rows[i].least, "kind %d costs %zu",
                      (int)rows[i].cmd.kind, command_jobs(&rows[i].cmd));
    /* One cancel of a whole batch only marks it. */
    cr_expect_leq(command_jobs(&(struct command){.kind = CMD_BATCH_CANCEL, .pick.n = INT64_MAX}),
                  2);
}
