/* SPDX-License-Identifier: MIT */
/* clang-format off */
/* load: drives a running server (or a peer) and prints `name: value unit`. Every answer is checked; a program that meets an
 * answer it did not ask for ends with status 1 and prints no number. The token comes from GANGER_TOKEN.
 * usage: load MODE -p PORT [-n N] [-c CONNECTIONS] [-q QUEUE] [-P PRIORITY] [-N NAME] [-f FUNCTION] [-k CHUNK] [--] ARGV...
 * With -f the jobs are calls of that function: ARGV are its arguments as JSON, or the items of a batch; without any it gets
 * 100 bytes of text.
 *   bulk     N jobs of ARGV in one NDJSON POST; N / (last finished - first created)
 *   submit   the first half of bulk; verify is the second
 *   fill     N jobs of ARGV by bulk, nothing is waited for
 *   drop     N waiting jobs of ARGV, cancelled by one call; jobs/s until its answer
 *   pairs    N jobs, each by one POST and one waiting GET of its result, over CONNECTIONS connections
 *   calls    N jobs over CONNECTIONS connections, each by one POST with Prefer: wait that answers with the finished job
 *   batches  N elements in batches of 100 over CONNECTIONS connections, each by one POST and its stream of results
 *   wait     N jobs one after the other on one connection by POST with Prefer: wait; quantiles of the round trip
 *   cancel   N times: a running ARGV is cancelled with grace 0 and waited for; quantiles until the 200
 *   big      one job of ARGV that writes N MiB to stdout, until it has succeeded; prints GiB/s and the job's id
 *   results  a batch of N that is over, read as NDJSON; events/s
 *   through  a batch of N and its stream, from the POST to the line that ends it; with -k in chunks
 *   imap     the same, but N items go into an open batch while its results are read
 *   lag      N elements one after the other, from the sync of each end (limits/synctime.c) to its line
 *   beside   N delayed submissions, one after the other, while ARGV[0] requests wait for a job; quantiles
 *   get      N times GET ARGV[0] over CONNECTIONS connections, each must be a 200 (for the peers)
 *   call     METHOD PATH [BODY]: prints the body; status 1 unless the answer is a 2xx */
/* clang-format on */
#define _GNU_SOURCE
#include "load/modes.h"

#include "common.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mode {
    const char *name;
    void (*run)(const struct plan *plan);
};

/* clang-format off */
static const struct mode modes[] = {
    {"bulk",   mode_bulk},
    {"submit", mode_submit},
    {"verify", mode_verify},
    {"fill",   mode_fill},
    {"drop",   mode_drop},
    {"pairs",  mode_pairs},
    {"calls",  mode_calls},
    {"batches", mode_batches},
    {"wait",   mode_wait},
    {"cancel", mode_cancel},
    {"big",    mode_big},
    {"results", mode_results},
    {"through", mode_through},
    {"imap",   mode_imap},
    {"lag",    mode_lag},
    {"beside", mode_beside},
    {"get",    mode_get},
    {"call",   mode_call},
};
/* clang-format on */

static void read_option(struct plan *plan, int option)
{
    switch (option) {
    case 'p': plan->port = (uint16_t)number_of(optarg, 1, 65535); break;
    case 'n': plan->n = number_of(optarg, 1, 100000000); break;
    case 'c': plan->n_connections = (int)number_of(optarg, 1, MAX_CONNECTIONS); break;
    case 'P': plan->priority = (int)number_of(optarg, -100, 100); break;
    case 'q': plan->queue = optarg; break;
    case 'N': plan->name = optarg; break;
    case 'f': plan->function = optarg; break;
    case 'k': plan->chunk = number_of(optarg, 1, 1000000); break;
    default: die("the comment at the top of bench/load/load.c shows the options");
    }
}

int main(int argc, char **argv)
{
    struct plan plan = {.n = 1, .n_connections = 1, .queue = "default", .name = "load"};
    if (argc < 2)
        die("usage: load MODE -p PORT [options] [--] ARGV...");
    plan.token = getenv("GANGER_TOKEN");
    optind = 2;
    int option;
    while ((option = getopt(argc, argv, "+p:n:c:P:q:N:f:k:")) != -1)
        read_option(&plan, option);
    plan.argv = argv + optind;
    plan.argc = argc - optind;
    if (plan.port == 0)
        die("no port");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run(&plan);
            return 0;
        }
    }
    die("%s: not a mode", argv[1]);
}
