/* SPDX-License-Identifier: MIT */
/* Any body either is refused with a reason or becomes jobs whose parents are among them and wait
 * for each other in no circle; a circle that is told is one. */
#include "api/codec_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool waits_for(const struct graph_request *graph, uint32_t child, uint32_t parent)
{
    const struct job_spec *spec = &graph->items[child].spec;
    for (uint32_t k = 0; k < spec->n_parents; k++)
        if (spec->parents[k].is_marked && spec->parents[k].index == parent)
            return true;
    return false;
}

static void check_cycle(const struct graph_request *graph)
{
    PRE(graph->n_cycle >= 1 && graph->n_cycle <= graph->n);
    for (uint32_t k = 0; k < graph->n_cycle; k++)
        PRE(waits_for(graph, graph->cycle[k], graph->cycle[(k + 1) % graph->n_cycle]));
}

static void check_jobs(const struct graph_request *graph)
{
    for (uint32_t i = 0; i < graph->n; i++) {
        const struct job_spec *spec = &graph->items[i].spec;
        PRE(spec->n_argv >= 1);
        PRE(!waits_for(graph, i, i));
        for (uint32_t k = 0; k < spec->n_parents; k++)
            PRE(!spec->parents[k].is_marked || (spec->parents[k].index < graph->n &&
                                                graph->items[spec->parents[k].index].is_parent));
        for (uint32_t k = 0; k < spec->n_inputs; k++) {
            const struct job_input *input = &spec->inputs[k];
            PRE(input->parent < spec->n_parents && input->stream <= 1);
            PRE(input->kind != JOB_INPUT_ARGUMENT ||
                (input->argument < spec->n_argv &&
                 input->at + input->len <= spec->argv[input->argument].len));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config cfg = {.job_cwd = (char[]){""},
                               .job_timeout_us = 1,
                               .job_output = 1,
                               .job_keep_us = 1,
                               .job_max_attempts = 20};
    AUTO_FREE char *copy = must_alloc(size + (size == 0));
    struct graph_request graph;
    struct arena a;
    struct err err = {0};
    if (size > 0)
        memcpy(copy, data, size);
    arena_init(&a, 8u << 20);
    const struct job_source source = {.body = {copy, size}, .cfg = &cfg, .a = &a};
    if (codec_read_graph(&source, &graph, &err))
        check_jobs(&graph);
    else
        PRE(err.code != ERR_NONE && err.detail[0] != '\0' && err_status(err.code) < 500);
    if (err.code == ERR_DEPENDENCY_CYCLE)
        check_cycle(&graph);
    arena_release(&a);
    return 0;
}
