/* SPDX-License-Identifier: MIT */
#include "service/command.h"

#include <criterion/criterion.h>

/* A turn takes commands until their costs are MAX_BATCH_JOBS: one that touches many rows and costs
 * one would let hundreds of such into the same turn. */
Test(command, whoever_touches_many_rows_costs_as_much)
{
    struct submit_item items[3] = {{.spec.n_parents = 100}};
    const struct index_range all = {0, INT64_MAX};
    const struct {
        struct command cmd;
        size_t least;
    } rows[] = {
        {{.kind = CMD_SUBMIT, .submit = {.items = items, .n = 3}}, 53},
        {{.kind = CMD_GRAPH, .graph = {.items = items, .n = 3}}, 53},
        {{.kind = CMD_PIPELINE, .pipeline.n = 5}, 5},
        {{.kind = CMD_BATCH, .batch.n_items = 4096}, 4096},
        {{.kind = CMD_BATCH_ADD, .batch.n_items = 4096}, 4096},
        {{.kind = CMD_BULK, .bulk.n = 500}, 500},
        {{.kind = CMD_PURGE}, MAX_PURGED},
        {{.kind = CMD_BATCH_CANCEL, .pick = {.by_index = true, .ranges = &all, .n_ranges = 1}},
         MAX_PICKED},
        {{.kind = CMD_BATCH_RETRY, .pick = {.ranges = &all, .n_ranges = 1}}, MAX_RETRIED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_geq(command_jobs(&rows[i].cmd), rows[i].least, "kind %d costs %zu",
                      (int)rows[i].cmd.kind, command_jobs(&rows[i].cmd));
    /* One cancel of a whole batch only marks it. */
    cr_expect_leq(command_jobs(&(struct command){.kind = CMD_BATCH_CANCEL,
                                                 .pick = {.ranges = &all, .n_ranges = 1}}),
                  2);
}

/* The engine may take it in a turn that began before this moment. */
Test(command, what_has_no_delay_is_not_scheduled)
{
    struct slice argv[] = {SLICE_LIT("true")};
    struct submit_item item = {.spec = {.argv = argv, .n_argv = 1}};
    struct arena a;
    struct err err = {0};
    const int64_t now_us = INT64_C(1790000000000000);
    arena_init(&a, 1u << 20);
    cr_assert(command_prepare(&item, now_us, &a, &err), "%s", err.detail);
    cr_assert_eq(item.due_us, 0);
    item.spec.delay_us = 5;
    cr_assert(command_prepare(&item, now_us, &a, &err), "%s", err.detail);
    cr_assert_eq(item.due_us, now_us + 5);
    item.spec.run_at_us = 7;
    cr_assert(command_prepare(&item, now_us, &a, &err), "%s", err.detail);
    cr_assert_eq(item.due_us, 7);
    arena_release(&a);
}
